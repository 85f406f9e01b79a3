"""What "good" means: one measure for each kind of task, of arrays alone.

Accuracy is the measure of one kind only. Every measure here is a function of means over the
samples, or of how often each sample counts, so that one bootstrap serves them all
(``evaluate.bootstrap``); what is a share of samples has Wilson's interval instead. Which measure
an output needs is found by ``tasks.recognise``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from lessons_lib.errors import InputError
from lessons_lib.judge import evaluate
from lessons_lib.numbers.noise import decibels

Arrays = Mapping[str, np.ndarray]  # by output name, the first axis of each counts the samples
Metric = Callable[..., ArrayLike]  # of outputs and targets, to one number or one for each sample

THRESHOLD = 0.5  # of a sigmoid; of a logit it is 0
_ROUNDING = 2.0**-21  # four steps of a float32: a smaller change between samples is no change
_PAIRS_AT_ONCE = 2**22  # similarities in one block, 32 MB


@dataclass(frozen=True, eq=False, kw_only=True)
class Task:
    """What one output is for. The subclasses say how it is measured.

    ``output``: its name. ``measure`` names the number that decides; ``share``: it is one from 0 to
    1, of which a drop is counted absolutely and not relative to float32's; ``lower_is_better``.
    ``count``: of the samples. ``targets``: what is right, an entry for each sample; None where
    nobody said.
    """

    output: str
    count: int
    targets: np.ndarray | None = None
    name: str = ""
    measure: str = ""
    share: bool = True
    lower_is_better: bool = False

    @property
    def labelled(self) -> bool:
        """Whether the measure compares with targets, and not with float32's own outputs."""
        return True

    @property
    def reads(self) -> tuple[str, ...]:
        """The names of the outputs that it needs."""
        return (self.output,)

    @property
    def rarest(self) -> int:
        """How many samples the measure rests on."""
        return self.count

    def pick(self, outputs: Arrays) -> np.ndarray:
        """The output that this task is about."""
        return outputs[self.output]

    def right(self, output: np.ndarray) -> np.ndarray | None:
        """Which samples are right, bool (N,), if the measure is their share; else None."""
        return None

    def means(self, output: np.ndarray) -> np.ndarray:
        """The numbers of each sample whose means make the measure: float64 (N, K)."""
        return self.right(output).astype(np.float64)[:, None]

    def combine(self, means: np.ndarray) -> np.ndarray:
        """The measure of each row of means: (rows, K) to (rows,)."""
        return means[:, 0]

    def measurer(self, output: np.ndarray) -> evaluate.Measurer:
        """The measure as a function of how often each sample counts; see ``evaluate.bootstrap``."""
        numbers = self.means(output)
        return lambda counts: self.combine(counts @ numbers / counts.sum(axis=1, keepdims=True))

    def value(self, output: np.ndarray) -> float:
        """The measure on all samples."""
        return float(self.measurer(output)(np.ones((1, self.count), dtype=np.int64))[0])

    def also(self, output: np.ndarray, float_output: np.ndarray) -> dict[str, float]:
        """Other figures worth showing; those of likeness compare with ``float_output``."""
        return {}

    def guess(self) -> float | None:
        """What the best answer that ignores its input would get; None if that means nothing."""
        return None

    def __str__(self) -> str:
        return f"{self.output}: {self.name}, by {self.measure}"


@dataclass(frozen=True, eq=False, kw_only=True)
class Classification(Task):
    """One of several classes, from probabilities, logits, or class numbers; by accuracy."""

    name: str = "classification"
    measure: str = "accuracy"

    def right(self, output):
        return labels(output) == self.targets

    def also(self, output, float_output):
        found, by_float = labels(output), labels(float_output)
        recalls = {c: (found == c)[self.targets == c].mean() for c in np.unique(self.targets)}
        worst = min(recalls, key=recalls.get)
        figures = {
            "agreement": float((found == by_float).mean()),
            "worst recall": float(recalls[worst]),
            "worst recall of class": float(worst),
        }
        if are_probabilities(float_output):
            drift = np.abs(output.max(axis=-1) - float_output.max(axis=-1))
            figures["confidence drift"] = float(drift.mean())
        return figures

    def guess(self):
        return float(np.unique(self.targets, return_counts=True)[1].max() / len(self.targets))


