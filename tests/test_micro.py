"""TFLite-Micro behind ``--target microcontroller``: what runs there, in which arena, how alike."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import any_models
import tiny_models
from lessons_lib import (
    by_litert,
    edit,
    every_path,
    files,
    integer_engine,
    micro,
    outputs,
    page,
    reader,
    report,
    runtime,
    trials,
)
from lessons_lib.convert.every_path import Step
from lessons_lib.convert.outcome import Outcome
from lessons_lib.errors import ChildDied, ModelFileError
from lessons_lib.quantize import quantize_model
from reference import converted, digits
from runtimes import needs_micro

pytestmark = needs_micro


def runs_in(content: bytes, size: int) -> bool:
    from tflite_micro import runtime as tflm

    try:
        tflm.Interpreter.from_bytes(content, arena_size=size).invoke()
    except RuntimeError:
        return False
    return True


@pytest.mark.parametrize("path", ["float32", "int8", "int16x8"])
def test_the_arena_is_the_smallest_that_is_enough(path, capfd):
    content = converted("ds_cnn")[path]
    found = micro.arena(content)
    assert capfd.readouterr() == ("", "")
    assert runs_in(content, found) and not runs_in(content, found - 16)


@pytest.mark.parametrize(
    ("path", "meaning"),
    [("dynamic_range", "its weights are integers and its activations floats"),
     ("float16", "its weights are float16")],
)  # fmt: skip
def test_a_refusal_has_its_meaning_and_its_own_words(path, meaning):
    with pytest.raises(ModelFileError, match=rf"{meaning}.* In its words: .*failed to prepare"):
        micro.arena(converted("ds_cnn")[path])


def test_a_refusal_that_comes_only_when_it_runs_has_its_words_too(capfd):
    """A lookup of words by their numbers has a SELECT_V2 of integers in front."""
    ends = [tiny_models.tensor("which", "BOOL", (1, 4))]
    ends += [tiny_models.tensor(name, "INT32", (1, 4)) for name in "abc"]
    content = tiny_models.assemble(ends, [("SELECT_V2", None, [0, 1, 2], [3])], [0, 1, 2], [3])
    with pytest.raises(ModelFileError, match=r"INT32; Node SELECT_V2 .* failed to invoke \(l"):
        micro.arena(content)
    assert capfd.readouterr() == ("", "")


def test_constants_behind_the_flatbuffer_are_refused_and_ours_lie_inside(monkeypatch):
    """TFLite-Micro does not look behind it, runs all the same, and answers nonsense."""
    content = any_models.converted("wide")
    x = np.random.default_rng(0).uniform(-1, 1, (100, 600)).astype(np.float32)
    small = by_litert.quantize(content, "int8", x)
    codes = runtime.Model(small).quantize_input(x[:8])
    expected = integer_engine.run(small, codes, "tflm")
    assert np.array_equal(micro.run(small, codes), expected)

    monkeypatch.setattr(edit, "with_data_inside", lambda content: content)
    raw = by_litert.quantized(by_litert.prepared(content), "int8", x)[0]
    assert reader.keeps_data_behind(reader.read(raw)), "the quantizer writes otherwise now"
    with pytest.raises(ModelFileError, match=r"behind its FlatBuffer.*with_data_inside"):
        micro.run(raw, codes)
    monkeypatch.undo()
    assert edit.with_data_inside(raw) == small == edit.with_data_inside(small)
    monkeypatch.setattr(reader, "keeps_data_behind", lambda model: False)
    assert not np.array_equal(micro.run(raw, codes), expected), "it looks there now: no refusal"


def test_an_operator_that_it_lacks_is_named():
    words = micro._meaning("Didn't find op for builtin opcode 'WHILE' Failed to get registration")
    assert words.startswith("it has no operator WHILE. In its words: Didn't")
    assert micro._meaning("arena too small") == "arena too small"


@pytest.fixture
def place(tmp_path):
    """Where files are tried, on 20 digits."""
    np.save(tmp_path / "image.npy", digits().hard.images[:20])
    samples = np.load(tmp_path / "image.npy", mmap_mode="r")
    return trials.Workplace(tmp_path, None, None, {"image": samples}, "kept")


def tried(content: bytes, name: str, place):
    file = files.write_atomic(place.folder / "files" / f"{name}.tflite", content)
    trial = trials.Trial(name, file, Step("int8"))
    return trials.Tried(trial, Outcome("int8", file), answers={})


def test_each_file_is_run_there_beside_litert(place):
    names = ("float32", "int8", "int16x8", "dynamic_range")
    contents = {name: converted("ds_cnn")[name] for name in names}
    ready = [tried(content, name, place) for name, content in contents.items()]
    found = {one.trial.name: one.micro for one in trials.on_micro(ready, place)}
    assert found["dynamic_range"].refusal.startswith("its weights are integers")
    assert "In its words" not in found["dynamic_range"].words
    for name in names[:3]:
        model = runtime.Model(contents[name])
        codes = model.quantize_input(digits().hard.images[:8])
        here, there = model.run(codes), micro.run(contents[name], codes)
        assert found[name].arena == micro.arena(contents[name])
        assert found[name].samples == 8 and found[name].refusal is None
        assert found[name].differing == np.mean(here != there)
        assert found[name].largest == np.abs(here.astype(np.float64) - there).max()
    assert found["int8"].sqnr_db > 25 and found["float32"].largest < 1e-6


def test_wrong_answers_are_seen(place):
    """TFLite-Micro unpacks weights with the scale of their first channel, and says nothing."""
    file = files.write_atomic(place.folder / "source.tflite", converted("ds_cnn")["float32"])
    step = {"weights": Step("weight_only_int8")}
    made = every_path.convert(file, None, place.folder / "made", names=step)["weights"]
    (one,) = trials.on_micro([tried(made.read_bytes(), "weights", place)], place)
    assert one.micro.refusal is None and one.micro.sqnr_db < 20 and one.micro.largest > 0.1
    assert one.micro.words.endswith(f"of the numbers, by {one.micro.largest:.3g} at most")


def test_a_file_on_which_it_dies_is_refused():
    one = trials.Tried(trials.Trial("int8", Path("a.tflite"), Step("int8")), Outcome("int8"))
    found = trials._as_micro(one, ChildDied("int8 ended with signal SIGABRT", 6))
    assert found.words == ("TFLite-Micro does not run it: there the file ended with signal SIGABRT")


def test_a_keras_file_with_loops_is_unrolled_and_runs_there(tmp_path):
    """The converter dies on the loop; the same weights without it have all paths.

    With an open batch their first state would be computed, which TFLite-Micro cannot do.
    """
    file = any_models.keras_file(any_models.lstm(), tmp_path / "lstm.keras")
    x = np.random.default_rng(0).normal(size=(150, 8, 3)).astype(np.float32)
    out = tmp_path / "out"
    found = quantize_model(file, {"x": x}, paths=["int8"], out=out, target="microcontroller")
    assert "unroll" in found.row("int8").failure
    mended = found.row("int8_unrolled")
    assert mended.failure is None and mended.integer_only
    assert "unroll=True" in mended.repair.done and "int8" in mended.repair.seen
    assert mended.micro.arena > 1000 and mended.micro.refusal is None
    pick = found.picks["recommended"]
    assert pick.row == mended.name and pick.why.endswith(
        f"an arena of {mended.micro.arena:,} bytes of RAM"
    )
    assert any("the RAM that TFLite-Micro takes" in guard.text for guard in found.guards)
    assert found.layers.errors == () and "do not pair" in found.layers.remark
    assert "cannot be compared with float32" in page.html(found)
    assert report.read(out / "report.json").row("int8_unrolled").micro == mended.micro


def test_inputs_that_are_normalized_outside_are_so_here(place):
    normalized = place.folder / "work" / "normalized" / "test"
    plain = trials.Trial("int8", Path("a.tflite"), Step("int8"))
    assert trials._test_files(plain, place) == [place.folder / "image.npy"]
    outside = replace(plain, outside={"image": (0.5, 2.0)})
    assert trials._test_files(outside, place) == [normalized / "image.npy"]


def test_where_the_package_is_missing_it_is_said(place, monkeypatch):
    monkeypatch.setattr(micro, "installed", lambda: False)
    one = tried(converted("ds_cnn")["int8"], "int8", place)
    assert trials.on_micro([one], place) == [one]
    (guard,) = outputs._of_micro([report.Row("int8", "converter", "int8")], "microcontroller")
    assert "TFLite-Micro was not tried" in guard.text


def test_of_an_accelerator_it_is_said_that_its_compiler_comes_first():
    rows = [report.Row("int8", "converter", "int8", micro=report.Micro(arena=1000))]
    (chip,), (npu,) = (outputs._of_micro(rows, name) for name in ("microcontroller", "ethos-u"))
    assert "Vela" in npu.text and npu.text.startswith(chip.text) and "Vela" not in chip.text
