"""What is inside a ``.tflite`` file: operators, tensors, where its bytes go, is it integer-only.

A ``.tflite`` file is a FlatBuffer; ``ai_edge_litert`` ships the classes generated from its schema
(``tensorflow/lite/schema/schema.fbs``), so neither TensorFlow nor an interpreter is needed, and
nothing in a stranger's file can crash the process. The interpreter's own list of tensors would
not do: it shows INT4 as int8, and knows no subgraphs and no fused activations.

Every function takes a path or the file's bytes, and raises ModelFileError when the file cannot
be read, is not a ``.tflite`` file, or is corrupted or truncated.
"""

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from ai_edge_litert import schema_py_generated as schema

from lessons_lib import files
from lessons_lib.errors import InputError, LessonError, ModelFileError

Source = str | os.PathLike | bytes

# Which inputs of an operator are its weights and its bias.
PARAMETERS = {
    "CONV_2D": {1: "weight", 2: "bias"},
    "DEPTHWISE_CONV_2D": {1: "weight", 2: "bias"},
    "FULLY_CONNECTED": {1: "weight", 2: "bias"},
    "TRANSPOSE_CONV": {1: "weight", 3: "bias"},
}
# The axes of the weights that are summed over for one element of the output.
SUMMED_AXES = {
    "CONV_2D": slice(1, 4),  # of (out, height, width, in)
    "DEPTHWISE_CONV_2D": slice(1, 3),  # of (1, height, width, out)
    "FULLY_CONNECTED": slice(1, 2),  # of (out, in)
}
PACKED_BITS = {"INT4": 4, "UINT4": 4, "INT2": 2}


def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if not name.startswith("_")}


OPERATORS = _names(schema.BuiltinOperator)
DTYPES = _names(schema.TensorType)
ACTIVATIONS = _names(schema.ActivationFunctionType)


def read(source: Source) -> schema.ModelT:
    """Return the whole file as the schema's ModelT, checked.

    Its lists of subgraphs, operators, tensors, buffers, inputs, outputs and dimensions are never
    None, and every index among them is valid. Raises ModelFileError as said above, and
    InputError when ``source`` is neither a path nor bytes.
    """
    data = files.content(source)
    if data[4:8] != b"TFL3":
        found = f"bytes 4 to 8 are {data[4:8]!r}" if data else "it is empty"
        raise ModelFileError(
            f"not a .tflite file: {found}; expected the identifier b'TFL3' (lesson 01)"
        )
    try:
        _require_room(data)
        return _checked(schema.ModelT.InitFromPackedBuf(data), data)
    except LessonError:
        raise
    except Exception as error:  # the generated parser trusts the file: anything can be raised
        raise _damaged(f"its offsets lead astray ({type(error).__name__}: {error})") from error


def pack(model: schema.ModelT) -> bytes:
    """Return the ModelT of ``read``, also after a change, as the bytes of a ``.tflite``."""
    from ai_edge_litert.tools import flatbuffer_utils

    for buffer in model.buffers:
        buffer.offset = buffer.size = 0  # the data of large files comes back inside as well
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def operators(source: Source) -> pd.DataFrame:
    """Return one row for each operator of every subgraph, in the order of execution.

    Columns: ``subgraph``, ``index``, ``operator`` (the schema's name, CONV_2D), ``inputs`` and
    ``outputs`` (tuples of tensor names, None for an optional input left out), ``dtypes``
    ("INT8, INT8, INT32 -> INT8"), ``float`` (has a float operand, float16 included),
    ``activation`` (fused: RELU, RELU6 and so on, else NONE).
    """
    model = read(source)
    rows = [
        {"subgraph": number, "index": index, **_operator_row(model, graph, op)}
        for number, graph, index, op in _walk(model)
    ]
    names = ["subgraph", "index", "operator", "inputs", "outputs", "dtypes", "float", "activation"]
    return _frame(rows, names, subgraph=int, index=int, float=bool)


