"""The checks of lesson 03, Quantize a tensor by hand."""

from typing import Any

import numpy as np

from lessons_lib import affine
from lessons_lib.checks._verdict import Verdict, report

TWO_CHANNELS = np.array([[0.05, -0.127, 0.012, 0.1], [1.0, -0.4, 1.27, 0.333]], np.float32)


def check_relu_range(answer: Any) -> Verdict:
    """Exercise 3.1: ``(scale, zero_point)`` of asymmetric int8 for the range 0..6.375."""

    def passed(pair):
        scale, zero_point = pair
        return np.isclose(scale, 0.025) and zero_point == -128

    return report(
        "3.1",
        answer,
        passed,
        "divide the width of the range by qmax - qmin = 255; the value 0 gets the lowest code.",
        "All 256 codes serve values that occur: that is why activations are asymmetric.",
    )


def check_quantize_uint8(answer: Any) -> Verdict:
    """Exercise 3.2: a function ``(x, scale, zero_point) -> uint8 codes`` like affine.quantize."""
    scale, zero_point = 0.25, 10
    ties = (np.arange(-20, 20) + 0.5) * scale
    x = np.concatenate([ties, [0.0, 0.1, -0.1, -100.0, 100.0]]).astype(np.float32)

    def passed(quantize):
        codes = quantize(x, scale, zero_point)
        expected = affine.quantize(x, scale, zero_point, signed=False)
        return codes.dtype == np.uint8 and np.array_equal(codes, expected)

    return report(
        "3.2",
        answer,
        passed,
        "divide, round halves away from zero (affine.round_half_away), add the zero point, "
        "clip to 0..255, and only then cast to np.uint8.",
        "Rounding before the cast and clipping before the cast: both are needed.",
    )


def check_channel_scales(answer: Any) -> Verdict:
    """Exercise 3.3: ``(scales, codes)`` of a (2, 4) tensor in per-channel symmetric int8."""

    def passed(pair):
        scales, codes = pair
        expected = affine.quantize(TWO_CHANNELS, [[0.001], [0.01]], 0, narrow_range=True)
        return np.allclose(np.ravel(scales), [0.001, 0.01]) and np.array_equal(codes, expected)

    return report(
        "3.3",
        answer,
        passed,
        "each row's scale is its own largest magnitude divided by 127; round(row / scale).",
        "With one scale, 0.01, the first row would keep about a tenth of its steps.",
    )
