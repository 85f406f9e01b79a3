"""layers: errors computed by hand, real files paired, and what cannot be compared."""

import functools
import math

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import tiny_models
from lessons_lib import affine, layer_errors, noise, reader, runtime, tables
from lessons_lib.errors import InputError
from reference import converted, digits

EXPECTED = np.float32([0.0, 1.0, 2.0, -3.0])


@functools.cache
def values(path, name="ds_cnn", count=20):
    content = converted(name)[path]
    x = runtime.Model(content).quantize_input(digits().test.images[:count])
    return runtime.tensor_values(content, x)


def errors(path, name="ds_cnn"):
    files = converted(name)["float32"], converted(name)[path]
    return layer_errors.compare(*files, values("float32", name), values(path, name))


def test_rms_error_by_hand():
    found = EXPECTED + np.float32([1, -1, 3, 1])
    assert layer_errors.rms_error(EXPECTED, found) == pytest.approx(math.sqrt((1 + 1 + 9 + 1) / 4))
    assert layer_errors.rms_error(EXPECTED, EXPECTED) == 0


def test_signal_to_noise_by_hand():
    assert layer_errors.signal_to_noise(EXPECTED, 1.1 * EXPECTED) == pytest.approx(20)
    assert layer_errors.signal_to_noise(EXPECTED, np.zeros(4)) == pytest.approx(0)
    assert layer_errors.signal_to_noise(EXPECTED, EXPECTED) == math.inf
    assert layer_errors.signal_to_noise(np.zeros(4), EXPECTED) == -math.inf


def test_decibels_of_powers_without_signal_or_noise():
    assert noise.decibels([10, 0, 1, 0], [1, 1, 0, 0]).tolist() == [
        10,
        -math.inf,
        math.inf,
        math.inf,
    ]


def test_codes_are_not_subtracted_in_their_own_dtype():
    assert layer_errors.rms_error(np.int8([-128]), np.int8([127])) == 255


def test_rounding_alone_costs_a_step_over_the_root_of_twelve_and_a_bit_six_decibels():
    x = np.random.default_rng(0).uniform(-1, 1, 100_000).astype(np.float32)
    decibels = []
    for num_bits in (8, 9):
        scale, zero_point = affine.scale_zero_point(-1, 1, num_bits)
        back = affine.dequantize(affine.quantize(x, scale, zero_point, num_bits), scale, zero_point)
        assert layer_errors.rms_error(x, back) / scale == pytest.approx(1 / math.sqrt(12), rel=0.01)
        decibels.append(layer_errors.signal_to_noise(x, back))
    assert decibels[1] - decibels[0] == pytest.approx(20 * math.log10(2), abs=0.1)


@pytest.mark.parametrize("measure", [layer_errors.rms_error, layer_errors.signal_to_noise])
@pytest.mark.parametrize(
    ("found", "message"),
    [
        (np.zeros((4, 1)), r"\(4,\) and found \(4, 1\)"),
        (np.float32([0, 1, 2, np.nan]), "NaN or inf"),
        (np.float32([0, 1, 2, np.inf]), "NaN or inf"),
    ],
)
def test_arrays_that_cannot_be_compared(measure, found, message):
    with pytest.raises(InputError, match=message):
        measure(EXPECTED, found)
    with pytest.raises(InputError, match="not empty"):
        measure([], [])


@pytest.mark.parametrize("name", ["mnist_cnn", "ds_cnn"])
@pytest.mark.parametrize("path", ["int8", "int8_float_fallback", "uint8", "int16x8"])
def test_every_operator_that_computes_has_a_row(name, path):
    table = errors(path, name)
    operators = tables.operators(converted(name)["float32"])["operator"]
    assert table["operator"].tolist() == [o for o in operators if o not in layer_errors.MOVERS]
    assert table["error_per_scale"].tolist() == (table["rms_error"] / table["scale"]).tolist()
    assert table["snr_db"].between(20, 80).all()
    assert table["layer"].is_unique