def tensors(source: Source) -> pd.DataFrame:
    """Return one row for each tensor of every subgraph.

    Columns: ``subgraph``, ``index``, ``name``, ``role`` (input, output, weight, bias, constant or
    activation; in a float16 file the stored halves keep their role), ``shape`` (1 where the
    batch is dynamic), ``shape_signature`` (-1 there), ``dtype`` (the schema's name, INT8),
    ``bytes`` (stored in the file; 0 for what is computed), ``buffer`` (where they are stored),
    ``granularity`` (none, per-tensor or per-channel), ``scale`` and ``zero_point`` (None, a
    number, or an array with one value for each channel) and ``quantized_dimension`` (None unless
    per-channel).
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
    names += ["buffer", "granularity", "scale", "zero_point", "quantized_dimension"]
    return _frame(rows, names, subgraph=int, index=int, bytes=int, buffer=int)


def byte_budget(source: Source) -> pd.Series:
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


def audit(source: Source) -> Audit:
    """Tell whether a file is integer-only, and if not, which operators are to blame.

    Integer-only: no input, no output and no operand of an operator, in any subgraph, is a float
    (float16 is a float). A float operator is given as "ELU -> name of its output".
    ``input_dtype`` and ``output_dtype`` are those of the first subgraph, joined by commas where
    there are several. Defined in lesson 07.
    """
    model, table = read(source), operators(source)
    blamed = table.loc[table["float"], ["operator", "outputs"]]
    culprits = tuple(
        f"{name} -> {', '.join(outputs)}" for name, outputs in blamed.itertuples(index=False)
    )
    ends = [
        [_dtype(graph.tensors[index]) for index in side]
        for graph in model.subgraphs
        for side in (graph.inputs, graph.outputs)
    ]
    float_ends = any(_is_float(dtype) for side in ends for dtype in side)
    input_dtype, output_dtype = (", ".join(side).lower() for side in ends[:2])
    return Audit(not float_ends and not culprits, culprits, input_dtype, output_dtype)


def multiply_accumulates(source: Source) -> pd.DataFrame:
    """Return the multiply-accumulates of each convolution and dense operator for one input.

    ``macs`` is the number of output elements times the length of the sum behind each:
    ``height * width * channels_in`` of the filter for CONV_2D, ``height * width`` for
    DEPTHWISE_CONV_2D, the number of inputs for FULLY_CONNECTED. A batch (the first dimension of
    the first input) is divided out; a dynamic dimension counts as 1. Columns: ``subgraph``,
    ``index``, ``operator``, ``output``, ``output_shape``, ``weight_shape``, ``macs``.
    Defined in lesson 02.
    """
    model = read(source)
    rows = [
        {"subgraph": number, "index": index, **_arithmetic_row(model, graph, op)}
        for number, graph, index, op in _walk(model)
        if operator_name(model, op) in SUMMED_AXES
    ]
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
        if _stored(model, tensor).size
    }
    if tensor_name not in stored:
        have = ", ".join(stored) or "none"
        raise InputError(
            f"no tensor {tensor_name!r} is stored here; stored are: {have} (lesson 03)"
        )
    return stored_value(model, stored[tensor_name])


def operator_name(model: schema.ModelT, op: schema.OperatorT) -> str:
    """Return the schema's name of an operator of ``read``'s model: CONV_2D, or a custom one's."""
    code = model.operatorCodes[op.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)  # old files fill only the second
    if number == schema.BuiltinOperator.CUSTOM:
        return _text(code.customCode)
    return OPERATORS.get(number, f"OPERATOR_{number}")


def stored_value(model: schema.ModelT, tensor: schema.TensorT) -> np.ndarray | None:
    """Return what the file stores for a tensor of ``read``'s model, None for a computed one.

    As ``constant`` does, whose errors it shares.
    """
    data = _stored(model, tensor)
    return _array(data, _dtype(tensor), tensor.shape) if data.size else None


def _damaged(what: str) -> ModelFileError:
    return ModelFileError(f"the .tflite file is corrupted or truncated: {what} (lesson 02)")


