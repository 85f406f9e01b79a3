"""Write the folded solution behind each exercise of a lesson; the solutions notebook is its source.

In a solutions notebook an exercise begins with a Markdown cell. Its first paragraph repeats the
question behind the exercise's number in bold, ``**3.1** ...`` or ``**Exercise 1.1.** ...``; the
paragraphs after it explain the answer. All cells up to the next exercise are the solution.

A fold is a Markdown cell with ``{"fold": "3.1"}`` in its metadata, by which it is found and
replaced. Its code is what a learner may put in place of the exercise's cell: it calls the check
without the ``assert``, and imports what the lesson does not.
"""

import ast
import builtins
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import nbformat
from nbformat import NotebookNode

from lessons_lib.errors import InputError

KEY = "fold"  # the metadata of a fold: the number of its exercise
CHECK = re.compile(r"\bchecks\.(check_\w+)\(")
LABEL = re.compile(r"\*\*(?:Exercise )?(\d\d?\.\d+)\.?\*\*")
_CODE = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_PARAGRAPHS = re.compile(r"\n[ \t]*\n")
_ASSERTED = re.compile(r"^assert (checks\.check_\w+\(.*\))$", re.MULTILINE)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_SCOPES = (ast.FunctionDef, ast.ClassDef, ast.Lambda, *_COMPREHENSIONS)


@dataclass(frozen=True)
class Solution:
    """The exercise with this number: ``parts`` are (cell type, source), the explanation first."""

    number: str
    parts: list[tuple[str, str]]

    def code(self) -> str:
        return "\n".join(source for kind, source in self.parts if kind == "code")


def is_fold(cell: NotebookNode) -> bool:
    return cell.cell_type == "markdown" and KEY in cell.metadata


def checks_called(cell: NotebookNode) -> list[str]:
    """Return the names of the checks that a cell calls; they tie an exercise to its solution."""
    return CHECK.findall(cell.source) if cell.cell_type == "code" else []


def behind(lesson: NotebookNode, place: int) -> dict[str, str]:
    """Return the code of the folds behind the cell at ``place``, by the checks that they call."""
    found = {}
    for cell in itertools.takewhile(is_fold, lesson.cells[place + 1 :]):
        code = "\n".join(_CODE.findall(cell.source))
        found |= dict.fromkeys(CHECK.findall(code), code)
    return found


def write(lesson: NotebookNode, solved: NotebookNode) -> NotebookNode:
    """Put a fold behind each exercise of ``lesson`` that ``solved`` solves, and drop older folds.

    Only Markdown cells come and go; the lesson's other cells keep their outputs.
    Raises InputError when a solution does not have the form above, or needs an unknown name.
    """
    solutions, imports = _by_check(solved), _imports(solved)
    own = [cell for cell in lesson.cells if not is_fold(cell)]
    lesson.cells, names = [], set(dir(builtins))
    for cell in own:
        lesson.cells.append(cell)
        for solution in (solutions[check] for check in checks_called(cell) if check in solutions):
            fold = nbformat.v4.new_markdown_cell(_text(solution, names, imports))
            fold.metadata[KEY] = solution.number
            lesson.cells.append(fold)
        if cell.cell_type == "code":  # after its fold, which stands in its place
            names |= _bound(_top_level(parse(cell.source)))
    return lesson


def _by_check(solved: NotebookNode) -> dict[str, Solution]:
    """Return the solutions by the names of the checks that they call."""
    found = {}
    for solution in _solutions(solved):
        checks = CHECK.findall(solution.code())
        if len(checks) != 1:
            given = ", ".join(checks) or "no check"
            raise InputError(f"the solution of exercise {solution.number} calls {given}, not one")
        found[checks[0]] = solution
    return found


def _solutions(solved: NotebookNode) -> list[Solution]:
    """Cut the notebook at the cells that begin with an exercise's number."""
    found = []
    for cell in solved.cells:
        label = LABEL.match(cell.source) if cell.cell_type == "markdown" else None
        if label:
            found.append(Solution(label[1], [("markdown", _explanation(cell.source, label[1]))]))
        elif found:
            found[-1].parts.append((cell.cell_type, cell.source.strip()))
        elif checks := checks_called(cell):
            raise InputError(
                f"the solutions call {checks[0]} before any Markdown cell that begins with an "
                "exercise's number in bold, for example **3.1**"
            )
    return found


def _explanation(source: str, number: str) -> str:
    _question, *explanation = _PARAGRAPHS.split(source.strip(), maxsplit=1)
    if not explanation:
        raise InputError(
            f"the solution of exercise {number} has no explanation: give the question one "
            "paragraph, and the explanation the next"
        )
    return explanation[0].strip()


def _text(solution: Solution, names: set[str], imports: dict[str, str]) -> str:
    """Return a fold's Markdown; without the blank lines its inside would be taken for HTML."""
    parts = list(solution.parts)
    if needed := _needed(solution, names, imports):
        place = [kind for kind, _ in parts].index("code")
        parts[place] = ("code", "\n".join(needed) + "\n\n" + parts[place][1])
    inside = (
        "```python\n" + _ASSERTED.sub(r"\1", source) + "\n```" if kind == "code" else source
        for kind, source in parts
    )
    opening = f"<details>\n<summary>Solution of exercise {solution.number}</summary>"
    return "\n\n".join((opening, *inside, "</details>"))


def _needed(solution: Solution, names: set[str], imports: dict[str, str]) -> list[str]:
    """Return the imports that the solution's code needs where ``names`` are defined."""
    nodes = list(ast.walk(parse(solution.code())))
    used = {node.id for node in nodes if isinstance(node, ast.Name)}
    missing = sorted(used - _bound(nodes) - names)
    if unknown := [name for name in missing if name not in imports]:
        raise InputError(
            f"the solution of exercise {solution.number} uses {', '.join(unknown)}, which neither "
            "it nor the lesson defines before"
        )
    return sorted({imports[name] for name in missing}, key=lambda line: (line[:4] == "from", line))


def _imports(notebook: NotebookNode) -> dict[str, str]:
    """Return for each name that the notebook imports the statement that imports it alone."""
    found = {}
    sources = (cell.source for cell in notebook.cells if cell.cell_type == "code")
    for node in (node for source in sources for node in ast.walk(parse(source))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            start = f"from {node.module} " if isinstance(node, ast.ImportFrom) else ""
            for alias in node.names:
                found[_name(alias)] = f"{start}import {ast.unparse(alias)}"
    return found


def parse(source: str) -> ast.Module:
    """Return the syntax tree, an empty one for wrong syntax: the kernel has the words for that."""
    try:
        return ast.parse(source)
    except SyntaxError:
        return ast.Module([], [])


def _name(alias: ast.alias) -> str:
    return alias.asname or alias.name.partition(".")[0]


def _bound(nodes: Iterable[ast.AST]) -> set[str]:
    """Return the names that these nodes give a value to."""
    found = set()
    for node in nodes:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.alias):
            found.add(_name(node))
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.ExceptHandler):
            found.add(node.name)
    return found


def _top_level(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a cell that are not inside a function, class or comprehension."""
    for child in ast.iter_child_nodes(node):
        yield child
        if not isinstance(child, _SCOPES):
            yield from _top_level(child)
