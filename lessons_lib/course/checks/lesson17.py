"""The checks of lesson 17, Run it on a microcontroller: C is compiled, and runs in a child.

What a learner writes in C may crash or never end; only the child does.
"""

import functools
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from lessons_lib.course.checks._answers import Remark, content_in, describe, numbers_in
from lessons_lib.course.checks._verdict import exercise
from lessons_lib.errors import LessonError
from lessons_lib.models import unseen
from lessons_lib.numbers import fixed_point
from lessons_lib.run.engine import integer_engine
from lessons_lib.system import sandbox
from lessons_lib.targets import board, c_source
from lessons_lib.targets.c_source import Program

# ---- four tensors

# name: bytes, the first and the last operator that need it
FOUR_TENSORS = {"a": (16, 0, 0), "b": (48, 0, 1), "c": (32, 1, 2), "d": (16, 2, 2)}
_LEAST = 80  # bytes: b and c are alive together, and no plan needs fewer


@exercise(
    "the largest first, at 0. Then each at the lowest place where it meets none of those that are "
    "alive with it: what is dead, or not yet born, does not count.",
    "80 bytes instead of 112: b and c alone fill them, so no plan has fewer.",
)
def check_offsets(answer: object) -> bool | str:
    """Exercise 17.1: the offsets of four tensors in an arena, by name."""
    if not isinstance(answer, Mapping):
        return f"Your answer is {describe(answer)}; asked is a dictionary, name to offset."
    if (missing := [name for name in FOUR_TENSORS if name not in answer]) and not (
        {*map(str, answer)} - {*FOUR_TENSORS}
    ):
        named = " and ".join(map(repr, missing))
        return f"{named} {'is' if len(missing) == 1 else 'are'} missing."
    if {*map(str, answer)} != {*FOUR_TENSORS}:
        return f"The tensors are {', '.join(FOUR_TENSORS)}; yours are {_listed(answer)}."
    offsets = numbers_in([answer[name] for name in FOUR_TENSORS], 4)
    if not np.isfinite(offsets).all() or (offsets % 1 != 0).any() or (offsets < 0).any():
        return "An offset is a whole number of bytes, 0 or more."
    places = dict(zip(FOUR_TENSORS, offsets.astype(int).tolist(), strict=True))
    if two := _shared(places):
        return two
    size = max(places[name] + FOUR_TENSORS[name][0] for name in places)
    if size > _LEAST:
        most = sum(size for size, *_ in FOUR_TENSORS.values())
        said = " Each has bytes of its own." if size >= most else ""
        return f"No two disturb each other, but the arena has {size} bytes; {_LEAST} do.{said}"
    return True


def _listed(names: object) -> str:
    return ", ".join(sorted({describe(name) for name in names})) or "none"


def _shared(places: Mapping[str, int]) -> str:
    """Which two tensors are alive together and share bytes, in words; "" for none."""
    names = list(places)
    for number, one in enumerate(names):
        for other in names[number + 1 :]:
            (size, first, last), (its_size, its_first, its_last) = (
                FOUR_TENSORS[name] for name in (one, other)
            )
            low = max(places[one], places[other])
            high = min(places[one] + size, places[other] + its_size)
            when = max(first, its_first)
            if low < high and when <= min(last, its_last):
                return (
                    f"Operator {when} needs {one} and {other} at once, and both have the bytes "
                    f"{low} to {high - 1}."
                )
    return ""


# ---- requantization in C

