"""Submissions that editors and learners damaged are put back into shape, and lose nothing."""

import copy
import random

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lessons_lib import restoring

BLANK = "mine = ...\nchecks.check_mine(mine)"
ANSWER = "mine = 3\nchecks.check_mine(mine)"
TEST = "grading.points(checks.check_mine(mine), 1)"


def cell(kind, name, source, **grader):
    made = getattr(nbformat.v4, f"new_{kind}_cell")(source, id=name)
    if grader:
        made.metadata.nbgrader = {"grade_id": name, "schema_version": 3, **grader}
    return made


def released():
    return nbformat.v4.new_notebook(
        cells=[
            cell("markdown", "title", "# A lesson"),
            cell("code", "given", "import numpy as np"),
            cell("code", "answer", BLANK, solution=True, grade=False, locked=False),
            cell("code", "test", TEST, solution=False, grade=True, locked=True, points=1),
            cell("code", "other", "more = ...", solution=True, grade=False, locked=False),
            cell("markdown", "end", "## The end"),
        ]
    )


NAMES = [cell.id for cell in released().cells]
TEXTS = {cell.id: cell.source for cell in released().cells}


def submitted():
    notebook = released()
    notebook.cells[2].source = ANSWER
    return notebook


def copied(cell):
    """As JupyterLab pastes a cell: with a new id, and all metadata."""
    made = copy.deepcopy(cell)
    made.id = f"{cell.id}-pasted"
    return made


def mend(notebook):
    """The ids, the source of the cell that counts as the answer, and what was said."""
    result, mends = restoring.restored(notebook, released())
    nbformat.validate(result)
    by_name = {cell.id: cell for cell in result.cells}
    assert by_name["test"].source == TEST
    return [cell.id for cell in result.cells], by_name["answer"].source, mends


def test_a_sound_submission_stays_as_it_is():
    result, mends = restoring.restored(submitted(), released())
    assert (result, mends) == (submitted(), [])


@pytest.mark.parametrize("lost", ["title", "given", "test", "end"])
def test_a_deleted_cell_is_put_back(lost):
    notebook = submitted()
    notebook.cells = [cell for cell in notebook.cells if cell.id != lost]
    names, answer, (said,) = mend(notebook)
    assert (names, answer) == (NAMES, ANSWER)
    assert (said.cell, said.text, said.settled) == (lost, "was put back", True)


def test_a_deleted_answer_is_listed_for_the_teacher():
    notebook = submitted()
    del notebook.cells[2]
    names, answer, (said,) = mend(notebook)
    assert (names, answer, said.settled) == (NAMES, BLANK, False)
    assert str(said) == "answer: the answer is missing; the blank was put back"


def test_an_answer_whose_ids_are_lost_is_known_by_its_check():
    notebook = submitted()
    for one in notebook.cells:
        del one["id"]
        one.metadata.clear()
    assert mend(notebook) == (NAMES, ANSWER, [])


def test_colab_keeps_the_id_in_the_metadata():
    notebook = submitted()
    one = notebook.cells[4]
    one.source, one.metadata = "more = 5", nbformat.from_dict({"id": one.pop("id")})
    result, mends = restoring.restored(notebook, released())
    assert (result.cells[4].id, result.cells[4].source, mends) == ("other", "more = 5", [])


def test_an_untouched_copy_of_the_blank_does_not_undo_the_answer():
    notebook = submitted()
    notebook.cells.insert(3, copied(released().cells[2]))
    names, answer, (said,) = mend(notebook)
    assert (names, answer, said.settled) == (NAMES, ANSWER, True)


def test_a_copy_of_the_answer_is_left_out():
    notebook = submitted()
    notebook.cells.append(copied(notebook.cells[2]))
    names, answer, mends = mend(notebook)
    assert (names, answer) == (NAMES, ANSWER)
    assert all(said.settled for said in mends)


@pytest.mark.parametrize("same_id", [False, True])
def test_of_two_answers_the_last_counts_and_the_first_stays_before_it(same_id):
    notebook = submitted()
    notebook.cells.insert(3, copied(notebook.cells[2]))
    notebook.cells[3].source = ANSWER.replace("3", "4")
    if same_id:
        notebook.cells[3].id = "answer"
    result, (said,) = restoring.restored(notebook, released())
    nbformat.validate(result)
    assert [one.source for one in result.cells[2:4]] == [ANSWER, ANSWER.replace("3", "4")]
    assert [one.id for one in result.cells[2:4]][1] == "answer"
    assert "nbgrader" not in result.cells[2].metadata
    assert not said.settled


