"""A float model as its owner has it: a Keras object, a file, a SavedModel."""

import subprocess
import sys

import numpy as np
import pytest

import any_models
from lessons_lib import by_litert, by_tensorflow, every_path, runtime, samples, signature, sources
from lessons_lib.errors import ConversionError, InputError, ModelFileError, StorageError
from lessons_lib.system.quiet import quiet, tensorflow
from tiny_models import fresh_keras

X = np.random.default_rng(0).random((20, 40), np.float32)


def shapes(folder):
    return {name: spec.shape for name, spec in sources.signature(folder).inputs.items()}


# ---- saving


@pytest.mark.parametrize("batch_size", [None, 1, 4])
def test_a_batch_size_is_fixed_at_every_input(batch_size, tmp_path):
    folder = sources.save(any_models.two_ends(), tmp_path / "m", batch_size=batch_size)
    assert shapes(folder) == {"my-input": (batch_size, 6), "b.x": (batch_size, 4)}
    assert sources.signature(folder).batch == batch_size


def test_whole_shapes_are_fixed_by_name_and_the_rest_stays(tmp_path):
    wanted = {"b.x": (2, 4)}
    folder = sources.save(any_models.two_ends(), tmp_path / "m", shapes=wanted, batch_size=2)
    assert shapes(folder) == {"my-input": (2, 6), "b.x": (2, 4)}
    folder = sources.save(any_models.any_size(), tmp_path / "m", shapes={"image": (1, 96, 64, 3)})
    assert shapes(folder) == {"image": (1, 96, 64, 3)}
    folder = sources.save(any_models.any_size(), tmp_path / "m", shapes={"image": (None, 9, 9, 3)})
    assert shapes(folder) == {"image": (None, 9, 9, 3)}


@pytest.mark.parametrize("batch_size", [None, 3])
def test_what_was_saved_with_fixed_shapes_answers_as_before(batch_size, tmp_path):
    model = any_models.two_ends()
    folder = sources.save(model, tmp_path / "m", batch_size=batch_size)
    x = any_models.drawn(folder, 9)
    expected = model([x["my-input"], x["b.x"]])
    found = runtime.Model(by_tensorflow.convert(folder, "float32")).predict(x)
    for name in ("price", "kind"):
        assert found[name] == pytest.approx(expected[name].numpy(), abs=1e-5)


def test_a_model_that_was_built_with_a_batch_keeps_it(tmp_path):
    """Keras itself would open it, and an LSTM's loop could not be converted any more."""
    folder = sources.save(any_models.four_at_once(), tmp_path / "m")
    assert shapes(folder) == {"image": (4, 8, 8, 3)}
    with pytest.raises(InputError, match=r"'image' cannot have the shape \(1, 8, 8, 3\)"):
        sources.save(any_models.four_at_once(), tmp_path / "other", batch_size=1)


