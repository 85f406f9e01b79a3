"""Fixed-point arithmetic: what integer kernels use where mathematics has a real number.

A real factor becomes a 31-bit multiplier and a shift (``multiplier_shift``), and the product is
rounded back to an integer: runtimes differ in how. Softmax needs an exponential and a reciprocal
as well: gemmlowp's, in Q-format (a number in Qm.n is an integer divided by 2**n). All functions
but ``multiplier_shift`` take and return int64 arrays of any shape. Defined in lesson 09. Sources:
``MultiplyByQuantizedMultiplier`` in ``tensorflow/lite/kernels/internal/common.h``; gemmlowp's
``fixedpoint.h``.
"""

import numpy as np
from numpy.typing import ArrayLike

from lessons_lib.errors import FloatError, InputError
from lessons_lib.numbers import affine

ONE = 2**31 - 1  # 1.0 in Q0.31, as near as it comes


def high_multiply(a: np.ndarray, b: np.ndarray | int, bits: int = 31) -> np.ndarray:
    """Return ``a * b / 2**bits``, rounded to the nearest integer, ties up.

    gemmlowp's SaturatingRoundingDoublingHighMul: 31 bits for arguments within int32, 15 within
    int16.
    """
    return (a * b + (1 << (bits - 1))) >> bits


def shift_ties_away(x: np.ndarray, n: np.ndarray | int) -> np.ndarray:
    """Return ``x / 2**n``, rounded to the nearest integer, ties away from zero.

    gemmlowp's RoundingDivideByPOT. A tie is exactly half way: only a negative one would go up.
    """
    return (x + ((1 << n) >> 1) - ((x < 0) & (n > 0))) >> n


def shift_ties_up(x: np.ndarray, n: np.ndarray | int) -> np.ndarray:
    """Return ``x / 2**n``, rounded to the nearest integer, ties up."""
    return (x + ((1 << n) >> 1)) >> n


def double_rounding(
    acc: np.ndarray, multiplier: np.ndarray, shift: np.ndarray, ties_up: np.ndarray | bool = False
) -> np.ndarray:
    """Return ``acc * multiplier * 2**(shift - 31)``, rounded twice.

    The first time ties go up; the second time away from zero, or up where ``ties_up`` is True.
    """
    high = high_multiply(acc << np.maximum(shift, 0), multiplier)
    n = np.maximum(-shift, 0)
    return np.where(ties_up, shift_ties_up(high, n), shift_ties_away(high, n))


