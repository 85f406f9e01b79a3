"""The checks of lesson 01 accept right answers, refuse wrong ones, and wait for the rest."""

import functools
import statistics
from pathlib import Path

import nbformat
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

import tiny_models
from lessons_lib import (
    by_tensorflow,
    checks,
    edit,
    evaluate,
    notebooks,
    runtime,
    signature,
    sources,
    unseen,
)
from lessons_lib.course.checks import lesson01
from lessons_lib.system.quiet import quiet, tensorflow
from reference import digits
from verdicts import Answers, class_of_tests

tf = tensorflow()
lite = tf.lite.TFLiteConverter


def by_the_library(content, inputs):
    return runtime.Model(content).predict(inputs)


def by_the_interpreter(content, inputs):
    interpreter = Interpreter(model_content=content)
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, inputs.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(index, inputs)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def row_by_row(content, inputs):
    return np.concatenate([by_the_interpreter(content, row[np.newaxis]) for row in inputs])


def by_hand(content, inputs):
    return inputs @ np.float32([[0.5], [-0.25]]) + np.float32(0.125)


def not_resized(content, inputs):
    return by_the_interpreter(content, inputs[:1])


def flattened(content, inputs):
    return by_the_interpreter(content, inputs).ravel()


def in_float64(content, inputs):
    return by_the_interpreter(content, inputs).astype(float)


def doubled(content, inputs):
    return 2 * by_the_interpreter(content, inputs)


def exports_and_converts(model, folder):
    model.export(folder)
    return lite.from_saved_model(folder).convert()


def through_an_archive(model, folder):
    archive = tf.keras.export.ExportArchive()
    archive.track(model)
    ends = [tf.TensorSpec((None, *model.input_shape[1:]))]
    archive.add_endpoint("serving_default", model.call, ends)
    archive.write_out(folder)
    return lite.from_saved_model(folder).convert()


def exports_and_takes_the_model(model, folder):
    model.export(folder)
    return lite.from_keras_model(model).convert()


def writes_a_file(model, folder):
    file = Path(folder).parent / "model.tflite"
    file.write_bytes(exports_and_converts(model, folder))
    return bytearray(file.read_bytes())


def by_the_course(model, folder):
    return by_tensorflow.convert(sources.save(model, folder), "float32")


def with_one_sample(model, folder):
    model.export(folder, input_signature=[tf.TensorSpec((1, *model.input_shape[1:]))])
    return lite.from_saved_model(folder).convert()


def forgot_to_convert(model, folder):
    model.export(folder)
    return lite.from_saved_model(folder)


def forgot_to_return(model, folder):
    exports_and_converts(model, folder)


def never_saved(model, folder):
    return lite.from_keras_model(model).convert()


def saved_by_tensorflow(model, folder):
    tf.saved_model.save(model, folder)
    return lite.from_saved_model(folder).convert()


def optimized(model, folder):
    model.export(folder)
    converter = lite.from_saved_model(folder)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter.convert()


def untrained(model, folder):
    model.export(folder)
    return lite.from_keras_model(tf.keras.models.clone_model(model)).convert()


def converts_another(model, folder):
    model.export(folder)
    return tiny_models.converted("depthwise", "float32")


def saves_for_keras(model, folder):
    model.save(folder + ".keras")
    return lite.from_saved_model(folder).convert()


def gives_the_folder(model, folder):
    model.export(folder)
    return folder


def counts(predict, dataset, role="test"):
    split = getattr(dataset, role)
    return (predict(split.images).argmax(axis=1) == split.labels).mean()


def of_the_library(predict, dataset):
    return evaluate.accuracy(predict(dataset.test.images).argmax(1), dataset.test.labels)


def in_a_loop(predict, dataset):
    right = 0
    for image, label in zip(dataset.test.images, dataset.test.labels, strict=True):
        right += predict(image[np.newaxis])[0].argmax() == label
    return right / len(dataset.test)


def by_statistics(predict, dataset):
    answers = predict(dataset.test.images, verbose=0).tolist()
    hits = [a.index(max(a)) == label for a, label in zip(answers, dataset.test.labels, strict=True)]
    return statistics.mean(map(float, hits))


