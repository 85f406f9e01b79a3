"""The real runtimes without the library's guard, for thousands of files that a test writes.

The library first tries a file that it has not seen in a child process. Files that we write need no
such trial, and a child for each would take hours.
"""

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from lessons_lib import reader, samples, signature
from lessons_lib.errors import ModelFileError
from lessons_lib.system.quiet import quiet

RESOLVERS = {
    "xnnpack": OpResolverType.AUTO,
    "builtin": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    "reference": OpResolverType.BUILTIN_REF,
}


def raw_answer(content: bytes, x, kernels: str, batch_size: int | None = None):
    """What a runtime gives for native inputs: an array for one output, a dictionary for several.

    Raises ModelFileError, in the runtime's words, where it refuses the file.
    """
    ends = signature.of_file(content)
    found = samples.rows(x, ends)
    count = len(next(iter(found.values())))
    invoke = _micro(content, ends) if kernels == "tflm" else _litert(content, ends, kernels)
    size = 1 if kernels == "tflm" else batch_size or count
    with quiet():
        parts = [invoke(part) for part in samples.calls(found, ends, size)]
    outputs = samples.joined(parts, ends, count)
    return next(iter(outputs.values())) if len(outputs) == 1 else outputs


def _litert(content: bytes, ends, kernels: str):
    def opened():
        try:
            interpreter = Interpreter(
                model_content=content,
                experimental_op_resolver_type=RESOLVERS[kernels],
                num_threads=1,
            )
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise ModelFileError(f"LiteRT: {error}") from error
        return interpreter

    kept = opened()

    def invoke(part):
        interpreter = opened() if ends.state else kept  # only a new one forgets its variables
        try:
            for name, array in part.items():
                interpreter.resize_tensor_input(ends.inputs[name].index, array.shape)
            interpreter.allocate_tensors()
            for name, array in part.items():
                interpreter.set_tensor(ends.inputs[name].index, array)
            interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise ModelFileError(f"LiteRT: {error}") from error
        return {n: interpreter.get_tensor(spec.index) for n, spec in ends.outputs.items()}

    return invoke


def _micro(content: bytes, ends):
    from tflite_micro import runtime as micro

    graph = reader.read(content).subgraphs[ends.subgraph]
    try:
        interpreter = micro.Interpreter.from_bytes(content, arena_size=2**22 + 10 * len(content))
    except RuntimeError as error:
        raise ModelFileError(f"TFLite-Micro: {error}") from error

    def invoke(part):
        try:
            interpreter.reset()
            for name, array in part.items():
                place = list(graph.inputs).index(ends.inputs[name].index)
                interpreter.set_input(np.ascontiguousarray(array), place)
            interpreter.invoke()
        except RuntimeError as error:
            raise ModelFileError(f"TFLite-Micro: {error}") from error
        places = {n: list(graph.outputs).index(spec.index) for n, spec in ends.outputs.items()}
        return {name: np.array(interpreter.get_output(place)) for name, place in places.items()}

    return invoke
