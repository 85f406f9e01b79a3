"""Layers with weights, pools and what moves over images as calls in C, with their constants.

What depends on the file alone is computed here: multipliers and shifts, biases that hold the
input's zero point, places of windows.
"""

from collections.abc import Sequence

import numpy as np

from lessons_lib.errors import ModelFileError
from lessons_lib.run.engine import recurrent, resized, weighted, windows
from lessons_lib.run.engine.integer_graph import Operator, Tensor
from lessons_lib.targets.arena import size_of
from lessons_lib.targets.c_calls import (
    Call,
    Where,
    axes_of,
    joined,
    require_codes,
    require_small_sums,
    walk_of,
)

WORD = 4  # codes that a processor of 32 bits reads at once


def _layer(op: Operator, where: Where, bias, weights, summed=1, stored=None) -> str:
    """``summed``: the axes of the weights over which one sum goes; ``stored``: them in flash."""
    require_codes(op, op.input, op.output)
    multiplier, shift = (np.broadcast_to(part, len(bias)) for part in op.multiplier_shift)
    require_small_sums(op, np.abs(bias) + 255 * np.abs(weights).sum(axis=summed), shift)
    arrays = where.array("weights", weights if stored is None else stored)
    arrays += where.array("bias", bias, "int32_t")
    arrays += where.array("multiplier", multiplier, "int32_t") + where.array("shift", shift)
    names = [where.name(what) for what in ("weights", "bias", "multiplier", "shift")]
    return arrays + where.struct("layer", "layer", *names, op.output.zero_point, *op.limits)


def _bias(op: Operator, channels: int) -> np.ndarray:
    return np.zeros(channels, np.int64) if op.bias is None else op.bias.value.astype(np.int64)


def _bias_with_zero_point(op: Operator, weights) -> np.ndarray:
    """``sum (x - z) w + b = sum x w + (b - z sum w)``; weights (out, inputs of one sum)."""
    return _bias(op, len(weights)) - op.input.zero_point * weights.sum(axis=1, dtype=np.int64)


def fully_connected(op: Operator, where: Where) -> Call:
    """FULLY_CONNECTED."""
    weights = op.weights.reshape(len(op.weights), -1)
    outputs, inputs = weights.shape
    rows = size_of(op.input) // inputs
    if inputs % WORD or op.inputs[1].packed:  # row by row through a patch of whole words
        pairs = [f"{{{joined(pair)}}}" for pair in ((rows, 1), (rows, 1), *((1, 1),) * 3, (0, 0))]
        return _patched(op, where, where.struct("window", "window", *pairs, inputs))
    call = (
        f"fully_connected({where.at(op.input)}, {where.at(op.output)}, {rows}, {inputs}, "
        f"{outputs}, &{where.name('layer')});"
    )
    constants = _layer(op, where, _bias_with_zero_point(op, weights), weights)
    return Call(("fully_connected",), constants, call)


def conv_2d(op: Operator, where: Where) -> Call:
    """CONV_2D."""
    return _patched(op, where, window_of(op, where, op.inputs[1].shape[1:3]))


def _patched(op: Operator, where: Where, window: str) -> Call:
    """A layer whose filters see a copy of their patch; a row of weights ends with zeros."""
    packed = op.inputs[1].packed
    weights = op.weights.reshape(len(op.weights), -1)
    bias = _bias_with_zero_point(op, weights)
    weights = np.pad(weights, [(0, 0), (0, -weights.shape[1] % (2 * WORD if packed else WORD))])
    n = weights.shape[1]
    rows = "rows_of_nibbles" if packed else "rows_of_weights"
    call = (
        f"conv_2d({where.at(op.input)}, {where.at(op.output)}, patch, {op.input.zero_point}, {n}, "
        f"{len(weights)}, {rows}, &{where.name('window')}, &{where.name('layer')});"
    )
    if packed:
        require_small_sums(op, 16 * 255 * np.abs(weights).sum(axis=1), 0)  # 16: see nibbles.c
    stored = _nibbles(weights) if packed else weights
    constants = _layer(op, where, bias, weights, stored=stored) + window
    return Call(("conv_2d", "nibbles" if packed else "rows"), constants, call, patch=n)


def _nibbles(weights: np.ndarray) -> np.ndarray:
    """Two weights of four bits in a byte: those four places apart, the first one below."""
    low, high = np.moveaxis(weights.reshape(len(weights), -1, 2, WORD), 2, 0)
    return (16 * high + (low & 15)).reshape(len(weights), -1)


def depthwise_conv_2d(op: Operator, where: Where) -> Call:
    """DEPTHWISE_CONV_2D."""
    return _of_taps(op, where, op.inputs[1].shape[3], (0, 1, 2))


