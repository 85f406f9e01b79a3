"""The checks of lesson 11, Find the broken layer, and what the lesson runs on with."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from lessons_lib.course.checks._answers import (
    Remark,
    call,
    content_in,
    describe,
    number_in,
    numbers_in,
    slip,
)
from lessons_lib.course.checks._verdict import exercise
from lessons_lib.errors import InputError
from lessons_lib.judge import layer_errors
from lessons_lib.models import data, unseen
from lessons_lib.numbers import affine
from lessons_lib.numbers.noise import rms_error, signal_to_noise
from lessons_lib.run import runtime
from lessons_lib.tflite import tables

Layer = tuple[str, np.ndarray, np.ndarray, float, int]

# What the lesson runs on with where a blank is open.


def decibels_by_layer(layers: Sequence[Layer]) -> dict[str, float]:
    """Return the SNR in dB of each layer, by its name.

    ``layers``: (name, float values, int8 codes of the same shape, scale, zero point) each.
    Defined in lesson 11.
    """
    return {
        name: signal_to_noise(real, affine.dequantize(codes, scale, zero_point))
        for name, real, codes, scale, zero_point in layers
    }


def steepest_fall(decibels: dict[str, float]) -> str:
    """Return the layer at which the SNR falls most, in dB; the layers stand in order.

    Defined in lesson 11.
    """
    return pd.Series(decibels).diff().idxmin()


def tensors_of(operators: pd.DataFrame, layers: Sequence[str]) -> list[str]:
    """Return the names of all tensors that these layers write.

    ``operators``: the columns ``layer`` and ``outputs`` of ``tables.operators``. Raises InputError
    for a layer that is not there. Defined in lesson 11.
    """
    known = list(dict.fromkeys(operators["layer"]))
    if unknown := [layer for layer in layers if layer not in known]:
        raise InputError(f"no layer {unknown[0]!r}; there are {', '.join(known)} (lesson 11)")
    return [
        name for names in operators[operators["layer"].isin(layers)]["outputs"] for name in names
    ]


# Exercises 11.1 to 11.3, and 11.5: the learner's functions, with data of their own.


def _pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(11)
    shapes, spreads = [(5,), (4, 6), (2, 3, 3, 4)], [0.01, 0.3, 1.5]
    pairs = []
    for shape, spread in zip(shapes, spreads, strict=True):
        real = random.normal(0, 2, shape).astype(np.float32)
        pairs.append((real, (real + random.normal(0, spread, shape)).astype(np.float32)))
    return pairs


@exercise(
    "square, add up, divide, then ten times the logarithm to base 10 (`np.log10`).",
    "Ten decibels more: a tenth of the noise.",
)
def check_snr(function: object) -> bool | str:
    """Exercise 11.1: a function of the real numbers and of what came back: the SNR in dB."""
    for real, back in _pairs():
        found = number_in(call(function, real.copy(), back.copy()))
        right = signal_to_noise(real, back)
        if np.isclose(found, right, rtol=0, atol=0.01):
            continue
        return _slip_of_snr(found, real, back) or f"For one pair {right:.1f} dB, not {found:.4g}."
    return True


def _slip_of_snr(found: float, real: np.ndarray, back: np.ndarray) -> str | bool:
    right, mean = signal_to_noise(real, back), np.log10(np.abs(real).sum())
    noise = np.abs(back - real).sum()
    return slip(
        [found],
        ([2 * right], "These are ratios of squares: 10 times the logarithm, not 20."),
        ([right / 2], "A ratio of squares takes 10 times the logarithm, not 5."),
        ([-right], "Signal to noise: the signal stands above the line, the error below."),
        ([right / 10], "The logarithm alone; dB are 10 times that."),
        ([10 ** (right / 10)], "This is the ratio; dB are 10 times its logarithm."),
        ([right * np.log(10)], "This is the natural logarithm; dB take the one to base 10."),
        ([right * np.log2(10)], "This is the logarithm to base 2; dB take the one to base 10."),
        ([signal_to_noise(back, real)], "The signal is `x`, the float values, not `back`."),
        (
            [10 * (mean - np.log10(noise))],
            [20 * (mean - np.log10(noise))],
            "These are sums of magnitudes; asked are sums of squares.",
        ),
        ([-10 * np.log10(np.sum((back - real) ** 2, dtype=float))], "Where is the signal?"),
        rtol=1e-4,
    )


def _layers() -> list[Layer]:
    random = np.random.default_rng(7)
    made = []
    for name, scale, zero_point in (("first", 0.02, -128), ("second", 0.07, 5), ("third", 0.5, 0)):
        shift = -zero_point * scale
        real = random.normal(shift, 40 * scale, (3, 4, 5)).astype(np.float32)
        noise = scale if zero_point else 15 * scale  # so strong that `back` is no longer `x`
        codes = affine.quantize(real + random.normal(0, noise, real.shape), scale, zero_point)
        made.append((name, real, codes, scale, zero_point))
    return made


@exercise(
    "for each layer: codes to float, minus the zero point, times the scale; then `snr_db`.",
    "Cast before you subtract: int8 minus int8 wraps around.",
)
def check_decibels_by_layer(function: object) -> bool | str:
    """Exercise 11.5: a function of a list of layers: a dict of their SNR in dB, by name."""
    layers = _layers()
    given = [(name, real.copy(), codes.copy(), *rest) for name, real, codes, *rest in layers]
    found = _dict_in(call(function, given), "SNRs by the layers' names")
    right = decibels_by_layer(layers)
    if set(found) != set(right):
        return f"The names should be {', '.join(right)}; given: {', '.join(map(str, found))[:80]}."
    for name, real, codes, scale, zero_point in layers:
        value = number_in(found[name])
        if np.isclose(value, right[name], rtol=0, atol=0.05):
            continue
        wrapped = (codes - np.int8(zero_point)).astype(float)
        plain = codes.astype(float)
        shown = f"{name!r}, zero point {zero_point}: {value:.1f} dB, not {right[name]:.1f}."
        for back, remark in (
            (scale * wrapped, "int8 minus int8 wraps around: make the codes float first."),
            (scale * plain, "The zero point was not subtracted."),
            (plain - zero_point, "The scale is missing."),
            (plain, "These are the codes; make them real numbers first."),
            (scale * (plain + zero_point), "The zero point is subtracted, not added."),
            (scale * plain - zero_point, "First minus the zero point, then times the scale."),
        ):
            if np.isclose(value, signal_to_noise(real, back), rtol=0, atol=0.05):
                return f"{shown} {remark}"
        back = affine.dequantize(codes, scale, zero_point)
        return f"{shown} {_slip_of_snr(value, real, back) or ''}".strip()
    return True


def _dict_in(value: Any, asked: str) -> dict:
    """Return a dict, a Series, or a list of pairs as a dict."""
    try:
        return dict(value.items() if hasattr(value, "items") else value)
    except Exception:
        raise Remark(
            f"Your function returns {describe(value)}; asked is a dict: {asked}."
        ) from None


_FALLS = (  # the ratio behind each of six layers, and the row of the fall
    ([42, 40, 25, 24, 22, 20], 2),
    ([41, 20, 24, 23, 15, 19], 1),
    ([35, 34, 33, 32, 0.5, 3], 4),
    ([60, 38, 22, 15, 6, 5.0], 1),
    ([40, 37, 30, 29, 41, 38], 2),  # a rise larger than the fall
    ([12, 31, 30, 22, 21, 33], 3),  # and the lowest comes first
    ([70, 60, 59, 30, 29, 28], 3),  # a clear fall before it
    ([-9, -10, -10.5, -10, -12, -15], 5),  # nothing to fall from in front of the first
)


@exercise(
    "compare each layer with the one before it. A fall is a negative change: which one is the "
    "steepest, and at which layer?",
    "The layer with the lowest SNR is often only an heir. Look for the step down.",
)
def check_steepest_fall(find: object) -> bool | str:
    """Exercise 11.2: a function of a dict of SNRs, in the layers' order: the layer of the fall."""
    for ratios, place in _FALLS:
        # Names whose order says nothing.
        table = pd.Series(np.float64(ratios), [f"layer{n}" for n in (3, 6, 1, 5, 2, 4)])
        found = call(find, table.to_dict())
        if not isinstance(found, str):
            return f"Your function returns {describe(found)}: give the layer's name."
        if found != table.index[place]:
            shown = ", ".join(f"{value:g}" for value in ratios)
            return f"For {shown} dB it names {found!r}. {_reason(found, table, place)}".strip()
    return True


