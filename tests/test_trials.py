"""trials: which there are, and under which name what was found is kept."""

from pathlib import Path

import numpy as np

import any_models
from lessons_lib import brought, files, jobs, own_data, paths, trials
from lessons_lib.advise.trials import Trial, Tried, Workplace
from lessons_lib.convert.every_path import Step
from lessons_lib.convert.outcome import Outcome
from reference import converted

_FLOAT = Tried(Trial("float32", Path("m"), Step("float32")), Outcome("float32", Path("m.tflite")))


def test_what_was_made_with_other_versions_is_not_taken_again(monkeypatch, tmp_path):
    file = files.write_atomic(tmp_path / "digits.tflite", converted()["float32"])
    given = brought.bring(file, tmp_path)
    data = own_data.Data(None, None, sha256="0" * 64)
    before = Workplace.of(tmp_path, given, data).kept
    assert Workplace.of(tmp_path, given, data).kept == before
    other = jobs.versions() | {"tensorflow": "2.99"}
    monkeypatch.setattr(jobs, "versions", lambda: other)
    assert Workplace.of(tmp_path, given, data).kept != before


def test_the_first_float_file_is_of_one_signature_and_these_versions(monkeypatch, tmp_path):
    """It tells how pixels are scaled: that of another signature would tell something else."""
    given = brought.bring(any_models.several(), tmp_path, key="embed")
    kept = []
    monkeypatch.setattr(trials, "convert", lambda _, place: kept.append(place.kept) or [_FLOAT])
    trials.float_file(given, tmp_path)
    other = brought.bring(any_models.several(), tmp_path, key="serving_default")
    trials.float_file(other, tmp_path)
    newer = jobs.versions() | {"tensorflow": "2.99"}
    monkeypatch.setattr(jobs, "versions", lambda: newer)
    trials.float_file(other, tmp_path)
    assert len(set(kept)) == 3


def test_uint8_has_one_row_of_whoever_makes_it(tmp_path):
    some = {"image": np.zeros((1, 2), np.float32)}
    place = Workplace(tmp_path, None, some, some, "kept", tuple(paths.ALL))
    for source, there in (("model.tflite", ["uint8_litert"]), ("saved_model", [])):
        base = Tried(Trial("float32", Path(source), Step("float32")), Outcome("float32", tmp_path))
        names = [trial.name for trial in trials.by_litert(base, place)]
        assert [name for name in names if name.startswith("uint8")] == there
        assert "int8_litert" in names