@dataclass(frozen=True, eq=False, kw_only=True)
class Binary(Task):
    """Yes or no from one sigmoid or logit, (N,) or (N, 1); by accuracy at ``threshold``."""

    name: str = "binary"
    measure: str = "accuracy"
    threshold: float = THRESHOLD

    def right(self, output):
        return (squeezed(output) > self.threshold) == self.targets

    def also(self, output, float_output):
        found, by_float = (squeezed(side) for side in (output, float_output))
        changed = (found > self.threshold) != (by_float > self.threshold)
        return {
            "AUC": area_under_curve(found, self.targets),
            "agreement": float(1 - changed.mean()),
            "threshold": self.threshold,
        }

    def guess(self):
        return float(max(self.targets.mean(), 1 - self.targets.mean()))


@dataclass(frozen=True, eq=False, kw_only=True)
class Multilabel(Task):
    """Several times yes or no, (N, ..., K); by the share of right answers at ``threshold``."""

    name: str = "multilabel"
    measure: str = "accuracy of the labels"
    threshold: float = THRESHOLD

    def means(self, output):
        right = (_like(output, self.targets) > self.threshold) == self.targets
        return right.reshape(len(output), -1).mean(axis=1, keepdims=True)

    def also(self, output, float_output):
        found, by_float = (_like(side, self.targets) for side in (output, float_output))
        columns = zip(
            found.reshape(-1, found.shape[-1]).T,
            self.targets.reshape(-1, found.shape[-1]).T,
            strict=True,
        )
        areas = [area_under_curve(*column) for column in columns]
        changed = (found > self.threshold) != (by_float > self.threshold)
        return {
            "mean AUC": float(np.nanmean(areas)) if np.isfinite(areas).any() else np.nan,
            "agreement": float(1 - changed.mean()),
            "threshold": self.threshold,
        }

    def guess(self):
        share = self.targets.reshape(len(self.targets), -1).mean(axis=0)
        return float(np.maximum(share, 1 - share).mean())


@dataclass(frozen=True, eq=False, kw_only=True)
class Tagging(Task):
    """A class for each position, (N, T, C); by the share of right positions.

    Positions of one sample are not independent: the interval is the bootstrap's over samples.
    ``ignore`` is the target of positions that do not count, such as padding.
    """

    name: str = "tagging"
    measure: str = "accuracy of the positions"
    ignore: int | None = None

    def means(self, output):
        counted = self.targets != self.ignore
        right = (labels(output) == self.targets) & counted
        return np.stack([_sums(right), _sums(counted)], axis=1)

    def combine(self, means):
        return means[:, 0] / means[:, 1]

    def also(self, output, float_output):
        return {"agreement": float((labels(output) == labels(float_output)).mean())}

    def guess(self):
        counted = self.targets[self.targets != self.ignore]
        return float(np.unique(counted, return_counts=True)[1].max() / counted.size)


@dataclass(frozen=True, eq=False, kw_only=True)
class Segmentation(Task):
    """A class for each pixel, (N, H, W, C) or one sigmoid (N, H, W, 1); by the mean IoU.

    Intersection over union of each class over all pixels of all samples, and the mean of the
    classes that occur; of one sigmoid only that of the foreground, called IoU. ``classes``: how
    many. ``threshold``: of one sigmoid, else None. ``ignore``: the target of pixels that do not
    count.
    """

    name: str = "segmentation"
    measure: str = "mean IoU"
    classes: int
    threshold: float | None = None
    ignore: int | None = None

    def means(self, output):
        found, counted = self._masks(output), self.targets != self.ignore
        both = self._count(self.targets, counted & (found == self.targets))
        one_or_both = self._count(self.targets, counted) + self._count(found, counted) - both
        return np.concatenate([both, one_or_both], axis=1).astype(np.float64)

    def combine(self, means):
        both, one_or_both = np.split(means, 2, axis=1)
        occurs = one_or_both > 0
        shares = np.divide(both, one_or_both, out=np.zeros_like(both), where=occurs)
        if self.threshold is not None:
            shares, occurs = shares[:, 1:], occurs[:, 1:]
        with np.errstate(invalid="ignore"):  # a resample may hold no foreground at all
            return shares.sum(axis=1) / occurs.sum(axis=1)

    def also(self, output, float_output):
        found, by_float = self._masks(output), self._masks(float_output)
        counted = self.targets != self.ignore
        return {
            "pixels right": float((found == self.targets)[counted].mean()),
            "agreement": float((found == by_float).mean()),
        }

    def guess(self):
        kinds, counts = np.unique(self.targets[self.targets != self.ignore], return_counts=True)
        constant = 1 if self.threshold is not None else kinds[counts.argmax()]
        return self.value(np.full_like(self.targets, constant))

    def _masks(self, output: np.ndarray) -> np.ndarray:
        if self.threshold is not None and not np.issubdtype(output.dtype, np.integer):
            return (squeezed(output) > self.threshold).astype(np.int64)
        return labels(output)

    def _count(self, masks: np.ndarray, counted: np.ndarray) -> np.ndarray:
        """How many pixels of each class each sample has: (N, classes)."""
        known = counted & (masks >= 0) & (masks < self.classes)
        sample = np.arange(self.count).reshape(-1, *[1] * (masks.ndim - 1))
        numbers = (sample * self.classes + masks)[known]
        found = np.bincount(numbers, minlength=self.count * self.classes)
        return found.reshape(self.count, self.classes)


