"""Checks of lesson 01: save a model as TF-Lite.

``save_and_convert``, ``share_right`` and ``save_single`` are the course's own answers, for a
lesson that runs on with a blank.
"""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from lessons_lib.course.checks._answers import (
    Remark,
    array_in,
    call,
    compare,
    content_in,
    describe,
    number_in,
    numbers_in,
)
from lessons_lib.course.checks._verdict import exercise
from lessons_lib.errors import LessonError
from lessons_lib.judge.evaluate import Proportion
from lessons_lib.models import corruption, data, sources, unseen
from lessons_lib.run.runtime import Model
from lessons_lib.system import sandbox
from lessons_lib.system.quiet import quiet, tensorflow
from lessons_lib.tflite import reader, tables
from lessons_lib.tflite.signature import all_of_file

_WIDEST, _STEP = 0.01, 500


def save_and_convert(model, folder: str | os.PathLike) -> bytes:
    """Export a Keras ``model`` and return it as the bytes of a plain ``.tflite``.

    Defined in lesson 01.
    """
    with quiet():
        model.export(folder, verbose=False)
        return tensorflow().lite.TFLiteConverter.from_saved_model(str(folder)).convert()


@exercise(
    "first `model.export(folder)`, then a converter of that same folder; return what its "
    "`convert()` gives.",
    "No setting at all: every weight stands in the file as it is.",
)
def check_save_and_convert(convert: object) -> bool | str:
    """Exercise 1.1: a function (model, folder) -> content: a SavedModel, and the file made of it.

    It gets a Keras model that is not the lesson's, and the name of a folder to come, as a text.
    """
    if isinstance(convert, bytes | bytearray):
        return "These are a file's bytes. Give the function that makes them: its name alone."
    with sandbox.temporary_folder() as parent, quiet():
        folder = Path(parent, "saved_model")
        made = call(convert, _small_model(), str(folder))
        saved = (folder / "saved_model.pb").is_file()
    if hasattr(made, "convert"):
        return "What comes back is the converter itself; the file is what its `convert()` returns."
    try:
        content = content_in(made)
    except Remark:
        return f"Your function returns {describe(made)}; asked is a file's content (bytes)."
    if set(tables.tensors(content).query("role == 'weight'")["dtype"]) - {"FLOAT32"}:
        return "Its weights are no longer float32: without any setting they stay what they are."
    if "VAR_HANDLE" in set(tables.operators(content)["operator"]):  # of tf.saved_model.save
        return "The file lacks the weights, it waits for variables: save with `model.export`."
    if not _answers_like(content, _small_model()):
        return "This file holds another model: use the model that your function gets."
    return saved or "The file is right; but no SavedModel is in the folder that it gets."


def _answers_like(content: bytes, model) -> bool:
    samples = np.random.default_rng(1).random((5, *_SMALL), dtype=np.float32)
    expected = model(samples).numpy()
    try:
        answers = Model(content).predict(samples)
    except LessonError:  # another model takes other inputs
        return False
    return answers.shape == expected.shape and np.allclose(answers, expected, atol=1e-5)


def share_right(predict: Callable, dataset: data.Dataset) -> float:
    """Return the share, 0 to 1, of a dataset's test images that get the right class.

    ``predict``: images (N, ...) to probabilities (N, classes). Defined in lesson 01.
    """
    classes = predict(dataset.test.images).argmax(axis=1)
    return float(np.mean(classes == dataset.test.labels))


@exercise(
    "the class of an image is the place of its largest probability, `.argmax(axis=1)`; compare "
    "with the labels of the same split, and take the mean.",
    "The model has never seen these images, in no step of its making.",
)
def check_share_right(share: object) -> bool | str:
    """Exercise 1.2: a function (predict, dataset) -> the honest share of right answers, 0 to 1.

    It gets a dataset of its own, of 4 x 4 pixels and three classes, in which every split has
    another share: the number tells which one was taken.
    """
    found = call(share, _predict, _toy())
    found = getattr(found, "value", found)  # evaluate.accuracy has an interval as well
    (found,) = numbers_in(found, 1, subject="What your function returns")
    said = compare(
        found,
        _SHARES["test"],
        (_SHARES["train"], "That is the share of the training images: it learned them by heart."),
        (_SHARES["calibration"], "That is the calibration split: later lessons choose with it."),
        (_SHARES["hard"], "That is the share of the hard digits; asked is the plain test."),
        (
            np.average([*_SHARES.values()][:3], weights=[120, 30, 140]),
            "That is the share of all images together, training images among them.",
        ),
        (100 * _SHARES["test"], "That is in per cent; asked is a share from 0 to 1."),
        (140 * _SHARES["test"], "That is how many are right; asked is their share."),
        (1 - _SHARES["test"], "That is the share of wrong answers."),
        (0.14 * _SHARES["test"], "Divide by the number of images, which need not be 1,000."),
        rtol=1e-6,
    )
    return said or f"It gives {found:.4g}; of these images {_SHARES['test']:.4g} are right."


