"""A ``.tflite`` file changed: signatures and names, other numbers in it, operators taken out.

TensorFlow would convert the model again, with other settings. Here only the file is at hand: it is
read into objects, they are changed, and written again. A file in which nothing is to be changed
comes back as the same bytes. All functions raise ModelFileError as ``reader.read`` does.
"""

from collections.abc import Mapping

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from lessons_lib.errors import InputError
from lessons_lib.numbers import half_precision
from lessons_lib.system import files
from lessons_lib.tflite import reader, signature, tables


def only_signature(source: reader.Source, key: str | None = None) -> bytes:
    """Return a file's bytes with one signature, whose subgraph is the first.

    ``key`` chooses it, as in ``signature.of_file``, whose errors it shares. Subgraphs that it does
    not call, and the constants of those alone, are left out. Defined in lesson 01.
    """
    model = reader.read(source)
    found = signature.all_of_model(model)
    chosen = signature.choose(found, key)
    if len(found) == 1 and chosen.subgraph == 0:
        return files.content(source)
    kept = reader.reached(model, chosen.subgraph)
    place = {old: new for new, old in enumerate(kept)}
    model.subgraphs = [model.subgraphs[number] for number in kept]
    for graph in model.subgraphs:
        for op in graph.operators:
            _call(op, place)
    model.signatureDefs = [
        definition
        for definition in model.signatureDefs
        if reader.text(definition.signatureKey) == chosen.key
    ]
    model.signatureDefs[0].subgraphIndex = 0
    _empty_unread_buffers(model)
    return reader.pack(model)


def _call(op: schema.OperatorT, place: dict[int, int]) -> None:
    """Let an operator call subgraphs by their new numbers."""
    for options, field, value in reader.subgraph_fields(op):
        several = isinstance(value, np.ndarray | list)
        new = [place.get(int(one), int(one)) for one in np.atleast_1d(value)]
        setattr(options, field, new if several else new[0])


def with_data_inside(content: bytes) -> bytes:
    """Return the file with its constants inside the FlatBuffer, where every runtime finds them.

    LiteRT's quantizer writes those of 1,024 bytes and more behind it once a file is large enough.
    LiteRT reads them there. TFLite-Micro does not look: it takes them for activations, and answers
    nonsense without a word. A FlatBuffer ends at 2 GB: a longer file comes back as it is.
    Defined in lesson 13.
    """
    model = reader.read(content)
    fits = len(content) < 2**31 - 2**20
    return reader.pack(model) if fits and reader.keeps_data_behind(model) else content


def with_signature(content: bytes) -> bytes:
    """Return the file with a signature, and each of its tensors with a name of its own.

    A file without signatures gets ``serving_default``, whose inputs and outputs are called as
    ``signature.of_file`` calls them. Tensors without a name, with the name of another one, or with
    a name that is not UTF-8 get one that tells them apart: LiteRT's quantizer feeds a model by its
    signature and knows tensors by their names. Defined in lesson 13.
    """
    model = reader.read(content)
    named = signature.all_of_model(model)
    changed = _name_tensors(model)
    if not model.signatureDefs:
        (only,) = named.values()
        sides = [
            [schema.TensorMapT(name, spec.index) for name, spec in side.items()]
            for side in (only.inputs, only.outputs)
        ]
        model.signatureDefs = [schema.SignatureDefT(*sides, only.key, 0)]
        changed = True
    return reader.pack(model) if changed else content


def _name_tensors(model: schema.ModelT) -> bool:
    taken, changed = set(), False
    for number, graph in enumerate(model.subgraphs):
        for index, tensor in enumerate(graph.tensors):
            name = reader.text(tensor.name)
            while not name or name in taken:
                name = f"{name or 'tensor'}_{number}_{index}"
            taken.add(name)
            if name.encode() != tensor.name:
                tensor.name, changed = name.encode(), True
    return changed


def without_softmax(source: reader.Source) -> bytes:
    """Return a ``.tflite`` without its last operator, softmax: it gives what would have gone in.

    Raises InputError when the last operator of the first subgraph is another one.
    Defined in lesson 14.
    """
    model = reader.read(source)
    graph = model.subgraphs[0]
    last = graph.operators.pop() if graph.operators else None
    if last is None or reader.operator_name(model, last) != "SOFTMAX" or not last.outputs:
        raise InputError("the last operator of this model is no softmax (lesson 14)")
    instead = {last.outputs[0]: last.inputs[0]}
    graph.outputs = [instead.get(index, index) for index in graph.outputs]
    for definition in model.signatureDefs or ():
        for end in (definition.outputs or ()) if definition.subgraphIndex == 0 else ():
            end.tensorIndex = instead.get(end.tensorIndex, end.tensorIndex)
    return reader.pack(model)


def let_shapes_read_integers(content: bytes) -> bytes:
    """Return a model whose SHAPE operators read quantized tensors and no dequantized copies.

    The quantizer does not know SHAPE, which a dynamic batch needs before a RESHAPE, so it gives it
    floats: one DEQUANTIZE, and the file is no longer integer-only. But the shape of a tensor does
    not depend on its dtype. A model without that pattern comes back as it is.
    Defined in lesson 13.
    """
    model, changed = reader.read(content), False
    for number, graph in enumerate(model.subgraphs):
        kinds = [reader.operator_name(model, op) for op in graph.operators]
        copies = _connect_shapes(graph, kinds) - _read_tensors(model, number)
        if copies:
            graph.operators = [op for op in graph.operators if copies.isdisjoint(op.outputs)]
            _remove_tensors(model, number, copies)
            changed = True
    return reader.pack(model) if changed else content


