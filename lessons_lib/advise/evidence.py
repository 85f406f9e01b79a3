"""What the files are judged on: the owner's samples, or, where there are none, random inputs.

Random inputs tell whether a file runs and how near it stays to float32; of the owner's task they
say nothing, and a report says that. Nothing is ever calibrated with them.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lessons_lib.advise.guards import NOTE, WARNING, Guard
from lessons_lib.convert import outcome
from lessons_lib.errors import InputError
from lessons_lib.judge import tasks
from lessons_lib.judge.verdict import no_better_than_guessing
from lessons_lib.models import own_data, sample_files
from lessons_lib.models.own_data import Data
from lessons_lib.run.runtime import Model
from lessons_lib.tflite import samples
from lessons_lib.tflite.signature import Signature

DRAWN = 100
_MOST = 2**22  # numbers of an output that are drawn to see whether targets fit
_CLEAR = 0.1  # of the best measure: a scaling that is right is far better than the others


def read(
    ends: Signature,
    work: Path,
    float_file: Callable[[], Path],
    *,
    data: Any = None,
    calibration: Any = None,
    test: Any = None,
    task: Any = None,
    metric: Any = None,
    **options: Any,
) -> tuple[Data, list[Guard]]:
    """Return the samples that a run uses, and what is to be said of them.

    ``data``, ``calibration``, ``test`` and ``options`` as in ``own_data.read``; without any, random
    inputs. Where pixels wait for their scaling, each usual one is tried on ``float_file()``, a
    float32 ``.tflite``, and the best is taken if it is clearly so; else InputError, with all
    results. Further errors are those of ``own_data.read``, and, where ``metric`` is None, those of
    ``tasks.recognise`` for a ``task`` or targets that no answer of the model fits, whatever it is.
    Defined in lesson 15.
    """
    if data is None and calibration is None and test is None:
        if given := [n for n in ("target", "scale") if options.get(n) is not None]:
            raise InputError(f"{given[0]}={options[given[0]]!r} is said of data, and none is given")
        return _random(ends, work, task, metric)
    found = own_data.read(data, ends, work, calibration=calibration, test=test, **options)
    if metric is None and found.metric is None:
        _require_fit(found, ends, task)
    said = [Guard(NOTE, note) for note in found.notes]
    if found.choices:
        found, guard = _scaled(found, float_file(), work, task)
        said.append(guard)
    if found.test is None:
        found = replace(found, test=found.calibration, targets=found.calibration_targets)
        said.append(
            Guard(
                WARNING,
                "there are no test samples: what is measured on the samples that calibrate "
                "flatters. Give others as the test (lesson 06)",
            )
        )
    return found, said


def _random(ends: Signature, work: Path, task: Any, metric: Any) -> tuple[Data, list[Guard]]:
    for spec in ends.inputs.values():
        if spec.open_sizes:
            raise InputError(
                f"the size of the input {spec} is open, and there are no samples to tell one: give "
                "data (lesson 15)"
            )
    rows = samples.drawn(ends, DRAWN)
    if metric is None:
        _require_fit(Data(None, rows), ends, task)
    written = sample_files.written([rows], work / "drawn")
    said = Guard(
        WARNING,
        "no data was given: the files are compared with float32 on random inputs, which says "
        "nothing about your task, and the paths that need samples were not tried. Nothing is "
        "calibrated with noise (lesson 06)",
    )
    test = {name: stored.opened() for name, stored in written.items()}
    return Data(None, test, source="random inputs"), [said]


def _require_fit(data: Data, ends: Signature, task: Any) -> None:
    """Raise InputError where targets or the task do not fit outputs of such shapes and dtypes.

    Of random numbers, before any conversion; an output of an input's shape may rebuild it.
    """
    rows, targets = data.test, data.targets
    if rows is None:
        rows, targets = data.calibration, data.calibration_targets
    count, rng, outputs = samples.count(rows), np.random.default_rng(0), {}
    for name, spec in ends.outputs.items():
        shape = (count, *spec.shape[1:])
        if not ends.in_batches or None in shape or math.prod(shape) > _MOST:
            return
        alike = [array for array in rows.values() if array.shape == shape]
        drawn = rng.standard_normal if spec.is_float else partial(rng.integers, 100)
        outputs[name] = np.array(alike[0]) if alike else drawn(size=shape).astype(spec.dtype)
    tasks.recognise(outputs, targets, inputs=rows, task=task)


def _scaled(data: Data, float_file: Path, work: Path, task: Any) -> tuple[Data, Guard]:
    """The pixels in the scaling in which the float model hits the targets."""
    if (data.calibration_targets if data.calibration else data.targets) is None:
        raise InputError(
            "how were the pixels scaled in training? Without targets it cannot be found out: say "
            "--scale 0..1, -1..1, 0..255 or mean,std; in Python scale='0..1' (lesson 15)"
        )
    best, clear, words = _tried(data, float_file, task)
    if not clear:
        raise InputError(
            f"how were the pixels scaled in training? On the float model no scaling is clearly the "
            f"right one ({words}): say it, --scale {best}; in Python scale={best!r} (lesson 15)"
        )
    note = Guard(NOTE, f"the pixels were scaled to {best}; float32 reaches {words}")
    return own_data.scaled(data, best, work), note


def _tried(data: Data, float_file: Path, task: Any) -> tuple[str, bool, str]:
    """The scaling in which float32 answers best, whether it is clearly so, and all results."""
    model, values, guesses = Model(float_file), {}, set()
    for name, rows, targets in own_data.tries(data):
        outputs = outcome.named(model.predict(rows), model.signature)
        one = tasks.recognise(outputs, targets, task=task)[0]
        value = one.value(one.pick(outputs))
        values[name] = -value if one.lower_is_better else value
        if no_better_than_guessing(one, value):
            guesses.add(name)
    order = sorted(values, key=values.get, reverse=True)
    best = values[order[0]]
    likely = [name for name in order if values[name] >= best - _CLEAR * abs(best)]
    if set(likely) == {"0..1", "0..255"}:
        # A network trained on 0..1 often names the same classes from 255 times as much: all but
        # its biases grows alike. One trained on 0..255 sees next to nothing in 0..1.
        likely = ["0..1"]
    shown = ", ".join(f"{name}: {abs(values[name]):.3g}" for name in order)
    clear = len(likely) == 1 and likely[0] not in guesses
    return likely[0], clear, f"{one.measure} in {shown}"
