"""The checks of lesson 09, Run int8 by hand."""

import copy
import functools
import itertools
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

from lessons_lib.course.checks._answers import (
    Partly,
    Remark,
    array_in,
    call,
    compare,
    describe,
    floats_in,
    numbers_in,
    slip,
)
from lessons_lib.course.checks._verdict import exercise
from lessons_lib.models import unseen
from lessons_lib.numbers import fixed_point
from lessons_lib.tflite import reader, tables


@exercise(
    "two divisions, by 2**31 and by 2**n with n = -shift. `>>` rounds down: add half of the "
    "divisor first. For halves away from zero a negative number is divided as its mirror image is.",
    "Two roundings, the first with halves up, the second with halves away from zero: these are "
    "TFLite-Micro's.",
)
def check_two_roundings(requantize: object) -> bool | str:
    """Exercise 9.1: a function ``(total, multiplier, shift)`` that gives steps, twice rounded."""
    known, shift = _sums_to_rescale()
    one = call(requantize, -100, 2**30, -2)
    if array_in(one, "one whole number").size != 1:
        return f"For one sum it returns {describe(one)}; asked is one whole number."
    try:
        given = [np.array(part) for part in (known["sums"], known["multiplier"], shift)]
        found = array_in(call(requantize, *given), "an array of whole numbers")
    except Remark as remark:
        alone = "It works for one sum, not for arrays (`np.where`, `np.sign` and `np.abs` do)"
        return f"{alone}. {remark}"
    if found.shape != known["sums"].shape:
        return f"For sums of shape {known['sums'].shape} it returns shape {found.shape}."
    steps = fixed_point.double_rounding(known["sums"], known["multiplier"], shift)
    if reason := slip(found, *_other_roundings(known, shift), rtol=0, atol=1e-9):
        return reason
    if not np.array_equal(found, steps):
        share = np.mean(found != steps)
        return f"{share:.0%} of the steps are others. Is the first division by 2**31?"
    if np.asarray(one).item() != -13:
        return f"-100 with multiplier 2**30 and shift -2 gives {describe(one)}; asked is -13."
    numbers = known["multiplier"], shift
    by_run = floats_in(lambda sums: requantize(sums, *numbers), known["sums"])
    if by := by_run or floats_in(requantize, known["sums"]):
        return f"The steps are right, but not made of whole numbers only: {by}."
    if found.dtype.kind not in "iu":
        return f"The steps are right, but {found.dtype}: they should be whole numbers."
    return True


