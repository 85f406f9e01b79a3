"""The checks of lesson 06, on choosing a representative dataset."""

import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike

from lessons_lib.course.checks._answers import Remark, array_in, call, describe, numbers_in, slip
from lessons_lib.course.checks._verdict import exercise
from lessons_lib.models import unseen
from lessons_lib.numbers import affine


def calibrate(recorded: Sequence[ArrayLike]) -> tuple[float, int]:
    """Return the int8 ``(scale, zero_point)`` of one tensor that calibration has seen.

    ``recorded``: an array of real numbers for each sample. Raises what ``affine.scale_zero_point``
    raises. Defined in lesson 06.
    """
    low = min(np.min(values) for values in recorded)
    high = max(np.max(values) for values in recorded)
    return affine.scale_zero_point(low, high)


_TENSORS = {  # what a list of arrays shows, and the arrays
    "both signs": ([0.1, -0.51], [2.04, 0.0, 0.7], [-0.2, 1.5]),
    "both signs, in images": ([[[0.2]], [[-0.1]]], [[[1.0]], [[0.3]]]),
    "both signs, the range in one array": ([-0.3, 1.0], [0.5, 0.2], [-0.1, 0.9]),
    "both signs, five of them": ([0.1, 0.2], [0.3], [-0.1, 0.4], [-0.61, 0.5], [1.94, 0.0]),
    "no negative value": ([0.7, 1.1], [2.55, 0.9], [1.3]),
    "no positive value": ([-0.7, -1.1], [-2.55, -0.9], [-0.3]),
}


def _slips(arrays: list[np.ndarray]) -> list[tuple]:
    """The usual wrong roads from these arrays to a pair, each with its sentence."""
    lows, highs = [a.min() for a in arrays], [a.max() for a in arrays]
    (scale, point), (low, high) = calibrate(arrays), (min(lows), max(highs))
    symmetric = affine.symmetric_scale(max(-low, high))
    exact = -128 - min(low, 0) / scale
    slips = [
        ((point, scale), "the scale comes first, then the zero point"),
        ((scale, point + 128), "that is the zero point of uint8, which starts at 0"),
        ((scale, round(min(low, 0) / scale) - 128), "the sign in front of `low / scale` is wrong"),
        ((scale, -128), "the zero point is the code of the real 0, not the lowest code"),
        ((scale, 0), "the zero point is the code of the real 0, and here that is not 0"),
        (calibrate(arrays[:1]), "this is the range of the first array alone"),
        (calibrate(arrays[-1:]), "this is the range of the last array alone"),
        (
            affine.scale_zero_point(np.mean(lows), np.mean(highs)),
            "this is the range of the averages; calibration keeps the extremes",
        ),
        (calibrate(arrays[:3]), "this is the range of the first three arrays; there may be more"),
        (
            affine.scale_zero_point(0, max(high, 0)),
            "the low end is the smallest value of all, not 0",
        ),
        ((symmetric, 0), "this is a symmetric range; low and high are the two ends"),
        ((scale * 255 / 256, point), "a range of 256 codes has 255 steps"),
    ]
    if high > low:
        alone = (high - low) / 255
        widen = "the range must hold 0: widen it where all values lie on one side"
        slips.append(((alone, round(-128 - low / alone)), widen))
    if abs(exact - point) > 1e-3:
        slips.append(((scale, exact), "the zero point is a whole number: round it"))
        cut = "the zero point is one off: round it to the nearest, do not cut it off"
        slips += [((scale, point + 1), cut), ((scale, point - 1), cut)]
    return [(*pair, f"{said}.") for pair, said in ((row[:-1], row[-1]) for row in slips)]


@exercise(
    "the smallest and the largest value of all arrays together, 0 among them; then the two "
    "formulas above.",
    "That is all that calibration keeps of the images.",
)
def check_calibrate(yours: object) -> bool | str:
    """Exercise 6.1: a function from a list of arrays to int8's ``(scale, zero_point)``."""
    for shown, lists in _TENSORS.items():
        arrays = [np.array(values) for values in lists]
        result = call(yours, [array.copy() for array in arrays])
        found = numbers_in(result, 2, subject="What your function returns")
        if not np.allclose(found, calibrate(arrays), rtol=1e-3, atol=1e-3 * calibrate(arrays)[0]):
            asked = "asked is ({:.4g}, {}).".format(*calibrate(arrays))
            why = slip(found, *_slips(arrays)) or asked
            return f"For arrays with {shown} it gives ({found[0]:.4g}, {found[1]:.4g}): {why}"
    return True


