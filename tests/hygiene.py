"""The rules that a lesson's notebook must keep: each takes a notebook and returns complaints.

A complaint names the cell as JupyterLab's reader finds it: "code cell 3" is the third code cell,
"text cell 2" the second Markdown cell.
"""

import ast
import base64
import copy
import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import nbformat
from nbformat import NotebookNode

import folds
import minutes
import notebook_names
import refresh
import sections
from lessons_lib import article, notebooks
from lessons_lib.course.widgets import predictions
from lessons_lib.course.widgets.quiz import _QUIZ_SCRIPT
from lessons_lib.course.widgets.slider import _SLIDER_SCRIPT
from lessons_lib.errors import InputError

HEADINGS = (
    "## You will be able to",
    "## Predict first",
    "## By hand",
    "## Exercises",
    "## Quiz",
    "## Key points",
    "## In practice",
    "## References",
)
# Lesson 0 runs the article: nothing in it is computed by hand, and its exercises are its blanks.
WITHOUT_IN_LESSON_0 = {"## By hand", "## Exercises"}
CHECKED, RAISES, VOLATILE = "nbval-check-output", "raises-exception", "volatile"
# test_article.py compares the cells that show the article's code, and asks for those of a verdict.
ARTICLE = {f"article:{part}" for part in ("space", "float16", "generator", "uint8")}
VERDICTS = {f"shows:{statement.key}" for statement in article.STATEMENTS}
# On the site such a cell shows a line that opens it; a first cell may have so many lines without.
HIDDEN, MAX_HEAD = "hide-input", 12
TAGS = {CHECKED, RAISES, VOLATILE, HIDDEN} | ARTICLE | VERDICTS
# On the site such a cell, of code or text, is shut until the reader has made the prediction.
EXPLAINS = "explains:"
MAX_READING, MAX_CORE = 25, 50  # minutes
MIN_ALT = 20  # letters
WIDGETS = {
    "lesson-prediction asks": predictions._ASK_SCRIPT,
    "lesson-prediction tells": predictions._OUTCOME_SCRIPT,
    "lesson-prediction counts": predictions._TALLY_SCRIPT,
    "lesson-quiz": _QUIZ_SCRIPT,
    "lesson-slider": _SLIDER_SCRIPT,
}
MAX_NOTEBOOK, MAX_PICTURE = 600_000, 100_000  # bytes


def listed(rule: Callable[..., Iterator[str]]) -> Callable[..., list[str]]:
    """Let a rule yield its complaints; who calls it gets a list."""
    return functools.wraps(rule)(lambda *given: list(rule(*given)))


def code(notebook: NotebookNode) -> Iterator[tuple[str, NotebookNode]]:
    """Yield ("code cell 1", cell), ..."""
    return ((f"code cell {n}", cell) for n, cell in enumerate(notebooks.code_cells(notebook), 1))


def text(notebook: NotebookNode) -> Iterator[tuple[str, NotebookNode]]:
    """Yield ("text cell 1", cell), ..."""
    cells = (cell for cell in notebook.cells if cell.cell_type == "markdown")
    return ((f"text cell {n}", cell) for n, cell in enumerate(cells, 1))


