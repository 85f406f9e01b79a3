"""What the tests in a real browser share: whether the site is current, and what a page did."""

from playwright.sync_api import Page

from chromium import SITE
from lessons_lib import files

AXE = files.ROOT / "node_modules" / "axe-core" / "axe.min.js"


def is_current() -> bool:
    """Tell whether the site is younger than all that it is made from."""
    page = SITE / "try-it" / "models" / "manifest.json"
    if not page.exists():
        return False
    sources = [files.ROOT / name for name in ("package-lock.json", "uv.lock", "README.md")]
    for folder in ("book", "notebooks", "lessons_lib", "tools"):
        sources += [
            path
            for path in (files.ROOT / folder).rglob("*")
            if path.is_file() and not {"_build", "__pycache__"} & set(path.parts)
        ]
    built = (SITE / "index.html").stat().st_mtime
    return all(source.stat().st_mtime <= built for source in sources)


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