def by_metric(predict, dataset):
    metric = tf.keras.metrics.SparseCategoricalAccuracy()
    metric.update_state(dataset.test.labels, predict(dataset.test.images))
    return metric.result().numpy()


def of_everything(predict, dataset):
    splits = dataset.train, dataset.calibration, dataset.test
    classes = predict(np.concatenate([split.images for split in splits])).argmax(axis=1)
    return np.mean(classes == np.concatenate([split.labels for split in splits]))


def forgot_the_class(predict, dataset):
    return np.mean(predict(dataset.test.images) == dataset.test.labels)


def mostly(error):
    """The same answer, off by a little."""
    return lambda predict, dataset: counts(predict, dataset) + error


def exporting(shape=None, dtype="float32", name="image", kind=list):
    def save(model, folder):
        size = (1, *model.input_shape[1:]) if shape is None else shape
        model.export(folder, input_signature=kind([tf.TensorSpec(size, dtype, name=name)]))

    return save


def by_tensorflow_itself(model, folder):
    spec = tf.TensorSpec([1, *model.inputs[0].shape[1:]], tf.float32, name="image")
    function = tf.function(model, input_signature=[spec]).get_concrete_function()
    tf.saved_model.save(model, folder, signatures=function)


def by_an_archive(model, folder):
    archive = tf.keras.export.ExportArchive()
    archive.track(model)
    spec = tf.keras.InputSpec("float32", (1, *model.input_shape[1:]), name="image")
    archive.add_endpoint("serving_default", model.call, [spec])
    archive.write_out(folder)


COLLEAGUE = unseen.path("01_two_versions.tflite")


def read_by(key="digits", factor=1, form=lambda classes: classes):
    def read(images):
        model = runtime.Model(COLLEAGUE, signature=key)
        return form(model.classes(np.float32(factor) * images))

    return read


def by_a_runner(images):
    runner = Interpreter(model_path=str(COLLEAGUE)).get_signature_runner("digits")
    return runner(image=images)["probabilities"].argmax(axis=-1)


def by_the_four_steps(images):
    with quiet():
        return by_the_interpreter(COLLEAGUE.read_bytes(), images).argmax(axis=1)


def one_by_one(images):
    model = runtime.Model(COLLEAGUE, signature="digits")
    return [int(model.classes(image[np.newaxis])[0]) for image in images]


@functools.cache
def labels_by_image():
    split = digits().calibration
    return dict(zip([image.tobytes() for image in split.images], split.labels, strict=True))


def typed_in(images):
    return np.array([labels_by_image().get(image.tobytes(), 0) for image in images])


TYPED_IN = np.array([[0.125], [0.125], [-1.375]], np.float32)

