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

    def __init__(self):
        self.target = None

    def write(self, text: str) -> int:
        return self.target.write(text)

    def flush(self) -> None:
        self.target.flush()


# One pair for the whole process: a logger that met them in one block must be silent in the next.
_RELAYS = _Relay(), _Relay()


@contextlib.contextmanager
def _streams_to(sink) -> Iterator[None]:
    """Send sys.stdout and sys.stderr to ``sink``; blocks may be nested.

    TensorFlow's logger keeps the stream that it finds at import. A relay still works afterwards.
    """
    streams = sys.stdout, sys.stderr
    outer = [relay.target for relay in _RELAYS]
    for relay, stream in zip(_RELAYS, streams, strict=True):
        stream.flush()
        relay.target = sink
    sys.stdout, sys.stderr = _RELAYS
    try:
        yield
    finally:
        sink.flush()
        sys.stdout, sys.stderr = streams
        for relay, stream, before in zip(_RELAYS, streams, outer, strict=True):
            relay.target = before if stream is relay else stream


def tensorflow() -> ModuleType:
    """Import TensorFlow without its start-up messages and return the module."""
    if "tensorflow" in sys.modules:
        return sys.modules["tensorflow"]
    with quiet():
        import tensorflow
    return tensorflow