def test_a_row_is_what_the_tensors_say():
    row = errors("int8").iloc[3]
    quantized = tables.tensors(converted("ds_cnn")["int8"]).loc[row["index"]]
    expected = values("float32")[row["float_index"]]
    codes = values("int8")[row["index"]].astype(np.float64)
    found = (codes - quantized["zero_point"]) * quantized["scale"]
    assert (row["layer"], row["operator"]) == ("block2_depthwise", "DEPTHWISE_CONV_2D")
    assert row["scale"] == quantized["scale"]
    assert row["rms_error"] == pytest.approx(np.sqrt(np.mean((found - expected) ** 2)), rel=1e-5)


def test_the_last_row_is_the_models_output():
    images = digits().test.images[:20]
    both = [
        runtime.Model(converted("ds_cnn")[path], kernels="reference").predict(images)
        for path in ("float32", "int8")
    ]
    assert errors("int8")["rms_error"].iloc[-1] == pytest.approx(layer_errors.rms_error(*both))


@pytest.mark.parametrize("path", ["dynamic_range", "float16"])
def test_a_float_output_has_no_scale(path):
    table = errors(path)
    assert table[["scale", "error_per_scale"]].isna().all(axis=None)
    assert (table["snr_db"] > 30).all()


def test_a_model_beside_itself_has_no_error():
    table = layer_errors.compare(*[converted("ds_cnn")["int8"]] * 2, *[values("int8")] * 2)
    assert (table["rms_error"] == 0).all()
    assert (table["snr_db"] == math.inf).all()


def test_files_of_two_models_do_not_pair():
    files = converted("ds_cnn")["float32"], converted("mnist_cnn")["int8"]
    message = "operator 1 is DEPTHWISE_CONV_2D in the first and MAX_POOL_2D in the second"
    with pytest.raises(InputError, match=message):
        layer_errors.compare(*files, {}, {})


def test_an_operator_without_a_partner_is_said_and_the_rest_is_compared():
    content = without_last(converted()["int8"])
    files = converted()["float32"], content
    table = layer_errors.compare(
        *files, values("float32", "mnist_cnn"), values("int8", "mnist_cnn")
    )
    *rest, last = table.to_dict("records")
    assert (last["operator"], last["index"]) == ("SOFTMAX", layer_errors.ABSENT)
    assert last["float_index"] >= 0 and math.isnan(last["snr_db"])
    assert all(row["index"] >= 0 and row["snr_db"] > 20 for row in rest)
    assert len(rest) == len(errors("int8", "mnist_cnn")) - 1


def without_last(content):
    """The model without its last operator that computes; the file need not run."""
    model = reader.read(content)
    operators = model.subgraphs[0].operators
    while reader.operator_name(model, operators.pop()) in layer_errors.MOVERS:
        pass
    return tiny_models.pack(model)


def test_values_of_other_inputs_or_another_file_are_refused():
    files = converted("ds_cnn")["float32"], converted("ds_cnn")["int8"]
    with pytest.raises(InputError, match=r"CONV_2D \(stem\) gives shape \(20, 14, 14, 24\) in"):
        layer_errors.compare(*files, values("float32"), values("int8", count=10))
    with pytest.raises(InputError, match=r"no value of tensor 18, ds_cnn_1/stem_relu_1/Relu"):
        layer_errors.compare(*files, values("float32"), {})


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("m_1/conv1_1/Relu;m_1/conv1_1/BiasAdd;m_1/conv1_1/convolution;", "conv1"),
        ("m_1/stem_relu_1/Relu;m_1/stem_norm_1/batchnorm/sub;m_1/stem_1/convolution", "stem"),
        ("sequential/dense_1/MatMul;sequential/dense_1/BiasAdd", "dense_1"),
        ("sequential_1/dense_1_1/MatMul", "dense_1"),
        ("sequential_1/dense_1_2/MatMul;sequential_1/dense_1_2/Relu", "dense_1"),
        ("sequential_3/dense_2_1/MatMul", "dense_2"),  # the model was called twice
        ("outer_1/inner_1/dense_1/MatMul", "inner/dense"),
        ("StatefulPartitionedCall_1:0", "StatefulPartitionedCall_1:0"),
        ("", ""),
    ],
)
def test_layer_name(name, layer):
    assert tables.layer_name(name) == layer


