"""Work that may crash, or whose memory is to be measured, runs in a fresh process.

A damaged ``.tflite`` or an unlucky conversion ends the process with a segmentation fault.
In a child process that is an error message; in the learner's kernel it is lost work.
"""

import contextlib
import importlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lessons_lib.errors import ChildDied, LessonError, ModelFileError, StorageError
from lessons_lib.system import files

_NO_ROOM = 73  # the exit code of a child that cannot write its answer (sysexits.h: EX_CANTCREAT)
# A child imports its caller's own lessons_lib, whichever other one is installed or lies about.
_OWN_FOLDER = str(Path(__file__).resolve().parents[2])
_START = """import sys
sys.path.insert(0, sys.argv[1])
import lessons_lib
del sys.path[0]
from lessons_lib.system import sandbox
sandbox._main(*sys.argv[2:])"""


def call(function: str, *args: Any, timeout: float = 300.0) -> Any:
    """Return ``function(*args)``, run in a fresh Python process with the caller's import path.

    ``function`` is ``"module:name"``; the arguments and the result must be picklable.
    A LessonError raised there is raised here. Raises ChildDied when the child crashes, fails
    otherwise, or needs more than ``timeout`` seconds, and StorageError when there is no room for
    the temporary files through which they talk. (Not ``multiprocessing``: its *spawn* runs
    the caller's script again where that has no ``if __name__ == "__main__"``.)
    """
    with _temporary_folder() as folder:
        request, answer = Path(folder, "request"), Path(folder, "answer")
        # The arguments are packed by themselves: unpacking them may need the path.
        _write(request, (sys.path, function, pickle.dumps(args)))
        command = [sys.executable, "-P", "-c", _START, _OWN_FOLDER, str(request), str(answer)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=timeout
            )
        except subprocess.TimeoutExpired as error:
            raise ChildDied(f"{function} did not answer within {timeout:g} s") from error
        if done.returncode == _NO_ROOM:
            raise _no_room(done.stderr.strip())
        if not answer.exists():
            raise _death(function, done)
        ok, result = pickle.loads(answer.read_bytes())
    if ok:
        return result
    raise result


@contextlib.contextmanager
def _temporary_folder() -> Iterator[str]:
    try:
        folder = tempfile.TemporaryDirectory(prefix="lessons-", ignore_cleanup_errors=True)
    except OSError as error:
        raise _no_room(error) from error
    with folder as name:
        yield name


def _write(path: Path, content: Any) -> None:
    try:
        path.write_bytes(pickle.dumps(content))
    except OSError as error:
        raise _no_room(error) from error


def _no_room(reason: object) -> StorageError:
    return StorageError(
        f"no room for temporary files in {tempfile.gettempdir()} ({reason}): free some space, or "
        "set TMPDIR to another folder"
    )


def _death(function: str, done: subprocess.CompletedProcess) -> ChildDied:
    if done.returncode < 0:
        name = signal_name(-done.returncode)
        return ChildDied(f"{function} ended with signal {name}", -done.returncode)
    last = (done.stderr.strip().splitlines() or ["(no message)"])[-1]
    return ChildDied(f"{function} failed with exit code {done.returncode}: {last}")


def signal_name(number: int) -> str:
    """Return a signal's name, for example ``SIGKILL``; the number where it has none (realtime)."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _main(request: str, answer: str) -> None:
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


_trusted: set[tuple[str, str]] = set()


_ANY = "any"


def once(content: bytes, source: object, use: str, function: str, *args: Any) -> None:
    """Let ``function(content, *args)`` run in a child process, unless it was seen to survive.

    ``use`` names the native code that meets the content, such as a set of kernels. Raises
    ModelFileError, with the name of ``source``, when the child refuses the content or dies of it.
    """
    if is_trusted(content, use):
        return
    name = source if isinstance(source, str | os.PathLike) else "these bytes"
    try:
        call(function, content, *args, timeout=60.0)
    except ChildDied as error:
        raise ModelFileError(
            f"{name} crashed the runtime ({error}): the model is corrupted or truncated; "
            "convert it again (lesson 01)"
        ) from error
    except ModelFileError as error:
        raise ModelFileError(f"{name}: {error}") from error
    trust(content, use)


def trust(model: str | os.PathLike | bytes, kernels: str = _ANY) -> None:
    """Remember a file or bytes as safe to load in this process, with these kernels or with any."""
    _trusted.add((files.sha256(model), kernels))


def is_trusted(model: bytes, kernels: str) -> bool:
    """Return whether these bytes are known to be safe to load with these kernels."""
    digest = files.sha256(model)
    return (digest, _ANY) in _trusted or (digest, kernels) in _trusted
