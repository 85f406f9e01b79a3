"""A learner's engine: opened, called step by step, and its slips named.

``SLIPS`` are wrong engines, each made of the solution by a change of one place. They serve twice:
an answer that equals a wrong engine's in every case is named by its sentence; and each of them
must fail its step's test, else the test is worth nothing.
"""

import copy
import functools
import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, NoReturn

import numpy as np
import pytest

from lessons_lib import files

TEXT = files.ROOT / "exercises" / "engine.md"
SOLUTION = files.ROOT / "exercises" / "solutions" / "engine.py"
STEPS = {
    1: ("quantize", "dequantize"),
    2: ("accumulate",),
    3: ("multiplier_shift",),
    4: ("requantize",),
    5: ("fully_connected",),
    6: ("conv_2d",),
    7: ("max_pool_2d", "softmax"),
    8: ("run",),
}
FUNCTIONS = [(step, name) for step, names in STEPS.items() for name in names]
MOST_SHOWN = 40  # numbers of a call that is printed
EXACT_DTYPE = {"quantize", "dequantize", "run"}  # elsewhere any whole numbers will do


def step_of(function: str) -> int:
    return next(step for step, names in STEPS.items() if function in names)


class Slip(NamedTuple):
    """A wrong engine: in ``function`` of the solution ``right`` is replaced by ``wrong``.

    In ``part`` instead, where ``function`` calls another one of the solution.
    """

    function: str
    right: str
    wrong: str
    says: str
    part: str = ""

    @property
    def step(self) -> int:
        return step_of(self.function)


IN_8_BITS = "the difference wraps around in 8 bits; widen the codes before you subtract"
NO_INPUT_ZERO_POINT = "the input's zero point is not subtracted from the codes"
ALL_CODES = (
    "it is clipped to -128..127, not to the limits: those of a fused activation are narrower"
)
CUT_OFF = "what is behind the point is cut off; round to the nearest"
ODD_ROW_BEFORE = "of an odd border the larger half stands before; the odd one belongs after"
LESS_THAN_NOTHING = (
    "a window smaller than its stride leaves pixels over, and the border has a negative length; "
    "then nothing is missing: max(..., 0)"
)
FLOAT32_RATIO = "the ratio is computed in float32; make a float64 of each of the three scales first"
IN_FLOAT32 = "np.float32(scales[0]) * np.float32(scales[1]) / np.float32(scales[2])"
BORDER_BEFORE = ("(missing // 2, missing - missing // 2)", "(missing - missing // 2, missing // 2)")
NEGATIVE_BORDER = (
    "max((-(-length // stride) - 1) * stride + span - length, 0)",
    "(-(-length // stride) - 1) * stride + span - length",
)

