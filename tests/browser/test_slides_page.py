"""The slides in a real browser: nothing beyond an edge, large enough, keys, notes, no network."""

import pytest
from playwright.sync_api import expect

import slides
from chromium import served
from lessons_lib import files, notebooks
from real_browser import violations

LESSONS = notebooks.find()
SMALLEST = 18  # of 720 pixels: printed tables of many columns; all else is larger

# How far what a slide shows reaches, its smallest type, and formulas that are not set.
MEASURE = """() => {
  const slide = Reveal.getCurrentSlide(), edge = slide.getBoundingClientRect();
  const shown = [...slide.querySelectorAll(":scope *:not(aside, aside *, style, script)")]
    .filter((node) => node.checkVisibility() && node.getBoundingClientRect().height > 1);
  const boxes = shown.map((node) => node.getBoundingClientRect());
  const texts = shown.filter((node) => !node.closest("mjx-container")
    && [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim()));
  return {
    title: slide.querySelector("h1, h2")?.innerText,
    bottom: Math.max(...boxes.map((box) => box.bottom - edge.top)),
    right: Math.max(...boxes.map((box) => box.right - edge.left)),
    hidden: shown.filter((node) => node.scrollWidth > node.clientWidth + 1
      && getComputedStyle(node).overflowX !== "visible").map((node) => node.tagName),
    type: Math.min(...texts.map((node) => parseFloat(getComputedStyle(node).fontSize))),
    raw: texts.some((node) => !node.closest("pre, code") && /\\$[^$]+\\$/.test(node.textContent)),
  };
}"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What ``make slides`` writes."""
    if not (files.ROOT / "node_modules" / "reveal.js").exists():
        pytest.skip("node_modules is missing: `make slides` installs it")
    made = tmp_path_factory.mktemp("made") / "slides"
    slides.build(made)
    return made


@pytest.fixture(scope="module")
def address(folder):
    with served(folder) as found:
        yield found


@pytest.fixture
def deck(watched, address):
    """Opens a lesson's slides, 1280 x 720; in the end they asked for nothing, and were sound."""
    page, seen = watched
    page.set_viewport_size({"width": 1280, "height": 720})

    def opened(number, place=address):
        path = notebooks.find([number])[0]
        page.goto(f"{place}{path.stem}.html")
        page.wait_for_function("document.documentElement.dataset.slides === 'ready'")
        return page

    yield opened
    assert seen.errors == []
    assert [url for url in seen.leaving(address) if not url.startswith("file:///")] == []


def each_slide(page):
    """Measure each slide, from the first to the last."""
    return page.evaluate(f"""() => {{
      const found = [];
      for (let last = false; !last; Reveal.next()) {{
        found.push(({MEASURE})());
        last = Reveal.isLastSlide();
      }}
      return found;
    }}""")


def too_far(measured):
    return measured["bottom"] > 720 - 40 or measured["right"] > 1280 - 40 or measured["hidden"]


def go_to(page, text):
    """Go to the slide that shows this."""
    page.evaluate(
        """(text) => Reveal.slide(...Object.values(Reveal.getIndices(Reveal.getSlides().find(
          (slide) => slide.textContent.includes(text)))).slice(0, 2))""",
        text,
    )


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_each_slide_fits_is_large_enough_and_has_a_title(deck, path):
    measured = each_slide(deck(int(path.name[:2])))
    assert len(measured) == len(slides.deck(path))
    assert [one for one in measured if too_far(one)] == []
    assert [one for one in measured if one["type"] < SMALLEST] == []
    assert [one for one in measured if not one["title"] or one["raw"]] == []


