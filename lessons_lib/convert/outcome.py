"""What came of a path: the file that it promises, or the reason why there is none.

A converter reports success for files that no runtime loads, that answer NaN, that always answer
the same, and that are float models still. So a file is run on samples, beside the float model,
before anybody calls it good.
"""

import math
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from lessons_lib import errors
from lessons_lib.convert import paths
from lessons_lib.errors import ConversionError, LessonError, ModelFileError, QualityWarning
from lessons_lib.numbers import noise
from lessons_lib.run import runtime
from lessons_lib.run.runtime import Model
from lessons_lib.system import files
from lessons_lib.tflite import reader, signature, tables
from lessons_lib.tflite.samples import Rows, drawn

LOW_DB = 10.0  # a centred SQNR below this is said aloud: a third of the movement is noise
SOURCE_DB = 60.0  # the float file must be as near as this to the model that it was made of
_UNEVEN = 100  # times the median feature
_CONVERTERS = {"EXPAND_DIMS", "SPLIT"}  # which LiteRT's quantizer leaves in float
_FAR = 1e9  # times the smallest scale
_SMALL = 1024  # elements: TFLiteConverter's dynamic range leaves smaller weights in float


@dataclass(frozen=True)
class Outcome(os.PathLike):
    """One path of one model: its file, or the reason why there is none.

    An outcome is a path-like object: wherever a file's path is taken, its file is, and an outcome
    without one raises its ``reason`` there. ``snr_db`` is, for each output, the centred SQNR in
    decibels beside the float model, on the first samples of the calibration or on random inputs;
    it is empty where nothing could be compared. ``remarks`` are what a reader should know.
    """

    path: str
    file: Path | None = None
    reason: LessonError | None = None
    snr_db: dict[str, float] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return self.reason is None

    def __fspath__(self) -> str:
        if self.reason is not None:
            raise self.reason
        return str(self.file)

    @property
    def bytes(self) -> int:
        """The file's size; raises the reason where there is none."""
        return os.stat(self).st_size

    def read_bytes(self) -> bytes:
        """The file's content; raises the reason where there is none."""
        return files.content(self)


def to_json(result: Outcome) -> dict:
    """Return an outcome as JSON holds it, with its file's checksum."""
    return {
        "path": result.path,
        "sha256": files.sha256(result.file) if result.ok else None,
        "reason": None if result.ok else [type(result.reason).__name__, str(result.reason)],
        "snr_db": result.snr_db,
        "remarks": result.remarks,
    }


def from_json(found: dict, file: Path) -> Outcome | None:
    """Return the outcome that ``to_json`` wrote; None where ``file`` is not what it was."""
    if found["reason"] is None:
        if files.sha256(file) != found["sha256"]:
            return None
        return Outcome(found["path"], file, None, found["snr_db"], tuple(found["remarks"]))
    kind, text = found["reason"]
    return Outcome(found["path"], reason=getattr(errors, kind)(text))


def audit(model: reader.Source, path: str) -> tables.Audit:
    """Return the audit of a converted model; raise ConversionError if it breaks its promise.

    Every input and output that stands for real numbers must have the path's dtype, and a path that
    promises integers has no operator with a float operand. Integers that are integers in the float
    model too, such as tokens, stay what they are. ``path`` is a name in ``paths.ALL``.
    Defined in lesson 07.
    """
    promise, found = paths.get(path), tables.audit(model)
    ends = signature.of_file(model)
    for kind, side, wanted in (
        ("input", ends.inputs, promise.input_dtype),
        ("output", ends.outputs, promise.output_dtype),
    ):
        for spec in side.values():
            if (spec.is_float or spec.scale is not None) and spec.dtype != wanted:
                raise ConversionError(
                    f"the path {path} promises {wanted} {kind}, but {spec.name} is {spec.dtype}"
                    f"{_why_not(spec, promise, found)} (lesson 07)"
                )
    if promise.integer_only and found.float_operators:
        raise ConversionError(
            f"the path {path} promises integers only, but {_stayed(found)}"
            f"{_outside(found)} (lesson 07)"
        )
    return found


def _why_not(spec: signature.TensorSpec, promise: paths.Path, found: tables.Audit) -> str:
    """Why an input or output has another dtype than the path promises, where that is known."""
    if spec.dtype in ("float16", "float64"):
        return ": TensorFlow Lite quantizes float32 only, so tf.cast it outside of the model"
    return f": {_stayed(found)}" if promise.integer_only and found.float_operators else ""


def _stayed(found: tables.Audit) -> str:
    return f"these operators stayed in float: {', '.join(found.float_operators)}"


