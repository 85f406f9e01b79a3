"""TensorFlow's own converter: a SavedModel or a Keras model along a path to ``.tflite``.

``TFLiteConverter`` converts every signature that it finds, runs the first in the alphabet, checks
no sample, and may end the process. Here one signature is converted, samples pass the guard, and a
model of uncommon operators is converted in a child process.
"""

import functools
import warnings
from pathlib import Path
from typing import Any

from lessons_lib.convert import calibration, complaints, outcome, paths
from lessons_lib.errors import ChildDied, ConversionError, InputError, LessonError, first_line
from lessons_lib.models import sources
from lessons_lib.system import files, sandbox
from lessons_lib.system.quiet import quiet, tensorflow
from lessons_lib.tflite import samples, tables
from lessons_lib.tflite.signature import Signature, choose, of_file, require_numbers

# A model of these operators is converted in this process: no crash of the converter is known.
# fmt: off
_COMMON = {
    "Add", "AddV2", "AvgPool", "BiasAdd", "Const", "Conv2D", "DepthwiseConv2dNative",
    "FakeQuantWithMinMaxVars", "FakeQuantWithMinMaxVarsPerChannel", "FusedBatchNormV3",
    "Identity", "MatMul", "MaxPool", "Mean", "Mul", "NoOp", "Pack", "Pad", "PartitionedCall",
    "Placeholder", "ReadVariableOp", "Relu", "Relu6", "Reshape", "Rsqrt", "Shape", "Sigmoid",
    "Softmax", "Squeeze", "StatefulPartitionedCall", "StridedSlice", "Sub", "VarHandleOp",
}
# What saving and restoring a SavedModel needs: it is not converted.
_SAVING = {
    "AssignVariableOp", "DisableCopyOnRead", "MergeV2Checkpoints", "RestoreV2", "SaveV2",
    "Select", "ShardedFilename", "StaticRegexFullMatch", "StringJoin", "VarIsInitializedOp",
}
# fmt: on
_CALLS = 5  # of the converter, where chance decides: all five fail once in some thousand models


def convert(
    source: Any,
    path: str,
    representative_dataset: calibration.RepresentativeDataset | None = None,
    *,
    value_range: calibration.Ranges = None,
    signature: str | None = None,
) -> bytes:
    """Return the ``.tflite`` bytes of a model converted along ``path``.

    ``source`` is a SavedModel's folder, a ``.keras`` or ``.h5`` file, or a Keras model;
    ``signature`` chooses one of a SavedModel's, by default ``serving_default``.
    ``representative_dataset`` is what ``calibration.guard`` takes, and is needed by the four
    integer paths; ``value_range`` is the range of values that the model was trained on, where it is
    to be checked. The same model and samples always give the same bytes on one machine. What comes
    out was run on samples: QualityWarning says when it is far from the float model. Raises
    InputError for an unknown path or signature, ModelFileError for what is no model,
    CalibrationError for a bad representative dataset, ConversionError when the converter fails,
    or its result is not what the path promises, or cannot be run.
    Defined in lessons 01 and 04 to 07. Source: ``tf.lite.TFLiteConverter``.
    """
    chosen = _require_path(path)
    if chosen.needs_calibration:
        calibration.require(f"the path {path}", representative_dataset)
    with sources.opened(source) as folder:
        do = converted if is_common(folder) else _in_child
        content, snr_db = do(folder, path, representative_dataset, value_range, signature)
    outcome.warn(path, snr_db)
    return content


def is_common(saved_model: Path) -> bool:
    """Whether a SavedModel has only operators that never ended the process in the converter."""
    return sources.operators(saved_model) <= _COMMON | _SAVING


def converted(
    saved_model: Path,
    path: str,
    representative_dataset: calibration.RepresentativeDataset | None,
    value_range: calibration.Ranges = None,
    key: str | None = None,
) -> tuple[bytes, dict[str, float]]:
    """Convert and verify in this process; return the bytes and ``outcome.verify``'s answer."""
    chosen, every = _require_path(path), sources.signatures(saved_model)
    ends, guarded = choose(every, key), None
    require_numbers(ends)
    if chosen.needs_calibration:
        calibration.require(f"the path {path}", representative_dataset)
        outcome.require_sizes(ends)
        guarded = calibration.guard(representative_dataset, ends, value_range)
    float_model = _runner(saved_model, ends.key)
    # All signatures are converted unless one is named.
    converter = _converter(saved_model, [ends.key] if len(every) > 1 else None)
    if _loses_variables(saved_model, ends.key, _stamp(saved_model)):
        converter = _frozen(float_model)
    configure(converter, path, guarded)
    try:
        content = _settled(converter, path)
    except ConversionError:
        if guarded is not None and guarded.kept:  # is it the model's own fault?
            outcome.require_answers(_answers(float_model, ends, guarded.kept))
        raise
    state = of_file(content).state
    if state:  # a loaded model remembers what it was asked for another path
        float_model = sources.runner(saved_model, ends.key)
    kept = calibration.first(representative_dataset, ends) if guarded is None else guarded.kept
    inputs = outcome.tried_on(ends, kept, state)
    expected = _answers(float_model, ends, inputs) if inputs else {}
    outcome.require_answers(expected)
    return content, outcome.verify(content, path, inputs, expected)


def _answers(float_model, ends: Signature, inputs: samples.Rows) -> samples.Rows:
    return samples.answers(float_model, inputs, ends, samples.count(inputs))


@functools.lru_cache(maxsize=1)
def _loaded(saved_model: Path, key: str, stamp: int):
    return sources.runner(saved_model, key)


def _runner(saved_model: Path, key: str):
    """The float model itself; it is loaded once for all its paths, as long as it stays the same."""
    return _loaded(saved_model, key, _stamp(saved_model))


