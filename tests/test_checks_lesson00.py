"""The checks of lesson 00: settings of a real converter, a generator, and the codes of images."""

import copy
import functools
import re

import numpy as np
import pytest

import folds
from lessons_lib import affine, checks, data, notebooks, training
from lessons_lib.course.checks import lesson00
from lessons_lib.system.quiet import quiet, tensorflow
from reference import digits
from verdicts import Answers, class_of_tests

tf = tensorflow()
DEFAULT = tf.lite.Optimize.DEFAULT
INT8 = tf.lite.OpsSet.TFLITE_BUILTINS_INT8


@functools.cache
def converter():
    with quiet():
        return tf.lite.TFLiteConverter.from_saved_model(str(training.reference()))


def sets(types=(), ops=None, **settings):
    """Return a converter with these settings, and the defaults for the others."""
    own = copy.copy(converter())
    own.target_spec = copy.copy(own.target_spec)
    own.target_spec.supported_types = types
    if ops is not None:
        own.target_spec.supported_ops = ops
    for name, value in settings.items():
        setattr(own, name, value)
    return own


def yields(images, batch=1, wrap=lambda x: [x]):
    def generator():
        for part in tf.data.Dataset.from_tensor_slices(images).batch(batch).take(100):
            yield wrap(part)

    return generator


def arrays(images):
    return lambda: ([image[np.newaxis]] for image in images)


def int8(**changed):
    settings = {
        "optimizations": [DEFAULT],
        "representative_dataset": arrays(digits().calibration.images),
        "ops": [INT8],
        "inference_input_type": tf.int8,
        "inference_output_type": tf.int8,
    }
    return sets(**settings | changed)


def not_a_list():
    yield digits().calibration.images[:1]


def forgot_yield():
    [[image] for image in CALIBRATION]


def broken():
    raise KeyError("images")
    yield


SCALE = 1 / 255
IMAGES = digits().test.images[:200]
REAL = IMAGES / np.float32(SCALE)
CODES = affine.quantize(IMAGES, SCALE, 0, signed=False)
CALIBRATION = digits().calibration.images


def check_input_codes(codes):
    return checks.check_input_codes(codes, IMAGES, SCALE, 0)


ANSWERS = {
    checks.check_space: Answers(
        right={
            "DEFAULT": sets(optimizations=[DEFAULT]),
            "the article's": sets(optimizations=[tf.lite.Optimize.OPTIMIZE_FOR_SIZE]),
            "a tuple": sets(optimizations=(DEFAULT,)),
            "a set": sets(optimizations={DEFAULT}),
        },
        wrong={
            "no list": (sets(optimizations=DEFAULT), "put brackets around it"),
            "a text": (
                sets(optimizations=["DEFAULT"]),
                "is a list of 1 that holds the text 'DEFAULT'; it should be a list with a member",
            ),
            "nothing": (sets(optimizations=[]), "is a list of 0"),
            "float16 as well": (sets([tf.float16], optimizations=[DEFAULT]), "another path"),
            "a dataset as well": (
                sets(optimizations=[DEFAULT], representative_dataset=arrays(CALIBRATION)),
                "`representative_dataset` is set as well",
            ),
            "no converter": (None, "`optimizations` is None"),
        },
    ),
    checks.check_float16: Answers(
        right={
            "a list": sets([tf.float16], optimizations=[DEFAULT]),
            "the half": sets([tf.half], optimizations=[DEFAULT]),
            "the older name": sets(
                (tf.float16,), optimizations=[tf.lite.Optimize.OPTIMIZE_FOR_SIZE]
            ),
        },
        wrong={
            "the type alone": (sets([tf.float16]), "silently gives the float32 file"),
            "no type": (sets(optimizations=[DEFAULT]), "it should be `[tf.float16]`"),
            "no list": (sets(tf.float16, optimizations=[DEFAULT]), "`supported_types` is"),
            "uint8 ends": (
                sets([tf.float16], optimizations=[DEFAULT], inference_input_type=tf.uint8),
                "`inference_input_type` is set as well",
            ),
            "integer operators": (
                sets([tf.float16], ops=[INT8], optimizations=[DEFAULT]),
                "`target_spec.supported_ops` is set as well",
            ),
            "a text": (sets(["float16"], optimizations=[DEFAULT]), "that holds the text 'float16'"),
            "NumPy's type": (
                sets([np.dtype("float16")], optimizations=[DEFAULT]),
                "it should be `[tf.float16]`",
            ),
            "bfloat16": (sets([tf.bfloat16], optimizations=[DEFAULT]), "float16"),
            "no list of optimizations": (sets([tf.float16], optimizations=DEFAULT), "brackets"),
        },
    ),
    checks.check_generator: Answers(
        right={
            "the article's form": yields(CALIBRATION),
            "NumPy arrays": arrays(CALIBRATION[100:160]),
            "dictionaries": yields(CALIBRATION, wrap=lambda x: {"image": x}),
            "tuples": yields(CALIBRATION, wrap=lambda x: (x,)),
        },
        wrong={
            "no batch axis": (lambda: ([image] for image in CALIBRATION), "shape (28, 28, 1)"),
            "batches of 10": (yields(CALIBRATION, batch=10), "shape (10, 28, 28, 1)"),
            "training images": (yields(digits().train.images), "of the train split"),
            "test images": (yields(digits().test.images), "of the test split"),
            "no list": (not_a_list, "by itself"),
            "with labels": (yields(CALIBRATION, wrap=lambda x: [x, 7]), "a list of ndarray, int"),
            "pixels": (yields(digits().calibration.pixels), "uint8"),
            "a call": (yields(CALIBRATION)(), "without parentheses"),
            "few": (arrays(CALIBRATION[:9]), "9 different images"),
            "one again and again": (arrays(np.repeat(CALIBRATION[:1], 90, 0)), "1 different"),
            "changed": (arrays(CALIBRATION * np.float32(0.5)), "or they were changed"),
            "it raises": (broken, "raised KeyError"),
            "no yield": (forgot_yield, "has a `yield` inside"),
        },
    ),
    checks.check_int8: Answers(
        right={
            "the settings": int8(),
            "the older name": int8(optimizations=[tf.lite.Optimize.OPTIMIZE_FOR_SIZE]),
            "as TensorFlow wraps it": int8(
                representative_dataset=tf.lite.RepresentativeDataset(arrays(CALIBRATION))
            ),
            "a tuple, and a generator of tensors": int8(
                ops=(INT8,), representative_dataset=yields(CALIBRATION)
            ),
        },
        wrong={
            "uint8": (int8(inference_input_type=tf.uint8), "`inference_input_type` is uint8"),
            "a float output": (int8(inference_output_type=tf.float32), "_output_type` is float32"),
            "other operators": (int8(ops=[tf.lite.OpsSet.TFLITE_BUILTINS]), "`supported_ops` is"),
            "no list": (int8(ops=INT8), "`supported_ops` is"),
            "an operator set's name": (
                int8(ops=["TFLITE_BUILTINS_INT8"]),
                "that holds the text 'TFLITE_BUILTINS_INT8'",
            ),
            "float16 as well": (int8(types=[tf.float16]), "`target_spec.supported_types` is set"),
            "a called generator": (
                int8(representative_dataset=yields(CALIBRATION)()),
                "without parentheses",
            ),
            "the article's generator": (
                int8(representative_dataset=yields(digits().train.images)),
                "does not pass 0.3 yet. There are images of the train split",
            ),
            "NumPy's int8": (int8(inference_input_type=np.int8), "it should be `tf.int8`"),
            "a text": (int8(inference_output_type="int8"), "it should be `tf.int8`"),
            "no optimizations": (int8(optimizations=[]), "`optimizations` is a list of 0"),
        },
    ),
    check_input_codes: Answers(
        right={
            "the library's": CODES,
            "half to even": np.clip(np.round(REAL), 0, 255).astype(np.uint8),
            "adding a half": np.floor(REAL + 0.5).astype(np.uint8),
        },
        wrong={
            "only cast": (IMAGES.astype(np.uint8), "cast as they are"),
            "not rounded": (
                np.clip(IMAGES / SCALE * 0.999999, 0, 255).astype(np.uint8),
                "one too low",
            ),
            "not cast": (np.clip(np.round(REAL), 0, 255), "cast them last"),
            "int8": (CODES.astype(np.int8), "are int8"),
            "one image": (CODES[0], "have the shape (28, 28, 1)"),
            "multiplied": (
                np.clip(np.round(IMAGES * SCALE) + 0, 0, 255).astype(np.uint8),
                "divide by the scale, not multiply",
            ),
            "all white": (np.full_like(CODES, 255), "codes differ"),
            "inverted": (255 - CODES, "codes differ"),
            "a text": ("codes", "asked is uint8 codes"),
        },
    ),
}

