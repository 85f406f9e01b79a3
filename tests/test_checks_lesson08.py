"""The checks of lesson 08 accept right answers, refuse wrong ones, and wait for the rest."""

from dataclasses import astuple
from fractions import Fraction
from math import comb, sqrt
from statistics import NormalDist

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from lessons_lib import checks, evaluate, paths, unseen
from lessons_lib.course.checks import lesson08
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


def way(sides=2, least=1, exactly=False, own=False, end=None, missing=0):
    """A learner's p-value with one thing changed."""

    def function(gained, lost):
        n, fewer = gained + lost, gained if own else min(gained, lost)
        ways = sum(comb(n, k) for k in range(fewer if exactly else 0, fewer + 1 - missing))
        p = sides * ways / 2**n
        p = p if least is None else min(least, p)
        return end(p) if end else p

    return function


def by_scipy(gained, lost):
    return binomtest(gained, gained + lost).pvalue if gained + lost else 1


def by_coins(gained, lost):
    """All ways, one after the other: Pascal's triangle."""
    row = [1]
    for _ in range(gained + lost):
        row = [a + b for a, b in zip([0, *row], [*row, 0], strict=True)]
    uneven = [ways for k, ways in enumerate(row) if not min(gained, lost) < k < max(gained, lost)]
    return 1.0 if gained == lost else Fraction(sum(uneven), sum(row))


def chi_square(gained, lost, correction=0):
    n = gained + lost
    return 2 * NormalDist().cdf(-max(abs(gained - lost) - correction, 0) / sqrt(n)) if n else 1


def by_query(board, limit):
    table = board.query("integer_only and bytes <= @limit")
    table = table.query("not (p_hard < 0.05 and lost_hard > gained_hard)")
    return None if table.empty else table.bytes.idxmin()


def by_sorting(board, limit):
    for name, line in board.sort_values("bytes").iterrows():
        significant = line["p_hard"] < 0.05 and line["lost_hard"] > line["gained_hard"]
        if line["integer_only"] and line["bytes"] <= limit and not significant:
            return name
    return None


def keeping(*conditions, best=lambda table: table["bytes"].idxmin()):
    """A learner's choice among the rows that meet ``conditions``."""

    def function(board, limit):
        keep = pd.Series(True, board.index)
        for condition in conditions:
            keep &= condition(board, limit)
        return best(board[keep]) if keep.any() else None

    return function


def integers(board, limit):
    return board["integer_only"]


def fits(board, limit):
    return board["bytes"] <= limit


def no_loss(board, limit):
    return (board["p_hard"] >= 0.05) | (board["lost_hard"] <= board["gained_hard"])


def judge(limit=None, direction=True, p_of=None, words=("better", "worse", "not shown")):
    """A learner's judge with one thing changed."""

    def function(labels, shipped, candidates):
        found = {}
        for name, classes in candidates.items():
            flips = evaluate.flips(shipped, classes, labels)
            p = p_of(flips, labels, shipped, classes) if p_of else flips.p_value
            shown = p < (limit or 0.05 / len(candidates))
            better = flips.gained > flips.lost or not direction
            found[name] = words[2] if not shown else words[0] if better else words[1]
        return found

    return function


def by_holm(labels, shipped, candidates):
    every = [evaluate.flips(shipped, classes, labels) for classes in candidates.values()]
    shown = evaluate.holm([flips.p_value for flips in every]) < 0.05
    words = ["better" if f.gained > f.lost else "worse" for f in every]
    return {n: w if s else "not shown" for n, w, s in zip(candidates, words, shown, strict=True)}


def by_a_series(labels, shipped, candidates):
    return pd.Series(judge()(labels, shipped, candidates))


def by_counting(labels, shipped, candidates):
    found = {}
    for name in candidates:
        was, now = shipped == labels, candidates[name] == labels
        gained, lost = int((now & ~was).sum()), int((was & ~now).sum())
        p = by_scipy(gained, lost)
        found[name] = np.str_("not shown")
        if p * len(candidates) < 0.05:
            found[name] = "better" if gained > lost else "worse"
    return found


