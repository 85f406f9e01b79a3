"""A model is met by its signature: the same names, shapes and dtypes before and after."""

import numpy as np
import pytest

import any_models
import tiny_models
from lessons_lib import by_litert, calibration, reader, signature, sources
from lessons_lib.errors import InputError
from lessons_lib.system.quiet import quiet, tensorflow
from reference import converted, digits

FLOAT, INT8 = np.dtype("float32"), np.dtype("int8")
EXPECTED = {
    "two_ends": (
        {"b.x": ((None, 4), FLOAT), "my-input": ((None, 6), FLOAT)},
        {"kind": ((None, 3), FLOAT), "price": ((None, 1), FLOAT)},
    ),
    "tokens": ({"ids": ((None, 12), np.dtype("int32"))}, {"output_0": ((None, 3), FLOAT)}),
    "bytes_in": ({"image": ((None, 8, 8, 3), np.dtype("uint8"))}, {"output_0": ((None, 5), FLOAT)}),
    "any_size": ({"image": ((None, None, None, 3), FLOAT)}, {"output_0": ((None, 3), FLOAT)}),
    "four_at_once": ({"image": ((4, 8, 8, 3), FLOAT)}, {"output_0": ((4, 3), FLOAT)}),
    "rank_1": ({"x": ((None,), FLOAT)}, {"y": ((None,), FLOAT)}),
    "scalar": ({"x": ((), FLOAT)}, {"y": ((), FLOAT)}),
    "no_batch": ({"wave": ((40,), FLOAT)}, {"bands": ((5, 40), FLOAT)}),
    "other_rows": ({"x": ((1, 2, 4, 8), FLOAT)}, {"y": ((4, 2, 8), FLOAT)}),
}
BATCHES = {"four_at_once": 4, "scalar": 1, "no_batch": 1, "other_rows": 1}  # else open


