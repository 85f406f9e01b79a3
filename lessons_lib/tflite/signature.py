"""What a model takes and gives: named tensors, the same for a file, a SavedModel, a Keras model.

TensorFlow Lite's own answer is a list of tensors in the order of subgraph 0, which is the first
signature in the alphabet. Here a model is met by its signature alone: inputs and outputs by name,
each with its shape (None where open), its dtype, its scale and its zero point.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from lessons_lib.errors import InputError, ModelFileError
from lessons_lib.tflite import reader

DEFAULT = "serving_default"  # what Keras and TensorFlow call a model's main signature


@dataclass(frozen=True)
class TensorSpec:
    """An input or an output.

    ``shape``: None where a dimension is open. ``dtype``: of NumPy; object for what NumPy does not
    have (strings, handles of variables). ``scale`` is None where the tensor is not quantized.
    ``index``: of the tensor in its subgraph, -1 outside a ``.tflite``.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype
    scale: float | None = None
    zero_point: int = 0
    index: int = -1

    @property
    def is_float(self) -> bool:
        return self.dtype.kind == "f"

    @property
    def open_sizes(self) -> tuple[int, ...]:
        """The dimensions behind the first one whose size is open, such as height and width."""
        return tuple(n for n, size in enumerate(self.shape) if size is None and n > 0)

    def __str__(self) -> str:
        sizes = ", ".join("?" if size is None else str(size) for size in self.shape)
        return f"{self.name}: {self.dtype} ({sizes})"


@dataclass(frozen=True)
class Signature:
    """The named inputs and outputs of a model, as TensorFlow Lite sorts them: by name.

    ``state`` names the variables that keep a value from one call to the next; ``subgraph`` is
    where a ``.tflite`` has it. ``order`` has the inputs as the model's owner passes them, one after
    the other; a ``.tflite`` does not say it, there it is empty. A call takes a *batch* of samples
    where the first dimension of every input and output is open, or has one common size.
    """

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    key: str = DEFAULT
    state: tuple[str, ...] = ()
    subgraph: int = 0
    order: tuple[str, ...] = ()

    @cached_property
    def open_batch(self) -> bool:
        """Whether one call takes any number of samples."""
        ends = [*self.inputs.values(), *self.outputs.values()]
        return bool(self.inputs) and all(end.shape[:1] == (None,) for end in ends)

    @cached_property
    def batch(self) -> int | None:
        """How many samples every call takes; None where that is open.

        Without a common first dimension a call takes one sample, and that has the whole shape.
        """
        if self.open_batch:
            return None
        return self._common_size if self.in_batches else 1

    @cached_property
    def in_batches(self) -> bool:
        """Whether the first dimension counts samples, at every input and every output."""
        return self.open_batch or self._common_size is not None

    @cached_property
    def _common_size(self) -> int | None:
        ends = [*self.inputs.values(), *self.outputs.values()]
        sizes = {end.shape[0] if end.shape else None for end in ends}
        ranks = [len(spec.shape) for spec in self.inputs.values()]
        alike = len(sizes) == 1 and None not in sizes and min(ranks, default=0) > 1
        return sizes.pop() if alike else None

    @property
    def only_input(self) -> TensorSpec:
        """The input of a model that has one; InputError, with their names, where it has more."""
        return _only(self.inputs, "input")

    @property
    def only_output(self) -> TensorSpec:
        """The output of a model that has one; InputError, with their names, where it has more."""
        return _only(self.outputs, "output")

    def sample_shape(self, name: str) -> tuple[int | None, ...]:
        """The shape of one sample of an input, without the axis that counts samples."""
        shape = self.inputs[name].shape
        counted = self.in_batches or shape[:1] in ((None,), (1,))
        return shape[1:] if counted else shape

    def __str__(self) -> str:
        sides = (", ".join(map(str, side.values())) for side in (self.inputs, self.outputs))
        return " -> ".join(sides)


def of_file(source: reader.Source, key: str | None = None) -> Signature:
    """Return a signature of a ``.tflite`` file or its bytes, by default ``serving_default``.

    A file without signatures is met by its first subgraph: the names are those of the tensors,
    without TensorFlow's prefix, or ``input_0`` and so on. Raises InputError when there are several
    signatures, none is the default and ``key`` does not choose, or when there is none called
    ``key``; ModelFileError as ``reader.read``. Defined in lesson 01.
    """
    return choose(all_of_file(source), key)


def all_of_file(source: reader.Source) -> dict[str, Signature]:
    """Return every signature of a ``.tflite`` file by its key; one for a file that names none."""
    return all_of_model(reader.read(source))


def all_of_model(model: schema.ModelT) -> dict[str, Signature]:
    """The same of a file that is read already."""
    found = {}
    for definition in model.signatureDefs or ():
        graph = model.subgraphs[definition.subgraphIndex]
        sides = [
            {reader.text(end.name): end.tensorIndex for end in side or ()}
            for side in (definition.inputs, definition.outputs)
        ]
        if all(side and set(side.values()) <= set(range(len(graph.tensors))) for side in sides):
            key = reader.text(definition.signatureKey)
            found[key] = _signature(model, definition.subgraphIndex, sides, key)
    return found or {DEFAULT: _signature(model, 0, unnamed_ends(model), DEFAULT)}


