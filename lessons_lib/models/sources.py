"""Where a float model comes from: a SavedModel, and how one is written."""

import os
from pathlib import Path

from lessons_lib.errors import InputError, ModelFileError
from lessons_lib.system.files import atomic_directory, display_path
from lessons_lib.system.quiet import quiet, tensorflow


def save(model, directory: str | os.PathLike, *, batch_size: int | None = None) -> Path:
    """Write ``model`` as a SavedModel, whole or not at all, and return its folder.

    ``batch_size`` fixes the number of inputs in one call, as browsers and many accelerators need
    it; None leaves it open. Raises InputError when the folder holds anything but a SavedModel,
    which this one would replace, or when ``batch_size`` is below 1, and StorageError when the
    folder cannot be written. Defined in lessons 01 and 14.
    """
    _require_replaceable(Path(directory))
    signature = None if batch_size is None else _fixed_batch(model, batch_size)
    with quiet(), atomic_directory(directory) as temporary:
        model.export(temporary, verbose=False, input_signature=signature)
    return Path(directory)


def _fixed_batch(model, batch_size: int) -> list:
    if batch_size < 1:
        raise InputError(f"batch_size={batch_size}; expected at least 1, or None (lesson 14)")
    return [
        tensorflow().TensorSpec((batch_size, *tensor.shape[1:]), tensor.dtype, name=tensor.name)
        for tensor in model.inputs
    ]


def _require_replaceable(directory: Path) -> None:
    """Nothing but an older SavedModel may be overwritten."""
    if not directory.exists() or (directory / "saved_model.pb").is_file():
        return
    if not directory.is_dir() or any(directory.iterdir()):
        raise InputError(
            f"{display_path(directory)} exists and is no SavedModel; name a new folder (lesson 01)"
        )


def require_saved_model(directory: str | os.PathLike) -> Path:
    """Return ``directory`` as a Path if it is a SavedModel; raise ModelFileError otherwise."""
    directory = Path(directory)
    if (directory / "saved_model.pb").is_file() and (directory / "variables").is_dir():
        return directory
    what = "does not exist" if not directory.exists() else "is not a SavedModel"
    raise ModelFileError(
        f"{display_path(directory)} {what}: a SavedModel is a folder with saved_model.pb and "
        "variables/. Make one with sources.save(model, folder) (lesson 01)."
    )
