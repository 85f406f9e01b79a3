"""Each operator of a full-integer model as a call in C, with the constants that it needs.

What depends on the file alone is computed here, with the integers of ``integer_engine`` for
TFLite-Micro: multipliers and shifts, biases that hold the input's zero point, tables of the 256
answers of an operator on single codes, walks for what only moves codes. The functions that are
called stand in ``c/``, a file each, to be read.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from lessons_lib.errors import ModelFileError
from lessons_lib.run.engine import curves, elementwise, reduced
from lessons_lib.run.engine.integer_engine import OPERATORS as ENGINE
from lessons_lib.run.engine.integer_graph import Operator, Tensor, damage_named
from lessons_lib.targets import c_layers
from lessons_lib.targets.arena import size_of
from lessons_lib.targets.c_calls import (
    Call,
    Where,
    factored,
    joined,
    of_two,
    reduced_walks,
    require_codes,
    require_small_sums,
)

_LONGEST_SOFTMAX = 4096  # its sum has 32 bits


def require_function(op: Operator) -> None:
    """Raise ModelFileError, naming the operator, for one that C does not have."""
    if op.name in WHY_NOT:
        raise ModelFileError(f"{op.name} has no function in C: {WHY_NOT[op.name]}")
    if op.name not in CALLS:
        raise ModelFileError(
            f"{op.name} has no function in C; there are {', '.join(sorted(CALLS))}"
        )
    tensors = [tensor for tensor in (*op.inputs, *op.outputs) if tensor is not None]
    if op.name not in STATEFUL and any(tensor.dtype == np.int16 for tensor in tensors):
        raise ModelFileError(
            f"{op.name} takes or gives int16, and the C functions have 8 bits: take the path int8"
        )
    if op.asymmetric:
        raise ModelFileError(
            f"{op.name} has uint8 weights, as before TFLite's 8-bit specification: convert the "
            "model again, with the path int8 or uint8 (lesson 07)"
        )


def emitted(op: Operator, where: Where) -> Call:
    """Return an operator's call; raises ModelFileError for one that C does not have."""
    require_function(op)
    with damage_named(op.name):
        return CALLS[op.name](op, where)


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


def _with_scalings(op: Operator, where: Where, name: str, *after: str, **scalings) -> Call:
    """The same with scalings, (tensor, rule) each, and the limits of the output's codes."""
    names = [f"&{where.name(what)}" for what in scalings]
    require_codes(op, *op.inputs, op.output)
    call = of_two(op, where, name, *after, *names, joined(op.limits))
    constants = "".join(
        where.scaling(what, tensor.zero_point, rule) for what, (tensor, rule) in scalings.items()
    )
    return replace(call, constants=call.constants + constants)


def _add(op: Operator, where: Where) -> Call:
    require_codes(op, *op.inputs, op.output)
    rules = elementwise.sum_multipliers(op, 20)
    require_small_sums(op, 2**28, rules[2][1])
    ends = zip((*op.inputs, op.output), rules, strict=True)
    sign = "-1" if op.name == "SUB" else "1"
    scalings = dict(zip(("of_a", "of_b", "of_y"), ends, strict=True))
    return _with_scalings(op, where, "add", sign, **scalings)


def _mul(op: Operator, where: Where) -> Call:
    require_codes(op, *op.inputs, op.output)
    rule = elementwise.product_multiplier(op)
    require_small_sums(op, 255 * 255, rule[1])
    zero_points = joined(tensor.zero_point for tensor in op.inputs)
    return _with_scalings(op, where, "mul", zero_points, of_y=(op.output, rule))


def _prelu(op: Operator, where: Where) -> Call:
    require_codes(op, *op.inputs, op.output)
    above, below = elementwise.plain_multiplier(op), elementwise.product_multiplier(op)
    require_small_sums(op, 255, above[1])
    require_small_sums(op, 255 * 255, below[1])
    zero_points = joined(tensor.zero_point for tensor in op.inputs)
    scalings = {"above": (op.output, above), "below": (op.output, below)}
    return _with_scalings(op, where, "prelu", zero_points, **scalings)


