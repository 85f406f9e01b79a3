"""The real compiler for NPUs: what lands there, what does not and why, and what it cannot say."""

import functools
import importlib.util
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from lessons_lib import by_litert, calibration, cli, files, npu, reader, tables
from lessons_lib.errors import InputError, LessonError, ModelFileError
from reference import converted, digits

pytestmark = pytest.mark.skipif(not npu.installed(), reason="the extra npu is not installed")


@functools.cache
def fit(path="int8", accelerator="ethos-u55-128", model="mnist_cnn"):
    return npu.compiled(converted(model)[path], accelerator)


def quantized(path, *rules):
    samples = calibration.representative_dataset(digits().calibration, samples=20)
    return by_litert.quantize(converted("ds_cnn")["float32"], path, samples, rules=rules)


@pytest.mark.parametrize("path", ["int8", "uint8", "int16x8", "int8_float_fallback"])
def test_where_an_operator_went_is_where_it_stands_in_the_compiled_file(path):
    """Two witnesses: vela's database, and the file that it wrote."""
    found = fit(path, model="ds_cnn")
    left = tables.operators(found.content).query("operator != 'ethos-u'")
    assert sorted(op.operator for op in found.on("cpu")) == sorted(left["operator"])
    assert len(left) == (2 if path == "int8_float_fallback" else 0)
    assert len(found.operators) == len(tables.operators(converted("ds_cnn")[path]))
    assert all(op.why for op in found.on("cpu"))
    assert not any(op.why for op in found.on("npu"))


def test_the_figures_are_those_that_vela_prints():
    found, content = fit(), converted("mnist_cnn")["int8"]
    assert f"Total SRAM used                          {found.sram / 1024:12.2f} KiB" in found.said
    assert f"{found.flash / 1024:12.2f} KiB" in found.said
    assert found.dram == 0
    assert sum(op.cycles for op in found.operators) == found.cycles
    assert found.milliseconds == pytest.approx(found.cycles / 500e6 * 1000)
    layers = tables.multiply_accumulates(content).set_index("layer")["macs"]
    conv = next(op for op in found.operators if op.layer == "conv2")
    assert conv.macs == layers["conv2"]
    assert conv.macs / 128 <= conv.computing <= conv.cycles, "no more than its MACs in a cycle"
    table = found.table()
    assert list(table["operator"]) == list(tables.operators(content)["operator"])
    assert table["on"].value_counts().to_dict() == {"npu": 8, "nowhere": 3}


def test_half_of_the_multipliers_take_longer_and_another_system_too():
    small = fit(accelerator="ethos-u55-32")
    assert small.cycles > fit().cycles
    conv = [next(op for op in f.operators if op.layer == "conv2") for f in (small, fit())]
    assert conv[0].computing > 3 * conv[1].computing
    slow = npu.fits(converted("mnist_cnn")["int8"], system="Ethos_U55_Deep_Embedded")
    assert (slow.system, slow.clock) == ("Ethos_U55_Deep_Embedded", 200e6)
    assert slow.milliseconds > fit().milliseconds
    large = fit(accelerator="ethos-u65-256")
    assert large.flash == 0 < large.dram


@pytest.mark.parametrize("path", ["float32", "dynamic_range", "float16"])
def test_nothing_on_the_npu_is_an_error_though_vela_is_content(path):
    with pytest.raises(npu.NothingOnNpu, match=r"stay on the CPU, first .*path int8") as error:
        npu.fits(converted("mnist_cnn")[path])
    found = error.value.fit
    assert found.milliseconds == 0
    assert not found.on("npu")
    assert len(found.on("cpu")) == len(found.operators)


def test_a_compiled_file_is_not_compiled_again():
    with pytest.raises(npu.NothingOnNpu, match="is compiled already"):
        npu.fits(fit().content)


