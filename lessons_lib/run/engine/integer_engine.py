"""Integer-only inference from scratch in NumPy, bit-exact with a named runtime.

``run`` reads a full-integer ``.tflite`` and does what a runtime does, one function an operator.
Accumulators are exact everywhere; runtimes differ in how they scale one back to a code, so a
result can be bit-exact only with a *named* one:

- ``tflm``: TFLite-Micro; ``reference``: LiteRT's reference kernels;
- ``builtin``: LiteRT's optimized kernels, and ``xnnpack``: its default, the XNNPACK delegate, both
  as they are on x86-64.

Rules: ``tensorflow/lite/kernels/internal`` (``reference/integer_ops``, ``optimized``), XNNPACK's
``qs8`` kernels; where no source says it, they were found by comparing results, and
``tests/test_integer_engine_fuzz.py`` compares them again. Where the rule of one runtime is not
known, the engine refuses, and says so. Defined in lesson 09.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from lessons_lib.errors import FloatError, InputError, ModelFileError
from lessons_lib.numbers.fixed_point import IntegersOnly
from lessons_lib.run.engine import (
    curves,
    elementwise,
    recurrent,
    reduced,
    resized,
    shapes,
    weighted,
    windows,
)
from lessons_lib.run.engine.apart import rows_are_apart
from lessons_lib.run.engine.integer_graph import (
    LITERT,
    Graph,
    Operator,
    damage_named,
    kept_apart,
    load,
)
from lessons_lib.tflite import samples
from lessons_lib.tflite.samples import Rows

KERNELS = ("reference", "tflm", "builtin", "xnnpack")
ELEMENTS_AT_ONCE = 2**18  # of the largest tensor: what a processor's cache holds


def run(
    model: str | os.PathLike | bytes,
    x: Any,
    kernels: str = "reference",
    *,
    strict: bool = False,
) -> np.ndarray | Rows:
    """Return the outputs (N, ...) of a full-integer model, in its dtypes, for its inputs ``x``.

    ``x``: (N, ...) in the model's input dtype and shape, any N: codes, or floats that the model
    quantizes first; a dictionary by the names of its signature where it has several inputs, and so
    is the result where it has several outputs.
    ``kernels``: whose integers the result equals, ``reference``, ``tflm``, ``builtin`` or
    ``xnnpack``, as if it took all N at once where the file leaves the batch open (a runtime that
    refuses the model may still be computed). ``strict`` computes with integers alone, more slowly,
    and raises FloatError where that runtime would use a float. A state starts anew at every call.
    Raises InputError when ``x`` or ``kernels`` does not fit, and ModelFileError when the file is
    damaged, is not full integer or has an operator that the engine lacks. Defined in lesson 09.
    """
    graph = _pool_first(_graph(model, kernels, strict))
    found = samples.rows(x, graph.signature)
    parts = [
        {name: values[tensor.index] for name, tensor in graph.outputs.items()}
        for values in _batches(graph, found, strict)
    ]
    return samples.bare(samples.joined(parts, graph.signature, samples.count(found)))


def trace(
    model: str | os.PathLike | bytes,
    x: Any,
    kernels: str = "reference",
    *,
    strict: bool = False,
) -> dict[int, np.ndarray]:
    """Return the codes of every tensor that depends on the input: its index -> (N, ...).

    Arguments and errors are those of ``run``; the indices are those of ``tables.tensors``. Only
    between SPACE_TO_BATCH_ND and BATCH_TO_SPACE_ND there are more rows than N, and where no
    dimension counts samples each tensor has the runtime's own shape, one call after the other.
    Defined in lesson 09.
    """
    graph = _graph(model, kernels, strict)
    parts = list(_batches(graph, samples.rows(x, graph.signature), strict))
    return {
        index: np.concatenate([np.atleast_1d(part[index]) for part in parts])
        for index in parts[0]
        if index in graph.data
    }


def _graph(model: str | os.PathLike | bytes, kernels: str, strict: bool) -> Graph:
    if kernels not in KERNELS:
        raise InputError(f"kernels={kernels!r}; expected one of {', '.join(KERNELS)} (lesson 09)")
    with damage_named("the graph"):
        graph = load(model, kernels, strict)
    unknown = sorted({op.name for op in graph.operators} - set(OPERATORS))
    if unknown:
        raise ModelFileError(
            f"the engine does not know {', '.join(unknown)}; it knows {', '.join(OPERATORS)}. "
            f"{LITERT} (lesson 09)"
        )
    with damage_named("the graph"):
        return kept_apart(graph) if rows_are_apart(graph) else graph


def _pool_first(graph: Graph) -> Graph:
    """Let the sums of a convolution be pooled before they are rescaled.

    Rescaling never changes which of two sums is larger, so the maxima are the same, and there are
    fewer of them to rescale.
    """
    operators = []
    for op in graph.operators:
        if operators and _may_go_first(op, operators[-1], graph):
            operators[-1] = replace(operators[-1], outputs=op.outputs, pool=op)
        else:
            operators.append(op)
    return replace(graph, operators=tuple(operators))


def _may_go_first(op: Operator, before: Operator, graph: Graph) -> bool:
    """Whether ``op`` only pools what a convolution computes for nobody else, codes unchanged."""
    if op.name != "MAX_POOL_2D" or before.name != "CONV_2D":
        return False
    wanted = before.output in graph.outputs.values()
    if getattr(op.options, "fusedActivationFunction", 0) or wanted:
        return False
    readers = [other for other in graph.operators if before.output in other.inputs]
    return readers == [op] and before.output.same_codes(op.output)


def _batches(graph: Graph, found: Rows, strict: bool) -> Iterator[dict[int, np.ndarray]]:
    """The value of every computed tensor, by its index, for one batch after the other."""
    for part in _parts(graph, found):
        values = {
            graph.inputs[name].index: array.view(IntegersOnly) if strict else array
            for name, array in part.items()
        }
        with _blas().limit(limits=1):  # more threads would wait for each other
            for op in graph.operators:
                inputs = [t and values.get(t.index, t.value) for t in op.inputs]
                results = (_strictly if strict else _computed)(op, inputs, graph)
                values |= {t.index: y for t, y in zip(op.outputs, results, strict=True)}
        yield {index: np.asarray(value) for index, value in values.items()}


def _parts(graph: Graph, found: Rows) -> Iterator[Rows]:
    """Batches that suit the engine where rows are apart, calls of the runtime elsewhere."""
    count = samples.count(found)
    if not graph.apart:
        yield from samples.calls(found, graph.signature, graph.call or count)
        return
    tensors = [*graph.inputs.values(), *(tensor for op in graph.operators for tensor in op.outputs)]
    largest = max(int(np.prod(tensor.shape[1:])) for tensor in tensors)
    # Whole vectors of 16 images: where a vector ends decides about ties, see in_vectors_of.
    size = max(1, ELEMENTS_AT_ONCE // (16 * max(1, largest))) * 16
    for start in range(0, count, size):
        yield {name: array[start : start + size] for name, array in found.items()}


def _computed(op: Operator, inputs: list, graph: Graph) -> list[np.ndarray]:
    with damage_named(op.name):
        result = OPERATORS[op.name](op, *inputs)
    return result if isinstance(result, list) else [result]


def _strictly(op: Operator, inputs: list, graph: Graph) -> list[np.ndarray]:
    """The same with IntegersOnly; other results were made with floats (shapes do not count)."""
    try:
        results = _computed(op, inputs, graph)
    except FloatError as error:
        raise FloatError(f"{_refusal(op)}: {error}") from None
    made = [isinstance(result, IntegersOnly) for result in results]
    if op.output.index in graph.data and not all(made):
        raise FloatError(f"{_refusal(op)}: its result is made of floats (lesson 09)")
    return results


def _refusal(op: Operator) -> str:
    cure = "" if op.kernels == "tflm" else " (kernels='tflm' uses no floats)"
    return f"{op.name} of {op.kernels} uses floats, and strict=True allows integers only{cure}"


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


# Each takes its Operator and the arrays of its inputs, and returns its output, or a list of them.
OPERATORS: dict[str, Callable] = {
    "ADD": elementwise.add,
    "ARG_MAX": reduced.arg_extreme,
    "ARG_MIN": reduced.arg_extreme,
    "AVERAGE_POOL_2D": windows.average_pool_2d,
    "BATCH_MATMUL": weighted.batch_matmul,
    "BATCH_TO_SPACE_ND": shapes.batch_to_space_nd,
    "BROADCAST_TO": shapes.broadcast_to,
    "CAST": elementwise.cast,
    "CONCATENATION": shapes.concatenation,
    "CONV_2D": weighted.conv_2d,
    "DEPTHWISE_CONV_2D": weighted.depthwise_conv_2d,
    "DEQUANTIZE": elementwise.dequantize,
    "EXPAND_DIMS": shapes.drop_or_add_axes,
    "FULLY_CONNECTED": weighted.fully_connected,
    "GATHER": shapes.gather,
    "HARD_SWISH": curves.hard_swish,
    "LEAKY_RELU": elementwise.leaky_relu,
    "LOGISTIC": curves.logistic,
    "MAXIMUM": elementwise.extreme,
    "MAX_POOL_2D": windows.max_pool_2d,
    "MEAN": reduced.mean,
    "MINIMUM": elementwise.extreme,
    "MUL": elementwise.mul,
    "PACK": shapes.pack,
    "PAD": shapes.pad,
    "PADV2": shapes.pad,
    "PRELU": elementwise.prelu,
    "QUANTIZE": elementwise.quantize,
    "REDUCE_MAX": reduced.reduce_extreme,
    "REDUCE_MIN": reduced.reduce_extreme,
    "REDUCE_PROD": reduced.reduce_prod,
    "RELU": elementwise.relu,
    "RELU6": elementwise.relu,
    "RELU_N1_TO_1": elementwise.relu,
    "RESHAPE": shapes.reshape,
    "RESIZE_BILINEAR": resized.resize_bilinear,
    "RESIZE_NEAREST_NEIGHBOR": resized.resize_nearest_neighbor,
    "SHAPE": shapes.shape,
    "SLICE": shapes.slice_,
    "SOFTMAX": curves.softmax,
    "SPACE_TO_BATCH_ND": shapes.space_to_batch_nd,
    "SPLIT": shapes.split,
    "SPLIT_V": shapes.split_v,
    "SQUEEZE": shapes.drop_or_add_axes,
    "STRIDED_SLICE": shapes.strided_slice,
    "SUB": elementwise.sub,
    "SVDF": recurrent.svdf,
    "TANH": curves.tanh,
    "TILE": shapes.tile,
    "TRANSPOSE": shapes.transpose,
    "TRANSPOSE_CONV": weighted.transpose_conv,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": recurrent.lstm,
    "UNPACK": shapes.unpack,
}
