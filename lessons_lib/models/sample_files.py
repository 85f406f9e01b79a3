"""Samples and targets in files: cast to what the model takes, checked, never held in memory.

A set of 150 images of 640×640×3 is 700 MB as float32. Here it goes from its source to ``.npy``
files block by block, and is read back the same way. Targets go along. Other tools hold all of it,
or calibrate from the stream and measure on nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lessons_lib.errors import InputError
from lessons_lib.tflite import samples
from lessons_lib.tflite.samples import Rows
from lessons_lib.tflite.signature import Signature, TensorSpec

BLOCK_BYTES = 2**23  # of one block in memory
MOST_SAMPLES = 100_000  # of a stream; more means that it never ends
MOST_BYTES = 2**33
Y = "y"  # the name of targets that name no output


class Stored:
    """An array (N, ...) in a ``.npy`` file: what is asked of it is copied, the rest stays there."""

    def __init__(self, file: Path):
        self.file = Path(file)
        self.shape, self.dtype = (lambda array: (array.shape, array.dtype))(self.opened())

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows) -> np.ndarray:
        return np.array(self.opened()[rows])

    def opened(self) -> np.ndarray:
        """The array, mapped: read-only, and only as long as somebody holds it."""
        return np.load(self.file, mmap_mode="r", allow_pickle=False)


Columns = Mapping[str, Stored | np.ndarray]  # arrays of one length


class Writer:
    """Arrays that grow together, block by block, each in a ``.npy`` file of the folder.

    A context; ``stored`` has the arrays when it ends.
    """

    def __init__(self, folder: Path):
        self.folder, self.count, self.bytes = folder, 0, 0
        self.stored: dict[str, Stored] = {}
        self._open: dict[str, tuple[BinaryIO, np.dtype, tuple[int, ...]]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> "Writer":
        return self

    def append(self, block: Rows) -> None:
        """Add rows (n, ...); InputError where they differ in names, dtypes or shapes."""
        if self._open and set(block) != set(self._open):
            raise InputError(f"it has {', '.join(block)}; those before {', '.join(self._open)}")
        for name, array in block.items():
            if name not in self._open:
                self._open[name] = self._begun(len(self._open)), array.dtype, array.shape[1:]
                self._header(name, 0)
            file, dtype, shape = self._open[name]
            if (array.dtype, array.shape[1:]) != (dtype, shape):
                raise InputError(
                    f"{name} is {array.dtype} {array.shape[1:]}; in the samples before it was "
                    f"{dtype} {shape}: give all of one dtype and size, cut or padded as in training"
                )
            file.write(np.ascontiguousarray(array).data)
            self.bytes += array.nbytes
        self.count += len(next(iter(block.values())))

    def _begun(self, number: int) -> BinaryIO:
        return open(self.folder / f"{number}.npy", "wb")  # a name may hold what no file's may

    def _header(self, name: str, count: int) -> None:
        """NumPy leaves room in a header for any number of rows: it is written again at the end."""
        file, dtype, shape = self._open[name]
        file.seek(0)
        head = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False}
        np.lib.format.write_array_header_1_0(file, head | {"shape": (count, *shape)})

    def __exit__(self, *failure) -> None:
        for name, (file, *_) in self._open.items():
            with file:
                if not any(failure):
                    self._header(name, self.count)
            if not any(failure):
                self.stored[name] = Stored(Path(file.name))


def blocks(columns: Columns, order: np.ndarray | None = None) -> Iterator[Rows]:
    """Yield the rows of arrays of one length in blocks, in their order or in that of ``order``."""
    row = sum(column[:1].nbytes for column in columns.values())
    size = max(1, BLOCK_BYTES // max(1, row))
    total = len(next(iter(columns.values()))) if order is None else len(order)
    for start in range(0, total, size):
        rows = slice(start, start + size)
        chosen = rows if order is None else order[rows]
        yield {name: column[chosen] for name, column in columns.items()}


def written(found: Iterable[Rows], folder: Path) -> dict[str, Stored]:
    """Write blocks of rows to files of a folder, and return the arrays."""
    with Writer(folder) as writer:
        for block in found:
            writer.append(block)
    return writer.stored


Pixels = Mapping[str, Callable[[np.ndarray], np.ndarray]]


@dataclass
class Gathered:
    """What a source gave: arrays (N, ...) by the inputs' names, and the targets by the outputs'.

    ``targets`` has the one name ``y`` where they name no output, and nothing where there are none.
    ``notes`` say what was done to the numbers; ``classes`` is what text targets were made from;
    ``pixels`` has the float inputs for which uint8 came, scaled or not.
    """

    inputs: dict[str, Stored]
    targets: dict[str, Stored]
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    pixels: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))


def gather(
    pairs: Iterable[tuple[Any, Any]],
    signature: Signature,
    folder: Path,
    pixels: Pixels | None = None,
    *,
    whole: bool = False,
    endless: bool = False,
) -> Gathered:
    """Write the samples of a source, pairs of inputs and targets, to a folder.

    Each pair is one sample or a batch of any size; targets are None where there are none. Numbers
    of another dtype are cast where nothing is lost. uint8 for a float input are pixels: ``pixels``
    scales them, by input name; without it they stay uint8. ``whole``: no pair is a single sample
    without the axis that counts. ``endless``: the source may never end, so it has a limit.
    Raises InputError, with the sample's number, for what does not fit the signature, is not finite,
    is more than the limit or nothing at all, and for targets of another number or shape.
    """
    intake = _Intake(signature, pixels or {}, whole)
    with Writer(folder / "inputs") as inputs, Writer(folder / "targets") as targets:
        for x, y in pairs:
            start = inputs.count
            try:
                block, given = intake.taken(x, y, start)
                _require_targets(bool(given), bool(targets.count or intake.texts), start)
                inputs.append(block)
                intake.keep(given, targets)
            except _Placed:
                raise
            except InputError as error:
                before = "" if whole else f"sample {start}: "
                raise InputError(f"{before}{error}") from error
            if endless:
                _require_end(inputs)
        if not inputs.count:
            raise InputError("no samples: give two at least, some hundreds to be sure (lesson 06)")
        classes = intake.classes(signature, targets)
    _require_several_values(targets.stored)
    return Gathered(
        inputs.stored, targets.stored, tuple(intake.said), classes, tuple(intake.met_pixels)
    )


def _require_end(inputs: Writer) -> None:
    if inputs.count > MOST_SAMPLES or inputs.bytes > MOST_BYTES:
        raise InputError(
            f"more than {inputs.count - 1:,} samples ({inputs.bytes / 2**30:.1f} GiB): does it "
            "ever end? Yield a limited number; some hundreds calibrate, some thousands test "
            "(lesson 06)"
        )


class _Placed(InputError):
    """An error that says by itself which sample is at fault."""


def as_array(value: Any, name: str) -> np.ndarray:
    """Return anything as an array; InputError for rows of several lengths."""
    try:
        return np.asarray(value)
    except ValueError as error:
        raise InputError(
            f"{name} has rows of several lengths: cut or pad all to one, as in training"
        ) from error


class _Intake:
    """Makes rows of what comes, and remembers what it did and met on the way."""

    def __init__(self, signature: Signature, pixels: Pixels, whole: bool):
        self.signature, self.pixels, self.whole = signature, pixels, whole
        self.texts: dict[str, list[str]] = {}
        self.said: dict[str, None] = {}  # in order, each once
        self.met_pixels: dict[str, None] = {}

    def taken(self, x: Any, y: Any, start: int) -> tuple[Rows, Rows]:
        """The rows of a pair, and the targets, whose first sample has the number ``start``."""
        named = self._named(x)
        specs = dict(self.signature.inputs)
        for name in named.keys() & specs.keys():
            single = np.ndim(named[name]) == len(self.signature.sample_shape(name))
            single &= not self.whole
            named[name] = self._cast(named[name], specs[name], single, start)
            if named[name].dtype == np.uint8 and specs[name].is_float:
                specs[name] = replace(specs[name], dtype=np.dtype("uint8"))
        fitted = replace(self.signature, inputs=specs)
        found = samples.rows(named, fitted, one=not self.whole)
        first = next(iter(found))
        single = np.ndim(named[first]) < found[first].ndim
        return found, _targets(y, self.signature, samples.count(found), single, start)

    def _named(self, x: Any) -> dict[str, Any]:
        """The inputs by name. Where nothing says their order, dtypes and shapes must."""
        names = self.signature.order or tuple(self.signature.inputs)
        if isinstance(x, dict):
            return dict(x)
        if len(names) == 1:
            alone = isinstance(x, tuple | list) and len(x) == 1 and np.ndim(x[0])
            return {names[0]: x[0] if alone else x}
        if self.signature.order and isinstance(x, tuple | list) and len(x) == len(names):
            return dict(zip(names, x, strict=True))
        return samples.rows(x, self.signature, one=not self.whole)

    def _cast(self, value: Any, spec: TensorSpec, single: bool, start: int) -> np.ndarray:
        array = as_array(value, spec.name)
        _require_numbers(array, spec)
        _require_finite(array[np.newaxis] if single else array, spec.name, start)
        if array.dtype == spec.dtype:
            return array
        if array.dtype == np.uint8 and spec.is_float:
            self.met_pixels[spec.name] = None
            return self.pixels[spec.name](array) if self.pixels else array
        with np.errstate(over="ignore", invalid="ignore"):
            cast = array.astype(spec.dtype)
        lost = ~np.isfinite(cast) if spec.is_float else cast != array
        if lost.any():
            raise InputError(_does_not_fit(array[lost][0], spec))
        self.said[f"{spec.name}: {array.dtype} cast to {spec.dtype}"] = None
        return cast

    def keep(self, given: Rows, targets: Writer) -> None:
        """Write targets that are numbers; text waits until all of it is known."""
        texts = {name: array for name, array in given.items() if array.dtype.kind in "US"}
        for name, array in texts.items():
            if array.ndim != 1:
                raise InputError(f"the targets are text of shape {array.shape}: one name a sample")
            self.texts.setdefault(name, []).extend(array.astype(str).tolist())
        if texts and len(given) > 1:
            raise InputError(f"the targets {', '.join(texts)} are text: give numbers for each")
        if given and not texts:
            targets.append(given)

    def classes(self, signature: Signature, targets: Writer) -> tuple[str, ...]:
        """Text targets become numbers in sorted order, as Keras and scikit-learn count them."""
        for name, texts in self.texts.items():
            names, numbers = np.unique(texts, return_inverse=True)
            require_all_classes(names.tolist(), signature)
            targets.append({name: numbers.astype(np.int64)})
            self.said[numbered(names.tolist())] = None
            return tuple(names.tolist())
        return ()


def numbered(names: list[str]) -> str:
    """How classes that have names were counted, in words."""
    listed = ", ".join(f"{n} = {name}" for n, name in enumerate(names[:10]))
    more = ", ..." if len(names) > 10 else ""
    return f"classes are numbered in sorted order: {listed}{more}"


def require_all_classes(names: list[str], signature: Signature) -> None:
    """Raise InputError where names are fewer or more than the model's classes: all would shift."""
    if len(names) < 2:
        raise InputError(
            f"there is one class only, {', '.join(names)}: whatever the model does, no measure can "
            "tell a good one from a bad one. Give samples of every class that it knows"
        )
    shapes = [spec.shape for spec in signature.outputs.values()]
    columns = shapes[0][-1] if len(shapes) == 1 and len(shapes[0]) == 2 else None
    if columns is not None and len(names) != max(columns, 2):
        raise InputError(
            f"{len(names)} classes ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''}), "
            f"but the model's output has {columns} columns: their numbers would not be the "
            "model's. Give the targets as the model's own class numbers (int64), or samples of "
            "every class; for images, a folder for every class, empty where there are none"
        )


