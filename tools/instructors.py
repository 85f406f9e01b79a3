"""Write into the teacher's pages what follows from the notebooks: questions, minutes, schedules.

``make refresh`` runs it, also after single lessons. What it writes stands between marks, as in the
README; all else in ``instructors/`` is written by hand, and left alone. Minutes come from the
lessons' own rule (``minutes``), to the nearest minute; the rest of a schedule is a plan.
"""

import functools
import re
from dataclasses import dataclass
from pathlib import Path

import minutes
from lessons_lib import catalogue, files, notebooks

FOLDER = files.ROOT / "instructors"
LESSONS = FOLDER / "lessons"
ITEM = re.compile(r"^\*\*(\d+)\.\*\* ", re.MULTILINE)  # of the concept test
PART_B = "## Part B"
EXERCISES = "Exercises"
LEFT_OUT = "What the article leaves out"
DISCUSSION = 10  # minutes, for two questions


@dataclass(frozen=True)
class Step:
    """A row of a schedule: so many minutes of this; ``skip`` when time is short."""

    says: str
    minutes: int
    skip: str = ""


# ---- minutes


@functools.cache
def lesson(number: int) -> tuple[notebooks.Lesson, dict[str, tuple[float, float]]]:
    """What a lesson says of itself, and the minutes of its sections, core and deeper."""
    path = notebooks.find([number])[0]
    return notebooks.describe(path), minutes.by_section(notebooks.read(path))


def core(number: int, exercises: bool = True) -> int:
    """The minutes of a lesson's core, with its open task or without."""
    parts = lesson(number)[1].items()
    return round(sum(time for name, (time, _) in parts if exercises or name != EXERCISES))


def at_home(number: int) -> int:
    """The minutes of a lesson's open task and of all that is deeper."""
    parts = lesson(number)[1].items()
    return round(sum(deep + (time if name == EXERCISES else 0) for name, (time, deep) in parts))


def concept_test(part_a: bool = False) -> int:
    """The minutes of the concept test, by the quiz's rule: to read, and a half for an item."""
    text = (FOLDER / "concept-test.md").read_text(encoding="utf-8")
    text = text.split(PART_B)[0] if part_a else text
    return round(minutes.text(text) + minutes.QUESTION * len(ITEM.findall(text)))


# ---- schedules


def link(number: int, folder: str = "lessons/") -> str:
    return f"[Lesson {number}]({folder}{number:02}.md): {lesson(number)[0].title}"


def of_lesson(number: int) -> list[Step]:
    """A lesson's core, and then its questions."""
    deeper = round(sum(deep for _, deep in lesson(number)[1].values()))
    task = core(number) - core(number, exercises=False)
    late = f", and when late the open task ({task} min)" if task else ""
    skip = f"what is headed *Deeper* ({deeper} min){late}"
    return [Step(link(number), core(number), skip), Step("Discuss its two questions", DISCUSSION)]


def workshop() -> list[Step]:
    """Ninety minutes: lesson 0, section by section."""
    part_a = concept_test(part_a=True)
    steps = [Step("Welcome", 5), Step("Concept test, part A, on paper", part_a)]
    for title, (time, deeper) in lesson(0)[1].items():
        skip = "may be skipped" if deeper else ""
        if title == LEFT_OUT:
            skip = f"when late exercise 0.5 ({minutes.BLANK} min)"
        steps.append(Step(f"Lesson 0: *{title}*", round(time + deeper), skip))
    steps = [step for step in steps if step.minutes]
    second = f"when late the second ({DISCUSSION // 2} min)"
    return [
        *steps,
        Step("Discuss [lesson 0](lessons/00.md)'s two questions", DISCUSSION, second),
        Step("Part A again", part_a, f"when late the paper ({part_a} min)"),
        Step("Its answers, by show of hands", 5),
        Step("Where to go on: *In practice* of lesson 0", 3),
    ]


