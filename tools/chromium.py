"""The built site in a real browser: where both are, and how to serve and to start them.

The tests, ``tools/record_browser.py`` and ``make bench`` share it.
"""

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from lessons_lib import files
from lessons_lib.errors import LessonError

SITE = files.ROOT / "book" / "_build" / "html"
# Also as root, without a screen, a graphics card or a network.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def executable() -> str | None:
    """Return the path of an installed Chromium, or None."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(filter(None, map(shutil.which, names)), None)


@contextmanager
def started() -> Iterator[Browser]:
    """Yield a running Chromium without a window; raise LessonError when none is installed."""
    path = executable()
    if path is None:
        raise LessonError("no Chromium is installed (Debian: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        pass


@contextmanager
def served(folder: Path = SITE) -> Iterator[str]:
    """Yield the address of ``folder``, served from this machine only; it ends with a slash."""
    handler = functools.partial(_QuietHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def page_weight(browser: Browser, address: str) -> dict[str, int]:
    """Return the bytes of each answer to a page's requests, uncompressed, by address."""
    answers = []
    page = browser.new_page()
    page.on("response", lambda answer: answers.append(answer))
    page.goto(address, wait_until="networkidle")
    weight = {answer.url: len(answer.body()) for answer in answers}
    page.close()
    return weight
