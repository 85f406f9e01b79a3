"""The teacher's pages: links hold, tables are current, the concept test's key is right."""

import re
from itertools import pairwise
from pathlib import Path

import nbformat
import numpy as np
import pytest
import typer
import yaml

import instructors
import minutes
import readme
from lessons_lib import (
    affine,
    catalogue,
    cli,
    data,
    evaluate,
    files,
    layer_errors,
    notebooks,
    paths,
)
from lessons_lib.course.checks import lesson11

PAGES = instructors.pages()
NAMES = [path.relative_to(instructors.FOLDER).as_posix() for path in PAGES]
LINK = re.compile(r"\]\((?!https?:)([^)\s]+)\)")
NOTES = [instructors.LESSONS / f"{number:02}.md" for number in catalogue.NOTEBOOKS]
ITEMS = range(1, 21)
LETTERS = "ABC"


def page(name: str) -> str:
    return (instructors.FOLDER / name).read_text(encoding="utf-8")


def between(text: str, heading: str) -> str:
    """What stands under a heading ``## ...`` of a page."""
    return text.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]


# ---- links


def sections_of(path: Path) -> dict[str, str]:
    """The text of each section of a notebook or a page, its outputs too, by its anchor."""
    if path.suffix != ".ipynb":
        return {
            instructors.slug(h): "" for h in re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.M)
        }
    found, here = {}, ""
    for cell in nbformat.read(path, as_version=4).cells:
        outputs = [str(out.get("text", out.get("data", ""))) for out in cell.get("outputs", ())]
        if cell.cell_type == "code":
            found[here] = found.get(here, "") + "\n".join([cell.source, *outputs])
            continue
        for line in cell.source.splitlines():
            if heading := re.fullmatch(r"#{1,3} (.+)", line):
                here = instructors.slug(heading[1])
            found[here] = f"{found.get(here, '')}\n{line}"
    return found


_sections = {}


def section(path: Path, anchor: str) -> str | None:
    path = path.resolve()
    if path not in _sections:
        _sections[path] = sections_of(path)
    return _sections[path].get(anchor)


def broken(text: str, folder: Path) -> list[str]:
    """The links of a page in ``folder`` whose file or section is not there."""
    wrong = []
    for target in LINK.findall(text):
        name, _, anchor = target.partition("#")
        there = (folder / name).exists()
        if not there or (anchor and section(folder / name, anchor) is None):
            wrong.append(target)
    return wrong


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_to_a_file_and_a_section_that_exist(name):
    assert broken(page(name), (instructors.FOLDER / name).parent) == []


def test_a_link_into_nothing_is_found():
    start = "[x](../notebooks/07_quantize_integers.ipynb"
    text = f"{start}#prove-it-the-audit) {start}#gone) [y](gone.md) [z](https://example.org/gone)"
    wrong = ["../notebooks/07_quantize_integers.ipynb#gone", "gone.md"]
    assert broken(text, instructors.FOLDER) == wrong


@pytest.mark.parametrize("name", NAMES)
def test_a_page_says_what_it_is_and_spells_as_the_course_does(name):
    front = yaml.safe_load(page(name).split("---")[1])
    assert 50 <= len(front["description"]) <= 160
    text = re.sub(r"https?:\S+", "", page(name))  # the article's address has its own spelling
    assert not re.search("quantis", text, re.IGNORECASE)


# ---- what is generated


@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_tables_are_current(path):
    assert instructors.filled(path) == path.read_text("utf-8"), "run make refresh"


def test_other_minutes_get_into_the_pages(monkeypatch):
    monkeypatch.setattr(minutes, "by_section", lambda notebook: {"Only": (41.0, 7.0)})
    monkeypatch.setattr(instructors, "lesson", instructors.lesson.__wrapped__)  # read anew
    assert "| *Only* | 41 | 7 |" in instructors.filled(NOTES[3])
    schedules = instructors.filled(instructors.FOLDER / "schedules.md")
    assert "| 48 | Lesson 0: *Only* | may be skipped |" in schedules


