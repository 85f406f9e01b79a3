"""What runs, and makes again, the recommended file without the course.

``run.py`` needs NumPy and LiteRT alone and tests itself; ``reproduce.py`` is the plain converter's,
or LiteRT's quantizer's, own code for the same file; ``recipe.json`` the settings; ``layers.json``
the errors of the layers as Model Explorer's node data.
"""

import ast
import io
import json
import os
import pprint
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from lessons_lib.advise.report import Layers, Report
from lessons_lib.advise.trials import LITERT, NORMALIZED, Tried
from lessons_lib.convert import by_litert, paths
from lessons_lib.judge.layer_errors import MOVERS
from lessons_lib.models.own_data import Data
from lessons_lib.system import files, sandbox
from lessons_lib.tflite import signature, tables
from lessons_lib.tflite.signature import TensorSpec

NAMES = ("run.py", "reproduce.py", "recipe.json", "layers.json", "self_test.npz")
_TEMPLATES = Path(__file__).with_name("templates")
TESTED = 2  # samples that run.py tests itself with
_SECONDS = 120
# Model Explorer's colours: what is further from float32 is redder.
_COLOURS = ((10.0, "#d73027"), (20.0, "#fc8d59"), (30.0, "#fee08b"), (1000.0, "#91cf60"))


def write(found: Report, folder: Path, chosen: Tried, data: Data) -> None:
    """Write the four files, and ``self_test.npz``, for the recommended row.

    Defined in lesson 15.
    """
    model = folder / "recommended.tflite"
    ends = signature.of_file(model)
    _write_test(folder, ends, chosen, data)
    files.write_atomic(folder / "run.py", _run_file(ends, chosen, data))
    recipe = _recipe(chosen)
    files.write_atomic(folder / "recipe.json", json.dumps(recipe, indent=1) + "\n")
    files.write_atomic(folder / "reproduce.py", _reproduce_file(folder, chosen, data))
    if found.layers is not None and found.layers.errors:
        named = node_data(found.layers, folder / found.row(found.layers.row).file)
        files.write_atomic(folder / "layers.json", json.dumps(named, indent=1) + "\n")


def _write_test(folder: Path, ends, chosen: Tried, data: Data) -> None:
    kept = {f"input:{name}": np.array(array[:TESTED]) for name, array in data.test.items()}
    kept |= {f"output:{name}": array[:TESTED] for name, array in chosen.answers.items()}
    content = io.BytesIO()
    np.savez(content, **kept)
    files.write_atomic(folder / "self_test.npz", content.getvalue())


def _run_file(ends: signature.Signature, chosen: Tried, data: Data) -> str:
    shapes = _shapes(ends, data)
    return _filled(
        "run.py",
        INPUTS={name: _tensor(spec, shapes[name]) for name, spec in ends.inputs.items()},
        OUTPUTS={name: _tensor(spec) for name, spec in ends.outputs.items()},
        NORMALIZE={
            name: (mean.tolist(), deviation.tolist())
            for name, (mean, deviation) in chosen.trial.outside.items()
        },
        BATCH=ends.batch or 1,
        IN_BATCHES=ends.in_batches,
        STATE=bool(ends.state),
        CLASSES=list(data.classes),
    )


def _shapes(ends: signature.Signature, data: Data) -> dict[str, list[int]]:
    """What one call takes of each input; open sizes are those of the samples."""
    found = {}
    for name, spec in ends.inputs.items():
        sample = data.test[name].shape[1:]
        own = spec.shape[len(spec.shape) - len(sample) :]
        sizes = [given if size is None else size for given, size in zip(sample, own, strict=True)]
        ahead = len(spec.shape) - len(sample)
        found[name] = [ends.batch or 1] * ahead + sizes
    return found


def _tensor(spec: TensorSpec, shape: list[int] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"index": spec.index, "dtype": spec.dtype.name}
    if shape is not None:
        found["shape"] = shape
    if spec.scale is not None:
        found |= {"scale": spec.scale, "zero_point": spec.zero_point}
    return found


def _filled(template: str, **constants: Any) -> str:
    """A Python file with other values for its constants; InputError where it has none of a name."""
    text = (_TEMPLATES / template).read_text()
    lines, places = text.splitlines(), {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name):
                places[target.id] = node
    for name, value in sorted(constants.items(), key=lambda item: -places[item[0]].lineno):
        node, shown = places[name], pprint.pformat(value, width=96, sort_dicts=False)
        lines[node.lineno - 1 : node.end_lineno] = f"{name} = {shown}".splitlines()
    return "\n".join(lines) + "\n"


