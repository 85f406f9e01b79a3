"""The checks of lesson 13 accept right answers, refuse wrong ones, and wait for the rest."""

import pandas as pd
import pytest

from lessons_lib import anatomy, checks, convert, litert, training
from lessons_lib.litert import Rule
from verdicts import class_of_tests

GENERAL, LAST = Rule(".*", "int8_per_tensor"), Rule("block3_pointwise", "int8x4_per_tensor")
STEM = Rule("stem", "int8")


def smallest_above(board, floor):
    kept = board[board["agreement"] >= floor]
    order = kept.sort_values(["bytes", "agreement"], ascending=[True, False])
    return order.index[0] if len(order) else None


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


TestAnswers = class_of_tests(
    right=[
        (checks.check_unpack_byte, (5, -5)),
        (checks.check_unpack_byte, [5, -5]),
        (checks.check_rules, [GENERAL, LAST, STEM]),
        (checks.check_rules, [GENERAL, STEM, LAST]),
        (checks.check_rules, (Rule("block|probabilities", "int8_per_tensor"), LAST)),
        (checks.check_smallest_above, smallest_above),
    ],
    wrong=[
        (checks.check_unpack_byte, (-5, 5)),
        (checks.check_unpack_byte, (5, 11)),
        (checks.check_unpack_byte, 5),
        (checks.check_rules, [LAST, STEM, GENERAL]),
        (checks.check_rules, [GENERAL, LAST]),
        (checks.check_rules, [GENERAL, Rule("block_3", "int8x4_per_tensor"), STEM]),
        (checks.check_rules, [GENERAL, Rule("block3", "int8x4"), STEM]),
        (checks.check_rules, "block3"),
        (checks.check_rules, GENERAL),
        (checks.check_smallest_above, smallest_of_all),
        (checks.check_smallest_above, best_of_all),
        (checks.check_smallest_above, no_thought_of_none),
        (checks.check_smallest_above, first_of_equals),
        (checks.check_smallest_above, strictly_above),
        (checks.check_smallest_above, "int8"),
    ],
)


@pytest.mark.parametrize(
    ("check", "answer", "remark"),
    [
        (checks.check_unpack_byte, (-5, 5), "low four bits"),
        (checks.check_unpack_byte, (5, 11), "signed"),
        (checks.check_rules, [LAST, STEM, GENERAL], "stem gets int8_per_tensor, not int8"),
        (checks.check_rules, [GENERAL, Rule("blok", "int8")], "matches no layer"),
        (checks.check_rules, GENERAL, "a list of Rule"),
        (checks.check_smallest_above, best_of_all, "expected 'c'"),
    ],
)
def test_a_near_miss_gets_a_remark(check, answer, remark):
    assert remark in check(answer).message


def test_13_2_knows_what_the_rules_do_to_the_real_model(tmp_path):
    reference = training.reference("ds_cnn")
    written = convert.convert_all_in_child(reference, None, tmp_path, names=["float32"])
    table = litert.plan(written["float32"], "int8", [GENERAL, LAST, STEM])
    table = table[table["operator"].isin(anatomy.PARAMETERS)]
    expected = ["int8", *["int8_per_tensor"] * 5, "int8x4_per_tensor", "int8_per_tensor"]
    assert list(table["recipe"]) == expected


def test_13_3_hands_over_a_table_of_its_own():
    def spoil(board, floor):
        board["bytes"] = 0
        return None

    assert not checks.check_smallest_above(spoil)
    assert checks.check_smallest_above(
        lambda board, floor: smallest_above(pd.DataFrame(board), floor)
    )
