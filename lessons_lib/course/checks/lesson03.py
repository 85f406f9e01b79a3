"""The checks of lesson 03, Quantize a tensor by hand."""

import functools
from collections.abc import Callable

import numpy as np

from lessons_lib.course.checks._answers import Remark, array_in, call, describe, numbers_in, slip
from lessons_lib.course.checks._verdict import exercise
from lessons_lib.models import unseen
from lessons_lib.numbers import affine

_RANGES = ((-0.33, 1.0), (0.0, 6.375), (-0.7, 1.85), (-0.333, 1.0), (-3.1, 0.0), (-20.0, 7.3))


@exercise(
    "255 steps make the range; and how many steps above the code -128 does zero lie?",
    "All 256 codes serve the range, and zero has a code of its own.",
)
def check_scale_zero_point(range_of: object) -> bool | str:
    """Exercise 3.1: a function ``(low, high) -> (scale, zero_point)``, asymmetric int8."""
    for low, high in _RANGES:
        found = call(range_of, low, high)
        scale, zero_point = numbers_in(found, 2, subject="What your function returns")
        real = -128 - low * 255 / (high - low)
        said = _wrong_scale(scale, zero_point, low, high) or _wrong_zero_point(zero_point, real)
        if said:
            return f"For the range {low:g} to {high:g}: {said}"
    return True


def _wrong_scale(scale: float, zero_point: float, low: float, high: float) -> str | bool:
    width, top = high - low, max(-low, high)
    if np.isclose(zero_point, width / 255) and not np.isclose(scale, width / 255):
        return "the scale comes first, then the zero point."
    return not np.isclose(scale, width / 255, rtol=1e-5) and (
        slip(
            scale,
            (width / 256, "256 codes are only 255 steps apart."),
            (top / 127, "that is the symmetric scale; here the whole range has 255 steps."),
            (255 / width, "that is how many steps make 1; the scale is what one step is worth."),
            (high / 255, "the range begins at `low`, not at 0."),
            rtol=1e-5,
        )
        or f"the scale {scale:g} does not make 255 steps of it."
    )


def _wrong_zero_point(found: float, real: float) -> str | bool:
    """``real`` is the zero point before it is rounded; of a tie both neighbours are right."""
    if abs(found - real) <= 0.5 + 1e-6 and found == np.rint(found):
        return False
    return slip(
        found,
        (real, "the zero point is a code, a whole number: round it."),
        (np.rint(real) + 128, np.rint(real + 128), "that is uint8's; int8 begins at -128."),
        (np.rint(-256 - real), "with this zero point `low` lies beyond the codes: mind the sign."),
        (np.trunc(real), np.floor(real), "round to the nearest whole number; this was cut off."),
        (0, "zero is not in the middle of this range, so its code is not 0."),
        rtol=1e-9,
    ) or (f"the scale is right; with the zero point {found:g}, is -128 the code of `low`?")


_SHIFT = -10
_SCALED = (  # what is tested: steps of the scale 0.25, without ties
    ("Rounding", np.add.outer([0.25, 0.75, 0.0], np.arange(-9, 12))),
    ("Clipping", [-400.0, -119.0, -118.0, 137.0, 138.25, 400.0]),
)


@exercise(
    "four steps, in this order: divide and round, shift, clip, cast.",
    "Of ties, such as 2.5 steps, either neighbour is right here: runtimes differ.",
)
def check_quantize(quantize: object) -> bool | str:
    """Exercise 3.2: a function ``(x, scale, zero_point) -> int8 codes``, x of any shape."""
    for name, steps in _SCALED:
        x = np.ravel(steps).astype(np.float32) * np.float32(0.25)
        codes = array_in(call(quantize, x.copy(), 0.25, _SHIFT), "an array of codes")
        expected = affine.quantize(x, 0.25, _SHIFT)
        if codes.shape != x.shape:
            return f"For numbers of shape {x.shape} the codes have the shape {codes.shape}."
        if (wrong := np.flatnonzero(codes != expected)).size:
            at, reason = wrong[0], _reason8(codes, x.astype(float) * 4) or "the formula"
            given = f"{x[at]:g} with scale 0.25 and zero point {_SHIFT}"
            return f"{name}: {given} gets {codes[at]:g}, asked is {expected[at]} ({reason})."
    if codes.dtype != np.int8:
        return f"All codes are right, but their type is {codes.dtype}: cast them to int8."
    return _quantizes_channels(quantize)


