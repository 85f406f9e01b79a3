"""A model compiled for an NPU: what lands on it, what stays on the CPU, and why.

Vela is Arm's compiler for its Ethos-U, a real one that is called; it comes with the extra ``npu``.
All cycles, times and memories are its estimates, made from a model of the machine: nothing runs
here. It counts no time for what stays on the CPU, so a model of which nothing lands takes 0 ms, and
vela ends as if all were well. ``fits`` does not.
"""

import csv
import importlib.util
import io
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from ai_edge_litert import schema_py_generated as schema

from lessons_lib.errors import InputError, LessonError, ModelFileError
from lessons_lib.system import files, sandbox
from lessons_lib.tflite import reader, tables

# The number is how many products of two 8-bit codes the machine adds up in a cycle, at most.
ACCELERATORS = (
    *("ethos-u55-32", "ethos-u55-64", "ethos-u55-128", "ethos-u55-256"),
    *("ethos-u65-256", "ethos-u65-512"),
    *("ethos-u85-128", "ethos-u85-256", "ethos-u85-512", "ethos-u85-1024", "ethos-u85-2048"),
)
ACCELERATOR = "ethos-u55-128"  # where none is named
_KIB = 1024
_FLASHES = ("on_chip_flash", "off_chip_flash")
_COMPILED = "ethos-u"  # what stands in a compiled file for all that the NPU does in a row


@dataclass(frozen=True)
class Placed:
    """One operator of the file: where it runs, and vela's estimates of what it takes there.

    ``on``: ``npu``, ``cpu``, or ``nowhere``: what only depends on shapes has been computed, or is
    part of its neighbour. ``cycles`` pass until it is done; ``computing`` of them would do if it
    never waited for a memory. ``macs``: multiply-accumulates. All are 0 where it does not run on
    the NPU; ``why`` not is said in vela's words.
    """

    operator: str
    layer: str
    on: str
    cycles: int
    computing: int
    macs: int
    why: str


@dataclass(frozen=True)
class Fit:
    """A compiled model. All figures are vela's estimates, for the NPU alone.

    ``clock`` is in Hz; ``sram``, ``dram`` and ``flash``, the most that is held of each, in bytes;
    ``content`` are the bytes of the compiled ``.tflite``, ``said`` is vela's report.
    """

    accelerator: str
    system: str
    clock: float
    operators: tuple[Placed, ...] = field(repr=False)
    cycles: int
    sram: int
    dram: int
    flash: int
    content: bytes = field(repr=False)
    said: str = field(repr=False)

    @property
    def milliseconds(self) -> float:
        """The time of one inference on the NPU; what stays on the CPU is not in it."""
        return 1000 * self.cycles / self.clock

    def on(self, place: str) -> tuple[Placed, ...]:
        """Return the operators that run on ``npu``, on ``cpu`` or ``nowhere``."""
        return tuple(op for op in self.operators if op.on == place)

    def table(self) -> pd.DataFrame:
        """Return one row for each operator of the file, with the fields of ``Placed``."""
        return pd.DataFrame(self.operators)


class NothingOnNpu(LessonError, ValueError):
    """No operator landed on the NPU; ``fit`` is what vela made of the file all the same."""

    def __init__(self, message: str, fit: Fit):
        super().__init__(message, fit)
        self.fit = fit

    def __str__(self) -> str:
        return str(self.args[0])


def installed() -> bool:
    """Tell whether the compiler is at hand."""
    return importlib.util.find_spec("ethosu") is not None


def fits(
    tflite: str | os.PathLike | bytes,
    accelerator: str = ACCELERATOR,
    *,
    system: str | None = None,
    memory: str | None = None,
) -> Fit:
    """Return a model as ``compiled`` does, if the NPU has anything to do in it.

    Raises NothingOnNpu, with the first reason, where no operator lands there, and what
    ``compiled`` raises. Defined in lesson 18.
    """
    fit = compiled(tflite, accelerator, system=system, memory=memory)
    if not fit.on("npu"):
        left = [f"{op.operator} ({op.why or 'no reason is given'})" for op in fit.on("cpu")]
        if any(op.operator == _COMPILED for op in fit.operators):
            raise NothingOnNpu("this file is compiled already: give the one that it came from", fit)
        raise NothingOnNpu(
            f"nothing of this file runs on {accelerator}: {len(left)} operators stay on the CPU, "
            f"first {(left or ['none'])[0]}. An NPU takes integers: convert on the path int8 "
            "(lesson 07)",
            fit,
        )
    return fit


