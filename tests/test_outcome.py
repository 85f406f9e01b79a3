"""What came of a path is run before it counts: no file that does not load, no silent wrong."""

import math
import os
import pickle
import warnings

import numpy as np
import pytest

import any_models
import tiny_models
from lessons_lib import (
    by_litert,
    by_tensorflow,
    calibration,
    outcome,
    reader,
    runtime,
    samples,
    signature,
    sources,
    tables,
)
from lessons_lib.convert.outcome import Outcome
from lessons_lib.errors import ConversionError, InputError, QualityWarning
from reference import converted, digits


def saved(name, folder, change=None):
    model = getattr(any_models, name)()
    if change is not None:
        change(model)
    return any_models.save(model, folder / name)


# ---- an outcome is a file, or a reason


def test_an_outcome_stands_for_its_file(tmp_path):
    file = tmp_path / "int8.tflite"
    file.write_bytes(converted()["int8"])
    found = Outcome("int8", file, snr_db={"y": 30.0})
    assert found.ok
    assert os.fspath(found) == str(file)
    assert found.bytes == len(found.read_bytes()) == len(converted()["int8"])
    assert runtime.Model(found).classes(digits().test.images[:3]).shape == (3,)
    assert tables.audit(found).integer_only
    assert pickle.loads(pickle.dumps(found)) == found


def test_an_outcome_without_a_file_raises_its_reason_wherever_a_file_is_taken():
    found = Outcome("int8", reason=ConversionError("no kernel"))
    assert not found.ok
    for use in (
        os.fspath,
        runtime.Model,
        tables.audit,
        open,
        Outcome.read_bytes,
        lambda one: one.bytes,
    ):
        with pytest.raises(ConversionError, match=r"^no kernel$"):
            use(found)


# ---- the audit, by the ends of a signature


@pytest.mark.parametrize("path", ["int8", "float32"])
def test_the_audit_takes_integers_that_are_integers_in_the_float_model(path):
    assert outcome.audit(any_models.converted("tokens", path), path).integer_only == (
        path == "int8"
    )


def test_the_audit_names_the_end_that_breaks_a_promise():
    model = reader.read(any_models.converted("two_ends", "int8"))
    price = signature_index(any_models.converted("two_ends", "int8"), "price")
    model.subgraphs[0].tensors[price].type = reader.schema.TensorType.UINT8
    with pytest.raises(ConversionError, match=r"int8 promises int8 output, but price is uint8"):
        outcome.audit(reader.pack(model), "int8")


def signature_index(content, name):
    return signature.of_file(content).outputs[name].index


# ---- files that no runtime loads


def test_16_bit_codes_that_overflow_are_an_error_and_not_a_damaged_file(tmp_path):
    folder = saved("tiny_activations", tmp_path)
    x = any_models.drawn(folder, 10)
    message = r"int16x8 gives a file that LiteRT does not run: .*no_integer_overflow.*another path"
    with pytest.raises(ConversionError, match=message) as e:
        by_tensorflow.convert(folder, "int16x8", x)
    assert "corrupt" not in str(e.value) and "damaged" not in str(e.value)
    float_model = by_tensorflow.convert(folder, "float32")
    with pytest.raises(ConversionError, match=message):
        by_litert.quantize(float_model, "int16x8", x)


def test_a_loop_between_floats_and_integers_is_an_error():
    x = np.random.default_rng(0).random((10, 8, 3), np.float32)
    with pytest.raises(ConversionError, match="int8_float_fallback") as e:
        by_litert.quantize(any_models.converted("lstm"), "int8_float_fallback", x)
    assert "corrupt" not in str(e.value)


# ---- numbers that are none


def test_an_epsilon_that_halves_do_not_have_is_found(tmp_path):
    folder = saved("normalized", tmp_path)
    with pytest.raises(ConversionError, match=r"float16 gives NaN or inf in output_0 .*lesson 05"):
        by_tensorflow.convert(folder, "float16")
    x = any_models.drawn(folder, 9)
    expected = any_models.normalized()(x["x"]).numpy()
    assert runtime.Model(by_tensorflow.convert(folder, "dynamic_range")).predict(
        x
    ) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("path", ["float32", "dynamic_range", "float16", "int8"])
