"""Which layer a tensor belongs to: read from the names that Keras and the converter give.

A file knows no layers. The converter leaves scopes, ``model_1/dense_1/MatMul``, and joins the names
of what it fuses with ``;``. Exporting with Keras 3 adds a number to every scope: each layer enters
its scope twice, and TensorFlow makes the second entry unique, ``dense_1`` for ``dense``, and
``dense_1_2`` for a ``dense_1`` beside it, for ``dense_1`` was taken. So one number is taken off.
"""

import re
from collections.abc import Callable, Iterable

from ai_edge_litert import schema_py_generated as schema

from lessons_lib.tflite import reader

_NUMBERED = re.compile(r"(.+)_(\d+)")
# How the operators are called that have weights, in the names that TensorFlow gives them.
_WEIGHTY = re.compile(r"conv|matmul|depthwise|einsum|tensordot|gather|lookup|lstm", re.IGNORECASE)
_AFTERWARDS = re.compile(r"relu|biasadd|tanh|sigmoid|squeeze", re.IGNORECASE)


def layer_name(tensor_name: str) -> str:
    """Return the Keras layer that a tensor's name speaks of: ``m_1/conv_1/Relu;m_1/...``: conv.

    Of an operator into which the converter fused several layers it is the one with the weights.
    A layer of a model inside the model, or of a layer, is ``encoder/dense``. A name without layers
    is returned as it is. The tables' column ``layer`` knows more: all names of the file.
    Defined in lesson 11.
    """
    paths = _paths(tensor_name)
    models = {path[0] for path in paths}
    return _layer(_chosen(paths), set(paths), models, models) if paths else tensor_name


def finder(names: Iterable[str]) -> Callable[[str], str]:
    """Return a function from a tensor's name to its layer, or "" where the name has none.

    ``names`` are all that the file has. They tell whether the numbers in them were added: what is
    called ``model_1`` may be the second model of a session, whose layers' numbers are their own.
    """
    paths = {path for name in names for path in _paths(name)}
    scopes = {path[:depth] for path in paths for depth in range(1, len(path))}
    fitting: dict[str, list[bool]] = {}
    for scope in scopes:
        if len(scope) == 2:
            fitting.setdefault(scope[0], []).append(_number_was_added(scope, scopes))
    exported = {
        model
        for model, fits in fitting.items()
        if _NUMBERED.fullmatch(model) and 2 * sum(fits) > len(fits)
    }

    def layer(name: str) -> str:
        found = _paths(name)
        return _layer(_chosen(found), scopes, set(fitting), exported) if found else ""

    return layer


def _paths(name: str) -> list[tuple[str, ...]]:
    return [tuple(part.split("/")) for part in name.split(";") if "/" in part]


def _number_was_added(scope: tuple[str, ...], scopes: set[tuple[str, ...]]) -> bool:
    """Whether the number fits a first, second ... call, or a name that another layer had taken."""
    found = _NUMBERED.fullmatch(scope[-1])
    if found is None:
        return False
    base, number = found[1], int(found[2])
    before = base if number % 2 == 0 else f"{base}_{number - 2}"
    return number == 1 or (*scope[:-1], before) in scopes


def _chosen(paths: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Of what was fused into one operator, what has weights; else what is no mere activation."""
    for wanted in (
        lambda name: _WEIGHTY.search(name),
        lambda name: not _AFTERWARDS.search(name),
    ):
        for path in paths:
            if wanted(path[-1]):
                return path
    return paths[0]


def _layer(
    path: tuple[str, ...], scopes: set[tuple[str, ...]], models: set[str], exported: set[str]
) -> str:
    if len(path) == 2:  # an operator outside of all layers, or a file without a model's scope
        return path[1] if path[0] in models else path[0]
    if path[0] not in exported or not _NUMBERED.fullmatch(path[0]):
        return path[1]
    found = []
    for depth in range(2, len(path)):
        numbered = _NUMBERED.fullmatch(path[depth - 1])
        if numbered is None:
            break
        base = numbered[1]
        if (*path[: depth - 1], base) in scopes and not _NUMBERED.fullmatch(base):
            break  # einsum_1 beside einsum: the second operator of its kind, and no layer
        found.append(base)
    return "/".join(found) or path[1]


def of_graph(graph: schema.SubGraphT, layer: Callable[[str], str]) -> tuple[list[str], list[str]]:
    """Return the layer of each tensor and of each operator of a subgraph.

    What bears no layer's name has that of its operator: constants that of the first to read them.
    An operator has that of its outputs, else of its weights. Where nothing bears one, it is the
    tensor's, or the operator's first output's, own name.
    """
    names = [reader.text(tensor.name) for tensor in graph.tensors]
    found = [layer(name) for name in names]
    stored = [tensor.buffer for tensor in graph.tensors]
    read = {index for op in graph.operators for index in op.outputs} | set(graph.inputs)
    operators = []
    for op in graph.operators:
        constants = [i for i in op.inputs if i >= 0 and i not in read and stored[i]]
        own = next(filter(None, (found[i] for i in [*op.outputs, *constants])), "")
        # ASSIGN_VARIABLE has no output: it goes by what it stores.
        ends = list(op.outputs) or [i for i in op.inputs if i >= 0]
        operators.append(own or next((names[i] for i in ends), ""))
        for index in [*constants, *op.outputs]:
            found[index] = found[index] or own
    return [here or name for here, name in zip(found, names, strict=True)], operators
