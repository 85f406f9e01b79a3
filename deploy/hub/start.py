"""Start a class's server on this machine: look what is missing, make its secrets, go.

``make hub`` calls it. It says what is wrong with a cure, before anything is started.
"""

import argparse
import contextlib
import errno
import os
import secrets
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

if __name__ == "__main__":  # Ctrl-C ends it without a word, while modules load as well
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

import nbformat  # noqa: E402
import student_spawner  # noqa: E402
from jupyterhub.traitlets import ByteSpecification  # noqa: E402
from traitlets import TraitError  # noqa: E402

from lessons_lib.course import notebooks  # noqa: E402
from lessons_lib.course.classroom import _assignments  # noqa: E402

LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # read aloud and typed: none looks like another
LOOPBACK = ("127.0.0.1", "localhost", "::1")
NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL)
LEAST = "512M"  # of a student's memory: with 384M a kernel ended when it imported TensorFlow
# In both of these Ctrl-C waits, blocked, until Python has started, which would print where it was.
# JupyterHub listens to it once it runs; what JupyterHub started ends with it.
JUPYTERHUB = """import os, signal
try:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    from jupyterhub.app import main
    main()
except KeyboardInterrupt:
    os._exit(130)
"""
DIGITS = """import signal, sys
try:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    sys.path.insert(0, sys.argv[1])
    from lessons_lib import data
    data.load("mnist")
except KeyboardInterrupt:  # what it cut in two is cleared away by now
    pass
signal.signal(signal.SIGINT, signal.SIG_IGN)  # while Python ends
"""


class Refusal(Exception):
    """Why the server is not started, and what mends it."""


def main(words: list[str] | None = None) -> None:
    chosen = parser().parse_args(words)
    try:
        if chosen.lessons_only:
            make_lessons(chosen.lessons_only)
            return
        environment = prepared(chosen)
    except Refusal as refusal:
        sys.exit(f"make hub: {refusal}")
    print(welcome(chosen), flush=True)
    os.chdir(chosen.folder / "hub" / "state")
    program = [sys.executable, "-c", JUPYTERHUB, "-f", str(HERE / "jupyterhub_config.py")]
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.execve(program[0], program, environment)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser("make hub", description=__doc__.partition("\n")[0])
    add = made.add_argument
    add("--class", dest="folder", type=Path, default=Path("class"), metavar="DIR",
        help="the course's folder; `lessons class init DIR` makes one")  # fmt: skip
    add("--port", type=int, default=8000, help="and the two behind it (8000)")
    add("--host", default="127.0.0.1", metavar="ADDRESS",
        help="0.0.0.0: for the classroom's network; else this machine alone")  # fmt: skip
    add("--admit", choices=("teacher", "code"), default="teacher",
        help="you admit each student, or who knows the class's code is in")  # fmt: skip
    add("--memory", default="2G", help="of a student, such as 1536M (2G)")
    add("--idle-minutes", default=60, metavar="N",
        help="after which an idle student's process ends (60)")  # fmt: skip
    add("--without-isolation", action="store_true",
        help="students can read one another's files, and yours")  # fmt: skip
    add("--lessons-only", type=Path, metavar="DIR",
        help="write the lessons without solutions there, for an image, and end")  # fmt: skip
    return made


def prepared(chosen: argparse.Namespace) -> dict[str, str]:
    """Check, make what is missing, and return the environment of the hub; raises Refusal."""
    chosen.folder = chosen.folder.resolve()
    if chosen.without_isolation and os.getuid() == 0:
        raise Refusal("as root and without isolation every student would be root: start it as "
                      "another user")  # fmt: skip
    look_at_memory(chosen.memory)
    chosen.idle_minutes = minutes(chosen.idle_minutes)
    look_at_programs()
    look_at_folder(chosen.folder)
    look_at_ports(chosen.host, chosen.port)
    token = make_state(chosen.folder)
    make_lessons(chosen.folder / "hub" / "lessons")
    make_digits(chosen.folder)
    if not chosen.without_isolation and (why := student_spawner.why_not(chosen.folder)):
        raise Refusal(
            f"{why}. Without it every student can read the others' files, the solutions and what "
            "you can read. If you accept that: make hub HUB=--without-isolation"
        )
    chosen.alone = "there are no sandboxes" if chosen.without_isolation else alone()
    settings = {
        "FOLDER": chosen.folder, "HOST": chosen.host, "PORT": chosen.port,
        "MEMORY": chosen.memory, "ADMIT": chosen.admit, "IDLE_MINUTES": chosen.idle_minutes,
        "ISOLATED": "no" if chosen.without_isolation else "yes",
        "SHARED": "no" if chosen.alone else "yes",
    }  # fmt: skip
    path = [str(HERE / "node_modules" / ".bin"), str(Path(sys.executable).parent)]
    return {
        **os.environ,
        **{f"LESSONS_HUB_{name}": str(value) for name, value in settings.items()},
        "CONFIGPROXY_AUTH_TOKEN": token,
        "PATH": os.pathsep.join([*path, os.environ.get("PATH", "")]),
    }


