"""affine: against QUANTIZE and DEQUANTIZE as runtimes have them, the converter, and float16."""

import struct
import subprocess
import sys
from decimal import ROUND_HALF_UP, Decimal

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import tiny_models
from lessons_lib import affine, fixed_point, half_precision, reader, runtime, tables
from lessons_lib.errors import InputError
from runtimes import answer, needs_micro, on_x86

RNG = np.random.default_rng(3)
TYPES = [("INT8", 8, True), ("UINT8", 8, False), ("INT16", 16, True)]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, (-128, 127)),
        ({"narrow_range": True}, (-127, 127)),
        ({"signed": False}, (0, 255)),
        ({"signed": False, "narrow_range": True}, (1, 255)),
        ({"num_bits": 16}, (-32768, 32767)),
        ({"num_bits": 16, "signed": False}, (0, 65535)),
        ({"num_bits": 4}, (-8, 7)),
        ({"num_bits": 2}, (-2, 1)),
    ],
)
def test_integer_range(arguments, expected):
    assert affine.integer_range(**arguments) == expected


@pytest.mark.parametrize("num_bits", [1, 0, 17, 8.0, "8", None])
def test_num_bits_is_a_whole_number_from_2_to_16(num_bits):
    with pytest.raises(InputError, match="num_bits"):
        affine.integer_range(num_bits)


@pytest.mark.parametrize(
    ("low", "high", "signed", "expected"),
    [
        (0.0, 1.0, True, (1 / 255, -128)),
        (0.0, 1.0, False, (1 / 255, 0)),
        (-1.0, 1.0, True, (2 / 255, -1)),  # -0.5, rounded half away from zero
        (0.5, 2.0, False, (2 / 255, 0)),  # widened to hold 0
        (-3.0, -1.0, False, (3 / 255, 255)),
        (0.0, 0.0, True, (1.0, -128)),  # zeros only: any scale would do
    ],
)
def test_scale_zero_point_by_hand(low, high, signed, expected):
    scale, zero_point = affine.scale_zero_point(low, high, signed=signed)
    assert scale == pytest.approx(expected[0], rel=1e-15)
    assert zero_point == expected[1]


@pytest.mark.parametrize("num_bits", range(2, 17))
@pytest.mark.parametrize("signed", [True, False])
def test_every_range_holds_zero_exactly_and_its_ends_to_half_a_step(num_bits, signed):
    qmin, qmax = affine.integer_range(num_bits, signed)
    for low, high in np.sort(RNG.normal(scale=RNG.uniform(1e-3, 1e3), size=(50, 2))):
        scale, zero_point = affine.scale_zero_point(low, high, num_bits, signed)
        assert qmin <= zero_point <= qmax
        q = affine.quantize([0.0, low, high], scale, zero_point, num_bits, signed)
        error = affine.dequantize(q, scale, zero_point) - [0.0, low, high]
        assert error[0] == 0
        assert np.all(np.abs(error) <= 0.5001 * scale)


@pytest.mark.parametrize(
    ("low", "high"),
    [(1.0, 0.0), (np.nan, 1.0), (0.0, np.inf), (-np.inf, 0.0), (0.0, 1e-44), (-1.7e308, 1.7e308)],
)
def test_a_range_without_a_scale_is_an_error(low, high):
    with pytest.raises(InputError, match=r"has no scale|scale is"):
        affine.scale_zero_point(low, high)


def test_scale_zero_point_of_the_input_equals_the_converters():
    content = tiny_models.converted("cnn", "int8_float_fallback")
    seen = np.stack([image for (image,) in tiny_models.representative_dataset((28, 28, 1))()])
    scale, zero_point = affine.scale_zero_point(seen.min(), seen.max())
    row = tables.tensors(content).query("name == 'tfl.quantize'").iloc[0]
    assert row["scale"] == pytest.approx(scale, rel=2e-7)
    assert row["zero_point"] == zero_point


def test_symmetric_scale_of_numbers_channels_and_zeros():
    assert affine.symmetric_scale(1.27) == pytest.approx(0.01, rel=1e-15)
    assert affine.symmetric_scale(7.0, num_bits=4) == 1.0
    per_channel = affine.symmetric_scale(np.array([0.0, 127.0, 254.0]))
    assert np.array_equal(per_channel, [1.0, 1.0, 2.0])


