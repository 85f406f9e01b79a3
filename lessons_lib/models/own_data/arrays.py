"""Whole arrays that have names: ``.npz``, ``.npy``, dictionaries, pairs."""

import difflib
import errno
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lessons_lib.errors import InputError
from lessons_lib.models import sample_files
from lessons_lib.models.own_data.given import Options
from lessons_lib.models.sample_files import Columns, Gathered, Stored, Y
from lessons_lib.tflite import samples
from lessons_lib.tflite.signature import Signature


def of_npz(file: Path, options: Options, folder: Path) -> Gathered:
    """Unpack the arrays beside one another, and read them from there."""
    members = folder / "members"
    members.mkdir(parents=True)
    try:
        unpacked = _unpacked(file, members)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
        raise _no_npz(error) from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # of a place that is not in the file
            raise _no_npz(error) from error
        raise
    columns = {name.removesuffix(".npy"): _stored(path, name) for name, path in unpacked.items()}
    found = _of_columns(columns, options, folder)
    shutil.rmtree(members)
    return found


def _unpacked(file: Path, members: Path) -> dict[str, Path]:
    """The files that an archive has, under names of our own: its names may lead anywhere."""
    found = {}
    with zipfile.ZipFile(file) as archive:
        for number, name in enumerate(archive.namelist()):
            found[name] = members / f"{number}.npy"
            with archive.open(name) as source, open(found[name], "wb") as target:
                shutil.copyfileobj(source, target)
    return found


def _no_npz(error: Exception) -> InputError:
    return InputError(
        f"it is damaged, or no .npz ({error}): write it again with np.savez(file, x=x, y=y)"
    )


def _stored(file: Path, name: str) -> Stored:
    try:
        return Stored(file)
    except Exception as error:  # NumPy reads a header as Python's own syntax: many kinds
        if "Python objects" in str(error):
            raise InputError(
                f"{name} holds Python objects, which may run code when they are read: save plain "
                "numbers or text, np.asarray(x, 'float32') or np.asarray(y, str)"
            ) from error
        raise InputError(f"{name} is damaged, or no array ({error}): save it again") from error


def of_npy(file: Path, options: Options, folder: Path) -> Gathered:
    """Gather the one array of a file, without targets."""
    if len(options.signature.inputs) != 1:
        raise InputError(
            f"an .npy has one array, the model takes {', '.join(options.signature.inputs)}: give "
            "an .npz with an array under each name"
        )
    (name,) = options.signature.inputs
    return _of_columns({name: _stored(file, file.name)}, options, folder)


def _of_columns(columns: Columns, options: Options, folder: Path) -> Gathered:
    """Gather whole arrays that have names."""
    inputs, targets, notes = _sides(columns, options.signature)
    for name, column in inputs.items():
        _require_samples(name, column.shape, options.signature)
    if empty := [name for name, column in (inputs | targets).items() if not column.shape]:
        raise InputError(f"{', '.join(empty)} is a single number; expected one for each sample")
    pairs = sample_files.pairs(inputs, targets)
    found = options.gather(pairs, folder, whole=True)
    return replace(found, notes=notes + found.notes)


def _sides(columns: Mapping[str, Any], signature: Signature):
    """What feeds the model, what are its targets, and what was left out, in words."""
    inputs = {name: columns[name] for name in signature.inputs if name in columns}
    targets = {
        name: column
        for name, column in columns.items()
        if name not in inputs and (name == Y or name in signature.outputs)
    }
    rest = [name for name in columns if name not in inputs and name not in targets]
    notes: tuple[str, ...] = ()
    if not inputs and len(signature.inputs) == len(rest) == 1:
        (wanted,), given = signature.inputs, rest.pop()
        inputs, notes = {wanted: columns[given]}, (f"{given} is taken as the input {wanted}",)
    if len(inputs) < len(signature.inputs):
        raise InputError(
            f"it has {', '.join(map(str, columns)) or 'nothing'}; the model's inputs are called "
            f"{', '.join(signature.inputs)}: {_written(columns, signature)} gives the arrays their "
            "names (lesson 15)"
        )
    if rest and not targets:
        names = ", ".join(map(str, rest))
        raise InputError(
            f"it has no targets, but {names}: call targets y, or by the outputs' names "
            f"({', '.join(signature.outputs)}); if {names} is none, leave it out (lesson 15)"
        )
    if Y in targets and len(targets) > 1:
        raise InputError(
            f"it has targets as {', '.join(targets)}: give them either as y or by the outputs' "
            "names"
        )
    _require_no_slip(rest, targets, signature)
    if rest:
        notes += (f"not used: {', '.join(map(str, rest))}",)
    return inputs, targets, notes


