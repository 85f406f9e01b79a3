"""One process a student, in a sandbox of its own: bubblewrap, which needs no root.

A student's process sees the system and the course's environment, read-only, and of all homes his
alone; of all processes his own; and /tmp and /dev/shm of his own. Not in it: the lessons' solutions
and tests, the teacher's folder, the hub's secrets, other students. It shares the network with the
machine, which the hub and its proxy need to reach it. JupyterHub's usual way is a system user a
student, which needs root, and readable paths to Python; Kubernetes gives each a container.
"""

import contextlib
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import psutil
from jupyterhub.spawner import LocalProcessSpawner
from tornado.ioloop import PeriodicCallback
from traitlets import Bool, Unicode

HUB = Path(__file__).resolve().parent
ROOT = HUB.parents[1]
HOME = "/home/student"  # of every student, in his sandbox
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64")
# What programs look up; nothing with a password in it.
ETC = ("alternatives", "fonts", "hosts", "ld.so.cache", "localtime", "mime.types", "nsswitch.conf")
ETC += ("resolv.conf", "ssl", "ca-certificates", "pki", "terminfo", "bash.bashrc")
WARM = HUB / "student" / "warm_python.py"
TEACHER = "teacher"  # whose own try at an assignment is not collected
PORTS = range(20000, 32000)  # below those that the system gives to connections
PROCESSES = 120  # of one student at a time
LOG_BYTES = 2**20  # of what one student's server says
PASSWD = f"student:x:1000:1000:student:{HOME}:/bin/bash\n"
GROUP = "student:x:1000:\n"


class StudentSpawner(LocalProcessSpawner):
    """Starts a student's Jupyter server in his sandbox, and holds it to ``mem_limit``."""

    folder = Unicode(config=True, help="the course's folder")
    isolated = Bool(True, config=True, help="False: no sandbox, students read what the hub reads")
    _watch = None
    ports: ClassVar[set[int]] = set()  # of all students' servers

    def make_preexec_fn(self, name):
        """Less urgent than the hub; no process alone may have more memory than a student."""
        most = int(self.mem_limit or 0)

        def before_it_starts():
            os.nice(5)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            if most:
                resource.setrlimit(resource.RLIMIT_DATA, (2 * most, 2 * most))

        return before_it_starts

    def user_env(self, env):
        places = student_places(Path(self.folder), self.user.name)
        home = HOME if self.isolated else str(places["home"])
        env |= {"HOME": home, "USER": "student", "SHELL": "/bin/bash", "LOGNAME": "student"}
        env |= {"LESSONS_ARTIFACTS": f"{home}/artifacts", "LESSONS_HUB_HOME": home}
        env["LESSONS_HUB_RELEASED"] = "/srv/release" if self.isolated else str(places["release"])
        env["LESSONS_HUB_LESSONS"] = "/srv/lessons" if self.isolated else str(places["lessons"])
        env["JUPYTER_CONFIG_PATH"] = env["JUPYTER_PATH"] = str(HUB / "student")
        if self.isolated:  # memory that students share: its limit is held by the sandbox
            env["LESSONS_HUB_WARM"] = "/srv/warm/socket"
            env["LESSONS_WARM_PYTHON"] = str(WARM)
        return env

    async def start(self):
        self.port = free_port(self.ports)
        self.ports.add(self.port)
        places = student_places(Path(self.folder), self.user.name)
        make_places(places)
        self.default_url = first_page(places["release"])
        # -P: a file of his that is called as a module must not be his last start.
        server = [sys.executable, "-I", "-S", str(WARM), "-P", "-m", "jupyterhub.singleuser"]
        if self.isolated:
            self.cmd, where = [*command(Path(self.folder), self.user.name), *server], {}
        else:
            link_places(places)
            self.cmd, where = server, {"cwd": str(places["home"])}
        with own_streams(self._log()) as streams:
            self.popen_kwargs = streams | where
            address = await super().start()
        self._watch = PeriodicCallback(self._look, 1000)
        self._watch.start()
        return address

    async def stop(self, now=False):
        if self._watch:
            self._watch.stop()
        await super().stop(now)
        self.ports.discard(self.port)

    def _log(self) -> Path:
        return Path(self.folder) / "hub" / "logs" / f"{self.user.name}.log"

    async def _signal(self, sig):
        """Kill a sandbox for any signal: it passes none on, and what was saved is on disk."""
        return await super()._signal(signal.SIGKILL if sig and self.isolated else sig)

    def _look(self):
        """End what takes too much: the largest kernel, or all of a student who forks without end.

        Looking once a second holds mistakes, and no one who means harm: see the README.
        """
        if not psutil.pid_exists(self.pid):
            self._watch.stop()
            return
        with contextlib.suppress(OSError):  # the teacher may have removed it
            if self._log().stat().st_size > LOG_BYTES:
                os.truncate(self._log(), 0)
        tree = _table.under(self.pid)
        if len(tree) > PROCESSES:
            self.log.warning("%s: more than %d processes, ended", self.user.name, PROCESSES)
            os.kill(self.pid, signal.SIGKILL)  # the sandbox dies with it, and all that is in it
            return
        if self.mem_limit and sum(map(resident, tree)) > self.mem_limit:
            used = {process: own(process) for process in tree}
            if sum(used.values()) > self.mem_limit:
                largest = max(used, key=used.get)
                self.log.warning("%s: too much memory, kernel ended", self.user.name)
                with contextlib.suppress(psutil.Error):
                    largest.kill()


