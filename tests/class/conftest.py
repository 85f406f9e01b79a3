"""The tests of what a class needs run where the extra ``class`` is installed: `make test-class`."""

import importlib.util

import pytest

MISSING = [name for name in ("nbgrader", "jupyterhub") if importlib.util.find_spec(name) is None]


def pytest_collection_modifyitems(items):
    if MISSING:
        reason = f"{' and '.join(MISSING)} not installed: `make test-class` has the extra `class`"
        for item in items:
            if "class" in item.path.parts:
                item.add_marker(pytest.mark.skip(reason=reason))
