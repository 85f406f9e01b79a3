"""What broke, why, and the try that mends it: each repair is a row of its own, with its cause.

A converter's refusal names an operator; its owner needs to know what to build otherwise. Each rule
looks at what was tried, and either has nothing to say or gives further trials.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lessons_lib.advise import brought, mixed_precision, trials
from lessons_lib.advise.brought import Brought
from lessons_lib.advise.report import Repair
from lessons_lib.advise.trials import CONVERTER, LITERT, Trial, Tried, Workplace
from lessons_lib.convert import paths
from lessons_lib.convert.every_path import Step
from lessons_lib.convert.outcome import Outcome
from lessons_lib.errors import LessonError
from lessons_lib.judge.measures import Task
from lessons_lib.judge.verdict import PASSES
from lessons_lib.models import sources, variants
from lessons_lib.system import files, sandbox
from lessons_lib.tflite import reader, tables

_LARGEST_HALF = 65_504.0  # of float16
_SMALLEST_HALF = 2.0**-24


# ---- of the source: the model is built otherwise


def of_the_source(tried: Sequence[Tried], given: Brought, place: Workplace) -> list[Tried]:
    """Return the trials of other builds of the model, where the model as it is was refused.

    A Keras file is needed: a batch of one, where float32 itself failed; recurrent layers unrolled,
    where a path with calibration did.
    """
    if given.keras is None:
        return []
    found: list[Tried] = []
    failed = {one.trial.step.path: one for one in tried if not one.ok}
    if "float32" in failed:
        found += _built("batch_1", failed["float32"], given, place)
    calibrated = [one for name, one in failed.items() if paths.get(name).needs_calibration]
    loops = [one for one in [*failed.values(), *found] if _blames_a_loop(one)]
    if loops and (calibrated or "float32" in failed):
        found += _built("unrolled", loops[0], given, place)
    return found


def _blames_a_loop(one: Tried) -> bool:
    words = str(one.outcome.reason)
    return not one.ok and any(w in words for w in ("unroll", "TensorList", "While", "while_cond"))


_WORDS = {
    "batch_1": ("the batch is open, and the converter cannot lay out what a loop keeps",
                "the model was saved again with a batch of one"),
    "unrolled": ("a recurrent layer is a loop, and no range is recorded inside of it",
                 "the recurrent layers were built with unroll=True, the weights copied"),
}  # fmt: skip


def _built(variant: str, seen: Tried, given: Brought, place: Workplace) -> list[Tried]:
    """All paths of another build; nothing where it cannot be built."""
    folder = place.folder / "work" / "models" / f"{given.sha256[:16]}_{variant}"
    try:
        if not (folder / "saved_model.pb").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            sandbox.call(f"{__name__}:_build", variant, given.keras, given.code, folder)
    except LessonError:
        return []
    cause, done = _WORDS[variant]
    repair = Repair(f"{seen.trial.name}: {seen.outcome.reason}", cause, done)
    names = [one for one in paths.PATHS if one in ("float32", *place.wanted)]
    made = [Trial(f"{name}_{variant}", folder, Step(name), repair) for name in names]
    return trials.made(made, place)


def _build(variant: str, file: Path, code: Path | None, folder: Path) -> None:
    """In a child: save the variant of a Keras model."""
    model = brought.loaded(file, code)
    if variant == "unrolled":
        if not variants.has_loops(model):
            raise LessonError("the model has no recurrent layer")
        sources.save(variants.unrolled(model), folder)
    else:
        sources.save(model, folder, batch_size=1)


# ---- of the files: some blocks stay in float


def of_the_files(
    tried: Sequence[Tried],
    base: Tried,
    tasks: Sequence[Task],
    place: Workplace,
    max_drop: float | None,
    budget: float,
    on_done: Callable[..., None] = lambda *_: None,
) -> list[Tried]:
    """Return mixed precision, where no file with int8 inside passes; see ``mixed_precision``."""
    judged = trials.judge(tried, base, tasks, max_drop)
    integers = [one for one in tried if one.trial.step.path.startswith("int8")]
    if place.calibration is None or not any(one.trial.lane == LITERT for one in integers):
        return []
    if any(judged[n].decision == PASSES for one in integers if (n := one.trial.name) in judged):
        return []
    step = "int8_float_fallback"
    source, folder = Path(base.outcome), place.folder / "work" / "mixed"

    def passes(file: Path) -> bool:
        one = _as_tried(file, source, step, (), None)
        (one,) = trials.answer([one], place)
        if not one.ok:
            return False
        return trials.judge([one], base, tasks, max_drop)[one.trial.name].decision == PASSES

    try:
        found = mixed_precision.keep_in_float(
            source, step, place.calibration, passes, folder, budget=budget,
            workers=place.workers, scheduler=place.scheduler,
        )  # fmt: skip
    except LessonError:
        return []
    worst = next((one for one in integers if one.ok), None)
    if not found.steps or worst is None:
        return []
    return trials.answer(list(_mixed(found, source, step, worst, place)), place)


def _mixed(found, source: Path, step: str, worst: Tried, place: Workplace) -> Iterator[Tried]:
    """The last file of a search, the one that passes where one does."""
    last = found.found or next((one for one in reversed(found.steps) if one.file), None)
    if last is None:
        return
    layers = ", ".join(block.layer for block in last.blocks)
    repair = Repair(
        f"{worst.trial.name} does not pass",
        f"its loss comes from {layers}: {found.why}",
        f"{len(last.blocks)} blocks stay in float: {layers}",
    )
    name = f"int8_litert_mixed_{len(last.blocks)}"
    file = files.write_atomic(place.folder / "files" / f"{name}.tflite", last.file.read_bytes())
    yield _as_tried(file, source, step, last.rules, repair)


def _as_tried(file: Path, source: Path, step: str, rules, repair: Repair | None) -> Tried:
    return Tried(Trial(file.stem, source, Step(step, rules), repair), Outcome(step, file))


# ---- what is said of a file that cannot be mended


def explained(tried: Sequence[Tried], base: Tried) -> list[Tried]:
    """Return the same, with the tensor named where float16 cannot hold a constant."""
    odd = _beyond_halves(Path(base.outcome))
    if not odd:
        return list(tried)
    return [
        replace(one, outcome=replace(one.outcome, remarks=(*one.outcome.remarks, *odd)))
        if one.ok and one.trial.step.path == "float16" and one.trial.lane == CONVERTER
        else one
        for one in tried
    ]


def _beyond_halves(file: Path) -> list[str]:
    """Constants of the float file that float16 makes inf of, or zero."""
    model, found = reader.read(file), []
    for row in tables.tensors(file).itertuples():
        if row.dtype != "FLOAT32" or not row.bytes:
            continue
        values = np.abs(
            reader.stored_value(model, model.subgraphs[row.subgraph].tensors[row.index])
        )
        if values.max() > _LARGEST_HALF:
            found.append(
                f"the {row.role} {row.name} holds {values.max():.4g}, and float16 ends at 65,504: "
                "rescale the target, or take LiteRT's float16, which leaves biases as they are"
            )
        elif 0 < values.max() < _SMALLEST_HALF:
            found.append(
                f"the {row.role} {row.name} holds nothing above {values.max():.2g}, which float16 "
                "makes zero of: such as an epsilon in front of a division"
            )
    return found
