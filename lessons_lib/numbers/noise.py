"""How far one array is from another that it should equal: root mean square, and decibels."""

import numpy as np
from numpy.typing import ArrayLike

from lessons_lib.errors import InputError


def rms_error(expected: ArrayLike, found: ArrayLike) -> float:
    """Return ``sqrt(mean((found - expected)**2))``, in the unit of the numbers, in float64.

    Rounding alone, evenly spread over a step, gives ``scale / sqrt(12)``, 0.29 steps.
    Raises InputError when the shapes differ, or an array is empty or not finite.
    Defined in lesson 11.
    """
    expected, found = _pair(expected, found)
    return float(np.sqrt(np.mean((found - expected) ** 2)))


def signal_to_noise(expected: ArrayLike, found: ArrayLike, *, centred: bool = False) -> float:
    """Return ``10 * log10(sum(expected**2) / sum((found - expected)**2))``, in decibels (dB).

    10 dB more is a tenth of the noise power, 6 dB about one bit; at 0 dB the noise is as strong as
    the signal. ``centred`` takes the mean over the first axis, the samples, from the signal: an
    output that hardly moves around a large offset is then judged by its movement. Arithmetic in
    float64; inf where both are equal, -inf where only the signal is all zeros. Raises InputError
    when the shapes differ, or an array is empty or not finite. Defined in lesson 11.
    """
    expected, found = _pair(expected, found)
    moving = expected - expected.mean(axis=0) if centred else expected
    return float(decibels(np.sum(moving**2), np.sum((found - expected) ** 2)))


def decibels(signal: ArrayLike, noise: ArrayLike) -> np.ndarray:
    """Return ``10 * log10(signal / noise)`` of two powers, or of arrays of them, in float64.

    inf without noise, also where there is no signal either: nothing was lost; -inf where only the
    signal is 0. Defined in lesson 11.
    """
    signal, noise = (np.asarray(power, np.float64) for power in (signal, noise))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(noise == 0, np.inf, 10 * np.log10(signal / noise))


def _pair(expected: ArrayLike, found: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    expected, found = (np.asarray(side, dtype=np.float64) for side in (expected, found))
    if expected.shape != found.shape or not expected.size:
        raise InputError(
            f"expected has shape {expected.shape} and found {found.shape}: an error is between two "
            "arrays of one shape, and not empty ones (lesson 11)"
        )
    if not (np.isfinite(expected).all() and np.isfinite(found).all()):
        raise InputError("the arrays hold NaN or inf: no error can be computed (lesson 11)")
    return expected, found
