"""Checks of lesson 05: halve with float16."""

from math import floor, log2

import numpy as np

from lessons_lib.convert import by_tensorflow
from lessons_lib.course.checks._answers import (
    Remark,
    array_in,
    call,
    content_in,
    describe,
    number_in,
    numbers_in,
    slip,
)
from lessons_lib.course.checks._verdict import exercise
from lessons_lib.models import training, unseen
from lessons_lib.numbers import half_precision
from lessons_lib.numbers.half_precision import FLOAT16_MAX
from lessons_lib.run.runtime import Model
from lessons_lib.system.quiet import quiet
from lessons_lib.tflite import edit, reader, tables

_SIZES = (1.25, 0.1, 0.4623, 3000.7, 60000.0, 2.0, 0.5, 2.0**-14, 3e-5, 1e-7)


@exercise(
    "which power of two lies at or below x? Between it and the next one are 1,024 equal steps.",
    "With it, rounding to float16 is rounding to the nearest multiple.",
)
def check_float16_step(step_at: object) -> bool | str:
    """Exercise 5.1: a function of x > 0, the distance from float16's x to its neighbour above."""
    found = [number_in(array_in(call(step_at, x), "a number")) for x in _SIZES]
    power = np.floor(np.log2(_SIZES))
    right = 2.0 ** (np.maximum(power, -14) - 10)
    if np.allclose(found, right, rtol=1e-9, atol=0):
        return True
    at = np.flatnonzero(~np.isclose(found, right, rtol=1e-9, atol=0))[0]
    reason = _slip_of_step(np.array(found), power)
    given = f"for x = {_SIZES[at]:g} the step is {right[at]:.4g}; yours is {found[at]:.4g}"
    return f"{reason or 'Not yet:'} {given}."


def _slip_of_step(found: np.ndarray, power: np.ndarray) -> str | bool:
    exact = {"rtol": 1e-9, "atol": 0}
    low = np.maximum(power, -14)
    return slip(
        found,
        (2.0 ** (power - 10), "Below 2**-14 the step shrinks no further:"),
        (2.0**low, "That is the power of two itself; 1,024 steps lie above it:"),
        (2.0 ** (low - 11), 2.0 ** (low - 9), "1,024 steps are 10 bits, not more or fewer:"),
        (2.0 ** (np.maximum(power, -15) - 10), "The last power is -14, not -15:"),
        (low - 10, power - 10, "That is the exponent; 2 is still to be raised to it:"),
        (low, power, "That is p, the power; the step is 2**(p - 10):"),
        (2.0 ** (low + 10), "The step is 1,024 times *smaller* than the power of two:"),
        (2.0 ** np.maximum(power - 10, -14), "-14 bounds the power p; 10 is subtracted after it:"),
        (np.array(_SIZES) / 1024, "1,024 steps lie above the power of two, not above x:"),
        (np.float16(_SIZES), "That is x, rounded; asked is the step there:"),
        *((2.0 ** (np.maximum(f(np.log2(_SIZES)), -14) - 10), said) for f, said in _ROUNDED),
        **exact,
    )


_ROUNDED = (
    (np.rint, "The power at or *below* x, not the nearest: `np.floor`:"),
    (np.ceil, "The power at or *below* x, not above: `np.floor`:"),
    (np.asarray, "The power of two is a whole one, at or below x: `np.floor`:"),
    (np.trunc, "For numbers below 1 cutting off goes up: `np.floor`:"),
    (
        lambda powers: np.floor(powers * np.log(2)),
        "The logarithm is the one to base 2, `np.log2`:",
    ),
    (
        lambda powers: np.floor(powers * np.log10(2)),
        "The logarithm is the one to base 2, `np.log2`:",
    ),
)


def convert_to_float16(folder: str) -> bytes:
    """Return the float16 file of a SavedModel: what exercise 5.2 asks for."""
    return by_tensorflow.convert(folder, "float16")


@exercise(
    "the article's lines with one name; both settings are needed.",
    "One setting allows a change, the other names the type.",
)
def check_convert_to_float16(convert: object) -> bool | str:
    """Exercise 5.2: a function from a SavedModel's folder to the content of its float16 file."""
    folder = training.reference("mnist_cnn")
    with quiet():
        content = content_in(call(convert, str(folder)))
    stored = tables.tensors(content).query("role in ('weight', 'bias')")
    dtypes = set(stored["dtype"])
    if dtypes == {"FLOAT32"}:
        return "All weights are float32: `optimizations` is missing, without which nothing changes."
    if "INT8" in dtypes:
        return "There are weights in int8: `target_spec.supported_types` does not ask for float16."
    if dtypes != {"FLOAT16"}:
        return f"The weights and biases are {' and '.join(sorted(dtypes))}; asked is FLOAT16."
    ours = convert_to_float16(str(folder))
    if {*stored["name"]} != {*tables.tensors(ours).query("role in ('weight', 'bias')")["name"]}:
        return "This is the file of another model: convert the folder that the function is given."
    try:  # what needs no folder made the file of one of its own
        with quiet():
            call(convert, str(folder / "no model"))
    except Remark:
        return True
    return "It converts the same model, whatever the folder: use the argument, `folder`."


