import numpy as np
import pytest

from lessons_lib import checks

RIGHT = np.array([[0.125], [0.125], [-1.375]], np.float32)

CASES = [
    (checks.check_neuron, 0.125, "correct"),
    (checks.check_neuron, np.float32(0.125), "correct"),
    (checks.check_neuron, np.float32([[0.125]]), "correct"),
    (checks.check_neuron, [[0.125]], "correct"),
    (checks.check_neuron, "0.125", "correct"),
    (checks.check_neuron, [0.125, 0.125], "not yet"),
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
    (checks.check_test_size, "3,500", "correct"),
    (checks.check_test_size, 0, "not yet"),
    (checks.check_test_size, np.inf, "not yet"),
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


@pytest.mark.parametrize(
    ("check", "answer", "said"),
    [
        (checks.check_run_tiny, RIGHT.astype(np.float64), "are right, but this is float64 of"),
        (checks.check_run_tiny, RIGHT.ravel(), "are right, but this is float32 of shape (3,)."),
        (checks.check_run_tiny, RIGHT[:1], "This is float32 of shape (1, 1)."),
        (checks.check_test_size, 3400, "a multiple of 500"),
        (checks.check_test_size, 3000, "3,000 images are too few: the interval is 0.0101 wide"),
        (checks.check_test_size, 4000, "4,000 images are enough, but fewer are, too"),
    ],
)
def test_a_wrong_answer_hears_what_is_wrong_with_it(check, answer, said):
    assert said in check(answer).message


def test_the_hint_does_not_give_the_solution_away():
    assert "predict(" not in checks.check_run_tiny(RIGHT + 1).message
