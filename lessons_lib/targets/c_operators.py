"""Each operator of a full-integer model as a call in C, with the constants that it needs.

What depends on the file alone is computed here, with the integers of ``integer_engine`` for
TFLite-Micro: multipliers and shifts, biases that hold the input's zero point, tables of the 256
answers of an operator on single codes, walks for what only moves codes. The functions that are
called stand in ``c/``, a file each, to be read.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lessons_lib.errors import ModelFileError
from lessons_lib.numbers import fixed_point
from lessons_lib.run.engine import curves, reduced
from lessons_lib.run.engine.integer_engine import OPERATORS as ENGINE
from lessons_lib.run.engine.integer_graph import Operator, Tensor
from lessons_lib.run.engine.windows import same_padding
from lessons_lib.targets.arena import size_of
from lessons_lib.tflite import reader

MOST_AXES = 6
_LONGEST_SOFTMAX = 4096  # its sum has 32 bits


@dataclass(frozen=True)
class Call:
    """What an operator adds to a C file: the ``parts`` of ``c/`` that it calls, constants, a call.

    ``patch``: the codes that one position of a filter sees, for which there must be room.
    """

    parts: tuple[str, ...]
    constants: str
    call: str
    patch: int = 0


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

    def walk(self, what: str, axes: Sequence[tuple[int, int]]) -> str:
        """A constant walk: (size, step) for each axis, the outer one first."""
        sizes, steps = ([axis[n] for axis in axes] for n in range(2))
        return (
            f"static const walk {self.name(what)} = {{{len(axes)}, {{{_joined(sizes)}}}, "
            f"{{{_joined(steps)}}}}};\n"
        )


def array(name: str, values, ctype: str = "int8_t") -> str:
    """Return a constant array in C, its values in lines of at most 100 characters."""
    words, lines, line = [str(int(value)) for value in np.ravel(values)], [], ""
    for word in words:
        if len(line) + len(word) > 94:
            lines.append(line)
            line = ""
        line += f"{' ' if line else ''}{word},"
    body = "\n    ".join([*lines, line]).rstrip(",")
    return f"static const {ctype} {name}[{max(1, len(words))}] = {{\n    {body}}};\n"


def emitted(op: Operator, where: Where) -> Call:
    """Return an operator's call; raises ModelFileError for one that C does not have."""
    if op.name not in CALLS:
        raise ModelFileError(
            f"{op.name} has no function in C; there are {', '.join(sorted(CALLS))}"
        )
    for tensor in (*op.inputs, *op.outputs):
        if tensor is not None and tensor.dtype == np.int16:
            raise ModelFileError(
                f"{op.name} takes or gives int16, and the C functions have 8 bits: take the path "
                "int8"
            )
    return CALLS[op.name](op, where)


# ---- layers with weights


def _layer(op: Operator, where: Where, bias, weights) -> str:
    _require_eight_bits(op)
    channels = len(bias)
    summed = 1 if weights.ndim == 2 else (0, 1, 2)  # (out, in), or those of a depthwise layer
    if np.abs(bias).max() + 255 * np.abs(weights).sum(axis=summed).max() >= 2**30:
        raise ModelFileError(f"the sums of {op.name} may pass 2**30, which C does not round")
    multiplier, shift = (np.broadcast_to(part, channels) for part in op.multiplier_shift)
    return (
        where.array("weights", weights)
        + where.array("bias", bias, "int32_t")
        + where.array("multiplier", multiplier, "int32_t")
        + where.array("shift", shift)
        + f"static const layer {where.name('layer')} = {{{where.name('weights')}, "
        f"{where.name('bias')}, {where.name('multiplier')}, {where.name('shift')}, "
        f"{op.output.zero_point}, {_joined(op.limits)}}};\n"
    )


def _require_eight_bits(op: Operator) -> None:
    if op.asymmetric:
        raise ModelFileError(
            f"{op.name} has uint8 weights, as before TFLite's 8-bit specification: convert the "
            "model again, with the path int8 or uint8 (lesson 07)"
        )


def _bias(op: Operator, channels: int) -> np.ndarray:
    return np.zeros(channels, np.int64) if op.bias is None else op.bias.value.astype(np.int64)


def _bias_with_zero_point(op: Operator, weights) -> np.ndarray:
    """``sum (x - z) w + b = sum x w + (b - z sum w)``; weights (out, inputs of one sum)."""
    return _bias(op, len(weights)) - op.input.zero_point * weights.sum(axis=1, dtype=np.int64)


