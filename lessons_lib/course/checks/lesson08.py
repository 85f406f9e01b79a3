"""The checks of lesson 08, on choosing a path.

``mcnemar`` and ``choose`` are what the lesson's blanks ask for: a page whose blank is open runs on
with them.
"""

from collections.abc import Iterator, Mapping
from math import sqrt
from statistics import NormalDist

import numpy as np
import pandas as pd

from lessons_lib.convert import paths
from lessons_lib.course.checks._answers import (
    Remark,
    call,
    compare,
    describe,
    number_in,
    numbers_in,
)
from lessons_lib.course.checks._verdict import Verdict, exercise, report
from lessons_lib.judge import evaluate
from lessons_lib.judge.evaluate import Flips
from lessons_lib.models import unseen

SIGNIFICANT = 0.05


def mcnemar(gained: int, lost: int) -> float:
    """Return McNemar's exact p-value, two-sided, of two counts of flips. Defined in lesson 08.

    Raises InputError for a negative count. Source: Q. McNemar, Psychometrika 12 (1947).
    """
    return Flips(gained, lost).p_value


# Uneven splits in both directions, an even one, a single flip, none, and many.
_SPLITS = ((1, 5), (6, 1), (2, 9), (0, 6), (3, 3), (1, 0), (0, 0), (61, 30), (40, 52))


@exercise(
    "count the ways in which at most as many of the coins fall on the rarer side, "
    "`comb(gained + lost, k)` for each `k`, and divide by all of them. Both sides count.",
    "Exact, for any split, and symmetric: gained and lost may change places.",
)
def check_mcnemar(test: object) -> bool | str:
    """Exercise 8.1: a function (gained, lost) to McNemar's exact two-sided p-value."""
    for gained, lost in _SPLITS:
        made = call(test, gained, lost)
        (p,) = numbers_in(made, 1, subject="What your function returns")
        right = mcnemar(gained, lost)
        if not abs(p - right) <= 1e-6:
            said = _p_slip(p, gained, lost, right)
            return f"For {gained} gained and {lost} lost it gives {p:.4g}. {said}"
    return True


def _p_slip(p: float, gained: int, lost: int, right: float) -> str:
    """What was done instead, or what is right."""
    exactly, fewer = Flips(gained, lost), min(gained, lost) - 1
    alone = exactly.p_value - (Flips(fewer, gained + lost - fewer).p_value if fewer >= 0 else 0)
    without = max(exactly.p_value - alone, 0)
    known = (
        (p > 1 and abs(p - 1) > 1e-9 and right == 1, "A probability is at most 1: cut it there."),
        (_near(p, 100 * right), "That is per cent; a probability lies between 0 and 1."),
        (_near(p, right / 2), "That is one side; both count."),
        (_near(p, alone / 2) or _near(p, alone), "That is this split alone; more uneven count."),
        (_near(p, without) or _near(p, without / 2), "The split that was seen counts, too."),
        (_near(p, 1 - right) or _near(p, 1 - right / 2), "That is what is left of 1."),
        (any(p == round(right, n) for n in (1, 2, 3, 4)), "It is rounded: leave it as it is."),
        (any(_near(p, q) for q in _by_chi_square(gained, lost)), "That is an approximation."),
    )
    said = next((remark for holds, remark in known if holds), "")
    smaller = " Does it ask which of the two is smaller?" if p > right else ""
    return said or f"It is {right:.4g}.{smaller}"


def _near(p: float, other: float) -> bool:
    return abs(p - other) < 1e-6 * max(1, abs(other))


def _by_chi_square(gained: int, lost: int) -> Iterator[float]:
    """The p-values of McNemar's chi-square, without and with its correction."""
    if total := gained + lost:
        for difference in (abs(gained - lost), max(abs(gained - lost) - 1, 0)):
            yield 2 * NormalDist().cdf(-difference / sqrt(total))


def choose(board: pd.DataFrame, limit: int) -> str | None:
    """Return the smallest integer-only path of at most ``limit`` bytes without a seen loss.

    ``board`` is a frame of ``scoreboard.frame``. A loss is seen on hard digits where more were lost
    than gained and p is below 0.05. None where no row is left. Defined in lesson 08.
    """
    loses = (board["p_hard"] < SIGNIFICANT) & (board["lost_hard"] > board["gained_hard"])
    left = board[board["integer_only"] & (board["bytes"] <= limit) & ~loses]
    return left["bytes"].idxmin() if len(left) else None


