import json
from dataclasses import asdict

import pytest

from lessons_lib import anatomy, evaluate, files, paths, runtime, scoreboard, training
from lessons_lib.errors import ModelFileError
from reference import digits


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
        content = (files.ROOT / row.file).read_bytes()
        classes = runtime.Model(content).classes(test.images)
        accuracy = evaluate.accuracy(classes, test.labels)
        assert row.bytes == len(content)
        assert row.ratio == rows[0].bytes / row.bytes
        assert (row.accuracy, row.accuracy_low) == (accuracy.value, accuracy.low)
        assert row.accuracy_high == accuracy.high
        assert row.agreement == evaluate.agreement(classes, reference).value
        assert row.integer_only == anatomy.audit(content).integer_only
        assert row.latency_us > 0
        assert row.gained - row.lost == round(1000 * (row.accuracy - rows[0].accuracy))


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
