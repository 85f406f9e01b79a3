"""Which runtime gave these outputs: its rounding is its fingerprint.

Two runtimes run one file and differ by one here and there: people ask why, and hardly anybody
answers. The sums are the same; each runtime scales them back to codes by a rule of its own
(lesson 09). The integer engine knows four sets of such rules, so it can say what each runtime
would have given. Given up here: models that compute with floats, kernels that a chip maker
wrote, and processors other than x86-64 for ``builtin`` and ``xnnpack``.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import numpy as np

from lessons_lib.errors import InputError, ModelFileError
from lessons_lib.run.engine import integer_engine
from lessons_lib.system import files
from lessons_lib.tflite import reader, samples, tables
from lessons_lib.tflite.samples import Rows
from lessons_lib.tflite.signature import Signature, of_file

_BLOCK = 100  # random inputs that are tried at once
# Where more of the outputs differ, or one by more of their range, rounding is hardly the reason.
_FAR = 0.5, 0.25
_LISTED = 3


@dataclass(frozen=True)
class Apart:
    """One place where two results differ: ``codes`` are those of ``runtimes``, in this order.

    ``sample``: its number among the inputs; ``tensor``: the name of the output, or what computes
    the tensor; ``place``: inside one sample.
    """

    runtimes: tuple[str, str]
    sample: int
    tensor: str
    place: tuple[int, ...]
    codes: tuple[float, float]
    differing: tuple[str, ...] = ()  # all tensors of that sample that differ, in order

    def __str__(self) -> str:
        where = ", ".join(map(str, self.place))
        codes = " and ".join(f"{c:g} ({r})" for c, r in zip(self.codes, self.runtimes, strict=True))
        return f"sample {self.sample}, {self.tensor} [{where}]: {codes}"


@dataclass(frozen=True, repr=False)
class Fingerprint:
    """Which of the runtimes gives exactly the outputs that were given.

    ``runtimes``: their names, none, one or several. ``wrong``: how many of the ``size`` outputs
    each runtime that the engine computes has otherwise; ``refused``: why it does not compute the
    others. ``partings``: for each two that were compared, where they part first on their way
    through the model. ``first``: where the nearest runtime's outputs differ first from those that
    were given, if none gives them; ``gap``: by how much at most. ``telling``: where several are
    left, inputs by name on which some of them differ, found among ``tried`` random ones; None where
    there is none.
    """

    runtimes: tuple[str, ...]
    size: int
    wrong: dict[str, int]
    refused: dict[str, str]
    partings: tuple[Apart, ...]
    first: Apart | None = None
    gap: float = 0.0
    far: bool = False
    telling: Rows | None = field(default=None, compare=False)
    tried: int = 0

    @property
    def runtime(self) -> str | None:
        """The name of the runtime, where exactly one is left."""
        return self.runtimes[0] if len(self.runtimes) == 1 else None

    def __repr__(self) -> str:
        lines = [self._finding(), "Outputs that each would have had otherwise:"]
        lines += [f"  {name:10} {count:,} of {self.size:,}" for name, count in self.wrong.items()]
        lines += [f"  {name:10} not computed: {why}" for name, why in self.refused.items()]
        if self.partings:
            lines += ["Where they part first, on the way through the model:"]
        together: dict[Apart, list[str]] = {}
        for parting in self.partings:
            one, other = parting.runtimes
            together.setdefault(replace(parting, runtimes=(one, "")), []).append(other)
        for parting, others in together.items():
            lines.append(f"  {replace(parting, runtimes=(parting.runtimes[0], ', '.join(others)))}")
            lines.append(f"      in that sample differ: {_listed(parting.differing)}")
        return "\n".join(lines)

    def _finding(self) -> str:
        names = " and ".join(self.runtimes)
        if self.runtime:
            return f"{names}: all {self.size:,} outputs are equal."
        if not self.runtimes:
            suspect = _OTHER_FILE if self.far else _OTHER_RULE
            return (
                f"None of them. The nearest is {self.first.runtimes[1]}; the first difference: "
                f"{self.first}. The largest is {self.gap:g}. {suspect}"
            )
        found = f"{names}: these inputs do not tell them apart, all {self.size:,} outputs are equal"
        if self.telling is None:
            return f"{found}. Nor do {self.tried:,} random inputs."
        count = samples.count(self.telling)
        return (
            f"{found}. Of {self.tried:,} random inputs {count} in .telling would: run yours and "
            "these, and ask again."
        )


_OTHER_FILE = (
    "That is hardly rounding: compare the files, the inputs and their order, and how the inputs "
    "were quantized."
)
_OTHER_RULE = (
    "It may be another rounding rule: a chip maker's kernels, another release, or builtin and "
    "xnnpack on another processor than x86-64."
)


def of(
    model: str | os.PathLike | bytes,
    x: Any,
    outputs: Any,
    *,
    batch_size: int | None = None,
    tries: int = 1000,
    seed: int = 0,
) -> Fingerprint:
    """Say which runtime gave ``outputs`` (N, ...) for the native inputs ``x`` (N, ...) of a model.

    Both are arrays, or dictionaries by name, in the model's dtypes: codes as they came. The model
    is full integer; its ends may be floats. ``batch_size``: how many samples a call took where the
    file leaves that open (None: all); it matters only where a model mixes them, or quantizes floats
    itself. Where several runtimes fit, up to ``tries`` random inputs, made from ``x`` with
    ``seed``, are searched for some that tell them apart.
    Raises InputError when inputs or outputs do not fit the model or each other, ``batch_size`` is
    below 1 or ``tries`` below 0, and ModelFileError when the engine computes the model for no
    runtime, as for floats. Defined in lesson 09.
    """
    if tries < 0 or (batch_size is not None and batch_size < 1):
        raise InputError(
            f"tries={tries}, batch_size={batch_size}; expected at least 0 and 1 (lesson 09)"
        )
    engine = _Engine(files.content(model), batch_size)
    found = samples.rows(x, engine.signature)
    answers, refused = engine.all_answers(found)
    given = _given(outputs, next(iter(answers.values())))
    wrong = {
        kernels: sum(np.count_nonzero(answer[name] != given[name]) for name in given)
        for kernels, answer in answers.items()
    }
    fitting = tuple(kernels for kernels, count in wrong.items() if not count)
    nearest = min(wrong, key=wrong.__getitem__)
    partings = tuple(engine.partings(found, answers, nearest))
    known = fitting, sum(array.size for array in given.values()), wrong, refused, partings
    if not fitting:
        return Fingerprint(*known, *_difference(given, answers[nearest], nearest))
    if len(fitting) == 1:
        return Fingerprint(*known)
    telling, tried = engine.telling(found, fitting, tries, np.random.default_rng(seed))
    return Fingerprint(*known, telling=telling, tried=tried)


def _given(outputs: Any, expected: Rows) -> Rows:
    """The outputs by name; raises InputError where they are not what such a model gives."""
    named = outputs if isinstance(outputs, dict) else dict.fromkeys(list(expected)[:1], outputs)
    if set(named) != set(expected):
        raise InputError(
            f"outputs called {', '.join(named) or 'nothing'}; the model gives "
            f"{', '.join(expected)}: a dictionary by name (lesson 09)"
        )
    found = {name: np.asarray(named[name]) for name in expected}
    for name, array in found.items():
        wanted = expected[name]
        if array.dtype != wanted.dtype:
            raise InputError(
                f"the outputs {name} are {array.dtype}; the model gives {wanted.dtype}. Give them "
                "as the runtime did, before they are dequantized or an argmax is taken (lesson 09)"
            )
        if array.shape != wanted.shape:
            raise InputError(
                f"the outputs {name} have the shape {array.shape}; for these {len(wanted)} inputs "
                f"the model gives {wanted.shape} (lesson 09)"
            )
        samples.require_finite(array, name)
    return found


def _difference(given: Rows, answer: Rows, nearest: str) -> tuple[Apart, float, bool]:
    """The first sample's first output that a runtime has otherwise, the largest gap, is it far."""
    gaps = {n: np.abs(given[n].astype(np.float64) - answer[n]) for n in given}
    sample = int(np.flatnonzero(_samples_apart(given, answer))[0])
    name = next(n for n in given if gaps[n][sample].any())
    many, much = _FAR
    far = any(
        np.mean(gap > 0) > many or gap.max() > much * np.ptp(answer[n].astype(np.float64))
        for n, gap in gaps.items()
    )
    first = _apart(("given", nearest), sample, name, given[name], answer[name])
    return first, float(max(gap.max() for gap in gaps.values())), bool(far)