def _require_numbers(array: np.ndarray, spec: TensorSpec) -> None:
    if array.dtype.kind not in "fiub" or spec.dtype.kind not in "fiub":
        raise InputError(
            f"{spec.name} is {array.dtype}, the model takes {spec.dtype}: only arrays of numbers "
            "can be read; tokenize or encode text as in training, before it comes here"
        )


def _require_finite(array: np.ndarray, name: str, start: int) -> None:
    """Raise InputError with the number of the first sample that has NaN or inf."""
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return
    bad = ~np.isfinite(np.atleast_1d(array))
    row = start + int(bad.reshape(len(bad), -1).any(1).argmax())
    what = "NaN" if np.isnan(array).any() else "inf"
    raise _Placed(
        f"sample {row}: {name} holds {what}; fill in what is missing as in training, or leave the "
        "sample out: np.isfinite finds it (lesson 03)"
    )


def _does_not_fit(value: np.generic, spec: TensorSpec) -> str:
    if spec.is_float:
        return f"{spec.name} holds {value}, which is more than {spec.dtype} can say (lesson 05)"
    if value != np.rint(value):
        return (
            f"{spec.name} holds {value}, but the model takes whole numbers ({spec.dtype}): give "
            "tokens or pixels as they are, before any scaling (lesson 01)"
        )
    limits = np.iinfo(spec.dtype) if spec.dtype.kind in "iu" else None
    span = "False and True" if limits is None else f"{limits.min} to {limits.max}"
    return f"{spec.name} holds {value}, but the model takes {spec.dtype}, {span} (lesson 01)"


