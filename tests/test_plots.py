"""The figures: what they show, and that they can be read."""

import io
import itertools
import re

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axis import Axis
from matplotlib.patches import FancyBboxPatch
from matplotlib.text import Text

from lessons_lib import affine, half_precision, npu, paths, plots
from lessons_lib.errors import InputError
from verdicts import network

matplotlib.use("agg")

VALUES = {name: f"{231.04 / (i + 1):.1f} kB · 96.9 %" for i, name in enumerate(paths.PATHS)}
RNG = np.random.default_rng(0)
WEIGHTS = RNG.normal(0, 0.08, 5000)
LEVELS = affine.dequantize(np.arange(-8, 8), 0.03, 0)
SAMPLES = np.array([1, 2, 5, 10, 50, 100, 500])
ACCURACY = np.array([95.0, 96, 96.4, 96.6, 96.8, 96.9, 96.9])


def scores():
    """Sizes and accuracies of the seven, as close to each other as the real ones."""
    accuracy = np.array([0.969, 0.968, 0.969, 0.967, 0.967, 0.967, 0.969])
    sizes = [231044, 64864, 118948, 65100, 64648, 65016, 66784]
    columns = {"bytes": sizes, "accuracy": accuracy}
    columns |= {"accuracy_low": accuracy - 0.012, "accuracy_high": accuracy + 0.009}
    hard = accuracy - 0.05
    columns |= {"accuracy_hard": hard, "accuracy_hard_low": hard - 0.02}
    columns |= {"accuracy_hard_high": hard + 0.018}
    return pd.DataFrame(columns, index=list(paths.PATHS))


def runs():
    """MAC per byte and GMAC/s: numbers like those that lesson 08 measures."""
    columns = {
        "float32": [3.1, 780, 0.25, 62.5],
        "int8": [12.5, 3122, 1, 250],
        "float32_speed": [59, 41, 6.5, 103],
        "int8_speed": [105, 111, 28.6, 406],
    }
    names = [f"{m}, batch {n}" for m in ("mnist_cnn", "wide_mlp") for n in (1, 250)]
    return pd.DataFrame(columns, index=names)


def latencies():
    median = np.array([64, 57, 64, 90, 89, 91, 2100.0])
    columns = {"median_us": median, "p25_us": 0.95 * median, "p75_us": 1.12 * median}
    return pd.DataFrame(columns, index=list(paths.PATHS))


def budgets():
    parts = ("weights", "biases", "other constants", "structure")
    return {
        name: pd.Series([0.9 * size, 0.02 * size, 0.01 * size, 0.07 * size], parts)
        for name, size in scores()["bytes"].items()
    }


def lines(**more):
    return plots.lines_with_intervals(
        SAMPLES,
        ACCURACY,
        ACCURACY - 1.2,
        ACCURACY + 1,
        xlabel="calibration samples (images)",
        ylabel="accuracy (%)",
        **more,
    )


def candidates():
    """A cloud of models in three groups; "best" has nothing below and above it."""
    sizes, agreement = RNG.uniform(17e3, 28e3, 60), RNG.uniform(0.96, 0.985, 60)
    columns = {"bytes": sizes, "agreement": agreement, "group": ["int8", "int4", "mixed"] * 20}
    frame = pd.DataFrame(columns, index=[f"model {i}" for i in range(60)])
    frame.loc["best"] = [16.5e3, 0.99, "mixed"]
    return frame


def drops():
    """As a report's table has them: one fails by far, one has no file."""
    drop = np.array([0, 0.001, -0.002, 0.08, np.nan])
    columns = {"path": ["float32", "dynamic_range", "int8", "int8", "int16x8"], "drop": drop}
    columns |= {"bytes": [317_508, 93_832, 95_408, 95_192, np.nan]}
    columns |= {"drop_low": drop - 0.004, "drop_high": drop + 0.006}
    return pd.DataFrame(columns, index=["float32", "dynamic_range", "int8", "int8_b", "int16x8"])


