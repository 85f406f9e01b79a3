"""The datasets: what is in them, what is never in two splits, and what happens when things fail.

Whatever needs TensorFlow runs in a child process (`sandbox.call`), so that this one stays small.
"""

import gzip
import http.server
import importlib
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import small_mnist
from lessons_lib import data, files, sandbox
from lessons_lib.errors import ChildDied, DataError, InputError, LessonError, StorageError

ORIGINALS = files.ROOT.parent / "shared" / "data" / "mnist"
needs_originals = pytest.mark.skipif(
    not ORIGINALS.is_dir(), reason="the original MNIST files are not in ../shared/data/mnist"
)
SPLITS = {"train": 3_500, "calibration": 500, "test": 1_000}


@pytest.fixture(scope="module", autouse=True)
def artifacts(tmp_path_factory):
    """An artifacts folder, hence a cache, of this file's own."""
    folder = tmp_path_factory.mktemp("artifacts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LESSONS_ARTIFACTS", str(folder))
        yield folder


@pytest.fixture
def tfds_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    return tmp_path / "tfds"


@pytest.fixture(scope="module")
def first_loads(artifacts):
    """Two first loads at once: both decode the records and fill the one cache."""
    command = [sys.executable, "-c", "from lessons_lib import data; data.load()"]
    options = {"cwd": files.ROOT, "capture_output": True, "text": True}
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(subprocess.run, command, **options) for _ in range(2)]
        return [job.result() for job in jobs]


@pytest.fixture(scope="module")
def digits(first_loads):
    return data.load()


def splits(dataset):
    return {role: getattr(dataset, role) for role in data.ROLES}


def here(function, *args, imported=""):
    """What ``sandbox.call`` does, without the child: where this process is one already."""
    module, name = function.split(":")
    return getattr(importlib.import_module(module), name)(*args)


def same(a, b):
    return all(
        np.array_equal(getattr(x, part), getattr(y, part))
        for x, y in zip(splits(a).values(), splits(b).values(), strict=True)
        for part in ("pixels", "labels", "ids")
    )


def share_an_image(a, b):
    return bool({x.tobytes() for x in a.pixels} & {x.tobytes() for x in b.pixels})


# ---- the embedded digits


def test_two_first_loads_at_once_say_nothing_and_leave_one_cache(first_loads, artifacts):
    for load in first_loads:
        assert (load.returncode, load.stdout, load.stderr) == (0, "", "")
    [cache] = (artifacts / "cache").iterdir()
    assert cache.suffix == ".npz"


def test_embedded_splits_have_their_size_dtype_and_shape(digits):
    assert digits.name == "mnist"
    assert digits.class_names == tuple("0123456789")
    for role, split in splits(digits).items():
        assert split.role == role
        assert len(split) == SPLITS[role]
        assert split.pixels.shape == (SPLITS[role], 28, 28, 1)
        assert split.pixels.dtype == np.uint8
        assert split.labels.dtype == split.ids.dtype == np.int64


def test_images_are_pixels_over_255(digits):
    images = digits.test.images
    assert images.dtype == np.float32
    assert images.shape == digits.test.pixels.shape
    assert images.min() == 0 and images.max() == 1
    np.testing.assert_array_equal(images, digits.test.pixels.astype(np.float32) / np.float32(255))


