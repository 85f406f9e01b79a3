"""Predictions in a real browser: kept, answered and counted, by keyboard, and without a store."""

import re

import pytest
from playwright.sync_api import Page, expect

from chromium import served
from lessons_lib import widgets
from real_browser import answer_by_keyboard, slide_by_keyboard, violations

SIZE = widgets.predict("04.1", "How many `bytes`?", ["As many", "Half", "A quarter"])
SPEED = widgets.predict("04.2", "How fast?", ["As fast", "Faster"])
FORBIDDEN = """Object.defineProperty(window, "localStorage", {
  get() { throw new DOMException("forbidden", "SecurityError"); } });"""


@pytest.fixture(scope="module")
def lesson(tmp_path_factory):
    """The address of a page with two predictions, one outcome and a tally."""
    parts = [SIZE._repr_html_(), SPEED._repr_html_(), SIZE.outcome(1).data]
    parts.append(widgets.tally(SIZE, SPEED).data)
    folder = tmp_path_factory.mktemp("predictions")
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>A lesson</title>'
    head += '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
    body = f"<body><main><h1>A lesson</h1>{''.join(parts)}</main></body></html>"
    (folder / "index.html").write_text(head + body, encoding="utf-8")
    with served(folder) as address:
        yield address


def choose_by_keyboard(page: Page, key: str, index: int) -> None:
    """Tab into the question from the page's beginning, and choose with the arrow keys."""
    asked = page.locator(f".asks[data-key='{key}']")
    while not asked.locator("input").evaluate_all(
        "inputs => inputs.some((input) => input === document.activeElement)"
    ):
        page.keyboard.press("Tab")
    page.keyboard.press("Space")
    for _ in range(index):
        page.keyboard.press("ArrowDown")


def texts(page: Page) -> list[str]:
    """What the two questions, the outcome and the tally say."""
    said = page.locator(".asks [role=status], .tells p, .counts [role=status]")
    return [text.strip() for text in said.all_inner_texts()]


UNASKED = "Choose one before you go on."


def test_a_choice_is_kept_answered_and_counted(watched, lesson):
    page, seen = watched
    page.goto(lesson)
    assert texts(page) == [
        UNASKED,
        UNASKED,
        "Prediction 04.1: it is B. Half",
        "You made none of the 2.",
    ]
    choose_by_keyboard(page, SIZE.key, 2)
    chosen = [
        "You predict C. It is kept in this browser.",
        UNASKED,
        "You predicted C; it is B. Half",
        "0 of your 1 held, 1 not made.",
    ]
    assert texts(page) == chosen
    expect(page.locator(".tells p")).to_have_class("missed")
    page.reload()
    assert texts(page) == chosen
    assert page.locator("input:checked").evaluate_all("all => all.map((i) => i.value)") == ["2"]
    choose_by_keyboard(page, SIZE.key, 0)
    page.keyboard.press("ArrowUp")  # from C, which the key Tab went to
    assert texts(page)[2:] == [
        "You predicted B, and it is B. Half",
        "1 of your 1 held, 1 not made.",
    ]
    expect(page.locator(".tells p")).to_have_class("held")
    page.locator(".asks input").last.check()
    assert texts(page)[3] == "1 of your 2 held, 1 without a result yet: run its cell."
    assert seen.errors == []


def test_a_choice_is_held_where_nothing_may_be_stored(watched, lesson):
    page, seen = watched
    page.add_init_script(FORBIDDEN)
    page.goto(lesson)
    choose_by_keyboard(page, SIZE.key, 1)
    assert texts(page) == [
        "You predict B. It is kept until you leave this page.",
        UNASKED,
        "You predicted B, and it is B. Half",
        "1 of your 1 held, 1 not made.",
    ]
    assert page.locator("input:checked").count() == 1
    page.reload()
    assert texts(page)[0] == UNASKED
    assert seen.errors == []


def test_a_copy_shows_the_same_choice_in_a_group_of_its_own(watched, lesson):
    page, _ = watched
    page.goto(lesson)
    page.evaluate(
        """() => {
          const first = document.querySelector(".asks"), copy = document.createElement("div");
          copy.innerHTML = first.outerHTML.replace('data-ready="yes"', "");
          document.querySelector("main").append(copy);
          const script = document.createElement("script");
          script.textContent = copy.querySelector("script").textContent;
          copy.append(script);
        }"""
    )
    page.locator(".asks").last.locator("input").nth(1).check()
    checked = page.locator(".asks").evaluate_all(
        "all => all.map((root) => root.querySelector('input:checked')?.value ?? null)"
    )
    assert checked == ["1", None, "1"]


def stripped(html: str) -> str:
    """What JupyterLab leaves of a widget in a notebook that it does not trust, and a bit less."""
    bare = re.sub(r"<(script|style)>.*?</\1>", "", html, flags=re.DOTALL)
    return re.sub(r' (?:data-[\w-]+|role|name|value)="[^"]*"', "", bare)


def test_a_stripped_copy_is_passed_over(watched, tmp_path):
    """In JupyterLab, another notebook may lie open beside this one."""
    page, seen = watched
    asks = [widgets.Question("How many?", ["1", "2"], 1, "Counted.")]
    whole = [SIZE._repr_html_(), SIZE.outcome(1).data, widgets.tally(SIZE).data]
    whole += [widgets.quiz(asks).data, widgets.affine_slider([0.0, 1.0]).data]
    bare = re.sub(r"<(fieldset|button)\b.*?</\1>", "", "".join(map(stripped, whole)), flags=re.S)
    file = tmp_path / "lesson.html"
    file.write_text(f"<!doctype html><title>A lesson</title>{bare}{''.join(whole)}", "utf-8")
    page.goto(file.as_uri())
    page.locator(".asks input").first.check()
    assert texts(page)[-3:] == [
        "You predict A. It is kept in this browser.",
        "You predicted A; it is B. Half",
        "0 of your 1 held.",
    ]
    answer_by_keyboard(page, page.locator(".lesson-quiz fieldset").first)
    slide_by_keyboard(page, page.locator(".lesson-slider").last)
    assert seen.errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_predictions_have_no_violation(watched, lesson, scheme):
    page, _ = watched
    page.emulate_media(color_scheme=scheme)
    page.goto(lesson)
    for choice in (None, 0, 1):
        if choice is not None:
            page.locator(".asks").first.locator("input").nth(choice).check()
        assert violations(page) == []
