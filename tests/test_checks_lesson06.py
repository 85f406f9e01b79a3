"""The checks of lesson 06 accept right answers, refuse wrong ones, and wait for the rest."""

import numpy as np
import pytest

from lessons_lib import affine, checks, unseen
from lessons_lib.course.checks import lesson06
from verdicts import Answers, class_of_tests


def levels_left(real_max, recorded_max):
    scale, zero_point = affine.scale_zero_point(0.0, recorded_max)
    q = affine.quantize(np.array([0.0, real_max]), scale, zero_point).astype(int)
    return q[1] - q[0] + 1


def levels_by_arithmetic(real_max, recorded_max):
    return round(255 * min(real_max / recorded_max, 1.0)) + 1


def levels_by_counting(real_max, recorded_max):
    scale, zero_point = affine.scale_zero_point(0.0, recorded_max)
    return len(np.unique(affine.quantize(np.linspace(0, real_max, 10_001), scale, zero_point)))


def levels_in_int8(real_max, recorded_max):
    scale, zero_point = affine.scale_zero_point(0.0, recorded_max)
    first, last = affine.quantize([0.0, real_max], scale, zero_point)
    with np.errstate(over="ignore"):
        return last - first + np.int8(1)


def keep_good(images):
    return images[((images >= 0) & (images <= 1)).all(axis=(1, 2, 3))]


def keep_by_a_loop(images):
    return [image for image in images if np.isfinite(image).all() and 0 <= image.min() <= 1]


def keep_by_ends(images):
    return images[(images.min((1, 2, 3)) >= 0) & (images.max((1, 2, 3)) <= 1)]


def keep_finite(images):
    return images[np.isfinite(images).all(axis=(1, 2, 3))]


def keep_inner(images):
    return images[((images > 0) & (images < 1)).all((1, 2, 3))]


def by_formulas(recorded):
    low = min(0, *(values.min() for values in recorded))
    high = max(0, *(values.max() for values in recorded))
    scale = (high - low) / 255
    return scale, round(-128 - low / scale)


def by_a_loop(recorded):
    low = high = 0.0
    for values in recorded:
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    scale = np.float32((high - low) / 255)
    return np.array([scale, np.rint(-128 - low / scale)])


def from_one_row(recorded):
    row = np.concatenate([np.ravel(values) for values in recorded] + [[0.0]])
    scale, zero_point = affine.scale_zero_point(row.min(), row.max())
    return {"scale": scale, "zero_point": zero_point}.values()


def ends(recorded):
    return min(values.min() for values in recorded), max(values.max() for values in recorded)


def returns_nothing(*given):
    str(given)


def pair(low, high, start=-128, steps=255, rounded=round):
    scale = (high - low) / steps
    return scale, rounded(start - low / scale)


def widened(recorded):
    low, high = ends(recorded)
    return min(low, 0), max(high, 0)


def averages(recorded):
    lows, highs = [v.min() for v in recorded], [v.max() for v in recorded]
    return affine.scale_zero_point(np.mean(lows), np.mean(highs))


def fit(image):
    form = image.dtype == np.float32 and image.shape == (28, 28, 1)
    return form and image.min() >= 0 and image.max() <= 1


def by_assertions(images):
    for image in images:
        assert image.dtype == np.float32
        assert image.shape == (28, 28, 1)
        assert image.min() >= 0
        assert image.max() <= 1
        yield [image[None]]


def all_at_once(images):
    if images.dtype != np.float32 or images.shape[1:] != (28, 28, 1):
        raise ValueError("another form")
    if not np.all((images >= 0) & (images <= 1)):
        raise ValueError("another range")
    for image in images:
        yield [np.expand_dims(image, 0)]


class UnfitError(ValueError):
    pass


def in_a_list(images):
    if not all(fit(image) for image in images):
        raise UnfitError("no")
    return [[image.reshape(1, 28, 28, 1)] for image in images]


def by_name(images):
    for image in images:
        if not fit(image):
            raise ValueError("an image does not fit")
        yield {"image": image[np.newaxis]}


