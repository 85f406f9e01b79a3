"""The checks of lesson 07, Go fully integer: int8 and uint8."""

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from lessons_lib.course.checks._answers import (
    Remark,
    array_in,
    call,
    compare,
    content_in,
    describe,
    floats_in,
    numbers_in,
    slip,
)
from lessons_lib.course.checks._verdict import exercise
from lessons_lib.models import data, unseen
from lessons_lib.numbers import affine
from lessons_lib.run import runtime
from lessons_lib.tflite import tables


def requantize(accumulator: ArrayLike, m: int, shift: int, zero_point: int) -> ArrayLike:
    """Return the int8 code of an accumulator, with integers only: ``m / 2**shift`` steps for each.

    ``clip(((accumulator * m + 2**(shift - 1)) >> shift) + zero_point, -128, 127)``: half of the
    divisor is added first, so the shift rounds to the nearest, and a tie up. Integers, or int64
    arrays of any shape. Defined in lesson 07.
    """
    steps = (accumulator * m + (1 << (shift - 1))) >> shift
    return np.clip(steps + zero_point, -128, 127)


# (accumulator, m, shift, zero_point): plain, signs, both ends, another shift, 31 bits, and one that
# a float64 takes for a tie: the product is 41.5 * 2**56 - 1.
_SUMS = (
    (1000, 82, 13, 0),
    (1375, 82, 13, -30),
    (-1375, 82, 13, 5),
    (20_000, 82, 13, -100),
    (90_000, 82, 13, -30),
    (-90_000, 82, 13, -30),
    (100, 60, 10, 3),
    (5300, 1_374_389_535, 37, -28),
    (1_475_704_627, 2_026_415_109, 56, 0),
)


def _sums_slips(a: int, m: int, shift: int, zero: int) -> tuple:
    steps, half = (a * m + (1 << (shift - 1))) >> shift, 1 << (shift - 1)
    if a * m > 2**53 and a * m / 2**shift % 1 == 0.5:  # and in integers it is no tie
        return ((steps + 1 + zero, "one too high: a float has lost the last bits"),)
    return (
        (np.clip(steps, -128, 127), "the zero point is missing"),
        (np.clip(steps - zero, -128, 127), "add the zero point, do not take it away"),
        (steps + zero, "an int8 ends at -128 and 127: clip"),
        (np.clip(steps, -128, 127) + zero, "clip last, behind the zero point"),
        (np.clip(((a * m) >> shift) + zero, -128, 127), "add half of 2**n before the shift"),
        (np.clip(int(a * m / 2**shift) + zero, -128, 127), "it is cut off: add half before"),
        (np.clip(((a * m + (1 << shift)) >> shift) + zero, -128, 127), "add half of 2**n"),
        (np.clip(((a + half) * m >> shift) + zero, -128, 127), "multiply before you add half"),
        (np.clip(a * m / 2**shift + zero, -128, 127), "a code is a whole number"),
        (np.clip(((a * m + 2**12) >> 13) + zero, -128, 127), "take the shift that is given"),
        (np.clip(((a * m + 2**12) >> shift) + zero, -128, 127), "half of 2**n, with this shift"),
        (np.clip(steps + zero, -127, 127), "int8 begins at -128"),
        (np.clip(steps + zero, 0, 255), "these are codes of uint8"),
        ((steps + zero + 128) % 256 - 128, "it wraps around: clip before you cast"),
    )


@exercise(
    "four steps: multiply by m, add half of the divisor, shift to the right, then the zero point "
    "and both ends of int8.",
    "One multiplication, two additions, a shift: all that such a chip needs.",
)
def check_requantized(yours: object) -> bool | str:
    """Exercise 7.1: a function of accumulator, m, shift and zero point: the int8 code."""
    for given in _SUMS:
        result = call(yours, *given)
        (found,) = numbers_in(result, 1, subject="What your function returns")
        if found != (asked := requantize(*given)):
            reason = slip(
                [found], *(([code], why) for code, why in _sums_slips(*given)), rtol=1e-12
            )
            return (
                f"For {given} it gives {found:g}, asked is {asked}: {reason or 'see the formula'}."
            )
    if found := floats_in(yours, np.arange(3)):
        return f"The codes are right, but the chip has no floats, and here are some: {found}."
    return True


def quantized(images: ArrayLike, scale: float, zero_point: int, dtype: np.dtype) -> np.ndarray:
    """Return the codes of real numbers, in ``dtype``: rounded, clipped, cast. Lesson 07."""
    limits = np.iinfo(dtype)
    steps = affine.round_half_away(np.asarray(images, np.float32) / np.float32(scale))
    return np.clip(steps + zero_point, limits.min, limits.max).astype(dtype)


