"""The checks of lesson 12 accept right answers, refuse wrong ones, and wait for the rest."""

import math
import sys

import numpy as np
import pytest

import packed_models
from lessons_lib import affine, checks, files, unseen
from lessons_lib.course.checks import lesson12
from verdicts import Answers, class_of_tests, network

sys.path.insert(0, str(files.data_folder().parent / "tools"))


# 12.1


def grid(num_bits, rounding=np.round, limit=lambda w: np.abs(w).max(), qmax=None):
    """A way to 12.1, of which one step may be wrong; ``num_bits`` None takes what is asked."""

    def fake_quantize(w, bits):
        scale = limit(w) / (qmax or 2 ** ((num_bits or bits) - 1) - 1)
        return scale * rounding(w / scale)

    return fake_quantize


def by_the_library(w, num_bits):
    scale = affine.symmetric_scale(np.abs(w).max(), num_bits=num_bits)
    codes = affine.quantize(w, scale, 0, num_bits=num_bits, narrow_range=True)
    return affine.dequantize(codes, scale, 0)


def by_loops(w, num_bits):
    highest = 2 ** (num_bits - 1) - 1
    scale = max(abs(float(v)) for v in w.ravel()) / highest
    found = [scale * round(float(v) / scale) for v in w.ravel()]
    return np.reshape(found, w.shape).tolist()


def by_floor(w, num_bits=4):
    scale = max(w.max(), -w.min()) / (2 ** (num_bits - 1) - 1)
    return (scale * np.floor(w / scale + 0.5)).astype(np.float32)


def clipped_too(w, num_bits):
    qmax = 2 ** (num_bits - 1) - 1
    scale = np.abs(w).max() / qmax
    return np.clip(np.rint(w / scale), -qmax, qmax) * scale


# 12.2


def gradient(x, w, t, limit):
    scale = limit / 7
    rounded = scale * np.round(np.clip(w, -limit, limit) / scale)
    return (rounded @ x - t) * x * (np.abs(w) <= limit)


def gradient_by_loops(x, w, t, limit):
    codes = [max(-7, min(7, round(7 * v / limit))) for v in w.tolist()]
    error = sum(limit / 7 * code * v for code, v in zip(codes, x, strict=True)) - t
    return [error * v if abs(u) <= limit else 0 for u, v in zip(w, x, strict=True)]


def gradient_by_where(x, w, t, limit):
    step = limit / 7
    used = np.clip(np.round(w / step), -7, 7) * step
    inside = (w >= -limit) & (w <= limit)
    return np.where(inside, ((used * x).sum() - t) * x, 0).astype(np.float32)


def gradient_of_codes(x, w, t, limit):
    """Clipped codes, but a mask of the codes: the same but where a weight is just outside."""
    codes = np.round(w * 7 / limit)
    y = limit / 7 * (np.clip(codes, -7, 7) @ x)
    return math.fsum([y, -t]) * x * (np.abs(codes) <= 7)


def wrong(change):
    """12.2 with a slip: ``change`` gets inputs, weights, target, limit and the right gradients."""
    return lambda x, w, t, limit: change(x, w, t, limit, gradient(x, w, t, limit))


def unmasked(x, w, t, limit, clip=True, rounding=True):
    used = np.clip(w, -limit, limit) if clip else w
    if rounding:
        used = limit / 7 * np.round(used * 7 / limit)
    return (used @ x - t) * x


def inside(w, limit):
    return np.abs(w) <= limit


def with_rule(steps, rounding=np.round, unit=False):
    """12.2 with a grid of so many steps, another rounding, or codes in place of weights."""

    def gradients(x, w, t, limit):
        step = limit / steps
        used = rounding(np.clip(w, -limit, limit) / step) * (1 if unit else step)
        return (used @ x - t) * x * inside(w, limit)

    return gradients


def by_largest_weight(x, w, t, limit):
    return (lesson12.fake_quantize(w) @ x - t) * x * inside(w, limit)


# 12.4

MOVING, FLIPPING = [2, 5, 6], [1, 4, 7]


def findings(slip="b", moving=MOVING, flipping=FLIPPING, **more):
    return {"slip": slip, "moving": moving, "flipping": flipping, **more}


def mask(weights):
    return np.isin(np.arange(10), weights)


# 12.5

CNN = "CONV_2D:RELU MAX_POOL_2D CONV_2D:RELU MAX_POOL_2D RESHAPE FULLY_CONNECTED:RELU"
END = "FULLY_CONNECTED SOFTMAX"


def int4(chain=f"{CNN} {END}", dtype="INT8", weights="INT4"):
    return network(chain, dtype, weights)


