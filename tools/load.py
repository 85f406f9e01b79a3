"""A class on this machine, simulated: a real hub, its students, what it took of time and memory.

The part ``class`` of ``tools/bench.py`` asks for thirty, and holds them to what is promised. By
itself: ``.venv-class/bin/python tools/load.py --students 3``. Everything stays on loopback.
"""

import argparse
import asyncio
import contextlib
import math
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

import class_load
from lessons_lib import classroom, files, notebooks

ROOT = Path(__file__).resolve().parent.parent
START = ROOT / "deploy" / "hub" / "start.py"
PROXY = START.parent / "node_modules" / ".bin" / "configurable-http-proxy"
PAGE = ROOT / "instructors" / "load.md"
BEGIN, END = "<!-- measured by tools/load.py -->", "<!-- end -->"
UP_S = 120.0  # the hub may take this long to answer
LOOK_S = 2.0
FORKS = {"jupyterhub.sing": "jupyterhub.singleuser", "ipykernel_launc": "ipykernel_launcher"}
FORKS["child"] = "lessons_lib"  # in which a lesson converts
# The hub's own: they are there once, for however many students.
OWN = ("jupyterhub_idle_culler", "configurable-http-proxy")


@dataclass(frozen=True)
class Load:
    """What a class took. Seconds, bytes; ``memory`` at the moment when it was largest, in all.

    ``memory`` is PSS: a page that several processes share counts in parts. ``fell`` is by how much
    the machine's available memory fell, which holds the hub, the proxy and the kernel's own too.
    """

    lesson: int
    students: int
    busy: float  # the machine's load average before it began
    failures: tuple[str, ...]
    collected: int
    seconds: float
    cells: tuple[float, ...]
    slowest: dict[str, float]  # the median seconds of the cells that take longest, by id
    steps: dict[str, float]  # median seconds of each step
    memory: int
    fell: int
    parts: dict[str, int]  # of ``memory``: how much each kind of process has

    @property
    def memory_a_student(self) -> float:
        return self.memory / self.students

    @property
    def fell_a_student(self) -> float:
        return self.fell / self.students

    @property
    def median_cell(self) -> float:
        return statistics.median(self.cells or [math.nan])

    @property
    def late_cell(self) -> float:
        """The 95th percentile."""
        return statistics.quantiles(self.cells, n=20)[-1] if len(self.cells) > 1 else math.nan


class Watch:
    """Looks at a hub's processes every two seconds, in a thread of its own."""

    def __init__(self, hub: int):
        self.hub, self.memory, self.parts = psutil.Process(hub), 0, {}
        self.before = self.least = psutil.virtual_memory().available
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(LOOK_S):
            self.least = min(self.least, psutil.virtual_memory().available)
            parts: dict[str, int] = {}
            for process in self.hub.children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if kind := kind_of(process):
                        parts[kind] = parts.get(kind, 0) + process.memory_full_info().pss
            if sum(parts.values()) > self.memory:
                self.memory, self.parts = sum(parts.values()), parts


def kind_of(process: psutil.Process) -> str:
    """What a process is of the students', "" where it is the hub's own."""
    command = process.cmdline()
    words = " ".join(command)
    if any(own in words for own in OWN):
        return ""
    if "serve" in command:  # a fork has the command of what it was forked from, and its own name
        return FORKS.get(process.name(), "imported once")
    kinds = ("warm_python.py", "bwrap", *FORKS.values(), "lessons_lib")
    return next((kind for kind in kinds if kind in words), "other")


