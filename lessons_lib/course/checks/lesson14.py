"""The checks of lesson 14, Run it in a browser."""

import numpy as np
import pandas as pd

from lessons_lib.course.checks._answers import call, compare, describe, numbers_in
from lessons_lib.course.checks._verdict import exercise


@exercise(
    "four steps, as in lesson 3: divide, round, shift, clip. Which of the four numbers is a "
    "tie, and which lie outside?",
    "With this scale and zero point the codes reach from -1.0 to 4.1; the rest is clipped.",
)
def check_uint8_codes(codes: object) -> bool | str:
    """Exercise 14.1: the uint8 codes of four real numbers, scale 0.02, zero point 50."""
    return compare(
        codes,
        (0, 53, 57, 255),
        ((0, 52, 57, 255), "0.05 is exactly two and a half steps: a tie, rounded away from zero."),
        ((0, 52, 56, 255), "Round to the nearest step; do not cut off the decimals."),
        ((-15, 53, 57, 260), "uint8 ends at 0 and at 255: clip."),
        ((241, 53, 57, 4), "That is what bytes do when they overflow. Clip before you cast."),
        ((0, 3, 7, 210), "The zero point is missing."),
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
    """Exercise 14.2: a function (microseconds, tick, error) -> number of runs."""
    for microseconds, tick, error, runs in _BATCHES:
        result = call(runs_in_batch, microseconds, tick, error)
        got = numbers_in(result, 1, subject="What your function returns")[0]
        if got != runs:
            given = f"{microseconds} µs, a tick of {tick} µs and an error of {error}"
            return f"For {given} it gives {got:g}, expected {runs}."
    return True


_IMAGE = (1, 28, 28, 1)
_FILES = (  # what it is, its inputs and its output, the input's shape, whether LiteRT.js takes it
    ("uint8", "UINT8", "UINT8", _IMAGE, True),
    ("float32", "FLOAT32", "FLOAT32", _IMAGE, True),
    ("two inputs, one of them int32", "FLOAT32 INT32", "UINT8", _IMAGE, True),
    ("int8", "INT8", "INT8", _IMAGE, False),
    ("int16x8", "INT16", "INT16", _IMAGE, False),
    ("float32 input, int8 output", "FLOAT32", "INT8", _IMAGE, False),
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
    """Exercise 14.3: a function from the table of ``tables.tensors`` to a bool."""
    for label, *ends, fits in _FILES:
        got = call(fits_browser, _table(*ends))
        if not isinstance(got, bool | np.bool_ | int):
            return f"Your function returns {describe(got)}; asked is True or False."
        if bool(got) is not fits:
            verb = "takes" if fits else "does not take"
            return f"LiteRT.js {verb} this one ({label}); the function says {bool(got)}."
    return True
