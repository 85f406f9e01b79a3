"""Where activations lie in the memory of a small machine: one block, shared over time.

A tensor needs its place from the operator that makes it to the last one that reads it; two that
are never alive together may have the same bytes. Placing them best is hard (it is bin packing in
two dimensions); placing the large ones first is nearly as good, and what TFLite-Micro does:
``tensorflow/lite/micro/memory_planner/greedy_memory_planner.cc``.

Of its arena this is the head, to the byte for the course's models. The tail, behind it, describes
tensors and operators to the interpreter, which C does not need. Not counted here is what a kernel
asks for while it runs (the sums of a MEAN): TFLite-Micro plans it as well, and there it finds room
beside the activations.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from lessons_lib.errors import InputError
from lessons_lib.run.engine.integer_graph import Graph, Operator, Tensor
from lessons_lib.tflite import layer_names

ALIGNED = 16  # bytes: a place begins at a multiple of it, as in TFLite-Micro


@dataclass(frozen=True)
class Place:
    """The bytes ``offset`` to ``offset + size`` for a tensor, alive from ``first`` to ``last``.

    ``first`` and ``last`` are the numbers of operators; ``used`` is the tensor's own size, which
    ``size`` rounds up.
    """

    name: str
    first: int
    last: int
    used: int
    offset: int = 0
    tensor: Tensor | None = None

    @property
    def size(self) -> int:
        return -(-self.used // ALIGNED) * ALIGNED

    def meets(self, other: "Place") -> bool:
        """Whether both are alive at the same time."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Plan:
    """The places of all tensors, in the order in which they were given theirs; largest first."""

    places: tuple[Place, ...]

    @property
    def size(self) -> int:
        """The bytes of the whole arena."""
        return max((place.offset + place.size for place in self.places), default=0)

    @property
    def at_once(self) -> int:
        """The bytes that are alive together where there are most: no plan needs fewer."""
        moments = range(max((place.last for place in self.places), default=0) + 1)
        return max(
            (sum(p.size for p in self.places if p.first <= n <= p.last) for n in moments), default=0
        )

    def offset(self, tensor: Tensor) -> int:
        return next(p.offset for p in self.places if p.tensor.index == tensor.index)


def of_graph(graph: Graph, ties: str = "last") -> Plan:
    """Return the plan for one sample of a graph; inputs and outputs have places of their own.

    ``ties``: which of equal sizes is placed first, see ``placed``.
    """
    return placed(_lives(graph), ties)


def placed(lives: Sequence[Place], ties: str = "last") -> Plan:
    """Return the plan that gives each place, largest first, the lowest offset that is free.

    Of equal sizes the ``ties="last"`` one of ``lives`` comes first, as in TFLite-Micro, or the
    "first" one. Neither is always better: for the course's ds_cnn TFLite-Micro's order takes 8,240
    bytes and the other one 7,056. Raises InputError for another word.
    """
    if ties not in ("first", "last"):
        raise InputError(f"ties={ties!r}: expected 'first' or 'last'")
    given = reversed(lives) if ties == "last" else lives
    found: list[Place] = []
    for place in sorted(given, key=lambda place: -place.size):
        offset = 0
        for other in sorted((p for p in found if p.meets(place)), key=lambda p: p.offset):
            if other.offset - offset >= place.size:
                break
            offset = max(offset, other.offset + other.size)
        found.append(replace(place, offset=offset))
    return Plan(tuple(found))


def _lives(graph: Graph) -> list[Place]:
    """All computed tensors with the time that they are alive, in the order of the file."""
    born = {tensor.index: 0 for tensor in graph.inputs.values()}
    dead = dict(born)
    tensors = {tensor.index: (name, tensor) for name, tensor in graph.inputs.items()}
    for number, (op, name) in enumerate(zip(graph.operators, names(graph.operators), strict=True)):
        for tensor in op.outputs:
            tensors[tensor.index] = (name, tensor)
            born[tensor.index] = dead[tensor.index] = number
        dead.update({t.index: number for t in op.inputs if t is not None and t.index in born})
    dead.update({t.index: max(0, len(graph.operators) - 1) for t in graph.outputs.values()})
    return [
        Place(name, born[index], dead[index], bytes_of(tensor), tensor=tensor)
        for index, (name, tensor) in sorted(tensors.items())
        if index in graph.data
    ]


def names(operators: Iterable[Operator]) -> list[str]:
    """Return a name for each operator, which no other has: its layer, or what it is.

    What the converter put in has no layer: it is ``softmax``, ``quantize`` and ``quantize 2``.
    """
    found: list[str] = []
    for op in operators:
        layer = layer_names.layer_name(op.output.name)
        name = op.name.lower() if layer in ("", op.output.name) else layer
        again = sum(other.partition(" ")[0] == name for other in found)
        found.append(f"{name} {again + 1}" if again else name)
    return found


def size_of(tensor: Tensor) -> int:
    """Return the number of elements of one sample of a tensor."""
    return math.prod(int(length) for length in tensor.shape)


def bytes_of(tensor: Tensor) -> int:
    """Return the bytes of one sample of a tensor."""
    return size_of(tensor) * tensor.dtype.itemsize
