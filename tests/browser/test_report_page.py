"""The report's page in a real browser: sound in light, in the dark, on a phone, on paper."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

import reports
from hostile_reports import PAYLOADS, hostile
from lessons_lib import page as report_page
from real_browser import AXE, Watched
from real_browser import violations as found_by_axe

CASES = ("classifier", "many", "two_outputs", "without_data", "nothing_passes")
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
PAPER = {"width": 700, "height": 990}


@pytest.fixture
def opened(chromium: Browser, tmp_path: Path) -> Iterator:
    """Opens a report as its owner does, a file on the disk; nothing else may be asked for."""
    contexts, seen = [], []

    def opened(found, viewport=DESKTOP, allow_axe=True, **options) -> Page:
        file = tmp_path / "report.html"
        file.write_text(report_page.html(found), encoding="utf-8")
        # The page forbids all scripts, and axe is one.
        context = chromium.new_context(viewport=viewport, bypass_csp=allow_axe, **options)
        contexts.append(context)
        page = context.new_page()
        seen.append(Watched(page))
        page.goto(file.as_uri())
        return page

    yield opened
    for watched in seen:
        assert watched.errors == []
        assert watched.leaving(tmp_path.as_uri()) == []
    for context in contexts:
        context.close()


def violations(page: Page) -> list[str]:
    if not AXE.exists():
        pytest.skip("node_modules is missing: `make book` installs it")
    return found_by_axe(page)


def unfold(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")


def scrolls_sideways(page: Page) -> bool:
    root = "document.documentElement"
    return page.evaluate(f"{root}.scrollWidth > {root}.clientWidth")


def overlapping(page: Page) -> list[list[str]]:
    """Pairs of texts in a figure that is shown whose boxes overlap."""
    return page.evaluate(
        """() => {
          const all = [...document.querySelectorAll("svg")];
          return all.filter((svg) => svg.checkVisibility()).flatMap((svg) => {
            const texts = [...svg.querySelectorAll("text")].map(
              (text) => [text.textContent, text.getBoundingClientRect()]);
            return texts.flatMap(([one, a], n) => texts.slice(n + 1)
              .filter(([, b]) => a.left < b.right && b.left < a.right
                && a.top + 3 < b.bottom && b.top + 3 < a.bottom)
              .map(([other]) => [one, other]));
          });
        }"""
    )


def outside(page: Page) -> list[str]:
    """Texts of a figure that leave it."""
    return page.evaluate(
        """() => [...document.querySelectorAll("svg")].filter((svg) => svg.checkVisibility())
          .flatMap((svg) => {
            const box = svg.getBoundingClientRect();
            return [...svg.querySelectorAll("text")]
              .filter((text) => text.getBoundingClientRect().right > box.right + 1
                || text.getBoundingClientRect().left < box.left - 1)
              .map((text) => text.textContent);
          })"""
    )


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("viewport", "scheme"),
    [(DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light"), (PHONE, "dark")],
)
def test_it_is_sound(opened, case, viewport, scheme):
    page = opened(getattr(reports, case)(), viewport, color_scheme=scheme)
    unfold(page)
    assert violations(page) == []
    assert not scrolls_sideways(page)
    assert overlapping(page) == [] == outside(page)


def test_what_overlaps_would_be_found(opened):
    page = opened(reports.classifier())
    page.evaluate(
        """() => { const [first, second] = document.querySelectorAll("svg.wide text:not([class])");
          second.setAttribute("y", first.getAttribute("y")); }"""
    )
    assert len(overlapping(page)) == 1


def test_light_and_dark_differ(opened):
    colour = "getComputedStyle(document.body).backgroundColor"
    shades = [
        opened(reports.classifier(), color_scheme=scheme).evaluate(colour)
        for scheme in ("light", "dark")
    ]
    assert shades == ["rgb(255, 255, 255)", "rgb(20, 23, 28)"]


@pytest.mark.parametrize("case", ["classifier", "many", "without_data"])
def test_on_paper_nothing_is_folded_or_dark(opened, case):
    page = opened(getattr(reports, case)(), PAPER, color_scheme="dark")
    page.emulate_media(media="print")
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(255, 255, 255)"
    expect(page.get_by_text("How long one sample takes beside")).to_be_visible()
    expect(page.locator("table.rows thead")).to_be_visible()
    assert not scrolls_sideways(page)
    assert violations(page) == []
    assert len(page.pdf(format="A4")) > 10_000


def test_a_fold_opens_by_keyboard(opened):
    page = opened(reports.classifier(), allow_axe=False)
    words = page.get_by_text("How long one sample takes beside")
    expect(words).to_be_hidden()
    page.locator("summary", has_text="What the words").focus()
    page.keyboard.press("Enter")
    expect(words).to_be_visible()


@pytest.mark.parametrize("kind", PAYLOADS)
@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_a_strangers_words_break_nothing(opened, kind, viewport):
    """Scripts would run here: what keeps them out is the escaping alone."""
    page = opened(hostile(reports.two_outputs(), PAYLOADS[kind]), viewport)
    unfold(page)
    assert page.evaluate("window.broken") is None
    assert page.locator("script, iframe, img, b[a]").count() == 0
    assert violations(page) == []
    assert not scrolls_sideways(page)
    assert outside(page) == []


def test_a_script_that_came_in_would_not_run(chromium, tmp_path):
    """The page forbids it, should the escaping fail; without that it would run."""
    text = report_page.html(reports.classifier())
    spoilt = text.replace("<main>", "<main><script>window.broken = 1</script>")
    for forbids in (True, False):
        file = tmp_path / "report.html"
        file.write_text(spoilt if forbids else spoilt.replace("default-src 'none'", ""), "utf-8")
        context = chromium.new_context()
        page = context.new_page()
        page.goto(file.as_uri())
        assert page.evaluate("window.broken ?? null") == (None if forbids else 1)
        context.close()
