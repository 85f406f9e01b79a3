import numpy as np
import pytest

from lessons_lib import corruption, evaluate, files, runtime
from lessons_lib.models.data import Dataset, Split
from reference import converted, digits


def test_the_hard_digits_are_the_test_digits_and_always_the_same_pixels():
    hard, test = digits().hard, digits().test
    assert hard.role == "test"  # so that calibration refuses them
    assert np.array_equal(hard.ids, test.ids)
    assert np.array_equal(hard.labels, test.labels)
    assert files.sha256(hard.pixels.tobytes()) == (
        "991326bbf117b1ce4e27af7297b2818d22445f39506141398349b469367e6ee6"
    )


@pytest.mark.parametrize("name", ["mnist_cnn", "ds_cnn"])
def test_the_float_models_get_85_to_92_per_cent(name):
    predicted = runtime.Model(converted(name)["float32"]).classes(digits().hard.images)
    assert 0.85 <= evaluate.accuracy(predicted, digits().hard.labels).value <= 0.92


def test_an_image_is_corrupted_the_same_in_any_selection():
    some = digits().test[[7, 500, 3]]
    assert np.array_equal(
        corruption.corrupt(some.pixels, some.ids), digits().hard.pixels[[7, 500, 3]]
    )


def test_each_image_is_dimmed_and_noisy_and_keeps_its_shape():
    ids = np.arange(200)
    white = np.full((200, 28, 28, 1), 255, np.uint8)
    middle = corruption.corrupt(white, ids)[:, 10:18, 10:18].astype(float) / 255
    light, noise = middle.mean(axis=(1, 2, 3)), middle.std(axis=(1, 2, 3))
    assert 0.39 < light.min() < 0.45
    assert 0.9 < light.max() <= 1
    assert noise[light < 0.9].mean() == pytest.approx(corruption.NOISE, rel=0.1)


def test_an_image_is_turned_and_shifted_within_the_limits():
    """Where a point of light lands: at most the shift away, and more when it is off the middle."""
    points = np.zeros((200, 28, 28, 1), np.uint8)
    points[:, 13:15, 13:15] = 255
    corrupted = corruption.corrupt(points, np.arange(200)).astype(float)
    lit = np.where(corrupted > 50, corrupted, 0)[..., 0]
    rows = (lit.sum(axis=2) * np.arange(28)).sum(axis=1) / lit.sum(axis=(1, 2))
    assert abs(rows - 13.5).max() <= corruption.SHIFT + 0.3
    assert abs(rows - 13.5).max() > corruption.SHIFT / 2
    edge = np.zeros((200, 28, 28, 1), np.uint8)
    edge[:, 13:15, 22:26] = 255
    corrupted = corruption.corrupt(edge, np.arange(200)).astype(float)
    lit = np.where(corrupted > 50, corrupted, 0)[..., 0]
    rows = (lit.sum(axis=2) * np.arange(28)).sum(axis=1) / lit.sum(axis=(1, 2))
    turned = 10 * np.sin(np.deg2rad(corruption.TURN))
    assert turned / 2 < abs(rows - 13.5).max() <= turned + corruption.SHIFT + 0.5


def test_colour_images_of_another_size_and_any_ids_are_taken():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 32, 40, 3), np.uint8)
    split = Split("test", pixels, np.arange(5), np.arange(-2, 3))
    hard = Dataset("colours", split, split, split, tuple("abcde")).hard
    assert hard.pixels.shape == pixels.shape
    assert hard.pixels.dtype == np.uint8
    assert not np.array_equal(hard.pixels, pixels)