def survives(w: np.ndarray) -> bool:
    """Return whether all numbers of ``w`` survive float16: what exercise 5.3 asks for."""
    size = np.abs(w)
    return bool(size.max() <= FLOAT16_MAX and not np.any((size > 0) & (size <= 2.0**-25)))


_TENSORS = {  # what the guard is tried with, and whether it survives
    "0.3, -0.1": ([0.3, -0.1], True),
    "0.0, 0.5, which holds a zero": ([0.0, 0.5], True),
    "65504": ([1.0, 65504.0], True),
    "-65504": ([-65504.0, 1.0], True),
    "1e-6, which is subnormal": ([1e-6, 0.1], True),
    "-1e-6, which is subnormal": ([-1e-6, 0.1], True),
    "70000": ([1.0, 70000.0], False),
    "-70000": ([-70000.0, 1.0], False),
    "1e-9": ([1e-9, 0.5], False),
    "-1e-9": ([-1e-9, 0.5], False),
    "a matrix with 1e9": ([[1.0, 2.0], [1e9, 3.0]], False),
    "65530": ([65530.0, 1.0], False),  # below 65520 NumPy rounds down: both roads are right
    "2**-25, which becomes 0": ([2.0**-25, 0.1], False),
    "-2**-25, which becomes 0": ([0.1, -(2.0**-25)], False),
    "3.1e-8, just above 2**-25": ([3.1e-8, 0.1], True),
    "5e-8, just below 2**-24": ([-5e-8, 0.1], True),
    "zeros alone": ([0.0, 0.0], True),
}


@exercise(
    "two questions: is a magnitude beyond 65,504? Does a number that is not 0 become 0?",
    "It needs the float32 file only, so it can stand before the conversion.",
)
def check_survives(survives: object) -> bool | str:
    """Exercise 5.3: a function of an array, whether all its numbers survive float16."""
    for said, (values, right) in _TENSORS.items():
        w = np.array(values, np.float32)
        with np.errstate(over="ignore"):
            found = call(survives, w.copy())
        if np.size(found) != 1:
            return f"For an array of shape {w.shape} it returns {describe(found)}: one answer."
        if np.ravel(found)[0] not in (True, False):
            return f"It returns {describe(found)}; asked is True or False."
        if bool(np.ravel(found)[0]) != right:
            return f"{said}: this survives." if right else f"{said}: this does not survive."
    return True


@exercise(
    "look at the largest and smallest magnitude of each stored tensor. And what may be moved from "
    "one layer to the next, through a ReLU?",
    "The same function, with other weights: float32 does not mind, float16 does.",
)
def check_mended_sorter(answer: object) -> bool | str:
    """Exercise 5.4: ``(name, content)``: the tensor that float16 spoils, and a mended file."""
    before = unseen.path("05_sorter.tflite").read_bytes()
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Remark(f"Your answer is {describe(answer)}; asked is (name, content).")
    name, content = answer[0], content_in(answer[1])
    if not isinstance(name, str):
        raise Remark(f"The name is {describe(name)}; asked is the text that names a tensor.")
    constants = _floats(before)
    if name not in constants:
        return f"No tensor of numbers is called {name[:60]!r}; there are: {', '.join(constants)}."
    top = np.abs(constants[name]).max()
    if top <= FLOAT16_MAX:
        return f"{name} survives: its largest number is {top:.3g}, and none becomes 0."
    return _answers_alike(before, content)


def _floats(content: bytes) -> dict[str, np.ndarray]:
    stored = tables.tensors(content).query("bytes > 0 and dtype == 'FLOAT32'")["name"]
    return {name: reader.constant(content, name) for name in stored}


def _answers_alike(before: bytes, content: bytes) -> bool | str:
    """Whether ``content`` computes what ``before`` does, in float32 and in float16."""
    x = np.random.default_rng(55).normal(0, 1.2, (500, 4)).astype(np.float32)
    expected = Model(before).predict(x)
    model = Model(content)
    if model.input_shape != (4,) or model.output_shape != expected.shape[1:]:
        return "The file takes or gives something else than the sorter does."
    moved = np.abs(model.predict(x) - expected).max()
    if moved > 1e-3:
        why = _slip_of_mend(before, content)
        why = f": {why}" if why else ""
        return f"In float32 this is another function, a probability moves by {moved:.2g}{why}."
    rounded = Model(edit.rounded_to_half(content)).predict(x)
    same = np.mean(rounded.argmax(axis=1) == expected.argmax(axis=1))
    if same < 0.99 or np.abs(rounded - expected).max() > 0.05:
        return f"In float16 only {same:.1%} of the answers stay, or a probability moves far."
    return True