@dataclass(frozen=True, eq=False, kw_only=True)
class Regression(Task):
    """One or several quantities; by the mean absolute error (MAE) in the target's unit.

    R² would hide much: of .993 a drop to .984, under 1 %, is half as much error again. Several
    columns (the last axis) may have several units, so there each column's error is divided by the
    standard deviation of its targets first.
    """

    name: str = "regression"
    measure: str = "MAE"
    share: bool = False
    lower_is_better: bool = True

    def means(self, output):
        errors = np.abs(_like(output, self.targets) - self.targets.astype(np.float64))
        if self.measure != "MAE":
            errors /= self._deviations()
        return errors.reshape(self.count, -1).mean(axis=1, keepdims=True)

    def also(self, output, float_output):
        found, expected = _like(output, self.targets), _like(float_output, self.targets)
        errors, deviations = found - self.targets.astype(np.float64), self._deviations()
        unexplained = np.square(errors / deviations).reshape(-1, deviations.size).mean(axis=0)
        return {
            "R²": float(1 - unexplained.mean()),
            "worst R² of a column": float(1 - unexplained.max()),
            "MAE of all numbers": float(np.abs(errors).mean()),
            "largest error": float(np.abs(errors).max()),
            "distance from float32 / deviation": float(
                np.mean(np.abs(found - expected) / deviations)
            ),
        }

    def guess(self):
        rows = self.targets.reshape(-1, columns(self.targets))
        return self.value(np.broadcast_to(np.median(rows, axis=0), self.targets.shape))

    def _deviations(self) -> np.ndarray:
        """The standard deviation of each column of the targets; 1 where it does not vary."""
        rows = self.targets.reshape(-1, columns(self.targets)).astype(np.float64)
        deviations = rows.std(axis=0)
        deviations = np.where(deviations > 0, deviations, 1.0)
        return deviations if self.targets.ndim > 1 else deviations[0]


@dataclass(frozen=True, eq=False, kw_only=True)
class Autoencoder(Task):
    """An output that rebuilds the input, which is the target; by the mean squared error (MSE)."""

    name: str = "autoencoder"
    measure: str = "MSE of the rebuilt input"
    share: bool = False
    lower_is_better: bool = True

    def means(self, output):
        return squared_errors(output, self.targets)[:, None]

    def guess(self):
        middle = self.targets.mean(axis=0, keepdims=True)
        return self.value(np.broadcast_to(middle, self.targets.shape))


@dataclass(frozen=True, eq=False, kw_only=True)
class Anomaly(Task):
    """An autoencoder whose error tells strange samples (target 1) from usual ones (0); by AUC.

    The area under the ROC curve: how often a strange sample has a larger error than a usual one.
    """

    name: str = "autoencoder"
    measure: str = "AUC of the rebuilding error"
    inputs: np.ndarray

    @property
    def rarest(self):
        return int(np.bincount(self.targets, minlength=2).min())

    def measurer(self, output):
        errors = squared_errors(output, self.inputs)
        return lambda counts: area_under_curve(errors, self.targets, counts)

    def also(self, output, float_output):
        return {"MSE of the rebuilt input": float(squared_errors(output, self.inputs).mean())}

    def guess(self):
        return 0.5


@dataclass(frozen=True, eq=False, kw_only=True)
class Embedding(Task):
    """A vector that is near those of its class; by recall@1.

    Recall@1: the share of samples whose nearest neighbour among the other samples, by the cosine,
    has the same target.
    """

    name: str = "embedding"
    measure: str = "recall@1"

    def right(self, output):
        return self.targets[nearest(output)] == self.targets

    def also(self, output, float_output):
        return {"cosine with float32": float(cosines(output, float_output).mean())}

    def guess(self):
        return float(np.unique(self.targets, return_counts=True)[1].max() / self.count)


