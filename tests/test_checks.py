"""The framework of the exercise checks."""

import numpy as np
import pytest

from lessons_lib import checks
from lessons_lib.checks import Verdict, report
from lessons_lib.checks._verdict import number_in
from lessons_lib.errors import InputError


def is_three(answer):
    return answer + 0 == 3


def test_a_right_answer():
    verdict = report("3.1", 3, is_three, hint="Count again.", explain="1 + 2 makes 3.")
    assert bool(verdict) is True
    assert repr(verdict) == "Exercise 3.1: correct. 1 + 2 makes 3."


def test_a_wrong_answer_shows_the_hint_and_not_the_explanation():
    verdict = report("3.1", 4, is_three, hint="Count again.", explain="1 + 2 makes 3.")
    assert bool(verdict) is False
    assert repr(verdict) == "Exercise 3.1: not yet. Hint: Count again."


@pytest.mark.parametrize("answer", [..., (..., 3), [3, ...], {"scale": ..., "zero_point": 0}])
def test_three_dots_are_not_attempted(answer):
    verdict = report("3.1", answer, is_three, hint="Count again.")
    assert not verdict
    assert repr(verdict).startswith("Exercise 3.1: not attempted.")


@pytest.mark.parametrize("answer", ["three", None, [3], object(), np.zeros(3)])
def test_an_answer_of_the_wrong_type_gets_the_hint_and_no_traceback(answer):
    verdict = report("3.1", answer, is_three, hint="Count again.")
    assert not verdict
    assert repr(verdict).startswith("Exercise 3.1: not yet. Your answer, a")
    assert repr(verdict).endswith("Hint: Count again.")


def test_a_learners_function_may_fail_in_any_way():
    def endless(x):
        return endless(x)

    verdict = report("3.2", endless, lambda function: function(1) == 1, hint="Return x.")
    assert repr(verdict).startswith("Exercise 3.2: not yet. Your answer, a function, could not be")
    assert "\n" not in repr(verdict)


def test_a_remark_stands_before_the_hint():
    verdict = report("3.1", 2, lambda a: "Too small." if a < 3 else a == 3, hint="Count again.")
    assert repr(verdict) == "Exercise 3.1: not yet. Too small. Hint: Count again."
    assert not report("3.1", 4, lambda a: "", hint="Count again.")


@pytest.mark.parametrize("answer", [3, 3.0, np.int8(3), [[3]], np.float32([3]), "3", "3.0"])
def test_one_number_may_come_in_many_forms(answer):
    assert number_in(answer) == 3.0
    assert number_in("470,400") == 470_400


@pytest.mark.parametrize("answer", ["three", [3, 3], [], object()])
def test_what_holds_no_number_or_several_is_an_error_that_report_catches(answer):
    with pytest.raises((ValueError, TypeError)):
        number_in(answer)


def test_numpy_booleans_count():
    assert report("3.1", np.int8(3), lambda a: np.bool_(a == 3), hint="Count again.")


@pytest.mark.parametrize(
    ("number", "passed", "hint", "named"),
    [
        ("three", is_three, "Count again.", "three"),
        ("3.1", True, "Count again.", "function"),
        ("3.1", is_three, " ", "hint"),
    ],
)
def test_a_badly_made_exercise_is_refused(number, passed, hint, named):
    with pytest.raises(InputError, match=named):
        report(number, 3, passed, hint)


@pytest.fixture
def lesson_99(tmp_path, monkeypatch):
    """A lesson's checks in a folder of their own, beside the real ones."""
    (tmp_path / "lesson99.py").write_text(
        "from lessons_lib.checks._verdict import report\n\n"
        "def check_three(answer):\n"
        "    return report('99.1', answer, lambda a: a == 3, hint='Count again.')\n"
    )
    monkeypatch.setattr(checks, "__path__", [*checks.__path__, str(tmp_path)])


def test_a_lessons_checks_are_found_by_name(lesson_99):
    assert checks.check_three(3)
    assert not checks.check_three(...)
    assert "check_three" in dir(checks)
    assert "report" in dir(checks)


def test_a_misspelt_check_names_the_close_ones(lesson_99):
    with pytest.raises(AttributeError, match="did you mean check_three"):
        _ = checks.check_thre


def test_an_unknown_check_lists_them_all(lesson_99):
    with pytest.raises(AttributeError, match=r"the checks are: .*check_three"):
        _ = checks.check_zzzzzzzz


def test_other_names_are_not_checks():
    with pytest.raises(AttributeError, match="start with 'check_'"):
        _ = checks.three


def test_no_two_lessons_share_a_name():
    names = checks._check_names()
    assert len(names) == len(set(names))


def test_a_verdict_is_plain_text_only():
    assert not hasattr(Verdict("1.1", "correct"), "_repr_html_")
    assert repr(Verdict("1.1", "correct")) == "Exercise 1.1: correct."
