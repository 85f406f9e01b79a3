"""Every page of the built site in a real browser: errors, requests, links, accessibility, width."""

import re
from html.parser import HTMLParser
from urllib.parse import unquote, urldefrag, urljoin

import pytest
from docutils import nodes
from playwright.sync_api import Page, expect

import sphinx_ext
from chromium import page_weight
from lessons_lib import files, notebooks
from real_browser import answer_by_keyboard, slide_by_keyboard, violations

NOTEBOOKS = sorted((files.ROOT / "notebooks").rglob("[0-9][0-9]_*.ipynb"))
NOTEBOOKS = [path for path in NOTEBOOKS if ".ipynb_checkpoints" not in path.parts]
BOOK = files.ROOT / "book"
PAGES = [
    *(path.relative_to(BOOK).with_suffix(".html") for path in BOOK.glob("*.md")),
    *(path.relative_to(BOOK).with_suffix(".html") for path in BOOK.glob("*/*.md")),
    *(path.relative_to(files.ROOT).with_suffix(".html") for path in NOTEBOOKS),
]
PAGES = sorted(path.as_posix() for path in PAGES)
# The teacher's pages are made alike: links are followed on all of them, and these are opened.
OPENED = ["README", "schedules", "concept-test", "set-up", "what-goes-wrong", "lessons/07"]
OPENED = [f"instructors/{name}.html" for name in OPENED]
TEACHING = [path.relative_to(files.ROOT) for path in (files.ROOT / "instructors").rglob("*.md")]
ALL = [*PAGES, *(path.with_suffix(".html").as_posix() for path in TEACHING)]
MADE_BY_SPHINX = ["genindex.html", "search.html"]
LANDING_BYTES = 600_000


def settle(page: Page) -> None:
    """Wait until colours have faded to their new ones, and the theme's scripts saw the new size."""
    page.evaluate("Promise.allSettled(document.getAnimations().map((fade) => fade.finished))")
    page.wait_for_timeout(400)
    wait_for_focusable(page)


def wait_for_focusable(page: Page) -> None:
    """Wait until the theme has made what scrolls reachable by keyboard.

    It looks at sizes 300 ms after the last change, on a busy machine later. Where it does not
    within 10 s, axe says so.
    """
    page.evaluate(
        """async () => {
          const scrolls = (code) => code.scrollWidth > code.clientWidth && code.tabIndex < 0;
          for (let i = 0; i < 100 && [...document.querySelectorAll("pre")].some(scrolls); i += 1)
            await new Promise((resolve) => setTimeout(resolve, 100));
        }"""
    )


def darken(page: Page) -> None:
    page.emulate_media(color_scheme="dark")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def scrolls_sideways(page: Page) -> bool:
    root = "document.documentElement"
    return page.evaluate(f"{root}.scrollWidth > {root}.clientWidth")


def test_the_site_has_these_pages(site_folder):
    built = [path.relative_to(site_folder).as_posix() for path in site_folder.rglob("*.html")]
    kept = [name for name in built if not name.startswith(("_static/", "slides/"))]
    assert sorted(kept) == sorted([*ALL, *MADE_BY_SPHINX])


@pytest.mark.parametrize("name", [*PAGES, *OPENED, *MADE_BY_SPHINX])
def test_a_page_is_sound_in_light_and_on_a_phone_in_the_dark(page, site, name):
    """No error, no request elsewhere (the fixture); nothing that axe finds, on a phone with all
    folds and boxes open; no sideways scroll.
    """
    page.goto(site + name, wait_until="networkidle")
    wait_for_focusable(page)
    assert violations(page) == []
    darken(page)
    page.evaluate(
        """() => {
          document.querySelectorAll("details").forEach((fold) => { fold.open = true; });
          document.querySelectorAll(".explains-first button").forEach((show) => show.click());
        }"""
    )
    page.set_viewport_size({"width": 390, "height": 844})
    settle(page)
    assert violations(page) == []
    assert not scrolls_sideways(page)


@pytest.mark.parametrize(
    "name", ["index", "glossary", "try-it/index", "look-inside/index", "notebooks/08_choose_path"]
)
def test_what_a_phone_hides_is_sound_in_the_dark(page, site, name):
    """The bars on both sides, which are made alike on every page of a kind."""
    page.goto(f"{site}{name}.html", wait_until="networkidle")
    darken(page)
    settle(page)
    assert violations(page) == []