def late() -> str:
    """What to cut of the workshop, in this order, with its minutes."""
    steps = workshop()
    deeper = sum(step.minutes for step in steps if step.skip == "may be skipped")
    cuts = [
        ("The reserve", 90 - sum(step.minutes for step in steps)),
        ("What is headed *Deeper*", deeper),
        ("Exercise 0.5: run its cell as it is, and the next one", minutes.BLANK),
        ("The second question to discuss", DISCUSSION // 2),
        (
            "Part A again, on paper: read each item aloud, count hands, and say its answer",
            concept_test(part_a=True),
        ),
    ]
    return "\n".join(f"{place}. {what}: {took} min." for place, (what, took) in enumerate(cuts, 1))


def half_day() -> list[Step]:
    return [
        Step("Welcome", 5),
        Step("Concept test, part A", concept_test(part_a=True)),
        *of_lesson(0)[:1],
        Step("Break", 15),
        *of_lesson(3),
        *of_lesson(7),
        Step("Part A again", concept_test(part_a=True)),
        Step("Its answers, by show of hands", 5),
    ]


def one_day() -> list[Step]:
    morning = [Step("Welcome", 5), Step("Concept test", concept_test()), *of_lesson(0)[:1]]
    morning += [Step("Break", 15), *of_lesson(3), *of_lesson(4)]
    noon = [Step("Lunch", 60), *of_lesson(6), *of_lesson(7), Step("Break", 15)]
    last = [Step("Concept test again", concept_test()), Step("Its answers, by show of hands", 10)]
    return [*morning, *noon, *of_lesson(8), *last]


SCHEDULES = {"workshop": (workshop, 90), "half-day": (half_day, 240), "day": (one_day, 480)}
# The lessons of each of ten weeks.
WEEKS = ((0, 1), (2, 3), (4, 5), (6, 7), (8,), (9, 10), (11, 12), (13, 14), (15, 16), (17, 18))


def schedule(steps: list[Step], length: int) -> str:
    """A table of the steps with the clock, and what is left of the time."""
    rows, clock = [], 0
    reserve = length - sum(step.minutes for step in steps)
    for step in [*steps, Step("In reserve: set-up, questions, slow machines", reserve)]:
        rows.append([f"{clock // 60}:{clock % 60:02}", step.minutes, step.says, step.skip])
        clock += step.minutes
    return catalogue.markdown_table(["from", "minutes", "what", "skip"], rows)


def term() -> str:
    rows = [
        [
            week,
            "; ".join(link(number) for number in numbers),
            sum(core(number, exercises=False) for number in numbers),
            sum(at_home(number) for number in numbers),
        ]
        for week, numbers in enumerate(WEEKS, 1)
    ]
    heads = ["week", "lessons", "in class, minutes", "at home: open tasks, and all that is deeper"]
    return catalogue.markdown_table(heads, rows)


# ---- a lesson's notes


def slug(heading: str) -> str:
    """Return the anchor that the site gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-")


def sections_under(page: str) -> dict[str, str]:
    """The sections of a page, by their headings ``## ...``."""
    text = (FOLDER / page).read_text(encoding="utf-8")
    parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def numbered(page: str, pattern: str) -> str:
    """Links to the numbered sections of a page in which the pattern is found."""
    found = [title for title, text in sections_under(page).items() if re.search(pattern, text)]
    return ", ".join(f"[{title.split('.')[0]}](../{page}#{slug(title)})" for title in found)


def head(number: int) -> str:
    """A lesson's question, its times, who asks for it, and the minutes of its sections."""
    said, parts = lesson(number)
    name, times = said.path.name, said.times
    everything = f", with everything {times.everything} min" if times.everything else ""
    rows = [
        [f"*{title}*", round(time) or "", round(deeper) or ""]
        for title, (time, deeper) in parts.items()
        if round(time) or round(deeper)
    ]
    heads = ["section", "core, minutes", "deeper, minutes"]
    complaints = numbered("what-goes-wrong.md", re.escape(f"/{name}#"))
    items = numbered(
        "concept-test-key.md", rf"\*Lesson {number}\*|^\s*\*Lesson \d+\*, and lesson {number}\b"
    )
    asked = [f"Complaints of the forums that it answers: {complaints}."] if complaints else []
    asked += [f"Items of the concept test: {items}."] if items else []
    return (
        f"**{catalogue.QUESTIONS[name]}**\n\n"
        f"[The lesson](../../notebooks/{name}), [its solutions](../../notebooks/solutions/{name}). "
        f"Core {times.core} min{everything}; it runs in about {times.seconds} s on "
        f"{times.machine}, and needs {times.needs}. {' '.join(asked)}\n\n"
        f"{catalogue.markdown_table(heads, rows)}"
    )


def index() -> str:
    """A row for each lesson's notes."""
    rows = [
        [link(number), catalogue.QUESTIONS[name], core(number), at_home(number)]
        for number, name in catalogue.NOTEBOOKS.items()
    ]
    return catalogue.markdown_table(["notes", "question", "core, minutes", "at home"], rows)


# ---- the pages


def parts(path: Path) -> dict[str, str]:
    """The marked parts of a page as they should be now, by name."""
    if path.parent == LESSONS:
        return {"lesson": head(int(path.stem))}
    if path == FOLDER / "schedules.md":
        tables = {name: schedule(make(), length) for name, (make, length) in SCHEDULES.items()}
        return {**tables, "term": term()}
    return {"late": late(), "notes": index()} if path == FOLDER / "README.md" else {}


def filled(path: Path) -> str:
    """Return a page with its marked parts as they should be now."""
    text = path.read_text(encoding="utf-8")
    for name, content in parts(path).items():
        begin, end = f"<!-- {name}: written by make refresh -->", f"<!-- end of {name} -->"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n\n{content}\n\n{end}{rest.split(end)[1]}"
    return text


def pages() -> list[Path]:
    return sorted(FOLDER.rglob("*.md"))


def main() -> None:
    for path in pages():
        if path.read_text(encoding="utf-8") != filled(path):
            files.write_atomic(path, filled(path))


if __name__ == "__main__":
    main()
