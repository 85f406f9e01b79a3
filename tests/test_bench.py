"""``tools/bench.py``: what it compares does the same work, and its table says what it should."""

import io

import numpy as np
import pytest
from rich.console import Console

import bench
from reference import converted, digits


@pytest.mark.parametrize("name", bench.TUTORIALS)
def test_an_evaluation_of_real_models_fills_its_two_results(name):
    images = digits().test.images
    faster, tuned = bench.evaluation(name, converted()[name], images, rounds=2)
    assert (faster.what, faster.unit) == (f"{name}: faster than the tutorials' loop", "x")
    assert (faster.promise, faster.at_least) == (1.5, True)
    assert (tuned.what, tuned.unit) == (f"{name}: time against hand-tuned batches", "x")
    assert (tuned.promise, tuned.at_least) == (1.15, False)
    for result in (faster, tuned):
        assert result.measured > 0
        assert result.how.startswith(f"1,000 digits, {name}, median of 2 interleaved rounds; ")


def test_the_engine_is_timed_against_two_runtimes():
    results = bench.engine("mnist_cnn", converted()["int8"], rounds=2)
    whose = ("LiteRT's reference kernels", "XNNPACK")
    for result, what, promise in zip(results, whose, (1, 8), strict=True):
        assert result.what == f"mnist_cnn: engine's time against {what}"
        assert (result.unit, result.promise, result.at_least) == ("x", promise, False)
        assert result.measured > 0
        assert result.how.startswith("1,000 digits, bit-exact, median of 2 interleaved rounds")


def test_an_engine_with_other_integers_is_not_timed(monkeypatch):
    monkeypatch.setattr(bench.integer_engine, "run", lambda content, x, kernels: x[:, 0, 0] * 0)
    with pytest.raises(SystemExit, match="mnist_cnn: the engine's integers are not those of"):
        bench.engine("mnist_cnn", converted()["int8"], rounds=2)


def test_minutes_are_summed_by_part():
    taken = {"01_a": (60.0, 1), "08_b": (30.0, 1), "09_c": (90.0, 1)}
    first, second = bench._minutes(True, taken), bench._minutes(False, taken)
    assert (first.measured, second.measured) == (1.5, 1.5)
    assert (first.promise, second.promise) == (6, 6)
    assert (first.what[:14], second.what[:15]) == ("lessons 0 to 8", "lessons 9 to 14")
    assert first.how.startswith("pytest of 2 notebooks")


def test_ways_that_do_other_work_are_not_timed():
    course = np.arange(1_000) % 10
    other = np.where(np.arange(1_000) < 5, course + 1, course)  # 99.5 % agree
    bench.require_same_work("int8", {"course": course, "tutorial": other})
    with pytest.raises(SystemExit, match=r"int8: tuned 25 and course agree on 99\.50% of the"):
        bench.require_same_work("int8", {"course": course, "tuned 25": other})
    with pytest.raises(SystemExit, match="float32: tutorial and course agree on 99"):
        bench.require_same_work("float32", {"course": course, "tutorial": other})
    with pytest.raises(SystemExit, match="int8: tutorial and course agree on 0"):
        bench.require_same_work("int8", {"course": course, "tutorial": course + 1})


def result(measured, at_least):
    return bench.Result("speed", measured, "x", 1.5, at_least, "on paper")


@pytest.mark.parametrize(
    ("measured", "at_least", "kept"),
    [(1.6, True, True), (1.5, True, True), (1.4, True, False), (1.4, False, True), (1.6, False, 0)],
)
def test_a_promise_is_kept_in_its_direction(measured, at_least, kept):
    assert result(measured, at_least).kept == kept
    assert bench.status([result(1.5, True), result(measured, at_least)]) == int(not kept)


def test_the_table_shows_figure_promise_and_whether_it_was_kept():
    console = Console(file=io.StringIO(), width=160)
    console.print(bench.table([result(1.6, True), result(1.6, False)]))
    rows = [line for line in console.file.getvalue().splitlines() if "speed" in line]
    cells = [[cell.strip() for cell in row.strip("│").split("│")] for row in rows]
    assert cells == [
        ["speed", "1.60 x", "at least 1.5 x", "yes", "on paper"],
        ["speed", "1.60 x", "at most 1.5 x", "no", "on paper"],
    ]
