"""The checks of lesson 10, Quantize a whole model by hand."""

import functools

import numpy as np

from lessons_lib.course.checks._answers import Remark, array_in, call, describe, slip
from lessons_lib.course.checks._verdict import exercise
from lessons_lib.errors import InputError
from lessons_lib.models import unseen
from lessons_lib.numbers import affine
from lessons_lib.numbers.folding import fold_batch_norm

_FLOAT32 = 1e-6  # relative: what a few roundings to float32 may add up to
# Layers of ds_cnn whose channels only the next layer reads, ReLU or a mean between them.
_EQUALIZABLE = {"stem", "block1_depthwise", "block2_depthwise", "block3_depthwise"}
_EQUALIZABLE |= {"block3_pointwise"}
_BRANCHES = {"block1_pointwise", "block2_pointwise"}  # both enter the residual addition
_LAST = "probabilities"
_NAMES = _EQUALIZABLE | _BRANCHES | {_LAST}


@exercise(
    "factor = gamma / sqrt(variance + epsilon); the kernel times the factor, and "
    "(bias - mean) * factor + beta. Return both, the weights first.",
    "A factor and an offset for each channel: nothing is left of the normalization.",
)
def check_fold(folding: object) -> bool | str:
    """Exercise 10.1: a function of kernel and normalization, channels last, to weights and bias."""
    for shape, with_bias in (((4, 5), True), ((3, 3, 2, 5), False)):
        layer = _normalized_layer(shape, with_bias)
        result = call(folding, *(np.copy(part) if np.ndim(part) else part for part in layer))
        weights, bias = _parts(result, "two arrays", {"weights": shape, "bias": (5,)})
        right = fold_batch_norm(*layer)
        if _close(weights, right[0]) and _close(bias, right[1]):
            continue
        reason = _slip_of_pair((weights, bias), _other_folds(*layer))
        which = "weights" if not _close(weights, right[0]) else "biases"
        return reason or f"For a kernel of shape {shape} the {which} are others."
    return True


def _normalized_layer(shape: tuple[int, ...], with_bias: bool) -> tuple:
    random = np.random.default_rng(10)
    kernel = random.normal(size=shape)
    bias = random.normal(size=5) if with_bias else 0.0
    gamma, beta, mean = random.uniform(0.5, 2, 5), random.normal(size=5), random.normal(size=5)
    gamma[2] *= -1
    return kernel, bias, gamma, beta, mean, random.uniform(0.05, 3, 5), 0.04


def _other_folds(kernel, bias, gamma, beta, mean, variance, epsilon) -> list[tuple]:
    """What usual slips give, weights and bias, and a remark of each."""
    f = gamma / np.sqrt(variance + epsilon)
    right = kernel * f, (bias - mean) * f + beta
    square, bare, late = (
        gamma / (variance + epsilon),
        gamma / np.sqrt(variance),
        gamma / (np.sqrt(variance) + epsilon),
    )
    return [
        (
            kernel * square,
            (bias - mean) * square + beta,
            "You divide by the variance, not its root.",
        ),
        (kernel * bare, (bias - mean) * bare + beta, "epsilon is missing."),
        (kernel * late, (bias - mean) * late + beta, "epsilon stands below the root."),
        (kernel / f, right[1], "The kernel is multiplied by the factor."),
        (kernel, right[1], "The kernel is as it was: it gets the factor, too."),
        (right[0], bias * f + beta, "The mean is not subtracted."),
        (right[0], (bias - mean) * f, "beta is missing."),
        (right[0], beta - mean * f, "The layer's own bias is missing."),
        (right[0], bias - mean * f + beta, "The layer's own bias gets the factor, too."),
        (right[0], bias * f - mean + beta, "The mean gets the factor, too."),
        (right[0], (bias + mean) * f + beta, "The mean is subtracted."),
        (right[0], (mean - bias) * f + beta, "The bias minus the mean, not the other way."),
        (right[0], (bias - mean) * f - beta, "beta is added."),
        (right[0], (bias - mean + beta) * f, "beta is added last, without the factor."),
        (right[0], bias + 0 * f, "The bias changes, too: (bias - mean) * factor + beta."),
        (right[0], bias + beta, "The bias changes, too: (bias - mean) * factor + beta."),
        (kernel * f + beta, right[1], "The weights get the factor alone; beta goes to the bias."),
        ((kernel - mean) * f, right[1], "The weights get the factor alone; the bias the mean."),
        (kernel * f / gamma, (bias - mean) * f / gamma + beta, "gamma is missing."),
        (kernel * np.abs(f), (bias - mean) * np.abs(f) + beta, "gamma may be negative."),
        (
            kernel * gamma**2 / f,
            (bias - mean) * gamma**2 / f + beta,
            "You multiply by the root; divide by it.",
        ),
    ]


