"""Every path of an image classifier in one checked table, also the paths that failed.

``quantize_model`` makes the files and says what it found. This table has what the course asks of
them besides: the test digits made harder, one column a question, all rows rounded alike.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lessons_lib.advise import brought, trials
from lessons_lib.advise.brought import Brought
from lessons_lib.advise.report import Report
from lessons_lib.convert import calibration, every_path
from lessons_lib.convert.outcome import Outcome
from lessons_lib.errors import ConversionError, InputError
from lessons_lib.judge import benchmark, evaluate
from lessons_lib.models import data, own_data
from lessons_lib.quantize import quantize_model
from lessons_lib.run.runtime import Model
from lessons_lib.system import files
from lessons_lib.tflite import tables
from lessons_lib.tflite.signature import TensorSpec

# What models of images are usually trained on: the darkest and the lightest pixel.
RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))
_NOTHING = float("nan")


@dataclass(frozen=True)
class Row:
    """What one path gives: sizes in bytes, shares from 0 to 1, latency in microseconds.

    ``ratio`` is the float32 file's size divided by this one's; ``agreement`` is with float32;
    ``_low`` and ``_high`` bound Wilson's 95 % interval; ``latency_us`` is the median for one image
    on one thread. ``gained``, ``lost`` and ``p_value`` compare with float32 (``evaluate.Flips``).
    What ends in ``_hard`` (``accuracy_hard_low``: the interval) is measured on the hard test
    images, ``data.Dataset.hard``. A path without a file has ``failure``, the reason, and NaN.
    """

    name: str
    file: str = ""
    bytes: int = 0
    ratio: float = _NOTHING
    accuracy: float = _NOTHING
    accuracy_low: float = _NOTHING
    accuracy_high: float = _NOTHING
    agreement: float = _NOTHING
    latency_us: float = _NOTHING
    integer_only: bool = False
    input_dtype: str = ""
    output_dtype: str = ""
    gained: int = 0
    lost: int = 0
    p_value: float = _NOTHING
    accuracy_hard: float = _NOTHING
    accuracy_hard_low: float = _NOTHING
    accuracy_hard_high: float = _NOTHING
    gained_hard: int = 0
    lost_hard: int = 0
    p_hard: float = _NOTHING
    failure: str = ""


def build(
    source: Any,
    out_dir: str | os.PathLike,
    dataset: data.Dataset | None = None,
    samples: int = 100,
    value_range: tuple[float, float] | None = None,
) -> list[Row]:
    """Send a model down all paths into ``out_dir``, run each file, and return the rows.

    ``source`` is what ``brought.bring`` takes. ``dataset`` (default: the embedded digits) gives
    ``samples`` calibration images and the test split. ``value_range``: what the darkest and the
    lightest pixel were in training; None tries RANGES on the float model and takes the one that it
    answers best. A path that fails is a row with its reason. What ``quantize_model`` leaves, report
    and LiteRT's files among it, lies in ``out_dir`` too; nothing is mended. Raises InputError when
    the model does not fit the dataset or answers no better than by guessing, and what
    ``quantize_model`` raises. Defined in lesson 08.
    """
    folder, dataset = Path(out_dir).absolute(), dataset or data.load("mnist")
    work = folder / "given"  # apart from what quantize_model writes
    given = brought.bring(source, work)
    _require_fit(given, dataset, source)
    if value_range is None:
        value_range = found_range(Model(trials.float_file(given, work)), dataset)
    spec = given.signature.only_input
    images = _scaled(dataset.calibration, spec, value_range)
    chosen = calibration.representative_dataset(images, samples)
    digits = own_data.read(
        None, given.signature, work,
        calibration=np.concatenate([image for (image,) in chosen()]),
        test=(_scaled(dataset.test, spec, value_range), dataset.test.labels),
    )  # fmt: skip
    digits = replace(digits, source=f"the course's {dataset.name}", classes=dataset.class_names)
    names = every_path.names_for(given.source)
    report = quantize_model(given.source, digits, paths=names, tune=False, out=folder)
    return measure(_made(report, folder), dataset, value_range)


def _require_fit(given: Brought, dataset: data.Dataset, source: Any) -> None:
    ends, shape = given.signature, dataset.test.pixels.shape[1:]
    fits = len(ends.inputs) == len(ends.outputs) == 1 and ends.in_batches
    shapes = (ends.only_input.shape[1:], ends.only_output.shape[1:]) if fits else None
    if shapes != (shape, (len(dataset.class_names),)):
        name = files.display_path(source) if isinstance(source, str | os.PathLike) else "the model"
        raise InputError(
            f"{name} cannot be measured on {dataset.name}: the model must take "
            f"{'x'.join(map(str, shape))} images and give {len(dataset.class_names)} "
            f"probabilities; it has {ends} (lesson 08)"
        )


def _made(report: Report, folder: Path) -> dict[str, Outcome]:
    """One row a path: of the converter, or, where a ``.tflite`` was given, of LiteRT's quantizer.

    With the extremes of the samples, as the converter calibrates.
    """
    first = report.rows[0]
    return {
        row.path: Outcome(row.path, folder / row.file)
        if row.file
        else Outcome(row.path, reason=ConversionError(row.failure))
        for row in report.rows
        if row.lane == first.lane and row.calibrate != "moving_average"
    }


def found_range(model: Model, dataset: data.Dataset) -> tuple[float, float]:
    """Return the one of RANGES in which a float model answers the calibration images best.

    Raises InputError, with all accuracies, when that is no better than guessing.
    """
    split, spec = dataset.calibration, model.signature.only_input
    found = {
        ends: evaluate.accuracy(model.classes(_scaled(split, spec, ends)), split.labels)
        for ends in RANGES
    }
    best = max(found, key=lambda ends: found[ends].value)
    guess = np.bincount(split.labels).max() / len(split.labels)
    if found[best].low <= guess:
        tried = ", ".join(f"{low:g} to {high:g}: {a.value:.1%}" for (low, high), a in found.items())
        raise InputError(
            f"the float model is no better than guessing on {dataset.name} (images from {tried}; "
            f"guessing: {guess:.1%}): its scaling or its order of classes is another one, and no "
            "quantization can be judged. Pass value_range=(darkest, lightest) as in training "
            "(lesson 08)"
        )
    return best


def _scaled(split: data.Split, spec: TensorSpec, value_range: tuple[float, float]) -> np.ndarray:
    """The images as the model was trained on them; a model of bytes takes the pixels."""
    if spec.dtype == np.uint8 and not spec.scale:
        return split.pixels
    low, high = np.float32(value_range)
    return low + split.images * (high - low) if value_range != RANGES[0] else split.images


def measure(
    written: Mapping[str, os.PathLike],
    dataset: data.Dataset,
    value_range: tuple[float, float] = RANGES[0],
) -> list[Row]:
    """Return a row for each converted file, compared with that of ``float32``.

    ``written``: files by path, or what ``every_path.convert`` returned; a path that failed there
    is a row with its reason. Measured on ``dataset.test`` and ``dataset.hard``. Raises InputError
    when ``written`` has no ``float32``.
    """
    if "float32" not in written:
        raise InputError(f"no float32 among {', '.join(written)}: it is what all are compared with")
    failed = {name: file.reason for name, file in written.items() if not getattr(file, "ok", True)}
    models = {name: Model(file) for name, file in written.items() if name not in failed}
    spec = models["float32"].signature.only_input
    images = {
        kind: _scaled(split, spec, value_range)
        for kind, split in (("clean", dataset.test), ("hard", dataset.hard))
    }
    found = {
        kind: {name: model.classes(images[kind]) for name, model in models.items()}
        for kind in images
    }
    latency = benchmark.latency(models, images["clean"])["median_us"]
    size = {name: os.stat(written[name]).st_size for name in models}
    return [
        Row(name=name, failure=str(failed[name]))
        if name in failed
        else Row(
            name=name,
            file=os.path.abspath(file),
            bytes=size[name],
            ratio=size["float32"] / size[name],
            latency_us=float(latency[name]),
            **_qualities(name, found, dataset.test.labels),
            **{key: getattr(tables.audit(file), key) for key in _AUDITED},
        )
        for name, file in written.items()
    ]


_AUDITED = ("integer_only", "input_dtype", "output_dtype")


def _qualities(name: str, found: dict[str, dict], labels: np.ndarray) -> dict[str, float]:
    """What the classes of one path say beside those of float32, on clean and on hard images."""
    clean, hard = (evaluate.accuracy(found[kind][name], labels) for kind in ("clean", "hard"))
    flips, flips_hard = (
        evaluate.flips(found[kind]["float32"], found[kind][name], labels)
        for kind in ("clean", "hard")
    )
    return {
        "accuracy": clean.value,
        "accuracy_low": clean.low,
        "accuracy_high": clean.high,
        "agreement": evaluate.agreement(found["clean"]["float32"], found["clean"][name]).value,
        "gained": flips.gained,
        "lost": flips.lost,
        "p_value": flips.p_value,
        "accuracy_hard": hard.value,
        "accuracy_hard_low": hard.low,
        "accuracy_hard_high": hard.high,
        "gained_hard": flips_hard.gained,
        "lost_hard": flips_hard.lost,
        "p_hard": flips_hard.p_value,
    }


def frame(rows: list[Row]) -> pd.DataFrame:
    """Return the rows as a table, one line a path, indexed by its name."""
    return pd.DataFrame([asdict(row) for row in rows]).set_index("name")


def text(rows: list[Row]) -> list[dict[str, str]]:
    """Return the rows as a reader sees them: rounded, with units in the keys; without failures."""
    return [
        {
            "path": row.name,
            "bytes": f"{row.bytes:,}",
            "smaller": f"{row.ratio:.2f}x",
            "accuracy": f"{row.accuracy:.1%}",
            "95 % interval": f"{row.accuracy_low:.1%} to {row.accuracy_high:.1%}",
            "agreement": f"{row.agreement:.1%}",
            "on hard digits": f"{row.accuracy_hard:.1%}",
            "gained / lost": f"{row.gained_hard} / {row.lost_hard}",
            "p": f"{row.p_hard:.2f}",
            "µs an image": f"{row.latency_us:.0f}",
            "integer only": "yes" if row.integer_only else "no",
            "input / output": f"{row.input_dtype} / {row.output_dtype}",
        }
        for row in rows
        if not row.failure
    ]
