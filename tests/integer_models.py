"""Single-operator integer models that hypothesis draws, with scales and zero points of all kinds.

Each strategy of ``OPERATORS`` yields a ``Case``: a ``.tflite`` written by hand, an input for it,
and the runtimes that take it. Hypothesis draws the structure; numbers come from a generator whose
seed it draws. Multipliers are such that outputs neither all vanish nor all saturate, and often a
power of two: then many results lie at a tie, where the runtimes round differently.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from hypothesis import strategies as st

from lessons_lib import reader
from tiny_models import assemble, pack, tensor

ACTIVATIONS = ("NONE", "RELU", "RELU6", "RELU_N1_TO_1")
LOW, HIGH = -128, 127
LITERT = ("reference", "builtin", "xnnpack")
RUNTIMES = (*LITERT, "tflm")


@dataclass(frozen=True)
class Case:
    """A model of one operator, its input (native dtype, shape (N, ...)), and who can run it."""

    content: bytes
    x: np.ndarray
    what: str
    runtimes: tuple[str, ...] = RUNTIMES

    def __repr__(self) -> str:
        return f"Case({self.what})"


class Source(NamedTuple):
    """The input of a model."""

    array: np.ndarray
    scale: float
    zero_point: int

    @property
    def shape(self):
        return self.array.shape


def case(operator, options, x, constants, y, what="", runtimes=RUNTIMES, order=None):
    """A model in which ``operator`` takes ``x`` (a Source) and the constants, and gives ``y``.

    ``y`` is a list where there are several. ``order``: the places of its inputs, ``x`` being 0.
    """
    dtype = str(x.array.dtype).upper()
    ys = y if isinstance(y, list) else [y]
    tensors = [tensor("x", dtype, x.shape, x.scale, x.zero_point), *constants, *ys]
    first = len(tensors) - len(ys)
    places = list(range(first)) if order is None else order
    outputs = list(range(first, len(tensors)))
    content = assemble(tensors, [(operator, options, places, outputs)], [0], outputs)
    what = f"{operator} of {dtype} {x.shape}, scale {x.scale:.3g}, {x.zero_point}; {what}"
    return Case(content, x.array, what, runtimes)


def of_version(number, content):
    """The same model with another version of its operator: the runtimes have no first one."""
    model = reader.read(content)
    model.operatorCodes[0].version = number
    return pack(model)


def output(shape, scale, zero_point, dtype="INT8"):
    return tensor("y", dtype, shape, scale, zero_point)


def integers(name, values):
    """A constant of int32, without a scale."""
    values = np.asarray(values, np.int32)
    return tensor(name, "INT32", values.shape, data=values)


# ---- numbers

generators = st.integers(0, 2**32 - 1).map(np.random.default_rng)
# Powers of two end at 1: the bounds of an activation are no ties then (see ``clipped_at_a_tie``).
exponents = generators.map(lambda g: g.choice([g.uniform(-7, 1), g.integers(-7, 1)]))
scales = exponents.map(lambda exponent: float(np.float32(2.0**exponent)))
zero_points = generators.map(lambda g: int(g.choice([LOW, 0, HIGH, *g.integers(LOW, HIGH, 3)])))


def near(scale):
    """Scales within three octaves of ``scale``; many are a power of two away, or the same."""

    def times_power(generator):
        exponent = generator.choice([-1.0, 0.0, 1.0, 2.0, *generator.uniform(-3, 3, 6)])
        return float(np.float32(scale * 2.0**exponent))

    return generators.map(times_power)


def int8(generator, shape):
    """Random int8 values; a quarter of them are at the ends of the range."""
    ends = generator.choice([LOW, HIGH], shape)
    inside = generator.integers(LOW, HIGH + 1, shape)
    return np.where(generator.random(shape) < 0.25, ends, inside).astype(np.int8)


# ---- inputs


def inputs(shape):
    """A Source of int8."""
    arrays = generators.map(lambda generator: int8(generator, shape))
    return st.builds(Source, arrays, scales, zero_points)


def as_uint8(x):
    """The same Source in the codes of uint8."""
    return Source((x.array.astype(np.int16) + 128).astype(np.uint8), x.scale, x.zero_point + 128)


def as_int16(x):
    """A Source of 16-bit codes, which are symmetric, about as large in real numbers."""
    fine = np.random.default_rng(len(x.array)).integers(-128, 128, x.shape)
    codes = (x.array.astype(np.int32) * 256 + fine).clip(-(2**15), 2**15 - 1).astype(np.int16)
    return Source(codes, float(np.float32(x.scale / 256)), 0)


SIDES = st.integers(1, 9)
CHANNELS = st.integers(1, 5) | st.integers(6, 40)  # SIMD code treats the rest of a block apart
images = st.tuples(st.integers(1, 3), SIDES, SIDES, CHANNELS).flatmap(inputs)
rows = st.tuples(st.integers(1, 4), st.integers(1, 40)).flatmap(inputs)


# ---- convolutions and pools


class Window(NamedTuple):
    """How a filter or a pool moves over images."""

    size: list[int]
    strides: list[int]
    dilations: list[int]
    same: bool

    @property
    def padding(self):
        return schema.Padding.SAME if self.same else schema.Padding.VALID

    def sides_after(self, shape):
        """Height and width of what it makes of images of ``shape``."""
        return [
            -(-side // stride) if self.same else (side - (size - 1) * dilation - 1) // stride + 1
            for side, size, stride, dilation in zip(
                shape[1:3], self.size, self.strides, self.dilations, strict=True
            )
        ]


@st.composite
def windows(draw, shape, dilated=False, square=False):
    """A Window that fits into images of ``shape``; dilated ones have stride 1."""
    same, dilated = draw(st.booleans()), dilated and draw(st.booleans())
    size = [draw(st.integers(1, 4 if same else min(4, side))) for side in shape[1:3]]
    strides, dilations = [1, 1], [1, 1]
    if dilated:
        room = [(side - 1) // max(n - 1, 1) for side, n in zip(shape[1:3], size, strict=True)]
        dilations = [draw(st.integers(1, 3 if same else max(1, min(3, most)))) for most in room]
    else:
        strides = [draw(st.integers(1, 3)) for _ in size]
    return Window(size, strides[:1] * 2 if square else strides, dilations, same)


def fused(name):
    return getattr(schema.ActivationFunctionType, name)


@st.composite
def multipliers(draw, channels, fan_in, magnitude):
    """A real multiplier for each channel, or one for all, that brings the sums to int8's range."""
    generator = draw(generators)
    powers = np.log2(100 / (np.sqrt(fan_in) * 64 * magnitude)) + generator.uniform(-3, 3)
    if draw(st.booleans()):
        powers = powers + generator.uniform(-2, 2, channels)
    if draw(st.booleans()):
        powers = np.round(powers)
    return np.exp2(np.broadcast_to(powers, channels))