def test_axe_would_find_something(page, site):
    page.goto(site + "run.html")
    page.evaluate("document.querySelector('article').innerHTML += '<img src=\"data:,\"><button>'")
    assert [text.split(":")[0] for text in violations(page)] == ["button-name", "image-alt"]


def test_axe_would_find_a_pale_token_wherever_it_stands(page, site):
    """Also the last of its kind, which is alone in being pale."""
    page.goto(site + "notebooks/03_quantize_tensor.html")
    page.evaluate(
        """() => [...document.querySelectorAll("article .highlight .n")].findLast(
             (token) => token.checkVisibility()).classList.add("pale")"""
    )
    page.add_style_tag(content=".highlight .pale { color: #ddd !important; }")
    assert [text.split(":")[0] for text in violations(page)] == ["color-contrast"]


def test_what_is_too_wide_would_be_found(page, site):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(site + "run.html")
    assert not scrolls_sideways(page)
    page.evaluate("document.querySelector('article').innerHTML += '<p style=width:2000px>wide'")
    assert scrolls_sideways(page)


def test_an_error_would_be_seen(watched, site):
    page, seen = watched
    page.goto(site + "run.html")
    page.evaluate("console.error('first'); setTimeout(() => { throw new Error('second'); })")
    page.wait_for_timeout(200)
    assert seen.errors == ["first", "second"]


def test_a_request_that_leaves_would_be_seen(watched, site):
    page, seen = watched
    page.goto(site + "run.html")
    page.evaluate("fetch('http://elsewhere.invalid/').catch(() => {})")
    page.wait_for_timeout(200)
    assert seen.leaving(site) == ["http://elsewhere.invalid/"]


class Links(HTMLParser):
    """The addresses in a page, and the places in it that an address can name."""

    def __init__(self, text: str):
        super().__init__()
        self.targets: set[str] = set()
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attributes) -> None:
        values = dict(attributes)
        self.targets |= {values[key] for key in ("href", "src") if values.get(key)}
        self.places |= {values[key] for key in ("id", "name") if values.get(key)}


def broken(pages: dict[str, Links], exists) -> list[str]:
    """Links to a file that ``exists`` denies, or to a place that the page does not have."""
    found = []
    for name, links in pages.items():
        for target in links.targets:
            if re.match(r"[a-z]+:", target):
                continue
            address, place = urldefrag(urljoin("/" + name, target))
            address = unquote(address).lstrip("/").partition("?")[0]
            known = pages[address].places if address in pages else {place}
            if address == "look-inside/index.html" and "=" in place:
                place = ""  # what to open there: test_look_inside follows it
            if not exists(address) or (place and place not in known):
                found.append(f"{name}: {target}")
    return found


def test_no_link_inside_the_site_is_broken(site_folder):
    names = [*ALL, *MADE_BY_SPHINX]
    pages = {name: Links((site_folder / name).read_text("utf-8")) for name in names}
    assert sum(len(links.targets) for links in pages.values()) > 1000
    assert broken(pages, lambda address: (site_folder / address).is_file()) == []


def test_a_broken_link_would_be_found():
    pages = {"a/b.html": Links('<a href="../c.html"></a><a href="#here"></a><a href="#no"></a>')}
    pages["a/b.html"].places.add("here")
    assert sorted(broken(pages, lambda address: address == "a/b.html")) == [
        "a/b.html: #no",
        "a/b.html: ../c.html",
    ]


def test_the_landing_page_is_light(chromium, site):
    assert sum(page_weight(chromium, site).values()) < LANDING_BYTES


@pytest.mark.parametrize("name", ALL)
def test_the_runtime_is_loaded_on_its_page_only(site_folder, name):
    text = (site_folder / name).read_text("utf-8")
    assert ('<script type="importmap">' in text) == (name == "try-it/index.html")


def test_the_runtime_is_seen_where_it_is_loaded(chromium, site):
    loaded = page_weight(chromium, site + "try-it/index.html")
    assert any(url.endswith(".wasm") for url in loaded)
    assert not any(url.endswith(".wasm") for url in page_weight(chromium, site))


