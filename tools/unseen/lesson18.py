"""The file of lesson 18's open task: a camera's heat map, which an NPU takes but for one layer."""

import numpy as np

from lessons_lib import by_tensorflow, calibration
from lessons_lib.system.quiet import tensorflow
from unseen._keras import converted

SIZE, GRID = 24, 12


def heatmap() -> bytes:
    """A network that nobody trained, int8 at both ends: images of 24 x 24 x 3, maps of the same.

    Its RESIZE_NEAREST_NEIGHBOR doubles the grid with ``align_corners``, as converters from other
    frameworks write it. The Ethos-U55 does not take that. For a doubling the attribute changes
    nothing: without it every pixel is copied from the same place, and the NPU takes the operator.
    """
    keras = tensorflow().keras
    layers = keras.layers
    keras.utils.set_random_seed(18)
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = layers.Conv2D(8, 3, 2, "same", activation="relu", name="edges")(image)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu", name="near")(x)
    x = layers.Conv2D(8, 1, activation="relu", name="mix")(x)
    x = layers.Lambda(_doubled, output_shape=(SIZE, SIZE, 8), name="larger")(x)
    x = layers.Conv2D(8, 3, padding="same", activation="relu", name="smooth")(x)
    drawn = keras.initializers.RandomNormal(stddev=5.0, seed=18)  # so that the maps have contrast
    heat = layers.Conv2D(1, 1, kernel_initializer=drawn, activation="sigmoid", name="heat")(x)
    images = np.random.default_rng(18).random((50, SIZE, SIZE, 3), np.float32)
    samples = calibration.representative_dataset(images, samples=len(images))
    model = keras.Model(image, heat, name="heatmap")
    return converted(model, lambda folder: by_tensorflow.convert(folder, "int8", samples))


def _doubled(x):
    resize = tensorflow().raw_ops.ResizeNearestNeighbor
    return resize(images=x, size=[SIZE, SIZE], align_corners=True)


FILES = {"18_heatmap.tflite": heatmap}