def _require_room(data: bytes) -> None:
    """Refuse false counts before unpacking: believing them could take hours.

    In an honest file every tensor and operator has at least an offset of four bytes of its own.
    """
    model = schema.Model.GetRootAs(data)
    claimed = 0
    for number in range(model.SubgraphsLength()):
        graph = model.Subgraphs(number)
        claimed += 1 + graph.TensorsLength() + graph.OperatorsLength()
        if 4 * claimed > len(data):
            raise _damaged("it claims more tensors and operators than it has room for")


def _checked(model: schema.ModelT, data: bytes) -> schema.ModelT:
    """Put lists in place of None, fetch buffers kept behind the FlatBuffer, check every index."""
    model.subgraphs, model.buffers = model.subgraphs or [], model.buffers or []
    if not model.subgraphs:
        raise _damaged("it has no subgraph")
    for buffer in model.buffers:
        if buffer.offset > 1:  # files of 2 GB and more keep their buffers there
            buffer.data = np.frombuffer(data, np.uint8, buffer.size, buffer.offset)
    for graph in model.subgraphs:
        graph.tensors, graph.operators = graph.tensors or [], graph.operators or []
        _require_indices([op.opcodeIndex for op in graph.operators], model.operatorCodes or [])
        _require_indices([tensor.buffer for tensor in graph.tensors], model.buffers)
        for tensor in graph.tensors:
            _check_tensor(tensor)
        for owner in (graph, *graph.operators):
            owner.inputs, owner.outputs = _integers(owner.inputs), _integers(owner.outputs)
            optional = owner is not graph  # an operator's input may be left out: -1
            _require_indices([i for i in owner.inputs if i != -1 or not optional], graph.tensors)
            _require_indices(owner.outputs, graph.tensors)
    return model


def _check_tensor(tensor: schema.TensorT) -> None:
    tensor.shape = _integers(tensor.shape)
    if min(tensor.shape, default=0) < 0 or math.prod(tensor.shape) >= 2**31:
        raise _damaged(f"a tensor has the shape {tensor.shape}")
    if tensor.type not in DTYPES:
        raise _damaged(f"a tensor has the dtype {tensor.type}, which the schema does not have")


def _require_indices(indices: list[int], items: list) -> None:
    wrong = [index for index in indices if not 0 <= index < len(items)]
    if wrong:
        raise _damaged(f"index {wrong[0]} points outside a list of {len(items)}")


def _integers(vector: np.ndarray | None) -> list[int]:
    return [] if vector is None else [int(value) for value in vector]


def _walk(model: schema.ModelT) -> Iterator[tuple[int, schema.SubGraphT, int, schema.OperatorT]]:
    for number, graph in enumerate(model.subgraphs):
        for index, op in enumerate(graph.operators):
            yield number, graph, index, op


def _frame(rows: list[dict], columns: list[str], **types: type) -> pd.DataFrame:
    """A table whose other columns keep Python objects: None must not become NaN."""
    return pd.DataFrame(rows, columns=columns, dtype=object).astype(types)


def _text(name: bytes | None) -> str:
    return (name or b"").decode("utf-8", errors="replace")


def _dtype(tensor: schema.TensorT) -> str:
    return DTYPES[tensor.type]


def _is_float(dtype: str) -> bool:
    return "FLOAT" in dtype or "COMPLEX" in dtype


def _stored(model: schema.ModelT, tensor: schema.TensorT) -> np.ndarray:
    """The bytes that the file holds for a tensor, none for one that is computed."""
    data = model.buffers[tensor.buffer].data
    return np.empty(0, np.uint8) if data is None else np.asarray(data, np.uint8)


def _operator_row(model: schema.ModelT, graph: schema.SubGraphT, op: schema.OperatorT) -> dict:
    sides = [[graph.tensors[i] if i >= 0 else None for i in s] for s in (op.inputs, op.outputs)]
    names = [tuple(tensor and _text(tensor.name) for tensor in side) for side in sides]
    dtypes = [[_dtype(tensor) for tensor in side if tensor] for side in sides]
    fused = getattr(op.builtinOptions, "fusedActivationFunction", 0)
    return {
        "operator": operator_name(model, op),
        "inputs": names[0],
        "outputs": names[1],
        "dtypes": " -> ".join(", ".join(side) for side in dtypes),
        "float": any(_is_float(dtype) for side in dtypes for dtype in side),
        "activation": ACTIVATIONS.get(fused, f"ACTIVATION_{fused}"),
    }


