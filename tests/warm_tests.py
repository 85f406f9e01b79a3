"""For a run of many tests: a Python with TensorFlow in memory, of which there are forks.

A notebook's kernel imports TensorFlow for five seconds, or a child in which it converts; a run has
some hundred of both. On a hub they are such forks: ``deploy/hub/student/warm_python.py``.
Where no process forks (yet), on another system or where ``pytest`` runs without ``-n``, they are
of the usual kind.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from nbval.plugin import IPyNbCell

WARM = Path(__file__).parents[1] / "deploy" / "hub" / "student" / "warm_python.py"
# Of the course's own code nothing: some tests have another.
_SERVE = f"""import sys
sys.path[0] = {str(WARM.parent)!r}
import warm_python
warm_python.be_a_copy()
warm_python.serve(sys.argv[1], names=warm_python.LESSONS, rooms=())"""


class Forks:
    """The process that imports and forks, for all that this process starts."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory()
        socket = str(Path(self._folder.name, "socket"))
        command = [sys.executable, "-c", _SERVE, socket]
        environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"}
        # Ctrl-C is for the tests, which then end their kernels.
        apart = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        apart["start_new_session"] = True
        self._process = subprocess.Popen(command, env=environment, **apart)
        os.environ |= {"LESSONS_HUB_WARM": socket, "LESSONS_WARM_PYTHON": str(WARM)}

    def end(self) -> None:
        for name in ("LESSONS_HUB_WARM", "LESSONS_WARM_PYTHON"):
            os.environ.pop(name, None)
        for process in psutil.Process(self._process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()


@contextlib.contextmanager
def forked_kernels() -> Iterator[None]:
    """Kernels that are started in the block are forks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(WARM.parent))  # where kernels/ is
        yield


class ForkedKernels:
    """A plugin of pytest: nbval's kernels are forks."""

    def __init__(self, config: pytest.Config):
        config.option.nbval_current_env = False  # which names a kernel; now the notebook does

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item):
        with forked_kernels() if isinstance(item, IPyNbCell) else contextlib.nullcontext():
            return (yield)
