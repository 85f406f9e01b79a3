"""Every lesson as an assignment: blanks for learners, answers for teachers, points for both."""

import ast
import re

import pytest
import typer

from lessons_lib import cli, files, notebooks
from lessons_lib.course.classroom import _assignments

NUMBERS = [int(path.name[:2]) for path in notebooks.find()]


def by_role(notebook, role):
    return [cell for cell in notebook.cells if has_role(cell, role)]


@pytest.mark.parametrize("number", NUMBERS)
def test_each_exercise_is_an_answer_and_a_test_behind_it(number):
    (path,) = notebooks.find([number])
    lesson, made = notebooks.read(path), _assignments.teachers(number)
    folds = [cell.metadata["fold"] for cell in lesson.cells if "fold" in cell.metadata]
    answers, tests = by_role(made, "solution"), by_role(made, "grade")
    assert len(answers) == len(tests) == len(folds) >= 4
    for fold, answer, test in zip(folds, answers, tests, strict=True):
        assert made.cells.index(test) == made.cells.index(answer) + 1
        assert f"# Exercise {fold}, " in test.source
        ast.parse(answer.source)
    assert len({cell.id for cell in made.cells}) == len(made.cells)


@pytest.mark.parametrize("number", NUMBERS)
def test_learners_get_the_lesson_without_its_solutions(number):
    """Nor does a sentence promise them, or a link lead to what is not there."""
    (path,) = notebooks.find([number])
    lesson = [c for c in notebooks.read(path).cells if "fold" not in c.metadata]
    made = _assignments.blanked(_assignments.teachers(number))
    kept = [c for c in made.cells if not has_role(c, "grade")]
    code = [[c.source for c in cells if c.cell_type == "code"] for cells in (kept, lesson)]
    assert len(kept) == len(lesson) and code[0] == code[1]
    to_read = _assignments.learners(path)
    for cells, gone in ((kept, ".ipynb)"), (to_read.cells, "(solutions/")):
        texts = [(c.source, other.source) for c, other in zip(cells, lesson, strict=True)]
        lines = [(t.splitlines(), other.splitlines()) for t, other in texts]
        assert all(t for t, _ in texts) and not any(gone in t for t, _ in texts)
        lost = [set(before) - set(after) for after, before in lines]
        assert all(".ipynb" in line or not line for line in set().union(*lost))
    assert any("(solutions/" in c.source for c in lesson) == (number > 0)
    assert not any(_assignments.KEY in cell.metadata for cell in made.cells)
    assert not any(cell.get("outputs") for cell in made.cells)


def has_role(cell, role):
    return cell.metadata.get("nbgrader", {}).get(role)


def test_the_name_of_an_assignment():
    assert [_assignments.name(number) for number in (0, "7", "18")] == [
        "lesson00",
        "lesson07",
        "lesson18",
    ]


def test_the_commands_of_the_page_on_grades_are_what_the_program_takes():
    page = (files.ROOT / "instructors" / "grading.md").read_text("utf-8")
    lines = [
        line for block in re.findall(r"```sh\n(.+?)```", page, re.S) for line in block.split("\n")
    ]
    typed = [line.split() for line in lines if line.startswith(".venv-class/bin/lessons")]
    known = typer.main.get_command(cli.app).commands["class"].commands
    assert [words[2] for words in typed] == [name for name in known if name != "init"]
    for words in typed:
        known[words[2]].make_context(words[2], words[3:])  # raises for what it does not take
    makefile = (files.ROOT / "Makefile").read_text("utf-8")
    assert {line.split()[1] for line in lines if line.startswith("make ")} == {"class"}
    assert re.search("^class:", makefile, re.M)
