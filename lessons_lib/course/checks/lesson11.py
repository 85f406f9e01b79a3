"""The checks of lesson 11, Find the broken layer."""

import numpy as np
import pandas as pd

from lessons_lib.course.checks._answers import call, content_in, describe, numbers_in, slip
from lessons_lib.course.checks._verdict import exercise
from lessons_lib.judge import layer_errors
from lessons_lib.numbers import affine
from lessons_lib.tflite import tables

REAL, CODES, SCALE, ZERO_POINT = [0.9, -1.7, 2.4, 0.2], [12, 7, 15, 10], 0.5, 10


@exercise(
    "dequantize with 0.5 * (q - 10); subtract the real numbers; then the two formulas of "
    "*By hand*.",
    "About a third of a step, as rounding alone would give, and a little under 20 dB.",
)
def check_error(pair: object) -> bool | str:
    """Exercise 11.1: the error in steps and the signal-to-noise ratio in dB, two numbers."""
    back = affine.dequantize(CODES, SCALE, ZERO_POINT)
    error, snr_db = (
        layer_errors.rms_error(REAL, back) / SCALE,
        layer_errors.signal_to_noise(REAL, back),
    )
    pair = numbers_in(pair, 2, units=("steps", "dB"))
    if np.allclose(pair, (error, snr_db), rtol=0, atol=[0.006, 0.06]):
        return True
    mean_error = np.abs(back - REAL).mean() / SCALE
    if np.isclose(pair[0], mean_error, rtol=1e-6):
        return f"{mean_error:.2g} steps is the mean magnitude; asked is the root mean square."
    if np.allclose(pair, (error, snr_db), rtol=0, atol=[0.06, 0.6]):
        return "Rounded too far: give the steps to two decimals and the dB to one."
    return slip(
        pair,
        ((error * SCALE, snr_db), "In the unit of the numbers; for steps divide it by the scale."),
        ((error, snr_db / 2), "A ratio of squares takes 10 times the logarithm, not 5."),
        ((error, 2 * snr_db), "A ratio of squares takes 10 times the logarithm, not 20."),
        ((error, -snr_db), "Signal to noise: the signal stands above the line."),
        ((error, 10 ** (snr_db / 10)), "That is the ratio; dB are 10 times its logarithm."),
        ((snr_db, error), "The steps come first, then the decibels."),
        rtol=0.02,
    )


_TABLES = (  # the ratio behind each of six layers, the errors in steps, the row of the fall
    ([42, 40, 25, 24, 22, 20], [0.3, 0.9, 0.2, 2.0, 1.4, 0.6], 2),
    ([41, 20, 24, 23, 15, 19], [0.2, 0.3, 0.3, 9.0, 0.7, 0.8], 1),
    ([35, 34, 33, 32, 0.5, 3], [0.1, 0.4, 0.5, 0.6, 0.2, 7.0], 4),
    ([60, 38, 22, 15, 6, 5.0], [0.3, 0.2, 3.0, 0.5, 0.9, 0.7], 1),
    ([40, 37, 30, 29, 41, 38], [0.4, 0.3, 0.9, 0.5, 0.2, 0.6], 2),  # a rise larger than the fall
    ([12, 31, 30, 22, 21, 33], [2.0, 0.4, 0.3, 0.8, 0.9, 0.2], 3),  # and the lowest comes first
    ([70, 60, 59, 30, 29, 28], [0.2, 0.4, 0.3, 2.5, 0.9, 0.7], 3),  # a clear fall before it
)


@exercise(
    "compare each row with the one before it, `diff` does that. A fall is a negative change: "
    "which one is the steepest, and in which row is it?",
    "The layer with the lowest ratio is often only an heir. Look for the step down.",
)
def check_steepest_fall(find: object) -> bool | str:
    """Exercise 11.2: a function from a table of layer_errors.compare to the layer of its fall."""
    for snr_db, steps, place in _TABLES:
        table = pd.DataFrame({"error_per_scale": steps, "snr_db": np.float64(snr_db)})
        table.insert(0, "layer", [f"layer{number}" for number in range(1, 7)])
        found = call(find, table.copy())
        if not isinstance(found, str):
            return f"Your function returns {describe(found)}: give the layer's name."
        if found != table["layer"].iloc[place]:
            ratios = ", ".join(f"{value:g}" for value in snr_db)
            return f"For {ratios} dB it names {found!r}. {_reason(found, table, place)}".strip()
    return True


def _reason(found: str, table: pd.DataFrame, place: int) -> str:
    """What is wrong with a layer that is not the one in row ``place``; "" if nobody knows."""
    change = table["snr_db"].diff()
    rise = change.idxmax() if change.max() > 0 else -1
    slips = {
        rise: "There it rises, and the largest change is not always a fall.",
        place - 1: "This is the last good layer; the one behind it falls.",
        table["snr_db"].pct_change().idxmin(): "This fall is the largest in per cent, not in dB.",
        table["snr_db"].idxmin(): "This is the layer with the lowest ratio; which one falls most?",
    }
    named = table.index[table["layer"] == found]
    return slips.get(named[0], "") if len(named) else "There is no such layer."


@exercise(
    "`keep_in_float(SAVED_MODEL, representative_dataset, [...])`, and the name is the stem's "
    "in the Series `node`.",
    "One float operator, a QUANTIZE behind it, and integers from there to the softmax.",
)
def check_stem_in_float(answer: object) -> bool | str:
    """Exercise 11.3: the content of a ds_cnn file in which only the stem is in float."""
    table = tables.operators(content_in(answer))
    table = table[~table["operator"].isin(layer_errors.MOVERS)]
    if "DEPTHWISE_CONV_2D" not in table["operator"].tolist():
        return "This file is not the depthwise-separable network."
    if not table["float"].iloc[0]:
        return "The first convolution is quantized like all others: did the name match?"
    if rest := int(table["float"].iloc[1:].sum()):
        return f"In float are {1 + rest} operators; only the first should be."
    return True