@pytest.mark.parametrize("kind", ["markdown", "raw"])
@pytest.mark.parametrize("place", [2, 3])
def test_a_retyped_cell_is_code_again(kind, place):
    notebook = submitted()
    one = notebook.cells[place]
    made = getattr(nbformat.v4, f"new_{kind}_cell")(one.source, id=one.id, metadata=one.metadata)
    notebook.cells[place] = made
    result, (said,) = restoring.restored(notebook, released())
    nbformat.validate(result)
    assert result.cells == submitted().cells
    assert said.text == f"was a {kind} cell, is code"


def test_cells_in_another_order_are_sorted_and_few_are_named():
    notebook = submitted()
    notebook.cells.append(notebook.cells.pop(2))
    names, answer, (said,) = mend(notebook)
    assert (names, answer, said.cell) == (NAMES, ANSWER, "answer")


def test_what_was_added_stays_behind_the_cell_that_it_stood_behind():
    notebook = submitted()
    for place, text in ((6, "last"), (3, "between"), (0, "first")):
        notebook.cells.insert(place, cell("code", text, text))
    names, answer, mends = mend(notebook)
    assert (answer, mends) == (ANSWER, [])
    wanted = ["first", "title", "given", "answer", "between", *NAMES[3:], "last"]
    assert names == wanted


def test_a_changed_test_is_put_back_and_what_stood_there_is_kept():
    notebook = submitted()
    notebook.cells[3].source = "1.0"
    result, (said,) = restoring.restored(notebook, released())
    nbformat.validate(result)
    assert [one.source for one in result.cells[2:5]] == [ANSWER, "1.0", TEST]
    assert "nbgrader" not in result.cells[3].metadata
    assert said.cell == "test"


def test_points_and_roles_are_those_that_were_released():
    notebook = submitted()
    notebook.cells[3].metadata.nbgrader.points = 100
    notebook.cells[4].metadata.nbgrader.grade = True
    assert restoring.restored(notebook, released())[0] == submitted()


def test_given_code_that_was_changed_is_kept_and_named():
    notebook = submitted()
    notebook.cells[1].source = "import numpy"
    result, (said,) = restoring.restored(notebook, released())
    assert (result.cells[1].source, said.cell) == ("import numpy", "given")


@pytest.mark.parametrize("name", [[], {}, 7, None, "", "a b"])
def test_an_id_that_is_none_harms_nothing(name):
    notebook = submitted()
    notebook.cells.insert(0, {"cell_type": "code", "metadata": {}, "source": "new = 1", "id": name})
    names, answer, mends = mend(nbformat.from_dict(notebook))
    assert (names, answer, mends) == (["added-1", *NAMES], ANSWER, [])


def test_neither_notebook_is_changed():
    notebook, wanted = submitted(), submitted()
    del notebook.cells[0], wanted.cells[0]
    original = released()
    restoring.restored(notebook, original)
    assert (notebook, original) == (wanted, released())


def test_an_empty_notebook_gets_every_cell():
    names, answer, mends = mend(nbformat.v4.new_notebook())
    assert (names, answer, len(mends)) == (NAMES, BLANK, len(NAMES))


def damaged(seed, steps):
    """A submission after some of what editors and learners do, and the texts that it then has."""
    draw = random.Random(seed)
    notebook = submitted()
    for number in range(steps):
        cells = notebook.cells
        place = draw.randrange(len(cells) + 1)
        step = draw.choice(["delete", "paste", "twice", "retype", "move", "add", "write", "strip"])
        if step == "add" or not cells:
            cells.insert(place, cell("code", f"new-{number}", f"new = {number}"))
            continue
        one = draw.choice(cells)
        if step == "delete":
            cells.remove(one)
        elif step in ("paste", "twice"):
            made = copied(one) if step == "paste" else copy.deepcopy(one)
            cells.insert(place, made)
        elif step == "retype":
            one.cell_type = draw.choice(["code", "markdown", "raw"])
        elif step == "move":
            cells.remove(one)
            cells.insert(min(place, len(cells)), one)
        elif step == "write":
            one.source += f"\n# {number}"
        elif step == "strip":
            one.metadata = nbformat.from_dict(draw.choice([{}, {"nbgrader": {}}]))
    return notebook


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(0, 2**32), st.integers(0, 12))
def test_whatever_was_done_every_cell_is_there_once_and_nothing_is_lost(seed, steps):
    notebook = damaged(seed, steps)
    result, _ = restoring.restored(notebook, released())
    nbformat.validate(result)
    assert [one.id for one in result.cells if one.id in NAMES] == NAMES
    assert [one.id for one in result.cells if "nbgrader" in one.metadata] == NAMES[2:5]
    texts = {one.source.strip() for one in notebook.cells}
    assert texts <= {one.source.strip() for one in result.cells} | set(TEXTS.values())
    again, said = restoring.restored(result, released())
    assert again == result
    assert all("given code" in one.text for one in said)
