"""The checks of lesson 12, Train for quantization, and what the lesson runs on with."""

from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lessons_lib.course.checks._answers import (
    Remark,
    array_in,
    call,
    content_in,
    describe,
    numbers_in,
    slip,
)
from lessons_lib.course.checks._digits import require_digits_read
from lessons_lib.course.checks._verdict import exercise
from lessons_lib.models import unseen
from lessons_lib.numbers import affine
from lessons_lib.tflite import tables

# What the lesson runs on with where a blank is open.

QMAX = 7  # of 4 bits, narrow range
CONTROL = {"weight_bits": None, "activation_bits": None, "epochs": 2, "seed": 0}


def fake_quantize(w: ArrayLike, num_bits: int = 4) -> np.ndarray:
    """Return floats on the integers' grid: symmetric, narrow range, one scale, real units.

    ``scale = max|w| / (2**(num_bits - 1) - 1)``, ``w -> scale * round(w / scale)``, ties away from
    zero; float32.
    Defined in lesson 12.
    """
    scale = affine.symmetric_scale(np.abs(w).max(), num_bits)
    codes = affine.quantize(w, scale, 0, num_bits=num_bits, narrow_range=True)
    return affine.dequantize(codes, scale, 0)


def gradient(x: ArrayLike, w: ArrayLike, t: float, limit: float) -> np.ndarray:
    """Return the straight-through gradients (n,) of one neuron of 4 bits, with a fixed range.

    ``y`` is the sum of inputs ``x`` (n,) times weights ``w`` (n,) that are clipped to ``-limit`` to
    ``limit`` and rounded; the loss is ``(y - t)**2 / 2``. 0 where a weight lies outside.
    Defined in lesson 12.
    """
    x, w, scale = np.asarray(x), np.asarray(w), limit / QMAX
    rounded = scale * np.round(np.clip(w, -limit, limit) / scale)
    return (np.sum(rounded * x) - t) * x * (np.abs(w) <= limit)


# Exercise 12.1


def _kernels() -> list[tuple[np.ndarray, int]]:
    random = np.random.default_rng(12)
    first = np.array([0.35, -0.12, 0.06, 0.02, -0.91], np.float32)  # the largest is negative
    rest = [random.normal(0, 0.3, shape).astype(np.float32) for shape in ((3, 4), (2, 2, 5), (9,))]
    return [(first, 4), (rest[0], 4), (rest[1], 8), (rest[2], 3)]


@exercise(
    "the largest magnitude gets the largest code, 7 for 4 bits. Divide by the scale, round, "
    "multiply by the scale again.",
    "The smallest weights are gone. Their shadow weights are not.",
)
def check_fake_quantize(function: object) -> bool | str:
    """Exercise 12.1: a function of float weights and bits: the weights, fake-quantized."""
    for w, num_bits in _kernels():
        asked = "an array of floats, as many as there are weights"
        found = array_in(call(function, w.copy(), num_bits), asked)
        if found.shape != w.shape:
            return f"It returns the shape {found.shape} for weights of {w.shape}."
        expected = fake_quantize(w, num_bits)
        if not np.allclose(found, expected, rtol=0, atol=1e-5):
            return _slip_of_grid(found, w, num_bits) or (
                f"For {num_bits} bits {int(np.sum(~np.isclose(found, expected, atol=1e-5)))} of "
                f"{w.size} weights are not on the right place of the grid."
            )
    return True


