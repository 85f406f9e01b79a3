"""What the teacher's notes of a lesson say to each of its sections, for the speaker's view."""

import re
from dataclasses import dataclass

import folds
import instructors
import minutes
import slides_cells
from lessons_lib import notebooks

_QUESTION = re.compile(r"\d+\. \*\*(.+?)\*\* (.+)")


@dataclass(frozen=True)
class Notes:
    """``by_section``: what is said, by the heading's anchor or the exercise's number; "" is the
    beginning of the lesson. ``minutes``: those of each section, by its anchor.

    ``discuss``: the questions to discuss, each with its sample answer.
    """

    by_section: dict[str, list[str]]
    minutes: dict[str, int]
    discuss: list[tuple[str, str]]


def read(number: int) -> Notes:
    """Return the notes of a lesson; those to a section that has no slide stand at the beginning."""
    parts = instructors.sections_under(f"lessons/{number:02}.md")
    lesson = notebooks.find([number])[0]
    found = {"": [f"**On the board.** {_plain(parts['On the board'])}"]}
    spent = minutes.by_section(notebooks.read(lesson)).items()
    core = {instructors.slug(heading): round(time) for heading, (time, _) in spent}
    said = re.split(r"\n(?=- )", parts["What learners get wrong"].strip())
    said = [f"**They may say:** {text.removeprefix('- ')}" for text in said]
    for text in [*said, f"**Do together.** {parts['Do together'].strip()}"]:
        exercise = folds.LABEL.search(text)
        link = re.search(rf"\.\./\.\./notebooks/{re.escape(lesson.name)}#([\w-]+)", text)
        anchor = exercise or link
        found.setdefault(anchor[1] if anchor else "", []).append(_plain(text))
    return Notes(found, core, [(q, _plain(a)) for q, a in _QUESTION.findall(parts["Discuss"])])


def _plain(text: str) -> str:
    return slides_cells.flat(text).strip()
