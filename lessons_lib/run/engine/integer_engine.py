"""Integer-only inference from scratch in NumPy, bit-exact with a named runtime.

``run`` reads a full-integer ``.tflite`` and does what a runtime does, one function an operator.
Accumulators are exact everywhere; runtimes differ in how they scale one back to eight bits, so a
result can be bit-exact only with a *named* one:

- ``tflm``: TFLite-Micro; ``reference``: LiteRT's reference kernels;
- ``builtin``: LiteRT's optimized kernels, and ``xnnpack``: its default, the XNNPACK delegate, both
  as they are on x86-64.

Rules: ``tensorflow/lite/kernels/internal`` (``reference/integer_ops``, ``optimized``), XNNPACK's
``qs8`` kernels; where no source says it, they were found by comparing results, and
``tests/test_integer_engine_fuzz.py`` compares them again. Defined in lesson 09.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, reduce

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from threadpoolctl import ThreadpoolController

from lessons_lib.errors import FloatError, InputError, ModelFileError
from lessons_lib.numbers import affine, fixed_point
from lessons_lib.numbers.fixed_point import (
    IntegersOnly,
    double_rounding,
    exp_of_negative,
    high_multiply,
    reciprocal_of_one_plus,
    shift_ties_away,
    shift_ties_up,
)
from lessons_lib.run.engine.integer_graph import Graph, Operator, Tensor, damage_named, load
from lessons_lib.tflite import tables
from lessons_lib.tflite.inputs import require_input

KERNELS = ("reference", "tflm", "builtin", "xnnpack")
ELEMENTS_AT_ONCE = 2**18  # of the largest tensor: what a processor's cache holds


def run(
    model: str | os.PathLike | bytes,
    x: np.ndarray,
    kernels: str = "reference",
    *,
    strict: bool = False,
) -> np.ndarray:
    """Return the output (N, ...) of a full-integer model, in its dtype, for integer input ``x``.

    ``x``: (N, ...) in the model's input dtype and shape, any N. ``kernels``: whose integers the
    result equals, ``reference``, ``tflm``, ``builtin`` or ``xnnpack``, as if it took all N at once
    (a runtime that refuses the model may still be computed). ``strict`` computes with integers
    alone, more slowly, and raises FloatError where that runtime would use a float.
    Raises InputError when ``x`` or ``kernels`` does not fit, and ModelFileError when the file is
    damaged, is not full integer or has an operator that the engine lacks. Defined in lesson 09.
    """
    graph = _pool_first(_graph(model, kernels, strict))
    return np.concatenate([values[graph.output.index] for values in _batches(graph, x, strict)])


def trace(
    model: str | os.PathLike | bytes,
    x: np.ndarray,
    kernels: str = "reference",
    *,
    strict: bool = False,
) -> dict[int, np.ndarray]:
    """Return the codes of every tensor that depends on the input: its index -> (N, ...).

    Arguments and errors are those of ``run``; the indices are those of ``tables.tensors``. Only
    between SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND there are more rows than N.
    Defined in lesson 09.
    """
    graph = _graph(model, kernels, strict)
    codes = [graph.input, *(op.output for op in graph.operators)]
    parts = list(_batches(graph, x, strict))
    return {
        tensor.index: np.concatenate([part[tensor.index] for part in parts])
        for tensor in codes
        if tensor.dtype != np.int32  # shapes are int32
    }


def _graph(model: str | os.PathLike | bytes, kernels: str, strict: bool) -> Graph:
    if kernels not in KERNELS:
        raise InputError(f"kernels={kernels!r}; expected one of {', '.join(KERNELS)} (lesson 09)")
    with damage_named("the graph"):
        graph = load(model, kernels, strict)
    unknown = sorted({op.name for op in graph.operators} - set(OPERATORS))
    if unknown:
        raise ModelFileError(
            f"the engine does not know {', '.join(unknown)}; it knows {', '.join(OPERATORS)} "
            "(lesson 09)"
        )
    return graph


def _pool_first(graph: Graph) -> Graph:
    """Let the sums of a convolution be pooled before they are rescaled.

    Rescaling never changes which of two sums is larger, so the maxima are the same, and there are
    fewer of them to rescale.
    """
    operators = []
    for op in graph.operators:
        if operators and _may_go_first(op, operators[-1], graph):
            operators[-1] = replace(operators[-1], output=op.output, pool=op)
        else:
            operators.append(op)
    return replace(graph, operators=tuple(operators))


def _may_go_first(op: Operator, before: Operator, graph: Graph) -> bool:
    """Whether ``op`` only pools what a convolution computes for nobody else, codes unchanged."""
    if op.name != "MAX_POOL_2D" or before.name != "CONV_2D":
        return False
    if getattr(op.options, "fusedActivationFunction", 0) or before.output is graph.output:
        return False
    readers = [other for other in graph.operators if before.output in other.inputs]
    return readers == [op] and before.output.same_codes(op.output)


def _batches(graph: Graph, x: np.ndarray, strict: bool) -> Iterator[dict[int, np.ndarray]]:
    """The value of every computed tensor, by its index, for one batch after the other."""
    require_input(x, graph.input.dtype, graph.input.shape[1:])
    tensors = [graph.input, *(op.output for op in graph.operators)]
    largest = max(int(np.prod(tensor.shape[1:])) for tensor in tensors)
    # Whole vectors of 16 images: where a vector ends decides about ties, see _in_vectors_of.
    size = max(1, ELEMENTS_AT_ONCE // (16 * max(1, largest))) * 16
    for start in range(0, len(x), size):
        part = x[start : start + size]
        values = {graph.input.index: part.view(IntegersOnly) if strict else part}
        with _blas().limit(limits=1):  # more threads would wait for each other
            for op in graph.operators:
                inputs = [t and values.get(t.index, t.value) for t in op.inputs]
                values[op.output.index] = (_strictly if strict else _computed)(op, inputs)
        yield {index: np.asarray(value) for index, value in values.items()}


def _computed(op: Operator, inputs: list) -> np.ndarray:
    with damage_named(op.name):
        return OPERATORS[op.name](op, *inputs)


def _strictly(op: Operator, inputs: list) -> np.ndarray:
    """The same with IntegersOnly; other results were made with floats (shapes do not count)."""
    try:
        result = _computed(op, inputs)
    except FloatError as error:
        raise FloatError(f"{_refusal(op)}: {error}") from None
    if op.output.dtype != np.int32 and not isinstance(result, IntegersOnly):
        raise FloatError(f"{_refusal(op)}: its result is made of floats (lesson 09)")
    return result


def _refusal(op: Operator) -> str:
    cure = "" if op.kernels == "tflm" else " (kernels='tflm' uses no floats)"
    return f"{op.name} of {op.kernels} uses floats, and strict=True allows integers only{cure}"


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


# ---- operators: each takes its Operator and the arrays of its inputs, and returns its output


def conv_2d(op: Operator, x, kernel, bias=None):
    """CONV_2D: ``kernel`` (out, height, width, in), one matrix product for all positions."""
    x = _centered(op.input, _padded(op, x, kernel.shape[1:3], op.input.zero_point), op.sum_dtype)
    places = np.stack(_taps(op, x, kernel.shape[1:3]), axis=3)
    sums = places.reshape(-1, len(op.weight_matrix)) @ op.weight_matrix
    return _finish(op, sums.reshape(*places.shape[:3], -1), bias)


def depthwise_conv_2d(op: Operator, x, kernel, bias=None):
    """DEPTHWISE_CONV_2D: ``kernel`` (1, height, width, channels * depth multiplier)."""
    x = _centered(op.input, _padded(op, x, kernel.shape[1:3], op.input.zero_point), op.sum_dtype)
    if kernel.shape[-1] > x.shape[-1]:
        x = np.repeat(x, kernel.shape[-1] // x.shape[-1], axis=-1)
    taps = _taps(op, x, kernel.shape[1:3])
    weights = kernel.reshape(len(taps), 1, -1).astype(op.sum_dtype)
    weights = np.tile(weights, (taps[0].shape[2], 1))  # a long last axis: see _finish
    sums = taps[0] * weights[0]
    for tap, weight in zip(taps[1:], weights[1:], strict=True):
        sums += tap * weight
    return _finish(op, sums, bias)


def fully_connected(op: Operator, x, kernel, bias=None):
    """FULLY_CONNECTED: ``kernel`` (out, in)."""
    rows = _centered(op.input, x, op.sum_dtype).reshape(-1, kernel.shape[1])
    result = _finish(op, rows @ op.weight_matrix, bias)
    return result.reshape(*x.shape[:-1], -1) if op.options.keepNumDims else result


def max_pool_2d(op: Operator, x):
    """MAX_POOL_2D: both sides have one scale, so codes are compared as they are."""
    return _clip(op, _maxima(op, x, np.iinfo(x.dtype).min))


def _maxima(op: Operator, x, least):
    """The largest value in each window; nothing is below ``least``."""
    size = op.options.filterHeight, op.options.filterWidth
    x = _padded(op, x, size, least)
    rows = reduce(np.maximum, _along(x, 1, size[0], op.options.strideH))
    return reduce(np.maximum, _along(rows, 2, size[1], op.options.strideW))


def average_pool_2d(op: Operator, x):
    """AVERAGE_POOL_2D: padding does not count; the quotient is rounded half away from zero."""
    size = op.options.filterHeight, op.options.filterWidth
    counted = x.astype(np.int64), np.ones_like(x[:1], np.int64)
    sums, counts = (sum(_taps(op, _padded(op, values, size, 0), size)) for values in counted)
    return _clip(op, np.sign(sums) * ((np.abs(sums) + counts // 2) // counts))


def mean(op: Operator, x, axes):
    """MEAN: the division by the number of elements becomes part of the multiplier."""
    axes = tuple(sorted(int(axis) % x.ndim for axis in np.ravel(axes)))
    if 0 in axes:
        raise ModelFileError("MEAN over the batch: each input is computed by itself (lesson 09)")
    count = int(np.prod([x.shape[axis] for axis in axes]))
    keep = bool(op.options.keepDims)
    sums = x.sum(axis=axes, keepdims=keep, dtype=np.int64)
    if op.kernels == "xnnpack":
        return _mean_xnnpack(op, sums, count)
    if op.kernels == "builtin" and keep and axes == (1, 2) and x.ndim == 4:
        return _mean_builtin(op, sums, count)
    sums = sums - op.input.zero_point * count
    multiplier, shift = op.multiplier_shift
    bits = np.minimum(count.bit_length() - 1, 31 + shift)
    scaled = double_rounding(sums, (multiplier << bits) // count, shift - bits)
    return _clip(op, scaled + op.output.zero_point)


def _mean_xnnpack(op: Operator, sums, count: int):
    """In float32; the zero points become one offset, and are part of what is rounded."""
    ratio = _float32_ratio(op) * (np.float32(1) / np.float32(count))
    offset = np.float32(op.output.zero_point) - np.float32(op.input.zero_point * count) * ratio
    return _clip(op, np.rint(sums.astype(np.float32) * ratio + offset))


def _mean_builtin(op: Operator, sums, count: int):
    """The zero points become one bias; vectors of 16 channels round otherwise than the rest."""
    scale, output_scale = op.input.scale[0], op.output.scale[0]
    offset = affine.round_half_away(np.float32(op.input.zero_point) * scale / output_scale)
    ratio = fixed_point.multiplier_shift(float(scale / (np.float32(count) * output_scale)))
    scaled = double_rounding(sums, *ratio, ties_up=_in_vectors_of(16, sums.shape[-1]))
    return _clip(op, scaled + op.output.zero_point - int(offset))


def add(op: Operator, a, b):
    """ADD: two codes have 65,536 sums, so all are computed once, and looked up."""
    least, most = np.iinfo(a.dtype).min, np.iinfo(a.dtype).max
    if "table" not in op.memory:
        codes = np.arange(least, most + 1).view(IntegersOnly if op.strict else np.ndarray)
        steps = codes[:, None] - op.inputs[0].zero_point, codes - op.inputs[1].zero_point
        rule = _add_xnnpack if op.kernels == "xnnpack" else _add
        op.memory["table"] = _clip(op, rule(op, *steps) + op.output.zero_point)
    a, b = (np.subtract(x, least, dtype=np.int64) for x in (a, b))
    return np.take(op.memory["table"], a * (most - least + 1) + b)


def _add(op: Operator, a, b):
    """Both inputs are brought to one scale with 20 more bits, added, and rescaled."""
    scales = [float(tensor.scale[0]) for tensor in op.inputs]
    twice = 2 * max(scales)
    total = sum(
        double_rounding(x << 20, *fixed_point.multiplier_shift(scale / twice))
        for x, scale in zip((a, b), scales, strict=True)
    )
    ratio = twice / (2**20 * float(op.output.scale[0]))
    return double_rounding(total, *fixed_point.multiplier_shift(ratio))


def _add_xnnpack(op: Operator, a, b):
    """21 bits for the larger factor, rounded once, ties up."""
    factors = [tensor.scale[0] / op.output.scale[0] for tensor in op.inputs]
    shift = 21 - int(np.frexp(max(factors))[1])
    first, second = (int(np.rint(np.ldexp(factor, shift))) for factor in factors)
    return shift_ties_up(a * first + b * second, shift)


def pad(op: Operator, x, paddings, value=None):
    """PAD and PADV2: what is added stands for 0, unless a value is given."""
    fill = op.output.zero_point if value is None else value.item()
    return np.pad(x, [tuple(map(int, pair)) for pair in paddings], constant_values=fill)


def space_to_batch_nd(op: Operator, x, block, paddings):
    """SPACE_TO_BATCH_ND, before a dilated convolution: every block-th pixel, as a batch."""
    if op.kernels == "tflm" and op.output.shape[0] != op.input.shape[0] * np.prod(block):
        raise ModelFileError(
            "TFLite-Micro believes the shapes in the file, and those of a dilated convolution with "
            "a dynamic batch are false there: save the model with a fixed batch (lesson 09)"
        )
    (high, wide), fill = block, op.output.zero_point
    x = np.pad(x, [(0, 0), *(tuple(map(int, p)) for p in paddings), (0, 0)], constant_values=fill)
    n, rows, columns, channels = x.shape
    x = x.reshape(n, rows // high, high, columns // wide, wide, channels)
    return x.transpose(2, 4, 0, 1, 3, 5).reshape(-1, rows // high, columns // wide, channels)


def batch_to_space_nd(op: Operator, x, block, crops):
    """BATCH_TO_SPACE_ND: the way back from SPACE_TO_BATCH_ND."""
    (high, wide), ((top, bottom), (left, right)) = block, crops
    _, rows, columns, channels = x.shape
    x = x.reshape(high, wide, -1, rows, columns, channels).transpose(2, 3, 0, 4, 1, 5)
    x = x.reshape(-1, rows * high, columns * wide, channels)
    return x[:, top : rows * high - bottom, left : columns * wide - right]


def reshape(op: Operator, x, shape=None):
    """RESHAPE: a shape that the file fixes holds for one image; its batch is left open."""
    if shape is None or op.inputs[1].value is not None:
        return drop_or_add_axes(op, x)
    return x.reshape([int(n) for n in shape])


def drop_or_add_axes(op: Operator, x, axes=None):
    """SQUEEZE and EXPAND_DIMS: the file says what shape results."""
    return x.reshape(-1, *op.output.shape[1:])


def concatenation(op: Operator, *arrays):
    """CONCATENATION: all scales are the same, so codes are copied."""
    if not all(tensor.same_codes(op.output) for tensor in op.inputs):
        raise ModelFileError(
            "CONCATENATION of tensors with different scales or zero points: the engine copies "
            "codes, as TFLite's 8-bit specification has it (lesson 09)"
        )
    return _clip(op, np.concatenate(arrays, axis=op.options.axis))


def relu(op: Operator, x):
    """RELU, RELU6, RELU_N1_TO_1 on their own: rescale, and clip."""
    if op.kernels == "tflm" and op.name == "RELU_N1_TO_1":
        raise ModelFileError("TFLite-Micro has no RELU_N1_TO_1; the other kernels do (lesson 09)")
    if op.kernels == "tflm" and op.name == "RELU6":  # it takes both scales for the same
        return x.clip(op.input.zero_point, min(op.input.code(6), np.iinfo(x.dtype).max))
    return _rescaled(op, _centered(op.input, x, np.int64))


def softmax(op: Operator, x):
    """SOFTMAX over the last axis: in fixed point, LiteRT's fast kernels from a table of floats."""
    fast = op.kernels in ("builtin", "xnnpack")
    return (_softmax_table if fast else _softmax_fixed_point)(op, x)