TestLesson00 = class_of_tests(ANSWERS)


def test_a_setting_that_is_open_is_not_attempted():
    assert checks.check_space(sets(optimizations=...)).state == "not attempted"
    assert checks.check_float16(sets(..., optimizations=[DEFAULT])).state == "not attempted"
    assert checks.check_int8(int8(inference_output_type=...)).state == "not attempted"


def test_a_function_that_is_still_empty_is_not_attempted():
    def calibration_data_gen(): ...

    assert checks.check_generator(calibration_data_gen).state == "not attempted"


SETTLED = {"dynamic_range": "space", "float16": "float16", "int8": "int8"}


@pytest.mark.parametrize(
    ("path", "settings", "said"),
    [
        ("dynamic_range", sets(optimizations=[DEFAULT]), "with your answer"),
        ("dynamic_range", sets(optimizations=DEFAULT), "not right yet"),
        ("dynamic_range", sets([tf.float16], optimizations=...), "no answer yet"),
        ("float16", sets(..., optimizations=...), "no answer yet"),
        ("int8", int8(inference_output_type=...), "no answer yet"),
        ("float16", sets([tf.float16]), "not right yet"),
        ("int8", int8(inference_output_type=tf.uint8), "not right yet"),
    ],
)
def test_a_page_runs_on_with_what_is_right(path, settings, said, capsys):
    ours = lesson00.configured(str(training.reference()), path, arrays(CALIBRATION[:100]))
    settled = checks.settle(SETTLED[path], settings, ours)
    assert said in capsys.readouterr().out
    assert settled is (settings if said == "with your answer" else ours)
    assert getattr(checks, f"check_{SETTLED[path]}")(settled)


def test_the_lessons_own_samples_are_those_of_the_folded_solution():
    """Else who types that gets other counts than the lesson shows, with a right answer."""
    cells = notebooks.read(notebooks.find([0])[0]).cells
    (solution,) = (cell.source for cell in cells if cell.metadata.get(folds.KEY) == "0.3")
    (own,) = (cell.source for cell in cells if cell.source.startswith("def samples("))
    known = {"dataset": data.load(), "tf": tf, "np": np, "checks": checks}
    exec(re.search(r"```python\n(.*?)```", solution, re.DOTALL)[1], known)
    exec(own.partition("ours = ")[0], known)
    theirs, ours = (list(known[name]()) for name in ("calibration_data_gen", "samples"))
    assert np.array_equal(theirs, ours)
    assert len(ours) == 100
