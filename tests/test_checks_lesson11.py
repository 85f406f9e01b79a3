"""The checks of lesson 11 accept right answers, refuse wrong ones, and wait for the rest."""

import functools

import pytest

from lessons_lib import anatomy, calibration, checks, training
from lessons_lib.quiet import quiet, tensorflow
from reference import converted, digits
from verdicts import class_of_tests

# TensorFlow's debugger still runs on the interpreter that TensorFlow has given up.
pytestmark = pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")


def steepest_fall(table):
    return table.loc[table["snr_db"].diff().idxmin(), "layer"]


def lowest(table):
    return table.loc[table["snr_db"].idxmin(), "layer"]


def most_steps(table):
    return table.loc[table["error_per_scale"].idxmax(), "layer"]


def row_number(table):
    return int(table["snr_db"].diff().idxmin())


def one_before(table):
    return table["layer"][row_number(table) - 1]


def most_in_per_cent(table):
    return table["layer"][table["snr_db"].pct_change().idxmin()]


TestAnswers = class_of_tests(
    right=[
        (checks.check_error, (0.316, 19.8)),
        (checks.check_error, [0.32, 19.78]),
        (checks.check_steepest_fall, steepest_fall),
    ],
    wrong=[
        (checks.check_error, (0.158, 19.8)),  # not divided by the scale
        (checks.check_error, (0.316, 9.9)),
        (checks.check_error, (19.8, 0.316)),
        (checks.check_error, 0.316),
        (checks.check_steepest_fall, lowest),
        (checks.check_steepest_fall, most_steps),
        (checks.check_steepest_fall, row_number),
        (checks.check_steepest_fall, one_before),
        (checks.check_steepest_fall, most_in_per_cent),
        (checks.check_steepest_fall, "stem"),
        (checks.check_stem_in_float, b"TFL3"),
        (checks.check_stem_in_float, "stem"),
    ],
)


@functools.cache
def kept_in_float(*operators):
    """The int8 ds_cnn with the outputs of these operators, by number, left in float."""
    tf = tensorflow()
    outputs = anatomy.operators(converted("ds_cnn")["float32"])["outputs"]
    options = tf.lite.experimental.QuantizationDebugOptions(
        denylisted_nodes=[outputs[number][0] for number in operators]
    )
    with quiet():
        converter = tf.lite.TFLiteConverter.from_saved_model(str(training.reference("ds_cnn")))
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = calibration.representative_dataset(
            digits().calibration, samples=2
        )
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=converter, debug_options=options
        )
        return debugger.get_nondebug_quantized_model()


def test_11_3_accepts_the_stem_alone_in_float():
    assert checks.check_stem_in_float(kept_in_float(0))


@pytest.mark.parametrize(
    ("operators", "complaint"),
    [((), "did the name match"), ((0, 1), "are 2 operators"), ((4,), "did the name match")],
)
def test_11_3_refuses_others_and_says_why(operators, complaint):
    verdict = checks.check_stem_in_float(kept_in_float(*operators))
    assert verdict.state == "not yet"
    assert complaint in verdict.message


def test_11_3_refuses_another_network_and_the_float_model():
    assert "not the depthwise" in checks.check_stem_in_float(converted()["int8"]).message
    assert "are 11 operators" in checks.check_stem_in_float(converted("ds_cnn")["float32"]).message


def test_11_3_waits_for_an_answer():
    assert checks.check_stem_in_float(...).state == "not attempted"


@pytest.mark.parametrize(
    ("check", "answer", "remark"),
    [
        (checks.check_error, (0.158, 19.8), "divide it by the scale"),
        (checks.check_error, (0.316, 9.9), "10 times the logarithm"),
        (checks.check_error, (19.8, 0.316), "steps come first"),
        (checks.check_steepest_fall, lowest, "lowest ratio"),
        (checks.check_steepest_fall, row_number, "returned 2, a value of type int"),
        (checks.check_steepest_fall, one_before, "last good layer"),
        (checks.check_steepest_fall, most_in_per_cent, "in per cent, not in dB"),
        (checks.check_stem_in_float, "stem", "This is a name"),
    ],
)
def test_hints_name_the_slip(check, answer, remark):
    assert remark in check(answer).message


def test_most_steps_is_not_called_the_lowest_ratio():
    assert "lowest" not in checks.check_steepest_fall(most_steps).message
