"""What the page ``try-it/`` gets, and what it gives back."""

import json
from pathlib import Path

import numpy as np
import pytest

from lessons_lib import browser, files, paths, reader, runtime, tables
from lessons_lib.errors import InputError, StorageError
from reference import converted, digits


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    return browser.export(tmp_path_factory.mktemp("exported") / "models").parent


def manifest(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def test_every_path_that_litert_js_takes_is_exported(exported):
    content = manifest(exported)
    refused = {path["name"]: path["reason"] for path in content["refused"]}
    taken = [model["name"] for model in content["models"]]
    assert sorted([*taken, *refused]) == sorted(paths.PATHS)
    assert refused == {
        "int8": "LiteRT.js refuses int8 input",
        "int16x8": "LiteRT.js refuses int16 input",
    }
    written = {"manifest.json", "digits.bin", *(f"{path}.tflite" for path in browser.PATHS)}
    assert {path.name for path in exported.iterdir()} == written


def test_the_manifest_says_what_lies_beside_it(exported):
    content = manifest(exported)
    assert content["reference"] == "mnist_cnn"
    for model in content["models"]:
        file = exported / model["file"]
        assert (model["bytes"], model["sha256"]) == (file.stat().st_size, files.sha256(file))
        assert model["title"] == paths.get(model["name"]).title


@pytest.mark.parametrize("path", browser.PATHS)
def test_an_exported_model_has_a_batch_of_one_and_ends_that_the_browser_takes(exported, path):
    tensors = tables.tensors(exported / f"{path}.tflite")
    ends = tensors[tensors["role"].isin(["input", "output"])]
    assert ends["shape_signature"].tolist() == [(1, 28, 28, 1), (1, 10)]
    assert set(ends["dtype"]) == {"UINT8" if path == "uint8" else "FLOAT32"}
    operators = set(tables.operators(exported / f"{path}.tflite")["operator"])
    assert not operators & {"SHAPE", "STRIDED_SLICE", "PACK"}


@pytest.mark.parametrize("path", browser.PATHS)
def test_a_batch_of_one_changes_no_answer(exported, path):
    images = digits().test.images[:100]
    fixed, dynamic = runtime.Model(exported / f"{path}.tflite"), runtime.Model(converted()[path])
    expected = dynamic.run(dynamic.quantize_input(images))
    found = fixed.run(fixed.quantize_input(images))
    if path in ("uint8", "int8_float_fallback"):
        assert np.array_equal(found, expected)
    else:  # another batch may mean other kernels, and another order of additions
        assert np.allclose(found, expected, atol=1e-5)


def test_the_digits_are_the_first_of_the_test_split(exported):
    stored = np.fromfile(exported / "digits.bin", np.uint8).reshape(-1, 28, 28)
    assert len(stored) == browser.DIGITS == 100
    assert np.array_equal(stored, digits().test.pixels[:100, :, :, 0])
    labels = manifest(exported)["digits"]["labels"]
    assert labels == digits().test.labels[:100].tolist()
    scaled = (stored.astype(np.float32) / np.float32(255))[..., np.newaxis]
    assert np.array_equal(scaled, digits().test.images[:100])


def test_another_reference_is_exported_too(tmp_path):
    folder = browser.export(tmp_path, "ds_cnn").parent
    assert manifest(folder)["reference"] == "ds_cnn"
    assert "DEPTHWISE_CONV_2D" in set(tables.operators(folder / "uint8.tflite")["operator"])


def test_an_export_that_cannot_be_made_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match="no reference model 'resnet'"):
        browser.export(tmp_path / "models", "resnet")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        browser.export(tmp_path / "file" / "models")


# --- what was recorded with the course ---------------------------------------------------------


def test_the_recorded_outputs_are_of_the_files_that_are_exported(exported):
    """On another processor a calibrated range may differ in its last bit: then only the others."""
    recorded = browser.read_outputs().models
    for model in manifest(exported)["models"]:
        same = recorded[model["name"]].sha256 == model["sha256"]
        assert same or paths.get(model["name"]).needs_calibration, model["name"]


