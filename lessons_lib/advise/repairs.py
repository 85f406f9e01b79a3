"""What broke, why, and the try that mends it: each repair is a row of its own, with its cause.

A converter's refusal names an operator; its owner needs to know what to build otherwise. Each rule
looks at what was tried, and either has nothing to say or gives further trials.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
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
from lessons_lib.errors import ConversionError, LessonError
from lessons_lib.judge.measures import Task
from lessons_lib.judge.verdict import PASSES, Judgement
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


# ---- of the files: some blocks stay in float, or do with four bits


def of_the_files(
    tried: Sequence[Tried],
    base: Tried,
    tasks: Sequence[Task],
    place: Workplace,
    max_drop: float | None,
    budget: float,
    prefer: str = "size",
) -> list[Tried]:
    """Return what mixed precision gives, for ``budget`` seconds; see ``mixed_precision``.

    Where no file with int8 inside passes, some blocks stay in float. Where one does, and its like
    with four-bit weights does not, and size is preferred, some blocks get four bits.
    """
    judged = trials.judge(tried, base, tasks, max_drop)
    litert = {one.trial.step.path: one for one in tried if one.trial.lane == LITERT}
    sound = {n: name for n, one in litert.items() if (name := one.trial.name) in judged}
    if place.calibration is None or "int8_float_fallback" not in litert:
        return []
    passing = {
        one.trial.step.path
        for one in tried
        if one.trial.name in judged and judged[one.trial.name].decision == PASSES
    }
    where = {"budget": budget, "workers": place.workers, "scheduler": place.scheduler}
    folder = place.folder / "work" / "mixed" / place.kept
    settings = (place, base, tasks, max_drop, folder, where)
    if not any(path.startswith("int8") for path in passing):
        seen = f"no file with int8 inside passes; {_worst(sound, judged)}"
        return _searched(mixed_precision.keep_in_float, "int8_float_fallback", seen, settings)
    if prefer == "size" and "int8" in passing and "int8x4" in sound and "int8x4" not in passing:
        seen = f"{sound['int8x4']}: {judged[sound['int8x4']].verdict}"
        return _searched(mixed_precision.to_four_bits, "int8", seen, settings)
    return []


def _worst(sound: Mapping[str, str], judged: Mapping[str, Judgement]) -> str:
    known = [name for path, name in sound.items() if path.startswith("int8")]
    return f"{known[0]}: {judged[known[0]].verdict}" if known else "each of them fails altogether"


def _searched(search: Callable, path: str, seen: str, settings: tuple) -> list[Tried]:
    """The best file of a search, or a row that says why there is none."""
    place, base, tasks, max_drop, folder, where = settings
    source = Path(base.outcome)

    def passes(file: Path) -> bool:
        (one,) = trials.answer([_as_tried(file, source, Step(path), None)], place)
        judged = trials.judge([one], base, tasks, max_drop)
        return one.ok and judged[one.trial.name].decision == PASSES

    try:
        found = search(source, path, place.calibration, passes, folder / path, **where)
        best = found.found or next((one for one in reversed(found.steps) if one.file), None)
        reason = ConversionError(f"mixed precision was tried: {found.why} (lesson 13)")
    except LessonError as error:
        best, reason = None, error
    if best is None:
        trial = Trial(f"{path}_litert_mixed", source, Step(path), Repair(seen, str(reason), ""))
        return [Tried(trial, Outcome(path, reason=reason))]
    layers = ", ".join(dict.fromkeys(block.layer for block in best.blocks))
    kept = f"{len(best.blocks)} blocks are {found.recipe}: {layers}"
    name = f"{path}_litert_mixed_{len(best.blocks)}"
    file = files.write_atomic(place.folder / "files" / f"{name}.tflite", best.file.read_bytes())
    step = Step(path, best.rules)
    return trials.answer([_as_tried(file, source, step, Repair(seen, found.why, kept))], place)


def _as_tried(file: Path, source: Path, step: Step, repair: Repair | None) -> Tried:
    return Tried(Trial(file.stem, source, step, repair), Outcome(step.path, file))


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
