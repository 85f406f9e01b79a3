"""The report: everything that was found of a model, as one value, kept as JSON with a schema.

Other tools print a table, and the next run knows nothing of it. Here ``write`` keeps all that was
found and ``compare`` tells what has become worse since. NaN and inf are not JSON: they are written
as null, and read as None. How the page looks is ``page``'s; how the report came about ``trials``'.
"""

import html
import json
import math
import os
import platform
import re
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lessons_lib.advise import jobs
from lessons_lib.advise.guards import Guard
from lessons_lib.errors import InputError, ModelFileError
from lessons_lib.judge import verdict
from lessons_lib.judge.measures import Task
from lessons_lib.judge.verdict import FAILS, PASSES, UNDECIDED
from lessons_lib.system import files
from lessons_lib.tflite.signature import TensorSpec

SCHEMA = 1
_ADDED = {"added": True}  # a field that reports of this schema, but an older version, do not have
_ROUNDED = 100.0  # dB: floats that were added up in another order
LARGER = 1.05  # times: what a recommended file may grow before it is said
SLOWER = 2.0  # times: the same of its time
PICKS = {"recommended": "Recommended", "smallest": "Smallest", "most_faithful": "Most faithful"}


@dataclass(frozen=True)
class Machine:
    """Where it ran: ``processor`` and ``features`` are empty where the system does not say."""

    system: str
    processor: str
    cores: int
    features: tuple[str, ...] = ()


