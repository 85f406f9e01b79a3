"""The file of lesson 1's open task."""

import tempfile

from lessons_lib import data
from lessons_lib.system.quiet import quiet, tensorflow

EARLY, EPOCHS = 480, 12  # images until the early version is kept; then epochs of all of them


def two_versions() -> bytes:
    """A reader of digits with two signatures, of which only ``digits`` is the finished model.

    ``checkpoint`` is the same network after its first 480 images. It takes and gives the same, and
    stands first: signatures are sorted by name, and an interpreter that is asked for no signature
    runs the first one.
    """
    tf, train = tensorflow(), data.load("mnist").train
    tf.config.experimental.enable_op_determinism()
    tf.keras.utils.set_random_seed(0)
    model = _network(tf.keras)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(train.images[:EARLY], train.labels[:EARLY], verbose=0)
    early = model.get_weights()
    model.fit(train.images, train.labels, epochs=EPOCHS, verbose=0)
    with tempfile.TemporaryDirectory() as folder, quiet():
        versions = {"checkpoint": early, "digits": model.get_weights()}
        functions = {key: _answering(tf, weights) for key, weights in versions.items()}
        tf.saved_model.save(tf.Module(), folder, functions)
        return tf.lite.TFLiteConverter.from_saved_model(folder).convert()


def _network(keras):
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            keras.layers.Conv2D(8, 5, strides=2, activation="relu"),
            keras.layers.Conv2D(16, 3, strides=2, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )


def _answering(tf, weights):
    """The network as a function of ``image``, its weights constants: two versions in one file."""
    first, first_bias, second, second_bias, dense, dense_bias = weights

    def answer(image):
        maps = tf.nn.relu(tf.nn.conv2d(image, first, 2, "VALID") + first_bias)
        maps = tf.nn.relu(tf.nn.conv2d(maps, second, 2, "VALID") + second_bias)
        row = tf.reshape(maps, (-1, len(dense)))
        return {"probabilities": tf.nn.softmax(row @ dense + dense_bias)}

    return tf.function(answer, [tf.TensorSpec((None, 28, 28, 1), tf.float32, "image")])


FILES = {"01_two_versions.tflite": two_versions}
