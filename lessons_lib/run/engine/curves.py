"""LOGISTIC, TANH, HARD_SWISH and SOFTMAX: curves, from tables or in fixed point.

LiteRT makes its 8-bit tables of floats, before the first image; TFLite-Micro has fixed point
throughout, but for the tables of a 16-bit SOFTMAX.
"""

import numpy as np

from lessons_lib.numbers import affine, fixed_point
from lessons_lib.numbers.fixed_point import (
    double_rounding,
    exp_of_negative,
    high_multiply,
    reciprocal_of_one_plus,
    shift_ties_away,
    shift_ties_up,
)
from lessons_lib.run.engine.elementwise import looked_up
from lessons_lib.run.engine.integer_graph import Operator, refuse
from lessons_lib.run.engine.rescaling import centered, clip


def logistic(op: Operator, x):
    """LOGISTIC, the sigmoid: 1 / (1 + exp(-x))."""
    return looked_up(op, x, _logistic_16 if x.dtype == np.int16 else _logistic)


def _logistic(op: Operator, codes):
    if op.kernels == "tflm":
        return _in_fixed_point(op, codes, fixed_point.logistic, 8) - 128
    if op.by_xnnpack:
        return _by_floats(op, codes, _sigmoid_xnnpack)
    return _by_floats(op, codes, lambda x: np.float32(1) / (1 + _exp(-x)))


def _sigmoid_xnnpack(x):
    power = np.exp(np.clip(x, -100, 100).astype(np.float64))
    return power / (1 + power)


def tanh(op: Operator, x):
    """TANH, the hyperbolic tangent."""
    return looked_up(op, x, _tanh_16 if x.dtype == np.int16 else _tanh)


def _tanh(op: Operator, codes):
    if op.kernels == "tflm":
        return _in_fixed_point(op, codes, fixed_point.tanh, 7)
    return _by_floats(op, codes, lambda x: np.tanh(np.float64(x)))


def _exp(x):
    """exp in float32, as near as the C library's."""
    return np.exp(np.float64(x)).astype(np.float32)


def _by_floats(op: Operator, codes, curve):
    """Dequantize, apply the curve, quantize: XNNPACK rounds ties to even, LiteRT away from zero."""
    real = op.input.scale[0] * (codes - op.input.zero_point).astype(np.float32)
    with np.errstate(over="ignore"):
        steps = curve(real).astype(np.float32) * (np.float32(1) / op.output.scale[0])
    if op.by_xnnpack:
        return np.rint(steps + np.float32(op.output.zero_point)).astype(np.int64)
    return affine.round_half_away(steps).astype(np.int64) + op.output.zero_point


def _in_fixed_point(op: Operator, codes, curve, bits: int):
    """The curve of a Q4.27 number, rounded to ``bits`` behind the point; the ends saturate."""
    steps = codes - op.input.zero_point
    fraction, shift = np.frexp(float(op.input.scale[0]) * 2.0**27)
    multiplier = int(affine.round_half_away(fraction * 2.0**31))
    radius = int(np.floor(15 * 2.0**27 / 2.0**shift))
    inside = np.abs(steps) < radius
    scaled = double_rounding(np.where(inside, steps, 0), multiplier, int(shift))
    ends = np.where(steps < 0, 0 if bits == 8 else -128, 255 if bits == 8 else 127)
    return np.where(inside, shift_ties_away(curve(scaled), 31 - bits), ends)


def hard_swish(op: Operator, x):
    """HARD_SWISH: x * relu6(x + 3) / 6, in 16-bit fixed point."""
    if x.dtype == np.int16:
        refuse(op, "takes int16")
    return looked_up(op, x, _hard_swish)


def _hard_swish(op: Operator, codes):
    fine = np.float32(1 / 128) * op.input.scale[0]  # 7 more bits behind the point
    steps = (codes - op.input.zero_point) << 7
    multiplier, shift = _short_multiplier(fine / op.output.scale[0])
    if shift > 0:
        refuse(op, "has an input scale above 128 output scales")
    outer = shift_ties_up(steps * multiplier, 15)
    gate = _gate(steps, *_short_multiplier(fine / np.float32(3 / 32768)))
    product = gate * outer
    product = np.sign(product) * (np.abs(product) >> 15)  # towards zero
    return shift_ties_away(product, -shift) + op.output.zero_point


