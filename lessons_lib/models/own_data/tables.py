"""Tables: a column is the target, the other numbers are the input."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from lessons_lib.errors import InputError
from lessons_lib.models import sample_files
from lessons_lib.models.own_data.given import Options
from lessons_lib.models.sample_files import Gathered, Y
from lessons_lib.tflite.signature import Signature

_COLUMN = '--column NAME; in Python column="NAME"'


def of_csv(file: Path, options: Options, folder: Path) -> Gathered:
    """Gather a file of comma-separated values with a line of names above."""
    try:
        table = pd.read_csv(file)
    except (ValueError, OSError) as error:  # of pandas: ParserError, EmptyDataError, Unicode...
        raise InputError(f"it is damaged, or no table ({error})") from error
    return of_table(table, options, folder)


def of_table(table: pd.DataFrame, options: Options, folder: Path) -> Gathered:
    """Gather a table of pandas; ``options.target`` is the column of the targets."""
    table = table.set_axis([str(name).strip() for name in table.columns], axis=1)
    if len(table) == 0:
        raise InputError("it has no rows: give two at least")
    _require_header(list(table.columns))
    target = options.target
    if target is not None and target not in table.columns:
        raise InputError(
            f"it has no column {target!r} for the target; it has {', '.join(table.columns)}"
        )
    inputs, notes = _inputs_of(table.drop(columns=target or []), target, options.signature)
    targets = {} if target is None else {Y: _values(table, target)}
    found = options.gather(sample_files.pairs(inputs, targets), folder, whole=True)
    return replace(found, notes=notes + found.notes)


def _require_header(names: list[str]) -> None:
    if len(names) == 1 and ";" in names[0]:
        raise InputError("its columns are separated by semicolons: write it with commas")
    if all(name.replace(".", "", 2).lstrip("-").isdigit() for name in names):
        raise InputError(
            f"its first line is {', '.join(names[:5])}, ...: put a line with the columns' names "
            "above it"
        )


def _inputs_of(table: pd.DataFrame, target: str | None, signature: Signature):
    """The columns that have the inputs' names, else all as the one input; and what was left out."""
    shapes = {name: signature.sample_shape(name) for name in signature.inputs}
    if set(shapes) <= set(table.columns) and all(s in ((), (1,)) for s in shapes.values()):
        rest = [name for name in table.columns if name not in shapes]
        found = {n: _numbers(table, n).reshape(-1, *shape) for n, shape in shapes.items()}
        return found, (f"not used: {', '.join(rest)}",) if rest else ()
    if len(shapes) != 1 or len(next(iter(shapes.values()))) != 1:
        raise InputError(
            f"the model takes {', '.join(map(str, signature.inputs.values()))}: a table feeds one "
            "input of numbers in a row, or inputs of one number each, in columns of their names. "
            "Give an .npz (lesson 15)"
        )
    ((name, (width,)),) = shapes.items()
    columns, notes = list(table.columns), ()
    if width is not None and len(columns) == width + 1 and columns[0].startswith("Unnamed"):
        columns, notes = columns[1:], ("not used: the first column, which has no name",)
    numbers = [_numbers(table, column) for column in columns]
    if width not in (None, len(columns)):
        ask = "" if target else f". Is one of them the target? Name it: {_COLUMN}"
        listed = f"{', '.join(columns[:10])}{', ...' if len(columns) > 10 else ''}"
        raise InputError(
            f"it has {len(columns)} columns beside the target ({listed}), the model takes {width}"
            f"{ask}"
        )
    return {name: np.stack(numbers, axis=1)}, notes


def _numbers(table: pd.DataFrame, column: str) -> np.ndarray:
    values = _values(table, column)
    if values.dtype.kind not in "fiub":
        raise InputError(
            f"the column {column!r} holds text, such as {str(values[0])!r}: leave it out, encode "
            f"it as in training, or, if it is the target, name it: {_COLUMN}"
        )
    return values


def _values(table: pd.DataFrame, column: str) -> np.ndarray:
    """A column's values; InputError where one is missing."""
    values = table[column]
    if isinstance(values, pd.DataFrame):
        raise InputError(f"it has {values.shape[1]} columns {column!r}: give each its own name")
    if values.isna().any():
        row = int(values.isna().to_numpy().argmax())
        raise InputError(
            f"the column {column!r} is empty in row {row} (line {row + 2} of the file): fill it in "
            "as in training, or leave the row out"
        )
    numeric = pd.api.types.is_numeric_dtype(values.dtype)
    return values.to_numpy() if numeric else values.astype(str).to_numpy(dtype=str)
