"""report: kept as JSON and read again, explained, compared with an older one; of real runs."""

import copy
import json
import math
import os
import random
from dataclasses import fields, replace
from importlib import metadata

import numpy as np
import pytest

import reports
from lessons_lib import jobs, page, report
from lessons_lib.errors import InputError, ModelFileError, StorageError
from lessons_lib.judge.verdict import FAILS, PASSES, UNDECIDED

CASES = ("classifier", "two_outputs", "without_data", "nothing_passes")


@pytest.fixture(scope="module", params=CASES)
def any_report(request) -> report.Report:
    return getattr(reports, request.param)()


@pytest.fixture
def written(tmp_path) -> dict:
    """A real report as plain JSON, to be damaged."""
    return json.loads(report.write(reports.classifier(), tmp_path / "r.json").read_bytes())


def read(tmp_path, content) -> report.Report:
    file = tmp_path / "report.json"
    file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return report.read(file)


def changed(found: report.Report, name: str, **changes) -> report.Report:
    """A report with one row changed."""
    rows = tuple(replace(row, **changes) if row.name == name else row for row in found.rows)
    return replace(found, rows=rows)


def with_finding(found: report.Report, name: str, **changes) -> report.Report:
    """A report with the last finding of one row changed."""
    *rest, last = found.row(name).findings
    return changed(found, name, findings=(*rest, replace(last, **changes)))


# ---- kept and read again


def test_what_is_written_is_read_again(any_report, tmp_path):
    file = report.write(any_report, tmp_path / "report.json")
    again = report.read(file)
    assert report.write(again, tmp_path / "again.json").read_bytes() == file.read_bytes()
    assert report.read(tmp_path / "again.json") == again
    assert [row.bytes for row in again.rows] == [row.bytes for row in any_report.rows]
    assert again.headline == any_report.headline
    assert isinstance(again.rows[0], report.Row)


def test_the_file_is_strict_json(any_report, tmp_path):
    """NaN and Infinity, which Python would write, no other language reads."""

    def refuse(word):
        raise AssertionError(word)

    file = report.write(any_report, tmp_path / "report.json")
    content = json.loads(file.read_text("utf-8"), parse_constant=refuse)
    assert content["schema"] == report.SCHEMA
    base = any_report.row("float32")
    assert set(base.sqnr_db.values()) == {math.inf}
    assert set(content["rows"][0]["sqnr_db"].values()) == {None}


def test_numbers_of_numpy_are_written(tmp_path):
    found = changed(reports.classifier(), "int8", bytes=np.int64(3), smaller=np.float32("nan"))
    row = report.read(report.write(found, tmp_path / "r.json")).row("int8")
    assert (row.bytes, row.smaller) == (3, None)


def test_half_a_pair_of_utf_16_in_a_name_survives(tmp_path):
    found = changed(reports.classifier(), "int8", remarks=("a\ud800b", "Ünïcode ≠", 'q"\\'))
    again = report.read(report.write(found, tmp_path / "r.json"))
    assert again.row("int8").remarks == ("a\ud800b", "Ünïcode ≠", 'q"\\')


def test_what_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError):
        report.write(reports.classifier(), tmp_path / "file" / "report.json")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "not JSON"),
        (b"\x00\xff\xfe", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "has no schema"),
        (b"{}", "has no schema"),
        (b'"schema"', "has no schema"),
    ],
)
def test_what_is_no_report_is_refused(tmp_path, content, words):
    with pytest.raises(ModelFileError, match=words):
        read(tmp_path, content)


