"""anatomy: what it reads from files that the real converter wrote, and from damaged ones."""

import random

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import tiny_models
from lessons_lib import paths, reader, tables
from lessons_lib.errors import InputError, ModelFileError

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
        ("float16", False, "float32", "DEQUANTIZE"),
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
    first = audit.float_operators[0].split(" -> ")[0] if audit.float_operators else None
    assert first == blamed


def test_audit_names_a_float_island():
    audit = tables.audit(tiny_models.converted("depthwise_with_elu", "int8"))
    assert (audit.input_dtype, audit.output_dtype) == ("int8", "int8")
    assert not audit.integer_only
    operators = [text.split(" -> ")[0] for text in audit.float_operators]
    assert operators == ["DEQUANTIZE", "ELU", "QUANTIZE"]
    assert "elu" in audit.float_operators[1].split(" -> ")[1]


def test_audit_looks_into_every_subgraph():
    content = tiny_models.loop()
    audit = tables.audit(content)
    assert (audit.input_dtype, audit.output_dtype) == ("int32", "int32")
    assert not audit.integer_only
    assert [text.split(" -> ")[0] for text in audit.float_operators] == ["CAST", "MUL", "CAST"]
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


@pytest.mark.parametrize(("path", "dtype"), [("float32", np.float32), ("float16", np.float16)])
def test_constant_is_the_trained_weight(path, dtype):
    content = tiny_models.converted("cnn", path)
    table = tables.tensors(content)
    name = table[(table["role"] == "weight") & (table["shape"] == (64, 800))].iloc[0]["name"]
    stored = reader.constant(content, name)
    assert stored.dtype == dtype
    trained = tiny_models.cnn().layers[5].kernel.numpy()
    assert np.array_equal(stored, trained.T.astype(dtype))
    stored[0, 0] = 7  # a copy of one's own
    assert reader.constant(content, name)[0, 0] != 7


def _dense(dtype, stored):
    """A dense layer of 7 inputs and 5 outputs on quantized weights, float in and out."""
    tensors = [
        tiny_models.tensor("x", "FLOAT32", [1, 7]),
        tiny_models.tensor("w", dtype, [5, 7], 0.1, 0, data=stored),
        tiny_models.tensor("y", "FLOAT32", [1, 5]),
    ]
    operators = [("FULLY_CONNECTED", schema.FullyConnectedOptionsT(), [0, 1, -1], [2])]
    return tiny_models.assemble(tensors, operators, [0], [2])


