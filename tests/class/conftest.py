"""The tests of what a class needs run where the extra ``class`` is installed: `make test-class`."""

import importlib.util
import shutil
import tempfile

import nbformat
import pytest
from class_server import made_course, running
from small_course import lesson

from lessons_lib import classroom, notebooks
from lessons_lib.errors import InputError

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


@pytest.fixture(scope="module")
def temporary():
    """A temporary folder whose name is as long as it may be."""
    beginning = tempfile.gettempdir() + "/"
    folder = tempfile.mkdtemp(prefix="x" * (classroom.LONGEST_TEMPORARY - len(beginning) - 8))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def course(tmp_path_factory, temporary):
    root = tmp_path_factory.mktemp("course")
    folder = root / "lessons"
    folder.mkdir()
    nbformat.write(lesson(), folder / "00_small.ipynb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(notebooks, "FOLDER", folder)
        patch.setattr(tempfile, "tempdir", temporary)
        with pytest.raises(InputError, match="holds no course: begin with `lessons class init"):
            classroom.release(root, 0)
        classroom.init(root)
        with pytest.raises(InputError, match="lesson 0 was not released"):
            classroom.collect(root, 0, root)
        classroom.release(root, 0)
        with pytest.raises(InputError, match="handed in for lesson 0: `lessons class collect 0"):
            list(classroom.grade(root, 0))
        yield root