def _outside(found: tables.Audit) -> str:
    """What to do about operators that no path makes integer, where it is known."""
    blamed = " ".join(found.float_operators)
    if "_VARIABLE" in blamed:
        return (
            ". A state stays in float here: take the path int16x8 or int8_float_fallback, or make "
            "it an input and an output of the model"
        )
    if {text.split()[0] for text in found.float_operators} <= _CONVERTERS:
        return (
            ". TFLiteConverter has integers for them, LiteRT's quantizer has not: take "
            "by_tensorflow.convert(saved_model, path)"
        )
    whole = [n for n, dtype in found.inputs.items() if dtype in ("uint8", "int32", "int64")]
    if "CAST" in blamed and whole:
        return (
            f". Of the integers of {', '.join(whole)} the model makes floats itself: give it a "
            "float32 input of the same numbers, such as 0 to 255, and the path uint8 takes bytes"
        )
    return ""


def tried_on(ends: signature.Signature, kept: Rows, state: tuple[str, ...] = ()) -> Rows | None:
    """What a result is tried on: the first samples, ``kept``, else random inputs.

    None where nobody said the sizes of its inputs; only one sample where a state would carry
    something from one to the next.
    """
    found = kept
    if not found and any(spec.open_sizes for spec in ends.inputs.values()):
        return None
    found = found or drawn(ends)
    return {name: array[: ends.batch or 1] for name, array in found.items()} if state else found


def verify(content: bytes, path: str, inputs: Rows | None, expected: Rows) -> dict[str, float]:
    """Return the centred SQNR of each output beside ``expected``, the float model's answers.

    ``inputs``: a few samples, by name, in the float model's dtypes; None where a model cannot be
    run without knowing its sizes. The file is audited and run here, in this process, by the
    default kernels, which are trusted with it afterwards: strangers' files come here in a child
    process. Raises ConversionError when the file breaks the path's promise, nothing was quantized,
    the runtime refuses it, or it answers NaN or always the same where the float model does not.
    """
    parsed = reader.read(content)
    table = tables.tensors(parsed)
    _require_scales(table, path)
    audit(parsed, path)
    _require_quantized(table, parsed, path)
    if inputs is None:
        return {}
    runtime.trust(content, inputs)
    try:
        model = Model(content)
        found = named(model.predict(inputs), model.signature)
    except ModelFileError as error:
        raise ConversionError(
            f"the path {path} gives a file that LiteRT does not run: {_own_words(error, path)} "
            "(lesson 07)"
        ) from error
    cause = uneven(inputs) or _wide(table) or _lost(path)
    return {name: _compare(path, name, expected[name], found[name], cause) for name in expected}


def _own_words(error: ModelFileError, path: str) -> str:
    """What the runtime itself said, which is the cause of our error, and what to do about it."""
    if error.__cause__ is None:
        return str(error).removesuffix(" (lesson 01)")
    words = " ".join(str(error.__cause__).split()).rstrip(".")
    if path == "float32":
        return f"{words}. Nothing is quantized yet: leave that part out of the model, or rewrite it"
    return f"{words}. The runtime has no kernel for what was quantized: take another path"


def uneven(rows: Rows) -> str:
    """Return what to say of a vector of features of which one is far larger than the middle one.

    ``rows``: arrays (N, ...) by input name, also mapped from files; "" where there is none such.
    """
    for name, array in rows.items():
        if array.ndim != 2 or array.dtype.kind != "f" or array.shape[1] < 2:
            continue
        sizes = np.maximum(array.max(axis=0), -array.min(axis=0))  # no copy of a large file
        middle, largest = np.median(sizes), int(sizes.argmax())
        if middle and sizes[largest] > _UNEVEN * middle:
            return (
                f"feature {largest} of {name} reaches {sizes[largest]:.4g}, the middle one "
                f"{middle:.4g}, and one scale serves them all, so that integers lose the small "
                "ones: normalize outside the model (lesson 11)"
            )
    return ""


def _wide(table: pd.DataFrame) -> str:
    """What to say of activations of which one reaches so far that nothing is left of the others."""
    computed = table["role"].isin(["input", "activation", "output"])
    steps = table[computed & (table["granularity"] == "per-tensor")]
    steps = steps.set_index("layer")["scale"].astype(float)
    if steps.empty or steps.max() < _FAR * steps.min():
        return ""
    return (
        f"the numbers in the layer {steps.idxmax()} reach so far that one step of their integers "
        f"is {steps.max():.2g}. A mask of -1e9 does that, and one of -100 does as well (lesson 03)"
    )


def _lost(path: str) -> str:
    if paths.get(path).needs_calibration:
        return "calibrate it with samples like those that it was trained on (lesson 06)"
    return (
        "weights that are too small, too large or too unlike for what it stores; look at "
        "model.get_weights() (lesson 05)"
    )


