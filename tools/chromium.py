"""The built site in a real browser: where both are, and how to serve and to start them.

The tests, ``tools/record_browser.py`` and ``make bench`` share it.
"""

import contextlib
import functools
import http.server
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, Playwright, sync_playwright

from lessons_lib import files
from lessons_lib.errors import LessonError

ANSWERED = ("ready", "measured")  # states of the page try-it/ in which both models have answered
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


MISSING = "no Chromium is installed (Debian: apt-get install chromium; elsewhere: Chrome)"
_PROGRAMS = (
    *("chromium", "chromium-browser", "google-chrome", "chrome"),
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)


def executable() -> str | None:
    """Return the path of an installed Chromium or Chrome, or None."""
    return next(filter(None, map(shutil.which, _PROGRAMS)), None)


@contextmanager
def started(playwright: Playwright | None = None) -> Iterator[Browser]:
    """Yield a running Chromium without a window; raise LessonError when none is installed.

    ``playwright``: the one that runs already, where there is one; a thread can have no second.
    """
    path = executable()
    if path is None:
        raise LessonError(MISSING)
    with contextlib.nullcontext(playwright) if playwright else sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=ARGUMENTS)
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


def ready_seconds(browser: Browser, site: str) -> float:
    """Return the seconds until both models of ``try-it/`` have answered, with an empty cache."""
    context = browser.new_context()
    page = context.new_page()
    start = time.perf_counter()
    page.goto(f"{site}try-it/index.html", wait_until="commit")
    await_state(page, ANSWERED)
    seconds = time.perf_counter() - start
    context.close()
    return seconds


def await_state(page: Page, states: Iterable[str], patience: float = 180) -> None:
    """Wait, at most ``patience`` seconds, until the page ``try-it/`` is in one of ``states``."""
    page.wait_for_function(
        "states => states.includes(document.documentElement?.dataset.tryIt)",
        arg=list(states),
        timeout=1000 * patience,
    )
