import json
from dataclasses import asdict
from pathlib import Path

import pytest

from lessons_lib import evaluate, files, paths, runtime, scoreboard, sources, tables, training
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
    table = scoreboard.markdown(rows)
    assert len(table.splitlines()) == 2 + len(rows)
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
        ((14, 14, 1), 10, r"sample 0 has shape \(1, 28, 28, 1\)"),
        ((28, 28, 1), 3, r"outputs of shape \(3,\)"),
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
