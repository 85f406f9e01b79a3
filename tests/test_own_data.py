"""The user's own data, of every kind: what comes out, and what is refused with which words."""

import io
import os
import re
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lessons_lib import files, own_data, own_images, sample_files, sandbox
from lessons_lib.errors import InputError, StorageError
from lessons_lib.system.quiet import tensorflow
from lessons_lib.tflite.signature import Signature, TensorSpec

F = "float32"


def model(outputs=None, order=(), **inputs):
    """A signature with these inputs and outputs, each a (shape, dtype)."""

    def specs(ends):
        return {name: TensorSpec(name, shape, np.dtype(t)) for name, (shape, t) in ends.items()}

    found = Signature(specs(inputs), specs(outputs or {"scores": ((None, 3), F)}))
    if order:
        object.__setattr__(found, "order", order)
    return found


IMAGE = model(image=((None, 4, 6, 3), F))
GREY = model(image=((None, 4, 6, 1), F))
FIRST = model(image=((None, 3, 4, 6), F))  # the channels first
BYTES = model(image=((None, 4, 6, 3), "uint8"))
ANY_SIZE = model(image=((None, None, None, 3), F))
TABLE = model(features=((None, 3), F))
TOKENS = model(ids=((None, 5), "int32"))
PARTS = {"label": ((None, 3), F), "box": ((None, 4), F)}
TWO = model(image=((None, 4, 6, 3), F), sensor=((None, 2), F))
TWO_OUT = model(PARTS, image=((None, 4, 6, 3), F))
ONE_BY_ONE = model({"scores": ((1, 3), F)}, image=((1, 4, 6, 3), F))
NAMED = model(age=((None, 1), F), height=((None,), F))

rng = np.random.default_rng(0)
X = rng.random((20, 4, 6, 3), F)
Y = np.arange(20) % 3
SENSOR = rng.random((20, 2), F)
PIXELS = rng.integers(0, 256, (20, 4, 6, 3), np.uint8)
IDS = np.arange(100).reshape(20, 5)


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


def joined(data, name="image"):
    """All samples in the order of the source, whatever the split."""
    parts = np.concatenate([data.calibration[name], data.test[name]])
    found = np.empty_like(parts)
    found[np.random.default_rng(0).permutation(len(parts))] = parts
    return found


def npz(tmp_path, **arrays):
    np.savez(tmp_path / "own.npz", **arrays)
    return tmp_path / "own.npz"


def code(tmp_path, text):
    (tmp_path / "data.py").write_text("import numpy as np\n" + text)
    return tmp_path / "data.py"


def pictures(folder, names, size=(6, 4), mode="RGB"):
    """Image files of one colour each; the n-th is of the value 10 n."""
    for n, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (10 * n,) * 3).convert(mode).save(folder / name)
    return folder


def two_classes(folder, count=4, **how):
    names = [f"{name}/{n}.png" for name in ("cat", "dog", "owl") for n in range(count)]
    return pictures(folder, names, **how)


# ---- one source is split


def test_an_npz_is_split_at_random_and_says_so(tmp_path, out):
    data = own_data.read(npz(tmp_path, image=X, y=Y), IMAGE, out)
    assert [len(data.calibration["image"]), len(data.test["image"])] == [10, 10]
    assert (
        data.split == "10 of 20 samples, drawn at random with seed 0, calibrate; the other 10 test"
    )
    assert data.test_ids.tolist() == np.random.default_rng(0).permutation(20)[10:].tolist()
    assert np.array_equal(data.test["image"], X[data.test_ids])
    assert np.array_equal(data.targets, Y[data.test_ids])
    others = np.random.default_rng(0).permutation(20)[:10]
    assert np.array_equal(data.calibration["image"], X[others])
    assert np.array_equal(data.calibration_targets, Y[others])
    assert (data.source, data.notes, data.classes, data.metric) == ("own.npz", (), (), None)


