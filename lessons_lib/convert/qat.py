"""Quantization-aware training: Keras layers that round in the forward pass, and learn all the same.

Fake quantization replaces a float by the float that its integer stands for. Rounding has no useful
gradient, so backwards it is passed over: the straight-through estimator (Bengio et al., 2013,
arXiv:1308.3432). Importing this module imports TensorFlow, for its layers are Keras layers.
"""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lessons_lib.convert import by_tensorflow, complaints, outcome
from lessons_lib.errors import ChildDied, ConversionError, InputError
from lessons_lib.models import architectures, sources, training
from lessons_lib.numbers.folding import fold_batch_norm
from lessons_lib.run import runtime
from lessons_lib.system.quiet import quiet, tensorflow
from lessons_lib.system.sandbox import call

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
# Where activations go: the first stay inside their operator; the others are operators of their own,
# of which the second write their results with a scale that is always the same.
_INSIDE = ("linear", "relu", "relu6")
_OWN_SCALE = ("softmax", "sigmoid", "tanh")
_OWN_RANGE = ("leaky_relu", "silu", "gelu", "hard_silu")
# Behind these no range is observed: they hand on the integers that they get, or have their scale.
_NO_RANGE = (
    keras.layers.Flatten,
    keras.layers.Reshape,
    keras.layers.Permute,
    keras.layers.MaxPooling2D,
    keras.layers.AveragePooling2D,
    keras.layers.ZeroPadding2D,
    keras.layers.Cropping2D,
    keras.layers.Dropout,
    keras.layers.SpatialDropout2D,
    keras.layers.Softmax,
)
_ARITHMETIC = (keras.layers.Add, keras.layers.Subtract, keras.layers.Multiply)
_OTHERS = (
    keras.layers.BatchNormalization,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.Activation,
    keras.layers.Concatenate,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalMaxPooling2D,
    *_ARITHMETIC,
)


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
_KNOWN = (*_QUANTIZED, *_NO_RANGE, *_OTHERS)
# What a ReLU or a batch normalization behind them becomes a part of.
_FUSING = (*_QUANTIZED, *_ARITHMETIC, keras.layers.BatchNormalization)


def quantize_aware(
    model,
    weight_bits: int | None = 8,
    activation_bits: int | None = 8,
    *,
    per_channel: bool = True,
):
    """Return a new Keras model with the weights of ``model`` that rounds while it is trained.

    ``model``: a Keras model of known layers, with any number of float inputs and outputs; models
    inside it are laid open, and whatever its precision was, the new one calculates in float32.
    Batch normalization is folded into the layer before it, with the statistics that it has. Every
    kernel then passes through fake quantization (with one scale in all where ``per_channel`` is
    False, and in Dense), and so does the result of every operator whose scale is not given anyway.
    ``weight_bits``: 4 or 8; ``activation_bits``: 8. None leaves them in float; with both None the
    result is the control that a gain is to be measured against. Raises InputError for other
    numbers of bits, and, naming the layer, for all that would not become integers.
    Defined in lesson 12. Source: M. Nagel et al., 2021, arXiv:2106.08295, section 4.
    """
    if weight_bits is not None:
        _require_bits("weight_bits", weight_bits, WEIGHT_BITS)
    if activation_bits is not None:
        _require_bits("activation_bits", activation_bits, ACTIVATION_BITS)
    graph = _own_graph(model)
    norms = _norms(graph)

    def observed(y, name):
        return y if activation_bits is None else FakeQuant(name=f"{name}_range", dtype="float32")(y)

    inputs = {
        id(tensor): keras.Input(batch_shape=tensor.shape, name=tensor.name)
        for tensor in graph.inputs
    }
    results = {key: observed(tensor, tensor.name) for key, tensor in inputs.items()}

    def result(tensor):
        return results[id(tensor)]

    for layer in _inner_layers(graph):
        read = keras.tree.map_structure(result, layer.input)
        y = _twin(layer, norms.get(layer.name), weight_bits, per_channel)(read)
        if _needs_range(graph, layer):
            y = observed(y, layer.name)
        if type(layer) in _QUANTIZED and (name := _activation(layer)) not in _INSIDE:
            y = keras.layers.Activation(name, name=f"{layer.name}_{name}", dtype="float32")(y)
            if name in _OWN_RANGE:
                y = observed(y, f"{layer.name}_{name}")
        results[id(layer.output)] = y
    return keras.Model(
        keras.tree.map_structure(lambda tensor: inputs[id(tensor)], graph.input),
        keras.tree.map_structure(result, graph.output),
        name=model.name,
    )


def observed(model, images: np.ndarray, **way):
    """Return a float Keras model that rounds, its ranges observed on images, without any training.

    ``way``: the keywords of ``quantize_aware``, which raises InputError for what it does not know.
    The images (N, ...) go through in three batches. Defined in lesson 12.
    """
    rounded = quantize_aware(model, **way)
    for batch in np.array_split(images, 3):
        rounded(batch, training=True)
    return rounded


