"""The minutes of a lesson follow from its notebook, by one rule."""

import nbformat
import pytest

import minutes
from builders import code, markdown, notebook
from lessons_lib import notebooks

LINE = f"*Time: 10 min · runs in about 20 s on {notebooks.MACHINE} · needs lesson 1*"


def shown(kind, content):
    cell = code("f()")
    cell.outputs = [nbformat.v4.new_output("display_data", data={kind: content})]
    return cell


def fold(text):
    cell = markdown(text)
    cell.metadata["fold"] = "1.1"
    return cell


def solved(*lines):
    return fold("Why.\n\n```python\n" + "\n".join(lines) + "\n```\n")


BLANK = "first = ...\n# the second\nsecond = ...\nprint(first)\nchecks.check_a(first, second)"
TYPED = ("import numpy as np", "", "first = 1", "# why", "print(first)")
CHECKED = "checks.check_a(first, second)"
FUNCTION = "def f(x): ...\n\n\nchecks.check_f(f)"
F_SOLVED = ("def f(x):", "    return g(", "        x", "    )", "", "checks.check_f(f)")
QUIZ = """widgets.quiz(
    [widgets.Question("one two", ["three", "four"], 0, "five")]
)"""
PREDICTION = """size = widgets.predict(
    "01.1", "one two?", ["three", "four"]
)
size"""


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([markdown("word " * 180)], 1),
        ([markdown("# Two words\n\n`code`, $x = y$, <b>bold</b>, [a link](to/there.md)")], 5 / 180),
        ([markdown("```python\nx = 1\n```\n\n![no words](here.png) <!-- nor here -->")], 0),
        ([markdown("| a | b |\n|-|-|\n| 1 | 2 |\n\nword\n\n| c |\n|-|\n| 3 |")], 8 + 1 / 180),
        ([code("x = 1\n\n# why\ny = 2")], 3 / 12),
        ([shown("image/png", "")], 1 / 12 + 4),
        ([shown("text/html", "<table></table>")], 1 / 12 + 4),
        ([shown("text/html", "<table></table><script></script>")], 1 / 12),
        ([shown("text/plain", "1")], 1 / 12),
        ([markdown("## Exercises"), code("checks.check_a(1)")], 1 / 180 + 1 / 12 + 6),
        ([markdown("## Your turn"), code("checks.check_a(1)")], 2 / 180 + 1 / 12 + 6),
        ([code("checks.check_a(1)")], 1 / 12 + 3),
        ([code(BLANK), solved(*TYPED, "second = 2", CHECKED)], 5 / 12 + 3),
        ([code(BLANK), solved(*TYPED, "x = 1", "second = 2", CHECKED)], 5 / 12 + 6),
        ([code(BLANK), solved(*TYPED, "x = 1", "second = 2", "other.check_a(1)")], 5 / 12 + 3),
        ([code("checks.check_a(1)\nchecks.check_b(2)"), solved("a = 1", "checks.check_a(a)"),
          solved("b = 1", "b += 1", "b -= 1", "checks.check_b(b)")], 2 / 12 + 3 + 6),
        ([code(FUNCTION), solved(*F_SOLVED)], 2 / 12 + 3),
        ([code(FUNCTION), solved("y = 1", *F_SOLVED)], 2 / 12 + 6),
        ([code(BLANK), markdown("one"), solved("a", "b", "c", CHECKED)], 5 / 12 + 3 + 1 / 180),
        ([markdown("## Exercises"), code(BLANK), solved("a", "b", "c", CHECKED)],
         1 / 180 + 5 / 12 + 6),
        ([code(QUIZ)], 5 / 180 + 0.5),
        ([code(PREDICTION)], 5 / 180 + 1 / 12 + 1),
        ([markdown("## Exercises\n\n### Open task: one"), code(BLANK)], 4 / 180 + 5 / 12 + 12),
        ([fold("word " * 180)], 0),
        ([markdown("## References\n\nA book."), code("x")], 0),
        ([markdown(LINE)], 0),
    ],
)  # fmt: skip
def test_what_counts(cells, expected):
    assert minutes.minutes(notebook(*cells)) == (pytest.approx(expected),) * 2


def test_what_is_done_is_not_reading():
    lesson = notebook(markdown("word " * 180), code(PREDICTION), code(QUIZ), code(BLANK))
    read = 1 + (5 + 5) / 180 + (1 + 5) / 12
    assert minutes.reading(lesson) == pytest.approx(read)
    assert minutes.minutes(lesson)[0] == pytest.approx(read + 1 + 0.5 + 3)


def test_a_deeper_section_ends_at_the_next_heading_of_its_height():
    content = notebook(
        markdown("word " * 180),
        markdown("## Deeper: more\n" + "word " * 178),
        markdown("### Inside\n" + "word " * 179),
        code("\n".join("x" * 12)),
        markdown("## Back\n" + "word " * 179),
        markdown("### Deeper: again\n" + "word " * 178),
    )
    assert minutes.minutes(content) == (pytest.approx(2), pytest.approx(6))


def test_the_line_is_written_rounded_and_once():
    lesson = notebook(markdown(f"# 03. Title\n\n{LINE}\n\nText."), markdown("word " * 180 * 33))
    minutes.write(lesson)
    first = lesson.cells[0].source
    assert first == f"# 03. Title\n\n{LINE.replace('10 min', '35 min')}\n\nText."
    minutes.write(lesson)
    assert lesson.cells[0].source == first


def test_a_lesson_with_deeper_sections_says_both():
    lesson = notebook(
        markdown(LINE.replace(" with VNNI", "")),
        markdown("word " * 180 * 33),
        markdown("## Deeper: more\n" + "word " * 180 * 20),
    )
    minutes.write(lesson)
    assert lesson.cells[0].source == LINE.replace("10 min", "core 35 min, with everything 55 min")
    assert notebooks.times(lesson) == notebooks.Times(35, 55, 20, notebooks.MACHINE, "lesson 1")


def test_deeper_sections_that_change_no_printed_minute_are_not_named():
    lesson = notebook(markdown(LINE), markdown("word " * 5400), markdown("## Deeper: in\nWord."))
    minutes.write(lesson)
    assert lesson.cells[0].source == LINE.replace("10 min", "30 min")


def test_a_notebook_without_a_line_stays_as_it_is():
    solutions = notebook(markdown("**1.1** Why?"))
    minutes.write(solutions)
    assert solutions.cells[0].source == "**1.1** Why?"