def test_a_model_with_weights_that_are_no_numbers_is_refused(value, path, tmp_path):
    def spoil(model):
        kernel = model.layers[0].kernel.numpy()
        kernel[0, 0] = value
        model.layers[0].kernel.assign(kernel)

    folder = saved("binary", tmp_path, spoil)
    x = np.random.default_rng(0).random((20, 40), np.float32)
    with pytest.raises(ConversionError, match=r"dense/kernel hold NaN or inf.*get_weights\(\)"):
        by_tensorflow.convert(folder, path, x)


# ---- nothing quantized, nothing left


def test_a_path_that_changed_nothing_is_an_error_that_says_why(tmp_path):
    folder = saved("small", tmp_path)
    message = r"dynamic_range quantized nothing.*FULLY_CONNECTED.* 128 elements .*below 1,024.*Keep"
    with pytest.raises(ConversionError, match=message):
        by_tensorflow.convert(folder, "dynamic_range")
    x = np.random.default_rng(0).random((20, 8), np.float32)
    assert outcome.audit(by_tensorflow.convert(folder, "int8", x), "int8").integer_only


def test_features_of_uneven_size_that_leave_one_answer_are_an_error(tmp_path):
    folder = saved("regression", tmp_path)
    x = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32) / 100
    x[:, 3] = 1e4
    message = r"int8 gives the same output_0 for all .* samples .*: feature 3 of x reaches 1e\+04"
    with pytest.raises(ConversionError, match=message):
        by_tensorflow.convert(folder, "int8", x)
    with pytest.raises(ConversionError, match=message):
        by_litert.quantize(any_models.converted("regression"), "int8", x)


def test_a_float_model_that_answers_the_same_is_no_fault_of_the_path(tmp_path):
    def flat(model):
        model.layers[-1].kernel.assign(0 * model.layers[-1].kernel)

    folder = saved("regression", tmp_path, flat)
    x = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    with pytest.warns(QualityWarning, match=r"int8: output_0: the float model itself answers the"):
        by_tensorflow.convert(folder, "int8", x)


# ---- how far it is


def test_a_bias_beyond_halves_is_said_aloud(tmp_path):
    folder = saved("prices", tmp_path)
    with pytest.warns(QualityWarning, match=r"float16: output_0 is -?\d.* dB from the float model"):
        by_tensorflow.convert(folder, "float16")
    x = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    with warnings.catch_warnings(action="error", category=QualityWarning):
        for path in ("float32", "dynamic_range", "int8"):
            try:
                by_tensorflow.convert(folder, path, x)
            except ConversionError as error:  # its weights are few
                assert path == "dynamic_range" and "quantized nothing" in str(error)


def test_verify_measures_each_output_beside_the_float_model():
    content = any_models.converted("two_ends", "int8")
    float_model = runtime.Model(any_models.converted("two_ends"))
    x = samples.drawn(float_model.signature, 30)
    expected = float_model.predict(x)
    found = outcome.verify(content, "int8", x, expected)
    assert found.keys() == {"kind", "price"}
    answers = runtime.Model(content).predict(x)
    for name, decibels in found.items():
        signal = expected[name] - expected[name].mean(axis=0)
        noise = answers[name] - expected[name]
        wanted = 10 * math.log10(np.mean(signal**2) / np.mean(noise**2))
        assert decibels == pytest.approx(wanted, abs=0.5)
        assert decibels > 15
    assert outcome.verify(any_models.converted("two_ends"), "float32", x, expected)["kind"] > 100


def test_verify_runs_nothing_where_the_sizes_are_open():
    assert outcome.verify(any_models.converted("any_size"), "float32", None, {}) == {}


def test_a_result_is_tried_on_the_first_calibration_samples():
    ends = signature.of_file(converted()["float32"])
    guarded = calibration.guard(digits().calibration.images, ends)
    assert len(list(guarded())) == 500
    tried = outcome.tried_on(ends, guarded.kept)["image"]
    assert np.array_equal(tried, digits().calibration.images[: len(tried)])
    assert len(tried) >= 8
    assert outcome.tried_on(ends, {})["image"].shape[1:] == (28, 28, 1)
    assert outcome.tried_on(signature.of_file(any_models.converted("any_size")), {}) is None