@dataclass(frozen=True)
class End:
    """An input or an output of the model; None in ``shape`` where a size is open."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    @classmethod
    def of(cls, spec: TensorSpec) -> "End":
        """An end as a signature has it."""
        return cls(spec.name, tuple(spec.shape), str(spec.dtype))


@dataclass(frozen=True)
class ModelFacts:
    """The float model. ``not_counted``: operators whose multiply-accumulates are not known."""

    source: str
    sha256: str
    signature: str
    inputs: tuple[End, ...]
    outputs: tuple[End, ...]
    parameters: int | None = None
    multiply_accumulates: int | None = None
    not_counted: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataFacts:
    """The samples: how many calibrate and test, whether they have targets, how they were split."""

    source: str
    sha256: str
    calibration: int
    test: int
    targets: bool
    split: str = ""
    seed: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TaskFacts:
    """What an output is for, and the measure that decides; see ``measures.Task``."""

    output: str
    task: str
    measure: str
    share: bool
    lower_is_better: bool = False
    labelled: bool = True

    @classmethod
    def of(cls, task: Task) -> "TaskFacts":
        """What a report says of a task."""
        names = (task.output, task.name, task.measure)
        return cls(*names, task.share, task.lower_is_better, task.labelled)


@dataclass(frozen=True)
class Finding:
    """One output of one row beside float32's; the numbers are those of ``verdict.Finding``.

    ``value`` with its 95 % interval ``low`` to ``high``, in the measure's unit, ``float32`` the
    same measure of float32; ``drop`` is positive where the row is worse, ``limit`` the largest that
    is accepted (without targets: the least value). ``lost`` and ``gained``: samples that flipped,
    None where the measure is no share of samples.
    """

    output: str
    measure: str
    value: float | None
    low: float | None
    high: float | None
    float32: float | None
    drop: float | None
    drop_low: float | None
    drop_high: float | None
    p_holm: float | None
    limit: float | None
    lost: int | None
    gained: int | None
    kind: str
    decision: str
    verdict: str
    also: dict[str, float | None] = field(default_factory=dict)

    @property
    def badness(self) -> float:
        """How large a drop is beside its limit; without targets, how far the value is below it."""
        if _is_number(self.drop):
            return self.drop / self.limit if self.limit else self.drop
        if not _is_number(self.value):
            return math.inf
        return 1 - self.value / self.limit if self.limit else -math.inf

    @classmethod
    def of(cls, found: verdict.Finding) -> "Finding":
        """What a report keeps of a finding."""
        flips = found.flips
        return cls(
            output=found.task.output,
            measure=found.task.measure,
            value=found.measured.value,
            low=found.measured.low,
            high=found.measured.high,
            float32=found.float_measured.value,
            drop=found.drop.value,
            drop_low=found.drop.low,
            drop_high=found.drop.high,
            p_holm=found.p_holm,
            limit=found.limit,
            lost=flips.lost if flips else None,
            gained=flips.gained if flips else None,
            kind=found.kind,
            decision=found.decision,
            verdict=found.verdict,
            also=dict(found.also),
        )

    @classmethod
    def of_float(cls, found: verdict.Finding) -> "Finding":
        """float32's own line, from what any path's finding knows of it."""
        task, own = found.task, found.float_measured
        return cls(
            output=task.output,
            measure=task.measure,
            value=own.value,
            low=own.low,
            high=own.high,
            float32=own.value,
            drop=0.0 if task.labelled else None,
            drop_low=0.0 if task.labelled else None,
            drop_high=0.0 if task.labelled else None,
            p_holm=None,
            limit=found.limit,
            lost=None,
            gained=None,
            kind="no statement" if found.void else "reference",
            decision=UNDECIDED if found.void else PASSES,
            verdict=f"no statement: {found.void}" if found.void else "what all are compared with",
        )


@dataclass(frozen=True)
class Repair:
    """What was ``seen``, its ``cause``, and what was ``done`` about it."""

    seen: str
    cause: str
    done: str


@dataclass(frozen=True)
class Micro:
    """What TFLite-Micro, the runtime of microcontrollers, made of a row's file, on this computer.

    ``refusal``: why it does not run it, and then there is no more. ``arena``: bytes of RAM for one
    call, see ``micro.arena``. ``samples``: how many were compared with LiteRT. ``differing``: the
    share of output values that are not the same, and ``largest``: their largest difference, in
    codes, or in the output's unit where that is a float. ``sqnr_db``: how near the real outputs are
    to LiteRT's, of the output that is farthest; None where they are the same.
    """

    refusal: str | None = None
    arena: int | None = None
    samples: int | None = None
    differing: float | None = None
    largest: float | None = None
    sqnr_db: float | None = None

    @property
    def words(self) -> str:
        """What was found, in a sentence."""
        if self.refusal is not None:
            return f"TFLite-Micro does not run it: {self.refusal}"
        said = f"TFLite-Micro runs it with an arena of {self.arena or 0:,} bytes of RAM"
        if not _is_number(self.differing) or not _is_number(self.largest):
            return said
        said += f", and gives LiteRT's answers to {self.samples} samples"
        if not self.differing:
            return f"{said}, to the last bit"
        if self.sqnr_db is not None and self.sqnr_db >= _ROUNDED:
            return f"{said}, but for {self.largest:.2g} at most"
        return (
            f"{said} but for {100 * self.differing:.1f} % of the numbers, by {self.largest:.3g} at "
            "most"
        )


@dataclass(frozen=True)
class Row:
    """One file that was made, or the reason why there is none.

    ``name`` is the file's stem. ``lane``: converter, litert, or given. ``path`` is a name of
    ``paths.ALL``; ``calibrate``: extremes or moving_average, None without calibration. ``bytes``
    and ``smaller`` (float32's bytes divided by these), ``latency_us`` for one sample on one thread
    and ``latency_ratio`` (of float32's) are None where nothing was measured. ``sqnr_db``: centred,
    by output. ``decision``: passes, undecided, fails; "" where nothing was judged. ``micro``: None
    where it was not tried.
    """

    name: str
    lane: str
    path: str
    calibrate: str | None = None
    repair: Repair | None = None
    file: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    smaller: float | None = None
    integer_only: bool = False
    input_dtypes: dict[str, str] = field(default_factory=dict)
    output_dtypes: dict[str, str] = field(default_factory=dict)
    latency_us: float | None = None
    latency_ratio: float | None = None
    sqnr_db: dict[str, float | None] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    decision: str = ""
    verdict: str = ""
    remarks: tuple[str, ...] = ()
    failure: str | None = None
    micro: Micro | None = field(default=None, metadata=_ADDED)

    @property
    def worst(self) -> Finding | None:
        """The finding that decides: the worst decision, then the largest drop beside its limit."""
        return verdict.worst(self.findings)

    @property
    def may_pass(self) -> bool:
        """Whether it passes, or is undecided and the drop that was seen is within the limit."""
        likely = self.worst is None or self.worst.badness <= 1
        return self.decision == PASSES or (self.decision == UNDECIDED and likely)

    @property
    def lowest_db(self) -> float | None:
        """The SQNR of the output that is farthest from float32's."""
        return min((db for db in self.sqnr_db.values() if _is_number(db)), default=None)

    def explain(self) -> str:
        """Return what there is to know of a row, in a few sentences."""
        how = {"converter": "TFLiteConverter", "litert": "LiteRT's quantizer"}.get(self.lane)
        made = f"{self.name}: the path {self.path}" + (f", by {how}" if how else "")
        if self.calibrate:
            made += f", calibrated by {_CALIBRATED.get(self.calibrate, self.calibrate)}"
        said = [made, *self._mended()]
        if self.failure is not None:
            return _sentences([*said, f"There is no file: {self.failure}"])
        said += [self._size(), *map(_measured, self.findings)]
        if self.decision:
            said.append(f"It {_DECIDED.get(self.decision, self.decision)}: {self.verdict}")
        return _sentences([*said, *([self.micro.words] if self.micro else []), *self.remarks])

    def _mended(self) -> list[str]:
        if self.repair is None:
            return []
        return [f"It mends this: {self.repair.seen}. The cause: {self.repair.cause}. "
                f"What was done: {self.repair.done}"]  # fmt: skip

    def _size(self) -> str:
        parts = [f"{self.bytes:,} bytes"] if self.bytes is not None else []
        if _is_number(self.smaller) and self.path != "float32":
            parts.append(f"{self.smaller:.2f} times smaller than float32")
        if _is_number(self.latency_ratio) and self.path != "float32":
            parts.append(f"{self.latency_ratio:.2f} of its time here")
        parts.append("integers only" if self.integer_only else "with float operators")
        return ", ".join(parts)


_CALIBRATED = {"extremes": "the extremes of its samples", "moving_average": "a moving average"}
_DECIDED = {PASSES: "passes", FAILS: "fails", UNDECIDED: "is undecided"}


@dataclass(frozen=True)
class Pick:
    """A choice: the name of a row, or None, with the reason, and the next best with its own."""

    row: str | None
    why: str
    runner_up: str | None = None
    why_not: str = ""


@dataclass(frozen=True)
class LayerError:
    """How far one operator's output is from float32's; see ``layer_errors.compare``.

    Where there is no number, ``remark`` says why: exact, broken (NaN or inf), not compared.
    """

    layer: str
    operator: str
    sqnr_db: float | None
    worst_channel_db: float | None = None
    remark: str = ""


@dataclass(frozen=True)
class Layers:
    """The operators of one row's file, in the order of execution.

    ``remark``: why there are none, where they cannot be compared.
    """

    row: str
    errors: tuple[LayerError, ...]
    remark: str = field(default="", metadata=_ADDED)


@dataclass(frozen=True)
class Tensor:
    """The tensor of one row's file that is farthest from float32, and float32's values in it.

    ``edges`` (one more) and ``counts`` are their histogram. ``low`` to ``high`` is what the
    integers can hold, ``scale`` their step; None where the file has floats there. ``clipped``: the
    share of the values outside.
    """

    row: str
    name: str
    layer: str
    edges: tuple[float, ...]
    counts: tuple[int, ...]
    dtype: str = ""
    scale: float | None = None
    low: float | None = None
    high: float | None = None
    clipped: float | None = None


@dataclass(frozen=True)
class Budget:
    """Where the bytes of one row's file go: ``tables.byte_budget``."""

    row: str
    parts: dict[str, int]


@dataclass(frozen=True)
class Flip:
    """A sample that a row answers otherwise than float32.

    ``sample``: its place in the test data. ``image``: a PNG as a ``data:`` address, None where its
    ``input`` is no picture. ``float32``, ``path`` and ``target`` are answers in words.
    """

    sample: int
    input: str
    image: str | None
    float32: str
    path: str
    target: str = ""


@dataclass(frozen=True)
class Flipped:
    """Samples of one output of one row: ``total`` flipped, and ``samples`` are shown.

    ``total`` is None where nothing can flip: then they are those that moved most.
    """

    row: str
    output: str
    total: int | None
    samples: tuple[Flip, ...]


@dataclass(frozen=True)
class Report:
    """Everything that was found of one model. The rows are in the order in which they were tried.

    ``picks``: ``recommended``, ``smallest``, ``most_faithful``. ``next_step``: what to do where
    nothing passes. ``layers``, ``tensor``, ``bytes`` and ``flipped`` say which row they are of.
    ``data`` is None where no data was given. ``settings``: plain values by name.
    """

    versions: dict[str, str]
    machine: Machine
    model: ModelFacts
    data: DataFacts | None
    tasks: tuple[TaskFacts, ...]
    guards: tuple[Guard, ...]
    settings: dict[str, Any]
    rows: tuple[Row, ...]
    picks: dict[str, Pick]
    next_step: str | None = None
    layers: Layers | None = None
    tensor: Tensor | None = None
    bytes: tuple[Budget, ...] = ()
    flipped: Flipped | None = None
    commands: tuple[str, ...] = ()
    seconds: float | None = None
    schema: int = SCHEMA

    @property
    def recommended(self) -> Row | None:
        """The row to take; None where no file can be."""
        pick = self.picks.get("recommended")
        return self.row(pick.row) if pick is not None and pick.row is not None else None

    def row(self, name: str) -> Row:
        """Return the row called ``name``; raise InputError, listing them all, for another one."""
        for row in self.rows:
            if row.name == name:
                return row
        raise InputError(
            f"the report has no row {name!r}; it has {', '.join(row.name for row in self.rows)}"
        )

    @property
    def passes(self) -> bool:
        """Whether a quantized file passes, of those that the machine takes."""
        pick = self.picks.get("smallest")
        row = self.row(pick.row) if pick is not None and pick.row is not None else None
        return row is not None and row.path != "float32" and row.decision == PASSES

    @property
    def headline(self) -> str:
        """The decision in one sentence."""
        row = self.recommended
        if row is None:
            return "No file can be recommended: " + self.picks["recommended"].why
        if row.path == "float32":
            why = self.picks["recommended"].why
            return why[:1].upper() + why[1:]
        parts = [f"{row.bytes:,} bytes"]
        if _is_number(row.smaller):
            parts.append(f"{row.smaller:.1f} times smaller than float32")
        parts.append(row.verdict or "not judged, because no data was given")
        take = "Try" if row.decision == UNDECIDED else "Take"
        return f"{take} {row.name}: " + ", ".join(parts)

    def frame(self) -> pd.DataFrame:
        """Return one line for each row, indexed by its name; of several outputs the worst."""
        lines = [_line(row) for row in self.rows]
        return pd.DataFrame(lines).set_index("name")

    def _repr_html_(self) -> str:
        table = self.frame()[
            ["bytes", "smaller", "value", "drop", "decision", "verdict", "failure"]
        ]
        return f"<p><strong>{html.escape(self.headline)}</strong></p>{table.to_html(na_rep='')}"


def _line(row: Row) -> dict[str, Any]:
    """A row as one line of a table."""
    line = {key: getattr(row, key) for key in ("name", "lane", "path", "calibrate")}
    line |= {key: getattr(row, key) for key in ("bytes", "smaller", "latency_us", "latency_ratio")}
    names = ("output", "measure", "value", "low", "high", "float32", "drop", "drop_low")
    names += ("drop_high", "p_holm")
    line |= {key: getattr(row.worst, key, None) for key in names}
    line |= {"sqnr_db": row.lowest_db, "integer_only": row.integer_only, "decision": row.decision}
    return line | {"verdict": row.verdict, "failure": row.failure or ""}


def _is_number(value) -> bool:
    return value is not None and math.isfinite(value)


def _measured(found: Finding) -> str:
    """A measure in words, with its interval."""
    name = f"{found.output}: {found.measure}"
    if not _is_number(found.value):
        return f"{name} is not known"
    words = f"{name} {found.value:.4g}"
    if _is_number(found.low) and _is_number(found.high):
        words += f" (95 %: {found.low:.4g} to {found.high:.4g})"
    return words + (f", float32's {found.float32:.4g}" if _is_number(found.float32) else "")


def _sentences(said: Iterable[str]) -> str:
    return " ".join(text.rstrip(". ") + "." for text in said)


# ---- kept as JSON


def write(report: Report, file: str | os.PathLike) -> Path:
    """Write a report as JSON, whole or not at all, and return the file's path.

    NaN and inf become null. Raises StorageError when the file cannot be written.
    """
    content = json.dumps(_plain(asdict(report)), indent=1, ensure_ascii=False, allow_nan=False)
    # Half a pair of UTF-16, as a damaged name may have, becomes \\ud800, which is JSON's way.
    return files.write_atomic(file, (content + "\n").encode("utf-8", "backslashreplace"))


def finite(report: Report) -> Report:
    """Return a report as it is read again: None for NaN and inf, Python's numbers for NumPy's."""
    return _made(Report, _plain(asdict(report)), "the report")


def _plain(value: Any) -> Any:
    """A value as JSON has it: numbers of NumPy as Python's, null for what is no number."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read(file: str | os.PathLike) -> Report:
    """Return the report that ``write`` wrote.

    Raises ModelFileError, with the place, for a file that cannot be read, is no JSON, lacks a field
    or has one of another kind, or has names that do not meet, such as a finding of an output that
    is none of the tasks; InputError for a report of another schema.
    """
    content = files.content(file)
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(
            f"{file} is no report: it is not JSON, or damaged ({error}). Make it anew with "
            "`lessons quantize`"
        ) from error
    given = found.get("schema") if isinstance(found, dict) else None
    if given is None:
        raise ModelFileError(f"{file} is no report of `lessons quantize`: it has no schema")
    if given != SCHEMA:
        raise InputError(
            f"{file} has the schema {given!r}, and this version reads {SCHEMA}: make the report "
            "anew with `lessons quantize`"
        )
    made = _made(Report, found, str(file))
    _require_sense(made, str(file))
    return made


def _require_sense(found: Report, where: str) -> None:
    """What a page and a comparison lean on: names that meet, words that are known."""
    outputs, rows = [task.output for task in found.tasks], [row.name for row in found.rows]
    recommended = "recommended" in found.picks
    _require(recommended, "a pick called recommended", [*found.picks], f"{where}.picks")
    for key, pick in found.picks.items():
        known = pick.row is None or pick.row in rows
        _require(known, f"a row ({', '.join(rows)})", pick.row, f"{where}.picks.{key}.row")
    for n, row in enumerate(found.rows):
        here = f"{where}.rows[{n}]"
        sized = (row.bytes or 0) > 0 or row.failure is not None
        _require(sized, "a size, or a failure", row.bytes, f"{here}.bytes")
        for m, one in enumerate(row.findings):
            inside, wanted = f"{here}.findings[{m}]", f"an output of tasks ({', '.join(outputs)})"
            _require(one.output in outputs, wanted, one.output, f"{inside}.output")
            _require(one.decision in _DECIDED, "a decision", one.decision, f"{inside}.decision")
    if found.tensor is not None:
        edges, counts = len(found.tensor.edges), len(found.tensor.counts)
        _require(edges == counts + 1, f"{counts + 1} numbers", edges, f"{where}.tensor.edges")
        least = min(found.tensor.counts, default=0)
        _require(least >= 0, "counts from 0 on", least, f"{where}.tensor.counts")


def _made(kind: Any, value: Any, where: str) -> Any:
    """A value of the kind that a field declares, or ModelFileError with its place."""
    if is_dataclass(kind):
        return _record(kind, value, where)
    if isinstance(kind, types.UnionType):
        return None if value is None else _made(typing.get_args(kind)[0], value, where)
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        _require(isinstance(value, list), "a list", value, where)
        return tuple(_made(parts[0], one, f"{where}[{n}]") for n, one in enumerate(value))
    if origin is dict:
        _require(isinstance(value, dict), "names with values", value, where)
        return {key: _made(parts[1], one, f"{where}.{key}") for key, one in value.items()}
    if type(value) is int and kind in (int, float):
        _require(abs(value) < 2**63, "a number of 64 bits", value, where)
        return kind(value)
    finite = type(value) is not float or math.isfinite(value)
    _require(finite or kind is Any, "a finite number, or null", value, where)
    _require(kind is Any or type(value) is kind, f"{getattr(kind, '__name__', '')}", value, where)
    return value


def _record(kind: type, value: Any, where: str) -> Any:
    _require(isinstance(value, dict), "names with values", value, where)
    kinds, names = typing.get_type_hints(kind), [one.name for one in fields(kind)]
    added = {one.name for one in fields(kind) if one.metadata and one.name not in value}
    missing = [name for name in names if name not in value and name not in added]
    if missing:
        raise ModelFileError(
            f"{where}: {missing[0]} is missing. It is no whole report; make it anew with "
            "`lessons quantize`"
        )
    given = [name for name in names if name not in added]
    return kind(**{name: _made(kinds[name], value[name], f"{where}.{name}") for name in given})


def _require(fits: bool, wanted: str, value: Any, where: str) -> None:
    if not fits:
        given = "null" if value is None else f"{value!r:.60}"
        raise ModelFileError(
            f"{where} is {given}; expected {wanted}. It is no whole report; make it anew with "
            "`lessons quantize`"
        )


# ---- compared with an older one


def compare(old: Report, new: Report) -> list[str]:
    """Return what is worse in ``new`` than in ``old``, a sentence each; empty where nothing is.

    A row that passed and does not pass now, or is not there; no recommended file where there was
    one, or one that is more than 5 % larger; a measure whose 95 % interval lies wholly on the worse
    side of the older one's. Times only where both were taken on one machine, and the recommended
    file of before takes twice as much of float32's time as it did: less is chance (under another
    load it was seen to change by 1.9).
    """
    rows = {row.name: row for row in new.rows}
    worse = [_lost(row, rows.get(row.name)) for row in old.rows if row.decision == PASSES]
    worse.append(_grown(old.recommended, new.recommended, new.picks))
    if old.machine == new.machine and old.recommended is not None:
        worse.append(_slower(old.recommended, rows.get(old.recommended.name)))
    for before in old.rows:
        worse += _measured_worse(before, rows.get(before.name), new.tasks)
    return [words for words in worse if words]


def _lost(before: Row, now: Row | None) -> str:
    if now is None:
        return f"{before.name} passed before, and was not tried now"
    if now.failure is not None:
        return f"{before.name} passed before, and cannot be made now: {now.failure}"
    if now.decision != PASSES:
        decided = _DECIDED.get(now.decision, "is not judged")
        return f"{before.name} passed before, and {decided} now: {now.verdict}"
    return ""


def _grown(before: Row | None, now: Row | None, picks: Mapping[str, Pick]) -> str:
    if before is None or before.bytes is None:
        return ""
    if now is None or now.bytes is None:
        why = picks["recommended"].why if "recommended" in picks else "nothing passes"
        return f"{before.name} was recommended before, and no file is now: {why}"
    if now.bytes > LARGER * before.bytes:
        return (
            f"the recommended file has {now.bytes:,} bytes ({now.name}), and had {before.bytes:,} "
            f"({before.name}): {now.bytes / before.bytes - 1:.0%} more"
        )
    return ""


def _slower(before: Row, now: Row | None) -> str:
    times = before.latency_ratio, now and now.latency_ratio
    if not all(map(_is_number, times)) or times[1] <= SLOWER * times[0]:
        return ""
    return f"{before.name} takes {times[1]:.2f} of float32's time, and took {times[0]:.2f}"


def _measured_worse(before: Row, now: Row | None, tasks: Iterable[TaskFacts]) -> list[str]:
    """The measures of one row that are worse than chance explains."""
    lower = {task.output for task in tasks if task.lower_is_better}
    older = {found.output: found for found in before.findings}
    worse = []
    for found in now.findings if now is not None else ():
        old = older.get(found.output)
        if old is None or old.measure != found.measure:
            continue
        ends = (old.low, old.high, found.low, found.high)
        if not all(map(_is_number, ends)):
            continue
        if found.low > old.high if found.output in lower else found.high < old.low:
            worse.append(
                f"{before.name}: {found.measure} of {found.output} is {found.value:.4g} (95 %: "
                f"{found.low:.4g} to {found.high:.4g}), and was {old.value:.4g} (95 %: "
                f"{old.low:.4g} to {old.high:.4g})"
            )
    return worse


# ---- where and with what


def versions() -> dict[str, str]:
    """Return the version of each package that a file may depend on, and Python's, by name."""
    return jobs.versions() | {"python": platform.python_version()}


# Of what a processor can do, what decides how fast integers are.
_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "asimddp", "i8mm")


def machine() -> Machine:
    """Return what this computer is; on Linux with the processor's features for integers."""
    system = f"{platform.system()} {platform.machine()}".strip()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    name, flags = _cpuinfo(Path("/proc/cpuinfo"))
    known = tuple(feature for feature in _FEATURES if feature in flags)
    return Machine(system, name or platform.processor(), cores or 1, known)


def _cpuinfo(file: Path) -> tuple[str, set[str]]:
    """The processor's name and flags as Linux tells them; nothing where there is no such file."""
    try:
        text = file.read_text("utf-8", "replace")
    except OSError:
        return "", set()
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.M)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.M)
    return name[1].strip() if name else "", set(flags[1].split()) if flags else set()