def classes(model, images: np.ndarray) -> np.ndarray:
    """Return the classes (N,) that a Keras model, or a file's bytes, gives to images (N, ...).

    Defined in lesson 12.
    """
    if isinstance(model, bytes):
        return runtime.Model(model).classes(images)
    return model.predict(images, batch_size=100, verbose=0).argmax(axis=1)


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
        "lessons_lib.convert.qat:_trained_weights",
        *(name, directory, dataset, jobs, epochs),
        imported="tensorflow",
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
    ConversionError when the converter fails or an operator stays in float, ModelFileError when the
    result does not run. Defined in lesson 12.
    """
    _require_ranges(model)
    with tempfile.TemporaryDirectory() as folder:
        directory = sources.save(model, Path(folder) / "trained")
        tflite = _converted(directory)
    outcome.audit(tflite, "int8")
    runtime.Model(tflite)  # loads and runs it once, in a child process
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


def _converted(directory: Path) -> bytes:
    """As by_tensorflow does it: what may end the process is converted in a child."""
    if by_tensorflow.is_common(directory):
        return _to_int8(directory)
    try:
        return call(f"{__name__}:_to_int8", directory, imported="tensorflow")
    except ChildDied as error:
        raise by_tensorflow.died(sources.operators(directory), "int8", error) from error


def _to_int8(directory: Path) -> bytes:
    try:
        with quiet():
            converter = tf.lite.TFLiteConverter.from_saved_model(str(directory))
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.inference_input_type = converter.inference_output_type = tf.int8
            return converter.convert()
    except Exception as error:  # many kinds, by the stage that failed
        raise ConversionError(
            f"the converter refused the model: {complaints.explain(error)} (lesson 12)"
        ) from error


def _require_bits(name: str, bits: int, known: tuple[int, ...]) -> int:
    if bits not in known:
        raise InputError(
            f"{name}={bits!r}; expected {' or '.join(map(str, known))}. The converter stores "
            "weights as int8 or as packed INT4, activations as int8; other numbers of bits it "
            "silently puts on another grid than the one that was trained (lesson 12)"
        )
    return bits


def _own_graph(model):
    """A copy of ``model`` in float32: one graph of known layers, each of them called once."""
    _require_functional(model)
    called = set()

    def copy(layer):
        return graph(layer) if isinstance(layer, keras.Model) else _copy(layer)

    def call_once(layer, *arguments, **keywords):
        if layer.name in called:
            raise InputError(
                f"{layer.name} is called more than once, or two layers have this name; each result "
                "needs a range of its own: make a layer for each call, with its own name (lesson "
                "12)"
            )
        called.add(layer.name)
        if isinstance(layer, keras.Model):  # its layers are called, not the model itself
            return keras.Function(layer.input, layer.output).call(arguments[0])
        return layer(*arguments, **keywords)

    def graph(model):
        is_sequential = isinstance(model, keras.Sequential)
        ends = (*model.inputs, *model.outputs) if is_sequential else (model.input, model.output)
        return keras.models.clone_model(
            keras.Model(*ends, name=model.name), clone_function=copy, call_function=call_once
        )

    # The first copy's layers may have been called in a model inside it before; the second's not.
    return keras.models.clone_model(graph(model), clone_function=_copy)


def _require_functional(model) -> None:
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        raise InputError(
            f"the layers of this {type(model).__name__} cannot be seen; expected a Keras model "
            "made as keras.Model(inputs, outputs), or a keras.Sequential that begins with a "
            "keras.Input (lesson 12)"
        )
    for tensor in model.inputs:
        if not keras.backend.is_float_dtype(tensor.dtype):
            raise InputError(
                f"the input {tensor.name} is {tensor.dtype}; expected float32: make the model with "
                "a float input, and scale the samples before it (lesson 12)"
            )


def _copy(layer):
    """A new layer with the same settings and weights, in float32; refuses what it does not know."""
    _require_known(layer)
    copy = type(layer).from_config({**layer.get_config(), "dtype": "float32"})
    copy.build_from_config(layer.get_build_config())
    copy.set_weights(layer.get_weights())
    return copy


def _require_known(layer) -> None:
    """Refuse a layer that would not become integers; a subclass may calculate otherwise."""
    if type(layer) not in _KNOWN:
        names = ", ".join(kind.__name__ for kind in _KNOWN)
        raise InputError(
            f"{layer.name} is a {type(layer).__name__}; known are the layers {names}. Build the "
            "model without it, or take by_tensorflow.convert, which knows more (lesson 12)"
        )
    policy = layer.dtype_policy
    if getattr(policy, "quantization_mode", None) or getattr(layer, "lora_enabled", False):
        raise InputError(
            f"{layer.name} was changed by Keras's quantize or enable_lora ({policy.name}): its "
            "kernel is no longer all that it calculates with. Start from the model as it was "
            "before (lesson 12)"
        )
    if not all(np.isfinite(values).all() for values in layer.get_weights()):
        raise InputError(f"{layer.name} has weights that are not finite: train it anew (lesson 12)")
    for text, is_found in _oddities(layer).items():
        if is_found:
            raise InputError(f"{layer.name} {text} (lesson 12)")


def _oddities(layer) -> dict[str, bool]:
    """The settings that the converter would leave in float, and whether the layer has them."""
    along_channels = (keras.layers.BatchNormalization, keras.layers.Softmax)
    activations = (*_INSIDE, *_OWN_SCALE, *_OWN_RANGE)
    axis, plain_relu = getattr(layer, "axis", -1), True
    if type(layer) is keras.layers.ReLU:
        plain_relu = not (layer.negative_slope or layer.threshold) and layer.max_value in (None, 6)
    return {
        "has channels_first; expected channels_last, as TFLite has it": (
            getattr(layer, "data_format", None) == "channels_first"
        ),
        "is dilated, and its kernel cannot be fake-quantized: build it without dilation_rate, or "
        "take by_tensorflow.convert": np.any(np.not_equal(getattr(layer, "dilation_rate", 1), 1)),
        f"has the activation {_activation(layer)}; expected one with an integer operator: "
        f"{', '.join(activations)}": _activation(layer) not in activations,
        f"has axis={axis}; expected the last one, -1": (
            type(layer) in along_channels and axis not in (-1, len(layer.output.shape) - 1)
        ),
        "is a ReLU with settings of its own; known are ReLU() and ReLU(max_value=6); a slope below "
        "0 is a keras.layers.LeakyReLU": not plain_relu,
    }


def _activation(layer) -> str:
    """The name of what a layer applies to its result; ``linear`` where it has nothing of the kind.

    A ReLU counts as one. A function without a name goes by its type.
    """
    if type(layer) is keras.layers.ReLU:
        return "relu"
    function = getattr(layer, "activation", keras.activations.linear)
    return getattr(function, "__name__", type(function).__name__)


def _inner_layers(graph) -> list:
    """The layers in the order of the calculation, without the inputs."""
    return [layer for layer in graph.layers if not isinstance(layer, keras.layers.InputLayer)]


def _norms(graph) -> dict:
    """The batch normalization to fold into each layer, by the layer's name."""
    norms = {}
    for layer in _inner_layers(graph):
        if type(layer) is keras.layers.BatchNormalization:
            source = next(other for other in graph.layers if other.output is layer.input)
            linear = type(source) in _QUANTIZED and _activation(source) == "linear"
            if not linear or not _is_only_reader(graph, layer, source):
                raise InputError(
                    f"{layer.name} cannot be folded: batch normalization must be all that follows "
                    "a Conv2D, DepthwiseConv2D or Dense layer without activation (lesson 10)"
                )
            norms[source.name] = layer
    return norms


