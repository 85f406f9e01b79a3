import datetime
import json
import tomllib

import versions
from lessons_lib import files

DAY = datetime.date(2027, 1, 2)
ROWS = [
    {"date": "2026-01-01", "versions": {"a": "1.0", "b": "2.0", "gone": "9"}},
    {"date": "2026-06-01", "versions": {"a": "1.1", "b": "2.0", "c": "3.0"}},
]


def test_the_same_versions_add_no_row():
    assert versions.updated(ROWS, dict(ROWS[-1]["versions"]), DAY) is ROWS


def test_another_version_adds_a_dated_row():
    new = versions.updated(ROWS, {"a": "1.2"}, DAY)
    assert new[:-1] == ROWS
    assert new[-1] == {"date": "2027-01-02", "versions": {"a": "1.2"}}


def test_the_table_has_the_newest_first_and_marks_what_changed():
    assert versions.table(ROWS).splitlines() == [
        "| from | 2026-06-01 | 2026-01-01 |",
        "| --- | --- | --- |",
        "| a | **1.1** | 1.0 |",
        "| b | 2.0 | 2.0 |",
        "| c | **3.0** | not used |",
        "| gone | not used | 9 |",
    ]


def test_the_last_row_has_locked_versions():
    """After a change of the lock files, ``make refresh`` must take the numbers anew."""
    lock = tomllib.loads((files.ROOT / "uv.lock").read_text("utf-8"))["package"]
    known = {(entry["name"], entry.get("version")) for entry in lock}
    npm = json.loads((files.ROOT / "package-lock.json").read_text("utf-8"))["packages"]
    known |= {(name, npm[f"node_modules/{name}"]["version"]) for name in versions.NPM_PACKAGES}
    last = versions.history()[-1]["versions"]
    assert {"tensorflow", "numpy", *versions.NPM_PACKAGES} <= set(last)
    assert [pair for pair in last.items() if pair not in known and pair[0] != "python"] == []


def test_what_is_installed_is_found():
    found = versions.installed()
    assert {"python", "tensorflow", *versions.NPM_PACKAGES} <= set(found)
