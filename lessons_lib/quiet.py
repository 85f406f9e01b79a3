"""Silence for libraries that write to the file descriptors 1 and 2 behind Python's back."""

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType


@dataclass
class Log:
    """What was said during ``quiet()``; ``text`` is filled when the block ends."""

    text: str = ""


@contextlib.contextmanager
def quiet() -> Iterator[Log]:
    """Keep C++ and Python output off the page; the yielded Log holds it afterwards.

    TF_CPP_MIN_LOG_LEVEL alone does not silence the converter, so the descriptors are redirected.
    """
    log = Log()
    # Set before TensorFlow is first imported, this spares the log most of its chatter.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as sink:
        try:
            with _descriptors_to(sink), _streams_to(sink):
                yield log
        finally:
            sink.seek(0)
            log.text = sink.read()


@contextlib.contextmanager
def _descriptors_to(sink) -> Iterator[None]:
    saved = [(fd, os.dup(fd)) for fd in (1, 2)]
    try:
        for fd, _ in saved:
            os.dup2(sink.fileno(), fd)
        yield
    finally:
        for fd, copy in saved:
            os.dup2(copy, fd)
            os.close(copy)


class _Relay(io.TextIOBase):
    """A stream that a logger may keep for ever: it follows ``target`` wherever that is set."""

    def __init__(self, target):
        self.target = target

    def write(self, text: str) -> int:
        return self.target.write(text)

    def flush(self) -> None:
        self.target.flush()


@contextlib.contextmanager
def _streams_to(sink) -> Iterator[None]:
    """Send sys.stdout and sys.stderr to ``sink``.

    TensorFlow's logger keeps the stream that it finds at import. A relay still works afterwards.
    """
    out, err = sys.stdout, sys.stderr
    relays = _Relay(sink), _Relay(sink)
    out.flush()
    err.flush()
    sys.stdout, sys.stderr = relays
    try:
        yield
    finally:
        sink.flush()
        sys.stdout, sys.stderr = relays[0].target, relays[1].target = out, err


def tensorflow() -> ModuleType:
    """Import TensorFlow without its start-up messages and return the module."""
    if "tensorflow" in sys.modules:
        return sys.modules["tensorflow"]
    with quiet():
        import tensorflow
    return tensorflow