@pytest.mark.parametrize("number", catalogue.NOTEBOOKS)
def test_the_sections_of_a_lesson_add_up_to_its_minutes(number):
    notebook = notebooks.read(notebooks.find([number])[0])
    core, everything = minutes.minutes(notebook)
    spent = minutes.by_section(notebook).values()
    assert sum(time for time, _ in spent) == pytest.approx(core)
    assert sum(map(sum, spent)) == pytest.approx(everything)


@pytest.mark.parametrize("name", instructors.SCHEDULES)
def test_a_schedule_fits_its_time_and_keeps_a_reserve(name):
    make, length = instructors.SCHEDULES[name]
    spent = sum(step.minutes for step in make())
    assert 0.05 * length <= length - spent <= 0.3 * length
    clock = re.findall(r"^\| (\d+):(\d\d) \| (\d+) \|", instructors.schedule(make(), length), re.M)
    begins = [60 * int(hours) + int(mins) for hours, mins, _ in clock]
    assert [after - before for before, after in pairwise([*begins, length])] == [
        int(took) for *_, took in clock
    ]


def test_a_lessons_notes_name_the_complaints_and_the_items_behind_which_it_stands():
    assert "[3](../what-goes-wrong.md#3-my-full-integer-model-takes-floats)" in instructors.head(7)
    assert "Items of the concept test: [9](../concept-test-key.md#9-a), [10]" in (
        instructors.head(3).replace("[5](../concept-test-key.md#5-a), ", "")
    )
    assert "concept test" not in instructors.head(14)


def test_lesson_0_stands_behind_all_items_of_part_a():
    links = re.findall(r"\[(\d+)\]\(\.\./concept-test-key", instructors.head(0))
    part_a = page("concept-test.md").split(instructors.PART_B)[0]
    assert links == instructors.ITEM.findall(part_a) == list("12345678")


def test_who_is_late_is_told_what_to_cut_with_the_minutes_of_the_schedule():
    took = [int(found) for found in re.findall(r": (\d+) min\.$", instructors.late(), re.M)]
    table = between(page("schedules.md"), "90 minutes")
    reserve = int(re.search(r"\| (\d+) \| In reserve", table)[1])
    deeper = int(re.search(r"\| (\d+) \| [^|]+ \| may be skipped", table)[1])
    named = [int(found) for found in re.findall(r"\| when late [^|]+ \((\d+) min\)", table)]
    assert took == [reserve, deeper, *named]


def test_ten_weeks_hold_every_lesson_once_in_order_and_in_class_time():
    assert len(instructors.WEEKS) == 10
    assert [number for week in instructors.WEEKS for number in week] == list(catalogue.NOTEBOOKS)
    for week in instructors.WEEKS:
        assert sum(instructors.core(number, exercises=False) for number in week) <= 90


# ---- the notes


@pytest.mark.parametrize("number", catalogue.NOTEBOOKS)
def test_each_lesson_has_its_notes_with_all_parts(number):
    text = page(f"lessons/{number:02}.md")
    said = notebooks.describe(notebooks.find([number])[0])
    assert f"# Lesson {number}: {said.title}\n" in text
    wrong = between(text, "What learners get wrong")
    assert len(re.findall(r'^- \*\*"', wrong, re.M)) >= 3
    assert f"lesson {number}," in wrong, "no section of the lesson itself shows it"
    assert len(between(text, "On the board").split()) > 20
    asked = re.findall(
        r"^\d\. \*\*.+\?\*\* \*Sample answer:\* .{80}", between(text, "Discuss"), re.M
    )
    stated = re.findall(r"^\d\. \*\*", between(text, "Discuss"), re.M)
    assert len(stated) == 2
    assert len(asked) + text.count(".** *Sample") == 2
    together = re.search(r"\*\*(\d+\.\d+)\*\*", between(text, "Do together"))
    lesson = notebooks.find([number])[0].read_text("utf-8")
    assert together
    assert f"**{together[1]}**" in lesson


# ---- the twenty complaints

