"""The LiteRT lane: paths, rules and errors of ``by_litert.quantize``, without TensorFlow."""

import functools
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import pytest
from litert_quantizer import calibrator, quantizer, recipe

import any_models
import tiny_models
from lessons_lib import (
    by_litert,
    by_tensorflow,
    calibration,
    edit,
    evaluate,
    files,
    paths,
    reader,
    runtime,
    signature,
    tables,
    training,
)
from lessons_lib.convert.by_litert import Rule
from lessons_lib.errors import CalibrationError, ConversionError, InputError, ModelFileError
from lessons_lib.system.quiet import quiet
from lessons_lib.tflite import samples as drawn_rows
from reference import converted, digits

MODELS = ("mnist_cnn", "ds_cnn")
ALL = tuple(paths.ALL)
WEIGHTS = {
    "float32": "FLOAT32",
    "float16": "FLOAT16",
    "weight_only_int4": "INT4",
    "dynamic_int4": "INT4",
    "int8x4": "INT4",
}


def samples(count=100):
    return calibration.representative_dataset(digits().calibration, count)


def float32(model="ds_cnn"):
    return converted(model)["float32"]


@functools.cache
def quantized(path, model="ds_cnn", rules=()):
    return by_litert.quantize(float32(model), path, samples(), rules=rules)


def by_the_library(recipe, model):
    """What ``litert_quantizer`` makes of a model with one of its own recipes."""
    with quiet(), warnings.catch_warnings(action="ignore"):
        engine = quantizer.Quantizer(float32(model), recipe)
        ranges = None
        if engine.need_calibration:
            feed = {"serving_default": [{"image": sample[0]} for sample in samples()()]}
            mode = calibrator.CalibrationMode.CALIBRATION_PROFILER_BASED
            ranges = engine.calibrate(feed, num_threads=1, mode=mode)
        return bytes(engine.quantize(ranges, enable_progress_report=False).quantized_model)


@functools.cache
def classes(content):
    return runtime.Model(content).classes(digits().test.images)


def weight_dtypes(content):
    """The dtype of each operator's weights, by the kind of operator and its output's name."""
    tensors = tables.tensors(content).set_index("name")["dtype"]
    table = tables.operators(content)
    table = table[table["operator"].isin(tables.PARAMETERS)]
    return {
        (row.operator, row.outputs[0]): tensors[row.inputs[1].removesuffix("_dequant")]
        for row in table.itertuples()
    }


def recipes(path, rules=(), model="ds_cnn"):
    """The recipe of each operator with weights, by the layer's name."""
    table = by_litert.plan(float32(model), path, rules)
    table = table[table["operator"].isin(tables.PARAMETERS)]
    return [
        (row.outputs.split("/")[1].split("_relu")[0].removesuffix("_1"), row.recipe)
        for row in table.itertuples()
    ]


# ---- paths


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("path", ALL)
def test_each_path_keeps_its_promise(path, model):
    content = quantized(path, model)
    found, promise = tables.audit(content), paths.get(path)
    assert (found.input_dtype, found.output_dtype) == (promise.input_dtype, promise.output_dtype)
    assert found.integer_only == promise.integer_only
    convolutions = {
        dtype for (kind, _), dtype in weight_dtypes(content).items() if kind == "CONV_2D"
    }
    assert convolutions == {WEIGHTS.get(path, "INT8")}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("path", ALL)
@pytest.mark.parametrize("kernels", runtime.KERNELS)
def test_each_path_agrees_with_the_float_model_on_all_kernels(path, model, kernels):
    images = digits().test.images[:200]
    got = runtime.Model(quantized(path, model), kernels=kernels).classes(images)
    floor = 0.96 if "4" in path else 0.985
    assert evaluate.agreement(got, classes(float32(model))[:200]).value >= floor


@pytest.mark.parametrize("path", ["dynamic_range", "float16", "int8", "uint8", "int16x8"])
def test_the_converters_own_file_is_no_smaller_and_agrees(path):
    assert len(quantized(path)) <= len(converted("ds_cnn")[path])
    assert (
        evaluate.agreement(classes(quantized(path)), classes(converted("ds_cnn")[path])).low > 0.98
    )


