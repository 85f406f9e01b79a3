"""Which models keep the samples of a batch apart.

Where no operator mixes one row of the first axis with another, any number of rows can be computed
at once, however many the runtime would take in a call. Elsewhere the engine computes call by call,
each in the shapes that the runtime has.
"""

import numpy as np

from lessons_lib.run.engine.integer_graph import Graph, Operator, Tensor


def rows_are_apart(graph: Graph) -> bool:
    """Return whether every operator computes each row of its result from one row of its inputs."""
    return graph.signature.in_batches and all(
        _keeps_rows(op, graph)
        for op in graph.operators
        if any(tensor.index in graph.data for tensor in op.outputs)
    )


def _keeps_rows(op: Operator, graph: Graph) -> bool:
    """Whether one operator does; where the batch is open, the file does not store real sizes."""
    ends = [t for t in (*op.inputs, *op.outputs) if t and t.index in graph.data]
    fixed = graph.signature.batch
    if any(not t.shape or (fixed and t.shape[0] != fixed) for t in ends):
        return False
    if op.name == "RESHAPE" and not fixed:
        return _leaves_the_first_open(op, graph)
    constants = [t for t in op.inputs if t and t.index not in graph.data and t.value is not None]
    mixes = MIXES.get(op.name)
    return not (mixes and mixes(op, ends, constants))


def _leaves_the_first_open(op: Operator, graph: Graph) -> bool:
    """RESHAPE: a first size that is said, such as 2, is filled from all samples of a call."""
    shape = op.inputs[1] if len(op.inputs) > 1 else None
    if shape is None:
        return op.options.newShape[0] == -1
    if shape.value is None:  # computed: PACK or CONCATENATION begin with the first size
        makers = {tensor.index: other for other in graph.operators for tensor in other.outputs}
        shape = makers[shape.index].inputs[0]
    return shape.value is None or shape.value.ravel()[0] == -1


def _spreads(op: Operator, ends: list[Tensor], constants: list[Tensor]) -> bool:
    """Operators of two sides: rows stay apart where only a constant is spread over them."""
    rank = len(op.output.shape)
    return any(len(t.shape) != rank for t in ends) or any(
        len(t.shape) > rank or (len(t.shape) == rank and t.shape[0] != 1) for t in constants
    )


def _along_the_first(axis: int, rank: int) -> bool:
    return axis in (0, -rank)


def _reduces_the_first(op: Operator, ends: list[Tensor], constants: list[Tensor]) -> bool:
    rank = len(op.input.shape)
    return not constants or any(_along_the_first(n, rank) for n in constants[0].value.ravel())


def _axis_option(op: Operator, ends: list[Tensor], constants: list[Tensor]) -> bool:
    return (bool(constants) and _spreads(op, ends, [])) or _along_the_first(
        op.options.axis, max(len(t.shape) for t in ends)
    )


def _splits_the_first(op: Operator, ends: list[Tensor], constants: list[Tensor]) -> bool:
    axis = op.inputs[0 if op.name == "SPLIT" else 2].value
    return axis is None or _along_the_first(int(axis.item()), len(op.output.shape))


def _cuts_the_first(op: Operator, ends: list[Tensor], constants: list[Tensor]) -> bool:
    o = op.options
    if any(t is None or t.value is None for t in op.inputs[1:4]) or o.newAxisMask or o.ellipsisMask:
        return True
    begin, end, stride = (int(t.value.ravel()[0]) for t in op.inputs[1:4])
    whole = (o.beginMask & 1 or begin == 0) and (o.endMask & 1 or end == op.call) and stride == 1
    return bool(o.shrinkAxisMask & 1) or not whole


def _slices_the_first(op: Operator, ends: list[Tensor], constants: list[Tensor]) -> bool:
    if op.inputs[1].value is None or op.inputs[2].value is None:
        return True
    begin, size = (int(t.value.ravel()[0]) for t in op.inputs[1:3])
    return begin != 0 or size not in (-1, op.call)


def _moves_the_first(op: Operator, ends: list[Tensor], constants: list[Tensor]) -> bool:
    return op.inputs[1].value is None or int(op.inputs[1].value.ravel()[0]) != 0


def _adds_to_the_first(op: Operator, ends: list[Tensor], constants: list[Tensor]) -> bool:
    pads = op.inputs[1].value
    return pads is None or bool(np.any(pads.reshape(-1, 2)[0]))


def _repeats_the_first(op: Operator, ends: list[Tensor], constants: list[Tensor]) -> bool:
    return op.inputs[1].value is None or int(op.inputs[1].value.ravel()[0]) != 1


def _gathers(op: Operator, ends: list[Tensor], constants: list[Tensor]) -> bool:
    """From a table, or by constant indices along an inner axis, rows stay apart."""
    if op.inputs[0] not in ends:
        return bool(op.options.axis) or bool(op.options.batchDims)
    axis = op.options.axis % len(op.input.shape)
    return axis == 0 or op.inputs[1] in ends or bool(op.options.batchDims)


def _inserts_the_first(op: Operator, ends: list[Tensor], constants: list[Tensor]) -> bool:
    """A new first axis of an open batch has size 1 where the file stores it so for any size."""
    fixed_size = op.call == 1 and op.kernels != "tflm"
    axis = op.inputs[1].value if len(op.inputs) > 1 else None
    return not fixed_size and (axis is None or bool(np.any(axis == 0)))


def _always(op: Operator, ends: list[Tensor], constants: list[Tensor]) -> bool:
    return True


def _one_axis(op: Operator, ends: list[Tensor], constants: list[Tensor]) -> bool:
    return len(op.input.shape) < 2


def _major_time(op: Operator, ends: list[Tensor], constants: list[Tensor]) -> bool:
    return bool(op.options.timeMajor)


MIXES = {
    **dict.fromkeys(("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "PRELU"), _spreads),
    **dict.fromkeys(
        ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "ARG_MAX", "ARG_MIN"),
        _reduces_the_first,
    ),
    "CONCATENATION": _axis_option,
    "PACK": _axis_option,
    "UNPACK": _axis_option,
    "SPLIT": _splits_the_first,
    "SPLIT_V": _splits_the_first,
    "STRIDED_SLICE": _cuts_the_first,
    "SLICE": _slices_the_first,
    "TRANSPOSE": _moves_the_first,
    "PAD": _adds_to_the_first,
    "PADV2": _adds_to_the_first,
    "TILE": _repeats_the_first,
    "GATHER": _gathers,
    "EXPAND_DIMS": _inserts_the_first,
    "SOFTMAX": _one_axis,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _major_time,
    "BATCH_MATMUL": _always,
    "BROADCAST_TO": _always,
    "CAST": lambda *_: False,
    "SHAPE": _always,
}
