"""The framework of the exercise checks."""

import dataclasses
import functools
import importlib
import itertools
import sys

import numpy as np
import pytest

import test_checks_lesson02
from lessons_lib import affine, checks
from lessons_lib.course.checks import Verdict, report
from lessons_lib.course.checks._answers import (
    Remark,
    array_in,
    call,
    compare,
    describe,
    floats_in,
    number_in,
    numbers_in,
    slip,
)
from lessons_lib.course.checks._verdict import exercise
from lessons_lib.errors import InputError
from verdicts import class_of_tests, lesson_of


def is_three(answer):
    return answer + 0 == 3


def open_still(x): ...


def half_a_sum(x):
    total = x + ...
    return total


def half_a_list(converter):
    converter.optimizations = [...]
    return converter


def half_a_call(x):
    return round(...)


def test_a_right_answer():
    verdict = report("3.1", 3, is_three, hint="Count again.", explain="1 + 2 makes 3.")
    assert bool(verdict) is True
    assert repr(verdict) == "Exercise 3.1: correct. 1 + 2 makes 3."


def test_a_wrong_answer_shows_the_hint_and_not_the_explanation():
    verdict = report("3.1", 4, is_three, hint="Count again.", explain="1 + 2 makes 3.")
    assert bool(verdict) is False
    assert repr(verdict) == "Exercise 3.1: not yet. Hint: Count again."


@pytest.mark.parametrize(
    "answer",
    [
        *(..., (..., 3), [3, ...], {"scale": ..., "zero_point": 0}, ([1, ...], 2)),
        {"number": 3, "read": open_still},
        *(half_a_sum, half_a_list, half_a_call),
    ],
)
def test_three_dots_are_not_attempted(answer):
    verdict = report("3.1", answer, is_three, hint="Count again.")
    assert not verdict
    assert repr(verdict).startswith("Exercise 3.1: not attempted.")


def filled(x):
    x[...] = 3
    x[..., 0] += x[...].max()
    return x


def test_three_dots_of_an_index_are_no_blank():
    verdict = report("3.1", filled, lambda fill: fill(np.zeros(2))[1] == 3, hint="Count again.")
    assert verdict


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("three", "Your answer, the text 'three', has another form than the task asks for."),
        (None, "Your answer, None, has another form than the task asks for."),
        (np.zeros(3), "Your answer, an array of float64, shape (3,), has another form"),
        (is_three, "What your function returns has another form than the task asks for."),
    ],
)
def test_an_answer_of_another_form_is_described_without_a_traceback(answer, said):
    verdict = report("3.1", answer, is_three, hint="Count again.")
    assert not verdict
    assert repr(verdict).startswith(f"Exercise 3.1: not yet. {said}")
    assert repr(verdict).endswith("Hint: Count again.")


def test_an_answer_that_holds_itself_is_no_trouble():
    answer = []
    answer.append(answer)
    assert not report("3.1", answer, is_three, hint="Count again.")


class Fails:
    """An object whose own methods raise."""

    def __str__(self):
        raise ValueError("no text")

    __repr__ = __float__ = __array__ = __eq__ = __str__
    __hash__ = None


def test_an_object_that_fails_is_no_trouble():
    assert "a Fails" in report("3.1", Fails(), is_three, hint="Count again.").message
    assert "a Fails" in report("3.1", [Fails()], number_in, hint="Count again.").message


def test_a_check_has_the_number_in_its_docstring_and_the_name_of_its_function():
    @exercise("Count again.", "1 + 2 makes 3.")
    def check_sum(answer):
        """Exercise 3.1: the sum of 1 and 2."""
        return compare(answer, 3, (4, 5, "Too many."))

    assert (check_sum.__name__, check_sum.__module__) == ("check_sum", __name__)
    assert repr(check_sum(3)) == "Exercise 3.1: correct. 1 + 2 makes 3."
    assert repr(check_sum(5)) == "Exercise 3.1: not yet. Too many. Hint: Count again."


def test_a_remark_stands_before_the_hint():
    verdict = report("3.1", 2, lambda a: "Too small." if a < 3 else a == 3, hint="Count again.")
    assert repr(verdict) == "Exercise 3.1: not yet. Too small. Hint: Count again."
    assert not report("3.1", 4, lambda a: "", hint="Count again.")


def test_a_remark_may_be_raised():
    def passed(answer):
        raise Remark("Too small.")

    verdict = report("3.1", 2, passed, hint="Count again.")
    assert repr(verdict) == "Exercise 3.1: not yet. Too small. Hint: Count again."


