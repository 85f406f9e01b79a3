import sys

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import tiny_models
from lessons_lib import architectures, micro, paths, reader, runtime, tables, training
from lessons_lib.errors import InputError, LessonError, ModelFileError
from lessons_lib.system.quiet import quiet, tensorflow
from reference import converted, digits
from runtimes import needs_micro


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
        architectures.build("mnist_cnn").export(tmp_path, input_signature=signature, verbose=False)
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


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
def test_a_file_that_crashes_the_runtime_does_not_crash_the_caller():
    with pytest.raises(ModelFileError, match=r"crashed the runtime .*SIGSEGV"):
        runtime.Model(tiny_models.endless_loop(converted()["int8"]))


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


# ---- every tensor, and TFLite-Micro

ALL_RUNTIMES = [*runtime.KERNELS, pytest.param("tflm", marks=needs_micro)]


def codes(count: int, name: str = "int8") -> np.ndarray:
    return runtime.Model(converted()[name]).quantize_input(images(count))


def with_all_activations_as_outputs(content: bytes) -> tuple[bytes, list[int]]:
    """The model changed so that no runtime may skip an activation; and their indices."""
    model = reader.read(content)
    table = tables.tensors(content)
    shown = table[table["role"].isin(["activation", "output"]) & (table["dtype"] == "INT8")]
    model.subgraphs[0].outputs = list(shown["index"])
    return tiny_models.pack(model), list(shown["index"])


@pytest.mark.parametrize("kernels", runtime.KERNELS)
def test_tensor_values_are_what_the_runtime_computes(kernels):
    """Above all XNNPACK, which keeps its intermediate results to itself if it may."""
    content, shown = with_all_activations_as_outputs(converted()["int8"])
    interpreter = runtime._interpreter(content, 1, kernels)
    details = interpreter.get_input_details()[0]
    expected = {index: [] for index in shown}
    for image in codes(20):
        interpreter.set_tensor(details["index"], image[None])
        interpreter.invoke()
        for index in shown:
            expected[index].append(interpreter.get_tensor(index))
    values = runtime.tensor_values(converted()["int8"], codes(20), kernels=kernels)
    assert len(shown) == 8
    for index in shown:
        assert np.array_equal(values[index], np.concatenate(expected[index]))


@pytest.mark.parametrize("kernels", ALL_RUNTIMES)
def test_tensor_values_hold_input_weights_and_output(kernels):
    content, x = converted()["int8"], codes(7)
    values = runtime.tensor_values(content, x, kernels=kernels)
    table = tables.tensors(content)
    source, result = (table.index[table["role"] == role][0] for role in ("input", "output"))
    assert np.array_equal(values[source], x)
    if kernels == "tflm":
        assert np.array_equal(values[result], micro.run(content, x))
    else:
        assert np.array_equal(values[result], runtime.Model(content, kernels=kernels).run(x))
    for row in table[table["role"].isin(["weight", "bias"])].itertuples():
        assert np.array_equal(values[row.index], reader.constant(content, row.name))


@pytest.mark.parametrize("kernels", ALL_RUNTIMES)
def test_tensor_values_of_a_fixed_batch_are_joined(kernels):
    content = tiny_models.converted("depthwise", "int8", 2)
    model = runtime.Model(content)
    x = model.quantize_input(tiny_models.images((8, 8, 4), 5))
    together = runtime.tensor_values(content, x, kernels=kernels)
    alone = [runtime.tensor_values(content, x[i : i + 1], kernels=kernels) for i in range(5)]
    computed = ["input", "activation", "output"]
    roles = tables.tensors(content)["role"]
    assert set(roles[roles.isin(computed)].index) <= set(together)
    for index, values in together.items():
        joined = np.concatenate([one[index] for one in alone])
        expected = joined if roles[index] in computed else alone[0][index]
        assert np.array_equal(values, expected)


def test_tensor_values_of_a_float_model():
    values = runtime.tensor_values(converted()["float32"], images(4))
    result = reader.read(converted()["float32"]).subgraphs[0].outputs[0]
    model = runtime.Model(converted()["float32"], kernels="reference")
    assert values[result] == pytest.approx(model.predict(images(4)), abs=1e-6)


@needs_micro
@pytest.mark.parametrize("name", ["float32", "int8", "uint8", "int16x8", "int8_float_fallback"])
def test_micro_agrees_on_clear_digits(name):
    model = runtime.Model(converted()[name], kernels="reference")
    x = model.quantize_input(images(30))
    outputs = micro.run(converted()[name], x)
    assert (outputs.dtype, outputs.shape) == (model.output_dtype, (30, 10))
    probabilities = model.dequantize_output(outputs)
    assert probabilities == pytest.approx(model.predict(images(30)), abs=0.02)


@needs_micro
@pytest.mark.parametrize("name", ["dynamic_range", "float16"])
def test_what_micro_does_not_run_is_named(name, capfd):
    with pytest.raises(ModelFileError, match=r"TFLite-Micro does not run .*failed to prepare"):
        micro.run(converted()[name], images(1))
    assert capfd.readouterr() == ("", "")


@needs_micro
def test_micro_is_quiet(capfd):
    micro.run(converted()["int8"], codes(2))
    assert capfd.readouterr() == ("", "")


@needs_micro
def test_micro_has_room_for_activations_larger_than_the_file():
    shape = (1, 200, 200, 8)
    ends = [tiny_models.tensor(name, "INT8", shape, 1, 0) for name in "xy"]
    pool = schema.Pool2DOptionsT(schema.Padding.SAME, 1, 1, 2, 2)
    content = tiny_models.assemble(ends, [("MAX_POOL_2D", pool, [0], [1])], [0], [1])
    x = np.random.default_rng(0).integers(-128, 128, shape).astype(np.int8)
    model = runtime.Model(content, kernels="reference")
    assert np.array_equal(micro.run(content, x), model.run(x))


def test_micro_is_not_everywhere(monkeypatch):
    monkeypatch.setattr(runtime.importlib.util, "find_spec", lambda name: None)
    assert not micro.installed()
    with pytest.raises(LessonError, match=r"not installed: .* Linux on x86-64 .*lesson 09"):
        micro.run(converted()["int8"], codes(1))
    with pytest.raises(LessonError, match="not installed"):
        runtime.tensor_values(converted()["int8"], codes(1), kernels="tflm")


@pytest.mark.parametrize("kernels", ALL_RUNTIMES)
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 28, 28, 1), np.float32), "expected int8 input, got float32"),
        (np.zeros((2, 28, 28), np.int8), r"got \(2, 28, 28\)"),
    ],
)
def test_tensor_values_check_their_input(kernels, x, message):
    with pytest.raises(InputError, match=message):
        runtime.tensor_values(converted()["int8"], x, kernels=kernels)


@needs_micro
def test_micro_checks_its_input_and_its_file():
    with pytest.raises(InputError, match="expected int8 input, got float32"):
        micro.run(converted()["int8"], images(1))
    with pytest.raises(ModelFileError, match="corrupted"):
        micro.run(converted()["int8"][:40_000], codes(1))


def test_tensor_values_refuse_unknown_kernels():
    with pytest.raises(InputError, match="xnnpack, builtin, reference"):
        runtime.tensor_values(converted()["int8"], codes(1), kernels="gpu")
