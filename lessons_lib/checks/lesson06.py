"""The checks of lesson 06, on choosing a representative dataset."""

from typing import Any

import numpy as np

from lessons_lib import affine
from lessons_lib.checks._verdict import Verdict, report


def check_running_range(answer: Any) -> Verdict:
    """Exercise 6.1: ``(scale, zero_point)`` of the range -0.51..2.04 that four images span."""
    expected = affine.scale_zero_point(-0.51, 2.04)
    return report(
        "6.1",
        answer,
        lambda a: np.shape(a) == (2,) and np.allclose([*map(float, a)], expected, rtol=1e-3),
        hint="take the smallest minimum and the largest maximum, whichever images they are from; "
        "scale = (high - low) / 255, zero_point = -128 - round(low / scale).",
        explain="Two images made the range; the other two left no trace.",
    )


# (real_max, recorded_max): right, one unscaled image, three bits too wide, lost, too narrow.
_RANGES = ((1.0, 1.0), (1.0, 255.0), (1.0, 8.0), (1.0, 4095.0), (1.9, 438.0), (2.0, 1.0))


def _levels_left(real_max: float, recorded_max: float) -> int:
    scale, zero_point = affine.scale_zero_point(0.0, recorded_max)
    first, last = affine.quantize([0.0, real_max], scale, zero_point).astype(int)
    return int(last - first + 1)


def check_levels_left(answer: Any) -> Verdict:
    """Exercise 6.2: a function that counts the int8 codes left to values from 0 to real_max."""
    return report(
        "6.2",
        answer,
        lambda levels_left: all(levels_left(*r) == _levels_left(*r) for r in _RANGES),
        hint="affine.scale_zero_point(0, recorded_max) gives the map; quantize 0 and real_max "
        "with it and count from one code to the other, both included. Codes are int8: use int() "
        "first, or the difference overflows. What is beyond the range saturates.",
        explain="A 12-bit sensor would leave a single code: every input looks the same.",
    )


def _mixed_images() -> tuple[np.ndarray, list[int]]:
    """Seven images of noise, five of them spoilt, and the positions of the good ones."""
    images = np.random.default_rng(6).random((7, 4, 4, 1), dtype=np.float32)
    images[0] *= 255
    images[2, 1, 1] = np.nan
    images[3, 2, 2] = np.inf
    images[5, 0, 0] = -0.5
    images[6, 3, 3] = -np.inf
    images[1, 0, 0], images[4, 3, 3] = 0.0, 1.0  # the ends of the range are good
    return images, [1, 4]


def check_keep_good(answer: Any) -> Verdict:
    """Exercise 6.3: a function that keeps the images whose values are finite and in [0, 1]."""
    images, good = _mixed_images()
    return report(
        "6.3",
        answer,
        lambda keep_good: np.array_equal(keep_good(images.copy()), images[good]),
        hint="build a bool mask with one entry for each image: reduce over the last three axes "
        "with .all(axis=(1, 2, 3)), and return images[mask]. 0 and 1 themselves are good.",
        explain="NaN fails every comparison, so `0 <= x` and `x <= 1` alone refuse it too.",
    )