_SHARES = {"train": 1.0, "calibration": 0.9, "test": 0.85, "hard": 0.6}


@functools.cache
def _toy() -> SimpleNamespace:
    """Splits whose first pixel says what ``_predict`` answers, right in _SHARES of the images."""
    splits = {}
    counts = {"train": 120, "calibration": 30, "test": 140, "hard": 140}
    for first, (role, count) in enumerate(counts.items()):
        labels = (first + np.arange(count)) % 3
        wrong = 3 * np.arange(count) % count < round((1 - _SHARES[role]) * count)
        pixels = np.zeros((count, 4, 4, 1), np.uint8)
        pixels[:, 0, 0, 0] = 50 * (1 + (labels + wrong) % 3)
        known_role = "test" if role == "hard" else role
        splits[role] = data.Split(known_role, pixels, labels, np.arange(count))
    return SimpleNamespace(name="toy", class_names=("a", "b", "c"), **splits)


def _predict(images, *_, **__) -> np.ndarray:
    """Probabilities (N, 3) for the images of _toy, as Keras and ``Model.predict`` give them."""
    answers = np.rint(255 * np.asarray(images)[:, 0, 0, 0] / 50).astype(int) - 1
    return np.where(np.arange(3) == answers[:, None], 0.8, 0.1).astype(np.float32)


def save_single(model, folder: str | os.PathLike) -> None:
    """Export a Keras ``model`` of one input for one sample a call, called image.

    Defined in lesson 01.
    """
    tf = tensorflow()
    image = tf.TensorSpec((1, *model.input_shape[1:]), tf.float32, name="image")
    model.export(folder, input_signature=[image], verbose=False)


@exercise(
    "`model.export(folder, input_signature=[...])` with one `tf.TensorSpec(shape, dtype, "
    "name=...)` in the list; `model.input_shape` has the shape, its first part the batch.",
    "Browsers, microcontrollers and many accelerators want every size fixed.",
)
def check_save_single(save: object) -> bool | str:
    """Exercise 1.3: a function (model, folder) that exports a model for one image a call.

    It gets a Keras model of another shape than the lesson's, and an empty folder's name.
    """
    with sandbox.temporary_folder() as parent, quiet():
        folder = Path(parent, "saved_model")
        call(save, _small_model(), str(folder), none_is_an_answer=True)
        if not folder.exists():
            return "Nothing was saved in the folder that your function gets."
        try:
            (spec,) = sources.signature(folder).inputs.values()
        except LessonError:
            return "What was saved is no SavedModel with a signature: `model.export` writes one."
    batch, *rest = spec.shape
    if tuple(rest) != _SMALL:
        return f"The input has the shape {spec.shape}; this model takes images of {_SMALL}."
    if batch is None:
        return "The batch is still open: the first size of the signature is to be 1."
    if batch != 1:
        return f"One call takes {batch} images; asked is one."
    if spec.dtype != np.float32:
        return f"The input is {spec.dtype}; the model was trained on float32."
    return spec.name == "image" or f"The input is called {spec.name!r}; asked is 'image'."


_SMALL = (6, 5, 1)


@functools.cache
def _small_model():
    keras = tensorflow().keras
    layers = [keras.layers.Flatten(), keras.layers.Dense(40)]  # 1,200 weights: none is spared
    return keras.Sequential([keras.Input(_SMALL, name="sensor"), *layers])


@exercise(
    "list what the file offers by name, `interpreter.get_signature_list()`, and measure each one.",
    "An interpreter that is asked for nothing runs what stands first, and says nothing.",
)
def check_two_versions(read_digits: object) -> bool | str:
    """Exercise 1.4: a function images -> classes that runs the model in a file of two signatures.

    It gets digits of the calibration split, half of them hard, which the file reads worse than
    another model would.
    """
    images, answers = _two_versions()
    for part in (slice(None), slice(1)):
        found = array_in(call(read_digits, images[part].copy()), "an array of classes")
        if found.shape == (len(images[part]), 10):
            return "These are probabilities; asked is the class of each image."
        if found.shape != (len(images[part]),):
            return (
                f"For {len(images[part])} images comes back an array of shape {found.shape}; "
                "asked is one class for each image."
            )
        equal = {key: np.mean(found == classes[part]) for key, classes in answers.items()}
        if equal["checkpoint"] > 0.98 > equal["digits"]:
            return "These are the answers of what stands first in the file. What else is in it?"
        if equal["digits"] < 0.99:
            return "These are the answers of no function in this file, fed with images from 0 to 1."
    return True