def _samples_apart(one: Rows, other: Rows) -> np.ndarray:
    """Which samples have an output that differs, bool (N,)."""
    sides = [(one[name] != other[name]).reshape(len(one[name]), -1) for name in one]
    return np.concatenate(sides, axis=1).any(axis=1)


def _apart(pair: tuple[str, str], sample: int, name: str, one, other) -> Apart:
    place = tuple(map(int, np.argwhere(one[sample] != other[sample])[0]))
    return Apart(
        pair, sample, name, place, (one[sample][place].item(), other[sample][place].item())
    )


class _Engine:
    """The integer engine on one model: what each runtime that it knows would answer."""

    def __init__(self, content: bytes, batch_size: int | None):
        self.content, self.batch_size = content, batch_size
        self.signature = of_file(content)

    def answer(self, found: Rows, kernels: str) -> Rows:
        """The outputs by name."""
        size = self.batch_size or samples.count(found)
        calls = range(0, samples.count(found), size)
        parts = [
            integer_engine.run(self.content, _cut(found, start, size), kernels) for start in calls
        ]
        named = [p if isinstance(p, dict) else {self.signature.only_output.name: p} for p in parts]
        return {name: np.concatenate([part[name] for part in named]) for name in named[0]}

    def all_answers(self, found: Rows) -> tuple[dict[str, Rows], dict[str, str]]:
        """The answers of the runtimes that the engine computes, and why not those of the others."""
        answers: dict[str, Rows] = {}
        errors: dict[str, ModelFileError] = {}
        for kernels in integer_engine.KERNELS:
            try:
                answers[kernels] = self.answer(found, kernels)
            except ModelFileError as error:
                errors[kernels] = error
        if not answers:
            raise next(iter(errors.values()))
        return answers, {kernels: str(error) for kernels, error in errors.items()}

    def partings(self, found: Rows, answers: dict[str, Rows], nearest: str) -> Iterator[Apart]:
        """Where each other runtime parts first from the nearest one.

        Where the outputs differ, the first sample that shows it is looked into, elsewhere the first
        block of samples: a difference may die on its way.
        """
        for other in answers:
            places = np.flatnonzero(_samples_apart(answers[nearest], answers[other]))
            start, size = (int(places[0]), 1) if len(places) else (0, _BLOCK)
            parting = self._parting(_cut(found, start, size), start, (nearest, other))
            if not parting and len(places):  # the samples of a call are mixed: look at all
                parting = self._parting(found, 0, (nearest, other))
            if parting:
                yield parting

    def _parting(self, part: Rows, start: int, pair: tuple[str, str]) -> Apart | None:
        """The first sample that differs, and in it the tensor that is computed first."""
        names, count = _computed_by(self.content, self.signature), samples.count(part)
        traces = (integer_engine.trace(self.content, part, kernels) for kernels in pair)
        one, other = (
            {
                index: value
                for index, value in trace.items()
                if index in names and len(value) == count
            }
            for trace in traces
        )
        found = np.flatnonzero(_samples_apart(one, other))
        if not len(found):
            return None
        sample = int(found[0])
        differ = [index for index in one if np.any(one[index][sample] != other[index][sample])]
        first = _apart(pair, sample, names[differ[0]], one[differ[0]], other[differ[0]])
        path = tuple(names[index] for index in differ)
        return replace(first, sample=start + sample, differing=path)

    def telling(
        self, found: Rows, runtimes: tuple[str, ...], tries: int, rng: np.random.Generator
    ) -> tuple[Rows | None, int]:
        """Inputs on which these runtimes differ, if some are found, and how many were tried.

        At most one for each two of the runtimes, and each shows its difference in one call.
        """
        left, chosen, tried = set(combinations(runtimes, 2)), [], 0
        while left and tried < tries:
            block = _drawn(found, min(_BLOCK, tries - tried), rng)
            tried += samples.count(block)
            for row in self._telling_rows(block, left):
                one = _cut(block, row, 1)
                answers = {kernels: self.answer(one, kernels) for kernels in runtimes}
                told = {p for p in left if _samples_apart(*(answers[k] for k in p)).any()}
                left -= told
                chosen += [one] if told else []
        if not chosen:
            return None, tried
        return {name: np.concatenate([one[name] for one in chosen]) for name in found}, tried

    def _telling_rows(self, block: Rows, left: set[tuple[str, str]]) -> list[int]:
        """For each two runtimes the first sample that they answer differently."""
        answers = {kernels: self.answer(block, kernels) for kernels in set().union(*left)}
        apart = [np.flatnonzero(_samples_apart(*(answers[k] for k in pair))) for pair in left]
        return sorted({int(rows[0]) for rows in apart if len(rows)})


