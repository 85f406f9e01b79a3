"""TFLite-Micro, the runtime of microcontrollers, built for this computer."""

import contextlib
import importlib.util
import math
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from lessons_lib.errors import LessonError, ModelFileError
from lessons_lib.system import sandbox
from lessons_lib.system.quiet import Log, quiet
from lessons_lib.tflite import edit, reader, samples, tables
from lessons_lib.tflite.samples import Rows
from lessons_lib.tflite.signature import Signature, all_of_model, choose

# Around what is said of a model that is not run: its meaning lies between.
REFUSAL, RAW = "TFLite-Micro does not run this model: ", ". In its words: "


def installed() -> bool:
    """Tell whether TFLite-Micro is at hand: its package is built for Linux on x86-64 only."""
    return importlib.util.find_spec("tflite_micro") is not None


def run(source: str | os.PathLike | bytes, x: Any) -> np.ndarray | Rows:
    """Return TFLite-Micro's outputs (N, ...) for native ``x`` (N, ...), one call after the other.

    ``x`` is an array for one input, or a dictionary by name; so is the result. Dtypes are the
    model's own; a model with a state starts anew at every call. Raises LessonError where
    TFLite-Micro is not installed, ModelFileError for a model that it does not run (such as float16
    and dynamic range), and InputError as ``Model.run`` does. Defined in lesson 09.
    """
    signature, invoke, _ = opened(source)
    found = samples.rows(x, signature)
    return samples.bare(samples.answers(invoke, found, signature, 1))


def opened(
    source: str | os.PathLike | bytes,
) -> tuple[Signature, Callable[[Rows], Rows], Callable[[int], np.ndarray]]:
    """Return a model's signature, how to run one call, and how to read a tensor afterwards.

    Raises what ``run`` raises.
    """
    content = _survived(source)
    model = reader.read(content)
    signature, graph = choose(all_of_model(model)), model.subgraphs[0]
    for side, ends in ((signature.inputs, graph.inputs), (signature.outputs, graph.outputs)):
        if lost := [name for name, spec in side.items() if spec.index not in ends]:
            raise ModelFileError(
                f"the signature names {', '.join(lost)}, which the subgraph neither takes nor "
                "gives, and TFLite-Micro goes by the subgraph. TFLiteConverter writes that where "
                "an output is the input itself, unchanged: leave that output out of the model "
                "(lesson 09)"
            )
    interpreter = _interpreter(content)

    def invoke(part: Rows) -> Rows:
        if signature.state:
            interpreter.reset()
        for name, array in part.items():
            place = graph.inputs.index(signature.inputs[name].index)
            interpreter.set_input(array, place)
        try:
            interpreter.invoke()
        except RuntimeError as error:
            raise ModelFileError(
                f"TFLite-Micro refuses these inputs: {error} (lesson 09)"
            ) from error
        return {
            name: np.array(interpreter.get_output(graph.outputs.index(spec.index)))
            for name, spec in signature.outputs.items()
        }

    return signature, invoke, lambda index: np.array(interpreter.GetTensor(index, 0)["tensor_data"])


def arena(source: str | os.PathLike | bytes) -> int:
    """Return how many bytes of RAM TFLite-Micro took for one call of a model: its arena.

    The smallest arena with which it runs, to the byte: activations, and what describes the
    operators. Here pointers have 8 bytes; with the 4 of a microcontroller it is a little less. The
    stack and the code of the kernels come on top. Raises what ``run`` raises. Source:
    ``tflite::RecordingMicroAllocator``.
    """
    interpreter = _run_once(_survived(source), keep=False)
    with quiet() as log:
        interpreter.print_allocations()
    return int(re.search(r"Arena allocation total (\d+) bytes", log.text)[1])


def _survived(source: str | os.PathLike | bytes) -> bytes:
    """The content of a file that TFLite-Micro has run once, in a child process."""
    if not installed():
        raise LessonError(
            "TFLite-Micro is not installed: the package tflite-micro is built for Linux on x86-64 "
            'only; elsewhere compare with kernels="reference" (lesson 09)'
        )
    content = edit.only_signature(source)
    if reader.keeps_data_behind(reader.read(content)):
        raise ModelFileError(
            "the file keeps constants behind its FlatBuffer, as LiteRT's quantizer writes large "
            "files. TFLite-Micro does not look there, and answers nonsense without a word: write "
            "the file again with edit.with_data_inside (lesson 13)"
        )
    sandbox.once(content, source, "tflm", "lessons_lib.run.micro:_probe")
    return content


def _probe(content: bytes) -> None:
    """In a child: raise ModelFileError if TFLite-Micro refuses a model."""
    _run_once(content)


def _run_once(content: bytes, keep: bool = True):
    """The interpreter, after a call with zeros."""
    interpreter = _interpreter(content, keep)
    for place in range(len(reader.read(content).subgraphs[0].inputs)):
        detail = interpreter.get_input_details(place)
        interpreter.set_input(np.zeros(detail["shape"], detail["dtype"]), place)
    with _refusal():
        interpreter.invoke()
    return interpreter


# What TFLite-Micro's words mean.
_MEANINGS = (
    (r"Hybrid models|FLOAT32 with filter type", "its weights are integers and its activations "
     "floats. Take int8 or int16x8"),
    (r"Node DEQUANTIZE", "its weights are float16 or have 4 bits. Take int8 or int16x8"),
    (r"filter->type != kTfLiteInt4", "its weights have 4 bits. Take int8 or int16x8"),
    (r"Non-constant", "it computes shapes while it runs. Save the model with a batch of one"),
    (r"Didn't find op for builtin opcode '(\w+)'", "it has no operator {}"),
)  # fmt: skip


def _meaning(reason: str) -> str:
    for pattern, words in _MEANINGS:
        if found := re.search(pattern, reason):
            return f"{words.format(*found.groups())}{RAW}{reason}"
    return reason


def _interpreter(content: bytes, keep: bool = True):
    elements = sum(math.prod(shape) for shape in tables.tensors(content)["shape"])
    arena_size = 2**20 + 10 * len(content) + 8 * elements
    with _refusal():
        from tflite_micro import runtime as micro

        kinds = micro.InterpreterConfig
        kind = kinds.kPreserveAllTensors if keep else kinds.kAllocationRecording
        return micro.Interpreter.from_bytes(content, arena_size=arena_size, intrepreter_config=kind)


@contextlib.contextmanager
def _refusal() -> Iterator[None]:
    """TFLite-Micro says on stderr, not in its errors, what it does not like."""
    log = Log()
    try:
        with quiet() as log:
            yield
    except RuntimeError as error:
        lines = [line.strip() for line in f"{log.text}\n{error}".splitlines()]
        reason = re.sub(r" with status 1;.*", "", "; ".join(filter(None, lines)))
        raise ModelFileError(f"{REFUSAL}{_meaning(reason)} (lesson 09)") from error