def _softmax_fixed_point(op: Operator, x):
    step = min(float(op.options.beta) * float(op.input.scale[0]) * 2.0**26, 2.0**31 - 1)
    multiplier, shift = fixed_point.multiplier_shift(step / 2)  # half a step in Q5.26
    shift += 1
    difference = _centered(op.input, x, np.int64)
    difference = difference - difference.max(axis=-1, keepdims=True)
    seen = difference >= -((31 << 26) >> shift)  # exp of the others is nothing
    scaled = high_multiply(np.where(seen, difference, 0) << shift, multiplier)
    exps = np.where(seen, exp_of_negative(scaled), 0)
    total = shift_ties_away(exps, 12).sum(axis=-1, keepdims=True)
    headroom = sum((total < (1 << bit)).astype(np.int64) for bit in range(32))
    inverse = reciprocal_of_one_plus((total << headroom) - 2**31)
    shares = high_multiply(inverse, exps)
    return _clip(op, shift_ties_away(shares, 35 - headroom) + np.iinfo(op.output.dtype).min)


def _softmax_table(op: Operator, x):
    factor = -op.input.scale[0] * np.float32(op.options.beta)
    table = np.exp((factor * np.arange(256, dtype=np.float32)).astype(np.float64))
    distance = x.max(axis=-1, keepdims=True).astype(np.int64) - x
    exps = table.astype(np.float32)[distance]
    total = exps.cumsum(axis=-1, dtype=np.float32)[..., -1:]  # added from left to right
    inverse = np.float32(1) / (total * op.output.scale[0])
    codes = (exps * inverse + np.float32(0.5)).astype(np.int64)
    return _clip(op, codes + op.output.zero_point)