def _reason8(codes: np.ndarray, ratio: np.ndarray) -> str | bool:
    """Which well-known function gives these codes for ``ratio`` = x / scale."""
    shifted, early = np.rint(ratio) + _SHIFT, np.clip(np.rint(ratio), -128, 127) + _SHIFT
    wrapped = (
        (shifted.astype(int) + 128) % 256 - 128,
        (np.trunc(ratio + _SHIFT) + 128) % 256 - 128,
    )
    return slip(
        codes,
        (np.clip(np.rint(ratio), -128, 127), "the zero point is missing"),
        (np.clip(np.rint(ratio) - _SHIFT, -128, 127), "the zero point is added, not taken off"),
        (np.clip(shifted, 0, 255), "these are codes of uint8"),
        (np.clip(shifted, -127, 127), "int8 begins at -128"),
        (early, (early + 128) % 256 - 128, "shift first, then clip"),
        (np.clip(np.ceil(ratio) + _SHIFT, -128, 127), "round to the nearest, not always up"),
        (
            *(np.clip(cut(ratio) + _SHIFT, -128, 127) for cut in (np.trunc, np.floor)),
            np.clip(np.trunc(ratio + _SHIFT), -128, 127),
            "the cast cuts off what rounding should settle",
        ),
        (shifted, *wrapped, "there is no such code: clip, and do it before you cast"),
        (np.clip(np.rint(ratio / 16) + _SHIFT, -128, 127), "divide by the scale, not multiply"),
        rtol=1e-6,
    )


def _quantizes_channels(quantize: Callable) -> bool | str:
    """The lesson goes on with weights of four axes, and a scale for each filter."""
    x = np.arange(-6, 6, dtype=np.float32).reshape(2, 3, 2)
    scales = np.float32([0.5, 0.25]).reshape(2, 1, 1)
    codes = array_in(_by_rows(quantize, x, scales), "an array of codes")
    if codes.shape != x.shape:
        return f"For numbers of shape {x.shape} the codes have the shape {codes.shape}."
    same = np.array_equal(codes, affine.quantize(x, scales, 0))
    return same or "With a scale for each row, of shape (2, 1, 1), the codes are others."


def _by_rows(function: Callable, numbers: np.ndarray, scales: np.ndarray) -> object:
    """What a function makes of numbers with a scale for each row; a Remark if it cannot."""
    try:
        return call(function, numbers.copy(), scales.copy(), 0)
    except Remark as remark:
        raise Remark(
            f"With one scale it is right. The lesson goes on with an array of scales, one for each "
            f"row, here of shape {scales.shape}: NumPy's arithmetic takes both. {remark}"
        ) from None


@exercise(
    "the first formula, as it stands: take the zero point off, then multiply.",
    "What was clipped does not come back, nor what was rounded.",
)
def check_dequantize(dequantize: object) -> bool | str:
    """Exercise 3.3: a function ``(codes, scale, zero_point) -> real numbers``."""
    codes = np.array([-128, -100, -10, 0, 1, 100, 127], np.int8)
    for zero_point in (-10, 100):
        asked = "an array of real numbers"
        back = array_in(call(dequantize, codes.copy(), 0.25, zero_point), asked)
        if back.shape != codes.shape:
            return f"For codes of shape {codes.shape} the numbers have the shape {back.shape}."
        q = codes.astype(float)
        expected = (q - zero_point) * 0.25
        if not np.allclose(back, expected, rtol=1e-5):
            with np.errstate(over="ignore"):
                wrapped = (codes - np.int8(zero_point)) * 0.25
            wrong = np.flatnonzero(~np.isclose(back, expected, rtol=1e-5))[0]
            reason = slip(
                back,
                (q * 0.25, "the zero point is missing"),
                (q * 0.25 - zero_point, "take the zero point off before you multiply"),
                ((q + zero_point) * 0.25, "take the zero point off; it was added"),
                (-expected, "the code comes first, the zero point is taken off it"),
                ((q - zero_point) / 0.25, "multiply by the scale, not divide"),
                (np.trunc(expected), np.rint(expected), "real numbers have fractions"),
                (wrapped, "it wrapped around: widen the codes first, with .astype(float)"),
            )
            return (
                f"The code {codes[wrong]} with scale 0.25 and zero point {zero_point} comes back "
                f"as {back[wrong]:g}, asked is {expected[wrong]:g}"
                f" ({reason or 'the first formula'})."
            )
    x = np.arange(-6, 6, dtype=np.int8).reshape(2, 3, 2)
    scales = np.float32([0.5, 0.25]).reshape(2, 1, 1)
    back = array_in(_by_rows(dequantize, x, scales), "an array of real numbers")
    if back.shape != x.shape:
        return f"For codes of shape {x.shape} the numbers have the shape {back.shape}."
    same = np.allclose(back, x * scales)
    return same or "With a scale for each row, of shape (2, 1, 1), the numbers are others."


scale_of_channels = functools.partial(affine.per_channel_scale, axis=0)


@exercise(
    "the largest magnitude of each filter: `np.abs`, then `.max` over all axes but the first.",
    "Each filter now uses all its codes, from -127 to 127.",
)
def check_channel_scales(scales_of: object) -> bool | str:
    """Exercise 3.4: a function of weights (channels, ...), one symmetric scale a channel."""
    random = np.random.default_rng(4)
    for shape in ((3, 2, 2, 5), (4, 6), (5, 3, 3, 1)):
        w = random.normal(size=shape).astype(np.float32)
        w *= np.geomspace(0.1, 3, len(w), dtype=np.float32).reshape(-1, *[1] * (w.ndim - 1))
        found = array_in(call(scales_of, w.copy()), "an array of scales")
        if said := _wrong_channel_scales(found, w):
            return f"For weights of shape {shape}: {said}"
    return True


