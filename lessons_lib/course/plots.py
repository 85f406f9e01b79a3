"""The course's figures: each takes plain values and returns a matplotlib Figure.

Colours are those of Okabe and Ito (jfly.uni-koeln.de/color, 2008), which colour-blind readers can
tell apart; a marker or a hatch says the same, so that a figure survives a grey print. The
background is solid white, readable in dark mode. Show a figure with ``plt.show()``.
"""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from matplotlib.ticker import LogLocator
from numpy.typing import ArrayLike

from lessons_lib.convert import paths
from lessons_lib.errors import InputError
from lessons_lib.judge import evaluate
from lessons_lib.numbers import affine, half_precision

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY, PALE = "#767676", "#EFEFEF"


_PART_STYLES = ((BLUE, ""), (ORANGE, "///"), (GREEN, "..."), (PURPLE, "xx"), (GREY, "\\\\"))

_LINE_STYLES = tuple(zip((BLUE, VERMILION, GREEN, PURPLE, ORANGE, BLACK), "osD^vP", strict=True))

_RC = {
    "figure.dpi": 100,
    "figure.facecolor": "white",
    "figure.constrained_layout.w_pad": 0.1,  # inches
    "figure.constrained_layout.h_pad": 0.1,
    "savefig.facecolor": "white",
    "axes.facecolor": "white",
    "axes.edgecolor": "#333333",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.labelsize": 11,
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "text.color": "black",
    "axes.labelcolor": "black",
    "xtick.color": "black",
    "ytick.color": "black",
    "grid.color": "#D9D9D9",
    "legend.frameon": False,
    "hatch.linewidth": 0.6,
}


def style():
    """Return a context in which matplotlib draws in the course's style, and only in it."""
    return plt.rc_context(_RC)


def _axes(width: float, height: float, rows: int = 1, columns: int = 1, **keywords):
    """A figure and its axes in the course's style; sizes in inches."""
    return plt.subplots(
        rows, columns, figsize=(width, height), layout="constrained", squeeze=False, **keywords
    )


# --- the decision tree -----------------------------------------------------------------------

_ROW, _TOP = 0.73, 0.02  # inches
_QUESTION_COLUMNS = ((0.08, 2.45), (3.0, 2.0))  # left edge and width, in inches
_LEAF_COLUMN = (5.55, 3.37)
_QUESTION_HEIGHT, _LEAF_HEIGHT = 0.46, 0.58


@dataclass(frozen=True)
class _Exit:
    """One way out of a question; ``column`` is None for a leaf."""

    answer: bool
    target: paths.Question | str
    column: int | None
    row: int


@dataclass(frozen=True)
class _Fork:
    question: paths.Question
    column: int
    row: int
    exits: tuple[_Exit, _Exit]  # to the right, and down


def decision_tree(highlight: str | None = None, values: Mapping[str, str] | None = None) -> Figure:
    """Draw the article's decision tree, its seven leaves, and where the reader is.

    ``highlight``: a path's name; the walk to it is drawn in blue, the leaf says "you are here".
    ``values``: for a path's name a short measured text, such as "64.6 kB · 96.9 %".
    Forks and leaves that the article does not have are dashed. 9 x 5.4 inches.
    Raises InputError for a name that is not a path. Defined in lesson 01.
    """
    values = values or {}
    for name in [*values, *([highlight] if highlight else [])]:
        paths.get(name)
    walked = _walk_to(paths.TREE, highlight) or {}
    with style():
        figure = plt.figure(figsize=(9, 5.4))
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 9), ylim=(5.4, 0))
        axes.axis("off")
        for fork in _forks(paths.TREE):
            _draw_question(axes, fork, fork.question.key in walked)
            for way in fork.exits:
                on_walk = walked.get(fork.question.key) is way.answer
                _draw_exit(axes, fork, way, on_walk)
                if isinstance(way.target, str):
                    _draw_leaf(axes, fork, way, on_walk, values.get(way.target, ""))
        axes.text(0.08, 5.27, "dashed: beyond the article", fontsize=10, va="center")
    return figure


def _walk_to(node: paths.Question | str, name: str | None) -> dict[str, bool] | None:
    """The answers, by question, that lead to a path; None when ``node`` does not lead there."""
    if isinstance(node, str):
        return {} if node == name else None
    for answer, branch in ((True, node.yes), (False, node.no)):
        rest = _walk_to(branch, name)
        if rest is not None:
            return {node.key: answer, **rest}
    return None


