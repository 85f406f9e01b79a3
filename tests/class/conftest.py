"""The tests of what a class needs run where the extra ``class`` is installed: `make test-class`."""

import importlib.util

import pytest
from class_server import made_course, running

MISSING = [name for name in ("nbgrader", "jupyterhub") if importlib.util.find_spec(name) is None]


def pytest_collection_modifyitems(items):
    if MISSING:
        reason = f"{' and '.join(MISSING)} not installed: `make test-class` has the extra `class`"
        for item in items:
            if "class" in item.path.parts:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A class's server with lesson 0 released, for all tests that ask it over HTTP."""
    made = made_course(tmp_path_factory.mktemp("server") / "class", 0)
    with running(made, "--admit", "code") as one:
        yield one