PROTOTYPE = (
    "int8_t requantize(int32_t sum, int32_t multiplier, int shift,\n"
    "                  int32_t zero_point, int32_t low, int32_t high)"
)
REQUANTIZE = f"""
{PROTOTYPE} {{
  int64_t product = (int64_t)sum * multiplier;
  int32_t steps = (int32_t)((product + (1 << 30)) >> 31); /* to the nearest, halves up */
  int n = -shift;
  int32_t half = (1 << n) >> 1;
  steps = steps >= 0 ? (steps + half) >> n : -((half - steps) >> n); /* halves away from zero */
  int32_t code = steps + zero_point;
  if (code < low) code = low;
  if (code > high) code = high;
  return (int8_t)code;
}}
"""
_SECONDS = 10  # for a few hundred codes
_AROUND = """#include <stdio.h>
#include "prototype.h"
#ifndef _WIN32
unsigned alarm(unsigned seconds);
#define END_AFTER(seconds) alarm(seconds)
#else
#define END_AFTER(seconds) (void)0
#endif

static const int32_t given[][6] = {{
{rows}}};

int main(void) {{
  static int32_t codes[sizeof given / sizeof *given];
  END_AFTER({seconds});
  for (unsigned i = 0; i < sizeof codes / sizeof *codes; i++) {{
    const int32_t *g = given[i];
    codes[i] = requantize(g[0], g[1], g[2], g[3], g[4], g[5]);
  }}
  FILE *file = fopen("codes", "wb");
  return fwrite(codes, sizeof codes, 1, file) != 1 || fclose(file);
}}
"""


@exercise(
    "the product of two numbers of 32 bits needs `int64_t` before it is made. Then two divisions "
    "as in lesson 9, each with half of its divisor; then the zero point; the clip last.",
    "Every code is the one that TFLite-Micro gives: ties, negative sums, and those beyond the "
    "ends.",
)
def check_requantize_c(code: object) -> bool | str:
    """Exercise 17.2: the text of a C function from a sum to a code."""
    if not isinstance(code, str):
        return f"Your answer is {describe(code)}; asked is the text of a function in C."
    if not re.search(r"\brequantize\s*\(", code):
        return "There is no function `requantize` in your text."
    given, expected = _sums()
    found = _computed(code)
    wrong = found != expected
    if not wrong.any():
        return True
    place = int(np.argmax(wrong))
    total, multiplier, shift, zero_point, low, high = given[place].tolist()
    slip = _negative_shift(code) or _slip_in_c(found, given)
    return (
        f"requantize({total}, {multiplier}, {shift}, {zero_point}, {low}, {high}) gives "
        f"{found[place]}, asked is {expected[place]}. {slip}"
    ).strip()


@functools.cache
def _sums() -> tuple[np.ndarray, np.ndarray]:
    """What the function is tried with, int32 (N, 6), and the codes that are right, (N,).

    First plain sums, then ties of both signs, in the second rounding and in the first, then sums
    whose codes lie beyond the ends.
    """
    random, rows = np.random.default_rng(17), []
    for kind, count in (("plain", 400), ("tie", 80), ("early tie", 80), ("beyond", 80)):
        shift = random.integers(-14 if kind != "early tie" else -3, 0, count)
        multiplier = random.integers(2**30, 2**31, count)
        steps = random.integers(-60, 60, count)
        if kind == "tie":
            multiplier[:] = 2**30
            sums = (2 * steps + 1) * 2**-shift
        elif kind == "early tie":
            multiplier[:] = 2**30
            sums = 2 * steps + 1
        else:
            steps = steps * (1 if kind == "plain" else 40)
            sums = np.rint(steps * 2.0**-shift * 2.0**31 / multiplier).astype(np.int64)
            sums += random.integers(-(2**-shift), 2**-shift)
        zero_point = random.integers(-60, 60, count)
        low = np.where(random.random(count) < 0.5, -128, zero_point)  # with a fused ReLU
        high = np.where(random.random(count) < 0.8, 127, zero_point + 60)  # and with ReLU6
        rows.append(np.stack([sums, multiplier, shift, zero_point, low, high], axis=1))
    given = np.concatenate(rows)
    return given.astype(np.int32), _codes(given)


def _codes(given: np.ndarray) -> np.ndarray:
    sums, multiplier, shift, zero_point, low, high = given.T
    return np.clip(fixed_point.double_rounding(sums, multiplier, shift) + zero_point, low, high)


