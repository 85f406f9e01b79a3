"""The user's own code: a ``.py`` file, an object, or whatever yields samples."""

import ast
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from lessons_lib.errors import InputError, LessonError, first_line
from lessons_lib.models.own_data.arrays import pair
from lessons_lib.models.own_data.given import Found, Options
from lessons_lib.models.sample_files import Gathered
from lessons_lib.tflite import samples
from lessons_lib.tflite.signature import Signature

ROLES = ("calibration", "test")
_LITERT = "get_calibration_data"
FUNCTIONS = (*ROLES, _LITERT)
_NONE = (
    "it has no calibration() and no test(): define both, each yielding samples x or pairs (x, y) "
    "(lesson 15)"
)


def of_file(file: Path, options: Options, folder: Path) -> Found:
    """Gather what a ``.py`` file yields, in a child; ``metric`` is True or None, as it has one."""
    _require_functions(file)
    found = of_code(loaded(file), options, folder, file)
    return replace(found, metric=None if found.metric is None else True)


def _require_functions(file: Path) -> None:
    """Refuse a file without them before it runs: it may be a training script, of an hour."""
    try:
        nodes = list(ast.walk(ast.parse(file.read_bytes())))
    except (SyntaxError, ValueError):
        return  # importing it says where
    names = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    names |= {node.asname or node.name for node in nodes if isinstance(node, ast.alias)}
    names |= {node.id for node in nodes if isinstance(node, ast.Name)}
    if not names & {*FUNCTIONS, "*"}:
        raise InputError(_NONE)


def loaded(file: Path) -> ModuleType:
    """Import a file by its path; its neighbours can be imported too."""
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))
    spec = importlib.util.spec_from_file_location("lessons_own_data", file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _failed("importing it", error, file) from error
    return module


def of_code(code: Any, options: Options, folder: Path, file: Path | None = None) -> Found:
    """Gather what ``calibration()`` and ``test()`` yield, or LiteRT's function.

    One function alone gives samples that are to be split.
    """
    functions = {role: getattr(code, role, None) for role in ROLES}
    functions = {role: function for role, function in functions.items() if callable(function)}
    if not functions and callable(getattr(code, _LITERT, None)):
        functions = {_LITERT: getattr(code, _LITERT)}
    if not functions:
        raise InputError(_NONE)
    parts = {}
    for role, function in functions.items():
        pairs = _pairs(f"{role}()", function, code, options.signature, file)
        try:
            part = options.gather(pairs, folder / role, endless=True)
        except InputError as error:
            raise InputError(f"{role}(): {error}") from error
        parts[role if len(functions) > 1 else ""] = part
    return with_metric(Found("", parts), code)


def with_metric(found: Found, code: Any) -> Found:
    """Return the same with the measure of the code, where it has one."""
    metric = getattr(code, "metric", None)
    if metric is not None and not callable(metric):
        raise InputError("its metric is no function: def metric(outputs, targets)")
    lower = bool(getattr(code, "LOWER_IS_BETTER", False))
    return replace(found, metric=metric, lower_is_better=lower)


def _pairs(
    name: str, function: Callable, code: Any, signature: Signature, file: Path | None
) -> Iterator[tuple[Any, Any]]:
    """The pairs that one function yields, their inputs through ``preprocess``."""
    prepare = getattr(code, "preprocess", None)
    for item in _items(lambda: _of_signature(function(), signature), name, file):
        x, y = pair(item, signature)
        if prepare is not None:
            try:
                x = prepare(x)
            except Exception as error:
                raise _failed("preprocess()", error, file) from error
        yield x, y


def _of_signature(source: Any, signature: Signature) -> Any:
    """LiteRT's script gives samples by signature, whose key it may leave None."""
    if isinstance(source, dict) and source and set(source) <= {None, signature.key}:
        return source.get(signature.key, source.get(None))
    return source


def of_stream(source: Any, options: Options, folder: Path) -> Gathered:
    """Gather what a source yields: samples or batches, alone or with targets."""
    stream = _items(lambda: source, "it", None)
    pairs = (pair(item, options.signature) for item in stream)
    return options.gather(pairs, folder, endless=True)


def _items(make: Callable, name: str, file: Path | None) -> Iterator[Any]:
    """Yield what a source has; InputError, with the line, for errors of the user's own code."""
    try:
        stream = samples.items(make())
        while (item := next(stream, stream)) is not stream:
            yield item
    except LessonError:
        raise
    except (Exception, SystemExit) as error:
        raise _failed(name, error, file) from error


def _failed(name: str, error: BaseException, file: Path | None) -> InputError:
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if file is not None and Path(frame.filename) == file]
    lines += [error.lineno] if isinstance(error, SyntaxError) else []
    what = type(error).__name__
    what = f"{what}: {first_line(error)}" if str(error).strip() else what
    where = f" (line {lines[-1]})" if lines else ""
    return InputError(f"{name} failed with {what}{where}: mend that code")
