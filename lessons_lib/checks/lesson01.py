"""Checks of lesson 01: save a model as TF-Lite."""

from typing import Any

import numpy as np

from lessons_lib.checks._verdict import Verdict, report
from lessons_lib.evaluate import Proportion

_WIDEST, _STEP = 0.01, 500


def check_neuron(answer: Any) -> Verdict:
    """Check exercise 1.1: what the neuron returns for the input (4, 8), a number."""
    return report(
        "1.1",
        answer,
        lambda y: bool(np.isclose(float(y), 0.5 * 4 - 0.25 * 8 + 0.125)),
        "multiply each input by its weight, add the two products, then add the bias.",
        "The two products cancel, and the bias is left.",
    )


def check_run_tiny(answer: Any) -> Verdict:
    """Check exercise 1.2: the neuron's outputs for three inputs, float32 (3, 1)."""
    expected = np.array([[0.125], [0.125], [-1.375]], np.float32)
    return report(
        "1.2",
        answer,
        lambda y: y.dtype == np.float32 and y.shape == (3, 1) and np.allclose(y, expected),
        "`runtime.Model(tiny_tflite).predict(three_inputs)` does it; with the interpreter, resize "
        "its input to (3, 2) and allocate again. The result is a float32 array of shape (3, 1).",
        "One call, three answers: the batch of this file is dynamic.",
    )


def check_test_size(answer: Any) -> Verdict:
    """Check exercise 1.3: the test images for an interval of at most one point, an int."""
    return report(
        "1.3",
        answer,
        lambda n: n % _STEP == 0 and _width(n) <= _WIDEST < _width(n - _STEP),
        "try 500, 1,000, 1,500 and so on: with p = Proportion(round(0.98 * n), n), the width is "
        "p.high - p.low.",
        "The width falls with the square root of the number of images: half the width takes about "
        "four times as many.",
    )


def _width(total: int) -> float:
    share = Proportion(round(0.98 * total), total)
    return share.high - share.low
