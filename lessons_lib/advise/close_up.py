"""One file looked into: its layers, its worst tensor, its bytes, and the samples that flipped.

What ``judge`` and ``tflite`` find is cut down here to what a report keeps: no array, only
histograms, small pictures and words. The vendors' reports show means; a learner sees the reason in
a histogram, and believes in a drop when he has seen the samples.
"""

import base64
import io
import math
import os
from collections.abc import Sequence

import numpy as np
from PIL import Image

from lessons_lib.advise.report import Budget, Flip, Flipped, LayerError, Layers, Tensor
from lessons_lib.judge import layer_errors, measures
from lessons_lib.judge.measures import Arrays, Task
from lessons_lib.run import runtime
from lessons_lib.system import files
from lessons_lib.tflite import edit, tables
from lessons_lib.tflite.samples import Rows

BINS = 48
SHOWN = 12  # samples that flipped
SIDE = 64  # pixels that a picture is wide or high at most
KERNELS = "reference"  # which keep every tensor, and add up in one order
Source = str | os.PathLike | bytes


def layers(
    row: str, float_file: Source, file: Source, inputs: Rows
) -> tuple[Layers, Tensor | None]:
    """Return how far each operator of a file is from float32's, and the tensor that is farthest.

    ``inputs``: some samples, by name, in the float model's dtypes; all tensors of all of them lie
    in memory at once. For a child process: both files are run here as they are. The tensor is None
    where no operator could be compared. Raises what ``runtime.tensor_values`` and
    ``layer_errors.compare`` raise. Defined in lesson 11.
    """
    models = [edit.only_signature(files.content(source)) for source in (float_file, file)]
    values = []
    for model in models:
        runtime.trust(model, inputs, KERNELS)  # this process is the child in which it may crash
        native = runtime.Model(model, kernels=KERNELS).quantize_input(inputs)
        values.append(runtime.tensor_values(model, native, kernels=KERNELS))
    table = layer_errors.compare(*models, *values)
    columns = ["layer", "operator", "snr_db", "worst_channel_db"]
    errors = tuple(_error(*line) for line in table[columns].itertuples(index=False))
    known = table[(table["float_index"] >= 0) & (table["index"] >= 0) & table["snr_db"].notna()]
    if known.empty:
        return Layers(row, errors), None
    worst = known.loc[known["snr_db"].idxmin()]
    numbers = values[0][int(worst["float_index"])]
    return Layers(row, errors), _tensor(row, models[1], worst, numbers)


def _error(layer: str, operator: str, decibels: float, worst: float) -> LayerError:
    """One line of the comparison; JSON has no endless numbers, so these become words."""
    remark = {math.inf: "exact", -math.inf: "broken"}.get(decibels, "")
    remark = "not compared" if math.isnan(decibels) else remark
    worst = worst if math.isfinite(worst) else None
    return LayerError(layer, operator, None if remark else decibels, worst, remark)


def _tensor(row: str, file: bytes, worst, numbers: np.ndarray) -> Tensor:
    """float32's numbers in one tensor, beside what the file's integers can hold there."""
    table = tables.tensors(file)
    tensor = table[(table["subgraph"] == 0) & (table["index"] == worst["index"])].iloc[0]
    numbers = numbers[np.isfinite(numbers)].astype(np.float64)
    counts, edges = np.histogram(numbers, bins=BINS)
    found = {"row": row, "name": tensor["name"], "layer": worst["layer"]}
    found |= {"edges": tuple(edges.tolist()), "counts": tuple(counts.tolist())}
    found["dtype"] = tensor["dtype"].lower()
    if not isinstance(tensor["scale"], float):
        return Tensor(**found)
    limits = np.iinfo(found["dtype"])
    ends = [
        tensor["scale"] * (code - int(tensor["zero_point"])) for code in (limits.min, limits.max)
    ]
    outside = (numbers < ends[0] - tensor["scale"]) | (numbers > ends[1] + tensor["scale"])
    return Tensor(**found, scale=tensor["scale"], low=ends[0], high=ends[1],
                  clipped=float(outside.mean()))  # fmt: skip


def budget(row: str, file: Source) -> Budget:
    """Return where the bytes of a file go. Defined in lesson 02."""
    parts = tables.byte_budget(file)
    return Budget(row, {name: int(count) for name, count in parts.items()})


