"""Independent jobs: what one of them found is kept in a file, and one that dies costs only itself.

A pool of ``concurrent.futures`` is lost with the first process that crashes, and remembers nothing.
Here jobs run in child processes, or on the user's own Dask cluster, and what was found once is not
looked for again: an interrupted run goes on where it was. What is given up: jobs that wait for each
other's results.
"""

import asyncio
import faulthandler
import functools
import importlib.util
import os
import pickle
import queue
import shutil
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields, is_dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from lessons_lib.errors import ChildDied, InputError, LessonError, StorageError, first_line
from lessons_lib.system import files, sandbox

_LOOK = 0.1  # seconds between two looks at what has come
_ANSWER = 5  # seconds that a scheduler may take to answer,
_WORKER = 60  # and a cluster that grows with its tasks to start its first worker
PACKAGES = (
    *("quantization-lessons", "tensorflow", "keras", "ai-edge-litert", "litert-quantizer"),
    *("tflite-micro", "numpy"),
)


@dataclass(frozen=True)
class Job:
    """One call, ``function(*arguments)``, under a ``key`` of the caller's own.

    ``function`` is ``"module:name"``. Arguments are text, numbers, and tuples, dictionaries and
    dataclasses of these. What is large is a file, a ``Path``: its content counts, not its name, and
    on a cluster the function is given a copy's path.
    """

    key: str
    function: str
    arguments: tuple = ()


def run(
    jobs: Iterable[Job],
    folder: str | os.PathLike,
    workers: int = 1,
    scheduler: str | None = None,
    on_done: Callable[[str, Any], None] | None = None,
    *,
    seconds: float = float("inf"),
    timeout: float = 300.0,
) -> dict[str, Any]:
    """Return what each job gave, by its key: the function's result, or the error as LessonError.

    Each result is a file in ``folder`` as soon as it is there, and a job whose function, arguments
    and packages' versions are those of such a file is not run again. ``workers`` child processes
    share the jobs; with a ``scheduler``, such as ``tcp://192.168.1.5:8786``, the workers of that
    Dask cluster do, each job in a child process there. A job that crashes, or takes more than
    ``timeout`` seconds (``$LESSONS_TIMEOUT`` where that is more), gives a ChildDied with the
    signal's name, which is not kept.
    ``on_done(key, result)`` is called for each result as it comes. After ``seconds`` no further
    job begins, and the keys of those that did not run are missing. Raises InputError for two jobs
    of one key, for arguments that cannot be compared, for fewer than one worker, and for a cluster
    that does not answer or lacks this package, StorageError when ``folder`` cannot be written.
    Source: https://distributed.dask.org/en/stable/client.html.
    """
    if workers < 1:
        raise InputError(f"workers={workers}; expected at least 1")
    found, until, folder = {}, time.monotonic() + seconds, Path(folder).absolute()
    timeout = sandbox.patience(timeout)
    # The key is the caller's, and no part of the work: two keys may have one result.
    work, keys = _by_digest(jobs)
    for digest, result in _all(work, folder, workers, scheduler, until, timeout):
        for key in [key for key, other in keys.items() if other == digest]:
            found[key] = result
            if on_done is not None:
                on_done(key, result)
    return {key: found[key] for key in keys if key in found}


def _all(jobs, folder, workers, scheduler, until, timeout) -> Iterator[tuple[str, Any]]:
    """What is in the folder, and then what comes."""
    missing = {}
    for digest, job in jobs.items():
        if there := _kept(folder, digest):
            yield digest, *there
        else:
            missing[digest] = job
    if not missing or time.monotonic() >= until:
        return
    if scheduler is None:
        yield from _here(missing, folder, workers, until, timeout)
    else:
        for digest, result in _on_cluster(missing, scheduler, until, timeout):
            _keep(folder, digest, result)
            yield digest, result


# ---- one job


