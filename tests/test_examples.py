"""The models that are not the digits: the committed files, their cards, and the samples."""

import json
import re

import numpy as np
import pytest

from lessons_lib import data, examples, files, sandbox
from lessons_lib.errors import InputError
from lessons_lib.system.quiet import tensorflow

INPUTS = {
    "photos": {"image": (None, 32, 32, 3)},
    "textures": {"image": (None, 32, 32, 3)},
    "pump": {"readings": (None, 6)},
    "fruit": {"picture": (None, 24, 24, 3), "sensors": (None, 2)},
}


def measured():
    """In a child: of each Keras file its inputs, its parameters, and how good it is."""
    keras = tensorflow().keras
    load = keras.models.load_model
    return {name: look(name, load(examples.model(name))) for name in examples.NAMES}


def look(name, model):
    found = {"inputs": {one.name: one.shape for one in model.inputs}}
    found["parameters"] = model.count_params()
    found["layers"] = [type(layer).__name__ for layer in model.layers]
    if name != "photos":
        samples = getattr(examples, name)(2000)
        answers = model.predict({one: samples[one] for one in found["inputs"]}, verbose=0)
        answers = answers if isinstance(answers, dict) else {"y": answers}
        for output, answer in answers.items():
            target = samples[output]
            wrong = answer.argmax(1) != target if target.ndim == 1 else np.abs(answer - target)
            found[output] = float(wrong.mean())
    return found


@pytest.fixture(scope="module")
def found():
    return sandbox.call("test_examples:measured", imported="tensorflow")


@pytest.mark.parametrize("name", examples.NAMES)
def test_a_model_is_what_its_card_says(name, found):
    card, file = examples.card(name), examples.model(name)
    content = file.read_bytes()
    assert (len(content), files.sha256(content)) == (card["bytes"], card["sha256"])
    assert len(content) < 400_000
    assert card["parameters"] == found[name]["parameters"]
    assert found[name]["inputs"] == INPUTS[name]
    if name != "photos":
        error = found[name]["kind" if name == "fruit" else "y"]
        assert 1 - error == pytest.approx(card["measured"]["accuracy"], abs=0.003)


def test_what_the_lessons_say_of_the_models(found):
    assert "Normalization" in found["pump"]["layers"]
    for name in ("photos", "textures"):
        assert "BatchNormalization" in found[name]["layers"]
    card = examples.card("fruit")["measured"]
    assert found["fruit"]["diameter"] == pytest.approx(card["mean_absolute_error_mm"], rel=0.01)


def test_the_card_of_the_photographs_says_on_which_pixels_it_was_trained():
    said = examples.card("photos")["trained_on"]
    assert "lossy JPEG" in said
    assert "not comparable with published accuracies" in said


def test_cards_are_of_these_models_and_show_no_path_of_a_machine():
    text = (examples.FOLDER / "cards.json").read_text("utf-8")
    assert {*json.loads(text)} == {*examples.NAMES}
    assert not re.search(r"/(home|root|work|tmp)/", text)
    assert {path.stem for path in examples.FOLDER.glob("*.keras")} == {*examples.NAMES}


@pytest.mark.parametrize("name", ["textures", "pump", "fruit"])
def test_samples_are_drawn_from_the_seed_alone(name):
    draw = getattr(examples, name)
    first, again, other = draw(40), draw(40), draw(40, seed=3)
    for key, values in first.items():
        assert np.array_equal(values, again[key])
        assert not np.array_equal(values, other[key])
        assert len(values) == 40
    for key, (_, *shape) in INPUTS[name].items():
        assert (first[key].dtype, first[key].shape) == (np.float32, (40, *shape))
        assert np.isfinite(first[key]).all()


def test_pictures_lie_between_0_and_1_and_every_class_is_drawn():
    for values, names in (
        (examples.textures(300), examples.TEXTURES),
        (examples.fruit(300), examples.KINDS),
    ):
        image, *_, y = (values[key] for key in values if key not in ("sensors", "diameter"))
        assert 0 <= image.min() < image.max() <= 1
        assert {*y} == {*range(len(names))}
    assert {*examples.pump(300)["y"]} == {*range(len(examples.CONDITIONS))}


def test_a_picture_alone_does_not_tell_the_size():
    """The same fruit farther away is drawn smaller: that is why the model has a second input."""
    values = examples.fruit(3000)
    (distance, light), diameter = values["sensors"].T, values["diameter"][:, 0]
    ground = 0.35 * light[:, None, None, None] / 900
    filled = (np.abs(values["picture"] - ground).max(axis=3) > 0.25).mean(axis=(1, 2))
    alike = (values["kind"] == 0) & (np.abs(diameter - 75) < 5) & (light > 600)
    assert filled[alike & (distance < 320)].mean() > 1.5 * filled[alike & (distance > 420)].mean()


def test_photographs_are_cifar10s_test_images(monkeypatch):
    pixels = np.arange(5 * 3072, dtype=np.int64).reshape(5, 32, 32, 3).astype(np.uint8)
    split = data.Split("test", pixels, np.arange(5), np.arange(5))
    whole = data.Dataset("cifar10", split, split, split, ())
    monkeypatch.setattr(data, "load", {"cifar10": whole}.__getitem__)
    found = examples.photos(3)
    assert np.array_equal(found["image"], split.images[:3])
    assert found["y"].tolist() == [0, 1, 2]


def test_an_unknown_example_is_refused():
    for ask in (examples.model, examples.card):
        with pytest.raises(InputError, match="no example 'cats'; the course has photos, textures"):
            ask("cats")
