import shutil
import sys

import numpy as np
import pytest

from lessons_lib import (
    by_tensorflow,
    calibration,
    every_path,
    outcome,
    paths,
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
    with pytest.raises(ConversionError, match="cannot be read as a SavedModel"):
        by_tensorflow.convert(folder, "float32")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
def test_a_crash_of_the_converter_is_an_error_and_leaves_no_file(tmp_path):
    tf = tensorflow()
    keras = tf.keras
    model = keras.Sequential([keras.Input((8, 3), name="x"), keras.layers.LSTM(4)])
    with quiet():
        fixed = [tf.TensorSpec((1, 8, 3), tf.float32, name="x")]
        model.export(tmp_path / "lstm", input_signature=fixed, verbose=False)
    sequences = np.random.default_rng(0).random((10, 8, 3), np.float32)
    dataset = calibration.representative_dataset(sequences, 10)
    with pytest.raises(ConversionError, match=r"converter died on .*SIGSEGV"):
        every_path.convert(tmp_path / "lstm", dataset, tmp_path / "out", names=["int8"])
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path):
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        by_tensorflow.convert_all(training.reference(), None, in_the_way, names=["float32"])
    assert in_the_way.read_text() == ""


def test_a_saved_model_without_the_usual_signature_is_a_clear_error(tmp_path):
    tf = tensorflow()
    module = tf.Module()
    module.f = tf.function(lambda x: 2 * x, input_signature=[tf.TensorSpec((None, 28, 28, 1))])
    with quiet():
        tf.saved_model.save(module, str(tmp_path), signatures={"other": module.f})
    with pytest.raises(ConversionError, match="no signature serving_default"):
        by_tensorflow.convert(tmp_path, "int8", samples(10))


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
