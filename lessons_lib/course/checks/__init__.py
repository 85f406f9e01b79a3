"""The exercises' checks, by name: ``checks.check_round_half_away(answer)``.

``lessonNN.py`` holds the checks of lesson NN; each is found here when it is first asked for.
"""

import difflib
import importlib
import pkgutil
from types import ModuleType

from lessons_lib.course.checks._verdict import Verdict, report

__all__ = ["Verdict", "points", "report", "settle"]


def settle(check: str, yours: object, ours: object, *given: object) -> object:
    """Return the learner's answer where it is right, else the course's, and print which it is.

    So a page runs on with a blank that is open or wrong. ``check``: the check's name without
    "check_"; ``given``: what that check takes behind the answer.
    Raises AttributeError for an unknown check.
    """
    verdict = __getattr__(f"check_{check}")(yours, *given)
    if verdict:
        print("with your answer")
        return yours
    print(f"{verdict.why_ours}: with the course's own")
    return ours


def points(verdict: Verdict, worth: float) -> float:
    """Return what a verdict is worth of ``worth`` points, and print what it says.

    An answer of several numbers is worth the share that is right. The test cells of an assignment
    end with it (``lessons class``).
    """
    print(verdict)
    return round(worth * verdict.share, 2)


def _lessons() -> list[ModuleType]:
    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name.startswith("lesson"))
    return [importlib.import_module(f"{__name__}.{name}") for name in names]


def _check_names() -> list[str]:
    return [name for lesson in _lessons() for name in vars(lesson) if name.startswith("check_")]


def __getattr__(name: str):
    if name.startswith("check_"):
        for lesson in _lessons():
            if name in vars(lesson):
                return vars(lesson)[name]
        raise AttributeError(f"there is no check {name!r}; {_suggestion(name)}")
    raise AttributeError(f"checks has no {name!r}; its checks start with 'check_'")


def _suggestion(name: str) -> str:
    close = difflib.get_close_matches(name, _check_names())
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"the checks are: {', '.join(_check_names())}"


def __dir__() -> list[str]:
    return sorted([*__all__, *_check_names()])