@pytest.mark.parametrize("max_abs", [-1.0, np.nan, np.inf, [1.0, -2.0], 1e-50, 1e300])
def test_symmetric_scale_refuses_what_is_no_magnitude(max_abs):
    with pytest.raises(InputError, match=r"max_abs holds|scale is"):
        affine.symmetric_scale(max_abs)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_round_half_away_is_exact_at_ties_and_beside_them(dtype):
    ties = np.arange(-300, 301, dtype=dtype) / 2
    x = np.concatenate([ties, np.nextafter(ties, dtype(6e4)), np.nextafter(ties, dtype(-6e4))])
    x = np.concatenate([x, RNG.normal(scale=40, size=500).astype(dtype), dtype([2001, -2047.0])])
    exact = [int(Decimal(float(v)).quantize(Decimal(1), ROUND_HALF_UP)) for v in x]
    rounded = affine.round_half_away(x)
    assert rounded.dtype == dtype
    assert np.array_equal(rounded, exact)


def test_round_half_away_takes_integers_and_large_floats():
    assert np.array_equal(affine.round_half_away([3, -4]), [3.0, -4.0])
    large = np.float32([4194304.5, 8388609.0, 16777217.0, -3e38])
    assert np.array_equal(affine.round_half_away(large), np.float32([4194305, *large[1:]]))


@pytest.mark.parametrize(("dtype", "num_bits", "signed"), TYPES)
@pytest.mark.parametrize("scale", [0.5, 1 / 255, 0.0235294122248888, 3.0e-5, 17.0, 1e-38])
def test_quantize_and_dequantize_equal_tflites_operators(dtype, num_bits, signed, scale):
    qmin, qmax = affine.integer_range(num_bits, signed)
    for zero_point in [0] if dtype == "INT16" else [qmin, 3, 100, qmax]:
        x = _values_around(scale, qmin, qmax)
        content = _round_trip(dtype, len(x), scale, zero_point)
        interpreter = tiny_models.run(content, x)
        q = affine.quantize(x, scale, zero_point, num_bits, signed)
        assert q.dtype == np.dtype(dtype.lower())
        assert np.array_equal(q, interpreter.get_tensor(1))
        back = affine.dequantize(q, scale, zero_point)
        assert back.dtype == np.float32
        assert np.array_equal(back, interpreter.get_tensor(2))


TIES = np.float32([[0.5, 1.5, 2.5, 3.5, -0.5, -1.5, -2.5, -3.5, 0.5, -2.5, 0.4999]])


@pytest.mark.parametrize("kernels", ["reference", pytest.param("tflm", marks=needs_micro)])
def test_quantize_rounds_ties_as_the_reference_kernels_and_tflite_micro_do(kernels):
    found = answer(_quantize_alone(), TIES, kernels)
    assert np.array_equal(found, affine.quantize(TIES, 1.0, 0))
    assert np.array_equal(found, affine.round_half_away(TIES))


@on_x86
def test_the_default_kernels_round_ties_of_quantize_to_even():
    found = answer(_quantize_alone(), TIES, "xnnpack")
    assert np.array_equal(found, np.rint(TIES))
    assert not np.array_equal(found, affine.quantize(TIES, 1.0, 0))


@on_x86
def test_the_builtin_kernels_round_to_even_in_whole_vectors_of_eight():
    found = answer(_quantize_alone(), TIES, "builtin")
    assert np.array_equal(found[:, :8], np.rint(TIES[:, :8]))
    assert np.array_equal(found[:, 8:], affine.round_half_away(TIES[:, 8:]))


def _quantize_alone():
    """A file that is one QUANTIZE, with scale 1 and zero point 0."""
    tensors = [
        tiny_models.tensor("x", "FLOAT32", TIES.shape),
        tiny_models.tensor("q", "INT8", TIES.shape, 1.0, 0),
    ]
    operator = ("QUANTIZE", schema.QuantizeOptionsT(), [0], [1])
    return tiny_models.assemble(tensors, [operator], [0], [1])