def guard(*questions, made=lambda image: [image[np.newaxis]], refuse=True):
    """A generator that asks these questions of each image."""

    def generator(images):
        for image in images:
            if not all(question(image) for question in questions):
                if refuse:
                    raise ValueError("an image does not fit")
                continue
            yield made(image)

    return generator


FORM = {
    "dtype": lambda image: image.dtype == np.float32,
    "shape": lambda image: image.shape == (28, 28, 1),
    "low": lambda image: image.min() >= 0,
    "high": lambda image: image.max() <= 1,
}


def without(*names):
    return guard(*(question for name, question in FORM.items() if name not in names))


def lets_nan_pass(images):
    for image in images:
        if image.dtype != np.float32 or image.shape != (28, 28, 1):
            raise ValueError("form")
        if image.min() < 0 or image.max() > 1:
            raise ValueError("range")
        yield [image[np.newaxis]]


def raises_type_error(images):
    for image in images:
        if not fit(image):
            raise TypeError("an image does not fit")
        yield [image[np.newaxis]]


def misspelt(images):
    for image in images:
        if not fit(image):
            raise ValeuError("range")  # noqa: F821
        yield [image[np.newaxis]]


def says_nothing(images):
    return [[image[np.newaxis]] for image in images] if all(map(fit, images)) else None


DRAWINGS = np.load(unseen.path("06_samples.npz"))["samples"]
SPOILT = 23


def with_drawing(drawing):
    changed = DRAWINGS.copy()
    changed[SPOILT] = drawing
    return changed


IS = DRAWINGS[SPOILT]
REPAIRED = with_drawing((IS + 1) / 2)
FOUND = {"number": SPOILT, "mended": REPAIRED, "scales": (2 / 255, 1 / 255)}
ANOTHER = REPAIRED.copy()
ANOTHER[3] = 0


def found(**changed):
    return FOUND | changed


def mended(drawing):
    return found(mended=with_drawing(drawing))


