"""Which file is recommended: rules on rows, whatever model they come from."""

from dataclasses import replace

import numpy as np
import pytest

from lessons_lib.advise.recommendation import TARGETS, choose, next_step, why_not
from lessons_lib.advise.report import Finding, Micro, Row
from lessons_lib.errors import InputError
from lessons_lib.judge import verdict
from lessons_lib.judge.tasks import recognise

FLOATS = {"x": "float32"}


def row(path, size, time, **others):
    """A row as trials make it: ``size`` in bytes, ``time`` as a part of float32's."""
    known = {"name": path, "lane": "converter", "file": f"files/{path}.tflite", "bytes": size}
    known |= {"smaller": 1000 / size, "latency_ratio": time, "sqnr_db": {"y": 40.0}}
    known |= {"decision": "passes", "verdict": "no change seen"}
    known |= {"input_dtypes": FLOATS, "output_dtypes": FLOATS}
    return Row(**{"path": path, **known, **others})


FLOAT = row("float32", 1000, 1.0, sqnr_db={"y": None})
INT8 = {"integer_only": True, "input_dtypes": {"x": "int8"}, "output_dtypes": {"y": "int8"}}


def recommended(*rows, **options):
    return choose([FLOAT, *rows], **options)["recommended"].row


def test_the_smallest_that_is_about_as_fast_as_the_fastest():
    rows = [row("float16", 500, 0.95), row("dynamic_range", 250, 0.80), row("int8", 200, 0.84)]
    assert recommended(*rows) == "int8"
    slow = [row("float16", 500, 0.80), row("dynamic_range", 250, 1.9)]
    assert recommended(*slow) == "float16"
    picks = choose([FLOAT, *slow])
    assert picks["smallest"].row == "dynamic_range"
    assert picks["recommended"].runner_up == "dynamic_range"
    assert "1.90 of float32's time" in picks["recommended"].why_not


def test_what_you_prefer_decides():
    rows = [row("dynamic_range", 250, 0.5), row("int8", 200, 0.9, sqnr_db={"y": 30.0})]
    rows += [row("float16", 500, 0.9, sqnr_db={"y": 70.0})]
    assert recommended(*rows, prefer="speed") == "dynamic_range"
    assert recommended(*rows, prefer="fidelity") == "float16"
    assert choose([FLOAT, *rows])["most_faithful"].row == "float16"


def test_of_two_alike_the_one_without_calibration():
    assert recommended(row("int8", 250, 0.80), row("dynamic_range", 255, 0.82)) == "dynamic_range"
    assert recommended(row("int8", 250, 0.80), row("dynamic_range", 300, 0.82)) == "int8"


def test_what_fails_or_has_no_file_is_no_candidate():
    rows = [row("int8", 200, 0.5, decision="fails"), row("float16", 500, 0.9)]
    rows.append(Row("int16x8", "converter", "int16x8", failure="not supported"))
    assert recommended(*rows) == "float16"


def test_the_undecided_stand_behind_and_the_words_say_so():
    unsure = row("int8", 200, 0.5, decision="undecided")
    assert recommended(unsure, row("float16", 500, 0.9)) == "float16"
    pick = choose([FLOAT, unsure])["recommended"]
    assert pick.row == "int8" and "too few to prove it" in pick.why
    assert next_step([FLOAT, unsure], choose([FLOAT, unsure])) is None


def judged(name, count, lost, gained=0):
    """A row of a file that flipped some of ``count`` answers, judged as files are."""
    classes = np.arange(count) % 2
    before = np.eye(2, dtype=np.float32)[classes]
    before[:10] = before[:10, ::-1]
    after = before.copy()
    after[10 : 10 + lost] = after[10 : 10 + lost, ::-1]
    after[:gained] = after[:gained, ::-1]
    tasks = recognise(before, classes)
    found = verdict.judge(tasks, before, {name: after})[name]
    return row(name, 200 - lost, 0.5, decision=found.decision, verdict=found.verdict,
               findings=tuple(map(Finding.of, found.findings)))  # fmt: skip


def test_of_the_undecided_only_those_whose_drop_seems_small_stand_in():
    """So few samples prove nothing, but no file is recommended that lost 4 of 100."""
    likely, unlikely = judged("float16", 100, 1, 1), judged("int8", 100, 4)
    assert (likely.decision, unlikely.decision) == ("undecided", "undecided")
    assert recommended(likely, unlikely) == "float16"
    picks = choose([FLOAT, unlikely])
    assert picks["recommended"].row == "float32"
    assert "about 3,1" in picks["recommended"].why_not
    assert "more test samples" in next_step([FLOAT, unlikely], picks)


def test_a_float32_that_says_nothing_is_no_matter_of_more_samples():
    constant = np.ones((100, 3), np.float32)
    found = verdict.judge(recognise(constant), constant, {"int8": constant})["int8"]
    rows = [FLOAT, row("int8", 200, 0.5, decision=found.decision, verdict=found.verdict,
                       findings=tuple(map(Finding.of, found.findings)))]  # fmt: skip
    picks = choose(rows)
    assert picks["recommended"].row == "float32"
    assert "the same for all samples" in picks["recommended"].why_not
    assert "float32 itself" in next_step(rows, picks)


