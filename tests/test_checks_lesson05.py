"""The checks of lesson 05 accept right answers, refuse wrong ones, and wait for the rest."""

import functools
import math

import numpy as np
import pandas as pd

from lessons_lib import (
    by_tensorflow,
    checks,
    edit,
    half_precision,
    paths,
    reader,
    tables,
    training,
    unseen,
)
from lessons_lib.course.checks import lesson05
from lessons_lib.run.runtime import Model
from lessons_lib.system.quiet import tensorflow
from verdicts import Answers, class_of_tests

CHANGED = [2e-7, 5e-8, 1e-9, 80000.0]
PATHS = ("float16", "dynamic_range", "float32")


def devices(*names):
    return dict(zip(("a GPU", "a slow line", "an audit"), names, strict=True))


# ---- 5.1, the step


def step(x):
    return 2.0 ** (max(math.floor(math.log2(x)), -14) - 10)


def by_a_loop(x):
    power = -14
    while 2.0 ** (power + 1) <= x:
        power += 1
    return 2.0**power / 1024


def by_frexp(x):
    return np.ldexp(1.0, max(math.frexp(x)[1] - 1, -14) - 10)


def by_neighbours(x):
    half = np.float16(x)
    return float(np.nextafter(half, np.float16(np.inf))) - float(half)


def stepped(power, bits=10):
    return lambda x: 2.0 ** (power(math.log2(x)) - bits)


# ---- 5.2, a file


def settings(optimizations=True, types=True, folder=None):
    """A function that converts, with one thing done otherwise."""

    def convert(given):
        tf = tensorflow()
        converter = tf.lite.TFLiteConverter.from_saved_model(str(folder or given))
        if optimizations:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if types:
            converter.target_spec.supported_types = [tf.float16]
        return converter.convert()

    return convert


def older_name(folder):
    tf = tensorflow()
    converter = tf.lite.TFLiteConverter.from_saved_model(folder)
    converter.target_spec.supported_types = (tf.float16,)
    converter.optimizations = [tf.lite.Optimize.OPTIMIZE_FOR_SIZE]
    return converter.convert()


def by_the_library(folder):
    return by_tensorflow.convert(folder, "float16")


def in_integers(folder):
    return by_tensorflow.convert(folder, "dynamic_range")


# ---- 5.3, a guard


def survives(w):
    size = np.abs(w)
    return size.max() <= 65504 and not np.any((size > 0) & (size <= 2.0**-25))


def there_and_back(w):
    with np.errstate(over="ignore"):
        half = np.asarray(w).astype(np.float16)
    return np.isfinite(half).all() and np.array_equal(half == 0, w == 0)


def by_numbers(w):
    return all(x == 0 or 2**-25 < abs(x) < 65520 for x in np.ravel(w))


# ---- 5.4, the sorter

SORTER = unseen.path("05_sorter.tflite").read_bytes()
NAMES = {
    (layer, role): name
    for layer, role, name in tables.tensors(SORTER)
    .query("bytes > 0 and dtype == 'FLOAT32'")[["layer", "role", "name"]]
    .to_numpy()
}
LOST = NAMES["kind_1", "weight"] if ("kind_1", "weight") in NAMES else NAMES["kind", "weight"]
SIEVE = [name for name in NAMES.values() if "sieve" in name]


@functools.cache
def moved(factor, later=None, bias=True):
    """The file with the middle layer times ``factor``, the last layer divided by it."""
    later = factor if later is None else later
    changed = {LOST: reader.constant(SORTER, LOST) / later}
    for name in SIEVE:
        if bias or "Bias" not in name:
            changed[name] = reader.constant(SORTER, name) * factor
    return edit.with_constants(SORTER, changed)


def both_biases(factor):
    bias = NAMES[next(key for key in NAMES if key[0].startswith("kind") and key[1] == "bias")]
    content = moved(factor)
    return edit.with_constants(content, {bias: reader.constant(content, bias) * factor})


