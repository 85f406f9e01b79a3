"""A class of thirty that hands lesson 0 in, and a grader that is killed on the way.

Answers are right, half right, wrong or not given; a few notebooks are damaged as editors and
learners damage them. ``tools/bench.py --part grading`` runs it, in the environment of the extra
``class``.
"""

import copy
import csv
import io
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from lessons_lib import classroom, notebooks
from lessons_lib.course.classroom import _assignments

LESSON = 0
# By check: what stands in the course's own answer, and what a learner writes in its place.
WRONG = {
    "check_space": ("[tf.lite.Optimize.DEFAULT]", "[]"),
    "check_float16": ("[tf.float16]", "[tf.float32]"),
    "check_generator": (".batch(1)", ""),
    "check_int8": ("tf.int8", "tf.uint8"),
    "check_input_codes": ("images / scale", "images * scale"),
}
HALF = ("check_space", "check_float16", "check_input_codes")  # need no other answer
KINDS = ("right", "half", "wrong", "empty")
DAMAGED = 0.05  # of the notebooks, and at least two


@dataclass(frozen=True)
class Graded:
    """What came of a class: the points expected and given by learner; ``seconds`` for all."""

    expected: dict[str, float]
    given: dict[str, float]
    seconds: float
    killed: int


def make(root: Path, learners: int, seed: int = 0) -> dict[str, float]:
    """Set a course up whose learners hand their notebooks in; return the points they deserve."""
    classroom.init(root)
    blank = nbformat.read(classroom.release(root, LESSON), as_version=4)
    answers = {
        cell.id: cell.source
        for cell in _assignments.teachers(LESSON).cells
        if cell.metadata.get("nbgrader", {}).get("solution")
    }
    chance, expected = random.Random(seed), {}
    for place in range(learners):
        kind = KINDS[place % len(KINDS)]
        name = f"{place:02}-{kind}"
        made, expected[name] = answered(blank, answers, kind)
        if place < max(2, round(DAMAGED * learners)):
            damage(made, list(answers), chance)
        folder = root / "given" / name
        folder.mkdir(parents=True)
        nbformat.write(made, folder / notebooks.find([LESSON])[0].name)
    missing = [one.student for one in classroom.collect(root, LESSON, root / "given") if one.why]
    assert not missing, missing
    return expected


def answered(blank: NotebookNode, answers: dict[str, str], kind: str) -> tuple[NotebookNode, float]:
    """A learner's notebook of one kind, and the points that it deserves."""
    made, points = copy.deepcopy(blank), 0.0
    if kind == "empty":  # but handed in: what is as it was released is not collected
        made.cells.append(nbformat.v4.new_markdown_cell("I had no time."))
    for cell in made.cells:
        if cell.id not in answers or kind == "empty":
            continue
        check = next(name for name in WRONG if name in cell.source)
        if kind == "right" or (kind == "half" and check in HALF):
            cell.source, points = answers[cell.id], points + _assignments.WORTH
        elif kind == "wrong":
            right, wrong = WRONG[check]
            assert right in answers[cell.id], f"{check}: the course's answer has no {right}"
            cell.source = answers[cell.id].replace(right, wrong)
    return made, points


def damage(made: NotebookNode, answers: list[str], chance: random.Random) -> None:
    """Delete a test and a text, copy an answer, retype another, and move every fifth cell."""
    tests = [f"{name}-points" for name in answers]
    texts = [cell.id for cell in made.cells if cell.cell_type == "markdown"]
    lost = {chance.choice(tests), chance.choice(texts)}
    made.cells = [cell for cell in made.cells if cell.id not in lost]
    by_name = {cell.id: cell for cell in made.cells}
    copied, retyped = chance.sample(answers, 2)
    twin = copy.deepcopy(by_name[copied])
    twin.id = f"{copied}-copy"
    made.cells.insert(made.cells.index(by_name[copied]) + 1, twin)
    by_name[retyped].cell_type = "markdown"
    for cell in (by_name[retyped],):
        del cell["outputs"], cell["execution_count"]
    for cell in chance.sample(made.cells, len(made.cells) // 5):
        made.cells.remove(cell)
        made.cells.insert(chance.randrange(len(made.cells)), cell)


def grade(root: Path, expected: dict[str, float], kills: int = 1, jobs: int = 0) -> Graded:
    """Grade as a teacher does, by the command; kill it ``kills`` times, and begin again."""
    start, killed = time.monotonic(), 0
    for attempt in range(kills + 1):
        most = len(expected) * (attempt + 1) // (kills + 1) if attempt < kills else None
        killed += _command(root, most, jobs)
    seconds = time.monotonic() - start
    rows = csv.DictReader(io.StringIO(classroom.export(root)))
    return Graded(expected, {r["student"]: float(r["points"]) for r in rows}, seconds, killed)


def _command(root: Path, most: int | None, jobs: int) -> bool:
    """Run ``lessons class grade``; kill it when it has said ``most`` grades. Return whether."""
    command = [sys.executable, "-m", "lessons_lib.cli", "class", "grade", str(LESSON)]
    command += ["--course", str(root), "--jobs", str(jobs)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        said = 0
        for line in process.stdout:
            said += not line.startswith(" ")
            print(line, end="", file=sys.stderr)
            if said == most:
                process.kill()
                return True
    assert process.returncode == 0, f"grading ended with {process.returncode}"
    return False