def test_inputs_in_a_dictionary_are_saved_by_name(tmp_path):
    keras = any_models.fresh_keras()
    ends = {name: keras.Input((size,), name=name) for name, size in (("wide", 5), ("age", 1))}
    model = keras.Model(ends, keras.layers.Dense(2)(keras.layers.Concatenate()([*ends.values()])))
    for batch_size in (None, 2):
        folder = sources.save(model, tmp_path / "m", batch_size=batch_size)
        assert shapes(folder) == {"wide": (batch_size, 5), "age": (batch_size, 1)}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size=0; expected at least 1"),
        ({"shapes": {"pixels": (1, 6)}}, r"shapes names pixels; the inputs are called my-input, b"),
        (
            {"shapes": {"b.x": (1, 5)}},
            r"'b\.x' cannot have the shape \(1, 5\): the model takes \(None, 4\)",
        ),
        ({"shapes": {"b.x": (1, 2, 4)}}, r"'b\.x' cannot have the shape \(1, 2, 4\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused_and_nothing_is_written(options, message, tmp_path):
    with pytest.raises(InputError, match=message):
        sources.save(any_models.two_ends(), tmp_path / "m", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_never_saw_an_input_is_refused_with_what_to_do(tmp_path):
    keras = any_models.fresh_keras()

    class Mine(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(3)

        def call(self, x):
            return self.dense(x)

    model = Mine()
    with pytest.raises(
        InputError, match=r"does not know its inputs' shapes yet: .*model\(x\[:1\]\)"
    ):
        sources.save(model, tmp_path / "m")
    expected = model(X)
    folder = sources.save(model, tmp_path / "m")
    content = by_tensorflow.convert(folder, "float32")
    assert runtime.Model(content).predict(X) == pytest.approx(expected.numpy(), abs=1e-5)


# ---- opening


def binary(folder, kind):
    """The model ``binary`` as a Keras object, a file, or a SavedModel."""
    model = any_models.binary()
    if kind == "object":
        return model
    if kind == "saved_model":
        return sources.save(model, folder / "saved")
    if kind == "compiled .h5":
        model.compile(loss="mse")
    return any_models.keras_file(model, folder / f"m{kind[-6:] if 'keras' in kind else '.h5'}")


@pytest.mark.parametrize("kind", ["object", ".keras", ".h5", "compiled .h5", "saved_model"])
def test_every_kind_of_model_gives_the_same_answers(kind, tmp_path):
    source = binary(tmp_path, kind)
    expected = any_models.binary()(X).numpy()
    for path, error in (("float32", 1e-5), ("int8", 0.02)):
        content = by_tensorflow.convert(source, path, X)
        assert runtime.Model(content).predict(X) == pytest.approx(expected, abs=error)
    assert sorted(p.name for p in tmp_path.iterdir()) in (["m.keras"], ["m.h5"], ["saved"], [])


def test_a_keras_model_goes_down_every_path(tmp_path):
    found = every_path.convert(any_models.binary(), X, tmp_path)
    assert [name for name, one in found.items() if one.ok] == list(found)
    expected = any_models.binary()(X).numpy()
    for one in found.values():
        assert runtime.Model(one).predict(X) == pytest.approx(expected, abs=0.02)


def custom(keras):
    class Doubled(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    return keras.Sequential([keras.Input((40,), name="x"), Doubled(), keras.layers.Dense(1)])


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_layer_of_ones_own_is_named_with_what_to_do(ending, tmp_path):
    keras = any_models.fresh_keras()
    model = custom(keras)
    file = any_models.keras_file(model, tmp_path / f"mine{ending}")
    with pytest.raises(
        ModelFileError, match=r"mine.*layer of your own, 'Doubled'.*custom_obj"
    ) as e:
        by_tensorflow.convert(file, "float32")
    assert len(str(e.value)) < 500
    loaded = keras.models.load_model(
        file, custom_objects={"Doubled": type(model.layers[0])}, compile=False
    )
    content = by_tensorflow.convert(loaded, "float32")
    assert runtime.Model(content).predict(X) == pytest.approx(model(X).numpy(), abs=1e-5)


def test_code_inside_a_file_is_not_run_unasked(tmp_path):
    keras = any_models.fresh_keras()
    layer = keras.layers.Lambda(lambda x: x * 2)
    model = keras.Sequential([keras.Input((40,), name="x"), layer, keras.layers.Dense(1)])
    for ending in (".keras", ".h5"):
        file = any_models.keras_file(model, tmp_path / f"lambda{ending}")
        with pytest.raises(ModelFileError, match=r"Lambda layer, whose code .*safe_mode=False"):
            by_tensorflow.convert(file, "float32")
    with quiet():
        loaded = keras.models.load_model(tmp_path / "lambda.keras", safe_mode=False)
    content = by_tensorflow.convert(loaded, "float32")
    assert runtime.Model(content).predict(X) == pytest.approx(model(X).numpy(), abs=1e-5)


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_damaged_or_missing_keras_file_is_a_clear_error(ending, tmp_path):
    file = any_models.keras_file(any_models.binary(), tmp_path / f"m{ending}")
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(ModelFileError, match=rf"m\{ending} (is not a zip|cannot be loaded)"):
        by_tensorflow.convert(file, "float32")
    with pytest.raises(ModelFileError, match=rf"other\{ending} is not a file"):
        by_tensorflow.convert(tmp_path / f"other{ending}", "float32")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("m.onnx", r"m\.onnx is not read here: `onnx2tf -i .*by_litert\.quantize takes"),
        ("m.pt", r"litert_torch\.convert\(model\.eval\(\), args\)\.export"),
        ("m.pth", "litert_torch"),
        (
            "m.pb",
            r"is no SavedModel but a graph.*from_frozen_graph\(file.*by_litert\.quantize takes",
        ),
        ("weights.npz", "is not a SavedModel"),
    ],
)
def test_a_file_of_another_kind_is_refused_with_the_way_in(name, message, tmp_path):
    (tmp_path / name).write_bytes(b"something")
    with pytest.raises(ModelFileError, match=message):
        by_tensorflow.convert(tmp_path / name, "float32")


@pytest.mark.parametrize("thing", [3, None, np.zeros(3), print])
def test_what_is_no_model_is_refused(thing):
    with pytest.raises(ModelFileError, match=r"is no model that can be converted: give a Keras"):
        by_tensorflow.convert(thing, "float32")


def test_a_tf_module_is_refused_with_how_to_save_it():
    module, _ = any_models.rank_1()
    with pytest.raises(ModelFileError, match=r"a Module is no model .*tf\.saved_model\.save"):
        by_tensorflow.convert(module, "float32")


def test_weights_saved_alone_are_no_model(tmp_path):
    with quiet():
        any_models.binary().save_weights(tmp_path / "m.weights.h5")
    with pytest.raises(ModelFileError, match=r"m\.weights\.h5.*no model\. .*model\.load_weights"):
        by_tensorflow.convert(tmp_path / "m.weights.h5", "float32")


@pytest.mark.parametrize("ending", sources.KERAS_FILES)
def test_a_file_that_is_cut_off_is_not_called_missing(ending, tmp_path):
    file = tmp_path / f"m{ending}"
    any_models.keras_file(any_models.binary(), file)
    assert sources.load(file).name
    for content in (file.read_bytes()[:-2000] if ending == ".keras" else b"", b"hello"):
        file.write_bytes(content)
        with pytest.raises(ModelFileError, match=f"is not an? .*as a {ending} file is: it is cut"):
            sources.load(file)


def nested():
    keras = fresh_keras()
    x = keras.Input((4,), name="x")
    return keras.Model(x, {"head": {"a": keras.layers.Dense(2)(x)}, "b": keras.layers.Dense(3)(x)})


def named(inputs, layer):
    keras = fresh_keras()
    return keras.Sequential([keras.Input((4,), name=inputs), keras.layers.Dense(2, name=layer)])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nested, r"outputs are containers .* keras\.Model\(model\.inputs, \{'first': tensor"),
        (lambda: named("x", "größe h"), "does not write the name 'größe h'"),
        (lambda: named("größe", "h"), "does not write the name 'größe'"),
    ],
)
def test_what_keras_cannot_export_is_an_error_of_ours(model, message, tmp_path):
    with pytest.raises(ModelFileError, match=message):
        sources.save(model(), tmp_path / "m")
    assert not (tmp_path / "m").exists()


