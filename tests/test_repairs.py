"""repairs: what is built otherwise is built once; what it mends is tested with quantize_model."""

from lessons_lib import brought, repairs, sandbox
from lessons_lib.advise.trials import Workplace
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
