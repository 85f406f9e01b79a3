"""The checks of lesson 14, Run it in a browser."""

import functools
from collections.abc import Callable

import numpy as np
import pandas as pd

from lessons_lib.course.checks._answers import Remark, array_in, call, compare, describe, numbers_in
from lessons_lib.course.checks._verdict import exercise
from lessons_lib.models import data, unseen
from lessons_lib.numbers.affine import round_half_away
from lessons_lib.run.runtime import Model


def page_codes(x: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    """Return the uint8 codes of real numbers as the course's page makes them, any shape.

    round(x / scale), halves away from zero, plus the zero point, clipped to 0 .. 255. ``scale`` is
    the real value of one step. Defined in lesson 14. Source: ``book/try-it``.
    """
    steps = round_half_away(np.asarray(x, np.float32) / np.float32(scale))
    return np.clip(steps + zero_point, 0, 255).astype(np.uint8)


def apart(here: np.ndarray, there: np.ndarray) -> tuple[int, float]:
    """Return how many numbers of two outputs are equal, and the largest difference.

    Both of one shape, float32 or uint8; the difference has their unit. Defined in lesson 14.
    """
    difference = np.abs(here.astype(float) - there.astype(float))
    return int((difference == 0).sum()), float(difference.max())


# scale, zero point, and numbers whose steps are exact in binary: halves among them
_CODES = (
    (0.25, 100, [-0.625, -0.125, 0.125, 0.625, 3.2, 60.0, -60.0]),
    (0.5, 10, [-1.25, -0.75, 0.25, 1.25, 7.4, 200.0, -9.0]),
    (0.0078125, 0, [0.0, 0.5, 0.01171875, 1.0, 1.9921875, 5.0, -1.0]),
)


def _wrapped(numbers: np.ndarray) -> np.ndarray:
    return np.trunc(numbers).astype(np.int64).astype(np.uint8)


# In float64 whatever the learner takes: the steps above are exact.
_SLIPS = (
    (
        lambda x, s, z: np.floor(x / s + 0.5) + z,
        "Halves below zero go up, as `Math.round` has it, and as it comes where the zero point is "
        "added before rounding",
    ),
    (lambda x, s, z: np.round(x / s) + z, "Halves go to the even neighbour, as `np.round` has it"),
    (lambda x, s, z: np.trunc(x / s) + z, "The decimals are cut off, not rounded"),
    (lambda x, s, z: np.floor(x / s) + z, "All is rounded down"),
    (lambda x, s, z: np.round(x / s + z), "Halves go to the even neighbour, zero point and all"),
    (lambda x, s, z: np.floor(x / s + z), "All is rounded down"),
    (lambda x, s, z: round_half_away(x / s), "The zero point is missing"),
    (lambda x, s, z: round_half_away(x / s) - z, "The zero point was taken away"),
    (lambda x, s, z: round_half_away(x * s) + z, "It multiplies by the scale"),
)


@exercise(
    "four steps: divide by the scale, round (the sign apart: a half of -2.5 goes to -3), add the "
    "zero point, clip to 0 .. 255; then uint8.",
    "Halves away from zero, the ends clipped: what the page's `roundHalfAway` and `Math.min` do.",
)
def check_page_codes(function: object) -> bool | str:
    """Exercise 14.1: a function (x, scale, zero_point) -> uint8 codes, halves away from zero."""
    for scale, zero_point, numbers in _CODES:
        x = np.array(numbers, np.float32)
        right = page_codes(x, scale, zero_point)
        got = array_in(call(function, x.copy(), scale, zero_point), "an array of codes")
        if got.shape != right.shape:
            return f"For {x.size} numbers it gives an array of shape {got.shape}."
        with np.errstate(invalid="ignore"):
            equal = got.astype(float) == right
        if equal.all():
            if got.dtype != np.uint8:
                return f"The codes are right, and {got.dtype}: the model takes uint8."
            continue
        said = _slip_in(got, x.astype(float), scale, zero_point)
        at = int(np.argmin(equal))
        given = f"{numbers[at]:g} with scale {scale:g} and zero point {zero_point}"
        return (
            f"{said[:1].upper()}{said[1:]}. For {given} it gives {got[at]:g}, expected {right[at]}."
        )
    return _codes_of_rows(function)


def _codes_of_rows(function: Callable) -> bool | str:
    """The lesson goes on with images, which have four axes."""
    x = np.float32([[0.0, 0.5, 1.0], [2.0, -1.0, 0.25]])
    try:
        got = array_in(call(function, x.copy(), 0.25, 100), "an array of codes")
    except Remark as remark:
        raise Remark(f"For a row of numbers it is right; not for an image. {remark}") from None
    if got.shape != x.shape:
        return f"For numbers of shape {x.shape} it gives an array of shape {got.shape}."
    return np.array_equal(got, page_codes(x, 0.25, 100))


def _slip_in(got: np.ndarray, x: np.ndarray, scale: float, zero_point: int) -> str:
    if np.array_equal(got.astype(float) + 128, page_codes(x, scale, zero_point)):
        return "Those are the codes of int8: 128 less"
    for slip, said in ((lambda x, s, z: round_half_away(x / s) + z, ""), *_SLIPS):
        numbers = slip(x, scale, zero_point)
        ways = {
            "": np.clip(numbers, 0, 255),
            "nothing is clipped: bytes overflow at both ends": _wrapped(numbers),
            "nothing is clipped": numbers,
        }
        for unclipped, codes in ways.items():
            if np.array_equal(got, codes):
                return ", and ".join(filter(None, (said, unclipped)))
    return "These are other codes"


_PAIRS = (
    (np.uint8([[0, 5, 250, 7]]), np.uint8([[3, 5, 250, 0]])),
    (np.uint8([[200, 1], [9, 9]]), np.uint8([[199, 255], [9, 10]])),
    (np.float32([[0.25, 0.5, -1.5]]), np.float32([[0.25, 0.75, -1.5]])),
    (np.float32([[1.0, -2.0]]), np.float32([[1.0, 2.5]])),
    (np.float32([[0.1, 0.9]]), np.float32([[0.1 + 3e-8, 0.9]])),
    (np.uint8([[4, 4]]), np.uint8([[4, 4]])),
)


@exercise(
    "count where they are equal; for the difference make floats of both first, and forget the "
    "sign.",
    "Made floats first, bytes do not wrap: 3 - 5 is 254 among uint8.",
)
def check_apart(function: object) -> bool | str:
    """Exercise 14.2: a function (here, there) -> (numbers equal, largest difference)."""
    for here, there in _PAIRS:
        equal, largest = apart(here, there)
        found = call(function, here.copy(), there.copy())
        got = numbers_in(found, 2, subject="What your function returns")
        pair = f"{here.tolist()} and {there.tolist()} ({here.dtype})"
        if got[0] != equal:
            return _miscounted(got[0], here, there) or (
                f"For {pair} it counts {got[0]:g} equal, expected {equal}."
            )
        if not np.isclose(got[1], largest, rtol=1e-5, atol=1e-12):
            return _misjudged(got[1], here, there) or (
                f"For {pair} it gives {got[1]:g} apart, expected {largest:g}."
            )
    return True


def _miscounted(count: float, here: np.ndarray, there: np.ndarray) -> str:
    if count == (here != there).sum():
        return "It counts the numbers that differ; asked are those that are equal."
    if count == np.isclose(here, there).sum():
        return "It counts with a tolerance; asked is equal to the last bit."
    if count == (here == there).mean():
        return "It gives the share of equal numbers; asked is their count."
    if count == (here.argmax(1) == there.argmax(1)).sum():
        return "It counts rows with the same class; asked are single numbers."
    return ""


def _misjudged(largest: float, here: np.ndarray, there: np.ndarray) -> str:
    wrapped = here - there
    if here.dtype == np.uint8 and largest in (wrapped.max(), (there - here).max()):
        return "A difference of bytes wraps: 3 - 5 is 254 among uint8. Make floats of both first."
    signed = here.astype(float) - there
    if largest and (np.isclose(largest, signed.max()) or np.isclose(largest, (-signed).max())):
        return "The sign counts: take the absolute difference before the largest."
    if np.isclose(largest, np.abs(signed).mean()):
        return "It gives the mean difference; asked is the largest."
    return ""


_TURNS = {
    "as they are": lambda pixels: pixels,
    "from below": lambda pixels: np.flip(pixels, axis=1),
    "from the right": lambda pixels: np.flip(pixels, axis=2),
    "with rows and columns swapped": lambda pixels: np.swapaxes(pixels, 1, 2),
    "turned by half a circle": lambda pixels: np.flip(pixels, axis=(1, 2)),
    "with black and white swapped": lambda pixels: 255 - pixels,
}


@functools.cache
def _kiosk(turn: str) -> np.ndarray:
    """The output codes for digits that were not recorded, read in one of the ways."""
    pixels = data.load("mnist").calibration.pixels[:60]
    model = Model(unseen.path("14_kiosk.tflite"))
    return model.run(np.ascontiguousarray(_TURNS[turn](pixels)))


@exercise(
    "integers are exact: a guess at the picture gives all classes of the recording, or it is "
    "wrong. Try the picture turned, mirrored and swapped. Then compare the recorded numbers with "
    "the codes of your guess: by what were they divided?",
    "Your function gives the page's numbers for digits that were not recorded: both slips are "
    "found.",
)
def check_page(function: object) -> bool | str:
    """Exercise 14.3: a function from uint8 pixels (N, 28, 28, 1) to what the page gives."""
    pixels = data.load("mnist").calibration.pixels[:60]
    got = array_in(call(function, pixels.copy()), "an array (N, 10) of numbers")
    if got.shape != (len(pixels), 10):
        return f"For {len(pixels)} digits it gives an array of shape {got.shape}, not (60, 10)."
    for turn in _TURNS:
        codes = _kiosk(turn).astype(float)
        if not np.array_equal(np.argsort(got, 1, "stable"), np.argsort(codes, 1, "stable")):
            continue
        end = np.allclose(got, codes / 255, rtol=0, atol=1e-5)
        if turn == "from below":
            return end or (
                "The picture is read as the page reads it; the numbers at the end are others: what "
                "is the largest one in the recording?"
            )
        said = "The end is the page's. But it" if end else "It"
        return f"{said} reads the pictures {turn}: compare its answers with the recorded ones."
    return "Its answers are those of no way to read the picture that the check knows."


@exercise(
    "four steps, as in lesson 3: divide, round, shift, clip. Which of the four numbers is a "
    "tie, and which lie outside?",
    "With this scale and zero point the codes reach from -1.0 to 4.1; the rest is clipped.",
)
def check_uint8_codes(codes: object) -> bool | str:
    """Exercise 14.4: the uint8 codes of four real numbers, scale 0.02, zero point 50."""
    return compare(
        codes,
        (0, 53, 57, 255),
        ((0, 52, 57, 255), "0.05 is exactly two and a half steps: a tie, rounded away from zero."),
        ((0, 52, 56, 255), "Round to the nearest step; do not cut off the decimals."),
        (
            (-15, 53, 57, 260),
            (-15, 53, 57, 255),
            (0, 53, 57, 260),
            "uint8 ends at 0 and at 255: clip.",
        ),
        ((241, 53, 57, 4), "That is what bytes do when they overflow. Clip before you cast."),
        ((0, 3, 7, 210), "The zero point is missing."),
        ((0, 0, 0, 160), (-115, -47, -43, 160), "The zero point is added, not taken off."),
        ((0, 52.5, 56.55, 255), (-15, 52.5, 56.55, 260), "Codes are whole numbers: round."),
        ((-128, -75, -71, 127), "Those are the codes of int8: 128 less."),
    )


# microseconds, tick, error, runs
_BATCHES = (
    (50, 100, 0.01, 200),
    (30, 100, 0.01, 334),
    (7, 100, 0.05, 286),
    (50, 1000, 0.02, 1000),
    (1700, 100, 0.01, 6),
    (20_000, 100, 0.01, 1),
)


@exercise(
    "the error of one run is below tick / runs, and may be error * microseconds; solve for "
    "runs, and round up (math.ceil).",
    "The slower the model, the fewer runs: the batch always lasts tick / error.",
)
def check_runs_in_batch(runs_in_batch: object) -> bool | str:
    """Exercise 14.5: a function (microseconds, tick, error) -> number of runs."""
    for microseconds, tick, error, runs in _BATCHES:
        result = call(runs_in_batch, microseconds, tick, error)
        got = numbers_in(result, 1, subject="What your function returns")[0]
        if got != runs:
            given = f"{microseconds} µs, a tick of {tick} µs and an error of {error}"
            why = "the mean of so few may be wrong by more" if got < runs else "fewer are enough"
            return f"For {given} it gives {got:g}, expected {runs}: {why}."
    return True


_IMAGE = (1, 28, 28, 1)
_FILES = (  # what it is, its inputs and its output, the input's shape, whether LiteRT.js takes it
    ("uint8", "UINT8", "UINT8", _IMAGE, True),
    ("float32", "FLOAT32", "FLOAT32", _IMAGE, True),
    ("two inputs, one of them int32", "FLOAT32 INT32", "UINT8", _IMAGE, True),
    ("int8", "INT8", "INT8", _IMAGE, False),
    ("int16x8", "INT16", "INT16", _IMAGE, False),
    ("float32 input, int8 output", "FLOAT32", "INT8", _IMAGE, False),
    ("int64", "INT64", "FLOAT32", _IMAGE, False),
    ("float16", "FLOAT16", "FLOAT16", _IMAGE, False),
    ("bool output", "FLOAT32", "BOOL", _IMAGE, False),
    ("a dynamic batch", "UINT8", "UINT8", (-1, 28, 28, 1), False),
    ("a dynamic height", "UINT8", "UINT8", (1, -1, 28, 1), False),
)


def _table(inputs: str, output: str, shape: tuple[int, ...]) -> pd.DataFrame:
    """The table of a file with these ends, and INT8 and -1 only where they may be."""
    ends = [("input", dtype, shape) for dtype in inputs.split()]
    ends += [("output", output, (shape[0], 10))]
    inside = [("weight", "INT8", (10, 784)), ("activation", "INT8", (1, 10)), ("bias", "INT32", ())]
    frame = pd.DataFrame([*ends, *inside], columns=["role", "dtype", "shape_signature"])
    shapes = frame["shape_signature"].map(lambda sizes: tuple(map(abs, sizes)))
    return frame.assign(subgraph=0, index=range(len(frame)), name=frame["role"], shape=shapes)


@exercise(
    "only the ends count: which rows are that? Then ask both questions of all of them.",
    "Types inside do not matter: int8 weights and activations run in a browser.",
)
def check_fits_browser(fits_browser: object) -> bool | str:
    """Exercise 14.6: a function from the table of ``tables.tensors`` to a bool."""
    for label, *ends, fits in _FILES:
        got = call(fits_browser, _table(*ends))
        if not isinstance(got, bool | np.bool_ | int):
            return f"Your function returns {describe(got)}; asked is True or False."
        if bool(got) is not fits:
            verb = "takes" if fits else "does not take"
            return f"LiteRT.js {verb} this one ({label}); the function says {bool(got)}."
    return True
