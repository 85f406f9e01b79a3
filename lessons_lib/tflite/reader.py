"""A ``.tflite`` file, read and checked, as the objects of its schema; and written again.

Such a file is a FlatBuffer; ``ai_edge_litert`` ships the classes generated from its schema
(``tensorflow/lite/schema/schema.fbs``), so neither TensorFlow nor an interpreter is needed, and
nothing in a stranger's file can crash the process.
"""

import math
import os

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from lessons_lib.errors import InputError, LessonError, ModelFileError
from lessons_lib.system import files

Source = str | os.PathLike | bytes


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
        raise damaged(f"its offsets lead astray ({type(error).__name__}: {error})") from error


def pack(model: schema.ModelT) -> bytes:
    """Return the ModelT of ``read``, also after a change, as the bytes of a ``.tflite``."""
    from ai_edge_litert.tools import flatbuffer_utils

    for buffer in model.buffers:
        buffer.offset = buffer.size = 0  # the data of large files comes back inside as well
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def constant(source: Source, tensor_name: str) -> np.ndarray:
    """Return a tensor that is stored in the file, in its own shape and dtype.

    INT4, UINT4 and INT2, of which two or four share a byte (lowest bits first), come as int8 or
    uint8. Raises InputError when no stored tensor has that name, or NumPy lacks its dtype.
    """
    model = read(source)
    stored = {
        text(tensor.name): tensor
        for graph in model.subgraphs
        for tensor in graph.tensors
        if stored_bytes(model, tensor).size
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
        return text(code.customCode)
    return OPERATORS.get(number, f"OPERATOR_{number}")


def stored_value(model: schema.ModelT, tensor: schema.TensorT) -> np.ndarray | None:
    """Return what the file stores for a tensor of ``read``'s model, None for a computed one.

    As ``constant`` does, whose errors it shares.
    """
    data = stored_bytes(model, tensor)
    return _array(data, dtype_name(tensor), tensor.shape) if data.size else None


def damaged(what: str) -> ModelFileError:
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
            raise damaged("it claims more tensors and operators than it has room for")


def _checked(model: schema.ModelT, data: bytes) -> schema.ModelT:
    """Put lists in place of None, fetch buffers kept behind the FlatBuffer, check every index."""
    model.subgraphs, model.buffers = model.subgraphs or [], model.buffers or []
    if not model.subgraphs:
        raise damaged("it has no subgraph")
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
            owner.inputs, owner.outputs = integers(owner.inputs), integers(owner.outputs)
            optional = owner is not graph  # an operator's input may be left out: -1
            _require_indices([i for i in owner.inputs if i != -1 or not optional], graph.tensors)
            _require_indices(owner.outputs, graph.tensors)
    return model


def _check_tensor(tensor: schema.TensorT) -> None:
    tensor.shape = integers(tensor.shape)
    if min(tensor.shape, default=0) < 0 or math.prod(tensor.shape) >= 2**31:
        raise damaged(f"a tensor has the shape {tensor.shape}")
    if tensor.type not in DTYPES:
        raise damaged(f"a tensor has the dtype {tensor.type}, which the schema does not have")


def _require_indices(indices: list[int], items: list) -> None:
    wrong = [index for index in indices if not 0 <= index < len(items)]
    if wrong:
        raise damaged(f"index {wrong[0]} points outside a list of {len(items)}")


def integers(vector: np.ndarray | None) -> list[int]:
    return [] if vector is None else [int(value) for value in vector]


def text(name: bytes | None) -> str:
    return (name or b"").decode("utf-8", errors="replace")


def dtype_name(tensor: schema.TensorT) -> str:
    return DTYPES[tensor.type]


def stored_bytes(model: schema.ModelT, tensor: schema.TensorT) -> np.ndarray:
    """The bytes that the file holds for a tensor, none for one that is computed."""
    data = model.buffers[tensor.buffer].data
    return np.empty(0, np.uint8) if data is None else np.asarray(data, np.uint8)


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
        raise damaged(f"{data.size} bytes are no whole number of {dtype}") from error
    if values.size != math.prod(shape):
        raise damaged(f"a tensor of shape {shape} stores {values.size} values")
    return values.reshape(shape).copy()


def _unpacked(data: np.ndarray, dtype: str) -> np.ndarray:
    """One byte for each packed value; ``(v ^ s) - s`` extends its sign bit ``s``."""
    bits = PACKED_BITS[dtype]
    values = (data[:, None] >> np.arange(0, 8, bits, dtype=np.uint8)) & np.uint8(2**bits - 1)
    sign = np.uint8(2 ** (bits - 1) if dtype.startswith("INT") else 0)
    return ((values ^ sign) - sign).ravel()
