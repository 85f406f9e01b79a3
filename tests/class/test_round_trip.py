"""In a browser, from sign-up to feedback: a student and the teacher, and nothing in between."""

import pytest
from class_server import Server, needs_server
from playwright.sync_api import Browser, Page, expect, sync_playwright
from students import PASSWORD

from chromium import MISSING, executable, started

pytestmark = [
    needs_server,
    pytest.mark.skipif(executable() is None, reason=MISSING),
]
NAME = "grace"
PATIENCE, MINUTES_5 = (
    120_000,
    300_000,
)  # milliseconds: lesson 0 trains and converts, on a machine that may be busy
# Written by the student, one right and one wrong.
ANSWERS = {
    "my_small.optimizations = ...": "my_small.optimizations = [tf.lite.Optimize.DEFAULT]",
    "codes = ...": "codes = images.astype(np.uint8)",
}


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as driver, started(driver) as browser:
        yield browser


@pytest.fixture
def page(chromium: Browser):
    expect.set_options(timeout=PATIENCE)
    context = chromium.new_context(viewport={"width": 1280, "height": 1000})
    context.set_default_timeout(PATIENCE)
    yield context.new_page()
    context.close()


def sign_up_and_log_in(page: Page, server: Server) -> None:
    page.goto(server.address)
    page.click("text=Sign up")
    page.fill("#username_input", NAME)
    page.fill("#password_input", PASSWORD)
    page.fill("#password_confirmation_input", PASSWORD)
    page.fill("#class_code_input", server.secret("class_code"))
    page.click("#signup_submit")
    expect(page.locator(".alert")).to_contain_text("The signup was successful")
    page.locator("a[href$='/hub/login']").first.click()
    page.fill("#username_input", NAME)
    page.fill("#password_input", PASSWORD)
    page.click("#login_submit")


def open_file(page: Page, *path: str) -> None:
    """Through JupyterLab's list of files, folder by folder."""
    for part in path:
        page.locator(".jp-DirListing-item", has_text=part).first.dblclick()


def open_folder(page: Page, *path: str) -> None:
    page.locator(".jp-BreadCrumbs-home").click()
    open_file(page, *path)


def write_answers(page: Page) -> None:
    """Find each cell by its blank, and replace the blank by keyboard."""
    for blank, answer in ANSWERS.items():
        cell = find_cell(page, blank)
        line = cell.locator(".cm-line", has_text=blank)
        line.click()
        page.keyboard.press("Home")
        page.keyboard.press("Shift+End")
        page.keyboard.type(answer)
        page.keyboard.press("Escape")


def find_cell(page: Page, text: str):
    """Scroll until the cell is in the page: JupyterLab draws only those in sight."""
    cell = page.locator(".jp-CodeCell", has_text=text)
    view = page.locator(".jp-WindowedPanel-outer")
    view.evaluate("node => node.scrollTo(0, 0)")
    for _ in range(400):
        if cell.count():
            cell.first.scroll_into_view_if_needed()
            return cell.first
        view.evaluate("node => node.scrollBy(0, 300)")
        page.wait_for_timeout(50)
    raise AssertionError(f"no cell has {text!r}")


def run_all_and_save(page: Page, done: str) -> None:
    page.click("text=Run >> nth=0")
    page.click("text=Run All Cells >> nth=0")
    find_cell(page, done)
    busy = page.locator(".jp-NotebookPanel-toolbar [data-status='busy']")
    expect(busy).to_have_count(0, timeout=MINUTES_5)
    page.keyboard.press("Control+s")
    expect(page.locator(".lm-TabBar-tab.jp-mod-dirty")).to_have_count(0)


def test_a_student_hands_in_and_reads_what_came_of_it(server, page):
    sign_up_and_log_in(page, server)
    page.wait_for_url(f"**/user/{NAME}/lab**")
    page.goto(f"{server.address}/user/{NAME}/lab/tree/assignments/lesson00/00_run_article.ipynb")
    write_answers(page)
    run_all_and_save(page, "widgets.tally")

    server.lessons("collect", "0", others_miss=True)
    assert f"{NAME}: 1 of 5" in server.lessons("grade", "0", NAME)
    server.lessons("feedback", "0")

    open_folder(page, "feedback", "lesson00")
    open_file(page, "00_run_article")
    read = page.frame_locator(".jp-HTMLViewer iframe").locator("body")
    expect(read).to_contain_text("Exercise 0.1: correct")
    expect(read).to_contain_text("Exercise 0.5: not yet")
