"""Lesson 17: a file that is too large for a board's RAM, and need not be."""

from collections.abc import Callable
from pathlib import Path

from lessons_lib import by_tensorflow, calibration, data, reader
from lessons_lib.system.quiet import quiet, tensorflow
from unseen import _keras

VIEWS = 3
EPOCHS = 6


def three_views() -> bytes:
    """A reader of digits whose operators stand in an order that wastes RAM.

    Three convolutions look at the image, each is made smaller by a pool, and the pools are joined.
    In the file the three convolutions come first, so that their large outputs are alive together
    (37,632 bytes); with each pool right behind its convolution one is (about 16,000). The answers
    do not depend on it.
    """
    model = reader.read(_keras.converted(_trained(), _in_int8, batch_size=1))
    graph = model.subgraphs[0]
    kinds = [reader.operator_name(model, op) for op in graph.operators]
    first = [n for n, kind in enumerate(kinds) if kind == "CONV_2D"]
    assert len(first) == VIEWS, kinds
    rest = [n for n in range(len(kinds)) if n not in first]
    graph.operators = [graph.operators[n] for n in (*first, *rest)]
    return reader.pack(model)


def _trained():
    keras = tensorflow().keras
    keras.utils.set_random_seed(17)
    tensorflow().config.experimental.enable_op_determinism()
    layers = keras.layers
    image = keras.Input((28, 28, 1), name="image")
    views = [
        layers.MaxPooling2D(4, name=f"small_{n}")(
            layers.Conv2D(16, 3, padding="same", activation="relu", name=f"view_{n}")(image)
        )
        for n in range(VIEWS)
    ]
    joined = layers.Flatten(name="row")(layers.Concatenate(name="joined")(views))
    scores = layers.Dense(10, activation="softmax", name="scores")(joined)
    network, train = keras.Model(image, scores, name="three_views"), data.load("mnist").train
    with quiet():
        network.compile("adam", "sparse_categorical_crossentropy")
        network.fit(train.images, train.labels, batch_size=32, epochs=EPOCHS, verbose=0)
    return network


def _in_int8(saved: Path) -> bytes:
    samples = calibration.representative_dataset(data.load("mnist").calibration, samples=100)
    converter = tensorflow().lite.TFLiteConverter.from_saved_model(str(saved))
    by_tensorflow.configure(converter, "int8", samples)
    return converter.convert()


FILES: dict[str, Callable[[], bytes]] = {"17_three_views.tflite": three_views}
