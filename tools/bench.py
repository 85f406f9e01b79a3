"""Measure what the course promises about speed and memory: ``make bench``, on a quiet machine.

Prints a table: what was measured, the promise, and how it was taken. Exits with 1 when a promise
is not kept. ``--part`` measures only some parts.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

import chromium
from lessons_lib import (
    benchmark,
    board,
    by_litert,
    by_tensorflow,
    c_source,
    calibration,
    catalogue,
    data,
    edit,
    every_path,
    files,
    integer_engine,
    mixed_precision,
    notebooks,
    paths,
    sandbox,
    sources,
    tables,
    tasks,
    training,
    verdict,
)
from lessons_lib.quantize import quantize_model
from lessons_lib.run.runtime import Model
from lessons_lib.system.quiet import quiet, tensorflow

ROUNDS = 7
TUNED_BATCHES = (25, 40, 50, 100, 250)
LEAST_AGREEMENT = 0.99
LEARNERS = 30  # of a class


@dataclass(frozen=True)
class Result:
    """One measured figure beside its promise; ``at_least`` tells which way the promise goes."""

    what: str
    measured: float
    unit: str
    promise: float
    at_least: bool
    how: str

    @property
    def kept(self) -> bool:
        return self.measured >= self.promise if self.at_least else self.measured <= self.promise


# ---- evaluating 10,000 digits


def float_tutorial(content: bytes, images: np.ndarray) -> np.ndarray:
    """The loop of the official tutorials "dynamic range" and "float16": one image at a time."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    input_index = interpreter.get_input_details()[0]["index"]
    output_index = interpreter.get_output_details()[0]["index"]
    digits = []
    for image in images:
        interpreter.set_tensor(input_index, np.expand_dims(image, axis=0).astype(np.float32))
        interpreter.invoke()
        output = interpreter.tensor(output_index)
        digits.append(np.argmax(output()[0]))
    return np.array(digits)


def integer_tutorial(content: bytes, images: np.ndarray) -> np.ndarray:
    """The loop of the official tutorial "full integer": one image, shortcut included."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    inputs, outputs = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    classes = np.zeros((len(images),), dtype=int)
    for i, image in enumerate(images):
        scale, zero_point = inputs["quantization"]
        image = image / scale + zero_point
        image = np.expand_dims(image, axis=0).astype(inputs["dtype"])
        interpreter.set_tensor(inputs["index"], image)
        interpreter.invoke()
        classes[i] = interpreter.get_tensor(outputs["index"])[0].argmax()
    return classes


TUTORIALS = {"float32": float_tutorial, "int8": integer_tutorial}


def hand_tuned(content: bytes, batch: int) -> Callable[[np.ndarray], np.ndarray]:
    """The shortest code for whole batches: no check, and nothing that the data does not need.

    The number of images must be a multiple of ``batch``.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    inputs, outputs = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    interpreter.resize_tensor_input(inputs["index"], [batch, *inputs["shape"][1:]])
    interpreter.allocate_tensors()

    def run(images: np.ndarray) -> np.ndarray:
        scale, zero_point = map(np.float32, inputs["quantization"])
        classes = []
        for start in range(0, len(images), batch):
            part = images[start : start + batch]
            if inputs["dtype"] == np.int8:
                part = np.rint(part / scale + zero_point).clip(-128, 127).astype(np.int8)
            interpreter.set_tensor(inputs["index"], part)
            interpreter.invoke()
            classes.append(interpreter.get_tensor(outputs["index"]).argmax(axis=1))
        return np.concatenate(classes)

    return run


