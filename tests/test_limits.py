"""What a submission takes too much of costs that submission, and nothing else."""

import dataclasses
import json
import os
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from lessons_lib import limits

START = """
import json, sys
from lessons_lib.system import limits
limits.enter(limits.Limits(**json.loads(sys.argv[2])), int(sys.argv[1]))
exec(sys.argv[3])
"""


def run(tmp_path, code, interrupted=None, **bounds):
    kept = limits.Limits(**{"seconds": 20, **bounds})
    arguments = [str(os.getpid()), json.dumps(dataclasses.asdict(kept)), code]
    command = [sys.executable, "-c", START, *arguments]
    return limits.run(command, kept, tmp_path / "log", interrupted=interrupted)


def test_what_keeps_to_the_limits_ends_by_itself(tmp_path):
    ended = run(tmp_path, "print('done'); sys.exit(3)")
    assert (ended.code, ended.why, (tmp_path / "log").read_text()) == (3, None, "done\n")


@pytest.mark.parametrize(
    ("code", "bounds", "why"),
    [
        ("while True: pass", {"seconds": 1.5}, "it took more than 1.5 seconds"),
        (
            "a = []\nwhile True: a.append(bytearray(2**24))",
            {"memory": 2**29},
            "it took more than 0.5 GiB of memory",
        ),
        (
            "import subprocess, time\nfor _ in range(40):\n"
            "    subprocess.Popen(['sleep', '60.125'], start_new_session=True)\ntime.sleep(60)",
            {"processes": 12},
            "it started more than 12 processes",
        ),
        (
            "import os\nsink = os.open(os.devnull, os.O_WRONLY)\n"
            "while True: os.write(sink, bytes(2**20))",
            {"written": 2**27},
            "it wrote more than 0.125 GiB",
        ),
    ],
    ids=["time", "memory", "processes", "written"],
)
@pytest.mark.skipif(sys.platform != "linux", reason="counts what Linux counts")
def test_beyond_a_limit_all_of_it_is_ended(tmp_path, code, bounds, why):
    before = {process.pid for process in psutil.process_iter()}
    ended = run(tmp_path, code, **bounds)
    assert (ended.why, ended.seconds < 15) == (why, True)
    left = [p for p in psutil.process_iter(["cmdline"]) if p.pid not in before]
    assert not [p for p in left if p.info["cmdline"] == ["sleep", "60.125"]]


@pytest.mark.skipif(sys.platform != "linux", reason="subreapers are Linux's")
def test_what_cut_itself_loose_is_ended_too(tmp_path):
    """A grandchild whose parent ended would fall to another process."""
    own = Path(tmp_path, "pid")
    code = (
        "import os, time\n"
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork(): os._exit(0)\n"
        f"    open({str(own)!r}, 'w').write(str(os.getpid()))\n    time.sleep(60)\n"
        "time.sleep(60)"
    )
    assert run(tmp_path, code, seconds=2).why == "it took more than 2 seconds"
    time.sleep(0.2)
    pid = int(own.read_text())
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a file are POSIX's")
def test_one_file_cannot_fill_the_disk(tmp_path):
    code = f"open({str(tmp_path / 'large')!r}, 'wb').write(bytes(2**22))"
    ended = run(tmp_path, code, file=2**20)
    assert (ended.code, ended.why) == (1, None)
    assert (tmp_path / "large").stat().st_size <= 2**20


@pytest.mark.skipif(sys.platform == "win32", reason="waits for a file of POSIX")
def test_a_caller_with_several_may_end_one_before_its_time(tmp_path):
    own, interrupted = tmp_path / "pid", threading.Event()
    code = f"import os, time\nopen({str(own)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"

    def interrupt():
        while not (own.exists() and own.read_text()):
            time.sleep(0.05)
        interrupted.set()

    threading.Thread(target=interrupt).start()
    with pytest.raises(limits.Interrupted):
        run(tmp_path, code, interrupted)
    assert not psutil.pid_exists(int(own.read_text()))