_INPUTS = (
    (1 / 255, 0, "uint8"),
    (1 / 255, -128, "int8"),
    (2 / 255, -64, "int8"),
    (1 / 24_000, 0, "int16"),
)
_VALUES = np.concatenate([np.arange(256) / 255, [0.3033, 0.6081, 0.9042]]).astype(np.float32)
_OUTSIDE = np.array([-0.6, -0.1, -0.01, 1.01, 1.1, 1.6], np.float32)


@exercise(
    "divide by the scale, add the zero point; then round, clip, cast. `np.iinfo(dtype)` knows both "
    "ends of an integer type.",
    "This is what `quantize_input` of the course's runtime does.",
)
def check_quantized(yours: object) -> bool | str:
    """Exercise 7.2: a function of images, scale, zero point and dtype: the codes."""
    for scale, zero_point, name in _INPUTS:
        for x in (_VALUES.reshape(-1, 7, 1), _OUTSIDE):
            dtype = np.dtype(name)
            found = array_in(call(yours, x.copy(), scale, zero_point, dtype), "an array of codes")
            if (said := _codes_said(found, x, scale, zero_point, dtype)) is not True:
                return f"For {name}, scale {scale:.4g}, zero point {zero_point}: {said}"
    return True


def _codes_said(found: np.ndarray, x: np.ndarray, scale: float, zero: int, dtype) -> bool | str:
    if found.shape != x.shape:
        return f"the codes have the shape {found.shape}; the images had {x.shape}."
    right = quantized(x, scale, zero, dtype).astype(int)
    real = np.float64(x) / scale
    ties = np.abs(real - np.floor(real) - 0.5) < 1e-3  # any rounding of a tie is right here
    wrong = ((found != right) & ~ties).ravel()
    if not wrong.any():
        said = f"the codes are right, their type is {found.dtype}: cast them to the dtype given."
        return found.dtype == dtype or said
    ends = np.iinfo(dtype)
    steps = np.rint(real) + zero
    cut = np.trunc(np.float32(x) / np.float32(scale) + zero)  # as the shortcut calculates

    def inside(codes):
        return np.clip(codes, ends.min, ends.max)

    slips = (
        (inside(cut), inside(np.trunc(real + zero)), "they are cut off: round first"),
        (inside(np.floor(real) + zero), "they are cut off: round first"),
        (steps.astype(int).astype(dtype), steps, "values out of range wrap around: clip first"),
        (cut.astype(int).astype(dtype), "a cast cuts off and wraps around: round and clip first"),
        (inside(steps - zero), "the zero point is missing"),
        (inside(steps - 2 * zero), "add the zero point"),
        (inside(np.rint(real)) + zero, "clip behind the zero point"),
        (
            inside(np.rint(np.clip(x, 0, 1) / scale) + zero),
            "clip the codes and not the images: this range goes beyond 0 to 1",
        ),
        (np.clip(steps, -128, 127), np.clip(steps, 0, 255), "take the ends from the dtype given"),
        (inside(np.rint(x * 255) + zero), "take the scale that is given"),
        (x.astype(int), inside(np.rint(x * scale) + zero), "divide by the scale"),
        (inside(np.ceil(real) + zero), "they are rounded up: round to the nearest"),
        (np.clip(steps, ends.min + 1, ends.max), "the lowest code is a code, too"),
    )
    flat = found.ravel()[wrong]
    known = ((*(np.ravel(c)[wrong] for c in row[:-1]), row[-1]) for row in slips)
    reason = slip(flat, *known, rtol=0)
    first = np.flatnonzero(wrong)[0]
    said = f"{x.ravel()[first]:.4g} gets {found.ravel()[first]:g}, asked is {right.ravel()[first]}"
    return f"{said}{f': {reason}' if reason else ''}."


_ISLAND = (
    ("CONV_2D", "INT8, INT8, INT32 -> INT8"),
    ("DEQUANTIZE", "INT8 -> FLOAT32"),
    ("ELU", "FLOAT32 -> FLOAT32"),
    ("QUANTIZE", "FLOAT32 -> INT8"),
    ("SOFTMAX", "INT8 -> INT8"),
)
_FILES = {  # operators and dtypes, and what the file is
    "of integers only": (("CONV_2D", "INT8, INT8, INT32 -> INT8"), ("SHAPE", "INT8 -> INT32")),
    "with an island": _ISLAND,
    "with float ends": (("QUANTIZE", "FLOAT32 -> INT8"), ("DEQUANTIZE", "INT8 -> FLOAT32")),
    "with int8 weights only": (("FULLY_CONNECTED", "FLOAT32, INT8, FLOAT32 -> FLOAT32"),),
    "with float16": (("PACK", "INT32 -> INT32"), ("CAST", "FLOAT16 -> INT8")),
}


