"""The checks of lesson 03 accept right answers, refuse wrong ones, and wait for the rest."""

import math

import numpy as np

from lessons_lib import affine, checks, unseen
from lessons_lib.course.checks import lesson03
from verdicts import Answers, class_of_tests

with np.load(unseen.path("03_greenhouse.npz")) as _stored:
    LOG = dict(_stored)
SENSORS = ("temperature", "humidity", "light")


def forgets(*given):
    list(given)


# ---- 3.1, a range


def scale_zero_point(low, high):
    scale = (high - low) / 255
    return scale, round(-128 - low / scale)


def from_the_upper_end(low, high):
    scale = (high - low) / (127 - -128)
    return [np.float64(scale), np.int64(math.floor(127 - high / scale + 0.5))]


def as_an_array(low, high):
    return np.array(scale_zero_point(low, high))


def in_float32(low, high):
    scale = (np.float32(high) - np.float32(low)) / np.float32(255)
    return scale, int(np.rint(np.float32(-128) - np.float32(low) / scale))


def changed(scale=lambda low, high: (high - low) / 255, zero_point=lambda s, low, high: None):
    """A range with one thing done otherwise."""

    def function(low, high):
        s = scale(low, high)
        z = zero_point(s, low, high)
        return s, round(-128 - low / s) if z is None else z

    return function


# ---- 3.2 and 3.3, there and back


def with_numpy(x, scale, zero_point):
    return np.clip(np.round(x / scale) + zero_point, -128, 127).astype(np.int8)


def with_minimum(x, scale, zero_point):
    q = np.floor(np.asarray(x) / scale + 0.5) + zero_point
    return np.int8(np.minimum(np.maximum(q, -128), 127))


def with_where(x, scale, zero_point):
    q = np.rint(x.astype(float) / scale + zero_point)
    q = np.where(q > 127, 127, q)
    return np.where(q < -128, -128, q).astype("int8")


def vectorized(x, scale, zero_point):
    def one(value, s):
        return max(-128, min(127, round(float(value) / float(s)) + zero_point))

    return np.vectorize(one)(x, scale).astype(np.int8)


def one_by_one(x, scale, zero_point):
    codes = [max(-128, min(127, round(value / float(scale)) + zero_point)) for value in x.tolist()]
    return np.array(codes, np.int8)


def torn(x, scale, zero_point):
    return np.clip(np.round(x / np.max(scale)) + zero_point, -128, 127).astype(np.int8)


def quantized(function, dtype=np.int8):
    """``quantize`` with the four steps done otherwise: a function of ratio and zero point."""
    return lambda x, scale, zero_point: np.asarray(
        function(np.asarray(x, float) / scale, zero_point)
    ).astype(dtype)


def wrapping(values):
    return values.astype(np.int64).astype(np.int8)


def dequantize(codes, scale, zero_point):
    return (codes.astype(np.float32) - zero_point) * np.float32(scale)


def in_two_products(codes, scale, zero_point):
    return codes * np.asarray(scale, float) - zero_point * np.asarray(scale, float)


def with_wide_integers(codes, scale, zero_point):
    return np.multiply(scale, codes.astype(int) - zero_point)


# ---- 3.4, a scale for each channel


def with_keepdims(w):
    return np.abs(w).max(axis=tuple(range(1, w.ndim)), keepdims=True) / 127


def by_rows(w):
    top = np.abs(w.reshape(len(w), -1)).max(axis=1)
    return (top / 127).reshape(len(w), *[1] * (w.ndim - 1))


def by_a_loop_of_filters(w):
    return np.array([max(one.max(), -one.min()) / 127 for one in w]).reshape(
        -1, *(1,) * (w.ndim - 1)
    )


def with_expanded_axes(w):
    scales = np.array([affine.symmetric_scale(np.abs(one).max()) for one in w])
    return np.expand_dims(scales, tuple(range(1, w.ndim)))


def axes(w):
    return tuple(range(1, w.ndim))


# ---- 3.5, the log


def stored(name):
    kept = (f"{name}_codes", f"{name}_scale", f"{name}_zero_point")
    return tuple(LOG[key] for key in kept)


def again(name, low=None, high=None, signed=True):
    x = LOG[name]
    low, high = x.min() if low is None else low, x.max() if high is None else high
    scale, zero_point = affine.scale_zero_point(low, high, signed=signed)
    return affine.quantize(x, scale, zero_point, signed=signed), scale, zero_point


def symmetric(name):
    scale = LOG[name][LOG[name] > -900].max() / 127
    return affine.quantize(LOG[name], scale, 0, narrow_range=True), scale, 0


def by_percentiles(name):
    return again(name, *np.percentile(LOG[name], [0.2, 99.9]))