@pytest.mark.parametrize("named", [("dense", "dense_1", "dense_2"), ("fc", "fc_1", "fc_1_1"), "ba"])
def test_layer_name_finds_the_layers_of_a_real_file(named):
    keras = tiny_models.fresh_keras()
    dense = [keras.layers.Dense(4, "relu", name=name) for name in named]
    last = keras.layers.Dense(3, name="last")  # the file's output bears no layer's name
    model = keras.Sequential([keras.Input((5,), name="x"), *dense, last])
    written = tables.operators(tiny_models.convert(model, "float32"))["outputs"].str[0]
    assert [tables.layer_name(name) for name in written][:-1] == list(named)


def split_and_fused():
    """y = relu(x * w) and z = y * v, once with the ReLU in its operator and once on its own."""
    fused = schema.FullyConnectedOptionsT(
        fusedActivationFunction=schema.ActivationFunctionType.RELU
    )
    plain = schema.FullyConnectedOptionsT()

    def made(names, operators):
        weights = np.eye(3, dtype=np.float32)
        activations = [tiny_models.tensor(name, "FLOAT32", [2, 3]) for name in names]
        constants = [tiny_models.tensor(n, "FLOAT32", [3, 3], data=weights) for n in ("w", "v")]
        last = len(names) - 1
        return tiny_models.assemble([*activations, *constants], operators, [0], [last])

    one = [("FULLY_CONNECTED", fused, [0, 3, -1], [1]), ("FULLY_CONNECTED", plain, [1, 4, -1], [2])]
    two = [
        ("FULLY_CONNECTED", plain, [0, 4, -1], [1]),
        ("RELU", None, [1], [2]),
        ("FULLY_CONNECTED", plain, [2, 5, -1], [3]),
    ]
    return (
        made(["x", "m/first/Relu", "m/second/MatMul"], one),
        made(["x", "m/first/MatMul", "m/first/Relu", "m/second/MatMul"], two),
    )


def test_what_one_file_fused_is_paired_by_name_and_never_with_what_comes_before_it():
    fused, split = split_and_fused()
    real = np.float32([[-1, 2, 3], [4, -5, 6]])
    y = np.maximum(real, 0)
    table = layer_errors.compare(
        fused, split, {1: y, 2: y}, {1: real, 2: y, 3: y * np.float32([1, 1, 0.5])}
    )
    assert table["operator"].tolist() == ["FULLY_CONNECTED", "FULLY_CONNECTED", "FULLY_CONNECTED"]
    assert table["index"].tolist() == [1, 2, 3]
    assert table["float_index"].tolist() == [layer_errors.ABSENT, 1, 2]
    assert table["snr_db"].isna().tolist() == [True, False, False]
    assert table["rms_error"].tolist()[1] == 0
    assert (table["worst_channel"].iloc[2], round(table["worst_channel_db"].iloc[2], 2)) == (
        2,
        6.02,
    )


def test_branches_in_another_order_are_not_taken_for_one_another():
    fused, _ = split_and_fused()
    model = reader.read(fused)
    model.subgraphs[0].operators[1].inputs = [0, 4, -1]  # now both read x
    model.subgraphs[0].outputs = [1, 2]
    straight = tiny_models.pack(model)
    model.subgraphs[0].operators.reverse()
    turned = tiny_models.pack(model)
    a, b = np.float32([[1, 2, 3], [4, 5, 6]]), np.float32([[9, 8, 7], [6, 5, 4]])
    table = layer_errors.compare(straight, turned, {1: a, 2: b}, {1: a, 2: b})
    assert table["index"].tolist() == table["float_index"].tolist() == [2, 1]
    assert (table["rms_error"] == 0).all()


