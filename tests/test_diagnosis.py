"""What is said of a file beside its verdict: ranges or resolution, constants that float16 loses."""

import numpy as np
import pytest

import any_models
from lessons_lib import by_tensorflow, files, reader
from lessons_lib.advise import diagnosis
from lessons_lib.advise.report import Row
from reference import converted


@pytest.fixture(scope="module")
def float_file(tmp_path_factory):
    return files.write_atomic(tmp_path_factory.mktemp("m") / "m.tflite", converted()["float32"])


def row(name, decibels, decision, lane="litert", smaller=3.0):
    path = name.partition("_")[0]
    return Row(name, lane, path, file=f"{name}.tflite", bytes=1000, smaller=smaller,
               sqnr_db={"y": decibels}, decision=decision, verdict="")  # fmt: skip


@pytest.mark.parametrize(
    ("coarse", "fine", "words"),
    [
        ((5.0, "fails"), (6.0, "fails"), "the ranges are at fault"),
        ((5.0, "fails"), (40.0, "passes"), "the steps of int8 are too coarse"),
        ((5.0, "fails"), (20.0, "fails"), None),
        ((37.0, "undecided"), (38.0, "undecided"), None),  # nothing is wrong with either
        ((37.0, "passes"), (38.0, "passes"), None),
    ],
)
def test_int8_beside_int16x8_tells_ranges_from_resolution(coarse, fine, words, float_file):
    rows = [row("int8_average", *coarse), row("int16x8_average", *fine), row("int16x8", 50, "x")]
    said = diagnosis.explained(rows, float_file)
    assert [one.remarks for one in said[1:]] == [(), ()]
    assert len(said[0].remarks) == bool(words)
    assert words is None or words in said[0].remarks[0]
    assert words is None or "int16x8_average" in said[0].remarks[0]


def test_constants_that_float16_does_not_hold_are_named(tmp_path):
    folder = any_models.save(any_models.prices(), tmp_path / "model")
    file = files.write_atomic(tmp_path / "f.tflite", by_tensorflow.convert(folder, "float32"))
    rows = [row("float16", -5, "fails", "converter"), row("float16_litert", 80, "passes")]
    there, other = diagnosis.explained(rows, file)
    (remark,) = there.remarks
    assert remark.startswith("the bias ") and "float16 ends at 65,504" in remark
    assert other.remarks == ()
    model = reader.read(file)
    largest = max(
        np.abs(reader.stored_value(model, tensor)).max()
        for tensor in model.subgraphs[0].tensors
        if model.buffers[tensor.buffer].data is not None and tensor.type == 0
    )
    assert f"holds {largest:.4g}" in remark


def test_an_embedding_that_stayed_in_float_is_named(tmp_path):
    content = any_models.converted("tokens")
    file = files.write_atomic(tmp_path / "t.tflite", content)
    rows = [row("int8_litert", 40, "passes", smaller=1.01), row("int8_litert", 40, "passes")]
    left, quantized = diagnosis.explained(rows, file)
    assert "leaves the embedding in float" in left.remarks[0] and quantized.remarks == ()
