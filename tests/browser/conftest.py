"""A real browser on the built site; skipped, with the reason, where something for it is missing."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from playwright.sync_api import Browser, Page, expect

from chromium import MISSING, SITE, executable, served, started
from lessons_lib import files
from real_browser import AXE, Watched, is_current

PATIENCE = 180_000  # milliseconds: for what never comes; a busy machine may be slow
PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A Chromium without a window; Playwright's event loop then runs in this process."""
    if executable() is None:
        pytest.skip(MISSING)
    expect.set_options(timeout=PATIENCE)
    with started() as browser:
        yield browser


@pytest.fixture(scope="session")
def site_folder() -> Path:
    """The folder of the built site, built again if it is older than its sources."""
    if not AXE.exists():
        pytest.skip("node_modules is missing: `make book` installs it")
    SITE.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(SITE.parent / "tests.lock"):
        if not is_current():
            command = [sys.executable, str(files.ROOT / "tools" / "book.py")]
            # Without an address; and a proxy that answers nothing: the build needs no network.
            away = {"LESSONS_REPOSITORY": "", **dict.fromkeys(PROXIES, "http://127.0.0.1:9")}
            done = subprocess.run(
                command, capture_output=True, text=True, env={**os.environ, **away}
            )
            assert done.returncode == 0, done.stdout + done.stderr
    return SITE


@pytest.fixture(scope="session")
def site(site_folder: Path) -> Iterator[str]:
    """The address of the site, served from this machine; it ends with a slash."""
    with served(site_folder) as address:
        yield address


@pytest.fixture
def watched(chromium: Browser) -> Iterator[tuple[Page, Watched]]:
    """A page of its own, 1280 x 900, and what it does."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    yield page, Watched(page)
    context.close()


@pytest.fixture
def page(watched: tuple[Page, Watched], site: str) -> Iterator[Page]:
    """A page that fails its test when it logs an error or asks for anything outside the site."""
    page, seen = watched
    yield page
    assert seen.errors == []
    assert seen.leaving(site) == []