def test_half_a_report_is_refused(tmp_path):
    content = report.write(reports.classifier(), tmp_path / "r.json").read_bytes()
    for size in (10, len(content) // 2, len(content) - 3):
        with pytest.raises(ModelFileError, match="damaged"):
            read(tmp_path, content[:size])


def test_a_file_that_is_not_there(tmp_path):
    for path in (tmp_path / "no.json", tmp_path):
        with pytest.raises(ModelFileError, match="cannot read"):
            report.read(path)


def test_another_schema_is_refused_by_its_number(tmp_path, written):
    for number in (2, "1", 0):
        with pytest.raises(InputError, match=f"the schema {number!r}, and this version reads 1"):
            read(tmp_path, written | {"schema": number})


def records(value, kind, path=()):
    """Each JSON object that stands for a dataclass, with the way to it."""
    if kind and isinstance(value, dict) and {field.name for field in fields(kind)} == set(value):
        yield path, kind
        for field in fields(kind):
            yield from records(
                value[field.name], INSIDE.get((kind, field.name)), (*path, field.name)
            )
    elif kind and isinstance(value, list) and value:
        yield from records(value[-1], kind, (*path, len(value) - 1))
    elif kind and isinstance(value, dict):
        key = next(iter(value))
        yield from records(value[key], kind, (*path, key))


INSIDE = {
    (report.Report, "machine"): report.Machine,
    (report.Report, "model"): report.ModelFacts,
    (report.Report, "data"): report.DataFacts,
    (report.Report, "tasks"): report.TaskFacts,
    (report.Report, "rows"): report.Row,
    (report.Report, "picks"): report.Pick,
    (report.Report, "layers"): report.Layers,
    (report.Report, "tensor"): report.Tensor,
    (report.Report, "bytes"): report.Budget,
    (report.Report, "flipped"): report.Flipped,
    (report.ModelFacts, "inputs"): report.End,
    (report.Row, "findings"): report.Finding,
    (report.Layers, "errors"): report.LayerError,
    (report.Flipped, "samples"): report.Flip,
}


def test_every_missing_field_is_named(tmp_path, written):
    """None has a silent default: half a report would be compared as if it were a whole one."""
    seen = set()
    for path, kind in list(records(written, report.Report)):
        seen.add(kind)
        for field in fields(kind):
            if field.metadata:
                continue
            damaged = json.loads(json.dumps(written))
            place = damaged
            for step in path:
                place = place[step]
            del place[field.name]
            missing = "has no schema" if field.name == "schema" else f"{field.name} is missing"
            with pytest.raises(ModelFileError, match=missing):
                read(tmp_path, damaged)
    assert seen == {report.Report, *INSIDE.values()}


def test_a_report_from_before_a_field_was_added_is_read(tmp_path, written):
    for row in written["rows"]:
        assert row.pop("micro") is None
    assert written["layers"].pop("remark") == ""
    again = read(tmp_path, written)
    assert again.rows[1].micro is None and again.layers.remark == ""
    assert report.compare(again, reports.classifier()) == []


def at(content, place, value):
    """A plain report with one value changed."""
    *path, last = place
    inside = content
    for step in path:
        inside = inside[step]
    inside[last] = value
    return content


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (
            ("tasks",),
            [],
            r"rows\[0\]\.findings\[0\]\.output is 'output_0'; expected an output",
        ),
        (
            ("rows", 2, "findings", 0, "output"),
            "y",
            r"output is 'y'; expected an output of tasks",
        ),
        (("rows", 2, "findings", 0, "decision"), "maybe", "decision is 'maybe'; expected a decis"),
        (("rows", 2, "bytes"), None, r"rows\[2\]\.bytes is null; expected a size, or a failure"),
        (("rows", 2, "bytes"), 0, r"rows\[2\]\.bytes is 0; expected a size"),
        (("rows", 2, "bytes"), 10**30, "expected a number of 64 bits"),
        (("rows", 2, "smaller"), math.inf, "expected a finite number, or null"),
        (("rows", 2, "micro"), {"refusal": 3}, r"\.micro: arena is missing"),
        (("picks",), {}, "expected a pick called recommended"),
        (
            ("picks", "smallest", "row"),
            "int3",
            r"row is 'int3'; expected a row \(float32",
        ),
        (("tensor", "edges"), [], r"tensor\.edges is 0; expected 49 numbers"),
        (("tensor", "counts", 3), -1, r"tensor\.counts is -1"),
    ],
)
def test_what_does_not_fit_together_is_named(tmp_path, written, place, value, words):
    with pytest.raises(ModelFileError, match=words):
        read(tmp_path, at(written, place, value))


WORDS = (None, "", -1, 0, 1, 0.5, 1e308, -1e308, 5e-324, 2**62, True, [], {}, "fails", math.inf)