def test_float32_is_the_file_itself():
    assert by_litert.quantize(float32(), "float32") == float32()


def test_a_path_and_bytes_give_the_same(tmp_path):
    file = files.write_atomic(tmp_path / "m.tflite", float32())
    assert by_litert.quantize(file, "int8", samples()) == quantized("int8")


def test_a_file_not_seen_before_is_quantized_in_a_child_and_gives_the_same_bytes():
    other = float32() + bytes(16)  # what stands behind a FlatBuffer is not read
    in_a_child = by_litert.quantize(other, "int8", samples())
    assert by_litert.quantize(other, "int8", samples()) == in_a_child == quantized("int8")


@pytest.mark.parametrize(
    ("path", "theirs"),
    [
        ("dynamic_range", recipe.dynamic_wi8_afp32),
        ("weight_only_int8", recipe.weight_only_wi8_afp32),
        ("int8", recipe.static_wi8_ai8),
        ("int16x8", recipe.static_wi8_ai16),
    ],
)
def test_a_path_is_the_librarys_own_recipe(path, theirs):
    average = by_litert.quantize(float32(), path, samples(), calibrate="moving_average")
    assert average == by_the_library(theirs(), "ds_cnn")


def test_a_depthwise_convolution_keeps_8_bits_where_the_others_have_4():
    for path in ("weight_only_int4", "dynamic_int4", "int8x4"):
        kinds = {kind: dtype for (kind, _), dtype in weight_dtypes(quantized(path)).items()}
        assert kinds == {"CONV_2D": "INT4", "DEPTHWISE_CONV_2D": "INT8", "FULLY_CONNECTED": "INT4"}


def test_4_bit_weights_use_the_symmetric_codes():
    content = quantized("dynamic_int4")
    table = tables.tensors(content)
    names = table[table["dtype"] == "INT4"]["name"]
    codes = np.concatenate([reader.constant(content, name).ravel() for name in names])
    assert (codes.min(), codes.max()) == (-7, 7)


# ---- shapes


def test_a_shape_reads_integers_and_the_answers_stay():
    raw = by_the_library(recipe.static_wi8_ai8(), "mnist_cnn")
    assert any("SHAPE" in name for name in tables.audit(raw).float_operators)
    mended = edit.let_shapes_read_integers(raw)
    assert tables.audit(mended).integer_only
    assert "FLOAT32" not in set(tables.tensors(mended)["dtype"])
    assert len(tables.tensors(mended)) == len(tables.tensors(raw)) - 1
    codes = [runtime.Model(content) for content in (raw, mended)]
    images = digits().test.images
    before, after = (model.run(model.quantize_input(images)) for model in codes)
    assert np.array_equal(before, after)


def test_a_mended_model_keeps_its_signature():
    model = reader.read(quantized("int8_float_fallback", "mnist_cnn"))
    (signature,), graph = model.signatureDefs, model.subgraphs[0]
    assert [end.tensorIndex for end in signature.inputs] == graph.inputs
    assert [end.tensorIndex for end in signature.outputs] == graph.outputs


def test_a_model_without_shapes_comes_back_as_it_is():
    assert edit.let_shapes_read_integers(quantized("int8")) == quantized("int8")


# ---- rules


def test_a_rule_changes_the_operators_that_it_names():
    rules = (Rule("block2_pointwise", "int8"),)
    assert [r for layer, r in recipes("int8x4", rules) if layer == "block2_pointwise"] == ["int8"]
    dtypes = weight_dtypes(quantized("int8x4", rules=rules))
    eight = [name for (kind, name), dtype in dtypes.items() if (kind, dtype) == ("CONV_2D", "INT8")]
    assert [name.split("/")[1] for name in eight] == ["block2_pointwise_relu_1"]


def test_of_two_rules_the_last_one_wins():
    everything, one = Rule(".*", "int8x4"), Rule("stem", "int8_per_tensor")
    assert dict(recipes("int8", (everything, one)))["stem"] == "int8_per_tensor"
    assert dict(recipes("int8", (one, everything)))["stem"] == "int8x4"


