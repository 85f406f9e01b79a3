"""The checks of lesson 06, on choosing a representative dataset."""

import numpy as np

from lessons_lib.course.checks._answers import array_in, call, compare, numbers_in
from lessons_lib.course.checks._verdict import exercise
from lessons_lib.numbers import affine


@exercise(
    "which two of the eight numbers does the converter keep? Then scale and zero point "
    "follow as in lesson 3.",
    "Two images made the range; the other two left no trace.",
)
def check_running_range(pair: object) -> bool | str:
    """Exercise 6.1: ``(scale, zero_point)`` of the range -0.51..2.04 that four images span."""
    expected = affine.scale_zero_point(-0.51, 2.04)
    average = affine.scale_zero_point(np.mean([-0.2, -0.51]) / 2, np.mean([1.1, 2.04, 0.9, 1.6]))
    first, last = affine.scale_zero_point(-0.2, 1.1), affine.scale_zero_point(0.0, 1.6)
    return compare(
        pair,
        expected,
        (expected[::-1], "The scale comes first, then the zero point."),
        ((0.01, -128), "The zero point is the code of the real 0, which is not the lowest."),
        ((0.01, 51), "That is the zero point of uint8."),
        ((0.01, 77), "The sign of the zero point is wrong."),
        (first, "This is the range of the first image alone."),
        (last, "This is the range of the last image alone."),
        (average, "This is the range of the averages; the converter keeps the extremes."),
        rtol=1e-3,
        near=5e-3,
    )


# (real_max, recorded_max): right, one unscaled image, three bits too wide, lost, too narrow.
_RANGES = ((1.0, 1.0), (1.0, 255.0), (1.0, 8.0), (1.0, 4095.0), (1.9, 438.0), (2.0, 1.0))


def _levels_left(real_max: float, recorded_max: float) -> int:
    scale, zero_point = affine.scale_zero_point(0.0, recorded_max)
    first, last = affine.quantize([0.0, real_max], scale, zero_point).astype(int)
    return int(last - first + 1)


@exercise(
    "calibration made the map from real numbers to codes. Which code does it give to the "
    "smallest of the values, which to the largest?",
    "A 12-bit sensor would leave a single code: every input looks the same.",
)
def check_levels_left(levels_left: object) -> bool | str:
    """Exercise 6.2: a function that counts the int8 codes left to values from 0 to real_max."""
    for real, recorded in _RANGES:
        result, expected = call(levels_left, real, recorded), _levels_left(real, recorded)
        given = float(numbers_in(result, 1, subject="What your function returns")[0])
        reasons = (
            (given == expected - 1, "both ends count"),
            (given == expected - 256, "the difference of two int8 codes does not fit into int8"),
            (real > recorded, "what is larger than recorded saturates, it shares the last code"),
            (given != np.rint(given), "codes are counted, whole ones"),
            (True, "count from the code of 0 to that of the largest value"),
        )
        if given != expected:
            why = next(reason for fits, reason in reasons if fits)
            return f"For ({real}, {recorded}) it gives {given:g}, asked is {expected}: {why}."
    return True


_SPOILT = {  # what is wrong with five of the seven images, by place; the others are good
    0: "has values of 0 to 255",
    2: "holds a NaN",
    3: "holds an infinity",
    5: "holds a negative value",
    6: "holds a negative infinity",
}


def _mixed_images() -> np.ndarray:
    """Seven images of noise, of which those of _SPOILT are spoilt: float32 (7, 4, 4, 1)."""
    images = np.random.default_rng(6).random((7, 4, 4, 1), dtype=np.float32)
    images[0] *= 255
    images[2, 1, 1] = np.nan
    images[3, 2, 2] = np.inf
    images[5, 0, 0] = -0.5
    images[6, 3, 3] = -np.inf
    images[1, 0, 0], images[4, 3, 3] = 0.0, 1.0  # the ends of the range are good
    return images


@exercise(
    "ask every value a yes-or-no question; an image is good if all of its values say yes. "
    "What does a comparison with NaN say? 0 and 1 themselves are good.",
    "NaN fails every comparison, so `0 <= x` and `x <= 1` alone refuse it too.",
)
def check_keep_good(keep_good: object) -> bool | str:
    """Exercise 6.3: a function that keeps the images whose values are finite and in [0, 1]."""
    images = _mixed_images()
    kept = array_in(call(keep_good, images.copy()), "an array of images")
    if kept.shape == (7,):
        return "This looks like one entry for each image, such as a mask: return images[mask]."
    if kept.ndim != 4 or kept.shape[1:] != images.shape[1:]:
        return f"What comes back has the shape {kept.shape}; images are (N, 4, 4, 1)."
    places = [
        next((i for i, image in enumerate(images) if np.array_equal(image, one, True)), None)
        for one in kept
    ]
    if None in places:
        return "An image comes back changed: keep images or drop them, but do not mend them."
    for place in places:
        if place in _SPOILT:
            return f"An image is kept that {_SPOILT[place]}."
    if {1, 4} - {*places}:
        return "A good image is missing: the values 0 and 1 themselves are good."
    return places == [1, 4] or "The good images are not in the same order, each once."