def test_another_seed_draws_others_and_the_same_seed_the_same(tmp_path, out):
    file = npz(tmp_path, image=X, y=Y)
    first, again, other = (own_data.read(file, IMAGE, out, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.test_ids, again.test_ids) and first.sha256 == again.sha256
    assert not np.array_equal(first.test_ids, other.test_ids) and first.sha256 != other.sha256


def test_at_most_300_calibrate(out):
    data = own_data.read(rng.random((1000, 3), F), TABLE, out)
    assert [len(data.calibration["features"]), len(data.test["features"])] == [300, 700]


def test_the_arrays_are_mapped_from_whole_files(tmp_path, out):
    data = own_data.read(npz(tmp_path, image=X, y=Y), IMAGE, out)
    array = data.test["image"]
    assert isinstance(array, np.memmap) and not array.flags.writeable
    assert np.array_equal(np.load(array.filename), X[data.test_ids])
    found = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    sides = ("calibration/inputs", "calibration/targets", "test/inputs", "test/targets")
    assert found == [f"samples/{side}/0.npy" for side in sides]


def test_calibration_and_test_are_kept_apart_and_in_order(tmp_path, out):
    first = npz(tmp_path, image=X[:5])
    first.rename(tmp_path / "calibration.npz")
    second = npz(tmp_path, image=X[5:], y=Y[5:])
    data = own_data.read(None, IMAGE, out, calibration=tmp_path / "calibration.npz", test=second)
    assert np.array_equal(data.calibration["image"], X[:5])
    assert np.array_equal(data.test["image"], X[5:]) and np.array_equal(data.targets, Y[5:])
    assert data.split == "5 samples of calibration.npz calibrate; 15 samples of own.npz test"
    assert (data.source, data.test_ids) == ("calibration.npz, own.npz", None)


def test_a_relative_folder_is_found_from_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = own_data.scaled(own_data.read(PIXELS, IMAGE, "out"), "0..1", "out")
    monkeypatch.chdir(os.sep)
    assert np.array_equal(np.load(data.test["image"].filename), data.test["image"])


def test_only_one_part_may_be_given(out):
    data = own_data.read(None, IMAGE, out, calibration=X)
    assert np.array_equal(data.calibration["image"], X) and data.test is data.targets is None
    data = own_data.read(None, IMAGE, out, test=(X, Y))
    assert data.calibration is None and np.array_equal(data.targets, Y)


def test_data_is_returned_as_it_is(out):
    data = own_data.read(X, IMAGE, out)
    assert own_data.read(data, IMAGE, out) is data
    assert repr(data).startswith("Data(the ndarray: 10 of 20 samples")


# ---- arrays


@pytest.mark.parametrize("name", ["image", "x", "arr_0", "pixels"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_one_input_has_any_name_but_y(tmp_path, out, name, save):
    save(tmp_path / "own.npz", **{name: X, "y": Y})
    data = own_data.read(tmp_path / "own.npz", IMAGE, out)
    assert np.array_equal(joined(data), X)


def test_fortran_order_and_another_byte_order_are_read(tmp_path, out):
    data = own_data.read(npz(tmp_path, x=np.asfortranarray(X), y=Y.astype(">i4")), IMAGE, out)
    assert np.array_equal(joined(data), X) and np.array_equal(data.targets, Y[data.test_ids])


def test_several_inputs_and_outputs_go_by_name(tmp_path, out):
    data = own_data.read(npz(tmp_path, sensor=SENSOR, y=Y, image=X), TWO, out)
    assert list(data.test) == ["image", "sensor"]
    assert np.array_equal(joined(data, "sensor"), SENSOR)
    boxes = rng.random((20, 4))
    data = own_data.read(npz(tmp_path, image=X, box=boxes, label=Y), TWO_OUT, out)
    assert set(data.targets) == {"label", "box"} and data.targets["box"].dtype == np.float64
    assert np.array_equal(data.targets["box"], boxes[data.test_ids])
    data = own_data.read(npz(tmp_path, image=X, label=Y), TWO_OUT, out)
    assert list(data.targets) == ["label"]


def test_an_array_that_nobody_needs_is_left_out_and_named(tmp_path, out):
    data = own_data.read(npz(tmp_path, image=X, y=Y, ids=IDS), IMAGE, out)
    assert data.notes == ("not used: ids",)


def test_the_cure_of_wrong_names_is_for_what_was_given(tmp_path, out):
    """A file is written again, a dictionary not; several outputs have their own targets."""
    signature = model(PARTS, image=((None, 4, 6, 3), F), sensor=((None, 2), F))
    arrays = {"image": X, "sensors": SENSOR}
    with pytest.raises(InputError, match=r": np.savez\(file, image=..., .*label=..., box=...\) g"):
        own_data.read(npz(tmp_path, **arrays), signature, out)
    with pytest.raises(InputError, match=r": \{'image': ..., .*'label': ..., 'box': ...\} gives"):
        own_data.read(arrays, signature, out)


def test_targets_under_a_misspelt_name_are_refused(out):
    with pytest.raises(InputError, match=r"lable, which is no input.* output label has no targets"):
        own_data.read({"image": X, "box": SENSOR, "lable": Y}, TWO_OUT, out)
    data = own_data.read({"image": X, "box": SENSOR, "weather": Y}, TWO_OUT, out)
    assert data.notes == ("not used: weather",)


def test_an_only_input_of_another_name_is_noted(out):
    assert own_data.read({"picture": X, "y": Y}, IMAGE, out).notes == (
        "picture is taken as the input image",
    )
    assert own_data.read({"image": X, "y": Y}, IMAGE, out).notes == ()


def test_an_npy_has_one_input_and_no_targets(tmp_path, out):
    np.save(tmp_path / "own.npy", X)
    data = own_data.read(str(tmp_path / "own.npy"), IMAGE, out)
    assert np.array_equal(joined(data), X) and data.targets is None


def test_a_model_of_fixed_batch_takes_samples_too(out):
    assert np.array_equal(joined(own_data.read((X, Y), ONE_BY_ONE, out)), X)


# ---- numbers


@pytest.mark.parametrize(
    ("given", "signature", "name", "note"),
    [
        (X.astype("float64"), IMAGE, "image", "image: float64 cast to float32"),
        (X.astype("float16"), IMAGE, "image", "image: float16 cast to float32"),
        (IDS, TOKENS, "ids", "ids: int64 cast to int32"),
        (IDS.astype("uint8"), TOKENS, "ids", "ids: uint8 cast to int32"),
        (IDS.astype("float64"), TOKENS, "ids", "ids: float64 cast to int32"),
        (IDS[:, :3], TABLE, "features", "features: int64 cast to float32"),
        (IDS[:, :3] > 9, TABLE, "features", "features: bool cast to float32"),
    ],
)
def test_what_loses_nothing_is_cast_and_noted(given, signature, name, note, out):
    data = own_data.read(given, signature, out)
    assert data.test[name].dtype == signature.inputs[name].dtype
    assert np.array_equal(data.test[name], given[data.test_ids].astype(data.test[name].dtype))
    assert data.notes == (note,)


@pytest.mark.parametrize(
    ("given", "signature", "words"),
    [
        (
            IDS + 2**40,
            TOKENS,
            r"ids holds 1099511627776, but the model takes int32, -2147483648 to",
        ),
        (IDS + 0.5, TOKENS, r"ids holds 0.5, but the model takes whole numbers \(int32\)"),
        (
            IDS - 1,
            model(ids=((None, 5), "uint8")),
            r"ids holds -1, but the model takes uint8, 0 to",
        ),
        (X.astype(float) * 1e300, IMAGE, r"image holds .*e\+299, which is more than float32 can"),
        (X.astype(complex), IMAGE, "image is complex128, the model takes float32: only arrays of"),
        (X.astype(str), IMAGE, "image is <U32, .*tokenize or encode text as in training"),
        (X, model(words=((None, 4, 6, 3), object)), "words is float32, the model takes object"),
    ],
)
def test_what_would_lose_something_is_refused(given, signature, words, out):
    with pytest.raises(InputError, match=words):
        own_data.read(given, signature, out)
    assert not out.joinpath("samples").exists()


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "inf"), (-np.inf, "inf")])
def test_what_is_not_finite_is_found_in_its_sample(tmp_path, out, value, word, monkeypatch):
    spoiled = X.copy()
    spoiled[17, 2, 1] = value
    monkeypatch.setattr(sample_files, "BLOCK_BYTES", 5 * X[0].nbytes)
    words = rf"sample 17: image holds {word}; fill in what is missing .*leave the sample out"
    one_by_one = (sample for sample in spoiled)
    for source in (npz(tmp_path, image=spoiled, y=Y), spoiled, (spoiled, Y), one_by_one):
        with pytest.raises(InputError, match=words):
            own_data.read(source, IMAGE, out)
    with pytest.raises(InputError, match=words):
        own_data.read([spoiled[:8], spoiled[8:]], IMAGE, out)
    with pytest.raises(InputError, match=r"sample 3: the target 'y' holds NaN"):
        own_data.read((X, np.where(np.arange(20) == 3, np.nan, 1.5)), IMAGE, out)


# ---- targets


def test_class_names_are_numbered_in_sorted_order_and_that_is_noted(tmp_path, out):
    names = np.array(["pear", "apple", "fig"])[Y]
    data = own_data.read(npz(tmp_path, image=X, y=names), IMAGE, out)
    assert data.classes == ("apple", "fig", "pear")
    assert np.array_equal(data.targets, np.array([2, 0, 1])[Y][data.test_ids])
    assert data.notes == ("classes are numbered in sorted order: 0 = apple, 1 = fig, 2 = pear",)
    data = own_data.read([(x, name) for x, name in zip(X, names, strict=True)], IMAGE, out)
    assert data.classes == ("apple", "fig", "pear")


def test_names_of_two_classes_are_one_sigmoids(out):
    yes_no = model({"p": ((None, 1), F)}, image=((None, 4, 6, 3), F))
    data = own_data.read((X, np.array(["no", "yes"])[Y % 2]), yes_no, out)
    assert data.classes == ("no", "yes") and set(data.targets) == {0, 1}


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (Y[:19], "20 of image, 19 of y"),
        (np.array(["a", "b"])[Y % 2], r"2 classes \(a, b\), but the model's output has 3 columns"),
        (np.full(20, "a"), "there is one class only, a: .* Give samples of every class"),
        (np.full(20, 2), r"all 20 targets \(y\) are 2: .*Give samples of several classes"),
        (np.full((20, 1), 2.5), r"all 20 targets \(y\) are 2.5"),
        (np.array(5), "y is a single number; expected one for each sample"),
        (
            np.array([["a", "b"]] * 20),
            r"the targets are text of shape \(20, 2\): one name a sample",
        ),
        (Y.astype(complex), "the target 'y' is complex128; expected numbers, or class names"),
    ],
)
def test_targets_that_do_not_fit(y, words, out):
    with pytest.raises(InputError, match=words):
        own_data.read((X, y), IMAGE, out)


def test_targets_under_another_name_are_not_lost(tmp_path, out):
    words = r"it has no targets, but labels: call targets y, or by the outputs' names \(scores\)"
    with pytest.raises(InputError, match=words):
        own_data.read(npz(tmp_path, image=X, labels=Y), IMAGE, out)
    with pytest.raises(InputError, match=words):
        own_data.read([{"image": x, "labels": y} for x, y in zip(X, Y, strict=True)], IMAGE, out)
    with pytest.raises(InputError, match="given for labels; the model's outputs are called scores"):
        own_data.read((X, {"labels": Y}), IMAGE, out)


