"""What the tables say of files that the real converter wrote, and of some made by hand."""

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import tiny_models
from lessons_lib import paths, reader, tables

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


def test_multiply_accumulates_of_a_depthwise_convolution():
    table = tables.multiply_accumulates(tiny_models.converted("depthwise_with_elu", "float32"))
    assert table["operator"].tolist() == ["DEPTHWISE_CONV_2D", "FULLY_CONNECTED"]
    assert table["macs"].tolist() == [4 * 4 * 4 * 9, 64 * 3]


def test_no_arithmetic_is_an_empty_table():
    table = tables.multiply_accumulates(tiny_models.loop())
    assert len(table) == 0
    assert "macs" in table


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
