"""What broke, why, and the try that mends it: each repair is a row of its own, with its cause.

A converter's refusal names an operator; its owner needs to know what to build otherwise. Each rule
looks at what was tried, and either has nothing to say or gives further trials.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lessons_lib.advise import brought, jobs, mixed_precision, trials
from lessons_lib.advise.brought import Brought
from lessons_lib.advise.report import Repair
from lessons_lib.advise.trials import LITERT, Trial, Tried, Workplace
from lessons_lib.convert import paths
from lessons_lib.convert.by_litert import Rule
from lessons_lib.convert.every_path import Step
from lessons_lib.convert.outcome import Outcome
from lessons_lib.errors import ConversionError, LessonError
from lessons_lib.judge.measures import Task
from lessons_lib.judge.verdict import PASSES, Judgement
from lessons_lib.models import sample_files, sources, variants
from lessons_lib.models.variants import Outside
from lessons_lib.system import files
from lessons_lib.tflite.samples import Rows

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
        found += _built("batch_1", _said(failed["float32"]), given, place)
    calibrated = [one for name, one in failed.items() if paths.get(name).needs_calibration]
    loops = [one for one in [*failed.values(), *found] if _blames_a_loop(one)]
    if loops and (calibrated or "float32" in failed):
        found += _built("unrolled", _said(loops[0]), given, place)
    return found


def _said(one: Tried) -> str:
    return f"there is no {one.trial.name}, its row says why"


def _blames_a_loop(one: Tried) -> bool:
    words = str(one.outcome.reason)
    return not one.ok and any(w in words for w in ("unroll", "TensorList", "While", "while_cond"))


_WORDS = {
    "batch_1": ("the batch is open, and a loop, or answers that depend on the whole call, need it "
                "fixed",
                "the model was saved again with a batch of one"),
    "unrolled": ("a recurrent layer is a loop, and no range is recorded inside of it",
                 "the recurrent layers were built with unroll=True and a batch of one, "
                 "the weights copied"),
    "normalized_outside": ("one scale serves the features of all sizes that the model normalizes",
                           "the Normalization layer was taken out; run.py does it in front"),
}  # fmt: skip


def _built(variant: str, seen: str, given: Brought, place: Workplace) -> list[Tried]:
    """All paths of another build; nothing where it cannot be built."""
    folder = place.folder / "work" / "models" / f"{jobs.named(given.sha256)}_{variant}"
    work = (variant, given.keras, given.code, os.fspath(folder))
    outside = jobs.run([jobs.Job(variant, f"{__name__}:_build", work)], place.jobs)[variant]
    if isinstance(outside, LessonError):
        return []
    cause, done = _WORDS[variant]
    repair = Repair(seen, cause, done)
    names = [one for one in paths.PATHS if one in place.wanted and _serves(variant, one)]
    made = [Trial(f"{name}_{variant}", folder, Step(name), repair, outside) for name in names]
    return trials.made(made, _normalized(place, outside) if outside else place)


def _serves(variant: str, path: str) -> bool:
    """Whether a path may be mended so; float32 is always there to compare with."""
    return variant != "normalized_outside" or paths.get(path).needs_calibration


def _build(variant: str, file: Path, code: Path | None, folder: str) -> Outside:
    """In a child: save the variant of a Keras model."""
    model, outside = brought.loaded(file, code), {}
    if variant == "unrolled":
        if not variants.has_loops(model):
            raise ConversionError("the model has no recurrent layer")
        model = variants.unrolled(model)
    if variant == "normalized_outside":
        model, outside = variants.without_normalization(model)
    if not Path(folder, "saved_model.pb").is_file():
        # Of an open batch the first state's shape is computed: TFLite-Micro cannot do that.
        one = variant in ("batch_1", "unrolled")
        sources.save(model, folder, batch_size=1 if one else None)
    return outside


def _normalized(place: Workplace, outside: Outside) -> Workplace:
    """The same place with samples that are normalized already, in files of their own."""

    def written(rows: Rows, role: str) -> Rows:
        blocks = (
            block
            | {
                n: ((block[n] - mean) / deviation).astype(block[n].dtype)
                for n, (mean, deviation) in outside.items()
            }
            for block in sample_files.blocks(rows)
        )
        folder = place.folder / trials.NORMALIZED / role
        return {name: one.opened() for name, one in sample_files.written(blocks, folder).items()}

    rows = {role: getattr(place, role) for role in ("calibration", "test")}
    rows = {role: written(found, role) if found else None for role, found in rows.items()}
    return replace(place, **rows, kept=f"{place.kept}_normalized")


# ---- of the files: some blocks stay in float, or do with four bits


def of_the_files(
    tried: Sequence[Tried],
    base: Tried,
    tasks: Sequence[Task],
    given: Brought,
    place: Workplace,
    max_drop: float | None,
    budget: float,
    prefer: str = "size",
) -> list[Tried]:
    """Return what mends files that fail; nothing is begun after ``budget`` seconds, 0 is nothing.

    Where no file with int8 inside passes (of int16x8, if no other was asked for), the normalization
    is taken out of the model, and some blocks of ``int8_float_fallback`` stay in float. Where one
    does, and its like with four-bit weights does not, and size is preferred, some blocks get four
    bits. Where int16x8 has no file, some operators stay in float.
    """
    if place.calibration is None or not budget:
        return []
    until = time.monotonic() + budget
    found = _int16_with_floats(tried, base, place)
    judged = trials.judge(tried, base, tasks, max_drop)
    litert = {one.trial.step.path: one for one in tried if one.trial.lane == LITERT}
    sound = {n: name for n, one in litert.items() if (name := one.trial.name) in judged}
    passing = {
        one.trial.step.path
        for one in tried
        if one.trial.name in judged and judged[one.trial.name].decision == PASSES
    }
    folder = place.folder / "work" / "mixed" / place.kept
    settings = (place, base, tasks, max_drop, folder, until)
    asked = [name for name in place.wanted if paths.get(name).needs_calibration]
    narrow = [name for name in asked if name != "int16x8"] or asked
    if narrow and passing.isdisjoint(narrow):
        known = [one.trial.name for one in tried if one.trial.step.path in narrow]
        inside = "int16x8" if narrow == ["int16x8"] else "int8"
        seen = f"no file with {inside} inside passes; {_nearest(known, judged)}"
        if given.keras is not None and time.monotonic() < until:
            found += _built("normalized_outside", seen, given, place)
        if "int8_float_fallback" in litert:
            search = mixed_precision.keep_in_float
            found += _searched(search, "int8_float_fallback", seen, settings)
    elif prefer == "size" and "int8" in passing and "int8x4" in {*sound} - passing:
        seen = f"{sound['int8x4']}: {judged[sound['int8x4']].verdict}"
        found += _searched(mixed_precision.to_four_bits, "int8", seen, settings)
    return found


def _int16_with_floats(tried: Sequence[Tried], base: Tried, place: Workplace) -> list[Tried]:
    """16-bit activations where there is a kernel, floats elsewhere: of LiteRT's quantizer."""
    those = [one for one in tried if one.trial.step.path == "int16x8"]
    if not those or any(one.ok for one in those):
        return []
    cause = "an operator has no kernel for 16-bit activations"
    repair = Repair(_said(those[0]), cause, "the operators without one stay in float")
    step = Step("int8_float_fallback", (Rule(".*", "int16x8"),))
    name = "int16x8_litert_float_fallback"
    return trials.made([Trial(name, Path(base.outcome), step, repair)], place)


