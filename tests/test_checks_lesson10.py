"""The checks of lesson 10 accept right answers, refuse wrong ones, and wait for the rest."""

import re

import numpy as np
import pytest

import verdicts
from lessons_lib import affine, checks, models


def roomy(weights, bias, input_scale):
    usual = np.abs(weights).max(axis=1) / 127
    return np.maximum(usual, np.abs(bias) / (input_scale * 2**30))


def exact(weights, bias, input_scale):
    return roomy(weights.astype(np.float64), bias.astype(np.float64), input_scale)


def slightly_tight(weights, bias, input_scale):
    return exact(weights, bias, input_scale) * (1 - 5e-6)  # its biases reach 2**30 + 5,000


def usual(weights, bias, input_scale):
    return affine.per_channel_scale(weights, 0).ravel()


def wasteful(weights, bias, input_scale):
    return np.full(len(bias), roomy(weights, bias, input_scale).max())


def signed(weights, bias, input_scale):
    return np.maximum(usual(weights, bias, input_scale), bias / (input_scale * 2**30))


def column(weights, bias, input_scale):
    return roomy(weights, bias, input_scale)[:, None]


DEPTHWISE = ["block1_depthwise", "block2_depthwise", "block3_depthwise"]
EQUALIZABLE = ["stem", *DEPTHWISE, "block3_pointwise"]
RIGHT = [
    (checks.check_fold, [2.5, -7.5, -3.5]),
    (checks.check_fold, np.array([2.5, -7.5, -3.5])),
    (checks.check_roomy_scales, roomy),
    (checks.check_roomy_scales, exact),
    (checks.check_equalizable, EQUALIZABLE),
    (checks.check_equalizable, set(EQUALIZABLE)),
]
WRONG = [
    (checks.check_fold, [2.5, -7.5, 0.0]),
    (checks.check_fold, [6.25, -18.75, -7.25]),  # divided by the variance
    (checks.check_fold, [2.5, -7.5]),
    (checks.check_fold, "2.5"),
    (checks.check_roomy_scales, usual),
    (checks.check_roomy_scales, wasteful),
    (checks.check_roomy_scales, signed),
    (checks.check_roomy_scales, slightly_tight),
    (checks.check_roomy_scales, column),
    (checks.check_roomy_scales, 0.1),
    (checks.check_equalizable, [*EQUALIZABLE, "block1_pointwise"]),
    (checks.check_equalizable, [*EQUALIZABLE, "probabilities"]),
    (checks.check_equalizable, EQUALIZABLE[:-1]),
    (checks.check_equalizable, [*EQUALIZABLE, "average"]),
    (checks.check_equalizable, "stem"),
    (checks.check_equalizable, 3),
    (checks.check_equalizable, [0, 1, 3, 5, 6]),
    (checks.check_equalizable, [(name, "the next") for name in EQUALIZABLE]),
]
TestAnswers = verdicts.class_of_tests(RIGHT, WRONG)


@pytest.mark.parametrize(
    ("check", "answer", "named"),
    [
        (checks.check_fold, [6.25, -18.75, -7.25], "square root"),
        (checks.check_roomy_scales, usual, "still needs an integer beyond"),
        (checks.check_roomy_scales, wasteful, "larger than it must be"),
        (checks.check_roomy_scales, column, r"shape \(6, 1\)"),
        (checks.check_equalizable, [*EQUALIZABLE, "block2_pointwise"], "block2_pointwise enters"),
        (checks.check_equalizable, EQUALIZABLE[1:], "1 more may be"),
        (checks.check_equalizable, [*EQUALIZABLE, "blok3"], "blok3 is no layer of NAMES"),
        (checks.check_equalizable, [name.upper() for name in EQUALIZABLE], "is no layer of NAMES"),
        (checks.check_equalizable, [0, 1, 3, 5, 6], "0 is no layer of NAMES"),
        (checks.check_equalizable, [*EQUALIZABLE, "probabilities"], "No layer follows"),
    ],
)
def test_a_wrong_answer_is_told_what_is_wrong(check, answer, named):
    verdict = check(answer)
    assert verdict.state == "not yet"
    assert re.search(named, verdict.message)


def test_10_3_knows_the_layers_of_ds_cnn():
    names = [layer.name for layer in models.build("ds_cnn").layers if hasattr(layer, "kernel")]
    others = {"block1_pointwise", "block2_pointwise", "probabilities"}
    assert set(EQUALIZABLE) == set(names) - others
