"""What the tests in a real browser share: where it is, where the site is, what a page did."""

import http.server
import shutil

from playwright.sync_api import Page

from lessons_lib import files

SITE = files.ROOT / "book" / "_build" / "html"
# Chromium as root, on a machine without a screen or a network.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
AXE = files.ROOT / "node_modules" / "axe-core" / "axe.min.js"


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        pass


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


def executable() -> str | None:
    """Return the path of an installed Chromium, or None."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


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
