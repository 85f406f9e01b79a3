"""What a run leaves in its folder: the report, its page, the recommended file and what runs it."""

import contextlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lessons_lib.advise import bundle, close_up, page, recommendation, report
from lessons_lib.advise.brought import Brought
from lessons_lib.advise.guards import NOTE, WARNING, Guard
from lessons_lib.advise.report import DataFacts, End, Layers, ModelFacts, Report, Row, TaskFacts
from lessons_lib.advise.trials import Tried
from lessons_lib.errors import InputError, LessonError
from lessons_lib.judge.measures import Task
from lessons_lib.models.own_data import Data
from lessons_lib.system import files, sandbox
from lessons_lib.tflite import samples, tables

LOOKED_INTO = 8  # samples whose layers are compared
RECOMMENDED = "recommended.tflite"


_PAGE = "report.html"
_REPORT = "report.json"
_SOURCE = Path("work", "source.txt")  # the model's own path, where it is a file or a folder
_OWN = (_PAGE, _REPORT, RECOMMENDED, *bundle.NAMES, "files", "work")


def default_folder(root: Path, model: Any) -> Path:
    """Return the folder in ``root`` that is called as the model's file is, or as the model itself.

    Raises InputError where the results of a namesake lie there, which would be replaced.
    """
    if not isinstance(model, str | os.PathLike):
        return root / str(getattr(model, "name", type(model).__name__))
    here = Path(model).absolute()
    folder = root / here.stem
    with contextlib.suppress(OSError):
        if (other := (folder / _SOURCE).read_text("utf-8")) != str(here):
            raise InputError(f"{folder} has the results of {other}, not of {here}: {_ELSEWHERE}")
    return folder


@contextlib.contextmanager
def reserved(folder: Path, *sources: Any) -> Iterator[None]:
    """Keep a folder for one run; what an earlier one wrote there may be replaced, nothing else.

    Raises InputError where it has files of those names from somebody else, where another run is at
    work in it, where it lies inside one of the ``sources``, which it would change, and where no
    folder can be made; StorageError when ``work`` cannot be written.
    """
    for source in sources:
        inside = isinstance(source, str | os.PathLike) and Path(source).resolve()
        if inside and folder.resolve().is_relative_to(inside):
            raise InputError(f"{folder} lies inside {source}, which it would change: {_ELSEWHERE}")
    mark = folder / "work" / "lessons-quantize.lock"
    foreign = [name for name in _OWN if (folder / name).exists()]
    if foreign and not mark.exists() and not _has_report(folder):
        raise InputError(
            f"{folder} has files that no run wrote: {', '.join(foreign)}. They would be replaced: "
            f"{_ELSEWHERE}"
        )
    _require_writable(folder)
    with files.locked(mark) as alone:
        if not alone:
            raise InputError(f"another run is at work in {folder}: wait for it, or {_ELSEWHERE}")
        if sources and isinstance(sources[0], str | os.PathLike):
            files.write_atomic(folder / _SOURCE, str(Path(sources[0]).absolute()))
        yield


_ELSEWHERE = "give another folder, --out DIR"


def _has_report(folder: Path) -> bool:
    """Whether a run wrote here, though its work folder is gone."""
    try:
        report.read(folder / _REPORT)
    except LessonError:
        return False
    return True


def _require_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError("it is read-only")
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"out={folder}: no folder to write to ({reason}); name another") from error


def gathered(
    given: Brought,
    data: Data,
    tried: Sequence[Tried],
    rows: Sequence[Row],
    base: Tried,
    tasks: Sequence[Task],
    said: Sequence[Guard],
    settings: Mapping[str, Any],
) -> Report:
    """Return the report of a run: its rows, the picks among them, and a look into one file."""
    choice = {key: settings[key] for key in ("target", "prefer", "max_bytes")}
    picks = recommendation.choose(rows, **choice)
    shown = _looked_into(rows, picks)
    by_name = {one.trial.name: one for one in tried}
    layers, tensor = _layers(shown, base, by_name, data)
    if recommendation.target_named(settings["target"]).micro:
        said = [*said, *_of_micro(rows, settings["target"])]
    looked = by_name.get(shown)
    return Report(
        versions=report.versions(),
        machine=report.machine(),
        model=_model_facts(given, Path(base.outcome)),
        data=_data_facts(data, settings["seed"]),
        tasks=tuple(map(TaskFacts.of, tasks)),
        guards=tuple(said),
        settings=dict(settings),
        rows=tuple(rows),
        picks=picks,
        next_step=recommendation.next_step(rows, picks),
        layers=layers,
        tensor=tensor,
        bytes=tuple(close_up.budget(n, by_name[n].outcome) for n in _budgeted(base, looked)),
        flipped=_flipped(shown, tasks, base, looked, data),
    )


