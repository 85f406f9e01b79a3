"""Quantization-aware training: Keras layers that round in the forward pass, and learn all the same.

Fake quantization replaces a float by the float that its integer stands for. Rounding has no useful
gradient, so backwards it is passed over: the straight-through estimator (Bengio et al., 2013,
arXiv:1308.3432). Importing this module imports TensorFlow, for its layers are Keras layers.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lessons_lib.convert import outcome
from lessons_lib.errors import ConversionError, InputError, first_line
from lessons_lib.models import architectures, sources, training
from lessons_lib.numbers.folding import fold_batch_norm
from lessons_lib.system.quiet import quiet, tensorflow
from lessons_lib.system.sandbox import call, trust

tf = tensorflow()
keras = tf.keras

WEIGHT_BITS = (4, 8)
ACTIVATION_BITS = (8,)
MEMORY = 100.0  # batches: an average over more would hardly follow the weights
# The keywords of quantize_aware for the control, and for the two ways to 4 bits of lesson 12.
CONTROL = {"weight_bits": None, "activation_bits": None}
FOUR_BITS = {
    "per_channel": {"weight_bits": 4},
    "per_tensor": {"weight_bits": 4, "per_channel": False},
}
EPOCHS = 2  # after the training that a model comes from
SEEDS = training.SEEDS[1:]  # committed with the course; lesson 12 trains seed 0 itself
_FUSED = (keras.layers.BatchNormalization, keras.layers.ReLU)  # part of the operator before them
# No range is observed behind these: the first two hand on the integers that they get, and the
# scale of a softmax is always 1/256.
_NO_RANGE = (keras.layers.Flatten, keras.layers.MaxPooling2D, keras.layers.Softmax)
_OTHERS = (keras.layers.Add, keras.layers.GlobalAveragePooling2D)


def fake_quantize_weights(kernel, num_bits: int = 8, per_channel: bool = True):
    """Return what is left of weights after symmetric, narrow-range quantization, as float32.

    ``kernel``: floats (..., channels); ``per_channel`` gives each channel of the last axis its
    scale. ``scale = max|w| / qmax``, ``w -> scale * round(w / scale)``, ties upwards. The gradient
    is 1: no weight is clipped, and rounding is passed over. Raises InputError unless ``num_bits``
    is 4 or 8. Defined in lesson 12. Source: ``tf.quantization.fake_quant_with_min_max_vars``.
    """
    _require_bits("num_bits", num_bits, WEIGHT_BITS)
    kernel = tf.cast(kernel, tf.float32)
    axes = list(range(len(kernel.shape) - 1)) if per_channel else None
    # Zeros need a range as well. Their code is 0 whatever it is.
    limit = tf.maximum(tf.reduce_max(tf.abs(kernel), axes), 1e-6)
    fake_quant = tf.quantization.fake_quant_with_min_max_vars
    if per_channel:
        fake_quant = tf.quantization.fake_quant_with_min_max_vars_per_channel
    return fake_quant(kernel, -limit, limit, num_bits=num_bits, narrow_range=True)


class FakeQuant(keras.layers.Layer):
    """Fake quantization of activations to int8, in a range that is observed while training.

    ``low`` and ``high`` average each batch's smallest and largest value, widened to hold 0: the
    mean of the first 100 batches, then a moving average. The gradient is 1 inside the range and 0
    outside. Before the first batch in training mode the range is 0..0. Defined in lesson 12.
    """

    def build(self, input_shape):
        def number(name):
            return self.add_weight(name=name, shape=(), initializer="zeros", trainable=False)

        self.low, self.high, self.batches = number("low"), number("high"), number("batches")

    def call(self, x, training=False):
        if training:
            self.batches.assign_add(1.0)
            share = 1.0 / tf.minimum(self.batches, MEMORY)
            self.low.assign_add(share * (tf.minimum(tf.reduce_min(x), 0.0) - self.low))
            self.high.assign_add(share * (tf.maximum(tf.reduce_max(x), 0.0) - self.high))
        return tf.quantization.fake_quant_with_min_max_vars(x, self.low, self.high, num_bits=8)


class _RoundedKernel:
    """What the three layers below share: the number of bits, and whether channels have scales."""

    def __init__(self, *arguments, num_bits: int = 8, per_channel: bool = True, **keywords):
        super().__init__(*arguments, **keywords)
        self.num_bits = _require_bits("num_bits", num_bits, WEIGHT_BITS)
        self.per_channel = per_channel

    def get_config(self):
        own = {"num_bits": self.num_bits, "per_channel": self.per_channel}
        return {**super().get_config(), **own}

    def rounded(self, kernel):
        return fake_quantize_weights(kernel, self.num_bits, self.per_channel)


class QuantConv2D(_RoundedKernel, keras.layers.Conv2D):
    """Conv2D whose kernel (height, width, in, out) is fake-quantized, with a scale for each out."""

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, self.rounded(kernel))


class QuantDepthwiseConv2D(_RoundedKernel, keras.layers.DepthwiseConv2D):
    """DepthwiseConv2D whose kernel is fake-quantized, with a scale for each output channel."""

    def call(self, inputs):
        height, width, channels, multiplier = self.kernel.shape
        # The last two axes together number the output channels: as one axis each has its scale.
        flat = tf.reshape(self.kernel, (height, width, 1, channels * multiplier))
        kernel = tf.reshape(self.rounded(flat), self.kernel.shape)
        options = {"padding": self.padding, "dilation_rate": self.dilation_rate}
        y = keras.ops.depthwise_conv(inputs, kernel, self.strides, **options)
        return self.activation(y + self.bias if self.use_bias else y)


class QuantDense(_RoundedKernel, keras.layers.Dense):
    """Dense whose kernel is fake-quantized, always with one scale for the whole kernel.

    TensorFlow 2.21's converter transposes the kernel and fails if each column has its own scale.
    """

    def call(self, inputs):
        y = tf.matmul(inputs, fake_quantize_weights(self.kernel, self.num_bits, per_channel=False))
        return self.activation(y + self.bias if self.use_bias else y)


_QUANTIZED = {
    keras.layers.Conv2D: QuantConv2D,
    keras.layers.DepthwiseConv2D: QuantDepthwiseConv2D,
    keras.layers.Dense: QuantDense,
}


def quantize_aware(
    model,
    weight_bits: int | None = 8,
    activation_bits: int | None = 8,
    *,
    per_channel: bool = True,
):
    """Return a new Keras model with the weights of ``model`` that rounds while it is trained.

    Batch normalization is folded into the layer before it, with the statistics that it has. Every
    kernel then passes through fake quantization (with one scale in all where ``per_channel`` is
    False, and in Dense), and so does the result of every operator but the softmax at the end.
    ``weight_bits``: 4 or 8; ``activation_bits``: 8. None leaves them in float; with both None the
    result is the control that a gain is to be measured against. Raises InputError for other
    numbers of bits, and for a model with a layer, or an order of layers, that it does not know.
    Defined in lesson 12. Source: M. Nagel et al., 2021, arXiv:2106.08295, section 4.
    """
    if weight_bits is not None:
        _require_bits("weight_bits", weight_bits, WEIGHT_BITS)
    if activation_bits is not None:
        _require_bits("activation_bits", activation_bits, ACTIVATION_BITS)
    graph = keras.Model(model.inputs, model.outputs)  # a Sequential as a graph of layers
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise InputError(
            f"the model has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs; the "
            "course's helpers take models with one of each (lesson 12)"
        )
    norms = _norms(graph)

    def observed(y, name):
        return y if activation_bits is None else FakeQuant(name=f"{name}_range")(y)

    image = keras.Input(graph.inputs[0].shape[1:], name=graph.inputs[0].name)
    results = {id(graph.inputs[0]): observed(image, image.name)}
    for layer in graph.layers[1:]:
        inputs = keras.tree.map_structure(lambda tensor: results[id(tensor)], layer.input)
        y = _twin(layer, norms.get(layer.name), weight_bits, per_channel)(inputs)
        if _needs_range(graph, layer):
            y = observed(y, layer.name)
        if _ends_in_softmax(layer):
            y = keras.layers.Softmax(name=f"{layer.name}_softmax")(y)
        results[id(layer.output)] = y
    return keras.Model(image, results[id(graph.outputs[0])], name=model.name)


def fine_tuned(name: str, directory, dataset, jobs: Sequence[tuple[int, dict]], *, epochs: int):
    """Return one trained model for each job, all trained one by one in a fresh process.

    ``name`` and ``directory``: the float model that each job starts from, as in
    ``training.load_keras``. A job is a seed and the keywords of ``quantize_aware``; it gets
    ``epochs`` of ``training.fit`` on ``dataset.train``. TensorFlow keeps the graph of every
    training step until its process ends; here that is the child. Raises InputError as
    ``quantize_aware`` and ``training.fit`` do, ModelFileError as ``training.load_keras`` does.
    """
    start = training.load_keras(name, directory)
    models = [quantize_aware(start, **keywords) for _, keywords in jobs]  # complains at once
    weights = call(
        "lessons_lib.convert.qat:_trained_weights", name, directory, dataset, jobs, epochs
    )
    for model, values in zip(models, weights, strict=True):
        model.set_weights(values)
    return models


def _trained_weights(name, directory, dataset, jobs, epochs) -> list[list[np.ndarray]]:
    start = training.load_keras(name, directory)
    trained = []
    for seed, keywords in jobs:
        model = quantize_aware(start, **keywords)
        training.fit(model, dataset, epochs=epochs, seed=seed)
        trained.append(model.get_weights())
    return trained


def committed_file(seed: int, name: str) -> Path:
    """Return where a file of the training with this seed is committed."""
    return training.MODELS_FOLDER / "ds_cnn" / "qat" / f"seed{seed}_{name}"


def committed(seed: int):
    """Return what ``tools/train_qat.py`` made of ``training.reference("ds_cnn", seed)``.

    That is the control, a Keras model, and the 4-bit ``.tflite`` of each of FOUR_BITS, by its name;
    all were trained for EPOCHS with this seed. Raises InputError for a seed that is not in SEEDS.
    Defined in lesson 12.
    """
    if seed not in SEEDS:
        raise InputError(f"no QAT files of the training with seed {seed!r}; there are {SEEDS}")
    control = quantize_aware(architectures.build("ds_cnn"), **CONTROL)
    training.read_weights(control, committed_file(seed, "control.npz"))
    contents = {name: committed_file(seed, f"{name}.tflite").read_bytes() for name in FOUR_BITS}
    return control, contents


def convert_trained(model) -> bytes:
    """Return the int8 ``.tflite`` of a model of ``quantize_aware``, with int8 input and output.

    No representative dataset: the ranges were observed in training. Weights of 4 bits are stored
    as INT4, two to a byte. Raises InputError when the model has no range or has not observed one,
    ConversionError when the converter fails or an operator stays in float. Defined in lesson 12.
    """
    _require_ranges(model)
    with tempfile.TemporaryDirectory() as folder:
        directory = sources.save(model, Path(folder) / "trained")
        tflite = _to_int8(directory)
    outcome.audit(tflite, "int8")
    trust(tflite)
    return tflite


def _require_ranges(model) -> None:
    ranges = [layer for layer in model.layers if isinstance(layer, FakeQuant)]
    if not ranges:
        raise InputError(
            "the model has no FakeQuant layer: make it with qat.quantize_aware(model, weight_bits, "
            "activation_bits=8), or take by_tensorflow.convert with a representative dataset "
            "(lesson 12)"
        )
    for layer in ranges:
        if not layer.batches.numpy():
            raise InputError(
                f"{layer.name} has seen no batch, so it has no range: train the model, or call "
                "model(images, training=True) once, which only observes (lesson 12)"
            )


def _to_int8(directory: Path) -> bytes:
    try:
        with quiet():
            converter = tf.lite.TFLiteConverter.from_saved_model(str(directory))
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.inference_input_type = converter.inference_output_type = tf.int8
            return converter.convert()
    except Exception as error:  # many kinds, by the stage that failed
        raise ConversionError(
            f"the converter refused the model: {first_line(error)} (lesson 12)"
        ) from error


def _require_bits(name: str, bits: int, known: tuple[int, ...]) -> int:
    if bits not in known:
        raise InputError(
            f"{name}={bits!r}; expected {' or '.join(map(str, known))}. The converter stores "
            "weights as int8 or as packed INT4, activations as int8; other numbers of bits it "
            "silently puts on another grid than the one that was trained (lesson 12)"
        )
    return bits


def _norms(graph) -> dict:
    """The batch normalization to fold into each layer, by the layer's name; checks every layer."""
    _require_each_layer_once(graph)
    norms = {}
    for layer in graph.layers[1:]:
        _require_known(layer)
        if type(layer) is keras.layers.BatchNormalization:
            source = next(other for other in graph.layers if other.output is layer.input)
            if not _is_linear(source) or _followers(graph, source) != [layer]:
                raise InputError(
                    f"{layer.name} cannot be folded: batch normalization must be all that follows "
                    "a Conv2D, DepthwiseConv2D or Dense layer without activation (lesson 10)"
                )
            norms[source.name] = layer
    return norms


