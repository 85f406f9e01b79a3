"""What a check says about an answer: correct, not yet, or not attempted."""

import dis
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from types import CodeType
from typing import Literal

from lessons_lib.course.checks._answers import Remark, describe
from lessons_lib.errors import InputError

State = Literal["correct", "not yet", "not attempted"]


@dataclass(frozen=True, repr=False)
class Verdict:
    """The outcome of one exercise: ``bool(verdict)`` is True only when the answer is correct.

    ``number`` is the exercise's ("3.1"), ``state`` one of "correct", "not yet", "not attempted",
    ``message`` one or two sentences for the learner. ``share`` (0..1) is how much of an answer that
    has parts is right; only an assignment's points ask for it.
    """

    number: str
    state: State
    message: str = ""
    share: float = field(default=0.0, compare=False)

    def __bool__(self) -> bool:
        return self.state == "correct"

    @property
    def why_ours(self) -> str:
        """Why a page runs on with the course's answer, where this one is not correct."""
        untried = self.state == "not attempted"
        return "no answer yet" if untried else "your answer is not right yet"

    def __repr__(self) -> str:
        return f"Exercise {self.number}: {self.state}. {self.message}".rstrip()


def report(
    number: str,
    answer: object,
    passed: Callable[[object], bool | str],
    hint: str,
    explain: str = "",
) -> Verdict:
    """Judge an answer without ever raising because of it.

    ``number``: "lesson.exercise", such as "3.1". ``answer``: whatever the learner wrote;
    three dots (alone, inside a list, tuple or dict, as a statement or a value in the body of a
    function, or as a line of a text) mean that it is not attempted.
    ``passed``: a function of the answer that returns whether it is right, or returns or raises (as
    a Remark) a sentence that says what is wrong with it. Any other exception inside it means that
    the answer has the wrong form; its text is not for the learner. ``hint`` points to the next
    step, for a wrong answer; ``explain`` is shown for a right one.

    Raises InputError when the exercise itself is badly made: its number, its hint, or ``passed``.
    """
    _require_exercise(number, passed, hint)
    if _holds_ellipsis(answer):
        return Verdict(number, "not attempted", "Put your answer in place of the three dots.")
    try:
        outcome = passed(answer)
        outcome = outcome if isinstance(outcome, str) else bool(outcome)
    except Remark as remark:
        outcome = str(remark)
    except (Exception, SystemExit):
        subject = "What your function returns" if callable(answer) else "Your answer"
        given = "" if callable(answer) else f", {describe(answer)},"
        outcome = f"{subject}{given} has another form than the task asks for."
    if outcome is True:
        return Verdict(number, "correct", explain, 1.0)
    share = getattr(outcome, "share", 0.0)
    return Verdict(number, "not yet", f"{outcome or ''} Hint: {hint}".lstrip(), share)


def exercise(hint: str, explain: str) -> Callable:
    """Return a decorator that makes a check, a function of the answer, of ``passed``.

    See ``report`` for all three; the exercise's number stands first in the docstring of ``passed``:
    "Exercise 3.1: ...". The check is called and documented as ``passed`` is.
    """

    def check_of(passed: Callable[[object], bool | str]) -> Callable[[object], Verdict]:
        def check(answer: object) -> Verdict:
            return report(number, answer, passed, hint, explain)

        number = passed.__doc__.partition(":")[0].removeprefix("Exercise ")
        check.__module__, check.__qualname__ = passed.__module__, passed.__qualname__
        check.__name__, check.__doc__ = passed.__name__, passed.__doc__
        return check

    return check_of


def _require_exercise(number: str, passed: Callable[[object], bool | str], hint: str) -> None:
    if not re.fullmatch(r"\d+\.\d+", number):
        raise InputError(f"an exercise's number looks like '3.1'; given: {number!r}")
    if not callable(passed):
        raise InputError("passed must be a function of the answer, so that its errors are caught")
    if not hint.strip():
        raise InputError(f"exercise {number} needs a hint: it is all that a wrong answer shows")


def _holds_ellipsis(answer: object, depth: int = 3) -> bool:
    if isinstance(answer, dict | list | tuple) and depth:
        parts = answer.values() if isinstance(answer, dict) else answer
        return any(_holds_ellipsis(part, depth - 1) for part in parts)
    if isinstance(answer, str):  # a program in another language
        return re.search(r"^[ \t]*\.\.\.;?[ \t]*$", answer, re.MULTILINE) is not None
    return answer is Ellipsis or _is_blank(answer)


# What is done with three dots that stand for a value; those of an index make a tuple.
_FILLS = ("STORE_", "RETURN_", "BUILD_LIST", "BINARY_OP", "PRECALL", "CALL")


def _is_blank(answer: object) -> bool:
    """Whether a function still has three dots where something is to be written.

    Those of an index, ``x[..., 0]`` or ``x[...] = 0``, are no blank.
    """
    code = getattr(answer, "__code__", None)
    if not isinstance(code, CodeType):
        return False
    if code.co_code == (lambda: None).__code__.co_code:
        return True  # nothing but three dots, which leave no trace
    steps = [step for step in dis.get_instructions(code) if step.opname not in ("NOP", "CACHE")]
    return any(
        step.argval is Ellipsis
        and (step.opname == "RETURN_CONST" or after.opname.startswith(_FILLS))
        and after.opname != "STORE_SUBSCR"
        for step, after in zip(steps, [*steps[1:], steps[-1]], strict=True)
    )
