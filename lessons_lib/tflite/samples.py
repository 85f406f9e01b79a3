"""Samples: one array for each input, by its name, in the model's own dtypes.

Learners have them as an array, a dictionary, a generator, a ``tf.data.Dataset`` or a Keras
``Sequence``, with targets or without. Here they become *rows*: a dictionary with one array for
each input, whose first axis counts samples. Nothing is scaled, cast or held: a stream is read
item by item.
"""

import itertools
import pickle
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lessons_lib.errors import InputError
from lessons_lib.system import sandbox
from lessons_lib.tflite.signature import Signature, TensorSpec

Rows = dict[str, np.ndarray]
_COUNTED = ((None,), (1,))  # first dimensions that may count samples


def rows(x: Any, signature: Signature, *, one: bool = False) -> Rows:
    """Return ``x`` by input name: arrays (N, ...) in the signature's dtypes, N at least 1.

    ``x`` is an array for a model with one input, a dictionary by the inputs' names, or a tuple or
    list in the owner's order, where the signature knows it, else in any order in which dtypes and
    shapes fit; ``tf.Tensor`` and pandas' tables will do for arrays. With ``one`` a single sample
    may come without the axis that counts samples. Raises InputError when names, dtypes or shapes do
    not fit, or fit in several orders, the numbers of samples differ, or a value is not finite.
    Defined in lesson 01.
    """
    found = {
        name: _counted(_array(name, value), signature, name, one)
        for name, value in _by_name(x, signature, one).items()
    }
    counts = {name: len(array) for name, array in found.items()}
    if len(set(counts.values())) != 1 or not all(counts.values()):
        listed = ", ".join(f"{count} of {name}" for name, count in counts.items())
        raise InputError(f"expected the same number of samples, at least one: {listed} (lesson 01)")
    for name, array in found.items():
        require_finite(array, name)
    return found


def stream(source: Any, signature: Signature) -> Iterator[Rows]:
    """Yield the rows of one item of ``source`` after the other.

    ``source`` is anything that ``rows`` takes, or yields such items: a function that returns a
    generator, a generator, a list, a ``tf.data.Dataset``, a Keras ``Sequence``. An item is one
    sample or a batch; of a pair ``(inputs, targets)`` the inputs are taken. Raises InputError, with
    the item's number.
    """
    for number, item in enumerate(items(source)):
        try:
            yield rows(_without_targets(item, len(signature.inputs)), signature, one=True)
        except InputError as error:
            raise InputError(f"sample {number}: {error}") from error


def items(source: Any) -> Iterator[Any]:
    """Yield what a source of samples has, tensors as arrays: whole arrays are one item.

    Raises InputError for what is no source, or a function that needs arguments.
    """
    if callable(source) and not hasattr(source, "__getitem__"):
        source = _called(source)
    if _is_array(source) or isinstance(source, dict | tuple):
        yield _numpy(source)
        return
    if hasattr(source, "__getitem__") and hasattr(source, "__len__") and not _is_text(source):
        source = map(source.__getitem__, range(len(source)))  # a list, or a Keras Sequence
    if not isinstance(source, Iterable) or _is_text(source):
        raise InputError(
            f"samples are arrays, or something that yields them; given: a {type(source).__name__}"
        )
    yield from map(_numpy, source)


def spool(source: Any, file: Path, most: int | None = None) -> int:
    """Write the items of ``source`` one by one to a file, for another process; return how many."""
    count = 0
    try:
        with open(file, "wb") as target:
            for item in itertools.islice(items(source), most):
                _dump(item, count, target)
                count += 1
    except OSError as error:
        raise sandbox.no_room(error) from error
    return count


def _dump(item: Any, number: int, target: BinaryIO) -> None:
    try:
        pickle.dump(item, target, protocol=5)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        kind = type(item).__name__
        raise InputError(f"sample {number} is a {kind}, no array ({error})") from error


def spooled(file: Path) -> Iterator[Any]:
    """Yield what ``spool`` wrote, one item in memory at a time."""
    with open(file, "rb") as source:
        while source.peek(1):
            yield pickle.load(source)


def size(item: Any) -> int:
    """Return how many bytes the arrays of one item of a source have."""
    if isinstance(item, dict):
        item = tuple(item.values())
    if isinstance(item, tuple | list):
        return sum(map(size, item))
    return getattr(item, "nbytes", 0)


def singly(found: Rows) -> Iterator[Rows]:
    """Yield one sample after the other: what is mapped from a file is never held as a whole."""
    for n in range(count(found)):
        yield {name: np.array(array[n : n + 1]) for name, array in found.items()}


def count(found: Rows) -> int:
    """Return how many samples these are."""
    return len(next(iter(found.values())))


def bare(found: Rows) -> np.ndarray | Rows:
    """Return the array of the only input or output; several stay a dictionary by name."""
    return next(iter(found.values())) if len(found) == 1 else found


def answers(
    invoke: Callable[[Rows], Rows], found: Rows, signature: Signature, batch_size: int
) -> Rows:
    """Return what a function of one call gives for all samples, call by call, joined."""
    parts = [invoke(part) for part in calls(found, signature, batch_size)]
    return joined(parts, signature, count(found))


