"""A Python that starts with TensorFlow in memory, which all students of a class share.

TensorFlow takes each process that imports it 240 MB and three seconds. Here one process imports it
and forks: what a child does not change it shares with all others (copy-on-write).

    python warm_python.py serve SOCKET [LOG]   the process that imports, and forks for who asks
    python -I -S warm_python.py -m …           like `python -m …`, in such a fork; also -c, and -P
    python warm_python.py probe                prints why this machine cannot do it, if it cannot

The second asks at the socket that $LESSONS_HUB_WARM names, and stands for its fork: it passes
signals on and ends as the fork does; when it is killed, so is the fork. Where nobody answers it
becomes a Python of the usual kind.

A fork gets nothing that its asker has not: it enters the asker's namespaces (his sandbox), gives up
all capabilities, and only then reads what it is to do. The process that forks reads nothing that a
student sends. It must be started without secrets in its environment, since forks inherit it.
"""

import array
import contextlib
import ctypes
import fcntl
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from pathlib import Path

PASSED_ON = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT]
PASSED_ON += [signal.SIGUSR1, signal.SIGUSR2]
LESSONS = ("tensorflow", "ai_edge_litert.interpreter", "scipy.ndimage", "pandas", "nbconvert")
LESSONS += ("matplotlib.pyplot", "matplotlib.backends.backend_agg", "pandas.io.formats.html")
LESSONS += ("ipykernel.kernelapp", "ipykernel.zmqshell", "ipykernel.debugger", "stack_data")
LESSONS += ("IPython.core.oinspect", "IPython.core.pylabtools", "IPython.extensions.storemagic")
LESSONS += ("tornado.platform.asyncio",)
SERVERS = ("jupyterhub.singleuser", "jupyterhub.singleuser.extension", "jupyterlab.labapp")
SERVERS += ("jupyter_server_terminals.app", "nbgitpuller.handlers", "httpcore", "anyio")
SERVERS += ("pyarrow.pandas_compat",)
# TensorFlow imports these when they are first asked for.
ASKED_FOR = ("keras.Sequential", "lite.TFLiteConverter", "data.Dataset", "dtypes.as_dtype")
ROOMS = ("article", "board", "c_source", "every_path", "examples", "integer_engine", "plots")
ROOMS += ("scoreboard", "widgets")

_NUMBER = struct.Struct("!i")
_SO_PEERPIDFD = 77  # asm-generic/socket.h; Linux 6.5
_PR_SET_DUMPABLE, _PR_SET_NAME, _PR_CAPBSET_DROP = 4, 15, 24  # linux/prctl.h, as the next three
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 36, 38
_CAPABILITIES = 0x20080522  # linux/capability.h: version 3
_SPACES = {  # linux/sched.h
    "user": 0x10000000, "mnt": 0x00020000, "pid": 0x20000000, "ipc": 0x08000000,
    "uts": 0x04000000, "net": 0x40000000, "cgroup": 0x02000000,
}  # fmt: skip
_libc = ctypes.CDLL(None, use_errno=True)


# ---- who stands for a fork


