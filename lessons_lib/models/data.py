"""Datasets in three disjoint parts: train, calibration and test.

The course's own 5,000 MNIST digits lie under ``data/mnist`` and need no network. The full sets come
through TensorFlow Datasets (TFDS), only when they are asked for. Both are decoded once; later
loads read a cache and import neither TensorFlow nor TFDS's readers.
"""

import contextlib
import io
import os
import re
import shutil
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from lessons_lib.errors import DataError, InputError, StorageError
from lessons_lib.models import corruption
from lessons_lib.system import files
from lessons_lib.system.quiet import quiet, tensorflow
from lessons_lib.system.sandbox import call

NAMES = ("mnist", "fashion_mnist", "cifar10")
ROLES = ("train", "calibration", "test")
EMBEDDED = files.data_folder() / "mnist" / "1.0.0"
CALIBRATION_IMAGES = 500
SEED = 0
CONNECTION_SECONDS = 5.0


@dataclass(frozen=True, eq=False, repr=False)
class Split:
    """One part of a dataset: ``pixels`` uint8 (N, H, W, C), ``labels`` and ``ids`` int64 (N,).

    ``role`` is "train", "calibration" or "test"; ``ids`` are indices in the source set.
    Raises InputError when an array has another dtype or shape. Defined in lesson 01.
    """

    role: str
    pixels: np.ndarray
    labels: np.ndarray
    ids: np.ndarray

    def __post_init__(self):
        if self.role not in ROLES:
            raise InputError(f"role is {self.role!r}; expected one of {', '.join(ROLES)}")
        if self.pixels.dtype != np.uint8 or self.pixels.ndim != 4:
            raise InputError(
                f"pixels are {self.pixels.dtype} {self.pixels.shape}; expected uint8 (N, H, W, C), "
                "values 0 to 255 (lesson 01)"
            )
        if not len(self.pixels) == len(self.labels) == len(self.ids):
            raise InputError(
                f"{len(self.pixels)} images, {len(self.labels)} labels and {len(self.ids)} ids; "
                "expected as many of each"
            )

    @property
    def images(self) -> np.ndarray:
        """The pixels as float32 (N, H, W, C) in [0, 1]: ``pixels / 255``.

        Computed anew each time, four bytes a pixel: of a full set, take ``split[:1000].images``.
        """
        return np.divide(self.pixels, 255, dtype=np.float32)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, rows) -> "Split":
        """Return the Split of some rows: a slice, an int64 array of positions, or a bool mask."""
        return Split(self.role, self.pixels[rows], self.labels[rows], self.ids[rows])

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.pixels.shape[1:]))
        return f"Split({self.role}: {len(self):,} images {shape})"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Three splits that share no image, and the name of each class."""

    name: str
    train: Split
    calibration: Split
    test: Split
    class_names: tuple[str, ...]

    @cached_property
    def hard(self) -> Split:
        """The test split once more, corrupted by the fixed recipe of ``corruption.corrupt``.

        Labels and ids are those of ``test``, in its order. Made when it is first asked for: about
        0.2 ms an image. Defined in lesson 02.
        """
        pixels = corruption.corrupt(self.test.pixels, self.test.ids)
        return Split("test", pixels, self.test.labels, self.test.ids)


def load(
    name: str = "mnist",
    *,
    full: bool = False,
    manual_dir: str | os.PathLike | None = None,
) -> Dataset:
    """Return a dataset: the embedded 5,000 digits, or a full set through TFDS.

    ``load()`` is the embedded set: 3,500 train, 500 calibration and 1,000 test images (28, 28, 1);
    ``ids`` are the index in the 5,000. ``load("mnist", full=True)``, ``load("fashion_mnist")`` and
    ``load("cifar10")`` are the full sets, prepared in ``$TFDS_DATA_DIR`` (else
    ``~/tensorflow_datasets``): 500 images of TFDS's train split, the same ones every time and the
    classes in proportion, become the calibration split. Their ``ids`` count through TFDS's train
    split and on through its test split. ``manual_dir`` holds the set's original files: a full
    set is then prepared from these, without network.

    Raises DataError when the name is unknown, files are missing or damaged, or the network is
    needed and not there; StorageError when a full set is to be prepared in a folder that cannot be
    written. Defined in lesson 01.
    """
    _require_known(name)
    if name == "mnist" and not full and manual_dir is None:
        repair = "restore it with git, or rebuild it with `uv run tools/build_mnist.py`"
        return _embedded(_arrays(EMBEDDED, repair))
    folder = _prepared(name, None if manual_dir is None else Path(manual_dir).expanduser())
    return _with_calibration(name, _arrays(folder, "delete that folder and load again"))


def is_prepared(name: str) -> bool:
    """Whether TFDS has prepared a full set here already, so that ``load`` needs no network.

    Looked up in the folder alone, without TFDS. Raises DataError for an unknown name. Defined in
    lesson 15.
    """
    _require_known(name)
    return any(_root().glob(f"{name}/*/dataset_info.json"))


def stratified_sample(labels: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """Return ``samples`` different positions in ``labels``, int64, in random order.

    Each class has its share of the labels, to within one. The same seed gives the same positions.
    Raises InputError when there are fewer labels than samples.
    """
    if samples > len(labels):
        raise InputError(f"{samples} samples of {len(labels)} labels; expected at most as many")
    random = np.random.default_rng(seed)
    shuffled = random.permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    # Evenly spaced in the row of classes: every class gives in proportion to its length.
    return random.permutation(by_class[np.arange(samples) * len(labels) // samples])


# ---- from decoded arrays to a Dataset


def _embedded(arrays: dict[str, np.ndarray]) -> Dataset:
    splits = (
        Split(role, *(arrays[f"{role}_{part}"] for part in ("pixels", "labels", "ids")))
        for role in ROLES
    )
    return Dataset("mnist", *splits, class_names=tuple(arrays["class_names"].tolist()))


def _with_calibration(name: str, arrays: dict[str, np.ndarray]) -> Dataset:
    """Take the calibration images out of the train split, so that no image is in both."""
    pixels, labels = arrays["train_pixels"], arrays["train_labels"]
    picked = stratified_sample(labels, CALIBRATION_IMAGES, SEED)
    kept = np.setdiff1d(np.arange(len(labels)), picked)
    test_ids = len(labels) + np.arange(len(arrays["test_labels"]))
    return Dataset(
        name,
        Split("train", pixels[kept], labels[kept], kept),
        Split("calibration", pixels[picked], labels[picked], picked),
        Split("test", arrays["test_pixels"], arrays["test_labels"], test_ids),
        class_names=tuple(arrays["class_names"].tolist()),
    )


# ---- from TFDS's files to arrays


def _arrays(folder: Path, repair: str) -> dict[str, np.ndarray]:
    """The decoded content of a prepared TFDS folder, from the cache if it is there and whole."""
    try:
        cache = f"{folder.parent.name}-{folder.name}-{_fingerprint(folder)[:16]}.npz"
    except OSError as error:
        raise _unreadable(folder, error, repair) from error
    # Any damage at all, to whatever byte, means no more than decoding again.
    with contextlib.suppress(Exception), np.load(_cache_folder() / cache) as stored:
        return dict(stored)
    try:
        # In a child: TensorFlow would stay in the caller's memory for the rest of the lesson.
        arrays = call("lessons_lib.models.data:_decode_in_child", folder, imported="tensorflow")
    except DataError as error:
        raise _unreadable(folder, error, repair) from error
    _store(arrays, cache)
    return arrays


def _fingerprint(folder: Path) -> str:
    """The SHA-256 over the names and contents of a folder's files: another file, another cache."""
    listing = [
        f"{path.name} {files.sha256(path)}\n"
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".")
    ]
    return files.sha256("".join(listing).encode())


