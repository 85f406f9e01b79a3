"""The checks of lesson 06: each knows a right answer, wrong ones, and one not attempted."""

import numpy as np

from lessons_lib import affine, checks
from verdicts import class_of_tests


def levels_left(real_max, recorded_max):
    scale, zero_point = affine.scale_zero_point(0.0, recorded_max)
    q = affine.quantize(np.array([0.0, real_max]), scale, zero_point).astype(int)
    return q[1] - q[0] + 1


def levels_by_arithmetic(real_max, recorded_max):
    return round(255 * min(real_max / recorded_max, 1.0)) + 1


def keep_good(images):
    return images[((images >= 0) & (images <= 1)).all(axis=(1, 2, 3))]


RIGHT = [
    (checks.check_running_range, (0.01, -77)),
    (checks.check_running_range, affine.scale_zero_point(-0.51, 2.04)),
    (checks.check_running_range, np.array([0.01, -77])),
    (checks.check_running_range, ("0.01", "-77")),
    (checks.check_levels_left, levels_left),
    (checks.check_levels_left, levels_by_arithmetic),
    (checks.check_keep_good, keep_good),
    (checks.check_keep_good, lambda images: [x for x in images if len(keep_good(x[np.newaxis]))]),
]

WRONG = [
    (checks.check_running_range, (0.0051, -39)),  # the range of the first image only
    (checks.check_running_range, (0.01, 77)),
    (checks.check_running_range, (0.01, -78)),
    (checks.check_running_range, 0.01),
    (checks.check_running_range, (0.01, -77, 0)),
    (checks.check_levels_left, lambda real, recorded: 256 * real / recorded),
    (checks.check_levels_left, lambda real, recorded: round(255 * real / recorded) + 1),
    (checks.check_levels_left, 2),
    (checks.check_keep_good, lambda images: images),
    (checks.check_keep_good, lambda images: images[np.isfinite(images).all(axis=(1, 2, 3))]),
    (checks.check_keep_good, lambda images: np.clip(images, 0, 1)),
    (checks.check_keep_good, lambda images: images[((images > 0) & (images < 1)).all((1, 2, 3))]),
    (checks.check_keep_good, "the good ones"),
]


TestAnswers = class_of_tests(RIGHT, WRONG)
