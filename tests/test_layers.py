"""layers: errors computed by hand, real files paired, and what cannot be compared."""

import functools
import math

import numpy as np
import pytest

import tiny_models
from lessons_lib import affine, layer_errors, reader, runtime, tables
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
    with pytest.raises(InputError, match="operator 6 is SOFTMAX in the first and missing in the"):
        layer_errors.compare(converted()["float32"], without_last(converted()["int8"]), {}, {})


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
        ("outer_1/inner_1/dense_1/MatMul", "inner"),
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
