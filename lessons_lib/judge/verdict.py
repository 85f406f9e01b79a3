"""Is the drop real? Each path beside float32, task by task, with a verdict in words.

A test of n samples sees differences down to about 1 / sqrt(n), and one of twenty tests finds one
where there is none. So each verdict has an interval, the p-values are corrected for the number of
paths (Holm), and "no change" is never said without how large a drop can be ruled out.
Source: lesson 08.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil, erfc, sqrt
from typing import Any

import numpy as np
import pandas as pd

from lessons_lib.errors import InputError
from lessons_lib.judge import evaluate, measures
from lessons_lib.judge.measures import Arrays, Task
from lessons_lib.judge.tasks import named

MAX_DROP = 0.01  # of a share; of other measures this part of float32's
SQNR_LIMIT = 20.0  # dB; the noise is a tenth of the signal
LOST_CHANNEL = 10.0  # dB; below it a channel says little, whatever the others do
SIGNIFICANT = 0.05
FEWEST = 20  # resamples of fewer samples say nothing about the next sample

PASSES, UNDECIDED, FAILS = "passes", "undecided", "fails"
WORST = "worst channel in dB"  # as measures.Likeness calls it


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval, in the measure's unit (a share from 0 to 1)."""

    value: float
    low: float
    high: float


