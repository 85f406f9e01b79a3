"""What takes long to make is made once for all test processes, and kept for the next run.

It lies in ``artifacts/tests`` under a digest of all that it is made from: the library, the data,
the modules that make it, and the packages' versions. Any change makes it anew.
"""

import functools
import hashlib
import pickle
import platform
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from filelock import FileLock

from lessons_lib import files

FOLDER = files.ROOT / "artifacts" / "tests"
# Of this folder:
MAKERS = (
    *("kept.py", "reference.py", "tiny_models.py", "any_models.py", "reports.py"),
    *("clinic_models.py", "packed_models.py"),
)
PACKAGES = ("tensorflow", "keras", "numpy", "flatbuffers", "ai-edge-litert")


def kept(name: str, make: Callable[[], Any]) -> Any:
    """Return ``make()``, or what it returned in another process or an earlier run."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with FileLock(FOLDER / f"{name}.lock"):
        path = FOLDER / f"{name}-{digest()}.pickle"
        if not path.exists():
            content = pickle.dumps(make())
            for old in FOLDER.glob(f"{name}-*.pickle"):
                old.unlink()
            files.write_atomic(path, content)
        return pickle.loads(path.read_bytes())


@functools.cache
def digest() -> str:
    """Return a digest of all that the kept things are made from."""
    made_from = [*(files.ROOT / "lessons_lib").rglob("*.py"), *(files.ROOT / "data").rglob("*")]
    made_from += [files.ROOT / "tests" / name for name in MAKERS]
    digests = [files.sha256(path) for path in sorted(made_from) if path.is_file()]
    versions = [version(package) for package in PACKAGES]
    words = [*digests, *versions, platform.platform(), platform.python_version()]
    return hashlib.sha256(" ".join(words).encode()).hexdigest()[:16]
