"""The checks of lesson 09, Run int8 by hand."""

from typing import Any

import numpy as np

from lessons_lib import fixed_point
from lessons_lib.checks._verdict import Verdict, report


def check_three_roundings(answer: Any) -> Verdict:
    """Exercise 9.1: the codes of two sums, -44 and -36, M = 1/8, zero point 4, in 3 runtimes."""
    return report(
        "9.1",
        answer,
        lambda codes: np.array_equal(np.ravel(codes), [-2, -1, -2, -1, 0, 0]),
        "-44 / 8 = -5.5 and -36 / 8 = -4.5 are ties. Round each away from zero, then up, then to "
        "the even neighbour, and add the zero point each time.",
        "To even agrees with one rule at the first tie and with the other at the second: one tie "
        "does not tell three rules apart.",
    )


def check_relu6_bounds(answer: Any) -> Verdict:
    """Exercise 9.2: a function ``(scale, zero_point) -> (low, high)`` of a fused RELU6."""
    cases = [(0.05, -128), (0.0235, -128), (0.04, 3), (0.1, -70), (0.5, 127), (0.07, -100)]
    expected = [(-128, -8), (-128, 127), (3, 127), (-70, -10), (127, 127), (-100, -14)]

    def passed(bounds):
        found = [tuple(int(end) for end in bounds(*case)) for case in cases]
        return found == expected

    return report(
        "9.2",
        answer,
        passed,
        "the real 0 has the code zero_point, the real 6 the code zero_point + round(6 / scale); "
        "neither may leave -128..127.",
        "With the smallest scales the upper bound is 127 anyway: RELU6 then costs nothing.",
    )


def check_average_pool(answer: Any) -> Verdict:
    """Exercise 9.3: a function that averages 2x2 windows of int8 codes (N, H, W, C), stride 2."""
    x = np.random.default_rng(9).integers(-128, 128, (3, 6, 8, 5)).astype(np.int8)
    x[0, :2, :2, 0] = [[-3, -2], [-3, -2]]  # -2.5, a tie
    sums = x.reshape(3, 3, 2, 4, 2, 5).sum(axis=(2, 4), dtype=np.int64)
    expected = np.where(sums >= 0, (sums + 2) // 4, -((2 - sums) // 4)).astype(np.int8)

    def passed(average_pool):
        codes = np.asarray(average_pool(x.view(fixed_point.IntegersOnly)))
        if np.array_equal(codes, expected) and codes.dtype != np.int8:
            return f"The codes are right, their dtype is {codes.dtype}: cast them to np.int8."
        return np.array_equal(codes, expected)

    return report(
        "9.3",
        answer,
        passed,
        "add the four codes in a wider type than int8, then divide by 4 and round halves away "
        "from zero: (sum + 2) // 4 does it for sums of 0 and more; treat negative ones by their "
        "mirror image; cast to np.int8.",
        "Input and output have one scale and one zero point, so codes are averaged as they are.",
    )