def float_operators(operators: pd.DataFrame) -> list[str]:
    """Return the kind of each operator that reads or writes a float. Defined in lesson 07.

    ``operators`` is a table as ``tables.operators`` gives it.
    """
    return list(operators["operator"][operators["dtypes"].str.contains("FLOAT")])


def _audits() -> tuple[tuple, ...]:
    """The usual wrong audits, functions of an operator's dtypes; each with its sentence."""
    return (
        (lambda reads, writes: "FLOAT" in writes, "who reads a float counts as well"),
        (lambda reads, writes: "FLOAT" in reads, "who writes a float counts as well"),
        (lambda reads, writes: "FLOAT32" in reads + writes, "float16 is a float, too"),
        (
            lambda reads, writes: "FLOAT" in reads and "FLOAT" in writes,
            "who reads or writes a float counts, not only who does both",
        ),
        (
            lambda reads, writes: "INT" not in reads + writes,
            "an operator with an integer beside the float counts as well",
        ),
        (lambda reads, writes: "FLOAT" not in reads + writes, "these are the others"),
        (lambda reads, writes: reads.startswith("FLOAT"), "any of the dtypes counts"),
        (lambda reads, writes: True, "that is all of them"),
    )


@exercise(
    "the column `dtypes` is text; which word is in it? A table's column has `.str.contains`.",
    "These lines are worth more than the type of the two ends.",
)
def check_float_operators(yours: object) -> bool | str:
    """Exercise 7.3: a function from a table of operators to the kinds that touch a float."""
    files = {what: _table(rows) for what, rows in _FILES.items()}
    found = {what: _kinds(call(yours, table.copy())) for what, table in files.items()}
    wrong = [what for what in files if found[what] != {*float_operators(files[what])}]
    if not wrong:
        return True
    said = f"For a file {wrong[0]} it gives {_listed(found[wrong[0]])}"
    for audit, why in _audits():
        if all(found[what] == _audited(audit, rows) for what, rows in _FILES.items()):
            return f"{said}: {why}."
    return f"{said}, asked is {_listed({*float_operators(files[wrong[0]])})}."


def _table(rows: tuple[tuple[str, str], ...]) -> pd.DataFrame:
    """Operators and dtypes in a table with all the columns that ``tables.operators`` gives."""
    table = pd.DataFrame(rows, columns=["operator", "dtypes"])
    table["subgraph"], table["index"], table["activation"] = 0, range(len(rows)), "NONE"
    table["layer"] = [f"layer_{number}" for number in range(len(rows))]
    for end, side in enumerate(("inputs", "outputs")):
        table[side] = [
            tuple(f"{side}_{n}_{place}" for place, _ in enumerate(types[end].split(", ")))
            for n, types in enumerate(table["dtypes"].str.split(" -> "))
        ]
    table["float"] = table["dtypes"].str.contains("FLOAT")
    names = ["subgraph", "index", "operator", "layer", "inputs", "outputs", "dtypes"]
    return table[[*names, "float", "activation"]]


def _audited(audit: Callable[[str, str], bool], rows: tuple[tuple[str, str], ...]) -> set[str]:
    return {kind for kind, dtypes in rows if audit(*dtypes.split(" -> "))}


def _listed(kinds: set[str]) -> str:
    return ", ".join(sorted(kinds)) or "nothing"


def _kinds(value: object, subject: str = "Your function returns") -> set[str]:
    """The operators' names that a learner gives, as a list or the like."""
    if isinstance(value, pd.DataFrame | str | bytes | dict) or not isinstance(value, Iterable):
        raise Remark(f"{subject} {describe(value)}; asked is a list of names.")
    kinds = [*value]
    if not all(isinstance(kind, str) for kind in kinds):
        raise Remark(f"{subject} a list that holds {describe(kinds[0])}; names are asked.")
    return {*kinds}


@exercise(
    "your audit finds the first; for the second compare the file's own scale and zero point with "
    "the owner's words. `runtime.Model(file).run` takes codes.",
    "Trust the file, not its owner. With his numbers it reads most clean digits, few hard ones.",
)
def check_meter(findings: object) -> bool | str:
    """Exercise 7.4: the ``island``'s operator, and a function ``read`` of images: the classes."""
    if not isinstance(findings, dict) or not {"island", "read"} <= {*findings}:
        return f"It is {describe(findings)}; asked is a dict with island and read."
    file = unseen.path("07_meter.tflite")
    table, island = tables.operators(file), findings["island"]
    touching = {*float_operators(table)}
    named = {island} if isinstance(island, str) else _kinds(island, "`island` is")
    named = {name.upper().partition(" AT ")[0].strip() for name in named}
    cause = touching - {"QUANTIZE", "DEQUANTIZE"}
    if not cause <= named <= touching:
        if named and named <= touching:
            return "`island`: that is the shore. Which operator has no integer version?"
        if named & {*table["operator"]}:
            return f"`island`: {_listed(named)} works on integers here."
        return f"`island`: the file has no operator {_listed(named)}."
    return _reads(findings["read"], runtime.Model(file))


