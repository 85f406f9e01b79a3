"""Operators that make one number of many: the mean, the product, the largest, its place."""

import numpy as np

from lessons_lib.errors import ModelFileError
from lessons_lib.numbers import affine, fixed_point
from lessons_lib.numbers.fixed_point import double_rounding
from lessons_lib.run.engine.integer_graph import LITERT, Operator
from lessons_lib.run.engine.rescaling import clip, filled, float32_ratio


def _axes(x, axes) -> tuple[int, ...]:
    return tuple(sorted({int(axis) % x.ndim for axis in np.ravel(axes)}))


def mean(op: Operator, x, axes):
    """MEAN: the division by the number of elements becomes part of the multiplier."""
    axes, keep = _axes(x, axes), bool(op.options.keepDims)
    count = int(np.prod([x.shape[axis] for axis in axes]))
    sums = x.sum(axis=axes, keepdims=keep, dtype=np.int64)
    if op.by_xnnpack:
        return _mean_xnnpack(op, sums, count)
    if op.kernels == "builtin" and keep and axes == (1, 2) and x.ndim == 4 and x.dtype != np.int16:
        return _mean_builtin(op, sums, count)
    scaled = double_rounding(sums - op.input.zero_point * count, *divided(op, count))
    return clip(op, scaled + op.output.zero_point)


def divided(op: Operator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the operator's multiplier and shift divided by ``count``, with as many bits."""
    multiplier, shift = op.multiplier_shift
    bits = np.minimum(count.bit_length() - 1, 31 + shift)
    return (multiplier << bits) // count, shift - bits


def _mean_xnnpack(op: Operator, sums, count: int):
    """In float32; the zero points become one offset, and are part of what is rounded."""
    ratio = float32_ratio(op) * (np.float32(1) / np.float32(count))
    offset = np.float32(op.output.zero_point) - np.float32(op.input.zero_point * count) * ratio
    return clip(op, np.rint(sums.astype(np.float32) * ratio + offset))


def _mean_builtin(op: Operator, sums, count: int):
    """The zero points become one bias; vectors of 16 channels round otherwise than the rest."""
    scale, output_scale = op.input.scale[0], op.output.scale[0]
    offset = affine.round_half_away(np.float32(op.input.zero_point) * scale / output_scale)
    ratio = fixed_point.multiplier_shift(float(scale / (np.float32(count) * output_scale)))
    scaled = double_rounding(sums, *ratio, ties_up=filled(16, sums.shape[-1]))
    return clip(op, scaled + op.output.zero_point - int(offset))


def reduce_extreme(op: Operator, x, axes):
    """REDUCE_MAX and REDUCE_MIN: both sides have one scale, so codes are compared as they are."""
    if not op.input.same_codes(op.output):
        raise ModelFileError(f"{op.name} to another scale: {LITERT} (lesson 09)")
    extreme = np.max if op.name == "REDUCE_MAX" else np.min
    return extreme(x, axis=_axes(x, axes), keepdims=bool(op.options.keepDims))


def arg_extreme(op: Operator, x, axis):
    """ARG_MAX and ARG_MIN: the place of the first of the largest."""
    place = np.argmax if op.name == "ARG_MAX" else np.argmin
    return place(x, axis=int(np.ravel(axis)[0])).astype(op.output.dtype)


def reduce_prod(op: Operator, x, axes):
    """REDUCE_PROD of the dimensions of a shape."""
    return np.prod(x, axis=_axes(x, axes), keepdims=bool(op.options.keepDims), dtype=x.dtype)
