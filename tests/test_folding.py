"""folding: against Keras and the converter, and both rewritings keep the model's function."""

import numpy as np
import pytest

import tiny_models
from lessons_lib import affine, folding, reader, tables
from lessons_lib.errors import InputError


def normalized(layer):
    """A layer with batch normalization behind it, its statistics seeded, as a Keras model."""
    keras = tiny_models.fresh_keras()
    layers = [keras.layers.Input((6, 6, 3), name="image"), layer(keras.layers)]
    norm = keras.layers.BatchNormalization(epsilon=1e-3)
    model = keras.Sequential([*layers, norm])
    channels, rng = model.output_shape[-1], np.random.default_rng(10)
    signs = rng.choice([-1, 1], channels)
    gamma, variance = (rng.uniform(0.2, 3, channels) for _ in range(2))
    beta, mean = rng.normal(size=(2, channels))
    norm.set_weights([gamma * signs, beta, mean, variance])
    return model


LAYERS = {
    "conv": (lambda layers: layers.Conv2D(5, 3, bias_initializer="normal"), -1),
    "no bias": (lambda layers: layers.Conv2D(5, 3, use_bias=False), -1),
    "depthwise": (lambda layers: layers.DepthwiseConv2D(3, bias_initializer="normal"), 2),
    "dense": (lambda layers: layers.Dense(4, bias_initializer="normal"), -1),
}


def folded(model, axis):
    layer, norm = model.layers
    bias = layer.bias.numpy() if layer.use_bias else 0.0
    statistics = [values.astype(float) for values in norm.get_weights()]
    return folding.fold_batch_norm(layer.kernel.numpy(), bias, *statistics, norm.epsilon, axis)


@pytest.mark.parametrize("name", LAYERS)
def test_the_folded_layer_does_what_keras_did(name):
    build, axis = LAYERS[name]
    model = normalized(build)
    kernel, bias = folded(model, axis)
    assert (kernel.dtype, bias.dtype) == (np.float32, np.float32)
    x = tiny_models.images((6, 6, 3), count=8)
    expected = model(x).numpy()
    model.layers[0].kernel.assign(kernel)
    result = model.layers[0](x).numpy()
    result += bias - (model.layers[0].bias.numpy() if model.layers[0].use_bias else 0)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)
    assert np.abs(expected).max() > 1


@pytest.mark.parametrize(
    ("name", "order", "quantized_dimension"),
    [("conv", (3, 0, 1, 2), 0), ("no bias", (3, 0, 1, 2), 0), ("depthwise", (3, 0, 1, 2), 3)],
)
def test_the_folded_weights_are_the_converters(name, order, quantized_dimension):
    build, axis = LAYERS[name]
    model = normalized(build)
    kernel, bias = folded(model, axis)
    content = tiny_models.convert(model, "float32")
    table = tables.tensors(content).set_index("role")["name"]
    kernel = kernel.transpose(order)
    np.testing.assert_allclose(reader.constant(content, table["weight"]), kernel, rtol=1e-6)
    stored_bias = reader.constant(content, table["bias"])
    np.testing.assert_allclose(stored_bias, bias, rtol=1e-5, atol=1e-6)

    int8 = tiny_models.convert(model, "int8")
    scale = affine.per_channel_scale(kernel, quantized_dimension)
    q = affine.quantize(kernel, scale, 0, narrow_range=True)
    assert np.array_equal(q, reader.constant(int8, table["weight"]))


def test_fold_batch_norm_by_hand():
    kernel = np.array([[1.0, 2.0], [3.0, -4.0]])  # two inputs, two outputs
    kernel, bias = folding.fold_batch_norm(
        kernel, [1.0, 0.0], [2.0, 1.0], [0.5, 0.0], [3.0, 1.0], [3.75, 0.0], 0.25
    )
    assert kernel.tolist() == [[1.0, 4.0], [3.0, -8.0]]
    assert bias.tolist() == [-1.5, -2.0]


KERNEL = np.ones((3, 3, 2, 4))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"axis": 4}, "kernel .* has no axis 4"),
        ({"axis": 2}, r"gamma has shape \(4,\); expected \(2,\)"),
        ({"bias": np.zeros(3)}, r"bias has shape \(3,\); expected \(4,\)"),
        ({"mean": np.zeros((1, 4))}, r"mean has shape \(1, 4\)"),
        ({"kernel": KERNEL * np.nan}, "kernel holds NaN or inf"),
        ({"beta": np.inf}, "beta holds NaN or inf"),
        ({"variance": np.full(4, -1.0)}, "variance \\+ epsilon is -0.999"),
        ({"variance": 0.0, "epsilon": 0.0}, "variance \\+ epsilon is 0"),
    ],
)
def test_fold_batch_norm_refuses(changed, message):
    arguments = {"kernel": KERNEL, "bias": 0.0, "gamma": np.ones(4), "beta": 0.0, "mean": 0.0}
    arguments |= {"variance": np.ones(4), "epsilon": 1e-3, "axis": -1}
    with pytest.raises(InputError, match=rf"{message}.*lesson 10"):
        folding.fold_batch_norm(**(arguments | changed))


