"""Operators that take each element by itself, or two of them.

Eight bits have 256 values, and pairs of them 65,536: what such an operator does is computed once
for all of them, and looked up.
"""

from collections.abc import Callable

import numpy as np

from lessons_lib.errors import ModelFileError
from lessons_lib.numbers import affine, fixed_point
from lessons_lib.numbers.fixed_point import (
    IntegersOnly,
    double_rounding,
    high_multiply,
    shift_ties_up,
)
from lessons_lib.run.engine.integer_graph import Operator, refuse, require_room
from lessons_lib.run.engine.rescaling import (
    centered,
    clip,
    float32_ratio,
    in_vectors_of,
    rescaled,
)


def _codes(op: Operator) -> np.ndarray:
    """All values of the input's dtype, in order."""
    limits = np.iinfo(op.input.dtype)
    codes = np.arange(limits.min, limits.max + 1)
    return codes.view(IntegersOnly) if op.strict else codes


def looked_up(op: Operator, x, rule: Callable):
    """Return ``rule(op, codes)`` at the codes of ``x``; it is computed once, for all codes."""
    if "table" not in op.memory:
        op.memory["table"] = clip(op, rule(op, _codes(op)))
    return np.take(op.memory["table"], np.subtract(x, np.iinfo(x.dtype).min, dtype=np.int64))


# ---- one element


def relu(op: Operator, x):
    """RELU, RELU6, RELU_N1_TO_1 on their own: rescale, and clip."""
    if op.kernels == "tflm" and op.name == "RELU_N1_TO_1":
        raise ModelFileError("TFLite-Micro has no RELU_N1_TO_1; the other kernels do (lesson 09)")
    if op.kernels == "tflm" and op.name == "RELU6":  # it takes both scales for the same
        return x.clip(op.input.zero_point, min(op.input.code(6), np.iinfo(x.dtype).max))
    return rescaled(op, centered(op.input, x, np.int64))


def quantize(op: Operator, x):
    """QUANTIZE from integers to integers: another scale, another zero point; or from floats."""
    if op.input.dtype == np.float32:
        return _quantize_floats(op, x)
    steps = centered(op.input, x, np.int64)
    if op.by_xnnpack:
        factor = int(np.rint(256 * float32_ratio(op)[0]))
        return clip(op, shift_ties_up(steps * factor, 8) + op.output.zero_point)
    return rescaled(op, steps)


def _quantize_floats(op: Operator, x):
    """A division, or in vectors a product with 1 / scale; its ties go to even only there."""
    scale, inverse = op.output.scale[0], np.float32(1) / op.output.scale[0]
    if op.by_xnnpack:
        return clip(op, np.rint(x * inverse) + op.output.zero_point)
    fast = op.kernels in ("builtin", "xnnpack")
    steps = affine.round_half_away(x / (np.float64(scale) if fast else scale))
    if fast:
        steps = np.where(in_vectors_of(8, op, x), np.rint(x * inverse), steps)
    return clip(op, steps + op.output.zero_point)


def dequantize(op: Operator, x):
    """DEQUANTIZE: the one operator that gives floats."""
    real = affine.dequantize(x, op.input.scale[0], op.input.zero_point)
    if op.kernels != "builtin" or x.dtype == np.int16:
        return real
    scale = op.input.scale[0]  # in vectors of 8, two products are rounded instead of one
    fused = x.astype(np.float32) * scale + np.float32(-op.input.zero_point) * scale
    return np.where(in_vectors_of(8, op, x), fused, real)


def cast(op: Operator, x):
    """CAST between integers that are no codes."""
    if op.input.scale is not None or op.output.scale is not None:
        refuse(op, "takes or gives quantized codes")
    return x.astype(op.output.dtype)


def leaky_relu(op: Operator, x):
    """LEAKY_RELU: one ratio for what is above zero, another for what is below."""
    return looked_up(op, x, _leaky_relu)


