import json
import shutil

import numpy as np
import pytest

from lessons_lib import (
    architectures,
    by_tensorflow,
    evaluate,
    files,
    runtime,
    sandbox,
    sources,
    tables,
    training,
)
from lessons_lib.errors import InputError, ModelFileError, StorageError
from lessons_lib.system.quiet import tensorflow
from reference import converted, digits


@pytest.mark.parametrize("name", training.REFERENCES)
def test_a_reference_is_what_its_card_says(name):
    card, content = training.card(name), converted(name)["float32"]
    predicted = runtime.Model(content).classes(digits().test.images)
    found = evaluate.accuracy(predicted, digits().test.labels)
    assert (len(content), files.sha256(content)) == (
        card["float32_tflite_bytes"],
        card["float32_tflite_sha256"],
    )
    # Float sums depend on the processor: a digit on the edge may fall to either side.
    assert found.value == pytest.approx(card["accuracy"], abs=0.002)
    said = evaluate.Proportion(round(1000 * card["accuracy"]), 1000)
    assert card["accuracy_low"] == pytest.approx(said.low)
    assert card["accuracy_high"] == pytest.approx(said.high)
    assert (card["name"], card["recipe"]) == (name, training.RECIPE)


@pytest.mark.parametrize("name", training.REFERENCES)
@pytest.mark.parametrize("seed", training.SEEDS[1:])
def test_another_training_is_what_the_card_says(name, seed):
    line = training.card(name)["trainings"][seed]
    assert (line["seed"], line["sha256"]) == (seed, files.sha256(training.seed_weights(name, seed)))
    folder = training.reference(name, seed)
    assert folder == training.reference(name, seed)
    model = runtime.Model(by_tensorflow.convert(folder, "float32"))
    found = evaluate.accuracy(model.classes(digits().test.images), digits().test.labels)
    assert found.value == pytest.approx(line["accuracy"], abs=0.002)
    hard = evaluate.accuracy(model.classes(digits().hard.images), digits().hard.labels)
    assert 0.84 < hard.value < 0.93


def test_every_path_of_ds_cnn_keeps_its_answers():
    classes = {
        path: runtime.Model(content).classes(digits().test.images)
        for path, content in converted("ds_cnn").items()
    }
    for path, found in classes.items():
        assert evaluate.agreement(found, classes["float32"]).value >= 0.99, path
    assert evaluate.accuracy(classes["float32"], digits().test.labels).value >= 0.96


def test_ds_cnn_brings_the_operators_that_mnist_cnn_lacks():
    found = tables.operators(converted("ds_cnn")["int8"])
    assert found["operator"].tolist() == [
        "CONV_2D",
        *["DEPTHWISE_CONV_2D", "CONV_2D"] * 2,
        "ADD",
        *["DEPTHWISE_CONV_2D", "CONV_2D"],
        *["MEAN", "FULLY_CONNECTED", "SOFTMAX"],
    ]


def test_the_reference_was_not_trained_on_calibration_or_test_images():
    parts = [digits().train, digits().calibration, digits().test]
    ids = [set(part.ids.tolist()) for part in parts]
    assert sum(map(len, ids)) == len(set.union(*ids)) == 5000


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    def weights(seed):
        model = architectures.build("mnist_cnn", seed)
        history = training.fit(model, digits(), epochs=1, seed=seed)
        assert len(history["loss"]) == len(history["accuracy"]) == 1
        return np.concatenate([w.ravel() for w in model.get_weights()])

    first, again, other = weights(3), weights(3), weights(4)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def small(layer):
    keras = tensorflow().keras
    keras.utils.clear_session()  # a layer's name has a number
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [keras.Input((28, 28, 1)), keras.layers.Flatten(), layer, keras.layers.Dense(10)]
    )


