"""Is the data fit, and is the float model any good on it? Asked before anything is quantized.

Nobody sees from a quantized file's accuracy that its samples were scaled wrongly: float32 would
have been as poor. What is checked while samples are read (names, dtypes, shapes, NaN) is
``own_data``'s; here stand the questions that need all of them, or the model's answers.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lessons_lib.advise.brought import Brought
from lessons_lib.convert import outcome
from lessons_lib.convert.outcome import Outcome
from lessons_lib.errors import InputError
from lessons_lib.judge import measures
from lessons_lib.judge.measures import Arrays, Task
from lessons_lib.judge.verdict import FEWEST, no_better_than_guessing
from lessons_lib.tflite.samples import Rows

STOP, WARNING, NOTE = "stop", "warning", "note"
OUTSIDE = 0.10  # of the test samples may leave the calibrated range before it is said
_SLACK = 0.01  # of the calibrated range: the last percent costs nothing
_PIECE = 2**24  # bytes of samples that are looked at at once


@dataclass(frozen=True)
class Guard:
    """What was noticed: ``stop`` (nothing below would mean anything), ``warning`` or ``note``."""

    level: str
    text: str


def of_samples(calibration: Rows | None, test: Rows | None) -> list[Guard]:
    """Return what is to be said of samples by input name, arrays (N, ...), memory-mapped or not.

    Calibration samples that stand in the test too; an input that never changes; features of which
    one is a hundred times another; test samples outside the calibrated range; few test samples.
    """
    found = [guard for rows in (calibration, test) if rows for guard in _constant(rows)]
    if calibration and (words := outcome.uneven(calibration)):
        found.append(Guard(WARNING, words))
    if test and _count(test) < FEWEST:
        found.append(
            Guard(
                WARNING,
                f"{_count(test)} test samples say nothing about the next one: give {FEWEST} at the "
                "very least, better some hundreds (lesson 08)",
            )
        )
    if calibration and test:
        found += [*_shared(calibration, test), *_outside(calibration, test)]
    return list(dict.fromkeys(found))


def of_model(given: Brought, converted: Outcome) -> list[Guard]:
    """Return what is to be said of the model itself, and of its float32 file, ``converted``.

    Its other signatures; calls of several samples; a state; an output that the conversion itself
    changed, or that is always the same.
    """
    ends, found = given.signature, []
    if others := [key for key in given.keys if key != ends.key]:
        found.append(
            Guard(
                NOTE,
                f"the signature {ends.key} was taken, {ends}; the model also has "
                f"{', '.join(others)}: --signature takes another",
            )
        )
    if ends.in_batches and (ends.batch or 1) > 1:
        words = f"the model takes {ends.batch} samples in every call: a time here is that of a call"
        found.append(Guard(NOTE, words))
    return [*found, *(Guard(WARNING, remark) for remark in converted.remarks)]


class Stopped(InputError):
    """The model or the samples are at fault, so that no path would mean anything."""


def require(found: list[Guard]) -> list[Guard]:
    """Return what is to be said; raise Stopped, with all but the notes, where one is a ``stop``."""
    if any(guard.level == STOP for guard in found):
        raise Stopped(". ".join(guard.text for guard in found if guard.level != NOTE))
    return found


def of_float(tasks: Sequence[Task], outputs: Arrays, classes: Sequence[str] = ()) -> list[Guard]:
    """Return what is to be said of float32's own answers.

    ``outputs``: by name, (N, ...), for the samples that ``tasks`` were made for. ``classes``: the
    names that the targets had, in the order in which they were numbered. A ``stop`` where
    no output is better than guessing; a warning where one is nearer to that than to all right.
    """
    judged = [task for task in tasks if task.labelled and task.guess() is not None]
    said = [no_better_than_guessing(task, task.value(task.pick(outputs))) for task in judged]
    level = STOP if said and all(said) else WARNING
    order = ", ".join(f"{number} = {name}" for number, name in enumerate(classes[:10]))
    texts = f". Your targets are texts, numbered in sorted order ({order}" if classes else ""
    texts += f"{', ...' * (len(classes) > 10)}): is that the model's order?" if classes else ""
    found = [Guard(level, words + texts) for words in said if words]
    better = [task for task, words in zip(judged, said, strict=True) if not words]
    poor = (_poor(task, task.value(task.pick(outputs))) for task in better)
    found += [Guard(WARNING, words + texts) for words in poor if words]
    for name, output in outputs.items():
        columns = output.T if output.ndim == 2 else ()
        dead = [n for n, column in enumerate(columns) if measures.is_constant(column)]
        if dead and len(dead) < len(columns):
            numbers = ", ".join(map(str, dead[:5])) + (", ..." if len(dead) > 5 else "")
            found.append(
                Guard(
                    WARNING,
                    f"float32 gives the same {name}[{numbers}] for all {len(output)} test samples: "
                    f"{len(dead)} of its {len(columns)} numbers are dead, or no sample wakes them",
                )
            )
    return found


def _poor(task: Task, value: float) -> str:
    """What is said of a float32 that is nearer to a constant answer than to all right; else "".

    Fed with mA instead of A it still beats the constant, and only its owner knows what it reached
    in training: so he is asked, from half way down. For an error the half way is R² = 0.5; errors
    of one shape are in the ratio of the root of 1 - R².
    """
    guess = task.guess()
    if isinstance(task, measures.Classification | measures.Binary):
        if value >= (1 + guess) / 2:
            return ""
        seen = f"answers {value:.1%} of the samples right (always the same class: {guess:.1%})"
    elif isinstance(task, measures.Regression):
        if value <= 0.5**0.5 * guess:
            return ""
        seen = f"has the MAE {value:.3g} (always the same number: {guess:.3g})"
    else:
        return ""
    return (
        f"float32 itself {seen} at {task.output}: if that is worse than you know it for, the "
        "scaling or units of its inputs, or the targets, are wrong; mend that first"
    )


def _count(rows: Rows) -> int:
    return len(next(iter(rows.values())))


def _pieces(array: np.ndarray) -> Iterator[np.ndarray]:
    """The samples a few at a time, so that a large file never lies in memory."""
    rows = max(1, _PIECE // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        yield np.asarray(array[start : start + rows])


def _constant(rows: Rows) -> Iterator[Guard]:
    for name, array in rows.items():
        same = len(array) > 1 and all((part == array[0]).all() for part in _pieces(array))
        if same:
            yield Guard(
                WARNING,
                f"the input {name} is the same in all {len(array)} samples: its range is that of "
                "one value, and anything else will be clipped (lesson 06)",
            )


def _shared(calibration: Rows, test: Rows) -> Iterator[Guard]:
    if set(calibration) != set(test):
        return
    known = {digest: number for number, digest in enumerate(_digests(calibration))}
    both = [(number, known[d]) for number, d in enumerate(_digests(test)) if d in known]
    if both:
        yield Guard(
            WARNING,
            f"{len(both)} of {_count(test)} test samples calibrate as well (test sample "
            f"{both[0][0]} is calibration sample {both[0][1]}): what is measured on them flatters. "
            "Keep the two apart (lesson 06)",
        )


def _digests(rows: Rows) -> Iterator[bytes]:
    names = sorted(rows)
    for number in range(_count(rows)):
        digest = hashlib.blake2b(digest_size=16)
        for name in names:
            digest.update(np.ascontiguousarray(rows[name][number]).tobytes())
        yield digest.digest()


def _outside(calibration: Rows, test: Rows) -> Iterator[Guard]:
    """Test samples that reach beyond the calibrated range, where integers are clipped."""
    for name, array in calibration.items():
        if array.dtype.kind != "f" or name not in test:
            continue
        parts = [(part.min(), part.max()) for part in _pieces(array)]
        low, high = min(p[0] for p in parts), max(p[1] for p in parts)
        slack = _SLACK * (high - low)
        beyond = sum(_beyond(part, low - slack, high + slack) for part in _pieces(test[name]))
        if beyond > OUTSIDE * len(test[name]):
            yield Guard(
                WARNING,
                f"{beyond} of {len(test[name])} test samples leave the calibrated range of {name}, "
                f"{low:.4g} to {high:.4g}: integers are clipped there. Calibrate with samples of "
                "the same kind as the test (lesson 06)",
            )


def _beyond(part: np.ndarray, low: float, high: float) -> int:
    flat = part.reshape(len(part), -1)
    return int(((flat < low) | (flat > high)).any(axis=1).sum())
