"""What the tests in a real browser share: is the site current, what did a page do, what keys do."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Locator, Page, expect

from chromium import SITE
from lessons_lib import files

AXE = files.ROOT / "node_modules" / "axe-core" / "axe.min.js"


def is_current() -> bool:
    """Tell whether the site is younger than all that it is made from, and has no address."""
    page = SITE / "notebooks" / "01_save_model.html"
    if not page.exists() or "mybinder.org" in page.read_text("utf-8"):
        return False
    sources = [files.ROOT / name for name in ("package-lock.json", "uv.lock", "README.md")]
    for folder in ("book", "notebooks", "lessons_lib", "tools", "data"):
        sources += [
            path
            for path in (files.ROOT / folder).rglob("*")
            if path.is_file() and not {"_build", "__pycache__"} & set(path.parts)
        ]
    built = page.stat().st_mtime
    return all(source.stat().st_mtime <= built for source in sources)


def violations(page: Page, part: str = "html") -> list[str]:
    """What axe finds wrong in a part of the page as it is shown now: each rule, and one place.

    A page of a lesson has thousands of tokens of code. Of each kind in each kind of place one stays
    a token; axe then sees it with its colours, and each other one as the plain text of its line.
    """
    if not page.evaluate("'axe' in window"):
        page.add_script_tag(path=AXE)
    return page.evaluate(
        """async (part) => {
          const seen = new Set();
          for (const token of document.querySelectorAll(".highlight span[class]")) {
            let kind = "";
            for (let at = token; at; at = at.parentElement) kind += at.tagName + at.className + ",";
            if (seen.has(kind)) token.replaceWith(...token.childNodes);
            seen.add(kind);
          }
          const only = { resultTypes: ["violations"] };
          return (await axe.run(part, only)).violations.map(
            ({ id, nodes }) => `${id}: ${nodes[0].html.slice(0, 200)} (${nodes.length} times)`);
        }""",
        part,
    )


class Watched:
    """What a page asked for and complained about: ``requests`` and ``errors``, in order."""

    def __init__(self, page: Page):
        self.requests: list[str] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._note)

    def _note(self, message) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def leaving(self, site: str) -> list[str]:
        """The requests to anywhere but the site."""
        own = (site, "data:", "blob:")
        return [url for url in self.requests if not url.startswith(own)]


@contextmanager
def kept_page(chromium: Browser, site: str) -> Iterator[Page]:
    """A page of a desktop for many tests, which at its end has complained of nothing."""
    page = chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
    seen = Watched(page)
    yield page
    page.context.close()
    assert seen.errors == []
    assert seen.leaving(site) == []


def answer_by_keyboard(page: Page, question: Locator) -> None:
    """Choose the right answer of a quiz's question, and check it, with keys alone."""
    question.locator("input").first.focus()
    page.keyboard.press("Space")
    for _ in range(int(question.get_attribute("data-correct"))):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(question.locator(".feedback")).to_contain_text("Correct")


def slide_by_keyboard(page: Page, slider: Locator) -> None:
    """Move the first slider one step to the right; the sum that it shows must change."""
    total = slider.locator(".total")
    before = total.inner_text()
    slider.locator("input").first.focus()
    page.keyboard.press("ArrowRight")
    expect(total).not_to_have_text(before)