def test_a_path_without_calibration_is_tried_on_the_samples_as_well(tmp_path):
    """Trained on 0 to 255: on random inputs from 0 to 1 even float32 looks spoiled."""
    keras = tiny_models.fresh_keras()
    images = 255 * np.random.default_rng(0).random((40, 20, 20, 3), np.float32)
    normalization = keras.layers.Normalization()
    normalization.adapt(images)
    layers = [normalization, keras.layers.Conv2D(8, 3, activation="relu")]
    layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(4, activation="softmax")]
    model = keras.Sequential([keras.Input((20, 20, 3), name="image"), *layers])
    folder = sources.save(model, tmp_path / "model")
    for path, least in {"float32": 90, "float16": 40}.items():
        given = by_tensorflow.converted(folder, path, images)[1]["output_0"]
        assert given > least, path
        assert by_tensorflow.converted(folder, path, None)[1]["output_0"] < given - 10, path
    content = by_tensorflow.convert(folder, "float32")
    assert by_litert.quantized(content, "float16", images)[1]["output_0"] > 40


def test_what_can_be_read_once_is_left_for_the_calibration():
    ends = signature.of_file(converted()["float32"])
    images = digits().calibration.images
    once = iter(images[:40])
    assert calibration.first(once, ends) == {}
    assert len(list(once)) == 40
    assert len(calibration.first(images[:40], ends)["image"]) == calibration.KEPT
    assert calibration.first(images[:40, :9], ends) == calibration.first(None, ends) == {}
    sizes = [np.zeros((1, side, 9, 3), np.float32) for side in (8, 8, 9)]
    ends = signature.of_file(any_models.converted("any_size"))
    assert calibration.first(sizes, ends)["image"].shape == (2, 8, 9, 3)


def test_a_state_is_a_remark():
    content = any_models.converted("state")
    (remark,) = outcome.remarks("float32", content, {"y": 90.0})
    assert "a state is kept" in remark and "starts anew" in remark
    assert outcome.remarks("int8", converted()["int8"], {"y": 30.0}) == ()
    low, _ = outcome.remarks("int8", content, {"y": 3.0})
    assert low.startswith("y is 3.0 dB from the float model")


def test_a_model_with_a_state_is_compared_as_it_starts(tmp_path):
    """Also the second time, when the float model has kept what it was asked the first time."""
    folder = saved("state", tmp_path)
    x = np.random.default_rng(0).random((30, 8), np.float32)
    with warnings.catch_warnings(action="error", category=QualityWarning):
        contents = [by_tensorflow.convert(folder, "int16x8", x) for _ in range(2)]
    assert contents[0] == contents[1]
    first = any_models.state()[1]["serving_default"](x[:1])["y"].numpy()
    assert runtime.Model(contents[0]).predict(x[:1]) == pytest.approx(first, abs=0.01)


def test_what_the_conversion_itself_changed_is_said(tmp_path):
    """A float32 file that is not its model: verified as any other path."""
    folder = saved("binary", tmp_path)
    content = any_models.converted("regression")
    assert sources.signature(folder).only_input.name == "x"
    x = {"x": np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)}
    found = outcome.verify(content, "float32", x, {"output_0": np.ones((8, 1)) * x["x"][:, :1]})
    (remark,) = outcome.remarks("float32", content, found)
    assert "the conversion itself changed it" in remark


# ---- what the converter complains of


def refusal(model, folder, path="float32", dataset=None, **options):
    saved_model = sources.save(model, folder / "m", **options)
    with pytest.raises(ConversionError) as e:
        by_tensorflow.convert(saved_model, path, dataset)
    text = str(e.value)
    assert len(text) < 700 and "loc(" not in text and "\n" not in text
    return text


