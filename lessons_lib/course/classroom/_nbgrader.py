"""What nbgrader runs of ours: blanks for solutions, and an execution that cannot be led astray.

nbgrader reads a test cell's points from what the cell printed, and four things there surprise:
anything on stderr is no points (TensorFlow writes its log there), a result that is no number is
full points, so is a number below zero, and one above the maximum loses the whole notebook.
"""

import asyncio
import math
from pathlib import Path

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
from nbgrader.utils import is_grade
from traitlets import Integer, Unicode
from traitlets.config import Config

from lessons_lib.course.classroom import _assignments

CELL_SECONDS = 120  # no cell of a lesson should need more than 60
CELL_OUTPUT = 2**20  # bytes of text; figures count


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
    config.Execute.timeout = CELL_SECONDS


def api(root: Path, stopped: str = "") -> NbGraderAPI:
    """Return nbgrader's API for the course in ``root``; ``stopped``: see ``Graded``."""
    config = Config()
    configure(config)
    config.CourseDirectory.root = str(root)
    config.CourseDirectory.course_id = root.name
    config.Exchange.root = str(root / "exchange")
    config.Graded.stopped = stopped
    return NbGraderAPI(config=config)


class Blanks(NbGraderPreprocessor):
    """Puts the learner's blanks in place of the teacher's answers, and takes the folds out."""

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        return _assignments.blanked(nb), resources


class Graded(Execute):
    """Runs a submission; what a cell says is limited, and a test cell's points are looked at."""

    most_output = Integer(CELL_OUTPUT, help="bytes that a cell may print").tag(config=True)
    stopped = Unicode("", help="why nothing is run and every test fails").tag(config=True)

    def preprocess(self, nb, resources=None, km=None):
        self._said = {}
        if not self.stopped:
            return super().preprocess(nb, resources, km)
        for cell in nb.cells:
            if cell.cell_type == "code":
                cell.outputs = [_error("Stopped", self.stopped)] if is_grade(cell) else []
        return nb, resources

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
            cell.outputs = _checked(cell.outputs, float(cell.metadata.nbgrader["points"]))


def _checked(outputs: list[NotebookNode], worth: float) -> list[NotebookNode]:
    """A test cell's outputs, with its points where they are points, else with an error."""
    said = []
    for one in outputs:
        if one.output_type == "stream" and one.name == "stderr":
            one.name = "stdout"
        if one.output_type != "execute_result" or _is_points(one, worth):
            said.append(one)
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
