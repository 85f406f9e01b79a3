"""A file changed by hand does what it did, in the runtime, and lacks what was taken out."""

import functools
import tempfile

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

import tiny_models
from lessons_lib import by_litert, edit, reader, signature, tables
from lessons_lib.errors import InputError, ModelFileError
from lessons_lib.system.quiet import quiet, tensorflow

KEYS = ("count", "embed", "serving_default")


@functools.cache
def three_signatures():
    """One with a loop, one with a constant of its own, one with a variable: six subgraphs."""
    tf = tensorflow()

    class Three(tf.Module):
        def __init__(self):
            super().__init__()
            self.counted = tf.Variable([0.0, 0.0])

        @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32, name="x")])
        def embed(self, x):
            return {"e": x @ tf.constant(np.arange(2000).reshape(2, 1000), tf.float32)}

        @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32, name="x")])
        def grow(self, x):
            return {
                "y": tf.while_loop(lambda v: tf.reduce_sum(v) < 100, lambda v: (v + 1,), (x,))[0]
            }

        @tf.function(input_signature=[tf.TensorSpec((2,), tf.float32, name="x")])
        def count(self, x):
            self.counted.assign_add(x)
            return {"n": self.counted.read_value()}

    module = Three()
    functions = dict(zip(KEYS, (module.count, module.embed, module.grow), strict=True))
    with tempfile.TemporaryDirectory() as folder, quiet():
        tf.saved_model.save(module, folder, signatures=functions)
        return tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=KEYS).convert()


def answer(content, key, x):
    interpreter = Interpreter(model_content=content)
    (found,) = interpreter.get_signature_runner(key)(x=np.float32(x)).values()
    return found


@pytest.mark.parametrize(
    ("key", "x"),
    [
        ("count", [1, 2]),
        ("embed", [[1, 2]]),
        ("serving_default", [[1, 2], [3, 4]]),
        (None, [[1, 2]]),
    ],
)
def test_one_signature_of_several(key, x):
    content = three_signatures()
    only = edit.only_signature(content, key)
    wanted = key or "serving_default"
    model = reader.read(only)
    assert [entry.signatureKey.decode() for entry in model.signatureDefs] == [wanted]
    assert signature.of_file(only).subgraph == 0
    assert len(model.subgraphs) < len(reader.read(content).subgraphs)
    assert np.array_equal(answer(only, wanted, x), answer(content, wanted, x))
    # The constant of embed is 8,000 bytes, and only there.
    assert (len(only) > 8000) == (key == "embed")
    assert edit.only_signature(only) == only


def test_a_signature_that_is_not_there_is_refused():
    with pytest.raises(InputError, match=r"no signature 'train'; choose one by its name: count"):
        edit.only_signature(three_signatures(), "train")


def test_a_file_with_one_signature_stays_as_it_is(tmp_path):
    content = tiny_models.converted("cnn", "int8")
    (tmp_path / "m.tflite").write_bytes(content)
    assert edit.only_signature(content) == edit.only_signature(tmp_path / "m.tflite") == content
    assert edit.with_signature(content) == content
    assert edit.unfold_halves(content) == content
    assert edit.let_shapes_read_integers(content) == content
    with pytest.raises(ModelFileError):
        edit.only_signature(content[:100])


def without_names(content):
    model = reader.read(content)
    model.signatureDefs = None
    for tensor in model.subgraphs[0].tensors:
        tensor.name = None
    model.subgraphs[0].tensors[1].name = model.subgraphs[0].tensors[2].name = b"same"
    model.subgraphs[0].tensors[3].name = b"caf\xe9"
    return reader.pack(model)


@pytest.mark.filterwarnings("ignore::lessons_lib.errors.QualityWarning")  # it is not trained
def test_what_has_no_names_gets_them_and_can_be_quantized():
    content = tiny_models.converted("cnn", "float32", 1)
    bare = without_names(content)
    named = edit.with_signature(bare)
    names = list(tables.tensors(named)["name"])
    assert len(set(names)) == len(names)
    assert all(names)
    assert str(signature.of_file(named)) == str(signature.of_file(bare))
    x = tiny_models.images((28, 28, 1), 1)
    samples = tiny_models.representative_dataset((28, 28, 1))
    quantized = by_litert.quantize(named, "int8", samples)
    expected = by_litert.quantize(content, "int8", samples)
    codes = [Interpreter(model_content=c) for c in (quantized, expected)]
    found = []
    for interpreter in codes:
        interpreter.allocate_tensors()
        detail = interpreter.get_input_details()[0]
        scale, zero_point = detail["quantization"]
        interpreter.set_tensor(detail["index"], np.int8(np.rint(x / scale) + zero_point))
        interpreter.invoke()
        found.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    assert np.array_equal(*found)


def test_names_only_are_mended_where_there_is_a_signature():
    model = reader.read(tiny_models.converted("cnn", "float32"))
    model.subgraphs[0].tensors[1].name = model.subgraphs[0].tensors[2].name
    named = reader.read(edit.with_signature(reader.pack(model)))
    assert len(named.signatureDefs) == 1
    assert len({tensor.name for tensor in named.subgraphs[0].tensors}) == len(
        named.subgraphs[0].tensors
    )