def test_embedded_splits_are_stratified_and_shuffled(digits):
    for role, split in splits(digits).items():
        np.testing.assert_array_equal(np.bincount(split.labels), [SPLITS[role] // 10] * 10)
        assert len(set(split.labels[:40].tolist())) == 10


def test_embedded_splits_are_disjoint_by_id_and_by_pixels(digits):
    ids = np.concatenate([split.ids for split in splits(digits).values()])
    np.testing.assert_array_equal(np.sort(ids), np.arange(5_000))
    for a, b in (("train", "calibration"), ("train", "test"), ("calibration", "test")):
        assert not share_an_image(splits(digits)[a], splits(digits)[b])


@needs_originals
def test_embedded_digits_are_the_first_500_of_each_class_of_mnist(digits):
    with gzip.open(ORIGINALS / "train-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28, 1)
    with gzip.open(ORIGINALS / "train-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    first = np.concatenate([np.flatnonzero(labels == digit)[:500] for digit in range(10)])
    for split in splits(digits).values():
        np.testing.assert_array_equal(split.pixels, pixels[first[split.ids]])
        np.testing.assert_array_equal(split.labels, labels[first[split.ids]])


def imported_by_a_load():
    data.load()
    return [name for name in ("tensorflow", "tensorflow_datasets") if name in sys.modules]


def test_a_cached_load_imports_neither_tensorflow_nor_tfds(digits):
    assert sandbox.call("test_data:imported_by_a_load") == []


def test_readme_states_the_true_checksums(digits):
    text = (files.ROOT / "data" / "README.md").read_text(encoding="utf-8")
    stated = re.findall(r"^\| `(.+?)` \| ([\d,]+) \| `([0-9a-f]{64})` \|$", text, re.MULTILINE)
    actual = [
        (path.name, f"{path.stat().st_size:,}", files.sha256(path))
        for path in sorted(data.EMBEDDED.iterdir())
    ]
    assert stated == actual
    assert all(path.stat().st_size < 2_000_000 for path in data.EMBEDDED.iterdir())


def test_readme_states_the_true_counts(digits):
    text = (files.ROOT / "data" / "README.md").read_text(encoding="utf-8")
    for role, split in splits(digits).items():
        row = [*np.bincount(split.labels).tolist(), f"{len(split):,}"]
        assert f"| {role} | {' | '.join(map(str, row))} |\n" in text


def rebuild(folder):
    sys.path.insert(0, str(files.ROOT / "tools"))
    import build_mnist

    parts = splits(data.load()).values()
    order = np.argsort(np.concatenate([split.ids for split in parts]))
    pixels = np.concatenate([split.pixels for split in parts])[order]
    build_mnist.build(pixels, np.concatenate([split.labels for split in parts])[order], folder)


def test_rebuilding_gives_the_same_bytes(digits, tmp_path):
    folder = tmp_path / "mnist" / "1.0.0"
    sandbox.call("test_data:rebuild", folder, imported="tensorflow")
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        p.name for p in data.EMBEDDED.iterdir()
    )
    for path in folder.iterdir():
        assert path.read_bytes() == (data.EMBEDDED / path.name).read_bytes(), path.name


# ---- the parts of the interface


def test_a_split_refuses_wrong_arrays():
    pixels, labels = np.zeros((2, 28, 28, 1), np.uint8), np.zeros(2, np.int64)
    with pytest.raises(InputError, match=r"'validation'.*train, calibration, test"):
        data.Split("validation", pixels, labels, labels)
    with pytest.raises(InputError, match=r"float64 \(2, 28, 28, 1\); expected uint8"):
        data.Split("train", pixels / 255, labels, labels)
    with pytest.raises(InputError, match=r"expected uint8 \(N, H, W, C\)"):
        data.Split("train", pixels[0], labels, labels)
    with pytest.raises(InputError, match="2 images, 1 labels and 2 ids"):
        data.Split("train", pixels, labels[:1], labels)


def test_rows_of_a_split_are_a_split(digits):
    some = digits.train[10:30]
    assert (some.role, len(some), repr(some)) == (
        "train",
        20,
        "Split(train: 20 images 28x28x1)",
    )
    np.testing.assert_array_equal(some.ids, digits.train.ids[10:30])
    sevens = digits.train[digits.train.labels == 7]
    assert set(sevens.labels.tolist()) == {7} and len(sevens) == 350


def test_images_take_no_more_memory_than_their_result():
    labels = np.zeros(2_000, np.int64)
    split = data.Split("train", np.ones((2_000, 32, 32, 3), np.uint8), labels, labels)
    tracemalloc.start()
    try:
        images = split.images
        assert tracemalloc.get_traced_memory()[1] < 1.1 * images.nbytes
    finally:
        tracemalloc.stop()
    images[0] = 255.0
    assert split.images.max() == np.float32(1 / 255)


def test_a_stratified_sample_gives_each_class_its_share():
    labels = np.repeat([0, 1, 2], [700, 250, 50])
    picked = data.stratified_sample(labels, 101, seed=3)
    assert len(set(picked.tolist())) == 101
    assert np.abs(np.bincount(labels[picked]) - [70.7, 25.25, 5.05]).max() < 1
    np.testing.assert_array_equal(picked, data.stratified_sample(labels, 101, seed=3))
    assert not np.array_equal(picked, data.stratified_sample(labels, 101, seed=4))
    with pytest.raises(InputError, match="4 samples of 3 labels"):
        data.stratified_sample(np.arange(3), 4, seed=0)


def test_an_unknown_name_is_answered_with_the_names():
    with pytest.raises(DataError, match=r"'minst'.*mnist, fashion_mnist, cifar10"):
        data.load("minst")


# ---- damage


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def drop_the_last_record(path):
    content, start, at = path.read_bytes(), 0, 0
    while at < len(content):  # a record is 8 + 4 + length + 4 bytes
        start, at = at, at + 16 + int.from_bytes(content[at : at + 8], "little")
    path.write_bytes(content[:start])


def empty(path):
    path.write_bytes(b"")


DAMAGES = [
    ("mnist-test.tfrecord-00000-of-00001", flip_a_byte),
    ("mnist-test.tfrecord-00000-of-00001", truncate),
    ("mnist-test.tfrecord-00000-of-00001", drop_the_last_record),
    ("mnist-test.tfrecord-00000-of-00001", empty),
    ("mnist-test.tfrecord-00000-of-00001", Path.unlink),
    ("dataset_info.json", truncate),
    ("features.json", Path.unlink),
]


def message_of(function, *args, **kwargs):
    """The error's class and text, or None: for use in a child process."""
    try:
        function(*args, **kwargs)
    except LessonError as error:
        return f"{type(error).__name__}: {error}"
    return None


def loads_of_damaged_sets(folder):
    messages = []
    for number, (name, damage) in enumerate(DAMAGES):
        copy = folder / str(number) / "mnist" / "1.0.0"
        shutil.copytree(data.EMBEDDED, copy)
        damage(copy / name)
        data.EMBEDDED, original = copy, data.EMBEDDED
        messages.append(message_of(data.load))
        data.EMBEDDED = original
    return messages


def loads_with_a_damaged_cache(digits, artifacts):
    """Damage the cache in three ways, then make it unwritable; what each load gave."""
    [cache] = (artifacts / "cache").glob("mnist-1.0.0-*.npz")
    good = cache.read_bytes()
    results = []
    for damage in (flip_a_byte, truncate, empty):
        damage(cache)
        results.append(same(data.load(), digits) and cache.read_bytes() == good)
    os.environ["LESSONS_ARTIFACTS"] = str(cache / "below a file")
    return [*results, same(data.load(), digits)]


def all_damage(folder, digits, artifacts):
    data.call = here  # one import of TensorFlow for all
    return loads_of_damaged_sets(folder), loads_with_a_damaged_cache(digits, artifacts)


@pytest.fixture(scope="module")
def damage(digits, artifacts, tmp_path_factory):
    """What happened to each load: messages for the records, successes for the cache."""
    folder = tmp_path_factory.mktemp("damaged")
    return sandbox.call("test_data:all_damage", folder, digits, artifacts, imported="tensorflow")


def test_a_damaged_or_missing_record_file_is_a_clear_error(damage):
    for (name, how), message in zip(DAMAGES, damage[0], strict=True):
        case = f"{name} {how.__name__}: {message}"
        assert message and message.startswith("DataError: "), case
        assert "is missing or damaged; restore it with git" in message, case


def test_what_the_decoding_process_complains_of_is_a_clear_error_here(tmp_path, monkeypatch):
    copy = tmp_path / "mnist" / "1.0.0"
    shutil.copytree(data.EMBEDDED, copy)
    flip_a_byte(copy / "mnist-train.tfrecord-00000-of-00001")
    monkeypatch.setattr(data, "EMBEDDED", copy)
    with pytest.raises(DataError, match="is missing or damaged; restore it with git"):
        data.load()


def test_a_missing_embedded_set_is_a_clear_error(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "EMBEDDED", tmp_path / "nowhere" / "1.0.0")
    with pytest.raises(DataError, match="is missing or damaged"):
        data.load()


def test_a_damaged_cache_is_rebuilt_and_an_unwritable_one_does_without(damage):
    assert damage[1] == [True] * 4


# ---- the full sets


@pytest.fixture
def proxy(monkeypatch):
    """Return a function that sends all traffic of this test to one local port."""

    def use(port):
        for scheme in ("http", "https"):
            for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper()):
                monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)

    return use


def assert_offline_error_is_quick(name, remedies):
    start = time.monotonic()
    with pytest.raises(DataError) as error:
        data.load(name, full=True)
    assert time.monotonic() - start < 100  # TFDS by itself waits for 207 s
    for remedy in (name, "cannot be reached", "Connect", "TFDS_DATA_DIR", "manual_dir", *remedies):
        assert remedy in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "remedies"), [("mnist", ["load()"]), ("fashion_mnist", []), ("cifar10", [])]
)
def test_offline_a_full_set_is_refused_at_once(name, remedies, tfds_dir, proxy):
    with socket.socket() as closed:  # bound and not listening: connections are refused
        closed.bind(("127.0.0.1", 0))
        proxy(closed.getsockname()[1])
        assert_offline_error_is_quick(name, remedies)
    assert [path.name for path in tfds_dir.iterdir()] == [f".{name}.lock"]


