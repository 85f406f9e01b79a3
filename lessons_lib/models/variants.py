"""The same Keras model built otherwise, with the same weights: where a converter needs it so.

A recurrent layer is a loop, and loops cannot be calibrated. Unrolled, each time step stands by
itself: a larger file, often a faster one, and one that has all paths; given up are sequences of
another length. A normalization inside the model has one scale for features of all sizes; taken out,
it is two lines in front of the model. Channels made louder or quieter keep the float answers, and
make a model easy or hard to quantize.
"""

from typing import Any

import numpy as np

from lessons_lib.errors import ConversionError
from lessons_lib.numbers import folding
from lessons_lib.system.quiet import quiet, tensorflow

MOST_STEPS = 200  # each is a copy of the layer's operators
_CLOSE = 1e-4  # of the outputs' spread: the same sums in another order


def has_loops(model: Any) -> bool:
    """Tell whether a Keras model has a recurrent layer that is not unrolled."""
    return any(not getattr(layer, "unroll", True) for layer in _recurrent(model))


Outside = dict[str, tuple[np.ndarray, np.ndarray]]


def without_normalization(model: Any) -> tuple[Any, Outside]:
    """Return a Keras model without the Normalization of its inputs, and what that did.

    By input name the mean and the deviation, arrays that ``(x - mean) / deviation`` fits: the new
    model's input is that. Raises ConversionError when no input goes into a Normalization alone, and
    when the new model answers differently. Defined in lesson 16.
    """
    keras = tensorflow().keras
    layers = [
        layer
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, keras.layers.Normalization) and not layer.invert
    ]
    outside = {}
    for layer in layers:
        for name in [t.name for t in model.inputs if t.name == _input_of(layer)]:
            mean, variance = (np.asarray(part)[0] for part in (layer.mean, layer.variance))
            outside[name] = mean, np.maximum(np.sqrt(variance), keras.config.epsilon())
    taken = {layer.name for layer in layers if _input_of(layer) in outside}
    if not taken:
        raise ConversionError("no input goes into a Normalization layer of the model")

    def rebuilt(layer: Any) -> Any:
        gone = layer.name in taken
        kind = keras.layers.Identity if gone else type(layer)
        return kind(name=layer.name) if gone else kind.from_config(layer.get_config())

    with quiet():
        other = keras.models.clone_model(model, clone_function=rebuilt)
        for layer in model.layers:
            if layer.name not in taken:
                other.get_layer(layer.name).set_weights(layer.get_weights())
    _require_equal(model, other, outside)
    return other, outside


def _input_of(layer: Any) -> str | None:
    """The name of the input that a layer takes directly."""
    history = getattr(layer.input, "_keras_history", None)
    return None if history is None else history.operation.name


def _recurrent(model: Any) -> list[Any]:
    keras = tensorflow().keras
    layers = list(model._flatten_layers(include_self=False))
    kinds = keras.layers.RNN, keras.layers.Bidirectional
    return [layer for layer in layers if isinstance(layer, kinds)]


def unrolled(model: Any) -> Any:
    """Return a Keras model with its recurrent layers unrolled and the same weights.

    Raises ConversionError when the number of time steps is open or above MOST_STEPS, when the model
    is no graph of layers that could be built anew, and when the new model answers differently.
    Defined in lesson 16.
    """
    keras = tensorflow().keras
    for layer in _recurrent(model):
        if not layer._inbound_nodes:  # inside a Bidirectional, which is on the list itself
            continue
        steps = layer.input.shape[1]
        if steps is None or steps > MOST_STEPS:
            raise ConversionError(
                f"the layer {layer.name} cannot be unrolled: it has {steps or 'any number of'} "
                f"time steps, and each would be a copy of it; at most {MOST_STEPS}"
            )
    try:
        with quiet():
            other = keras.models.clone_model(model, clone_function=_with_unroll)
            other.set_weights(model.get_weights())
    except Exception as error:
        raise ConversionError(
            f"the model cannot be built anew from its layers ({type(error).__name__}): build the "
            "recurrent layers with unroll=True and copy the weights"
        ) from error
    _require_equal(model, other)
    return other


def _with_unroll(layer: Any) -> Any:
    return type(layer).from_config(_unroll(layer.get_config()))


def _unroll(config: Any) -> Any:
    """A configuration with every ``unroll`` set, also that of a layer inside a Bidirectional."""
    if isinstance(config, dict):
        changed = {name: _unroll(part) for name, part in config.items()}
        return changed | ({"unroll": True} if "unroll" in config else {})
    return [_unroll(part) for part in config] if isinstance(config, list) else config


def divide_channels(network: Any, factor: np.ndarray) -> None:
    """Divide what goes from the first depthwise layer of a ds_cnn to the pointwise one behind it.

    ``factor``: positive numbers (24,). The second layer's kernel makes up for it, so that the float
    function stays; ``network`` is changed. Raises InputError as ``folding.rescale`` does. Defined
    in lesson 11, for what lesson 10 does by hand.
    """
    norm, reads = map(network.get_layer, ("block1_depthwise_norm", "block1_pointwise"))
    gamma, beta, *seen = norm.get_weights()
    gamma, beta, kernel = folding.rescale(gamma, beta, reads.kernel, factor, first_axis=0)
    norm.set_weights([gamma, beta, *seen])
    reads.kernel.assign(kernel)


def _require_equal(model: Any, other: Any, outside: Outside | None = None) -> None:
    rng, given = np.random.default_rng(0), ([], [])
    for tensor in model.inputs:
        x = rng.random((2, *(size or 1 for size in tensor.shape[1:]))).astype(tensor.dtype)
        mean, deviation = (outside or {}).get(tensor.name, (0, 1))
        given[0].append(x)
        given[1].append(((x - mean) / deviation).astype(x.dtype))
    keras = tensorflow().keras
    tree, row = keras.tree, isinstance(model, keras.Sequential)
    both = zip((model, other), given, strict=True)
    with quiet():  # inputs may be a dictionary, as outputs may; a Sequential has one
        packed = ((m, x[0] if row else tree.pack_sequence_as(m.input, x)) for m, x in both)
        pairs = zip(*(tree.flatten(m(x)) for m, x in packed), strict=True)
    for before, after in pairs:
        before, after = np.asarray(before), np.asarray(after)
        if np.abs(before - after).max() > _CLOSE * max(1.0, float(np.abs(before).max())):
            raise ConversionError("built anew, the model answers differently: a layer is random")
