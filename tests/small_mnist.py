"""MNIST in small: original files of 600 and 100 generated images, for TFDS to prepare.

TFDS's own code reads them and writes the records. Only what it expects of the originals, how many
images and which checksums, is set to what was generated, and only in the process that asks.
"""

import gzip
import os
import signal
import time
from pathlib import Path

import numpy as np

from lessons_lib import data
from lessons_lib.system.quiet import quiet

COUNTS = {"train": 600, "t10k": 100}


def arrays(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Seeded noise, no image twice: uint8 (N, 28, 28, 1), and labels in turn, uint8 (N,)."""
    count = COUNTS[part]
    pixels = np.random.default_rng(count).integers(0, 256, (count, 28, 28, 1), np.uint8)
    return pixels, np.arange(count, dtype=np.uint8) % 10


def pairs(part: str) -> set[tuple[bytes, int]]:
    """The images of one part, each with its label."""
    return {(image.tobytes(), int(label)) for image, label in zip(*arrays(part), strict=True)}


def write_originals(folder: Path) -> Path:
    """Write the four files in MNIST's own format, as TFDS downloads them."""
    folder.mkdir()
    for part in COUNTS:
        for kind, array in zip(("images-idx3", "labels-idx1"), arrays(part), strict=True):
            header = bytes(16 if kind.startswith("images") else 8)  # TFDS skips it
            content = gzip.compress(header + array.tobytes())
            (folder / f"{part}-{kind}-ubyte.gz").write_bytes(content)
    return folder


def _builder_of(originals: Path):
    """TFDS's builder class, made to expect the small originals."""
    with quiet():
        from tensorflow_datasets.core.download import checksums
        from tensorflow_datasets.image_classification import mnist

        mnist._TRAIN_EXAMPLES, mnist._TEST_EXAMPLES = COUNTS.values()
        for url, info in mnist.MNIST.url_infos.items():
            mnist.MNIST.url_infos[url] = checksums.compute_url_info(originals / info.filename)
    return mnist.MNIST


def _at_each_image(builder, act) -> None:
    """Have ``act(key)`` called whenever TFDS has read an image that it is going to write."""
    generate = builder._generate_examples

    def watched(self, *args, **kwargs):
        for key, example in generate(self, *args, **kwargs):
            act(key)
            yield key, example

    builder._generate_examples = watched


def load_and_die(originals: Path) -> None:
    """Be killed half-way: the train records are written, those of the test split are not.

    To be run in a child process.
    """
    keys = []

    def die_in_the_test_split(key):
        keys.append(key)
        if len(keys) > COUNTS["train"]:
            os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))

    _at_each_image(_builder_of(originals), die_in_the_test_split)
    data.load("mnist", full=True, manual_dir=originals)


def load_slowly(originals: Path, log: Path) -> data.Dataset:
    """Load; a preparation takes two seconds and leaves a line in ``log`` for each split."""

    def note(key):
        if key == 0:
            with log.open("a") as file:
                file.write(f"{os.getpid()}\n")
            time.sleep(1)

    _at_each_image(_builder_of(originals), note)
    return data.load("mnist", full=True, manual_dir=originals)
