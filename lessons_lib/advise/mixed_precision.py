"""Mixed precision: which few blocks of a model must stay in float, and which can do with four bits.

Each block is tried alone, on the samples that int8 changed most; then, in the order of what that
gained, blocks are put together until the caller's own criterion holds. NNCF's accuracy control
does the same. The whole search for the best set would try each subset, 2 to the number of blocks:
what is given up are sets of blocks that help only together.
Source: https://docs.openvino.ai, Quantizing with Accuracy Control.
"""

import functools
import itertools
import os
import pickle
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lessons_lib.advise import jobs
from lessons_lib.convert import by_litert, calibration, outcome
from lessons_lib.convert.by_litert import Rule
from lessons_lib.errors import InputError, LessonError
from lessons_lib.numbers import noise
from lessons_lib.run.runtime import Model
from lessons_lib.system import files, sandbox
from lessons_lib.tflite import reader, samples, tables
from lessons_lib.tflite.samples import Rows
from lessons_lib.tflite.signature import of_file

MOST_SAMPLES = 100  # that blocks are judged on,
_POOL = 500  # those of so many that int8 changes most,
_MOST_BYTES = 2**28  # and fewer where one is large
GAIN_DB = 0.5  # what a block must bring: one of nine equal sources of noise brings as much
SHARE = 0.25  # of the operators; a model with more of them in float is hardly an int8 one
_RANKING = 0.75  # of the budget: the rest is for putting blocks together
_WHOLE_MODEL = 8  # operators; a layer with more, and with more than SHARE, is no block
# Path -> what gives the weights of an operator four bits and leaves its activations alone.
FOUR_BITS = {
    "int8": "int8x4",
    "uint8": "int8x4",
    "int8_float_fallback": "int8x4",
    "dynamic_range": "dynamic_int4",
    "weight_only_int8": "weight_only_int4",
}


@dataclass(frozen=True)
class Block:
    """Operators of one Keras layer that stand together: their kinds and their outputs' names."""

    layer: str
    operators: tuple[str, ...]
    outputs: tuple[str, ...]

    def rule(self, recipe: str) -> Rule:
        """The rule that gives this block, and nothing else, another recipe."""
        return Rule(f"^(?:{'|'.join(map(re.escape, self.outputs))})$", recipe)


@dataclass(frozen=True)
class Ranked:
    """A block alone in the other recipe: the SQNR of the model's outputs in dB, and the gain.

    ``failure`` says why that file could not be made; its numbers are -inf then.
    """

    block: Block
    sqnr_db: float
    gain_db: float
    failure: str = ""


@dataclass(frozen=True)
class Step:
    """Some blocks in the other recipe, together.

    ``file`` is None where the last block brought nothing beside the others, or ``failure`` says
    that the file could not be made; only of a file it was asked whether it ``passed``.
    """

    blocks: tuple[Block, ...]
    rules: tuple[Rule, ...]
    sqnr_db: float
    file: Path | None = None
    passed: bool = False
    failure: str = ""


@dataclass(frozen=True)
class Mixed:
    """What a search found.

    ``sqnr_db``: of the path itself, on the ranking samples. ``ranking``: the blocks, the most
    worthwhile first. ``why`` says in words what ended the search.
    """

    path: str
    recipe: str
    sqnr_db: float
    ranking: tuple[Ranked, ...]
    steps: tuple[Step, ...]
    why: str

    @property
    def found(self) -> Step | None:
        """The last step that passed; None where none did."""
        return next((step for step in reversed(self.steps) if step.passed), None)


@dataclass(frozen=True)
class _Bench:
    """What every try needs: the float model, its ranges, the samples, and its own answers."""

    content: bytes
    plan: pd.DataFrame
    path: str
    weight_range: str
    ranges: dict[str, dict] | None
    inputs: Rows
    expected: Rows


