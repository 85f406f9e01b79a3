"""outputs: what an earlier run left goes, what is somebody else's stays, the report is last."""

import re
from dataclasses import replace

import numpy as np
import pytest

import any_models
import reports
from lessons_lib import bundle, files, outputs, page, report, sandbox
from lessons_lib.advise.guards import WARNING
from lessons_lib.advise.report import Pick
from lessons_lib.advise.trials import Trial, Tried
from lessons_lib.convert.every_path import Step
from lessons_lib.convert.outcome import Outcome
from lessons_lib.errors import InputError
from lessons_lib.quantize import quantize_model

LEFT = ("report.json", "report.html", "recommended.tflite", *bundle.NAMES)


def picked(name):
    """A real report that recommends this row."""
    found = reports.classifier()
    return replace(found, picks=found.picks | {"recommended": Pick(name, "why")})


def with_files(folder):
    for name in LEFT:
        files.write_atomic(folder / name, "of an earlier run")
    return folder


def test_nothing_of_an_earlier_run_stays_beside_a_report(tmp_path):
    out = with_files(tmp_path)
    outputs.write(picked(None), out, [], None)
    assert sorted(file.name for file in out.iterdir()) == ["report.html", "report.json"]
    assert report.read(out / "report.json").recommended is None


def test_a_run_that_is_cut_leaves_no_older_report(tmp_path, monkeypatch):
    def cut(found):
        raise KeyboardInterrupt

    monkeypatch.setattr(page, "html", cut)
    with pytest.raises(KeyboardInterrupt):
        outputs.write(picked(None), with_files(tmp_path), [], None)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import sys; sys.exit('failed: y is 1')", "does not give what was measured: failed: y"),
        ("import time; time.sleep(60)", "took more than 2 s .* set LESSONS_TIMEOUT"),
    ],
)
def test_a_test_that_fails_or_hangs_costs_no_report(code, words, tmp_path, monkeypatch):
    """What runs the file is written by hand here: a real one of ours does neither."""
    found = picked("int8")
    row = found.recommended
    files.write_atomic(tmp_path / row.file, b"a file")
    one = Tried(Trial(row.name, tmp_path, Step("int8")), Outcome("int8", tmp_path / row.file))
    monkeypatch.setattr(
        bundle, "write", lambda found, folder, *_: files.write_atomic(folder / "run.py", code)
    )
    monkeypatch.setattr(sandbox, "patience", lambda seconds: 2.0)
    outputs.write(found, tmp_path, [one], None)
    guard = report.read(tmp_path / "report.json").guards[-1]
    assert guard.level == WARNING
    assert re.search(words, guard.text)


# ---- whose folder it is


def test_a_source_gets_no_folder_inside_not_even_by_another_name(tmp_path):
    model = files.write_atomic(tmp_path / "small.tflite", any_models.converted("binary"))
    images = tmp_path / "images"
    images.mkdir()
    (tmp_path / "link").symlink_to(images)
    for out in (images / "out", tmp_path / "link/out", tmp_path / "other/../images/out"):
        with pytest.raises(InputError, match="lies inside"):
            quantize_model(model, images, out=out)
    assert not list(images.iterdir())
    with pytest.raises(InputError, match="lies inside"):
        outputs.reserved(images / "out", tmp_path / "link").__enter__()


def test_a_report_says_that_a_run_wrote_the_folder(tmp_path):
    """The work folder may be deleted, to save room."""
    np.savez(tmp_path / "self_test.npz", x=1)
    with pytest.raises(InputError, match=r"that no run wrote: self_test\.npz"):
        outputs.reserved(tmp_path).__enter__()
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(InputError, match="that no run wrote"):
        outputs.reserved(tmp_path).__enter__()
    report.write(picked(None), tmp_path / "report.json")
    with outputs.reserved(tmp_path):
        pass


def test_namesakes_do_not_share_a_default_folder(tmp_path):
    one, two = tmp_path / "a" / "model.keras", tmp_path / "b" / "model.keras"
    folder = outputs.default_folder(tmp_path, one)
    assert folder == tmp_path / "model" == outputs.default_folder(tmp_path, two)
    with outputs.reserved(folder, one):
        pass
    assert outputs.default_folder(tmp_path, str(one)) == folder
    with pytest.raises(InputError, match=r"results of .*a.model\.keras, not of .*--out DIR"):
        outputs.default_folder(tmp_path, two)