# Words that the sections linked under each complaint hold, in the links' order.
SHOWN = {
    1: ["may be *slower*", "need not elsewhere"],
    2: ["DEQUANTIZE", "On a CPU the file alone"],
    3: ["float ends are what these settings ask for", "stay float32"],
    4: ["to_codes", "round, clip, cast"],
    5: ["always the same class", "No error anywhere"],
    6: ["nothing yielded", "nothing"],
    7: ["nothing could crash", "In the wrong order"],
    8: ["NaN", "child process", "No range can be recorded of NaN"],
    9: ["float island", "an operator that stays in float"],
    10: ["from_keras_model"],
    11: ["Keras 2"],
    12: ["Two small Keras layers", "wraps each layer as ours did"],
    13: ["The same neuron", "up to the step of the output"],
    14: ["structure", "Look at the bytes"],
    15: ["Hybrid"],
    16: ["one scale a tensor", "Per-channel or per-tensor", "Older firmware was not run"],
    17: ["all sizes beforehand", "exactly one image at a time", "Edge TPU"],
    18: ["overwritten", "*same* bytes"],
    19: ["one line tells them apart", "Hardly a class changes"],
    20: ["MobileNetV2", "steep step", "serves the small ones as well"],
}


def test_there_are_twenty_complaints():
    numbers = re.findall(r"^## (\d+)\. ", page("what-goes-wrong.md"), re.M)
    assert numbers == [str(number) for number in ITEMS]
    assert list(SHOWN) == list(ITEMS)


@pytest.mark.parametrize("number", ITEMS)
def test_the_section_that_is_named_shows_the_complaint(number):
    _, text = re.split(rf"^## {number}\. ", page("what-goes-wrong.md"), flags=re.M)
    text = text.split("\n## ")[0]
    assert "*Judged:*" in text
    assert "*Asked in*" in text
    targets = LINK.findall(text)
    for target, words in zip(targets, SHOWN[number], strict=True):
        name, _, anchor = target.partition("#")
        shown = section(instructors.FOLDER / name, anchor)
        assert words in shown, f"{target}: {words}"


# ---- rubrics


def test_every_open_task_has_its_line_in_the_rubrics():
    text = page("rubrics.md")
    for number, name in catalogue.NOTEBOOKS.items():
        lesson = (notebooks.FOLDER / name).read_text("utf-8")
        tasks = re.findall(r"\*\*(\d+\.\d+)\*\* \*Open task", lesson)
        assert len(tasks) == (number > 0)
        for task in tasks:
            row = rf"^\| \[{number}\]\(lessons/{number:02}\.md\) \| {re.escape(task)}, .+"
            assert f"notebooks/solutions/{name}" in re.search(row, text, re.M)[0]


# ---- the concept test


def options(number: int) -> dict[str, str]:
    """The answers of an item by their letters."""
    _, text = re.split(rf"^\*\*{number}\.\*\* ", page("concept-test.md"), flags=re.M)
    return dict(
        re.findall(r"^- ([A-Z])\. (.+)$", re.split(r"^\*\*\d|^#", text, flags=re.M)[0], re.M)
    )


def key() -> dict[int, str]:
    found = re.findall(r"^## (\d+)\. ([A-Z])$", page("concept-test-key.md"), re.M)
    return {int(number): letter for number, letter in found}


def test_twenty_items_have_three_answers_and_one_of_them_is_right():
    asked = [int(number) for number in instructors.ITEM.findall(page("concept-test.md"))]
    assert asked == list(ITEMS)
    assert len(re.findall(r"^## \d", page("concept-test-key.md"), re.M)) == len(key()) == 20
    for number in ITEMS:
        assert "".join(options(number)) == LETTERS
        assert key()[number] in LETTERS


def test_the_letters_give_nothing_away():
    letters = [key()[number] for number in ITEMS]
    assert all(5 <= letters.count(letter) <= 8 for letter in LETTERS)
    assert not re.search("AAA|BBB|CCC", "".join(letters))
    longest = [max(options(n), key=lambda one: len(options(n)[one])) == key()[n] for n in ITEMS]
    assert sum(longest) <= 12, "the longest answer is right too often"


