"""Tables of a ``.tflite`` file: operators, tensors, where its bytes go, is it integer-only.

The interpreter's own list of tensors would not do: it shows INT4 as int8, and knows no subgraphs
and no fused activations.

Every function takes a path or the file's bytes, and raises ModelFileError when the file cannot
be read, is not a ``.tflite`` file, or is corrupted or truncated.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from ai_edge_litert import schema_py_generated as schema

from lessons_lib.system import files
from lessons_lib.tflite import reader

# Which inputs of an operator are its weights and its bias.
PARAMETERS = {
    "CONV_2D": {1: "weight", 2: "bias"},
    "DEPTHWISE_CONV_2D": {1: "weight", 2: "bias"},
    "FULLY_CONNECTED": {1: "weight", 2: "bias"},
    "TRANSPOSE_CONV": {1: "weight", 3: "bias"},
}
_ADDED = re.compile(r"_\d+$")  # TensorFlow's number behind a name that was used before
# The axes of the weights that are summed over for one element of the output.
SUMMED_AXES = {
    "CONV_2D": slice(1, 4),  # of (out, height, width, in)
    "DEPTHWISE_CONV_2D": slice(1, 3),  # of (1, height, width, out)
    "FULLY_CONNECTED": slice(1, 2),  # of (out, in)
}


def operators(source: reader.Source) -> pd.DataFrame:
    """Return one row for each operator of every subgraph, in the order of execution.

    Columns: ``subgraph``, ``index``, ``operator`` (the schema's name, CONV_2D), ``inputs`` and
    ``outputs`` (tuples of tensor names, None for an optional input left out), ``dtypes``
    ("INT8, INT8, INT32 -> INT8"), ``float`` (has a float operand, float16 included),
    ``activation`` (fused: RELU, RELU6 and so on, else NONE).
    """
    model = reader.read(source)
    rows = [
        {"subgraph": number, "index": index, **_operator_row(model, graph, op)}
        for number, graph, index, op in _walk(model)
    ]
    names = ["subgraph", "index", "operator", "inputs", "outputs", "dtypes", "float", "activation"]
    return _frame(rows, names, subgraph=int, index=int, float=bool)


def tensors(source: reader.Source) -> pd.DataFrame:
    """Return one row for each tensor of every subgraph.

    Columns: ``subgraph``, ``index``, ``name``, ``role`` (input, output, weight, bias, constant or
    activation; in a float16 file the stored halves keep their role), ``shape`` (1 where the
    batch is dynamic), ``shape_signature`` (-1 there), ``dtype`` (the schema's name, INT8),
    ``bytes`` (stored in the file; 0 for what is computed), ``buffer`` (where they are stored),
    ``granularity`` (none, per-tensor or per-channel), ``scale`` and ``zero_point`` (None, a
    number, or an array with one value for each channel) and ``quantized_dimension`` (None unless
    per-channel).
    """
    model = reader.read(source)
    rows = [
        {"subgraph": number, "index": index, "role": role, **_tensor_row(model, tensor)}
        for number, graph in enumerate(model.subgraphs)
        for index, (tensor, role) in enumerate(
            zip(graph.tensors, _roles(model, graph), strict=True)
        )
    ]
    names = ["subgraph", "index", "name", "role", "shape", "shape_signature", "dtype", "bytes"]
    names += ["buffer", "granularity", "scale", "zero_point", "quantized_dimension"]
    return _frame(rows, names, subgraph=int, index=int, bytes=int, buffer=int)


def byte_budget(source: reader.Source) -> pd.Series:
    """Return where the bytes go: weights, biases, other constants, structure; int64, in bytes.

    "structure" is the rest of the file: tensor names, shapes, scales and zero points, operators,
    metadata, padding. The four add up to the file's size; a buffer that several tensors share is
    counted once. Defined in lesson 02.
    """
    data = files.content(source)
    stored = tensors(data).drop_duplicates("buffer")
    label = stored["role"].map({"weight": "weights", "bias": "biases"}).fillna("other constants")
    budget = stored["bytes"].groupby(label).sum()
    budget = budget.reindex(["weights", "biases", "other constants"], fill_value=0)
    budget["structure"] = len(data) - budget.sum()
    return budget.rename_axis(None)


@dataclass(frozen=True)
class Audit:
    """What ``audit`` found; dtypes are spelled as NumPy spells them (int8, float32)."""

    integer_only: bool
    float_operators: tuple[str, ...]
    input_dtype: str
    output_dtype: str


def audit(source: reader.Source) -> Audit:
    """Tell whether a file is integer-only, and if not, which operators are to blame.

    Integer-only: no input, no output and no operand of an operator, in any subgraph, is a float
    (float16 is a float). A float operator is given as "ELU -> name of its output".
    ``input_dtype`` and ``output_dtype`` are those of the first subgraph, joined by commas where
    there are several. Defined in lesson 07.
    """
    model, table = reader.read(source), operators(source)
    blamed = table.loc[table["float"], ["operator", "outputs"]]
    culprits = tuple(
        f"{name} -> {', '.join(outputs)}" for name, outputs in blamed.itertuples(index=False)
    )
    ends = [
        [reader.dtype_name(graph.tensors[index]) for index in side]
        for graph in model.subgraphs
        for side in (graph.inputs, graph.outputs)
    ]
    float_ends = any(_is_float(dtype) for side in ends for dtype in side)
    input_dtype, output_dtype = (", ".join(side).lower() for side in ends[:2])
    return Audit(not float_ends and not culprits, culprits, input_dtype, output_dtype)


def multiply_accumulates(source: reader.Source) -> pd.DataFrame:
    """Return the multiply-accumulates of each convolution and dense operator for one input.

    ``macs`` is the number of output elements times the length of the sum behind each:
    ``height * width * channels_in`` of the filter for CONV_2D, ``height * width`` for
    DEPTHWISE_CONV_2D, the number of inputs for FULLY_CONNECTED. A batch (the first dimension of
    the first input) is divided out; a dynamic dimension counts as 1. Columns: ``subgraph``,
    ``index``, ``operator``, ``output``, ``output_shape``, ``weight_shape``, ``macs``.
    Defined in lesson 02.
    """
    model = reader.read(source)
    rows = [
        {"subgraph": number, "index": index, **_arithmetic_row(model, graph, op)}
        for number, graph, index, op in _walk(model)
        if reader.operator_name(model, op) in SUMMED_AXES
    ]
    names = ["subgraph", "index", "operator", "output", "output_shape", "weight_shape", "macs"]
    return _frame(rows, names, subgraph=int, index=int, macs=int)


def layer_name(tensor_name: str) -> str:
    """Return the Keras layer that a tensor's name speaks of: ``m/conv_relu/Relu;m/conv/...``: conv.

    An operator into which the converter fused several layers bears the names of all, of which the
    shortest is returned; of a model inside the model, the inner model's. Exporting adds a number to
    the model's own name and to each layer's (``_1``; to a ``dense_1`` behind a ``dense`` it adds
    ``_2``), which is taken off again. A name without layers is returned as it is.
    Defined in lesson 11.
    """
    scopes = [part.split("/") for part in tensor_name.split(";") if "/" in part]
    names = [
        _ADDED.sub("", layer) if _ADDED.search(model) else layer for model, layer, *_ in scopes
    ]
    return min(names, key=len, default=tensor_name)


def _walk(model: schema.ModelT) -> Iterator[tuple[int, schema.SubGraphT, int, schema.OperatorT]]:
    for number, graph in enumerate(model.subgraphs):
        for index, op in enumerate(graph.operators):
            yield number, graph, index, op


def _frame(rows: list[dict], columns: list[str], **types: type) -> pd.DataFrame:
    """A table whose other columns keep Python objects: None must not become NaN."""
    return pd.DataFrame(rows, columns=columns, dtype=object).astype(types)


def _is_float(dtype: str) -> bool:
    return "FLOAT" in dtype or "COMPLEX" in dtype


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
        slots = PARAMETERS.get(name, {})
        if name == "DEQUANTIZE":  # float16 files: what it unpacks has the role of its result
            slots = dict(enumerate(found.get(output) for output in op.outputs))
        for position, tensor in enumerate(op.inputs):
            if slots.get(position):
                found.setdefault(tensor, slots[position])
    return found


def _tensor_row(model: schema.ModelT, tensor: schema.TensorT) -> dict:
    return {
        "name": reader.text(tensor.name),
        "shape": tuple(tensor.shape),
        "shape_signature": tuple(reader.integers(tensor.shapeSignature) or tensor.shape),
        "dtype": reader.dtype_name(tensor),
        "bytes": reader.stored_bytes(model, tensor).size,
        "buffer": tensor.buffer,
        **_quantization(tensor.quantization),
    }


def _quantization(parameters: schema.QuantizationParametersT | None) -> dict:
    if parameters is None or parameters.scale is None or not len(parameters.scale):
        return {"granularity": "none"} | dict.fromkeys(
            ("scale", "zero_point", "quantized_dimension")
        )
    scale, zero_point = np.array(parameters.scale), np.array(reader.integers(parameters.zeroPoint))
    if len(zero_point) != len(scale):
        raise reader.damaged(f"a tensor has {len(scale)} scales and {len(zero_point)} zero points")
    one = len(scale) == 1
    return {
        "granularity": "per-tensor" if one else "per-channel",
        "scale": float(scale[0]) if one else scale,
        "zero_point": int(zero_point[0]) if one else zero_point,
        "quantized_dimension": None if one else parameters.quantizedDimension,
    }


def _arithmetic_row(model: schema.ModelT, graph: schema.SubGraphT, op: schema.OperatorT) -> dict:
    if len(op.inputs) < 2 or op.inputs[1] < 0 or not op.outputs:
        raise reader.damaged("a convolution or dense operator has no weights or no output")
    weight, output = graph.tensors[op.inputs[1]], graph.tensors[op.outputs[0]]
    name = reader.operator_name(model, op)
    batch = graph.tensors[graph.inputs[0]].shape[:1] if graph.inputs else []
    terms = math.prod(weight.shape[SUMMED_AXES[name]])
    return {
        "operator": name,
        "output": reader.text(output.name),
        "output_shape": tuple(output.shape),
        "weight_shape": tuple(weight.shape),
        "macs": math.prod(output.shape) * terms // max(math.prod(batch), 1),
    }
