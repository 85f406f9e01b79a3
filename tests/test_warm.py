import ast
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from lessons_lib.errors import ChildDied
from lessons_lib.system import files, sandbox, warm

resource = pytest.importorskip("resource", reason="Windows has no such limits")
pytestmark = [
    pytest.mark.skipif(not warm.AVAILABLE, reason="only Linux forks here"),
    pytest.mark.usefixtures("usual_python"),
]


# The functions below are run in a fork, which finds this module by its name.
def parent():
    return os.getppid()


def imported():
    return sorted({"numpy", "tensorflow"} & sys.modules.keys())


def place():
    return os.getcwd(), os.environ.get("TZ"), os.environ.get("LESSONS_X")


def leave_a_mark():
    marks = getattr(np_random(), "marks", 0)
    np_random().marks = marks + 1
    return marks


def np_random():
    return sys.modules["numpy"].random


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)


def leave_with(code):
    sys.exit(code)


def at_exit(path):
    import atexit

    atexit.register(Path(path).touch)


def umask():
    before = os.umask(0)
    os.umask(before)
    return before


def drawn():
    return sys.modules["numpy"].random.random()


def say(size):
    print("x" * size)
    raise ValueError("the last word")


def call(name, *args, imported="numpy"):
    return sandbox.call(f"test_warm:{name}", *args, imported=imported)


def test_calls_are_forks_of_one_process_that_has_imported():
    first, second = call("parent"), call("parent")
    assert first == second
    assert psutil.Process(first).ppid() == os.getpid()
    assert call("imported") == ["numpy"]


def test_a_call_leaves_nothing_to_the_next():
    assert [call("leave_a_mark") for _ in range(2)] == [0, 0]


def test_a_fork_works_in_the_callers_folder_and_environment(tmp_path, monkeypatch):
    first = call("parent")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LESSONS_X", "of this call")
    assert call("place") == (str(tmp_path), os.environ.get("TZ"), "of this call")
    assert call("parent") == first


def test_a_fork_has_the_callers_umask():
    before = os.umask(0o027)
    try:
        assert call("umask") == 0o027
        os.umask(0o077)
        assert call("umask") == 0o077
    finally:
        os.umask(before)


def test_forks_draw_different_numbers():
    assert call("drawn") != call("drawn")


@pytest.mark.parametrize("imported", ["numpy", "tensorflow", "litert_quantizer.quantizer"])
def test_what_is_imported_has_started_no_thread_that_a_fork_would_lose(imported, monkeypatch):
    """But jemalloc's and, with several cores, OpenBLAS's: both see to forks themselves."""
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    tasks = Path(f"/proc/{call('parent', imported=imported)}/task").iterdir()
    names = [(task / "comm").read_text().strip() for task in tasks]
    assert sorted(name for name in names if name != "jemalloc_bg_thd")[1:] == []


def test_a_caller_with_many_files_open_is_answered():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1200:
        pytest.skip(f"this machine allows {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (1200, hard))
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1050)]
    try:
        assert call("imported", imported="numpy.linalg") == ["numpy"]
    finally:
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_in_another_environment_another_process_imports(monkeypatch):
    first = call("parent")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    second = call("parent")
    assert second != first
    assert not psutil.pid_exists(first)
    assert call("place")[1] == "Asia/Tokyo"


def test_where_the_process_was_killed_a_fresh_one_answers():
    first = call("parent")
    os.kill(first, signal.SIGKILL)
    assert call("parent") != first
    assert call("imported") == ["numpy"]


def test_where_a_module_cannot_be_imported_a_fresh_process_answers():
    assert call("imported", imported="no_such_module") == []


def test_a_thread_has_a_process_of_its_own_which_ends_with_it():
    found = []
    thread = threading.Thread(target=lambda: found.append(call("parent")))
    thread.start()
    thread.join()
    assert found[0] != call("parent")
    until = time.monotonic() + 5
    while _runs(found[0]):
        assert time.monotonic() < until
        time.sleep(0.02)


def _runs(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_what_tensorflow_sets_in_its_importer_is_no_other_environment(monkeypatch):
    program = "import os; old = {*os.environ}; import tensorflow; print(*{*os.environ} - old)"
    bare = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", program], env=bare, check=True, capture_output=True, text=True
    )
    first = call("parent")
    assert "TF2_BEHAVIOR" in done.stdout
    for name in done.stdout.split():
        monkeypatch.setenv(name, "set")
    assert call("parent") == first


def test_a_process_that_waits_in_vain_ends(monkeypatch, learners_idle_s):
    assert learners_idle_s <= 30  # what it has imported is a third of a gigabyte
    monkeypatch.setattr(warm, "IDLE_S", 0.2)
    first = call("parent")
    until = time.monotonic() + 5
    while _runs(first):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert call("parent") != first


def test_a_fork_may_be_interrupted():
    with pytest.raises(ChildDied, match="KeyboardInterrupt"):
        call("interrupt")


@pytest.mark.parametrize(("code", "told"), [(3, 3), ("a text", 1)])
def test_a_fork_that_leaves_is_told_by_its_code(code, told):
    with pytest.raises(ChildDied, match=f"exit code {told}"):
        call("leave_with", code)


def test_what_is_registered_for_the_end_is_done(tmp_path):
    call("at_exit", tmp_path / "done")
    assert (tmp_path / "done").exists()


def test_a_fork_of_tensorflow_begins_at_once(monkeypatch):
    """A fifth of the time of an import, at the most."""
    monkeypatch.setenv("TZ", "UTC")  # so that it is imported anew
    before = time.monotonic()
    assert call("imported", imported="tensorflow") == ["numpy", "tensorflow"]
    middle = time.monotonic()
    call("imported", imported="tensorflow")
    assert (time.monotonic() - middle) * 5 < middle - before


def test_what_is_said_to_be_imported_exists():
    """A name that is wrong would only cost time."""
    names = set()
    for path in (files.ROOT / "lessons_lib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "imported":
                names |= {n.value for n in ast.walk(node) if isinstance(n, ast.Constant)}
    from lessons_lib.convert import every_path

    names |= set(every_path._IMPORTED.values())
    assert {"numpy", "tensorflow", "litert_quantizer.quantizer"} <= names
    assert all(importlib.util.find_spec(name) for name in names if name)


def test_what_a_fork_says_needs_no_room_on_disk_and_has_an_end():
    with pytest.raises(ChildDied, match="ValueError: the last word"):
        call("say", 3_000_000)


def test_from_a_folder_that_was_removed_it_is_called(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert call("imported") == ["numpy"]