@functools.cache
def _sums_to_rescale() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Sums (60, 6) with ties of both signs, their multipliers, and what the first step gives."""
    shift = np.array([-1, -2, -3, -6, -9, -12])
    random = np.random.default_rng(9)
    sums = random.integers(-(2**20), 2**20, (60, 6))
    multiplier = random.integers(2**30, 2**31, 6)
    multiplier[:4] = 2**30  # then every second or fourth sum is a tie, once or twice
    sums[:20] = np.arange(-10, 10)[:, None] * 2**-shift + 2 ** (-shift - 1)
    known = {"sums": sums, "multiplier": multiplier}
    known["high"] = fixed_point.high_multiply(sums, multiplier)
    known["floor"] = sums * multiplier >> 31
    return known, shift


def _other_roundings(known: dict[str, np.ndarray], shift: np.ndarray) -> list[tuple]:
    """What usual slips give, and a remark of each."""
    high, floor, n = known["high"], known["floor"], -shift
    exact = known["sums"] * (known["multiplier"] / 2.0**31) * 2.0**shift
    up, away = fixed_point.shift_ties_up, fixed_point.shift_ties_away
    once = np.sign(exact) * np.floor(np.abs(exact) + 0.5)
    rounds_down = "`>>` and `//` round down: in the {} division, add half of the divisor first."
    return [
        (exact, "It is not rounded: the steps are whole numbers."),
        (high, known["floor"], "That is the first division alone; the shift is missing."),
        (
            once,
            np.rint(exact),
            np.floor(exact + 0.5),
            "It is rounded once; a runtime does it twice.",
        ),
        (up(high, n), "In the shift, halves below zero go up; away from zero they go down."),
        (np.rint(high / 2.0**n), "In the shift, halves go to the even neighbour."),
        (high >> n, rounds_down.format("second")),
        (np.trunc(high / 2.0**n), "In the shift the rest is cut off; round to the nearest."),
        (away(floor, n), up(floor, n), rounds_down.format("first")),
        (floor >> n, "`>>` and `//` round down, both times: add half of the divisor first."),
        (high << n, "A negative shift goes to the right: divide by 2**n, with n = -shift."),
        (away(away(known["sums"] * known["multiplier"], 31), n), "The first sends halves up."),
    ]


def dense(x: np.ndarray, layer: SimpleNamespace, rule: Callable) -> np.ndarray:
    """Return the int8 codes (N, outputs) of a dense layer for the codes ``x`` (N, inputs).

    ``layer``: its ``weights`` (outputs, inputs) and ``bias``, ``zero_point_in`` and ``_out``, and
    ``low``, where the activation begins. ``rule(sums, layer)`` gives the steps of the sums.
    """
    sums = (x.astype(int) - layer.zero_point_in) @ layer.weights.T + layer.bias
    return np.clip(rule(sums, layer) + layer.zero_point_out, layer.low, 127).astype(np.int8)


@exercise(
    "in this order: x as int, minus its zero point; times the transposed weights; plus the bias; "
    "`rule(sums, layer)`; plus the output's zero point; clip from `layer.low` to 127; int8.",
    "Every dense layer of an int8 file is these steps; a convolution makes them at each place.",
)
def check_dense_codes(dense_layer: object) -> bool | str:
    """Exercise 9.2: a function ``(x, layer, rule)`` that gives the codes of a dense layer."""
    for layer, rule in _layers_to_run():
        x = np.random.default_rng(92).integers(-128, 128, (30, 12)).astype(np.int8)
        given = copy.deepcopy(layer)
        codes = array_in(call(dense_layer, x.copy(), given, rule), "an array of codes")
        if any(not np.array_equal(vars(given)[name], kept) for name, kept in vars(layer).items()):
            return "It changes `layer`, which others still need: calculate with copies."
        right = dense(x, layer, rule)
        if codes.shape != right.shape:
            return f"For 30 rows and 5 outputs it returns shape {codes.shape}; asked is (30, 5)."
        if np.array_equal(codes, right):
            if codes.dtype != np.int8:
                return f"The codes are right, their dtype is {codes.dtype}: cast them to np.int8."
            continue
        reason = slip(codes, *_other_layers(x, layer, rule), rtol=0, atol=1e-9)
        return reason or f"{np.mean(codes != right):.0%} of the codes are others."
    return True


def _layers_to_run() -> list[tuple[SimpleNamespace, Callable]]:
    """A layer with ReLU and one without; the second with a rule of its own, as XNNPACK has."""
    random = np.random.default_rng(91)
    weights, bias = random.integers(-127, 128, (5, 12)), random.integers(-9000, 9000, 5)
    multiplier, shift = fixed_point.multiplier_shift(np.array([4, 5, 6, 8, 3]) / 1000)
    layer = SimpleNamespace(weights=weights, bias=bias, zero_point_in=-9, zero_point_out=11)
    layer.multiplier, layer.shift = multiplier.astype(int), shift.astype(int)
    layer.low = layer.zero_point_out
    open_layer = SimpleNamespace(**{**vars(layer), "low": -128, "zero_point_in": 20})
    return [(layer, _twice), (open_layer, lambda sums, layer: sums // 200)]


def _twice(sums: np.ndarray, layer: SimpleNamespace) -> np.ndarray:
    return fixed_point.double_rounding(sums, layer.multiplier, layer.shift)


def _other_layers(x: np.ndarray, layer: SimpleNamespace, rule: Callable) -> list[tuple]:
    """What usual slips give for these codes, and a remark of each."""
    x, zero, out, low = x.astype(int), layer.zero_point_in, layer.zero_point_out, layer.low
    products = (x - zero) @ layer.weights.T
    sums = products + layer.bias
    steps = rule(sums, layer)

    def ended(steps, low=low):
        return np.clip(steps + out, low, 127)

    narrow = (x - zero).astype(np.int8).astype(int) @ layer.weights.T + layer.bias
    early = np.clip(steps, low, 127) + out, np.clip(steps, -128, 127) + out
    unused = ended(_twice(sums, layer))
    return [
        (
            ended(rule(x @ layer.weights.T + layer.bias, layer)),
            "The input's zero point is missing.",
        ),
        (ended(rule((x + zero) @ layer.weights.T + layer.bias, layer)), "Subtract the zero point."),
        (ended(rule(narrow, layer)), "x - zero point does not fit into int8: take x as int first."),
        (ended(rule(products, layer)), "The bias is missing."),
        (ended(rule(products, layer) + layer.bias), "The bias comes before the rule, in the sum."),
        (
            np.clip(steps, low, 127),
            np.clip(steps, -128, 127),
            "The output's zero point is missing.",
        ),
        (ended(steps - 2 * out), "The output's zero point is added."),
        (*early, *(codes.astype(np.int8) for codes in early), "Clip last."),
        (
            *(steps + out, (steps + out).astype(np.int8)),
            *(np.maximum(steps + out, low), np.maximum(steps + out, low).astype(np.int8)),
            "It is not clipped: a code ends at 127.",
        ),
        (ended(sums), "`rule(sums, layer)` is missing: it makes steps of the sums."),
        (ended(steps, -128), "The activation is missing: clip from `layer.low`, not from -128."),
        (
            ended(steps, 0),
            "The lower end is `layer.low`; the real number 0 has another code than 0.",
        ),
        (sums, "These are the sums: `rule(sums, layer)` makes steps of them."),
        (unused, "The `rule` that is handed in is not used."),
    ]


_VALVES = ("09_valve_a.tflite", "09_valve_b.tflite")


@exercise(
    "a sum is largest when each input is 127 where its weight is positive, and -128 where it is "
    "negative; smallest the other way round. An output is stuck when both give one code.",
    "Two faults that no error tells of: a bias beyond all sums, and a scale below all steps. An "
    "output that moves for one input in a million is not stuck.",
)
def check_stuck_outputs(stuck: object) -> bool | str:
    """Exercise 9.3: a function of a file's content to the outputs that give one code only."""
    for name, content in _valves().items():
        result = call(stuck, content)
        given = result.tolist() if isinstance(result, np.ndarray) else result  # it may be empty
        found = numbers_in(given, subject="What your function returns", ordered=False)
        outputs = _range_of_codes(content).shape[1]
        if not np.isin(found, np.arange(outputs)).all():
            return f"For {name} it gives {found.tolist()}; outputs are numbered 0 to {outputs - 1}."
        lowest, highest = _range_of_codes(content)
        for output in sorted({*found.astype(int)}):
            if lowest[output] != highest[output]:
                ends = f"it goes from {lowest[output]} to {highest[output]}"
                rare = ". Random inputs hardly ever show it" if output in _rare(content) else ""
                return f"{name}: output {output} is not stuck, {ends}{rare}."
        left = np.flatnonzero(lowest == highest)
        if missed := [int(output) for output in left if output not in found]:
            return f"{name}: {len(missed)} of its stuck outputs are not found."
    return True