def test_a_repeated_expression_counts_where_it_stands():
    """In the library's own list it would take the place of the first one, and lose."""
    rules = (Rule(".*", "int8_per_tensor"), Rule("stem", "int8x4"), Rule(".*", "int8_per_tensor"))
    assert dict(recipes("int8", rules))["stem"] == "int8_per_tensor"


def test_a_rule_may_be_limited_to_one_kind_of_operator():
    both = dict(recipes("int8", (Rule("block1", "int8_per_tensor"),)))
    one = dict(recipes("int8", (Rule("block1", "int8_per_tensor", "CONV_2D"),)))
    assert [both[f"block1_{kind}"] for kind in ("depthwise", "pointwise")] == [
        "int8_per_tensor"
    ] * 2
    assert one["block1_depthwise"] == "int8"


def test_per_tensor_weights_have_one_scale():
    content = quantized("int8", rules=(Rule(".*", "int8_per_tensor"),))
    table = tables.tensors(content)
    assert set(table[table["role"] == "weight"]["granularity"]) == {"per-tensor"}
    assert len(content) < len(quantized("int8"))


def test_an_operator_may_stay_in_float_where_the_path_allows_it():
    rules = (Rule("probabilities", "float32", "FULLY_CONNECTED"),)
    dtypes = weight_dtypes(quantized("int8_float_fallback", rules=rules))
    kinds = {kind: dtype for (kind, _), dtype in dtypes.items()}
    assert kinds["FULLY_CONNECTED"] == "FLOAT32"
    with pytest.raises(
        InputError, match=r"int8 promises integers only.*float32 to FULLY_CONNECTED.*_fallback"
    ):
        by_litert.quantize(float32(), "int8", samples(), rules=rules)
    overruled = (*rules, Rule("probabilities", "int8"))
    assert dict(recipes("int8", overruled))["probabilities"] == "int8"


def test_a_static_rule_needs_samples_on_any_path():
    rules = (Rule("stem", "int8"),)
    with pytest.raises(ConversionError, match=r"^the rule for 'stem' \(int8\) needs a rep"):
        by_litert.quantize(float32(), "dynamic_range", rules=rules)
    overruled = (*rules, Rule("stem", "float32"))
    assert by_litert.quantize(float32(), "dynamic_range", rules=overruled)
    assert by_litert.quantize(float32(), "dynamic_range", samples(), rules=rules)


def test_a_rule_that_matches_nothing_is_refused_and_lists_what_it_could_match():
    with pytest.raises(InputError, match=r"no operator matches .*'block9'.*block1_pointwise") as e:
        by_litert.quantize(float32(), "int8", samples(), rules=[Rule("block9", "int8x4")])
    assert "DEPTHWISE_CONV_2D" not in str(e.value)  # it has no 4-bit version
    assert "FULLY_CONNECTED" in str(e.value)
    with pytest.raises(InputError, match="no operator matches") as e:
        by_litert.plan(float32(), "int8", [Rule("block9", "int8x4", "CONV_2D")])
    assert "FULLY_CONNECTED" not in str(e.value)


def test_a_rule_for_what_litert_cannot_do_is_refused():
    with pytest.raises(
        InputError, match=r"no int8x4 for .*'depthwise': DEPTHWISE_CONV_2D. It has .*int8, int8_per"
    ) as e:
        by_litert.plan(float32(), "int8", [Rule("depthwise", "int8x4")])
    assert "int4" not in str(e.value)
    with pytest.raises(InputError, match="no operator matches"):
        by_litert.plan(float32(), "int8", [Rule("stem", "int8x4", "FULLY_CONNECTED")])


@pytest.mark.parametrize("rules", [Rule("stem", "int8"), [("stem", "int8")], "stem", None])
def test_what_is_no_list_of_rules_is_refused(rules):
    with pytest.raises(InputError, match=r"rules is a list of Rule\("):
        by_litert.quantize(float32(), "int8", samples(), rules=rules)
    with pytest.raises(InputError, match=r"rules is a list of Rule\("):
        by_litert.plan(float32(), "int8", rules)


def test_rules_may_come_one_by_one():
    rules = (Rule("stem", "int8_per_tensor"),)
    assert by_litert.quantize(float32(), "int8", samples(), rules=iter(rules)) == quantized(
        "int8", rules=rules
    )


