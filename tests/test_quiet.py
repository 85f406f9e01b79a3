import logging
import os
import subprocess
import sys

import pytest

from lessons_lib.system.quiet import quiet


def test_what_is_said_is_kept_off_the_page_and_in_the_log(capfd):
    print("before")
    with quiet() as log:
        print("python")
        os.write(1, b"descriptor 1\n")
        os.write(2, b"descriptor 2\n")
    print("after")
    assert {"python", "descriptor 1", "descriptor 2"} <= set(log.text.splitlines())
    seen = capfd.readouterr()
    assert (seen.out, seen.err) == ("before\nafter\n", "")


def test_an_error_passes_and_the_streams_come_back(capfd):
    with pytest.raises(ZeroDivisionError), quiet():
        1 / 0  # noqa: B018
    print("after")
    assert capfd.readouterr().out == "after\n"


def test_a_logger_made_in_one_block_is_silent_in_the_next(capfd):
    with quiet() as first:
        handler = logging.StreamHandler(sys.stderr)
        handler.emit(logging.makeLogRecord({"msg": "one"}))
    with quiet() as second:
        handler.emit(logging.makeLogRecord({"msg": "two"}))
    handler.emit(logging.makeLogRecord({"msg": "three"}))
    assert (first.text, second.text) == ("one\n", "two\n")
    assert capfd.readouterr().err == "three\n"


def test_blocks_may_be_nested(capfd):
    with quiet() as outer:
        print("outer")
        with quiet() as inner:
            print("inner")
        print("outer again")
    print("after")
    assert (outer.text, inner.text) == ("outer\nouter again\n", "inner\n")
    assert capfd.readouterr().out == "after\n"


SCRIPT = """
from lessons_lib.quiet import quiet
with quiet():
    import tensorflow as tf
    tf.get_logger().warning("hidden")
tf.constant(1.0)
tf.get_logger().warning("seen")
"""


def test_tensorflow_starts_in_silence_and_can_speak_afterwards():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    assert done.stderr.splitlines() == ["WARNING:tensorflow:seen"]
