"""The checks of lesson 08, on choosing a path."""

import pandas as pd

from lessons_lib.convert import paths
from lessons_lib.course.checks._answers import Remark, call, compare, describe, number_in
from lessons_lib.course.checks._verdict import Verdict, exercise, report
from lessons_lib.judge.evaluate import Flips


@exercise(
    "eleven fair coins: how many of their 2**11 outcomes have at most two heads? And the coin "
    "could have been uneven in the other direction, too.",
    "0.065 is above 0.05: nine against two looks clear, and a fair coin still does it more often "
    "than one time in twenty.",
)
def check_p_value(p: object) -> bool | str:
    """Exercise 8.1: McNemar's exact p-value of 9 digits lost and 2 gained, a number."""
    exact = Flips(gained=2, lost=9).p_value
    p = number_in(p)
    if p == 0.07:
        return "If that is rounded, it is rounded too far: give three decimals."
    if p > 1:
        return "A probability lies between 0 and 1; is this in per cent?"
    return compare(
        p,
        exact,
        (exact / 2, "That is one side; double it."),
        (
            55 / 2**11,
            110 / 2**11,
            "That is exactly two heads; fewer are even more uneven, and count.",
        ),
        (0.0348, 0.0704, "That is the chi-square approximation; with so few flips, count."),
        atol=0.0005,
        near=0.01,
    )


def check_doorbell(answer: object) -> Verdict:
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


def _suits_the_doorbell(answer: object) -> bool | str:
    """True, or a sentence on the part that is missing, or the demand that the row fails."""
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Remark(f"Your answer is {describe(answer)}; asked is a pair, (name, row).")
    name, row = answer
    if isinstance(name, pd.Series | pd.DataFrame | dict):
        return "The name comes first, then its row."
    if isinstance(name, paths.Path):
        return "The first part is a path; its name is asked: path.name."
    if not isinstance(name, str):
        return f"The first part is {describe(name)}; asked is a path's name."
    if isinstance(row, pd.DataFrame):
        return "The second part is a table; one row of it is asked."
    if not isinstance(row, pd.Series):
        return f"The second part is {describe(row)}; asked is the row, board.loc[name]."
    if missing := {"integer_only", "input_dtype", "output_dtype", "bytes"} - set(row.index):
        return f"The second part has no {min(missing)}: it is no row of the scoreboard."
    if row.name != name:
        return f"The row is that of {row.name}, not of {name}."
    if not row["integer_only"]:
        return f"The row says that {name} is not integer-only."
    if (ends := (row["input_dtype"], row["output_dtype"])) != ("uint8", "uint8"):
        return f"The row says that {name} takes {ends[0]} and gives {ends[1]}, not unsigned bytes."
    if row["bytes"] >= 100_000:
        return f"The row says that {name} takes {row['bytes']:,} bytes: too many for the flash."
    return name == "uint8"


_BOARDS = (  # bytes and integer_only by name; the smallest integer-only one comes first
    {"c": (70, True), "a": (60, False), "b": (75, True), "d": (300, False)},
    {"only": (900, True), "x": (100, False), "y": (200, False)},
    {"p": (10, True), "q": (11, True), "r": (12, True)},
)


@exercise(
    "first keep the rows that qualify; then ask their sizes where the smallest one is, not how "
    "small it is.",
    "It holds for any scoreboard, your own model's too.",
)
def check_smallest_integer_only(smallest: object) -> bool | str:
    """Exercise 8.3: a function from a scoreboard to the name of its smallest integer-only path."""
    for rows in _BOARDS:
        columns = ["bytes", "integer_only"]  # of rows in order, so that no place is always right
        board = pd.DataFrame.from_dict(dict(sorted(rows.items())), "index", columns=columns)
        name = call(smallest, board.assign(ratio=1000 / board["bytes"]))
        if not isinstance(name, str):
            return f"Your function returns {describe(name)}; asked is a path's name, a text."
        if name not in rows:
            return f"{name!r} is no row of the board."
        if not rows[name][1]:
            return f"Of {rows} it chooses {name!r}, which is not integer-only."
        if name != next(iter(rows)):
            return f"Of {rows} it chooses {name!r}, which is not the smallest."
    return True