def keep_in_float(
    source: reader.Source,
    path: str,
    representative_dataset: calibration.RepresentativeDataset | None,
    passes: Callable[[Path], bool],
    folder: str | os.PathLike,
    *,
    recipe: str = "float32",
    **options: Any,
) -> Mixed:
    """Leave as few blocks of a float ``.tflite`` as possible in float, until ``passes(file)``.

    ``path`` is one with float input and output, such as ``int8_float_fallback``. ``recipe`` is what
    the blocks get; ``int16x8`` gives them finer integers, which mends less than floats do.
    ``passes`` is asked for each file, and judges it as it likes. The search ends when it says
    yes, when no block gains GAIN_DB, when another one would make it more than SHARE of the
    operators, or after ``budget`` seconds. Files are ``folder/PATH_mixed_N.tflite``, N counting
    blocks; what was tried is kept there, and not tried again. Options, those of ``to_four_bits`` as
    well:

    ``ranking``: samples (by input name, or anything that a representative dataset may be) on which
    blocks are judged: not those that ``passes`` measures on, where there are enough; by default the
    calibration's. ``budget``: seconds, 120. ``workers``, ``scheduler``: see ``jobs.run``.
    ``on_done(what, number, of)`` is told of each try. ``calibrate``, ``weight_range``,
    ``value_range``, ``signature``: see ``by_litert.quantize``.

    Raises InputError when the float model gives the same for all ranking samples, LessonError when
    the path fails altogether, and what ``by_litert.plan`` raises.
    """
    search = _Search(source, path, representative_dataset, Path(folder), **options)
    able = by_litert.plan(search.content, path, [Rule(".*", recipe)])["recipe"] == recipe
    quantized = ~search.plan["recipe"].isin(["float32", recipe])
    blocks = search.blocks(quantized & able)
    if passes(search.calibrated()):
        return search.answer(recipe, (), (), f"the path {path} passes as it is")
    return _in_rounds(search, blocks, recipe, int(quantized.sum()), passes)


def to_four_bits(
    source: reader.Source,
    path: str,
    representative_dataset: calibration.RepresentativeDataset | None,
    passes: Callable[[Path], bool],
    folder: str | os.PathLike,
    **options: Any,
) -> Mixed:
    """Give the weights of as many blocks as possible four bits, as long as ``passes(file)``.

    ``path`` is one of FOUR_BITS, whose weights have eight. The blocks are added in the order of
    what they cost alone, the most robust first; the search ends with the first file that does not
    pass, or after ``budget`` seconds, and ``Mixed.found`` is the one before. The options, the
    folder and the errors are those of ``keep_in_float``; InputError for a path of no such kind.
    """
    if path not in FOUR_BITS:
        raise InputError(f"path={path!r}; four bits go with {', '.join(FOUR_BITS)} (lesson 13)")
    recipe = FOUR_BITS[path]
    search = _Search(source, path, representative_dataset, Path(folder), **options)
    # The path of the recipe's own name gives it to each operator for which there is a kernel.
    blocks = search.blocks(by_litert.plan(search.content, recipe)["recipe"] == recipe)
    if not passes(search.calibrated()):
        return search.answer(recipe, (), (), f"the path {path} itself, with eight bits, fails")
    ranking, cut = search.rank(blocks, recipe)
    steps: list[Step] = []
    why = f"all {len(ranking)} blocks with weights have four bits"
    for ranked in ranking:
        if search.over:
            why = f"the budget of {search.budget:g} s is used up"
            break
        chosen = (*(steps[-1].blocks if steps else ()), ranked.block)
        steps.append(search.step(chosen, recipe, -np.inf, passes))
        if not steps[-1].passed:
            why = f"with four bits for {ranked.block.layer} as well it does not pass"
            break
    return search.answer(recipe, ranking, steps, why + cut)


def _in_rounds(search, blocks: list[Block], recipe: str, operators: int, passes) -> Mixed:
    """Rank, add what is worth it, and rank the others anew: a loud block hides quieter ones."""
    ranking, cut = search.rank(blocks, recipe)
    first, steps, kept, best = ranking, [], (), search.sqnr_db
    while worth := [one.block for one in ranking if one.gain_db >= GAIN_DB]:
        before = kept
        for block in worth:
            if why := _limit(search, (*kept, block), recipe, operators):
                return search.answer(recipe, first, steps, why + cut)
            steps.append(search.step((*kept, block), recipe, best + GAIN_DB, passes))
            if steps[-1].passed:
                why = f"passes with {_named(steps[-1].blocks)} in {recipe}"
                return search.answer(recipe, first, steps, why + cut)
            if steps[-1].file is not None:
                kept, best = steps[-1].blocks, steps[-1].sqnr_db
        left = [block for block in blocks if block not in kept]
        ranking, cut = search.rank(left, recipe, kept, best) if kept != before else ((), cut)
    if not kept:
        return search.answer(recipe, first, steps, _nothing(search, first, cut))
    why = f"it does not pass with {_named(kept)} in {recipe}, and no other block gains {GAIN_DB} dB"
    return search.answer(recipe, first, steps, why + cut)


