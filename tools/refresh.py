"""Execute the notebooks and store their outputs: the only thing that writes outputs.

    python tools/refresh.py [NN ...] [--folder DIR] [--volatile] [--folds] [--times]

Without a folder it does the lessons and their solutions. A lesson also gets its solutions, folded
behind the exercises, and the minutes in its line of times; ``--folds`` and ``--times`` write these
alone and execute nothing. Its deeper sections are collapsed. A second run changes nothing: the
metadata and the cells' ids are fixed, no time is recorded, and a cell tagged ``volatile`` (for
example a timing) keeps the output it has, as long as its source is the one that made it;
``--volatile`` makes these outputs anew. A notebook with a failing cell is left as it was.
"""

import argparse
import copy
import hashlib
import re
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

import folds
import minutes
import sections
from lessons_lib import files, notebooks
from lessons_lib.errors import InputError, LessonError

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
# Under pytest, and so under nbval, ipykernel does not capture what C++ writes to descriptor 2.
# The stored outputs must be made the same way.
ENVIRONMENT = {"PYTEST_CURRENT_TEST": "tools/refresh.py", "PYTHONHASHSEED": "0"}
# JupyterLab's: the section below a text cell's heading is collapsed when the notebook is opened.
COLLAPSED = "jp-MarkdownHeadingCollapsed"
# JupyterLab's as well: of a cell's code only the first line is shown, and its output.
SHUT = {"jupyter": {"source_hidden": True}}
MADE_FROM = "made_from"  # a volatile cell's metadata: the digest of the source behind its output


def refresh(path: Path, volatile: bool = False) -> notebooks.Failure | None:
    """Execute ``path`` and write it with its outputs, or return the failure and write nothing."""
    stored = read(path)
    fresh = copy.deepcopy(stored)
    failure = notebooks.execute(fresh, path.parent, environment=ENVIRONMENT)
    if failure is not None:
        return failure
    for new, old in zip(fresh.cells, stored.cells, strict=True):
        if new.cell_type == "code":
            _tidy_tracebacks(new)
            _settle_volatile(new, old, volatile)
    minutes.write(fresh)
    write(fresh, path)
    return None


def read(path: Path) -> NotebookNode:
    """Return the notebook in ``path``, a lesson with the folds that its solutions give it now."""
    notebook, solved = notebooks.read(path), path.parent / "solutions" / path.name
    if not solved.exists():
        return notebook
    try:
        return folds.write(notebook, notebooks.read(solved))
    except InputError as error:
        raise InputError(f"{files.display_path(solved)}: {error}") from error


def write(notebook: NotebookNode, path: Path) -> None:
    """Write the notebook in its canonical form, if that changes the file."""
    text = nbformat.writes(canonical(notebook, path)) + "\n"
    if text != path.read_text(encoding="utf-8"):
        files.write_atomic(path, text)


def canonical(notebook: NotebookNode, path: Path) -> NotebookNode:
    """Give the notebook fixed metadata and ids made of its name and the cells' positions.

    Its deeper sections, and no others, are collapsed; so is the code of its quizzes.
    """
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for position, cell in enumerate(notebook.cells, 1):
        cell.id = f"{path.stem[:56]}-{position:03d}"
        for state in ("collapsed", "scrolled", "jupyter", "editable", COLLAPSED):
            cell.metadata.pop(state, None)
        if not cell.metadata.get("slideshow", {}).get("slide_type"):  # JupyterLab leaves it empty
            cell.metadata.pop("slideshow", None)
        if sections.begins_deeper(cell):
            cell.metadata[COLLAPSED] = True
        if is_quiz(cell):
            cell.metadata.update(nbformat.from_dict(SHUT))
    return notebook


def is_quiz(cell: NotebookNode) -> bool:
    """Whether a cell's code says the right answers of the quiz that it shows."""
    return cell.cell_type == "code" and cell.source.startswith("widgets.quiz(")


def _settle_volatile(new: NotebookNode, old: NotebookNode, volatile: bool) -> None:
    """Keep a volatile cell's stored output while its source is unchanged."""
    if "volatile" not in new.metadata.get("tags", []):
        new.metadata.pop(MADE_FROM, None)
        return
    digest = hashlib.sha256(new.source.encode()).hexdigest()[:16]
    if old.outputs and old.metadata.get(MADE_FROM) == digest and not volatile:
        new.outputs = old.outputs
        for output in new.outputs:
            if "execution_count" in output:
                output.execution_count = new.execution_count
    new.metadata[MADE_FROM] = digest


def _tidy_tracebacks(cell: NotebookNode) -> None:
    """Keep of an expected error its heading, the lesson's own frames and its message.

    The frames inside libraries hold paths of this machine, and say little to a learner.
    """
    colours = re.compile(r"\x1b\[[\d;]*m")
    for output in cell.outputs:
        if output.output_type == "error":
            frames = output.traceback[1:-1]
            own = [f for f in frames if colours.sub("", f).startswith("Cell In[")]
            output.traceback[1:-1] = own


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("numbers", nargs="*", metavar="NN", help="only these lessons")
    parser.add_argument("--folder", type=Path, help="only the notebooks of this folder")
    parser.add_argument("--volatile", action="store_true", help="make volatile outputs anew")
    parser.add_argument("--folds", action="store_true", help="only write the folded solutions")
    parser.add_argument("--times", action="store_true", help="only write the lines of times")
    arguments = parser.parse_args()
    try:
        failed = [_report(path, arguments) for path in _chosen(arguments)]
    except LessonError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return int(any(failed))


def _chosen(arguments: argparse.Namespace) -> list[Path]:
    if arguments.folder:
        return notebooks.find(arguments.numbers, arguments.folder)
    lessons = notebooks.find(arguments.numbers)
    twins = [path.parent / "solutions" / path.name for path in lessons]
    return [*lessons, *(twin for twin in twins if twin.exists())]


def _report(path: Path, arguments: argparse.Namespace) -> bool:
    failure, done = None, "written, not executed"
    if arguments.folds or arguments.times:
        notebook = read(path) if arguments.folds else notebooks.read(path)
        if arguments.times:
            minutes.write(notebook)
        write(notebook, path)
    else:
        failure, done = refresh(path, arguments.volatile), "refreshed"
    print(f"{files.display_path(path)}: {failure or done}", flush=True)
    return failure is not None


if __name__ == "__main__":
    sys.exit(main())
