"""The checks of lesson 15 accept right reports, refuse wrong ones, and wait for the rest."""

from dataclasses import replace

import pytest

from lessons_lib import checks, examples
from lessons_lib.advise.report import (
    DataFacts,
    End,
    Machine,
    ModelFacts,
    Pick,
    Report,
    Row,
    TaskFacts,
)
from lessons_lib.course.checks import lesson15
from lessons_lib.course.checks.lesson15 import FIVE, PATHS, settle
from lessons_lib.judge.verdict import FAILS, PASSES, UNDECIDED
from lessons_lib.quantize import quantize_model
from verdicts import Answers, class_of_tests

CLASS = (TaskFacts("output_0", "classification", "accuracy", True),)
BOTH = (
    TaskFacts("kind", "classification", "accuracy", True),
    TaskFacts("diameter", "regression", "MAE", False, lower_is_better=True),
)
GIVEN = DataFacts("the dict", "0" * 64, 300, 1200, True)


def made(name, paths=PATHS, tasks=CLASS, data=GIVEN, picked="int8", decision=PASSES, **settings):
    """A report of one of the course's models; every path has a file that ends so."""
    rows = [
        Row(path, "converter", path, file=f"files/{path}.tflite", bytes=9000 - len(path),
            integer_only=path in ("int8", "int16x8"), decision=decision, verdict="in words")
        for path in ("float32", *paths)
    ]  # fmt: skip
    known = examples.card(name)["sha256"] if name in examples.NAMES else "f" * 64
    return Report(
        versions={},
        machine=Machine("Linux", "", 2),
        model=ModelFacts(f"{name}.keras", known, "serve", (End("x", (1,), "float32"),), ()),
        data=data,
        tasks=tasks,
        guards=(),
        settings={"target": "cpu", "max_drop": None, "tune": True} | settings,
        rows=tuple(rows),
        picks={"recommended": Pick(picked, "the smallest")},
        next_step="bring more samples",
    )


def fruit(**settings):
    return made("fruit", FIVE, BOTH, **settings)


CHIP = {"target": "microcontroller", "max_drop": 0.02, "picked": "int16x8"}
FEW = replace(GIVEN, test=200)
BARE = (replace(CLASS[0], labelled=False),)
HALF = (BOTH[0], replace(BOTH[1], labelled=False))
PUMP = made("pump", target="microcontroller")
DECIDED = fruit(**CHIP)
LOST = replace(DECIDED, rows=tuple(replace(row, decision=FAILS) for row in DECIDED.rows))


def smallest_for_chip(report):
    good = [row for row in report.rows if row.decision == "passes" and row.integer_only]
    smallest = min(good, key=lambda row: row.bytes, default=None)
    return smallest and smallest.name


def by_sorting(report):
    order = sorted((row.bytes or 10**9, row.name) for row in report.rows)
    for _, name in order:
        if report.row(name).decision == PASSES and report.row(name).integer_only:
            return name
    return None


def the_row(report):
    name = smallest_for_chip(report)
    return report.row(name) if name else None


def smallest_of_all(report):
    return min((row for row in report.rows if row.bytes), key=lambda row: row.bytes).name


def floats_too(report):
    good = [row for row in report.rows if row.decision == PASSES]
    return min(good, key=lambda row: row.bytes).name


def not_failing(report):
    good = [r for r in report.rows if r.decision in (PASSES, UNDECIDED) and r.integer_only]
    return min(good, key=lambda row: row.bytes, default=good[0] if good else None).name


def first_that_passes(report):
    return next((r.name for r in report.rows if r.decision == PASSES and r.integer_only), None)


