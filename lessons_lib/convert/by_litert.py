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
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from lessons_lib.convert import calibration, outcome, paths, saturation
from lessons_lib.errors import (
    ChildDied,
    ConversionError,
    InputError,
    LessonError,
    ModelFileError,
    first_line,
)
from lessons_lib.run import runtime
from lessons_lib.run.runtime import Model
from lessons_lib.system import files, sandbox
from lessons_lib.system.quiet import quiet
from lessons_lib.tflite import edit, reader, tables
from lessons_lib.tflite.signature import of_file

# Keyword -> the library's name: the extremes; the least error of clipping and rounding together.
WEIGHT_RANGES = {"min_max": "min_max_uniform_quantize", "octav": "OCTAV", "mse": "MSE"}
# Keyword -> the library's function: what is kept of a tensor's ranges in several samples.
CALIBRATIONS = {"extremes": "min_max_update", "moving_average": "moving_average_update"}


@dataclass(frozen=True)
class Recipe:
    """What is done to one operator.

    ``weights``: float32, float16, int8 or int4, the last two symmetric, and per-channel unless
    ``per_tensor``. ``activations``: ``float32``; ``dynamic``, quantized to int8 while the model
    runs; or ``int8`` and ``int16``, with ranges from a calibration. ``weight_range``: how far the
    weights' integers reach, one of WEIGHT_RANGES.
    """

    name: str
    title: str
    weights: str
    activations: str = "float32"
    per_tensor: bool = False
    weight_range: str = "min_max"

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
        if self.weight_range not in WEIGHT_RANGES:
            known = ", ".join(WEIGHT_RANGES)
            raise InputError(f"weight_range={self.weight_range!r}; expected {known} (lesson 13)")
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


def prepared(source: reader.Source, key: str | None = None) -> bytes:
    """Return a float ``.tflite`` as LiteRT's quantizer needs it: one signature, tensors with names.

    Weights of float16 become float32 again. Raises ModelFileError for a folder, such as a
    SavedModel, ConversionError for a model that is quantized already, InputError for an unknown
    signature.
    """
    if isinstance(source, str | os.PathLike) and os.path.isdir(source):
        raise ModelFileError(
            f"{files.display_path(source)} is a folder; LiteRT's quantizer starts from a float32 "
            ".tflite, which by_tensorflow.convert(saved_model, 'float32') makes (lesson 13)"
        )
    content = edit.only_signature(source, key)
    content = edit.with_signature(edit.unfold_halves(content))
    require_floats(content)
    _require_numbers(content)
    return content


def require_floats(model: reader.Source) -> None:
    """Raise ConversionError for a ``.tflite`` that is quantized already; float16 is not."""
    table = tables.tensors(model)
    quantized = table["scale"].notna() & ~table["dtype"].isin(["FLOAT32", "FLOAT16"])
    if quantized.any():
        dtypes = ", ".join(sorted(table.loc[quantized, "dtype"].str.lower().unique()))
        raise ConversionError(
            f"the .tflite is quantized already ({dtypes}); LiteRT's quantizer starts from the "
            "float32 file, which by_tensorflow.convert(saved_model, 'float32') makes (lesson 13)"
        )


