"""The checks of lesson 04 accept right answers, refuse wrong ones, and wait for the rest."""

from math import ceil, log, prod

import numpy as np
import pytest

from lessons_lib import affine, by_tensorflow, checks, tables, training, unseen
from lessons_lib.course.checks import lesson04
from lessons_lib.system.quiet import quiet, tensorflow
from verdicts import Answers, class_of_tests


def convert(*settings, name="DEFAULT", function=bytes):
    """A learner's function that sets ``optimizations`` and whatever else is in ``settings``."""

    def to_dynamic_range(folder):
        tf = tensorflow()
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if name:
            converter.optimizations = [getattr(tf.lite.Optimize, name)]
        for change in settings:
            change(converter, tf)
        return function(converter.convert())

    return to_dynamic_range


def half(converter, tf):
    converter.target_spec.supported_types = [tf.float16]


def builtin(converter, tf):
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]


def calibrated(converter, tf):
    def samples():
        yield [np.zeros((1, 28, 28, 1), np.float32)]

    converter.representative_dataset = samples


def integer_ends(converter, tf):
    converter.inference_input_type = tf.int8


def not_converted(folder):
    with quiet():
        return tensorflow().lite.TFLiteConverter.from_saved_model(folder)


def always_the_lessons_model(folder):
    return by_tensorflow.convert(training.reference("mnist_cnn"), "dynamic_range")


def with_numpy(x, w, b):
    s_w = np.abs(w).max(axis=1) / 127
    q_w = np.round(w / s_w[:, None])
    low, high = min(x.min(), 0), max(x.max(), 0)
    s_x = (high - low) / 255
    z_x = np.round(-128 - low / s_x)
    return s_x * s_w * (q_w @ (np.clip(np.round(x / s_x) + z_x, -128, 127) - z_x)) + b


def with_loops(x, w, b):
    low, high = min(0.0, *map(float, x)), max(0.0, *map(float, x))
    s_x = (high - low) / 255
    z_x = round(-128 - low / s_x)
    q_x = [max(-128, min(127, round(float(value) / s_x) + z_x)) for value in x]
    outputs = []
    for row, bias in zip(w.tolist(), b.tolist(), strict=True):
        s_w = max(map(abs, row)) / 127
        total = sum(round(v / s_w) * (q - z_x) for v, q in zip(row, q_x, strict=True))
        outputs.append(s_x * s_w * total + bias)
    return outputs


def dequantized(x, w, b):
    s_w = np.abs(w).max(axis=1, keepdims=True) / 127
    s_x, z_x = affine.scale_zero_point(x.min(), x.max())
    rounded = affine.dequantize(affine.quantize(x, s_x, z_x), s_x, z_x)
    return (np.rint(w / s_w) * s_w) @ rounded + b


def int32_sum(x, w, b):
    s_w = affine.per_channel_scale(w, 0)
    q_w = affine.quantize(w, s_w, 0, narrow_range=True)
    s_x, z_x = affine.scale_zero_point(x.min(), x.max())
    q_x = affine.quantize(x, s_x, z_x).astype(np.int32) - z_x
    return (q_w.astype(np.int32) @ q_x * s_w.ravel() * s_x + b)[:, None]


def hybrid(
    *, steps=255, most=127, weight=None, code=None, lead_back=None, inside=True, symmetric=False
):
    """A learner's hybrid layer with one thing changed."""

    def layer(x, w, b):
        s_w = np.abs(w).max(axis=1) / most
        if weight == "one scale":
            s_w = np.full(len(w), np.abs(w).max() / most)
        q_w = w / s_w[:, None]
        q_w = {"float": q_w, "cut": np.trunc(q_w)}.get(weight, np.rint(q_w))
        low, high = (min(x.min(), 0), max(x.max(), 0)) if inside else (x.min(), x.max())
        s_x = np.abs(x).max() / 127 if symmetric else (high - low) / steps
        z_x = 0 if symmetric else np.rint(-128 - low / s_x)
        q_x = np.clip(np.rint(x / s_x) + z_x, -128, 127)
        if code == "cut":
            q_x = np.trunc(x / s_x) + z_x
        if code == "float":
            q_x = x / s_x + z_x
        total = q_w @ (q_x - z_x)
        if code == "with its zero point":
            total = q_w @ q_x
        if code == "int8":
            total = q_w.astype(np.int8) @ (q_x - z_x).astype(np.int8)
        way = lead_back or (lambda total, s_x, s_w, b: s_x * s_w * total + b)
        return way(total, s_x, s_w, b)

    return layer