LAYERS = {name: {"stem": 40.0, "block": 20.0, "end": 18.0} for name in ("int8", "int16x8")}
RAMP = np.linspace(-1, 1, 81)
ERRORS = {"float32": [2.0, 2.4], "per-tensor": [30.0, 48.0], "per-tensor, QAT": [3.0, 3.5]}
KERNEL = RNG.normal(0, 0.1, (12, 3, 3, 1)).clip(-0.5, 0.5)
OWN = affine.per_channel_scale(KERNEL, 0)
SHARES = np.linspace(0.1, 1.2, 56)
LIMITS = np.stack([1e-4 * SHARES**2, 1e-3 * np.maximum(0, 0.8 - SHARES) ** 3], axis=1)
ISLAND = network("CONV_2D:RELU DEQUANTIZE>FLOAT32 ELU QUANTIZE>INT8 SOFTMAX", "INT8")
FLOAT_ENDS = network("QUANTIZE>INT8 FULLY_CONNECTED DEQUANTIZE>FLOAT32", "FLOAT32")


def fits():
    layer = npu.Placed("CONV_2D", "conv", "npu", 25_000, 8000, 90_000, "")
    return {
        name: npu.Fit(name, "fast", 5e8, (layer,) * count, 25_000 * count, 9, 0, 9, b"", "")
        for count, name in enumerate(("ethos-u65-256", "ethos-u55-128", "ethos-u55-32"), start=1)
    }


FIGURES = {
    "tree": lambda: plots.decision_tree(),
    "tree with values": lambda: plots.decision_tree("int8_float_fallback", VALUES),
    "digits": lambda: plots.digits(RNG.random((12, 28, 28, 1)), list("012345678901")),
    "histogram": lambda: plots.histogram(WEIGHTS, "Weights", "no unit"),
    "histogram, levels": lambda: plots.histogram(WEIGHTS, "Weights", "no unit", LEVELS),
    "staircase, 3 bits": lambda: plots.staircase(0.25, -1, 3),
    "staircase, 8 bits": lambda: plots.staircase(0.01, 3),
    "float16": lambda: plots.float16_bits(0.1),
    "chains": lambda: plots.chains({"with ELU": ISLAND, "int8_float_fallback": FLOAT_ENDS}),
    "float16, subnormal": lambda: plots.float16_bits(-3e-7),
    "float16, infinite": lambda: plots.float16_bits(70000.0),
    "filter": lambda: plots.filter_stages(KERNEL[0, :, :, 0], 0.004),
    "channels": lambda: plots.channel_errors(KERNEL, {"one": 0.004, "own": OWN}),
    "limits": lambda: plots.rounding_and_clipping(SHARES, {8: LIMITS / 256, 4: LIMITS}),
    "gaps": lambda: plots.gaps(0.01),
    "bytes": lambda: plots.byte_bars(budgets()),
    "scoreboard": lambda: plots.scoreboard(scores()),
    "intensity": lambda: plots.intensity(runs()),
    "latency": lambda: plots.latency_bars(latencies().iloc[:6]),
    "latency, log": lambda: plots.latency_bars(latencies(), log=True),
    "drops": lambda: plots.drops(drops(), 0.01),
    "pareto": lambda: plots.pareto(candidates(), floor=0.98, chosen="best"),
    "pareto, plain": lambda: plots.pareto(candidates()),
    "by layer": lambda: plots.by_layer(LAYERS, ylabel="SNR (dB)", title="One", level=(0, "none")),
    "one weight": lambda: plots.one_weight(np.linspace(0, 0.35, 40), np.full(40, 0.3), 0.34, 0.35),
    "straight through": lambda: plots.straight_through(RAMP, RAMP.round(1), RAMP > 0, 0.7),
    "trainings": lambda: plots.trainings({"clean": ERRORS, "hard": ERRORS}, "QAT", "float32"),
    "npu cycles": lambda: plots.npu_cycles(fits()),
    "lines": lambda: lines(labels=["int8"], reference=("float32", 97.0), log_x=True, title="More"),
}


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def png(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer


def texts(figure):
    """The texts that are drawn: all but the tick labels outside their axis's view."""
    hidden = set()
    for axis in figure.findobj(Axis):
        low, high = sorted(axis.get_view_interval())
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not axis.axes.axison or not low <= tick.get_loc() <= high:
                hidden |= {tick.label1, tick.label2}
    found = figure.findobj(lambda artist: isinstance(artist, Text) and artist.get_visible())
    return [text for text in found if text.get_text().strip() and text not in hidden]


@pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES)
class TestEveryFigure:
    def test_it_is_a_small_png_at_100_dpi_on_solid_white(self, draw):
        figure = draw()
        assert figure.dpi == 100
        buffer = png(figure)
        assert len(buffer.getvalue()) < 100_000
        pixels = plt.imread(io.BytesIO(buffer.getvalue()))
        assert (
            pixels.shape[:2] == tuple(round(100 * inch) for inch in figure.get_size_inches())[::-1]
        )
        corners = pixels[[0, 0, -1, -1], [0, -1, 0, -1]]
        np.testing.assert_array_equal(corners, 1)

    def test_nothing_is_clipped_at_the_edge(self, draw):
        figure = draw()
        figure.canvas.draw()
        outline = figure.get_tightbbox(figure.canvas.get_renderer())
        width, height = figure.get_size_inches()
        assert 0 <= outline.x0 < outline.x1 <= width
        assert 0 <= outline.y0 < outline.y1 <= height
        for text in texts(figure):
            box = text.get_window_extent()
            assert 0 <= box.x0 < box.x1 <= figure.bbox.x1, text
            assert 0 <= box.y0 < box.y1 <= figure.bbox.y1, text

    def test_no_text_lies_on_another(self, draw):
        figure = draw()
        figure.canvas.draw()
        for one, other in itertools.combinations(texts(figure), 2):
            a, b = one.get_window_extent(), other.get_window_extent()
            overlap = min(a.x1, b.x1) > max(a.x0, b.x0) and min(a.y1, b.y1) > max(a.y0, b.y0)
            assert not overlap, (one, other)

    def test_every_axis_that_is_drawn_names_its_unit(self, draw):
        for axes in [axes for axes in draw().axes if axes.axison]:
            labels = [axes.get_xlabel(), axes.get_ylabel()]
            assert any(labels)
            assert all(re.search(r"\(.+\)", label) for label in labels if label)

    def test_the_global_style_stays_as_it_was(self, draw):
        before = dict(matplotlib.rcParams)
        draw()
        assert dict(matplotlib.rcParams) == before