def flipped(
    row: str,
    task: Task,
    float_outputs: Arrays,
    outputs: Arrays,
    inputs: Rows,
    classes: Sequence[str] = (),
) -> Flipped | None:
    """Return samples that a file answers otherwise than float32, as pictures where they are any.

    ``float_outputs``, ``outputs`` and ``inputs``: by name, (N, ...), of the samples that ``task``
    was made for. ``classes``: names, where they are known. Of classes, and of yes or no, those that
    flipped, first what float32 has right; of one number a sample those that moved most. None for
    other outputs, and where nothing flipped or moved.
    """
    expected, found = task.pick(float_outputs), task.pick(outputs)
    if isinstance(expected, dict) or expected.size == 0:
        return None
    places, total = _places(task, expected, found)
    if not len(places):
        return None
    name, pixels = _pictured(inputs)

    def sample(place: int) -> Flip:
        target = None if task.targets is None else np.ravel(task.targets[place])
        known = target is not None and target.size == 1
        return Flip(
            sample=place,
            input=name,
            image=None if pixels is None else picture(pixels[place]),
            float32=_answer(task, expected[place], classes),
            path=_answer(task, found[place], classes),
            target=_named(task, target[0], classes) if known else "",
        )

    return Flipped(row, task.output, total, tuple(sample(int(n)) for n in places[:SHOWN]))


def _places(task: Task, expected: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, int | None]:
    """Which samples flipped, and how many; or those that moved most, where nothing can flip."""
    if _has_classes(task, expected):
        before, after = measures.labels(expected), measures.labels(found)
    elif isinstance(task, measures.Binary):
        before, after = (measures.squeezed(a) > task.threshold for a in (expected, found))
    elif expected[0].size == 1:
        moved = np.abs(found.astype(np.float64) - expected).reshape(-1)
        order = np.argsort(-moved, kind="stable")
        return order[moved[order] > 0], None
    else:
        return np.empty(0, np.int64), 0
    places = np.flatnonzero(before != after)
    if task.targets is not None:
        places = places[np.argsort(before[places] != task.targets[places], kind="stable")]
    return places, len(places)


def _has_classes(task: Task, output: np.ndarray) -> bool:
    """Whether a sample's answer is the largest of several numbers."""
    likely = not task.labelled and output.ndim == 2 and measures.are_probabilities(output)
    return likely or isinstance(task, measures.Classification)


def _answer(task: Task, output: np.ndarray, classes: Sequence[str]) -> str:
    """One sample's answer in words, with the number behind it."""
    if output.size > 1:
        best = int(output.argmax())
        return f"{_named(task, best, classes)} ({output[best]:.2f})"
    value = output.reshape(-1)[0]
    if isinstance(task, measures.Binary):
        return f"{_named(task, value > task.threshold, classes)} ({value:.2f})"
    return _named(task, value, classes)


def _named(task: Task, value, classes: Sequence[str]) -> str:
    """A class, a yes or no, or a quantity, in words."""
    if isinstance(task, measures.Binary):
        names = classes if len(classes) == 2 else ("no", "yes")
        return names[int(value)]
    if isinstance(task, measures.Regression) or value != np.rint(value):
        return f"{value:.4g}"
    return classes[int(value)] if 0 <= value < len(classes) else str(int(value))


def _pictured(inputs: Rows) -> tuple[str, np.ndarray | None]:
    """The first input that looks like pictures, (N, H, W, 1 or 3), else the first one's name."""
    for name, array in inputs.items():
        flat = array.ndim == 3 or (array.ndim == 4 and array.shape[3] in (1, 3))
        if flat and 8 <= min(array.shape[1:3]) >= max(array.shape[1:3]) / 8:
            return name, array
    return next(iter(inputs), ""), None


def picture(pixels: np.ndarray) -> str:
    """Return one sample, (H, W), (H, W, 1) or (H, W, 3), as a PNG in a ``data:`` address.

    The smallest number is black and the largest white, whatever the scaling; every n-th pixel is
    taken where it is larger than SIDE.
    """
    step = -(-max(pixels.shape[:2]) // SIDE)
    pixels = pixels[::step, ::step].astype(np.float64)
    spread = np.ptp(pixels)
    shades = np.rint(255 * (pixels - pixels.min()) / (spread or 1)).astype(np.uint8)
    content = io.BytesIO()
    Image.fromarray(shades[..., 0] if shades.shape[2:] == (1,) else shades).save(content, "PNG")
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