NOTHING = Estimate(np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class Finding:
    """One output of one path beside float32's.

    ``drop`` is positive where the path is worse, whichever way the measure counts; ``limit`` is
    the largest drop that is accepted, in the same unit (without targets: the least likeness).
    ``p_value`` is McNemar's or that of the paired bootstrap, ``p_holm`` the same corrected for all
    paths and outputs. ``flips``: where the measure is a share of samples. ``needed``: the samples
    that show a drop of ``limit`` with a chance of 80 %. ``also``: other figures. ``fault``: what is
    wrong with the path's output, ``void`` with float32's, so that no number means anything.
    ``warning``: float32 is no better than guessing, so that no drop means anything. Without
    targets, and with a fault, ``drop`` and the p-values are NaN.
    """

    task: Task
    measured: Estimate = NOTHING
    float_measured: Estimate = NOTHING
    drop: Estimate = NOTHING
    p_value: float = np.nan
    p_holm: float = np.nan
    flips: evaluate.Flips | None = None
    limit: float = np.nan
    max_drop: float = MAX_DROP
    needed: int = 0
    also: dict[str, float] = field(default_factory=dict)
    fault: str = ""
    void: str = ""
    warning: str = ""

    @property
    def real(self) -> bool:
        """Whether the difference would hardly appear by chance."""
        return bool(self.p_holm < SIGNIFICANT)

    @property
    def decision(self) -> str:
        """PASSES when the whole interval is within the limit, FAILS when the whole is above it.

        Neither is said where the limit lies inside, nor beside a float32 that guesses.
        """
        if self.fault or self._unsaid:
            return FAILS if self.fault else UNDECIDED
        if not self.task.labelled:
            return _decision_by_likeness(self)
        if self._within:
            return PASSES
        return FAILS if self.drop.low > self.limit else UNDECIDED

    @property
    def kind(self) -> str:
        """The verdict in two to four words."""
        if self.fault or self._unsaid:
            return "broken" if self.fault else "no statement"
        if not self.task.labelled:
            return "no targets"
        if self.real or self.decision == FAILS:
            return "real drop" if self.drop.value > 0 else "real gain"
        if self._too_few:
            return "too few test samples"
        return "change within noise" if self.changed else "no change seen"

    @property
    def badness(self) -> float:
        """How large the drop is beside the limit; without targets, how far the likeness is off."""
        if self.fault or self._unsaid:
            return np.inf
        if not self.task.labelled:
            return 1 - self.measured.value / self.limit
        return self.drop.value / self.limit if self.limit > 0 else self.drop.value

    @property
    def changed(self) -> bool:
        """Whether any sample flipped, or the measure changed at all."""
        if self.flips is not None:
            return self.flips.gained + self.flips.lost > 0
        return self.drop.value != 0 or self.drop.low != self.drop.high

    @property
    def verdict(self) -> str:
        """The verdict in one sentence."""
        if self.fault or self._unsaid:
            return f"broken: {self.fault}" if self.fault else f"no statement: {self._unsaid}"
        if not self.task.labelled:
            return _words_of_likeness(self)
        asked = self.decision == UNDECIDED and self.kind != "too few test samples"
        return self._seen + f"; undecided: {self._to_decide} would tell" * asked

    @property
    def _seen(self) -> str:
        """What was seen, by its kind."""
        amount, drop = self._amount, self.drop
        if self.kind == "real drop":
            within = f", within the limit of {amount(self.limit)}" * self._within
            interval = f"95 %: from {amount(drop.low)} to {amount(drop.high)}"
            return f"real drop{within} ({interval}{self._evidence})"
        if self.kind == "real gain":
            return f"real gain (95 %: from {amount(-drop.high)} to {amount(-drop.low)})"
        ruled_out = f"a drop above {amount(max(drop.high, 0.0))} can be ruled out"
        if self.kind == "too few test samples":
            return (
                f"too few test samples: about {self.needed:,} needed to see a drop of "
                f"{amount(self.limit)} ({self.task.count:,} given{self._evidence}; {ruled_out})"
            )
        if self.kind == "no change seen":
            return f"no change seen ({ruled_out if drop.high > 0 else 'in any sample'})"
        return f"change within noise ({self._evidence.lstrip(', ')}; {ruled_out})"

    @property
    def _within(self) -> bool:
        return bool(self.task.count >= FEWEST and self.drop.high <= self.limit)

    @property
    def _too_few(self) -> bool:
        return not self._within and not self.real and self.task.count < self.needed

    @property
    def _to_decide(self) -> str:
        """How many samples would decide, were the drop that was seen the true one: an estimate.

        An interval narrows with the root of the samples; its end must come from beyond the limit.
        """
        drop, room = self.drop, abs(self.limit - self.drop.value)
        reach = drop.high - drop.value if drop.value <= self.limit else drop.value - drop.low
        if room * 10 < reach:  # above a hundred times as many; at the limit, no number decides
            return "many more samples"
        needed = ceil(self.task.count * (reach / room) ** 2)
        return f"about {max(self.task.count + 1, needed):,} samples"

    @property
    def _unsaid(self) -> str:
        """Why nothing can be said, whatever the path does."""
        return self.void or self.warning

    @property
    def _evidence(self) -> str:
        lost = f", lost {self.flips.lost}, gained {self.flips.gained}" if self.flips else ""
        return f"{lost}, p {f'= {self.p_holm:.2g}' if self.p_holm >= 1e-6 else '< 1e-6'}"

    def _amount(self, drop: float) -> str:
        """A drop in words: points of a share, else in the measure's unit."""
        if not self.task.share:
            return f"{drop:.3g}"
        points = f"{100 * drop:.2g}"
        return f"{points} point{'s' * (points != '1')}"


def worst(findings: Iterable) -> Any:
    """Return the finding with the worst decision, and of those the one with the largest drop.

    ``findings``: whatever has a ``decision`` and a ``badness``. Returns None where there is none.
    """
    order = (PASSES, UNDECIDED, FAILS)
    return max(
        findings, key=lambda found: (order.index(found.decision), found.badness), default=None
    )


@dataclass(frozen=True)
class Judgement:
    """All outputs of one path; the worst decides."""

    findings: tuple[Finding, ...]

    @property
    def worst(self) -> Finding:
        return worst(self.findings)

    @property
    def decision(self) -> str:
        return self.worst.decision

    @property
    def kind(self) -> str:
        return self.worst.kind

    @property
    def verdict(self) -> str:
        """The worst finding's verdict, with its output's name where there are several."""
        name = f"{self.worst.task.output}: " if len(self.findings) > 1 else ""
        return name + self.worst.verdict


def judge(
    tasks: Sequence[Task],
    float_outputs: Arrays | np.ndarray,
    paths: Mapping[str, Arrays | np.ndarray],
    *,
    max_drop: float | None = None,
) -> dict[str, Judgement]:
    """Return a judgement for each path: its outputs beside float32's for the same samples.

    ``tasks``: as ``tasks.recognise`` gives them. ``float_outputs`` and each of ``paths``: real
    numbers (integers dequantized) by output name, (N, ...); a bare array where there is one.
    ``max_drop``: the largest drop that is accepted, of a share absolutely (0.01: one point), of
    other measures as a part of float32's; by default 0.01. Without targets: the centred SQNR is to
    be at least 20 dB, and the agreement at least ``1 - max_drop``.
    Raises InputError for outputs of other names or shapes than float32's, and a ``max_drop`` that
    is not from 0 to 1. Defined in lesson 08.
    """
    max_drop = MAX_DROP if max_drop is None else max_drop
    if not tasks:
        raise InputError("no tasks: take those that tasks.recognise returns (lesson 08)")
    if not isinstance(max_drop, float | int) or not 0 < max_drop < 1:
        raise InputError(
            f"max_drop={max_drop!r}; expected a share above 0 and below 1, 0.01 for 1 % (lesson 08)"
        )
    by_float = named(float_outputs, "output")
    outputs = {
        path: _alike(path, by_float, named(given, "output")) for path, given in paths.items()
    }
    missing = [task.output for task in tasks for name in task.reads if name not in by_float]
    if missing:
        raise InputError(f"the tasks name output {missing[0]!r}; there is {', '.join(by_float)}")
    found = [_findings(task, by_float, outputs, max_drop) for task in tasks]
    corrected = iter(evaluate.holm([f.p_value for fs in found for f in fs if f.p_value >= 0]))
    found = [
        [replace(f, p_holm=float(next(corrected))) if f.p_value >= 0 else f for f in fs]
        for fs in found
    ]
    return {
        path: Judgement(each) for path, each in zip(paths, zip(*found, strict=True), strict=True)
    }


def share(given: float | str | None) -> float | None:
    """Return a share as a number: of ``0.06``, ``"0.06"`` or ``"6%"`` it is 0.06; None stays.

    Raises InputError for other words. Defined in lesson 15.
    """
    if not isinstance(given, str):
        return given
    text = given.strip()
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise InputError(f"max_drop={given!r}: expected a share such as 0.01, or 1%") from None


def frame(judgements: Mapping[str, Judgement]) -> pd.DataFrame:
    """Return a row for each path and output: measure, interval, drop, p, decision, verdict."""
    rows = [
        {
            "path": path,
            "output": found.task.output,
            "task": found.task.name,
            "measure": found.task.measure,
            "value": found.measured.value,
            "low": found.measured.low,
            "high": found.measured.high,
            "float32": found.float_measured.value,
            "drop": found.drop.value,
            "drop_low": found.drop.low,
            "drop_high": found.drop.high,
            "p_holm": found.p_holm,
            "decision": found.decision,
            "verdict": found.verdict,
        }
        for path, judgement in judgements.items()
        for found in judgement.findings
    ]
    return pd.DataFrame(rows).set_index("path")


@dataclass(frozen=True)
class _Base:
    """What is known of float32's output, once for all paths."""

    task: Task
    output: np.ndarray
    right: np.ndarray | None
    value: float
    limit: float
    max_drop: float

    def finding(self, output: np.ndarray, drawn: tuple[np.ndarray, np.ndarray]) -> Finding:
        """The finding of a path's output that is finite and not constant.

        ``drawn``: the measure of float32 and of the path on each resample; empty for shares.
        """
        task, also = self.task, self.task.also(output, self.output)
        if self.right is not None:
            parts = _by_flips(self.right, task.right(output), self.limit)
        else:
            value = task.value(output)
            if np.isnan(value):
                return Finding(task, fault=f"its measure, {task.measure}, is NaN")
            if task.labelled:
                parts = _by_resampling(task, value, self.value, *drawn, self.limit)
            else:
                parts = {"measured": _estimate(value, drawn[1])}
        return Finding(task, **parts, limit=self.limit, max_drop=self.max_drop, also=also)


def _findings(task: Task, by_float: Arrays, outputs: Mapping, max_drop: float) -> list[Finding]:
    """What one task says of each path, p-values not yet corrected."""
    expected = task.pick(by_float)
    void = _void(expected)
    if void:
        return [Finding(task, void=void) for _ in outputs]
    base = _base(task, expected, max_drop)
    given = [task.pick(arrays) for arrays in outputs.values()]
    faults = [_fault(output, expected) for output in given]
    sound = [output for output, fault in zip(given, faults, strict=True) if not fault]
    drawn = np.empty((1 + len(sound), 0))
    if base.right is None:  # a share of samples needs no bootstrap
        measurers = [task.measurer(output) for output in (expected, *sound)]
        drawn = evaluate.bootstrap(measurers, task.count)
    found = (
        base.finding(output, (drawn[0], row)) for output, row in zip(sound, drawn[1:], strict=True)
    )
    warning = no_better_than_guessing(task, base.value)
    return [
        Finding(task, fault=fault) if fault else replace(next(found), warning=warning)
        for fault in faults
    ]


def _base(task: Task, expected: np.ndarray, max_drop: float) -> _Base:
    right = task.right(expected)
    value = float(task.value(expected) if right is None else right.mean())
    if np.isnan(value):
        raise InputError(f"{task.measure} of float32's output {task.output!r} is NaN")
    if not task.labelled:
        limit = 1 - max_drop if task.share else SQNR_LIMIT
    else:
        limit = max_drop * (1.0 if task.share else abs(value))
    return _Base(task, expected, right, value, limit, max_drop)


def _by_flips(right_before: np.ndarray, right: np.ndarray, limit: float) -> dict:
    """Shares of samples: Wilson's intervals, Tango's of the drop, McNemar's test."""
    shares = [evaluate.Proportion(int(side.sum()), side.size) for side in (right, right_before)]
    flips = evaluate.Flips(
        gained=int((right & ~right_before).sum()), lost=int((right_before & ~right).sum())
    )
    flipped = (flips.gained + flips.lost) / right.size
    measured, by_float = (Estimate(share.value, share.low, share.high) for share in shares)
    drop = (flips.lost - flips.gained) / right.size
    return {
        "measured": measured,
        "float_measured": by_float,
        "drop": Estimate(drop, *flips.drop_interval(right.size)),
        "p_value": flips.p_value,
        "flips": flips,
        "needed": evaluate.samples_needed(max(flipped, limit), limit),
    }


def _by_resampling(task: Task, value, by_float, float_drawn, drawn, limit: float) -> dict:
    """Any other measure: the paired bootstrap's intervals, and its test."""
    sign = -1 if task.lower_is_better else 1
    drops = sign * (float_drawn - drawn)
    drops = drops[np.isfinite(drops)]
    if not drops.size:
        raise InputError(
            f"{task.measure} of output {task.output!r} is NaN whenever the samples are drawn anew, "
            "some twice and some not at all: its interval cannot be found (lesson 08)"
        )
    spread = task.count * float(np.var(drops))
    drop = _estimate(sign * (by_float - value), drops)
    if task.share and not spread:
        # No resample differs, as at an AUC of 1: as much room as no flip at all leaves a share.
        _, room = evaluate.Flips(0, 0).drop_interval(task.rarest)
        drop = Estimate(drop.value, drop.low - room, drop.high + room)
        spread = limit
    needed = evaluate.samples_needed(spread, limit) if limit > 0 else 0
    return {
        "measured": _estimate(value, drawn),
        "float_measured": _estimate(by_float, float_drawn),
        "drop": drop,
        "p_value": _p_value(drops),
        "needed": max(needed, FEWEST),
    }


def _p_value(drops: np.ndarray) -> float:
    """How often the drop's sign turns when the samples are drawn anew, two-sided.

    Where no resample turns it, RESAMPLES are too few to say how seldom it does, and Holm's
    correction for many paths would drown it: there the normal curve with their spread goes on.
    """
    turned = min((drops <= 0).sum(), (drops >= 0).sum())
    counted = min(1.0, 2 * (turned + 1) / (len(drops) + 1))
    deviation = drops.std()
    if turned or not deviation:
        return float(counted)
    return float(min(counted, erfc(abs(drops.mean()) / deviation / sqrt(2))))


def _estimate(value: float, drawn: np.ndarray) -> Estimate:
    """A measure with the middle 95 % of its resamples, left out those without a value."""
    low, high = np.nanpercentile(drawn, [2.5, 97.5], method="nearest")
    return Estimate(float(value), float(low), float(high))


def _decision_by_likeness(found: Finding) -> str:
    agreement = found.also.get("agreement", 1.0)
    if not (found.measured.value >= found.limit and agreement >= 1 - found.max_drop):
        return FAILS
    return UNDECIDED if _lost_channel(found) else PASSES


def _lost_channel(found: Finding) -> bool:
    """Whether a column of an output, probabilities aside, drowns in noise."""
    return "agreement" not in found.also and found.also.get(WORST, np.inf) < LOST_CHANNEL


def _words_of_likeness(found: Finding) -> str:
    value = found.measured.value
    amount = f"{value:.1f} dB centred SQNR" if not found.task.share else ""
    words = [amount or f"{found.task.measure} {value:.2%}"]
    if "agreement" in found.also:
        words.append(f"agreement {found.also['agreement']:.1%}")
    if found.decision == FAILS:
        limit = f"{SQNR_LIMIT:.0f} dB" if not found.task.share else f"{found.limit:.0%}"
        agreed = f" and {1 - found.max_drop:.0%} agreement" if "agreement" in found.also else ""
        words.append(f"below the limit of {limit}{agreed}")
    if _lost_channel(found):
        channel = f"channel {found.also['worst channel']:.0f} of the last axis"
        words.append(f"{channel} is lost ({found.also[WORST]:.1f} dB)")
    return f"no targets, so no statement on accuracy: {', '.join(words)}"


def _void(expected) -> str:
    """Why float32's output allows no statement; "" where it does."""
    for name, array in _arrays(expected):
        fault = measures.not_finite(array)
        if fault:
            raise InputError(f"float32's output{name} is broken: {fault}")
    if all(measures.is_constant(array) for _, array in _arrays(expected)):
        return (
            "float32's output is the same for all samples (an untrained or dead model, or inputs "
            "without information): every path agrees with it, and no measure means anything"
        )
    return ""


def _fault(output, expected) -> str:
    """Why a path's output is broken; "" where it is not."""
    for (name, array), (_, by_float) in zip(_arrays(output), _arrays(expected), strict=True):
        fault = measures.not_finite(array)
        if not fault and measures.is_constant(array) and not measures.is_constant(by_float):
            fault = "the output is the same for all samples, and float32's is not"
        if fault:
            return f"{fault}{name and ',' + name}"
    return ""


def _arrays(output) -> list[tuple[str, np.ndarray]]:
    if isinstance(output, Mapping):
        return [(f" {name!r}", array) for name, array in output.items()]
    return [("", output)]


def no_better_than_guessing(task: Task, value: float) -> str:
    """Return what is to be said where float32's ``value`` is no better than a constant answer's.

    "" where it is better, or where guessing has no measure, as without targets.
    """
    guess = task.guess()
    if guess is None:
        return ""
    sign = -1 if task.lower_is_better else 1
    if sign * (value - guess) > 0:
        return ""
    reached, guessed = (f"{v:.1%}" if task.share else f"{v:.3g}" for v in (value, guess))
    return (
        f"float32 itself reaches {task.measure} {reached}, and an answer that ignores the input "
        f"{guessed}: look at the scaling of the inputs, the order of the classes, the task and the "
        "targets before you judge a path"
    )


def _alike(path: str, by_float: Arrays, given: Arrays) -> Arrays:
    """A path's outputs under float32's names; InputError unless they are like those."""
    if len(by_float) == len(given) == 1:
        given = dict(zip(by_float, given.values(), strict=True))
    if set(given) != set(by_float):
        raise InputError(
            f"{path} has the outputs {', '.join(given)} and float32 has {', '.join(by_float)}: "
            "give both by the names of the signature"
        )
    for name, expected in by_float.items():
        found = given[name]
        if found.shape != expected.shape:
            raise InputError(
                f"{path}: output {name!r} has shape {found.shape} and float32's {expected.shape}: "
                "run both on the same samples"
            )
        if (found.dtype.kind == "f") != (expected.dtype.kind == "f"):
            raise InputError(
                f"{path}: output {name!r} is {found.dtype} and float32's {expected.dtype}: give "
                "real numbers, integers dequantized with their scale and zero point (lesson 07)"
            )
    return given