def _cache_folder() -> Path:
    return files.artifacts_root() / "cache"


def _store(arrays: dict[str, np.ndarray], cache: str) -> None:
    """Keep the arrays for the next load; where that is not possible, it decodes again."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    with contextlib.suppress(StorageError):
        files.write_atomic(files.artifacts("cache") / cache, buffer.getbuffer())


def _decode_in_child(folder: Path) -> dict[str, np.ndarray]:
    """Decode, or raise DataError; a missing package is not a damaged dataset."""
    with quiet():
        import tensorflow_datasets  # noqa: F401
    try:
        return _decode(folder)
    except Exception as error:  # TFDS and TensorFlow raise many kinds
        raise DataError(f"{type(error).__name__}: {error}") from error


def _decode(folder: Path) -> dict[str, np.ndarray]:
    with quiet():
        import tensorflow_datasets as tfds

        builder = tfds.builder_from_directory(folder)
        arrays = {"class_names": np.array(builder.info.features["label"].names)}
        for split in builder.info.splits:
            arrays |= _decode_split(builder, split)
    return arrays


def _decode_split(builder, split: str) -> dict[str, np.ndarray]:
    """Read one split in the order of its files; TFDS itself checks the number of images."""
    import tensorflow_datasets as tfds

    total, features = builder.info.splits[split].num_examples, builder.info.features
    arrays = {
        f"{split}_pixels": np.empty((total, *features["image"].shape), np.uint8),
        f"{split}_labels": np.empty(total, np.int64),
        f"{split}_ids": np.arange(total),
    }
    sources = {"pixels": "image", "labels": "label"}
    if "id" in features and features["id"].np_dtype == np.int64:
        sources["ids"] = "id"
    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    batches = builder.as_dataset(split=split, batch_size=500, read_config=config)
    done = 0
    for batch in tfds.as_numpy(batches):
        rows = slice(done, done + len(batch["label"]))
        for part, feature in sources.items():
            arrays[f"{split}_{part}"][rows] = batch[feature]
        done = rows.stop
    return arrays


def _unreadable(folder: Path, error: Exception, repair: str) -> DataError:
    # Without what TensorFlow says about its own operations.
    reason = re.sub(r"\{\{.*?\}\} |\[Op:.*", "", str(error)).strip()
    return DataError(
        f"{files.display_path(folder)} is missing or damaged; {repair}. "
        f"The reason was: {type(error).__name__}: {reason}"
    )


# ---- preparing a full set


def _require_known(name: str) -> None:
    if name not in NAMES:
        raise DataError(f"there is no dataset {name!r}; the course has {', '.join(NAMES)}")


def _root() -> Path:
    """Where TFDS keeps what it has prepared."""
    return Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def _prepared(name: str, manual_dir: Path | None) -> Path:
    """The folder of a full set, prepared now if it is not there yet.

    A prepared folder is only read (it may lie on a read-only volume); preparing holds a lock.
    """
    root = _root()
    builder = _builder(name, root)
    if not _is_prepared(builder):
        with _locked(name, root):
            if not _is_prepared(builder):  # another process may have done it meanwhile
                _prepare(name, root, manual_dir)
    return Path(builder.data_dir)


def _builder(name: str, data_dir: Path):
    with quiet():
        import tensorflow_datasets as tfds

        return tfds.builder(name, data_dir=data_dir)


def _is_prepared(builder) -> bool:
    with quiet():
        return builder.is_prepared()


@contextlib.contextmanager
def _locked(name: str, root: Path) -> Iterator[None]:
    from filelock import FileLock

    lock = FileLock(root / f".{name}.lock")
    try:
        root.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise StorageError(
            f"{name} is not prepared in {root}, and that folder cannot be written: "
            f"{error.strerror or error}. Set TFDS_DATA_DIR to a folder where {name} is prepared or "
            "that you can write to."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _prepare(name: str, root: Path, manual_dir: Path | None) -> None:
    """Prepare a set in a folder of our own, then rename: never half a dataset under its name.

    The caller holds the lock, so whatever lies in that folder was left by a killed process.
    """
    staging = root / f".{name}.preparing"
    shutil.rmtree(staging, ignore_errors=True)
    builder = _builder(name, staging)
    if manual_dir is None:
        _require_connection(name, next(iter(builder.url_infos)))
    else:
        _require_originals(manual_dir, builder.url_infos.values())
    try:
        _download_and_prepare(builder, staging / "downloads", manual_dir)
        target = root / Path(builder.data_dir).relative_to(staging)
        target.parent.mkdir(exist_ok=True)
        os.replace(builder.data_dir, target)
    except Exception as error:
        raise DataError(
            f"{name} could not be prepared in {root}: {type(error).__name__}: {error}. "
            "Nothing half-written was left; mend the cause and load again."
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _download_and_prepare(builder, downloads: Path, manual_dir: Path | None) -> None:
    """Let TFDS do its work, with its progress bars but without TensorFlow's start-up messages."""
    tf = tensorflow()
    with quiet():
        import tensorflow_datasets as tfds

        tf.constant(0)
    # Never Google's ready-made copy: asking for it hangs offline, and originals have checksums.
    config = tfds.download.DownloadConfig(manual_dir=manual_dir, try_download_gcs=False)
    # The bars are on stderr; what TFDS prints would name our temporary folder.
    with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare(download_dir=downloads, download_config=config)


