"""Which task an output has: seen from shapes and numbers, or named by its owner.

    found = recognise(float_outputs, targets)        # or recognise(..., task="regression")
    for task in found:
        print(task, task.value(float_outputs[task.output]))

Nothing here runs a model; ``measures`` says what each task counts, ``verdict`` whether two models
differ. Other tools are told the task (Edge Impulse's ``model_output_type``) or print everything
for all (ST Edge AI). Given up here: detection (mean average precision) and the generation of text;
for those pass your own ``metric``.
"""

from collections.abc import Mapping
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike

from lessons_lib.errors import InputError
from lessons_lib.judge import measures
from lessons_lib.judge.measures import Arrays, Metric, Task, columns, squeezed
from lessons_lib.tflite import samples

KINDS = (
    "classification",
    "binary",
    "multilabel",
    "tagging",
    "segmentation",
    "regression",
    "autoencoder",
    "embedding",
    "no targets",
)


def recognise(
    outputs: Arrays | np.ndarray,
    targets: Arrays | ArrayLike | None = None,
    *,
    inputs: Arrays | np.ndarray | None = None,
    task: str | Mapping[str, str] | None = None,
    threshold: float | None = None,
    ignore: int | None = None,
    metric: Metric | None = None,
    lower_is_better: bool = False,
) -> tuple[Task, ...]:
    """Return the task of each output, seen from shapes and numbers, or as ``task`` names it.

    ``outputs``: float32's, real numbers by output name (a bare array: one output), (N, ...).
    ``targets``: an array (N, ...), or arrays by output name; a list only where each array fits one
    output alone. An output without any is judged by its likeness. ``inputs``, by name: an output of
    an input's shape that rebuilds it is an autoencoder's. ``task``: one of KINDS, or one by output
    name.
    ``threshold``: of yes or no, by default 0.5, and 0 where the outputs leave 0..1 (logits).
    ``ignore``: the target of positions that do not count. ``metric``: your own measure, for all
    outputs together; see Own.
    Raises InputError, naming the shapes and what would fit, when targets fit no task or not the
    one that is named, for NaN or inf, fewer than two samples, and names that nothing bears.
    """
    outputs = named(outputs, "output")
    count = _count_samples(outputs)
    if metric is not None:
        return (_own(outputs, _rows_of(targets, count), metric, lower_is_better),)
    for name, output in outputs.items():
        require_finite(output, f"float32's output {name!r}")
    options = {"threshold": threshold, "ignore": ignore}
    options["inputs"] = {} if inputs is None else named(inputs, "input")
    kinds = _kinds(task, outputs)
    by_output = _targets_by_output(outputs, targets, kinds, options)
    return tuple(
        _task(name, output, by_output.get(name), kinds.get(name), **options)
        for name, output in outputs.items()
    )


def _own(outputs: Arrays, targets, metric: Metric, lower_is_better: bool) -> measures.Own:
    return measures.Own(
        output=", ".join(outputs),
        count=_count_samples(outputs),
        targets=targets,
        outputs=tuple(outputs),
        metric=metric,
        lower_is_better=lower_is_better,
    )


def _task(name, output, targets, kind, *, inputs, threshold, ignore) -> Task:
    """The task of one output; ``kind`` is None where it must be recognised."""
    if targets is not None:
        targets = _numbers(name, targets, len(output))
    rebuilt = _rebuilt(output, inputs)
    kind = kind or _recognised(name, output, targets, rebuilt)
    common = {"output": name, "count": len(output)}
    if kind == "no targets" or (kind == "embedding" and targets is None):
        return _likeness(kind, output, common)
    if kind == "autoencoder":
        return _autoencoder(name, output, targets, inputs, common)
    if kind == "embedding":
        if targets.shape != (len(output),) or output.ndim < 2:
            raise _misfit(name, output, targets, kind)
        return measures.Embedding(targets=targets, **common)
    if kind in ("binary", "multilabel"):
        return _yes_or_no(kind, name, output, targets, threshold, common)
    if kind == "regression":
        return _regression(name, output, targets, common)
    return _classes(kind, name, output, targets, threshold, ignore, common)


