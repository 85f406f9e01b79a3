"""The checks of lesson 10, Quantize a whole model by hand."""

import numpy as np

from lessons_lib.course.checks._answers import Remark, array_in, call, compare, describe, slip
from lessons_lib.course.checks._verdict import exercise
from lessons_lib.numbers import affine

_FLOAT32 = 1e-6  # relative: what a few roundings to float32 may add up to
# Layers of ds_cnn whose channels only the next layer reads, ReLU or a mean between them.
_EQUALIZABLE = {"stem", "block1_depthwise", "block2_depthwise", "block3_depthwise"}
_EQUALIZABLE |= {"block3_pointwise"}
_BRANCHES = {"block1_pointwise", "block2_pointwise"}  # both enter the residual addition
_LAST = "probabilities"
_NAMES = _EQUALIZABLE | _BRANCHES | {_LAST}


@exercise(
    "f = gamma / sqrt(variance + epsilon); the weights times f, and (bias - mean) * f + beta.",
    "f = 2 / 0.4 = 5. The bias was below the mean, so it is pushed further down.",
)
def check_fold(numbers: object) -> bool | str:
    """Exercise 10.1: two folded weights and a folded bias, three numbers, nested or not."""
    return compare(
        numbers,
        [2.5, -7.5, -3.5],
        ([6.25, -18.75, -7.25], "You divided by the variance; the formula has its root."),
        ([2.5, -7.5, 0], "The mean is not subtracted."),
        ([2.5, -7.5, -2.5], "Beta is missing in the bias."),
        ([2.5, -7.5, -4.5], "The layer's own bias is missing."),
        ([-3.5, 2.5, -7.5], "The weights come first, then the bias."),
        rtol=1e-5,
        atol=1e-3,
    )


@exercise(
    "for each channel take the larger of two scales: max|w| / 127, and the one for which "
    "|bias| / (input_scale * scale) is 2**30.",
    "The converter's own rule: a channel that is nearly switched off keeps its bias.",
)
def check_roomy_scales(scales_of: object) -> bool | str:
    """Exercise 10.2: a function of weights, biases and input scale to one scale a channel."""
    random = np.random.default_rng(10)
    weights = random.normal(size=(6, 9)).astype(np.float32)
    weights *= np.float32([1, 1e-8, 0.2, 1e-9, 3e-7, 5])[:, None]
    bias = np.float32([0.5, 0.3, 0.0, -0.7, 1e-3, -4.0])
    result = call(scales_of, weights.copy(), bias.copy(), 0.004)
    scales = array_in(result, "one scale a channel, (6,)").astype(float)
    if scales.shape != (6,):
        return f"The result has shape {scales.shape}; expected one scale a channel, (6,)."
    usual = affine.per_channel_scale(weights, 0).ravel()
    needed = np.abs(bias.astype(np.float64)) / (0.004 * 2.0**30)
    expected = np.maximum(usual, needed)
    if known := slip(
        scales,
        (usual, "These are the usual scales; a bias still needs an integer beyond 2**30."),
        (needed, "These leave room for the biases and clip the weights: the larger one counts."),
        (np.where(bias < 0, usual, expected), "A negative bias needs its room as well."),
        rtol=_FLOAT32,
        atol=0,
    ):
        return known
    if np.any(scales > expected * (1 + _FLOAT32)):
        return "A scale is larger than it must be: its channel loses precision for nothing."
    if np.any(scales < expected * (1 - _FLOAT32)):
        return "A scale is too small: its bias goes beyond 2**30, or a weight is clipped."
    return np.isfinite(scales).all()


@exercise(
    "take each layer of NAMES but the last, and ask who reads its output: only the next "
    "layer, or the residual connection as well?",
    "All but the two layers whose outputs are added: these would need a common factor.",
)
def check_equalizable(answer: object) -> bool | str:
    """Exercise 10.3: the names of layers of ds_cnn, a collection of strings."""
    if not np.iterable(answer) or isinstance(answer, bytes):
        raise Remark(f"Your answer is {describe(answer)}; asked is a list of names.")
    names = [answer] if isinstance(answer, str) else [*answer]
    if any(isinstance(name, tuple | list) for name in names):
        return "Give of each pair only the first layer's name."
    for name in names:
        if not isinstance(name, str) or name not in _NAMES:
            given = name if isinstance(name, str) else describe(name)
            return f"{given} is no layer of NAMES."
    if branches := sorted(_BRANCHES & {*names}):
        return f"{branches[0]} enters the residual addition: another branch reads or adds to it."
    if _LAST in names:
        return f"No layer follows {_LAST}, only softmax."
    missing = _EQUALIZABLE - {*names}
    return f"{len(missing)} more may be equalized." if missing else True
