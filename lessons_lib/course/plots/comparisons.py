"""Two ways beside each other: ranges by two rules, clipped answers, times in two places."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from lessons_lib.convert import paths
from lessons_lib.course.plots.drawing import BLACK, BLUE, GREY, ORANGE, PALE, panels, style


def two_ranges(
    names: Sequence[str], tops: ArrayLike, averages: ArrayLike, in_file: ArrayLike
) -> Figure:
    """Draw for each tensor the top of its range by two rules, and the top in another file.

    ``names``: N tensors, the first one on top; ``tops`` and ``averages`` (N,): the extreme and the
    moving average of the samples, joined by a line; ``in_file`` (N,): a hollow square.
    Defined in lesson 13.
    """
    rows = range(len(names))
    with style():
        figure, ((axes,),) = panels(8, 1.1 + 0.34 * len(names))
        axes.hlines(rows, averages, tops, color=GREY)
        marks = {"zorder": 3, "s": 55}
        axes.scatter(tops, rows, color=ORANGE, marker="s", label="extreme", **marks)
        hollow = {"facecolors": "none", "edgecolors": BLACK, "marker": "s", "s": 130, "zorder": 3}
        axes.scatter(in_file, rows, label="converter's file", **hollow)
        axes.scatter(averages, rows, color=BLUE, label="moving average (LiteRT's file)", **marks)
        axes.set_yticks(rows, names)
        axes.invert_yaxis()
        axes.set(xlim=(0, None), xlabel="top of the calibrated range (value of the activation)")
        axes.grid(axis="x")
        figure.legend(loc="outside upper left", ncols=3)
    return figure


def clipped(of_float: ArrayLike, answers: Mapping[str, ArrayLike], ceiling: float) -> Figure:
    """Draw a regression's quantized answers over those of float32, with a dashed ceiling.

    ``of_float`` (N,); ``answers``: (N,) by a label, at most two. Defined in lesson 13.
    """
    with style():
        figure, ((axes,),) = panels(6, 3.6)
        for (label, found), color in zip(answers.items(), (ORANGE, BLUE), strict=False):
            axes.scatter(np.ravel(of_float), np.ravel(found), s=8, color=color, label=label)
        axes.axhline(ceiling, color=BLACK, linestyle="--", label="moving average by hand")
        axes.set(xlabel="answer of float32", ylabel="answer of int8")
        axes.legend()
    return figure


def how_sure(answers: Mapping[str, ArrayLike]) -> Figure:
    """Draw how sure a classifier is of some answers: the share of them above each probability.

    ``answers``: by a label (at most two) the largest probability of each answer, (N,), 0 to 1.
    Defined in lesson 14.
    """
    with style():
        figure, ((axes,),) = panels(8, 3.2)
        for (label, tops), (color, line) in zip(
            answers.items(), ((BLUE, "-"), (ORANGE, "--")), strict=False
        ):
            tops = np.sort(np.ravel(tops))
            share = 100 * (1 - np.arange(len(tops)) / len(tops))
            axes.step(tops, share, color=color, linestyle=line, linewidth=2, label=label)
        axes.set(xlim=(None, 1), ylim=(0, 105), xlabel="the model's largest probability")
        axes.set(ylabel="wrong answers at least so sure (%)")
        axes.legend(loc="lower left")
    return figure


def times_in_places(places: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw for each network and place a line from one file's time to the other's, logarithmic.

    ``places``: by name a table of microseconds, a row a network and a column a path (two of them);
    the number beside a line says how many times faster the second is. Defined in lesson 14.
    """
    first = next(iter(places.values()))
    rows = [(network, place) for network in first.index for place in places]
    with style():
        figure, ((axes,),) = panels(8.5, 1.2 + 0.5 * len(rows))
        for row, (network, place) in enumerate(rows):
            _draw_times(axes, row, places[place].loc[network])
        for group in range(1, len(first), 2):
            edge = group * len(places) - 0.5
            axes.axhspan(edge, edge + len(places), color=PALE, zorder=0)
        axes.set_yticks(range(len(rows)), [f"{network}, {place}" for network, place in rows])
        longest = max(table.to_numpy().max() for table in places.values())
        axes.set(xscale="log", xlabel="time for one image (µs), logarithmic")
        axes.set(xlim=(None, 3 * longest), ylim=(len(rows) - 0.4, -0.6))
        axes.xaxis.set_major_formatter("{x:,g}")
        axes.grid(axis="x")
        names = dict.fromkeys(first)
        figure.legend(axes.collections[: len(names)], names, loc="outside upper left", ncols=2)
    return figure


def _draw_times(axes: Axes, row: int, times: pd.Series) -> None:
    axes.plot(times, [row, row], color=GREY, linewidth=3, zorder=1)
    for path in times.index:
        colour, marker = paths.get(path).look
        axes.scatter(times[path], row, s=90, color=colour, marker=marker, zorder=2)
    gain = f"{times.iloc[0] / times.iloc[1]:.1f}x"
    axes.text(1.3 * times.max(), row, gain, va="center", fontweight="bold")
