"""The tests that the checks of every lesson must pass, from tables of answers."""

import importlib
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ai_edge_litert import schema_py_generated as schema

import tiny_models

LEAST = 3  # of each check: right answers of different kinds, and wrong ones


def raising(error):
    def function(*given):
        raise error

    return function


STRANGE = (  # what nobody wants for an answer, and somebody gives
    *(None, True, 0, -1.5, float("nan"), 1j, 10**5000, "", "words", "1e999", "x" * 5000, b"\0"),
    *([], (), {}, set(), [None], [[1], [2, 3]], ["a", "b"], [[[]]], {"a": 1}, {1, 2}, range(3)),
    *(object(), int, np, np.float32, len, iter([1]), (number for number in [1, 2])),
    *(np.zeros(3), np.zeros((2, 3, 4)), np.array("a"), np.array([None, 1]), np.array([])),
    *(pd.Series([1, 2]), pd.DataFrame({"a": [1]}), lambda: 1, lambda a, b, c, d, e: 1),
    *(raising(ValueError("several\nlines")), raising(KeyError("a"))),
)
# Words in which Python, NumPy and pandas speak of what they cannot do.
LEAK = re.compile(
    r"Error|Exception|object (is|has|of)|broadcast|could not|unsupported|invalid|inhomogeneous|"
    r"'NoneType'|subscript|ambiguous|positional|0x[0-9a-f]{6}|<"
)


@dataclass(frozen=True)
class Answers:
    """What one check is tried with; the keys say of which kind an answer is.

    ``right``: answers by kind: types, and roads that lead there. ``wrong``: by slip, pairs of an
    answer and words that the verdict must say of it.
    """

    right: dict[str, Any]
    wrong: dict[str, tuple[Any, str]]


def class_of_tests(answers):
    """Return a test class for one lesson: ``answers`` maps each of its checks to Answers."""
    right = [
        pytest.param(check, answer, id=f"{check.__name__}: {kind}")
        for check, table in answers.items()
        for kind, answer in table.right.items()
    ]
    wrong = [
        pytest.param(check, *pair, id=f"{check.__name__}: {kind}")
        for check, table in answers.items()
        for kind, pair in table.wrong.items()
    ]

    strange = [*STRANGE, *(lambda *given, value=value: value for value in STRANGE)]

    class TestAnswers:
        table_of_answers = answers

        def test_there_are_answers_of_different_kinds_for_every_check(self):
            lesson = importlib.import_module(f"lessons_lib.course.checks.{lesson_of(answers)}")
            names = {name for name in vars(lesson) if name.startswith("check_")}
            assert {check.__name__ for check in answers} == names
            for check, table in answers.items():
                messages = {check(answer).message for answer, _ in table.wrong.values()}
                assert min(len(table.right), len(table.wrong), len(messages)) >= LEAST, check

        @pytest.mark.parametrize("check", answers)
        @pytest.mark.filterwarnings("ignore")
        def test_nothing_that_python_says_reaches_the_learner(self, check):
            for answer in strange:
                verdict = check(answer)
                assert verdict.state == "not yet"
                said = verdict.message.partition("Hint: ")[0]
                said = re.sub("(?<=Your function raised )[^ ]+Error: .*", "", said)
                assert not LEAK.search(said), said

        @pytest.mark.parametrize(("check", "answer"), right)
        def test_a_right_answer_is_praised(self, check, answer):
            verdict = check(answer)
            assert verdict, verdict
            assert verdict.message

        @pytest.mark.parametrize(("check", "answer", "said"), wrong)
        def test_a_wrong_answer_hears_what_is_wrong(self, check, answer, said):
            verdict = check(answer)
            assert (bool(verdict), verdict.state) == (False, "not yet")
            assert said in verdict.message.partition("Hint: ")[0]
            assert "Hint: " in verdict.message

        @pytest.mark.parametrize("check", answers)
        def test_three_dots_are_not_attempted(self, check):
            assert check(...).state == "not attempted"

    return TestAnswers


def lesson_of(answers):
    """Return the name of the one module, such as lesson03, whose checks are in a table."""
    modules = {check.__module__ for check in answers}
    (lesson,) = {name.rpartition(".")[2] for name in modules if name.startswith("lessons_lib.")}
    return lesson


_WEIGHTED = {"CONV_2D": (4, 3, 3, 4), "DEPTHWISE_CONV_2D": (1, 3, 3, 4), "FULLY_CONNECTED": (4, 4)}
_OPTIONS = {
    "CONV_2D": schema.Conv2DOptionsT,
    "DEPTHWISE_CONV_2D": schema.DepthwiseConv2DOptionsT,
    "FULLY_CONNECTED": schema.FullyConnectedOptionsT,
}


def network(chain, dtype="UINT8", weights="INT8", batch=1):
    """Return a ``.tflite`` to look at, not to run: a chain of operators, without TensorFlow.

    ``chain``: words such as CONV_2D, CONV_2D:RELU (fused), and QUANTIZE>INT8 (from there on the
    activations are INT8). ``dtype`` is the input's, ``weights`` that of operators on integers; on
    floats they are FLOAT32. A ``batch`` of -1 is dynamic.
    """

    def activation(name):
        tensor, data = tiny_models.tensor(name, dtype, (1, 4))
        tensor.shapeSignature = [batch, 4]
        return tensor, data

    tensors, operators = [activation("input")], []
    for number, word in enumerate(chain.split()):
        name, _, fused = word.partition(":")
        name, _, changed = name.partition(">")
        inputs = [len(tensors) - 1]
        if name in _WEIGHTED:
            stored = "FLOAT32" if dtype == "FLOAT32" else weights
            data = np.zeros(_WEIGHTED[name], np.float32)
            tensors.append(tiny_models.tensor(f"w{number}", stored, data.shape, data=data))
            inputs.append(len(tensors) - 1)
        dtype = changed or dtype
        tensors.append(activation(f"m/layer{number}/{name}"))
        options = _OPTIONS[name]() if name in _OPTIONS else None
        if fused:
            options.fusedActivationFunction = getattr(schema.ActivationFunctionType, fused)
        operators.append((name, options, inputs, [len(tensors) - 1]))
    return tiny_models.assemble(tensors, operators, [0], [len(tensors) - 1])
