"""The process in which one submission is graded; ``classroom.grade`` starts it."""

import json
import re
import sys
import warnings
from pathlib import Path

from lessons_lib.system import limits

TRY_AGAIN = 75  # exit code: no fault of the submission (sysexits.h: EX_TEMPFAIL)
REHEARSED = "without full points: "
# In nbgrader's log: the gradebook was busy, the kernel did not start.
_NO_FAULT = re.compile(r"sqlalchemy\.exc\.OperationalError|kernel_info|Kernel didn't respond in")


def main(root: str, assignment: str, student: str, stopped: str, parent: str, bounds: str) -> None:
    """Grade, print nbgrader's log, and end with 1 where it failed, 75 where to try it again.

    Without a student the teacher's notebook is run; its tests without full points are printed.
    """
    warnings.simplefilter("ignore")  # of nbgrader's own ways with its database
    limits.enter(limits.Limits(**json.loads(bounds)), int(parent))
    from lessons_lib.course.classroom import _nbgrader

    if not student:
        (notebook,) = Path(root, "source", assignment).glob("*.ipynb")
        failed = _nbgrader.rehearse(Path(root), notebook)
        print(*(f"{REHEARSED}{name}\n{said}" for name, said in failed.items()), sep="\n")
        limits.leave()
        sys.exit(bool(failed))
    try:
        result = _nbgrader.api(Path(root), stopped).autograde(assignment, student)
    finally:
        limits.leave()
    print(result.get("log") or "", result.get("error") or "", sep="\n")
    if result["success"]:
        sys.exit(0)
    sys.exit(TRY_AGAIN if _NO_FAULT.search(result.get("log") or "") else 1)