@functools.lru_cache(64)  # a check and its ``settle`` ask for the same text
def _computed(code: str) -> np.ndarray:
    """The codes that a text in C computes; Remark where it is not compiled, or ends badly."""
    given, _ = _sums()
    with tempfile.TemporaryDirectory(prefix="lessons-c-") as name:
        folder = Path(name)
        rows = "".join(f"    {{{', '.join(map(str, row))}}},\n" for row in given.tolist())
        (folder / "prototype.h").write_text(f"#include <stdint.h>\n{PROTOTYPE};\n", "utf-8")
        (folder / "yours.c").write_text(code, "utf-8", errors="replace")
        (folder / "main.c").write_text(_AROUND.format(rows=rows, seconds=_SECONDS), "utf-8")
        flags = "-O1 -fwrapv -std=c99 -Wall -Werror=return-type -include prototype.h"
        _run(_compile([*flags.split(), "yours.c", "main.c"], "tried", folder))
        try:
            return np.fromfile(folder / "codes", np.int32)
        except OSError:
            raise Remark("Your function ended the program before it was done.") from None


def _run(program: Path) -> None:
    """Run what was compiled of a learner's text, where it stands; Remark where it ends badly."""
    silent = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    try:
        done = subprocess.run(
            [program], cwd=program.parent, stderr=subprocess.DEVNULL, timeout=2 * _SECONDS, **silent
        )
    except subprocess.TimeoutExpired:
        done = None
    how = sandbox.signal_name(-done.returncode) if done and done.returncode < 0 else ""
    if done is None or how == "SIGALRM":
        raise Remark("Your function did not come back: is there a loop without an end?")
    if how:
        raise Remark(
            f"Your function ended the process that it ran in, with the signal {how}: a division "
            "by zero, or an address that is not its own."
        )


def _compile(arguments: list[str], result: str, folder: Path) -> Path:
    """A text of the learner's through the compiler; Remark where there is none, or it refuses."""
    if importlib.util.find_spec("ziglang") is None:
        raise Remark("There is no C compiler here: `make setup` installs the package ziglang.")
    command = [sys.executable, "-m", "ziglang", "cc", "-fno-sanitize=all", "-o", result]
    command += ["-fno-color-diagnostics", *arguments]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=120
        )
    except subprocess.TimeoutExpired:
        raise Remark("The compiler does not come to an end with your text.") from None
    if done.returncode:
        raise Remark(f"The compiler refuses your text: {_first_error(done.stderr)}")
    return folder / result


def _first_error(said: str) -> str:
    """The first error of a compiler, with its line and what it points to."""
    lines = said.splitlines()
    at = next((n for n, line in enumerate(lines) if "error:" in line), 0)
    found = re.search(
        r"(?:\w+\.[ch]:(\d+):\d+: )?(?:fatal )?error: (.*)", lines[at] if lines else ""
    )
    if not found:
        return "without a word."
    where = f"line {found[1]}: " if found[1] else ""
    pointed = [line.strip().lstrip("0123456789 |") for line in lines[at + 1 : at + 2]]
    shown = f" (`{pointed[0]}`)" if found[1] and pointed and pointed[0] else ""
    return f"{where}{found[2]}{shown}."


def _negative_shift(code: str) -> str:
    """Whether a text shifts by ``shift`` as it is; each machine gives other codes for that."""
    code = re.sub(r"/\*.*?\*/|//[^\n]*", " ", code, flags=re.DOTALL)
    for name in {"shift", *re.findall(r"\b(\w+)\s*=\s*shift\s*[;,]", code)}:
        used = re.search(rf"(?:<<|>>)=?\s*\(?\s*{name}\b(?!\s*[-+*])", code)
        mended = re.search(rf"\b{name}\s*(?:\*=|=(?!=|\s*shift\s*[;,]))", code)
        if used and not mended:
            return "`shift` is below 0, and C knows no shift by that: it is `-shift` places."
    return ""


