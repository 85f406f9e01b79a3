"""What the tables say of files that the real converter wrote, and of some made by hand."""

import functools
import tempfile

import numpy as np
import pandas as pd
import pytest
from ai_edge_litert import schema_py_generated as schema

import tiny_models
from lessons_lib import paths, reader, tables
from lessons_lib.errors import InputError
from lessons_lib.system.quiet import quiet, tensorflow

WEIGHTS = {"conv": 144 + 32 * 144, "dense": 64 * 800 + 640}
PARAMETERS, BIASES = sum(WEIGHTS.values()), 16 + 32 + 64 + 10


@pytest.fixture(scope="module")
def int8():
    return tiny_models.converted("cnn", "int8")


@pytest.mark.parametrize(
    ("path", "weights", "biases"),
    [
        ("float32", 4 * PARAMETERS, 4 * BIASES),
        # Tensors below 1,024 elements stay float: the first convolution and the last dense layer.
        ("dynamic_range", PARAMETERS + 3 * (144 + 640), 4 * BIASES),
        ("float16", 2 * PARAMETERS, 2 * BIASES),
        ("int8_float_fallback", PARAMETERS, 4 * BIASES),
        ("int8", PARAMETERS, 4 * BIASES),
        ("uint8", PARAMETERS, 4 * BIASES),
        ("int16x8", PARAMETERS, 8 * BIASES),
    ],
)
def test_byte_budget_by_hand(path, weights, biases):
    content = tiny_models.converted("cnn", path)
    budget = tables.byte_budget(content)
    assert list(budget.index) == ["weights", "biases", "other constants", "structure"]
    assert budget["weights"] == weights
    assert budget["biases"] == biases
    assert budget["other constants"] == 12  # three int32 of Flatten's shape arithmetic
    assert budget.sum() == len(content)


@pytest.mark.parametrize(
    ("path", "integer_only", "input_dtype", "blamed"),
    [
        ("float32", False, "float32", "CONV_2D"),
        ("dynamic_range", False, "float32", "CONV_2D"),
        ("float16", False, "float32", "CONV_2D"),  # and not what unpacks its weights
        ("int8_float_fallback", False, "float32", "QUANTIZE"),
        ("int8", True, "int8", None),
        ("uint8", True, "uint8", None),
        ("int16x8", False, "float32", "QUANTIZE"),
    ],
)
def test_audit_of_every_path(path, integer_only, input_dtype, blamed):
    audit = tables.audit(tiny_models.converted("cnn", path))
    assert audit.integer_only is integer_only
    assert (audit.input_dtype, audit.output_dtype) == (input_dtype, input_dtype)
    first = audit.float_operators[0].split()[0] if audit.float_operators else None
    assert first == blamed


def test_audit_names_a_float_island():
    audit = tables.audit(tiny_models.converted("depthwise_with_elu", "int8"))
    assert (audit.input_dtype, audit.output_dtype) == ("int8", "int8")
    assert not audit.integer_only
    assert audit.float_operators == ("ELU at elu",)  # and not the two around it


def test_audit_looks_into_every_subgraph():
    content = tiny_models.loop()
    audit = tables.audit(content)
    assert (audit.input_dtype, audit.output_dtype) == ("int32", "int32")
    assert not audit.integer_only
    assert audit.float_operators == ("CAST (2 times, first at Cast)", "MUL at mul")
    table = tables.operators(content)
    assert list(table[table["float"]]["subgraph"].unique()) == [2]


def test_audit_counts_float_inputs_without_operators():
    content = tiny_models.assemble([tiny_models.tensor("x", "FLOAT16", [1])], [], [0], [0])
    assert tables.audit(content) == tables.Audit(False, (), "float16", "float16")