@pytest.mark.parametrize(
    "answer", [3, 3.0, np.int8(3), [[3]], np.float32([3]), "3", "3.0", " 3 kg", "3KG", (3,)]
)
def test_one_number_may_come_in_many_forms(answer):
    assert number_in(answer, "kg") == 3.0


@pytest.mark.parametrize(
    ("text", "number"),
    [("470,400", 470_400), ("-1e-3", -0.001), ("\N{MINUS SIGN}2", -2), (".5", 0.5), ("+7.", 7)],
)
def test_a_number_may_be_a_text(text, number):
    assert number_in(text) == number


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("three", "the text 'three'; a number is asked"),
        ("3 lb", "Give the number alone, without 'lb'"),
        ([3, 3], "holds 2 numbers; one is asked"),
        ([], "holds 0 numbers; one is asked"),
        (None, "is or holds None"),
        ([None], "is or holds None"),
        (object(), "is or holds an object"),
        ({"a": 3}, "is or holds a dict of 1"),
        ({3}, "a set, which has no order"),
        (number_in, "is or holds a function"),
        (np, "the module numpy"),
        pytest.param(10**5000, "a value of type int", id="huge"),
    ],
)
def test_what_holds_no_number_is_described(answer, said):
    with pytest.raises(Remark) as caught:
        number_in(answer, "kg")
    assert said in str(caught.value)


def test_numbers_come_out_of_any_nest():
    nest = ([1, "2"], np.array([[3], [4]]), (x for x in [5]), range(6, 8))
    assert numbers_in(nest, 7).tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert sorted(numbers_in({1, 2}, ordered=False)) == [1, 2]
    with pytest.raises(Remark, match="does it ever end"):
        numbers_in(itertools.count())
    with pytest.raises(Remark, match="The scales holds 1 number; 2 are asked"):
        numbers_in([1], 2, subject="The scales")


def test_a_known_slip_is_the_first_that_fits():
    assert slip([1, 2], ([2, 1], "swapped"), ([1, 2], "these"), ([1, 2], "later")) == "these"
    assert slip([1, 2], ([0, 0], [1, 2], "one of these")) == "one of these"
    assert slip(3, (4, "another")) is False


def test_an_answer_of_several_numbers_is_worth_the_share_that_is_right(capsys):
    @exercise("Count.", "Counted.")
    def check_three(answer):
        """Exercise 1.1: three numbers."""
        return compare(answer, (1, 2, 3), ((1, 2, 4), "One too many."))

    verdicts = [check_three(answer) for answer in ((1, 2, 3), (1, 2, 4), (1, 0, 0), 1, ...)]
    assert [checks.points(one, 3) for one in verdicts] == [3, 2, 1, 0, 0]
    assert capsys.readouterr().out.splitlines() == [str(one) for one in verdicts]
    assert verdicts[1].message == "One too many. Hint: Count."
    assert verdicts[2].message == "Hint: Count."
    assert checks.points(check_three((1, 0, 0)), 1) == 0.33


def test_numbers_are_compared_exactly_unless_they_may_be_off():
    assert compare(["1", 2], (1, 2))
    assert not compare(1.001, 1)
    assert compare("1.001 kg", 1, units=("kg",), atol=0.01)
    assert compare(1000, 1, (1001, "Too many."), near=0.01) == "Too many."
    with pytest.raises(Remark, match="holds 1 number; 2 are asked"):
        compare(1, (1, 2))


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (3, "Your answer is 3 (a number of type int); asked is a function"),
        (None, "Your answer is None; asked is a function"),
        (lambda x: None, "returns nothing: is its `return` missing?"),
        (lambda x: ..., "returns nothing"),
        (lambda: 1, "Your function raised TypeError: "),
        (lambda x: 1 / 0, "Your function raised ZeroDivisionError: division by zero."),
        (lambda x: sys.exit(1), "Your function raised SystemExit: 1."),
    ],
)
def test_a_learners_function_may_fail_in_any_way(function, said):
    with pytest.raises(Remark) as caught:
        call(function, 1)
    assert said in str(caught.value)


def test_a_function_that_never_ends_is_told_so():
    def endless(x):
        return endless(x)

    verdict = report("3.2", endless, lambda function: call(function, 1) == 1, hint="Return x.")
    assert repr(verdict).startswith("Exercise 3.2: not yet. Your function raised RecursionError")
    assert "\n" not in repr(verdict)


def test_a_function_may_return_none_where_it_is_an_answer():
    assert call(lambda: None, none_is_an_answer=True) is None


