"""The layer of each tensor, read from files that the real converter wrote of Keras models."""

import tempfile

import pytest

import any_models
import tiny_models
from lessons_lib import layer_names, tables
from lessons_lib.system.quiet import quiet, tensorflow


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("m_1/conv1_1/Relu;m_1/conv1_1/BiasAdd;m_1/conv1_1/convolution;", "conv1"),
        ("m_1/stem_relu_1/Relu;m_1/stem_norm_1/batchnorm/sub;m_1/stem_1/convolution", "stem"),
        ("m_1/act_1/Relu;m_1/conv_1/convolution", "conv"),
        ("m_1/relu_1/Relu;m_1/norm_1/batchnorm/add_1", "norm"),
        ("sequential/dense_1/MatMul;sequential/dense_1/BiasAdd", "dense_1"),
        ("sequential_1/dense_1_1/MatMul", "dense_1"),
        ("sequential_1/dense_1_2/MatMul;sequential_1/dense_1_2/Relu", "dense_1"),
        ("sequential_3/dense_2_1/MatMul", "dense_2"),  # the model was called twice
        ("outer_1/inner_1/dense_1/MatMul", "inner/dense"),
        ("m_1/lstm_1/while/lstm_cell_1/MatMul", "lstm"),
        ("functional_1/Add", "Add"),
        ("StatefulPartitionedCall_1:0", "StatefulPartitionedCall_1:0"),
        ("", ""),
    ],
)
def test_one_name_by_itself(name, layer):
    assert layer_names.layer_name(name) == layer


@pytest.mark.parametrize(
    ("names", "layers"),
    [
        # The second model of a session by Keras 2: the numbers are the layers' own.
        (
            ["model_1/conv2d_5/Conv2D", "model_1/conv2d_6/Relu", "model_1/dense_2/MatMul"],
            ["conv2d_5", "conv2d_6", "dense_2"],
        ),
        # Its variables, too: what has no number is no layer of an export by Keras 3.
        (
            [f"sequential_1/{name}/kernel" for name in ("dense_1", "dense_2", "b_1_1", "fc1")],
            ["dense_1", "dense_2", "b_1_1", "fc1"],
        ),
        # Without a model's name.
        (["conv1/Relu", "fc/MatMul;fc/BiasAdd"], ["conv1", "fc"]),
        # A second operator of its kind is no layer.
        (
            ["f_1/mha_1/einsum/Einsum", "f_1/mha_1/einsum_1/Einsum", "f_1/mha_1/key_1/MatMul"],
            ["mha", "mha", "mha/key"],
        ),
        (["a", "tfl.quantize"], ["", ""]),
    ],
)
def test_all_names_together(names, layers):
    assert list(map(layer_names.finder(names), names)) == layers


def unnamed(keras):
    return [keras.layers.Dense(5, activation="relu"), *(keras.layers.Dense(n) for n in (6, 3))]


def chosen(*names):
    return lambda keras: [keras.layers.Dense(n + 3, name=name) for n, name in enumerate(names)]


@pytest.mark.parametrize("how", ["export", "keras"])
@pytest.mark.parametrize("models_before", [0, 1])
@pytest.mark.parametrize(
    "layers",
    [
        unnamed,
        chosen("fc", "fc_1", "fc_1_1"),
        chosen("dense_1", "dense_2", "block_1_1", "fc1"),
        chosen(*"ba"),
    ],
)
def test_dense_layers_of_all_names(layers, models_before, how):
    keras = tiny_models.fresh_keras()
    for _ in range(models_before):
        keras.Sequential([keras.Input((4,)), *unnamed(keras)])
    model = keras.Sequential([keras.Input((4,)), *layers(keras)])
    table = tables.operators(saved(model, how))
    named = [layer.name for layer in model.layers]
    assert list(table["layer"]) == named  # the last one's output bears the signature's name
    weights = tables.tensors(saved(model, how)).query("role == 'weight'")
    assert sorted(weights["layer"]) == sorted(named)


def saved(model, how):
    tf = tensorflow()
    with tempfile.TemporaryDirectory() as folder, quiet():
        if how == "keras":
            return tf.lite.TFLiteConverter.from_keras_model(model).convert()
        model.export(folder, verbose=False)
        return tf.lite.TFLiteConverter.from_saved_model(folder).convert()


def test_a_model_in_a_model_that_is_called_twice():
    keras = tiny_models.fresh_keras()
    inner = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(4), keras.layers.Dense(4)], name="encoder"
    )
    x = keras.Input((4,))
    y = inner(keras.layers.Dense(4)(inner(x)))
    table = tables.operators(saved(keras.Model(x, keras.layers.Dense(2)(y)), "export"))
    twice = ["encoder/dense", "encoder/dense_1"]
    assert list(table["layer"]) == [*twice, "dense_2", *twice, "dense_3"]


def test_what_bears_no_name_is_called_after_its_operator():
    """The quantized file: its scales, its constants and its shape arithmetic have other names."""
    content = tiny_models.converted("cnn", "int8")
    by_layer = tables.tensors(content).groupby("layer")["role"].apply(set)
    for layer in ("conv1", "conv2", "dense1", "probabilities"):
        assert {"weight", "bias"} <= by_layer[layer]
    assert list(tables.operators(content)["layer"].unique()) == [
        "conv1",
        "pool1",
        "conv2",
        "pool2",
        "flatten",
        "dense1",
        "probabilities",
        "StatefulPartitionedCall_1:0",  # softmax, whose name the signature's took
    ]


def test_an_operator_without_outputs_goes_by_what_it_stores():
    blamed = tables.audit(any_models.converted("state")).float_operators
    assert any(text.startswith("ASSIGN_VARIABLE") for text in blamed)
    assert not any(text.endswith((" at ", "first at )")) for text in blamed)
