"""How a filter or a pool moves over images, and the two pools."""

from functools import reduce

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from lessons_lib.errors import ModelFileError
from lessons_lib.run.engine.integer_graph import LITERT, Operator, require_room
from lessons_lib.run.engine.rescaling import clip

MOST_TAPS = 2**16  # of a filter or pool: a false size must not keep the machine for hours


def padded(op: Operator, x, size: tuple[int, int], value: int):
    """Return ``x`` with a border of ``value``, where the operator pads."""
    if max(size) > MOST_TAPS:
        raise ModelFileError(
            f"{op.name} has a filter of {size[0]} x {size[1]}; the engine takes sides up to "
            f"{MOST_TAPS}. {LITERT} (lesson 09)"
        )
    if op.options.padding != schema.Padding.SAME:
        return x
    sides = padding(op, x.shape[1:3], size)
    wide = [length + sum(side) for length, side in zip(x.shape[1:3], sides, strict=True)]
    require_room(op.name, len(x), *wide, x.shape[3])
    return np.pad(x, [(0, 0), *sides, (0, 0)], constant_values=value)


def padding(op: Operator, image, size: tuple[int, int]) -> list[tuple[int, int]]:
    """Return (before, after) for the rows and the columns of an image (rows, columns)."""
    if op.options.padding != schema.Padding.SAME:
        return [(0, 0)] * 2
    strides = op.options.strideH, op.options.strideW
    spans = [(n - 1) * step + 1 for n, step in zip(size, dilations(op), strict=True)]
    return [same_padding(*lengths) for lengths in zip(image, spans, strides, strict=True)]


def dilations(op: Operator) -> tuple[int, int]:
    """Return how many rows, and columns, the weights of a filter are apart."""
    o = op.options
    return getattr(o, "dilationHFactor", 1), getattr(o, "dilationWFactor", 1)


def same_padding(length: int, span: int, stride: int) -> tuple[int, int]:
    """So much before and after that ``ceil(length / stride)`` windows fit; an odd one after."""
    missing = max((-(-length // stride) - 1) * stride + span - length, 0)
    return missing // 2, missing - missing // 2


def taps_of(op: Operator, x, size: tuple[int, int]) -> list:
    """What each weight of a filter sees: height * width views (N, rows, columns, channels)."""
    high, wide = dilations(op)
    rows = _along(x, 1, size[0], op.options.strideH, high)
    return [tap for row in rows for tap in _along(row, 2, size[1], op.options.strideW, wide)]


def _along(x, axis: int, size: int, stride: int, dilation: int = 1) -> list:
    """The views that a filter of one dimension sees along ``axis``, one for each of its weights."""
    span = (size - 1) * dilation + 1
    reach = x.shape[axis] - span + 1
    if reach < 1:
        raise ModelFileError(
            f"a filter that spans {span} pixels on an image of {x.shape[axis]}: LiteRT refuses "
            "that too (lesson 09)"
        )
    cut = [slice(None)] * x.ndim
    views = []
    for first in range(0, span, dilation):
        cut[axis] = slice(first, first + reach, stride)
        views.append(x[tuple(cut)])
    return views


def _pooled(op: Operator, x, least, join):
    """Join what each window sees, first along the rows, then along the columns."""
    size = op.options.filterHeight, op.options.filterWidth
    x = padded(op, x, size, least)
    rows = reduce(join, _along(x, 1, size[0], op.options.strideH))
    return reduce(join, _along(rows, 2, size[1], op.options.strideW))


def maxima(op: Operator, x, least):
    """Return the largest value in each window; nothing is below ``least``."""
    return _pooled(op, x, least, np.maximum)


def max_pool_2d(op: Operator, x):
    """MAX_POOL_2D: both sides have one scale, so codes are compared as they are."""
    return clip(op, maxima(op, x, np.iinfo(x.dtype).min))


def average_pool_2d(op: Operator, x):
    """AVERAGE_POOL_2D: padding does not count; the quotient is rounded half away from zero."""
    counted = x.astype(np.int64), np.ones_like(x[:1], np.int64)
    sums, counts = (_pooled(op, values, 0, np.add) for values in counted)
    return clip(op, np.sign(sums) * ((np.abs(sums) + counts // 2) // counts))