@contextlib.contextmanager
def started(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Yield the address of a class's hub, and its process; its log is ``folder``/hub.log."""
    port = free_ports()
    words = ["--class", str(folder), "--port", str(port), "--admit", "code"]
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
    with (folder / "hub.log").open("w") as log:
        hub = subprocess.Popen(
            [sys.executable, str(START), *words], stdout=log, stderr=log, env=environment
        )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(f"{address}/hub/login", hub, folder)  # a hub that is up since some time
        yield address, psutil.Process(hub.pid)
    finally:
        hub.send_signal(signal.SIGINT)
        try:
            hub.wait(60)
        except subprocess.TimeoutExpired:
            hub.kill()


def free_ports() -> int:
    """A port that is free, with the two behind it."""
    for port in range(18000, 19000, 3):
        with contextlib.ExitStack() as held:
            try:
                for one in range(port, port + 3):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", one))
            except OSError:
                continue
        return port
    raise SystemExit("no three free ports from 18000 to 19000")


def wait_for(page: str, hub: subprocess.Popen, folder: Path) -> None:
    until = time.monotonic() + UP_S
    while time.monotonic() < until and hub.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            ready = (folder / "hub" / "warm" / "socket").exists()
            if ready and httpx.get(page, trust_env=False).status_code == 200:
                return
        time.sleep(0.5)
    raise SystemExit(f"the hub does not answer:\n{(folder / 'hub.log').read_text()[-3000:]}")


def measure(students: int, folder: Path, lesson: int = 0) -> Load:
    """Let a class of so many students begin at once, in a course that is made in ``folder``."""
    if not PROXY.exists():
        raise SystemExit(f"the hub's proxy is not installed: npm ci --prefix {START.parent}")
    busy = os.getloadavg()[0]
    classroom.init(folder)
    classroom.release(folder, lesson)
    file = f"assignments/lesson{lesson:02d}/{notebooks.find([lesson])[0].name}"
    with started(folder) as (address, hub), Watch(hub.pid) as watch:
        code = (folder / "hub" / "state" / "class_code").read_text().strip()
        task = class_load.Task(file, class_load.answers(lesson), code)
        diaries, seconds = asyncio.run(attend(address, students, task))
    handed = classroom.collect(folder, lesson, folder / "hub" / "assignments")
    collected = [one for one in handed if one.path and was_run(one.path)]
    return Load(
        lesson=lesson,
        students=students,
        busy=busy,
        failures=tuple(f"{d.name}: {d.trouble}" for d in diaries if d.trouble),
        collected=len(collected),
        seconds=seconds,
        cells=tuple(s for d in diaries for s in d.cells.values()),
        slowest=medians([d.cells for d in diaries]),
        steps=medians([d.steps for d in diaries]),
        memory=watch.memory,
        fell=watch.before - watch.least,
        parts=watch.parts,
    )


async def attend(
    address: str, students: int, task: class_load.Task
) -> tuple[list[class_load.Diary], float]:
    began = time.perf_counter()
    names = [f"student{number:02d}" for number in range(1, students + 1)]
    all_of_them = [class_load.Student(address, name, f"password of {name}") for name in names]
    diaries = await asyncio.gather(*(one.take(task, began) for one in all_of_them))
    return diaries, time.perf_counter() - began


def was_run(notebook: Path) -> bool:
    """Whether what was collected has the outputs of its core."""
    return all(cell.execution_count for cell in class_load.core(notebooks.read(notebook)))


def medians(found: list[dict[str, float]]) -> dict[str, float]:
    """The median of what has one name, in the order of names that the first has."""
    names = dict.fromkeys(name for one in found for name in one)
    return {n: statistics.median([one[n] for one in found if n in one]) for n in names}


def told(load: Load) -> str:
    """What was measured, as text."""
    slowest = sorted(load.slowest.items(), key=lambda one: -one[1])[:3]
    lines = [
        f"lesson {load.lesson}, load average before {load.busy:.1f}: "
        f"{load.students} students, {len(load.failures)} failures, {load.collected} collected, "
        f"in {load.seconds:.0f} s",
        *load.failures,
        "steps, median: " + ", ".join(f"{name} {s:.1f} s" for name, s in load.steps.items()),
        f"{len(load.cells)} cells: median {load.median_cell:.2f} s, "
        f"95th percentile {load.late_cell:.1f} s",
        "slowest, median: " + ", ".join(f"{name} {s:.1f} s" for name, s in slowest),
        f"memory a student: {load.memory_a_student / 1e6:.0f} MB (PSS, at the peak); "
        f"available memory fell by {load.fell_a_student / 1e6:.0f} MB a student",
        *(f"  {part}: {size / 1e6:,.0f} MB" for part, size in sorted(load.parts.items())),
    ]
    return "\n".join(lines)


def row(load: Load) -> str:
    """What was measured, as a row of the teacher's page."""
    cells = f"{load.median_cell:.1f} s, {load.late_cell:.0f} s"
    memory = f"{load.memory_a_student / 1e6:.0f} MB"
    done = f"{load.seconds / 60:.1f} min"
    return f"| {load.lesson} | {load.students} | {done} | {cells} | {memory} | {load.busy:.1f} |"


def write_page(loads: list[Load]) -> None:
    """Put the rows into the teacher's page, in place of those of these lessons and sizes."""
    head, rest = PAGE.read_text("utf-8").split(BEGIN)
    old, tail = rest.split(END)
    title, line, *rows = old.strip().splitlines()
    kept = {tuple(one.split("|")[1:3]): one for one in rows}
    kept |= {tuple(new.split("|")[1:3]): new for new in map(row, loads)}
    text = "\n".join([title, line, *(kept[key] for key in sorted(kept))])
    files.write_atomic(PAGE, f"{head}{BEGIN}\n{text}\n{END}{tail}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--students", type=int, default=30)
    parser.add_argument("--lesson", type=int, nargs="+", default=[0])
    parser.add_argument("--page", action="store_true", help=f"write it into {PAGE.name} as well")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="a new folder to keep it all in")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # the hub is to end as well
    loads = []
    for lesson in chosen.lesson:
        with tempfile.TemporaryDirectory() as folder:
            place = chosen.keep / f"lesson{lesson:02d}" if chosen.keep else Path(folder)
            loads.append(measure(chosen.students, place, lesson))
        print(told(loads[-1]), flush=True)
    if chosen.page:
        write_page(loads)
    sys.exit(any(one.failures or one.collected < one.students for one in loads))


if __name__ == "__main__":
    main()