def evaluation(name: str, content: bytes, images: np.ndarray, rounds: int = ROUNDS) -> list[Result]:
    """Time the course's ``Model.classes`` against the tutorials' loop and hand-tuned batches."""
    ways = {
        "tutorial": partial(TUTORIALS[name], content, images),
        "course": partial(Model(content).classes, images),
        **{f"tuned {n}": partial(hand_tuned(content, n), images) for n in TUNED_BATCHES},
    }
    require_same_work(name, {way: run() for way, run in ways.items()})
    seconds = interleaved(ways, rounds)
    loop, course = seconds.pop("tutorial"), seconds.pop("course")
    tuned = min(seconds.values())
    how = f"{len(images):,} digits, {name}, median of {rounds} interleaved rounds; "
    took = f"loop {loop:.2f} s, course {course:.2f} s"
    best = f"the best of batches of 25 to 250: {tuned:.2f} s"
    what = (f"{name}: faster than the tutorials' loop", f"{name}: time against hand-tuned batches")
    return [
        Result(what[0], loop / course, "x", 1.5, True, how + took),
        Result(what[1], course / tuned, "x", 1.15, False, how + best),
    ]


def require_same_work(name: str, classes: dict[str, np.ndarray]) -> None:
    """Exit unless all ways find the same classes: a time says nothing about other work.

    The int8 tutorial cuts off what the course rounds, so some of its classes may differ.
    """
    for way, found in classes.items():
        shortcut = (name, way) == ("int8", "tutorial")
        agreement = float(np.mean(found == classes["course"]))
        if agreement < (LEAST_AGREEMENT if shortcut else 1):
            raise SystemExit(f"{name}: {way} and course agree on {agreement:.2%} of the digits")


def interleaved(ways: dict[str, Callable], rounds: int) -> dict[str, float]:
    """Median seconds of each function, called in turns."""
    times = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds) for name, seconds in times.items()}


def evaluations() -> list[Result]:
    dataset = data.load("mnist")
    parts = (dataset.train, dataset.calibration, dataset.test)
    images = np.concatenate([part.images for part in parts] * 2)
    contents = converted("mnist_cnn", "float32", "int8")
    return [r for name, content in contents.items() for r in evaluation(name, content, images)]


def converted(reference: str, *names: str) -> dict[str, bytes]:
    """The ``.tflite`` of a reference model along some paths."""
    samples = calibration.representative_dataset(data.load("mnist").calibration)
    with tempfile.TemporaryDirectory() as folder:
        written = every_path.convert(training.reference(reference), samples, folder, names=names)
        return {name: file.read_bytes() for name, file in written.items()}


# ---- the integer engine


def engine(name: str, content: bytes, rounds: int = ROUNDS) -> list[Result]:
    """Time the integer engine on 1,000 digits against LiteRT's own kernels, on one thread."""
    runtimes = {kernels: Model(content, kernels=kernels) for kernels in ("reference", "xnnpack")}
    x = runtimes["reference"].quantize_input(data.load("mnist").test.images)
    ways = {kernels: partial(model.run, x) for kernels, model in runtimes.items()}
    ways["engine"] = partial(integer_engine.run, content, x, kernels="reference")
    if not np.array_equal(ways["engine"](), ways["reference"]()):
        raise SystemExit(f"{name}: the engine's integers are not those of the reference kernels")
    seconds = interleaved(ways, rounds)
    took = ", ".join(f"{way} {1e3 * s:.0f} ms" for way, s in seconds.items())
    how = f"{len(x):,} digits, bit-exact, median of {rounds} interleaved rounds, 1 thread; {took}"
    bounds = {"reference": ("LiteRT's reference kernels", 1.0), "xnnpack": ("XNNPACK", 8.0)}
    return [
        Result(f"{name}: engine's time against {what}", ratio, "x", most, False, how)
        for kernels, (what, most) in bounds.items()
        for ratio in [seconds["engine"] / seconds[kernels]]
    ]


def engines() -> list[Result]:
    return [
        result
        for name in training.REFERENCES
        for result in engine(name, converted(name, "int8")["int8"])
    ]


# ---- the model as C


