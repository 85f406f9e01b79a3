"""Where unknown bytes meet native code: in a child process, once, and then they are trusted.

A damaged ``.tflite`` or an unlucky conversion ends the process with a segmentation fault.
In a child process that is an error message; in the learner's kernel it is lost work. Work whose
memory is to be measured, or given back, runs in a child as well.
"""

import contextlib
import ctypes
import importlib
import os
import pickle
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lessons_lib.errors import ChildDied, InputError, LessonError, ModelFileError, StorageError
from lessons_lib.system import files, warm

MORE_TIME = "set LESSONS_TIMEOUT to the seconds that it may take"
_NO_ROOM = 73  # the exit code of a child that cannot write its answer (sysexits.h: EX_CANTCREAT)
# A child imports its caller's own lessons_lib, whichever other one is installed or lies about.
_OWN_FOLDER = str(Path(__file__).resolve().parents[2])
_START = """import sys
sys.path.insert(0, sys.argv[1])
import lessons_lib
del sys.path[0]
from lessons_lib.system import sandbox
sandbox._main(*sys.argv[2:])"""
_START_WARM = _START.replace("_main", "_main_warm")


class ChildSlow(ChildDied):
    """A child process took more time than it was allowed, and was ended."""


def call(function: str, *args: Any, timeout: float = 300.0, imported: str = "") -> Any:
    """Return ``function(*args)``, run in a fresh Python process with the caller's import path.

    ``imported`` names a module that takes long to import: where the system can, the process is then
    a fork of one that has imported it, which begins at once; its memory is not its own.

    ``function`` is ``"module:name"``; the arguments and the result must be picklable.
    A LessonError raised there is raised here. Raises ChildDied when the child crashes or fails
    otherwise, ChildSlow when it needs more than ``timeout`` seconds (``$LESSONS_TIMEOUT`` where
    that is more), and StorageError when there is no room for the temporary files through which
    they talk. The child ends when its caller is killed, and what it leaves in its temporary folder
    is removed. (Not ``multiprocessing``: its *spawn* runs the caller's script again where that
    has no ``if __name__ == "__main__"``.)
    """
    timeout = patience(timeout)
    with temporary_folder() as folder:
        request, answer = Path(folder, "request"), Path(folder, "answer")
        # The arguments are packed by themselves: unpacking them may need the path.
        _write(request, (sys.path, function, pickle.dumps(args)))
        done = _run([str(request), str(answer)], function, folder, timeout, imported)
        if done.returncode == _NO_ROOM:
            raise no_room(done.stderr.strip())
        if not answer.exists():
            raise _death(function, done)
        ok, result = pickle.loads(answer.read_bytes())
    if ok:
        return result
    raise result


def _run(places: list[str], function: str, folder: str, timeout: float, imported: str):
    until = time.monotonic() + timeout
    parent = os.getpid()
    try:
        if imported and warm.AVAILABLE:
            python = warm.python()
            who = parent if python == [sys.executable] else -parent
            with contextlib.suppress(warm.Lost):  # whatever ended it, a process of its own will say
                command = [*python, "-P", "-c", _START_WARM, _OWN_FOLDER, str(who), imported]
                return warm.run(command, function, places, folder, timeout)
        return subprocess.run(
            [sys.executable, "-P", "-c", _START, _OWN_FOLDER, str(parent), *places],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=max(0.0, until - time.monotonic()),
            env=os.environ | {"TMPDIR": folder},  # removed with all that the child leaves in it
        )
    except subprocess.TimeoutExpired as error:
        raise ChildSlow(
            f"{function} took more than {timeout:g} s and was ended; {MORE_TIME}"
        ) from error


def patience(seconds: float) -> float:
    """Return the seconds that work may take: these, or ``$LESSONS_TIMEOUT`` where that is more.

    Raises InputError where that is no number.
    """
    given = os.environ.get("LESSONS_TIMEOUT") or "0"
    try:
        return max(seconds, float(given))
    except ValueError as error:
        raise InputError(f"LESSONS_TIMEOUT={given}; expected a number of seconds") from error


@contextlib.contextmanager
def temporary_folder() -> Iterator[str]:
    """Yield a folder that is removed afterwards; if this process is killed, by a later one.

    Raises StorageError when there is no room.
    """
    _sweep(Path(tempfile.gettempdir()))
    try:
        folder = tempfile.TemporaryDirectory(
            prefix=f"lessons-{os.getpid()}-", ignore_cleanup_errors=True
        )
    except OSError as error:
        raise no_room(error) from error
    try:
        yield folder.name
    finally:
        files.remove_tree(folder.name)  # which may be deeper than the next line can go
        with contextlib.suppress(RecursionError):
            folder.cleanup()


