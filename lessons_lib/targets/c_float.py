"""A float32 ``.tflite`` as the same kind of C file: what int8 is measured against.

A processor without a unit for floats computes each sum and each product of floats in a function
of the compiler's own, in some dozens of instructions. The operators are those that small
classifiers of images have.
"""

import os
from collections.abc import Callable
from functools import partial

import numpy as np

from lessons_lib.errors import ModelFileError
from lessons_lib.run.engine import integer_graph
from lessons_lib.run.engine.integer_graph import ACTIVATION_RANGES, Graph, Operator, Tensor
from lessons_lib.system import files
from lessons_lib.targets import arena
from lessons_lib.targets.arena import bytes_of, size_of
from lessons_lib.targets.c_calls import Call, Where, of_two, reduced_walks
from lessons_lib.targets.c_layers import window_of
from lessons_lib.targets.c_source import (
    End,
    Program,
    assembled,
    ends_of,
    require_name,
    require_one_sample,
)
from lessons_lib.tflite import reader
from lessons_lib.tflite.signature import all_of_model, choose

# The files of c/, each behind those that it needs.
PARTS = {
    "copy": (),
    "float_clip": (),
    "float_weights": ("float_clip",),
    "float_fully_connected": ("float_weights",),
    "window": (),
    "first": ("window",),
    "float_conv_2d": ("first", "float_weights"),
    "float_depthwise_conv_2d": ("first", "float_weights"),
    "float_pool_2d": ("first", "float_clip"),
    "float_softmax": (),
    "walk": (),
    "float_add": ("walk", "float_clip"),
    "float_mean": ("walk",),
}
_LARGEST = float(np.finfo(np.float32).max)


class FloatEnd(End):
    """An argument of the function in C: float32, which stands for itself."""

    element = "float"
    meaning = "the number itself"


def c_source(model: str | os.PathLike | bytes, name: str = "model", ties: str = "last") -> Program:
    """Return a float32 model as C; see ``c_source.c_source``, which does it for integers.

    The outputs are LiteRT's but for rounding: floats are added in another order. Raises InputError
    for a name that C does not take, and ModelFileError for a file that is not float32 from end to
    end, holds what is no number, takes several samples at once, or has an operator that has no
    function in C for floats.
    """
    require_name(name)
    graph = load(model)
    places = arena.of_graph(graph, ties)
    at = partial(_at, places=places)
    data = [op for op in graph.operators if op.output.index in graph.data]  # no shapes
    calls = [(op, CALLS[op.name](op, Where(n, at))) for n, op in enumerate(data, 1)]
    return assembled(name, places, calls, ends_of(graph, at, calls, FloatEnd), PARTS, "float")


def load(model: str | os.PathLike | bytes) -> Graph:
    """Return the graph of a float32 model that can be written in C; raises as ``c_source``."""
    content = reader.read(files.content(model))
    graph = integer_graph.built(content, choose(all_of_model(content)), "reference")
    for op in (op for op in graph.operators if op.output.index in graph.data):
        if op.name not in CALLS:
            raise ModelFileError(
                f"{op.name} has no function in C for floats; there are {', '.join(sorted(CALLS))}. "
                "Of a full-integer model c_source takes more"
            )
        for tensor in (*op.inputs[: None if op.name in _WEIGHTY else 1], *op.outputs):
            _require_floats(op, tensor)
    require_one_sample(graph)
    return graph


def _require_floats(op: Operator, tensor: Tensor | None) -> None:
    if tensor is None:
        return
    if tensor.dtype != np.float32:
        raise ModelFileError(
            f"{op.name} takes or gives {tensor.dtype}, and here C computes with float32 alone: "
            "take the path float32, or c_source for a full-integer model"
        )
    if tensor.value is not None and not np.isfinite(tensor.value).all():
        raise ModelFileError(f"the constants of {op.name} hold what is no number (lesson 05)")


def _at(tensor: Tensor, places: arena.Plan) -> str:
    if tensor.value is not None:
        raise ModelFileError(
            f"an operator reads the constant {tensor.name} as it reads activations, which C for "
            "floats lacks"
        )
    return f"arena + {places.offset(tensor) // 4}"


