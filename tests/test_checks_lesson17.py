"""The checks of lesson 17 accept right answers, refuse wrong ones, and wait for the rest."""

import functools
import importlib.util
import itertools
import tempfile
from pathlib import Path

import numpy as np
import pytest

import reference
from lessons_lib import (
    arena,
    board,
    c_source,
    checks,
    firmware,
    integer_engine,
    reader,
    runtime,
    unseen,
)
from lessons_lib.course.checks import lesson17
from verdicts import Answers, class_of_tests

RIGHT = {"a": 48, "b": 0, "c": 48, "d": 0}
HEAD = f"{lesson17.PROTOTYPE} {{\n"
PRODUCT = "  int64_t product = (int64_t)sum * multiplier;\n"
FIRST = "  int32_t high = (int32_t)((product + (1 << 30)) >> 31);\n"
SECOND = "  high = (high + (1 << (-shift - 1)) + (high >> 31)) >> -shift;\n"
CLIP = """  int32_t code = high_of + zero_point;
  if (code < low) return (int8_t)low;
  return (int8_t)(code > high ? high : code);
}
"""


def written(product=PRODUCT, first=FIRST, second=SECOND, ends=CLIP, before=""):
    """A function in C from its four steps; inside, ``high`` is the third one's argument."""
    steps = (first + second).replace("high", "steps")
    return before + HEAD + product + steps + ends.replace("high_of", "steps")


MIRRORED = """
static int64_t nearest(int64_t x, int n) { return x < 0 ? -((-x + ((1ll << n) >> 1)) >> n)
                                                        : (x + ((1ll << n) >> 1)) >> n; }
"""
BY_DIVISION = """
int8_t requantize(int32_t sum, int32_t m, int shift, int32_t z, int32_t low, int32_t high) {
  long long product = 1LL * sum * m + 0x40000000LL, two31 = 0x80000000LL, by = 1LL << -shift;
  long long steps = product >= 0 ? product / two31 : -((-product + two31 - 1) / two31);
  steps = steps < 0 ? -((-steps + by / 2) / by) : (steps + by / 2) / by;
  steps += z;
  return steps < low ? low : steps > high ? high : steps;
}
"""
IN_FLOATS = """
#include <math.h>
int8_t requantize(int32_t sum, int32_t m, int shift, int32_t z, int32_t low, int32_t high) {
  double first = floor((double)sum * m / 2147483648.0 + 0.5);
  double code = round(first / (1 << -shift)) + z;
  return code < low ? low : code > high ? high : code;
}
"""
ONCE = """  int64_t half = 1LL << (30 - shift);
  int32_t high = (int32_t)((product + half) >> (31 - shift));
"""
ONCE_IN_FLOATS = IN_FLOATS.replace("floor(", "(").replace(" + 0.5)", ")")
HALF = "  int n = -shift;\n  int32_t half = (1 << n) >> 1;\n"
WHOLE = "  int n = -shift;\n  int32_t half = 1 << n;\n"
NO_LOW = "  return (int8_t)(high_of + zero_point > high ? high : high_of + zero_point);\n}\n"
NO_HIGH = "  return (int8_t)(high_of + zero_point < low ? low : high_of + zero_point);\n}\n"
TOO_EARLY = """  int32_t code = high_of < low ? low : high_of > high ? high : high_of;
  return (int8_t)(code + zero_point);
}
"""
CAST_FIRST = """  int8_t code = (int8_t)(high_of + zero_point);
  return code < low ? low : code > high ? high : code;
}
"""
FIXED_ENDS = (
    CLIP.replace("< low", "< -128")
    .replace("(int8_t)low", "-128")
    .replace("code > high ? high", "code > 127 ? 127")
)
ENDLESS = "  for (volatile int i = 1; i;) sum += multiplier;\n" + PRODUCT
CRASHING = "  volatile int32_t *nowhere = 0;\n  sum += *nowhere;\n" + PRODUCT
LEAVING = PRODUCT + "  exit(0);\n"


@functools.cache
def views(order=None):
    model = reader.read(unseen.path("17_three_views.tflite").read_bytes())
    graph = model.subgraphs[0]
    if order:
        graph.operators = [graph.operators[n] for n in order]
    return reader.pack(model)


