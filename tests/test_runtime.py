import copy
import sys

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from lessons_lib import anatomy, models, paths, runtime, training
from lessons_lib.errors import InputError, ModelFileError
from lessons_lib.quiet import quiet, tensorflow
from reference import converted, digits


def images(count: int = 60) -> np.ndarray:
    return digits().test.images[:count]


@pytest.mark.parametrize("name", paths.PATHS)
def test_batches_give_what_single_images_give(name):
    model = runtime.Model(converted()[name])
    single = np.concatenate([model.predict(image[None]) for image in images(7)])
    # 7 is no multiple of 3: the last batch is short. Float sums may differ in their last bits.
    assert model.predict(images(7), batch_size=3) == pytest.approx(single, abs=1e-5)
    assert model.predict(images(7)).shape == (7, 10)
    assert model.predict(images(7)).dtype == np.float32


@pytest.mark.parametrize("name", paths.PATHS)
@pytest.mark.parametrize("kernels", runtime.KERNELS)
def test_all_kernels_agree_on_the_class_of_clear_digits(name, kernels):
    model = runtime.Model(converted()[name], kernels=kernels)
    expected = runtime.Model(converted()["float32"]).predict(images())
    clear = expected.max(axis=1) > 0.9
    assert clear.sum() > 40
    assert np.array_equal(model.classes(images())[clear], expected.argmax(axis=1)[clear])


def test_the_float_model_is_the_keras_model():
    expected = training.load_keras("mnist_cnn").predict(images(), verbose=0)
    assert runtime.Model(converted()["float32"]).predict(images()) == pytest.approx(
        expected, abs=1e-5
    )


def test_inputs_are_rounded_clipped_and_cast():
    model = runtime.Model(converted()["int8"])
    assert (model.input_scale, model.input_zero_point) == (pytest.approx(1 / 255), -128)
    steps = np.array([0.0, 0.49, 0.51, 254.6, 255.0, 300.0, -20.0], np.float32)
    x = np.zeros((1, 28, 28, 1), np.float32)
    x[0, 0, :7, 0] = steps / 255
    q = model.quantize_input(x)
    assert q.dtype == np.int8
    assert q[0, 0, :7, 0].tolist() == [-128, -128, -127, 127, 127, 127, -128]


def test_every_pixel_code_reaches_uint8_unchanged():
    model = runtime.Model(converted()["uint8"])
    pixels = np.resize(np.arange(256, dtype=np.uint8), (1, 28, 28, 1))
    x = np.divide(pixels, 255, dtype=np.float32)
    assert np.array_equal(model.quantize_input(x), pixels)


def test_outputs_are_dequantized():
    model = runtime.Model(converted()["int8"])
    codes = model.run(model.quantize_input(images(3)))
    assert codes.dtype == np.int8
    assert model.dequantize_output(codes) == pytest.approx(
        (codes.astype(np.float32) + 128) / 256, abs=1e-6
    )


def test_a_model_with_a_fixed_batch_runs_at_its_batch(tmp_path):
    tf = tensorflow()
    signature = [tf.TensorSpec((4, 28, 28, 1), tf.float32, name="image")]
    with quiet():
        models.build("mnist_cnn").export(tmp_path, input_signature=signature, verbose=False)
        content = tf.lite.TFLiteConverter.from_saved_model(str(tmp_path)).convert()
    model = runtime.Model(content)
    assert model.predict(images(6)).shape == (6, 10)
    assert model.predict(images(6))[5] == pytest.approx(model.predict(images(6)[5:])[0], abs=1e-5)


@pytest.mark.parametrize("length", [0, 3, 8, 100, 5_000, 40_000, 60_000, 64_000])
def test_a_truncated_file_is_a_clear_error(length, tmp_path):
    file = tmp_path / "short.tflite"
    file.write_bytes(converted()["int8"][:length])
    with pytest.raises(ModelFileError, match=r"short\.tflite.*corrupted"):
        runtime.Model(file)