def versions() -> dict[str, str]:
    """Return the version of each package that a file or a result may depend on, by its name."""
    found = {}
    for package in PACKAGES:
        with suppress(metadata.PackageNotFoundError):  # some systems have no wheel of TFLite-Micro
            found[package] = metadata.version(package)
    return found


def named(*parts: Any) -> str:
    """Return a name, 16 characters, for what packages of these versions make of ``parts``."""
    return files.sha256(repr((parts, versions())).encode())[:16]


def require(workers: int, scheduler: str | None) -> None:
    """See, before anything runs, that there is who works; errors as in ``run``."""
    if workers < 1:
        raise InputError(f"jobs={workers}; expected at least 1")
    if scheduler is not None:
        with _connected(scheduler) as client:
            _require_workers(client, scheduler)


def _by_digest(jobs: Iterable[Job]) -> tuple[dict[str, Job], dict[str, str]]:
    """The work by its digest, and the digest of each key."""
    work, keys = {}, {}
    for job in jobs:
        if job.key in keys:
            raise InputError(f"two jobs have the key {job.key!r}; each has its own")
        keys[job.key] = _digest(job)
        work[keys[job.key]] = job
    return work, keys


def _digest(job: Job) -> str:
    try:
        given = [
            ("file", _checksum(part, part.stat().st_mtime_ns))
            if isinstance(part, Path)
            else _spelled(part)
            for part in job.arguments
        ]
    except OSError as error:
        raise InputError(f"{job.key}: cannot read {error.filename}: {error.strerror}") from error
    return files.sha256(repr((job.function, given, versions())).encode())


@functools.lru_cache
def _checksum(file: Path, changed: int) -> str:
    return files.sha256(file)


def _spelled(value: Any) -> Any:
    """A value as plain text and lists, the same for equal values, whatever process they are in."""
    if value is None or isinstance(value, str | int | float | bytes):
        return repr(value)
    if isinstance(value, tuple | list):
        return [_spelled(part) for part in value]
    if isinstance(value, dict):
        return ["dict", [(_spelled(name), _spelled(part)) for name, part in value.items()]]
    if is_dataclass(value) and not isinstance(value, type):
        return [type(value).__name__, [_spelled(getattr(value, f.name)) for f in fields(value)]]
    raise InputError(
        f"a job's argument holds a {type(value).__name__}; expected text, numbers, and tuples, "
        "dictionaries or dataclasses of these. Write what is large to a file, and give its Path as "
        "an argument of its own"
    )


def _result(function: str, arguments: Iterable) -> Any:
    """What the function gives, or its error; a disk that is full is no property of the job."""
    module, name = function.split(":")
    try:
        return getattr(importlib.import_module(module), name)(*arguments)
    except StorageError:
        raise
    except LessonError as error:
        return error
    except Exception as error:  # also what a library did not mean to raise
        return LessonError(f"{name} failed with {type(error).__name__}: {first_line(error)}")


def _file(folder: Path, digest: str) -> Path:
    return folder / f"{digest}.result"


def _keep(folder: Path, digest: str, result: Any) -> None:
    if not isinstance(result, ChildDied):
        files.write_atomic(_file(folder, digest), pickle.dumps(result))


def _kept(folder: Path, digest: str) -> tuple:
    """The result that is there, in a tuple; an empty one where there is none, or a damaged one."""
    file = _file(folder, digest)
    try:
        return (pickle.loads(file.read_bytes()),)
    except FileNotFoundError:
        return ()
    except Exception:  # whatever unpickling a damaged file comes upon
        file.unlink()
        return ()


# ---- in child processes


