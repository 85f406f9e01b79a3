"""A float model as its owner has it: a SavedModel, a Keras model, or a Keras file.

The converter has one class method for each of them, with other names, other bytes and other
faults. Here all come to the same: a SavedModel's folder, met by one of its signatures.
"""

import contextlib
import importlib.util
import os
import re
import sys
import types
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lessons_lib.errors import ConversionError, InputError, ModelFileError, first_line
from lessons_lib.system.files import atomic_directory, display_path
from lessons_lib.system.quiet import quiet, tensorflow
from lessons_lib.system.sandbox import temporary_folder
from lessons_lib.tflite.layer_names import layer_name
from lessons_lib.tflite.signature import DEFAULT, Signature, TensorSpec, choose

Shapes = Mapping[str, tuple[int | None, ...]]
KERAS_FILES = (".keras", ".h5", ".hdf5")
_BESIDE = ("fingerprint.pb", "keras_metadata.pb")  # in a SavedModel's folder
_OTHERS = {
    ".onnx": "`onnx2tf -i model.onnx`",
    ".pt": "`litert_torch.convert(model.eval(), args).export('model.tflite')`",
    ".pth": "`litert_torch.convert(model.eval(), args).export('model.tflite')`",
    ".pt2": "`litert_torch.convert(model.eval(), args).export('model.tflite')`",
}


def save(
    model,
    directory: str | os.PathLike,
    *,
    batch_size: int | None = None,
    shapes: Shapes | None = None,
) -> Path:
    """Write a Keras ``model`` as a SavedModel, whole or not at all, and return its folder.

    ``batch_size`` fixes the number of inputs in one call, as browsers and many accelerators need
    it; None leaves it as the model has it. ``shapes`` fixes whole shapes by input name, batch
    included, such as ``{"image": (1, 96, 96, 3)}``. Raises InputError when the folder holds
    anything but a SavedModel, which this one would replace, when ``batch_size`` is below 1,
    ``shapes`` names no input or does not fit one, and when the model never saw an input;
    ModelFileError when Keras cannot export it; StorageError when the folder cannot be written.
    Defined in lessons 01 and 14.
    """
    _require_replaceable(Path(directory))
    if not getattr(model, "built", True):
        raise InputError(
            f"the model {getattr(model, 'name', '')!r} does not know its inputs' shapes yet: call "
            "it once on a batch of samples, model(x[:1]), then save it (lesson 01)"
        )
    own = [tensor.shape[0] for tensor in getattr(model, "inputs", None) or [] if tensor.shape]
    open_batch = batch_size is None and not shapes and not any(own)  # Keras would open its own
    fixed = None if open_batch else _fixed(model, batch_size, shapes or {})
    with atomic_directory(directory) as temporary, quiet():
        try:
            model.export(temporary, verbose=False, input_signature=fixed)
        except OSError:
            raise
        except Exception as error:  # Keras and TensorFlow raise many kinds
            raise ModelFileError(f"Keras cannot export the model: {_unwritten(error)}") from error
    return Path(directory)


def _unwritten(error: Exception) -> str:
    """Why a model could not be written, out of pages of user code and arguments."""
    text = str(error)
    if found := re.search(
        r"'([^']*)' is not a valid (?:root )?scope name|non-unique argument names.* named '(.*)'",
        text,
    ):
        return (
            f"TensorFlow does not write the name {(found[1] or found[2])!r}. Build the model anew "
            "with names of plain letters, digits and _ only, and copy the weights, "
            "set_weights(model.get_weights()) (lesson 01)"
        )
    if "Got a non-Tensor value" in text:
        return (
            "its outputs are containers inside a container. Give them as one dictionary by name, "
            "keras.Model(model.inputs, {'first': tensor, 'second': tensor}) (lesson 01)"
        )
    lines = [line.strip() for line in text.splitlines() if re.search(r"\w+Error: ", line)]
    return f"{(lines or [first_line(error)])[-1][:300]} (lesson 01)"


def _fixed(model, batch_size: int | None, shapes: Shapes) -> list:
    """The model's inputs, in its own structure, with the sizes that are to be fixed."""
    if batch_size is not None and batch_size < 1:
        raise InputError(f"batch_size={batch_size}; expected at least 1, or None (lesson 14)")
    tf = tensorflow()
    names = [tensor.name for tensor in model.inputs]
    if unknown := set(shapes) - set(names):
        raise InputError(
            f"shapes names {', '.join(sorted(unknown))}; the inputs are called {', '.join(names)}"
        )

    def spec(tensor):
        shape = tuple(shapes.get(tensor.name, (batch_size or tensor.shape[0], *tensor.shape[1:])))
        pairs = zip(shape, tensor.shape, strict=False)
        if len(shape) != len(tensor.shape) or any(own not in (None, new) for new, own in pairs):
            raise InputError(
                f"the input {tensor.name!r} cannot have the shape {shape}: the model takes "
                f"{tuple(tensor.shape)}, of which only what is None can be chosen (lesson 14)"
            )
        return tf.TensorSpec(shape, tensor.dtype, name=tensor.name)

    structure = model.input if len(names) > 1 else model.inputs[0]
    return [tf.nest.map_structure(spec, structure)]


