"""A full-integer ``.tflite`` as one C99 file that needs nothing but ``stdint.h``.

It is what TFLite-Micro computes, to the last bit, without an interpreter: the calls stand in a
row, the weights are constants, the activations share one arena. No malloc, no float.
"""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import resources
from itertools import count

import numpy as np

from lessons_lib.errors import InputError, ModelFileError
from lessons_lib.run.engine import integer_engine, integer_graph
from lessons_lib.run.engine.integer_graph import Graph, Operator, Tensor
from lessons_lib.targets import arena
from lessons_lib.targets.arena import size_of
from lessons_lib.targets.c_calls import Call, Where, array
from lessons_lib.targets.c_operators import emitted, require_function
from lessons_lib.tflite import layer_names

# The files of c/, each behind those that it needs.
PARTS = {
    "copy": (),
    "fill": (),
    "clip": (),
    "rescale": (),
    "word": (),
    "dot": ("word",),
    "weights": ("clip", "rescale"),
    "rows": ("dot", "weights"),
    "fully_connected": ("rows",),
    "window": (),
    "first": ("window",),
    "nibbles": ("word", "weights"),
    "conv_2d": ("copy", "fill", "first", "weights"),
    "taps": ("window",),
    "depthwise_conv_2d": ("first", "taps", "weights"),
    "max_pool_2d": ("first",),
    "average_pool_2d": ("clip", "first"),
    "transpose_conv": ("weights", "window"),
    "resize_nearest_neighbor": ("copy",),
    "resize_bilinear": (),
    "softmax": ("clip",),
    "look_up": (),
    "walk": (),
    "move": ("walk",),
    "scaling": (),
    "add": ("clip", "rescale", "scaling", "walk"),
    "mul": ("clip", "rescale", "scaling", "walk"),
    "extreme": ("walk",),
    "prelu": ("clip", "rescale", "scaling", "walk"),
    "mean": ("clip", "rescale", "scaling", "walk"),
    "reduce_extreme": ("walk",),
    "arg_extreme": ("copy",),
    "gather": ("copy",),
    "batch_matmul": ("clip", "rescale", "scaling", "walk"),
    "curves": (),
    "lstm": ("clip", "curves", "rescale", "scaling"),
    "svdf": ("clip", "rescale", "scaling"),
}
_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "int32": "int32_t"}
_CURES = {
    "float32": "convert with the path int8 or uint8 (lesson 07)",
    "int16": "convert with the path int8 or uint8 (lesson 07)",
    "int64": "give tokens as tf.int32, and take the argmax with output_type=tf.int32",
}
_SIZES = {"int8_t": 1, "float": 4}
_WORDS = frozenset(
    """auto break case char const continue default do double else enum extern float for goto if
    inline int long main register restrict return short signed sizeof static struct switch typedef
    union unsigned void volatile while arena patch NULL EOF stdin stdout stderr errno""".split()  # noqa: SIM905
)


# Types and macros, of stdint.h and of the file itself: int8_t, INT8_MIN, AFTER_LAYER.
_NAMED = r"[a-z0-9_]+_t|[A-Z0-9]+_[A-Z0-9_]+"


@dataclass(frozen=True)
class End:
    """An argument of the function in C: an input or an output of the model.

    ``of``: its name in the signature; ``at``: the C expression of its place in the arena.
    """

    of: str
    name: str
    tensor: Tensor
    at: str
    is_input: bool

    @property
    def element(self) -> str:
        return _TYPES[self.tensor.dtype.name]

    @property
    def ctype(self) -> str:
        return f"{'const ' if self.is_input else ''}{self.element}"

    @property
    def size(self) -> int:
        """How many elements it has."""
        return size_of(self.tensor)

    @property
    def bytes(self) -> int:
        return self.size * self.tensor.dtype.itemsize

    @property
    def meaning(self) -> str:
        if self.tensor.scale is None:  # a class, a token
            return "the number itself"
        scale, zero_point = float(self.tensor.scale[0]), self.tensor.zero_point
        return f"{scale:.9g} * (code - {zero_point})".replace("- -", "+ ")