def _values_around(scale, qmin, qmax):
    """Random values, ties, the floats beside ties, the ends and far beyond them."""
    steps = np.concatenate([np.arange(-300, 300) + 0.5, [qmin - 0.5, qmax + 0.5]])
    ties = (steps * np.float32(scale)).astype(np.float32)
    beside = [np.nextafter(ties, np.float32(sign) * np.float32(3e38)) for sign in (-1, 1)]
    spread = RNG.normal(scale=(qmax - qmin) * scale, size=2000).astype(np.float32)
    far = np.float32(scale) * np.float32([-2e9, 2e9, -1e5, 1e5, 0.0, -0.0])
    return np.concatenate([ties, *beside, spread, far])


def _round_trip(dtype, count, scale, zero_point):
    """A file with a QUANTIZE and a DEQUANTIZE."""
    tensors = [
        tiny_models.tensor("x", "FLOAT32", [count]),
        tiny_models.tensor("q", dtype, [count], scale, zero_point),
        tiny_models.tensor("y", "FLOAT32", [count]),
    ]
    operators = [
        ("QUANTIZE", schema.QuantizeOptionsT(), [0], [1]),
        ("DEQUANTIZE", schema.DequantizeOptionsT(), [1], [2]),
    ]
    return tiny_models.assemble(tensors, operators, [0], [2])


def test_quantize_equals_the_first_operator_of_a_converted_model():
    content = tiny_models.converted("cnn", "int8_float_fallback")
    first = tables.operators(content).iloc[0]
    assert (first["operator"], first["dtypes"]) == ("QUANTIZE", "FLOAT32 -> INT8")
    row = tables.tensors(content).query("name == @first.outputs[0]").iloc[0]
    image = tiny_models.images((1, 28, 28, 1), count=1)[0] * 1.2 - 0.1
    ran = tiny_models.run(content, image).get_tensor(row["index"])
    assert np.array_equal(affine.quantize(image, row["scale"], row["zero_point"]), ran)


@on_x86
def test_the_first_operator_of_a_fallback_file_rounds_ties_to_even_by_default():
    content = tiny_models.converted("cnn", "int8_float_fallback")
    row = tables.tensors(content).query("name == 'tfl.quantize'").iloc[0]
    scale, zero_point = np.float32(row["scale"]), row["zero_point"]
    image = (np.resize(np.arange(0.5, 200), (1, 28, 28, 1)) * scale).astype(np.float32)
    ran = runtime.tensor_values(content, image, kernels="xnnpack")[row["index"]]
    assert np.array_equal(ran, np.rint(image * (1 / scale)) + zero_point)  # XNNPACK multiplies
    different = ran != affine.quantize(image, scale, zero_point)
    assert different.mean() > 0.3
    assert np.all(np.abs(image / scale % 1 - 0.5)[different] < 1e-4)  # only at ties


@pytest.mark.parametrize(
    ("name", "path", "operator", "layer", "order"),
    [
        ("cnn", "int8", "CONV_2D", 2, (3, 0, 1, 2)),
        ("cnn", "int8", "FULLY_CONNECTED", 5, (1, 0)),
        ("cnn", "uint8", "FULLY_CONNECTED", 5, (1, 0)),
        ("cnn", "int16x8", "CONV_2D", 2, (3, 0, 1, 2)),
        ("depthwise", "int8", "DEPTHWISE_CONV_2D", 0, (3, 0, 1, 2)),  # one channel holds zeros
    ],
)
def test_weights_equal_the_converters(name, path, operator, layer, order):
    weights = _kernel(name, layer, order)
    stored, row = _stored_weights(tiny_models.converted(name, path), weights.shape)
    max_abs = _magnitude_per_channel(weights, row["quantized_dimension"])
    scale = affine.symmetric_scale(max_abs)
    q = affine.quantize(weights, scale, 0, narrow_range=True)
    assert np.mean(q != stored) < 1e-4  # at a tie, the converter may round the other way
    assert np.abs(q.astype(int) - stored).max() <= 1
    used = max_abs.ravel() > 0
    assert used.sum() == len(used) - (name == "depthwise")
    np.testing.assert_allclose(scale.ravel()[used], row["scale"][used], rtol=2e-7)
    assert row["zero_point"].tolist() == [0] * len(used)