# path: (bytes, integer only, gained on hard digits, lost), and each board's limit of bytes
_BOARDS = (
    (
        {
            "float": (400, False, 0, 0),
            "small": (60, False, 1, 2),
            "losing": (70, True, 5, 30),
            "wide": (140, True, 9, 9),
            "noise": (80, True, 4, 8),
            "best": (95, True, 9, 3),
        },
        100,
    ),
    (
        {
            "winner": (50, True, 30, 5),
            "other": (55, True, 2, 3),
            "half": (45, False, 0, 0),
        },
        1000,
    ),
    ({"big": (900, True, 0, 0), "tiny": (20, False, 0, 1)}, 100),
    (  # p = 0.035, 0.057 and 1; the second takes all the room
        {"seen": (50, True, 3, 12), "luck": (60, True, 3, 11), "roomy": (70, True, 2, 2)},
        60,
    ),
    ({"huge": (50_000, True, 1, 0), "less": (40_000, True, 0, 1), "x": (10, False, 0, 0)}, 60_000),
)


@exercise(
    "three conditions, each a column of True and False: `board['integer_only']`, the bytes, and "
    "*not* (p below 0.05 and more lost than gained). Keep those rows; then `idxmin()`.",
    "It keeps what only seems to lose, and drops what does.",
)
def check_choose(chosen: object) -> bool | str:
    """Exercise 8.2: a function (board, limit) to the name of the path to take, or None."""
    for rows, limit in _BOARDS:
        board = _board(rows)
        name = call(chosen, board.copy(), limit, none_is_an_answer=True)
        if name is Ellipsis or not isinstance(name, str | None):
            return f"Your function returns {describe(name)}; asked is a path's name, or None."
        if name != choose(board, limit):
            return _choice_slip(name, board, limit)
    return True


def _board(rows: Mapping[str, tuple]) -> pd.DataFrame:
    """A scoreboard with the columns of a real one, of which four decide."""
    columns = ["bytes", "integer_only", "gained_hard", "lost_hard"]
    board = pd.DataFrame.from_dict(dict(rows), "index", columns=columns)
    counts = zip(board["gained_hard"], board["lost_hard"], strict=True)
    right = 918 + board["gained_hard"] - board["lost_hard"]
    ends = np.where(board["integer_only"], "int8", "float32")
    return board.assign(
        ratio=400 / board["bytes"],
        p_hard=[mcnemar(gained, lost) for gained, lost in counts],
        accuracy=0.981,
        accuracy_hard=right / 1000,
        agreement=1.0,
        gained=0,
        lost=0,
        p_value=1.0,
        latency_us=board["bytes"] / 10,
        input_dtype=ends,
        output_dtype=ends,
    )


def _choice_slip(name: str | None, board: pd.DataFrame, limit: int) -> str:
    right = choose(board, limit)
    if name is None:
        return f"Of {', '.join(board.index)} it finds none; {right!r} meets every condition."
    if name not in board.index:
        return f"{name!r} is no row of the board."
    row, said = board.loc[name], f"Of {', '.join(board.index)} it chooses {name!r}, "
    if not row["integer_only"]:
        return f"{said}which is not integer-only."
    if row["bytes"] > limit:
        return f"{said}which has {row['bytes']:,} bytes; the limit was {limit:,}."
    lost, gained, p = row["lost_hard"], row["gained_hard"], row["p_hard"]
    if p < SIGNIFICANT and lost > gained:
        return f"{said}which lost {lost} hard digits and gained {gained}: p = {p:.4f}."
    better = board.loc[right]
    if better["lost_hard"] > better["gained_hard"]:
        why = f"its {better['lost_hard']} lost and {better['gained_hard']} gained are no loss seen"
        return f"{said}and {right!r} is smaller: {why}, p = {better['p_hard']:.2f}."
    if better["p_hard"] < SIGNIFICANT:
        return f"{said}and {right!r} is smaller: its p is small because it *gained*."
    return f"{said}and {right!r} is smaller."


# ---- the open task

VERDICTS = ("better", "worse", "not shown")


@exercise(
    "for each candidate: count gained and lost, take p. It is shown where p is below 0.05 divided "
    "by the number of candidates, and the larger count says in which direction.",
    "`amber` has the most right answers, and its lead is noise; `basil` gained fewer digits, and "
    "hardly lost any: that is shown. Ship `basil`.",
)
def check_judge(judge: object) -> bool | str:
    """Exercise 8.3: a function (labels, shipped, candidates) to a verdict on each candidate."""
    for labels, shipped, candidates, where in _trials():
        given = {name: classes.copy() for name, classes in candidates.items()}
        made = call(judge, labels.copy(), shipped.copy(), given)
        if not isinstance(made, Mapping | pd.Series):
            return f"Your function returns {describe(made)}; asked is a dictionary of verdicts."
        found = dict(made.items())
        if set(found) != set(candidates):
            return f"Its keys are {_few(found)}; the candidates are {', '.join(candidates)}."
        if odd := [value for value in found.values() if str(value) not in VERDICTS]:
            return f"A verdict is one of {', '.join(VERDICTS)}; there is {describe(odd[0])}."
        for name, said in found.items():
            flips = evaluate.flips(shipped, candidates[name], labels)
            if said != _verdict(flips, len(candidates)):
                return _verdict_slip(f"{where}, {name!r}", said, flips, len(candidates))
    return True


