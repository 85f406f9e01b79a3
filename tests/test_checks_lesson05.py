"""The checks of lesson 05 accept right answers, refuse wrong ones, and wait for the rest."""

import numpy as np
import pandas as pd

from lessons_lib import checks, paths
from verdicts import Answers, class_of_tests

CHANGED = [2e-7, 5e-8, 1e-9, 80000.0]
PATHS = ("float16", "dynamic_range", "float32")


def devices(*names):
    return dict(zip(("a GPU", "a slow line", "an audit"), names, strict=True))


ANSWERS = {
    checks.check_changed_weights: Answers(
        right={
            "a list": CHANGED,
            "an array, reversed": np.array(CHANGED[::-1]),
            "a set": set(CHANGED),
            "in float32": np.float32(CHANGED),
            "texts": [f"{weight}" for weight in CHANGED],
        },
        wrong={
            "one too many": ([*CHANGED, 60000.0], "60000 changes by less"),
            "one too few": (CHANGED[:3], "1 more changes"),
            "one": (2e-7, "3 more change"),
            "places": ([3, 4, 5, 7], "3 is none of the eight"),
            "rounded halves": (np.float16(CHANGED[:3]), "is none of the eight"),
            "a mask": ([False] * 3 + [True] * 3 + [False, True], "is none of the eight"),
            "None": (None, "holds None"),
        },
    ),
    checks.check_headroom: Answers(
        right={"an int": 11, "a text": "11", "a NumPy integer": np.int64(11), "a float": 11.0},
        wrong={
            "the weights alone": (17, "The weights alone"),
            "one too many": (12, "is beyond 65504"),
            "one too few": (10, "A larger k fits"),
            "not whole": (11.57, "k is a whole number"),
            "the factor": (2048, "2048 is not the power"),
            "a word": ("eleven", "a number is asked"),
            "infinity": (np.inf, ""),
        },
    ),
    checks.check_paths_of_devices: Answers(
        right={
            "a dict": devices(*PATHS),
            "a list": [*PATHS],
            "a tuple": PATHS,
            "a Series": pd.Series(PATHS),
        },
        wrong={
            "two alike": (devices("float16", "float16", "float32"), "2 of the three fit"),
            "one too few": (PATHS[:2], "You gave 2; three are asked"),
            "an old name": (devices("fp16", *PATHS[1:]), "'fp16', which is none of"),
            "in capitals": (devices("Float16", *PATHS[1:]), "'Float16', which is none of"),
            "path objects": ([paths.get(name) for name in PATHS], "a Path, which is none of"),
            "one text": ("float16", "asked is a path for each device"),
            "a set": ({*PATHS}, "asked is a path for each device"),
            "a number": (16, "asked is a path for each device"),
        },
    ),
}

TestAnswers = class_of_tests(ANSWERS)


def test_one_device_left_open_is_not_attempted():
    answer = devices("float16", ..., "float32")
    assert checks.check_paths_of_devices(answer).state == "not attempted"


def test_5_2_tells_what_the_weights_alone_would_bear():
    assert 0.46 * 2**17 <= 65504 < 0.46 * 2**18
    assert "borne 17" in checks.check_headroom(11).message
