"""The checks of lesson 11 accept right answers, refuse wrong ones, and wait for the rest."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from lessons_lib import affine, checks, data, layer_errors, reader, runtime, unseen
from lessons_lib.course.checks import lesson11
from lessons_lib.errors import InputError
from verdicts import Answers, class_of_tests, network

BACK = affine.dequantize([12, 7, 15, 10], 0.5, 10)
REAL = [0.9, -1.7, 2.4, 0.2]


# 11.1


def snr(x, back):
    return 10 * np.log10(np.sum(x**2) / np.sum((back - x) ** 2))


def snr_by_loops(x, back):
    signal = noise = 0.0
    for expected, found in zip(x.ravel().tolist(), back.ravel().tolist(), strict=True):
        signal += expected * expected
        noise += (expected - found) ** 2
    return 10 * math.log10(signal / noise)


def snr_by_roots(x, back):
    return 20 * np.log10(np.linalg.norm(x) / np.linalg.norm(x - back))


def snr_by_means(x, back):
    return np.array([10 * (np.log10((x**2).mean()) - np.log10(np.square(back - x).mean()))])


# 11.2


def decibels_by_layer(layers):
    found = {}
    for name, real, codes, scale, zero_point in layers:
        found[name] = snr(real, scale * (codes.astype(np.float32) - zero_point))
    return found


def decibels(convert, given=lambda name, real, back: (name, snr(real, back))):
    """An answer to 11.2 whose way from codes to real numbers is ``convert``."""
    return lambda layers: dict(given(name, real, convert(*q)) for name, real, *q in layers)


# 11.3


def steepest_fall(found):
    return pd.Series(found).diff().idxmin()


def by_a_loop(found):
    falls = [before - after for before, after in itertools.pairwise(found.values())]
    return list(found)[1 + falls.index(max(falls))]


def by_numpy(found):
    return str(np.array(list(found))[1 + np.argmin(np.diff(list(found.values())))])


def by_max(found):
    names = list(found)
    return max(range(1, len(names)), key=lambda n: found[names[n - 1]] - found[names[n]]) and max(
        names[1:], key=lambda name: found[names[names.index(name) - 1]] - found[name]
    )


def largest_change(found):
    return pd.Series(found).diff().abs().idxmax()


def one_before(found):
    return list(found)[list(found).index(steepest_fall(found)) - 1]


# 11.4


def tensors_of(operators, layers):
    rows = operators.set_index("layer").loc[list(layers)]
    return [name for outputs in rows["outputs"] for name in outputs]


def tensors_by_loops(operators, layers):
    names = set()
    for layer in layers:
        found = [
            o for n, o in zip(operators["layer"], operators["outputs"], strict=True) if n == layer
        ]
        if not found:
            raise ValueError(layer)
        names |= {name for outputs in found for name in outputs}
    return names


def tensors_by_assert(operators, layers):
    assert set(layers) <= set(operators["layer"]), "unknown"
    return operators[operators["layer"].isin(layers)]["outputs"].explode()


def tensors_as_array(operators, layers):
    return np.array(tensors_of(operators, layers))


def first_row_only(operators, layers):
    known = dict(zip(operators["layer"], operators["outputs"].str[0], strict=True))
    return [known[layer] for layer in layers]


def unguarded(operators, layers):
    return operators[operators["layer"].isin(layers)]["outputs"].explode().tolist()


def guarded(change):
    """A guard whose names are changed: a slip of one kind."""
    return lambda operators, layers: change(operators, layers, tensors_of(operators, layers))


# 11.7


def ds_cnn(first="CONV_2D:RELU QUANTIZE>INT8", rest="CONV_2D:RELU"):
    """The chain of ds_cnn's operators, its stem in float, as the debugger writes it."""
    tail = "MEAN FULLY_CONNECTED SOFTMAX DEQUANTIZE>FLOAT32"
    return network(f"{first} DEPTHWISE_CONV_2D:RELU {rest} {tail}", "FLOAT32")


BACK_TO_FLOAT = "DEQUANTIZE>FLOAT32 CONV_2D:RELU QUANTIZE>INT8"

SHARE = lesson11.lamp()[1]["block2_depthwise"]


def findings(layer="block2_depthwise", share=SHARE, cause="clipped", **more):
    return {"layer": layer, "share": share, "cause": cause, **more}


