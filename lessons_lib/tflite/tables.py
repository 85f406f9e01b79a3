"""Tables of a ``.tflite`` file: operators, tensors, where its bytes go, is it integer-only.

The interpreter's own list of tensors would not do: it shows INT4 as int8, and knows no subgraphs
and no fused activations.

Every function takes a path or the file's bytes, and raises ModelFileError when the file cannot
be read, is not a ``.tflite`` file, or is corrupted or truncated.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from lessons_lib.system import files
from lessons_lib.tflite import layer_names, reader, signature
from lessons_lib.tflite.layer_names import layer_name  # noqa: F401  (met with the tables)

if TYPE_CHECKING:  # a process that only runs a model is spared the import
    import pandas as pd

# Which inputs of a convolution or dense operator are its weights and its bias.
PARAMETERS = {
    "CONV_2D": {1: "weight", 2: "bias"},
    "DEPTHWISE_CONV_2D": {1: "weight", 2: "bias"},
    "FULLY_CONNECTED": {1: "weight", 2: "bias"},
    "TRANSPOSE_CONV": {1: "weight", 3: "bias"},
}
_GATES = {place: "weight" for place in range(1, 12)} | dict.fromkeys(range(12, 16), "bias")
_LSTM = _GATES | {16: "weight", 17: "bias"} | dict.fromkeys(range(20, 24), "weight")
_RNN = {1: "weight", 2: "weight", 3: "bias"}
# The same for every operator that has any.
ROLES = PARAMETERS | {
    "BATCH_MATMUL": {0: "weight", 1: "weight"},  # where they are stored
    "BIDIRECTIONAL_SEQUENCE_LSTM": _GATES
    | {16: "weight", 17: "bias"}
    | {17 + place: role for place, role in (_GATES | {16: "weight", 17: "bias"}).items()},
    "BIDIRECTIONAL_SEQUENCE_RNN": _RNN | {4 + place: role for place, role in _RNN.items()},
    "CONV_3D": {1: "weight", 2: "bias"},
    "CONV_3D_TRANSPOSE": {1: "weight", 3: "bias"},
    "EMBEDDING_LOOKUP": {1: "weight"},
    "GATHER": {0: "weight"},
    "LSTM": _LSTM,
    "PRELU": {1: "weight"},
    "RNN": _RNN,
    "SVDF": {1: "weight", 2: "weight", 3: "bias"},
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _LSTM,
    "UNIDIRECTIONAL_SEQUENCE_RNN": _RNN,
}
# The axes of the weights that are summed over for one element of the output.
SUMMED_AXES = {
    "CONV_2D": slice(1, 4),  # of (out, height, width, in)
    "DEPTHWISE_CONV_2D": slice(1, 3),  # of (1, height, width, out)
    "FULLY_CONNECTED": slice(1, 2),  # of (out, in)
}


def operators(source: reader.Source) -> "pd.DataFrame":
    """Return one row for each operator of every subgraph, in the order of execution.

    Columns: ``subgraph``, ``index``, ``operator`` (the schema's name, CONV_2D), ``layer`` (see
    ``layer_names.of_graph``), ``inputs`` and ``outputs`` (tuples of tensor names, None for an
    optional input left out), ``dtypes`` ("INT8, INT8, INT32 -> INT8"), ``float`` (has a float
    operand, float16 included), ``activation`` (fused: RELU, RELU6 and so on, else NONE).
    """
    return _operators(reader.read(source))


def _operators(model: schema.ModelT) -> "pd.DataFrame":
    layers = [operators for _, operators in _layers(model)]
    rows = [
        {"subgraph": n, "index": i, "layer": layers[n][i], **_operator_row(model, graph, op)}
        for n, graph, i, op in _walk(model)
    ]
    names = ["subgraph", "index", "operator", "layer", "inputs", "outputs", "dtypes"]
    names += ["float", "activation"]
    return _frame(rows, names, subgraph=int, index=int, float=bool)


def tensors(source: reader.Source) -> "pd.DataFrame":
    """Return one row for each tensor of every subgraph.

    Columns: ``subgraph``, ``index``, ``name``, ``layer`` (see ``layer_names.of_graph``), ``role``
    (input, output, weight, bias, constant or activation; what is stored as float16 or sparse keeps
    the role of what it becomes), ``shape`` (1 where the batch is dynamic), ``shape_signature`` (-1
    there), ``dtype`` (the schema's name, INT8), ``bytes`` (stored in the file; 0 for what is
    computed), ``buffer`` (where they are stored), ``sparse`` (its zeros are left out),
    ``granularity`` (none, per-tensor, per-channel or blockwise), ``scale`` and ``zero_point``
    (None, a number, or an array with one value for each channel, or for each channel and block)
    and ``quantized_dimension`` (None unless per-channel).
    """
    model = reader.read(source)
    rows = [
        {"subgraph": number, "index": index, "role": role, "layer": layer}
        | _tensor_row(model, graph, tensor)
        for (number, graph), (layers, _) in zip(
            enumerate(model.subgraphs), _layers(model), strict=True
        )
        for index, (tensor, role, layer) in enumerate(
            zip(graph.tensors, _roles(model, graph), layers, strict=True)
        )
    ]
    names = ["subgraph", "index", "name", "layer", "role", "shape", "shape_signature", "dtype"]
    names += ["bytes", "buffer", "sparse", "granularity", "scale", "zero_point"]
    names += ["quantized_dimension"]
    return _frame(rows, names, subgraph=int, index=int, bytes=int, buffer=int, sparse=bool)


def byte_budget(source: reader.Source) -> "pd.Series":
    """Return where the bytes go: weights, biases, other constants, structure; int64, in bytes.

    "structure" is the rest of the file: tensor names, shapes, scales and zero points, operators,
    metadata, padding. The four add up to the file's size; a buffer that several tensors share is
    counted once. Defined in lesson 02.
    """
    data = files.content(source)
    stored = tensors(data)
    labels = {"weight": "weights", "bias": "biases"}
    label = stored["role"].map(labels).fillna("other constants")
    # Of tensors that share a buffer one may be a weight: then that is what the bytes are.
    order = label.sort_values(key=lambda names: names == "other constants", kind="stable").index
    stored = stored.loc[order].drop_duplicates("buffer")
    budget = stored["bytes"].groupby(label).sum()
    budget = budget.reindex([*labels.values(), "other constants"], fill_value=0)
    budget["structure"] = len(data) - budget.sum()
    return budget.rename_axis(None)


@dataclass(frozen=True)
class Audit:
    """What ``audit`` found; dtypes are spelled as NumPy spells them (int8, float32).

    ``inputs`` and ``outputs`` have the dtypes by name; ``input_dtype`` and ``output_dtype`` are the
    same, joined by commas where there are several.
    """

    integer_only: bool
    float_operators: tuple[str, ...]
    input_dtype: str
    output_dtype: str
    inputs: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    outputs: dict[str, str] = field(default_factory=dict, repr=False, compare=False)


def audit(source: reader.Source, key: str | None = None) -> Audit:
    """Tell whether a file is integer-only, and if not, which operators are to blame.

    Integer-only: no input, no output and no operand of an operator is a float (float16 is a
    float), in any subgraph; with the ``key`` of a signature, in those that it calls. Operators are
    given by their kind and layer, "NEG (15 times, first at layer_normalization)"; the DEQUANTIZE
    and QUANTIZE around them are named only where nothing else is float. The inputs and outputs
    are those of the signature, by default ``serving_default``, else of the first subgraph.
    Raises InputError for an unknown ``key``. Defined in lesson 07.
    """
    model = reader.read(source)
    named = signature.all_of_model(model)
    first = next((s for s in named.values() if s.subgraph == 0), next(iter(named.values())))
    default = named.get(signature.DEFAULT, first)
    chosen = signature.choose(named, key) if key else default
    looked_at = reader.reached(model, chosen.subgraph) if key else range(len(model.subgraphs))
    table = _operators(model)
    blamed = table[table["float"] & table["subgraph"].isin(looked_at)]
    ends = [
        {spec.name: _dtype(model.subgraphs[chosen.subgraph], spec) for spec in side.values()}
        for side in (chosen.inputs, chosen.outputs)
    ]
    every_end = [
        reader.dtype_name(model.subgraphs[number].tensors[index])
        for number in looked_at
        for side in (model.subgraphs[number].inputs, model.subgraphs[number].outputs)
        for index in side
    ]
    clean = blamed.empty and not any(map(_is_float, every_end))
    joined = (", ".join(side.values()) for side in ends)
    return Audit(clean, _blamed(blamed), *joined, *ends)


def multiply_accumulates(source: reader.Source) -> "pd.DataFrame":
    """Return the multiply-accumulates of each convolution, product and recurrent layer.

    They are for one sample: a batch that the signature counts is divided out, and an open
    dimension counts as 1. ``macs`` is the number of output elements times the length of the sum
    behind each: ``height * width * channels_in`` of the filter for CONV_2D, ``height * width`` for
    DEPTHWISE_CONV_2D, the number of inputs for FULLY_CONNECTED; for a transposed convolution the
    input elements times ``height * width * channels_out``; for a recurrent operator its weights
    times the steps. Columns: ``subgraph``, ``index``, ``operator``, ``layer``, ``output``,
    ``output_shape``, ``weight_shape`` (of the first weights), ``macs`` and ``remark``. What is not
    counted has a row as well: there ``macs`` is <NA> (the column is then Int64, else int64) and
    ``remark`` says why. Additions, activations, pooling and the like have no row.
    Defined in lesson 02.
    """
    model = reader.read(source)
    batches, layers = _batches(model), [operators for _, operators in _layers(model)]
    passes = _looped(model)
    rows = []
    for number, graph, index, op in _walk(model):
        remark = _not_counted(model, op)
        name = reader.operator_name(model, op)
        if remark is None and name not in _COUNTED:
            continue
        macs = None if remark else _macs(model, graph, op) // batches.get(number, 1)
        row = {"subgraph": number, "index": index, "operator": name, "layer": layers[number][index]}
        remark = remark or ("for one pass of the loop" if number in passes else "")
        rows.append(row | _arithmetic_row(graph, op) | {"macs": macs, "remark": remark})
    names = ["subgraph", "index", "operator", "layer", "output", "output_shape", "weight_shape"]
    table = _frame(rows, [*names, "macs", "remark"], subgraph=int, index=int)
    return table.astype({"macs": "Int64" if table["macs"].isna().any() else int})


def _walk(model: schema.ModelT) -> Iterator[tuple[int, schema.SubGraphT, int, schema.OperatorT]]:
    for number, graph in enumerate(model.subgraphs):
        for index, op in enumerate(graph.operators):
            yield number, graph, index, op


def _layers(model: schema.ModelT) -> list[tuple[list[str], list[str]]]:
    """The layers of the tensors and of the operators, subgraph by subgraph."""
    names = (reader.text(tensor.name) for graph in model.subgraphs for tensor in graph.tensors)
    layer = layer_names.finder(names)
    return [layer_names.of_graph(graph, layer) for graph in model.subgraphs]


def _frame(rows: list[dict], columns: list[str], **types: type) -> "pd.DataFrame":
    """A table whose other columns keep Python objects: None must not become NaN."""
    import pandas as pd

    return pd.DataFrame(rows, columns=columns, dtype=object).astype(types)


def _is_float(dtype: str) -> bool:
    return "FLOAT" in dtype or "COMPLEX" in dtype


def _dtype(graph: schema.SubGraphT, spec: signature.TensorSpec) -> str:
    return reader.dtype_name(graph.tensors[spec.index]).lower()


def _blamed(table: "pd.DataFrame") -> tuple[str, ...]:
    """The kinds of float operators, each with how often and where."""
    real = table[~table["operator"].isin(["DEQUANTIZE", "QUANTIZE"])]
    found = []
    for name, rows in (table if real.empty else real).groupby("operator", sort=False):
        layer = next(filter(None, rows["layer"]), "")
        first = f", first at {layer}" if layer else ""
        once = f"{name} at {layer}" if layer else name
        found.append(once if len(rows) == 1 else f"{name} ({len(rows)} times{first})")
    return tuple(found)


def _operator_row(model: schema.ModelT, graph: schema.SubGraphT, op: schema.OperatorT) -> dict:
    sides = [[graph.tensors[i] if i >= 0 else None for i in s] for s in (op.inputs, op.outputs)]
    names = [tuple(tensor and reader.text(tensor.name) for tensor in side) for side in sides]
    dtypes = [[reader.dtype_name(tensor) for tensor in side if tensor] for side in sides]
    fused = getattr(op.builtinOptions, "fusedActivationFunction", 0)
    return {
        "operator": reader.operator_name(model, op),
        "inputs": names[0],
        "outputs": names[1],
        "dtypes": " -> ".join(", ".join(side) for side in dtypes),
        "float": any(_is_float(dtype) for side in dtypes for dtype in side),
        "activation": reader.ACTIVATIONS.get(fused, f"ACTIVATION_{fused}"),
    }


def _roles(model: schema.ModelT, graph: schema.SubGraphT) -> list[str]:
    """The role of each tensor of a subgraph."""
    parameters = _parameters(model, graph)
    roles = [
        parameters.get(index, "constant")
        if reader.stored_bytes(model, tensor).size
        else "activation"
        for index, tensor in enumerate(graph.tensors)
    ]
    for role, side in (("output", graph.outputs), ("input", graph.inputs)):
        for index in side:
            roles[index] = role
    return roles


def _parameters(model: schema.ModelT, graph: schema.SubGraphT) -> dict[int, str]:
    """Which tensors an operator takes as its weights or its bias."""
    found = {}
    for op in reversed(graph.operators):
        name = reader.operator_name(model, op)
        slots = ROLES.get(name, {})
        if name in ("DEQUANTIZE", "DENSIFY"):  # what they unpack has the role of their result
            slots = dict(enumerate(found.get(output) for output in op.outputs))
        for position, tensor in enumerate(op.inputs):
            if slots.get(position) and not (tensor >= 0 and _counts(graph.tensors[tensor])):
                found.setdefault(tensor, slots[position])
    return found


def _counts(tensor: schema.TensorT) -> bool:
    """Whole numbers that stand for themselves, such as the sizes that a GATHER picks from."""
    quantization = tensor.quantization
    scaled = quantization is not None and quantization.scale is not None
    return reader.dtype_name(tensor) in ("INT32", "INT64", "BOOL", "STRING") and not (
        scaled and len(quantization.scale)
    )


def _tensor_row(model: schema.ModelT, graph: schema.SubGraphT, tensor: schema.TensorT) -> dict:
    return {
        "name": reader.text(tensor.name),
        "shape": tuple(tensor.shape),
        "shape_signature": tuple(reader.integers(tensor.shapeSignature) or tensor.shape),
        "dtype": reader.dtype_name(tensor),
        "bytes": reader.stored_bytes(model, tensor).size,
        "buffer": tensor.buffer,
        "sparse": tensor.sparsity is not None,
        **_quantization(model, graph, tensor),
    }


def _quantization(model: schema.ModelT, graph: schema.SubGraphT, tensor: schema.TensorT) -> dict:
    parameters, blocks = tensor.quantization, reader.block_tensors(tensor)
    if blocks:
        values = [reader.stored_value(model, graph.tensors[index]) for index in blocks]
        if values[0] is None:
            raise reader.damaged("a tensor in blocks has no scales")
        scale = values[0].astype(np.float32)
        zero_point = values[1] if len(values) > 1 else np.zeros(scale.shape, int)
        return _scales("blockwise", scale, zero_point)
    if parameters is None or parameters.scale is None or not len(parameters.scale):
        return _scales("none")
    scale, zero_point = np.array(parameters.scale), np.array(reader.integers(parameters.zeroPoint))
    if len(scale) == 1:
        return _scales("per-tensor", float(scale[0]), int(zero_point[0]))
    return _scales("per-channel", scale, zero_point, parameters.quantizedDimension)


def _scales(granularity: str, scale=None, zero_point=None, axis: int | None = None) -> dict:
    names = ("granularity", "scale", "zero_point", "quantized_dimension")
    return dict(zip(names, (granularity, scale, zero_point, axis), strict=True))


_RECURRENT = [name for name in ROLES if "LSTM" in name or "RNN" in name or name == "SVDF"]
_COUNTED = (*SUMMED_AXES, "TRANSPOSE_CONV", "CONV_3D", "CONV_3D_TRANSPOSE", "BATCH_MATMUL")
_COUNTED = (*_COUNTED, *_RECURRENT)


def _macs(model: schema.ModelT, graph: schema.SubGraphT, op: schema.OperatorT) -> int:
    name = reader.operator_name(model, op)
    shapes = [graph.tensors[i].shape if i >= 0 else [0] for i in op.inputs]
    count = 3 if "TRANSPOSE" in name else 2
    # A recurrent operator may leave out the first of its weights.
    left_out = -1 in op.inputs[:count] and name not in _RECURRENT
    if left_out or len(shapes) < count or not op.outputs or not shapes[0]:
        raise reader.damaged("a convolution or dense operator has no weights or no output")
    outputs = math.prod(graph.tensors[op.outputs[0]].shape)
    if name in SUMMED_AXES:
        return outputs * math.prod(shapes[1][SUMMED_AXES[name]])
    if name == "TRANSPOSE_CONV":  # of (out, height, width, in)
        return math.prod(shapes[2]) * math.prod(shapes[1][:3])
    if name == "CONV_3D_TRANSPOSE":  # of (depth, height, width, out, in)
        return math.prod(shapes[2]) * math.prod(shapes[1][:4])
    if name == "CONV_3D":  # of (depth, height, width, in, out)
        return outputs * math.prod(shapes[1][:4])
    if name == "BATCH_MATMUL":
        turned = getattr(op.builtinOptions, "adjX", False)
        return outputs * shapes[0][-2 if turned and len(shapes[0]) > 1 else -1]
    weights = [place for place, role in ROLES[name].items() if role == "weight"]
    held = sum(math.prod(shapes[place]) for place in weights if place < len(shapes))
    return math.prod(shapes[0][:-1]) * held  # each weight once a step, in whatever order


def _arithmetic_row(graph: schema.SubGraphT, op: schema.OperatorT) -> dict:
    output = graph.tensors[op.outputs[0]] if op.outputs else None
    weights = [graph.tensors[i].shape for i in op.inputs[1:] if i >= 0]
    return {
        "output": "" if output is None else reader.text(output.name),
        "output_shape": () if output is None else tuple(output.shape),
        "weight_shape": tuple(weights[0]) if weights else (),
    }


def _not_counted(model: schema.ModelT, op: schema.OperatorT) -> str | None:
    """Why an operator with arithmetic is not counted; None where it is, or has none."""
    name = reader.operator_name(model, op)
    called = {n for first in reader.called_subgraphs(op) for n in reader.reached(model, first)}
    if called and name != "CALL_ONCE":
        within = [o for number in called for o in model.subgraphs[number].operators]
        if any(reader.operator_name(model, o) in _COUNTED for o in within):
            loop = "a loop: its body is listed, for one pass"
            return loop if name == "WHILE" else "calls other subgraphs, which are listed"
    if reader.is_custom(model, op):
        return "a custom operator: not counted"
    heavy = name.startswith(("STABLEHLO_", "OPERATOR_")) or name in ("RFFT2D", "LSH_PROJECTION")
    return "not counted" if heavy else None


def _looped(model: schema.ModelT) -> set[int]:
    """The subgraphs that a loop repeats."""
    return {
        number
        for _, _, _, op in _walk(model)
        if reader.operator_name(model, op) == "WHILE"
        for first in reader.called_subgraphs(op)
        for number in reader.reached(model, first)
    }


def _batches(model: schema.ModelT) -> dict[int, int]:
    """How many samples a call of each subgraph takes, by the signature that reaches it."""
    return {
        number: found.batch or 1
        for found in signature.all_of_model(model).values()
        for number in reader.reached(model, found.subgraph)
    }
