"""page: what the report says stands on it, and a stranger's words are only words."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reports
from hostile_reports import PAYLOADS, hostile
from lessons_lib import page, paths, report
from lessons_lib.advise.guards import Guard
from lessons_lib.judge.verdict import UNDECIDED

CASES = ("classifier", "two_outputs", "without_data", "nothing_passes")
LOOSE = {"wbr", "line", "text", "polyline"}
VOID = {"meta", "img", "br", "wbr", "rect", "path", "line", "polyline"}


class Read(HTMLParser):
    """A page as a browser reads it: its tags, their attributes, its text; and is it well formed."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.attributes, self.words, self.ids = [], [], [], []
        self.open, self.wrong = [], []
        self.feed(text)
        self.close()

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, key, value) for key, value in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, key, value) for key, value in attributes]

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        if not {"style", "title"} & set(self.open[-1:]):
            self.words.append(data)


def squeezed(text: str) -> str:
    return " ".join(text.split())


@pytest.fixture(scope="module", params=CASES)
def any_report(request) -> report.Report:
    return getattr(reports, request.param)()


@pytest.fixture(scope="module")
def read(any_report) -> Read:
    return Read(page.html(any_report))


# ---- what stands on it


def test_it_is_well_formed(read):
    assert (read.wrong, read.open) == ([], [])
    assert read.tags.count("h1") == 1
    assert {"html", "main", "header", "footer"} <= set(read.tags)


def test_it_needs_no_network_and_no_script(any_report, read):
    assert not {"script", "link", "iframe", "object", "base", "form"} & set(read.tags)
    for tag, key, value in read.attributes:
        assert not key.startswith("on"), (tag, key)
        assert key not in ("href", "srcset", "action", "xlink:href")
        if key == "src":
            assert value.startswith("data:image/png;base64,")
    text = page.html(any_report)
    assert "default-src 'none'" in text and "url(" not in text and "@import" not in text


def test_every_row_stands_in_its_place(any_report, read):
    found = [read.text.find(row.name) for row in any_report.rows]
    assert -1 not in found
    table = read.text.partition("Every file that was tried")[2]
    places = [table.find(f" {row.name} ") for row in any_report.rows]
    assert places == sorted(places) and -1 not in places
    for row, start in zip(any_report.rows, places, strict=True):
        words = squeezed(row.failure or row.verdict).rstrip(". ")
        assert words[1:] in table[start : start + 1500]
        if row.failure is None:
            assert f"{row.bytes:,}" in table[start : start + 1500]


def test_the_decision_stands_first(any_report, read):
    row = any_report.recommended
    take = "Try" if row.decision == UNDECIDED else "Take"
    wanted = "Stay with float32" if row.path == "float32" else f"{take} {row.name}"
    start = read.text.find(wanted)
    assert 0 <= start < 200
    for pick in any_report.picks.values():
        assert squeezed(pick.why)[1:].rstrip(". ") in read.text
    if any_report.next_step:
        assert any_report.next_step.rstrip(". ") in read.text


def test_the_first_screen_answers_the_owners_questions():
    found = reports.classifier()
    row = found.recommended
    text = Read(page.html(found)).text.partition("files made")[0]
    (finding,) = row.findings
    for words in (
        f"Size {row.bytes:,} bytes {row.smaller:.2f} times smaller than float32",
        f"Time for one sample {row.latency_ratio:.2f} of float32's, on this computer",
        f"Accuracy {100 * finding.value:.1f} % float32: {100 * finding.float32:.1f} %",
        "How to run it python run.py",
        "Is the drop real? ✓ passes",
    ):
        assert words.replace(" ", "") in text.replace(" ", "")
    rows = tuple(
        replace(one, decision=UNDECIDED, micro=report.Micro(arena=12_345)) if one is row else one
        for one in found.rows
    )
    text = Read(page.html(replace(found, rows=rows))).text.partition("files made")[0]
    assert f"Try {row.name}" in text and "not proven yet" in text and "? undecided" in text
    assert "12,345 bytes of RAM, in TFLite-Micro" in text and "Time for" not in text


