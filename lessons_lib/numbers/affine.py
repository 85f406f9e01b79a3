"""Quantization's arithmetic from scratch: an affine map between real numbers and integers.

    real = scale * (q - zero_point)        q = clip(round(real / scale) + zero_point, qmin, qmax)

Only NumPy. ``quantize`` and ``dequantize`` give bit for bit what the QUANTIZE and DEQUANTIZE
operators give with LiteRT's reference kernels (``reference_ops::AffineQuantize`` and ``Dequantize``
in ``tensorflow/lite/kernels/internal/reference``). TFLite-Micro and the converter's constants (but
for a few so close to a tie that its other arithmetic decides) round half away from zero as well;
LiteRT's default kernels (XNNPACK) round QUANTIZE's ties to even, and its builtin kernels do so in
whole vectors of eight (lesson 09). The scheme is that of Jacob et al., 2018 (arXiv:1712.05877) and
of TFLite's 8-bit quantization specification.
"""

import operator

import numpy as np
from numpy.typing import ArrayLike

from lessons_lib.errors import InputError


def integer_range(
    num_bits: int = 8, signed: bool = True, narrow_range: bool = False
) -> tuple[int, int]:
    """Return ``(qmin, qmax)``, the smallest and the largest integer of a quantized type.

    ``narrow_range`` gives up the smallest one, so that int8 is symmetric: -127..127.
    Raises InputError unless ``num_bits`` is a whole number from 2 to 16. Defined in lesson 03.
    """
    bits = _whole_number("num_bits", num_bits, 2, 16)
    qmin = -(2 ** (bits - 1)) if signed else 0
    return qmin + bool(narrow_range), qmin + 2**bits - 1


def scale_zero_point(
    low: float, high: float, num_bits: int = 8, signed: bool = True
) -> tuple[float, int]:
    """Return the asymmetric ``(scale, zero_point)`` that spreads ``low..high`` over all integers.

    The range is first widened to hold 0, so that 0 (padding, ReLU) has an exact integer:
    ``scale = (high - low) / (qmax - qmin)``, ``zero_point = qmin - low / scale`` rounded half away
    from zero. A range of zeros only has scale 1.0 and zero_point qmin.
    ``low`` and ``high`` are real numbers; the scale is a float, in real units per integer step.
    Raises InputError when either is not finite, ``low > high``, or the range is too narrow or too
    wide for a float32 scale. Defined in lesson 03.
    """
    qmin, qmax = integer_range(num_bits, signed)
    if not (np.isfinite(low) and np.isfinite(high) and low <= high):
        raise InputError(
            f"the range {low}..{high} has no scale: both ends must be finite and in order, "
            "as the minimum and maximum of real data are (lesson 03)"
        )
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    if low == high:
        return 1.0, qmin
    scale = high / (qmax - qmin) - low / (qmax - qmin)
    _require_scale(scale)
    return scale, int(round_half_away(qmin - low / scale))


def symmetric_scale(max_abs: ArrayLike, num_bits: int = 8) -> np.ndarray | float:
    """Return ``max_abs / qmax``, the scale that puts 0 at integer 0; the way of weights.

    ``max_abs`` is the largest magnitude of the tensor, or an array of one for each channel; the
    result has its shape. A channel of zeros has scale 1.0: any scale stores it exactly (the
    converter's full integer paths write 5e-7 / qmax).
    Raises InputError when a magnitude is negative or not finite, or too small or too large for a
    float32 scale. Defined in lesson 03.
    """
    max_abs = np.asarray(max_abs, dtype=np.float64)
    if not np.all(np.isfinite(max_abs)) or np.any(max_abs < 0):
        raise InputError(
            f"max_abs holds {first(max_abs, ~(np.isfinite(max_abs) & (max_abs >= 0)))}, which is "
            "no magnitude: give np.max(np.abs(weights)) of finite weights (lesson 03)"
        )
    _, qmax = integer_range(num_bits)
    scale = np.where(max_abs == 0, 1.0, max_abs / qmax)
    _require_scale(scale)
    return scale if scale.ndim else float(scale)