def _few(names: object) -> str:
    return ", ".join(f"{name}"[:20] for name in list(names)[:4]) or "none"


def _verdict(flips: Flips, comparisons: int) -> str:
    if flips.p_value >= SIGNIFICANT / comparisons:
        return "not shown"
    return "better" if flips.gained > flips.lost else "worse"


def _verdict_slip(what: str, said: str, flips: Flips, comparisons: int) -> str:
    gained, lost, p = flips.gained, flips.lost, flips.p_value
    counts = f"{what} gained {gained} and lost {lost}: p = {p:.4f}"
    right = _verdict(flips, comparisons)
    if right == "not shown":
        if p < SIGNIFICANT:
            return (
                f"{counts}. With {comparisons} candidates the limit is "
                f"{SIGNIFICANT / comparisons:.4f}: {said!r} is not shown."
            )
        return f"{counts}. Equal files do that often: {said!r} is not shown."
    if said == "not shown":
        return f"{counts}, below {SIGNIFICANT / comparisons:.4f}. It is {right}."
    return f"{counts}. It is {right}, not {said}: look at which count is the larger."


# (gained, lost) of each candidate; what is shown with one candidate may not be with five.
_HIDDEN = (
    {"one": (14, 4)},
    {"one": (4, 14), "two": (14, 4), "three": (0, 0), "four": (1, 17), "five": (60, 20)},
    {"one": (0, 5), "two": (0, 12)},
    {"one": (11, 3)},
    {"one": (12, 0)},
)


def _trials() -> Iterator[tuple[np.ndarray, np.ndarray, dict[str, np.ndarray], str]]:
    table = pd.read_csv(unseen.path("08_answers.csv"))
    labels, shipped, *others = (table[name].to_numpy() for name in table)
    yield labels, shipped, dict(zip(table.columns[2:], others, strict=True)), "`08_answers.csv`"
    random = np.random.default_rng(88)
    for wanted in _HIDDEN:
        labels = random.integers(0, 10, 600)
        shipped = np.where(random.random(600) < 0.8, labels, (labels + 1) % 10)
        made = {n: answers(random, labels, shipped, *flips) for n, flips in wanted.items()}
        yield labels, shipped, made, "The check's own answers"


def answers(
    random: np.random.Generator, labels: np.ndarray, before: np.ndarray, gained: int, lost: int
) -> np.ndarray:
    """Return a second file's classes, int64 (N,): of ``before`` so many turned right and wrong.

    A tenth of the classes that stay wrong change as well: they are no flips. Defined in lesson 08.
    """
    after = before.copy()
    right, wrong = np.flatnonzero(before == labels), np.flatnonzero(before != labels)
    turned = random.permutation(wrong)
    after[turned[:gained]] = labels[turned[:gained]]
    other = turned[gained:][: len(turned) // 10]
    after[other] = (labels[other] + 5) % 10
    broken = random.permutation(right)[:lost]
    after[broken] = (labels[broken] + random.integers(1, 10, lost)) % 10
    return after


# ---- more exercises


@exercise(
    "eleven fair coins: how many of their 2**11 outcomes have at most two heads? And the coin "
    "could have been uneven in the other direction, too.",
    "0.065 is above 0.05: nine against two looks clear, and a fair coin still does it more often "
    "than one time in twenty.",
)
def check_p_value(p: object) -> bool | str:
    """Exercise 8.4: McNemar's exact p-value of 9 digits lost and 2 gained, a number."""
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
        (24 / 2**11, 12 / 2**11, "Two heads count, too."),
        (1 - exact, 1 - exact / 2, "That is what is left of 1."),
        (0.0348, 0.0704, "That is the chi-square approximation; with so few flips, count."),
        atol=0.0005,
        near=0.01,
    )


def check_doorbell(answer: object) -> Verdict:
    """Exercise 8.5: the pair (path's name, its row of the scoreboard) that suits the doorbell."""
    given = [part is not Ellipsis for part in answer] if isinstance(answer, tuple | list) else []
    if given == [True, False]:
        return Verdict("8.5", "not attempted", "The second part is still missing: the row.")
    return report(
        "8.5",
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
