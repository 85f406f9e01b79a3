"""For a run of many tests: a Python with TensorFlow in memory, of which there are forks.

A notebook imports TensorFlow for five seconds, or converts in a child that does; there are a
hundred. On a hub kernels and children are such forks: ``deploy/hub/student/warm_python.py``.
Where no process forks (yet), on another system or where ``pytest`` runs without ``-n``, they are
of the usual kind.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from nbval.plugin import IPyNbCell

WARM = Path(__file__).parents[1] / "deploy" / "hub" / "student" / "warm_python.py"
FORKED_KERNELS = WARM.parent  # for $JUPYTER_PATH: a kernel is a fork as well
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
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(command, env=environment, **pipes)
        os.environ |= {"LESSONS_HUB_WARM": socket, "LESSONS_WARM_PYTHON": str(WARM)}

    def end(self) -> None:
        for name in ("LESSONS_HUB_WARM", "LESSONS_WARM_PYTHON"):
            os.environ.pop(name, None)
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()


class ForkedKernels:
    """A plugin of pytest: nbval's kernels are forks."""

    def __init__(self, config: pytest.Config):
        config.option.nbval_current_env = False  # which names a kernel; now the notebook does

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item):
        with pytest.MonkeyPatch.context() as patch:
            if isinstance(item, IPyNbCell):
                patch.setenv("JUPYTER_PATH", str(FORKED_KERNELS))
            return (yield)