def _nearest(names: Sequence[str], judged: Mapping[str, Judgement]) -> str:
    """The one that lost the least, and how much."""
    known = [name for name in names if name in judged]
    best = min(known, key=lambda name: judged[name].worst.badness, default=None)
    return f"{best}: {judged[best].verdict}" if known else "each of them fails altogether"


def _searched(search: Callable, path: str, seen: str, settings: tuple) -> list[Tried]:
    """The best file of a search, or a row that says why there is none."""
    place, base, tasks, max_drop, folder, until = settings
    source = Path(base.outcome)

    def passes(file: Path) -> bool:
        (one,) = trials.answer([_as_tried(file, source, Step(path), None)], place)
        judged = trials.judge([one], base, tasks, max_drop)
        return one.ok and judged[one.trial.name].decision == PASSES

    where = {"workers": place.workers, "scheduler": place.scheduler}
    try:
        if (left := until - time.monotonic()) <= 0:
            raise ConversionError("the budget was used up before mixed precision was tried")
        where["budget"] = round(left, 1)
        found = search(source, path, place.calibration, passes, folder / path, **where)
        best = found.found or next((one for one in reversed(found.steps) if one.file), None)
        reason = ConversionError(f"mixed precision was tried: {found.why} (lesson 13)")
    except LessonError as error:
        best, reason = None, error
    if best is None:
        trial = Trial(f"{path}_litert_mixed", source, Step(path), Repair(seen, str(reason), ""))
        return [Tried(trial, Outcome(path, reason=reason))]
    layers = ", ".join(dict.fromkeys(block.layer for block in best.blocks))
    few = "1 block is" if len(best.blocks) == 1 else f"{len(best.blocks)} blocks are"
    kept = f"{few} {found.recipe}: {layers}"
    name = f"{path}_litert_mixed_{len(best.blocks)}"
    file = files.write_atomic(place.folder / "files" / f"{name}.tflite", best.file.read_bytes())
    step = Step(path, best.rules)
    return trials.answer([_as_tried(file, source, step, Repair(seen, found.why, kept))], place)


def _as_tried(file: Path, source: Path, step: Step, repair: Repair | None) -> Tried:
    return Tried(Trial(file.stem, source, step, repair), Outcome(step.path, file))
