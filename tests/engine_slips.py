"""A learner's engine: opened, called step by step, and its slips named.

``SLIPS`` are wrong engines, each made of the solution by a change of one place. They serve twice:
an answer that equals a wrong engine's in every case is named by its sentence; and each of them
must fail its step's test, else the test is worth nothing.
"""

import copy
import functools
import importlib.util
import re
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

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
    """A wrong engine: in ``function`` of the solution ``right`` is replaced by ``wrong``."""

    function: str
    right: str
    wrong: str
    says: str

    @property
    def step(self) -> int:
        return step_of(self.function)


SLIPS = [
    Slip("quantize", "round_half_away(np", "np.rint(np",
         "ties go to the even neighbour, as np.rint sends them; the kernels round half away"),
    Slip("quantize", "round_half_away(np", "np.floor(np.float32(0.5) + np",
         "floor(x + 0.5) sends -2.5 to -2; the kernels round half away from zero"),
    Slip("quantize", "round_half_away(np", "np.trunc(np",
         "what is behind the point is cut off; round to the nearest"),
    Slip("quantize", "np.clip(steps, limits.min, limits.max)", "np.int64(steps)",
         "what lies outside the range wraps around; clip before the cast"),
    Slip("quantize", ") + zero_point", ")",
         "the zero point is not added"),
    Slip("dequantize", "- zero_point", "+ zero_point",
         "the zero point is added; real = scale * (q - zero_point)"),
    Slip("dequantize", "q.astype(np.int64)", "q",
         "the difference wraps around in 8 bits; widen the codes before you subtract"),
    Slip("accumulate", " - zero_point", "",
         "the zero point of x is not subtracted"),
    Slip("accumulate", "x.astype(np.int64) - zero_point", "x - np.int8(zero_point)",
         "the difference wraps around in 8 bits; widen the codes before you subtract"),
    Slip("accumulate", " + int(bias)", "",
         "the bias is not added"),
    Slip("multiplier_shift", "round_half_away(fraction * 2.0**31)", "np.trunc(fraction * 2.0**31)",
         "the multiplier is cut off; round it"),
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
    Slip("conv_2d", "ratio_of(scales)", "np.ravel(ratio_of(scales))[0]",
         "all channels have the first one's ratio; weights have a scale for each output"),
    Slip("conv_2d", "axes=((4, 5, 3), (1, 2, 3))) + bias", "axes=((4, 5, 3), (1, 2, 3)))",
         "the bias is not added"),
    Slip("max_pool_2d", "strides, padding, np", "size, padding, np",
         "the window moves by its own size; it moves by the strides"),
    Slip("max_pool_2d", "np.iinfo(x.dtype).min", "0",
         "the border of SAME is filled with the code 0, which may be the largest; fill it with "
         "-128, below which nothing is"),
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
    start = source.index("# ---- step 8" if whole else f"def {slip.function}(")
    end = len(source) if whole else source.index("\n\n\n", start)
    body = source[start:end]
    assert body.count(slip.right) == 1, f"{slip.function} has {slip.right!r} not once"
    module = ModuleType("wrong_engine")
    exec(source[:start] + body.replace(slip.right, slip.wrong) + source[end:], vars(module))
    return module


def written(engine: ModuleType, name: str):
    """A function of the engine; skips the test where it is not written."""
    missing = f"step {step_of(name)}: {name} is not there yet"
    if not hasattr(engine, name):
        pytest.skip(missing)

    def called(*arguments):
        try:
            return getattr(engine, name)(*copy.deepcopy(arguments))  # it may write into them
        except NotImplementedError:
            pytest.skip(missing)

    return called


def judge(engine: ModuleType, name: str, cases: Iterable[tuple]) -> None:
    """Fail where an answer is not the expected one; name the first such case, and the slip."""
    function = written(engine, name)
    answers = [function(*arguments) for _, arguments, _ in cases]
    pairs = list(zip(cases, answers, strict=True))
    bad = [(case, found) for case, found in pairs if not same(name, found, case[2])]
    if not bad:
        return
    (what, arguments, expected), found = min(bad, key=lambda pair: numbers(pair[0][1]))
    lines = [f"{name}: {len(bad)} of {len(cases)} cases are wrong. One of them ({what}):"]
    if numbers(arguments) < MOST_SHOWN:
        lines += [f"called with {arguments}"]
    lines += [difference(name, found, expected)]
    slips = (slip for slip in SLIPS if slip.function == name)
    lines += [
        f"A slip gives the same answers: {slip.says}." for slip in slips if explains(slip, pairs)
    ][:1]
    pytest.fail("\n".join(lines), pytrace=False)


def numbers(arguments: tuple) -> int:
    """How many numbers a function is called with."""
    return sum(numbers(part) if isinstance(part, tuple) else np.size(part) for part in arguments)


def same(name: str, found: object, expected: object) -> bool:
    found, expected = np.asarray(found), np.asarray(expected)
    whole = found.dtype.kind in "iu"
    kind = found.dtype == expected.dtype if name in EXACT_DTYPE else whole
    return kind and found.shape == expected.shape and np.array_equal(found, expected)


def difference(name: str, found: object, expected: object) -> str:
    """Say in one line what is wrong with a result."""
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
    try:
        function = getattr(wrong(slip), slip.function)
        with np.errstate(all="ignore"):
            return all(
                same(slip.function, found, function(*copy.deepcopy(arguments)))
                for (_, arguments, _), found in pairs
            )
    except Exception:  # a wrong engine may end in any error; then it explains nothing
        return False