def test_an_lstm_with_an_open_batch_is_told_to_fix_it(tmp_path):
    keras = any_models.fresh_keras()
    model = keras.Sequential(
        [keras.Input((8, 3), name="x"), keras.layers.LSTM(24, name="memory"), keras.layers.Dense(2)]
    )
    text = refusal(model, tmp_path)
    assert "TensorList" in text and "memory" in text
    assert "sources.save(model, folder, batch_size=1)" in text
    folder = sources.save(model, tmp_path / "fixed", batch_size=1)
    x = np.random.default_rng(0).random((3, 8, 3), np.float32)
    content = by_tensorflow.convert(folder, "float32")
    assert runtime.Model(content).predict(x) == pytest.approx(model(x).numpy(), abs=1e-5)


def test_augmentation_is_named_and_told_to_stay_outside(tmp_path):
    text = refusal(any_models.augmented(), tmp_path)
    assert "turned" in text
    assert "outside the model that you export" in text


def test_halves_in_a_layer_are_named_with_the_policy(tmp_path):
    keras = any_models.fresh_keras()
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        model = keras.Sequential(
            [
                keras.Input((16, 16, 3), name="image"),
                keras.layers.Conv2D(4, 3, activation="relu", name="stem"),
                keras.layers.Flatten(),
                keras.layers.Dense(3, activation="softmax", dtype="float32"),
            ]
        )
    finally:
        keras.mixed_precision.set_global_policy("float32")
    text = refusal(model, tmp_path)
    assert "stem" in text
    assert "mixed_float16" in text and "set_weights" in text


def test_doubles_in_a_layer_are_not_called_halves(tmp_path):
    keras = any_models.fresh_keras()
    layers = [keras.layers.Dense(3, dtype="float64", name="double"), keras.layers.Dense(2)]
    text = refusal(keras.Sequential([keras.Input((4,), name="x"), *layers]), tmp_path)
    assert "in the layer double: the layer computes in float64" in text


@pytest.mark.parametrize(("inside", "outside"), [("float16", "float32"), ("float32", "float64")])
def test_ends_that_are_no_float32_are_to_be_cast_outside(inside, outside, tmp_path):
    tf = tiny_models.tensorflow()
    module = tf.Module()
    module.f = tf.function(
        lambda x: {"y": tf.cast(3 * tf.cast(x, tf.float32), outside)},
        input_signature=[tf.TensorSpec((None, 4), inside, name="x")],
    )
    folder = any_models.save((module, {"serving_default": module.f}), tmp_path / "m")
    with pytest.raises(
        ConversionError, match=r"is float(16|64): .*tf\.cast it outside of the model"
    ):
        by_tensorflow.convert(folder, "float32")


def test_integers_that_become_floats_inside_are_named_with_a_cure_that_works(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3)).astype(np.uint8)
    folder = saved("bytes_in", tmp_path)
    for path in ("int8", "uint8"):
        with pytest.raises(ConversionError, match=r"CAST .*of image .* float32 input .*path uint8"):
            by_tensorflow.convert(folder, path, pixels)
    keras = any_models.fresh_keras()
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(8, 3), keras.layers.Flatten()]
    cured = keras.Sequential([keras.Input((8, 8, 3), name="image"), *layers])
    content = by_tensorflow.convert(cured, "uint8", pixels.astype(np.float32))
    model = runtime.Model(content)
    assert np.abs(model.quantize_input(pixels.astype(np.float32)).astype(int) - pixels).max() <= 1


def test_a_state_that_stays_in_float_is_named_with_paths_that_work(tmp_path):
    folder = saved("state", tmp_path)
    x = np.random.default_rng(0).random((30, 8), np.float32)
    with pytest.raises(ConversionError, match="A state stays in float here: take the path int16x8"):
        by_tensorflow.convert(folder, "int8", x)
    for path in ("int16x8", "int8_float_fallback"):
        assert by_tensorflow.convert(folder, path, x)