ANSWERS = {
    checks.check_calibrate: Answers(
        right={
            "the course's": lesson06.calibrate,
            "by the formulas": by_formulas,
            "by a loop, in float32": by_a_loop,
            "from one row": from_one_row,
            "a list of texts": lambda recorded: [f"{value:.7g}" for value in by_formulas(recorded)],
        },
        wrong={
            "swapped": (lambda r: by_formulas(r)[::-1], "the scale comes first"),
            "uint8": (lambda r: pair(*widened(r), start=0), "the zero point of uint8"),
            "another sign": (
                lambda r: (by_formulas(r)[0], round(-128 + widened(r)[0] / by_formulas(r)[0])),
                "the sign in front of",
            ),
            "the lowest code": (lambda r: (by_formulas(r)[0], -128), "not the lowest code"),
            "zero": (lambda r: (by_formulas(r)[0], 0), "here that is not 0"),
            "the first": (lambda r: by_formulas([r[0], r[0]]), "the first array alone"),
            "the last": (lambda r: by_formulas([r[-1], r[-1]]), "the last array alone"),
            "the first three": (lambda r: by_formulas(r[:3]), "of the first three arrays"),
            "from zero": (lambda r: pair(0, widened(r)[1]), "smallest value of all, not 0"),
            "averages": (averages, "the range of the averages"),
            "symmetric": (
                lambda r: (affine.symmetric_scale(max(map(abs, ends(r)))), 0),
                "a symmetric range",
            ),
            "256 steps": (lambda r: pair(*widened(r), steps=256), "has 255 steps"),
            "not widened": (lambda r: pair(*ends(r)), "widen it"),
            "not rounded": (lambda r: pair(*widened(r), rounded=float), "a whole number"),
            "cut off": (lambda r: pair(*widened(r), rounded=int), "one off: round it"),
            "cut down": (lambda r: pair(*widened(r), rounded=np.floor), "one off: round it"),
            "off by five": (lambda r: pair(*widened(r), start=-123), "asked is (0.01, -77)"),
            "the scale alone": (lambda r: by_formulas(r)[0], "holds 1 number; 2 are asked"),
            "the ends": (ends, "asked is (0.01, -77)"),
            "a pair": ((0.01, -77), "asked is a function"),
            "no return": (returns_nothing, "`return` missing"),
        },
    ),
    checks.check_guarded: Answers(
        right={
            "the course's": lesson06.guarded,
            "all at once": all_at_once,
            "in a list": in_a_list,
            "by the input's name": by_name,
            "by questions": guard(*FORM.values()),
        },
        wrong={
            "by assertions": (by_assertions, "an `assert`, which `python -O` leaves out"),
            "a TypeError": (raises_type_error, "it raises TypeError; asked is a ValueError"),
            "no guard": (guard(), "of float64, all pass"),
            "no dtype": (without("dtype"), "of float64, all pass"),
            "no shape": (without("shape"), "of shape (28, 28), all pass"),
            "no low end": (without("low"), "with the value -0.5, all pass"),
            "no high end": (without("high"), "with the value 255, all pass"),
            "NaN passes": (lets_nan_pass, "with the value nan, all pass"),
            "drops them": (guard(*FORM.values(), refuse=False), "drops one in silence"),
            "no batch axis": (guard(*FORM.values(), made=lambda i: [i]), "of shape (28, 28, 1)"),
            "no list": (guard(*FORM.values(), made=lambda i: i[None]), "yield it in a list"),
            "a tuple": (guard(*FORM.values(), made=lambda i: (i[None],)), "is a tuple"),
            "two": (guard(*FORM.values(), made=lambda i: [i[None]] * 2), "a list of 2"),
            "in float64": (
                guard(*FORM.values(), made=lambda i: [i[None].astype(float)]),
                "is float64 of shape",
            ),
            "too strict": (
                guard(*FORM.values(), lambda i: i.max() < 1),
                "These images are good. Your function raised ValueError",
            ),
            "divided": (guard(*FORM.values(), made=lambda i: [i[None] / 2]), "come back changed"),
            "reversed": (lambda images: lesson06.guarded(images[::-1]), "in another order"),
            "only one": (lambda images: lesson06.guarded(images[:1]), "it yields 1"),
            "misspelt": (misspelt, "stumbles over its own code, NameError"),
            "nothing in place of an error": (says_nothing, "it returns None: raise"),
            "returns": (lambda images: images, "It returns an array"),
            "returns nothing": (returns_nothing, "has a `yield` inside"),
            "a generator": (lesson06.guarded(DRAWINGS), "asked is a function"),
        },
    ),
    checks.check_drawings: Answers(
        right={
            "repaired": FOUND,
            "dropped": found(mended=np.delete(DRAWINGS, SPOILT, axis=0)),
            "rounded to pixels": mended(np.rint((IS + 1) * 127.5) / 255),
            "a list, and texts": found(
                number=str(SPOILT), mended=list(REPAIRED), scales=["0.00784", "0.00392"]
            ),
            "in float64": found(mended=(REPAIRED.astype(float)), number=np.int64(SPOILT)),
        },
        wrong={
            "another one": (found(number=3), "Drawing 3 is not"),
            "from one": (found(number=SPOILT + 1), "counts from 1"),
            "as it was": (found(mended=DRAWINGS), "is as it was"),
            "clipped": (mended(np.clip(IS, 0, 1)), "is clipped"),
            "abs": (mended(np.abs(IS)), "its paper is white"),
            "plus one": (mended(IS + 1), "now ends at 2"),
            "half, and one": (mended(IS / 2 + 1), "now ends at 1.5"),
            "black": (mended(IS * 0), "another one now"),
            "divided": (mended(IS / 255), "does not lie within 0 and 1"),
            "all of them": (found(mended=(DRAWINGS + 1) / 2), "has changed that was good"),
            "another changed": (found(mended=ANOTHER), "has changed that was good"),
            "another dropped": (found(mended=np.delete(DRAWINGS, 3, axis=0)), "lacks a drawing"),
            "two dropped": (found(mended=DRAWINGS[:58]), "has the shape (58, 28, 28, 1)"),
            "scales swapped": (found(scales=(1 / 255, 2 / 255)), "the other way round"),
            "no change of scale": (found(scales=(1 / 255, 1 / 255)), "the range before was wider"),
            "still wide": (found(scales=(2 / 255, 2 / 255)), "that of the mended samples"),
            "256 steps": (found(scales=(2 / 256, 1 / 256)), "255 steps between"),
            "two digits": (found(scales=(0.0078, 0.0039)), "three digits or more"),
            "ranges": (found(scales=(2, 1)), "divided by its 255 steps"),
            "turned over": (found(scales=(127.5, 255)), "are steps of the input"),
            "pairs": (found(scales=((0.00784, -1), (0.00392, -128))), "holds 4 numbers"),
            "a text": (found(mended="repaired"), "`mended` is the text"),
            "the number alone": (SPOILT, "asked is a dict with number"),
            "a part": ({"number": SPOILT}, "asked is a dict with number"),
        },
    ),
    checks.check_levels_left: Answers(
        right={
            "by the library": levels_left,
            "by arithmetic": levels_by_arithmetic,
            "by counting": levels_by_counting,
        },
        wrong={
            "in int8": (levels_in_int8, "does not fit into int8"),
            "a fraction": (lambda real, recorded: 256 * real / recorded, "whole ones"),
            "not saturated": (lambda a, b: round(255 * a / b) + 1, "saturates"),
            "cut off": (lambda a, b: int(255 * min(a / b, 1)) + 1, "rounded, not cut off"),
            "one end": (lambda a, b: round(255 * min(a / b, 1)), "both ends count"),
            "a number": (2, "asked is a function"),
            "a text": (
                lambda real, recorded: "two",
                "What your function returns is or holds the text",
            ),
            "both codes": (lambda real, recorded: (0, 1), "What your function returns holds 2"),
            "no return": (returns_nothing, "`return` missing"),
            "one argument": (lambda real: 1, "raised TypeError"),
        },
    ),
    checks.check_keep_good: Answers(
        right={
            "a mask": keep_good,
            "a list of images": keep_by_a_loop,
            "by smallest and largest": lambda images: keep_by_ends(keep_finite(images)),
        },
        wrong={
            "all": (lambda images: images, "has values of 0 to 255"),
            "the finite ones": (keep_finite, "has values of 0 to 255"),
            "no negative ones": (lambda x: x[(x <= 1).all((1, 2, 3))], "holds a negative value"),
            "mended": (lambda images: np.clip(images, 0, 1), "comes back changed"),
            "without the ends": (keep_inner, "0 and 1 themselves are good"),
            "the first channel alone": (
                lambda x: x[((x >= 0) & (x <= 1)).all((1, 2))[:, 0]],
                "An image is kept that holds a NaN",
            ),
            "the mask": (lambda x: ((x >= 0) & (x <= 1)).all((1, 2, 3)), "return images[mask]"),
            "reversed": (lambda images: keep_good(images)[::-1], "not in the same order"),
            "in rows": (lambda images: keep_good(images).reshape(-1, 16), "has the shape"),
            "none": (lambda images: [], "has the shape (0,)"),
            "a text": ("the good ones", "asked is a function"),
        },
    ),
}

TestAnswers = class_of_tests(ANSWERS)


def test_the_hint_of_6_2_does_not_give_the_solution_away():
    assert "affine" not in checks.check_levels_left(levels_in_int8).message


def test_the_file_of_6_3_hides_one_drawing_that_was_scaled_to_minus_1_to_1():
    lows, highs = DRAWINGS.min(axis=(1, 2, 3)), DRAWINGS.max(axis=(1, 2, 3))
    assert DRAWINGS.shape == (60, 28, 28, 1)
    assert DRAWINGS.dtype == np.float32
    assert [*np.flatnonzero(lows != 0)] == [SPOILT]
    assert (lows[SPOILT], highs.min(), highs.max()) == (-1, 1, 1)
    scale, zero_point = lesson06.calibrate(DRAWINGS)
    assert (scale, zero_point) == (pytest.approx(2 / 255), -1)
    assert lesson06.calibrate(REPAIRED) == (pytest.approx(1 / 255), -128)


def test_what_an_open_answer_leaves_is_not_attempted():
    assert checks.check_drawings(found(scales=(..., ...))).state == "not attempted"
    assert checks.check_guarded(lambda images: ...).state == "not attempted"
