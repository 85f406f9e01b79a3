"""The checks of lesson 12, Train for quantization."""

import numpy as np

from lessons_lib.course.checks._answers import compare, content_in
from lessons_lib.course.checks._verdict import exercise
from lessons_lib.numbers import affine
from lessons_lib.tflite import tables

WEIGHTS = np.array([0.35, -0.12, 0.06, 0.02], np.float32)
SCALE = 0.35 / 7


@exercise(
    "4 bits, narrow range: which code does the largest weight get? That settles the scale; "
    "then go to codes and back.",
    "The smallest weight is less than half a step: it is gone. Its shadow weight is not.",
)
def check_fake_quantize(values: object) -> bool | str:
    """Exercise 12.1: four floats, fake-quantized to 4 bits with one scale."""
    codes = affine.quantize(WEIGHTS, SCALE, 0, num_bits=4, narrow_range=True)
    expected = affine.dequantize(codes, SCALE, 0)
    ratio = WEIGHTS / SCALE
    return compare(
        values,
        expected,
        (codes, "These are the codes. Fake quantization goes back to floats: times the scale."),
        (ratio, "These are steps, not rounded yet; then go back to floats."),
        (WEIGHTS, "These are the weights as they were; 0.02 is less than half a step."),
        (np.floor(ratio) * SCALE, "Round to the nearest step; do not cut off."),
        (np.round(ratio * 8 / 7) * SCALE * 7 / 8, "Narrow range: the largest code is 7."),
        (np.round(ratio * 127 / 7) * SCALE * 7 / 127, "These are 8 bits; asked are 4."),
        rtol=1e-5,
        atol=1e-4,
        near=1e-2,
    )


@exercise(
    "round and clip the weights, compute y and y - t; the gradient is (y - t) * input for a "
    "weight inside the range and 0 for one outside.",
    "The clipped weight gets no gradient. Only a wider range, or its decay, brings it back.",
)
def check_straight_through(values: object) -> bool | str:
    """Exercise 12.2: the gradient of a rounded neuron, three numbers."""
    inputs, weights, target = np.array([2.0, -1.0, 3.0]), np.array([0.34, -0.48, 0.93]), 1.0

    def gradient(used):
        return (used @ inputs - target) * inputs

    through, inside = gradient(np.array([0.3, -0.5, 0.7])), [1, 1, 0]
    unrounded, unclipped = gradient(weights), gradient(np.array([0.3, -0.5, 0.9]))
    return compare(
        values,
        through * inside,
        ([0, 0, 0], "That is the true gradient of rounding; the estimator lets it pass on."),
        (through, "Almost: one weight lies outside the range and is clipped."),
        (-through * inside, "The error is y - t, not t - y."),
        (
            unrounded * inside,
            unrounded,
            "The error y - t is that of the rounded and clipped weights.",
        ),
        (unclipped * inside, unclipped, "You rounded 0.93 to 0.9, but the range ends at 0.7."),
        (through / inputs * inside, "The error times the weight's own input is the gradient."),
        rtol=1e-5,
        atol=1e-3,
    )


@exercise(
    "three steps, as in the lesson: make the model quantization-aware with 4 bits, let it "
    "observe images, convert it with qat. Which call is it that observes?",
    "Half the bytes of int8 for the weights. Compare its accuracy with float on your digits.",
)
def check_packed_int4(answer: object) -> bool | str:
    """Exercise 12.3: the content of an integer-only file of mnist_cnn, all weights INT4."""
    content = content_in(answer)
    found, weights = tables.audit(content), tables.tensors(content).query("role == 'weight'")
    if found.float_operators:
        return f"A float operator is left: {found.float_operators[0]}."
    if other := sorted(set(weights["dtype"]) - {"INT4"}):
        return f"There are weights of type {', '.join(other)}."
    operators = list(tables.operators(content)["operator"])
    if operators.count("CONV_2D") != 2 or operators.count("FULLY_CONNECTED") != 2:
        return "It is not mnist_cnn, which has two convolutions and two dense layers."
    return found.integer_only