def _recognised(name, output, targets, rebuilt) -> str:
    """The kind of an output's task, from shapes and numbers: the rules in order."""
    yes_no = targets is not None and np.isin(targets, (0, 1)).all()
    if rebuilt is not None and (targets is None or (yes_no and targets.shape == output.shape[:1])):
        return "autoencoder"
    if targets is None:
        return "no targets"
    whole = bool((targets == np.rint(targets)).all())
    positions = _positions(output)
    several = output.ndim > 1 and output.shape[-1] > 1
    as_classes = several or np.issubdtype(output.dtype, np.integer)
    if as_classes and whole and _without_last(targets, positions) is not None:
        return {1: "classification", 2: "tagging"}.get(len(positions), "segmentation")
    if several and targets.shape == output.shape and _one_hot(targets):
        return {1: "classification", 2: "tagging"}.get(len(positions), "segmentation")
    if squeezed(targets).shape != squeezed(output).shape:
        raise _misfit(name, output, targets)
    if not yes_no:
        _require_no_yes_or_no(name, output, targets)
        return "regression"
    if several:
        return "multilabel"
    return {1: "binary", 2: "multilabel"}.get(squeezed(output).ndim, "segmentation")


def _require_no_yes_or_no(name: str, output: np.ndarray, targets: np.ndarray) -> None:
    """Two numbers that a sigmoid's output never reaches are yes and no, in another writing."""
    found = np.unique(targets)
    if len(found) == 2 and not _leaves_0_to_1(output) and _leaves_0_to_1(targets):
        raise InputError(
            f"targets of output {name!r} are {found[0]:g} and {found[1]:g}, and its numbers are "
            f"from 0 to 1: for yes or no give zeros and ones, (targets == {found[1]:g}).astype(int)"
            "; else name the task, task='regression'"
        )


def _leaves_0_to_1(array: np.ndarray) -> bool:
    return bool(array.min() < -1e-3 or array.max() > 1 + 1e-3)


def _likeness(kind: str, output: np.ndarray, common: dict) -> measures.Likeness:
    if kind == "embedding":
        return measures.EmbeddingLikeness(reference=output, **common)
    if np.issubdtype(output.dtype, np.integer):
        return measures.Agreement(reference=output, **common)
    return measures.Likeness(reference=output, **common)


def _autoencoder(name, output, targets, inputs: Arrays, common: dict) -> Task:
    alike = [x for x in inputs.values() if x.shape == output.shape]
    if targets is not None and targets.shape == output.shape:
        return measures.Autoencoder(targets=targets, **common)
    if not alike:
        shapes = ", ".join(f"{key} {x.shape}" for key, x in inputs.items()) or "none"
        raise InputError(
            f"output {name!r} {output.shape} as an autoencoder's: pass the inputs that it rebuilds "
            f"as inputs=, in its shape and unit; given: {shapes}"
        )
    source = min(alike, key=lambda x: measures.squared_errors(output, x).mean())
    if targets is None:
        return measures.Autoencoder(targets=source, **common)
    if targets.shape != output.shape[:1] or not np.isin(targets, (0, 1)).all():
        raise _misfit(name, output, targets, "autoencoder")
    if targets.min() == targets.max():  # no strange sample, or only such: no area to measure
        return measures.Autoencoder(targets=source, **common)
    return measures.Anomaly(targets=targets.astype(np.int64), inputs=source, **common)


def _yes_or_no(kind, name, output, targets, threshold, common) -> Task:
    fits = targets is not None and squeezed(targets).shape == squeezed(output).shape
    if not fits or not np.isin(targets, (0, 1)).all():
        raise _misfit(name, output, targets, kind)
    if kind == "binary" and squeezed(output).ndim != 1:
        raise _misfit(name, output, targets, kind)
    threshold = _threshold(name, output, threshold)
    if kind == "binary":
        truth = squeezed(targets).astype(bool)
        return measures.Binary(targets=truth, threshold=threshold, **common)
    truth = targets.reshape(squeezed(output).shape).astype(bool)
    return measures.Multilabel(targets=truth, threshold=threshold, **common)


def _regression(name, output, targets, common) -> measures.Regression:
    if targets is None or squeezed(targets).shape != squeezed(output).shape:
        raise _misfit(name, output, targets, "regression")
    targets = targets.reshape(output.shape)
    if columns(targets) > 1:
        common |= {"measure": "MAE in deviations of the targets"}
    return measures.Regression(targets=targets, **common)