# ---- a SavedModel's signatures


def test_a_damaged_saved_model_is_a_clear_error(tmp_path):
    folder = sources.save(any_models.binary(), tmp_path / "m")
    (folder / "saved_model.pb").write_bytes(b"\xff" * 100)
    with pytest.raises(ModelFileError, match="m cannot be read as a SavedModel"):
        sources.signature(folder)
    (folder / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ModelFileError, match="m cannot be read as a SavedModel"):
        sources.signature(folder)
    (folder / "saved_model.pb").unlink()
    with pytest.raises(ModelFileError, match="is not a SavedModel: a SavedModel is a folder"):
        sources.signature(folder)


def test_a_frozen_graph_becomes_a_file_by_the_way_that_is_named(tmp_path):
    from tensorflow.python.framework import convert_to_constants

    tf = tensorflow()
    _, signatures = any_models.rank_1()
    concrete = signatures["serving_default"].get_concrete_function()
    graph = convert_to_constants.convert_variables_to_constants_v2(concrete).graph
    file = tmp_path / "frozen_graph.pb"
    file.write_bytes(graph.as_graph_def().SerializeToString())
    for given in (file, tmp_path):
        with pytest.raises(ModelFileError, match=r"from_frozen_graph\(file, \['input'\]"):
            by_tensorflow.convert(given, "float32")
    with quiet():
        make = tf.compat.v1.lite.TFLiteConverter.from_frozen_graph
        content = make(str(file), ["x"], ["Identity"]).convert()
    found = runtime.Model(by_litert.quantize(content, "float32"))
    assert found.predict(np.float32([1, 2])) == pytest.approx([4, 7])


