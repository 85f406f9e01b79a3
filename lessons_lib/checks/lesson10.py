"""The checks of lesson 10, Quantize a whole model by hand."""

from typing import Any

import numpy as np

from lessons_lib import affine, folding
from lessons_lib.checks._verdict import Verdict, report

_FLOAT32 = 1e-6  # relative: what a few roundings to float32 may add up to
# Layers of ds_cnn whose channels only the next layer reads, ReLU or a mean between them.
_EQUALIZABLE = {"stem", "block1_depthwise", "block2_depthwise", "block3_depthwise"}
_EQUALIZABLE |= {"block3_pointwise"}
_BRANCHES = {"block1_pointwise", "block2_pointwise"}  # both enter the residual addition
_LAST = "probabilities"
_NAMES = _EQUALIZABLE | _BRANCHES | {_LAST}


def check_fold(answer: Any) -> Verdict:
    """Check exercise 10.1: two folded weights and a folded bias, three numbers."""
    kernel, bias = folding.fold_batch_norm([[0.5], [-1.5]], 0.2, 2.0, -1.0, 0.7, 0.16, 0.0)
    expected = [*kernel.ravel(), *bias]

    def passed(numbers):
        numbers = np.asarray(numbers, dtype=float).ravel()
        if numbers.size == 3 and np.allclose(numbers[:2] * 0.4, expected[:2]):
            return "You divided by the variance; the formula has its square root."
        return numbers.size == 3 and np.allclose(numbers, expected, atol=1e-3)

    return report(
        "10.1",
        answer,
        passed,
        "f = gamma / sqrt(variance + epsilon); the weights times f, and (bias - mean) * f + beta.",
        "f = 2 / 0.4 = 5. The bias was below the mean, so it is pushed further down.",
    )


def check_roomy_scales(answer: Any) -> Verdict:
    """Check exercise 10.2: a function of weights, biases and input scale to one scale a channel."""
    return report(
        "10.2",
        answer,
        _roomy,
        "for each channel take the larger of two scales: max|w| / 127, and the one for which "
        "|bias| / (input_scale * scale) is 2**30.",
        "The converter's own rule: a channel that is nearly switched off keeps its bias.",
    )


def _roomy(scales_of) -> bool | str:
    """True, or a sentence on what is wrong with the scales."""
    random = np.random.default_rng(10)
    weights = random.normal(size=(6, 9)).astype(np.float32)
    weights *= np.float32([1, 1e-8, 0.2, 1e-9, 3e-7, 5])[:, None]
    bias = np.float32([0.5, 0.3, 0.0, -0.7, 1e-3, -4.0])
    scales = np.asarray(scales_of(weights.copy(), bias.copy(), 0.004), dtype=float)
    if scales.shape != (6,):
        return f"The result has shape {scales.shape}; expected one scale a channel, (6,)."
    usual = affine.per_channel_scale(weights, 0).ravel()
    expected = np.maximum(usual, np.abs(bias.astype(np.float64)) / (0.004 * 2.0**30))
    if np.any(scales < expected * (1 - _FLOAT32)) and np.allclose(scales, usual):
        return "These are the usual scales; a bias still needs an integer beyond 2**30."
    if np.any(scales > expected * (1 + _FLOAT32)):
        return "A scale is larger than it must be: its channel loses precision for nothing."
    return np.allclose(scales, expected, rtol=_FLOAT32, atol=0)


def check_equalizable(answer: Any) -> Verdict:
    """Check exercise 10.3: the names of layers of ds_cnn, a collection of strings."""

    def passed(names):
        names = {names} if isinstance(names, str) else set(names)
        if unknown := sorted(str(name) for name in names - _NAMES):
            return f"{unknown[0]} is no layer of NAMES."
        if branches := sorted(names & _BRANCHES):
            return (
                f"{branches[0]} enters the residual addition: another branch reads or adds to it."
            )
        if _LAST in names:
            return f"No layer follows {_LAST}, only softmax."
        missing = _EQUALIZABLE - names
        return f"{len(missing)} more may be equalized." if missing else True

    return report(
        "10.3",
        answer,
        passed,
        "take each layer of NAMES but the last, and ask who reads its output: only the next "
        "layer, or the residual connection as well?",
        "All but the two layers whose outputs are added: these would need a common factor.",
    )
