"""Checks that know a network's layers, or look into a file, beside a network that was converted.

One network and two conversions are all that the checks' tests need of TensorFlow (lesson 00's own
apart); the right answers of 7.3, 11.3 and 12.3 are converted in the solutions.
"""

import functools

import pytest

from lessons_lib import by_litert, by_tensorflow, calibration, checks, tables, training
from lessons_lib.course.checks import lesson13
from reference import digits
from test_checks_lesson10 import EQUALIZABLE
from test_checks_lesson13 import GENERAL, LAST, STEM, WIDE


@functools.cache
def ds_cnn(path):
    """The reference ds_cnn along one path, as the bytes of a file."""
    samples = calibration.representative_dataset(digits().calibration, samples=2)
    return by_tensorflow.convert(training.reference("ds_cnn"), path, samples)


def weighted():
    """The kind of each operator with weights, by its layer's name."""
    table = tables.operators(ds_cnn("float32"))
    table = table[table["operator"].isin(tables.PARAMETERS)]
    names = table["outputs"].map(";".join)
    return dict(zip(names.map(tables.layer_name), table["operator"], strict=True))


def test_10_3_and_13_2_know_the_layers_of_ds_cnn():
    assert weighted() == lesson13._OPERATORS
    others = {"block1_pointwise", "block2_pointwise", "probabilities"}
    assert {*EQUALIZABLE} | others == {*weighted()}


def recipes(rules):
    table = by_litert.plan(ds_cnn("float32"), "int8", rules)
    return table.loc[table["operator"].isin(tables.PARAMETERS), "recipe"].tolist()


def test_13_2_knows_what_the_rules_do_to_the_real_model():
    expected = ["int8", *["int8_per_tensor"] * 5, "int8x4_per_tensor", "int8_per_tensor"]
    assert recipes([GENERAL, LAST, STEM]) == expected
    assert recipes([GENERAL, WIDE, STEM]) == expected  # by a silent skip, so the check refuses it


@pytest.mark.parametrize(
    ("check", "path", "said"),
    [
        (checks.check_stem_in_float, "int8", "did the name match"),
        (checks.check_stem_in_float, "float32", "operators; only the first should be"),
        (checks.check_packed_int4, "int8", "weights of type INT8"),
        (checks.check_integer_activation, "int8", "The ends are int8 and int8"),
        (checks.check_integer_activation, "float32", "A float operator is left: CONV_2D"),
    ],
)
def test_a_file_of_the_converter_is_read_right(check, path, said):
    assert said in check(ds_cnn(path)).message