ANSWERS = {
    checks.check_save_and_convert: Answers(
        right={
            "two lines": exports_and_converts,
            "an archive": through_an_archive,
            "the model itself": exports_and_takes_the_model,
            "through a file": writes_a_file,
            "by the course": by_the_course,
            "a fixed batch": with_one_sample,
            "the course's own": lesson01.save_and_convert,
            "a lambda": lambda m, f: m.export(f) or lite.from_saved_model(f).convert(),
        },
        wrong={
            "the converter": (forgot_to_convert, "the converter itself"),
            "no return": (forgot_to_return, "is its `return` missing"),
            "nothing saved": (never_saved, "no SavedModel is in the folder"),
            "optimized": (optimized, "no longer float32"),
            "not by Keras": (saved_by_tensorflow, "save with `model.export`"),
            "other weights": (untrained, "another model"),
            "another network": (converts_another, "another model"),
            "a Keras file": (saves_for_keras, "Your function raised"),
            "the folder": (gives_the_folder, "asked is a file's content"),
            "bytes": (b"TFL3", "Give the function that makes them"),
        },
    ),
    checks.check_share_right: Answers(
        right={
            "a mean": counts,
            "the library's": of_the_library,
            "a loop": in_a_loop,
            "lists": by_statistics,
            "a metric": by_metric,
            "the course's own": lesson01.share_right,
            "a sum": lambda p, d: sum(p(d.test.images).argmax(1) == d.test.labels) / len(d.test),
            "a text": lambda p, d: f"{counts(p, d)}",
        },
        wrong={
            "training": (functools.partial(counts, role="train"), "learned them by heart"),
            "calibration": (functools.partial(counts, role="calibration"), "later lessons choose"),
            "hard": (functools.partial(counts, role="hard"), "of the hard digits"),
            "everything": (of_everything, "all images together"),
            "per cent": (lambda p, d: 100 * counts(p, d), "in per cent"),
            "a count": (lambda p, d: len(d.test) * counts(p, d), "how many are right"),
            "of 1,000": (lambda p, d: len(d.test) * counts(p, d) / 1000, "need not be 1,000"),
            "the first hundred": (
                lambda p, d: (p(d.test.images[:100]).argmax(1) == d.test.labels[:100]).mean(),
                "of these images 0.85 are right",
            ),
            "other labels": (
                lambda p, d: (p(d.test.images)[:120].argmax(1) == d.train.labels).mean(),
                "of these images 0.85 are right",
            ),
            "a mask": (
                lambda p, d: p(d.test.images).argmax(1) == d.test.labels,
                "What your function returns holds 140 numbers",
            ),
            "errors": (lambda p, d: 1 - counts(p, d), "share of wrong answers"),
            "no class": (forgot_the_class, "Your function raised ValueError"),
            "several": (lambda p, d: [counts(p, d), counts(p, d, "train")], "holds 2 numbers"),
            "a little off": (mostly(1e-3), "of these images 0.85 are right"),
            "rounded": (lambda p, d: round(counts(p, d), 1), "It gives 0.8"),
        },
    ),
    checks.check_save_single: Answers(
        right={
            "a TensorSpec": exporting(),
            "a tuple": exporting(kind=tuple),
            "by TensorFlow": by_tensorflow_itself,
            "an archive": by_an_archive,
            "the course's own": lesson01.save_single,
        },
        wrong={
            "no signature": (lambda model, folder: model.export(folder), "still open"),
            "two at once": (exporting((2, *lesson01._SMALL)), "takes 2 images"),
            "an open batch": (exporting((None, *lesson01._SMALL)), "still open"),
            "the lesson's shape": (exporting((1, 28, 28, 1)), "Your function raised"),
            "no batch": (exporting(lesson01._SMALL), "Your function raised"),
            "another name": (exporting(name="x"), "called 'x'"),
            "no name": (exporting(name=None), "asked is 'image'"),
            "the library's": (
                lambda model, folder: sources.save(model, folder, batch_size=1),
                "called 'sensor'",
            ),
            "halves": (exporting(dtype="float16"), "is float16"),
            "nothing": (lambda model, folder: model.summary(), "Nothing was saved"),
            "an empty folder": (lambda model, folder: Path(folder).mkdir(), "no SavedModel"),
        },
    ),
    checks.check_two_versions: Answers(
        right={
            "by the library": read_by(),
            "a signature runner": by_a_runner,
            "one by one": one_by_one,
            "as floats": read_by(form=np.float32),
            "only that signature": lambda x: by_the_interpreter(
                edit.only_signature(COLLEAGUE, "digits"), x
            ).argmax(axis=1),
        },
        wrong={
            "what stands first": (by_the_four_steps, "what stands first in the file"),
            "by its name": (read_by("checkpoint"), "what stands first in the file"),
            "pixels": (read_by(factor=255), "no function in this file"),
            "black on white": (lambda x: read_by()(1 - x), "no function in this file"),
            "typed in": (typed_in, "no function in this file"),
            "probabilities": (
                lambda x: runtime.Model(COLLEAGUE, signature="digits").predict(x),
                "asked is the class",
            ),
            "a column": (read_by(form=lambda classes: classes[:, None]), "shape (240, 1)"),
            "one class": (lambda x: read_by()(x)[0], "asked is one class for each image"),
            "no choice": (lambda x: runtime.Model(COLLEAGUE).classes(x), "2 signatures, none"),
        },
    ),
    checks.check_neuron: Answers(
        right={
            "a Python float": 0.125,
            "a NumPy scalar": np.float32(0.125),
            "an array": np.float32([[0.125]]),
            "nested lists": [[0.125]],
            "a text": "0.125",
        },
        wrong={
            "no bias": (0, "The bias is missing"),
            "a lost sign": (4.125, "second weight is negative"),
            "weights swapped": (3.125, "first weight belongs"),
            "two numbers": ([0.125, 0.125], "holds 2 numbers; one is asked"),
            "words": ("an eighth", "the text 'an eighth'"),
            "something else": (1, ""),
        },
    ),
    checks.check_run_tiny: Answers(
        right={
            "by the library": by_the_library,
            "by the interpreter": by_the_interpreter,
            "row by row": row_by_row,
            "a lambda": lambda content, x: runtime.Model(content).run(x),
        },
        wrong={
            "typed in": (TYPED_IN, "numbers can be typed in"),
            "typed in, as a list": (TYPED_IN.tolist(), "asked is a function"),
            "the neuron by hand": (by_hand, "of the lesson's neuron"),
            "one input of three": (not_resized, "is float32 of shape (1, 1); asked is float32"),
            "without its last axis": (flattened, "are right, but what comes back for inputs"),
            "in float64": (in_float64, "is float64 of shape (3, 1)"),
            "another number": (doubled, "The file's outputs are others"),
            "no content": (lambda x: x, "raised TypeError"),
            "no return": (lambda content, x: print(end=""), "is its `return` missing"),
        },
    ),
    checks.check_test_size: Answers(
        right={"an int": 3500, "a text": "3,500", "with its unit": "3500 images", "NumPy": 3.5e3},
        wrong={
            "none": (0, "a multiple of 500"),
            "too few": (3000, "3,000 images are too few: the interval is 0.0101 wide"),
            "too many": (4000, "4,000 images are enough, but fewer are, too"),
            "no multiple": (3400, "a multiple of 500"),
            "infinity": (np.inf, "a multiple of 500"),
            "None": (None, "holds None"),
        },
    ),
}

