"""The checks of lesson 04 accept right answers, refuse wrong ones, and wait for the rest."""

import numpy as np
import pytest

from lessons_lib import checks


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("check_dynamic_range_bytes", 1_030_016, 1_026_368),  # wrong: everything in one byte
        ("check_dynamic_range_bytes", np.int64(1_030_016), 4_105_472),  # wrong: float32
        ("check_scales_of_rows", [0.002, 0.2], [0.2, 0.2]),
        ("check_scales_of_rows", np.array([0.002, 0.2], np.float32), 0.2),
        ("check_scales_of_rows", [[0.002], [0.2]], [(0.002, -128), (0.2, -128)]),
        ("check_dynamic_range_bytes", "1,030,016", "many"),
        ("check_inputs_without_flip", "30000", [10_000]),
        ("check_inputs_without_flip", 30_000, 10_000),
        ("check_inputs_without_flip", 29_956, 29_955),
    ],
)
def test_right_and_wrong_answers(name, right, wrong):
    check = getattr(checks, name)
    assert check(right).state == "correct"
    assert check(wrong).state == "not yet"
    assert check(...).state == "not attempted"


def test_4_2_asks_for_the_scales_only():
    assert "the scales only" in checks.check_scales_of_rows([(0.002, -128), (0.2, -128)]).message


def test_4_3_tells_enough_from_too_few():
    assert "30,001 inputs are enough" in checks.check_inputs_without_flip(30_001).message
    assert "enough" not in checks.check_inputs_without_flip(10_000).message


def test_4_1_tells_the_ratio_of_the_four_layers():
    verdict = checks.check_dynamic_range_bytes(1_030_016)
    assert f"{4 * 1_026_368 / 1_030_016:.2f} times" in verdict.message
