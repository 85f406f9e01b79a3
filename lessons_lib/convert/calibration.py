"""Representative datasets, and the guard that refuses one that would spoil the calibration.

A quantizer runs the float model on these samples and records the range of each tensor. It checks
nothing: no sample at all gives a float model, NaN a broken one, inf ends the process, and inputs
in another order than the signature's are calibrated with each other's values. So every sample is
checked on its way. What is given up: samples without an end, and an input that is text.
"""

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lessons_lib.errors import CalibrationError, ConversionError, InputError, LessonError
from lessons_lib.system import sandbox
from lessons_lib.tflite import samples
from lessons_lib.tflite.samples import Rows
from lessons_lib.tflite.signature import Signature

# Anything that ``samples.stream`` reads: arrays, a generator, a tf.data.Dataset, ...
RepresentativeDataset = Any
Ranges = tuple[float, float] | Mapping[str, tuple[float, float]] | None

# A calibration whose values span less of the promised range than this was surely scaled wrongly.
_SMALLEST_SPAN = 0.1
_ROUNDING = 1e-5  # of the range: 1.0000001 is a float's rounding, not another scaling
MOST_SAMPLES = 10_000
_MOST_BYTES = 4 * 2**30
_ENOUGH = ": a few hundred are enough, x[:500] or dataset.take(10). Or does it ever end?"
KEPT = 32  # samples, for a look at the result,
_KEPT_BYTES = 2**24  # but two at least, and no more than these
_LESSON = "Lesson 06 explains what a representative dataset is."


