"""Small networks, converted for real, that tests share; nothing is trained or downloaded."""

import functools
import tempfile

import numpy as np

from lessons_lib.quiet import quiet, tensorflow

PATHS = ("float32", "dynamic_range", "float16", "int8_float_fallback", "int8", "uint8", "int16x8")


def cnn():
    """The course's architecture, with seeded random weights and biases that are not zero."""
    keras = _fresh_keras()
    return keras.Sequential(
        [
            keras.layers.Input((28, 28, 1), name="image"),
            _with_bias(keras.layers.Conv2D, 16, 3, activation="relu"),
            keras.layers.MaxPooling2D(2),
            _with_bias(keras.layers.Conv2D, 32, 3, activation="relu"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            _with_bias(keras.layers.Dense, 64, activation="relu"),
            _with_bias(keras.layers.Dense, 10, activation="softmax"),
        ]
    )


def depthwise_with_elu():
    """A depthwise convolution followed by ELU, which has no int8 kernel."""
    keras = _fresh_keras()
    return keras.Sequential(
        [
            keras.layers.Input((8, 8, 4), name="image"),
            keras.layers.DepthwiseConv2D(3, padding="same", strides=2),
            keras.layers.ELU(),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )


def _fresh_keras():
    """Keras with its names and seeds reset, so that a model's file never depends on history."""
    keras = tensorflow().keras
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    return keras


def _with_bias(layer, *args, **kwargs):
    return layer(*args, bias_initializer="random_uniform", **kwargs)


def images(shape, count):
    """Seeded random numbers in [0, 1): float32 of shape (count, *shape)."""
    return np.random.default_rng(0).random((count, *shape), dtype=np.float32)


def representative_dataset(shape, batch=1):
    """A function that yields five batches of random images."""
    return lambda: ([stack] for stack in images((batch, *shape), count=5))


def convert(model, path, batch=None):
    """Return ``model`` as the bytes of a ``.tflite``; ``batch`` fixes the batch size."""
    tf = tensorflow()
    shape = tuple(model.inputs[0].shape[1:])
    signature = [tf.TensorSpec((batch, *shape), tf.float32, name="image")]
    with tempfile.TemporaryDirectory() as folder, quiet():
        model.export(folder, verbose=False, input_signature=signature)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        configure(converter, path, representative_dataset(shape, batch or 1))
        return converter.convert()


def configure(converter, path, calibration):
    """Set a TFLiteConverter to one of the seven paths."""
    tf = tensorflow()
    if path != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if path == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if "int" in path:
        converter.representative_dataset = calibration
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if path in ("int8", "uint8"):
        converter.inference_input_type = converter.inference_output_type = getattr(tf, path)
    if path == "int16x8":
        only_16x8 = "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8"
        converter.target_spec.supported_ops = [tf.lite.OpsSet[only_16x8]]


@functools.cache
def converted(name, path, batch=None):
    """The bytes of a model of this module, by name, after one of the seven paths."""
    return convert(globals()[name](), path, batch)
