"""The checks of lesson 02 accept right answers, refuse wrong ones, and wait for the rest."""

import functools
import math
import operator
import statistics

import numpy as np

from lessons_lib import checks, reader, runtime, tables, unseen
from lessons_lib.course.checks import lesson02
from verdicts import Answers, class_of_tests

TIMES = [62, 60, 61, 64, 59, 61, 983]
PAIR = unseen.path("02_pair.tflite")


def in_loops(layers, weight_bytes):
    total = 0
    for shape, biases in layers:
        weights = 1
        for size in shape:
            weights *= size
        total += weights * weight_bytes + biases * 4
    return total


def with_numpy(layers, weight_bytes):
    weights = np.array([np.prod(shape) for shape, _ in layers])
    return np.sum(weights * weight_bytes) + 4 * np.sum([biases for _, biases in layers])


def with_reduce(layers, weight_bytes):
    sizes = (functools.reduce(operator.mul, shape) for shape, _ in layers)
    return weight_bytes * sum(sizes) + 4 * sum(biases for _, biases in layers)


def counted(of_layer):
    return lambda layers, each: sum(of_layer(math.prod(s), b, each) for s, b in layers)


def after(value):
    """A function of that value, as if somebody had calculated further."""
    return lambda layers, each: value(lesson02.stored_bytes(layers, each))


def measures(warmup=20, count=200, of=np.median, factor=1e6, left_out=0):
    """Time ``count`` calls one by one, and make one number of all but the first few times."""

    def measure(call, clock):
        for _ in range(warmup):
            call()
        times = []
        for _ in range(count):
            start = clock()
            call()
            times.append(clock() - start)
        return factor * of(times[left_out:])

    return measure


def one_reading_a_call(call, clock):
    for _ in range(10):
        call()
    readings = [clock()]
    for _ in range(301):
        call()
        readings.append(clock())
    return 1e6 * np.median(np.diff(readings))