def ends(found):
    """Names, shapes and dtypes, in order."""
    return tuple(
        {name: (spec.shape, spec.dtype) for name, spec in side.items()}
        for side in (found.inputs, found.outputs)
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Each model as a SavedModel, made when it is asked for."""
    folder, made = tmp_path_factory.mktemp("models"), {}

    def save(name):
        if name not in made:
            made[name] = any_models.save(getattr(any_models, name)(), folder / name)
        return made[name]

    return save


@pytest.mark.parametrize("name", EXPECTED)
def test_a_saved_model_and_its_file_say_the_same(name, saved):
    before = sources.signature(saved(name))
    after = signature.of_file(any_models.converted(name))
    assert ends(before) == ends(after) == EXPECTED[name]
    assert list(before.inputs) == list(after.inputs) == sorted(after.inputs)
    assert list(before.outputs) == list(after.outputs)
    for found in (before, after):
        assert (found.key, found.batch) == ("serving_default", BATCHES.get(name))
        assert found.open_batch == (name not in BATCHES)
        assert all(spec.scale is None for spec in found.inputs.values())


@pytest.mark.parametrize("name", ["two_ends", "tokens", "four_at_once", "rank_1", "scalar"])
def test_a_quantized_file_has_the_same_ends_and_their_scales(name):
    found = signature.of_file(any_models.converted(name, "int8"))
    for spec, (shape, dtype) in zip(
        [*found.inputs.values(), *found.outputs.values()],
        [*EXPECTED[name][0].values(), *EXPECTED[name][1].values()],
        strict=True,
    ):
        assert spec.shape == shape
        assert spec.dtype == (INT8 if dtype == FLOAT else dtype)
        assert (spec.scale is None) == (dtype != FLOAT)
    assert ends(signature.real(found)) == EXPECTED[name]


def test_scale_and_zero_point_are_those_of_the_tensor():
    found = signature.of_file(converted()["int8"])
    (image,), (probabilities,) = found.inputs.values(), found.outputs.values()
    assert (image.scale, image.zero_point) == (pytest.approx(1 / 255), -128)
    assert (probabilities.scale, probabilities.zero_point) == (1 / 256, -128)
    tensors = reader.read(converted()["int8"]).subgraphs[0]
    assert (image.index, probabilities.index) == (tensors.inputs[0], tensors.outputs[0])


@pytest.mark.parametrize("path", ["float32", "int8", "uint8", "int16x8"])
def test_a_quantizer_that_writes_no_openness_is_understood(path):
    """LiteRT's quantizer says of the output of an open model only that it has 1 row."""
    samples = calibration.representative_dataset(digits().calibration, 10)
    content = by_litert.quantize(converted()["float32"], path, samples)
    found = signature.of_file(content)
    assert (found.only_input.shape, found.only_output.shape) == ((None, 28, 28, 1), (None, 10))


def test_the_sizes_that_are_open_are_told_apart_from_the_batch():
    (image,) = signature.of_file(any_models.converted("any_size")).inputs.values()
    assert image.open_sizes == (1, 2)
    assert signature.of_file(converted()["float32"]).only_input.open_sizes == ()
    assert str(image) == "image: float32 (?, ?, ?, 3)"


@pytest.mark.parametrize(
    ("name", "side", "shape"),
    [
        ("two_ends", "my-input", (6,)),
        ("four_at_once", "image", (8, 8, 3)),
        ("any_size", "image", (None, None, 3)),
        ("rank_1", "x", ()),
        ("scalar", "x", ()),
        ("no_batch", "wave", (40,)),
        ("other_rows", "x", (2, 4, 8)),
    ],
)
def test_the_shape_of_one_sample(name, side, shape):
    assert signature.of_file(any_models.converted(name)).sample_shape(side) == shape


def test_a_state_is_named():
    assert len(signature.of_file(any_models.converted("state")).state) == 1
    assert signature.of_file(converted()["float32"]).state == ()
    assert signature.of_file(any_models.converted("lstm")).state == ()


# ---- several signatures, and none


def _both(name, saved):
    """A SavedModel's signatures, and those of a file with all of them."""
    with quiet():
        lite = tensorflow().lite.TFLiteConverter.from_saved_model(str(saved(name)))
        content = lite.convert()
    return sources.signatures(saved(name)), signature.all_of_file(content)


@pytest.mark.parametrize("name", ["two_signatures", "no_default"])
def test_every_signature_is_found(name, saved):
    before, after = _both(name, saved)
    other = "serving_default" if name == "two_signatures" else "predict"
    assert set(before) == set(after) == {"embed", other}
    for key in before:
        assert ends(before[key]) == ends(after[key])
        assert before[key].key == after[key].key == key
    assert list(before["embed"].outputs) == ["vector"]
    assert {found.subgraph for found in after.values()} == {0, 1}


def test_the_default_is_chosen_whatever_the_alphabet_says(saved):
    for found in _both("two_signatures", saved):
        assert signature.choose(found).key == "serving_default"
        assert signature.choose(found, "embed").key == "embed"
        with pytest.raises(InputError, match=r"no signature 'train'; choose one .*embed: x: "):
            signature.choose(found, "train")


def test_without_a_default_the_reader_is_asked(saved):
    for found in _both("no_default", saved):
        with pytest.raises(InputError, match=r"2 signatures, none the default; .*predict: x"):
            signature.choose(found)
        assert signature.choose(found, "predict").key == "predict"


def test_a_file_with_one_signature_of_another_name_has_that():
    model = reader.read(converted()["float32"])
    model.signatureDefs[0].signatureKey = b"other"
    assert signature.of_file(tiny_models.pack(model)).key == "other"


def test_a_file_without_signatures_is_met_by_the_names_of_its_tensors():
    model = reader.read(converted()["int8"])
    model.signatureDefs = []
    found = signature.of_file(tiny_models.pack(model))
    assert (list(found.inputs), found.key) == (["image"], "serving_default")
    assert found.only_input.scale == pytest.approx(1 / 255)
    assert found.only_output.shape == (None, 10)


@pytest.mark.parametrize("name", [b"", None, b"t"])
def test_names_that_say_nothing_are_made_up(name):
    model = reader.read(any_models.converted("two_ends"))
    model.signatureDefs = None
    for tensor in model.subgraphs[0].tensors:
        tensor.name = name
    found = signature.of_file(tiny_models.pack(model))
    expected = ["t", "t_1"] if name == b"t" else ["input_0", "input_1"]
    assert list(found.inputs) == expected
    assert len(found.outputs) == 2


def test_the_only_input_is_asked_for_by_name_where_there_are_two():
    found = signature.of_file(any_models.converted("two_ends"))
    with pytest.raises(InputError, match=r"2 inputs, b\.x, my-input: name the one you mean"):
        _ = found.only_input
    with pytest.raises(InputError, match=r"signature\.outputs\['kind'\]"):
        _ = found.only_output


def test_a_signature_reads_as_one_line():
    text = str(signature.of_file(any_models.converted("two_ends")))
    assert text.startswith("b.x: float32 (?, 4), my-input: float32 (?, 6) -> kind: ")