def _leaves(node: paths.Question | str) -> int:
    return 1 if isinstance(node, str) else _leaves(node.yes) + _leaves(node.no)


def _forks(question: paths.Question, column: int = 0, row: int = 0) -> list[_Fork]:
    """Place the tree: the smaller branch leaves to the right, the larger one goes on below."""
    small, large = sorted(((True, question.yes), (False, question.no)), key=lambda b: _leaves(b[1]))
    below = row + _leaves(small[1])
    aside = None if isinstance(small[1], str) else column + 1
    under = None if isinstance(large[1], str) else column
    fork = _Fork(question, column, row, (_Exit(*small, aside, row), _Exit(*large, under, below)))
    further = [
        _forks(way.target, way.column, way.row) for way in fork.exits if way.column is not None
    ]
    return [fork, *(placed for forks in further for placed in forks)]


def _middle(row: int) -> float:
    return _TOP + (row + 0.5) * _ROW


def _draw_box(
    axes: Axes,
    left: float,
    width: float,
    height: float,
    row: int,
    on_walk: bool,
    dashed: bool,
) -> None:
    axes.add_patch(
        FancyBboxPatch(
            (left, _middle(row) - height / 2),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.08",
            facecolor="#DCEBF5" if on_walk else "white",
            edgecolor=BLUE if on_walk else "#333333",
            linestyle=(0, (4, 2)) if dashed else "-",
            linewidth=2.4 if on_walk else 1.2,
        )
    )


def _draw_question(axes: Axes, fork: _Fork, on_walk: bool) -> None:
    left, width = _QUESTION_COLUMNS[fork.column]
    _draw_box(axes, left, width, _QUESTION_HEIGHT, fork.row, on_walk, not fork.question.in_article)
    text = textwrap.fill(fork.question.text, int(width * 10.5))
    axes.text(left + width / 2, _middle(fork.row), text, ha="center", va="center", fontsize=11)


def _draw_exit(axes: Axes, fork: _Fork, way: _Exit, on_walk: bool) -> None:
    points = _route(fork, way)
    look = {"color": BLUE if on_walk else "#333333", "linewidth": 3 if on_walk else 1.2}
    axes.plot(*zip(*points[:-1], strict=True), solid_joinstyle="miter", zorder=0, **look)
    arrow = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0, "mutation_scale": 14, **look}
    axes.annotate("", points[-1], points[-2], arrowprops=arrow)
    (x, y), aside = points[0], way.row == fork.row
    axes.text(
        x + (0.2 if aside else 0.1),
        y + (-0.05 if aside else 0.13),
        "yes" if way.answer else "no",
        ha="center" if aside else "left",
        va="bottom" if aside else "center",
        fontsize=10,
        fontweight="bold" if on_walk else "normal",
    )


def _route(fork: _Fork, way: _Exit) -> list[tuple[float, float]]:
    """The corners of the line from a question to where an answer leads."""
    left, width = _QUESTION_COLUMNS[fork.column]
    target = (_LEAF_COLUMN if way.column is None else _QUESTION_COLUMNS[way.column])[0]
    here, there = _middle(fork.row), _middle(way.row)
    if way.row == fork.row:
        return [(left + width, here), (target, there)]
    start = (left + width / 2, here + _QUESTION_HEIGHT / 2)
    if way.column is None:
        return [start, (start[0], there), (target, there)]
    return [start, (start[0], there - _QUESTION_HEIGHT / 2)]


def _draw_leaf(axes: Axes, fork: _Fork, way: _Exit, on_walk: bool, value: str) -> None:
    left, width = _LEAF_COLUMN
    path = paths.get(way.target)
    _draw_box(axes, left, width, _LEAF_HEIGHT, way.row, on_walk, not fork.question.in_article)
    upper, lower = _middle(way.row) - 0.12, _middle(way.row) + 0.14
    start, end = left + 0.1, left + width - 0.1
    axes.text(start, upper, path.name, fontweight="bold", fontsize=12, va="center")
    axes.text(start, lower, f"{path.input_dtype} in and out", fontsize=10, va="center")
    axes.text(end, lower, value, ha="right", va="center", fontsize=10.5)
    if on_walk:
        axes.text(
            end, upper, "you are here", ha="right", va="center", color=BLUE, fontweight="bold"
        )


# --- numbers and how they are stored ---------------------------------------------------------


