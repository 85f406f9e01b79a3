"""A ``.tflite`` file, read and checked, as the objects of its schema; and written again.

Such a file is a FlatBuffer; ``ai_edge_litert`` ships the classes generated from its schema
(``tensorflow/lite/schema/schema.fbs``), so neither TensorFlow nor an interpreter is needed, and
nothing in a stranger's file can crash the process.
"""

import functools
import itertools
import math
import os
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from lessons_lib.errors import InputError, LessonError, ModelFileError
from lessons_lib.system import files

Source = str | os.PathLike | bytes | schema.ModelT


PACKED_BITS = {"INT4": 4, "UINT4": 4, "INT2": 2}
MAX_RANK = 32  # no kernel takes as many dimensions, and NumPy no more than 64


def _names(enumeration: type) -> dict[int, str]:
    return {value: name for name, value in vars(enumeration).items() if not name.startswith("_")}


OPERATORS = _names(schema.BuiltinOperator)


DTYPES = _names(schema.TensorType)


ACTIVATIONS = _names(schema.ActivationFunctionType)


def read(source: Source) -> schema.ModelT:
    """Return the whole file as the schema's ModelT, checked; what was read already as it is.

    Its lists of subgraphs, operators, tensors, buffers, inputs, outputs and dimensions are never
    None, and every index among them is valid. Raises ModelFileError as said above, and
    InputError when ``source`` is neither a path nor bytes.
    """
    if isinstance(source, schema.ModelT):
        return source
    data = files.content(source)
    try:
        return _parsed(data)
    except ModelFileError as error:
        if not isinstance(source, str | os.PathLike):
            raise
        raise ModelFileError(f"{files.display_path(source)}: {error}") from error


def _parsed(data: bytes) -> schema.ModelT:
    if data[4:8] != b"TFL3":
        found = f"bytes 4 to 8 are {data[4:8]!r}" if data else "it is empty"
        raise ModelFileError(
            f"not a .tflite file: {found}; expected the identifier b'TFL3' (lesson 01)"
        )
    try:
        return _checked(_unpacked(schema.Model.GetRootAs(data), _Room(len(data))), data)
    except LessonError:
        raise
    except Exception as error:  # the generated parser trusts the file: anything can be raised
        raise damaged(f"its offsets lead astray ({type(error).__name__}: {error})") from error


def keeps_data_behind(model: schema.ModelT) -> bool:
    """Tell whether a file of ``read`` keeps constants behind its FlatBuffer, as large ones do."""
    return any(buffer.offset > 1 for buffer in model.buffers)


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
    number = _code(model, op)
    if number == schema.BuiltinOperator.CUSTOM:
        return text(model.operatorCodes[op.opcodeIndex].customCode)
    return OPERATORS.get(number, f"OPERATOR_{number}")


def is_custom(model: schema.ModelT, op: schema.OperatorT) -> bool:
    """Return whether an operator is none of TensorFlow Lite's own."""
    return _code(model, op) == schema.BuiltinOperator.CUSTOM


def _code(model: schema.ModelT, op: schema.OperatorT) -> int:
    code = model.operatorCodes[op.opcodeIndex]
    return max(code.builtinCode, code.deprecatedBuiltinCode)  # old files fill only the second


def subgraph_fields(op: schema.OperatorT) -> list[tuple[object, str, Any]]:
    """Return where an operator names the subgraphs that it calls: options, field, the number(s)."""
    both = [options for options in (op.builtinOptions, op.builtinOptions2) if options is not None]
    fields = [(o, field, getattr(o, field)) for o in both for field in _calling(type(o))]
    return [entry for entry in fields if entry[2] is not None]


@functools.cache
def _calling(options: type) -> list[str]:
    return [field for field in vars(options()) if "subgraph" in field.lower()]


def called_subgraphs(op: schema.OperatorT) -> list[int]:
    """Return the subgraphs that an operator calls: a loop's condition and body, for example."""
    values = [value for _, _, value in subgraph_fields(op)]
    return [int(number) for value in values for number in np.atleast_1d(value) if number >= 0]


def reached(model: schema.ModelT, first: int) -> list[int]:
    """Return a subgraph's number and those that it calls, and those call, and so on."""
    found, waiting = [], [first]
    while waiting:
        number = waiting.pop(0)
        if number not in found:
            found.append(number)
            for op in model.subgraphs[number].operators:
                waiting += called_subgraphs(op)
    return found