@functools.cache
def _valves() -> dict[str, bytes]:
    """Both files, and two made of them that nobody has: what a function is tried on."""
    files = {name: unseen.path(name).read_bytes() for name in _VALVES}
    return files | {f"{name}, changed": _changed(content) for name, content in files.items()}


def _changed(content: bytes) -> bytes:
    """The same layer, its outputs moved on by two places, and output 2 with weights of sum 0.

    So this one gives the same code for inputs that are all 127 and for such that are all -128.
    """
    model = reader.read(content)
    for tensor in model.subgraphs[0].tensors:
        stored = reader.stored_value(model, tensor)
        if stored is not None:
            moved = np.ascontiguousarray(np.roll(stored, 2, axis=0))
            if moved.ndim == 2:
                moved[2, 1::2] = -moved[2, ::2]  # weights end at -127
            model.buffers[tensor.buffer].data = np.frombuffer(moved.tobytes(), np.uint8)
            tensor.quantization.scale = np.roll(tensor.quantization.scale, 2)
    return reader.pack(model)


def _range_of_codes(content: bytes) -> np.ndarray:
    """The lowest and the highest code of each output of a file with one dense layer, (2, M)."""
    layer = _layer_of(content)
    most = np.where(layer.weights > 0, 127, -128)
    return np.stack([dense(x, layer, _twice).diagonal() for x in (-1 - most, most)])