def named_targets(y: Any, signature: Signature) -> dict[str, Any]:
    """Return targets by the outputs' names, or as ``y``; nothing where there are none.

    Raises InputError for names that no output has.
    """
    outputs = tuple(signature.outputs)
    if isinstance(y, tuple | list) and len(y) == len(outputs) > 1:
        return dict(zip(outputs, y, strict=True))
    if not isinstance(y, dict):
        return {} if y is None else {Y: y}
    if unknown := [str(name) for name in y if name not in outputs]:
        raise InputError(
            f"targets are given for {', '.join(unknown)}; the model's outputs are called "
            f"{', '.join(outputs)} (lesson 01)"
        )
    return y


def _targets(y: Any, signature: Signature, count: int, single: bool, start: int) -> Rows:
    """Targets by name, (n, ...) for n samples."""
    named = named_targets(y, signature)
    found = {name: _counted(name, value, count, single) for name, value in named.items()}
    for name, array in found.items():
        _require_finite(array, f"the target {name!r}", start)
    return found


def _counted(name: str, value: Any, count: int, single: bool) -> np.ndarray:
    array = as_array(value, f"the target {name!r}")
    if array.dtype == object and array.size and all(isinstance(v, str) for v in array.flat):
        array = array.astype(str)
    if array.dtype.kind not in "fiubUS":
        raise InputError(f"the target {name!r} is {array.dtype}; expected numbers, or class names")
    if count == 1 and (single or array.shape[:1] != (1,)):
        array = array[np.newaxis]
    if array.shape[:1] != (count,):
        raise InputError(
            f"{count} samples, but {len(array) if array.ndim else 'one'} of the target {name!r}: "
            "each sample needs its own"
        )
    return array


