"""From an accumulator back to a code: where the runtimes differ.

Sums are exact everywhere, and every runtime multiplies them by the same ratio of scales. How it
rounds is its own: twice or once, ties away from zero or up, in float32, and otherwise in a vector
unit than in the elements that are left over. All of that is here; the operators do not know it.
"""

import numpy as np

from lessons_lib.numbers import affine
from lessons_lib.numbers.fixed_point import double_rounding, wide_rounding
from lessons_lib.run.engine.integer_graph import Operator, Tensor
from lessons_lib.tflite import tables


def centered(tensor: Tensor, x, dtype: type):
    """Return ``x - zero_point``, what the codes stand for in steps of the scale."""
    return np.subtract(x, tensor.zero_point, dtype=dtype)


def finish(op: Operator, sums, bias):
    """The way of every accumulator: add the bias, rescale, add the zero point, clip.

    A row of positions is taken as one long axis, because NumPy is slow where the last is short.
    """
    rows = sums.reshape(*sums.shape[:-2], -1) if sums.ndim == 4 else sums
    if bias is not None:
        rows += spread(bias.astype(sums.dtype), rows)
    return rescaled(op, rows).reshape(sums.shape)


def spread(per_channel: np.ndarray, rows) -> np.ndarray:
    """Repeat one number for each channel along rows of many positions."""
    one = per_channel.size == 1
    return per_channel if one else np.tile(per_channel, rows.shape[-1] // per_channel.size)


def rescaled(op: Operator, sums):
    """The output's codes for ``sums`` in steps of input scale * weight scale."""
    low, high = (bound - op.output.zero_point for bound in op.limits)
    if op.by_xnnpack and op.name in tables.PARAMETERS:
        ratio = spread(float32_ratio(op), sums)
        steps = np.rint(sums.astype(np.float32, copy=False) * ratio)  # ties to even
    else:
        steps = _rounded(op, sums, low, high)
    np.clip(steps, low, high, out=steps)
    steps += op.output.zero_point
    return steps.astype(op.output.dtype)


def float32_ratio(op: Operator) -> np.ndarray:
    """``op.ratio`` as XNNPACK has it: each step rounded to float32."""
    return op.input.scale[0] * op.weight_scale / op.output.scale[0]


def _rounded(op: Operator, sums, low: int, high: int):
    """``sums * ratio`` by an integer rule; floats decide first, wherever no tie is near.

    Rounding twice differs from rounding to the nearest integer only around ties: by the first of
    the two, half a step of 2**-n where n is the shift, and by float32's own error.
    """
    if op.name == "FULLY_CONNECTED" and _in_floats(op):  # of 64 bits, rounded once
        return affine.round_half_away(sums * spread(op.ratio, sums))
    if op.long_sums:
        multiplier, shift = (spread(part, sums) for part in op.multiplier_shift)
        return wide_rounding(sums.astype(np.int64), multiplier, shift)
    multiplier, shift = op.multiplier_shift
    doubt = 2.0 ** (shift.max() - 1) + 2.0**-14
    if sums.dtype == np.int64 or doubt > 1 / 8:
        numbers = spread(multiplier, sums), spread(shift, sums), _ties_up(op, sums)
        return double_rounding(sums.astype(np.int64), *numbers)
    estimate = sums * spread(op.ratio.astype(sums.dtype), sums)
    np.clip(estimate, low, high, out=estimate)
    steps = np.rint(estimate)
    estimate -= steps
    unsure = np.flatnonzero(np.abs(estimate, out=estimate) > 0.5 - doubt)
    near_ties, channel = sums.reshape(-1)[unsure].astype(np.int64), unsure % multiplier.size
    ties_up = np.broadcast_to(_ties_up(op, sums), sums.shape[-1])[unsure % sums.shape[-1]]
    exact = double_rounding(near_ties, multiplier[channel], shift[channel], ties_up)
    steps.reshape(-1)[unsure] = exact
    return steps


def _in_floats(op: Operator) -> bool:
    """Whether a dense layer is rescaled in float64: the reference kernel, and for 64-bit sums."""
    return op.kernels == "reference" or (op.kernels != "tflm" and op.long_sums)


def _ties_up(op: Operator, rows) -> np.ndarray | bool:
    """Where the second rounding sends ties up: what ruy and the vector units compute."""
    if op.kernels not in ("builtin", "xnnpack"):
        return False
    if op.name in ("DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"):
        return not op.asymmetric and spread(filled(8, op.output.shape[-1]), rows)
    if op.name == "QUANTIZE":
        short = op.input.dtype.itemsize == op.output.dtype.itemsize == 1
        return short and in_vectors_of(16, op, rows)
    return op.name in tables.SUMMED_AXES


def in_vectors_of(length: int, op: Operator, x) -> np.ndarray:
    """True for the elements of ``x`` that fill whole vectors in a call of the runtime."""
    several = op.apart and op.call is not None
    size = x.size // len(x) * op.call if several else x.size
    return np.tile(filled(length, size), -(-x.size // size))[: x.size].reshape(x.shape)


def filled(length: int, size: int) -> np.ndarray:
    """True for the elements that fill whole vectors, False for the rest at the end."""
    return np.arange(size) < size // length * length


def clip(op: Operator, values):
    """Clip to what the output can hold, and cast."""
    return values.clip(*op.limits).astype(op.output.dtype)
