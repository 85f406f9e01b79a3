"""The checks of lesson 13 accept right answers, refuse wrong ones, and wait for the rest."""

import pandas as pd

from lessons_lib import checks
from lessons_lib.convert.by_litert import Rule
from verdicts import Answers, class_of_tests

GENERAL, LAST = Rule(".*", "int8_per_tensor"), Rule("block3_pointwise", "int8x4_per_tensor")
STEM, DEPTHWISE = Rule("stem", "int8"), Rule("block3_depthwise", "int8_per_tensor")
WIDE = Rule("block3", "int8x4_per_tensor")


def smallest_above(board, floor):
    kept = board[board["agreement"] >= floor]
    order = kept.sort_values(["bytes", "agreement"], ascending=[True, False])
    return order.index[0] if len(order) else None


def by_a_loop(board, floor):
    kept = [(row.bytes, -row.agreement, row.Index) for row in board.itertuples()]
    kept = [row for row in kept if -row[1] >= floor]
    return min(kept)[2] if kept else None


def in_a_copy(board, floor):
    table = pd.DataFrame(board)
    table.loc[table["agreement"] < floor, "bytes"] = 10**9
    name = smallest_above(table, 0)
    return name if table["bytes"][name] < 10**9 else None


def smallest_of_all(board, floor):
    return board["bytes"].idxmin()


def best_of_all(board, floor):
    return board["agreement"].idxmax()


def no_thought_of_none(board, floor):
    return smallest_above(board, floor) or board.index[0]


def first_of_equals(board, floor):
    kept = board[board["agreement"] >= floor]
    return kept["bytes"].idxmin() if len(kept) else None


def strictly_above(board, floor):
    return smallest_above(board, floor + 1e-9)


def fails_when_empty(board, floor):
    kept = board[board["agreement"] >= floor]
    return kept.sort_values(["bytes", "agreement"], ascending=[True, False]).index[0]


ANSWERS = {
    checks.check_unpack_byte: Answers(
        right={"a tuple": (5, -5), "a list of floats": [5.0, -5.0], "texts": ("5", "-5")},
        wrong={
            "swapped": ((-5, 5), "low four bits"),
            "unsigned": ((5, 11), "the codes are signed"),
            "unsigned and swapped": ((11, 5), "low four bits come first"),
            "a sign and three bits": ((5, -3), "Two's complement"),
            "one": (5, "holds 1 number; 2 are asked"),
            "a set": ({5, -5}, "has no order"),
            "in hexadecimal": (("0x5", "0xB"), "Give the number alone"),
            "a byte": (b"\xb5", ""),
        },
    ),
    checks.check_rules: Answers(
        right={
            "from the general to the special": [GENERAL, LAST, STEM],
            "in another order": [GENERAL, STEM, LAST],
            "a tuple of two": (Rule("block|probabilities", "int8_per_tensor"), LAST),
            "by the operator": [GENERAL, Rule("block3", "int8x4_per_tensor", "CONV_2D"), STEM],
            "mended by another rule": [GENERAL, WIDE, DEPTHWISE, STEM],
            "by looking ahead": [Rule("^(?!.*stem)", "int8_per_tensor"), LAST],
        },
        wrong={
            "the general one last": ([LAST, STEM, GENERAL], "stem gets int8_per_tensor, not int8"),
            "no stem": ([GENERAL, LAST], "stem gets int8_per_tensor, not int8"),
            "a misspelt layer": ([GENERAL, Rule("block_3", "int8"), STEM], "matches no layer"),
            "by a silent skip": ([GENERAL, WIDE, STEM], "block3_depthwise is asked for int8x4"),
            "per-channel": (
                [GENERAL, Rule("block3_pointwise", "int8x4"), STEM],
                "block3_pointwise gets int8x4, not int8x4_per_tensor",
            ),
            "what LiteRT lacks": (
                [Rule("block1_depthwise", "int8x4_per_tensor"), GENERAL, LAST, STEM],
                "LiteRT has no int8x4_per_tensor for block1_depthwise",
            ),
            "a rule": (GENERAL, "a Rule; asked is a list of Rule"),
            "names": (["block3_pointwise"], "a list of 1; asked is a list of Rule"),
            "a text": ("block3", "asked is a list of Rule"),
            "None": (None, "asked is a list of Rule"),
        },
    ),
    checks.check_smallest_above: Answers(
        right={"by sorting": smallest_above, "by a loop": by_a_loop, "in a copy": in_a_copy},
        wrong={
            "the smallest": (smallest_of_all, "it gives 'b', expected 'c'"),
            "the best": (best_of_all, "it gives 'a', expected 'c'"),
            "always one": (no_thought_of_none, "expected None"),
            "the first of equals": (first_of_equals, "it gives 'x', expected 'y'"),
            "strictly above": (strictly_above, "expected 'c'"),
            "fails when empty": (fails_when_empty, "Your function raised IndexError"),
            "a number": (lambda board, floor: 20_000, "asked is a name, or None"),
            "a table": (lambda board, floor: board, "returns a DataFrame"),
            "a name": ("int8", "asked is a function"),
            "one argument": (lambda board: "c", "raised TypeError"),
        },
    ),
}

TestAnswers = class_of_tests(ANSWERS)


def test_13_3_hands_over_a_table_of_its_own():
    def spoil(board, floor):
        board["bytes"] = 0

    assert not checks.check_smallest_above(spoil)
    assert checks.check_smallest_above(smallest_above)
