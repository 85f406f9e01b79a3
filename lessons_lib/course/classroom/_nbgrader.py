"""What nbgrader runs of ours: blanks for solutions, and an execution that cannot be led astray.

nbgrader reads a test cell's points from what the cell printed, and four things there surprise:
anything on stderr is no points (TensorFlow writes its log there), a result that is no number is
full points, so is a number below zero, and one above the maximum loses the whole notebook.
"""

import asyncio
import copy
import math
import os
import shutil
from pathlib import Path

import nbformat
from jinja2 import DictLoader
from nbconvert import HTMLExporter
from nbconvert.preprocessors import ClearMetadataPreprocessor
from nbformat import NotebookNode, v4
from nbgrader.apps import NbGraderAPI
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    ClearOutput,
    ComputeChecksums,
    Execute,
    IgnorePattern,
    LimitOutput,
    LockCells,
    NbGraderPreprocessor,
    SaveAutoGrades,
    SaveCells,
)
from nbgrader.utils import determine_grade, is_grade, is_solution
from traitlets import Bool, Integer, Unicode
from traitlets.config import Config, PyFileConfigLoader

from lessons_lib.course.classroom import _assignments, _confined
from lessons_lib.errors import InputError, first_line
from lessons_lib.system import files, sandbox

_POINTS = "checks.points("  # in the test cells of a lesson's exercises
KEPT = Path("graded", "trained")  # below a course: what training in its own answers has left
# No cell of a lesson needs more than 60 where nothing else runs; a third of a submission's time.
CELL_SECONDS = 200
CELL_OUTPUT = 2**20  # bytes of text; figures count
WAITING = 120  # seconds for a kernel to start, and for the gradebook while another writes to it


def configure(config: Config) -> None:
    """Set what a course folder's ``nbgrader_config.py`` needs, for our command and for nbgrader's.

    nbgrader's own ClearSolutions would put its stub for the whole of each answer.
    """
    config.GenerateAssignment.preprocessors = [
        Blanks, LockCells, ClearOutput, CheckCellMetadata, ComputeChecksums, SaveCells,
        CheckCellMetadata,
    ]  # fmt: skip
    config.Autograde.autograde_preprocessors = [
        Graded, IgnorePattern, ClearMetadataPreprocessor, LimitOutput, SaveAutoGrades,
        AssignLatePenalties, CheckCellMetadata,
    ]  # fmt: skip
    config.GenerateFeedback.exporter_class = Offline
    config.Execute.timeout = CELL_SECONDS
    config.Execute.startup_timeout = WAITING


def api(root: Path, stopped: str = "") -> NbGraderAPI:
    """Return nbgrader's API for the course in ``root``; ``stopped``: see ``Graded``."""
    config = _teachers_config(root)
    config.CourseDirectory.root = str(root)
    config.CourseDirectory.course_id = root.name
    config.CourseDirectory.db_url = f"sqlite:///{root / 'gradebook.db'}?timeout={WAITING}"
    config.Exchange.root = str(root / "exchange")
    config.Graded.stopped = stopped
    config.Graded.kept = str(root / KEPT)
    return NbGraderAPI(config=config)


def _teachers_config(root: Path) -> Config:
    """What the course's ``nbgrader_config.py`` says; raises InputError where it cannot be read."""
    file = root / "nbgrader_config.py"
    try:
        return PyFileConfigLoader(file.name, path=str(root)).load_config()
    except Exception as error:  # of any kind: it is the teacher's code
        raise InputError(
            f"{files.display_path(file)} cannot be read: {first_line(error)}"
        ) from error


def rehearse(root: Path, notebook: Path) -> dict[str, str]:
    """Run a teacher's notebook as submissions are run; say what tests without full points said.

    What it leaves in its folders is kept for the submissions, such as trainings that are the same.
    """
    made = nbformat.read(notebook, as_version=4)
    run = Graded(kept=str(root / KEPT), rehearsal=True, timeout=CELL_SECONDS)
    run.preprocess(made, {"metadata": {"path": str(notebook.parent)}})
    return {
        cell.metadata.nbgrader["grade_id"]: " ".join(map(_text, cell.outputs))
        for cell in made.cells
        if is_grade(cell) and not is_solution(cell)
        and determine_grade(cell)[0] != cell.metadata.nbgrader["points"]
    }  # fmt: skip


def _text(output: NotebookNode) -> str:
    if "ename" in output:
        return f"{output.ename}: {output.evalue}"
    return output.get("text") or output.get("data", {}).get("text/plain", "")


class Blanks(NbGraderPreprocessor):
    """Puts the learner's blanks in place of the teacher's answers, and takes the folds out."""

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        return _assignments.blanked(nb), resources


class Offline(HTMLExporter):
    """Makes pages that fetch nothing, and name exercises: nbgrader's ask a server for MathJax.

    Formulas stay TeX.
    """

    extra_loaders = (DictLoader({"mathjax.html.j2": "{% macro mathjax(url='') %}{% endmacro %}"}),)

    def from_notebook_node(self, nb, resources=None, **kwargs):
        page, resources = super().from_notebook_node(nb, resources, **kwargs)
        for name, title in _assignments.exercises(nb).items():
            link = f'<a href="#{name}">'
            page = page.replace(f"{link}Test cell<", f"{link}{title}<")
        return page, resources