@pytest.mark.parametrize("path", browser.PATHS)
def test_the_recorded_outputs_are_those_of_python(exported, path):
    recording = browser.read_outputs().models[path]
    model = runtime.Model(exported / f"{path}.tflite")
    here = model.run(model.quantize_input(digits().test.images[: browser.DIGITS]))
    assert (recording.outputs.shape, recording.outputs.dtype) == (here.shape, here.dtype)
    if files.sha256(exported / f"{path}.tflite") != recording.sha256:
        pytest.skip("this processor converts to another file")
    if path in ("uint8", "int8_float_fallback"):
        assert np.array_equal(here, recording.outputs)
    else:
        assert np.allclose(here, recording.outputs, atol=1e-5)
        assert np.array_equal(here.argmax(axis=1), recording.outputs.argmax(axis=1))


def test_the_record_says_where_it_comes_from():
    recorded = browser.read_outputs()
    assert recorded.machine and "Chrome" in recorded.browser
    lock = json.loads((files.ROOT / "package-lock.json").read_text(encoding="utf-8"))
    version = lock["packages"]["node_modules/@litertjs/core"]["version"]
    assert recorded.runtime == f"@litertjs/core {version}"
    networks = {f"{n}_{p}" for n in ("one_layer", "wide_mlp") for p in ("float32", "uint8")}
    assert networks | set(browser.PATHS) <= set(recorded.models)
    assert browser.RECORDED.stat().st_size < 200_000


# --- reading a file of the page ----------------------------------------------------------------


def content(**changes) -> dict:
    """A file of two models and two digits, as the page writes it, with some changes."""
    model = {
        "name": "float32",
        "bytes": 230_240,
        "sha256": "ab" * 32,
        "dtype": "float32",
        "outputs": [[0.1, 0.9], [0.25, 0.75]],
        "microseconds": [60.5, 55.25, 58.0],
    }
    codes = {"name": "mine", "dtype": "uint8", "outputs": [[0, 255], [3, 128]]}
    written = {
        "format": browser.FORMAT,
        "taken": "2026-11-23",
        "browser": "Mozilla/5.0 (a browser)",
        "runtime": "@litertjs/core 2.5.3",
        "models": [model, model | codes | {"sha256": "cd" * 32}],
    }
    return written | changes


def changed(**changes) -> dict:
    """A file whose second model has some changes; a change to None takes the entry away."""
    models = content()["models"]
    models[1] = {key: value for key, value in (models[1] | changes).items() if value is not None}
    return content(models=models)


def read(tmp_path: Path, written: object) -> browser.Outputs:
    return browser.read_outputs(
        files.write_atomic(tmp_path / "browser-outputs.json", json.dumps(written))
    )


def test_what_the_page_writes_is_read(tmp_path):
    outputs = read(tmp_path, content())
    assert (outputs.taken, outputs.runtime) == ("2026-11-23", "@litertjs/core 2.5.3")
    assert (outputs.browser, outputs.machine) == ("Mozilla/5.0 (a browser)", "")
    floats, codes = outputs.models["float32"], outputs.models["mine"]
    assert (floats.bytes, floats.sha256, floats.median_us) == (230_240, "ab" * 32, 58.0)
    assert (floats.outputs.dtype, codes.outputs.dtype) == (np.float32, np.uint8)
    assert np.array_equal(floats.outputs, np.float32([[0.1, 0.9], [0.25, 0.75]]))
    assert codes.outputs.tolist() == [[0, 255], [3, 128]]
    assert floats.microseconds == (60.5, 55.25, 58.0)


def test_a_machine_and_other_additions_do_no_harm(tmp_path):
    outputs = read(tmp_path, content(machine="a processor, 2 cores", added_later=[1]))
    assert outputs.machine == "a processor, 2 cores"


def test_floats_come_back_to_the_last_bit(tmp_path):
    values = np.random.default_rng(0).random((100, 10), dtype=np.float32)
    rows = [[float(str(value)) for value in row] for row in values]  # the fewest digits that do
    written = changed(dtype="float32", outputs=rows)
    assert np.array_equal(read(tmp_path, written).models["mine"].outputs, values)