def _slip_in_c(found: np.ndarray, given: np.ndarray) -> str:
    """What was forgotten, where that alone explains every code; "" if nobody knows."""
    given = given.astype(np.int64)
    zero_point, low, high = given.T[3:]
    steps = fixed_point.double_rounding(*given.T[:3])
    for wrongs, remark in _other_ends(steps, zero_point, low, high):
        if any(np.array_equal(found, _in_8_bits(codes)) for codes in wrongs):
            return remark
    for wrongs, remark in _other_steps(*given.T[:3]):
        if any(np.array_equal(found, np.clip(other + zero_point, low, high)) for other in wrongs):
            return remark
    return ""


def _in_8_bits(codes: np.ndarray) -> np.ndarray:
    return (codes + 128) % 256 - 128


def _in_32_bits(values: np.ndarray) -> np.ndarray:
    return (values + 2**31) % 2**32 - 2**31


def _other_ends(steps, zero_point, low, high):
    """What usual slips after the two roundings give."""
    code = steps + zero_point
    return (
        ([np.clip(steps, low, high)], "The zero point is missing."),
        ([np.clip(steps - zero_point, low, high)], "The zero point is subtracted: add it."),
        (
            [np.clip(steps, low, high) + zero_point, np.clip(steps, -128, 127) + zero_point],
            "The clip comes before the zero point: what is added afterwards may leave the range.",
        ),
        ([code], "The clip is missing: an int8_t wraps around."),
        (
            [np.clip(code, -128, 127)],
            "The ends are `low` and `high`: with a fused ReLU they are not -128 and 127.",
        ),
        ([np.maximum(code, low)], "The upper end is missing: clip at `high` as well."),
        ([np.minimum(code, high)], "The lower end is missing: clip at `low` as well."),
        (
            [np.clip(_in_8_bits(code), low, high)],
            "The cast to int8_t comes before the clip: it wraps around first.",
        ),
    )


def _other_steps(sums, multiplier, shift):
    """What usual slips in the two roundings give."""
    n, product = -shift, sums * multiplier
    high, floor = fixed_point.high_multiply(sums, multiplier), product >> 31
    up, away = fixed_point.shift_ties_up, fixed_point.shift_ties_away
    short = _in_32_bits(product)
    lost = [rule(high_of >> 31, n) for rule in (up, away) for high_of in (short, short + 2**30)]
    lost += [np.zeros_like(sums), np.where(sums * multiplier < 0, -1, 0)]
    narrow = [rule(_in_32_bits(short + 2**30) >> 31, n) for rule in (up, away, np.right_shift)]
    whole, divisor = 31 + n, 1 << n
    down = np.where(high < 0, (high - (divisor >> 1)) >> n, away(high, n))
    full = np.where(high < 0, -((divisor - high) >> n), (high + divisor) >> n)
    full_down = np.where(high < 0, (high - divisor) >> n, full)
    full_first = [product + 2**31 >> 31, product - 2**31 >> 31]  # the C of 1 << 31 is below 0
    by_two = (up, away, np.right_shift)
    once = [rule(product, whole) for rule in (up, away)]
    return (
        (
            [*lost, *narrow, short >> 31 >> n, short >> whole],
            "The product has 62 bits and was made in 32: cast one factor to `int64_t` first.",
        ),
        ([up(high, n)], "In the shift, halves below zero go up; away from zero they go down."),
        ([down], "Below zero `>>` rounds down once more: negate, add half, shift, negate."),
        (
            [full, full_down, (high + divisor) >> n],
            "`1 << n` is the whole divisor; half of it is `(1 << n) >> 1`.",
        ),
        (
            [rule(first, n) for first in full_first for rule in by_two],
            "`1 << 31` is the whole divisor, and below 0 in an int; half of it is `1 << 30`.",
        ),
        ([high >> n], "The shift to the right rounds down: add half of its divisor first."),
        (
            [np.sign(high) * (np.abs(high) >> n)],
            "In the second division the rest is cut off: add half of the divisor first.",
        ),
        (
            [*once, np.rint(product / 2.0**whole).astype(np.int64)],
            "It is rounded once; TFLite-Micro rounds twice: add 1 << 30 to the product first, then "
            "half of the second divisor to what comes of it.",
        ),
        (
            [away(floor, n)],
            "In the first division the rest is cut off: add 1 << 30 to the product first.",
        ),
        (
            [floor >> n, product >> whole, np.sign(product) * (np.abs(product) >> whole)],
            "The rest is cut off, both times: add half of the divisor before each.",
        ),
        (
            [np.rint(high / 2.0**n).astype(np.int64)],
            "In the shift, halves go to the even neighbour; asked is away from zero.",
        ),
        ([away(away(product, 31), n)], "The first division sends its halves up."),
        ([high], "That is the first division alone: the shift is missing."),
    )


