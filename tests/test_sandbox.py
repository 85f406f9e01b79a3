import ctypes
import functools
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from lessons_lib.errors import CalibrationError, ChildDied, InputError, ModelFileError
from lessons_lib.system import sandbox
from lessons_lib.system.sandbox import ChildSlow
from warm_tests import WARM


# The functions below are run in a child process, which finds this module by its name.
def double(x):
    print("a child may print")
    return 2 * x


def refuse():
    raise CalibrationError("as the library does")


def fail():
    raise KeyError("unexpected")


def die():
    os.kill(os.getpid(), signal.SIGSEGV)


def die_of(number):
    os.kill(os.getpid(), number)


def wait():
    time.sleep(60)


def wait_for(content):
    wait()


def abort(content):
    os.abort()


def out_of_memory_score():
    return int(Path("/proc/self/oom_score_adj").read_text())


def litter():
    folder = Path(tempfile.mkdtemp())
    (folder / "left").touch()
    return folder


def tell_and_wait(path):
    Path(path).write_text(f"{os.getpid()}\n")
    wait()


def tell_watched(path):
    """As on a system whose kernel does not end the children of the dead."""
    ctypes.CDLL(None).prctl(1, 0)
    sys.platform = "darwin"
    sandbox._end_with(os.getppid())
    tell_and_wait(path)


class Own:
    """A class that a child can only find on the caller's path."""


def kind(thing):
    return type(thing).__name__


def pid():
    return os.getpid()


@pytest.fixture(params=["", "numpy"], ids=["fresh", "forked"])
def call(request, usual_python):
    """``sandbox.call``, in a fresh process and in a fork of one that has imported."""
    return functools.partial(sandbox.call, imported=request.param)


@pytest.mark.skipif("LESSONS_HUB_WARM" not in os.environ, reason="for `pytest -n 2`, on Linux")
def test_in_a_run_of_all_tests_children_are_forks_of_one_process():
    probe = subprocess.run([sys.executable, WARM, "probe"], capture_output=True, text=True)
    if probe.stdout.strip():
        pytest.skip(probe.stdout)
    _until(Path(os.environ["LESSONS_HUB_WARM"]).exists, 60)
    waiting = psutil.Process(sandbox.call("os:getppid", imported="zipfile"))  # of no other test
    assert waiting.name() == "child", "not a Python of its own"
    assert waiting.parent().parent().pid == os.getppid(), "whom the tests started"


def test_the_result_comes_back_from_another_process(call):
    assert call("test_sandbox:double", [1, 2]) == [1, 2, 1, 2]
    assert call("test_sandbox:pid") != os.getpid()


def test_arguments_may_be_of_the_callers_own_classes(call):
    assert call("test_sandbox:kind", Own()) == "Own"


def test_the_courses_own_errors_come_back_as_they_are(call):
    with pytest.raises(CalibrationError, match="as the library does"):
        call("test_sandbox:refuse")


def test_another_error_is_told_by_its_last_line(call):
    with pytest.raises(ChildDied, match="KeyError: 'unexpected'"):
        call("test_sandbox:fail")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
def test_a_crash_is_told_by_its_signal(call):
    with pytest.raises(ChildDied, match="SIGSEGV") as caught:
        call("test_sandbox:die")
    assert caught.value.signal == signal.SIGSEGV


@pytest.mark.skipif(not hasattr(signal, "SIGRTMIN"), reason="no realtime signals here")
def test_a_realtime_signal_has_a_name(call):
    number = signal.SIGRTMIN + 6
    with pytest.raises(ChildDied, match=r"ended with signal SIGRTMIN\+6") as caught:
        call("test_sandbox:die_of", number)
    assert caught.value.signal == number
    assert sandbox.signal_name(signal.SIGRTMIN) == "SIGRTMIN"
    assert sandbox.signal_name(33) == "33"  # the C library keeps it to itself


