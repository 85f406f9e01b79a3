"""The checks of lesson 03 accept right answers, refuse wrong ones, and wait for the rest."""

import numpy as np
import pytest

from lessons_lib import affine, checks

CODES = [[50, -127, 12, 100], [100, -40, 127, 33]]


def right_uint8(x, scale, zero_point):
    return affine.quantize(x, scale, zero_point, signed=False)


def article_uint8(x, scale, zero_point):
    """What the official notebooks do: no rounding, no clipping."""
    return (x / scale + zero_point).astype(np.int64).astype(np.uint8)


def half_to_even(x, scale, zero_point):
    return np.clip(np.round(x / scale) + zero_point, 0, 255).astype(np.uint8)


def not_clipped(x, scale, zero_point):
    steps = affine.round_half_away(x / scale) + zero_point
    return steps.astype(np.int64).astype(np.uint8)


def not_cast(x, scale, zero_point):
    return right_uint8(x, scale, zero_point).astype(float)


@pytest.mark.parametrize(
    ("check", "answer"),
    [
        (checks.check_relu_range, (0.025, -128)),
        (checks.check_relu_range, affine.scale_zero_point(0, 6.375)),
        (checks.check_quantize_uint8, right_uint8),
        (checks.check_channel_scales, ([0.001, 0.01], CODES)),
        (checks.check_channel_scales, (np.array([[0.001], [0.01]]), np.array(CODES, np.int8))),
    ],
)
def test_right_answer(check, answer):
    verdict = check(answer)
    assert verdict
    assert verdict.message


@pytest.mark.parametrize(
    ("check", "answer"),
    [
        (checks.check_relu_range, (6.375 / 256, -128)),
        (checks.check_relu_range, (0.025, 0)),
        (checks.check_relu_range, (-128, 0.025)),
        (checks.check_relu_range, 0.025),
        (checks.check_quantize_uint8, article_uint8),
        (checks.check_quantize_uint8, half_to_even),
        (checks.check_quantize_uint8, not_clipped),
        (checks.check_quantize_uint8, not_cast),
        (checks.check_quantize_uint8, affine.quantize),
        (checks.check_quantize_uint8, 3),
        (checks.check_channel_scales, (0.01, CODES)),
        (checks.check_channel_scales, ([0.01, 0.01], [[5, -13, 1, 10], CODES[1]])),
        (checks.check_channel_scales, ([0.001, 0.01], [[50, -127, 12, 100], [100, -40, 127, 34]])),
        (checks.check_channel_scales, CODES[0]),
    ],
)
def test_wrong_answer(check, answer):
    verdict = check(answer)
    assert not verdict
    assert verdict.state == "not yet"
    assert "Hint:" in verdict.message


@pytest.mark.parametrize(
    ("number", "check", "answer"),
    [
        ("3.1", checks.check_relu_range, ...),
        ("3.1", checks.check_relu_range, (..., -128)),
        ("3.2", checks.check_quantize_uint8, ...),
        ("3.3", checks.check_channel_scales, ...),
    ],
)
def test_not_attempted(number, check, answer):
    verdict = check(answer)
    assert (verdict.number, verdict.state) == (number, "not attempted")
