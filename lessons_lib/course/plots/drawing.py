"""Colours and style of the figures, and what more than one of them draws.

Colours are those of Okabe and Ito (jfly.uni-koeln.de/color, 2008), which colour-blind readers can
tell apart; a marker or a hatch says the same, so that a figure survives a grey print. The
background is solid white, readable in dark mode.
"""

import matplotlib.pyplot as plt

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY, PALE = "#767676", "#EFEFEF"

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


def panels(width: float, height: float, rows: int = 1, columns: int = 1, **keywords):
    """A figure and its axes in the course's style; sizes in inches."""
    return plt.subplots(
        rows, columns, figsize=(width, height), layout="constrained", squeeze=False, **keywords
    )