def stand_for_fork(arguments: list[str]) -> int:
    """Have ``python arguments`` done by a fork; return its exit code, below zero for a signal."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(os.environ["LESSONS_HUB_WARM"])
        _give_order(connection, arguments)
        fork = _read_number(connection)
    except (OSError, KeyError):
        os.execv(sys.executable, [sys.executable, *arguments])
    for number in PASSED_ON:
        signal.signal(number, lambda number, _: os.killpg(fork, number))
    try:
        return _read_number(connection)
    except OSError as error:
        sys.exit(str(error))


def _give_order(connection: socket.socket, arguments: list[str]) -> None:
    """Hand over the open standard streams, and what else a process gets from its parent."""
    mask = os.umask(0)
    os.umask(mask)
    order = {"arguments": arguments, "folder": os.getcwd(), "umask": mask}
    order["environment"] = dict(os.environ)
    content = json.dumps(order).encode("utf-8", "surrogateescape")
    streams = array.array("i", [0, 1, 2])
    sent = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)]
    connection.sendmsg([_NUMBER.pack(len(content))], sent)
    connection.sendall(content)


def _read(connection: socket.socket, count: int) -> bytes:
    content = b""
    while len(content) < count:
        part = connection.recv(count - len(content))
        if not part:
            raise ConnectionResetError("the process that forks has ended")
        content += part
    return content


def _read_number(connection: socket.socket) -> int:
    return _NUMBER.unpack(_read(connection, _NUMBER.size))[0]


def end_as(code: int) -> None:
    """End this process with an exit code, or by the signal that one below zero names."""
    if code < 0:
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)


# ---- whether this machine can do it


def why_not() -> str | None:
    """Say why students' Pythons cannot be forks on this machine; None where they can."""
    one, other = socket.socketpair()
    with one, other:
        try:
            os.close(one.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD))
        except OSError:
            return f"Linux {os.uname().release} is older than 6.5"
    try:
        os.close(_copy_of_python())
    except OSError as error:
        return str(error)
    return None


def be_a_copy() -> None:
    """Start this process again, from a copy of Python in memory that nobody can change.

    A fork keeps the file that it was started from (``/proc/self/exe``) as the hub's user has it,
    not read-only as in a sandbox: a student could take from Python the right to be run. As runc
    does, for the same reason. Raises OSError where it is not possible.
    """
    if not os.readlink("/proc/self/exe").startswith("/memfd:"):
        os.execve(_copy_of_python(), [sys.executable, *sys.orig_argv[1:]], os.environ)
    _prctl_text(_PR_SET_NAME, "python")  # it was the number of the copy's descriptor