def endless_loop() -> bytes:
    """A valid file whose first operator is a loop with the loop itself as its condition."""
    model = anatomy.read(converted()["int8"])
    graph = model.subgraphs[0]
    model.subgraphs.append(copy.deepcopy(graph))
    code = schema.OperatorCodeT(builtinCode=schema.BuiltinOperator.WHILE, version=1)
    code.deprecatedBuiltinCode = code.builtinCode
    model.operatorCodes.append(code)
    graph.tensors.append(copy.deepcopy(graph.tensors[graph.inputs[0]]))
    loop = schema.OperatorT(opcodeIndex=len(model.operatorCodes) - 1, inputs=list(graph.inputs))
    loop.outputs = [len(graph.tensors) - 1]
    loop.builtinOptionsType = schema.BuiltinOptions.WhileOptions
    loop.builtinOptions = schema.WhileOptionsT(condSubgraphIndex=0, bodySubgraphIndex=1)
    graph.operators.insert(0, loop)
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
def test_a_file_that_crashes_the_runtime_does_not_crash_the_caller():
    with pytest.raises(ModelFileError, match=r"crashed the runtime .*SIGSEGV"):
        runtime.Model(endless_loop())


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(ModelFileError, match=r"no \.tflite at all"):
        runtime.Model(b"this is no model")
    with pytest.raises(ModelFileError, match="No such file"):
        runtime.Model(tmp_path / "missing.tflite")


def test_two_outputs_are_refused(tmp_path):
    keras = tensorflow().keras
    x = keras.Input((4,))
    with quiet():
        keras.Model(x, [x + 1, x + 2]).export(tmp_path, verbose=False)
        content = tensorflow().lite.TFLiteConverter.from_saved_model(str(tmp_path)).convert()
    with pytest.raises(ModelFileError, match="1 inputs and 2 outputs"):
        runtime.Model(content)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 28, 28, 1)), r"expected float32 input, got float64: np.float32\(x\)"),
        (np.zeros((2, 28, 28, 1), np.uint8), r"got uint8: images are .*pixels / 255.*lesson 01"),
        (np.zeros((2, 28, 28), np.float32), r"got \(2, 28, 28\) \(lesson 01"),
        (np.zeros((28, 28, 1), np.float32), r"add the batch axis, x\[np.newaxis\] \(lesson 01"),
        (np.zeros((0, 28, 28, 1), np.float32), r"got \(0, 28, 28, 1\)"),
        (np.full((1, 28, 28, 1), np.nan, np.float32), "holds (NaN or inf|nan)"),
    ],
)
@pytest.mark.parametrize("name", ["float32", "int8"])
def test_an_input_that_does_not_fit_is_refused(name, x, message):
    with pytest.raises(InputError, match=message):
        runtime.Model(converted()[name]).predict(x)


def test_integers_are_wanted_where_the_model_has_integers():
    with pytest.raises(
        InputError, match=r"expected int8 input, got float32: Model\.quantize_input"
    ):
        runtime.Model(converted()["int8"]).run(images(1))


def test_the_batch_size_is_at_least_one():
    with pytest.raises(InputError, match="batch_size=0"):
        runtime.Model(converted()["float32"]).predict(images(1), batch_size=0)


def test_unknown_kernels_are_refused():
    with pytest.raises(InputError, match="xnnpack, builtin, reference"):
        runtime.Model(converted()["float32"], kernels="gpu")


def test_at_least_one_thread():
    with pytest.raises(InputError, match="num_threads=0"):
        runtime.Model(converted()["float32"], num_threads=0)


def test_tokens_are_not_images(tmp_path):
    keras = tensorflow().keras
    tokens = keras.Input((5,), dtype="int32")
    with quiet():
        keras.Model(tokens, keras.layers.Embedding(9, 2)(tokens)).export(tmp_path, verbose=False)
        content = tensorflow().lite.TFLiteConverter.from_saved_model(str(tmp_path)).convert()
    with pytest.raises(ModelFileError, match="is int32 of shape"):
        runtime.Model(content)