@st.composite
def weighted(draw, x, shape, axis, fan_in, bias=True, bias_types=("INT64",)):
    """Weights and a bias for an operator of ``x``, and the scale of its output.

    ``axis`` is that of the output channels. Where all channels have one scale, it may be stored
    once (per-tensor) or for each of them. Those of uint8 have one scale and any zero point, as
    before TFLite's 8-bit specification; beside 16-bit codes the bias has 64 bits.
    """
    if x.array.dtype == np.uint8:
        return draw(weighted_uint8(x, shape, axis, fan_in, bias))
    generator, magnitude = draw(generators), draw(st.sampled_from([1, 8, 127]))
    channels = shape[axis]
    wide = x.array.dtype == np.int16
    wanted, scale = draw(multipliers(channels, fan_in, magnitude)), draw(scales)
    scale = float(np.float32(scale / 256 if wide else scale))
    weight_scales = np.float32(wanted * scale / x.scale)
    if np.all(weight_scales == weight_scales[0]) and draw(st.booleans()):
        weight_scales = weight_scales[:1]
    weights = generator.integers(-magnitude, magnitude + 1, shape).astype(np.int8)
    constants = [tensor("w", "INT8", shape, weight_scales, 0, axis, weights)]
    if bias:
        most = int(50 / wanted.min()) + 1
        values = generator.integers(-most, most + 1, channels) * (256 if wide else 1)
        dtype = draw(st.sampled_from(bias_types)) if wide else "INT32"
        bias_scales, stored = np.float32(x.scale) * weight_scales, values.astype(dtype.lower())
        constants.append(tensor("b", dtype, (channels,), bias_scales, 0, 0, stored))
    return constants, scale


@st.composite
def weighted_uint8(draw, x, shape, axis, fan_in, bias):
    generator, channels = draw(generators), shape[axis]
    scale, zero_point = (
        draw(scales),
        int(generator.choice([0, 128, *generator.integers(1, 256, 3)])),
    )
    wanted = draw(multipliers(1, fan_in, 127)).item()
    weight_scale = float(np.float32(wanted * scale / x.scale))
    weights = generator.integers(0, 256, shape).astype(np.uint8)
    said = draw(st.sampled_from([0, axis]))  # XNNPACK takes a depthwise filter of axis 0 only
    constants = [tensor("w", "UINT8", shape, weight_scale, zero_point, said, weights)]
    if bias:
        most = int(50 / wanted) + 1
        values = generator.integers(-most, most + 1, channels).astype(np.int32)
        bias_scale = np.float32(x.scale) * np.float32(weight_scale)
        constants.append(tensor("b", "INT32", (channels,), bias_scale, 0, 0, values))
    return constants, scale


def bias_type(constants):
    """The dtype of the bias, the last of the constants, where there is one."""
    return constants[1][0].type if len(constants) > 1 else schema.TensorType.FLOAT32


def runtimes_for(dtype, runtimes=RUNTIMES):
    """TFLite-Micro has no layers of uint8."""
    return tuple(name for name in runtimes if dtype != "uint8" or name != "tflm")


def any_zero_point(draw, dtype):
    return 0 if dtype == "int16" else draw(zero_points) + 128 * (dtype == "uint8")


@st.composite
def conv_2d(draw, bias=True, dtype="int8"):
    x, filters = in_dtype(draw(images), dtype), draw(CHANNELS)
    name = draw(st.sampled_from(ACTIVATIONS))
    window = draw(windows(x.shape, dilated=True))
    shape = (filters, *window.size, x.shape[3])
    bias_types = ("INT64", "INT32")
    constants, scale = draw(weighted(x, shape, 0, np.prod(shape[1:]), bias, bias_types))
    options = schema.Conv2DOptionsT(
        padding=window.padding,
        strideH=window.strides[0],
        strideW=window.strides[1],
        dilationHFactor=window.dilations[0],
        dilationWFactor=window.dilations[1],
        fusedActivationFunction=fused(name),
        quantizedBiasType=bias_type(constants),
    )
    shape = (len(x.array), *window.sides_after(x.shape), filters)
    y = output(shape, scale, any_zero_point(draw, dtype), dtype.upper())
    runtimes = RUNTIMES if bias else ("tflm",)  # LiteRT's kernels want one
    what = f"{window} {name}"
    return case("CONV_2D", options, x, constants, y, what, runtimes_for(dtype, runtimes))


@st.composite
def depthwise_conv_2d(draw, bias=True, dtype="int8"):
    x, times = in_dtype(draw(images), dtype), draw(st.integers(1, 3))
    name = draw(st.sampled_from(ACTIVATIONS))
    window = draw(windows(x.shape, dilated=True, square=True))
    channels = x.shape[3] * times
    shape = (1, *window.size, channels)
    constants, scale = draw(weighted(x, shape, 3, np.prod(window.size), bias))
    options = schema.DepthwiseConv2DOptionsT(
        padding=window.padding,
        strideH=window.strides[0],
        strideW=window.strides[1],
        depthMultiplier=times,
        dilationHFactor=window.dilations[0],
        dilationWFactor=window.dilations[1],
        fusedActivationFunction=fused(name),
    )
    shape = (len(x.array), *window.sides_after(x.shape), channels)
    y = output(shape, scale, any_zero_point(draw, dtype), dtype.upper())
    runtimes = RUNTIMES if bias else ("reference", "tflm")  # the builtin kernel crashes
    what = f"{window} times {times} {name}"
    return case("DEPTHWISE_CONV_2D", options, x, constants, y, what, runtimes_for(dtype, runtimes))