def test_a_mask_of_a_huge_number_is_the_cause_of_one_answer(tmp_path):
    keras, tf = any_models.fresh_keras(), tiny_models.tensorflow()

    class Mask(keras.layers.Layer):
        def call(self, x):
            return tf.nn.softmax(x - 1e30 * tf.cast(x > 0.9, tf.float32))

    model = keras.Sequential([keras.Input((8,), name="x"), Mask(name="masked")])
    x = np.random.default_rng(0).random((20, 8), np.float32)
    text = refusal(model, tmp_path, "int8_float_fallback", x)
    assert "the same output_0" in text and "in the layer masked reach so far" in text


def test_a_path_without_calibration_is_not_told_to_calibrate(tmp_path):
    keras = any_models.fresh_keras()
    model = keras.Sequential(
        [keras.Input((64,), name="x"), keras.layers.Dense(48), keras.layers.Dense(3)]
    )
    first, bias, second, last = model.get_weights()
    model.set_weights([1e-20 * first, bias, 1e20 * second, last])
    text = refusal(model, tmp_path, "float16")
    assert "the same output_0" in text and "weights that are too small" in text


def test_a_constant_output_is_compared_with_what_it_is(tmp_path):
    keras = any_models.fresh_keras()
    model = keras.Sequential([keras.Input((4,), name="x"), keras.layers.Dense(2)])
    model.set_weights([np.zeros((4, 2)), np.array([1.0, -2.0])])
    content = by_tensorflow.convert(model, "float32")
    x = {"x": np.random.default_rng(0).random((6, 4), np.float32)}
    same, other = (np.tile(np.float32(row), (6, 1)) for row in ([1, -2], [30, 40]))
    assert math.isnan(outcome.verify(content, "float32", x, {"output_0": same})["output_0"])
    found = outcome.verify(content, "float32", x, {"output_0": other})["output_0"]
    assert found < 1


def test_a_sample_that_the_float_model_fails_on_is_named(tmp_path):
    folder = saved("tokens", tmp_path)
    ids = np.random.default_rng(0).integers(0, 600, (20, 12)).astype(np.int32)
    with pytest.raises(ConversionError, match=r"the number 5\d\d where the model knows 0 to 499"):
        by_tensorflow.convert(folder, "float32", ids)


def test_outputs_of_changing_size_are_an_error_of_ours(tmp_path):
    tf = tiny_models.tensorflow()
    module = tf.Module()
    module.f = tf.function(
        lambda x: {"above": tf.boolean_mask(x[0], x[0] > 0.5)},
        input_signature=[tf.TensorSpec((1, 9), tf.float32, name="x")],
    )
    folder = any_models.save((module, {"serving_default": module.f}), tmp_path / "m")
    with pytest.raises(InputError, match="the output above has another size for each sample"):
        by_tensorflow.convert(folder, "float32")


def test_an_output_that_is_the_input_itself_is_named(tmp_path):
    keras = any_models.fresh_keras()
    x = keras.Input((4,), name="x")
    folder = sources.save(keras.Model(x, [x, keras.layers.Dense(3)(x)]), tmp_path / "m")
    samples_of = np.random.default_rng(0).random((20, 4), np.float32)
    assert by_tensorflow.convert(folder, "int8", samples_of)
    with pytest.raises(ConversionError, match="an output is the input itself, unchanged: leave"):
        by_tensorflow.convert(folder, "uint8", samples_of)


def test_a_kind_of_operator_without_16_bits_is_named(tmp_path):
    keras = any_models.fresh_keras()
    model = keras.Sequential(
        [keras.Input((8,), name="x"), keras.layers.Dense(4, activation="elu", name="hidden")]
    )
    x = np.random.default_rng(0).random((20, 8), np.float32)
    assert "'ELU'" in refusal(model, tmp_path, "int16x8", x)


def test_what_is_unknown_to_tensorflow_lite_is_named_with_its_layer(tmp_path):
    keras, tf = any_models.fresh_keras(), tiny_models.tensorflow()

    class Spectrum(keras.layers.Layer):
        def call(self, x):
            return tf.math.real(tf.signal.fft2d(tf.cast(x, tf.complex64)))

    model = keras.Sequential([keras.Input((8, 8), name="x"), Spectrum(name="spectrum")])
    text = refusal(model, tmp_path)
    assert "FFT2D" in text and "spectrum" in text
    assert "outside the model" in text