def _require_numbers(content: bytes) -> None:
    """Raise ConversionError for stored floats that are NaN: their scale would be, too."""
    model, table = reader.read(content), tables.tensors(content)
    stored = table[(table["bytes"] > 0) & (table["dtype"] == "FLOAT32")]
    for row in stored.itertuples():
        tensor = model.subgraphs[row.subgraph].tensors[row.index]
        if np.isnan(reader.stored_value(model, tensor)).any():
            raise ConversionError(
                f"the {row.role} {row.name} of the layer {row.layer} holds NaN: the file was made "
                "of a broken model, train it anew (lesson 03)"
            )


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
    keeps floats on a path of integers; otherwise what ``prepared`` raises.
    Defined in lesson 13.
    """
    return _steps(prepared(model), path, rules)


def _steps(content: bytes, path: str, rules: Iterable[Rule]) -> pd.DataFrame:
    promise, rules = paths.get(path), require_rules(rules)
    table = tables.operators(content)[["operator", "outputs"]]
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


def quantizer_recipe(steps: pd.DataFrame, path: str, weight_range: str = "min_max") -> list[dict]:
    """Return a plan in the form that ``litert_quantizer`` reads: a list of entries.

    Each operator gets an entry of its own, under its outputs' full name. (In the library's form a
    second entry for the same expression takes the place of the first one, in its old rank.)
    ``weight_range``: one of WEIGHT_RANGES. Raises InputError for an unknown path or range.
    """
    ends = paths.get(path).input_dtype
    entries = []
    if ends != "float32":
        for end in ("INPUT", "OUTPUT"):
            entries.append(_entry(".*", end, WEIGHT_RANGES["min_max"], _end_settings(ends)))
    for row in steps[steps["recipe"] != "float32"].itertuples():
        recipe = _with_range(RECIPES[row.recipe], weight_range, row.operator)
        name = _LIBRARY_NAMES.get(row.operator, row.operator)
        regex = f"^{re.escape(row.outputs)};$"
        entries.append(_entry(regex, name, _algorithm(recipe), _settings(recipe)))
    return entries


_LIBRARY_NAMES = {"TRANSPOSE_CONV": "CONV_2D_TRANSPOSE"}


def _with_range(recipe: Recipe, weight_range: str, operator: str) -> Recipe:
    """The recipe with another range of its weights, where LiteRT has that for the operator."""
    other = replace(recipe, weight_range=weight_range)
    return other if recipe.weights.startswith("int") and _supports(other, operator) else recipe


def _entry(regex: str, operation: str, algorithm: str, settings: dict) -> dict:
    return {
        "regex": regex,
        "operation": operation,
        "algorithm_key": algorithm,
        "op_config": settings,
    }


def _algorithm(recipe: Recipe) -> str:
    return "float_casting" if recipe.weights == "float16" else WEIGHT_RANGES[recipe.weight_range]


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
            _algorithm(recipe),
            qtyping.TFLOperationName(_LIBRARY_NAMES.get(operator, operator)),
            qtyping.OpQuantizationConfig.from_dict(settings),
        )
    except ValueError:  # not on the list, or a kind of operator that the library does not know
        return False
    return True


def record(
    content: bytes, dataset: calibration.Guarded, calibrate: str = "extremes"
) -> dict[str, dict]:
    """Return the ranges of a float ``.tflite``'s tensors on samples, for any number of ``run``.

    By the tensor's name ``{"min": array, "max": array}``. ``calibrate`` says what is kept of the
    ranges of a tensor in several samples: the ``extremes``, as TFLiteConverter keeps them, or a
    ``moving_average``, ``0.95 * range + 0.05 * sample``, which is the library's default: it clips
    what is rare, and the order of the samples counts. Raises InputError for another word,
    ConversionError when the library fails. Defined in lesson 13.
    """
    _require_word(calibrate)
    with _refusal():
        from litert_quantizer import calibrator
        from litert_quantizer.utils import qsv_utils

        # Quantizer.calibrate knows the average alone, and holds all samples in memory.
        ranges_of = calibrator.Calibrator(
            content,
            num_threads=1,
            mode=calibrator.CalibrationMode.CALIBRATION_PROFILER_BASED,
            qsv_update_func=getattr(qsv_utils, CALIBRATIONS[calibrate]),
        )
        key = of_file(content).key
        for sample in dataset():
            ranges_of.calibrate({key: [sample]}, None)
        return ranges_of.get_model_qsvs()


def _require_word(calibrate: str) -> None:
    if calibrate not in CALIBRATIONS:
        known = " or ".join(CALIBRATIONS)
        raise InputError(f"calibrate={calibrate!r}; expected {known} (lesson 13)")


def run(content: bytes, entries: list[dict], ranges: dict[str, dict] | None = None) -> bytes:
    """Return a float ``.tflite`` quantized by ``litert_quantizer`` with a recipe of ``entries``.

    ``ranges`` are what ``record`` returned; static entries need them. Raises ConversionError where
    they are missing, and when the library fails. Defined in lesson 13.
    """
    with _refusal():
        from litert_quantizer import quantizer

        engine = quantizer.Quantizer(content, entries)
        if engine.need_calibration:
            calibration.require("the recipe", ranges)
        result = bytes(engine.quantize(ranges, enable_progress_report=False).quantized_model)
    result = edit.with_data_inside(result)  # so that it runs on a microcontroller as well
    return edit.let_shapes_read_integers(saturation.mend(result, content))


@contextmanager
def _refusal() -> Iterator[None]:
    """The library kept quiet, and its complaints as a ConversionError."""
    try:
        with quiet(), warnings.catch_warnings(action="ignore"):
            yield
    except LessonError:
        raise
    except (ValueError, RuntimeError, KeyError) as error:
        raise ConversionError(
            f"LiteRT's quantizer failed: {_explained(error)} (lesson 13)"
        ) from error


def _explained(error: Exception) -> str:
    """The library's own words, and what they mean where that is known."""
    lost = re.search(r"parameters for tensor: (.+?)\. Error: .*tensor_name_to_qsv", str(error))
    if lost:
        return (
            f"no range was recorded for {lost[1]}: inside a loop, as that of an LSTM or GRU, none "
            "is. Build the layer with unroll=True, or take the path dynamic_range"
        )
    return first_line(error)


