"""The same Keras model built otherwise, with the same weights: where a converter needs it so.

A recurrent layer is a loop, and loops cannot be calibrated. Unrolled, each time step stands by
itself: a larger file, often a faster one, and one that has all paths. What is given up: sequences
of another length than the one that was unrolled.
"""

from typing import Any

import numpy as np

from lessons_lib.errors import ConversionError
from lessons_lib.system.quiet import quiet, tensorflow

MOST_STEPS = 200  # each is a copy of the layer's operators
_CLOSE = 1e-4  # of the outputs' spread: the same sums in another order


def has_loops(model: Any) -> bool:
    """Tell whether a Keras model has a recurrent layer that is not unrolled."""
    return any(not layer.unroll for layer in _recurrent(model))


def _recurrent(model: Any) -> list[Any]:
    keras = tensorflow().keras
    layers = list(model._flatten_layers(include_self=False))
    return [layer for layer in layers if isinstance(layer, keras.layers.RNN)]


def unrolled(model: Any) -> Any:
    """Return a Keras model with its recurrent layers unrolled and the same weights.

    Raises ConversionError when the number of time steps is open or above MOST_STEPS, when the model
    is no graph of layers that could be built anew, and when the new model answers differently.
    Defined in lesson 16.
    """
    keras = tensorflow().keras
    for layer in _recurrent(model):
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


def _require_equal(model: Any, other: Any) -> None:
    rng = np.random.default_rng(0)
    inputs = [
        rng.random((2, *(size or 1 for size in tensor.shape[1:]))).astype(tensor.dtype)
        for tensor in model.inputs
    ]
    given = inputs if len(inputs) > 1 else inputs[0]
    with quiet():
        pairs = zip(*(tensorflow().nest.flatten(m(given)) for m in (model, other)), strict=True)
    for before, after in pairs:
        before, after = np.asarray(before), np.asarray(after)
        if np.abs(before - after).max() > _CLOSE * max(1.0, float(np.abs(before).max())):
            raise ConversionError("the unrolled model answers differently: a layer of it is random")
