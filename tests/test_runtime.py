import concurrent.futures
import sys

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import any_models
import tiny_models
from lessons_lib import (
    architectures,
    by_tensorflow,
    micro,
    paths,
    reader,
    runtime,
    samples,
    tables,
    training,
)
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
    with pytest.raises(ModelFileError, match=r"short\.tflite: .*(corrupted|not a \.tflite file)"):
        runtime.Model(file)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
def test_a_file_that_crashes_the_runtime_does_not_crash_the_caller():
    with pytest.raises(ModelFileError, match=r"these bytes: the kernels 'xnnpack' .*SIGSEGV"):
        runtime.Model(tiny_models.endless_loop(converted()["int8"]))


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(ModelFileError, match=r"not a \.tflite file"):
        runtime.Model(b"this is no model")
    with pytest.raises(ModelFileError, match="No such file"):
        runtime.Model(tmp_path / "missing.tflite")


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 28, 28, 1)), r"expected float32 input, got float64: x\.astype\('float32'\)"),
        (np.zeros((2, 28, 28, 1), np.uint8), r"got uint8: scale it as in training.*lesson 01"),
        (np.zeros((2, 28, 28), np.float32), r"^image: .* got \(2, 28, 28\) \(lesson 01"),
        (
            np.zeros((28, 28, 1), np.float32),
            r"^image: .*add the batch axis, x\[np.newaxis\] \(lesson 01",
        ),
        (np.zeros((0, 28, 28, 1), np.float32), r"at least one: 0 of image"),
        (np.full((1, 28, 28, 1), np.nan, np.float32), "image holds NaN"),
        (np.full((1, 28, 28, 1), -np.inf, np.float32), "image holds inf"),
        ([0.5, 0.25], r"takes image; given: float, float\. .*\{'image': array\}"),
        ("digit.png", r"image is a str, not an array or a tensor"),
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
    interpreter.allocate_tensors()
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


@needs_micro
@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_micro_names_an_end_that_is_none_of_the_subgraph(side):
    model = reader.read(converted()["int8"])
    (named,) = getattr(model.signatureDefs[0], side)
    named.tensorIndex = model.subgraphs[0].operators[1].outputs[0]
    with pytest.raises(
        ModelFileError, match=r"the signature names \w+, which the subgraph neither"
    ):
        micro.run(reader.pack(model), codes(2))


def test_micro_is_not_everywhere(monkeypatch):
    monkeypatch.setattr(micro.importlib.util, "find_spec", lambda name: None)
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


# ---- any model: by name, in its own shapes


def answers(name: str, found: dict, row: slice) -> dict:
    """What the float model itself answers, without TensorFlow Lite."""
    model = getattr(any_models, name)()
    if isinstance(model, tuple):
        part = {key: array[row] for key, array in found.items()}
        return {key: value.numpy() for key, value in model[1]["serving_default"](**part).items()}
    part = [found[tensor.name][row] for tensor in model.inputs]
    outputs = model(part if len(part) > 1 else part[0])
    named = outputs if isinstance(outputs, dict) else {"output_0": outputs}
    return {key: value.numpy() for key, value in named.items()}


@pytest.mark.parametrize("kernels", ALL_RUNTIMES[:2])
def test_two_inputs_go_in_and_two_outputs_come_out_by_name(kernels):
    model = runtime.Model(any_models.converted("two_ends"), kernels=kernels)
    x = samples.drawn(model.signature, 7)
    expected = answers("two_ends", x, slice(None))
    for given in (x, dict(reversed(x.items())), (x["b.x"], x["my-input"]), list(x.values())):
        found = model.predict(given, batch_size=3)
        assert found.keys() == {"kind", "price"}
        for name, array in expected.items():
            assert found[name] == pytest.approx(array, abs=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"my-input": None}, r"a dictionary with 'b\.x'; .* called 'b\.x', 'my-input'"),
        ({"age": np.zeros((7, 4), np.float32)}, "a dictionary with 'b.x', 'my-input', 'age'"),
        ({"b.x": np.zeros((6, 4), np.float32)}, r"same number .*: 6 of b\.x, 7 of my-input"),
        ({"b.x": np.zeros((7, 5), np.float32)}, r"^b\.x: .*got \(7, 5\) \(lesson 01\)"),
        ({"b.x": np.zeros((7, 4))}, r"^b\.x: .*got float64: "),
    ],
)
def test_each_input_is_checked_by_its_name(change, message):
    model = runtime.Model(any_models.converted("two_ends"))
    x = samples.drawn(model.signature, 7) | change
    with pytest.raises(InputError, match=message):
        model.predict({name: array for name, array in x.items() if array is not None})
    with pytest.raises(InputError, match=r"takes b\.x, my-input; given: ndarray\. Give a dict"):
        model.predict(np.zeros((7, 4), np.float32))