def quantize(op: Operator, x):
    """QUANTIZE from integers to integers: another scale, another zero point."""
    steps = _centered(op.input, x, np.int64)
    if op.kernels == "xnnpack" and x.dtype == op.output.dtype:
        factor = int(np.rint(256 * _float32_ratio(op)[0]))
        return _clip(op, shift_ties_up(steps * factor, 8) + op.output.zero_point)
    return _rescaled(op, steps)


def dequantize(op: Operator, x):
    """DEQUANTIZE: the one operator that gives floats."""
    real = affine.dequantize(x, op.input.scale[0], op.input.zero_point)
    if op.kernels != "builtin":
        return real
    scale = op.input.scale[0]  # in vectors of 8, two products are rounded instead of one
    fused = x.astype(np.float32) * scale + np.float32(-op.input.zero_point) * scale
    return np.where(_in_vectors_of(8, x.size).reshape(x.shape), fused, real)


def shape(op: Operator, x):
    """SHAPE, of a model with a dynamic batch."""
    return np.array(x.shape, op.output.dtype).view(type(x))


def strided_slice(op: Operator, x, begin, end, strides):
    """STRIDED_SLICE of a shape."""
    o = op.options
    cuts = []
    for axis, (first, last, step) in enumerate(zip(begin, end, strides, strict=True)):
        if o.shrinkAxisMask >> axis & 1:
            cuts.append(int(first))
            continue
        first = None if o.beginMask >> axis & 1 else int(first)
        cuts.append(slice(first, None if o.endMask >> axis & 1 else int(last), int(step)))
    return x[tuple(cuts)]