def by_accuracy(labels, shipped, candidates):
    was = (shipped == labels).mean()
    return {
        name: "better" if (classes == labels).mean() > was else "worse"
        for name, classes in candidates.items()
    }


def of_changes(flips, labels, shipped, classes):
    """As if every changed answer were a flip: the others are lost."""
    changed = int((shipped != classes).sum())
    return evaluate.Flips(flips.gained, changed - flips.gained).p_value


def unpaired(flips, labels, shipped, classes):
    n, (p, q) = len(labels), [(c == labels).mean() for c in (shipped, classes)]
    noise = sqrt(n * (p * (1 - p) + q * (1 - q)))
    return 2 * NormalDist().cdf(-abs(p - q) * n / noise)


UINT8 = row("uint8")

ANSWERS = {
    checks.check_mcnemar: Answers(
        right={
            "the formula": way(),
            "by SciPy": by_scipy,
            "Pascal's triangle, a fraction": by_coins,
            "the library": lambda gained, lost: Flips(gained, lost).p_value,
            "the course's": lesson08.mcnemar,
            "float32": lambda gained, lost: np.float64(way()(gained, lost)),
            "a list of one": lambda gained, lost: [way()(gained, lost)],
            "other names": lambda a, b: min(
                1, 2 * sum(comb(a + b, k) for k in range(min(a, b) + 1)) * 0.5 ** (a + b)
            ),
        },
        wrong={
            "rounded": (way(end=lambda p: round(p, 2)), "It is rounded"),
            "a text": (lambda gained, lost: "ten", "What your function returns is or holds"),
            "one side": (way(sides=1), "one side; both count"),
            "this split alone": (way(exactly=True), "this split alone"),
            "this split on one side": (way(exactly=True, sides=1), "this split alone"),
            "the split left out": (way(missing=1), "counts, too"),
            "above 1": (way(least=None), "at most 1"),
            "up to gained": (way(own=True), "which of the two is smaller"),
            "per cent": (way(end=lambda p: 100 * p), "per cent"),
            "what is left": (way(end=lambda p: 1 - p), "what is left of 1"),
            "chi-square": (chi_square, "an approximation"),
            "corrected": (lambda g, x: chi_square(g, x, 1), "an approximation"),
            "not for no flips": (lambda g, x: binomtest(g, g + x).pvalue, "raised ValueError"),
            "yes or no": (lambda g, x: "significant", "a number is asked"),
            "a number": (0.2188, "asked is a function"),
            "no return": (lambda g, x: print(end=""), "`return` missing"),
        },
    ),
    checks.check_choose: Answers(
        right={
            "masks": keeping(integers, fits, no_loss),
            "another order": keeping(no_loss, fits, integers),
            "a query": by_query,
            "by sorting": by_sorting,
            "the course's": lesson08.choose,
            "by ratio": keeping(integers, fits, no_loss, best=lambda t: t["ratio"].idxmax()),
            "first of the sorted": keeping(
                integers, fits, no_loss, best=lambda t: t.sort_values("bytes").index[0]
            ),
            "a NumPy text": lambda board, limit: (
                None if by_query(board, limit) is None else np.str_(by_query(board, limit))
            ),
        },
        wrong={
            "floats too": (keeping(fits, no_loss), "not integer-only"),
            "too large": (keeping(integers, no_loss, best=lambda t: t["bytes"].idxmax()), "limit"),
            "no limit": (keeping(integers, no_loss), "the limit was 100"),
            "losses too": (keeping(integers, fits), "p = 0.0000"),
            "no significance": (
                keeping(integers, fits, lambda b, n: b["lost_hard"] <= b["gained_hard"]),
                "are no loss seen",
            ),
            "any small p": (keeping(integers, fits, lambda b, n: b["p_hard"] >= 0.05), "*gained*"),
            "the most accurate": (
                keeping(integers, fits, no_loss, best=lambda t: t["accuracy_hard"].idxmax()),
                "'noise' is smaller",
            ),
            "its size": (
                keeping(integers, fits, no_loss, best=lambda t: t["bytes"].min()),
                "asked is a path's name",
            ),
            "the rows": (keeping(integers, fits, no_loss, best=lambda t: t), "a path's name"),
            "not for no row": (
                lambda b, n: b[integers(b, n) & fits(b, n) & no_loss(b, n)]["bytes"].idxmin(),
                "raised ValueError",
            ),
            "always int8": (lambda board, limit: "int8", "'int8' is no row"),
            "always none": (lambda board, limit: board and None, "raised ValueError"),
            "a name": ("int8", "asked is a function"),
        },
    ),
    checks.check_judge: Answers(
        right={
            "Bonferroni": judge(),
            "Holm": by_holm,
            "by counting": by_counting,
            "a Series": by_a_series,
            "McNemar's function by name": judge(p_of=lambda f, *given: by_scipy(f.gained, f.lost)),
            "with the lesson's function": judge(p_of=lambda f, *g: lesson08.mcnemar(*astuple(f))),
            "a dictionary of NumPy texts": lambda *given: {
                np.str_(name): np.str_(word) for name, word in judge()(*given).items()
            },
            "another order": lambda *given: dict(reversed(judge()(*given).items())),
        },
        wrong={
            "not corrected": (judge(limit=0.05), "the limit is"),
            "by accuracy": (by_accuracy, "Equal files do that often"),
            "no direction": (judge(direction=False), "which count is the larger"),
            "all changes": (judge(p_of=of_changes), "It is better."),
            "unpaired": (judge(p_of=unpaired), "It is better."),
            "one side": (judge(p_of=lambda f, *given: f.p_value / 2), "is not shown"),
            "none shown": (lambda y, s, c: dict.fromkeys(c, "not shown"), "below 0.0167"),
            "other words": (judge(words=("win", "loss", "noise")), "A verdict is one of"),
            "p-values": (
                lambda y, s, c: {n: evaluate.flips(s, a, y).p_value for n, a in c.items()},
                "A verdict is one of",
            ),
            "a list": (lambda *given: [*judge()(*given).values()], "a dictionary of verdicts"),
            "of the file only": (lambda *given: {"basil": "better"}, "the candidates are"),
            "a dictionary": ({"basil": "better"}, "asked is a function"),
            "no return": (lambda *given: print(end=""), "`return` missing"),
        },
    ),
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
            "fewer than two": (24 / 2**11, "Two heads count, too"),
            "the rest": (1 - 134 / 2**11, "what is left of 1"),
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
}

TestAnswers = class_of_tests(ANSWERS)


def test_a_pair_with_one_part_missing_is_not_attempted():
    verdict = checks.check_doorbell(("uint8", ...))
    assert verdict.state == "not attempted"
    assert "second part is still missing" in verdict.message


def test_8_4_tells_the_p_value_with_three_decimals():
    p_value = Flips(gained=2, lost=9).p_value
    assert checks.check_p_value(p_value).message.startswith(f"{p_value:.3f} is above 0.05")


def test_8_3_the_file_hides_a_win_that_is_noise_and_one_that_is_not():
    table = pd.read_csv(unseen.path("08_answers.csv"))
    labels, shipped = table["label"].to_numpy(), table["shipped"].to_numpy()
    right = {name: int((table[name] == labels).sum()) for name in table.columns[1:]}
    assert right["cedar"] < right["shipped"] < right["basil"] < right["amber"]
    p = {n: evaluate.flips(shipped, table[n].to_numpy(), labels).p_value for n in table.columns[2:]}
    assert p["amber"] > 0.1
    assert max(p["basil"], p["cedar"]) < 0.05 / 3
    changed = (table["amber"] != shipped) & (table["amber"] != labels) & (shipped != labels)
    assert changed.any()  # changed, and no flip