def transpose_conv(op: Operator, where: Where) -> Call:
    """TRANSPOSE_CONV; its window moves over the output."""
    return _of_taps(op, where, op.inputs[1].shape[0], (1, 2, 3))


def _of_taps(op: Operator, where: Where, channels: int, summed: tuple[int, ...]) -> Call:
    """A layer that sums up tap by tap, where each has its place in the image or none."""
    constants = _layer(op, where, _bias(op, channels), op.weights, summed)
    name = op.name.lower()
    call = (
        f"{name}({where.at(op.input)}, {where.at(op.output)}, {op.input.zero_point}, "
        f"{channels}, &{where.name('window')}, &{where.name('layer')});"
    )
    constants += window_of(op, where, op.inputs[1].shape[1:3])
    return Call((name,), constants, call)


def window_of(op: Operator, where: Where, size: Sequence[int]) -> str:
    """Return a window in C: how a filter or a pool of a size moves over an image."""
    image, result = op.input.shape[1:3], op.output.shape[1:3]
    moved_over = result if op.name == "TRANSPOSE_CONV" else image
    before = [side[0] for side in windows.padding(op, moved_over, size)]
    stride = (op.options.strideH, op.options.strideW)
    sides = (image, result, size, stride, windows.dilations(op), before)
    pairs = [f"{{{joined(side)}}}" for side in sides]
    return where.struct("window", "window", *pairs, op.input.shape[3])


def pool(op: Operator, where: Where) -> Call:
    """MAX_POOL_2D and AVERAGE_POOL_2D."""
    require_codes(op, op.input, op.output)
    size = (op.options.filterHeight, op.options.filterWidth)
    call = (
        f"{op.name.lower()}({where.at(op.input)}, {where.at(op.output)}, {joined(op.limits)}, "
        f"&{where.name('window')});"
    )
    return Call((op.name.lower(),), window_of(op, where, size), call)


# ---- matrices that are computed


def batch_matmul(op: Operator, where: Where) -> Call:
    """BATCH_MATMUL."""
    left, right = op.inputs
    require_codes(op, left, right, op.output)
    many, (rows, columns) = op.output.shape[:-2], op.output.shape[-2:]
    inner = left.shape[-2 if op.options.adjX else -1]
    rule = weighted.matrix_multiplier(op)
    require_small_sums(op, 255 * 255 * inner, rule[1])
    constants = _matrices(where, "of_a", left, many, op.options.adjX)
    constants += _matrices(where, "of_b", right, many, op.options.adjY)
    constants += where.scaling("of_y", op.output.zero_point, rule)
    call = (
        f"batch_matmul({where.at(left)}, {where.at(right)}, {where.at(op.output)}, "
        f"{size_of(op.output) // (rows * columns)}, {rows}, {inner}, {columns}, "
        f"&{where.name('of_a')}, &{where.name('of_b')}, &{where.name('of_y')});"
    )
    return Call(("batch_matmul",), constants, call)


def _matrices(where: Where, what: str, tensor: Tensor, many: Sequence[int], turned: bool) -> str:
    """One side: where its matrices begin, and how far apart their rows and columns are."""
    shape = tuple(int(n) for n in tensor.shape)
    begins = np.arange(size_of(tensor)).reshape(shape)[..., 0, 0]
    begins = np.broadcast_to(begins, tuple(int(n) for n in many)).ravel()
    steps = (1, shape[-1]) if turned else (shape[-1], 1)
    return where.struct("matrices", what, walk_of(axes_of(begins)), *steps, tensor.zero_point)


# ---- images of another size


def resize_nearest_neighbor(op: Operator, where: Where) -> Call:
    """RESIZE_NEAREST_NEIGHBOR: the place of each row and column, from the engine."""
    if op.output.dtype.itemsize != 1:
        require_codes(op, op.input, op.output)
    image, result = op.input.shape[1:3], op.output.shape[1:3]
    constants = "".join(
        where.array(what, resized.nearest(op, length, wanted), "int16_t")
        for what, length, wanted in zip(("rows", "columns"), image, result, strict=True)
    )
    return Call(("resize_nearest_neighbor",), constants, _resize(op, where))


def resize_bilinear(op: Operator, where: Where) -> Call:
    """RESIZE_BILINEAR: the two rows and columns around each place, from the engine."""
    require_codes(op, op.input, op.output)
    image, result = op.input.shape[1:3], op.output.shape[1:3]
    constants = "".join(
        where.array(what, np.stack(resized.places_between(op, length, wanted), axis=1), "int16_t")
        for what, length, wanted in zip(("rows", "columns"), image, result, strict=True)
    )
    return Call(("resize_bilinear",), constants, _resize(op, where))