def emitted(name: str, content: bytes, rounds: int = ROUNDS) -> list[Result]:
    """Time the C file on this computer against TFLite-Micro; count its instructions on a board."""
    x = Model(content).quantize_input(data.load("mnist").test.images)
    program = c_source.c_source(content, name)
    with tempfile.TemporaryDirectory() as folder:
        host = board.on_host(program, Path(folder), "-O2", "-mcpu=baseline")
        image = board.compile_for(program, board.CORTEX_M4, Path(folder))
    given = {program.ends[0].of: x}
    ways = {"C": lambda: only(host.run(given)), "TFLite-Micro": partial(by_micro, content, x)}
    if not np.array_equal(ways["C"](), ways["TFLite-Micro"]()):
        raise SystemExit(f"{name}: the C file's integers are not those of TFLite-Micro")
    seconds = interleaved(ways, rounds)
    took = ", ".join(f"{way} {1e6 * s / len(x):.0f} us a digit" for way, s in seconds.items())
    run = board.emulate(image, {program.ends[0].of: x[:1]})
    macs = int(tables.multiply_accumulates(content)["macs"].sum())
    return [
        Result(
            f"{name}: C's time against TFLite-Micro's wheel",
            seconds["C"] / seconds["TFLite-Micro"],
            "x",
            1.0,
            False,
            f"{len(x):,} digits, bit-exact, -O2 for any x86-64, median of {rounds} interleaved "
            f"rounds, 1 thread; {took}",
        ),
        Result(
            f"{name}: instructions a multiply-accumulate, Cortex-M4",
            run.instructions / macs,
            "",
            4.0 if name == "mnist_cnn" else 8.0,
            False,
            f"one digit in the emulator: {run.instructions:,} for {macs:,}",
        ),
    ]


def only(outputs: dict[str, np.ndarray]) -> np.ndarray:
    (result,) = outputs.values()
    return result


def by_micro(content: bytes, x: np.ndarray) -> np.ndarray:
    """TFLite-Micro as its users call it: one digit after the other."""
    from tflite_micro import runtime as tflm

    interpreter = tflm.Interpreter.from_bytes(content, arena_size=2**20)
    outputs = []
    for row in range(len(x)):
        interpreter.set_input(x[row : row + 1], 0)
        interpreter.invoke()
        outputs.append(interpreter.get_output(0))
    return np.concatenate(outputs)


def on_small_machines() -> list[Result]:
    return [
        result
        for name in training.REFERENCES
        for result in emitted(name, edit.only_signature(converted(name, "int8")["int8"]))
    ]


# ---- one model down every path


def plain_paths(folder: Path) -> int:
    """Make and evaluate the seven files as tutorials do; return this process's peak memory."""
    dataset = data.load("mnist")
    samples = calibration.representative_dataset(dataset.calibration)
    with quiet():
        tf = tensorflow()
        for name in paths.PATHS:
            converter = tf.lite.TFLiteConverter.from_saved_model(str(training.reference()))
            by_tensorflow.configure(converter, name, samples)
            (folder / f"{name}.tflite").write_bytes(converter.convert())
        for name, path in paths.PATHS.items():
            plain_accuracy(folder / f"{name}.tflite", path, dataset.test)
    return benchmark.peak_bytes()


def plain_accuracy(file: Path, path: paths.Path, split: data.Split) -> float:
    loop = float_tutorial if path.input_dtype == "float32" else integer_tutorial
    return float(np.mean(loop(file.read_bytes(), split.images) == split.labels))


def course_paths(folder: Path) -> int:
    """The same with the course: guarded, each path by itself, verified, judged with a verdict."""
    dataset = data.load("mnist")
    samples = calibration.representative_dataset(dataset.calibration)
    made = every_path.convert(training.reference(), samples, folder)
    answers = {name: Model(file).predict(dataset.test.images) for name, file in made.items()}
    expected = answers.pop("float32")
    verdict.judge(tasks.recognise(expected, dataset.test.labels), expected, answers)
    return benchmark.peak_bytes()