@st.composite
def fully_connected(draw, dtype="int8"):
    features, units = draw(st.integers(1, 80) | st.integers(700, 900)), draw(CHANNELS)
    x = in_dtype(draw(inputs((draw(st.integers(1, 5)), features))), dtype)
    name = draw(st.sampled_from(ACTIVATIONS))
    shape, types = (units, features), ("INT64", "INT32")
    constants, scale = draw(weighted(x, shape, 0, features, draw(st.booleans()), types))
    options = schema.FullyConnectedOptionsT(
        fusedActivationFunction=fused(name), quantizedBiasType=bias_type(constants)
    )
    y = output((len(x.array), units), scale, any_zero_point(draw, dtype), dtype.upper())
    what = f"{units} units, bias {len(constants) > 1}, {name}"
    return case("FULLY_CONNECTED", options, x, constants, y, what, runtimes_for(dtype))


def dense_at_ties(input_scale, per_channel):
    """A dense layer whose multiplier is 1/8, or the next number that float32 scales can give.

    One sum in eight is at a tie, or beside one by less than 31 bits can tell.
    """
    generator = np.random.default_rng(0)
    x = Source(int8(generator, (40, 30)), float(np.float32(input_scale)), 3)
    weights = generator.integers(-9, 10, (24, 30)).astype(np.int8)
    scale = np.full(24 if per_channel else 1, 1 / 8 / x.scale, np.float32)
    constants = [tensor("w", "INT8", weights.shape, scale, 0, 0, weights)]
    options = schema.FullyConnectedOptionsT()
    return case("FULLY_CONNECTED", options, x, constants, output((40, 24), 1.0, -5))


def clipped_at_a_tie(operator, activation, scale, zero_point):
    """An operator whose activation ends half-way between two codes of ``scale``."""
    generator, shape = np.random.default_rng(0), (2, 4, 4, 8)
    x = Source(int8(generator, shape), scale, zero_point)
    end, constants = fused(activation), []
    if operator == "ADD":
        other = int8(generator, shape)
        constants = [tensor("other", "INT8", shape, scale, zero_point, data=other)]
        options = schema.AddOptionsT(fusedActivationFunction=end)
    elif operator == "MAX_POOL_2D":
        sides = dict.fromkeys(("strideH", "strideW", "filterHeight", "filterWidth"), 1)
        options = schema.Pool2DOptionsT(fusedActivationFunction=end, **sides)
    else:
        weights = tensor("w", "INT8", (8, 1, 1, 8), 0.25, 0, data=np.eye(8, dtype=np.int8) * 4)
        bias = tensor("b", "INT32", (8,), 0.25 * scale, 0, data=np.zeros(8, np.int32))
        constants, steps = [weights, bias], {"strideH": 1, "strideW": 1}
        options = schema.Conv2DOptionsT(fusedActivationFunction=end, **steps)
    return case(operator, options, x, constants, output(shape, scale, zero_point), activation)


@st.composite
def pool_2d(draw, operator, dtype="int8"):
    x, name = in_dtype(draw(images), dtype), draw(st.sampled_from(ACTIVATIONS))
    window = draw(windows(x.shape))
    options = schema.Pool2DOptionsT(
        padding=window.padding,
        strideH=window.strides[0],
        strideW=window.strides[1],
        filterHeight=window.size[0],
        filterWidth=window.size[1],
        fusedActivationFunction=fused(name),
    )
    shape = (len(x.array), *window.sides_after(x.shape), x.shape[3])
    y = output(shape, x.scale, x.zero_point, dtype.upper())
    return case(operator, options, x, [], y, f"{window} {name}", runtimes_for(dtype))


# ---- the others


@st.composite
def add(draw):
    x, name = draw(images), draw(st.sampled_from(ACTIVATIONS))
    shape = x.shape
    if draw(st.booleans()):  # the other one is spread over the images
        shape = draw(st.sampled_from([(1, 1, 1, shape[3]), shape[3:], (1, *shape[1:]), (1,)]))
    other, scale, zero_point = int8(draw(generators), shape), draw(near(x.scale)), draw(zero_points)
    constants = [tensor("other", "INT8", shape, scale, zero_point, data=other)]
    y = output(x.shape, draw(near(max(x.scale, scale))), draw(zero_points))
    options = schema.AddOptionsT(fusedActivationFunction=fused(name))
    what = f"plus {shape}, scale {scale:.3g}, {zero_point} {name}"
    return case("ADD", options, x, constants, y, what)


@st.composite
def mean(draw, dtype="int8"):
    x, keep = in_dtype(draw(images), dtype), draw(st.booleans())
    axes = draw(st.sampled_from([(1, 2), (1, 2), (2, 1), (1,), (2,), (3,), (1, 2, 3)]))
    scale = draw(st.just(x.scale) | near(x.scale))
    zero_point = x.zero_point if draw(st.booleans()) else any_zero_point(draw, dtype)
    shape = np.mean(x.array, axis=axes, keepdims=keep).shape
    y = output(shape, scale, zero_point, dtype.upper())
    what = f"axes {axes} keep {keep}, to scale {scale:.3g}, {zero_point}"
    constants = [integers("axes", axes)]
    options = schema.ReducerOptionsT(keep)
    return case("MEAN", options, x, constants, y, what, runtimes_for(dtype))


@st.composite
def pad(draw):
    x = draw(images)
    amounts = [[draw(st.integers(0, most)) for _ in range(2)] for most in (0, 3, 3, 2)]
    y = output(np.pad(x.array, amounts).shape, x.scale, x.zero_point)
    return case("PAD", schema.PadOptionsT(), x, [integers("pads", amounts)], y, f"{amounts}")