def test_the_icons_are_there(page, site):
    """Cut to those in use, the icon font must still draw each one."""
    page.goto(site, wait_until="networkidle")
    assert page.evaluate(
        """async () => {
          await document.fonts.ready;
          const icons = [...document.querySelectorAll("i[class*=fa-]")].filter((i) => i.checkVisibility());
          const code = (icon) => getComputedStyle(icon, "::before").content;
          return icons.length > 3 && icons.every((icon) => !["none", "normal"].includes(code(icon)));
        }"""  # noqa: E501
    )


# ---- what a reader does


def test_each_leaf_of_the_tree_leads_to_its_lesson(page, site):
    page.goto(site + "results.html")
    leaves = page.locator(".tree .leaf")
    assert leaves.count() == 7
    for leaf in leaves.all():
        path = leaf.locator("b").inner_text()
        lesson = leaf.get_attribute("href")
        assert page.request.get(site + lesson).text().count(path) > 1


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_download_is_the_notebook(page, site, path):
    name = path.relative_to(files.ROOT).as_posix()
    page.goto(site + name.replace(".ipynb", ".html"))
    link = page.locator("a[href$='.ipynb']").first.get_attribute("href")
    assert page.request.get(urljoin(page.url, link)).body() == path.read_bytes()


def test_there_are_no_links_to_colab_without_an_address(site_folder):
    for path in site_folder.rglob("*.html"):
        assert not re.search(r"colab\.research|mybinder", path.read_text("utf-8")), path.name


def test_previous_and_next(page, site):
    page.goto(site + "notebooks/08_choose_path.html")
    page.get_by_title("next page").click()
    expect(page).to_have_url(re.compile(r"09_run_int8\.html$"))
    page.get_by_title("previous page").click()
    expect(page).to_have_url(re.compile(r"08_choose_path\.html$"))


def test_search_finds_a_term(page, site):
    page.goto(site)
    page.keyboard.press("Control+k")
    page.keyboard.type("straight-through")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"search\.html"))
    found = page.locator("#search-results a[href*='12_train_quantization']")
    expect(found.first).to_be_visible()


def test_a_mention_of_a_lesson_is_a_link(page, site):
    page.goto(site + "notebooks/13_quantize_litert.html")
    links = page.locator("article a[href='07_quantize_integers.html']")
    assert links.count() > 0


def test_the_slider_moves_by_keyboard(page, site):
    page.goto(site + "notebooks/03_quantize_tensor.html#deeper-the-slider")  # opens the fold
    slide_by_keyboard(page, page.locator(".lesson-slider").first)


def test_a_quiz_answers_by_keyboard_and_hides_its_code(page, site):
    page.goto(site + "notebooks/03_quantize_tensor.html")
    expect(page.get_by_text("widgets.Question(")).to_have_count(0)
    answer_by_keyboard(page, page.locator(".lesson-quiz fieldset").first)


def test_a_solution_unfolds(page, site):
    page.goto(site + "notebooks/03_quantize_tensor.html")
    fold = page.locator("article details").filter(has_text="Solution").first
    code = fold.locator("pre").first
    expect(code).to_be_hidden()
    fold.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(code).to_be_visible()


def test_formulas_are_set_by_the_sites_own_mathjax(page, site):
    page.goto(site + "notebooks/03_quantize_tensor.html", wait_until="networkidle")
    expect(page.locator("mjx-container svg").first).to_be_visible()


def test_a_figure_has_the_text_of_its_cell_or_of_its_section(page, site):
    page.goto(site + "notebooks/00_run_article.html")
    texts = page.locator("article .cell_output img").evaluate_all("all => all.map((i) => i.alt)")
    cells = notebooks.code_cells(notebooks.read(notebooks.find([0])[0]))
    assert texts == [cell.metadata["alt"] for cell in cells if "alt" in cell.metadata]
    assert len(texts) > 0


def test_a_figure_without_a_text_would_get_its_sections():
    section = nodes.section("", nodes.title("", "Small files"))
    cell, image = nodes.container(cell_metadata={}), nodes.image()
    section += cell
    cell += image
    assert sphinx_ext.said_of(image) == "Figure in the section “Small files”"
    cell["cell_metadata"]["alt"] = "A line falls."
    assert sphinx_ext.said_of(image) == "A line falls."