LARGE = (640, 640, 3)


def _large_images():
    rng = np.random.default_rng(0)
    for _ in range(150):  # 703 MiB, were they held
        yield [rng.random((1, *LARGE), np.float32)]


def save_large(folder: Path) -> Path:
    keras = tensorflow().keras
    layers = [keras.layers.Conv2D(4, 3, 4), keras.layers.GlobalAveragePooling2D()]
    return sources.save(keras.Sequential([keras.Input(LARGE), *layers]), folder)


def plain_stream(folder: Path) -> int:
    """The converter itself on a stream of large images; return this process's peak memory."""
    with quiet():
        converter = tensorflow().lite.TFLiteConverter.from_saved_model(str(folder / "large"))
        by_tensorflow.configure(converter, "int8", _large_images)
        converter.convert()
    return benchmark.peak_bytes()


def course_stream(folder: Path) -> int:
    """The same through ``by_tensorflow.convert``, in this process."""
    by_tensorflow.convert(folder / "large", "int8", _large_images)
    return benchmark.peak_bytes()


def every_paths() -> list[Result]:
    """Processes of their own, in turns: imports and memory count."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        peak: dict[str, int] = {}
        sandbox.call("bench:save_large", folder / "large")

        def way(function: str) -> Callable[[], None]:
            def run() -> None:
                peak[function] = sandbox.call(f"bench:{function}", folder, timeout=600)

            return run

        names = ("plain_paths", "course_paths", "plain_stream", "course_stream")
        seconds = interleaved({name: way(name) for name in names}, rounds=3)
    took = f"plain {seconds['plain_paths']:.1f} s, course {seconds['course_paths']:.1f} s"
    streamed = f"150 images of {'x'.join(map(str, LARGE))}, int8"
    return [
        Result(
            "seven paths made, run and judged: time against plain loops",
            seconds["course_paths"] / seconds["plain_paths"],
            "x",
            1.5,
            False,
            f"mnist_cnn, 100 samples, 1,000 digits, median of 3 processes in turns; {took}",
        ),
        *(
            Result(
                f"{what}: the caller's memory above the plain loops'",
                (peak[f"course_{which}"] - peak[f"plain_{which}"]) / 1e6,
                "MB",
                300,
                False,
                f"{how}; plain {peak[f'plain_{which}'] / 1e6:,.0f} MB at its peak",
            )
            for which, what, how in (
                ("paths", "seven paths", "mnist_cnn, 100 samples"),
                ("stream", "streamed samples", streamed),
            )
        ),
    ]


# ---- lessons quantize


def plain_litert(content: bytes, path: str, calibrate: str, samples: Callable) -> bytes:
    """Quantize as the users of LiteRT's quantizer do: a recipe, a calibration, the file."""
    from litert_quantizer import calibrator, quantizer
    from litert_quantizer.utils import qsv_utils

    recipe = by_litert.quantizer_recipe(by_litert.plan(content, path), path)
    engine, ranges = quantizer.Quantizer(content, recipe), None
    if engine.need_calibration:
        recorder = calibrator.Calibrator(
            content,
            num_threads=1,
            mode=calibrator.CalibrationMode.CALIBRATION_PROFILER_BASED,
            qsv_update_func=getattr(qsv_utils, by_litert.CALIBRATIONS[calibrate]),
        )
        for (image,) in samples():
            recorder.calibrate({"serving_default": [{"image": image}]}, None)
        ranges = recorder.get_model_qsvs()
    return bytes(engine.quantize(ranges).quantized_model)