def _reads(read: object, meter: runtime.Model) -> bool | str:
    """Whether a function reads hard digits, which none of the lessons' files was calibrated on."""
    split = data.load().hard[:200]
    found = array_in(call(read, split.images.copy()), "an array of classes")
    if found.shape == (200, 10):
        return "`read` gives ten numbers for each image: the class is the place of the largest."
    if found.shape != (200,):
        return f"`read` gives the shape {found.shape}; asked is one class for each of 200 images."

    def by(scale, zero_point):
        return meter.run(quantized(split.images, scale, zero_point, np.int8)).argmax(axis=1)

    right = by(meter.input_scale, meter.input_zero_point)
    slips = {
        "the images are quantized with the owner's numbers; the file has others": (1 / 255, -128),
        "the zero point is the owner's; the file has another": (meter.input_scale, -128),
        "the scale is the owner's; the file has another": (1 / 255, meter.input_zero_point),
        "the zero point is missing": (meter.input_scale, 0),
        "the images are multiplied by 255 first": (meter.input_scale / 255, -64),
    }
    if np.mean(found == right) >= 0.98:
        return not _cut_off(read, meter) or (
            "`read` reads most digits right, but its codes are cut off: round, then cast. Some "
            "digits become others by that."
        )
    alike = {said: np.mean(found == by(*ends)) for said, ends in slips.items()}
    why = max(alike, key=alike.get)
    why = why if alike[why] > 0.95 else ""
    said = f"`read` reads {np.mean(found == split.labels):.0%} of 200 hard digits"
    return f"{said}, the file can {np.mean(right == split.labels):.0%}{f': {why}' if why else ''}."


def _cut_off(read: Callable, meter: runtime.Model) -> bool:
    """Whether a function reads as codes do that are not rounded, where that gives other classes."""
    images, right = _on_the_edge(meter)
    found = array_in(call(read, images.copy()), "an array of classes")
    return np.mean(found == right) < 0.5


def _on_the_edge(meter: runtime.Model) -> tuple[np.ndarray, np.ndarray]:
    """Images that cutting off gives another class, and the class that any right rounding gives."""
    # Darker, by a factor that leaves no pixel half-way between two codes, where roundings differ.
    images = data.load().hard.images * np.float32(0.4)
    steps = images / np.float32(meter.input_scale)
    rounded, away, cut, down = (
        meter.run((codes + lift).astype(np.int8)).argmax(axis=1)
        for codes, lift in (
            (np.rint(steps), meter.input_zero_point),
            (np.floor(steps + np.float32(0.5)), meter.input_zero_point),
            (np.trunc(steps + meter.input_zero_point), 0),
            (np.floor(steps), meter.input_zero_point),
        )
    )
    edge = (rounded == away) & (rounded != cut) & (rounded != down)
    return images[edge], rounded[edge]


@exercise(
    "which real number does an accumulator stand for, and how many steps of the output is "
    "that? Three more things make a code of it.",
    "The second one is clipped: the output's range ends at 7.85, and the value was 9.",
)
def check_two_codes(codes: object) -> bool | str:
    """Exercise 7.5: the int8 codes of the accumulators 12345 and 90000, two integers."""
    return compare(
        codes,
        (-5, 127),
        ((-5, 150), "Almost: an int8 ends at 127. Clip."),
        ((25, 127), (25, 180), "The zero point is missing."),
        ((55, 127), (55, 210), "The zero point is -30: add it."),
        ((-6, 127), (-6, 150), "Round to the nearest step; do not cut off."),
        ((-5.31, 127), (-5.31, 150), "Codes are whole numbers: round."),
        ((127, -5), "The codes come in the order of the accumulators."),
        ((-5, -106), "That is what wraps around: clip before you cast."),
        ((-5, 255), (123, 255), "That is the end of uint8; an int8 ends at 127."),
        ((-29, -21), "Divide by the output's scale, too."),
    )


@exercise(
    "write down the formula of the code with pixel / 255 as the real number: what is left of "
    "it? Then mind that a uint8 cannot go below 0.",
    "The same bits but the highest: `(pixels ^ 0x80).view(np.int8)` does it too.",
)
def check_camera_codes(camera_codes: object) -> bool | str:
    """Exercise 7.6: a function from uint8 pixels to int8 codes, any shape, no floats."""
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
    """Exercise 7.7: the content of an integer-only file, uint8 ends, another activation."""
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