SLIPS = [
    Slip("quantize", "round_half_away(np", "np.rint(np",
         "ties go to the even neighbour, as np.rint sends them; the kernels round half away"),
    Slip("quantize", "round_half_away(np", "np.floor(np.float32(0.5) + np",
         "floor(x + 0.5) sends -2.5 to -2; the kernels round half away from zero"),
    Slip("quantize", "round_half_away(np",
         "(lambda steps: np.sign(steps) * np.floor(np.abs(steps) + np.float32(0.5)))(np",
         "0.49999997 + 0.5 is 1 in float32; cut off first, then look at what was cut"),
    Slip("quantize", "round_half_away(np", "np.trunc(np", CUT_OFF),
    Slip("quantize", "np.clip(steps, limits.min, limits.max)", "np.int64(steps)",
         "what lies outside the range wraps around; clip before the cast"),
    Slip("quantize", ") + zero_point", ")",
         "the zero point is not added"),
    Slip("dequantize", "- zero_point", "+ zero_point",
         "the zero point is added; real = scale * (q - zero_point)"),
    Slip("dequantize", "q.astype(np.int64)", "q", IN_8_BITS),
    Slip("accumulate", " - zero_point", "",
         "the zero point of x is not subtracted"),
    Slip("accumulate", "x.astype(np.int64) - zero_point", "x - np.int8(zero_point)", IN_8_BITS),
    Slip("accumulate", "int(np.sum(steps * weights)) + int(bias)",
         "int(np.sum(np.float32(steps) * weights) + np.float32(bias))",
         "the sum is made in float32, which has 24 bits; make it of whole numbers"),
    Slip("accumulate", " + int(bias)", "",
         "the bias is not added"),
    Slip("multiplier_shift", "round_half_away(fraction * 2.0**31)", "np.trunc(fraction * 2.0**31)",
         "the multiplier is cut off; round it"),
    Slip("multiplier_shift", "round_half_away(fraction * 2.0**31)", "np.rint(fraction * 2.0**31)",
         "a multiplier half-way between two goes to the even one, as round() and np.rint send it; "
         "the kernels round it up"),
    Slip("multiplier_shift", "carried = multiplier == 2**31", "carried = multiplier < 0",
         "2**31 has 32 bits; where rounding gives it, halve it and raise the shift by one"),
    Slip("multiplier_shift", "shift + carried", "-shift + carried",
         "the shift has the other sign; minus means to the right"),
    Slip("requantize", "steps = shift_ties_away(steps, np.maximum(-shift, 0))",
         "steps = steps >> np.maximum(-shift, 0)",
         "the shift to the right cuts off; add half of 2**n first"),
    Slip("requantize", "steps = shift_ties_away(steps, np.maximum(-shift, 0))",
         "steps = (steps + ((1 << np.maximum(-shift, 0)) >> 1)) >> np.maximum(-shift, 0)",
         "ties of the shift go up; the reference kernels send them away from zero"),
    Slip("requantize", "steps = high_multiply(total << np.maximum(shift, 0), multiplier)",
         "steps = np.int64(round_half_away(total * (multiplier * 2.0 ** (shift - 31))))\n"
         "    return np.clip(steps + zero_point, low, high)",
         "it is rounded once; the high multiplication and the shift round each for itself"),
    Slip("requantize", "high_multiply(total << np.maximum(shift, 0), multiplier)",
         "(total << np.maximum(shift, 0)) * multiplier >> 31",
         "the product is cut off; add 2**30 before you shift it by 31"),
    Slip("requantize", "high_multiply(total << np.maximum(shift, 0), multiplier)",
         "shift_ties_away((total << np.maximum(shift, 0)) * multiplier, 31)",
         "ties of the product go away from zero; the reference kernels send these up"),
    Slip("requantize", "high_multiply(total << np.maximum(shift, 0), multiplier)",
         "high_multiply(total, multiplier) << np.maximum(shift, 0)",
         "the shift to the left comes after the product, which has lost the bits by then"),
    Slip("requantize", "total, shift = np.int64(total), np.int64(shift)", "",
         "an int32 times an int32 wraps around in 32 bits; make the total an int64 first"),
    Slip("requantize", "total << np.maximum(shift, 0)", "total",
         "a shift above 0 goes to the left, before the multiplication; here it is left out"),
    Slip("requantize", "np.clip(steps + zero_point, low, high)", "steps + zero_point",
         "it is not clipped to low..high"),
    Slip("requantize", "np.clip(steps + zero_point, low, high)",
         "np.clip(steps, low, high) + zero_point",
         "it is clipped before the zero point is added"),
    Slip("requantize", "steps + zero_point", "steps",
         "the output's zero point is not added"),
    Slip("fully_connected", "- zero_points[0]", "- zero_points[1]",
         "the zero points are swapped: subtract the input's, add the output's"),
    Slip("fully_connected", "np.clip(steps + zero_points[1], *limits)", "(steps + zero_points[1])",
         "it is not clipped to the limits"),
    Slip("fully_connected", "steps = round_half_away(totals * ratio_of(scales)).astype(np.int64)",
         "steps = requantize(totals, *multiplier_shift(ratio_of(scales)), 0, -(2**40), 2**40)",
         "it is rounded twice, as in a convolution; the reference kernels multiply a dense layer's "
         "sums by the ratio in float64 and round once"),
    Slip("fully_connected", "(x.astype(np.int64) - zero_points[0])",
         "(x - np.int8(zero_points[0])).astype(np.int64)", IN_8_BITS),
    Slip("fully_connected", "(x.astype(np.int64) - zero_points[0])", "x.astype(np.int64)",
         NO_INPUT_ZERO_POINT),
    Slip("fully_connected", "*limits)", "-128, 127)", ALL_CODES),
    Slip("fully_connected", "round_half_away(", "np.trunc(", CUT_OFF),
    Slip("fully_connected", "ratio_of(scales)", f"np.float64({IN_FLOAT32})", FLOAT32_RATIO),
    Slip("fully_connected", "totals * ratio_of(scales)", f"np.float32(totals) * ({IN_FLOAT32})",
         "the ratio and its product with the sum are computed in float32; it is float64 here"),
    Slip("fully_connected", "totals * ratio_of(scales)",
         "totals * np.multiply(*(lambda m, n: (m, 2.0 ** (n - 31)))(\n"
         "        *multiplier_shift(ratio_of(scales))))",
         "the ratio has gone through multiplier and shift, and has 31 bits left; a dense layer "
         "takes it as it is, in float64"),
    Slip("fully_connected", "round_half_away(", "np.rint(",
         "ties go to the even neighbour, as np.rint sends them; the kernels round half away"),
    Slip("fully_connected", "ratio_of(scales)", "np.ravel(ratio_of(scales))[0]",
         "all channels have the first one's ratio; weights have a scale for each output"),
    Slip("fully_connected", " + bias", "",
         "the bias is not added"),
    Slip("conv_2d", "strides, padding, zero_points[0])", "strides, padding, 0)",
         "the border is filled with the code 0; the real number 0 has the code zero_points[0]"),
    Slip("conv_2d", "- zero_points[0]", "- zero_points[1]",
         "the zero points are swapped: subtract the input's, add the output's"),
    Slip("conv_2d", "strides, padding, zero", "strides[::-1], padding, zero",
         "the strides are swapped: first along the rows, then along the columns"),
    Slip("conv_2d", "return requantize(totals, *rule, zero_points[1], *limits).astype(np.int8)",
         "steps = round_half_away(totals * ratio_of(scales)).astype(np.int64)\n"
         "    return np.clip(steps + zero_points[1], *limits).astype(np.int8)",
         "it is rounded once; in a convolution requantize rounds twice"),
    Slip("conv_2d", "seen.astype(np.int64) - zero_points[0]",
         "(seen - np.int8(zero_points[0])).astype(np.int64)", IN_8_BITS),
    Slip("conv_2d", "seen.astype(np.int64) - zero_points[0]", "seen.astype(np.int64)",
         NO_INPUT_ZERO_POINT),
    Slip("conv_2d", "*limits)", "-128, 127)", ALL_CODES),
    Slip("conv_2d", "strides, padding, zero_points[0])", "strides, padding, -128)",
         "the border is filled with -128, as for max-pooling; the real number 0 has the code "
         "zero_points[0]"),
    Slip("conv_2d", "weights.astype", "weights[:, ::-1, ::-1].astype",
         "the filter is turned round, as mathematics' convolution does; here it lies on the "
         "window as it is"),
    Slip("conv_2d", *BORDER_BEFORE, ODD_ROW_BEFORE, "windows"),
    Slip("conv_2d", *NEGATIVE_BORDER, LESS_THAN_NOTHING, "windows"),
    Slip("conv_2d", "ratio_of(scales)", f"np.float64({IN_FLOAT32})", FLOAT32_RATIO),
    Slip("conv_2d", "ratio_of(scales)", "np.ravel(ratio_of(scales))[0]",
         "all channels have the first one's ratio; weights have a scale for each output"),
    Slip("conv_2d", "axes=((4, 5, 3), (1, 2, 3))) + bias", "axes=((4, 5, 3), (1, 2, 3)))",
         "the bias is not added"),
    Slip("max_pool_2d", "strides, padding, np", "size, padding, np",
         "the window moves by its own size; it moves by the strides"),
    Slip("max_pool_2d", "np.iinfo(x.dtype).min", "0",
         "the border of SAME is filled with the code 0, which may be the largest; fill it with "
         "-128, below which nothing is"),
    Slip("max_pool_2d", *BORDER_BEFORE, ODD_ROW_BEFORE, "windows"),
    Slip("max_pool_2d", *NEGATIVE_BORDER, LESS_THAN_NOTHING, "windows"),
    Slip("softmax", "return np.clip(shares - 128",
         "shares = np.exp(np.float64(scale) * (x - x.max(axis=-1, keepdims=True).astype(float)))\n"
         "    shares = np.rint(256 * shares / shares.sum(axis=-1, keepdims=True))\n"
         "    return np.clip(shares - 128",
         "it is computed in floats; the kernels' fixed point now and then gives the next code"),
    Slip("softmax", "shift_ties_away(exps, 12).sum", "(exps >> 12).sum",
         "the exponentials are cut off before they are summed; shift_ties_away(exps, 12)"),
    Slip("softmax", "    difference = np.maximum(difference, -((31 << 26) >> shift))\n"
         "    exps = fixed_point.exp_of_negative(high_multiply(difference << shift, multiplier))",
         "    scaled = high_multiply(difference << shift, multiplier)\n"
         "    exps = fixed_point.exp_of_negative(np.maximum(scaled, -(31 << 26)))",
         "the differences are cut after the product; where scale times largest "
         "difference reaches 64 the product has left 64 bits by then: cut them before the shift"),
    Slip("softmax", "np.maximum(difference, -((31 << 26) >> shift))", "difference",
         "a difference shifted to the left leaves 64 bits; cut it at -((31 << 26) >> shift) first"),
    Slip("softmax", "- x.max(axis=-1, keepdims=True)", "- x.max()",
         "the largest of all rows is subtracted; each row has its own"),
    Slip("softmax", "np.clip(shares - 128, -128, 127)", "(shares - 128)",
         "256 wraps around to the code -128; clip before the cast"),
    Slip("run", 'if activation in ("RELU", "RELU6"):', 'if activation == "none":',
         "the fused RELU is forgotten: nothing may be below the output's zero point"),
    Slip("run", 'if activation == "RELU6":', 'if activation == "none":',
         "the fused RELU6 ends at the code of 6, not at 127"),
    Slip("run", "high = min(high, zero_point", "high = max(low, zero_point",
         "the code of 6 may lie beyond 127, or 255; the codes end there: min(high, ...)"),
    Slip("run", "[limits_of(options, target)]",
         "[limits_of(options, target) if function is conv_2d else (-128, 127)]",
         "the activation of a dense layer is forgotten; it has one as a convolution has"),
    Slip("run", "return values[graph.outputs[0]]", "return dequantize(\n"
         "        values[graph.outputs[0]], *grid(tensors[graph.outputs[0]])[:2])",
         "the outputs are real numbers; run returns the codes"),
]  # fmt: skip


