"""To ``.tflite`` along a path, with an audit: from a SavedModel, or from a float ``.tflite``."""

import os
from collections.abc import Iterable
from pathlib import Path

from lessons_lib import anatomy, calibration, files, litert, paths
from lessons_lib.children import call
from lessons_lib.errors import ChildDied, ConversionError, first_line
from lessons_lib.quiet import quiet, tensorflow
from lessons_lib.training import require_saved_model
from lessons_lib.trusted import is_trusted, trust


def convert(
    saved_model: str | os.PathLike,
    path: str,
    representative_dataset: calibration.RepresentativeDataset | None = None,
    *,
    value_range: tuple[float, float] | None = (0.0, 1.0),
) -> bytes:
    """Return the ``.tflite`` bytes of ``saved_model`` converted along ``path``.

    ``representative_dataset`` yields samples as ``calibration.guard`` takes them, such as
    ``[float32 (1, H, W, C)]``, and is needed by the four integer paths; ``value_range`` is the
    range of values that the model takes. The same SavedModel and
    samples always give the same bytes on one machine. Raises InputError for an unknown path,
    ModelFileError when the folder is not a SavedModel, CalibrationError for a bad representative
    dataset, ConversionError when the converter fails or the result is not what the path promises.
    Defined in lessons 01 and 04 to 07. Source: ``tf.lite.TFLiteConverter``.
    """
    path = paths.get(path)
    directory = require_saved_model(saved_model)
    converter, guarded = _converter(directory), None
    if path.needs_calibration:
        _require_samples(f"the path {path.name}", representative_dataset)
        name, shape = _only_input(directory)
        guarded = calibration.guard(representative_dataset, shape, value_range, name)
    configure(converter, path.name, guarded)
    model = _run(converter, path)
    audit(model, path.name)
    trust(model)
    return model


def _converter(directory: Path):
    tf = tensorflow()
    try:
        with quiet():
            return tf.lite.TFLiteConverter.from_saved_model(str(directory))
    except Exception as error:  # the loader raises many kinds, all about its insides
        raise ConversionError(
            f"{files.display_path(directory)} cannot be read as a SavedModel: {first_line(error)}"
        ) from error


def configure(
    converter,
    path: str,
    representative_dataset: calibration.RepresentativeDataset | None = None,
) -> None:
    """Set a ``TFLiteConverter`` as ``path`` wants it, whatever was set before.

    These are the settings that lessons 04 to 07 write out. Raises InputError for an unknown path.
    """
    tf, chosen = tensorflow(), paths.get(path)
    converter.optimizations = [tf.lite.Optimize.DEFAULT] if chosen.optimize else []
    converter.representative_dataset = representative_dataset if chosen.needs_calibration else None
    converter.target_spec = tf.lite.TargetSpec()
    if chosen.supported_ops:
        ops = [getattr(tf.lite.OpsSet, name) for name in chosen.supported_ops]
        converter.target_spec.supported_ops = ops
    converter.target_spec.supported_types = [getattr(tf, name) for name in chosen.supported_types]
    converter.inference_input_type = getattr(tf, chosen.input_dtype)
    converter.inference_output_type = getattr(tf, chosen.output_dtype)


def _run(converter, path: paths.Path) -> bytes:
    try:
        with quiet():
            return converter.convert()
    except Exception as error:  # ValueError, RuntimeError, ConverterError, by the stage that failed
        raise ConversionError(
            f"the converter refused the path {path.name}: {first_line(error)} (lesson 07)"
        ) from error


def audit(model: str | os.PathLike | bytes, path: str) -> anatomy.Audit:
    """Return the audit of a converted model; raise ConversionError if it breaks its promise.

    A path that promises integers must have integer input and output of its own dtype and no
    operator with a float operand, in any subgraph. ``path`` is one of the seven, or one of those
    that only LiteRT's quantizer has. Defined in lesson 07.
    """
    promise, found = litert.get(path), anatomy.audit(model)
    if (found.input_dtype, found.output_dtype) != (promise.input_dtype, promise.output_dtype):
        raise ConversionError(
            f"the path {path} promises {promise.input_dtype} input and {promise.output_dtype} "
            f"output, but the model has {found.input_dtype} and {found.output_dtype} (lesson 07)"
        )
    if promise.integer_only and not found.integer_only:
        raise ConversionError(
            f"the path {path} promises integers only, but these operators stayed in float: "
            f"{', '.join(found.float_operators)} (lesson 07)"
        )
    return found


