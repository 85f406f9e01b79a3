"""What happens along the layers, to one weight that learns, and in several trainings."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from lessons_lib.course.plots.drawing import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    PURPLE,
    VERMILION,
    panels,
    style,
)
from lessons_lib.errors import InputError

_LOOKS = ((BLUE, "o"), (VERMILION, "s"), (GREEN, "D"), (PURPLE, "^"))


def by_layer(
    lines: Mapping[str, Mapping[str, float]],
    *,
    ylabel: str,
    title: str,
    level: tuple[float, str] | None = None,
) -> Figure:
    """Draw one line a file: a value for each layer, in the order of execution.

    ``lines``: up to four, by the file's name; each maps a layer's name to its value, in the unit
    that ``ylabel`` names, and all have the same layers. ``level``: a height to compare with, and
    its name. 8 x 4 inches. Raises InputError when the layers differ or there are too many lines.
    Defined in lesson 11.
    """
    layers = [list(dict(line)) for line in lines.values()]
    if not layers or len(layers) > len(_LOOKS) or any(names != layers[0] for names in layers):
        raise InputError(
            f"by_layer draws 1 to {len(_LOOKS)} lines over the same layers; given: "
            f"{len(layers)} lines with {[len(names) for names in layers]} layers (lesson 11)"
        )
    with style():
        figure, ((axes,),) = panels(8, 4)
        for (name, line), (colour, marker) in zip(lines.items(), _LOOKS, strict=False):
            axes.plot([*dict(line).values()], color=colour, marker=marker, label=name)
        if level is not None:
            axes.axhline(level[0], color=GREY, linestyle="--", label=level[1])
        axes.set_xticks(range(len(layers[0])), layers[0], rotation=35, ha="right")
        axes.set(ylabel=ylabel, title=title)
        axes.grid(axis="y")
        axes.legend()
    return figure


def one_weight(shadow: ArrayLike, copy: ArrayLike, target: float, border: float) -> Figure:
    """Draw a shadow weight (N,) and its rounded copy (N,) over N training steps, in real units.

    ``target``: where the weight should go; ``border``: where the copy jumps. 8 x 3.8 inches.
    Defined in lesson 12.
    """
    steps = np.arange(np.size(copy))
    with style():
        figure, ((axes,),) = panels(8, 3.8)
        axes.step(steps, copy, where="mid", color=BLUE, linewidth=2, label="rounded copy")
        axes.plot(steps, shadow, "-o", color=VERMILION, markersize=3.5, label="shadow weight")
        axes.axhline(target, color=BLACK, linestyle="--", linewidth=1.2, label=f"target, {target}")
        axes.axhline(border, color=GREY, linestyle=":", linewidth=1.6, label="border of two codes")
        axes.set(title="The shadow weight climbs, its copy jumps")
        axes.set(xlabel="training step (number)", ylabel="weight (real units)")
        axes.grid(axis="y")
        axes.legend(loc="lower right")
    return figure


def straight_through(w: ArrayLike, stairs: ArrayLike, slope: ArrayLike, limit: float) -> Figure:
    """Draw fake quantization of ``w`` (N,) forwards, and the gradient (N,) it has backwards.

    ``stairs``: what is left of ``w``, in its unit; ``limit``: the end of the range. Two panels,
    9 x 3.6 inches. Defined in lesson 12.
    """
    with style():
        figure, ((left, right),) = panels(9, 3.6, columns=2)
        left.plot(w, stairs, color=BLUE, linewidth=2, label="fq(w), forwards")
        believed = np.clip(w, -limit, limit)
        left.plot(w, believed, "--", color=VERMILION, label="what the gradient believes")
        left.set(title="Forwards: a staircase", ylabel="fq(w) (real units)")
        left.legend(loc="upper left", fontsize=9.5)
        right.plot(w, slope, color=VERMILION, linewidth=2)
        right.set(title="Backwards: straight through", ylabel="gradient (no unit)")
        right.set(yticks=[0, 1], ylim=(-0.15, 1.35))
        for axes in (left, right):
            axes.set_xticks([-1, -limit, 0, limit, 1])
            axes.set_xlabel("w (real units)")
            axes.grid()
    return figure


def trainings(errors: Mapping[str, Mapping[str, ArrayLike]], first: str, second: str) -> Figure:
    """Draw the errors of several trainings for each way: a circle each, and a bar for their mean.

    ``errors``: by the title of a panel, then by the way's name, per cent (trainings,). The names
    that hold ``first`` are blue, the one called ``second`` is black, the others vermilion. Two or
    more panels that share their rows, 9.5 x 4.4 inches. Defined in lesson 12.
    """
    with style():
        figure, (row_of_axes,) = panels(9.5, 4.4, columns=len(errors), sharey=True)
        for axes, (title, ways) in zip(row_of_axes, errors.items(), strict=True):
            for row, (name, values) in enumerate(ways.items()):
                colour = BLACK if name == second else BLUE if first in name else VERMILION
                rows = np.full(np.size(values), row)
                axes.plot(values, rows, "o", color=colour, fillstyle="none")
                axes.plot(np.mean(values), row, "|", color=colour, ms=16, mew=2.5)
            axes.set(xscale="log", title=title, xlabel="errors (%): left is better")
            ends = np.min([*ways.values()]), np.max([*ways.values()])
            ticks = [n for n in (1, 2, 5, 10, 20, 50, 100) if ends[0] / 2 <= n <= 2 * ends[1]]
            axes.set_xticks(ticks, ticks)
            axes.minorticks_off()
            axes.grid(axis="x")
        row_of_axes[0].set_yticks(range(len(ways)), [*ways])
        row_of_axes[0].invert_yaxis()
        several = len(np.atleast_1d(values))
        figure.suptitle(f"A circle for each of {several} trainings; the bar is their mean")
    return figure
