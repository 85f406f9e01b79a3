"""One try after the other: a lane, a path, its settings; then its file, its answers, its verdict.

A try that fails costs its own row. Nothing here runs in the caller's process: conversions go
through ``every_path``, the files' answers through ``jobs``, and what was found once is kept in the
folder and not looked for again.
"""

import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from lessons_lib.advise import jobs
from lessons_lib.advise.brought import Brought
from lessons_lib.advise.report import Finding, Micro, Repair, Row
from lessons_lib.convert import every_path, outcome, paths
from lessons_lib.convert.every_path import Step
from lessons_lib.convert.outcome import Outcome
from lessons_lib.errors import ChildDied, LessonError, ModelFileError
from lessons_lib.judge import benchmark, verdict
from lessons_lib.judge.measures import Arrays, Task
from lessons_lib.judge.verdict import Judgement
from lessons_lib.models.own_data import Data
from lessons_lib.models.variants import Outside
from lessons_lib.numbers.noise import signal_to_noise
from lessons_lib.run import micro
from lessons_lib.run.runtime import Model
from lessons_lib.system import files, sandbox
from lessons_lib.tflite import edit, samples, tables
from lessons_lib.tflite.samples import Rows

CONVERTER, LITERT = "converter", "litert"
# Which calibration is better differs from model to model.
AVERAGED = ("int8_float_fallback", "int8", "int16x8")
NORMALIZED = Path("work", "normalized")  # where samples lie that were normalized, by role
_PIECE = 2**25  # bytes of samples that are answered at once
_TIMED = 2.0  # seconds that all timed rounds may take
_ROUNDS = (15, 200)
_ON_MICRO = 8  # samples that TFLite-Micro answers


@dataclass(frozen=True)
class Trial:
    """One way to a file: ``source`` is a SavedModel's folder or a float32 ``.tflite``.

    ``name`` is the row's and the file's. ``repair``: why it is tried, where it mends another.
    ``outside``: the mean and deviation of inputs that it takes normalized, by name.
    """

    name: str
    source: Path
    step: Step
    repair: Repair | None = None
    outside: Outside = field(default_factory=dict)

    @property
    def lane(self) -> str:
        return LITERT if self.source.suffix == ".tflite" else CONVERTER

    @property
    def calibrate(self) -> str | None:
        return self.step.calibrate if paths.get(self.step.path).needs_calibration else None


@dataclass(frozen=True)
class Tried:
    """What came of a trial. ``answers``: outputs (N, ...) by name for the test samples."""

    trial: Trial
    outcome: Outcome
    answers: Arrays | None = None
    latency_us: float | None = None
    micro: Micro | None = None

    @property
    def ok(self) -> bool:
        return self.outcome.ok

    def failed(self, reason: LessonError) -> "Tried":
        """The same without a file."""
        return replace(self, outcome=Outcome(self.outcome.path, reason=reason), answers=None)


@dataclass(frozen=True)
class Workplace:
    """Where one model's trials are made, and what they are made of.

    ``folder`` gets ``files/`` and ``work/``. ``calibration`` and ``test``: rows by input name,
    mapped from files, None where there are none. ``kept``: a name that stands for the model and the
    samples, under which what was found is kept. ``wanted``: the names of the paths to try.
    """

    folder: Path
    signature: str | None
    calibration: Rows | None
    test: Rows | None
    kept: str
    wanted: Collection[str] = tuple(paths.ALL)
    workers: int = 1
    scheduler: str | None = None

    @classmethod
    def of(
        cls, folder: Path, given: Brought, data: Data, wanted=None, workers=1, scheduler=None
    ) -> "Workplace":
        """The place for a model and its samples."""
        key = given.signature.key
        # Another version of the converter may write another file.
        kept = jobs.named(given.sha256, key, data.sha256)
        chosen = key if len(given.keys) > 1 else None
        rows = data.calibration, data.test
        wanted = tuple(paths.ALL if wanted is None else wanted)
        return cls(folder, chosen, *rows, kept, wanted, workers, scheduler)

    @property
    def jobs(self) -> Path:
        return self.folder / "work" / "jobs"

    @property
    def test_files(self) -> list[Path]:
        """Where the test samples lie, input by input."""
        return [Path(array.filename) for array in self.test.values()]


def by_converter(given: Brought, place: Workplace) -> list[Trial]:
    """float32, and the other paths of TFLiteConverter; of a ``.tflite`` only float32, itself."""
    names = ["float32"] if given.is_tflite else list(paths.PATHS)
    names = [name for name in names if name in ("float32", *place.wanted)]
    return [Trial(name, given.source, Step(name)) for name in names]