def gather(op: Operator, x, indices):
    """GATHER from a shape."""
    return np.take(x, indices, axis=op.options.axis)


def reduce_prod(op: Operator, x, axes):
    """REDUCE_PROD of the dimensions of a shape."""
    return np.prod(x, axis=tuple(np.ravel(axes)), keepdims=bool(op.options.keepDims), dtype=x.dtype)


def pack(op: Operator, *arrays):
    """PACK of the dimensions of a shape."""
    return np.stack(arrays, axis=op.options.axis)


OPERATORS: dict[str, Callable] = {
    "ADD": add,
    "AVERAGE_POOL_2D": average_pool_2d,
    "BATCH_TO_SPACE_ND": batch_to_space_nd,
    "CONCATENATION": concatenation,
    "CONV_2D": conv_2d,
    "DEPTHWISE_CONV_2D": depthwise_conv_2d,
    "DEQUANTIZE": dequantize,
    "EXPAND_DIMS": drop_or_add_axes,
    "FULLY_CONNECTED": fully_connected,
    "GATHER": gather,
    "MAX_POOL_2D": max_pool_2d,
    "MEAN": mean,
    "PACK": pack,
    "PAD": pad,
    "PADV2": pad,
    "QUANTIZE": quantize,
    "REDUCE_PROD": reduce_prod,
    "RELU": relu,
    "RELU6": relu,
    "RELU_N1_TO_1": relu,
    "RESHAPE": reshape,
    "SHAPE": shape,
    "SOFTMAX": softmax,
    "SPACE_TO_BATCH_ND": space_to_batch_nd,
    "SQUEEZE": drop_or_add_axes,
    "STRIDED_SLICE": strided_slice,
}


