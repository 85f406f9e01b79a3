"""The checks of lesson 12 accept right answers, refuse wrong ones, and wait for the rest."""

import numpy as np

from lessons_lib import affine, checks
from verdicts import Answers, class_of_tests, network

WEIGHTS = np.float32([0.35, -0.12, 0.06, 0.02])


def fake_quantized(num_bits=4, narrow_range=True):
    scale = 0.35 / (2 ** (num_bits - 1) - narrow_range)
    codes = affine.quantize(WEIGHTS, scale, 0, num_bits=num_bits, narrow_range=narrow_range)
    return affine.dequantize(codes, scale, 0)


CNN = "CONV_2D:RELU MAX_POOL_2D CONV_2D:RELU MAX_POOL_2D RESHAPE FULLY_CONNECTED:RELU"
END = "FULLY_CONNECTED SOFTMAX"
# The gradient with the error of the weights as they are: y - t = 3.95 - 1.
UNROUNDED = 2 * 0.34 + 0.48 + 3 * 0.93 - 1


def int4(chain=f"{CNN} {END}", dtype="INT8", weights="INT4"):
    return network(chain, dtype, weights)


ANSWERS = {
    checks.check_fake_quantize: Answers(
        right={
            "a list": [0.35, -0.1, 0.05, 0.0],
            "float32": np.float32([0.35, -0.1, 0.05, -0.0]),
            "by the library": fake_quantized(),
            "texts": ("0.35", "-0.10", "0.05", "0"),
        },
        wrong={
            "codes": ([7, -2, 1, 0], "These are the codes"),
            "steps": (WEIGHTS / 0.05, "not rounded yet"),
            "unchanged": (WEIGHTS, "as they were"),
            "rounded down": ([0.35, -0.15, 0.05, 0.0], "do not cut off"),
            "rounded up": ([0.35, -0.1, 0.1, 0.05], ""),
            "the wide range": ([0.35, -0.131, 0.044, 0.0], "the largest code is 7"),
            "8 bits": (fake_quantized(8), "These are 8 bits"),
            "one": (0.35, "holds 1 number; 4 are asked"),
            "a function": (fake_quantized, "holds a function"),
        },
    ),
    checks.check_straight_through: Answers(
        right={
            "a tuple": (4.4, -2.2, 0),
            "an array": np.array([4.4, -2.2, 0.0]),
            "texts": ["4.4", "-2.2", "0"],
        },
        wrong={
            "not clipped": ((4.4, -2.2, 6.6), "is clipped"),
            "true": ((0, 0, 0), "true gradient of rounding"),
            "unrounded": ((2 * UNROUNDED, -UNROUNDED, 0), "rounded and clipped"),
            "beyond the range": ((5.6, -2.8, 0), "ends at 0.7"),
            "another sign": ((-4.4, 2.2, 0), "y - t, not t - y"),
            "the error": ((2.2, 2.2, 0), "own input"),
            "one": (4.4, "holds 1 number; 3 are asked"),
            "None": (None, "holds None"),
        },
    ),
    checks.check_packed_int4: Answers(
        right={
            "integer ends": int4(),
            "uint8 ends": int4(f"QUANTIZE>INT8 {CNN} {END} QUANTIZE>UINT8", "UINT8"),
            "a bytearray": bytearray(int4()),
        },
        wrong={
            "8 bits": (int4(weights="INT8"), "There are weights of type INT8"),
            "float ends": (
                int4(f"QUANTIZE>INT8 {CNN} {END} DEQUANTIZE>FLOAT32", "FLOAT32"),
                "A float operator is left",
            ),
            "another network": (int4(f"DEPTHWISE_CONV_2D {END}"), "It is not mnist_cnn"),
            "no file": (b"TFL3", "no readable .tflite file"),
            "a path": ("int4", "give the content of a file"),
            "a module": (checks, "asked is a file's content"),
            "a number": (4, "asked is a file's content"),
        },
    ),
}

TestAnswers = class_of_tests(ANSWERS)