def test_one_model_on_both_sides_is_one_model(tmp_path):
    first = content()["models"][0]
    assert list(read(tmp_path, content(models=[first, first])).models) == ["float32"]


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ([], "it has no 'format'"),
        (None, "it has no 'format'"),
        ({"reference": "mnist_cnn"}, "it has no 'format'"),
        (content(format=1), "'format' is 1, expected a text"),
        (content(format="quantization-lessons/browser-outputs/2"), "its format is"),
        (content(models={}), "'models' is {}, expected a list"),
        (content(models=["float32"]), "it has no 'name'"),
        (content(taken=20261123), "'taken' is 20261123, expected a text"),
        ({k: v for k, v in content().items() if k != "browser"}, "it has no 'browser'"),
        (changed(name=7), "'name' is 7, expected a text"),
        (changed(name="float32"), "two models are called 'float32'"),
        (changed(sha256=None), "it has no 'sha256'"),
        (changed(bytes="64216"), "'bytes' is '64216', expected a whole number"),
        (changed(dtype="int8"), "'int8', which no LiteRT.js model gives"),
        (changed(dtype="no dtype"), "which no LiteRT.js model gives"),
        (changed(outputs=None), "it has no 'outputs'"),
        (changed(outputs=[]), "the outputs of 'mine' are not rows of finite numbers"),
        (changed(outputs=[1, 2]), "the outputs of 'mine' are not rows of finite numbers"),
        (changed(outputs=[[1, None]]), "not rows of finite numbers"),
        (changed(outputs=[[1, float("nan")]]), "not rows of finite numbers"),
        (changed(outputs=[[1, 2], [3]]), "not a file"),
        (changed(outputs=[[1, {}]]), "not a file"),
        (changed(outputs=[["a", "b"]]), "not a file"),
        (changed(outputs=[[256, 0]]), "the outputs of 'mine' do not fit into uint8"),
        (changed(outputs=[[-1, 0]]), "the outputs of 'mine' do not fit into uint8"),
        (changed(outputs=[[0.5, 0]]), "the outputs of 'mine' do not fit into uint8"),
        (changed(outputs=[[10**400, 0]]), "not a file"),
        (changed(dtype="float32", outputs=[[1e300, 0.0]]), "do not fit into float32"),
        (changed(microseconds=[]), "the microseconds of 'mine' are not finite numbers"),
        (changed(microseconds=[[1.0]]), "the microseconds of 'mine' are not finite numbers"),
        (changed(microseconds=[0.0]), "'mine' has a time that is not above 0"),
        (changed(microseconds=58), "'microseconds' is 58, expected a list"),
    ],
)
def test_another_content_is_refused_with_the_reason(tmp_path, written, reason):
    with pytest.raises(InputError, match=r"browser-outputs\.json is not a file") as caught:
        read(tmp_path, written)
    assert reason in str(caught.value)
    assert "lesson 14" in str(caught.value)


@pytest.mark.parametrize(
    "raw", [b"", b"\xff\xfe\x00", b"{", b"TFL3" * 10, b"[" * 100_000, b'{"format": "']
)
def test_what_is_no_json_is_refused(tmp_path, raw):
    path = files.write_atomic(tmp_path / "browser-outputs.json", raw)
    with pytest.raises(InputError, match="is not a file that the page's button"):
        browser.read_outputs(path)


def test_a_file_that_is_not_there_is_named_once(tmp_path):
    with pytest.raises(InputError, match="No such file or directory") as caught:
        browser.read_outputs(tmp_path / "missing.json")
    assert str(caught.value).count("missing.json") == 1
    with pytest.raises(InputError, match="is not a file"):
        browser.read_outputs(tmp_path)


# ---- the file without its softmax


def test_without_softmax_a_file_gives_what_goes_into_it():
    whole = converted()["float32"]
    sums = runtime.Model(browser.without_softmax(whole)).predict(digits().test.images)
    shifted = np.exp(sums - sums.max(axis=1, keepdims=True))
    expected = shifted / shifted.sum(axis=1, keepdims=True)
    given = runtime.Model(whole).predict(digits().test.images)
    np.testing.assert_allclose(given, expected, atol=1e-6)


def test_a_file_that_does_not_end_with_softmax_is_refused():
    sums_only = browser.without_softmax(converted()["float32"])
    with pytest.raises(InputError, match=r"no softmax \(lesson 14\)"):
        browser.without_softmax(sums_only)


def test_a_file_without_operators_is_refused():
    empty = reader.read(converted()["float32"])
    empty.subgraphs[0].operators = []
    with pytest.raises(InputError, match=r"no softmax \(lesson 14\)"):
        browser.without_softmax(reader.pack(empty))


def test_a_file_of_the_old_schema_keeps_the_operators_number_elsewhere():
    old = reader.read(converted()["float32"])
    for code in old.operatorCodes:
        assert code.builtinCode <= 127, "a newer operator has no place in the old schema"
        code.deprecatedBuiltinCode, code.builtinCode = code.builtinCode, 0
    last = list(tables.operators(browser.without_softmax(reader.pack(old)))["operator"])[-1]
    assert last == "FULLY_CONNECTED"
