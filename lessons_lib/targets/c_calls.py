"""The words in which operators are written in C: a call, its constants, walks through memory."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from lessons_lib.errors import ModelFileError
from lessons_lib.run.engine.integer_graph import Operator, Tensor
from lessons_lib.targets.arena import size_of

MOST_AXES = 6


@dataclass(frozen=True)
class Call:
    """What an operator adds to a C file: the ``parts`` of ``c/`` that it calls, constants, a call.

    ``patch``: the codes that one position of a filter sees, for which there must be room.
    ``state``: the name of an array that it keeps from one call to the next, zeros at first.
    """

    parts: tuple[str, ...]
    constants: str
    call: str
    patch: int = 0
    state: str = ""


@dataclass(frozen=True)
class Where:
    """How the operator ``number`` names things; ``at`` gives the C expression of a tensor."""

    number: int
    at: Callable[[Tensor], str]

    def name(self, what: str) -> str:
        return f"{what}_{self.number}"

    def array(self, what: str, values, ctype: str = "int8_t") -> str:
        """A constant array of this operator."""
        return array(self.name(what), values, ctype)

    def struct(self, kind: str, what: str, *members) -> str:
        """A constant struct of this operator; members are numbers, or C as it stands."""
        listed = ", ".join(part if isinstance(part, str) else str(int(part)) for part in members)
        return f"static const {kind} {self.name(what)} = {{{listed}}};\n"

    def walk(self, what: str, axes: Sequence[tuple[int, int]]) -> str:
        """A constant walk: (size, step) for each axis, the outer one first."""
        return f"static const walk {self.name(what)} = {walk_of(axes)};\n"

    def scaling(self, what: str, zero_point: int, rule: tuple) -> str:
        """A constant scaling: a zero point, and the multiplier and shift behind it."""
        return self.struct("scaling", what, zero_point, *rule)


def array(name: str, values, ctype: str = "int8_t") -> str:
    """Return a constant array in C, its values in lines of at most 100 characters."""
    words, lines, line = [str(int(value)) for value in np.ravel(values)], [], ""
    for word in words:
        if len(line) + len(word) > 94:
            lines.append(line)
            line = ""
        line += f"{' ' if line else ''}{word},"
    body = "\n    ".join([*lines, line]).rstrip(",") or "0"
    return f"static const {ctype} {name}[{max(1, len(words))}] = {{\n    {body}}};\n"


def joined(numbers: Iterable) -> str:
    """Return numbers as C lists them."""
    return ", ".join(str(int(number)) for number in numbers)


def require_codes(op: Operator, *tensors: Tensor) -> None:
    """Raise ModelFileError where a tensor holds no codes of int8."""
    for tensor in tensors:
        if tensor.dtype != np.int8 or tensor.scale is None:
            unscaled = " without a scale" if tensor.scale is None else ""
            raise ModelFileError(
                f"{op.name} takes or gives {tensor.dtype}{unscaled}, and C has it for codes of "
                "int8: take the path int8 (lesson 07)"
            )


def require_small_sums(op: Operator, largest, shift) -> None:
    """Raise ModelFileError where sums up to ``largest`` may leave int32 in ``rescaled`` in C.

    A shift to the right adds half a step before it. Without one, the zero point needs the room.
    The converter makes biases of 2**30, where a channel's weights are tiny: they have to pass.
    """
    room = np.where(np.less(shift, 0), 2.0**31 - 2.0 ** (-np.minimum(shift, -1) - 1), 2.0**30)
    if np.any(np.asarray(largest, float) * 2.0 ** np.maximum(shift, 0) >= room):
        raise ModelFileError(
            f"the sums of {op.name} may not fit in 32 bits while C rounds them, nor may they in "
            "TFLite-Micro, whose sums have as many"
        )


# ---- walks


def walk_of(axes: Sequence[tuple[int, int]]) -> str:
    """Return a walk in C: (size, step) for each axis, the outer one first."""
    sizes, steps = ([axis[n] for axis in axes] for n in range(2))
    return f"{{{len(axes)}, {{{joined(sizes)}}}, {{{joined(steps)}}}}}"


def axes_of(places: np.ndarray) -> list[tuple[int, int]]:
    """(size, step) for each axis of a walk that meets ``places`` in their order, from the first."""
    return [(size, step) for size, step in factored(places[None])] or [(1, 0)]


def of_two(op: Operator, where: Where, name: str, *after: str) -> Call:
    """Both inputs, each spread over the output, and what the function ``name`` takes behind."""
    shape, constants = tuple(op.output.shape), ""
    for what, tensor in zip(("over_a", "over_b"), op.inputs, strict=True):
        places = np.arange(size_of(tensor)).reshape(tuple(tensor.shape))
        constants += where.walk(what, axes_of(np.broadcast_to(places, shape).ravel()))
    given = [where.at(tensor) for tensor in (*op.inputs, op.output)]
    given += [str(size_of(op.output)), f"&{where.name('over_a')}", f"&{where.name('over_b')}"]
    return Call((name,), constants, f"{name}({', '.join([*given, *after])});")


def reduced_walks(op: Operator, where: Where) -> tuple[int, int, str]:
    """How many results an operator has, of how many values each, and the walks to them."""
    shape = op.input.shape
    axes = sorted({int(axis) % len(shape) for axis in np.ravel(op.inputs[1].value)})
    order = [axis for axis in range(len(shape)) if axis not in axes] + axes
    places = np.arange(size_of(op.input)).reshape(shape).transpose(order)
    count = int(np.prod([shape[axis] for axis in axes]))
    places = places.reshape(-1, count)
    walks = where.walk("kept", axes_of(places[:, 0])) + where.walk("joined", axes_of(places[0]))
    return len(places), count, walks


def factored(walks: np.ndarray) -> list[tuple[int, ...]]:
    """Return (size, a step for each walk) for each axis, the outer one first; walks (k, n).

    Raises ModelFileError for an order that no walk along MOST_AXES axes has.
    """
    axes: list[tuple[int, ...]] = []
    while walks.shape[1] > 1:
        steps = walks[:, 1] - walks[:, 0]
        even = (np.diff(walks, axis=1) == steps[:, None]).all(axis=0)
        size = len(even) + 1 if even.all() else int(np.argmin(even)) + 1
        while walks.shape[1] % size or not _repeats(walks, size, steps):
            size -= 1
        if size == 1 or len(axes) == MOST_AXES:
            raise ModelFileError(
                f"codes are moved in an order that no walk along {MOST_AXES} axes has"
            )
        axes.insert(0, (size, *(int(step) for step in steps)))
        walks = walks[:, ::size]
    return axes


def _repeats(walks: np.ndarray, size: int, steps: np.ndarray) -> bool:
    blocks = walks.reshape(len(walks), -1, size)
    return bool((blocks - blocks[..., :1] == steps[:, None, None] * np.arange(size)).all())