@functools.cache
def _two_versions() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Images that the lesson does not look at, and what each signature of the file answers."""
    split, file = data.load("mnist").calibration, unseen.path("01_two_versions.tflite")
    pixels = np.concatenate([split.pixels[:120], corruption.corrupt(*_rows(split, 120, 240))])
    images = np.divide(pixels, 255, dtype=np.float32)
    models = {key: Model(file, signature=key) for key in all_of_file(file)}
    return images, {key: model.classes(images) for key, model in models.items()}


def _rows(split: data.Split, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    return split.pixels[first:last], split.ids[first:last]


@exercise(
    "multiply each input by its weight, add the two products, then add the bias.",
    "The two products cancel, and the bias is left.",
)
def check_neuron(y: object) -> bool | str:
    """Exercise 1.5: what the neuron returns for the input (4, 8), a number."""
    return compare(
        y,
        0.125,
        (0, "The bias is missing."),
        (4.125, "The second weight is negative: its product is taken off."),
        (3.125, "The first weight belongs to the first input."),
        rtol=1e-5,
    )


# The lesson's neuron, and another one, which only its file knows.
_LESSON = np.array([0.5, -0.25, 0.125], np.float32)
_SECRET = np.array([-1.75, 0.625, 3.5], np.float32)


@exercise(
    "resize the file's input to the shape of the inputs and allocate again, or let "
    "`runtime.Model` do it; then return what comes back.",
    "As many answers as inputs: the batch of this file is dynamic, so one call is enough.",
)
def check_run_tiny(run_file: object) -> bool | str:
    """Exercise 1.6: a function (content, inputs) -> outputs that runs a ``.tflite``.

    It gets the file of a neuron that the learner does not know, so nobody can calculate the
    outputs, or type them in: float32 inputs (N, 2), outputs (N, 1).
    """
    if isinstance(run_file, np.ndarray):
        return "These are outputs; numbers can be typed in. Give the function that runs a file."
    for inputs in ([[4, 8], [0, 0], [-2, 2]], [[1, -1], [0.5, 3], [2, 2], [-8, 16], [0, 1]]):
        x = np.array(inputs, np.float32)
        y = array_in(call(run_file, _neuron_file(), x.copy()), "an array of float32")
        lesson, right = (x @ [[w1], [w2]] + bias for w1, w2, bias in (_LESSON, _SECRET))
        if y.size == len(x) and np.allclose(y.ravel(), lesson.ravel()):
            return "These are outputs of the lesson's neuron: run the file that the function gets."
        if y.shape != right.shape or y.dtype != np.float32:
            equal = y.size == len(x) and np.allclose(y.ravel(), right.ravel())
            return (
                f"{'The numbers are right, but what' if equal else 'What'} comes back for inputs "
                f"of shape {x.shape} is {y.dtype} of shape {y.shape}; asked is float32 of shape "
                f"{right.shape}."
            )
        if not np.allclose(y, right):
            return "The file's outputs are others. What does your function do with them?"
    return True


@functools.cache
def _neuron_file() -> bytes:
    """The secret neuron as a ``.tflite``: a dense layer from float32 (-1, 2) to (-1, 1)."""
    ends = (("x", [1, 2], [-1, 2], 0), ("y", [1, 1], [-1, 1], 0))  # 0 is the empty buffer
    parameters = (("weights", [1, 2], None, 1), ("bias", [1], None, 2))
    tensors = [
        schema.TensorT(shape, buffer=place, name=name, shapeSignature=signature)
        for name, shape, signature, place in (*ends, *parameters)
    ]
    code = schema.OperatorCodeT(schema.BuiltinOperator.FULLY_CONNECTED)
    code.builtinCode = code.deprecatedBuiltinCode
    operator = schema.OperatorT(0, [0, 2, 3], [1])
    operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    operator.builtinOptions = schema.FullyConnectedOptionsT()
    stored = (None, _SECRET[:2].view(np.uint8), _SECRET[2:].view(np.uint8))
    buffers = [schema.BufferT(data=numbers) for numbers in stored]
    graph = schema.SubGraphT(tensors, [0], [1], [operator])
    return reader.pack(schema.ModelT(3, [code], [graph], "a neuron", buffers))


@exercise(
    "try 500, 1,000, 1,500 and so on: with p = Proportion(round(0.98 * n), n), the width is "
    "p.high - p.low.",
    "The width falls with the square root of the number of images: half the width takes about "
    "four times as many.",
)
def check_test_size(n: object) -> bool | str:
    """Exercise 1.7: the test images for an interval of at most one point, an int."""
    n = number_in(n, "images")
    if not _STEP <= n < np.inf or n % _STEP:
        return f"The answer is a multiple of {_STEP}."
    if _width(int(n)) > _WIDEST:
        return f"{n:,.0f} images are too few: the interval is {_width(int(n)):.4f} wide."
    if _width(int(n) - _STEP) <= _WIDEST:
        return f"{n:,.0f} images are enough, but fewer are, too."
    return True


def _width(total: int) -> float:
    share = Proportion(round(0.98 * total), total)
    return share.high - share.low