def test_quantized_ends_are_quantized_each_with_its_own_scale():
    model = runtime.Model(any_models.converted("two_ends", "int8"))
    x = samples.drawn(model.signature, 7)
    x = {
        name: np.random.default_rng(0).random(array.shape, np.float32) for name, array in x.items()
    }
    codes = model.quantize_input(x)
    assert {array.dtype for array in codes.values()} == {np.dtype("int8")}
    for name, spec in model.signature.inputs.items():
        assert codes[name] == pytest.approx(x[name] / spec.scale + spec.zero_point, abs=0.5001)
    outputs, found = model.run(codes), model.predict(x)
    for name, spec in model.signature.outputs.items():
        assert outputs[name].dtype == np.int8
        assert found[name] == pytest.approx((outputs[name] - spec.zero_point) * spec.scale)
        assert found[name] == pytest.approx(answers("two_ends", x, slice(None))[name], abs=0.05)


@pytest.mark.parametrize("path", ["float32", "int8"])
def test_tokens_stay_integers(path):
    model = runtime.Model(any_models.converted("tokens", path))
    ids = np.random.default_rng(0).integers(0, 500, (9, 12)).astype(np.int32)
    expected = answers("tokens", {"ids": ids}, slice(None))["output_0"]
    assert model.predict(ids) == pytest.approx(expected, abs=1e-5 if path == "float32" else 0.02)
    assert model.quantize_input(ids).dtype == np.int32
    with pytest.raises(
        InputError, match=r"expected int32 input, got float32: x\.astype\('int32'\)"
    ):
        model.predict(ids.astype(np.float32))


def test_bytes_go_in_as_they_are():
    model = runtime.Model(any_models.converted("bytes_in"))
    image = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 3)).astype(np.uint8)
    expected = answers("bytes_in", {"image": image}, slice(None))["output_0"]
    assert model.predict(image) == pytest.approx(expected, abs=1e-5)
    with pytest.raises(InputError, match="expected uint8 input, got float32"):
        model.predict(image / np.float32(255))


@pytest.mark.parametrize("count", [1, 4, 10])
@pytest.mark.parametrize("path", ["float32", "int8"])
def test_ten_samples_go_through_a_model_of_four(count, path):
    model = runtime.Model(any_models.converted("four_at_once", path))
    x = tiny_models.images((8, 8, 3), count)
    expected = np.concatenate(
        [answers("four_at_once", {"image": image[None]}, slice(None))["output_0"] for image in x]
    )
    found = model.predict(x, batch_size=3)
    assert (model.fixed_batch, found.shape) == (4, (count, 3))
    assert found == pytest.approx(expected, abs=1e-5 if path == "float32" else 0.02)


@pytest.mark.parametrize("name", ["other_rows", "no_batch", "scalar", "summed", "rank_1"])
def test_each_sample_has_its_own_answer_whatever_its_shape(name):
    """Rows of an output that are no samples, sums over the batch, no batch axis, no axis at all."""
    model = runtime.Model(any_models.converted(name))
    x = samples.drawn(model.signature, 5, seed=1)
    ((key, array),) = x.items()
    alone = [answers(name, {key: _as_called(model, key, array[i : i + 1])}, ...) for i in range(5)]
    expected = np.stack([_without_count(next(iter(one.values()))) for one in alone])
    found = model.predict(array)
    assert found == pytest.approx(expected, abs=1e-5)
    assert model.predict(array[:1]) == pytest.approx(expected[:1], abs=1e-5)