@pytest.mark.parametrize(
    ("real", "expected"),
    [
        (0.0, (0, 0)),
        (0.5, (2**30, 0)),
        (1.0, (2**30, 1)),
        (0.02, (1374389535, -5)),  # 0.64 * 2**31, and 0.64 / 2**5
        (1 - 2**-32, (2**30, 1)),  # rounded up to 2**31: halved, shifted
        (1 - 2**-31, (2**31 - 1, 0)),
        (2.0**-32, (2**30, -31)),
        (np.nextafter(2.0**-32, 0), (2**30, -31)),  # also rounded up
        (2.0**-33, (0, 0)),  # shifts out every bit of an accumulator
        (2.0**-1074, (0, 0)),
        (2.0**30 - 1, (2**31 - 2, 30)),
    ],
)
def test_multiplier_shift_by_hand(real, expected):
    assert fixed_point.multiplier_shift(real) == expected


def test_multiplier_shift_is_exact_to_31_bits():
    real = np.exp2(RNG.uniform(-31.9, 29.9, size=(100, 10)))
    multiplier, shift = fixed_point.multiplier_shift(real)
    assert (multiplier.dtype, shift.dtype) == (np.int32, np.int32)
    assert multiplier.min() >= 2**30
    assert np.all((shift >= -31) & (shift <= 30))
    written = np.ldexp(multiplier.astype(float), shift - 31)
    assert np.max(np.abs(written / real - 1)) <= 2.0**-31
    again = fixed_point.multiplier_shift(written)
    assert np.array_equal(again, (multiplier, shift))


def test_multiplier_shift_of_an_array_is_that_of_its_numbers():
    real = np.array([[0.0, 0.3, 2.0**-40], [7.0, 1 - 2**-40, 2e-9]])
    multiplier, shift = fixed_point.multiplier_shift(real)
    one_by_one = [fixed_point.multiplier_shift(number) for number in real.ravel()]
    assert [*zip(multiplier.ravel(), shift.ravel(), strict=True)] == one_by_one
    assert all(type(part) is int for pair in one_by_one for part in pair)


@pytest.mark.parametrize("real", [-1e-3, np.nan, np.inf, 2.0**30, [0.5, -0.5]])
def test_multiplier_shift_refuses_what_is_no_multiplier(real):
    with pytest.raises(InputError, match=r"real_multiplier is .*lesson 09"):
        fixed_point.multiplier_shift(real)


@pytest.mark.parametrize("num_bits", [4, 8])
@pytest.mark.parametrize("axis", [0, 3, -1])
def test_per_channel_scale_puts_each_channels_largest_weight_at_the_end(axis, num_bits):
    weights = RNG.normal(size=(5, 3, 2, 4)) * RNG.uniform(0.01, 10, size=4)
    scale = affine.per_channel_scale(weights, axis, num_bits)
    assert scale.shape == tuple(n if a == axis % 4 else 1 for a, n in enumerate(weights.shape))
    q = affine.quantize(weights, scale, 0, num_bits, narrow_range=True)
    largest = np.abs(q).max(axis=tuple(a for a in range(4) if a != axis % 4))
    assert np.all(largest == 2 ** (num_bits - 1) - 1)


def test_per_channel_scale_of_zeros_is_one():
    weights = np.float32([[0, 0], [1.27, -2.54]])
    assert affine.per_channel_scale(weights, 0).ravel().tolist() == pytest.approx([1.0, 0.02])


@pytest.mark.parametrize(
    ("weights", "axis"),
    [(np.ones((2, 3)), 2), (np.ones((2, 3)), -3), (1.0, 0), (np.ones((0, 3)), 1)],
)
def test_per_channel_scale_needs_channels(weights, axis):
    with pytest.raises(InputError, match=r"no channels along axis .*lesson 10"):
        affine.per_channel_scale(weights, axis)


def test_per_channel_scale_refuses_what_is_not_finite():
    with pytest.raises(InputError, match="weights holds nan"):
        affine.per_channel_scale([[1.0, np.nan]], 0)


def test_quantize_bias_by_hand():
    q = affine.quantize_bias([0.27, -0.25, 0.0, 1.0], 0.02, 0.005)
    assert (q.dtype, q.tolist()) == (np.int32, [2700, -2500, 0, 10000])
    halves = affine.quantize_bias([0.75, -0.75], 0.5, np.array([[1.0], [0.125]]))
    assert halves.tolist() == [2, -12]  # 1.5 away from zero, and a scale for each channel