def test_weights_in_variables_that_the_converter_would_lose_are_kept(tmp_path):
    """tf.saved_model.save of a Keras 3 model: plainly converted it answers NaN."""
    model = any_models.binary()
    with quiet():
        tensorflow().saved_model.save(model, str(tmp_path / "m"))
    for path in ("float32", "int8"):
        content = by_tensorflow.convert(tmp_path / "m", path, X)
        assert runtime.Model(content).predict(X) == pytest.approx(model(X).numpy(), abs=0.02)


def test_a_signature_called_serve_is_the_owners_where_it_is_the_only_one(tmp_path):
    module, signatures = any_models.rank_1()
    folder = any_models.save((module, {"serve": signatures["serving_default"]}), tmp_path / "m")
    assert list(sources.signatures(folder)) == ["serve"]
    assert runtime.Model(by_tensorflow.convert(folder, "float32")).predict(
        np.float32([1, 2])
    ) == pytest.approx([4, 7])


def test_keras_second_signature_is_none_of_the_owners(tmp_path):
    folder = sources.save(any_models.binary(), tmp_path / "m")
    assert list(sources.signatures(folder)) == ["serving_default"]


def test_a_signature_of_text_is_refused_by_name(tmp_path):
    tf = tensorflow()
    spec = tf.TensorSpec((None,), tf.string, name="words")
    module = tf.Module()
    module.f = tf.function(lambda words: {"n": tf.strings.length(words)}, input_signature=[spec])
    folder = any_models.save((module, {"serving_default": module.f}), tmp_path / "m")
    (words,) = sources.signature(folder).inputs.values()
    assert words.dtype == object
    with pytest.raises(Exception, match=r"text") as e:
        runtime.Model(by_tensorflow.convert(folder, "float32"))
    assert type(e.value).__module__ == "lessons_lib.errors"


class Difference:
    """Twin inputs, whose order in the alphabet is not that in which they are passed."""

    def keras():
        keras = fresh_keras()
        ends = [keras.Input((4,), name=name) for name in ("zeta", "alpha")]
        return keras.Model(ends, keras.layers.Subtract()(ends))

    def module():
        tf = tensorflow()
        specs = [tf.TensorSpec((None, 4), tf.float32, name) for name in ("zeta", "alpha")]
        module = tf.Module()
        module.call = tf.function(lambda zeta, alpha: {"y": zeta - alpha}, input_signature=specs)
        return module, module.call

    def subclassed():
        keras = fresh_keras()

        class Own(keras.Model):
            def call(self, pair):
                return pair[0] - pair[1]

        model = Own()
        model([np.zeros((1, 4), np.float32)] * 2)
        return model


@pytest.mark.parametrize("kind", ["keras", "module", "subclassed"])
def test_inputs_without_names_come_in_the_owners_order(kind, tmp_path):
    folder = any_models.save(getattr(Difference, kind)(), tmp_path / "model")
    ends = sources.signature(folder)
    first, second = np.full((2, 4), 3, np.float32), np.ones((2, 4), np.float32)
    answer = sources.runner(folder, ends.key)(samples.rows((first, second), ends))
    assert (samples.bare(answer) == 2).all()


def test_inputs_by_name_have_no_order(tmp_path):
    keras = fresh_keras()
    ends = {name: keras.Input((4,), name=name) for name in ("zeta", "alpha")}
    model = keras.Model(ends, keras.layers.Subtract()(list(ends.values())))
    ends = sources.signature(sources.save(model, tmp_path / "model"))
    assert ends.order == ()
    with pytest.raises(InputError, match="fit in more than one order"):
        samples.rows((np.ones((2, 4), np.float32),) * 2, ends)


def test_what_the_float_model_itself_complains_of_is_told(tmp_path):
    """A loaded graph has lost the traces of its layers, and says so first."""
    tf = tensorflow()

    def strict(x):
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_max(x) < 1, ["too large"])]):
            return {"y": tf.identity(x)}

    folder = any_models.save(any_models._module(strict, x=[4, 3]), tmp_path)
    run = sources.runner(folder, "serving_default")
    with pytest.raises(ConversionError, match=r"on the samples: assertion failed: .too large"):
        run({"x": np.full((4, 3), 5, np.float32)})