def _require_each_layer_once(graph) -> None:
    """A layer that is called twice has two results, with ranges of their own."""
    results = {id(layer.output) for layer in graph.layers}
    read = [tensor for layer in graph.layers[1:] for tensor in keras.tree.flatten(layer.input)]
    if any(id(tensor) not in results for tensor in [*read, *graph.outputs]):
        raise InputError(
            "a layer of this model is called more than once, and each of its results would need a "
            "range of its own: build it with a layer for each call (lesson 12)"
        )


def _require_known(layer) -> None:
    """Refuse a layer whose quantized twin we do not know; a subclass may calculate otherwise."""
    known = (*_QUANTIZED, *_FUSED, *_NO_RANGE, *_OTHERS)
    if type(layer) not in known:
        names = ", ".join(kind.__name__ for kind in known)
        raise InputError(f"{layer.name} is a {type(layer).__name__}; known are {names} (lesson 12)")
    activation = getattr(layer, "activation", None)
    if activation not in (None, *map(keras.activations.get, ("linear", "relu", "softmax"))):
        raise InputError(
            f"{layer.name} has the activation {activation.__name__}; expected linear, relu or "
            "softmax, which have integer operators (lesson 07)"
        )
    if type(layer) is keras.layers.ReLU:
        _require_fused(layer)


