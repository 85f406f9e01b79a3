"""What each student's Jupyter server is told; it is read in his sandbox, as he is."""

import contextlib
import os
import shutil
import threading
import time
from pathlib import Path

c = get_config()  # noqa: F821 - Jupyter gives it

# Kernels talk through files of the sandbox: at a port, anyone on the machine could listen.
# Without a sandbox all is open anyway, and the path may be too long for a socket.
if os.environ["LESSONS_HUB_HOME"] == "/home/student":
    c.KernelManager.transport = "ipc"
# A kernel that nothing happened in for 20 minutes ends, and gives its memory back.
c.MappingKernelManager.cull_idle_timeout = 20 * 60
c.MappingKernelManager.cull_interval = 60
c.MappingKernelManager.cull_connected = True
c.FileContentsManager.delete_to_trash = False
# The rest of what the environment brings would cost each student memory, and is the teacher's.
UNUSED = ("nbgrader.server_extensions.formgrader", "nbgrader.server_extensions.validate_assignment")
UNUSED += ("nbgrader.server_extensions.assignment_list", "nbgrader.server_extensions.course_list")
UNUSED += ("jupyter_lsp", "notebook", "notebook_shim")
c.ServerApp.jpserver_extensions = dict.fromkeys(UNUSED, False)

HOME = Path(os.environ["LESSONS_HUB_HOME"])
RELEASED = Path(os.environ["LESSONS_HUB_RELEASED"])
LESSONS = os.environ["LESSONS_HUB_LESSONS"]


def take_new_assignments() -> None:
    """Copy what the teacher released and is not here yet; what is here is the student's."""
    for notebook in RELEASED.glob("lesson*/*"):
        own = HOME / "assignments" / notebook.relative_to(RELEASED)
        if notebook.is_file() and not own.exists():
            own.parent.mkdir(parents=True, exist_ok=True)
            new = own.with_name(f".{own.name}.new")
            shutil.copyfile(notebook, new)
            new.rename(own)


def take_decoded_digits() -> None:
    """What every student's first lesson would decode, with TensorFlow, in a process of its own."""
    cache = Path(os.environ["LESSONS_ARTIFACTS"], "cache")
    for decoded in Path("/srv/warm/cache").glob("*.npz"):
        if not (cache / decoded.name).exists():
            cache.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(decoded, cache / decoded.name)


def take_newer_lessons() -> None:
    """nbgitpuller brings newer lessons, and keeps what the student wrote."""
    from nbgitpuller.pull import GitPuller

    for _ in GitPuller(LESSONS, str(HOME / "lessons"), branch="main", depth=0).pull():
        pass


def keep_up() -> None:
    with contextlib.suppress(Exception):  # without lessons there are still assignments
        take_newer_lessons()
    while True:
        with contextlib.suppress(OSError):
            take_new_assignments()
        time.sleep(3)


with contextlib.suppress(OSError):  # the lesson does it, then
    take_decoded_digits()
with contextlib.suppress(OSError):  # they are there before he looks
    take_new_assignments()
threading.Thread(target=keep_up, daemon=True).start()
