"""The checks of lesson 09 accept right answers, refuse wrong ones, and wait for the rest."""

import math

import numpy as np
import pytest

from lessons_lib import affine, checks, integer_engine, micro, reader, runtime, tables, unseen
from lessons_lib.course.checks import lesson09
from lessons_lib.numbers.fixed_point import double_rounding, high_multiply, shift_ties_away
from verdicts import Answers, class_of_tests


def requantize(total, multiplier, shift):
    high, half = high_multiply(total, multiplier), (1 << -shift) >> 1
    return np.where(high >= 0, (high + half) >> -shift, -((half - high) >> -shift))


def by_sign(total, multiplier, shift):
    high = (np.asarray(total) * multiplier + 2**30) // 2**31
    return np.sign(high) * ((np.abs(high) + 2 ** (-shift - 1)) // 2**-shift)


def by_correction(total, multiplier, shift):
    n = -shift
    high = (total * multiplier + (1 << 30)) >> 31
    return (high + (1 << (n - 1)) - (np.asarray(high) < 0)) >> n


@np.vectorize
def one_by_one(total, multiplier, shift):
    high = (int(total) * int(multiplier) + 2**30) // 2**31
    half = 2 ** int(-shift) // 2
    return (high + half) // (2 * half) if high > 0 else -((half - high) // (2 * half))


def as_lists(total, multiplier, shift):
    return np.asarray(requantize(total, multiplier, shift)).tolist()


def with_if(total, multiplier, shift):
    high, half = high_multiply(total, multiplier), (1 << -shift) >> 1
    return (high + half) >> -shift if high >= 0 else -((half - high) >> -shift)


def stepwise(first, second):
    """A requantize of these two divisions, (number, bits) each."""
    return lambda total, multiplier, shift: second(first(total * multiplier, 31), -shift)


def up(x, n):
    return (x + (1 << (n - 1))) >> n


def down(x, n):
    return x >> n


def away(x, n):
    return np.where(x < 0, -up(-x, n), up(x, n))


def to_even(x, n):
    return np.rint(x / 2.0**n).astype(int)


def cut(x, n):
    return np.trunc(x / 2.0**n).astype(int)


def by_floats(total, multiplier, shift):
    high = np.floor(total * multiplier / 2**31 + 0.5)
    return (np.sign(high) * np.floor(np.abs(high) / 2.0**-shift + 0.5)).astype(int)


def in_floats_at_last(total, multiplier, shift):
    return np.float64(1) * requantize(total, multiplier, shift)


def rounded_once(total, multiplier, shift):
    return affine.round_half_away(total * (multiplier / 2.0**31) * 2.0**shift).astype(int)


def dense(x, layer, rule):
    sums = (x.astype(np.int32) - layer.zero_point_in) @ layer.weights.T + layer.bias
    codes = rule(sums, layer) + layer.zero_point_out
    return np.minimum(np.maximum(codes, layer.low), 127).astype(np.int8)


def expanded(x, layer, rule):
    """The input's zero point comes off the sum, as fast kernels do it."""
    offset = layer.bias - layer.zero_point_in * layer.weights.sum(axis=1)
    sums = x.astype(int) @ layer.weights.T + offset
    return np.clip(rule(sums, layer), layer.low - layer.zero_point_out, 127 - layer.zero_point_out)


def with_offset(x, layer, rule):
    return (expanded(x, layer, rule) + layer.zero_point_out).astype("int8")


def by_einsum(x, layer, rule):
    steps = x.astype(int) - layer.zero_point_in
    sums = np.einsum("ni,oi->no", steps, layer.weights) + layer.bias
    return np.int8(np.clip(rule(sums, layer) + layer.zero_point_out, layer.low, 127))


def row_by_row(x, layer, rule):
    rows = []
    for row in x:
        sums = [
            sum((int(c) - layer.zero_point_in) * int(w) for c, w in zip(row, weights, strict=True))
            for weights in layer.weights
        ]
        codes = rule(np.array(sums) + layer.bias, layer) + layer.zero_point_out
        rows.append(np.clip(codes, layer.low, 127).astype(np.int8))
    return np.stack(rows)


def slipped(take=int, zero=1, bias=1, late=0, out=1, low=None, ends=True, last=np.int8, own=False):
    """A dense layer with slips; the defaults have none."""

    def layer_of(x, layer, rule):
        x = (x.astype(int) - zero * layer.zero_point_in).astype(take)
        sums = x.astype(int) @ layer.weights.T + bias * layer.bias
        steps = double_rounding(sums, layer.multiplier, layer.shift) if own else rule(sums, layer)
        codes = steps + out * layer.zero_point_out + late * layer.bias
        bottom = layer.low if low is None else low
        return (np.clip(codes, bottom, 127) if ends else codes).astype(last)

    return layer_of


def steps_of(x, layer, rule):
    return rule(sums_alone(x, layer, rule), layer) + layer.zero_point_out


def spoils(x, layer, rule):
    codes = lesson09.dense(x, layer, rule)
    layer.bias[:] = 0
    return codes


def clipped_first(x, layer, rule):
    steps = np.clip(rule(sums_alone(x, layer, rule), layer), layer.low, 127)
    return (steps + layer.zero_point_out).astype(np.int16)


def sums_alone(x, layer, rule):
    return (x.astype(int) - layer.zero_point_in) @ layer.weights.T + layer.bias


def not_turned(x, layer, rule):
    return x.astype(int) @ layer.weights


def extremes(content, run):
    """Each output's largest and smallest code, found by the signs of its weights."""
    (name,) = tables.tensors(content).query("role == 'weight'")["name"]
    most = np.where(reader.constant(content, name) > 0, 127, -128).astype(np.int8)
    return run(content, most).diagonal(), run(content, ~most).diagonal()


def stuck(content):
    highest, lowest = extremes(content, integer_engine.run)
    return np.flatnonzero(highest == lowest)


def stuck_by_runtime(content):
    highest, lowest = extremes(content, lambda content, x: runtime.Model(content).run(x))
    return {int(k) for k in np.flatnonzero(highest == lowest)}


def stuck_by_bounds(content):
    lowest, highest = lesson09._range_of_codes(content)
    return [k for k in range(len(lowest)) if lowest[k] == highest[k]]


def stuck_by_chance(content):
    x = np.random.default_rng(1).integers(-128, 128, (500, 8)).astype(np.int8)
    return np.flatnonzero(np.ptp(runtime.Model(content).run(x).astype(int), axis=0) == 0)


def stuck_at_the_top(content):
    return [k for k in stuck(content) if extremes(content, integer_engine.run)[1][k] == 127]


def stuck_when_alike(content):
    low, high = runtime.Model(content).run(np.int8([[-128] * 8, [127] * 8]))
    return np.flatnonzero(low == high)


def stuck_from_one(content):
    return stuck(content) + 1


def moving(content):
    return [k for k in range(6) if k not in stuck(content)]


def bounds(scale, zero_point):
    return zero_point, min(127, zero_point + int(np.floor(6 / scale + 0.5)))


def by_the_library(scale, zero_point):
    return affine.quantize([0.0, 6.0], scale, zero_point)


def in_floats(scale, zero_point):
    return [float(zero_point), float(np.clip(np.rint(6 / scale) + zero_point, -128, 127))]


def not_clipped(scale, zero_point):
    return zero_point, zero_point + round(6 / scale)


def cut_off(scale, zero_point):
    return zero_point, min(127, zero_point + int(6 / scale))


def not_rounded(scale, zero_point):
    return zero_point, min(127, zero_point + 6 / scale)


def without_zero_point(scale, zero_point):
    return 0, min(127, round(6 / scale))


def windows(x):
    n, height, width, channels = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2, channels)