def _fully_connected(op: Operator, where: Where) -> Call:
    weights = op.weights.reshape(len(op.weights), -1)
    outputs, inputs = weights.shape
    rows = size_of(op.input) // inputs
    call = (
        f"fully_connected({where.at(op.input)}, {where.at(op.output)}, {rows}, {inputs}, "
        f"{outputs}, &{where.name('layer')});"
    )
    constants = _layer(op, where, _bias_with_zero_point(op, weights), weights)
    return Call(("fully_connected",), constants, call)


def _conv_2d(op: Operator, where: Where) -> Call:
    weights = op.weights.reshape(len(op.weights), -1)
    bias = _bias_with_zero_point(op, weights)
    weights = np.pad(weights, [(0, 0), (0, -weights.shape[1] % 4)])  # whole words of four codes
    constants = _layer(op, where, bias, weights)
    sizes = f"{op.input.zero_point}, {weights.shape[1]}, {len(weights)}"
    call = (
        f"conv_2d({where.at(op.input)}, {where.at(op.output)}, patch, {sizes}, "
        f"&{where.name('window')}, &{where.name('layer')});"
    )
    constants += _window(op, where, op.inputs[1].shape[1:3])
    return Call(("conv_2d",), constants, call, patch=weights.shape[1])


def _depthwise_conv_2d(op: Operator, where: Where) -> Call:
    channels = op.inputs[1].shape[3]
    constants = _layer(op, where, _bias(op, channels), op.weights)
    call = (
        f"depthwise_conv_2d({where.at(op.input)}, {where.at(op.output)}, {op.input.zero_point}, "
        f"{channels}, &{where.name('window')}, &{where.name('layer')});"
    )
    constants += _window(op, where, op.inputs[1].shape[1:3])
    return Call(("depthwise_conv_2d",), constants, call)


def _window(op: Operator, where: Where, size: Sequence[int]) -> str:
    o, image = op.options, op.input.shape[1:3]
    stride = (o.strideH, o.strideW)
    dilation = (getattr(o, "dilationHFactor", 1), getattr(o, "dilationWFactor", 1))
    spans = [(n - 1) * apart + 1 for n, apart in zip(size, dilation, strict=True)]
    before = [
        same_padding(length, span, step)[0] if o.padding == reader.schema.Padding.SAME else 0
        for length, span, step in zip(image, spans, stride, strict=True)
    ]
    sides = (image, op.output.shape[1:3], size, stride, dilation, before)
    pairs = ", ".join(f"{{{_joined(side)}}}" for side in sides)
    name = where.name("window")
    return f"static const window {name} = {{{pairs}, {op.input.shape[3]}}};\n"


def _pool(op: Operator, where: Where) -> Call:
    size = (op.options.filterHeight, op.options.filterWidth)
    call = (
        f"{op.name.lower()}({where.at(op.input)}, {where.at(op.output)}, {_joined(op.limits)}, "
        f"&{where.name('window')});"
    )
    return Call((op.name.lower(),), _window(op, where, size), call)


# ---- single codes, from tables


def _look_up(op: Operator, where: Where) -> Call:
    """All 256 answers, by the engine, in the order of the bytes."""
    codes = np.arange(256, dtype=np.uint8).view(op.input.dtype)
    if op.input.dtype.itemsize > 1 or op.output.dtype.itemsize > 1:
        raise ModelFileError(
            f"{op.name} takes {op.input.dtype} and gives {op.output.dtype}: a microcontroller's "
            "model begins and ends with codes of 8 bits, as the paths int8 and uint8 give it "
            "(lesson 07)"
        )
    answers = np.asarray(ENGINE[op.name](op, codes)).view(np.uint8)
    call = (
        f"look_up({where.at(op.input)}, {where.at(op.output)}, {size_of(op.input)}, "
        f"{where.name('table')});"
    )
    return Call(("look_up",), where.array("table", answers, "uint8_t"), call)


def _softmax(op: Operator, where: Where) -> Call:
    length = op.input.shape[-1]
    if length > _LONGEST_SOFTMAX or op.output.dtype != np.int8 or op.input.dtype != np.int8:
        raise ModelFileError(
            f"SOFTMAX of {length} codes of {op.input.dtype} to {op.output.dtype}: C has it for at "
            f"most {_LONGEST_SOFTMAX} codes of int8"
        )
    exps = curves.exps_of_steps(op, -np.arange(256, dtype=np.int64))
    exps = exps[: np.count_nonzero(exps)]  # it falls: what lies behind is nothing
    call = (
        f"softmax({where.at(op.input)}, {where.at(op.output)}, {size_of(op.input) // length}, "
        f"{length}, {where.name('exps')}, {len(exps)});"
    )
    return Call(("softmax",), where.array("exps", exps, "int32_t"), call)


