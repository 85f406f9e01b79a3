"""UNIDIRECTIONAL_SEQUENCE_LSTM and SVDF in integers: 8-bit inputs and weights, a 16-bit state.

The gates are sums in steps of 2**-12, which 16-bit curves take to steps of 2**-15. LiteRT and
TFLite-Micro differ in the curves and in how a product is rounded. The state starts at zero for
every sample, as after a reset.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from lessons_lib.numbers import fixed_point
from lessons_lib.numbers.fixed_point import double_rounding, shift_ties_away
from lessons_lib.run.engine.curves import sigmoid_16, tanh_16
from lessons_lib.run.engine.integer_graph import Operator, Tensor, refuse, require_room
from lessons_lib.run.engine.rescaling import centered
from lessons_lib.run.engine.weighted import whole_product

TANH = schema.ActivationFunctionType.TANH
OPTIONAL = {
    "a peephole": (9, 10, 11),
    "a projection": (16, 17),
    "layer normalization": (20, 21, 22, 23),
}


@dataclass(frozen=True)
class Rules:
    """How a runtime computes the curves and the products of one step."""

    sigmoid: Callable
    tanh: Callable
    tanh_of_cell: Callable
    forget: Callable
    update: Callable


def lstm(op: Operator, x, *_):
    """UNIDIRECTIONAL_SEQUENCE_LSTM over all steps; ``x`` (N, steps, features)."""
    _require_plain(op)
    x = x.astype(np.int64)
    if op.options.timeMajor:
        x = x.swapaxes(0, 1)
    hidden_tensor, cell_tensor = op.inputs[18], op.inputs[19]
    cells = op.inputs[2].shape[0]
    require_room(op.name, *x.shape[:2], cells)
    rules, gates = _rules(op, cell_tensor), [_Gate(op, number) for number in range(4)]
    hidden = x[:, 0, :1] * 0 + np.full((1, cells), hidden_tensor.zero_point)
    cell, outputs = hidden * 0, []
    for step in range(x.shape[1]):
        sums = [gate(x[:, step], hidden) for gate in gates]
        into, forget, out = (rules.sigmoid(sums[n]) for n in (0, 1, 3))
        new = rules.update(into, rules.tanh(sums[2]))
        cell = _clip_16(_clip_16(rules.forget(forget, cell)) + _clip_16(new))
        cell = _clipped(op, cell, cell_tensor)
        hidden = _hidden(op, rules.tanh_of_cell(cell) * out)
        outputs.append(hidden)
    result = np.stack(outputs, axis=0 if op.options.timeMajor else 1)
    return result.astype(op.output.dtype)


class _Gate:
    """The sums of one gate: its weights for the input, and for the hidden state."""

    def __init__(self, op: Operator, number: int):
        self.parts, self.each_clipped = gate_parts(op, number), op.kernels == "tflm"

    def __call__(self, x, hidden):
        (matrix, bias, rule), (recurrent, other, again) = self.parts
        first = _clip_16(double_rounding(whole_product(x, matrix.T) + bias, *rule))
        second = double_rounding(whole_product(hidden, recurrent.T) + other, *again)
        if self.each_clipped:
            second = _clip_16(second)
        return _clip_16(first + second)


def gate_parts(op: Operator, number: int) -> list[tuple[np.ndarray, np.ndarray, tuple[int, int]]]:
    """Return what a gate of an LSTM adds up: of the input, and of the hidden state.

    Each part has weights (cells, inputs), a bias that holds the zero point, and the multiplier and
    shift to steps of 2**-12. The gates: 0 input, 1 forget, 2 cell, 3 output.
    """
    parts, bias = [], op.inputs[12 + number].value.astype(np.int64)
    for source, slot, added in ((op.input, 1, bias), (op.inputs[18], 5, bias * 0)):
        weights = op.inputs[slot + number]
        matrix = weights.value.astype(np.int64)
        added = added - source.zero_point * matrix.sum(axis=1)
        if op.kernels == "tflm":
            ratio = float(source.scale[0]) * float(weights.scale[0]) * 2.0**12
        else:
            ratio = float(weights.scale[0] * source.scale[0] * np.float32(2**12))
        parts.append((matrix, added, fixed_point.multiplier_shift(ratio)))
    return parts


def _rules(op: Operator, cell: Tensor) -> Rules:
    power = exponent(cell)
    if op.kernels == "tflm":
        return Rules(
            sigmoid=lambda x: sigmoid_16(3 * x),
            tanh=lambda x: tanh_16(3 * x),
            tanh_of_cell=lambda x: tanh_16(_thrice_shifted(x, power + 12)),
            forget=_rescaled_product(*fixed_point.multiplier_shift(2.0**-15)),
            update=_rescaled_product(*product_multiplier(cell)),
        )
    return Rules(
        sigmoid=lambda x: fixed_point.logistic(x, 3, 15),
        tanh=lambda x: fixed_point.tanh(x, 3, 15),
        tanh_of_cell=lambda x: fixed_point.tanh(x, 15 + power, 15),
        forget=lambda a, b: shift_ties_away(a * b, 15),
        update=lambda a, b: shift_ties_away(a * b, 30 + power),
    )


def exponent(tensor: Tensor) -> int:
    """Return n where the scale of a tensor is 2**n."""
    return int(np.frexp(tensor.scale[0])[1]) - 1


def product_multiplier(tensor: Tensor) -> tuple[int, int]:
    """Return multiplier and shift from steps of 2**-30 to the codes of a tensor."""
    return fixed_point.multiplier_shift(2.0**-30 / float(tensor.scale[0]))


def _rescaled_product(multiplier: int, shift: int) -> Callable:
    return lambda a, b: double_rounding(a * b, multiplier, shift)


def _thrice_shifted(x, shift: int):
    """``3 * x * 2**shift``, rounded where the shift is to the right."""
    return 3 * x << shift if shift >= 0 else (3 * x + (1 << (-shift - 1))) >> -shift


def _hidden(op: Operator, product):
    """The hidden state in its own codes, of a product in steps of 2**-30."""
    hidden = op.inputs[18]
    scale, zero_point = hidden.scale[0], hidden.zero_point
    if op.kernels != "tflm":  # LiteRT takes them from the last tensor between
        scale, zero_point = op.between[4].scale[0], op.between[4].zero_point
    rule = fixed_point.multiplier_shift(2.0**-30 / float(scale))
    limits = np.iinfo(op.output.dtype)
    return np.clip(double_rounding(product, *rule) + zero_point, limits.min, limits.max)


def _clipped(op: Operator, cell, tensor: Tensor):
    most = cell_limit(op, tensor)
    return cell if most is None else np.clip(cell, -most, most)


def cell_limit(op: Operator, tensor: Tensor) -> int | None:
    """Return the largest code that the cell state may have, None where it is not clipped."""
    if op.options.cellClip <= 0:
        return None
    return int(min(float(np.float32(op.options.cellClip)) / float(tensor.scale[0]), 32767))


def _clip_16(x):
    return np.clip(x, -(2**15), 2**15 - 1)


def _require_plain(op: Operator) -> None:
    given = {n for n, tensor in enumerate(op.inputs) if tensor is not None}
    for what, places in OPTIONAL.items():
        if given & set(places):
            refuse(op, f"has {what}")
    if not {*range(1, 9), *range(12, 16), 18, 19} <= given:
        refuse(op, "couples its input and its forget gate")
    if op.input.dtype != np.int8 or any(op.inputs[n].dtype != np.int8 for n in range(1, 9)):
        refuse(op, f"takes {op.input.dtype}")
    if any(op.inputs[n].value is None for n in (*range(1, 9), *range(12, 16))):
        refuse(op, "has weights that are computed")
    if np.frexp(op.inputs[19].scale[0])[0] != 0.5 or op.options.fusedActivationFunction != TANH:
        refuse(op, "has a cell state whose scale is no power of two, or another curve than tanh")
    if op.kernels != "tflm" and (len(op.between) < 5 or op.between[4].scale is None):
        refuse(op, "does not say the scale of its hidden state")


def svdf(op: Operator, x, features, times, bias=None, *_):
    """SVDF with a state of zeros, as after a reset: only the newest of its moments counts.

    ``features`` (filters, inputs), ``times`` (filters, moments); ``rank`` filters make one unit.
    """
    state = op.inputs[4]
    if state.dtype != op.inputs[2].dtype or (state.dtype == np.int8 and op.kernels != "tflm"):
        refuse(op, f"has weights of {op.inputs[2].dtype} and a state of {state.dtype}")
    into, out = svdf_multipliers(op)
    moments = whole_product(centered(op.input, x, np.int64), features.T.astype(np.int64))
    limits = np.iinfo(state.dtype)
    moments = np.clip(double_rounding(moments, *into), limits.min, limits.max) + state.zero_point
    moments = centered(state, moments.astype(state.dtype), np.int64)  # 8 bits may run over
    sums = (moments * times[:, -1].astype(np.int64)).reshape(len(x), -1, op.options.rank)
    sums = sums.sum(axis=-1) + (0 if bias is None else bias.astype(np.int64))
    codes = double_rounding(sums, *out)
    limits = np.iinfo(op.output.dtype)
    codes = np.clip(codes + op.output.zero_point, limits.min, limits.max)
    return codes.astype(op.output.dtype)


def svdf_multipliers(op: Operator) -> list[tuple[int, int]]:
    """Return multiplier and shift from the input's sums to the state, and from its to the output.

    The ratios are float32, as the runtimes compute them.
    """
    tensors = (op.input, *op.inputs[1:3], op.inputs[4], op.output)
    into, feature, time, kept, out = (tensor.scale[0] for tensor in tensors)
    ratios = into * feature / kept, kept * time / out
    return [fixed_point.multiplier_shift(float(ratio)) for ratio in ratios]