def _extreme(op: Operator, where: Where) -> Call:
    require_codes(op, *op.inputs, op.output)
    return of_two(op, where, "extreme", _sign(op))


def _sign(op: Operator) -> str:
    """1 where the larger code is wanted, -1 where the smaller one is."""
    return "1" if op.name in ("MAXIMUM", "REDUCE_MAX", "ARG_MAX") else "-1"


# ---- one number of many


def _mean(op: Operator, where: Where) -> Call:
    require_codes(op, op.input, op.output)
    results, count, constants = reduced_walks(op, where)
    rule = [int(part[0]) for part in reduced.divided(op, count)]
    require_small_sums(op, 255 * count, rule[1])
    constants += where.scaling("of_y", op.output.zero_point, rule)
    call = (
        f"mean({where.at(op.input)}, {where.at(op.output)}, {results}, {count}, "
        f"&{where.name('kept')}, &{where.name('joined')}, {op.input.zero_point}, "
        f"&{where.name('of_y')}, {joined(op.limits)});"
    )
    return Call(("mean",), constants, call)


def _reduce_extreme(op: Operator, where: Where) -> Call:
    require_codes(op, op.input, op.output)
    results, count, constants = reduced_walks(op, where)
    call = (
        f"reduce_extreme({where.at(op.input)}, {where.at(op.output)}, {results}, {count}, "
        f"&{where.name('kept')}, &{where.name('joined')}, {_sign(op)});"
    )
    return Call(("reduce_extreme",), constants, call)


def _arg_extreme(op: Operator, where: Where) -> Call:
    shape = [int(n) for n in op.input.shape]
    axis = int(np.ravel(op.inputs[1].value)[0]) % len(shape)
    if op.input.dtype != np.int8 or op.output.dtype != np.int32:
        raise ModelFileError(
            f"{op.name} of {op.input.dtype} gives {op.output.dtype}; C has it for codes of int8, "
            f"and gives int32: write tf.math.{op.name.lower().replace('_', '')}(x, axis, "
            "output_type=tf.int32)"
        )
    apart = int(np.prod(shape[axis + 1 :]))
    call = (
        f"arg_extreme({where.at(op.input)}, {where.at(op.output)}, "
        f"{size_of(op.input) // (shape[axis] * apart)}, {shape[axis]}, {apart}, {_sign(op)});"
    )
    return Call(("arg_extreme",), "", call)


# ---- codes from a table


def _gather(op: Operator, where: Where) -> Call:
    """Places that the file names are moves; computed ones are looked up, and may be wrong."""
    table, places = op.inputs
    if places.value is not None:
        return _move(op, where)
    if places.dtype != np.int32:
        raise ModelFileError(
            f"GATHER by {places.dtype}: C takes places of int32, as TFLite-Micro does. Give the "
            "model its tokens as tf.int32"
        )
    shape = [int(n) for n in table.shape]
    axis = op.options.axis % len(shape)
    before = int(np.prod(shape[:axis]))
    piece = size_of(table) // (before * shape[axis]) * table.dtype.itemsize
    call = (
        f"if (gather({where.at(table)}, {where.at(places)}, {where.at(op.output)}, {before}, "
        f"{shape[axis]}, {size_of(places)}, {piece})) return 1;"
    )
    return Call(("gather",), "", call)


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
        calls += f"fill({where.at(output)}, {_filler(op, output)}, {len(places)});\n"
    for slot, (tensor, first, count) in enumerate(sources):
        targets = np.flatnonzero((places >= first) & (places < first + count))
        if not len(targets):
            continue
        walks = _in_bytes(np.stack([places[targets] - first, targets]), output)
        x, y = (
            f"{at} + {start}" if start else at
            for at, start in zip((where.at(tensor), where.at(output)), walks[:, 0], strict=True)
        )
        axes = factored(walks)
        if [axis[1:] for axis in axes] in ([], [(1, 1)]):
            calls += f"copy({x}, {y}, {walks.shape[1]});\n"
            continue
        names = [f"{what}_{suffix}_{slot}" for what in ("from", "to")]
        for n, name in enumerate(names, 1):
            constants += where.walk(name, [(axis[0], axis[n]) for axis in axes])
        given = ", ".join(f"&{where.name(name)}" for name in names)
        calls += f"move({x}, {y}, {walks.shape[1]}, {given});\n"
    return constants, calls


