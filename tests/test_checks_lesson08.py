"""The checks of lesson 08: each knows right answers, wrong ones, and one not attempted."""

import numpy as np
import pandas as pd
import pytest

from lessons_lib import checks
from lessons_lib.evaluate import Flips
from verdicts import class_of_tests


def row(name, input_dtype="uint8", output_dtype="uint8", integer_only=True, size=65_000):
    values = {
        "bytes": size,
        "integer_only": integer_only,
        "input_dtype": input_dtype,
        "output_dtype": output_dtype,
    }
    return pd.Series(values, name=name)


RIGHT = [
    (checks.check_p_value, Flips(gained=2, lost=9).p_value),
    (checks.check_p_value, 2 * (1 + 11 + 55) / 2**11),
    (checks.check_p_value, np.float32(0.0654)),
    (checks.check_doorbell, ("uint8", row("uint8"))),
    (checks.check_doorbell, ["uint8", row("uint8", integer_only=np.True_)]),
    (checks.check_smallest_integer_only, lambda b: b[b["integer_only"]]["bytes"].idxmin()),
    (checks.check_smallest_integer_only, lambda b: b.query("integer_only").bytes.idxmin()),
]

WRONG = [
    (checks.check_p_value, 0.0327),  # one-sided
    (checks.check_p_value, 55 / 2**11),  # exactly two, not at most two
    (checks.check_p_value, "0.065"),
    (checks.check_p_value, np.array([0.0654])),
    (checks.check_doorbell, ("int8", row("int8", "int8", "int8"))),
    (checks.check_doorbell, ("uint8", row("int8", "int8", "int8"))),
    (checks.check_doorbell, ("uint8", row("uint8", integer_only=False))),
    (checks.check_doorbell, ("uint8", row("uint8", size=231_160))),
    (checks.check_doorbell, "uint8"),
    (checks.check_smallest_integer_only, lambda b: b["bytes"].idxmin()),
    (checks.check_smallest_integer_only, lambda b: b[b["integer_only"]].index[0]),
    (checks.check_smallest_integer_only, lambda b: b[b["integer_only"]]["bytes"].min()),
    (checks.check_smallest_integer_only, "int8"),
]


TestAnswers = class_of_tests(RIGHT, WRONG)


def test_a_pair_with_one_part_missing_is_not_attempted():
    verdict = checks.check_doorbell(("uint8", ...))
    assert verdict.state == "not attempted"
    assert "second part is still missing" in verdict.message


@pytest.mark.parametrize(
    ("check", "answer", "named"),
    [
        (checks.check_p_value, 0.0327, "one side"),
        (checks.check_doorbell, ("uint8", row("uint8").to_frame().T), "one row"),
    ],
)
def test_a_near_miss_is_named(check, answer, named):
    assert named in check(answer).message
