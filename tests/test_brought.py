"""brought: what is kept of a model is of that model, and of these packages."""

from pathlib import Path

import numpy as np

import any_models
from lessons_lib import brought, jobs, sources
from lessons_lib.advise import trials
from lessons_lib.run.runtime import Model
from lessons_lib.system.quiet import tensorflow

_READS_WEIGHTS = """
from pathlib import Path
import numpy as np, tensorflow as tf
class Times(tf.Module):
    factor = tf.constant(np.load(Path(__file__).with_name("weights.npy")))
    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
    def __call__(self, x):
        return {"y": x * self.factor}
model = Times
"""


def test_code_that_reads_other_weights_is_another_model(tmp_path):
    """The code's own checksum is the same."""
    (tmp_path / "own.py").write_text(_READS_WEIGHTS)
    for factor in (1, 5):
        np.save(tmp_path / "weights.npy", np.float32(factor))
        given = brought.bring(tmp_path / "own.py", tmp_path / "out" / "work")
        model = Model(trials.float_file(given, tmp_path / "out"))
        answers = model.predict(np.ones((2, 3), np.float32))
        np.testing.assert_array_equal(answers, np.full((2, 3), factor, np.float32))


def test_what_is_kept_of_a_model_is_of_these_versions_and_made_anew_where_damaged(
    tmp_path, monkeypatch
):
    folder = any_models.save(any_models.two_signatures(), tmp_path / "model")
    before = brought.bring(folder, tmp_path / "work", key="embed")
    (record,) = tmp_path.glob("work/models/*/signatures")
    record.write_bytes(b"clessons_lib.tflite.signature\nRenamed\n.")  # a class that is no more
    assert brought.bring(folder, tmp_path / "work", key="embed") == before
    newer = jobs.versions() | {"tensorflow": "2.99"}
    monkeypatch.setattr(jobs, "versions", lambda: newer)
    brought.bring(folder, tmp_path / "work", key="embed")
    assert len(list(tmp_path.glob("work/models/*/signatures"))) == 2


def test_all_functions_of_a_module_are_signatures(tmp_path):
    tf = tensorflow()
    spec = tf.TensorSpec([None, 3], tf.float32, name="x")

    class Two(tf.Module):
        @tf.function(input_signature=[spec])
        def __call__(self, x):
            return {"y": x}

        @tf.function(input_signature=[spec])
        def doubled(self, x):
            return {"y": 2 * x}

    given = brought.bring(Two(), tmp_path / "work")
    assert set(given.keys) == {"serving_default", "doubled"}
    assert given.signature.key == "serving_default"
    assert brought.bring(Two(), tmp_path / "work", key="doubled").signature.key == "doubled"
    assert set(sources.signatures(Path(given.source))) == set(given.keys)
