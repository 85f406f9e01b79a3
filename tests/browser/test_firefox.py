"""The site in Firefox: every page loads without an error, and what moves, moves by keyboard.

The tests are those of the other modules; the fixtures behind them get Firefox for a browser.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

import test_lesson_folds
import test_look_inside
import test_pages
import test_predictions
import test_report_page
import test_try_it
from real_browser import Watched

FOLDS = (
    "test_a_deeper_section_shows_its_heading_and_opens_by_keyboard",
    "test_a_link_into_a_deeper_section_opens_it",
    "test_what_explains_is_shut_until_the_prediction_is_made",
    "test_show_anyway_shows_all_of_it_by_keyboard",
)
LOOK = (
    *("look", "models"),
    "test_a_drawing_is_computed",
    "test_keys_choose_an_output_a_channel_and_a_term",
)
WIDGETS = (
    "test_a_quiz_answers_by_keyboard_and_hides_its_code",
    "test_a_solution_unfolds",
    "test_formulas_are_set_by_the_sites_own_mathjax",
    "test_search_finds_a_term",
    "test_the_slider_moves_by_keyboard",
)
TAKEN = {
    test_lesson_folds: FOLDS,
    test_look_inside: LOOK,
    test_pages: WIDGETS,
    test_predictions: ("lesson", "test_a_choice_is_kept_answered_and_counted"),
    test_report_page: ("opened", "test_a_fold_opens_by_keyboard"),
    test_try_it: ("tryit", "test_the_models_see_the_pixels_of_the_test_digit"),
}
for module, names in TAKEN.items():
    globals().update({name: getattr(module, name) for name in names})


@pytest.fixture(scope="session")
def chromium(firefox: Browser) -> Browser:
    """Firefox, where a fixture asks for a browser."""
    return firefox


@pytest.fixture(scope="module")
def tour(firefox: Browser) -> Iterator[tuple[Page, Watched]]:
    """One page that goes from address to address."""
    page = firefox.new_context(viewport={"width": 1280, "height": 900}).new_page()
    yield page, Watched(page)
    page.context.close()


@pytest.mark.parametrize("name", [*test_pages.PAGES, *test_pages.MADE_BY_SPHINX])
def test_a_page_loads_without_an_error(tour, site, name):
    """No error, no request elsewhere; its title is there."""
    page, seen = tour
    seen.errors.clear()
    page.goto(site + name)
    expect(page.locator("h1:visible").first).to_be_visible()
    assert seen.errors == []
    assert seen.leaving(site) == []


def test_it_is_firefox(page, site):
    page.goto(site)
    assert "Firefox/" in page.evaluate("navigator.userAgent")


def test_an_error_in_firefox_would_be_seen(watched, site):
    page, seen = watched
    page.goto(site + "run.html")
    page.evaluate("console.error('first'); setTimeout(() => { throw new Error('second'); })")
    page.wait_for_timeout(500)
    assert seen.errors[0] == "first"
    assert "second" in seen.errors[1]


def test_look_inside_computes_what_python_does(look, models):
    expect(look.locator("#look-answer")).to_contain_text("The model answers 7 (0.99")
    shown = test_look_inside.shown_codes(look)
    assert len(shown) > 5
    assert (
        shown[min(shown)].ravel().tolist()
        == test_look_inside.codes(models["uint8"], 0).ravel().tolist()
    )


def test_try_it_answers(tryit):
    assert test_try_it.answers(tryit) == ["7", "7"]
