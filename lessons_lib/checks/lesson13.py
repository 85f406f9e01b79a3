"""The checks of lesson 13, Quantize with LiteRT's quantizer."""

from typing import Any

import pandas as pd

from lessons_lib import litert
from lessons_lib.checks._verdict import Verdict, report
from lessons_lib.errors import InputError


def check_unpack_byte(answer: Any) -> Verdict:
    """Check exercise 13.1: the two 4-bit codes in the byte 0xB5, a tuple of integers."""

    def passed(codes):
        codes = tuple(codes)
        if codes == (-5, 5):
            return "The right codes; which of them stands in the low four bits?"
        if codes == (5, 11):
            return "Almost: the codes are signed. (-8 would be possible too; it is not used.)"
        return codes == (5, -5)

    return report(
        "13.1",
        answer,
        passed,
        "the low four bits, 0x5, are the first code, the high four, 0xB, the second; subtract 16 "
        "from what is 8 or more.",
        "The sign bit of the second one is set: 11 stands for 11 - 16.",
    )


# The operators of ds_cnn with weights, in short; the real names join those of the folded layers.
_OPERATORS = {
    "stem": "CONV_2D",
    **{
        f"block{block}_{kind}": operator
        for block in (1, 2, 3)
        for kind, operator in (("depthwise", "DEPTHWISE_CONV_2D"), ("pointwise", "CONV_2D"))
    },
    "probabilities": "FULLY_CONNECTED",
}
_WANTED = {
    **dict.fromkeys(_OPERATORS, "int8_per_tensor"),
    "block3_pointwise": "int8x4_per_tensor",
    "stem": "int8",
}


def _outputs(layer: str) -> str:
    if layer == "probabilities":
        return "ds_cnn_1/probabilities_1/MatMul;ds_cnn_1/probabilities_1/BiasAdd"
    return (
        f"ds_cnn_1/{layer}_relu_1/Relu;ds_cnn_1/{layer}_norm_1/batchnorm/add_1;"
        f"ds_cnn_1/{layer}_1/convolution"
    )


def check_rules(answer: Any) -> Verdict:
    """Check exercise 13.2: a list of Rules for ds_cnn along the path int8."""
    return report(
        "13.2",
        answer,
        _follows_the_task,
        "three rules do. The last match wins, so which one has to come first? litert.RECIPES lists "
        "the recipes' names.",
        "From the general to the special: that is how rules are best ordered.",
    )


def _follows_the_task(rules: list[litert.Rule]) -> bool | str:
    """True, or a sentence on the first layer that gets another recipe."""
    try:
        rules = litert.require_rules(rules)
    except InputError as error:
        return f"{error}."
    for rule in rules:
        if not any(rule.fits(kind, _outputs(layer)) for layer, kind in _OPERATORS.items()):
            return f"{rule} matches no layer with weights."
    for layer, kind in _OPERATORS.items():
        got = "int8"
        for rule in rules:
            four_bits_missing = "x4" in rule.recipe and kind == "DEPTHWISE_CONV_2D"
            if rule.fits(kind, _outputs(layer)) and not four_bits_missing:
                got = rule.recipe
        if got != _WANTED[layer]:
            return f"{layer} gets {got}, not {_WANTED[layer]}."
    return True


_BOARDS = (  # floor, the right name, and (bytes, agreement) by name
    (0.98, "c", {"a": (28_000, 0.99), "c": (20_000, 0.98), "b": (17_000, 0.979)}),
    (0.9, "y", {"x": (100, 0.91), "z": (200, 0.99), "y": (100, 0.95)}),
    (0.999, None, {"p": (10, 0.5), "q": (20, 0.99)}),
)


def check_smallest_above(answer: Any) -> Verdict:
    """Check exercise 13.3: a function from a table and a floor to a name, or None."""

    def passed(smallest_above):
        for floor, name, rows in _BOARDS:
            board = pd.DataFrame.from_dict(rows, orient="index", columns=["bytes", "agreement"])
            got = smallest_above(board, floor)
            if got != name:
                return f"With floor={floor} and {rows} it gives {got!r}, expected {name!r}."
        return True

    return report(
        "13.3",
        answer,
        passed,
        "board[board['agreement'] >= floor] keeps the rows that qualify; sort_values(['bytes', "
        "'agreement'], ascending=[True, False]) puts the best first; mind the empty table.",
        "That is the last line of every search: the floor decides, then the size.",
    )
