"""The frame around the lessons: make, conda, continuous integration, and a cheap import."""

import re
import shutil
import subprocess
import sys
import tomllib

import pytest
from packaging.specifiers import SpecifierSet

from lessons_lib import files

TARGETS = {"help", "lab", "lessons", "test", "refresh", "lint", "bench"}
PYPROJECT = tomllib.loads((files.ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def read(name):
    return (files.ROOT / name).read_text(encoding="utf-8")


def targets_called(text):
    return set(re.findall(r"""(?:^|[`"\s])make ([a-z]+)(?=[`"\s]|$)""", text, re.MULTILINE))


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("target", sorted(TARGETS))
def test_make_knows_the_target(target):
    done = subprocess.run(["make", "-n", target], cwd=files.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_does_not_hinder_bytecode(tmp_path):
    (tmp_path / "probe.mk").write_text("probe:\n\t@echo [$$PYTHONDONTWRITEBYTECODE]\n")
    command = ["make", "-f", files.ROOT / "Makefile", "-f", tmp_path / "probe.mk", "probe"]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout == "[]\n"


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_without_a_fitting_python_says_so(tmp_path):
    old = tmp_path / "bin" / "python3"
    old.parent.mkdir()
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.1\nexit 1\n')
    old.chmod(0o755)
    shutil.copy(files.ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "uv.lock"):
        (tmp_path / name).touch()
    make = [shutil.which("make"), "setup"]
    done = subprocess.run(
        make, cwd=tmp_path, env={"PATH": str(old.parent)}, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "Python 3.11, 3.12 or 3.13 is needed; python3 here is: Python 3.9.1" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_make_help_lists_the_targets():
    assert targets_called(read("Makefile")) == TARGETS - {"help"}


def test_ci_calls_test_and_lint_only():
    commands = [line for line in read(".ci/run").splitlines() if not line.startswith("#")]
    assert commands == ["set -eu", 'cd "$(dirname "$0")/.."', "make test", "make lint"]


def test_readme_calls_existing_targets():
    called = targets_called(read("README.md"))
    assert called <= TARGETS
    assert called >= {"lessons", "test"}


def test_environment_yml_is_in_step_with_pyproject():
    items = re.findall(r"^\s+- (.+)$", read("environment.yml"), re.MULTILINE)
    channel, python, pip, pip_again, editable = items
    assert (channel, pip, pip_again) == ("conda-forge", "pip", "pip:")
    assert python.startswith("python ")
    wanted = SpecifierSet(PYPROJECT["project"]["requires-python"])
    assert SpecifierSet(python.removeprefix("python ")) == wanted
    extras = re.fullmatch(r"-e \.\[([\w,]+)\]", editable)[1].split(",")
    assert set(extras) <= set(PYPROJECT["project"]["optional-dependencies"])


def test_make_accepts_the_pythons_of_pyproject():
    test = r"not \((\d), (\d+)\) <= sys.version_info < \((\d), (\d+)\)"
    accepted = ">={}.{},<{}.{}".format(*re.search(test, read("Makefile")).groups())
    assert SpecifierSet(accepted) == SpecifierSet(PYPROJECT["project"]["requires-python"])


def test_no_file_names_an_index():
    for name in ("Makefile", "environment.yml", "pyproject.toml", ".ci/run"):
        assert "://" not in read(name), name


def test_import_costs_nothing():
    script = (
        "import sys, time; start = time.perf_counter(); import lessons_lib; "
        "print(time.perf_counter() - start, *sys.modules)"
    )
    runs = []
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        seconds, *modules = done.stdout.split()
        assert {"tensorflow", "numpy", "pandas", "matplotlib"}.isdisjoint(modules)
        runs.append(float(seconds))
    assert min(runs) < 0.2


def test_unknown_module_is_named():
    import lessons_lib

    with pytest.raises(AttributeError, match=r"no module 'nothing'; it has: .*notebooks"):
        lessons_lib.nothing  # noqa: B018