@dataclass(frozen=True)
class Layer:
    """A call in C: its name, which no other has, and what its constants are called."""

    name: str
    constants: tuple[str, ...]


@dataclass(frozen=True)
class Program:
    """A model in C: the text of ``name.h`` and of ``name.c``, and the plan of its arena.

    ``ends``: the arguments of its function, the inputs first, as the signature sorts them.
    ``layers``: its calls, in their order; the first one has the number 1 in C. ``reset``: its
    function that lets the next sample begin a stream; empty where nothing is kept between calls.
    """

    name: str
    header: str
    source: str
    plan: arena.Plan
    ends: tuple["End", ...]
    layers: tuple[Layer, ...]
    reset: str = ""


def c_source(model: str | os.PathLike | bytes, name: str = "model", ties: str = "last") -> Program:
    """Return a full-integer model as C: ``name_invoke(inputs ..., outputs ...)`` for one sample.

    ``model``: a ``.tflite`` whose inputs and outputs are int8, uint8 or int32. ``name``: how its
    function, its constants and its two files begin. ``ties``: see ``arena.placed``; its own order
    may take less than TFLite-Micro's. The result is bit-exact with TFLite-Micro.
    Raises InputError for a name that C does not take, ModelFileError for a file that is not full
    integer, has ends of another type, or an operator that has no function in C.
    """
    require_name(name)
    graph = load(model)
    places = arena.of_graph(graph, ties)
    at = partial(_at, places=places)
    data = [op for op in graph.operators if op.output.index in graph.data]  # no shapes
    calls = [(op, emitted(op, Where(number, at))) for number, op in enumerate(data, 1)]
    return assembled(name, places, calls, ends_of(graph, at, calls), PARTS)


def assembled(
    name: str,
    places: arena.Plan,
    calls: Sequence[tuple[Operator, Call]],
    ends: tuple[End, ...],
    parts: Mapping[str, Sequence[str]],
    element: str = "int8_t",
) -> Program:
    """Return the program of these calls.

    ``parts``: the files of c/ that they may name, each with those that it needs. ``element``: what
    the arena is made of.
    """
    signature = ", ".join(f"{end.ctype} *{end.name}" for end in ends)
    given = {
        "mark": MARK,
        "name": name,
        "guard": f"{name.upper()}_H",
        "signature": f"int {name}_invoke({signature})",
    }
    said = "\n   ".join(f"{end.ctype} {end.name}[{end.size}]: {end.meaning}" for end in ends)
    fails = any("return 1;" in call.call for _, call in calls)
    fails = ", or 1 and no outputs where a token is none that the model knows" if fails else ""
    states = [call.state for _, call in calls if call.state]
    reset = f"{name}_reset" if states else ""
    header = _HEADER.format(
        **given, ends=said, fails=fails, reset=_RESET.format(reset) if reset else ""
    )
    size = places.size // _SIZES[element]
    source = _source(size, calls, ends, parts, given | {"element": element})
    if states:
        source += _restarted(reset, states)
    return Program(name, header, source, places, ends, _layers(calls), reset)


def _restarted(reset: str, states: Sequence[str]) -> str:
    lines = "".join(f"  fill({state}, 0, (int)sizeof {state});\n" for state in states)
    return f"\nvoid {reset}(void) {{\n{lines}}}\n"


def plan(model: str | os.PathLike | bytes, ties: str = "last") -> arena.Plan:
    """Return where the activations of a model lie; see ``c_source``."""
    return arena.of_graph(load(model), ties)


def load(model: str | os.PathLike | bytes) -> Graph:
    """Return the graph of a model that can be written in C, for one sample at a time."""
    with integer_graph.damage_named("the graph"):
        graph = integer_graph.load(model, "tflm", strict=False)
    require_one_sample(graph)
    for side, ends in (("input", graph.inputs), ("output", graph.outputs)):
        for end, tensor in ends.items():
            _require_end(f"{side} {end}", tensor)
    for op in graph.operators:
        if op.output.index in graph.data:
            require_function(op)
    _require_shapes(model, graph)
    return graph


