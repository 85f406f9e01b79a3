"""What the open task of lesson 11 is about: a float file, and an int8 file made of it, badly."""

import functools
from collections.abc import Callable

from lessons_lib import by_litert, by_tensorflow, calibration, data, sandbox, training
from lessons_lib.tflite.signature import of_file

PATH, SAMPLES = "int8", 100
CLIPPED, LEFT = "block2_depthwise", 0.2  # of the range of this layer's output


def lamp_float() -> bytes:
    """A ds_cnn of another training, in float; it hides nothing itself."""
    return _float_file()


def lamp_int8() -> bytes:
    """The same in int8, with one range in the middle set to a fifth of what was observed.

    What ``block2_depthwise`` gives above that is clipped to the code 127. All else is as it should
    be. The lowest SNR is further down, at an heir.
    """
    content = _float_file()
    samples = calibration.representative_dataset(data.load("mnist").calibration, samples=SAMPLES)
    ranges = by_litert.record(content, calibration.guard(samples, of_file(content)))
    (name,) = [name for name in ranges if f"{CLIPPED}_relu_1/Relu" in name]
    ranges[name]["max"] = ranges[name]["max"] * LEFT
    steps = by_litert.plan(content, PATH)
    return by_litert.run(content, by_litert.quantizer_recipe(steps, PATH), ranges)


@functools.cache
def _float_file() -> bytes:
    return sandbox.call(f"{__name__}:_converted")


def _converted() -> bytes:
    return by_tensorflow.convert(training.reference("ds_cnn", 2), "float32")


FILES: dict[str, Callable[[], bytes]] = {
    "11_lamp_float.tflite": lamp_float,
    "11_lamp_int8.tflite": lamp_int8,
}
