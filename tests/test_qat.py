"""Fake quantization is the course's quantization, its gradient goes straight through, and a model
that was trained with it becomes the integer file that it promised."""

from dataclasses import replace

import numpy as np
import pytest

from lessons_lib import (
    affine,
    architectures,
    evaluate,
    qat,
    reader,
    runtime,
    tables,
    training,
)
from lessons_lib.errors import ChildDied, ConversionError, InputError
from reference import digits

tf, keras = qat.tf, qat.keras
layers = keras.layers


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def gradient(function, x):
    """The derivative of the sum of ``function(x)``."""
    x = tf.Variable(x)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(function(x))
    return tf.convert_to_tensor(tape.gradient(total, x)).numpy()


def first(split, count):
    """The arrays of a split's first images."""
    return {name: getattr(split, name)[:count] for name in ("pixels", "labels", "ids")}


def functional(*stack, shape=(8, 8, 3)):
    """A fresh model of these layers, behind an image."""
    return keras.Sequential([keras.Input(shape, name="image"), *stack])


def shaken(model):
    """Give every weight of a model a random value: negative factors, uneven statistics."""
    generator = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.moving_variance.assign(generator.uniform(0.2, 2, layer.moving_variance.shape))
            for weight in (layer.moving_mean, layer.beta, layer.gamma):
                weight.assign(generator.normal(size=weight.shape))
        elif isinstance(layer, keras.Model):
            shaken(layer)
        elif layer.weights:
            layer.set_weights([generator.normal(0, 0.3, w.shape) for w in layer.get_weights()])
    return model


