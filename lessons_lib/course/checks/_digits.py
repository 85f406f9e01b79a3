"""Does a learner's file read digits? What several lessons' checks ask of it."""

from lessons_lib.course.checks._answers import Remark
from lessons_lib.errors import LessonError
from lessons_lib.models import data
from lessons_lib.run.runtime import Model

ENOUGH = 0.75  # of the digits right: a sound file of integers has more


def require_digits_read(content: bytes) -> None:
    """Run a file on test digits; Remark when it does not take them, or cannot read them."""
    test = data.load("mnist").test[:200]
    try:
        share = (Model(content).classes(test.images) == test.labels).mean()
    except LessonError:
        raise Remark("This file does not take 28 x 28 images and give ten classes.") from None
    if share < ENOUGH:
        raise Remark(
            f"The form is right, but of 200 digits it reads {share:.0%}: on which samples was it "
            "calibrated?"
        )