def test_a_scale_of_zero_stands_for_zeros_and_one_for_each_channel_is_used():
    """int16x8 of an unrolled LSTM stores scale 0 for its first state, which is always zero."""

    def made(scale, zero_point):
        tensors = [
            tiny_models.tensor("x", "INT8", [2, 3], 0.5, 0),
            tiny_models.tensor("m/a/Relu", "INT8", [2, 3], scale, zero_point, axis=1),
        ]
        return tiny_models.assemble(tensors, [("RELU", None, [0], [1])], [0], [1])

    real = tiny_models.assemble(
        [tiny_models.tensor(n, "FLOAT32", [2, 3]) for n in ("x", "m/a/Relu")],
        [("RELU", None, [0], [1])],
        [0],
        [1],
    )
    codes = np.int8([[1, 2, 3], [4, 5, 6]])
    zeros = layer_errors.compare(real, made(0.0, 0), {1: np.zeros((2, 3), "f4")}, {1: codes})
    assert zeros["rms_error"].item() == 0 and zeros["scale"].isna().all()
    scales = np.float32([0.5, 1, 2])
    expected = (codes - np.int8([0, 1, 2])) * scales
    by_channel = layer_errors.compare(real, made(scales, [0, 1, 2]), {1: expected}, {1: codes})
    assert by_channel["rms_error"].item() == 0


def test_where_nan_begins_is_a_row_and_no_refusal():
    """float16 turns an epsilon of 1e-12 into 0, and 0 / 0 is NaN from that layer on."""
    float_values, broken = dict(values("float32")), dict(values("float16"))
    healthy = errors("float16")
    place = 4
    broken[healthy["index"][place]] = broken[healthy["index"][place]] * np.float32(np.nan)
    files = converted("ds_cnn")["float32"], converted("ds_cnn")["float16"]
    table = layer_errors.compare(*files, float_values, broken)
    assert table["snr_db"].idxmin() == place
    assert table.loc[place, ["rms_error", "snr_db"]].tolist() == [math.inf, -math.inf]
    float_values[healthy["float_index"][place]] = np.full((20, 1), np.inf)
    broken[healthy["index"][place]] = np.zeros((20, 1))
    table = layer_errors.compare(*files, float_values, broken)
    assert table.loc[place, ["rms_error", "snr_db", "worst_channel_db"]].isna().all()


def detector():
    """Boxes in pixels and scores from 0 to 1, joined in one output, and a second output."""
    keras = tiny_models.fresh_keras()
    layers = keras.layers
    image = keras.Input((8, 8, 3), name="image")
    features = layers.Conv2D(8, 3, padding="same", activation="relu", name="stem")(image)
    pixels = keras.initializers.RandomUniform(20, 300)
    boxes = layers.Conv2D(4, 1, name="boxes", bias_initializer=pixels)(features)
    scores = layers.Conv2D(3, 1, activation="sigmoid", name="scores")(features)
    found = layers.Concatenate(name="detections")([boxes, scores])
    kind = layers.Dense(2, name="kind")(layers.GlobalAveragePooling2D()(features))
    return keras.Model(image, {"found": found, "kind": kind})


@pytest.fixture(scope="module")
def detectors():
    return {path: tiny_models.convert(detector(), path) for path in ("float32", "int8", "float16")}


def test_scores_beside_boxes_are_seen_in_their_own_columns(detectors):
    x = tiny_models.images((8, 8, 3), 10)
    inputs = runtime.Model(detectors["int8"]).quantize_input(x)
    table = layer_errors.compare(
        detectors["float32"],
        detectors["int8"],
        runtime.tensor_values(detectors["float32"], x),
        runtime.tensor_values(detectors["int8"], inputs),
    )
    (joined,) = table[table["operator"] == "CONCATENATION"].to_dict("records")
    assert joined["snr_db"] > 45, "the boxes' power"
    assert joined["worst_channel_db"] < 12 and joined["worst_channel"] >= 4, "a score"
    assert table.loc[table["layer"] == "boxes", "worst_channel_db"].item() > 35
    assert table["index"].ge(0).all()
    assert {"stem", "scores", "kind"} <= set(table["layer"])


def test_a_file_of_halves_pairs_with_its_float_file(detectors):
    x = tiny_models.images((8, 8, 3), 10)
    files = detectors["float32"], detectors["float16"]
    table = layer_errors.compare(*files, *(runtime.tensor_values(file, x) for file in files))
    assert (table["float_index"] >= 0).all() and (table["snr_db"] > 50).all()
