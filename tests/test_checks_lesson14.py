"""The checks of lesson 14 accept right answers, refuse wrong ones, and wait for the rest."""

import math

import pytest

from lessons_lib import anatomy, checks, paths
from tiny_models import converted
from verdicts import class_of_tests


def runs_in_batch(microseconds, tick, error):
    return max(1, math.ceil(tick / (error * microseconds)))


def rounded_down(microseconds, tick, error):
    return max(1, int(tick / (error * microseconds)))


def duration_forgotten(microseconds, tick, error):
    return math.ceil(tick / error)


def none_for_a_slow_one(microseconds, tick, error):
    return round(tick / (error * microseconds))


KNOWN = {"FLOAT32", "UINT8", "INT32"}


def fits_browser(tensors):
    ends = tensors[tensors["role"].isin(["input", "output"])]
    fixed = all(-1 not in shape for shape in ends["shape_signature"])
    return fixed and ends["dtype"].isin(KNOWN).all()


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


TestAnswers = class_of_tests(
    right=[
        (checks.check_input_codes, [0, 53, 57, 255]),
        (checks.check_input_codes, (0, 53.0, 57, 255)),
        (checks.check_runs_in_batch, runs_in_batch),
        (checks.check_fits_browser, fits_browser),
    ],
    wrong=[
        (checks.check_input_codes, [0, 52, 57, 255]),
        (checks.check_input_codes, [0, 53, 57]),
        (checks.check_input_codes, [0, 53, 57, 256]),
        (checks.check_input_codes, "codes"),
        (checks.check_runs_in_batch, rounded_down),
        (checks.check_runs_in_batch, duration_forgotten),
        (checks.check_runs_in_batch, none_for_a_slow_one),
        (checks.check_runs_in_batch, 200),
        (checks.check_fits_browser, types_of_all),
        (checks.check_fits_browser, types_only),
        (checks.check_fits_browser, batch_only),
        (checks.check_fits_browser, inputs_only),
        (checks.check_fits_browser, no_int32),
        (checks.check_fits_browser, lambda tensors: True),
        (checks.check_fits_browser, True),
    ],
)


@pytest.mark.parametrize(
    ("check", "answer", "remark"),
    [
        (checks.check_input_codes, [0, 52, 57, 255], "a tie"),
        (checks.check_input_codes, [0, 52, 56, 255], "cut off"),
        (checks.check_input_codes, [-15, 53, 57, 260], "clip"),
        (checks.check_input_codes, [241, 53, 57, 4], "overflow"),
        (checks.check_input_codes, [0, 3, 7, 210], "zero point is missing"),
        (checks.check_input_codes, [-128, -75, -71, 127], "int8"),
        (checks.check_runs_in_batch, rounded_down, "it gives 333, expected 334"),
        (checks.check_runs_in_batch, none_for_a_slow_one, "expected 334"),
        (checks.check_fits_browser, types_of_all, "takes this one (uint8)"),
        (checks.check_fits_browser, batch_only, "a dynamic height"),
    ],
)
def test_a_near_miss_gets_a_remark(check, answer, remark):
    assert remark in check(answer).message


@pytest.mark.parametrize("batch", [None, 1])
@pytest.mark.parametrize("path", ["float32", "int8_float_fallback", "uint8", "int8"])
def test_14_3_is_right_about_real_files(path, batch):
    taken = batch == 1 and paths.get(path).input_dtype in ("float32", "uint8")
    assert bool(fits_browser(anatomy.tensors(converted("cnn", path, batch)))) is taken