ANSWERS = {
    checks.check_fake_quantize: Answers(
        right={
            "one scale": grid(None),
            "the library": by_the_library,
            "the course's": lesson12.fake_quantize,
            "loops, a list": by_loops,
            "ties upwards, float32": by_floor,
            "clipped": clipped_too,
        },
        wrong={
            "codes": (
                lambda w, bits: np.round(w / np.abs(w).max() * (2 ** (bits - 1) - 1)),
                "These are the codes",
            ),
            "steps": (lambda w, bits: w / np.abs(w).max() * 7, "not rounded yet"),
            "unchanged": (lambda w, bits: w, "as they were"),
            "rounded down": (grid(None, np.floor), "do not cut off"),
            "cut off": (grid(None, np.trunc), "do not cut off"),
            "rounded up": (grid(None, np.ceil), "do not cut off"),
            "by rows": (
                grid(None, limit=lambda w: np.abs(w).max(axis=-1, keepdims=True)),
                "One scale for the whole array",
            ),
            "by columns": (
                grid(None, limit=lambda w: np.abs(w).max(axis=0)),
                "One scale for the whole array",
            ),
            "turned round": (lambda w, bits: -grid(None)(w, bits), "The signs"),
            "the wide range": (lambda w, bits: grid(None, qmax=2 ** (bits - 1))(w, bits), "Narrow"),
            "all codes positive": (
                lambda w, bits: grid(None, qmax=2**bits - 1)(w, bits),
                "Half of the codes",
            ),
            "always 4 bits": (grid(4), "asked is the one of `num_bits`"),
            "the largest": (grid(None, limit=np.max), "largest *magnitude*"),
            "the mean": (grid(None, limit=lambda w: np.abs(w).mean()), "not the mean"),
            "flat": (lambda w, bits: grid(None)(w, bits).ravel(), "returns the shape"),
            "nothing": (lambda w, bits: print(end=""), "`return` missing"),
            "numbers": ([0.35, -0.1], "asked is a function"),
        },
    ),
    checks.check_gradient: Answers(
        right={
            "the mask": gradient,
            "the course's": lesson12.gradient,
            "loops, a list": gradient_by_loops,
            "where, float32": gradient_by_where,
            "other order": wrong(lambda x, w, t, limit, g: g + 0.0),
        },
        wrong={
            "no mask": (unmasked, "its gradient is 0"),
            "true": (wrong(lambda x, w, t, limit, g: 0 * g), "true gradient of rounding"),
            "another sign": (wrong(lambda x, w, t, limit, g: -g), "y - t, not t - y"),
            "a mask of codes": (gradient_of_codes, "Just outside the range"),
            "upside down": (
                lambda x, w, t, limit: unmasked(x, w, t, limit) * ~inside(w, limit),
                "upside down",
            ),
            "unrounded": (
                lambda x, w, t, limit: (
                    unmasked(x, w, t, limit, clip=False, rounding=False) * inside(w, limit)
                ),
                "rounded and clipped weights",
            ),
            "clipped only": (
                lambda x, w, t, limit: unmasked(x, w, t, limit, rounding=False) * inside(w, limit),
                "rounded and clipped weights",
            ),
            "beyond the range": (
                lambda x, w, t, limit: unmasked(x, w, t, limit, clip=False) * inside(w, limit),
                "must not leave the range",
            ),
            "its own range": (by_largest_weight, "The range is fixed"),
            "the error": (wrong(lambda x, w, t, limit, g: g / x), "own input"),
            "times the weight": (
                lambda x, w, t, limit: unmasked(x, w, t, limit) * w * inside(w, limit),
                "not the weight",
            ),
            "the weight for the input": (
                wrong(lambda x, w, t, limit, g: g / x * w),
                "not the weight",
            ),
            "plus t": (wrong(lambda x, w, t, limit, g: g + 2 * t * x * inside(w, limit)), "y + t"),
            "a mean": (wrong(lambda x, w, t, limit, g: g / len(x)), "divided by its length"),
            "8 steps": (with_rule(8), "the largest code is 7"),
            "15 steps": (with_rule(15), "the largest code is 7"),
            "cut off": (with_rule(7, np.trunc), "to the nearest step"),
            "of codes": (with_rule(7, unit=True), "not of codes"),
            "always 0.7": (wrong(lambda x, w, t, limit, g: gradient(x, w, t, 0.7)), "not always"),
            "a mask of copies": (
                lambda x, w, t, limit: (
                    gradient(x, w, t, limit) * (np.abs(np.round(w * 7 / limit)) < 7)
                ),
                "Just",
            ),
            "twice": (wrong(lambda x, w, t, limit, g: 2 * g), "no factor 2"),
            "one number": (lambda x, w, t, limit: 3.0, "returns the shape ()"),
            "nothing": (lambda x, w, t, limit: print(end=""), "`return` missing"),
            "numbers": ((4.4, -2.2, 0), "asked is a function"),
        },
    ),
    checks.check_control: Answers(
        right={
            "a dict": dict(lesson12.CONTROL),
            "in another order": dict(reversed(lesson12.CONTROL.items())),
            "NumPy's integers": lesson12.CONTROL | {"epochs": np.int64(2), "seed": np.int32(0)},
            "floats": lesson12.CONTROL | {"epochs": 2.0},
        },
        wrong={
            "it rounds": (lesson12.CONTROL | {"weight_bits": 4}, "`weight_bits` is 4"),
            "8 bits": (lesson12.CONTROL | {"weight_bits": 8, "activation_bits": 8}, "still rounds"),
            "activations": (lesson12.CONTROL | {"activation_bits": 8}, "`activation_bits` is 8"),
            "32 bits": (lesson12.CONTROL | {"weight_bits": 32}, "still rounds"),
            "the old model": (lesson12.CONTROL | {"epochs": 0}, "the old model"),
            "longer": (lesson12.CONTROL | {"epochs": 4}, "With 4 epochs"),
            "a seed": (lesson12.CONTROL | {"seed": 1}, "in another order"),
            "a key less": ({"weight_bits": None}, "Give a dict with the keys"),
            "a word": (lesson12.CONTROL | {"epochs": "two"}, "a number is asked"),
            "a text": (lesson12.CONTROL | {"epochs": "2"}, "the text '2'; a number is asked"),
            "None": (lesson12.CONTROL | {"epochs": None}, "numbers are asked"),
            "a tuple": ((None, None, 2, 0), "Give a dict with the keys"),
        },
    ),
    checks.check_logs: Answers(
        right={
            "lists": findings(),
            "sets": findings(moving={2, 5, 6}, flipping={7, 4, 1}),
            "arrays": findings(moving=np.array(MOVING), flipping=np.array(FLIPPING)),
            "masks": findings(moving=mask(MOVING), flipping=mask(FLIPPING).tolist()),
            "as nonzero gives them": findings(moving=np.nonzero(mask(MOVING))),
            "tuples, in another order": findings(moving=(6, 2, 5), flipping=(7, 1, 4)),
        },
        wrong={
            "the other log": (findings(slip="a"), "Look at the other"),
            "no log": (findings(slip="c"), 'give "a" or "b"'),
            "a number": (findings(slip=1), 'give "a" or "b"'),
            "two runaways": (findings(moving=[2, 6]), '"moving" is not right yet: 1 missing'),
            "one more": (findings(moving=[0, *MOVING]), "1 too many"),
            "none": (findings(moving=[]), "3 missing"),
            "all that ever flip": (findings(flipping=[1, 2, 3, 4, 7]), "flips on its way"),
            "too few": (findings(flipping=[1]), '"flipping" is not right yet: 2 missing'),
            "moving ones": (findings(flipping=MOVING), "3 missing, 3 too many"),
            "no weight": (findings(flipping=[1, 4, 10]), "no weight's"),
            "a key less": ({"slip": "b"}, 'Give a dict with "slip"'),
            "a word": ("b", 'Give a dict with "slip"'),
            "both": (findings(slip=["a", "b"]), 'a list of 2; give "a" or "b"'),
        },
    ),
    checks.check_packed_int4: Answers(
        right={
            "from digits": packed_models.files()["digits"],
            "a bytearray": bytearray(packed_models.files()["digits"]),
            "a view": memoryview(packed_models.files()["digits"]),
        },
        wrong={
            "nothing seen": (
                packed_models.files()["black images"],
                "on which samples was it calibrated",
            ),
            "in bytes": (
                packed_models.files()["digits as bytes"],
                "on which samples was it calibrated",
            ),
            "untrained": (int4(), "does not take 28 x 28 images"),
            "8 bits": (int4(weights="INT8"), "There are weights of type INT8"),
            "float ends": (
                int4(f"QUANTIZE>INT8 {CNN} {END} DEQUANTIZE>FLOAT32", "FLOAT32"),
                "A float operator is left",
            ),
            "another network": (int4(f"DEPTHWISE_CONV_2D {END}"), "It is not mnist_cnn"),
            "no file": (b"TFL3", "no readable .tflite file"),
            "a path": ("int4", "give the content of a file"),
            "a module": (checks, "asked is a file's content"),
            "a number": (4, "asked is a file's content"),
        },
    ),
}

TestAnswers = class_of_tests(ANSWERS)


def test_the_logs_hide_what_their_maker_says():
    from unseen import lesson12 as maker

    assert maker.two_logs() == unseen.path(lesson12.LOGS).read_bytes()
    logs = lesson12.logs()
    assert lesson12.moving_outside(logs["a"]) == [] and lesson12.moving_outside(logs["b"]) == MOVING
    assert [lesson12.flipping(log) for log in logs.values()] == [FLIPPING, FLIPPING]
    assert (np.abs(logs["b"][-1, [2, 6]]) > 5).all(), "two run away"
    assert logs["a"][-1, 5] == logs["a"][0, 5], "one never comes back"


@pytest.mark.parametrize("weight", [0, 2, 3, 6])
def test_weights_that_rest_flipped_on_their_way(weight):
    codes = np.round(np.clip(lesson12.logs()["a"][:, weight], -0.7, 0.7) * 10)
    assert 0 < np.count_nonzero(np.diff(codes)) < lesson12.MANY
