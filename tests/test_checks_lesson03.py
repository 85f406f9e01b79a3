"""The checks of lesson 03 accept right answers, refuse wrong ones, and wait for the rest."""

import numpy as np

from lessons_lib import affine, checks
from verdicts import Answers, class_of_tests

CODES = [[50, -127, 12, 100], [100, -40, 127, 33]]
SCALES = [0.001, 0.01]


def by_the_library(x, scale, zero_point):
    return affine.quantize(x, scale, zero_point, signed=False)


def in_float64(x, scale, zero_point):
    ratio = x.astype(float) / scale
    rounded = np.trunc(ratio + np.copysign(0.5, ratio))
    return np.clip(rounded + zero_point, 0, 255).astype(np.uint8)


def by_a_loop(x, scale, zero_point):
    codes = []
    for value in x:
        steps = int(abs(value) / scale + 0.5)
        codes.append(min(max((steps if value > 0 else -steps) + zero_point, 0), 255))
    return np.array(codes, np.uint8)


def with_32_bits(x, scale, zero_point):
    return affine.round_half_away(x / scale).astype(np.int32), zero_point


def articles(x, scale, zero_point):
    """What the official notebooks do: no rounding, no clipping."""
    return (x / scale + zero_point).astype(np.int64).astype(np.uint8)


def half_to_even(x, scale, zero_point):
    return np.clip(np.round(x / scale) + zero_point, 0, 255).astype(np.uint8)


def half_up(x, scale, zero_point):
    return np.clip(np.floor(x / scale + 0.5) + zero_point, 0, 255).astype(np.uint8)


def rounded_after_the_shift(x, scale, zero_point):
    return np.clip(affine.round_half_away(x / scale + zero_point), 0, 255).astype(np.uint8)


def clipped_before_the_shift(x, scale, zero_point):
    steps = np.clip(affine.round_half_away(x / scale), 0, 255)
    return (steps + zero_point).astype(np.int64).astype(np.uint8)


def not_clipped(x, scale, zero_point):
    steps = affine.round_half_away(x / scale) + zero_point
    return steps.astype(np.int64).astype(np.uint8)


def not_shifted(x, scale, zero_point):
    return np.clip(affine.round_half_away(x / scale), 0, 255).astype(np.uint8)


def not_cast(x, scale, zero_point):
    return by_the_library(x, scale, zero_point).astype(float)


def in_a_column(x, scale, zero_point):
    return by_the_library(x, scale, zero_point)[:, np.newaxis]


ANSWERS = {
    checks.check_relu_range: Answers(
        right={
            "a tuple": (0.025, -128),
            "by the library": affine.scale_zero_point(0, 6.375),
            "a list": [6.375 / 255, -128.0],
            "an array": np.array([0.025, -128]),
        },
        wrong={
            "256 steps": ((6.375 / 256, -128), "255 steps apart"),
            "symmetric": ((6.375 / 127, 0), "symmetric scale"),
            "a zero point of 0": ((0.025, 0), "The scale is right"),
            "uint8's": ((0.025, 128), "The scale is right"),
            "swapped": ((-128, 0.025), "The scale comes first"),
            "the scale alone": (0.025, "holds 1 number; 2 are asked"),
            "None": (None, "holds None"),
        },
    ),
    checks.check_quantize_uint8: Answers(
        right={
            "by the library": by_the_library,
            "in float64": in_float64,
            "by a loop": by_a_loop,
        },
        wrong={
            "as in the official notebooks": (articles, "the cast cuts off"),
            "half to even": (half_to_even, "to the even neighbour"),
            "half up": (half_up, "a negative tie went up"),
            "rounded after the shift": (rounded_after_the_shift, "a negative tie went up"),
            "clipped before the shift": (clipped_before_the_shift, "shift first, then clip"),
            "not clipped": (not_clipped, "it wraps around: clip before you cast"),
            "not shifted": (not_shifted, "the zero point is missing"),
            "not cast": (not_cast, "but their type is float64"),
            "int8": (affine.quantize, "codes of int8"),
            "a column": (in_a_column, "the codes have the shape"),
            "a tuple": (with_32_bits, "Your function returns a tuple of 2"),
            "no return": (lambda x, scale, zero_point: None, "is its `return` missing"),
            "its result": (by_the_library(np.zeros(2), 1, 0), "asked is a function"),
            "two arguments": (lambda x, scale: x, "Your function raised TypeError"),
        },
    ),
    checks.check_channel_scales: Answers(
        right={
            "lists": (SCALES, CODES),
            "arrays": (np.array(SCALES)[:, np.newaxis], np.array(CODES, np.int8)),
            "a list, codes as floats": [np.float32(SCALES), np.array(CODES, float)],
        },
        wrong={
            "one scale": ((0.01, CODES), "The first part, the scales, holds 1 number"),
            "per-tensor": (([0.01, 0.01], [[5, -13, 1, 10], CODES[1]]), "one scale for both"),
            "scales swapped": ((SCALES[::-1], CODES), "that of the first row"),
            "parts swapped": ((CODES, SCALES), "The scales come first"),
            "the codes alone": (CODES, "The first part, the scales, holds 4"),
            "three parts": ((*SCALES, CODES), "asked is a pair"),
            "no codes": ((SCALES, None), "holds None"),
            "one row of codes": ((SCALES, CODES[0]), "the codes, holds 4 numbers; 8 are asked"),
            "codes in a row": ((SCALES, np.ravel(CODES)), "the shape (8,)"),
            "the wide range": (([0.127 / 127.5, 1.27 / 127.5], CODES), "Narrow range"),
            "128 codes": (([0.127 / 128, 1.27 / 128], CODES), "Narrow range"),
            "asymmetric": (([0.227 / 255, 1.67 / 255], CODES), "the asymmetric scale"),
            "without magnitudes": (([0.1 / 127, 0.01], CODES), "The largest magnitude"),
            "dequantized": ((SCALES, np.array(CODES) * [[0.001], [0.01]]), "real numbers again"),
            "a code off by one": ((SCALES, [CODES[0], [100, -40, 127, 34]]), "nearest code"),
            "a text": ("0.001, 0.01", "asked is a pair"),
        },
    ),
}

TestAnswers = class_of_tests(ANSWERS)


def test_3_2_shows_a_number_its_code_and_the_right_one():
    message = checks.check_quantize_uint8(half_to_even).message
    assert "0.125 with scale 0.25 and zero point 10 gets 10, asked is 11" in message or (
        "-2.125 with scale 0.25 and zero point 10 gets 2, asked is 1" in message
    )