def _packed(values, bits):
    """Little-endian bit fields, as many to a byte as fit."""
    fields = values.ravel().astype(np.uint8) & (2**bits - 1)
    fields = np.append(fields, np.zeros(-len(fields) % (8 // bits), np.uint8)).astype(np.uint8)
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    return (fields.reshape(-1, 8 // bits) << shifts).sum(axis=1).astype(np.uint8)


def test_int4_is_unpacked_as_the_runtime_does():
    weights = np.random.default_rng(0).integers(-7, 8, (5, 7)).astype(np.int8)
    int8, int4 = _dense("INT8", weights), _dense("INT4", _packed(weights, 4))
    x = np.random.default_rng(1).normal(size=(1, 7)).astype(np.float32)
    results = [tiny_models.run(content, x).get_tensor(2) for content in (int8, int4)]
    assert np.array_equal(*results)  # the runtime reads the same weights from both
    assert np.array_equal(reader.constant(int4, "w"), reader.constant(int8, "w"))
    row = tables.tensors(int4).iloc[1]
    assert (row["dtype"], row["bytes"], row["role"]) == ("INT4", 18, "weight")


@pytest.mark.parametrize(
    ("dtype", "bits", "low", "high"), [("INT4", 4, -8, 7), ("UINT4", 4, 0, 15), ("INT2", 2, -2, 1)]
)
def test_packed_types_keep_their_whole_range(dtype, bits, low, high):
    values = np.resize(np.arange(low, high + 1), (5, 7))
    stored = reader.constant(_dense(dtype, _packed(values, bits)), "w")
    assert np.array_equal(stored, values)
    assert stored.dtype == (np.uint8 if dtype.startswith("U") else np.int8)


def test_shared_buffers_are_counted_once():
    content = tiny_models.loop()
    stored = tables.tensors(content).query("bytes > 0")
    assert stored["buffer"].duplicated().any()
    assert tables.byte_budget(content).sum() == len(content)
    assert tables.byte_budget(content)["other constants"] == 16 + 4 + 4 < stored["bytes"].sum()


def test_buffers_behind_the_flatbuffer_are_read():
    inside, behind = tiny_models.loop(), tiny_models.loop(offset=True)
    raw = schema.ModelT.InitFromPackedBuf(behind)
    assert any(buffer.offset for buffer in raw.buffers)
    kept = reader.constant(behind, "Const")
    assert kept.tolist() == [0.5, 0.25, 0.125, 0.0625]
    assert np.array_equal(kept, reader.constant(inside, "Const"))
    assert tables.byte_budget(behind).sum() == len(behind)


def test_constant_refuses_names_and_dtypes_it_does_not_have(int8):
    with pytest.raises(InputError, match="no tensor 'nonsense' is stored here"):
        reader.constant(int8, "nonsense")
    with pytest.raises(InputError, match="no tensor 'serving_default_image:0'"):
        reader.constant(int8, "serving_default_image:0")
    brain = tiny_models.tensor("b", "BFLOAT16", [2], data=np.zeros(4, np.uint8))  # brain float
    with pytest.raises(InputError, match="BFLOAT16, which NumPy does not have"):
        reader.constant(tiny_models.assemble([brain], [], [0], [0]), "b")


def test_a_path_reads_as_the_bytes_do(tmp_path, int8):
    file = tmp_path / "m.tflite"
    file.write_bytes(int8)
    assert tables.audit(file) == tables.audit(str(file)) == tables.audit(int8)
    assert tables.byte_budget(file).equals(tables.byte_budget(bytearray(int8)))


def test_what_is_no_model_file(tmp_path):
    with pytest.raises(ModelFileError, match=r"cannot read .*missing\.tflite"):
        reader.read(tmp_path / "missing.tflite")
    with pytest.raises(ModelFileError, match="cannot read"):
        reader.read(tmp_path)
    with pytest.raises(ModelFileError, match="it is empty"):
        reader.read(b"")
    with pytest.raises(ModelFileError, match="expected the identifier b'TFL3'"):
        reader.read(b"PK\x03\x04 a zip archive")
    with pytest.raises(InputError, match="got int"):
        reader.read(3)


def _read_everything(content):
    tables.operators(content)
    table = tables.tensors(content)
    assert tables.byte_budget(content).sum() == len(content)
    tables.audit(content)
    tables.multiply_accumulates(content)
    for name in table[table["bytes"] > 0]["name"].head(5):
        reader.constant(content, name)


@pytest.mark.parametrize("path", ["float32", "int8", "float16"])
def test_every_truncation_is_found(path):
    content = tiny_models.converted("cnn", path)
    ends = [*range(200), *range(200, len(content), 997), *range(len(content) - 100, len(content))]
    for end in ends:
        with pytest.raises(ModelFileError):
            reader.read(content[:end])


@pytest.mark.parametrize("seed", range(2))
def test_random_damage_is_an_error_or_harmless(seed):
    rng, outcomes = random.Random(seed), set()
    originals = [
        tiny_models.converted(*k) for k in [("cnn", "int8"), ("depthwise_with_elu", "int8")]
    ]
    for _ in range(150):
        damaged = bytearray(rng.choice(originals))
        size = len(damaged)
        for _ in range(rng.choice([1, 1, 2, 8])):
            place = rng.choice(
                [rng.randrange(size), rng.randrange(200), size - rng.randrange(1, 3000)]
            )
            damaged[place] = rng.choice([0, 128, 255, rng.randrange(256)])
        try:
            _read_everything(bytes(damaged))
            outcomes.add("harmless")
        except ModelFileError:
            outcomes.add("found")
    assert outcomes == {"harmless", "found"}


def _three_thousand(start_vector, builder, item):
    """A vector of offsets that all point to the one ``item``."""
    start_vector(builder, 3000)
    for _ in range(3000):
        builder.PrependUOffsetTRelative(item)
    return builder.EndVector()


def test_a_false_count_is_refused_before_it_is_believed():
    """Three thousand subgraphs of three thousand tensors, all the same: 24 kB, hours to unpack."""
    builder = flatbuffers.Builder(1024)
    tensor = schema.TensorT(shape=[1], name="t").Pack(builder)
    tensors = _three_thousand(schema.SubGraphStartTensorsVector, builder, tensor)
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, tensors)
    graph = schema.SubGraphEnd(builder)
    graphs = _three_thousand(schema.ModelStartSubgraphsVector, builder, graph)
    schema.ModelStart(builder)
    schema.ModelAddSubgraphs(builder, graphs)
    builder.Finish(schema.ModelEnd(builder), file_identifier=b"TFL3")
    with pytest.raises(ModelFileError, match=r"operators than it has room for \(lesson 02\)"):
        reader.read(bytes(builder.Output()))


def _no_subgraph(model):
    model.subgraphs = []


def _tensor_outside(model):
    model.subgraphs[0].operators[0].inputs[0] = 99


def _missing_graph_input(model):
    model.subgraphs[0].inputs[0] = -1


def _unknown_dtype(model):
    model.subgraphs[0].tensors[0].type = 99


def _negative_shape(model):
    model.subgraphs[0].tensors[0].shape[1] = -7


def _one_zero_point_too_many(model):
    model.subgraphs[0].tensors[1].quantization.zeroPoint = np.int64([0, 0])


def _no_weights(model):
    model.subgraphs[0].operators[0].inputs = [0]


def _short_constant(model):
    model.buffers[2].data = model.buffers[2].data[:-1]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_no_subgraph, "no subgraph"),
        (_tensor_outside, "index 99 points outside a list of 3"),
        (_missing_graph_input, "index -1 points outside"),
        (_unknown_dtype, "dtype 99"),
        (_negative_shape, r"the shape \[1, -7\]"),
        (_one_zero_point_too_many, "1 scales and 2 zero points"),
        (_no_weights, "no weights"),
        (_short_constant, r"shape \[5, 7\] stores 34 values"),
    ],
)
def test_the_error_says_what_is_wrong(damage, message):
    model = reader.read(_dense("INT8", np.zeros((5, 7), np.int8)))
    damage(model)
    with pytest.raises(ModelFileError, match=message):
        _read_everything(tiny_models.pack(model))


def test_a_constant_of_half_a_number_is_found():
    half = tiny_models.tensor("h", "FLOAT32", [1], data=np.zeros(3, np.uint8))
    with pytest.raises(ModelFileError, match="3 bytes are no whole number of FLOAT32"):
        reader.constant(tiny_models.assemble([half], [], [0], [0]), "h")


def test_a_custom_operator_has_its_own_name():
    model = reader.read(_dense("INT8", np.zeros((5, 7), np.int8)))
    code = model.operatorCodes[0]
    code.builtinCode = schema.BuiltinOperator.CUSTOM
    code.deprecatedBuiltinCode, code.customCode = schema.BuiltinOperator.CUSTOM, "MyOperator"
    assert tables.operators(tiny_models.pack(model))["operator"].tolist() == ["MyOperator"]
