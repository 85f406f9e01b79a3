"""The checks of lesson 09 accept right answers, refuse wrong ones, and wait for the rest."""

import numpy as np

from lessons_lib import affine, checks
from lessons_lib.numbers.fixed_point import shift_ties_away
from verdicts import Answers, class_of_tests


def bounds(scale, zero_point):
    return zero_point, min(127, zero_point + int(np.floor(6 / scale + 0.5)))


def by_the_library(scale, zero_point):
    return affine.quantize([0.0, 6.0], scale, zero_point)


def in_floats(scale, zero_point):
    return [float(zero_point), float(np.clip(np.rint(6 / scale) + zero_point, -128, 127))]


def not_clipped(scale, zero_point):
    return zero_point, zero_point + round(6 / scale)


def cut_off(scale, zero_point):
    return zero_point, min(127, zero_point + int(6 / scale))


def not_rounded(scale, zero_point):
    return zero_point, min(127, zero_point + 6 / scale)


def without_zero_point(scale, zero_point):
    return 0, min(127, round(6 / scale))


def windows(x):
    n, height, width, channels = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2, channels)


def sums_of(x):
    return windows(x).sum(axis=(2, 4), dtype=int)


def average_pool(x):
    sums = sums_of(x)
    return np.where(sums >= 0, (sums + 2) // 4, -((2 - sums) // 4)).astype(np.int8)


def by_shifts(x):
    return shift_ties_away(sums_of(x), 2).astype(np.int8)


def by_slices(x):
    x = x.astype(np.int32)
    sums = x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]
    return (np.sign(sums) * ((np.abs(sums) + 2) // 4)).astype(np.int8)


def by_loops(x):
    n, height, width, channels = x.shape
    means = np.zeros((n, height // 2, width // 2, channels), np.int8)
    for place in np.ndindex(means.shape):
        image, row, column, channel = place
        window = x[image, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2, channel]
        total = sum(int(code) for code in window.ravel())
        means[place] = (abs(total) + 2) // 4 * (1 if total > 0 else -1)
    return means


def named_like_floats(x):
    half, single = 2, sums_of(x)
    return np.where(single < 0, -((half - single) // 4), (single + half) // 4).astype(np.int8)


def with_floats(x):
    return np.trunc(sums_of(x) / 4 + np.sign(sums_of(x)) / 2).astype(np.int8)


def with_copied_floats(x):
    means = np.asarray(windows(x), np.float32).mean(axis=(2, 4))
    return np.trunc(means + np.copysign(0.5, means)).astype(np.int8)


def rounded_down(x):
    return (sums_of(x) // 4).astype(np.int8)


def half_up(x):
    return ((sums_of(x) + 2) // 4).astype(np.int8)


def half_to_even(x):
    floor, rest = sums_of(x) // 4, sums_of(x) % 4
    return (floor + (rest > 2) + ((rest == 2) & (floor % 2 == 1))).astype(np.int8)


def overflowing(x):
    return (windows(x).sum(axis=(2, 4), dtype=np.int8) // 4).astype(np.int8)


def not_cast(x):
    return average_pool(x).astype(np.int64)


ANSWERS = {
    checks.check_three_roundings: Answers(
        right={
            "a tuple": (-2, -1, -2, -1, 0, 0),
            "an array of rows": np.array([(-2, -1, -2), (-1, 0, 0)]),
            "floats": [-2.0, -1.0, -2.0, -1.0, 0.0, -0.0],
            "nested": ((-2, -1, -2), (-1, 0, 0)),
            "an iterator": iter((-2, -1, -2, -1, 0, 0)),
        },
        wrong={
            "by runtime": ((-2, -1, -1, 0, -2, 0), "All three for -44 come first"),
            "no zero point": ((-6, -5, -6, -5, -4, -4), "The zero point is missing"),
            "to even": ((-2, -1, -1, -1, 0, 0), "To the even neighbour"),
            "away and up swapped": ((-1, -2, -2, 0, -1, 0), "goes up"),
            "all up": ((-1, -1, -2, 0, 0, 0), "TFLite-Micro rounds a tie away"),
            "all away": ((-2, -2, -2, -1, -1, 0), "The builtin kernels round a tie up"),
            "not rounded": ((-1.5,) * 3 + (-0.5,) * 3, "Codes are whole numbers"),
            "off by one": ((-2, -1, -2, -1, 0, -1), "Not right: XNNPACK for -36."),
            "two at once": (
                [[-2, 5, -2], [-1, 7, 0]],
                "Not right: the builtin kernels for -44, the builtin kernels for -36.",
            ),
            "three": ((-2, -1, -2), "holds 3 numbers; 6 are asked"),
            "one": (-2, "holds 1 number"),
        },
    ),
    checks.check_relu6_bounds: Answers(
        right={"by hand": bounds, "by the library": by_the_library, "in floats": in_floats},
        wrong={
            "not clipped": (not_clipped, "a code ends at 127"),
            "cut off": (cut_off, "round to the nearest step"),
            "not rounded": (not_rounded, "codes are whole numbers"),
            "no zero point": (without_zero_point, "the zero point is missing"),
            "swapped": (lambda *given: bounds(*given)[::-1], "the low one comes first"),
            "one bound": (lambda *given: bounds(*given)[1], "What your function returns holds 1"),
            "numbers": ((0, 6), "asked is a function"),
            "no return": (lambda scale, zero_point: None, "`return` missing"),
            "one argument": (lambda scale: (0, 6), "raised TypeError"),
        },
    ),
    checks.check_average_pool: Answers(
        right={
            "by a mirror image": average_pool,
            "by the lesson's shift": by_shifts,
            "by slices": by_slices,
            "by loops": by_loops,
            "with variables named half and single": named_like_floats,
        },
        wrong={
            "rounded down": (rounded_down, "always rounded down"),
            "cut off": (lambda x: (sums_of(x) / 4).astype(np.int8), "It is cut off"),
            "not rounded": (lambda x: sums_of(x) / 4, "It is not rounded"),
            "half up": (half_up, "A negative tie goes up"),
            "half to even": (half_to_even, "to the even neighbour"),
            "with floats": (with_floats, "not made of integers only: divide gives float64"),
            "with a copy in floats": (with_copied_floats, "not made of integers only: `float32`"),
            "overflowing": (overflowing, "does not fit into int8"),
            "sums": (sums_of, "divide by 4"),
            "not cast": (not_cast, "cast them to np.int8"),
            "another shape": (lambda x: average_pool(x)[:, 1:], "For codes of shape"),
            "None": (None, "asked is a function"),
            "codes": (average_pool(np.zeros((1, 2, 2, 1), np.int8)), "asked is a function"),
        },
    ),
}

TestAnswers = class_of_tests(ANSWERS)