def test_targets_by_both_ways_at_once_are_refused(tmp_path, out):
    with pytest.raises(InputError, match="targets as y, label: give them either as y or by"):
        own_data.read(npz(tmp_path, image=X, y=Y, label=Y), TWO_OUT, out)
    with pytest.raises(InputError, match="given for mask; the model's outputs are called scores"):
        own_data.read([(x, {"mask": y}) for x, y in zip(X, Y, strict=True)], IMAGE, out)
    with pytest.raises(InputError, match="the targets label are text: give numbers for each"):
        own_data.read([(x, {"label": "a", "box": np.zeros(4)}) for x in X], TWO_OUT, out)


# ---- files that are none


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("gone.npz", None, "gone.npz: there is no such file or folder"),
        ("own.parquet", b"", r"\.parquet is not read; expected \.npz, \.npy, \.csv, .*np\.savez"),
        ("own", b"", "a file without an ending is not read"),
        ("own.npz", b"", "it is damaged, or no .npz"),
        ("own.npz", b"PK\x03\x04" + bytes(99), "it is damaged, or no .npz"),
        ("own.npy", b"", "own.npy is damaged, or no array"),
        ("own.npy", b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran", "is damaged, or no array"),
        ("own.csv", b"", "it is damaged, or no table"),
        ("own.csv", b"\xff\xfe\x00\x81", "it is damaged, or no table"),
        ("own.csv", b'a,b\n1,2\n1,2,3\n"', "it is damaged, or no table"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path, out, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words):
        own_data.read(tmp_path / name, TABLE, out)
    assert not out.joinpath("samples").exists()


@pytest.mark.parametrize("where", [0.3, 0.6, 0.999])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_npz_with_a_wrong_byte_or_an_end_too_soon(tmp_path, out, where, save):
    buffer = io.BytesIO()
    save(buffer, image=X, y=Y)
    content = bytearray(buffer.getvalue())
    place = int(where * len(content))
    (tmp_path / "short.npz").write_bytes(content[:place])
    content[place - 20] ^= 0xFF
    (tmp_path / "wrong.npz").write_bytes(content)
    for name in ("short.npz", "wrong.npz")[: 1 if where > 0.9 else 2]:
        with pytest.raises(InputError, match=f"{name}: it is damaged, or no .npz"):
            own_data.read(tmp_path / name, IMAGE, out)


def test_a_header_that_is_no_python_and_a_place_outside_of_the_file(tmp_path, out):
    """Found by changing bytes at random: NumPy and zipfile had other errors for these."""
    head = b"{'descr': '<f4', 'fortran_order': 4, 6, 3), }".ljust(117) + b"\n"
    (tmp_path / "own.npy").write_bytes(b"\x93NUMPY\x01\x00\x76\x00" + head + bytes(99))
    with pytest.raises(InputError, match=r"own.npy is damaged, or no array"):
        own_data.read(tmp_path / "own.npy", IMAGE, out)
    content = bytearray(npz(tmp_path, image=X, y=Y).read_bytes())
    content[content.rindex(b"PK\x05\x06") + 16] += 10  # where the list of names begins
    (tmp_path / "own.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"own.npz: it is damaged, or no .npz"):
        own_data.read(tmp_path / "own.npz", IMAGE, out)


def test_pickled_objects_are_not_opened(tmp_path, out):
    trap = tmp_path / "trap"

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(trap),)

    objects = np.array([Bomb()] * 20, object)
    np.savez(tmp_path / "own.npz", image=X, y=objects)
    with pytest.raises(InputError, match=r"y.npy holds Python objects, which may run code.*plain"):
        own_data.read(tmp_path / "own.npz", IMAGE, out)
    np.save(tmp_path / "own.npy", objects)
    with pytest.raises(InputError, match=r"own.npy holds Python objects, which may run code"):
        own_data.read(tmp_path / "own.npy", IMAGE, out)
    assert not trap.exists()


def test_a_zip_of_something_else_is_no_npz(tmp_path, out):
    with zipfile.ZipFile(tmp_path / "own.npz", "w") as archive:
        archive.writestr("../readme.txt", "hello")
    with pytest.raises(InputError, match=r"readme.txt is damaged, or no array"):
        own_data.read(tmp_path / "own.npz", IMAGE, out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "own.npz"]


@pytest.mark.parametrize(
    ("arrays", "signature", "words"),
    [
        (
            {"a": X, "b": X},
            IMAGE,
            r"it has a, b; the model's inputs are called image: .*image.*\.\.\., '?y",
        ),
        ({"y": Y}, IMAGE, "it has y; the model's inputs are called image"),
        (
            {"image": X, "sensors": SENSOR},
            TWO,
            r"inputs are called image, sensor: .*sensor.*\.\.\., '?y",
        ),
        ({"image": X, "sensor": SENSOR[:9]}, TWO, "expected as many of each: 20 of image, 9 of s"),
        ({"image": X[:0], "y": Y[:0]}, IMAGE, "no samples: give two at least"),
        ({"image": X[:1], "y": Y[:1]}, IMAGE, "own.npz: one sample: one must calibrate"),
        ({"image": X[0], "y": Y[:1]}, IMAGE, "this is one sample; two at least are needed"),
        (
            {"image": X[..., 0]},
            GREY,
            r"\(20, 4, 6\), the model takes \(N, 4, 6, 1\): image\[\.\.\.",
        ),
        ({"image": X.transpose(0, 3, 1, 2)}, IMAGE, r"image.transpose\(0, 2, 3, 1\) puts the chan"),
        ({"image": X}, FIRST, r"image.transpose\(0, 3, 1, 2\) puts the channels first"),
        ({"image": X[:, :3]}, IMAGE, r"the shape \(20, 3, 6, 3\), the model takes \(N, 4, 6, 3\)"),
        ({"image": X[..., 0]}, ANY_SIZE, r"\(20, 4, 6\), the model takes \(N, \?, \?, 3\)"),
    ],
)
def test_arrays_that_do_not_fit_the_model(tmp_path, out, arrays, signature, words):
    with pytest.raises(InputError, match=words):
        own_data.read(npz(tmp_path, **arrays), signature, out)
    with pytest.raises(InputError, match=words.replace("own.npz", "the dict")):
        own_data.read(arrays, signature, out)


def test_an_npy_has_no_place_for_two_inputs(tmp_path, out):
    np.save(tmp_path / "own.npy", X)
    with pytest.raises(InputError, match=r"an .npy has one array, the model takes image, sensor"):
        own_data.read(tmp_path / "own.npy", TWO, out)


@pytest.mark.parametrize("given", [{}, {"source": X, "test": X}])
def test_one_source_or_two_parts(out, given):
    with pytest.raises(InputError, match="as one source, which is split, or as calibration="):
        own_data.read(given.pop("source", None), IMAGE, out, **given)


def test_the_part_at_fault_is_named(out):
    with pytest.raises(InputError, match="test: the ndarray: image has the shape"):
        own_data.read(None, IMAGE, out, calibration=X, test=X[:, 1:])


# ---- tables


def csv(tmp_path, text):
    (tmp_path / "own.csv").write_text(text)
    return tmp_path / "own.csv"


ROWS = "a,b,kind,c\n" + "".join(f"{n},{n / 2},{'xyz'[n % 3]},{n % 2 == 0}\n" for n in range(20))


def test_a_table_gives_its_numeric_columns_and_the_target(tmp_path, out):
    data = own_data.read(csv(tmp_path, ROWS), TABLE, out, target="kind")
    n = data.test_ids
    assert np.array_equal(data.test["features"], np.stack([n, n / 2, n % 2 == 0], 1).astype(F))
    assert np.array_equal(data.targets, n % 3) and data.classes == ("x", "y", "z")
    assert data.notes[-1] == "classes are numbered in sorted order: 0 = x, 1 = y, 2 = z"
    frame = pd.read_csv(tmp_path / "own.csv")
    again = own_data.read(frame, TABLE, out, target="kind")
    assert again.sha256 == data.sha256 and again.source == "the DataFrame"


def test_a_table_feeds_inputs_that_have_its_columns_names(tmp_path, out):
    text = "height,id,age\n" + "".join(f"{n / 2},{n},{n}\n" for n in range(20))
    data = own_data.read(csv(tmp_path, text), NAMED, out)
    assert data.test["age"].shape == (10, 1) and data.test["height"].shape == (10,)
    assert np.array_equal(data.test["height"] * 2, data.test_ids) and data.targets is None
    assert data.notes[0] == "not used: id"


def test_a_column_of_row_numbers_is_left_out(tmp_path, out):
    frame = pd.DataFrame(rng.random((20, 3)), columns=["a", "b", "c"])
    frame.to_csv(tmp_path / "own.csv")
    data = own_data.read(tmp_path / "own.csv", TABLE, out)
    assert np.allclose(data.test["features"], frame.to_numpy()[data.test_ids])
    assert data.notes[0] == "not used: the first column, which has no name"


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        (ROWS, {"target": "price"}, "no column 'price' for the target; it has a, b, kind, c"),
        (
            ROWS,
            {},
            "the column 'kind' holds text, such as 'x': leave it out, encode .*name it: --column",
        ),
        (ROWS, {"target": "a"}, "the column 'kind' holds text"),
        ("a,b,c\n1,,3\n4,5,6\n", {}, r"the column 'b' is empty in row 0 \(line 2 of the file\)"),
        ("a,b,c,y\n1,2,3,0\n4,5,6,\n", {"target": "y"}, r"'y' is empty in row 1 \(line 3"),
        (
            "a,b,c,y\n1,2,3,0\n4,5,6,1\n",
            {},
            r"4 columns .*\(a, b, c, y\), the model takes 3\. Is o.*it: --column N.*column=",
        ),
        ("a,b,y\n1,2,0\n4,5,1\n", {"target": "y"}, r"2 columns .*\(a, b\), the model takes 3$"),
        ("a,b,c\n1,inf,3\n4,5,6\n", {}, "sample 0: features holds inf"),
        ("1,2,3\n4,5,6\n7,8,9\n", {}, "its first line is 1, 2, 3, ...: put a line with the col"),
        ("a;b;c\n1;2;3\n", {}, "separated by semicolons: write it with commas"),
        ("a,b,c\n", {}, "it has no rows"),
        ("a,b,c,y\n1,2,3,5\n4,5,6,5\n", {"target": "y"}, r"all 2 targets \(y\) are 5"),
    ],
)
def test_a_table_that_does_not_fit(tmp_path, out, text, options, words):
    with pytest.raises(InputError, match=words):
        own_data.read(csv(tmp_path, text), TABLE, out, **options)


