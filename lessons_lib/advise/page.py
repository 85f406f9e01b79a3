"""The report as one HTML page: offline, light and dark, on a phone and on paper, without scripts.

Notebooks and dashboards need a server or a network to be read again. Here all is in one file, the
figures are drawn as SVG by the templates, and this module only says where each mark stands. Names,
messages and answers come from strangers' files: every text is escaped, characters that turn the
order of writing or cannot be seen are spelled out, and the page forbids scripts and requests.
"""

import collections
import functools
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from lessons_lib.advise.report import (
    PICKS,
    Finding,
    LayerError,
    Pick,
    Report,
    Row,
    TaskFacts,
    Tensor,
    finite,
)
from lessons_lib.convert import paths
from lessons_lib.judge.verdict import FAILS, PASSES, UNDECIDED

LAYERS_SHOWN = 20
_TEMPLATES = Path(__file__).with_name("templates")
# Controls, marks that turn or hide text, halves of UTF-16 pairs; not \t, \n, and the joiners that
# Persian and emoji need.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\ufffe\uffff]"
)
_PICTURE = re.compile(r"data:image/png;base64,[A-Za-z0-9+/]+={0,2}")


def html(report: Report) -> str:
    """Return a report as one HTML page, a text that UTF-8 can hold. Defined in lesson 15."""
    report = finite(report)
    figures = [figure for task in report.tasks if (figure := _figure(report.rows, task))]
    template = _environment().get_template("page.html.j2")
    return template.render(
        report=report,
        tasks={task.output: task for task in report.tasks},
        picks=_picks(report),
        figures=figures,
        layers=_shown(report.layers.errors) if report.layers else [],
        look={path.name: path.look for path in paths.ALL.values()},
    )


def _picks(report: Report) -> list[tuple[str, Pick]]:
    """The picks with their titles; what is one and the same is shown once."""
    titles: dict[Pick, list[str]] = {}
    for key, title in PICKS.items():
        if key in report.picks:
            titles.setdefault(report.picks[key], []).append(title)
    return [
        (", ".join([each[0], *(title.lower() for title in each[1:])]), pick)
        for pick, each in titles.items()
    ]


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "measured": measured,
        "change_in_words": change_in_words,
        "number": _number,
        "share": _share,
        "noise_share": noise_share,
        "sum_of": lambda parts: sum(parts.values()),
        "picture": lambda image: image if image and _PICTURE.fullmatch(image) else "",
        "sentence": _sentence,
        "stopped": _stopped,
    }
    environment.globals |= {
        "PASSES": PASSES,
        "FAILS": FAILS,
        "UNDECIDED": UNDECIDED,
        # A path may have any marker of Matplotlib's.
        "SYMBOLS": collections.defaultdict(lambda: _SYMBOLS["o"], _SYMBOLS),
        "bins": _bins,
        "stacked": _stacked,
    }
    return environment


