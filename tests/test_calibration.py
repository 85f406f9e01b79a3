import collections
import itertools

import numpy as np
import pytest

from lessons_lib import by_litert, by_tensorflow, calibration, every_path, sources, training
from lessons_lib.errors import CalibrationError
from lessons_lib.system.quiet import tensorflow
from reference import converted, digits

GOOD = np.linspace(0, 1, 28 * 28, dtype=np.float32).reshape(1, 28, 28, 1)
ONE_INF, ONE_NAN = GOOD.copy(), GOOD.copy()
ONE_INF[0, 3, 3, 0] = np.inf
ONE_NAN[0, 3, 3, 0] = np.nan
STRIKING = GOOD * 255


class FakeTensor:
    """What a tensor of any library shows of itself; the real one is tried further down."""

    def __init__(self, array):
        self.numpy = lambda: array


def yields(*samples):
    return lambda: iter(samples)


BAD = {
    "nothing yielded": (yields(), "yields nothing"),
    "all NaN": (yields([np.full_like(GOOD, np.nan)]), "NaN"),
    "one NaN": (yields([GOOD], [ONE_NAN]), "sample 1 holds NaN"),
    "one inf": (yields([ONE_INF]), "holds inf"),
    "wrong rank": (yields([GOOD[0]]), r"shape \(28, 28, 1\)"),
    "14x14": (yields([GOOD[:, ::2, ::2]]), r"shape \(1, 14, 14, 1\)"),
    "a batch": (yields([np.repeat(GOOD, 2, axis=0)]), r"shape \(2, 28, 28, 1\)"),
    "float64": (yields([GOOD.astype("float64")]), "float64"),
    "uint8": (yields([(GOOD * 255).astype("uint8")]), "uint8"),
    "python lists": (yields([GOOD.tolist()]), "is a list of list"),
    "bare array": (yields(GOOD), "a ndarray by itself"),
    "bare tensor": (yields(FakeTensor(GOOD)), "a ndarray by itself"),
    "()": (yields(()), "a tuple of nothing"),
    "(x, y)": (yields((GOOD, 7)), "a tuple of ndarray, int"),
    "[x, x]": (yields([GOOD, GOOD]), "a list of ndarray, ndarray"),
    "another name": (yields({"wrong": GOOD}), "with 'wrong'; .* is called 'image'"),
    "two names": (yields({"image": GOOD, "label": GOOD}), "with 'image', 'label'"),
    "no name": (yields({}), "a dictionary with nothing"),
    "a list by name": (yields({"image": [GOOD]}), "a dict of list"),
    "a list, not a function": ([[GOOD]], "is a list, not a function"),
    "a generator object": ((s for s in [[GOOD]]), "is a generator, not a function"),
    "a function that returns None": (lambda: None, "gave nothing that yields"),
    "the factory itself": (calibration.representative_dataset, "gave nothing that yields"),
    "endless": (lambda: itertools.repeat([GOOD]), "does it ever end"),
    "0..255": (yields([STRIKING]), "spans 0 to 255"),
    "one unscaled image": (yields(*[[GOOD]] * 9, [STRIKING]), "sample 9 spans"),
    "scaled twice": (yields([GOOD / 255]), "applied twice"),
}


@pytest.mark.parametrize("name", BAD)
def test_every_bad_representative_dataset_is_refused(name):
    dataset, message = BAD[name]
    with pytest.raises(CalibrationError, match=message) as caught:
        calibration.guard(dataset)
    assert "Lesson 06" in str(caught.value)


@pytest.mark.parametrize(
    "name", ["nothing yielded", "a list, not a function", "the factory itself"]
)
def test_a_conversion_in_a_child_is_guarded_as_well(name, tmp_path):
    dataset, message = BAD[name]
    with pytest.raises(CalibrationError, match=message):
        every_path.convert(training.reference(), dataset, tmp_path, names=["int8"])


def test_a_generator_may_use_one_array_again_and_again():
    def generate():
        buffer = np.empty_like(GOOD)
        for factor in (1.0, 0.5):
            np.multiply(GOOD, factor, out=buffer)
            yield [buffer]

    first, second = calibration.guard(generate)()
    assert np.array_equal(first[0], GOOD)
    assert np.array_equal(second[0], GOOD / 2)


def test_a_namedtuple_may_use_one_array_again_and_again():
    sample = collections.namedtuple("sample", "image")

    def generate():
        buffer = np.empty_like(GOOD)
        for factor in (1.0, 0.5):
            np.multiply(GOOD, factor, out=buffer)
            yield sample(buffer)

    first, second = calibration.guard(generate)()
    assert np.array_equal(first[0], 2 * second[0])
    calibration.guard(yields(sample(FakeTensor(GOOD))))