def test_the_style_holds_only_inside_its_block():
    with plots.style():
        assert matplotlib.rcParams["axes.titlelocation"] == "left"
    assert matplotlib.rcParams["axes.titlelocation"] == "center"


def words(figure):
    found = [" ".join(text.get_text().split()) for text in figure.findobj(Text)]
    return [word for word in found if word]


# --- the decision tree -----------------------------------------------------------------------


def questions(node=paths.TREE):
    if isinstance(node, str):
        return []
    return [node, *questions(node.yes), *questions(node.no)]


def boxes(figure):
    return figure.findobj(FancyBboxPatch)


def test_the_tree_shows_each_question_and_each_path_with_its_types_and_value():
    shown = words(plots.decision_tree(values=VALUES))
    for path in paths.PATHS.values():
        assert shown.count(path.name) == 1
        assert f"{path.input_dtype} in and out" in shown
        assert path.input_dtype == path.output_dtype
        assert VALUES[path.name] in shown
    assert all(question.text in shown for question in questions())
    assert shown.count("yes") == shown.count("no") == len(questions())
    assert "you are here" not in shown


def steps_to(name):
    answers = itertools.product([True, False], repeat=6)
    keys = ("optimize", "representative_dataset", "float16", "unsigned", "float_io")
    for values in answers:
        given = dict(zip((*keys, "activations_16_bit"), values, strict=True))
        if paths.choose(**given).name == name:
            return paths.walk(**given)
    raise AssertionError(name)


@pytest.mark.parametrize("name", paths.PATHS)
def test_the_walk_to_a_highlighted_path_is_the_librarys(name):
    figure = plots.decision_tree(name)
    shown = words(figure)
    assert shown.count("you are here") == 1
    bold = [t.get_text() for t in figure.findobj(Text) if t.get_fontweight() == "bold"]
    answers = [word for word in bold if word in ("yes", "no")]
    assert answers == ["yes" if step.answer else "no" for step in steps_to(name)]
    assert len([box for box in boxes(figure) if box.get_linewidth() > 2]) == len(answers) + 1