@pytest.mark.parametrize("signature", [IMAGE, TWO])
def test_a_table_feeds_no_images(tmp_path, out, signature):
    with pytest.raises(InputError, match="a table feeds one input of numbers in a row"):
        own_data.read(csv(tmp_path, "a,b\n1,2\n3,4\n"), signature, out)


def test_a_table_with_two_columns_of_one_name(out):
    frame = pd.DataFrame(np.zeros((4, 3)), columns=["a", "a", "b"])
    with pytest.raises(InputError, match="2 columns 'a': give each its own name"):
        own_data.read(frame, TABLE, out)


def test_only_a_table_has_a_target_column(tmp_path, out):
    for source in (X, npz(tmp_path, x=X), pictures(tmp_path / "flat", ["a.png", "b.png"])):
        with pytest.raises(InputError, match=r"'kind' is asked for, and only a \.csv has"):
            own_data.read(source, IMAGE, out, target="kind")


# ---- images and their scaling


def test_a_folder_of_classes(tmp_path, out):
    folder = two_classes(tmp_path / "animals")
    data = own_data.read(folder, IMAGE, out, scale="0..1")
    n = data.test_ids
    assert np.array_equal(data.test["image"][:, 0, 0, 0], (10 * n).astype(F) / np.float32(255))
    assert data.test["image"].dtype == F and data.test["image"].shape == (6, 4, 6, 3)
    assert np.array_equal(data.targets, n // 4) and data.classes == ("cat", "dog", "owl")
    assert data.notes == (
        "classes are numbered in sorted order: 0 = cat, 1 = dog, 2 = owl",
        "image: pixels scaled by 0..1",
    )
    assert data.scalings["image"].std == (255,) and data.choices == {}


def test_a_flat_folder_has_no_targets(tmp_path, out):
    folder = pictures(tmp_path / "flat", ["a.PNG", "b.jpg", "c.bmp", "d.gif", "e.webp"])
    (folder / "notes.txt").write_text("x")
    (folder / ".DS_Store").write_text("x")
    (folder / "__MACOSX").mkdir()
    data = own_data.read(folder, IMAGE, out, scale="0..255")
    assert len(data.test["image"]) == 3 and data.targets is None and data.classes == ()
    assert data.notes[0] == "1 files that are no images were left out"


def test_images_for_a_model_that_takes_bytes_need_no_scaling(tmp_path, out):
    data = own_data.read(two_classes(tmp_path / "animals"), BYTES, out)
    assert data.test["image"].dtype == np.uint8 and data.choices == {} == data.scalings
    with pytest.raises(InputError, match=r"scale='0..1' is for uint8 pixels that become floats"):
        own_data.read(tmp_path / "animals", BYTES, out, scale="0..1")


def test_without_a_scale_every_usual_one_can_be_tried(tmp_path, out):
    data = own_data.read(two_classes(tmp_path / "animals"), IMAGE, out)
    assert data.calibration["image"].dtype == data.test["image"].dtype == np.uint8
    assert list(data.choices) == ["0..1", "-1..1", "0..255", "imagenet", "caffe"]
    tried = {name: (rows["image"], y) for name, rows, y in own_data.tries(data, 4)}
    pixels = np.array(data.calibration["image"][:4])
    for name, scaling in own_images.usual((4, 6, 3)).items():
        found, y = tried[name]
        assert found.dtype == F and np.array_equal(found, scaling(pixels))
        assert np.array_equal(y, data.calibration_targets[:4])
    settled = own_data.scaled(data, "-1..1", out)
    told = own_data.read(tmp_path / "animals", IMAGE, tmp_path / "again", scale="-1..1")
    for role in ("calibration", "test"):
        found, expected = getattr(settled, role)["image"], getattr(told, role)["image"]
        assert np.array_equal(found, expected) and isinstance(found, np.memmap)
    assert (settled.notes, settled.scalings, settled.choices) == (told.notes, told.scalings, {})
    assert list(own_data.tries(settled)) == []
    with pytest.raises(InputError, match="no pixels wait to be scaled"):
        own_data.scaled(settled, "0..1", out)
    with pytest.raises(InputError, match=r"scale='1\.\.2'; expected 0\.\.1, -1"):
        own_data.scaled(data, "1..2", out)


def test_pixels_in_arrays_wait_for_their_scaling_too(out):
    data = own_data.read({"image": PIXELS, "sensor": SENSOR, "y": Y}, TWO, out)
    assert set(data.choices["0..1"]) == {"image"}
    name, rows, y = next(own_data.tries(data, 5))
    assert (name, rows["image"].dtype, rows["sensor"].dtype, len(y)) == ("0..1", F, F, 5)
    told = own_data.read({"image": PIXELS, "sensor": SENSOR, "y": Y}, TWO, out, scale="0..1")
    assert np.array_equal(told.test["image"], PIXELS[told.test_ids] / np.float32(255))
    assert np.array_equal(told.test["sensor"], SENSOR[told.test_ids])
    flat = own_data.read(PIXELS.reshape(20, 72), model(x=((None, 72), F)), out)
    assert list(flat.choices) == ["0..1", "-1..1", "0..255"]
    with pytest.raises(InputError, match="is for uint8 pixels that become floats, and none came"):
        own_data.read(X, IMAGE, out, scale="0..1")


def test_pixels_in_one_part_and_floats_in_the_other_are_refused(out):
    with pytest.raises(InputError, match=r"one part has pixels \(uint8\), the other floats"):
        own_data.read(None, IMAGE, out, calibration=PIXELS, test=X)
    with pytest.raises(InputError, match=r"test: the ndarray: scale='0\.\.1' is for uint8 pixels"):
        own_data.read(None, IMAGE, out, calibration=PIXELS, test=X, scale="0..1")
    assert not out.joinpath("samples").exists()


def test_the_tries_have_the_tests_samples_where_there_are_no_others(out):
    data = own_data.read(None, IMAGE, out, test=(PIXELS, Y))
    assert [len(y) for *_, y in own_data.tries(data)] == [20] * 5


def test_the_scalings_are_those_of_the_libraries():
    """Keras' own preprocess_input, all three of its modes."""
    from_keras = sandbox.call("test_own_data:of_keras", PIXELS, imported="tensorflow")
    names = {"tf": "-1..1", "torch": "imagenet", "caffe": "caffe"}
    for mode, name in names.items():
        ours = own_images.scaling(name, (4, 6, 3))(PIXELS)
        np.testing.assert_allclose(ours, from_keras[mode], atol=1e-4)
        first = own_images.scaling(name, (3, 40, 60))
        np.testing.assert_array_equal(
            first(PIXELS.transpose(0, 3, 1, 2)), ours.transpose(0, 3, 1, 2)
        )


def of_keras(pixels):
    module = tensorflow().keras.applications.imagenet_utils
    return {
        mode: module.preprocess_input(pixels.astype(F), data_format="channels_last", mode=mode)
        for mode in ("tf", "torch", "caffe")
    }


@pytest.mark.parametrize(
    ("text", "mean", "std"),
    [
        ("127.5,127.5", (127.5,), (127.5,)),
        ("0,255", (0,), (255,)),
        ("0.5,0.5", (127.5,), (127.5,)),
        ("0.485,0.456,0.406,0.229,0.224,0.225", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
        ("1, 2, 3, 4, 5, 6", (1, 2, 3), (4, 5, 6)),
    ],
)
def test_a_scaling_of_ones_own(text, mean, std):
    found = own_images.scaling(text, (4, 6, 3))
    assert found.mean == pytest.approx(mean) and found.std == pytest.approx(std)
    expected = (PIXELS - np.array(mean)) / np.array(std)
    np.testing.assert_allclose(found(PIXELS), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("text", ["", "1..0", "2", "a,b", "1,2,3", "nan,1", "1,0", "0,1", "5,-1"])
def test_a_scaling_that_is_none(text, out):
    with pytest.raises(InputError, match=f"scale='{text}'"):
        own_images.scaling(text, (4, 6, 3))


def test_a_wrong_scale_is_said_before_anything_is_read(out):
    with pytest.raises(InputError, match=r"scale='255'; expected 0..1, -1..1, 0..255"):
        own_data.read("no such file.npz", IMAGE, out, scale="255")


# ---- what is done to images


def read_one(tmp_path, picture, signature=IMAGE, name="a.png", **options):
    """The array of one picture that lies in a folder twice, and what was noted."""
    folder = tmp_path / "flat"
    folder.mkdir()
    for copy in ("1" + name, "2" + name):
        picture.save(folder / copy, **options)
    data = own_data.read(folder, signature, tmp_path / "out", scale="0..255")
    return data.test["image"][0], [note for note in data.notes if not note.startswith("image")]


def test_another_size_is_resized_and_said(tmp_path):
    picture = Image.fromarray(rng.integers(0, 256, (8, 12, 3), np.uint8))
    found, notes = read_one(tmp_path, picture)
    assert np.array_equal(found, np.asarray(picture.resize((6, 4), Image.Resampling.BILINEAR)))
    assert notes == ["2 of 2 images resized to 6x4 (bilinear; the sides' ratio is not kept)"]


def test_an_open_size_is_that_of_the_first_image(tmp_path):
    picture = Image.fromarray(rng.integers(0, 256, (8, 12, 3), np.uint8))
    found, notes = read_one(tmp_path, picture, ANY_SIZE)
    assert np.array_equal(found, np.asarray(picture)) and notes == []


def test_a_camera_held_upright_is_turned(tmp_path):
    upright = Image.fromarray(rng.integers(0, 256, (4, 6, 3), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn it by 90 degrees to the right"
    lying = upright.transpose(Image.Transpose.ROTATE_90)
    for signature, where in ((IMAGE, tmp_path / "a"), (ANY_SIZE, tmp_path / "b")):
        where.mkdir()
        found, notes = read_one(where, lying, signature, exif=exif)
        assert np.array_equal(found, np.asarray(upright))
        assert notes == ["2 of 2 images turned as their EXIF tag says"]


def test_colours_become_the_models(tmp_path):
    colour = Image.fromarray(PIXELS[0])
    transparent = colour.convert("RGBA")
    transparent.putalpha(100)
    cases = [
        (colour, GREY, np.asarray(colour.convert("L"))[..., None], "turned to grey"),
        (colour.convert("L"), IMAGE, np.asarray(colour.convert("L").convert("RGB")), "in grey"),
        (transparent, IMAGE, PIXELS[0], "with an alpha channel, which was dropped"),
        (colour, FIRST, PIXELS[0].transpose(2, 0, 1), None),
        (transparent, model(image=((None, 4, 6, 4), F)), np.asarray(transparent), None),
        (
            colour.convert("L"),
            model(image=((None, 4, 6), F)),
            np.asarray(colour.convert("L")),
            None,
        ),
    ]
    for number, (picture, signature, expected, note) in enumerate(cases):
        where = tmp_path / str(number)
        where.mkdir()
        found, notes = read_one(where, picture, signature)
        assert np.array_equal(found, expected), number
        assert len(notes) == (note is not None) and all(note in said for said in notes), number


def test_sixteen_bits_of_grey_are_eight(tmp_path):
    deep = (np.arange(24, dtype=np.uint16) * 2700).reshape(4, 6)
    found, notes = read_one(tmp_path, Image.fromarray(deep), GREY)
    assert np.array_equal(found[..., 0], deep >> 8)
    assert notes == ["2 of 2 images of 16 bits, of which the upper 8 were taken"]


def test_a_million_images_are_not_all_read(tmp_path, out, monkeypatch):
    monkeypatch.setattr(own_data.images, "TEST_IMAGES", 5)
    monkeypatch.setattr(own_data.images, "CALIBRATION_SAMPLES", 3)
    data = own_data.read(two_classes(tmp_path / "animals"), IMAGE, out, scale="0..1")
    assert len(data.test["image"]) + len(data.calibration["image"]) == 8
    assert "8 of 12 images, drawn at random" in data.notes


def test_a_picture_that_makes_pillow_warn_is_read_without_a_word(tmp_path, recwarn, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)  # one of 24 warns, one above 40 is refused
    read_one(tmp_path, Image.fromarray(PIXELS[0]))
    assert [str(warning.message) for warning in recwarn] == []
    two_classes(tmp_path / "animals", size=(12, 8))
    with pytest.raises(InputError, match=r"0.png is damaged or no image \(Image size \(96 pixels"):
        own_data.read(tmp_path / "animals", IMAGE, tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"GIF89a", "half"])
def test_a_damaged_image_is_named(tmp_path, out, content):
    folder = two_classes(tmp_path / "animals", size=(60, 40))
    whole = (folder / "dog" / "2.png").read_bytes()
    (folder / "dog" / "2.png").write_bytes(whole[:-30] if content == "half" else content)
    with pytest.raises(InputError, match=r"dog.2\.png is damaged or no image \(.*take it out of"):
        own_data.read(folder, IMAGE, out)
    assert not out.joinpath("samples").exists()


def test_a_photograph_cut_short_is_named(tmp_path, out):
    folder = tmp_path / "flat"
    folder.mkdir()
    picture = Image.fromarray(rng.integers(0, 256, (40, 60, 3), np.uint8))
    picture.save(folder / "a.jpg")
    (folder / "b.jpg").write_bytes((folder / "a.jpg").read_bytes()[:900])
    with pytest.raises(
        InputError, match=r"b\.jpg is damaged or no image \(image file is truncated"
    ):
        own_data.read(folder, IMAGE, out)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], r"animals has no images \(\.png, "),
        (
            ["cat/a.png", "dog/b.png"],
            r"2 classes \(cat, dog\), but the model's output has 3 columns",
        ),
        (["cat/a.png", "cat/b.png"], "there is one class only, cat"),
        (["cat/a.png", "dog/b.png", "c.png"], "has images, such as c.png, beside folders, such as"),
        (
            ["train/cat/a.png", "test/cat/b.png"],
            r"test, train, which are parts.*calibration=.*test=",
        ),
    ],
)
def test_a_folder_that_does_not_fit(tmp_path, out, names, words):
    (tmp_path / "animals").mkdir()
    with pytest.raises(InputError, match=words):
        own_data.read(pictures(tmp_path / "animals", names), IMAGE, out)