def test_an_error_in_the_learners_generator_stays_what_it_is():
    def generate():
        yield [GOOD]
        for _ in 5:
            yield [GOOD]

    with pytest.raises(TypeError, match="'int' object is not iterable"):
        calibration.guard(generate)


def test_every_path_that_calibrates_is_guarded():
    with pytest.raises(CalibrationError, match="holds inf"):
        by_tensorflow.convert(training.reference(), "int8", yields([ONE_INF]))


def test_a_good_dataset_comes_out_as_it_went_in_and_more_than_once():
    checked = calibration.guard(yields([GOOD], [GOOD / 2]))
    for _ in range(2):
        first, second = checked()
        assert np.array_equal(first[0], GOOD)
        assert np.array_equal(second[0], GOOD / 2)


@pytest.mark.parametrize("path", ["uint8", "int8_float_fallback"])
def test_the_articles_generator_works_in_both_lanes_and_gives_the_same_bytes(path):
    """tf.Tensors out of a tf.data.Dataset, as the article writes it."""
    tf = tensorflow()
    train_images = digits().train.images

    def representative_data_gen():
        for input_value in tf.data.Dataset.from_tensor_slices(train_images).batch(1).take(100):
            yield [input_value]

    def of_arrays():
        return ([image[np.newaxis]] for image in train_images[:100])

    model = by_tensorflow.convert(training.reference(), path, representative_data_gen)
    assert model == by_tensorflow.convert(training.reference(), path, of_arrays)
    float_model = converted()["float32"]
    model = by_litert.quantize(float_model, path, representative_data_gen)
    assert model == by_litert.quantize(float_model, path, of_arrays)


@pytest.mark.parametrize(
    "wrap", [lambda x: (x,), lambda x: {"image": x}, lambda x: [x]], ids=["tuple", "dict", "list"]
)
@pytest.mark.parametrize("kind", [np.asarray, FakeTensor], ids=["array", "tensor"])
def test_a_sample_may_be_a_list_a_tuple_or_a_dictionary(wrap, kind):
    first, second = calibration.guard(yields(wrap(kind(GOOD)), wrap(kind(GOOD / 2))))()
    assert np.array_equal(first, [GOOD])
    assert np.array_equal(second, [GOOD / 2])


def test_a_name_is_the_models_own(tmp_path):
    keras = tensorflow().keras
    model = keras.Sequential([keras.Input((28, 28, 1), name="digit"), keras.layers.Flatten()])
    folder = sources.save(model, tmp_path / "saved")
    named = lambda name: yields({name: GOOD})  # noqa: E731
    float_model = by_tensorflow.convert(folder, "float32")
    by_tensorflow.convert(folder, "int8", named("digit"))
    for lane, source in ((by_tensorflow.convert, folder), (by_litert.quantize, float_model)):
        with pytest.raises(CalibrationError, match="is called 'digit'"):
            lane(source, "int8", named("image"))


def test_the_rounding_of_a_float_is_not_another_scaling():
    calibration.guard(yields([GOOD + np.float32(1e-6)]))
    with pytest.raises(CalibrationError, match="spans"):
        calibration.guard(yields([GOOD * np.float32(1.001)]))


def test_another_range_can_be_promised():
    calibration.guard(yields([2 * GOOD - 1]), value_range=(-1.0, 1.0))
    calibration.guard(yields([STRIKING]), value_range=None)


def test_the_test_split_is_refused():
    with pytest.raises(CalibrationError, match="test split"):
        calibration.representative_dataset(digits().test)


@pytest.mark.parametrize("samples", [0, 501])
def test_as_many_samples_as_there_are_images(samples):
    with pytest.raises(CalibrationError, match=f"asked for {samples}"):
        calibration.representative_dataset(digits().calibration, samples)


def test_samples_are_drawn_from_the_split_without_repeats_and_by_seed():
    split = digits().calibration
    first = [s[0] for s in calibration.representative_dataset(split, 50, seed=3)()]
    again = [s[0] for s in calibration.representative_dataset(split, 50, seed=3)()]
    other = [s[0] for s in calibration.representative_dataset(split, 50, seed=4)()]
    source = {image.tobytes() for image in split.images}
    drawn = {image.tobytes() for image in first}
    assert len(drawn) == 50
    assert drawn <= source
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first[0].shape == (1, 28, 28, 1)
    assert first[0].dtype == np.float32
