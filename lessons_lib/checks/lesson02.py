"""Checks of lesson 02: measure what matters."""

from typing import Any

import numpy as np

from lessons_lib.checks._verdict import Verdict, number_in, report


def check_macs(answer: Any) -> Verdict:
    """Check exercise 2.1: the multiply-accumulates of a convolution, an int."""
    return report(
        "2.1",
        answer,
        lambda macs: number_in(macs) == 28 * 28 * 8 * 5 * 5 * 3,
        "a window of 5 fits 28 times into 32, so the output is 28 by 28 by 8; behind each of its "
        "numbers there are 5 * 5 * 3 products.",
        "Numbers in the output, times the products behind each.",
    )


def check_latency_report(answer: Any) -> Verdict:
    """Check exercise 2.2: the latency to report for seven calls, in microseconds."""
    return report(
        "2.2",
        answer,
        lambda us: np.isclose(number_in(us), 61),
        "one call was disturbed. Sort the seven times and take the one in the middle.",
        "The median: the disturbed call could have taken any time at all without changing it.",
    )


def check_read_energy(answer: Any) -> Verdict:
    """Check exercise 2.3: the energy to read 2,000,000 int8 weights from DRAM, in microjoules."""
    return report(
        "2.3",
        answer,
        lambda microjoules: np.isclose(number_in(microjoules), 2_000_000 / 4 * 640 / 1e6),
        "one read of 32 bits brings four int8 weights and costs 640 pJ; a microjoule is a million "
        "picojoules.",
        "As float32 the same weights would take four times as many reads.",
    )
