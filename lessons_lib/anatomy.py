"""What is inside a ``.tflite`` file: operators, tensors, where its bytes go, is it integer-only.

A ``.tflite`` file is a FlatBuffer; ``ai_edge_litert`` ships the classes generated from its schema
(``tensorflow/lite/schema/schema.fbs``), so neither TensorFlow nor an interpreter is needed, and
nothing in a stranger's file can crash the process. The interpreter's own list of tensors would
not do: it shows INT4 as int8, and knows no subgraphs or fused activations.

Every function takes a path or the file's bytes, and raises ModelFileError when the file cannot
be read, is not a ``.tflite`` file, or is corrupted or truncated.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from ai_edge_litert import schema_py_generated as schema

from lessons_lib.errors import InputError, LessonError, ModelFileError

Source = str | os.PathLike | bytes

# Which inputs of an operator are its weights and its bias.
PARAMETERS = {
    "CONV_2D": {1: "weight", 2: "bias"},
    "DEPTHWISE_CONV_2D": {1: "weight", 2: "bias"},
    "FULLY_CONNECTED": {1: "weight", 2: "bias"},
    "TRANSPOSE_CONV": {1: "weight", 3: "bias"},
    "CONV_3D": {1: "weight", 2: "bias"},
    "BATCH_MATMUL": {1: "weight"},
}
# Weight axes that are summed over for one output element (schema.fbs, comments on the filters).
SUMMED_AXES = {
    "CONV_2D": slice(1, 4),  # (out, height, width, in)
    "DEPTHWISE_CONV_2D": slice(1, 3),  # (1, height, width, out)
    "FULLY_CONNECTED": slice(1, 2),  # (out, in)
}
PACKED_BITS = {"INT4": 4, "UINT4": 4, "INT2": 2}


def read(source: Source) -> schema.ModelT:
    """Return the whole file as the schema's ModelT; its lists are never None, its indices valid.

    Raises ModelFileError as said above, and InputError when ``source`` is neither path nor bytes.
    """
    data = _bytes(source)
    if data[4:8] != b"TFL3":
        found = f"bytes 4 to 8 are {data[4:8]!r}" if data else "it is empty"
        raise ModelFileError(f"not a .tflite file: {found}; expected the identifier b'TFL3'")
    try:
        _require_room(data)
        model = schema.ModelT.InitFromPackedBuf(data)
        return _checked(model, data)
    except LessonError:
        raise
    except Exception as error:  # the generated parser trusts the file: anything can be raised
        raise _damaged(f"it ends or points astray ({type(error).__name__}: {error})") from error


def operators(source: Source) -> pd.DataFrame:
    """Return one row for each operator of every subgraph, in the order of execution.

    Columns: ``subgraph``, ``index``, ``operator`` (the schema's name, CONV_2D), ``inputs`` and
    ``outputs`` (tuples of tensor names, None for an optional input left out), ``dtypes``
    ("INT8, INT8, INT32 -> INT8"), ``float`` (has a float operand, float16 included),
    ``activation`` (fused: RELU, RELU6 …, else NONE).
    """
    rows = [_operator_row(*entry) for entry in _walk(read(source))]
    names = ["subgraph", "index", "operator", "inputs", "outputs", "dtypes", "float", "activation"]
    return _frame(rows, names, subgraph=int, index=int, float=bool)


def tensors(source: Source) -> pd.DataFrame:
    """Return one row for each tensor of every subgraph.

    Columns: ``subgraph``, ``index``, ``name``, ``role`` (input, output, weight, bias, constant or
    activation; in a float16 file the stored halves keep their role), ``shape`` (1 where the
    batch is dynamic), ``shape_signature`` (-1 there), ``dtype`` (the schema's name, INT8),
    ``bytes`` (stored in the file; 0 for what is computed), ``granularity`` (none, per-tensor or
    per-channel), ``scale`` and ``zero_point`` (None, a number, or an array with one value for
    each channel) and ``quantized_dimension`` (None unless per-channel).
    """
    model = read(source)
    rows = [
        {"subgraph": number, "index": index, "role": role, **_tensor_row(model, tensor)}
        for number, graph in enumerate(model.subgraphs)
        for index, (tensor, role) in enumerate(
            zip(graph.tensors, _roles(model, graph), strict=True)
        )
    ]
    names = ["subgraph", "index", "name", "role", "shape", "shape_signature", "dtype", "bytes"]
    names += ["granularity", "scale", "zero_point", "quantized_dimension"]
    return _frame(rows, names, subgraph=int, index=int, bytes=int)


def byte_budget(source: Source) -> pd.Series:
    """Return where the bytes go: weights, biases, other constants, structure; in bytes.

    "structure" is the rest of the file: tensor names, shapes, scales and zero points, operators,
    metadata, padding. The four add up to the file's size; a buffer that several tensors share is
    counted once.
    """
    data = _bytes(source)
    model = read(data)
    labels = {"weight": "weights", "bias": "biases"}
    budget = dict.fromkeys(("weights", "biases", "other constants", "structure"), 0)
    owners = {}
    for graph in model.subgraphs:
        for tensor, role in zip(graph.tensors, _roles(model, graph), strict=True):
            owners.setdefault(tensor.buffer, labels.get(role, "other constants"))
    for buffer, label in owners.items():
        budget[label] += len(_stored(model.buffers[buffer]))
    budget["structure"] = len(data) - sum(budget.values())
    return pd.Series(budget, name="bytes")


@dataclass(frozen=True)
class Audit:
    """What ``audit`` found; dtypes are spelled as NumPy spells them (int8, float32)."""

    integer_only: bool
    float_operators: tuple[str, ...]
    input_dtype: str
    output_dtype: str


def audit(source: Source) -> Audit:
    """Tell whether a file is integer-only, and if not, which operators are to blame.

    Integer-only: every input and output is an integer and no operator of any subgraph has a float
    operand (float16 is float). Each float operator is given as "ELU -> name of its output".
    ``input_dtype`` and ``output_dtype`` are those of the first subgraph, joined by commas where
    there are several. Defined in lesson 07.
    """
    model = read(source)
    culprits = tuple(
        f"{row['operator']} -> {', '.join(row['outputs'])}"
        for row in (_operator_row(*entry) for entry in _walk(model))
        if row["float"]
    )
    ends = [
        [_dtype(graph.tensors[i]) for i in side]
        for graph in model.subgraphs
        for side in (graph.inputs, graph.outputs)
    ]
    integer_ends = all("INT" in dtype for side in ends for dtype in side)
    first_input, first_output = (", ".join(side).lower() for side in ends[:2])
    return Audit(integer_ends and not culprits, culprits, first_input, first_output)


def multiply_accumulates(source: Source) -> pd.DataFrame:
    """Return the multiply-accumulates of each convolution and dense operator for one input.

    Output elements times the length of the sum behind each: ``height * width * channels_in`` of
    the filter for CONV_2D, ``height * width`` for DEPTHWISE_CONV_2D, the number of inputs for
    FULLY_CONNECTED. A batch (the first dimension of the first input) is divided out; a dynamic
    dimension counts as 1. Columns: ``subgraph``, ``index``, ``operator``, ``output``,
    ``output_shape``, ``weight_shape``, ``macs``. Defined in lesson 02.
    """
    rows = [_arithmetic_row(*entry) for entry in _walk(read(source)) if _name(entry) in SUMMED_AXES]
    names = ["subgraph", "index", "operator", "output", "output_shape", "weight_shape", "macs"]
    return _frame(rows, names, subgraph=int, index=int, macs=int)


def constant(source: Source, tensor_name: str) -> np.ndarray:
    """Return a tensor that is stored in the file, in its own shape and dtype.

    INT4, UINT4 and INT2, of which two or four share a byte (lowest bits first), come as int8 or
    uint8. Raises InputError when no stored tensor has that name, or NumPy lacks its dtype.
    """
    model = read(source)
    stored = {
        _text(tensor.name): tensor
        for graph in model.subgraphs
        for tensor in graph.tensors
        if len(_stored(model.buffers[tensor.buffer]))
    }
    if tensor_name not in stored:
        raise InputError(
            f"no tensor {tensor_name!r} is stored here; these are: {', '.join(stored)}"
        )
    tensor = stored[tensor_name]
    return _array(_stored(model.buffers[tensor.buffer]), _dtype(tensor), tensor.shape)


def _bytes(source: Source) -> bytes:
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    try:
        return Path(source).read_bytes()
    except TypeError as error:
        raise InputError(
            f"expected the path or the bytes of a .tflite file, got {type(source).__name__}"
        ) from error
    except (OSError, ValueError) as error:
        raise ModelFileError(f"cannot read {source}: {error}") from error


def _damaged(what: str) -> ModelFileError:
    return ModelFileError(f"the .tflite file is corrupted or truncated: {what}")


def _require_room(data: bytes) -> None:
    """Refuse false counts before unpacking: believing them could take hours.

    In an honest file every tensor and operator has at least an offset of four bytes of its own.
    """
    model = schema.Model.GetRootAs(data)
    claimed = model.SubgraphsLength()
    for number in range(claimed):
        graph = model.Subgraphs(number)
        claimed += graph.TensorsLength() + graph.OperatorsLength()
        if 4 * claimed > len(data):
            raise _damaged("it claims more tensors and operators than it has room for")


def _checked(model: schema.ModelT, data: bytes) -> schema.ModelT:
    """Put empty lists in place of None, fetch buffers kept behind the FlatBuffer, check indices."""
    model.subgraphs, model.buffers = model.subgraphs or [], model.buffers or []
    if not model.subgraphs:
        raise _damaged("it has no subgraph")
    for buffer in model.buffers:
        if buffer.offset > 1:  # files beyond 2 GB keep their buffers there
            buffer.data = np.frombuffer(data, np.uint8, buffer.size, buffer.offset)
    for graph in model.subgraphs:
        graph.tensors, graph.operators = graph.tensors or [], graph.operators or []
        for tensor in graph.tensors:
            tensor.shape = _integers(tensor.shape)
            _require_indices([tensor.buffer], len(model.buffers))
        for owner in (graph, *graph.operators):
            owner.inputs, owner.outputs = _integers(owner.inputs), _integers(owner.outputs)
            optional = owner is not graph
            _require_indices(owner.inputs, len(graph.tensors), least=-1 if optional else 0)
            _require_indices(owner.outputs, len(graph.tensors))
        _require_indices([op.opcodeIndex for op in graph.operators], len(model.operatorCodes or []))
    return model


def _integers(vector) -> list[int]:
    return [] if vector is None else [int(value) for value in vector]


def _require_indices(indices: list[int], length: int, least: int = 0) -> None:
    wrong = [index for index in indices if not least <= index < length]
    if wrong:
        raise _damaged(f"index {wrong[0]} points outside a list of {length}")


Entry = tuple[schema.ModelT, int, schema.SubGraphT, int, schema.OperatorT]


def _walk(model: schema.ModelT) -> Iterator[Entry]:
    for number, graph in enumerate(model.subgraphs):
        for index, op in enumerate(graph.operators):
            yield model, number, graph, index, op


def _name(entry: Entry) -> str:
    return _operator_name(entry[0], entry[-1])


def _frame(rows: list[dict], columns: list[str], **types: type) -> pd.DataFrame:
    """A table whose other columns keep Python objects: None must not become NaN."""
    return pd.DataFrame(rows, columns=columns, dtype=object).astype(types)


def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if not name.startswith("_")}


OPERATOR_NAMES = _names(schema.BuiltinOperator)
DTYPE_NAMES = _names(schema.TensorType)
ACTIVATION_NAMES = _names(schema.ActivationFunctionType)


def _text(name: bytes | None) -> str:
    return (name or b"").decode("utf-8", errors="replace")


def _dtype(tensor: schema.TensorT) -> str:
    return DTYPE_NAMES.get(tensor.type, f"TYPE_{tensor.type}")


def _stored(buffer: schema.BufferT) -> np.ndarray:
    return np.empty(0, np.uint8) if buffer.data is None else np.asarray(buffer.data, np.uint8)


def _operator_name(model: schema.ModelT, op: schema.OperatorT) -> str:
    code = model.operatorCodes[op.opcodeIndex]
    # Codes above 127 do not fit the field of old files.
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    if number == schema.BuiltinOperator.CUSTOM:
        return _text(code.customCode)
    return OPERATOR_NAMES.get(number, f"OPERATOR_{number}")


def _operator_row(model, number, graph, index, op) -> dict:
    sides = [
        [graph.tensors[i] if i >= 0 else None for i in side] for side in (op.inputs, op.outputs)
    ]
    dtypes = [[_dtype(tensor) for tensor in side if tensor] for side in sides]
    names = [tuple(tensor and _text(tensor.name) for tensor in side) for side in sides]
    fused = getattr(op.builtinOptions, "fusedActivationFunction", 0)
    return {
        "subgraph": number,
        "index": index,
        "operator": _operator_name(model, op),
        "inputs": names[0],
        "outputs": names[1],
        "dtypes": " -> ".join(", ".join(side) for side in dtypes),
        "float": any("FLOAT" in dtype or "COMPLEX" in dtype for side in dtypes for dtype in side),
        "activation": ACTIVATION_NAMES.get(fused, f"ACTIVATION_{fused}"),
    }


def _roles(model: schema.ModelT, graph: schema.SubGraphT) -> list[str]:
    parameters = {}
    for op in reversed(graph.operators):
        name = _operator_name(model, op)
        slots = PARAMETERS.get(name, {})
        if name == "DEQUANTIZE":  # float16 files: what it unpacks has the role of its result
            slots = {0: parameters.get(output) for output in op.outputs}
        for position, tensor in enumerate(op.inputs):
            if slots.get(position):
                parameters.setdefault(tensor, slots[position])
    roles = [
        parameters.get(index, "constant")
        if len(_stored(model.buffers[tensor.buffer]))
        else "activation"
        for index, tensor in enumerate(graph.tensors)
    ]
    for role, side in (("output", graph.outputs), ("input", graph.inputs)):
        for index in side:
            roles[index] = role
    return roles


def _tensor_row(model: schema.ModelT, tensor: schema.TensorT) -> dict:
    signature = _integers(tensor.shapeSignature)
    return {
        "name": _text(tensor.name),
        "shape": tuple(tensor.shape),
        "shape_signature": tuple(signature or tensor.shape),
        "dtype": _dtype(tensor),
        "bytes": len(_stored(model.buffers[tensor.buffer])),
        **_quantization(tensor.quantization),
    }


def _quantization(parameters: schema.QuantizationParametersT | None) -> dict:
    names = ("granularity", "scale", "zero_point", "quantized_dimension")
    if parameters is None or parameters.scale is None or not len(parameters.scale):
        return dict(zip(names, ("none", None, None, None), strict=True))
    scale, zero_point = np.array(parameters.scale), parameters.zeroPoint
    zero_point = np.zeros(len(scale), int) if zero_point is None else np.array(zero_point)
    if len(zero_point) != len(scale):
        raise _damaged(f"a tensor has {len(scale)} scales and {len(zero_point)} zero points")
    if len(scale) == 1:
        values = ("per-tensor", float(scale[0]), int(zero_point[0]), None)
    else:
        values = ("per-channel", scale, zero_point, parameters.quantizedDimension)
    return dict(zip(names, values, strict=True))


def _arithmetic_row(model, number, graph, index, op) -> dict:
    if len(op.inputs) < 2 or not op.outputs:
        raise _damaged(f"operator {index} has no weights or no output")
    weight, output = graph.tensors[op.inputs[1]], graph.tensors[op.outputs[0]]
    name = _operator_name(model, op)
    first = graph.tensors[graph.inputs[0]].shape if graph.inputs else []
    total = math.prod(output.shape) * math.prod(weight.shape[SUMMED_AXES[name]])
    return {
        "subgraph": number,
        "index": index,
        "operator": name,
        "output": _text(output.name),
        "output_shape": tuple(output.shape),
        "weight_shape": tuple(weight.shape),
        "macs": total // max(first[0] if first else 1, 1),
    }


def _array(data: np.ndarray, dtype: str, shape: list[int]) -> np.ndarray:
    if dtype in PACKED_BITS:
        data, dtype = _unpacked(data, dtype, math.prod(shape))
    try:
        values = data.view(dtype.lower())
    except TypeError as error:
        raise InputError(f"the tensor has dtype {dtype}, which NumPy does not have") from error
    except ValueError as error:
        raise _damaged(f"{len(data)} bytes are no whole number of {dtype}") from error
    if values.size != math.prod(shape):
        raise _damaged(f"a tensor of shape {shape} stores {values.size} values")
    return values.reshape(shape).copy()


def _unpacked(data: np.ndarray, dtype: str, count: int) -> tuple[np.ndarray, str]:
    bits, signed = PACKED_BITS[dtype], dtype.startswith("INT")
    values = data[:, None] >> np.arange(0, 8, bits, dtype=np.uint8) & (2**bits - 1)
    sign = 2 ** (bits - 1) if signed else 0
    # (v ^ sign) - sign extends the sign of a two's complement number; uint8 wraps as int8 does.
    return ((values ^ sign) - sign).astype(np.uint8).ravel()[:count], "INT8" if signed else "UINT8"
