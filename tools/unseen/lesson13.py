"""What the open task of lesson 13 is about: a float file, and a file that somebody made of it."""

import functools
from collections.abc import Callable

from lessons_lib import by_litert, sandbox
from lessons_lib.convert.by_litert import Rule
from lessons_lib.system.quiet import quiet, tensorflow

PATH = "dynamic_range"
RULES = (
    Rule("hidden", "weight_only_int8"),
    Rule("mix_a", "dynamic_int4"),
    Rule("scores", "float32"),
)


def badge() -> bytes:
    """A float network for pictures of 16 x 16 that nobody trained; it hides nothing itself."""
    return _float_file()


def badge_small() -> bytes:
    """The same, quantized: int8 on the fly but for three layers.

    ``mix_a`` has 4 bits, ``hidden`` only stores its weights as int8 and calculates in float, and
    ``scores`` was left in float. ``mix_b``, which is built like ``mix_a``, has 8 bits.
    """
    return by_litert.quantize(_float_file(), PATH, rules=RULES)


@functools.cache
def _float_file() -> bytes:
    return sandbox.call(f"{__name__}:_converted")


def _converted() -> bytes:
    tf = tensorflow()
    layers = tf.keras.layers
    tf.keras.utils.set_random_seed(13)
    network = tf.keras.Sequential(
        [
            tf.keras.Input((16, 16, 1), name="badge"),
            layers.Conv2D(8, 3, 2, "same", activation="relu", name="lens"),
            layers.DepthwiseConv2D(3, padding="same", activation="relu", name="filter_a"),
            layers.Conv2D(32, 1, activation="relu", name="mix_a"),
            layers.DepthwiseConv2D(3, 2, "same", activation="relu", name="filter_b"),
            layers.Conv2D(64, 1, activation="relu", name="mix_b"),
            layers.GlobalAveragePooling2D(name="average"),
            layers.Dense(32, activation="relu", name="hidden"),
            layers.Dense(6, activation="softmax", name="scores"),
        ],
        name="badge",
    )
    with quiet():
        return tf.lite.TFLiteConverter.from_keras_model(network).convert()


FILES: dict[str, Callable[[], bytes]] = {
    "13_badge_float.tflite": badge,
    "13_badge.tflite": badge_small,
}
