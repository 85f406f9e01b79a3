"""A Keras model built otherwise answers the same: unrolled, or without its normalization."""

import numpy as np
import pytest

import any_models
from lessons_lib import variants
from lessons_lib.errors import ConversionError


def test_an_lstm_unrolled_answers_the_same():
    model = any_models.lstm()
    assert variants.has_loops(model)
    other = variants.unrolled(model)
    assert not variants.has_loops(other)
    x = np.random.default_rng(0).normal(size=(1, 8, 3)).astype(np.float32)
    np.testing.assert_allclose(other(x), model(x), atol=1e-6)


def test_both_directions_are_unrolled():
    keras = any_models.fresh_keras()
    layers = [keras.Input((6, 2)), keras.layers.Bidirectional(keras.layers.GRU(4))]
    other = variants.unrolled(keras.Sequential([*layers, keras.layers.Dense(2)]))
    assert not variants.has_loops(other)


def test_inputs_may_be_a_dictionary():
    keras = any_models.fresh_keras()
    words, item = keras.Input((6, 2), name="words"), keras.Input((3,), name="item")
    both = keras.layers.Concatenate()([keras.layers.GRU(4)(words), item])
    model = keras.Model({"words": words, "item": item}, {"match": keras.layers.Dense(1)(both)})
    assert not variants.has_loops(variants.unrolled(model))


@pytest.mark.parametrize("steps", [None, 500])
def test_many_or_any_number_of_steps_are_refused(steps):
    keras = any_models.fresh_keras()
    model = keras.Sequential([keras.Input((steps, 2)), keras.layers.LSTM(4, name="memory")])
    with pytest.raises(ConversionError, match="memory cannot be unrolled"):
        variants.unrolled(model)


def test_the_normalization_is_taken_out_and_said():
    model = any_models.uneven()
    other, outside = variants.without_normalization(model)
    ((name, (mean, deviation)),) = outside.items()
    assert name == "features" and mean[-1] == 10_000 and deviation[-1] == 2_500
    x = np.random.default_rng(0).normal(mean, deviation, size=(20, 8)).astype(np.float32)
    normalized = ((x - mean) / deviation).astype(np.float32)
    np.testing.assert_allclose(other(normalized), model(x), atol=1e-4)


def test_a_model_without_a_normalization_has_none_to_take_out():
    with pytest.raises(ConversionError, match="no input goes into a Normalization"):
        variants.without_normalization(any_models.binary())