def _classes(kind, name, output, targets, threshold, ignore, common) -> Task:
    """Classification, tagging or segmentation: a class number for each position."""
    if targets is not None and targets.shape == output.shape and _one_hot(targets):
        targets = targets.argmax(axis=-1)
    positions, classes = _positions(output), columns(output)
    if np.issubdtype(output.dtype, np.integer):
        classes = int(output.max()) + 1
    one_sigmoid = kind == "segmentation" and _is_one_sigmoid(output, targets)
    if one_sigmoid:
        positions, classes = squeezed(output).shape, 2
        threshold = _threshold(name, output, threshold)
    ranks = {"classification": (1,), "tagging": (2,)}.get(kind, range(2, 99))
    numbers = None if targets is None else _without_last(targets, positions)
    if numbers is None or len(positions) not in ranks or classes < 2:
        raise _misfit(name, output, targets, kind)
    numbers = _class_numbers(name, output, numbers, classes, ignore)
    if kind == "classification":
        return measures.Classification(targets=numbers, **common)
    if kind == "tagging":
        return measures.Tagging(targets=numbers, ignore=ignore, **common)
    if one_sigmoid:
        if not (numbers == 1).any():
            raise InputError(f"targets of output {name!r} hold no foreground, and so no IoU")
        common |= {"measure": "IoU", "threshold": threshold}
    classes = max(classes, int(numbers[numbers != ignore].max(initial=0)) + 1)
    return measures.Segmentation(targets=numbers, classes=classes, ignore=ignore, **common)


def _is_one_sigmoid(output: np.ndarray, targets: np.ndarray | None) -> bool:
    """Whether a mask comes from one number a pixel, (N, H, W, 1) or (N, H, W)."""
    if np.issubdtype(output.dtype, np.integer) or targets is None:
        return False
    return squeezed(output).ndim < output.ndim or targets.shape == output.shape


def _class_numbers(name, output, targets, classes: int, ignore: int | None) -> np.ndarray:
    """Whole targets as int64, each a class that the output has, or ``ignore``."""
    whole = targets == np.rint(targets)
    if not whole.all():
        raise InputError(
            f"targets of output {name!r} hold {targets[~whole][0]}; class numbers are whole"
        )
    numbers = targets.astype(np.int64)
    bounded = not np.issubdtype(output.dtype, np.integer)
    if bounded and numbers.min() == 1 and numbers.max() == classes:
        raise InputError(
            f"targets of output {name!r} are 1 to {classes}, and its classes are 0 to "
            f"{classes - 1}: they count from 1, give targets - 1"
        )
    if (numbers == ignore).all():
        raise InputError(
            f"targets of output {name!r} are all {ignore}, which ignore= leaves out: nothing is "
            "left to measure"
        )
    # A sample that does not count has no place among the shares of classification.
    marked = (numbers == ignore) & (numbers.ndim > 1)
    strange = ~marked & ((numbers < 0) | (bounded & (numbers >= classes)))
    if strange.any():
        place, written = np.argwhere(strange)[0][0], np.unique(numbers)
        cure = "what marks positions that do not count is ignore=, such as ignore=255"
        if numbers.ndim == 1:
            cure = "leave out the samples that do not count, from the outputs and the targets"
        if classes == len(written) == 2:
            cure = f"give zeros and ones, (targets == {written[1]}).astype(int)"
        raise InputError(
            f"targets of output {name!r} hold class {numbers[strange][0]} (sample {place}), and "
            f"its classes are 0 to {classes - 1}: {cure}"
        )
    return numbers


def _misfit(name, output, targets, kind: str | None = None) -> InputError:
    """The error of targets that fit no task, or not the one that was asked for."""
    given = "no targets" if targets is None else f"targets {targets.dtype} {targets.shape}"
    asked = f" as {kind}" if kind else ""
    reason = ""
    if kind == "classification" and (output.ndim != 2 or output.shape[1] < 2):
        reason = f" Such an output has no classes: {samples.no_classes(output.shape)}."
    return InputError(
        f"output {name!r}, {output.dtype} {output.shape}, and {given} do not fit{asked}.{reason} "
        f"What fits: {'; '.join(_fitting(output))}; or a measure of your own, metric="
    )