# ---- two inputs


def _of_two(op: Operator, where: Where, name: str, sign: int | None, scalings: Iterable) -> Call:
    walks = "".join(
        where.walk(what, _spread(tensor, op.output))
        for what, tensor in zip(("over_a", "over_b"), op.inputs, strict=True)
    )
    names, constants = [], ""
    for what, (tensor, ratio) in zip("aby", scalings, strict=False):
        multiplier, shift = fixed_point.multiplier_shift(ratio)
        names.append(f"&{where.name(f'of_{what}')}")
        constants += (
            f"static const scaling {where.name(f'of_{what}')} = {{{tensor.zero_point}, "
            f"{int(multiplier)}, {int(shift)}}};\n"
        )
    given = [where.at(op.inputs[0]), where.at(op.inputs[1]), where.at(op.output)]
    given += [str(size_of(op.output)), *([] if sign is None else [str(sign)])]
    given += [f"&{where.name('over_a')}", f"&{where.name('over_b')}", *names]
    given += [_joined(op.limits)] if names else []
    return Call((name,), walks + constants, f"{name}({', '.join(given)});")


def _add(op: Operator, where: Where) -> Call:
    _require_codes(op, *op.inputs, op.output)
    scales = [float(tensor.scale[0]) for tensor in op.inputs]
    twice = 2 * max(scales)
    ratios = [scale / twice for scale in scales] + [twice / (2**20 * float(op.output.scale[0]))]
    scalings = zip((*op.inputs, op.output), ratios, strict=True)
    return _of_two(op, where, "add", -1 if op.name == "SUB" else 1, scalings)


def _mul(op: Operator, where: Where) -> Call:
    _require_codes(op, *op.inputs, op.output)
    a, b, y = (float(tensor.scale[0]) for tensor in (*op.inputs, op.output))
    ratios = zip((*op.inputs, op.output), (0.5, 0.5, a * b / y), strict=True)
    return _of_two(op, where, "mul", None, ratios)


def _extreme(op: Operator, where: Where) -> Call:
    _require_codes(op, *op.inputs, op.output)
    return _of_two(op, where, "extreme", 1 if op.name == "MAXIMUM" else -1, ())


def _require_codes(op: Operator, *tensors: Tensor) -> None:
    for tensor in tensors:
        if tensor.dtype != np.int8 or tensor.scale is None:
            raise ModelFileError(f"{op.name} takes {tensor.dtype}, and C has it for codes of int8")


def _spread(tensor: Tensor, over: Tensor) -> list[tuple[int, int]]:
    """The walk over a tensor that is spread over another's shape."""
    shape = tuple(over.shape)
    indices = np.arange(size_of(tensor)).reshape(_ones(tensor.shape, len(shape)))
    return _walk(np.broadcast_to(indices, shape).ravel())


def _ones(shape: Sequence[int], rank: int) -> list[int]:
    return [1] * (rank - len(shape)) + [int(n) for n in shape]


# ---- the mean


def _mean(op: Operator, where: Where) -> Call:
    _require_codes(op, op.input, op.output)
    shape = op.input.shape
    axes = sorted({int(axis) % len(shape) for axis in np.ravel(op.inputs[1].value)})
    order = [axis for axis in range(len(shape)) if axis not in axes] + axes
    places = np.arange(size_of(op.input)).reshape(shape).transpose(order)
    count = int(np.prod([shape[axis] for axis in axes]))
    places = places.reshape(-1, count)
    multiplier, shift = (int(part[0]) for part in reduced.divided(op, count))
    constants = where.walk("kept", _walk(places[:, 0])) + where.walk("summed", _walk(places[0]))
    constants += (
        f"static const scaling {where.name('of_y')} = {{{op.output.zero_point}, "
        f"{multiplier}, {shift}}};\n"
    )
    call = (
        f"mean({where.at(op.input)}, {where.at(op.output)}, {len(places)}, {count}, "
        f"{op.input.zero_point}, &{where.name('kept')}, &{where.name('summed')}, "
        f"&{where.name('of_y')}, {_joined(op.limits)});"
    )
    return Call(("mean",), constants, call)


# ---- codes that only move

_ALL = ("CONCATENATION", "PACK")  # operators that move all of their inputs
_FILL = -1  # the number of what comes from no input