def _is_only_reader(graph, layer, source) -> bool:
    """Whether nothing but ``layer``, once, takes the result of ``source``."""
    inputs = [other.input for other in _inner_layers(graph)]
    read = [id(tensor) for tensor in keras.tree.flatten([inputs, graph.outputs])]
    return layer.input is source.output and read.count(id(source.output)) == 1


def _needs_range(graph, layer) -> bool:
    """Whether the integer model has to know the range of this layer's result.

    A batch normalization and a ReLU become a part of the operator before them, and their result
    takes its place, unless another layer reads it as well.
    """
    if type(layer) in _NO_RANGE:
        return False
    if type(layer) is keras.layers.Activation and _activation(layer) in _OWN_SCALE:
        return False
    if type(layer) not in _FUSING or _activation(layer) != "linear":
        return True
    return not any(
        _is_fused(other) and _is_only_reader(graph, other, layer) for other in _inner_layers(graph)
    )


def _is_fused(layer) -> bool:
    norm, activation = keras.layers.BatchNormalization, keras.layers.Activation
    if type(layer) is activation:
        return _activation(layer) in _INSIDE
    return type(layer) in (norm, keras.layers.ReLU)


def _twin(layer, norm, num_bits: int | None, per_channel: bool):
    """The layer's counterpart, with its weights: something to call with the inputs."""
    if type(layer) is keras.layers.BatchNormalization:
        return lambda y: y
    config, kind = layer.get_config(), type(layer)
    if kind not in _QUANTIZED:
        return kind.from_config(config)
    config["use_bias"] = True
    if _activation(layer) not in _INSIDE:
        config["activation"] = "linear"  # the activation follows, behind the quantized result
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
