"""A Python that starts with TensorFlow in memory, which all students of a class share.

TensorFlow takes each process that imports it 240 MB and three seconds. Here one process imports it
and forks: what a child does not change it shares with all others (copy-on-write).

    python warm_python.py serve SOCKET    the process that imports, and forks for who asks
    python -I -S warm_python.py -m …      like `python -m …`, in such a fork

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
import json
import os
import select
import signal
import socket
import struct
import sys
from pathlib import Path

PASSED_ON = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT]
PASSED_ON += [signal.SIGUSR1, signal.SIGUSR2]
PRELOADED = ("tensorflow", "ai_edge_litert.interpreter", "scipy.ndimage", "pandas", "nbconvert")
PRELOADED += ("matplotlib.pyplot", "matplotlib.backends.backend_agg", "pandas.io.formats.html")
PRELOADED += ("ipykernel.kernelapp", "ipykernel.zmqshell", "ipykernel.debugger", "stack_data")
PRELOADED += ("IPython.core.oinspect", "IPython.core.pylabtools", "IPython.extensions.storemagic")
PRELOADED += ("jupyterhub.singleuser", "jupyterhub.singleuser.extension", "jupyterlab.labapp")
PRELOADED += ("jupyter_server_terminals.app", "nbgitpuller.handlers", "httpcore", "anyio")
PRELOADED += ("tornado.platform.asyncio", "pyarrow.pandas_compat")
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


def stand_in(arguments: list[str]) -> int:
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


# ---- the process that imports, and forks


def serve(path: str) -> None:
    """Import, then fork for each who connects to ``path``, for ever."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # the hub's, which started this
    preload()
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


def preload() -> None:
    """Import what lessons and students' servers do, and leave it untouched from now on."""
    import functools
    import gc
    import importlib

    # What a collection frees leaves holes; a fork that fills one has a page of its own. And it
    # writes to each object that it looks at: in a fork it is to pass these by.
    gc.disable()
    # Read at import: notebooks show figures; a kernel that somebody started says less.
    os.environ |= {"MPLBACKEND": "module://matplotlib_inline.backend_inline", "JPY_PARENT_PID": "2"}
    modules = [importlib.import_module(name) for name in PRELOADED]
    for name in ASKED_FOR:
        functools.reduce(getattr, name.split("."), modules[0])
    course = importlib.import_module("lessons_lib")
    for room in ROOMS:
        getattr(course, room)
    dir(course.checks)  # imports the checks of all lessons
    gc.freeze()


def _begin(listener: socket.socket, running: dict[int, socket.socket]) -> None:
    """Fork for who connects. Between the two stands a process that enters his namespaces:

    whoever enters a process namespace is not in it himself, only his children are.
    """
    connection, _ = listener.accept()
    told, tell = os.pipe()
    between = os.fork()
    if not between:
        try:
            os.close(told)
            os.write(tell, _NUMBER.pack(_fork_inside(connection, tell)))
        finally:
            os._exit(0)
    os.close(tell)
    os.waitpid(between, 0)
    said = os.read(told, _NUMBER.size)
    os.close(told)
    if said:
        running[_NUMBER.unpack(said)[0]] = connection
    else:
        connection.close()


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


def _run(arguments: list[str]) -> int:
    import runpy

    if arguments[:1] != ["-m"]:
        sys.exit(f"expected -m MODULE, not {arguments}")
    sys.argv = arguments[1:]
    sys.path[0] = os.getcwd()  # it was the folder of this file
    _libc.prctl(_PR_SET_NAME, arguments[1].encode(), 0, 0, 0)  # `ps` says which it is
    try:
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        end_as(stand_in(sys.argv[1:]))
