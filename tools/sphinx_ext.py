"""The course's own part of Sphinx: links between lessons, and pages for those who cannot see.

The transforms turn "lesson 7" in the notebooks' text into a link, give the figures a text, and take
out of the pages what no reader should meet there.
"""

import ast
import html
import operator
import re

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.addnodes import pending_xref
from sphinx.transforms.post_transforms import SphinxPostTransform

import folds
import minutes


class LessonLinks(SphinxPostTransform):
    """Make "lesson 7" and the numbers of "lessons 4 to 7" in running text links to the lessons."""

    default_priority = 5  # before references are resolved
    _MENTION = re.compile(r"\b[Ll]essons? \d+(?:(?:, | and | to | or )\d+)*")

    def run(self, **kwargs) -> None:
        for text in list(self.document.findall(nodes.Text)):
            if self._is_prose(text) and self._MENTION.search(text):
                text.parent.replace(text, list(self._linked(text.astext())))

    @staticmethod
    def _is_prose(text: nodes.Text) -> bool:
        kinds = (nodes.literal, nodes.literal_block, nodes.reference, pending_xref, nodes.title)
        node = text.parent
        while node is not None:
            if isinstance(node, kinds):
                return False
            node = node.parent
        return True

    def _linked(self, words: str):
        end = 0
        for mention in self._MENTION.finditer(words):
            for number in re.finditer(r"(?:^[Ll]esson )?\d+", mention.group()):
                start = mention.start() + number.start()
                yield nodes.Text(words[end:start])
                yield self._link(number.group())
                end = start + len(number.group())
        yield nodes.Text(words[end:])

    def _link(self, words: str) -> nodes.Node:
        number = int(re.search(r"\d+", words).group())
        pages = [p for p in self.env.found_docs if p.startswith(f"notebooks/{number:02d}_")]
        if not pages or pages[0] == self.env.docname:
            return nodes.Text(words)
        address = self.app.builder.get_relative_uri(self.env.docname, pages[0])
        return nodes.reference("", words, refuri=address, internal=True)


class FigureTexts(SphinxPostTransform):
    """Give each figure of a cell a text: its cell's ``alt``, else the section it stands in."""

    default_priority = 5

    def run(self, **kwargs) -> None:
        for image in self.document.findall(nodes.image):
            if "alt" not in image:
                image["alt"] = said_of(image)


def said_of(image: nodes.image) -> str:
    """Return the text of a cell's figure, which the cell's metadata or its section gives."""
    node = image
    while node is not None and not isinstance(node, nodes.section):
        if said := node.get("cell_metadata", {}).get("alt"):
            return said
        node = node.parent
    section = node.next_node(nodes.title).astext() if node is not None else "of this page"
    return f"Figure in the section “{section}”"


class WidgetsWithoutCode(SphinxPostTransform):
    """Show quiz, prediction and tally without the code that makes them: it says the same again.

    A quiz's code holds the answers, too.
    """

    default_priority = 5

    def run(self, **kwargs) -> None:
        for block in list(self.document.findall(nodes.literal_block)):
            cell_input = block.parent
            of_cell = cell_input.get("nb_element") == "cell_code_source"
            if of_cell and only_asks(block.astext()):
                cell_input.parent.remove(cell_input)


def only_asks(source: str) -> bool:
    """Whether a cell's code does nothing but show a quiz, a prediction or a tally."""
    tree = folds.parse(source).body
    asks = [minutes.asks(statement) for statement in tree]
    shows = (isinstance(node, ast.Expr) and isinstance(node.value, ast.Name) for node in tree)
    return any(asks) and all(map(operator.or_, asks, shows))


class TablesWithoutEmptyHeads(SphinxPostTransform):
    """Make the empty head above a table's index a plain cell: a head must say something."""

    default_priority = 5
    _EMPTY = re.compile(r"<th([^>]*)>(?:&nbsp;)?</th>")

    def run(self, **kwargs) -> None:
        for raw in list(self.document.findall(nodes.raw)):
            if self._EMPTY.search(raw.astext()):
                tidy = self._EMPTY.sub(r"<td\1></td>", raw.astext())
                raw.parent.replace(raw, nodes.raw("", tidy, **raw.attributes))


def _open_hidden(writer, node: HideCodeCellNode) -> None:
    """A fold as the course's others: MyST-NB's has a label that is not what stands there."""
    shown = html.escape(node["prompt_show"])
    writer.body.append(f'<details class="hidden-code"><summary>{shown}</summary>\n')


def _close_hidden(writer, node: HideCodeCellNode) -> None:
    writer.body.append("</details>\n")


def setup(app) -> dict:
    app.add_node(HideCodeCellNode, override=True, html=(_open_hidden, _close_hidden))
    app.add_post_transform(TablesWithoutEmptyHeads)
    app.add_post_transform(WidgetsWithoutCode)
    app.add_post_transform(LessonLinks)
    app.add_post_transform(FigureTexts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
