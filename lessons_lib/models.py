"""The small Keras models of the course."""

from lessons_lib.errors import InputError
from lessons_lib.quiet import tensorflow


def mnist_cnn():
    """Return the course's CNN for digits: 56,714 parameters, two convolutions, one hidden layer.

    Input float32 (N, 28, 28, 1) in [0, 1]; output float32 (N, 10), class probabilities.
    Defined in lesson 01.
    """
    keras = _keras()
    layers = [
        keras.Input((28, 28, 1), name="image"),
        keras.layers.Conv2D(16, 3, activation="relu", name="conv1"),
        keras.layers.MaxPooling2D(name="pool1"),
        keras.layers.Conv2D(32, 3, activation="relu", name="conv2"),
        keras.layers.MaxPooling2D(name="pool2"),
        keras.layers.Flatten(name="flatten"),
        keras.layers.Dense(64, activation="relu", name="dense1"),
        keras.layers.Dense(10, activation="softmax", name="probabilities"),
    ]
    return keras.Sequential(layers, name="mnist_cnn")


def wide_mlp():
    """Return four dense layers of 2,048 units: weights that no cache near the core can hold.

    Input float32 (N, 28, 28, 1); output float32 (N, 10). For speed only: it is never trained.
    Defined in lesson 08.
    """
    keras = _keras()
    hidden = [keras.layers.Dense(2048, activation="relu", name=f"dense{i}") for i in (1, 2, 3, 4)]
    layers = [
        keras.Input((28, 28, 1), name="image"),
        keras.layers.Flatten(name="flatten"),
        *hidden,
        keras.layers.Dense(10, activation="softmax", name="probabilities"),
    ]
    return keras.Sequential(layers, name="wide_mlp")


ARCHITECTURES = {"mnist_cnn": mnist_cnn, "wide_mlp": wide_mlp}


def build(name: str, seed: int = 0):
    """Return a freshly initialised model; the same seed gives the same weights.

    Raises InputError for an unknown name.
    """
    if name not in ARCHITECTURES:
        raise InputError(f"no model {name!r}; the course has {', '.join(ARCHITECTURES)}")
    keras = _keras()
    # Layer names end up in the .tflite, so its size must not depend on what was built before.
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    return ARCHITECTURES[name]()


def _keras():
    return tensorflow().keras
