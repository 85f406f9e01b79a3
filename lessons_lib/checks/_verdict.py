"""What a check says about an answer: correct, not yet, or not attempted."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from lessons_lib.errors import InputError

State = Literal["correct", "not yet", "not attempted"]


@dataclass(frozen=True, repr=False)
class Verdict:
    """The outcome of one exercise: ``bool(verdict)`` is True only when the answer is correct.

    ``number`` is the exercise's ("3.1"), ``state`` one of "correct", "not yet", "not attempted",
    ``message`` one or two sentences for the learner.
    """

    number: str
    state: State
    message: str = ""

    def __bool__(self) -> bool:
        return self.state == "correct"

    def __repr__(self) -> str:
        return f"Exercise {self.number}: {self.state}. {self.message}".rstrip()


def report(
    number: str, answer: Any, passed: Callable[[Any], bool], hint: str, explain: str = ""
) -> Verdict:
    """Judge an answer without ever raising because of it.

    ``number``: "lesson.exercise", such as "3.1". ``answer``: whatever the learner wrote;
    three dots (alone or inside a list, tuple or dict) mean that it is not attempted.
    ``passed``: a function of the answer that returns whether it is right, or a sentence that says
    what is wrong with it; an exception inside it means that the answer has the wrong type or
    shape. ``hint`` is shown for a wrong answer, ``explain`` for a right one.

    Raises InputError when the exercise itself is badly made: its number, its hint, or ``passed``.
    """
    _require_exercise(number, passed, hint)
    if _holds_ellipsis(answer):
        return Verdict(number, "not attempted", "Put your answer in place of the three dots.")
    try:
        outcome = passed(answer)
        remark = outcome if isinstance(outcome, str) else ""
        correct = not remark and bool(outcome)
    except Exception as error:
        remark, correct = _describe(answer, error), False
    if correct:
        return Verdict(number, "correct", explain)
    return Verdict(number, "not yet", f"{remark} Hint: {hint}".lstrip())


def number_in(answer: Any) -> float:
    """Return the one number that an answer holds, for use inside ``passed``.

    ``answer``: a number, an array or list with one element, or a text such as "470,400".
    Raises ValueError or TypeError for anything else; ``report`` tells the learner.
    """
    if isinstance(answer, str):
        return float(answer.replace(",", ""))
    return np.asarray(answer, dtype=float).item()


def _require_exercise(number: str, passed: Callable[[Any], bool], hint: str) -> None:
    if not re.fullmatch(r"\d+\.\d+", number):
        raise InputError(f"an exercise's number looks like '3.1'; given: {number!r}")
    if not callable(passed):
        raise InputError("passed must be a function of the answer, so that its errors are caught")
    if not hint.strip():
        raise InputError(f"exercise {number} needs a hint: it is all that a wrong answer shows")


def _holds_ellipsis(answer: Any) -> bool:
    parts = answer.values() if isinstance(answer, dict) else answer
    if isinstance(answer, dict | list | tuple):
        return any(part is Ellipsis for part in parts)
    return answer is Ellipsis


def _describe(answer: Any, error: Exception) -> str:
    kind = type(answer).__name__
    article = "an" if kind[0].lower() in "aeiou" else "a"
    reason = " ".join(str(error).split())[:160]
    return (
        f"Your answer, {article} {kind}, could not be checked ({type(error).__name__}: {reason})."
    )
