"""Is the data fit, is the model what it seems? Each question has something that fails it."""

import numpy as np
import pytest

import any_models
from lessons_lib import by_tensorflow, every_path, outcome
from lessons_lib.advise import brought, guards
from lessons_lib.advise.guards import NOTE, STOP, WARNING, Guard, Stopped
from lessons_lib.convert.outcome import Outcome
from lessons_lib.judge import tasks
from lessons_lib.system.quiet import tensorflow
from reference import converted


def of(model, folder, key=None):
    """What is said of a model as its owner brings it."""
    given = brought.bring(model, folder / "work", key=key)
    if given.is_tflite:
        content, noise = given.source.read_bytes(), {}
    else:  # in this process: a child would load TensorFlow anew
        content, noise = by_tensorflow.converted(given.source, "float32", None, None, None)
    remarks = outcome.remarks("float32", content, noise)
    return guards.of_model(given, Outcome("float32", given.source, snr_db=noise, remarks=remarks))


# ---- the samples


def told(found):
    return [guard.text for guard in found]


def test_samples_that_calibrate_and_test_are_counted():
    x = np.random.default_rng(0).random((60, 4), np.float32)
    (words,) = told(guards.of_samples({"x": x[:30]}, {"x": x[20:]}))
    assert words.startswith("10 of 40 test samples calibrate as well (test sample 0 is calibration")
    assert guards.of_samples({"x": x[:30]}, {"x": x[30:]}) == []


def test_what_lies_outside_the_calibrated_range_is_counted():
    x = np.random.default_rng(0).random((60, 4), np.float32)
    test = x[30:] * np.where(np.arange(30) < 6, 2, 1)[:, None].astype(np.float32)
    (words,) = told(guards.of_samples({"x": x[:30]}, {"x": test}))
    assert "of 30 test samples leave the calibrated range of x" in words


def test_an_input_that_never_changes_and_uneven_features_are_named():
    rng = np.random.default_rng(0)
    rows = {"a": np.ones((30, 3), np.float32), "b": rng.random((30, 4), np.float32)}
    rows["b"][:, 2] *= 1000
    found = told(guards.of_samples(rows, None))
    assert any("input a is the same in all 30" in words for words in found)
    assert any("feature 2 of b" in words for words in found)


def test_features_of_which_most_are_zero_are_not_uneven():
    counted = np.zeros((30, 9), np.float32)
    counted[:, 0] = np.arange(30)
    assert outcome.uneven({"words": counted}) == ""


# ---- the model


def test_a_signature_that_was_taken_among_several_is_named(tmp_path):
    (guard,) = of(any_models.several(), tmp_path)
    assert guard.level == NOTE and "--signature" in guard.text
    assert guard.text.startswith("the signature serving_default was taken, x: float32 (?, 4) -> ")
    assert "also has embed" in guard.text
    (guard,) = of(any_models.several(), tmp_path, key="embed")
    assert "embed was taken" in guard.text and "also has serving_default" in guard.text
    assert of(converted()["float32"], tmp_path) == []


def test_a_state_between_calls_is_named(tmp_path):
    (guard,) = of(any_models.converted("state"), tmp_path)
    assert guard.level == WARNING and "not measured" in guard.text
    assert guard.text.startswith("a state is kept from call to call")


def test_calls_of_several_samples_are_named(tmp_path):
    (guard,) = of(any_models.converted("four_at_once"), tmp_path)
    assert guard == Guard(NOTE, "the model takes 4 samples in every call: a time here is that of a "
                                "call")  # fmt: skip


def test_a_conversion_that_changes_the_answers_is_named_with_its_decibels(tmp_path):
    """The file of TensorFlow Lite begins its random numbers elsewhere than TensorFlow does."""
    tf = tensorflow()

    def noisy(x):  # the raw operator, without a seed: one that another test set would be kept
        noise = tf.raw_ops.RandomUniform(shape=tf.shape(x), dtype=tf.float32, seed=0, seed2=0)
        return {"y": x + 0.1 * noise}

    module = any_models._module(noisy, x=(None, 8))
    folder = any_models.save(module, tmp_path / "model")
    given = brought.bring(folder, tmp_path / "work")
    made = every_path.convert(given.source, None, tmp_path / "files", names=["float32"],
                              signature=given.signature.key)  # fmt: skip
    (guard,) = guards.of_model(given, made["float32"])
    assert guard.level == WARNING and "the conversion itself changed it" in guard.text
    assert guard.text.startswith("y of the float file is ") and " dB from the model" in guard.text


