"""Write the README's measured parts: the scoreboard, the decision tree, the lessons' times.

``make refresh`` runs it after the notebooks. What is measured in time is kept as long as nothing
else has changed, so that a second run changes nothing; ``--volatile`` measures it anew.
"""

import io
import json
import platform
import re
import sys
from importlib.metadata import version

from matplotlib import pyplot as plt
from PIL import Image

from lessons_lib import files, notebooks, paths, plots, scoreboard, training

README = files.ROOT / "README.md"
FIGURE = files.ROOT / "notebooks" / "figures" / "decision_tree.png"
BEGIN, END = "<!-- scoreboard: written by make refresh -->", "<!-- end of scoreboard -->"
TIMED = "µs an image"
_ROW = re.compile(r"\| \d+ \| \[[^\]]*\]\(notebooks/([^)]+)\) \| ([^|]+) \|")


def stored() -> list[dict[str, str]]:
    """Return the README's scoreboard: a dictionary of column and text for each path."""
    part = README.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
    lines = [line for line in part.splitlines() if line.startswith("|")]
    heads, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(heads, row, strict=True)) for row in rows]


def untimed(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return the rows without the column that differs at each run."""
    return [{head: cell for head, cell in row.items() if head != TIMED} for row in rows]


def leaf_texts(rows: list[scoreboard.Row]) -> dict[str, str]:
    """Return what the figure says on each leaf: size and accuracy."""
    return {row.name: f"{row.bytes / 1000:.0f} kB · {row.accuracy:.1%}" for row in rows}


def questions(node: paths.Question | str = paths.TREE) -> list[str]:
    """Return the texts of the tree's forks."""
    if isinstance(node, str):
        return []
    return [node.text, *questions(node.yes), *questions(node.no)]


def figure_texts() -> dict:
    """Return what the stored figure says, "leaves" and "questions", from the PNG's description."""
    with Image.open(FIGURE) as image:
        return json.loads(image.text["Description"])


def lesson_rows(text: str) -> str:
    """Return the README with each lesson's title, minutes and seconds as its notebook has them."""
    for lesson in map(notebooks.describe, notebooks.find()):
        name = lesson.path.name
        row = re.compile(rf"\[[^\]]*\]\((notebooks/{name})\) \|([^|]+)\| [\d ()]+ \| \d+ \|")
        times = lesson.times
        minutes = f"{times.core} ({times.everything})" if times.everything else times.core
        text = row.sub(rf"[{lesson.title}](\1) |\2| {minutes} | {times.seconds} |", text)
    return text


def lesson_questions() -> dict[str, str]:
    """Return the question that each lesson answers, by its notebook's name."""
    return {name: question.strip() for name, question in _ROW.findall(README.read_text("utf-8"))}


def write_scoreboard(rows: list[scoreboard.Row]) -> None:
    before, rest = README.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    taken = (
        "The course's trained `mnist_cnn` on its 1,000 test digits, and on the same digits dimmed, "
        "noisy, turned and shifted (*hard*; answers gained and lost against float32 there, and "
        f"McNemar's p). TensorFlow {version('tensorflow')}; "
        "latency: median for one image on one thread of "
        f"{platform.system()} {platform.machine()}. Yours will differ: `make lessons` measures it."
    )
    table = scoreboard.markdown(rows)
    files.write_atomic(README, f"{before}{BEGIN}\n{table}\n\n{taken}\n{END}{after}")


def write_figure(texts: dict) -> None:
    picture = io.BytesIO()
    figure = plots.decision_tree(values=texts["leaves"])
    figure.savefig(picture, dpi=100, metadata={"Description": json.dumps(texts)})
    plt.close(figure)
    files.write_atomic(FIGURE, picture.getvalue())


def main() -> None:
    rows = scoreboard.build(training.reference(), files.artifacts("scoreboard"))
    if "--volatile" in sys.argv or untimed(scoreboard.text(rows)) != untimed(stored()):
        write_scoreboard(rows)
    texts = {"leaves": leaf_texts(rows), "questions": questions()}
    if not FIGURE.exists() or texts != figure_texts():
        write_figure(texts)
    text = README.read_text(encoding="utf-8")
    if text != lesson_rows(text):
        files.write_atomic(README, lesson_rows(text))


if __name__ == "__main__":
    main()