def test_a_network_that_never_answers_is_not_waited_for(tfds_dir, proxy, monkeypatch):
    monkeypatch.setattr(data, "CONNECTION_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        proxy(silent.getsockname()[1])
        said = assert_offline_error_is_quick("fashion_mnist", [])
    assert "timed out" in said or "no answer within" in said  # which one, is a race


class Head(http.server.BaseHTTPRequestHandler):
    """A source that answers HEAD, and then has nothing to download."""

    def do_HEAD(self):
        self.send_response(200)
        self.end_headers()

    def do_GET(self):
        self.send_error(404)

    def log_message(self, *args):
        pass


def test_a_failed_download_leaves_nothing_half_written(tfds_dir, proxy):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Head) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        proxy(server.server_port)
        with pytest.raises(DataError, match=r"fashion_mnist could not be prepared.*404"):
            sandbox.call("lessons_lib.models.data:load", "fashion_mnist")
        server.shutdown()
    assert [path.name for path in tfds_dir.iterdir()] == [".fashion_mnist.lock"]


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "file" / "tfds"))
    with pytest.raises(StorageError, match=r"cifar10 is not prepared.*Set TFDS_DATA_DIR"):
        data.load("cifar10")


def test_manual_dir_must_hold_the_originals(tfds_dir, tmp_path):
    with pytest.raises(DataError, match=r"lacks .*train-images-idx3-ubyte\.gz"):
        data.load("mnist", full=True, manual_dir=tmp_path)


