"""repairs: what is built otherwise is built once; what it mends is tested with quantize_model."""

import time

import numpy as np

from lessons_lib import brought, repairs, sandbox
from lessons_lib.advise.trials import Trial, Tried, Workplace
from lessons_lib.convert.every_path import Step
from lessons_lib.convert.outcome import Outcome
from lessons_lib.errors import ConversionError
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
