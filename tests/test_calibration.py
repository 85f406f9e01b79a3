import collections
import itertools

import numpy as np
import pytest

import any_models
from lessons_lib import (
    by_litert,
    by_tensorflow,
    calibration,
    every_path,
    runtime,
    sources,
    tables,
    training,
)
from lessons_lib.errors import CalibrationError, InputError
from lessons_lib.system.quiet import tensorflow
from lessons_lib.tflite.signature import Signature, TensorSpec
from reference import converted, digits

GOOD = np.linspace(0, 1, 28 * 28, dtype=np.float32).reshape(1, 28, 28, 1)
ONE_INF, ONE_NAN = GOOD.copy(), GOOD.copy()
ONE_INF[0, 3, 3, 0] = np.inf
ONE_NAN[0, 3, 3, 0] = np.nan
STRIKING = GOOD * 255
UNIT = (0.0, 1.0)


def ends(batch=None, **inputs):
    """The signature of a model with one output and these inputs: a shape, or a shape and dtype."""
    both = {name: value if isinstance(value[-1], str) else (value, "float32")
            for name, value in inputs.items()}  # fmt: skip
    specs = {n: TensorSpec(n, (batch, *shape), np.dtype(d)) for n, (shape, d) in both.items()}
    return Signature(specs, {"y": TensorSpec("y", (batch, 10), np.dtype("float32"))})


IMAGE = ends(image=(28, 28, 1))


class FakeTensor:
    """What a tensor of any library shows of itself; the real one is tried further down."""

    def __init__(self, array):
        self.numpy = lambda: array
        self.shape = array.shape


def yields(*samples):
    return lambda: iter(samples)


def fails():
    yield [GOOD]
    raise FileNotFoundError("digits.npy")


BAD = {
    "nothing yielded": (yields(), "yields nothing"),
    "an empty list": ([], "yields nothing"),
    "an empty array": (GOOD[:0], "sample 0: expected the same number .*: 0 of image"),
    "all NaN": (yields([np.full_like(GOOD, np.nan)]), "NaN"),
    "one NaN": (yields([GOOD], [ONE_NAN]), "sample 1: image holds NaN"),
    "one inf": (yields([ONE_INF]), "holds inf"),
    "14x14": (yields([GOOD[:, ::2, ::2]]), r"\(N, 28, 28, 1\), got \(1, 14, 14, 1\)"),
    "no channels": (yields([GOOD[..., 0]]), r"got \(1, 28, 28\)"),
    "one pixel": (yields([GOOD[0, 0, 0, 0]]), r"got \(\)"),
    "float64": (yields([GOOD.astype("float64")]), r"got float64: x\.astype\('float32'\)"),
    "uint8": (yields([(GOOD * 255).astype("uint8")]), "got uint8: scale it as in training"),
    "python lists": (yields([GOOD.tolist()]), "image is a list, not an array"),
    "()": (yields(()), "given: nothing"),
    "(label, x)": (yields((7, GOOD)), "image is a int, not an array"),
    "[x, x]": (yields([GOOD, GOOD]), r"takes image; given: ndarray, ndarray\. Give a dictionary"),
    "another name": (yields({"wrong": GOOD}), "with 'wrong'; .* are called 'image'"),
    "two names": (yields({"image": GOOD, "label": GOOD}), "with 'image', 'label'"),
    "no name": (yields({}), "a dictionary with nothing"),
    "a list by name": (yields({"image": [GOOD]}), "image is a list"),
    "a number": (3, "arrays, or something that yields them; given: a int"),
    "a file's name": ("digits.npy", "given: a str"),
    "a function that returns None": (lambda: None, "given: a NoneType"),
    "the factory itself": (calibration.representative_dataset, "gave nothing that yields"),
    "a function that fails": (fails, "failed at sample 1 with FileNotFoundError: digits.npy"),
    "endless": (lambda: itertools.repeat([GOOD]), "does it ever end"),
    "always the same": ([[GOOD]] * 5, r"yield the same sample again and again\? Lesson 06"),
    "0..255": (yields([STRIKING]), "spans 0 to 255"),
    "one unscaled image": (yields(*[[GOOD]] * 9, [STRIKING]), "sample 9 spans"),
    "scaled twice": (yields([GOOD / 255]), "applied twice"),
}


@pytest.mark.parametrize("name", BAD)
def test_every_bad_representative_dataset_is_refused(name):
    dataset, message = BAD[name]
    with pytest.raises(CalibrationError, match=message) as caught:
        calibration.check(dataset, IMAGE, UNIT)
    assert "Lesson 06" in str(caught.value)