def _rare(content: bytes) -> np.ndarray:
    """The outputs that give one code only for a thousand random inputs."""
    layer = _layer_of(content)
    x = np.random.default_rng(93).integers(-128, 128, (1000, layer.weights.shape[1]))
    return np.flatnonzero(np.ptp(dense(x, layer, _twice).astype(int), axis=0) == 0)


def _layer_of(content: bytes) -> SimpleNamespace:
    rows = tables.tensors(content).set_index("role")
    scale, zero = rows["scale"], rows["zero_point"]
    ratio = scale["input"] * np.float64(scale["weight"]) / scale["output"]
    multiplier, shift = fixed_point.multiplier_shift(ratio)
    low = zero["output"] if (tables.operators(content)["activation"] == "RELU").all() else -128
    return SimpleNamespace(
        weights=reader.constant(content, rows["name"]["weight"]).astype(int),
        bias=reader.constant(content, rows["name"]["bias"]).astype(int),
        zero_point_in=zero["input"],
        zero_point_out=zero["output"],
        low=low,
        multiplier=multiplier.astype(int),
        shift=shift.astype(int),
    )


@exercise(
    "-44 / 8 and -36 / 8 are ties. Each runtime has its own rule for a tie: which? The zero "
    "point comes last.",
    "To even agrees with one rule at the first tie and with the other at the second: one tie "
    "does not tell three rules apart.",
)
def check_three_roundings(codes: object) -> bool | str:
    """Exercise 9.4: the codes of two sums, -44 and -36, M = 1/8, zero point 4, in 3 runtimes."""
    right = np.array([-2, -1, -2, -1, 0, 0])
    away, up, even = right.reshape(2, 3).T
    found = numbers_in(codes, right.size)  # once: an iterator is empty afterwards
    known = compare(
        found,
        right,
        ([*away, *up, *even], "All three for -44 come first, then those for -36."),
        (right - 4, "The zero point is missing."),
        ([-1, -1, -2, 0, 0, 0], "TFLite-Micro rounds a tie away from zero: -5.5 to -6."),
        ([-1, -2, -2, 0, -1, 0], "Which of TFLite-Micro and the builtin kernels goes up?"),
        ([-2, -2, -2, -1, -1, 0], "The builtin kernels round a tie up: -5.5 to -5."),
        (
            [-2, -1, -1, -1, 0, 0],
            [-2, -1, -1, -1, 0, -1],
            "To the even neighbour: -5.5 goes to -6, and -4.5 to -4.",
        ),
        ([-1.5, -1.5, -1.5, -0.5, -0.5, -0.5], "Codes are whole numbers: round."),
    )
    runtimes = ("TFLite-Micro", "the builtin kernels", "XNNPACK")
    places = [f"{name} for {total}" for total in (-44, -36) for name in runtimes]
    wrong = itertools.compress(places, found != right)
    return known or Partly(f"Not right: {', '.join(wrong)}.", np.mean(found == right))