ANSWERS = {
    checks.check_snr: Answers(
        right={
            "one line": snr,
            "loops": snr_by_loops,
            "roots": snr_by_roots,
            "means": snr_by_means,
            "the library": layer_errors.signal_to_noise,
            "a text": lambda x, back: f"{snr(x, back):.3f} dB".removesuffix(" dB"),
        },
        wrong={
            "20": (lambda x, back: 2 * snr(x, back), "not 20"),
            "5": (lambda x, back: snr(x, back) / 2, "not 5"),
            "noise to signal": (lambda x, back: -snr(x, back), "Signal to noise"),
            "no ten": (lambda x, back: snr(x, back) / 10, "The logarithm alone"),
            "the ratio": (lambda x, back: 10 ** (snr(x, back) / 10), "This is the ratio"),
            "natural": (lambda x, back: snr(x, back) * math.log(10), "natural logarithm"),
            "base 2": (lambda x, back: snr(x, back) * math.log2(10), "to base 2"),
            "swapped": (lambda x, back: snr(back, x), "not `back`"),
            "magnitudes": (
                lambda x, back: 10 * np.log10(np.abs(x).sum() / np.abs(back - x).sum()),
                "sums of magnitudes",
            ),
            "noise alone": (
                lambda x, back: -10 * np.log10(np.sum((back - x) ** 2)),
                "Where is the signal",
            ),
            "elementwise": (lambda x, back: x / (back - x), "one is asked"),
            "nothing": (lambda x, back: print(end=""), "`return` missing"),
            "a number": (20.0, "asked is a function"),
        },
    ),
    checks.check_decibels_by_layer: Answers(
        right={
            "a loop": decibels_by_layer,
            "the library": lesson11.decibels_by_layer,
            "float64": decibels(lambda codes, s, z: (codes.astype(float) - z) * s),
            "affine": decibels(affine.dequantize),
            "int32 first": decibels(lambda codes, s, z: s * (codes.astype(np.int32) - z)),
            "a Series": lambda layers: pd.Series(decibels_by_layer(layers)),
            "pairs": lambda layers: list(decibels_by_layer(layers).items()),
            "another order": lambda layers: decibels_by_layer(layers[::-1]),
        },
        wrong={
            "wrapped": (
                decibels(lambda codes, s, z: s * (codes - np.int8(z))),
                "int8 minus int8 wraps around",
            ),
            "no zero point": (decibels(lambda codes, s, z: s * codes.astype(float)), "subtracted."),
            "added": (decibels(lambda codes, s, z: s * (codes.astype(float) + z)), "not added"),
            "no scale": (decibels(lambda codes, s, z: codes.astype(float) - z), "scale is missing"),
            "codes": (decibels(lambda codes, s, z: codes.astype(float)), "These are the codes"),
            "brackets": (
                decibels(lambda codes, s, z: s * codes.astype(float) - z),
                "First minus the zero point",
            ),
            "a list": (lambda layers: [1.0, 2.0, 3.0], "asked is a dict"),
            "one layer": (lambda layers: {"first": 3.0}, "The names should be first, second"),
            "a reversed ratio": (
                decibels(affine.dequantize, lambda name, real, back: (name, -snr(real, back))),
                "dB, not",
            ),
            "nothing": (lambda layers: print(end=""), "`return` missing"),
            "a dict": ({"first": 3.0}, "asked is a function"),
        },
    ),
    checks.check_steepest_fall: Answers(
        right={
            "by diff": steepest_fall,
            "by a loop": by_a_loop,
            "by numpy": by_numpy,
            "by max": by_max,
            "by shift": lambda found: (pd.Series(found) - pd.Series(found).shift()).idxmin(),
            "the library": lesson11.steepest_fall,
        },
        wrong={
            "the largest change": (largest_change, "There it rises"),
            "the lowest": (lambda found: min(found, key=found.get), "the lowest SNR"),
            "the highest": (lambda found: max(found, key=found.get), "the highest SNR"),
            "one before": (one_before, "last good layer"),
            "in per cent": (
                lambda found: pd.Series(found).pct_change().idxmin(),
                "in per cent, not in dB",
            ),
            "the row": (
                lambda found: int(np.argmin(np.diff(list(found.values())))),
                "give the layer's name",
            ),
            "falls from 0": (
                lambda found: min(
                    zip(found, np.diff([0, *found.values()]), strict=True), key=lambda row: row[1]
                )[0],
                "There is no layer in front of the first",
            ),
            "without the last": (
                lambda found: steepest_fall(dict([*found.items()][:-1])),
                "dB it names",
            ),
            "always the stem": (lambda found: "stem", "There is no such layer"),
            "sorted by name": (
                lambda found: steepest_fall(dict(sorted(found.items()))),
                "dB it names",
            ),
            "a name": ("stem", "asked is a function"),
            "no return": (lambda found: print(end=""), "`return` missing"),
            "a column that is none": (lambda found: found["snr"], "raised KeyError"),
        },
    ),
    checks.check_tensors_of: Answers(
        right={
            "loc": tensors_of,
            "loops, a set": tensors_by_loops,
            "an assert, a Series": tensors_by_assert,
            "an array": tensors_as_array,
            "the library": lesson11.tensors_of,
            "a tuple": guarded(lambda table, layers, names: tuple(names)),
            "twice": guarded(lambda table, layers, names: names + names),
        },
        wrong={
            "unguarded": (unguarded, "raise an error there"),
            "only the last row": (first_row_only, "a layer may have several operators"),
            "layers": (guarded(lambda table, layers, names: layers), "names of layers"),
            "tuples": (guarded(lambda table, layers, names: [(n,) for n in names]), "of tuples"),
            "a part": (
                guarded(lambda table, layers, names: [n.split(";")[0] for n in names]),
                "parts of a name",
            ),
            "one text": (guarded(lambda table, layers, names: names[0]), "one text"),
            "all": (
                guarded(lambda table, layers, names: list(table["outputs"].str[0])),
                "tensors of other layers as well",
            ),
            "the first of each": (
                guarded(lambda table, layers, names: [n for n in names if ":" not in n]),
                "`outputs` may hold several",
            ),
            "parts of layers' names": (
                guarded(
                    lambda table, layers, names: [
                        name
                        for layer, outputs in table.to_numpy()
                        for name in outputs
                        if any(part in layer for part in layers)
                    ]
                ),
                "compare whole names of layers",
            ),
            "rows": (guarded(lambda table, layers, names: [3]), "does not hold texts"),
            "a number": (guarded(lambda table, layers, names: 3), "asked is a list of names"),
            "a list": (["net/stem"], "asked is a function"),
            "nothing": (lambda table, layers: print(end=""), "`return` missing"),
        },
    ),
    checks.check_lamp: Answers(
        right={
            "as computed": findings(),
            "rounded": findings(share=0.08),
            "a NumPy number": findings(share=np.float32(SHARE)),
            "in another order": dict(reversed(findings().items())),
            "a text": findings(share="0.078"),
        },
        wrong={
            "an heir": (findings("block3_pointwise"), "only an heir"),
            "the last good one": (findings("block1_pointwise"), "last good layer"),
            "another layer": (findings("stem"), "no steep fall"),
            "no layer": (findings("block2"), "There is no layer"),
            "per cent": (findings(share=100 * SHARE), "not in per cent"),
            "another share": (findings(share=0.5), "not the share of its codes"),
            "of all codes": (findings(share=0.01), "not the share of its codes"),
            "weights": (findings(cause="weights"), "pile up codes at 127"),
            "too wide": (findings(cause="too wide"), "hardly a code"),
            "another cause": (findings(cause="calibration"), "give one of weights, clipped"),
            "a key less": ({"layer": "block2_depthwise"}, 'Give a dict with "layer"'),
            "a key more": (findings(why="?"), 'Give a dict with "layer"'),
            "a tuple": (("block2_depthwise", SHARE, "clipped"), 'Give a dict with "layer"'),
        },
    ),
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
            "squares": ((0.0998, 19.8), "root of the mean"),
            "squares, in units": ((0.05, 19.8), "root of the mean"),
            "a sum": ((0.632, 19.8), "not a sum of squares"),
            "the largest": ((0.4, 19.8), "the largest error"),
            "with its zero point": ((10.1, -6.6), "The zero point is subtracted"),
            "the natural logarithm": ((0.316, 45.6), "to base 10"),
            "without 10": ((0.316, 1.98), "10 times that"),
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


def test_the_guard_names_the_layers_that_exist():
    with pytest.raises(InputError, match=r"no layer 'blocks'; there are stem, .*, dense"):
        lesson11.tensors_of(lesson11._OPERATORS, ["stem", "blocks"])


def test_the_lamp_is_clipped_in_its_middle_and_the_worst_layer_is_an_heir():
    decibels, highest = lesson11.lamp()
    names = list(decibels)
    broken = names.index(lesson11.steepest_fall(decibels))
    assert names[broken] == "block2_depthwise" and 0 < broken < len(names) - 3
    assert names.index(min(decibels, key=decibels.get)) > broken + 1
    assert 0.05 < highest["block2_depthwise"] < 0.12
    others = [share for name, share in highest.items() if name != "block2_depthwise"]
    assert max(others) < 0.02


def test_nothing_but_a_range_tells_the_lamp_from_a_sound_file():
    graph = reader.read(unseen.path(lesson11.INT8_FILE).read_bytes()).subgraphs[0]
    kinds = {reader.dtype_name(tensor) for tensor in graph.tensors}
    assert kinds == {"INT8", "INT32"}


def test_outputs_are_what_the_layers_table_measures():
    contents = [
        unseen.path(name).read_bytes() for name in (lesson11.FLOAT_FILE, lesson11.INT8_FILE)
    ]
    inputs = data.load("mnist").calibration.images[:100]
    real = runtime.tensor_values(contents[0], inputs)
    codes = runtime.tensor_values(contents[1], runtime.Model(contents[1]).quantize_input(inputs))
    found = layer_errors.outputs(*contents, real, codes)
    decibels = {name: layer_errors.signal_to_noise(*pair) for name, pair in found.items()}
    assert decibels == pytest.approx(lesson11.lamp()[0], abs=1e-3)
    assert list(decibels)[-1] == "softmax"
