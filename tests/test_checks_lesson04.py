"""The checks of lesson 04 accept right answers, refuse wrong ones, and wait for the rest."""

from math import ceil, log

import numpy as np

from lessons_lib import affine, checks
from verdicts import Answers, class_of_tests

ROWS = np.array([[0.0, 0.51, 0.2, 0.1], [0.0, 0.51, 0.2, 51.0]], np.float32)

ANSWERS = {
    checks.check_dynamic_range_bytes: Answers(
        right={
            "an int": 1_030_016,
            "a NumPy integer": np.int64(1_030_016),
            "a text": "1,030,016",
            "with its unit": "1030016 bytes",
        },
        wrong={
            "a byte for each weight": (1_026_368, "leaves some in float32"),
            "float32": (4_105_472, "float32 file"),
            "conv_b in float": (1_033_472, "conv_b has 1,152"),
            "dense_b in bytes": (1_027_016, "dense_b has 1,000"),
            "in kB": (1030.016, "Bytes are asked"),
            "a word": ("many", "a number is asked"),
        },
    ),
    checks.check_scales_of_rows: Answers(
        right={
            "a list": [0.002, 0.2],
            "an array": np.array([0.002, 0.2], np.float32),
            "nested": [[0.002], [0.2]],
            "a generator": (affine.scale_zero_point(row.min(), row.max())[0] for row in ROWS),
        },
        wrong={
            "one for both": ([0.2, 0.2], "one scale for the whole batch"),
            "one": (0.2, "holds 1 number; 2 are asked"),
            "with zero points": ([(0.002, -128), (0.2, -128)], "the scales only"),
            "swapped": ([0.2, 0.002], "of the first row"),
            "symmetric": ([0.51 / 127, 51 / 127], "symmetric scales"),
            "256 steps": ([0.51 / 256, 51 / 256], "255 steps apart"),
            "a set": ({0.002, 0.2}, "has no order"),
            "a function": (affine.scale_zero_point, "holds a function"),
        },
    ),
    checks.check_inputs_without_flip: Answers(
        right={
            "the rule of three": 30_000,
            "exactly": ceil(log(0.05) / log(1 - 1e-4)),
            "by the exponential": 29_958,
            "a text": "30,000",
        },
        wrong={
            "one in ten thousand": (10_000, "the bound would be 3.000 in ten thousand"),
            "one too few": (29_955, "too few"),
            "one too many": (30_001, "30,001 inputs are enough"),
            "none": (0, "none at all"),
            "a share": (1e-4, "too few"),
            "two": ([10_000, 30_000], "holds 2 numbers"),
        },
    ),
}

TestAnswers = class_of_tests(ANSWERS)


def test_4_1_tells_the_ratio_of_the_four_layers():
    verdict = checks.check_dynamic_range_bytes(1_030_016)
    assert f"{4 * 1_026_368 / 1_030_016:.2f} times" in verdict.message


def test_4_3_names_both_right_answers():
    message = checks.check_inputs_without_flip(30_000).message
    assert "30,000" in message
    assert f"{ceil(log(0.05) / log(1 - 1e-4)):,}" in message
