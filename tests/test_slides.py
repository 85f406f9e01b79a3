"""The slides: which cells they show, what the speaker reads, and that they ask for nothing."""

import re

import nbformat
import pytest

import folds
import minutes
import sections
import slides
import slides_cells
import slides_notes
from builders import code, execute, markdown, notebook
from lessons_lib import catalogue, files, notebooks
from lessons_lib.errors import InputError

LESSONS = notebooks.find()
HEAD = markdown("# 01. Small\n\n*Time: 40 min*\n\nA beginning.")


def made(*cells):
    return slides_cells.slides(notebook(HEAD, *cells))


def titles(found):
    return [(slide.kind, slide.title) for slide in found]


def text(found):
    """All that these slides show, as it stands in their cells."""
    cells = [part.cell for slide in found for part in slide.parts]
    shown = [cell.source + str(cell.get("outputs", "")) for cell in cells]
    return "\n".join([*(slide.title for slide in found), *shown])


def said(found):
    return "\n".join(note for slide in found for note in slide.notes)


def typed(cell, kind):
    cell.metadata["slideshow"] = {"slide_type": kind}
    return cell


def printing(cell, *outputs):
    cell.outputs = [nbformat.v4.new_output(**output) for output in outputs]
    return cell


def line(words):
    return {"output_type": "stream", "name": "stdout", "text": words}


@pytest.fixture(scope="module")
def decks():
    return {path: slides.deck(path) for path in LESSONS}


# ---- the rule


def test_headings_begin_slides_and_the_time_is_on_none():
    found = made(markdown("## One\n\nText.\n\n### Two\n\nMore."))
    assert titles(found) == [("slide", "01. Small"), ("slide", "One"), ("subslide", "Two")]
    assert (found[1].kicker, found[2].kicker) == ("", "One")
    assert "*Time:" not in text(found)


def test_a_heading_without_a_word_leaves_its_place_to_the_next():
    found = made(markdown("## One\n\n### Two\n\nMore."))
    assert titles(found)[1:] == [("slide", "Two")]
    assert {"One", "Two"} <= set(found[1].headings)


def test_deeper_parts_references_imports_and_the_tally_are_on_no_slide():
    found = made(
        markdown("## You will be able to\n\n- do it"),
        code("import numpy", "hide-input"),
        markdown("Said of the imports."),
        markdown("## Deeper: more\n\ntoo deep"),
        code("too_deep = 1"),
        markdown("## Quiz\n\nNow."),
        code("widgets.tally(first)"),
        markdown("## References\n\n- a book"),
    )
    assert [slide.title for slide in found[1:]] == ["You will be able to", "Quiz"]
    assert not re.search("import numpy|deep|tally|book|Said of", text(found))
    assert "Said of the imports." in said(found)


def test_long_code_is_left_out_and_what_it_prints_is_not():
    lines = "\n\n".join(f"a{n} = {n}" for n in range(slides_cells.LINES))  # blank ones are free
    assert "a1 = 1" in text(made(markdown("## A\n\nText."), code(lines)))
    found = made(markdown("## A\n\nText."), printing(code(lines + "\nb = 1"), line("it prints")))
    assert "a1 = 1" not in text(found)
    assert "it prints" in text(found)
    assert f"{slides_cells.LINES + 1} lines of code" in said(found)


def test_an_exercise_has_a_slide_with_its_code_and_then_its_solution():
    fold = markdown(
        "<details>\n<summary>Solution of exercise 1.1</summary>\n\nCount.\n\n"
        "```python\nanswer = 42\nchecks.check_a(answer)\n```\n\n</details>"
    )
    fold.metadata[folds.KEY] = "1.1"
    open_exercise = printing(
        code("answer = ...\nchecks.check_a(answer)"), line("no answer yet: with the course's own\n")
    )
    found = made(
        markdown("## A\n\nText.\n\n**1.1** *Your turn.* Six times seven?"),
        open_exercise,
        fold,
        markdown("Then."),
    )
    assert [slide.title for slide in found[1:]] == [
        "A",
        "Your turn: 1.1",
        "Solution of 1.1",
        "A",
    ]
    assert "answer = ..." in text(found[2:3])
    assert "answer = 42" in text(found[3:4])
    assert "details" not in text(found)
    assert "no answer yet" not in text(found)


def test_of_a_paragraph_the_first_sentences_are_shown_and_all_of_it_is_said():
    long = " ".join(f"This is the sentence number {n}." for n in range(20))
    aside = "(An aside.)"
    found = made(markdown(f"## A\n\n{long} {aside}\n\n{aside}\n\nShort. {aside}"))
    shown = text(found[1:2])
    assert "number 0." in shown and "number 19." not in shown
    assert aside not in shown and "Short." in shown
    assert long in said(found)