def log(**other):
    right = {
        "temperature": again("temperature", low=0),
        "humidity": stored("humidity"),
        "light": (LOG["light_codes"], LOG["light_scale"], -128),
    }
    return right | other


ANSWERS = {
    checks.check_relu_range: Answers(
        right={
            "a tuple": (0.025, -128),
            "by the library": affine.scale_zero_point(0, 6.375),
            "a list": [6.375 / 255, -128.0],
            "an array": np.array([0.025, -128]),
        },
        wrong={
            "256 steps": ((6.375 / 256, -128), "255 steps apart"),
            "steps for each 1": ((40, -128), "how many steps make 1"),
            "rounded": ((0.03, -128), "0.03 does not make 255 steps"),
            "symmetric": ((6.375 / 127, 0), "symmetric scale"),
            "a zero point of 0": ((0.025, 0), "The scale is right"),
            "uint8's": ((0.025, 128), "The scale is right"),
            "swapped": ((-128, 0.025), "The scale comes first"),
            "the scale alone": (0.025, "holds 1 number; 2 are asked"),
            "None": (None, "holds None"),
        },
    ),
    checks.check_scale_zero_point: Answers(
        right={
            "two lines": scale_zero_point,
            "from the upper end, a list": from_the_upper_end,
            "an array": as_an_array,
            "in float32": in_float32,
            "the library's": affine.scale_zero_point,
            "half to even": changed(zero_point=lambda s, low, high: np.rint(-128 - low / s)),
            "half away from zero": changed(
                zero_point=lambda s, low, high: affine.round_half_away(-128 - low / s)
            ),
            "a lambda": lambda a, b: ((b - a) / 255, round(-128 - a * 255 / (b - a))),
        },
        wrong={
            "256 steps": (changed(lambda low, high: (high - low) / 256), "only 255 steps apart"),
            "symmetric": (
                lambda low, high: (max(-low, high) / 127, 0),
                "that is the symmetric scale",
            ),
            "steps": (changed(lambda low, high: 255 / (high - low)), "how many steps make 1"),
            "from zero": (changed(lambda low, high: high / 255), "begins at `low`, not at 0"),
            "swapped": (lambda low, high: scale_zero_point(low, high)[::-1], "scale comes first"),
            "not rounded": (
                changed(zero_point=lambda s, low, high: -128 - low / s),
                "a whole number: round it",
            ),
            "cut off": (
                changed(zero_point=lambda s, low, high: int(-128 - low / s)),
                "this was cut off",
            ),
            "floor": (
                changed(zero_point=lambda s, low, high: math.floor(-128 - low / s)),
                "this was cut off",
            ),
            "uint8's": (
                changed(zero_point=lambda s, low, high: round(-low / s)),
                "that is uint8's",
            ),
            "the sign": (
                changed(zero_point=lambda s, low, high: round(-128 + low / s)),
                "mind the sign",
            ),
            "no shift": (changed(zero_point=lambda s, low, high: 0), "its code is not 0"),
            "-128 for all": (
                changed(zero_point=lambda s, low, high: -128),
                "is -128 the code of `low`?",
            ),
            "the scale alone": (lambda low, high: (high - low) / 255, "holds 1 number; 2 are"),
            "its result": (scale_zero_point(-1, 1), "asked is a function"),
            "no return": (forgets, "is its `return` missing"),
            "another scale": (changed(lambda low, high: (high - low) / 100), "does not make 255"),
        },
    ),
    checks.check_quantize: Answers(
        right={
            "NumPy's rounding": with_numpy,
            "minimum and maximum": with_minimum,
            "where": with_where,
            "vectorized": vectorized,
            "the library's": affine.quantize,
            "a lambda": lambda x, s, z: np.clip(np.rint(x / s + z), -128, 127).astype(np.int8),
            "in float64, int8 by name": lambda x, s, z: np.array(
                np.clip(np.rint(np.float64(x) / s) + z, -128, 127), dtype="int8"
            ),
            "ndarray.clip": lambda x, s, z: ((x / s).round() + z).clip(-128, 127).astype("b"),
        },
        wrong={
            "not rounded": (
                quantized(lambda r, z: np.clip(r + z, -128, 127)),
                "the cast cuts off",
            ),
            "floor": (quantized(lambda r, z: np.clip(np.floor(r) + z, -128, 127)), "cuts off"),
            "ceil": (quantized(lambda r, z: np.clip(np.ceil(r) + z, -128, 127)), "always up"),
            "clipped too early, wrapped": (
                quantized(lambda r, z: wrapping(np.clip(np.rint(r), -128, 127) + z)),
                "shift first, then clip",
            ),
            "number by number, with one scale": (one_by_one, "an array of scales"),
            "not clipped": (quantized(lambda r, z: wrapping(np.rint(r) + z)), "no such code"),
            "not cast, not clipped": (quantized(lambda r, z: np.rint(r) + z, float), "no such"),
            "not shifted": (
                quantized(lambda r, z: np.clip(np.rint(r), -128, 127)),
                "the zero point is missing",
            ),
            "shifted the other way": (
                quantized(lambda r, z: np.clip(np.rint(r) - z, -128, 127)),
                "added, not taken off",
            ),
            "clipped before the shift": (
                quantized(lambda r, z: np.clip(np.rint(r), -128, 127) + z, float),
                "shift first, then clip",
            ),
            "uint8": (
                quantized(lambda r, z: np.clip(np.rint(r) + z, 0, 255), np.uint8),
                "codes of uint8",
            ),
            "a narrow range": (
                quantized(lambda r, z: np.clip(np.rint(r) + z, -127, 127)),
                "int8 begins at -128",
            ),
            "multiplied": (
                quantized(lambda r, z: np.clip(np.rint(r / 16) + z, -128, 127)),
                "divide by the scale",
            ),
            "not cast": (
                quantized(lambda r, z: np.clip(np.rint(r) + z, -128, 127), float),
                "their type is float64",
            ),
            "a list": (lambda x, s, z: with_numpy(x, s, z).tolist(), "their type is int64"),
            "one row only": (lambda x, s, z: with_numpy(x, s, z)[:1], "codes have the shape (1,)"),
            "one scale for all": (torn, "With a scale for each row"),
            "flat": (lambda x, s, z: with_numpy(x, s, z).ravel(), "codes have the shape (12,)"),
            "no return": (forgets, "is its `return` missing"),
            "two arguments": (lambda x, s: x, "Your function raised TypeError"),
            "its result": (np.zeros(3, np.int8), "asked is a function"),
        },
    ),
    checks.check_dequantize: Answers(
        right={
            "in float32": dequantize,
            "two products": in_two_products,
            "wide integers": with_wide_integers,
            "the library's": affine.dequantize,
            "float64": lambda q, s, z: s * (q.astype(float) - z),
            "int32": lambda q, s, z: s * (q.astype(np.int32) - np.int32(z)),
            "float16 of codes": lambda q, s, z: (q.astype("f4") - z) * s,
            "np.subtract": lambda q, s, z: np.subtract(q, z, dtype=float) * s,
        },
        wrong={
            "int8 wraps": (lambda q, s, z: (q - z) * s, "wrapped around: widen the codes"),
            "no zero point": (lambda q, s, z: q * s, "the zero point is missing"),
            "multiplied first": (lambda q, s, z: q * s - z, "before you multiply"),
            "added": (lambda q, s, z: (q.astype(float) + z) * s, "it was added"),
            "divided": (lambda q, s, z: (q.astype(float) - z) / s, "multiply by the scale"),
            "integers": (
                lambda q, s, z: ((q.astype(float) - z) * s).astype(int),
                "real numbers have fractions",
            ),
            "the other way round": (lambda q, s, z: (z - q.astype(float)) * s, "code comes first"),
            "code by code, with one scale": (
                lambda q, s, z: np.array([float(s) * (int(code) - z) for code in q]),
                "an array of scales",
            ),
            "flat": (lambda q, s, z: dequantize(q, s, z).ravel(), "have the shape (12,)"),
            "half the scale": (lambda q, s, z: (q.astype(float) - z) * s / 2, "the first formula"),
            "one scale for all": (
                lambda q, s, z: (q.astype(float) - z) * np.max(s),
                "With a scale for each row",
            ),
            "one number": (lambda q, s, z: 1.0, "the numbers have the shape ()"),
            "no return": (forgets, "is its `return` missing"),
            "a text": (lambda q, s, z: "1.0", "asked is an array of real numbers"),
        },
    ),
    checks.check_channel_scales: Answers(
        right={
            "keepdims": with_keepdims,
            "rows": by_rows,
            "a loop of filters": by_a_loop_of_filters,
            "expanded": with_expanded_axes,
            "the library's": lesson03.scale_of_channels,
            "by its name": lambda w: affine.per_channel_scale(w, 0),
            "the larger of both ends": lambda w: (
                np.maximum(w.max(axis=axes(w), keepdims=True), -w.min(axis=axes(w), keepdims=True))
                / np.float32(127)
            ),
            "reduced": lambda w: np.maximum.reduce(np.abs(w), axis=axes(w), keepdims=True) / 127,
        },
        wrong={
            "one scale": (lambda w: np.abs(w).max() / 127, "one scale for all filters"),
            "one scale, repeated": (
                lambda w: np.full((len(w), *[1] * (w.ndim - 1)), np.abs(w).max() / 127),
                "one scale for all filters",
            ),
            "one in brackets": (
                lambda w: np.abs(w).max(keepdims=True) / 127,
                "one scale for all filters",
            ),
            "flat": (lambda w: with_keepdims(w).ravel(), "so that the weights can be"),
            "no magnitudes": (
                lambda w: w.max(axis=axes(w), keepdims=True) / 127,
                "a negative weight may be",
            ),
            "128 codes": (lambda w: 127 * with_keepdims(w) / 128, "end at -127 and 127"),
            "255 steps": (
                lambda w: np.ptp(w, axis=axes(w), keepdims=True) / 255,
                "symmetric scales divide by 127",
            ),
            "magnitudes": (lambda w: 127 * with_keepdims(w), "127 steps reach them"),
            "the last axis": (
                lambda w: np.abs(w).max(axis=tuple(range(w.ndim - 1)), keepdims=True) / 127,
                "the filters lie along the first axis",
            ),
            "every weight": (lambda w: np.abs(w) / 127, "the filters lie along the first axis"),
            "the second axis": (
                lambda w: np.abs(w).max(axis=1, keepdims=True) / 127,
                "the filters lie along the first axis",
            ),
            "the mean": (
                lambda w: np.abs(w).mean(axis=axes(w), keepdims=True) / 127,
                "not the largest magnitude",
            ),
            "no return": (forgets, "is its `return` missing"),
        },
    ),
    checks.check_mended_log: Answers(
        right={
            "the outlier clipped, the zero point set": log(),
            "all anew": log(humidity=again("humidity"), light=again("light")),
            "symmetric temperature": log(temperature=symmetric("temperature")),
            "percentiles": log(temperature=by_percentiles("temperature")),
            "lists, in another order": {k: [*v] for k, v in reversed(log().items())},
            "its own range": log(
                temperature=again("temperature", LOG["temperature"][LOG["temperature"] > 0].min())
            ),
            "light by its dark": log(light=(*stored("light")[:2], int(LOG["light_codes"].min()))),
            "light, symmetric": log(light=symmetric("light")),
            "wide integers": log(light=(LOG["light_codes"].astype(int), LOG["light_scale"], -128)),
            "plain lists": log(
                light=[LOG["light_codes"].tolist(), float(LOG["light_scale"]), -128]
            ),
        },
        wrong={
            "as stored": ({name: stored(name) for name in SENSORS}, "temperature: readings come"),
            "the outlier left": (log(temperature=stored("temperature")), "need be worth"),
            "the zero point left": (log(light=stored("light")), "to the same side"),
            "the zero point off the other way": (
                log(light=(*stored("light")[:2], -120)),
                "to the same side",
            ),
            "humidity spoiled": (log(humidity=again("humidity", high=60)), "humidity: readings"),
            "a far wider range": (log(temperature=again("temperature", -200)), "need be worth"),
            "uint8": (log(light=again("light", signed=False)), "the codes are uint8"),
            "real numbers": (
                log(light=LOG["light"]),
                "light: this is an array of float32, shape (2016,); asked",
            ),
            "the scale negative": (log(light=(LOG["light_codes"], -2.5, 0)), "scale is positive"),
            "a broken zero point": (log(light=(*stored("light")[:2], -128.4)), "whole number"),
            "a range without 0": (
                log(humidity=(*stored("humidity")[:2], -334)),
                "humidity: the zero point -334 is no code from -128 to 127: the range must hold 0",
            ),
            "codes of one day": (
                log(light=(LOG["light_codes"][:288], LOG["light_scale"], -128)),
                "the codes are int8 of shape (288,)",
            ),
            "a sensor less": ({"light": log()["light"]}, "The keys of the dict"),
            "names alone": (SENSORS, "asked is a dict with the three"),
            "texts": (log(light="mended"), "asked are (codes, scale"),
        },
    ),
}

TestAnswers = class_of_tests(ANSWERS)


def test_a_blank_is_not_attempted():
    def range_of(low, high):
        scale = ...
        zero_point = ...
        return scale, zero_point

    assert checks.check_scale_zero_point(range_of).state == "not attempted"


def test_the_greenhouse_hides_one_outlier_and_one_zero_point():
    errors = {}
    for name in SENSORS:
        codes, scale, zero_point = stored(name)
        errors[name] = (affine.dequantize(codes, scale, zero_point) - LOG[name]) / scale
    assert np.abs(errors["humidity"]).max() < 0.51
    assert (LOG["temperature"] == -999).sum() == 1
    assert np.unique(LOG["temperature_codes"]).size < 8
    assert np.allclose(errors["light"].round(), errors["light"].round()[0])
    assert abs(errors["light"].mean() + 12) < 0.5