@pytest.mark.parametrize("name", ["nothing yielded", "a number", "a function that fails"])
def test_a_bad_dataset_is_the_reason_of_the_paths_that_calibrate(name, tmp_path):
    dataset, message = BAD[name]
    found = every_path.convert(
        training.reference(), dataset, tmp_path, names=["float32", "int8", "uint8"]
    )
    assert found["float32"].ok
    for path in ("int8", "uint8"):
        with pytest.raises(CalibrationError, match=message):
            raise found[path].reason


def stacked(dataset, signature=IMAGE, value_range=None):
    """All calls of a guarded dataset, one after the other, by name."""
    calls = list(calibration.guard(dataset, signature, value_range)())
    return {name: np.concatenate([call[name] for call in calls]) for name in calls[0]}


PAIR = np.concatenate([GOOD, GOOD / 2])
Named = collections.namedtuple("Named", "image")
GOOD_ONES = {
    "a function": yields([GOOD], [GOOD / 2]),
    "a generator": None,  # made where it is used: it can be read once
    "a list of lists": [[GOOD], [GOOD / 2]],
    "a list of arrays": [GOOD, GOOD / 2],
    "an array": PAIR,
    "a tensor": FakeTensor(PAIR),
    "a dictionary": {"image": PAIR},
    "a tuple": (PAIR,),
    "one batch": yields([PAIR]),
    "samples without the batch's axis": list(PAIR),
    "(x, y)": yields((GOOD, np.int64([3])), (GOOD / 2, np.int64([5]))),
    "(x, y, weight)": yields((PAIR, np.int64([3, 5]), np.float32([1, 1]))),
    "({'image': x}, y)": yields(({"image": PAIR}, np.int64([3, 5]))),
    "named tuples": yields(Named(GOOD), Named(FakeTensor(GOOD / 2))),
    "tensors by name": yields({"image": FakeTensor(GOOD)}, {"image": FakeTensor(GOOD / 2)}),
}


@pytest.mark.parametrize("name", GOOD_ONES)
def test_a_good_dataset_comes_out_as_it_went_in(name):
    dataset = ([x] for x in PAIR[:, None]) if name == "a generator" else GOOD_ONES[name]
    assert np.array_equal(stacked(dataset, value_range=UNIT)["image"], PAIR)


def test_a_function_may_be_asked_more_than_once():
    guarded = calibration.guard(yields([GOOD], [GOOD / 2]), IMAGE)
    for _ in range(2):
        assert [len(call["image"]) for call in guarded()] == [1, 1]


def test_check_counts_samples_and_not_items():
    assert calibration.check(yields([PAIR], [GOOD]), IMAGE) == 3
    assert calibration.check(iter([PAIR, GOOD]), IMAGE, UNIT) == 3


def test_nothing_is_said_where_no_range_is():
    assert calibration.check([STRIKING, -STRIKING], IMAGE) == 2
    assert calibration.check([GOOD / 255, GOOD / 256], IMAGE) == 2


def test_a_generator_may_use_one_array_again_and_again():
    def generate():
        buffer = np.empty_like(GOOD)
        for factor in (1.0, 0.5, 0.25):
            np.multiply(GOOD, factor, out=buffer)
            yield [buffer]

    guarded = calibration.guard(generate, ends(4, image=(28, 28, 1)))
    (call,) = list(guarded())
    assert np.array_equal(call["image"], [GOOD[0], GOOD[0] / 2, GOOD[0] / 4, GOOD[0] / 4])
    assert np.array_equal(guarded.kept["image"], call["image"][:3])


class Counted(np.ndarray):
    """An array of which one knows how many are alive."""

    alive = most = 0

    def __new__(cls, fill):
        self = np.full((1, 28, 28, 1), fill, np.float32).view(cls)
        Counted.alive += 1
        Counted.most = max(Counted.most, Counted.alive)
        return self

    def __del__(self):
        if self.base is not None and self.base.base is None:
            Counted.alive -= 1


def test_a_stream_is_never_held_whole():
    Counted.alive = Counted.most = 0
    guarded = calibration.guard((Counted(i / 500) for i in range(500)), IMAGE, UNIT)
    for _ in guarded():
        pass
    assert guarded.count == 500
    assert Counted.most < 20
    assert len(guarded.kept["image"]) == calibration.KEPT


def test_of_large_samples_two_are_kept_and_no_more():
    shape = (1024, 1024, 8)  # 32 MiB
    guarded = calibration.guard(
        (np.full((1, *shape), i, np.float32) for i in range(5)), ends(image=shape)
    )
    for _ in guarded():
        pass
    assert guarded.kept["image"].shape == (2, *shape)


def test_a_fixed_batch_gets_full_calls():
    x = np.random.default_rng(0).random((10, 3), np.float32)
    guarded = calibration.guard([x[:3], x[3:9], x[9:]], ends(4, x=(3,)))
    calls = [call["x"] for call in guarded()]
    assert [len(call) for call in calls] == [4, 4, 4]
    assert np.array_equal(np.concatenate(calls)[:10], x)
    assert guarded.count == 10


TWO = ends(image=(2, 2, 1), age=(1,))


@pytest.mark.parametrize("wrap", [dict, lambda by: tuple(by.values()), lambda by: [*by.values()]])
def test_two_inputs_come_by_name_or_in_order(wrap):
    by_name = {"image": np.eye(2, dtype=np.float32)[None, ..., None], "age": np.float32([[40]])}
    other = {name: 2 * array for name, array in by_name.items()}
    found = stacked(yields(wrap(by_name), wrap(other)), TWO)
    assert np.array_equal(found["age"], [[40], [80]])
    assert np.array_equal(found["image"], 2 * found["image"][[0, 0]] * [[[[0.5]]], [[[1]]]])


def test_a_range_of_two_inputs_is_given_by_name():
    x = {"image": np.eye(2, dtype=np.float32)[None, ..., None], "age": np.float32([[40]])}
    assert calibration.check([x], TWO, {"image": UNIT}) == 1
    with pytest.raises(CalibrationError, match=r"spans 40 to 40, but value_range .* 0 to 1"):
        calibration.check([x], TWO, {"age": UNIT})
    with pytest.raises(InputError, match=r"of which input\? .*'image': \(low, high\), 'age'"):
        calibration.guard([x], TWO, UNIT)
    with pytest.raises(InputError, match=r"value_range names 'pixels'; .*image, age"):
        calibration.guard([x], TWO, {"pixels": UNIT})


@pytest.mark.parametrize(
    "value_range", [3, 1.0, (0, 1, 2), ("a", "b"), (np.nan, 1), (1, 0), (0, np.inf), (1, 1)]
)
@pytest.mark.parametrize("named", [False, True])
def test_a_range_that_is_none_is_refused_at_once(value_range, named):
    given = {"image": value_range} if named else value_range
    with pytest.raises(InputError, match="expected the least and the largest value"):
        calibration.guard([], ends(image=(2,)), given)


def test_integers_have_no_range():
    with pytest.raises(InputError, match=r"but the model takes integers, .*: leave it out"):
        calibration.guard([], ends(ids=((3,), "int32")), UNIT)


def test_a_range_goes_to_the_only_float_input():
    both = ends(image=(2,), ids=((3,), "int32"))
    x = {"image": np.float32([[0, 1]]), "ids": np.int32([[7, 8, 900]])}
    assert calibration.check([x], both, UNIT) == 1
    with pytest.raises(CalibrationError, match="spans 0 to 5"):
        calibration.check([x | {"image": np.float32([[0, 5]])}], both, UNIT)


def test_tokens_are_checked_as_integers():
    ids = np.arange(24, dtype=np.int32).reshape(2, 12)
    text = ends(ids=((12,), "int32"))
    assert calibration.check(ids, text) == 2
    with pytest.raises(CalibrationError, match=r"int32 input, got float32: x\.astype\('int32'\)"):
        calibration.check(ids.astype(np.float32), text)
    with pytest.raises(CalibrationError, match=r"int32 input, got int64: x\.astype\('int32'\)"):
        calibration.check(ids.astype(np.int64), text)


def test_every_path_that_calibrates_is_guarded():
    with pytest.raises(CalibrationError, match="holds inf"):
        by_tensorflow.convert(training.reference(), "int8", yields([ONE_INF]))
    with pytest.raises(CalibrationError, match="spans 0 to 255"):
        by_litert.quantize(converted()["float32"], "int8", [STRIKING], value_range=UNIT)


@pytest.mark.parametrize("path", ["uint8", "int8_float_fallback"])
def test_the_articles_generator_works_in_both_lanes_and_gives_the_same_bytes(path):
    """tf.Tensors out of a tf.data.Dataset, as the article writes it; the dataset; the array."""
    tf = tensorflow()
    train_images, labels = digits().train.images[:100], digits().train.labels[:100]

    def representative_data_gen():
        for input_value in tf.data.Dataset.from_tensor_slices(train_images).batch(1).take(100):
            yield [input_value]

    pairs = tf.data.Dataset.from_tensor_slices((train_images, labels)).batch(30)
    for lane, source in (
        (by_tensorflow.convert, training.reference()),
        (by_litert.quantize, converted()["float32"]),
    ):
        model = lane(source, path, representative_data_gen)
        for same in (lambda: ([image[np.newaxis]] for image in train_images), pairs, train_images):
            assert lane(source, path, same) == model


def test_a_keras_sequence_is_a_dataset(tmp_path):
    class Batches(tensorflow().keras.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, place):
            part = slice(25 * place, 25 * place + 25)
            return digits().train.images[part], digits().train.labels[part]

    assert calibration.check(Batches(), IMAGE, UNIT) == 100
    model = by_litert.quantize(converted()["float32"], "int8", Batches())
    assert model == by_litert.quantize(converted()["float32"], "int8", digits().train.images[:100])


def test_a_name_is_the_models_own(tmp_path):
    keras = tensorflow().keras
    model = keras.Sequential([keras.Input((28, 28, 1), name="digit"), keras.layers.Flatten()])
    folder = sources.save(model, tmp_path / "saved")
    named = lambda name: yields({name: GOOD})  # noqa: E731
    float_model = by_tensorflow.convert(folder, "float32")
    by_tensorflow.convert(folder, "int8", named("digit"))
    for lane, source in ((by_tensorflow.convert, folder), (by_litert.quantize, float_model)):
        with pytest.raises(CalibrationError, match="are called 'digit'"):
            lane(source, "int8", named("image"))


def test_the_rounding_of_a_float_is_not_another_scaling():
    assert calibration.check(yields([GOOD + np.float32(1e-6)]), IMAGE, UNIT) == 1
    with pytest.raises(CalibrationError, match="spans"):
        calibration.check(yields([GOOD * np.float32(1.001)]), IMAGE, UNIT)


def test_another_range_can_be_promised():
    assert calibration.check(yields([2 * GOOD - 1]), IMAGE, (-1.0, 1.0)) == 1
    with pytest.raises(CalibrationError, match="spans -1 to 1"):
        calibration.check(yields([2 * GOOD - 1]), IMAGE, UNIT)


# ---- what is recorded: the extremes, or an average of them


def test_an_average_clips_what_extremes_keep():
    """Of one number a sample, the average of all ranges is near its mean: what is above is cut."""
    content = any_models.converted("regression")
    x = np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32)
    expected = runtime.Model(content).predict(x)[200:]

    def explained(calibrate):  # R2
        model = by_litert.quantize(content, "int8", x[:200], calibrate=calibrate)
        error = runtime.Model(model).predict(x[200:]) - expected
        return 1 - error.var() / expected.var()

    assert explained("extremes") > 0.99
    assert explained("moving_average") < 0.9
    extremes = by_litert.quantize(content, "int8", x[:200], calibrate="extremes")
    assert by_litert.quantize(content, "int8", x[:200]) == extremes
    assert by_litert.quantize(content, "int8", x[199::-1]) == extremes  # the order does not count


def test_extremes_are_the_converters_ranges():
    samples = calibration.representative_dataset(digits().calibration)
    by_lane = {
        "tensorflow": converted()["int8"],
        "litert": by_litert.quantize(converted()["float32"], "int8", samples),
        "average": by_litert.quantize(
            converted()["float32"], "int8", samples, calibrate="moving_average"
        ),
    }
    scales = {lane: activation_scales(content) for lane, content in by_lane.items()}
    assert len(scales["litert"]) == len(scales["tensorflow"]) > 5
    assert scales["litert"] == pytest.approx(scales["tensorflow"], rel=1e-5)
    assert scales["average"] != pytest.approx(scales["tensorflow"], rel=0.02)


def activation_scales(content):
    """The scale of what each convolution, dense layer and softmax gives, in order."""
    table, operators = tables.tensors(content), tables.operators(content)
    scales = table.set_index("name")["scale"]
    kinds = ["CONV_2D", "MAX_POOL_2D", "FULLY_CONNECTED", "SOFTMAX"]
    chosen = operators[operators["operator"].isin(kinds)]
    return [float(scales[outputs[0]]) for outputs in chosen["outputs"]]


def test_another_word_for_a_calibration_is_refused():
    with pytest.raises(InputError, match="calibrate='median'; expected extremes or moving_average"):
        by_litert.quantize(converted()["float32"], "int8", PAIR, calibrate="median")


# ---- the samples of a split


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


def test_samples_without_an_end_are_refused_before_they_fill_the_disk(monkeypatch, tmp_path):
    monkeypatch.setattr(calibration, "_MOST_BYTES", 10 * GOOD.nbytes)
    with (
        pytest.raises(CalibrationError, match=r"yields more than .* GiB: .*dataset\.take\(10\)"),
        calibration.in_file(itertools.repeat(np.repeat(GOOD, 4, axis=0))),
    ):
        pass


def test_what_is_no_array_is_a_bad_dataset():
    with (
        pytest.raises(CalibrationError, match="sample 0 is a function, no array"),
        calibration.in_file([print, lambda: 3][1:]),
    ):
        pass
