"""Work that may crash, or whose memory is to be measured, runs in a fresh process.

A damaged ``.tflite`` or an unlucky conversion ends the process with a segmentation fault.
In a child process that is an error message; in the learner's kernel it is lost work.
"""

import importlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from lessons_lib.errors import ChildDied, LessonError


def call(function: str, *args: Any, timeout: float = 300.0) -> Any:
    """Return ``function(*args)``, run in a fresh Python process.

    ``function`` is ``"module:name"``; the arguments and the result must be picklable.
    A LessonError raised there is raised here. Raises ChildDied when the child crashes, fails
    otherwise, or needs more than ``timeout`` seconds. (Not ``multiprocessing``: its *spawn* runs
    the caller's script again where that has no ``if __name__ == "__main__"``.)
    """
    with tempfile.TemporaryDirectory(prefix="lessons-") as folder:
        request, answer = Path(folder, "request"), Path(folder, "answer")
        request.write_bytes(pickle.dumps((sys.path, function, args)))
        command = [sys.executable, "-m", "lessons_lib.children", str(request), str(answer)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=timeout
            )
        except subprocess.TimeoutExpired as error:
            raise ChildDied(f"{function} did not answer within {timeout:g} s") from error
        if not answer.exists():
            raise _death(function, done)
        ok, result = pickle.loads(answer.read_bytes())
    if ok:
        return result
    raise result


def _death(function: str, done: subprocess.CompletedProcess) -> ChildDied:
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        return ChildDied(f"{function} ended with signal {name}", -done.returncode)
    last = (done.stderr.strip().splitlines() or ["(no message)"])[-1]
    return ChildDied(f"{function} failed with exit code {done.returncode}: {last}")


def _main(request: str, answer: str) -> None:
    path, function, args = pickle.loads(Path(request).read_bytes())
    sys.path[:] = path
    module, name = function.split(":")
    try:
        result = True, getattr(importlib.import_module(module), name)(*args)
    except LessonError as error:
        result = False, error
    temporary = answer + ".tmp"
    Path(temporary).write_bytes(pickle.dumps(result))
    os.replace(temporary, answer)


if __name__ == "__main__":
    _main(*sys.argv[1:])
