"""The model as its owner brings it, made into what can be converted: a SavedModel, or a .tflite.

A file, a folder, code that builds it, or the object itself. Whatever needs TensorFlow, or runs code
of the owner's, happens in a child process; what came of a file stays in the work folder.
"""

import contextlib
import inspect
import os
import pickle
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from lessons_lib.advise import jobs
from lessons_lib.convert import by_litert
from lessons_lib.errors import ChildDied, InputError, ModelFileError
from lessons_lib.models import sources
from lessons_lib.models.own_data import code as own_code
from lessons_lib.system import files, sandbox
from lessons_lib.system.quiet import quiet, tensorflow
from lessons_lib.tflite import signature
from lessons_lib.tflite.signature import Signature


@dataclass(frozen=True)
class Brought:
    """A model that can be converted. ``source``: a SavedModel's folder, or a float ``.tflite``.

    ``name``: for a report. ``sha256``: of what was given. ``keys``: all its signatures.
    ``keras``: a ``.keras`` or ``.h5`` file of it, of which other variants can be made, else None.
    ``code``: the file with its own layers.
    """

    name: str
    sha256: str
    source: Path
    signature: Signature
    keys: tuple[str, ...]
    keras: Path | None = None
    code: Path | None = None

    @property
    def is_tflite(self) -> bool:
        return self.source.suffix == ".tflite"


def bring(
    model: Any, work: str | os.PathLike, *, key: str | None = None, code: Any = None
) -> Brought:
    """Return the model as something that can be converted; what is made of it lies in ``work``.

    ``model`` is a SavedModel's folder, a ``.keras`` or ``.h5`` file, a float ``.tflite`` (a file or
    bytes), a ``.py`` file with a function ``model()`` that gives a model or a folder, a Keras
    model, or a ``tf.Module`` with signatures. ``key`` chooses a signature. ``code``: a ``.py`` file
    with the classes of layers of one's own; ``LOAD = "unsafe"`` in it lets the code of Lambda
    layers run. Raises ModelFileError for what is no model, with what to do, ConversionError for one
    that is quantized already, and InputError for a signature that is not there, or several and none
    the default, and for ``code`` that is no such file, or fails. Defined in lesson 15.
    """
    work = Path(work).absolute()
    if not isinstance(model, str | os.PathLike | bytes):
        return _of_object(model, work, key)
    if isinstance(model, bytes):
        file = files.write_atomic(work / f"{files.sha256(model)[:16]}.tflite", model)
        return _of_tflite(file, "the model's bytes", key)
    path = Path(model).expanduser().absolute()
    code = None if code is None else _code_file(code, path)
    if path.suffix == ".tflite":
        return _of_tflite(path, path.name, key)
    if path.suffix not in (*sources.KERAS_FILES, ".py"):
        _require_saved_model(path)
    elif not path.is_file():
        raise ModelFileError(f"{files.display_path(path)} does not exist, or is not a file")
    sha256 = _checksum(path, code)
    source, signatures = _opened(path, work / "models" / jobs.named(sha256), code)
    if path.suffix == ".py":  # what else it read is in the model that it made
        sha256 = _checksum(source, None)
    keras = path if path.suffix in sources.KERAS_FILES else None
    ends = signature.choose(signatures, key)
    return Brought(path.name, sha256, source, ends, tuple(signatures), keras, code)


def _of_tflite(file: Path, name: str, key: str | None) -> Brought:
    found = signature.all_of_file(file)
    by_litert.require_floats(file)
    return Brought(name, files.sha256(file), file, signature.choose(found, key), tuple(found))


def _require_saved_model(path: Path) -> None:
    try:
        sources.require_saved_model(path)
    except ModelFileError as error:
        raise ModelFileError(
            f"{str(error).rstrip('.')}. Besides SavedModels .keras, .h5 and float .tflite files "
            "are read here, and a FILE.py with model()"
        ) from error


def _of_object(model: Any, work: Path, key: str | None) -> Brought:
    """A model in this process: saved here, because it cannot be sent to another one."""
    folder = work / "models" / "object"
    saved = _save(model, folder)
    found = sources.signatures(saved)
    ends = signature.choose(found, key)
    keras = folder.with_name("object.keras") if _kept_as_keras(model, folder) else None
    return Brought(
        f"the {type(model).__name__}", _checksum(saved, None), saved, ends, tuple(found), keras
    )


def _kept_as_keras(model: Any, folder: Path) -> bool:
    """Write the Keras file, of which variants are made; a model that has none does without."""
    try:
        with quiet():
            model.save(folder.with_name("object.keras"))
    except Exception:  # such as a layer without a configuration
        return False
    return True


