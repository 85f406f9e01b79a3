"""The figures of a layer's integers show what they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

import test_plots
from lessons_lib import plots
from lessons_lib.errors import InputError

GRIDS = {"codes": [[3, -1], [7, 1]], "products": [[-36, 0], [-48, 6]]}
NEAR, UNEQUAL = np.linspace(-(2**-9), 2**-9, 401), np.linspace(-(2**-10), -1e-6, 30)
CHANNELS = {
    name: {
        "as trained": np.geomspace(0.2, 1, 8),
        "stretched": np.geomspace(0.2, 1, 8) * np.array([1, 32] * 4),
        "equalized": np.geomspace(0.3, 0.6, 8),
    }
    for name in ("stem", "block1_depthwise")
}
FIGURES = {
    "window": lambda: plots.window(GRIDS, "sum -78, + bias -22: -100"),
    "near ties": lambda: plots.near_ties(NEAR, UNEQUAL, (9, 10), "Where two runtimes differ"),
    "channels": lambda: plots.channels(CHANNELS, "stretched"),
}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
class TestEveryFigure:
    rules = test_plots.TestEveryFigure
    test_small = rules.test_it_is_a_small_png_at_100_dpi_on_solid_white
    test_nothing_is_clipped = rules.test_nothing_is_clipped_at_the_edge
    test_no_text_lies_on_another = rules.test_no_text_lies_on_another
    test_style = rules.test_the_global_style_stays_as_it_was


def test_a_window_shows_every_number_with_a_real_minus_sign():
    shown = test_plots.words(FIGURES["window"]())
    assert {"3", "−1", "7", "1", "−36", "0", "−48", "6", "codes", "products"} <= {*shown}
    assert "sum −78, + bias −22: −100" in shown


def test_the_reach_of_the_first_rounding_is_dashed():
    axes = FIGURES["near ties"]().axes[0]
    drawn = [line.get_xdata()[0] for line in axes.lines]
    assert drawn == [0, -(2**-10), -(2**-11)]
    heights = [patch.get_height() for patch in axes.patches]
    assert sum(heights) == NEAR.size + UNEQUAL.size


def test_channels_stand_in_the_order_of_the_stretched_ones_above_half_a_step():
    for axes, (name, states) in zip(FIGURES["channels"]().axes, CHANNELS.items(), strict=True):
        assert axes.get_title(loc="left") == name
        assert axes.get_yscale() == "log"
        *drawn, limit = axes.lines
        stretched = np.asarray(drawn[1].get_ydata())
        assert (np.diff(stretched) > 0).all()
        order = np.argsort(states["stretched"])
        np.testing.assert_array_equal(drawn[0].get_ydata(), states["as trained"][order])
        assert limit.get_ydata()[0] == pytest.approx(stretched.max() / 254)


@pytest.mark.parametrize("grids", [{}, {"a": [1, 2]}, {"a": np.zeros((2, 2, 1))}])
def test_a_window_is_of_tables(grids):
    with pytest.raises(InputError, match=r"shape \(H, W\).*lesson 09"):
        plots.window(grids, "")


@pytest.mark.parametrize("layers", [{}, {"stem": {"as trained": [1.0]}}])
def test_the_state_that_sets_the_order_is_needed(layers):
    with pytest.raises(InputError, match=r"needs the state 'stretched'.*lesson 10"):
        plots.channels(layers, "stretched")