def digits(images: np.ndarray, titles: Sequence[str] | None = None, columns: int = 10) -> Figure:
    """Draw images in rows of ``columns``, each under its title.

    ``images``: (N, H, W), (N, H, W, 1) or (N, H, W, 3), uint8 or floats; each grey image is drawn
    between its own darkest and brightest pixel. ``titles``: N short texts.
    Raises InputError when there is no image, the shape is another one, or the lengths differ.
    """
    images = np.asarray(images)
    if images.ndim not in (3, 4) or not len(images) or images.shape[3:] not in ((), (1,), (3,)):
        raise InputError(
            f"digits draws images of shape (N, H, W), (N, H, W, 1) or (N, H, W, 3); "
            f"given: {images.shape}"
        )
    if titles is not None and len(titles) != len(images):
        raise InputError(f"{len(images)} images need {len(images)} titles; given: {len(titles)}")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    with style():
        height = rows * (0.95 if titles is None else 1.2)
        figure, axes = _axes(0.95 * columns, height, rows, columns)
        for axis in axes.flat:
            axis.axis("off")
        for i, (axis, image) in enumerate(zip(axes.flat, images, strict=False)):
            axis.imshow(image, cmap="gray_r", interpolation="nearest")
            axis.set_title("" if titles is None else titles[i], loc="center", fontsize=11)
    return figure


def histogram(
    values: ArrayLike,
    title: str,
    unit: str,
    levels: ArrayLike | None = None,
    bins: int = 80,
) -> Figure:
    """Draw how often values occur, and under them, if asked, the levels that quantization keeps.

    ``values``: numbers of any shape, in ``unit``. ``levels``: the real numbers that the integer
    codes stand for, in the same unit; what lies outside them is hatched: it saturates.
    Raises InputError when there is no value or one is not finite. Defined in lesson 03.
    """
    values = np.asarray(values, dtype=float).ravel()
    if not values.size or not np.isfinite(values).all():
        raise InputError("a histogram needs at least one value, and only finite ones")
    with style():
        figure, ((axes,),) = _axes(8, 3.4)
        axes.hist(values, bins=bins, color=SKY, edgecolor=BLUE, linewidth=0.4)
        axes.set(title=title, xlabel=f"value ({unit})", ylabel="how many (values per bin)")
        axes.grid(axis="y")
        axes.margins(x=0.02)
        if levels is not None:
            _mark_levels(axes, np.asarray(levels, dtype=float))
    return figure


def _mark_levels(axes: Axes, levels: np.ndarray) -> None:
    left, right = axes.get_xlim()
    left, right = min(left, levels.min()), max(right, levels.max())
    axes.vlines(
        levels,
        -0.09,
        -0.02,
        transform=axes.get_xaxis_transform(),
        color=VERMILION,
        linewidth=0.8,
        clip_on=False,
    )
    axes.tick_params(axis="x", pad=16)
    axes.set_title(f"{levels.size} levels", loc="right", color=VERMILION)
    _mark_clipping(axes, levels.min(), levels.max(), left, right, height=0.88)
    axes.set_xlim(left, right)


def staircase(scale: float, zero_point: int, num_bits: int = 8, signed: bool = True) -> Figure:
    """Draw ``dequantize(quantize(x))`` against x, where it is clipped, and its error.

    ``scale`` in real units per integer step; few bits (3 or 4) show the steps. Inside the range
    the error stays within half a step; outside, the result stands still: it saturates.
    Raises what ``affine.quantize`` raises. Defined in lesson 03.
    """
    low, high = _range_of_grid(scale, zero_point, num_bits, signed)
    margin = 0.2 * (high - low)
    x = np.linspace(low - margin, high + margin, 4001)
    q = affine.quantize(x, scale, zero_point, num_bits, signed)
    y = affine.dequantize(q, scale, zero_point)
    with style():
        figure, axes = _axes(8, 5, rows=2, sharex=True, height_ratios=(2.4, 1))
        steps, error = axes[:, 0]
        _draw_steps(steps, x, y, _grid_title(scale, zero_point, num_bits, signed))
        _draw_error(error, x, y - x, scale)
        for panel, height in ((steps, 0.5), (error, None)):
            panel.legend(loc="upper left", bbox_to_anchor=(0.15, 1))
            _mark_clipping(panel, low - scale / 2, high + scale / 2, x[0], x[-1], height)
        error.set_xlim(x[0], x[-1])
        _add_code_axis(steps, scale, zero_point, num_bits, signed)
    return figure