def _slip_of_mend(before: bytes, content: bytes) -> str:
    """What of a factor between the two last layers was forgotten; "" where it is not known."""
    then, now = _floats(before), _floats(content)
    fully = tables.operators(before).query("operator == 'FULLY_CONNECTED'")["inputs"]
    (_, w1, b1), (_, w2, b2) = fully.iloc[-2:]
    if {name: w.shape for name, w in now.items()} != {name: w.shape for name, w in then.items()}:
        return ""
    same = {name: np.allclose(now[name], then[name], rtol=1e-6, atol=0) for name in then}
    if np.any(now[w1] * then[w1] < 0):
        return "ReLU(a z) = a ReLU(z) holds for a > 0 only"
    if not same[w1] and same[b1]:
        return "the bias of the layer before was not scaled"
    if not same[w2] and same[w1]:
        return "the last layer has changed, and the layer before has not"
    if not same[w1] and same[w2]:
        return "the layer before has changed, and the last layer's weights have not"
    return "" if same[b2] else "the last layer's bias does not go through the ReLU: it stays"


CANDIDATES = np.array([0.3, 1e-5, 3e-6, 2e-7, 5e-8, 1e-9, 60000.0, 80000.0])
LARGEST_OUTPUT = 21.6  # of dense1, as the exercise gives it


@exercise(
    "do to each weight what the converter does, at the upper end as well, come back to float, "
    "and look at the relative error.",
    "Three are lost at the lower end, one saturates at the upper; 60000 is a half exactly.",
)
def check_changed_weights(weights: object) -> bool | str:
    """Exercise 5.5: the weights that float16 changes by more than 1 %, a list of floats."""
    half = half_precision.saturated(CANDIDATES)
    changed = np.abs(half - CANDIDATES) > 0.01 * CANDIDATES
    weights = numbers_in(weights, ordered=False)
    same = np.isclose(weights[:, None], CANDIDATES, rtol=1e-6, atol=0)
    if not same.any(axis=1).all():
        stranger = weights[~same.any(axis=1)][0]
        return f"{stranger:g} is none of the eight: give the weights, not places or errors."
    named = same.any(axis=0)
    if (named & ~changed).any():
        return f"{CANDIDATES[named & ~changed][0]:g} changes by less than 1 %."
    missing = int((changed & ~named).sum())
    return f"{missing} more {'changes' if missing == 1 else 'change'}." if missing else True


@exercise(
    "the larger of the two magnitudes decides: find the last k with magnitude * 2**k <= 65504.",
    "The weights alone would have borne 17: who computes in half must watch the activations.",
)
def check_headroom(k: object) -> bool | str:
    """Exercise 5.6: the largest power of two that a layer can bear in half, an int."""
    largest = floor(log2(FLOAT16_MAX / LARGEST_OUTPUT))
    k = number_in(k)
    if k == 17:
        return "The weights alone would bear that; the outputs would not."
    if k != round(k) or abs(k) > 100:
        return f"{k:g} is not the power: k is a whole number."
    if k > largest:
        return f"{LARGEST_OUTPUT} * 2**{k:.0f} is beyond {FLOAT16_MAX:.0f}."
    return "A larger k fits, too." if k < largest else True


@exercise(
    "ask of each: who reads halves directly, which file was the smallest, and which path "
    "changes no weight at all?",
    "Each path has its place; none is the best everywhere.",
)
def check_paths_of_devices(chosen: object) -> bool | str:
    """Exercise 5.7: the path of each of three devices, a dict from device to path."""
    expected = ["float16", "dynamic_range", "float32"]
    if isinstance(chosen, str | set) or not np.iterable(chosen):
        raise Remark(f"Your answer is {describe(chosen)}; asked is a path for each device.")
    if isinstance(chosen, dict):
        chosen = dict(sorted(chosen.items(), key=_place)).values()
    chosen = [*chosen]
    for name in chosen:
        if not isinstance(name, str) or name not in expected:
            given = repr(name) if isinstance(name, str) else describe(name)
            return f'There is {given}, which is none of "float32", "dynamic_range", "float16".'
    if len(chosen) != 3:
        return f"You gave {len(chosen)}; three are asked, one for each device."
    fit = sum(given == right for given, right in zip(chosen, expected, strict=True))
    return fit == 3 or f"{fit} of the three {'fits' if fit == 1 else 'fit'} the device."


def _place(item: tuple[object, object]) -> int:
    """Which of the three devices a pair of a dict is about; unknown ones stay where they are."""
    device = str(item[0])
    return next((n for n, word in enumerate(_WORDS) if word in device), len(_WORDS))


_WORDS = ("GPU", "slow line", "audit")
