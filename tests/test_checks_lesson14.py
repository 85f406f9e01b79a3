"""The checks of lesson 14 accept right answers, refuse wrong ones, and wait for the rest."""

import json
import math

import numpy as np
import pytest

from lessons_lib import affine, checks, data, tables, unseen
from lessons_lib.course.checks import lesson14
from lessons_lib.run.runtime import Model
from verdicts import Answers, class_of_tests, network


def no_return(*given):
    list(given)


# ---- 14.1


def to_codes(x, scale, zero_point):
    steps = np.asarray(x, np.float32) / np.float32(scale)
    rounded = np.sign(steps) * np.floor(np.abs(steps) + 0.5)
    return np.clip(rounded + zero_point, 0, 255).astype(np.uint8)


def by_affine(x, scale, zero_point):
    return affine.quantize(x, scale, zero_point, signed=False)


def flat(x, scale, zero_point):
    return by_affine(x, scale, zero_point).ravel()


def in_a_loop(x, scale, zero_point):
    return along_a_row(x.ravel(), scale, zero_point).reshape(x.shape)


def along_a_row(x, scale, zero_point):
    codes = []
    for value in x:
        step = value / scale
        rounded = math.floor(step + 0.5) if step >= 0 else math.ceil(step - 0.5)
        codes.append(min(255, max(0, rounded + zero_point)))
    return np.array(codes, dtype="uint8")


def by_trunc(x, scale, zero_point):
    steps = x.astype(np.float64) / scale
    moved = np.trunc(steps + np.copysign(0.5, steps)) + zero_point
    return np.uint8(np.minimum(np.maximum(moved, 0), 255))


def by_where(x, scale, zero_point):
    steps = x / scale
    rounded = np.where(steps < 0, np.ceil(steps - 0.5), np.floor(steps + 0.5))
    return (rounded + zero_point).clip(0, 255).astype("uint8")


def clipped_steps(x, scale, zero_point):
    steps = affine.round_half_away(x / scale)
    return (np.clip(steps, -zero_point, 255 - zero_point) + zero_point).astype(np.uint8)


def coded(rounding, clip=True, dtype=np.uint8):
    """A way of to_codes with another rounding of (steps, zero point)."""

    def function(x, scale, zero_point):
        numbers = rounding(x.astype(float) / scale, zero_point)
        numbers = np.clip(numbers, 0, 255) if clip else numbers
        return numbers.astype(np.int64).astype(dtype)

    return function


def away(steps, zero_point):
    return affine.round_half_away(steps) + zero_point


# ---- 14.2


def apart(here, there):
    difference = np.abs(here.astype(float) - there.astype(float))
    return (difference == 0).sum(), difference.max()


def apart_by_numbers(here, there):
    pairs = list(zip(here.ravel().tolist(), there.ravel().tolist(), strict=True))
    return [sum(a == b for a, b in pairs), max(abs(a - b) for a, b in pairs)]


def apart_by_numpy(here, there):
    wide = np.subtract(here, there, dtype=np.float64)
    return np.array([np.count_nonzero(here == there), np.linalg.norm(wide.ravel(), np.inf)])


def apart_from_both_sides(here, there):
    here, there = np.float64(here), np.float64(there)
    return int(np.equal(here, there).sum()), max((here - there).max(), (there - here).max())


def apart_as_int(here, there):
    kind = np.int32 if here.dtype == np.uint8 else np.float64
    return (here == there).sum(), np.max(abs(here.astype(kind) - there.astype(kind)))


# ---- 14.3


def model():
    return Model(unseen.path("14_kiosk.tflite"))


def page(pixels):
    return model().run(np.ascontiguousarray(np.flip(pixels, axis=1))) / 255


def page_by_slices(pixels):
    codes = model().run(pixels[:, ::-1].copy())
    return codes.astype(np.float32) * np.float32(1 / 255)


def page_by_rows(pixels):
    runner = model()
    return [(runner.run(image[::-1][None].copy())[0] / 255).tolist() for image in pixels]


def page_through_floats(pixels):
    runner = model()
    images = np.flipud(np.moveaxis(pixels, 0, -1)) / np.float32(255)
    given = runner.quantize_input(np.moveaxis(images, -1, 0))
    return runner.run(np.ascontiguousarray(given)).astype(float) / 255