def test_layers_that_cannot_be_compared_have_their_reason():
    found = replace(reports.classifier(), tensor=None, layers=report.Layers("int8", (), "loops"))
    assert "cannot be compared with float32's: loops." in Read(page.html(found)).text


def test_guards_come_before_the_table(any_report):
    levels = [Guard("stop", "stop here"), Guard("warning", "look out"), Guard("note", "by the way")]
    text = Read(page.html(replace(any_report, guards=tuple(levels)))).text
    before = text.partition("Every file that was tried")[0]
    for words in ("Stop. Stop here.", "Warning. Look out.", "Note. By the way."):
        assert words in before


def test_numbers_are_those_of_the_report():
    found = reports.classifier()
    text = Read(page.html(found)).text
    (finding,) = found.row("int8").findings
    assert f"{100 * finding.value:.1f} %" in text
    assert f"{100 * finding.low:.1f} % to {100 * finding.high:.1f} %" in text
    assert f"{found.row('int8').lowest_db:.1f} dB" in text
    for budget in found.bytes:
        for name, count in budget.parts.items():
            assert f"{name} {count:,}" in text
    assert found.model.sha256 in text and found.data.sha256 in text
    for name, version in found.versions.items():
        assert f"{name}{version}" in text.replace(" ", "")
    assert found.commands[0] in text
    for error in found.layers.errors:
        assert error.layer in text and f"{error.sqnr_db:.1f} dB" in text


def test_what_flipped_is_shown_as_pictures():
    found = reports.nothing_passes()
    read = Read(page.html(found))
    pictures = [value for tag, key, value in read.attributes if (tag, key) == ("img", "src")]
    assert pictures == [one.image for one in found.flipped.samples]
    texts = [value for tag, key, value in read.attributes if (tag, key) == ("img", "alt")]
    assert texts[0] == f"Sample {found.flipped.samples[0].sample}, input image"
    joined = read.text.replace(" ", "")
    for one in found.flipped.samples:
        words = f"sample{one.sample}float32{one.float32}file{one.path}right is{one.target}"
        assert words.replace(" ", "") in joined


def test_a_failure_has_its_repair_beside_it():
    found = reports.without_data()
    repair = report.Repair("int8 dies", "the loop of an LSTM", "unrolled the layer")
    rows = tuple(replace(row, repair=repair) if row.failure else row for row in found.rows)
    text = Read(page.html(replace(found, rows=rows))).text
    words = "Repair. Seen: int8 dies. Cause: the loop of an LSTM. Done: unrolled the layer."
    assert text.count(words) == sum(row.failure is not None for row in rows)


def test_where_three_picks_are_one_they_are_shown_once():
    found = reports.classifier()
    same = replace(found, picks=dict.fromkeys(report.PICKS, found.picks["recommended"]))
    text = Read(page.html(same)).text
    assert "Recommended, smallest, most faithful" in text
    assert text.count("Next best") == 1
    assert Read(page.html(found)).text.count("Next best") == 3


def test_a_report_that_was_read_again_gives_the_same_page(any_report, tmp_path):
    again = report.read(report.write(any_report, tmp_path / "report.json"))
    assert page.html(again) == page.html(report.read(report.write(again, tmp_path / "b.json")))
    assert Read(page.html(again)).text == Read(page.html(any_report)).text


def test_nothing_but_a_model_is_a_page_too():
    found = replace(
        reports.classifier(),
        **{"data": None, "tasks": (), "guards": (), "settings": {}, "rows": (), "commands": ()},
        picks={"recommended": report.Pick(None, "no path could be tried")},
        **{"next_step": None, "layers": None, "tensor": None, "bytes": (), "flipped": None},
        seconds=None,
    )
    read = Read(page.html(found))
    assert (read.wrong, read.open) == ([], [])
    assert "No file can be recommended" in read.text and "No path could be tried." in read.text


