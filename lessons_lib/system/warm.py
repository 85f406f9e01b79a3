"""A child process in a fraction of a second: forked from one that has imported and done no more.

Importing TensorFlow takes seconds, and a lesson converts a dozen times. So a process that has
imported it waits for a while: each call is a fork of it, which shares nothing with the calls
before, and may crash as any child may. It is of one thread of its caller, and ends with it.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from lessons_lib.system.quiet import quiet

# Elsewhere the system's own libraries do not bear a fork.
AVAILABLE = sys.platform == "linux"
IDLE_S = 20.0  # as long as a process waits for the next call: what it has imported needs memory
# What may differ between two calls to one process; all else may matter to what it has imported.
_APART = ("LESSONS_", "PYTEST_")
# TensorFlow sets these in who imports it, as in the process that waits.
_APART += ("ENABLE_RUNTIME_UPTIME_TELEMETRY", "HDF5_PLUGIN_PATH", "TF2_BEHAVIOR")
_APART += ("TF_CPP_MIN_LOG_LEVEL", "TPU_ML_PLATFORM")
_MOST_SAID = 100_000  # bytes, the last that a fork has said


class Lost(Exception):
    """The process that waited ended, and nothing is known of the call."""


def python() -> list[str]:
    """Return the command of a Python that may have imported already, and is like a fresh one.

    ``$LESSONS_WARM_PYTHON`` names a script that stands for such Pythons: see ``deploy/hub``.
    """
    script = os.environ.get("LESSONS_WARM_PYTHON")
    return [sys.executable, *(["-I", "-S", script] if script else [])]


def run(
    command: list[str], function: str, files: list[str], folder: str, timeout: float
) -> subprocess.CompletedProcess:
    """Let a fork of the process that ``command`` starts, and that calls ``serve``, do its work.

    The work is on ``files``. A module of ours that has ``function`` is imported before the fork as
    well. The fork's exit code, below zero for a signal, and what it said on stderr come back.
    Raises subprocess.TimeoutExpired after ``timeout`` seconds, and Lost.
    """
    until = time.monotonic() + timeout
    order = {"function": function, "files": files, "idle_s": IDLE_S, "directory": _directory()}
    order |= {"environment": os.environ | {"TMPDIR": folder}, "umask": _umask()}
    waiting = _waiting(command)
    try:
        answer = waiting.ask(json.dumps(order), until)
    except BaseException:  # the call is ended with it
        waiting.end()
        raise
    if answer is None:
        waiting.end()
        raise subprocess.TimeoutExpired(function, timeout)
    code, said = json.loads(answer)
    return subprocess.CompletedProcess(function, code, "", said)


def _umask() -> int:
    status = Path("/proc/self/status").read_text()  # os.umask alone tells it, by setting another
    return int(re.search(r"^Umask:\s*([0-7]+)", status, re.MULTILINE)[1], 8)


def _directory() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was removed
        return None


class _Waiting:
    """The caller's end of a process that waits."""

    def __init__(self, command: list[str]):
        self.environment, self.owner = _environment(), os.getpid()
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, bufsize=0, **pipes)
        self._process = process
        self.end = weakref.finalize(self, _end, process)

    @property
    def is_fit(self) -> bool:
        """Whether it is there, is this process's own, and began in the same environment."""
        return (
            self.owner == os.getpid()
            and self._process.poll() is None
            and self.environment == _environment()
        )

    def ask(self, order: str, until: float) -> bytes | None:
        """Return the answer to an order, None where ``until`` is past before there is one."""
        answer = b""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(order.encode() + b"\n")
        ready = select.poll()  # select.select knows no descriptors beyond 1023
        ready.register(self._process.stdout, select.POLLIN)
        while not answer.endswith(b"\n"):
            if not ready.poll(1000 * max(0.0, until - time.monotonic())):
                return None
            part = self._process.stdout.read(_MOST_SAID)
            if not part:
                raise Lost
            answer += part
        return answer


_OWN = threading.local()  # the kernel ends what a thread started when that thread ends


def _waiting(command: list[str]) -> _Waiting:
    known, name = _OWN.__dict__, " ".join(command)
    if name in known and not known[name].is_fit:
        known.pop(name).end()
    if name not in known:
        known[name] = _Waiting(command)
    return known[name]


def _environment() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith(_APART)}


def _end(process: subprocess.Popen) -> None:
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def serve(imported: str) -> list[str]:
    """Import a module, then fork for each order on stdin; return in a fork, with its files.

    The process itself ends when its caller says no more, or nothing for a while.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what is said at import is not an answer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of an interrupted caller's group; it tells us
    with quiet():
        importlib.import_module(imported)
    gc.freeze()  # Keras and the converter collect garbage: in forks not among what is imported
    idle_s = IDLE_S
    while order := _next_order(idle_s):
        idle_s = order["idle_s"]
        _import_ours(order["function"])
        with open(os.memfd_create("said"), "r+b", buffering=0) as said:
            child = os.fork()
            if not child:
                answers.close()
                _become_new(order, said.fileno())
                return order["files"]
            code = os.waitstatus_to_exitcode(_end_of(child))
            answers.write(json.dumps([code, _last(said)]) + "\n")
            answers.flush()
    sys.exit()


def _end_of(child: int) -> int:
    """Wait for a fork, and end it where nobody waits for its answer; return its status."""
    with contextlib.suppress(OSError):  # Linux before 5.3 has no such descriptors
        handle = os.pidfd_open(child)
        either = select.poll()
        either.register(handle, select.POLLIN)
        either.register(sys.stdin, 0)  # the other end is closed
        if sys.stdin.fileno() in dict(either.poll()):
            os.kill(child, signal.SIGKILL)
        os.close(handle)
    return os.waitpid(child, 0)[1]


def _last(said: BinaryIO) -> str:
    size = said.seek(0, os.SEEK_END)
    said.seek(max(0, size - _MOST_SAID))
    return said.read().decode(errors="replace")


def _next_order(idle_s: float) -> dict | None:
    if not select.select([sys.stdin], [], [], idle_s)[0]:
        return None
    line = sys.stdin.readline()
    return json.loads(line) if line else None


def _import_ours(function: str) -> None:
    """A module that fails is imported, and fails, in the child."""
    module = function.partition(":")[0]
    if module.startswith("lessons_lib."):
        with quiet(), contextlib.suppress(Exception):
            importlib.import_module(module)


def _become_new(order: dict, said: int) -> None:
    """Let this fork be what a fresh process of the caller would be."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for descriptor, target in enumerate((os.open(os.devnull, os.O_RDONLY), said, said)):
        os.dup2(target, descriptor)
    os.umask(order["umask"])
    os.environ.clear()
    os.environ.update(order["environment"])
    with contextlib.suppress(OSError, TypeError):  # the caller's was removed, or may not be entered
        os.chdir(order["directory"])
    tempfile.tempdir = None  # it was found before this call's folder was there
    if "numpy" in sys.modules:  # else all forks would draw the same; Python's own random knows
        sys.modules["numpy"].random.seed()


@contextlib.contextmanager
def ends_at_once() -> Iterator[None]:
    """End the process behind the block, as Python would; but what was imported is not taken down.

    That takes TensorFlow a second, and nothing depends on it.
    """
    code = 1
    try:
        yield
        code = 0
    except SystemExit as exit:
        code = exit.code if isinstance(exit.code, int) else int(exit.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):  # where nobody reads what is left to say
            threading._shutdown()  # waits for threads, as an interpreter's end does
            atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