def _slip_of_grid(found: np.ndarray, w: np.ndarray, num_bits: int) -> str | bool:
    qmax, limit = 2 ** (num_bits - 1) - 1, np.abs(w).max()
    scale = limit / qmax

    def grid(scale, rounding=np.round):
        return scale * rounding(w / scale)

    return slip(
        found,
        (
            np.round(w / scale),
            "These are the codes. Fake quantization goes back to floats: times the scale.",
        ),
        (w / scale, "These are steps, not rounded yet; round, then go back to floats."),
        (w, "These are the weights as they were: nothing was rounded."),
        *((grid(scale, cut), _NEAREST) for cut in (np.floor, np.trunc, np.ceil)),
        *(
            (grid(np.abs(w).max(axis=axis, keepdims=True) / qmax), _ONE_SCALE)
            for axis in range(w.ndim if w.ndim > 1 else 0)
        ),
        (-grid(scale), "The signs are the wrong way round."),
        (grid(limit / (qmax + 1)), "Narrow range: the largest code is 2**(bits - 1) - 1."),
        (grid(limit / (2**num_bits - 1)), "Half of the codes are negative: is the scale right?"),
        (grid(2 * limit / (2**num_bits - 1)), "The range is symmetric, 2 * qmax steps long."),
        (grid(limit / QMAX), "This is the grid of 4 bits; asked is the one of `num_bits`."),
        (grid(w.max() / qmax), "The largest *magnitude* sets the scale; here it is negative."),
        (grid(np.abs(w).mean() / qmax), "The largest magnitude sets the scale, not the mean."),
        (
            np.clip(grid(w.max() / qmax), -w.max(), w.max()),
            "The largest *magnitude* sets the scale; here it is negative.",
        ),
        rtol=1e-4,
        atol=1e-6,
    )


_NEAREST = "Round to the nearest step; do not cut off."
_ONE_SCALE = "One scale for the whole array: the largest magnitude of all of it, along no axis."

# Exercise 12.2


def _neurons() -> list[tuple[np.ndarray, np.ndarray, float, float]]:
    return [
        (np.array([2.0, -1.0, 3.0]), np.array([0.34, -0.48, 0.93]), 1.0, 0.7),
        (np.array([1.0, 0.5, -2.0, 4.0]), np.array([-1.61, 0.22, 0.37, -0.68]), -0.5, 1.4),
        (np.array([1.0, 2.0, -1.0]), np.array([0.26, -0.73, 0.69]), -1.0, 0.7),
        (np.array([1.0]), np.array([0.32]), 0.34, 0.7),
    ]


@exercise(
    "round and clip the weights, compute y and y - t with them; the gradient is (y - t) times "
    "the weight's own input, and 0 for a weight outside the range.",
    "A clipped weight gets no gradient: it stays outside.",
)
def check_gradient(function: object) -> bool | str:
    """Exercise 12.2: the straight-through gradients of one neuron, a function."""
    for x, w, t, limit in _neurons():
        asked = "an array of floats, one for each weight"
        found = array_in(call(function, x.copy(), w.copy(), t, limit), asked)
        expected = gradient(x, w, t, limit)
        if found.shape != w.shape:
            return f"It returns the shape {found.shape} for {w.size} weights."
        if not np.allclose(found, expected, rtol=0, atol=1e-4):
            shown = f"For w = {w.tolist()}, range {limit}: {found.astype(float).round(3).tolist()}."
            return f"{shown} {_slip_of_gradient(found, x, w, t, limit) or ''}".strip()
    return True