_RELU6 = {  # (scale, zero point): the codes of 0 and of 6
    (0.05, -128): (-128, -8),
    (0.065, -120): (-120, -28),
    (0.07, -100): (-100, -14),
    (0.0235, -128): (-128, 127),
    (0.04, 3): (3, 127),
    (0.1, -70): (-70, -10),
    (0.5, 127): (127, 127),
}


@exercise(
    "which codes stand for the real numbers 0 and 6? And where does int8 end?",
    "With the smallest scales the upper bound is 127 anyway: RELU6 then costs nothing.",
)
def check_relu6_bounds(bounds: object) -> bool | str:
    """Exercise 9.5: a function ``(scale, zero_point) -> (low, high)`` of a fused RELU6."""
    for (scale, zero_point), expected in _RELU6.items():
        result = call(bounds, scale, zero_point)
        found = numbers_in(result, 2, subject="What your function returns")
        if np.array_equal(found, expected):
            continue
        real = 6 / scale
        reason = slip(
            found,
            (expected[::-1], "the low one comes first"),
            ((0, round(real)), (0, min(127, round(real))), "the zero point is missing"),
            ((zero_point, zero_point + round(real)), "a code ends at 127"),
            ((zero_point, min(127, zero_point + int(real))), "round to the nearest step"),
            ((zero_point, min(127, zero_point + real)), "codes are whole numbers"),
            ((zero_point, min(127, zero_point + int(real) + 1)), "round to the nearest step"),
            (*((low, expected[1]) for low in (-128, 0)), "which code is that of the real 0?"),
            rtol=1e-9,
        )
        given = f"({', '.join(f'{end:g}' for end in found)})"
        why = f": {reason}" if reason else ""
        return f"For ({scale}, {zero_point}) it gives {given}, asked is {expected}{why}."
    return True