TestAnswers = class_of_tests(ANSWERS)


@pytest.mark.parametrize("kernels", ["xnnpack", "reference"])
def test_1_2_runs_a_file_that_runtimes_can_run(kernels):
    files = []
    checks.check_run_tiny(lambda content, x: files.append((content, x)))
    (content, x), model = files[0], runtime.Model(files[0][0], kernels=kernels)
    assert model.input_shape == (2,)
    assert model.predict(x).shape == (len(x), 1)
    assert not np.allclose(model.predict(x), by_hand(content, x))


def test_no_hint_gives_the_solution_away():
    assert "predict(" not in checks.check_run_tiny(doubled).message


def test_the_colleagues_file_holds_a_worse_model_in_front():
    """What an interpreter runs unasked is the network of the first few steps."""
    named = signature.all_of_file(COLLEAGUE)
    assert {key: found.subgraph for key, found in named.items()} == {"checkpoint": 0, "digits": 1}
    checkpoint, finished = named.values()
    assert str(checkpoint) == str(finished), "nothing but the answers tells them apart"
    test = digits().test
    right = {key: np.mean(read_by(key)(test.images) == test.labels) for key in named}
    assert right["checkpoint"] < 1 / 3 < 0.9 < right["digits"]
    assert np.array_equal(by_the_four_steps(test.images), read_by("checkpoint")(test.images))


def test_the_checks_say_nothing_on_the_page(capfd):
    for check, answer in (
        (checks.check_save_and_convert, exports_and_converts),
        (checks.check_save_single, exporting()),
    ):
        assert check(answer)
    assert capfd.readouterr() == ("", "")


def test_the_lesson_names_the_tools_of_its_open_task_before_it():
    lesson = nbformat.read(notebooks.FOLDER / "01_save_model.ipynb", 4)
    text = "".join(cell.source for cell in lesson.cells if cell.cell_type == "markdown")
    core = text.partition("## Deeper")[0]
    assert "get_signature_list()" in core and 'runtime.Model(file, signature="' in core