def test_operators_with_a_fixed_batch():
    table = tables.operators(tiny_models.converted("cnn", "int8", batch=4))
    convolution, pool, dense = "CONV_2D", "MAX_POOL_2D", "FULLY_CONNECTED"
    expected = [convolution, pool, convolution, pool, "RESHAPE", dense, dense, "SOFTMAX"]
    assert list(table["operator"]) == expected
    assert list(table["activation"][:3]) == ["RELU", "NONE", "RELU"]
    assert table["dtypes"][0] == "INT8, INT8, INT32 -> INT8"
    assert table["inputs"][0][0] == "serving_default_image:0"
    assert table["outputs"][7] == ("StatefulPartitionedCall_1:0",)
    assert not table["float"].any()


def test_an_optional_input_left_out_is_none():
    table = tables.operators(tiny_models.converted("depthwise_with_elu", "int8"))
    dense = table[table["operator"] == "FULLY_CONNECTED"].iloc[0]  # its bias is all zeros
    assert dense["inputs"][2] is None
    assert dense["dtypes"] == "INT8, INT8 -> INT8"


def test_tensors_agree_with_the_interpreter(int8):
    table = tables.tensors(int8)
    interpreter = tiny_models.run(int8, np.zeros((1, 28, 28, 1), np.int8))
    details = interpreter.get_tensor_details()
    assert len(table) == len(details)
    for (_, row), detail in zip(table.iterrows(), details, strict=True):
        assert (row["index"], row["name"]) == (detail["index"], detail["name"])
        assert row["shape"] == tuple(detail["shape"])
        assert row["shape_signature"] == tuple(detail["shape_signature"])
        assert row["dtype"].lower() == np.dtype(detail["dtype"]).name
        seen = detail["quantization_parameters"]
        for column, name in (("scale", "scales"), ("zero_point", "zero_points")):
            here = [] if row[column] is None else np.atleast_1d(row[column])
            assert np.array_equal(here, seen[name])
        if row["granularity"] == "per-channel":
            assert row["quantized_dimension"] == seen["quantized_dimension"]


@pytest.mark.parametrize("path", paths.PATHS)
def test_roles_in_every_path(path):
    table = tables.tensors(tiny_models.converted("cnn", path))
    counts = table["role"].value_counts()
    assert counts[["input", "output", "weight", "bias", "constant"]].tolist() == [1, 1, 4, 4, 3]
    stored = table["role"].isin(["weight", "bias", "constant"])
    assert (table[stored]["bytes"] > 0).all()
    assert (table[~stored]["bytes"] == 0).all()
    assert sorted(table[table["role"] == "bias"]["shape"]) == [(10,), (16,), (32,), (64,)]


def test_granularity(int8):
    table = tables.tensors(int8)
    by_role = table.groupby("role")["granularity"].unique().map(set)
    assert by_role["weight"] == by_role["bias"] == {"per-channel"}
    assert by_role["input"] == by_role["output"] == {"per-tensor"}
    assert by_role["constant"] == {"none"}
    depthwise = tables.tensors(tiny_models.converted("depthwise_with_elu", "int8"))
    weight = depthwise[depthwise["shape"] == (1, 3, 3, 4)].iloc[0]
    assert (weight["quantized_dimension"], len(weight["scale"])) == (3, 4)
    floats = tables.tensors(tiny_models.converted("cnn", "float32"))
    assert set(floats["granularity"]) == {"none"}
    assert floats["scale"].isna().all()


@pytest.mark.parametrize(("path", "batch"), [("float32", None), ("int8", None), ("int8", 4)])
def test_multiply_accumulates_by_hand(path, batch):
    table = tables.multiply_accumulates(tiny_models.converted("cnn", path, batch))
    by_hand = [26 * 26 * 16 * 9, 11 * 11 * 32 * 9 * 16, 800 * 64, 64 * 10]
    assert table["macs"].tolist() == by_hand == [97344, 557568, 51200, 640]


def test_multiply_accumulates_reads_a_file_once(monkeypatch):
    read, parse = [], reader._parsed
    monkeypatch.setattr(reader, "_parsed", lambda data: read.append(len(data)) or parse(data))
    tables.multiply_accumulates(tiny_models.converted("cnn", "float32"))
    assert len(read) == 1