@pytest.mark.parametrize("pattern", ["(", "*", None])
def test_what_is_no_regular_expression_is_refused(pattern):
    with pytest.raises(InputError, match="is not a regular expression"):
        Rule(pattern, "int8")


def test_an_unknown_recipe_is_refused():
    with pytest.raises(InputError, match=r"no recipe 'int2'; a rule takes float32, .*int8x4"):
        Rule(".*", "int2")
    with pytest.raises(InputError, match=r"no recipe \['int8'\]"):
        Rule(".*", ["int8"])


def test_settings_that_spoil_a_model_silently_are_refused():
    with pytest.raises(InputError, match="depthwise"):
        by_litert.Recipe("fast", "", "int8", "dynamic", per_tensor=True)
    with pytest.raises(InputError, match="2-bit"):
        by_litert.Recipe("tiny", "", "int2", "dynamic")


@pytest.mark.parametrize(
    ("weights", "activations", "message"),
    [
        ("int8", "int4", r"activations='int4'; expected float32, dynamic, int8 or int16"),
        ("float16", "dynamic", r"float16 weights go with float32 activations, not with dynamic"),
        ("float32", "int8", r"float32 weights go with float32 activations, not with int8"),
    ],
)
def test_a_recipe_of_settings_that_do_not_fit_is_refused(weights, activations, message):
    with pytest.raises(InputError, match=message):
        by_litert.Recipe("odd", "", weights, activations)


# ---- bad input


def test_an_unknown_path_is_refused():
    with pytest.raises(InputError, match=r"no path 'int4'; .*dynamic_int4"):
        by_litert.quantize(float32(), "int4")
    with pytest.raises(InputError, match=r"no path \['int8'\]"):
        by_litert.quantize(float32(), ["int8"], samples())


@pytest.mark.parametrize("path", [name for name in ALL if paths.get(name).needs_calibration])
def test_a_path_that_calibrates_wants_a_representative_dataset(path):
    with pytest.raises(ConversionError, match="needs a representative_dataset"):
        by_litert.quantize(float32(), path)


def test_a_bad_representative_dataset_is_refused():
    pixels = digits().calibration.images[:3] * np.float32(255)
    with pytest.raises(CalibrationError, match="spans 0 to 255"):
        by_litert.quantize(float32(), "int8", pixels, value_range=(0, 1))
    small = digits().calibration.images[:3, :14]
    with pytest.raises(CalibrationError, match=r"image: expected .*, got \(3, 14, 28, 1\)"):
        by_litert.quantize(float32(), "int8", small)


@pytest.mark.parametrize("path", ["int8", "dynamic_range"])
def test_a_quantized_file_is_refused(path):
    with pytest.raises(ConversionError, match="quantized already"):
        by_litert.quantize(converted("ds_cnn")[path], "int8", samples())
    with pytest.raises(ConversionError, match="quantized already"):
        by_litert.plan(converted("ds_cnn")[path], "int8")


def test_a_saved_model_is_refused_with_the_step_that_is_missing():
    with pytest.raises(ModelFileError, match=r"ds_cnn.* is a folder;.*by_tensorflow\.convert"):
        by_litert.quantize(training.reference("ds_cnn"), "int8", samples())


def test_a_damaged_file_is_refused():
    with pytest.raises(ModelFileError, match="corrupted or truncated"):
        by_litert.quantize(float32()[:5_000], "int8", samples())


def test_a_file_with_nothing_to_quantize_is_refused_with_the_reason():
    with pytest.raises(ConversionError, match=r"quantized nothing.*WHILE.*largest .* 4 elements"):
        by_litert.quantize(tiny_models.loop(), "dynamic_range")


def test_a_file_of_halves_is_quantized_as_the_floats_that_it_holds():
    halves = converted("ds_cnn")["float16"]
    content = by_litert.quantize(halves, "int8", samples())
    assert content == by_litert.quantize(edit.unfold_halves(halves), "int8", samples())
    images = digits().test.images[:200]
    found = runtime.Model(content).classes(images)
    assert evaluate.agreement(found, classes(float32())[:200]).value >= 0.985


