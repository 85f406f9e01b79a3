"""The committed reference model along all seven paths, converted once for a test process."""

import functools
import tempfile

from lessons_lib import calibration, convert, data, training


@functools.cache
def converted() -> dict[str, bytes]:
    """Return the bytes of each path's ``.tflite``, made with the library's default samples."""
    samples = calibration.representative_dataset(data.load("mnist").calibration)
    with tempfile.TemporaryDirectory() as folder:
        written = convert.convert_all_in_child(training.reference(), samples, folder)
        return {name: file.read_bytes() for name, file in written.items()}


@functools.cache
def digits() -> data.Dataset:
    """Return the embedded digits."""
    return data.load("mnist")