def _require_fused(relu) -> None:
    """The converter makes these two a part of the operator in front, others one of their own."""
    if relu.negative_slope or relu.threshold or relu.max_value not in (None, 6):
        raise InputError(
            f"{relu.name} is a ReLU with settings of its own; known are ReLU() and "
            "ReLU(max_value=6), which become a part of the operator before them (lesson 12)"
        )


def _is_linear(layer) -> bool:
    return type(layer) in _QUANTIZED and layer.activation is keras.activations.linear


def _ends_in_softmax(layer) -> bool:
    return getattr(layer, "activation", None) is keras.activations.softmax


def _followers(graph, layer) -> list:
    """The layers that take the result of ``layer``."""
    return [
        other
        for other in graph.layers[1:]
        if any(tensor is layer.output for tensor in keras.tree.flatten(other.input))
    ]


def _needs_range(graph, layer) -> bool:
    """Whether the integer model has to know the range of this layer's result.

    What is fused into it takes its place; then nothing else may read the result.
    """
    fused = [type(other) in _FUSED for other in _followers(graph, layer)]
    if any(fused) and len(fused) > 1:
        raise InputError(
            f"a ReLU reads the result of {layer.name}, and so does another layer: the ReLU cannot "
            "become a part of it (lesson 12)"
        )
    return type(layer) not in _NO_RANGE and not any(fused)