def test_you_are_here_stands_in_the_highlighted_leaf():
    found = {text.get_text(): text for text in plots.decision_tree("uint8").findobj(Text)}
    name, here = found["uint8"].get_window_extent(), found["you are here"].get_window_extent()
    assert abs(name.y0 + name.y1 - here.y0 - here.y1) / 2 < 4
    assert here.x0 > name.x1


def test_every_text_of_a_box_fits_into_it_and_every_box_into_the_figure():
    figure = plots.decision_tree("int8_float_fallback", VALUES)
    edges = [box.get_window_extent() for box in boxes(figure)]
    for edge in edges:
        assert min(edge.x0, edge.y0) >= 0
        assert edge.x1 <= figure.bbox.x1
        assert edge.y1 <= figure.bbox.y1
    for text in [text.get_window_extent() for text in texts(figure)]:
        for edge in [edge for edge in edges if edge.overlaps(text)]:
            assert edge.x0 <= text.x0 <= text.x1 <= edge.x1
            assert edge.y0 <= text.y0 <= text.y1 <= edge.y1


def test_what_the_article_does_not_have_is_dashed():
    found = boxes(plots.decision_tree())
    dashed = [box for box in found if box.get_linestyle() not in ("-", "solid")]
    assert len(found) == len(questions()) + len(paths.PATHS)
    added = [question for question in questions() if not question.in_article]
    leaves = [way for q in added for way in (q.yes, q.no) if isinstance(way, str)]
    assert len(dashed) == len(added) + len(leaves) > 0
    assert {question.key for question in added} == {"float_io", "activations_16_bit"}


@pytest.mark.parametrize("arguments", [("int4", None), (None, {"int4": "x"})])
def test_the_tree_knows_no_other_names(arguments):
    with pytest.raises(InputError, match="no path 'int4'; the paths are float32, "):
        plots.decision_tree(*arguments)


def test_a_path_to_which_no_question_leads_is_no_place_to_be():
    with pytest.raises(InputError, match="no question of the tree leads to 'int8x4'"):
        plots.decision_tree("int8x4")
    assert "9 kB" not in words(plots.decision_tree(values={"int8x4": "9 kB"}))


# --- numbers and how they are stored ---------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 28, 28), (3, 28, 28, 1), (3, 32, 32, 3)])
def test_digits_draws_each_image_once(shape):
    images = RNG.random(shape)
    drawn = [axes.images[0].get_array() for axes in plots.digits(images, columns=2).axes[:3]]
    for image, shown in zip(images, drawn, strict=True):
        np.testing.assert_array_equal(np.squeeze(shown), np.squeeze(image))


@pytest.mark.parametrize(
    ("shape", "titles"),
    [((0, 28, 28), None), ((28, 28), None), ((2, 28, 28, 2), None), ((2, 28, 28), ["one"])],
)
def test_digits_refuses_other_shapes(shape, titles):
    with pytest.raises(InputError):
        plots.digits(np.zeros(shape), titles)


def test_the_histogram_counts_every_value_and_marks_each_level():
    axes = plots.histogram(WEIGHTS, "Weights", "no unit", LEVELS, bins=50).axes[0]
    assert sum(bar.get_height() for bar in axes.containers[0]) == WEIGHTS.size
    marks = [segment[0, 0] for segment in axes.collections[0].get_segments()]
    np.testing.assert_allclose(marks, LEVELS, atol=1e-12)
    assert axes.get_title(loc="right") == "16 levels"


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [np.inf]])
def test_the_histogram_refuses_what_it_cannot_count(values):
    with pytest.raises(InputError, match="finite"):
        plots.histogram(values, "t", "u")


