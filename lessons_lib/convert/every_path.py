"""One model down many paths, each by itself: a path that fails takes no other with it."""

import errno
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from lessons_lib.convert import by_litert, by_tensorflow, calibration, outcome, paths
from lessons_lib.convert.outcome import Outcome
from lessons_lib.errors import (
    CalibrationError,
    ChildDied,
    ConversionError,
    InputError,
    LessonError,
    StorageError,
    first_line,
)
from lessons_lib.models import sources
from lessons_lib.system import files, sandbox
from lessons_lib.system.sandbox import ChildSlow

_IMPORTED = {"litert": "litert_quantizer.quantizer", "tensorflow": "tensorflow"}
_OPERATORS = "operators"  # a file in which a child leaves what it converts, should it die


@dataclass(frozen=True)
class Step:
    """A path, and what LiteRT's quantizer is told beside it; see ``by_litert.quantize``."""

    path: str
    rules: tuple[by_litert.Rule, ...] = ()
    calibrate: str = "extremes"
    weight_range: str = "min_max"

    @property
    def options(self) -> dict[str, Any]:
        """What differs from the converter's own way."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)[1:]
            if getattr(self, field.name) != field.default
        }


def convert(
    source: Any,
    representative_dataset: calibration.RepresentativeDataset | None,
    directory: str | os.PathLike,
    *,
    names: Iterable[str] | Mapping[str, Step] | None = None,
    value_range: calibration.Ranges = None,
    signature: str | None = None,
    keep: str | os.PathLike | None = None,
) -> dict[str, Outcome]:
    """Send a float model down the paths ``names`` and return what came of each, by its name.

    ``source`` is a SavedModel's folder, a ``.keras`` or ``.h5`` file or a Keras model, which
    TFLiteConverter takes down the seven paths, or a float ``.tflite``, which LiteRT's quantizer
    takes down all that it has. Everything runs in a child process, which may crash or need much
    memory; the caller needs no TensorFlow. The files are ``directory/NAME.tflite``; of a path
    without a file no older one is left. Samples are streamed, once for all paths. With several ways
    along one path ``names`` is a dictionary of them: ``{"int8_average": Step("int8",
    calibrate="moving_average")}``. What came of each step is written into the folder ``keep``, and
    taken from there by a later call, also where this one was interrupted; that its source and
    samples are the same only the caller knows. Raises InputError for an unknown path and for a Step
    that the lane does not have, ModelFileError for what is no model, and StorageError when
    ``directory`` cannot be written; all else is the reason of an Outcome. Defined in lesson 08.
    """
    lane = "litert" if _is_tflite(source) else "tensorflow"
    names = (names,) if isinstance(names, str) else names
    wanted = _steps(names_for(source) if names is None else names, lane)
    directory = Path(directory).absolute()
    with sandbox.temporary_folder() as folder:
        records = Path(keep or folder).absolute()
        results = {n: _kept(records, directory, n, step) for n, step in wanted.items()}
        missing = {name: step for name, step in wanted.items() if results[name] is None}
        needed = any(paths.get(step.path).needs_calibration for step in missing.values())
        with (
            _picklable(source) as given,
            # Paths without calibration are tried on the first samples.
            _spooled(representative_dataset, None if needed else calibration.KEPT) as (
                spool,
                reason,
            ),
        ):
            job = (lane, given, spool, reason, value_range, signature)
            results |= _all_results(job, missing, (records, directory, Path(folder)))
    for result in results.values():
        if result.ok:
            sandbox.trust(result.file, "xnnpack")
    return results


def names_for(source: Any) -> tuple[str, ...]:
    """Return the paths that there are from a source: LiteRT's quantizer has more of them."""
    return tuple(paths.ALL if _is_tflite(source) else paths.PATHS)


def _steps(names: Iterable[str] | Mapping[str, Step], lane: str) -> dict[str, Step]:
    steps = dict(names) if isinstance(names, Mapping) else {name: Step(name) for name in names}
    for name, step in steps.items():
        paths.get(step.path)
        if lane == "tensorflow" and step.options:
            raise InputError(
                f"{name}: TFLiteConverter knows no {', '.join(step.options)}; LiteRT's quantizer "
                "does, give it the float32 .tflite (lesson 13)"
            )
    return steps


def _is_tflite(source: Any) -> bool:
    return isinstance(source, bytes) or (
        isinstance(source, str | os.PathLike) and Path(source).suffix == ".tflite"
    )