def per_channel_scale(weights: ArrayLike, axis: int, num_bits: int = 8) -> np.ndarray:
    """Return a symmetric scale for each channel: ``max(abs(channel)) / qmax``.

    ``weights``: real numbers; ``axis``: their output channels, the ``quantized_dimension`` of a
    file (0 in TFLite's order, 3 for a depthwise convolution). The result is float64 and has length
    1 along all other axes, so that it broadcasts against the weights; ``.ravel()`` is the list
    that a file stores. A channel of zeros has scale 1.0.
    Raises InputError when there is no such axis, the weights are empty or not finite, or a scale
    does not fit in a float32. Defined in lesson 10.
    """
    weights = _float32("weights", weights)
    if not (weights.size and -weights.ndim <= axis < weights.ndim):
        raise InputError(
            f"weights of shape {weights.shape} have no channels along axis {axis}: give the axis "
            "of the output channels (lesson 10)"
        )
    others = tuple(a for a in range(weights.ndim) if a != axis % weights.ndim)
    return symmetric_scale(np.abs(weights).max(axis=others, keepdims=True), num_bits)


def quantize_bias(bias: ArrayLike, input_scale: float, weight_scale: ArrayLike) -> np.ndarray:
    """Return ``round_half_away(bias / (input_scale * weight_scale))`` as int32.

    With the product of both scales as its own, a bias can be added to the accumulator as it is.
    ``bias``: real numbers (channels,); ``weight_scale``: one number, or one for each channel, of
    any shape (as ``per_channel_scale`` gives them). The division is in float64.
    Raises InputError when a bias is not finite, a scale is not positive and finite, their numbers
    differ, or a bias is too large for int32. Defined in lesson 10. Source: TFLite's 8-bit
    quantization specification.
    """
    bias = _float32("bias", bias)
    scales = [np.asarray(s, np.float64) for s in (input_scale, np.ravel(weight_scale))]
    for scale in scales:
        _require_scale(scale)
    if scales[1].size not in (1, bias.size):
        raise InputError(
            f"{bias.size} biases and {scales[1].size} weight scales: expected one scale, or one "
            "for each channel (lesson 10)"
        )
    steps = round_half_away(bias / (scales[0] * scales[1]))
    too_large = np.abs(steps) >= 2.0**31
    if np.any(too_large):
        raise InputError(
            f"a bias of {first(bias, too_large):g} is {first(steps, too_large):.2g} steps of "
            "input scale * weight scale, and int32 ends at 2**31 - 1: the weights of this channel "
            "are far too small beside its bias; enlarge its weight scale (lesson 10)"
        )
    return steps.astype(np.int32)


def round_half_away(x: ArrayLike) -> np.ndarray:
    """Round to the nearest whole number, ties away from zero: 0.5 -> 1, -2.5 -> -3.

    Takes and returns floats of any shape. NumPy's own ``np.rint`` sends ties to the even
    neighbour (2.5 -> 2), as LiteRT's default kernels do, and ``floor(x + 0.5)`` sends -2.5 to -2
    and 0.49999997 to 1. C's ``std::round`` does neither; the reference kernels, TFLite-Micro and
    the converter use it. Defined in lesson 03.
    """
    x = np.asarray(x)
    x = x if np.issubdtype(x.dtype, np.floating) else x.astype(np.float64)
    nearest = np.asarray(np.rint(x))
    with np.errstate(invalid="ignore"):  # infinity - infinity is no tie
        distance = np.asarray(x - nearest)
    np.abs(distance, out=distance)
    if distance.size and not distance.max() < 0.5:  # most arrays hold no tie
        ties = distance == 0.5
        nearest[ties] = x[ties] + np.copysign(x.dtype.type(0.5), x[ties])
    return nearest


def quantize(
    x: ArrayLike,
    scale: ArrayLike,
    zero_point: ArrayLike,
    num_bits: int = 8,
    signed: bool = True,
    narrow_range: bool = False,
) -> np.ndarray:
    """Return ``clip(round_half_away(x / scale) + zero_point, qmin, qmax)`` as integers.

    ``x``: real numbers of any shape, taken as float32. ``scale`` and ``zero_point``: numbers, or
    arrays that broadcast against ``x`` (per-channel). The division is in float32.
    Equal to QUANTIZE of the reference kernels and of TFLite-Micro. The default kernels (XNNPACK)
    multiply by ``1 / scale`` and send ties to even, in the first operator of a file of the path
    ``int8_float_fallback`` as well. The converter calculates weights otherwise, and rounds a few in
    a million, those at a tie, the other way.
    The result has dtype int8 or uint8 up to 8 bits, int16 or uint16 up to 16.
    Values outside the range saturate. (The kernels agree while ``|x / scale| < 2**31``; beyond that
    their conversion to int32 is undefined in C++.)
    Raises InputError when ``x`` holds NaN or inf, a scale is not positive and finite, a zero_point
    is not an integer in qmin..qmax, or their shapes do not broadcast. Defined in lesson 03.
    """
    qmin, qmax = integer_range(num_bits, signed, narrow_range)
    x, scale = _float32("x", x), _require_scale(scale)
    zero_point = _require_zero_point(zero_point, qmin, qmax).astype(np.float32)
    _require_shapes("x", x, scale, zero_point)
    return codes(x, scale, zero_point, qmin, qmax, _container(num_bits, signed))


