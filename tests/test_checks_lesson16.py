"""The checks of lesson 16 accept right answers, refuse wrong ones, and wait for the rest."""

import numpy as np
import pytest

import reference
from clinic_models import made
from lessons_lib import affine, by_litert, calibration, checks, signature, tables
from lessons_lib.course.checks.lesson16 import bearing_log
from lessons_lib.system.quiet import tensorflow
from verdicts import Answers, class_of_tests, network


def bearing_file(path="int8", seed=2, part="calibration", mend=lambda readings: readings):
    readings, _ = bearing_log(210, seed, part)
    content = by_litert.prepared(made()["bearing"])
    samples = calibration.guard(mend(readings), signature.of_file(content))
    recipe = by_litert.quantizer_recipe(by_litert.plan(content, path), path)
    ranges = by_litert.record(content, samples, "extremes")
    return by_litert.run(content, recipe, ranges)  # as it comes, good or bad


def whole_lines(readings):
    return readings[(readings >= 0).all(axis=1)]


def moving_average():
    good = whole_lines(bearing_log(210, 2, "calibration")[0])
    ready = by_litert.prepared(made()["bearing"])
    return by_litert.quantized(ready, "int8", good, calibrate="moving_average")[0]


def by_numpy(x, scale, zero_point):
    return np.clip(np.round(x / scale) + zero_point, -128, 127).astype(np.int8)


def in_integers(x, scale, zero_point):
    codes = np.rint(np.asarray(x, np.float64) / scale).astype(np.int64) + zero_point
    return np.int8(np.minimum(np.maximum(codes, -128), 127))


def halves_up(x, scale, zero_point):
    return np.clip(np.floor(x / scale + 0.5) + zero_point, -128, 127).astype("int8")


def cut_off(x, scale, zero_point):
    return np.clip(x / scale + zero_point, -128, 127).astype(np.int8)


def not_clipped(x, scale, zero_point):
    return (np.round(x / scale) + zero_point).astype(np.int64).astype(np.int8)


def no_zero_point(x, scale, zero_point):
    return np.clip(np.round(x / scale), -128, 127).astype(np.int8)


def unsigned(x, scale, zero_point):
    return np.clip(np.round(x / scale) + zero_point, 0, 255).astype(np.uint8)


def multiplied(x, scale, zero_point):
    return np.clip(np.round(x * scale) + zero_point, -128, 127).astype(np.int8)


def narrow(x, scale, zero_point):
    return np.clip(np.round(x / scale) + zero_point, -127, 127).astype(np.int8)


def wide(x, scale, zero_point):
    return np.clip(np.round(x / scale) + zero_point, -128, 126).astype(np.int8)


def clipped_first(x, scale, zero_point):
    codes = np.clip(np.round(x / scale), -128, 127) + zero_point
    return codes.astype(np.int64).astype(np.int8)


def subtracted(x, scale, zero_point):
    return np.clip(np.round(x / scale) - zero_point, -128, 127).astype(np.int8)


def divided_too(x, scale, zero_point):
    return np.clip(np.round((x + zero_point) / scale), -128, 127).astype(np.int8)


def one_by_one(arrays):
    def dataset():
        for i in range(len(arrays["speed"])):
            yield {name: array[i : i + 1] for name, array in arrays.items()}

    return dataset


def with_an_axis(arrays):
    names = sorted(arrays)
    rows = zip(*(arrays[name] for name in names), strict=True)
    items = [{n: row[np.newaxis] for n, row in zip(names, each, strict=True)} for each in rows]
    return lambda: iter(items)


def by_tf_data(arrays):
    dataset = tensorflow().data.Dataset.from_tensor_slices(arrays).batch(1)
    return lambda: dataset.as_numpy_iterator()


def in_a_list(arrays):
    return lambda: ([array[i : i + 1] for array in arrays.values()] for i in range(5))


def without_the_axis(arrays):
    return lambda: ({name: array[i] for name, array in arrays.items()} for i in range(5))


def called(arrays):
    return one_by_one(arrays)()


def swapped(arrays):
    turned = dict(zip(arrays, [*list(arrays.values())[1:], arrays["speed"]], strict=True))
    return one_by_one(turned | {"speed": arrays["pressure"]})


def shuffled(arrays):
    return one_by_one({name: array[[3, 0, 4, 1, 2]] for name, array in arrays.items()})


def torn(arrays):
    return one_by_one(arrays | {"speed": arrays["speed"][::-1]})


def only_the_first(arrays):
    return lambda: iter([{name: array[:1] for name, array in arrays.items()}])


def renamed(arrays):
    return lambda: ({f"{n}_in": a[i : i + 1] for n, a in arrays.items()} for i in range(5))


def endless(arrays):
    def dataset():
        while True:
            yield {name: array[:1] for name, array in arrays.items()}

    return dataset