def _filler(op: Operator, output: Tensor) -> int:
    if output.dtype.itemsize > 1:
        raise ModelFileError(f"{op.name} fills {output.dtype}; C fills codes of 8 bits")
    return int(op.inputs[2].value.item()) if op.name == "PADV2" else output.zero_point


def _in_bytes(places: np.ndarray, tensor: Tensor) -> np.ndarray:
    """Places of elements as places of their bytes, one after the other."""
    size = tensor.dtype.itemsize
    return (places[..., None] * size + np.arange(size)).reshape(len(places), -1)


# Why C does not have what the engine has.
WHY_NOT = {
    "CAST": "it makes other integers of integers that are no codes; give the model the dtype that "
    "it casts to",
    "DEQUANTIZE": "it gives floats; convert with the path int8 or uint8 (lesson 07)",
    "REDUCE_PROD": "it multiplies the sizes of a shape that is not known before; save the model "
    "with sources.save(..., batch_size=1)",
    "RELU_N1_TO_1": "TFLite-Micro has none either; clip with tf.clip_by_value(x, -1, 1)",
    "SHAPE": "the shapes in C are fixed; save the model with sources.save(..., batch_size=1)",
}
STATEFUL = ("SVDF", "UNIDIRECTIONAL_SEQUENCE_LSTM")  # with a state of int16

# Each takes its Operator and a Where.
CALLS: dict[str, Callable[[Operator, Where], Call]] = {
    "ADD": _add,
    "ARG_MAX": _arg_extreme,
    "ARG_MIN": _arg_extreme,
    "AVERAGE_POOL_2D": c_layers.pool,
    "BATCH_MATMUL": c_layers.batch_matmul,
    "CONV_2D": c_layers.conv_2d,
    "DEPTHWISE_CONV_2D": c_layers.depthwise_conv_2d,
    "FULLY_CONNECTED": c_layers.fully_connected,
    "GATHER": _gather,
    "MAXIMUM": _extreme,
    "MAX_POOL_2D": c_layers.pool,
    "MEAN": _mean,
    "MINIMUM": _extreme,
    "MUL": _mul,
    "PRELU": _prelu,
    "REDUCE_MAX": _reduce_extreme,
    "REDUCE_MIN": _reduce_extreme,
    "RESIZE_BILINEAR": c_layers.resize_bilinear,
    "RESIZE_NEAREST_NEIGHBOR": c_layers.resize_nearest_neighbor,
    "SOFTMAX": _softmax,
    "SUB": _add,
    "SVDF": c_layers.svdf,
    "TRANSPOSE_CONV": c_layers.transpose_conv,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": c_layers.lstm,
}
CALLS |= dict.fromkeys(
    ("HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "QUANTIZE", "RELU", "RELU6", "TANH"), _look_up
)
CALLS |= dict.fromkeys(
    (
        "BATCH_TO_SPACE_ND", "BROADCAST_TO", "CONCATENATION", "EXPAND_DIMS", "PACK", "PAD",
        "PADV2", "RESHAPE", "SLICE", "SPACE_TO_BATCH_ND", "SPLIT",
        "SPLIT_V", "SQUEEZE", "STRIDED_SLICE", "TILE", "TRANSPOSE", "UNPACK",
    ),
    _move,
)  # fmt: skip
