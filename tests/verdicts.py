"""The tests that the checks of every lesson must pass, from tables of answers."""

import pytest


def class_of_tests(right, wrong):
    """Return a test class for one lesson: ``right`` and ``wrong`` are lists of (check, answer)."""

    class TestAnswers:
        @pytest.mark.parametrize(("check", "answer"), right)
        def test_a_right_answer_is_praised(self, check, answer):
            verdict = check(answer)
            assert verdict, verdict
            assert verdict.message

        @pytest.mark.parametrize(("check", "answer"), wrong)
        def test_a_wrong_answer_gets_a_hint(self, check, answer):
            verdict = check(answer)
            assert (bool(verdict), verdict.state) == (False, "not yet")
            assert "Hint: " in verdict.message

        @pytest.mark.parametrize("check", dict.fromkeys(check for check, _ in right))
        def test_three_dots_are_not_attempted(self, check):
            assert check(...).state == "not attempted"

    return TestAnswers
