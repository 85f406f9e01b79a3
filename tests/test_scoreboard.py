import json
from dataclasses import asdict
from pathlib import Path

import pytest

from lessons_lib import (
    evaluate,
    files,
    paths,
    report,
    runtime,
    scoreboard,
    sources,
    tables,
    training,
)
from lessons_lib.errors import InputError, ModelFileError
from lessons_lib.system.quiet import tensorflow
from reference import converted, digits


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scoreboard")
    return scoreboard.build(training.reference(), folder / "models")


def test_there_is_a_row_for_each_path_in_order(rows):
    assert [row.name for row in rows] == list(paths.PATHS)


def test_each_row_is_true_of_the_file_it_names(rows):
    test = digits().test
    reference = runtime.Model(rows[0].file).classes(test.images)
    for row in rows:
        content = Path(row.file).read_bytes()
        classes = runtime.Model(content).classes(test.images)
        accuracy = evaluate.accuracy(classes, test.labels)
        assert row.bytes == len(content)
        assert row.ratio == rows[0].bytes / row.bytes
        assert (row.accuracy, row.accuracy_low) == (accuracy.value, accuracy.low)
        assert row.accuracy_high == accuracy.high
        assert row.agreement == evaluate.agreement(classes, reference).value
        assert row.integer_only == tables.audit(content).integer_only
        assert row.latency_us > 0
        assert row.gained - row.lost == round(1000 * (row.accuracy - rows[0].accuracy))


def test_the_hard_digits_have_columns_of_their_own(rows):
    hard = digits().hard
    reference = runtime.Model(rows[0].file).classes(hard.images)
    for row in rows:
        classes = runtime.Model(row.file).classes(hard.images)
        accuracy = evaluate.accuracy(classes, hard.labels)
        changed = evaluate.flips(reference, classes, hard.labels)
        found = (row.accuracy_hard, row.accuracy_hard_low, row.accuracy_hard_high)
        assert found == (accuracy.value, accuracy.low, accuracy.high)
        assert (row.gained_hard, row.lost_hard) == (changed.gained, changed.lost)
        assert row.p_hard == changed.p_value
        assert 0.85 <= row.accuracy_hard <= 0.93


def test_the_reference_model_keeps_its_accuracy_on_every_path(rows):
    for row in rows:
        assert row.accuracy >= 0.97
        assert row.agreement >= 0.99


def test_the_table_and_the_json_hold_every_path(rows):
    assert [line["path"] for line in scoreboard.text(rows)] == list(paths.PATHS)
    assert list(scoreboard.frame(rows).index) == list(paths.PATHS)
    assert json.loads(json.dumps([asdict(row) for row in rows]))[0]["name"] == "float32"


def test_a_folder_that_is_no_saved_model_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(ModelFileError, match="is not a SavedModel"):
        scoreboard.build(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def saved(folder, shape, outputs):
    keras = tensorflow().keras
    layers = [keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(outputs)]
    return sources.save(keras.Sequential(layers), folder)


@pytest.mark.parametrize(
    ("shape", "outputs", "message"),
    [
        ((14, 14, 1), 10, r"it has .*\(\?, 14, 14, 1\)"),
        ((28, 28, 1), 3, r"it has .*output_0: float32 \(\?, 3\)"),
    ],
)
def test_a_model_of_something_else_is_refused(shape, outputs, message, tmp_path):
    folder = saved(tmp_path / "model", shape, outputs)
    with pytest.raises(InputError, match=f"must take 28x28x1 images and give 10 .*{message}"):
        scoreboard.build(folder, tmp_path / "out")


def test_all_are_compared_with_float32(tmp_path):
    file = files.write_atomic(tmp_path / "int8.tflite", converted()["int8"])
    with pytest.raises(InputError, match="no float32 among int8"):
        scoreboard.measure({"int8": file}, digits())


def trained_on(folder, low, high):
    """The reference behind a layer that undoes another scaling: as if trained on that."""
    keras = tensorflow().keras
    image = keras.Input((28, 28, 1), name="image")
    undone = keras.layers.Rescaling(1 / (high - low), -low / (high - low))(image)
    model = keras.Model(image, training.load_keras("mnist_cnn")(undone))
    return sources.save(model, folder)


@pytest.mark.parametrize("value_range", [(-1.0, 1.0), (0.0, 255.0)])
def test_the_range_that_a_model_was_trained_on_is_found(value_range, tmp_path):
    folder = trained_on(tmp_path / "model", *value_range)
    rows = scoreboard.build(folder, tmp_path / "out")
    assert {row.name for row in rows} == set(paths.PATHS)
    assert min(row.accuracy for row in rows) >= 0.97
    spec = runtime.Model(rows[4].file).signature.only_input
    lowest, highest = ((code - spec.zero_point) * spec.scale for code in (-128, 127))
    assert (lowest, highest) == pytest.approx(value_range, abs=0.03 * (highest - lowest))


def test_a_model_that_only_guesses_is_refused_with_all_that_was_tried(tmp_path):
    folder = saved(tmp_path / "model", (28, 28, 1), 10)
    with pytest.raises(
        InputError, match=r"no better than guessing .*0 to 1: .*-1 to 1: .*0 to 255"
    ):
        scoreboard.build(folder, tmp_path / "out")


def test_a_path_that_fails_is_a_row_with_its_reason(tmp_path):
    keras = tensorflow().keras
    image = keras.Input((28, 28, 1), name="image")
    hidden = keras.layers.Activation("elu")(training.load_keras("mnist_cnn")(image))
    rows = scoreboard.build(keras.Model(image, hidden), tmp_path / "out")
    failed = {row.name: row.failure for row in rows if row.failure}
    assert "ELU" in failed["int8"]
    made = [row for row in rows if not row.failure]
    assert {"float32", "dynamic_range", "float16"} <= {row.name for row in made}
    assert len(scoreboard.text(rows)) == len(made)


def test_the_table_is_that_of_the_report_beside_it(rows):
    folder = Path(rows[0].file).parents[1]
    found = report.read(folder / "report.json")
    assert found.data.source == "the course's mnist"
    assert (folder / "report.html").is_file()
    for row in rows:
        said = found.row(row.name)
        (judged,) = said.findings
        assert (said.lane, folder / said.file) == ("converter", Path(row.file))
        assert (said.bytes, said.smaller, said.integer_only) == (
            row.bytes,
            row.ratio,
            row.integer_only,
        )
        assert (judged.value, judged.low, judged.high) == (
            row.accuracy,
            row.accuracy_low,
            row.accuracy_high,
        )
        assert (judged.lost or 0, judged.gained or 0) == (row.lost, row.gained)


def test_a_tflite_goes_down_the_paths_of_litert(tmp_path):
    file = files.write_atomic(tmp_path / "digits.tflite", converted()["float32"])
    rows = scoreboard.build(file, tmp_path / "out")
    assert [row.name for row in rows] == list(paths.ALL)
    assert min(row.accuracy for row in rows) >= 0.97
    assert {row.input_dtype for row in rows} == {"float32", "int8", "uint8", "int16"}
