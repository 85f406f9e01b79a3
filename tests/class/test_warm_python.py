"""A fork of the Python that has TensorFlow in memory is in its asker's sandbox, as any child is."""

import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest

from lessons_lib import files
from warm_tests import WARM

HUB = files.ROOT / "deploy" / "hub"
sys.path.insert(0, str(HUB))
SAYS = """
import json, os, sys, time
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
said = {name: status[name].strip() for name in ("CapEff", "CapPrm", "CapBnd", "NoNewPrivs")}
said |= {"arguments": sys.argv[1:], "tensorflow": "tensorflow" in sys.modules, "pid": os.getpid()}
said |= {"home": os.listdir("/home"), "readme": os.path.exists(sys.argv[1] + "/README.md")}
said |= {"processes": sum(name.isdigit() for name in os.listdir("/proc")), "nice": os.nice(0)}
said |= {"given": os.environ.get("GIVEN")}
said |= {"secret": b"SECRET" in open("/proc/self/environ", "rb").read()}
said |= {"open": len(os.listdir("/proc/self/fd")), "exe": os.readlink("/proc/self/exe")}
try:
    os.close(os.open("/proc/self/exe", os.O_WRONLY))
    said["written"] = True
except OSError:
    said["written"] = False
start = time.monotonic()
import tensorflow as tf
import tensorflow.lite
said |= {"seconds": time.monotonic() - start, "spec": tf.__spec__.loader is tf.__loader__}
import pandas
said |= {"columns": pandas.get_option("display.max_columns")}
said |= {"lite": tf.lite is sys.modules["tensorflow.lite"] or hasattr(tf.lite, "TFLiteConverter")}
try:
    print(json.dumps(said), flush=True)
    time.sleep(60 if "wait" in sys.argv else 0)
except KeyboardInterrupt:
    print("interrupted")
    sys.exit(4)
sys.exit(3)
"""
CONVERTS = """
import json, os, subprocess, sys, time
from lessons_lib.system import sandbox
begin = time.monotonic()
pid = sandbox.call("os:getpid", imported="tensorflow")
said = {"seconds": time.monotonic() - begin, "pids": [os.getpid(), pid]}
said["version"] = sandbox.call("importlib.metadata:version", "tensorflow", imported="tensorflow")
print(json.dumps(said), flush=True)
sandbox.call("time:sleep", 60, imported="tensorflow") if "wait" in sys.argv else None
"""

pytestmark = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A class's folder with the process that forks, and a student's home with a module to run."""
    import student_spawner

    folder = tmp_path_factory.mktemp("class")
    places = student_spawner.student_places(folder, "ada")
    student_spawner.make_places(places)
    for name, text in (("passwd", student_spawner.PASSWD), ("group", student_spawner.GROUP)):
        (folder / "hub" / name).write_text(text)
    for name, text in (("says", SAYS), ("converts", CONVERTS)):
        (places["home"] / f"{name}.py").write_text(text)
    socket = places["warm"] / "socket"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(files.ROOT), "HOME": str(folder)}
    environment["OPENBLAS_NUM_THREADS"] = "1"
    server = subprocess.Popen(
        [sys.executable, str(WARM), "serve", str(socket), str(folder / "log")], env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert "ready to fork" in server.stdout.readline()
    yield folder, server.pid
    server.kill()
    server.wait()


def start(folder, *words, warm=True, module=("-m", "says"), **streams) -> subprocess.Popen:
    import student_spawner

    asked = [sys.executable, "-I", "-S", str(WARM), *module, str(files.ROOT), *words]
    environment = {"PATH": os.environ["PATH"], "GIVEN": "this", "SECRET": ""}
    if warm:
        environment["LESSONS_HUB_WARM"] = "/srv/warm/socket"
        environment["LESSONS_WARM_PYTHON"] = str(WARM)
    return subprocess.Popen(
        [*student_spawner.command(folder, "ada"), *asked], env=environment,
        stdout=subprocess.PIPE, text=True, preexec_fn=lambda: os.nice(7), **streams,
    )  # fmt: skip


def said(process: subprocess.Popen) -> dict:
    return json.loads(process.stdout.readline())


def stander(process: subprocess.Popen) -> psutil.Process:
    return psutil.Process(process.pid).children(recursive=True)[-1]


def forks(hub, name: str = "says") -> list[psutil.Process]:
    """Those that run; not the process between, which ends once there is a fork."""
    found = psutil.Process(hub[1]).children(recursive=True)
    return [one for one in found if name_of(one) == name]


def name_of(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.NoSuchProcess:
        return ""


def gone(process: psutil.Process) -> bool:
    return psutil.wait_procs([process], timeout=10)[1] == []


def test_a_fork_is_in_the_sandbox_of_who_asked(hub):
    process = start(hub[0], "a word")
    found = said(process)
    assert process.wait(20) == 3, "the exit code is the fork's"
    assert not found["tensorflow"], "lessons assert that nobody imported it"
    assert found["seconds"] < 0.5, "it was in memory"
    assert found["spec"] and found["lite"]
    assert found["columns"] == 20, "as in a notebook"
    assert found["arguments"] == [str(files.ROOT), "a word"]
    assert found["given"] == "this" and not found["secret"]
    assert found["home"] == ["student"] and not found["readme"]
    assert found["processes"] == 3, "the sandbox's own, who stands for the fork, and the fork"
    assert found["open"] == 4, "three streams, and the list of them"
    assert found["nice"] == min(19, os.nice(0) + 7)
    assert {int(found[name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {0}
    assert found["NoNewPrivs"] == "1"


def test_where_nobody_forks_it_is_a_python_of_the_usual_kind(hub):
    process = start(hub[0], warm=False)
    found = said(process)
    assert process.wait(20) == 3 and found["seconds"] > 0.5 and found["given"] == "this"


def test_a_signal_reaches_the_fork(hub):
    process = start(hub[0], "wait")
    said(process)
    stander(process).send_signal(signal.SIGINT)
    assert process.stdout.readline() == "interrupted\n"
    assert process.wait(20) == 4


@pytest.mark.parametrize("whom", ["who stands for it", "the sandbox"])
def test_a_fork_ends_with(hub, whom):
    process = start(hub[0], "wait")
    said(process)
    (fork,) = forks(hub)
    (stander(process) if whom == "who stands for it" else process).kill()
    assert gone(fork)
    process.wait(20)


def test_what_is_in_a_sandbox_is_found(hub):
    """Else a student's forks would escape his memory limit."""
    import student_spawner

    process = start(hub[0], "wait")
    said(process)
    (fork,) = forks(hub)
    assert fork in student_spawner.ProcessTable().under(process.pid)
    process.kill()
    process.wait(20)
    assert gone(fork)