def _as_called(model, key, array):
    spec = model.signature.inputs[key]
    return array if spec.shape[:1] in ((None,), (1,)) else array[0]


def _without_count(array):
    return array[0] if array.shape[:1] == (1,) else array


def of_function(function, folder):
    """The float32 file of a function of x (N, 8)."""
    tf = tensorflow()
    module, spec = tf.Module(), tf.TensorSpec((None, 8), tf.float32, name="x")
    module.call = tf.function(lambda x: {"y": function(tf, x)}, input_signature=[spec])
    any_models.save((module, {"serving_default": module.call}), folder)
    return by_tensorflow.converted(folder, "float32", None, None, None)[0]


@pytest.mark.parametrize(
    "function",
    [
        lambda tf, x: tf.matmul(x, x, transpose_b=True),  # each with every other
        lambda tf, x: (x - tf.reduce_mean(x, 0)) / tf.math.reduce_std(x, 0),
        lambda tf, x: tf.reverse(x, [0]),
        lambda tf, x: tf.cumsum(x, 0),
    ],
)
def test_answers_that_depend_on_the_others_are_not_pieced_together(function, tmp_path):
    content = of_function(function, tmp_path)
    x = np.random.default_rng(0).random((60, 8), np.float32)
    expected = function(tensorflow(), x).numpy()
    model = runtime.Model(content)
    for _ in range(2):
        with pytest.raises(InputError, match=r"y to a sample depends on the other .*batch_size=60"):
            model.predict(x)
    assert model.predict(x, batch_size=60) == pytest.approx(expected, abs=1e-4)
    assert model.predict(x[:3]).shape == (3, *function(tensorflow(), x[:3]).shape[1:])


@pytest.mark.parametrize("seed", [None, 3])
def test_chance_inside_a_model_is_not_taken_for_neighbours(seed, tmp_path):
    content = of_function(lambda tf, x: x + tf.random.normal(tf.shape(x), seed=seed), tmp_path)
    x = np.zeros((60, 8), np.float32)
    found = runtime.Model(content).predict(x)
    assert found.shape == (60, 8) and np.ptp(found) > 1


def test_only_a_first_batch_of_several_is_compared_with_a_sample_alone(monkeypatch):
    model = runtime.Model(converted()["int8"])
    sizes, invoke = [], model._invoke
    monkeypatch.setattr(
        model, "_invoke", lambda part: sizes.append(samples.count(part)) or invoke(part)
    )
    for count in (40, 101, 60):
        model.predict(images(60)[np.arange(count) % 60])
    assert sizes == [40, 50, 1, 50, 50, 50, 50]


def test_where_sizes_are_open_each_one_is_tried_in_a_child_before_it_is_run_here(monkeypatch):
    content = any_models.converted("any_size")
    tried = []
    once = runtime.sandbox.once

    def seen(content, source, use, *rest):
        tried.append((use, runtime.sandbox.is_trusted(content, use)))
        return once(content, source, use, *rest)

    monkeypatch.setattr(runtime.sandbox, "once", seen)
    monkeypatch.setattr(runtime.sandbox, "_trusted", set())
    model = runtime.Model(content)
    for side, count in ((9, 1), (9, 3), (11, 1)):
        model.predict(np.zeros((count, side, 8, 3), np.float32))
    assert tried == [
        ("xnnpack", False),
        ("xnnpack [(9, 8, 3)]", False),
        ("xnnpack [(9, 8, 3)]", True),
        ("xnnpack [(11, 8, 3)]", False),
    ]


def test_several_threads_share_one_model():
    model = runtime.Model(converted()["int8"])
    images = digits().test.images[:64]
    expected = model.predict(images, batch_size=8)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda n: model.predict(images[n : n + 8]), [0, 8, 16, 24] * 50))
    for n, one in zip([0, 8, 16, 24] * 50, found, strict=True):
        assert np.array_equal(one, expected[n : n + 8])


