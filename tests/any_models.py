"""Small models of all kinds, untrained: what their owners bring, not what the course makes.

A function of this module returns a Keras model, or a ``tf.Module`` with its signatures by key.
"""

import functools
import tempfile
from pathlib import Path

import numpy as np

from kept import kept
from lessons_lib import by_tensorflow, samples, sources
from lessons_lib.system.quiet import quiet, tensorflow
from tiny_models import fresh_keras


def two_ends():
    """Two inputs, with names that are no Python names, and two outputs."""
    keras = fresh_keras()
    first, second = keras.Input((6,), name="my-input"), keras.Input((4,), name="b.x")
    parts = [keras.layers.Dense(24, activation="relu")(part) for part in (first, second)]
    hidden = keras.layers.Concatenate()(parts)
    hidden = keras.layers.Dense(48, activation="relu")(hidden)
    price = keras.layers.Dense(1, name="price")(hidden)
    kind = keras.layers.Dense(3, activation="softmax", name="kind")(hidden)
    return keras.Model([first, second], {"price": price, "kind": kind})


def tokens():
    """Twelve int32 tokens in, three probabilities out."""
    keras = fresh_keras()
    return keras.Sequential(
        [
            keras.Input((12,), dtype="int32", name="ids"),
            keras.layers.Embedding(500, 16, embeddings_initializer="random_normal"),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )


def bytes_in():
    """A uint8 image, scaled inside."""
    keras = fresh_keras()
    return keras.Sequential(
        [
            keras.Input((8, 8, 3), dtype="uint8", name="image"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(48, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(5, activation="softmax"),
        ]
    )


def any_size():
    """An image whose height and width are open."""
    keras = fresh_keras()
    return keras.Sequential(
        [
            keras.Input((None, None, 3), name="image"),
            keras.layers.Conv2D(48, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )


def four_at_once():
    """An image model that takes four images a call."""
    keras = fresh_keras()
    return keras.Sequential(
        [
            keras.Input((8, 8, 3), batch_size=4, name="image"),
            keras.layers.Conv2D(12, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )


def binary():
    """One sigmoid."""
    keras = fresh_keras()
    hidden = keras.layers.Dense(48, activation="relu")
    last = keras.layers.Dense(1, activation="sigmoid")
    return keras.Sequential([keras.Input((40,), name="x"), hidden, last])


def wide():
    """A dense layer of more than 256 KiB: LiteRT's quantizer writes such files in another form."""
    keras = fresh_keras()
    hidden = keras.layers.Dense(480, activation="relu")
    return keras.Sequential([keras.Input((600,), name="x"), hidden, keras.layers.Dense(4)])


def regression():
    """A quantity, of eight numbers of both signs."""
    keras = fresh_keras()
    hidden = keras.layers.Dense(64, activation="relu")
    return keras.Sequential([keras.Input((8,), name="x"), hidden, keras.layers.Dense(1)])


def mask():
    """A class for each pixel."""
    keras = fresh_keras()
    layer = keras.layers.Conv2D(3, 3, padding="same", activation="softmax")
    return keras.Sequential([keras.Input((8, 8, 4), name="image"), layer])


def lstm(unroll=False):
    """A rolled LSTM: a loop, on which the converter dies along the integer paths."""
    keras = fresh_keras()
    return keras.Sequential(
        [
            keras.Input((8, 3), batch_size=1, name="x"),
            keras.layers.LSTM(24, unroll=unroll),
            keras.layers.Dense(2),
        ]
    )


def tiny_activations():
    """ReLU6 behind activations so small that 6 is beyond 32 bits in 16-bit codes."""
    keras = fresh_keras()
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3), name="image"),
            layers.Conv2D(4, 3, activation="relu6"),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.layers[0].kernel.assign(1e-6 * model.layers[0].kernel)
    return model


def normalized():
    """A normalization whose epsilon float16 does not have."""
    keras, tf = fresh_keras(), tensorflow()

    class Norm(keras.layers.Layer):
        def call(self, x):
            mean, variance = tf.nn.moments(x, [-1], keepdims=True)
            return (x - mean) / tf.sqrt(variance + 1e-12)

    layers = [Norm(), keras.layers.Dense(48), keras.layers.Dense(24, activation="softmax")]
    return keras.Sequential([keras.Input((32,), name="x"), *layers])


def prices():
    """A quantity around 190,000, which stands in the last bias."""
    model = regression()
    model.layers[-1].kernel.assign(5000 * model.layers[-1].kernel)
    model.layers[-1].bias.assign([190_000])
    return model


def uneven():
    """Normalization inside the model, of features that reach from 1 to 10,000."""
    keras = fresh_keras()
    sizes = np.float32([1, 1, 3, 10, 30, 100, 1000, 10_000])
    return keras.Sequential(
        [
            keras.Input((8,), name="features"),
            keras.layers.Normalization(mean=sizes, variance=(sizes / 4) ** 2),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(32, activation="relu"),
            keras.layers.Dense(3),
        ]
    )


def spread():
    """Twelve layers side by side, each with its own output, which are spoiled alike."""
    keras = fresh_keras()
    x = keras.Input((16,), name="x")
    return keras.Model(x, [keras.layers.Dense(16, name=f"part_{n}")(x) for n in range(12)])


def small():
    """A network so small that the path dynamic_range leaves all of its weights as they are."""
    keras = fresh_keras()
    hidden = keras.layers.Dense(16, activation="relu")
    return keras.Sequential([keras.Input((8,), name="x"), hidden, keras.layers.Dense(1)])


def augmented():
    """Augmentation layers that were left inside."""
    keras = fresh_keras()
    return keras.Sequential(
        [
            keras.Input((16, 16, 3), name="image"),
            keras.layers.RandomRotation(0.1, name="turned"),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )


def large_images():
    """Images of 640 x 640 x 3, one a call: 4.7 MiB each."""
    keras = fresh_keras()
    return keras.Sequential(
        [
            keras.Input((640, 640, 3), batch_size=1, name="image"),
            keras.layers.Conv2D(16, 3, strides=16, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(3),
        ]
    )


def rank_1():
    """One number a sample, without an axis of its own: shape (N,)."""
    return _module(lambda x: {"y": 3 * x + 1}, x=(None,))


def scalar():
    """One number in, one out, of shape ()."""
    return _module(lambda x: {"y": 2 * x}, x=())


def no_batch():
    """A whole recording in, five whole ones out: no dimension counts samples."""
    weights = np.random.default_rng(0).normal(size=(5, 40, 40)).astype(np.float32) / 10
    return _module(lambda wave: {"bands": tensorflow().linalg.matvec(weights, wave)}, wave=(40,))


def other_rows():
    """One sample in, in four rows out."""
    weights = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)

    def split(x):
        tf = tensorflow()
        return {"y": tf.reshape(tf.matmul(x, weights), (4, 2, 8))}

    return _module(split, x=(1, 2, 4, 8))


def summed():
    """Its output is a sum over the batch, so that samples must come one by one."""
    return _module(lambda x: {"y": tensorflow().reduce_sum(x * x, 0, keepdims=True)}, x=(None, 8))


def state():
    """It smooths what comes, with a variable that keeps the last value."""
    tf = tensorflow()
    weights = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    module = tf.Module()
    module.last = tf.Variable(tf.zeros((1, 4)), trainable=False)

    def smooth(x):
        y = 0.5 * module.last + tf.matmul(x, weights)
        module.last.assign(y)
        return {"y": tf.nn.relu(y)}

    return module, {"serving_default": _traced(smooth, x=(1, 8))}


def two_signatures():
    """``serving_default`` adds one; ``embed``, which comes first in the alphabet, multiplies."""
    return _module(
        lambda x: {"y": x + 1},
        x=(None, 4),
        embed=_traced(lambda x: {"vector": 100 * x}, x=(None, 4)),
    )


def no_default():
    """Two signatures, neither of which is the default."""
    module, signatures = two_signatures()
    signatures["predict"] = signatures.pop("serving_default")
    return module, signatures


def _traced(function, **shapes):
    tf = tensorflow()
    specs = [tf.TensorSpec(shape, tf.float32, name=name) for name, shape in shapes.items()]
    return tf.function(function, input_signature=specs)


def _module(function, embed=None, **shapes):
    """A module with ``function`` as its default signature, and another one where it is given."""
    module = tensorflow().Module()
    signatures = {"serving_default": _traced(function, **shapes)}
    if embed is not None:
        signatures["embed"] = embed
    module.functions = list(signatures.values())
    return module, signatures


def save(model, folder) -> Path:
    """Write a model of this module as a SavedModel."""
    if isinstance(model, tuple):
        module, signatures = model
        with quiet():
            tensorflow().saved_model.save(module, str(folder), signatures=signatures)
        return Path(folder)
    return sources.save(model, folder)


def keras_file(model, file) -> Path:
    """Write a Keras model as ``.keras`` or ``.h5``."""
    with quiet():
        model.save(file)
    return Path(file)


@functools.cache
def converted(name: str, path: str = "float32") -> bytes:
    """The bytes of a model of this module, by name, along a path; of random samples."""
    return kept(f"any_{name}_{path}", lambda: _converted(name, path))


def _converted(name: str, path: str) -> bytes:
    with tempfile.TemporaryDirectory() as place:
        folder = save(globals()[name](), Path(place, "model"))
        dataset = None if path == "float32" else drawn(folder, 200)
        return by_tensorflow.converted(folder, path, dataset, None, None)[0]  # in this process


def drawn(saved_model, count: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Random samples for a SavedModel."""
    return samples.drawn(sources.signature(saved_model), count, seed)


def several() -> bytes:
    """A file with two signatures, as the converter writes it when it is not told which."""
    return kept("any_several", _several)


def _several() -> bytes:
    with tempfile.TemporaryDirectory() as folder, quiet():
        save(two_signatures(), folder)
        return tensorflow().lite.TFLiteConverter.from_saved_model(folder).convert()