def test_manual_dir_with_other_content_is_refused(tfds_dir, tmp_path):
    originals = small_mnist.write_originals(tmp_path / "originals")
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte\.gz.*: not the original content"):
        data.load("mnist", full=True, manual_dir=originals)


def test_after_a_killed_preparation_two_processes_at_once_prepare_once(tfds_dir, tmp_path):
    originals, log = small_mnist.write_originals(tmp_path / "originals"), tmp_path / "log"
    with pytest.raises(ChildDied):
        sandbox.call("small_mnist:load_and_die", originals)
    assert any((tfds_dir / ".mnist.preparing").rglob("*tfrecord*"))  # what the killed process left
    with ThreadPoolExecutor(2) as pool:
        task = (sandbox.call, "small_mnist:load_slowly", originals, log)
        one, two = (job.result() for job in [pool.submit(*task) for _ in range(2)])
    first, second = log.read_text().split()
    assert first == second, "one process prepared both splits, the other one waited for it"
    assert same(one, two)
    assert sorted(path.name for path in tfds_dir.iterdir()) == [".mnist.lock", "mnist"]
    assert [len(split) for split in splits(one).values()] == [100, 500, 100]
    assert pairs(one.train, one.calibration) == small_mnist.pairs("train")
    assert pairs(one.test) == small_mnist.pairs("t10k")


