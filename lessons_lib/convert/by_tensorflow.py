"""To ``.tflite`` along a path, with an audit: from a SavedModel, or from a float ``.tflite``."""

import os
from pathlib import Path

from lessons_lib.convert import calibration, paths
from lessons_lib.convert.outcome import audit
from lessons_lib.errors import ConversionError, first_line
from lessons_lib.models.sources import require_saved_model
from lessons_lib.system import files
from lessons_lib.system.quiet import quiet, tensorflow
from lessons_lib.system.sandbox import trust


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
        calibration.require(f"the path {path.name}", representative_dataset)
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


def _only_input(directory: Path) -> tuple[str, tuple[int, ...]]:
    """The input's name in the SavedModel's signature, and its shape without the batch."""
    tf = tensorflow()
    with quiet():
        signature = tf.saved_model.load(str(directory)).signatures.get("serving_default")
    if signature is None:
        raise ConversionError(
            f"{files.display_path(directory)} has no signature serving_default, which says what "
            "the model takes; save it with sources.save (lesson 01)"
        )
    inputs = signature.structured_input_signature[1]
    if len(inputs) != 1:
        raise ConversionError(
            f"{files.display_path(directory)} has {len(inputs)} inputs; the course's helpers take "
            "models with one"
        )
    ((name, tensor),) = inputs.items()
    return name, tuple(tensor.shape[1:])
