"""The checks of lesson 13, Quantize with LiteRT's quantizer."""

import copy
import functools
import warnings

import pandas as pd

from lessons_lib.convert import by_litert
from lessons_lib.convert.by_litert import Rule
from lessons_lib.course.checks._answers import Remark, call, compare, describe
from lessons_lib.course.checks._verdict import exercise
from lessons_lib.errors import ConversionError, InputError, LessonError
from lessons_lib.models import unseen
from lessons_lib.system.quiet import quiet
from lessons_lib.tflite import tables

# The course's own rules for exercise 13.2: from the general to the special.
RULES = (
    Rule(".*", "int8_per_tensor"),
    Rule("block3_pointwise", "int8x4_per_tensor"),
    Rule("stem", "int8"),
)


def dynamic_recipe() -> list[dict]:
    """Return the recipe of exercise 13.1: int8 weights, and activations quantized on the fly.

    Defined in lesson 13. Source: ``litert_quantizer.recipe.dynamic_wi8_afp32``.
    """
    with quiet():
        from litert_quantizer import recipe

    return recipe.dynamic_wi8_afp32()


@exercise(
    "one setting of the static recipe speaks of the activations' ranges. A dynamic recipe has no "
    "ranges; the rest may stay.",
    "No ranges, and integer arithmetic all the same: each run finds its own.",
)
def check_dynamic_recipe(recipe: object) -> bool | str:
    """Exercise 13.1: a list of entries for int8 weights with dynamic activations.

    It is run on a network of the check's own.
    """
    if not isinstance(recipe, list | tuple) or not all(isinstance(part, dict) for part in recipe):
        return f"Your answer is {describe(recipe)}; asked is a list of entries (dictionaries)."
    try:
        made = by_litert.run(_badge_float(), copy.deepcopy(list(recipe)))
    except ConversionError as error:
        if "representative_dataset" in str(error):
            return "This recipe asks for a calibration: its activations are still static."
        return f"The library refuses it. In its words: {error}"
    except (TypeError, ValueError, AttributeError, KeyError):
        return "The library cannot read this recipe: keep the form of the one above."
    found = _held(made)
    return _amiss(found, tables.tensors(made)) or True


@functools.cache
def _badge_float() -> bytes:
    return unseen.path("13_badge_float.tflite").read_bytes()


def _held(content: bytes) -> pd.DataFrame:
    """By layer: the weights' ``dtype`` and ``granularity``, and whether it calculates ``in_float``.

    A layer on floats that has stored integers gets them through a DEQUANTIZE.
    """
    operators = tables.operators(content)
    unpacked = {names[0] for names in operators.query("operator == 'DEQUANTIZE'")["inputs"]}
    table = tables.tensors(content).query("role == 'weight'").set_index("layer").sort_index()
    in_float = table["name"].isin(unpacked) | (table["dtype"] == "FLOAT32")
    return table[["dtype", "granularity"]].assign(in_float=in_float)


def _amiss(found: pd.DataFrame, tensors: pd.DataFrame) -> str:
    """What in a file is not that of int8 weights with dynamic activations."""
    floats = found.index[found["dtype"] == "FLOAT32"]
    if len(floats) == len(found):
        return "What comes out has float weights in every layer: your entry changed nothing."
    if others := set(found["dtype"]) - {"INT8", "FLOAT32"}:
        return f"The weights that come out are {', '.join(others)}; asked are those of 8 bits."
    if len(floats):
        return f"{', '.join(floats)} stayed in float: does the expression match every layer?"
    if found["in_float"].any():
        return (
            "What comes out unpacks the weights to float before each layer (DEQUANTIZE): that is "
            "weight-only."
        )
    if (found["granularity"] != "per-channel").any():
        return "The weights have one scale a layer: keep CHANNELWISE."
    ends = tensors[tensors["role"].isin(["input", "output"])]
    return "" if (ends["dtype"] == "FLOAT32").all() else "The ends are no floats any more."


@exercise(
    "the low four bits are the first code. The codes are signed: what does a half of 8 or more "
    "stand for?",
    "The sign bit of the second one is set: 11 stands for 11 - 16.",
)
def check_unpack_byte(codes: object) -> bool | str:
    """Exercise 13.4: the two 4-bit codes in the byte 0xB5, a tuple of integers."""
    return compare(
        codes,
        (5, -5),
        ((-5, 5), "The right codes; which of them stands in the low four bits?"),
        ((5, 11), "Almost: the codes are signed. (-8 would be possible too; it is not used.)"),
        ((11, 5), "The codes are signed, and the low four bits come first."),
        ((5, -3), "Two's complement: 16 less, the sign bit is not a minus alone."),
    )


# The operators of ds_cnn with weights, in short; the real names join those of the folded layers.
_BLOCK = {"depthwise": "DEPTHWISE_CONV_2D", "pointwise": "CONV_2D"}
_OPERATORS = {
    "stem": "CONV_2D",
    **{f"block{block}_{kind}": _BLOCK[kind] for block in (1, 2, 3) for kind in _BLOCK},
    "probabilities": "FULLY_CONNECTED",
}
_WANTED = dict.fromkeys(_OPERATORS, "int8_per_tensor")
_WANTED |= {"block3_pointwise": "int8x4_per_tensor", "stem": "int8"}


