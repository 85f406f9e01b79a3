"""The checks of lesson 07 accept right answers, refuse wrong ones, and wait for the rest."""

import functools

import numpy as np
import pytest

import tiny_models
from lessons_lib import checks
from lessons_lib.quiet import tensorflow


@functools.cache
def two_dense_layers(activation, path="uint8"):
    """The bytes of a small network with ``activation`` in its hidden layer."""
    keras = tensorflow().keras
    keras.backend.clear_session()
    layers = [keras.layers.Dense(8, activation=activation), keras.layers.Dense(3)]
    return tiny_models.convert(keras.Sequential([keras.Input((4,), name="image"), *layers]), path)


def subtract_in_int16(pixels):
    return (pixels.astype(np.int16) - 128).astype(np.int8)


def flip_highest_bit(pixels):
    return (pixels ^ 0x80).view(np.int8)


def only_cast(pixels):
    return pixels.astype(np.int8)


def not_cast(pixels):
    return pixels.astype(np.int16) - 128


def flattened(pixels):
    return flip_highest_bit(pixels).ravel()


@pytest.mark.parametrize(
    ("check", "answer"),
    [
        (checks.check_requantize, (-5, 127)),
        (checks.check_requantize, np.array([-5, 127], np.int8)),
        (checks.check_camera_codes, subtract_in_int16),
        (checks.check_camera_codes, flip_highest_bit),
    ],
)
def test_right_answer(check, answer):
    verdict = check(answer)
    assert verdict
    assert verdict.message


@pytest.mark.parametrize(
    ("check", "answer"),
    [
        (checks.check_requantize, (25, 180)),  # no zero point
        (checks.check_requantize, (-5, 150)),  # not clipped
        (checks.check_requantize, (-6, 127)),  # rounded down
        (checks.check_requantize, -5),
        (checks.check_camera_codes, only_cast),
        (checks.check_camera_codes, not_cast),
        (checks.check_camera_codes, flattened),
        (checks.check_camera_codes, -128),
        (checks.check_integer_activation, b"TFL3"),
        (checks.check_integer_activation, "leaky_relu"),
    ],
)
def test_wrong_answer(check, answer):
    verdict = check(answer)
    assert not verdict
    assert verdict.state == "not yet"
    assert "Hint:" in verdict.message


@pytest.mark.parametrize("activation", ["relu6", "leaky_relu", "tanh"])
def test_7_3_accepts_an_activation_with_an_integer_version(activation):
    assert checks.check_integer_activation(two_dense_layers(activation))


@pytest.mark.parametrize(
    ("activation", "path", "named"),
    [
        ("relu", "uint8", "still has a ReLU"),
        ("linear", "uint8", "is linear"),
        ("elu", "uint8", "float operator is left"),
        ("leaky_relu", "int8", "ends are int8"),
        ("leaky_relu", "int8_float_fallback", "float operator is left"),
    ],
)
def test_7_3_refuses_the_rest_and_names_the_condition(activation, path, named):
    verdict = checks.check_integer_activation(two_dense_layers(activation, path))
    assert verdict.state == "not yet"
    assert named in verdict.message


def test_7_1_names_the_missing_clip():
    assert "Clip." in checks.check_requantize((-5, 150)).message
    assert "Clip." not in checks.check_requantize((25, 180)).message


@pytest.mark.parametrize(
    ("number", "check", "answer"),
    [
        ("7.1", checks.check_requantize, ...),
        ("7.1", checks.check_requantize, (-5, ...)),
        ("7.2", checks.check_camera_codes, ...),
        ("7.3", checks.check_integer_activation, ...),
    ],
)
def test_not_attempted(number, check, answer):
    verdict = check(answer)
    assert (verdict.number, verdict.state) == (number, "not attempted")