@exercise(
    "the sum of four codes needs a wider type than int8. `//` rounds down: what must be added "
    "to a sum first, and what does a negative one need?",
    "Input and output have one scale and one zero point, so codes are averaged as they are.",
)
def check_average_pool(average_pool: object) -> bool | str:
    """Exercise 9.6: a function that averages 2x2 windows of int8 codes (N, H, W, C), stride 2."""
    x = np.random.default_rng(9).integers(-128, 128, (3, 6, 8, 5)).astype(np.int8)
    x[0, :2, :2, 0] = [[-3, -2], [-3, -2]]  # -2.5, a tie
    sums = x.reshape(3, 3, 2, 4, 2, 5).sum(axis=(2, 4), dtype=np.int64)
    expected = np.where(sums >= 0, (sums + 2) // 4, -((2 - sums) // 4))
    codes = array_in(call(average_pool, x.copy()), "an array of codes")
    if codes.shape != expected.shape:
        return f"For codes of shape {x.shape} it returns {codes.shape}; asked is {expected.shape}."
    if (codes != expected).any():
        reason = slip(
            codes,
            (sums // 4, "It is always rounded down."),
            (np.trunc(sums / 4), "It is cut off, not rounded."),
            (np.round(sums / 4), "A tie goes to the even neighbour, not away from zero."),
            ((sums + 2) // 4, "A negative tie goes up, not away from zero."),
            (sums / 4, "It is not rounded."),
            (sums, "These are the sums: divide by 4."),
            (sums.astype(np.int8) // 4, "The sum of four codes does not fit into int8."),
            rtol=1e-9,
        )
        return reason or "The codes are not the means of the windows."
    if found := floats_in(average_pool, x):
        return f"The codes are right, but not made of integers only: {found}."
    if codes.dtype != np.int8:
        return f"The codes are right, their dtype is {codes.dtype}: cast them to np.int8."
    return True


def fitting(given: np.ndarray, answers: dict[str, np.ndarray]) -> list[str]:
    """Return the names of the runtimes whose codes, in ``answers``, are exactly those given."""
    return [name for name, codes in answers.items() if np.array_equal(codes, given)]


@exercise(
    "one runtime after the other: are *all* of its codes those that were given? Collect the names "
    "for which it is so.",
    "A list with one name is an answer; with several, take other inputs.",
)
def check_fitting_runtimes(fits: object) -> bool | str:
    """Exercise 9.7: a function ``(given, answers)`` that names the runtimes that fit."""
    first = _outputs_to_name()[0][0]  # one runtime gave it: nothing returned is a missing return
    for given, answers in _outputs_to_name():
        copies = {name: codes.copy() for name, codes in answers.items()}
        result = call(fits, given.copy(), copies, none_is_an_answer=given is not first)
        right = fitting(given, answers)
        found = _names_in(result, answers, right)
        if sorted(found) == sorted(right):
            continue
        for names, reason in _misnamed(given, answers):
            if sorted(found) == sorted(names):
                return reason
        if not right and len(found) == 1:
            differ = np.count_nonzero(answers[found[0]] != given)
            return f"None gave these outputs. It names {found[0]} (codes that differ: {differ})."
        if len(right) > 1 and set(found) < set(right):
            return f"{' and '.join(right)} fit both; it names {', '.join(found) or 'none'}."
        asked = f"asked is {', '.join(right) or 'none'}"
        return f"It names {', '.join(found) or 'none'}; {asked}."
    return True


@functools.cache
def _outputs_to_name() -> list[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Outputs that one runtime gave, two, and none; two runtimes differ in one code, by one."""
    random = np.random.default_rng(97)
    one = random.integers(-128, 120, (40, 10)).astype(np.int8)
    one[np.arange(40), random.integers(0, 10, 40)] = 125  # the class, which stays
    single, many = one.copy(), one.copy()
    single[23, int(one[23].argmin())] += 1
    many[::3, int(one[0].argmin())] += 2
    answers = {"reference": one, "tflm": single, "builtin": single.copy(), "xnnpack": many}
    nobody = one.copy()
    nobody[5, int(one[5].argmin())] += 1
    return [(given, answers) for given in (many, one, single, nobody)]


def _names_in(result: object, answers: dict[str, np.ndarray], right: list[str]) -> list[str]:
    """The names that an answer, a list, holds; Remark where it is no list, or they are none."""
    asked = "also for one" if right else "for none, an empty list"
    names = result if isinstance(result, list) else []
    if not isinstance(result, list) or not all(isinstance(name, str) for name in names):
        holds = "a list that holds other things" if names else describe(result)
        raise Remark(f"It returns {holds}; asked is a list of names, {asked}.")
    if strange := [name for name in names if name not in answers]:
        raise Remark(f"It names {describe(strange[0])}; the names are {', '.join(answers)}.")
    if len(set(names)) < len(names):
        raise Remark("It names one of them twice; each once is enough.")
    return names


def _misnamed(given: np.ndarray, answers: dict[str, np.ndarray]) -> list[tuple]:
    """What usual slips name, with a remark of each."""
    gaps = {name: np.abs(codes.astype(int) - given).max() for name, codes in answers.items()}
    return [
        (
            [name for name, gap in gaps.items() if gap],
            "These are the runtimes that do not fit: turn the question round.",
        ),
        (
            [n for n, codes in answers.items() if codes.sum(dtype=int) == given.sum(dtype=int)],
            "It adds the differences up, and differences can cancel.",
        ),
        (
            [name for name, gap in gaps.items() if gap <= 1],
            "It lets a code differ by one. That is what tells runtimes apart.",
        ),
        (list(answers), "It names all: one equal code, or equal classes, is not enough."),
    ]