def _leaky_relu(op: Operator, codes):
    steps, wide = codes - op.input.zero_point, np.float64 if op.kernels == "tflm" else np.float32
    scale, output_scale = wide(op.input.scale[0]), wide(op.output.scale[0])
    alpha = wide(np.float32(op.options.alpha))
    if op.by_xnnpack:
        ratios = scale / output_scale, scale / output_scale * alpha
        factors = [int(np.rint(np.float32(256) * ratio)) for ratio in ratios]
        scaled = [shift_ties_up(steps * factor, 8) for factor in factors]
    else:
        scaled = [
            np.int64(np.sign(ratio))
            * double_rounding(steps, *fixed_point.multiplier_shift(float(abs(ratio))))
            for ratio in (scale / output_scale, scale * alpha / output_scale)
        ]
    return np.where(steps > 0, *scaled) + op.output.zero_point


# ---- two elements


def add(op: Operator, a, b):
    """ADD, with codes of two scales; in whole vectors LiteRT's fast kernels round otherwise."""
    sums = _of_two(op, a, b, _add, np.add)
    long = a.dtype == np.int16
    fast = op.kernels in ("builtin", "xnnpack") and not op.by_xnnpack
    if op.output.scale is None or not fast or (long and (_spreads(op, a, b) or _by_shifts(op))):
        return sums
    others = _of_two(op, a, b, _add_in_vectors, np.add)
    if np.array_equal(sums, others):
        return sums
    if _spreads(op, a, b):
        refuse(op, "spreads one side over the other and rounds some sums otherwise in vectors")
    return np.where(in_vectors_of(8 if a.dtype == np.uint8 else 16, op, sums), others, sums)


def _spreads(op: Operator, a, b) -> bool:
    """Whether one side is spread over the other in a call of the runtime."""
    fixed = op.apart and op.call is not None
    shapes = [t.shape for t in op.inputs] if fixed else [a.shape, b.shape]
    return len({tuple(np.trim_zeros(np.subtract(shape, 1), "f")) for shape in shapes}) > 1


def sub(op: Operator, a, b):
    """SUB, with codes of two scales."""
    return _of_two(op, a, b, _add, np.subtract)


def mul(op: Operator, a, b):
    """MUL: the scale of the product is the product of the scales."""
    return _of_two(op, a, b, _mul, np.multiply)


def extreme(op: Operator, a, b):
    """MAXIMUM and MINIMUM: all scales are the same, so codes are compared as they are."""
    return (np.maximum if op.name == "MAXIMUM" else np.minimum)(a, b)


def _of_two(op: Operator, a, b, rule: Callable, plain: Callable):
    """Codes by ``rule``, and integers that are no codes plainly."""
    require_room(op.name, *np.broadcast_shapes(a.shape, b.shape))
    if op.output.scale is None:
        return plain(a, b).clip(*op.limits).astype(op.output.dtype)
    if any(tensor.dtype != op.output.dtype for tensor in op.inputs):
        refuse(op, f"takes {' and '.join(str(t.dtype) for t in op.inputs)}")
    if a.dtype == np.int16:
        return clip(op, rule(op, a.astype(np.int64), b.astype(np.int64)) + op.output.zero_point)
    table = rule.__name__
    if table not in op.memory:
        codes = _codes(op)
        steps = codes[:, None] - op.inputs[0].zero_point, codes - op.inputs[1].zero_point
        op.memory[table] = clip(op, rule(op, *steps) + op.output.zero_point)
    least, count = np.iinfo(a.dtype).min, len(op.memory[table])
    a, b = (np.subtract(x, least, dtype=np.int64) for x in (a, b))
    return np.take(op.memory[table], a * count + b)


def _add(op: Operator, a, b, finer: Callable | None = None):
    """Both inputs are brought to one scale with 20 more bits, added, and rescaled; SUB as well."""
    sign = -1 if op.name == "SUB" else 1
    if op.by_xnnpack:
        return _add_xnnpack(op, a, sign * b)
    if op.input.dtype == np.int16 and _by_shifts(op):
        return _add_shifted(op, a, sign * b)
    bits = 15 if op.input.dtype == np.int16 else 20
    *inward, outward = sum_multipliers(op, bits)
    first, second = (
        (finer or _finer)(op, x, bits, *rule) for x, rule in zip((a, b), inward, strict=True)
    )
    return double_rounding(first + sign * second, *outward)


