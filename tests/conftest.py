"""Fixtures that every test module may use."""

import functools
import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import configuration

from lessons_lib.system import warm
from warm_tests import ForkedKernels, Forks

# Beside all else that is made here, and not in the root of the repository.
configuration.set_hypothesis_home_dir(Path(__file__).parent.parent / "artifacts" / "hypothesis")

# Tests that convert stand minutes apart; each import of TensorFlow takes five seconds.
IDLE_S, warm.IDLE_S = warm.IDLE_S, 300.0


@pytest.fixture
def learners_idle_s() -> float:
    """How long a process waits for a learner's next conversion, in seconds."""
    return IDLE_S


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--engine FILE``: test a learner's engine of exercises/engine.md, not the solution."""
    text = "the file with your integer engine, see exercises/engine.md (default: the solution)"
    parser.addoption("--engine", metavar="FILE", type=Path, help=text)


def pytest_configure(config: pytest.Config) -> None:
    engine = config.getoption("engine")
    if engine and not engine.is_file():
        raise pytest.UsageError(f"--engine: there is no file {engine} in {Path.cwd()}")
    if warm.AVAILABLE and config.getoption("numprocesses", None):  # in the one that starts workers
        config.add_cleanup(Forks().end)
    if hasattr(config, "workerinput") and warm.AVAILABLE:
        config.pluginmanager.register(ForkedKernels(config))


@pytest.fixture
def usual_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for a call is a child of its caller, and no fork of another process."""
    monkeypatch.delenv("LESSONS_WARM_PYTHON", raising=False)


# Keras collects garbage when it builds a model, and the converter when it is done: among all
# objects, half a million of them TensorFlow's.
@functools.cache  # once an occasion
def _freeze(occasion: str) -> None:
    """Let collections pass by what is there now; it stays until the end."""
    gc.collect()
    gc.freeze()


def pytest_collection_finish() -> None:
    _freeze("all tests are collected")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    yield
    if "tensorflow" in sys.modules:
        _freeze("TensorFlow is imported")


@pytest.fixture
def artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An artifacts folder of the test's own, also for the processes that it starts."""
    folder = tmp_path / "artifacts"
    monkeypatch.setenv("LESSONS_ARTIFACTS", str(folder))
    return folder


@pytest.fixture
def common_artifacts(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """An artifacts folder for all tests of a run that ask for it: datasets are decoded once."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "artifacts"
    monkeypatch.setenv("LESSONS_ARTIFACTS", str(folder))
    return folder