def small_net():
    """One of each layer that the course knows, with a residual connection."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(6, 3, padding="same", use_bias=False, name="stem")(image)
    x = shortcut = layers.ReLU(name="stem_relu")(layers.BatchNormalization(name="stem_norm")(x))
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.ReLU(name="relu")(layers.BatchNormalization(name="norm")(x))
    x = layers.BatchNormalization(name="linear_norm")(layers.Conv2D(6, 1, name="pointwise")(x))
    x = layers.Add(name="add")([x, shortcut])
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Conv2D(8, 3, activation="relu", name="conv")(x)
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dense(5, activation="softmax", name="probabilities")(layers.Flatten()(x))
    return shaken(keras.Model(image, x))


IMAGES = np.random.default_rng(2).random((64, 8, 8, 3), dtype=np.float32)


# ---- fake quantization


@pytest.mark.parametrize("num_bits", [4, 8])
@pytest.mark.parametrize("per_channel", [True, False])
def test_weights_are_rounded_as_affine_does(num_bits, per_channel):
    kernel = random(3, 3, 4, 6)
    axes = (0, 1, 2) if per_channel else None
    scale = affine.symmetric_scale(np.abs(kernel).max(axis=axes), num_bits)
    codes = affine.quantize(kernel, scale, 0, num_bits, narrow_range=True)
    found = qat.fake_quantize_weights(kernel, num_bits, per_channel).numpy()
    assert np.array_equal(np.rint(found / np.float32(scale)), codes)
    np.testing.assert_allclose(found, affine.dequantize(codes, scale, 0), rtol=1e-5, atol=1e-7)
    assert codes.max() == 2 ** (num_bits - 1) - 1 or codes.min() == 1 - 2 ** (num_bits - 1)


@pytest.mark.parametrize("per_channel", [True, False])
def test_zeros_stay_zeros(per_channel):
    assert not qat.fake_quantize_weights(np.zeros((3, 2), np.float32), 4, per_channel).numpy().any()


def test_weights_may_be_of_any_float_type():
    kernel = random(5, 3)
    found = qat.fake_quantize_weights(kernel.astype(np.float64), 4)
    assert found.dtype == tf.float32
    assert np.array_equal(found, qat.fake_quantize_weights(kernel, 4))


def test_activations_are_rounded_as_affine_does():
    x = 3 * random(1000) + 1
    layer = qat.FakeQuant()
    layer(x, training=True)
    scale, zero_point = affine.scale_zero_point(x.min(), x.max())
    wider = np.concatenate([x, 2 * x])
    expected = affine.dequantize(affine.quantize(wider, scale, zero_point), scale, zero_point)
    np.testing.assert_allclose(layer(wider), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("num_bits", [4, 8])
@pytest.mark.parametrize("per_channel", [True, False])
def test_the_gradient_passes_every_weight(num_bits, per_channel):
    found = gradient(lambda w: qat.fake_quantize_weights(w, num_bits, per_channel), random(50, 4))
    np.testing.assert_allclose(found, 1)


def test_the_gradient_passes_activations_inside_the_range_only():
    layer = qat.FakeQuant()
    layer(np.float32([-1, 3]), training=True)
    x = np.float32([-5, -1.1, -0.9, 0, 1.234, 2.9, 3.1, 100])
    assert gradient(layer, x).tolist() == [0, 0, 1, 1, 1, 1, 0, 0]


def test_a_range_holds_zero_averages_and_then_moves():
    layer = qat.FakeQuant()
    for high in (2.0, 4.0):
        layer(np.float32([1.0, high]), training=True)
    assert (layer.low.numpy(), layer.high.numpy()) == (0, 3)
    layer(np.float32([-100.0, 100.0]))  # not in training: nothing is observed
    assert (layer.low.numpy(), layer.high.numpy()) == (0, 3)
    layer.batches.assign(1e6)
    layer(np.float32([-50.0, -10.0]), training=True)
    np.testing.assert_allclose((layer.low.numpy(), layer.high.numpy()), (-0.5, 2.97), rtol=1e-6)


# ---- a model with it


def test_without_bits_it_is_the_folded_float_model():
    model = small_net()
    control = qat.quantize_aware(model, None, None)
    assert not any(isinstance(layer, layers.BatchNormalization) for layer in control.layers)
    np.testing.assert_allclose(control(IMAGES), model(IMAGES), atol=2e-6)


def test_the_model_itself_is_left_alone():
    model = small_net()
    before = model.get_weights()
    trained = qat.quantize_aware(model, 4)
    trained.compile("sgd", "sparse_categorical_crossentropy")
    trained.fit(IMAGES, np.zeros(64), verbose=0)
    assert all(map(np.array_equal, before, model.get_weights()))


def test_every_kernel_learns_although_it_is_rounded():
    trained = qat.quantize_aware(small_net(), 4)
    kernels = [layer.kernel for layer in trained.layers if hasattr(layer, "kernel")]
    before = [kernel.numpy() for kernel in kernels]
    trained.compile("sgd", "sparse_categorical_crossentropy")
    trained.fit(IMAGES, np.arange(64) % 5, verbose=0)
    assert len(kernels) == 5
    assert not any(map(np.array_equal, before, (kernel.numpy() for kernel in kernels)))


@pytest.mark.parametrize(("bits", "dtype"), [(4, "INT4"), (8, "INT8")])
@pytest.mark.parametrize("per_channel", [True, False])
def test_the_file_is_integer_only_and_does_what_the_model_did(bits, dtype, per_channel):
    model = qat.quantize_aware(small_net(), bits, per_channel=per_channel)
    model(IMAGES, training=True)
    tflite = qat.convert_trained(model)
    found = tables.audit(tflite)
    assert (found.integer_only, found.input_dtype, found.output_dtype) == (True, "int8", "int8")
    weights = tables.tensors(tflite).query("role == 'weight'")
    assert list(weights["dtype"]) == [dtype] * 5
    assert [-(-np.prod(shape) * bits // 8) for shape in weights["shape"]] == list(weights["bytes"])
    ways = {"per-channel", "per-tensor"} if per_channel else {"per-tensor"}
    assert set(weights["granularity"]) == ways
    for kernels in ("builtin", "xnnpack"):
        answers = runtime.Model(tflite, kernels=kernels).predict(IMAGES)
        # Softmax amplifies a step of the logits, which may be rounded the other way.
        assert np.abs(answers - model(IMAGES)).max() < 0.05


def test_the_stored_codes_are_those_of_the_folded_weights():
    model = qat.quantize_aware(small_net(), 4)
    model(IMAGES, training=True)
    tflite = qat.convert_trained(model)
    kernel = np.moveaxis(model.get_layer("conv").kernel.numpy(), -1, 0)
    scales = affine.symmetric_scale(np.abs(kernel).max(axis=(1, 2, 3), keepdims=True), 4)
    weights = tables.tensors(tflite).query("role == 'weight'")
    [row] = [row for row in weights.itertuples() if row.shape == kernel.shape]
    np.testing.assert_allclose(row.scale, scales.ravel(), rtol=1e-6)
    stored = reader.constant(tflite, row.name)
    assert np.array_equal(stored, affine.quantize(kernel, scales, 0, 4, narrow_range=True))


def before_activation():
    """A residual block whose sum is read by a ReLU and by the next sum."""
    image = keras.Input((8, 8, 3), name="image")
    sums = layers.Conv2D(4, 3, padding="same")(image)
    inner = layers.Conv2D(4, 3, padding="same")(layers.ReLU()(sums))
    return keras.Model(image, layers.Add()([sums, inner]))


def squeeze_and_excite():
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 3, activation="silu")(image)
    share = layers.Dense(4, activation="sigmoid")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, layers.Multiply()([x, layers.Reshape((1, 1, 4))(share)]))


def branches():
    image = keras.Input((8, 8, 3), name="image")
    short = layers.MaxPooling2D(2, 1, padding="same")(image)
    x = layers.Concatenate()([layers.Conv2D(3, 3, padding="same")(image), short])
    return keras.Model(image, layers.ReLU()(layers.Subtract()([x, layers.Conv2D(6, 1)(x)])))


def nested():
    base = functional(layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU(6))
    image = keras.Input((8, 8, 3), name="other_image")
    x = layers.Dropout(0.3)(base(image, training=False))
    head = keras.Sequential([keras.Input((6, 6, 4)), layers.Flatten(), layers.Dense(2)])
    return keras.Model(image, head(x))


def of_anothers_layers():
    """Its layers were called before, in another model."""
    other = functional(layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(9))
    image = keras.Input((8, 8, 3), name="image")
    x = other.layers[1](other.layers[0](image))
    return keras.Model(image, layers.Dense(2, activation="tanh")(x))


def fixed_batch():
    image = keras.Input(batch_shape=(4, 8, 8, 3), name="image")
    return keras.Model(image, layers.Conv2D(2, 3)(image))


def stack(*makers, **options):
    return lambda: functional(*(make() for make in makers), **options)


def made(kind, *arguments, **keywords):
    return lambda: kind(*arguments, **keywords)


CONV, RELU = made(layers.Conv2D, 4, 3), made(layers.ReLU)
MEAN = made(layers.GlobalAveragePooling2D)
ALL_THE_WAY = {
    "before_activation": before_activation,
    "squeeze_and_excite": squeeze_and_excite,
    "branches": branches,
    "nested": nested,
    "of_anothers_layers": of_anothers_layers,
    "fixed_batch": fixed_batch,
    "mean_relu": stack(CONV, MEAN, RELU, made(layers.Dense, 3)),
    "pool_relu": stack(CONV, made(layers.AveragePooling2D, 2), RELU, CONV),
    "relu_first": stack(RELU, CONV),
    "relu_twice": stack(CONV, RELU, made(layers.ReLU, 6)),
    "leaky": stack(CONV, made(layers.BatchNormalization), made(layers.LeakyReLU), CONV),
    "padded": stack(
        made(layers.ZeroPadding2D), made(layers.DepthwiseConv2D, 3, depth_multiplier=2)
    ),
    "grouped": stack(made(layers.Conv2D, 6, 3, groups=3), made(layers.Cropping2D)),
    "moved": stack(
        CONV, made(layers.Permute, (2, 1, 3)), made(layers.Reshape, (-1, 4)), made(layers.Dense, 2)
    ),
    "largest": stack(CONV, made(layers.SpatialDropout2D, 0.5), made(layers.GlobalMaxPooling2D)),
    "open_size": stack(CONV, MEAN, shape=(None, None, 3)),
    "hard_silu": stack(made(layers.Conv2D, 4, 3, activation="hard_silu")),
}
for activation in ("relu", "relu6", "softmax", "sigmoid", "tanh", "leaky_relu", "silu", "gelu"):
    inside = made(layers.Conv2D, 4, 3, activation=activation)
    ALL_THE_WAY[f"inside_{activation}"] = stack(inside, CONV)
    ALL_THE_WAY[f"behind_{activation}"] = stack(CONV, made(layers.Activation, activation), CONV)


@pytest.mark.parametrize("name", ALL_THE_WAY)
def test_what_is_accepted_becomes_integers(name):
    model = shaken(ALL_THE_WAY[name]())
    images = IMAGES[:4]
    control = qat.quantize_aware(model, None, None)
    np.testing.assert_allclose(control(images), model(images), atol=1e-4)
    aware = qat.quantize_aware(model)
    aware(images, training=True)
    expected = aware(images).numpy()
    answers = runtime.Model(qat.convert_trained(aware)).predict(images)
    assert np.abs(answers - expected).max() < 0.03 * np.abs(expected).max()


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "float64"])
def test_another_precision_becomes_float32(policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = small_net()
        aware = qat.quantize_aware(model)
    finally:
        keras.config.set_dtype_policy(before)
    aware(IMAGES, training=True)
    assert {weight.dtype for weight in aware.weights} == {"float32"}
    assert {layer.compute_dtype for layer in aware.layers} == {"float32"}
    control = qat.quantize_aware(model, None, None)
    np.testing.assert_allclose(control(IMAGES), np.float32(model(IMAGES)), atol=0.02)


def test_inputs_and_outputs_keep_their_names_and_their_structure():
    low, high = keras.Input((5,), name="low"), keras.Input((4,), name="high")
    both = layers.Concatenate()([layers.Dense(3, activation="relu")(low), layers.Dense(3)(high)])
    outputs = {"size": layers.Dense(1)(both), "kind": layers.Dense(2, activation="softmax")(both)}
    model = keras.Model({"low": low, "high": high}, outputs)
    samples = {"low": random(8, 5), "high": random(8, 4)}
    found, expected = qat.quantize_aware(model, None, None)(samples), model(samples)
    for name in outputs:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-6)
    aware = qat.quantize_aware(model)
    aware(samples, training=True)
    answers, expected = runtime.Model(qat.convert_trained(aware)).predict(samples), aware(samples)
    assert set(answers) == set(expected) == set(outputs)
    for name in outputs:
        assert np.abs(answers[name] - expected[name]).max() < 0.03 * np.abs(expected[name]).max()


@pytest.mark.parametrize("name", training.REFERENCES)
def test_the_courses_models_go_all_the_way(name):
    model, images = training.load_keras(name), digits().test.images[:200]
    labels = model.predict(images, verbose=0).argmax(axis=1)
    aware = qat.quantize_aware(model)
    aware(digits().calibration.images[:100], training=True)
    classes = runtime.Model(qat.convert_trained(aware)).classes(images)
    assert np.mean(classes == labels) > 0.98


def test_models_come_back_trained_from_another_process():
    folder, data = training.reference("ds_cnn"), digits()
    few = replace(data, train=replace(data.train, **first(data.train, 64)))
    jobs = [(0, {"weight_bits": None, "activation_bits": None}), (1, {"weight_bits": 4})]
    control, aware = qat.fine_tuned("ds_cnn", folder, few, jobs, epochs=1)
    here = qat.quantize_aware(training.load_keras("ds_cnn"), 4)
    before = here.get_layer("stem").kernel.numpy()
    assert aware.get_layer("stem_relu_range").batches.numpy() == 2  # 64 images in batches of 32
    assert not np.array_equal(aware.get_layer("stem").kernel.numpy(), before)
    assert not np.array_equal(control.get_layer("stem").kernel.numpy(), before)
    training.fit(here, few, epochs=1, seed=1)
    np.testing.assert_allclose(
        aware.get_layer("stem").kernel, here.get_layer("stem").kernel, atol=1e-5
    )


@pytest.mark.parametrize("seed", qat.SEEDS)
def test_the_committed_trainings_are_4_bit_files_that_follow_their_control(seed):
    control, contents = qat.committed(seed)
    images = digits().test.images
    expected = control.predict(images, verbose=0).argmax(axis=1)
    assert evaluate.accuracy(expected, digits().test.labels).value > 0.96
    assert list(contents) == list(qat.FOUR_BITS)
    for name, content in contents.items():
        weights = tables.tensors(content).query("role == 'weight'")
        assert set(weights["dtype"]) == {"INT4"} and tables.audit(content).integer_only
        assert ("per-channel" in set(weights["granularity"])) == (name == "per_channel")
        assert evaluate.agreement(runtime.Model(content).classes(images), expected).value > 0.96


def test_no_other_training_is_committed():
    with pytest.raises(InputError, match="no QAT files of the training with seed 0; there are"):
        qat.committed(0)


def test_a_wrong_job_is_refused_before_any_training():
    with pytest.raises(InputError, match="weight_bits=3"):
        qat.fine_tuned("ds_cnn", None, digits(), [(0, {"weight_bits": 3})], epochs=1)


def test_layers_keep_their_settings_when_they_are_copied():
    layer = qat.QuantConv2D(4, 3, num_bits=4, per_channel=False)
    copy = qat.QuantConv2D.from_config(layer.get_config())
    assert (copy.filters, copy.num_bits, copy.per_channel) == (4, 4, False)


# ---- what is refused


@pytest.mark.parametrize("bits", [2, 3, 5, 16, 32])
def test_other_numbers_of_bits_are_refused(bits):
    for make in (
        lambda: qat.fake_quantize_weights(random(3, 3), bits),
        lambda: qat.QuantDense(3, num_bits=bits),
        lambda: qat.quantize_aware(small_net(), bits),
    ):
        with pytest.raises(InputError, match=rf"bits={bits}; expected 4 or 8.*another grid"):
            make()


def test_activations_of_four_bits_are_refused():
    with pytest.raises(InputError, match="activation_bits=4; expected 8"):
        qat.quantize_aware(small_net(), 4, 4)


def test_a_layer_without_a_twin_is_named():
    model = functional(layers.Conv2D(3, 3), layers.LayerNormalization(name="odd"))
    with pytest.raises(
        InputError, match="odd is a LayerNormalization; known are the layers Conv2D, Dep"
    ):
        qat.quantize_aware(model)


def test_an_activation_without_integers_is_named():
    model = functional(layers.Conv2D(3, 3, activation="elu", name="smooth"))
    with pytest.raises(
        InputError, match=r"smooth has the activation elu; expected.*: linear, relu"
    ):
        qat.quantize_aware(model)


@pytest.mark.parametrize("settings", [{"max_value": 4}, {"negative_slope": 0.1}, {"threshold": 1}])
def test_a_relu_that_stays_an_operator_is_named(settings):
    model = functional(layers.Conv2D(3, 3), layers.ReLU(**settings, name="odd"))
    with pytest.raises(InputError, match=r"odd is a ReLU with settings of its own; known are ReLU"):
        qat.quantize_aware(model)


def test_a_layer_that_is_called_twice_is_refused():
    image = keras.Input((8, 8, 3), name="image")
    conv = layers.Conv2D(3, 3, padding="same", name="shared")
    inside = functional(layers.Conv2D(3, 3, padding="same"))
    for layer, name in ((conv, "shared"), (inside, inside.name)):
        with pytest.raises(InputError, match=f"{name} is called more than once"):
            qat.quantize_aware(keras.Model(image, layer(layer(image))))


def test_two_layers_of_one_name_are_refused():
    inside = functional(layers.Conv2D(3, 3, name="conv"))
    image = keras.Input((8, 8, 3), name="image")
    model = keras.Model(image, layers.Conv2D(3, 3, name="conv")(inside(image)))
    with pytest.raises(InputError, match="conv is called more than once, or two layers have this"):
        qat.quantize_aware(model)


def test_an_operation_that_is_no_layer_is_named():
    image = keras.Input((8, 8, 3), name="image")
    sums = layers.Conv2D(3, 3, padding="same")(image)
    with pytest.raises(InputError, match=r"is a Multiply; known are the layers"):
        qat.quantize_aware(keras.Model(image, sums * image))


@pytest.mark.parametrize(
    "layer", [layers.Softmax(axis=(1, 2), name="odd"), layers.BatchNormalization(1, name="odd")]
)
def test_another_axis_than_the_last_is_refused(layer):
    model = functional(layers.Conv2D(6, 3), layer)
    with pytest.raises(InputError, match=r"odd has axis=.*; expected the last one, -1"):
        qat.quantize_aware(model)


def test_an_activation_without_a_name_goes_by_its_type():
    model = functional(layers.Conv2D(3, 3, activation=layers.ReLU(), name="odd"))
    with pytest.raises(InputError, match=r"odd has the activation ReLU; expected"):
        qat.quantize_aware(model)


@pytest.mark.parametrize("kind", [layers.Conv2D, layers.DepthwiseConv2D])
def test_dilation_is_refused(kind):
    size = {"kernel_size": 3} | ({"filters": 6} if kind is layers.Conv2D else {})
    with pytest.raises(
        InputError, match="odd is dilated, and its kernel cannot be fake-quantized: build"
    ):
        qat.quantize_aware(functional(kind(**size, dilation_rate=2, name="odd")))


def test_channels_first_is_refused():
    model = functional(layers.GlobalAveragePooling2D(data_format="channels_first", name="odd"))
    with pytest.raises(InputError, match="odd has channels_first; expected channels_last"):
        qat.quantize_aware(model)


def quantized(mode):
    model = functional(layers.Flatten(), layers.Dense(4, name="changed"))
    model.get_layer("changed").quantize(mode)
    return model


def with_lora():
    model = functional(layers.Flatten(), layers.Dense(4, name="changed"))
    model.get_layer("changed").enable_lora(2)
    return model


@pytest.mark.parametrize(
    "make",
    [lambda: quantized("int8"), lambda: quantized("int4"), lambda: quantized("float8"), with_lora],
)
def test_what_keras_quantized_or_adapted_is_refused(make):
    with pytest.raises(InputError, match=r"changed was changed by Keras's quantize or enable_lora"):
        qat.quantize_aware(make())


def test_weights_that_are_not_finite_are_refused():
    model = functional(layers.Conv2D(3, 3, name="broken"))
    kernel, bias = model.get_weights()
    kernel[0, 0, 0, 0] = np.nan
    model.set_weights([kernel, bias])
    with pytest.raises(InputError, match="broken has weights that are not finite"):
        qat.quantize_aware(model)


@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_an_input_of_integers_is_refused(dtype):
    codes = keras.Input((8, 8, 3), dtype=dtype, name="codes")
    model = keras.Model(codes, layers.Conv2D(3, 3)(layers.Rescaling(1 / 255)(codes)))
    with pytest.raises(InputError, match=f"the input codes is {dtype}; expected float32"):
        qat.quantize_aware(model)


class Subclassed(keras.Model):
    """Calculates in Python, so that nobody sees its layers from outside."""

    def call(self, inputs):
        return inputs


@pytest.mark.parametrize(
    "model", [Subclassed(), keras.Sequential([layers.Dense(3)]), layers.Dense(3), "model.keras"]
)
def test_what_shows_no_layers_is_refused(model):
    kind = type(model).__name__
    with pytest.raises(InputError, match=f"layers of this {kind} cannot be seen; expected a Keras"):
        qat.quantize_aware(model)


def test_normalization_that_cannot_be_folded_is_named():
    behind_relu = functional(
        layers.Conv2D(3, 3, activation="relu"), layers.BatchNormalization(name="late")
    )
    behind_pool = functional(layers.MaxPooling2D(), layers.BatchNormalization(name="late"))
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(3, 3)(image)
    beside = keras.Model(image, layers.Add()([x, layers.BatchNormalization(name="late")(x)]))
    for model in (behind_relu, behind_pool, beside):
        with pytest.raises(InputError, match="late cannot be folded: batch normalization must be"):
            qat.quantize_aware(model)


def test_a_model_that_saw_nothing_is_not_converted():
    with pytest.raises(InputError, match=r"image_range has seen no batch.*training=True"):
        qat.convert_trained(qat.quantize_aware(small_net()))


def test_a_float_model_is_not_converted():
    for model in (architectures.build("mnist_cnn"), qat.quantize_aware(small_net(), None, None)):
        with pytest.raises(InputError, match="no FakeQuant layer"):
            qat.convert_trained(model)


def test_an_operator_that_stays_in_float_is_an_error():
    """By hand: a layer's result has no range, so there are no integers for it."""
    image = keras.Input((6,), name="image")
    x = qat.QuantDense(4)(qat.FakeQuant(name="image_range")(image))
    model = keras.Model(image, layers.Activation("elu")(x))
    model(random(3, 6), training=True)
    with pytest.raises(
        ConversionError, match="the path int8 promises int8 output, but output_0 is float32"
    ):
        qat.convert_trained(model)


