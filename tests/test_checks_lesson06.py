"""The checks of lesson 06 accept right answers, refuse wrong ones, and wait for the rest."""

import numpy as np

from lessons_lib import affine, checks
from verdicts import Answers, class_of_tests


def levels_left(real_max, recorded_max):
    scale, zero_point = affine.scale_zero_point(0.0, recorded_max)
    q = affine.quantize(np.array([0.0, real_max]), scale, zero_point).astype(int)
    return q[1] - q[0] + 1


def levels_by_arithmetic(real_max, recorded_max):
    return round(255 * min(real_max / recorded_max, 1.0)) + 1


def levels_by_counting(real_max, recorded_max):
    scale, zero_point = affine.scale_zero_point(0.0, recorded_max)
    return len(np.unique(affine.quantize(np.linspace(0, real_max, 10_001), scale, zero_point)))


def levels_in_int8(real_max, recorded_max):
    scale, zero_point = affine.scale_zero_point(0.0, recorded_max)
    first, last = affine.quantize([0.0, real_max], scale, zero_point)
    with np.errstate(over="ignore"):
        return last - first + np.int8(1)


def keep_good(images):
    return images[((images >= 0) & (images <= 1)).all(axis=(1, 2, 3))]


def keep_by_a_loop(images):
    return [image for image in images if np.isfinite(image).all() and 0 <= image.min() <= 1]


def keep_by_ends(images):
    return images[(images.min((1, 2, 3)) >= 0) & (images.max((1, 2, 3)) <= 1)]


def keep_finite(images):
    return images[np.isfinite(images).all(axis=(1, 2, 3))]


def keep_inner(images):
    return images[((images > 0) & (images < 1)).all((1, 2, 3))]


ANSWERS = {
    checks.check_running_range: Answers(
        right={
            "a tuple": (0.01, -77),
            "by the library": affine.scale_zero_point(-0.51, 2.04),
            "an array": np.array([0.01, -77]),
            "texts": ("0.01", "-77"),
        },
        wrong={
            "the first image": ((0.0051, -89), "first image alone"),
            "the last image": ((0.00627, -128), "last image alone"),
            "averages": ((0.006225, -99), "the averages"),
            "another sign": ((0.01, 77), "The sign"),
            "uint8": ((0.01, 51), "zero point of uint8"),
            "the lowest code": ((0.01, -128), "is not the lowest"),
            "swapped": ((-77, 0.01), "The scale comes first"),
            "off by one": ((0.01, -78), ""),
            "the scale alone": (0.01, "holds 1 number; 2 are asked"),
            "three": ((0.01, -77, 0), "holds 3 numbers"),
        },
    ),
    checks.check_levels_left: Answers(
        right={
            "by the library": levels_left,
            "by arithmetic": levels_by_arithmetic,
            "by counting": levels_by_counting,
        },
        wrong={
            "in int8": (levels_in_int8, "does not fit into int8"),
            "a fraction": (lambda real, recorded: 256 * real / recorded, "whole ones"),
            "not saturated": (lambda a, b: round(255 * a / b) + 1, "saturates"),
            "one end": (lambda a, b: round(255 * min(a / b, 1)), "both ends count"),
            "a number": (2, "asked is a function"),
            "a text": (
                lambda real, recorded: "two",
                "What your function returns is or holds the text",
            ),
            "both codes": (lambda real, recorded: (0, 1), "What your function returns holds 2"),
            "no return": (lambda real, recorded: None, "`return` missing"),
            "one argument": (lambda real: 1, "raised TypeError"),
        },
    ),
    checks.check_keep_good: Answers(
        right={
            "a mask": keep_good,
            "a list of images": keep_by_a_loop,
            "by smallest and largest": lambda images: keep_by_ends(keep_finite(images)),
        },
        wrong={
            "all": (lambda images: images, "has values of 0 to 255"),
            "the finite ones": (keep_finite, "has values of 0 to 255"),
            "no negative ones": (lambda x: x[(x <= 1).all((1, 2, 3))], "holds a negative value"),
            "mended": (lambda images: np.clip(images, 0, 1), "comes back changed"),
            "without the ends": (keep_inner, "0 and 1 themselves are good"),
            "the mask": (lambda x: ((x >= 0) & (x <= 1)).all((1, 2, 3)), "return images[mask]"),
            "reversed": (lambda images: keep_good(images)[::-1], "not in the same order"),
            "in rows": (lambda images: keep_good(images).reshape(-1, 16), "has the shape"),
            "none": (lambda images: [], "has the shape (0,)"),
            "a text": ("the good ones", "asked is a function"),
        },
    ),
}

TestAnswers = class_of_tests(ANSWERS)


def test_the_hint_of_6_2_does_not_give_the_solution_away():
    assert "affine" not in checks.check_levels_left(levels_in_int8).message
