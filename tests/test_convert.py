import ast
import re
import shutil
import sys
import warnings

import numpy as np
import pytest

import any_models
import tiny_models
from lessons_lib import (
    by_litert,
    by_tensorflow,
    calibration,
    every_path,
    outcome,
    paths,
    reader,
    runtime,
    signature,
    sources,
    tables,
    training,
)
from lessons_lib.errors import ConversionError, InputError, ModelFileError, StorageError
from lessons_lib.system.quiet import quiet, tensorflow
from reference import converted, digits

WEIGHT_DTYPES = {
    "float32": "FLOAT32",
    "dynamic_range": "INT8",
    "float16": "FLOAT16",
    "int8_float_fallback": "INT8",
    "int8": "INT8",
    "uint8": "INT8",
    "int16x8": "INT8",
}


def samples(count: int = 100):
    return calibration.representative_dataset(digits().calibration, count)


def tiny(layers, folder, shape=(28, 28, 1)):
    """Save a small model of ``layers`` and return its folder."""
    keras = tensorflow().keras
    keras.utils.set_random_seed(0)
    return sources.save(keras.Sequential([keras.Input(shape, name="image"), *layers]), folder)


@pytest.mark.parametrize("name", paths.PATHS)
def test_each_path_keeps_its_promise(name):
    found = outcome.audit(converted()[name], name)
    promise = paths.PATHS[name]
    assert (found.input_dtype, found.output_dtype) == (promise.input_dtype, promise.output_dtype)
    assert found.integer_only == promise.integer_only
    tensors = tables.tensors(converted()[name])
    dense = tensors[(tensors.role == "weight") & (tensors.bytes > 10_000)]
    assert set(dense.dtype) == {WEIGHT_DTYPES[name]}


def test_the_audit_refuses_a_model_of_another_path():
    with pytest.raises(ConversionError, match="promises int8 input"):
        outcome.audit(converted()["float32"], "int8")


def test_the_same_samples_give_the_same_bytes_in_another_process():
    assert by_tensorflow.convert(training.reference(), "int8", samples()) == converted()["int8"]


@pytest.mark.parametrize("name", [n for n, path in paths.PATHS.items() if path.needs_calibration])
def test_a_path_that_calibrates_wants_a_representative_dataset(name):
    with pytest.raises(ConversionError, match="needs a representative_dataset"):
        by_tensorflow.convert(training.reference(), name)


def test_an_unknown_path_is_refused():
    with pytest.raises(InputError, match="no path 'int4'"):
        by_tensorflow.convert(training.reference(), "int4")


def test_a_float_island_is_an_error_and_is_named(tmp_path):
    keras = tensorflow().keras
    layers = [keras.layers.Flatten(), keras.layers.Dense(4, activation="elu")]
    folder = tiny(layers, tmp_path / "elu")
    with pytest.raises(ConversionError, match=r"int8 promises integers only.*ELU"):
        by_tensorflow.convert(folder, "int8", samples(10))
    with pytest.raises(ConversionError, match="refused the path int16x8"):
        by_tensorflow.convert(folder, "int16x8", samples(10))


def test_a_folder_that_is_no_saved_model_is_refused(tmp_path):
    with pytest.raises(ModelFileError, match="is not a SavedModel"):
        by_tensorflow.convert(tmp_path, "float32")
    with pytest.raises(ModelFileError, match="does not exist"):
        by_tensorflow.convert(tmp_path / "nowhere", "float32")


def test_a_damaged_saved_model_is_a_clear_error(tmp_path):
    folder = shutil.copytree(training.reference(), tmp_path / "damaged")
    graph = folder / "saved_model.pb"
    graph.write_bytes(graph.read_bytes()[:1000])
    with pytest.raises(ModelFileError, match="damaged cannot be read as a SavedModel"):
        by_tensorflow.convert(folder, "float32")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