def _sweep(parent: Path) -> None:
    """Remove what killed callers left; a young folder may be that of another container."""
    for folder in parent.glob("lessons-*-*"):
        found = re.match(r"lessons-(\d+)-", folder.name)
        with contextlib.suppress(OSError):
            old = time.time() - folder.stat().st_mtime > 3600
            if found and old and not files.is_running(int(found[1])):
                files.remove_tree(folder)


def _write(path: Path, content: Any) -> None:
    try:
        path.write_bytes(pickle.dumps(content))
    except OSError as error:
        raise no_room(error) from error


def no_room(reason: object) -> StorageError:
    """Return the error for a full temporary folder."""
    return StorageError(
        f"no room for temporary files in {tempfile.gettempdir()} ({reason}): free some space, or "
        "set TMPDIR to another folder"
    )


def _death(function: str, done: subprocess.CompletedProcess) -> ChildDied:
    if done.returncode < 0:
        name = signal_name(-done.returncode)
        hint = ", as the system ends what has no memory left" if name == "SIGKILL" else ""
        return ChildDied(f"{function} ended with signal {name}{hint}", -done.returncode)
    last = (done.stderr.strip().splitlines() or ["(no message)"])[-1]
    return ChildDied(f"{function} failed with exit code {done.returncode}: {last}")


def signal_name(number: int) -> str:
    """Return a signal's name, for example ``SIGKILL``, or ``SIGRTMIN+6`` of a realtime signal."""
    first, last = (getattr(signal, name, 0) for name in ("SIGRTMIN", "SIGRTMAX"))
    if first < number < last:
        return f"SIGRTMIN+{number - first}"
    try:
        return signal.Signals(number).name
    except ValueError:  # the system keeps a few to itself
        return str(number)


def _main(parent: str, request: str, answer: str) -> None:
    _end_with(int(parent))
    path, function, packed = pickle.loads(Path(request).read_bytes())
    sys.path[:] = path
    args = pickle.loads(packed)
    module, name = function.split(":")
    try:
        result = True, getattr(importlib.import_module(module), name)(*args)
    except LessonError as error:
        result = False, error
    temporary = Path(answer + ".tmp")
    try:
        temporary.write_bytes(pickle.dumps(result))
    except OSError as error:
        print(error, file=sys.stderr)
        sys.exit(_NO_ROOM)
    os.replace(temporary, answer)


def _main_warm(parent: str, imported: str) -> None:
    _end_with(int(parent))
    own = str(os.getpid())  # before the fork, whose parent may have ended when it looks
    places = warm.serve(imported)
    with warm.ends_at_once():
        _main(own, *places)


_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def _end_with(parent: int) -> None:
    """Let this process end when its parent does, even if that is killed.

    On Linux the kernel does it, also while C++ code holds Python's lock for long. Below zero is the
    parent of a process that may be a fork of another: such a fork ends when its input does.
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # where memory runs out, this one has to go
            Path("/proc/self/oom_score_adj").write_text("1000")
        if parent < 0 and os.getppid() != -parent:
            return
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != abs(parent):  # it ended before
            os._exit(1)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


_trusted: set[tuple[str, str]] = set()
_RUNTIMES = {"tflm": "TFLite-Micro", "quantizer": "LiteRT's quantizer"}


def once(content: bytes, source: object, use: str, function: str, *args: Any) -> None:
    """Let ``function(content, *args)`` run in a child process, unless it was seen to survive.

    ``use`` names the native code that meets the content: a set of kernels, such as ``reference``,
    or ``tflm``, or ``quantizer``. Raises ModelFileError, with the name of ``source``, when the
    child refuses the content, dies of it, or needs more than 60 seconds.
    """
    if is_trusted(content, use):
        return
    name = os.fspath(source) if isinstance(source, str | os.PathLike) else "these bytes"
    runtime = _RUNTIMES.get(use, f"the kernels {use!r}")
    try:
        call(function, content, *args, timeout=60.0, imported="numpy")
    except ChildSlow as error:
        raise ModelFileError(
            f"{name} is slow: {runtime} took more than {patience(60.0):g} s to load it and "
            "run it once. Set LESSONS_TIMEOUT to the seconds that it may take, or choose other "
            "kernels (lesson 04)"
        ) from error
    except ChildDied as error:
        how = str(error).removeprefix(f"{function} ")
        raise ModelFileError(
            f"{name}: {runtime} {how}, on loading the file or on running it once. The "
            "file may be sound: other kernels may run it (lesson 04)"
        ) from error
    except ModelFileError as error:
        raise ModelFileError(f"{name}: {error}") from error
    trust(content, use)


def trust(model: str | os.PathLike | bytes, use: str = "xnnpack") -> None:
    """Remember that a file or bytes went through this native code and harmed nothing."""
    _trusted.add((files.sha256(model), use))


def is_trusted(model: bytes, use: str) -> bool:
    """Return whether these bytes were seen to harm nothing in this native code."""
    return (files.sha256(model), use) in _trusted