def alone() -> str:
    """Say why students' Pythons cannot share TensorFlow here; nothing where they can."""
    probe = [sys.executable, str(student_spawner.WARM), "probe"]
    done = subprocess.run(probe, capture_output=True, text=True)
    failed = "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["?"])[-1]
    return done.stdout.strip() or failed


def look_at_memory(given: str) -> None:
    """Read it as JupyterHub will, who would start, and then no student's server."""
    size = ByteSpecification()
    try:
        enough = size.validate(None, given) >= size.validate(None, LEAST)
    except (TraitError, ValueError, OverflowError):  # "2GB"; "nanG", "infG"
        enough = False
    if not enough:
        raise Refusal(
            f"--memory {given}: expected a number with M or G behind it, {LEAST} or more (in less "
            'a kernel ends when it imports TensorFlow), as in make hub HUB="--memory 2G"'
        )


def minutes(given: str | int) -> int:
    with contextlib.suppress(ValueError):
        if int(given) > 0:
            return int(given)
    raise Refusal(
        f"--idle-minutes {given}: expected a whole number above 0, as in "
        'make hub HUB="--idle-minutes 60"'
    )


def look_at_programs() -> None:
    if not (HERE / "node_modules" / ".bin" / "configurable-http-proxy").exists():
        raise Refusal(
            "the hub's proxy is not installed: `npm ci --prefix deploy/hub` does it, with Node.js "
            "18 or newer (Debian, Ubuntu: apt-get install nodejs npm)"
        )
    for program, package in (("node", "nodejs"), ("git", "git")):
        if shutil.which(program) is None:
            raise Refusal(f"{program} is not installed (Debian, Ubuntu: apt-get install {package})")


def look_at_folder(folder: Path) -> None:
    if not (folder / "nbgrader_config.py").is_file():
        named = shlex.quote(str(folder))
        raise Refusal(
            f"{folder} holds no course. Make one with\n  make class CLASS={named}\n"
            "or name another: make hub CLASS=DIR"
        )
    try:
        (folder / "hub").mkdir(exist_ok=True, mode=0o700)
        with tempfile.TemporaryFile(dir=folder / "hub"):
            pass
    except OSError as error:
        raise Refusal(f"{folder / 'hub'} cannot be written: {error}") from error


def look_at_ports(host: str, port: int) -> None:
    if not 1 <= port <= 65533:
        raise Refusal(f"--port {port}: expected 1 to 65533")
    for address, number in ((host, port), ("127.0.0.1", port + 1), ("127.0.0.1", port + 2)):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            with socket.socket(family) as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                trial.bind((address, number))
        except (OSError, UnicodeError) as error:  # a name of no kind is a UnicodeError
            why = getattr(error, "strerror", None) or error
            if not_here(error):
                raise Refusal(
                    f"--host {address} is no address of this machine: {why}. Take 127.0.0.1 (for "
                    "this machine alone), 0.0.0.0 (all that it has), or one that `hostname -I` "
                    'names, as in make hub HUB="--host 0.0.0.0"'
                ) from error
            raise Refusal(
                f"port {number} of {address} cannot be had: {why}. It may be a "
                'hub that still runs; else choose another: make hub HUB="--port 8080"'
            ) from error


def not_here(error: OSError | UnicodeError) -> bool:
    """Whether the address is wrong, not the port: this machine lacks it, or it cannot be found."""
    found = not isinstance(error, socket.gaierror | UnicodeError)
    return not found or error.errno in NOT_HERE


