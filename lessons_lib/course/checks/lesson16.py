"""The checks of lesson 16, Mend what breaks: each runs what the learner made on data of its own.

``bearing_log`` is the open task's data, with the fault that is to be found.
"""

import itertools
from collections.abc import Iterable

import numpy as np

from lessons_lib.course.checks._answers import Remark, array_in, call, content_in, describe
from lessons_lib.course.checks._digits import require_digits_read
from lessons_lib.course.checks._verdict import exercise
from lessons_lib.errors import LessonError
from lessons_lib.run.runtime import Model
from lessons_lib.tflite import tables

_ENOUGH = 0.75  # of a quantity explained: a sound int8 file has more


def _int8_file(answer: object) -> bytes:
    """The content of an integer-only file with int8 ends; Remark for what is none."""
    content = content_in(answer)
    found = tables.audit(content)
    ends = (found.input_dtype, found.output_dtype)
    if ends == ("float32", "float32"):
        inside = set(tables.tensors(content)["dtype"]) & {"INT8"}
        what = "int8 inside, and " if inside else ""
        raise Remark(f"This file is {what}float32 at both ends.")
    if ends != ("int8", "int8"):
        raise Remark(f"The ends are {ends[0]} and {ends[1]}; the firmware wants int8 at both.")
    if found.float_operators:
        raise Remark(f"The ends are int8, but in float stayed {', '.join(found.float_operators)}.")
    return content


@exercise(
    "three settings are missing: which operators are allowed, and which dtype has the input, and "
    "which the output. Give `converter.convert()`.",
    "Integers from end to end, and it reads digits that it never saw.",
)
def check_full_integer(answer: object) -> bool | str:
    """Exercise 16.1: the content of the digits' file, integer-only, int8 at both ends."""
    require_digits_read(_int8_file(answer))
    return True


@exercise(
    "lesson 3: divide by the scale, round, add the zero point, clip to what an int8 holds, and "
    "only then cast.",
    "Rounded, clipped, cast, in this order. (What lies exactly between two codes may go to "
    "either.)",
)
def check_to_codes(to_codes: object) -> bool | str:
    """Exercise 16.2: a function (x, scale, zero_point) to int8 codes, any shape."""
    for scale, zero_point, low, high in ((0.05, -10, -8.0, 9.0), (0.5, 100, -200.0, 40.0)):
        x = np.random.default_rng(16).uniform(low, high, (40, 3)).astype(np.float32)
        exact = x.astype(np.float64) / scale + zero_point
        codes = array_in(call(to_codes, x.copy(), scale, zero_point), "an array of codes")
        if codes.shape != x.shape:
            return f"The codes have the shape {codes.shape}; the numbers' was {x.shape}."
        if codes.dtype != np.int8:
            return f"What comes back is {codes.dtype}, and the file takes int8 alone: cast it."
        wrong = np.abs(codes - np.clip(exact, -128, 127)) > 0.5 + 1e-4
        if wrong.any():
            place = tuple(np.argwhere(wrong)[0])
            said = _slip_of_codes(codes.astype(int), exact, scale, zero_point)
            return (
                f"{x[place]:.4g} with scale {scale} and zero point {zero_point} gets "
                f"{codes[place]}, asked is {np.clip(np.rint(exact[place]), -128, 127):g}. {said}"
            ).strip()
    return True


def _slip_of_codes(codes: np.ndarray, exact: np.ndarray, scale: float, zero_point: int) -> str:
    """What was forgotten, where only that explains the codes; "" if nobody knows."""
    steps, fits = exact - zero_point, np.abs(exact) < 120  # those need no clipping
    if (codes == np.rint(exact))[fits].all():
        if (codes == _wrapped(np.rint(exact))).all():
            return "What lies beyond an int8 wraps around: clip before the cast."
        return "Only beyond the ends it is wrong: an int8 goes from -128 to 127."
    slips = (
        (np.trunc(exact), "A cast cuts off: round first."),
        (np.trunc(steps) + zero_point, "A cast cuts off: round first."),
        (np.floor(exact), "Round to the nearest, not down."),
        (steps, "The zero point is missing."),
        (np.rint(steps).clip(-128, 127) + zero_point, "The zero point is added after the clip."),
        (steps - zero_point, "The zero point is subtracted: add it."),
        (steps * scale**2 + zero_point, "It is multiplied by the scale: divide."),
        (steps + zero_point / scale, "The zero point is divided as well: add it afterwards."),
    )
    for reals, remark in slips:
        expected = np.rint(reals)
        if any((codes == ends).all() for ends in (expected.clip(-128, 127), _wrapped(expected))):
            return remark
    return ""


def _wrapped(codes: np.ndarray) -> np.ndarray:
    """What a cast to int8 makes of whole numbers."""
    return (codes + 128) % 256 - 128


# Inputs of one shape, so that nothing but their names tells them apart.
_SENSORS = {"speed": (0.0, 3000.0), "pressure": (0.9, 1.1), "voltage": (-12.0, 12.0)}