def test_a_float_island_costs_vela_nothing():
    island = npu.fits(
        quantized("int8_float_fallback", by_litert.Rule("block2_depthwise", "float32"))
    )
    operators = [op.operator for op in island.on("cpu")]
    assert operators == ["QUANTIZE", "DEQUANTIZE", "DEPTHWISE_CONV_2D", "QUANTIZE", "DEQUANTIZE"]
    reason = next(op.why for op in island.on("cpu") if op.operator == "DEPTHWISE_CONV_2D")
    assert reason.startswith("Operation has tensor with unsupported DataType Float32. Feature-map")
    assert island.milliseconds < fit("int8_float_fallback", model="ds_cnn").milliseconds
    assert list(tables.operators(island.content)["operator"]).count("ethos-u") == 2


def test_four_bit_weights_end_vela_and_not_us():
    with pytest.raises(ModelFileError, match=r"vela dies .*, with SIG.*: it stores INT4"):
        npu.fits(quantized("int8x4"))


def test_damaged_files_never_meet_vela(tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "run", None)
    content = converted("ds_cnn")["int8"]
    path = files.write_atomic(tmp_path / "half.tflite", content[: len(content) // 2])
    with pytest.raises(ModelFileError, match=r"half\.tflite.*corrupted"):
        npu.fits(path)
    with pytest.raises(ModelFileError, match="it is empty"):
        npu.fits(b"")
    model = reader.read(content)
    model.subgraphs *= 2
    with pytest.raises(ModelFileError, match="2 subgraphs"):
        npu.fits(reader.pack(model))


def test_settings_that_vela_does_not_know():
    content = converted("ds_cnn")["int8"]
    with pytest.raises(InputError, match="expected one of ethos-u55-32, "):
        npu.fits(content, "ethos-u55-512")
    with pytest.raises(InputError, match=r"a setting: .*Memory_Mode\.Cloud not found"):
        npu.fits(content, memory="Cloud")


def test_without_vela_the_error_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not npu.installed()
    with pytest.raises(LessonError, match=r"ethos-u-vela is not installed.*\[npu\]"):
        npu.fits(converted("ds_cnn")["int8"])


def _instead_of_vela(monkeypatch, script):
    run = subprocess.run
    monkeypatch.setattr(
        subprocess, "run", lambda _, **options: run([sys.executable, "-c", script], **options)
    )


def test_a_vela_that_fails_or_never_ends(monkeypatch):
    content = converted("ds_cnn")["int8"]
    for script, words in (
        ("import sys; sys.exit('no such operator')", "vela refuses this file: no such operator"),
        ("import os; os.abort()", "vela dies of this file, with SIGABRT. The file may be sound"),
    ):
        with monkeypatch.context() as patch:
            _instead_of_vela(patch, script)
            with pytest.raises(ModelFileError, match=words):
                npu.compiled(content)
    monkeypatch.setattr(npu.sandbox, "patience", lambda seconds: 0.01)
    with pytest.raises(ModelFileError, match=r"more than 0\.01 s .*LESSONS_TIMEOUT"):
        npu.compiled(content)


def export(model, *arguments):
    return CliRunner().invoke(cli.app, ["export", str(model), "--to", "npu", *arguments])


def test_the_command_writes_the_compiled_file_and_the_report(tmp_path):
    model = files.write_atomic(tmp_path / "a b.tflite", converted("ds_cnn")["int8_float_fallback"])
    result = export(model, "--out", str(tmp_path / "out"), "--accelerator", "ethos-u55-256")
    assert result.exit_code == 0, result.output
    said = " ".join(result.output.split())
    assert "11 operators on ethos-u55-256, 2 on the CPU. Estimated, for the NPU alone: 0.05" in said
    assert "On the CPU: DEQUANTIZE" in said
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["a b_vela.tflite", "a b_vela.txt"]
    assert "ethos-u" in set(tables.operators(tmp_path / "out" / "a b_vela.tflite")["operator"])
    report = (tmp_path / "out" / "a b_vela.txt").read_text("utf-8")
    assert "Unsupported opType" in report
    assert "Accelerator configuration               Ethos_U55_256" in report


def test_the_command_leaves_nothing_of_a_float_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = files.write_atomic(tmp_path / "float.tflite", converted("ds_cnn")["float32"])
    result = export(model)
    assert result.exit_code == 2
    assert "nothing of this file runs on ethos-u55-128" in " ".join(result.output.split())
    assert not (tmp_path / "npu").exists()