def codes(
    x: np.ndarray,
    scale: np.ndarray,
    zero_point: np.ndarray,
    qmin: int,
    qmax: int,
    dtype: np.dtype,
) -> np.ndarray:
    """Do the arithmetic of ``quantize``, whose arguments were checked: all arrays are float32.

    For whoever quantizes piece after piece with one scale, and checks once.
    """
    with np.errstate(over="ignore"):  # a quotient beyond float32 is inf, and saturates
        steps = round_half_away(x / scale)
    # Clipped before zero_point is added, all of these are whole numbers that float32 holds.
    steps.clip(qmin - zero_point, qmax - zero_point, out=steps)
    steps += zero_point
    return steps.astype(dtype)


def dequantize(q: ArrayLike, scale: ArrayLike, zero_point: ArrayLike) -> np.ndarray:
    """Return ``scale * (q - zero_point)``, the real numbers that integers stand for, as float32.

    ``q``: integers of any shape, up to 32 bits; ``scale`` and ``zero_point`` broadcast against it.
    The product is rounded once, to float32.
    Raises InputError when ``q`` or a zero_point is not an integer, a scale is not positive and
    finite, or their shapes do not broadcast. Defined in lesson 03.
    """
    q, scale = _integers("q", q), _require_scale(scale)
    zero_point = _integers("zero_point", zero_point)
    _require_shapes("q", q, scale, zero_point)
    real = (q - zero_point) * scale.astype(np.float64)
    return np.asarray(real, dtype=np.float32)


def _container(num_bits: int, signed: bool) -> np.dtype:
    """The smallest NumPy integer type that holds ``num_bits``."""
    return np.dtype(f"{'int' if signed else 'uint'}{8 if num_bits <= 8 else 16}")


def _whole_number(name: str, value: int, least: int, most: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if not least <= number <= most:
        raise InputError(f"{name} is {value!r}; expected a whole number from {least} to {most}")
    return number


def first(values: np.ndarray, bad: np.ndarray) -> object:
    """The first bad value, for an error message."""
    return values[bad][0] if values.ndim else values[()]


def _float32(name: str, values: ArrayLike) -> np.ndarray:
    with np.errstate(over="ignore"):
        values = np.asarray(values, dtype=np.float32)
    if not np.all(np.isfinite(values)):
        raise InputError(
            f"{name} holds {first(values, ~np.isfinite(values))}, which no integer stands for: "
            "remove NaN and infinity before quantizing (lesson 03)"
        )
    return values


def _require_scale(scale: ArrayLike) -> np.ndarray:
    """The scale in float32, as files hold it."""
    with np.errstate(over="ignore", under="ignore"):
        scale = np.asarray(scale, dtype=np.float32)
    good = np.isfinite(scale) & (scale > 0)
    if not np.all(good):
        bad = first(scale, ~good)
        raise InputError(f"scale is {bad} in float32; expected a positive number (lesson 03)")
    return scale


def _integers(name: str, values: ArrayLike) -> np.ndarray:
    values = np.asarray(values)
    if not np.issubdtype(values.dtype, np.integer):
        raise InputError(f"{name} has dtype {values.dtype}; expected integers (lesson 03)")
    return values.astype(np.int64)


def _require_zero_point(zero_point: ArrayLike, qmin: int, qmax: int) -> np.ndarray:
    zero_point = _integers("zero_point", zero_point)
    if np.any((zero_point < qmin) | (zero_point > qmax)):
        bad = first(zero_point, (zero_point < qmin) | (zero_point > qmax))
        raise InputError(f"zero_point is {bad}; expected an integer in {qmin}..{qmax} (lesson 03)")
    return zero_point


def _require_shapes(
    name: str, values: np.ndarray, scale: np.ndarray, zero_point: np.ndarray
) -> None:
    """Refuse scales and zero points that do not broadcast to the values' own shape."""
    try:
        fits = np.broadcast_shapes(values.shape, scale.shape, zero_point.shape) == values.shape
    except ValueError:
        fits = False
    if not fits:
        raise InputError(
            f"{name} has shape {values.shape}, scale {scale.shape}, zero_point {zero_point.shape}; "
            "expected one number, or one for each channel along its axis: "
            "shape (channels, 1) for the rows of a matrix (lesson 03)"
        )