def quantize_layer(weights, bias, input_scale) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return int8 codes, int32 bias codes and the scale of each channel of one layer.

    ``weights``: real numbers, channels last; ``bias`` (channels,); ``input_scale`` a number.
    """
    scales = affine.per_channel_scale(weights, -1)
    codes = affine.quantize(weights, scales, 0, narrow_range=True)
    return codes, affine.quantize_bias(bias, input_scale, scales), scales.ravel()


@exercise(
    "for each channel, the last axis: scale = largest |weight| / 127; codes = round(weights / "
    "scale), int8; bias codes = round(bias / (input_scale * scale)), int32.",
    "These are the converter's own formulas for weights and biases.",
)
def check_quantize_layer(quantizing: object) -> bool | str:
    """Exercise 10.2: a function of weights, bias, input scale to codes, bias codes and scales."""
    for shape, input_scale in (((6, 5), 0.02), ((3, 3, 2, 5), 0.0078)):
        random = np.random.default_rng(102)
        weights = random.normal(size=shape) * [0.02, 1, 0.3, 4, 0.7]
        weights[..., 2] = -np.abs(weights[..., 2])  # a channel without a positive weight
        weights, bias = np.float32(weights), np.float32(random.normal(size=5))
        result = call(quantizing, weights.copy(), bias.copy(), input_scale)
        asked = {"codes": shape, "bias codes": (5,), "scales": (5,)}
        parts = _parts(result, "three arrays", asked)
        if reason := _wrong_layer(parts, weights, bias, input_scale):
            return reason
    return True


def _wrong_layer(
    parts: list[np.ndarray], weights: np.ndarray, bias: np.ndarray, input_scale: float
) -> str:
    codes, bias_codes, scales = parts
    right_codes, right_bias, right_scales = quantize_layer(weights, bias, input_scale)
    largest, axes = np.abs(weights).max(), tuple(range(weights.ndim - 1))
    one, tall = np.full(5, largest / 127), np.abs(weights).max(axis=axes)
    if not _close(scales, right_scales):
        known = slip(
            scales,
            (
                one,
                np.full(5, largest / 128),
                "That is one scale for all; each channel has its own.",
            ),
            (tall / 128, tall / 255, tall * 2 / 255, "The largest |weight| gets the code 127."),
            (weights.max(axis=axes) / 127, "A channel may have its largest |weight| below zero."),
            (np.ptp(weights, axis=axes) / 255, "Weights are symmetric: zero point 0, -127 to 127."),
            (input_scale * right_scales, "These are the bias's scales; asked are the weights'."),
            (tall, "Divide the largest |weight| by 127."),
        )
        return known or "The scales are others: the largest |weight| of each channel / 127."
    if np.abs(codes - right_codes.astype(float)).max() > 0:
        exact = weights / right_scales
        for wrong, remark in (
            (np.trunc(exact), "A cast cuts off: round first."),
            (np.floor(exact), "Round to the nearest, not down."),
            (np.ceil(exact), "Round to the nearest, not up."),
            (exact, "The codes are not rounded."),
            (np.rint(weights / one), "The codes are made with one scale for all."),
        ):
            if np.mean(np.abs(codes - wrong) < 1e-3) > 0.9:  # a largest weight may go either way
                return remark
        return "The codes are others: round(weights / scale)."
    exact = bias / (input_scale * right_scales.astype(float))
    if np.abs(bias_codes - right_bias.astype(float)).max() > 0:
        known = slip(
            bias_codes,
            (
                np.rint(bias / input_scale),
                bias / input_scale,
                np.rint(bias / (input_scale / right_scales)),
                np.rint(bias / (right_scales / input_scale)),
                np.rint(bias / (input_scale + right_scales)),
                "The bias's step is input scale times weight scale.",
            ),
            (np.rint(bias / right_scales), "The input scale is missing in the bias's step."),
            (np.clip(right_bias, -128, 127), np.clip(right_bias, -127, 127), _BIAS_TYPE),
            (np.trunc(exact), "A cast cuts off: round the bias first."),
            (exact, "The bias codes are not rounded."),
            (right_bias.astype(np.int8), right_bias.astype(np.int16), _BIAS_TYPE),
            (np.rint(bias / (np.abs(bias).max() / 127)), "The bias has no scale of its own."),
            (np.rint(bias / 0.02 / right_scales), "The input scale is given, not always 0.02."),
            rtol=1e-6,
        )
        return known or "The bias codes are others: round(bias / (input_scale * scale))."
    for name, found, dtype in (("codes", codes, np.int8), ("bias codes", bias_codes, np.int32)):
        if found.dtype != dtype:
            return f"The {name} are right, their dtype is {found.dtype}: cast to {np.dtype(dtype)}."
    return ""


_BIAS_TYPE = "The bias codes need int32: they are not clipped to 8 bits."
_GAUGE = "10_gauge.npz"


@exercise(
    "compare variance and folded weights channel by channel, and the inputs that this channel "
    "reads. What does the float layer say there, on every sample? A bias alone can say that.",
    "A channel without variance is a constant: the bias holds it, and nothing explodes.",
)
def check_gauge(pair: object) -> bool | str:
    """Exercise 10.3: weights (8, 6) and bias (6,) whose int8 layer says what the float one does."""
    asked = {"weights": (8, 6), "bias": (6,)}
    weights, bias = _parts(pair, "a pair of arrays", asked, "Your answer is")
    if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
        return "There are numbers that are not finite."
    layer, x = _gauge(), _gauge_inputs()
    right, found = _as_float(layer, x), _as_int8(weights, bias, x)
    if isinstance(found, str):
        return found
    off, most = np.abs(found - right).max(axis=0), _MOST_OFF * np.ptp(right, axis=0).max()
    output = int(np.argmax(off))
    if off[output] <= most:
        return True
    plain = fold_batch_norm(*(layer[name] for name in _LAYER))
    why = ""
    if _close(weights, plain[0]) and _close(bias, plain[1]):
        why = (
            " These are the weights as the formula folds them: too large for 8 bits in one output."
        )
    elif np.count_nonzero(off > most) > 1:
        why = f" {np.count_nonzero(off > most)} outputs are off: most need no mending."
    says = f"In int8 output {output} is off by up to {off[output]:.2f} on hidden inputs"
    return f"{says}; at most {most:.2f} is asked.{why}"


_LAYER = ("kernel", "bias", "gamma", "beta", "mean", "variance", "epsilon")
_MOST_OFF = 0.02  # of the largest output's range


@functools.cache
def _gauge() -> dict[str, np.ndarray]:
    with np.load(unseen.path(_GAUGE)) as stored:
        return {name: stored[name].astype(np.float64) for name in stored.files}


def _gauge_inputs() -> np.ndarray:
    """Inputs as the samples are, (400, 8): what does not move in these does not move here."""
    samples = _gauge()["samples"]
    x = np.random.default_rng(103).uniform(0, 1, (400, samples.shape[1]))
    still = np.ptp(samples, axis=0) == 0
    x[:, still] = samples[0, still]
    return x


def _as_float(layer: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    y = x @ layer["kernel"] + layer["bias"] - layer["mean"]
    return y * layer["gamma"] / np.sqrt(layer["variance"] + layer["epsilon"]) + layer["beta"]


def _as_int8(weights: np.ndarray, bias: np.ndarray, x: np.ndarray) -> np.ndarray | str:
    """What an int8 layer says, in real numbers, for inputs from 0 to 1; a sentence if it cannot."""
    scale, zero_point = affine.scale_zero_point(0.0, 1.0)
    try:
        codes, bias_codes, scales = quantize_layer(np.float32(weights), np.float32(bias), scale)
    except InputError:
        return "The bias of an output needs more steps than an int32 has."
    steps = affine.quantize(x, scale, zero_point).astype(int) - zero_point
    return (steps @ codes.astype(int) + bias_codes) * (scale * scales.astype(float))


def _parts(
    result: object,
    arrays: str,
    shapes: dict[str, tuple[int, ...]],
    subject: str = "Your function returns",
) -> list[np.ndarray]:
    """The arrays in a tuple or list, in these shapes, axes of length 1 aside; else a Remark."""
    asked = f"{arrays}: {', '.join(shapes)}"
    if not isinstance(result, tuple | list) or len(result) != len(shapes):
        raise Remark(f"{subject} {describe(result)}; asked are {asked}.")
    found = []
    for part, (name, shape) in zip(result, shapes.items(), strict=True):
        array = array_in(part, asked, f"{subject} a {type(result).__name__} with")
        squeezed = np.squeeze(array).shape
        if squeezed != np.squeeze(np.empty(shape)).shape or array.shape[-1] != shape[-1]:
            raise Remark(f"The shape of the {name} is {array.shape}; asked is {shape}.")
        found.append(array.reshape(shape))
    return found


def _close(found: np.ndarray, right: np.ndarray) -> bool:
    return np.allclose(found, right, rtol=1e-5, atol=1e-7)


def _slip_of_pair(found: tuple, known: list[tuple]) -> str:
    """The remark of the slip that gives this weights and this bias."""
    for weights, bias, remark in known:
        if _close(found[0], weights) and _close(found[1], bias):
            return remark
    return ""


_ROOM = "The room ends at 2**30: a bias of more does fit an int32, and gets a larger scale, too."


@exercise(
    "for each channel take the larger of two scales: max|w| / 127, and the one for which "
    "|bias| / (input_scale * scale) is 2**30.",
    "The converter's own rule: a channel that is nearly switched off keeps its bias.",
)
def check_roomy_scales(scales_of: object) -> bool | str:
    """Exercise 10.4: a function of weights, biases and input scale to one scale a channel."""
    random = np.random.default_rng(10)
    weights = random.normal(size=(6, 9)).astype(np.float32)
    weights *= np.float32([1, 1e-8, 0.2, 1e-9, 3e-7, 5])[:, None]
    bias = np.float32([0.5, 0.3, 0.0, -0.7, 1e-3, -4.0])
    # One that fits into an int32, but needs more than 2**30.
    bias[4] = 1.5 * 2.0**30 * 0.004 * np.abs(weights[4]).max() / 127
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
        (np.where(needed < 2 * usual, usual, expected), _ROOM),
        (np.maximum(usual, needed / 2), _ROOM),
        (usual + needed, "The larger of the two scales, not their sum."),
        (np.minimum(usual, needed), "The larger of the two scales, not the smaller."),
        (np.maximum(usual, needed * 0.004), "The bias's step is the input scale times this one."),
        (0.004 * expected, "These are the scales of the bias; asked are the weights'."),
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
    """Exercise 10.5: the names of layers of ds_cnn, a collection of strings."""
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
