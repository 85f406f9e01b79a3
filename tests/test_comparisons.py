"""The figures that put two ways beside each other show what they are given."""

import io

import matplotlib
import numpy as np
import pandas as pd
import pytest

matplotlib.use("Agg")
from lessons_lib import plots

TIMES = pd.DataFrame(
    {"float32": [12.0, 60.0, 2400.0], "uint8": [14.0, 30.0, 300.0]},
    index=["one_layer", "mnist_cnn", "wide_mlp"],
)
TOPS, AVERAGES = np.array([4.0, 9.0]), np.array([2.0, 5.0])

FIGURES = {
    "two ranges": lambda: plots.two_ranges(["0  CONV_2D", "1  ADD"], TOPS, AVERAGES, TOPS),
    "clipped": lambda: plots.clipped([1, 2, 3], {"a": [1, 2, 3], "b": [1, 2, 2]}, 2),
    "how sure": lambda: plots.how_sure({"one": [0.5, 0.9], "other": [0.99, 1.0, 0.7]}),
    "times": lambda: plots.times_in_places({"browser": TIMES, "Python": TIMES / 5}),
}


def words(figure):
    figure.canvas.draw()
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


@pytest.fixture(params=FIGURES)
def figure(request):
    made = FIGURES[request.param]()
    yield made
    matplotlib.pyplot.close(made)


def test_a_figure_is_a_small_png_with_named_axes(figure):
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=100)
    assert 4_000 < len(stream.getvalue()) < 100_000
    assert all(axes.get_xlabel() for axes in figure.axes)


def test_ranges_are_drawn_where_they_end():
    (axes,) = FIGURES["two ranges"]().axes
    drawn = {dots.get_label(): dots.get_offsets().data for dots in axes.collections[1:]}
    assert drawn["extreme"][:, 0].tolist() == TOPS.tolist()
    assert drawn["moving average (LiteRT's file)"][:, 0].tolist() == AVERAGES.tolist()
    assert {"0  CONV_2D", "1  ADD"} <= set(words(axes.figure))


def test_the_ceiling_is_dashed_and_at_its_height():
    (axes,) = FIGURES["clipped"]().axes
    (line,) = axes.lines
    assert (line.get_linestyle(), line.get_ydata()[0]) == ("--", 2)
    assert [len(dots.get_offsets()) for dots in axes.collections] == [3, 3]


def test_shares_fall_from_all_answers_to_one():
    (axes,) = FIGURES["how sure"]().axes
    one, other = axes.lines
    assert (one.get_xdata().tolist(), one.get_ydata().tolist()) == ([0.5, 0.9], [100, 50])
    assert other.get_ydata()[-1] == pytest.approx(100 / 3)


def test_each_line_says_how_many_times_faster():
    said = words(FIGURES["times"]())
    assert [word for word in said if word.endswith("x")] == ["0.9x"] * 2 + ["2.0x"] * 2 + [
        "8.0x"
    ] * 2
    assert "wide_mlp, Python" in said