def _resize(op: Operator, where: Where) -> str:
    if max(*op.input.shape[1:3], *op.output.shape[1:3]) >= 2**15:
        raise ModelFileError(f"{op.name} of an image with a side of 2**15 or more")
    sizes = joined((op.input.shape[2], *op.output.shape[1:]))
    return (
        f"{op.name.lower()}({where.at(op.input)}, {where.at(op.output)}, {sizes}, "
        f"{where.name('rows')}, {where.name('columns')});"
    )


# ---- a sequence


def lstm(op: Operator, where: Where) -> Call:
    """UNIDIRECTIONAL_SEQUENCE_LSTM, over the whole sequence of one sample."""
    hidden, cell = op.inputs[18:20]
    cells, features = (int(n) for n in op.inputs[1].shape)
    parts = [_gate(op, where, number) for number in range(4)]
    constants = "".join(arrays for arrays, _ in parts)
    gates = ",\n    ".join(members for _, members in parts)
    rules = [recurrent.product_multiplier(tensor) for tensor in (cell, hidden)]
    constants += where.scaling("of_cell", 0, rules[0])
    constants += where.scaling("of_y", hidden.zero_point, rules[1])
    shift = recurrent.exponent(cell) + 12
    if not -30 < shift < 13 or max(rule[1] for rule in rules) > 0:
        raise ModelFileError(f"{op.name} has a cell state of scale {cell.scale[0]:g}")
    most = recurrent.cell_limit(op, cell)
    constants += f"static const gate {where.name('gates')}[4] = {{\n    {gates}}};\n"
    constants += f"static int16_t {where.name('cell')}[{cells}];\n"
    call = (
        f"lstm({where.at(op.input)}, {where.at(op.output)}, {size_of(op.input) // features}, "
        f"{features}, {cells}, {where.name('gates')}, {where.name('cell')}, {shift}, "
        f"{2**15 if most is None else most}, &{where.name('of_cell')}, &{where.name('of_y')});"
    )
    return Call(("lstm",), constants, call)


def _gate(op: Operator, where: Where, number: int) -> tuple[str, str]:
    """The arrays of one gate, and its members: of the input, and of the hidden state."""
    constants, members = "", []
    for what, (weights, bias, rule) in zip(
        ("x", "hidden"), recurrent.gate_parts(op, number), strict=True
    ):
        require_small_sums(op, np.abs(bias) + 255 * np.abs(weights).sum(axis=1), rule[1])
        names = f"weights{number}_{what}", f"bias{number}_{what}"
        constants += where.array(names[0], weights) + where.array(names[1], bias, "int32_t")
        members.append(f"{{{where.name(names[0])}, {where.name(names[1])}, {joined(rule)}}}")
    return constants, f"{{{', '.join(members)}}}"


# ---- a stream


def svdf(op: Operator, where: Where) -> Call:
    """SVDF: one moment of a stream; what was before is kept between calls."""
    features, times, bias, state = op.inputs[1], op.inputs[2], op.inputs[3], op.inputs[4]
    if state.dtype != np.int16:
        raise ModelFileError(
            f"SVDF with a state of {state.dtype}, and C has it with one of int16: convert the "
            "model again, with the path int8"
        )
    (filters, inputs), moments, rank = features.shape, times.shape[1], op.options.rank
    into, out = recurrent.svdf_multipliers(op)
    weights = features.value.astype(np.int64)
    fixed = -op.input.zero_point * weights.sum(axis=1)
    require_small_sums(op, np.abs(fixed) + 255 * np.abs(weights).sum(axis=1), into[1])
    if out[1] < -20 or out[1] > 0:  # a sum of 30 bits would be no end of the codes, or too large
        require_small_sums(op, 2.0**15 * np.abs(times.value.astype(float)).sum() * rank, out[1])
    constants = where.array("weights", weights) + where.array("bias", fixed, "int32_t")
    constants += where.array("times", times.value, "int16_t")
    units = np.zeros(filters // rank) if bias is None else bias.value
    constants += where.array("bias_of_unit", units, "int32_t")
    constants += where.scaling("of_state", 0, into)
    constants += where.scaling("of_y", op.output.zero_point, out)
    kept = where.name("state")
    constants += f"static int16_t {kept}[{filters * moments}];\n"
    names = [where.name(n) for n in ("weights", "bias", "times", "bias_of_unit")]
    call = (
        f"svdf({where.at(op.input)}, {where.at(op.output)}, {inputs}, {filters // rank}, {rank}, "
        f"{moments}, {', '.join(names)}, {kept}, &{where.name('of_state')}, "
        f"&{where.name('of_y')});"
    )
    return Call(("fill", "svdf"), constants, call, state=kept)