class ProcessTable:
    """All processes, looked at once a second for all students: thirty looks keep the hub busy."""

    def __init__(self):
        self._until = 0.0

    def under(self, top: int) -> list[psutil.Process]:
        """What a process started, and all that is in the sandbox below it.

        Some came into that from beside it (``WARM``): they would escape a student's limits.
        """
        if time.monotonic() > self._until:
            self._look()
            self._until = time.monotonic() + 0.9
        found, parents = [], [top]
        while parents:
            children = self._children.get(parents.pop(), [])
            found += children
            parents += children
        boxes = {self._space[process] for process in found} - {os.readlink("/proc/self/ns/pid")}
        inside = {process for box in boxes for process in self._members[box]}
        return [process for number in {*found, *inside} if (process := running(number))]

    def _look(self) -> None:
        self._children, self._members, self._space = {}, {}, {}
        for process in map(int, filter(str.isdigit, os.listdir("/proc"))):
            with contextlib.suppress(OSError):  # it may end meanwhile, or be another user's
                space = os.readlink(f"/proc/{process}/ns/pid")
                after_its_name = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2]
                self._space[process] = space
                self._members.setdefault(space, []).append(process)
                self._children.setdefault(int(after_its_name.split()[1]), []).append(process)


_table = ProcessTable()


def running(number: int) -> psutil.Process | None:
    try:
        return psutil.Process(number)
    except psutil.Error:  # it ended meanwhile
        return None


@contextlib.contextmanager
def own_streams(log: Path) -> Iterator[dict[str, int]]:
    """Standard streams for a student's server: it would get the hub's, and with them its terminal.

    What it says goes to a log for the teacher alone, made anew; it hears nothing. That is a pipe,
    not /dev/null: its mode is nobody's to change.
    """
    log.parent.mkdir(exist_ok=True, mode=0o700)
    silence, end = os.pipe()
    os.close(end)
    try:
        said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            yield {"stdin": silence, "stdout": said, "stderr": said}
        finally:
            os.close(said)
    finally:
        os.close(silence)


def free_port(taken: set[int]) -> int:
    """A port for a student's server, which no other student's has or will soon have.

    By chance: the server takes it seconds later, and nobody is to know which, and be there first.

    JupyterHub draws one of those that the system gives to connections, and of thirty servers that
    start at once two may draw the same: one student then meets the other's server.
    """
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        with contextlib.suppress(OSError), socket.socket() as trial:
            if port not in taken:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                trial.bind(("127.0.0.1", port))
                return port
    raise RuntimeError(f"no port from {PORTS.start} to {PORTS.stop} is free")


def resident(process: psutil.Process) -> int:
    """Bytes in memory, shared ones counted in each process: cheap, and never too few."""
    try:
        return process.memory_info().rss
    except psutil.Error:
        return 0


def own(process: psutil.Process) -> int:
    """Bytes in memory, of shared ones its share."""
    try:
        return process.memory_full_info().pss
    except psutil.Error:
        return 0


