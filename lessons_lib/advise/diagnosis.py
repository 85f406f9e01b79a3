"""What is said of a file beside its verdict: which tensor, and ranges or resolution.

int8 and int16x8 equally bad: the ranges are wrong, for 256 times finer steps do not help. int8
worse than int16x8: the steps are too coarse.
"""

import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lessons_lib.advise.report import Row
from lessons_lib.advise.trials import CONVERTER, LITERT
from lessons_lib.judge.verdict import PASSES
from lessons_lib.tflite import reader, tables

_LARGEST_HALF = 65_504.0  # of float16
_SMALLEST_HALF = 2.0**-24
_ALIKE = 3.0  # dB
_UNCHANGED = 1.05  # times smaller


def explained(rows: Sequence[Row], float_file: str | os.PathLike) -> list[Row]:
    """Return the rows with remarks on what their files lack."""
    odd = _beyond_halves(float_file)
    embeds = bool({"GATHER", "EMBEDDING_LOOKUP"} & set(tables.operators(float_file)["operator"]))
    return [
        replace(row, remarks=(*row.remarks, *_said(row, rows, odd, embeds)))
        if row.failure is None
        else row
        for row in rows
    ]


def _said(row: Row, rows: Sequence[Row], odd: list[str], embeds: bool) -> list[str]:
    found = list(odd) if row.path == "float16" and row.lane == CONVERTER else []
    if embeds and row.lane == LITERT and row.path != "float32" and row.smaller < _UNCHANGED:
        found.append(
            "LiteRT's recipe leaves the embedding in float, which is nearly all of this model: "
            "TFLiteConverter's dynamic_range and int8 quantize it"
        )
    if row.path == "int8" and not row.may_pass:
        finer = next((r for r in rows if r.name == row.name.replace("int8", "int16x8")), None)
        found += _ranges_or_resolution(row, finer) if finer is not None else []
    return found


def _ranges_or_resolution(row: Row, finer: Row) -> list[str]:
    if row.lowest_db is None or finer.lowest_db is None:
        return []
    if finer.lowest_db - row.lowest_db < _ALIKE:
        return [
            f"{finer.name}, with steps 256 times finer, is no better: the ranges are at fault, so "
            "try the other calibration, or samples like those that test"
        ]
    if finer.decision == PASSES:
        return [
            f"{finer.name} passes: the steps of int8 are too coarse for a tensor of wide range, "
            "which the layer errors name"
        ]
    return []


def _beyond_halves(file: str | os.PathLike) -> list[str]:
    """Constants of the float file that float16 makes inf of, or zero."""
    model, found = reader.read(file), []
    for row in tables.tensors(file).itertuples():
        if row.dtype != "FLOAT32" or not row.bytes:
            continue
        tensor = model.subgraphs[row.subgraph].tensors[row.index]
        values = np.abs(reader.stored_value(model, tensor))
        if values.max() > _LARGEST_HALF:
            found.append(
                f"the {row.role} {row.name} holds {values.max():.4g}, and float16 ends at 65,504: "
                "rescale the target, or take LiteRT's float16, which leaves biases as they are"
            )
        elif 0 < values.max() < _SMALLEST_HALF:
            found.append(
                f"the {row.role} {row.name} holds nothing above {values.max():.2g}, which float16 "
                "makes zero of: such as an epsilon in front of a division"
            )
    return found