def test_what_does_not_fit_would_be_seen(deck):
    page = deck(0)
    assert not too_far(page.evaluate(MEASURE))
    add = "(style) => Reveal.getCurrentSlide().insertAdjacentHTML('beforeend', style)"
    page.evaluate(add, "<p id='x' style='margin-top: 500px; font-size: 9px'>Too low, $x$.</p>")
    seen = page.evaluate(MEASURE)
    assert too_far(seen) and seen["type"] == 9 and seen["raw"]
    page.evaluate("document.querySelector('#x').remove()")
    page.evaluate(add, "<pre style='overflow: auto; white-space: pre'>" + "wide " * 99 + "</pre>")
    assert page.evaluate(MEASURE)["hidden"] == ["PRE"]


def test_a_clicked_prediction_gives_the_keys_back_and_is_remembered(deck):
    page = deck(3)
    go_to(page, "Which number has the largest error?")
    shown = page.locator("section.present section.present")
    shown.get_by_text("2.54").click()
    expect(shown.locator("[role=status]")).to_contain_text("You predict D.")
    number = page.evaluate("Reveal.getSlidePastCount()")
    page.keyboard.press("Space")
    assert page.evaluate("Reveal.getSlidePastCount()") == number + 1
    go_to(page, "and it is")
    expect(shown.locator(".tells")).to_contain_text("You predicted D, and it is D.")


def test_a_quiz_answers_on_its_slide_and_hides_the_answer_before(deck):
    page = deck(3)
    go_to(page, "How far off can a value be?")
    shown = page.locator("section.present section.present")
    expect(shown.get_by_text("Rounding goes to the nearest step").first).to_be_hidden()
    shown.get_by_text("0.01", exact=True).first.click()
    shown.get_by_role("button", name="Check").click()
    expect(shown.locator(".feedback")).to_contain_text("Correct.")
    assert not too_far(page.evaluate(MEASURE))


def test_the_slide_has_its_number_and_its_own_address(deck):
    page = deck(0)
    page.keyboard.press("ArrowRight")
    expect(page.locator(".slide-number")).to_have_text("2 / " + str(len(slides.deck(LESSONS[0]))))
    page.wait_for_url("**#/*")
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    expect(page.locator("section.present section.present h2")).to_have_text("You will be able to")


@pytest.mark.parametrize("from_disk", [False, True], ids=["served", "from a disk"])
def test_the_speakers_view_shows_the_notes_of_the_slide(deck, folder, address, from_disk):
    page = deck(3, f"{folder.as_uri()}/" if from_disk else address)
    assert page.locator("mjx-container svg").count() > 0
    go_to(page, "Write this for any range that holds 0")
    with page.expect_popup() as opened:
        page.keyboard.press("s")
    notes = opened.value.locator(".speaker-controls-notes")
    expect(notes).to_contain_text("everyone with a pencil first")
    expect(page.get_by_text("everyone with a pencil first")).to_be_hidden()


def test_printed_each_slide_is_a_page_with_its_edges(watched, address):
    page, _ = watched
    page.goto(f"{address}{LESSONS[3].stem}.html?print-pdf")
    page.wait_for_selector(".pdf-page")
    page.emulate_media(media="print")
    expect(page.locator(".pdf-page")).to_have_count(len(slides.deck(LESSONS[3])))
    for title in page.locator(".pdf-page h2").all():
        assert title.evaluate("node => node.getBoundingClientRect().left") >= 40


def test_the_pages_have_no_violation(deck, folder, address):
    page = deck(3)
    # The notes' headings and those of other slides are not on the screen.
    for text in ("What it costs", "Your turn: 3.1", "How far off can a value be?"):
        go_to(page, text)
        assert violations(page) == [], text
    page.goto(address)
    assert violations(page) == []
    page.get_by_role("link", name="0. Run the article").click()
    expect(page.locator("h1")).to_have_text("00. Run the article")


def test_the_site_leads_to_the_slides(page, site):
    page.goto(f"{site}teach.html")
    page.get_by_role("link", name="the slides").first.click()
    page.get_by_role("link", name="0. Run the article").click()
    expect(page.locator("h1")).to_have_text("00. Run the article")
