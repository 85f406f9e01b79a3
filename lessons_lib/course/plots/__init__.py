"""The course's figures: each takes plain values and returns a matplotlib Figure.

``plt.show()`` shows it. ``tree`` draws the decision tree, ``numbers`` how numbers are stored,
``integers`` a layer's codes, ``results`` what was measured, ``comparisons`` two ways,
``learning`` layers and trainings, ``devices`` a small machine, ``accelerators`` an
NPU.
"""

from lessons_lib.course.plots.accelerators import npu_cycles
from lessons_lib.course.plots.comparisons import clipped, how_sure, times_in_places, two_ranges
from lessons_lib.course.plots.devices import arena, costs_by_layer
from lessons_lib.course.plots.drawing import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    VERMILION,
    YELLOW,
    style,
)
from lessons_lib.course.plots.inside import chains
from lessons_lib.course.plots.integers import channels, near_ties, window
from lessons_lib.course.plots.learning import (
    by_layer,
    one_weight,
    straight_through,
    trainings,
)
from lessons_lib.course.plots.numbers import digits, float16_bits, histogram, staircase
from lessons_lib.course.plots.results import (
    byte_bars,
    drops,
    intensity,
    latency_bars,
    lines_with_intervals,
    pareto,
    scoreboard,
)
from lessons_lib.course.plots.tensors import (
    channel_errors,
    filter_stages,
    gaps,
    rounding_and_clipping,
)
from lessons_lib.course.plots.tree import decision_tree

__all__ = [
    "BLACK",
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "PALE",
    "PURPLE",
    "SKY",
    "VERMILION",
    "YELLOW",
    "arena",
    "by_layer",
    "byte_bars",
    "chains",
    "channel_errors",
    "channels",
    "clipped",
    "costs_by_layer",
    "decision_tree",
    "digits",
    "drops",
    "filter_stages",
    "float16_bits",
    "gaps",
    "histogram",
    "how_sure",
    "intensity",
    "latency_bars",
    "lines_with_intervals",
    "near_ties",
    "npu_cycles",
    "one_weight",
    "pareto",
    "rounding_and_clipping",
    "scoreboard",
    "staircase",
    "straight_through",
    "style",
    "times_in_places",
    "trainings",
    "two_ranges",
    "window",
]