def test_a_crash_of_the_converter_is_an_error_that_names_a_cure(tmp_path):
    folder = any_models.save(any_models.lstm(), tmp_path / "lstm")
    message = r"the path int8, .*SIGSEGV.*unroll=True.*dynamic_range"
    with pytest.raises(ConversionError, match=message):
        by_tensorflow.convert(folder, "int8", any_models.drawn(folder, 10))
    assert len(by_tensorflow.convert(folder, "dynamic_range")) > 1000
    unrolled = any_models.lstm(unroll=True)
    unrolled.set_weights(any_models.lstm().get_weights())
    folder = any_models.save(unrolled, tmp_path / "unrolled")
    x = any_models.drawn(folder, 10)
    model = runtime.Model(by_tensorflow.convert(folder, "int8_float_fallback", x))
    assert model.predict(x) == pytest.approx(any_models.lstm()(x["x"]).numpy(), abs=0.05)


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path):
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        every_path.convert(training.reference(), None, in_the_way, names=["float32"])
    assert in_the_way.read_text() == ""


def test_the_default_signature_is_converted_and_no_other(tmp_path):
    folder = any_models.save(any_models.two_signatures(), tmp_path / "two")
    x = np.random.default_rng(0).random((9, 4), np.float32)
    for path in ("float32", "int8"):
        content = by_tensorflow.convert(folder, path, x)
        assert list(signature.all_of_file(content)) == ["serving_default"]
        assert len(reader.read(content).subgraphs) == 1
        assert runtime.Model(content).predict(x) == pytest.approx(x + 1, abs=0.01)
    content = by_tensorflow.convert(folder, "int8", x, signature="embed")
    assert runtime.Model(content).predict(x) == pytest.approx(100 * x, abs=1)
    with pytest.raises(InputError, match="no signature 'train'; choose one"):
        by_tensorflow.convert(folder, "int8", x, signature="train")


def test_one_signature_of_another_name_is_taken(tmp_path):
    module, signatures = any_models.rank_1()
    folder = any_models.save((module, {"other": signatures["serving_default"]}), tmp_path / "m")
    x = np.float32([0, 0.5, 1])
    assert runtime.Model(by_tensorflow.convert(folder, "int8", x)).predict(x) == pytest.approx(
        3 * x + 1, abs=0.02
    )


def test_a_saved_model_without_a_signature_is_refused(tmp_path):
    folder = any_models.save((any_models.rank_1()[0], None), tmp_path / "m")
    with pytest.raises(ModelFileError, match=r"has no signature, which .*sources\.save"):
        by_tensorflow.convert(folder, "float32")


@pytest.mark.parametrize("path", ["float32", "int8_float_fallback", "int8"])
def test_two_inputs_are_calibrated_each_with_its_own_samples(path, tmp_path):
    """Whatever the order in which the samples name them: ranges of 1 and of 50."""
    folder = any_models.save(any_models.two_ends(), tmp_path / "two")
    x = any_models.drawn(folder, 50)
    x["b.x"] *= 50
    content = by_tensorflow.convert(folder, path, dict(reversed(x.items())))
    found = signature.of_file(content)
    if path == "int8":
        scales = {name: spec.scale for name, spec in found.inputs.items()}
        assert scales == pytest.approx({"b.x": 50 / 255, "my-input": 1 / 255}, rel=0.02)
    prices = any_models.two_ends()([x["my-input"], x["b.x"]])["price"].numpy()
    error = runtime.Model(content).predict(x)["price"] - prices
    assert np.abs(error).max() < 0.03 * np.ptp(prices)
    swapped = by_tensorflow.convert(folder, path, (x["b.x"], x["my-input"]))
    assert swapped == content


@pytest.mark.parametrize("path", ["dynamic_range", "int8_float_fallback", "int8", "uint8"])
def test_tokens_go_down_every_path(path, tmp_path):
    folder = any_models.save(any_models.tokens(), tmp_path / "text")
    ids = np.random.default_rng(0).integers(0, 500, (50, 12)).astype(np.int32)
    content = by_tensorflow.convert(folder, path, ids)
    outcome.audit(content, path)
    expected = any_models.tokens()(ids).numpy()
    assert runtime.Model(content).predict(ids) == pytest.approx(expected, abs=0.01)


