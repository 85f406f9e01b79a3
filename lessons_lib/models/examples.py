"""Four models that are not the digits, as their owners have them: a Keras file, and samples.

Lessons 15 and 16 quantize them. The files are committed, because another machine trains slightly
other weights; the samples are drawn anew from a seed, and no picture of anybody's is kept. Real
data would be better and are not ours to give away: take your own.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from lessons_lib.errors import InputError
from lessons_lib.models import data
from lessons_lib.system import files

NAMES = ("photos", "textures", "pump", "fruit")
TEXTURES = ("stripes", "checks", "rings", "dots", "waves", "rays")
CONDITIONS = ("sound", "worn bearing", "blocked filter")
KINDS = ("apple", "lemon", "lime", "plum")
FOLDER = files.data_folder() / "models" / "examples"


def model(name: str) -> Path:
    """Return the committed ``.keras`` file of an example; raises InputError for another name."""
    return FOLDER / f"{_known(name)}.keras"


def card(name: str) -> dict[str, Any]:
    """Return what is known of an example's model: what it was trained on, its accuracy, checksum.

    Raises InputError for an unknown name.
    """
    return json.loads((FOLDER / "cards.json").read_text("utf-8"))[_known(name)]


def _known(name: str) -> str:
    if name not in NAMES:
        raise InputError(f"no example {name!r}; the course has {', '.join(NAMES)} (lesson 15)")
    return name


def photos(samples: int) -> dict[str, np.ndarray]:
    """Return the first of CIFAR-10's test photographs, which TFDS brings; see ``data.load``.

    ``image`` float32 (N, 32, 32, 3) in 0..1, and ``y``, the class. Defined in lesson 15.
    """
    split = data.load("cifar10").test[:samples]
    return {"image": split.images, "y": split.labels}


def textures(samples: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Return coloured patterns with noise, which stand in where there are no photographs.

    ``image`` float32 (N, 32, 32, 3) in 0..1; ``y`` int64 (N,), the place in TEXTURES. Angle,
    spacing, place and both colours are drawn with ``seed``. Defined in lesson 15.
    """
    rng = np.random.default_rng(seed)
    y = rng.integers(0, len(TEXTURES), samples)
    angle, spacing = rng.uniform(0, np.pi, samples), rng.uniform(0.5, 1.1, samples)
    rows, columns = np.mgrid[:32, :32][:, None] - 15.5 + rng.uniform(-8, 8, (2, samples, 1, 1))
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    u, v = (spacing[:, None, None] * each for each in (columns * cos + rows * sin,
                                                      rows * cos - columns * sin))  # fmt: skip
    patterns = (np.sin(u), np.sin(u) * np.sin(v), np.sin(np.hypot(u, v)),
                2 * np.maximum(np.sin(u) * np.sin(v), 0) ** 2 - 1, np.sin(u + 2 * np.sin(v / 2)),
                np.sin(6 * np.arctan2(v, u)))  # fmt: skip
    pattern = np.choose(y[:, None, None], patterns)[..., None] / 2 + 0.5
    one, other = rng.uniform(0.1, 0.9, (2, samples, 1, 1, 3))
    noise = rng.normal(0, 0.12, (samples, 32, 32, 3))
    image = np.clip(one + pattern * (other - one) + noise, 0, 1)
    return {"image": image.astype(np.float32), "y": y}


def pump(samples: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Return what six sensors of a pump read, and its condition.

    ``readings`` float32 (N, 6): pressure (Pa), speed (1/min), temperature (°C), current (A),
    vibration (m/s), leakage (m³/s); ``y`` int64 (N,), the place in CONDITIONS.
    Defined in lesson 15.
    """
    rng = np.random.default_rng(seed)
    y = rng.integers(0, len(CONDITIONS), samples)
    usual = np.array([400_000, 2900, 60, 4.2, 0.003, 2e-6])
    spread = np.array([20_000, 40, 5, 0.3, 0.0006, 5e-7])
    shift = np.array([[0, 0, 0, 0, 0, 0], [0, -1, 2, 1, 3, 1], [3, 1, 1, -2, 0, -2]])
    readings = usual + spread * (shift[y] + rng.normal(0, 1, (samples, 6)))
    return {"readings": readings.astype(np.float32), "y": y}


def fruit(samples: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Return pictures of fruits on a belt with two sensors' readings, what they are, how large.

    ``picture`` float32 (N, 24, 24, 3) in 0..1 and ``sensors`` float32 (N, 2): the distance (mm),
    without which a picture tells no size, and the light (lux). ``kind`` int64 (N,), the place in
    KINDS, and ``diameter`` float32 (N, 1) in mm. Defined in lesson 15.
    """
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, len(KINDS), samples)
    usual, spread = np.array([[75, 55, 45, 45], [8, 6, 5, 5]])
    diameter = usual[kind] + spread[kind] * rng.normal(0, 1, samples)
    distance, light = rng.uniform(250, 500, samples), rng.uniform(300, 900, samples)
    colours = np.array([[0.8, 0.25, 0.2], [0.9, 0.8, 0.25], [0.5, 0.75, 0.3], [0.45, 0.2, 0.45]])
    colour = colours[kind] + rng.normal(0, 0.12, (samples, 3))
    radius = 48 * (diameter / distance)[:, None, None]  # in pixels
    rows, columns = np.mgrid[:24, :24][:, None] - 11.5 + rng.uniform(-2, 2, (2, samples, 1, 1))
    longer = np.array([1.0, 1.3, 1.1, 1.2])[kind][:, None, None]
    inside = np.clip(radius + 0.5 - np.hypot(rows, columns / longer), 0, 1)[..., None]
    picture = 0.35 + inside * (colour[:, None, None] - 0.35)
    picture = picture * (light / 900)[:, None, None, None] + rng.normal(0, 0.06, picture.shape)
    return {
        "picture": np.clip(picture, 0, 1).astype(np.float32),
        "sensors": np.stack([distance, light], axis=1).astype(np.float32),
        "kind": kind,
        "diameter": diameter[:, None].astype(np.float32),
    }
