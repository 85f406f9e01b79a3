"""The rule by which a lesson's cells become slides.

- A heading begins a slide: ``##`` one to the right, ``###`` one below. So do an exercise, a
  prediction, a figure and each question of a quiz; what no longer fits goes on one below.
- The core alone is shown. What is headed *Deeper*, the references, the tally of predictions, the
  imports and what stands by them up to the next heading, the set-up, are left out; a folded
  solution has a slide behind its exercise, if it is short.
- Code is shown up to ``LINES`` lines, never beside a figure, and beside a table where both fit.
- A paragraph is shown up to ``WORDS`` words, whole sentences; remarks in parentheses are not.

What a slide leaves out of its text stands in the speaker's notes. Where the rule fails, the cell
says so: ``{"slideshow": {"slide_type": "skip"}}`` and ``notes`` take it off the slides, ``slide``
and ``subslide`` begin one at it, ``fragment`` shows it later, and ``-`` shows it whatever the rule.
"""

import ast
import base64
import dataclasses
import html
import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

import nbformat
from nbformat import NotebookNode

import folds
import sections
from lessons_lib.errors import InputError

TYPES = ("slide", "subslide", "fragment", "skip", "notes", "-")
LINES, WORDS = 12, 45
EXERCISE = "Your turn:"  # an exercise's slide
OUTPUT_LINES = 12
# A slide is 1280 x 720; these are the sizes of slides.css, in pixels. What stands below a title of
# one line, with a heading above it, has ``BODY``.
_PAGE, _TITLE_LINE, _TITLE_COLUMNS, _KICKER = 640, 52, 44, 28
BODY = _PAGE - _TITLE_LINE - _KICKER
_TEXT_LINE, _TEXT_COLUMNS, _GAP = 42, 68, 16
# Code: the columns that a type holds, a line's height, its class; only printed tables are small.
_CODE = ((72, 36, ""), (88, 30, "small-code"), (104, 26, "table-code"))
_CODE_FRAME = 36
_ROW, _SMALL_ROW, _SMALL_LINE, _TABLE_COLUMNS, _TABLE_WRAP = 46, 8, 28, 64, 84
_FORMULA, _BRACE, _INLINE = 110, 60, 8
_WIDTH, _ASKED_LINE, _ASKED_COLUMNS, _ASKED_GAP = 1168, 44, 56, 12
# What is true on the lesson's page alone.
_PAGE_ONLY = ("*Time: ", "Solutions are folded", "Each solution is folded", "<div", "<script")

_HEADING = re.compile(r"(#{1,6}) (.+)\n*")
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:)[^)]*\)")  # to a page beside the notebook
_ITEM = re.compile(r"(?:[-*]|\d+\.) ")
_ANSI = re.compile(r"\x1b\[[\d;]*m")
_SENTENCE = re.compile(r"[.!?][*)\"”]* +(?=[A-Z`*$(\[\"“])")
_SETTLED = re.compile(r"^no answer yet: with the course's own\n?", re.MULTILINE)
_OPEN_EXERCISE = re.compile(r"Exercise [\d.]+: not attempted")
_QUESTION = re.compile(r"<fieldset data-correct.*?</fieldset>", re.DOTALL)
_ANSWER = re.compile(r"<li>.*?</li>", re.DOTALL)
_ROWS = re.compile(r"<tr.*?</tr>", re.DOTALL)
_CELLS = re.compile(r"<t[hd][^>]*>(.*?)</t[hd]>", re.DOTALL)


@dataclass
class Part:
    """What a slide shows: a cell, and the pixels that it needs."""

    cell: NotebookNode
    height: float


