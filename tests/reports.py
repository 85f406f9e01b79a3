"""Reports of real models, made as a user's own run would: converted, run, judged, looked into."""

import contextlib
import functools
import tempfile
from pathlib import Path

import numpy as np

import any_models
from kept import kept
from lessons_lib import (
    benchmark,
    close_up,
    every_path,
    files,
    guards,
    measures,
    outcome,
    paths,
    recommendation,
    report,
    runtime,
    signature,
    tables,
    tasks,
    verdict,
)
from lessons_lib.convert.every_path import Step
from lessons_lib.errors import InputError
from reference import converted, digits

AVERAGE = {
    f"{path}_litert_average": Step(path, calibrate="moving_average")
    for path in ("int8_float_fallback", "int8", "uint8", "int16x8", "int8x4")
}
OTHER_RANGES = {
    f"{path}_litert_{words}": Step(path, weight_range=words)
    for path in ("dynamic_int4", "weight_only_int4")
    for words in ("octav", "mse")
}


@functools.cache
def classifier() -> report.Report:
    """Digits, by the reference model ``ds_cnn``: both lanes, 500 samples that test."""
    return _digits("classifier", {f"{p}_litert": Step(p) for p in ("int8", "dynamic_int4")})


@functools.cache
def many() -> report.Report:
    """The same down all that there is: 26 rows."""
    steps = {f"{path}_litert": Step(path) for path in paths.ALL if path != "float32"}
    return _digits("many", steps | AVERAGE | OTHER_RANGES)


@functools.cache
def nothing_passes() -> report.Report:
    """The same, with the ranges of weights that lose most."""
    return _digits("nothing", OTHER_RANGES, own=("float32",))


@functools.cache
def without_data() -> report.Report:
    """A rolled LSTM and no samples: random inputs, which say nothing of its task."""
    inputs = any_models.drawn(_saved(any_models.lstm), 100)
    return build("lstm", _sent_down(any_models.lstm, None), inputs, None, given=False)


@functools.cache
def two_outputs() -> report.Report:
    """Two inputs, a quantity and a class: two tasks."""
    inputs = any_models.drawn(_saved(any_models.two_ends), 400)
    made = _sent_down(any_models.two_ends, {n: a[:100] for n, a in inputs.items()})
    test = {name: array[100:] for name, array in inputs.items()}
    outputs = runtime.Model(made["float32"]).predict(test)
    noise = np.random.default_rng(0).normal(0, 0.05, outputs["price"].shape)
    targets = {"price": outputs["price"] + noise, "kind": outputs["kind"].argmax(axis=1)}
    return build("two_ends", made, test, targets)


def _digits(name, steps, own=tuple(paths.PATHS)) -> report.Report:
    made = {path: converted("ds_cnn")[path] for path in own}
    made |= kept(f"report_{name}", lambda: _by_litert(made["float32"], steps))
    return build("ds_cnn", made, {"image": digits().hard.images}, digits().hard.labels)


def _by_litert(float32: bytes, steps) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        source = files.write_atomic(Path(folder, "source.tflite"), float32)
        calibration = {"image": digits().calibration.images[:100]}
        found = every_path.convert(source, calibration, folder, names=steps)
        return {name: _content(each) for name, each in found.items()}


def _sent_down(make, samples) -> dict:
    def run():
        with tempfile.TemporaryDirectory() as folder:
            found = every_path.convert(_saved(make), samples, folder)
            return {name: _content(each) for name, each in found.items()}

    return kept(f"report_{make.__name__}", run)


@functools.cache
def _saved(make) -> Path:
    return any_models.save(make(), tempfile.mkdtemp(prefix="lessons-"))


def _content(made):
    """The bytes, or the reason, which is a text here."""
    return made.read_bytes() if made.ok else str(made.reason)