def leaves(value, path=()):
    """The way to each value of a plain report."""
    if not isinstance(value, dict | list):
        return
    for key, part in value.items() if isinstance(value, dict) else enumerate(value):
        yield (*path, key)
        yield from leaves(part, (*path, key))


def test_what_is_changed_by_hand_is_refused_or_shown(tmp_path, written):
    """Never an error of Python's: neither on reading it nor on the page."""
    draw, places, old, shown = random.Random(0), list(leaves(written)), reports.classifier(), 0
    for _ in range(250):
        content = at(copy.deepcopy(written), draw.choice(places), draw.choice(WORDS))
        try:
            found = read(tmp_path, content)
        except (ModelFileError, InputError):
            continue
        shown += 1
        page.html(found), found.headline, report.compare(old, found), report.compare(found, old)
        assert all(row.explain() for row in found.rows)
    assert shown > 20


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("rows",), {}, r"\.rows is \{\}; expected a list"),
        (("rows", 0), None, r"\.rows\[0\] is null; expected names with values"),
        (("rows", 2, "bytes"), "many", r"\.rows\[2\]\.bytes is 'many'; expected int"),
        (("rows", 2, "bytes"), True, r"\.bytes is True; expected int"),
        (("rows", 2, "integer_only"), 1, r"\.integer_only is 1; expected bool"),
        (("rows", 1, "findings", 0, "value"), "0.9", r"findings\[0\]\.value is '0\.9'"),
        (("model", "source"), None, r"\.model\.source is null; expected str"),
        (("picks", "smallest", "why"), [], r"\.picks\.smallest\.why is \[\]"),
    ],
)
def test_a_field_of_another_kind_is_named(tmp_path, written, place, value, words):
    with pytest.raises(ModelFileError, match=words):
        read(tmp_path, at(written, place, value))


def test_a_whole_number_may_stand_for_a_real_one(tmp_path, written):
    written["rows"][1]["smaller"] = 2
    assert read(tmp_path, written).rows[1].smaller == 2.0


# ---- asked


def test_the_recommended_row_and_any_other():
    found = reports.classifier()
    assert found.recommended is found.row(found.picks["recommended"].row)
    assert found.passes and not reports.nothing_passes().passes
    with pytest.raises(InputError, match=r"no row 'int4'; it has float32, dynamic_range"):
        found.row("int4")
    nothing = report.Pick(None, "no file that was made runs on a microcontroller")
    none = replace(found, picks={"recommended": nothing})
    assert none.recommended is None
    assert none.headline.startswith("No file can be recommended: no file that was made runs")


def test_what_passes_on_another_machine_does_not_count():
    found = reports.classifier()
    nothing = dict.fromkeys(report.PICKS, report.Pick(None, "no file is one for an Edge TPU"))
    assert any(row.decision == PASSES for row in found.rows[1:])
    assert not replace(found, picks=nothing).passes


MICRO = report.Micro(arena=10_816, samples=8, differing=0.275, largest=3.0, sqnr_db=50.0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "an arena of 10,816 bytes of RAM, and gives LiteRT's answers to 8 samples but for "
         "27.5 % of the numbers, by 3 at most"),
        ({"differing": 0.0, "sqnr_db": None}, "answers to 8 samples, to the last bit"),
        ({"largest": 1.2e-7, "sqnr_db": 140.0}, "answers to 8 samples, but for 1.2e-07 at most"),
        ({"largest": None}, "with an arena of 10,816 bytes of RAM"),
        ({"refusal": "it has no operator WHILE"}, "does not run it: it has no operator WHILE"),
    ],
)  # fmt: skip
def test_what_tflite_micro_did_in_words(changes, words, tmp_path):
    micro = replace(MICRO, **changes)
    assert micro.words.endswith(words)
    found = changed(reports.classifier(), "int8", micro=micro)
    assert words in found.row("int8").explain()
    assert report.read(report.write(found, tmp_path / "r.json")).row("int8").micro == micro
    text = " ".join(page.html(found).split()).replace("&#39;", "'")
    assert words in text and (" of RAM</span>" in text) and "<dt>Arena</dt>" in text