def _move(op: Operator, where: Where) -> Call:
    """Where each code comes from is asked of the engine, which moves their numbers instead."""
    moved = range(len(op.inputs)) if op.name in _ALL else [1 if op.name == "SPLIT" else 0]
    given, sources, first = [], [], 0
    for slot, tensor in enumerate(op.inputs):
        if slot in moved:
            count = size_of(tensor)
            given.append(np.arange(first, first + count).reshape(tuple(tensor.shape)))
            sources.append((tensor, first, count))
            first += count
        elif op.name == "PADV2" and slot == 2:
            given.append(np.array(_FILL))
        else:
            given.append(tensor.value)
    found = ENGINE[op.name](_of_numbers(op), *given)
    found = found if isinstance(found, list) else [found]
    parts = [
        _copies(op, where, f"{number}", output, np.ravel(places), sources)
        for number, (output, places) in enumerate(zip(op.outputs, found, strict=True))
    ]
    constants, calls = ("".join(part[n] for part in parts) for n in range(2))
    parts = [part for part in ("fill", "move") if f"{part}(" in calls]
    return Call(tuple(parts), constants, calls.strip())


def _of_numbers(op: Operator) -> Operator:
    """The operator on numbers of codes instead of codes: nothing is clipped, 0 is ``_FILL``."""
    if getattr(op.options, "fusedActivationFunction", 0):
        raise ModelFileError(f"{op.name} with a fused activation has no function in C")
    plain = {"scale": None, "zero_point": _FILL}
    return replace(
        op,
        inputs=tuple(t and replace(t, **plain) for t in op.inputs),
        outputs=tuple(replace(t, dtype=np.dtype(np.int64), **plain) for t in op.outputs),
    )


def _copies(op, where: Where, suffix: str, output: Tensor, places, sources) -> tuple[str, str]:
    """The constants and calls that fill one output; ``places`` are the numbers of its codes."""
    constants = calls = ""
    if (places == _FILL).any():
        code = output.zero_point
        if op.name == "PADV2":
            code = int(op.inputs[2].value.item())
        calls += f"fill({where.at(output)}, {code}, {len(places)});\n"
    for slot, (tensor, first, count) in enumerate(sources):
        targets = np.flatnonzero((places >= first) & (places < first + count))
        if not len(targets):
            continue
        x, y = where.at(tensor), where.at(output)
        axes = _factored(np.stack([places[targets] - first, targets]))
        start = [places[targets[0]] - first, targets[0]]
        x, y = (f"{at} + {n}" if n else at for at, n in zip((x, y), start, strict=True))
        if [axis[1:] for axis in axes] in ([], [(1, 1)]):
            calls += f"copy({x}, {y}, {len(targets)});\n"
            continue
        names = [f"{what}_{suffix}_{slot}" for what in ("from", "to")]
        for n, name in enumerate(names, 1):
            constants += where.walk(name, [(axis[0], axis[n]) for axis in axes])
        walks = ", ".join(f"&{where.name(name)}" for name in names)
        calls += f"move({x}, {y}, {len(targets)}, {walks});\n"
    return constants, calls


def _walk(places: np.ndarray) -> list[tuple[int, int]]:
    """(size, step) for each axis of a walk that meets ``places`` in their order, from the first."""
    return [(size, step) for size, step in _factored(places[None])] or [(1, 0)]


def _factored(walks: np.ndarray) -> list[tuple[int, ...]]:
    """Return (size, a step for each walk) for each axis, the outer one first; walks (k, n)."""
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


# ---- small things


def _joined(numbers: Iterable) -> str:
    return ", ".join(str(int(number)) for number in numbers)


# Each takes its Operator and a Where.
CALLS: dict[str, Callable[[Operator, Where], Call]] = {
    "ADD": _add,
    "AVERAGE_POOL_2D": _pool,
    "CONV_2D": _conv_2d,
    "DEPTHWISE_CONV_2D": _depthwise_conv_2d,
    "FULLY_CONNECTED": _fully_connected,
    "MAXIMUM": _extreme,
    "MAX_POOL_2D": _pool,
    "MEAN": _mean,
    "MINIMUM": _extreme,
    "MUL": _mul,
    "SOFTMAX": _softmax,
    "SUB": _add,
}
CALLS |= dict.fromkeys(
    ("HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "QUANTIZE", "RELU", "RELU6", "TANH"), _look_up
)
CALLS |= dict.fromkeys(
    (
        "BATCH_TO_SPACE_ND", "BROADCAST_TO", "CONCATENATION", "EXPAND_DIMS", "PACK", "PAD",
        "PADV2", "RESHAPE", "RESIZE_NEAREST_NEIGHBOR", "SLICE", "SPACE_TO_BATCH_ND", "SPLIT",
        "SPLIT_V", "SQUEEZE", "STRIDED_SLICE", "TILE", "TRANSPOSE", "UNPACK",
    ),
    _move,
)  # fmt: skip
