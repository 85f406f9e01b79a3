"""Which operators the XNNPACK delegate takes over; the others run on LiteRT's builtin kernels.

From ``xnnpack_delegate.cc``: it takes 8-bit codes alone, and for some operators only ratios of
scales that its multipliers can hold.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

EIGHT_BITS = (np.int8, np.uint8)


def taken(op) -> bool:
    """Return whether XNNPACK computes an Operator of the engine."""
    floats = op.name == "QUANTIZE" and op.input.dtype == np.float32
    if any(t.dtype not in EIGHT_BITS for t in (() if floats else (op.input,)) + (op.output,)):
        return False
    return op.name in TAKEN and bool(TAKEN[op.name](op))


def _any(op) -> bool:
    return True


def _sums(op) -> bool:
    """ADD and SUB."""
    ratios = [tensor.scale[0] / op.output.scale[0] for tensor in op.inputs]
    return all(1 / 1024 <= ratio < 256 for ratio in ratios)


def _product(op) -> bool:
    first, second = (tensor.scale[0] for tensor in op.inputs)
    return 2.0**-16 <= first * second / op.output.scale[0] < 256


def _requantized(op) -> bool:
    if op.input.dtype == np.float32:
        return True
    same = op.input.dtype == op.output.dtype
    return same and 1 / 256 <= op.input.scale[0] / op.output.scale[0] <= 128


def _leaking(op) -> bool:
    positive = op.input.scale[0] / op.output.scale[0]
    negative = positive * np.float32(op.options.alpha)
    sound = 1 / 256 <= positive <= 128 and -127.99609375 <= negative <= 128
    return sound and abs(negative) >= 1 / 256


def _convolution(op) -> bool:
    return not op.inputs[1].packed


def _depthwise(op) -> bool:
    """Weights of uint8 have one scale for all, which must be said to be along axis 0."""
    return not op.inputs[1].packed and not (op.asymmetric and op.inputs[1].axis)


def _transposed(op) -> bool:
    """A filter must be as wide as its steps and the sizes agree where it pads, or fit into them."""
    if op.inputs[0].value is None or op.inputs[1].packed:  # a shape that is computed, 4 bits
        return False
    sizes, lengths, results = (t.shape[1:3] for t in (op.inputs[1], op.input, op.output))
    strides, padded = (op.options.strideH, op.options.strideW), op.options.padding
    return all(
        size >= step and -(-result // step) == length
        if padded == schema.Padding.SAME
        else size <= result
        for size, step, length, result in zip(sizes, strides, lengths, results, strict=True)
    )


TAKEN = {
    "ADD": _sums,
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _any,
    "LEAKY_RELU": _leaking,
    "LOGISTIC": _any,
    "MAX_POOL_2D": _any,
    "MEAN": _any,
    "MUL": _product,
    "QUANTIZE": _requantized,
    "RESIZE_BILINEAR": _any,
    "SUB": _sums,
    "TANH": _any,
    "TRANSPOSE_CONV": _transposed,
}