def page_with_six_decimals(pixels):
    return page(pixels).round(6)


def turned(turn, scale=1 / 255):
    def function(pixels):
        return model().run(np.ascontiguousarray(turn(pixels))) * scale

    return function


def from_below(pixels):
    return np.flip(pixels, axis=1)


# ---- 14.5


def runs_in_batch(microseconds, tick, error):
    return math.ceil(tick / (error * microseconds))


def by_floor(microseconds, tick, error):
    return -int(-tick // (error * microseconds))


def by_counting(microseconds, tick, error):
    runs = 1
    while tick / runs > error * microseconds * (1 + 1e-12):
        runs += 1
    return runs


def rounded_down(microseconds, tick, error):
    return max(1, int(tick / (error * microseconds)))


def duration_forgotten(microseconds, tick, error):
    return math.ceil(tick / error)


def rounded(microseconds, tick, error):
    return round(tick / (error * microseconds))


KNOWN = {"FLOAT32", "UINT8", "INT32"}


def fits_browser(tensors):
    ends = tensors[tensors["role"].isin(["input", "output"])]
    fixed = all(-1 not in shape for shape in ends["shape_signature"])
    return fixed and ends["dtype"].isin(KNOWN).all()


def by_a_loop(tensors):
    for end in tensors.query("role in ('input', 'output')").itertuples():
        if end.dtype not in KNOWN or min(end.shape_signature, default=1) < 0:
            return False
    return True


def as_an_int(tensors):
    return int(by_a_loop(tensors))


def types_of_all(tensors):
    return fits_browser(tensors) and tensors["dtype"].isin(KNOWN).all()


def with_type(other):
    return lambda table: fits_browser(table.replace({"dtype": {other: "UINT8"}}))


def types_only(tensors):
    return fits_browser(tensors.assign(shape_signature=tensors["shape"]))


def batch_only(tensors):
    first = tensors["shape_signature"].map(lambda shape: shape[:1])
    return fits_browser(tensors.assign(shape_signature=first))


def inputs_only(tensors):
    return fits_browser(tensors[tensors["role"] == "input"])


def no_int32(tensors):
    ends = tensors[tensors["role"].isin(["input", "output"])]
    return fits_browser(tensors) and not (ends["dtype"] == "INT32").any()


ANSWERS = {
    checks.check_page_codes: Answers(
        right={
            "sign and floor": to_codes,
            "affine": by_affine,
            "a loop": in_a_loop,
            "trunc": by_trunc,
            "where": by_where,
            "clipped before the zero point": clipped_steps,
            "away": coded(away),
            "the course's": lesson14.page_codes,
        },
        wrong={
            "flat": (flat, "shape (2, 3) it gives an array of shape (6,)"),
            "along a row": (along_a_row, "it is right; not for an image"),
            "Math.round": (coded(lambda s, z: np.floor(s + 0.5) + z), "as `Math.round` has it"),
            "np.round": (coded(lambda s, z: np.round(s) + z), "as `np.round` has it"),
            "cut off": (coded(lambda s, z: np.trunc(s) + z), "decimals are cut off"),
            "rounded down": (coded(lambda s, z: np.floor(s) + z), "All is rounded down"),
            "zero point before rounding": (
                coded(lambda s, z: affine.round_half_away(s + z)),
                "added before rounding",
            ),
            "to even behind the zero point": (coded(lambda s, z: np.round(s + z)), "even neighb"),
            "no zero point": (coded(lambda s, z: away(s, 0)), "The zero point is missing"),
            "minus the zero point": (coded(lambda s, z: away(s, -z)), "was taken away"),
            "times the scale": (
                lambda x, s, z: coded(away)(x * s * s, s, z),
                "multiplies by the scale",
            ),
            "not clipped": (coded(away, clip=False), "bytes overflow at both ends"),
            "not clipped, in floats": (
                lambda x, s, z: affine.round_half_away(x / s) + z,
                "Nothing is clipped",
            ),
            "Math.round, not clipped": (
                coded(lambda s, z: np.floor(s + 0.5) + z, clip=False),
                "and nothing is clipped",
            ),
            "of int8": (
                lambda x, s, z: np.clip(away(x / s, z - 128), -128, 127).astype(np.int8),
                "codes of int8",
            ),
            "int64": (coded(away, dtype=np.int64), "The codes are right, and int64"),
            "floats": (lambda x, s, z: np.clip(away(x / s, z), 0, 255), "right, and float"),
            "others": (lambda x, s, z: np.full(len(x), 7, np.uint8), "These are other codes"),
            "one number": (lambda x, s, z: np.uint8(3), "an array of shape ()"),
            "codes": ([1, 2, 3], "asked is a function"),
            "no return": (no_return, "`return` missing"),
        },
    ),
    checks.check_apart: Answers(
        right={
            "as floats": apart,
            "by numbers": apart_by_numbers,
            "by NumPy": apart_by_numpy,
            "from both sides": apart_from_both_sides,
            "as int": apart_as_int,
            "the course's": lesson14.apart,
        },
        wrong={
            "bytes": (
                lambda a, b: ((a == b).sum(), np.abs(a - b).max()),
                "A difference of bytes wraps",
            ),
            "with a sign": (
                lambda a, b: ((a == b).sum(), (a.astype(float) - b).max()),
                "The sign counts",
            ),
            "the mean": (
                lambda a, b: ((a == b).sum(), np.abs(a.astype(float) - b).mean()),
                "the mean difference",
            ),
            "those that differ": (
                lambda a, b: ((a != b).sum(), apart(a, b)[1]),
                "counts the numbers that differ",
            ),
            "with a tolerance": (
                lambda a, b: (np.isclose(a, b).sum(), apart(a, b)[1]),
                "with a tolerance",
            ),
            "the share": (lambda a, b: ((a == b).mean(), apart(a, b)[1]), "the share of equal"),
            "rows": (
                lambda a, b: ((a.argmax(1) == b.argmax(1)).sum(), apart(a, b)[1]),
                "rows with the same class",
            ),
            "swapped": (lambda a, b: apart(a, b)[::-1], ""),
            "one": (lambda a, b: apart(a, b)[1], "holds 1 number; 2 are asked"),
            "no return": (no_return, "`return` missing"),
            "a pair": ((1, 2), "asked is a function"),
        },
    ),
    checks.check_page: Answers(
        right={
            "flip": page,
            "slices": page_by_slices,
            "row by row": page_by_rows,
            "through floats": page_through_floats,
            "rounded": page_with_six_decimals,
        },
        wrong={
            "no slip": (lambda pixels: model().predict(pixels / np.float32(255)), "as they are"),
            "the end alone": (turned(lambda pixels: pixels), "The end is the page's. But it reads"),
            "the picture alone": (turned(from_below, 1 / 256), "the numbers at the end are oth"),
            "codes": (turned(from_below, 1), "the numbers at the end are others"),
            "from the right": (turned(lambda p: np.flip(p, 2)), "from the right"),
            "swapped": (turned(lambda p: np.swapaxes(p, 1, 2)), "rows and columns swapped"),
            "half a circle": (turned(lambda p: np.flip(p, (1, 2))), "half a circle"),
            "black and white": (turned(lambda p: 255 - p), "black and white swapped"),
            "a quarter": (turned(lambda p: np.rot90(p, axes=(1, 2))), "no way to read"),
            "classes": (lambda pixels: page(pixels).argmax(1), "an array of shape (60,)"),
            "the recorded ones": (
                np.array(json.loads(unseen.path("14_kiosk.json").read_text())["probabilities"]),
                "asked is a function",
            ),
            "no return": (no_return, "`return` missing"),
        },
    ),
    checks.check_uint8_codes: Answers(
        right={
            "a list": [0, 53, 57, 255],
            "floats": (0, 53.0, 57, 255),
            "uint8": np.uint8([0, 53, 57, 255]),
            "texts": ["0", "53", "57", "255"],
        },
        wrong={
            "to even": ([0, 52, 57, 255], "a tie"),
            "cut off": ([0, 52, 56, 255], "cut off"),
            "not clipped": ([-15, 53, 57, 260], "clip"),
            "wrapped": ([241, 53, 57, 4], "overflow"),
            "not clipped above": ([0, 53, 57, 260], "clip"),
            "not clipped below": ([-15, 53, 57, 255], "clip"),
            "taken off": ([0, 0, 0, 160], "not taken off"),
            "not rounded": ([0, 52.5, 56.55, 255], "whole numbers"),
            "no zero point": ([0, 3, 7, 210], "zero point is missing"),
            "int8": ([-128, -75, -71, 127], "int8"),
            "three": ([0, 53, 57], "holds 3 numbers; 4 are asked"),
            "a word": ("codes", "a number is asked"),
        },
    ),
    checks.check_runs_in_batch: Answers(
        right={"by ceil": runs_in_batch, "by floor": by_floor, "by counting": by_counting},
        wrong={
            "rounded down": (rounded_down, "gives 333, expected 334: the mean of so few"),
            "one too many": (lambda *g: runs_in_batch(*g) + 1, "expected 200: fewer are enough"),
            "rounded": (rounded, "it gives 333, expected 334"),
            "duration forgotten": (duration_forgotten, "it gives 10000, expected 200"),
            "a number": (200, "asked is a function"),
            "two": (lambda *given: (1, 2), "What your function returns holds 2"),
            "two arguments": (lambda tick, error: 1, "raised TypeError"),
            "no return": (no_return, "`return` missing"),
        },
    ),
    checks.check_fits_browser: Answers(
        right={"by pandas": fits_browser, "by a loop": by_a_loop, "as an int": as_an_int},
        wrong={
            "all types": (types_of_all, "takes this one (uint8)"),
            "types only": (types_only, "a dynamic batch"),
            "the batch only": (batch_only, "a dynamic height"),
            "inputs only": (inputs_only, "float32 input, int8 output"),
            "no int32": (no_int32, "one of them int32"),
            "int64 as well": (with_type("INT64"), "does not take this one (int64)"),
            "float16 as well": (with_type("FLOAT16"), "does not take this one (float16)"),
            "bool as well": (with_type("BOOL"), "does not take this one (bool output)"),
            "always": (lambda tensors: True, "does not take this one (int8)"),
            "a column": (lambda tensors: tensors["dtype"].isin(KNOWN), "returns a Series"),
            "a truth": (True, "asked is a function"),
            "no return": (no_return, "`return` missing"),
        },
    ),
}

TestAnswers = class_of_tests(ANSWERS)


def test_14_6_is_right_about_files():
    for dtype, batch, taken in (
        ("UINT8", 1, True),
        ("FLOAT32", 1, True),
        ("INT8", 1, False),
        ("UINT8", -1, False),
    ):
        tensors = tables.tensors(network("FULLY_CONNECTED", dtype, batch=batch))
        assert bool(fits_browser(tensors)) is taken
        assert {"role", "dtype", "shape_signature"} <= set(tensors.columns)


def test_14_1_the_course_s_own_are_those_of_the_library():
    x = np.random.default_rng(1).normal(0, 2, (50, 7)).astype(np.float32)
    codes = lesson14.page_codes(x, 0.02, 90)
    assert codes.dtype == np.uint8
    assert np.array_equal(codes, affine.quantize(x, 0.02, 90, signed=False))


def recorded():
    gave = np.array(json.loads(unseen.path("14_kiosk.json").read_text())["probabilities"])
    return gave, data.load("mnist").test.pixels[: len(gave)]


def test_the_unseen_model_is_fine():
    gave, pixels = recorded()
    labels = data.load("mnist").test.labels[: len(gave)]
    assert (model().run(pixels).argmax(1) == labels).all()
    assert (gave.argmax(1) == labels).mean() < 0.5


def test_the_unseen_page_makes_two_slips():
    gave, pixels = recorded()
    assert np.allclose(gave, page(pixels), rtol=0, atol=1e-6)
    assert gave.max() == 1 > 255 * model().output_scale


@pytest.mark.parametrize("turn", [name for name in lesson14._TURNS if name != "from below"])
def test_no_other_way_to_read_the_picture_gives_the_recorded_classes(turn):
    gave, pixels = recorded()
    found = model().run(np.ascontiguousarray(lesson14._TURNS[turn](pixels)))
    assert (found.argmax(1) == gave.argmax(1)).mean() < 0.6