def _roles(model: schema.ModelT, graph: schema.SubGraphT) -> list[str]:
    """The role of each tensor of a subgraph."""
    parameters = _parameters(model, graph)
    roles = [
        parameters.get(index, "constant") if _stored(model, tensor).size else "activation"
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
        name = operator_name(model, op)
        slots = PARAMETERS.get(name, {})
        if name == "DEQUANTIZE":  # float16 files: what it unpacks has the role of its result
            slots = dict(enumerate(found.get(output) for output in op.outputs))
        for position, tensor in enumerate(op.inputs):
            if slots.get(position):
                found.setdefault(tensor, slots[position])
    return found


def _tensor_row(model: schema.ModelT, tensor: schema.TensorT) -> dict:
    return {
        "name": _text(tensor.name),
        "shape": tuple(tensor.shape),
        "shape_signature": tuple(_integers(tensor.shapeSignature) or tensor.shape),
        "dtype": _dtype(tensor),
        "bytes": _stored(model, tensor).size,
        "buffer": tensor.buffer,
        **_quantization(tensor.quantization),
    }


def _quantization(parameters: schema.QuantizationParametersT | None) -> dict:
    if parameters is None or parameters.scale is None or not len(parameters.scale):
        return {"granularity": "none"} | dict.fromkeys(
            ("scale", "zero_point", "quantized_dimension")
        )
    scale, zero_point = np.array(parameters.scale), np.array(_integers(parameters.zeroPoint))
    if len(zero_point) != len(scale):
        raise _damaged(f"a tensor has {len(scale)} scales and {len(zero_point)} zero points")
    one = len(scale) == 1
    return {
        "granularity": "per-tensor" if one else "per-channel",
        "scale": float(scale[0]) if one else scale,
        "zero_point": int(zero_point[0]) if one else zero_point,
        "quantized_dimension": None if one else parameters.quantizedDimension,
    }


def _arithmetic_row(model: schema.ModelT, graph: schema.SubGraphT, op: schema.OperatorT) -> dict:
    if len(op.inputs) < 2 or op.inputs[1] < 0 or not op.outputs:
        raise _damaged("a convolution or dense operator has no weights or no output")
    weight, output = graph.tensors[op.inputs[1]], graph.tensors[op.outputs[0]]
    name = operator_name(model, op)
    batch = graph.tensors[graph.inputs[0]].shape[:1] if graph.inputs else []
    terms = math.prod(weight.shape[SUMMED_AXES[name]])
    return {
        "operator": name,
        "output": _text(output.name),
        "output_shape": tuple(output.shape),
        "weight_shape": tuple(weight.shape),
        "macs": math.prod(output.shape) * terms // max(math.prod(batch), 1),
    }


def _array(data: np.ndarray, dtype: str, shape: list[int]) -> np.ndarray:
    if dtype in PACKED_BITS:
        data = _unpacked(data, dtype)[: math.prod(shape)]
        dtype = "INT8" if dtype.startswith("INT") else "UINT8"
    scalar = getattr(np, dtype.lower(), None)
    if scalar is None:
        raise InputError(f"the tensor has dtype {dtype}, which NumPy does not have (lesson 03)")
    try:
        values = data.view(scalar)
    except ValueError as error:
        raise _damaged(f"{data.size} bytes are no whole number of {dtype}") from error
    if values.size != math.prod(shape):
        raise _damaged(f"a tensor of shape {shape} stores {values.size} values")
    return values.reshape(shape).copy()


def _unpacked(data: np.ndarray, dtype: str) -> np.ndarray:
    """One byte for each packed value; ``(v ^ s) - s`` extends its sign bit ``s``."""
    bits = PACKED_BITS[dtype]
    values = (data[:, None] >> np.arange(0, 8, bits, dtype=np.uint8)) & np.uint8(2**bits - 1)
    sign = np.uint8(2 ** (bits - 1) if dtype.startswith("INT") else 0)
    return ((values ^ sign) - sign).ravel()