def plain_round(folder: Path) -> dict[str, bytes]:
    """Make and evaluate, in this process, what a first round makes; return the files."""
    plain_paths(folder)
    dataset = data.load("mnist")
    samples = calibration.representative_dataset(dataset.calibration)
    content = (folder / "float32.tflite").read_bytes()
    for name, path in paths.PATHS.items():
        for calibrate in by_litert.CALIBRATIONS:
            averaged = calibrate == "moving_average"
            if name in ("float32", "uint8") or (averaged and not path.needs_calibration):
                continue
            file = folder / f"{name}_litert{'_average' * averaged}.tflite"
            with quiet():
                file.write_bytes(plain_litert(content, name, calibrate, samples))
                plain_accuracy(file, path, dataset.test)
    return contents(folder)


def course_round(folder: Path) -> dict[str, bytes]:
    """The same files by ``quantize_model``, with verdicts, times, the report and its page."""
    dataset = data.load("mnist")
    samples = calibration.representative_dataset(dataset.calibration)
    images = np.concatenate([image for (image,) in samples()])
    test = dataset.test.images, dataset.test.labels
    given = {"calibration": images, "test": test, "paths": list(paths.PATHS)}
    quantize_model(training.reference(), **given, tune=False, out=folder)
    return contents(folder / "files")


def contents(folder: Path) -> dict[str, bytes]:
    return {file.stem: file.read_bytes() for file in sorted(folder.glob("*.tflite"))}


def first_round(rounds: int = 3) -> Result:
    """Processes of their own, in turns, each with a folder in which nothing is kept."""
    made: dict[str, dict[str, bytes]] = {}

    def way(function: str) -> Callable[[], None]:
        def run() -> None:
            with tempfile.TemporaryDirectory() as name:
                made[function] = sandbox.call(f"bench:{function}", Path(name), timeout=600)

        return run

    seconds = interleaved({name: way(name) for name in ("plain_round", "course_round")}, rounds)
    require_same_files(made["plain_round"], made["course_round"])
    took = f"plain {seconds['plain_round']:.1f} s, course {seconds['course_round']:.1f} s"
    return Result(
        "lessons quantize, first round: time against plain loops",
        seconds["course_round"] / seconds["plain_round"],
        "x",
        1.5,
        False,
        f"mnist_cnn, {len(made['plain_round'])} files, 100 samples, 1,000 digits, median of "
        f"{rounds} processes in turns; {took}",
    )


def require_same_files(plain: dict[str, bytes], course: dict[str, bytes]) -> None:
    """Exit unless both ways made the same files, but for what the course mends in LiteRT's."""
    mended = {
        name: edit.let_shapes_read_integers(content) if "_litert" in name else content
        for name, content in plain.items()
    }
    if other := sorted({*mended.items()} ^ {*course.items()}):
        names = ", ".join(dict.fromkeys(name for name, _ in other))
        raise SystemExit(f"lessons quantize: the plain loops make other files: {names}")


BLOCKS, SIDE, CHANNELS = 12, 128, 48


def save_blocks(folder: Path, count: int) -> Path:
    """A network of ``count`` convolutions: a ranking tries as many files, and two at its ends."""
    keras = tensorflow().keras
    keras.utils.set_random_seed(0)
    look = {"padding": "same", "activation": "relu", "kernel_initializer": "he_normal"}
    blocks = [keras.layers.Conv2D(CHANNELS, 3, **look) for _ in range(count)]
    ends = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10)]
    return sources.save(
        keras.Sequential([keras.Input((SIDE, SIDE, 3)), *blocks, *ends]), folder / "blocks"
    )


def ranking(file: Path, images: np.ndarray, folder: Path, workers: int) -> tuple[float, int]:
    """Return the seconds that a search takes to rank all blocks, and how many there are.

    From the end of the calibration, which is one job; the first file made afterwards ends it.
    """
    marks: dict[str, tuple[float, int]] = {}
    answers = iter([False])

    def mark(what: str, number: int, of: int) -> None:
        marks.setdefault(f"{what.partition(':')[0]} {number == of}", (time.perf_counter(), of))

    mixed_precision.keep_in_float(
        file, "int8_float_fallback", images, lambda file: next(answers, True), folder,
        workers=workers, budget=3600, on_done=mark,
    )  # fmt: skip
    done, blocks = marks["ranking True"]
    return done - marks["calibration True"][0], blocks


