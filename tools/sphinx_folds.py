"""The site's folds: deeper sections, and what gives a prediction's result away.

A section headed ``Deeper: ...`` is shown as its heading and a fold, which says how long it takes.
A cell tagged ``explains:04.1`` stands in a box that ``lesson.js`` shuts until the reader has made
prediction 04.1. Both are open to who has no JavaScript, and in print.
"""

import html
import itertools

from docutils import nodes
from nbformat import NotebookNode
from sphinx.transforms.post_transforms import SphinxPostTransform

import minutes
import sections
from lessons_lib import notebooks

EXPLAINS = "explains:"
_CELL = 10_000  # MyST-NB counts a notebook's lines in steps of this, one a cell; the first is 1


class FoldedSections(SphinxPostTransform):
    """Fold each section headed "Deeper: ..."; one inside another stays open in it."""

    default_priority = 7  # when boxes and links stand

    def run(self, **kwargs) -> None:
        if not (notebook := _notebook(self)):
            return
        folded = [section for section in self.document.findall(nodes.section) if _is_top(section)]
        for section, spent in zip(folded, minutes.deeper(notebook), strict=True):
            about = f"Read this part (about {max(1, round(spent))} min)"
            title, *rest = section.children
            section.children = []
            section += [title, _raw(f'<details class="deeper"><summary>{about}</summary>')]
            section += [*rest, _raw("</details>")]


class Explanations(SphinxPostTransform):
    """Put what explains a prediction's result into a box of its own; headings stay outside."""

    default_priority = 6

    def run(self, **kwargs) -> None:
        if not (notebook := _notebook(self)):
            return
        explained = [_explained(cell) for cell in notebook.cells]
        for section in list(self.document.findall(nodes.section)):
            self._wrap(section, explained)

    @staticmethod
    def _wrap(section: nodes.section, explained: list[str]) -> None:
        numbers, last = [], ""
        for child in section.children:
            place = child.get("cell_index") if "cell_index" in child else (child.line or 0) // _CELL
            if "cell_index" not in child:
                place -= 1
            last = explained[place] if place >= 0 else last
            numbers.append("" if isinstance(child, nodes.title | nodes.section) else last)
        children, section.children = section.children, []
        pairs = zip(numbers, children, strict=True)
        for number, group in itertools.groupby(pairs, key=lambda pair: pair[0]):
            inside = [child for _, child in group]
            if number:
                box = f'<div class="explains" data-prediction="{html.escape(number)}">'
                inside = [_raw(box), *inside, _raw("</div>")]
            section += inside


def _notebook(transform: SphinxPostTransform) -> NotebookNode | None:
    path = transform.env.doc2path(transform.env.docname)
    return notebooks.read(path) if str(path).endswith(".ipynb") else None


def _is_top(section: nodes.section) -> bool:
    above = []
    while isinstance(section, nodes.section):
        above.append(section.next_node(nodes.title).astext())
        section = section.parent
    return sections.is_deeper(above[:1]) and not sections.is_deeper(above[1:])


def _explained(cell: NotebookNode) -> str:
    """Return the number of the prediction whose result a cell gives away, or nothing."""
    found = [tag for tag in cell.metadata.get("tags", []) if tag.startswith(EXPLAINS)]
    return found[0].removeprefix(EXPLAINS) if found else ""


def _raw(text: str) -> nodes.raw:
    return nodes.raw("", text, format="html")


def _add_script(app, page: str, template: str, context: dict, document: nodes.document) -> None:
    """Load ``lesson.js`` on the lessons' pages, before they are drawn."""
    if page.startswith("notebooks/"):
        app.add_js_file("lesson.js", loading_method=None)


def setup(app) -> dict:
    app.add_post_transform(FoldedSections)
    app.add_post_transform(Explanations)
    app.connect("html-page-context", _add_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