def test_multiply_accumulates_of_a_depthwise_convolution():
    table = tables.multiply_accumulates(tiny_models.converted("depthwise_with_elu", "float32"))
    assert table["operator"].tolist() == ["DEPTHWISE_CONV_2D", "FULLY_CONNECTED"]
    assert table["macs"].tolist() == [4 * 4 * 4 * 9, 64 * 3]


def test_no_arithmetic_is_an_empty_table():
    table = tables.multiply_accumulates(tiny_models.loop())
    assert len(table) == 0
    assert "macs" in table


def layers_of(*layers, shape, path="float32", batch=1):
    keras = tiny_models.fresh_keras()
    model = keras.Sequential([keras.Input(shape, name="image"), *layers])
    return tiny_models.convert(model, path, batch), model.count_params()


def rows(content):
    table = tables.multiply_accumulates(content)
    return [tuple(row) for row in table[["operator", "macs", "remark"]].to_numpy()]


@pytest.mark.parametrize("path", ["float32", "int8"])
@pytest.mark.parametrize("batch", [1, 2])
def test_what_other_convolutions_cost(path, batch):
    layers = tensorflow().keras.layers
    transposed = layers.Conv2DTranspose(8, 4, strides=2, padding="same", use_bias=False)
    content, held = layers_of(transposed, shape=(8, 8, 16), path=path, batch=batch)
    assert rows(content) == [("TRANSPOSE_CONV", 8 * 8 * 16 * 4 * 4 * 8, "")]
    assert tables.byte_budget(content)["weights"] == held * (4 if path == "float32" else 1)
    deep = layers.Conv3D(8, 3, use_bias=False)
    content, held = layers_of(deep, shape=(6, 6, 6, 4), path=path, batch=batch)
    assert rows(content) == [("CONV_3D", 4**3 * 8 * 3**3 * 4, "")]
    assert tables.byte_budget(content)["weights"] == held * 4  # it has no integers


def test_products_of_two_tensors_and_of_one_with_weights():
    tensors = [
        tiny_models.tensor("x", "FLOAT32", [2, 5, 8]),
        tiny_models.tensor("turned", "FLOAT32", [2, 8, 5]),
        tiny_models.tensor("w", "FLOAT32", [2, 8, 3], data=np.zeros(48, np.float32)),
        tiny_models.tensor("y", "FLOAT32", [2, 5, 5]),
        tiny_models.tensor("z", "FLOAT32", [2, 5, 3]),
    ]
    options = schema.BatchMatMulOptionsT
    operators = [
        ("BATCH_MATMUL", options(), [0, 1], [3]),
        ("BATCH_MATMUL", options(adjX=True), [1, 2], [4]),
    ]
    content = tiny_models.assemble(tensors, operators, [0, 1], [3, 4])
    assert tables.multiply_accumulates(content)["macs"].tolist() == [5 * 5 * 8, 5 * 3 * 8]
    table = tables.tensors(content)
    assert list(table["role"]) == ["input", "input", "weight", "output", "output"]
    assert tables.byte_budget(content)["weights"] == 48 * 4


def recurrent(kind, shapes, roles, x=(1, 10, 8)):
    """An operator whose stored inputs have these shapes, in this order; None is left out."""
    tensors, places = [tiny_models.tensor("x", "FLOAT32", list(x))], [0]
    for shape in shapes:
        places.append(len(tensors) if shape else -1)
        if shape:
            data = np.zeros(shape, np.float32)
            tensors.append(tiny_models.tensor(f"t{len(places)}", "FLOAT32", shape, data=data))
    tensors.append(tiny_models.tensor("y", "FLOAT32", [1, 4]))
    last = len(tensors) - 1
    content = tiny_models.assemble(tensors, [(kind, None, places, [last])], [0], [last])
    assert list(tables.tensors(content)["role"])[1:-1] == roles
    return content


