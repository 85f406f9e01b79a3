"""``lessons quantize``: any model and the owner's data, to a decision, a file and what runs it."""

import json
import runpy
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import any_models
from lessons_lib import files, page, report, sources, tables, training
from lessons_lib.advise.guards import Stopped
from lessons_lib.errors import InputError
from lessons_lib.quantize import quantize_model
from reference import converted, digits
from test_cli import lessons

FEW = ["dynamic_range", "int8"]


def samples(count=200):
    """Digits that calibrate, and others that test, each with their labels."""
    found = digits()
    test = found.test.images[:count], found.test.labels[:count]
    return {"calibration": found.calibration.images[:50], "test": test}


@pytest.fixture(scope="module")
def float_file(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    return files.write_atomic(folder / "digits.tflite", converted()["float32"])


@pytest.fixture(scope="module")
def done(float_file, tmp_path_factory):
    """A run on the digits: its report and its folder."""
    out = tmp_path_factory.mktemp("run") / "out"
    return quantize_model(float_file, **samples(), paths=FEW, out=out, max_drop=0.05), out


def test_each_file_has_a_row_with_its_verdict(done):
    found, out = done
    assert [row.name for row in found.rows] == [
        "float32", "dynamic_range_litert", "int8_litert", "int8_litert_average"
    ]  # fmt: skip
    for row in found.rows:
        assert row.failure is None and row.decision == "passes"
        assert row.sha256 == files.sha256(out / row.file)
        assert row.bytes == (out / row.file).stat().st_size
        assert row.latency_us > 0 and row.findings[0].measure == "accuracy"
    assert found.row("int8_litert").integer_only
    assert found.row("int8_litert").smaller == found.rows[0].bytes / found.row("int8_litert").bytes


def test_what_is_written_is_what_was_found(done, tmp_path):
    found, out = done
    for one in (found, report.read(out / "report.json")):
        written = report.write(one, tmp_path / "again.json").read_bytes()
        assert written == (out / "report.json").read_bytes()
    assert (out / "report.html").read_text("utf-8") == page.html(found)
    assert (out / "recommended.tflite").read_bytes() == (out / found.recommended.file).read_bytes()
    named = json.loads((out / "layers.json").read_text())["results"]
    outputs = {name for names in tables.operators(out / "recommended.tflite")["outputs"]
               for name in names}  # fmt: skip
    assert named and set(named) <= outputs


_ALONE = """
import sys
sys.argv = ["run.py"]
import runpy
runpy.run_path(sys.path.pop(), run_name="__main__")
strange = {"lessons_lib", "tensorflow", "keras", "litert_quantizer", "pandas"} & set(sys.modules)
assert not strange, strange
"""


def test_what_runs_it_needs_numpy_and_litert_alone(done, tmp_path):
    _, out = done
    start = f"import sys; sys.path.append({str(out / 'run.py')!r})\n" + _ALONE
    run = subprocess.run(
        [sys.executable, "-P", "-c", start], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert "passed: 2 samples" in run.stdout


def test_what_runs_it_notices_another_file(done, tmp_path):
    _, out = done
    for name in ("run.py", "self_test.npz"):
        (tmp_path / name).write_bytes((out / name).read_bytes())
    (tmp_path / "recommended.tflite").write_bytes(converted("ds_cnn")["int8"])
    run = subprocess.run([sys.executable, tmp_path / "run.py"], capture_output=True, text=True)
    assert run.returncode != 0


def test_what_runs_it_does_not_take_nan_for_an_answer(done):
    _, out = done
    ours = runpy.run_path(str(out / "run.py"))
    ours["self_test"]()
    answers = ours["predict"](np.load(out / "self_test.npz")["input:image"])
    wrong = {name: np.full_like(array, np.nan, np.float32) for name, array in answers.items()}
    ours["self_test"].__globals__["predict"] = lambda inputs: wrong
    with pytest.raises(SystemExit, match=r"failed: .* is \[nan"):
        ours["self_test"]()


def test_a_second_run_makes_nothing_anew(done, float_file):
    found, out = done
    before = {file: file.stat().st_mtime_ns for file in (out / "files").iterdir()}
    again = quantize_model(float_file, **samples(), paths=FEW, out=out, max_drop=0.05)
    assert {file: file.stat().st_mtime_ns for file in (out / "files").iterdir()} == before
    # But for the times: those of another hour, or another machine, are not this run's.
    times = [[row.latency_us for row in one.rows] for one in (found, again)]
    assert times[0] != times[1] and min(times[1]) > 0
    bare = [[replace(row, latency_us=None, latency_ratio=None) for row in one.rows]
            for one in (found, again)]  # fmt: skip
    assert bare[0] == bare[1]


def test_a_normalization_inside_stays_in_float_or_goes_outside(tmp_path):
    """Its scale serves features of 1 and of 10,000: no int8 of the whole model is of use."""
    model = any_models.uneven()
    mean, variance = (np.asarray(p)[0] for p in (model.layers[0].mean, model.layers[0].variance))
    spread = np.random.default_rng(0).uniform(-1.5, 1.5, (300, 8))
    x = (mean + np.sqrt(variance) * spread).astype(np.float32)
    file = any_models.keras_file(model, tmp_path / "uneven.keras")
    wanted = ["int8_float_fallback", "int8", "int16x8"]
    arguments = {"target": "microcontroller", "prefer": "fidelity", "out": tmp_path / "out"}
    found = quantize_model(file, x, paths=wanted, **arguments)
    plain = found.row("int8_litert")
    assert plain.failure or plain.decision == "fails"
    mended = found.row("int8_normalized_outside")
    assert mended.integer_only and mended.lowest_db > 10 > (plain.lowest_db or 0)
    assert "run.py does it in front" in mended.repair.done
    mixed = found.rows[-1]
    assert mixed.name.startswith("int8_float_fallback_litert_mixed") and mixed.lowest_db > 10
    assert found.recommended.name == "int16x8_normalized_outside"
    done = subprocess.run([sys.executable, tmp_path / "out/run.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_plain_converters_code_makes_the_same_file(tmp_path):
    """Of a model that is integer-only by the converter alone, calibrated and of a fixed batch."""
    found = quantize_model(
        any_models.save(any_models.four_at_once(), tmp_path / "model"),
        np.random.default_rng(0).random((60, *_shape_of(tmp_path / "model")), np.float32),
        paths=["uint8"],
        out=tmp_path / "out",
        prefer="fidelity",
    )
    assert found.recommended.name == "uint8"
    done = subprocess.run(
        [sys.executable, tmp_path / "out" / "reproduce.py"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    made = [tmp_path / "out" / f"{name}.tflite" for name in ("reproduced", "recommended")]
    assert made[0].read_bytes() == made[1].read_bytes()
    assert "reproduced.tflite has the bytes of recommended.tflite" in done.stdout


def test_the_code_says_whether_it_made_the_same_file(done, tmp_path):
    """LiteRT's quantizer lets SHAPE read floats, and the course lets it read integers."""
    folder = shutil.copytree(done[1], tmp_path / "copy")
    for expected in ("other bytes than", "the bytes of"):
        run = subprocess.run(
            [sys.executable, folder / "reproduce.py"], capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr
        assert f"reproduced.tflite has {expected} recommended.tflite" in run.stdout
        shutil.copy(folder / "reproduced.tflite", folder / "recommended.tflite")


def _shape_of(folder):
    return sources.signature(folder).only_input.shape[1:]


def test_classes_in_another_order_are_no_fault_of_quantization(float_file, tmp_path):
    given = samples()
    images, labels = given["test"]
    wrong = {"calibration": given["calibration"], "test": (images, (labels + 1) % 10)}
    with pytest.raises(Stopped, match="an answer that ignores the input"):
        quantize_model(float_file, **wrong, paths=FEW, out=tmp_path / "out")
    assert not (tmp_path / "out" / "report.json").exists()


def test_without_data_nothing_is_calibrated_and_nothing_is_said_of_the_task(float_file, tmp_path):
    found = quantize_model(float_file, paths=[*FEW, "float16"], out=tmp_path / "out")
    names = [row.name for row in found.rows]
    assert names == ["float32", "dynamic_range_litert", "float16_litert"]
    assert found.data is None and not any(task.labelled for task in found.tasks)
    assert any("says nothing about your task" in guard.text for guard in found.guards)


# ---- the command


def test_the_command_recommends_and_says_so(float_file, tmp_path):
    given = samples()
    np.savez(tmp_path / "digits.npz", x=given["test"][0], y=given["test"][1])
    arguments = ["quantize", float_file, "--data", tmp_path / "digits.npz", "--paths", "int8"]
    arguments += ["--max-drop", "5%", "--out", tmp_path / "out"]
    code, out, err = lessons(*arguments, "--json", tmp_path / "copy.json")
    assert code == 0, err
    assert "Recommended: int8_litert" in out and "int8_litert_average" in out
    assert (tmp_path / "copy.json").read_bytes() == (tmp_path / "out/report.json").read_bytes()
    code, out, err = lessons(*arguments, "--json", "-", "--check", tmp_path / "copy.json")
    assert code == 0 and json.loads(out)["schema"] == report.SCHEMA
    told = [
        "Reading the model ...",
        "Quantizing with LiteRT's quantizer ...",
        "Timing the files ...",
    ]
    assert [line for line in err.splitlines() if line in told] == told
    assert json.loads(out)["commands"][0].startswith("lessons quantize /")
    code, out, err = lessons(*arguments[:-4], "--max-bytes", 10, "--out", tmp_path / "out")
    assert code == 3, err
    assert "stay with float32" not in out and "more than 10" in out


# ---- what it is given


def test_an_object_that_is_no_model_is_refused(tmp_path):
    with pytest.raises((InputError, ValueError), match="is no model"):
        quantize_model(3, out=tmp_path)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"budget": "120s"}, "budget='120s'; expected seconds"),
        ({"budget": float("nan")}, "budget=nan"),
        ({"scheduler": "tcp://127.0.0.1:1"}, "no Dask scheduler answers"),
    ],
)
def test_what_is_wrong_is_said_before_a_folder_is_made(wrong, words, float_file, tmp_path):
    with pytest.raises(InputError, match=words):
        quantize_model(float_file, **samples(60), paths=FEW, out=tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


def test_the_reference_is_a_model(tmp_path):
    """A SavedModel's folder, by the converter."""
    found = quantize_model(
        training.reference("mnist_cnn"), **samples(100), paths=["int8"], out=tmp_path / "out",
        max_drop=0.05,
    )  # fmt: skip
    assert Path(found.model.source).name == "saved_model"
    assert {"float32", "int8", "int8_litert", "int8_litert_average"} == {
        row.name for row in found.rows
    }


def test_the_readmes_lines_for_a_model_of_ones_own_run(tmp_path, monkeypatch, capsys):
    readme = (files.ROOT / "README.md").read_text("utf-8")
    block = readme.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    any_models.keras_file(any_models.regression(), tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(120, 8)).astype(np.float32)
    exec(block, {"samples": x[:40], "test": x[40:], "targets": x[40:, :1]})
    out = capsys.readouterr().out
    assert "int8_float_fallback" in out and "verdict" in out
