"""Checks of lesson 02: measure what matters.

``stored_bytes`` and ``median_us`` are the course's own answers, for a lesson that runs on with a
blank.
"""

import bisect
import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from lessons_lib.course.checks._answers import call, compare, number_in
from lessons_lib.course.checks._verdict import exercise
from lessons_lib.models import unseen
from lessons_lib.tflite import reader

TIMES = [62, 60, 61, 64, 59, 61, 983]  # microseconds


def stored_bytes(layers: Sequence[tuple[tuple[int, ...], int]], weight_bytes: int) -> int:
    """Return the bytes of a network's parameters in a file; a bias takes 4 in any file.

    ``layers``: of each layer the shape of its weights and the number of its biases.
    Defined in lesson 02.
    """
    return sum(math.prod(shape) * weight_bytes + 4 * biases for shape, biases in layers)


@exercise(
    "of each layer: the product of the weights' shape, times `weight_bytes`, and 4 for each bias; "
    "add the layers up.",
    "What the file holds beyond this is its structure.",
)
def check_stored_bytes(count: object) -> bool | str:
    """Exercise 2.1: a function (layers, weight_bytes) -> the bytes of all parameters, an int.

    It gets layers that are not the lesson's, with weights of one, two and four bytes.
    """
    for weight_bytes in (2, 1, 4):
        verdict = _stored_bytes(count, weight_bytes)
        if verdict is not True:
            return verdict
    return True


def _stored_bytes(count: object, each: int) -> bool | str:
    layers = [((8, 5, 5, 3), 8), ((12, 3, 3, 8), 12), ((10, 3300), 10)]  # more than 16 bits count
    weights, biases = [math.prod(shape) for shape, _ in layers], [b for _, b in layers]
    right, all_weights, all_biases = stored_bytes(layers, each), sum(weights), sum(biases)
    return compare(
        call(count, list(layers), each),
        right,
        (each * all_weights, "The biases are missing."),
        (each * (all_weights + all_biases), "A bias takes 4 bytes, whatever a weight takes."),
        (all_weights + all_biases, "These are parameters, not their bytes."),
        (
            sum(sum(shape) * each + 4 * b for shape, b in layers),
            "As many weights as the product of the shape, not as its sum.",
        ),
        (
            *(each * w + 4 * b for w, b in zip(weights, biases, strict=True)),
            "That is one layer; add up all of them.",
        ),
        (8 * right, "These are bits."),
        (right / 1000, right / 1024, "Count in bytes, not in thousands of them."),
        near=1e-6,
    )


def median_us(call: Callable[[], object], clock: Callable[[], float]) -> float:
    """Return the median time of a call in microseconds: 20 to warm up, then 200 one by one.

    ``clock`` returns seconds, as ``time.perf_counter`` does. Defined in lesson 02.
    """
    for _ in range(20):
        call()
    times = []
    for _ in range(200):
        start = clock()
        call()
        times.append(clock() - start)
    return 1e6 * float(np.median(times))


_MANY, _MOST = 100, 200_000  # calls that are timed at least, and that are made at most
_COLD = 10  # so many of the first calls are slow


@exercise(
    "a loop of calls that are not timed; then a loop in which each call stands between two "
    "readings of the clock; the median of the differences, times a million.",
    "The disturbed calls could have taken any time at all without changing it.",
)
def check_median_us(measure: object) -> bool | str:
    """Exercise 2.2: a function (call, clock) -> the median time of a warm call, in microseconds.

    Call and clock are of a made-up machine: its first ten calls are cold, every ninth is disturbed,
    and the others get a little faster from one to the next. So it is known which calls were timed,
    and what was made of the times.
    """
    machine = _Machine()
    found = call(measure, machine.call, machine.clock)
    timed, first = machine.timed()
    if not machine.calls:
        return "Your function never calls the function that it gets."
    if not machine.readings:
        return "Your function never reads the clock that it gets."
    us = number_in(found, "µs", "us", "microseconds")
    if not timed:
        return _of_many(us, machine)
    if len(timed) < _MANY:
        calls = "One call was" if len(timed) == 1 else f"Only {len(timed)} calls were"
        return f"{calls} timed: take {_MANY} or more."
    for factor, unit in ((1e-6, "seconds"), (1e-3, "milliseconds"), (1e3, "nanoseconds")):
        if _is_median(us / factor, timed):
            return f"These are {unit}; asked are microseconds."
    left = max(_COLD - first, 0)  # cold calls that were timed; they may be left out afterwards
    if _is_median(us, timed[left:]):
        return True
    if _is_median(us, timed):
        calls = "no call" if first == 0 else "1 call" if first == 1 else f"{first} calls"
        return f"The cold calls are among them: before the clock comes {calls}, asked are {_COLD}."
    return _other_than_the_median(us, timed)


