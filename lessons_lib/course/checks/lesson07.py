"""The checks of lesson 07, Go fully integer: int8 and uint8."""

import numpy as np

from lessons_lib.course.checks._answers import array_in, call, compare, content_in, floats_in, slip
from lessons_lib.course.checks._verdict import exercise
from lessons_lib.tflite import tables


@exercise(
    "which real number does an accumulator stand for, and how many steps of the output is "
    "that? Three more things make a code of it.",
    "The second one is clipped: the output's range ends at 7.85, and the value was 9.",
)
def check_requantize(codes: object) -> bool | str:
    """Exercise 7.1: the int8 codes of the accumulators 12345 and 90000, two integers."""
    return compare(
        codes,
        (-5, 127),
        ((-5, 150), "Almost: an int8 ends at 127. Clip."),
        ((25, 127), (25, 180), "The zero point is missing."),
        ((55, 127), (55, 210), "The zero point is -30: add it."),
        ((-6, 127), (-6, 150), "Round to the nearest step; do not cut off."),
        ((-5.31, 127), (-5.31, 150), "Codes are whole numbers: round."),
        ((127, -5), "The codes come in the order of the accumulators."),
        ((-29, -21), "Divide by the output's scale, too."),
    )


@exercise(
    "write down the formula of the code with pixel / 255 as the real number: what is left of "
    "it? Then mind that a uint8 cannot go below 0.",
    "The same bits but the highest: `(pixels ^ 0x80).view(np.int8)` does it too.",
)
def check_camera_codes(camera_codes: object) -> bool | str:
    """Exercise 7.2: a function from uint8 pixels to int8 codes, any shape, no floats."""
    pixels = np.arange(256, dtype=np.uint8).reshape(2, 8, 16, 1)
    expected = pixels.astype(int) - 128
    codes = array_in(call(camera_codes, pixels.copy()), "an array of codes")
    if codes.shape != pixels.shape:
        return f"The codes have the shape {codes.shape}; the pixels' was {pixels.shape}."
    if (codes != expected).any():
        reason = slip(
            codes,
            (pixels, "the zero point is missing"),
            (pixels.view(np.int8), "a cast keeps the bits, and this reads them in another way"),
            ((pixels.astype(int) + 128) % 256, "a uint8 cannot go below 0"),
        )
        first = np.flatnonzero(codes != expected)[0]
        got, right = codes.ravel()[first], expected.ravel()[first]
        return f"Pixel {first} gets {got:g}, asked is {right}{f': {reason}' if reason else ''}."
    if found := floats_in(camera_codes, pixels):
        return f"The codes are right, but the chip has no floats, and here are some: {found}."
    if codes.dtype != np.int8:
        return f"The codes are right, their type is {codes.dtype}: cast them to int8."
    return True


@exercise(
    "try relu6, leaky_relu, tanh, sigmoid or gelu in place of elu; convert with tf.uint8, look "
    "at float_operators(answer), and give the file's content.",
    "It is integer-only. How well it reads digits is another question: train it again.",
)
def check_integer_activation(answer: object) -> bool | str:
    """Exercise 7.3: the content of an integer-only file, uint8 ends, another activation."""
    content = content_in(answer)
    found, table = tables.audit(content), tables.operators(content)
    if found.float_operators:
        return f"A float operator is left: {found.float_operators[0]}."
    if (found.input_dtype, found.output_dtype) != ("uint8", "uint8"):
        return f"The ends are {found.input_dtype} and {found.output_dtype}, not uint8."
    names, fused = list(table["operator"]), list(table["activation"])
    dense = [i for i, name in enumerate(names) if name == "FULLY_CONNECTED"]
    if len(dense) < 2:
        return "It is not the digits' network, which has two dense layers."
    if any(fused[i] == "RELU" for i in dense):
        return "The hidden dense layer still has a ReLU."
    if any(fused[i] == "NONE" and names[i + 1] == "FULLY_CONNECTED" for i in dense[:-1]):
        return "The hidden dense layer is linear: that is no activation."
    return True
