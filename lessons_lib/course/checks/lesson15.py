"""The checks of lesson 15, Quantize your own model: they read what ``quantize_model`` returned."""

from collections.abc import Callable

from lessons_lib.advise.report import Pick, Report, Row
from lessons_lib.course.checks._answers import Remark, call, describe
from lessons_lib.course.checks._verdict import Verdict, exercise
from lessons_lib.judge.verdict import FAILS, PASSES, UNDECIDED
from lessons_lib.models import data, examples
from lessons_lib.system import files

PATHS = ("dynamic_range", "float16", "int8_float_fallback", "int8")  # that the course tries,
FIVE = (*PATHS, "int16x8")  # and for the fruits
_FEWEST = 381  # test samples: without any flip they rule out a drop of 1 point
_MORE = {  # what the owners of the models ask for, beside their samples
    "pictures": {},
    "pump": {"target": "microcontroller"},
    "fruit": {"max_drop": 0.06},
    "chip": {"max_drop": 0.02, "target": "microcontroller"},
}


@exercise(
    "a dictionary: the pictures under the input's name, `image`, the classes under `y`. Then "
    "`quantize_model(the file, the dictionary)`.",
    "Half of the samples, 300 at most, calibrated; the others judged every file.",
)
def check_pictures(report: object) -> bool | str:
    """Exercise 15.1: the Report of the pictures' model with its samples and their classes."""
    return _judged(_report(report), "photos", "textures")


@exercise(
    "the same lines with `readings`, and what the chip is: `target=`. Leave `tune` as it is.",
    "The chip takes integers alone, and the file that is recommended has nothing else.",
)
def check_pump(report: object) -> bool | str:
    """Exercise 15.2: the Report of the pump's model for a microcontroller."""
    report = _report(report)
    _judged(report, "pump")
    if (target := report.settings.get("target")) != "microcontroller":
        return f"It was made for {target!r}: the owner has a microcontroller."
    if report.settings.get("tune") is False:
        return "Nothing was mended: `tune` is False."
    row = report.recommended
    if row is None or not row.integer_only:
        return "No file that the chip takes passes: let more paths be tried."
    return True


@exercise(
    "four arrays by name: both inputs, and the targets under the names of both outputs. The "
    "loss that the owner accepts is `max_drop=`.",
    "Each output is a task of its own, and the worst of them decides.",
)
def check_fruit(report: object) -> bool | str:
    """Exercise 15.3: the Report of the fruits' model: two inputs, two outputs, a limit."""
    report = _report(report)
    _judged(report, "fruit", tried=FIVE)
    if (limit := _limit(report)) != _MORE["fruit"]["max_drop"]:
        return f"The limit is {limit:.3g}; the owner accepts 0.06: 6 % of the mean error."
    return True


@exercise(
    "the call of 15.3 with `target=` and the smaller `max_drop=`, then the `row` of the pick "
    "'recommended'.",
    "Another machine, another limit, another file: nothing but the question changed.",
)
def check_decision(answer: object) -> bool | str:
    """Exercise 15.4: the pair (Report of the fruits' model for the chip, the row's name)."""
    if not isinstance(answer, tuple | list) or len(answer) != 2:
        raise Remark(f"Your answer is {describe(answer)}; asked is a pair, (report, name).")
    report, name = _report(answer[0]), answer[1]
    _judged(report, "fruit", tried=FIVE)
    settings = {"target": report.settings.get("target"), "max_drop": _limit(report)}
    for key, wanted in _MORE["chip"].items():
        if settings[key] != wanted:
            return f"In the report `{key}` is {settings[key]!r}, not {wanted!r}."
    picked = report.picks["recommended"].row
    if isinstance(name, Row | Pick):
        return "The second part is asked as a name, a text."
    if not isinstance(name, str):
        return f"The second part is {describe(name)}; asked is a row's name."
    if name not in [row.name for row in report.rows]:
        return f"{name!r} is no row of the report."
    row = report.row(name)
    if row.decision != PASSES:
        return f"{name} does not pass: {row.verdict or row.failure}."
    if not row.integer_only:
        return f"{name} has floats inside, and this chip takes none."
    return name == picked or (
        f"{name} passes, but the report recommends {report.picks['recommended'].why}."
    )


@exercise(
    "`report.rows` holds them all: keep those with a file whose `decision` is 'passes' and that "
    "are `integer_only`; then the least `bytes` (None without a file). `min(..., default=None)` "
    "knows no row.",
    "A smaller file that fails, or that nobody could judge, is no bargain.",
)
def check_smallest_for_chip(smallest: object) -> bool | str:
    """Exercise 15.5: a function from a Report to the name of its smallest row for a chip."""
    for rows, expected in _REPORTS:
        name = call(smallest, _made(rows), none_is_an_answer=True)
        if name == expected or (isinstance(name, Row) and name.name == expected):
            continue
        if expected is None:
            return f"It chooses {_said(name)}; none will do: return None. {_listed(rows)}"
        if name is None:
            return f"It chooses nothing; {expected} will do. {_listed(rows)}"
        lacks = _LACKS.get(name) if isinstance(name, str) else None
        return (
            f"It chooses {_said(name)}, not {expected}{f': {lacks}' * bool(lacks)}. {_listed(rows)}"
        )
    return True


