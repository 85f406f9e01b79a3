"""Each lesson runs with a model that is not the course's, or one sentence says why it does not.

Lessons 8 to 14, 16 to 18. Lesson 15 brings models of its own, none of them the course's: there, a
learner's model goes into the last cells, and ``quantize_model`` is tested with many.
"""

import pytest

import stand_in
from lessons_lib import notebooks


@pytest.mark.parametrize("path", notebooks.find([*range(8, 15), 16, 17, 18]), ids=stand_in.number)
def test_it_runs_with_a_model_of_another_architecture_or_says_why_not(path, common_artifacts):
    stand_in.check(path)