def _gate(steps, multiplier: int, shift: int):
    """relu6(x + 3) / 6 in Q0.15: rescaled so that 3 is the end of 16 bits, which saturate."""
    if shift > 0:
        steps = _saturated(steps << (shift - 1))
    steps = shift_ties_up(steps * multiplier, 15)
    if shift > 0:
        steps = _saturated(steps << 1)
    return (shift_ties_away(steps, max(-shift, 0)) + 2**15) >> 1


def _saturated(x):
    return np.clip(x, -(2**15), 2**15 - 1)


def _short_multiplier(ratio) -> tuple[int, int]:
    multiplier, shift = fixed_point.multiplier_shift(float(ratio))
    return min((multiplier + (1 << 15)) >> 16, 0x7FFF), shift


def softmax(op: Operator, x):
    """SOFTMAX over the last axis: in fixed point, LiteRT's fast kernels from a table of floats.

    Codes of 8 bits may become codes of 16.
    """
    if x.dtype == np.int16:
        return _softmax_16(op, x)
    fast = op.kernels in ("builtin", "xnnpack")
    return (_softmax_table if fast else _softmax_fixed_point)(op, x)


def exps_of_steps(op: Operator, difference):
    """Return exp of ``difference`` <= 0 input steps of a SOFTMAX, in Q0.31; 0 far below."""
    step = min(float(op.options.beta) * float(op.input.scale[0]) * 2.0**26, 2.0**31 - 1)
    multiplier, shift = fixed_point.multiplier_shift(step / 2)  # half a step in Q5.26
    shift += 1
    seen = difference >= -((31 << 26) >> shift)  # exp of the others is nothing
    scaled = high_multiply(np.where(seen, difference, 0) << shift, multiplier)
    return np.where(seen, exp_of_negative(scaled), 0)


def _softmax_fixed_point(op: Operator, x):
    difference = centered(op.input, x, np.int64)
    exps = exps_of_steps(op, difference - difference.max(axis=-1, keepdims=True))
    total = shift_ties_away(exps, 12).sum(axis=-1, keepdims=True)
    headroom = sum((total < (1 << bit)).astype(np.int64) for bit in range(32))
    inverse = reciprocal_of_one_plus((total << headroom) - 2**31)
    shares = high_multiply(inverse, exps)
    bits = 8 * op.output.dtype.itemsize
    codes = shift_ties_away(shares, 43 - bits - headroom)
    return clip(op, codes + np.iinfo(op.output.dtype).min)


def _softmax_table(op: Operator, x):
    factor = -op.input.scale[0] * np.float32(op.options.beta)
    table = np.exp((factor * np.arange(256, dtype=np.float32)).astype(np.float64))
    distance = x.max(axis=-1, keepdims=True).astype(np.int64) - x
    exps = table.astype(np.float32)[distance]
    total = exps.cumsum(axis=-1, dtype=np.float32)[..., -1:]  # added from left to right
    inverse = np.float32(1) / (total * op.output.scale[0])
    codes = (exps * inverse + np.float32(0.5)).astype(np.int64)
    return clip(op, codes + op.output.zero_point)


# ---- 16 bits: tables of few places, with straight lines between them


def _logistic_16(op: Operator, codes):
    fast = op.kernels in ("builtin", "xnnpack")
    if fast and _power(op) == -12:
        return fixed_point.logistic(codes, 3, 15)
    return sigmoid_16(_for_the_table(op, codes, (-12,)))


def _tanh_16(op: Operator, codes):
    fast = op.kernels in ("builtin", "xnnpack")
    if fast and _power(op) in (-12, -11):
        return fixed_point.tanh(codes, 15 + _power(op), 15)
    return tanh_16(_for_the_table(op, codes, (-12, -11)))


def sigmoid_16(x):
    """Return ``sigmoid(x)`` in Q0.15, where 2**17 stands for 32/3."""
    place, rest = np.minimum(np.abs(x) >> 9, 255), np.abs(x) & 511
    between = (_SIGMOID[place] << 9) + rest * (_SIGMOID[place + 1] - _SIGMOID[place])
    half = np.where(place >= 255, 0x7FFF << 10, between)
    return np.where(x >= 0, half + (1 << 9), (1 << 25) - half + (1 << 9) - 1) >> 10


