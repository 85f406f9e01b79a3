"""The checks of lesson 05 accept right answers, refuse wrong ones, and wait for the rest."""

import numpy as np
import pytest

from lessons_lib import checks

CHANGED = [2e-7, 5e-8, 1e-9, 80000.0]


def devices(*paths):
    return dict(zip(("a GPU", "a slow line", "an audit"), paths, strict=True))


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("check_changed_weights", CHANGED, [*CHANGED, 60000.0]),
        ("check_changed_weights", np.array(CHANGED[::-1]), CHANGED[:3]),
        ("check_changed_weights", set(CHANGED), 2e-7),
        ("check_headroom", "11", "eleven"),
        ("check_headroom", 11, 17),  # 17: the weights alone
        ("check_headroom", np.int64(11), 12),
        (
            "check_paths_of_devices",
            devices("float16", "dynamic_range", "float32"),
            devices("float16", "float16", "float32"),
        ),
        (
            "check_paths_of_devices",
            ["float16", "dynamic_range", "float32"],
            ["float16", "dynamic_range"],
        ),
    ],
)
def test_right_and_wrong_answers(name, right, wrong):
    check = getattr(checks, name)
    assert check(right).state == "correct"
    assert check(wrong).state == "not yet"
    assert check(...).state == "not attempted"


def test_one_device_left_open_is_not_attempted():
    answer = devices("float16", ..., "float32")
    assert checks.check_paths_of_devices(answer).state == "not attempted"


def test_5_3_names_an_unknown_path():
    message = checks.check_paths_of_devices(devices("fp16", "dynamic_range", "float32")).message
    assert "'fp16' is none of" in message


def test_5_2_tells_what_the_weights_alone_would_bear():
    assert 0.46 * 2**17 <= 65504 < 0.46 * 2**18
    assert "borne 17" in checks.check_headroom(11).message