def sums_of(x):
    return windows(x).sum(axis=(2, 4), dtype=int)


def average_pool(x):
    sums = sums_of(x)
    return np.where(sums >= 0, (sums + 2) // 4, -((2 - sums) // 4)).astype(np.int8)


def by_shifts(x):
    return shift_ties_away(sums_of(x), 2).astype(np.int8)


def by_slices(x):
    x = x.astype(np.int32)
    sums = x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]
    return (np.sign(sums) * ((np.abs(sums) + 2) // 4)).astype(np.int8)


def by_loops(x):
    n, height, width, channels = x.shape
    means = np.zeros((n, height // 2, width // 2, channels), np.int8)
    for place in np.ndindex(means.shape):
        image, row, column, channel = place
        window = x[image, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2, channel]
        total = sum(int(code) for code in window.ravel())
        means[place] = (abs(total) + 2) // 4 * (1 if total > 0 else -1)
    return means


def named_like_floats(x):
    half, single = 2, sums_of(x)
    return np.where(single < 0, -((half - single) // 4), (single + half) // 4).astype(np.int8)


def with_floats(x):
    return np.trunc(sums_of(x) / 4 + np.sign(sums_of(x)) / 2).astype(np.int8)


def with_copied_floats(x):
    means = np.asarray(windows(x), np.float32).mean(axis=(2, 4))
    return np.trunc(means + np.copysign(0.5, means)).astype(np.int8)


def rounded_down(x):
    return (sums_of(x) // 4).astype(np.int8)


def half_up(x):
    return ((sums_of(x) + 2) // 4).astype(np.int8)


def half_to_even(x):
    floor, rest = sums_of(x) // 4, sums_of(x) % 4
    return (floor + (rest > 2) + ((rest == 2) & (floor % 2 == 1))).astype(np.int8)


def overflowing(x):
    return (windows(x).sum(axis=(2, 4), dtype=np.int8) // 4).astype(np.int8)


def not_cast(x):
    return average_pool(x).astype(np.int64)


def by_loop(given, answers):
    found = []
    for name in answers:
        if np.count_nonzero(answers[name] - given) == 0:
            found.append(name)
    return found


def nearest(given, answers):
    counts = {name: (codes != given).sum() for name, codes in answers.items()}
    return [name for name in counts if counts[name] == min(counts.values())]


ANSWERS = {
    checks.check_two_roundings: Answers(
        right={
            "by a mirror image": requantize,
            "by sign, with //": by_sign,
            "by a correction of negative ones": by_correction,
            "by the library": double_rounding,
            "by np.vectorize": one_by_one,
            "by two functions": stepwise(up, away),
            "as lists": as_lists,
        },
        wrong={
            "once": (rounded_once, "It is rounded once"),
            "not rounded": (lambda t, m, s: t * m * 2.0 ** (s - 31), "It is not rounded"),
            "halves up, twice": (stepwise(up, up), "halves below zero go up"),
            "to even": (stepwise(up, to_even), "to the even neighbour"),
            "the second down": (stepwise(up, down), "in the second division, add half"),
            "the second cut": (stepwise(up, cut), "the rest is cut off"),
            "the first down": (stepwise(down, away), "in the first division, add half"),
            "both down": (stepwise(down, down), "both times"),
            "the first away": (stepwise(away, away), "The first sends halves up"),
            "no shift": (lambda t, m, s: high_multiply(t, m), "the shift is missing"),
            "to the left": (lambda t, m, s: high_multiply(t, m) << -s, "goes to the right"),
            "shift as it is": (lambda t, m, s: double_rounding(t, m, -s), "steps are others"),
            "by 2**32": (lambda t, m, s: requantize(t, m // 2, s), "% of the steps are others"),
            "one sum only": (with_if, "works for one sum, not for arrays"),
            "with floats": (by_floats, "not made of whole numbers only"),
            "as floats": (in_floats_at_last, "not made of whole numbers only"),
            "math.floor": (lambda t, m, s: math.floor(t * m / 2**31), "not for arrays"),
            "a number": (-13, "asked is a function"),
            "flattened": (lambda t, m, s: np.ravel(requantize(t, m, s)), "it returns shape (360,)"),
            "two": (lambda t, m, s: (1, 2), "asked is one whole number"),
        },
    ),
    checks.check_dense_codes: Answers(
        right={
            "step by step": dense,
            "the zero point comes off the sum": with_offset,
            "by einsum": by_einsum,
            "row by row": row_by_row,
            "the course's": lesson09.dense,
        },
        wrong={
            "no zero point": (slipped(zero=0), "The input's zero point is missing"),
            "added": (slipped(zero=-1), "Subtract the zero point"),
            "in int8": (slipped(take=np.int8), "does not fit into int8"),
            "no bias": (slipped(bias=0), "The bias is missing"),
            "no rule": (lambda x, layer, rule: dense(x, layer, lambda sums, _: sums), "is missing"),
            "taken off": (slipped(out=-1), "The output's zero point is added"),
            "the layer's bias is gone": (spoils, "It changes `layer`"),
            "no upper end": (
                lambda x, layer, rule: np.maximum(steps_of(x, layer, rule), layer.low).astype("i1"),
                "It is not clipped",
            ),
            "a late bias": (slipped(bias=0, late=1), "The bias comes before the rule"),
            "no zero point at the end": (slipped(out=0), "The output's zero point is missing"),
            "clipped first": (clipped_first, "Clip last"),
            "not clipped": (slipped(ends=False), "It is not clipped"),
            "not clipped, int64": (slipped(ends=False, last=int), "It is not clipped"),
            "no activation": (slipped(low=-128), "The activation is missing"),
            "from 0": (slipped(low=0), "The lower end is `layer.low`"),
            "sums": (sums_alone, "These are the sums"),
            "its own rule": (slipped(own=True), "is not used"),
            "not cast": (slipped(last=int), "cast them to np.int8"),
            "steps": (expanded, "% of the codes are others"),
            "not turned": (not_turned, "raised ValueError"),
            "other shape": (lambda *given: dense(*given)[:, :3], "it returns shape (30, 3)"),
            "codes": (np.zeros((30, 5), np.int8), "asked is a function"),
        },
    ),
    checks.check_stuck_outputs: Answers(
        right={
            "by the engine": stuck,
            "by the runtime, a set": stuck_by_runtime,
            "by bounds, a list": stuck_by_bounds,
            "a tuple": lambda content: tuple(stuck(content)),
        },
        wrong={
            "random inputs": (stuck_by_chance, "output 2 is not stuck, it goes from -128 to -112"),
            "why not": (stuck_by_chance, "Random inputs hardly ever show it"),
            "at the top only": (stuck_at_the_top, "1 of its stuck outputs are not found"),
            "all inputs alike": (stuck_when_alike, "changed: output"),
            "never": (lambda content: [], "2 of its stuck outputs are not found"),
            "all": (lambda content: range(6), "output 0 is not stuck"),
            "numbered from 1": (stuck_from_one, "is not stuck"),
            "those that move": (moving, "output 0 is not stuck"),
            "of one file": (lambda content: [1, 4], "output 1 is not stuck"),
            "no such output": (lambda content: [6], "outputs are numbered 0 to 5"),
            "halves": (lambda content: [0.5], "outputs are numbered 0 to 5"),
            "a list": ([1, 4], "asked is a function"),
            "raises": (lambda content: content.nothing, "raised AttributeError"),
        },
    ),
    checks.check_three_roundings: Answers(
        right={
            "a tuple": (-2, -1, -2, -1, 0, 0),
            "an array of rows": np.array([(-2, -1, -2), (-1, 0, 0)]),
            "floats": [-2.0, -1.0, -2.0, -1.0, 0.0, -0.0],
            "nested": ((-2, -1, -2), (-1, 0, 0)),
            "an iterator": iter((-2, -1, -2, -1, 0, 0)),
        },
        wrong={
            "by runtime": ((-2, -1, -1, 0, -2, 0), "All three for -44 come first"),
            "no zero point": ((-6, -5, -6, -5, -4, -4), "The zero point is missing"),
            "to even": ((-2, -1, -1, -1, 0, 0), "To the even neighbour"),
            "away and up swapped": ((-1, -2, -2, 0, -1, 0), "goes up"),
            "all up": ((-1, -1, -2, 0, 0, 0), "TFLite-Micro rounds a tie away"),
            "all away": ((-2, -2, -2, -1, -1, 0), "The builtin kernels round a tie up"),
            "not rounded": ((-1.5,) * 3 + (-0.5,) * 3, "Codes are whole numbers"),
            "off by one": ((-2, -1, -2, -1, 0, -1), "Not right: XNNPACK for -36."),
            "two at once": (
                [[-2, 5, -2], [-1, 7, 0]],
                "Not right: the builtin kernels for -44, the builtin kernels for -36.",
            ),
            "three": ((-2, -1, -2), "holds 3 numbers; 6 are asked"),
            "one": (-2, "holds 1 number"),
        },
    ),
    checks.check_relu6_bounds: Answers(
        right={"by hand": bounds, "by the library": by_the_library, "in floats": in_floats},
        wrong={
            "not clipped": (not_clipped, "a code ends at 127"),
            "rounded up": (
                lambda s, z: (z, min(127, z + math.ceil(round(6 / s, 9)))),
                "round to the nearest step",
            ),
            "from the lowest code": (lambda s, z: (-128, bounds(s, z)[1]), "that of the real 0"),
            "cut off": (cut_off, "round to the nearest step"),
            "not rounded": (not_rounded, "codes are whole numbers"),
            "no zero point": (without_zero_point, "the zero point is missing"),
            "swapped": (lambda *given: bounds(*given)[::-1], "the low one comes first"),
            "one bound": (lambda *given: bounds(*given)[1], "What your function returns holds 1"),
            "numbers": ((0, 6), "asked is a function"),
            "no return": (lambda scale, zero_point: print(end=""), "`return` missing"),
            "one argument": (lambda scale: (0, 6), "raised TypeError"),
        },
    ),
    checks.check_average_pool: Answers(
        right={
            "by a mirror image": average_pool,
            "by the lesson's shift": by_shifts,
            "by slices": by_slices,
            "by loops": by_loops,
            "with variables named half and single": named_like_floats,
        },
        wrong={
            "rounded down": (rounded_down, "always rounded down"),
            "cut off": (lambda x: (sums_of(x) / 4).astype(np.int8), "It is cut off"),
            "not rounded": (lambda x: sums_of(x) / 4, "It is not rounded"),
            "half up": (half_up, "A negative tie goes up"),
            "half to even": (half_to_even, "to the even neighbour"),
            "with floats": (with_floats, "not made of integers only: divide gives float64"),
            "with a copy in floats": (with_copied_floats, "not made of integers only: `float32`"),
            "overflowing": (overflowing, "does not fit into int8"),
            "sums": (sums_of, "divide by 4"),
            "not cast": (not_cast, "cast them to np.int8"),
            "another shape": (lambda x: average_pool(x)[:, 1:], "For codes of shape"),
            "None": (None, "asked is a function"),
            "codes": (average_pool(np.zeros((1, 2, 2, 1), np.int8)), "asked is a function"),
        },
    ),
    checks.check_fitting_runtimes: Answers(
        right={
            "a list": lesson09.fitting,
            "a loop": by_loop,
            "any": lambda given, answers: [n for n in answers if not (answers[n] != given).any()],
            "from a generator": lambda given, answers: list(
                n for n in answers if (answers[n] == given).all()
            ),
            "bytes": lambda given, answers: [
                n for n, codes in answers.items() if codes.tobytes() == given.tobytes()
            ],
            "backwards": lambda given, answers: lesson09.fitting(given, answers)[::-1],
        },
        wrong={
            "classes": (
                lambda given, answers: [
                    n for n in answers if (answers[n].argmax(1) == given.argmax(1)).all()
                ],
                "equal classes, is not enough",
            ),
            "one code": (
                lambda given, answers: [n for n in answers if (answers[n] == given).any()],
                "one equal code",
            ),
            "within one": (
                lambda given, answers: [
                    n for n in answers if np.allclose(answers[n], given, atol=1)
                ],
                "lets a code differ by one",
            ),
            "nearest": (
                nearest,
                "None gave these outputs. It names reference (codes that differ: 1)",
            ),
            "the first": (
                lambda given, answers: lesson09.fitting(given, answers)[:1],
                "tflm and builtin fit both; it names tflm",
            ),
            "the others": (
                lambda given, answers: [n for n in answers if (answers[n] != given).any()],
                "turn the question round",
            ),
            "a name": (
                lambda given, answers: (lesson09.fitting(given, answers) or ["none"])[0],
                "asked is a list of names",
            ),
            "flags": (
                lambda given, answers: [(answers[n] == given).all() for n in answers],
                "asked is a list of names",
            ),
            "counts": (
                lambda given, answers: {(answers[n] != given).sum(): n for n in answers},
                "asked is a list of names",
            ),
            "another name": (
                lambda given, answers: ["tensorflow"],
                "the names are reference, tflm",
            ),
            "never": (lambda given, answers: [], "It names none; asked is xnnpack"),
            "a set": (
                lambda given, answers: set(lesson09.fitting(given, answers)),
                "It returns a set of 1; asked is a list",
            ),
            "a tuple": (lambda given, answers: tuple(lesson09.fitting(given, answers)), "a tuple"),
            "a dictionary": (
                lambda given, answers: dict.fromkeys(lesson09.fitting(given, answers)),
                "It returns a dict of 1; asked is a list",
            ),
            "a generator": (
                lambda given, answers: (n for n in lesson09.fitting(given, answers)),
                "It returns a generator; asked is a list",
            ),
            "an array": (
                lambda given, answers: np.array(lesson09.fitting(given, answers), str),
                "It returns an array of texts",
            ),
            "None for none": (
                lambda given, answers: lesson09.fitting(given, answers) or None,
                "for none, an empty list",
            ),
            "twice": (
                lambda given, answers: lesson09.fitting(given, answers) * 2,
                "one of them twice",
            ),
            "the sum": (
                lambda given, answers: [n for n in answers if np.sum(answers[n] - given) == 0],
                "differences can cancel",
            ),
            "a list of names": (["xnnpack"], "asked is a function"),
            "one argument": (lambda given: [], "raised TypeError"),
            "nothing": (lambda given, answers: print(end=""), "`return` missing"),
        },
    ),
}

TestAnswers = class_of_tests(ANSWERS)


@pytest.mark.parametrize("kernels", ["reference", "builtin", "xnnpack", "tflm"])
def test_the_unseen_files_have_what_they_hide(kernels):
    """One output of both moves for hardly any input; two of the bad one for none."""
    if kernels == "tflm" and not micro.installed():
        pytest.skip("TFLite-Micro is not installed")

    def run(content, x):
        return (
            micro.run(content, x)
            if kernels == "tflm"
            else runtime.Model(content, kernels=kernels).run(x)
        )

    for name, expected in zip(lesson09._VALVES, ([], [1, 4]), strict=True):
        content = unseen.path(name).read_bytes()
        highest, lowest = extremes(content, run)
        assert np.flatnonzero(highest == lowest).tolist() == expected
        x = np.random.default_rng(2).integers(-128, 128, (400, 8)).astype(np.int8)
        seen = np.ptp(run(content, x).astype(int), axis=0) == 0
        assert np.flatnonzero(seen).tolist() == sorted({2, *expected})


def test_the_right_dense_layer_is_the_engine_s():
    """Of a real file, by TFLite-Micro's rule."""
    content = unseen.path("09_valve_a.tflite").read_bytes()
    x = np.random.default_rng(3).integers(-128, 128, (200, 8)).astype(np.int8)
    codes = lesson09.dense(x, lesson09._layer_of(content), lesson09._twice)
    np.testing.assert_array_equal(codes, integer_engine.run(content, x, kernels="tflm"))


def test_the_hidden_files_are_the_same_layer_in_another_order_but_for_one_output():
    name = "09_valve_b.tflite"
    ranges = [
        lesson09._range_of_codes(lesson09._valves()[key]) for key in (name, f"{name}, changed")
    ]
    same = np.delete(np.arange(6), 2)
    np.testing.assert_array_equal(np.roll(ranges[0], 2, axis=1)[:, same], ranges[1][:, same])
    low, high = runtime.Model(lesson09._valves()[f"{name}, changed"]).run(
        np.int8([[-128] * 8, [127] * 8])
    )
    assert low[2] == high[2]
    assert ranges[1][0, 2] < ranges[1][1, 2]