def poisoned():
    model = reader.read(views((0, 3, 1, 4, 2, 5, 6, 7, 8, 9)))
    graph = model.subgraphs[0]
    weights = graph.tensors[graph.operators[0].inputs[1]]
    model.buffers[weights.buffer].data = np.roll(model.buffers[weights.buffer].data, 1)
    return reader.pack(model)


@functools.cache
def exported(name="digits", **changed):
    """A folder with an exported model, kept until the tests are over."""
    folder = Path(tempfile.mkdtemp(prefix="lessons-test-"))
    firmware.export(views(), folder, name=name)
    for file, change in changed.items():
        path = folder / file.replace("_dot_", ".")
        if change is None:
            path.unlink()
        else:
            path.write_text(change(path.read_text()))
    return folder


@functools.cache
def two_models():
    folder = exported("first")
    firmware.export(views(), folder, name="second")
    return folder


def spoilt(text):
    return text.replace("arena + 0, patch", "arena + 16, patch", 1)


def more(text):
    return text + "\nthis is no C\n"


def nothing_compared(text):
    return text.replace("    right += equal;", "    right += 1;")


def in_a_loop(text):
    return text.replace("int right = 0;", 'int right = 0; for (volatile int i = 1; i;) puts("");')


ANSWERS = {
    checks.check_offsets: Answers(
        right={
            "the largest first": RIGHT,
            "from the other end": {"a": 16, "b": 32, "c": 0, "d": 32},
            "d beside c": {"a": 48, "b": 0, "c": 48, "d": 32},
            "an array's numbers": {name: np.int64(place) for name, place in RIGHT.items()},
        },
        wrong={
            "one after the other": (
                {"a": 0, "b": 16, "c": 64, "d": 96},
                "Each has bytes of its own",
            ),
            "in the order of birth": ({"a": 0, "b": 16, "c": 64, "d": 0}, "has 96 bytes; 80 do"),
            "all at 0": (dict.fromkeys("abcd", 0), "Operator 0 needs a and b at once"),
            "one byte short": (RIGHT | {"c": 47}, "Operator 1 needs b and c at once"),
            "d on c": (RIGHT | {"d": 64}, "Operator 2 needs c and d"),
            "below 0": (RIGHT | {"d": -8}, "whole number of bytes"),
            "half a byte": (RIGHT | {"a": 48.5}, "whole number of bytes"),
            "one is missing": ({"a": 48, "b": 0, "c": 48}, "'d' is missing"),
            "two are missing": ({"a": 48, "b": 0}, "'c' and 'd' are missing"),
            "another name": (RIGHT | {"e": 0}, "The tensors are a, b, c, d"),
            "a list": ([48, 0, 48, 0], "asked is a dictionary"),
            "no number": (RIGHT | {"a": "left"}, "a number is asked"),
        },
    ),
    checks.check_requantize_c: Answers(
        right={
            "the course's": lesson17.REQUANTIZE,
            "as in c/rescale.c": written(),
            "by division": BY_DIVISION,
            "in double": IN_FLOATS,
            "by a function of its own": written(
                second="  high = (int32_t)nearest(high, -shift);\n", before=MIRRORED
            ),
            "says what it does": written(
                product='  printf("%d", sum);\n' + PRODUCT, before="#include <stdio.h>\n"
            ),
        },
        wrong={
            "32 bits": (
                written(product="  int64_t product = sum * multiplier;\n"),
                "was made in 32: cast one factor",
            ),
            "32 bits all through": (
                written("  int32_t product = sum * multiplier;\n"),
                "was made in 32: cast one factor",
            ),
            "cut off in the second": (
                written(second="  high = high / (1 << -shift);\n"),
                "In the second division the rest is cut off",
            ),
            "down in the second": (
                written(second="  high = high >> -shift;\n"),
                "The shift to the right rounds down",
            ),
            "cut off in the first": (
                written(first="  int32_t high = (int32_t)(product >> 31);\n"),
                "In the first division the rest is cut off",
            ),
            "cut off, both": (
                written(
                    first="  int32_t high = (int32_t)(product >> 31);\n",
                    second="  high = high >> -shift;\n",
                ),
                "cut off, both times",
            ),
            "ties up": (
                written(second="  high = (high + (1 << (-shift - 1))) >> -shift;\n"),
                "halves below zero go up",
            ),
            "once": (written(first=ONCE, second=""), "It is rounded once"),
            "once, mirrored": (
                written(
                    first="  int32_t high = (int32_t)nearest(product, 31 - shift);\n",
                    second="",
                    before=MIRRORED,
                ),
                "It is rounded once",
            ),
            "once, in floats": (ONCE_IN_FLOATS, "It is rounded once"),
            "cut off in the first, by division": (  # which is the same as once
                written(first="  int32_t high = (int32_t)(product / (1ll << 31));\n"),
                "It is rounded once",
            ),
            "half subtracted below zero": (
                written(second=HALF + "  high = (high >= 0 ? high + half : high - half) >> n;\n"),
                "Below zero `>>` rounds down once more",
            ),
            "half turned below zero": (
                written(
                    second=HALF + "  if (high < 0) half = -half;\n  high = (high+half) >> n;\n"
                ),
                "Below zero `>>` rounds down once more",
            ),
            "the whole divisor": (
                written(
                    second=WHOLE + "  high = high >= 0 ? (high+half)>>n : -((half-high)>>n);\n"
                ),
                "half of it is `(1 << n) >> 1`",
            ),
            "the whole divisor, not mirrored": (
                written(second=WHOLE + "  high = (high + half) >> n;\n"),
                "half of it is `(1 << n) >> 1`",
            ),
            "the whole first divisor": (
                written(first="  int32_t high = (int32_t)((product + (1 << 31)) >> 31);\n"),
                "half of it is `1 << 30`",
            ),
            "the whole first divisor, wide": (
                written(first="  int32_t high = (int32_t)((product + (1ll << 31)) >> 31);\n"),
                "half of it is `1 << 30`",
            ),
            "n without the minus": (
                written(second=HALF.replace("-shift", "shift") + "  high = (high + half) >> n;\n"),
                "`shift` is below 0",
            ),
            "shift without the minus": (
                written(second=HALF + "  high = (high + half) >> shift;\n"),
                "`shift` is below 0",
            ),
            "the minus later": (  # nothing is wrong with the shift
                written(second="  shift = -shift;\n  high = high >> shift;\n"),
                "The shift to the right rounds down",
            ),
            "the first away": (
                written(first="  int32_t high = (int32_t)nearest(product, 31);\n", before=MIRRORED),
                "The first division sends its halves up",
            ),
            "no shift": (written(second=""), "the shift is missing"),
            "no zero point": (
                written(ends=CLIP.replace(" + zero_point", "")),
                "The zero point is missing",
            ),
            "subtracted": (
                written(ends=CLIP.replace("+ zero_point", "- zero_point")),
                "The zero point is subtracted",
            ),
            "clipped too early": (written(ends=TOO_EARLY), "before the zero point"),
            "not clipped": (
                written(ends="  return (int8_t)(high_of + zero_point);\n}\n"),
                "The clip is missing",
            ),
            "cast first": (written(ends=CAST_FIRST), "before the clip"),
            "no upper end": (written(ends=NO_HIGH), "The upper end is missing"),
            "no lower end": (written(ends=NO_LOW), "The lower end is missing"),
            "ends of int8": (written(ends=FIXED_ENDS), "The ends are `low` and `high`"),
            "no C": (written().replace(";", "", 1), "refuses your text: line 3: expected ';'"),
            "another type": (
                written().replace("int8_t req", "int req"),
                "refuses your text: line 1: conflicting types",
            ),
            "no return": (HEAD + "}\n", "non-void function does not return"),
            "a main of its own": (written() + "int main(void) { return 0; }", "refuses your text"),
            "without an end": (written(product=ENDLESS), "a loop without an end"),
            "an address of nobody": (written(product=CRASHING), "with the signal SIG"),
            "it leaves": (
                written(product=LEAVING, before="#include <stdlib.h>\n"),
                "ended the program before it was done",
            ),
            "only declared": (f"{lesson17.PROTOTYPE};", "refuses your text"),
            "no function": ("sum * multiplier >> 31", "no function `requantize`"),
            "a function in Python": (lambda total, multiplier, shift: total, "asked is the text"),
        },
    ),
    checks.check_exported: Answers(
        right={
            "a path": exported(),
            "a text": str(exported("reader")),
            "with a note beside": exported("noted", Makefile=lambda text: text + "# ours\n"),
        },
        wrong={
            "no such folder": ("nowhere/at_all", "There is no folder 'nowhere/at_all'."),
            "a file": (exported() / "main.c", "There is no folder"),
            "another folder": (Path(__file__).parent, "no main.c and no test_vectors.h"),
            "without the test": (exported("untested", main_dot_c=None), "no main.c"),
            "no C any more": (exported("edited", edited_dot_c=more), "refuses your text"),
            "two models": (two_models(), "Beside main.c one model is expected"),
            "without an end": (
                exported("slow", main_dot_c=in_a_loop),
                "does not come back",
            ),
            "a changed model": (exported("spoilt", spoilt_dot_c=spoilt), "of 10 test"),
            "a test of nothing": (
                exported("blind", main_dot_c=nothing_compared),
                "test nothing",
            ),
        },
    ),
    checks.check_fits: Answers(
        right={
            "each pool behind its view": views((0, 3, 1, 4, 2, 5, 6, 7, 8, 9)),
            "from the last": views((2, 5, 1, 4, 0, 3, 6, 7, 8, 9)),
            "a bytearray": bytearray(views((1, 4, 0, 3, 2, 5, 6, 7, 8, 9))),
        },
        wrong={
            "as it came": (
                views(),
                "takes 38,428 bytes of RAM, and the small board has 20,480: see",
            ),
            "one view moved": (views((0, 3, 1, 2, 4, 5, 6, 7, 8, 9)), "the small board has 20,480"),
            "other weights": (poisoned(), "Its answers are others"),
            "another model": (reference.converted()["int8"], "Its answers are others"),
            "a float model": (reference.converted()["float32"], "cannot be written in C"),
            "an order that does not run": (
                views((3, 0, 1, 4, 2, 5, 6, 7, 8, 9)),
                "",
            ),
            "a plan": (c_source.plan(views()), "asked is a file's content"),
        },
    ),
}

