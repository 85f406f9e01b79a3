"""Half-precision floats: their bits, and the distance between neighbours."""

import numpy as np
from numpy.typing import ArrayLike

from lessons_lib.errors import InputError
from lessons_lib.numbers import affine

FLOAT16_SMALLEST_NORMAL = 2.0**-14
FLOAT16_MAX = 65504.0


def bits(x: float) -> tuple[str, str, str]:
    """Return ``(sign, exponent, fraction)`` of ``x`` as float16: 1, 5 and 10 characters of 0 and 1.

    ``x`` is rounded to the nearest float16, ties to even; from 65520 on that is infinity.
    Raises InputError unless ``x`` is one number. Defined in lesson 05; IEEE 754, binary16.
    """
    half = _float16(x)
    if half.ndim:
        raise InputError(f"float16_bits takes one number, not an array of shape {half.shape}")
    bits = f"{int(half.view(np.uint16)):016b}"
    return bits[0], bits[1:6], bits[6:]


def spacing(x: ArrayLike) -> np.ndarray | float:
    """Return the gap between ``x``, rounded to float16, and the next float16 of larger magnitude.

    ``2**(e - 10)`` where ``2**e <= |x| < 2**(e + 1)``, and ``2**-24`` below ``2**-14``. The result
    is a float, or an array of the shape of ``x``.
    Raises InputError where ``x`` is NaN, infinite or rounds to infinity. Defined in lesson 05.
    """
    half = _float16(x)
    if not np.all(np.isfinite(half)):
        raise InputError(
            f"{affine.first(np.asarray(x), ~np.isfinite(half))} has no neighbours in float16: "
            "its largest number is 65504 (lesson 05)"
        )
    magnitude = np.maximum(np.abs(half.astype(np.float64)), FLOAT16_SMALLEST_NORMAL)
    spacing = np.ldexp(1.0, np.frexp(magnitude)[1] - 11)
    return spacing if spacing.ndim else float(spacing)


def saturated(x: ArrayLike) -> np.ndarray:
    """Return what is left of ``x`` in a float16 file of TFLiteConverter's, as float32.

    It saturates at 65,504, where NumPy alone gives infinity. Defined in lesson 05.
    """
    return np.clip(x, -FLOAT16_MAX, FLOAT16_MAX).astype(np.float16).astype(np.float32)


def _float16(x: ArrayLike) -> np.ndarray:
    with np.errstate(over="ignore"):  # a number above 65504 is infinity in float16: no surprise
        return np.asarray(x).astype(np.float16)