def two_layers(homogeneous=True):
    """A convolution, what stands between, and a convolution, as a function of their weights."""
    tf = tiny_models.tensorflow()

    def run(first, bias, second):
        x = tiny_models.images((8, 8, 3), count=4)
        y = tf.nn.conv2d(x, first, 1, "SAME") + bias
        y = tf.nn.relu(y) if homogeneous else tf.nn.relu6(y)
        y = tf.nn.max_pool2d(y, 2, 2, "VALID")
        return tf.nn.conv2d(y, second, 1, "SAME").numpy()

    return run


def uneven():
    """Weights of two convolutions whose five channels differ by factors up to 1,000."""
    spread, rng = np.array([30, 1, 0.03, 5, 0.2]), np.random.default_rng(10)
    first, second = (
        rng.normal(size=(3, 3, 3, 5)) * spread,
        rng.normal(size=(3, 3, 5, 2)) / spread[:, None],
    )
    bias = rng.normal(size=5) * spread
    return [values.astype(np.float32) for values in (first, bias, second)]


def test_rescale_keeps_the_function_of_relu_and_pooling():
    weights, factor = uneven(), np.array([2, 0.25, 1, 64, 0.5])  # powers of two: exact
    first, bias, second = folding.rescale(*weights, factor)
    assert np.array_equal(first * factor.astype(np.float32), weights[0])
    assert np.array_equal(two_layers()(first, bias, second), two_layers()(*weights))


def test_rescale_takes_a_batch_normalization_as_the_first_layer():
    gamma, beta, factor = np.array([3.0, -1.0]), np.array([0.5, 2.0]), np.array([2.0, 4.0])
    kernel = np.arange(6.0).reshape(2, 3)
    gamma, beta, kernel = folding.rescale(gamma, beta, kernel, factor, first_axis=0)
    assert (gamma.tolist(), beta.tolist()) == ([1.5, -0.25], [0.25, 0.5])
    assert kernel.tolist() == [[0, 2, 4], [12, 16, 20]]


@pytest.mark.parametrize("factor", [0.0, -1.0, np.nan, [1.0, 2.0]])
def test_rescale_refuses_what_is_no_factor(factor):
    with pytest.raises(InputError, match=r"factor (holds|has shape).*lesson 10"):
        folding.rescale(*uneven(), factor)


def test_equalize_keeps_the_function_of_relu_and_pooling():
    weights = uneven()
    equal = folding.equalize(*weights)
    assert all(values.dtype == np.float32 for values in equal)
    before, after = two_layers()(*weights), two_layers()(*equal)
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-5 * np.abs(before).max())


def test_equalize_changes_the_function_of_relu6():
    weights = uneven()
    run = two_layers(homogeneous=False)
    before, after = run(*weights), run(*folding.equalize(*weights))
    assert np.abs(after - before).max() > 0.1 * np.abs(before).max()


def test_equalize_gives_both_kernels_the_same_ranges():
    first, bias, second = uneven()
    new_first, new_bias, new_second = folding.equalize(first, bias, second)
    old = [np.abs(first).max(axis=(0, 1, 2)), np.abs(second).max(axis=(0, 1, 3))]
    new = [np.abs(new_first).max(axis=(0, 1, 2)), np.abs(new_second).max(axis=(0, 1, 3))]
    np.testing.assert_allclose(new[0], new[1], rtol=1e-6)
    np.testing.assert_allclose(new[0], np.sqrt(old[0] * old[1]), rtol=1e-6)
    np.testing.assert_allclose(new_bias / bias, new[0] / old[0], rtol=1e-6)


def test_equalize_finds_the_channels_of_a_depthwise_kernel():
    first, bias, _ = uneven()
    depthwise = np.random.default_rng(11).normal(size=(3, 3, 5, 1))
    new_first, _, new_second = folding.equalize(first, bias, depthwise, second_axis=2)
    ranges = np.abs(new_first).max(axis=(0, 1, 2)), np.abs(new_second).max(axis=(0, 1, 3))
    np.testing.assert_allclose(*ranges, rtol=1e-6)


def test_equalize_leaves_a_channel_of_zeros_alone():
    first, second = np.array([[0.0, 8.0, 4.0]]), np.array([[5.0], [2.0], [0.0]])
    new_first, new_bias, new_second = folding.equalize(first, [1.0, 2.0, 3.0], second)
    assert new_first.tolist() == [[0.0, 4.0, 4.0]]
    assert new_bias.tolist() == [1.0, 1.0, 3.0]
    assert new_second.tolist() == [[5.0], [4.0], [0.0]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((2, 3)), np.ones(3), np.ones((4, 5))), "gives 3 channels .* takes 4"),
        ((np.ones((2, 3)), np.ones(2), np.ones((3, 5))), r"first_bias has shape \(2,\)"),
        ((np.ones((2, 3)), np.ones(3), np.ones(3)), "second_kernel .* has no axis -2"),
        ((np.full((2, 3), np.inf), np.ones(3), np.ones((3, 5))), "first_kernel holds NaN or inf"),
        ((np.ones((2, 3)), np.full(3, np.nan), np.ones((3, 5))), "first_bias holds NaN or inf"),
    ],
)
def test_equalize_refuses(arguments, message):
    with pytest.raises(InputError, match=rf"{message}.*lesson 10"):
        folding.equalize(*arguments)