@pytest.mark.parametrize("number", ITEMS)
def test_the_key_names_a_lesson_and_why_each_wrong_answer_tempts(number):
    _, text = re.split(rf"^## {number}\. ", page("concept-test-key.md"), flags=re.M)
    letter, text = text.split("\n", 1)
    text = text.split("\n## ")[0]
    assert int(re.match(r"\s*\*Lesson (\d+)\*", text)[1]) in catalogue.NOTEBOOKS
    for wrong in LETTERS.replace(letter, ""):
        assert f"**{wrong}**" in text
    assert f"**{letter}**" not in text
    assert "Shown in [" in text


def holding(number: int, words: str) -> str:
    """The letter of the one answer that has these words."""
    (letter,) = [letter for letter, text in options(number).items() if words in text]
    return letter


def smaller() -> str:
    (row,) = [row for row in readme.stored()["rows"] if row["path"] == "dynamic_range"]
    times = float(row["smaller"].rstrip("x"))
    return holding(1, "smaller, but not four" if 1 < times < 4 else "exactly a quarter")


def ranges() -> str:
    """Calibration needs no labels: a generator of inputs is all that the int8 path takes."""
    needs = paths.PATHS["int8"].needs_calibration
    assert needs
    assert not paths.PATHS["dynamic_range"].needs_calibration
    return holding(3, "smallest and the largest value")


def float_ends() -> str:
    ends = paths.get("int8_float_fallback")
    assert ends.needs_calibration
    assert not ends.supported_ops
    return holding(4, f"{ends.input_dtype}:")


def code_of_a_half() -> str:
    code = affine.quantize(np.float32([0.5]), 0.02, -28)
    return {text: letter for letter, text in options(5).items()}[str(int(code[0]))]


def equal_totals() -> str:
    """With 918 of 1,000 right both times there may be no flip, and there may be twenty."""
    labels = np.zeros(1000, int)
    before = (np.arange(1000) >= 918).astype(int)
    for other in (before, np.roll(before, 10)):
        flips = evaluate.flips(before, other, labels)
        assert evaluate.accuracy(other, labels).successes == 918
        assert flips.gained == flips.lost
    assert flips.gained == 10
    return holding(6, "As many images were lost as were gained")


def cast() -> str:
    images = data.load("mnist").test.images
    assert 0 <= images.min() <= images.max() <= 1
    zeros = np.mean(images.astype(np.uint8) == 0)
    return holding(7, "Nearly every pixel becomes 0" if zeros > 0.95 else "reads them right")


def without_floats() -> str:
    named = {letter: re.match("`(.+?)`", text)[1] for letter, text in options(8).items()}
    (letter,) = [letter for letter, name in named.items() if paths.get(name).integer_only]
    return letter


def range_to_int8() -> str:
    scale, zero_point = affine.scale_zero_point(-1.0, 4.1)
    return holding(9, f"{scale:.2g} and {zero_point}")


def doubled() -> str:
    values = np.random.default_rng(0).uniform(-1, 1, 10_000).astype(np.float32)
    errors = []
    for limit in (1, 2):
        scale, zero_point = affine.scale_zero_point(-limit, limit)
        back = affine.dequantize(affine.quantize(values, scale, zero_point), scale, zero_point)
        errors.append(layer_errors.rms_error(values, back))
    assert errors[1] / errors[0] == pytest.approx(2, rel=0.05)
    return holding(10, "doubles")


def unscaled() -> str:
    (right, _), (spoilt, zero_point) = (affine.scale_zero_point(0, high) for high in (1, 255))
    codes = affine.quantize(np.linspace(0, 1, 256, dtype=np.float32), spoilt, zero_point)
    assert len(np.unique(codes)) == 2
    return holding(11, f"{spoilt / right:.0f} times as much")


def bias() -> str:
    (code,) = affine.quantize_bias(np.float32([0.5]), 0.1, np.float32([0.02]))
    return holding(12, f"int32 number {code}")