def by_a_query(file):
    table = tables.tensors(file).query("role == 'weight' and dtype == 'FLOAT32'")
    return table[table["shape"].map(prod) >= 1024]["name"]


def by_a_loop(file):
    found = []
    for row in tables.tensors(file).itertuples():
        if row.role == "weight" and row.dtype == "FLOAT32" and row.bytes >= 4 * 1024:
            found.append(row.layer)
    return found


def audit(condition):
    """The names of the tensors that a condition on the table is true of."""

    def function(file):
        table = tables.tensors(file)
        table["elements"] = table["shape"].map(prod)
        return list(table.query(condition)["name"])

    return function


def of_one_file(file):
    return [name for name in by_a_loop(unseen.path("04_ticket.tflite"))]


WEIGHTS_IN_FLOAT = "role == 'weight' and dtype == 'FLOAT32'"

ROWS = np.array([[0.0, 0.51, 0.2, 0.1], [0.0, 0.51, 0.2, 51.0]], np.float32)

ANSWERS = {
    checks.check_to_dynamic_range: Answers(
        right={
            "DEFAULT": convert(),
            "the article's name": convert(name="OPTIMIZE_FOR_SIZE"),
            "the third name": convert(name="OPTIMIZE_FOR_LATENCY"),
            "with the default operators": convert(builtin),
            "a bytearray": convert(function=bytearray),
            "by the library": lambda folder: by_tensorflow.convert(folder, "dynamic_range"),
            "the course's": lesson04.to_dynamic_range,
        },
        wrong={
            "no setting": (convert(name=""), "nothing asked for a smaller one"),
            "float16": (convert(half), "weights of 16 bits"),
            "calibrated": (convert(calibrated), "a dataset was given"),
            "integer ends": (convert(integer_ends), "raised ValueError"),
            "no convert()": (not_converted, "what its `convert()` gives"),
            "the lesson's own model": (always_the_lessons_model, "of another model"),
            "no file": (lambda folder: b"TFL3", "no readable .tflite"),
            "a folder": (lambda folder: folder, "asked are a file's bytes"),
            "the bytes themselves": (b"TFL3", "asked is a function"),
            "no return": (lambda folder: print(end=""), "`return` missing"),
            "one name forgotten": (lambda folder: tf_lite_converter, "NameError"),  # noqa: F821
        },
    ),
    checks.check_hybrid_dense: Answers(
        right={
            "with NumPy": with_numpy,
            "with loops, a list": with_loops,
            "rounded, then in float": dequantized,
            "int32, a column": int32_sum,
            "the course's": lesson04.hybrid_dense,
            "float32": lambda x, w, b: with_numpy(x, w, b).astype(np.float32),
            "by parts": hybrid(),
            "scales first": hybrid(lead_back=lambda t, s_x, s_w, b: (s_x * s_w) * t + b),
        },
        wrong={
            "float": (lambda x, w, b: w @ x + b, "nothing in it was rounded"),
            "no bias": (hybrid(lead_back=lambda t, s_x, s_w, b: s_x * s_w * t), "the bias"),
            "bias inside": (
                hybrid(lead_back=lambda t, s_x, s_w, b: s_x * s_w * (t + b)),
                "added at the very end",
            ),
            "the integer sum": (hybrid(lead_back=lambda t, s_x, s_w, b: t + b), "both scales"),
            "one scale of two": (
                hybrid(lead_back=lambda t, s_x, s_w, b: s_w * t + b),
                "both scales",
            ),
            "zero point left in": (hybrid(code="with its zero point"), "is subtracted"),
            "one scale for the weights": (hybrid(weight="one scale"), "each row has its own"),
            "128": (hybrid(most=128), "from -127 to 127"),
            "256 steps": (hybrid(steps=256), "255 steps apart"),
            "symmetric input": (hybrid(symmetric=True), "input is asymmetric"),
            "range without 0": (hybrid(inside=False), "must hold 0"),
            "weights not rounded": (hybrid(weight="float"), "weights were not rounded"),
            "input not rounded": (hybrid(code="float"), "input was not rounded"),
            "input cut": (hybrid(code="cut"), "round before it"),
            "weights cut": (hybrid(weight="cut"), "round before it"),
            "int8 sum": (hybrid(code="int8"), "wraps around"),
            "one number": (lambda x, w, b: 1.0, "it returns the shape ()"),
            "transposed": (lambda x, w, b: w.T @ b, "it returns the shape (40,)"),
            "a wrong name": (lambda x, w, b: q_w @ x, "raised NameError"),  # noqa: F821
            "something else": (lambda x, w, b: 2 * b, "a hybrid kernel gives"),
        },
    ),
    checks.check_left_in_float: Answers(
        right={
            "a Series of names": by_a_query,
            "layers, by a loop": by_a_loop,
            "a table": lambda file: tables.tensors(file)[
                tables.tensors(file)["name"].isin(set(by_a_query(file)))
            ],
            "a set": lambda file: set(by_a_query(file)),
            "an array": lambda file: by_a_query(file).to_numpy(),
            "a dictionary": lambda file: dict.fromkeys(by_a_query(file), "FLOAT32"),
            "pairs with the layer first": lambda file: [(n, "weight") for n in by_a_loop(file)],
            "from the bytes": lambda model: by_a_loop(bytes(model)),
        },
        wrong={
            "all in float": (audit(WEIGHTS_IN_FLOAT), "fewer than 1,024"),
            "by bytes": (audit(f"{WEIGHTS_IN_FLOAT} and bytes >= 1024"), "fewer than 1,024"),
            "more than 1,024": (audit(f"{WEIGHTS_IN_FLOAT} and elements > 1024"), "are enough"),
            "from 1,000 on": (
                audit(f"{WEIGHTS_IN_FLOAT} and elements >= 1000"),
                "fewer than 1,024",
            ),
            "biases too": (
                audit("bytes > 0 and dtype == 'FLOAT32' and elements >= 1024"),
                "no weight, but bias",
            ),
            "activations too": (
                audit("role in ('weight', 'activation') and elements >= 1024"),
                "its weights are INT8",
            ),
            "those in int8": (audit("dtype == 'INT8'"), "are INT8"),
            "none": (lambda file: [], "misses"),
            "of one file": (of_one_file, "no tensor or layer named"),
            "how many": (lambda file: 2, "a list of names"),
            "a name alone": (lambda file: "features", "a list of names"),
            "indices": (lambda file: [6, 7], "among the names"),
            "a list": (["features", "gate"], "asked is a function"),
            "no return": (lambda file: print(end=""), "`return` missing"),
        },
    ),
    checks.check_dynamic_range_bytes: Answers(
        right={
            "an int": 1_030_016,
            "a NumPy integer": np.int64(1_030_016),
            "a text": "1,030,016",
            "with its unit": "1030016 bytes",
        },
        wrong={
            "a byte for each weight": (1_026_368, "leaves some in float32"),
            "float32": (4_105_472, "float32 file"),
            "conv_b in float": (1_033_472, "conv_b has 1,152"),
            "dense_b in bytes": (1_027_016, "dense_b has 1,000"),
            "in kB": (1030.016, "Bytes are asked"),
            "a word": ("many", "a number is asked"),
        },
    ),
    checks.check_scales_of_rows: Answers(
        right={
            "a list": [0.002, 0.2],
            "an array": np.array([0.002, 0.2], np.float32),
            "nested": [[0.002], [0.2]],
            "a generator": (affine.scale_zero_point(row.min(), row.max())[0] for row in ROWS),
        },
        wrong={
            "one for both": ([0.2, 0.2], "one scale for the whole batch"),
            "one": (0.2, "holds 1 number; 2 are asked"),
            "with zero points": ([(0.002, -128), (0.2, -128)], "the scales only"),
            "swapped": ([0.2, 0.002], "of the first row"),
            "symmetric": ([0.51 / 127, 51 / 127], "symmetric scales"),
            "the small one twice": ([0.002, 0.002], "a scale of its own"),
            "ranges": ([0.51, 51], "255 steps make each"),
            "steps": ([500, 5], "how many steps make 1"),
            "zero points": ([-128, -128], "the scales are asked"),
            "256 steps": ([0.51 / 256, 51 / 256], "255 steps apart"),
            "a set": ({0.002, 0.2}, "has no order"),
            "a function": (affine.scale_zero_point, "holds a function"),
        },
    ),
    checks.check_inputs_without_flip: Answers(
        right={
            "the rule of three": 30_000,
            "exactly": ceil(log(0.05) / log(1 - 1e-4)),
            "by the exponential": 29_958,
            "a text": "30,000",
        },
        wrong={
            "one in ten thousand": (10_000, "the bound would be 3.000 in ten thousand"),
            "one too few": (29_955, "too few"),
            "not rounded": (log(0.05) / log(1 - 1e-4), "round up"),
            "one too many": (30_001, "30,001 inputs are enough"),
            "none": (0, "none at all"),
            "a share": (1e-4, "too few"),
            "two": ([10_000, 30_000], "holds 2 numbers"),
        },
    ),
}

