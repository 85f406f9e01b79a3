"""One model along every path."""

import os
from collections.abc import Iterable
from pathlib import Path

from lessons_lib.convert import by_tensorflow, calibration, paths
from lessons_lib.errors import ChildDied, ConversionError
from lessons_lib.system import files
from lessons_lib.system.sandbox import call, trust


def convert(
    saved_model: str | os.PathLike,
    representative_dataset: calibration.RepresentativeDataset | None,
    directory: str | os.PathLike,
    *,
    names: Iterable[str] = tuple(paths.PATHS),
    value_range: tuple[float, float] | None = (0.0, 1.0),
) -> dict[str, Path]:
    """Do what ``convert_all`` does, in a fresh process, which may crash or need much memory.

    The caller needs no TensorFlow. A crash of the converter becomes a ConversionError.
    """
    samples = representative_dataset and calibration.collect(representative_dataset)
    arguments = (saved_model, samples, directory, tuple(names), value_range)
    try:
        written = call("lessons_lib.convert.by_tensorflow:_convert_samples", *arguments)
    except ChildDied as error:
        hint = " Rolled LSTM and GRU layers do that on the integer paths (lesson 07)."
        raise ConversionError(
            f"the converter died on {files.display_path(saved_model)}: {error}."
            f"{hint if error.signal else ''}"
        ) from error
    for file in written.values():
        trust(file)
    return written


def _convert_samples(saved_model, samples, directory, names, value_range) -> dict[str, Path]:
    dataset = None if samples is None else lambda: iter(samples)
    return convert_all(saved_model, dataset, directory, names=names, value_range=value_range)


def convert_all(
    saved_model: str | os.PathLike,
    representative_dataset: calibration.RepresentativeDataset | None,
    directory: str | os.PathLike,
    *,
    names: Iterable[str] = tuple(paths.PATHS),
    value_range: tuple[float, float] | None = (0.0, 1.0),
) -> dict[str, Path]:
    """Convert along the paths ``names`` into ``directory`` and return each path's file.

    Raises what ``convert`` raises, and StorageError when ``directory`` cannot be written.
    """
    written = {}
    for name in names:
        dataset = representative_dataset if paths.get(name).needs_calibration else None
        model = by_tensorflow.convert(saved_model, name, dataset, value_range=value_range)
        written[name] = files.write_atomic(Path(directory) / f"{name}.tflite", model)
    return written
