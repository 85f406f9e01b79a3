"""One model down every path, each by itself: a file, or the reason why there is none."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import any_models
from lessons_lib import (
    by_litert,
    by_tensorflow,
    every_path,
    files,
    outcome,
    paths,
    runtime,
    sources,
    tables,
    training,
)
from lessons_lib.errors import (
    CalibrationError,
    ConversionError,
    InputError,
    ModelFileError,
    StorageError,
)
from reference import converted, digits

INTEGER = [name for name, path in paths.PATHS.items() if path.needs_calibration]
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals")


def saved(name, folder):
    return any_models.save(getattr(any_models, name)(), folder / name)


def failed(found):
    return [name for name, one in found.items() if not one.ok]


def test_each_path_has_a_file_and_says_how_far_it_is(tmp_path):
    samples = digits().calibration.images[:50]
    found = every_path.convert(training.reference(), samples, tmp_path / "out")
    assert list(found) == list(paths.PATHS)
    assert failed(found) == []
    for name, one in found.items():
        assert one.path == name
        assert one.file == tmp_path / "out" / f"{name}.tflite"
        assert outcome.audit(one, name).integer_only == paths.get(name).integer_only
        (decibels,) = one.snr_db.values()
        assert decibels > (60 if name == "float32" else 20)
        assert one.remarks == ()
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == sorted(
        f"{name}.tflite" for name in paths.PATHS
    )
    alone = by_tensorflow.convert(training.reference(), "int8", samples)
    assert found["int8"].read_bytes() == alone


@posix
def test_a_path_on_which_the_converter_dies_takes_no_other_with_it(tmp_path):
    folder, out = saved("lstm", tmp_path), tmp_path / "out"
    files.write_atomic(out / "int8.tflite", b"an older file")
    x = any_models.drawn(folder, 10)
    found = every_path.convert(folder, x, out)
    assert failed(found) == INTEGER
    for name in INTEGER:
        with pytest.raises(ConversionError, match=rf"path {name}, .*SIGSEGV.*unroll=True"):
            os.fspath(found[name])
    assert sorted(file.name for file in out.iterdir()) == [
        "dynamic_range.tflite",
        "float16.tflite",
        "float32.tflite",
    ]
    expected = any_models.lstm()(x["x"]).numpy()
    for name in ("float32", "dynamic_range", "float16"):
        assert runtime.Model(found[name]).predict(x) == pytest.approx(expected, abs=0.02)


@posix
def test_the_same_of_a_keras_file_names_the_same_cure(tmp_path):
    file = any_models.keras_file(any_models.lstm(), tmp_path / "lstm.keras")
    x = np.random.default_rng(0).random((10, 8, 3), np.float32)
    found = every_path.convert(file, x, tmp_path / "out", names=["float32", "int8"])
    assert failed(found) == ["int8"]
    with pytest.raises(ConversionError, match=r"path int8, .*SIGSEGV.*unroll=True"):
        raise found["int8"].reason


def test_reasons_are_each_paths_own(tmp_path):
    """What ELU has no integers for, what is too small to shrink."""
    keras = any_models.fresh_keras()
    hidden = keras.layers.Dense(4, activation="elu", name="hidden")
    model = keras.Sequential([keras.Input((8,), name="x"), hidden, keras.layers.Dense(2)])
    x = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    found = every_path.convert(model, x, tmp_path)
    reasons = {name: str(one.reason) for name, one in found.items() if not one.ok}
    assert list(reasons) == ["dynamic_range", "int8", "uint8", "int16x8"]
    assert "quantized nothing" in reasons["dynamic_range"]
    assert "ELU" in reasons["int8"] and "stayed in float" in reasons["uint8"]
    assert "not yet supported for op: 'ELU'" in reasons["int16x8"]
    assert tables.audit(found["int8_float_fallback"]).float_operators


@pytest.mark.parametrize("dataset", [None, [], np.zeros((5, 9), np.float32)])
def test_samples_that_will_not_do_are_the_reason_of_the_paths_that_need_them(dataset, tmp_path):
    found = every_path.convert(any_models.binary(), dataset, tmp_path)
    assert failed(found) == INTEGER
    kind = ConversionError if dataset is None else CalibrationError
    assert {type(found[name].reason) for name in INTEGER} == {kind}
    assert sorted(os.listdir(tmp_path)) == [
        "dynamic_range.tflite", "float16.tflite", "float32.tflite"
    ]  # fmt: skip


def test_a_range_that_is_said_is_checked(tmp_path):
    x = 255 * np.random.default_rng(0).random((20, 40), np.float32)
    names = ["float32", "int8"]
    found = every_path.convert(any_models.binary(), x, tmp_path, names=names, value_range=(0, 1))
    assert failed(found) == ["int8"]
    assert "value_range says that the model takes 0 to 1" in str(found["int8"].reason)
    assert failed(every_path.convert(any_models.binary(), x, tmp_path, names=names)) == []


def test_a_generator_is_read_once_for_all_paths(tmp_path):
    x, read = np.random.default_rng(0).random((30, 40), np.float32), []
    found = every_path.convert(
        any_models.binary(), (read.append(n) or [x[n : n + 1]] for n in range(30)), tmp_path
    )
    assert (failed(found), read) == ([], list(range(30)))
    whole = every_path.convert(any_models.binary(), x, tmp_path / "whole", names=["int8"])
    assert whole["int8"].read_bytes() == found["int8"].read_bytes()


@pytest.mark.parametrize("name", ["two_ends", "tokens", "four_at_once", "no_batch", "rank_1"])
def test_any_model_goes_down_every_path_or_says_why_not(name, tmp_path):
    folder = saved(name, tmp_path)
    x = any_models.drawn(folder, 200)
    if name == "tokens":
        x["ids"] = np.random.default_rng(0).integers(0, 500, (200, 12)).astype(np.int32)
    found = every_path.convert(folder, x, tmp_path / "out")
    assert found["float32"].ok and found["int8"].ok and found["uint8"].ok
    for one in found.values():
        if not one.ok:
            assert isinstance(one.reason, ConversionError)
            continue
        assert one.snr_db.keys() == sources.signature(folder).outputs.keys()
        assert all(decibels > 10 for decibels in one.snr_db.values())


def test_a_model_with_a_state_says_so_on_each_path(tmp_path):
    folder = saved("state", tmp_path)
    found = every_path.convert(folder, any_models.drawn(folder, 20), tmp_path / "out")
    assert found["float32"].ok and found["int16x8"].ok
    for one in found.values():
        assert not one.ok or "a state is kept" in one.remarks[-1]


def test_a_signature_is_chosen(tmp_path):
    folder = saved("no_default", tmp_path)
    x = np.random.default_rng(0).random((9, 4), np.float32)
    found = every_path.convert(
        folder, x, tmp_path / "out", names=["float32", "int8"], signature="embed"
    )
    for one in found.values():
        assert runtime.Model(one).predict(x) == pytest.approx(100 * x, abs=1)
    with pytest.raises(InputError, match="2 signatures, none the default"):
        every_path.convert(folder, x, tmp_path / "other", names=["float32"])
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_a_keras_file_is_a_source(ending, tmp_path):
    file = any_models.keras_file(any_models.binary(), tmp_path / f"m{ending}")
    x = np.random.default_rng(0).random((20, 40), np.float32)
    found = every_path.convert(file, x, tmp_path / "out", names=["float32", "int8"])
    for one in found.values():
        expected = any_models.binary()(x).numpy()
        assert runtime.Model(one).predict(x) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("kind", ["file", "bytes"])
def test_a_float_tflite_goes_down_all_that_litert_has(kind, tmp_path):
    content = converted()["float32"]
    source = files.write_atomic(tmp_path / "m.tflite", content) if kind == "file" else content
    samples = digits().calibration.images[:50]
    found = every_path.convert(source, samples, tmp_path / "out")
    assert list(found) == list(paths.ALL)
    assert failed(found) == []
    assert found["int8x4"].read_bytes() == by_litert.quantize(content, "int8x4", samples)
    for name, one in found.items():
        assert outcome.audit(one, name).input_dtype == paths.get(name).input_dtype


def test_one_path_may_be_walked_in_several_ways(tmp_path):
    content = converted()["float32"]
    samples = digits().calibration.images[:50]
    steps = {
        "int8": every_path.Step("int8"),
        "average": every_path.Step("int8", calibrate="moving_average"),
        "mixed": every_path.Step(
            "int8_float_fallback", (by_litert.Rule(".*", "float32", "SOFTMAX"),)
        ),
    }
    found = every_path.convert(content, samples, tmp_path, names=steps)
    assert sorted(os.listdir(tmp_path)) == ["average.tflite", "int8.tflite", "mixed.tflite"]
    for name, step in steps.items():
        assert found[name].path == step.path
        expected = by_litert.quantize(content, step.path, samples, **step.options)
        assert found[name].read_bytes() == expected
    assert len({one.read_bytes() for one in found.values()}) == 3


def test_the_converter_has_one_way_for_each_path(tmp_path):
    average = {"average": every_path.Step("int8", calibrate="moving_average")}
    with pytest.raises(InputError, match="average: TFLiteConverter knows no calibrate"):
        every_path.convert(training.reference(), None, tmp_path / "out", names=average)


def test_what_is_kept_is_not_made_again(tmp_path, monkeypatch):
    keep, made = tmp_path / "keep", tmp_path / "made"
    arguments = any_models.binary(), np.random.default_rng(0).random((30, 40), np.float32), made
    names = ["float32", "dynamic_range", "int8"]
    first = every_path.convert(*arguments, names=names, keep=keep)
    before = {name: os.stat(first[name]).st_mtime_ns for name in names if first[name].ok}
    (made / "int8.tflite").write_bytes(b"changed")
    again = every_path.convert(*arguments, names=names, keep=keep)
    assert again["float32"] == first["float32"]
    after = {name: os.stat(again[name]).st_mtime_ns for name in names if again[name].ok}
    assert [name for name in before if after[name] != before[name]] == ["int8"]
    assert [str(one.reason) for one in again.values()] == [
        str(one.reason) for one in first.values()
    ]
    monkeypatch.setattr(every_path.sandbox, "call", None)  # all is there: nothing may be called
    assert every_path.convert(*arguments, names=names, keep=keep) == again


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ("nowhere", ModelFileError, "nowhere does not exist"),
        ("nowhere.keras", ModelFileError, r"nowhere\.keras is not a file"),
        ("nowhere.tflite", ModelFileError, r"cannot read .*nowhere\.tflite"),
        (b"no model", ModelFileError, r"not a \.tflite file"),
        (3, ModelFileError, "a int is no model"),
    ],
)
def test_what_is_no_model_is_no_outcome_but_an_error(source, error, message, tmp_path):
    source = tmp_path / source if isinstance(source, str) else source
    with pytest.raises(error, match=message):
        every_path.convert(source, None, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_quantized_file_is_no_source(tmp_path):
    with pytest.raises(ConversionError, match="quantized already"):
        every_path.convert(converted()["int8"], None, tmp_path / "out")


def test_an_unknown_path_is_refused_before_anything_is_done(tmp_path):
    with pytest.raises(InputError, match="no path 'int4'"):
        every_path.convert(training.reference(), None, tmp_path / "out", names=["int4"])
    found = every_path.convert(training.reference(), None, tmp_path / "out", names=["int8x4"])
    with pytest.raises(InputError, match=r"TFLiteConverter has no path int8x4; by_litert"):
        raise found["int8x4"].reason


def test_a_folder_that_cannot_be_written_is_an_error_of_all(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        every_path.convert(training.reference(), None, tmp_path / "file", names=["float32"])


def test_the_caller_needs_no_tensorflow(tmp_path):
    script = (
        "import sys\nfrom lessons_lib import every_path\n"
        "found = every_path.convert(sys.argv[1], None, sys.argv[2], names=['float16'])\n"
        "print(found['float16'].ok, 'tensorflow' in sys.modules)"
    )
    command = [sys.executable, "-c", script, training.reference(), tmp_path / "out"]
    done = subprocess.run(command, cwd=files.ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("True False\n", "")


# ---- memory

MEASURE = """
import json, resource, sys
import numpy as np
from lessons_lib import by_litert, by_tensorflow, every_path
from lessons_lib.system import warm