def section(step: int) -> str:
    """What the text says about a step."""
    return re.split(r"^## Step \d: ", TEXT.read_text("utf-8"), flags=re.MULTILINE)[step]


def example(step: int) -> str:
    """The lines of a step's example, with the answers that the text prints."""
    return "\n".join(re.findall(r"```pycon\n(.+?)```", section(step), re.DOTALL))


def opened(path: Path) -> ModuleType:
    """The engine in a file, as a module."""
    spec = importlib.util.spec_from_file_location("learners_engine", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@functools.cache
def wrong(slip: Slip) -> ModuleType:
    """The solution with the slip in it."""
    source = SOLUTION.read_text("utf-8")
    whole = slip.function == "run"  # and what it is made of
    start = source.index("# ---- step 8" if whole else f"def {slip.part or slip.function}(")
    end = len(source) if whole else source.index("\n\n\n", start)
    body = source[start:end]
    assert body.count(slip.right) == 1, f"{slip.function} has {slip.right!r} not once"
    module = ModuleType("wrong_engine")
    exec(source[:start] + body.replace(slip.right, slip.wrong) + source[end:], vars(module))
    return module


def written(engine: ModuleType, name: str, in_example: bool = False):
    """A function of the engine; skips the test where it is not written.

    An empty one returns None. In an example it is called once, and that tells it.
    """
    if not hasattr(engine, name):
        not_there(name)

    def called(*arguments):
        try:
            found = getattr(engine, name)(*copy.deepcopy(arguments))  # it may write into them
        except NotImplementedError:
            not_there(name)
        if found is None and in_example:
            not_there(name, ": it returns None")
        return found

    return called


def not_there(name: str, why: str = "") -> NoReturn:
    pytest.skip(f"step {step_of(name)}: {name} is not there yet{why}")


def judge(engine: ModuleType, name: str, cases: Callable[[], list[tuple]]) -> None:
    """Fail where an answer is not the expected one; name the first such case, and the slip.

    ``cases`` makes them: where the function is not written, none are made.
    """
    function = written(engine, name)
    pairs = [(case, answer(function, case[1])) for case in cases()]
    if all(found is None for _, found in pairs):
        not_there(name, ": it returns None")
    bad = [(case, found) for case, found in pairs if not same(name, found, case[2])]
    if bad:
        fail(name, len(pairs), bad, *named(name, pairs, bad))


def fail(name: str, count: int, bad: list, shown: list, slip: str) -> NoReturn:
    """Fail with the smallest of the cases to be ``shown``; an error of the engine goes on."""
    (what, arguments, expected), found = min(shown, key=lambda pair: numbers(pair[0][1]))
    lines = [f"{name}: {len(bad)} of {count} cases are wrong. One of them ({what}):"]
    if numbers(arguments) < MOST_SHOWN:
        lines += [f"called with {arguments}"]
    lines += [difference(name, found, expected), slip]
    if name == "run":
        lines += [f"Its file and its images: {to_follow_up(what, *arguments)}."]
    said = "\n".join(filter(None, lines))
    if isinstance(found, Exception):
        found.add_note(said)
        raise found
    pytest.fail(said, pytrace=False)


def answer(function: Callable, arguments: tuple) -> object:
    """What the function gives; the error in which it ends."""
    try:
        return function(*arguments)
    except Exception as error:
        return error


def named(name: str, pairs: list, bad: list) -> tuple[list, str]:
    """The wrong answers to be shown, and a sentence about the slip that gives them.

    That is a slip that gives all of the answers, else the one that gives the most wrong ones.
    """
    slips = [slip for slip in SLIPS if slip.function == name]
    for slip in slips:
        if explains(slip, pairs):
            return bad, f"A slip gives the same answers: {slip.says}."
    given = [[pair for pair in bad if explains(slip, [pair])] for slip in slips]
    most = max(range(len(slips)), key=lambda number: len(given[number]))
    if not given[most]:
        return bad, ""
    return given[most], (
        "No known slip gives all of the answers. "
        f"One gives {len(given[most])} of the wrong ones, also here: {slips[most].says}."
    )


def to_follow_up(what: str, content: bytes, images: np.ndarray) -> str:
    """Keep a case of step 8 for the learner; say where."""
    path = files.artifacts("my_engine") / f"{what.replace(' ', '_')}.tflite"
    files.write_atomic(path, content)
    np.save(path.with_suffix(".npy"), images)
    return f"{path} and {path.with_suffix('.npy').name}"


def numbers(arguments: tuple) -> int:
    """How many numbers a function is called with."""
    return sum(numbers(part) if isinstance(part, tuple) else np.size(part) for part in arguments)


def same(name: str, found: object, expected: object) -> bool:
    if isinstance(found, Exception):
        return type(found) is type(expected)
    found, expected = np.asarray(found), np.asarray(expected)
    whole = found.dtype.kind in "iu"
    kind = found.dtype == expected.dtype if name in EXACT_DTYPE else whole
    return kind and found.shape == expected.shape and np.array_equal(found, expected)


def difference(name: str, found: object, expected: object) -> str:
    """Say in one line what is wrong with a result."""
    if found is None or isinstance(found, Exception):
        return "the result is None." if found is None else f"it ends in {type(found).__name__}."
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape:
        return f"the result has shape {found.shape}, expected {expected.shape}."
    if name in EXACT_DTYPE and found.dtype != expected.dtype:
        return f"the result is {found.dtype}, expected {expected.dtype}."
    if found.dtype.kind not in "iu" and name not in EXACT_DTYPE:
        return f"the result is {found.dtype}, expected whole numbers."
    differ = found != expected
    place = tuple(int(axis[0]) for axis in np.nonzero(np.atleast_1d(differ)))
    first = f"{np.atleast_1d(found)[place]}, expected {np.atleast_1d(expected)[place]}"
    where = f" at {list(place)}" if expected.size > 1 else ""
    return f"{np.count_nonzero(differ)} of {expected.size} differ; the first{where} is {first}."


def explains(slip: Slip, pairs: list) -> bool:
    """Whether the wrong engine gives all of these answers."""
    function = getattr(wrong(slip), slip.function)
    with np.errstate(all="ignore"):
        return all(
            same(slip.function, found, answer(function, copy.deepcopy(arguments)))
            for (_, arguments, _), found in pairs
        )
