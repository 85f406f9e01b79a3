"""What the jobs of ``test_jobs.py`` do, in child processes and on a cluster's workers."""

import os
import signal
import time
from pathlib import Path

from lessons_lib.errors import InputError, StorageError


def square(number, log=None):
    """The square; a line in a file says that it was computed, and by which process."""
    if log is not None:
        with open(log, "a") as file:
            file.write(f"{number} {os.getpid()}\n")
    return number**2


def slow_square(number, log, seconds):
    time.sleep(seconds)
    return square(number, log)


def one_that_dies(number, deadly, log):
    if number == deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    return slow_square(number, log, 0.05)


def refuse(number):
    raise InputError(f"{number} is refused")


def fail(number):
    raise ZeroDivisionError(f"{number} / 0")


def no_room(number):
    raise StorageError("the disk is full")


def sleep(seconds):
    time.sleep(seconds)


def size(file, text):
    """The bytes of a file, and whether it has kept its suffix."""
    assert isinstance(file, Path)
    return len(file.read_bytes()), file.suffix, text
