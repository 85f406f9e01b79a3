"""Each lesson runs with a model that is not the course's, or one sentence says why it does not.

Lessons 1 to 7; the others stand in a file of their own, for another test process.
"""

import pytest

import stand_in
from lessons_lib import notebooks


@pytest.mark.parametrize("path", notebooks.find(range(1, 8)), ids=stand_in.number)
def test_it_runs_with_a_model_of_another_architecture_or_says_why_not(path, common_artifacts):
    stand_in.check(path)