def _range_of_grid(
    scale: float, zero_point: int, num_bits: int, signed: bool
) -> tuple[float, float]:
    ends = affine.integer_range(num_bits, signed)
    low, high = affine.dequantize(np.array(ends), scale, zero_point).astype(float)
    return low, high


def _draw_steps(axes: Axes, x: np.ndarray, y: np.ndarray, title: str) -> None:
    axes.plot(x, x, color=GREY, linestyle="--", label="x itself")
    axes.plot(x, y, color=BLUE, linewidth=2, label="dequantize(quantize(x))")
    axes.set(title=title, ylabel="result (real units)")


def _draw_error(axes: Axes, x: np.ndarray, error: np.ndarray, scale: float) -> None:
    axes.plot(x, error, color=VERMILION, linewidth=1.2)
    axes.axhspan(-scale / 2, scale / 2, color=PALE, zorder=0, label="± scale / 2")
    axes.set(xlabel="x (real units)", ylabel="error (real units)", ylim=(-2 * scale, 2 * scale))


def _add_code_axis(axes: Axes, scale: float, zero_point: int, num_bits: int, signed: bool) -> None:
    """Say on the right-hand side which integer each step is stored as."""
    to_code, to_real = (lambda y: y / scale + zero_point), (lambda q: (q - zero_point) * scale)
    codes = axes.secondary_yaxis("right", functions=(to_code, to_real))
    codes.set_ylabel("code (integer)")
    qmin, qmax = affine.integer_range(num_bits, signed)
    codes.set_yticks(range(qmin, qmax + 1, 2 ** max(0, num_bits - 3)))


def _grid_title(scale: float, zero_point: int, num_bits: int, signed: bool) -> str:
    qmin, qmax = affine.integer_range(num_bits, signed)
    return f"scale {scale:.4g}, zero_point {zero_point}, codes {qmin} to {qmax}"


def _mark_clipping(
    axes: Axes, low: float, high: float, left: float, right: float, height: float | None = None
) -> None:
    """Hatch what lies beyond low..high; say so at ``height`` (0 to 1) where there is room."""
    for start, end in ((left, low), (high, right)):
        axes.axvspan(start, end, facecolor="white", edgecolor="#B0B0B0", hatch="//", zorder=0)
        if height is not None and end - start > 0.09 * (right - left):
            axes.text(
                (start + end) / 2,
                height,
                "clipped",
                transform=axes.get_xaxis_transform(),
                ha="center",
                fontsize=10,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
            )


def float16_bits(value: float) -> Figure:
    """Draw the 16 bits of ``value`` rounded to float16, and how they make the number.

    ``(-1)**sign * 2**(exponent - 15) * (1 + fraction / 1024)``; an exponent of 0 means
    ``2**-14 * (fraction / 1024)``, one of 31 infinity or NaN. Raises what ``half_precision.bits``
    raises. Defined in lesson 03; IEEE 754, binary16.
    """
    parts = half_precision.bits(value)
    names = ("sign", "exponent", "fraction")
    with style():
        figure = plt.figure(figsize=(8, 2.3))
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 8), ylim=(2.3, 0))
        axes.axis("off")
        axes.text(0.15, 0.3, f"{value} in float16", fontsize=12, fontweight="bold", va="center")
        left = 0.15
        tints = ("#F6D5BF", "#BFE3D8", "#CFE8F7")
        for bits, name, tint in zip(parts, names, tints, strict=True):
            _draw_bits(axes, left, bits, f"{name} = {int(bits, 2)}", tint)
            left += _BIT * len(bits) + (0.5 if name == "sign" else 0.2)
        axes.text(0.15, 1.98, _float16_formula(value, *parts), fontsize=13, va="center")
    return figure


_BIT = 0.43  # inches


def _draw_bits(axes: Axes, left: float, bits: str, name: str, tint: str) -> None:
    for i, bit in enumerate(bits):
        place = left + _BIT * i
        axes.add_patch(Rectangle((place, 0.6), _BIT, 0.6, facecolor=tint, edgecolor="black"))
        axes.text(
            place + _BIT / 2, 0.9, bit, ha="center", va="center", fontsize=17, family="monospace"
        )
    axes.text(left, 1.42, name, va="center", fontsize=11)


def _float16_formula(value: float, sign: str, exponent: str, fraction: str) -> str:
    power, part = int(exponent, 2), int(fraction, 2)
    signed = "-" if sign == "1" else "+"
    with np.errstate(over="ignore"):  # above 65504 is infinity in float16: no surprise
        result = f"{float(np.float16(value)):.10g}"
    if power == 31:
        return f"all exponent bits set: {result}"
    if power == 0:
        return rf"${signed}\,2^{{-14}} \times {part}/1024$ = {result}"
    return rf"${signed}\,2^{{{power} - 15}} \times (1 + {part}/1024)$ = {result}"