@st.composite
def reshape(draw):
    x = draw(images)
    n, height, width, depth = x.shape
    shapes = [(n, height * width * depth), (n, width, depth * height), (n, -1)]
    shape = draw(st.sampled_from(shapes))
    y = output(x.array.reshape(shape).shape, x.scale, x.zero_point)
    constants = [integers("shape", shape)]
    return case("RESHAPE", schema.ReshapeOptionsT(list(shape)), x, constants, y, f"{shape}")


@st.composite
def concatenation(draw):
    """Of one scale and zero point: the runtimes refuse int8 inputs that differ in them."""
    x, axis = draw(images), draw(st.sampled_from([1, 2, 3, -1]))
    shape = list(x.shape)
    shape[axis] = draw(st.integers(1, 4))
    other = int8(draw(generators), shape)
    constants = [tensor("other", "INT8", shape, x.scale, x.zero_point, data=other)]
    y = output(np.concatenate([x.array, other], axis).shape, x.scale, x.zero_point)
    return case("CONCATENATION", schema.ConcatenationOptionsT(axis), x, constants, y, f"{axis}")


@st.composite
def relu(draw, dtype="int8"):
    x, operator = in_dtype(draw(images | rows), dtype), draw(st.sampled_from(ACTIVATIONS[1:]))
    one_scale = draw(st.booleans())
    scale, zero_point = draw(near(x.scale)), any_zero_point(draw, dtype)
    y = output(x.shape, *(x[1:] if one_scale else (scale, zero_point)), dtype.upper())
    # TFLite-Micro lacks RELU_N1_TO_1, and its RELU6 does not rescale.
    micro = dtype == "int8" and (operator == "RELU" or (operator == "RELU6" and one_scale))
    what = "the same" if one_scale else f"scale {scale:.3g}, {zero_point}"
    return case(operator, None, x, [], y, f"to {what}", RUNTIMES if micro else LITERT)


@st.composite
def softmax(draw, dtype="int8"):
    x, beta = in_dtype(draw(images | rows), dtype), draw(st.sampled_from([1.0, 1.0, 0.5, 2.0]))
    least, bits = {"int8": (LOW, 8), "uint8": (0, 8), "int16": (0, 15)}[dtype]
    y = output(x.shape, 2.0**-bits, least, dtype.upper())
    options = schema.SoftmaxOptionsT(beta)
    return case("SOFTMAX", options, x, [], y, f"beta {beta}", runtimes_for(dtype))


@st.composite
def softmax_to_16_bits(draw):
    """The one 16-bit code with a zero point, and the operator that may follow it."""
    x = draw(images | rows)
    ends = [
        tensor("x", "INT8", x.shape, x.scale, x.zero_point),
        output(x.shape, 2.0**-16, -(2**15), "INT16"),
        output(x.shape, 2.0**-15, 0, "INT32"),
    ]
    operators = [
        ("SOFTMAX", schema.SoftmaxOptionsT(1.0), [0], [1]),
        ("QUANTIZE", schema.QuantizeOptionsT(), [1], [2]),
    ]
    return Case(assemble(ends, operators, [0], [2]), x.array, f"SOFTMAX to int16 {x.shape}")


@st.composite
def quantize(draw):
    x, unsigned = draw(images | rows), draw(st.booleans())
    if draw(st.booleans()):
        x = Source((x.array.astype(np.int16) + 128).astype(np.uint8), x.scale, x.zero_point + 128)
    scale, zero_point = draw(near(x.scale)), draw(zero_points) + 128 * unsigned
    y = output(x.shape, scale, zero_point, "UINT8" if unsigned else "INT8")
    micro = not (unsigned and x.array.dtype == np.uint8)
    what = f"to {'uint8' if unsigned else 'int8'}, scale {scale:.3g}, {zero_point}"
    runtimes = RUNTIMES if micro else LITERT
    return case("QUANTIZE", schema.QuantizeOptionsT(), x, [], y, what, runtimes)


@st.composite
def quantize_floats(draw, dtype):
    """Floats on the grid of the codes, and half-way between: there the runtimes differ."""
    y = in_dtype(draw(images | rows), dtype)
    factors = draw(generators).choice([1, 1, 0.5, 1.5, 1.37], y.shape)
    real = (factors * (y.array.astype(np.int64) - y.zero_point) * y.scale).astype(np.float32)
    ends = [tensor("x", "FLOAT32", y.shape), output(y.shape, *y[1:], dtype.upper())]
    content = assemble(ends, [("QUANTIZE", schema.QuantizeOptionsT(), [0], [1])], [0], [1])
    what = f"QUANTIZE of floats to {dtype} {y.shape}, scale {y.scale:.3g}, {y.zero_point}"
    return Case(content, real, what, runtimes_for(dtype))


@st.composite
def dequantize(draw):
    x = draw(images | rows)
    return case("DEQUANTIZE", schema.DequantizeOptionsT(), x, [], tensor("y", "FLOAT32", x.shape))


# ---- curves and one ratio


def in_dtype(x, dtype):
    return {"int8": lambda x: x, "uint8": as_uint8, "int16": as_int16}[dtype](x)


def code_ends(dtype):
    """The least code and the middle one."""
    return {"int8": (LOW, 0), "uint8": (0, 128), "int16": (-(2**15), 0)}[dtype]


@st.composite
def curve(draw, operator, dtype, least, bits):
    """LOGISTIC and TANH, whose output scale is fixed: 2**-bits."""
    array = draw(images | rows).array
    zero_point, scale = draw(zero_points), float(np.float32(2.0 ** draw(st.floats(-7, -2))))
    x = in_dtype(Source(array, scale, zero_point), dtype)
    y = output(x.shape, 2.0**-bits, least, dtype.upper())
    runtimes = LITERT if dtype == "uint8" else RUNTIMES
    return case(operator, None, x, [], y, runtimes=runtimes)