def test_the_headline_is_the_decision():
    found = reports.classifier()
    row = found.recommended
    assert row.path != "float32"
    assert found.headline.startswith(
        f"Take {row.name}: {row.bytes:,} bytes, {row.smaller:.1f} times"
    )
    assert row.verdict in found.headline
    unsure = changed(found, row.name, decision=UNDECIDED)
    assert unsure.headline.startswith(f"Try {row.name}: ")
    assert reports.nothing_passes().headline.startswith("Stay with float32: no quantized file")


def test_the_frame_has_a_line_for_each_row(any_report):
    table = any_report.frame()
    assert list(table.index) == [row.name for row in any_report.rows]
    for row in any_report.rows:
        line = table.loc[row.name]
        if row.failure is not None:
            assert line["failure"] == row.failure and np.isnan(line["bytes"])
            continue
        assert (line["bytes"], line["decision"], line["verdict"]) == (
            row.bytes,
            row.decision,
            row.verdict,
        )
        if row.sqnr_db and row.path != "float32":
            assert line["sqnr_db"] == min(row.sqnr_db.values())


def test_of_several_outputs_the_worst_is_the_verdicts():
    found = reports.two_outputs()
    for row in found.rows[1:]:
        assert len(row.findings) == 2
        assert row.verdict == f"{row.worst.output}: {row.worst.verdict}"
        assert row.worst.decision == row.decision


def test_a_row_explains_itself():
    found = reports.classifier()
    words = found.row("int8").explain()
    row, (finding,) = found.row("int8"), found.row("int8").findings
    for part in (
        "int8: the path int8, by TFLiteConverter, calibrated by the extremes of its samples.",
        f"{row.bytes:,} bytes, {row.smaller:.2f} times smaller than float32",
        "integers only",
        f"accuracy {finding.value:.4g} (95 %: {finding.low:.4g} to {finding.high:.4g})",
        f"float32's {finding.float32:.4g}",
        f"It passes: {row.verdict}.",
    ):
        assert part in words
    assert "smaller than float32" not in found.row("float32").explain()


def test_a_failure_and_a_repair_explain_themselves():
    failed = reports.without_data().row("int8")
    words = failed.explain()
    assert words.endswith(f"There is no file: {failed.failure.rstrip('.')}.")
    repair = report.Repair("int8 dies", "an LSTM's loop", "unrolled it")
    words = replace(failed, repair=repair).explain()
    assert (
        "It mends this: int8 dies. The cause: an LSTM's loop. What was done: unrolled it." in words
    )


def test_in_a_notebook_it_is_a_table_and_escaped():
    found = changed(reports.classifier(), "int8", verdict="<script>alert(1)</script>")
    shown = found._repr_html_()
    assert "<table" in shown and "dynamic_range" in shown
    assert "<script" not in shown and "&lt;script&gt;" in shown


# ---- compared


def test_nothing_is_worse_than_itself(any_report, tmp_path):
    assert report.compare(any_report, any_report) == []
    again = report.read(report.write(any_report, tmp_path / "r.json"))
    assert report.compare(again, any_report) == report.compare(any_report, again) == []


def test_a_path_that_passed_and_does_not_now_is_worse():
    old = reports.classifier()
    assert old.row("int16x8").decision == PASSES
    for changes, words in (
        ({"decision": FAILS, "verdict": "real drop"}, "int16x8 passed before, and fails now: real"),
        ({"decision": UNDECIDED, "verdict": "too few"}, "and is undecided now: too few"),
        ({"failure": "no kernel"}, "int16x8 passed before, and cannot be made now: no kernel"),
    ):
        new = changed(old, "int16x8", **changes)
        (said,) = report.compare(old, new)
        assert words in said
        assert report.compare(new, old) == []
    new = replace(old, rows=tuple(row for row in old.rows if row.name != "int16x8"))
    assert report.compare(old, new) == ["int16x8 passed before, and was not tried now"]