def _compare(path: str, name: str, expected: np.ndarray, found: np.ndarray, cause: str) -> float:
    """The SQNR of one output, if its numbers are numbers and move as the float model's do."""
    expected, found = (np.asarray(side, np.float64) for side in (expected, found))
    if expected.shape != found.shape or not found.size:
        raise ConversionError(
            f"the path {path} gives {name} of shape {found.shape} where the float model gives "
            f"{expected.shape}: nothing can be compared. Give it outputs of a fixed size "
            "(lesson 07)"
        )
    if not np.isfinite(found).all():
        raise ConversionError(
            f"the path {path} gives NaN or inf in {name} where the float model gives numbers: a "
            "constant or a range that its dtype cannot hold (lesson 05)"
        )
    spread = np.ptp(expected, axis=0).max()
    if len(expected) > 1 and spread <= 1e-6 * np.abs(expected).max():
        # It says nothing about the samples, and so do we, unless it is another answer altogether.
        decibels = noise.signal_to_noise(expected, found)
        return decibels if decibels < LOW_DB else float("nan")
    if len(found) > 1 and not np.ptp(found, axis=0).any() and spread > 0.1 * np.ptp(expected):
        raise ConversionError(
            f"the path {path} gives the same {name} for all {len(found)} samples tried, and the "
            f"float model does not: {cause}"
        )
    return noise.signal_to_noise(expected, found, centred=len(expected) > 1)


def _require_scales(table: pd.DataFrame, path: str) -> None:
    """A weight of NaN, inf or 1e38 leaves its trace in a scale."""
    for name, layer, scale in table[["name", "layer", "scale"]].itertuples(index=False):
        if scale is not None and not np.isfinite(scale).all():
            raise ConversionError(
                f"the path {path} gives {name} a scale that is no finite number: the weights of "
                f"the layer {layer} hold NaN, inf, or numbers beyond 1e36. Look "
                "at model.get_weights() and train anew (lesson 03)"
            )


def require_sizes(ends: signature.Signature) -> None:
    """Raise ConversionError where a size is open that a calibration needs.

    The memory of a calibrated tensor is laid out for one size.
    """
    for spec in ends.inputs.values():
        if spec.open_sizes:
            fixed = tuple(size or (1 if n == 0 else 96) for n, size in enumerate(spec.shape))
            raise ConversionError(
                f"the size of the input {spec} is open, and a calibration needs one: save the "
                f"Keras model again, sources.save(model, folder, shapes={{{spec.name!r}: {fixed}}})"
                " with your sizes (lesson 07)"
            )


def require_answers(expected: Rows) -> None:
    """Raise ConversionError when the float model itself answers NaN or inf."""
    for name, array in expected.items():
        if not np.isfinite(np.asarray(array, np.float64)).all():
            raise ConversionError(
                f"the float model itself gives NaN or inf in {name} on the samples tried: look at "
                "its weights, model.get_weights(), and at the samples, before you quantize it "
                "(lesson 03)"
            )


def _require_quantized(table: pd.DataFrame, model: reader.Source, path: str) -> None:
    if path == "float32":
        return
    if table["scale"].notna().any() or (table["dtype"] == "FLOAT16").any():
        return
    stored = table.loc[table["bytes"] > 0, "shape"]
    largest = max((math.prod(shape) for shape in stored), default=0)
    kinds = ", ".join(dict.fromkeys(tables.operators(model)["operator"]))
    raise ConversionError(
        f"the path {path} quantized nothing, the file is a float model still: its operators are "
        f"{kinds or 'none'}, and its largest constant has {largest:,} elements (weights below "
        f"{_SMALL:,} are left in float by the path dynamic_range). Keep float32 (lesson 04)"
    )


def remarks(path: str, content: bytes, snr_db: dict[str, float]) -> tuple[str, ...]:
    """What a reader should know of a file that was verified."""
    state = signature.of_file(content).state
    kept = (
        f"a state is kept from call to call, {', '.join(state)}: here each call starts anew, so "
        "what the model does over several of them is not measured"
    )
    return (*_low(path, snr_db), *([kept] if state else []))


def warn(path: str, snr_db: dict[str, float]) -> None:
    """Say as a QualityWarning what a caller who gets nothing but the bytes would not see."""
    for remark in _low(path, snr_db):
        warnings.warn(f"{path}: {remark}", QualityWarning, stacklevel=3)


def _low(path: str, snr_db: dict[str, float]) -> Iterator[str]:
    for name, decibels in snr_db.items():
        if math.isnan(decibels):
            yield (
                f"{name}: the float model itself answers the same for every sample tried. It is "
                "not trained, or the samples are not what it was trained on: no path can be judged "
                "by this output"
            )
        elif path == "float32" and decibels < SOURCE_DB:
            yield (
                f"{name} of the float file is {decibels:.1f} dB from the model that it was made "
                "of: the conversion itself changed it, before anything was quantized (lesson 01)"
            )
        elif decibels < LOW_DB:
            yield (
                f"{name} is {decibels:.1f} dB from the float model on the samples tried: measure "
                "it on your task before you use it (lesson 11)"
            )


def named(found: np.ndarray | Rows, ends: signature.Signature) -> Rows:
    """A model's outputs by name, also where it has one."""
    return found if isinstance(found, dict) else dict.fromkeys(ends.outputs, found)