def test_the_staircase_errs_by_half_a_step_at_most_and_stands_still_when_clipped():
    scale, zero_point = 0.25, -1
    steps, error = plots.staircase(scale, zero_point, 3).axes
    x, y = steps.lines[1].get_data()
    inside = (x >= -0.75 - scale / 2) & (x <= 1.0 + scale / 2)  # codes -4 to 3
    assert 0.9 * scale / 2 < np.abs(y - x)[inside].max() <= scale / 2 + 1e-6
    assert set(y[x < -0.75]) == {-0.75}
    assert set(y[x > 1.0]) == {1.0}
    assert len(set(y)) == 8
    np.testing.assert_allclose(error.lines[0].get_ydata(), y - x)


def test_the_staircase_refuses_what_quantize_refuses():
    with pytest.raises(InputError, match="zero_point"):
        plots.staircase(0.1, 200)


@pytest.mark.parametrize("value", [0.1, -1.5, 65504.0, 2.0**-14, -3e-7, 0.0])
def test_the_bits_and_the_formula_make_the_float16(value):
    shown = words(plots.float16_bits(value))
    assert "".join(word for word in shown if word in ("0", "1")) == "".join(
        half_precision.bits(value)
    )
    formula, result = shown[-1].split(" = ")
    assert float(result) == pytest.approx(float(np.float16(value)), rel=1e-9)
    sign, exponent, fraction = re.fullmatch(
        r"\$([+-])\\,2\^\{(.+?)\} \\times (.+)\$", formula
    ).groups()
    computed = float(sign + "1") * 2.0 ** eval(exponent) * eval(fraction)
    assert computed == np.float16(value)


@pytest.mark.parametrize(("value", "word"), [(70000.0, "inf"), (float("nan"), "nan")])
def test_infinity_and_nan_have_no_formula(value, word):
    assert words(plots.float16_bits(value))[-1] == f"all exponent bits set: {word}"


def test_float16_bits_takes_one_number():
    with pytest.raises(InputError, match="one number"):
        plots.float16_bits([1.0, 2.0])


# --- size, accuracy, speed -------------------------------------------------------------------


def test_the_byte_bars_add_up_to_each_files_size():
    axes = plots.byte_bars(budgets()).axes[0]
    widths = np.array([[bar.get_width() for bar in part] for part in axes.containers])
    np.testing.assert_allclose(1000 * widths.sum(axis=0), scores()["bytes"])
    assert axes.texts[0].get_text() == "231.0 kB"
    assert len({(bar[0].get_facecolor(), bar[0].get_hatch()) for bar in axes.containers}) == 4


@pytest.mark.parametrize("files", [{}, {"m": pd.Series(range(6), list("abcdef"))}])
def test_byte_bars_refuses_what_it_cannot_tell_apart(files):
    with pytest.raises(InputError, match="1 to 5 parts"):
        plots.byte_bars(files)


def test_the_scoreboard_puts_each_marker_and_interval_where_the_numbers_are():
    size, accuracy = plots.scoreboard(scores()).axes
    np.testing.assert_allclose([b.get_width() for b in size.patches], scores()["bytes"] / 1000)
    assert [label.get_text() for label in size.get_yticklabels()] == list(paths.PATHS)
    clean, hard = accuracy.containers[::2], accuracy.containers[1::2]
    for containers, kind in ((clean, "accuracy"), (hard, "accuracy_hard")):
        marks = [container.lines[0] for container in containers]
        np.testing.assert_allclose([m.get_xdata()[0] for m in marks], 100 * scores()[kind])
        assert len({mark.get_marker() for mark in marks}) == 7
        assert len({mark.get_color() for mark in marks}) == 7
        hollow = {mark.get_markerfacecolor() == "white" for mark in marks}
        assert hollow == {kind == "accuracy_hard"}
        ends = [container.lines[2][0].get_segments()[0][:, 0] for container in containers]
        np.testing.assert_allclose(ends, 100 * scores()[[f"{kind}_low", f"{kind}_high"]])


def test_an_arrow_leads_from_float32_to_int8_of_each_run():
    axes = plots.intensity(runs()).axes[0]
    points = np.array([line.get_xydata()[0] for line in axes.lines]).reshape(4, 2, 2)
    np.testing.assert_allclose(points[:, 0], runs()[["float32", "float32_speed"]])
    np.testing.assert_allclose(points[:, 1], runs()[["int8", "int8_speed"]])
    assert [text.get_text() for text in axes.texts if text.get_text()] == list(runs().index)
    arrows = [(text.xyann, text.xy) for text in axes.texts if not text.get_text()]
    np.testing.assert_allclose(arrows, points)