def test_a_broken_file_is_no_mark_but_a_word():
    found = reports.classifier()
    nothing = dict.fromkeys(("value", "low", "high", "drop", "drop_low", "drop_high"))
    row = found.row("int8")
    broken = replace(row.findings[0], **nothing, decision="fails", verdict="broken: NaN")
    rows = tuple(
        replace(one, findings=(broken,), decision="fails") if one is row else one
        for one in found.rows
    )
    text = Read(page.html(replace(found, rows=rows))).text
    assert "Not drawn, for want of a finite number: int8." in text


# ---- a stranger's words


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_a_strangers_words_are_only_words(any_report, payload):
    """In every text of a report at once; the page has no tag and no attribute more for it."""
    benign, spoilt = (Read(page.html(hostile(any_report, words))) for words in ("safe", payload))
    assert (spoilt.wrong, spoilt.open) == ([], [])
    # Labels of another length leave the figure another width, and so other ticks.
    tags = [[tag for tag in read.tags if tag not in LOOSE] for read in (benign, spoilt)]
    assert tags[0] == tags[1]
    assert {*spoilt.tags} <= {*benign.tags, "wbr"}
    attributes = [
        [each for each in read.attributes if each[0] not in LOOSE] for read in (benign, spoilt)
    ]
    assert {(tag, key) for tag, key, _ in spoilt.attributes} <= {
        (tag, key) for tag, key, _ in benign.attributes
    }
    for (*place, safe), (*same, value) in zip(*attributes, strict=True):
        assert place == same
        assert value == safe or "safe" in safe.lower() or place[0] in ("svg", "path"), place


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_a_strangers_words_stand_in_many_places(payload):
    """The test above would pass if they stood nowhere."""
    text = Read(page.html(hostile(reports.classifier(), payload))).text
    assert text.count(squeezed(page._visible(payload))) > 60


def test_marks_that_turn_the_writing_are_spelled_out():
    text = page.html(hostile(reports.classifier(), PAYLOADS["turned"] + PAYLOADS["controls"]))
    assert not page._UNSEEN.search(text)
    assert "\\u202e" in text and "\\ud800" in text and "\\u0000" in text
    text.encode("utf-8")
    kept = "שלום Ünïcode 🙂‍↕️ a\u200db\u200cc\n\t"
    assert page._visible(kept) == kept


def test_names_stand_apart_from_the_text_around_them():
    """So that a Hebrew name does not turn the numbers beside it."""
    found = hostile(reports.classifier(), PAYLOADS["hebrew"])
    text = re.sub(r"<wbr>|<title>.*?</title>|<svg.*?</svg>", "", page.html(found), flags=re.S)
    body = text.partition("<body>")[2]
    loose = re.sub(r"<bdi[^>]*>.*?</bdi>|<[^>]*>", " ", body, flags=re.S)
    places = [loose[max(0, m.start() - 30) : m.end()] for m in re.finditer("שלום", loose)]
    assert len(places) < 0.5 * body.count("שלום"), places[:20]


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "https://elsewhere.invalid/a.png",
        "data:text/html;base64,AAAA",
        "data:image/svg+xml;base64,AAAA",
        'data:image/png;base64,AAAA" onerror="alert(1)',
        "data:image/png;base64,AAAA\n<script>",
    ],
)
def test_only_a_png_is_a_picture(address):
    found = reports.nothing_passes()
    one = replace(found.flipped.samples[0], image=address)
    read = Read(page.html(replace(found, flipped=replace(found.flipped, samples=(one,)))))
    assert "img" not in read.tags


# ---- numbers in words