def unit_by_unit():
    """Each unit of the middle layer gets a factor of its own, not a power of two."""
    last = reader.constant(SORTER, LOST)
    factors = np.abs(last).max(axis=0) / 3
    changed = {LOST: last / factors}
    for name in SIEVE:
        values = reader.constant(SORTER, name)
        changed[name] = values * (factors[:, np.newaxis] if values.ndim == 2 else factors)
    return edit.with_constants(SORTER, changed)


def clipped():
    return edit.with_constants(SORTER, {LOST: reader.constant(SORTER, LOST).clip(-65504, 65504)})


ANSWERS = {
    checks.check_changed_weights: Answers(
        right={
            "a list": CHANGED,
            "an array, reversed": np.array(CHANGED[::-1]),
            "a set": set(CHANGED),
            "in float32": np.float32(CHANGED),
            "texts": [f"{weight}" for weight in CHANGED],
        },
        wrong={
            "one too many": ([*CHANGED, 60000.0], "60000 changes by less"),
            "one too few": (CHANGED[:3], "1 more changes"),
            "one": (2e-7, "3 more change"),
            "places": ([3, 4, 5, 7], "3 is none of the eight"),
            "rounded halves": (np.float16(CHANGED[:3]), "is none of the eight"),
            "a mask": ([False] * 3 + [True] * 3 + [False, True], "is none of the eight"),
            "None": (None, "holds None"),
        },
    ),
    checks.check_headroom: Answers(
        right={"an int": 11, "a text": "11", "a NumPy integer": np.int64(11), "a float": 11.0},
        wrong={
            "the weights alone": (17, "The weights alone"),
            "one too many": (12, "is beyond 65504"),
            "one too few": (10, "A larger k fits"),
            "not whole": (11.57, "k is a whole number"),
            "the factor": (2048, "2048 is not the power"),
            "a word": ("eleven", "a number is asked"),
            "infinity": (np.inf, ""),
        },
    ),
    checks.check_paths_of_devices: Answers(
        right={
            "a dict": devices(*PATHS),
            "a dict in another order": dict(reversed(devices(*PATHS).items())),
            "a list": [*PATHS],
            "a tuple": PATHS,
            "a Series": pd.Series(PATHS),
        },
        wrong={
            "two alike": (devices("float16", "float16", "float32"), "2 of the three fit"),
            "one too few": (PATHS[:2], "You gave 2; three are asked"),
            "an old name": (devices("fp16", *PATHS[1:]), "'fp16', which is none of"),
            "in capitals": (devices("Float16", *PATHS[1:]), "'Float16', which is none of"),
            "path objects": ([paths.get(name) for name in PATHS], "a Path, which is none of"),
            "one text": ("float16", "asked is a path for each device"),
            "a set": ({*PATHS}, "asked is a path for each device"),
            "a number": (16, "asked is a path for each device"),
        },
    ),
    checks.check_float16_step: Answers(
        right={
            "a formula": step,
            "with NumPy": lambda x: 2.0 ** (np.maximum(np.floor(np.log2(x)), -14) - 10),
            "by a loop": by_a_loop,
            "by frexp": by_frexp,
            "by its neighbour": by_neighbours,
            "by spacing": lambda x: np.spacing(np.float16(x)),
            "the library's": half_precision.spacing,
            "an array": lambda x: np.array([step(x)]),
        },
        wrong={
            "no floor at -14": (stepped(math.floor), "shrinks no further"),
            "11 bits": (lambda x: step(x) / 2, "not more or fewer"),
            "9 bits": (lambda x: step(x) * 2, "not more or fewer"),
            "the power itself": (lambda x: 1024 * step(x), "That is the power of two itself"),
            "the exponent": (lambda x: math.log2(step(x)), "That is the exponent"),
            "rounded": (stepped(lambda p: max(round(p), -14)), "not the nearest"),
            "ceil": (stepped(lambda p: max(math.ceil(p), -14)), "not above"),
            "no whole power": (stepped(lambda p: max(p, -14)), "a whole one"),
            "cut off": (stepped(lambda p: max(int(p), -14)), "cutting off goes up"),
            "-15": (stepped(lambda p: max(math.floor(p), -15)), "The last power is -14"),
            "the bound at the end": (
                lambda x: 2.0 ** max(math.floor(math.log2(x)) - 10, -14),
                "10 is subtracted after it",
            ),
            "ln": (lambda x: 2.0 ** (max(math.floor(math.log(x)), -14) - 10), "`np.log2`"),
            "log10": (lambda x: 2.0 ** (max(math.floor(math.log10(x)), -14) - 10), "`np.log2`"),
            "p": (lambda x: max(math.floor(math.log2(x)), -14), "That is p"),
            "up": (stepped(lambda p: max(math.floor(p), -14), bits=-10), "*smaller*"),
            "a share of x": (lambda x: x / 1024, "not above x"),
            "x itself": (np.float16, "asked is the step there"),
            "float32's": (lambda x: np.spacing(np.float32(x)), "Not yet:"),
            "a text": (lambda x: "0.1", "asked is a number"),
            "its result": (step(1.0), "asked is a function"),
        },
    ),
    checks.check_convert_to_float16: Answers(
        right={
            "the article's, mended": settings(),
            "its older name": older_name,
            "the library's": by_the_library,
            "the course's own": lesson05.convert_to_float16,
        },
        wrong={
            "no optimizations": (settings(optimizations=False), "`optimizations` is missing"),
            "no types": (settings(types=False), "does not ask for float16"),
            "neither": (settings(False, False), "`optimizations` is missing"),
            "int8 weights": (in_integers, "does not ask for float16"),
            "another model": (
                settings(folder=training.reference("ds_cnn")),
                "This is the file of another model",
            ),
            "the folder is not used": (
                settings(folder=training.reference("mnist_cnn")),
                "use the argument, `folder`",
            ),
            "the converter": (lambda folder: object(), "asked is a file's content"),
            "a wrong name": (
                lambda folder: tf_lite_converter.convert(),  # noqa: F821
                "Your function raised NameError",
            ),
            "no return": (lambda folder: print(end=""), "is its `return` missing"),
            "no file": (lambda folder: b"TFL3", "are no readable .tflite file"),
        },
    ),
    checks.check_survives: Answers(
        right={
            "two questions": survives,
            "there and back": there_and_back,
            "number by number": by_numbers,
            "an array of one": lambda w: np.array([survives(w)]),
            "1 and 0": lambda w: int(survives(w)),
            "a lambda": lambda w: bool(
                (np.abs(w) <= 65504).all() and (np.float16(w)[w != 0] != 0).all()
            ),
        },
        wrong={
            "no upper end": (lambda w: not np.any((w != 0) & (abs(w) < 3e-8)), "70000: this does"),
            "no lower end": (lambda w: np.abs(w).max() <= 65504, "1e-9: this does not survive"),
            "no magnitude above": (
                lambda w: w.max() <= 65504 and survives(w.clip(-1)),
                "-70000: this does not survive",
            ),
            "zeros refused": (lambda w: survives(w) and (w != 0).all(), "a zero: this survives"),
            "subnormals refused": (
                lambda w: survives(w) and (np.abs(w[w != 0]) > 6e-5).all(),
                "which is subnormal: this survives",
            ),
            "the end refused": (lambda w: survives(w) and np.abs(w).max() < 65504, "65504: this"),
            "2**16": (lambda w: survives(np.where(np.abs(w) < 65536, w.clip(-9, 9), w)), "65530: "),
            "to 2**-25": (
                lambda w: survives(np.where(np.abs(w) == 2**-25, 0, w)),
                "2**-25, which becomes 0: this does not",
            ),
            "negative 2**-25": (
                lambda w: survives(np.where(w == -(2**-25), 0, w)),
                "-2**-25, which becomes 0: this does not",
            ),
            "to 2**-24": (
                lambda w: survives(w) and not np.any((w != 0) & (np.abs(w) < 2**-24)),
                "just above 2**-25: this survives",
            ),
            "always": (lambda w: True, "70000: this does not survive"),
            "never": (lambda w: False, "0.3, -0.1: this survives"),
            "the other way": (lambda w: not survives(w), "0.3, -0.1: this survives"),
            "each number": (lambda w: np.abs(w) <= 65504, "one answer"),
            "a sentence": (lambda w: "it does", "asked is True or False"),
            "no return": (lambda w: print(end=""), "is its `return` missing"),
        },
    ),
    checks.check_mended_sorter: Answers(
        right={
            "a power of two": (LOST, moved(2.0**17)),
            "another": (LOST, moved(2.0**12)),
            "back to where it came from": [LOST, moved(2.0**16)],
            "not a power of two": (LOST, moved(1e5)),
            "unit by unit": (LOST, unit_by_unit()),
            "the least that does": (LOST, moved(8.0)),
            "a bytearray": (LOST, bytearray(moved(2.0**15))),
        },
        wrong={
            "as it was": ((LOST, SORTER), "In float16 only"),
            "clipped": ((LOST, clipped()), "this is another function"),
            "without the bias": (
                (LOST, moved(2.0**16, bias=False)),
                "the bias of the layer before was not scaled",
            ),
            "a negative factor": ((LOST, moved(-16.0)), "holds for a > 0 only"),
            "the last layer alone": ((LOST, moved(1.0, 2.0**16)), "the layer before has not"),
            "the layer before alone": ((LOST, moved(2.0**16, 1.0)), "weights have not"),
            "both biases": ((LOST, both_biases(2.0**12)), "the last layer's bias does not go"),
            "the wrong way": ((LOST, moved(0.5)), "In float16 only"),
            "too far": ((LOST, moved(2.0**45)), "In float16 only"),
            "too little": ((LOST, moved(2.0)), "In float16 only"),
            "another tensor": ((SIEVE[0], moved(2.0**17)), "survives: its largest number"),
            "a layer": (("kind", moved(2.0**17)), "No tensor of numbers is called 'kind'"),
            "the name alone": (LOST, "asked is (name, content)"),
            "the file alone": (moved(2.0**17), "asked is (name, content)"),
            "swapped": ((moved(2.0**17), LOST), "give the content of a file"),
            "no file": ((LOST, b"TFL3"), "no readable .tflite"),
            "a number for a name": ((3, moved(2.0**17)), "the text that names a tensor"),
        },
    ),
}

TestAnswers = class_of_tests(ANSWERS)


def test_one_device_left_open_is_not_attempted():
    answer = devices("float16", ..., "float32")
    assert checks.check_paths_of_devices(answer).state == "not attempted"


def test_5_6_tells_what_the_weights_alone_would_bear():
    assert 0.46 * 2**17 <= 65504 < 0.46 * 2**18
    assert "borne 17" in checks.check_headroom(11).message


def test_a_conversion_without_a_body_is_not_attempted():
    def convert(folder): ...

    assert checks.check_convert_to_float16(convert).state == "not attempted"


def test_one_tensor_of_the_sorter_does_not_survive_float16_and_ruins_the_answers():
    stored = {name: reader.constant(SORTER, name) for name in NAMES.values()}
    assert [name for name, values in stored.items() if not survives(values)] == [LOST]
    x = np.random.default_rng(1).normal(size=(300, 4)).astype(np.float32)
    classes = [Model(content).classes(x) for content in (SORTER, edit.rounded_to_half(SORTER))]
    assert np.mean(classes[0] == classes[1]) < 0.7
