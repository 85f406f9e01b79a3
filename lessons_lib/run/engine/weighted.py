"""Operators with weights: sums of products, exact in every runtime, then rescaled."""

from collections.abc import Iterator

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from lessons_lib.numbers import fixed_point
from lessons_lib.numbers.fixed_point import double_rounding, wide_rounding
from lessons_lib.run.engine.integer_graph import Operator, refuse, require_room
from lessons_lib.run.engine.rescaling import centered, clip, finish
from lessons_lib.run.engine.windows import maxima, padded, padding, taps_of

PLACES_AT_ONCE = 2**25  # what the weights of a convolution see, held for one band of rows


def conv_2d(op: Operator, x, kernel, bias=None):
    """CONV_2D: ``kernel`` (out, height, width, in), one matrix product for all positions."""
    size = kernel.shape[1:3]
    x = centered(op.input, padded(op, x, size, op.input.zero_point), op.sum_dtype)
    taps = taps_of(op, x, size)
    require_room(op.name, *taps[0].shape[:3], len(kernel))
    bands = [_products(op, np.stack(band, axis=3)) for band in _bands(taps)]
    sums = np.concatenate(bands, axis=1) if len(bands) > 1 else bands[0]
    if op.pool:
        sums = maxima(op.pool, sums, -(2**62))
    return finish(op, sums, bias)


def _products(op: Operator, places):
    """``places`` (N, rows, columns, taps, in) times the weights."""
    sums = places.reshape(-1, len(op.weight_matrix)) @ op.weight_matrix
    return sums.reshape(*places.shape[:3], -1)


def _bands(taps: list) -> Iterator[list]:
    """The views of a filter, as many rows at once as the memory should hold."""
    rows = taps[0].shape[1]
    step = max(1, PLACES_AT_ONCE * rows // max(1, len(taps) * taps[0].size))
    for start in range(0, rows, step):
        yield [tap[:, start : start + step] for tap in taps]


def depthwise_conv_2d(op: Operator, x, kernel, bias=None):
    """DEPTHWISE_CONV_2D: ``kernel`` (1, height, width, channels * depth multiplier)."""
    size = kernel.shape[1:3]
    x = centered(op.input, padded(op, x, size, op.input.zero_point), op.sum_dtype)
    if kernel.shape[-1] > x.shape[-1]:
        require_room(op.name, *x.shape[:3], kernel.shape[-1])
        x = np.repeat(x, kernel.shape[-1] // x.shape[-1], axis=-1)
    taps = taps_of(op, x, size)
    weights = op.weights.reshape(len(taps), 1, -1).astype(op.sum_dtype)
    weights = np.tile(weights, (taps[0].shape[2], 1))  # a long last axis: see finish
    sums = taps[0] * weights[0]
    for tap, weight in zip(taps[1:], weights[1:], strict=True):
        sums += tap * weight
    return finish(op, sums, bias)


def fully_connected(op: Operator, x, kernel, bias=None):
    """FULLY_CONNECTED: ``kernel`` (out, in)."""
    rows = centered(op.input, x, op.sum_dtype).reshape(-1, kernel.shape[1])
    require_room(op.name, len(rows), len(kernel))
    result = finish(op, rows @ op.weight_matrix, bias)
    return result.reshape(*x.shape[:-1], -1) if op.options.keepNumDims else result


def transpose_conv(op: Operator, shape, kernel, x, bias=None):
    """TRANSPOSE_CONV: ``kernel`` (out, height, width, in); each pixel is spread over a window."""
    o, (high, wide) = op.options, kernel.shape[1:3]
    # TFLite-Micro believes the shape of the output, whatever it is told.
    rows, columns = (int(n) for n in (op.output.shape if op.kernels == "tflm" else shape)[1:3])
    x = centered(op.input, x, op.sum_dtype)
    whole = [(n - 1) * stride + size for n, stride, size in zip(
        x.shape[1:3], (o.strideH, o.strideW), (high, wide), strict=True)]  # fmt: skip
    before = [sides[0] for sides in padding(op, (rows, columns), (high, wide))]
    if o.padding != schema.Padding.SAME and op.by_xnnpack:
        # It takes of the shape only what goes beyond whole steps.
        rows = whole[0] + (rows - high) % o.strideH
        columns = whole[1] + (columns - wide) % o.strideW
    ends = max(whole[0], before[0] + rows), max(whole[1], before[1] + columns)
    require_room(op.name, len(x), *ends, len(kernel))
    sums = np.zeros_like(x, shape=(len(x), *ends, len(kernel)))
    weights = op.weights.astype(op.sum_dtype)
    for row in range(high):
        for column in range(wide):
            places = (
                slice(row, whole[0] - high + row + 1, o.strideH),
                slice(column, whole[1] - wide + column + 1, o.strideW),
            )
            sums[:, *places] += x @ weights[:, row, column].T
    cut = sums[:, before[0] : before[0] + rows, before[1] : before[1] + columns]
    return finish(op, cut.copy(), bias)


def batch_matmul(op: Operator, a, b):
    """BATCH_MATMUL: matrices that are computed, side by side, of one dtype and one scale each."""
    left, right = op.inputs
    if left.dtype != right.dtype or right.scale.size > 1:
        refuse(op, f"multiplies {left.dtype} by {right.dtype} of {right.scale.size} scales")
    if op.kernels == "xnnpack" and left.dtype == np.int8 and right.zero_point == 0:
        refuse(op, "multiplies matrices of int8 by rules of its own")
    a, b = centered(left, a, np.int64), centered(right, b, np.int64)
    a = a.swapaxes(-1, -2) if op.options.adjX else a
    b = b.swapaxes(-1, -2) if op.options.adjY else b
    require_room(
        op.name, *np.broadcast_shapes(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1]
    )
    rule = matrix_multiplier(op)
    rounding = wide_rounding if left.dtype == np.int16 else double_rounding
    return clip(op, rounding(whole_product(a, b), *rule) + op.output.zero_point)


def matrix_multiplier(op: Operator) -> tuple[int, int]:
    """Return multiplier and shift of a BATCH_MATMUL."""
    wide = np.float64 if op.kernels == "tflm" else np.float32
    left, right = (tensor.scale[0].astype(wide) for tensor in op.inputs)
    return fixed_point.multiplier_shift(float(left * right) / float(op.output.scale[0]))


def whole_product(a, b):
    """``a @ b`` of whole numbers whose sums stay below 2**53: BLAS is exact there, and fast."""
    if isinstance(a, fixed_point.IntegersOnly):
        return a @ b
    return (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64)
