"""The checks of lesson 07, Go fully integer: int8 and uint8."""

from typing import Any

import numpy as np

from lessons_lib import affine, anatomy
from lessons_lib.checks._verdict import Verdict, report


def check_requantize(answer: Any) -> Verdict:
    """Check exercise 7.1: the int8 codes of the accumulators 12345 and 90000, two integers."""
    real = np.array([12_345, 90_000]) * (0.02 * 0.005)
    expected = affine.quantize(real, 0.05, -30)

    def passed(codes):
        if len(codes) == 2 and np.array_equal(np.asarray(codes), np.round(real / 0.05) - 30):
            return "Almost: an int8 ends at 127. Clip."
        return len(codes) == 2 and np.array_equal(np.asarray(codes), expected)

    return report(
        "7.1",
        answer,
        passed,
        "M = 0.02 * 0.005 / 0.05; multiply, round, add the zero point, and clip to -128..127.",
        "The second one is clipped: the output's range ends at 7.85, and the value was 9.",
    )


def check_camera_codes(answer: Any) -> Verdict:
    """Check exercise 7.2: a function from uint8 pixels to int8 codes, any shape."""
    pixels = np.arange(256, dtype=np.uint8).reshape(2, 8, 16, 1)
    expected = affine.quantize(np.divide(pixels, 255, dtype=np.float32), 1 / 255, -128)

    def passed(camera_codes):
        codes = camera_codes(pixels.copy())
        return codes.dtype == np.int8 and np.array_equal(codes, expected)

    return report(
        "7.2",
        answer,
        passed,
        "the code is the pixel minus 128, as int8. uint8 cannot go below 0: subtract in a wider "
        "integer type before you cast.",
        "The same bits but the highest: `(pixels ^ 0x80).view(np.int8)` does it too.",
    )


def check_integer_activation(answer: Any) -> Verdict:
    """Check exercise 7.3: the content of an integer-only file, uint8 ends, another activation."""
    return report(
        "7.3",
        answer,
        _integer_activation,
        "try relu6, leaky_relu, tanh, sigmoid or gelu in place of elu; convert with tf.uint8, look "
        "at float_operators(answer), and give the file's content.",
        "It is integer-only. How well it reads digits is another question: train it again.",
    )


def _integer_activation(content: bytes) -> bool | str:
    """True, or a sentence on the condition that the file fails."""
    found, table = anatomy.audit(content), anatomy.operators(content)
    if found.float_operators:
        return f"A float operator is left: {found.float_operators[0]}."
    if (found.input_dtype, found.output_dtype) != ("uint8", "uint8"):
        return f"The ends are {found.input_dtype} and {found.output_dtype}, not uint8."
    names, fused = list(table["operator"]), list(table["activation"])
    dense = [i for i, name in enumerate(names) if name == "FULLY_CONNECTED"]
    if any(fused[i] == "RELU" for i in dense):
        return "The hidden dense layer still has a ReLU."
    if any(fused[i] == "NONE" and names[i + 1] == "FULLY_CONNECTED" for i in dense[:-1]):
        return "The hidden dense layer is linear: that is no activation."
    return found.integer_only
