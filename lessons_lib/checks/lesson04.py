"""Checks of lesson 04: shrink with dynamic range."""

from math import log
from typing import Any

import numpy as np

from lessons_lib.checks._verdict import Verdict, number_in, report

LAYERS = {"conv_a": 216, "conv_b": 1_152, "dense_a": 1_024_000, "dense_b": 1_000}  # elements
MIN_ELEMENTS = 1_024  # the converter leaves smaller weight tensors in float32


def check_dynamic_range_bytes(answer: Any) -> Verdict:
    """Check exercise 4.1: the bytes of four layers' weights in a dynamic-range file, an int."""
    stored = sum(size * (1 if size >= MIN_ELEMENTS else 4) for size in LAYERS.values())
    ratio = 4 * sum(LAYERS.values()) / stored
    return report(
        "4.1",
        answer,
        lambda total: number_in(total) == stored,
        "multiply each shape out; a weight takes 1 byte where the tensor has at least 1,024 "
        "elements, and 4 bytes where it has fewer.",
        f"In float32 they take {ratio:.2f} times as much: one large layer outweighs the small ones "
        "that stay float.",
    )


def check_scales_of_rows(answer: Any) -> Verdict:
    """Check exercise 4.2: the scale of each of two rows of activations, two numbers."""

    def passed(scales):
        scales = np.ravel(np.array([*scales], float))
        if len(scales) != 2:
            return "Two plain numbers are asked for, the scales only."
        return np.allclose(scales, [0.51 / 255, 51 / 255], rtol=1e-4)

    return report(
        "4.2",
        answer,
        passed,
        "each row has its own range: for one row at a time, "
        "`affine.scale_zero_point(row.min(), row.max())` gives its scale and its zero point.",
        "With one scale for both, 0.2, the first row would be rounded to multiples of 0.2: "
        "the outlier of one image would spoil another.",
    )


def check_inputs_without_flip(answer: Any) -> Verdict:
    """Check exercise 4.3: the fewest inputs that bound the flips by 1 in 10,000, an int.

    The exact answer and the rule of three are both right.
    """
    exact = log(0.05) / log(1 - 1e-4)

    def passed(count):
        count = number_in(count)
        if count > 30_000:
            return f"{count:,.0f} inputs are enough, but fewer are, too."
        return count >= exact

    return report(
        "4.3",
        answer,
        passed,
        "the rule of three says that the bound is 3 / n; solve it for n.",
        "Rare events take many inputs: ten thousand are not enough for one in ten thousand.",
    )