def _outputs(layer: str) -> str:
    if layer == "probabilities":
        return "ds_cnn_1/probabilities_1/MatMul;ds_cnn_1/probabilities_1/BiasAdd"
    parts = ("relu_1/Relu", "norm_1/batchnorm/add_1", "1/convolution")
    return ";".join(f"ds_cnn_1/{layer}_{part}" for part in parts)


@exercise(
    "three rules do. The last match wins, so which one has to come first? by_litert.RECIPES lists "
    "the recipes' names.",
    "From the general to the special: that is how rules are best ordered.",
)
def check_rules(rules: object) -> bool | str:
    """Exercise 13.2: a list of Rules for ds_cnn along the path int8."""
    try:
        rules = by_litert.require_rules(rules)
    except InputError:
        return f"Your answer is {describe(rules)}; asked is a list of Rule(...)."
    recipes = dict.fromkeys(_OPERATORS, "int8")
    for rule in rules:
        fitting = [name for name, kind in _OPERATORS.items() if rule.fits(kind, _outputs(name))]
        if not fitting:
            return f"{rule} matches no layer with weights."
        if all(_is_skipped(name, rule.recipe) for name in fitting):
            return f"LiteRT has no {rule.recipe} for {', '.join(fitting)}."
        recipes |= dict.fromkeys(fitting, rule.recipe)
    for layer, recipe in recipes.items():
        if _is_skipped(layer, recipe):
            return (
                f"{layer} is asked for {recipe}, which LiteRT does not have for it and skips "
                "without a word. Let the rule name the one layer that it is for."
            )
        if recipe != _WANTED[layer]:
            return f"{layer} gets {recipe}, not {_WANTED[layer]}."
    return True


def _is_skipped(layer: str, recipe: str) -> bool:
    """Whether LiteRT passes over a rule without a word: it has no 4-bit depthwise convolution."""
    return "x4" in recipe and _OPERATORS[layer] == "DEPTHWISE_CONV_2D"


_BOARDS = (  # floor, the right name, and (bytes, agreement) by name
    (0.98, "c", {"a": (28_000, 0.99), "c": (20_000, 0.98), "b": (17_000, 0.979)}),
    (0.9, "y", {"x": (100, 0.91), "z": (200, 0.99), "y": (100, 0.95)}),
    (0.9, "y", {"z": (200, 0.99), "y": (100, 0.95), "x": (100, 0.91)}),
    (0.999, None, {"p": (10, 0.5), "q": (20, 0.99)}),
)


_PARTS = {"dtype": "weights of", "in_float": "float arithmetic", "granularity": "scales"}


@exercise(
    "read it layer by layer: the dtype of the weights, and whether a DEQUANTIZE stands between "
    "them and the layer. The path is what most layers have; each other layer needs a rule.",
    "Your path and rules make the same file, layer by layer. A file keeps what was done to it, and "
    "not why: that is for the repository.",
)
def check_found_recipe(answer: object) -> bool | str:
    """Exercise 13.3: (path, rules) that make 13_badge.tflite of its float file; they are run."""
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        return f"Your answer is {describe(answer)}; asked is a pair: a path's name, and rules."
    path, rules = answer
    if not isinstance(path, str):
        return f"The path is {describe(path)}; asked is a name, such as 'float16'."
    try:
        rules = by_litert.require_rules(rules)
    except InputError:
        return f"The rules are {describe(rules)}; asked is a list of Rule(...)."
    wanted, made = _held(unseen.path("13_badge.tflite").read_bytes()), _made(path, rules)
    tensors = tables.tensors(made)
    ends = set(tensors["dtype"][tensors["role"].isin(["input", "output"])])
    if ends != {"FLOAT32"}:
        return f"Your file takes and gives {' and '.join(sorted(ends))}; this one floats."
    for layer, row in wanted.iterrows():
        for column, what in _PARTS.items():
            yours, theirs = _held(made).loc[layer, column], row[column]
            if yours != theirs and column == "in_float":
                verb = "calculates" if theirs else "does not calculate"
                return f"{layer}: in the file this layer {verb} in float; in yours it is otherwise."
            if yours != theirs:
                return f"{layer}: the file has {what} {theirs}, yours {yours}."
    return True


def _made(path: str, rules: tuple[Rule, ...]) -> bytes:
    """The float file quantized as the learner says; Remark where that cannot be."""
    try:
        with quiet(), warnings.catch_warnings(action="ignore"):
            return by_litert.quantize(_badge_float(), path, rules=rules)
    except LessonError as error:
        said = str(error)
        if "representative_dataset" in said:
            raise Remark(
                f"{path!r} with these rules asks for calibrated activations; are there any in "
                "the file?"
            ) from None
        raise Remark(f"That cannot be made: {said[:300]}") from None


@exercise(
    "which rows keep the floor? Sort those by two columns, one of them the other way round. "
    "And what if none is left?",
    "That is the last line of every search: the floor decides, then the size.",
)
def check_smallest_above(smallest_above: object) -> bool | str:
    """Exercise 13.5: a function from a table and a floor to a name, or None."""
    for floor, name, rows in _BOARDS:
        board = pd.DataFrame.from_dict(rows, orient="index", columns=["bytes", "agreement"])
        got = call(smallest_above, board, floor, none_is_an_answer=True)
        if not isinstance(got, str | None):
            return f"Your function returns {describe(got)}; asked is a name, or None."
        if got != name:
            return f"With floor={floor} and {rows} it gives {got!r}, expected {name!r}."
    return True
