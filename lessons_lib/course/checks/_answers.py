"""How checks read an answer: numbers, functions, files. What they cannot read is a Remark.

Nothing that NumPy or Python says of an answer reaches the learner, except what his own function
raises.
"""

import dis
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator
from numbers import Number
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from lessons_lib.errors import FloatError, LessonError
from lessons_lib.numbers import affine
from lessons_lib.numbers.fixed_point import IntegersOnly
from lessons_lib.tflite import reader

_MOST_NUMBERS = 1_000_000


class Remark(Exception):
    """A sentence for the learner that says what is wrong with an answer; ``report`` shows it."""


class Partly(str):
    """A remark, or none, on an answer of several numbers of which a ``share`` (0..1) is right."""

    def __new__(cls, text: str, share: float):
        made = super().__new__(cls, text)
        made.share = float(share)
        return made


def describe(value: Any) -> str:
    """Return what a value is, in a few words: "a list of 3", "the text 'ten'", "None"."""
    try:
        return _described(value)
    except Exception:  # a number of 5,000 digits, an object whose own methods fail
        return f"a value of type {type(value).__name__}"


def _described(value: Any) -> str:
    kind = type(value).__name__
    if value is None or isinstance(value, bool | np.bool_):
        return str(value)
    if isinstance(value, str):
        return f"the text {value if len(value) <= 40 else value[:37] + '...'!r}"
    if isinstance(value, bytes | bytearray):
        return f"{len(value):,} bytes"
    if isinstance(value, Number):
        return f"{value} (a number of type {kind})"
    if isinstance(value, np.ndarray):
        held = {"U": "texts", "S": "bytes", "O": "objects"}.get(value.dtype.kind, value.dtype)
        return f"an array of {held}, shape {value.shape}"
    if isinstance(value, list | tuple | set | frozenset | dict):
        return f"a {kind} of {len(value)}"
    if isinstance(value, ModuleType | type):
        return f"the {'class' if isinstance(value, type) else 'module'} {value.__name__}"
    if callable(value) and hasattr(value, "__name__"):
        return "a function"
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"


def number_in(answer: Any, *units: str) -> float:
    """Return the one number that an answer holds.

    ``answer``: a number, an array or list with one element, or a text such as "470,400", also
    with one of the ``units`` behind it. Raises Remark for anything else.
    """
    return float(numbers_in(answer, 1, units=units)[0])


def numbers_in(
    answer: Any,
    count: int | None = None,
    *,
    subject: str = "Your answer",
    units: tuple[str, ...] = (),
    ordered: bool = True,
) -> np.ndarray:
    """Return all numbers that an answer holds, float64 (count,), however they are nested.

    Raises Remark when there are not ``count``, when a part is no number (a text may be one, see
    ``number_in``), for one text where several numbers are asked, and for a set where the order
    counts.
    """
    if isinstance(answer, str) and len(answer.split()) > 1 and count not in (None, 1):
        raise Remark(
            f"{subject} is {describe(answer)}; {count} numbers are asked: give a tuple or a list "
            "of numbers, without quotation marks around it."
        )
    first = itertools.islice(_numbers(answer, subject, units, ordered), _MOST_NUMBERS + 1)
    found = np.array([*first], dtype=float)
    if found.size > _MOST_NUMBERS:
        raise Remark(f"{subject} holds more than {_MOST_NUMBERS:,} numbers; does it ever end?")
    if count is not None and found.size != count:
        asked = "one is" if count == 1 else f"{count} are"
        numbers = "number" if found.size == 1 else "numbers"
        raise Remark(f"{subject} holds {found.size:,} {numbers}; {asked} asked.")
    return found


def _numbers(part: Any, subject: str, units: tuple[str, ...], ordered: bool) -> Iterator[float]:
    if isinstance(part, str):
        yield _number_in_text(part, subject, units)
    elif isinstance(part, set | frozenset) and ordered:
        raise Remark(f"{subject} is a set, which has no order: give a tuple or a list.")
    elif isinstance(part, Iterable) and not (
        isinstance(part, dict | bytes | bytearray | type) or hasattr(part, "__array__")
    ):  # lists, ranges, generators and the like; not what NumPy reads, and not a dict
        for inner in part:
            yield from _numbers(inner, subject, units, ordered)
    else:
        try:
            values = np.asarray([] if part is None else part, dtype=float).ravel()
        except Exception:
            values = np.empty(0)
        if part is None or not values.size:
            raise Remark(f"{subject} is or holds {describe(part)}; numbers are asked.")
        yield from values


def _number_in_text(text: str, subject: str, units: tuple[str, ...]) -> float:
    text = text.replace("\N{MINUS SIGN}", "-")
    found = re.fullmatch(r"\s*([-+]?[\d.,_]*\d\.?(?:e[-+]?\d+)?)\s*(.*?)\s*", text, re.IGNORECASE)
    try:
        number = float(found[1].replace(",", ""))
    except (TypeError, ValueError):
        raise Remark(f"{subject} is or holds {describe(text)}; a number is asked.") from None
    if found[2] and found[2].casefold() not in {unit.casefold() for unit in units}:
        raise Remark(f"Give the number alone, without {found[2]!r}.")
    return number


