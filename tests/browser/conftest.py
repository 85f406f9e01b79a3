"""A real browser on the built site; skipped, with the reason, where something for it is missing."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

import firefox_bridge
from chromium import MISSING, SITE, executable, served, started
from lessons_lib import files
from real_browser import AXE, Watched, is_current

PATIENCE = 180_000  # milliseconds: for what never comes; a busy machine may be slow
FIREFOX = ("firefox-esr", "firefox", "/Applications/Firefox.app/Contents/MacOS/firefox")
PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """The driver of both browsers; its event loop then runs in this process."""
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as driver:
        yield driver


@pytest.fixture(scope="session")
def chromium(request) -> Iterator[Browser]:
    """A Chromium without a window."""
    if executable() is None:
        pytest.skip(MISSING)
    with started(request.getfixturevalue("playwright")) as browser:
        yield browser


@pytest.fixture(scope="session")
def firefox(request, tmp_path_factory) -> Iterator[Browser]:
    """An unpatched Firefox without a window, driven through WebDriver BiDi."""
    path = next(filter(None, map(shutil.which, FIREFOX)), None)
    if path is None:
        pytest.skip("no Firefox is installed (Debian: apt-get install firefox-esr)")
    bridge = tmp_path_factory.mktemp("firefox") / "firefox"
    command = shlex.join([sys.executable, str(Path(firefox_bridge.__file__)), path])
    bridge.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    bridge.chmod(0o755)
    driver = request.getfixturevalue("playwright")
    browser = driver.firefox.launch(channel="moz-firefox", executable_path=bridge)
    yield browser
    browser.close()


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
            addresses = dict.fromkeys(("LESSONS_REPOSITORY", "LESSONS_SITE"), "")
            away = addresses | dict.fromkeys(PROXIES, "http://127.0.0.1:9")
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