def guarded(images: Sequence[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Yield images as a converter takes them, ``[(1, 28, 28, 1)]`` each.

    Raises ValueError for one that is not float32, (28, 28, 1), or not within 0..1. Lesson 06.
    """
    for number, image in enumerate(images):
        if image.dtype != np.float32 or image.shape != (28, 28, 1):
            raise ValueError(f"image {number} is {image.dtype} of shape {image.shape}")
        if not (image.min() >= 0 and image.max() <= 1):
            raise ValueError(f"image {number} has values {image.min():g} to {image.max():g}")
        yield [image[np.newaxis]]


def _unfit() -> dict[str, np.ndarray]:
    """Three images each that a guard must refuse: what is wrong with them, and the images."""
    good = np.random.default_rng(62).random((3, 28, 28, 1), dtype=np.float32)
    found = {
        "of float64": good.astype(np.float64),
        "of uint8": np.rint(good).astype(np.uint8),
        "of shape (28, 28)": good[..., 0],
        "of shape (28, 28, 3)": np.repeat(good, 3, axis=3),
        "of shape (14, 14, 1)": good[:, ::2, ::2],
        "of shape (1, 28, 28, 1)": good[:, np.newaxis],
    }
    for value in (255, 1.5, -0.5, np.nan, np.inf, -np.inf):
        found[f"with the value {value}"] = good.copy()
        found[f"with the value {value}"][2, 14, 14] = value
    return found


_ACCIDENTS = (NameError, AttributeError, IndexError, KeyError, ImportError)  # no guard's refusal


@exercise(
    "a loop over the images, a question and a `raise` for each of the three, and a `yield` at its "
    "end. What does a comparison with NaN say?",
    "Now a bad sample stops the conversion, and says why.",
)
def check_guarded(yours: object) -> bool | str:
    """Exercise 6.2: a generator of ``[(1, 28, 28, 1)]``; ValueError for images that do not fit."""
    good = np.random.default_rng(61).random((4, 28, 28, 1), dtype=np.float32)
    good[1, 0, 0], good[2, 3, 3] = 0.0, 1.0  # the ends of the range are good
    for images in (good, good[:1]):
        if (said := _passes(yours, images)) is not True:
            return said
    for what, images in _unfit().items():
        if said := _lets_pass(yours, images):
            return f"For three images, one or all {what}, {said}."
    return True


def _lets_pass(yours: Callable, images: np.ndarray) -> str:
    """What a guard does with images that it must refuse; "" where it raises ValueError."""
    try:
        made = yours(images.copy())
        if not np.iterable(made):
            return f"it returns {describe(made)}: raise a ValueError"
        count = sum(1 for _ in itertools.islice(made, len(images)))
    except _ACCIDENTS as error:
        return f"it stumbles over its own code, {type(error).__name__}: {error}"
    except ValueError:
        return ""
    except AssertionError:
        return "it stops at an `assert`, which `python -O` leaves out: raise a ValueError"
    except Exception as error:
        return f"it raises {type(error).__name__}; asked is a ValueError"
    return "all pass" if count == len(images) else "it drops one in silence: raise a ValueError"


def _passes(yours: Callable, images: np.ndarray) -> bool | str:
    """Whether all these good images come back, each as a list of one array with a batch axis."""
    made = call(yours, images.copy(), none_is_an_answer=True)
    if made is None or isinstance(made, np.ndarray | str | bytes) or not np.iterable(made):
        return f"It returns {describe(made)}: a generator has a `yield` inside."
    found = []
    try:
        for sample in itertools.islice(made, len(images) + 1):
            found.append(_only_image(len(found), sample))
    except Remark as remark:
        return str(remark)
    except Exception as error:
        said = " ".join(str(error).split())[:160]
        return f"These images are good. Your function raised {type(error).__name__}: {said}."
    if len(found) != len(images):
        return f"Of {len(images)} good images it yields {len(found)}."
    if not np.array_equal(np.concatenate(found), images):
        return "The images come back changed, or in another order."
    return True


def _only_image(number: int, sample: object) -> np.ndarray:
    inside = list(sample.values()) if isinstance(sample, dict) else sample
    if isinstance(inside, tuple):
        raise Remark(f"Sample {number} is a tuple, in which the converter looks for more: a list.")
    if not isinstance(inside, list):
        raise Remark(f"Sample {number} is {describe(sample)} by itself: yield it in a list.")
    if len(inside) != 1:
        raise Remark(f"Sample {number} is a list of {len(inside)}; asked is one image.")
    image = array_in(inside[0], "an image", f"In the list of sample {number} is")
    if image.shape != (1, 28, 28, 1) or image.dtype != np.float32:
        raise Remark(
            f"Sample {number} is {image.dtype} of shape {image.shape}; the model takes float32 of "
            "shape (1, 28, 28, 1)."
        )
    return image


@exercise(
    "look at both ends of each drawing, the smallest value as well as the largest. Which usual "
    "scaling of pixels has these ends?",
    "No accuracy has told you, and the range did. One bit of the input was lost.",
)
def check_drawings(findings: object) -> bool | str:
    """Exercise 6.3: the ``number`` of the spoilt drawing, the ``mended`` set, the ``scales``."""
    names = ("number", "mended", "scales")
    if not isinstance(findings, dict) or not {*names} <= {*findings}:
        return f"It is {describe(findings)}; asked is a dict with {', '.join(names)}."
    with np.load(unseen.path("06_samples.npz")) as packed:
        drawings = packed["samples"]
    (spoilt,) = np.flatnonzero(drawings.min(axis=(1, 2, 3)) < 0)
    number = numbers_in(findings["number"], 1, subject="`number`")[0]
    if number == spoilt + 1:
        return "`number` counts from 1; Python counts from 0."
    if number != spoilt:
        return f"Drawing {number:g} is not the spoilt one."
    if (said := _mended(findings["mended"], drawings, spoilt)) is not True:
        return said
    scales = numbers_in(findings["scales"], 2, subject="`scales`")
    before, after = 2 / 255, 1 / 255
    return np.allclose(scales, (before, after), rtol=2e-3) or slip(
        scales,
        ((after, before), "`scales` has before and after the other way round."),
        ((after, after), "`scales`: the range before was wider. What was its low end?"),
        ((before, before), "`scales`: the range after is that of the mended samples."),
        ((1 / before, 1 / after), "`scales` are steps of the input, not codes for each unit."),
        ((2.0, 1.0), "`scales`: a scale is the range divided by its 255 steps."),
        ((2 / 256, 1 / 256), "`scales`: 256 codes have 255 steps between them."),
        ((0.0078, 0.0039), (0.008, 0.004), "`scales`: give three digits or more."),
    )


def _mended(given: object, drawings: np.ndarray, spoilt: int) -> bool | str:
    """Whether the spoilt drawing is repaired or gone, and the others are as they were."""
    mended = array_in(given, "an array of drawings", "`mended` is")
    others = np.delete(drawings, spoilt, axis=0)
    if mended.shape == others.shape:
        return np.array_equal(mended, others) or "`mended` lacks a drawing that was good."
    if mended.shape != drawings.shape:
        return f"`mended` has the shape {mended.shape}; the samples have {drawings.shape}."
    if not np.array_equal(np.delete(mended, spoilt, axis=0), others):
        return "In `mended` a drawing has changed that was good: mend the spoilt one alone."
    one, was = mended[spoilt], drawings[spoilt]
    if np.allclose(one, (was + 1) / 2, rtol=0, atol=2e-3):
        return True
    reasons = (
        (np.array_equal(one, was), "the spoilt drawing is as it was"),
        (np.allclose(one, np.clip(was, 0, 1)), "the drawing is clipped: half of its ink is lost"),
        (np.allclose(one, np.abs(was)), "with `abs` its paper is white, where others are black"),
        (np.allclose(one, was + 1), "the drawing now ends at 2"),
        (np.allclose(one, was / 2 + 1), "the drawing now ends at 1.5"),
        (one.min() < 0 or one.max() > 1, "the drawing does not lie within 0 and 1"),
        (True, "the spoilt drawing is another one now: what was done to it? Undo that"),
    )
    return f"In `mended` {next(why for fits, why in reasons if fits)}."


# (real_max, recorded_max): right, one unscaled image, three bits too wide, lost, too narrow.
_RANGES = ((1.0, 1.0), (1.0, 255.0), (1.0, 8.0), (1.0, 4095.0), (1.9, 438.0), (2.0, 1.0))


def _levels_left(real_max: float, recorded_max: float) -> int:
    scale, zero_point = affine.scale_zero_point(0.0, recorded_max)
    first, last = affine.quantize([0.0, real_max], scale, zero_point).astype(int)
    return int(last - first + 1)


@exercise(
    "calibration made the map from real numbers to codes. Which code does it give to the "
    "smallest of the values, which to the largest?",
    "A 12-bit sensor would leave a single code: every input looks the same.",
)
def check_levels_left(levels_left: object) -> bool | str:
    """Exercise 6.4: a function that counts the int8 codes left to values from 0 to real_max."""
    for real, recorded in _RANGES:
        result, expected = call(levels_left, real, recorded), _levels_left(real, recorded)
        given = float(numbers_in(result, 1, subject="What your function returns")[0])
        steps = 255 * min(real / recorded, 1)
        reasons = (
            (given == int(steps) + 1, "a code is rounded, not cut off"),
            (given == expected - 1, "both ends count"),
            (given == expected - 256, "the difference of two int8 codes does not fit into int8"),
            (real > recorded, "what is larger than recorded saturates, it shares the last code"),
            (given != np.rint(given), "codes are counted, whole ones"),
            (True, "count from the code of 0 to that of the largest value"),
        )
        if given != expected:
            why = next(reason for fits, reason in reasons if fits)
            return f"For ({real}, {recorded}) it gives {given:g}, asked is {expected}: {why}."
    return True


_SPOILT = {  # what is wrong with five of the seven images, by place; the others are good
    0: "has values of 0 to 255",
    2: "holds a NaN",
    3: "holds an infinity",
    5: "holds a negative value",
    6: "holds a negative infinity",
}


def _mixed_images() -> np.ndarray:
    """Seven images of noise, of which those of _SPOILT are spoilt: float32 (7, 4, 4, 2)."""
    images = np.random.default_rng(6).random((7, 4, 4, 2), dtype=np.float32)
    images[0] *= 255
    images[2, 1, 1, 1] = np.nan
    images[3, 2, 2, 0] = np.inf
    images[5, 0, 0, 1] = -0.5
    images[6, 3, 3, 1] = -np.inf
    images[1, 0, 0], images[4, 3, 3] = 0.0, 1.0  # the ends of the range are good
    return images


@exercise(
    "ask every value a yes-or-no question; an image is good if all of its values say yes. "
    "What does a comparison with NaN say? 0 and 1 themselves are good.",
    "NaN fails every comparison, so `0 <= x` and `x <= 1` alone refuse it too.",
)
def check_keep_good(keep_good: object) -> bool | str:
    """Exercise 6.5: a function that keeps the images whose values are finite and in [0, 1]."""
    images = _mixed_images()
    kept = array_in(call(keep_good, images.copy()), "an array of images")
    if kept.shape == (7,):
        return "This looks like one entry for each image, such as a mask: return images[mask]."
    if kept.ndim != 4 or kept.shape[1:] != images.shape[1:]:
        return f"What comes back has the shape {kept.shape}; images are (N, 4, 4, 2)."
    places = [
        next((i for i, image in enumerate(images) if np.array_equal(image, one, True)), None)
        for one in kept
    ]
    if None in places:
        return "An image comes back changed: keep images or drop them, but do not mend them."
    for place in places:
        if place in _SPOILT:
            return f"An image is kept that {_SPOILT[place]}."
    if {1, 4} - {*places}:
        return "A good image is missing: the values 0 and 1 themselves are good."
    return places == [1, 4] or "The good images are not in the same order, each once."