def _slip_of_gradient(found, x, w, t, limit) -> str | bool:
    scale, inside = limit / QMAX, np.abs(w) <= limit
    clipped, unclipped = (scale * np.round(v / scale) for v in (np.clip(w, -limit, limit), w))
    through, unrounded, beyond = ((np.sum(used * x) - t) * x for used in (clipped, w, unclipped))
    cut = (np.sum(np.clip(w, -limit, limit) * x) - t) * x
    error = np.sum(clipped * x) - t

    def with_grid(step, rounding=np.round):
        y = np.sum(step * rounding(np.clip(w, -limit, limit) / step) * x)
        return (y - t) * x * inside

    own = fake_quantize(w)
    return slip(
        found,
        (
            through * (np.abs(np.round(w / scale)) <= QMAX),
            "Just outside the range a weight still has the largest code, and is clipped: "
            "compare the weights with `limit`.",
        ),
        (through, "A weight outside the range is clipped: its gradient is 0."),
        (0 * x, "That is the true gradient of rounding; the estimator lets it pass on."),
        (-through * inside, "The error is y - t, not t - y."),
        (through * ~inside, "The mask is upside down: 0 is for the weights outside."),
        (
            unrounded * inside,
            unrounded,
            cut * inside,
            cut,
            "The error y - t is that of the rounded and clipped weights.",
        ),
        (beyond * inside, beyond, "The rounded weight must not leave the range: clip it."),
        (
            ((own * x).sum() - t) * x * inside,
            ((own * x).sum() - t) * x,
            "The range is fixed: `limit` sets the scale, not the largest weight.",
        ),
        (through / x * inside, "The error times the weight's own input is the gradient."),
        (through * w * inside, through * clipped * inside, "Times the input, not the weight."),
        (error * w * inside, error * clipped * inside, "Times the input, not the weight."),
        (2 * through * inside, "The loss is a half of the square: no factor 2."),
        ((error + 2 * t) * x * inside, "The error is y - t, not y + t."),
        (through * inside / x.size, "y is the sum, and nothing is divided by its length."),
        (
            with_grid(limit / 8),
            with_grid(limit / 7.5),
            with_grid(limit / 15),
            with_grid(limit / 127),
            "4 bits, narrow range: the largest code is 7, the scale `limit / 7`.",
        ),
        (with_grid(scale, np.floor), with_grid(scale, np.trunc), "Round to the nearest step."),
        (
            (np.sum(clipped / scale * x) - t) * x * inside,
            "y is made of rounded *weights*, not of codes: times the scale.",
        ),
        (gradient(x, w, t, 0.7), "The range is `limit`, not always 0.7."),
        (
            through * (np.abs(clipped) < limit),
            "Just inside the range a weight rounds to its end, and is not clipped: compare the "
            "weight with `limit`, not its copy.",
        ),
        rtol=1e-4,
        atol=1e-6,
    )


# Exercise 12.3


@exercise(
    "everything as in `QAT`, but that nothing is rounded: `None` leaves weights and activations "
    "in float.",
    "Now a difference between the two is rounding, and nothing else.",
)
def check_control(recipe: object) -> bool | str:
    """Exercise 12.3: the keywords of the control for a training of 2 epochs with seed 0."""
    if not isinstance(recipe, dict) or set(recipe) != set(CONTROL):
        given = f"the keys {list(recipe)}" if isinstance(recipe, dict) else describe(recipe)
        raise Remark(f"Give a dict with the keys {', '.join(CONTROL)}; given: {given[:80]}.")
    for name in ("weight_bits", "activation_bits"):
        if recipe[name] is not None:
            bits = describe(recipe[name])
            return f"`{name}` is {bits}: this model still rounds. `None` leaves it in float."
    for name in ("epochs", "seed"):
        if isinstance(recipe[name], str | bool):
            return f"`{name}` is {describe(recipe[name])}; a number is asked."
    epochs, seed = (numbers_in(recipe[name], 1)[0] for name in ("epochs", "seed"))
    if epochs != CONTROL["epochs"]:
        what = "the old model: its distance holds" if not epochs else "another training: it holds"
        return f"With {epochs:g} epochs this is {what} rounding and the additional epochs."
    if seed != CONTROL["seed"]:
        return "Another seed means other images in another order: chance would be compared as well."
    return True


# Exercise 12.4, the open task.

LOGS, LAST, MANY = "12_two_logs.npz", 60, 10


@cache
def logs() -> dict[str, np.ndarray]:
    """Return the shadow weights (steps, weights), float32, of both trainings, by name."""
    with np.load(unseen.path(LOGS)) as stored:
        return {name: stored[name] for name in ("a", "b")}


def flipping(shadow: np.ndarray, limit: float = 0.7) -> list[int]:
    """Return the weights whose 4-bit copy changes MANY times or more in the LAST steps."""
    codes = np.round(np.clip(shadow, -limit, limit) * QMAX / limit)[-LAST:]
    return [int(n) for n in np.flatnonzero((np.diff(codes, axis=0) != 0).sum(axis=0) >= MANY)]


