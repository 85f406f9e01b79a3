"""Lesson 16's notebook proves each of its twelve cases: the symptom, and that the mend mends."""

import re

import pytest

from lessons_lib import notebooks

(PATH,) = notebooks.find([16])
CASE = re.compile(r"^## (?:Deeper: c|C)ase (\d+)[:,]", re.MULTILINE)


def cases():
    """The code cells of each case, by its number."""
    found, number = {}, None
    for cell in notebooks.read(PATH).cells:
        if cell.cell_type == "markdown" and re.search(r"^## ", cell.source, re.MULTILINE):
            heading = CASE.search(cell.source)
            number = int(heading[1]) if heading else None
        elif cell.cell_type == "code" and number is not None:
            found.setdefault(number, []).append(cell)
    return found


def test_there_are_twelve():
    assert [*cases()] == [*range(1, 13)]


@pytest.mark.parametrize("number", range(1, 13))
def test_a_case_has_a_guess_a_symptom_and_a_mend_that_are_asserted(number):
    code = cases()[number]
    assert sum(cell.source.startswith("widgets.quiz(") for cell in code) == 1
    (last,) = (cell for cell in code if "\ndischarge(" in cell.source)
    assert last is code[-1]
    assert re.search(r"^assert ", last.source, re.MULTILINE)
    asserts = sum(len(re.findall(r"^assert ", cell.source, re.MULTILINE)) for cell in code)
    raises = any("raises-exception" in cell.metadata.get("tags", []) for cell in code)
    assert asserts + raises >= 2
    said = "".join(output.get("text", "") for output in last.outputs)
    before, after = re.search(r"^.*: (.+) -> (.+)$", said, re.MULTILINE).groups()
    assert before != after


def test_four_cases_are_mended_by_the_learner_and_one_patient_more():
    calls = re.findall(r"checks\.check_\w+\(", "".join(c.source for c in _code()))
    assert len(calls) == 5


def _code():
    return notebooks.code_cells(notebooks.read(PATH))
