"""Variables: what a streaming model keeps from one call to the next.

VAR_HANDLE names one, READ_VARIABLE and ASSIGN_VARIABLE read and write it, and CALL_ONCE runs a
subgraph before the first call that gives all of them their first values. The engine starts every
sample anew, as ``runtime.Model`` does: what is read are those first values, and what is assigned
nobody reads.
"""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from lessons_lib.errors import ModelFileError
from lessons_lib.tflite import reader

OPERATORS = ("CALL_ONCE", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE")


def settle(model: schema.ModelT, graph: schema.SubGraphT, kernels: str) -> None:
    """Turn what a graph reads from variables into constants, and take their operators out.

    Raises ModelFileError where that would not be what the named kernels compute.
    """
    operators = _named(model, graph)
    first, handles, assigned = _first_values(model, operators), {}, set()
    for name, op in operators:
        if name == "VAR_HANDLE":
            handles[op.outputs[0]] = op.builtinOptions.sharedName
        elif name == "ASSIGN_VARIABLE":
            assigned.add(handles.get(op.inputs[0]))
        elif name == "READ_VARIABLE":
            variable = handles.get(op.inputs[0])
            if variable in assigned or variable not in first:
                _refuse("reads a variable after it is assigned, or without a first value")
            if kernels == "tflm" and not _is_blank(model, first[variable]):
                _refuse("gives a variable a first value; TFLite-Micro forgets it when it is reset")
            graph.tensors[op.outputs[0]].buffer = first[variable].buffer
    graph.operators = [op for name, op in operators if name not in OPERATORS]


def _named(model: schema.ModelT, graph: schema.SubGraphT) -> list[tuple[str, schema.OperatorT]]:
    return [(reader.operator_name(model, op), op) for op in graph.operators]


def _first_values(model: schema.ModelT, operators: list) -> dict[bytes, schema.TensorT]:
    """What the subgraphs that run once store in each variable, by its name."""
    first = {}
    for name, op in operators:
        if name != "CALL_ONCE":
            continue
        graph, handles = model.subgraphs[op.builtinOptions.initSubgraphIndex], {}
        for inner, part in _named(model, graph):
            if inner == "VAR_HANDLE":
                handles[part.outputs[0]] = part.builtinOptions.sharedName
            elif inner == "ASSIGN_VARIABLE":
                first[handles.get(part.inputs[0])] = graph.tensors[part.inputs[1]]
            else:
                _refuse(f"computes the first values of its variables, with {inner}")
    return first


def _is_blank(model: schema.ModelT, tensor: schema.TensorT) -> bool:
    """Whether a value is what TFLite-Micro fills a variable with: the zero point in each byte."""
    found = tensor.quantization
    zero_points = reader.integers(found.zeroPoint) if found is not None else []
    blank = np.array(zero_points[:1] or [0]).astype(np.int8)
    return bool(np.all(reader.stored_bytes(model, tensor).view(np.int8) == blank))


def _refuse(what: str) -> None:
    raise ModelFileError(
        f"the model {what}: the engine takes variables that are read before they are assigned, and "
        "starts each sample anew. LiteRT runs such a file: runtime.Model (lesson 09)"
    )
