import numpy as np
import pytest

from lessons_lib import checks

RIGHT = np.array([[0.125], [0.125], [-1.375]], np.float32)

CASES = [
    (checks.check_neuron, 0.125, "correct"),
    (checks.check_neuron, np.float32(0.125), "correct"),
    (checks.check_neuron, 4.125, "not yet"),
    (checks.check_neuron, "an eighth", "not yet"),
    (checks.check_neuron, ..., "not attempted"),
    (checks.check_run_tiny, RIGHT, "correct"),
    (checks.check_run_tiny, RIGHT[:1], "not yet"),
    (checks.check_run_tiny, RIGHT.ravel(), "not yet"),
    (checks.check_run_tiny, RIGHT.astype(np.float64), "not yet"),
    (checks.check_run_tiny, RIGHT + 1, "not yet"),
    (checks.check_run_tiny, RIGHT.tolist(), "not yet"),
    (checks.check_run_tiny, ..., "not attempted"),
    (checks.check_test_size, 3500, "correct"),
    (checks.check_test_size, 3000, "not yet"),
    (checks.check_test_size, 4000, "not yet"),
    (checks.check_test_size, 3400, "not yet"),
    (checks.check_test_size, None, "not yet"),
    (checks.check_test_size, ..., "not attempted"),
]


@pytest.mark.parametrize(("check", "answer", "state"), CASES)
def test_check(check, answer, state):
    verdict = check(answer)
    assert verdict.state == state
    assert bool(verdict) == (state == "correct")
    assert verdict.number.startswith("1.")