def stored_value(model: schema.ModelT, tensor: schema.TensorT) -> np.ndarray | None:
    """Return what the file stores for a tensor of ``read``'s model, None for a computed one.

    As ``constant`` does, whose errors it shares.
    """
    data, dtype = stored_bytes(model, tensor), dtype_name(tensor)
    if not data.size:
        return None
    values = _strings(data) if dtype == "STRING" else _numbers(data, dtype)
    size = math.prod(tensor.shape)
    if tensor.sparsity is not None:
        return _filled(values, tensor)
    if dtype in PACKED_BITS:
        values = values[:size]  # the last byte may not be full
    if values.size != size:
        raise damaged(f"a tensor of shape {tensor.shape} stores {values.size} values")
    return values.reshape(tensor.shape).copy()


def damaged(what: str) -> ModelFileError:
    """Return the error for a file whose parts contradict one another."""
    return ModelFileError(f"the .tflite file is corrupted or truncated: {what} (lesson 02)")


# The lists of tables in the schema, whose entries may share what they point to.
_LISTS = {
    "Model": (
        "OperatorCodes",
        "Subgraphs",
        "Buffers",
        "Metadata",
        "SignatureDefs",
        "ExternalBufferGroups",
        "ExternalBuffers",
    ),
    "SubGraph": ("Tensors", "Operators"),
    "SignatureDef": ("Inputs", "Outputs"),
}
# The same tables without these lists: the generated classes unpack them in one go.
_WITHOUT_LISTS = {
    kind: type(kind, (getattr(schema, kind),), {f"{name}Length": lambda _: 0 for name in names})
    for kind, names in _LISTS.items()
}


class _Room:
    """How many bytes are left of what a file of this size can hold.

    Nothing keeps a stranger from letting a million operators share one list of a million inputs,
    which the generated parser would give to each: hours and gigabytes, from a small file. Honest
    files share next to nothing.
    """

    def __init__(self, size: int):
        self.left = 4 * size

    def take(self, thing: object) -> None:
        self.left -= _held(thing)
        if self.left < 0:
            raise damaged("its lists claim more than it has room for")


def _held(thing: object) -> int:
    """The bytes of a table and of what it points to: at least an offset to it and one in it."""
    total = 8
    for value in vars(thing).values():
        if isinstance(value, np.ndarray):
            total += value.nbytes
        elif isinstance(value, bytes):
            total += len(value)
        elif isinstance(value, list):
            total += sum(map(_held, value))
        elif hasattr(value, "__dict__"):
            total += _held(value)
    return total


def _unpacked(view, room: _Room):
    """A table as the schema's object, its lists entry by entry, while there is room."""
    kind = type(view).__name__
    unpack = getattr(schema, f"{kind}T").InitFromObj
    if kind not in _LISTS:
        thing = unpack(view)
        room.take(thing)
        return thing
    rest = _WITHOUT_LISTS[kind]()
    rest._tab = view._tab
    thing = unpack(rest)
    room.take(thing)
    for name in _LISTS[kind]:
        entries = getattr(thing, name[0].lower() + name[1:])
        for number in range(getattr(view, f"{name}Length")()):
            entries.append(_unpacked(getattr(view, name)(number), room))
    return thing


def _checked(model: schema.ModelT, data: bytes) -> schema.ModelT:
    """Put lists in place of None, fetch buffers kept behind the FlatBuffer, check every index."""
    model.subgraphs = model.subgraphs or []
    if not model.subgraphs:
        raise damaged("it has no subgraph")
    if model.buffers is None:
        raise damaged("it has no buffers")
    model.buffers = model.buffers or [schema.BufferT()]  # 0 stands for none, in a list or not
    for buffer in model.buffers:
        if buffer.offset > 1:  # files of 2 GB and more keep their data there, and some others
            buffer.data = np.frombuffer(data, np.uint8, buffer.size, buffer.offset)
    for graph in model.subgraphs:
        _check_graph(model, graph)
    numbers = [definition.subgraphIndex for definition in model.signatureDefs or ()]
    _require_indices(numbers, model.subgraphs)
    return model


def _check_graph(model: schema.ModelT, graph: schema.SubGraphT) -> None:
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
    _require_indices([i for t in graph.tensors for i in block_tensors(t)], graph.tensors)
    for op in graph.operators:
        _require_indices([i for i in integers(op.intermediates) if i != -1], graph.tensors)
        _require_indices(called_subgraphs(op), model.subgraphs)
        handle = _code(model, op) == schema.BuiltinOperator.VAR_HANDLE
        if handle and not isinstance(op.builtinOptions, schema.VarHandleOptionsT):
            raise damaged("a variable has no name")