@pytest.mark.parametrize(
    "whole",
    [
        "The value is `a. B`, said $x. Y$ once. " + "Word " * 45 + "end.",
        "**Bold. And more** " + "word " * 50 + "end.",
    ],
)
def test_a_sentence_is_not_cut_inside_code_or_bold(whole):
    shown = slides_cells.shortened(whole)
    assert all(shown.count(mark) % 2 == 0 for mark in ("`", "**", "$"))


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The slides of a lesson with an error, a figure, a prediction and a quiz, as they come."""
    drawing = code(
        "import matplotlib.pyplot as plt\nfrom IPython.display import display\n"
        "figure, _ = plt.subplots(figsize=(4, 3))\ndisplay(figure)\nplt.close()"
    )
    drawing.metadata["alt"] = "An empty frame."
    asks = (
        "from lessons_lib import widgets\nwidgets.predict('01.1', 'Which one?', ['this', 'that'])"
    )
    quiz = "widgets.quiz([widgets.Question(q, ['yes', 'no'], 0, 'So it is.') for q in ('P', 'Q')])"
    path = execute(
        tmp_path_factory.mktemp("lesson") / "01_small.ipynb",
        *(HEAD, code("x = 1\ny", "raises-exception"), drawing),
        *(markdown("## A\n\nText."), code(asks), code(quiz)),
    )
    return slides_cells.slides(notebooks.read(path))


def test_of_an_error_the_last_line_is_shown(executed):
    shown = text(executed)
    assert "NameError: name 'y' is not defined" in shown
    assert "Traceback" not in shown and "\x1b" not in shown


def test_a_figure_is_shown_without_its_code_and_with_what_it_shows(executed):
    assert "plt." not in text(executed)
    figure = next(p for slide in executed for p in slide.parts if "<img" in p.cell.source)
    assert 'alt="An empty frame."' in figure.cell.source
    assert figure.height == slides_cells.BODY  # as tall as the slide


def test_a_prediction_and_each_question_of_a_quiz_are_shown_alone(executed):
    found = [slide for slide in executed if slide.title == "A"]
    assert len(found) == 3
    assert "Which one?" in text(found[:1])
    for slide, question in zip(found[1:], ("1. P", "2. Q"), strict=True):
        assert text([slide]).count("<fieldset") == 1
        assert question in text([slide])
        assert "Answer: yes" in said([slide])
    assert "widgets" not in text(found)


def test_a_long_table_is_cut_and_says_so():
    rows = "\n".join(f"| {n} | {n * n} |" for n in range(40))
    found = made(markdown(f"## A\n\n| n | squared |\n| --- | --- |\n{rows}"))
    assert "| 0 | 0 |" in text(found) and "| 39 |" not in text(found)
    assert re.search(r"… \d+ more rows in the lesson", text(found))


def test_no_slide_has_more_than_there_is_room_for(decks):
    for path, found in decks.items():
        for slide in found:
            if len(slide.parts) > 1:
                assert sum(part.height for part in slide.parts) <= slide.room, (path.name, slide)


# ---- the cell's own word


@pytest.mark.parametrize("kind", ["skip", "notes"])
def test_a_cell_takes_itself_off_the_slides(kind):
    found = made(markdown("## A\n\nText."), typed(markdown("Not here."), kind))
    assert "Not here." not in text(found)
    assert ("Not here." in said(found)) == (kind == "notes")


@pytest.mark.parametrize("kind", ["slide", "subslide"])
def test_a_cell_begins_a_slide(kind):
    found = made(markdown("## A\n\nText."), typed(markdown("Apart."), kind))
    assert titles(found)[1:] == [("slide", "A"), (kind, "A")]


@pytest.mark.parametrize("kind", ["-", "fragment"])
def test_a_cell_is_shown_whatever_the_rule(kind):
    long = code("\n".join(f"a{n} = {n}" for n in range(slides_cells.LINES + 2)))
    found = made(markdown("## A\n\nText."), typed(long, kind))
    assert "a1 = 1" in text(found)
    made_of = [cell.metadata.get("slideshow") for cell in slides.notebook(found).cells]
    assert ({"slide_type": "fragment"} in made_of) == (kind == "fragment")


def test_a_slide_type_that_is_none_is_named():
    with pytest.raises(InputError, match=r"slide_type is one of slide, .* has 'sldie'"):
        made(typed(markdown("Text."), "sldie"))


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_what_a_lessons_cells_say_of_themselves_changes_its_slides(path):
    """Where the rule says the same, nothing is said."""
    lesson = notebooks.read(path)
    for cell in lesson.cells:
        if own := slides_cells.own_type(cell):
            before = text(slides_cells.slides(lesson))
            del cell.metadata["slideshow"]
            assert text(slides_cells.slides(lesson)) != before, (cell.id, own)
            cell.metadata["slideshow"] = {"slide_type": own}


# ---- the lessons


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_predictions_exercises_figures_and_key_points_are_on_the_slides(decks, path):
    shown, lesson = text(decks[path]), notebooks.read(path)
    assert "Key points" in shown and "In practice" in shown
    above = sections.headings(lesson)
    core = [
        c for c, heads in zip(lesson.cells, above, strict=True) if not sections.is_deeper(heads)
    ]
    for cell in core:
        for out in cell.get("outputs", []):
            data = out.get("data", {})
            if key := re.search(r'asks" data-key="([^"]+)"', data.get("text/html", "")):
                assert key[1] in shown
            if "image/png" in data:
                assert data["image/png"].strip() in shown
        if cell.cell_type == "markdown" and not folds.is_fold(cell):
            for block in re.split(r"\n\n", cell.source):
                if label := folds.LABEL.match(block):
                    assert f"{slides_cells.EXERCISE} {label[1]}" in shown
    assert "import matplotlib" not in shown and sections.DEEPER not in str(
        [slide.title for slide in decks[path]]
    )


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_deck_begins_with_the_lessons_question_and_ends_with_two_to_discuss(decks, path):
    found = decks[path]
    assert catalogue.QUESTIONS[path.name] == found[0].parts[0].cell.source
    assert [slide.title for slide in found[-2:]] == ["Discuss"] * 2
    assert all("Sample answer" in slide.notes[0] for slide in found[-2:])
    assert len(found) <= 50


def test_all_that_the_teachers_notes_say_is_said_once(decks):
    for path, found in decks.items():
        notes, spoken = slides_notes.read(int(path.name[:2])), said(found)
        for note in (note for some in notes.by_section.values() for note in some):
            assert spoken.count(note) == 1, (path.name, note)


def test_a_note_stands_at_its_section_or_exercise_with_its_minutes(decks):
    found = decks[notebooks.find([3])[0]]
    costs = next(slide for slide in found if slide.title == "What it costs")
    time = minutes.by_section(notebooks.read(notebooks.find([3])[0]))["What it costs"][0]
    assert costs.notes[0] == f"*About {round(time)} min.*"
    together = next(slide for slide in found if slide.title == "Your turn: 3.1")
    assert "Do together" in together.notes[0]


# ---- the pages


@pytest.fixture(scope="module")
def page():
    return slides.page(notebooks.find([0])[0])


def test_a_page_asks_nothing_of_other_machines(page):
    without_links = re.sub(r"<a [^>]*>", "", page)
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//|@import|url\(http""", without_links)
    assert "cdn" not in page.lower() and "require.js" not in page


