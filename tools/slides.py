"""Make slides of the lessons' own cells: ``make slides``, or ``make slides NN="0 3"``.

    python tools/slides.py [NUMBER ...] [--output DIR]

nbconvert's exporter for reveal.js writes a page for each lesson, by a template of our own; which
cells it shows says ``slides_cells``, what the speaker's view says ``slides_notes``. reveal.js and
MathJax are copied beside the pages, from ``node_modules``: nothing is fetched, and the folder can
be served, opened from a disk, or carried on a stick.
"""

import argparse
import html
import shutil
import sys
from pathlib import Path

import nbformat
from nbconvert.exporters import SlidesExporter
from nbformat import NotebookNode

import instructors
import slides_cells
import slides_notes
from lessons_lib import catalogue, files, notebooks
from lessons_lib.errors import InputError, LessonError

OUTPUT = files.ROOT / "book" / "_build" / "slides"
TEMPLATE = Path(__file__).parent / "slides_template"
NODE_MODULES = files.ROOT / "node_modules"
SERVED = {
    "reveal.js/dist/reveal.js": "reveal",
    "reveal.js/dist/reveal.css": "reveal",
    "reveal.js/dist/plugin/notes.js": "reveal",
    "reveal.js/LICENSE": "reveal",
    "mathjax/es5/tex-svg.js": "mathjax",
    "mathjax/LICENSE": "mathjax",
}
OWN = ("slides.css", "slides.js")
INDEX = "index.html"


def deck(path: Path) -> list[slides_cells.Slide]:
    """Return the slides of the lesson in ``path`` with the teacher's notes, its questions last."""
    number = int(path.name[:2])
    found = slides_cells.slides(notebooks.read(path))
    notes = slides_notes.read(number)
    question = nbformat.v4.new_markdown_cell(catalogue.QUESTIONS[path.name])
    question.metadata["tags"] = ["question"]
    found[0].parts.insert(0, slides_cells.Part(question, 0))
    _annotate(found, notes)
    for text, answer in notes.discuss:
        part = slides_cells.text_part(text)
        part.cell.metadata["tags"] = ["question"]
        said = [answer if answer.startswith("*Sample") else f"*Sample answer:* {answer}"]
        found.append(slides_cells.Slide("slide", "Discuss", "", [], [part], said))
    return found


def _annotate(found: list[slides_cells.Slide], notes: slides_notes.Notes) -> None:
    """Put each note on the first slide of its section or exercise, else on the lesson's first."""
    first = {}
    for slide in found:
        for heading in slide.headings:
            first.setdefault(instructors.slug(heading), slide)
        first.setdefault(slide.title.removeprefix(slides_cells.EXERCISE).strip(), slide)
    for anchor, said in notes.by_section.items():
        first.get(anchor, found[0]).notes[:0] = said
    for anchor, time in notes.minutes.items():
        if time and anchor in first:
            first[anchor].notes.insert(0, f"*About {time} min.*")


def notebook(found: list[slides_cells.Slide]) -> NotebookNode:
    """Return slides as a notebook in which each cell says what becomes of it."""
    made = nbformat.v4.new_notebook()
    for slide in found:
        above = html.escape(slides_cells.visible(slide.kicker))
        kicker = f'<p class="kicker">{above}</p>\n\n' if above else ""
        level = "#" if slide is found[0] else "##"
        title = nbformat.v4.new_markdown_cell(f"{kicker}{level} {slide.title}")
        title.metadata["slideshow"] = {"slide_type": slide.kind}
        made.cells += [title, *_joined(slide.parts)]
        if slide.notes:
            said = nbformat.v4.new_markdown_cell("\n\n".join(slide.notes))
            said.metadata["slideshow"] = {"slide_type": "notes"}
            made.cells.append(said)
    for place, cell in enumerate(made.cells):
        cell.id = f"part-{place:03}"  # the same at each build
    return made


def _joined(parts: list[slides_cells.Part]) -> list[NotebookNode]:
    """Return the cells of a slide, the items of a list again as one list."""
    cells: list[NotebookNode] = []
    for cell in (part.cell for part in parts):
        item = cell.cell_type == "markdown" and cell.source.startswith(("- ", "* "))
        if item and cells and cells[-1].source.startswith(("- ", "* ")) and not cell.metadata:
            cells[-1].source += f"\n{cell.source}"
        else:
            cells.append(cell)
    return cells


def page(path: Path) -> str:
    """Return the HTML page of a lesson's slides."""
    exporter = SlidesExporter(
        template_name=TEMPLATE.name,
        extra_template_basedirs=[str(TEMPLATE.parent)],
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        exclude_anchor_links=True,
        embed_images=True,  # where the notebook's folder is not, its pictures are not either
    )
    lesson = notebooks.describe(path)
    made = notebook(deck(path))
    made.metadata["title"] = f"{lesson.number}. {lesson.title}"
    named = {"metadata": {"name": path.stem, "path": str(path.parent)}}
    return exporter.from_notebook_node(made, resources=named)[0]


def build(output: Path, numbers: list[str] | None = None) -> list[Path]:
    """Write the slides of these lessons, or of all, into ``output``; return their pages.

    Raises InputError for a lesson that is not there, or when ``output`` holds anything but slides,
    which these would replace, and LessonError when ``node_modules`` lacks what is served.
    """
    lessons = notebooks.find(numbers or [])
    if output.exists() and any(output.iterdir()) and not (output / OWN[0]).exists():
        raise InputError(f"{files.display_path(output)} exists and holds no slides; name a new one")
    with files.atomic_directory(output) as folder:
        _serve_beside(folder)
        for path in lessons:
            (folder / f"{path.stem}.html").write_text(page(path), encoding="utf-8")
        (folder / INDEX).write_text(_index(lessons), encoding="utf-8")
    return [output / f"{path.stem}.html" for path in lessons]


def _serve_beside(folder: Path) -> None:
    for name, place in SERVED.items():
        if not (NODE_MODULES / name).exists():
            raise LessonError(
                f"node_modules/{name} is missing: run `make slides`, which installs it"
            )
        (folder / place).mkdir(exist_ok=True)
        shutil.copy(NODE_MODULES / name, folder / place)
    for name in OWN:
        shutil.copy(TEMPLATE / name, folder)


def _index(lessons: list[Path]) -> str:
    """Return a page that leads to the slides of each lesson."""
    rows = [
        f'<li><a href="{path.stem}.html">{int(path.name[:2])}. '
        f"{html.escape(notebooks.describe(path).title)}</a></li>"
        for path in lessons
    ]
    text = (TEMPLATE / INDEX).read_text(encoding="utf-8")
    return text.replace("{{ lessons }}", "\n".join(rows))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("numbers", nargs="*", help="lessons, such as 0 3; without any, all")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="where the slides go")
    given = parser.parse_args()
    output = given.output.absolute()
    try:
        made = build(output, given.numbers)
    except LessonError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    shown = files.display_path(output)
    print(f"{shown} has the slides of {len(made)} lessons. Open {shown}/{INDEX} in a browser,")
    print(f"or serve them: python3 -m http.server -d {shown}, and open http://localhost:8000/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