@st.composite
def one_to_one(draw, operator, dtype, options=lambda draw: None):
    """An operator with an output scale of its own."""
    x = in_dtype(draw(images | rows), dtype)
    zero_point = 0 if dtype == "int16" else draw(zero_points) + 128 * (dtype == "uint8")
    y = output(x.shape, draw(near(x.scale)), zero_point, dtype.upper())
    made = options(draw)
    runtimes = LITERT if dtype == "uint8" else RUNTIMES
    return case(operator, made, x, [], y, f"{getattr(made, 'alpha', '')}", runtimes)


def leak(draw):
    return schema.LeakyReluOptionsT(draw(st.sampled_from([0.1, 0.2, 0.25, 0.01, 1.5, 0.001])))


@st.composite
def two_sides(draw, operator, dtype, options, product=False):
    """An operator of two inputs, of which one is stored."""
    x, name = in_dtype(draw(images), dtype), draw(st.sampled_from(ACTIVATIONS))
    shape = x.shape
    if draw(st.booleans()):
        shape = draw(st.sampled_from([(1, 1, 1, shape[3]), shape[3:], (1, *shape[1:]), (1,)]))
    drawn = Source(int8(draw(generators), shape), 1.0, draw(zero_points))
    other = in_dtype(drawn, dtype)._replace(scale=draw(near(x.scale)))
    constants = [
        tensor("other", dtype.upper(), shape, other.scale, other.zero_point, data=other.array)
    ]
    most = 2.0 ** (15 if dtype == "int16" else 7)
    scale = draw(near(x.scale * other.scale * most if product else max(x.scale, other.scale)))
    zero_point = 0 if dtype == "int16" else draw(zero_points) + 128 * (dtype == "uint8")
    y = output(x.shape, scale, zero_point, dtype.upper())
    order = [0, 1] if shape != x.shape or draw(st.booleans()) else [1, 0]
    what = f"with {other.scale:.3g}, {other.zero_point} to {scale:.3g}, {zero_point} {name}"
    runtimes = LITERT if dtype == "uint8" else RUNTIMES
    made = options(fusedActivationFunction=fused(name))
    if shape != x.shape:  # LiteRT's way by shifts ends the process when it spreads one side
        made.potScaleInt16 = False
    return case(operator, made, x, constants, y, what, runtimes, order)


@st.composite
def prelu(draw, dtype="int8"):
    x = in_dtype(draw(images), dtype)
    shape = draw(st.sampled_from([(1, 1, x.shape[3]), x.shape[1:], (1, *x.shape[1:])]))
    drawn = Source(int8(draw(generators), shape), 2.0 ** draw(st.floats(-9, -6)), draw(zero_points))
    slope = in_dtype(drawn, dtype)
    ends = tensor("slope", dtype.upper(), shape, slope.scale, slope.zero_point, data=slope.array)
    y = output(x.shape, draw(near(x.scale)), any_zero_point(draw, dtype), dtype.upper())
    what = f"slopes {shape} {slope.scale:.3g}"
    return case("PRELU", None, x, [ends], y, what, runtimes_for(dtype))


@st.composite
def broadcast_to(draw):
    x = draw(images)
    kept = [slice(None) if draw(st.booleans()) else slice(1) for _ in range(3)]
    part = Source(x.array[:, *kept], x.scale, x.zero_point)
    y = output(x.shape, x.scale, x.zero_point)
    constants = [integers("shape", x.shape)]
    made = case("BROADCAST_TO", schema.BroadcastToOptionsT(), part, constants, y, f"{x.shape}")
    return replace(made, content=of_version(2, made.content))


@st.composite
def larger_or_smaller(draw, operator, dtype):
    x = in_dtype(draw(images), dtype)
    other = in_dtype(Source(int8(draw(generators), x.shape), x.scale, x.zero_point), dtype)
    zero_point = x.zero_point
    constants = [tensor("other", dtype.upper(), x.shape, x.scale, zero_point, data=other.array)]
    y = output(x.shape, x.scale, zero_point, dtype.upper())
    runtimes = LITERT if dtype == "uint8" else RUNTIMES
    return case(operator, schema.MaximumMinimumOptionsT(), x, constants, y, "", runtimes)


# ---- moved, resized, split


@st.composite
def resize(draw, operator, dtype="int8"):
    x = in_dtype(draw(images), dtype)
    size = [draw(st.integers(1, 12)), draw(st.integers(1, 12))]
    align = draw(st.booleans())
    kind = getattr(schema, f"{operator.title().replace('_', '')}OptionsT")
    options = kind(alignCorners=align, halfPixelCenters=not align and draw(st.booleans()))
    y = output((len(x.array), *size, x.shape[3]), x.scale, x.zero_point, dtype.upper())
    constants = [integers("size", size)]
    what = f"to {size}, align {align}, half {options.halfPixelCenters}"
    nearest = operator == "RESIZE_NEAREST_NEIGHBOR"
    runtimes = RUNTIMES if nearest or dtype == "int8" else LITERT
    return case(operator, options, x, constants, y, what, runtimes)


@st.composite
def transpose_conv(draw, dtype="int8", bias=True):
    x, filters = in_dtype(draw(images), dtype), draw(CHANNELS)
    size = [draw(st.integers(1, 4)) for _ in range(2)]
    strides = [draw(st.integers(1, 3)) for _ in range(2)]
    same = draw(st.booleans())
    sides = [
        side * stride if same else (side - 1) * stride + max(n, stride)
        for side, stride, n in zip(x.shape[1:3], strides, size, strict=True)
    ]
    kernel = (filters, *size, x.shape[3])
    constants, scale = draw(weighted(x, kernel, 0, np.prod(kernel[1:]), bias))
    options = schema.TransposeConvOptionsT(
        padding=schema.Padding.SAME if same else schema.Padding.VALID,
        strideH=strides[0],
        strideW=strides[1],
        quantizedBiasType=bias_type(constants),
    )
    shape = (len(x.array), *sides, filters)
    y = output(shape, scale, any_zero_point(draw, dtype), dtype.upper())
    constants = [integers("shape", shape), *constants]
    order = [1, 2, 0, 3][: 3 + bias]
    what = f"{size} by {strides} same {same}"
    return case("TRANSPOSE_CONV", options, x, constants, y, what, runtimes_for(dtype), order)


