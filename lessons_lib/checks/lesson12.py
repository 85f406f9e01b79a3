"""The checks of lesson 12, Train for quantization."""

from typing import Any

import numpy as np

from lessons_lib import affine, anatomy
from lessons_lib.checks._verdict import Verdict, report

WEIGHTS = np.array([0.35, -0.12, 0.06, 0.02], np.float32)
SCALE = 0.35 / 7


def check_fake_quantize(answer: Any) -> Verdict:
    """Check exercise 12.1: four floats, fake-quantized to 4 bits with one scale."""
    codes = affine.quantize(WEIGHTS, SCALE, 0, num_bits=4, narrow_range=True)
    expected = affine.dequantize(codes, SCALE, 0)

    def passed(values):
        values = np.asarray(values, dtype=float)
        if values.shape == expected.shape and np.array_equal(values, codes):
            return "These are the codes. Fake quantization goes back to floats: times the scale."
        return values.shape == expected.shape and np.allclose(values, expected, atol=1e-4)

    return report(
        "12.1",
        answer,
        passed,
        "the scale is 0.35 / 7 = 0.05; divide, round to whole numbers, multiply by the scale.",
        "The smallest weight is less than half a step: it is gone. Its shadow weight is not.",
    )


def check_straight_through(answer: Any) -> Verdict:
    """Check exercise 12.2: the gradient of a rounded neuron, three numbers."""
    inputs, weights, target = np.array([2.0, -1.0, 3.0]), np.array([0.34, -0.48, 0.93]), 1.0
    rounded = np.array([0.3, -0.5, 0.7])
    through = (rounded @ inputs - target) * inputs
    unrounded = (weights @ inputs - target) * inputs
    unclipped = (np.array([0.3, -0.5, 0.9]) @ inputs - target) * inputs

    def passed(values):
        values = np.asarray(values, dtype=float)
        if values.shape == (3,) and np.allclose(values, through, atol=1e-3):
            return "Almost: one weight lies outside the range and is clipped."
        if values.shape == (3,) and np.allclose(values[:2], unrounded[:2], atol=1e-3):
            return "The error y - t is that of the rounded and clipped weights."
        if values.shape == (3,) and np.allclose(values[:2], unclipped[:2], atol=1e-3):
            return "You rounded 0.93 to 0.9, but the range ends at 0.7."
        return values.shape == (3,) and np.allclose(values, through * [1, 1, 0], atol=1e-3)

    return report(
        "12.2",
        answer,
        passed,
        "round and clip the weights, compute y and y - t; the gradient is (y - t) * input for a "
        "weight inside the range and 0 for one outside.",
        "The clipped weight gets no gradient. Only a wider range, or its decay, brings it back.",
    )


def check_packed_int4(answer: Any) -> Verdict:
    """Check exercise 12.3: the content of an integer-only file of mnist_cnn, all weights INT4."""
    return report(
        "12.3",
        answer,
        _packed_int4,
        "qat.quantize_aware(model, weight_bits=4), one call with training=True on calibration "
        "images, then qat.convert_trained(model).",
        "Half the bytes of int8 for the weights. Compare its accuracy with float on your digits.",
    )


def _packed_int4(content: Any) -> bool | str:
    """True, or a sentence on the condition that the file fails."""
    if not isinstance(content, bytes):
        return "The answer is the content of the file: the bytes that qat.convert_trained returns."
    found, weights = anatomy.audit(content), anatomy.tensors(content).query("role == 'weight'")
    if found.float_operators:
        return f"A float operator is left: {found.float_operators[0]}."
    if other := sorted(set(weights["dtype"]) - {"INT4"}):
        return f"There are weights of type {', '.join(other)}."
    operators = list(anatomy.operators(content)["operator"])
    if operators.count("CONV_2D") != 2 or operators.count("FULLY_CONNECTED") != 2:
        return "It is not mnist_cnn, which has two convolutions and two dense layers."
    return found.integer_only
