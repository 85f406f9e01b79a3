"""The file of lesson 08's open task."""

import numpy as np
import pandas as pd

from lessons_lib.course.checks.lesson08 import answers

# Digits gained and lost against the shipped file.
FLIPS = {"amber": (66, 51), "basil": (11, 1), "cedar": (4, 18)}
_DIGITS, _RIGHT = 2_000, 0.918


def answers_of_three() -> bytes:
    """What a shipped file and three candidates answer to 2,000 digits, made up for the task.

    ``amber`` has the most right answers, by noise; ``basil`` is better, shown by few flips that
    nearly all go one way; ``cedar`` is worse. Some wrong answers change into other wrong ones.
    """
    random = np.random.default_rng(8)
    labels = random.integers(0, 10, _DIGITS)
    others = (labels + random.integers(1, 10, _DIGITS)) % 10
    shipped = np.where(random.random(_DIGITS) < _RIGHT, labels, others)
    made = {name: answers(random, labels, shipped, *flips) for name, flips in FLIPS.items()}
    table = pd.DataFrame({"label": labels, "shipped": shipped, **made})
    return table.to_csv(index=False).encode()


FILES = {"08_answers.csv": answers_of_three}