class ColumnScales(layers.Dense):
    """What QuantDense does not do: a scale for each column of the kernel."""

    def call(self, inputs):
        return tf.matmul(inputs, qat.fake_quantize_weights(self.kernel))


def test_a_model_that_the_converter_cannot_read_is_an_error():
    image = keras.Input((6,), name="image")
    x = ColumnScales(4)(qat.FakeQuant()(image))
    model = keras.Model(image, qat.FakeQuant()(x))
    model(random(3, 6), training=True)
    with pytest.raises(ConversionError, match=r"refused the model.*mismatched quantized axes"):
        qat.convert_trained(model)


def test_a_model_of_uncommon_operators_is_converted_where_a_crash_does_no_harm(monkeypatch):
    """Its activation is nothing that the converter is known to survive."""
    keras = qat.keras
    layers = [keras.layers.Conv2D(4, 3, activation="silu"), keras.layers.Flatten()]
    model = keras.Sequential([keras.Input((8, 8, 3)), *layers, keras.layers.Dense(3)])
    aware = qat.quantize_aware(model)
    aware(np.random.default_rng(0).random((8, 8, 8, 3), np.float32), training=True)
    met, call = [], qat.call

    def noted(*arguments, **keywords):
        met.append(arguments)
        return call(*arguments, **keywords)

    monkeypatch.setattr(qat, "call", noted)
    assert runtime.Model(qat.convert_trained(aware)).output_dtype == np.int8
    assert [name for name, _ in met] == ["lessons_lib.convert.qat:_to_int8"]

    def dies(function, directory, imported):
        raise ChildDied(f"{function} ended with signal SIGSEGV", 11)

    monkeypatch.setattr(qat, "call", dies)
    with pytest.raises(ConversionError, match="on the path int8, ended with signal SIGSEGV"):
        qat.convert_trained(aware)