@dataclass(frozen=True, eq=False, kw_only=True)
class Likeness(Task):
    """An output without targets: how near float32's it stays; by the centred SQNR in dB.

    ``10 * log10(sum((r - mean(r))**2) / sum((found - r)**2))``, where r, the ``reference``, is
    float32's output and the mean runs over the samples. What is the same for all samples is no
    signal: with its mean left in, a regression with a large offset looks 10 dB better than it is.
    """

    name: str = "no targets"
    measure: str = "centred SQNR in dB"
    share: bool = False
    reference: np.ndarray

    @property
    def labelled(self) -> bool:
        return False

    def means(self, output):
        signal = self.reference - self.reference.mean(axis=0, dtype=np.float64)
        noise = output.astype(np.float64) - self.reference
        return np.stack([_sums(signal**2), _sums(noise**2)], axis=1)

    def combine(self, means):
        return decibels(means[:, 0], means[:, 1])

    def also(self, output, float_output):
        per_channel = centred_sqnr_of_channels(self.reference, output)
        figures = {
            "cosine": float(cosines(output, self.reference).mean()),
            "largest difference": float(np.abs(output - self.reference.astype(np.float64)).max()),
        }
        if per_channel.size > 1 and np.isfinite(per_channel).any():
            figures |= {
                "worst channel in dB": float(np.nanmin(per_channel)),
                "worst channel": float(np.nanargmin(per_channel)),
            }
        if are_probabilities(self.reference):
            agreed = labels(output) == labels(self.reference)
            figures["agreement"] = float(agreed.mean())
        return figures


@dataclass(frozen=True, eq=False, kw_only=True)
class EmbeddingLikeness(Likeness):
    """An embedding without targets; by the cosine with float32's vector for the same sample."""

    name: str = "embedding"
    measure: str = "cosine with float32"
    share: bool = True

    def means(self, output):
        return cosines(output, self.reference)[:, None]

    def combine(self, means):
        return means[:, 0]

    def also(self, output, float_output):
        same = nearest(output) == nearest(self.reference)
        return {"same nearest neighbour": float(same.mean())}


@dataclass(frozen=True, eq=False, kw_only=True)
class Agreement(Likeness):
    """Class numbers (a model with its argmax inside) without targets; by the agreement."""

    measure: str = "agreement with float32"
    share: bool = True

    def means(self, output):
        same = output == self.reference
        return same.reshape(self.count, -1).mean(axis=1, keepdims=True)

    def combine(self, means):
        return means[:, 0]

    def also(self, output, float_output):
        return {}


@dataclass(frozen=True, eq=False, kw_only=True)
class Own(Task):
    """Your own measure: ``metric(outputs, targets)``, one number or one for each sample, (N,).

    ``metric`` gets the array of an only output, or else all by name, and the targets as they were
    given. One number is computed anew on every resample, evaluate.RESAMPLES times for each model;
    numbers for each sample only once.
    """

    name: str = "your metric"
    measure: str = "your metric"
    share: bool = False
    outputs: tuple[str, ...]
    metric: Metric = field(repr=False)

    @property
    def reads(self):
        return self.outputs

    def pick(self, outputs):
        if len(self.outputs) == 1:
            return outputs[self.outputs[0]]
        return {name: outputs[name] for name in self.outputs}

    def measurer(self, output):
        whole = self._measured(output, self.targets)
        if whole.ndim:
            return lambda counts: counts @ whole / counts.sum(axis=1)
        return lambda counts: np.array([self._resampled(output, row) for row in counts])

    def _resampled(self, output, counts: np.ndarray) -> float:
        rows = np.repeat(np.arange(self.count), counts)
        return float(self._measured(_rows(output, rows), _rows(self.targets, rows)))

    def _measured(self, output, targets) -> np.ndarray:
        try:
            found = np.asarray(self.metric(output, targets), dtype=np.float64)
        except Exception as error:  # whatever a stranger's function raises
            raise InputError(
                f"your metric raised {type(error).__name__}: {error}; it is called as "
                "metric(outputs, targets), with arrays whose first axis counts the samples"
            ) from error
        if found.shape not in ((), (self.count,)):
            raise InputError(
                f"your metric returned an array of shape {found.shape}; expected one number, or "
                f"one for each of the {self.count} samples"
            )
        return found


def not_finite(array: np.ndarray) -> str:
    """Return how many samples hold NaN or inf, in words; "" where all is finite."""
    broken = np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(axis=1))
    if not broken.size:
        return ""
    kind = "NaN" if np.isnan(array[broken[0]]).any() else "inf"
    return f"{broken.size} of {len(array)} samples hold NaN or inf (sample {broken[0]}: {kind})"


def is_constant(output: np.ndarray) -> bool:
    """Tell whether an output is the same for all samples, but for a float32's rounding."""
    spread = np.abs(output - output[:1].astype(np.float64)).max()
    return bool(spread <= _ROUNDING * np.abs(output).max())