@contextlib.contextmanager
def undivided() -> Iterator[None]:
    """Let Ctrl-C wait for the end of what it would cut in two, for the next start to find.

    It is blocked, in what is started meanwhile as well until that unblocks it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@undivided()
def make_state(folder: Path) -> str:
    """Make the secrets, each once, for no other user to read; return the proxy's token."""
    hub = folder / "hub"
    hub.chmod(0o700)
    (hub / "state").mkdir(exist_ok=True, mode=0o700)
    write(hub / ".gitignore", "*\n")
    write(hub / "passwd", student_spawner.PASSWD)
    write(hub / "group", student_spawner.GROUP)
    for name in ("homes", "assignments", "tmp"):
        (hub / name).mkdir(exist_ok=True)
    for name in ("release", "feedback"):
        (folder / name).mkdir(exist_ok=True)
    write(hub / "state" / "cookie_secret", secrets.token_hex(32))
    write(hub / "state" / "teacher_password", secrets.token_urlsafe(12))
    write(hub / "state" / "class_code", "".join(secrets.choice(LETTERS) for _ in range(8)))
    write(hub / "state" / "hub.sqlite", "")
    return secrets.token_hex(32)


def write(path: Path, text: str) -> None:
    """Make a file, whole or not at all; one that is there stays, unless it says nothing."""
    if path.exists():
        if text and not path.read_text("utf-8").strip():
            raise Refusal(f"{path} is empty. Delete it: another is made at the next start")
        return
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.rename(path)


@undivided()
def make_lessons(lessons: Path) -> None:
    """Bring the lessons, without their solutions, into a repository from which students take them.

    A change is one more commit, which nbgitpuller merges with what students wrote.
    """
    lessons.mkdir(exist_ok=True)
    if not (lessons / ".git").exists():
        git(lessons, "init", "--quiet", "--initial-branch=main")
    for path in notebooks.find():
        text = nbformat.writes(_assignments.learners(path))
        (lessons / path.name).write_text(text, encoding="utf-8")
    git(lessons, "add", "--all")
    if git(lessons, "status", "--porcelain"):
        who = ("-c", "user.name=The course", "-c", "user.email=course@localhost")
        git(lessons, *who, "commit", "--quiet", "-m", "The lessons as they stand")


@undivided()
def make_digits(folder: Path) -> None:
    """Decode the lessons' digits once: in each student's server it took seconds, and memory."""
    warm = folder / "hub" / "warm"
    warm.mkdir(exist_ok=True)
    environment = os.environ | {"LESSONS_ARTIFACTS": str(warm)}
    command = [sys.executable, "-c", DIGITS, str(HERE.parents[1])]
    subprocess.run(command, env=environment, check=False)


def git(folder: Path, *words: str) -> str:
    plain = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    kept = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", "-C", str(folder), *words],
        capture_output=True, text=True, env=kept | plain, process_group=0,  # no Ctrl-C for it
    )  # fmt: skip
    if done.returncode:
        raise Refusal(f"git {words[0]} failed in {folder}: {done.stderr.strip()}")
    return done.stdout


def welcome(chosen: argparse.Namespace) -> str:
    state = chosen.folder / "hub" / "state"
    open_to_all = chosen.host not in LOOPBACK
    name = socket.gethostname() if chosen.host in ("0.0.0.0", "::") else chosen.host
    name = f"[{name}]" if ":" in name else name
    lines = [f"The class's server: http://{name}:{chosen.port}"]
    lines += [f"You are `teacher`; your password stands in {state / 'teacher_password'}"]
    if chosen.admit == "code":
        lines += [f"The class's code: {(state / 'class_code').read_text('utf-8')}"]
    else:
        lines += [f"Admit students at http://{name}:{chosen.port}/hub/authorize"]
    if open_to_all:
        lines += ["Warning: http is not encrypted; who listens in this network reads passwords."]
        lines += [
            "  Use it in a classroom that you trust, or put TLS before it: deploy/hub/README.md"
        ]
    if chosen.alone:
        lines += [f"Students' Pythons share nothing ({chosen.alone}): plan 0.6 GB a student."]
    if os.getuid() == 0:
        lines += ["Warning: as root. A student may change modes of what root owns: /dev/null."]
        lines += ["  Start it as a user of its own: deploy/hub/README.md"]
    if chosen.without_isolation:
        lines += ["Warning: no isolation. Students can read one another's files, and all you can."]
    return "\n".join([*lines, "Ctrl-C ends it; nothing of the students' is lost.", ""])


if __name__ == "__main__":
    main()
