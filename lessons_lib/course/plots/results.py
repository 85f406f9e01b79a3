"""What was measured: size, accuracy, speed, and which candidate to take."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from numpy.typing import ArrayLike

from lessons_lib.convert import paths
from lessons_lib.course.plots.drawing import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    VERMILION,
    panels,
    style,
)
from lessons_lib.errors import InputError
from lessons_lib.judge import evaluate

_PART_STYLES = ((BLUE, ""), (ORANGE, "///"), (GREEN, "..."), (PURPLE, "xx"), (GREY, "\\\\"))
_LINE_STYLES = tuple(zip((BLUE, VERMILION, GREEN, PURPLE, ORANGE, BLACK), "osD^vP", strict=True))


def byte_bars(budgets: Mapping[str, pd.Series]) -> Figure:
    """Draw where each file's bytes go, one stacked bar a file, in kB (1 kB = 1,000 bytes).

    ``budgets``: for each file's name a Series of bytes, as ``tables.byte_budget`` returns it.
    Raises InputError when there is no file or more than five parts. Defined in lesson 02.
    """
    table = pd.DataFrame(dict(budgets)).fillna(0) / 1000
    if table.empty or len(table) > len(_PART_STYLES):
        raise InputError(f"byte_bars draws 1 to {len(_PART_STYLES)} parts of at least one file")
    with style():
        figure, ((axes,),) = panels(8, 1.3 + 0.42 * table.shape[1])
        _stack_bars(axes, table)
        axes.set_xlabel("size on disk (kB)")
        axes.invert_yaxis()
        axes.grid(axis="x")
        figure.legend(loc="outside upper left", ncols=len(table), handlelength=1.4)
    return figure


def _stack_bars(axes: Axes, table: pd.DataFrame) -> None:
    """One bar a column of ``table``, one piece a row, and beside each bar its sum, in kB."""
    left = np.zeros(table.shape[1])
    for (part, sizes), (colour, hatch) in zip(table.iterrows(), _PART_STYLES, strict=False):
        look = {"color": colour, "hatch": hatch, "edgecolor": "white", "height": 0.66}
        axes.barh(table.columns, sizes, left=left, label=part, **look)
        left += sizes.to_numpy()
    for row, total in enumerate(left):
        _write_beside(axes, f"{total:,.1f} kB", total, row)
    axes.set_xlim(0, 1.16 * left.max())


def scoreboard(frame: pd.DataFrame) -> Figure:
    """Draw each path's size beside its accuracy with the 95 % interval, one row a path.

    ``frame``: indexed by path, with ``bytes``, ``accuracy``, ``accuracy_low``, ``accuracy_high``
    and the same three with ``_hard`` (0 to 1), as ``scoreboard.frame`` returns it: clean digits
    are filled marks, hard ones hollow. Five of the seven paths lie within 3 kB and 0.3 points, so
    rows keep apart what one scatter plot would pile up.
    Raises InputError when a column is missing. Defined in lesson 08.
    """
    _require_columns(frame, "bytes", *_ACCURACY["clean"], *_ACCURACY["hard"])
    with style():
        figure, ((size, accuracy),) = panels(9, 1.3 + 0.4 * len(frame), columns=2, sharey=True)
        for row, (name, line) in enumerate(frame.iterrows()):
            look = _path_style(name)
            _draw_interval(accuracy, row - 0.16, line[_ACCURACY["clean"]], *look)
            _draw_interval(accuracy, row + 0.16, line[_ACCURACY["hard"]], *look, hollow=True)
        _draw_sizes(size, frame, frame.index)
        if "float32" in frame.index:
            for column in ("accuracy", "accuracy_hard"):
                reference = 100 * frame.loc["float32", column]
                accuracy.axvline(reference, color=GREY, linestyle=":", zorder=0)
        accuracy.set(title="Accuracy: clean filled, hard hollow")
        accuracy.set(xlabel="accuracy (%), 95 % interval; dotted: float32")
        accuracy.grid(axis="x")
        accuracy.margins(x=0.12)
    return figure


def drops(frame: pd.DataFrame, limit: float) -> Figure:
    """Draw each file's size beside its drop, with the 95 % interval and the limit: one row a file.

    ``frame``: indexed by file, as ``report.Report.frame`` returns it where the measure is a share:
    ``path``, ``bytes``, and 0 to 1 ``drop``, ``drop_low``, ``drop_high``; a row without numbers is
    left out. ``limit``, 0 to 1: the largest drop that is accepted.
    Raises InputError when a column or every row is missing. Defined in lesson 15.
    """
    _require_columns(frame, "path", "bytes", *_DROP)
    frame = frame.dropna(subset=["bytes", *_DROP])
    _require_columns(frame, *_DROP)
    with style():
        figure, ((size, drop),) = panels(9, 1.3 + 0.4 * len(frame), columns=2, sharey=True)
        _draw_sizes(size, frame, frame["path"])
        for row, (_, line) in enumerate(frame.iterrows()):
            _draw_interval(drop, row, line[_DROP], *_path_style(line["path"]))
        drop.axvline(0, color=GREY, linestyle=":", zorder=0)
        drop.axvline(100 * limit, color=VERMILION, linestyle="--", zorder=0)
        drop.set(title="Drop against float32")
        drop.set(xlabel="drop (points), 95 %; dashed: the limit")
        drop.grid(axis="x")
        drop.margins(x=0.12)
    return figure


_DROP = ["drop", "drop_low", "drop_high"]
_ACCURACY = {
    "clean": ["accuracy", "accuracy_low", "accuracy_high"],
    "hard": ["accuracy_hard", "accuracy_hard_low", "accuracy_hard_high"],
}


def _draw_sizes(axes: Axes, frame: pd.DataFrame, names: Iterable[str]) -> None:
    """One bar a row, in the colour of its path, and its size beside it; ``names`` of the paths."""
    for row, (size, name) in enumerate(zip(frame["bytes"] / 1000, names, strict=True)):
        axes.barh(row, size, color=_path_style(name)[0], height=0.6)
        _write_beside(axes, f"{size:,.1f}", size, row)
    axes.set(title="Size", xlabel="size on disk (kB)")
    axes.set_xlim(0, 1.2 * frame["bytes"].max() / 1000)
    axes.set_yticks(range(len(frame)), frame.index)
    axes.invert_yaxis()


def _draw_interval(
    axes: Axes, row: float, line: pd.Series, colour: str, marker: str, hollow: bool = False
) -> None:
    share, low, high = 100 * line.astype(float)
    axes.errorbar(
        share,
        row,
        xerr=[[share - low], [high - share]],
        fmt=marker,
        color=colour,
        markersize=7,
        markerfacecolor="white" if hollow else colour,
        markeredgecolor=colour if hollow else "black",
        capsize=3,
        linewidth=1.5,
    )
    _write_beside(axes, f"{share:.1f}", high, row)


def _write_beside(axes: Axes, text: str, x: float, row: float) -> None:
    axes.annotate(text, (x, row), xytext=(8, 0), textcoords="offset points", va="center")


def latency_bars(frame: pd.DataFrame, log: bool = False) -> Figure:
    """Draw each model's median latency with whiskers from the lower to the upper quartile.

    ``frame``: indexed by model, with ``median_us``, ``p25_us`` and ``p75_us`` in microseconds, as
    ``benchmark.latency`` returns it. ``log``: points on a logarithmic axis, for models that differ
    more than tenfold (a bar's length would mean nothing there).
    Raises InputError when a column is missing. Defined in lesson 02.
    """
    _require_columns(frame, "median_us", "p25_us", "p75_us")
    with style():
        figure, ((axes,),) = panels(8, 1.1 + 0.42 * len(frame))
        for row, (name, line) in enumerate(frame.iterrows()):
            _draw_latency(axes, row, line, *_path_style(name), bar=not log)
        axes.set_yticks(range(len(frame)), frame.index)
        axes.set_xlabel("latency for one image (µs): median, and the middle half of the runs")
        axes.set_ylim(len(frame) - 0.5, -0.5)
        axes.grid(axis="x")
        if log:
            axes.set_xscale("log")
            axes.minorticks_off()
            axes.set_xlim(0.6 * frame["p25_us"].min(), 3 * frame["p75_us"].max())
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:,g}")
        else:
            axes.set_xlim(0, 1.2 * frame["p75_us"].max())
    return figure


def _draw_latency(
    axes: Axes, row: int, line: pd.Series, colour: str, marker: str, bar: bool
) -> None:
    median, low, high = line[["median_us", "p25_us", "p75_us"]].astype(float)
    if bar:
        axes.barh(row, median, color=colour, height=0.6)
    axes.errorbar(
        median,
        row,
        xerr=[[median - low], [high - median]],
        fmt="none" if bar else marker,
        color=colour,
        ecolor=GREY if bar else colour,
        markersize=9,
        markeredgecolor="black",
        capsize=5,
        linewidth=1.8,
    )
    text = f"{median:,.0f} µs" if median >= 10 else f"{median:.2g} µs"
    _write_beside(axes, text, max(high, median), row)


def intensity(frame: pd.DataFrame) -> Figure:
    """Draw how much is calculated for each byte of weights, against how fast: an arrow a run.

    ``frame``: one row a run, named by its index, with ``float32`` and ``int8`` (MAC per byte of
    weights) and ``float32_speed`` and ``int8_speed`` (GMAC/s); the arrow goes from float32 to
    int8. These are a roofline's axes, without its roof. 8 x 4.4 inches.
    Raises InputError when a column is missing. Defined in lesson 08. Source: S. Williams et al.,
    Communications of the ACM 52 (2009).
    """
    ends = ("float32", "int8")
    _require_columns(frame, *ends, *(f"{name}_speed" for name in ends))
    with style():
        figure, ((axes,),) = panels(8, 4.4)
        axes.set(xscale="log", yscale="log", title="From float32 (circle) to int8 (triangle)")
        axes.set(xlabel="arithmetic intensity (MAC per byte of weights)", ylabel="speed (GMAC/s)")
        for run, line in frame.iterrows():
            start, end = [(line[name], line[f"{name}_speed"]) for name in ends]
            for point, name in ((start, "float32"), (end, "int8")):
                colour, marker = paths.ALL[name].look
                axes.plot(*point, marker, color=colour, markersize=10)
            axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": GREY})
            place = {"xytext": (0, -18), "textcoords": "offset points", "ha": "center"}
            axes.annotate(run, start, fontsize=10, **place)
        axes.margins(0.15)
        axes.grid()
        for axis, marks in ((axes.xaxis, (1,)), (axes.yaxis, (1, 2, 5))):
            axis.set_major_locator(LogLocator(subs=marks))
            axis.set_major_formatter("{x:,g}")
        axes.minorticks_off()
    return figure


def lines_with_intervals(
    x: ArrayLike,
    values: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    *,
    xlabel: str,
    ylabel: str,
    title: str = "",
    labels: Sequence[str] = ("",),
    reference: tuple[str, float] | None = None,
    log_x: bool = False,
) -> Figure:
    """Draw one or more lines against x, each point with its interval.

    ``x``: (N,). ``values``, ``low``, ``high``: (N,), or (K, N) for K lines with K ``labels``; in
    the unit that ``ylabel`` names. ``reference``: a label and a level to compare with.
    A line labelled with a path's name has that path's colour and marker.
    ``log_x`` spaces 1, 10, 100 … evenly and marks the given x.
    Raises InputError when the shapes differ. Defined in lesson 06.
    """
    x = np.asarray(x, dtype=float)
    lines = [np.atleast_2d(np.asarray(a, dtype=float)) for a in (values, low, high)]
    expected, given = (len(labels), x.size), [a.shape for a in lines]
    if any(shape != expected for shape in given):
        raise InputError(
            f"values, low and high must be (lines, points) = {expected}, one label for each line; "
            f"given: {', '.join(map(str, given))}"
        )
    with style():
        figure, ((axes,),) = panels(8, 3.8)
        for i, (line, lower, upper, label) in enumerate(zip(*lines, labels, strict=True)):
            look = _path_style(label, other=_LINE_STYLES[i % len(_LINE_STYLES)])
            _draw_line(axes, x, line, lower, upper, label, *look)
        if reference:
            axes.axhline(reference[1], color=GREY, linestyle="--", label=reference[0], zorder=0)
        if log_x:
            axes.set_xscale("log")
            axes.set_xticks(x, [f"{value:g}" for value in x])
            axes.minorticks_off()
        axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
        axes.grid(axis="y")
        if reference or any(labels):
            figure.legend(loc="outside lower center", ncols=4)
    return figure


def pareto(frame: pd.DataFrame, *, floor: float | None = None, chosen: str | None = None) -> Figure:
    """Draw candidates by size and agreement, and those that no other one beats as a staircase.

    ``frame``: indexed by name, with ``bytes``, ``agreement`` (0 to 1) and, for colours and
    markers, ``group``. ``floor``: the lowest agreement that is accepted, a dashed line.
    ``chosen``: the name of the candidate that gets a ring. 8 x 4.8 inches. Raises InputError when
    a column is missing, there are more than six groups, or ``chosen`` is not in the table.
    Defined in lesson 13.
    """
    _require_columns(frame, "bytes", "agreement", "group")
    groups = list(dict.fromkeys(frame["group"]))
    if len(groups) > len(_LINE_STYLES) or (chosen is not None and chosen not in frame.index):
        raise InputError(
            f"pareto draws up to {len(_LINE_STYLES)} groups and rings one of the table's names; "
            f"given: {len(groups)} groups, chosen={chosen!r}"
        )
    with style():
        figure, ((axes,),) = panels(8, 4.8)
        for group, (colour, marker) in zip(groups, _LINE_STYLES, strict=False):
            part = frame[frame["group"] == group]
            look = {"color": colour, "marker": marker, "s": 42, "alpha": 0.75, "zorder": 3}
            axes.scatter(part["bytes"] / 1000, 100 * part["agreement"], label=group, **look)
        _draw_front(axes, frame)
        if floor is not None:
            axes.axhline(100 * floor, color=GREY, linestyle="--", label="floor", zorder=1)
        if chosen is not None:
            _draw_ring(axes, frame.loc[chosen], chosen)
        axes.set(xlabel="size on disk (kB)", ylabel="agreement with float32 (%)")
        axes.grid()
        figure.legend(loc="outside lower center", ncols=4)
    return figure


def _draw_front(axes: Axes, frame: pd.DataFrame) -> None:
    """Steps, because nothing was measured between two points of the front."""
    front = frame[evaluate.pareto(frame["bytes"], frame["agreement"])].sort_values("bytes")
    axes.step(
        front["bytes"] / 1000,
        100 * front["agreement"],
        where="post",
        color=BLACK,
        linewidth=1.4,
        label="not beaten",
        zorder=2,
    )


def _draw_ring(axes: Axes, line: pd.Series, name: str) -> None:
    """The name stands to the upper left, where no candidate lies if this one is not beaten."""
    x, y = line["bytes"] / 1000, 100 * line["agreement"]
    axes.margins(x=0.1)
    axes.scatter(x, y, s=190, facecolor="none", edgecolor=BLACK, linewidth=2, zorder=4)
    place = {"xytext": (-4, 10), "textcoords": "offset points", "ha": "right"}
    axes.annotate(name, (x, y), fontweight="bold", **place)


def _draw_line(
    axes: Axes,
    x: np.ndarray,
    line: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    label: str,
    colour: str,
    marker: str,
) -> None:
    axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.errorbar(
        x,
        line,
        yerr=(line - low, high - line),
        fmt=f"-{marker}",
        color=colour,
        label=label,
        markersize=7,
        capsize=4,
        linewidth=1.8,
    )


def _path_style(name: str, other: tuple[str, str] = (GREY, "o")) -> tuple[str, str]:
    """A path's own colour and marker; ``other`` for another model."""
    return paths.ALL[name].look if name in paths.ALL else other


def _require_columns(frame: pd.DataFrame, *columns: str) -> None:
    missing = [column for column in columns if column not in frame]
    if missing or not len(frame):
        raise InputError(
            f"the table needs rows and the columns {', '.join(columns)}; "
            f"missing: {', '.join(missing) or 'the rows'}"
        )
