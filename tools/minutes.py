"""How long a lesson takes to learn: computed from its notebook by one rule, not felt.

The rule is words / 180 + lines of code / 12 + 4 for a figure or table, in minutes, and for what
the learner does: 6 for an exercise, 12 for an open task; 3 for a blank in the middle of a lesson
where its solution types at most two lines that the lesson's cell does not give, else 6; 1 for a
prediction, a half for a question of the quiz. (With half of these, two first readers of eight
lessons needed about 1.7 times the minutes.) What stands in a section headed
``Deeper: ...`` counts for "with everything" only. What nobody reads does not count: folded
solutions, the references, imports; code, formulas and HTML inside the text; of a quiz and of a
prediction the words count, and not the code around them.
"""

import ast
import dataclasses
import re
from collections.abc import Iterator

from nbformat import NotebookNode

import folds
import sections
from lessons_lib import notebooks

WORDS, LINES = 180, 12  # a minute
PICTURE, EXERCISE, OPEN_TASK = 4, 6, 12  # minutes
BLANK, LONG_BLANK, PREDICTION, QUESTION = 3, 6, 1, 0.5
_SHORT = 2  # lines that are typed into a short blank
_FULL_EXERCISES = ("Exercises", "Your turn")  # the headings above them
_OPEN = "Open task"
_ASKED = (
    "widgets.quiz",
    "widgets.predict",
    "widgets.tally",
)  # what they show is read, not their code
_TABLE = re.compile(r"(?:^\s*\|.*\n?)+", re.MULTILINE)
_WORD = re.compile(r"\w+(?:[-'\u2019.,/]\w+)*")
CODE_AND_LATEX = r"```.*?```|``[^`]*``|`[^`]*`|\$\$.*?\$\$|\$[^$\n]*\$"
_NOT_READ = re.compile(
    CODE_AND_LATEX
    + r"|!\[[^\]]*\]\([^)]*\)|(?<=\])\([^)]*\)|https?://\S+"  # pictures and addresses
    r"|<!--.*?-->|</?\w[^>]*>|^\*Time: [^\n]*",  # HTML, the line of times
    re.DOTALL | re.MULTILINE,
)


def minutes(notebook: NotebookNode) -> tuple[float, float]:
    """Return the minutes of a lesson's core and those with everything."""
    core = deeper = 0.0
    for headings, read, done in _spent(notebook):
        if sections.is_deeper(headings):
            deeper += read + done
        elif "References" not in headings:
            core += read + done
    return core, core + deeper


def reading(notebook: NotebookNode) -> float:
    """Return the minutes of a lesson's core without what the learner does himself."""
    return sum(
        read
        for headings, read, _ in _spent(notebook)
        if not sections.is_deeper(headings) and "References" not in headings
    )


def deeper(notebook: NotebookNode) -> list[float]:
    """Return the minutes of each deeper section, in order; one inside another counts for it."""
    found: dict[str, float] = {}
    for headings, read, done in _spent(notebook):
        top = next((text for text in headings if text.startswith(sections.DEEPER)), None)
        if top:
            found[top] = found.get(top, 0.0) + read + done
    return list(found.values())


def by_section(notebook: NotebookNode) -> dict[str, tuple[float, float]]:
    """Return the minutes of each section, its core's and its deeper parts', by its heading.

    What stands above the first section is called "Beginning"; the references do not count.
    """
    found: dict[str, tuple[float, float]] = {}
    for headings, read, done in _spent(notebook):
        section = headings[1] if len(headings) > 1 else "Beginning"
        spent = (0, read + done) if sections.is_deeper(headings) else (read + done, 0)
        if "References" not in headings:
            before = found.get(section, (0.0, 0.0))
            found[section] = before[0] + spent[0], before[1] + spent[1]
    return found


def text(markdown: str) -> float:
    """Return the minutes to read a text."""
    return _text(_NOT_READ.sub(" ", markdown))


