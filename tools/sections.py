"""The sections of a notebook: which headings stand above a cell, and which sections are folded.

A section headed ``Deeper: ...`` is for those who want more. It ends at the next heading of its
height or above.
"""

import re
from collections.abc import Iterable, Iterator

from nbformat import NotebookNode

DEEPER = "Deeper: "
_HEADING = re.compile(r"(#{1,6}) (.+)")


def pieces(notebook: NotebookNode) -> Iterator[tuple[NotebookNode, str, list[str]]]:
    """Yield each cell's source, a text cell's cut at its headings, with the headings above.

    A heading is above itself, too.
    """
    trail: dict[int, str] = {}  # the headings above, by their level
    for cell in notebook.cells:
        for piece in [cell.source] if cell.cell_type == "code" else _cut(cell.source):
            heading = _HEADING.match(piece)
            if heading and cell.cell_type == "markdown":
                level = len(heading[1])
                trail = {n: text for n, text in trail.items() if n < level}
                trail[level] = heading[2].strip()
            yield cell, piece, [trail[level] for level in sorted(trail)]


def headings(notebook: NotebookNode) -> list[list[str]]:
    """Return for each cell the headings above its end."""
    found = {id(cell): above for cell, _, above in pieces(notebook)}
    return [found[id(cell)] for cell in notebook.cells]


def is_deeper(above: Iterable[str]) -> bool:
    """Whether one of the headings above is that of a deeper section."""
    return any(heading.startswith(DEEPER) for heading in above)


def begins_deeper(cell: NotebookNode) -> bool:
    """Whether a text cell begins with the heading of a deeper section."""
    heading = _HEADING.match(cell.source) if cell.cell_type == "markdown" else None
    return heading is not None and heading[2].startswith(DEEPER)


def _cut(source: str) -> Iterator[str]:
    """Cut a text before each of its headings; a line that begins with # in code is none."""
    piece, in_code = "", False
    for line in source.splitlines(keepends=True):
        if piece and not in_code and _HEADING.match(line):
            yield piece
            piece = ""
        in_code ^= line.startswith("```")
        piece += line
    yield piece