SHARE = report.TaskFacts("y", "classification", "accuracy", share=True)
ERROR = report.TaskFacts("y", "regression", "MAE", share=False, lower_is_better=True)
LIKENESS = report.TaskFacts("y", "no targets", "centred SQNR in dB", share=False, labelled=False)


def finding(drop, float32=0.5):
    some = reports.classifier().row("int8").findings[0]
    return replace(some, drop=drop, float32=float32)


@pytest.mark.parametrize(
    ("value", "task", "words"),
    [
        (0.8764, SHARE, "87.6 %"),
        (0.04153, ERROR, "0.0415"),
        (-12.0, ERROR, "−12"),
        (33.47, LIKENESS, "33.5 dB"),
        (None, SHARE, "–"),
        (float("inf"), LIKENESS, "–"),
    ],
)
def test_a_measure_in_words(value, task, words):
    assert page.measured(value, task) == words


@pytest.mark.parametrize(
    ("drop", "task", "words"),
    [
        (0.018, SHARE, "−1.8 points"),
        (-0.001, SHARE, "+0.1 points"),
        (0.0, SHARE, "0 points"),
        (0.01, ERROR, "+2 %"),
        (-0.01, ERROR, "−2 %"),
        (1e-9, ERROR, "0 %"),
        (50.0, ERROR, "+10,000 %"),
        (None, SHARE, ""),
        (float("nan"), ERROR, ""),
    ],
)
def test_a_change_in_words(drop, task, words):
    assert page.change_in_words(finding(drop), task) == words


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("no change seen", "No change seen."),
        ("broken, and gone. ", "Broken, and gone."),
        ("kind: no change", "kind: no change."),
        ("int8_litert dies", "int8_litert dies."),
        ("uint8 dies", "uint8 dies."),
        ("", ""),
    ],
)
def test_a_name_keeps_its_first_letter(text, sentence):
    assert page._sentence(text) == sentence


@pytest.mark.parametrize(
    ("decibels", "remark", "share"),
    [
        (20.0, "", 0.1),
        (0.0, "", 1),
        (-1e9, "", 1),
        (None, "broken", 1),
        (None, "exact", 0),
        (None, "not compared", 0),
    ],
)
def test_noise_beside_the_signal(decibels, remark, share):
    error = report.LayerError("layer", "ADD", decibels, None, remark)
    assert page.noise_share(error) == pytest.approx(share)


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.floats(1, 9))
def test_ticks_are_round_and_inside(low, width, count):
    ticks = page._ticks(low, low + width, count)
    assert len(ticks) <= count + 1.01
    room = 1e-6 * width + 2 * np.spacing(abs(low) + width)  # beside 1e6 a double has few digits
    assert all(low - room <= t <= low + width + room for t in ticks)


# ---- the figure


def drawings(found):
    for task in found.tasks:
        figure = page._figure(found.rows, task)
        yield from ((figure, drawing) for drawing in (figure.wide, figure.narrow))


@pytest.mark.parametrize("case", ["classifier", "many", "two_outputs", "nothing_passes"])
def test_marks_lie_inside_and_labels_apart(case):
    found = getattr(reports, case)()
    for figure, drawing in drawings(found):
        assert len(drawing.marks) + len(figure.absent) == len(
            [row for row in found.rows if row.findings]
        )
        labels = sorted(mark.label for mark in drawing.marks)
        assert all(b - a >= page._LINE - 1e-6 for a, b in pairwise(labels))
        assert labels[0] > 0 and labels[-1] <= drawing.bottom
        letters = max(len(mark.text) for mark in drawing.marks)
        assert letters * 6.3 + drawing.right + 21 <= drawing.width
        for mark in drawing.marks:
            assert drawing.left <= mark.x <= drawing.right and 0 <= mark.high <= mark.low
            assert mark.low <= drawing.bottom
            assert mark.text.endswith("✗") == (mark.row.decision == "fails")