def _fitting(output: np.ndarray) -> list[str]:
    """Which targets an output could have."""
    shape, positions = output.shape, _positions(output)
    if np.issubdtype(output.dtype, np.integer):
        return [f"class numbers {shape}"]
    fitting = [f"numbers {shape} (regression)"]
    if output.ndim > 1 and shape[-1] > 1:
        kind = {1: "classification", 2: "tagging"}.get(len(positions), "segmentation")
        fitting.insert(0, f"class numbers {positions}, 0 to {shape[-1] - 1} ({kind})")
        fitting.append(f"zeros and ones {shape} (multilabel)")
        return fitting
    kind = {1: "binary", 2: "multilabel"}.get(squeezed(output).ndim, "segmentation")
    return [f"zeros and ones {squeezed(output).shape} ({kind})", *fitting]


def _kinds(task: str | Mapping[str, str] | None, outputs: Arrays) -> dict[str, str]:
    """The kinds that somebody named, by output."""
    require_kinds(task)
    kinds = dict.fromkeys(outputs, task) if isinstance(task, str) else dict(task or {})
    for name in kinds:
        if name not in outputs:
            raise InputError(f"task names output {name!r}; there is {_listed(outputs)}")
    return kinds


def require_kinds(task: str | Mapping[str, str] | None) -> None:
    """Raise InputError for a ``task``, or one by output name, that is none of KINDS."""
    for kind in [task] if isinstance(task, str) else (task or {}).values():
        if kind not in KINDS:
            raise InputError(f"task {kind!r}; expected one of {', '.join(KINDS)}")


def _targets_by_output(outputs: Arrays, targets, kinds, options) -> dict[str, ArrayLike]:
    """Which targets belong to which output; those of one array to the only output that it fits."""
    if targets is None:
        return {}
    if isinstance(targets, Mapping):
        unknown = [name for name in targets if name not in outputs]
        if unknown:
            raise InputError(f"targets name output {unknown[0]!r}; there is {_listed(outputs)}")
        return {name: given for name, given in targets.items() if given is not None}
    if len(outputs) == 1:
        return {next(iter(outputs)): targets}
    count = _count_samples(outputs)
    if isinstance(targets, list | tuple) and len(targets) == len(outputs) != count:
        return _placed(outputs, targets, kinds, options)
    fits = [name for name in outputs if _fits(name, outputs[name], targets, kinds, options)]
    if len(fits) != 1:
        raise InputError(
            f"targets of shape {np.shape(targets)} fit {_listed(fits) if fits else 'none'} of the "
            f"outputs {_listed(outputs)}: give them by name, {{{next(iter(outputs))!r}: targets}}"
        )
    return {fits[0]: targets}


def _placed(outputs: Arrays, targets, kinds, options) -> dict[str, ArrayLike]:
    """A list of targets by output name, where it can be one way only.

    TensorFlow Lite sorts outputs by name (output_10 before output_2), so the place in a list says
    nothing of the output. What fits one output alone is placed there, and so on with the rest.
    """
    rest = [given for given in targets if given is not None]
    fits = [{n for n in outputs if _fits(n, outputs[n], y, kinds, options)} for y in rest]
    found: dict[str, ArrayLike] = {}
    while rest:
        place = next((p for p, names in enumerate(fits) if len(names - found.keys()) == 1), None)
        if place is None:
            form = ", ".join(f"{name!r}: ..." for name in outputs)
            raise InputError(
                f"a list of {len(targets)} targets, and the outputs {_listed(outputs)}, which "
                "TensorFlow Lite sorts by name: which belongs to which cannot be seen from shapes "
                f"and numbers. Give them by name, {{{form}}} (lesson 08)"
            )
        (name,) = fits.pop(place) - found.keys()
        found[name] = rest.pop(place)
    return found


def _fits(name, output, targets, kinds, options) -> bool:
    try:
        _task(name, output, targets, kinds.get(name), **options)
    except InputError:
        return False
    return kinds.get(name) != "no targets"


def named(arrays: Arrays | ArrayLike, kind: str) -> dict[str, np.ndarray]:
    """Return arrays by name; a bare array is called ``kind``."""
    if isinstance(arrays, Mapping):
        found = {name: np.asarray(array) for name, array in arrays.items()}
    elif isinstance(arrays, list | tuple) and any(np.ndim(part) for part in arrays[:1]):
        raise InputError(f"{len(arrays)} {kind}s in a list: give them by name, in a dict")
    else:
        found = {kind: np.asarray(arrays)}
    for name, array in found.items():
        if array.dtype.kind not in "biuf" or array.ndim == 0:
            raise InputError(
                f"{kind} {name!r} is {array.dtype} {array.shape}; expected an array of numbers "
                "whose first axis counts the samples"
            )
    return found