def require_one_sample(graph: Graph) -> None:
    """Raise ModelFileError for a graph of several samples a call."""
    if graph.call not in (None, 1):
        raise ModelFileError(
            f"the model takes {graph.call} samples at once, and C takes one: save it with "
            "sources.save(..., batch_size=1), or with an open batch"
        )


def _require_end(what: str, tensor: Tensor) -> None:
    dtype = tensor.dtype.name
    if dtype not in _TYPES:
        raise ModelFileError(
            f"the model's {what} is {dtype}; in C it is int8, uint8 or int32: "
            f"{_CURES.get(dtype, _CURES['float32'])}"
        )
    if tuple(tensor.shape[:1]) != (1,):
        raise ModelFileError(
            f"the model's {what} has the shape {tuple(tensor.shape)}, which does not begin with "
            "one sample: save it with sources.save(..., batch_size=1)"
        )


def _require_shapes(model: str | os.PathLike | bytes, graph: Graph) -> None:
    """Let the engine compute one sample: C relies on the shapes that the file stores."""
    x = {
        name: np.zeros((1, *tensor.shape[1:]), tensor.dtype)
        for name, tensor in graph.inputs.items()
    }
    found = integer_engine.trace(model, x, "tflm")
    for op in graph.operators:
        for tensor in op.outputs:
            said = tuple(tensor.shape) or (1,)
            if tensor.index in found and found[tensor.index].shape != said:
                raise ModelFileError(
                    f"{op.name} gives {found[tensor.index].shape} for one sample, and the file "
                    f"says {said}: shapes in C are the file's, and an open batch leaves some of "
                    "them false. Save the model with sources.save(..., batch_size=1)"
                )


def ends_of(
    graph: Graph,
    at: Callable[[Tensor], str],
    calls: Sequence[tuple[Operator, Call]],
    kind: type[End] = End,
) -> tuple[End, ...]:
    """Return the arguments, each under a name of its own that C takes.

    An argument hides what has its name outside the function: it is called like nothing that the
    ``calls`` say. Where the signature's name does not do, it is ``end_0`` and so on.
    """
    taken = {"copy"}.union(_WORDS, *(re.findall(r"\w+", call.call) for _, call in calls))
    ends: list[End] = []
    for side in (graph.inputs, graph.outputs):
        for of, tensor in side.items():
            name = re.sub(r"[^A-Za-z0-9_]", "_", of)
            if not re.match("[A-Za-z]", name) or name in taken or re.fullmatch(_NAMED, name):
                free = (f"end_{number}" for number in count(len(ends)))
                name = next(end for end in free if end not in taken)
            taken.add(name)
            ends.append(kind(of, name, tensor, at(tensor), side is graph.inputs))
    return tuple(ends)


