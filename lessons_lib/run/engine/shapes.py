"""Operators that move codes and compute shapes: nothing is rounded."""

import numpy as np

from lessons_lib.errors import ModelFileError
from lessons_lib.numbers.fixed_point import IntegersOnly
from lessons_lib.run.engine.integer_graph import LITERT, Operator, require_room


def pad(op: Operator, x, paddings, value=None):
    """PAD and PADV2: what is added stands for 0, unless a value is given."""
    fill = op.output.zero_point if value is None else value.item()
    pairs = [tuple(map(int, pair)) for pair in paddings]
    require_room(op.name, *(n + sum(pair) for n, pair in zip(x.shape, pairs, strict=True)))
    return np.pad(x, pairs, constant_values=fill)


def space_to_batch_nd(op: Operator, x, block, paddings):
    """SPACE_TO_BATCH_ND, before a dilated convolution: every block-th pixel, as a batch."""
    if op.kernels == "tflm" and op.output.shape[0] != op.input.shape[0] * np.prod(block):
        raise ModelFileError(
            "TFLite-Micro believes the shapes in the file, and those of a dilated convolution with "
            "an open batch are false there: save the model with a fixed batch (lesson 09)"
        )
    sides, blocks = [tuple(map(int, pair)) for pair in paddings], [int(n) for n in block]
    wide = [n + sum(side) for n, side in zip(x.shape[1:], sides, strict=False)]
    require_room(op.name, len(x), *wide, *x.shape[1 + len(blocks) :])
    rest = [(0, 0)] * (x.ndim - 1 - len(blocks))
    x = np.pad(x, [(0, 0), *sides, *rest], constant_values=op.output.zero_point)
    counts = [n // step for n, step in zip(x.shape[1:], blocks, strict=False)]
    split = [size for pair in zip(counts, blocks, strict=True) for size in pair]
    x = x.reshape(len(x), *split, *x.shape[1 + len(blocks) :])
    inner = range(1, 1 + 2 * len(blocks))
    order = [*inner[1::2], 0, *inner[::2], *range(1 + 2 * len(blocks), x.ndim)]
    return x.transpose(order).reshape(-1, *counts, *x.shape[1 + 2 * len(blocks) :])


def batch_to_space_nd(op: Operator, x, block, crops):
    """BATCH_TO_SPACE_ND: the way back from SPACE_TO_BATCH_ND."""
    blocks, dimensions = [int(n) for n in block], len(block)
    x = x.reshape(*blocks, -1, *x.shape[1:])
    order = [dimensions]
    for n in range(dimensions):
        order += [dimensions + 1 + n, n]
    x = x.transpose([*order, *range(2 * dimensions + 1, x.ndim)])
    sides = [x.shape[1 + 2 * n] * blocks[n] for n in range(dimensions)]
    x = x.reshape(len(x), *sides, *x.shape[1 + 2 * dimensions :])
    cuts = [slice(int(a), side - int(b)) for side, (a, b) in zip(sides, crops, strict=True)]
    return x[:, *cuts]


def reshape(op: Operator, x, shape=None):
    """RESHAPE: the file's shape, whose batch is left open where rows are apart."""
    if shape is not None and (op.inputs[1].value is None or not op.apart):
        return x.reshape([int(n) for n in shape])
    return drop_or_add_axes(op, x)


def drop_or_add_axes(op: Operator, x, axes=None):
    """SQUEEZE and EXPAND_DIMS: the file says what shape results."""
    return x.reshape(-1, *op.output.shape[1:]) if op.apart else x.reshape(op.output.shape)


def concatenation(op: Operator, *arrays):
    """CONCATENATION: all scales are the same, so codes are copied."""
    if not all(tensor.same_codes(op.output) for tensor in op.inputs):
        raise ModelFileError(
            "CONCATENATION of tensors with different scales or zero points: the engine copies "
            "codes, as TFLite's 8-bit specification has it (lesson 09)"
        )
    joined = np.concatenate(_spread_constants(op, arrays), axis=op.options.axis)
    return joined.clip(*op.limits).astype(op.output.dtype)


def _spread_constants(op: Operator, arrays) -> list:
    """Where rows are apart, a constant is there for each of them."""
    rows = max(len(array) for array in arrays)
    if not op.apart or all(len(array) == rows for array in arrays):
        return list(arrays)
    return [np.broadcast_to(array, (rows, *array.shape[1:])) for array in arrays]


def shape(op: Operator, x):
    """SHAPE, of a model with an open batch."""
    return np.array(x.shape, op.output.dtype).view(type(x))


def strided_slice(op: Operator, x, begin, end, strides):
    """STRIDED_SLICE: a part of each axis, or one place of it."""
    o = op.options
    if o.ellipsisMask or o.newAxisMask:
        raise ModelFileError(f"STRIDED_SLICE with an ellipsis or a new axis: {LITERT} (lesson 09)")
    cuts = []
    for axis, (first, last, step) in enumerate(zip(begin, end, strides, strict=True)):
        if op.apart and axis == 0:  # all rows that a call has, and here there are more
            cuts.append(slice(None))
            continue
        if o.shrinkAxisMask >> axis & 1:
            cuts.append(int(first))
            continue
        first = None if o.beginMask >> axis & 1 else int(first)
        cuts.append(slice(first, None if o.endMask >> axis & 1 else int(last), int(step)))
    return x[tuple(cuts)]


def slice_(op: Operator, x, begin, size):
    """SLICE: ``size`` elements from ``begin`` on; -1 for all that are left."""
    cuts = [
        slice(int(first), None if count < 0 else int(first) + int(count))
        for first, count in zip(begin, size, strict=True)
    ]
    if op.apart:
        cuts[0] = slice(None)
    return x[tuple(cuts)]


def split(op: Operator, axis, x):
    """SPLIT into equal parts."""
    return np.split(x, op.options.numSplits, axis=int(axis.item()))


def split_v(op: Operator, x, sizes, axis):
    """SPLIT_V into parts of these sizes, of which one may be left open by -1."""
    sizes, along = [int(n) for n in sizes], int(axis.item())
    if -1 in sizes:
        sizes[sizes.index(-1)] = x.shape[along] - sum(sizes) - 1
    return np.split(x, np.cumsum(sizes)[:-1].tolist(), axis=along)


def unpack(op: Operator, x):
    """UNPACK: one output for each place along an axis."""
    axis = op.options.axis
    return [np.take(x, place, axis=axis) for place in range(x.shape[axis])]


def pack(op: Operator, *arrays):
    """PACK: arrays side by side along a new axis."""
    return np.stack(_spread_constants(op, arrays) if arrays[0].ndim else arrays, op.options.axis)


def gather(op: Operator, x, indices):
    """GATHER: the places of one axis that the indices name."""
    axis, inner = op.options.axis % x.ndim, op.options.batchDims
    if inner:
        raise ModelFileError(f"GATHER with batch dimensions: {LITERT} (lesson 09)")
    if np.any(indices < 0) or np.any(indices >= x.shape[axis]):
        raise ModelFileError(
            f"GATHER of place {int(indices.max())} from an axis of {x.shape[axis]}: the runtimes "
            "refuse that too. Are the inputs, tokens for example, in the model's range? (lesson 09)"
        )
    require_room(op.name, indices.size, x.size // max(1, x.shape[axis]))
    guarded = type(x) if isinstance(x, IntegersOnly) else type(indices)
    return np.asarray(np.take(x, indices, axis=axis)).view(guarded)


def transpose(op: Operator, x, order):
    """TRANSPOSE: the axes in another order."""
    return x.transpose([int(n) for n in order])


def tile(op: Operator, x, times):
    """TILE: each axis so many times."""
    require_room(op.name, x.size, *times)
    return np.tile(x, [int(n) for n in times])


def broadcast_to(op: Operator, x, wanted):
    """BROADCAST_TO: axes of size 1, or missing ones, repeated."""
    require_room(op.name, *wanted)
    return np.broadcast_to(x, [int(n) for n in wanted]).copy()