def tanh_16(x):
    """Return ``tanh(x) = 2 * sigmoid(2 * x) - 1`` in Q0.15, where 2**17 stands for 32/3."""
    place, rest = np.minimum(np.abs(x) >> 8, 255), np.abs(x) & 255
    between = (_SIGMOID[place] << 8) + rest * (_SIGMOID[place + 1] - _SIGMOID[place])
    twice = np.where(place >= 255, 0xFFFF << 8, between)
    one = 1 << 23
    return np.where(x >= 0, twice - one + 128, one - twice + 127) >> 8


def _power(op: Operator) -> int | None:
    """The exponent of an input scale that is a power of two."""
    fraction, exponent = np.frexp(op.input.scale[0])
    return int(exponent) - 1 if fraction == 0.5 else None


def _for_the_table(op: Operator, codes, exact: tuple[int, ...]):
    """Codes so that 2**17 stands for 32/3; some scales are multiplied by 3 without rounding."""
    if _power(op) in exact:
        return codes * (3 << (_power(op) + 12))
    multiplier, shift = float(op.input.scale[0]) * 4096 * 3, 0
    while multiplier <= 32767 / 2 and shift <= 30:
        multiplier, shift = multiplier * 2, shift + 1
    return (codes * int(multiplier) + ((1 << shift) >> 1)) >> shift


def _sigmoid_table() -> np.ndarray:
    """sigmoid(n / 24) in Q0.16; at some places the runtimes' own table has one more."""
    table = np.floor(2**16 / (1 + np.exp(-np.arange(256) / 24)) + 0.5).astype(np.int64)
    table[_ONE_MORE] += 1
    return np.append(table, table[-1])


# fmt: off
_ONE_MORE = [
    4, 8, 12, 14, 15, 16, 17, 19, 20, 21, 22, 25, 27, 28, 29, 30, 31, 33, 34, 35, 37, 39, 40, 41,
    43, 44, 45, 46, 49, 50, 54, 62, 63, 64, 66, 82, 86, 93, 100, 103, 112, 116, 135, 255,
]
# fmt: on
_SIGMOID = _sigmoid_table()


def _softmax_16(op: Operator, x):
    """From two tables with lines between their places: exp from -10 to 0, and 1 / (1 + x)."""
    if "exp" not in op.memory:
        wide = np.float32 if op.kernels == "tflm" else np.float64
        op.memory["exp"] = _table_16(lambda real: np.exp(real), -10, 0, wide)
        op.memory["inverse"] = _table_16(lambda real: 1 / (1 + real), 0, 1, wide)
    ratio = float(op.input.scale[0] * np.float32(op.options.beta)) / (10 / 65535)
    difference = x.astype(np.int64) - x.max(axis=-1, keepdims=True)
    scaled = double_rounding(difference, *fixed_point.multiplier_shift(ratio))
    exps = _between(op.memory["exp"], _saturated(scaled + 32767))
    total = exps.sum(axis=-1, keepdims=True)
    bits = sum((total >= (1 << bit)).astype(np.int64) for bit in range(31))
    normal = ((total << (31 - bits)) + (1 << 13)) >> 14
    inverse = _between(op.memory["inverse"], _saturated(normal - (1 << 15) - (1 << 16)))
    return np.clip(shift_ties_up(exps * inverse, bits - 1), 0, 2**15 - 1).astype(np.int16)


def _between(table: np.ndarray, x):
    """The table at ``x``: its 9 high bits choose the place, the 7 low ones go on to the next."""
    place = 256 + (x >> 7)
    base = np.take(table, place)
    return base + (((np.take(table, place + 1) - base) * (x & 127) + 64) >> 7)


def _table_16(curve, least: float, most: float, wide: type) -> np.ndarray:
    """513 places of a curve in Q0.15, moved so that the lines between them err to both sides."""
    least, most = wide(least), wide(most)
    step = (most - least) / wide(512)
    places = least + np.arange(512).astype(wide) * step
    scale = wide(2**16) / (wide(2) / wide(65535) * wide(65535))
    here, next_, middle = (
        curve(real) * scale for real in (places, least + np.arange(1, 513).astype(wide) * step,
                                         places + step / wide(2))
    )  # fmt: skip
    away = affine.round_half_away
    error = away((next_ + away(here)) / wide(2)) - away(middle)
    table = np.append(away(here) - away(error / wide(2)), away(curve(most) * scale))
    return np.clip(table, -(2**15), 2**15 - 1).astype(np.int64)