def by_litert(base: Tried, place: Workplace) -> list[Trial]:
    """The paths of LiteRT's quantizer, each with a row of its own, both calibrations where it has.

    ``base`` is float32, which they start from. ``uint8`` is int8 with other ends: it has one row,
    here only where TFLiteConverter, given a ``.tflite``, made none.
    """
    found = []
    there = ("float32",) if base.trial.lane == LITERT else ("float32", "uint8")
    for path in paths.ALL.values():
        without = path.needs_calibration and place.calibration is None
        if path.name in there or without or path.name not in place.wanted:
            continue
        source = Path(base.outcome)
        found.append(Trial(f"{path.name}_litert", source, Step(path.name)))
        if path.name in AVERAGED:
            step = Step(path.name, calibrate="moving_average")
            found.append(Trial(f"{path.name}_litert_average", source, step))
    return found


def float_file(given: Brought, folder: Path) -> Path:
    """The float32 ``.tflite`` of a model, before there are any samples."""
    place = Workplace.of(folder, given, Data(None, None))
    (one,) = convert([Trial("float32", given.source, Step("float32"))], place)
    return Path(one.outcome)


def base(tried: Sequence[Tried]) -> Tried:
    """float32, with which all are compared; raises its reason where there is none."""
    for one in tried:
        if one.outcome.path == "float32" and one.answers is not None:
            return one
    raise next(one for one in tried if one.outcome.path == "float32").outcome.reason


def made(trials: Sequence[Trial], place: Workplace) -> list[Tried]:
    """Make the files, and run each on the test samples."""
    return answer(convert(trials, place), place)


def convert(trials: Sequence[Trial], place: Workplace) -> list[Tried]:
    """Make all files: one child process for each source, one after the other."""
    made: dict[str, Outcome] = {}
    for source in dict.fromkeys(trial.source for trial in trials):
        steps = {trial.name: trial.step for trial in trials if trial.source == source}
        made |= every_path.convert(
            source,
            place.calibration and samples.singly(place.calibration),
            place.folder / "files",
            names=steps,
            signature=place.signature,
            keep=place.folder / "work" / "records" / place.kept,
        )
    return [Tried(trial, made[trial.name]) for trial in trials]


def answer(tried: Sequence[Tried], place: Workplace) -> list[Tried]:
    """Run each file on the test samples; one that does not survive them has failed."""
    names, arrays = tuple(place.test), place.test_files
    work = [
        jobs.Job(one.trial.name, f"{__name__}:answers", (Path(one.outcome), names, *arrays))
        for one in tried
        if one.ok and one.answers is None
    ]
    found = jobs.run(work, place.jobs, place.workers, place.scheduler)
    return [_answered(one, found.get(one.trial.name)) for one in tried]


def _answered(one: Tried, found) -> Tried:
    if found is None:
        return one
    return one.failed(found) if isinstance(found, LessonError) else replace(one, answers=found)


