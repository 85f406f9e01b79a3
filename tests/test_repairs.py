"""repairs: what is built otherwise is built once; what it mends is tested with quantize_model."""

import time

import numpy as np
import pytest

from lessons_lib import brought, repairs, sandbox
from lessons_lib.advise.trials import Trial, Tried, Workplace
from lessons_lib.convert.every_path import Step
from lessons_lib.convert.outcome import Outcome
from lessons_lib.errors import ConversionError
from lessons_lib.judge.tasks import recognise
from lessons_lib.system.quiet import tensorflow


def test_a_variant_that_is_there_is_not_built_again(monkeypatch, tmp_path):
    keras = tensorflow().keras
    file = tmp_path / "model.keras"
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(file)
    given = brought.bring(file, tmp_path / "work")
    place = Workplace(tmp_path, None, None, None, "kept", ["float32"])
    monkeypatch.setattr(repairs.trials, "made", lambda made, place: made)
    first = repairs._built("batch_1", "seen", given, place)
    assert repairs._built("unrolled", "seen", given, place) == []
    monkeypatch.setattr(sandbox, "call", None)  # no child, no TensorFlow
    assert repairs._built("batch_1", "seen", given, place) == first
    assert repairs._built("unrolled", "seen", given, place) == []
    (trial,) = first
    assert (trial.name, trial.step.path) == ("float32_batch_1", "float32")
    assert (trial.source / "saved_model.pb").is_file()


def test_nothing_is_mended_without_a_budget_or_after_it(tmp_path):
    rows = {"x": np.zeros((2, 3), np.float32)}
    place = Workplace(tmp_path, None, rows, rows, "kept", ["float32"])
    assert repairs.of_the_files(None, None, None, None, place, None, 0) == []
    told = []

    def search(*arguments, budget, **options):
        told.append(budget)
        raise ConversionError("nothing is found")

    base = Tried(Trial("float32", tmp_path, Step("float32")), Outcome("float32", tmp_path / "f"))
    for left in (30.0, -1.0):
        until = time.monotonic() + left
        settings = (place, base, (), None, tmp_path / "work", until)
        (one,) = repairs._searched(search, "int8", "seen", settings)
        assert not one.ok
    assert "budget was used up" in str(one.outcome.reason)
    assert len(told) == 1 and 29 < told[0] <= 30


@pytest.mark.parametrize("path", ["int8", "uint8", "int16x8", "int8_float_fallback"])
@pytest.mark.parametrize("lost", [True, False])
def test_the_normalization_goes_out_for_whichever_integers_were_asked_for(
    monkeypatch, tmp_path, path, lost
):
    """Every sample of a lost file has another class; a good one's answers are float32's."""
    right = np.eye(2, dtype=np.float32)[np.arange(400) % 2]
    answers = np.roll(right, 1, axis=0) if lost else right
    source = tmp_path / "saved_model"
    base = Tried(Trial("float32", source, Step("float32")), Outcome("float32", tmp_path / "f"),
                 {"kind": right})  # fmt: skip
    one = Tried(Trial(path, source, Step(path)), Outcome(path, tmp_path / "q"), {"kind": answers})
    known = recognise(base.answers, np.arange(400) % 2)
    place = Workplace(tmp_path, None, {"x": right}, {"x": right}, "kept", [path])
    given = brought.Brought("m", "0", source, None, (), keras=tmp_path / "m.keras")
    built = []
    monkeypatch.setattr(repairs, "_built", lambda *a: built.append(a[:2]) or [])
    assert repairs.of_the_files([base, one], base, known, given, place, None, 30) == []
    assert [variant for variant, _ in built] == ["normalized_outside"] * lost
    assert all(f"inside passes; {path}: real drop" in seen for _, seen in built)