def quantize(
    source: reader.Source,
    path: str,
    representative_dataset: calibration.RepresentativeDataset | None = None,
    *,
    rules: Iterable[Rule] = (),
    value_range: calibration.Ranges = None,
    signature: str | None = None,
    calibrate: str = "extremes",
    weight_range: str = "min_max",
) -> bytes:
    """Return a float ``.tflite`` (file or bytes) quantized along ``path``, without TensorFlow.

    The paths are those of ``paths.ALL``, ``float32`` being the file itself; ``rules`` change the
    recipe of some operators (the last one that matches wins). ``calibrate``: ``extremes`` of the
    samples' ranges, or their ``moving_average``; ``weight_range``: ``min_max``, or ``octav`` or
    ``mse``, which clip weights where that makes the error smaller. The other arguments are those of
    ``by_tensorflow.convert``. The same file, samples and settings give the same bytes. What comes
    out was run on samples: QualityWarning says when it is far from the float model. Raises
    InputError for an unknown path or word, and for rules that match no operator or keep floats on
    a path of integers, ModelFileError when the file is damaged or a folder, CalibrationError for a
    bad representative dataset, and ConversionError when the file is quantized already, when samples
    are needed and missing, and when the quantizer fails, its result is not what the path promises,
    or it cannot be run. A file that was not seen before is quantized in a child process.
    Defined in lesson 13. Source: ``litert_quantizer.quantizer.Quantizer``.
    """
    content = prepared(source, signature)
    settings = {
        "rules": require_rules(rules),
        "value_range": value_range,
        "calibrate": calibrate,
        "weight_range": weight_range,
    }
    if sandbox.is_trusted(content, "quantizer"):
        result, snr_db = quantized(content, path, representative_dataset, **settings)
    else:
        result, snr_db = _in_child(content, path, representative_dataset, settings)
    outcome.warn(path, snr_db)
    return result


def _in_child(content, path, dataset, settings: dict) -> tuple[bytes, dict[str, float]]:
    """Quantize and verify where a crash does no harm; the samples go there through a file."""
    with calibration.in_file(dataset) as file:
        try:
            answer = sandbox.call(
                f"{__name__}:_from_file",
                *(content, path, file, settings),
                imported="litert_quantizer.quantizer",
            )
        except ChildDied as error:
            raise ConversionError(
                f"LiteRT's quantizer died on the file: {error} (lesson 13)"
            ) from error
    if answer[0] != content:  # else no quantizer ran
        sandbox.trust(content, "quantizer")
    sandbox.trust(answer[0], "xnnpack")
    return answer


def _from_file(content, path, file, settings: dict) -> tuple[bytes, dict[str, float]]:
    return quantized(content, path, calibration.from_file(file), **settings)


def quantized(
    content: bytes,
    path: str,
    dataset: calibration.RepresentativeDataset | None,
    value_range: calibration.Ranges = None,
    *,
    rules: Iterable[Rule] = (),
    calibrate: str = "extremes",
    weight_range: str = "min_max",
    recorded: dict[str, tuple] | None = None,
) -> tuple[bytes, dict[str, float]]:
    """Quantize what ``prepared`` returned, and verify the result, in this process.

    Returns the bytes and ``outcome.verify``'s answer. ``recorded`` keeps the ranges for further
    calls with the same content and samples.
    """
    _require_word(calibrate)
    recorded = {} if recorded is None else recorded
    ends, steps, guarded, ranges = of_file(content), _steps(content, path, rules), None, None
    if needed_by := needs_samples(steps, path, rules):
        calibration.require(needed_by, dataset)
        outcome.require_sizes(ends)
        if calibrate not in recorded:
            guarded = calibration.guard(dataset, ends, value_range)
            recorded[calibrate] = guarded, record(content, guarded, calibrate)
        guarded, ranges = recorded[calibrate]
    entries = quantizer_recipe(steps, path, weight_range)
    result = run(content, entries, ranges) if entries else content
    kept = calibration.first(dataset, ends) if guarded is None else guarded.kept
    inputs, expected = outcome.tried_on(ends, kept, ends.state), {}
    if inputs is not None:
        runtime.trust(content, inputs)
        expected = outcome.named(Model(content).predict(inputs), ends)
        outcome.require_answers(expected)
    return result, outcome.verify(result, path, inputs, expected)