# ---- float32's answers


def test_a_float32_that_guesses_is_a_stop_and_the_warnings_are_said_with_it():
    rng = np.random.default_rng(0)
    outputs, targets = {"y": rng.random((200, 4), np.float32)}, rng.integers(0, 4, 200)
    found = guards.of_float(tasks.recognise(outputs, targets), outputs)
    assert [guard.level for guard in found] == [STOP]
    warning = Guard(WARNING, "y: the float model itself answers the same")
    with pytest.raises(Stopped, match=r"ignores the input .*answers the same"):
        guards.require([*found, warning, Guard(NOTE, "fine")])
    kept = [warning, Guard(NOTE, "fine")]
    assert guards.require(kept) == kept


@pytest.mark.parametrize(("right", "warned"), [(0.39, True), (0.60, True), (0.75, False)])
def test_a_float32_nearer_to_a_constant_than_to_all_right_is_asked_about(right, warned):
    """Fed with mA instead of A, a classifier of 92 % still beats the constant answer."""
    classes = np.arange(400) % 4
    shown = np.where(np.arange(400) < 400 * right, classes, (classes + 1) % 4)
    outputs = {"kind": np.eye(4, dtype=np.float32)[shown]}
    found = guards.of_float(tasks.recognise(outputs, classes), outputs)
    assert [guard.level for guard in found] == [WARNING] * warned
    said = f"float32 itself answers {right:.1%} of the samples right (always the same class: 25.0%)"
    assert all(guard.text.startswith(said) and "units" in guard.text for guard in found)


@pytest.mark.parametrize(("r_squared", "warned"), [(0.2, True), (0.8, False)])
def test_a_regression_that_explains_little_is_asked_about(r_squared, warned):
    targets = np.random.default_rng(0).normal(size=2000)
    error = np.random.default_rng(1).normal(0, (1 - r_squared) ** 0.5, 2000)
    outputs = {"cost": (targets + error).astype(np.float32)[:, None]}
    found = guards.of_float(tasks.recognise(outputs, targets), outputs)
    assert [guard.level for guard in found] == [WARNING] * warned
    assert all("has the MAE 0.7" in g.text and "same number: 0.8" in g.text for g in found)


def test_texts_as_targets_are_spoken_of_where_float32_is_poor():
    classes = np.arange(400) % 4
    outputs = {"kind": np.eye(4, dtype=np.float32)[(classes + 1) % 4]}
    found = tasks.recognise(outputs, classes)
    (guard,) = guards.of_float(found, outputs, ("fan", "kettle", "lamp", "oven"))
    assert guard.level == STOP
    assert "Your targets are texts, numbered in sorted order (0 = fan, 1 = kettle" in guard.text
    (guard,) = guards.of_float(found, outputs)
    assert "texts" not in guard.text
    right = {"kind": np.eye(4, dtype=np.float32)[classes]}
    assert guards.of_float(tasks.recognise(right, classes), right, ("fan", "kettle")) == []


def test_an_output_that_is_always_the_same_is_named(tmp_path):
    model = any_models.regression()
    model.layers[-1].kernel.assign(0 * model.layers[-1].kernel)
    (guard,) = of(any_models.save(model, tmp_path / "model"), tmp_path)
    assert guard.level == WARNING and "answers the same for every sample" in guard.text


def test_numbers_of_an_output_that_never_change_are_named():
    vectors = np.random.default_rng(0).random((30, 8), np.float32)
    vectors[:, [2, 5]] = 0, 3
    (guard,) = guards.of_float([], {"vector": vectors, "mask": np.zeros((30, 4, 4, 1))})
    assert guard.level == WARNING and "vector[2, 5] for all 30 test samples" in guard.text
    assert "2 of its 8 numbers are dead" in guard.text