def _require_replaceable(directory: Path) -> None:
    """Nothing but an older SavedModel may be overwritten."""
    if not directory.exists() or (directory / "saved_model.pb").is_file():
        return
    if not directory.is_dir() or any(directory.iterdir()):
        raise InputError(
            f"{display_path(directory)} exists and is no SavedModel; name a new folder (lesson 01)"
        )


@contextlib.contextmanager
def opened(source: Any) -> Iterator[Path]:
    """Yield the SavedModel's folder of ``source``: itself, or a temporary one.

    ``source`` is the folder of a SavedModel, a ``.keras``, ``.h5`` or ``.hdf5`` file, or a Keras
    model. Raises ModelFileError for what is none of them, with what to do about it.
    """
    named = isinstance(source, str | os.PathLike)
    if named and (Path(source).is_dir() or Path(source).suffix.lower() not in KERAS_FILES):
        yield require_saved_model(source)
        return
    model = load(source) if named else source
    if not hasattr(model, "export") or isinstance(model, type):
        raise ModelFileError(
            f"a {type(model).__name__} is no model that can be converted: give a Keras model, a "
            "SavedModel's folder (`tf.saved_model.save(module, folder, signatures=...)` makes one "
            "of a tf.Module), or a .keras or .h5 file (lesson 01)"
        )
    with temporary_folder() as folder:
        yield save(model, Path(folder) / "saved_model")