def _reason(found: str, table: pd.Series, place: int) -> str:
    """What is wrong with a layer that is not the one in row ``place``; "" if nobody knows."""
    change = table.diff()
    slips = {  # of two that are the same layer, the last one counts
        table.idxmax(): "This is the layer with the highest SNR.",
        table.idxmin(): "This is the layer with the lowest SNR; at which one does it fall most?",
        table.pct_change().idxmin(): "This fall is the largest in per cent, not in dB.",
        table.index[place - 1]: "This is the last good layer; the one behind it falls.",
    }
    if change.max() > 0:
        slips[change.idxmax()] = "There it rises, and the largest change is not always a fall."
    if table.iloc[0] < 0:
        slips = {table.index[0]: "There is no layer in front of the first, to fall from."}
    return slips.get(found, "" if found in table.index else "There is no such layer.")


_OPERATORS = pd.DataFrame(
    {
        "layer": ["stem", "scaled", "scaled", "block", "block2", "split", "dense"],
        "outputs": [
            ("net/stem/Relu;net/stem/conv",),
            ("net/scaled/sub",),
            ("net/scaled/mul",),
            ("net/block/Relu;net/block/norm/add_1;net/block/conv",),
            ("net/block2/Relu;net/block2/conv",),
            ("net/split", "net/split:1"),
            ("net/dense/MatMul",),
        ],
    }
)


