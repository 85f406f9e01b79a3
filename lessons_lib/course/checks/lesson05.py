"""Checks of lesson 05: halve with float16."""

from math import floor, log2

import numpy as np

from lessons_lib.course.checks._answers import Remark, describe, number_in, numbers_in
from lessons_lib.course.checks._verdict import exercise

HALF_MAX = 65504.0
CANDIDATES = np.array([0.3, 1e-5, 3e-6, 2e-7, 5e-8, 1e-9, 60000.0, 80000.0])
LARGEST_OUTPUT = 21.6  # of dense1, as the exercise gives it


@exercise(
    "do to each weight what the converter does, at the upper end as well, come back to float, "
    "and look at the relative error.",
    "Three are lost at the lower end, one saturates at the upper; 60000 is a half exactly.",
)
def check_changed_weights(weights: object) -> bool | str:
    """Exercise 5.1: the weights that float16 changes by more than 1 %, a list of floats."""
    half = np.clip(CANDIDATES, -HALF_MAX, HALF_MAX).astype(np.float16).astype(float)
    changed = np.abs(half - CANDIDATES) > 0.01 * CANDIDATES
    weights = numbers_in(weights, ordered=False)
    same = np.isclose(weights[:, None], CANDIDATES, rtol=1e-6, atol=0)
    if not same.any(axis=1).all():
        stranger = weights[~same.any(axis=1)][0]
        return f"{stranger:g} is none of the eight: give the weights, not places or errors."
    named = same.any(axis=0)
    if (named & ~changed).any():
        return f"{CANDIDATES[named & ~changed][0]:g} changes by less than 1 %."
    missing = int((changed & ~named).sum())
    return f"{missing} more {'changes' if missing == 1 else 'change'}." if missing else True


@exercise(
    "the larger of the two magnitudes decides: find the last k with magnitude * 2**k <= 65504.",
    "The weights alone would have borne 17: who computes in half must watch the activations.",
)
def check_headroom(k: object) -> bool | str:
    """Exercise 5.2: the largest power of two that a layer can bear in half, an int."""
    largest = floor(log2(HALF_MAX / LARGEST_OUTPUT))
    k = number_in(k)
    if k == 17:
        return "The weights alone would bear that; the outputs would not."
    if k != round(k) or abs(k) > 100:
        return f"{k:g} is not the power: k is a whole number."
    if k > largest:
        return f"{LARGEST_OUTPUT} * 2**{k:.0f} is beyond {HALF_MAX:.0f}."
    return "A larger k fits, too." if k < largest else True


@exercise(
    "ask of each: who reads halves directly, which file was the smallest, and which path "
    "changes no weight at all?",
    "Each path has its place; none is the best everywhere.",
)
def check_paths_of_devices(chosen: object) -> bool | str:
    """Exercise 5.3: the path of each of three devices, a dict from device to path."""
    expected = ["float16", "dynamic_range", "float32"]
    if isinstance(chosen, str | set) or not np.iterable(chosen):
        raise Remark(f"Your answer is {describe(chosen)}; asked is a path for each device.")
    chosen = [*(chosen.values() if isinstance(chosen, dict) else chosen)]
    for name in chosen:
        if not isinstance(name, str) or name not in expected:
            given = repr(name) if isinstance(name, str) else describe(name)
            return f'There is {given}, which is none of "float32", "dynamic_range", "float16".'
    if len(chosen) != 3:
        return f"You gave {len(chosen)}; three are asked, one for each device."
    fit = sum(given == right for given, right in zip(chosen, expected, strict=True))
    return fit == 3 or f"{fit} of the three {'fits' if fit == 1 else 'fit'} the device."