def calls(found: Rows, signature: Signature, batch_size: int) -> Iterator[Rows]:
    """Yield what each call of a model takes, in the shapes that it takes.

    A call has ``batch_size`` samples where the signature leaves that open, as many as it fixes, or
    one where no dimension counts samples. The last samples are repeated where a call is short.
    """
    total = count(found)
    size = min(batch_size, total) if signature.open_batch else signature.batch
    whole = {name for name, spec in signature.inputs.items() if spec.shape[:1] not in _COUNTED}
    for start in range(0, total, size):
        part = {name: padded(array[start : start + size], size) for name, array in found.items()}
        for name in set() if signature.in_batches else whole:
            part[name] = part[name][0, ...]
        yield part


def joined(outputs: list[Rows], signature: Signature, count: int) -> Rows:
    """Return the outputs of all calls as arrays (N, ...), without those of repeated samples."""
    join = np.concatenate if signature.in_batches else _stacked
    found = {}
    for name in outputs[0]:
        parts = [part[name] for part in outputs]
        try:
            found[name] = join(parts)[:count]
        except ValueError as error:
            shapes = ", ".join(map(str, dict.fromkeys(part.shape for part in parts)))
            raise InputError(
                f"the output {name} has another size for each sample: {shapes}. Give it one size "
                "inside the model, filled up with zeros (lesson 07)"
            ) from error
    return found


def _stacked(parts: list[np.ndarray]) -> np.ndarray:
    """One sample each, whose first dimension of 1, if it has one, is taken for the count."""
    return np.stack([part[0] if part.shape[:1] == (1,) else part for part in parts])


def padded(part: np.ndarray, size: int) -> np.ndarray:
    """Return ``size`` rows: those given, the last one repeated."""
    missing = size - len(part)
    return np.concatenate([part, np.repeat(part[-1:], missing, axis=0)]) if missing else part


def regrouped(stream_of_rows: Iterable[Rows], size: int) -> Iterator[Rows]:
    """Yield the same samples in rows of ``size``, the last one filled by repeating a sample."""
    kept: Rows = {}
    for found in stream_of_rows:
        # A copy: the next item may be written over this one.
        kept = {n: np.concatenate([kept[n], a]) if kept else a.copy() for n, a in found.items()}
        while count(kept) >= size:
            yield {name: array[:size] for name, array in kept.items()}
            kept = {name: array[size:] for name, array in kept.items()}
        kept = kept if count(kept) else {}  # the next item may be of another size
    if kept:
        yield {name: padded(array, size) for name, array in kept.items()}


def drawn(signature: Signature, count: int = 4, seed: int = 0) -> Rows:
    """Return random inputs, to see whether a model runs; they say nothing about its task.

    The first sample is all zeros. Floats are drawn from 0 to 1, integers are 0 or 1.
    """
    rng = np.random.default_rng(seed)
    found = {}
    for name, spec in signature.inputs.items():
        shape = (count, *(size or 1 for size in signature.sample_shape(name)))
        values = rng.random(shape) if spec.is_float else rng.integers(0, 2, shape)
        values[0] = 0
        found[name] = values.astype(spec.dtype)
    return found


def require_finite(array: np.ndarray, name: str) -> None:
    """Raise InputError, with the place, when an array holds NaN or inf."""
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return
    what = "NaN" if np.isnan(array).any() else "inf"
    raise InputError(f"{name} holds {what}; every value must be a finite number (lesson 03)")


def _by_name(x: Any, signature: Signature, one: bool) -> dict[str, Any]:
    names = signature.order or tuple(signature.inputs)
    if isinstance(x, dict):
        if set(x) != set(names):
            given = ", ".join(map(repr, x)) or "nothing"
            raise InputError(
                f"a dictionary with {given}; the model's inputs are called "
                f"{', '.join(map(repr, names))} (lesson 01)"
            )
        return {name: x[name] for name in names}
    parts = list(x) if isinstance(x, tuple | list) else [x]
    if len(parts) == len(names):
        chosen = dict(zip(_placed(parts, names, signature, one), parts, strict=True))
        return {name: chosen[name] for name in signature.inputs}
    kinds = ", ".join(type(part).__name__ for part in parts) or "nothing"
    raise InputError(
        f"the model takes {', '.join(names)}; given: {kinds}. {_BY_NAME} {_form(names)} (lesson 01)"
    )


_BY_NAME = "Give a dictionary by name,"


def _form(names: Iterable[str]) -> str:
    return "{" + ", ".join(f"{name!r}: array" for name in names) + "}"


def _placed(
    parts: list, names: tuple[str, ...], signature: Signature, one: bool
) -> tuple[str, ...]:
    """The inputs' names in the order of ``parts``, which nobody named.

    TensorFlow Lite sorts inputs by name: taken in that order, two of one shape would be swapped
    without a word.
    """
    if len(names) == 1:
        return names
    fitting = [{name for name in names if _takes(signature, name, part, one)} for part in parts]
    if signature.order and all(name in fits for name, fits in zip(names, fitting, strict=True)):
        return names
    ways = list(itertools.islice(_ways(fitting), 2))
    if len(ways) == 2:
        raise InputError(
            f"the model takes {', '.join(names)}, and these {len(parts)} arrays fit in more than "
            f"one order. {_BY_NAME} {_form(names)} (lesson 01)"
        )
    return ways[0] if ways else names