def _require_originals(manual_dir: Path, originals) -> None:
    """Raise DataError unless the folder holds every original file, unharmed."""
    missing = [o.filename for o in originals if not (manual_dir / o.filename).is_file()]
    if missing:
        raise DataError(f"manual_dir {manual_dir} lacks the original files {', '.join(missing)}")
    harmed = [o.filename for o in originals if files.sha256(manual_dir / o.filename) != o.checksum]
    if harmed:
        raise DataError(
            f"in manual_dir {manual_dir}, {', '.join(harmed)}: not the original content "
            "(the SHA-256 differs from the one that TFDS knows); fetch the file again"
        )


def _require_connection(name: str, url: str) -> None:
    """Raise DataError at once where TFDS would try for minutes to reach the download's host."""
    problem = _unreachable(url)
    if problem:
        embedded = " Or use the embedded digits: load()." if name == "mnist" else ""
        raise DataError(
            f"{name} is not prepared on this machine, and its source {url} cannot be reached "
            f"({problem}). Connect to the internet and load again; or set TFDS_DATA_DIR to a "
            "folder where TFDS has prepared it; or download its original files elsewhere and give "
            f"their folder as manual_dir.{embedded}"
        )


def _unreachable(url: str) -> str | None:
    """What is wrong with the connection (proxies are honoured), or None.

    In a thread: a socket's timeout does not bound the look-up of the host's name.
    """
    answers = []

    def ask() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            # Not urlopen: it keeps the proxies of its first call for good.
            with urllib.request.build_opener().open(request, timeout=CONNECTION_SECONDS):
                answers.append(None)
        except Exception as error:  # whatever it is, the learner must hear it
            answers.append(str(error) or type(error).__name__)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(CONNECTION_SECONDS + 1)
    return answers[0] if answers else f"no answer within {CONNECTION_SECONDS:g} s"