def test_no_two_students_get_one_port():
    import student_spawner

    taken = set()
    for _ in range(30):
        taken.add(student_spawner.free_port(taken))
    assert len(taken) == 30 and max(taken) - min(taken) > 300, "nobody knows the next"


def test_a_student_sees_the_assignment_first(tmp_path):
    import student_spawner

    assert student_spawner.first_page(tmp_path) == "/lab"
    seen = []
    for file in ("lesson00/00_a.ipynb", "lesson03/03_b.ipynb"):
        (tmp_path / file).parent.mkdir()
        (tmp_path / file).touch()
        seen.append(student_spawner.first_page(tmp_path))
    assert seen == ["/lab/tree/assignments/lesson00/00_a.ipynb", "/lab/tree/assignments"]


def test_a_fork_keeps_no_way_to_the_hubs_python_or_terminal(hub):
    """What it runs is a sealed copy; what it has open before it has its own is nobody's."""
    process = start(hub[0], "a word")
    found = said(process)
    process.wait(20)
    assert found["exe"].startswith("/memfd:") and not found["written"]
    opened = [os.readlink(f"/proc/{hub[1]}/fd/{number}") for number in (0, 1, 2)]
    assert opened[0].startswith("pipe:") and opened[1:] == [str(hub[0] / "log")] * 2
    assert (hub[0] / "log").stat().st_mode & 0o777 == 0o600


def test_where_nothing_is_left_for_a_fork_the_next_one_gets_his(hub):
    """One student's fork bomb must not end what the others' servers came from."""
    server = psutil.Process(hub[1])
    usual = server.rlimit(psutil.RLIMIT_NOFILE)
    for left in (0, 1):  # too few to hear who asks; too few to fork for him
        server.rlimit(psutil.RLIMIT_NOFILE, (server.num_fds() + left, usual[1]))
        process = start(hub[0], "a word")
        time.sleep(0.5)
        if left:
            assert not said(process)["exe"].startswith("/memfd:")
        server.rlimit(psutil.RLIMIT_NOFILE, usual)
        if not left:
            assert said(process)["exe"].startswith("/memfd:")
        assert process.wait(20) == 3
    process = start(hub[0], "a word")
    assert said(process)["exe"].startswith("/memfd:")
    process.wait(20)


def test_what_a_lesson_converts_in_is_a_fork_too(hub):
    process = start(hub[0], module=("-m", "converts"))
    found = said(process)
    assert found["seconds"] < 1.5, "nothing was imported"
    assert found["version"] == importlib.metadata.version("tensorflow")
    assert len(set(found["pids"])) == 2
    assert process.wait(20) == 0
    assert all(map(gone, forks(hub, "child"))), "what waited ends with its caller"


def test_a_kernel_that_is_killed_takes_what_it_converts_in_with_it(hub):
    process = start(hub[0], "wait", module=("-m", "converts"))
    said(process)
    children = forks(hub, "child")
    (kernel,) = forks(hub, "converts")
    kernel.kill()
    assert children and all(map(gone, children))


@pytest.mark.parametrize("warm", [True, False])
def test_a_students_server_finds_no_module_in_his_home(hub, warm):
    """Else a notebook's neighbour that is called calendar.py would be his last start."""
    process = start(hub[0], module=("-P", "-m", "says"), warm=warm, stderr=subprocess.PIPE)
    assert "No module named says" in process.communicate(timeout=20)[1]
    assert process.returncode == 1


def test_this_machine_can_do_it():
    probe = subprocess.run([sys.executable, str(WARM), "probe"], capture_output=True, text=True)
    assert probe.stdout.strip() == ""
