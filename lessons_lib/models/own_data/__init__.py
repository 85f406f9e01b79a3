"""The user's own data: read from whatever he has, split where it is one, kept in files.

    data = own_data.read("digits.npz", signature, "out/work")
    data.calibration, data.test          # by input name, in the model's dtypes, on disk
    data.targets                         # of the test samples

``.npz``, ``.npy``, ``.csv``, a folder of images, ``data.py``, ``tfds:NAME``, or Python objects.
Nothing is scaled that nobody told to scale. Other tools take a generator for calibration and
measure nothing, or one format of their own.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from lessons_lib.errors import ChildDied, InputError
from lessons_lib.models import own_images, sample_files
from lessons_lib.models.own_data import arrays, code, images, tables
from lessons_lib.models.own_data.code import ROLES
from lessons_lib.models.own_data.given import CALIBRATION_SAMPLES, Found, Options
from lessons_lib.models.own_images import Scaling
from lessons_lib.models.sample_files import Gathered, Stored, Y
from lessons_lib.system import files
from lessons_lib.system.sandbox import call
from lessons_lib.tflite.samples import Rows
from lessons_lib.tflite.signature import Signature

SECONDS = 900.0  # for code of the user's own, or for a dataset, to give all its samples
_TFDS = "tfds:"
Targets = dict[str, np.ndarray] | np.ndarray | None


@dataclass(frozen=True, eq=False, repr=False)
class Data:
    """Samples that calibrate, samples that test, and what the model should have said to these.

    ``calibration`` and ``test`` are read-only arrays (N, ...) by input name, in the model's dtypes,
    mapped from files; None where there are none. Their order is random where the data was split
    here, and ``test_ids`` has the places (N,) of the test samples in the source; else that of the
    source. ``targets`` are those of the test, an array or arrays by output name, or None.
    ``metric(outputs, targets)`` is the user's own measure. ``source``, ``split`` and ``notes`` are
    words for a report; ``sha256`` is that of all samples and targets. ``classes`` has names where
    they are known. ``scalings`` has what made floats of pixels, by input name.

    Where pixels came for a float input and nobody said how they are scaled, they are still uint8,
    and ``choices`` has every usual scaling: ``tries`` tells which is right, ``scaled`` settles it.
    """

    calibration: Rows | None
    test: Rows | None
    targets: Targets = None
    metric: Callable | None = None
    lower_is_better: bool = False
    source: str = ""
    split: str = ""
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    sha256: str = ""
    calibration_targets: Targets = None
    test_ids: np.ndarray | None = None
    scalings: Mapping[str, Scaling] = field(default_factory=dict)
    choices: Mapping[str, Mapping[str, Scaling]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Data({self.source}: {self.split})"


def read(
    source: Any,
    signature: Signature,
    folder: str | os.PathLike,
    *,
    calibration: Any = None,
    test: Any = None,
    target: str | None = None,
    scale: str | None = None,
    seed: int = 0,
) -> Data:
    """Return the user's data for a model, its arrays in ``folder/samples``, whole or not at all.

    ``source``, or one each for ``calibration`` and ``test`` (then ``source`` is None), is

    - a ``.npz`` file with arrays (N, ...) under the inputs' names (one input: any name but ``y``),
      and targets as ``y`` or under outputs' names; a ``.npy`` file, for one input;
    - a ``.csv`` file or a pandas table: ``target`` names a column; the other numeric ones are the
      input in their order, or those that have the inputs' names;
    - a folder of images, ``FOLDER/CLASS/*.png`` or flat;
    - ``tfds:NAME``, a dataset that TensorFlow Datasets has prepared on this machine;
    - a ``.py`` file, or an object, with ``calibration()`` and ``test()``, or LiteRT's
      ``get_calibration_data()``; each gives samples ``x`` or pairs ``(x, y)``, one or a batch. It
      may have ``metric(outputs, targets)``, ``LOWER_IS_BETTER`` and ``preprocess(x)``;
    - an array, a dictionary as in ``.npz``, a pair ``(x, y)``, a generator, a
      ``tf.data.Dataset``, a Keras ``Sequence``; a Data is returned as it is.

    One source is split at random with ``seed``: half of it calibrates, but at most 300 samples.
    ``scale``: of uint8 pixels for a float input, see ``own_images.scaling``; left out, the choice
    stays open. Raises InputError, with the source, the sample's number and a cure, for whatever
    cannot be read or does not fit; StorageError where the folder cannot be written.
    Defined in lesson 15.
    """
    if isinstance(source, Data):
        return source
    given = {"calibration": calibration, "test": test}
    given = {role: part for role, part in given.items() if part is not None}
    if (source is None) == (not given):
        raise InputError(
            "give the data as one source, which is split, or as calibration=... and test=..., "
            "which are not (lesson 15)"
        )
    if seed < 0:
        raise InputError(f"seed={seed}; expected 0 or more")
    pixels = own_images.of_inputs(scale, signature) if scale else {}
    options = Options(signature, target, scale, pixels, seed)
    final = Path(folder).absolute() / "samples"
    with files.atomic_directory(final) as new:
        found = {
            role: _found(part, role, options, new / f"source_{role}")
            for role, part in (given or {"": source}).items()
        }
        made = _split(next(iter(found.values())), new, seed) if not given else None
        parts, words, ids = made or _kept(found, new)
        for left in new.glob("source_*"):
            shutil.rmtree(left)
        about = {"classes": _classes(parts), "sha256": _checksum(new), **_pixels(parts, options)}
    parts = {role: sample_files.moved(part, new, final) for role, part in parts.items()}
    chosen = next((each for each in found.values() if each.metric), next(iter(found.values())))
    return Data(
        **_arrays(parts),
        metric=chosen.metric,
        lower_is_better=chosen.lower_is_better,
        source=", ".join(dict.fromkeys(each.name for each in found.values())),
        split=words,
        notes=_notes(parts, options),
        test_ids=ids,
        **about,
    )


# ---- from parts to a Data


_Parts = tuple[dict[str, Gathered], str, np.ndarray | None]  # with words, and the test's places


def _split(found: Found, folder: Path, seed: int) -> _Parts | None:
    """Split a source of one part; None for one that has its own two."""
    if "" not in found.parts:
        return None
    whole = found.parts[""]
    try:
        orders = sample_files.drawn(whole, seed, CALIBRATION_SAMPLES)
    except InputError as error:
        raise InputError(f"{found.name}: {error}") from error
    parts = {
        role: sample_files.parted(whole, order, folder / role)
        for role, order in zip(ROLES, orders, strict=True)
    }
    words = (
        f"{len(orders[0])} of {len(whole)} samples, drawn at random with seed {seed}, calibrate; "
        f"the other {len(orders[1])} test"
    )
    return parts, words, orders[1]


def _kept(found: dict[str, Found], folder: Path) -> _Parts:
    """The parts as they came, each in its folder."""
    if "" in found:
        found = {role: found[""] for role in found[""].parts}
    parts = {}
    for role, each in found.items():
        part = each.parts.get(role) or next(iter(each.parts.values()))
        home = next(iter(part.inputs.values())).file.parents[1]
        os.replace(home, folder / role)
        parts[role] = sample_files.moved(part, home, folder / role)
    said = {"calibration": "calibrate", "test": "test"}
    words = "; ".join(
        f"{len(part)} samples of {found[role].name} {said[role]}" for role, part in parts.items()
    )
    return parts, words, None


def _arrays(parts: dict[str, Gathered]) -> dict[str, Any]:
    found: dict[str, Any] = dict.fromkeys(ROLES)
    for role, part in parts.items():
        found[role] = {name: stored.opened() for name, stored in part.inputs.items()}
        targets = {name: stored.opened() for name, stored in part.targets.items()}
        side = "targets" if role == "test" else "calibration_targets"
        found[side] = targets.get(Y, targets) if targets else None
    return found


def _checksum(folder: Path) -> str:
    listing = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*.npy"))
    return files.sha256("".join(f"{n} {files.sha256(folder / n)}\n" for n in listing).encode())


def _notes(parts: dict[str, Gathered], options: Options) -> tuple[str, ...]:
    said = [note for part in parts.values() for note in part.notes]
    scaled = dict.fromkeys(name for part in parts.values() for name in part.pixels)
    said += [f"{name}: pixels scaled by {options.scale}" for name in scaled if options.scale]
    return tuple(dict.fromkeys(said))


def _classes(parts: dict[str, Gathered]) -> tuple[str, ...]:
    named = {role: part.classes for role, part in parts.items() if part.classes}
    if len(set(named.values())) > 1:
        raise InputError(
            "the classes differ: "
            + "; ".join(f"{', '.join(names[:10])} to {role}" for role, names in named.items())
            + ". Both parts need every class, or the targets as numbers (lesson 15)"
        )
    return next(iter(named.values()), ())


def _pixels(parts: dict[str, Gathered], options: Options) -> dict[str, Any]:
    """What made floats of pixels, or, where nobody said what, every usual scaling."""
    names, *others = (part.pixels for part in parts.values())
    if others and set(names) != set(others[0]):
        raise InputError(
            "one part has pixels (uint8), the other floats: give both alike, or scale the pixels "
            "as in training, x.astype('float32') / 255 or whatever it was (lesson 15)"
        )
    if options.scale:
        return {"scalings": {name: options.pixels[name] for name in names}}
    usual = [own_images.usual(options.signature.sample_shape(name)) for name in names]
    common = [key for key in usual[0] if all(key in each for each in usual)] if usual else []
    return {"choices": {k: {n: u[k] for n, u in zip(names, usual, strict=True)} for k in common}}


def tries(data: Data, count: int = 200) -> Iterator[tuple[str, Rows, Targets]]:
    """Yield each usual scaling with some samples in it: its name, the rows, their targets.

    For data whose ``choices`` are open; at most ``count`` samples of those that calibrate, so that
    the test stays unseen. The scaling is right whose targets the float model hits.
    Defined in lesson 15.
    """
    role = "calibration" if data.calibration else "test"
    rows = {name: np.array(array[:count]) for name, array in getattr(data, role).items()}
    targets = data.calibration_targets if role == "calibration" else data.targets
    if targets is not None:
        several = isinstance(targets, dict)
        targets = {n: t[:count] for n, t in targets.items()} if several else targets[:count]
    for key, scalings in data.choices.items():
        yield key, rows | {n: scaling(rows[n]) for n, scaling in scalings.items()}, targets


def scaled(data: Data, scale: str, folder: str | os.PathLike) -> Data:
    """Return data whose ``choices`` are open with its pixels scaled, in ``folder/scaled``.

    ``scale`` is one of the choices, or any that ``own_images.scaling`` reads; InputError as there.
    Where no choice is open there is nothing to scale, and that is an InputError too.
    Defined in lesson 15.
    """
    names = next(iter(data.choices.values()), {})
    some = data.calibration or data.test or {}
    if not names:
        raise InputError(f"scale={scale!r}, but no pixels wait to be scaled (lesson 15)")
    scalings = {name: own_images.scaling(scale, some[name].shape[1:]) for name in names}
    final, made = Path(folder).absolute() / "scaled", {}
    with files.atomic_directory(final) as new:
        for role in ROLES:
            if rows := getattr(data, role):
                stored = {name: Stored(array.filename) for name, array in rows.items()}
                blocks = (
                    block | {name: scaling(block[name]) for name, scaling in scalings.items()}
                    for block in sample_files.blocks(stored)
                )
                made[role] = Gathered(sample_files.written(blocks, new / role), {})
    parts = {role: sample_files.moved(part, new, final) for role, part in made.items()}
    return replace(
        data,
        **{
            role: {name: stored.opened() for name, stored in part.inputs.items()}
            for role, part in parts.items()
        },
        notes=(*data.notes, *(f"{name}: pixels scaled by {scale}" for name in names)),
        scalings=scalings,
        choices={},
    )


# ---- what there is to read


def _found(source: Any, role: str, options: Options, folder: Path) -> Found:
    """Read one source to a folder; InputError with its name."""
    named = isinstance(source, str | os.PathLike)
    name = str(source) if named else f"the {type(source).__name__}"
    try:
        is_table = name.lower().endswith(".csv") if named else hasattr(source, "columns")
        if options.target is not None and not is_table:
            raise InputError(
                f"the column {options.target!r} is asked for, and only a .csv has columns: leave "
                "it out here"
            )
        if named:
            return _of_name(name, options, folder)
        return _of_object(source, name, options, folder)
    except ChildDied as error:
        how = str(error).partition(" ")[2]  # without the name of our function
        raise InputError(f"{name}: the process that read it {how}") from error
    except InputError as error:
        raise InputError(f"{role + ': ' if role else ''}{name}: {error}") from error


def _of_object(source: Any, name: str, options: Options, folder: Path) -> Found:
    if any(callable(getattr(source, function, None)) for function in code.FUNCTIONS):
        return replace(code.of_code(source, options, folder), name=name)
    if hasattr(source, "columns"):  # of pandas
        return Found(name, {"": tables.of_table(source, options, folder)})
    whole = isinstance(source, dict | tuple) or hasattr(source, "shape")
    gather = arrays.of_arrays if whole else code.of_stream
    return Found(name, {"": gather(source, options, folder)})


def _of_name(source: str, options: Options, folder: Path) -> Found:
    """Read a file, a folder, or a dataset. Code, and what imports TensorFlow, in a child."""
    if source.startswith(_TFDS):
        given = source.removeprefix(_TFDS), options, folder
        of_dataset = "lessons_lib.models.own_data.images:of_dataset"
        parts = call(of_dataset, *given, timeout=SECONDS, imported="tensorflow")
        return Found(source, parts)
    path = Path(source).expanduser().absolute()
    suffix = path.suffix.lower()
    if path.is_dir():
        return Found(path.name, {"": images.of_folder(path, options, folder)})
    if not path.is_file():
        raise InputError("there is no such file or folder")
    if suffix == ".py":
        given = path, options, folder
        of_file = "lessons_lib.models.own_data.code:of_file"
        found = call(of_file, *given, timeout=SECONDS, imported="numpy")
        found = replace(found, name=path.name)
        return code.with_metric(found, code.loaded(path)) if found.metric else found
    if suffix not in _READERS:
        raise InputError(
            f"{suffix or 'a file without an ending'} is not read; expected .npz, .npy, .csv, "
            ".py, a folder of images, or tfds:NAME. np.savez(file, x=x, y=y) writes an .npz "
            "(lesson 15)"
        )
    return Found(path.name, {"": _READERS[suffix](path, options, folder)})


_READERS = {".npz": arrays.of_npz, ".npy": arrays.of_npy, ".csv": tables.of_csv}