@pytest.mark.parametrize("names", ["signature", "tensors", "all"])
@pytest.mark.parametrize("path", ["dynamic_range", "int8", "int8x4"])
def test_a_file_that_names_nothing_is_quantized_as_another(names, path):
    """Published files have lost their signature, their tensors' names, or both."""
    model = reader.read(float32())
    if names != "tensors":
        model.signatureDefs = []
    if names != "signature":
        for tensor in model.subgraphs[0].tensors:
            tensor.name = b""
    content = by_litert.quantize(reader.pack(model), path, digits().calibration.images[:20])
    expected = by_litert.quantize(float32(), path, digits().calibration.images[:20])
    images = digits().test.images[:50]
    found, wanted = (runtime.Model(one).predict(images) for one in (content, expected))
    assert np.array_equal(found, wanted)


def test_one_signature_of_two_is_quantized():
    content, x = any_models.several(), np.random.default_rng(0).random((20, 4), np.float32)
    for key, expected in ((None, x + 1), ("embed", 100 * x)):
        found = by_litert.quantize(content, "int8", x, signature=key)
        assert len(reader.read(found).subgraphs) == 1
        error = runtime.Model(found).predict(x) - expected
        assert np.abs(error).max() < 0.01 * np.ptp(expected)
    with pytest.raises(InputError, match="no signature 'train'"):
        by_litert.quantize(content, "int8", x, signature="train")


@pytest.mark.parametrize("path", ["int8_float_fallback", "int8", "int16x8"])
def test_two_inputs_are_calibrated_each_with_its_own_samples(path):
    content = any_models.converted("two_ends")
    float_model = runtime.Model(content)
    x = drawn_rows.drawn(float_model.signature, 100)
    x["b.x"] *= 50
    expected = float_model.predict(x)
    found = runtime.Model(by_litert.quantize(content, path, dict(reversed(x.items())))).predict(x)
    for name, array in expected.items():
        assert np.sqrt(np.mean((found[name] - array) ** 2)) < 0.02 * np.ptp(array)


@pytest.mark.parametrize("path", ["dynamic_range", "int8", "weight_only_int4"])
def test_tokens_stay_integers(path):
    content = any_models.converted("tokens")
    ids = np.random.default_rng(0).integers(0, 500, (50, 12)).astype(np.int32)
    model = runtime.Model(by_litert.quantize(content, path, ids))
    assert model.input_dtype == np.int32
    assert model.predict(ids) == pytest.approx(runtime.Model(content).predict(ids), abs=0.01)


def test_a_loop_has_no_ranges_and_the_cure_is_named():
    content = any_models.converted("lstm")
    x = np.random.default_rng(0).random((10, 8, 3), np.float32)
    with pytest.raises(ConversionError, match=r"inside a loop.*unroll=True"):
        by_litert.quantize(content, "int8", x)


def test_octav_and_mse_clip_weights_of_few_bits():
    rules, agreements = [Rule(".*", "int8x4_per_tensor")], {}
    for weight_range in by_litert.WEIGHT_RANGES:
        content = by_litert.quantize(
            float32(), "int8", samples(), rules=rules, weight_range=weight_range
        )
        found = classes(content)
        agreements[weight_range] = evaluate.agreement(found, classes(float32())).value
    assert agreements["octav"] > agreements["min_max"] + 0.02
    assert agreements["mse"] > agreements["min_max"] + 0.02
    with pytest.raises(InputError, match="weight_range='gptq'; expected min_max, octav, mse"):
        by_litert.quantize(float32(), "int8", samples(), weight_range="gptq")


def test_an_operator_that_the_runtime_refuses_is_a_clear_error():
    model = reader.read(float32())
    model.subgraphs[0].operators[0].builtinOptions.strideH = 0
    with pytest.raises(ConversionError, match=r"quantizer failed: .*stride_height"):
        by_litert.quantize(tiny_models.pack(model), "int8", samples())


def test_static_entries_without_samples_are_a_clear_error():
    entries = by_litert.quantizer_recipe(by_litert.plan(float32(), "int8"), "int8")
    with pytest.raises(ConversionError, match="the recipe needs a representative_dataset"):
        by_litert.run(float32(), entries)


