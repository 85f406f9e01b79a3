"""Runs notebooks from the first cell to the last; ``lessons run`` and ``make refresh`` share it.

A kernel works in its notebook's own folder, as it does in JupyterLab and under nbval.
"""

import contextlib
import logging
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import nbformat
from jupyter_core.utils import run_sync
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from lessons_lib.errors import InputError
from lessons_lib.system import files, sandbox

FOLDER = files.ROOT / "notebooks"
CELL_TIMEOUT = 600  # seconds; no cell should need more than 60
Progress = Callable[[int, int], None]  # code cells done, code cells in all

# nbclient logs what it also raises; the learner needs it once.
_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())
_log.propagate = False


@dataclass(frozen=True)
class Failure:
    """Where a notebook stopped: ``cell`` counts code cells from 1, ``source`` is its first line."""

    cell: int
    source: str
    error: str

    def __str__(self) -> str:
        return f"code cell {self.cell}, `{self.source}`: {self.error}"


@dataclass(frozen=True)
class Run:
    """One execution of a notebook: ``seconds`` is wall time with the kernel's start and end."""

    notebook: Path
    copy: Path
    cells: int
    seconds: float
    failure: Failure | None


MACHINE = "two CPU cores with VNNI"  # where the seconds of the lessons were taken
TIME_LINE = re.compile(
    r"^\*Time: (?:core )?(\d+) min(?:, with everything (\d+) min)?"
    r" · runs in about (\d+) s on ([^·*\n]+) · needs ([^·*\n]+)\*$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Times:
    """A lesson's line of times: minutes to learn its ``core``, seconds to run it on ``machine``.

    ``everything`` is in minutes as well, and None where the lesson has no deeper sections.
    """

    core: int
    everything: int | None
    seconds: int
    machine: str
    needs: str

    def __str__(self) -> str:
        core, all_ = f"{self.core} min", f", with everything {self.everything} min"
        learn = core if self.everything is None else f"core {core}{all_}"
        run = f"runs in about {self.seconds} s on {self.machine}"
        return f"*Time: {learn} · {run} · needs {self.needs}*"


@dataclass(frozen=True)
class Lesson:
    """What a lesson's notebook says of itself."""

    path: Path
    number: int
    title: str
    times: Times
    objectives: tuple[str, ...]


TITLE = re.compile(r"# (\d\d)\. (\S.*)")
_OBJECTIVES = re.compile(r"## You will be able to\n+((?:- .+\n?)+)")


def describe(path: Path) -> Lesson:
    """Return what the notebook says of its title, its times and its objectives (as Markdown).

    Raises InputError when ``path`` is not a notebook, or not one of a lesson.
    """
    notebook = read(path)
    texts = "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    title, objectives = TITLE.search(texts), _OBJECTIVES.search(texts)
    said = times(notebook)
    if title is None or objectives is None or said is None:
        raise InputError(
            f"{files.display_path(path)} lacks a lesson's title, its line of times or the list "
            "`## You will be able to`"
        )
    items = (line.removeprefix("- ").rstrip(";.") for line in objectives[1].splitlines())
    return Lesson(path, int(title[1]), title[2], said, tuple(items))


def times(notebook: NotebookNode) -> Times | None:
    """Return what the first cell's line of times says; None when there is no such line."""
    line = TIME_LINE.search(notebook.cells[0].source) if notebook.cells else None
    if line is None:
        return None
    core, everything, seconds, machine, needs = line.groups()
    return Times(int(core), everything and int(everything), int(seconds), machine, needs)


def find(numbers: Iterable[int | str] = (), folder: Path | None = None) -> list[Path]:
    """Return the notebooks ``NN_*.ipynb`` of ``notebooks/`` in order, or those with these numbers.

    ``folder`` is searched instead of ``notebooks/``, for example ``notebooks/solutions``.
    Raises InputError when the folder has no lesson, or none with a number asked for, and without
    ``folder`` in an installed copy, which has no notebooks.
    """
    if folder is None and files.is_installed():
        raise InputError(
            "this copy of the course is installed and has no notebooks: work in the course's own "
            "folder (the one with README.md), or name a folder of notebooks (`--folder DIR`)"
        )
    folder = FOLDER if folder is None else folder
    lessons = {path.name[:2]: path for path in sorted(folder.glob("[0-9][0-9]_*.ipynb"))}
    if not lessons:
        raise InputError(f"no lesson (NN_name.ipynb) in {files.display_path(folder)}")
    wanted = [str(number).zfill(2) if str(number) else "''" for number in numbers] or list(lessons)
    if unknown := [number for number in wanted if number not in lessons]:
        raise InputError(f"no lesson {', '.join(unknown)}; there are: {', '.join(lessons)}")
    return [lessons[number] for number in wanted]


def read(path: Path) -> NotebookNode:
    """Return the notebook in ``path``; raises InputError when the file is not a notebook."""
    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, AttributeError, nbformat.ValidationError) as error:
        raise InputError(f"{files.display_path(path)} is not a notebook: {error}") from error


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the code cells in order; the first of them is "code cell 1" in every message."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def run(path: Path, progress: Progress | None = None) -> Run:
    """Execute a notebook and write its executed copy, also when it failed.

    The copy goes to ``artifacts/runs/`` and there into a folder named like the notebook's own, so
    that a lesson and its solution do not overwrite each other.
    Raises InputError when ``path`` is not a notebook, StorageError when the copy cannot be written.
    """
    notebook = read(path)
    copy = files.artifacts("runs", path.resolve().parent.name) / path.name
    start = time.perf_counter()
    failure = execute(notebook, path.parent, progress)
    seconds = time.perf_counter() - start
    files.write_atomic(copy, nbformat.writes(notebook))
    return Run(path, copy, len(code_cells(notebook)), seconds, failure)


