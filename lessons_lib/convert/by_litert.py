"""The LiteRT lane: a float ``.tflite``, a path and rules become a recipe of ``litert_quantizer``.

``litert_quantizer`` succeeds the quantization inside ``TFLiteConverter``. It takes a float32
``.tflite`` and needs no TensorFlow. Three of its settings are not offered here, for they spoil a
model without a word (release 0.11): per-tensor weights with dynamic activations (wrong for a
depthwise convolution), weights in blocks (wrong on the reference kernels), and 2-bit weights
(wrong for a convolution).
"""

import os
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lessons_lib.convert import calibration, paths
from lessons_lib.convert.outcome import audit
from lessons_lib.errors import (
    ChildDied,
    ConversionError,
    InputError,
    LessonError,
    ModelFileError,
    first_line,
)
from lessons_lib.system import files
from lessons_lib.system.quiet import quiet
from lessons_lib.system.sandbox import call, is_trusted, trust
from lessons_lib.tflite import reader, tables


@dataclass(frozen=True)
class Recipe:
    """What is done to one operator.

    ``weights``: float32, float16, int8 or int4, the last two symmetric, and per-channel unless
    ``per_tensor``. ``activations``: ``float32``; ``dynamic``, quantized to int8 while the model
    runs; or ``int8`` and ``int16``, with ranges from a calibration.
    """

    name: str
    title: str
    weights: str
    activations: str = "float32"
    per_tensor: bool = False

    def __post_init__(self):
        if self.weights not in ("float32", "float16", "int8", "int4"):
            raise InputError(
                f"weights={self.weights!r}; expected float32, float16, int8 or int4. With 2-bit "
                "weights a convolution answers nothing of use (lesson 13)"
            )
        if self.activations not in ("float32", "dynamic", "int8", "int16"):
            raise InputError(
                f"activations={self.activations!r}; expected float32, dynamic, int8 or int16 "
                "(lesson 13)"
            )
        if self.weights.startswith("float") and self.activations != "float32":
            raise InputError(
                f"{self.weights} weights go with float32 activations, not with "
                f"{self.activations} (lesson 13)"
            )
        if self.per_tensor and self.activations == "dynamic":
            raise InputError(
                "per-tensor weights with dynamic activations: the result is wrong, without an "
                "error, for a depthwise convolution. Use per-channel weights (lesson 13)"
            )

    @property
    def needs_calibration(self) -> bool:
        return self.activations in ("int8", "int16")


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("float32", "left as it is", "float32"),
        Recipe("float16", "half-precision weights", "float16"),
        Recipe("weight_only_int8", "int8 weights, unpacked to float while it runs", "int8"),
        Recipe("weight_only_int4", "int4 weights, unpacked to float while it runs", "int4"),
        Recipe("dynamic_range", "int8 weights, dynamic int8 activations", "int8", "dynamic"),
        Recipe("dynamic_int4", "int4 weights, dynamic int8 activations", "int4", "dynamic"),
        Recipe("int8", "int8 weights, int8 activations", "int8", "int8"),
        Recipe("int8x4", "int4 weights, int8 activations", "int4", "int8"),
        Recipe(
            "int8_per_tensor", "int8 weights of one scale, int8 activations", "int8", "int8", True
        ),
        Recipe(
            "int8x4_per_tensor", "int4 weights of one scale, int8 activations", "int4", "int8", True
        ),
        Recipe("int16x8", "int8 weights, int16 activations", "int8", "int16"),
    )
}