def _twin(layer, norm, num_bits: int | None, per_channel: bool):
    """The layer's counterpart, with its weights: something to call with the inputs."""
    if type(layer) is keras.layers.BatchNormalization:
        return lambda y: y
    config, kind = layer.get_config(), type(layer)
    if kind not in _QUANTIZED:
        return kind.from_config(config)
    config["use_bias"] = True
    if _ends_in_softmax(layer):
        config["activation"] = "linear"  # the softmax follows behind the quantized logits
    if num_bits is not None:
        kind, config = _QUANTIZED[kind], config | {"num_bits": num_bits, "per_channel": per_channel}
    twin = kind.from_config(config)
    twin.build(layer.input.shape)
    twin.set_weights(_folded(layer, norm))
    return twin


def _folded(layer, norm) -> list[np.ndarray]:
    """Kernel and bias that do the work of the layer and of the normalization behind it."""
    kernel, channels = layer.kernel.numpy(), layer.output.shape[-1]
    bias = layer.bias.numpy() if layer.use_bias else np.zeros(channels, np.float32)
    if norm is None:
        return [kernel, bias]
    gamma = norm.gamma.numpy() if norm.scale else 1.0
    beta = norm.beta.numpy() if norm.center else 0.0
    moments = norm.moving_mean.numpy(), norm.moving_variance.numpy()
    # One column for each output channel: those of a DepthwiseConv2D are its last two axes.
    columns = kernel.reshape(-1, channels)
    folded, bias = fold_batch_norm(columns, bias, gamma, beta, *moments, norm.epsilon)
    return [folded.reshape(kernel.shape), bias]
