"""Checks of lesson 05: halve with float16."""

from math import floor, log2
from typing import Any

import numpy as np

from lessons_lib.checks._verdict import Verdict, number_in, report

HALF_MAX = 65504.0
CANDIDATES = np.array([0.3, 1e-5, 3e-6, 2e-7, 5e-8, 1e-9, 60000.0, 80000.0])
LARGEST_OUTPUT = 21.6  # of dense1, as the exercise gives it


def check_changed_weights(answer: Any) -> Verdict:
    """Check exercise 5.1: the weights that float16 changes by more than 1 %, a list of floats."""
    half = np.clip(CANDIDATES, -HALF_MAX, HALF_MAX).astype(np.float16).astype(float)
    changed = CANDIDATES[np.abs(half - CANDIDATES) > 0.01 * CANDIDATES]
    return report(
        "5.1",
        answer,
        lambda weights: np.array_equal(np.sort(np.array([*weights], float)), np.sort(changed)),
        "clip to ±65504 as the converter does, go through `np.float16` and back to float, and "
        "compare the relative errors with 0.01.",
        "Three are lost at the lower end, one saturates at the upper; 60000 is a half exactly.",
    )


def check_headroom(answer: Any) -> Verdict:
    """Check exercise 5.2: the largest power of two that a layer can bear in half, an int."""
    return report(
        "5.2",
        answer,
        lambda k: number_in(k) == floor(log2(HALF_MAX / LARGEST_OUTPUT)),
        "the larger of the two magnitudes decides: find the last k with magnitude * 2**k <= 65504.",
        "The weights alone would have borne 17: who computes in half must watch the activations.",
    )


def check_paths_of_devices(answer: Any) -> Verdict:
    """Check exercise 5.3: the path of each of three devices, a dict from device to path."""
    expected = ["float16", "dynamic_range", "float32"]

    def passed(chosen):
        chosen = [*(chosen.values() if isinstance(chosen, dict) else chosen)]
        if unknown := [name for name in chosen if name not in expected]:
            return f'{unknown[0]!r} is none of "float32", "dynamic_range", "float16".'
        return chosen == expected

    return report(
        "5.3",
        answer,
        passed,
        "ask of each: who reads halves directly, which file was the smallest, and which path "
        "changes no weight at all?",
        "Each path has its place; none is the best everywhere.",
    )
