"""Checks of lesson 04: shrink with dynamic range."""

from math import log

from lessons_lib.course.checks._answers import compare, number_in, numbers_in
from lessons_lib.course.checks._verdict import exercise

LAYERS = {"conv_a": 216, "conv_b": 1_152, "dense_a": 1_024_000, "dense_b": 1_000}  # elements
MIN_ELEMENTS = 1_024  # the converter leaves smaller weight tensors in float32


@exercise(
    "multiply each shape out. Which of the four tensors lie below the limit, and what does one "
    "of their elements cost?",
    "In float32 they take 3.99 times as much: one large layer outweighs the small ones that stay "
    "float.",
)
def check_dynamic_range_bytes(total: object) -> bool | str:
    """Exercise 4.1: the bytes of four layers' weights in a dynamic-range file, an int."""
    elements = sum(LAYERS.values())
    stored = sum(size * (1 if size >= MIN_ELEMENTS else 4) for size in LAYERS.values())
    return compare(
        total,
        stored,
        (elements, "With one byte for each weight; the converter leaves some in float32."),
        (4 * elements, "This is the float32 file, four bytes for each weight."),
        (stored + 3 * 1_152, "conv_b has 1,152 elements: enough."),
        (stored - 3 * 1_000, "dense_b has 1,000 elements: too few."),
        (stored / 1000, "Bytes are asked."),
        units=("bytes", "B"),
        near=1e-9,
    )


@exercise(
    "each row has a range of its own, and `affine` has the function that makes a scale and a "
    "zero point of a range.",
    "With one scale for both, 0.2, the first row would be rounded to multiples of 0.2: "
    "the outlier of one image would spoil another.",
)
def check_scales_of_rows(scales: object) -> bool | str:
    """Exercise 4.2: the scale of each of two rows of activations, two numbers."""
    scales = numbers_in(scales)
    if scales.size == 4:
        return "Two plain numbers are asked for, the scales only."
    return compare(
        scales,
        [0.002, 0.2],
        ([0.2, 0.2], "This is one scale for the whole batch; the kernel has one for each row."),
        ([0.2, 0.002], "The first scale is that of the first row."),
        ([0.51 / 127, 51 / 127], "These are symmetric scales; the kernel's are asymmetric."),
        ([0.51 / 256, 51 / 256], "256 codes are 255 steps apart."),
        rtol=1e-4,
        atol=1e-8,
    )


@exercise(
    "the rule of three says that the bound is 3 / n; solve it for n.",
    "The rule of three says 30,000; without its rounding, log(0.05) / log(1 - 1 / 10,000), it is "
    "29,956. Rare events take many inputs: ten thousand are not enough for one in ten thousand.",
)
def check_inputs_without_flip(count: object) -> bool | str:
    """Exercise 4.3: the fewest inputs that bound the flips by 1 in 10,000, an int.

    The exact answer and the rule of three are both right.
    """
    exact = log(0.05) / log(1 - 1e-4)
    count = number_in(count, "inputs")
    if count > 30_000:
        return f"{count:,.0f} inputs are enough, but fewer are, too."
    if count < exact:
        bound = f"{3e4 / count:,.3f} in ten thousand" if count >= 3 else "none at all"
        return f"{count:,.0f} inputs are too few: the bound would be {bound}."
    return bool(count >= exact)
