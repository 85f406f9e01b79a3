"""A classifier of digits that is not the course's: what a learner's own model may be like.

It has no batch normalization, other layers under other names, an input of another name, and it was
trained for a few seconds only. Each lesson has one line for a model; here the stand-in goes there.
"""

import re
import shutil
import tempfile
from pathlib import Path

from kept import FOLDER, kept
from lessons_lib import data, files, notebooks, sandbox, sources
from lessons_lib.system.quiet import tensorflow
from warm_tests import forked_kernels

LAYERS = """[
    keras.Input((28, 28, 1), name="picture"),
    keras.layers.Conv2D(6, 5, strides=2, activation="relu", name="strokes"),
    keras.layers.AveragePooling2D(2, name="smaller"),
    keras.layers.Conv2D(12, 3, activation="relu", name="shapes"),
    keras.layers.Flatten(name="row"),
    keras.layers.Dense(32, activation="relu", name="mixture"),
    keras.layers.Dense(10, activation="softmax", name="answer"),
]"""
EPOCHS = 3
# The line of a lesson; that of lesson 1, which trains its network; that of 14, which needs two.
_LINE = re.compile(r'^(SAVED_MODEL|DS_CNN) = training\.reference\("\w+"\)', re.MULTILINE)
_NETWORK = re.compile(r"^    layers = (\[\n.*?^    \])", re.MULTILINE | re.DOTALL)
_TWO = 'training.reference("mnist_cnn"), reference  # or your two folders'


def saved_models() -> tuple[Path, Path]:
    """Return two folders, the stand-in with an open batch and with a batch of one.

    It is trained once, in a child, and kept for all test processes.
    """
    content = kept("stand_in", lambda: sandbox.call("stand_in:_trained", imported="tensorflow"))
    folder = FOLDER / f"stand_in-{files.sha256(content)[:16]}"
    if not folder.exists():
        with files.atomic_directory(folder) as temporary, tempfile.TemporaryDirectory() as packed:
            archive = files.write_atomic(Path(packed, "both.zip"), content)
            shutil.unpack_archive(archive, temporary)
    return folder / "any_batch", folder / "batch_of_one"


def _trained() -> bytes:
    keras = tensorflow().keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential(eval(LAYERS, {"keras": keras}))
    model.compile("adam", "sparse_categorical_crossentropy")
    train = data.load("mnist").train
    model.fit(train.images, train.labels, batch_size=32, epochs=EPOCHS, verbose=0)
    with tempfile.TemporaryDirectory() as name:
        sources.save(model, Path(name, "both", "any_batch"))
        sources.save(model, Path(name, "both", "batch_of_one"), batch_size=1)
        archive = shutil.make_archive(str(Path(name, "packed")), "zip", Path(name, "both"))
        return Path(archive).read_bytes()


def put_into(notebook) -> int:
    """Put the stand-in where the notebook takes a model; return how many lines that were."""
    any_batch, one = (f'__import__("pathlib").Path({str(folder)!r})' for folder in saved_models())
    count = 0
    for cell in notebooks.code_cells(notebook):
        before = cell.source
        cell.source = _LINE.sub(rf"\1 = {any_batch}", cell.source)
        cell.source = cell.source.replace(_TWO, f"{any_batch}, {one}")
        cell.source = _NETWORK.sub(lambda found: f"    layers = {LAYERS}", cell.source)
        count += cell.source != before
    return count


# They change single layers of a network by hand, or name them in rules.
FIXED = {"10", "11", "12", "13"}
SENTENCE = "A model of another architecture is refused"


def number(path) -> str:
    return path.name[:2]


def check(path) -> None:
    """Run a lesson with the stand-in; one of FIXED says why it refuses it, and does so at once."""
    notebook = notebooks.read(path)
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    sources_of = [cell.source for cell in notebooks.code_cells(notebook)]
    count = put_into(notebook)
    with forked_kernels():
        failure = notebooks.execute(notebook, path.parent)
    if number(path) not in FIXED:
        assert count == 1, "the lesson's line for a model was not found"
        assert failure is None, str(failure)
        return
    assert sum(SENTENCE in text for text in texts) == 1
    assert failure.cell == next(
        n for n, source in enumerate(sources_of, 1) if "training.reference(" in source
    )
    assert failure.error.startswith(("ModelFileError:", "InputError:"))