def test_a_folder_of_folders_without_images(tmp_path, out):
    (tmp_path / "animals" / "cat").mkdir(parents=True)
    (tmp_path / "animals" / "cat" / "readme.txt").write_text("x")
    with pytest.raises(InputError, match="animals has no images"):
        own_data.read(tmp_path / "animals", IMAGE, out)


def test_a_class_without_images_keeps_its_number(tmp_path, out):
    pictures(tmp_path / "animals", ["cat/a.png", "cat/b.png", "owl/a.png", "owl/b.png"])
    (tmp_path / "animals" / "dog").mkdir()
    data = own_data.read(tmp_path / "animals", IMAGE, out)
    assert set(data.targets) | set(data.calibration_targets) == {0, 2}


@pytest.mark.parametrize(
    ("signature", "words"),
    [
        (TWO, "images feed one input, the model takes image, sensor: give an .npz"),
        (TABLE, r"takes features: float32 \(\?, 3\), which is no image of 1, 3 or 4 channels"),
        (model(image=((None, 4, 6, 5), F)), "which is no image of 1, 3 or 4 channels"),
        (model(image=((None, 4, 6, 3), "int32")), "which is no image"),
    ],
)
def test_a_model_that_takes_no_images(tmp_path, out, signature, words):
    with pytest.raises(InputError, match=words):
        own_data.read(two_classes(tmp_path / "animals"), signature, out)