def test_a_training_that_is_kept_is_the_same_and_is_not_run_again(tmp_path, monkeypatch):
    relu = tensorflow().keras.layers.ReLU

    def trained(**changed):
        model = small(relu(**changed))
        return training.fit(model, digits(), epochs=1), model.get_weights()

    without, weights = trained()
    monkeypatch.setenv("LESSONS_TRAINED", str(tmp_path))
    kept, _ = trained()
    (file,) = tmp_path.glob("*.json")
    file.write_text(json.dumps({"loss": ["kept"]}))
    again, same = trained()
    assert (without, again) == (kept, {"loss": ["kept"]})
    assert all(np.array_equal(one, other) for one, other in zip(weights, same, strict=True))
    assert trained(max_value=2.0)[0] != again
    assert len(list(tmp_path.glob("*.json"))) == 2


def test_a_training_of_layers_of_ones_own_is_not_kept(tmp_path, monkeypatch):
    class Own(tensorflow().keras.layers.Layer):
        def call(self, x):
            return 2 * x

    monkeypatch.setenv("LESSONS_TRAINED", str(tmp_path))
    training.fit(small(Own()), digits(), epochs=1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", training.REFERENCES)
def test_a_model_saved_and_loaded_has_the_same_weights(name, tmp_path):
    model = architectures.build(name, 5)
    folder = sources.save(model, tmp_path / "saved")
    for saved, loaded in zip(
        model.get_weights(), training.load_keras(name, folder).get_weights(), strict=True
    ):
        assert np.array_equal(saved, loaded)


def test_an_untrained_model_is_saved_in_a_child(tmp_path):
    function = "lessons_lib.models.training:save_untrained"
    folder = sandbox.call(function, "mnist_cnn", tmp_path / "untrained", 5, imported="tensorflow")
    loaded = training.load_keras("mnist_cnn", folder).get_weights()
    for built, saved in zip(architectures.build("mnist_cnn", 5).get_weights(), loaded, strict=True):
        assert np.array_equal(built, saved)
    with pytest.raises(InputError, match="no model 'resnet'"):
        sandbox.call(function, "resnet", tmp_path / "other", imported="tensorflow")
    assert [path.name for path in tmp_path.iterdir()] == ["untrained"]


def shape_of_input(saved_model):
    """The input's shape as a converter finds it, None where it is open."""
    signature = tensorflow().saved_model.load(str(saved_model)).signatures["serving_default"]
    (specification,) = signature.structured_input_signature[1].values()
    return specification.name, tuple(specification.shape)


@pytest.mark.parametrize("batch_size", [None, 1, 8])
def test_a_batch_size_is_fixed_and_the_weights_stay(batch_size, tmp_path):
    model = architectures.build("mnist_cnn", 5)
    folder = sources.save(model, tmp_path / "saved", batch_size=batch_size)
    assert shape_of_input(folder) == ("image", (batch_size, 28, 28, 1))
    loaded = training.load_keras("mnist_cnn", folder)
    for saved, found in zip(model.get_weights(), loaded.get_weights(), strict=True):
        assert np.array_equal(saved, found)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_holds_at_least_one(batch_size, tmp_path):
    with pytest.raises(InputError, match=f"batch_size={batch_size}; expected at least 1"):
        sources.save(architectures.build("mnist_cnn"), tmp_path / "saved", batch_size=batch_size)
    assert list(tmp_path.iterdir()) == []


def test_an_untrained_model_may_have_a_fixed_batch(tmp_path):
    folder = training.save_untrained("one_layer", tmp_path / "saved", 0, 1)
    assert shape_of_input(folder) == ("image", (1, 28, 28, 1))


@pytest.mark.parametrize("name", training.REFERENCES)
def test_a_reference_is_saved_anew_with_a_fixed_batch_in_a_child(name, tmp_path):
    function = "lessons_lib.models.training:save_reference"
    folder = sandbox.call(function, name, tmp_path / "saved", 1, imported="tensorflow")
    assert shape_of_input(folder) == ("image", (1, 28, 28, 1))
    again = training.load_keras(name, folder).get_weights()
    for expected, found in zip(training.load_keras(name).get_weights(), again, strict=True):
        assert np.array_equal(expected, found)


def test_only_a_reference_is_saved_anew(tmp_path):
    with pytest.raises(InputError, match="no reference model 'wide_mlp'"):
        training.save_reference("wide_mlp", tmp_path / "saved")
    assert list(tmp_path.iterdir()) == []


def test_another_architecture_is_refused():
    with pytest.raises(ModelFileError, match="does not fit wide_mlp"):
        training.load_keras("wide_mlp", training.reference())


def test_saving_where_one_cannot_write_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        sources.save(architectures.build("mnist_cnn"), tmp_path / "file" / "model")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_save_that_fails_keeps_the_old_model(tmp_path, monkeypatch):
    folder = shutil.copytree(training.reference(), tmp_path / "model")
    before = files.sha256(folder / "saved_model.pb")
    model = architectures.build("mnist_cnn")

    def interrupted(self, folder, **options):
        (folder / "half").write_text("of a model")
        raise KeyboardInterrupt

    monkeypatch.setattr(type(model), "export", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sources.save(model, folder)
    assert files.sha256(folder / "saved_model.pb") == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_with_other_files_is_not_overwritten(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    for target in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(InputError, match="exists and is no SavedModel"):
            sources.save(architectures.build("mnist_cnn"), target)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


@pytest.mark.parametrize("part", ["saved_model.pb", "variables/variables.data-00000-of-00001"])
def test_damaged_weights_are_a_clear_error(part, tmp_path):
    folder = shutil.copytree(training.reference(), tmp_path / "damaged")
    (folder / part).write_bytes((folder / part).read_bytes()[:1000])
    with pytest.raises(ModelFileError, match="is damaged"):
        training.load_keras("mnist_cnn", folder)


def test_at_least_one_epoch():
    with pytest.raises(InputError, match="epochs=0"):
        training.fit(architectures.build("mnist_cnn"), digits(), epochs=0)


def test_unknown_names_are_refused():
    with pytest.raises(InputError, match="no model 'resnet'"):
        architectures.build("resnet")
    with pytest.raises(InputError, match="no reference model 'wide_mlp'"):
        training.reference("wide_mlp")
    with pytest.raises(InputError, match="no reference model 'resnet'"):
        training.card("resnet")
    for seed in (4, -1, 1.0, True, "1"):
        with pytest.raises(InputError, match=r"no training .* with seed .*\(0, 1, 2, 3\)"):
            training.reference("mnist_cnn", seed)


def test_a_training_is_restored_where_something_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("LESSONS_ARTIFACTS", str(tmp_path))
    folder = training.reference("ds_cnn", 1)
    (folder / "variables" / "variables.index").unlink()
    assert training.reference("ds_cnn", 1) == folder
    by_tensorflow.convert(folder, "float32")


def test_damaged_weights_of_a_training_are_a_clear_error(tmp_path, monkeypatch):
    monkeypatch.setenv("LESSONS_ARTIFACTS", str(tmp_path))
    damaged = files.write_atomic(
        tmp_path / "seed1.npz", training.seed_weights("ds_cnn", 1).read_bytes()[:20_000]
    )
    monkeypatch.setattr(training, "seed_weights", lambda name, seed: damaged)
    with pytest.raises(ModelFileError, match=r"seed1\.npz is damaged"):
        training.reference("ds_cnn", 1)
    damaged.unlink()
    with pytest.raises(ModelFileError, match="cannot read"):
        training.reference("ds_cnn", 1)


def test_the_models_have_the_parameters_that_the_course_says():
    assert architectures.build("mnist_cnn").count_params() == 56_714
    assert architectures.build("ds_cnn").count_params() == 11_674
    wide = architectures.build("wide_mlp")
    hidden = 784 * 2048 + 2048 + 3 * (2048 * 2048 + 2048)
    assert wide.count_params() == hidden + 2048 * 10 + 10
    assert architectures.build("one_layer").count_params() == 784 * 10 + 10


@pytest.mark.parametrize("name", training.REFERENCES)
def test_a_card_is_plain_json_without_a_machines_paths(name):
    text = (training.MODELS_FOLDER / name / "card.json").read_text()
    assert json.loads(text)["name"] == name
    assert "/" not in text.replace("CC BY-SA 3.0)", "")
