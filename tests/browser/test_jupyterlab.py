"""JupyterLab from end to end: a new user opens a lesson, runs all cells, and uses its widgets."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_output
from playwright.sync_api import Browser, Page, expect

from builders import code, markdown, notebook
from lessons_lib import files, notebooks, widgets
from real_browser import answer_by_keyboard, slide_by_keyboard
from refresh import METADATA, write

MINUTES_10 = 600_000  # milliseconds
TOKEN = "lessons"
SLIDER = "widgets.affine_slider([-1.8, -0.4, 0.3, 2.9], num_bits=4)"
ASK = 'widgets.predict("04.1", "How many bytes?", ["All", "Half"])'
QUIZ = 'widgets.quiz([widgets.Question("How many?", ["1", "2"], 1, "Counted.")])'
# The panel of the notebook that the address names; JupyterLab opens earlier ones again as well.
PANEL = """[...window.jupyterapp.shell.widgets("main")].find(
  (widget) => widget.context && location.pathname.endsWith("/" + widget.context.path))"""


def fresh_user(home: Path) -> dict[str, str]:
    """An environment in which JupyterLab finds no settings of anybody."""
    folders = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    own = {name: str(home / name.lower()) for name in (*folders, "JUPYTERLAB_WORKSPACES_DIR")}
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "PYTEST"))}
    return {**kept, **own, "HOME": str(home), "JUPYTERLAB_SETTINGS_DIR": str(home / "settings")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A copy of lesson 3, a notebook with a mistake, and some with what lessons are made of."""
    folder = tmp_path_factory.mktemp("lessons")
    shutil.copy(*notebooks.find([3]), folder)
    mistake = notebook(code("x = 1"), code("x / 0"), code("x"))
    mistake.metadata = METADATA  # else JupyterLab asks for a kernel
    (folder / "mistake.ipynb").write_text(json.dumps(mistake))
    deeper = [markdown("## Deeper: in"), code("inside = 1"), markdown("### Still in"), code("2")]
    folded = notebook(code("0"), *deeper, markdown("## Out"), code("print(inside)"))
    slider = notebook(code("from lessons_lib import widgets"), code(SLIDER))
    clicks = notebook(*map(code, ("from lessons_lib import widgets", SLIDER, ASK, QUIZ, "1", "2")))
    written = {"deeper": folded, "predictions": predictions(), "slider": slider}
    written["clicks"] = clicks
    for name, content in written.items():
        path = folder / f"{name}.ipynb"
        path.write_text("")
        write(content, path)
    return folder


def predictions() -> NotebookNode:
    """A notebook with a prediction, its outcome and a tally, and with their outputs stored."""
    imports = "from lessons_lib import widgets"
    size = 'size = widgets.predict("04.1", "How many bytes?", ["All", "Half"])\nsize'
    made = notebook(*map(code, (imports, size, "size.outcome(1)", "widgets.tally(size)")))
    question = widgets.predict("04.1", "How many bytes?", ["All", "Half"])
    shown = (question._repr_html_(), question.outcome(1).data, widgets.tally(question).data)
    for cell, html in zip(made.cells[1:], shown, strict=True):
        data = {"text/html": html, "text/plain": "HTML"}
        cell.outputs = [new_output("execute_result", data=data, execution_count=1)]
    return made