@pytest.mark.parametrize("value", ["a", [[1], [2, 3]], {1: 2}, object(), Fails(), np.array([None])])
def test_what_is_no_array_of_numbers_is_described(value):
    with pytest.raises(Remark, match=r"Your function returns .*; asked is codes"):
        array_in(value, "codes")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "None"),
        (True, "True"),
        ("x" * 50, f"the text '{'x' * 37}...'"),
        (b"abc", "3 bytes"),
        (0.5, "0.5 (a number of type float)"),
        (np.zeros((2, 3)), "an array of float64, shape (2, 3)"),
        (np.array(["a"]), "an array of texts, shape (1,)"),
        ([1, 2], "a list of 2"),
        (np.ndarray, "the class ndarray"),
        (len, "a function"),
        (Fails(), "a Fails"),
        (iter([]), "a list_iterator"),
    ],
)
def test_values_are_described_in_a_few_words(value, words):
    assert describe(value) == words


def halved(x):
    return x / 2


def one_half_of(numbers):
    return numbers / 2


class CallableHalf:
    def __call__(self, x):
        return np.asarray(x) / 2


half = 2  # a whole number, whatever its name; NumPy has a float type of that name


def with_names_of_floats(x):
    double, single = 2, 1
    return (x.astype(np.int16) * double + single) // half


@pytest.mark.parametrize(
    ("function", "found"),
    [
        (lambda x: x >> 1, ""),
        (lambda x: (x // 2).astype(np.int16), ""),
        (np.vectorize(lambda x: x + 1), ""),
        (lambda x: np.array([int(code) + 1 for code in x]), ""),
        (np.invert, ""),
        (with_names_of_floats, ""),
        (lambda x: x / 2, "divide gives float64"),
        (lambda x: x * np.float32(0.5), "multiply gives float32"),
        (lambda x: halved(x), "divide gives float64"),
        (lambda x: x.astype(float), "astype gives float64"),
        (lambda x: [int(code) / 2 for code in x], "the division `/`"),
        (lambda x: [int(code) * 0.5 for code in x], "the number 0.5"),
        (lambda x: np.asarray(x, np.float32), "`float32`"),
        (lambda x: np.array(x, "float64"), "`float64`"),
        (lambda x: np.asarray(x, np.single), "`single`"),
        (lambda x: np.divide(np.asarray(x), 2), "`divide`"),
        (lambda x: np.array([(lambda code: float(code))(code) for code in x]), "`float`"),
        (lambda x: affine.quantize(x, 1, 0), "`affine`, which calculates in float32"),
        (lambda x: one_half_of(np.asarray(x)), "the division `/`"),
        (functools.partial(lambda by, x: np.asarray(x) / by, 2), "the division `/`"),
        (np.vectorize(lambda x: int(x * 0.5)), "the number 0.5"),
        (CallableHalf(), "the division `/`"),
        (functools.partial(np.add, 1), ""),
    ],
)
def test_floats_are_found_in_a_function(function, found):
    assert floats_in(function, np.arange(4, dtype=np.int8)) == found


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
        "from lessons_lib.course.checks._verdict import report\n\n"
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


@pytest.mark.parametrize("lesson", [lesson.__name__[-8:] for lesson in checks._lessons()])
def test_each_lessons_checks_are_tried_with_a_table_of_answers(lesson):
    """The class that is made there demands right and wrong answers of three kinds a check."""
    tests = vars(importlib.import_module(f"test_checks_{lesson}"))
    made = [name for name, value in tests.items() if hasattr(value, "table_of_answers")]
    assert [name.startswith("Test") for name in made] == [True]
    assert tests[made[0]].table_of_answers is tests["ANSWERS"]
    assert lesson_of(tests["ANSWERS"]) == lesson


@pytest.mark.parametrize("part", ["right", "wrong", "check"])
def test_a_table_with_too_few_answers_is_noticed(part):
    answers, check = dict(test_checks_lesson02.ANSWERS), checks.check_macs
    if part == "check":
        del answers[check]
    else:
        few = dict([*getattr(answers[check], part).items()][:2])
        answers[check] = dataclasses.replace(answers[check], **{part: few})
    tests = class_of_tests(answers)()
    with pytest.raises(AssertionError):
        tests.test_there_are_answers_of_different_kinds_for_every_check()


def test_a_verdict_is_plain_text_only():
    assert not hasattr(Verdict("1.1", "correct"), "_repr_html_")
    assert repr(Verdict("1.1", "correct")) == "Exercise 1.1: correct."
