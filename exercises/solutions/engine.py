"""The integer engine of ``exercises/engine.md``, solved: eight steps, equal to LiteRT's codes.

It does what LiteRT's reference kernels do, for the operators of the course's ``mnist_cnn`` along
the paths int8 and uint8. The library's engine, ``lessons_lib/run/engine``, knows fifty operators
and the rules of three more runtimes; nothing of it is used here.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from lessons_lib import fixed_point, reader

# ---- step 1: codes


def round_half_away(x):
    whole = np.trunc(x)
    return whole + np.sign(x) * (np.abs(x - whole) >= 0.5)


def quantize(x, scale, zero_point, dtype):
    steps = round_half_away(np.float32(x) / np.float32(scale)) + zero_point
    limits = np.iinfo(dtype)
    return np.clip(steps, limits.min, limits.max).astype(dtype)


def dequantize(q, scale, zero_point):
    return np.float32((q.astype(np.int64) - zero_point) * np.float64(scale))


# ---- step 2: a neuron


def accumulate(x, weights, bias, zero_point):
    steps = x.astype(np.int64) - zero_point
    return int(np.sum(steps * weights)) + int(bias)


# ---- step 3: a real number as an integer and a shift


def multiplier_shift(ratio):
    fraction, shift = np.frexp(np.float64(ratio))
    multiplier = round_half_away(fraction * 2.0**31).astype(np.int64)
    carried = multiplier == 2**31
    return np.where(carried, 2**30, multiplier), shift + carried.astype(np.int64)


# ---- step 4: from the accumulator to a code


def shift_ties_away(x, n):
    half = (1 << n) >> 1
    return np.where(x >= 0, (x + half) >> n, -((half - x) >> n))


def high_multiply(a, b):
    return (a * b + (1 << 30)) >> 31


def requantize(total, multiplier, shift, zero_point, low, high):
    total, shift = np.int64(total), np.int64(shift)
    steps = high_multiply(total << np.maximum(shift, 0), multiplier)
    steps = shift_ties_away(steps, np.maximum(-shift, 0))
    return np.clip(steps + zero_point, low, high)


# ---- step 5: a dense layer


def ratio_of(scales):
    x_scale, weight_scale, y_scale = map(np.float64, scales)
    return x_scale * weight_scale / y_scale


def fully_connected(x, weights, bias, scales, zero_points, limits):
    totals = (x.astype(np.int64) - zero_points[0]) @ weights.T.astype(np.int64) + bias
    steps = round_half_away(totals * ratio_of(scales)).astype(np.int64)
    return np.clip(steps + zero_points[1], *limits).astype(np.int8)


# ---- step 6: a convolution


def windows(x, size, strides, padding, fill):
    """What a filter sees: (N, rows, columns, channels, height, width)."""
    if padding == "SAME":
        sides = []
        for length, span, stride in zip(x.shape[1:3], size, strides, strict=True):
            missing = max((-(-length // stride) - 1) * stride + span - length, 0)
            sides.append((missing // 2, missing - missing // 2))
        x = np.pad(x, [(0, 0), *sides, (0, 0)], constant_values=fill)
    seen = np.lib.stride_tricks.sliding_window_view(x, size, axis=(1, 2))
    return seen[:, :: strides[0], :: strides[1]]


def conv_2d(x, weights, bias, scales, zero_points, limits, strides, padding):
    seen = windows(x, weights.shape[1:3], strides, padding, zero_points[0])
    steps = seen.astype(np.int64) - zero_points[0]
    totals = np.tensordot(steps, weights.astype(np.int64), axes=((4, 5, 3), (1, 2, 3))) + bias
    rule = multiplier_shift(ratio_of(scales))
    return requantize(totals, *rule, zero_points[1], *limits).astype(np.int8)


# ---- step 7: the largest of a window, and probabilities


def max_pool_2d(x, size, strides, padding):
    return windows(x, size, strides, padding, np.iinfo(x.dtype).min).max(axis=(4, 5))


def softmax(x, scale):
    multiplier, shift = multiplier_shift(np.float64(scale) * 2.0**26)  # codes to Q5.26
    difference = x.astype(np.int64) - x.max(axis=-1, keepdims=True)
    difference = np.maximum(difference, -((31 << 26) >> shift))
    exps = fixed_point.exp_of_negative(high_multiply(difference << shift, multiplier))
    total = shift_ties_away(exps, 12).sum(axis=-1, keepdims=True)  # Q12.19
    zeros = sum((total < (1 << bit)).astype(np.int64) for bit in range(32))
    inverse = fixed_point.reciprocal_of_one_plus((total << zeros) - 2**31)
    shares = shift_ties_away(high_multiply(inverse, exps), 12 - zeros + 31 - 8)
    return np.clip(shares - 128, -128, 127).astype(np.int8)


# ---- step 8: the whole model


def grid(tensor):
    """The scales and the zero point of a tensor, and the dtype of its codes."""
    found, dtype = tensor.quantization, reader.DTYPES[tensor.type].lower()
    return np.float32(found.scale), int(found.zeroPoint[0]), np.dtype(dtype)


def limits_of(options, tensor):
    """The codes between which the fused activation leaves the output."""
    (scale,), zero_point, dtype = grid(tensor)
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    activation = reader.ACTIVATIONS[options.fusedActivationFunction]
    if activation in ("RELU", "RELU6"):
        low = max(low, zero_point)
    if activation == "RELU6":
        high = min(high, zero_point + int(round_half_away(np.float32(6) / scale)))
    return low, high


def layer(function, model, op, tensors, x):
    """A layer with weights: what the file stores about it, handed to its function."""
    source, weights, bias = (tensors[i] for i in op.inputs)
    target, options = tensors[op.outputs[0]], op.builtinOptions
    grids = [grid(tensor) for tensor in (source, weights, target)]
    arguments = [reader.stored_value(model, tensor) for tensor in (weights, bias)]
    arguments += [[scale for scale, *_ in grids], (grids[0][1], grids[2][1])]
    arguments += [limits_of(options, target)]
    if function is conv_2d:
        arguments += [(options.strideH, options.strideW), padding_of(options)]
    return function(x, *arguments)


def rescaled(x, source, target):
    """QUANTIZE from codes to codes, as at the ends of a uint8 file."""
    (x_scale, x_zero_point, _), (y_scale, y_zero_point, dtype) = source, target
    rule = multiplier_shift(np.float64(x_scale) / np.float64(y_scale))
    ends = np.iinfo(dtype).min, np.iinfo(dtype).max
    steps = x.astype(np.int64) - x_zero_point
    return requantize(steps, *rule, y_zero_point, *ends).astype(dtype)


def padding_of(options):
    return "SAME" if options.padding == schema.Padding.SAME else "VALID"


def run(content, images):
    model = reader.read(content)
    graph = model.subgraphs[0]
    tensors, first = graph.tensors, graph.inputs[0]
    values = {first: quantize(images, *grid(tensors[first]))}
    for op in graph.operators:
        name, options = reader.operator_name(model, op), op.builtinOptions
        if name in ("SHAPE", "STRIDED_SLICE", "PACK"):
            continue  # they only compute the shape that RESHAPE asks for
        x = values[op.inputs[0]]
        if name == "QUANTIZE":
            y = rescaled(x, grid(tensors[op.inputs[0]]), grid(tensors[op.outputs[0]]))
        elif name == "CONV_2D":
            y = layer(conv_2d, model, op, tensors, x)
        elif name == "FULLY_CONNECTED":
            y = layer(fully_connected, model, op, tensors, x)
        elif name == "MAX_POOL_2D":
            strides = options.strideH, options.strideW
            size = options.filterHeight, options.filterWidth
            y = max_pool_2d(x, size, strides, padding_of(options))
        elif name == "RESHAPE":
            y = x.reshape(len(x), -1)
        elif name == "SOFTMAX":
            y = softmax(x, grid(tensors[op.inputs[0]])[0][0])
        else:
            raise ValueError(f"{name} is none of the operators of this exercise")
        values[op.outputs[0]] = y
    return values[graph.outputs[0]]
