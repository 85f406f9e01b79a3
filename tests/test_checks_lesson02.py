"""The checks of lesson 02 accept right answers, refuse wrong ones, and wait for the rest."""

import numpy as np

from lessons_lib import checks
from verdicts import Answers, class_of_tests

TIMES = [62, 60, 61, 64, 59, 61, 983]

ANSWERS = {
    checks.check_macs: Answers(
        right={
            "an int": 470_400,
            "a NumPy integer": np.int64(470_400),
            "a text": "470,400",
            "with its unit": "470400 MACs",
        },
        wrong={
            "padded": (614_400, "Without padding"),
            "one output channel": (58_800, "one output channel"),
            "one input channel": (156_800, "through all input channels"),
            "27 positions": (27 * 27 * 600, "a window of 5"),
            "counted twice": (940_800, "are one MAC"),
            "biases counted": (476_672, "Biases are added"),
            "None": (None, "holds None"),
        },
    ),
    checks.check_latency_report: Answers(
        right={
            "an int": 61,
            "a median": np.median(TIMES),
            "an array": np.array([61]),
            "a text with its unit": "61 µs",
            "a text": "61",
        },
        wrong={
            "the mean": (np.mean(TIMES), "This is the mean"),
            "the mean, rounded": (193, "This is the mean"),
            "the fastest": (59, "luckiest"),
            "the slowest": (983, "disturbed"),
            "in milliseconds": ("0.061 ms", "without 'ms'"),
            "a word": ("the median", "a number is asked"),
            "all of them": (TIMES, "holds 7 numbers; one is asked"),
            "a function": (np.median, "holds a function; numbers are asked"),
        },
    ),
    checks.check_read_energy: Answers(
        right={
            "an int": 320,
            "a float": 320.0,
            "by the formula": 2_000_000 / 4 * 640 / 1e6,
            "a text with its unit": "320 µJ",
        },
        wrong={
            "a read for each weight": (1280, "more than one int8 weight"),
            "picojoules": (320e6, "picojoules"),
            "millijoules": (0.32, "millijoules"),
            "on-chip memory": (25, "memory on the chip"),
            "two numbers": ([320, 1280], "holds 2 numbers"),
            "something else": (100, ""),
        },
    ),
}

TestAnswers = class_of_tests(ANSWERS)


def test_the_hint_of_2_1_and_2_3_does_not_hold_the_numbers_of_the_solution():
    assert "28" not in checks.check_macs(0).message
    assert "640" not in checks.check_read_energy(0).message