@pytest.mark.parametrize("calibrate", by_litert.CALIBRATIONS)
def test_ranges_recorded_once_serve_every_recipe(calibrate):
    content = by_litert.prepared(float32())
    guarded = calibration.guard(samples(), signature.of_file(content))
    ranges = by_litert.record(content, guarded, calibrate)
    for path in ("int8_float_fallback", "int16x8", "int8_float_fallback"):
        entries = by_litert.quantizer_recipe(by_litert.plan(content, path), path)
        alone = by_litert.quantize(content, path, samples(), calibrate=calibrate)
        assert by_litert.run(content, entries, ranges) == alone


def test_the_samples_are_met_once_for_all_paths_of_one_calibration():
    met, recorded = [], {}

    def counted():
        met.append(1)
        yield from samples()()

    for path in ("int8", "int16x8", "int8_float_fallback"):
        alone = by_litert.quantize(float32(), path, samples())
        content = by_litert.prepared(float32())
        assert by_litert.quantized(content, path, counted, recorded=recorded)[0] == alone
    by_litert.quantized(content, path, counted, recorded=recorded, calibrate="moving_average")
    assert len(met) == 2


def test_another_word_for_calibrate_is_refused_on_every_path():
    for path in ("int8", "dynamic_range"):
        with pytest.raises(InputError, match="'median'; expected extremes or moving_average"):
            by_litert.quantize(float32(), path, samples(), calibrate="median")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
def test_a_file_that_crashes_the_quantizer_does_not_crash_the_caller():
    with pytest.raises(ConversionError, match=r"quantizer died on the file: .*SIGSEGV"):
        by_litert.quantize(tiny_models.endless_loop(float32()), "int8", samples())


# ---- manners


def test_nothing_is_said_and_nothing_is_left(capfd, tmp_path, monkeypatch):
    float32(), converted()  # made before the folder of temporary files is watched
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for path in ("dynamic_range", "int8", "int8x4"):
        by_litert.quantize(float32("mnist_cnn"), path, samples())
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []


WITHOUT_TENSORFLOW = """
import sys
from lessons_lib import by_litert, calibration, data, runtime
digits = data.load()
samples = calibration.representative_dataset(digits.calibration)
for path in ("dynamic_range", "int8", "int8x4"):
    content = by_litert.quantize(sys.argv[1], path, samples)
    runtime.Model(content).classes(digits.test.images[:10])
print(sorted({"tensorflow", "tensorflow_datasets", "keras"} & set(sys.modules)))
"""


def test_quantizing_never_imports_tensorflow(tmp_path):
    file = files.write_atomic(tmp_path / "float32.tflite", float32())
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, str(file)],
        cwd=files.ROOT,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_weights_that_are_nan_are_named_before_anything_is_quantized():
    model = reader.read(any_models.converted("regression"))
    table = tables.tensors(model).query("role == 'weight'")
    tensor = model.subgraphs[0].tensors[table["index"].iloc[0]]
    values = reader.stored_value(model, tensor).copy()
    values[0, 0] = np.nan
    model.buffers[tensor.buffer].data = np.frombuffer(values.tobytes(), np.uint8)
    for path in ("float32", "dynamic_range", "int8"):
        with pytest.raises(ConversionError, match=r"the weight .* of the layer .* holds NaN"):
            by_litert.quantize(reader.pack(model), path, np.ones((2, 8), np.float32))


def test_what_only_the_converter_makes_integer_is_said(tmp_path):
    keras = tiny_models.fresh_keras()
    layers = [keras.layers.Conv1D(4, 3, activation="relu"), keras.layers.Flatten()]
    model = keras.Sequential([keras.Input((16, 2)), *layers, keras.layers.Dense(3)])
    x = np.random.default_rng(0).random((40, 16, 2), np.float32)
    content = by_tensorflow.convert(model, "float32")
    with pytest.raises(
        ConversionError, match=r"EXPAND_DIMS .* by_tensorflow\.convert\(saved_model"
    ):
        by_litert.quantize(content, "int8", x)
    assert tables.audit(by_tensorflow.convert(model, "int8", x)).integer_only
