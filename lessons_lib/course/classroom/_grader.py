"""The process in which one submission is graded; ``classroom.grade`` starts it."""

import json
import sys
from pathlib import Path

from lessons_lib.system import limits


def main(root: str, assignment: str, student: str, stopped: str, parent: str, bounds: str) -> None:
    """Grade, print nbgrader's log, and end with 1 where it failed."""
    limits.enter(limits.Limits(**json.loads(bounds)), int(parent))
    from lessons_lib.course.classroom import _nbgrader

    try:
        result = _nbgrader.api(Path(root), stopped).autograde(assignment, student)
    finally:
        limits.leave()
    print(result.get("log") or "", result.get("error") or "", sep="\n")
    sys.exit(0 if result["success"] else 1)