# ---- what operators share


def _centered(tensor: Tensor, x, dtype: type):
    """``x - zero_point``, what the codes stand for in steps of the scale."""
    return np.subtract(x, tensor.zero_point, dtype=dtype)


def _padded(op: Operator, x, size: tuple[int, int], value: int):
    """``x`` with a border of ``value``, where the operator pads."""
    if op.options.padding != schema.Padding.SAME:
        return x
    strides = op.options.strideH, op.options.strideW
    spans = [(n - 1) * step + 1 for n, step in zip(size, _dilations(op), strict=True)]
    sides = [_same_padding(*lengths) for lengths in zip(x.shape[1:3], spans, strides, strict=True)]
    return np.pad(x, [(0, 0), *sides, (0, 0)], constant_values=value)


def _dilations(op: Operator) -> tuple[int, int]:
    o = op.options
    return getattr(o, "dilationHFactor", 1), getattr(o, "dilationWFactor", 1)


def _taps(op: Operator, x, size: tuple[int, int]) -> list:
    """What each weight of a filter sees: height * width views (N, rows, columns, channels)."""
    high, wide = _dilations(op)
    rows = _along(x, 1, size[0], op.options.strideH, high)
    return [tap for row in rows for tap in _along(row, 2, size[1], op.options.strideW, wide)]


