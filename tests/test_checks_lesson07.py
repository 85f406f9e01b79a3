"""The checks of lesson 07 accept right answers, refuse wrong ones, and wait for the rest."""

import numpy as np

from lessons_lib import affine, checks
from verdicts import Answers, class_of_tests, network


def in_int16(pixels):
    return (pixels.astype(np.int16) - 128).astype(np.int8)


def by_bits(pixels):
    return (pixels ^ 0x80).view(np.int8)


def by_a_table(pixels):
    return np.arange(-128, 128, dtype=np.int8)[pixels]


def by_a_loop(pixels):
    codes = np.empty(pixels.shape, np.int8)
    for place, pixel in np.ndenumerate(pixels):
        codes[place] = int(pixel) - 128
    return codes


def named_like_a_float(pixels):
    half = 128
    return (pixels.astype(np.int16) - half).astype(np.int8)


def in_floats(pixels):
    return (np.round(pixels / 255 / (1 / 255)) - 128).astype(np.int8)


def cast_to_floats(pixels):
    return (pixels.astype(np.float32) - 128).astype(np.int8)


def copied_to_floats(pixels):
    return (np.asarray(pixels, float) - 128).astype(np.int8)


def floats_one_by_one(pixels):
    codes = [round(int(pixel) / 255 * 255) - 128 for pixel in pixels.ravel()]
    return np.array(codes, np.int8).reshape(pixels.shape)


def by_the_library(pixels):
    return affine.quantize(pixels, 1, -128)


def only_cast(pixels):
    return pixels.astype(np.int8)


def not_cast(pixels):
    return pixels.astype(np.int16) - 128


def wrapped(pixels):
    return pixels - np.uint8(128)


def flattened(pixels):
    return by_bits(pixels).ravel()


def dense(hidden, end="", dtype="UINT8"):
    """The end of the digits' network: two dense layers, ``hidden`` behind the first."""
    return network(f"QUANTIZE>INT8 FULLY_CONNECTED{hidden} FULLY_CONNECTED SOFTMAX {end}", dtype)


TO_UINT8 = "QUANTIZE>UINT8"
ISLAND = " DEQUANTIZE>FLOAT32 ELU QUANTIZE>INT8"

ANSWERS = {
    checks.check_requantize: Answers(
        right={
            "a tuple": (-5, 127),
            "an array": np.array([-5, 127], np.int8),
            "a list of floats": [-5.0, 127.0],
            "texts": ("-5", "127"),
        },
        wrong={
            "no zero point": ((25, 180), "The zero point is missing"),
            "no zero point, clipped": ((25, 127), "The zero point is missing"),
            "not clipped": ((-5, 150), "Clip."),
            "zero point subtracted": ((55, 127), "The zero point is -30"),
            "cut off": ((-6, 127), "Round to the nearest"),
            "not rounded": ((-5.31, 127), "Codes are whole numbers"),
            "without the scale of the output": ((-29, -21), "Divide by the output's scale"),
            "swapped": ((127, -5), "in the order"),
            "one code": (-5, "holds 1 number; 2 are asked"),
            "both in one text": ("-5, 127", "the text '-5, 127'; 2 numbers are asked: give a"),
            "a function": (affine.quantize, "holds a function"),
        },
    ),
    checks.check_camera_codes: Answers(
        right={
            "in int16": in_int16,
            "by bits": by_bits,
            "by a table": by_a_table,
            "by a loop": by_a_loop,
            "with a variable named half": named_like_a_float,
            "vectorized": np.vectorize(lambda pixel: pixel - 128, otypes=[np.int8]),
        },
        wrong={
            "in floats": (in_floats, "has no floats, and here are some: divide gives float64"),
            "cast to floats": (cast_to_floats, "astype gives float32"),
            "copied to floats": (copied_to_floats, "has no floats, and here are some: `float`"),
            "floats one by one": (floats_one_by_one, "here are some: the division `/`"),
            "by the library": (by_the_library, "which calculates in float32"),
            "only cast": (only_cast, "keeps the bits"),
            "not cast": (not_cast, "their type is int16"),
            "wrapped": (wrapped, "a uint8 cannot go below 0"),
            "flattened": (flattened, "the shape (256,)"),
            "a number": (-128, "asked is a function"),
            "codes": (by_bits(np.arange(4, dtype=np.uint8)), "asked is a function"),
            "raises": (lambda pixels: pixels.astyp(int), "Your function raised AttributeError"),
        },
    ),
    checks.check_integer_activation: Answers(
        right={
            "fused": dense(":RELU6", TO_UINT8),
            "an operator of its own": dense(" LEAKY_RELU", TO_UINT8),
            "several operators": dense(" LOGISTIC MUL", TO_UINT8),
            "a bytearray": bytearray(dense(" TANH", TO_UINT8)),
        },
        wrong={
            "relu": (dense(":RELU", TO_UINT8), "still has a ReLU"),
            "linear": (dense("", TO_UINT8), "is linear"),
            "elu": (dense(ISLAND, TO_UINT8), "A float operator is left: ELU"),
            "int8 ends": (dense(" LEAKY_RELU", dtype="INT8"), "The ends are int8 and int8"),
            "a float end": (dense(" TANH", "DEQUANTIZE>FLOAT32"), "A float operator is left"),
            "another network": (network("CONV_2D:RELU6"), "It is not the digits' network"),
            "no file": (b"TFL3", "no readable .tflite file"),
            "a name": ("leaky_relu", "give the content of a file"),
            "a path that is none": ("\0", "give the content of a file"),
            "a function": (dense, "asked is a file's content"),
        },
    ),
}

TestAnswers = class_of_tests(ANSWERS)


def test_7_3_reads_a_file_that_is_given_by_its_path(tmp_path):
    file = tmp_path / "model.tflite"
    file.write_bytes(dense(":RELU6", TO_UINT8))
    assert checks.check_integer_activation(file)
    assert checks.check_integer_activation(str(file))


def test_the_hint_of_7_1_and_7_2_does_not_give_the_solution_away():
    assert "0.005" not in checks.check_requantize(0).message
    assert "128" not in checks.check_camera_codes(only_cast).message.partition("Hint: ")[2]