def test_the_two_parts_have_the_same_classes(tmp_path, out):
    two_classes(tmp_path / "first")
    pictures(tmp_path / "second", ["ant/a.png", "cat/b.png", "dog/c.png", "dog/d.png"])
    folders = {"calibration": tmp_path / "first", "test": tmp_path / "second"}
    with pytest.raises(InputError, match="classes differ: cat, dog, owl to calibration; ant, cat"):
        own_data.read(None, IMAGE, out, **folders)


# ---- code


def test_a_py_file_with_everything(tmp_path, out):
    file = code(
        tmp_path,
        """
import helper
def calibration():
    for n in range(5):
        yield np.full((4, 6, 3), n, np.float32)
def test():
    for n in range(0, 8, 2):
        yield np.full((2, 4, 6, 3), n, np.float32), np.array([n, n + 1]) % 3
def preprocess(x):
    return x / np.float32(helper.TEN)
def metric(outputs, targets):
    return helper.TEN
LOWER_IS_BETTER = True
""",
    )
    (tmp_path / "helper.py").write_text("TEN = 10\n")
    data = own_data.read(file, IMAGE, out)
    assert data.calibration["image"][:, 0, 0, 0].tolist() == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert data.targets.tolist() == [0, 1, 2, 0, 1, 2, 0, 1] and len(data.test["image"]) == 8
    assert data.metric({}, None) == 10 and data.lower_is_better is True
    assert data.split == "5 samples of data.py calibrate; 8 samples of data.py test"
    assert data.calibration_targets is None


def test_a_py_file_need_not_have_a_metric(tmp_path, out):
    file = code(tmp_path, "def test():\n    return [np.zeros((4, 6, 3), np.float32)] * 4\n")
    assert own_data.read(file, IMAGE, out).metric is None


def test_tensorflow_in_a_py_file_stays_in_its_child(tmp_path, out):
    file = code(
        tmp_path,
        """
import tensorflow as tf
def calibration():
    return tf.data.Dataset.from_tensor_slices((np.zeros((6, 3), 'float32'), np.arange(6))).batch(4)
class Pages(tf.keras.utils.PyDataset):
    def __len__(self):
        return 3
    def __getitem__(self, n):
        return np.full((2, 3), n, 'float32'), np.array([n, n])
def test():
    return Pages()
""",
    )
    before = "tensorflow" in sys.modules
    data = own_data.read(file, TABLE, out)
    assert ("tensorflow" in sys.modules) == before
    assert data.calibration_targets.tolist() == [0, 1, 2, 3, 4, 5]
    assert data.test["features"][:, 0].tolist() == data.targets.tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("key", [None, "serving_default"])
def test_the_script_of_litert_is_read_and_split(tmp_path, out, key):
    text = f"""
def get_calibration_data():
    return {{{key!r}: [{{"image": np.full((1, 4, 6, 3), n, np.float32)}} for n in range(6)]}}
"""
    data = own_data.read(code(tmp_path, text), IMAGE, out)
    assert data.split.startswith("3 of 6 samples, drawn at random") and data.targets is None
    assert data.test["image"][:, 0, 0, 0].tolist() == data.test_ids.tolist()


def test_a_script_without_the_functions_is_not_run(tmp_path, out):
    trace = tmp_path / "ran"
    text = f"open({str(trace)!r}, 'w')\n"
    with pytest.raises(InputError, match=r"it has no calibration\(\) and no test\(\)"):
        own_data.read(code(tmp_path, text), TABLE, out)
    assert not trace.exists()
    (tmp_path / "mine.py").write_text("def test():\n    return [[n, n, n] for n in range(8.0)]\n")
    for line in ("from mine import test", "from mine import *", "import mine\ntest = mine.test"):
        with pytest.raises(InputError, match=r"test\(\) failed with TypeError"):
            own_data.read(code(tmp_path, f"{text}{line}\n"), TABLE, out)
        assert trace.exists()