def write(notebook: NotebookNode) -> None:
    """Set a lesson's line of times to its minutes, rounded to 5; the seconds stay.

    A notebook without that line, for example one of solutions, stays as it is.
    """
    if times := notebooks.times(notebook):
        core, everything = map(rounded, minutes(notebook))
        new = dataclasses.replace(
            times,
            core=core,
            everything=everything if everything > core else None,
            machine=notebooks.MACHINE,
        )
        first = notebook.cells[0]
        first.source = notebooks.TIME_LINE.sub(lambda _: str(new), first.source, count=1)


def rounded(value: float) -> int:
    return 5 * round(value / 5)


def _spent(notebook: NotebookNode) -> Iterator[tuple[list[str], float, float]]:
    """Yield the headings above each piece of the notebook, its minutes to read and to do."""
    places = {id(cell): place for place, cell in enumerate(notebook.cells)}
    for cell, piece, above in sections.pieces(notebook):
        if cell.cell_type == "code":
            solutions = folds.behind(notebook, places[id(cell)])
            yield above, _code(cell), _exercises(cell, above, solutions) + _asked(cell)
        elif not folds.is_fold(cell):
            yield above, _text(_NOT_READ.sub(" ", piece)), 0.0


def _text(part: str) -> float:
    words = _WORD.findall(_TABLE.sub(" ", part))
    return len(words) / WORDS + PICTURE * len(_TABLE.findall(part))


def _code(cell: NotebookNode) -> float:
    tree = ast.parse(cell.source).body
    words = [_text(text) for node in tree if asks(node) for text in _strings(node)]
    imports = [node for node in tree if isinstance(node, ast.Import | ast.ImportFrom)]
    passed = {
        line
        for node in (*imports, *filter(asks, tree))
        for line in range(node.lineno, node.end_lineno + 1)
    }
    lines = [
        line
        for number, line in enumerate(cell.source.splitlines(), 1)
        if line.strip() and number not in passed
    ]
    return sum(words) + len(lines) / LINES + PICTURE * sum(map(_is_picture, cell.outputs))


def asks(statement: ast.stmt) -> bool:
    """Whether it makes a quiz, a prediction or a tally: these are read instead of its code."""
    value = getattr(statement, "value", None)
    return isinstance(value, ast.Call) and ast.unparse(value.func) in _ASKED


def _strings(node: ast.AST) -> Iterator[str]:
    constants = (n.value for n in ast.walk(node) if isinstance(n, ast.Constant))
    return (value for value in constants if isinstance(value, str))


def _exercises(cell: NotebookNode, headings: list[str], solutions: dict[str, str]) -> float:
    """Return the minutes of the exercises in a cell; ``solutions``: their code, by the check."""
    checks = folds.checks_called(cell)
    if any(heading.startswith(_OPEN) for heading in headings):
        return OPEN_TASK * len(checks)
    if any(heading.startswith(_FULL_EXERCISES) for heading in headings):
        return EXERCISE * len(checks)
    typed = (_typed(solutions.get(check, ""), cell.source) for check in checks)
    return sum(BLANK if lines <= _SHORT else LONG_BLANK for lines in typed)


def _asked(cell: NotebookNode) -> float:
    """Return the minutes of the predictions and the quiz in a cell."""
    calls = [n for n in ast.walk(ast.parse(cell.source)) if isinstance(n, ast.Call)]
    names = [ast.unparse(call.func) for call in calls]
    return PREDICTION * names.count("widgets.predict") + QUESTION * names.count("widgets.Question")


def _typed(solution: str, given: str) -> int:
    """Return the lines of code of ``solution`` that stand neither in ``given`` nor call a check."""
    stand = {line.strip().removesuffix(" ...") for line in given.splitlines()}
    lines = (line.strip() for line in solution.splitlines())
    return sum(
        line not in stand
        and not line.startswith(("#", "import ", "from "))
        and folds.CHECK.search(line) is None
        for line in lines
        if re.search(r"\w", line)  # a closing bracket is typed with the line that it closes
    )


def _is_picture(output: NotebookNode) -> bool:
    """Whether an output is a figure or a table; what has a script is a slider or a quiz."""
    data = output.get("data", {})
    html = data.get("text/html", "")
    return "image/png" in data or ("<table" in html and "<script" not in html)
