"""The course as an installed package: its wheel has the data, and writes nothing beside itself."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lessons_lib import files

UV = Path(sys.executable).with_name("uv")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder like ``site-packages`` with what the wheel brings."""
    folder = tmp_path_factory.mktemp("installed")
    build = [UV, "build", "--wheel", "--offline", "--quiet", "--out-dir", folder, files.ROOT]
    if not UV.exists() or subprocess.run(build, capture_output=True).returncode:
        pytest.skip("a wheel is built with .venv's uv and the hatchling that `make` installed with")
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site-packages")
    return folder / "site-packages"


def run(script, folder, **environment):
    """Run Python code in ``folder``; return its exit status and what it printed as JSON."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LESSONS_")}
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        cwd=folder,
        env={**kept, **{name: str(value) for name, value in environment.items()}},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def content(folder):
    return {path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}


def test_the_wheel_has_all_data(site):
    data = {path.relative_to(files.ROOT / "data") for path in content(files.ROOT / "data")}
    packed = site / "lessons_lib" / "_data"
    assert {path.relative_to(packed) for path in content(packed)} == data
    assert not (site / "data").exists()


def test_the_wheel_has_all_that_is_no_python(site):
    """Such as the templates of the report's page."""
    own, packed = files.ROOT / "lessons_lib", site / "lessons_lib"
    extra = {path.relative_to(own) for path in content(own) if path.suffix != ".py"}
    extra = {path for path in extra if "__pycache__" not in path.parts}
    assert Path("advise/templates/page.html.j2") in extra
    assert {path for path in extra if not (packed / path).is_file()} == set()


OUTSIDE = """
import json
from lessons_lib import browser, data, files, sandbox, training
digits = data.load()
print(json.dumps([
    len(digits.test.labels),
    str(training.reference("ds_cnn")),
    browser.RECORDED.is_file() and bool(browser.read_outputs()),
    sandbox.call("lessons_lib.system.files:artifacts_root").as_posix(),
    files.display_path(data.EMBEDDED),
]))
"""


def test_an_installed_copy_finds_its_data_and_writes_to_the_cache_folder(site, tmp_path):
    before = content(site)
    digits, model, outputs, made, shown = run(
        OUTSIDE, tmp_path, PYTHONPATH=site, XDG_CACHE_HOME=tmp_path / "cache"
    )
    packed = site / "lessons_lib" / "_data"
    assert digits == 1_000
    assert outputs
    assert model == str(packed / "models" / "ds_cnn" / "saved_model")
    assert shown == str(packed / "mnist" / "1.0.0")  # not as if it lay in the course's folder
    assert Path(made) == tmp_path / "cache" / "quantization-lessons"
    assert content(site) == before
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


PLACES = """
import json, sys, os
{first}
from lessons_lib import files, sandbox
{then}
print(json.dumps([str(files.ROOT), str(sandbox.call("lessons_lib.system.files:artifacts_root"))]))
"""


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("sys.path.insert(0, '..')", ""),
        ("sys.path.insert(0, '..')", "os.chdir('solutions')"),
        ("", "sys.path.insert(0, '..')"),
        ("", "os.chdir('..')"),
    ],
    ids=["a clone first", "and another folder", "a clone after", "in a clone"],
)
def test_a_child_imports_the_copy_that_its_parent_has(site, tmp_path, first, then):
    """As in Colab: a copy is installed, and a clone lies in the folder above the notebooks."""
    script = PLACES.format(first=first, then=then)
    cache = tmp_path / "cache"
    root, made = run(script, files.ROOT / "notebooks", PYTHONPATH=site, XDG_CACHE_HOME=cache)
    expected = files.ROOT / "artifacts" if first else cache / "quantization-lessons"
    assert (Path(root), Path(made)) == (files.ROOT if first else site, expected)


def test_a_chosen_artifacts_folder_wins(site, tmp_path):
    script = "import json; from lessons_lib import files; print(json.dumps(str(files.artifacts())))"
    here = {"PYTHONPATH": site, "LESSONS_ARTIFACTS": "made"}
    assert run(script, tmp_path, **here) == str(tmp_path / "made")


def test_a_command_that_needs_the_notebooks_says_where_they_are(site, tmp_path):
    for command in (["run", "1"], ["lab"]):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "lessons_lib.cli", *command],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 1
        assert done.stderr.startswith("Error: this copy of the course is installed and has no note")
