"""The checks of lesson 10 accept right answers, refuse wrong ones, and wait for the rest."""

import numpy as np

from lessons_lib import affine, checks, folding, unseen
from lessons_lib.course.checks import lesson10
from verdicts import Answers, class_of_tests


def fold(kernel, bias, gamma, beta, mean, variance, epsilon):
    factor = gamma / np.sqrt(variance + epsilon)
    return kernel * factor, (bias - mean) * factor + beta


def fold_in_float32(kernel, *others):
    return [part.astype(np.float32) for part in fold(kernel, *others)]


def fold_by_channel(kernel, bias, gamma, beta, mean, variance, epsilon):
    weights, offsets = np.zeros(kernel.shape), []
    bias = np.broadcast_to(bias, gamma.shape)
    for k in range(len(gamma)):
        f = gamma[k] / (variance[k] + epsilon) ** 0.5
        weights[..., k] = kernel[..., k] * f
        offsets.append(beta[k] + f * bias[k] - f * mean[k])
    return weights, offsets


def fold_by_the_function(kernel, bias, gamma, beta, mean, variance, epsilon):
    """What the layer gives for no input, and for one at a time."""

    def normalized(y):
        return gamma * (y - mean) / np.sqrt(variance + epsilon) + beta

    at_zero = normalized(bias + np.zeros_like(mean))
    return normalized(kernel + bias) - at_zero, at_zero


def folded(weights=lambda w, f: w * f, bias=None, factor=None):
    """A fold with slips: other weights, another bias, another factor."""

    def fold_of(kernel, own, gamma, beta, mean, variance, epsilon):
        f = (factor or (lambda g, v, e: g / np.sqrt(v + e)))(gamma, variance, epsilon)
        offset = bias(own, f, mean, beta) if bias else (own - mean) * f + beta
        return weights(kernel, f), offset

    return fold_of


def folded_with_beta(kernel, bias, gamma, beta, mean, variance, epsilon):
    weights, offset = fold(kernel, bias, gamma, beta, mean, variance, epsilon)
    return weights + beta, offset


def quantize_layer(weights, bias, input_scale):
    axes = tuple(range(weights.ndim - 1))
    scales = np.abs(weights).max(axis=axes) / 127
    codes = np.round(weights / scales).astype(np.int8)
    return codes, np.round(bias / (input_scale * scales)).astype(np.int32), scales


def by_channel(weights, bias, input_scale):
    codes, bias_codes, scales = np.zeros(weights.shape, np.int8), [], []
    for k in range(weights.shape[-1]):
        scales.append(max(weights[..., k].max(), -weights[..., k].min()) / 127)
        codes[..., k] = np.rint(weights[..., k] / scales[-1])
        bias_codes.append(round(float(bias[k]) / (input_scale * scales[-1])))
    return codes, np.int32(bias_codes), scales


def in_double(weights, bias, input_scale):
    return list(quantize_layer(weights.astype(float), bias.astype(float), input_scale))


def with_kept_axes(weights, bias, input_scale):
    scales = affine.per_channel_scale(weights, -1)
    codes = affine.quantize(weights, scales, 0, narrow_range=True)
    return codes, affine.quantize_bias(bias, input_scale, scales), scales


def quantized(scale=None, codes=np.round, step=None, ends=np.round, cast=np.int8, to=np.int32):
    """A quantizer of a layer with slips; the defaults have none."""

    def quantize(weights, bias, input_scale):
        axes = tuple(range(weights.ndim - 1))
        usual = np.abs(weights).max(axis=axes) / 127
        scales = usual if scale is None else scale(weights, axes)
        steps = input_scale * usual if step is None else step(input_scale, usual)
        return codes(weights / scales).astype(cast), ends(bias / steps).astype(to), scales

    return quantize


def cut(array):
    return array


def one_for_all(weights, axes):
    return np.full(weights.shape[-1], np.abs(weights).max() / 127)


def codes_of_one_scale(weights, bias, input_scale):
    _, bias_codes, scales = quantize_layer(weights, bias, input_scale)
    return np.round(weights / np.abs(weights).max() * 127).astype(np.int8), bias_codes, scales


def in_another_order(*given):
    codes, bias_codes, scales = quantize_layer(*given)
    return codes, scales, bias_codes


GAUGE = dict(np.load(unseen.path("10_gauge.npz")))
NAMES = ("kernel", "bias", "gamma", "beta", "mean", "variance", "epsilon")
PLAIN = fold(*(GAUGE[name] for name in NAMES))
DEAD, STILL = 4, 3