def compare(
    answer: Any,
    right: ArrayLike,
    *slips: tuple,
    units: tuple[str, ...] = (),
    rtol: float = 0,
    atol: float = 0,
    near: float = 1e-3,
) -> bool | str:
    """Return True for the ``right`` numbers, else what share of them it holds, as a remark.

    The remark is that of a known slip, or empty.
    ``units`` are those of ``numbers_in``, ``rtol`` and ``atol`` what a right number may be off
    (nothing), and ``near`` is the ``rtol`` of ``slip``, which gets the ``slips``.
    """
    found = numbers_in(answer, np.size(right), units=units)
    good = np.isclose(found, right, rtol, atol)
    return bool(good.all()) or Partly(slip(found, *slips, rtol=near) or "", good.mean())


def slip(found: ArrayLike, *known: tuple, rtol: float = 1e-3, atol: float = 1e-9) -> str | bool:
    """Return the remark of the first known slip whose numbers were found; False for none.

    ``known``: tuples of numbers, of the shape of ``found``, or several such, and a remark.
    """
    for *wrongs, remark in known:
        if any(np.allclose(found, wrong, rtol, atol) for wrong in wrongs):
            return remark
    return False


def call(function: Any, *arguments: Any, none_is_an_answer: bool = False) -> Any:
    """Return what the learner's function returns for these arguments.

    Raises Remark when it is no function, when it raises (the remark says what), and when it
    returns nothing.
    """
    if not callable(function):
        raise Remark(
            f"Your answer is {describe(function)}; asked is a function: its name alone, without "
            "parentheses behind it."
        )
    try:
        result = function(*arguments)
    except (Exception, SystemExit) as error:  # of `exit()`, too
        said = " ".join(str(error).split())[:160]
        raise Remark(f"Your function raised {type(error).__name__}: {said}.") from None
    if result is Ellipsis or (result is None and not none_is_an_answer):
        raise Remark("Your function returns nothing: is its `return` missing?")
    return result


def array_in(value: Any, asked: str, subject: str = "Your function returns") -> np.ndarray:
    """Return as an array what a learner's function returned; Remark unless it holds numbers."""
    try:
        array = np.asarray(value)
    except Exception:
        array = None
    if array is None or array.dtype.kind not in "biuf":
        raise Remark(f"{subject} {describe(value)}; asked is {asked}.")
    return array


def content_in(answer: Any) -> bytes:
    """Return the content of a ``.tflite``, given as bytes or as an existing file's path."""
    if isinstance(answer, str | os.PathLike):
        said = f"Your answer is {describe(answer)}: give the content of a file (bytes)."
        try:
            answer = Path(answer).read_bytes()
        except (OSError, ValueError):  # no file, too long for a name, or with a zero in it
            raise Remark(said) from None
    if not isinstance(answer, bytes | bytearray | memoryview):
        raise Remark(f"Your answer is {describe(answer)}; asked is a file's content (bytes).")
    try:
        reader.read(answer)
    except LessonError:
        raise Remark(f"These {len(answer):,} bytes are no readable .tflite file.") from None
    return bytes(answer)


_FLOATS = {"float", "float16", "float32", "float64", "half", "single", "double"}
_FLOATS |= {"divide", "true_divide"}


def floats_in(function: Callable, integers: np.ndarray) -> str:
    """Return what in a learner's function is a float, in a few words; "" where none is found.

    It runs once with an IntegersOnly copy of ``integers``. Single numbers and ``np.asarray`` of it
    are not guarded: so the function's code is read, too, for a ``/``, a decimal point, a float
    type, and a function of ``affine``. The names of its own variables say nothing.
    """
    try:
        function(integers.copy().view(IntegersOnly))
    except FloatError as error:
        if "float" in str(error):
            return str(error).partition(",")[0]
    except Exception:  # such as an object array, which is no float: np.vectorize works with them
        pass
    written = _written(function)
    parts = [written, *_helpers(written)] if written else []
    codes = (_floats_in_code(part.__code__, part.__globals__) for part in parts)
    return next(itertools.chain.from_iterable(codes), "")


def _written(function: Any) -> FunctionType | None:
    """The learner's own function inside a partial, np.vectorize or an object that can be called."""
    for name in ("func", "pyfunc"):
        function = getattr(function, name, function)
    if not hasattr(function, "__code__"):
        function = vars(type(function)).get("__call__")
    function = getattr(function, "__func__", function)
    return function if isinstance(function, FunctionType) else None


def _floats_in_code(code: CodeType, known: dict[str, Any]) -> Iterator[str]:
    if any(step.argrepr in ("/", "/=") for step in dis.get_instructions(code)):
        yield "the division `/`"
    for name in (*code.co_names, *code.co_consts):  # not co_varnames, its own
        value = known.get(name, float)  # an attribute and a builtin are not known, and count
        if name in _FLOATS and isinstance(value, type | np.ufunc):
            yield f"`{name}`"
        elif isinstance(name, float):
            yield f"the number {name:.4g}"
        elif affine.__name__ in (getattr(value, "__module__", ""), getattr(value, "__name__", "")):
            yield f"`{name}`, which calculates in float32"
        elif isinstance(name, CodeType):
            yield from _floats_in_code(name, known)


def _helpers(function: FunctionType) -> list[FunctionType]:
    """The functions that a function calls by name, and that stand where it stands."""
    known = function.__globals__
    steps = dis.get_instructions(function.__code__)
    called = [known.get(step.argval) for step in steps if step.opname == "LOAD_GLOBAL"]
    functions = [held for held in called if isinstance(held, FunctionType)]
    return [held for held in functions if held.__globals__ is known and held is not function]
