"""Silence for libraries that write to the file descriptors 1 and 2 behind Python's back."""

import contextlib
import io
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import TextIO


@dataclass
class Log:
    """What was said during ``quiet()``; ``text`` is filled when the block ends."""

    text: str = ""


@contextlib.contextmanager
def quiet() -> Iterator[Log]:
    """Keep C++ and Python output off the page; the yielded Log holds it afterwards.

    TF_CPP_MIN_LOG_LEVEL alone does not silence the converter, so the descriptors are redirected:
    those of the whole process. Blocks may be nested, and may overlap in several threads: what is
    said goes to the block that began last, and the end of the last one brings the page back.
    """
    log = Log()
    # Set before TensorFlow is first imported, this spares the log most of its chatter.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as sink:
        found = _begin(sink)
        try:
            yield log
        finally:
            _end(sink, found)
            sink.seek(0)
            log.text = sink.read()


class _Relay(io.TextIOBase):
    """A stream that a logger may keep for ever: it says where the output goes now.

    TensorFlow's logger keeps the stream that it finds at import. A relay still works afterwards.
    """

    def __init__(self):
        self.page = None  # the stream outside all blocks

    def write(self, text: str) -> int:
        with _LOCK:  # else the block might end meanwhile, and its sink be closed
            return (_SINKS[-1] if _SINKS else self.page).write(text)

    def flush(self) -> None:
        with _LOCK:
            (_SINKS[-1] if _SINKS else self.page).flush()


_LOCK = threading.RLock()
_SINKS: list[TextIO] = []  # of the blocks that are open, the one that began last at the end
_PAGE: list[int] = []  # copies of the descriptors 1 and 2, as they were outside all blocks
# One pair for the whole process: a logger that met them in one block must be silent in the next.
_RELAYS = _Relay(), _Relay()


def _begin(sink: TextIO) -> tuple[TextIO, TextIO]:
    """Send everything to ``sink`` and return the streams that were there."""
    with _LOCK:
        found = sys.stdout, sys.stderr
        for stream in filter(None, found):  # a process without a console has none
            stream.flush()  # what was said before goes where it was meant to go
        if not _SINKS:
            _PAGE[:] = [os.dup(descriptor) for descriptor in (1, 2)]
            for relay, stream in zip(_RELAYS, found, strict=True):
                relay.page = relay.page if stream is relay else stream
        _SINKS.append(sink)
        _point_descriptors()
        sys.stdout, sys.stderr = _RELAYS
    return found


def _end(sink: TextIO, found: tuple[TextIO, TextIO]) -> None:
    with _LOCK:
        sink.flush()
        _SINKS.remove(sink)
        _point_descriptors()
        if not _SINKS:
            sys.stdout, sys.stderr = (relay.page for relay in _RELAYS)
            while _PAGE:
                os.close(_PAGE.pop())
        elif found != tuple(relay.page for relay in _RELAYS):
            sys.stdout, sys.stderr = found  # a stream that was put up inside an outer block


def _point_descriptors() -> None:
    targets = (_SINKS[-1].fileno(),) * 2 if _SINKS else _PAGE
    for descriptor, target in zip((1, 2), targets, strict=True):
        os.dup2(target, descriptor)


def tensorflow() -> ModuleType:
    """Import TensorFlow without its start-up messages and return the module."""
    if "tensorflow" in sys.modules:
        return sys.modules["tensorflow"]
    with quiet():
        import tensorflow
    return tensorflow
