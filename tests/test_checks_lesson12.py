"""The checks of lesson 12 accept right answers, refuse wrong ones, and wait for the rest."""

import functools

import numpy as np
import pytest

from lessons_lib import checks, models, qat
from verdicts import class_of_tests


@functools.cache
def file_of(name="mnist_cnn", weight_bits=4):
    """A file made by the library of a model with random weights."""
    aware = qat.quantize_aware(models.build(name), weight_bits)
    aware(np.random.default_rng(0).random((8, 28, 28, 1), dtype=np.float32), training=True)
    return qat.convert_trained(aware)


TestAnswers = class_of_tests(
    right=[
        (checks.check_fake_quantize, [0.35, -0.1, 0.05, 0.0]),
        (checks.check_fake_quantize, np.float32([0.35, -0.1, 0.05, -0.0])),
        (checks.check_straight_through, (4.4, -2.2, 0)),
        (checks.check_straight_through, np.array([4.4, -2.2, 0.0])),
    ],
    wrong=[
        (checks.check_fake_quantize, [7, -2, 1, 0]),  # codes
        (checks.check_fake_quantize, [0.35, -0.12, 0.06, 0.02]),
        (checks.check_fake_quantize, [0.35, -0.131, 0.044, 0.0]),  # 17 steps of the wide range
        (checks.check_fake_quantize, 0.35),
        (checks.check_straight_through, (4.4, -2.2, 6.6)),  # not clipped
        (checks.check_straight_through, (0, 0, 0)),  # the true gradient
        (checks.check_straight_through, 4.4),
        (checks.check_packed_int4, b"TFL3"),
        (checks.check_packed_int4, "int4"),
    ],
)


def test_12_1_tells_codes_from_floats():
    assert "These are the codes" in checks.check_fake_quantize([7, -2, 1, 0]).message


def test_12_2_names_what_is_missing():
    assert "is clipped" in checks.check_straight_through((4.4, -2.2, 6.6)).message
    unrounded = 2 * 0.34 + 0.48 + 3 * 0.93 - 1
    answer = (2 * unrounded, -unrounded, 0)
    assert "rounded and clipped" in checks.check_straight_through(answer).message
    assert "ends at 0.7" in checks.check_straight_through((5.6, -2.8, 0)).message


def test_12_3_accepts_packed_weights():
    assert checks.check_packed_int4(file_of())
    assert checks.check_packed_int4(...).state == "not attempted"


@pytest.mark.parametrize("answer", ["model", models, 4])
def test_12_3_wants_bytes(answer):
    assert "qat.convert_trained returns" in checks.check_packed_int4(answer).message


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(("mnist_cnn", 8), "type INT8"), (("ds_cnn", 4), "not mnist_cnn")],
)
def test_12_3_refuses_the_rest_and_names_the_condition(arguments, named):
    verdict = checks.check_packed_int4(file_of(*arguments))
    assert verdict.state == "not yet"
    assert named in verdict.message