def with_floor(least):
    changed = GAUGE | {"variance": np.maximum(GAUGE["variance"], least)}
    return fold(*(changed[name] for name in NAMES))


def mended(weight=0.0, bias=GAUGE["beta"][DEAD], dtype=np.float64):
    weights, offsets = PLAIN[0].astype(dtype), PLAIN[1].astype(dtype)
    weights[:, DEAD], offsets[DEAD] = weight, bias
    return weights, offsets


def moved_into_the_bias():
    """What the still input adds is a constant, for each output."""
    weights, bias = PLAIN
    bias = bias + weights[STILL] * GAUGE["samples"][0, STILL]
    weights = weights.copy()
    weights[STILL] = 0
    return weights, bias


def measured():
    """The bias is what the float layer says on the samples."""
    said = GAUGE["samples"].astype(float) @ PLAIN[0].astype(float) + PLAIN[1]
    return mended(bias=float(said[:, DEAD].mean().round(4)))


def roomy(weights, bias, input_scale):
    usual = np.abs(weights).max(axis=1) / 127
    return np.maximum(usual, np.abs(bias) / (input_scale * 2**30))


def in_float64(weights, bias, input_scale):
    return roomy(weights.astype(np.float64), bias.astype(np.float64), input_scale)


def by_a_loop(weights, bias, input_scale):
    channels = zip(weights, bias, strict=True)
    return [max(max(map(abs, w)) / 127, abs(b) / input_scale / 2**30) for w, b in channels]


def slightly_tight(weights, bias, input_scale):
    return in_float64(weights, bias, input_scale) * (1 - 5e-6)  # its biases reach 2**30 + 5,000


def usual(weights, bias, input_scale):
    return affine.per_channel_scale(weights, 0).ravel()


def for_biases(weights, bias, input_scale):
    return np.abs(bias) / (input_scale * 2**30)


def wasteful(weights, bias, input_scale):
    return np.full(len(bias), roomy(weights, bias, input_scale).max())


def signed(weights, bias, input_scale):
    return np.maximum(usual(weights, bias, input_scale), bias / (input_scale * 2**30))


def column(weights, bias, input_scale):
    return roomy(weights, bias, input_scale)[:, None]


DEPTHWISE = ["block1_depthwise", "block2_depthwise", "block3_depthwise"]
EQUALIZABLE = ["stem", *DEPTHWISE, "block3_pointwise"]

