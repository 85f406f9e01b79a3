"""The open task of lesson 03: a log that was stored in int8, not all of it well."""

import io

import numpy as np

from lessons_lib import affine

_READINGS = 2016  # one each five minutes, a week


def greenhouse() -> bytes:
    """Return an ``.npz`` with a week of three sensors, and what a logger kept of it.

    Hidden: the sensor of ``temperature`` was unplugged once and gave -999, which set the range of
    all; beside the codes of ``light`` stands a zero point that is 12 too high, so night is not
    dark; ``humidity`` is stored well.
    """
    random = np.random.default_rng(3)
    hours = np.arange(_READINGS) / 12
    day = np.sin(2 * np.pi * (hours - 6) / 24)
    readings = {
        "temperature": 21 + 7 * day + random.normal(0, 0.4, _READINGS),
        "humidity": 68 - 22 * day + random.normal(0, 1.5, _READINGS),
        "light": np.maximum(0, 610 * day + random.normal(0, 25, _READINGS)) * (day > 0),
    }
    readings["temperature"][1377] = -999
    wrong = {"light": 12}
    arrays = {}
    for name, values in readings.items():
        x = values.astype(np.float32)
        scale, zero_point = affine.scale_zero_point(x.min(), x.max())
        arrays[name] = x
        arrays[f"{name}_codes"] = affine.quantize(x, scale, zero_point)
        arrays[f"{name}_scale"] = np.float32(scale)
        arrays[f"{name}_zero_point"] = np.int32(zero_point + wrong.get(name, 0))
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    return packed.getvalue()


FILES = {"03_greenhouse.npz": greenhouse}