def _connect_shapes(graph: schema.SubGraphT, kinds: list[str]) -> set[int]:
    """Let each SHAPE read what a DEQUANTIZE reads; return the copies that it read before."""
    pairs = list(zip(graph.operators, kinds, strict=True))
    source = {op.outputs[0]: op.inputs[0] for op, kind in pairs if kind == "DEQUANTIZE"}
    asked = set()
    for op, kind in pairs:
        if kind == "SHAPE":
            asked |= source.keys() & set(op.inputs)
            op.inputs = [source.get(index, index) for index in op.inputs]
    return asked


def unfold_halves(content: bytes) -> bytes:
    """Return a float16 file as a float32 file: stored halves widened, their DEQUANTIZE taken out.

    The numbers stay what they are: every float16 is a float32. Defined in lesson 05.
    """
    model, widened = reader.read(content), {}
    for number, graph in enumerate(model.subgraphs):
        unpacking = [op for op in graph.operators if _unpacks_halves(model, graph, op)]
        for op in unpacking:
            half, full = graph.tensors[op.inputs[0]], graph.tensors[op.outputs[0]]
            if half.buffer not in widened:
                values = reader.stored_value(model, half).astype("<f4")
                widened[half.buffer] = len(model.buffers)
                model.buffers.append(schema.BufferT(np.frombuffer(values.tobytes(), np.uint8)))
            full.buffer = widened[half.buffer]
        graph.operators = [op for op in graph.operators if op not in unpacking]
        halves = {op.inputs[0] for op in unpacking}
        _remove_tensors(model, number, halves - _read_tensors(model, number))
    if not widened:
        return content
    _empty_unread_buffers(model)
    return reader.pack(model)


def _unpacks_halves(model: schema.ModelT, graph: schema.SubGraphT, op: schema.OperatorT) -> bool:
    if reader.operator_name(model, op) != "DEQUANTIZE":
        return False
    tensor = graph.tensors[op.inputs[0]]
    return reader.dtype_name(tensor) == "FLOAT16" and reader.stored_bytes(model, tensor).size > 0


def _read_tensors(model: schema.ModelT, number: int) -> set[int]:
    """What anything in a subgraph, or a signature, has a use for."""
    graph = model.subgraphs[number]
    read = {index for op in graph.operators for index in op.inputs} | set(graph.outputs)
    read |= {i for op in graph.operators for i in reader.integers(op.intermediates)}
    return read | {end.tensorIndex for end in _ends(model, number)}


def _ends(model: schema.ModelT, number: int) -> list[schema.TensorMapT]:
    """The inputs and outputs of a subgraph's signatures."""
    return [
        end
        for definition in model.signatureDefs or ()
        if definition.subgraphIndex == number
        for end in (*(definition.inputs or ()), *(definition.outputs or ()))
    ]


def _remove_tensors(model: schema.ModelT, number: int, removed: set[int]) -> None:
    """Take tensors that no operator has out of a subgraph, and renumber the others."""
    graph = model.subgraphs[number]
    kept = [index for index in range(len(graph.tensors)) if index not in removed]
    place = {-1: -1, **{old: new for new, old in enumerate(kept)}}  # -1: an input left out
    graph.tensors = [graph.tensors[index] for index in kept]
    for owner in (graph, *graph.operators):
        owner.inputs = [place[index] for index in owner.inputs]
        owner.outputs = [place[index] for index in owner.outputs]
    for operator in graph.operators:  # an LSTM's inner tensors
        if operator.intermediates is not None:
            operator.intermediates = [place[index] for index in operator.intermediates]
    for end in _ends(model, number):
        end.tensorIndex = place.get(end.tensorIndex, end.tensorIndex)


def _empty_unread_buffers(model: schema.ModelT) -> None:
    """Buffers keep their numbers: what nobody reads is only emptied."""
    read = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors}
    read |= {entry.buffer for entry in model.metadata or ()}
    read |= set(reader.integers(model.metadataBuffer))
    for number, buffer in enumerate(model.buffers):
        if number not in read:
            buffer.data = None


def with_constants(source: reader.Source, constants: Mapping[str, np.ndarray]) -> bytes:
    """Return the file with other numbers in some of its stored tensors.

    ``constants``: arrays by the tensors' names, in the shapes that the file gives them; they are
    cast to the tensors' own dtypes. Raises InputError where a name is none of a stored tensor, a
    shape is another one, or numbers share a byte. Defined in lesson 03.
    """
    model = reader.read(source)
    tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors]
    for name, values in constants.items():
        stored = reader.constant(source, name)
        data = np.asarray(values).astype(stored.dtype).tobytes()
        for tensor in (tensor for tensor in tensors if reader.text(tensor.name) == name):
            size = reader.stored_bytes(model, tensor).size
            if size and (stored.shape != np.shape(values) or size != len(data)):
                raise InputError(
                    f"{name} has the shape {stored.shape} and {size} bytes; given: "
                    f"{np.shape(values)}, {len(data)} bytes (lesson 03)"
                )
            if size:
                model.buffers[tensor.buffer].data = np.frombuffer(data, np.uint8)
    return reader.pack(model)


def rounded_to_half(content: bytes) -> bytes:
    """Return a float32 file whose stored numbers are rounded to float16 as TFLiteConverter does.

    It answers as the float16 file of the same model does on a CPU. Defined in lesson 05.
    """
    stored = tables.tensors(content).query("bytes > 0 and dtype == 'FLOAT32'")["name"]
    numbers = {name: half_precision.saturated(reader.constant(content, name)) for name in stored}
    return with_constants(content, numbers)
