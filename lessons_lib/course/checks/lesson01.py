"""Checks of lesson 01: save a model as TF-Lite."""

import functools

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from lessons_lib.course.checks._answers import array_in, call, compare, number_in
from lessons_lib.course.checks._verdict import exercise
from lessons_lib.judge.evaluate import Proportion
from lessons_lib.tflite import reader

_WIDEST, _STEP = 0.01, 500


@exercise(
    "multiply each input by its weight, add the two products, then add the bias.",
    "The two products cancel, and the bias is left.",
)
def check_neuron(y: object) -> bool | str:
    """Exercise 1.1: what the neuron returns for the input (4, 8), a number."""
    return compare(
        y,
        0.125,
        (0, "The bias is missing."),
        (4.125, "The second weight is negative: its product is taken off."),
        (3.125, "The first weight belongs to the first input."),
        rtol=1e-5,
    )


# The lesson's neuron, and another one, which only its file knows.
_LESSON = np.array([0.5, -0.25, 0.125], np.float32)
_SECRET = np.array([-1.75, 0.625, 3.5], np.float32)


@exercise(
    "resize the file's input to the shape of the inputs and allocate again, or let "
    "`runtime.Model` do it; then return what comes back.",
    "As many answers as inputs: the batch of this file is dynamic, so one call is enough.",
)
def check_run_tiny(run_file: object) -> bool | str:
    """Exercise 1.2: a function (content, inputs) -> outputs that runs a ``.tflite``.

    It gets the file of a neuron that the learner does not know, so nobody can calculate the
    outputs, or type them in: float32 inputs (N, 2), outputs (N, 1).
    """
    if isinstance(run_file, np.ndarray):
        return "These are outputs; numbers can be typed in. Give the function that runs a file."
    for inputs in ([[4, 8], [0, 0], [-2, 2]], [[1, -1], [0.5, 3], [2, 2], [-8, 16], [0, 1]]):
        x = np.array(inputs, np.float32)
        y = array_in(call(run_file, _neuron_file(), x.copy()), "an array of float32")
        lesson, right = (x @ [[w1], [w2]] + bias for w1, w2, bias in (_LESSON, _SECRET))
        if y.size == len(x) and np.allclose(y.ravel(), lesson.ravel()):
            return "These are outputs of the lesson's neuron: run the file that the function gets."
        if y.shape != right.shape or y.dtype != np.float32:
            equal = y.size == len(x) and np.allclose(y.ravel(), right.ravel())
            return (
                f"{'The numbers are right, but what' if equal else 'What'} comes back for inputs "
                f"of shape {x.shape} is {y.dtype} of shape {y.shape}; asked is float32 of shape "
                f"{right.shape}."
            )
        if not np.allclose(y, right):
            return "The file's outputs are others. What does your function do with them?"
    return True


@functools.cache
def _neuron_file() -> bytes:
    """The secret neuron as a ``.tflite``: a dense layer from float32 (-1, 2) to (-1, 1)."""
    ends = (("x", [1, 2], [-1, 2], 0), ("y", [1, 1], [-1, 1], 0))  # 0 is the empty buffer
    parameters = (("weights", [1, 2], None, 1), ("bias", [1], None, 2))
    tensors = [
        schema.TensorT(shape, buffer=place, name=name, shapeSignature=signature)
        for name, shape, signature, place in (*ends, *parameters)
    ]
    code = schema.OperatorCodeT(schema.BuiltinOperator.FULLY_CONNECTED)
    code.builtinCode = code.deprecatedBuiltinCode
    operator = schema.OperatorT(0, [0, 2, 3], [1])
    operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    operator.builtinOptions = schema.FullyConnectedOptionsT()
    stored = (None, _SECRET[:2].view(np.uint8), _SECRET[2:].view(np.uint8))
    buffers = [schema.BufferT(data=numbers) for numbers in stored]
    graph = schema.SubGraphT(tensors, [0], [1], [operator])
    return reader.pack(schema.ModelT(3, [code], [graph], "a neuron", buffers))


@exercise(
    "try 500, 1,000, 1,500 and so on: with p = Proportion(round(0.98 * n), n), the width is "
    "p.high - p.low.",
    "The width falls with the square root of the number of images: half the width takes about "
    "four times as many.",
)
def check_test_size(n: object) -> bool | str:
    """Exercise 1.3: the test images for an interval of at most one point, an int."""
    n = number_in(n, "images")
    if not _STEP <= n < np.inf or n % _STEP:
        return f"The answer is a multiple of {_STEP}."
    if _width(int(n)) > _WIDEST:
        return f"{n:,.0f} images are too few: the interval is {_width(int(n)):.4f} wide."
    if _width(int(n) - _STEP) <= _WIDEST:
        return f"{n:,.0f} images are enough, but fewer are, too."
    return True


def _width(total: int) -> float:
    share = Proportion(round(0.98 * total), total)
    return share.high - share.low
