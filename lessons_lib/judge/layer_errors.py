"""How far each layer of a quantized model is from the same layer of the float model.

Nothing runs here: the values of the tensors come from ``runtime.tensor_values``. The quantizers'
own tools (``QuantizationDebugger``, ``Quantizer.validate``) compare files that they made
themselves; here any two files of one model will do. What is given up: what happens inside the
subgraphs of loops and branches.
"""

import difflib
import os
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lessons_lib.errors import InputError
from lessons_lib.numbers import affine
from lessons_lib.numbers.noise import decibels, rms_error, signal_to_noise
from lessons_lib.system import files
from lessons_lib.tflite import edit, reader, tables

Source = str | os.PathLike | bytes
Values = dict[int, np.ndarray]

# These compute no number: one file may have them where the other has none.
MOVERS = ("QUANTIZE", "DEQUANTIZE", "SHAPE", "STRIDED_SLICE", "PACK", "RESHAPE", "SQUEEZE")
COLUMNS = {
    "layer": object,
    "operator": object,
    "float_index": int,
    "index": int,
    "scale": float,
    "rms_error": float,
    "error_per_scale": float,
    "snr_db": float,
    "worst_channel_db": float,
    "worst_channel": int,
}
ABSENT = -1  # the index of an output that has no partner in the other file
_ENDINGS = re.compile(r"(_int16)?\d*$")  # what a converter adds to a name that it used before


@dataclass(frozen=True)
class _Output:
    """One output of an operator: the tensor's index and name, and what computed it."""

    operator: str
    activation: str
    layer: str
    index: int
    name: str

    @property
    def kind(self) -> tuple[str, str, str]:
        """What the same output has in both files, whatever its name got behind it."""
        return self.operator, self.activation, _ENDINGS.sub("", self.layer)


def compare(
    float_model: Source, quantized_model: Source, float_values: Values, quantized_values: Values
) -> pd.DataFrame:
    """Return one row for each operator of a quantized model: its output beside the float model's.

    The models are two ``.tflite`` of one model; the values are what ``runtime.tensor_values``
    returns for each, with the same inputs. Integers are dequantized with their tensor's scale and
    zero point. The operators of the signature's subgraph are paired in order, those of MOVERS and
    those without real numbers (shapes, tokens, handles) left out. Where one file fused or split
    some, outputs of one name are paired, and of the rest what has the same operator, activation
    and layer; what is left has a row without numbers and ABSENT as the other file's index (what
    only the float file has, at the end).
    Columns: ``layer`` (as in ``tables.operators``), ``operator``, ``float_index`` and ``index`` (of
    the output tensor in each file), ``scale`` (of the quantized output; NaN for a float one),
    ``rms_error`` (in the unit of the float output), ``error_per_scale`` (the same in steps; NaN
    for a float output), ``snr_db``, and ``worst_channel_db`` with ``worst_channel``: the lowest
    SNR of one entry of the last axis, which a larger one beside it would hide. An error contains
    those of all layers before it; a quantized output with NaN or inf has an endless one, and
    beside such a float output nothing can be said (NaN).
    Raises InputError when fewer than half of the operators pair, the outputs' shapes differ, or a
    value is missing. Defined in lesson 11.
    """
    float_model, quantized_model = (
        edit.only_signature(files.content(model)) for model in (float_model, quantized_model)
    )
    sides = _tensors(float_model), _tensors(quantized_model)
    rows = []
    for first, second in _paired(*map(_outputs, (float_model, quantized_model), sides)):
        known = first or second
        indices = first.index if first else ABSENT, second.index if second else ABSENT
        row = {"layer": known.layer, "operator": known.operator}
        row |= dict(zip(("float_index", "index"), indices, strict=True))
        if first and second:
            expected = _real(sides[0], first.index, float_values)
            found = _real(sides[1], second.index, quantized_values)
            row |= _errors(row, expected, found, sides[1].loc[second.index, "scale"])
        rows.append(row)
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return table.fillna({"worst_channel": ABSENT}).astype(COLUMNS)