def with_requantize(program: Program, code: str) -> Program:
    """Return a model in C whose layers with weights call a learner's ``requantize``.

    ``code``: the text of that function, which passed ``check_requantize_c``. Defined in lesson 17.
    """
    body = (
        "  (void)rescaled, (void)clipped;\n"
        "  return requantize(sum, l->multiplier[channel], l->shift[channel], l->zero_point,\n"
        "                    l->low, l->high);\n}"
    )
    start = "static int8_t finished(const layer *l, int channel, int32_t sum) {\n"
    before, found, after = program.source.partition(start)
    if not found:
        return program  # no layer with weights
    rest = after.partition("\n}")[2]
    typed = before.rindex("/* What a layer with weights needs")
    declared = f"{before[:typed]}static {PROTOTYPE};\n{before[typed:]}"
    yours = re.sub(r"^(?:static\s+)?(?=int8_t\s+requantize\b)", "static ", code, flags=re.MULTILINE)
    return replace(program, source=f"{declared}{start}{body}{rest}\n{yours}")


# ---- what is handed over

_MAKES_TEST = ("main.c", "test_vectors.h")


@exercise(
    "`firmware.export(content, folder, name=...)` writes five files, or `lessons export MODEL "
    "--to c --out DIR`; give the folder.",
    "It compiles, its test vectors are equal, and with other weights the test says so: whoever "
    "builds the device will notice a wrong flag on the first run.",
)
def check_exported(answer: object) -> bool | str:
    """Exercise 17.3: the folder of an exported model, compiled and run, as it is and damaged."""
    folder = _folder_in(answer)
    (source,) = [path for path in folder.glob("*.c") if path.name != "main.c"]
    with tempfile.TemporaryDirectory(prefix="lessons-c-") as name:
        files = {path.name: path.read_text("utf-8") for path in folder.glob("*.[ch]")}
        said, fine = _tested(files, Path(name))
        if not fine:
            return f"Compiled and run, its test says: {said}"
        files[source.name] = _damaged(files[source.name])
        said, fine = _tested(files, Path(name))
    if fine:
        return "It stays content with other weights: its test vectors test nothing."
    return True


def _folder_in(answer: object) -> Path:
    if not isinstance(answer, str | os.PathLike):
        raise Remark(f"Your answer is {describe(answer)}; asked is a folder.")
    try:
        folder, is_folder = Path(answer), Path(answer).is_dir()
    except (OSError, ValueError):  # too long for a name, or with a zero in it
        is_folder = False
    if not is_folder or not str(answer):
        raise Remark(f"There is no folder {_shortened(str(answer))!r}.")
    if lost := [name for name in _MAKES_TEST if not (folder / name).is_file()]:
        raise Remark(f"The folder has no {' and no '.join(lost)}: was the model exported there?")
    if len(sources := sorted(path.name for path in folder.glob("*.c"))) != 2:
        raise Remark(f"Beside main.c one model is expected; the folder has {', '.join(sources)}.")
    return folder


