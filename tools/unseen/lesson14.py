"""What the open task of lesson 14 is about: a model of a page, and what the page gave for digits.

No browser ran here: a few lines of Python play the page, with its slips.
"""

import functools
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lessons_lib import calibration, data, every_path, runtime, sandbox

DIGITS = 60


@functools.cache
def kiosk_model() -> bytes:
    """The course's ``mnist_cnn`` as uint8 with a batch of one; it hides nothing."""
    samples = calibration.representative_dataset(data.load("mnist").calibration)
    with tempfile.TemporaryDirectory() as folder:
        saved_model = Path(folder, "saved_model")
        sandbox.call("lessons_lib.models.training:save_reference", "mnist_cnn", saved_model, 1)
        written = every_path.convert(saved_model, samples, Path(folder, "made"), names=["uint8"])
        return Path(written["uint8"]).read_bytes()


def kiosk_outputs() -> bytes:
    """What a page gave that makes two slips, one at each end.

    It reads the picture from below, as WebGL's ``readPixels`` gives it: the last row comes first.
    And it divides the answers' codes by 255, where the file says a scale of 1/256.
    """
    pixels = data.load("mnist").test.pixels[:DIGITS]
    upside_down = np.flip(pixels, axis=1)
    codes = runtime.Model(kiosk_model()).run(upside_down)
    numbers = (codes / 255).round(6)
    said = {
        "model": "14_kiosk.tflite",
        "digits": f"the first {DIGITS} test digits",
        "probabilities": numbers.tolist(),
    }
    return json.dumps(said).encode()


FILES: dict[str, Callable[[], bytes]] = {
    "14_kiosk.tflite": kiosk_model,
    "14_kiosk.json": kiosk_outputs,
}
