"""TFLite-Micro, the runtime of microcontrollers, built for this computer."""

import importlib.util
import math
import os

import numpy as np

from lessons_lib.errors import LessonError, ModelFileError
from lessons_lib.system import files, sandbox
from lessons_lib.system.quiet import Log, quiet
from lessons_lib.tflite import reader, tables
from lessons_lib.tflite.inputs import padded, require_input, require_one_of_each


def installed() -> bool:
    """Tell whether TFLite-Micro is at hand: its package is built for Linux on x86-64 only."""
    return importlib.util.find_spec("tflite_micro") is not None


def run(source: str | os.PathLike | bytes, x: np.ndarray) -> np.ndarray:
    """Return TFLite-Micro's outputs (N, classes) for native ``x`` (N, ...), one input at a time.

    Dtypes are the model's own. TFLite-Micro is the runtime of microcontrollers, here built for
    this computer. Raises LessonError where it is not installed, ModelFileError for a model that it
    does not run (such as float16 and dynamic range), and InputError as ``Model.run`` does.
    Defined in lesson 09.
    """
    invoke, _, size = opened(source, x)
    outputs = [invoke(x[start : start + size]) for start in range(0, len(x), size)]
    return np.concatenate(outputs)[: len(x)]


def opened(source: str | os.PathLike | bytes, x: np.ndarray):
    """As ``_opened``, with TFLite-Micro; what is run returns the output, padding included."""
    if not installed():
        raise LessonError(
            "TFLite-Micro is not installed: the package tflite-micro is built for Linux on x86-64 "
            'only; elsewhere compare with kernels="reference" (lesson 09)'
        )
    content = files.content(source)
    sandbox.once(content, source, "tflm", "lessons_lib.run.micro:_interpreter_probe")
    interpreter = _interpreter(content)
    detail = interpreter.get_input_details(0)
    size, *shape = map(int, detail["shape"])
    require_input(x, np.dtype(detail["dtype"]), tuple(shape))

    def invoke(part: np.ndarray) -> np.ndarray:
        interpreter.set_input(padded(part, size), 0)
        interpreter.invoke()
        return np.array(interpreter.get_output(0))

    return invoke, lambda index: np.array(interpreter.GetTensor(index, 0)["tensor_data"]), size


def _interpreter(content: bytes):
    """TFLite-Micro's interpreter, which has run once; it says on stderr what it does not like."""
    graph = reader.read(content).subgraphs[0]
    require_one_of_each(graph.inputs, graph.outputs)
    elements = sum(math.prod(shape) for shape in tables.tensors(content)["shape"])
    arena_size = 2**20 + 10 * len(content) + 8 * elements
    log = Log()
    try:
        with quiet() as log:
            from tflite_micro import runtime as micro

            keep = micro.InterpreterConfig.kPreserveAllTensors
            interpreter = micro.Interpreter.from_bytes(
                content, arena_size=arena_size, intrepreter_config=keep
            )
            detail = interpreter.get_input_details(0)
            interpreter.set_input(np.zeros(detail["shape"], detail["dtype"]), 0)
            interpreter.invoke()
    except RuntimeError as error:
        reason = " ".join(f"{log.text} {error}".split())
        raise ModelFileError(
            f"TFLite-Micro does not run this model: {reason} (lesson 09)"
        ) from error
    return interpreter


def _interpreter_probe(content: bytes) -> None:
    _interpreter(content)
