"""The checks of lesson 09 accept right answers, refuse wrong ones, and wait for the rest."""

import numpy as np

from lessons_lib import checks
from verdicts import class_of_tests


def bounds(scale, zero_point):
    return zero_point, min(127, zero_point + int(np.floor(6 / scale + 0.5)))


def not_clipped(scale, zero_point):
    return zero_point, zero_point + round(6 / scale)


def truncated(scale, zero_point):
    return zero_point, min(127, zero_point + int(6 / scale))


def without_zero_point(scale, zero_point):
    return 0, min(127, round(6 / scale))


def windows(x):
    n, height, width, channels = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2, channels)


def average_pool(x):
    sums = windows(x).sum(axis=(2, 4), dtype=int)
    return np.where(sums >= 0, (sums + 2) // 4, -((2 - sums) // 4)).astype(np.int8)


def with_floats(x):
    sums = windows(x).sum(axis=(2, 4), dtype=int)
    return np.trunc(sums / 4 + np.sign(sums) / 2).astype(np.int8)


def rounded_down(x):
    return (windows(x).sum(axis=(2, 4), dtype=int) // 4).astype(np.int8)


def half_to_even(x):
    sums = windows(x).sum(axis=(2, 4), dtype=int)
    floor, rest = sums // 4, sums % 4
    return (floor + (rest > 2) + ((rest == 2) & (floor % 2 == 1))).astype(np.int8)


def overflowing(x):
    return (windows(x).sum(axis=(2, 4), dtype=np.int8) // 4).astype(np.int8)


def not_cast(x):
    return average_pool(x).astype(np.int64)


TestLesson09 = class_of_tests(
    right=[
        (checks.check_three_roundings, (-2, -1, -2, -1, 0, 0)),
        (checks.check_three_roundings, np.array([(-2, -1, -2), (-1, 0, 0)])),
        (checks.check_relu6_bounds, bounds),
        (checks.check_average_pool, average_pool),
    ],
    wrong=[
        (checks.check_three_roundings, (-2, -1, -2, -1, 0, -1)),
        (checks.check_three_roundings, (-6, -5, -6, -5, -4, -4)),
        (checks.check_three_roundings, (-2, -1, -2)),
        (checks.check_three_roundings, -2),
        (checks.check_relu6_bounds, not_clipped),
        (checks.check_relu6_bounds, truncated),
        (checks.check_relu6_bounds, without_zero_point),
        (checks.check_relu6_bounds, (0, 6)),
        (checks.check_average_pool, rounded_down),
        (checks.check_average_pool, half_to_even),
        (checks.check_average_pool, with_floats),
        (checks.check_average_pool, overflowing),
        (checks.check_average_pool, not_cast),
        (checks.check_average_pool, None),
    ],
)


def test_what_is_wrong_with_a_pooling_is_said():
    assert "cast them to np.int8" in checks.check_average_pool(not_cast).message
    assert "not integers" in checks.check_average_pool(with_floats).message