TestAnswers = class_of_tests(ANSWERS)


def test_4_1_tells_the_ratio_of_the_four_layers():
    verdict = checks.check_dynamic_range_bytes(1_030_016)
    assert f"{4 * 1_026_368 / 1_030_016:.2f} times" in verdict.message


def test_4_3_names_both_right_answers():
    message = checks.check_inputs_without_flip(30_000).message
    assert "30,000" in message
    assert f"{ceil(log(0.05) / log(1 - 1e-4)):,}" in message


@pytest.mark.parametrize("layer", [*lesson04._layers()])
def test_4_2_asks_no_rounding_that_two_right_roads_could_do_differently(layer):
    x, w, _ = layer
    s_x, _ = affine.scale_zero_point(x.min(), x.max())
    for exact in (x / s_x, w / (np.abs(w).max(axis=1, keepdims=True) / 127)):
        inside = np.abs(exact) < 126.9  # the ends are exact
        assert np.abs(exact - np.floor(exact) - 0.5)[inside].min() > 1e-4


def test_4_2_the_remarks_are_not_mixed_up():
    for x, w, b in lesson04._layers():
        right = lesson04.hybrid_dense(x.astype(float), w.astype(float), b.astype(float))
        near = 2e-4 * np.abs(right - b).max()
        for *wrongs, remark in lesson04._hybrid_slips(x, w, b):
            for wrong in wrongs:
                assert np.abs(wrong - right).max() > 2 * near, remark


def test_4_3_the_file_hides_two_large_weights_in_float():
    table = tables.tensors(unseen.path("04_ticket.tflite")).set_index(["layer", "role"])
    dtypes, elements = table["dtype"], table["shape"].map(prod)
    assert {dtypes[layer, "weight"] for layer in ("shapes", "mix", "wide", "answer")} == {"INT8"}
    left = [layer for layer, role in dtypes.index if role == "weight"]
    left = {n: elements[n, "weight"] for n in left if dtypes[n, "weight"] == "FLOAT32"}
    assert left == {"features": 12_288, "gate": 1_024, "squeeze": 1_023, "stem": 72}
    assert elements["wide", "bias"] > 1_024