def test_a_child_that_takes_too_long_is_ended(call, monkeypatch):
    with pytest.raises(ChildSlow, match=r"took more than 0\.5 s .* set LESSONS_TIMEOUT"):
        call("test_sandbox:wait", timeout=0.5)
    monkeypatch.setenv("LESSONS_TIMEOUT", "30")
    assert call("test_sandbox:double", 1, timeout=0.0) == 2
    monkeypatch.setenv("LESSONS_TIMEOUT", "long")
    with pytest.raises(InputError, match="LESSONS_TIMEOUT=long; expected a number of seconds"):
        call("test_sandbox:double", 1)


def test_what_a_child_leaves_in_its_temporary_folder_is_removed(call):
    left = call("test_sandbox:litter")
    assert not left.exists()
    assert not left.parent.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such depths")
def test_a_deep_tree_in_a_temporary_folder_stops_nobody(tmp_path, monkeypatch):
    """Neither the call that leaves it, nor those that find it where that one was killed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (gone := subprocess.Popen([sys.executable, "-c", ""])).wait()
    left = tmp_path / f"lessons-{gone.pid}-x"
    left.mkdir()
    dig = "import os\nfor _ in range(1500): os.mkdir('d'); os.chdir('d')"
    subprocess.run([sys.executable, "-c", dig], cwd=left, check=True)
    os.utime(left, (0, 0))
    with sandbox.temporary_folder() as folder:
        assert not left.exists()
        subprocess.run([sys.executable, "-c", dig], cwd=folder, check=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends processes for memory so")
def test_where_memory_runs_out_the_child_goes_before_its_caller(call):
    own = int(Path("/proc/self/oom_score_adj").read_text())
    assert call("test_sandbox:out_of_memory_score") == 1000 > own


CALLER = """
import sys
from lessons_lib.system.sandbox import call
sys.path.append(sys.argv[1])
call("test_sandbox:tell_and_wait", sys.argv[2], imported=sys.argv[3])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
@pytest.mark.parametrize("watched", [False, True], ids=["by the kernel", "by a thread"])
def test_a_child_ends_when_its_caller_is_killed(call, watched, tmp_path, monkeypatch):
    told, temporary = tmp_path / "told", tmp_path / "tmp"
    temporary.mkdir()
    script = CALLER.replace("tell_and_wait", "tell_watched" if watched else "tell_and_wait")
    command = [sys.executable, "-c", script, Path(__file__).parent, told, call.keywords["imported"]]
    caller = subprocess.Popen(command, env=os.environ | {"TMPDIR": str(temporary)})
    _until(lambda: told.exists() and told.read_text().endswith("\n"), 30)
    child = psutil.Process(int(told.read_text()))
    caller.kill()
    caller.wait()
    _until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, 2)
    (left,) = temporary.iterdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    assert call("test_sandbox:double", 1) == 2
    assert left.exists()  # a young one may belong to another container, whose processes we lack
    os.utime(left, (0, 0))
    assert call("test_sandbox:double", 1) == 2
    assert not left.exists()


def _until(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_only_the_code_that_ran_is_trusted(monkeypatch):
    content = os.urandom(9)
    sandbox.once(content, content, "builtin", "test_sandbox:kind")
    assert sandbox.is_trusted(content, "builtin")
    assert not any(sandbox.is_trusted(content, use) for use in ("xnnpack", "reference", "tflm"))
    monkeypatch.setattr(sandbox, "call", None)  # no second child
    sandbox.once(content, content, "builtin", "test_sandbox:kind")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
def test_a_file_that_ends_the_kernels_is_not_called_damaged():
    with pytest.raises(ModelFileError) as caught:
        sandbox.once(b"x", "model.tflite", "reference", "test_sandbox:abort")
    assert str(caught.value).startswith(
        "model.tflite: the kernels 'reference' ended with signal SIGABRT, on loading the file"
    )
    assert "may be sound" in str(caught.value)
    assert "corrupt" not in str(caught.value)


def test_a_slow_file_is_called_slow(call, monkeypatch):
    slow = lambda *args, timeout, imported: call(*args, timeout=0.1, imported=imported)  # noqa: E731
    monkeypatch.setattr(sandbox, "call", slow)
    with pytest.raises(
        ModelFileError, match=r"m is slow: TFLite-Micro took more than 60 s .*TIMEOUT"
    ):
        sandbox.once(b"x", "m", "tflm", "test_sandbox:wait_for")
