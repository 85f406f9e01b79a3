"""Where activations lie in the memory of a small machine: one block, shared over time.

A tensor needs its place from the operator that makes it to the last one that reads it; two that
are never alive together may have the same bytes. Placing them best is hard (it is bin packing in
two dimensions); placing the large ones first is nearly as good, and what TFLite-Micro does:
``tensorflow/lite/micro/memory_planner/greedy_memory_planner.cc``.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from lessons_lib.run.engine.integer_graph import Graph, Tensor

ALIGNED = 16  # bytes: a place begins at a multiple of it, as in TFLite-Micro


@dataclass(frozen=True)
class Place:
    """The bytes ``offset`` to ``offset + size`` for a tensor, alive from ``first`` to ``last``.

    ``first`` and ``last`` are the numbers of operators; ``used`` is the tensor's own size, which
    ``size`` rounds up.
    """

    tensor: Tensor
    first: int
    last: int
    used: int
    offset: int = 0

    @property
    def size(self) -> int:
        return -(-self.used // ALIGNED) * ALIGNED

    def meets(self, other: "Place") -> bool:
        """Whether both are alive at the same time."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Plan:
    """The places of all tensors, largest first."""

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


def of_graph(graph: Graph) -> Plan:
    """Return the plan for one sample of a graph; inputs and outputs have places of their own."""
    return Plan(tuple(_placed(_lives(graph))))


def _lives(graph: Graph) -> list[Place]:
    """All computed tensors with the time that they are alive, in the order of the file."""
    born = {tensor.index: 0 for tensor in graph.inputs.values()}
    dead = dict(born)
    tensors = {tensor.index: tensor for tensor in graph.inputs.values()}
    for number, op in enumerate(graph.operators):
        for tensor in op.outputs:
            tensors[tensor.index] = tensor
            born[tensor.index] = dead[tensor.index] = number
        dead.update({t.index: number for t in op.inputs if t is not None and t.index in born})
    dead.update({t.index: max(0, len(graph.operators) - 1) for t in graph.outputs.values()})
    return [
        Place(tensor, born[index], dead[index], size_of(tensor) * tensor.dtype.itemsize)
        for index, tensor in sorted(tensors.items())
        if index in graph.data
    ]


def size_of(tensor: Tensor) -> int:
    """Return the number of elements of one sample of a tensor."""
    return math.prod(int(length) for length in tensor.shape)


def _placed(lives: Iterable[Place]) -> list[Place]:
    """Give each the lowest offset at which it meets none that was placed before."""
    placed: list[Place] = []
    for place in sorted(lives, key=lambda place: -place.size):
        offset = 0
        for other in sorted((p for p in placed if p.meets(place)), key=lambda p: p.offset):
            if other.offset - offset >= place.size:
                break
            offset = max(offset, other.offset + other.size)
        placed.append(Place(place.tensor, place.first, place.last, place.used, offset))
    return placed