def two_workers(rounds: int = 3, count: int = BLOCKS) -> Result:
    times: dict[int, list[float]] = {1: [], 2: []}
    images = np.random.default_rng(0).random((100, SIDE, SIDE, 3), np.float32)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = sandbox.call("bench:save_blocks", folder, count)
        file = every_path.convert(source, None, folder, names=["float32"])["float32"].file
        for turn in range(rounds):
            for workers in times:
                place = folder / f"{turn}_{workers}"
                seconds, blocks = ranking(file, images, place, workers)
                times[workers].append(seconds)
    one, two = (statistics.median(seconds) for seconds in times.values())
    how = f"{blocks} blocks, 100 samples, median of {rounds} in turns; {one:.1f} s and {two:.1f} s"
    return Result("block ranking: --jobs 2 faster than one", one / two, "x", 1.6, True, how)


def quantizing() -> list[Result]:
    return [first_round(), two_workers()]


# ---- whole commands


def watched(command: list[str], **environment: str) -> tuple[float, int]:
    """Run a command; return its seconds and the highest resident memory of its kernels, bytes.

    The child processes in which lessons convert large models are not kernels and do not count.
    """
    start = time.perf_counter()
    where = {"cwd": files.ROOT, "env": os.environ | environment}
    process = subprocess.Popen(command, **where, stdout=subprocess.PIPE, text=True)
    peak, done = [0], threading.Event()
    watcher = threading.Thread(target=_watch, args=(process.pid, peak, done))
    watcher.start()
    output, _ = process.communicate()
    done.set()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{output[-3000:]}")
    return time.perf_counter() - start, peak[0]


def _watch(pid: int, peak: list[int], done: threading.Event) -> None:
    while not done.wait(0.1):
        try:
            family = psutil.Process(pid).children(recursive=True)
            kernels = (one for one in family if "ipykernel_launcher" in one.cmdline())
            peak[0] = max([peak[0], *(kernel.memory_info().rss for kernel in kernels)])
        except psutil.Error:  # a process may end while it is looked at
            continue


def scoreboard_command() -> list[Result]:
    command = [sys.executable, "-m", "lessons_lib.cli", "scoreboard"]
    with tempfile.TemporaryDirectory() as folder:  # where nothing is kept of an earlier run
        seconds, _ = watched(command, LESSONS_ARTIFACTS=folder)
    how = "lessons scoreboard, wall time of the whole process"
    return [Result("scoreboard of the reference model", seconds, "s", 60, False, how)]


def lessons() -> list[Result]:
    taken = {}
    for path in notebooks.find():
        taken[path.stem] = watched([sys.executable, "-m", "pytest", "-q", str(path)])
        seconds, peak = taken[path.stem]
        print(f"{path.stem}: {seconds:.1f} s, {peak / 1e9:.2f} GB", file=sys.stderr)
    return [
        *(_minutes(of_article, taken) for of_article in (True, False)),
        Result(
            "largest kernel of a lesson",
            max(peak for _, peak in taken.values()) / 1e9,
            "GB",
            0.8,
            False,
            "resident memory with shared library pages, looked at every 0.1 s",
        ),
    ]


