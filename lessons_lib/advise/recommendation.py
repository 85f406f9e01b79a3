"""Which file to take on this machine, and why: rules as a table, then one choice, then its words.

Vendors' tools stop at a table of sizes. Here a path must first be possible on the machine, then be
good enough on the owner's own samples; only then do bytes and time decide. Microseconds were
measured on this computer's CPU: for another machine they are shown, and decide nothing.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from lessons_lib.advise.report import Pick, Row
from lessons_lib.convert import paths
from lessons_lib.errors import InputError
from lessons_lib.judge.verdict import PASSES, UNDECIDED

AS_FAST = 1.10  # times: nobody notices less, and one measurement hardly shows it
ALIKE = 1.05  # times: two files as large and as fast as each other
LIKE_LITERT = 20.0  # dB: what was judged by LiteRT's answers does not hold for others
WORTH = 1.10  # times smaller or faster than float32, or float32 may stay
PREFERENCES = ("size", "speed", "fidelity")


@dataclass(frozen=True)
class Target:
    """A kind of machine. ``refuses`` gives the reason why a row's file cannot run there, or "".

    ``micro``: TFLite-Micro runs the file there, or what an accelerator leaves of it.
    """

    name: str
    title: str
    refuses: Callable[[Row], str]
    timed_here: bool = False
    micro: bool = False


def _needs_integers(row: Row) -> str:
    return "" if row.integer_only else "it has float operators, and the chip has none"


def _needs_micro(row: Row) -> str:
    refused = _needs_integers(row)
    if refused or row.micro is None:
        return refused
    noise, own = row.micro.sqnr_db, row.lowest_db
    wrong = noise is not None and noise < min(LIKE_LITERT, math.inf if own is None else own)
    return row.micro.words if row.micro.refusal is not None or wrong else ""


def _needs_bytes(row: Row) -> str:
    wide = [
        d for d in (row.input_dtypes | row.output_dtypes).values() if d not in ("int8", "uint8")
    ]
    return _needs_integers(row) or (f"it takes or gives {wide[0]}, not bytes" if wide else "")


def _needs_floats(row: Row) -> str:
    if row.path in ("float32", "float16"):
        return ""
    return "a GPU computes in float: it would unpack these integers first"


def _needs_browser(row: Row) -> str:
    odd = [d for d in (row.input_dtypes | row.output_dtypes).values() if d in ("int8", "int16")]
    return f"LiteRT.js takes no {odd[0]} at a model's ends" if odd else ""


TARGETS = {
    target.name: target
    for target in (
        Target("cpu", "a CPU like this one", lambda row: "", timed_here=True),
        Target("gpu", "a GPU", _needs_floats),
        Target("microcontroller", "a microcontroller", _needs_micro, micro=True),
        # What Arm's compiler leaves to the processor beside it, TFLite-Micro runs.
        Target("ethos-u", "an Arm Ethos-U", _needs_micro, micro=True),
        Target("edgetpu", "an Edge TPU", _needs_bytes),
        Target("browser", "a browser, with LiteRT.js", _needs_browser),
    )
}


def target_named(name: str) -> Target:
    """Return a target; raise InputError, with all their names, for another one."""
    if name not in TARGETS:
        raise InputError(f"no target {name!r}; the targets are {', '.join(TARGETS)}")
    return TARGETS[name]


def require(
    target: str,
    prefer: str,
    max_bytes: int | None,
    max_drop: float | None,
    wanted: Iterable[str] | None,
    budget: float = 0.0,
) -> tuple[str, ...] | None:
    """See that all the words are known, before anything runs; return the names of paths.

    Raises InputError for an unknown target, preference or path, ``max_bytes`` below 1, a
    ``max_drop`` that is no share between 0 and 1, and a ``budget`` that is no number of seconds.
    """
    if not isinstance(budget, int | float) or not budget >= 0:
        raise InputError(f"budget={budget!r}; expected seconds, 0 or more")
    target_named(target)
    if prefer not in PREFERENCES:
        raise InputError(f"prefer={prefer!r}; expected {', '.join(PREFERENCES)}")
    if max_bytes is not None and max_bytes < 1:
        raise InputError(f"max_bytes={max_bytes}; expected at least 1")
    if max_drop is not None and not 0 < max_drop < 1:
        raise InputError(f"max_drop={max_drop}; expected a share above 0 and below 1, 0.01 is 1 %")
    names = [wanted] if isinstance(wanted, str) else wanted
    return None if names is None else tuple(paths.get(name).name for name in names)


def choose(
    rows: Sequence[Row], *, target: str = "cpu", prefer: str = "size", max_bytes: int | None = None
) -> dict[str, Pick]:
    """Return three picks among ``rows``: ``recommended``, ``smallest`` and ``most_faithful``.

    ``rows``: all that was tried, float32 first. A candidate has a file, runs on the target, is not
    larger than ``max_bytes``, and its drop is proven to be within the limit (``decision`` is
    ``passes``); where no file is proven, those stand in that are undecided and whose drop, as far
    as it was seen, is within the limit, and the words say so.
    ``prefer``: ``size`` takes the smallest of those within 10 % of the fastest, ``speed`` the
    fastest, ``fidelity`` the one nearest to float32; of two alike in size and speed the one without
    calibration. Where nothing is gained, or nothing passes, float32 stays, if the machine runs it;
    a pick without a row says why there is none.
    Raises InputError for an unknown target or preference, and a ``max_bytes`` below 1.
    """
    require(target, prefer, max_bytes, None, None)
    machine = target_named(target)
    possible = [row for row in rows if not why_not(row, machine, max_bytes)]
    base = next((row for row in possible if row.path == "float32"), None)
    quantized = [row for row in possible if row.path != "float32"]
    sure = [row for row in quantized if row.decision == PASSES]
    candidates = sure or [row for row in quantized if row.may_pass]
    if not candidates:
        nothing = _nothing(rows, quantized, base, machine, max_bytes)
        return dict.fromkeys(("recommended", "smallest", "most_faithful"), nothing)
    doubt = "" if sure else ". The samples are too few to prove it: test it on more"
    order = _ordered(candidates, base, prefer, machine.timed_here)
    return {
        "recommended": _recommended(order, base, prefer, machine, doubt),
        "smallest": _pick(sorted(candidates, key=_size), "smallest", doubt),
        "most_faithful": _pick(sorted(candidates, key=_unlikeness), "most_faithful", doubt),
    }


def why_not(row: Row, target: Target, max_bytes: int | None = None) -> str:
    """Return why a row is no candidate for a machine, whatever its quality; "" if it is one."""
    if row.failure:
        return "there is no file"
    if refused := target.refuses(row):
        return refused
    if max_bytes is not None and row.bytes > max_bytes:
        return f"its {row.bytes:,} bytes are more than {max_bytes:,}"
    return ""


def _ordered(rows: Sequence[Row], base: Row | None, prefer: str, timed: bool) -> list[Row]:
    """The candidates, the best first."""
    if prefer == "fidelity":
        return sorted(rows, key=_unlikeness)
    if prefer == "speed" and timed:
        return _simpler_first(sorted(rows, key=_time), timed)
    fastest = min(_time(row) for row in [*rows, *([base] if base else [])])
    order = sorted(rows, key=lambda r: (timed and _time(r) > AS_FAST * fastest, _size(r)))
    return _simpler_first(order, timed)


def _simpler_first(order: list[Row], timed: bool) -> list[Row]:
    """The first gives way to one that is as good and needs no calibration."""
    best = order[0]
    if paths.get(best.path).needs_calibration:
        for row in order[1:]:
            alike = _size(row) <= ALIKE * _size(best) and not paths.get(row.path).needs_calibration
            if alike and (not timed or _time(row) <= ALIKE * _time(best)):
                return [row, *(other for other in order if other is not row)]
    return order


def _size(row: Row) -> int:
    return row.bytes


def _time(row: Row) -> float:
    return float("inf") if row.latency_ratio is None else row.latency_ratio


def _unlikeness(row: Row) -> tuple[float, int]:
    """Less is nearer to float32: by the output that is farthest from it, then by the bytes."""
    known = [value for value in row.sqnr_db.values() if value is not None]
    return -min(known, default=float("-inf")), row.bytes


_REASONS = {
    "size": "the smallest file that {} and is about as fast as the fastest",
    "speed": "the fastest file that {}",
    "fidelity": "the file nearest to float32 that {}",
    "smallest": "the smallest file that {}",
    "most_faithful": "the file nearest to float32 that {}",
}


def _pick(order: list[Row], wanted: str, doubt: str) -> Pick:
    best, second = order[0], order[1] if len(order) > 1 else None
    reason = _REASONS[wanted].format("may pass" if doubt else "passes")
    return Pick(
        row=best.name,
        why=f"{reason}: {_described(best)}{doubt}",
        runner_up=second.name if second else None,
        why_not=_described(second) if second else "",
    )


def _recommended(order: list[Row], base: Row | None, prefer: str, machine: Target, doubt) -> Pick:
    """The first of the order, or float32 where that would gain nothing."""
    best = order[0]
    faster = machine.timed_here and _time(best) * WORTH <= 1
    if base is None or prefer == "fidelity" or faster or _size(best) * WORTH <= _size(base):
        wanted = prefer if machine.timed_here or prefer == "fidelity" else "smallest"
        return _pick(order, wanted, doubt)
    return Pick(
        row=base.name,
        why=f"stay with float32: no file that passes is {WORTH - 1:.0%} smaller or faster",
        runner_up=best.name,
        why_not=_described(best),
    )


def _described(row: Row) -> str:
    """A row in a few words."""
    larger = row.smaller < 1
    times = f"{1 / row.smaller if larger else row.smaller:.2f} times"
    parts = [f"{row.bytes:,} bytes, {times} {'larger' if larger else 'smaller'}"]
    if row.micro is not None and row.micro.arena is not None:
        parts.append(f"an arena of {row.micro.arena:,} bytes of RAM")
    elif row.latency_ratio is not None:
        parts.append(f"{row.latency_ratio:.2f} of float32's time here")
    return ", ".join(parts)


def _nothing(
    rows: Sequence[Row], failing: list[Row], base: Row | None, machine: Target, max_bytes
) -> Pick:
    """No candidate: float32, if the machine takes it, or nothing, with the nearest file."""
    if failing:
        best = min(failing, key=_unlikeness)
        why = f"no quantized file passes, and {best.name} is the nearest to float32"
        second, words = best.name, f"{_described(best)}, {best.verdict}"
    else:
        made = [row for row in rows if row.path != "float32" and not row.failure]
        refused = max(made, key=lambda row: row.integer_only, default=None)
        why, second, words = f"no file that was made is one for {machine.title}", None, ""
        if refused:  # of a runtime's words the first sentence; all stand in the table
            reason = why_not(refused, machine, max_bytes).partition(". ")[0]
            why, second = f"{why} ({refused.name}: {reason})", refused.name
    if base is not None:
        return Pick(base.name, f"stay with float32: {why}", second, words)
    return Pick(None, why, second, words)


def next_step(rows: Sequence[Row], picks: dict[str, Pick]) -> str | None:
    """Return what to do where no quantized file passes, in words; None where one does."""
    chosen = picks["recommended"].row
    if chosen is not None and next(row for row in rows if row.name == chosen).path != "float32":
        return None
    if any(row.decision == PASSES and row.path != "float32" for row in rows if not row.failure):
        if picks["smallest"].row not in (None, "float32"):
            return None
        return (
            "Some files pass, but none that this machine and this limit of bytes allow: the pick "
            "names what the nearest one lacks. Mend that, or choose another machine."
        )
    made = [row for row in rows if not row.failure and row.path != "float32"]
    if not made:
        return "Read the reasons in the table: each names what stopped its path, and a cure."
    best = min(made, key=_unlikeness)
    if any(found.kind == "no statement" for found in best.findings):
        return (
            "Give samples and targets on which float32 itself answers well: until then no path can "
            "be judged (lesson 08)."
        )
    if best.decision == UNDECIDED:
        return "Give more test samples: the verdicts say about how many."
    return (
        "Look at the layer errors, which name the layer at fault; train with quantization in mind "
        "(lesson 12), or allow a larger drop."
    )
