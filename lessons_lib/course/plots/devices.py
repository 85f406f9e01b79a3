"""A model on a small machine: where its instructions, its flash and its memory go."""

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lessons_lib.course.plots.drawing import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    YELLOW,
    panels,
    style,
)
from lessons_lib.targets.arena import Plan

_TINTS = (SKY, ORANGE, GREEN, YELLOW, PURPLE)
_HATCHES = ("", "//", "..", "\\\\", "xx")


def costs_by_layer(instructions: Mapping[str, int], flash: Mapping[str, int]) -> Figure:
    """Draw the instructions and the bytes of flash of each layer: bars, one row a layer.

    ``instructions`` and ``flash``: numbers by layer, as ``Run.by_layer`` and ``Image.by_layer`` of
    ``board`` have them; a row that only one of them has is drawn for it alone. Defined in lesson
    17.
    """
    rows = list(dict.fromkeys([*instructions, *flash]))
    with style():
        figure, ((left, right),) = panels(11, 1.2 + 0.36 * len(rows), columns=2, sharey=True)
        _bars(left, rows, instructions, "instructions", BLUE, "")
        _bars(right, rows, flash, "bytes of flash", ORANGE, "//")
        left.set_yticks(range(len(rows)), rows)
        left.set_ylim(len(rows) - 0.4, -0.6)
    return figure


def _bars(axes: Axes, rows: list[str], numbers: Mapping[str, int], what: str, colour, hatch):
    total = sum(numbers.values())
    for row, name in enumerate(rows):
        if name in numbers:
            axes.barh(row, numbers[name], color=colour, hatch=hatch, edgecolor="white")
            share = numbers[name] / max(1, total)
            told = f"{share:.0%}" if share >= 0.005 or not share else "<1%"
            text = f" {numbers[name]:,} ({told})"
            axes.text(numbers[name], row, text, va="center", fontsize=10)
    axes.set_title(f"{total:,} {what}")
    axes.set_xlim(0, 1.5 * max(numbers.values(), default=1))
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def arena(plan: Plan) -> Figure:
    """Draw where tensors lie over time: a box for each, from operator to operator, byte to byte.

    A name stands in its box where there is room, and else beside it. Defined in lesson 17.
    """
    last = max((place.last for place in plan.places), default=0)
    with style():
        inches = min(14, 4.5 + 0.75 * (last + 1))
        figure, ((axes,),) = panels(inches, 5.2)
        letters = 11 * inches / (last + 1)  # that have room above one operator
        for number, place in enumerate(sorted(plan.places, key=lambda p: (p.first, p.offset))):
            _box(axes, place, number, plan.size, letters)
        axes.axhline(plan.size, color=BLACK, linewidth=1, linestyle="--")
        axes.set_xlim(-0.6, last + 0.6)
        axes.set_ylim(0, 1.06 * plan.size)
        axes.set_xticks(range(last + 1))
        axes.set(xlabel="operator", ylabel="offset in the arena, bytes")
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.set_title(f"An arena of {plan.size:,} bytes")
    return figure


def _box(axes: Axes, place, number: int, whole: int, letters: float) -> None:
    """A name that does not fit into its box stands above it, in a box of its own."""
    width, look = place.last - place.first + 1, number % len(_TINTS)
    axes.bar(
        place.first - 0.48, place.size, width - 0.04, place.offset, align="edge",
        color=_TINTS[look], hatch=_HATCHES[look], edgecolor=BLACK, linewidth=1,
    )  # fmt: skip
    flat, middle = place.size < 0.1 * whole, (place.first + place.last) / 2
    text = f"{place.name} ({place.used:,})" if flat else f"{place.name}\n{place.used:,}"
    room = letters * (width if width > 2 or not flat else 1)  # above flat boxes neighbours meet
    narrow = max(map(len, text.splitlines())) > room
    high = place.offset + (place.size / 2 if not flat else place.size + 0.01 * whole)
    axes.text(
        middle, high, text, ha="center", va="bottom" if flat else "center",
        rotation=90 if narrow else 0,
        fontsize=9, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1},
    )  # fmt: skip