def test_recurrent_operators_use_each_weight_once_a_step():
    gates = [None, *[[4, 8]] * 3, None, *[[4, 4]] * 3, None, None, None, None, *[[4]] * 3]
    roles = ["weight"] * 6 + ["bias"] * 3
    content = recurrent("UNIDIRECTIONAL_SEQUENCE_LSTM", gates, roles)
    assert rows(content) == [("UNIDIRECTIONAL_SEQUENCE_LSTM", 10 * 3 * (4 * 8 + 4 * 4), "")]
    assert tables.byte_budget(content)["biases"] == 3 * 4 * 4
    svdf = recurrent("SVDF", [[6, 8], [6, 5], [6]], ["weight", "weight", "bias"], x=(1, 8))
    assert rows(svdf) == [("SVDF", 6 * 8 + 6 * 5, "")]
    rnn = recurrent("RNN", [[4, 8], [4, 4], [4]], ["weight", "weight", "bias"], x=(1, 8))
    assert rows(rnn) == [("RNN", 4 * 8 + 4 * 4, "")]


def test_a_loop_and_a_custom_operator_are_said_not_to_be_counted():
    layers = tensorflow().keras.layers
    content, _ = layers_of(layers.LSTM(32), layers.Dense(2), shape=(10, 8))
    once = "for one pass of the loop"
    assert rows(content) == [
        ("WHILE", pd.NA, "a loop: its body is listed, for one pass"),
        ("FULLY_CONNECTED", 32 * 2, ""),
        ("FULLY_CONNECTED", 32 * 128, once),
        ("FULLY_CONNECTED", 8 * 128, once),
    ]
    model = reader.read(tiny_models.dense("INT8", np.zeros((5, 7), np.int8)))
    code = model.operatorCodes[0]
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = "MyOperator"
    custom = ("MyOperator", pd.NA, "a custom operator: not counted")
    assert rows(tiny_models.pack(model)) == [custom]


def test_tables_of_embeddings_and_slopes_are_weights():
    layers = tensorflow().keras.layers
    keras = tiny_models.fresh_keras()
    tokens = keras.Input((5,), dtype="int32", name="tokens")
    model = keras.Model(tokens, layers.Embedding(10, 3)(tokens))
    with tempfile.TemporaryDirectory() as folder, quiet():
        model.export(folder, verbose=False)
        content = tensorflow().lite.TFLiteConverter.from_saved_model(folder).convert()
    assert tables.byte_budget(content)["weights"] == 10 * 3 * 4
    shape_arithmetic = tables.tensors(content).query("dtype == 'INT32' and bytes > 0")
    assert set(shape_arithmetic["role"]) <= {"constant"}
    slopes = np.zeros((1, 1, 8), np.float32)
    made = tiny_models.assemble(
        [
            tiny_models.tensor("x", "FLOAT32", [1, 2, 2, 8]),
            tiny_models.tensor("alpha", "FLOAT32", [1, 1, 8], data=slopes),
            tiny_models.tensor("y", "FLOAT32", [1, 2, 2, 8]),
        ],
        [("PRELU", None, [0, 1], [2])],
        [0],
        [2],
    )
    assert tables.byte_budget(made)["weights"] == 32


def test_weights_in_blocks_show_a_scale_for_each_block():
    """64 x 128 codes of 4 bits, one float16 scale for 32 of a row: LiteRT's own quantizer."""
    from litert_quantizer import quantizer

    layers = tensorflow().keras.layers
    content, _ = layers_of(layers.Dense(64), shape=(128,))
    weights = {"num_bits": 4, "symmetric": True, "granularity": "BLOCKWISE_32", "dtype": "INT"}
    entry = {
        "regex": ".*",
        "operation": "FULLY_CONNECTED",
        "algorithm_key": "min_max_uniform_quantize",
        "op_config": {
            "weight_tensor_config": weights,
            "compute_precision": "INTEGER",
            "explicit_dequantize": False,
        },
    }
    with quiet():
        found = quantizer.Quantizer(content, [entry]).quantize(enable_progress_report=False)
    blocks = bytes(found.quantized_model)
    row = tables.tensors(blocks).query("role == 'weight'").iloc[0]
    assert (row["granularity"], row["dtype"], row["bytes"]) == ("blockwise", "INT4", 64 * 128 // 2)
    assert row["scale"].shape == row["zero_point"].shape == (64, 4)
    codes = reader.constant(blocks, row["name"]).reshape(64, 4, 32)
    real = (codes * row["scale"][:, :, None]).reshape(64, 128)
    weight = tables.tensors(content).query("role == 'weight'").iloc[0]["name"]
    error = np.abs(real - reader.constant(content, weight))
    assert error.max() <= row["scale"].max() * 0.51


@functools.cache
def two_signatures():
    """``embed`` is the first in the alphabet; only it is quantized, by hand."""
    tf = tensorflow()

    class Two(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((4, 2), tf.float32, name="a")] * 2)
        def score(self, a, b):
            return {"sum": a + b, "product": tf.matmul(a, tf.ones((2, 3)))}

        @tf.function(input_signature=[tf.TensorSpec((4, 2), tf.int32, name="x")])
        def embed(self, x):
            return {"e": x * 3}

    module = Two()
    functions = {"serving_default": module.score, "embed": module.embed}
    with tempfile.TemporaryDirectory() as folder, quiet():
        tf.saved_model.save(module, folder, signatures=functions)
        return tf.lite.TFLiteConverter.from_saved_model(folder).convert()


