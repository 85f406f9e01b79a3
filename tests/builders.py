"""Small notebooks for the tests of everything that reads or runs notebooks."""

from pathlib import Path

import nbformat
from nbformat import NotebookNode

from lessons_lib import notebooks


def code(source: str, *tags: str) -> NotebookNode:
    return nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)})


def markdown(source: str) -> NotebookNode:
    return nbformat.v4.new_markdown_cell(source)


def notebook(*cells: NotebookNode) -> NotebookNode:
    return nbformat.v4.new_notebook(cells=list(cells))


def write(path: Path, *cells: NotebookNode) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook(*cells), path)
    return path


def execute(path: Path, *cells: NotebookNode) -> Path:
    """Write a notebook with the outputs that its cells really have."""
    content = notebook(*cells)
    assert notebooks.execute(content, path.parent) is None
    nbformat.write(content, path)
    return path