def for_a_while(call, clock):
    begin, times = clock(), []
    while clock() < begin + 0.1 or len(times) < 200:
        start = clock()
        call()
        times.append(1e6 * (clock() - start))
    return sorted(times[50:])[len(times[50:]) // 2]


def around_all(call, clock):
    call()
    start = clock()
    for _ in range(1000):
        call()
    return 1e6 * (clock() - start) / 1000


def in_blocks(call, clock):
    """The median of ten means."""
    means = []
    for _ in range(10):
        start = clock()
        for _ in range(100):
            call()
        means.append(1e6 * (clock() - start) / 100)
    return np.median(means)


def without_the_clock(call, clock):
    for _ in range(200):
        call()
    return 60.0


def without_a_call(call, clock):
    return clock() - clock()


def without_end(call, clock):
    while True:
        call()


def with_a_set(content):
    stored = [bytes(b.data) for b in reader.read(content).buffers if b.data is not None]
    return sum(map(len, stored)) - sum(map(len, set(stored)))


def in_a_dictionary(content):
    seen, total = {}, 0
    for buffer in reader.read(content).buffers:
        if buffer.data is not None:
            key = buffer.data.tobytes()
            total += len(key) if key in seen else 0
            seen[key] = True
    return total


def by_the_table(content):
    stored = tables.tensors(content).query("bytes > 0").drop_duplicates("buffer")
    values = [reader.constant(content, name).tobytes() for name in stored["name"]]
    return f"{sum(map(len, values)) - sum(map(len, set(values)))} bytes"


def by_role(content):
    stored = tables.tensors(content).query("role in ('weight', 'bias')").drop_duplicates("buffer")
    values = [reader.constant(content, name).tobytes() for name in stored["name"]]
    return sum(map(len, values)) - sum(map(len, set(values)))


def pairwise(content):
    held = [b.data for b in reader.read(content).buffers if b.data is not None]
    again = [i for i, one in enumerate(held) if any(np.array_equal(one, x) for x in held[:i])]
    return np.int64(sum(held[i].size for i in again))


def by_shape(content):
    stored = tables.tensors(content).query("bytes > 0").drop_duplicates("buffer")
    return stored["bytes"].sum() - stored.drop_duplicates(["role", "shape"])["bytes"].sum()


def by_tensor(content):
    stored = tables.tensors(content).query("bytes > 0")
    values = [reader.constant(content, name).tobytes() for name in stored["name"]]
    return sum(map(len, values)) - sum(map(len, set(values)))


def by_their_beginning(content):
    held = [bytes(b.data) for b in reader.read(content).buffers if b.data is not None]
    return sum(map(len, held)) - sum(map(len, {one[:64]: one for one in held}.values()))


def only_pairs(content):
    held = [bytes(b.data) for b in reader.read(content).buffers if b.data is not None]
    return sum(len(one) for one in set(held) if held.count(one) > 1)


def both_copies(content):
    held = [bytes(b.data) for b in reader.read(content).buffers if b.data is not None]
    return sum(len(one) for one in held if held.count(one) > 1)


def of_the_weights(content):
    stored = tables.tensors(content).query("role == 'weight'").drop_duplicates("buffer")
    values = [reader.constant(content, name).tobytes() for name in stored["name"]]
    return sum(map(len, values)) - sum(map(len, set(values)))


ANSWERS = {
    checks.check_stored_bytes: Answers(
        right={
            "a sum": counted(lambda weights, biases, each: weights * each + 4 * biases),
            "loops": in_loops,
            "NumPy": with_numpy,
            "reduce": with_reduce,
            "the course's own": lesson02.stored_bytes,
            "a float": after(float),
            "a text": after("{:,}".format),
            "an array": after(np.atleast_1d),
        },
        wrong={
            "no biases": (counted(lambda weights, biases, each: weights * each), "are missing"),
            "biases shrink": (
                counted(lambda weights, biases, each: (weights + biases) * each),
                "A bias takes 4 bytes",
            ),
            "parameters": (
                counted(lambda weights, biases, each: weights + biases),
                "not their bytes",
            ),
            "sums of shapes": (
                lambda layers, each: sum(sum(s) * each + 4 * b for s, b in layers),
                "not as its sum",
            ),
            "one layer": (lambda layers, each: in_loops(layers[:1], each), "That is one layer"),
            "the last layer": (lambda layers, each: in_loops(layers[-1:], each), "one layer"),
            "bits": (after(lambda size: 8 * size), "These are bits"),
            "kilobytes": (after(lambda size: size / 1000), "Count in bytes"),
            "always floats": (lambda layers, each: in_loops(layers, 4), ""),
            "16 bits": (
                lambda layers, each: sum(
                    int(np.prod(s, dtype=np.int16)) * each + 4 * b for s, b in layers
                ),
                "",
            ),
            "a list": (lambda layers, each: [in_loops(layers, each)] * 2, "holds 2 numbers"),
            "a number": (226_856, "asked is a function"),
        },
    ),
    checks.check_median_us: Answers(
        right={
            "the course's own": lesson02.median_us,
            "many": measures(50, 100_000),
            "many, and many left out": measures(0, 20_000, left_out=7_000),
            "ten warm calls": measures(10, 200),
            "five warm calls, and the next left out": measures(5, 300, left_out=5),
            "statistics": measures(of=statistics.median),
            "the lower of two": measures(of=statistics.median_low),
            "sorted": measures(count=301, of=lambda times: sorted(times)[len(times) // 2]),
            "a percentile": measures(of=lambda times: np.percentile(times, 50)),
            "the first left out": measures(0, 300, left_out=20),
            "one reading a call": one_reading_a_call,
            "for a while": for_a_while,
        },
        wrong={
            "the mean": (measures(of=np.mean), "This is the mean"),
            "the mean, some left out": (measures(of=np.mean, left_out=30), "This is the mean"),
            "the least": (measures(of=min), "luckiest"),
            "the most": (measures(of=max), "slowest"),
            "the sum": (measures(of=sum), "all calls together"),
            "no warm-up": (measures(0), "The cold calls are among them"),
            "no warm-up, odd": (measures(0, 301), "The cold calls are among them"),
            "one warm call": (measures(1, 200), "comes 1 call, asked are 10"),
            "nine warm calls": (measures(9, 100), "comes 9 calls, asked are 10"),
            "no warm-up, five left out": (measures(0, 300, left_out=5), "comes no call"),
            "seconds": (measures(factor=1), "These are seconds"),
            "milliseconds": (measures(factor=1e3), "These are milliseconds"),
            "nanoseconds": (measures(factor=1e9), "These are nanoseconds"),
            "rounded": (lambda *given: round(measures()(*given)), "This looks rounded"),
            "too few": (measures(count=9), "Only 9 calls were timed"),
            "one": (measures(count=1), "One call was timed"),
            "around all": (around_all, "no more than their mean"),
            "blocks": (in_blocks, "no more than their mean"),
            "no clock": (without_the_clock, "never reads the clock"),
            "no call": (without_a_call, "never calls the function"),
            "no end": (without_end, "does it ever end"),
            "all the times": (measures(of=np.array), "holds 200 numbers; one is asked"),
            "the upper quartile": (measures(of=lambda times: np.percentile(times, 75)), ""),
        },
    ),
    checks.check_needless_bytes: Answers(
        right={
            "a set": with_a_set,
            "a dictionary": in_a_dictionary,
            "by the table": by_the_table,
            "by role": by_role,
            "pair by pair": pairwise,
        },
        wrong={
            "by shape": (by_shape, "Other numbers of the same shape"),
            "by tensor": (by_tensor, "may share a buffer"),
            "by their beginning": (by_their_beginning, "Compare all bytes"),
            "of two": (only_pairs, "Of three equal buffers"),
            "both copies": (both_copies, "one of them is needed"),
            "weights alone": (of_the_weights, "Biases are stored as well"),
            "all that is stored": (
                lambda content: tables.tensors(content)["bytes"].sum(),
                "all stored bytes",
            ),
            "the file": (len, "the whole file"),
            "with its structure": (lambda content: len(content) - 50_692, "The structure"),
            "how many": (lambda content: 2, "how many"),
            "typed in": (lambda content: 50_432, "not for another one"),
        },
    ),
    checks.check_macs: Answers(
        right={
            "an int": 470_400,
            "a NumPy integer": np.int64(470_400),
            "a text": "470,400",
            "with its unit": "470400 MACs",
        },
        wrong={
            "padded": (614_400, "Without padding"),
            "one output channel": (58_800, "one output channel"),
            "one input channel": (156_800, "through all input channels"),
            "27 positions": (27 * 27 * 600, "a window of 5"),
            "counted twice": (940_800, "are one MAC"),
            "biases counted": (476_672, "Biases are added"),
            "None": (None, "holds None"),
        },
    ),
    checks.check_latency_report: Answers(
        right={
            "an int": 61,
            "a median": np.median(TIMES),
            "an array": np.array([61]),
            "a text with its unit": "61 µs",
            "a text": "61",
        },
        wrong={
            "the mean": (np.mean(TIMES), "This is the mean"),
            "the mean, rounded": (193, "This is the mean"),
            "the fastest": (59, "luckiest"),
            "the slowest": (983, "disturbed"),
            "in milliseconds": ("0.061 ms", "without 'ms'"),
            "a word": ("the median", "a number is asked"),
            "all of them": (TIMES, "holds 7 numbers; one is asked"),
            "a function": (np.median, "holds a function; numbers are asked"),
        },
    ),
    checks.check_read_energy: Answers(
        right={
            "an int": 320,
            "a float": 320.0,
            "by the formula": 2_000_000 / 4 * 640 / 1e6,
            "a text with its unit": "320 µJ",
        },
        wrong={
            "a read for each weight": (1280, "more than one int8 weight"),
            "picojoules": (320e6, "picojoules"),
            "millijoules": (0.32, "millijoules"),
            "on-chip memory": (25, "memory on the chip"),
            "two numbers": ([320, 1280], "holds 2 numbers"),
            "something else": (100, ""),
        },
    ),
}

TestAnswers = class_of_tests(ANSWERS)


def test_the_hint_of_2_1_and_2_3_does_not_hold_the_numbers_of_the_solution():
    assert "28" not in checks.check_macs(0).message
    assert "640" not in checks.check_read_energy(0).message


def test_the_pair_is_stored_twice_and_runs():
    """The same layer under two names: nearly half of the file could go, and no answer with it."""
    stored = tables.tensors(PAIR).set_index("name")
    for part in ("kernel", "bias"):
        left, right = (reader.constant(PAIR, f"{side}/{part}") for side in ("left", "right"))
        assert np.array_equal(left, right)
        assert stored["buffer"][f"left/{part}"] != stored["buffer"][f"right/{part}"]
    content, model = PAIR.read_bytes(), reader.read(PAIR)
    for tensor in model.subgraphs[0].tensors:
        if tensor.name.startswith(b"right/") and tensor.buffer:
            twin = tensor.name.decode().replace("right", "left")
            model.buffers[tensor.buffer].data, tensor.buffer = None, stored["buffer"][twin]
    smaller = reader.pack(model)
    assert 0 < len(content) - len(smaller) - 50_432 < 100
    samples = np.random.default_rng(0).random((2, 3, 196), dtype=np.float32)
    both = {"left": samples[0], "right": samples[1]}
    answers = [runtime.Model(source).predict(both) for source in (content, smaller)]
    assert np.array_equal(*answers) and np.ptp(answers[0]) > 0
