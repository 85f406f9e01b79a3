"""The committed reference models along all seven paths, converted once for all tests."""

import functools
import tempfile

from kept import kept
from lessons_lib import calibration, data, every_path, training


def converted(name: str = "mnist_cnn") -> dict[str, bytes]:
    """Return the bytes of each path's ``.tflite``, made with the library's default samples."""
    return _converted(name)


@functools.cache
def _converted(name: str) -> dict[str, bytes]:
    return kept(f"reference_{name}", lambda: _convert(name))


def _convert(name: str) -> dict[str, bytes]:
    samples = calibration.representative_dataset(digits().calibration)
    with tempfile.TemporaryDirectory() as folder:
        written = every_path.convert(training.reference(name), samples, folder)
        return {name: file.read_bytes() for name, file in written.items()}


@functools.cache
def digits() -> data.Dataset:
    """Return the embedded digits."""
    return data.load("mnist")