def _limit(search, blocks: Sequence[Block], recipe: str, operators: int) -> str:
    """Why these blocks are not tried, in words; "" where they are. One block always may be."""
    if search.over:
        return f"the budget of {search.budget:g} s is used up, and it does not pass"
    count = sum(len(block.outputs) for block in blocks)
    if len(blocks) == 1 or count <= SHARE * operators:
        return ""
    return (
        f"it does not pass, and with {blocks[-1].layer} {count} of the {operators} quantized "
        f"operators would be in {recipe}, more than {SHARE:.0%}"
    )


def _nothing(search, ranking: Sequence[Ranked], cut: str) -> str:
    """What to say where no block was worth it."""
    if cut:
        return (
            f"the budget of {search.budget:g} s is used up, and no block gained {GAIN_DB} dB{cut}"
        )
    if not ranking:
        return f"the path {search.path} quantizes nothing that could stay in float"
    failed = [one.failure for one in ranking if one.failure]
    if len(failed) == len(ranking):
        return f"no block can be left out: {failed[0]}"
    best = f"{ranking[0].block.layer} with {ranking[0].gain_db:.2f} dB"
    return (
        f"none of {len(ranking)} blocks gains {GAIN_DB} dB when it alone is left out; the best is "
        f"{best}. The loss is spread over the model, and mixed precision does not help: "
        "dynamic_range quantizes the weights alone"
    )


def _named(blocks: Sequence[Block]) -> str:
    return ", ".join(dict.fromkeys(block.layer for block in blocks))