def _stamp(saved_model: Path) -> int:
    return max(file.stat().st_mtime_ns for file in saved_model.rglob("*") if file.is_file())


@functools.lru_cache(maxsize=8)
def _loses_variables(saved_model: Path, key: str, stamp: int) -> bool:
    """Whether the converter would leave a model's weights behind, and write a file without them.

    It does with what ``tf.saved_model.save`` writes of a Keras 3 model, where a layer's variables
    are not those that its functions read.
    """
    if sources.is_keras_export(saved_model) or not sources.operators(saved_model) & _READS:
        return False
    try:
        converter = _converter(saved_model, [key])
        configure(converter, "float32")
        table = tables.operators(_run(converter, "float32"))
    except ConversionError:
        return False  # the path itself says what is wrong
    names = set(table["operator"])
    return "READ_VARIABLE" in names and "ASSIGN_VARIABLE" not in names


_READS = {"ReadVariableOp", "ResourceGather"}


def _frozen(float_model):
    """A converter of the loaded function, whose variables become constants."""
    with quiet():
        return tensorflow().lite.TFLiteConverter.from_concrete_functions(
            [float_model.function], float_model.loaded
        )


def _in_child(saved_model: Path, path: str, dataset, *arguments) -> tuple[bytes, dict[str, float]]:
    """The same in a child process, which may crash; the samples go there through a file."""
    with calibration.in_file(dataset) as file:
        try:
            content, snr_db = sandbox.call(
                f"{__name__}:_converted_from_file",
                *(saved_model, path, file, *arguments),
                imported="tensorflow",
            )
        except ChildDied as error:
            raise died(sources.operators(saved_model), path, error) from error
    sandbox.trust(content, "xnnpack")
    return content, snr_db


def _converted_from_file(saved_model, path, file, *arguments) -> tuple[bytes, dict[str, float]]:
    return converted(saved_model, path, calibration.from_file(file), *arguments)


def died(operators: set[str], path: str, error: ChildDied) -> ConversionError:
    """Return the error for a converter that ended its process, with what may be done.

    ``operators``: those of the SavedModel, as ``sources.operators`` names them.
    """
    how = f"the converter, on the path {path}, {str(error).partition(' ')[2]}"
    if error.signal is None:  # it was slow, or failed otherwise, and has said so
        return ConversionError(f"{how} (lesson 07)")
    if operators & {"While", "StatelessWhile", "TensorListReserve"}:
        cure = (
            "Its loop, of an LSTM or GRU layer, does that on the integer paths: build the layer "
            "with unroll=True and copy the weights, or, where its weights have more than 1,024 "
            "elements, take the path dynamic_range"
        )
    elif paths.get(path).needs_calibration:
        cure = "Take a path without calibration, such as dynamic_range"
    else:
        cure = "Take the path float32, and by_litert.quantize of its file"
    return ConversionError(f"{how}. {cure} (lesson 07)")


def _require_path(path: str) -> paths.Path:
    chosen = paths.get(path)
    if not chosen.by_converter:
        raise InputError(
            f"TFLiteConverter has no path {path}; by_litert.quantize makes it of the float32 "
            ".tflite (lesson 13)"
        )
    return chosen


def _converter(saved_model: Path, keys: list[str] | None):
    tf = tensorflow()
    try:
        with quiet():
            return tf.lite.TFLiteConverter.from_saved_model(str(saved_model), signature_keys=keys)
    except Exception as error:  # the loader raises many kinds, all about its insides
        raise ConversionError(
            f"{files.display_path(saved_model)} cannot be read as a SavedModel: {first_line(error)}"
        ) from error


def configure(
    converter,
    path: str,
    representative_dataset: calibration.RepresentativeDataset | None = None,
) -> None:
    """Set a ``TFLiteConverter`` as ``path`` wants it, whatever was set before.

    These are the settings that lessons 04 to 07 write out. Raises InputError for an unknown path.
    """
    tf, chosen = tensorflow(), _require_path(path)
    converter.optimizations = [tf.lite.Optimize.DEFAULT] if chosen.optimize else []
    converter.representative_dataset = representative_dataset if chosen.needs_calibration else None
    converter.target_spec = tf.lite.TargetSpec()
    if chosen.supported_ops:
        ops = [getattr(tf.lite.OpsSet, name) for name in chosen.supported_ops]
        converter.target_spec.supported_ops = ops
    converter.target_spec.supported_types = [getattr(tf, name) for name in chosen.supported_types]
    converter.inference_input_type = getattr(tf, chosen.input_dtype)
    converter.inference_output_type = getattr(tf, chosen.output_dtype)


def _settled(converter, path: str) -> bytes:
    """The converter's file, where chance leaves it a SPLIT in float, of the next call.

    The same SavedModel and samples gave an unrolled LSTM with all in integers in 19 of 24 calls,
    and in the others one SPLIT in float.
    """
    for _ in range(_CALLS):
        content = _run(converter, path)
        if not paths.get(path).needs_calibration or not _splits_in_float(content):
            break
    return content


def _splits_in_float(content: bytes) -> bool:
    return any(text.startswith("SPLIT ") for text in tables.audit(content).float_operators)


def _run(converter, path: str) -> bytes:
    try:
        with quiet(), warnings.catch_warnings():
            # The converter's own calibration uses it.
            warnings.filterwarnings("ignore", r"\s*Warning: tf\.lite\.Interpreter is deprecated")
            return converter.convert()
    except LessonError:  # of a sample, on its way
        raise
    except Exception as error:  # ValueError, RuntimeError, ConverterError, by the stage that failed
        raise ConversionError(
            f"the converter refused the path {path}: {complaints.explain(error)} (lesson 07)"
        ) from error