def pairs(*parts):
    """The images of these splits, each with its label, in no order: TFDS shuffles."""
    return {
        (pixels.tobytes(), int(label))
        for part in parts
        for pixels, label in zip(part.pixels, part.labels, strict=True)
    }


def full_mnist():
    """Load full MNIST and describe it; 55 MB of pixels stay in the child process."""
    full = data.load("mnist", full=True, manual_dir=ORIGINALS)
    parts = splits(full).values()
    return {
        "counts": [len(split) for split in parts],
        "ids": np.sort(np.concatenate([split.ids for split in parts])),
        "classes": [np.bincount(split.labels).tolist() for split in parts],
        "pixels": files.sha256(np.concatenate([split.pixels for split in parts]).tobytes()),
        "shared": [
            share_an_image(full.train, full.calibration),
            share_an_image(full.train, full.test),
            share_an_image(full.calibration, full.test),
        ],
        "tensorflow": "tensorflow" in sys.modules,
    }


@needs_originals
def test_full_mnist_is_prepared_from_its_originals(tfds_dir):
    one, again = (sandbox.call("test_data:full_mnist") for _ in range(2))
    assert one["counts"] == [59_500, 500, 10_000]
    assert one["shared"] == [False, False, False]
    np.testing.assert_array_equal(one["ids"], np.arange(70_000))
    train, calibration, _ = np.array(one["classes"])
    assert np.abs(calibration - 500 * (train + calibration) / 60_000).max() < 1
    assert (again["pixels"], again["tensorflow"]) == (one["pixels"], False)


CIFAR10_CLASSES = ["airplane", "automobile", "bird", "cat", "deer"]
CIFAR10_CLASSES += ["dog", "frog", "horse", "ship", "truck"]


def prepare_with_mock_examples(name, class_names, root):
    """Store TFDS's own mock examples of a dataset as if TFDS had prepared it in ``root``."""
    import tensorflow_datasets as tfds

    with tfds.testing.mock_data(num_examples=600):
        mock, info = tfds.load(name, split="train", with_info=True, data_dir=root)
        examples = list(enumerate(tfds.as_numpy(mock)))
    features = info.features
    if class_names:
        features["label"].names = class_names
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version=info.version,
        features=features,
        split_datasets={"train": examples, "test": examples[:100]},
        data_dir=root,
        file_format="tfrecord",
    )
    return sorted(example["image"].tobytes() for _, example in examples)


def mock_loads(root):
    """For each mock dataset: what was stored, and what ``load`` makes of it."""
    data.call = here
    results = {}
    for name, class_names in (("cifar10", CIFAR10_CLASSES), ("fashion_mnist", None)):
        stored = prepare_with_mock_examples(name, class_names, root)
        before = sorted(root.rglob("*"))
        loaded = data.load(name)
        results[name] = stored, loaded, sorted(root.rglob("*")) == before
    return results


def test_prepared_cifar10_and_fashion_mnist_are_only_read(tfds_dir):
    assert not any(map(data.is_prepared, data.NAMES))
    results = sandbox.call("test_data:mock_loads", tfds_dir, imported="tensorflow")
    assert [data.is_prepared(name) for name in data.NAMES] == [False, True, True]
    for name, shape in (("cifar10", (32, 32, 3)), ("fashion_mnist", (28, 28, 1))):
        stored, loaded, untouched = results[name]
        assert untouched, "a prepared dataset may lie on a read-only volume"
        assert loaded.name == name
        assert [len(split) for split in splits(loaded).values()] == [100, 500, 100]
        assert loaded.train.pixels.shape[1:] == shape
        parts = [*loaded.train.pixels, *loaded.calibration.pixels]
        assert sorted(image.tobytes() for image in parts) == stored
        assert not share_an_image(loaded.train, loaded.calibration)
    assert list(results["cifar10"][1].class_names) == CIFAR10_CLASSES
    assert results["fashion_mnist"][1].class_names[-1] == "Ankle boot"