def moving_outside(shadow: np.ndarray, limit: float = 0.7) -> list[int]:
    """Return the weights that change while they are outside the range."""
    outside = np.abs(shadow[:-1]) > limit
    return [int(n) for n in np.flatnonzero((outside & (np.diff(shadow, axis=0) != 0)).any(axis=0))]


@exercise(
    "`np.diff` along the steps: once of the shadow weights, where they are outside the range; "
    "once of their codes, in the last steps.",
    "One line of code apart: the mask of 12.2 was forgotten in one of the two.",
)
def check_logs(findings: object) -> bool | str:
    """Exercise 12.4: a dict: the training with the "slip", the weights "moving", "flipping"."""
    keys = {"slip", "moving", "flipping"}
    if not isinstance(findings, dict) or set(findings) != keys:
        given = f"the keys {list(findings)}" if isinstance(findings, dict) else describe(findings)
        raise Remark(f'Give a dict with "slip", "moving" and "flipping"; given: {given[:80]}.')
    moving = {name: moving_outside(shadow) for name, shadow in logs().items()}
    if not isinstance(findings["slip"], str) or findings["slip"] not in moving:
        return f'"slip" is {describe(findings["slip"])}; give "a" or "b".'
    if not moving[findings["slip"]]:
        return "In this one no weight moves while it is outside the range. Look at the other."
    wanted = {"moving": moving[findings["slip"]], "flipping": flipping(logs()["a"])}
    for key, right in wanted.items():
        remark = _slip_of_columns(key, _columns(findings[key], key), right)
        if remark:
            return remark
    return True


def _columns(value: Any, key: str) -> list[int]:
    """Return the weights' numbers that an answer holds; a mask of all of them will do."""
    count = logs()["a"].shape[1]
    if isinstance(value, set | frozenset | tuple | list) and not value:
        return []
    subject = f'"{key}"'
    mask = np.asarray(value) if isinstance(value, np.ndarray | list) else None
    if mask is not None and mask.dtype == bool and mask.shape == (count,):
        return [int(n) for n in np.flatnonzero(mask)]
    found = numbers_in(value, subject=subject, ordered=False)
    if not all(float(n).is_integer() and 0 <= n < count for n in found):
        raise Remark(f"{subject} holds a number that is no weight's; they are 0 to {count - 1}.")
    return sorted({int(n) for n in found})


def _slip_of_columns(key: str, found: Iterable[int], right: list[int]) -> str:
    missing, more = sorted(set(right) - set(found)), sorted(set(found) - set(right))
    if not missing and not more:
        return ""
    if key == "flipping":
        ever = {int(n) for n in range(logs()["a"].shape[1])} - set(right)
        if more and not missing and set(more) <= ever:
            return f"Weight {more[0]} flips on its way, and rests in the last {LAST} steps."
        return f'"flipping" is not right yet: {len(missing)} missing, {len(more)} too many.'
    outside = np.abs(logs()["a"]).max(axis=0) > 0.7
    if more and not missing and all(outside[n] for n in more):
        return f"Weight {more[0]} is outside the range at times, and does not move there."
    return f'"moving" is not right yet: {len(missing)} missing, {len(more)} too many.'


# One more exercise.


@exercise(
    "three steps, as in the lesson: make the model quantization-aware with 4 bits, let it "
    "observe images, convert it with qat. Which call is it that observes?",
    "Half the bytes of int8 for the weights. Compare its accuracy with float on your digits.",
)
def check_packed_int4(answer: object) -> bool | str:
    """Exercise 12.5: the content of an integer-only file of mnist_cnn, all weights INT4."""
    content = content_in(answer)
    found, weights = tables.audit(content), tables.tensors(content).query("role == 'weight'")
    if found.float_operators:
        return f"A float operator is left: {found.float_operators[0]}."
    if other := sorted(set(weights["dtype"]) - {"INT4"}):
        return f"There are weights of type {', '.join(other)}."
    operators = list(tables.operators(content)["operator"])
    if operators.count("CONV_2D") != 2 or operators.count("FULLY_CONNECTED") != 2:
        return "It is not mnist_cnn, which has two convolutions and two dense layers."
    require_digits_read(content)
    return found.integer_only
