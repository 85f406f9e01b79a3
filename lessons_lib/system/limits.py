"""A command that is held to a time, to memory, to a number of processes and to bytes written.

What runs there may be anyone's code: it may hang, fork without end, or fill the disk. A watcher in
the caller ends it, with all that it started, and says why. On Linux nothing that it starts can
leave its tree; elsewhere a process that cuts itself loose is found as long as its parent lives.
This protects the machine from mistakes, and no one from malice: the code runs as the caller does.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from lessons_lib.system import sandbox

_POLL = 0.2  # seconds between two looks
_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
# A fork bomb doubles faster than anyone looks: threads of one user beyond those at the start.
_MORE_THREADS = 2000


class Interrupted(Exception):
    """A command was ended because its caller asked for that: of no fault of its own."""


@dataclass(frozen=True)
class Limits:
    """What a command may take: ``seconds``; ``memory``, ``written`` and ``file`` in bytes.

    ``memory`` is resident, of all its processes together; ``processes`` is how many live at a time;
    ``written`` is what they wrote anywhere, pipes included, and ``file`` the size of one file.
    """

    seconds: float = 600.0
    memory: int = 4 * 2**30
    processes: int = 64
    written: int = 4 * 2**30
    file: int = 2**30


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit ``code``, and ``why`` it was ended, None where it was not."""

    code: int
    why: str | None
    seconds: float
    memory: int  # bytes, the most that was seen


@dataclass
class _Seen:
    """What was seen of a tree of processes so far."""

    start: float = field(default_factory=time.monotonic)
    memory: int = 0
    written: dict[psutil.Process, int] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.start


def run(
    command: Sequence[str],
    limits: Limits,
    log: Path,
    environment: Mapping[str, str] | None = None,
    interrupted: threading.Event | None = None,
) -> Ended:
    """Run a command that calls ``enter`` first; what it prints goes to the file ``log``.

    ``environment`` is added to the caller's. What is left of its processes when it ends, and when
    the caller is interrupted, is ended too. Raises Interrupted when that event is set, as by the
    main thread of a caller that runs several.
    """
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
    seen, why = _Seen(), None
    try:
        while process.poll() is None and why is None:
            time.sleep(_POLL)
            if interrupted is not None and interrupted.is_set():
                raise Interrupted
            why = _beyond(limits, seen, _tree(process.pid))
    finally:
        _end(process, list(seen.written))
    return Ended(process.returncode, why, seen.seconds, seen.memory)


def enter(limits: Limits, parent: int) -> None:
    """Hold this process, and all that it will start, to what the system itself can hold it to.

    It ends when ``parent``, the process that called ``run``, does.
    """
    if sys.platform == "linux":
        sandbox._end_with(parent)
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with contextlib.suppress(ImportError, ValueError, OSError):  # not on Windows; a lower limit
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (limits.file, limits.file))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        threads = _threads_of_user() + _MORE_THREADS
        resource.setrlimit(resource.RLIMIT_NPROC, (threads, threads))


def leave() -> None:
    """End what this process started and what still runs."""
    for _ in range(100):
        left = psutil.Process().children(recursive=True)
        if not left:
            return
        _kill(left)
        psutil.wait_procs(left, timeout=0.1)


def _threads_of_user() -> int:
    own, count = os.getuid(), 0
    for process in psutil.process_iter(["uids", "num_threads"]):
        uids = process.info["uids"]
        count += (process.info["num_threads"] or 0) if uids and uids.real == own else 0
    return count


def _tree(root: int) -> list[psutil.Process]:
    try:
        first = psutil.Process(root)
        return [first, *first.children(recursive=True)]
    except psutil.Error:
        return []


def _beyond(limits: Limits, seen: _Seen, tree: list[psutil.Process]) -> str | None:
    """Look once; say in words which limit was crossed."""
    memory = 0
    for process in tree:
        seen.written.setdefault(process, 0)
        with contextlib.suppress(psutil.Error, OSError):
            memory += process.memory_info().rss
            if hasattr(process, "io_counters"):
                count = process.io_counters()
                bytes_ = max(count.write_bytes, getattr(count, "write_chars", 0))
                seen.written[process] = max(seen.written[process], bytes_)
    seen.memory = max(seen.memory, memory)
    written = sum(seen.written.values())
    if seen.seconds > limits.seconds:
        return f"it took more than {limits.seconds:g} seconds"
    if memory > limits.memory:
        return f"it took more than {limits.memory / 2**30:.3g} GiB of memory"
    if len(tree) > limits.processes:
        return f"it started more than {limits.processes} processes"
    if written > limits.written:
        return f"it wrote more than {limits.written / 2**30:.3g} GiB"
    return None


def _end(process: subprocess.Popen, known: list[psutil.Process]) -> None:
    """End the tree from its leaves on: while its root lives, what is orphaned falls to it."""
    if process.poll() is None:
        for _ in range(100):
            below = _tree(process.pid)[1:]
            for one in below:  # those that stand still cannot fork
                with contextlib.suppress(psutil.Error):
                    one.suspend()
            alive = [one for one in below if _status(one) != psutil.STATUS_ZOMBIE]
            if not alive:
                break
            _kill(alive)
            psutil.wait_procs(alive, timeout=0.05)
        process.kill()
    process.wait()
    _kill([one for one in known if one.pid != process.pid])


def _status(process: psutil.Process) -> str:
    try:
        return process.status()
    except psutil.Error:
        return psutil.STATUS_ZOMBIE


def _kill(processes: list[psutil.Process]) -> None:
    """End these; psutil remembers when each began, and takes no newer one for it."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))