@exercise(
    "your model's file and your data, as the list above the cell names them. A name or a shape "
    "that does not fit is said before anything is converted.",
    "The report is yours to defend: keep report.json, and let --check compare the next one.",
)
def check_own(report: object) -> bool | str:
    """Exercise 15.6: the Report of a model of the learner's own."""
    report = _report(report)
    known = [name for name in examples.NAMES if _is_of(report, name)]
    if known:
        return f"This is the course's model {known[0]!r}; take one of your own."
    _with_targets(report)
    if report.recommended is None:
        return f"No file can be recommended. Next: {report.next_step}"
    if report.recommended.decision == UNDECIDED:
        return f"{report.recommended.name} is undecided: {report.recommended.verdict}."
    return True


def settle(answer: object, name: str, run: Callable[..., Report]) -> Report:
    """Return the learner's report where it is right, else the course's, made by ``run``.

    So the page runs on with a blank that is open or wrong. ``name``: pictures, pump or fruit;
    ``run`` is ``quantize_model``. It prints whose report it is.
    """
    check = {"pictures": check_pictures, "pump": check_pump, "fruit": check_fruit}[name]
    verdict: Verdict = check(answer)
    if verdict:
        print("your report:", end=" ")
        return answer
    print(verdict.why_ours, end="; the course's: ")
    known = picture_model() if name == "pictures" else name
    samples = getattr(examples, known)(1500)
    folder = files.artifacts("lesson15", known)
    tried = FIVE if name == "fruit" else PATHS
    return run(examples.model(known), samples, paths=tried, out=folder, **_MORE[name])


def picture_model() -> str:
    """The example with pictures that can be judged here: photos where CIFAR-10 is prepared."""
    return "photos" if data.is_prepared("cifar10") else "textures"


# ---- what the checks ask of a report


def _report(answer: object) -> Report:
    if not isinstance(answer, Report):
        raise Remark(f"Your answer is {describe(answer)}; asked is what quantize_model returns.")
    return answer


def _is_of(report: Report, name: str) -> bool:
    return report.model.sha256 == examples.card(name)["sha256"]


def _judged(report: Report, *names: str, tried: tuple[str, ...] = PATHS) -> bool:
    """True; Remark unless it is of one of these models, with these paths, and files were judged."""
    if not any(_is_of(report, name) for name in names):
        raise Remark(f"The report is of {report.model.source}, another model.")
    _with_targets(report)
    if missing := sorted({*tried} - {row.path for row in report.rows}):
        raise Remark(f"The path {missing[0]} was not tried: leave `paths` away, or name it.")
    return True


def _with_targets(report: Report) -> None:
    """Remark unless there were samples with targets for every output, and enough of them."""
    if report.data is None:
        raise Remark("No samples were given: nothing could calibrate, and no file was judged.")
    bare = [task.output for task in report.tasks if not task.labelled]
    if bare:
        raise Remark(f"The output {bare[0]} has no targets: its accuracy is not known.")
    if report.data.test < _FEWEST:
        raise Remark(f"{report.data.test} samples test, too few to rule out a drop of 1 point.")


def _limit(report: Report) -> float:
    """The largest drop accepted: 1 point, or 1 % of a mean error, where nobody said."""
    limit = report.settings.get("max_drop")
    return 0.01 if limit is None else limit


_LACKS = {"open": "it is undecided, and only what passes will do", "tiny": "it fails"}
# Rows by name: bytes (None: no file), decision, integers only. The name of the right one.
_REPORTS = (
    (
        {
            "float32": (900, PASSES, False),
            "small": (200, PASSES, False),
            "b": (400, PASSES, True),
            "a": (300, PASSES, True),
            "tiny": (100, FAILS, True),
            "open": (250, UNDECIDED, True),
            "none": (None, "", True),
        },
        "a",
    ),
    ({"float32": (900, PASSES, False), "w": (300, PASSES, False), "x": (200, FAILS, True)}, None),
    ({"z": (80, PASSES, True), "y": (90, PASSES, True)}, "z"),
)


def _made(rows: dict[str, tuple]) -> Report:
    """A report of nothing but rows; those without a file come with a reason."""
    made = tuple(
        Row(name, "converter", "int8", bytes=size, decision=decision, integer_only=integers,
            failure=None if size else "refused")
        for name, (size, decision, integers) in rows.items()
    )  # fmt: skip
    blank = dict.fromkeys(("versions", "machine", "model", "data", "settings"))
    return Report(**blank, tasks=(), guards=(), rows=made, picks={})


def _listed(rows: dict[str, tuple]) -> str:
    return "The rows: " + "; ".join(
        f"{name} ({'no file' if size is None else f'{size} bytes'}{', ' * bool(word)}{word}"
        f"{', integers only' * integers})"
        for name, (size, word, integers) in rows.items()
    )


def _said(name: object) -> str:
    return name or "''" if isinstance(name, str) else describe(name)