def test_one_function_alone_is_split(tmp_path, out):
    text = "def test():\n    return [(np.full(3, n, 'float32'), n % 3) for n in range(8)]\n"
    data = own_data.read(code(tmp_path, text), TABLE, out)
    assert data.split.startswith("4 of 8") and np.array_equal(data.targets, data.test_ids % 3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1", r"data.py: it has no calibration\(\) and no test\(\): define both"),
        ("calibration = 3", r"it has no calibration\(\) and no test\(\)"),
        ("def calibration(:\n  pass", r"importing it failed with SyntaxError: .*\(line 2\)"),
        (
            "import nothing_such\ndef test(): pass",
            r"importing it failed with ModuleNotFoundError: .*\(line 2\)",
        ),
        (
            "raise SystemExit(3)\ndef test(): pass",
            r"importing it failed with SystemExit: 3 \(line 2\)",
        ),
        (
            "def test():\n  return 1 / 0",
            r"test\(\): test\(\) failed with ZeroDivisionError.*\(line 3",
        ),
        (
            "def test():\n  yield np.zeros(3, 'float32')\n  raise KeyError('b')",
            r"test\(\) failed with KeyError: 'b' \(line 4\): mend that code",
        ),
        ("def test():\n  pass", r"test\(\): .*something that yields them; given: a NoneType"),
        ("def test(n):\n  pass", r"test\(\) failed with TypeError: .*'n'"),
        ("def test():\n  return iter(())", r"test\(\): no samples: give two at least"),
        ("def test():\n  yield 'text'", r"sample 0: features is <U4, the model takes float32"),
        (
            "def test():\n  yield np.zeros(4, 'f4')",
            r"sample 0: \w+: expected input of shape \(N, 3\)",
        ),
        (
            "def test():\n  yield np.zeros(3, 'f4'), 1\n  yield np.zeros(3, 'f4')",
            "sample 1: it comes with no target, those before with targets: give all of them one",
        ),
        (
            "def test():\n  yield np.zeros(3, 'f4')\n  yield np.zeros(3, 'f4'), 1",
            "sample 1: it comes with a target, those before with none",
        ),
        (
            "def test():\n  yield np.zeros((4, 3), 'f4'), np.zeros(3)",
            "sample 0: 4 samples, but 3 of the target 'y': each sample needs its own",
        ),
        (
            "def test():\n  yield np.zeros(3, 'f4'), 1\n  yield np.zeros(3, 'f4'), [1, 2]",
            r"sample 1: y is int64 \(2,\); in the samples before it was int64 \(\)",
        ),
        ("def test():\n  yield {'a': 1, 'b': 2}", r"test\(\): it has a, b; the model's inputs are"),
        (
            "def test():\n  yield np.zeros(3, 'f4')\ndef preprocess(x):\n  return x.nothing",
            r"preprocess\(\) failed with AttributeError: .*\(line 5\)",
        ),
        (
            "def test():\n  return [np.zeros(3, 'f4')] * 4\nmetric = 0.5",
            r"its metric is no function: def metric\(outputs, targets\)",
        ),
        (
            "import os\nos._exit(7)\ndef test(): pass",
            "data.py: the process that read it failed with exit code 7",
        ),
        (
            "import os\nos.abort()\ndef test(): pass",
            "data.py: the process that read it ended with signal SIGABRT",
        ),
    ],
)
def test_code_that_cannot_be_read(tmp_path, out, text, words):
    with pytest.raises(InputError, match=words):
        own_data.read(code(tmp_path, text), TABLE, out)
    assert not out.joinpath("samples").exists()


def test_code_that_never_answers_is_ended(tmp_path, out, monkeypatch):
    monkeypatch.setattr(own_data, "SECONDS", 3.0)
    with pytest.raises(InputError, match=r"data.py: the process that read it took more than 3 s"):
        own_data.read(code(tmp_path, "import time\ntime.sleep(99)\ntest = 0"), TABLE, out)


def test_a_generator_that_never_ends_is_ended(out, monkeypatch):
    def endless():
        while True:
            yield X[0]

    monkeypatch.setattr(sample_files, "MOST_SAMPLES", 500)
    with pytest.raises(InputError, match=r"more than 500 samples .*does it ever end\? Yield a lim"):
        own_data.read(endless, IMAGE, out)
    monkeypatch.setattr(sample_files, "MOST_BYTES", 100 * X[0].nbytes)
    with pytest.raises(InputError, match="more than 100 samples"):
        own_data.read(endless(), IMAGE, out)
    assert not out.joinpath("samples").exists()
    assert len(own_data.read(np.zeros((600, 3), F), TABLE, out).calibration["features"]) == 300


# ---- objects


@pytest.mark.parametrize(
    "make",
    [
        lambda: X,
        lambda: [*X],
        lambda: iter(X),
        lambda: lambda: iter(X),
        lambda: [X[:7], X[7:]],
        lambda: [[x] for x in X],
        lambda: [{"image": x} for x in X],
        lambda: {"image": X},
        lambda: {"image": X.tolist(), "y": None},
        lambda: (X, Y),
        lambda: (X, Y, np.ones(20)),
        lambda: [(x, y) for x, y in zip(X, Y, strict=True)],
        lambda: [[x, y] for x, y in zip(X, Y, strict=True)],
        lambda: [(x[None], y) for x, y in zip(X, Y, strict=True)],
        lambda: [(x[None], [y]) for x, y in zip(X, Y, strict=True)],
        lambda: [({"image": x}, {"scores": y}) for x, y in zip(X, Y, strict=True)],
        lambda: [{"image": x, "y": y} for x, y in zip(X, Y, strict=True)],
        lambda: [(X[:9], Y[:9]), (X[9:], Y[9:])],
    ],
)
def test_every_object_gives_the_same(make, out):
    data = own_data.read(make(), IMAGE, out)
    assert np.array_equal(joined(data), X)
    if data.targets is not None:
        targets = data.targets["scores"] if isinstance(data.targets, dict) else data.targets
        assert np.array_equal(targets, Y[data.test_ids])


def test_objects_of_tensorflow_and_keras_are_read(out):
    found = sandbox.call("test_own_data:read_tensors", out, imported="tensorflow")
    for kind, (x, y) in found.items():
        assert np.array_equal(x, X) and (y is None or np.array_equal(y, Y)), kind


def read_tensors(out):
    tf = tensorflow()

    class Pages(tf.keras.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, n):
            rows = slice(5 * n, 5 * n + 5)
            return X[rows], Y[rows]

    pairs = tf.data.Dataset.from_tensor_slices((X, Y))
    kinds = {
        "tensor": tf.constant(X),
        "dictionary": {"image": tf.constant(X), "y": tf.constant(Y)},
        "samples": pairs,
        "batches": pairs.batch(6),
        "unlabelled": pairs.map(lambda x, y: x),
        "pages": Pages(),
    }
    found = {}
    for kind, source in kinds.items():
        data = own_data.read(None, IMAGE, out, test=source)
        targets = data.targets
        found[kind] = np.array(data.test["image"]), None if targets is None else np.array(targets)
    return found


def test_several_inputs_as_objects(out):
    pairs = [((x, s), y) for x, s, y in zip(X, SENSOR, Y, strict=True)]
    for source in (
        {"sensor": SENSOR, "image": X, "y": Y},
        ({"sensor": SENSOR, "image": X}, Y),
        ((X, SENSOR), Y),
        pairs,
        [({"image": x, "sensor": s}, y) for (x, s), y in pairs],
    ):
        data = own_data.read(source, TWO, out)
        assert np.array_equal(joined(data, "sensor"), SENSOR)
        assert np.array_equal(joined(data), X)
        assert np.array_equal(data.targets, Y[data.test_ids])


def test_two_inputs_of_one_shape_go_in_their_owners_order(out):
    ends = {"a": ((None, 2), F), "b": ((None, 2), F)}
    with pytest.raises(InputError, match="by name"):
        own_data.read((SENSOR, SENSOR + 1), model(**ends), out)
    data = own_data.read((SENSOR, SENSOR + 1), model(order=("b", "a"), **ends), out)
    assert np.array_equal(joined(data, "b"), SENSOR)
    data = own_data.read(
        [*zip(SENSOR, SENSOR + 1, strict=True)], model(order=("b", "a"), **ends), out
    )
    assert np.array_equal(joined(data, "b"), SENSOR)