@exercise(
    "go through the rows of the table; a layer may have more than one. `outputs` is a tuple: its "
    "names are asked, not the tuple.",
    "And a name that matches nothing no longer passes in silence.",
)
def check_tensors_of(function: object) -> bool | str:
    """Exercise 11.3: a function of operators and layers: the names of the tensors they write."""
    wanted = (["block"], ["dense", "stem"], ["scaled"], ["stem", "scaled", "block"], ["split"])
    for layers in wanted:
        verdict = _same_tensors(call(function, _OPERATORS.copy(), list(layers)), layers)
        if verdict is not True:
            return verdict
    for unknown in (["blocks"], ["stem", "Dense"], ["net/stem/conv"], ["scale"]):
        try:
            found = function(_OPERATORS.copy(), unknown)
        except Exception:
            continue
        return (
            f"For {unknown}, of which one is no layer, it returns {describe(found)}: raise an "
            "error there, for the converter says nothing."
        )
    return True


def _same_tensors(found: Any, layers: list[str]) -> bool | str:
    right = tensors_of(_OPERATORS, layers)
    asked = f"For {layers} your function returns"
    if isinstance(found, str):
        return f"{asked} one text; asked is a list of names, even where it is only one."
    try:
        names = list(found)
    except Exception:
        return f"{asked} {describe(found)}; asked is a list of names."
    if any(isinstance(name, tuple | list) for name in names):
        return f"{asked} a list of tuples: take the names out of them."
    if not all(isinstance(name, str) for name in names):
        return f"{asked} {describe(found)} that does not hold texts; asked are the tensors' names."
    if sorted(set(names)) == sorted(right):
        return True
    if set(names) <= set(layers):
        return f"{asked} names of layers; asked are the tensors, in the column `outputs`."
    if set(names) < set(right):
        rows = _OPERATORS["layer"].isin(layers).sum()
        what = "a layer may have several operators" if rows > 1 else "`outputs` may hold several"
        return f"{asked} {len(set(names))} of {len(right)}: {what}."
    if set(names) > set(right):
        return f"{asked} tensors of other layers as well: compare whole names of layers."
    if set(names) <= {part for name in right for part in name.split(";")}:
        return f"{asked} parts of a name. Joined by semicolons they are one name: take it whole."
    return f"{asked} other names: {', '.join(map(repr, names))[:100]}."


# Exercise 11.4, the open task.

CAUSES = ("weights", "clipped", "too wide")
FLOAT_FILE, INT8_FILE = "11_lamp_float.tflite", "11_lamp_int8.tflite"


def _plain(layer: str) -> str:
    """The layer's name; the converter calls the last one as it calls the model's result."""
    return "softmax" if layer.startswith("StatefulPartitionedCall") else layer


@cache
def lamp() -> tuple[dict[str, float], dict[str, float]]:
    """Return what the two files of the open task hold, by layer.

    The SNR in dB behind each layer, and the share of its codes that are the largest there is,
    for the first 100 calibration digits. Takes a second, once.
    """
    inputs = data.load("mnist").calibration.images[:100]
    contents = [unseen.path(name).read_bytes() for name in (FLOAT_FILE, INT8_FILE)]
    real = runtime.tensor_values(contents[0], inputs)
    codes = runtime.tensor_values(contents[1], runtime.Model(contents[1]).quantize_input(inputs))
    table = layer_errors.compare(*contents, real, codes)
    table = table.set_index(table["layer"].map(_plain))
    highest = {name: float(np.mean(codes[index] == 127)) for name, index in table["index"].items()}
    return table["snr_db"].to_dict(), highest