def _along(x, axis: int, size: int, stride: int, dilation: int = 1) -> list:
    """The views that a filter of one dimension sees along ``axis``, one for each of its weights."""
    span = (size - 1) * dilation + 1
    reach = x.shape[axis] - span + 1
    if reach < 1:
        raise ModelFileError(
            f"a filter that spans {span} pixels on an image of {x.shape[axis]}: the file is "
            "damaged (lesson 02)"
        )
    cut = [slice(None)] * x.ndim
    views = []
    for first in range(0, span, dilation):
        cut[axis] = slice(first, first + reach, stride)
        views.append(x[tuple(cut)])
    return views


def _same_padding(length: int, span: int, stride: int) -> tuple[int, int]:
    """So much before and after that ``ceil(length / stride)`` windows fit; an odd one after."""
    missing = max((-(-length // stride) - 1) * stride + span - length, 0)
    return missing // 2, missing - missing // 2


def _finish(op: Operator, sums, bias):
    """The way of every accumulator: add the bias, rescale, add the zero point, clip.

    A row of positions is taken as one long axis, because NumPy is slow where the last is short.
    """
    if op.pool:
        sums = _maxima(op.pool, sums, -(2**31))
    rows = sums.reshape(*sums.shape[:-2], -1) if sums.ndim == 4 else sums
    if bias is not None:
        rows += _spread(bias.astype(sums.dtype), rows)
    return _rescaled(op, rows).reshape(sums.shape)


def _spread(per_channel: np.ndarray, rows) -> np.ndarray:
    """Repeat one number for each channel along rows of many positions."""
    one = per_channel.size == 1
    return per_channel if one else np.tile(per_channel, rows.shape[-1] // per_channel.size)


def _rescaled(op: Operator, sums):
    """The output's codes for ``sums`` in steps of input scale * weight scale."""
    low, high = (bound - op.output.zero_point for bound in op.limits)
    if op.kernels == "xnnpack" and _taken_over(op):
        ratio = _spread(_float32_ratio(op), sums)
        steps = np.rint(sums.astype(np.float32, copy=False) * ratio)  # ties to even
    else:
        steps = _rounded(op, sums, low, high)
    np.clip(steps, low, high, out=steps)
    steps += op.output.zero_point
    return steps.astype(op.output.dtype)


def _taken_over(op: Operator) -> bool:
    """Whether XNNPACK computes this layer; a convolution with int4 weights it leaves to ruy."""
    if op.name not in tables.SUMMED_AXES:
        return False
    return op.name == "FULLY_CONNECTED" or not op.inputs[1].packed


def _float32_ratio(op: Operator) -> np.ndarray:
    """``op.ratio`` as XNNPACK has it: each step rounded to float32."""
    return op.input.scale[0] * op.weight_scale / op.output.scale[0]


def _rounded(op: Operator, sums, low: int, high: int):
    """``sums * ratio`` by an integer rule; floats decide first, wherever no tie is near.

    Rounding twice differs from rounding to the nearest integer only around ties: by the first of
    the two, half a step of 2**-n where n is the shift, and by float32's own error.
    """
    if op.kernels == "reference" and op.name == "FULLY_CONNECTED":  # in float64, rounded once
        return affine.round_half_away(sums * _spread(op.ratio, sums))
    multiplier, shift = op.multiplier_shift
    doubt = 2.0 ** (shift.max() - 1) + 2.0**-14
    if sums.dtype == np.int64 or doubt > 1 / 8:
        numbers = _spread(multiplier, sums), _spread(shift, sums), _ties_up(op, sums)
        return double_rounding(sums.astype(np.int64), *numbers)
    estimate = sums * _spread(op.ratio.astype(sums.dtype), sums)
    np.clip(estimate, low, high, out=estimate)
    steps = np.rint(estimate)
    estimate -= steps
    unsure = np.flatnonzero(np.abs(estimate, out=estimate) > 0.5 - doubt)
    near_ties, channel = sums.reshape(-1)[unsure].astype(np.int64), unsure % multiplier.size
    ties_up = np.broadcast_to(_ties_up(op, sums), sums.shape[-1])[unsure % sums.shape[-1]]
    exact = double_rounding(near_ties, multiplier[channel], shift[channel], ties_up)
    steps.reshape(-1)[unsure] = exact
    return steps


def _ties_up(op: Operator, rows) -> np.ndarray | bool:
    """Where the second rounding sends ties up: what ruy and the vector units compute."""
    if op.kernels not in ("builtin", "xnnpack"):
        return False
    if op.name == "DEPTHWISE_CONV_2D":
        return _spread(_in_vectors_of(8, op.output.shape[-1]), rows)
    if op.name == "QUANTIZE":
        return _in_vectors_of(16, rows.size).reshape(rows.shape)
    return op.name in tables.SUMMED_AXES


def _in_vectors_of(length: int, size: int) -> np.ndarray:
    """True for the elements that fill whole vectors, False for the rest at the end."""
    return np.arange(size) < size // length * length


def _clip(op: Operator, values):
    """Clip to what the output can hold, and cast."""
    return values.clip(*op.limits).astype(op.output.dtype)
