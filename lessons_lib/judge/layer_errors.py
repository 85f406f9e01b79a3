"""How far each layer of a quantized model is from the same layer of the float model.

Nothing runs here: the values of the tensors come from ``runtime.tensor_values``.
"""

import itertools
import os

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from lessons_lib.errors import InputError
from lessons_lib.numbers import affine
from lessons_lib.tflite import reader, tables

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
}


def rms_error(expected: ArrayLike, found: ArrayLike) -> float:
    """Return ``sqrt(mean((found - expected)**2))``, in the unit of the numbers, in float64.

    Rounding alone, evenly spread over a step, gives ``scale / sqrt(12)``, 0.29 steps.
    Raises InputError when the shapes differ, or an array is empty or not finite.
    Defined in lesson 11.
    """
    expected, found = _pair(expected, found)
    return float(np.sqrt(np.mean((found - expected) ** 2)))


def signal_to_noise(expected: ArrayLike, found: ArrayLike) -> float:
    """Return ``10 * log10(sum(expected**2) / sum((found - expected)**2))``, in decibels (dB).

    10 dB more is a tenth of the noise power, 6 dB about one bit; at 0 dB the noise is as strong as
    the signal. Arithmetic in float64; inf where both are equal, -inf where only ``expected`` is
    all zeros. Raises InputError when the shapes differ, or an array is empty or not finite.
    Defined in lesson 11.
    """
    expected, found = _pair(expected, found)
    signal, noise = np.sum(expected**2), np.sum((found - expected) ** 2)
    if noise == 0:
        return float("inf")
    return float(10 * np.log10(signal / noise)) if signal else float("-inf")


def compare(
    float_model: Source, quantized_model: Source, float_values: Values, quantized_values: Values
) -> pd.DataFrame:
    """Return one row for each operator of a quantized model: its output beside the float model's.

    The models are two ``.tflite`` of one SavedModel; the values are what ``runtime.tensor_values``
    returns for each, with the same inputs. Integers are dequantized with their tensor's scale and
    zero point. The operators of the first subgraphs are paired in order, those of MOVERS left out.
    Columns: ``layer`` (see ``tables.layer_name``), ``operator``, ``float_index`` and ``index`` (of
    the output tensor in each file), ``scale`` (of the quantized output; NaN for a float one),
    ``rms_error`` (in the unit of the float output), ``error_per_scale`` (the same in steps; NaN
    for a float output) and ``snr_db``. An error contains those of all layers before it.
    Raises InputError when the operators do not pair, the outputs' shapes differ, or a value is
    missing or not finite. Defined in lesson 11.
    """
    float_tensors, tensors = _tensors(float_model), _tensors(quantized_model)
    rows = []
    for operator, float_index, index in _paired(_outputs(float_model), _outputs(quantized_model)):
        layer = tables.layer_name(float_tensors.loc[float_index, "name"])
        expected = _real(float_tensors, float_index, float_values)
        found = _real(tensors, index, quantized_values)
        if expected.shape != found.shape:
            raise InputError(
                f"{operator} ({layer}) gives shape {expected.shape} in the float model and "
                f"{found.shape} in the quantized one: pass values of the same inputs (lesson 11)"
            )
        rms, scale = rms_error(expected, found), tensors.loc[index, "scale"] or np.nan
        decibels = signal_to_noise(expected, found)
        rows.append((layer, operator, float_index, index, scale, rms, rms / scale, decibels))
    return pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)


def _outputs(model: Source) -> list[tuple[str, int]]:
    """Name and output tensor of each operator of the first subgraph that computes numbers."""
    content = reader.read(model)
    return [
        (name, index)
        for op in content.subgraphs[0].operators
        if (name := reader.operator_name(content, op)) not in MOVERS
        for index in op.outputs
    ]


def _paired(
    float_outputs: list[tuple[str, int]], outputs: list[tuple[str, int]]
) -> list[tuple[str, int, int]]:
    for number, sides in enumerate(itertools.zip_longest(float_outputs, outputs)):
        names = [side[0] if side else "missing" for side in sides]
        if names[0] != names[1]:
            raise InputError(
                f"the two files do not pair: operator {number} is {names[0]} in the first and "
                f"{names[1]} in the second (not counting {', '.join(MOVERS)}); convert both from "
                "one SavedModel (lesson 11)"
            )
    return [
        (name, first, second)
        for (name, first), (_, second) in zip(float_outputs, outputs, strict=True)
    ]


def _tensors(model: Source) -> pd.DataFrame:
    table = tables.tensors(model)
    return table[table["subgraph"] == 0].set_index("index")


def _real(tensors: pd.DataFrame, index: int, values: Values) -> np.ndarray:
    """The real numbers of a tensor: integers dequantized, floats as they are."""
    name, scale, zero_point = tensors.loc[index, ["name", "scale", "zero_point"]]
    if index not in values:
        raise InputError(
            f"there is no value of tensor {index}, {name}: pass what runtime.tensor_values "
            "returns for this very file (lesson 11)"
        )
    value = values[index]
    return value if scale is None else affine.dequantize(value, scale, zero_point)


def _pair(expected: ArrayLike, found: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    expected, found = (np.asarray(side, dtype=np.float64) for side in (expected, found))
    if expected.shape != found.shape or not expected.size:
        raise InputError(
            f"expected has shape {expected.shape} and found {found.shape}: an error is between two "
            "arrays of one shape, and not empty ones (lesson 11)"
        )
    if not (np.isfinite(expected).all() and np.isfinite(found).all()):
        raise InputError("the arrays hold NaN or inf: no error can be computed (lesson 11)")
    return expected, found