def five_to_none() -> str:
    assert evaluate.Flips(gained=0, lost=6).p_value < 0.05
    p = evaluate.Flips(gained=0, lost=5).p_value
    return holding(14, "No: five coins" if p > 0.05 else "Yes")


def two_roundings() -> str:
    assert abs(affine.round_half_away(-12.5) - np.rint(-12.5)) == 1
    return holding(15, "round in different ways")


def quiet_channel() -> str:
    codes = affine.quantize(np.float32([8, 0.01]), 8 / 127, 0, narrow_range=True)
    assert codes.tolist() == [127, 0]
    return holding(16, "all 0")


def steepest() -> str:
    falls = dict(
        zip(("first", "second", "third", "fourth", "fifth"), (42, 41, 24, 23, 20), strict=True)
    )
    return holding(17, lesson11.steepest_fall(falls))


def equally_bad() -> str:
    """A range that cuts off is as bad with 16 bits; one that is too wide is not."""
    values = np.float32([0.3, 1.1, 1.9, 2.6, 4.0, 5.2])
    ratio = {}
    for high in (2.0, 600.0):
        errors = []
        for bits in (8, 16):
            scale, zero_point = affine.scale_zero_point(0.0, high, bits)
            codes = affine.quantize(values, scale, zero_point, bits)
            errors.append(np.abs(affine.dequantize(codes, scale, zero_point) - values).max())
        ratio[high] = errors[0] / errors[1]
    assert ratio[2.0] == pytest.approx(1, rel=0.05)
    assert ratio[600.0] > 10
    return holding(19, "cuts values off")


def hundred() -> str:
    _, high = evaluate.Flips(gained=0, lost=0).drop_interval(100)
    return holding(20, "No: with 100 images" if high > 0.01 else "Yes: it lost nothing")


COMPUTED = {
    1: smaller,
    3: ranges,
    4: float_ends,
    5: code_of_a_half,
    6: equal_totals,
    7: cast,
    8: without_floats,
    9: range_to_int8,
    10: doubled,
    11: unscaled,
    12: bias,
    14: five_to_none,
    15: two_roundings,
    16: quiet_channel,
    17: steepest,
    19: equally_bad,
    20: hundred,
}
# What no number decides stands in a quiz or a sentence of the lesson.
TOLD = {
    2: ("05", "the-articles-code", "the float32 file, byte for byte: True"),
    13: ("07", "when-it-fails", "**float island**, between int8 ends"),
    18: ("12", "the-real-model", "So it gets a **control**"),
}


@pytest.mark.parametrize("number", COMPUTED)
def test_the_key_is_computed(number):
    assert COMPUTED[number]() == key()[number]


@pytest.mark.parametrize("number", TOLD)
def test_the_key_stands_in_the_lesson(number):
    lesson, anchor, words = TOLD[number]
    assert words in section(notebooks.find([lesson])[0], anchor)


def test_every_item_is_computed_or_told():
    assert sorted([*COMPUTED, *TOLD]) == list(ITEMS)


# ---- the page for Monday


def test_the_commands_of_mondays_page_are_targets_and_commands_that_exist():
    makefile = (files.ROOT / "Makefile").read_text("utf-8")
    blocks = re.findall(r"```sh\n(.+?)```", page("README.md"), re.DOTALL)
    commands = [line.strip() for block in blocks for line in block.splitlines() if line.strip()]
    *commands, last = commands
    assert commands == ["make setup", ".venv/bin/lessons doctor", "make lessons NN=0", "make lab"]
    assert last == f"git restore notebooks/{catalogue.NOTEBOOKS[0]}"
    for program, what, *_ in map(str.split, commands):
        if program == "make":
            assert re.search(rf"^{what}:", makefile, re.M)
        else:
            assert what in typer.main.get_command(cli.app).commands


def test_mondays_page_leads_to_every_page_of_the_folder():
    linked = set(LINK.findall(page("README.md")))
    assert linked >= {name for name in NAMES if name != "README.md"}
