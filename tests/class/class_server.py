"""A class's server for tests: `make hub`, with a course's folder and a state of its own."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lessons_lib import files

LESSONS = Path(sys.executable).with_name("lessons")
NEEDED = ("make", "npm", "node", "git", "bwrap")
MISSING = [name for name in NEEDED if shutil.which(name) is None]
needs_server = pytest.mark.skipif(
    bool(MISSING), reason=f"{', '.join(MISSING)} not installed (Debian: apt-get install npm git "
    "bubblewrap)",
)  # fmt: skip


@dataclass(frozen=True)
class Server:
    """Where it answers, and the course's folder."""

    address: str
    folder: Path

    def secret(self, name: str) -> str:
        return (self.folder / "hub" / "state" / name).read_text("utf-8")

    def lessons(self, *words: str, others_miss: bool = False) -> str:
        """Run ``lessons class ...`` as the teacher does; return what it said.

        ``others_miss``: other students of this server may have handed in nothing.
        """
        command = [str(LESSONS), "class", *words, "--course", str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode in (0, 1 if others_miss else 0), done.stdout + done.stderr
        return done.stdout


def free_port() -> int:
    """One with the two behind it free, as far as one can know."""
    for first in range(20000 + os.getpid() % 5000, 60000, 7):
        with contextlib.suppress(OSError), contextlib.ExitStack() as held:
            for port in range(first, first + 3):
                held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
    raise AssertionError("no port is free")


def made_course(folder: Path, *released: int) -> Server:
    subprocess.run([str(LESSONS), "class", "init", str(folder)], check=True, capture_output=True)
    server = Server(f"http://127.0.0.1:{free_port()}", folder)
    for number in released:
        server.lessons("release", str(number))
    return server


@contextlib.contextmanager
def running(server: Server, *options: str) -> Iterator[Server]:
    """Start it with `make hub`, and end it as Ctrl-C does."""
    words = ["--port", server.address.rsplit(":", 1)[1], *options]
    command = ["make", "--no-print-directory", "hub", f"CLASS={server.folder}"]
    log = server.folder.with_suffix(".log")
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, f"HUB={' '.join(words)}"], cwd=files.ROOT, stdin=subprocess.DEVNULL,
            stdout=output, stderr=output, start_new_session=True, env=own_environment(),
        )  # fmt: skip
    try:
        wait_for("JupyterHub is now running", log, process)
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        process.wait(timeout=120)


def own_environment() -> dict[str, str]:
    return {
        name: text
        for name, text in os.environ.items()
        if not name.startswith(("MAKE", "MFLAGS", "JUPYTER", "PYTEST"))
    }


def wait_for(text: str, log: Path, process: subprocess.Popen, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < deadline:
        if text in log.read_text("utf-8", "replace"):
            return
        time.sleep(0.2)
    raise AssertionError(f"the server did not start:\n{log.read_text('utf-8')[-3000:]}")
