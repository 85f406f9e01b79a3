"""What is read from files that the real converter wrote, and from damaged ones."""

import inspect
import random
import re
import tempfile
import time

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import tiny_models
from lessons_lib import edit, reader, tables
from lessons_lib.errors import InputError, ModelFileError
from lessons_lib.system.quiet import quiet, tensorflow


@pytest.fixture(scope="module")
def int8():
    return tiny_models.converted("cnn", "int8")


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


def _packed(values, bits):
    """Little-endian bit fields, as many to a byte as fit."""
    fields = values.ravel().astype(np.uint8) & (2**bits - 1)
    fields = np.append(fields, np.zeros(-len(fields) % (8 // bits), np.uint8)).astype(np.uint8)
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    return (fields.reshape(-1, 8 // bits) << shifts).sum(axis=1).astype(np.uint8)


def test_int4_is_unpacked_as_the_runtime_does():
    weights = np.random.default_rng(0).integers(-7, 8, (5, 7)).astype(np.int8)
    int8, int4 = tiny_models.dense("INT8", weights), tiny_models.dense("INT4", _packed(weights, 4))
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
    stored = reader.constant(tiny_models.dense(dtype, _packed(values, bits)), "w")
    assert np.array_equal(stored, values)
    assert stored.dtype == (np.uint8 if dtype.startswith("U") else np.int8)


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
    edit.unfold_halves(edit.with_signature(content))
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


def _shared(builder, start_vector, item, count):
    """A vector of offsets that all point to the one ``item``."""
    start_vector(builder, count)
    for _ in range(count):
        builder.PrependUOffsetTRelative(item)
    return builder.EndVector()


def _finished(builder, **parts):
    """The file whose Model has these vectors; the others are small."""
    empty = schema.BufferT().Pack(builder)
    code = schema.OperatorCodeT().Pack(builder)
    parts.setdefault("Buffers", _shared(builder, schema.ModelStartBuffersVector, empty, 1))
    codes = _shared(builder, schema.ModelStartOperatorCodesVector, code, 1)
    parts.setdefault("OperatorCodes", codes)
    schema.ModelStart(builder)
    for name, vector in parts.items():
        getattr(schema, f"ModelAdd{name}")(builder, vector)
    builder.Finish(schema.ModelEnd(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _graphs_of_tensors(builder, count):
    """As many subgraphs as tensors, all the same."""
    tensor = schema.TensorT(shape=[1], name="t").Pack(builder)
    tensors = _shared(builder, schema.SubGraphStartTensorsVector, tensor, count)
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, tensors)
    graph = schema.SubGraphEnd(builder)
    return {"Subgraphs": _shared(builder, schema.ModelStartSubgraphsVector, graph, count)}


def _long_inputs(builder, count):
    """Operators that are one, with as many inputs."""
    operator = schema.OperatorT(inputs=[0] * count, outputs=[0]).Pack(builder)
    tensor = schema.TensorT(shape=[1], name="t").Pack(builder)
    tensors = _shared(builder, schema.SubGraphStartTensorsVector, tensor, 1)
    operators = _shared(builder, schema.SubGraphStartOperatorsVector, operator, count)
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, tensors)
    schema.SubGraphAddOperators(builder, operators)
    graph = schema.SubGraphEnd(builder)
    return {"Subgraphs": _shared(builder, schema.ModelStartSubgraphsVector, graph, 1)}


def _long_scales(builder, count):
    """Tensors that are one, with a name, a shape and scales of that length."""
    many = schema.QuantizationParametersT(scale=[1.0] * count)
    tensor = schema.TensorT([1] * count, name="t" * count, quantization=many).Pack(builder)
    tensors = _shared(builder, schema.SubGraphStartTensorsVector, tensor, count)
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, tensors)
    graph = schema.SubGraphEnd(builder)
    return {"Subgraphs": _shared(builder, schema.ModelStartSubgraphsVector, graph, 1)}


def _long_names(builder, count):
    """A signature whose inputs are one, with a long name."""
    entry = schema.TensorMapT("n" * 4 * count, 0).Pack(builder)
    inputs = _shared(builder, schema.SignatureDefStartInputsVector, entry, count)
    schema.SignatureDefStart(builder)
    schema.SignatureDefAddInputs(builder, inputs)
    definition = schema.SignatureDefEnd(builder)
    start = schema.ModelStartSignatureDefsVector
    return {"SignatureDefs": _shared(builder, start, definition, count)}


def _long_metadata(builder, count):
    entry = schema.MetadataT("n" * 4 * count).Pack(builder)
    return {"Metadata": _shared(builder, schema.ModelStartMetadataVector, entry, count)}


@pytest.mark.parametrize(
    "bomb", [_graphs_of_tensors, _long_inputs, _long_scales, _long_names, _long_metadata]
)
def test_a_file_made_to_be_slow_is_refused_in_time(bomb):
    """Some 100 kB of which entries share what they point to: unpacked, gigabytes and hours."""
    builder = flatbuffers.Builder(1024)
    content = _finished(builder, **bomb(builder, 20_000))
    start = time.perf_counter()
    with pytest.raises(ModelFileError, match=r"claim more than it has room for \(lesson 02\)"):
        reader.read(content)
    assert time.perf_counter() - start < 5  # a second at most on a quiet machine


def test_every_list_of_tables_in_the_schema_is_unpacked_entry_by_entry():
    """What is added to the schema in the future must be looked at."""
    in_one_go = {("Tensor", "VariantTensors"), ("SparsityParameters", "DimMetadata")}
    found = set()
    for kind, members in vars(schema).items():
        unpack = getattr(getattr(schema, f"{kind}T", None), "_UnPack", None)
        for member in vars(members) if unpack and isinstance(members, type) else ():
            source = inspect.getsource(unpack)
            if re.search(rf"T\.InitFromObj\(\w+\.{member}\(i\)\)", source):
                found.add((kind, member))
    listed = {(kind, name) for kind, names in reader._LISTS.items() for name in names}
    assert found == listed | in_one_go


@pytest.mark.parametrize(("buffers", "runs"), [([], True), (None, False)])
def test_a_file_without_buffers_is_read_where_the_runtime_reads_it(buffers, runs):
    tensors = [tiny_models.tensor(name, "FLOAT32", [1]) for name in "xy"]
    made = tiny_models.assemble(tensors, [("ABS", schema.AbsOptionsT(), [0], [1])], [0], [1])
    model = schema.ModelT.InitFromPackedBuf(made)
    model.buffers = buffers
    for tensor in model.subgraphs[0].tensors:
        tensor.buffer = 0
    content = tiny_models.pack(model)
    if runs:
        assert tiny_models.run(content, np.float32([-1])).get_tensor(1) == 1
        assert reader.stored_bytes(reader.read(content), tensor).size == 0
    else:
        with pytest.raises(ValueError, match="No buffers"):
            tiny_models.run(content, np.float32([-1]))
        with pytest.raises(ModelFileError, match="it has no buffers"):
            reader.read(content)


@pytest.mark.parametrize("left", [[], [0]], ids=["none", "one for all channels"])
def test_zero_points_that_were_left_out_are_zeros(left):
    model = schema.ModelT.InitFromPackedBuf(tiny_models.converted("cnn", "int8"))
    shortened = [t.quantization for t in model.subgraphs[0].tensors if t.quantization]
    for quantization in shortened:
        if quantization.scale is not None and len(quantization.scale) > 1:
            quantization.zeroPoint = np.int64(left)
    content = tiny_models.pack(model)
    table, whole = tables.tensors(content), tables.tensors(tiny_models.converted("cnn", "int8"))
    per_channel = table[table["granularity"] == "per-channel"]
    assert len(per_channel) == 8
    for index, row in per_channel.iterrows():
        assert np.array_equal(row["zero_point"], whole["zero_point"][index])


def test_a_name_that_is_no_utf_8_is_read():
    model = reader.read(tiny_models.dense("INT8", np.zeros((5, 7), np.int8)))
    for tensor in model.subgraphs[0].tensors:
        tensor.name = b"caf\xe9 layer"
    names = set(tables.tensors(tiny_models.pack(model))["name"])
    assert names == {"caf\N{REPLACEMENT CHARACTER} layer"}


def test_texts_are_read_as_bytes():
    parts = [b"one", b"", "größer".encode()]
    bounds = np.cumsum([4 + 4 * 4, *map(len, parts)], dtype="<i4")
    stored = np.frombuffer(np.int32(3).tobytes() + bounds.tobytes() + b"".join(parts), np.uint8)
    tensor = tiny_models.tensor("s", "STRING", [3], data=stored)
    content = tiny_models.assemble([tensor], [], [0], [0])
    assert reader.constant(content, "s").tolist() == parts
    short = tiny_models.tensor("s", "STRING", [3], data=stored[:-1])
    with pytest.raises(ModelFileError, match="false bounds"):
        reader.constant(tiny_models.assemble([short], [], [0], [0]), "s")


def sparse_dense():
    keras = tiny_models.fresh_keras()
    model = keras.Sequential([keras.layers.Input((128,), name="image"), keras.layers.Dense(64)])
    (layer,) = model.layers
    keep = np.random.default_rng(0).random((128, 64)) < 0.1
    layer.kernel.assign(layer.kernel * keep.astype(np.float32))
    return model


def sparse_file(model):
    tf = tensorflow()
    with tempfile.TemporaryDirectory() as folder, quiet():
        model.export(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
        return converter.convert()


def test_a_sparse_tensor_is_read_with_its_zeros():
    model = sparse_dense()
    content = sparse_file(model)
    table = tables.tensors(content)
    row = table[table["role"] == "weight"].iloc[0]
    assert row["sparse"]
    assert row["bytes"] < 64 * 128 * 4 / 5
    assert np.array_equal(reader.constant(content, row["name"]), model.layers[0].kernel.numpy().T)


def test_a_sparse_tensor_in_blocks():
    """Blocks of 1 x 2 of a matrix (2, 4); the second axis of blocks is compressed."""
    blocks = schema.SparsityParametersT(
        traversalOrder=[0, 1, 2],
        blockMap=[1],
        dimMetadata=[
            schema.DimensionMetadataT(format=schema.DimensionType.DENSE, denseSize=2),
            _compressed([0, 1, 2], [1, 0]),
            schema.DimensionMetadataT(format=schema.DimensionType.DENSE, denseSize=2),
        ],
    )
    tensor = tiny_models.tensor("w", "INT8", [2, 4], data=np.int8([1, 2, 3, 4]))
    tensor[0].sparsity = blocks
    content = tiny_models.assemble([tensor], [], [0], [0])
    assert reader.constant(content, "w").tolist() == [[0, 0, 1, 2], [3, 4, 0, 0]]
    blocks.dimMetadata[1] = _compressed([0, 1, 2], [1, 9])
    damaged = tiny_models.assemble([tensor], [], [0], [0])
    with pytest.raises(ModelFileError, match="has false places"):
        reader.constant(damaged, "w")


def _compressed(segments, indices):
    vector, kind = schema.Int32VectorT, schema.SparseIndexVector.Int32Vector
    return schema.DimensionMetadataT(
        format=schema.DimensionType.SPARSE_CSR,
        arraySegmentsType=kind,
        arraySegments=vector(segments),
        arrayIndicesType=kind,
        arrayIndices=vector(indices),
    )


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


def _too_many_dimensions(model):
    model.subgraphs[0].tensors[0].shape = [1] * 33


def _false_signature(model):
    model.signatureDefs = [schema.SignatureDefT(subgraphIndex=1)]


def _false_loop(model):
    op = model.subgraphs[0].operators[0]
    op.builtinOptionsType = schema.BuiltinOptions.WhileOptions
    op.builtinOptions = schema.WhileOptionsT(condSubgraphIndex=0, bodySubgraphIndex=1)


def _nameless_variable(model):
    code = model.operatorCodes[0]
    code.builtinCode, code.deprecatedBuiltinCode = schema.BuiltinOperator.VAR_HANDLE, 127


def _false_intermediate(model):
    model.subgraphs[0].operators[0].intermediates = [3]


def _false_block(model):
    quantization = model.subgraphs[0].tensors[1].quantization
    quantization.detailsType = schema.QuantizationDetails.BlockwiseQuantization
    quantization.details = schema.BlockwiseQuantizationT(scales=3, zeroPoints=-1)


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
        (_too_many_dimensions, "33 dimensions"),
        (_false_signature, "index 1 points outside a list of 1"),
        (_false_loop, "index 1 points outside a list of 1"),
        (_nameless_variable, "a variable has no name"),
        (_false_intermediate, "index 3 points outside a list of 3"),
        (_false_block, "index 3 points outside a list of 3"),
        (_negative_shape, r"the shape \[1, -7\]"),
        (_one_zero_point_too_many, "1 scales and 2 zero points"),
        (_no_weights, "no weights"),
        (_short_constant, r"shape \[5, 7\] stores 34 values"),
    ],
)
def test_the_error_says_what_is_wrong(damage, message):
    model = reader.read(tiny_models.dense("INT8", np.zeros((5, 7), np.int8)))
    damage(model)
    with pytest.raises(ModelFileError, match=message):
        _read_everything(tiny_models.pack(model))


def test_a_constant_of_half_a_number_is_found():
    half = tiny_models.tensor("h", "FLOAT32", [1], data=np.zeros(3, np.uint8))
    with pytest.raises(ModelFileError, match="3 bytes are no whole number of FLOAT32"):
        reader.constant(tiny_models.assemble([half], [], [0], [0]), "h")