class _Machine:
    """Calls that take known times, in microseconds, and a clock in seconds that only they move."""

    def __init__(self):
        self.calls, self.now, self.readings = 0, 0.0, []

    def call(self) -> None:
        if self.calls >= _MOST:
            raise RuntimeError(f"more than {_MOST:,} calls: does it ever end?")
        self.now += _duration(self.calls) / 1e6
        self.calls += 1

    def clock(self) -> float:
        self.readings.append((self.calls, self.now))
        return self.now

    def timed(self) -> tuple[list[float], int | None]:
        """The times of calls between two readings of their own, and the first one's number."""
        pairs = itertools.pairwise(number for number, _ in self.readings)
        alone = [before for before, after in pairs if after - before == 1]
        return [_duration(number) for number in alone], alone[0] if alone else None


def _duration(number: int) -> float:
    if number < _COLD:
        return 900.0 - 20 * number
    return 60 + 300 / number + 500 * (number % 9 == 0)


def _is_median(us: float, timed: list[float]) -> bool:
    """Whether it is the median of these times, however many of the first were left out.

    The machine gets faster: the more are left out, the smaller the median.
    """
    left_out = range(len(timed) - _MANY // 2)
    near = bisect.bisect_left(left_out, -us, key=lambda count: -np.median(timed[count:]))
    return any(_between(us, timed[count:]) for count in left_out[max(near - 2, 0) : near + 3])


def _between(us: float, times: list[float]) -> bool:
    """Whether it is a median; of an even number both middle ones are."""
    ordered, half = sorted(times), len(times) // 2
    low, high = ordered[(len(times) - 1) // 2], ordered[half]
    return low * (1 - 1e-7) <= us <= high * (1 + 1e-7)


def _other_than_the_median(us: float, timed: list[float]) -> str | bool:
    lowest, highest = np.median(timed[-_MANY // 2 :]), np.median(timed)
    if us == round(us, 2) and lowest - 0.5 <= us <= highest + 0.5:
        return "This looks rounded: give the median with all its digits."
    sums = np.cumsum(timed[::-1])[: _MANY // 2 : -1]  # with fewer and fewer of the first
    if np.isclose(us, sums / np.arange(len(timed), len(timed) - len(sums), -1), 1e-6).any():
        return "This is the mean: every ninth call was disturbed, and moves it far."
    if np.isclose(us, sums, 1e-6).any():
        return "That is the time of all calls together."
    if np.isclose(us, min(timed), 1e-6):
        return "This is the luckiest call; most calls take longer."
    return bool(np.isclose(us, max(timed), 1e-6)) and "This is the slowest call."


def _of_many(us: float, machine: _Machine) -> str:
    spans = itertools.pairwise(machine.readings)
    means = [1e6 * (t1 - t0) / (n1 - n0) for (n0, t0), (n1, t1) in spans if n1 > n0]
    said = "One pair of readings around many calls gives no more than their mean"
    if any(np.isclose(us, mean * factor, 1e-6) for mean in means for factor in (1, 1e-6)):
        return f"{said}: a disturbed call moves it far. Read the clock around each call."
    return f"{said}: read the clock before and after each call."


@exercise(
    "`reader.read(content).buffers` has what is stored; `bytes(buffer.data)` makes two of them "
    "comparable, and a set keeps one of each.",
    "A layer that is used twice need not be stored twice.",
)
def check_needless_bytes(needless: object) -> bool | str:
    """Exercise 2.3: a function content -> the bytes that are stored although they stand elsewhere.

    It gets the file of the task, and others: with three equal buffers, with none, and with one that
    two tensors share.
    """
    a, b = (np.arange(start, start + 40, dtype=np.float32).tobytes() for start in (0, 1))
    like_a = a[:-4] + b[-4:]  # another last number
    content = unseen.path("02_pair.tflite").read_bytes()
    verdict = compare(
        call(needless, content),
        50_432,
        (100_864, "Both copies are counted; one of them is needed."),
        (50_176, 100_352, "Biases are stored as well, and twice."),
        (101_124, "These are all stored bytes."),
        (len(content), "That is the whole file."),
        (len(content) - 50_692, "The structure is among them: it is needed."),
        (2, 4, "That is how many; asked are their bytes."),
        units=("bytes", "B"),
    )
    if verdict is not True:
        return verdict
    for stored, right, remark in (
        ([a, b], 0, "Other numbers of the same shape are needed."),
        ([a, like_a], 0, "Compare all bytes of two buffers: theirs differ only at the end."),
        ([a, a, a, b], 2 * len(a), "Of three equal buffers two are needless."),
        ([a, 0], 0, "Two tensors may share a buffer: it is stored once."),
    ):
        if number_in(call(needless, _storing(stored)), "bytes", "B") != right:
            return f"It is right for the file of the task, not for another one. {remark}"
    return True


def _storing(stored: list) -> bytes:
    """A ``.tflite`` of dense layers with these weights (1, 40); 0 shares the first one's buffer."""
    buffers, operators = [schema.BufferT()], []  # the first buffer is empty, as always
    tensors = [schema.TensorT([1, 40], buffer=0, name="x")]
    for number, held in enumerate(stored):
        if held != 0:
            buffers.append(schema.BufferT(data=np.frombuffer(held, np.uint8)))
        place, weights = 1 if held == 0 else len(buffers) - 1, len(tensors)
        tensors.append(schema.TensorT([1, 40], buffer=place, name=f"kernel_{number}"))
        tensors.append(schema.TensorT([1, 1], buffer=0, name=f"y_{number}"))
        operators.append(schema.OperatorT(0, [0, weights, -1], [weights + 1]))
    graph = schema.SubGraphT(tensors, [0], list(range(2, len(tensors), 2)), operators)
    code = schema.OperatorCodeT(schema.BuiltinOperator.FULLY_CONNECTED)
    return reader.pack(schema.ModelT(3, [code], [graph], "stored", buffers))


@exercise(
    "find the shape of the output first: how often does the window fit into a row without "
    "padding? Then count the products behind one number of the output.",
    "Numbers in the output, times the products behind each.",
)
def check_macs(macs: object) -> bool | str:
    """Exercise 2.4: the multiply-accumulates of a convolution, an int."""
    positions, products, right = 28 * 28, 5 * 5 * 3, 28 * 28 * 8 * 5 * 5 * 3
    return compare(
        macs,
        right,
        (32 * 32 * 8 * products, "Without padding the window fits fewer than 32 times."),
        (27 * 27 * 8 * products, "Count again how often a window of 5 fits into 32."),
        (positions * products, "That is one output channel."),
        (positions * 8 * 5 * 5, "The window reaches through all input channels."),
        (2 * right, "A multiplication and the addition behind it are one MAC."),
        (right + positions * 8, "Biases are added, not multiplied: they are no MACs."),
        units=("MACs", "MAC"),
    )


@exercise(
    "one call was disturbed. Which number of a sorted list does not care how large the largest "
    "one is?",
    "The median: the disturbed call could have taken any time at all without changing it.",
)
def check_latency_report(us: object) -> bool | str:
    """Exercise 2.5: the latency to report for seven calls, in microseconds."""
    mean = np.mean(TIMES)
    return compare(
        us,
        np.median(TIMES),
        (mean, round(mean), "This is the mean: the disturbed call alone moves it that far."),
        (min(TIMES), "This is the luckiest call; most users wait longer."),
        (max(TIMES), "This is the disturbed call; no other one took that long."),
        units=("µs", "us", "microseconds", "microsecond"),
        rtol=1e-5,
    )


@exercise(
    "how many int8 weights does one read of 32 bits bring? Count the reads, take the energy of "
    "one from the table, and mind the unit.",
    "As float32 the same weights would take four times as many reads.",
)
def check_read_energy(energy: object) -> bool | str:
    """Exercise 2.6: the energy to read 2,000,000 int8 weights from DRAM, in microjoules."""
    return compare(
        energy,
        320,
        (1280, "One read brings more than one int8 weight."),
        (320e6, "These are picojoules; a million of them are a microjoule."),
        (0.32, "These are millijoules."),
        (25, "This is the price of memory on the chip; these weights come from DRAM."),
        units=("µJ", "uJ", "microjoules", "microjoule"),
        rtol=1e-5,
    )