def are_probabilities(output: np.ndarray) -> bool:
    """Tell whether the last axis has two or more numbers from 0 to 1 that sum to 1."""
    if output.ndim < 2 or output.shape[-1] < 2 or np.issubdtype(output.dtype, np.integer):
        return False
    return bool(output.min() >= -1e-3 and np.allclose(output.sum(axis=-1), 1, rtol=0, atol=1e-2))


def area_under_curve(
    scores: np.ndarray, truth: np.ndarray, counts: np.ndarray | None = None
) -> np.ndarray | float:
    """Return the area under the ROC curve: how often a positive scores above a negative.

    ``scores`` and ``truth``, 0 or 1, are (N,); equal scores count one half. ``counts``
    (rows, N): how often each sample counts, for one result a row. NaN where one side is missing.
    Source: J. A. Hanley and B. J. McNeil, Radiology 143 (1982).
    """
    whole = np.ones((1, len(scores))) if counts is None else counts
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=np.nan) != 0)
    sides = [(whole * side)[:, order] for side in (truth == 1, truth != 1)]
    positive, negative = (np.add.reduceat(side, starts, axis=1) for side in sides)
    above = np.cumsum(negative, axis=1) - negative / 2
    with np.errstate(invalid="ignore"):
        pairs = positive.sum(axis=1) * negative.sum(axis=1)
        areas = (positive * above).sum(axis=1) / pairs
    return float(areas[0]) if counts is None else areas


def squared_errors(output: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return the mean squared error of each sample: float64 (N,)."""
    errors = output.astype(np.float64) - expected
    return np.square(errors).reshape(len(output), -1).mean(axis=1)


def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the cosine of the angle between each sample's two vectors: float64 (N,).

    A vector of zeros points nowhere: 1 beside another one, else 0.
    """
    a, b = (side.reshape(len(side), -1).astype(np.float64) for side in (first, second))
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    both_zero = ~a.any(axis=1) & ~b.any(axis=1)
    products = np.divide((a * b).sum(axis=1), lengths, out=np.zeros(len(a)), where=lengths > 0)
    return np.where(both_zero, 1.0, products)


def nearest(vectors: np.ndarray) -> np.ndarray:
    """Return, for each sample, the other one with the largest cosine: int64 (N,)."""
    rows = vectors.reshape(len(vectors), -1).astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    found = np.empty(len(rows), dtype=np.int64)
    block = max(1, _PAIRS_AT_ONCE // len(rows))
    for start in range(0, len(rows), block):
        here = np.arange(start, min(start + block, len(rows)))
        similar = rows[here] @ rows.T
        similar[here - start, here] = -np.inf
        found[here] = similar.argmax(axis=1)
    return found


def centred_sqnr_of_channels(reference: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return the centred SQNR of each entry of the last axis, in dB: float64 (C,).

    NaN for a channel that is the same for all samples in ``reference``: it has no signal. One
    number a sample is one channel.
    """
    if reference.ndim < 2:
        reference, found = reference[:, None], found[:, None]
    signal = reference - reference.mean(axis=0, dtype=np.float64)
    noise = found.astype(np.float64) - reference
    powers = [np.square(side).reshape(-1, side.shape[-1]).sum(axis=0) for side in (signal, noise)]
    spread = np.abs(signal).reshape(-1, signal.shape[-1]).max(axis=0)
    size = np.abs(reference).reshape(-1, signal.shape[-1]).max(axis=0)
    return np.where(spread > _ROUNDING * size, decibels(*powers), np.nan)


def _rows(arrays, rows: np.ndarray):
    """Some samples of an array, of arrays by name, or of None."""
    if isinstance(arrays, Mapping):
        return {name: _rows(array, rows) for name, array in arrays.items()}
    return None if arrays is None else arrays[rows]


def labels(output: np.ndarray) -> np.ndarray:
    """Class numbers: integers as they are, else the place of the largest along the last axis."""
    return output if np.issubdtype(output.dtype, np.integer) else output.argmax(axis=-1)


def squeezed(array: np.ndarray) -> np.ndarray:
    """Without a last axis of one."""
    return array[..., 0] if array.ndim > 1 and array.shape[-1] == 1 else array


def _like(output: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return output.astype(np.float64).reshape(targets.shape)


def _sums(numbers: np.ndarray) -> np.ndarray:
    return numbers.reshape(len(numbers), -1).sum(axis=1).astype(np.float64)


def columns(array: np.ndarray) -> int:
    return array.shape[-1] if array.ndim > 1 else 1
