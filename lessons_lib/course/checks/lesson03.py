"""The checks of lesson 03, Quantize a tensor by hand."""

import numpy as np

from lessons_lib.course.checks._answers import Remark, array_in, call, describe, numbers_in, slip
from lessons_lib.course.checks._verdict import exercise
from lessons_lib.numbers import affine

TWO_CHANNELS = np.array([[0.05, -0.127, 0.012, 0.1], [1.0, -0.4, 1.27, 0.333]], np.float32)


@exercise(
    "how wide is the range, and how many steps do the 256 codes make of it? And which code is "
    "that of its lower end?",
    "All 256 codes serve values that occur: that is why activations are asymmetric.",
)
def check_relu_range(pair: object) -> bool | str:
    """Exercise 3.1: ``(scale, zero_point)`` of asymmetric int8 for the range 0..6.375."""
    scale, zero_point = numbers_in(pair, 2)
    if np.isclose(zero_point, 0.025) and scale == -128:
        return "The scale comes first, then the zero point."
    if known := slip(
        scale,
        (6.375 / 256, "256 codes are 255 steps apart."),
        (6.375 / 127, "That is the symmetric scale: half of the codes would never occur."),
    ):
        return known
    if np.isclose(scale, 0.025) and zero_point != -128:
        return f"The scale is right; with the zero point {zero_point:g}, which code has 6.375?"
    return np.isclose(scale, 0.025)


SCALE, ZERO_POINT = 0.25, 10
_STEPS = np.arange(-9, 12)  # codes 1 to 21, and real numbers on both sides of 0
_PROPERTIES = (  # what is tested, real numbers that test it, and what each asks for
    ("Rounding", np.add.outer([0.25, 0.75, 0.0], _STEPS) * SCALE, "round to the nearest step"),
    ("Ties", (_STEPS + 0.5) * SCALE, "this is half a step, a tie, which goes away from zero"),
    ("Clipping", [-100.0, -2.75, 61.25, 61.5, 100.0], "the codes of uint8 end at 0 and 255: clip"),
)


@exercise(
    "four steps, in this order: divide and round, shift, clip, cast. Which of them does the "
    "sentence above speak of?",
    "Rounding before the cast and clipping before the cast: both are needed.",
)
def check_quantize_uint8(quantize: object) -> bool | str:
    """Exercise 3.2: a function ``(x, scale, zero_point) -> uint8 codes`` like affine.quantize."""
    for name, values, rule in _PROPERTIES:
        x = np.ravel(values).astype(np.float32)
        codes = array_in(call(quantize, x.copy(), SCALE, ZERO_POINT), "an array of codes")
        expected = affine.quantize(x, SCALE, ZERO_POINT, signed=False)
        if codes.shape != x.shape:
            return f"For numbers of shape {x.shape} the codes have the shape {codes.shape}."
        if (wrong := np.flatnonzero(codes != expected)).size:
            first = wrong[0]
            given = f"{x[first]:g} with scale {SCALE} and zero point {ZERO_POINT}"
            found = f"{codes[first]:g}, asked is {expected[first]}"
            return f"{name}: {given} gets {found} ({_reason(codes, x / SCALE) or rule})."
    if codes.dtype != np.uint8:
        return f"All codes are right, but their type is {codes.dtype}: cast them to uint8."
    return True


def _reason(codes: np.ndarray, ratio: np.ndarray) -> str | bool:
    """Which well-known function gives these codes for ``ratio`` = x / scale."""
    away = affine.round_half_away(ratio)
    shifted = ratio + ZERO_POINT
    return slip(
        codes,
        (np.clip(away, 0, 255), "the zero point is missing"),
        (np.clip(away + ZERO_POINT, -128, 127), "these are codes of int8"),
        (np.clip(away, 0, 255) + ZERO_POINT, "shift first, then clip"),
        ((away + ZERO_POINT).astype(int) % 256, "it wraps around: clip before you cast"),
        (np.clip(np.floor(shifted + 0.5), 0, 255), "a negative tie went up: round, then shift"),
        (np.clip(np.round(shifted), 0, 255), "a tie went to the even neighbour, not away from 0"),
        (np.clip(np.trunc(shifted), 0, 255), "the cast cuts off what rounding should settle"),
        rtol=1e-6,
    )


@exercise(
    "treat each row as a tensor of its own: which code does its largest magnitude get? That "
    "settles its scale.",
    "With one scale, 0.01, the first row would keep about a tenth of its steps.",
)
def check_channel_scales(pair: object) -> bool | str:
    """Exercise 3.3: ``(scales, codes)`` of a (2, 4) tensor in per-channel symmetric int8."""
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise Remark(f"Your answer is {describe(pair)}; asked is a pair, (scales, codes).")
    if np.size(pair[0]) == 8 and np.size(pair[1]) == 2:
        return "The scales come first, then the codes."
    scales = numbers_in(pair[0], 2, subject="The first part, the scales,")
    codes = numbers_in(pair[1], 8, subject="The second part, the codes,").reshape(2, 4)
    if np.shape(pair[1]) != (2, 4):
        return f"The codes have the shape {np.shape(pair[1])}; asked is that of the tensor, (2, 4)."
    largest, width = np.abs(TWO_CHANNELS).max(axis=1), np.ptp(TWO_CHANNELS, axis=1)
    if known := slip(
        scales,
        ([0.01, 0.01], "This is one scale for both rows: per-channel gives each its own."),
        ([0.01, 0.001], "The first scale is that of the first row."),
        (TWO_CHANNELS.max(axis=1) / 127, "The largest magnitude counts, also of a negative value."),
        (largest / 127.5, largest / 128, "Narrow range: the codes end at -127 and 127."),
        (width / 255, "This is the asymmetric scale; symmetric looks at the largest magnitude."),
    ):
        return known
    if not np.allclose(scales, [0.001, 0.01]):
        return "The two scales are not right."
    expected = affine.quantize(TWO_CHANNELS, [[0.001], [0.01]], 0, narrow_range=True)
    if np.allclose(codes, TWO_CHANNELS, atol=0.01):
        return "The second part holds real numbers again; codes are whole numbers."
    if np.abs(codes - expected).max() == 1 or (codes != np.rint(codes)).any():
        return "The scales are right; round to the nearest code."
    return "The scales are right, the codes are not." if (codes != expected).any() else True
