"""A lesson as an assignment: the teacher's notebook, from which nbgrader makes the learner's.

Each exercise's cell becomes an answer, and behind it stands a test cell that is worth points. The
teacher's notebook holds the course's own answers, which are those of the folded solutions; the
learner's has the blanks, and no folds. Both come from the one notebook of the lesson.
"""

import ast
import copy
import itertools
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from lessons_lib.course import notebooks
from lessons_lib.errors import InputError

WORTH = 1.0  # points of an exercise
KEY = "lessons"  # in a cell's metadata: {"blank": source} of an answer, {"teacher": true} of a fold
_CODE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_EXERCISE = re.compile(r"# Exercise ([\d.]+), ")  # the first words of a cell that gives points
_SOLUTIONS = re.compile(r"^.*\]\(solutions/.*\n*", re.MULTILINE)  # where all of them are
_OTHER = re.compile(r"\[([^]]*)\]\(\d\d_\w+\.ipynb[^)]*\)")  # a link to another lesson
_FOLD = "fold"  # in the metadata of a folded solution: the number of its exercise


def name(number: int | str) -> str:
    """Return the assignment's name in nbgrader, ``lesson00`` for lesson 0."""
    return f"lesson{int(number):02d}"


def teachers(number: int | str) -> NotebookNode:
    """Return a lesson as nbgrader's source: the answers solved, a test cell behind each.

    Raises InputError for a number without a lesson, and for a lesson whose folds do not fit.
    """
    (path,) = notebooks.find([number])
    lesson = notebooks.read(path)
    cells = []
    for place, cell in enumerate(lesson.cells):
        folds = list(itertools.takewhile(_is_fold, lesson.cells[place + 1 :]))
        if cell.cell_type == "code" and folds:
            cells += _exercise(cell, folds)
        else:
            cells.append(_without_outputs(cell))
            if _is_fold(cell):
                cells[-1].metadata[KEY] = {"teacher": True}
    lesson.cells = cells
    return lesson


def learners(path: Path) -> NotebookNode:
    """Return a lesson to read and run along: without its folded solutions and its outputs."""
    lesson = notebooks.read(path)
    lesson.cells = [_without_outputs(cell) for cell in lesson.cells if not _is_fold(cell)]
    _rewrite(lesson, _SOLUTIONS, "")
    return lesson


def blanked(notebook: NotebookNode) -> NotebookNode:
    """Return a teacher's notebook as learners get it: blanks for answers, no solutions.

    It lies alone in its folder: other lessons are named in it, and not linked.
    """
    notebook = copy.deepcopy(notebook)
    notebook.cells = [c for c in notebook.cells if not c.metadata.get(KEY, {}).get("teacher")]
    for cell in notebook.cells:
        cell.source = cell.metadata.pop(KEY, {}).get("blank", cell.source)
    _rewrite(notebook, _SOLUTIONS, "")
    _rewrite(notebook, _OTHER, r"\1")
    return notebook


def _rewrite(notebook: NotebookNode, pattern: re.Pattern, text: str) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = pattern.sub(text, cell.source).rstrip()


def exercises(notebook: NotebookNode) -> dict[str, str]:
    """Return what a teacher calls the cells of exercises, the answers and the points, by id."""
    found = {}
    for answer, test in itertools.pairwise(notebook.cells):
        if begins := _EXERCISE.match(test.source):
            found[answer.id] = f"Exercise {begins[1]}"
            found[test.id] = f"Points of exercise {begins[1]}"
    return found


def _is_fold(cell: NotebookNode) -> bool:
    return cell.cell_type == "markdown" and _FOLD in cell.metadata


def _exercise(cell: NotebookNode, folds: list[NotebookNode]) -> list[NotebookNode]:
    """The solved answer, and a locked cell that calls the same check for points."""
    code = "\n\n".join(part.strip() for fold in folds for part in _CODE.findall(fold.source))
    calls = [_check_call(source) for source in (cell.source, code)]
    if len(folds) != 1 or None in calls or _check_name(calls[0]) != _check_name(calls[1]):
        raise InputError(f"cell {cell.id} and the one solution behind it do not call one check")
    answer = _without_outputs(cell)
    answer.metadata[KEY] = {"blank": cell.source}
    answer.source = code
    answer.metadata["nbgrader"] = _role(cell.id, solution=True)
    lines = (
        f"# Exercise {folds[0].metadata[_FOLD]}, {WORTH:g} point: this cell is read when graded.",
        "from lessons_lib import checks",
        "",
        f"checks.points({calls[0]}, {WORTH:g})",
    )
    test = nbformat.v4.new_code_cell("\n".join(lines), id=f"{cell.id}-points")
    test.metadata["nbgrader"] = _role(test.id, grade=True, locked=True, points=WORTH)
    return [answer, test]


def _role(grade_id: str, **role: object) -> dict[str, object]:
    """nbgrader's metadata of a cell, in the third version of their schema."""
    known = {"grade": False, "solution": False, "locked": False, "task": False}
    return known | role | {"grade_id": grade_id, "schema_version": 3, "cell_type": "code"}


def _check_name(call: str) -> str:
    return call.partition("(")[0]


def _check_call(source: str) -> str | None:
    """The last check that a cell calls by itself, as one line of source."""
    try:
        found = [node.value for node in ast.parse(source).body if isinstance(node, ast.Expr)]
    except SyntaxError:
        return None
    calls = [ast.unparse(value) for value in found if isinstance(value, ast.Call)]
    return next((call for call in reversed(calls) if call.startswith("checks.check_")), None)


def _without_outputs(cell: NotebookNode) -> NotebookNode:
    cell = copy.deepcopy(cell)
    if cell.cell_type == "code":
        cell.outputs, cell.execution_count = [], None
    return cell