def test_targets_of_several_outputs_as_objects(out):
    boxes = rng.random((20, 4))
    for source in (
        {"image": X, "label": Y, "box": boxes},
        (X, {"label": Y, "box": boxes}),
        [(x, (y, box)) for x, y, box in zip(X, Y, boxes, strict=True)],
        [(x, {"label": y, "box": box}) for x, y, box in zip(X, Y, boxes, strict=True)],
    ):
        data = own_data.read(source, TWO_OUT, out)
        assert np.array_equal(data.targets["label"], Y[data.test_ids])
        assert np.array_equal(data.targets["box"], boxes[data.test_ids])


def test_an_object_with_functions(out):
    class Own:
        LOWER_IS_BETTER = True

        def calibration(self):
            return X[:4]

        def test(self):
            return X[4:], Y[4:]

        def metric(self, outputs, targets):
            return 1.0

    data = own_data.read(Own(), IMAGE, out)
    assert len(data.calibration["image"]) == 4 and np.array_equal(data.targets, Y[4:])
    assert data.metric(None, None) == 1.0 and data.lower_is_better
    assert data.source == "the Own"


@pytest.mark.parametrize("source", [3, object(), b"bytes"])
def test_what_is_no_data(source, out):
    with pytest.raises(InputError, match="samples are arrays, or something that yields them"):
        own_data.read(source, IMAGE, out)


def test_samples_of_several_lengths(out):
    ragged = [np.zeros((n, 2), F) for n in (4, 4, 5)]
    open_length = model(wave=((None, None, 2), F))
    with pytest.raises(
        InputError, match=r"sample 2: wave is float32 \(5, 2\); .* it was .*\(4, 2\)"
    ):
        own_data.read(ragged, open_length, out)
    with pytest.raises(InputError, match="rows of several lengths: cut or pad all to one"):
        own_data.read({"ids": [[1, 2], [3]]}, TOKENS, out)


# ---- datasets of TFDS


def store_datasets(root):
    """Write small datasets as TensorFlow Datasets prepares them."""
    import tensorflow_datasets as tfds

    for name, key, parts in (
        ("animals", "image", {"train": 20, "test": 6}),
        ("whole", "image", {"everything": 20}),
        ("beasts", "photo", {"train": 20}),
    ):
        features = {
            key: tfds.features.Image(shape=(4, 6, 3)),
            "label": tfds.features.ClassLabel(names=["cat", "dog", "owl"]),
        }
        examples = [{key: x, "label": y} for x, y in zip(PIXELS, Y, strict=True)]
        tfds.dataset_builders.store_as_tfds_dataset(
            name=name,
            version="1.0.0",
            features=tfds.features.FeaturesDict(features),
            split_datasets={part: [*enumerate(examples[:n])] for part, n in parts.items()},
            data_dir=root,
            file_format="tfrecord",
        )


@pytest.fixture(scope="module")
def tfds_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    sandbox.call("test_own_data:store_datasets", folder, imported="tensorflow")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFDS_DATA_DIR", str(folder))
        yield folder


def test_a_prepared_dataset(tfds_dir, out):
    data = own_data.read("tfds:animals:1.0.0", IMAGE, out)
    labels = {image.tobytes(): label for image, label in zip(PIXELS, Y, strict=True)}
    for pixels, y, most in (
        (data.calibration, data.calibration_targets, 20),
        (data.test, data.targets, 6),
    ):
        assert sorted(x.tobytes() for x in pixels["image"]) == sorted([*labels][:most])
        assert [labels[x.tobytes()] for x in pixels["image"]] == y.tolist()
    assert data.classes == ("cat", "dog", "owl") and "0..1" in data.choices
    named = "tfds:animals:1.0.0"
    assert data.split == f"20 samples of {named} calibrate; 6 samples of {named} test"


def test_a_dataset_of_ones_own_keys_or_splits(tfds_dir, out):
    data = own_data.read("tfds:whole", IMAGE, out)
    assert data.split.startswith("10 of 20 samples, drawn at random with seed 0")
    assert data.classes == ("cat", "dog", "owl")
    with pytest.raises(InputError, match=r"tfds:beasts: it does not say what is input and what t"):
        own_data.read("tfds:beasts", IMAGE, out)


def test_a_dataset_that_is_not_prepared(tfds_dir, out):
    with pytest.raises(InputError, match=r"tfds:mnist: it is not prepared in .*`tfds build mnist`"):
        own_data.read("tfds:mnist", IMAGE, out)
    with pytest.raises(InputError, match=r"tfds:no_such: TensorFlow Datasets cannot open it"):
        own_data.read("tfds:no_such", IMAGE, out)


# ---- files and memory


def test_what_was_left_half_written_is_not_used(tmp_path, out):
    def broken():
        yield from X[:5]
        raise RuntimeError("the disk of the camera is gone")

    first = own_data.read(X, IMAGE, out)
    with pytest.raises(InputError, match="RuntimeError: the disk of the camera is gone"):
        own_data.read(broken, IMAGE, out)
    assert np.array_equal(np.load(first.test["image"].filename), X[first.test_ids])
    left = out / ".samples.999999999-1.tmp"  # of a process that is no more
    left.mkdir()
    second = own_data.read(X + 1, IMAGE, out)
    assert [path.name for path in out.iterdir()] == ["samples"]
    assert np.array_equal(joined(second), X + 1)


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="cannot write"):
        own_data.read(X, IMAGE, tmp_path / "file" / "out")


STREAM = """
import resource, sys
import numpy as np
from lessons_lib import own_data
from lessons_lib.tflite.signature import Signature, TensorSpec

shape = (None, 640, 640, 3)
ends = [{n: TensorSpec(n, s, np.dtype("float32"))} for n, s in (("image", shape), ("y", (None, 3)))]
def images():
    for n in range(150):
        yield np.full(shape[1:], n, np.float32), n % 3
def peak():
    unit = 1 if sys.platform == "linux" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
few = [(np.zeros(shape[1:], np.float32), n) for n in range(2)]
own_data.read(few, Signature(*ends), sys.argv[1])
before = peak()
source = sys.argv[2] if len(sys.argv) > 2 else images
data = own_data.read(source, Signature(*ends), sys.argv[1])
print(len(data.calibration["image"]), len(data.test["image"]), (peak() - before) / 1024)
assert [int(data.test["image"][n, 0, 0, 0]) for n in range(75)] == data.test_ids.tolist()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="resource is not there")
@pytest.mark.parametrize("kind", ["generator", "npz"])
def test_large_images_never_lie_in_memory_together(tmp_path, kind):
    """150 images of 640x640x3 are 737 MB as float32."""
    arguments = [tmp_path / "out"]
    if kind == "npz":
        arguments.append(tmp_path / "own.npz")
        with zipfile.ZipFile(arguments[-1], "w") as archive:
            with archive.open("image.npy", "w", force_zip64=True) as member:
                head = {"descr": "<f4", "fortran_order": False, "shape": (150, 640, 640, 3)}
                np.lib.format.write_array_header_1_0(member, head)
                for n in range(150):
                    member.write(np.full((640, 640, 3), n, F).tobytes())
            with archive.open("y.npy", "w") as member:
                np.save(member, np.arange(150) % 3)
    done = subprocess.run(
        [sys.executable, "-c", STREAM, *arguments], cwd=files.ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    calibrate, test, megabytes = map(float, re.findall(r"[\d.]+", done.stdout))
    assert (calibrate, test) == (75, 75) and megabytes < 100