class _Search:
    """One search: the float model and its samples in files, and the clock."""

    def __init__(
        self,
        source,
        path,
        representative_dataset,
        folder: Path,
        *,
        ranking=None,
        calibrate: str = "extremes",
        weight_range: str = "min_max",
        value_range: calibration.Ranges = None,
        signature: str | None = None,
        workers: int = 1,
        scheduler: str | None = None,
        budget: float = 120.0,
        on_done: Callable[[str, int, int], None] | None = None,
    ):
        self._start, self.budget = time.monotonic(), budget
        self.content, self.path, self._folder = by_litert.prepared(source, signature), path, folder
        self._on_done = on_done or (lambda *_: None)
        self._where = {"workers": workers, "scheduler": scheduler}
        self._settings = path, calibrate, weight_range, value_range
        self._samples = {"calibration": representative_dataset, "ranking": ranking}
        self.plan = by_litert.plan(self.content, path)
        if needed_by := by_litert.needs_samples(self.plan, path):
            calibration.require(needed_by, representative_dataset)
        elif representative_dataset is None and ranking is None:
            raise InputError("blocks are judged on samples: give some as ranking=")

    def calibrated(self) -> Path:
        """Calibrate, once for all tries, and return the path's own file."""
        model = files.write_atomic(self._folder / "float32.tflite", self.content)
        spools = [
            None if given is None else _spooled(given, self._folder / f"{name}.samples")
            for name, given in self._samples.items()
        ]
        job = jobs.Job(self.path, f"{__name__}:_prepare", (model, *spools, *self._settings))
        (made,) = self._run([job], "calibration")
        if isinstance(made, LessonError):
            raise made
        bench, base, self.sqnr_db = made
        self._bench = files.write_atomic(self._folder / f"{self.path}.bench", bench)
        return files.write_atomic(self._folder / f"{self.path}_mixed_0.tflite", base)

    @property
    def over(self) -> bool:
        return time.monotonic() - self._start > self.budget

    def blocks(self, chosen: pd.Series) -> list[Block]:
        """The blocks of the operators that are chosen."""
        table = tables.operators(self.content).assign(names=self.plan["outputs"], chosen=chosen)
        found = []
        for (_, layer), rows in itertools.groupby(
            table.itertuples(), key=lambda row: (row.subgraph, row.layer)
        ):
            rows = [row for row in rows if row.chosen]
            alone = len(rows) > max(_WHOLE_MODEL, SHARE * chosen.sum())
            for part in [[row] for row in rows] if alone else [rows] if rows else []:
                kinds, names = zip(*((row.operator, row.names) for row in part), strict=True)
                found.append(Block(layer, kinds, names))
        return found

    def rank(
        self, blocks: Sequence[Block], recipe: str, kept: tuple[Block, ...] = (), base_db=None
    ) -> tuple[tuple[Ranked, ...], str]:
        """Each block beside those kept, the best first; and what to say where time was short."""
        base_db = self.sqnr_db if base_db is None else base_db
        work = [
            self._job("score", f"{n} {block.layer}", (*kept, block), recipe)
            for n, block in enumerate(blocks)
        ]
        left = self.budget - (time.monotonic() - self._start)
        ranked = [
            Ranked(block, -np.inf, -np.inf, str(one))
            if isinstance(one, LessonError)
            else Ranked(block, one, one - base_db)
            for block, one in zip(blocks, self._run(work, "ranking", _RANKING * left), strict=True)
            if one is not None
        ]
        short = f" ({len(ranked)} of {len(blocks)} blocks were ranked within the budget)"
        ordered = sorted(ranked, key=lambda one: -one.gain_db)
        return tuple(ordered), short if len(ranked) < len(blocks) else ""

    def step(self, blocks: tuple[Block, ...], recipe: str, least_db: float, passes) -> Step:
        """The file with these blocks in the recipe, if it reaches a SQNR; and does it pass."""
        rules = tuple(block.rule(recipe) for block in blocks)
        (made,) = self._run([self._job("make", _named(blocks), blocks, recipe)], "trying")
        if isinstance(made, LessonError):
            return Step(blocks, rules, -np.inf, failure=str(made))
        content, sqnr_db = made
        if sqnr_db < least_db:
            return Step(blocks, rules, sqnr_db)
        name = f"{self.path}_mixed_{len(blocks)}.tflite"
        file = files.write_atomic(self._folder / name, content)
        return Step(blocks, rules, sqnr_db, file, bool(passes(file)))

    def _job(self, what: str, key: str, blocks: Sequence[Block], recipe: str) -> jobs.Job:
        outputs = tuple(name for block in blocks for name in block.outputs)
        return jobs.Job(key, f"{__name__}:_{what}", (self._bench, outputs, recipe))

    def answer(self, recipe: str, ranking, steps, why: str) -> Mixed:
        return Mixed(self.path, recipe, self.sqnr_db, tuple(ranking), tuple(steps), why)

    def _run(self, work: list[jobs.Job], what: str, seconds: float = float("inf")) -> list[Any]:
        """The results in the jobs' order, None for those that the time did not suffice for."""
        count = itertools.count(1)
        found = jobs.run(
            work,
            self._folder / "jobs",
            on_done=lambda key, _: self._on_done(f"{what}: {key}", next(count), len(work)),
            seconds=seconds,
            **self._where,
        )
        return [found.get(job.key) for job in work]


def _spooled(given: Any, file: Path) -> Path:
    """Samples in a file, one by one: a whole array is not held twice."""
    if isinstance(given, dict):
        given = samples.singly(given)
    file.parent.mkdir(parents=True, exist_ok=True)
    samples.spool(calibration.limited(given), file)
    return file


# ---- the jobs, in child processes


def _prepare(
    model: Path, spool: Path | None, pool: Path | None, path, calibrate, weight_range, value_range
) -> tuple[bytes, bytes, float]:
    """What all tries share, the path's own file, and its SQNR on the samples that it changes most.

    The ranges are recorded here, once.
    """
    content = model.read_bytes()
    plan, ends, ranges = by_litert.plan(content, path), of_file(content), None
    if by_litert.needs_samples(plan, path):
        outcome.require_sizes(ends)
        guarded = calibration.guard(calibration.from_file(spool), ends, value_range)
        ranges = by_litert.record(content, guarded, calibrate)
    bench = _Bench(content, plan, path, weight_range, ranges, {}, {})
    base = _quantized(bench)
    inputs = _most_changed(content, base, pool or spool)
    bench = replace(bench, inputs=inputs, expected=_answers(_opened_model(content), inputs))
    return pickle.dumps(bench), base, _sqnr_db(bench, base)


def _score(bench: Path, outputs: Sequence[str], recipe: str) -> float:
    """The SQNR in dB of the file with another recipe for the operators of these outputs."""
    shared = _opened(bench)
    return _sqnr_db(shared, _quantized(shared, outputs, recipe))


