"""The file of lesson 04's open task."""

from lessons_lib import by_litert, by_tensorflow
from lessons_lib.convert.by_litert import Rule
from lessons_lib.system.quiet import tensorflow
from unseen import _keras

# What the converter would leave in float; what it would not, and stays in float here all the same.
SMALL = ("stem", "squeeze")
LEFT_IN_FLOAT = ("features", "gate")


def ticket() -> bytes:
    """A "dynamic-range" file with two weight tensors of 1,024 elements or more in float32.

    ``features`` holds most of the bytes, ``gate`` has exactly 1,024 elements. ``squeeze`` has 1,023
    and is in float rightly; the bias of ``wide`` has 1,040 elements, and is no weight. All weights
    are random: nobody needs the file's answers.
    """
    keras = tensorflow().keras
    keras.backend.clear_session()  # layer names must not depend on what was built before
    keras.utils.set_random_seed(4)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((20, 20, 1), name="picture"),
            layers.Conv2D(8, 3, strides=2, activation="relu", name="stem"),
            layers.Conv2D(24, 3, strides=2, activation="relu", name="shapes"),
            layers.Flatten(name="row"),
            layers.Dense(32, activation="relu", name="features"),
            layers.Dense(32, activation="relu", name="gate"),
            layers.Dense(33, activation="relu", name="mix"),
            layers.Dense(31, activation="relu", name="squeeze"),
            layers.Dense(1040, activation="relu", bias_initializer="random_normal", name="wide"),
            layers.Dense(8, activation="softmax", name="answer"),
        ],
        name="ticket",
    )
    content = _keras.converted(model, lambda saved: by_tensorflow.convert(saved, "float32"))
    rules = [Rule(rf"/{name}\w*/", "float32") for name in SMALL + LEFT_IN_FLOAT]
    return by_litert.quantize(content, "dynamic_range", rules=rules)


FILES = {"04_ticket.tflite": ticket}
