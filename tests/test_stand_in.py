"""Each lesson runs with a model that is not the course's, or one sentence says why it does not."""

import pytest

import stand_in
from lessons_lib import notebooks

LESSONS = notebooks.find(range(1, 15))
# They change single layers of a network by hand, or name them in rules.
FIXED = {"05", "10", "11", "12", "13"}
SENTENCE = "A model of another architecture is refused"


def number(path):
    return path.name[:2]


@pytest.mark.parametrize("path", [p for p in LESSONS if number(p) not in FIXED], ids=number)
def test_it_runs_with_a_model_of_another_architecture(path, artifacts):
    notebook = notebooks.read(path)
    assert stand_in.put_into(notebook) == 1, "the lesson's line for a model was not found"
    failure = notebooks.execute(notebook, path.parent)
    assert failure is None, str(failure)


@pytest.mark.parametrize("path", [p for p in LESSONS if number(p) in FIXED], ids=number)
def test_it_says_why_another_architecture_is_refused_and_refuses_it_at_once(path, artifacts):
    notebook = notebooks.read(path)
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    assert sum(SENTENCE in text for text in texts) == 1
    cells = notebooks.code_cells(notebook)
    first = next(i for i, cell in enumerate(cells, 1) if "training.reference(" in cell.source)
    stand_in.put_into(notebook)
    failure = notebooks.execute(notebook, path.parent)
    assert failure.cell == first
    assert failure.error.startswith(("ModelFileError:", "InputError:"))
