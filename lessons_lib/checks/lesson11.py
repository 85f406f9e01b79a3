"""The checks of lesson 11, Find the broken layer."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from lessons_lib import affine, anatomy, layers
from lessons_lib.checks._verdict import Verdict, report

REAL, CODES, SCALE, ZERO_POINT = [0.9, -1.7, 2.4, 0.2], [12, 7, 15, 10], 0.5, 10


def check_error(answer: Any) -> Verdict:
    """Check exercise 11.1: the error in steps and the signal-to-noise ratio in dB, two numbers."""
    back = affine.dequantize(CODES, SCALE, ZERO_POINT)
    error, snr_db = layers.rms_error(REAL, back) / SCALE, layers.signal_to_noise(REAL, back)

    def passed(pair):
        def is_near(*expected, given=pair):
            return len(given) == 2 and np.allclose(given, expected, atol=[0.006, 0.06])

        if is_near(error * SCALE, snr_db):
            return "The first one is in the unit of the numbers: divide it by the scale."
        if is_near(error, snr_db / 2):
            return "A ratio of squares takes 10 times the logarithm, not 5."
        if is_near(error, snr_db, given=pair[::-1]):
            return "The steps come first, then the decibels."
        return is_near(error, snr_db)

    return report(
        "11.1",
        answer,
        passed,
        "dequantize with 0.5 * (q - 10); subtract the real numbers; then the two formulas of "
        "*By hand*.",
        "About a third of a step, as rounding alone would give, and close to 20 dB.",
    )


def check_steepest_fall(answer: Any) -> Verdict:
    """Check exercise 11.2: a function from a table of layers.errors to the layer of its fall."""
    return report(
        "11.2",
        answer,
        _steepest_fall,
        "`table['snr_db'].diff()` is the change from each row to the next; its smallest value is "
        "the steepest fall, and `idxmin` says where.",
        "The layer with the lowest ratio is often only an heir. Look for the step down.",
    )


def _steepest_fall(find: Callable[[pd.DataFrame], str]) -> bool | str:
    for snr_db, steps, place in (
        ([42, 40, 25, 24, 22, 20], [0.3, 0.9, 0.2, 2.0, 1.4, 0.6], 2),
        ([41, 20, 24, 23, 15, 19], [0.2, 0.3, 0.3, 9.0, 0.7, 0.8], 1),
        ([35, 34, 33, 32, 0.5, 3], [0.1, 0.4, 0.5, 0.6, 0.2, 7.0], 4),
        ([60, 38, 22, 15, 6, 5.0], [0.3, 0.2, 3.0, 0.5, 0.9, 0.7], 1),
    ):
        table = pd.DataFrame(
            {
                "layer": [f"layer{number}" for number in range(1, 7)],
                "error_per_scale": steps,
                "snr_db": np.float64(snr_db),
            }
        )
        found = find(table.copy())
        if found != table["layer"].iloc[place]:
            return _slip(found, table, place)
    return True


def _slip(found: Any, table: pd.DataFrame, place: int) -> bool | str:
    """What is wrong with a layer that is not the one in row ``place``; False if nobody knows."""
    if not isinstance(found, str):
        kind = type(found).__name__
        return f"The function returned {found!r}, a value of type {kind}: give the layer's name."
    slips = {
        place - 1: "This is the last good layer; the one behind it falls.",
        table["snr_db"].pct_change().idxmin(): "This fall is the largest in per cent, not in dB.",
        table["snr_db"].idxmin(): "This is the layer with the lowest ratio; which one falls most?",
    }
    named = table.index[table["layer"] == found]
    return slips.get(named[0], False) if len(named) else False


def check_stem_in_float(answer: Any) -> Verdict:
    """Check exercise 11.3: the content of a ds_cnn file in which only the stem is in float."""
    return report(
        "11.3",
        answer,
        _only_the_stem,
        "`keep_in_float(SAVED_MODEL, representative_dataset, [...])`, and the name is the stem's "
        "in the Series `node`.",
        "One float operator, a QUANTIZE behind it, and integers from there to the softmax.",
    )


def _only_the_stem(content: bytes) -> bool | str:
    """True, or a sentence on the condition that the file fails."""
    if isinstance(content, str):
        return "This is a name: give the content of a file (bytes)."
    table = anatomy.operators(content)
    table = table[~table["operator"].isin(layers.MOVERS)]
    first, rest = table["float"].iloc[0], table["float"].iloc[1:]
    if "DEPTHWISE_CONV_2D" not in table["operator"].tolist():
        return "This file is not the depthwise-separable network."
    if not first:
        return "The first convolution is quantized like all others: did the name match?"
    if rest.any():
        return f"In float are {1 + rest.sum()} operators; only the first should be."
    return True
