"""The whole job for any model: every path tried, judged on your samples, one file recommended.

    report = quantize_model("model.keras", "samples.npz")
    print(report.headline)

Read from top to bottom: the model is brought, the samples are read, the float model is looked at;
every path is tried in both lanes, what breaks is mended, each file is judged; one is recommended,
and all that was found is written down.
"""

import dataclasses
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from lessons_lib.advise import (
    brought,
    diagnosis,
    evidence,
    guards,
    outputs,
    recommendation,
    repairs,
    trials,
)
from lessons_lib.advise import jobs as workers
from lessons_lib.advise.report import Report
from lessons_lib.advise.trials import Workplace
from lessons_lib.errors import InputError
from lessons_lib.judge import tasks, verdict
from lessons_lib.judge.measures import Metric
from lessons_lib.system import files
from lessons_lib.tflite.signature import Signature


def quantize_model(
    model: Any,
    data: Any = None,
    *,
    task: str | dict[str, str] = "auto",
    metric: Metric | None = None,
    max_drop: float | str | None = None,
    target: str = "cpu",
    prefer: str = "size",
    max_bytes: int | None = None,
    paths: Iterable[str] | None = None,
    tune: bool = True,
    budget: float = 120.0,
    out: str | os.PathLike | None = None,
    seed: int = 0,
    signature: str | None = None,
    code: str | os.PathLike | None = None,
    calibration: Any = None,
    test: Any = None,
    column: str | None = None,
    scale: str | None = None,
    jobs: int = 1,
    scheduler: str | None = None,
    earlier: Report | None = None,
    command: str | None = None,
    on_progress: Callable[[str], None] = lambda words: None,
) -> Report:
    """Send a model down every path, judge each file on your samples, and write down what was found.

    ``model``: see ``brought.bring`` (``signature``, ``code``). ``data``, or ``calibration`` and
    ``test``: see ``own_data.read`` (``column`` of targets, ``scale`` of pixels, ``seed``); without
    any, the paths that need no samples. ``task`` and ``metric``: see ``tasks.recognise``.
    ``max_drop``: see ``verdict.judge``. ``target``, ``prefer``, ``max_bytes``: see
    ``recommendation.choose``. ``paths``: the names of those to try. ``tune``: mend what fails; of
    the files nothing is mended that would begin after ``budget`` seconds, 0 is nothing. ``out``:
    the folder for all files, by default ``artifacts/quantized/NAME``; a second call goes on from
    what is there, but for a ``FILE.py`` or an object, which are another model each time. ``jobs``:
    processes at work; ``scheduler``: a Dask cluster's. ``earlier``: a report that this one will be
    compared with. ``command``: what was typed, for the report. Raises InputError, ModelFileError
    and StorageError for what is wrong with an argument, before anything runs, and Stopped where the
    float model answers no better than by guessing. Defined in lesson 15.
    """
    begun = time.monotonic()
    max_drop = verdict.share(max_drop)
    wanted = recommendation.require(target, prefer, max_bytes, max_drop, paths, budget)
    workers.require(jobs, scheduler)
    kind = None if task == "auto" else task
    tasks.require_kinds(kind)
    out = outputs.default_folder(files.artifacts("quantized"), model) if out is None else out
    folder = Path(out).absolute()

    with outputs.reserved(folder, model, data, calibration, test):
        on_progress("reading the model")
        given = brought.bring(model, folder / "work", key=signature, code=code)
        if earlier is not None:
            _require_same_ends(earlier, given.signature)
        on_progress("reading the samples")
        data, said = evidence.read(
            given.signature, folder / "work", lambda: trials.float_file(given, folder), data=data,
            calibration=calibration, test=test, task=kind, metric=metric, target=column,
            scale=scale, seed=seed,
        )  # fmt: skip
        said += guards.of_samples(data.calibration, data.test)
        place = Workplace.of(folder, given, data, wanted, jobs, scheduler)

        on_progress("converting it to TensorFlow Lite")
        tried = trials.made(trials.by_converter(given, place), place)
        if tune and not all(one.ok for one in tried):
            on_progress("building it otherwise, where a path failed")
            tried += repairs.of_the_source(tried, given, place)
        base = trials.base(tried)
        judged_by = tasks.recognise(
            base.answers, data.targets, inputs=data.test, task=kind, metric=metric or data.metric,
            lower_is_better=data.lower_is_better,
        )  # fmt: skip
        about = guards.of_model(given, base.outcome)
        said += guards.require(about + guards.of_float(judged_by, base.answers, data.classes))

        on_progress("quantizing with LiteRT's quantizer")
        tried += trials.made(trials.by_litert(base, place), place)
        if tune:
            on_progress(f"mending what failed, {budget:g} s at most")
            tried += repairs.of_the_files(
                tried, base, judged_by, given, place, max_drop, budget, prefer
            )
        on_progress("timing the files")
        tried = trials.timed(tried, place)
        if recommendation.target_named(target).micro:
            on_progress("running the files in TFLite-Micro")
            tried = trials.on_micro(tried, place)
        base = trials.base(tried)

        judgements = trials.judge(tried, base, judged_by, max_drop)
        rows = [trials.row(one, base, judgements, folder) for one in tried]
        rows = diagnosis.explained(rows, base.outcome)
        settings = {
            "target": target, "prefer": prefer, "max_drop": max_drop, "max_bytes": max_bytes,
            "paths": wanted, "tune": tune, "budget": budget, "task": task, "seed": seed,
        }  # fmt: skip
        on_progress("looking into one file, writing the report")
        found = outputs.gathered(given, data, tried, rows, base, judged_by, said, settings)
        typed = (command,) if command is not None else ()
        found = dataclasses.replace(found, commands=typed, seconds=time.monotonic() - begun)
        return outputs.write(found, folder, tried, data)


def _require_same_ends(earlier: Report, ends: Signature) -> None:
    """A model that was trained again may be compared with its report, another one not."""
    for side, known in ((ends.inputs, earlier.model.inputs), (ends.outputs, earlier.model.outputs)):
        if side.keys() != {end.name for end in known}:
            raise InputError(
                f"the earlier report is of another model, {earlier.model.source}: it has "
                f"{', '.join(end.name for end in known)} where this one has {', '.join(side)}"
            )
