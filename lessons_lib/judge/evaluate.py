"""How good a model is, how sure we are, and in how much it differs from another one."""

from dataclasses import dataclass
from math import comb, sqrt

import numpy as np

from lessons_lib.errors import InputError

Z_95 = 1.959963984540054  # the standard normal's 97.5 % quantile


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
    shapes = {array.shape for array in arrays}
    if len(shapes) != 1 or arrays[0].ndim != 1 or arrays[0].size == 0:
        raise InputError(
            f"expected class numbers of one shape (N,), got {[a.shape for a in arrays]}; "
            "take argmax(axis=1) of probabilities first"
        )
    if not all(np.issubdtype(array.dtype, np.integer) for array in arrays):
        raise InputError(f"class numbers are integers, got {[str(a.dtype) for a in arrays]}")
    return arrays