ANSWERS = {
    checks.check_fold: Answers(
        right={
            "two lines": fold,
            "in float32, a list": fold_in_float32,
            "channel by channel": fold_by_channel,
            "by the function itself": fold_by_the_function,
            "by the library": folding.fold_batch_norm,
        },
        wrong={
            "by the variance": (folded(factor=lambda g, v, e: g / (v + e)), "not its root"),
            "no epsilon": (folded(factor=lambda g, v, e: g / np.sqrt(v)), "epsilon is missing"),
            "a late epsilon": (
                folded(factor=lambda g, v, e: g / (np.sqrt(v) + e)),
                "epsilon stands below the root",
            ),
            "divided": (folded(weights=lambda w, f: w / f), "The kernel is multiplied"),
            "kernel as it was": (folded(weights=lambda w, f: w), "it gets the factor, too"),
            "no mean": (folded(bias=lambda b, f, m, t: b * f + t), "The mean is not subtracted"),
            "no beta": (folded(bias=lambda b, f, m, t: (b - m) * f), "beta is missing"),
            "no bias": (folded(bias=lambda b, f, m, t: t - m * f), "own bias is missing"),
            "a bare bias": (folded(bias=lambda b, f, m, t: b - m * f + t), "own bias gets the"),
            "a bare mean": (folded(bias=lambda b, f, m, t: b * f - m + t), "The mean gets the"),
            "added": (folded(bias=lambda b, f, m, t: (b + m) * f + t), "The mean is subtracted"),
            "the bias first": (
                lambda *given: fold(*given)[::-1],
                "weights is (5,); asked is (4, 5)",
            ),
            "bias turned": (folded(bias=lambda b, f, m, t: (m - b) * f + t), "not the other way"),
            "minus beta": (folded(bias=lambda b, f, m, t: (b - m) * f - t), "beta is added"),
            "an early beta": (folded(bias=lambda b, f, m, t: (b - m + t) * f), "is added last"),
            "bias as it was": (folded(bias=lambda b, f, m, t: b + 0 * f), "The bias changes, too"),
            "beta in the weights": (folded_with_beta, "beta goes to the bias"),
            "no gamma": (folded(factor=lambda g, v, e: 1 / np.sqrt(v + e)), "gamma is missing"),
            "a positive gamma": (
                folded(factor=lambda g, v, e: np.abs(g) / np.sqrt(v + e)),
                "gamma may be negative",
            ),
            "times the root": (folded(factor=lambda g, v, e: g * np.sqrt(v + e)), "divide by it"),
            "a column": (
                lambda *given: ((made := fold(*given))[0], made[1][:, None]),
                "shape of the bias is (5, 1); asked is (5,)",
            ),
            "weights alone": (lambda *given: fold(*given)[0], "asked are two arrays"),
            "something else": (folded(bias=lambda b, f, m, t: m + t), "the biases are others"),
            "numbers": ([2.5, -7.5, -3.5], "asked is a function"),
            "raises": (lambda *given: given[0] @ given[0], "raised ValueError"),
        },
    ),
    checks.check_quantize_layer: Answers(
        right={
            "in NumPy": quantize_layer,
            "channel by channel": by_channel,
            "in float64, a list": in_double,
            "by the library": with_kept_axes,
        },
        wrong={
            "one scale": (quantized(one_for_all), "one scale for all"),
            "one scale, alone": (
                quantized(lambda w, axes: np.abs(w).max() / 127),
                "shape of the scales is (); asked is (5,)",
            ),
            "by 128": (quantized(lambda w, a: np.abs(w).max(axis=a) / 128), "gets the code 127"),
            "by 255": (quantized(lambda w, a: np.abs(w).max(axis=a) / 255), "gets the code 127"),
            "no abs": (quantized(lambda w, a: w.max(axis=a) / 127), "largest |weight| below zero"),
            "asymmetric": (quantized(lambda w, a: np.ptp(w, axis=a) / 255), "are symmetric"),
            "not divided": (quantized(lambda w, a: np.abs(w).max(axis=a)), "weight| by 127"),
            "cut off": (quantized(codes=cut), "A cast cuts off: round first"),
            "down": (quantized(codes=np.floor), "not down"),
            "up": (quantized(codes=np.ceil), "not up"),
            "a quotient of scales": (quantized(step=lambda i, w: i / w), "times weight"),
            "always 0.02": (lambda w, b, scale: quantize_layer(w, b, 0.02), "not always 0.02"),
            "not rounded": (quantized(codes=cut, cast=float), "The codes are not rounded"),
            "codes of one scale": (codes_of_one_scale, "codes are made with one scale"),
            "without weight scale": (quantized(step=lambda i, w: i), "input scale times weight"),
            "without input scale": (quantized(step=lambda i, w: w), "input scale is missing"),
            "bias cut off": (quantized(ends=cut), "round the bias first"),
            "bias not rounded": (quantized(ends=cut, to=float), "bias codes are not rounded"),
            "an int8 bias": (
                lambda *given: (
                    (made := quantize_layer(*given))[0],
                    np.clip(made[1], -128, 127).astype(np.int8),
                    made[2],
                ),
                "The bias codes need int32",
            ),
            "wide codes": (quantized(cast=int), "cast to int8"),
            "wide biases": (quantized(to=int), "cast to int32"),
            "another order": (in_another_order, "The scales are others"),
            "two arrays": (lambda *given: quantize_layer(*given)[:2], "asked are three arrays"),
            "an array": (np.zeros(3), "asked is a function"),
        },
    ),
    checks.check_gauge: Answers(
        right={
            "a constant": mended(),
            "in float32, a list": list(mended(dtype=np.float32)),
            "a floor below the variance": with_floor(0.01),
            "the still input moved into the bias": moved_into_the_bias(),
            "the bias measured on the samples": measured(),
            "as nested lists": [part.tolist() for part in mended()],
        },
        wrong={
            "as the formula folds": (PLAIN, "as the formula folds them: too large for 8 bits"),
            "not folded": ((GAUGE["kernel"], GAUGE["bias"]), "outputs are off"),
            "weight gone, bias kept": (mended(bias=PLAIN[1][DEAD]), "output 4 is off by up to 474"),
            "output gone": (mended(bias=0.0), "output 4 is off by up to 0.75"),
            "clipped": (mended(weight=4.0, bias=PLAIN[1][DEAD]), "output 4 is off"),
            "too low a floor": (with_floor(1e-3), "output 4 is off by up to 0.18"),
            "no bias at all": ((PLAIN[0], np.zeros(6)), "outputs are off"),
            "all gone": ((np.zeros((8, 6)), np.zeros(6)), "outputs are off"),
            "not finite": (mended(bias=np.inf), "not finite"),
            "beyond int32": (mended(weight=1e-12, bias=5.0), "more steps than an int32 has"),
            "a column": ((mended()[0], mended()[1][:, None]), "asked is (6,)"),
            "turned": ((PLAIN[0].T, PLAIN[1]), "shape of the weights is (6, 8); asked is (8, 6)"),
            "weights alone": (PLAIN[0], "asked are a pair of arrays"),
            "a function": (fold, "asked are a pair of arrays"),
        },
    ),
    checks.check_roomy_scales: Answers(
        right={"in float32": roomy, "in float64": in_float64, "a list": by_a_loop},
        wrong={
            "the usual ones": (usual, "still needs an integer beyond"),
            "the biases' alone": (for_biases, "clip the weights"),
            "wasteful": (wasteful, "larger than it must be"),
            "signed": (signed, "A negative bias"),
            "room to 2**31": (
                lambda w, b, s: np.maximum(usual(w, b, s), for_biases(w, b, s) / 2),
                "ends at 2**30",
            ),
            "only where no int32 fits": (
                lambda w, b, s: np.where(
                    for_biases(w, b, s) > 2 * usual(w, b, s), for_biases(w, b, s), usual(w, b, s)
                ),
                "ends at 2**30",
            ),
            "a sum": (lambda w, b, s: usual(w, b, s) + for_biases(w, b, s), "not their sum"),
            "the smaller": (
                lambda w, b, s: np.minimum(usual(w, b, s), for_biases(w, b, s)),
                "not the smaller",
            ),
            "without the input scale": (
                lambda w, b, s: np.maximum(usual(w, b, s), np.abs(b) / 2**30),
                "input scale times",
            ),
            "slightly tight": (slightly_tight, "A scale is too small"),
            "a column": (column, "shape (6, 1)"),
            "a number": (0.1, "asked is a function"),
            "texts": (lambda *given: ["0.1"] * 6, "returns a list of 6; asked is one scale"),
            "raises": (lambda *given: given[0] @ given[1], "raised ValueError"),
        },
    ),
    checks.check_equalizable: Answers(
        right={
            "a list": EQUALIZABLE,
            "a set": set(EQUALIZABLE),
            "an array": np.array(EQUALIZABLE),
            "one of them twice": (*EQUALIZABLE, "stem"),
        },
        wrong={
            "an output that is added": ([*EQUALIZABLE, "block1_pointwise"], "block1_pointwise ent"),
            "the last": ([*EQUALIZABLE, "probabilities"], "No layer follows"),
            "one too few": (EQUALIZABLE[1:], "1 more may be"),
            "a pool": ([*EQUALIZABLE, "average"], "average is no layer of NAMES"),
            "capitals": ([name.upper() for name in EQUALIZABLE], "STEM is no layer of NAMES"),
            "one name": ("stem", "4 more may be"),
            "places": ([0, 1, 3, 5, 6], "is no layer of NAMES"),
            "pairs": ([(name, "the next") for name in EQUALIZABLE], "of each pair only the first"),
            "a number": (3, "asked is a list of names"),
            "none": ([], "5 more may be"),
        },
    ),
}

TestAnswers = class_of_tests(ANSWERS)


def test_the_unseen_layer_has_what_it_hides():
    """One channel without variance, that reads one input without movement; int8 cannot hold it."""
    assert (np.ptp(GAUGE["samples"], axis=0) == 0).nonzero()[0].tolist() == [STILL]
    assert (GAUGE["variance"] < 0.1).nonzero()[0].tolist() == [DEAD]
    assert GAUGE["kernel"][:, DEAD].nonzero()[0].tolist() == [STILL]
    largest = np.abs(PLAIN[0]).max(axis=0)
    assert largest[DEAD] > 200 * np.delete(largest, DEAD).max()
    layer, x = lesson10._gauge(), lesson10._gauge_inputs()
    said = lesson10._as_float(layer, x)
    np.testing.assert_allclose(said[:, DEAD], layer["beta"][DEAD])
    np.testing.assert_allclose(said, x @ PLAIN[0].astype(float) + PLAIN[1], atol=1e-3)  # in float
    off = np.abs(lesson10._as_int8(*PLAIN, x) - said).max(axis=0)
    assert off[DEAD] > 1.5
    assert np.delete(off, DEAD).max() < 0.1