def _cut(found: Rows, start: int, size: int) -> Rows:
    return {name: array[start : start + size] for name, array in found.items()}


def _drawn(found: Rows, count: int, rng: np.random.Generator) -> Rows:
    """Inputs like those given: in each, a share of the numbers is replaced by random ones.

    Codes may be any; floats are scattered as those given are. Other integers, such as tokens, come
    from another sample, so that they mean something to the model.
    """
    drawn = {}
    for name, array in found.items():
        rows, others = (array[rng.integers(0, len(array), count)] for _ in range(2))
        if array.dtype in (np.int8, np.uint8, np.int16):
            limits = np.iinfo(array.dtype)
            others = rng.integers(limits.min, limits.max + 1, rows.shape)
        elif array.dtype.kind == "f":
            others = rng.normal(array.mean(), array.std(), rows.shape)
        share = rng.random((count, *[1] * (rows.ndim - 1)))
        mixed = np.where(rng.random(rows.shape) < share, others, rows)
        drawn[name] = mixed.astype(array.dtype)
    return drawn


def _computed_by(content: bytes, signature: Signature) -> dict[int, str]:
    """What computes each tensor, by its index: the operator, and the layer that it comes from."""
    table = tables.operators(content)
    table = table[table["subgraph"] == signature.subgraph]
    operators = reader.read(content).subgraphs[signature.subgraph].operators
    names = {}
    for op, row in zip(operators, table.itertuples(), strict=True):
        of_layer = not row.layer.startswith("StatefulPartitionedCall")
        name = f"{row.operator} ({row.layer})" if of_layer else row.operator
        names |= dict.fromkeys(map(int, op.outputs), name)
    return names


def _listed(names: tuple[str, ...]) -> str:
    shown = names[:_LISTED]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
