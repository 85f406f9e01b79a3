"""Training with seeds, saving as SavedModel, and the course's trained reference models."""

import io
import json
import os
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from lessons_lib.errors import InputError, ModelFileError
from lessons_lib.models import architectures, sources
from lessons_lib.system.files import (
    artifacts,
    artifacts_root,
    content,
    data_folder,
    display_path,
    sha256,
    write_atomic,
)
from lessons_lib.system.quiet import quiet, tensorflow
from lessons_lib.system.sandbox import call

RECIPE = {"epochs": 20, "batch_size": 32, "learning_rate": 2e-3, "shift": 0.08, "turn": 0.03}
REFERENCES = ("mnist_cnn", "ds_cnn")
SEEDS = (0, 1, 2, 3)  # of the committed trainings: a sentence about a method needs several
MODELS_FOLDER = data_folder() / "models"


def fit(model, dataset, *, epochs: int = RECIPE["epochs"], seed: int = 0, callbacks=()) -> dict:
    """Train ``model`` in place on ``dataset.train`` and return the loss and accuracy of each epoch.

    Adam with a cosine-decayed learning rate; images are shifted by up to 8 % and turned by up to
    3 % of a full turn while training, never afterwards. The same seed, machine and number of
    threads give the same weights. ``callbacks`` hear of every tenth batch. The result maps ``loss``
    and ``accuracy`` to lists of floats.
    Raises InputError when ``epochs`` is below 1. Defined in lesson 01. Where many train the same,
    as when a class is graded, ``$LESSONS_TRAINED`` names a folder that keeps what came of it.
    """
    if epochs < 1:
        raise InputError(f"epochs={epochs}; expected at least 1 (lesson 01)")
    keras = tensorflow().keras
    kept = None if callbacks else _kept(model, dataset, epochs, seed)
    if kept and kept.with_suffix(".json").is_file():
        read_weights(model, kept)
        return json.loads(kept.with_suffix(".json").read_text("utf-8"))
    train = dataset.train
    keras.utils.set_random_seed(seed)
    tensorflow().config.experimental.enable_op_determinism()
    with quiet():
        augmented = _augmented(keras, model)
        steps = epochs * -(-len(train) // RECIPE["batch_size"])
        rate = keras.optimizers.schedules.CosineDecay(RECIPE["learning_rate"], steps)
        augmented.compile(
            optimizer=keras.optimizers.Adam(rate),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
            steps_per_execution=10,  # the same weights, bit for bit, in four fifths of the time
        )
        history = augmented.fit(
            train.images,
            train.labels,
            batch_size=RECIPE["batch_size"],
            epochs=epochs,
            callbacks=list(callbacks),
            verbose=0,
        )
    if kept:
        write_weights(model, kept)
        write_atomic(kept.with_suffix(".json"), json.dumps(history.history))
    return history.history


def _kept(model, dataset, epochs: int, seed: int) -> Path | None:
    """Where a training is kept, by all that decides what comes of it; None where it is not."""
    folder = os.environ.get("LESSONS_TRAINED")
    if not folder or not type(model).__module__.startswith("keras."):
        return None
    layers = model.to_json()  # their names and settings: of layers of one's own not the code
    if any(not own.startswith("keras") for own in re.findall(r'"module": "?(\w+)', layers)):
        return None
    said = repr((layers, epochs, seed, RECIPE, tensorflow().__version__)).encode()
    arrays = [*model.get_weights(), dataset.train.images, dataset.train.labels]
    return Path(folder, sha256(b"".join([said, *map(np.ndarray.tobytes, arrays)])) + ".npz")


def _augmented(keras, model):
    """The model behind random shifts and turns: a wrapper, so that the model itself stays clean."""
    shift = keras.layers.RandomTranslation(RECIPE["shift"], RECIPE["shift"], fill_mode="constant")
    turn = keras.layers.RandomRotation(RECIPE["turn"], fill_mode="constant")
    return keras.Sequential([shift, turn, model])


def save_untrained(
    name: str, directory: str | os.PathLike, seed: int = 0, batch_size: int | None = None
) -> Path:
    """Write the model ``name`` with random weights as a SavedModel and return its folder.

    For measurements of speed, which random weights do not change. Large models are made in a
    child, ``sandbox.call("lessons_lib.models.training:save_untrained", ...)``, to spare memory.
    Raises InputError for an unknown name, and what ``save`` raises.
    """
    return sources.save(architectures.build(name, seed), directory, batch_size=batch_size)


def save_reference(name: str, directory: str | os.PathLike, batch_size: int | None = None) -> Path:
    """Write the reference ``name`` once more as a SavedModel, with another batch size.

    A kernel without TensorFlow calls it by
    ``sandbox.call("lessons_lib.models.training:save_reference", ...)``. Raises InputError for an
    unknown name, and what ``sources.save`` raises. Defined in lesson 14.
    """
    return sources.save(load_keras(name), directory, batch_size=batch_size)


def reference(name: str = "mnist_cnn", seed: int = 0) -> Path:
    """Return the folder of a reference SavedModel: the recipe, run with this seed.

    Seed 0 is committed as it was saved. Of the seeds 1 to 3 the weights are committed: the first
    call makes the SavedModel of them, below the artifacts folder, in a child process.
    Raises InputError for an unknown name or seed, ModelFileError when the committed weights are
    missing or damaged, and StorageError when the artifacts folder cannot be written.
    """
    _require_reference(name)
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed not in SEEDS:
        raise InputError(f"no training of {name} with seed {seed!r}; the course has {SEEDS}")
    if seed == 0:
        return sources.require_saved_model(MODELS_FOLDER / name / "saved_model")
    weights = seed_weights(name, seed)
    place = f"{name}-seed{seed}-{sha256(content(weights))[:8]}"
    folder = artifacts_root() / "models" / place
    if not _is_whole(folder):
        with FileLock(artifacts("models") / f"{place}.lock"):  # two notebooks may ask at once
            if not _is_whole(folder):
                shutil.rmtree(folder, ignore_errors=True)  # what somebody left of it
                restore = "lessons_lib.models.training:_restore"
                call(restore, name, weights, folder, imported="tensorflow")
    return sources.require_saved_model(folder)


def _is_whole(saved_model: Path) -> bool:
    variables = (saved_model / "variables").glob("variables.*")
    return (saved_model / "saved_model.pb").is_file() and len(list(variables)) == 2


def seed_weights(name: str, seed: int) -> Path:
    """Return the committed file with the weights of a training: an ``.npz``, in Keras's order."""
    return MODELS_FOLDER / name / f"seed{seed}.npz"


def _restore(name: str, weights: Path, folder: Path) -> None:
    model = architectures.build(name)
    read_weights(model, weights)
    sources.save(model, folder)


def write_weights(model, file: Path) -> Path:
    """Write all weights of a Keras model, in Keras's order, as an ``.npz``; return the file.

    Raises StorageError when it cannot be written.
    """
    packed = io.BytesIO()
    np.savez_compressed(packed, *model.get_weights())
    return write_atomic(file, packed.getvalue())


def read_weights(model, file: Path) -> None:
    """Fill a Keras model with what ``write_weights`` wrote of one like it.

    Raises ModelFileError when the file is missing, damaged, or of another model.
    """
    try:
        with np.load(file) as stored:
            model.set_weights([stored[key] for key in stored.files])
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ModelFileError(
            f"{display_path(file)} is damaged ({error}): restore it with git"
        ) from error


def card(name: str = "mnist_cnn") -> dict[str, Any]:
    """Return a reference's card: recipe, seed, versions, accuracy and checksum; ``trainings`` has
    the accuracy of every committed seed and the checksum of its weights.

    Raises InputError for an unknown name.
    """
    _require_reference(name)
    return json.loads((MODELS_FOLDER / name / "card.json").read_text(encoding="utf-8"))


def _require_reference(name: str) -> None:
    if name not in REFERENCES:
        raise InputError(f"no reference model {name!r}; the course has {', '.join(REFERENCES)}")


def load_keras(name: str, directory: str | os.PathLike | None = None):
    """Return the Keras model ``name`` with the weights of a SavedModel (default: the reference).

    A SavedModel holds a graph, not Keras layers: the layers are built anew and filled.
    Raises ModelFileError when the weights do not fit the architecture.
    """
    tf = tensorflow()
    directory = reference(name) if directory is None else sources.require_saved_model(directory)
    model = architectures.build(name)
    try:
        with quiet():
            variables = tf.saved_model.load(str(directory)).variables
    except Exception as error:  # the loader raises many kinds, all about its insides
        raise ModelFileError(
            f"{display_path(directory)} is damaged: {error} (lesson 01)"
        ) from error
    try:
        model.set_weights([variable.numpy() for variable in variables])
    except ValueError as error:
        raise ModelFileError(f"{display_path(directory)} does not fit {name}: {error}") from error
    return model
