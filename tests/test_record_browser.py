"""What the recorder makes of the files that the page's button saved."""

import json

import numpy as np
import pytest

import record_browser
from lessons_lib import browser, files
from lessons_lib.errors import InputError


def model(name, times, dtype="float32", outputs=((0.25, 0.75),), sha256="ab"):
    rows = [list(row) for row in outputs]
    return {
        "name": name,
        "bytes": 10,
        "sha256": sha256,
        "dtype": dtype,
        "outputs": rows,
        "microseconds": list(times),
    }


def saved(left, right):
    head = {"format": browser.FORMAT, "taken": "2026-11-23", "browser": "a", "runtime": "b"}
    return head | {"models": [left, right]}


def rounds(name, *times):
    """One pair, measured once for each of ``times``; the left model is faster every time."""
    return [
        saved(model("float32", [100.0 - len(name) - k] * 3), model(name, [value] * 3))
        for k, value in enumerate(times)
    ]


def test_each_model_is_merged_once_in_its_quietest_round(monkeypatch):
    monkeypatch.setattr(record_browser, "ROUNDS", 3)
    contents = [*rounds("uint8", 30.0, 20.0, 25.0), *rounds("wide_mlp_uint8", 300.0, 310.0, 290.0)]
    merged = record_browser.merged(contents)
    found = {entry["name"]: entry["microseconds"][0] for entry in merged["models"]}
    assert list(found) == ["float32", "uint8", "wide_mlp_uint8"]
    assert (found["uint8"], found["wide_mlp_uint8"]) == (20.0, 290.0)
    # The left model was timed six times, and has no more chances than the others.
    assert found["float32"] == 93.0
    assert (merged["format"], merged["taken"]) == (browser.FORMAT, "2026-11-23")


def test_the_quietest_round_is_that_of_the_lowest_median():
    one_disturbed = saved(model("float32", [50.0]), model("uint8", [20.0, 21.0, 900.0]))
    all_slower = saved(model("float32", [50.0]), model("uint8", [19.0, 22.0, 23.0]))
    merged = record_browser.merged([all_slower, one_disturbed])
    assert merged["models"][1]["microseconds"] == [20.0, 21.0, 900.0]


def test_shortened_floats_are_the_same_floats():
    values = np.random.default_rng(0).random((20, 10), dtype=np.float32)
    long = model("float32", [12.3456], outputs=values.astype(float).tolist())
    short = record_browser.shortened(long)
    assert np.array_equal(np.array(short["outputs"], np.float32), values)
    assert len(json.dumps(short)) < 0.7 * len(json.dumps(long))
    assert short["microseconds"] == [12.35]


def test_codes_stay_codes():
    short = record_browser.shortened(model("uint8", [1.0], "uint8", outputs=[(0, 255)]))
    assert short["outputs"] == [[0, 255]]


def test_another_file_than_the_one_that_was_meant_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(record_browser, "SITE", tmp_path)
    folder = tmp_path / "try-it" / "models"
    folder.mkdir(parents=True)
    manifest = {"models": [{"name": "float32", "sha256": "ab"}]}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    own = files.write_atomic(tmp_path / "one_layer_uint8.tflite", b"a model")
    right = model("one_layer_uint8", [1.0], sha256=files.sha256(b"a model"))
    record_browser.require_these(saved(model("float32", [1.0]), right), [own])
    with pytest.raises(InputError, match="other files"):
        record_browser.require_these(saved(model("float32", [1.0], sha256="cd"), right), [own])
    with pytest.raises(InputError, match="other files"):
        record_browser.require_these(saved(model("float32", [1.0]), right | {"sha256": "x"}), [own])
    with pytest.raises(InputError, match="other files"):
        record_browser.require_these(saved(model("float32", [1.0]), right), [])


def test_the_machine_is_named():
    assert record_browser.machine().endswith(" cores")
    assert record_browser.machine()[0] != ","


def test_a_site_that_is_not_built_is_an_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(record_browser, "SITE", tmp_path)
    assert record_browser.main() == 1
    assert "make book" in capsys.readouterr().err
