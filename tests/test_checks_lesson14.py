"""The checks of lesson 14 accept right answers, refuse wrong ones, and wait for the rest."""

import math

import numpy as np

from lessons_lib import checks, tables
from verdicts import Answers, class_of_tests, network


def runs_in_batch(microseconds, tick, error):
    return math.ceil(tick / (error * microseconds))


def by_floor(microseconds, tick, error):
    return -int(-tick // (error * microseconds))


def by_counting(microseconds, tick, error):
    runs = 1
    while tick / runs > error * microseconds * (1 + 1e-12):
        runs += 1
    return runs


def rounded_down(microseconds, tick, error):
    return max(1, int(tick / (error * microseconds)))


def duration_forgotten(microseconds, tick, error):
    return math.ceil(tick / error)


def rounded(microseconds, tick, error):
    return round(tick / (error * microseconds))


KNOWN = {"FLOAT32", "UINT8", "INT32"}


def fits_browser(tensors):
    ends = tensors[tensors["role"].isin(["input", "output"])]
    fixed = all(-1 not in shape for shape in ends["shape_signature"])
    return fixed and ends["dtype"].isin(KNOWN).all()


def by_a_loop(tensors):
    for end in tensors.query("role in ('input', 'output')").itertuples():
        if end.dtype not in KNOWN or min(end.shape_signature, default=1) < 0:
            return False
    return True


def as_an_int(tensors):
    return int(by_a_loop(tensors))


def types_of_all(tensors):
    return fits_browser(tensors) and tensors["dtype"].isin(KNOWN).all()


def types_only(tensors):
    return fits_browser(tensors.assign(shape_signature=tensors["shape"]))


def batch_only(tensors):
    first = tensors["shape_signature"].map(lambda shape: shape[:1])
    return fits_browser(tensors.assign(shape_signature=first))


def inputs_only(tensors):
    return fits_browser(tensors[tensors["role"] == "input"])


def no_int32(tensors):
    ends = tensors[tensors["role"].isin(["input", "output"])]
    return fits_browser(tensors) and not (ends["dtype"] == "INT32").any()


ANSWERS = {
    checks.check_uint8_codes: Answers(
        right={
            "a list": [0, 53, 57, 255],
            "floats": (0, 53.0, 57, 255),
            "uint8": np.uint8([0, 53, 57, 255]),
            "texts": ["0", "53", "57", "255"],
        },
        wrong={
            "to even": ([0, 52, 57, 255], "a tie"),
            "cut off": ([0, 52, 56, 255], "cut off"),
            "not clipped": ([-15, 53, 57, 260], "clip"),
            "wrapped": ([241, 53, 57, 4], "overflow"),
            "no zero point": ([0, 3, 7, 210], "zero point is missing"),
            "int8": ([-128, -75, -71, 127], "int8"),
            "three": ([0, 53, 57], "holds 3 numbers; 4 are asked"),
            "a word": ("codes", "a number is asked"),
        },
    ),
    checks.check_runs_in_batch: Answers(
        right={"by ceil": runs_in_batch, "by floor": by_floor, "by counting": by_counting},
        wrong={
            "rounded down": (rounded_down, "it gives 333, expected 334"),
            "rounded": (rounded, "it gives 333, expected 334"),
            "duration forgotten": (duration_forgotten, "it gives 10000, expected 200"),
            "a number": (200, "asked is a function"),
            "two": (lambda *given: (1, 2), "What your function returns holds 2"),
            "two arguments": (lambda tick, error: 1, "raised TypeError"),
            "no return": (lambda *given: None, "`return` missing"),
        },
    ),
    checks.check_fits_browser: Answers(
        right={"by pandas": fits_browser, "by a loop": by_a_loop, "as an int": as_an_int},
        wrong={
            "all types": (types_of_all, "takes this one (uint8)"),
            "types only": (types_only, "a dynamic batch"),
            "the batch only": (batch_only, "a dynamic height"),
            "inputs only": (inputs_only, "float32 input, int8 output"),
            "no int32": (no_int32, "one of them int32"),
            "always": (lambda tensors: True, "does not take this one (int8)"),
            "a column": (lambda tensors: tensors["dtype"].isin(KNOWN), "returns a Series"),
            "a truth": (True, "asked is a function"),
            "no return": (lambda tensors: None, "`return` missing"),
        },
    ),
}

TestAnswers = class_of_tests(ANSWERS)


def test_14_3_is_right_about_files():
    for dtype, batch, taken in (
        ("UINT8", 1, True),
        ("FLOAT32", 1, True),
        ("INT8", 1, False),
        ("UINT8", -1, False),
    ):
        tensors = tables.tensors(network("FULLY_CONNECTED", dtype, batch=batch))
        assert bool(fits_browser(tensors)) is taken
        assert {"role", "dtype", "shape_signature"} <= set(tensors.columns)