def representative_dataset(source, samples: int = 100, seed: int = 0) -> Callable[[], Iterator]:
    """Return a function that yields ``samples`` inputs, each as ``[array (1, ...)]``.

    ``source`` is a Split of images, which come as float32, or an array (N, ...), which keeps its
    dtype. The samples are drawn without replacement with ``seed``. Raises CalibrationError for a
    test split (its accuracy would no longer be an honest estimate), or when there are fewer than
    ``samples``. Defined in lesson 06.
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


class Guarded:
    """A representative dataset, each sample checked on its way to a quantizer.

    Calling it yields what each call of the model takes: arrays by input name. ``kept`` has the
    first samples, and ``count`` the number of all, once they have gone through.
    """

    def __init__(self, source: RepresentativeDataset, signature: Signature, value_range: Ranges):
        self._source, self._signature = source, signature
        self._ranges = _by_name(value_range, signature)
        self._seen: dict[str, tuple[float, float]] = {}
        self._differ = False
        self.kept: Rows = {}
        self.count = 0

    def __call__(self) -> Iterator[Rows]:
        stream = samples.regrouped(self._checked(), self._signature.batch or 1)
        for found in stream:
            yield from samples.calls(found, self._signature, 1)

    def _checked(self) -> Iterator[Rows]:
        stream = samples.stream(limited(self._source), self._signature)
        while True:
            try:
                found = next(stream, None)
            except InputError as error:
                raise _bad(str(error)) from error
            if found is None:
                break
            self._check(found)
            self._keep(found)
            yield found
        self._check_all()

    def _check(self, found: Rows) -> None:
        for name, (least, most) in self._ranges.items():
            array = found[name]
            low, high = float(array.min()), float(array.max())
            rounding = _ROUNDING * (most - least)
            if low < least - rounding or high > most + rounding:
                raise _bad(
                    f"sample {self.count} spans {low:g} to {high:g}, but value_range says that the "
                    f"model takes {least:g} to {most:g}: scale the sample as in training, or, for "
                    "a model that was trained on other values, pass their value_range"
                )
            before = self._seen.get(name, (low, high))
            self._seen[name] = min(before[0], low), max(before[1], high)

    def _keep(self, found: Rows) -> None:
        self.count += samples.count(found)
        if self.count > MOST_SAMPLES:
            raise _bad(f"it yields more than {MOST_SAMPLES:,} samples{_ENOUGH}")
        one = sum(array[:1].nbytes for array in found.values())
        most = max(2, min(KEPT, _KEPT_BYTES // max(1, one)))
        kept = self.kept or {name: array[:0] for name, array in found.items()}
        if any(kept[name].shape[1:] != array.shape[1:] for name, array in found.items()):
            self._differ = True  # images of another size
            return
        for name, array in found.items():
            kept = self.kept.get(name, array[:0])
            self._differ |= bool((array != (kept if len(kept) else array)[:1]).any())
            if len(kept) < most:
                self.kept[name] = np.concatenate([kept, array[: most - len(kept)]])

    def _check_all(self) -> None:
        if not self.count:
            raise _bad("it yields nothing; the converter would silently leave the model in float")
        if self.count > 1 and not self._differ:
            raise _bad(
                f"its {self.count} samples are all equal, so they have the ranges of one: does the "
                "generator yield the same sample again and again?"
            )
        for name, (low, high) in self._seen.items():
            least, most = self._ranges[name]
            if high - low < _SMALLEST_SPAN * (most - least):
                raise _bad(
                    f"all samples lie between {low:g} and {high:g}, a small part of the model's "
                    f"range {least:g} to {most:g}; was the scaling applied twice?"
                )


def guard(
    representative_dataset: RepresentativeDataset,
    signature: Signature,
    value_range: Ranges = None,
) -> Guarded:
    """Return the samples of a representative dataset, each to be checked on its way.

    The dataset is what ``samples.stream`` reads: arrays (N, ...), a generator or a function that
    returns one, a ``tf.data.Dataset``, a Keras ``Sequence``; for several inputs dictionaries by
    name. ``value_range``: the least and largest value that the model was trained on, for its only
    float input or by name; nothing is checked where nothing is said. Where they are used,
    CalibrationError is raised when the dataset yields nothing, does not end, or yields what does
    not fit the signature, is not finite, lies outside ``value_range``, or is the same sample again
    and again. Defined in lesson 06.
    """
    return Guarded(representative_dataset, signature, value_range)


def first(source: RepresentativeDataset | None, signature: Signature) -> Rows:
    """Return the first samples of a dataset, to try a result on; none where none fit.

    What can be read only once is left as it is.
    """
    guarded = guard(source, signature)
    if source is None or isinstance(source, Iterator):
        return {}
    try:
        for _ in guarded():
            if guarded.count > samples.count(guarded.kept):
                break
    except CalibrationError:
        return {}
    return guarded.kept


def check(
    representative_dataset: RepresentativeDataset,
    signature: Signature,
    value_range: Ranges = None,
) -> int:
    """Let all samples pass the guard and return how many there are; CalibrationError as there."""
    guarded = guard(representative_dataset, signature, value_range)
    for _ in guarded():
        pass
    return guarded.count


def require(needed_by: str, representative_dataset: RepresentativeDataset | None) -> None:
    """Raise ConversionError where samples are needed and there are none."""
    if representative_dataset is None:
        raise ConversionError(
            f"{needed_by} needs a representative_dataset: without one, the ranges of the "
            "activations are unknown (lesson 06)"
        )


def _by_name(value_range: Ranges, signature: Signature) -> dict[str, tuple[float, float]]:
    if value_range is None:
        return {}
    if isinstance(value_range, Mapping):
        if unknown := ", ".join(repr(name) for name in value_range if name not in signature.inputs):
            raise InputError(
                f"value_range names {unknown}; the model's inputs are called "
                f"{', '.join(signature.inputs)} (lesson 06)"
            )
        return {name: _ends(ends) for name, ends in value_range.items()}
    ends, floats = _ends(value_range), [n for n, spec in signature.inputs.items() if spec.is_float]
    if not floats:
        raise InputError(
            f"value_range={value_range}, but the model takes integers, {signature}, which nobody "
            "scales: leave it out (lesson 06)"
        )
    if len(floats) != 1:
        raise InputError(
            f"value_range={value_range} of which input? Give it by name: "
            + ", ".join(f"{name!r}: (low, high)" for name in floats)
            + " (lesson 06)"
        )
    return {floats[0]: ends}


def _ends(value_range: Any) -> tuple[float, float]:
    """Two finite numbers, the smaller one first."""
    try:
        low, high = map(float, value_range)
    except (TypeError, ValueError):
        low = high = float("nan")
    if not low < high or not np.isfinite([low, high]).all():
        raise InputError(
            f"value_range={value_range!r}; expected the least and the largest value that the model "
            "was trained on, such as (0, 1) (lesson 06)"
        )
    return low, high


def _bad(what: str) -> CalibrationError:
    end = "" if what.endswith("?") else "."
    return CalibrationError(f"bad representative dataset: {what}{end} {_LESSON}")


@contextlib.contextmanager
def in_file(source: RepresentativeDataset | None, most: int | None = None) -> Iterator[Path | None]:
    """Yield a temporary file with the items of a dataset, for a child; None where there is none.

    ``most``: only so many of them. Raises CalibrationError as ``limited`` does.
    """
    if source is None:
        yield None
        return
    with sandbox.temporary_folder() as folder:
        file = Path(folder, "samples")
        try:
            samples.spool(limited(source), file, most)
        except InputError as error:
            raise _bad(str(error)) from error
        yield file


def from_file(file: Path | None) -> RepresentativeDataset | None:
    """Return the dataset that ``in_file`` wrote, one item in memory at a time."""
    return None if file is None else functools.partial(samples.spooled, file)


def limited(source: RepresentativeDataset) -> Iterator[Any]:
    """Yield the items of a dataset, one more than is allowed at most, so that it is refused.

    Raises CalibrationError for what is no dataset, and for the dataset's own errors.
    """
    stream, held = itertools.islice(samples.items(source), MOST_SAMPLES + 1), 0
    for number in itertools.count():
        try:
            item = next(stream, stream)
        except LessonError as error:
            raise _bad(str(error)) from error
        except Exception as error:  # of the learner's own code
            what = f"{type(error).__name__}: {error}"
            raise _bad(f"its own code failed at sample {number} with {what}") from error
        if item is stream:
            return
        held += samples.size(item)
        if held > _MOST_BYTES:
            raise _bad(f"it yields more than {_MOST_BYTES / 2**30:g} GiB{_ENOUGH}")
        yield item
