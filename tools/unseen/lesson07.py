"""Lesson 07: a file that its owner calls full integer."""

from collections.abc import Callable
from pathlib import Path

from lessons_lib import by_tensorflow, calibration, data, training
from lessons_lib.system.quiet import tensorflow
from unseen import _keras

GAMMA = 0.9


def meter() -> bytes:
    """The course's digits' model, with int8 ends, of which two things are not as its owner says.

    A gamma curve behind the first pool is a POW, which has no integer version: a float island. And
    one sample of the calibration was sharpened, from -0.5 to 1.5: so the input's scale is 2/255 and
    its zero point -64, where the owner says 1/255 and -128.
    """
    return _keras.converted(_with_gamma(), _in_int8)


def _in_int8(saved: Path) -> bytes:
    converter = tensorflow().lite.TFLiteConverter.from_saved_model(str(saved))
    by_tensorflow.configure(converter, "int8", _samples)
    return converter.convert()


def _with_gamma():
    keras = tensorflow().keras
    trained = training.load_keras("mnist_cnn")
    inputs = values = keras.Input((28, 28, 1), name="image")
    for layer in trained.layers:
        values = layer(values)
        if layer.name == "pool1":
            values = keras.ops.power(values, GAMMA)
    return keras.Model(inputs, values)


def _samples():
    digits = calibration.representative_dataset(data.load("mnist").calibration, samples=100)
    for number, (image,) in enumerate(digits()):
        yield [2 * image - 0.5 if number == 71 else image]


FILES: dict[str, Callable[[], bytes]] = {"07_meter.tflite": meter}