@pytest.mark.parametrize(
    ("name", "layer", "shape", "axis"),
    [("cnn", 0, (16, 3, 3, 1), 0), ("cnn", 2, (32, 3, 3, 16), 0), ("cnn", 5, (64, 800), 0)],
)
def test_biases_equal_the_converters(name, layer, shape, axis):
    content = tiny_models.converted(name, "int8")
    operators, table = tables.operators(content), tables.tensors(content).set_index("name")
    weight = table.index[(table["shape"] == shape) & (table["role"] == "weight")][0]
    names = next(inputs for inputs in operators["inputs"] if weight in inputs)
    weights = _kernel(name, layer, (3, 0, 1, 2) if len(shape) == 4 else (1, 0))
    scale = affine.per_channel_scale(weights, axis)
    bias = getattr(tiny_models, name)().layers[layer].bias.numpy()
    q = affine.quantize_bias(bias, table["scale"][names[0]], scale)
    assert np.array_equal(q, reader.constant(content, names[2]))
    assert np.abs(q).max() > 100


@pytest.mark.parametrize(
    ("bias", "input_scale", "weight_scale", "message"),
    [
        ([np.inf], 0.1, 0.1, "bias holds inf"),
        ([1.0], 0.0, 0.1, "scale is 0"),
        ([1.0], 0.1, [-0.1], "scale is -0.1"),
        ([1.0, 2.0], 0.1, [0.1, 0.2, 0.3], "2 biases and 3 weight scales"),
        ([0.0, 2.0], 1e-5, [1e-5, 9e-5], r"bias of 2 is 2.2e\+09 steps .*lesson 10"),
        ([0.0, 1.0, 4.0], 1e-5, 1e-5, r"bias of 1 is 1e\+10 steps .*enlarge its weight scale"),
    ],
)
def test_quantize_bias_refuses(bias, input_scale, weight_scale, message):
    with pytest.raises(InputError, match=message):
        affine.quantize_bias(bias, input_scale, weight_scale)


def test_a_bias_uses_all_of_int32():
    assert affine.quantize_bias([2.0**31 - 128], 1.0, 1.0).tolist() == [2**31 - 128]


def test_dynamic_range_divides_in_float64():
    weights = _kernel("cnn", 5, (1, 0))
    stored, row = _stored_weights(tiny_models.converted("cnn", "dynamic_range"), weights.shape)
    scale = affine.symmetric_scale(_magnitude_per_channel(weights, 0))
    assert np.array_equal(affine.round_half_away(weights.astype(np.float64) / scale), stored)
    q = affine.quantize(weights, scale, 0, narrow_range=True)
    assert np.mean(q != stored) < 1e-4
    np.testing.assert_allclose(scale.ravel(), row["scale"], rtol=2e-7)


def _kernel(name, layer, order):
    """A layer's weights in the axis order of TFLite."""
    return getattr(tiny_models, name)().layers[layer].kernel.numpy().transpose(order)


def _stored_weights(content, shape):
    """The stored array of that shape, and its row in the table of tensors."""
    table = tables.tensors(content)
    row = table[(table["shape"] == shape) & (table["role"] == "weight")].iloc[0]
    return reader.constant(content, row["name"]), row


def _magnitude_per_channel(weights, channel_axis):
    others = tuple(axis for axis in range(weights.ndim) if axis != channel_axis)
    return np.abs(weights).max(axis=others, keepdims=True)


@pytest.mark.parametrize(("num_bits", "signed"), [(b, s) for b in range(2, 17) for s in (1, 0)])
def test_quantize_saturates_in_the_smallest_container(num_bits, signed):
    qmin, qmax = affine.integer_range(num_bits, signed)
    q = affine.quantize(np.float32([-3e38, 3e38]), 1e-3, qmin, num_bits, signed)
    assert q.tolist() == [qmin, qmax]
    assert q.dtype == f"{'int' if signed else 'uint'}{8 if num_bits <= 8 else 16}"


@pytest.mark.parametrize(
    ("x", "scale", "zero_point"),
    [
        (np.zeros((2, 4)), [0.1, 0.2], 0),  # a scale for each row needs the shape (2, 1)
        (np.zeros((2, 4)), 0.1, [0, 1, 2]),
        (np.zeros(4), [[0.1], [0.2]], 0),
        (0.5, 0.1, [0, 1]),
    ],
)
def test_scales_and_zero_points_that_do_not_fit_are_refused(x, scale, zero_point):
    with pytest.raises(InputError, match=r"x has shape .*\(channels, 1\)"):
        affine.quantize(x, scale, zero_point)
    with pytest.raises(InputError, match=r"q has shape .*\(channels, 1\)"):
        affine.dequantize(np.zeros(np.shape(x), np.int8), scale, zero_point)