def _takes(signature: Signature, name: str, part: Any, one: bool) -> bool:
    try:
        _counted(_array(name, part), signature, name, one)
    except InputError:
        return False
    return True


def _ways(fitting: list[set[str]]) -> Iterator[tuple[str, ...]]:
    """Every way to give each part one of the names that it fits, and each name once."""
    if not fitting:
        yield ()
    for name in sorted(fitting[0]) if fitting else ():
        for rest in _ways([others - {name} for others in fitting[1:]]):
            yield (name, *rest)


def _array(name: str, value: Any) -> np.ndarray:
    value = _numpy(value)
    if not isinstance(value, np.ndarray | np.generic):
        raise InputError(
            f"{name} is a {type(value).__name__}, not an array or a tensor: np.array(x, dtype) "
            "makes one (lesson 01)"
        )
    return np.asarray(value)


def _counted(array: np.ndarray, signature: Signature, name: str, one: bool) -> np.ndarray:
    """The array as (N, ...), its dtype and the shape of its samples checked."""
    spec, shape = signature.inputs[name], signature.sample_shape(name)
    if array.dtype != spec.dtype:
        raise InputError(
            f"{name}: expected {spec.dtype} input, got {array.dtype}{_cast(array, spec)}"
        )
    single = array.ndim == len(shape) and _fits(array.shape, shape)
    if single and (one or not signature.in_batches):
        return array[np.newaxis]
    if array.ndim != len(shape) + 1 or not _fits(array.shape[1:], shape):
        expected = ", ".join(["N", *("?" if size is None else str(size) for size in shape)])
        cure = ": add the batch axis, x[np.newaxis]" if single else ""
        raise InputError(
            f"{name}: expected input of shape ({expected}), got {array.shape}{cure} (lesson 01)"
        )
    return array


def _fits(found: tuple[int, ...], shape: tuple[int | None, ...]) -> bool:
    return all(wanted in (None, size) for size, wanted in zip(found, shape, strict=True))


def _cast(array: np.ndarray, spec: TensorSpec) -> str:
    """How to come from the dtype that was given to the one that is needed."""
    if spec.scale is not None:
        return ": Model.quantize_input makes it from floats (lesson 07)"
    if spec.is_float and array.dtype.kind in "iub":
        return f": scale it as in training, then x.astype({spec.dtype.name!r}) (lesson 01)"
    if spec.dtype.kind in "iu" and array.dtype.kind == "f" and (array % 1 != 0).any():
        return (
            ", which is not even whole: give the numbers as they are before any scaling, such as "
            f"pixels from 0 to 255, or tokens, as {spec.dtype.name} (lesson 01)"
        )
    return f": x.astype({spec.dtype.name!r}) converts it (lesson 01)"


def _without_targets(item: Any, inputs: int) -> Any:
    """The inputs of a tuple ``(inputs, targets)`` or ``(inputs, targets, weights)``."""
    if not isinstance(item, tuple) or len(item) not in (2, 3):
        return item
    first = item[0]
    nested = isinstance(first, dict | tuple | list) and len(first) == inputs
    return first if nested or inputs == 1 else item


def _called(function: Callable) -> Any:
    try:
        return function()
    except TypeError as error:
        raise InputError(
            f"calling the function, without arguments, gave nothing that yields ({error})"
        ) from error


def _is_text(value: Any) -> bool:
    return isinstance(value, str | bytes)


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray | np.generic) or (
        hasattr(value, "shape") and (hasattr(value, "numpy") or hasattr(value, "to_numpy"))
    )


def _numpy(value: Any) -> Any:
    """Tensors and tables as arrays, without importing their libraries, also inside containers."""
    if isinstance(value, dict):
        return {name: _numpy(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        kind = tuple if isinstance(value, tuple) else list  # also for a namedtuple
        return kind(map(_numpy, value))
    if hasattr(value, "to_numpy"):  # of pandas
        return value.to_numpy()
    return value.numpy() if hasattr(value, "numpy") else value


def no_classes(shape: tuple[int, ...]) -> str:
    """Return what to measure of outputs of this shape, which are not class numbers (N,)."""
    if len(shape) == 0:
        return "one number is no list of samples"
    if len(shape) == 1 or (len(shape) == 2 and shape[1] == 1):
        column = "" if len(shape) == 1 else "[:, 0]"
        return (
            f"one sigmoid gives yes or no by a threshold, (outputs{column} > 0.5).astype(int); of "
            "a quantity take the error in its unit (tasks: binary, regression)"
        )
    if len(shape) == 2:
        return "take argmax(axis=1) of probabilities first"
    return (
        "with a class for each position take argmax(axis=-1), and compare position by position "
        "(tasks: segmentation, tagging; regression for quantities)"
    )
