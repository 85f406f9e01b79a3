"""The open task of lesson 05: a float32 file that does not survive float16."""

import numpy as np

from lessons_lib import by_tensorflow
from lessons_lib.system.quiet import tensorflow
from unseen import _keras

KINDS, UNITS = 3, 16
_FACTOR = 2.0**16


def sorter() -> bytes:
    """Return the float32 file of a machine that sorts fruit by four measurements.

    Hidden: the weights of the last dense layer were enlarged by 2**16 and those of the layer before
    it made smaller by as much, which the ReLU between them does not mind. So the last layer's
    weights lie beyond 65,504; all other constants survive float16.
    """
    random = np.random.default_rng(5)
    kinds = random.integers(0, KINDS, 600)
    x = random.normal(size=(KINDS, 4))[kinds] + random.normal(0, 0.35, (600, 4))
    first = random.normal(0, 0.6, (4, UNITS)), random.normal(0, 0.2, UNITS)
    second = random.normal(0, 0.3, (UNITS, UNITS)), random.normal(0, 0.2, UNITS)
    features = x
    for weights, bias in (first, second):
        features = np.maximum(features @ weights + bias, 0)
    wanted = 6 * np.eye(KINDS)[kinds]
    ones = np.ones((len(x), 1))
    last = np.linalg.lstsq(np.hstack([features, ones]), wanted, rcond=None)[0]
    second = [part / _FACTOR for part in second]
    return _converted([*first, *second, last[:-1] * _FACTOR, last[-1]])


def _converted(weights: list[np.ndarray]) -> bytes:
    keras = tensorflow().keras
    keras.backend.clear_session()  # else names count what this process made before
    layers = keras.layers
    stack = [layers.Input((4,), name="measured")]
    stack += [layers.Dense(UNITS, activation="relu", name=name) for name in ("press", "sieve")]
    stack.append(layers.Dense(KINDS, activation="softmax", name="kind"))
    model = keras.Sequential(stack, name="sorter")
    model.set_weights([part.astype(np.float32) for part in weights])
    return _keras.converted(model, lambda saved: by_tensorflow.convert(saved, "float32"))


FILES = {"05_sorter.tflite": sorter}
