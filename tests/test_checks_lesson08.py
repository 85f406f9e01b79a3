"""The checks of lesson 08 accept right answers, refuse wrong ones, and wait for the rest."""

from fractions import Fraction

import numpy as np
import pandas as pd

from lessons_lib import checks, paths
from lessons_lib.judge.evaluate import Flips
from verdicts import Answers, class_of_tests


def row(name, input_dtype="uint8", output_dtype="uint8", integer_only=True, size=65_000):
    values = {
        "bytes": size,
        "integer_only": integer_only,
        "input_dtype": input_dtype,
        "output_dtype": output_dtype,
    }
    return pd.Series(values, name=name)


def by_a_loop(board):
    best = None
    for name, values in board.iterrows():
        if values["integer_only"] and (best is None or values["bytes"] < board["bytes"][best]):
            best = name
    return best


UINT8 = row("uint8")

ANSWERS = {
    checks.check_p_value: Answers(
        right={
            "by the library": Flips(gained=2, lost=9).p_value,
            "by the pencil": 2 * (1 + 11 + 55) / 2**11,
            "float32": np.float32(0.0654),
            "a fraction": Fraction(134, 2048),
            "a text": "0.0654",
            "a list of one": [0.0654],
            "three decimals": 0.065,
        },
        wrong={
            "one-sided": (0.0327, "one side; double it"),
            "exactly two": (55 / 2**11, "exactly two heads"),
            "two decimals": (0.07, "give three decimals"),
            "in per cent": (6.54, "is this in per cent"),
            "chi-square": (0.0348, "chi-square"),
            "corrected": (0.0704, "chi-square"),
            "with a sign": ("6.5 %", "without '%'"),
            "the counts": ((9, 2), "holds 2 numbers"),
            "a method": (Flips.p_value, "numbers are asked"),
        },
    ),
    checks.check_doorbell: Answers(
        right={
            "a tuple": ("uint8", UINT8),
            "a list": ["uint8", UINT8],
            "a NumPy boolean": ("uint8", row("uint8", integer_only=np.True_)),
            "a path's name": (paths.get("uint8").name, UINT8),
        },
        wrong={
            "int8": (("int8", row("int8", "int8", "int8")), "takes int8 and gives int8"),
            "another row": (("uint8", row("int8", "int8", "int8")), "The row is that of int8"),
            "not integer-only": (("uint8", row("uint8", integer_only=False)), "not integer-only"),
            "too large": (("uint8", row("uint8", size=231_160)), "231,160 bytes: too many"),
            "the name alone": ("uint8", "asked is a pair"),
            "three parts": (("uint8", UINT8, 0), "asked is a pair"),
            "swapped": ((UINT8, "uint8"), "The name comes first"),
            "a path": ((paths.get("uint8"), UINT8), "its name is asked"),
            "no name": ((7, UINT8), "The first part is 7"),
            "a dict": (("uint8", UINT8.to_dict()), "The second part is a dict of 4"),
            "a table of one row": (("uint8", UINT8.to_frame().T), "one row of it"),
            "another table's row": (("uint8", pd.Series({"a": 1}, name="uint8")), "no bytes"),
            "no row": (("uint8", None), "The second part is None"),
        },
    ),
    checks.check_smallest_integer_only: Answers(
        right={
            "by a mask": lambda board: board[board["integer_only"]]["bytes"].idxmin(),
            "by a query": lambda board: board.query("integer_only").bytes.idxmin(),
            "by sorting": lambda b: b[b["integer_only"]].sort_values("bytes").index[0],
            "by the ratio": lambda b: b.loc[b["integer_only"], "ratio"].idxmax(),
            "by a loop": by_a_loop,
        },
        wrong={
            "of all": (lambda board: board["bytes"].idxmin(), "which is not integer-only"),
            "the first": (lambda b: b[b["integer_only"]].index[0], "which is not the smallest"),
            "its size": (lambda b: b[b["integer_only"]]["bytes"].min(), "asked is a path's name"),
            "its row": (lambda b: b.loc[by_a_loop(b)], "returns a Series; asked"),
            "always the same": (lambda board: "int8", "'int8' is no row"),
            "a name": ("int8", "asked is a function"),
            "no return": (lambda board: None, "`return` missing"),
            "a column that is none": (lambda b: b["size"].idxmin(), "raised KeyError: 'size'"),
        },
    ),
}

TestAnswers = class_of_tests(ANSWERS)


def test_a_pair_with_one_part_missing_is_not_attempted():
    verdict = checks.check_doorbell(("uint8", ...))
    assert verdict.state == "not attempted"
    assert "second part is still missing" in verdict.message


def test_8_1_tells_the_p_value_with_three_decimals():
    p_value = Flips(gained=2, lost=9).p_value
    assert checks.check_p_value(p_value).message.startswith(f"{p_value:.3f} is above 0.05")