def test_an_audit_is_of_the_signature():
    audit = tables.audit(two_signatures())
    assert not audit.integer_only
    assert (audit.input_dtype, audit.output_dtype) == ("float32, float32", "float32, float32")
    assert sorted(audit.outputs) == ["product", "sum"]
    embed = tables.audit(two_signatures(), "embed")
    assert embed == tables.Audit(True, (), "int32", "int32")
    assert (embed.inputs, embed.outputs) == ({"x": "int32"}, {"e": "int32"})
    with pytest.raises(InputError, match="no signature 'train'"):
        tables.audit(two_signatures(), "train")


def test_the_batch_is_that_of_the_signature():
    assert rows(two_signatures()) == [("FULLY_CONNECTED", 2 * 3, "")]  # and not 4 times that
    rank_1 = tiny_models.assemble(
        [
            tiny_models.tensor("x", "FLOAT32", [7]),
            tiny_models.tensor("w", "FLOAT32", [5, 7], data=np.zeros(35, np.float32)),
            tiny_models.tensor("y", "FLOAT32", [1, 5]),
        ],
        [("FULLY_CONNECTED", schema.FullyConnectedOptionsT(), [0, 1, -1], [2])],
        [0],
        [2],
    )
    assert rows(rank_1) == [("FULLY_CONNECTED", 35, "")]  # seven features are no batch


def test_a_float_operator_is_named_once():
    layers = tensorflow().keras.layers
    norms = [layers.LayerNormalization() for _ in range(2)]
    content, _ = layers_of(*norms, shape=(8, 4), path="int8")
    found = tables.audit(content).float_operators
    assert [text for text in found if text.startswith("NEG")] == [
        "NEG (2 times, first at layer_normalization)"
    ]
    assert not any("QUANTIZE" in text for text in found)


def test_shared_buffers_are_counted_once():
    content = tiny_models.loop()
    stored = tables.tensors(content).query("bytes > 0")
    assert stored["buffer"].duplicated().any()
    assert tables.byte_budget(content).sum() == len(content)
    assert tables.byte_budget(content)["other constants"] == 16 + 4 + 4 < stored["bytes"].sum()


def test_a_path_reads_as_the_bytes_do(tmp_path, int8):
    file = tmp_path / "m.tflite"
    file.write_bytes(int8)
    assert tables.audit(file) == tables.audit(str(file)) == tables.audit(int8)
    assert tables.byte_budget(file).equals(tables.byte_budget(bytearray(int8)))


def test_a_custom_operator_has_its_own_name():
    model = reader.read(tiny_models.dense("INT8", np.zeros((5, 7), np.int8)))
    code = model.operatorCodes[0]
    code.builtinCode = schema.BuiltinOperator.CUSTOM
    code.deprecatedBuiltinCode, code.customCode = schema.BuiltinOperator.CUSTOM, "MyOperator"
    assert tables.operators(tiny_models.pack(model))["operator"].tolist() == ["MyOperator"]
