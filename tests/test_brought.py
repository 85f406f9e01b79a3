"""brought: what is kept of a model is of that model, and of these packages."""

from pathlib import Path

import any_models
from lessons_lib import brought, jobs, sources
from lessons_lib.system.quiet import tensorflow

_READS = """
from pathlib import Path
def model():
    return Path(__file__).with_name("which.txt").read_text()
"""


def test_code_that_reads_something_else_is_another_model(tmp_path):
    """Such as other weights: the code's own checksum is the same."""
    (tmp_path / "own.py").write_text(_READS)
    for name, factor in (("one", 1), ("five", 5)):
        module = any_models._module(lambda x, by=factor: {"y": x * by}, x=(None, 3))
        any_models.save(module, tmp_path / name)
    found = []
    for name in ("one", "five", "one"):
        (tmp_path / "which.txt").write_text(name)
        given = brought.bring(tmp_path / "own.py", tmp_path / "work")
        graphs = [folder / "saved_model.pb" for folder in (given.source, tmp_path / name)]
        assert graphs[0].read_bytes() == graphs[1].read_bytes()
        found.append(given.sha256)
    assert found[0] == found[2] != found[1]


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