def build(name, made, test, targets, *, given=True) -> report.Report:
    """The report of the files ``made``, by row: bytes, or the reason why there are none."""
    there = {row: content for row, content in made.items() if isinstance(content, bytes)}
    ends = signature.of_file(there["float32"])
    models = {row: runtime.Model(content) for row, content in there.items()}
    outputs = {row: outcome.named(model.predict(test), ends) for row, model in models.items()}
    known = tasks.recognise(outputs["float32"], targets, inputs=test)
    others = {row: found for row, found in outputs.items() if row != "float32"}
    judgements = verdict.judge(known, outputs["float32"], others)
    times = benchmark.latency(models, test, rounds=20, warmup=2)["median_us"]
    rows = tuple(
        _row(row, content, there, judgements, outputs, times)
        if row in there
        else report.Row(row, *_lane(row), failure=content)
        for row, content in made.items()
    )
    picks = recommendation.choose(rows)
    return report.Report(
        versions=report.versions(),
        machine=report.machine(),
        model=_model(name, there["float32"], ends),
        data=_data(name, test, targets) if given else None,
        tasks=tuple(map(report.TaskFacts.of, known)),
        guards=_guards(given, test, known, outputs),
        settings={"target": "cpu", "prefer": "size", "max_drop": None, "tune": False},
        rows=rows,
        picks=picks,
        next_step=recommendation.next_step(rows, picks),
        **_looked_into(rows, picks, there, known, outputs, test),
        commands=(f"lessons quantize {name}.keras --data {name}.npz",),
        seconds=41.2,
    )


def _lane(row: str) -> tuple[str, str]:
    path, lane, _ = row.partition("_litert")
    return ("litert" if lane else "converter"), path


def _row(row, content, there, judgements, outputs, times) -> report.Row:
    found, (lane, path) = tables.audit(content), _lane(row)
    calibrated = paths.ALL[path].needs_calibration
    kind = "moving_average" if row.endswith("average") else "extremes"
    by_float, judged = outputs["float32"], judgements.get(row)
    if judged:
        findings = tuple(map(report.Finding.of, judged.findings))
        said = judged.decision, judged.verdict
    else:
        found_of_any = next(iter(judgements.values())).findings
        findings = tuple(map(report.Finding.of_float, found_of_any))
        said = verdict.PASSES, "what all are compared with"
    return report.Row(
        name=row,
        lane=lane,
        path=path,
        calibrate=kind if calibrated else None,
        file=f"files/{row}.tflite",
        sha256=files.sha256(content),
        bytes=len(content),
        smaller=len(there["float32"]) / len(content),
        integer_only=found.integer_only,
        input_dtypes=found.inputs,
        output_dtypes=found.outputs,
        latency_us=times[row],
        latency_ratio=times[row] / times["float32"],
        sqnr_db={
            name: measures.Likeness(output=name, count=len(one), reference=one).value(
                outputs[row][name]
            )
            for name, one in by_float.items()
        },
        findings=findings,
        decision=said[0],
        verdict=said[1],
    )


def _model(name, float32, ends) -> report.ModelFacts:
    counted = tables.multiply_accumulates(float32)["macs"]
    stored = tables.tensors(float32).query("role in ('weight', 'bias')")["shape"]
    return report.ModelFacts(
        source=f"{name}.keras",
        sha256=files.sha256(float32),
        signature=ends.key,
        inputs=tuple(map(report.End.of, ends.inputs.values())),
        outputs=tuple(map(report.End.of, ends.outputs.values())),
        parameters=int(sum(np.prod(shape) for shape in stored)),
        multiply_accumulates=None if counted.isna().any() else int(counted.sum()),
    )


def _data(name, test, targets) -> report.DataFacts:
    count = len(next(iter(test.values())))
    return report.DataFacts(
        source=f"{name}.npz",
        sha256=files.sha256(b"".join(array.tobytes() for array in test.values())),
        calibration=100,
        test=count,
        targets=targets is not None,
        split=f"100 of {count + 100} samples calibrate, {count} test",
    )


def _guards(given, test, known, outputs) -> tuple[guards.Guard, ...]:
    if not given:
        return (guards.Guard(guards.WARNING, "no data was given: the inputs are random"),)
    return (*guards.of_samples(None, test), *guards.of_float(known, outputs["float32"]))


def _looked_into(rows, picks, there, known, outputs, test) -> dict:
    """The close-up of the smallest row that has integers, the bytes, what flipped most."""
    made = [row for row in rows if not row.failure and row.path != "float32"]
    chosen = picks["recommended"].row or made[0].name
    found = {"bytes": tuple(close_up.budget(row, there[row]) for row in {"float32": 0, chosen: 0})}
    worst = min(made, key=lambda row: row.lowest_db)
    some = {name: array[:50] for name, array in test.items()}
    with contextlib.suppress(InputError):  # of a loop some tensors cannot be read
        layers, tensor = close_up.layers(worst.name, there["float32"], there[worst.name], some)
        found |= {"layers": layers, "tensor": tensor}
    flipped = close_up.flipped(worst.name, known[-1], outputs["float32"], outputs[worst.name], test)
    return found | {"flipped": flipped}