def _copy_of_python() -> int:
    """Return a descriptor of the copy, tried: a Python may find its parts by its file's place."""
    import subprocess

    copy = os.memfd_create("python", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open("/proc/self/exe", "rb") as program:
        left = os.fstat(program.fileno()).st_size
        while left:
            left -= os.sendfile(copy, program.fileno(), None, left)
    never = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
    fcntl.fcntl(copy, fcntl.F_ADD_SEALS, never)
    trial = [sys.executable, "-c", "import sys; print(sys.prefix)"]
    place = f"/proc/self/fd/{copy}"
    done = subprocess.run(trial, executable=place, pass_fds=[copy], capture_output=True, text=True)
    if done.stdout != f"{sys.prefix}\n":
        os.close(copy)
        said = (done.stderr.strip().splitlines() or ["it finds another folder"])[-1]
        raise OSError(f"a copy in memory of {sys.executable} does not run: {said}")
    return copy


# ---- the process that imports, and forks


def serve(path: str, log: str = os.devnull, names=LESSONS + SERVERS, rooms=ROOMS) -> None:
    """Import, then fork for each who connects to ``path``, for ever; errors go to ``log``.

    ``names`` are modules, TensorFlow first, and ``rooms`` those of the course.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # of who started this, the hub
    preload(names, rooms)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    place = Path(path)
    os.chdir(place.parent)  # the name of a socket may have 107 bytes, and that of a folder more
    Path(place.name).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(place.name)
    listener.listen(128)
    ended, wake = os.pipe()
    for end in (ended, wake):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    print(f"{path}: imported, and ready to fork", flush=True)
    _leave_terminal(log)
    running: dict[int, socket.socket] = {}  # by the fork's process id
    while True:
        events = select.poll()
        events.register(listener, select.POLLIN)
        events.register(ended, select.POLLIN)
        for connection in running.values():  # what is said there is for the fork
            events.register(connection, 0)
        asking = {connection.fileno(): fork for fork, connection in running.items()}
        for ready, _ in events.poll():
            if ready == listener.fileno():
                _begin(listener, running)
            elif ready == ended:
                os.read(ended, 4096)
            else:  # nobody stands for this fork any more
                _kill(asking[ready])
        _reap(running)


def _leave_terminal(log: str) -> None:
    """A fork is a student's: through its streams he would reach the terminal of the hub."""
    silence, end = os.pipe()
    os.close(end)
    kept = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    for number, stream in enumerate((silence, kept, kept)):
        os.dup2(stream, number)
    os.close(silence)
    os.close(kept)


def preload(names: tuple[str, ...], rooms: tuple[str, ...]) -> None:
    """Import modules, and rooms of the course; leave all untouched from now on."""
    import functools
    import gc
    import importlib

    # What a collection frees leaves holes; a fork that fills one has a page of its own. And it
    # writes to each object that it looks at: in a fork it is to pass these by.
    gc.disable()
    # Read at import: notebooks show figures; a kernel that somebody started says less.
    os.environ |= {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "JPY_PARENT_PID": "2"}
    modules = [importlib.import_module(name) for name in names]
    for name in ASKED_FOR:
        functools.reduce(getattr, name.split("."), modules[0])
    # At its import pandas looks whether it is in a notebook, where tables have 20 columns at most.
    importlib.import_module("pandas").set_option("display.max_columns", 20)
    if rooms:
        course = importlib.import_module("lessons_lib")
        for room in rooms:
            getattr(course, room)
        dir(course.checks)  # imports the checks of all lessons
    gc.freeze()


def _begin(listener: socket.socket, running: dict[int, socket.socket]) -> None:
    """Fork for who connects. Between the two stands a process that enters his namespaces:

    whoever enters a process namespace is not in it himself, only his children are.
    """
    try:
        connection, _ = listener.accept()
    except OSError:  # who asked has ended, or no descriptor is left: perhaps soon
        time.sleep(0.1)
        return
    try:
        running[_fork_for(connection)] = connection
    except OSError:  # no process is left, as where somebody forks without end
        connection.close()  # which makes a usual Python of who asks


def _fork_for(connection: socket.socket) -> int:
    """Return the fork's id; raises OSError where there is none."""
    told, tell = os.pipe()
    try:
        between = os.fork()
        if not between:
            _be_between(connection, tell)
        os.close(tell)
        tell = -1
        os.waitpid(between, 0)
        said = os.read(told, _NUMBER.size)
    finally:
        os.close(told)
        if tell >= 0:
            os.close(tell)
    if not said:
        raise ChildProcessError("there is no fork")
    return _NUMBER.unpack(said)[0]


def _be_between(connection: socket.socket, tell: int) -> None:
    try:
        os.write(tell, _NUMBER.pack(_fork_inside(connection, tell)))
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(0)


def _fork_inside(connection: socket.socket, tell: int) -> int:
    """Enter the namespaces of the process that connected, fork there, return the fork's id."""
    known = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    peer, user, _ = struct.unpack("3i", known)
    handle = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor > 2 and descriptor not in (connection.fileno(), tell, handle):
            try:
                os.close(descriptor)
            except OSError:  # that of the listing itself
                continue
    if user != os.getuid():
        raise PermissionError(f"user {user} is not who started this")
    _take_limits(peer)
    spaces = [space for space in _SPACES if _space("self", space) != _space(peer, space)]
    if select.select([handle], [], [], 0)[0]:
        raise ProcessLookupError("who asked has ended, and its number may be another's by now")
    if spaces and _libc.setns(handle, sum(_SPACES[space] for space in spaces)):
        raise OSError(ctypes.get_errno(), "setns")
    fork = os.fork()
    if not fork:
        os.close(tell)
        os.close(handle)
        os.dup2(0, 1)  # not the log, and not a device of the machine: his own come with the order
        os.dup2(0, 2)
        _give_up_capabilities()
        _be(connection)
    return fork


def _space(process: int | str, name: str) -> str:
    return os.readlink(f"/proc/{process}/ns/{name}")


def _take_limits(peer: int) -> None:
    """Be as urgent as who asks, and held to the same."""
    import resource

    for limit in (getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")):
        resource.setrlimit(limit, resource.prlimit(peer, limit))
    os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, peer))