@dataclass(frozen=True)
class Rule:
    """Another recipe for the operators whose output's name ``pattern`` is found in.

    ``pattern`` is a regular expression, searched as ``re.search`` does; ``recipe`` a name in
    RECIPES; ``operator`` limits the rule to one kind, such as CONV_2D. Raises InputError when the
    expression is invalid or the recipe unknown. Defined in lesson 13.
    """

    pattern: str
    recipe: str
    operator: str = "*"

    def __post_init__(self):
        try:
            re.compile(self.pattern + "")  # bytes would compile, and match no name
        except (re.error, TypeError) as error:
            raise InputError(
                f"{self.pattern!r} is not a regular expression: {error} (lesson 13)"
            ) from error
        if not isinstance(self.recipe, str) or self.recipe not in RECIPES:
            known = ", ".join(RECIPES)
            raise InputError(f"no recipe {self.recipe!r}; a rule takes {known} (lesson 13)")

    def fits(self, operator: str, outputs: str) -> bool:
        """Return whether the rule names an operator of this kind with these outputs."""
        return self.operator in ("*", operator) and re.search(self.pattern, outputs) is not None


def require_rules(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """Return the rules as a tuple; raise InputError when they are anything but a list of Rule."""
    given = tuple(rules) if isinstance(rules, Iterable) else None
    if given is None or not all(isinstance(rule, Rule) for rule in given):
        raise InputError(
            f"rules is a list of Rule(...), such as [Rule('stem', 'int8')]; given: {rules!r} "
            "(lesson 13)"
        )
    return given


def require_float(model: reader.Source) -> tuple[int, ...]:
    """Return one input's shape without the batch, if a file is a float32 model with one input.

    Raises ModelFileError for a folder, such as a SavedModel, and ConversionError when the model
    is quantized already, or has another input.
    """
    if isinstance(model, str | os.PathLike) and os.path.isdir(model):
        raise ModelFileError(
            f"{files.display_path(model)} is a folder; LiteRT's quantizer starts from a float32 "
            ".tflite, which by_tensorflow.convert(saved_model, 'float32') makes (lesson 13)"
        )
    table = tables.tensors(model)
    halves = table["dtype"] == "FLOAT16"
    if table["scale"].notna().any() or halves.any():
        raise ConversionError(
            "the .tflite is quantized already; LiteRT's quantizer starts from the float32 file, "
            "which by_tensorflow.convert(saved_model, 'float32') makes (lesson 13)"
        )
    inputs = table[(table["role"] == "input") & (table["subgraph"] == 0)]
    if list(inputs["dtype"]) != ["FLOAT32"]:
        dtypes = ", ".join(inputs["dtype"]) or "none"
        raise ConversionError(
            f"the course's helpers take models with one FLOAT32 input; this one has {dtypes}"
        )
    return inputs["shape"].iloc[0][1:]


def needs_samples(steps: pd.DataFrame, path: str, rules: Iterable[Rule] = ()) -> str:
    """Return what in a plan needs ranges of the activations: the path, a rule, or "" for nothing.

    ``steps`` is the plan that ``plan`` made of the same path and rules.
    """
    if paths.get(path).needs_calibration:
        return f"the path {path}"
    for rule in rules:
        if RECIPES[rule.recipe].needs_calibration and rule.recipe in set(steps["recipe"]):
            return f"the rule for {rule.pattern!r} ({rule.recipe})"
    return ""


def plan(model: reader.Source, path: str, rules: Iterable[Rule] = ()) -> pd.DataFrame:
    """Return what ``path`` and ``rules`` do to each operator of a float model.

    One row for each operator, with ``operator``, ``outputs`` (names joined by ``;``) and
    ``recipe``. Of several rules that match an operator the last one wins; where LiteRT lacks a
    recipe for an operator, a rule does not match. Raises InputError for an unknown path, for a
    rule that matches no operator (it lists those that it could have matched), and for one that
    keeps floats on a path of integers; ModelFileError and ConversionError as ``require_float``.
    Defined in lesson 13.
    """
    promise, rules = paths.get(path), require_rules(rules)
    require_float(model)
    table = tables.operators(model)[["operator", "outputs"]]
    table["outputs"] = [";".join(filter(None, names)) for names in table["outputs"]]
    table["recipe"] = "float32"
    for name in promise.recipes:
        table.loc[_able(table, name), "recipe"] = name
    for rule in rules:
        able = table[_able(table, rule.recipe)]
        chosen = [rule.fits(*row) for row in able[["operator", "outputs"]].itertuples(index=False)]
        if not any(chosen):
            raise _matches_nothing(rule, table, able)
        table.loc[able.index[chosen], "recipe"] = rule.recipe
    if promise.integer_only:
        _refuse_floats(table, path, rules)
    return table


def _able(table: pd.DataFrame, recipe: str) -> pd.Series:
    """Which operators the recipe can be followed for, by LiteRT's own list."""
    able = {name: _supports(RECIPES[recipe], name) for name in set(table["operator"])}
    return table["operator"].map(able).astype(bool) & (table["outputs"] != "")


def _refuse_floats(table: pd.DataFrame, path: str, rules: Sequence[Rule]) -> None:
    """What a rule keeps in float is refused here; what LiteRT cannot quantize, by the audit."""
    floats = [rule.recipe for rule in rules if not RECIPES[rule.recipe].needs_calibration]
    kept = table[table["recipe"].isin(floats)]
    if len(kept):
        given, to = (", ".join(kept[column].unique()) for column in ("recipe", "operator"))
        raise InputError(
            f"the path {path} promises integers only, but a rule gives {given} to {to}; the path "
            "int8_float_fallback may keep some operators in float (lesson 13)"
        )


def _matches_nothing(rule: Rule, table: pd.DataFrame, able: pd.DataFrame) -> InputError:
    """The error lists operators by the first of their names: a folded layer has half a dozen."""
    named = table[[rule.fits(*row) for row in table[["operator", "outputs"]].to_numpy()]]
    if len(named):
        possible = [name for name in RECIPES if _able(named, name).any()]
        return InputError(
            f"LiteRT has no {rule.recipe} for the operators that match {rule.pattern!r}: "
            f"{', '.join(named['operator'].unique())}. It has {', '.join(possible)} (lesson 13)"
        )
    same_kind = able[able["operator"] == rule.operator]
    listed = able if same_kind.empty else same_kind
    lines = [f"{row.operator} {row.outputs.partition(';')[0]}" for row in listed.itertuples()]
    return InputError(
        f"no operator matches {rule}. It could have matched: {', '.join(lines) or 'none'}; "
        "plan shows their full names (lesson 13)"
    )


def quantizer_recipe(steps: pd.DataFrame, path: str) -> list[dict]:
    """Return a plan in the form that ``litert_quantizer`` reads: a list of entries.

    Each operator gets an entry of its own, under its outputs' full name. (In the library's form a
    second entry for the same expression takes the place of the first one, in its old rank.)
    Raises InputError for an unknown path.
    """
    ends = paths.get(path).input_dtype
    entries = []
    if ends != "float32":
        for end in ("INPUT", "OUTPUT"):
            entries.append(_entry(".*", end, _end_settings(ends)))
    for row in steps[steps["recipe"] != "float32"].itertuples():
        name = _LIBRARY_NAMES.get(row.operator, row.operator)
        settings = _settings(RECIPES[row.recipe])
        entries.append(_entry(f"^{re.escape(row.outputs)};$", name, settings))
    return entries


_LIBRARY_NAMES = {"TRANSPOSE_CONV": "CONV_2D_TRANSPOSE"}


def _entry(regex: str, operation: str, settings: dict) -> dict:
    return {
        "regex": regex,
        "operation": operation,
        "algorithm_key": _algorithm(settings),
        "op_config": settings,
    }


def _algorithm(settings: dict) -> str:
    casts = settings["weight_tensor_config"]["dtype"] == "FLOAT"
    return "float_casting" if casts else "min_max_uniform_quantize"


def _settings(recipe: Recipe) -> dict:
    """A recipe in the library's words: weights are symmetric, and so is int16."""
    in_float = recipe.activations == "float32"
    granularity = "TENSORWISE" if recipe.per_tensor else "CHANNELWISE"
    settings = {
        "weight_tensor_config": _tensor_settings(recipe.weights, True, granularity),
        "compute_precision": "FLOAT" if in_float else "INTEGER",
        "explicit_dequantize": in_float,
    }
    if recipe.activations not in ("float32", "dynamic"):
        symmetric = recipe.activations == "int16"
        settings["activation_tensor_config"] = _tensor_settings(recipe.activations, symmetric)
    return settings


def _end_settings(dtype: str) -> dict:
    """The model's input or output in a dtype of its own: uint8 stands nowhere else."""
    activations = {"activation_tensor_config": _tensor_settings(dtype, dtype == "int16")}
    return _settings(RECIPES["int8"]) | activations


def _tensor_settings(dtype: str, symmetric: bool, granularity: str = "TENSORWISE") -> dict:
    kind, bits = re.fullmatch(r"([a-z]+)(\d+)", dtype).groups()
    return {
        "num_bits": int(bits),
        "symmetric": symmetric,
        "granularity": granularity,
        "dtype": kind.upper(),
    }


def _supports(recipe: Recipe, operator: str) -> bool:
    """Whether LiteRT has kernels for an operator with this recipe, by the library's own list.

    An operator without weights is the same in all recipes with int8 activations: it is int8.
    """
    if recipe.name == "float32":
        return True
    special = recipe.needs_calibration and (recipe.weights == "int4" or recipe.per_tensor)
    if special and operator not in tables.PARAMETERS:
        return False
    with quiet():
        from litert_quantizer import algorithm_manager, qtyping
    settings = _settings(recipe)
    try:
        algorithm_manager.check_op_quantization_config(
            _algorithm(settings),
            qtyping.TFLOperationName(_LIBRARY_NAMES.get(operator, operator)),
            qtyping.OpQuantizationConfig.from_dict(settings),
        )
    except ValueError:  # not on the list, or a kind of operator that the library does not know
        return False
    return True


def run(content: bytes, entries: list[dict], samples: Sequence[list[np.ndarray]] = ()) -> bytes:
    """Return a float ``.tflite`` quantized by ``litert_quantizer`` with a recipe of ``entries``.

    ``samples``, each ``[float32 (1, ...)]``, are needed by static entries. For each tensor the
    library keeps a moving average of the samples' smallest and largest values,
    ``0.95 * range + 0.05 * sample``, where TFLiteConverter keeps the extremes: the order of the
    samples counts. Raises ConversionError when the library fails. Defined in lesson 13.
    """
    try:
        with quiet(), warnings.catch_warnings(action="ignore"):
            result = _quantize(content, entries, samples)
    except LessonError:
        raise
    except (ValueError, RuntimeError, KeyError) as error:
        raise ConversionError(
            f"LiteRT's quantizer failed: {first_line(error)} (lesson 13)"
        ) from error
    return let_shapes_read_integers(result)


def _quantize(content: bytes, entries: list[dict], samples: Sequence[list[np.ndarray]]) -> bytes:
    from litert_quantizer import calibrator, quantizer

    engine = quantizer.Quantizer(content, entries)
    ranges = None
    if engine.need_calibration:
        key, name = signature(content)
        ranges = engine.calibrate(
            {key: [{name: sample[0]} for sample in samples]},
            num_threads=1,
            mode=calibrator.CalibrationMode.CALIBRATION_PROFILER_BASED,
        )
    return bytes(engine.quantize(ranges, enable_progress_report=False).quantized_model)


def signature(content: bytes) -> tuple[str, str]:
    """Return the names of a model's signature and of its only input.

    Raises ConversionError when it has no signature with one input.
    """
    for found in reader.read(content).signatureDefs or []:
        if found.subgraphIndex == 0 and len(found.inputs) == 1:
            return found.signatureKey.decode(), found.inputs[0].name.decode()
    raise ConversionError(
        "the .tflite has no signature with one input, by which LiteRT's quantizer feeds it while "
        "it calibrates; convert the SavedModel again with by_tensorflow.convert (lesson 01)"
    )


def let_shapes_read_integers(content: bytes) -> bytes:
    """Return a model whose SHAPE operators read quantized tensors and no dequantized copies.

    The quantizer does not know SHAPE, which a dynamic batch needs before a RESHAPE, so it gives it
    floats: one DEQUANTIZE, and the file is no longer integer-only. But the shape of a tensor does
    not depend on its dtype. A model without that pattern comes back as it is.
    Defined in lesson 13.
    """
    table = tables.operators(content)
    if "SHAPE" not in set(table["operator"]):
        return content
    model, changed = reader.read(content), False
    for number, graph in enumerate(model.subgraphs):
        kinds = table.loc[table["subgraph"] == number, "operator"]
        copies = _connect_shapes(graph, list(kinds))
        if copies:
            _remove_tensors(model, number, copies)
            changed = True
    return reader.pack(model) if changed else content


def _connect_shapes(graph, kinds: list[str]) -> set[int]:
    """Let each SHAPE read what a DEQUANTIZE reads; return the copies that nobody reads now."""
    pairs = list(zip(graph.operators, kinds, strict=True))
    source = {op.outputs[0]: op.inputs[0] for op, kind in pairs if kind == "DEQUANTIZE"}
    for op, kind in pairs:
        if kind == "SHAPE":
            op.inputs = [source.get(index, index) for index in op.inputs]
    read = {index for op in graph.operators for index in op.inputs} | set(graph.outputs)
    return set(source) - read


def _remove_tensors(model, number: int, removed: set[int]) -> None:
    """Take tensors, and the operators that write them, out of a subgraph."""
    graph = model.subgraphs[number]
    graph.operators = [op for op in graph.operators if removed.isdisjoint(op.outputs)]
    kept = [index for index in range(len(graph.tensors)) if index not in removed]
    place = {-1: -1, **{old: new for new, old in enumerate(kept)}}  # -1: an input left out
    graph.tensors = [graph.tensors[index] for index in kept]
    for owner in (graph, *graph.operators):
        owner.inputs = [place[index] for index in owner.inputs]
        owner.outputs = [place[index] for index in owner.outputs]
    for operator in graph.operators:  # an LSTM's inner tensors
        if operator.intermediates is not None:
            operator.intermediates = [place[index] for index in operator.intermediates]
    for signature in model.signatureDefs or []:
        if signature.subgraphIndex == number:
            for end in (*signature.inputs, *signature.outputs):
                end.tensorIndex = place[end.tensorIndex]


def quantize(
    float_tflite: str | os.PathLike | bytes,
    path: str,
    representative_dataset: calibration.RepresentativeDataset | None = None,
    *,
    rules: Iterable[Rule] = (),
    value_range: tuple[float, float] | None = (0.0, 1.0),
) -> bytes:
    """Return a float32 ``.tflite`` (file or bytes) quantized along ``path``, without TensorFlow.

    The paths are the seven, ``float32`` being the file itself, and ``paths.ALL``;
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
    rules, shape = require_rules(rules), require_float(float_tflite)
    content = files.content(float_tflite)
    steps = plan(content, path, rules)
    samples = []
    if needed_by := needs_samples(steps, path, rules):
        calibration.require(needed_by, representative_dataset)
        _, name = signature(content)
        guarded = calibration.guard(representative_dataset, shape, value_range, name)
        samples = list(guarded())
    entries = quantizer_recipe(steps, path)
    model = _run_quantizer(content, entries, samples) if entries else content
    audit(model, path)
    return model


def _run_quantizer(content: bytes, entries: list[dict], samples: list) -> bytes:
    """Quantize in this process what is known to run in it, and anything else in a child."""
    if is_trusted(content, "quantizer"):
        model = run(content, entries, samples)
        trust(model)
        return model
    try:
        model = call("lessons_lib.convert.by_litert:run", content, entries, samples)
    except ChildDied as error:
        raise ConversionError(
            f"LiteRT's quantizer died on the file: {error} (lesson 13)"
        ) from error
    trust(content, "quantizer")
    return model