@dataclass
class Slide:
    """One slide: ``kind`` as in ``slide_type``, what it shows, what is said.

    ``headings`` are those of the lesson that it stands for; above the title is shown ``kicker``.
    """

    kind: str
    title: str
    kicker: str
    headings: list[str]
    parts: list[Part] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    full: bool = False

    @property
    def room(self) -> float:
        """The pixels below its title."""
        lines = -(-len(self.title) // _TITLE_COLUMNS)
        return _PAGE - _TITLE_LINE * lines - (_KICKER if self.kicker else 0)

    @property
    def left(self) -> float:
        """The pixels that are left on it."""
        return 0 if self.full else self.room - sum(part.height for part in self.parts)

    @property
    def is_text(self) -> bool:
        """Whether it shows text alone."""
        return all(part.cell.cell_type == "markdown" for part in self.parts)


def slides(notebook: NotebookNode) -> list[Slide]:
    """Return a lesson's slides, in order; raises InputError for a slide type that is none."""
    deck, set_up = _Deck(), False  # what stands by the imports, up to a heading, is no slide either
    for cell, piece, above in sections.pieces(notebook):
        own = own_type(cell)
        heads = cell.cell_type == "markdown" and _HEADING.match(piece)
        set_up = _is_import(cell) or (set_up and not heads)
        if own == "notes" or (set_up and not own and cell.cell_type == "markdown"):
            deck.say(piece)
        elif own or (not set_up and own != "skip" and is_shown(cell, above)):
            if own in ("slide", "subslide"):
                deck.begin(own)
            if own != "skip":
                _show(deck, cell, piece, own)
    return _joined([slide for slide in deck.slides if slide.parts])


def _joined(found: list[Slide]) -> list[Slide]:
    """Take a text onto the slide of the exercise behind it, where both fit."""
    joined: list[Slide] = []
    for slide in found:
        last = joined[-1] if joined else None
        if last and slide.title.startswith(EXERCISE) and last.is_text and not last.full:
            parts = last.parts + slide.parts
            both = dataclasses.replace(slide, kind=last.kind, kicker=last.title, parts=parts)
            both.headings, both.notes = last.headings + slide.headings, last.notes + slide.notes
            # The lesson's first slides stay what they are.
            if len(joined) > 2 and sum(part.height for part in parts) <= both.room:
                joined.pop()
                slide = both
        joined.append(slide)
    return joined


def own_type(cell: NotebookNode) -> str:
    """Return the slide type that a cell's metadata gives it, or nothing."""
    found = cell.metadata.get("slideshow", {}).get("slide_type", "")
    if found and found not in TYPES:
        raise InputError(
            f"slide_type is one of {', '.join(TYPES)}; cell {cell.id} has {found!r}: choose one in "
            "JupyterLab's Property Inspector, Slide Type"
        )
    return found


def is_shown(cell: NotebookNode, above: Iterable[str]) -> bool:
    """Whether the rule shows a cell that stands below these headings."""
    above = list(above)
    if sections.is_deeper(above) or "References" in above:
        return False
    tallies = cell.cell_type == "code" and "widgets.tally(" in cell.source
    return not tallies and not _is_import(cell) and not _imports_alone(cell)


def _is_import(cell: NotebookNode) -> bool:
    return "hide-input" in cell.metadata.get("tags", [])


def _imports_alone(cell: NotebookNode) -> bool:
    tree = folds.parse(cell.source).body if cell.cell_type == "code" else []
    return bool(tree) and all(isinstance(node, ast.Import | ast.ImportFrom) for node in tree)


class _Deck:
    """The slides so far; the last one is written on."""

    def __init__(self):
        self.slides: list[Slide] = []
        self.section = self.title = ""

    def head(self, level: int, title: str) -> None:
        """Begin a slide at a heading of the lesson."""
        self.title = title
        if level <= 2:
            self.section = title
        self.begin("slide" if level <= 2 else "subslide")

    def begin(self, kind: str, title: str = "") -> Slide:
        """Begin a slide; one that shows nothing is given up, and leaves its notes and kind."""
        last = self.slides[-1] if self.slides else None
        title = title or self.title
        kicker = self.section if title != self.section else ""
        slide = Slide(kind, title, kicker, [self.section, self.title])
        if last and not last.parts:
            self.slides.pop()
            slide.kind = last.kind if last.kind == "slide" else kind
            slide.notes, slide.headings = last.notes, last.headings + slide.headings
        self.slides.append(slide)
        return slide

    def add(self, *parts: Part) -> None:
        """Show these on one slide if one can hold them, else one after the other."""
        here, height = self.slides[-1], sum(part.height for part in parts)
        if height > BODY and len(parts) > 1:
            for part in parts:
                self.add(part)
        elif here.full or (here.parts and height > here.left):
            led = self._leading(parts)
            self.begin("subslide").parts += [*led, *parts]
        else:
            here.parts += parts

    def _leading(self, parts: Sequence[Part]) -> list[Part]:
        """Take from the slide the last words, which lead to what comes, unless they are all."""
        before = self.slides[-1].parts
        if self.slides[-1].full or len(before) < 2 or before[-1].cell.cell_type != "markdown":
            return []
        to_code = parts[0].cell.cell_type == "code" and not self.slides[-1].is_text
        fits = before[-1].height + sum(part.height for part in parts) <= BODY
        leads = to_code or before[-1].cell.source.endswith(":")
        return [before.pop()] if leads and fits else []

    def say(self, text: str) -> None:
        self.slides[-1].notes.append(text)


def _show(deck: _Deck, cell: NotebookNode, piece: str, own: str) -> None:
    if folds.is_fold(cell):
        _solution(deck, cell)
    elif cell.cell_type == "markdown":
        _text(deck, piece)
    elif cell.cell_type == "code":
        _code(deck, cell, whole=bool(own))
    if own == "fragment":
        deck.slides[-1].parts[-1].cell.metadata["slideshow"] = {"slide_type": "fragment"}


# ---- text


def _text(deck: _Deck, piece: str) -> None:
    if heading := _HEADING.match(piece):
        deck.head(len(heading[1]), heading[2])
        piece = piece[heading.end() :]
    for block in blocks(piece):
        if block.startswith(_PAGE_ONLY):
            continue
        if label := folds.LABEL.match(block):
            deck.begin("subslide", f"{EXERCISE} {label[1]}")
        shown = shortened(block)
        if shown != block:
            deck.say(f"*In the lesson:* {block}")
        if shown:
            deck.add(text_part(shown))


def blocks(text: str) -> Iterator[str]:
    """Cut a text at its blank lines, and a list into its items; code and formulas stay whole."""
    for block in re.split(r"\n[ \t]*\n(?![ \t])", flat(text).strip()):
        if _ITEM.match(block):
            yield from re.split(r"\n(?=(?:[-*]|\d+\.) )", block)
        elif block.strip():
            yield block


def flat(text: str) -> str:
    """Return a text without links to other pages of the course, which no slide stands beside."""
    return _LINK.sub(r"\1", text)


def shortened(block: str) -> str:
    """Return the first sentences of a paragraph or item, up to ``WORDS`` words; others stay."""
    if not re.match(r"[\w`*$(\"“-]", block) or block.startswith(("```", "$$", "<")):
        return block
    kept = ""
    for sentence in _sentences(block):
        if kept and len((kept + sentence).split()) > WORDS:
            break
        if not (sentence.startswith("(") and sentence.rstrip().endswith(")")):
            kept += sentence
    return kept.strip()


def _sentences(text: str) -> Iterator[str]:
    """Cut a paragraph behind its sentences, never inside code, a formula, bold or parentheses."""
    begin = 0
    for end in (match.end() for match in _SENTENCE.finditer(text)):
        part = text[begin:end]
        whole = all(part.count(mark) % 2 == 0 for mark in ("`", "$", "*", "**"))
        if whole and part.count("(") == part.count(")") and not part.endswith(("e.g. ", "i.e. ")):
            yield part
            begin = end
    yield text[begin:]


def text_part(block: str) -> Part:
    """Return a paragraph, an item, a formula, a table or a picture as a part of a slide."""
    cell = nbformat.v4.new_markdown_cell(block)
    if block.startswith("|"):
        lines = block.splitlines()
        small, height, count = _table([visible(row).strip("|").split("|") for row in lines])
        if count < len(lines):
            cell.source = "\n".join([*lines[:count], "", _more(len(lines) - count)])
        return Part(_classed(cell, "small-table" if small else ""), height)
    if "![" in block:
        return Part(_classed(cell, "figure"), BODY)
    if block.startswith("```"):
        return Part(cell, _code_size(block.splitlines()[1:-1])[1] + _GAP)
    formulas = block.count("$$") // 2
    text = re.sub(r"\$\$.*?\$\$", "", block, flags=re.DOTALL)
    seen = visible(text)
    columns = _TEXT_COLUMNS - 3 if _ITEM.match(block) else _TEXT_COLUMNS
    lines = sum(-(-len(line) // columns) for line in _paragraphs(seen)) if seen.strip() else 0
    tall = _BRACE * (r"\underbrace" in block) + _INLINE * min(lines, text.count("$") // 2)
    return Part(cell, _FORMULA * formulas + tall + _TEXT_LINE * lines + _GAP)


def _paragraphs(text: str) -> list[str]:
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n|\n(?=\s*[-*] )", text)]


def visible(text: str) -> str:
    """Return about what a reader sees of a text."""
    text = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"\$([^$]*)\$", lambda found: re.sub(r"\\\w+|[{}_^]", "x", found[1]), text)
    return text.replace("**", "").replace("`", "")


def _solution(deck: _Deck, fold: NotebookNode) -> None:
    """Show a folded solution behind its exercise, in the notes if it is long."""
    inside = re.sub(r"</?(details|summary)>|Solution of exercise [\d.]+", "", fold.source).strip()
    code = re.findall(r"```python\n(.*?)```", inside, re.DOTALL)
    if len(code) != 1 or _count(code[0]) > LINES:
        deck.say(f"**Solution.** {inside}")
        return
    deck.begin("subslide", f"Solution of {fold.metadata[folds.KEY]}")
    for block in blocks(inside.partition("```python")[0]):
        deck.add(text_part(shortened(block)))
    deck.add(source_part(nbformat.v4.new_code_cell(code[0].strip())))
    deck.slides[-1].full = True


# ---- code and what it shows


def _code(deck: _Deck, cell: NotebookNode, whole: bool) -> None:
    shown = list(outputs(cell))
    widgets = [out for out in shown if is_widget(out)]
    figures = [out for out in shown if "image/png" in out.get("data", {})]
    rest = [output_part(out) for out in shown if out not in widgets and out not in figures]
    code = [] if widgets or figures else _source(cell, whole)
    if code and rest and code[0].height + sum(part.height for part in rest) > BODY and not whole:
        tables = any(out.get("data", {}) for out in shown)
        code = [] if tables else code
    if not code and not widgets:
        deck.say(f"Not on the slide: {_count(cell.source)} lines of code.")
    deck.add(*code, *rest)
    for out in figures:
        deck.add(figure_part(out, cell.metadata.get("alt", "")))
    for out in widgets:
        _widget(deck, out["data"]["text/html"])
    if folds.checks_called(cell):
        deck.slides[-1].full = True


def _source(cell: NotebookNode, whole: bool) -> list[Part]:
    lines = _count(cell.source)
    return [source_part(cell)] if cell.source and (whole or lines <= LINES) else []


def _count(source: str) -> int:
    return sum(bool(line.strip()) for line in source.splitlines())


def source_part(cell: NotebookNode) -> Part:
    source = re.sub(r"\n{3,}", "\n\n", cell.source)
    size, height = _code_size(source.splitlines())
    return Part(_classed(nbformat.v4.new_code_cell(source), size), height + _GAP)


def _code_size(lines: list[str], is_table: bool = False) -> tuple[str, float]:
    """Return the class of the type that holds these lines, and their height."""
    widest = max(map(len, lines), default=0)
    sizes = _CODE if is_table else _CODE[:2]
    columns, line, name = next((size for size in sizes if widest <= size[0]), sizes[-1])
    count = sum(max(1, -(-len(text) // columns)) for text in lines)
    return name, count * line + _CODE_FRAME


def outputs(cell: NotebookNode) -> Iterator[NotebookNode]:
    """Yield what a cell's outputs show to a room: not what an open exercise says, of an error
    its last line."""
    for out in cell.get("outputs", []):
        if out.output_type == "error":
            last = _ANSI.sub("", f"{out.ename}: {out.evalue}").strip().splitlines()
            yield _printed(last[-1] if len(last) == 1 else f"{out.ename}: …\n{last[-1]}")
        elif out.output_type == "stream" and out.name == "stdout":
            if text := _SETTLED.sub("", out.text).rstrip("\n"):
                yield _printed(text)
        elif {"image/png", "text/html", "text/markdown"} & set(out.get("data", {})):
            yield out
        elif not _OPEN_EXERCISE.match(text := out.get("data", {}).get("text/plain", "")) and text:
            yield _printed(text)


def _printed(text: str) -> NotebookNode:
    """Return text as an output, cut to ``OUTPUT_LINES`` lines."""
    kept, rows, lines = [], 0, text.splitlines()
    widest, wrap = _CODE[-1][0], _CODE[1][0]
    for line in lines:
        if _is_row(line) and len(line) > widest:  # a table's row is not wrapped
            line = f"{line[: widest - 1]}…"
        rows += 1 if _is_row(line) else max(1, -(-len(line) // wrap))
        if rows > OUTPUT_LINES:
            kept.append(f"… {len(lines) - len(kept)} more lines in the lesson")
            break
        kept.append(line)
    return nbformat.v4.new_output("stream", name="stdout", text="\n".join(kept))


def _is_row(line: str) -> bool:
    return re.search(r"\S {2,}\S", line) is not None


def is_widget(output: NotebookNode) -> bool:
    return "<script" in output.get("data", {}).get("text/html", "")


def output_part(output: NotebookNode) -> Part:
    """Return printed text or a table as a part of a slide."""
    data = output.get("data", {})
    if "text/markdown" in data:
        return text_part(flat(data["text/markdown"].strip()))
    if "text/html" not in data:
        lines = output.text.splitlines()
        size, height = _code_size(lines, any(map(_is_row, lines)))
        return Part(_classed(_shows(output), size), height + _GAP)
    rows = {row: _texts(row) for row in _ROWS.findall(data["text/html"])}
    rows = {row: texts for row, texts in rows.items() if len(list(filter(None, texts))) > 1}
    small, height, count = _table(list(rows.values()))
    content = _ROWS.sub(lambda row: row[0] if row[0] in rows else "", data["text/html"])
    last = list(rows)[count - 1]
    if count < len(rows):
        head, tail = content.split(last, 1)
        content = head + last + _ROWS.sub("", tail) + _more(len(rows) - count)
    shown = nbformat.v4.new_output("display_data", {"text/html": content})
    return Part(_classed(_shows(shown), "small-table" if small else ""), height)


def _more(count: int) -> str:
    return f"<p>… {count} more rows in the lesson</p>"


def _texts(row: str) -> list[str]:
    return [html.unescape(re.sub("<[^>]+>", "", text)) for text in _CELLS.findall(row)]


def _table(rows: list[list[str]]) -> tuple[bool, float, int]:
    """Return whether a table needs small type, its height, and how many of its rows fit."""
    widths = [
        max(len(text.strip()) for text in column) for column in zip_longest(*rows, fillvalue="")
    ]
    small = sum(widths) + 2 * len(widths) > _TABLE_COLUMNS or len(rows) * _ROW > BODY
    count, height = 0, _GAP
    for row in rows:
        lines = -(-(sum(len(text.strip()) for text in row) + 2 * len(row)) // _TABLE_WRAP)
        tall = _SMALL_ROW + _SMALL_LINE * lines if small else _ROW
        if height + tall + (_ROW if count + 1 < len(rows) else 0) > BODY:
            return small, BODY, count
        count, height = count + 1, height + tall
    return small, height, count


def figure_part(output: NotebookNode, says: str) -> Part:
    """Return a figure as large as a slide, with what it shows in words."""
    picture = f"data:image/png;base64,{output['data']['image/png'].strip()}"
    cell = nbformat.v4.new_markdown_cell(f'<img src="{picture}" alt="{html.escape(says)}">')
    content = base64.b64decode(output["data"]["image/png"])
    width, height = struct.unpack(">II", content[16:24])  # where a PNG says its size
    return Part(_classed(cell, "figure"), min(BODY, _WIDTH * height / width))


def _widget(deck: _Deck, content: str) -> None:
    """Show a prediction and each question of a quiz alone, the outcome of a prediction in line."""
    if "lesson-quiz" in content:
        answers = _ANSWER.findall(content)
        for question, answer in zip(_QUESTION.findall(content), answers, strict=True):
            one = _QUESTION.sub("", content).replace("<details>", f"{question}\n<details>", 1)
            kept = re.sub(r"<ol>.*</ol>", lambda _, a=answer: f"<ol>{a}</ol>", one, flags=re.DOTALL)
            deck.begin("subslide").parts.append(_html_part(kept, BODY))
            deck.say(f"Answer: {re.sub('<[^>]+>', '', answer)}")
    elif " asks" in content:
        deck.add(_html_part(content, _asked_height(content)))
        deck.slides[-1].full = True
        deck.say("Let them predict: ask for hands, and write the count on the board.")
    else:
        deck.add(_html_part(content, 3 * _TEXT_LINE))


def _asked_height(content: str) -> float:
    """Return the pixels of a question with its options."""
    content = re.sub("<(style|script).*?</\\1>", "", content, flags=re.DOTALL)
    texts = [
        re.sub("<[^>]+>", "", text).strip() for text in re.split("</?(?:legend|label)>", content)
    ]
    lines = [-(-len(text) // _ASKED_COLUMNS) for text in texts if text]
    return sum(_ASKED_LINE * count + _ASKED_GAP for count in [*lines, 1])  # 1: what it answers


def _html_part(content: str, height: float) -> Part:
    output = nbformat.v4.new_output("display_data", {"text/html": content})
    return Part(_classed(_shows(output), "widget"), height)


def _shows(output: NotebookNode) -> NotebookNode:
    """Return a cell that shows an output without any code."""
    cell = nbformat.v4.new_code_cell(outputs=[output])
    cell.metadata["transient"] = {"remove_source": True}
    return cell


def _classed(cell: NotebookNode, name: str) -> NotebookNode:
    """Give a cell the class ``celltag_NAME`` on its page."""
    if name:
        cell.metadata["tags"] = [name]
    return cell