def tags(cell: NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", []))


def outputs(cell: NotebookNode, html: bool = True) -> Iterator[str]:
    """Yield the texts in a cell's stored outputs, with or without HTML; pictures have none."""
    for output in cell.outputs:
        yield output.get("text", "")
        yield output.get("evalue", "")
        yield re.sub(r"\x1b\[[\d;]*m", "", "\n".join(output.get("traceback", [])))
        data = output.get("data", {})
        without = ("image/",) if html else ("image/", "text/html")
        yield from (str(data[kind]) for kind in data if not kind.startswith(without))


def executed_in_order(notebook: NotebookNode) -> list[str]:
    """nbval passes over a cell that was never executed; a reader stumbles over it."""
    return [
        f"{where} has the number [{cell.execution_count}], expected [{n}]: run `make refresh`"
        for n, (where, cell) in enumerate(code(notebook), 1)
        if cell.execution_count != n
    ]


@listed
def errors_are_expected(notebook: NotebookNode) -> Iterator[str]:
    """Errors are in cells tagged raises-exception; these store one, and nbval compares it.

    Unless its output is checked as well, nbval is content when such a cell raises nothing.
    """
    for where, cell in code(notebook):
        raised = any(output.output_type == "error" for output in cell.outputs)
        if raised and RAISES not in tags(cell):
            yield f"{where} stores an error and is not tagged {RAISES}"
        if RAISES in tags(cell) and not raised:
            yield f"{where} is tagged {RAISES} and stores no error"
        if RAISES in tags(cell) and CHECKED not in tags(cell):
            yield f"{where} is tagged {RAISES}: tag it {CHECKED} as well"


def no_stderr(notebook: NotebookNode) -> list[str]:
    return [
        f"{where} stores text on stderr ({output.text.strip()[:60]!r}): use quiet(), or mend it"
        for where, cell in code(notebook)
        for output in cell.outputs
        if output.output_type == "stream" and output.name == "stderr"
    ]


_ABSOLUTE = re.compile(
    r"(?<![\w.:/~-])/(?:home|root|work|tmp|var|usr|opt|mnt|private|Users|content)/[\w.]"
    r"|\b[A-Z]:\\\w"
)


@listed
def no_absolute_path(notebook: NotebookNode) -> Iterator[str]:
    """A path of one machine is wrong on all others: show files.display_path(path)."""
    for where, cell in [*code(notebook), *text(notebook)]:
        shown = outputs(cell) if cell.cell_type == "code" else ()
        for words in (cell.source, *shown):
            if found := _ABSOLUTE.search(words):
                around = words[max(0, found.start() - 10) : found.end() + 30]
                yield f"{where} shows an absolute path: {around!r}"


def no_memory_address(notebook: NotebookNode) -> list[str]:
    """An address differs at each run, so each refresh would change the notebook."""
    return [
        f"{where} shows a memory address ({found.group()}): print something that stays"
        for where, cell in code(notebook)
        for words in outputs(cell)
        if (found := re.search(r"\bat 0x[0-9a-fA-F]{6,}", words))
    ]


@listed
def tags_are_known(notebook: NotebookNode) -> Iterator[str]:
    """A misspelt tag checks nothing and says nothing; nbval's comments work beside the tags."""
    explains = {f"{EXPLAINS}{number}" for number in _predictions(notebook).values()}
    for where, cell in [*code(notebook), *text(notebook)]:
        known = explains | (TAGS if cell.cell_type == "code" else set())
        if unknown := tags(cell) - known:
            yield f"{where} has the tags {unknown}; known are {sorted(known)}"
        if {CHECKED, VOLATILE} <= tags(cell):
            yield f"{where} is {CHECKED} and {VOLATILE}: it cannot be both"
        comment = re.search(r"^\s*#\s*(NBVAL|PYTEST_VALIDATE)_", cell.source, re.MULTILINE)
        if comment and cell.cell_type == "code":
            yield f"{where} holds an nbval comment: use a tag"


@listed
def head_is_folded(notebook: NotebookNode) -> Iterator[str]:
    """On the site a page does not begin with a screen of imports; and no other code is hidden."""
    for number, (where, cell) in enumerate(code(notebook)):
        lines = len(cell.source.splitlines())
        long_head = number == 0 and lines > MAX_HEAD
        if long_head and HIDDEN not in tags(cell):
            yield f"{where} begins the page with {lines} lines: tag it {HIDDEN}"
        if HIDDEN in tags(cell) and not long_head:
            yield f"{where} is tagged {HIDDEN}, which is for a first cell of over {MAX_HEAD} lines"


def _predictions(notebook: NotebookNode) -> dict[str, str]:
    """Return the numbers of the predictions that are asked, by the names that hold them."""
    return {
        ast.unparse(node.targets[0]): node.value.args[0].value
        for node in _statements(notebook)
        if isinstance(node, ast.Assign) and _is_call(node.value, "widgets.predict")
    }


def _statements(notebook: NotebookNode) -> Iterator[ast.stmt]:
    for _, cell in code(notebook):
        yield from folds.parse(cell.source).body


def _is_call(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == name


def checked_cells_have_output(notebook: NotebookNode) -> list[str]:
    return [
        f"{where} is tagged {CHECKED} and has no output to check"
        for where, cell in code(notebook)
        if CHECKED in tags(cell) and not cell.outputs
    ]


@listed
def plain_python(notebook: NotebookNode) -> Iterator[str]:
    """An unknown magic makes nbval skip the rest of a cell; a closing ``;`` means nothing to it."""
    for where, cell in code(notebook):
        if not cell.source.strip():
            yield f"{where} is empty"
        if re.search(r"^\s*[%!]", cell.source, re.MULTILINE):
            yield f"{where} uses a magic or a shell command: write Python"
        if cell.source.rstrip().endswith(";"):
            yield f"{where} ends with a semicolon: end a figure with plt.show()"


def headings_present(notebook: NotebookNode) -> list[str]:
    """Each heading of HEADINGS stands in the notebook as a line of its own, in this order."""
    lines = "\n".join(cell.source for _, cell in text(notebook)).splitlines()
    wanted = [h for h in HEADINGS if not (_is_lesson_0(notebook) and h in WITHOUT_IN_LESSON_0)]
    missing = [heading for heading in wanted if heading not in lines]
    if missing:
        return [f"no line `{heading}`" for heading in missing]
    order = sorted(wanted, key=lines.index)
    return [] if order == wanted else [f"headings in another order: {order}"]


def _is_lesson_0(notebook: NotebookNode) -> bool:
    return _number(notebook) == 0


def _number(notebook: NotebookNode) -> int | None:
    title = notebooks.TITLE.match(notebook.cells[0].source)
    return int(title[1]) if title else None


@listed
def title_and_time(notebook: NotebookNode, number: str) -> Iterator[str]:
    """The first cell is ``# NN. Title`` and the line of times."""
    first = notebook.cells[0]
    title = notebooks.TITLE.fullmatch(first.source.partition("\n")[0])
    if first.cell_type != "markdown" or title is None or title[1] != number:
        yield f"the first cell does not begin with `# {number}. Title`"
    times = notebooks.times(notebook)
    if times is None or times.machine != notebooks.MACHINE:
        line = f"*Time: N min · runs in about S s on {notebooks.MACHINE} · needs ...*"
        yield f"the first cell has no line `{line}`"


def minutes_are_computed(notebook: NotebookNode) -> list[str]:
    """The minutes in the line of times are those of the rule in ``tools/minutes.py``, to 20 %."""
    times = notebooks.times(notebook)
    if times is None:
        return []  # title_and_time says so
    core, everything = minutes.minutes(notebook)
    rows = ((times.core, core, ""), (times.everything or times.core, everything, ", all of it"))
    return [
        f"the line of times says {said} min{what}, computed are {computed:.0f}: run `make "
        "refresh`, or `python tools/refresh.py --times`"
        for said, computed, what in rows
        if abs(said - computed) > 0.2 * computed
    ]


@listed
def small_enough(notebook: NotebookNode) -> Iterator[str]:
    size = len(nbformat.writes(notebook).encode())
    if size > MAX_NOTEBOOK:
        yield f"the notebook has {size:,} bytes, more than {MAX_NOTEBOOK:,}"
    for where, cell in code(notebook):
        for output in cell.outputs:
            picture = len(base64.b64decode(output.get("data", {}).get("image/png", "")))
            if picture > MAX_PICTURE:
                yield f"{where} shows a PNG of {picture:,} bytes: at most 100,000"


def exercises(notebook: NotebookNode) -> list[str]:
    """Return the names of the checks that a notebook calls, in order: one for each exercise."""
    return [name for _, cell in code(notebook) for name in folds.checks_called(cell)]


def has_exercises(notebook: NotebookNode) -> list[str]:
    found, least = len(exercises(notebook)), 5 if _is_lesson_0(notebook) else 2
    what = f"{found} exercises (calls of checks.check_...)"
    return [] if found >= least else [f"{what}: at least {least}"]


@listed
def solutions_match(lesson: NotebookNode, solution: NotebookNode) -> Iterator[str]:
    """A lesson and its solutions call the same checks; these leave no ``...`` and assert each."""
    if exercises(lesson) != exercises(solution):
        given = f"{exercises(lesson)}, the solutions have {exercises(solution)}"
        yield f"the lesson's exercises are {given}"
    for where, cell in code(solution):
        if re.search(r"=\s*\.\.\.\s*(#.*)?$", cell.source, re.MULTILINE):
            yield f"{where} of the solutions leaves an answer open (`= ...`)"
        asserted = len(re.findall(r"^assert checks\.check_", cell.source, re.MULTILINE))
        if asserted < len(folds.checks_called(cell)):
            yield f"{where} of the solutions does not assert its check: a wrong one would pass"


def folds_match(lesson: NotebookNode, solution: NotebookNode) -> list[str]:
    """Behind each exercise stands its solution, as ``tools/folds.py`` writes it."""
    try:
        written = _folds(folds.write(copy.deepcopy(lesson), solution))
    except InputError as error:
        return [str(error)]
    stored = _folds(lesson)
    wrong = {number for number, *_ in (stored - written) + (written - stored)}
    return [
        f"the fold of exercise {number} is not what the solutions give: run `make refresh`, or "
        "`python tools/refresh.py --folds`"
        for number in sorted(wrong)
    ] + [
        f"the fold of exercise {number} stands below exercise {question}: number them alike"
        for number, _, question, _ in sorted(stored)
        if number != question
    ]


def _folds(lesson: NotebookNode) -> Counter[tuple[str, int, str, str]]:
    """Count the folds by number, place among the other cells, exercise above it, and text."""
    found, place, question = Counter(), 0, ""
    for cell in lesson.cells:
        if folds.is_fold(cell):
            found[cell.metadata[folds.KEY], place, question, cell.source] += 1
            continue
        place += 1
        if cell.cell_type == "markdown":
            question = [question, *folds.LABEL.findall(cell.source)][-1]
    return found


# Numbers that state nothing measured: the limits of the number types and the round ones.
_LIMITS = {127, 255, 32_767, 65_535, 65_504, 2_147_483_647}
_ROUND = {95, 99, 100, 1_000, 1_000_000}
_NOT_PROSE = re.compile(
    minutes.CODE_AND_LATEX
    + r"|!?\[[^\]]*\]\([^)]*\)|https?://\S+|<!--.*?-->|</?\w[^>]*>"  # links and HTML
    r"|^#+ [^\n]*|^\*Time: [^\n]*|^\s*\d+\. "  # headings, the line of times, numbered lists
    r"|\*\*(?:Exercise )?\d\d?\.\d\.?\*\*|\b(?:Exercise|Section|Figure|Table) \d[\d.]*"  # labels
    r"|\b(?:Python|TensorFlow|TF|Keras|LiteRT|NumPy|IEEE|CC BY(?:-SA)?) v?\d[\d.-]*"
    r"|\b\d+\.\d+\.\d+\b",  # versions
    re.DOTALL | re.MULTILINE,
)
_NUMBER = re.compile(
    r"(?<![\w.])(?:\d{1,3}(?:[,\u202f]\d{3})+|\d+)(?:\.\d+)?(?:e[+-]?\d+)?(?![\w.]*\d)",
    re.IGNORECASE,
)
_UNIT = re.compile(r"[\s\u00a0\u202f]?(%|kB|KiB|MB|MiB|thousand|million)(?!\w)")
_FACTORS = {
    "%": 100,
    "kB": 1e-3,
    "KiB": 1 / 1024,
    "thousand": 1e-3,
    "MB": 1e-6,
    "MiB": 1 / 1024**2,
    "million": 1e-6,
}


def prose_numbers_are_backed(notebook: NotebookNode) -> list[str]:
    """Each number in the prose is in a checked cell's output or in a cell that asserts.

    A number of the prose is backed when a number of the evidence rounds to it, also as a per cent
    or in kB. Free are integers up to 16, powers of two, the types' limits and a few round numbers,
    and what stands in code spans, LaTeX, links, headings or below ``## References``. A folded
    solution is passed over: it is the solutions' text, which is held against their own evidence.
    """
    evidence = _evidence(notebook)
    return [
        f"{where}: nothing checked or asserted gives {number:.15g} (an exercise's given numbers "
        "belong in code spans)"
        for where, prose in _prose(notebook)
        for number, decimals, factor in _numbers(prose)
        if not _is_free(number, decimals) and not _is_backed(number, decimals, factor, evidence)
    ]


def _prose(notebook: NotebookNode) -> Iterator[tuple[str, str]]:
    for where, cell in text(notebook):
        if folds.is_fold(cell):
            continue
        prose, references, _ = cell.source.partition(HEADINGS[-1])
        yield where, _NOT_PROSE.sub(" ", prose)
        if references:
            return


def _numbers(words: str) -> Iterator[tuple[float, int, float]]:
    """Yield each number without its sign, the decimals it is given with, and its unit's factor."""
    for found in _NUMBER.finditer(words):
        digits = re.sub(r"[,\u202f]", "", found.group())
        unit = _UNIT.match(words, found.end())
        mantissa, _, exponent = digits.lower().partition("e")
        decimals = len(mantissa.partition(".")[2]) - int(exponent or 0)
        yield float(digits), decimals, _FACTORS[unit[1]] if unit else 1.0


def _evidence(notebook: NotebookNode) -> list[float]:
    found = []
    for _, cell in code(notebook):
        if CHECKED in tags(cell):
            found += [
                number for words in outputs(cell, html=False) for number, _, _ in _numbers(words)
            ]
        tree = ast.parse(cell.source) if "assert" in cell.source else ast.Module([], [])
        if any(isinstance(node, ast.Assert) for node in ast.walk(tree)):
            constants = [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)]
            found += [float(value) for value in constants if type(value) in (int, float)]
    return found


def _is_free(number: float, decimals: int) -> bool:
    if decimals > 0:
        return number in (0.0, 0.5, 1.0)
    whole = int(number)
    return whole <= 16 or whole in _LIMITS | _ROUND or (whole & (whole - 1)) == 0


def _is_backed(number: float, decimals: int, factor: float, evidence: list[float]) -> bool:
    half = 0.5 * 10.0**-decimals * (1 + 1e-9)
    return any(abs(abs(value) * f - number) <= half for value in evidence for f in (1.0, factor))


@listed
def widgets_are_current(notebook: NotebookNode) -> Iterator[str]:
    """A stored widget has the script that the library gives it today."""
    for where, cell in code(notebook):
        for output in cell.outputs:
            shown = output.get("data", {}).get("text/html", "")
            wrong = [kind for kind in WIDGETS if f'class="{kind}"' in shown]
            if any(WIDGETS[kind] not in shown for kind in wrong):
                yield f"{where} stores an older widget: run `make refresh`"


def quizzes_are_shut(notebook: NotebookNode) -> list[str]:
    """In JupyterLab a quiz's code, which says the right answers, would stand above it."""
    return [
        f"{where} should hide its code in JupyterLab, or should not: run `make refresh`"
        for where, cell in code(notebook)
        if (cell.metadata.get("jupyter") == refresh.SHUT["jupyter"]) != refresh.is_quiz(cell)
    ]


@listed
def figures_have_a_text(notebook: NotebookNode) -> Iterator[str]:
    """Who cannot see a figure reads what it shows: the cell's metadata ``alt``, one sentence."""
    for where, cell in code(notebook):
        figures = any("image/png" in output.get("data", {}) for output in cell.outputs)
        said = cell.metadata.get("alt", "")
        if figures and len(said.strip()) < MIN_ALT:
            yield f'{where} shows a figure: its metadata lacks `"alt"`, a sentence of what it shows'
        if said and not figures:
            yield f"{where} has the text {said[:30]!r} and shows no figure"


# ---- what a lesson is built of


def core_is_short(notebook: NotebookNode) -> list[str]:
    core, read = minutes.minutes(notebook)[0], minutes.reading(notebook)
    what = f"the core takes {core:.1f} min, at most {MAX_CORE}, and {read:.1f} to read, at most "
    what += f"{MAX_READING}: move more below `## Deeper: ...`"
    return [what] if core > MAX_CORE or read > MAX_READING else []


@listed
def deeper_is_folded(notebook: NotebookNode) -> Iterator[str]:
    """JupyterLab and the site fold a section by the cell that its heading begins."""
    for cell, piece, _ in sections.pieces(notebook):
        if re.match(f"#+ {sections.DEEPER}", piece) and not sections.begins_deeper(cell):
            yield f"`{piece.splitlines()[0]}` stands in the middle of a cell: begin one with it"
    for where, cell in text(notebook):
        if sections.begins_deeper(cell) != cell.metadata.get(refresh.COLLAPSED, False):
            yield f"{where} begins a section that should be collapsed, or is: run `make refresh`"


def _checks_of_core(notebook: NotebookNode) -> Iterator[tuple[list[str], str]]:
    """Yield for each check that the core calls the headings above it, and the last text."""
    last = ""
    for cell, above in zip(notebook.cells, sections.headings(notebook), strict=True):
        if cell.cell_type == "markdown" and not folds.is_fold(cell):
            last = cell.source
        if not sections.is_deeper(above):
            yield from ((above, last) for _ in folds.checks_called(cell))


def asks_in_the_middle(notebook: NotebookNode) -> list[str]:
    """In the core, above its exercises, the learner writes the step that the lesson is about."""
    found = sum("Exercises" not in above for above, _ in _checks_of_core(notebook))
    what = f"{found} checks called above `## Exercises` and outside deeper sections: at least 2"
    return [what] if found < 2 and _number(notebook) in range(1, 15) else []


@listed
def ends_with_an_open_task(notebook: NotebookNode) -> Iterator[str]:
    """The core's last exercise is about something that no page has shown before."""
    if _is_lesson_0(notebook):
        return
    found = [place for place in _checks_of_core(notebook) if "Exercises" in place[0]]
    above, question = found[-1] if found else ([], "")
    if not any(heading.startswith("Open task: ") for heading in above):
        yield "the last exercise of the core does not stand below `### Open task: ...`"
    elif not re.search(rf"{folds.LABEL.pattern} \*Open task\.\*", question):
        yield f"the open task's question is not labelled `**N.k** *Open task.*`: {question[:60]!r}"


@listed
def predictions_count(notebook: NotebookNode) -> Iterator[str]:
    """Each prediction gets its outcome, computed and not typed; one tally counts them all."""
    asked = _predictions(notebook)
    nodes = [node for statement in _statements(notebook) for node in ast.walk(statement)]
    calls = {ast.unparse(n.func): n for n in nodes if isinstance(n, ast.Call)}
    if not asked:
        yield 'no prediction: `name = widgets.predict("NN.k", question, options)`'
    for name, number in asked.items():
        answer = calls.get(f"{name}.outcome")
        if answer is None:
            yield f"prediction {number} gets no outcome: `{name}.outcome(index)`"
        elif not any(isinstance(n, ast.Name) for a in answer.args for n in ast.walk(a)):
            yield f"the outcome of prediction {number} is typed, not computed"
        if number.partition(".")[0] != f"{_number(notebook) or 0:02d}":
            yield f"prediction {number} has another lesson's number"
    tallies = [node for node in nodes if _is_call(node, "widgets.tally")]
    counted = [[ast.unparse(argument) for argument in node.args] for node in tallies]
    if asked and counted != [list(asked)]:
        yield f"asked is one `widgets.tally({', '.join(asked)})`; found are {counted}"


@listed
def outcomes_wait(notebook: NotebookNode) -> Iterator[str]:
    """An outcome stays shut on the site until a choice was made; nbval does not compare it."""
    asked = _predictions(notebook)
    for where, cell in code(notebook):
        for name in re.findall(r"^(\w+)\.outcome\(", cell.source, re.MULTILINE):
            number = asked.get(name)
            if number and f"{EXPLAINS}{number}" not in tags(cell):
                yield f"{where} tells the outcome of {number}: tag it `{EXPLAINS}{number}`"
            if CHECKED in tags(cell):
                yield f"{where} shows a widget and is tagged {CHECKED}: that would be compared"
    for where, cell in text(notebook):
        explains = any(tag.startswith(EXPLAINS) for tag in tags(cell))
        if explains and re.search(r"\n#+ ", cell.source):
            yield f"{where} waits for a choice, and so would the section that it begins: split it"


@listed
def names_are_not_reused(notebook: NotebookNode) -> Iterator[str]:
    """Any cell can be run twice, and in any order behind those that it needs.

    So a name that several cells bind is read only behind a binding in the same cell, and no cell
    changes what another has bound (``x = x + 1``). The article's cells are quoted as they stand:
    what they bind and read does not count.
    """
    own = [(where, cell) for where, cell in code(notebook) if not tags(cell) & ARTICLE]
    cells = {where: notebook_names.of(cell.source) for where, cell in own}
    binders = notebook_names.binders(cells)
    for where, names in cells.items():
        for name in sorted(names.reads):
            bound_by = binders.get(name, {})
            if where in bound_by:
                yield f"{where} reads {name!r} before it binds it: give the new value a name"
            elif _differ(bound_by.values()):
                others = " and ".join(bound_by)
                yield f"{where} reads {name!r}, which {others} bind: name them apart"


def _differ(binders: Iterable[str]) -> bool:
    """Whether a name is bound to several things; the same import twice is one."""
    found = list(binders)
    return len(found) > 1 and (len(set(found)) > 1 or not found[0])


@listed
def core_needs_no_deeper_name(notebook: NotebookNode) -> Iterator[str]:
    """Who leaves the deeper sections shut can run the core."""
    above = zip(notebook.cells, sections.headings(notebook), strict=True)
    shut = {id(cell) for cell, headings in above if sections.is_deeper(headings)}
    deeper = {where for where, cell in code(notebook) if id(cell) in shut}
    cells = {where: notebook_names.of(cell.source) for where, cell in code(notebook)}
    binders = notebook_names.binders(cells)
    for where in cells:
        for name in sorted(cells[where].reads if where not in deeper else ()):
            if name in binders and binders[name].keys() <= deeper:
                yield f"{where} needs {name!r}, which only a deeper section binds"


LESSON_RULES = (
    headings_present,
    has_exercises,
    minutes_are_computed,
    core_is_short,
    deeper_is_folded,
    asks_in_the_middle,
    ends_with_an_open_task,
    predictions_count,
    outcomes_wait,
    names_are_not_reused,
    core_needs_no_deeper_name,
)
RULES = (
    executed_in_order,
    errors_are_expected,
    no_stderr,
    no_absolute_path,
    no_memory_address,
    tags_are_known,
    head_is_folded,
    checked_cells_have_output,
    plain_python,
    prose_numbers_are_backed,
    small_enough,
    widgets_are_current,
    quizzes_are_shut,
    figures_have_a_text,
)