def _shortened(path: str) -> str:
    return path if len(path) <= 80 else f"...{path[-77:]}"


def _tested(files: Mapping[str, str], folder: Path) -> tuple[str, bool]:
    """What the test of an exported model says, and whether it is content."""
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    sources = [name for name in files if name.endswith(".c")]
    _compile(["-O0", "-std=c99", *sources], "tested", folder)
    try:
        done = subprocess.run(
            [str(folder / "tested")], capture_output=True, text=True, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        return "nothing; it does not come back.", False
    said = done.stdout.strip().splitlines() or ["nothing; it was ended."]
    return f"{said[-1]}.", done.returncode == 0


def _damaged(source: str) -> str:
    """A model with every weight of its last layer with weights changed."""
    before, found, after = source.rpartition("static const int8_t weights_")
    if not found:  # none has weights: its tables of answers then
        before, found, after = source.rpartition("static const int8_t ")
    declared, brace, numbers = after.partition("{")
    values, end, rest = numbers.partition("}")
    changed = re.sub(r"-?\d+", lambda word: str(-int(word[0]) // 2), values)
    return "".join((before, found, declared, brace, changed, end, rest))


# ---- the open task

SMALL_BOARD = replace(board.CORTEX_M4, name="small board", flash=64 * 1024, ram=20 * 1024)


@exercise(
    "`plots.arena(c_source.plan(content))` draws which tensors are alive together where the arena "
    "is largest. Must they be? An operator may run at any time between those that make its inputs "
    "and those that read its outputs.",
    "The same answers in half of the memory, and nothing was trained or converted again.",
)
def check_fits(answer: object) -> bool | str:
    """Exercise 17.4: the content of a file that fits the small board and answers as the first."""
    content, first = content_in(answer), unseen.path("17_three_views.tflite").read_bytes()
    try:
        program = c_source.c_source(content, "views")
    except LessonError as error:
        return f"It cannot be written in C: {error}."
    given = np.random.default_rng(17).integers(-128, 128, (5, 28, 28, 1)).astype(np.int8)
    given[2:] = np.where(np.abs(np.arange(28) - 14) < 4, 127, -128)[:, None]  # a bar
    given[3] = given[3].transpose(1, 0, 2)
    try:
        expected, found = (integer_engine.run(file, given, "tflm") for file in (first, content))
    except LessonError as error:
        return f"It does not run: {error}."
    if not np.array_equal(expected, found):
        return "Its answers are others than those of the file that you were given."
    return _on_small_board(program, given, found)


def _on_small_board(program: Program, given: np.ndarray, expected: np.ndarray) -> bool | str:
    """Link a program for the small board and run it there, where a compiler is at hand."""
    if not board.installed():
        return _too_much(program.plan.size, SMALL_BOARD.ram, "RAM for the arena") or True
    with tempfile.TemporaryDirectory(prefix="lessons-c-") as name:
        try:
            roomy = replace(SMALL_BOARD, flash=2**23, ram=2**22)  # measured first, refused below
            image = board.compile_for(program, roomy, Path(name))
            if said := (
                _too_much(image.ram, SMALL_BOARD.ram, "RAM")
                or _too_much(image.flash, SMALL_BOARD.flash, "flash")
            ):
                return said
            (gives,) = board.emulate(image, {program.ends[0].of: given}).outputs.values()
        except LessonError as error:
            return f"On the small board: {error}."
    return np.array_equal(gives, expected) or "On the small board its answers are others."


def _too_much(needed: int, there: int, what: str) -> str:
    """That a program takes more of a memory than there is, in words; "" where it does not."""
    if needed <= there:
        return ""
    cure = "" if what == "flash" else ": see which tensors are alive together"
    return (
        f"The answers are right, but it takes {needed:,} bytes of {what}, and the small board has "
        f"{there:,}{cure}."
    )
