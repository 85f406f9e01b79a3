"""``tools/bench.py``: what it compares does the same work, and its table says what it should."""

import io
import time

import numpy as np
import pytest
from rich.console import Console

import bench
from lessons_lib import by_litert, calibration, files, mixed_precision, notebooks
from reference import converted, digits
from runtimes import needs_micro


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


@needs_micro
def test_the_c_file_is_timed_against_tflite_micro():
    speed, count = bench.emitted("mnist_cnn", converted()["int8"], rounds=1)
    assert speed.what == "mnist_cnn: C's time against TFLite-Micro's wheel"
    assert speed.how.startswith("1,000 digits, bit-exact, -O2")
    assert speed.measured > 0
    assert (count.promise, count.at_least) == (4.0, False)
    assert 1 < count.measured < 4


@needs_micro
def test_a_c_file_with_other_integers_is_not_timed(monkeypatch):
    monkeypatch.setattr(bench, "by_micro", lambda content, x: x[:, 0, 0] * 0)
    with pytest.raises(SystemExit, match="ds_cnn: the C file's integers are not those of"):
        bench.emitted("ds_cnn", converted("ds_cnn")["int8"])


def test_an_engine_with_other_integers_is_not_timed(monkeypatch):
    monkeypatch.setattr(bench.integer_engine, "run", lambda content, x, kernels: x[:, 0, 0] * 0)
    with pytest.raises(SystemExit, match="mnist_cnn: the engine's integers are not those of"):
        bench.engine("mnist_cnn", converted()["int8"], rounds=2)


def test_the_plain_loops_make_the_files_of_the_course():
    content = converted()["float32"]
    samples = calibration.representative_dataset(digits().calibration)
    for path, calibrate in (("dynamic_range", "extremes"), ("int8", "moving_average")):
        plain = bench.plain_litert(content, path, calibrate, samples)
        own = by_litert.quantize(content, path, samples, calibrate=calibrate)
        bench.require_same_files({f"{path}_litert": plain}, {f"{path}_litert": own})
    with pytest.raises(SystemExit, match=r"the plain loops make other files: int8$"):
        bench.require_same_files({"int8": content, "float32": b""}, {"int8": plain, "float32": b""})
    with pytest.raises(SystemExit, match=r"other files: float32$"):
        bench.require_same_files({}, {"float32": content})


def test_the_time_of_a_ranking_is_that_of_all_its_blocks(tmp_path):
    file = files.write_atomic(tmp_path / "float32.tflite", converted()["float32"])
    images = digits().calibration.images[:20]
    start = time.perf_counter()
    seconds, blocks = bench.ranking(file, images, tmp_path / "search", workers=1)
    assert 0 < seconds < time.perf_counter() - start
    passes = iter([False, True])
    found = mixed_precision.keep_in_float(
        file, "int8_float_fallback", images, lambda file: next(passes), tmp_path / "search"
    )
    assert len(found.ranking) == blocks > 3


def test_two_workers_are_timed_against_one():
    result = bench.two_workers(rounds=1, count=1)
    assert (result.unit, result.promise, result.at_least) == ("x", 1.6, True)
    assert result.measured > 0
    assert result.how.startswith("3 blocks, 100 samples, median of 1 in turns; ")


def test_minutes_are_summed_by_part():
    taken = {"01_a": (60.0, 1), "08_b": (30.0, 1), "09_c": (90.0, 1)}
    first, second = bench._minutes(True, taken), bench._minutes(False, taken)
    assert (first.measured, second.measured) == (1.5, 1.5)
    assert (first.promise, second.promise) == (6, 6)
    last = notebooks.find()[-1].name[:2]
    assert first.what.startswith("lessons 0 to 8 ")
    assert second.what.startswith(f"lessons 9 to {last} ")
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