def _check_tensor(tensor: schema.TensorT) -> None:
    tensor.shape = integers(tensor.shape)
    if len(tensor.shape) > MAX_RANK:
        raise damaged(f"a tensor has {len(tensor.shape)} dimensions")
    if min(tensor.shape, default=0) < 0 or math.prod(tensor.shape) >= 2**31:
        raise damaged(f"a tensor has the shape {tensor.shape}")
    if tensor.type not in DTYPES:
        raise damaged(f"a tensor has the dtype {tensor.type}, which the schema does not have")
    if (found := tensor.quantization) is not None and found.scale is not None:
        scales, zero_points = len(found.scale), integers(found.zeroPoint)
        if len(zero_points) in (0, 1):  # left out, as tools for microcontrollers do: zeros
            found.zeroPoint = np.full(scales, (zero_points or [0])[0], np.int64)
        elif len(zero_points) != scales:
            raise damaged(f"a tensor has {scales} scales and {len(zero_points)} zero points")


def block_tensors(tensor: schema.TensorT) -> list[int]:
    """Return the tensors with the scales and the zero points of weights in blocks.

    One number where the zero points are left out, none for a tensor without blocks.
    """
    details = getattr(tensor.quantization, "details", None)
    if not isinstance(details, schema.BlockwiseQuantizationT):
        return []
    return [i for i in (details.scales, details.zeroPoints) if i != -1]


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


def _numbers(data: np.ndarray, dtype: str) -> np.ndarray:
    """The stored bytes as one row of numbers."""
    if dtype in PACKED_BITS:
        return _spread(data, dtype).view(np.int8 if dtype.startswith("INT") else np.uint8)
    scalar = getattr(np, dtype.lower(), None)
    if scalar is None:
        raise InputError(f"the tensor has dtype {dtype}, which NumPy does not have (lesson 03)")
    try:
        return data.view(scalar)
    except ValueError as error:
        raise damaged(f"{data.size} bytes are no whole number of {dtype}") from error


def _strings(data: np.ndarray) -> np.ndarray:
    """Texts, as bytes: their number, where each one begins, where the last one ends, and they."""
    content = data.tobytes()
    count = int.from_bytes(content[:4], "little")
    bounds = np.frombuffer(content[4 : 8 + 4 * count], "<i4").tolist()
    if len(bounds) != count + 1 or bounds != sorted(bounds) or bounds[-1] > len(content):
        raise damaged("a tensor of texts has false bounds")
    texts = [content[start:end] for start, end in itertools.pairwise(bounds)]
    return np.array([*texts, None], dtype=object)[:-1]  # None: else NumPy looks into a single one


def _filled(values: np.ndarray, tensor: schema.TensorT) -> np.ndarray:
    """A sparse tensor with its zeros in place.

    Source: ``SparsityParameters`` in the schema. Its axes are those of the tensor and, behind
    them, one for each axis that is cut into blocks.
    """
    sparsity, rank = tensor.sparsity, len(tensor.shape)
    filled = np.zeros(tensor.shape, values.dtype)
    try:
        order = integers(sparsity.traversalOrder)
        axes = dict(zip(order, _places(sparsity.dimMetadata, filled.size), strict=True))
        places = [axes[axis] for axis in range(rank)]
        for block, axis in enumerate(integers(sparsity.blockMap), start=rank):
            size = sparsity.dimMetadata[order.index(block)].denseSize
            places[axis] = places[axis] * size + axes[block]
        filled[tuple(places)] = values[: places[0].size]
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise damaged(f"a sparse tensor of shape {tensor.shape} has false places") from error
    return filled


def _places(levels: list[schema.DimensionMetadataT], size: int) -> list[np.ndarray]:
    """The coordinates of the stored values, one array for each level of the tree.

    A level multiplies the places of the one before it: a dense one by its size, a compressed one
    by the entries that it lists for each place.
    """
    found: list[np.ndarray] = []
    for level in levels:
        count = found[-1].size if found else 1
        if level.format == schema.DimensionType.DENSE:
            repeats = np.full(count, level.denseSize)
            new = np.tile(np.arange(min(level.denseSize, size // max(count, 1))), count)
        else:
            repeats, new = np.diff(level.arraySegments.values.astype(np.int64)), level.arrayIndices
            new = new.values.astype(np.int64)
        if repeats.sum() != new.size:
            raise ValueError("other places than it has")
        found = [*(np.repeat(known, repeats) for known in found), new]
    return found


def _spread(data: np.ndarray, dtype: str) -> np.ndarray:
    """One byte for each packed value; ``(v ^ s) - s`` extends its sign bit ``s``."""
    bits = PACKED_BITS[dtype]
    values = (data[:, None] >> np.arange(0, 8, bits, dtype=np.uint8)) & np.uint8(2**bits - 1)
    sign = np.uint8(2 ** (bits - 1) if dtype.startswith("INT") else 0)
    return ((values ^ sign) - sign).ravel()
