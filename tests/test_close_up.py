"""close_up: what a report keeps of one file is what the tools find in it."""

import base64
import functools
import io

import numpy as np
import pytest
from PIL import Image

import any_models
from lessons_lib import (
    close_up,
    layer_errors,
    measures,
    runtime,
    samples,
    sandbox,
    tables,
    tasks,
    verdict,
)
from reference import converted, digits

IMAGES = {"image": digits().hard.images[:20]}


@functools.cache
def answers(path):
    return {"output_0": runtime.Model(converted("ds_cnn")[path]).predict(digits().hard.images)}


@functools.cache
def looked_into(path):
    return close_up.layers(path, converted("ds_cnn")["float32"], converted("ds_cnn")[path], IMAGES)


# ---- layers and the worst tensor


def test_in_the_child_that_looks_no_further_child_tries_the_files(monkeypatch):
    monkeypatch.setattr(sandbox, "_trusted", set())
    monkeypatch.setattr(sandbox, "call", None)
    layers, _ = close_up.layers("int8", *(converted()[p] for p in ("float32", "int8")), IMAGES)
    assert len(layers.errors) > 3


@pytest.mark.parametrize("path", ["int8", "int16x8", "float16"])
def test_the_layers_are_those_of_the_comparison(path):
    files = [converted("ds_cnn")[name] for name in ("float32", path)]
    values = [
        runtime.tensor_values(file, runtime.Model(file).quantize_input(IMAGES)) for file in files
    ]
    table = layer_errors.compare(*files, *values)
    layers, tensor = looked_into(path)
    assert layers.row == tensor.row == path
    assert [error.layer for error in layers.errors] == list(table["layer"])
    assert [error.sqnr_db for error in layers.errors] == pytest.approx(list(table["snr_db"]))
    assert tensor.layer == table.loc[table["snr_db"].idxmin(), "layer"]


def test_the_histogram_is_of_float32s_numbers():
    _, tensor = looked_into("int8")
    files = converted("ds_cnn")
    table = tables.tensors(files["int8"]).set_index("name")
    shape = table.loc[tensor.name, "shape"]
    assert sum(tensor.counts) == 20 * np.prod(shape[1:])
    assert len(tensor.edges) == len(tensor.counts) + 1 == close_up.BINS + 1
    scale, zero_point = table.loc[tensor.name, ["scale", "zero_point"]]
    assert (tensor.dtype, tensor.scale) == ("int8", scale)
    assert tensor.low == pytest.approx(scale * (-128 - zero_point))
    assert tensor.high == pytest.approx(scale * (127 - zero_point))


def test_what_the_integers_cannot_hold_is_counted():
    """Calibrated with dim images, the bright ones are clipped."""
    _, tensor = looked_into("int8")
    inside = tensor.edges[0] >= tensor.low and tensor.edges[-1] <= tensor.high
    assert inside == (tensor.clipped == 0)
    float_file, file = (any_models.converted("regression", path) for path in ("float32", "int8"))
    far = {"x": 20 * samples.drawn(runtime.Model(file).signature, 50)["x"].astype(np.float32)}
    _, tensor = close_up.layers("int8", float_file, file, far)
    assert tensor.edges[-1] > tensor.high or tensor.edges[0] < tensor.low
    assert 0.1 < tensor.clipped <= 1


def test_a_float_tensor_has_no_range():
    _, tensor = looked_into("float16")
    assert (tensor.dtype, tensor.scale, tensor.low, tensor.clipped) == ("float32", *[None] * 3)


def test_the_bytes_add_up():
    for path in ("float32", "int8"):
        content = converted("ds_cnn")[path]
        budget = close_up.budget(path, content)
        assert sum(budget.parts.values()) == len(content)
        assert all(type(count) is int for count in budget.parts.values())


@pytest.mark.parametrize(
    ("decibels", "expected"),
    [
        (20.0, (20.0, "")),
        (np.inf, (None, "exact")),
        (-np.inf, (None, "broken")),
        (np.nan, (None, "not compared")),
    ],
)
def test_what_is_no_number_is_a_word(decibels, expected):
    error = close_up._error("layer", "ADD", decibels, -np.inf)
    assert (error.sqnr_db, error.remark, error.worst_channel_db) == (*expected, None)


# ---- samples that flipped


def flipped(path, targets, **options):
    (task,) = tasks.recognise(answers("float32"), targets)
    arguments = answers("float32"), answers(path), {"image": digits().hard.images}
    return close_up.flipped(path, task, *arguments, **options), task


