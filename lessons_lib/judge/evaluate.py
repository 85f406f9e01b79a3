"""How good a model is, how sure we are, and in how much it differs from another one.

SciPy has the classic tests; what it lacks stands here: the interval of a paired difference of
shares (Tango), Holm's correction, and a bootstrap that draws once for all models and paths.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil, comb, sqrt

import numpy as np
from numpy.typing import ArrayLike

from lessons_lib.errors import InputError
from lessons_lib.tflite import samples

Z_95 = 1.959963984540054  # the standard normal's 97.5 % quantile
_Z_80 = 0.8416212335729143  # its 80 % quantile: the chance to see what is there
RESAMPLES = 2000  # 50 of them lie outside each end of a 95 % interval
_DRAWN_AT_ONCE = 2**22  # numbers in one block of resamples, about 32 MB

# From how often each sample was drawn, (resamples, N), to a measure of each resample, (resamples,).
Measurer = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Proportion:
    """``successes`` out of ``total``, with Wilson's 95 % interval.

    The interval is (p + z²/2n ± z·sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n). It holds when the inputs
    are independent draws; it does not cover a change of training seed. Raises InputError unless
    0 <= successes <= total and total > 0. Source: E. B. Wilson, JASA 22 (1927).
    Defined in lesson 01.
    """

    successes: int
    total: int

    def __post_init__(self):
        if not 0 <= self.successes <= self.total or self.total == 0:
            raise InputError(f"{self.successes} successes out of {self.total} is not a proportion")

    @property
    def value(self) -> float:
        return self.successes / self.total

    @property
    def low(self) -> float:
        return max(0.0, min(self.value, self._centre() - self._half_width()))

    @property
    def high(self) -> float:
        return min(1.0, max(self.value, self._centre() + self._half_width()))

    def _centre(self) -> float:
        return (self.value + Z_95**2 / (2 * self.total)) / (1 + Z_95**2 / self.total)

    def _half_width(self) -> float:
        n, p = self.total, self.value
        return Z_95 * sqrt(p * (1 - p) / n + Z_95**2 / (4 * n**2)) / (1 + Z_95**2 / n)

    def __str__(self) -> str:
        return f"{self.value:.1%} [{self.low:.1%}, {self.high:.1%}]"


def accuracy(predicted: np.ndarray, labels: np.ndarray) -> Proportion:
    """Return the share of right classes; both arrays are integer (N,).

    Raises InputError when the shapes differ or are not (N,). Defined in lesson 01.
    """
    predicted, labels = _classes(predicted, labels)
    return Proportion(int((predicted == labels).sum()), len(labels))


def agreement(first: np.ndarray, second: np.ndarray) -> Proportion:
    """Return the share of inputs to which two models give the same class; integer (N,) each.

    Raises InputError when the shapes differ or are not (N,). Defined in lesson 04.
    """
    return accuracy(first, second)


@dataclass(frozen=True)
class Flips:
    """Inputs that turned right (``gained``) or wrong (``lost``), and McNemar's exact p-value.

    If the two models were equally good, each flip would be a fair coin: p is the two-sided
    binomial probability of a split at least this uneven. Raises InputError for a negative count.
    Source: Q. McNemar, Psychometrika 12
    (1947). Defined in lesson 08.
    """

    gained: int
    lost: int

    def __post_init__(self):
        if min(self.gained, self.lost) < 0:
            raise InputError(f"{self.gained} gained and {self.lost} lost: counts are not negative")

    @property
    def p_value(self) -> float:
        n = self.gained + self.lost
        tail = sum(comb(n, k) for k in range(min(self.gained, self.lost) + 1)) / 2**n
        return min(1.0, 2 * tail)

    def drop_interval(self, total: int) -> tuple[float, float]:
        """Return Tango's 95 % interval of the drop, the share ``(lost - gained) / total``.

        It holds every drop D for which the difference seen is within 1.96 of its standard errors,
        ``sqrt((2q + D(1 - D)) / total)``, where q is the likeliest share of gains if D is true.
        So no flip at all still leaves room, up to ``3.84 / (total + 3.84)``.
        Raises InputError when there are more flips than ``total``.
        Source: T. Tango, Statistics in Medicine 17 (1998). Defined in lesson 08.
        """
        if self.gained + self.lost > total or total < 1:
            raise InputError(f"{self.gained} gained and {self.lost} lost among {total} samples")
        from scipy.optimize import brentq  # here, because its import takes a while

        seen, step = (self.lost - self.gained) / total, 1e-12

        def beyond(drop: float, sign: int) -> float:
            return seen - drop + sign * Z_95 * self._error_if(drop, total)

        low, high = -1.0, 1.0
        if seen > -1 + step:
            low = brentq(beyond, -1, seen - step, args=(-1,))
        if seen < 1 - step:
            high = brentq(beyond, seen + step, 1, args=(+1,))
        return low, high

    def _error_if(self, drop: float, total: int) -> float:
        """The standard error of the drop that is seen if ``drop`` is the true one."""
        flips, a = self.gained + self.lost, 2 * total
        b = (a - self.lost + self.gained) * drop - flips
        root = sqrt(max(b**2 + 4 * a * self.gained * drop * (1 - drop), 0))
        return sqrt(max(2 * (root - b) / (2 * a) + drop * (1 - drop), 0) / total)


def flips(before: np.ndarray, after: np.ndarray, labels: np.ndarray) -> Flips:
    """Compare two models on the same inputs: predicted classes and labels, integer (N,) each.

    Raises InputError when the shapes differ or are not (N,). Defined in lesson 08.
    """
    before, after, labels = _classes(before, after, labels)
    right_before, right_after = before == labels, after == labels
    return Flips(
        gained=int((right_after & ~right_before).sum()),
        lost=int((right_before & ~right_after).sum()),
    )


def holm(p_values: ArrayLike) -> np.ndarray:
    """Return p-values that may be read together, float64 (N,): Holm's step-down correction.

    Of N tests at 5 % one in 20 finds something where nothing is. The smallest p is multiplied by
    N, the next by N - 1 and so on; none becomes smaller than the one before it, or larger than 1.
    Raises InputError unless all are numbers from 0 to 1.
    Source: S. Holm, Scandinavian Journal of Statistics 6 (1979). Defined in lesson 08.
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    if p_values.ndim != 1 or not ((p_values >= 0) & (p_values <= 1)).all():
        raise InputError(f"p-values are numbers from 0 to 1, (N,), got {p_values!r} (lesson 08)")
    order = np.argsort(p_values, kind="stable")
    stepped = p_values[order] * np.arange(len(p_values), 0, -1)
    corrected = np.empty_like(p_values)
    corrected[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return corrected


def samples_needed(spread: float, drop: float) -> int:
    """Return how many samples show a ``drop`` with a chance of 80 %: lesson 8's formula.

    ``(1.96 + 0.84)**2 * spread / drop**2``, where ``spread`` is the variance of one sample's
    difference between the two models: for shares, that of the samples that flip.
    Raises InputError unless ``drop`` is positive and ``spread`` not negative.
    Defined in lesson 08.
    """
    if not (drop > 0 and spread >= 0):
        raise InputError(f"spread={spread} and drop={drop}: no number of samples (lesson 08)")
    return ceil((Z_95 + _Z_80) ** 2 * spread / drop**2)


def resamples(count: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Yield blocks of the bootstrap's draws: int64 (rows, count), RESAMPLES rows in all.

    Each row says how often each of ``count`` samples was drawn, ``count`` draws with replacement.
    The draws are those of ``scipy.stats.bootstrap`` with ``rng=default_rng(seed)``.
    """
    random = np.random.default_rng(seed)
    block = max(1, _DRAWN_AT_ONCE // count)
    for start in range(0, RESAMPLES, block):
        rows = min(block, RESAMPLES - start)
        drawn = random.integers(0, count, (rows, count))
        drawn += count * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)


def bootstrap(measurers: Sequence[Measurer], count: int) -> np.ndarray:
    """Return each measure on every resample of ``count`` samples: float64 (measures, RESAMPLES).

    All measures see the same draws, so the difference of two rows is a paired one; 2.5 % of a row
    lie below and above its 95 % interval. Each measurer takes a block of ``resamples``.
    Source: B. Efron, The Annals of Statistics 7 (1979). Defined in lesson 08.
    """
    blocks = [[measure(drawn) for measure in measurers] for drawn in resamples(count)]
    return np.concatenate(blocks, axis=1)


def pareto(cost: np.ndarray, value: np.ndarray, tolerance: float = 0.0) -> np.ndarray:
    """Return which candidates are worth a look: bool (N,), True where no other one beats them.

    ``cost`` (N,), say bytes, is to be low, and ``value`` (N,), say agreement, to be high. One
    candidate beats another when it is at least as good in both and better in one: equal ones
    stay together. ``tolerance``: costs that differ by this share or less count as equal (0.01 for
    files that differ by names and structure). Raises InputError when the shapes differ or are not
    (N,), for NaN, and for a tolerance that is not in 0 <= tolerance < 1.
    Defined in lessons 08 and 13. Source: K. Miettinen, Nonlinear Multiobjective Optimization
    (1999), 2.2.
    """
    cost, value = np.asarray(cost), np.asarray(value)
    if cost.shape != value.shape or cost.ndim != 1:
        raise InputError(
            f"expected cost and value of one shape (N,), got {cost.shape, value.shape}"
        )
    if np.isnan(cost).any() or np.isnan(value).any():
        raise InputError("cost or value holds NaN; a candidate that was not measured cannot win")
    if not 0 <= tolerance < 1:
        raise InputError(f"tolerance={tolerance}; expected a share from 0 to below 1")
    cheaper = cost[:, None] < cost * (1 - tolerance)
    no_dearer = cost[:, None] * (1 - tolerance) <= cost
    better = value[:, None] > value
    no_worse = value[:, None] >= value
    return ~(no_dearer & no_worse & (cheaper | better)).any(axis=0)


def _classes(*arrays: np.ndarray) -> list[np.ndarray]:
    arrays = [np.asarray(array) for array in arrays]
    shapes = [array.shape for array in arrays]
    if len(set(shapes)) != 1 or arrays[0].ndim != 1 or arrays[0].size == 0:
        odd = next((shape for shape in shapes if len(shape) != 1), None)
        what = f"; {samples.no_classes(odd)}" if odd is not None else ""
        raise InputError(f"expected class numbers of one shape (N,), got {shapes}{what}")
    if not all(np.issubdtype(array.dtype, np.integer) for array in arrays):
        raise InputError(
            f"class numbers are integers, got {[str(a.dtype) for a in arrays]}; "
            f"{samples.no_classes(arrays[0].shape)}"
        )
    return arrays
