"""What is inside a file: its operators as a chain of boxes."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lessons_lib.course.plots.drawing import BLACK, GREY, ORANGE, PALE, PURPLE, SKY, panels, style
from lessons_lib.tflite import reader, tables

_TINTS = {"FLOAT32": ORANGE, "INT8": SKY, "UINT8": PURPLE, "INT16": PALE}
_SHORT = {"CONV_2D": "conv", "MAX_POOL_2D": "pool", "FULLY_CONNECTED": "dense"}
_OF_SHAPES = ("SHAPE", "STRIDED_SLICE", "PACK")


def chains(contents: Mapping[str, reader.Source]) -> Figure:
    """Draw the operators of each file as a row of boxes, in the colour of the dtype they hand on.

    ``contents``: files by the names of their rows. Operators that only compute a shape are left
    out; a row starts one box further right where no QUANTIZE comes first, so that like boxes stand
    below each other. Raises what ``tables.operators`` raises. Defined in lesson 07.
    """
    rows = {name: _steps(content) for name, content in contents.items()}
    widest = max(start + len(table) for start, table in rows.values())
    left = 0.6 + 0.11 * max(map(len, rows))  # for the names, in boxes
    with style():
        figure, ((axes,),) = panels(round(0.95 * (widest + left), 1), 0.4 + 0.75 * len(rows))
        axes.axis("off")
        axes.set(xlim=(-left, widest - 0.4), ylim=(len(rows) - 0.5, -0.5))
        for row, (name, (start, table)) in enumerate(rows.items()):
            axes.text(-0.55, row, name, ha="right", va="center")
            for column, step in enumerate(table.itertuples(), start):
                _draw_step(axes, column, row, step.operator, step.dtypes.split(" -> ")[-1])
    return figure


def _steps(content: reader.Source) -> tuple[int, pd.DataFrame]:
    table = tables.operators(content)
    table = table[~table["operator"].isin(_OF_SHAPES)]
    return int(table["operator"].iloc[0] != "QUANTIZE"), table


def _draw_step(axes: Axes, column: int, row: int, operator: str, dtype: str) -> None:
    """A solid box for integers, a dashed one for floats: readable without colours."""
    is_float = dtype.startswith("FLOAT")
    box = {"boxstyle": "round", "facecolor": _TINTS.get(dtype, GREY), "edgecolor": BLACK}
    box |= {"linestyle": "--" if is_float else "-", "linewidth": 1.5 if is_float else 0.5}
    text = f"{_SHORT.get(operator, operator.lower())}\n{dtype.lower()}"
    axes.text(column, row, text, ha="center", va="center", fontsize=9, bbox=box)