@exercise(
    "first the table of SNRs and its steepest fall. Then look at the codes of that layer: how "
    "many are 127, and what does the float model have there?",
    "Its range was set too narrow: what lies above is cut to the largest code.",
)
def check_lamp(findings: object) -> bool | str:
    """Exercise 11.4: a dict with the broken "layer", the "cause", and the "share" of codes at 127.

    ``share`` is that of this layer's codes over the first 100 calibration digits, 0 to 1.
    """
    found = _findings_in(findings)
    decibels, highest = lamp()
    layer, broken = found["layer"], steepest_fall(decibels)
    if layer != broken:
        named = repr(layer) if isinstance(layer, str) else describe(layer)
        said = f"At {named[:80]} there is no steep fall."
        if layer == min(decibels, key=decibels.get):
            said = f"{layer!r} has the lowest SNR, and is only an heir."
        elif layer in decibels and list(decibels).index(layer) == list(decibels).index(broken) - 1:
            said = f"{layer!r} is the last good layer."
        elif layer not in decibels:
            said = f"There is no layer {named[:80]}."
        return said
    share = number_in(found["share"], "%")
    if not np.isclose(share, highest[broken], rtol=0, atol=0.02):
        if np.isclose(share, 100 * highest[broken], rtol=0, atol=2):
            return "The layer is right. Give the share between 0 and 1, not in per cent."
        return f"The layer is right; {share:.3g} is not the share of its codes that are 127."
    if found["cause"] not in CAUSES:
        return f"The cause is {describe(found['cause'])}; give one of {', '.join(CAUSES)}."
    if found["cause"] == "too wide":
        return "The layer and the share are right. In too wide a range hardly a code were 127."
    if found["cause"] == "weights":
        return "The layer and the share are right. Do badly rounded weights pile up codes at 127?"
    return True


def _findings_in(findings: object) -> dict:
    if not isinstance(findings, dict) or set(findings) != {"layer", "cause", "share"}:
        given = f"the keys {list(findings)}" if isinstance(findings, dict) else describe(findings)
        raise Remark(f'Give a dict with "layer", "cause" and "share"; given: {given[:80]}.')
    return findings


# More exercises.

REAL, CODES, SCALE, ZERO_POINT = [0.9, -1.7, 2.4, 0.2], [12, 7, 15, 10], 0.5, 10


@exercise(
    "dequantize with 0.5 * (q - 10); subtract the real numbers; then the two formulas.",
    "About a third of a step, as rounding alone would give, and a little under 20 dB.",
)
def check_error(pair: object) -> bool | str:
    """Exercise 11.6: the error in steps and the signal-to-noise ratio in dB, two numbers."""
    back = affine.dequantize(CODES, SCALE, ZERO_POINT)
    error, snr_db = rms_error(REAL, back) / SCALE, signal_to_noise(REAL, back)
    pair = numbers_in(pair, 2, units=("steps", "dB"))
    if np.allclose(pair, (error, snr_db), rtol=0, atol=[0.006, 0.06]):
        return True
    mean_error = np.abs(back - REAL).mean() / SCALE
    if np.isclose(pair[0], mean_error, rtol=1e-6):
        return f"{mean_error:.2g} steps is the mean magnitude; asked is the root mean square."
    if np.allclose(pair, (error, snr_db), rtol=0, atol=[0.06, 0.6]):
        return "Rounded too far: give the steps to two decimals and the dB to one."
    squares = rms_error(REAL, back) ** 2
    if wrong := slip(
        pair[:1],
        ([squares / SCALE], [squares / SCALE**2], [squares], "The root of the mean is missing."),
        ([error * np.sqrt(len(REAL))], "The steps are a *mean* square, not a sum of squares."),
        ([np.abs(back - REAL).max() / SCALE], "That is the largest error; asked is the RMS."),
        (
            [rms_error(REAL, SCALE * np.array(CODES)) / SCALE],
            "The zero point is subtracted from the codes, before the scale.",
        ),
        rtol=0.006,
    ):
        return wrong
    return slip(
        pair,
        ((error, snr_db * np.log(10)), "The logarithm is the one to base 10."),
        ((error, snr_db / 10), "The logarithm alone; dB are 10 times that."),
        ((error * SCALE, snr_db), "In the unit of the numbers; for steps divide it by the scale."),
        ((error, snr_db / 2), "A ratio of squares takes 10 times the logarithm, not 5."),
        ((error, 2 * snr_db), "A ratio of squares takes 10 times the logarithm, not 20."),
        ((error, -snr_db), "Signal to noise: the signal stands above the line."),
        ((error, 10 ** (snr_db / 10)), "That is the ratio; dB are 10 times its logarithm."),
        ((snr_db, error), "The steps come first, then the decibels."),
        rtol=0.02,
    )


@exercise(
    "`kept_in_float(SAVED_MODEL, nodes)`, and `nodes` is what `tensors_of` gives for the stem.",
    "One float operator, a QUANTIZE behind it, and integers from there to the softmax.",
)
def check_stem_in_float(answer: object) -> bool | str:
    """Exercise 11.7: the content of a ds_cnn file in which only the stem is in float."""
    table = tables.operators(content_in(answer))
    table = table[~table["operator"].isin(layer_errors.MOVERS)]
    if "DEPTHWISE_CONV_2D" not in table["operator"].tolist():
        return "This file is not the depthwise-separable network."
    if not table["float"].iloc[0]:
        return "The first convolution is quantized like all others: did the name match?"
    if rest := int(table["float"].iloc[1:].sum()):
        return f"In float are {1 + rest} operators; only the first should be."
    return True