def sum_multipliers(op: Operator, bits: int) -> list[tuple[int, int]]:
    """Return multiplier and shift of both inputs and of the output of ADD and SUB.

    The inputs are brought to twice the larger of their scales, with ``bits`` more bits.
    """
    scales = [float(tensor.scale[0]) for tensor in op.inputs]
    twice = 2 * max(scales)
    ratios = [*(s / twice for s in scales), twice / (2**bits * float(op.output.scale[0]))]
    return [fixed_point.multiplier_shift(ratio) for ratio in ratios]


def _finer(op: Operator, codes, bits: int, multiplier: int, shift: int):
    return double_rounding(codes << bits, multiplier, shift)


def _add_in_vectors(op: Operator, a, b):
    """The same as the vector units do it: ``optimized/integer_ops/add.h``, ``optimized_ops.h``."""
    return _add(op, a, b, _finer_in_vectors)


def _finer_in_vectors(op: Operator, codes, bits: int, multiplier: int, shift: int):
    """One shift for both, before the product is rounded; beside uint8 the second one cuts off."""
    if op.input.dtype == np.uint8:
        return high_multiply(codes << bits, multiplier) >> -shift
    return high_multiply((codes << max(bits + shift, 0)) >> max(-bits - shift, 0), multiplier)


def _add_xnnpack(op: Operator, a, b):
    """21 bits for the larger factor, rounded once, ties up."""
    factors = [tensor.scale[0] / op.output.scale[0] for tensor in op.inputs]
    shift = 21 - int(np.frexp(max(factors))[1])
    first, second = (int(np.rint(np.ldexp(factor, shift))) for factor in factors)
    return shift_ties_up(a * first + b * second, shift)


def _by_shifts(op: Operator) -> bool:
    """Whether all scales of 16-bit codes are powers of two, and the file wants shifts for them."""
    wanted = op.kernels != "tflm" and getattr(op.options, "potScaleInt16", False)
    return bool(wanted) and all(
        np.frexp(tensor.scale[0])[0] == 0.5 for tensor in (*op.inputs, op.output)
    )


def _add_shifted(op: Operator, a, b):
    shifts = [int(np.log2(op.output.scale[0] / tensor.scale[0])) for tensor in op.inputs]
    if min(shifts) != 0:
        refuse(op, "has scales that are powers of two, but none of the output's")
    first, second = (
        fixed_point.shift_ties_away(x, shift) for x, shift in zip((a, b), shifts, strict=True)
    )
    return np.clip(first + second, -(2**15), 2**15 - 1)


def _mul(op: Operator, a, b):
    if op.by_xnnpack:
        ratio = op.inputs[0].scale[0] * op.inputs[1].scale[0] / op.output.scale[0]
        return np.rint((a * b).astype(np.float32) * ratio).astype(np.int64)
    return double_rounding(a * b, *product_multiplier(op))


def product_multiplier(op: Operator) -> tuple[int, int]:
    """Return multiplier and shift of a product of codes of both inputs: MUL, PRELU below zero."""
    wide = np.float64 if op.kernels == "tflm" else np.float32
    first, second, result = (wide(tensor.scale[0]) for tensor in (*op.inputs, op.output))
    return fixed_point.multiplier_shift(float(first * second / result))


def prelu(op: Operator, x, alpha):
    """PRELU: what is below zero is multiplied by ``alpha``, which is stored in codes as well."""
    return _of_two(op, x, alpha, _prelu, np.multiply)


def _prelu(op: Operator, x, alpha):
    positive = double_rounding(x, *plain_multiplier(op))
    return np.where(x >= 0, positive, double_rounding(x * alpha, *product_multiplier(op)))


def plain_multiplier(op: Operator) -> tuple[int, int]:
    """Return multiplier and shift of codes of the first input alone: PRELU above zero."""
    wide = np.float64 if op.kernels == "tflm" else np.float32
    return fixed_point.multiplier_shift(float(wide(op.input.scale[0]) / wide(op.output.scale[0])))