def require_name(name: str) -> None:
    """Raise InputError for a name that C does not take."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,30}", name) or name in _WORDS:
        raise InputError(
            f"name={name!r} cannot begin C's names: take up to 31 letters, digits and _, a letter "
            "first, and no word of C's own"
        )


def _at(tensor: Tensor, places: arena.Plan) -> str:
    if tensor.value is not None:
        return f"constant_{tensor.index}"
    return f"arena + {places.offset(tensor)}"


def _source(size: int, calls, ends: tuple[End, ...], parts: Mapping, given: dict) -> str:
    used = {"copy"}.union(*(_needed(part, parts) for _, call in calls for part in call.parts))
    patch = max((call.patch for _, call in calls), default=0)
    return _SOURCE.format(
        functions="\n".join(_part(part) for part in parts if part in used),
        constants="\n".join(
            f"/* {_comment(op)} */\n{call.constants}" for op, call in calls if call.constants
        )
        + _stored(calls),
        calls="\n".join(_call(op, call, n) for n, (op, call) in enumerate(calls, 1)),
        arena=size,
        floats="" if given["element"] == "float" else ", no float",
        patch=f"  static int8_t patch[{patch}]; /* what a filter sees */\n" if patch else "",
        taken="\n".join(f"  copy({e.name}, {e.at}, {e.bytes});" for e in ends if e.is_input),
        answers="\n".join(f"  copy({e.at}, {e.name}, {e.bytes});" for e in ends if not e.is_input),
        **given,
    )


def _needed(part: str, parts: Mapping[str, Sequence[str]]) -> set[str]:
    return {part}.union(*(_needed(other, parts) for other in parts[part]))


def _part(name: str) -> str:
    folder = resources.files("lessons_lib.targets") / "c"
    return (folder / f"{name}.c").read_text("utf-8")


def _stored(calls) -> str:
    """Constants that an operator reads as it reads activations."""
    found = {
        tensor.index: tensor
        for op, call in calls
        for tensor in op.inputs
        if tensor is not None
        and tensor.value is not None
        and re.search(rf"\bconstant_{tensor.index}\b", call.call)
    }
    return "".join(array(f"constant_{index}", t.value) for index, t in found.items())


def _call(op: Operator, call: Call, number: int) -> str:
    lines = "".join(f"  {line}\n" for line in call.call.splitlines())
    return f"  /* {_comment(op)} */\n{lines}  AFTER_LAYER({number});\n"


def _layers(calls) -> tuple[Layer, ...]:
    """The calls with their names; a constant belongs to the first that reads it."""
    found, taken = [], set()
    for (_, call), name in zip(calls, arena.names(op for op, _ in calls), strict=True):
        made = re.findall(r"^static const \w+ (\w+)", call.constants, re.MULTILINE)
        read = re.findall(r"\bconstant_\d+\b", call.call)
        constants = tuple(dict.fromkeys(c for c in (*made, *read) if c not in taken))
        taken.update(constants)
        found.append(Layer(name, constants))
    return tuple(found)


def _comment(op: Operator) -> str:
    """What an operator is, in a comment: a stranger's names hold nothing that ends it."""
    layer = layer_names.layer_name(op.output.name)
    plain = re.sub(r"[^A-Za-z0-9_. -]", "_", layer)[:60]
    shapes = " -> ".join(
        "x".join(str(int(n)) for n in tensor.shape) or "1" for tensor in (op.input, op.output)
    )
    return f"{op.name} {shapes}, {plain}"


MARK = "Made by Quantization lessons"

_HEADER = """/* {mark}. */
#ifndef {guard}
#define {guard}

#include <stdint.h>

/* One sample at a time, and one thread: the activations have one place. What codes stand for:
   {ends}
   Returns 0{fails}. */
#ifdef __cplusplus
extern "C" {{
#endif
{signature};
{reset}
#ifdef __cplusplus
}}
#endif

#endif
"""

_RESET = """
/* Samples are moments of a stream, and the model keeps what it needs of those before. Call this
   before the first moment of another stream. */
void {}(void);
"""

_SOURCE = """/* {mark}: a model as C99, one sample a call; no malloc{floats}. */
#include "{name}.h"

typedef char int_has_32_bits[sizeof(int) >= 4 ? 1 : -1]; /* smaller processors do not compile it */

{functions}
{constants}
/* What is done after layer n, and after the inputs were taken (0): nothing. Define it, to read a
   cycle counter or to set a pin, and see where the time goes. */
#ifndef AFTER_LAYER
#define AFTER_LAYER(n) (void)0
#endif

/* The activations, one after the other in the same bytes; ARENA_MEMORY may choose which memory. */
#ifndef ARENA_MEMORY
#define ARENA_MEMORY
#endif
static ARENA_MEMORY {element} arena[{arena}];

{signature} {{
{patch}{taken}
  AFTER_LAYER(0);

{calls}
{answers}
  return 0;
}}
"""