def _make(bench: Path, outputs: Sequence[str], recipe: str) -> tuple[bytes, float]:
    """That file, verified, and its SQNR in dB."""
    shared = _opened(bench)
    result = _quantized(shared, outputs, recipe)
    outcome.verify(result, shared.path, shared.inputs, shared.expected)
    return result, _sqnr_db(shared, result)


@functools.lru_cache(maxsize=1)
def _opened(bench: Path) -> _Bench:
    return pickle.loads(bench.read_bytes())


def _quantized(bench: _Bench, outputs: Sequence[str] = (), recipe: str = "float32") -> bytes:
    """The path's file; the plan is not made anew, for reading a file takes longer than all else."""
    steps = bench.plan.copy()
    steps.loc[steps["outputs"].isin(outputs), "recipe"] = recipe
    entries = by_litert.quantizer_recipe(steps, bench.path, bench.weight_range)
    return by_litert.run(bench.content, entries, bench.ranges)


def _opened_model(content: bytes) -> Model:
    sandbox.trust(content, "xnnpack")  # this is a child process: nothing is lost if it dies
    return Model(content)


def _answers(model: Model, inputs: Rows) -> Rows:
    return outcome.named(model.predict(inputs), model.signature)


def _most_changed(content: bytes, quantized: bytes, pool: Path) -> Rows:
    """The samples whose outputs the quantized model changes most, beside how the outputs move."""
    models, ends = [_opened_model(one) for one in (content, quantized)], of_file(content)

    def every() -> Iterator[Rows]:
        return itertools.islice(samples.stream(samples.spooled(pool), ends), _POOL)

    noises, moments, size = [], {}, 1
    for found in every():
        expected, answer = (_answers(model, found) for model in models)
        outcome.require_answers(expected)
        noises.append({name: _squares(expected[name] - answer[name]) for name in expected})
        for name, array in expected.items():
            count, total, squares = moments.get(name, (0, 0, 0))
            array = np.asarray(array, np.float64)
            total = total + array.sum(axis=0)
            moments[name] = count + len(array), total, squares + np.square(array).sum()
        size = sum(array[:1].nbytes for array in (*found.values(), *expected.values()))
    changed = _changed(noises, moments)
    most = max(2, min(MOST_SAMPLES, _MOST_BYTES // size))
    chosen = np.zeros(len(changed), bool)
    chosen[np.argsort(-changed, kind="stable")[:most]] = True
    return _picked(every(), chosen)


def _squares(error: np.ndarray) -> np.ndarray:
    """The noise power of each sample; what is no number is worse than any."""
    power = np.square(np.asarray(error, np.float64)).reshape(len(error), -1).sum(axis=1)
    return np.nan_to_num(power, nan=np.inf)


def _changed(noises: list[dict], moments: dict[str, tuple]) -> np.ndarray:
    """For each sample the noise over the variance, all outputs that move added up."""
    changed = 0.0
    for name, (count, total, squares) in moments.items():
        variance = squares / count - np.square(total / count).sum()
        if variance > 1e-9 * squares / count:
            changed = changed + np.concatenate([part[name] for part in noises]) / variance
    if not np.ndim(changed):
        raise InputError(
            "the float model answers the same for every sample: it is not trained, or the samples "
            "are not what it was trained on. No block can be judged (lesson 11)"
        )
    return changed


def _picked(stream: Iterator[Rows], chosen: np.ndarray) -> Rows:
    parts, start = [], 0
    for found in stream:
        wanted = chosen[start : start + samples.count(found)]
        start += len(wanted)
        if wanted.any():
            parts.append({name: array[wanted] for name, array in found.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _sqnr_db(bench: _Bench, result: bytes) -> float:
    """The centred SQNR of all outputs as one: of several the worst decides, but none is ignored.

    ``-10 log10`` of the mean of noise / signal, over the outputs that move.
    """
    found, ratios = _answers(_opened_model(result), bench.inputs), []
    for name, array in bench.expected.items():
        if np.ptp(array, axis=0).any():
            finite = np.isfinite(found[name]).all()
            snr = noise.signal_to_noise(array, found[name], centred=True) if finite else -np.inf
            ratios.append(10 ** (-snr / 10))
    with np.errstate(divide="ignore"):
        return float(-10 * np.log10(np.mean(ratios))) if ratios else float("nan")
