import contextlib
import io
import logging
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

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


def where():
    """What the descriptors 1 and 2 are, and the two streams."""
    same = [(os.fstat(fd).st_dev, os.fstat(fd).st_ino) for fd in (1, 2)]
    return same, sys.stdout, sys.stderr


@pytest.mark.parametrize("first_out", [0, 1])
def test_blocks_of_two_threads_may_overlap(first_out, capfd):
    steps = {name: threading.Event() for name in ("in 0", "in 1", "out 0", "out 1")}
    logs = {}

    def block(number):
        if number:
            steps["in 0"].wait(10)
        with quiet() as logs[number]:
            steps[f"in {number}"].set()
            steps["in 1"].wait(10)
            if number != first_out:
                steps[f"out {first_out}"].wait(10)
            print(f"python {number}")
            os.write(2, b"descriptor %d\n" % number)
        steps[f"out {number}"].set()

    before = where()
    threads = [threading.Thread(target=block, args=[number]) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert where() == before
    print("after")
    said = logs[0].text + logs[1].text
    assert sorted(said.split("\n")[:-1]) == [
        f"{w} {n}" for w in ("descriptor", "python") for n in (0, 1)
    ]
    assert capfd.readouterr() == ("after\n", "")


def test_many_threads_leave_the_page_as_it_was(capfd):
    def block(number):
        for _ in range(20):
            with quiet():
                print("python", flush=True)
                os.write(1, b"descriptor\n")

    before = where()
    open_before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(block, range(16)))
    assert where() == before
    if open_before:
        assert len(os.listdir("/proc/self/fd")) == open_before
    assert capfd.readouterr() == ("", "")


def test_a_stream_put_up_inside_a_block_comes_back_after_an_inner_one(capfd):
    with quiet() as outer, contextlib.redirect_stdout(io.StringIO()) as held:
        print("held")
        with quiet() as inner:
            print("inner")
        print("held again")
    assert (outer.text, inner.text, held.getvalue()) == ("", "inner\n", "held\nheld again\n")
    print("after")
    assert capfd.readouterr().out == "after\n"


EARLIER = """
from lessons_lib.system.quiet import quiet
print("said before the block, and still in Python's buffer")
with quiet() as log:
    pass
assert not log.text, log.text
"""


def test_what_was_said_before_is_not_taken_into_the_block():
    done = subprocess.run([sys.executable, "-c", EARLIER], capture_output=True, text=True)
    assert (done.stdout[:11], done.stderr) == ("said before", "")


SCRIPT = """
from lessons_lib.system.quiet import quiet
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