warm.AVAILABLE = False  # what a fork of a child takes would be seen by nobody
how, source, out, count = sys.argv[1:4] + [int(sys.argv[4])]

def stream():
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield [rng.random((1, 640, 640, 3), dtype=np.float32)]

def peak(who):
    return resource.getrusage(who).ru_maxrss / 1024

if how == "every_path":
    found = every_path.convert(source, stream, out, names=["float32", "int8", "int16x8"])
    assert all(one.ok for one in found.values()), found
elif how == "by_tensorflow":
    by_tensorflow.convert(source, "int8", stream)
else:
    by_litert.quantize(source, "int8", stream)
print(json.dumps([peak(resource.RUSAGE_SELF), peak(resource.RUSAGE_CHILDREN)]))
"""


def peaks(how, source, out, count):
    """The highest resident memory of a fresh process and of its children, in MiB."""
    command = [sys.executable, "-W", "ignore", "-c", MEASURE, how, source, out, str(count)]
    done = subprocess.run(command, cwd=files.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return np.array(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss has other units elsewhere")
@pytest.mark.parametrize("how", ["every_path", "by_tensorflow", "by_litert"])
def test_a_stream_of_large_images_costs_no_memory(how, tmp_path):
    """150 images of 640 x 640 x 3 are 703 MiB; that many more than a few may cost a fraction."""
    source = saved("large_images", tmp_path)
    if how == "by_litert":
        source = files.write_atomic(tmp_path / "m.tflite", any_models.converted("large_images"))
    few, many = (peaks(how, source, tmp_path / "out", count) for count in (5, 150))
    assert (many - few).max() < 100, (few, many)


def test_paths_that_calibrate_nothing_are_tried_on_the_samples_too(tmp_path):
    """Tokens: drawn at random they are 0 and 1, and say nothing of the others."""
    folder = any_models.save(any_models.tokens(), tmp_path / "m")
    ids = np.random.default_rng(0).integers(0, 500, (40, 12)).astype(np.int32)
    for names, given in (("float16", ids), (["float16"], None)):
        (one,) = every_path.convert(folder, given, tmp_path / "out", names=names).values()
        assert one.ok
        expected = by_tensorflow.converted(folder, "float16", given)[1]
        assert one.snr_db == pytest.approx(expected)


def test_a_child_that_ran_out_of_time_after_some_paths_begins_anew(tmp_path, monkeypatch):
    folder = any_models.save(any_models.binary(), tmp_path / "m")
    calls, call = [], every_path.sandbox.call

    def slow(function, job, steps, folders, **keywords):
        """Time for one path in the first call, for all others in the second."""
        calls.append(list(steps))
        if len(calls) > 1:
            return call(function, job, steps, folders, **keywords)
        call(function, job, {"float32": steps["float32"]}, folders, **keywords)
        raise every_path.ChildSlow(f"{function} took more than 300 s and was ended")

    monkeypatch.setattr(every_path.sandbox, "call", slow)
    found = every_path.convert(folder, None, tmp_path / "out", names=["float32", "float16"])
    assert calls == [["float32", "float16"], ["float16"]]
    assert all(one.ok for one in found.values())


def test_a_path_that_alone_is_too_slow_is_told_so(tmp_path, monkeypatch):
    folder = any_models.save(any_models.binary(), tmp_path / "m")

    def slow(function, *arguments, **keywords):
        raise every_path.ChildSlow(f"{function} took more than 300 s and was ended")

    monkeypatch.setattr(every_path.sandbox, "call", slow)
    (one,) = every_path.convert(folder, None, tmp_path / "out", names="float32").values()
    assert str(one.reason).startswith("the converter, on the path float32, took more than 300 s")