if not importlib.util.find_spec("ziglang"):
    pytest.skip("there is no C compiler", allow_module_level=True)

lesson17._SECONDS = 1  # here nothing that ends takes longer
TestAnswers = class_of_tests(ANSWERS)


def test_17_1_no_order_of_placing_needs_less_than_the_check_asks():
    sizes = lesson17.FOUR_TENSORS
    at_once = max(
        sum(size for size, first, last in sizes.values() if first <= n <= last) for n in (0, 1, 2)
    )
    assert at_once == lesson17._LEAST


def test_17_1_the_greedy_planner_places_them_as_the_hint_says():
    sizes = lesson17.FOUR_TENSORS
    found = arena.placed(
        [arena.Place(name, first, last, size) for name, (size, first, last) in sizes.items()]
    )
    assert {place.name: place.offset for place in found.places} == RIGHT


def test_17_2_has_ties_sums_below_zero_and_codes_beyond_both_ends():
    given, codes = lesson17._sums()
    sums, multiplier, shift = given[:, :3].astype(np.int64).T
    high = (sums * multiplier + 2**30) >> 31
    tie = (high << (64 + shift)) == np.int64(-(2**63))
    assert (tie & (sums < 0)).sum() > 20 and (tie & (sums > 0)).sum() > 20
    low, top = given[:, 4:].T
    assert (codes == low).sum() > 20 and (codes == top).sum() > 20 and (low > -128).any()


def test_a_learners_requantization_runs_inside_a_model(tmp_path):
    program = c_source.c_source(views(), "digits")
    codes = runtime.Model(views()).quantize_input(reference.digits().hard.images[:50])
    slip = written(second="  high = high >> -shift;\n")
    found = [
        board.on_host(lesson17.with_requantize(program, code), tmp_path).run({"image": codes})
        for code in (written(), slip)
    ]
    expected = integer_engine.run(views(), codes, "tflm")
    assert np.array_equal(*found[0].values(), expected)
    assert not np.array_equal(*found[1].values(), expected)


def test_a_model_without_such_a_layer_stays_as_it_is():
    program = c_source.c_source(views(), "digits")
    bare = lesson17.replace(program, source="int nothing;")
    assert lesson17.with_requantize(bare, written()) is bare


def test_the_open_tasks_board_holds_every_order_in_which_one_view_is_alive():
    peaks = {
        order: c_source.plan(views((*itertools.chain(*order), 6, 7, 8, 9))).size
        for order in itertools.permutations([(0, 3), (1, 4), (2, 5)])
    }
    assert max(peaks.values()) < lesson17.SMALL_BOARD.ram - 2**12
