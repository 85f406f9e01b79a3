"""The checks of lesson 09, Run int8 by hand."""

import itertools

import numpy as np

from lessons_lib.course.checks._answers import array_in, call, compare, floats_in, numbers_in, slip
from lessons_lib.course.checks._verdict import exercise


@exercise(
    "-44 / 8 and -36 / 8 are ties. Each runtime has its own rule for a tie: which? The zero "
    "point comes last.",
    "To even agrees with one rule at the first tie and with the other at the second: one tie "
    "does not tell three rules apart.",
)
def check_three_roundings(codes: object) -> bool | str:
    """Exercise 9.1: the codes of two sums, -44 and -36, M = 1/8, zero point 4, in 3 runtimes."""
    right = np.array([-2, -1, -2, -1, 0, 0])
    away, up, even = right.reshape(2, 3).T
    found = numbers_in(codes, right.size)  # once: an iterator is empty afterwards
    known = compare(
        found,
        right,
        ([*away, *up, *even], "All three for -44 come first, then those for -36."),
        (right - 4, "The zero point is missing."),
        ([-1, -1, -2, 0, 0, 0], "TFLite-Micro rounds a tie away from zero: -5.5 to -6."),
        ([-1, -2, -2, 0, -1, 0], "Which of TFLite-Micro and the builtin kernels goes up?"),
        ([-2, -2, -2, -1, -1, 0], "The builtin kernels round a tie up: -5.5 to -5."),
        (
            [-2, -1, -1, -1, 0, 0],
            [-2, -1, -1, -1, 0, -1],
            "To the even neighbour: -5.5 goes to -6, and -4.5 to -4.",
        ),
        ([-1.5, -1.5, -1.5, -0.5, -0.5, -0.5], "Codes are whole numbers: round."),
    )
    runtimes = ("TFLite-Micro", "the builtin kernels", "XNNPACK")
    places = [f"{name} for {total}" for total in (-44, -36) for name in runtimes]
    wrong = itertools.compress(places, found != right)
    return known or f"Not right: {', '.join(wrong)}."


_RELU6 = {  # (scale, zero point): the codes of 0 and of 6
    (0.05, -128): (-128, -8),
    (0.07, -100): (-100, -14),
    (0.0235, -128): (-128, 127),
    (0.04, 3): (3, 127),
    (0.1, -70): (-70, -10),
    (0.5, 127): (127, 127),
}


@exercise(
    "which codes stand for the real numbers 0 and 6? And where does int8 end?",
    "With the smallest scales the upper bound is 127 anyway: RELU6 then costs nothing.",
)
def check_relu6_bounds(bounds: object) -> bool | str:
    """Exercise 9.2: a function ``(scale, zero_point) -> (low, high)`` of a fused RELU6."""
    for (scale, zero_point), expected in _RELU6.items():
        result = call(bounds, scale, zero_point)
        found = numbers_in(result, 2, subject="What your function returns")
        if np.array_equal(found, expected):
            continue
        real = 6 / scale
        reason = slip(
            found,
            (expected[::-1], "the low one comes first"),
            ((0, round(real)), (0, min(127, round(real))), "the zero point is missing"),
            ((zero_point, zero_point + round(real)), "a code ends at 127"),
            ((zero_point, min(127, zero_point + int(real))), "round to the nearest step"),
            ((zero_point, min(127, zero_point + real)), "codes are whole numbers"),
            rtol=1e-9,
        )
        given = f"({', '.join(f'{end:g}' for end in found)})"
        why = f": {reason}" if reason else ""
        return f"For ({scale}, {zero_point}) it gives {given}, asked is {expected}{why}."
    return True


@exercise(
    "the sum of four codes needs a wider type than int8. `//` rounds down: what must be added "
    "to a sum first, and what does a negative one need?",
    "Input and output have one scale and one zero point, so codes are averaged as they are.",
)
def check_average_pool(average_pool: object) -> bool | str:
    """Exercise 9.3: a function that averages 2x2 windows of int8 codes (N, H, W, C), stride 2."""
    x = np.random.default_rng(9).integers(-128, 128, (3, 6, 8, 5)).astype(np.int8)
    x[0, :2, :2, 0] = [[-3, -2], [-3, -2]]  # -2.5, a tie
    sums = x.reshape(3, 3, 2, 4, 2, 5).sum(axis=(2, 4), dtype=np.int64)
    expected = np.where(sums >= 0, (sums + 2) // 4, -((2 - sums) // 4))
    codes = array_in(call(average_pool, x.copy()), "an array of codes")
    if codes.shape != expected.shape:
        return f"For codes of shape {x.shape} it returns {codes.shape}; asked is {expected.shape}."
    if (codes != expected).any():
        reason = slip(
            codes,
            (sums // 4, "It is always rounded down."),
            (np.trunc(sums / 4), "It is cut off, not rounded."),
            (np.round(sums / 4), "A tie goes to the even neighbour, not away from zero."),
            ((sums + 2) // 4, "A negative tie goes up, not away from zero."),
            (sums / 4, "It is not rounded."),
            (sums, "These are the sums: divide by 4."),
            (sums.astype(np.int8) // 4, "The sum of four codes does not fit into int8."),
            rtol=1e-9,
        )
        return reason or "The codes are not the means of the windows."
    if found := floats_in(average_pool, x):
        return f"The codes are right, but not made of integers only: {found}."
    if codes.dtype != np.int8:
        return f"The codes are right, their dtype is {codes.dtype}: cast them to np.int8."
    return True
