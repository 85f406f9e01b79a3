"""The folds of the lessons' pages: deeper sections, and boxes that wait for a prediction."""

import re

import pytest
from playwright.sync_api import Page, expect

from real_browser import violations
from test_pages import settle

LESSON = "notebooks/00_run_article.html"
TREE = "deeper-the-tree-read-again"
NUMBER = "00.1"


def box(page: Page):
    return page.locator(f".explains[data-prediction='{NUMBER}']").first


def shown(page: Page) -> list[bool]:
    """Whether each box shows what stands in it."""
    return page.locator(".explains").evaluate_all(
        "all => all.map((box) => box.lastElementChild.checkVisibility())"
    )


@pytest.fixture
def without_scripts(chromium, site):
    context = chromium.new_context(java_script_enabled=False)
    yield context.new_page()
    context.close()


# ---- deeper sections


def test_a_deeper_section_shows_its_heading_and_opens_by_keyboard(page, site):
    page.goto(site + LESSON)
    section = page.locator(f"section#{TREE}")
    expect(section.locator("h2")).to_be_visible()
    expect(section.locator("pre").first).to_be_hidden()
    summary = section.locator("summary").first
    expect(summary).to_have_text(re.compile(r"^Read this part \(about \d+ min\)$"))
    summary.focus()
    page.keyboard.press("Enter")
    expect(section.locator("pre").first).to_be_visible()
    page.keyboard.press("Enter")
    expect(section.locator("pre").first).to_be_hidden()


def test_a_link_into_a_deeper_section_opens_it(page, site):
    page.goto(f"{site}{LESSON}#{TREE}")
    expect(page.locator(f"section#{TREE} pre").first).to_be_visible()


def test_a_link_on_the_page_opens_it_again_and_again(page, site):
    page.goto(site + LESSON)
    link = page.locator(f"#pst-page-navigation-heading-2 ~ nav a[href='#{TREE}'], "
                        f".page-toc a[href='#{TREE}']").first  # fmt: skip
    for _ in range(2):
        link.evaluate("link => link.click()")
        expect(page.locator(f"section#{TREE} pre").first).to_be_visible()
        page.locator(f"section#{TREE} summary").click()


def test_deeper_sections_are_open_in_print_and_shut_behind_it(page, site):
    page.goto(site + LESSON)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(page.locator(f"section#{TREE} pre").first).to_be_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(page.locator(f"section#{TREE} pre").first).to_be_hidden()


def test_the_imports_are_folded_and_open_by_keyboard_and_in_print(page, site):
    page.goto(site + LESSON)
    fold = page.locator("details.hidden-code")
    expect(fold.locator("summary")).to_have_text("Imports and set-up")
    expect(fold.locator("pre")).to_contain_text("import numpy as np")
    expect(fold.locator("pre")).to_be_hidden()
    fold.locator("summary").focus()
    for _ in range(2):
        page.keyboard.press("Enter")
        expect(fold.locator("pre")).to_be_visible()
        page.keyboard.press("Enter")
        expect(fold.locator("pre")).to_be_hidden()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(fold.locator("pre")).to_be_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(fold.locator("pre")).to_be_hidden()


def test_nothing_of_the_core_stands_in_a_fold(page, site):
    page.goto(site + LESSON)
    headings = page.locator("article h2")
    assert all(heading.is_visible() for heading in headings.all())


# ---- what explains a prediction


def test_what_explains_is_shut_until_the_prediction_is_made(page, site):
    page.goto(site + LESSON)
    assert shown(page)
    assert not any(shown(page))
    page.keyboard.press("Control+Home")
    page.locator(".lesson-prediction.asks input").first.focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    assert all(shown(page))
    expect(page.locator(".tells")).to_contain_text("You predicted B, and it is B.")
    page.reload()
    assert all(shown(page))
    expect(page.locator(".counts")).to_contain_text("1 of your 1 held.")


def test_the_link_leads_to_the_question(page, site):
    page.goto(site + LESSON)
    box(page).get_by_role("link", name="First predict it").click()
    expect(page.locator(".lesson-prediction.asks").first).to_be_in_viewport()
    assert not any(shown(page))


def test_show_anyway_shows_all_of_it_by_keyboard(page, site):
    page.goto(site + LESSON)
    box(page).get_by_role("button", name="show anyway").focus()
    page.keyboard.press("Enter")
    assert all(shown(page))
    assert page.evaluate("document.activeElement.className") == "explains is-open"
    expect(page.locator(".explains-first")).to_have_count(0)
    expect(page.locator(".tells")).to_contain_text("it is B.")


def test_a_link_into_a_box_opens_it(page, site):
    page.goto(site + LESSON)
    page.evaluate("document.querySelector('.explains > .cell').id = 'in-a-box'")
    page.evaluate("location.hash = 'in-a-box'")
    expect(page.locator("#in-a-box")).to_be_visible()


def test_where_nothing_may_be_stored_the_choice_opens_it(watched, site):
    page, _ = watched  # the theme complains
    page.add_init_script(
        """Object.defineProperty(window, "localStorage", {
          get() { throw new DOMException("forbidden", "SecurityError"); } });"""
    )
    page.goto(site + LESSON)
    assert not any(shown(page))
    page.locator(".lesson-prediction.asks input").nth(2).check()
    assert all(shown(page))


def test_without_scripts_all_can_be_read(without_scripts, site):
    page = without_scripts
    page.goto(site + LESSON)
    boxes = page.locator(".explains")
    assert boxes.count() > 0
    assert all(part.is_visible() for part in boxes.all())
    expect(page.locator(".tells")).to_contain_text("Prediction 00.1: it is B.")
    page.locator(f"section#{TREE} summary").click()
    expect(page.locator(f"section#{TREE} pre").first).to_be_visible()


def test_in_print_all_can_be_read(page, site):
    page.goto(site + LESSON)
    page.emulate_media(media="print")
    assert all(shown(page))
    expect(page.locator(".explains-first").first).to_be_hidden()


def test_the_code_of_a_prediction_is_not_shown_twice(page, site):
    page.goto(site + LESSON)
    for name in ("widgets.predict(", "widgets.tally("):
        assert page.get_by_text(name).count() == 0
    expect(page.get_by_text("outcome(").first).to_be_attached()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_shut_boxes_and_folds_have_no_violation(page, site, scheme):
    page.emulate_media(color_scheme=scheme)
    page.goto(site + LESSON)
    assert violations(page) == []
    box(page).get_by_role("button").click()
    page.evaluate("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
    settle(page)
    assert violations(page) == []
