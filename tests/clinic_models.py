"""Files for the checks of lesson 16: two small networks, trained and converted in a child, kept."""

import functools
import pickle
from pathlib import Path
from tempfile import TemporaryDirectory

from kept import kept
from lessons_lib import by_litert, by_tensorflow, data, sandbox, sources
from lessons_lib.course.checks.lesson16 import bearing_log
from lessons_lib.system.quiet import tensorflow


@functools.cache
def made():
    """Files of two small networks, by name: made in a child, and kept."""
    return pickle.loads(
        kept("clinic", lambda: sandbox.call("clinic_models:_made", imported="tensorflow"))
    )


def _made():
    keras = tensorflow().keras
    keras.utils.set_random_seed(0)
    log, wear = bearing_log(2000, seed=1)
    layers = [keras.layers.Dense(48, "relu"), keras.layers.Dense(1)]
    bearing = keras.Sequential([keras.Input((5,), name="readings"), *layers])
    bearing.compile(keras.optimizers.Adam(0.01), "mse")
    bearing.fit(log, wear, epochs=25, batch_size=50, verbose=0)

    found = {"bearing": by_tensorflow.convert(bearing, "float32")}
    digits = data.load("mnist")
    layers = [keras.layers.Flatten(), keras.layers.Dense(10)]
    reader = keras.Sequential([keras.Input((28, 28, 1), name="image"), *layers])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    reader.compile(keras.optimizers.Adam(0.01), loss)
    reader.fit(digits.train.images, digits.train.labels, epochs=3, batch_size=50, verbose=0)
    with TemporaryDirectory() as name:
        for batch in (None, 1, 4):
            folder = sources.save(reader, Path(name, str(batch)), batch_size=batch)
            samples = digits.calibration.images[:100]
            found[f"batch {batch}"] = by_tensorflow.convert(folder, "int8", samples)
        one = Path(name, "1")
        found["float, batch 1"] = by_tensorflow.convert(one, "float32")
        unscaled = 255 * digits.calibration.images[:100]
        content = by_litert.prepared(found["float, batch 1"])
        found["unscaled"] = by_litert.quantized(content, "int8", unscaled)[0]
    return pickle.dumps(found)
