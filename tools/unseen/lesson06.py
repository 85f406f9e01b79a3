"""Lesson 06: samples for calibration, one of them spoilt."""

import io
import itertools
from collections.abc import Callable

import numpy as np

_SIDE, _COUNT, SPOILT = 28, 60, 23


def samples() -> bytes:
    """``samples``, float32 (60, 28, 28, 1): drawings from 0 to 1, on black paper.

    Number 23 was scaled to -1..1, as another model's preprocessing does: no value is larger than 1,
    so a look at the largest ones finds nothing. The input's scale doubles.
    """
    rng = np.random.default_rng(606)
    images = np.stack([_drawing(rng) for _ in range(_COUNT)])[..., np.newaxis]
    images[SPOILT] = 2 * images[SPOILT] - 1
    packed = io.BytesIO()
    np.savez_compressed(packed, samples=images)
    return packed.getvalue()


def _drawing(rng: np.random.Generator) -> np.ndarray:
    """A pen's line through four or five points: float32 (28, 28), 0 to 1, in steps of 1/255."""
    y, x = np.mgrid[:_SIDE, :_SIDE]
    points = rng.uniform(5, _SIDE - 6, (rng.integers(4, 6), 2))
    away = np.full((_SIDE, _SIDE), np.inf)
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        long = max((x1 - x0) ** 2 + (y1 - y0) ** 2, 1e-9)
        along = np.clip(((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / long, 0, 1)
        away = np.minimum(away, np.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0)))
    ink = np.clip(rng.uniform(1.6, 2.2) - away, 0, 1)
    return (np.round(255 * ink) / 255).astype(np.float32)


FILES: dict[str, Callable[[], bytes]] = {"06_samples.npz": samples}