def test_a_runner_answers_by_name(tmp_path):
    model = any_models.two_ends()
    folder = sources.save(model, tmp_path / "m")
    x = any_models.drawn(folder, 5)
    found = sources.runner(folder, "serving_default")(x)
    expected = model([x["my-input"], x["b.x"]])
    assert found.keys() == {"price", "kind"}
    for name in found:
        assert found[name] == pytest.approx(expected[name].numpy(), abs=1e-6)


def test_operators_are_those_of_the_graph_and_its_functions(tmp_path):
    folder = any_models.save(any_models.lstm(), tmp_path / "m")
    found = sources.operators(folder)
    assert {"MatMul", "TensorListReserve"} <= found
    assert not by_tensorflow.is_common(folder)
    assert by_tensorflow.is_common(sources.save(any_models.binary(), tmp_path / "b"))


def test_a_float_tflite_is_no_source_of_the_converter(tmp_path):
    file = tmp_path / "m.tflite"
    file.write_bytes(any_models.converted("binary"))
    with pytest.raises(ModelFileError, match=r"m\.tflite .*by_litert\.quantize"):
        by_tensorflow.convert(file, "int8", X)
    assert signature.of_file(by_litert.quantize(file, "int8", X)).only_input.dtype == np.int8


def test_where_one_cannot_write_nothing_is_left(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        sources.save(any_models.binary(), tmp_path / "file" / "m")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_class_is_no_model():
    with pytest.raises(ModelFileError, match="no model that can be converted"):
        by_tensorflow.convert(tensorflow().keras.Model, "float32")


def test_a_folder_is_met_by_any_name_and_by_its_file(tmp_path):
    folder = sources.save(any_models.binary(), tmp_path / "m.keras")
    for given in (folder, folder / "saved_model.pb"):
        with sources.opened(given) as found:
            assert found == folder
    file = any_models.keras_file(any_models.binary(), tmp_path / "n.h5").rename(tmp_path / "N.H5")
    with sources.opened(file.rename(tmp_path / "N.h5")) as found:
        assert (found / "saved_model.pb").is_file()


def test_a_constant_that_is_nan_is_named_with_its_layer(tmp_path):
    keras, tf = fresh_keras(), tensorflow()

    class Scaled(keras.layers.Layer):
        def call(self, x):
            return tf.nn.relu(x * tf.constant([1.0, float("nan"), 1.0, 1.0], name="factors"))

    model = keras.Sequential([keras.Input((4,), name="x"), Scaled(name="scaled")])
    folder = sources.save(model, tmp_path / "m")
    for path in ("float32", "int8"):
        with pytest.raises(
            ConversionError, match=r"constant .*factors of the layer scaled holds NaN"
        ):
            by_tensorflow.convert(folder, path, X[:, :4])
    masked = keras.Sequential([keras.Input((4,), name="x"), keras.layers.ReLU()])
    assert sources.runner(sources.save(masked, tmp_path / "n"), "serving_default")


READ_WITHOUT = """
import sys
from lessons_lib import sources, training
from lessons_lib.system.quiet import tensorflow
folder = training.reference()
found = sources.signatures(folder), sources.operators(folder)
assert not {name.partition(".")[0] for name in sys.modules} & {"tensorflow", "keras"}
loaded = tensorflow().saved_model.load(str(folder))
assert found == (sources.signatures(folder), sources.operators(folder))
assert "serving_default" in loaded.signatures
print(found[0]["serving_default"])
"""


def test_what_a_saved_model_takes_is_read_without_tensorflow_which_works_afterwards():
    done = subprocess.run([sys.executable, "-c", READ_WITHOUT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "image: float32 (?, 28, 28, 1) -> output_0: float32 (?, 10)\n"


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "int64", "uint8", "bool"])
def test_every_dtype_is_read_as_tensorflow_has_it(dtype, tmp_path):
    tf = tensorflow()
    spec = tf.TensorSpec([None, 2], dtype, name="x")
    module = tf.Module()
    module.same = tf.function(tf.identity, input_signature=[spec])
    with quiet():
        tf.saved_model.save(module, str(tmp_path), signatures=module.same)
    assert sources.signature(tmp_path).only_input.dtype == dtype