def test_where_the_converter_has_nothing_for_tokens_the_other_lane_has(tmp_path):
    folder = any_models.save(any_models.tokens(), tmp_path / "text")
    ids = np.random.default_rng(0).integers(0, 500, (50, 12)).astype(np.int32)
    with pytest.raises(ConversionError, match=r"int16x8.*an integer input.*by_litert\.quantize"):
        by_tensorflow.convert(folder, "int16x8", ids)
    content = by_litert.quantize(by_tensorflow.convert(folder, "float32"), "int16x8", ids)
    expected = any_models.tokens()(ids).numpy()
    assert runtime.Model(content).predict(ids) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("size", [1, 4, 7])
def test_a_fixed_batch_is_calibrated_whatever_a_sample_is(size, tmp_path):
    folder = any_models.save(any_models.four_at_once(), tmp_path / "four")
    x = any_models.drawn(folder, 20)["image"]
    whole = by_tensorflow.convert(folder, "int8", x)
    stacks = lambda: ([x[start : start + size]] for start in range(0, 20, size))  # noqa: E731
    assert by_tensorflow.convert(folder, "int8", stacks) == whole
    expected = np.concatenate([any_models.four_at_once()(x[i : i + 4]).numpy() for i in (0, 4, 8)])
    assert runtime.Model(whole).predict(x[:10]) == pytest.approx(expected[:10], abs=0.03)


def test_open_sizes_are_named_with_a_cure_that_works(tmp_path):
    folder = any_models.save(any_models.any_size(), tmp_path / "open")
    with pytest.raises(
        ConversionError, match=r"image: float32 \(\?, \?, \?, 3\) is open.*shapes="
    ) as e:
        by_tensorflow.convert(folder, "int8", tiny_models.images((32, 32, 3), 5))
    cure = re.search(r"shapes=(\{.*?\})\)", str(e.value))[1]
    assert ast.literal_eval(cure) == {"image": (1, 96, 96, 3)}
    shapes = {"image": (1, 32, 32, 3)}
    fixed = sources.save(any_models.any_size(), tmp_path / "fixed", shapes=shapes)
    images = (
        tiny_models.images((32, 32, 3), 5)
        * np.linspace(0, 1, 5, dtype=np.float32)[:, None, None, None]
    )
    model = runtime.Model(by_tensorflow.convert(fixed, "int8", images))
    expected = any_models.any_size()(images).numpy()
    assert model.predict(images) == pytest.approx(expected, abs=0.02)
    assert runtime.Model(by_tensorflow.convert(folder, "dynamic_range")).predict(
        images
    ) == pytest.approx(expected, abs=0.02)


def test_the_codes_settings_are_those_that_the_lessons_write_out():
    """The article's four conversions, written as in its code, give the same bytes."""
    tf = tensorflow()
    converter = tf.lite.TFLiteConverter.from_saved_model(str(training.reference()))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    with quiet():
        dynamic_range = converter.convert()
        converter.target_spec.supported_types = [tf.float16]
        float16 = converter.convert()
    assert dynamic_range == converted()["dynamic_range"]
    assert float16 == converted()["float16"]


@pytest.mark.parametrize("path", ["dynamic_range", "int8"])
def test_a_converter_is_configured_whatever_was_set_before(path):
    tf = tensorflow()
    converter = tf.lite.TFLiteConverter.from_saved_model(str(training.reference()))
    converter.optimizations = ...
    converter.target_spec.supported_types = [tf.float16]
    converter.target_spec.supported_ops = ...
    converter.inference_input_type = "int8"
    by_tensorflow.configure(converter, path, samples() if path == "int8" else None)
    with quiet():
        assert converter.convert() == converted()[path]


def test_what_is_deprecated_inside_the_converter_is_not_the_users_business(tmp_path):
    folder = any_models.save(any_models.regression(), tmp_path / "m")
    with warnings.catch_warnings(action="error"):
        assert by_tensorflow.convert(folder, "int8", any_models.drawn(folder, 30))


def test_chance_leaves_no_split_in_float(tmp_path):
    """The converter alone does, in one call of five, for the same SavedModel and samples."""
    x = np.random.default_rng(0).normal(size=(30, 8, 3)).astype(np.float32)
    samples = calibration.representative_dataset(x, samples=30)
    folder = sources.save(any_models.lstm(unroll=True), tmp_path / "model", batch_size=1)
    for _ in range(10):
        content = by_tensorflow.convert(folder, "int8", samples)
        assert tables.audit(content).integer_only