def student_places(folder: Path, name: str) -> dict[str, Path]:
    """Where the parts of a student's world lie on this machine."""
    hub = folder / "hub"
    return {
        "home": hub / "homes" / name,
        "tmp": hub / "tmp" / name,
        "assignments": hub / ("tried" if name == TEACHER else "assignments") / name,
        "feedback": folder / "feedback" / name,
        "release": folder / "release",
        "warm": hub / "warm",
        "lessons": hub / "lessons",
    }


def make_places(places: dict[str, Path]) -> None:
    """Make what is missing, for no other user of this machine to read."""
    shutil.rmtree(places["tmp"], ignore_errors=True)
    for path in places.values():
        path.mkdir(parents=True, exist_ok=True)
    for name in ("home", "tmp", "assignments"):
        places[name].chmod(0o700)


def first_page(released: Path) -> str:
    """What a student sees first: the assignment, or the folder of several."""
    found = [path.relative_to(released).as_posix() for path in released.glob("lesson*/*.ipynb")]
    if not found:
        return "/lab"
    folder = "/lab/tree/assignments"
    return f"{folder}/{found[0]}" if len(found) == 1 else folder


def link_places(places: dict[str, Path]) -> None:
    """Without a sandbox a home reaches its assignments and feedback by links."""
    for name in ("assignments", "feedback"):
        link = places["home"] / name
        if not link.is_symlink():
            with contextlib.suppress(OSError):
                link.rmdir()  # what a sandbox left as the place of its mount
            link.symlink_to(places[name])


def command(folder: Path, name: str) -> list[str]:
    """bubblewrap's command line for a student's sandbox; what is to run in it comes behind."""
    places, hub = student_places(folder, name), folder / "hub"
    python = [Path(sys.prefix), Path(sys.base_prefix)]
    course = [ROOT / "lessons_lib", ROOT / "data", HUB / "student"]
    read_only = [path for path in (*python, *course) if not path.is_relative_to("/usr")]
    words = ["bwrap", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    words += ["--unshare-user", "--uid", "1000", "--gid", "1000", "--unshare-pid", "--unshare-ipc"]
    words += ["--unshare-uts", "--hostname", "class", "--proc", "/proc", "--dev", "/dev"]
    words += ["--size", str(2**26), "--tmpfs", "/dev/shm", "--bind", str(places["tmp"]), "/tmp"]
    for path in map(Path, SYSTEM):
        if path.is_symlink():
            words += ["--symlink", os.readlink(path), str(path)]
        elif path.exists():
            words += ["--ro-bind", str(path), str(path)]
    for part in ETC:
        words += ["--ro-bind-try", f"/etc/{part}", f"/etc/{part}"]
    for part in ("passwd", "group"):
        words += ["--ro-bind", str(hub / part), f"/etc/{part}"]
    for path in read_only:
        words += ["--ro-bind", str(path), str(path)]
    words += ["--ro-bind", str(places["release"]), "/srv/release"]
    words += ["--ro-bind", str(places["lessons"]), "/srv/lessons"]
    words += ["--ro-bind", str(places["warm"]), "/srv/warm"]
    words += ["--bind", str(places["home"]), HOME]
    words += ["--bind", str(places["assignments"]), f"{HOME}/assignments"]
    words += ["--ro-bind", str(places["feedback"]), f"{HOME}/feedback"]
    # Else these two are memory that he may fill, and that is not counted.
    return [*words, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", HOME, "--"]


def why_not(folder: Path) -> str | None:
    """Try a sandbox; say why it is not possible here, None where it is."""
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed (Debian, Ubuntu: apt-get install bubblewrap)"
    name = ".trial"
    make_places(student_places(folder, name))
    try:
        test = [sys.executable, "-c", "import jupyterhub, lessons_lib"]
        done = subprocess.run(
            [*command(folder, name), *test], capture_output=True, text=True, timeout=300
        )
    finally:
        for kind in ("home", "tmp", "assignments", "feedback"):
            shutil.rmtree(student_places(folder, name)[kind], ignore_errors=True)
    said = done.stderr.strip().splitlines()
    return None if done.returncode == 0 else f"bubblewrap cannot work: {said[-1] if said else '?'}"