def _array(name: str, values) -> str:
    """A constant array: nine digits tell each float32 from its neighbours."""
    words = [_float(value) for value in np.ravel(values)]
    lines = [", ".join(words[start : start + 6]) for start in range(0, len(words), 6)]
    return f"static const float {name}[{len(words)}] = {{\n    " + ",\n    ".join(lines) + "};\n"


def _float(value: float) -> str:
    text = f"{np.float32(value):.9g}"
    return f"{text}f" if set(text) & set(".e") else f"{text}.0f"


def _limits(op: Operator) -> list[str]:
    fused = reader.ACTIVATIONS.get(getattr(op.options, "fusedActivationFunction", 0))
    if fused not in ACTIVATION_RANGES:
        raise ModelFileError(
            f"{op.name} has the fused activation {fused}; C for floats has "
            f"{', '.join(ACTIVATION_RANGES)}"
        )
    ends = zip(ACTIVATION_RANGES[fused], (-_LARGEST, _LARGEST), strict=True)
    return [_float(default if end is None else end) for end, default in ends]


# ---- layers with weights

_WEIGHTY = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def _layer(op: Operator, where: Where, channels: int) -> str:
    weights, bias = op.inputs[1].value, np.zeros(channels) if op.bias is None else op.bias.value
    if weights is None or bias is None:
        raise ModelFileError(f"{op.name} has weights that are computed")
    names = [where.name(what) for what in ("weights", "bias")]
    arrays = _array(names[0], weights) + _array(names[1], bias)
    return arrays + where.struct("float_layer", "layer", *names, *_limits(op))


def _fully_connected(op: Operator, where: Where) -> Call:
    outputs, inputs = op.inputs[1].shape
    call = (
        f"float_fully_connected({where.at(op.input)}, {where.at(op.output)}, "
        f"{size_of(op.input) // inputs}, {inputs}, {outputs}, &{where.name('layer')});"
    )
    return Call(("float_fully_connected",), _layer(op, where, outputs), call)


def _convolution(op: Operator, where: Where) -> Call:
    shape, name = op.inputs[1].shape, f"float_{op.name.lower()}"
    channels = shape[0 if op.name == "CONV_2D" else 3]
    if op.name == "CONV_2D" and shape[3] != op.input.shape[3]:
        raise ModelFileError("CONV_2D has groups of channels, which C for floats lacks")
    call = (
        f"{name}({where.at(op.input)}, {where.at(op.output)}, {channels}, "
        f"&{where.name('window')}, &{where.name('layer')});"
    )
    return Call((name,), _layer(op, where, channels) + window_of(op, where, shape[1:3]), call)


# ---- the others


def _pool(op: Operator, where: Where) -> Call:
    size = (op.options.filterHeight, op.options.filterWidth)
    given = (where.at(op.input), where.at(op.output), str(int(op.name == "AVERAGE_POOL_2D")))
    call = f"float_pool_2d({', '.join((*given, *_limits(op)))}, &{where.name('window')});"
    return Call(("float_pool_2d",), window_of(op, where, size), call)


def _softmax(op: Operator, where: Where) -> Call:
    length = op.input.shape[-1]
    call = (
        f"float_softmax({where.at(op.input)}, {where.at(op.output)}, "
        f"{size_of(op.input) // length}, {length}, {_float(op.options.beta)});"
    )
    return Call(("float_softmax",), "", call)


def _add(op: Operator, where: Where) -> Call:
    return of_two(op, where, "float_add", *_limits(op))


def _mean(op: Operator, where: Where) -> Call:
    results, count, constants = reduced_walks(op, where)
    call = (
        f"float_mean({where.at(op.input)}, {where.at(op.output)}, {results}, {count}, "
        f"&{where.name('kept')}, &{where.name('joined')});"
    )
    return Call(("float_mean",), constants, call)


def _reshape(op: Operator, where: Where) -> Call:
    size = bytes_of(op.input)
    return Call((), "", f"copy({where.at(op.input)}, {where.at(op.output)}, {size});")


# Each takes its Operator and a Where.
CALLS: dict[str, Callable[[Operator, Where], Call]] = {
    "ADD": _add,
    "AVERAGE_POOL_2D": _pool,
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _convolution,
    "FULLY_CONNECTED": _fully_connected,
    "MAX_POOL_2D": _pool,
    "MEAN": _mean,
    "RESHAPE": _reshape,
    "SOFTMAX": _softmax,
    "SQUEEZE": _reshape,
}