def answers(file: Path, names: Sequence[str], *arrays: Path) -> Rows:
    """In a child: the outputs (N, ...) by name for samples in ``.npy`` files, real numbers both."""
    sandbox.trust(file)  # this process is the child in which it may crash
    model = Model(file)
    rows = _mapped(names, arrays)
    count, one = samples.count(rows), sum(array[:1].nbytes for array in rows.values())
    size = max(1, _PIECE // max(1, one))
    size = -(-size // (model.fixed_batch or 1)) * (model.fixed_batch or 1)
    parts = [
        outcome.named(
            model.predict({n: a[start : start + size] for n, a in rows.items()}), model.signature
        )
        for start in range(0, count, size)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _mapped(names: Sequence[str], arrays: Sequence[Path]) -> Rows:
    return {n: np.load(a, mmap_mode="r") for n, a in zip(names, arrays, strict=True)}


def timed(tried: Sequence[Tried], place: Workplace) -> list[Tried]:
    """Time all files in turns, in one process, on the first test sample; microseconds.

    Each run measures anew: what was kept may be of another machine, or of a busy one.
    """
    ready = [one for one in tried if one.answers is not None]
    if not ready:
        return list(tried)
    job = jobs.Job(
        "latency",
        f"{__name__}:latencies",
        (tuple(place.test), *place.test_files, *(Path(one.outcome) for one in ready)),
    )
    with sandbox.temporary_folder() as folder:
        found = jobs.run([job], folder)["latency"]
    if isinstance(found, LessonError):
        return list(tried)
    known = dict(zip((one.trial.name for one in ready), found, strict=True))
    return [replace(one, latency_us=known.get(one.trial.name)) for one in tried]


def latencies(names: Sequence[str], *paths_of: Path) -> list[float]:
    """In a child: the median time of one sample on each file, in microseconds."""
    arrays, models = paths_of[: len(names)], paths_of[len(names) :]
    for file in models:
        sandbox.trust(file)
    opened = {str(number): Model(file) for number, file in enumerate(models)}
    first = {name: np.array(array[:1]) for name, array in _mapped(names, arrays).items()}
    start = time.perf_counter()
    benchmark.latency(opened, first, rounds=1, warmup=1)
    once = (time.perf_counter() - start) / 3  # it ran three times
    rounds = int(min(max(_TIMED / once, _ROUNDS[0]), _ROUNDS[1]))
    table = benchmark.latency(opened, first, rounds=rounds, warmup=2)
    return table["median_us"].tolist()


def on_micro(tried: Sequence[Tried], place: Workplace) -> list[Tried]:
    """Run each file in TFLite-Micro on some test samples, each in a child process."""
    if not micro.installed():
        return list(tried)
    ready = [one for one in tried if one.answers is not None]
    work = [
        jobs.Job(one.trial.name, f"{__name__}:micro_run",
                 (Path(one.outcome), tuple(place.test), *_test_files(one.trial, place)))
        for one in ready
    ]  # fmt: skip
    found = jobs.run(work, place.jobs, place.workers)
    known = {one.trial.name: _as_micro(one, found[one.trial.name]) for one in ready}
    return [replace(one, micro=known.get(one.trial.name)) for one in tried]


def _test_files(trial: Trial, place: Workplace) -> list[Path]:
    """Where a trial's test samples lie: some models take them normalized."""
    given = place.test_files
    normalized = place.folder / NORMALIZED / "test"
    return [normalized / file.name for file in given] if trial.outside else given


def _as_micro(one: Tried, found) -> Micro:
    if isinstance(found, ChildDied):
        return Micro(refusal=str(found).replace(one.trial.name, "there the file", 1))
    return Micro(refusal=str(found)) if isinstance(found, LessonError) else found


def micro_run(file: Path, names: Sequence[str], *arrays: Path) -> Micro:
    """In a child: what TFLite-Micro makes of a file, beside LiteRT."""
    for content, use in ((file, "xnnpack"), (edit.only_signature(file), "tflm")):
        sandbox.trust(content, use)  # this process is the child in which it may crash
    model = Model(file)
    some = {name: np.array(array[:_ON_MICRO]) for name, array in _mapped(names, arrays).items()}
    codes = model.quantize_input(some)
    try:
        arena, there = micro.arena(file), micro.run(file, codes)
    except ModelFileError as error:
        return Micro(refusal=str(error).removeprefix(micro.REFUSAL).partition(micro.RAW)[0])
    here, there = (outcome.named(side, model.signature) for side in (model.run(codes), there))
    differing = np.concatenate([(there[name] != array).ravel() for name, array in here.items()])
    most = max(np.abs(there[n].astype(np.float64) - a).max(initial=0) for n, a in here.items())
    real = [outcome.named(model.dequantize_output(side), model.signature) for side in (here, there)]
    decibels = min(signal_to_noise(array, real[1][name]) for name, array in real[0].items())
    return Micro(
        arena=arena,
        samples=samples.count(some),
        differing=float(differing.mean()),
        largest=float(most),
        sqnr_db=decibels,
    )


def judge(
    tried: Sequence[Tried], base: Tried, tasks: Sequence[Task], max_drop: float | None
) -> dict[str, Judgement]:
    """A judgement for each file beside ``base``, which is float32, by the row's name."""
    others = {one.trial.name: one.answers for one in tried if one.answers is not None}
    return verdict.judge(tasks, base.answers, others, max_drop=max_drop)


def row(one: Tried, base: Tried, judgements: Mapping[str, Judgement], folder: Path) -> Row:
    """What a report says of a trial."""
    trial = one.trial
    common = {"name": trial.name, "lane": trial.lane, "path": trial.step.path}
    common |= {"calibrate": trial.calibrate, "repair": trial.repair}
    if not one.ok:
        return Row(**common, failure=str(one.outcome.reason))
    file, judged = Path(one.outcome), judgements.get(trial.name)
    found = tables.audit(file)
    if one is base:
        some = next(iter(judgements.values()), None)
        findings = tuple(map(Finding.of_float, some.findings)) if some else ()
        decided = verdict.PASSES, "what all are compared with"
    else:
        findings = tuple(map(Finding.of, judged.findings)) if judged else ()
        decided = (judged.decision, judged.verdict) if judged else ("", "")
    timed = one.latency_us is not None and base.latency_us
    return Row(
        **common,
        file=os.path.relpath(file, folder),
        sha256=files.sha256(file),
        bytes=one.outcome.bytes,
        smaller=base.outcome.bytes / one.outcome.bytes,
        integer_only=found.integer_only,
        input_dtypes=dict(found.inputs),
        output_dtypes=dict(found.outputs),
        latency_us=one.latency_us,
        latency_ratio=one.latency_us / base.latency_us if timed else None,
        sqnr_db=_likeness(base.answers, one.answers),
        findings=findings,
        decision=decided[0],
        verdict=decided[1],
        remarks=one.outcome.remarks,
        micro=one.micro,
    )


def _likeness(expected: Arrays | None, found: Arrays | None) -> dict[str, float | None]:
    """The centred SQNR of each output of real numbers, in dB; None where it cannot be told."""
    if expected is None or found is None:
        return {}
    known = {}
    for name, array in expected.items():
        if array.dtype.kind != "f":
            continue
        other = found.get(name)
        comparable = other is not None and other.shape == array.shape and np.isfinite(other).all()
        known[name] = signal_to_noise(array, other, centred=True) if comparable else None
    return known
