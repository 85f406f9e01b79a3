import os
import signal
import sys
import time

import pytest

from lessons_lib.errors import CalibrationError, ChildDied
from lessons_lib.system.sandbox import call


# The functions below are run in a child process, which finds this module by its name.
def double(x):
    print("a child may print")
    return 2 * x


def refuse():
    raise CalibrationError("as the library does")


def fail():
    raise KeyError("unexpected")


def die():
    os.kill(os.getpid(), signal.SIGSEGV)


def die_of(number):
    os.kill(os.getpid(), number)


def wait():
    time.sleep(60)


class Own:
    """A class that a child can only find on the caller's path."""


def kind(thing):
    return type(thing).__name__


def pid():
    return os.getpid()


def test_the_result_comes_back_from_another_process():
    assert call("test_children:double", [1, 2]) == [1, 2, 1, 2]
    assert call("test_children:pid") != os.getpid()


def test_arguments_may_be_of_the_callers_own_classes():
    assert call("test_children:kind", Own()) == "Own"


def test_the_courses_own_errors_come_back_as_they_are():
    with pytest.raises(CalibrationError, match="as the library does"):
        call("test_children:refuse")


def test_another_error_is_told_by_its_last_line():
    with pytest.raises(ChildDied, match="KeyError: 'unexpected'"):
        call("test_children:fail")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")
def test_a_crash_is_told_by_its_signal():
    with pytest.raises(ChildDied, match="SIGSEGV") as caught:
        call("test_children:die")
    assert caught.value.signal == signal.SIGSEGV


@pytest.mark.skipif(not hasattr(signal, "SIGRTMIN"), reason="no realtime signals here")
def test_a_signal_without_a_name_is_told_by_its_number():
    number = signal.SIGRTMIN + 6
    with pytest.raises(ChildDied, match=f"ended with signal {number}") as caught:
        call("test_children:die_of", number)
    assert caught.value.signal == number


def test_a_child_that_takes_too_long_is_ended():
    with pytest.raises(ChildDied, match=r"within 0\.5 s"):
        call("test_children:wait", timeout=0.5)