def _require_targets(given: bool, before: bool, number: int) -> None:
    if number and given != before:
        has, had = ("a target", "none") if given else ("no target", "targets")
        raise InputError(f"it comes with {has}, those before with {had}: give all of them one")


def _require_several_values(targets: dict[str, Stored]) -> None:
    """Raise InputError where every sample has the same target."""
    for name, stored in targets.items():
        values = stored[:] if stored.shape[1:] in ((), (1,)) else np.arange(2)
        if len(values) > 1 and (values == values[0]).all():
            raise InputError(
                f"all {len(values)} targets ({name}) are {values.flat[0]}: whatever the model "
                "does, no measure can tell a good one from a bad one. Give samples of several "
                "classes or values"
            )


def moved(gathered: Gathered, old: Path, new: Path) -> Gathered:
    """Return the same after the folder ``old`` was renamed to ``new``."""
    sides = (
        {name: Stored(new / stored.file.relative_to(old)) for name, stored in side.items()}
        for side in (gathered.inputs, gathered.targets)
    )
    return replace(gathered, **dict(zip(("inputs", "targets"), sides, strict=True)))


def drawn(gathered: Gathered, seed: int, most: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of the samples that calibrate and of those that test, at random.

    Half and half, but at most ``most`` calibrate. Raises InputError for fewer than two samples.
    """
    count = len(gathered)
    if count < 2:
        raise InputError("one sample: one must calibrate and another test, so give two at least")
    order = np.random.default_rng(seed).permutation(count)
    half = min(most, count // 2)
    return order[:half], order[half:]


def parted(gathered: Gathered, order: np.ndarray, folder: Path) -> Gathered:
    """Return some of the samples, in the given order, in files of their own."""
    parts = {
        side: written(blocks(columns, order), folder / side) if columns else {}
        for side, columns in (("inputs", gathered.inputs), ("targets", gathered.targets))
    }
    return replace(gathered, **parts)


def pairs(inputs: Columns, targets: Columns) -> Iterator[tuple[Rows, Any]]:
    """Yield whole arrays block by block, as ``gather`` takes them.

    Raises InputError where their lengths differ.
    """
    columns = {("x", name): column for name, column in inputs.items()}
    columns |= {("y", name): column for name, column in targets.items()}
    counts = {name: len(column) for (_, name), column in columns.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{count} of {name}" for name, count in counts.items())
        raise InputError(f"expected as many of each: {listed}")
    for block in blocks(columns):
        x, y = (
            {name: part for (side, name), part in block.items() if side == wanted}
            for wanted in "xy"
        )
        yield x, y.get(Y, y) if y else None