def test_a_larger_recommended_file_is_worse():
    old = reports.classifier()
    name, size = old.recommended.name, old.recommended.bytes
    assert report.compare(old, changed(old, name, bytes=int(1.04 * size))) == []
    (said,) = report.compare(old, changed(old, name, bytes=int(1.2 * size)))
    assert f"and had {size:,} ({name}): 20% more" in said
    assert report.compare(changed(old, name, bytes=2 * size), old) == []


def test_a_slower_recommended_file_is_worse_on_the_same_machine():
    old = reports.classifier()
    name, time = old.recommended.name, old.recommended.latency_ratio
    assert report.compare(old, changed(old, name, latency_ratio=1.9 * time)) == []
    new = changed(old, name, latency_ratio=2.1 * time)
    (said,) = report.compare(old, new)
    assert said == f"{name} takes {2.1 * time:.2f} of float32's time, and took {time:.2f}"
    elsewhere = replace(old.machine, processor="another")
    assert report.compare(old, replace(new, machine=elsewhere)) == []


def test_no_recommended_file_where_there_was_one_is_worse():
    old = reports.classifier()
    new = replace(old, picks={**old.picks, "recommended": report.Pick(None, "nothing fits")})
    (said,) = report.compare(old, new)
    assert said.endswith("was recommended before, and no file is now: nothing fits")
    assert report.compare(new, old) == []


def test_a_measure_is_worse_where_the_intervals_lie_apart():
    old = reports.classifier()
    (finding,) = old.row("uint8").findings
    width = finding.high - finding.low
    apart = {key: getattr(finding, key) - 1.01 * width for key in ("value", "low", "high")}
    (said,) = report.compare(old, with_finding(old, "uint8", **apart))
    assert said.startswith(f"uint8: accuracy of {finding.output} is {apart['value']:.4g} (95 %: ")
    touching = {key: getattr(finding, key) - 0.99 * width for key in ("value", "low", "high")}
    assert report.compare(old, with_finding(old, "uint8", **touching)) == []
    better = with_finding(old, "uint8", **apart)
    assert report.compare(better, old) == []
    assert report.compare(old, with_finding(old, "uint8", **apart, measure="another")) == []


def test_of_an_error_more_is_worse():
    old = reports.two_outputs()
    finding = old.row("int8").findings[-1]
    assert finding.measure == "MAE"
    width = finding.high - finding.low
    more = {key: getattr(finding, key) + 1.01 * width for key in ("value", "low", "high")}
    (said,) = report.compare(old, with_finding(old, "int8", **more))
    assert said.startswith("int8: MAE of price is")
    assert report.compare(with_finding(old, "int8", **more), old) == []


# ---- where and with what


def test_versions_are_the_installed_ones():
    found = report.versions()
    assert found["numpy"] == np.__version__
    assert found["quantization-lessons"] == metadata.version("quantization-lessons")
    assert list(found)[-1] == "python"
    # A result of another version is not taken for this one's, whichever package it is.
    assert found == jobs.versions() | {"python": found["python"]}
    assert {"keras", "tensorflow", "litert-quantizer"} <= set(jobs.versions())


def test_a_package_that_is_not_there_is_left_out(monkeypatch):
    monkeypatch.setattr(jobs, "PACKAGES", ("numpy", "no-such-package"))
    assert list(report.versions()) == ["numpy", "python"]


def test_this_machine():
    found = report.machine()
    assert 1 <= found.cores <= os.cpu_count()
    assert found.system.split()[0] == os.uname().sysname


def test_processors_as_linux_describes_them(tmp_path):
    file = tmp_path / "cpuinfo"
    file.write_text(
        "processor\t: 0\nmodel name\t: A Chip (R) 3 GHz\nflags\t\t: fpu avx2 avx512_vnni\n\n"
        "processor\t: 1\nmodel name\t: Another\nflags\t\t: fpu\n"
    )
    assert report._cpuinfo(file) == ("A Chip (R) 3 GHz", {"fpu", "avx2", "avx512_vnni"})
    file.write_bytes(b"processor\t: 0\nFeatures\t: fp asimd asimddp i8mm\nCPU part\t: \xff0xd0c\n")
    assert report._cpuinfo(file) == ("", {"fp", "asimd", "asimddp", "i8mm"})
    assert report._cpuinfo(tmp_path / "none") == ("", set())