def compiled(
    tflite: str | os.PathLike | bytes,
    accelerator: str = ACCELERATOR,
    *,
    system: str | None = None,
    memory: str | None = None,
) -> Fit:
    """Return what vela makes of a file, even if nothing of it lands on the NPU.

    ``system`` and ``memory`` are names of vela's own settings (``vela --list-configs
    Arm/vela.ini``): clock and memories of the chip; without them vela takes fast ones. An open
    batch counts as 1. Raises InputError for an accelerator or a setting that vela does not know,
    ModelFileError for a file that is damaged, has several subgraphs, or that vela refuses, dies of
    or takes too long for, and LessonError where vela is not installed. Defined in lesson 18.
    """
    if accelerator not in ACCELERATORS:
        raise InputError(f"accelerator={accelerator!r}; expected one of {', '.join(ACCELERATORS)}")
    if not installed():
        raise LessonError(
            "there is no compiler for NPUs: the package ethos-u-vela is not installed. In the "
            'course\'s folder `make setup` installs it, or `pip install -e ".[npu]"`'
        )
    model, content = reader.read(tflite), files.content(tflite)
    if len(model.subgraphs) > 1:
        raise ModelFileError(
            f"this file has {len(model.subgraphs)} subgraphs, and vela's report does not tell "
            "their operators apart: unroll its loops, or convert one signature (lesson 16)"
        )
    settings = {"accelerator-config": accelerator, "system-config": system, "memory-mode": memory}
    with sandbox.temporary_folder() as name:
        folder = Path(name)
        (folder / "model.tflite").write_bytes(content)
        said = _vela({k: v for k, v in settings.items() if v}, model, folder)
        (summary_file,) = folder.glob("*_summary_*.csv")
        (summary,) = _csv(summary_file.read_text("utf-8"))
        database = (folder / "model_debug.xml").read_text("utf-8")
        result = (folder / "model_vela.tflite").read_bytes()
    return Fit(
        accelerator,
        summary["system_config"],
        float(summary["core_clock"]),
        _placed(model, database, said),
        int(float(summary["cycles_total"])),
        *(_bytes(summary, *areas) for areas in (("sram",), ("dram",), _FLASHES)),
        result,
        said,
    )


def export(
    model: str | os.PathLike,
    directory: str | os.PathLike,
    accelerator: str = ACCELERATOR,
) -> Fit:
    """Write the compiled ``NAME_vela.tflite`` and ``NAME_vela.txt``, what vela said of it.

    Returns what ``fits`` returns, and raises what it raises, before anything is written;
    StorageError when the directory, which is made if it is missing, cannot be written.
    """
    fit = fits(model, accelerator)
    stem = f"{Path(model).stem}_vela"
    files.write_atomic(Path(directory, f"{stem}.tflite"), fit.content)
    files.write_atomic(Path(directory, f"{stem}.txt"), f"{fit.table().to_string()}\n\n{fit.said}")
    return fit


def _bytes(summary: dict[str, str], *areas: str) -> int:
    return round(sum(_KIB * float(summary[f"{area}_memory_used"]) for area in areas))


def _vela(settings: dict[str, str], model: schema.ModelT, folder: Path) -> str:
    """Let vela compile ``model.tflite`` of a folder, in a process of its own; return its words."""
    options = [part for name, value in settings.items() for part in (f"--{name}", value)]
    command = [sys.executable, "-m", "ethosu.vela", "model.tflite", "--output-dir", "."]
    command += ["--show-cpu-operations", "--enable-debug-db", "--verbose-performance", *options]
    seconds = sandbox.patience(120.0)
    said = {"capture_output": True, "text": True, "errors": "replace"}
    try:
        done = subprocess.run(command, cwd=folder, timeout=seconds, **said)
    except subprocess.TimeoutExpired as error:
        raise ModelFileError(
            f"vela took more than {seconds:g} s for this file; {sandbox.MORE_TIME}"
        ) from error
    if done.returncode:
        raise _refusal(done, model)
    return done.stdout + done.stderr


def _refusal(done: subprocess.CompletedProcess, model: schema.ModelT) -> LessonError:
    if done.returncode > 0:
        last = (done.stderr.strip().splitlines() or ["(no message)"])[-1]
        if "CliOptionError" in last:
            return InputError(f"vela refuses a setting: {last}")
        return ModelFileError(f"vela refuses this file: {last}")
    died = f"vela dies of this file, with {sandbox.signal_name(-done.returncode)}"
    dtypes = {reader.dtype_name(t) for graph in model.subgraphs for t in graph.tensors}
    if packed := sorted(dtypes & set(reader.PACKED_BITS)):
        return ModelFileError(
            f"{died}: it stores {' and '.join(packed)}. Convert on the path int8 (lesson 07)"
        )
    return ModelFileError(f"{died}. The file may be sound: see whether LiteRT runs it (lesson 09)")


def _placed(model: schema.ModelT, database: str, said: str) -> tuple[Placed, ...]:
    """Where each operator went: vela's database keeps its place in the file as ``ext_key``."""
    source = {int(row["ext_key"]): row["id"] for row in _rows(database, "source")}
    performed, why = _rows(database, "perf"), _complaints(said)
    placed = []
    for op in tables.operators(model).itertuples():
        steps = [step for step in performed if step["source_id"] == source.get(op.index)]
        ran = [step for step in steps if step["operator"] != "Passthrough"]
        sums = [sum(int(s[key]) for s in ran) for key in ("op_cycles", "npu_cycles", "mac_count")]
        on = "npu" if ran else "cpu" if steps else "nowhere"
        reason = next((why[name] for name in op.outputs if name in why), "")
        placed.append(Placed(op.operator, op.layer, on, *sums, reason if on == "cpu" else ""))
    return tuple(placed)


def _rows(database: str, table: str) -> list[dict[str, str]]:
    found = re.search(rf'<table name="{table}">\s*<!\[CDATA\[(.*?)\]\]>', database, re.DOTALL)
    return _csv(found[1].strip()) if found else []


def _csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def _complaints(said: str) -> dict[str, str]:
    """Vela's reasons by the name of an operator's output, on one line, without tensors' names."""
    pattern = r"operator: \S+, ofm: '(.*)'\nReason: (.+)((?:\n(?!Warning).+)*)"
    return {
        name: " ".join([re.sub(r"(DataType \S+) \(.*\)", r"\1.", first), *rest.split()])
        for name, first, rest in re.findall(pattern, said)
    }