def test_quantize_keeps_the_shape_and_broadcasts_per_channel():
    assert affine.quantize(0.5, 0.1, 0) == 5
    x = np.float32([[1, 2], [-3, 400]])
    scale, zero_point = np.float32([[0.5], [1.0]]), np.array([[0], [10]])
    q = affine.quantize(x, scale, zero_point)
    assert q.tolist() == [[2, 4], [7, 127]]
    assert affine.dequantize(q, scale, zero_point).tolist() == [[1, 2], [-3, 117]]


def test_dequantize_rounds_a_32_bit_product_once():
    q, scale = np.int32([2**31 - 1, -(2**31), 16777217]), np.float32(1 / 3)
    exact = q.astype(np.longdouble) * np.longdouble(scale)
    assert np.array_equal(affine.dequantize(q, scale, 0), exact.astype(np.float32))


@pytest.mark.parametrize("x", [np.nan, [1.0, np.inf], np.float64(1e39)])
def test_quantize_refuses_what_is_not_finite_in_float32(x):
    with pytest.raises(InputError, match="x holds"):
        affine.quantize(x, 0.1, 0)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf, [0.1, 0.0], 1e-60])
def test_a_scale_is_positive_and_finite(scale):
    with pytest.raises(InputError, match="scale is"):
        affine.quantize([1.0, 2.0], scale, 0)
    with pytest.raises(InputError, match="scale is"):
        affine.dequantize(np.int8([1, 2]), scale, 0)


def test_integers_are_integers():
    with pytest.raises(InputError, match="zero_point is 128"):
        affine.quantize(1.0, 0.1, 128)
    with pytest.raises(InputError, match="zero_point has dtype float64"):
        affine.quantize(1.0, 0.1, 0.5)
    with pytest.raises(InputError, match="q has dtype float32"):
        affine.dequantize(np.float32([1]), 0.1, 0)
    with pytest.raises(InputError, match="zero_point has dtype float64"):
        affine.dequantize(np.int8([1]), 0.1, 0.0)


@pytest.mark.parametrize(
    ("x", "bits"),
    [
        (1.0, ("0", "01111", "0000000000")),
        (-2.0, ("1", "10000", "0000000000")),
        (0.1, ("0", "01011", "1001100110")),
        (65504, ("0", "11110", "1111111111")),
        (65520, ("0", "11111", "0000000000")),
        (2.0**-24, ("0", "00000", "0000000001")),
        (-0.0, ("1", "00000", "0000000000")),
    ],
)
def test_float16_bits_by_hand(x, bits):
    assert half_precision.bits(x) == bits


def test_float16_bits_and_spacing_of_every_finite_half():
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    for half in halves[::37]:
        written = int("".join(half_precision.bits(half)), 2)
        assert struct.pack(">e", float(half)) == written.to_bytes(2, "big")
    spacing = half_precision.spacing(halves)
    # Not below 0, where NumPy's own looks the other way, and not at the last, where it is inf.
    usual = (halves >= 0) & (halves < 65504)
    assert np.array_equal(spacing[usual], np.spacing(halves[usual]))
    assert np.array_equal(spacing, half_precision.spacing(-halves))
    assert half_precision.spacing(65504) == 32.0


def test_what_a_float16_file_keeps_saturates_and_vanishes():
    kept = half_precision.saturated([1e5, -np.inf, 65504, 0.1, 1e-9, -2e-8])
    assert kept.dtype == np.float32
    assert kept.tolist() == [65504, -65504, 65504, np.float32(np.float16(0.1)), 0, 0]


@pytest.mark.parametrize("x", [np.nan, np.inf, 65520.0, [1.0, 1e6]])
def test_float16_spacing_refuses_what_float16_cannot_hold(x):
    with pytest.raises(InputError, match="float16"):
        half_precision.spacing(x)


def test_float16_bits_takes_one_number():
    with pytest.raises(InputError, match="one number"):
        half_precision.bits([1.0, 2.0])


def test_tensorflow_is_not_imported():
    rooms = "import sys; from lessons_lib import affine, reader, tables"
    code = f"{rooms}; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