def require_finite(array: np.ndarray, what: str) -> None:
    """Raise InputError, with the number of samples and the first, for NaN or inf."""
    fault = measures.not_finite(array)
    if fault:
        raise InputError(f"{what} is broken: {fault}; no measure means anything")


def _count_samples(outputs: Arrays) -> int:
    counts = {name: len(output) for name, output in outputs.items()}
    if len(set(counts.values())) != 1:
        raise InputError(f"outputs of different numbers of samples: {counts}")
    count = next(iter(counts.values()))
    if count < 2:
        raise InputError(f"{count} sample: a measure needs at least 2, and means little below 100")
    return count


def _numbers(name: str, targets: ArrayLike, count: int) -> np.ndarray:
    """Targets as an array of numbers, one entry a sample, (N, 1) as (N,)."""
    targets = np.asarray(targets)
    if targets.dtype.kind not in "biuf":
        raise InputError(
            f"targets of output {name!r} are {targets.dtype}; expected numbers: give the class "
            "names numbers, in the order of the output's columns"
        )
    if targets.shape[:1] != (count,):
        raise InputError(
            f"output {name!r} has {count} samples and its targets have the shape {targets.shape}: "
            "both must be of the same samples, in the same order"
        )
    require_finite(targets, f"the target of output {name!r}")
    targets = targets.astype(np.int64) if targets.dtype == bool else targets
    return targets[:, 0] if targets.shape == (count, 1) else targets


def _rows_of(targets, count: int):
    """Targets for a metric of one's own: an array, or arrays by name; ragged lists as objects."""
    if targets is None:
        return None
    if isinstance(targets, Mapping):
        return {name: _rows_of(part, count) for name, part in targets.items()}
    try:
        array = np.asarray(targets)
    except ValueError:  # boxes: another number for each sample
        array = np.fromiter(targets, dtype=object, count=len(targets))
    if array.shape[:1] != (count,):
        raise InputError(f"{count} samples, and targets of shape {array.shape}")
    return array


def _rebuilt(output: np.ndarray, inputs: Arrays) -> np.ndarray | None:
    """The input that this output rebuilds better than the mean input does."""
    if output[0].size < 2 or measures.are_probabilities(output):
        return None
    for x in inputs.values():
        if x.shape == output.shape and np.isfinite(x).all():
            middle = np.broadcast_to(x.mean(axis=0, keepdims=True), x.shape)
            if (
                measures.squared_errors(output, x).mean()
                < measures.squared_errors(middle, x).mean()
            ):
                return x
    return None


def _threshold(name: str, output: np.ndarray, given: float | None) -> float:
    """What was asked for, or 0.5 for numbers from 0 to 1, and 0 for logits, which leave that range.

    Raises InputError for one that no output reaches: every answer would be no.
    """
    if given is None:
        return 0.0 if _leaves_0_to_1(output) else measures.THRESHOLD
    low, high = min(0.0, float(output.min())), max(1.0, float(output.max()))
    if not isinstance(given, Real) or not low <= given <= high:  # NaN lies nowhere
        raise InputError(
            f"threshold={given!r}; output {name!r} goes from {output.min():.3g} to "
            f"{output.max():.3g}: expected a number from {low:.3g} to {high:.3g} (lesson 08)"
        )
    return float(given)


def _positions(output: np.ndarray) -> tuple[int, ...]:
    """The shape of the class numbers that an output gives."""
    return output.shape if np.issubdtype(output.dtype, np.integer) else output.shape[:-1]


def _without_last(targets: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """Targets of that shape, or with one more axis of one; else None."""
    if targets.shape == (*shape, 1):
        return targets[..., 0]
    return targets if targets.shape == shape else None


def _one_hot(targets: np.ndarray) -> bool:
    return bool(
        targets.ndim > 1
        and targets.shape[-1] > 1
        and np.isin(targets, (0, 1)).all()
        and (targets.sum(axis=-1) == 1).all()
    )


def _listed(names) -> str:
    return ", ".join(map(repr, names))