def _recipe(chosen: Tried) -> dict[str, Any]:
    """The settings of a row: LiteRT's recipe, or the converter's attributes."""
    step, path = chosen.trial.step, paths.get(chosen.trial.step.path)
    if chosen.trial.lane == LITERT:
        content = by_litert.prepared(chosen.trial.source)
        steps = by_litert.plan(content, step.path, step.rules)
        entries = by_litert.quantizer_recipe(steps, step.path, step.weight_range)
        made_by = {"tool": "litert-quantizer", "calibrate": step.calibrate}
        rules = [vars(rule) for rule in step.rules]
        return {**made_by, "path": step.path, "rules": rules, "recipe": entries}
    return {
        "tool": "TFLiteConverter",
        "path": path.name,
        "optimize": path.optimize,
        "supported_ops": list(path.supported_ops),
        "supported_types": list(path.supported_types),
        "inference_input_type": path.input_dtype,
        "inference_output_type": path.output_dtype,
    }


def _reproduce_file(folder: Path, chosen: Tried, data: Data) -> str:
    trial, path = chosen.trial, paths.get(chosen.trial.step.path)
    arrays = data.calibration if path.needs_calibration else None
    if trial.outside and arrays:
        folders = folder / NORMALIZED / "calibration"
        arrays = {name: np.load(folders / f"{Path(a.filename).stem}.npy", mmap_mode="r")
                  for name, a in arrays.items()}  # fmt: skip
    where = {name: _inside(array.filename, folder) for name, array in (arrays or {}).items()}
    source = _inside(trial.source, folder)
    ends = signature.of_file(chosen.outcome)
    shapes = _shapes(ends, data) if where else {}
    common = {"SAMPLES": where, "SHAPES": shapes, "BATCH": ends.batch or 1}
    if trial.lane == LITERT:
        update = by_litert.CALIBRATIONS[trial.step.calibrate]
        constants = {"FLOAT_FILE": source, "SIGNATURE": ends.key, "UPDATE": update}
        return _filled("reproduce_litert.py", **constants, **common)
    return _filled(
        "reproduce_converter.py",
        SAVED_MODEL=source,
        OPTIMIZE=path.optimize,
        SUPPORTED_OPS=list(path.supported_ops),
        SUPPORTED_TYPES=list(path.supported_types),
        INPUT_TYPE=path.input_dtype,
        OUTPUT_TYPE=path.output_dtype,
        **common,
    )


def _inside(path: str | os.PathLike, folder: Path) -> str:
    """A path beside the file that reads it, where it lies there."""
    path = Path(path)
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)


def node_data(layers: Layers, file: str | os.PathLike) -> dict[str, Any]:
    """Return the SQNR of each operator of a file, in dB, as Model Explorer's node data.

    Operators are met by their output's name; thresholds colour what is far from float32.
    Source: https://github.com/google-ai-edge/model-explorer/wiki.
    """
    table = tables.operators(file)
    table = table[(table["subgraph"] == 0) & ~table["operator"].isin(MOVERS)]
    results = {}
    for error in layers.errors:
        same = table[(table["layer"] == error.layer) & (table["operator"] == error.operator)]
        if error.sqnr_db is not None and np.isfinite(error.sqnr_db):
            results |= {o[0]: {"value": error.sqnr_db} for o in same["outputs"] if o and o[0]}
    thresholds = [{"value": value, "bgColor": colour} for value, colour in _COLOURS]
    return {"results": results, "thresholds": thresholds}


def fault(folder: Path) -> str:
    """Run ``run.py`` as its user will, in a process of its own; "", or what is wrong with it."""
    command, most = [sys.executable, "-P", str(folder / "run.py")], sandbox.patience(_SECONDS)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=most)
    except subprocess.TimeoutExpired:
        return f"run.py took more than {most:g} s to test itself; {sandbox.MORE_TIME}"
    if not done.returncode:
        return ""
    said = (done.stderr.strip().splitlines() or ["(no message)"])[-1]
    return f"run.py does not give what was measured: {said}"