def execute(
    notebook: NotebookNode,
    folder: Path,
    progress: Progress | None = None,
    environment: Mapping[str, str] | None = None,
) -> Failure | None:
    """Execute the code cells in a fresh kernel and fill in their outputs, up to the first failure.

    ``environment`` is added to the kernel's own. An error in a cell tagged ``raises-exception`` is
    an output, not a failure; a kernel that dies is noticed within two seconds.
    """
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
        cell.metadata.pop("execution", None)  # JupyterLab's time stamps
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        timeout=CELL_TIMEOUT,
        record_timing=False,
        coalesce_streams=True,  # else the machine's speed decides where a text is cut
        log=_log,
    )
    with _kernel(client, folder, {**os.environ, **(environment or {})}):
        return _run_cells(client, progress or (lambda done, total: None))


@contextlib.contextmanager
def _kernel(client: NotebookClient, folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """A kernel for the block; an interrupted one is killed with all that it started."""
    nowhere = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}  # not the cells' outputs
    with client.setup_kernel(cwd=str(folder), env=environment, **nowhere):
        try:
            yield
        except BaseException:
            client.shutdown_kernel = "immediate"
            raise


def _run_cells(client: NotebookClient, progress: Progress) -> Failure | None:
    places = [i for i, cell in enumerate(client.nb.cells) if cell.cell_type == "code"]
    progress(0, len(places))
    for done, place in enumerate(places, 1):
        cell = client.nb.cells[place]
        try:
            client.execute_cell(cell, place)
        except CellExecutionError as error:
            return _failure(done, cell, f"{error.ename}: {error.evalue}")
        except CellTimeoutError:
            client.shutdown_kernel = "immediate"
            return _failure(done, cell, f"not finished after {CELL_TIMEOUT} s")
        except DeadKernelError:
            return _failure(done, cell, _death(client))
        progress(done, len(places))
    return None


def _failure(number: int, cell: NotebookNode, error: str) -> Failure:
    return Failure(number, cell.source.strip().splitlines()[0], error.strip().splitlines()[0])


def _death(client: NotebookClient) -> str:
    """Say how the kernel died, and end the processes that it left behind."""
    kernel = client.km.provisioner
    code = run_sync(kernel.poll)()
    run_sync(kernel.kill)()
    if code is not None and code < 0:
        name = sandbox.signal_name(-code)
        hint = " (often: out of memory)" if name == "SIGKILL" else ""
        return f"the kernel was ended by signal {name}{hint}"
    return f"the kernel ended with exit code {code}"
