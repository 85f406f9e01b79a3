"""The checks of lesson 10 accept right answers, refuse wrong ones, and wait for the rest."""

import numpy as np

from lessons_lib import affine, checks, folding
from verdicts import Answers, class_of_tests


def lessons_fold(kernel, bias, gamma, beta, mean, variance, epsilon):
    factor = gamma / np.sqrt(variance + epsilon)
    return kernel * factor, (bias - mean) * factor + beta


CHANNEL = (2.0, -1.0, 0.7, 0.16, 0.0)  # gamma, beta, mean, variance, epsilon
KERNEL = np.array([[0.5], [-1.5]])


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
            "a list": [2.5, -7.5, -3.5],
            "an array": np.array([2.5, -7.5, -3.5]),
            "a pair": ([2.5, -7.5], -3.5),
            "what the lesson's function returns": lessons_fold(KERNEL, 0.2, *CHANNEL),
            "what the library's returns": folding.fold_batch_norm(KERNEL, 0.2, *CHANNEL),
        },
        wrong={
            "by the variance": ([6.25, -18.75, -7.25], "divided by the variance"),
            "no mean": ([2.5, -7.5, 0.0], "The mean is not subtracted"),
            "no beta": ([2.5, -7.5, -2.5], "Beta is missing"),
            "no bias": ([2.5, -7.5, -4.5], "own bias is missing"),
            "the bias first": ([-3.5, 2.5, -7.5], "The weights come first"),
            "no bias at all": ([2.5, -7.5], "holds 2 numbers; 3 are asked"),
            "a text": ("2.5", "holds 1 number"),
            "a function": (lessons_fold, "holds a function"),
            "a dict": ({"weights": [2.5, -7.5], "bias": -3.5}, "holds a dict of 2"),
        },
    ),
    checks.check_roomy_scales: Answers(
        right={"in float32": roomy, "in float64": in_float64, "a list": by_a_loop},
        wrong={
            "the usual ones": (usual, "still needs an integer beyond"),
            "the biases' alone": (for_biases, "clip the weights"),
            "wasteful": (wasteful, "larger than it must be"),
            "signed": (signed, "A negative bias"),
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