def test_each_axis_of_the_intensities_has_at_least_three_numbers():
    axes = plots.intensity(runs()).axes[0]
    axes.figure.canvas.draw()
    for axis in (axes.xaxis, axes.yaxis):
        low, high = axis.get_view_interval()
        assert sum(low <= tick.get_loc() <= high for tick in axis.get_major_ticks()) >= 3


@pytest.mark.parametrize("log", [False, True])
def test_the_latency_whiskers_are_the_quartiles(log):
    axes = plots.latency_bars(latencies(), log=log).axes[0]
    whiskers = [c for c in axes.containers if c.get_label() != "bar" and hasattr(c, "lines")]
    ends = [container.lines[2][0].get_segments()[0][:, 0] for container in whiskers]
    np.testing.assert_allclose(ends, latencies()[["p25_us", "p75_us"]])
    assert axes.texts[0].get_text() == "64 µs"
    assert bool(axes.patches) is not log


def test_models_that_are_not_paths_are_drawn_too():
    frame = latencies().iloc[:2].set_axis(["wide_mlp", "mnist_cnn"])
    labels = plots.latency_bars(frame).axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == ["wide_mlp", "mnist_cnn"]


@pytest.mark.parametrize("draw", [plots.scoreboard, plots.latency_bars, plots.intensity])
def test_a_table_without_its_columns_is_refused(draw):
    with pytest.raises(InputError, match="missing"):
        draw(pd.DataFrame({"name": ["int8"]}))
    complete = scores().join(latencies()).join(runs(), how="cross")
    with pytest.raises(InputError, match="the rows"):
        draw(complete.iloc[:0])


def test_lines_keep_their_points_and_intervals():
    axes = lines(log_x=True).axes[0]
    np.testing.assert_allclose(axes.containers[0].lines[0].get_xydata()[:, 1], ACCURACY)
    ends = [s[:, 1] for s in axes.containers[0].lines[2][0].get_segments()]
    np.testing.assert_allclose(ends, np.column_stack([ACCURACY - 1.2, ACCURACY + 1]))
    assert [t.get_text() for t in axes.get_xticklabels()] == [str(n) for n in SAMPLES]


def test_several_lines_differ_in_colour_and_marker():
    three = np.stack([ACCURACY, ACCURACY - 1, ACCURACY - 2])
    figure = plots.lines_with_intervals(
        SAMPLES, three, three - 1, three + 1, xlabel="n (images)", ylabel="y (%)", labels="abc"
    )
    marks = [container.lines[0] for container in figure.axes[0].containers]
    assert len({(m.get_color(), m.get_marker()) for m in marks}) == 3
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b", "c"]


def test_a_line_that_is_a_path_has_its_colour():
    mark = lines(labels=["int16x8"]).axes[0].containers[0].lines[0]
    assert (mark.get_color(), mark.get_marker()) == paths.ALL["int16x8"].look


def test_lines_of_other_lengths_are_refused():
    with pytest.raises(InputError, match=r"\(1, 7\)"):
        plots.lines_with_intervals(
            SAMPLES, ACCURACY[:-1], ACCURACY, ACCURACY, xlabel="n (images)", ylabel="y (%)"
        )


def test_the_front_of_a_pareto_plot_is_what_no_candidate_beats():
    frame = pd.DataFrame(
        {
            "bytes": [3000, 1000, 2000, 2500],
            "agreement": [1, 0.9, 0.95, 0.94],
            "group": list("aabb"),
        },
        index=list("wxyz"),
    )
    axes = plots.pareto(frame, floor=0.93, chosen="y").axes[0]
    (front,) = [line for line in axes.lines if line.get_label() == "not beaten"]
    np.testing.assert_allclose(front.get_xydata(), [[1, 90], [2, 95], [3, 100]])
    (floor,) = [line for line in axes.lines if line.get_label() == "floor"]
    assert set(floor.get_ydata()) == {93}
    clouds = axes.collections[:2]
    np.testing.assert_allclose(
        np.vstack([cloud.get_offsets() for cloud in clouds])[:, 0], [3, 1, 2, 2.5]
    )
    np.testing.assert_allclose(axes.collections[2].get_offsets(), [[2, 95]])


