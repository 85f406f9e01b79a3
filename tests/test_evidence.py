"""What the files are judged on: pixels in the scaling that is right, or a question."""

import re

import numpy as np
import pytest
from PIL import Image

from lessons_lib import files, signature
from lessons_lib.advise import evidence
from lessons_lib.advise.guards import NOTE, WARNING
from lessons_lib.errors import InputError
from reference import converted, digits


@pytest.fixture(scope="module")
def float_file(tmp_path_factory):
    return files.write_atomic(tmp_path_factory.mktemp("m") / "m.tflite", converted()["float32"])


def pictures(folder, labels=None, count=120):
    """Digits as PNG files in folders of their classes."""
    found = digits().test
    for number in range(count):
        home = folder / str((found.labels if labels is None else labels)[number])
        home.mkdir(parents=True, exist_ok=True)
        pixels = np.rint(found.images[number, ..., 0] * 255).astype(np.uint8)
        Image.fromarray(pixels).save(home / f"{number}.png")
    return folder


def read(folder, file, **options):
    work = file.parent / "work"
    return evidence.read(signature.of_file(file), work, lambda: file, data=str(folder), **options)


def test_the_scaling_is_found_also_where_another_names_the_same_classes(float_file, tmp_path):
    """From pixels up to 255 the network reads as many digits: its classes do not mind a factor."""
    data, said = read(pictures(tmp_path / "digits"), float_file)
    assert data.test["image"].dtype == np.float32 and data.test["image"].max() == 1
    (told,) = [guard for guard in said if "scaled to" in guard.text]
    assert told.level == NOTE and told.text.startswith("the pixels were scaled to 0..1")
    reached = dict(re.findall(r"([-.0-9]+): ([.0-9]+)", told.text))
    assert set(reached) == {"0..1", "-1..1", "0..255"}
    assert float(reached["0..255"]) >= float(reached["0..1"]) > 0.9 > float(reached["-1..1"])


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.random.default_rng(3).permutation(np.arange(120) % 10), "no scaling is clearly the"),
        (None, "Without targets it cannot be found out: say --scale 0..1"),
    ],
)
def test_a_scaling_that_cannot_be_told_is_asked_for(labels, words, float_file, tmp_path):
    if labels is None:
        folder = tmp_path / "flat"
        folder.mkdir()
        for file in pictures(tmp_path / "digits", count=40).rglob("*.png"):
            file.rename(folder / file.name)
    else:
        folder = pictures(tmp_path / "digits", labels)
    with pytest.raises(InputError, match=words) as caught:
        read(folder, float_file)
    assert "scale='" in str(caught.value)
    data, _ = read(folder, float_file, scale="0..1")
    assert data.test["image"].max() == 1


def test_samples_that_calibrate_alone_test_as_well_and_that_is_said(float_file):
    images = digits().test.images[:40]
    data, said = evidence.read(
        signature.of_file(float_file), float_file.parent / "w", lambda: float_file,
        calibration=images,
    )  # fmt: skip
    assert data.test is not None and len(data.test["image"]) == 40
    (told,) = said
    assert told.level == WARNING and "no test samples" in told.text