def test_a_reason_is_one_or_two_short_sentences():
    rows = [FLOAT, judged("float16", 100, 1, 1), row("int8", 200, 0.5, decision="fails")]
    for pick in [*choose(rows).values(), *choose(rows[::2]).values()]:
        assert len(pick.why.split()) <= 36 and "lost" not in pick.why


def test_float32_stays_where_nothing_is_gained_or_nothing_passes():
    gained = choose([FLOAT, row("float16", 950, 1.05)])["recommended"]
    assert (gained.row, gained.runner_up) == ("float32", "float16")
    assert "stay with float32" in gained.why
    rows = [FLOAT, row("int8", 200, 0.5, decision="fails", **INT8)]
    picks = choose(rows)
    assert picks["recommended"].row == "float32" and picks["recommended"].runner_up == "int8"
    assert "lesson 12" in next_step(rows, picks)
    assert choose(rows, target="microcontroller")["recommended"].row is None


@pytest.mark.parametrize(
    ("target", "taken"),
    [
        ("cpu", "dynamic_range"),
        ("gpu", "float16"),
        ("microcontroller", "int16x8"),
        ("ethos-u", "int16x8"),
        ("edgetpu", "uint8"),
        ("browser", "dynamic_range"),
    ],
)
def test_a_machine_refuses_what_it_cannot_run(target, taken):
    wide = INT8 | {"input_dtypes": {"x": "int16"}, "output_dtypes": {"y": "int16"}}
    bytes_ = INT8 | {"input_dtypes": {"x": "uint8"}, "output_dtypes": {"y": "uint8"}}
    rows = [row("dynamic_range", 100, 0.5), row("float16", 500, 0.9)]
    rows += [row("int16x8", 200, 9.0, **wide), row("uint8", 300, 0.6, **bytes_)]
    assert recommended(*rows, target=target) == taken


REFUSED = Micro(refusal="it has no operator WHILE. In its words: x")
NEAR, FAR = (
    Micro(arena=5_000, samples=8, differing=0.5, largest=9.0, sqnr_db=decibels)
    for decibels in (21.0, 19.0)
)


@pytest.mark.parametrize(("micro", "runs"), [(None, 1), (REFUSED, 0), (NEAR, 1), (FAR, 0)])
def test_a_microcontroller_takes_only_what_its_runtime_runs(micro, runs):
    """And answers as LiteRT does: its answers were judged."""
    rows = [row("int8", 200, 0.5, micro=micro, **INT8), row("uint8", 300, 0.5, **INT8)]
    for target in ("microcontroller", "ethos-u"):
        assert recommended(*rows, target=target) == ("int8" if runs else "uint8")
    assert recommended(*rows, target="edgetpu") == "int8"
    picks = choose([FLOAT, rows[0]], target="microcontroller")
    assert (picks["recommended"].row is None) == (not runs)
    if not runs:
        assert "TFLite-Micro" in picks["recommended"].why
        assert "words" not in picks["recommended"].why
        assert "choose another machine" in next_step([FLOAT, rows[0]], picks)


def test_noise_of_the_runtime_below_that_of_the_file_is_no_matter():
    rough = row("int8", 200, 0.5, micro=FAR, **INT8 | {"sqnr_db": {"y": 15.0}})
    assert recommended(rough, target="microcontroller") == "int8"


def test_the_arena_stands_in_the_reason():
    one = row("int8", 200, 0.5, micro=NEAR, **INT8)
    why = choose([FLOAT, one], target="microcontroller")["recommended"].why
    assert why.endswith("an arena of 5,000 bytes of RAM") and "float32's time" not in why


def test_times_of_this_cpu_decide_nothing_elsewhere():
    rows = [row("int8", 200, 9.0, **INT8), row("uint8", 210, 0.1, **INT8)]
    pick = choose([FLOAT, *rows], target="microcontroller")["recommended"]
    assert pick.row == "int8" and "fastest" not in pick.why


def test_a_limit_of_bytes_is_kept_and_named():
    small, large = row("int8", 200, 0.9), row("float16", 500, 0.5)
    assert recommended(small, large, max_bytes=300) == "int8"
    assert "500 bytes are more than 300" in why_not(large, TARGETS["cpu"], 300)
    none = choose([FLOAT, small, large], max_bytes=10)["recommended"]
    assert none.row is None and "more than 10" in none.why


@pytest.mark.parametrize(
    "wrong", [{"target": "toaster"}, {"prefer": "luck"}, {"max_bytes": 0}, {"target": ""}]
)
def test_an_unknown_word_is_refused(wrong):
    with pytest.raises(InputError):
        choose([FLOAT, row("int8", 200, 0.5)], **wrong)


def test_a_larger_file_is_called_larger():
    unrolled = replace(row("int8", 1250, 0.4), smaller=0.8)
    assert "1.25 times larger" in choose([FLOAT, unrolled])["recommended"].why
