"""The versions that the course's numbers were taken with, dated: ``book/versions.json``.

    python tools/versions.py

``make refresh`` runs it after the notebooks. When a version differs from the last row's, a row with
today's date is added; else nothing changes.
"""

import datetime
import json
import platform
from importlib.metadata import PackageNotFoundError, version

from lessons_lib import catalogue, files

HISTORY = files.ROOT / "book" / "versions.json"
PACKAGES = (
    "tensorflow",
    "keras",
    "ai-edge-litert",
    "litert-quantizer",
    "tflite-micro",
    "tensorflow-datasets",
    "numpy",
    "nbval",
    "jupyterlab",
)
NPM_PACKAGES = ("@litertjs/core",)


def installed() -> dict[str, str]:
    """Return the versions here of all that the numbers depend on; what is missing is left out."""
    npm = json.loads((files.ROOT / "package-lock.json").read_text("utf-8"))["packages"]
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # tflite-micro is built for Linux on x86-64 only
            continue
    return found | {name: npm[f"node_modules/{name}"]["version"] for name in NPM_PACKAGES}


def history() -> list[dict]:
    """Return the rows, oldest first: ``date`` and ``versions`` of each."""
    return json.loads(HISTORY.read_text("utf-8")) if HISTORY.exists() else []


def updated(rows: list[dict], versions: dict[str, str], today: datetime.date) -> list[dict]:
    """Return the rows, with one more when ``versions`` are not those of the last one."""
    if rows and rows[-1]["versions"] == versions:
        return rows
    return [*rows, {"date": today.isoformat(), "versions": versions}]


def table(rows: list[dict] | None = None) -> str:
    """Return a Markdown table: a line for each package, a column for each date, newest first.

    A version that was changed on a date stands in bold.
    """
    rows = history() if rows is None else rows
    pairs = list(zip(rows, [rows[0], *rows], strict=False))[::-1]  # each with the one before it
    heads, lines = ["from", *(row["date"] for row in reversed(rows))], []
    names = {name: None for row in reversed(rows) for name in row["versions"]}  # in order, once
    for name in names:
        cells = [_cell(row["versions"].get(name), old["versions"].get(name)) for row, old in pairs]
        lines.append([name, *cells])
    return catalogue.markdown_table(heads, lines)


def _cell(version: str | None, before: str | None) -> str:
    if version is None:
        return "not used"
    return version if version == before else f"**{version}**"


def main() -> None:
    rows = updated(history(), installed(), datetime.date.today())
    if rows != history():
        files.write_atomic(HISTORY, json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
