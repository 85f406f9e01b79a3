"""The small Keras models of the course."""

from lessons_lib.errors import InputError
from lessons_lib.system.quiet import tensorflow


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


def ds_cnn():
    """Return the course's depthwise-separable CNN: 11,674 parameters, built as phones need it.

    A stem that halves the image, three blocks of a depthwise and a pointwise convolution, the
    second with a residual connection, and the average over all positions. Batch normalization
    follows every convolution; the converter folds it away. Input float32 (N, 28, 28, 1) in
    [0, 1]; output float32 (N, 10), class probabilities. Defined in lesson 10. Source: Howard et
    al., "MobileNets", 2017.
    """
    keras = _keras()
    image = keras.Input((28, 28, 1), name="image")
    x = _normalized(keras.layers.Conv2D(24, 3, 2, "same", use_bias=False, name="stem"), image)
    x = _separable(x, 48, 2, "block1")
    shortcut = x
    x = _separable(x, 48, 1, "block2")
    x = keras.layers.Add(name="add")([x, shortcut])
    x = _separable(x, 96, 2, "block3")
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    probabilities = keras.layers.Dense(10, activation="softmax", name="probabilities")(x)
    return keras.Model(image, probabilities, name="ds_cnn")


def _separable(x, filters: int, strides: int, name: str):
    """Filter each channel, then mix the channels: 1/9 + 1/filters of a full convolution's work."""
    layers = _keras().layers
    options = {"padding": "same", "use_bias": False}
    depthwise = layers.DepthwiseConv2D(3, strides, name=f"{name}_depthwise", **options)
    pointwise = layers.Conv2D(filters, 1, name=f"{name}_pointwise", **options)
    return _normalized(pointwise, _normalized(depthwise, x))


def _normalized(convolution, x):
    """Convolution, batch normalization, ReLU."""
    layers, name = _keras().layers, convolution.name
    # Keras's momentum of 0.99 would still remember the first steps when a short training ends.
    x = layers.BatchNormalization(momentum=0.9, name=f"{name}_norm")(convolution(x))
    return layers.ReLU(name=f"{name}_relu")(x)


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


def one_layer():
    """Return a single dense layer: almost no work, so that its time is that of a call.

    Input float32 (N, 28, 28, 1); output float32 (N, 10). For speed only: it is never trained.
    Defined in lesson 14.
    """
    keras = _keras()
    layers = [
        keras.Input((28, 28, 1), name="image"),
        keras.layers.Flatten(name="flatten"),
        keras.layers.Dense(10, activation="softmax", name="probabilities"),
    ]
    return keras.Sequential(layers, name="one_layer")


ARCHITECTURES = {
    "mnist_cnn": mnist_cnn,
    "ds_cnn": ds_cnn,
    "wide_mlp": wide_mlp,
    "one_layer": one_layer,
}


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
