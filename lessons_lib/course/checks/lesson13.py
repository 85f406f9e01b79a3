"""The checks of lesson 13, Quantize with LiteRT's quantizer."""

import pandas as pd

from lessons_lib.convert import by_litert
from lessons_lib.course.checks._answers import call, compare, describe
from lessons_lib.course.checks._verdict import exercise
from lessons_lib.errors import InputError


@exercise(
    "the low four bits are the first code. The codes are signed: what does a half of 8 or more "
    "stand for?",
    "The sign bit of the second one is set: 11 stands for 11 - 16.",
)
def check_unpack_byte(codes: object) -> bool | str:
    """Exercise 13.1: the two 4-bit codes in the byte 0xB5, a tuple of integers."""
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
    (0.999, None, {"p": (10, 0.5), "q": (20, 0.99)}),
)


@exercise(
    "which rows keep the floor? Sort those by two columns, one of them the other way round. "
    "And what if none is left?",
    "That is the last line of every search: the floor decides, then the size.",
)
def check_smallest_above(smallest_above: object) -> bool | str:
    """Exercise 13.3: a function from a table and a floor to a name, or None."""
    for floor, name, rows in _BOARDS:
        board = pd.DataFrame.from_dict(rows, orient="index", columns=["bytes", "agreement"])
        got = call(smallest_above, board, floor, none_is_an_answer=True)
        if not isinstance(got, str | None):
            return f"Your function returns {describe(got)}; asked is a name, or None."
        if got != name:
            return f"With floor={floor} and {rows} it gives {got!r}, expected {name!r}."
    return True
