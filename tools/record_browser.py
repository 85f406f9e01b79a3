"""Record what a browser gives for the course's models, through the course's own page ``try-it/``.

    .venv/bin/python tools/record_browser.py

Needs the built site (``make book``) and Chromium. Writes ``data/browser/recorded.json``, which
lesson 14 compares with Python: the paths of ``mnist_cnn`` that the page offers, and files of a
smaller and a larger network, opened as learners open their own. Each pair is measured ROUNDS times,
and the quietest round counts. Leave the machine alone meanwhile all the same.
"""

import json
import os
import platform
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np
from playwright.sync_api import Page

from chromium import SITE, await_state, served, started
from lessons_lib import browser, calibration, data, every_path, files, sandbox
from lessons_lib.errors import InputError, LessonError

OWN = ("one_layer", "wide_mlp")
OWN_PATHS = ("float32", "uint8")
WITHOUT_SOFTMAX = "mnist_cnn_without_softmax"
ROUNDS = 5
PATIENCE = 120  # seconds for a model to be loaded, asked for all digits, and timed


def own_files(folder: Path) -> list[Path]:
    """Write the networks of OWN as ``network_path.tflite``, as lesson 14 makes them.

    One more is mnist_cnn in float32 without its softmax.
    """
    samples = calibration.representative_dataset(data.load("mnist").calibration)
    whole = SITE / "try-it" / "models" / "float32.tflite"
    sums = folder / f"{WITHOUT_SOFTMAX}.tflite"
    written = [files.write_atomic(sums, browser.without_softmax(whole))]
    for network in OWN:
        saved = folder / network
        sandbox.call("lessons_lib.models.training:save_untrained", network, saved, 0, 1)
        converted = every_path.convert(saved, samples, folder / "tflite", names=OWN_PATHS)
        for path, file in converted.items():
            written.append(file.rename(folder / f"{network}_{path}.tflite"))
    return written


def recorded(own: list[Path]) -> dict:
    """Return what the page gives, in a browser that is started for it."""
    with served(SITE) as site, started() as chromium:
        page = chromium.new_page()
        page.goto(f"{site}try-it/index.html")
        return merged(record(page, own))


def record(page: Page, own: list[Path]) -> list[dict]:
    """Put each model on the right side, float32 on the left, and return all that the page saved."""
    saved = []
    for name in browser.PATHS[1:]:
        page.get_by_label("Right model").select_option(name)
        saved += rounds(page)
    for file in own:
        page.locator("#tryit-right-file").set_input_files(file)
        saved += rounds(page)
    return saved


def rounds(page: Page) -> list[dict]:
    """Return what the page's button "Save the outputs" writes, once for each measurement."""
    contents = [outputs(page)]
    for _ in range(ROUNDS - 1):
        page.get_by_role("button", name="Measure again").click()
        contents.append(outputs(page))
    return contents


def outputs(page: Page) -> dict:
    await_state(page, ["measured"], PATIENCE)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the outputs").click()
    return json.loads(Path(download.value.path()).read_text(encoding="utf-8"))


def merged(saved: list[dict]) -> dict:
    """Return one content with each model once, in the order of the page, as the quietest round
    timed it: whatever else the machine does makes a time longer, never shorter.
    """
    left = [content["models"][0] for content in saved[:ROUNDS]]  # no more rounds than the others
    quietest: dict[str, dict] = {}
    for model in [*left, *(content["models"][1] for content in saved)]:
        best = quietest.setdefault(model["name"], model)
        if median(model["microseconds"]) < median(best["microseconds"]):
            quietest[model["name"]] = model
    return saved[0] | {"models": [shortened(model) for model in quietest.values()]}


def require_these(content: dict, own: list[Path]) -> None:
    """Raise InputError unless the page has run the files that were meant."""
    manifest = json.loads((SITE / "try-it" / "models" / "manifest.json").read_text("utf-8"))
    meant = {model["name"]: model["sha256"] for model in manifest["models"]}
    meant |= {file.stem: files.sha256(file) for file in own}
    found = {model["name"]: model["sha256"] for model in content["models"]}
    if found != meant:
        raise InputError(f"the page ran {sorted(found)}, meant were {sorted(meant)}: other files")


def shortened(model: dict) -> dict:
    """Write each float32 with the fewest digits that give it back, and times to 0.01 µs."""
    rows = model["outputs"]
    if model["dtype"] == "float32":
        rows = [[float(str(np.float32(value))) for value in row] for row in rows]
    times = [round(value, 2) for value in model["microseconds"]]
    return model | {"outputs": rows, "microseconds": times}


def machine() -> str:
    """Return the processor's name and the number of its cores."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if sys.platform == "linux" else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores"


def main() -> int:
    try:
        if not (SITE / "try-it" / "index.html").exists():
            raise LessonError("the site is not built: run `make book`")
        with tempfile.TemporaryDirectory() as folder:
            own = own_files(Path(folder))
            content = recorded(own)
            require_these(content, own)
        text = json.dumps(content | {"machine": machine()}, separators=(",", ":"))
        files.write_atomic(browser.RECORDED, text + "\n")
    except LessonError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    for model in browser.read_outputs().models.values():
        print(f"{model.name:26} {model.bytes:12,} bytes {model.median_us:10,.1f} µs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
