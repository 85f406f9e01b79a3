"""Each flag of ``lessons quantize`` that can be wrong, is: exit 2 before anything runs, a cure."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import reports
from lessons_lib import cli, quantize, report
from lessons_lib.advise.report import End
from reference import converted, digits


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a model, samples, and whatever is wrong."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "m.tflite").write_bytes(converted()["float32"])
    (folder / "int8.tflite").write_bytes(converted()["int8"])
    (folder / "cut.tflite").write_bytes(converted()["float32"][:5000])
    for name in (
        *("m.onnx", "m.pt", "m.pth", "m.pb", "m.zip"),
        *("m.keras", "m.h5", "bad.npz", "m.txt", "file"),
    ):
        (folder / name).write_bytes(b"hello")
    images, labels = digits().test.images[:60], digits().test.labels[:60]
    nan = images.copy()
    nan[7, 3, 3] = np.nan
    arrays = {
        "ok": (images, labels), "nan": (nan, labels), "one": (images[:1], labels[:1]),
        "empty": (images[:0], labels[:0]), "shape": (images[:, :20], labels),
        "lengths": (images, labels[:50]), "text": (np.full(60, "a"), labels),
        "classes": (images, labels + 30), "floats": (images, np.full((60, 3), 0.5)),
    }  # fmt: skip
    for name, (x, y) in arrays.items():
        np.savez(folder / f"{name}.npz", x=x, y=y)
    np.savez(folder / "names.npz", a=images, b=labels)
    (folder / "table.csv").write_text("a,b,y\n1,2,0\n3,4,1\n")
    for name, code in {
        "raises": "raise ValueError('oh')",
        "nothing": "x = 1",
        "three": "def model():\n    return 3",
        "no_disk": "def calibration():\n    raise RuntimeError('no disk')\n",
    }.items():
        (folder / f"{name}.py").write_text(code + "\n")
    (folder / "folder").mkdir()
    (folder / "-").mkdir()  # so that a file of this name cannot be written
    (folder / "none.json").write_text('{"a": 1}')
    (folder / "other.json").write_text('{"schema": 99}')
    (folder / "text.json").write_text("nope")
    return folder


M, OK = "m.tflite", ["--data", "ok.npz"]
WRONG = [
    # what is no model
    (["nowhere.keras"], "does not exist"),
    (["nowhere"], "does not exist"),
    (["nowhere", "--json", "-"], "does not exist"),
    (["nowhere.tflite"], "No such file"),
    ([""], "is empty"),
    (["folder"], ".keras, .h5 and float .tflite files are read"),
    (["m.onnx"], "onnx2tf -i model.onnx"),
    (["m.pt"], "litert_torch.convert"),
    (["m.pth"], "litert_torch.convert"),
    (["m.pb"], "TensorFlow 1"),
    (["m.zip"], ".keras, .h5 and float .tflite files are read"),
    (["m.txt"], ".keras, .h5 and float .tflite files are read"),
    (["m.keras"], "not a zip archive"),
    (["m.h5"], "not an HDF5 file"),
    (["cut.tflite"], "corrupted or truncated"),
    (["int8.tflite", *OK], "quantized already (int32, int8)"),
    (["nothing.py"], "has no function model()"),
    (["three.py"], "of the type int is no model"),
    (["raises.py"], "raises.py: importing it failed with ValueError: oh (line 1)"),
    ([M, "--signature", "other"], "no signature 'other'; choose one by its name: serving_default"),
    ([M, "--code", "nowhere.py"], "expected a .py file"),
    ([M, "--code", "m.onnx"], "expected a .py file"),
    ([M, "--code", "nothing.py"], "leave it out"),
    # what are no samples
    ([M, "--data", "nowhere.npz"], "no such file"),
    ([M, "--data", ""], "is empty"),
    ([M, "--data", "m.txt"], ".txt is not read; expected .npz"),
    ([M, "--data", "bad.npz"], "it is damaged, or no .npz"),
    ([M, "--data", "folder"], "has no images"),
    ([M, "--data", "nan.npz"], "sample 7: image holds NaN"),
    ([M, "--data", "one.npz"], "give two at least"),
    ([M, "--data", "empty.npz"], "no samples: give two at least"),
    ([M, "--data", "shape.npz"], "the model takes (N, 28, 28, 1)"),
    ([M, "--data", "lengths.npz"], "60 of image, 50 of y"),
    ([M, "--data", "names.npz"], "np.savez(file, image=..., y=...)"),
    ([M, "--data", "text.npz"], "the model takes (N, 28, 28, 1)"),
    ([M, "--data", "classes.npz"], "hold class 35"),
    ([M, "--data", "floats.npz"], "What fits: class numbers (30,), 0 to 9"),
    ([M, "--data", "raises.py"], "raises.py: it has no calibration() and no test()"),
    ([M, "--data", "nothing.py"], "no calibration() and no test()"),
    ([M, "--data", "no_disk.py"], "calibration() failed with RuntimeError: no disk (line 2)"),
    ([M, "--data", "table.csv", "--column", "z"], "it has a, b, y"),
    ([M, "--data", "table.csv", "--target", "z"], "it has a, b, y"),
    ([M, "--data", "table.csv", "--column", "y"], "Give an .npz"),
    ([M, "--column", "y", *OK], "only a .csv has columns"),
    ([M, "--column", "y"], "'y' is said of data, and none is given"),
    ([M, *OK, "--test", "ok.npz"], "one source, which is split"),
    ([M, "--test", "one.npz"], "needs at least 2"),
    ([M, "--calibration", "ok.npz", "--test", "nan.npz"], "test: nan.npz: sample 7"),
    ([M, "--calibration", "nowhere.npz"], "calibration: nowhere.npz: there is no such file"),
    ([M, "--scale", "wide", *OK], "expected 0..1, -1..1, 0..255"),
    ([M, "--scale", "0..1", *OK], "for uint8 pixels"),
    ([M, "--scale", "0..1"], "'0..1' is said of data, and none is given"),
    ([M, "--seed", "-1", *OK], "expected 0 or more"),
    ([M, "--seed", "x"], "valid integer"),
    # what it is for
    ([M, "--task", "regression"], "no targets do not fit as regression"),
    ([M, "--task", "dreaming"], "expected one of classification"),
    ([M, "--task", "regression", *OK], "do not fit as regression"),
    ([M, "--task", "segmentation", *OK], "do not fit as segmentation"),
    ([M, "--task", "autoencoder", *OK], "as an autoencoder's"),
    ([M, "--target", "toaster"], "expected cpu, gpu, microcontroller"),
    ([M, "--target", "toaster", *OK], "expected cpu, gpu, microcontroller"),
    ([M, "--target", "cpu", "--target", "gpu"], "one machine"),
    ([M, "--prefer", "luck"], "expected size, speed, fidelity"),
    ([M, "--max-drop", "much"], "expected a share"),
    ([M, "--max-drop", "2"], "expected a share"),
    ([M, "--max-drop", "-1"], "expected a share"),
    ([M, "--max-drop", "0"], "expected a share"),
    ([M, "--max-drop", "nan"], "expected a share"),
    ([M, "--max-drop", "%"], "expected a share"),
    ([M, "--max-bytes", "0"], "at least 1"),
    ([M, "--max-bytes", "few"], "valid integer"),
    # how
    ([M, "--paths", "int7"], "no path 'int7'; the paths are float32, dynamic_range"),
    ([M, "--paths", ""], "no path ''"),
    ([M, "--paths", "int8,,"], "no path ''"),
    ([M, "--budget", "soon"], "expected seconds"),
    ([M, "--budget", "-1"], "expected seconds"),
    ([M, "--budget", "nan"], "expected seconds"),
    ([M, "--jobs", "0"], "jobs=0; expected at least 1"),
    ([M, "--jobs", "x"], "valid integer"),
    ([M, "--scheduler", "tcp://127.0.0.1:1"], "no Dask scheduler answers"),
    ([M, "--out", "file"], "no folder to write to"),
    ([M, "--out", "file/out"], "no folder to write to"),
    ([M, "--json", "folder"], "expected a file that can be written"),
    ([M, "--json", "nowhere/report.json"], "expected a file that can be written"),
    ([M, "--check", "nowhere.json"], "nowhere.json: No such file"),
    ([M, "--check", "folder"], "Is a directory"),
    ([M, "--check", "none.json"], "no report of `lessons quantize`"),
    ([M, "--check", "other.json"], "this version reads 1"),
    ([M, "--check", "text.json"], "it is not JSON"),
]


def run(arguments, place, monkeypatch):
    """The command in this process, in a folder of its own beside the samples."""
    monkeypatch.chdir(place)
    monkeypatch.setenv("COLUMNS", "300")
    out = [] if "--out" in arguments else ["--out", "out"]
    done = CliRunner().invoke(cli.app, ["quantize", *arguments, *out])
    assert isinstance(done.exception, SystemExit | None), done.exception
    return done


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=str)
def test_what_is_wrong_is_said_before_anything_runs(arguments, words, place, monkeypatch):
    done = run(arguments, place, monkeypatch)
    assert done.exit_code == 2, done.stderr
    said = " ".join(re.sub("[─╭╮╰╯│]", " ", done.stderr).split())
    assert words in said
    assert done.stdout == "" and len(said) < 700
    assert not list(place.glob("out/files/*")) and not (place / "out/report.json").exists()


def test_every_flag_can_be_wrong():
    """A new flag needs a line above; what has no wrong value is named here."""
    known = {word for arguments, _ in WRONG for word in arguments if word.startswith("--")}
    command = next(c for c in cli.app.registered_commands if c.name == "quantize")
    names = set(command.callback.__annotations__) - {"return", "model"}
    names = {{"folder": "out", "json_file": "json"}.get(name, name) for name in names}
    flags = {f"--{name.replace('_', '-')}" for name in names}
    assert flags - known == {"--tune"}  # yes or no


def test_a_report_of_another_model_is_refused(place, tmp_path):
    found = reports.classifier()
    other = dataclasses.replace(found.model, inputs=(End("x", (None, 8), "float32"),))
    earlier = dataclasses.replace(found, model=other)
    with pytest.raises(
        quantize.InputError, match=f"another model, {found.model.source}: it has x where .*image"
    ):
        quantize.quantize_model(place / M, earlier=earlier, out=tmp_path / "again")
    assert not list(Path(tmp_path / "again").glob("files/*"))
    assert report.compare(found, found) == []
