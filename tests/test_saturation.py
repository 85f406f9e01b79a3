"""Filters of nothing: a bias that 32 bits do not hold in the steps of its weights."""

import numpy as np
import pytest

from kept import kept
from lessons_lib import every_path, reader, runtime, saturation, tables

PATHS = ("int8", "int8x4", "int16x8")
SEED = 0


def samples():
    return np.random.default_rng(SEED).normal(size=(40, 8, 8, 3)).astype("float32")


def float_file(tmp_path):
    """A convolution, a depthwise one and a dense layer, each with a channel of no weights."""

    def make():
        from lessons_lib.system.quiet import tensorflow

        layers = tensorflow().keras.layers
        convolutions = [layers.Conv2D(4, 3), layers.DepthwiseConv2D(3)]
        inputs = tensorflow().keras.Input((8, 8, 3))
        model = tensorflow().keras.Sequential(
            [inputs, *convolutions, layers.Flatten(), layers.Dense(4)]
        )
        weights = model.get_weights()
        weights[0][..., 0], weights[1][0] = 0, 0.5
        weights[2][:, :, 1], weights[3][1] = 1e-20, 0.7
        weights[4][:, 2], weights[5][2] = 0, 0.9
        model.set_weights(weights)
        return every_path.convert(model, None, tmp_path, names=["float32"])["float32"].read_bytes()

    return kept("dead_channels", make)


@pytest.mark.parametrize("path", PATHS)
def test_a_channel_without_weights_answers_its_bias(path, tmp_path):
    content = float_file(tmp_path)
    result = every_path.convert(content, samples(), tmp_path, names=[path])[path]
    expected, found = (runtime.Model(file).predict(samples()) for file in (content, result))
    assert expected[:, 2] == pytest.approx(0.9)
    assert found[:, 2] == pytest.approx(0.9, abs=0.02)


def test_the_quantizers_own_file_answers_nothing_there(tmp_path, monkeypatch):
    """The control: without the mend the bias is the largest number, and counts for nothing."""
    from lessons_lib import by_litert, calibration, signature

    content = by_litert.prepared(float_file(tmp_path))
    monkeypatch.setattr(saturation, "mend", lambda result, content: result)
    entries = by_litert.quantizer_recipe(by_litert.plan(content, "int8"), "int8")
    guarded = calibration.guard(samples(), signature.of_file(content))
    spoilt = by_litert.run(content, entries, by_litert.record(content, guarded))
    table = tables.tensors(spoilt)
    biases = [reader.constant(spoilt, name) for name in table.loc[table["role"] == "bias", "name"]]
    assert [np.abs(bias.astype(np.int64)).max() for bias in biases] == [2**31 - 1] * 3
    assert np.abs(runtime.Model(spoilt).predict(samples())[:, 2] - 0.9).max() > 0.5
    monkeypatch.undo()
    mended = saturation.mend(spoilt, content)
    assert len(mended) >= len(spoilt)
    assert saturation.mend(mended, content) == mended


def test_a_file_without_such_a_bias_stays_as_it_is(tmp_path):
    content = float_file(tmp_path)
    assert saturation.mend(content, content) == content