def unnamed_ends(model) -> list[dict[str, int]]:
    """Names for the inputs and outputs of the first subgraph: those of the tensors, made unique."""
    graph = model.subgraphs[0]
    sides: list[dict[str, int]] = []
    for kind, indices in (("input", graph.inputs), ("output", graph.outputs)):
        side: dict[str, int] = {}
        for place, index in enumerate(indices):
            name = _plain(reader.text(graph.tensors[index].name)) or f"{kind}_{place}"
            side[name if name not in side else f"{name}_{place}"] = index
        sides.append(side)
    return sides


def choose(signatures: dict[str, Signature], key: str | None = None) -> Signature:
    """Return the signature called ``key``; without one ``serving_default``, or the only one.

    Raises InputError, with what there is to choose from.
    """
    chosen = key or (DEFAULT if DEFAULT in signatures else None)
    if chosen is None and len(signatures) == 1:
        return next(iter(signatures.values()))
    if chosen not in signatures:
        known = "; ".join(f"{name}: {signature}" for name, signature in signatures.items())
        given = (
            f"no signature {key!r}" if key else f"{len(signatures)} signatures, none the default"
        )
        raise InputError(f"{given}; choose one by its name: {known} (lesson 01)")
    return signatures[chosen]


def _signature(model, number: int, sides: Iterable[dict[str, int]], key: str) -> Signature:
    graph = model.subgraphs[number]
    inputs, outputs = (
        {name: _spec(graph.tensors[index], name, index) for name, index in side.items()}
        for side in sides
    )
    if all(spec.shape[:1] == (None,) for spec in inputs.values()):
        outputs = {name: _follows(graph, spec) for name, spec in outputs.items()}
    return Signature(inputs, outputs, key, _state(model, number), number)


def _follows(graph, spec: TensorSpec) -> TensorSpec:
    """An output of which the file says nothing but a size of 1 is as open as the inputs are.

    LiteRT's quantizer writes such outputs. Whoever runs the model sees whether it is true.
    """
    unsaid = not reader.integers(graph.tensors[spec.index].shapeSignature)
    return (
        replace(spec, shape=(None, *spec.shape[1:])) if unsaid and spec.shape[:1] == (1,) else spec
    )


def one_by_one(signature: Signature) -> Signature:
    """Return the signature of a model whose outputs, against its word, do not count samples."""
    outputs = {
        name: replace(spec, shape=(1, *spec.shape[1:])) for name, spec in signature.outputs.items()
    }
    return replace(signature, outputs=outputs)


def _spec(tensor, name: str, index: int) -> TensorSpec:
    open_shape = reader.integers(tensor.shapeSignature) or tensor.shape
    quantization = tensor.quantization
    scales = [] if quantization is None or quantization.scale is None else quantization.scale
    dtype = reader.DTYPES[tensor.type]
    return TensorSpec(
        name,
        tuple(None if size < 0 else size for size in open_shape),
        np.dtype(_NUMPY.get(dtype, object)),
        float(scales[0]) if len(scales) == 1 else None,
        reader.integers(quantization.zeroPoint)[0] if len(scales) == 1 else 0,
        index,
    )


_NUMPY = {name: name.lower() for name in reader.DTYPES.values() if hasattr(np, name.lower())}
_NUMPY |= {"BOOL": "bool", "INT4": "int8"}


def _state(model, number: int) -> tuple[str, ...]:
    """The names of what keeps its value: variables, and the inner states of recurrent operators."""
    graphs = [model.subgraphs[n] for n in reader.reached(model, number)]
    inner = [
        reader.text(tensor.name)
        for graph in graphs
        for tensor in graph.tensors
        if tensor.isVariable
    ]
    handles = [
        reader.text(op.builtinOptions.sharedName)
        for graph in graphs
        for op in graph.operators
        if reader.operator_name(model, op) == "VAR_HANDLE"
    ]
    return tuple(dict.fromkeys([*inner, *handles]))


def _plain(tensor_name: str) -> str:
    """``serving_default_image:0`` is called ``image``."""
    return re.sub(r":\d+$", "", tensor_name).removeprefix(f"{DEFAULT}_")


def _only(side: dict[str, TensorSpec], kind: str) -> TensorSpec:
    if len(side) != 1:
        raise InputError(
            f"the model has {len(side)} {kind}s, {', '.join(side)}: name the one you mean, as in "
            f"signature.{kind}s[{next(iter(side), '')!r}] (lesson 01)"
        )
    return next(iter(side.values()))


def require_numbers(signature: Signature) -> None:
    """Raise ModelFileError where an input or output holds what NumPy has no numbers for."""
    for kind, side in (("takes", signature.inputs), ("gives", signature.outputs)):
        for spec in side.values():
            if spec.dtype == object:
                raise ModelFileError(
                    f"the model {kind} {spec.name}, which is text or a handle, no numbers: leave "
                    "that part out of the model that you export, and do it in your own code "
                    "(lesson 07)"
                )


def real(signature: Signature) -> Signature:
    """Return the signature in real numbers: float32 where an input or output is quantized."""
    inputs, outputs = (
        {
            name: spec
            if spec.scale is None
            else replace(spec, dtype=np.dtype("float32"), scale=None)
            for name, spec in side.items()
        }
        for side in (signature.inputs, signature.outputs)
    )
    return replace(signature, inputs=inputs, outputs=outputs)