def _of_micro(rows: Sequence[Row], target: str) -> list[Guard]:
    """What a reader must know of a microcontroller's numbers."""
    if any(row.micro for row in rows):
        words = (
            "the arena is the RAM that TFLite-Micro takes for one call, measured on this computer, "
            "whose pointers are longer than the chip's; the file itself lies in flash, as do the "
            "kernels (lesson 09)"
        )
        if target == "ethos-u":
            words += (
                ". Arm's compiler, Vela, takes most operators out of a file first: the arenas are "
                "those of the file before it, and what TFLite-Micro refuses is not recommended, "
                "though Vela may take the operator at fault"
            )
    else:
        words = (
            "TFLite-Micro was not tried: its package is built for Linux on x86-64 only. Integers "
            "alone do not prove that the chip's runtime has all operators of a file (lesson 09)"
        )
    return [Guard(NOTE, words)]


def _looked_into(rows: Sequence[Row], picks) -> str | None:
    """The recommended file, or, where that is float32, the quantized one that is farthest off."""
    chosen = picks["recommended"].row
    made = [row for row in rows if not row.failure and row.path != "float32"]
    if chosen in {row.name for row in made}:
        return chosen
    integers = [row for row in made if row.path.startswith("int8")] or made
    return max(integers, key=lambda r: -(r.lowest_db or 0.0)).name if integers else None


def _budgeted(base: Tried, looked: Tried | None) -> list[str]:
    return [base.trial.name, *([looked.trial.name] if looked else [])]


def _layers(shown: str | None, base: Tried, tried: Mapping[str, Tried], data: Data):
    """The layer errors, found in a child process: all tensors of some samples lie in memory."""
    if shown is None or data.test is None:
        return None, None
    inputs = {name: array[:LOOKED_INTO].copy() for name, array in data.test.items()}
    arguments = shown, os.fspath(base.outcome), os.fspath(tried[shown].outcome), inputs
    try:
        return sandbox.call("lessons_lib.advise.close_up:layers", *arguments, imported="numpy")
    except LessonError as error:  # files whose operators do not pair, loops, or too large ones
        return Layers(shown, (), str(error)), None


def _flipped(shown, tasks, base: Tried, looked: Tried | None, data: Data):
    if looked is None or looked.answers is None or base.answers is None:
        return None
    arguments = base.answers, looked.answers, data.test, data.classes
    found = (close_up.flipped(shown, task, *arguments) for task in tasks)
    return next((one for one in found if one is not None), None)


def _model_facts(given: Brought, float_file: Path) -> ModelFacts:
    table = tables.multiply_accumulates(float_file)
    uncounted = table.loc[table["macs"].isna(), "operator"]
    stored = tables.tensors(float_file).drop_duplicates("buffer")
    weights = stored[stored["role"].isin(["weight", "bias", "constant"]) & (stored["bytes"] > 0)]
    weights = weights[weights["dtype"].str.startswith("FLOAT")]
    return ModelFacts(
        source=given.name,
        sha256=given.sha256,
        signature=given.signature.key,
        inputs=tuple(map(End.of, given.signature.inputs.values())),
        outputs=tuple(map(End.of, given.signature.outputs.values())),
        parameters=sum(math.prod(shape) for shape in weights["shape"]),
        multiply_accumulates=int(table["macs"].sum()) if len(table) else None,
        not_counted=tuple(dict.fromkeys(uncounted)),
    )


def _data_facts(data: Data, seed: int) -> DataFacts | None:
    if not data.sha256:
        return None
    return DataFacts(
        source=data.source,
        sha256=data.sha256,
        calibration=samples.count(data.calibration) if data.calibration else 0,
        test=samples.count(data.test) if data.test else 0,
        targets=data.targets is not None,
        split=data.split,
        seed=seed,
        notes=data.notes,
    )


def write(found: Report, folder: Path, tried: Sequence[Tried], data: Data) -> Report:
    """Write everything, the report last, so that where it is all else is too; return the report.

    Of an earlier run's first the report goes, then what else it left. Files in ``files`` stay,
    also those that no row names: another run may take them up.
    """
    for name in (_REPORT, _PAGE, RECOMMENDED, *bundle.NAMES):
        (folder / name).unlink(missing_ok=True)
    row = found.recommended
    if row is not None:
        files.write_atomic(folder / RECOMMENDED, (folder / row.file).read_bytes())
        bundle.write(found, folder, next(one for one in tried if one.trial.name == row.name), data)
    _write_report(found, folder)
    # What the test says, or how long it takes, costs nobody the report.
    if row is not None and (said := bundle.fault(folder)):
        found = replace(found, guards=(*found.guards, Guard(WARNING, said)))
        _write_report(found, folder)
    return found


def _write_report(found: Report, folder: Path) -> None:
    files.write_atomic(folder / _PAGE, page.html(found))
    report.write(found, folder / _REPORT)
