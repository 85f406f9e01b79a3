"""Checks of lesson 02: measure what matters."""

import numpy as np

from lessons_lib.course.checks._answers import compare
from lessons_lib.course.checks._verdict import exercise

TIMES = [62, 60, 61, 64, 59, 61, 983]  # microseconds


@exercise(
    "find the shape of the output first: how often does the window fit into a row without "
    "padding? Then count the products behind one number of the output.",
    "Numbers in the output, times the products behind each.",
)
def check_macs(macs: object) -> bool | str:
    """Exercise 2.1: the multiply-accumulates of a convolution, an int."""
    positions, products, right = 28 * 28, 5 * 5 * 3, 28 * 28 * 8 * 5 * 5 * 3
    return compare(
        macs,
        right,
        (32 * 32 * 8 * products, "Without padding the window fits fewer than 32 times."),
        (27 * 27 * 8 * products, "Count again how often a window of 5 fits into 32."),
        (positions * products, "That is one output channel."),
        (positions * 8 * 5 * 5, "The window reaches through all input channels."),
        (2 * right, "A multiplication and the addition behind it are one MAC."),
        (right + positions * 8, "Biases are added, not multiplied: they are no MACs."),
        units=("MACs", "MAC"),
    )


@exercise(
    "one call was disturbed. Which number of a sorted list does not care how large the largest "
    "one is?",
    "The median: the disturbed call could have taken any time at all without changing it.",
)
def check_latency_report(us: object) -> bool | str:
    """Exercise 2.2: the latency to report for seven calls, in microseconds."""
    mean = np.mean(TIMES)
    return compare(
        us,
        np.median(TIMES),
        (mean, round(mean), "This is the mean: the disturbed call alone moves it that far."),
        (min(TIMES), "This is the luckiest call; most users wait longer."),
        (max(TIMES), "This is the disturbed call; no other one took that long."),
        units=("µs", "us", "microseconds", "microsecond"),
        rtol=1e-5,
    )


@exercise(
    "how many int8 weights does one read of 32 bits bring? Count the reads, take the energy of "
    "one from the table, and mind the unit.",
    "As float32 the same weights would take four times as many reads.",
)
def check_read_energy(energy: object) -> bool | str:
    """Exercise 2.3: the energy to read 2,000,000 int8 weights from DRAM, in microjoules."""
    return compare(
        energy,
        320,
        (1280, "One read brings more than one int8 weight."),
        (320e6, "These are picojoules; a million of them are a microjoule."),
        (0.32, "These are millijoules."),
        (25, "This is the price of memory on the chip; these weights come from DRAM."),
        units=("µJ", "uJ", "microjoules", "microjoule"),
        rtol=1e-5,
    )