# --- size, accuracy, speed -------------------------------------------------------------------


def byte_bars(budgets: Mapping[str, pd.Series]) -> Figure:
    """Draw where each file's bytes go, one stacked bar a file, in kB (1 kB = 1,000 bytes).

    ``budgets``: for each file's name a Series of bytes, as ``tables.byte_budget`` returns it.
    Raises InputError when there is no file or more than five parts. Defined in lesson 02.
    """
    table = pd.DataFrame(dict(budgets)).fillna(0) / 1000
    if table.empty or len(table) > len(_PART_STYLES):
        raise InputError(f"byte_bars draws 1 to {len(_PART_STYLES)} parts of at least one file")
    with style():
        figure, ((axes,),) = _axes(8, 1.3 + 0.42 * table.shape[1])
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
        figure, ((size, accuracy),) = _axes(9, 1.3 + 0.4 * len(frame), columns=2, sharey=True)
        for row, (name, line) in enumerate(frame.iterrows()):
            look = _path_style(name)
            size.barh(row, line["bytes"] / 1000, color=look[0], height=0.6)
            _write_beside(size, f"{line['bytes'] / 1000:,.1f}", line["bytes"] / 1000, row)
            _draw_interval(accuracy, row - 0.16, line[_ACCURACY["clean"]], *look)
            _draw_interval(accuracy, row + 0.16, line[_ACCURACY["hard"]], *look, hollow=True)
        size.set(title="Size", xlabel="size on disk (kB)")
        size.set_xlim(0, 1.2 * frame["bytes"].max() / 1000)
        size.set_yticks(range(len(frame)), frame.index)
        size.invert_yaxis()
        if "float32" in frame.index:
            for column in ("accuracy", "accuracy_hard"):
                reference = 100 * frame.loc["float32", column]
                accuracy.axvline(reference, color=GREY, linestyle=":", zorder=0)
        accuracy.set(title="Accuracy: clean filled, hard hollow")
        accuracy.set(xlabel="accuracy (%), 95 % interval; dotted: float32")
        accuracy.grid(axis="x")
        accuracy.margins(x=0.12)
    return figure


_ACCURACY = {
    "clean": ["accuracy", "accuracy_low", "accuracy_high"],
    "hard": ["accuracy_hard", "accuracy_hard_low", "accuracy_hard_high"],
}


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
        figure, ((axes,),) = _axes(8, 1.1 + 0.42 * len(frame))
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
        figure, ((axes,),) = _axes(8, 4.4)
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
    _require_lines((len(labels), x.size), [a.shape for a in lines])
    with style():
        figure, ((axes,),) = _axes(8, 3.8)
        for i, (line, lower, upper, label) in enumerate(zip(*lines, labels, strict=True)):
            look = (
                paths.ALL[label].look if label in paths.ALL else _LINE_STYLES[i % len(_LINE_STYLES)]
            )
            _draw_line(axes, x, line, lower, upper, label, *look)
        if reference:
            axes.axhline(reference[1], color=GREY, linestyle="--", label=reference[0], zorder=0)
        if log_x:
            _space_evenly(axes, x)
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
        figure, ((axes,),) = _axes(8, 4.8)
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


def _require_lines(expected: tuple[int, int], given: list[tuple[int, ...]]) -> None:
    if any(shape != expected for shape in given):
        raise InputError(
            f"values, low and high must be (lines, points) = {expected}, one label for each line; "
            f"given: {', '.join(map(str, given))}"
        )


def _space_evenly(axes: Axes, x: np.ndarray) -> None:
    """A logarithmic axis with a mark at each point of the lines and no other."""
    axes.set_xscale("log")
    axes.set_xticks(x, [f"{value:g}" for value in x])
    axes.minorticks_off()


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


def _path_style(name: str) -> tuple[str, str]:
    """A path's own colour and marker, grey and a circle for another model."""
    return paths.ALL[name].look if name in paths.ALL else (GREY, "o")


def _require_columns(frame: pd.DataFrame, *columns: str) -> None:
    missing = [column for column in columns if column not in frame]
    if missing or not len(frame):
        raise InputError(
            f"the table needs rows and the columns {', '.join(columns)}; "
            f"missing: {', '.join(missing) or 'the rows'}"
        )
