"""The course's models for a browser, and the outputs that a browser gave for them."""

import json
import os
import reprlib
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from lessons_lib.convert import calibration, every_path, paths
from lessons_lib.errors import InputError
from lessons_lib.models import data
from lessons_lib.system import files
from lessons_lib.system.sandbox import call, temporary_folder
from lessons_lib.tflite.edit import without_softmax  # noqa: F401  (what the page wants)

# What LiteRT.js takes: float32, uint8 and int32 at a model's ends; int8 and int16 it refuses.
PATHS = tuple(
    path.name for path in paths.PATHS.values() if path.input_dtype in ("float32", "uint8")
)
DIGITS = 100
FORMAT = "quantization-lessons/browser-outputs/1"
RECORDED = files.data_folder() / "browser" / "recorded.json"


def export(directory: str | os.PathLike, reference: str = "mnist_cnn") -> Path:
    """Write what the page ``try-it/`` shows into ``directory`` and return its ``manifest.json``.

    That is one ``.tflite`` for each of ``PATHS``, with a batch of one, made from a reference model;
    ``digits.bin``, the first ``DIGITS`` test digits, uint8 (DIGITS, 28, 28), 0 to 255; and the
    manifest that names them, and the paths that no browser runs. Raises InputError for an unknown
    reference, StorageError when ``directory`` cannot be written. Defined in lesson 14.
    """
    directory, digits = Path(directory), data.load("mnist")
    samples = calibration.representative_dataset(digits.calibration)
    # Not in the artifacts folder: two builds of the site may run at the same time.
    with temporary_folder() as folder:
        saved_model = Path(folder, "saved_model")
        save = "lessons_lib.models.training:save_reference"
        call(save, reference, saved_model, 1, imported="tensorflow")
        files.write_atomic(directory / "digits.bin", digits.test.pixels[:DIGITS].tobytes())
        written = every_path.convert(saved_model, samples, directory, names=PATHS)
    manifest = {
        "reference": reference,
        "digits": {"file": "digits.bin", "labels": digits.test.labels[:DIGITS].tolist()},
        "models": [
            {
                "name": name,
                "title": paths.get(name).title,
                "file": file.name,
                "bytes": file.stat().st_size,
                "sha256": files.sha256(file),
            }
            for name, file in ((name, Path(made)) for name, made in written.items())
        ],
        "refused": [
            {"name": name, "reason": f"LiteRT.js refuses {path.input_dtype} input"}
            for name, path in paths.PATHS.items()
            if name not in PATHS
        ],
    }
    return files.write_atomic(directory / "manifest.json", json.dumps(manifest, indent=1))


@dataclass(frozen=True)
class Recording:
    """What one model gave in a browser.

    ``outputs``: (N, classes) in the model's output dtype, float32, uint8 or int32, for the first N
    test digits; ``microseconds``: for one inference, the mean of each of several batches of runs.
    """

    name: str
    bytes: int
    sha256: str
    outputs: np.ndarray
    microseconds: tuple[float, ...]

    @property
    def median_us(self) -> float:
        return median(self.microseconds)


@dataclass(frozen=True)
class Outputs:
    """A file that the page's button "Save the outputs" wrote; ``models`` by name.

    ``taken`` is the date, ``browser`` the browser's own description, ``runtime`` the package.
    ``machine`` is the processor: only the file that the course recorded says it, else it is "".
    """

    taken: str
    browser: str
    runtime: str
    models: dict[str, Recording]
    machine: str = ""


def read_outputs(path: str | os.PathLike = RECORDED) -> Outputs:
    """Return the outputs in ``path``, by default those recorded with the course.

    Raises InputError when it is not a file of the page. Defined in lesson 14.
    """
    try:
        return _outputs(json.loads(Path(path).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise InputError(
            f"{files.display_path(path)} is not a file that the page's button `Save the outputs` "
            f"wrote: {getattr(error, 'strerror', None) or error} (lesson 14)"
        ) from error


def _outputs(content: Any) -> Outputs:
    """Raises ValueError, or what NumPy raises, for anything that is not as the page writes it."""
    if (found := _field(content, "format", str)) != FORMAT:
        raise ValueError(f"its format is {reprlib.repr(found)}, expected {FORMAT!r}")
    models: dict[str, Recording] = {}
    for entry in _field(content, "models", list):
        model = _recording(entry)
        if models.setdefault(model.name, model).sha256 != model.sha256:
            raise ValueError(f"two models are called {model.name!r}: rename one of the files")
    texts = (_field(content, name, str) for name in ("taken", "browser", "runtime"))
    return Outputs(*texts, models, str(content.get("machine", "")))


def _recording(entry: Any) -> Recording:
    name, dtype = _field(entry, "name", str), _field(entry, "dtype", str)
    if dtype not in ("float32", "uint8", "int32"):
        raise ValueError(f"the outputs of {name!r} are {dtype!r}, which no LiteRT.js model gives")
    values = _numbers(entry, "outputs", dimensions=2)
    with np.errstate(over="ignore", invalid="ignore"):  # what does not fit is refused below
        outputs = values.astype(dtype)
    fits = np.isfinite(outputs) if dtype == "float32" else outputs == values
    if not fits.all():
        raise ValueError(f"the outputs of {name!r} do not fit into {dtype}")
    times = _numbers(entry, "microseconds", dimensions=1)
    if not (times > 0).all():
        raise ValueError(f"{name!r} has a time that is not above 0")
    size, sha256 = _field(entry, "bytes", int), _field(entry, "sha256", str)
    return Recording(name, size, sha256, outputs, tuple(times.tolist()))


def _numbers(entry: dict, name: str, dimensions: int) -> np.ndarray:
    values = np.array(_field(entry, name, list), dtype=np.float64)
    if values.ndim != dimensions or not values.size or not np.isfinite(values).all():
        shape = "rows of finite numbers" if dimensions == 2 else "finite numbers"
        raise ValueError(f"the {name} of {entry['name']!r} are not {shape}")
    return values


_KINDS = {str: "a text", int: "a whole number", list: "a list"}


def _field(entry: Any, name: str, kind: type) -> Any:
    """A value in the JSON, if there is one and it is of this kind."""
    if not isinstance(entry, dict) or name not in entry:
        raise ValueError(f"it has no {name!r}")
    if not isinstance(entry[name], kind):
        raise ValueError(f"{name!r} is {reprlib.repr(entry[name])}, expected {_KINDS[kind]}")
    return entry[name]
