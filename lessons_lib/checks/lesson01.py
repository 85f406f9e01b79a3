"""Checks of lesson 01: save a model as TF-Lite."""

from typing import Any

import numpy as np

from lessons_lib.checks._verdict import Verdict, number_in, report
from lessons_lib.evaluate import Proportion

_WIDEST, _STEP = 0.01, 500


def check_neuron(answer: Any) -> Verdict:
    """Check exercise 1.1: what the neuron returns for the input (4, 8), a number."""
    return report(
        "1.1",
        answer,
        lambda y: np.isclose(number_in(y), 0.5 * 4 - 0.25 * 8 + 0.125),
        "multiply each input by its weight, add the two products, then add the bias.",
        "The two products cancel, and the bias is left.",
    )


def check_run_tiny(answer: Any) -> Verdict:
    """Check exercise 1.2: the neuron's outputs for three inputs, float32 (3, 1)."""
    expected = np.array([[0.125], [0.125], [-1.375]], np.float32)

    def passed(y):
        kind = f"{np.asarray(y).dtype} of shape {np.shape(y)}"
        if kind == "float32 of shape (3, 1)":
            return np.allclose(y, expected)
        equal = np.size(y) == 3 and np.allclose(np.ravel(y), expected.ravel())
        return f"{'The numbers are right, but this' if equal else 'This'} is {kind}."

    return report(
        "1.2",
        answer,
        passed,
        "resize the input to the shape of the three inputs and allocate again, or let "
        "`runtime.Model` do it. What comes back is a float32 array of shape (3, 1).",
        "One call, three answers: the batch of this file is dynamic.",
    )


def check_test_size(answer: Any) -> Verdict:
    """Check exercise 1.3: the test images for an interval of at most one point, an int."""

    def passed(n):
        n = number_in(n)
        if n < _STEP or n % _STEP:
            return f"The answer is a multiple of {_STEP}."
        if _width(int(n)) > _WIDEST:
            return f"{n:,.0f} images are too few: the interval is {_width(int(n)):.4f} wide."
        if _width(int(n) - _STEP) <= _WIDEST:
            return f"{n:,.0f} images are enough, but fewer are, too."
        return True

    return report(
        "1.3",
        answer,
        passed,
        "try 500, 1,000, 1,500 and so on: with p = Proportion(round(0.98 * n), n), the width is "
        "p.high - p.low.",
        "The width falls with the square root of the number of images: half the width takes about "
        "four times as many.",
    )


def _width(total: int) -> float:
    share = Proportion(round(0.98 * total), total)
    return share.high - share.low
