"""Representative datasets, and the guard that refuses one that would spoil the calibration.

The converter runs the float model on these samples and records each tensor's smallest and largest
value. It checks nothing: no sample at all gives a float model, NaN a broken one, inf ends the
process. So every sample is checked here first.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from lessons_lib.errors import CalibrationError, ConversionError

# Yields samples; a sample is one input's array or tf.Tensor in a list, a tuple, or a dictionary.
RepresentativeDataset = Callable[[], Iterator[list | tuple | dict]]

# A calibration whose values span less of the promised range than this was surely scaled wrongly.
_SMALLEST_SPAN = 0.1
_ROUNDING = 1e-5  # of the range: 1.0000001 is a float's rounding, not another scaling
_MOST_SAMPLES = 10_000
_LESSON = "Lesson 06 explains what a representative dataset is."


def representative_dataset(source, samples: int = 100, seed: int = 0) -> RepresentativeDataset:
    """Return a function that yields ``samples`` inputs, each as ``[float32 (1, H, W, C)]``.

    ``source`` is a Split, or float32 images (N, H, W, C). The samples are drawn without
    replacement with ``seed``. Raises CalibrationError for a test split (its accuracy would no
    longer be an honest estimate), or when there are fewer than ``samples`` images.
    Defined in lesson 06.
    """
    if getattr(source, "role", None) == "test":
        raise CalibrationError(
            "the test split may not be used for calibration: a model is tested on images that no "
            f"step of its making has seen. Use dataset.calibration. {_LESSON}"
        )
    if not 1 <= samples <= len(source):
        raise CalibrationError(
            f"asked for {samples} calibration samples, but there are {len(source)}. {_LESSON}"
        )
    # Rows first: of a full set only the chosen images become floats.
    chosen = source[np.random.default_rng(seed).permutation(len(source))[:samples]]
    chosen = np.asarray(getattr(chosen, "images", chosen))

    def generate() -> Iterator[list[np.ndarray]]:
        for image in chosen:
            yield [image[np.newaxis]]

    return generate


def guard(
    representative_dataset: Any,
    input_shape: tuple[int, ...] = (28, 28, 1),
    value_range: tuple[float, float] | None = (0.0, 1.0),
    input_name: str = "image",
) -> RepresentativeDataset:
    """Check every sample and return a function that yields them again, as ``[array]``.

    A sample holds one float32 input (1, *input_shape), a NumPy array or a ``tf.Tensor``: in a list
    or a tuple, or in a dictionary under ``input_name``, the input's name in the model's signature.
    ``input_shape`` leaves out the batch; ``value_range`` is the range of values that the model
    takes (None: not checked). Raises CalibrationError when the dataset is not a function, yields
    nothing, or yields anything else, values that are not finite, or values outside
    ``value_range``. Defined in lesson 06.
    """
    samples = collect(representative_dataset)
    inputs = [_only_array(n, sample, input_name) for n, sample in enumerate(samples)]
    for number, array in enumerate(inputs):
        _check_array(number, array, tuple(input_shape))
        if value_range is not None:
            _check_range(number, array, value_range)
    if value_range is not None:
        _check_span(inputs, value_range)
    return lambda: iter([[array] for array in inputs])


def collect(representative_dataset: Any) -> list:
    """Return all samples, their arrays copied, for a generator may use one again and again.

    A ``tf.Tensor`` becomes its NumPy array: a child process that gets the samples needs no
    TensorFlow. Raises CalibrationError when the dataset is not a function without arguments, yields
    nothing, or does not end.
    """
    if not callable(representative_dataset):
        what = type(representative_dataset).__name__
        raise _bad(f"it is a {what}, not a function; write a function that yields the samples")
    try:
        samples = iter(representative_dataset())
    except TypeError as error:
        raise _bad(f"calling it, without arguments, gave nothing that yields ({error})") from error
    collected = [_copy(sample) for sample in itertools.islice(samples, _MOST_SAMPLES + 1)]
    if not collected:
        raise _bad("it yields nothing; the converter would silently leave the model in float")
    if len(collected) > _MOST_SAMPLES:
        raise _bad(f"it yields more than {_MOST_SAMPLES:,} samples; does it ever end?")
    return collected


def _copy(sample: Any) -> Any:
    if isinstance(sample, dict):
        return {name: _array(value) for name, value in sample.items()}
    if isinstance(sample, list | tuple):
        kind = tuple if isinstance(sample, tuple) else list  # also for a namedtuple
        return kind(map(_array, sample))
    return _array(sample)


def _array(value: Any) -> Any:
    """A NumPy array of its own for an array or a tensor; anything else as it is."""
    if hasattr(value, "numpy"):  # tf.Tensor, without importing TensorFlow
        value = value.numpy()
    return value.copy() if isinstance(value, np.ndarray) else value


def _only_array(number: int, sample: Any, input_name: str) -> np.ndarray:
    """The one array in a sample; CalibrationError where it holds something else."""
    if isinstance(sample, dict):
        if list(sample) != [input_name]:
            names = ", ".join(map(repr, sample)) or "nothing"
            raise _bad(
                f"sample {number} is a dictionary with {names}; the model's only input is called "
                f"{input_name!r}: `yield {{{input_name!r}: image}}`"
            )
        inside = list(sample.values())
    else:
        inside = list(sample) if isinstance(sample, list | tuple) else None
    if inside is not None and len(inside) == 1 and isinstance(inside[0], np.ndarray):
        return inside[0]
    kinds = ", ".join(type(item).__name__ for item in inside or ()) or "nothing"
    what = f"a {type(sample).__name__}" + (f" of {kinds}" if inside is not None else " by itself")
    raise _bad(
        f"sample {number} is {what}; yield a list of one array or tensor for the model's one "
        "input: `yield [image]`"
    )


def _check_array(number: int, array: np.ndarray, input_shape: tuple[int, ...]) -> None:
    expected = (1, *input_shape)
    if array.dtype != np.float32:
        raise _bad(f"sample {number} is {array.dtype}; expected float32: use .astype('float32')")
    if array.shape != expected:
        raise _bad(f"sample {number} has shape {array.shape}; expected {expected}, one input")
    if not np.isfinite(array).all():
        what = "NaN" if np.isnan(array).any() else "inf"
        raise _bad(f"sample {number} holds {what}; every value must be a finite number")


def _check_range(number: int, array: np.ndarray, value_range: tuple[float, float]) -> None:
    low, high = float(array.min()), float(array.max())
    rounding = _ROUNDING * (value_range[1] - value_range[0])
    if low < value_range[0] - rounding or high > value_range[1] + rounding:
        raise _bad(
            f"sample {number} spans {low:g} to {high:g}, but value_range says that the model takes "
            f"{value_range[0]:g} to {value_range[1]:g}: scale the sample as in training, or, for a "
            "model that was trained on other values, pass their value_range"
        )


def _check_span(inputs: list[np.ndarray], value_range: tuple[float, float]) -> None:
    low = min(float(array.min()) for array in inputs)
    high = max(float(array.max()) for array in inputs)
    promised = value_range[1] - value_range[0]
    if high - low < _SMALLEST_SPAN * promised:
        raise _bad(
            f"all samples lie between {low:g} and {high:g}, a small part of the model's range "
            f"{value_range[0]:g} to {value_range[1]:g}; was the scaling applied twice?"
        )


def _bad(what: str) -> CalibrationError:
    return CalibrationError(f"bad representative dataset: {what}. {_LESSON}")


def require(needed_by: str, representative_dataset: object) -> None:
    if representative_dataset is None:
        raise ConversionError(
            f"{needed_by} needs a representative_dataset: without one, the ranges of the "
            "activations are unknown (lesson 06)"
        )