def site() -> list[Result]:
    """The site: how long it takes to build, what its first page weighs, when try-it/ answers."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "tools/book.py", "--output", folder]
        seconds, _ = watched(command)
        with chromium.served(Path(folder)) as address, chromium.started() as browser:
            landing = sum(chromium.page_weight(browser, address).values())
            times = [chromium.ready_seconds(browser, address) for _ in range(ROUNDS)]
    empty = f"median of {ROUNDS} loads, each with an empty cache"
    return [
        Result("site build", seconds, "s", 30, False, "tools/book.py, models converted meanwhile"),
        Result("landing page", landing / 1000, "kB", 600, False, "all answers, uncompressed"),
        Result("try-it/ ready", statistics.median(times), "s", 3, False, empty),
    ]


def _minutes(of_article: bool, taken: dict[str, tuple[float, int]]) -> Result:
    """The minutes of the lessons that take the article, or of the others, together."""
    parts = [part for part in catalogue.PARTS if part.of_article == of_article]
    numbers = {number for part in parts for number in part.numbers}
    seconds = [s for name, (s, _) in taken.items() if int(name[:2]) in numbers]
    how = f"pytest of {len(seconds)} notebooks through nbval, one after the other"
    what = f"lessons {min(numbers)} to {max(numbers)} through nbval"
    return Result(what, sum(seconds) / 60, "min", 6, False, how)


def grading() -> list[Result]:
    """Thirty submissions of lesson 0, graded by a command that is killed once on the way."""
    import graded_class

    with tempfile.TemporaryDirectory() as folder:
        expected = graded_class.make(Path(folder), LEARNERS)
        done = graded_class.grade(Path(folder), expected)
    right = sum(done.given.get(name) == points for name, points in expected.items())
    how = f"lessons class grade 0, killed {done.killed} times and begun again"
    speed = f"{60 * LEARNERS / done.seconds:.1f} submissions a minute"
    return [
        Result(f"{LEARNERS} submissions graded", done.seconds / 60, "min", 15, False, speed),
        Result("graded, with the points expected", right, "", LEARNERS, True, how),
    ]


def a_class() -> list[Result]:
    """Thirty students at a hub of their own: see tools/load.py."""
    import load

    with tempfile.TemporaryDirectory() as folder:
        took = load.measure(LEARNERS, Path(folder))
    print(load.told(took), file=sys.stderr)
    how = f"all begin at once; {len(took.cells)} cells, median {took.median_cell:.2f} s, 95th "
    how += f"percentile {took.late_cell:.1f} s"
    shared = f"PSS of all they run, at its peak; the machine's: {took.fell_a_student / 1e6:.0f} MB"
    what = f"{LEARNERS} students sign up, run the core of lesson 0 and hand in"
    return [
        Result(what, took.seconds / 60, "min", 10, False, how),
        Result("students who met an error", len(took.failures), "", 0, False, "of any kind"),
        Result("notebooks collected", took.collected, "", LEARNERS, True, "with all outputs"),
        Result("memory a student", took.memory_a_student / 1e6, "MB", 400, False, shared),
    ]


PARTS = {
    "evaluate": evaluations,
    "engine": engines,
    "micro": on_small_machines,
    "paths": every_paths,
    "quantize": quantizing,
    "scoreboard": scoreboard_command,
    "lessons": lessons,
    "site": site,
    "grading": grading,
    "class": a_class,
}
# What these need comes with the extra `class`: `make test-class` makes its environment.
OF_A_CLASS = ("grading", "class")


def table(results: list[Result]) -> Table:
    shown = Table("measured", title="What was promised, and what was measured")
    for column in ("figure", "promise"):
        shown.add_column(column, justify="right")
    shown.add_column("kept")
    shown.add_column("how it was taken")
    for r in results:
        bound = f"{'at least' if r.at_least else 'at most'} {r.promise:g} {r.unit}"
        figure = f"{r.measured:.2f} {r.unit}"
        shown.add_row(r.what, figure, bound, "yes" if r.kept else "[red]no[/]", r.how)
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    here = [part for part in PARTS if part not in OF_A_CLASS]
    parser.add_argument("--part", nargs="+", choices=PARTS, default=here)
    results = [result for part in parser.parse_args().part for result in PARTS[part]()]
    Console(width=None if sys.stdout.isatty() else 160).print(table(results))
    sys.exit(status(results))


def status(results: list[Result]) -> int:
    """The exit status: 1 when a promise is not kept."""
    return int(not all(result.kept for result in results))


if __name__ == "__main__":
    main()
