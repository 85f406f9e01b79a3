"""Fixtures that every test module may use."""

from pathlib import Path

import pytest
from hypothesis import configuration

# Beside all else that is made here, and not in the root of the repository.
configuration.set_hypothesis_home_dir(Path(__file__).parent.parent / "artifacts" / "hypothesis")


@pytest.fixture
def artifacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An artifacts folder of the test's own, also for the processes that it starts."""
    folder = tmp_path / "artifacts"
    monkeypatch.setenv("LESSONS_ARTIFACTS", str(folder))
    return folder