def test_a_size_on_which_the_runtime_dies_does_not_end_the_caller():
    """A loop without an end, behind an input of open height and width."""
    content = tiny_models.endless_loop(any_models.converted("any_size"))
    model = runtime.Model(content)
    with pytest.raises(ModelFileError, match="ended with signal"):
        model.predict(np.zeros((1, 9, 9, 3), np.float32))


def test_an_image_of_any_size_goes_through():
    model = runtime.Model(any_models.converted("any_size"))
    for side in (9, 32, 17):
        image = tiny_models.images((side, side, 3), 3)
        expected = answers("any_size", {"image": image}, slice(None))["output_0"]
        assert model.predict(image) == pytest.approx(expected, abs=1e-5)
    with pytest.raises(InputError, match=r"shape \(N, \?, \?, 3\), got \(3, 9, 9, 1\)"):
        model.predict(np.zeros((3, 9, 9, 1), np.float32))


@pytest.mark.parametrize("kernels", runtime.KERNELS)
def test_a_state_starts_anew_at_every_call(kernels):
    model = runtime.Model(any_models.converted("state"), kernels=kernels)
    x = np.random.default_rng(0).random((6, 8), np.float32)
    first, again, backwards = model.predict(x), model.predict(x), model.predict(x[::-1])
    assert np.array_equal(first, again)
    assert np.array_equal(first, backwards[::-1])
    alone = answers("state", {"x": x[:1]}, slice(None))["y"]
    assert first[:1] == pytest.approx(alone, abs=1e-5)


@needs_micro
@pytest.mark.parametrize("name", ["two_ends", "four_at_once", "scalar", "other_rows", "state"])
def test_micro_runs_any_model_by_name(name):
    content = any_models.converted(name)
    model = runtime.Model(content, kernels="reference")
    x = samples.drawn(model.signature, 6, seed=2)
    found, again, expected = micro.run(content, x), micro.run(content, x), model.run(x)
    for name in model.signature.outputs:
        one, same, wanted = (as_dict(y, model)[name] for y in (found, again, expected))
        assert one == pytest.approx(wanted, abs=1e-5)
        assert np.array_equal(one, same)


def as_dict(outputs, model):
    return outputs if isinstance(outputs, dict) else {model.signature.only_output.name: outputs}


def test_another_signature_is_run_where_it_is_asked_for():
    content = any_models.several()
    x = np.ones((3, 4), np.float32)
    assert (runtime.Model(content).predict(x) == 2).all()
    assert (runtime.Model(content, signature="embed").predict(x) == 100).all()
    assert list(runtime.Model(content, signature="embed").signature.outputs) == ["vector"]
    with pytest.raises(InputError, match=r"no signature 'train'; choose one"):
        runtime.Model(content, signature="train")


def test_tensor_values_are_those_of_the_default_signature():
    x = np.ones((3, 4), np.float32)
    values = runtime.tensor_values(any_models.several(), x)
    (output,) = runtime.Model(any_models.several()).signature.outputs.values()
    assert (values[output.index] == 2).all()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "binary",
            r"no class in an output of shape \(N, 1\): one sigmoid gives yes or no by a thr",
        ),
        ("mask", r"shape \(N, 8, 8, 3\): with a class for each position take argmax\(axis=-1\)"),
        ("two_ends", r"2 outputs, kind, price: name the one you mean"),
        ("scalar", r"no class in an output of shape \(N, \)"),
        ("other_rows", r"no class in an output"),
        ("rank_1", r"no class in an output"),
    ],
)
def test_classes_of_what_has_none_is_an_error(name, message):
    model = runtime.Model(any_models.converted(name))
    with pytest.raises(InputError, match=message):
        model.classes(samples.drawn(model.signature, 3))


def test_classes_of_nan_is_an_error():
    model = reader.read(any_models.converted("tokens"))
    table = next(t for t in model.subgraphs[0].tensors if list(t.shape) == [500, 16])
    values = np.full((500, 16), np.nan, np.float32)
    model.buffers[table.buffer].data = np.frombuffer(values.tobytes(), np.uint8)
    with pytest.raises(InputError, match="output_0 holds NaN"):
        runtime.Model(reader.pack(model)).classes(np.zeros((2, 12), np.int32))