def load(file: str | os.PathLike):
    """Return the Keras model of a ``.keras``, ``.h5`` or ``.hdf5`` file, not compiled.

    Code inside the file, such as that of a Lambda layer, is not run. Raises ModelFileError, with
    the layer's name where one is at fault.
    """
    file = Path(file)
    if not file.is_file():
        raise ModelFileError(f"{display_path(file)} is not a file (lesson 01)")
    _require_container(file)
    keras = tensorflow().keras
    try:
        with quiet():
            return keras.models.load_model(file, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many kinds
        raise ModelFileError(f"{display_path(file)} cannot be loaded: {_why(error)}") from error


def _require_container(file: Path) -> None:
    """A file that is cut off is told to be missing by Keras."""
    with file.open("rb") as opened_file:
        hdf5 = opened_file.read(8) == b"\x89HDF\r\n\x1a\n"
    kind = "a zip archive" if file.suffix.lower() == ".keras" else "an HDF5 file"
    if not (zipfile.is_zipfile(file) if file.suffix.lower() == ".keras" else hdf5):
        raise ModelFileError(
            f"{display_path(file)} is not {kind}, as a {file.suffix} file is: it is cut off or "
            "another kind of file. Copy or save it anew (lesson 01)"
        )


def _why(error: Exception) -> str:
    """Keras quotes a whole configuration around the name of a class that it does not know."""
    text = str(error)
    if "Lambda" in text:
        return (
            "it has a Lambda layer, whose code is not run unasked. If you trust it, load it with "
            "keras.models.load_model(file, safe_mode=False) and give the model (lesson 01)"
        )
    if "No model config found" in text:
        return (
            "it has weights and no model. Build the model, model.load_weights(file), and give "
            "the model (lesson 01)"
        )
    if found := re.search(r"(?:Could not locate class|Unknown layer:?) '([\w>]+)'", text):
        name = found[1].rpartition(">")[2]
        registered = re.search(rf"'registered_name': '(\w+>{name})'", text)
        key = registered[1] if registered else found[1]
        return (
            f"it has a layer of your own, {name!r}: load it with keras.models.load_model(file, "
            f"custom_objects={{{key!r}: {name}}}) and give the model (lesson 01)"
        )
    return f"{first_line(error)[:300]} (lesson 01)"


def require_saved_model(directory: str | os.PathLike) -> Path:
    """Return ``directory`` as a Path if it is a SavedModel; raise ModelFileError otherwise."""
    directory = Path(directory)
    if (directory / "saved_model.pb").is_file():
        return directory
    if directory.name == "saved_model.pb" and directory.is_file():
        return directory.parent
    frozen = [directory] if directory.suffix == ".pb" else sorted(directory.glob("*.pb"))
    frozen = [file for file in frozen if file.is_file() and file.name not in _BESIDE]
    if frozen:
        raise ModelFileError(
            f"{display_path(frozen[0])} is no SavedModel but a graph, perhaps one of TensorFlow 1: "
            "tf.compat.v1.lite.TFLiteConverter.from_frozen_graph(file, ['input'], ['output'])"
            ".convert(), with the names of its inputs and outputs, makes a float .tflite of it, "
            "which by_litert.quantize takes (lesson 13)"
        )
    if command := _OTHERS.get(directory.suffix):
        raise ModelFileError(
            f"{display_path(directory)} is not read here: {command} makes a .tflite of it, which "
            "by_litert.quantize takes (lesson 13)"
        )
    if directory.suffix == ".tflite":
        raise ModelFileError(
            f"{display_path(directory)} is a .tflite already, which TFLiteConverter does not read: "
            "by_litert.quantize takes it where its weights are floats (lesson 13)"
        )
    what = "does not exist" if not directory.exists() else "is not a SavedModel"
    raise ModelFileError(
        f"{display_path(directory)} {what}: a SavedModel is a folder with saved_model.pb and, "
        "mostly, variables/. Make one with sources.save(model, folder) (lesson 01)."
    )


def signature(saved_model: str | os.PathLike, key: str | None = None) -> Signature:
    """Return a signature of a SavedModel, by default ``serving_default``.

    Raises ModelFileError for no SavedModel or a damaged one, InputError, with the choice, when
    there is no such signature, or none to choose without a name.
    """
    return choose(signatures(saved_model), key)


def signatures(saved_model: str | os.PathLike) -> dict[str, Signature]:
    """Return the signatures of a SavedModel by their keys, without ``serve``, the twin that Keras
    writes of ``serving_default``.
    """
    found, graph = {}, _graph(saved_model)
    for key, definition in sorted(graph.signature_def.items()):  # a map's order is chance
        if key == "__saved_model_init_op":
            continue
        sides = [
            {
                name: TensorSpec(name, _shape(info.tensor_shape), _dtype(info.dtype))
                for name, info in sorted(side.items())  # as TFLiteConverter writes them
            }
            for side in (definition.inputs, definition.outputs)
        ]
        if all(sides):
            found[key] = Signature(*sides, key, order=_order(graph, sides[0]))
    if "serve" in found and str(found["serve"]) == str(found.get(DEFAULT)):
        del found["serve"]
    if not found:
        raise ModelFileError(
            f"{display_path(saved_model)} has no signature, which says what the model takes: save "
            "it with sources.save(model, folder), or tf.saved_model.save(module, folder, "
            "signatures=module.call.get_concrete_function(...)) (lesson 01)"
        )
    return found


def _order(graph, inputs: Mapping[str, TensorSpec]) -> tuple[str, ...]:
    """The inputs in the order in which the model's own function takes them.

    The signature itself takes them by name, and has no order. Empty where no function, or more
    than one, says it.
    """
    orders = {
        tuple(_positional(function.canonicalized_input_signature.tuple_value.values[0]))
        for function in graph.object_graph_def.concrete_functions.values()
        if function.canonicalized_input_signature.tuple_value.values
    }
    fitting = [order for order in orders if sorted(order) == sorted(inputs)]
    if all(re.fullmatch(r"args_\d+(_\d+)*", name) for name in inputs):  # TensorFlow's, numbered
        return tuple(sorted(inputs, key=lambda name: [int(n) for n in name.split("_")[1:]]))
    return fitting[0] if len(fitting) == 1 else ()


def _positional(value) -> Iterator[str]:
    """The names of the tensors in a tuple of arguments; those of a dictionary have no order."""
    kind = value.WhichOneof("kind")
    if kind == "tensor_spec_value":
        yield value.tensor_spec_value.name
    elif kind in ("tuple_value", "list_value"):
        for part in getattr(value, kind).values:
            yield from _positional(part)


def is_keras_export(saved_model: str | os.PathLike) -> bool:
    """Whether a SavedModel was written by Keras's own ``model.export``, as ``save`` does it."""
    found = _graph(saved_model).signature_def
    return "serve" in found and DEFAULT in found


def operators(saved_model: str | os.PathLike) -> set[str]:
    """Return TensorFlow's names of the operators in a SavedModel's graph and functions."""
    graph = _graph(saved_model).graph_def
    nodes = [graph.node, *(function.node_def for function in graph.library.function)]
    return {node.op for part in nodes for node in part}


def _graph(saved_model: str | os.PathLike):
    directory, content = require_saved_model(saved_model), _empty_message()
    try:
        content.ParseFromString((directory / "saved_model.pb").read_bytes())
        if content.meta_graphs:
            return content.meta_graphs[0]
        raise ValueError("its saved_model.pb is empty")
    except Exception as error:  # protobuf's own kinds, or no graph at all
        raise ModelFileError(
            f"{display_path(directory)} cannot be read as a SavedModel: {first_line(error)} "
            "(lesson 01)"
        ) from error


def _empty_message():
    """What reads a ``saved_model.pb``: TensorFlow's own description of the file, a ``SavedModel``.

    TensorFlow takes seconds to import, and nothing of it is needed here: where it is not imported
    yet, a bare module leads to the description, and is taken away again.
    """
    found = None if "tensorflow" in sys.modules else importlib.util.find_spec("tensorflow")
    if found is not None:
        sys.modules["tensorflow"] = bare = types.ModuleType("tensorflow")
        bare.__path__ = found.submodule_search_locations
    try:
        from tensorflow.core.protobuf import saved_model_pb2
    finally:
        if found is not None:
            for name in [name for name in sys.modules if name.partition(".")[0] == "tensorflow"]:
                del sys.modules[name]
    return saved_model_pb2.SavedModel()


def _shape(shape) -> tuple[int | None, ...]:
    return tuple(None if size.size < 0 else size.size for size in shape.dim)


def _dtype(number: int) -> np.dtype:
    if number in _COMMON:
        return np.dtype(_COMMON[number])
    dtype = tensorflow().as_dtype(number)
    return np.dtype(dtype.as_numpy_dtype if dtype.is_numpy_compatible else object)


# Of types.proto, without TensorFlow.
_COMMON = {1: "float32", 3: "int32", 4: "uint8", 6: "int8", 9: "int64", 10: "bool", 19: "float16"}


def _require_constants(graph) -> None:
    """Raise ConversionError for NaN in what a graph holds itself; inf may be a mask."""
    make_array = tensorflow().make_ndarray
    for node in [*graph.node, *(n for part in graph.library.function for n in part.node_def)]:
        if node.op != "Const" or node.attr["dtype"].type not in _FLOATS:
            continue
        if np.isnan(make_array(node.attr["value"].tensor).astype(np.float64)).any():
            raise ConversionError(
                f"the constant {node.name} of the layer {layer_name(node.name)} holds NaN: what it "
                "was computed from is broken, look at it and build the model anew (lesson 03)"
            )


_FLOATS = (1, 2, 14, 19)  # DT_FLOAT, DT_DOUBLE, DT_BFLOAT16, DT_HALF of types.proto


def _failed(error: Exception) -> str:
    """TensorFlow's own complaint, without the traces around it."""
    text = str(error)
    if found := re.search(r"indices\S* = (-?\d+) is not in \[0, (\d+)\)", text):
        return (
            f"they hold the number {found[1]} where the model knows 0 to {int(found[2]) - 1}, as "
            "the words of its vocabulary (lesson 06)"
        )
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    around = "Graph execution", "Detected", "File", "<stack"
    named = [line for line in lines if not line.startswith(around)]
    return f"{(named or lines)[0][:300]} (lesson 06)"


def runner(saved_model: str | os.PathLike, key: str):
    """Return a function that runs a SavedModel's signature: rows by name in, rows by name out.

    Raises ModelFileError when it cannot be loaded, and ConversionError when its weights hold NaN or
    inf, or its constants NaN: the converter hides some of them behind a ReLU, and ends the process
    at others.
    """
    tf = tensorflow()
    try:
        with quiet():
            loaded = tf.saved_model.load(str(saved_model))
            function = loaded.signatures[key]
    except Exception as error:  # the loader raises many kinds
        raise ModelFileError(
            f"{display_path(saved_model)} cannot be read as a SavedModel: {first_line(error)} "
            "(lesson 01)"
        ) from error
    for variable in function.variables:
        if variable.dtype.is_floating and not np.isfinite(variable.numpy()).all():
            raise ConversionError(
                f"the weights {variable.name.removesuffix(':0')} hold NaN or inf: look at "
                "model.get_weights() and train anew (lesson 03)"
            )
    _require_constants(_graph(saved_model).graph_def)
    keys = {spec.name: key for key, spec in function.structured_input_signature[1].items()}

    def run(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        given = {keys[name]: tf.constant(array) for name, array in rows.items()}
        try:
            with quiet():
                outputs = function(**given)
        except tf.errors.OpError as error:
            raise ConversionError(
                f"the float model fails on the samples: {_failed(error)}"
            ) from error
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    run.loaded, run.function = loaded, function  # which needs the variables of what was loaded
    return run
