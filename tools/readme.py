"""Measure the scoreboard, and write what follows from it and from the notebooks into the README.

``make refresh`` runs it after the notebooks. The scoreboard is kept in ``book/scoreboard.json``,
from which README, figure and site are written. What is measured in time is kept as long as nothing
else has changed, so that a second run changes nothing; ``--volatile`` measures it anew.
"""

import io
import json
import platform
import sys
import tempfile
from importlib.metadata import version

from matplotlib import pyplot as plt
from PIL import Image

from lessons_lib import catalogue, files, notebooks, paths, plots, scoreboard, training

README = files.ROOT / "README.md"
SCOREBOARD = files.ROOT / "book" / "scoreboard.json"
FIGURE = files.ROOT / "notebooks" / "figures" / "decision_tree.png"
TIMED = "µs an image"
RUNS_IN = "prints the scoreboard: "  # what `make lessons` does; behind it stand its minutes


def measured() -> dict:
    """Measure the reference model; return its ``rows``, as a reader sees them, and with what."""
    with tempfile.TemporaryDirectory() as folder:  # where nothing is kept of an earlier run
        board = scoreboard.build(training.reference(), folder, value_range=scoreboard.RANGES[0])
    machine = f"{platform.system()} {platform.machine()}"
    return {"tensorflow": version("tensorflow"), "machine": machine, "rows": scoreboard.text(board)}


def stored() -> dict:
    """Return the scoreboard that was measured last, as ``measured`` gave it."""
    return json.loads(SCOREBOARD.read_text(encoding="utf-8"))


def untimed(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return the rows without the column that differs at each run."""
    return [{head: cell for head, cell in row.items() if head != TIMED} for row in rows]


# ---- the README's parts


def filled(text: str) -> str:
    """Return the README with its marked parts as they should be now."""
    parts = {"parts": course_parts(), "lessons": lesson_table(), "scoreboard": scoreboard_text()}
    for name, content in parts.items():
        begin, end = f"<!-- {name}: written by make refresh -->", f"<!-- end of {name} -->"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{content}\n{end}{rest.split(end)[1]}"
    before, rest = text.split(RUNS_IN)
    return f"{before}{RUNS_IN}about {run_minutes()} minutes{rest.split(' minutes', 1)[1]}"


def course_parts() -> str:
    return "\n".join(f"- **{p.title}** ({p.lessons}): {p.says}" for p in catalogue.PARTS)


def lesson_table() -> str:
    """Return a row for each lesson, with its minutes and seconds, and the sums below it."""
    heads = ["", "lesson", "the question it answers", "core, minutes", "with everything"]
    rows = []
    for lesson in map(notebooks.describe, notebooks.find()):
        name, times = lesson.path.name, lesson.times
        minutes = [times.core, times.everything or times.core, times.seconds]
        link = f"[{lesson.title}](notebooks/{name})"
        rows.append([lesson.number, link, catalogue.QUESTIONS[name], *minutes])
    heads.append(f"seconds to run on {notebooks.MACHINE}")
    return f"{catalogue.markdown_table(heads, rows)}\n\n{sums()}"


def sums() -> str:
    """Say how long the article's lessons take, and all of them."""
    lessons = [notebooks.describe(path).times for path in notebooks.find()]
    last = catalogue.ARTICLE.numbers[-1]
    said = []
    for part, of in (f"lessons 0 to {last}", lessons[: last + 1]), (f"all {len(lessons)}", lessons):
        core = sum(times.core for times in of)
        everything = sum(times.everything or times.core for times in of)
        said.append(f"{part} take {_hours(core)}, with everything {_hours(everything)}")
    return f"**The core path**: {'; '.join(said)}."


def run_minutes() -> int:
    """Return what all lessons take to run on the table's machine, to the nearest 5 minutes."""
    seconds = sum(notebooks.describe(path).times.seconds for path in notebooks.find())
    return 5 * round(seconds / 60 / 5)


def _hours(minutes: int) -> str:
    return f"{minutes // 60} h {minutes % 60:02} min"


def scoreboard_text() -> str:
    """Return the stored scoreboard in Markdown, and how it was taken."""
    board = stored()
    shown = catalogue.markdown_table(
        list(board["rows"][0]), (row.values() for row in board["rows"])
    )
    return (
        f"{shown}\n\n"
        "The course's trained `mnist_cnn` on its 1,000 test digits, and on the same digits dimmed, "
        "noisy, turned and shifted (*hard*; answers gained and lost against float32 there, and "
        f"McNemar's p). TensorFlow {board['tensorflow']}; latency: median for one image on one "
        f"thread of {board['machine']}. Yours will differ: `make lessons` measures it."
    )


# ---- the decision tree's figure


def leaf_text(row: dict[str, str]) -> str:
    """Return what a leaf of the tree says of a path's row."""
    return f"{row['bytes']} bytes, {row['accuracy']}"


def questions(node: paths.Question | str = paths.TREE) -> list[str]:
    """Return the texts of the tree's forks."""
    if isinstance(node, str):
        return []
    return [node.text, *questions(node.yes), *questions(node.no)]


def tree_texts() -> dict:
    """Return what the figure should say: "leaves" and "questions"."""
    leaves = {row["path"]: leaf_text(row) for row in stored()["rows"]}
    return {"leaves": leaves, "questions": questions()}


def figure_texts() -> dict:
    """Return what the stored figure says, from the PNG's description."""
    with Image.open(FIGURE) as image:
        return json.loads(image.text["Description"])


def write_figure(texts: dict) -> None:
    picture = io.BytesIO()
    figure = plots.decision_tree(values=texts["leaves"])
    figure.savefig(picture, dpi=100, metadata={"Description": json.dumps(texts)})
    plt.close(figure)
    files.write_atomic(FIGURE, picture.getvalue())


def main() -> None:
    board = measured()
    if "--volatile" in sys.argv or untimed(board["rows"]) != untimed(stored()["rows"]):
        text = json.dumps(board, indent=1, ensure_ascii=False)
        files.write_atomic(SCOREBOARD, f"{text}\n")
    if not FIGURE.exists() or tree_texts() != figure_texts():
        write_figure(tree_texts())
    text = README.read_text(encoding="utf-8")
    if text != filled(text):
        files.write_atomic(README, filled(text))


if __name__ == "__main__":
    main()