def _give_up_capabilities() -> None:
    """Entering a user namespace gives all capabilities in it; who runs in it has none."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    for capability in range(64):
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # of those that there are
    if _libc.capset(struct.pack("=Ii", _CAPABILITIES, 0), bytes(24)):
        raise OSError(ctypes.get_errno(), "capset")
    _prctl(_PR_SET_DUMPABLE, 1)  # else its own /proc/self is not its own


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl {option}")


def _prctl_text(option: int, text: str) -> None:
    _libc.prctl(option, text.encode(), 0, 0, 0)


def _kill(fork: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(fork, signal.SIGKILL)


def _reap(running: dict[int, socket.socket]) -> None:
    """Tell who stands for them how forks ended."""
    while running:
        fork, status = os.waitpid(-1, os.WNOHANG)
        if not fork:
            return
        if connection := running.pop(fork, None):
            with contextlib.suppress(OSError):
                connection.send(_NUMBER.pack(os.waitstatus_to_exitcode(status)))
            connection.close()


# ---- a fork


def _be(connection: socket.socket) -> None:
    """Be the process that was asked for, and end."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in {*PASSED_ON, signal.SIGCHLD}:
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        arguments = _take_order(connection)
        code = _run(arguments)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        import atexit

        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def _take_order(connection: socket.socket) -> list[str]:
    """Take over streams, environment and folder of who asks; return the arguments."""
    import gc
    import tempfile

    import numpy as np

    head, more, _, _ = connection.recvmsg(_NUMBER.size, socket.CMSG_SPACE(12))
    streams = array.array("i")
    streams.frombytes(more[0][2])
    content = _read(connection, _NUMBER.unpack(head)[0])
    order = json.loads(content.decode("utf-8", "surrogateescape"))
    connection.sendall(_NUMBER.pack(os.getpid()))
    connection.close()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.umask(order["umask"])
    os.environ.clear()
    os.environ.update(order["environment"])
    os.chdir(order["folder"])
    tempfile.tempdir = None  # this was found, and the other drawn, before the fork
    np.random.seed()
    gc.enable()
    return order["arguments"]


class _Hidden:
    """Lets a package look as if nobody had imported it; its import brings back what is there.

    Lessons show, and assert, what does without TensorFlow.
    """

    def __init__(self, package: str):
        names = [name for name in sys.modules if name.partition(".")[0] == package]
        self.package, self.modules = package, {name: sys.modules.pop(name) for name in names}
        self.spec = self.modules[package].__spec__

    def find_spec(self, name, path=None, target=None):
        if name != self.package:
            return None
        found = type(self.spec)(name, self, is_package=True)
        found.submodule_search_locations = self.spec.submodule_search_locations
        return found

    def create_module(self, spec):
        return self.modules[self.package]

    def exec_module(self, module):
        module.__spec__ = self.spec  # the import put its own there
        sys.modules.update(self.modules)
        sys.meta_path.remove(self)


def _run(arguments: list[str]) -> int:
    import runpy

    safe = arguments[:1] == ["-P"]
    arguments = arguments[safe:]
    if arguments[:1] not in (["-m"], ["-c"]):
        sys.exit(f"expected -m MODULE or -c CODE, not {arguments}")
    sys.meta_path.insert(0, _Hidden("tensorflow"))
    kind, what, *rest = arguments
    sys.argv = ["-c" if kind == "-c" else what, *rest]
    sys.path[:1] = [] if safe else [os.getcwd()]  # it was the folder of this file
    _prctl_text(_PR_SET_NAME, "child" if kind == "-c" else what)  # `ps` says which it is
    try:
        if kind == "-c":
            exec(what, {"__name__": "__main__"})
        else:
            runpy.run_module(what, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        be_a_copy()
        serve(*sys.argv[2:])
    elif sys.argv[1] == "probe":
        print(why_not() or "")
    else:
        end_as(stand_for_fork(sys.argv[1:]))