def _written(columns: Mapping[str, Any], signature: Signature) -> str:
    """The code that gives arrays their names: in a file, where they came from one."""
    targets = (Y,) if len(signature.outputs) == 1 else tuple(signature.outputs)
    names = (*signature.inputs, *targets)
    if any(isinstance(column, Stored) for column in columns.values()):
        return f"np.savez(file, {', '.join(f'{name}=...' for name in names)})"
    return f"{{{', '.join(f'{name!r}: ...' for name in names)}}}"


def _require_no_slip(rest: list[str], targets: Mapping[str, Any], signature: Signature) -> None:
    """An array that nobody needs may be the targets of an output, misspelt."""
    missing = [name for name in signature.outputs if name not in targets and Y not in targets]
    for name in map(str, rest):
        if near := difflib.get_close_matches(name, missing, 1, 0.75):
            raise InputError(
                f"it has {name}, which is no input and no output; the output {near[0]} has no "
                f"targets: is {name} meant for it? Call it so, or leave it out (lesson 15)"
            )


def _require_samples(name: str, shape: tuple[int, ...], signature: Signature) -> None:
    """Raise InputError where a whole array is not (N, ...), with the step that is missing."""
    sample = signature.sample_shape(name)
    fits = [wanted in (None, size) for size, wanted in zip(shape[1:], sample, strict=False)]
    if len(shape) == len(sample) + 1 and all(fits):
        return
    wanted = ", ".join(["N", *("?" if size is None else str(size) for size in sample)])
    cure = ""
    if shape == sample:
        cure = ": this is one sample; two at least are needed, stacked with np.stack"
    elif sample[-1:] == (1,) and len(shape) == len(sample) and all(fits):
        cure = f": {name}[..., np.newaxis] adds the channel"
    elif len(shape) == 4 == len(sample) + 1 and (shape[2], shape[3], shape[1]) == sample:
        cure = f": {name}.transpose(0, 2, 3, 1) puts the channels last"
    elif len(shape) == 4 == len(sample) + 1 and (shape[3], shape[1], shape[2]) == sample:
        cure = f": {name}.transpose(0, 3, 1, 2) puts the channels first"
    raise InputError(f"{name} has the shape {shape}, the model takes ({wanted}){cure} (lesson 01)")


def of_arrays(source: Any, options: Options, folder: Path) -> Gathered:
    """Gather a dictionary as in ``.npz``, a pair ``(x, y)``, or one array for one input."""
    signature = options.signature
    (source,) = samples.items(source)  # tensors as arrays
    x, y = (source, None) if isinstance(source, dict) else pair(source, signature)
    if not isinstance(x, dict):
        names = signature.order or tuple(signature.inputs)
        parts = (x,) if len(names) == 1 else x
        known = len(names) == 1 or (signature.order and len(parts) == len(names))
        x = dict(zip(names, parts, strict=True)) if known else samples.rows(x, signature)
    columns = x | sample_files.named_targets(y, signature)
    columns = {
        name: sample_files.as_array(array, name)
        for name, array in columns.items()
        if array is not None
    }
    return _of_columns(columns, options, folder)


def pair(item: Any, signature: Signature) -> tuple[Any, Any]:
    """The inputs and the targets of an item; None where it has none."""
    if isinstance(item, dict):
        inputs, targets, _ = _sides(item, signature)
        return inputs, targets.get(Y, targets) if targets else None
    if isinstance(item, tuple | list) and len(item) in (2, 3) and _feeds(item[0], signature):
        return item[0], item[1]
    return item, None


def _feeds(x: Any, signature: Signature) -> bool:
    """Whether the first of two or three can be all that the model takes."""
    inputs = list(signature.inputs)
    if isinstance(x, dict | tuple):
        return len(inputs) in (1, len(x))
    single = len(inputs) == 1
    return single and (np.ndim(x) > 0 or not signature.sample_shape(inputs[0]))