def _visible(value):
    """What a template prints: characters that cannot be seen are spelled out, ``\\u202e``."""
    if not isinstance(value, str):
        return value
    return type(value)(_UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", value))


# ---- numbers in words


def measured(value: float | None, task: TaskFacts) -> str:
    """Return a measure as a reader sees it: ``87.6 %``, ``33.5 dB``, ``0.0415``."""
    if not _is_number(value):
        return "–"
    if task.share:
        return _share(value)
    return f"{value:.1f} dB" if task.measure.endswith(" in dB") else _number(value)


def change_in_words(found: Finding, task: TaskFacts) -> str:
    """Return the change against float32 with its sign: ``−0.3 points``, ``+1.2 %`` of an error."""
    if not _is_number(found.drop):
        return ""
    change = (found.drop if task.lower_is_better else -found.drop) * _factor(found, task)
    unit = " points" if task.share else " %" if found.float32 else ""
    return _signed(change) + unit


def _factor(found: Finding, task: TaskFacts) -> float:
    """From a drop to points of a share, or to percent of float32's measure."""
    return 100.0 if task.share else 100 / abs(found.float32) if found.float32 else 1.0


def noise_share(error: LayerError) -> float:
    """Return the noise beside the signal, at most 1: of 20 dB it is 0.1; 1 for a broken layer."""
    decibels = _goodness(error)
    return 10 ** (-decibels / 20) if decibels > 0 else 1.0


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    return f"{value:.3g}".replace("-", "−") if _is_number(value) else "–"


def _signed(value: float) -> str:
    """A number with a sign of its own, and none for zero."""
    words = f"{abs(round(value, 2)):.3g}" if abs(value) < 100 else f"{abs(value):,.0f}"
    sign = "" if float(words.replace(",", "")) == 0 else "+" if value > 0 else "−"
    return sign + words


def _sentence(text: str) -> str:
    """A text as a sentence; a name at its start, such as ``int8`` or ``kind:``, stays as it is."""
    start = text[:1].upper() if re.match(r"[a-z]+[ ,.]", text) else text[:1]
    return _stopped(start + text[1:])


def _stopped(text: str) -> str:
    """A text with a full stop."""
    return text.rstrip(". ") + "." if text else ""


def _is_number(value: float | None) -> bool:
    """Whether it can be drawn: of larger ones a difference may be endless."""
    return value is not None and abs(value) < 1e150


# ---- size against quality

# Markers as matplotlib names them, 10 units wide, around (0, 0).
_SYMBOLS = {
    "o": "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0Z",
    "s": "M-4.5 -4.5h9v9h-9Z",
    "D": "M0 -6L6 0L0 6L-6 0Z",
    "d": "M0 -6.5L4 0L0 6.5L-4 0Z",
    "^": "M0 -6L5.5 4.5H-5.5Z",
    "v": "M0 6L5.5 -4.5H-5.5Z",
    "<": "M-6 0L4.5 -5.5V5.5Z",
    ">": "M6 0L-4.5 -5.5V5.5Z",
    "P": "M-2 -6h4v4h4v4h-4v4h-4v-4h-4v-4h4Z",
    "X": "M-6 -3.5L-3.5 -6L0 -2.5L3.5 -6L6 -3.5L2.5 0L6 3.5L3.5 6L0 2.5L-3.5 6L-6 3.5L-2.5 0Z",
    "h": "M0 -6L5.2 -3V3L0 6L-5.2 3V-3Z",
}
_LINE = 17  # units between two labels
_TICK = 62  # units that a tick below needs


@dataclass(frozen=True)
class _Size:
    """How large a drawing is: its width, the room left, and how many letters a label has."""

    width: float
    left: float
    letter: float  # the width of one, in the monospaced font
    most: int


_WIDE, _NARROW = _Size(1000, 52, 7.4, 36), _Size(360, 36, 6.5, 18)


@dataclass(frozen=True)
class Mark:
    """One row in the figure: its place, its interval and its label, in units of the drawing."""

    row: Row
    text: str
    x: float
    y: float
    low: float
    high: float
    label: float
    colour: str
    symbol: str
    below: bool  # it lies under the figure, and stands at its edge


@dataclass(frozen=True)
class Drawing:
    """One size of the figure: ``ticks`` are places with their words."""

    width: float
    height: float
    left: float
    right: float
    bottom: float
    marks: tuple[Mark, ...]
    across: tuple[tuple[float, str], ...]
    up: tuple[tuple[float, str], ...]
    limit: float | None
    base: float | None
    cut: float


@dataclass(frozen=True)
class Figure:
    """Bytes against one task's measure, ``wide`` and for a phone.

    ``absent``: rows without a place.
    """

    task: TaskFacts
    title: str
    wide: Drawing
    narrow: Drawing
    absent: tuple[str, ...]


@dataclass(frozen=True)
class _Point:
    """One row's numbers: bytes, and upwards what is better."""

    row: Row
    bytes: int
    value: float
    low: float
    high: float
    fails: bool


def _figure(rows: Sequence[Row], task: TaskFacts) -> Figure | None:
    """The figure of a task, where two rows or more have a place in it."""
    found = [(row, f) for row in rows for f in row.findings if f.output == task.output]
    placed = [point for row, finding in found if (point := _point(row, finding, task))]
    if len(placed) < 2:
        return None
    limits = [f.limit * (-_factor(f, task) if task.labelled else 1)
              for _, f in found if _is_number(f.limit)]  # fmt: skip
    limit = limits[0] if limits else None
    known = {point.row.name for point in placed}
    title = f"{task.measure[:1].upper()}{task.measure[1:]}"
    if task.labelled:
        unit = "points" if task.share else f"percent of float32's {task.measure}"
        title = f"How much better (above 0) or worse than float32 by {task.measure}, in {unit}"
    return Figure(
        task=task,
        title=title,
        wide=_drawing(placed, task, limit, _WIDE),
        narrow=_drawing(placed, task, limit, _NARROW),
        absent=tuple(row.name for row, _ in found if row.name not in known),
    )


def _point(row: Row, found: Finding, task: TaskFacts) -> _Point | None:
    """A row's place: with targets the change against float32, else the likeness itself."""
    numbers = (found.value, found.low, found.high)
    if task.labelled:
        numbers = (found.drop, found.drop_high, found.drop_low)
    if row.bytes is None or not all(map(_is_number, numbers)):
        return None
    factor = -_factor(found, task) if task.labelled else 1
    value, low, high = (factor * number for number in numbers)
    return _Point(row, row.bytes, value, low, high, found.decision == FAILS)


def _drawing(
    points: Sequence[_Point], task: TaskFacts, limit: float | None, size: _Size
) -> Drawing:
    """Where each mark, tick and label stands in a drawing of one width."""
    texts = [_label(point, size.most) for point in points]
    left, right = size.left, size.width - size.letter * max(map(_columns, texts)) - 24
    bottom = max(300.0, _LINE * len(points) + 40)
    floor, ceiling = _ends(points, limit, task)
    smallest, largest = min(p.bytes for p in points), max(p.bytes for p in points)
    room = 0.08 * (largest - smallest or largest)
    low, high = max(0.0, smallest - room), largest + room

    def across(count: float) -> float:
        return left + (right - left) * (count - low) / (high - low)

    def up(value: float) -> float:
        return bottom - 14 - (bottom - 30) * (value - floor) / (ceiling - floor)

    inside = [min(max(point.value, floor), ceiling) for point in points]
    places = [(across(p.bytes), up(y)) for p, y in zip(points, inside, strict=True)]
    labels = _spread(places, right, bottom)
    marks = (
        _mark(point, text, place, label, (up, floor, ceiling))
        for point, text, place, label in zip(points, texts, places, labels, strict=True)
    )
    return Drawing(
        width=size.width,
        height=bottom + 42,
        left=left,
        right=right,
        bottom=bottom,
        marks=tuple(marks),
        across=tuple((across(t), _bytes(t)) for t in _ticks(low, high, (right - left) / _TICK)),
        up=tuple((up(tick), f"{tick:g}".replace("-", "−")) for tick in _ticks(floor, ceiling, 5)),
        limit=up(limit) if limit is not None and floor < limit < ceiling else None,
        base=up(0) if task.labelled else None,
        cut=floor,
    )


def _mark(point: _Point, text: str, place, label: float, scale) -> Mark:
    up, floor, ceiling = scale
    ends = (up(min(max(end, floor), ceiling)) for end in (point.low, point.high))
    colour, symbol = paths.ALL[point.row.path].look if point.row.path in paths.ALL else ("", "o")
    colour = "" if colour == "#000000" else colour  # black: the text's own colour, also in the dark
    below = point.value < floor
    return Mark(point.row, text, *place, *ends, label, colour, symbol, below)


def _ends(points: Sequence[_Point], limit: float | None, task: TaskFacts) -> tuple[float, float]:
    """What the figure shows from bottom to top; what fails by far would press the rest together."""
    near = [p for p in points if not p.fails] or list(points)
    lowest, highest = min(p.low for p in near), max(p.high for p in points)
    if limit is not None:
        lowest, highest = min(lowest, limit), max(highest, limit)
        if task.labelled:
            far = min(6 * limit, lowest)
            lowest = min([lowest, *(p.low for p in points if p.low >= far)])
            highest = max(highest, 0.0)
        else:
            lowest = min([lowest, *(p.low for p in points if p.low >= limit / 4)])
    room = 0.07 * (highest - lowest or abs(highest) or 1)
    return lowest - room, highest + room


def _label(point: _Point, most: int) -> str:
    """A row's name, shortened in its middle, and whether it fails."""
    name = _visible(point.row.name)
    mark = {FAILS: " ✗", UNDECIDED: " ?"}.get(point.row.decision, "")
    room = letters = most - len(mark)
    while _columns(name) > room:
        name = f"{name[: letters // 2]}…{name[-(letters - 1 - letters // 2) :]}"
        letters -= 1  # one more letter goes, where some are two columns wide
    return name + mark


def _columns(text: str) -> int:
    """How many letters wide a text is; those of China, Japan and Korea are two, as are emoji."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _spread(places: Sequence[tuple[float, float]], right: float, bottom: float) -> list[float]:
    """Heights for labels in a column at ``right``: one line apart, their leaders uncrossed."""
    order = sorted(range(len(places)), key=lambda n: (places[n][1], places[n][0]))
    groups: list[tuple[float, int]] = []  # of labels that touch: their middle, how many
    for n in order:
        middle, count = places[n][1], 1
        while groups and middle - groups[-1][0] < _LINE * (count + groups[-1][1]) / 2:
            above, more = groups.pop()
            middle, count = (above * more + middle * count) / (more + count), count + more
        half = _LINE * (count - 1) / 2
        groups.append((max(middle, 12.0 + half), count))
    heights = [m + _LINE * (k - (count - 1) / 2) for m, count in groups for k in range(count)]
    end = bottom
    for place in reversed(range(len(heights))):
        heights[place] = min(heights[place], end)
        end = heights[place] - _LINE
    swapped = True
    while swapped:
        swapped = False
        for place in range(len(order) - 1):
            pair = places[order[place]], places[order[place + 1]]
            if _crosses(*pair, right, heights[place], heights[place + 1]):
                order[place], order[place + 1] = order[place + 1], order[place]
                swapped = True
    return [height for _, height in sorted(zip(order, heights, strict=True))]


def _crosses(first, second, right: float, upper: float, lower: float) -> bool:
    """Whether the leader of the upper label runs below that of the lower one, further left."""
    x = max(first[0], second[0])

    def at(point, height: float) -> float:
        return point[1] + (height - point[1]) * (x - point[0]) / max(right - point[0], 1e-9)

    return at(first, upper) > at(second, lower) + 1e-6


def _ticks(low: float, high: float, count: float) -> list[float]:
    """Round numbers between two ends, at most about ``count``."""
    step = (high - low) / count
    power = 10 ** math.floor(math.log10(step))
    step = power * next(n for n in (1, 2, 5, 10) if n * power >= step)
    first = math.ceil(low / step)
    return [round(n * step, 12) for n in range(first, math.floor(high / step) + 1)]


def _bytes(count: float) -> str:
    """Bytes in few letters, thousands as 1000."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:g} {unit}"
    return f"{count:g} B"


# ---- the other figures


def _shown(errors: Sequence[LayerError]) -> list[LayerError]:
    """The layers that the page shows, in their order: the worst ones, where there are many."""
    kept = sorted(range(len(errors)), key=lambda n: _goodness(errors[n]))[:LAYERS_SHOWN]
    return [errors[n] for n in sorted(kept)]


def _goodness(error: LayerError) -> float:
    """A layer's SQNR; nothing is worse than a broken one, and an exact one costs nothing."""
    if error.sqnr_db is not None:
        return error.sqnr_db
    return -math.inf if error.remark == "broken" else math.inf


def _bins(tensor: Tensor) -> dict:
    """A histogram in a box of 100 by 100: bars, and where the integers' range lies."""
    ends = [tensor.edges[0], tensor.edges[-1]]
    if _is_number(tensor.low) and _is_number(tensor.high):
        ends = [min(ends[0], tensor.low), max(ends[1], tensor.high)]
    width = ends[1] - ends[0] or 1.0
    most = math.log1p(max(tensor.counts, default=0)) or 1.0

    def across(value: float) -> float:
        return 100 * (value - ends[0]) / width

    bars = [
        (across(left), across(right) - across(left), 100 * math.log1p(count) / most)
        for left, right, count in zip(tensor.edges, tensor.edges[1:], tensor.counts, strict=False)
        if count
    ]
    held = None
    if _is_number(tensor.low) and _is_number(tensor.high):
        held = (across(tensor.low), across(tensor.high))
    return {"ends": ends, "bars": bars, "held": held}


def _stacked(parts: dict[str, int], whole: int) -> list[tuple[str, int, float, float]]:
    """Parts one after the other in a box 100 wide: name, bytes, start and width."""
    found, start = [], 0.0
    for name, count in parts.items():
        width = 100 * count / (whole or 1)
        found.append((name, count, start, width))
        start += width
    return found
