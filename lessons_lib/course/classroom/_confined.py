"""Where a learner's notebook runs when it is graded: what it can see, and what it cannot.

With bubblewrap, on Linux, its kernel sees the system's programs, this Python with its packages, the
course's library and data, all of it read-only, and one empty folder of its own: no other learner's
work, no gradebook, nobody's home, no network. Elsewhere it runs as the caller does, and only what
the caller has in its environment is kept from it. Both leave the checks themselves in its reach:
they run in the kernel, so code that aims at them can give itself points.
"""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

from lessons_lib.system import files, sandbox

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/sys")
_SETTINGS = (
    "alternatives", "fonts", "group", "hosts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d",
    "localtime", "mime.types", "nsswitch.conf", "passwd",
)  # fmt: skip
_KEPT = ("PATH", "LANG", "LANGUAGE", "TZ", "SYSTEMROOT", "NUMBER_OF_PROCESSORS", "LESSONS_TIMEOUT")
_KEPT_KINDS = ("LC_", "NBGRADER_", "TF_", "OMP_", "OPENBLAS_", "MKL_")
SHARED = ("home", "trained")  # of a learner's folders: what a rehearsal leaves to the others
_LIBRARY = Path(__file__).parents[2]
# The kernel has the caller's own lessons_lib, whichever other one is installed. It ends when its
# caller does: then its input, a pipe, has an end. (bubblewrap sees that too, but not at its start.)
_START = """import sys
sys.path.insert(0, sys.argv.pop(1))
import lessons_lib
del sys.path[0]
import os, threading
lifeline, nothing = os.dup(0), os.open(os.devnull, os.O_RDONLY)
os.dup2(nothing, 0)
threading.Thread(target=lambda: os.read(lifeline, 1) or os._exit(1), daemon=True).start()
from ipykernel.kernelapp import launch_new_instance
launch_new_instance()"""
_KERNEL = (sys.executable, "-c", _START, str(_LIBRARY.parent), "-f", "{connection_file}")


@functools.cache
def why_not() -> str:
    """Return why learners' code cannot be confined here, with the cure; "" where it can."""
    if sys.platform != "linux":
        return f"bubblewrap is Linux's, this is {sys.platform}: grade in a virtual machine"
    if shutil.which("bwrap") is None:
        return "bubblewrap is missing: `sudo apt-get install bubblewrap`"
    with sandbox.temporary_folder() as scratch:
        prepare(Path(scratch))
        command = [*_walls(Path(scratch)), sys.executable, "-c", ""]
        tried = subprocess.run(command, capture_output=True, text=True, errors="replace")
    said = (tried.stderr.strip().splitlines() or ["no message"])[-1]
    cure = "allow unprivileged user namespaces, or grade in a virtual machine"
    return f"bubblewrap does not work here ({said}): {cure}" if tried.returncode else ""


def kernel_command(scratch: Path) -> list[str]:
    """Return the command of a kernel that has ``scratch`` for its own."""
    return [*([] if why_not() else _walls(scratch)), *_KERNEL]


def prepare(scratch: Path) -> dict[str, str]:
    """Make a learner's folders in ``scratch``, and return the environment of the kernel."""
    own = {"HOME": "home", "IPYTHONDIR": "home", "TMPDIR": "tmp", "LESSONS_ARTIFACTS": "artifacts"}
    own["LESSONS_TRAINED"] = "trained"
    own = {name: str(scratch / folder) for name, folder in own.items()}
    for folder in (*own.values(), scratch / "work"):
        Path(folder).mkdir(exist_ok=True)
    return kept() | own


def kept() -> dict[str, str]:
    """Return what the kernel gets of the caller's environment, by name."""
    return {
        name: value
        for name, value in sorted(os.environ.items())
        if name in _KEPT or name.startswith(_KEPT_KINDS)
    }


def _walls(scratch: Path) -> list[str]:
    """bubblewrap's command: later folders stand upon earlier ones."""
    python = Path(os.path.realpath(sys.executable)).parents[1]
    shown = [sys.prefix, sys.base_prefix, python, _LIBRARY, files.data_folder()]
    places = [*_SYSTEM, *(f"/etc/{name}" for name in _SETTINGS)]
    walls = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--tmpfs", "/tmp"]
    for place in (*places, *map(str, shown)):
        walls += ["--ro-bind-try", place, place]
    walls += ["--proc", "/proc", "--dev", "/dev", "--bind", str(scratch), str(scratch)]
    # Behind the wall its parent is process 1: ipykernel would take that for a parent that ended.
    return [*walls, "--setenv", "JPY_PARENT_PID", "1", "--chdir", str(scratch / "work"), "--"]
