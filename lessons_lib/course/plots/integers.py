"""Integers of a layer: one sum of products, where two runtimes differ, channels of one scale."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from lessons_lib.course.plots.drawing import BLUE, GREY, SKY, VERMILION, panels, style
from lessons_lib.errors import InputError

_MARKERS = (("s", SKY), ("o", VERMILION), ("^", BLUE))


def window(grids: Mapping[str, ArrayLike], way: str) -> Figure:
    """Draw small tables of integers side by side, orange above 0 and violet below, and one line.

    ``grids``: tables (H, W) by title; ``way``: what is done with the last, written below them.
    Raises InputError when there is no table or one has another number of axes.
    Defined in lesson 09.
    """
    tables = {title: np.asarray(values) for title, values in grids.items()}
    if not tables or any(values.ndim != 2 for values in tables.values()):
        shapes = [values.shape for values in tables.values()]
        raise InputError(f"window draws tables of shape (H, W); given: {shapes} (lesson 09)")
    with style():
        figure, axes = panels(2.25 * len(tables), 2.8, 1, len(tables))
        for axis, (title, values) in zip(axes.flat, tables.items(), strict=True):
            limit = max(12, np.abs(values).max())
            axis.imshow(values, cmap="PuOr_r", vmin=-limit, vmax=limit)
            axis.set(title=title, xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            for (row, column), value in np.ndenumerate(values):
                color = "white" if abs(value) > 0.55 * limit else "black"
                text = f"{value}".replace("-", "−")
                axis.text(column, row, text, ha="center", va="center", fontsize=15, color=color)
        figure.supxlabel(way.replace("-", "−"), fontsize=12)
    return figure


def near_ties(near: ArrayLike, unequal: ArrayLike, shifts: Sequence[int], title: str) -> Figure:
    """Draw how far codes lie from a tie, those on which two runtimes differ in front.

    ``near``: all distances (N,) from the nearest tie, in steps of the output; ``unequal``: those of
    the codes that differ; ``shifts``: the bits n of the second rounding, whose reach to the left of
    the tie, 2**-(n+1), is dashed. Defined in lesson 09.
    """
    near, unequal = np.asarray(near, float), np.asarray(unequal, float)
    reach = 2.0 ** -min(shifts, default=9)
    edges = np.linspace(-reach, reach, 65)
    with style():
        figure, ((axes,),) = panels(8, 3.8)
        counts, _, _ = axes.hist(near, edges, color=GREY, alpha=0.55, label="codes near a tie")
        axes.hist(unequal, edges, color=VERMILION, hatch="///", label="the two differ")
        top = 1.45 * max(1, counts.max())
        axes.axvline(0, ymax=0.82, color="black", linewidth=1.5)
        axes.text(0, 0.84 * top, "tie", ha="center", fontsize=10)
        for n in shifts:
            edge = -(2.0 ** -(n + 1))
            axes.axvline(edge, ymax=0.82, color=BLUE, linestyle="--", linewidth=1.5)
            axes.text(edge, 0.84 * top, f"n = {n}", color=BLUE, ha="center", fontsize=10)
        axes.set(ylim=(0, top), title=title, ylabel="codes")
        axes.set_xlabel("distance of M · sum from a tie (steps of the output)")
        axes.legend(loc="upper right", ncols=2)
    return figure


def channels(layers: Mapping[str, Mapping[str, ArrayLike]], limit_of: str) -> Figure:
    """Draw the largest weight of each channel, a panel a layer, a marker a state of the network.

    ``layers``: by layer and state, positive numbers (channels,); two or three states. The channels
    stand in the order of state ``limit_of``, whose loudest one sets the dashed line: half a step of
    one int8 scale for all, below which a whole channel is rounded to 0. Logarithmic.
    Raises InputError when a layer has no such state. Defined in lesson 10.
    """
    if not layers or any(limit_of not in states for states in layers.values()):
        raise InputError(f"each layer needs the state {limit_of!r} (lesson 10)")
    with style():
        figure, axes = panels(5 * len(layers), 4, 1, len(layers), sharey=True)
        for axis, (layer, states) in zip(axes.flat, layers.items(), strict=True):
            order = np.argsort(states[limit_of])
            for (state, values), (marker, colour) in zip(states.items(), _MARKERS, strict=False):
                size, fill = (10, "none") if state == limit_of else (6, "full")
                look = {"color": colour, "markersize": size, "fillstyle": fill, "label": state}
                axis.semilogy(np.asarray(values)[order], marker, **look)
            half_step = np.max(states[limit_of]) / 254
            label = f"below: all 0, when {limit_of} and per-tensor"
            axis.axhline(half_step, color=VERMILION, linestyle="--", linewidth=1, label=label)
            axis.set(title=layer, xlabel=f"channel (in the order of “{limit_of}”)")
            axis.grid(axis="y")
        axes.flat[0].set_ylabel("largest weight (as it is)")
        handles, labels = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure
