"""Samples of every kind become rows by input name, unchanged and never held whole."""

import collections
import dataclasses
import pickle
import weakref

import numpy as np
import pandas as pd
import pytest

from lessons_lib import samples
from lessons_lib.errors import InputError, StorageError
from lessons_lib.system.quiet import tensorflow
from lessons_lib.tflite.signature import Signature, TensorSpec

FLOAT = "float32"


def ends(*outputs, **inputs):
    """A signature of inputs, each a (shape, dtype), and outputs of these shapes."""
    given = {n: TensorSpec(n, shape, np.dtype(dtype)) for n, (shape, dtype) in inputs.items()}
    outputs = outputs or ((None, 3),)
    gives = {f"y{n}": TensorSpec(f"y{n}", s, np.dtype(FLOAT)) for n, s in enumerate(outputs)}
    return Signature(given, gives)


IMAGE = ends(image=((None, 4, 4, 1), FLOAT))
TEXT = ends(ids=((None, 5), "int32"))
TWO = ends(image=((None, 4, 4, 1), FLOAT), ids=((None, 5), "int32"))
FOUR = ends((4, 3), image=((4, 4, 4, 1), FLOAT))
NO_BATCH = ends((5, 40), wave=((40,), FLOAT))
SCALAR = ends((), x=((), FLOAT))
OTHER_ROWS = ends((4, 2, 8), x=((1, 2, 4, 8), FLOAT))
LINE = ends((None,), x=((None,), FLOAT))
ANY_SIZE = ends(image=((None, None, None, 3), FLOAT))

X = np.random.default_rng(0).random((6, 4, 4, 1), np.float32)
IDS = np.arange(30, dtype=np.int32).reshape(6, 5)
LABELS = np.arange(6)
PAIRS = list(zip(X, IDS, strict=True))


# ---- rows


def spoiled(value):
    x = X.copy()
    x[3, 2, 1] = value
    return x


@pytest.mark.parametrize(
    "wrap",
    [
        lambda image, ids: {"image": image, "ids": ids},
        lambda image, ids: {"ids": ids, "image": image},
        lambda image, ids: (image, ids),
        lambda image, ids: [image, ids],
        collections.namedtuple("Inputs", "image ids"),
    ],
)
@pytest.mark.parametrize("kind", ["arrays", "tensors"])
def test_rows_come_by_name_whatever_holds_them(wrap, kind):
    make = tensorflow().constant if kind == "tensors" else np.asarray
    found = samples.rows(wrap(make(X), make(IDS)), TWO)
    assert list(found) == ["image", "ids"]
    assert np.array_equal(found["image"], X) and found["image"].dtype == np.float32
    assert np.array_equal(found["ids"], IDS) and found["ids"].dtype == np.int32


@pytest.mark.parametrize("given", [X, [X], (X,), {"image": X}])
def test_one_input_needs_no_name(given):
    assert samples.rows(given, IMAGE)["image"] is X


@pytest.mark.parametrize(
    ("signature", "x", "count"),
    [
        (NO_BATCH, np.zeros((7, 40), FLOAT), 7),
        (NO_BATCH, np.zeros(40, FLOAT), 1),
        (SCALAR, np.zeros(7, FLOAT), 7),
        (SCALAR, np.float32(3), 1),
        (LINE, np.zeros(7, FLOAT), 7),
        (OTHER_ROWS, np.zeros((7, 2, 4, 8), FLOAT), 7),
        (OTHER_ROWS, np.zeros((1, 2, 4, 8), FLOAT), 1),
        (ANY_SIZE, np.zeros((7, 9, 11, 3), FLOAT), 7),
    ],
)
def test_the_first_axis_counts_samples(signature, x, count):
    (found,) = samples.rows(x, signature).values()
    assert len(found) == count
    (name,) = signature.inputs
    assert len(found.shape) == 1 + len(signature.sample_shape(name))


@pytest.mark.parametrize(
    ("signature", "x", "message"),
    [
        (IMAGE, X[0], r"\(N, 4, 4, 1\), got \(4, 4, 1\): add the batch axis, x\[np\.newaxis\]"),
        (IMAGE, X[..., 0], r"^image: expected input of shape \(N, 4, 4, 1\), got \(6, 4, 4\)"),
        (IMAGE, X[:0], "at least one: 0 of image"),
        (IMAGE, X.astype("f8"), r"expected float32 input, got float64: x\.astype\('float32'\)"),
        (IMAGE, (255 * X).astype("u1"), r"got uint8: scale it as in training, then x\.astype"),
        (IMAGE, X > 0.5, r"got bool: scale it as in training"),
        (IMAGE, spoiled(np.nan), "image holds NaN; every value must be"),
        (IMAGE, spoiled(-np.inf), "image holds inf"),
        (IMAGE, X.tolist(), r"takes image; given: list, list.*\{'image': array\}"),
        (IMAGE, [X.tolist()], r"image is a list, not an array or a tensor: np\.array\(x, dtype\)"),
        (IMAGE, None, "image is a NoneType"),
        (IMAGE, {"Image": X}, r"a dictionary with 'Image'; the model's inputs are called 'image'"),
        (IMAGE, {}, "a dictionary with nothing"),
        (IMAGE, (X, X, X), r"takes image; given: ndarray, ndarray, ndarray"),
        (TEXT, IDS.astype("i8"), r"expected int32 input, got int64: x\.astype\('int32'\)"),
        (TEXT, IDS.astype("f4"), r"expected int32 input, got float32: x\.astype\('int32'\)"),
        (TEXT, IDS / 9, "got float64, which is not even whole: .* before any scaling"),
        (TWO, X, r"takes image, ids; given: ndarray\. .*\{'image': array, 'ids': array\}"),
        (TWO, (IDS, IDS), r"^image: expected float32 input, got int32"),
        (TWO, {"image": X}, r"a dictionary with 'image'; .* 'image', 'ids'"),
        (TWO, (X, IDS[:4]), "the same number of samples, at least one: 6 of image, 4 of ids"),
        (ANY_SIZE, X, r"shape \(N, \?, \?, 3\), got \(6, 4, 4, 1\)"),
        (NO_BATCH, np.zeros((7, 41), FLOAT), r"shape \(N, 40\), got \(7, 41\)"),
    ],
)
def test_rows_that_do_not_fit_are_refused(signature, x, message):
    with pytest.raises(InputError, match=message):
        samples.rows(x, signature)


@pytest.mark.parametrize("order", [("image", "ids"), ("ids", "image")])
def test_without_names_each_array_goes_where_it_fits(order):
    given = {"image": X, "ids": IDS}
    found = samples.rows(tuple(given[name] for name in order), TWO)
    assert list(found) == ["image", "ids"]
    assert found["image"] is X and found["ids"] is IDS


ALIKE = ends(left=((None, 4), FLOAT), right=((None, 4), FLOAT), ids=((None, 5), "int32"))
LEFT, RIGHT = (np.full((6, 4), side, FLOAT) for side in (-1, 1))


def test_arrays_that_fit_in_more_than_one_order_are_refused_with_the_names():
    form = r"\{'left': array, 'right': array, 'ids': array\}"
    with pytest.raises(InputError, match=f"3 arrays fit in more than one order.*{form}"):
        samples.rows((LEFT, RIGHT, IDS), ALIKE)


def test_the_owners_order_is_kept_where_the_signature_knows_it():
    known = dataclasses.replace(ALIKE, order=("right", "ids", "left"))
    for found in (
        samples.rows((RIGHT, IDS, LEFT), known),
        *samples.stream([((RIGHT, IDS, LEFT), LABELS)], known),
    ):
        assert list(found) == ["left", "right", "ids"]
        assert (found["left"] == -1).all() and (found["right"] == 1).all()
    with pytest.raises(InputError, match="fit in more than one order"):
        samples.rows((LEFT, RIGHT, IDS), known)
    known = dataclasses.replace(TWO, order=("ids", "image"))
    assert samples.rows((X, IDS), known)["image"] is X  # where it fits in one other order alone


def test_a_table_of_pandas_is_an_array():
    table = pd.DataFrame(IDS, columns=list("abcde"))
    assert np.array_equal(samples.rows(table, TEXT)["ids"], IDS)
    assert np.array_equal(next(samples.stream(table, TEXT))["ids"], IDS)
    with pytest.raises(InputError, match=r"got float64: x\.astype\('float32'\)"):
        samples.rows(pd.Series(np.arange(3) / 2), LINE)


def test_a_quantized_input_asks_for_integers():
    spec = TensorSpec("image", (None, 4, 4, 1), np.dtype("int8"), 1 / 255, -128)
    with pytest.raises(InputError, match=r"int8 input, got float32: Model\.quantize_input makes"):
        samples.rows(X, Signature({"image": spec}, {}))


def test_one_sample_may_come_without_its_axis_where_it_is_allowed():
    assert samples.rows(X[0], IMAGE, one=True)["image"].shape == (1, 4, 4, 1)
    found = samples.rows({"image": X[0], "ids": IDS[0]}, TWO, one=True)
    assert {name: array.shape for name, array in found.items()} == {
        "image": (1, 4, 4, 1),
        "ids": (1, 5),
    }


# ---- streams


def dataset(*parts, batch=None):
    made = tensorflow().data.Dataset.from_tensor_slices(parts if len(parts) > 1 else parts[0])
    return made.batch(batch) if batch else made


def sequence():
    class Batches(tensorflow().keras.utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, place):
            if place >= 3:
                raise AssertionError("asked for more than there is")
            return X[2 * place : 2 * place + 2], LABELS[2 * place : 2 * place + 2]

    return Batches()


def by_index():
    """What torch calls a map-style dataset: a length and items, nothing to iterate."""

    class Images:
        def __len__(self):
            return 6

        def __getitem__(self, place):
            if place >= 6:
                raise KeyError(place)
            return X[place], int(LABELS[place])

    return Images()


ONE_INPUT = {
    "array": lambda: X,
    "tensor": lambda: tensorflow().constant(X),
    "dictionary": lambda: {"image": X},
    "tuple": lambda: (X,),
    "(x, y)": lambda: (X, LABELS),
    "list of samples": lambda: list(X),
    "list of lists": lambda: [[x[None]] for x in X],
    "generator": lambda: (x[None] for x in X),
    "generator of batches": lambda: iter([X[:4], X[4:]]),
    "function": lambda: lambda: ([x[None]] for x in X),
    "function of an array": lambda: lambda: X,
    "pairs": lambda: zip(X, LABELS, strict=True),
    "triples": lambda: ((x[None], y, 1.0) for x, y in zip(X, LABELS, strict=True)),
    "dictionary and label": lambda: (({"image": x}, y) for x, y in zip(X, LABELS, strict=True)),
    "named tuples": lambda: map(collections.namedtuple("Sample", "image"), X),
    "map": lambda: map(np.copy, X),
    "tf.data": lambda: dataset(X),
    "tf.data in batches": lambda: dataset(X, batch=4),
    "tf.data with labels": lambda: dataset(X, LABELS, batch=1),
    "tf.data by name": lambda: dataset({"image": X}, LABELS, batch=5),
    "Keras sequence": sequence,
    "length and items": by_index,
}


@pytest.mark.parametrize("kind", ONE_INPUT)
def test_a_stream_of_one_input(kind):
    found = list(samples.stream(ONE_INPUT[kind](), IMAGE))
    assert np.array_equal(np.concatenate([part["image"] for part in found]), X)


BOTH = {
    "dictionary": lambda: {"image": X, "ids": IDS},
    "tuple": lambda: (X, IDS),
    "((image, ids), y)": lambda: ((X, IDS), LABELS),
    "generator of dictionaries": lambda: ({"ids": i, "image": x} for x, i in PAIRS),
    "generator of tuples": lambda: zip(X, IDS, strict=True),
    "pairs of tuples": lambda: (((x, i), 3) for x, i in PAIRS),
    "pairs of dictionaries": lambda: (({"image": x, "ids": i}, 3) for x, i in PAIRS),
    "pairs of lists": lambda: (([x, i], 3) for x, i in PAIRS),
    "tf.data": lambda: dataset({"image": X, "ids": IDS}, batch=2),
    "tf.data with labels": lambda: dataset((X, IDS), LABELS, batch=2),
}


@pytest.mark.parametrize("kind", BOTH)
def test_a_stream_of_two_inputs(kind):
    found = list(samples.stream(BOTH[kind](), TWO))
    assert np.array_equal(np.concatenate([part["image"] for part in found]), X)
    assert np.array_equal(np.concatenate([part["ids"] for part in found]), IDS)


@pytest.mark.parametrize("source", [3, None, "digits.npy", b"abc", object()])
def test_what_is_no_source_is_refused(source):
    with pytest.raises(InputError, match=f"given: a {type(source).__name__}"):
        list(samples.items(source))


def test_a_function_that_needs_arguments_is_refused():
    with pytest.raises(InputError, match="calling the function, without arguments, gave nothing"):
        list(samples.items(lambda count: range(count)))


def test_an_item_that_does_not_fit_is_named_by_its_number():
    stream = samples.stream([X[0], X[1], X[2, :2]], IMAGE)
    assert len(next(stream)["image"]) == len(next(stream)["image"]) == 1
    with pytest.raises(InputError, match=r"sample 2: .*: expected input of shape .*\(2, 4, 1\)"):
        next(stream)


def test_a_text_in_a_tf_dataset_is_refused_as_what_it_is():
    with pytest.raises(InputError, match="sample 0: image is a bytes"):
        next(samples.stream(dataset(np.array(["a", "b"])), IMAGE))


# ---- nothing is held


class Big:
    """An array that can be watched, for NumPy's own cannot."""

    def __init__(self, alive):
        self._array = X[:1].copy()
        self.shape = self._array.shape
        alive.add(self)

    def numpy(self):
        return self._array


@pytest.mark.parametrize("use", ["stream", "spool", "regrouped"])
def test_a_stream_holds_one_item_at_a_time(use, tmp_path):
    alive, most = weakref.WeakSet(), 0

    def watched():
        nonlocal most
        for _ in range(200):
            most = max(most, len(alive))
            yield Big(alive)

    if use == "spool":
        assert samples.spool(watched(), tmp_path / "spool") == 200
    elif use == "stream":
        assert sum(1 for _ in samples.stream(watched(), IMAGE)) == 200
    else:
        assert sum(1 for _ in samples.regrouped(samples.stream(watched(), IMAGE), 8)) == 25
    assert most <= 2


def test_what_was_spooled_comes_back_item_by_item(tmp_path):
    file = tmp_path / "spool"
    given = [(X[0], 3), {"image": X[1]}, X[2:4], [IDS[0]]]
    assert samples.spool(iter(given), file) == 4
    back = samples.spooled(file)
    first = next(back)
    assert isinstance(first, tuple) and first[1] == 3
    assert np.array_equal(first[0], X[0])
    rest = list(back)
    assert np.array_equal(rest[0]["image"], X[1])
    assert np.array_equal(rest[1], X[2:4])
    assert isinstance(rest[2], list) and rest[2][0].dtype == np.int32


def test_a_spool_needs_no_tensorflow_to_be_read(tmp_path):
    samples.spool(dataset(X, LABELS), tmp_path / "spool")
    assert b"tensorflow" not in (tmp_path / "spool").read_bytes()
    samples.spool([collections.namedtuple("Local", "image")(X[0])], tmp_path / "spool")
    assert type(pickle.loads((tmp_path / "spool").read_bytes())) is tuple


def test_a_spool_ends_where_it_is_told(tmp_path):
    endless = (X[0] for _ in iter(int, 1))
    assert samples.spool(endless, tmp_path / "spool", most=7) == 7
    assert len(list(samples.spooled(tmp_path / "spool"))) == 7


# ---- calls, and what comes of them


@pytest.mark.parametrize(
    ("signature", "shape", "batch_size", "calls"),
    [
        (IMAGE, (7, 4, 4, 1), 3, [(3, 4, 4, 1), (3, 4, 4, 1), (3, 4, 4, 1)]),
        (IMAGE, (2, 4, 4, 1), 50, [(2, 4, 4, 1)]),
        (FOUR, (7, 4, 4, 1), 50, [(4, 4, 4, 1)] * 2),
        (FOUR, (1, 4, 4, 1), 1, [(4, 4, 4, 1)]),
        (NO_BATCH, (3, 40), 50, [(40,)] * 3),
        (SCALAR, (3,), 50, [()] * 3),
        (OTHER_ROWS, (3, 2, 4, 8), 50, [(1, 2, 4, 8)] * 3),
        (LINE, (7,), 4, [(4,), (4,)]),
    ],
)
def test_a_call_has_the_shape_that_the_model_takes(signature, shape, batch_size, calls):
    (name,) = signature.inputs
    x = np.random.default_rng(0).random(shape, np.float32)
    found = [part[name] for part in samples.calls({name: x}, signature, batch_size)]
    assert [part.shape for part in found] == calls
    assert all(isinstance(part, np.ndarray) for part in found)
    size = 1 if not signature.in_batches else calls[0][0]
    flat = np.concatenate([part.reshape(size, *shape[1:]) for part in found])
    assert np.array_equal(flat[: shape[0]], x)
    assert (flat[shape[0] :] == x[-1]).all()


@pytest.mark.parametrize(
    ("signature", "outputs", "shape"),
    [
        (IMAGE, [(3, 3), (3, 3), (3, 3)], (7, 3)),
        (FOUR, [(4, 3), (4, 3)], (7, 3)),
        (NO_BATCH, [(5, 40)] * 7, (7, 5, 40)),
        (SCALAR, [()] * 7, (7,)),
        (OTHER_ROWS, [(4, 2, 8)] * 7, (7, 4, 2, 8)),
        (ends((1, 6), x=((None, 4), FLOAT)), [(1, 6)] * 7, (7, 6)),
    ],
)
def test_outputs_are_joined_to_one_answer_for_each_sample(signature, outputs, shape):
    parts = [{"y0": np.full(size, n, np.float32)} for n, size in enumerate(outputs)]
    found = samples.joined(parts, signature, 7)["y0"]
    assert found.shape == shape
    assert found.ravel()[0] == 0
    assert found.ravel()[-1] == len(outputs) - 1


@pytest.mark.parametrize("size", [1, 2, 4, 10])
def test_regrouped_samples_are_the_same_in_order(size):
    parts = [{"image": X[:1]}, {"image": X[1:5]}, {"image": X[5:]}]
    found = [part["image"] for part in samples.regrouped(parts, size)]
    assert {len(part) for part in found} == {size}
    flat = np.concatenate(found)
    assert np.array_equal(flat[:6], X)
    assert (flat[6:] == X[5]).all()
    assert list(samples.regrouped([], size)) == []


def test_drawn_samples_fit_and_are_the_same_again():
    for signature in (IMAGE, TEXT, TWO, FOUR, NO_BATCH, SCALAR, OTHER_ROWS, LINE, ANY_SIZE):
        found, again = samples.drawn(signature, 5), samples.drawn(signature, 5)
        checked = samples.rows(found, signature)
        for name, array in checked.items():
            assert len(array) == 5
            assert np.array_equal(array, again[name])
            assert not array[0].any()
    assert (samples.drawn(TEXT, 50)["ids"] < 2).all()


def test_a_spool_without_room_is_an_error_of_ours():
    with pytest.raises(StorageError, match="no room for temporary files"):
        samples.spool([X] * 3, "/dev/full")


def test_what_cannot_be_spooled_is_named(tmp_path):
    with pytest.raises(InputError, match="sample 1 is a function, no array"):
        samples.spool([X, lambda: X], tmp_path / "samples")


def test_the_size_of_an_item_is_that_of_its_arrays():
    assert samples.size({"a": X, "b": (X, [IDS])}) == 2 * X.nbytes + IDS.nbytes
    assert samples.size("text") == 0