@pytest.fixture(scope="module")
def lab(folder: Path, chromium: Browser, tmp_path_factory) -> Iterator[str]:
    """The address of a JupyterLab that serves the copies."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    options = [
        f"--ServerApp.root_dir={folder}",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={TOKEN}",
        "--LabApp.expose_app_in_browser=True",
    ]
    home = tmp_path_factory.mktemp("home")
    with open(home / "log", "w") as log:
        server = subprocess.Popen(
            [*command, *options], cwd=folder, env=fresh_user(home), stdout=log, stderr=log
        )
        try:
            address = f"http://127.0.0.1:{port}/"
            wait_for(address + f"api/status?token={TOKEN}", server, home / "log")
            yield address
        finally:
            server.terminate()
            server.wait(timeout=300)


def wait_for(address: str, server: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 300
    while server.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(address, timeout=30).close()
            return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")


def opened(page: Page, lab: str, name: str) -> None:
    """Open a notebook and wait until its kernel is ready."""
    page.goto(f"{lab}lab/tree/{name}?token={TOKEN}")
    page.wait_for_function(
        f"""() => {{
          if (!window.jupyterapp) return false;
          const panel = {PANEL};
          return panel?.context.isReady && panel.sessionContext.session?.kernel?.status === "idle";
        }}""",
        timeout=MINUTES_10,
    )


def run_all(page: Page) -> list[dict]:
    """Do *Run All Cells* as the menu does it; return each code cell's number and error.

    The cells are read from the notebook's model: those out of sight are not in the page. The
    command answers at the first error, also at an expected one, while later cells still wait in
    the kernel's queue; an empty request at its end tells when they are done.
    """
    page.evaluate(
        f"""async () => {{
          const {{ content, sessionContext }} = {PANEL};
          for (const cell of content.model.cells)
            if (cell.type === "code") {{ cell.outputs.clear(); cell.executionCount = null; }}
          await window.jupyterapp.commands.execute("notebook:run-all-cells");
          const last = {{ code: "", store_history: false, stop_on_error: false }};
          const late = new Promise((resolve, reject) =>
            setTimeout(() => reject(new Error("the kernel did not finish")), {MINUTES_10}));
          await Promise.race([sessionContext.session.kernel.requestExecute(last).done, late]);
        }}"""
    )
    return page.evaluate(
        f"""() => [...{PANEL}.content.model.cells].filter((cell) => cell.type === "code").map(
          (cell) => {{
            const outputs = cell.outputs.toJSON();
            return {{
              number: cell.executionCount,
              error: outputs.find((output) => output.output_type === "error")?.ename ?? null,
              expected: (cell.getMetadata("tags") ?? []).includes("raises-exception"),
              outputs: outputs.length,
            }};
          }}
        )"""
    )


def failures(cells: list[dict]) -> list[str]:
    """The cells that did not run to their end in order, or not as their tags say."""
    return [
        f"code cell {n}: [{cell['number']}] {cell['error']}"
        for n, cell in enumerate(cells, 1)
        if cell["number"] != n or bool(cell["error"]) != cell["expected"]
    ]


def show_cell(page: Page, text: str):
    """Scroll to the code cell whose source begins with ``text``; return its place in the page."""
    index = page.evaluate(
        """async (text) => {
          const { content } = PANEL;
          const cells = [...content.model.cells];
          const index = cells.findIndex((cell) => cell.sharedModel.source.startsWith(text));
          content.activeCellIndex = index;
          await content.scrollToItem(index, "start");
          return index;
        }""".replace("PANEL", PANEL),
        text,
    )
    assert index > 0
    return page.locator(f".jp-Notebook .jp-Cell[data-windowed-list-index='{index}']")


@pytest.fixture
def tab(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1280, "height": 1000})
    yield context.new_page()
    context.close()


def test_lesson_3_runs_and_its_quiz_answers(tab, lab):
    opened(tab, lab, "03_quantize_tensor.ipynb")
    cells = run_all(tab)
    count = len(notebooks.code_cells(notebooks.read(notebooks.find([3])[0])))
    assert len(cells) == count
    assert failures(cells) == []
    assert sum(cell["outputs"] > 0 for cell in cells) > 10
    quiz = show_cell(tab, "widgets.quiz(")
    answer_by_keyboard(tab, quiz.locator("fieldset").first)
    expect(quiz).not_to_contain_text("widgets.Question(")


def test_a_slider_moves_by_keyboard(tab, lab):
    opened(tab, lab, "slider.ipynb")
    assert failures(run_all(tab)) == []
    slide_by_keyboard(tab, show_cell(tab, "widgets.affine_slider(").locator(".lesson-slider"))


def in_front(page: Page):
    """The notebook in front: JupyterLab opens those of an earlier test again, behind it."""
    return page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")


def visible(page: Page) -> list[str]:
    """The sources of the cells that can be seen."""
    return page.evaluate(
        f"""() => {PANEL}.content.widgets.filter((cell) => cell.node.checkVisibility())
          .map((cell) => cell.model.sharedModel.source)"""
    )


def test_a_deeper_section_opens_collapsed_and_runs(tab, lab):
    opened(tab, lab, "deeper.ipynb")
    shut = in_front(tab).get_by_text("3 cells hidden")
    shut.wait_for()
    assert visible(tab)[:4] == ["0", "## Deeper: in", "## Out", "print(inside)"]
    cells = run_all(tab)
    assert failures(cells) == []
    assert [cell["outputs"] for cell in cells] == [1, 0, 1, 1]
    shut.click()
    assert "### Still in" in visible(tab)


def test_a_prediction_is_readable_before_it_runs_and_kept_by_keyboard_then(tab, lab):
    opened(tab, lab, "predictions.ipynb")
    page = in_front(tab)
    for words in ("Prediction 04.1. How many bytes?", "Prediction 04.1: it is B. Half"):
        expect(page.locator(".jp-OutputArea-child", has_text=words)).to_be_visible()
    assert failures(run_all(tab)) == []
    page.locator(".asks input").first.focus()
    tab.keyboard.press("Space")
    tab.keyboard.press("ArrowDown")
    expect(page.locator(".asks [role=status]")).to_have_text(
        "You predict B. It is kept in this browser."
    )
    expect(page.locator(".tells p")).to_have_text("You predicted B, and it is B. Half")
    expect(page.locator(".counts [role=status]")).to_have_text("1 of your 1 held.")
    # Keys of JupyterLab's that change cells (here: a new one, a deleted one) do not hear them.
    tab.keyboard.press("a")
    tab.keyboard.press("x")
    assert tab.evaluate(f"{PANEL}.content.widgets.length") == 4


def test_after_a_click_in_a_widget_shift_enter_runs_on(tab, lab):
    opened(tab, lab, "clicks.ipynb")
    ran = [cell["number"] for cell in run_all(tab)]
    assert ran == [1, 2, 3, 4, 5, 6]
    numbers = f"() => [...{PANEL}.content.model.cells].map((cell) => cell.executionCount)"
    controls = (".lesson-slider input", ".asks input", ".lesson-quiz input", ".lesson-quiz button")
    for place, control in zip((1, 2, 3, 3), controls, strict=True):
        in_front(tab).locator(control).last.click()
        for runs in (place, place + 1):
            tab.keyboard.press("Shift+Enter")
            ran[runs] = max(ran) + 1
            tab.wait_for_function(f"(ran) => `${{({numbers})()}}` === `${{ran}}`", arg=ran)


def test_a_notebook_with_a_mistake_is_reported(tab, lab):
    opened(tab, lab, "mistake.ipynb")
    mistake, *later = failures(run_all(tab))
    assert mistake == "code cell 2: [2] ZeroDivisionError"
    # The kernel drops the cells that had arrived when the error came; a later one still runs.
    assert later in ([], ["code cell 3: [None] None"])


def test_the_lessons_themselves_are_untouched(folder):
    """JupyterLab saves what it runs: it works on copies."""
    assert not folder.is_relative_to(files.ROOT)