def test_a_pareto_plot_refuses_a_name_that_it_does_not_draw():
    with pytest.raises(InputError, match="chosen='nobody'"):
        plots.pareto(candidates(), chosen="nobody")
    with pytest.raises(InputError, match="missing: group"):
        plots.pareto(candidates().drop(columns="group"))


def test_drops_are_drawn_in_points_for_each_file_that_has_numbers():
    size, drop = plots.drops(drops(), 0.02).axes
    assert [label.get_text() for label in size.get_yticklabels()] == [*drops().index[:4]]
    np.testing.assert_allclose(
        [bar.get_width() for bar in size.patches], drops()["bytes"][:4] / 1000
    )
    seen = [mark.lines[0].get_xdata()[0] for mark in drop.containers]
    np.testing.assert_allclose(seen, [0, 0.1, -0.2, 8])
    (ends,) = drop.containers[1].lines[2][0].get_segments()
    np.testing.assert_allclose(ends[:, 0], [-0.3, 0.7])
    assert [line.get_xdata()[0] for line in drop.lines if line.get_linestyle() == "--"] == [2]


def test_a_table_without_drops_is_refused():
    with pytest.raises(InputError, match="missing: drop_high"):
        plots.drops(drops().drop(columns="drop_high"), 0.01)
    with pytest.raises(InputError, match="missing: the rows"):
        plots.drops(drops().iloc[4:], 0.01)


# --- what happens along the layers, and in training -------------------------------------------


def test_the_layers_of_all_lines_are_the_same():
    with pytest.raises(InputError, match="over the same layers"):
        plots.by_layer({"a": {"stem": 1.0}, "b": {"end": 1.0}}, ylabel="dB", title="")


def test_trainings_have_a_circle_each_and_a_bar_at_their_mean():
    lines = plots.trainings({"clean": ERRORS}, "QAT", "float32").axes[0].lines
    np.testing.assert_allclose([line.get_xdata().mean() for line in lines[::2]], [2.2, 39, 3.25])
    assert [line.get_xdata()[0] for line in lines[1::2]] == pytest.approx([2.2, 39, 3.25])


def test_the_stages_of_a_filter_are_those_of_affine():
    shown = words(plots.filter_stages(np.float32([[0.5, -0.127]]), 0.004))
    assert {"0.5000", "125", "-32", "-0.1280", "-0.25", "+0.00"} <= set(shown)


def test_errors_of_rounding_and_clipping_come_in_pairs():
    with pytest.raises(InputError, match=r"errors have the shape \(56,\); expected \(56, 2\)"):
        plots.rounding_and_clipping(SHARES, {8: SHARES})


def test_a_gap_needs_a_scale():
    with pytest.raises(InputError, match="scale is 0; expected a positive number"):
        plots.gaps(0)


def test_a_channels_error_lies_near_that_of_rounding():
    (axes,) = plots.channel_errors(RNG.normal(size=(6, 400)), {"one scale": 0.03}).axes
    dots, dashed = (np.sort(line.get_ydata()) for line in axes.lines)
    np.testing.assert_allclose(dots, dashed, rtol=0.15)


def test_a_chain_has_a_box_for_each_operator_and_dashes_what_hands_on_a_float():
    (axes,) = plots.chains({"island": ISLAND, "float ends": FLOAT_ENDS}).axes
    boxes = [text for text in axes.texts if text.get_bbox_patch()]
    dashed = [text.get_text() for text in boxes if text.get_bbox_patch().get_linestyle() == "--"]
    assert len(boxes) == 5 + 3
    assert dashed == ["dequantize\nfloat32", "elu\nfloat32", "dequantize\nfloat32"]
    assert [text.get_text() for text in axes.texts if text not in boxes] == ["island", "float ends"]
    starts = {text.get_position()[0] for text in boxes if text.get_position()[0] <= 1}
    assert starts == {0, 1}
