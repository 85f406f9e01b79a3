"""A model on an NPU: when it computes, and when it waits."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from lessons_lib.course.plots.drawing import BLUE, ORANGE, panels, style
from lessons_lib.targets.npu import Fit


def npu_cycles(fits: Mapping[str, Fit]) -> Figure:
    """Draw the estimated cycles of compiled models: computing and, behind it, waiting for memory.

    ``fits``: by name, as ``npu.fits`` returns them; one bar each. Defined in lesson 18.
    """
    with style():
        figure, ((axes,),) = panels(9, 1.4 + 0.5 * len(fits))
        for row, fit in enumerate(fits.values()):
            computing = sum(op.computing for op in fit.operators)
            look = {"height": 0.62, "edgecolor": "white"}
            axes.barh(row, computing, color=BLUE, **look)
            axes.barh(row, fit.cycles - computing, left=computing, color=ORANGE, hatch="//", **look)
            told = f" {fit.cycles:,} cycles, {fit.milliseconds:.3f} ms"
            axes.text(fit.cycles, row, told, va="center", fontsize=10)
        axes.set_yticks(range(len(fits)), list(fits))
        axes.invert_yaxis()
        axes.set_xlim(0, 1.45 * max((fit.cycles for fit in fits.values()), default=1))
        axes.set_xlabel("cycles of one inference, as vela estimates them")
        axes.grid(axis="x")
        figure.legend(["computing", "waiting for a memory"], loc="outside upper left", ncols=2)
    return figure
