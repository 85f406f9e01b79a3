"""The article's decision tree."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from lessons_lib.convert import paths
from lessons_lib.course.plots.drawing import BLUE, style
from lessons_lib.errors import InputError

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
    """Draw the article's decision tree, its leaves, and where the reader is.

    ``highlight``: a path's name; the walk to it is drawn in blue, the leaf says "you are here".
    ``values``: for a path's name a short measured text, such as "64.6 kB · 96.9 %"; those of
    paths to which no question leads are not drawn. Forks and leaves that the article does not
    have are dashed. 9 inches wide, for seven leaves 5.4 high. Raises InputError for a name that
    is not a path, and for a ``highlight`` to which no question leads. Defined in lesson 01.
    """
    values = values or {}
    for name in [*values, *([highlight] if highlight else [])]:
        paths.get(name)
    walked = _walk_to(paths.TREE, highlight)
    if highlight and walked is None:
        raise InputError(f"no question of the tree leads to {highlight!r} (lesson 08)")
    walked, height = walked or {}, _TOP + _leaves(paths.TREE) * _ROW + 0.27
    with style():
        figure = plt.figure(figsize=(9, height))
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 9), ylim=(height, 0))
        axes.axis("off")
        for fork in _forks(paths.TREE):
            _draw_question(axes, fork, fork.question.key in walked)
            for way in fork.exits:
                on_walk = walked.get(fork.question.key) is way.answer
                _draw_exit(axes, fork, way, on_walk)
                if isinstance(way.target, str):
                    _draw_leaf(axes, fork, way, on_walk, values.get(way.target, ""))
        axes.text(0.08, height - 0.13, "dashed: beyond the article", fontsize=10, va="center")
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