def wide_rounding(acc: np.ndarray, multiplier: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Return ``acc * multiplier * 2**(shift - 31)``, rounded once, ties up.

    For accumulators of up to 48 bits, beside 16-bit codes: only 15 bits of the multiplier are kept,
    so that the product has room in 64. ``MultiplyByQuantizedMultiplier`` for int64.
    """
    short = np.minimum((multiplier + (1 << 15)) >> 16, 0x7FFF)
    return shift_ties_up(acc * short, 15 - shift)


def exp_of_negative(x: np.ndarray, integer_bits: int = 5, bits: int = 31) -> np.ndarray:
    """Return ``exp(x)`` in Q0.31 for ``x <= 0`` in Q5.26: a polynomial, then factors from a table.

    ``x = -q - r`` with q on a grid of quarters and r in (0, 1/4]: the polynomial gives ``exp(-r)``,
    and each bit of q one factor ``exp(-2**k)``. ``integer_bits`` and ``bits`` (31 or 15) say which
    other format x has, Q4.27 or Q3.12. gemmlowp's exp_on_negative_values.
    """
    quarter_bit = bits - 2 - integer_bits
    rest = (x & ((1 << quarter_bit) - 1)) - (1 << quarter_bit)
    result, whole = _exp_of_small(rest << integer_bits, bits), rest - x
    factors = _EXP_OF_MINUS_POWERS[: integer_bits + 2]
    for bit, factor in enumerate(factors, start=quarter_bit):
        smaller = high_multiply(result, _constant(factor, bits), bits)
        result = np.where(whole >> bit & 1, smaller, result)
    if integer_bits > 5:  # below -32 there is no factor left
        result = np.where(x < -(32 << (bits - integer_bits)), 0, result)
    return np.where(x == 0, (1 << bits) - 1, result)


def _constant(of_32_bits: int, bits: int) -> int:
    """A constant of 31 bits behind the sign, rounded to as many as there are."""
    return int(shift_ties_away(of_32_bits, 31 - bits))


# exp(-1/4), exp(-1/2), exp(-1), ... exp(-16) in Q0.31
_EXP_OF_MINUS_POWERS = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)


def _exp_of_small(x: np.ndarray, bits: int) -> np.ndarray:
    """``exp(x)`` for -1/4 <= x < 0, both in Q0.bits: Taylor's series of degree 4 about -1/8."""
    exp_of_minus_eighth, third = _constant(1895147668, bits), _constant(715827883, bits)
    x = x + (1 << (bits - 3))
    x2 = high_multiply(x, x, bits)
    x3, x4 = high_multiply(x2, x, bits), high_multiply(x2, x2, bits)
    tail = high_multiply(shift_ties_away(x4, 2) + x3, third, bits) + x2
    sum_of_powers = x + shift_ties_away(tail, 1)
    return exp_of_minus_eighth + high_multiply(sum_of_powers, exp_of_minus_eighth, bits)


def reciprocal_of_one_plus(x: np.ndarray, bits: int = 31) -> np.ndarray:
    """Return ``1 / (1 + x)`` in Q0.bits for ``x`` in Q0.bits, 0 <= x < 1: three steps of Newton.

    gemmlowp's one_over_one_plus_x_for_x_in_0_1.
    """
    return np.minimum(_two_over_one_plus(x, bits) << 1, (1 << bits) - 1)


def _two_over_one_plus(x: np.ndarray, bits: int) -> np.ndarray:
    """``2 / (1 + x)`` with two bits before the point."""
    half = (x + (1 << bits)) >> 1
    first, slope = _constant(1515870810, bits), _constant(-1010580540, bits)  # 48/17, -32/17
    result = first + high_multiply(half, slope, bits)
    for _ in range(3):
        error = (1 << (bits - 2)) - high_multiply(half, result, bits)
        result = result + (high_multiply(result, error, bits) << 2)
    return result


def logistic(x: np.ndarray, integer_bits: int = 4, bits: int = 31) -> np.ndarray:
    """Return ``1 / (1 + exp(-x))`` in Q0.bits for ``x`` in Q4.27 or as said.

    gemmlowp's logistic.
    """
    upper = reciprocal_of_one_plus(exp_of_negative(-np.abs(x), integer_bits, bits), bits)
    right = np.where(x > 0, upper, (1 << bits) - 1 - upper)
    return np.where(x == 0, 1 << (bits - 1), right)


def tanh(x: np.ndarray, integer_bits: int = 4, bits: int = 31) -> np.ndarray:
    """Return ``tanh(x)`` in Q0.bits for ``x`` in Q4.27 or as said. gemmlowp's tanh.

    With ``e = exp(-2 * abs(x))`` it is ``(1 - e) / (1 + e) = 2 / (1 + e) - 1`` on the right side.
    """
    power = exp_of_negative(-np.abs(x), integer_bits + 1, bits)  # so read, the number is 2 * x
    right = (_two_over_one_plus(power, bits) - (1 << (bits - 2))) << 2
    right = np.clip(right, -(1 << bits), (1 << bits) - 1)
    return np.where(x == 0, 0, np.where(x > 0, right, -right))


class IntegersOnly(np.ndarray):
    """An array that raises FloatError when a computation with it takes or gives a float.

    Single numbers taken out of it, and ``np.asarray`` of it, are not guarded.
    """

    def __array_ufunc__(self, ufunc, method, *inputs, **keywords):
        if "out" in keywords:
            keywords["out"] = _plain(keywords["out"])
        result = getattr(ufunc, method)(*_plain(inputs), **keywords)
        result = _integers_only(result, f"{ufunc.__name__} gives")
        for given in inputs:  # a comparison gives no float, but may take one
            _integers_only(np.asarray(given), f"{ufunc.__name__} takes")
        return result

    def __array_function__(self, function, types, arguments, keywords):
        result = super().__array_function__(function, types, arguments, keywords)
        return _integers_only(result, f"{function.__name__} gives")

    def astype(self, dtype, *arguments, **keywords):
        return _integers_only(super().astype(dtype, *arguments, **keywords), "astype gives")


def _plain(arrays: tuple) -> tuple:
    return tuple(np.asarray(x) if isinstance(x, IntegersOnly) else x for x in arrays)


def _integers_only(result: object, what: str) -> object:
    """Let integers and truth values pass on, as IntegersOnly; raise on anything else."""
    if not isinstance(result, np.ndarray | np.generic):
        return result
    if result.dtype.kind not in "iub":
        raise FloatError(f"{what} {result.dtype}, not integers (lesson 09)")
    return np.asarray(result).view(IntegersOnly)


def multiplier_shift(real_multiplier: ArrayLike) -> tuple[np.ndarray | int, np.ndarray | int]:
    """Write a positive real number as a 31-bit integer times a power of two.

    ``fraction * 2**shift = real_multiplier`` with the fraction in [0.5, 1);
    ``multiplier = affine.round_half_away(fraction * 2**31)``, so that

        real_multiplier = multiplier * 2**(shift - 31)        to one part in 2**31

    A multiplier that was rounded up to 2**31 is halved, and its shift raised. Zero, and what is
    below 2**-32, gives (0, 0). For a layer, ``real_multiplier`` is input scale times weight scale
    divided by output scale, float32 numbers multiplied in float64: a number, or an array with one
    for each channel.
    The results have its shape: ``multiplier`` int32, 0 or 2**30..2**31 - 1, ``shift`` int32,
    -31..30 (ints for a number).
    Raises InputError when a number is negative, not finite, or above 2**30 - 1.
    Defined in lesson 09. Source: ``QuantizeMultiplier`` in
    ``tensorflow/lite/kernels/internal/quantization_util.cc``.
    """
    real = np.asarray(real_multiplier, dtype=np.float64)
    good = (real >= 0) & (real <= 2.0**30 - 1)  # beyond, an accumulator of 2 leaves int32
    if not np.all(good):
        raise InputError(
            f"real_multiplier is {affine.first(real, ~good)}; expected input scale * weight "
            "scale / output scale, a number from 0 to 2**30 - 1 (lesson 09)"
        )
    fraction, shift = np.frexp(real)
    multiplier = affine.round_half_away(fraction * 2.0**31)
    carried = multiplier == 2.0**31
    multiplier, shift = np.where(carried, 2.0**30, multiplier), shift + carried
    kept = (shift >= -31) & (multiplier > 0)
    multiplier, shift = (np.where(kept, part, 0).astype(np.int32) for part in (multiplier, shift))
    return (multiplier, shift) if real.ndim else (int(multiplier), int(shift))