def test_halves_unfolded_are_the_float_file_of_rounded_weights():
    half = tiny_models.converted("cnn", "float16")
    whole = edit.unfold_halves(half)
    table = tables.tensors(whole)
    assert not (table["dtype"] == "FLOAT16").any()
    assert "DEQUANTIZE" not in set(tables.operators(whole)["operator"])
    float32 = tiny_models.converted("cnn", "float32")
    assert abs(len(whole) - len(float32)) < 2000
    assert tables.byte_budget(whole)["weights"] == tables.byte_budget(float32)["weights"]
    x = tiny_models.images((28, 28, 1), 1)
    results = [
        tiny_models.run(content, x).get_tensor(len(tables.tensors(content)) - 1)
        for content in (half, whole)
    ]
    assert np.array_equal(*results)
    by_litert.quantize(whole, "dynamic_range")  # which refuses the halves


def test_a_file_rounded_to_half_answers_as_its_float16_file():
    x = tiny_models.images((28, 28, 1), 1)
    half, float32 = (tiny_models.converted("cnn", path) for path in ("float16", "float32"))
    rounded = edit.rounded_to_half(float32)
    gave = []
    for content in (half, rounded, float32):
        interpreter = tiny_models.run(content, x)
        gave.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    assert np.array_equal(gave[0], gave[1])
    assert not np.array_equal(gave[1], gave[2])


def test_a_half_that_a_signature_gives_stays():
    model = reader.read(tiny_models.converted("cnn", "float16"))
    (graph,) = model.subgraphs
    half = next(i for i, tensor in enumerate(graph.tensors) if tensor.type == 1)
    model.signatureDefs[0].outputs.append(schema.TensorMapT("weights", half))
    whole = reader.read(edit.unfold_halves(reader.pack(model)))
    outputs = {end.name: end.tensorIndex for end in whole.signatureDefs[0].outputs}
    kept = whole.subgraphs[0].tensors[outputs[b"weights"]]
    assert (reader.dtype_name(kept), kept.name) == ("FLOAT16", graph.tensors[half].name)


def softmax(old_schema=False, operators=1):
    tensors = [tiny_models.tensor(name, "FLOAT32", [1, 4]) for name in "xy"]
    chain = [("SOFTMAX", schema.SoftmaxOptionsT(beta=1.0), [0], [1])][:operators]
    model = reader.read(tiny_models.assemble(tensors, chain, [0], [1]))
    for code in model.operatorCodes if old_schema else ():
        code.builtinCode = 0
    ends = [[schema.TensorMapT(name, i)] for i, name in enumerate("xy")]
    model.signatureDefs = [schema.SignatureDefT(*ends, "serving_default", 0)]
    return reader.pack(model)


@pytest.mark.parametrize("old_schema", [False, True])
def test_softmax_is_taken_off(old_schema):
    content = edit.without_softmax(softmax(old_schema))
    assert tables.operators(content).empty
    assert signature.of_file(content).only_output.index == 0
    assert signature.of_file(content).only_output.name == "y"


def test_a_file_that_ends_otherwise_is_refused():
    with pytest.raises(InputError, match="no softmax"):
        edit.without_softmax(softmax(operators=0))
    with pytest.raises(InputError, match="no softmax"):
        edit.without_softmax(tiny_models.converted("depthwise_with_elu", "float32"))


def test_a_shape_reads_integers_and_an_lstm_keeps_its_inner_tensors():
    shapes = {"x": [1, 4], "copy": [1, 4], "shape": [2], "h": [1, 4], "i0": [1], "i1": [1]}
    dtypes = dict.fromkeys(shapes, "INT8") | {"copy": "FLOAT32", "shape": "INT32"}
    tensors = [tiny_models.tensor(name, dtypes[name], shape) for name, shape in shapes.items()]
    operators = [
        ("DEQUANTIZE", None, [0], [1]),
        ("SHAPE", None, [1], [2]),
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", None, [0, -1], [3]),
    ]
    model = reader.read(tiny_models.assemble(tensors, operators, [0], [3, 2]))
    model.subgraphs[0].operators[2].intermediates = [4, 5]
    (graph,) = reader.read(edit.let_shapes_read_integers(reader.pack(model))).subgraphs
    names = [tensor.name.decode() for tensor in graph.tensors]
    assert names == ["x", "shape", "h", "i0", "i1"]
    shape, lstm = graph.operators
    assert shape.inputs == [0]
    assert lstm.inputs == [0, -1]
    assert [names[index] for index in lstm.intermediates] == ["i0", "i1"]


def test_other_numbers_are_put_into_stored_tensors_and_nothing_else_changes():
    before = tiny_models.converted("depthwise_with_elu", "float32")
    stored = tables.tensors(before).query("bytes > 0 and dtype == 'FLOAT32'")["name"]
    old = {name: reader.constant(before, name) for name in stored}
    assert len(old) > 1
    first = next(iter(old))
    after = edit.with_constants(before, {first: 2 * old[first].astype(float)})
    for name in stored:
        factor = 2 if name == first else 1
        assert np.array_equal(reader.constant(after, name), factor * old[name])
    assert tables.operators(after).equals(tables.operators(before))
    again = edit.with_constants(after, {first: old[first]})
    assert again == edit.with_constants(before, {})


def test_numbers_that_do_not_fit_are_refused():
    content = tiny_models.converted("depthwise_with_elu", "float32")
    name = tables.tensors(content).query("bytes > 0 and dtype == 'FLOAT32'")["name"].iloc[0]
    with pytest.raises(InputError, match=r"has the shape .*; given: \(3,\), 12 bytes"):
        edit.with_constants(content, {name: [1.0, 2.0, 3.0]})
    with pytest.raises(InputError, match="no tensor 'nothing' is stored"):
        edit.with_constants(content, {"nothing": np.zeros(3)})