def outputs(
    float_model: Source, quantized_model: Source, float_values: Values, quantized_values: Values
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return what each layer gives: the float model's values, and what came back of them.

    By the layer's name, in order, both in real units; of a layer with several operators the last
    one counts, and what has no partner in the other file is left out. The converter calls a
    model's result "StatefulPartitionedCall"; here it is called as its operator, such as
    "softmax". Arguments, pairing and errors: as in ``compare``. Defined in lesson 11.
    """
    models = [edit.only_signature(files.content(m)) for m in (float_model, quantized_model)]
    sides = [_tensors(model) for model in models]
    return {
        _plain_name(second): (
            _real(sides[0], first.index, float_values),
            _real(sides[1], second.index, quantized_values),
        )
        for first, second in _paired(*map(_outputs, models, sides))
        if first and second
    }


def _plain_name(one: _Output) -> str:
    is_result = one.layer.startswith("StatefulPartitionedCall")
    return one.operator.lower() if is_result else one.layer


def _errors(row: dict, expected: np.ndarray, found: np.ndarray, scale) -> dict[str, float]:
    """The columns of one pair of outputs."""
    if expected.shape != found.shape and (
        expected.size != found.size or expected.shape[:1] != found.shape[:1]
    ):
        raise InputError(
            f"{row['operator']} ({row['layer']}) gives shape {expected.shape} in the float model "
            f"and {found.shape} in the quantized one: pass values of the same inputs (lesson 11)"
        )
    found = found.reshape(expected.shape)
    step = scale if isinstance(scale, float) and scale else np.nan
    if not np.isfinite(expected).all():
        return {"scale": step}
    if not np.isfinite(found).all():
        return {"scale": step, "rms_error": np.inf, "snr_db": -np.inf, "worst_channel_db": -np.inf}
    channels = _snr_of_channels(expected, found)
    # A channel that is all zeros has no signal to lose.
    worst = int(np.nanargmin(channels)) if not np.isnan(channels).all() else ABSENT
    rms = rms_error(expected, found)
    return {
        "scale": step,
        "rms_error": rms,
        "error_per_scale": rms / step,
        "snr_db": signal_to_noise(expected, found),
        "worst_channel_db": channels[worst] if worst != ABSENT else np.nan,
        "worst_channel": worst,
    }


def _snr_of_channels(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """The SNR of each entry of the last axis, in dB; NaN where the float model gives only zeros."""
    rows = expected.reshape(-1, expected.shape[-1] if expected.ndim > 1 else 1).astype(np.float64)
    noise = np.square(found.reshape(rows.shape) - rows).sum(axis=0)
    signal = np.square(rows).sum(axis=0)
    return np.where(signal > 0, decibels(signal, noise), np.nan)


def _outputs(model: bytes, tensors: pd.DataFrame) -> list[_Output]:
    """The outputs of the first subgraph's operators that are real numbers, computed."""
    real = tensors["dtype"].str.startswith("FLOAT") | tensors["scale"].notna()
    operators = reader.read(model).subgraphs[0].operators
    table = tables.operators(model)
    described = table.loc[table["subgraph"] == 0, ["operator", "activation", "layer"]]
    return [
        _Output(*words, int(index), tensors.loc[index, "name"])
        for op, words in zip(operators, described.to_numpy(), strict=True)
        if words[0] not in MOVERS
        for index in op.outputs
        if real[index]
    ]


def _paired(
    first: list[_Output], second: list[_Output]
) -> list[tuple[_Output | None, _Output | None]]:
    """The outputs of both files side by side, in the second one's order; None for none."""
    operators = [[one.operator for one in side] for side in (first, second)]
    if operators[0] == operators[1] and not _crossed(first, second):
        return list(zip(first, second, strict=True))
    partner = _by_name(first, second)
    rest = [
        [one for one in first if one not in partner.values()],
        [one for one in second if one not in partner],
    ]
    keys = [[one.kind for one in side] for side in rest]
    matcher = difflib.SequenceMatcher(a=keys[0], b=keys[1], autojunk=False)
    for block in matcher.get_matching_blocks():
        for step in range(block.size):
            partner[rest[1][block.b + step]] = rest[0][block.a + step]
    if 2 * len(partner) < max(len(first), len(second)):
        raise _misfit(first, second)
    alone = [(one, None) for one in first if one not in partner.values()]
    return [(partner.get(one), one) for one in second] + alone


def _by_name(first: list[_Output], second: list[_Output]) -> dict[_Output, _Output]:
    """The outputs of one name in both files, where it is the only one so called in each."""
    names = [[one.name for one in side] for side in (first, second)]
    unique = {n for n in names[0] if n and names[0].count(n) == names[1].count(n) == 1}
    by_name = {one.name: one for one in first}
    return {one: by_name[one.name] for one in second if one.name in unique}


def _crossed(first: list[_Output], second: list[_Output]) -> bool:
    """Whether a name says that an output belongs to another place than the order does."""
    places = {one.name: place for place, one in enumerate(first)}
    return any(places.get(one.name, place) != place for place, one in enumerate(second))


def _misfit(first: list[_Output], second: list[_Output]) -> InputError:
    """The error of two files of which hardly anything pairs: where they part first."""
    names = [[one.operator for one in side] for side in (first, second)]
    length = max(map(len, names))
    padded = [side + ["missing"] * (length - len(side)) for side in names]
    place = next((n for n, both in enumerate(zip(*padded, strict=True)) if len(set(both)) > 1), 0)
    return InputError(
        f"the two files do not pair: operator {place} is {padded[0][place]} in the first and "
        f"{padded[1][place]} in the second (not counting {', '.join(MOVERS)}); convert both from "
        "one SavedModel (lesson 11)"
    )


def _tensors(model: bytes) -> pd.DataFrame:
    table = tables.tensors(model)
    return table[table["subgraph"] == 0].set_index("index")


def _real(tensors: pd.DataFrame, index: int, values: Values) -> np.ndarray:
    """The real numbers of a tensor: integers dequantized, floats as they are."""
    row = tensors.loc[index]
    if index not in values:
        raise InputError(
            f"there is no value of tensor {index}, {row['name']}: pass what runtime.tensor_values "
            "returns for this very file (lesson 11)"
        )
    value, scale, zero_point = values[index], row["scale"], row["zero_point"]
    if scale is None or value.dtype.kind == "f":
        return value
    if not np.any(scale):  # what the converter writes for a tensor that was always zero
        return np.zeros(value.shape, np.float32)
    if row["granularity"] == "per-channel":
        along = [1] * value.ndim
        along[row["quantized_dimension"]] = -1
        scale, zero_point = np.reshape(scale, along), np.reshape(zero_point, along)
    return affine.dequantize(value, scale, zero_point)
