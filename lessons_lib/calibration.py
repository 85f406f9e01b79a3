"""Representative datasets, and the guard that refuses one that would spoil the calibration.

The converter runs the float model on these samples and records each tensor's smallest and largest
value. It checks nothing: no sample at all gives a float model, NaN a broken one, inf ends the
process. So every sample is checked here first.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from lessons_lib.errors import CalibrationError

RepresentativeDataset = Callable[[], Iterator[list[np.ndarray]]]

# A calibration whose values span less of the promised range than this was surely scaled wrongly.
_SMALLEST_SPAN = 0.1
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
    images = np.asarray(getattr(source, "images", source))
    if not 1 <= samples <= len(images):
        raise CalibrationError(
            f"asked for {samples} calibration samples, but there are {len(images)}. {_LESSON}"
        )
    chosen = images[np.random.default_rng(seed).permutation(len(images))[:samples]]

    def generate() -> Iterator[list[np.ndarray]]:
        for image in chosen:
            yield [image[np.newaxis]]

    return generate


def guard(
    representative_dataset: Any,
    input_shape: tuple[int, ...] = (28, 28, 1),
    value_range: tuple[float, float] | None = (0.0, 1.0),
) -> RepresentativeDataset:
    """Check every sample and return a function that yields the same samples again.

    ``input_shape`` is one input's shape without the batch; ``value_range`` the range that the
    model was trained on (None: not checked). Raises CalibrationError when the dataset is not a
    function, yields nothing, or yields anything but lists of one finite float32 array of shape
    (1, *input_shape) inside ``value_range``. Defined in lesson 06.
    """
    samples = collect(representative_dataset)
    for number, sample in enumerate(samples):
        _check_structure(number, sample)
        _check_array(number, sample[0], tuple(input_shape))
        if value_range is not None:
            _check_range(number, sample[0], value_range)
    if value_range is not None:
        _check_span(samples, value_range)
    return lambda: iter(samples)


def collect(representative_dataset: Any) -> list:
    """Return all samples, each copied, for a generator may use one array again and again.

    Raises CalibrationError when the dataset is not a function without arguments, yields nothing,
    or does not end.
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
    if not isinstance(sample, list):
        return sample
    return [array.copy() if isinstance(array, np.ndarray) else array for array in sample]


def _check_structure(number: int, sample: Any) -> None:
    if isinstance(sample, list) and len(sample) == 1 and isinstance(sample[0], np.ndarray):
        return
    if isinstance(sample, list | tuple | dict):
        inside = sample.values() if isinstance(sample, dict) else sample
        what = f"a {type(sample).__name__} of {[type(item).__name__ for item in inside]}"
    else:
        what = f"a bare {type(sample).__name__}"
    raise _bad(f"sample {number} is {what}; yield a list of one NumPy array: `yield [image]`")


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
    if low < value_range[0] or high > value_range[1]:
        raise _bad(
            f"sample {number} spans {low:g} to {high:g}, but the model was trained on "
            f"{value_range[0]:g} to {value_range[1]:g}; scale it as in training "
            "(or pass value_range=)"
        )


def _check_span(samples: list[list[np.ndarray]], value_range: tuple[float, float]) -> None:
    low = min(float(sample[0].min()) for sample in samples)
    high = max(float(sample[0].max()) for sample in samples)
    promised = value_range[1] - value_range[0]
    if high - low < _SMALLEST_SPAN * promised:
        raise _bad(
            f"all samples lie between {low:g} and {high:g}, a small part of the model's range "
            f"{value_range[0]:g} to {value_range[1]:g}; was the scaling applied twice?"
        )


def _bad(what: str) -> CalibrationError:
    return CalibrationError(f"bad representative dataset: {what}. {_LESSON}")
