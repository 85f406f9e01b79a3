"""All seven paths of one SavedModel in one checked table."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lessons_lib.convert import calibration, every_path
from lessons_lib.errors import CalibrationError, InputError
from lessons_lib.judge import benchmark, evaluate
from lessons_lib.models import data
from lessons_lib.run.runtime import Model
from lessons_lib.system import files
from lessons_lib.tflite import tables


@dataclass(frozen=True)
class Row:
    """What one path gives: sizes in bytes, shares from 0 to 1, latency in microseconds.

    ``ratio`` is the float32 file's size divided by this one's; ``agreement`` is with float32;
    ``_low`` and ``_high`` bound Wilson's 95 % interval; ``latency_us`` is the median for one image
    on one thread. ``gained``, ``lost`` and ``p_value`` compare with float32 (``evaluate.Flips``).
    What ends in ``_hard`` (``accuracy_hard_low``: the interval) is measured on the hard test
    images, ``data.Dataset.hard``.
    """

    name: str
    file: str
    bytes: int
    ratio: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    agreement: float
    latency_us: float
    integer_only: bool
    input_dtype: str
    output_dtype: str
    gained: int
    lost: int
    p_value: float
    accuracy_hard: float
    accuracy_hard_low: float
    accuracy_hard_high: float
    gained_hard: int
    lost_hard: int
    p_hard: float


def build(
    saved_model: str | os.PathLike,
    out_dir: str | os.PathLike,
    dataset: data.Dataset | None = None,
    samples: int = 100,
) -> list[Row]:
    """Convert ``saved_model`` along all paths into ``out_dir``, run each, and return the rows.

    ``dataset`` (default: the embedded digits) gives ``samples`` calibration images and the
    test split. Raises InputError when the model does not fit the dataset, and what
    ``every_path.convert`` raises. Defined in lesson 08.
    """
    dataset = dataset or data.load("mnist")
    samples_of = calibration.representative_dataset(dataset.calibration, samples)
    try:
        written = every_path.convert(saved_model, samples_of, out_dir)
    except CalibrationError as error:  # the samples are ours, so it is the model that differs
        raise _unfit(saved_model, dataset, str(error)) from error
    outputs = Model(written["float32"]).output_shape
    if outputs != (len(dataset.class_names),):
        raise _unfit(saved_model, dataset, f"it has outputs of shape {outputs}")
    return measure(written, dataset)


def _unfit(saved_model: str | os.PathLike, dataset: data.Dataset, reason: str) -> InputError:
    shape = "x".join(map(str, dataset.test.pixels.shape[1:]))
    return InputError(
        f"{files.display_path(saved_model)} cannot be measured on {dataset.name}: the model must "
        f"take {shape} images and give {len(dataset.class_names)} probabilities; {reason}"
    )


def measure(written: dict[str, Path], dataset: data.Dataset) -> list[Row]:
    """Return a row for each converted file, compared with that of ``float32``.

    Measured on ``dataset.test`` and ``dataset.hard``. Raises InputError when ``written`` has no
    ``float32``.
    """
    if "float32" not in written:
        raise InputError(f"no float32 among {', '.join(written)}: it is what all are compared with")
    models = {name: Model(file) for name, file in written.items()}
    images = {"clean": dataset.test.images, "hard": dataset.hard.images}
    found = {
        kind: {name: model.classes(images[kind]) for name, model in models.items()}
        for kind in images
    }
    latency = benchmark.latency(models, images["clean"])["median_us"]
    size = {name: file.stat().st_size for name, file in written.items()}
    return [
        Row(
            name=name,
            file=str(file.absolute()),
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
    """Return the rows as a reader sees them: rounded, with units in the keys."""
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
    ]


def markdown(rows: list[Row]) -> str:
    """Return the readable table in Markdown."""
    lines = text(rows)
    heads = list(lines[0])
    table = [heads, ["---"] * len(heads), *(list(line.values()) for line in lines)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in table)
