"""The checks of lesson 08, on choosing a path."""

from typing import Any

import numpy as np
import pandas as pd

from lessons_lib.checks._verdict import Verdict, report
from lessons_lib.evaluate import Flips


def check_p_value(answer: Any) -> Verdict:
    """Exercise 8.1: McNemar's exact p-value of 9 digits lost and 2 gained, a number."""
    exact = Flips(gained=2, lost=9).p_value

    def passed(p):
        if np.ndim(p) == 0 and abs(2 * p - exact) <= 0.001:
            return "That is one side; double it."
        return np.ndim(p) == 0 and abs(p - exact) <= 0.001

    return report(
        "8.1",
        answer,
        passed,
        "11 coins; count the ways to get 0, 1 or 2 heads, divide by 2**11, and double: the coin "
        "could have been uneven in the other direction too.",
        f"{exact:.3f} is above 0.05: nine against two looks clear, and a fair coin still does it "
        "more often than one time in twenty.",
    )


def check_doorbell(answer: Any) -> Verdict:
    """Exercise 8.2: the pair (path's name, its row of the scoreboard) that suits the doorbell."""
    given = [part is not Ellipsis for part in answer] if isinstance(answer, tuple | list) else []
    if given == [True, False]:
        return Verdict("8.2", "not attempted", "The second part is still missing: the row.")
    return report(
        "8.2",
        answer,
        _suits_the_doorbell,
        "the three sentences answer the tree's questions: there is a representative dataset, the "
        "input and output are not float, and the camera's bytes are unsigned. The second part of "
        "the answer is board.loc[name].",
        "Integer only, unsigned at both ends, and small enough for the flash: the row proves it.",
    )


def _suits_the_doorbell(answer: tuple[str, pd.Series]) -> bool | str:
    name, row = answer
    if isinstance(row, pd.DataFrame):
        return "The second part is a table; one row of it is asked."
    ends = (row["input_dtype"], row["output_dtype"])
    measured = row.name == name and bool(row["integer_only"]) and row["bytes"] < 100_000
    return name == "uint8" and ends == ("uint8", "uint8") and measured


_BOARDS = (  # bytes and integer_only by name; the smallest integer-only one comes first
    {"c": (70, True), "a": (60, False), "b": (75, True), "d": (300, False)},
    {"only": (900, True), "x": (100, False), "y": (200, False)},
    {"p": (10, True), "q": (11, True), "r": (12, True)},
)


def _board(rows: dict[str, tuple[int, bool]]) -> pd.DataFrame:
    """The rows in alphabetical order, so that neither the first nor the last is always right."""
    return pd.DataFrame.from_dict(
        dict(sorted(rows.items())), orient="index", columns=["bytes", "integer_only"]
    )


def check_smallest_integer_only(answer: Any) -> Verdict:
    """Exercise 8.3: a function from a scoreboard to the name of its smallest integer-only path."""
    return report(
        "8.3",
        answer,
        lambda smallest: all(smallest(_board(rows)) == next(iter(rows)) for rows in _BOARDS),
        "board[board['integer_only']] keeps the rows that qualify; .idxmin() of a column is the "
        "index of its smallest value.",
        "It holds for any scoreboard, your own model's too.",
    )