def test_a_mark_stands_where_its_numbers_say():
    found = reports.classifier()
    figure, drawing = next(drawings(found))
    marks = {mark.row.name: mark for mark in drawing.marks}
    sizes = [(mark.row.bytes, mark.x) for mark in drawing.marks]
    slope, start = np.polyfit(*zip(*sizes, strict=True), 1)
    assert slope > 0 and np.allclose([start + slope * b for b, _ in sizes], [x for _, x in sizes])
    drops = [(-mark.row.findings[0].drop, mark.y) for mark in drawing.marks if not mark.below]
    slope, start = np.polyfit(*zip(*drops, strict=True), 1)
    assert slope < 0 and np.allclose([start + slope * d for d, _ in drops], [y for _, y in drops])
    limit = found.row("int8").findings[0].limit
    assert drawing.limit == pytest.approx(start - slope * limit)
    assert drawing.base == pytest.approx(start) == pytest.approx(marks["float32"].y)
    for mark in drawing.marks:
        passes = mark.row.decision == "passes"
        assert (mark.low <= drawing.limit + 1e-6) == passes, "the interval lies above the limit"
    assert marks["int8"].colour == paths.ALL["int8"].look[0]
    assert figure.absent == ()


def test_what_fails_by_far_does_not_press_the_rest_together():
    found = reports.many()
    _, drawing = next(drawings(found))
    below = [mark for mark in drawing.marks if mark.below]
    assert {mark.row.name for mark in below} == {
        "dynamic_int4_litert_mse",
        "weight_only_int4_litert_mse",
    }
    assert drawing.limit - drawing.base > 50


def test_a_figure_of_one_row_is_none():
    found = reports.classifier()
    assert page._figure(found.rows[:1], found.tasks[0]) is None


places = st.tuples(st.floats(60, 500), st.floats(16, 300))


@settings(max_examples=200, deadline=None)
@given(st.lists(places, min_size=1, max_size=26))
def test_labels_never_overlap_and_leaders_never_cross(points):
    bottom = max(300.0, page._LINE * len(points) + 40)
    labels = page._spread(points, 500, bottom)
    ordered = sorted(labels)
    assert all(b - a >= page._LINE - 1e-6 for a, b in pairwise(ordered))
    assert ordered[0] > 0 and ordered[-1] <= bottom
    order = sorted(range(len(points)), key=lambda n: labels[n])
    for first, second in pairwise(order):
        pair = points[first], points[second]
        assert not page._crosses(*pair, 500, labels[first], labels[second])


def test_a_layer_with_many_operators_shows_the_worst_in_their_order():
    errors = [
        report.LayerError(f"layer{n}", "CONV_2D", None if n == 5 else float(n * 37 % 100))
        for n in range(60)
    ]
    errors[50] = replace(errors[50], sqnr_db=None, remark="broken")
    shown = page._shown(errors)
    assert len(shown) == page.LAYERS_SHOWN
    numbers = [int(error.layer[5:]) for error in shown]
    assert numbers == sorted(numbers)
    worst = sorted((e.sqnr_db, n) for n, e in enumerate(errors) if e.sqnr_db is not None)
    assert set(numbers) == {50, *(n for _, n in worst[: page.LAYERS_SHOWN - 1])}


def test_layers_without_a_number_have_a_word():
    found = reports.classifier()
    kinds = [(None, "broken"), (-80.0, ""), (None, "not compared"), (None, "exact"), (40.0, "")]
    errors = tuple(
        report.LayerError(f"layer{n}", "ADD", decibels, None, remark)
        for n, (decibels, remark) in enumerate(kinds)
    )
    text = Read(page.html(replace(found, layers=report.Layers("int8", errors)))).text
    words = text.partition("Where the error grows")[2].replace("ADD", " ADD ")
    for line in ("broken100.0 %", "-80.0 dB100.0 %", "not compared", "exact0.0 %", "40.0 dB1.0 %"):
        assert line in words
