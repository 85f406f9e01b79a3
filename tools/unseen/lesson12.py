"""What the open task of lesson 12 is about: two logs of one training, one of code with a slip."""

import io
from collections.abc import Callable

import numpy as np

STEPS, RATE, LIMIT, QMAX = 300, 0.1, 0.7, 7
# Where each of the ten weights should go, and where it starts.
TARGETS = np.array([0.3, -0.17, 0.95, -0.5, 0.43, 0.1, -1.2, -0.36, 0.6, -0.2])
STARTS = np.array([0.02, 0.11, 0.1, -0.3, -0.05, -0.9, -0.4, 0.04, 0.25, 0.38])


def two_logs() -> bytes:
    """The shadow weights of ten weights over 300 steps, twice: ``a`` and ``b``, (steps, weights).

    ``b`` passes the gradient on outside the range, too. So weights 2 and 6, whose targets lie
    outside, run away there, and weight 5, which starts outside, comes back; in ``a`` they stay
    where they are. Weights 1, 4 and 7 have targets between two steps of the grid, off the middle:
    their copies flip to the end. The others rest on their targets.
    """
    stored = io.BytesIO()
    np.savez_compressed(stored, a=_trained(masked=True), b=_trained(masked=False))
    return stored.getvalue()


def _trained(masked: bool) -> np.ndarray:
    shadow, scale, log = STARTS.copy(), LIMIT / QMAX, []
    for _ in range(STEPS):
        log.append(shadow.astype(np.float32))
        copy = scale * np.round(np.clip(shadow, -LIMIT, LIMIT) / scale)
        gradient = copy - TARGETS  # an input of 1, a loss of its own
        if masked:
            gradient *= np.abs(shadow) <= LIMIT
        gradient[np.abs(gradient) < 1e-9] = 0.0  # on the target, but for the last bit
        shadow = shadow - RATE * gradient
    return np.array(log)


FILES: dict[str, Callable[[], bytes]] = {"12_two_logs.npz": two_logs}