def test_a_page_has_a_section_for_each_slide_and_the_notes_inside(page, decks):
    found = decks[notebooks.find([0])[0]]
    across = sum(slide.kind == "slide" for slide in found)
    assert page.count("<section") == across + len(found)
    assert page.count('<aside class="notes">') == sum(bool(slide.notes) for slide in found)


def test_a_page_is_the_same_at_each_build(page):
    assert slides.page(notebooks.find([0])[0]) == page


def test_only_slides_may_be_overwritten(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="holds no slides; name a new one"):
        slides.build(tmp_path, ["0"])
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_lesson_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="no lesson 77"):
        slides.build(tmp_path / "new", ["77"])
    assert not (tmp_path / "new").exists()


def test_without_the_packages_the_command_says_what_installs_them(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(slides, "NODE_MODULES", tmp_path / "none")
    monkeypatch.setattr("sys.argv", ["slides.py", "0", "--output", str(tmp_path / "new")])
    assert slides.main() == 1
    assert "run `make slides`, which installs it" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_the_command_writes_the_chosen_lessons_and_a_page_that_leads_to_them(tmp_path, monkeypatch):
    if not (files.ROOT / "node_modules" / "reveal.js").exists():
        pytest.skip("node_modules is missing: `make slides` installs it")
    monkeypatch.setattr("sys.argv", ["slides.py", "0", "--output", str(tmp_path / "new")])
    assert slides.main() == 0
    pages = {path.name for path in (tmp_path / "new").glob("*.html")}
    assert pages == {"index.html", "00_run_article.html"}
    index = (tmp_path / "new" / "index.html").read_text("utf-8")
    assert '<a href="00_run_article.html">0. Run the article</a>' in index
    assert (tmp_path / "new" / "reveal" / "LICENSE").exists()
    assert (tmp_path / "new" / "mathjax" / "LICENSE").exists()
