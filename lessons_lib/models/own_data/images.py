"""Images: of a folder, or of a dataset that TensorFlow Datasets has prepared."""

import itertools
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lessons_lib.errors import InputError, first_line
from lessons_lib.models import own_images, sample_files
from lessons_lib.models.own_data.given import CALIBRATION_SAMPLES, Options
from lessons_lib.models.sample_files import Gathered
from lessons_lib.system.files import display_path
from lessons_lib.system.quiet import quiet

TEST_IMAGES = 10_000  # at most, of a folder that may have a million
TEST_SAMPLES = 2_000  # at most, of a dataset of TFDS


def of_folder(source: Path, options: Options, folder: Path) -> Gathered:
    """Gather the pixels of images, and their classes where these are folders."""
    frame = own_images.frame(options.signature)
    listed = own_images.listed(source, options.signature)
    most = CALIBRATION_SAMPLES + TEST_IMAGES
    chosen = np.arange(len(listed.files))
    notes = listed.notes
    if len(chosen) > most:
        notes += (f"{most:,} of {len(chosen):,} images, drawn at random",)
        chosen = np.sort(np.random.default_rng(options.seed).permutation(len(chosen))[:most])
    done: Counter = Counter()
    images = own_images.decoded([listed.files[n] for n in chosen], frame, done)
    labels = itertools.repeat(None) if listed.labels is None else listed.labels[chosen]
    found = options.gather(zip(images, labels, strict=False), folder)
    notes += found.notes + own_images.said(done, len(found))
    return replace(found, notes=notes, classes=listed.classes)


def of_dataset(name: str, options: Options, folder: Path) -> dict[str, Gathered]:
    """Read a prepared dataset of TensorFlow Datasets, in a child; nothing is downloaded."""
    with quiet():
        import tensorflow_datasets as tfds

        try:
            builder = tfds.builder(name, data_dir=os.environ.get("TFDS_DATA_DIR"), try_gcs=False)
            prepared = builder.is_prepared()
        except Exception as error:  # TFDS raises many kinds
            reason = first_line(error)
            raise InputError(f"TensorFlow Datasets cannot open it ({reason})") from error
    if not prepared:
        raise InputError(
            f"it is not prepared in {display_path(builder.data_path.parent)}. With a network, "
            f"`tfds build {name}` or tfds.builder({name!r}).download_and_prepare() does it; "
            "TFDS_DATA_DIR names another folder where it is"
        )
    splits = list(builder.info.splits)
    held_out = [name for name in ("test", "validation") if name in splits]
    both = {"calibration": "train", "test": held_out[0]} if "train" in splits and held_out else {}
    return {
        role: _of_split(builder, split, role, options, folder / (role or "all"))
        for role, split in (both or {"": splits[0]}).items()
    }


def _of_split(builder, split: str, role: str, options: Options, folder: Path) -> Gathered:
    import tensorflow_datasets as tfds

    total = builder.info.splits[split].num_examples
    most = min(total, CALIBRATION_SAMPLES if role == "calibration" else TEST_SAMPLES)
    features, (x, y) = builder.info.features, _keys(builder)
    is_image = isinstance(features[x], tfds.features.Image)
    frame = own_images.frame(options.signature) if is_image else None
    done: Counter = Counter()

    def pairs() -> Iterator[tuple[Any, Any]]:
        for each in tfds.as_numpy(builder.as_dataset(split=f"{split}[:{most}]")):
            yield (own_images.of_array(each[x], frame, done) if frame else each[x]), each[y]

    found = options.gather(pairs(), folder)
    names = getattr(features[y], "names", None) or ()
    if names:
        sample_files.require_all_classes(names, options.signature)
    cut = (f"the first {most:,} of {total:,} samples of {split}",) if total > most else ()
    notes = cut + found.notes + own_images.said(done, len(found))
    return replace(found, notes=notes, classes=tuple(names))


def _keys(builder) -> tuple[str, str]:
    """The features that are input and target."""
    keys = builder.info.supervised_keys or ("image", "label")
    if len(keys) != 2 or not all(isinstance(k, str) and k in builder.info.features for k in keys):
        raise InputError("it does not say what is input and what target: write a data.py for it")
    return keys