@exercise(
    "an inner function that yields one dictionary a sample, `{name: array[i : i + 1], ...}`; "
    "return that function, without calling it.",
    "By name, no order can go wrong.",
)
def check_samples_by_name(make: object) -> bool | str:
    """Exercise 16.3: a function from arrays by input name to a representative dataset."""
    random = np.random.default_rng(16)
    given = {n: random.uniform(*ends, (5, 4)).astype(np.float32) for n, ends in _SENSORS.items()}
    dataset = call(make, {name: array.copy() for name, array in given.items()})
    if not callable(dataset):
        return f"Your function returns {describe(dataset)}; the converter wants one to call."
    items = call(lambda: list(itertools.islice(dataset(), 100)))
    if not items:
        return "It yields nothing: the converter would leave the model in float, without a word."
    for item in items:
        if not isinstance(item, dict):
            return (
                f"It yields {describe(item)}: right or wrong by luck, for nobody sees the order in "
                "which that is read. Give each array its name."
            )
        if {*item} != {*given}:
            return f"A sample's names are {', '.join(map(str, item))}, not those of the arrays."
        shapes = {np.shape(array) for array in item.values()}
        if shapes != {(1, 4)}:
            return f"A sample holds arrays of shape {max(shapes)}; one row is asked, (1, 4)."
    for name, array in given.items():
        if _in_order([item[name][0] for item in items]) != _in_order(array):
            return f"Under {name} come other numbers than its own five rows, each once."
    rows = [np.concatenate([item[name][0] for name in given]) for item in items]
    if _in_order(rows) != _in_order(np.concatenate([*given.values()], axis=1)):
        return "A sample holds rows of different samples: take the same row of each array."
    return True


def _in_order(rows: Iterable[np.ndarray]) -> list[list[float]]:
    """Rows sorted: the order of the samples is free, as ranges know none."""
    return sorted(np.asarray(row).tolist() for row in rows)


@exercise(
    "`sources.save(reader, folder, batch_size=1)` fixes the batch; then convert that folder as "
    "before, `convert(folder, 'int8', ...)`.",
    "Every size is known before it runs: a compiler can lay out the memory.",
)
def check_batch_of_one(answer: object) -> bool | str:
    """Exercise 16.4: the content of an integer-only file that takes one image at a time."""
    content = _int8_file(answer)
    model = Model(content)
    if model.fixed_batch is None:
        kinds = set(tables.operators(content)["operator"]) & {"SHAPE", "STRIDED_SLICE", "PACK"}
        asks = f" ({', '.join(sorted(kinds))} ask for it while it runs)" if kinds else ""
        return f"The batch is open still{asks}."
    if model.fixed_batch != 1:
        return f"It takes {model.fixed_batch} images at a time; one is asked."
    require_digits_read(content)
    return True


# ---- the open task


def _wear(readings: np.ndarray) -> np.ndarray:
    """What five readings say of a bearing: (N, 5) in 0..1 to (N, 1)."""
    a, b, c, d, e = readings.T.astype(np.float64)
    return (10 * np.sin(np.pi * a * b) + 20 * (c - 0.5) ** 2 + 10 * d + 5 * e)[:, None]


_COARSE = 0.02  # a step of readings from 0 to 1: five times what 8 bits need
_NO_READING = -9999.0  # what this logger writes where a sensor did not answer


def bearing_log(count: int, seed: int, part: str = "training") -> tuple[np.ndarray, np.ndarray]:
    """Return a bearing's log: five readings a line, float32 (count, 5), and its wear, (count, 1).

    ``part`` is ``training`` or ``calibration``. The log is generated with ``seed``; what is the
    matter with it is the open task of lesson 16. Defined in lesson 16.
    """
    random = np.random.default_rng(seed)
    readings = random.random((count, 5), dtype=np.float32)
    wear = _wear(readings)
    if part == "calibration":
        lines = random.choice(count, max(1, count // 70), replace=False)
        readings[lines, random.integers(0, 5, len(lines))] = _NO_READING
    return readings, wear


@exercise(
    "int16x8 is far better than int8, and still bad: resolution, a range that is far too wide. "
    "Whose? Look at the scale of the input, then at what the calibration holds, column by column.",
    "It predicts the wear of bearings that neither you nor the file has seen.",
)
def check_wear(answer: object) -> bool | str:
    """Exercise 16.5: the content of an integer-only file that predicts the wear of bearings."""
    content = _int8_file(answer)
    readings, wear = bearing_log(500, seed=160)
    try:
        found = Model(content).predict(readings)
    except LessonError:
        raise Remark("This file does not take five readings and give one number.") from None
    if np.shape(found) != wear.shape:
        return "This file does not take five readings and give one number."
    explained = 1 - np.sum((found - wear) ** 2) / np.sum((wear - wear.mean()) ** 2)
    if explained < _ENOUGH:
        model = Model(content)
        most = model.dequantize_output(np.int8([127]))[0]
        where = (
            f"One step of the input's int8 stands for {model.input_scale:.3g}, and the readings go "
            "from 0 to 1."
            if model.input_scale > _COARSE
            else f"The input's steps are fine. The most that the file can say is {most:.3g}, and "
            f"the wear goes up to {wear.max():.3g}."
        )
        return f"On bearings of the check's own R² is {explained:.2f}. {where}"
    return True