def test_what_flipped_is_what_the_verdict_counts():
    labels = digits().hard.labels
    found, task = flipped("int8", labels)
    judged = verdict.judge([task], answers("float32"), {"int8": answers("int8")})["int8"]
    before, after = (answers(path)["output_0"].argmax(1) for path in ("float32", "int8"))
    assert found.total == (before != after).sum()
    assert found.total >= judged.findings[0].flips.lost + judged.findings[0].flips.gained
    right = [before[one.sample] == labels[one.sample] for one in found.samples]
    assert right == sorted(right, reverse=True) and True in right
    for one in found.samples:
        sure = answers("float32")["output_0"][one.sample].max()
        assert one.float32 == f"{before[one.sample]} ({sure:.2f})"
        assert one.path.startswith(f"{after[one.sample]} (")
        assert (one.target, one.input) == (str(labels[one.sample]), "image")
        assert pixels(one.image).shape == (28, 28)


def test_classes_have_their_names():
    names = [f"digit {number}" for number in range(10)]
    found, _ = flipped("int8", digits().hard.labels, classes=names)
    first = found.samples[0]
    assert first.float32.startswith("digit ") and first.target.startswith("digit ")


def test_without_targets_probabilities_flip_all_the_same():
    found, task = flipped("int8", None)
    assert isinstance(task, measures.Likeness)
    assert found.total > 0 and {one.target for one in found.samples} == {""}


def test_where_nothing_flips_there_is_nothing():
    assert flipped("float32", digits().hard.labels)[0] is None


def test_of_yes_and_no():
    random = np.random.default_rng(0)
    targets = random.integers(0, 2, 200)
    output = (0.25 + 0.5 * targets + random.normal(0, 0.04, 200))[:, None].astype(np.float32)
    other = output.copy()
    other[[3, 7], 0] = 1 - other[[3, 7], 0]
    (task,) = tasks.recognise(output, targets)
    inputs = {"x": np.zeros((200, 4))}
    found = close_up.flipped("int8", task, {"output": output}, {"output": other}, inputs)
    assert (found.total, [one.sample for one in found.samples]) == (2, [3, 7])
    first = found.samples[0]
    words = {0: "no", 1: "yes"}
    assert (first.target, first.image, first.input) == (words[targets[3]], None, "x")
    assert first.float32 == f"{words[targets[3]]} ({output[3, 0]:.2f})"
    assert first.path == f"{words[1 - targets[3]]} ({other[3, 0]:.2f})"
    found = close_up.flipped(
        "int8", task, {"output": output}, {"output": other}, inputs, ("cat", "dog")
    )
    assert found.samples[0].target == ("cat", "dog")[targets[3]]


def test_a_quantity_does_not_flip_but_move():
    output = np.linspace(0, 100, 50, dtype=np.float32)[:, None]
    other = output.copy()
    other[[4, 9]] += np.float32([[1], [-5]])
    (task,) = tasks.recognise(output, output[:, 0] + 0.5)
    found = close_up.flipped("int8", task, {"output": output}, {"output": other}, {})
    assert (found.total, [one.sample for one in found.samples]) == (None, [9, 4])
    assert (found.samples[0].float32, found.samples[0].path) == ("18.37", "13.37")


def test_masks_and_vectors_are_not_shown():
    masks = np.random.default_rng(0).random((20, 8, 8, 3), np.float32)
    (task,) = tasks.recognise(masks, masks.argmax(-1))
    assert close_up.flipped("int8", task, {"output": masks}, {"output": 1 - masks}, {}) is None


# ---- pictures


def pixels(address):
    """A picture as another program reads it."""
    assert address.startswith("data:image/png;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))


@pytest.mark.parametrize("shape", [(28, 28), (28, 20, 1), (9, 33, 3), (64, 64, 3)])
def test_a_picture_is_the_sample(shape):
    sample = np.random.default_rng(0).normal(size=shape)
    expected = 255 * (sample - sample.min()) / np.ptp(sample)
    found = pixels(close_up.picture(sample))
    assert found.dtype == np.uint8
    assert np.abs(found - expected.reshape(found.shape)).max() <= 0.5 + 1e-6
    assert found.shape == (shape if shape[-1] == 3 else shape[:2])


def test_bytes_and_a_blank_are_pictures():
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert (pixels(close_up.picture(ramp)) == ramp).all()
    assert not pixels(close_up.picture(np.full((8, 8), 3.0))).any()


def test_a_large_picture_is_made_small():
    found = pixels(close_up.picture(np.random.default_rng(0).random((640, 480, 3))))
    assert found.shape == (64, 48, 3)


@pytest.mark.parametrize(
    ("shape", "shown"),
    [
        ((5, 28, 28), True),
        ((5, 32, 32, 3), True),
        ((5, 32, 32, 4), False),
        ((5, 40), False),
        ((5, 100, 8), False),
        ((5, 4, 4, 1), False),
    ],
)
def test_what_looks_like_a_picture_is_one(shape, shown):
    name, found = close_up._pictured({"vector": np.zeros((5, 3)), "other": np.zeros(shape)})
    assert (name, found is not None) == (("other", True) if shown else ("vector", False))