ANSWERS = {
    checks.check_full_integer: Answers(
        right={
            "the course's": reference.converted()["int8"],
            "a bytearray": bytearray(reference.converted()["int8"]),
            "another network of digits": made()["batch None"],
        },
        wrong={
            "float ends": (reference.converted()["int8_float_fallback"], "int8 inside, and float"),
            "float": (reference.converted()["float32"], "is float32 at both ends"),
            "unsigned": (reference.converted()["uint8"], "The ends are uint8 and uint8"),
            "a float island": (
                network("CONV_2D DEQUANTIZE>FLOAT32 ELU QUANTIZE>INT8 SOFTMAX", "INT8"),
                "in float stayed ELU",
            ),
            "unscaled samples": (made()["unscaled"], "on which samples was it calibrated"),
            "another model": (bearing_file(mend=whole_lines), "does not take 28 x 28 images"),
            "a converter": (tensorflow().lite.TFLiteConverter, "asked is a file's content"),
        },
    ),
    checks.check_to_codes: Answers(
        right={
            "by numpy": by_numpy,
            "in integers": in_integers,
            "halves up": halves_up,
            "by the library": lambda x, scale, zero: affine.quantize(x, scale, zero),
        },
        wrong={
            "cut off": (cut_off, "A cast cuts off: round first"),
            "not clipped": (not_clipped, "wraps around: clip before the cast"),
            "no zero point": (no_zero_point, "The zero point is missing"),
            "unsigned": (unsigned, "What comes back is uint8"),
            "multiplied": (multiplied, "multiplied by the scale: divide"),
            "from -127": (narrow, "Only beyond the ends it is wrong"),
            "to 126": (wide, "Only beyond the ends it is wrong"),
            "clipped too early": (clipped_first, "added after the clip"),
            "subtracted": (subtracted, "The zero point is subtracted"),
            "divided too": (divided_too, "The zero point is divided as well"),
            "floats": (lambda x, scale, zero: np.round(x / scale) + zero, "is float"),
            "flat": (lambda x, scale, zero: by_numpy(x, scale, zero).ravel(), "have the shape"),
            "no return": (lambda x, scale, zero: x is None or None, "`return` missing"),
        },
    ),
    checks.check_samples_by_name: Answers(
        right={
            "by a slice": one_by_one,
            "with an axis": with_an_axis,
            "by tf.data": by_tf_data,
            "in another order": shuffled,
        },
        wrong={
            "rows of different samples": (torn, "rows of different samples"),
            "a list": (in_a_list, "a list of 3: right or wrong by luck"),
            "one row without its axis": (without_the_axis, "arrays of shape (4,)"),
            "all at once": (lambda arrays: lambda: iter([arrays]), "arrays of shape (5, 4)"),
            "called already": (called, "the converter wants one to call"),
            "in each other's place": (swapped, "come other numbers"),
            "one sample": (only_the_first, "come other numbers"),
            "other names": (renamed, "not those of the arrays"),
            "nothing": (lambda arrays: lambda: iter(()), "It yields nothing"),
            "without an end": (endless, "come other numbers"),
            "fails inside": (lambda arrays: lambda: (1 / 0 for _ in "a"), "ZeroDivisionError"),
        },
    ),
    checks.check_batch_of_one: Answers(
        right={
            "by the converter": made()["batch 1"],
            "by LiteRT's quantizer": by_litert.quantized(
                by_litert.prepared(made()["float, batch 1"]),
                "int8",
                reference.digits().calibration.images[:100],
            )[0],
            "a memoryview": memoryview(made()["batch 1"]),
        },
        wrong={
            "open": (made()["batch None"], "The batch is open still"),
            "four": (made()["batch 4"], "It takes 4 images at a time"),
            "float": (made()["float, batch 1"], "is float32 at both ends"),
            "unscaled": (made()["unscaled"], "on which samples"),
        },
    ),
    checks.check_wear: Answers(
        right={
            "without the lines": bearing_file(mend=whole_lines),
            "clipped": bearing_file(mend=lambda readings: readings.clip(0, 1)),
            "by the other log": bearing_file(seed=1, part="training"),
        },
        wrong={
            "as it came": (bearing_file(), "the readings go from 0 to 1"),
            "one line is left": (
                bearing_file(mend=lambda r: np.r_[whole_lines(r), r[(r < 0).any(axis=1)][:1]]),
                "the readings go from 0 to 1",
            ),
            "cut off": (moving_average(), "The most that the file can say is"),
            "in 16 bits": (bearing_file("int16x8", mend=whole_lines), "are int16 and int16"),
            "float": (made()["bearing"], "is float32 at both ends"),
            "another model": (reference.converted()["int8"], "does not take five readings"),
            "a file of another shape": (
                network("FULLY_CONNECTED", "INT8"),
                "does not take five readings",
            ),
        },
    ),
}

TestAnswers = class_of_tests(ANSWERS)


def test_16_1_a_cast_of_pixels_is_no_road():
    verdict = checks.check_to_codes(lambda x, scale, zero_point: x.astype(np.int8))
    assert not verdict and "asked is" in verdict.message


def test_the_open_tasks_log_is_sick_in_its_calibration_alone():
    readings, wear = bearing_log(300, seed=4)
    assert readings.min() >= 0 and readings.max() <= 1 and wear.shape == (300, 1)
    sick, same = bearing_log(300, seed=4, part="calibration")
    assert np.array_equal(same, wear)
    assert 1 <= (sick < 0).any(axis=1).sum() <= 5
    assert np.array_equal(sick[sick >= 0], readings[sick >= 0])


@pytest.mark.parametrize("seed", [2, 5, 9])
def test_the_open_tasks_fault_is_one_of_resolution(seed):
    content = bearing_file(seed=seed)
    (spec,) = tables.tensors(content).query("role == 'input'").itertuples()
    assert spec.scale > 30
    mended = bearing_file(seed=seed, mend=whole_lines)
    (spec,) = tables.tensors(mended).query("role == 'input'").itertuples()
    assert spec.scale < 0.005