def quantize(
    float_tflite: str | os.PathLike | bytes,
    path: str,
    representative_dataset: calibration.RepresentativeDataset | None = None,
    *,
    rules: Iterable[litert.Rule] = (),
    value_range: tuple[float, float] | None = (0.0, 1.0),
) -> bytes:
    """Return a float32 ``.tflite`` (file or bytes) quantized along ``path``, without TensorFlow.

    The paths are the seven, ``float32`` being the file itself, and those of ``litert.BEYOND``;
    ``rules`` change the recipe of some operators (the last one that matches wins), and the other
    arguments are those of ``convert``. The same file, samples and rules give the same bytes.
    Raises InputError for an unknown path and for rules that match no operator or keep floats on a
    path of integers, ModelFileError when the file is damaged or a folder, CalibrationError for a
    bad representative dataset, and ConversionError when the file is no float32 model with one
    input, when samples are needed and missing, and when the quantizer fails or the result is not
    what the path promises. A file that was not seen before is quantized in a child process, where
    a crash does no harm.
    Defined in lesson 13. Source: ``litert_quantizer.quantizer.Quantizer``.
    """
    rules, shape = litert.require_rules(rules), litert.require_float(float_tflite)
    content = files.content(float_tflite)
    steps = litert.plan(content, path, rules)
    samples = []
    if needed_by := litert.needs_samples(steps, path, rules):
        _require_samples(needed_by, representative_dataset)
        _, name = litert.signature(content)
        guarded = calibration.guard(representative_dataset, shape, value_range, name)
        samples = list(guarded())
    entries = litert.quantizer_recipe(steps, path)
    model = _run_quantizer(content, entries, samples) if entries else content
    audit(model, path)
    return model


def _require_samples(needed_by: str, representative_dataset: object) -> None:
    if representative_dataset is None:
        raise ConversionError(
            f"{needed_by} needs a representative_dataset: without one, the ranges of the "
            "activations are unknown (lesson 06)"
        )


def _run_quantizer(content: bytes, entries: list[dict], samples: list) -> bytes:
    """Quantize in this process what is known to run in it, and anything else in a child."""
    if is_trusted(content, "quantizer"):
        model = litert.run(content, entries, samples)
        trust(model)
        return model
    try:
        model = call("lessons_lib.litert:run", content, entries, samples)
    except ChildDied as error:
        raise ConversionError(
            f"LiteRT's quantizer died on the file: {error} (lesson 13)"
        ) from error
    trust(content, "quantizer")
    return model


def _only_input(directory: Path) -> tuple[str, tuple[int, ...]]:
    """The input's name in the SavedModel's signature, and its shape without the batch."""
    tf = tensorflow()
    with quiet():
        signature = tf.saved_model.load(str(directory)).signatures.get("serving_default")
    if signature is None:
        raise ConversionError(
            f"{files.display_path(directory)} has no signature serving_default, which says what "
            "the model takes; save it with training.save (lesson 01)"
        )
    inputs = signature.structured_input_signature[1]
    if len(inputs) != 1:
        raise ConversionError(
            f"{files.display_path(directory)} has {len(inputs)} inputs; the course's helpers take "
            "models with one"
        )
    ((name, tensor),) = inputs.items()
    return name, tuple(tensor.shape[1:])


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
        model = convert(saved_model, name, dataset, value_range=value_range)
        written[name] = files.write_atomic(Path(directory) / f"{name}.tflite", model)
    return written


def convert_all_in_child(
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
        written = call("lessons_lib.convert:_convert_samples", *arguments)
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