def _here(jobs: dict[str, Job], folder, workers, until, timeout) -> Iterator[tuple[str, Any]]:
    """Each job is a file in ``open``, and whoever moves it to ``taken`` has the job.

    When this ends early the files are gone: then no child begins another job.
    """
    with sandbox.temporary_folder() as name:
        for part in ("open", "taken"):
            Path(name, part).mkdir()
        for digest in jobs:
            Path(name, "open", digest).touch()
        running, news, waiting = min(workers, len(jobs)), queue.SimpleQueue(), set(jobs)
        for number in range(running):
            given = number, jobs, Path(name), folder, timeout
            threading.Thread(target=_keep_child, args=(news, *given), daemon=True).start()
        while running:
            with suppress(queue.Empty):
                event = news.get(timeout=_LOOK)
                if isinstance(event, Exception):
                    raise event
                running -= event is None
                if event is not None:
                    waiting.discard(event[0])
                    yield event
            if time.monotonic() > until:
                shutil.rmtree(Path(name, "open"), ignore_errors=True)
            for digest in [digest for digest in waiting if _file(folder, digest).exists()]:
                waiting.discard(digest)
                yield digest, *_kept(folder, digest)


def _keep_child(news: queue.SimpleQueue, number, jobs, board, folder, timeout) -> None:
    """Keep a child at work: where it dies, its job is lost, and another child goes on."""
    try:
        while any(board.joinpath("open").glob("*")):
            given, death = (number, jobs, board, folder, timeout), None
            at_most = (len(jobs) + 1) * timeout
            try:
                sandbox.call(f"{__name__}:_work", *given, timeout=at_most, imported="numpy")
            except ChildDied as error:
                death = error
            for event in _lost(death, *given):
                news.put(event)
    except Exception as error:
        news.put(error)
    else:
        news.put(None)


def _lost(death, number, jobs, board, folder, timeout) -> list[tuple[str, ChildDied]]:
    """The job that a child was at when it died; one that took none cannot even start.

    A child that ended well may have gone on where another ended, with the process that waited.
    """
    taken = list(board.joinpath("taken").glob(f"*.{number}"))
    if death and not taken:
        raise death
    death = death or ChildDied("ended with the process that it was forked from")
    found = []
    for file in taken:
        digest, since = file.stem, file.stat().st_mtime
        file.unlink()
        if not _file(folder, digest).exists():
            how = str(death).removeprefix(f"{__name__}:_work ")
            if time.time() - since >= timeout:
                how = f"took more than {timeout:g} s and was ended; {sandbox.MORE_TIME}"
            found.append((digest, ChildDied(f"{jobs[digest].key} {how}", death.signal)))
    return found


def _work(number: int, jobs: dict[str, Job], board: Path, folder: Path, timeout: float) -> None:
    """In the child: take one open job after the other, and leave its result."""
    for digest, job in jobs.items():
        taken = board / "taken" / f"{digest}.{number}"
        try:
            os.rename(board / "open" / digest, taken)
        except OSError:  # another child has it, or there is nothing left to do
            continue
        os.utime(taken)  # a rename keeps the old time
        # A thread of C, which also ends a call that never comes back to Python.
        faulthandler.dump_traceback_later(timeout, exit=True)
        result = _result(job.function, job.arguments)
        faulthandler.cancel_dump_traceback_later()
        _keep(folder, digest, result)


# ---- on a Dask cluster


def _on_cluster(jobs: dict[str, Job], scheduler, until, timeout) -> Iterator[tuple[str, Any]]:
    with _connected(scheduler) as client:
        _require_workers(client, scheduler)
        waiting = _submitted(client, jobs, timeout)
        while waiting and time.monotonic() <= until:
            if client.status not in ("running", "connecting"):
                raise _gone(scheduler)
            for digest in [digest for digest, future in waiting.items() if future.done()]:
                yield digest, _came(jobs[digest].key, waiting.pop(digest), scheduler)
            time.sleep(_LOOK)