def _picklable(source: Any):
    """A Keras model goes to the child as a SavedModel; names of files and bytes as they are."""
    if isinstance(source, str | os.PathLike | bytes):
        return nullcontext(source)
    return sources.opened(source)


@contextmanager
def _spooled(dataset, most: int | None) -> Iterator[tuple[Path | None, CalibrationError | None]]:
    """The samples in a file, or the reason why they cannot be had, for the paths that need them."""
    with ExitStack() as stack:
        try:
            found = stack.enter_context(calibration.in_file(dataset, most)), None
        except CalibrationError as error:
            found = None, error
        yield found


def _all_results(job: tuple, wanted: dict[str, Step], folders: tuple) -> dict[str, Outcome]:
    """Run the steps in a child; where it dies, name the path, and go on with the rest."""
    records, directory, temporary = folders
    results: dict[str, Outcome] = {}
    while missing := {name: step for name, step in wanted.items() if name not in results}:
        try:
            given, slow_to_import = (job, missing, folders), _IMPORTED[job[0]]
            sandbox.call(f"{__name__}:_run_paths", *given, imported=slow_to_import)
            death = None
        except ChildDied as error:
            death = error
        found = {name: _kept(records, directory, name, step) for name, step in missing.items()}
        results |= {name: one for name, one in found.items() if one is not None}
        if isinstance(death, ChildSlow) and any(found.values()):
            continue  # it was not slow on one path: the others have their own time
        if death is not None and (left := [name for name in missing if name not in results]):
            step = wanted[left[0]]
            result = Outcome(step.path, reason=_death(job[0], temporary, step.path, death))
            results[left[0]] = _keep(records, directory, left[0], step, result)
    return results


def _keep(records: Path, directory: Path, name: str, step: Step, result: Outcome) -> Outcome:
    """Record what came of a step; of one without a file no older file is left."""
    if not result.ok:
        (directory / f"{name}.tflite").unlink(missing_ok=True)
    text = json.dumps({"step": repr(step), "outcome": outcome.to_json(result)})
    files.write_atomic(records / f"{name}.json", text)
    return result


def _kept(records: Path, directory: Path, name: str, step: Step) -> Outcome | None:
    """What ``_keep`` recorded of the same step, if its file is the same still."""
    try:
        found = json.loads((records / f"{name}.json").read_text())
        if found["step"] == repr(step):
            return outcome.from_json(found["outcome"], directory / f"{name}.tflite")
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        pass  # it is made anew
    return None


def _death(lane: str, temporary: Path, path: str, error: ChildDied) -> LessonError:
    operators = temporary / _OPERATORS
    if lane == "tensorflow" and error.signal and operators.exists():
        return by_tensorflow.died(set(operators.read_text().split()), path, error)
    who = "the converter" if lane == "tensorflow" else "LiteRT's quantizer"
    how = str(error).partition(" ")[2]
    return ConversionError(f"{who}, on the path {path}, {how} (lesson 07)")


def _reason(path: str, error: Exception) -> LessonError:
    if isinstance(error, LessonError):
        return error
    what = f"{type(error).__name__}: {first_line(error)}"
    return ConversionError(f"the path {path} failed with {what} (lesson 07)")


def _run_paths(job: tuple, steps: dict[str, Step], folders: tuple) -> None:
    """In the child: write a file and an outcome for each path, as soon as it is there."""
    lane, source, spool, reason, value_range, key = job
    records, directory, temporary = folders
    with nullcontext(source) if lane == "litert" else sources.opened(source) as model:
        # What is wrong with the model itself is no path's own reason.
        if lane == "litert":
            one = partial(by_litert.quantized, by_litert.prepared(model, key), recorded={})
        else:
            sources.signature(model, key)
            (temporary / _OPERATORS).write_text(" ".join(sources.operators(model)))
            one = partial(by_tensorflow.converted, model, key=key)
        for name, step in steps.items():
            path = step.path
            try:
                if reason is not None and paths.get(path).needs_calibration:
                    raise reason
                dataset = calibration.from_file(spool)
                content, snr_db = one(path, dataset, value_range=value_range, **step.options)
                remarks = outcome.remarks(path, content, snr_db)
                file = files.write_atomic(directory / f"{name}.tflite", content)
                result = Outcome(path, file, None, snr_db, remarks)
            except StorageError:
                raise
            except OSError as error:
                if error.errno == errno.ENOSPC:
                    raise sandbox.no_room(error) from error
                result = Outcome(path, reason=_reason(path, error))
            except Exception as error:  # also what a library did not mean to raise
                result = Outcome(path, reason=_reason(path, error))
            _keep(records, directory, name, step, result)
