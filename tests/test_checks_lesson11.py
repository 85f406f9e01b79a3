"""The checks of lesson 11 accept right answers, refuse wrong ones, and wait for the rest."""

import itertools

import numpy as np

from lessons_lib import affine, checks, layer_errors
from verdicts import Answers, class_of_tests, network

BACK = affine.dequantize([12, 7, 15, 10], 0.5, 10)
REAL = [0.9, -1.7, 2.4, 0.2]


def steepest_fall(table):
    return table.loc[table["snr_db"].diff().idxmin(), "layer"]


def by_a_loop(table):
    ratios = table["snr_db"].tolist()
    falls = [before - after for before, after in itertools.pairwise(ratios)]
    return table["layer"].tolist()[1 + falls.index(max(falls))]


def by_shifting(table):
    return table.set_index("layer")["snr_db"].pipe(lambda s: s - s.shift()).idxmin()


def largest_change(table):
    return table.layer[table.snr_db.diff().abs().idxmax()]


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


def ds_cnn(first="CONV_2D:RELU QUANTIZE>INT8", rest="CONV_2D:RELU"):
    """The chain of ds_cnn's operators, its stem in float, as the debugger writes it."""
    tail = "MEAN FULLY_CONNECTED SOFTMAX DEQUANTIZE>FLOAT32"
    return network(f"{first} DEPTHWISE_CONV_2D:RELU {rest} {tail}", "FLOAT32")


BACK_TO_FLOAT = "DEQUANTIZE>FLOAT32 CONV_2D:RELU QUANTIZE>INT8"

ANSWERS = {
    checks.check_error: Answers(
        right={
            "rounded": (0.32, 19.8),
            "a list": [0.316, 19.78],
            "by the library": (
                layer_errors.rms_error(REAL, BACK) / 0.5,
                layer_errors.signal_to_noise(REAL, BACK),
            ),
            "texts": ("0.32 steps", "19.8 dB"),
            "an array": np.array([0.32, 19.8]),
        },
        wrong={
            "in units": ((0.158, 19.8), "divide it by the scale"),
            "half the decibels": ((0.316, 9.9), "10 times the logarithm, not 5"),
            "twice the decibels": ((0.316, 39.6), "not 20"),
            "noise to signal": ((0.316, -19.8), "Signal to noise"),
            "a ratio": ((0.316, 95), "That is the ratio"),
            "the mean magnitude": ((0.3, 19.8), "mean magnitude"),
            "rounded too far": ((0.32, 20), "Rounded too far"),
            "swapped": ((19.8, 0.316), "The steps come first"),
            "the steps alone": (0.316, "holds 1 number; 2 are asked"),
            "a function": (layer_errors.rms_error, "holds a function"),
        },
    ),
    checks.check_steepest_fall: Answers(
        right={"by diff": steepest_fall, "by a loop": by_a_loop, "by shift": by_shifting},
        wrong={
            "the largest change": (largest_change, "There it rises"),
            "the lowest": (lowest, "lowest ratio"),
            "the most steps": (most_steps, "names 'layer4'"),
            "one before": (one_before, "last good layer"),
            "in per cent": (most_in_per_cent, "in per cent, not in dB"),
            "the row": (row_number, "returns 2 (a number of type int): give the layer's name"),
            "always the stem": (lambda table: "stem", "There is no such layer"),
            "a name": ("stem", "asked is a function"),
            "no return": (lambda table: None, "`return` missing"),
            "a column that is none": (lambda table: table["snr"].idxmin(), "raised KeyError"),
        },
    ),
    checks.check_stem_in_float: Answers(
        right={
            "as the debugger writes it": ds_cnn(),
            "integer ends behind it": network(
                "DEQUANTIZE>FLOAT32 CONV_2D:RELU QUANTIZE>INT8 DEPTHWISE_CONV_2D:RELU SOFTMAX",
                "INT8",
            ),
            "a bytearray": bytearray(ds_cnn()),
        },
        wrong={
            "nothing in float": (ds_cnn("QUANTIZE>INT8 CONV_2D:RELU"), "did the name match"),
            "two in float": (ds_cnn(rest=BACK_TO_FLOAT), "are 2 operators"),
            "another one": (
                ds_cnn("QUANTIZE>INT8 CONV_2D:RELU", BACK_TO_FLOAT),
                "did the name match",
            ),
            "another network": (network("CONV_2D:RELU"), "not the depthwise-separable"),
            "a name": ("stem", "give the content of a file"),
            "no file": (b"TFL3", "no readable .tflite file"),
            "cut off": (ds_cnn()[:200], "no readable .tflite file"),
            "a list": (["stem"], "asked is a file's content"),
        },
    ),
}

TestAnswers = class_of_tests(ANSWERS)


def test_11_2_most_steps_is_not_called_the_lowest_ratio():
    assert "lowest" not in checks.check_steepest_fall(most_steps).message
