"""Which model contents are known to load without crashing the process.

Some damaged files crash the interpreter. What our own converter made, or what a child process
has loaded before, is remembered here by its checksum.
"""

import os

from lessons_lib import files

_trusted: set[tuple[str, str]] = set()
_ANY = "any"


def trust(model: str | os.PathLike | bytes, kernels: str = _ANY) -> None:
    """Remember a file or bytes as safe to load in this process, with these kernels or with any."""
    _trusted.add((files.sha256(model), kernels))


def is_trusted(model: bytes, kernels: str) -> bool:
    """Return whether these bytes are known to be safe to load with these kernels."""
    digest = files.sha256(model)
    return (digest, _ANY) in _trusted or (digest, kernels) in _trusted
