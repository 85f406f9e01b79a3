"""How long a model takes and how much memory it needs, measured so that one can believe it."""

import contextlib
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lessons_lib.errors import ChildDied, InputError, ModelFileError
from lessons_lib.run.runtime import Model
from lessons_lib.system import files
from lessons_lib.system.sandbox import call, temporary_folder, trust
from lessons_lib.tflite import samples
from lessons_lib.tflite.signature import real

if TYPE_CHECKING:  # a child that measures memory is spared the import
    import pandas as pd


def latency(
    models: Mapping[str, Model], x: Any, *, rounds: int = 200, warmup: int = 20
) -> "pd.DataFrame":
    """Time one sample at a time on every model and return a row for each, in microseconds.

    ``x`` is what ``Model.predict`` takes: an array (N, ...), or arrays by input name. The first
    sample is used, quantized before the clock starts, so only the runtime's ``invoke`` is timed.
    The models take turns in every round: a disturbance of the machine hits all of them. Columns
    ``median_us``, ``p25_us``, ``p75_us``, ``best_us``, and ``batch``: how many samples one call
    ran. It is 1, unless the file has a fixed batch: then a call cannot run fewer, and the times are
    a call's divided by ``batch``.
    Raises InputError when there is no model, no round, or something that is no Model.
    Defined in lesson 02.
    """
    if not models or rounds < 1:
        raise InputError("latency needs at least one model and one round (lesson 02)")
    for name, model in models.items():
        if not isinstance(model, Model):
            given = type(model).__name__
            raise InputError(f"{name!r} is a {given}; expected runtime.Model(file) (lesson 02)")
    invokers = {name: model.invoker(_first(x, model)) for name, model in models.items()}
    for invoke in invokers.values():
        for _ in range(warmup):
            invoke()
    times = {name: np.empty(rounds) for name in invokers}
    for turn in range(rounds):
        for name, invoke in invokers.items():
            times[name][turn] = _seconds(invoke)
    batches = {name: models[name].fixed_batch or 1 for name in models}
    rows = {name: _summary(1e6 * times[name] / n) | {"batch": n} for name, n in batches.items()}
    import pandas as pd

    return pd.DataFrame.from_dict(rows, orient="index")


def _first(x: Any, model: Model) -> samples.Rows:
    """The first sample, by name; a tuple's first part would be an input."""
    found = samples.rows(x, real(model.signature))
    return {name: array[:1] for name, array in found.items()}


def _seconds(invoke) -> float:
    start = time.perf_counter()
    invoke()
    return time.perf_counter() - start


def _summary(us: np.ndarray) -> dict[str, float]:
    p25, median, p75 = np.percentile(us, [25, 50, 75])
    return {"median_us": median, "p25_us": p25, "p75_us": p75, "best_us": us.min()}


def peak_memory(source: str | os.PathLike | bytes, batch_size: int = 1) -> int:
    """Return how many bytes loading and running a model adds to a fresh process at its peak.

    The process imports the runtime; from there on everything counts: the file's own bytes, what
    the runtime makes of them, and one batch of zeros. Raises ModelFileError for a damaged model.
    Defined in lesson 02.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        with temporary_folder() as folder:
            return peak_memory(
                files.write_atomic(Path(folder, "model.tflite"), bytes(source)), batch_size
            )
    files.content(source)
    try:
        return call("lessons_lib.judge.benchmark:_measure_memory", source, batch_size)
    except ChildDied as error:
        raise ModelFileError(f"the model cannot be measured: {error} (lesson 01)") from error


def _measure_memory(source: str | os.PathLike, batch_size: int) -> int:
    # Imported before the baseline.
    import numpy.random  # noqa: F401
    from ai_edge_litert.interpreter import Interpreter  # noqa: F401

    trust(source)  # this process is the child in which it may crash
    before = _restarted_peak()
    model = Model(source)
    zeros = {
        name: np.zeros_like(array)
        for name, array in samples.drawn(model.signature, batch_size).items()
    }
    model.run(zeros, batch_size)
    return peak_bytes() - before


def _restarted_peak() -> int:
    """Forget what the imports needed for a moment, where the system can; return the peak so far."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak_bytes()


def peak_bytes() -> int:
    """Return this process's highest resident memory so far, in bytes."""
    if sys.platform == "linux":
        # Not getrusage: its peak is inherited from the process that started this one.
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    if sys.platform == "win32":
        import psutil

        return psutil.Process().memory_info().peak_wset
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