@st.composite
def transpose(draw, dtype="int8"):
    x = in_dtype(draw(images | rows), dtype)
    order = draw(st.permutations(range(len(x.shape))))
    y = output(x.array.transpose(order).shape, x.scale, x.zero_point, dtype.upper())
    constants = [integers("order", order)]
    return case("TRANSPOSE", schema.TransposeOptionsT(), x, constants, y, f"{order}")


@st.composite
def split(draw, sizes_given):
    x, axis = draw(images), draw(st.sampled_from([1, 2, 3]))
    length = x.shape[axis]
    if sizes_given:
        sizes = [draw(st.integers(1, length))]
        sizes += [length - sizes[0]] if sizes[0] < length else []
        constants = [integers("sizes", sizes), integers("axis", axis)]
        operator, options, order = "SPLIT_V", schema.SplitVOptionsT(len(sizes)), [0, 1, 2]
    else:
        parts = draw(st.sampled_from([n for n in range(1, length + 1) if length % n == 0]))
        sizes, constants = [length // parts] * parts, [integers("axis", axis)]
        operator, options, order = "SPLIT", schema.SplitOptionsT(parts), [1, 0]
    ys = []
    for number, size in enumerate(sizes):
        shape = (*x.shape[:axis], size, *x.shape[axis + 1 :])
        ys.append(tensor(f"y{number}", "INT8", shape, x.scale, x.zero_point))
    return case(operator, options, x, constants, ys, f"{axis} {sizes}", order=order)


@st.composite
def slice_(draw):
    x = draw(images)
    begin = [0, *(draw(st.integers(0, side - 1)) for side in x.shape[1:])]
    size = [draw(st.integers(1, side - first)) for side, first in zip(x.shape, begin, strict=True)]
    size[0] = x.shape[0]
    constants = [integers("begin", begin), integers("size", size)]
    y = output(tuple(size), x.scale, x.zero_point)
    return case("SLICE", schema.SliceOptionsT(), x, constants, y, f"{begin} {size}")


@st.composite
def strided_slice(draw):
    x = draw(images)
    cuts = []
    for side in x.shape[1:]:
        first, step = draw(st.integers(0, side - 1)), draw(st.integers(1, 3))
        cuts.append((first, draw(st.integers(first + 1, side)), step))
    begin, end, steps = ([first, *(cut[n] for cut in cuts)] for n, first in enumerate((0, 0, 1)))
    wanted = x.array[:, *(slice(*cut) for cut in cuts)]
    y = output(wanted.shape, x.scale, x.zero_point)
    constants = [integers("begin", begin), integers("end", end), integers("steps", steps)]
    options = schema.StridedSliceOptionsT(beginMask=1, endMask=1)
    return case("STRIDED_SLICE", options, x, constants, y, f"{cuts}")


@st.composite
def arg_max(draw, operator):
    x, axis = draw(images), draw(st.sampled_from([1, 2, 3, -1]))
    array = (x.array // 32).astype(np.int8)  # equal ones
    kind = schema.ArgMaxOptionsT if operator == "ARG_MAX" else schema.ArgMinOptionsT
    y = tensor("y", "INT32", array.max(axis=axis).shape)
    options = kind(outputType=schema.TensorType.INT32)
    x = Source(array, x.scale, x.zero_point)
    return case(operator, options, x, [integers("axis", axis)], y, f"{axis}")


@st.composite
def reduce_extreme(draw, operator):
    x, keep = draw(images), draw(st.booleans())
    axes = draw(st.sampled_from([(1, 2), (1,), (3,), (1, 2, 3)]))
    y = output(x.array.max(axis=axes, keepdims=keep).shape, x.scale, x.zero_point)
    constants = [integers("axes", axes)]
    return case(operator, schema.ReducerOptionsT(keep), x, constants, y, f"{axes} {keep}")


@st.composite
def tile(draw):
    x = draw(images)
    times = [1, *(draw(st.integers(1, 2)) for _ in range(3))]
    y = output(np.tile(x.array, times).shape, x.scale, x.zero_point)
    return case("TILE", schema.TileOptionsT(), x, [integers("times", times)], y, f"{times}", LITERT)


@st.composite
def unpack(draw):
    x, axis = draw(images), draw(st.sampled_from([1, 2, 3]))
    shape = (*x.shape[:axis], *x.shape[axis + 1 :])
    count = x.shape[axis]
    ys = [tensor(f"y{n}", "INT8", shape, x.scale, x.zero_point) for n in range(count)]
    return case("UNPACK", schema.UnpackOptionsT(count, axis), x, [], ys, f"{axis}")


@st.composite
def gather(draw, dtype):
    """From a table by tokens, as an embedding does."""
    table = draw(inputs((draw(st.integers(1, 20)), draw(st.integers(1, 8)))))
    shape = draw(st.integers(1, 3)), draw(st.integers(1, 6))
    tokens = draw(generators).integers(0, len(table.array), shape).astype(dtype)
    ends = [
        tensor("x", dtype.upper(), shape),
        tensor("table", "INT8", table.shape, table.scale, table.zero_point, data=table.array),
        output((*shape, table.shape[1]), table.scale, table.zero_point),
    ]
    operators = [("GATHER", schema.GatherOptionsT(axis=0), [1, 0], [2])]
    runtimes = RUNTIMES if dtype == "int32" else LITERT
    return Case(assemble(ends, operators, [0], [2]), tokens, f"GATHER by {dtype} {shape}", runtimes)


@st.composite
def batch_matmul(draw, dtype="int8"):
    """The input times a stored matrix, or several; each may be stored the other way round."""
    x = in_dtype(draw(images), dtype)
    options = schema.BatchMatMulOptionsT(draw(st.booleans()), draw(st.booleans()))
    inner, outer = x.shape[2 if options.adjX else 3], draw(st.integers(1, 9))
    shape = (*x.shape[:2], outer, inner) if options.adjY else (*x.shape[:2], inner, outer)
    other = Source(int8(draw(generators), shape), x.scale, 0 if dtype == "int16" else 5)
    other = in_dtype(other, dtype)
    most = 2.0 ** (15 if dtype == "int16" else 7)
    scale = draw(near(x.scale * other.scale * most * np.sqrt(inner) / 2))
    rows = x.shape[3 if options.adjX else 2]
    y = output((*x.shape[:2], rows, outer), scale, any_zero_point(draw, dtype), dtype.upper())
    w = tensor("w", dtype.upper(), shape, other.scale, other.zero_point, data=other.array)
    what = f"{shape} {options.adjX} {options.adjY}"
    return case("BATCH_MATMUL", options, x, [w], y, what)


@st.composite
def svdf(draw, state="int16"):
    """One moment of a filter bank whose state is empty."""
    generator, x = draw(generators), draw(inputs((1, draw(st.integers(1, 20)))))
    rank, units, moments = (draw(st.integers(1, most)) for most in (3, 9, 6))
    filters = rank * units
    features, times, bias = (
        generator.integers(-most, most + 1, shape)
        for most, shape in ((127, (filters, x.shape[1])), (127, (filters, moments)), (999, units))
    )
    kept = x.scale * np.sqrt(x.shape[1]) * (0.7 if state == "int8" else 0.01)
    wide = state.upper()
    ends = [
        tensor("x", "INT8", x.shape, x.scale, x.zero_point),
        tensor("features", "INT8", features.shape, 0.01, 0, data=features.astype(np.int8)),
        tensor("times", wide, times.shape, 0.01, 0, data=times.astype(state)),
        tensor("bias", "INT32", (units,), kept * 0.01, 0, data=bias.astype(np.int32)),
        tensor("state", wide, (1, filters * moments), kept, 0 if state == "int16" else -9),
        output((1, units), draw(near(kept * 0.3)), draw(zero_points)),
    ]
    ends[4][0].isVariable = True
    options = schema.SVDFOptionsT(rank, fused("RELU"))
    operators = [("SVDF", options, [0, 1, 2, 3, 4], [5])]
    content = assemble(ends, operators, [0], [5])
    runtimes = RUNTIMES if state == "int16" else ("tflm",)
    return Case(content, x.array, f"SVDF {filters} of {moments}, rank {rank}", runtimes)


@st.composite
def lstm(draw):
    """A sequence of a few steps; the cell state's scale is a power of two."""
    generator = draw(generators)
    batch, steps = draw(st.integers(1, 2)), draw(st.integers(1, 6))
    features, cells = draw(st.integers(1, 12)), draw(st.integers(1, 20))
    x = draw(inputs((batch, steps, features)))
    x = Source(x.array, float(np.float32(2.0 ** draw(st.floats(-8, -3)))), x.zero_point)
    hidden_scale, hidden_zero = (
        float(np.float32(2.0 ** -draw(st.floats(7, 7.5)))),
        draw(zero_points),
    )
    cell_scale = 2.0 ** draw(st.integers(-14, -9))
    shape = (batch, cells)
    tensors = [tensor("x", "INT8", x.shape, x.scale, x.zero_point)]
    for number in range(8):
        size = (cells, features if number < 4 else cells)
        scale = float(np.float32(2.0 ** draw(st.floats(-8, -5))))
        data = generator.integers(-127, 128, size).astype(np.int8)
        tensors.append(tensor(f"w{number}", "INT8", size, scale, 0, data=data))
    for number in range(4):
        data = generator.integers(-2000, 2001, cells).astype(np.int32)
        tensors.append(tensor(f"b{number}", "INT32", (cells,), 1e-4, 0, data=data))
    tensors.append(tensor("hidden", "INT8", shape, hidden_scale, hidden_zero))
    tensors.append(tensor("cell", "INT16", shape, cell_scale, 0))
    tensors.append(output((batch, steps, cells), hidden_scale, hidden_zero))
    tensors += [tensor(f"between{n}", "INT16", (0,), 2.0**-12, 0) for n in range(4)]
    tensors.append(tensor("between4", "INT8", (0,), hidden_scale, hidden_zero))
    options = schema.UnidirectionalSequenceLSTMOptionsT(
        fusedActivationFunction=fused("TANH"), cellClip=draw(st.sampled_from([0.0, 0.5, 10.0]))
    )
    places = [*range(9), -1, -1, -1, *range(9, 13), -1, -1, 13, 14, -1, -1, -1, -1]
    operators = [("UNIDIRECTIONAL_SEQUENCE_LSTM", options, places, [15])]
    model = reader.read(assemble(tensors, operators, [0], [15]))
    graph = model.subgraphs[0]
    graph.operators[0].intermediates = list(range(16, 21))
    for place in (13, 14):
        graph.tensors[place].isVariable = True
    what = f"{x.shape} {cells} cells, {cell_scale} {options.cellClip} {hidden_zero}"
    return Case(pack(model), x.array, what)


@st.composite
def requantize(draw, before, after):
    """QUANTIZE between codes of 16 bits and others."""
    x = in_dtype(draw(images | rows), before)
    octaves = {"int8": 0, "uint8": 0, "int16": 8}
    scale = draw(near(x.scale)) * 2.0 ** (octaves[before] - octaves[after])
    y = output(x.shape, scale, any_zero_point(draw, after), after.upper())
    what = f"to {after}, {scale:.3g}"
    return case("QUANTIZE", schema.QuantizeOptionsT(), x, [], y, what)


@st.composite
def dequantize_from(draw, dtype):
    x = in_dtype(draw(images | rows), dtype)
    y = tensor("y", "FLOAT32", x.shape)
    return case("DEQUANTIZE", schema.DequantizeOptionsT(), x, [], y)


OPERATORS = {
    "CONV_2D": conv_2d(),
    "CONV_2D without bias": conv_2d(bias=False),
    "DEPTHWISE_CONV_2D": depthwise_conv_2d(),
    "DEPTHWISE_CONV_2D without bias": depthwise_conv_2d(bias=False),
    "FULLY_CONNECTED": fully_connected(),
    "MAX_POOL_2D": pool_2d("MAX_POOL_2D"),
    "AVERAGE_POOL_2D": pool_2d("AVERAGE_POOL_2D"),
    "ADD": add(),
    "MEAN": mean(),
    "PAD": pad(),
    "RESHAPE": reshape(),
    "CONCATENATION": concatenation(),
    "RELU": relu(),
    "SOFTMAX": softmax(),
    "QUANTIZE": quantize(),
    "DEQUANTIZE": dequantize(),
    "CONV_2D uint8": conv_2d(dtype="uint8"),
    "CONV_2D int16": conv_2d(dtype="int16"),
    "DEPTHWISE_CONV_2D uint8": depthwise_conv_2d(dtype="uint8"),
    "DEPTHWISE_CONV_2D int16": depthwise_conv_2d(dtype="int16"),
    "FULLY_CONNECTED uint8": fully_connected(dtype="uint8"),
    "FULLY_CONNECTED int16": fully_connected(dtype="int16"),
    "MAX_POOL_2D uint8": pool_2d("MAX_POOL_2D", dtype="uint8"),
    "MAX_POOL_2D int16": pool_2d("MAX_POOL_2D", dtype="int16"),
    "AVERAGE_POOL_2D uint8": pool_2d("AVERAGE_POOL_2D", dtype="uint8"),
    "AVERAGE_POOL_2D int16": pool_2d("AVERAGE_POOL_2D", dtype="int16"),
    "MEAN uint8": mean(dtype="uint8"),
    "MEAN int16": mean(dtype="int16"),
    "RELU uint8": relu(dtype="uint8"),
    "RELU int16": relu(dtype="int16"),
    "SOFTMAX uint8": softmax(dtype="uint8"),
    "SOFTMAX int16": softmax(dtype="int16"),
    "LOGISTIC": curve("LOGISTIC", "int8", LOW, 8),
    "LOGISTIC uint8": curve("LOGISTIC", "uint8", 0, 8),
    "LOGISTIC int16": curve("LOGISTIC", "int16", 0, 15),
    "TANH": curve("TANH", "int8", 0, 7),
    "TANH uint8": curve("TANH", "uint8", 128, 7),
    "TANH int16": curve("TANH", "int16", 0, 15),
    "HARD_SWISH": one_to_one("HARD_SWISH", "int8"),
    "HARD_SWISH uint8": one_to_one("HARD_SWISH", "uint8"),
    "LEAKY_RELU": one_to_one("LEAKY_RELU", "int8", leak),
    "LEAKY_RELU uint8": one_to_one("LEAKY_RELU", "uint8", leak),
    "LEAKY_RELU int16": one_to_one("LEAKY_RELU", "int16", leak),
    "MUL": two_sides("MUL", "int8", schema.MulOptionsT, product=True),
    "MUL uint8": two_sides("MUL", "uint8", schema.MulOptionsT, product=True),
    "MUL int16": two_sides("MUL", "int16", schema.MulOptionsT, product=True),
    "SUB": two_sides("SUB", "int8", schema.SubOptionsT),
    "SUB uint8": two_sides("SUB", "uint8", schema.SubOptionsT),
    "SUB int16": two_sides("SUB", "int16", schema.SubOptionsT),
    "ADD two sides": two_sides("ADD", "int8", schema.AddOptionsT),
    "ADD uint8": two_sides("ADD", "uint8", schema.AddOptionsT),
    "ADD int16": two_sides("ADD", "int16", schema.AddOptionsT),
    "PRELU": prelu(),
    "PRELU uint8": prelu("uint8"),
    "BROADCAST_TO": broadcast_to(),
    "MAXIMUM": larger_or_smaller("MAXIMUM", "int8"),
    "MINIMUM int16": larger_or_smaller("MINIMUM", "int16"),
    "RESIZE_NEAREST_NEIGHBOR": resize("RESIZE_NEAREST_NEIGHBOR"),
    "RESIZE_BILINEAR": resize("RESIZE_BILINEAR"),
    "RESIZE_BILINEAR uint8": resize("RESIZE_BILINEAR", "uint8"),
    "RESIZE_BILINEAR int16": resize("RESIZE_BILINEAR", "int16"),
    "TRANSPOSE_CONV": transpose_conv(),
    "TRANSPOSE_CONV without bias": transpose_conv(bias=False),
    "TRANSPOSE_CONV int16": transpose_conv("int16"),
    "TRANSPOSE": transpose(),
    "TRANSPOSE int16": transpose("int16"),
    "SPLIT": split(False),
    "SPLIT_V": split(True),
    "SLICE": slice_(),
    "STRIDED_SLICE": strided_slice(),
    "ARG_MAX": arg_max("ARG_MAX"),
    "ARG_MIN": arg_max("ARG_MIN"),
    "REDUCE_MAX": reduce_extreme("REDUCE_MAX"),
    "REDUCE_MIN": reduce_extreme("REDUCE_MIN"),
    "TILE": tile(),
    "UNPACK": unpack(),
    "GATHER": gather("int32"),
    "GATHER int64": gather("int64"),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": lstm(),
    "BATCH_MATMUL": batch_matmul(),
    "BATCH_MATMUL int16": batch_matmul("int16"),
    "SVDF": svdf(),
    "SVDF with a state of int8": svdf("int8"),
    "SOFTMAX of int8 to int16": softmax_to_16_bits(),
    "QUANTIZE int16 to int8": requantize("int16", "int8"),
    "QUANTIZE int8 to int16": requantize("int8", "int16"),
    "QUANTIZE int16": requantize("int16", "int16"),
    "QUANTIZE floats": quantize_floats("int8"),
    "QUANTIZE floats to uint8": quantize_floats("uint8"),
    "QUANTIZE floats to int16": quantize_floats("int16"),
    "DEQUANTIZE uint8": dequantize_from("uint8"),
    "DEQUANTIZE int16": dequantize_from("int16"),
}
