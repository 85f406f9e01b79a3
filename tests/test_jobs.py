"""Independent jobs: one that dies costs only itself, and what was found is not looked for again."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import suppress

import distributed
import numpy as np
import psutil
import pytest

from lessons_lib import files, jobs
from lessons_lib.advise.jobs import Job
from lessons_lib.errors import ChildDied, InputError, LessonError, StorageError
from lessons_lib.system import warm

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
SQUARES = {f"square {n}": n**2 for n in range(12)}


def squares(function="square", *arguments):
    return [Job(f"square {n}", f"jobs_to_do:{function}", (n, *arguments)) for n in range(12)]


def computed(log):
    """How often each number was squared."""
    return Counter(line.split()[0] for line in log.read_text().splitlines())


@pytest.mark.parametrize("workers", [1, 2, 20])
def test_any_number_of_workers_gives_the_same(workers, tmp_path):
    seen, log = {}, tmp_path / "log"
    found = jobs.run(
        squares("square", str(log)), tmp_path / "cache", workers, None, seen.__setitem__
    )
    assert found == seen == SQUARES
    assert list(found) == list(SQUARES)
    assert set(computed(log).values()) == {1}


def test_two_workers_share_the_jobs(tmp_path):
    log = tmp_path / "log"
    jobs.run(squares("slow_square", str(log), 0.2), tmp_path / "cache", workers=2)
    processes = Counter(line.split()[1] for line in log.read_text().splitlines())
    assert len(processes) == 2
    assert min(processes.values()) >= 3


def test_what_is_there_is_not_run_again(tmp_path):
    log, seen = tmp_path / "log", []
    half = squares("square", str(log))[:6]
    jobs.run(half, tmp_path)
    found = jobs.run(squares("square", str(log)), tmp_path, on_done=lambda key, _: seen.append(key))
    assert found == SQUARES
    assert set(computed(log).values()) == {1}
    assert sorted(seen) == sorted(SQUARES)


def test_one_work_under_two_keys_is_done_once(tmp_path):
    log = str(tmp_path / "log")
    twice = [Job(key, "jobs_to_do:square", (3, log)) for key in ("one", "other")]
    assert jobs.run(twice, tmp_path) == {"one": 9, "other": 9}
    assert computed(tmp_path / "log") == {"3": 1}


def test_a_damaged_result_is_found_anew(tmp_path):
    jobs.run(squares(), tmp_path)
    for file in tmp_path.glob("*.result"):
        file.write_bytes(b"\x80")
    assert jobs.run(squares(), tmp_path) == SQUARES


def test_a_files_content_counts_and_not_its_name(tmp_path):
    one, same, other = (tmp_path / name for name in ("one.bin", "same.bin", "other.bin"))
    one.write_bytes(b"abc"), same.write_bytes(b"abc"), other.write_bytes(b"abcd")
    work = [Job(f.name, "jobs_to_do:size", (f, "text")) for f in (one, same, other)]
    expected = {"one.bin": 3, "same.bin": 3, "other.bin": 4}
    found = jobs.run(work, tmp_path / "cache")
    assert found == {name: (size, ".bin", "text") for name, size in expected.items()}
    assert len(list((tmp_path / "cache").iterdir())) == 2
    one.write_bytes(b"abcde")
    assert jobs.run(work, tmp_path / "cache")["one.bin"] == (5, ".bin", "text")


def test_another_version_of_a_package_is_another_job(tmp_path, monkeypatch):
    log = tmp_path / "log"
    jobs.run(squares("square", str(log))[:1], tmp_path)
    other = jobs.versions() | {"numpy": "1.0"}
    monkeypatch.setattr(jobs, "versions", lambda: other)
    jobs.run(squares("square", str(log))[:1], tmp_path)
    assert computed(log) == {"0": 2}


@posix
@pytest.mark.parametrize("workers", [1, 2])
def test_a_job_that_dies_costs_only_itself(workers, tmp_path):
    log = tmp_path / "log"
    found = jobs.run(squares("one_that_dies", 5, str(log)), tmp_path / "cache", workers)
    died = found.pop("square 5")
    assert isinstance(died, ChildDied)
    assert str(died).startswith("square 5 ended with signal SIGKILL")
    assert died.signal == signal.SIGKILL
    assert found == {key: value for key, value in SQUARES.items() if key != "square 5"}
    assert set(computed(log).values()) == {1}
    # It may have been the system that ended it: the next run tries it again, and only it.
    again = jobs.run(squares("one_that_dies", 5, str(log)), tmp_path / "cache", workers)
    assert isinstance(again["square 5"], ChildDied)
    assert set(computed(log).values()) == {1}


@posix
@pytest.mark.parametrize("waiting", [False, warm.AVAILABLE], ids=["it", "what it came from"])
def test_a_child_that_is_killed_from_outside_costs_the_job_that_it_was_at(
    waiting, tmp_path, usual_python
):
    log = tmp_path / "log"

    def kill(key, result):
        if key == "square 2":
            last = int(log.read_text().splitlines()[-1].split()[1])
            os.kill(psutil.Process(last).ppid() if waiting else last, signal.SIGKILL)

    work = squares("slow_square", str(log), 0.3)
    found = jobs.run(work, tmp_path / "cache", on_done=kill)
    lost = [key for key, value in found.items() if isinstance(value, LessonError)]
    assert len(lost) == 1
    assert all(found[key] == value for key, value in SQUARES.items() if key not in lost)
    assert jobs.run(work, tmp_path / "cache") == SQUARES


CALLER = """
import sys
sys.path.insert(0, sys.argv[1])
from test_jobs import squares
from lessons_lib import jobs
jobs.run(squares("slow_square", sys.argv[2], 0.3), sys.argv[3], workers=2)
"""


@posix
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["kill", "Ctrl-C"])
def test_a_caller_that_is_killed_leaves_what_it_had_and_the_next_run_goes_on(
    number, tmp_path, usual_python
):
    log, cache, here = tmp_path / "log", tmp_path / "cache", os.path.dirname(__file__)
    command = [sys.executable, "-c", CALLER, here, str(log), str(cache)]
    caller = subprocess.Popen(
        command,
        stderr=subprocess.DEVNULL,
        # A shell's background job ignores SIGINT, and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not log.exists() or len(computed(log)) < 4:
        time.sleep(0.05)
    caller.send_signal(number)
    assert caller.wait(10) != 0
    time.sleep(1.0)  # longer than a job: children that lived on would write
    before = computed(log)
    assert len(before) < 12
    kept = len(list(cache.glob("*.result")))
    assert 3 <= kept <= len(before)
    assert not [file for file in cache.iterdir() if file.suffix != ".result"]
    assert jobs.run(squares("slow_square", str(log), 0.3), cache, 2) == SQUARES
    # Of the two that were under way each may have been computed a second time.
    assert sum(computed(log).values()) <= 12 + (len(before) - kept)


def test_what_a_function_raises_is_its_result(tmp_path):
    work = [Job(name, f"jobs_to_do:{name}", (7,)) for name in ("refuse", "fail", "square")]
    work.append(Job("missing", "jobs_to_do:missing"))
    found = jobs.run(work, tmp_path)
    assert (type(found["refuse"]), str(found["refuse"])) == (InputError, "7 is refused")
    assert isinstance(found["fail"], LessonError)
    assert str(found["fail"]) == "fail failed with ZeroDivisionError: 7 / 0"
    assert "has no attribute 'missing'" in str(found["missing"])
    assert found["square"] == 49


def test_a_full_disk_is_no_result(tmp_path):
    with pytest.raises(StorageError, match="the disk is full"):
        jobs.run([Job("one", "jobs_to_do:no_room", (1,))], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_job_that_never_ends_is_ended(tmp_path):
    work = [Job("endless", "jobs_to_do:sleep", (600,)), *squares()]
    found = jobs.run(work, tmp_path, timeout=3.0)
    said = "endless took more than 3 s and was ended; set LESSONS_TIMEOUT to the seconds that"
    assert str(found.pop("endless")).startswith(said)
    assert found == SQUARES


def test_a_job_may_take_as_long_as_the_user_said(tmp_path, monkeypatch):
    monkeypatch.setenv("LESSONS_TIMEOUT", "60")
    found = jobs.run([Job("slow", "jobs_to_do:sleep", (3,))], tmp_path, timeout=1.0)
    assert found == {"slow": None}
    monkeypatch.setenv("LESSONS_TIMEOUT", "long")
    with pytest.raises(InputError, match="LESSONS_TIMEOUT=long; expected a number of seconds"):
        jobs.run([], tmp_path)


def test_after_its_seconds_no_further_job_begins(tmp_path):
    log = tmp_path / "log"
    found = jobs.run(squares("slow_square", str(log), 0.5), tmp_path, seconds=3.0)
    assert 0 < len(found) < 12
    assert found == {key: SQUARES[key] for key in found}
    assert len(found) == len(computed(log))


def test_without_any_time_there_is_what_was_found_before(tmp_path):
    jobs.run(squares()[:3], tmp_path)
    assert list(jobs.run(squares(), tmp_path, seconds=0.0)) == list(SQUARES)[:3]


def test_a_child_that_cannot_start_is_an_error_and_no_endless_loop(
    tmp_path, monkeypatch, usual_python
):
    monkeypatch.setenv("PYTHONHOME", str(tmp_path))
    with pytest.raises(ChildDied, match="exit code 1"):
        jobs.run(squares(), tmp_path / "cache", 2)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (np.zeros(3), "holds a ndarray; expected text, numbers"),
        (("a", [np.zeros(3)]), "holds a ndarray"),
        ([files.ROOT], "give its Path as an argument of its own"),
        ({1, 2}, "holds a set"),
    ],
)
def test_what_cannot_be_compared_is_refused(argument, message, tmp_path):
    with pytest.raises(InputError, match=message):
        jobs.run([Job("one", "jobs_to_do:square", (argument,))], tmp_path)


def test_wrong_use_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"^missing.bin: cannot read .*missing.bin: No such file"):
        jobs.run([Job("missing.bin", "jobs_to_do:size", (tmp_path / "missing.bin", ""))], tmp_path)
    with pytest.raises(InputError, match="two jobs have the key 'square 3'"):
        jobs.run([*squares(), squares()[3]], tmp_path)
    with pytest.raises(InputError, match="workers=0; expected at least 1"):
        jobs.run(squares(), tmp_path, workers=0)
    assert jobs.run([], tmp_path) == {}


# ---- on a cluster


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=":0"
    ) as found:
        yield found


def test_a_cluster_gives_the_same(cluster, tmp_path):
    seen, model = {}, tmp_path / "model.tflite"
    model.write_bytes(b"a model's bytes")
    work = [*squares(), Job("file", "jobs_to_do:size", (model, "text"))]
    work.append(Job("refuse", "jobs_to_do:refuse", (7,)))
    found = jobs.run(work, tmp_path / "cache", 1, cluster.scheduler_address, seen.__setitem__)
    assert found == seen
    assert str(found.pop("refuse")) == "7 is refused"
    assert found.pop("file") == (15, ".tflite", "text")
    assert found == SQUARES
    assert jobs.run(squares(), tmp_path / "cache") == SQUARES
    assert len(list((tmp_path / "cache").iterdir())) == 14


@posix
def test_a_job_that_dies_on_a_worker_costs_only_itself(cluster, tmp_path):
    work = squares("one_that_dies", 5, str(tmp_path / "log"))
    found = jobs.run(work, tmp_path / "cache", scheduler=cluster.scheduler_address)
    died = found.pop("square 5")
    assert isinstance(died, ChildDied)
    assert str(died).startswith("square 5 ended with signal SIGKILL")
    assert found == {key: value for key, value in SQUARES.items() if key != "square 5"}


@posix
def test_a_worker_that_is_killed_loses_nothing(cluster, tmp_path):
    log, model, killed = tmp_path / "log", tmp_path / "model.tflite", []
    model.write_bytes(b"a model's bytes")

    def kill(key, result):
        if not killed:
            with distributed.Client(cluster.scheduler_address, set_as_default=False) as client:
                killed.extend(client.run(os.getpid).values())
            os.kill(killed[0], signal.SIGKILL)

    work = squares("slow_square", str(log), 0.3)
    work += [Job(f"size {n}", "jobs_to_do:size", (model, str(n))) for n in range(12)]
    found = jobs.run(work, tmp_path / "cache", scheduler=cluster.scheduler_address, on_done=kill)
    assert killed
    assert found == SQUARES | {f"size {n}": (15, ".tflite", str(n)) for n in range(12)}


def test_a_worker_of_another_version_is_refused(cluster, tmp_path, monkeypatch):
    other = jobs.versions() | {"numpy": "1.0"}
    monkeypatch.setattr(jobs, "versions", lambda: other)
    with pytest.raises(InputError, match=rf"a worker has numpy {np.__version__} instead of 1.0"):
        jobs.run(squares(), tmp_path, scheduler=cluster.scheduler_address)


def test_workers_without_this_package_are_said_so(tmp_path):
    hide = "import sys; sys.modules['lessons_lib'] = None"
    options = {"n_workers": 1, "host": "127.0.0.1", "dashboard_address": ":0"}
    with (
        distributed.LocalCluster(**options, preload=[hide]) as bare,
        pytest.raises(InputError, match=r"the workers tcp://\S+ of .* lack this package: install"),
    ):
        jobs.run(squares(), tmp_path, scheduler=bare.scheduler_address)


def test_a_cluster_without_workers_is_said_so(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "_WORKER", 1)
    options = {"n_workers": 0, "host": "127.0.0.1", "dashboard_address": ":0"}
    with distributed.LocalCluster(**options) as empty:
        address = empty.scheduler_address
        with pytest.raises(InputError, match=rf"no worker; start one: dask worker {address}"):
            jobs.run(squares(), tmp_path, scheduler=address)


def test_a_scheduler_that_does_not_answer_is_a_clear_error_within_seconds(tmp_path):
    with socket.socket() as deaf:  # it takes the connection, and never says a word
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        silent = f"tcp://127.0.0.1:{deaf.getsockname()[1]}"
        for address in (silent, "tcp://127.0.0.1:1", "tcp://", "nonsense"):
            start = time.monotonic()
            with pytest.raises(InputError, match=rf"no Dask scheduler answers at '{address}'"):
                jobs.run(squares(), tmp_path, scheduler=address)
            assert time.monotonic() - start < 20


def test_who_says_something_else_is_no_scheduler(tmp_path):
    """An SSH server greets first: taken for a length, its words are more than any memory."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet():
            with suppress(OSError):
                while True:
                    server.accept()[0].sendall(b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n" * 9)

        threading.Thread(target=greet, daemon=True).start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(InputError, match=rf"no Dask scheduler answers at '{address}'"):
            jobs.run(squares(), tmp_path, scheduler=address)


def test_a_scheduler_that_goes_away_is_said_so_and_what_was_done_is_kept(tmp_path):
    log, options = str(tmp_path / "log"), {"n_workers": 1, "host": "127.0.0.1"}
    with (
        distributed.LocalCluster(**options, dashboard_address=":0") as short,
        pytest.raises(LessonError, match=r"scheduler at .* has gone; what was done is kept"),
    ):
        jobs.run(
            squares("slow_square", log, 0.3),
            tmp_path / "cache",
            scheduler=short.scheduler_address,
            on_done=lambda key, result: short.close(),
        )
    assert jobs.run(squares("slow_square", log, 0.3), tmp_path / "cache") == SQUARES


def test_without_the_package_the_command_that_installs_it_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"pip install 'quantization-lessons\[cluster\]'"):
        jobs.run(squares(), tmp_path, scheduler="tcp://127.0.0.1:8786")