def _saved_module(module: Any, folder: Path) -> Path:
    """Save a ``tf.Module``: the signatures are the functions that have one input signature.

    ``__call__`` is the default one, as is a function that is alone.
    """
    tf = tensorflow()
    functions = {
        name: function
        for name, function in inspect.getmembers(module)
        if isinstance(function, tf.types.experimental.PolymorphicFunction)
        and getattr(function, "input_signature", None) is not None
    }
    if not functions:
        raise ModelFileError(
            f"the {type(module).__name__} has no tf.function with an input_signature, which says "
            "what it takes: decorate one, @tf.function(input_signature=[tf.TensorSpec(...)])"
        )
    default = "__call__" if "__call__" in functions or len(functions) > 1 else next(iter(functions))
    with files.atomic_directory(folder) as temporary, quiet():
        made = {
            signature.DEFAULT if name == default else name: function.get_concrete_function()
            for name, function in functions.items()
        }
        tf.saved_model.save(module, str(temporary), signatures=made)
    return folder


def _opened(path: Path, kept: Path, code: Path | None) -> tuple[Path, dict[str, Signature]]:
    """The SavedModel of a file, and its signatures; from ``kept`` where they are there already.

    Code is run each time: what it reads, such as weights, may be another than before.
    """
    record = kept / "signatures"
    source = path if path.is_dir() else kept / "saved_model"
    if path.suffix != ".py" and (source / "saved_model.pb").is_file():
        with contextlib.suppress(Exception):  # whatever unpickling a damaged file comes upon
            return source, pickle.loads(record.read_bytes())
    try:
        signatures = sandbox.call(f"{__name__}:_open", path, source, code, imported="tensorflow")
    except ChildDied as error:
        how = str(error).partition(" ")[2]  # without the name of our function
        raise ModelFileError(f"{path.name}: the process that loaded it {how}") from error
    files.write_atomic(record, pickle.dumps(signatures))
    return source, signatures


def _open(path: Path, source: Path, code: Path | None) -> dict[str, Signature]:
    """In a child: make the SavedModel, unless it is one, and return its signatures."""
    if path.suffix == ".py":
        model = _built(path)
        if isinstance(model, str | os.PathLike):
            folder = sources.require_saved_model(path.parent / model)
            with files.atomic_directory(source) as temporary:
                shutil.copytree(folder, temporary, dirs_exist_ok=True)
        else:
            _save(model, source)
    elif path != source:
        sources.save(loaded(path, code), source)
    return sources.signatures(source)


def _save(model: Any, folder: Path) -> Path:
    if hasattr(model, "export"):
        return sources.save(model, folder)
    if isinstance(model, tensorflow().Module):
        return _saved_module(model, folder)
    raise ModelFileError(
        f"what is of the type {type(model).__name__} is no model: give a Keras model, a tf.Module "
        "with signatures, a SavedModel's folder, or a .keras, .h5 or .tflite file (lesson 15)"
    )


def loaded(file: Path, code: Path | None):
    """Return the Keras model of a file, with the layers that ``code`` defines.

    Raises ModelFileError as ``sources.load``, and InputError for code that fails.
    """
    if code is None:
        return _with_code_asked_for(file)
    keras = tensorflow().keras
    own = _imported(code)
    if getattr(own, "LOAD", "") == "unsafe":
        keras.config.enable_unsafe_deserialization()
    classes = {n: part for n, part in vars(own).items() if inspect.isclass(part) or callable(part)}
    with keras.utils.custom_object_scope(classes):
        return sources.load(file)


def _with_code_asked_for(file: Path):
    try:
        return sources.load(file)
    except ModelFileError as error:
        if "your own" in str(error) or "Lambda" in str(error):
            unsafe = ', and LOAD = "unsafe" in it' if "Lambda" in str(error) else ""
            raise ModelFileError(
                f"{error}. On the command line: --code FILE.py, a file with that class{unsafe}"
            ) from error
        raise


def _built(file: Path) -> Any:
    """What ``model()`` of a file of code returns."""
    build = getattr(_imported(file), "model", None)
    if not callable(build):
        raise InputError(
            f"{file.name} has no function model(); it returns a Keras model, a tf.Module, or the "
            "path of a SavedModel (lesson 15)"
        )
    try:
        return build()
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise InputError(f"model() of {file.name} failed with {what}") from error


def _imported(file: Path) -> ModuleType:
    try:
        return own_code.loaded(file)
    except InputError as error:
        raise InputError(f"{file.name}: {error}") from error


def _code_file(code: str | os.PathLike, model: Path) -> Path:
    file = Path(code).expanduser().absolute()
    if not file.is_file() or file.suffix != ".py":
        raise InputError(f"--code {code}: expected a .py file with the model's own layers")
    if model.suffix not in sources.KERAS_FILES:
        raise InputError(
            f"--code {code} has the layers of a .keras or .h5 file, and {model.name} is none: "
            "leave it out"
        )
    return file


def _checksum(path: Path, code: Path | None) -> str:
    """One checksum of a file or of all in a folder, and of the code that belongs to it."""
    parts = sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]
    sums = [files.sha256(part) for part in [*parts, *([code] if code else [])]]
    return sums[0] if len(sums) == 1 else files.sha256("".join(sums).encode())