class Graded(Execute):
    """Runs a submission; what a cell says is limited, and a test cell's points are looked at."""

    most_output = Integer(CELL_OUTPUT, help="bytes that a cell may print").tag(config=True)
    stopped = Unicode("", help="why nothing is run and every test fails").tag(config=True)
    kept = Unicode("", help="folder of what a rehearsal trained, if any").tag(config=True)
    rehearsal = Bool(False, help="what is trained goes to `kept`")

    def preprocess(self, nb, resources=None, km=None):
        self._said = {}
        if not self.stopped:
            with sandbox.temporary_folder() as scratch:
                self._scratch = Path(scratch)
                self._input, lifeline = os.pipe()  # of the kernel: see _confined
                try:
                    done = super().preprocess(nb, resources, km)
                finally:
                    os.close(self._input)
                    os.close(lifeline)
                if self.rehearsal:
                    with files.atomic_directory(self.kept) as kept:
                        for name in _confined.SHARED:
                            shutil.copytree(self._scratch / name, kept / name)
                return done
        for cell in nb.cells:
            if cell.cell_type == "code":
                cell.outputs = [_error("Stopped", self.stopped)] if is_grade(cell) else []
        return nb, resources

    def create_kernel_manager(self):
        """A kernel behind walls, which is spoken to through files in its own folder."""
        manager = super().create_kernel_manager()
        spec = copy.deepcopy(manager.kernel_spec)
        spec.argv, spec.interrupt_mode = _confined.kernel_command(self._scratch), "message"
        manager._kernel_spec = spec
        manager.connection_file = str(self._scratch / "kernel.json")
        if os.name == "posix":
            manager.transport, manager.ip = "ipc", str(self._scratch / "k")  # short: see classroom
        return manager

    def start_new_kernel(self, **kwargs):
        if self.kept and Path(self.kept).is_dir():
            shutil.copytree(self.kept, self._scratch, dirs_exist_ok=True)
        environment, work = _confined.prepare(self._scratch), self._scratch / "work"
        beside = (self.resources or {}).get("metadata", {}).get("path")
        if beside:  # what stands beside the notebook, such as data that a teacher adds
            ignored = shutil.ignore_patterns("*.ipynb", "timestamp.txt")
            shutil.copytree(beside, work, ignore=ignored, dirs_exist_ok=True)
        with open(self._scratch / "kernel.log", "wb") as log:  # as long as anyone may write
            own = {"env": environment, "cwd": str(work), "stdin": self._input}
            super().start_new_kernel(**{**kwargs, **own, "stdout": log, "stderr": log})

    def process_message(self, msg, cell, cell_index):
        """Take a cell's output up to the limit; beyond it, interrupt the cell once."""
        content = msg["content"]
        texts = (content.get("text"), content.get("data"), content.get("traceback"))
        said = self._said.get(cell_index, 0)
        self._said[cell_index] = said + sum(len(str(text)) for text in texts if text)
        if self._said[cell_index] <= self.most_output or not any(texts):
            return super().process_message(msg, cell, cell_index)
        if said <= self.most_output:
            text = f"This cell printed more than {self.most_output:,} bytes and was interrupted.\n"
            cell.outputs.append(v4.new_output("stream", name="stderr", text=text))
            self._interrupting = asyncio.ensure_future(self.km.interrupt_kernel())
        return None

    def on_cell_executed(self, **kwargs):
        super().on_cell_executed(**kwargs)
        cell = kwargs["cell"]
        if is_grade(cell):
            said, worth = _without_stderr(cell.outputs), float(cell.metadata.nbgrader["points"])
            # A teacher's own tests may do as nbgrader's do, and give nothing where all is well.
            cell.outputs = _checked(said, worth) if _POINTS in cell.source else said


def _without_stderr(outputs: list[NotebookNode]) -> list[NotebookNode]:
    for one in outputs:
        if one.output_type == "stream":
            one.name = "stdout"
    return outputs


def _checked(outputs: list[NotebookNode], worth: float) -> list[NotebookNode]:
    """A test cell's outputs, with its points where they are points, else with an error."""
    said = [one for one in outputs if one.output_type != "execute_result" or _is_points(one, worth)]
    if not any(one.output_type in ("error", "execute_result") for one in said):
        said.append(_error("NoPoints", "this cell did not give its points"))
    return said


def _is_points(output: NotebookNode, worth: float) -> bool:
    try:
        points = float(output.data["text/plain"])
    except (KeyError, TypeError, ValueError):
        return False
    return math.isfinite(points) and 0 <= points <= worth


def _error(name: str, text: str) -> NotebookNode:
    return v4.new_output("error", ename=name, evalue=text, traceback=[f"{name}: {text}"])
