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
        look = {"height": 0.62, "edgecolor": "white"}
        for name, fit in fits.items():
            computing = sum(op.computing for op in fit.operators)
            axes.barh(name, computing, color=BLUE, **look)
            waiting = fit.cycles - computing
            axes.barh(name, waiting, left=computing, color=ORANGE, hatch="//", **look)
            told = f" {fit.cycles:,} cycles, {fit.milliseconds:.3f} ms"
            axes.text(fit.cycles, name, told, va="center", fontsize=10)
        axes.invert_yaxis()
        axes.set_xlim(0, 1.45 * max((fit.cycles for fit in fits.values()), default=1))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_xlabel("estimated time of one inference (cycles)")
        axes.grid(axis="x")
        figure.legend(["computing", "waiting for memory"], loc="outside upper left", ncols=2)
    return figure