def _wrong_channel_scales(found: np.ndarray, w: np.ndarray) -> str | bool:
    axes = tuple(range(1, w.ndim))
    tops = np.abs(w).max(axis=axes, keepdims=True)
    if found.size == 1 or (found.size == len(w) and np.ptp(found) == 0):
        return "this is one scale for all filters; each is to have its own."
    if found.size != len(w):
        return f"the scales have the shape {found.shape}; the filters lie along the first axis."
    flat, top = found.ravel(), tops.ravel()
    if not np.allclose(flat, top / 127, rtol=1e-5):
        others = np.abs(w).max(axis=tuple(range(w.ndim - 1))).ravel()
        return (
            slip(
                flat,
                (top, "these are the largest magnitudes: 127 steps reach them."),
                (top / 127.5, top / 128, "narrow range: the codes end at -127 and 127."),
                (2 * top / 255, np.ptp(w, axis=axes) / 255, "symmetric scales divide by 127."),
                (w.max(axis=axes) / 127, "a negative weight may be the largest magnitude."),
                *(
                    [(others / 127, "the filters lie along the first axis.")]
                    if others.size == top.size
                    else []
                ),
                rtol=1e-5,
            )
            or "the scales are not the largest magnitude of each filter, by 127."
        )
    return found.shape != tops.shape and (
        f"the scales are right; give them the shape {tops.shape}, so that the weights can be "
        "divided by them: `keepdims=True`."
    )


@exercise(
    "dequantize what is stored, and look at the errors of each sensor: are they small, are they "
    "all alike, are they far larger than the readings need?",
    "One reading had set the range of all, and one zero point was not that of its codes.",
)
def check_mended_log(mended: object) -> bool | str:
    """Exercise 3.5: ``{sensor: (codes, scale, zero_point)}`` from which the log comes back."""
    with np.load(unseen.path("03_greenhouse.npz")) as stored:
        log = dict(stored)
    sensors = [name for name in log if f"{name}_codes" in log]
    if not isinstance(mended, dict):
        return f"Your answer is {describe(mended)}; asked is a dict with the three sensors."
    if set(mended) != set(sensors):
        return f"The keys of the dict are to be {', '.join(map(repr, sensors))}."
    for name in sensors:
        if said := _not_stored_well(mended[name], log[name]):
            return f"{name}: {said}"
    return True


def _not_stored_well(kept: object, x: np.ndarray) -> str | bool:
    """What is wrong with ``kept``; a reading far from all others may come back as anything."""
    if not isinstance(kept, tuple | list) or len(kept) != 3:
        return f"this is {describe(kept)}; asked are (codes, scale, zero_point)."
    scale, zero_point = numbers_in(kept[1:], 2, subject="The scale and zero point")
    codes = array_in(kept[0], "an array of codes", "The first part is")
    whole = np.isin(codes, np.arange(-128, 128)).all()  # in any type: int8 would hold them
    if codes.shape != x.shape or not whole:
        return f"the codes are {codes.dtype} of shape {codes.shape}; asked is int8, {x.shape}."
    if float(zero_point).is_integer() and not -128 <= zero_point <= 127:
        return (
            f"the zero point {zero_point:g} is no code from -128 to 127: the range must hold 0. "
            "Stretch it to 0 (see 3.1)."
        )
    if not (0 < scale < np.inf and zero_point in range(-128, 128)):
        return "the scale is positive, and the zero point a whole number from -128 to 127."
    low, high = np.percentile(x, [25, 75])
    usual = np.abs(x - (low + high) / 2) < 20 * (high - low)
    need = (max(x[usual].max(), 0) - min(x[usual].min(), 0)) / 255  # of one step
    error = ((codes.astype(float) - zero_point) * scale - x)[usual]
    fair = np.mean(np.abs(error) <= 1.1 * need) >= 0.99 and np.abs(error).max() <= 26 * need
    if fair:
        return False
    far = f"readings come back up to {np.abs(error).max():.3g} off"
    if np.ptp(error) < 1.5 * need:
        return f"{far}, and all of them to the same side."
    return f"{far}; {need:.2g} is what one step need be worth."


@exercise(
    "how wide is the range, and how many steps do the 256 codes make of it? And which code is "
    "that of its lower end?",
    "All 256 codes serve values that occur: that is why activations are asymmetric.",
)
def check_relu_range(pair: object) -> bool | str:
    """Exercise 3.6: ``(scale, zero_point)`` of asymmetric int8 for the range 0..6.375."""
    scale, zero_point = numbers_in(pair, 2)
    if np.isclose(zero_point, 0.025) and scale == -128:
        return "The scale comes first, then the zero point."
    if known := slip(
        scale,
        (6.375 / 256, "256 codes are 255 steps apart."),
        (6.375 / 127, "That is the symmetric scale: half of the codes would never occur."),
        (255 / 6.375, "That is how many steps make 1; the scale is what one step is worth."),
    ):
        return known
    if np.isclose(scale, 0.025) and zero_point != -128:
        return f"The scale is right; with the zero point {zero_point:g}, which code has 6.375?"
    return np.isclose(scale, 0.025) or f"The scale {scale:g} does not make 255 steps of the range."