ANSWERS = {
    checks.check_pictures: Answers(
        right={
            "the textures": made("textures"),
            "the photographs": made("photos"),
            "all paths": made("textures", (*FIVE, "uint8", "int8x4")),
            "another limit": made("textures", max_drop=0.02),
        },
        wrong={
            "the headline": ("Take int8: ...", "asked is what quantize_model returns"),
            "another model": (made("pump"), "of pump.keras, another model"),
            "no samples": (made("textures", data=None), "No samples were given"),
            "no classes": (made("textures", tasks=BARE), "output_0 has no targets"),
            "too few": (made("textures", data=FEW), "200 samples test, too few"),
            "no int8": (made("textures", PATHS[:3]), "path int8 was not tried"),
            "two": ((made("textures"),) * 2, "a tuple of 2"),
        },
    ),
    checks.check_pump: Answers(
        right={
            "the course's paths": PUMP,
            "all paths": made("pump", (*FIVE, "uint8"), target="microcontroller"),
            "a limit": made("pump", target="microcontroller", max_drop=0.005),
        },
        wrong={
            "a usual computer": (made("pump"), "made for 'cpu'"),
            "another chip": (made("pump", target="edgetpu"), "made for 'edgetpu'"),
            "not mended": (replace(PUMP, settings=PUMP.settings | {"tune": False}), "`tune`"),
            "floats": (made("pump", target="microcontroller", picked="float16"), "the chip takes"),
            "nothing": (made("pump", target="microcontroller", picked=None), "the chip takes"),
            "the pictures": (made("textures", target="microcontroller"), "another model"),
            "no floats around": (
                made("pump", ("float16", "int8"), target="microcontroller"),
                "dynamic_range was not tried",
            ),
        },
    ),
    checks.check_fruit: Answers(
        right={
            "the limit": fruit(max_drop=0.06),
            "all paths": made("fruit", (*FIVE, "uint8"), BOTH, max_drop=0.06),
            "for a chip": fruit(max_drop=0.06, target="microcontroller"),
        },
        wrong={
            "no limit": (fruit(), "The limit is 0.01"),
            "in per cent": (fruit(max_drop=6), "The limit is 6;"),
            "one output": (made("fruit", FIVE, HALF, max_drop=0.06), "diameter has no targets"),
            "no 16 bits": (made("fruit", PATHS, BOTH, max_drop=0.06), "int16x8 was not tried"),
            "the pump": (made("pump", max_drop=0.06), "another model"),
        },
    ),
    checks.check_decision: Answers(
        right={
            "a pair": (DECIDED, "int16x8"),
            "a list": [DECIDED, "int16x8"],
            "all paths": (made("fruit", (*FIVE, "uint8"), BOTH, **CHIP), "int16x8"),
        },
        wrong={
            "the name alone": ("int16x8", "asked is a pair"),
            "the other way": (("int16x8", DECIDED), "asked is what quantize_model returns"),
            "the old limit": (
                (fruit(**CHIP | {"max_drop": 0.06}), "int16x8"),
                "`max_drop` is 0.06",
            ),
            "the old machine": ((fruit(**CHIP | {"target": "cpu"}), "int16x8"), "is 'cpu', not"),
            "the row": ((DECIDED, DECIDED.row("int16x8")), "asked as a name"),
            "a number": ((DECIDED, 3), "asked is a row's name"),
            "nowhere": ((DECIDED, "int4"), "'int4' is no row"),
            "it fails": ((LOST, "int8"), "int8 does not pass: in words"),
            "floats": ((DECIDED, "float16"), "float16 has floats inside"),
            "not the pick": ((DECIDED, "int8"), "the report recommends the smallest"),
        },
    ),
    checks.check_smallest_for_chip: Answers(
        right={"by min": smallest_for_chip, "by sorting": by_sorting, "the row": the_row},
        wrong={
            "the smallest": (smallest_of_all, "It chooses tiny, not a: it fails"),
            "floats too": (floats_too, "It chooses small, not a. The rows"),
            "undecided": (not_failing, "It chooses open, not a: it is undecided"),
            "the first": (first_that_passes, "It chooses b, not a"),
            "never": (lambda report: report and None, "It chooses nothing; a will do"),
            "always": (lambda report: "a", "none will do: return None"),
            "the bytes": (lambda report: 300, "It chooses 300"),
            "an empty text": (lambda report: "", "It chooses ''"),
            "a name": ("a", "asked is a function"),
            "it breaks": (lambda report: report.smallest, "raised AttributeError"),
        },
    ),
    checks.check_own: Answers(
        right={
            "a model": made("mine"),
            "for a chip": made("mine", target="microcontroller", max_drop=0.1),
            "one path": made("mine", ("int8",)),
            "float32 stays": made("mine", picked="float32"),
        },
        wrong={
            "the course's": (made("fruit"), "the course's model 'fruit'"),
            "no samples": (made("mine", data=None), "No samples were given"),
            "no targets": (made("mine", tasks=BARE), "has no targets"),
            "too few": (made("mine", data=FEW), "too few"),
            "nothing": (made("mine", picked=None), "Next: bring more samples"),
            "undecided": (made("mine", decision=UNDECIDED), "int8 is undecided: in words"),
            "a path": ("report.json", "asked is what quantize_model returns"),
        },
    ),
}

TestAnswers = class_of_tests(ANSWERS)


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("artifacts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LESSONS_ARTIFACTS", str(folder))
        yield folder


@pytest.fixture(scope="module")
def pump(artifacts):
    return settle(..., "pump", quantize_model)


def test_what_settle_makes_is_a_right_answer_and_int8_is_mended_in_it(pump, artifacts):
    assert checks.check_pump(pump), checks.check_pump(pump)
    assert pump.row("int8").decision != PASSES
    mended = pump.row("int8_normalized_outside")
    assert (mended.decision, mended.integer_only, mended.file is not None) == (PASSES, True, True)
    assert (artifacts / "lesson15" / "pump" / "run.py").is_file()


def test_settle_keeps_a_right_report_and_says_whose_it_is(pump, capsys):
    assert settle(pump, "pump", pytest.fail) is pump
    assert capsys.readouterr().out == "your report: "


def test_settle_replaces_a_wrong_one(capsys):
    asked = {}

    def run(model, samples, **settings):
        asked.update(settings, model=model, samples=samples)
        return "the course's"

    assert settle(made("fruit"), "fruit", run) == "the course's"
    assert capsys.readouterr().out == "your answer is not right yet; the course's: "
    assert (asked["model"], asked["max_drop"]) == (examples.model("fruit"), 0.06)
    assert {*asked["samples"]} == {"picture", "sensors", "kind", "diameter"}
    assert asked["paths"] == FIVE


@pytest.mark.parametrize(("prepared", "name"), [(True, "photos"), (False, "textures")])
def test_photographs_are_taken_where_they_are_prepared(prepared, name, monkeypatch):
    monkeypatch.setattr(lesson15.data, "is_prepared", lambda given: prepared)
    assert lesson15.picture_model() == name
