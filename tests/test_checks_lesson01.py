"""The checks of lesson 01 accept right answers, refuse wrong ones, and wait for the rest."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from lessons_lib import checks, runtime
from verdicts import Answers, class_of_tests


def by_the_library(content, inputs):
    return runtime.Model(content).predict(inputs)


def by_the_interpreter(content, inputs):
    interpreter = Interpreter(model_content=content)
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, inputs.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(index, inputs)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def row_by_row(content, inputs):
    return np.concatenate([by_the_interpreter(content, row[np.newaxis]) for row in inputs])


def by_hand(content, inputs):
    return inputs @ np.float32([[0.5], [-0.25]]) + np.float32(0.125)


def not_resized(content, inputs):
    return by_the_interpreter(content, inputs[:1])


def flattened(content, inputs):
    return by_the_interpreter(content, inputs).ravel()


def in_float64(content, inputs):
    return by_the_interpreter(content, inputs).astype(float)


def doubled(content, inputs):
    return 2 * by_the_interpreter(content, inputs)


TYPED_IN = np.array([[0.125], [0.125], [-1.375]], np.float32)

ANSWERS = {
    checks.check_neuron: Answers(
        right={
            "a Python float": 0.125,
            "a NumPy scalar": np.float32(0.125),
            "an array": np.float32([[0.125]]),
            "nested lists": [[0.125]],
            "a text": "0.125",
        },
        wrong={
            "no bias": (0, "The bias is missing"),
            "a lost sign": (4.125, "second weight is negative"),
            "weights swapped": (3.125, "first weight belongs"),
            "two numbers": ([0.125, 0.125], "holds 2 numbers; one is asked"),
            "words": ("an eighth", "the text 'an eighth'"),
            "something else": (1, ""),
        },
    ),
    checks.check_run_tiny: Answers(
        right={
            "by the library": by_the_library,
            "by the interpreter": by_the_interpreter,
            "row by row": row_by_row,
            "a lambda": lambda content, x: runtime.Model(content).run(x),
        },
        wrong={
            "typed in": (TYPED_IN, "numbers can be typed in"),
            "typed in, as a list": (TYPED_IN.tolist(), "asked is a function"),
            "the neuron by hand": (by_hand, "of the lesson's neuron"),
            "one input of three": (not_resized, "is float32 of shape (1, 1); asked is float32"),
            "without its last axis": (flattened, "are right, but what comes back for inputs"),
            "in float64": (in_float64, "is float64 of shape (3, 1)"),
            "another number": (doubled, "The file's outputs are others"),
            "no content": (lambda x: x, "raised TypeError"),
            "no return": (lambda content, x: None, "is its `return` missing"),
        },
    ),
    checks.check_test_size: Answers(
        right={"an int": 3500, "a text": "3,500", "with its unit": "3500 images", "NumPy": 3.5e3},
        wrong={
            "none": (0, "a multiple of 500"),
            "too few": (3000, "3,000 images are too few: the interval is 0.0101 wide"),
            "too many": (4000, "4,000 images are enough, but fewer are, too"),
            "no multiple": (3400, "a multiple of 500"),
            "infinity": (np.inf, "a multiple of 500"),
            "None": (None, "holds None"),
        },
    ),
}

TestAnswers = class_of_tests(ANSWERS)


@pytest.mark.parametrize("kernels", ["xnnpack", "reference"])
def test_1_2_runs_a_file_that_runtimes_can_run(kernels):
    files = []
    checks.check_run_tiny(lambda content, x: files.append((content, x)))
    (content, x), model = files[0], runtime.Model(files[0][0], kernels=kernels)
    assert model.input_shape == (2,)
    assert model.predict(x).shape == (len(x), 1)
    assert not np.allclose(model.predict(x), by_hand(content, x))


def test_no_hint_gives_the_solution_away():
    assert "predict(" not in checks.check_run_tiny(doubled).message