@contextmanager
def _connected(scheduler: str) -> Iterator[Any]:
    try:
        import distributed
    except ImportError as error:
        raise InputError(
            "a Dask cluster is reached through the package distributed: "
            "pip install 'quantization-lessons[cluster]'"
        ) from error
    try:
        with ThreadPoolExecutor(1) as pool:  # in a thread: Jupyter's has a loop already
            pool.submit(asyncio.run, _answer(scheduler)).result()
        client = distributed.Client(scheduler, timeout=_ANSWER, set_as_default=False)
    except Exception as error:  # whatever the words of somebody else are taken for
        reason = str(error) or f"nothing within {_ANSWER} s"
        raise InputError(
            f"no Dask scheduler answers at {scheduler!r} ({reason}). Start one with "
            "`dask scheduler`, and give the address that it prints, tcp://HOST:8786"
        ) from error
    with client:
        yield client


async def _answer(scheduler: str) -> None:
    """Wait for a scheduler's first words; Client waits for ever where somebody else listens."""
    from distributed import Security, comm

    options = Security().get_connection_args("client")
    line = await asyncio.wait_for(comm.connect(scheduler, timeout=_ANSWER, **options), _ANSWER)
    await line.close()


def _require_workers(client, scheduler: str) -> None:
    """See that there is a worker, and that each can read our jobs: one that cannot would hang."""
    find = importlib.util.find_spec, "lessons_lib"
    try:
        client.submit(*find, pure=False).result(timeout=_WORKER)
    except TimeoutError as error:
        raise InputError(
            f"the cluster at {scheduler} has no worker; start one: dask worker {scheduler}"
        ) from error
    if lacking := [worker for worker, spec in client.run(*find).items() if spec is None]:
        raise InputError(
            f"the workers {', '.join(lacking)} of the cluster at {scheduler} lack this package: "
            "install quantization-lessons there, in the same version"
        )


def _submitted(client, jobs: dict[str, Job], timeout: float) -> dict[str, Any]:
    """A future for each job. A file is sent once, as a task that any worker can do again."""
    contents, futures, run = {}, {}, uuid.uuid4().hex
    with warnings.catch_warnings(action="ignore"):  # that a model is large is known
        for digest, job in jobs.items():
            given = list(job.arguments)
            names = {n: part.name for n, part in enumerate(given) if isinstance(part, Path)}
            for n in names:
                file = job.arguments[n]
                if file not in contents:
                    contents[file] = client.submit(bytes, file.read_bytes(), pure=False)
                given[n] = contents[file]
            work = versions(), job.key, job.function, names, timeout
            futures[digest] = client.submit(_far, *work, *given, key=f"lessons-{digest}-{run}")
    return futures


def _far(expected: dict[str, str], key, function, names: dict[int, str], timeout, *given) -> Any:
    """On a worker: the job in a child process, its files beside it."""
    if expected.items() - (own := versions()).items():
        differing = [
            f"{n} {own.get(n, 'missing')} instead of {version}"
            for n, version in expected.items()
            if own.get(n) != version
        ]
        raise InputError(f"a worker has {', '.join(differing)}: install the same versions there")
    given = list(given)
    with sandbox.temporary_folder() as folder:
        for place, name in names.items():
            path = Path(folder, str(place), name)
            given[place] = files.write_atomic(path, given[place])
        try:
            return sandbox.call(f"{__name__}:_result", function, given, timeout=timeout)
        except ChildDied as death:
            how = str(death).removeprefix(f"{__name__}:_result ")
            return ChildDied(f"{key} {how}", death.signal)


def _came(key: str, future, scheduler: str) -> Any:
    """The result of a future that is done."""
    if future.status == "finished":
        return future.result()
    error = future.exception() if future.status == "error" else None
    if error is None:
        raise _gone(scheduler)
    if isinstance(error, LessonError):
        raise error
    return ChildDied(f"{key} was lost on the cluster: {first_line(error)}")


def _gone(scheduler: str) -> LessonError:
    return LessonError(
        f"the Dask scheduler at {scheduler} has gone; what was done is kept, so start it again and "
        "run the same command"
    )
