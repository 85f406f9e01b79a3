"""Single-operator integer models that hypothesis draws, with scales and zero points of all kinds.

Each strategy of ``OPERATORS`` yields a ``Case``: a ``.tflite`` written by hand, an input for it,
and the runtimes that take it. Hypothesis draws the structure; numbers come from a generator whose
seed it draws. Multipliers are such that outputs neither all vanish nor all saturate, and often a
power of two: then many results lie at a tie, where the runtimes round differently.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from hypothesis import strategies as st

from tiny_models import assemble, tensor

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


def case(operator, options, x, constants, y, what="", runtimes=RUNTIMES):
    """A model in which ``operator`` takes ``x`` (a Source) and the constants, and gives ``y``."""
    dtype = str(x.array.dtype).upper()
    tensors = [tensor("x", dtype, x.shape, x.scale, x.zero_point), *constants, y]
    last = len(tensors) - 1
    content = assemble(tensors, [(operator, options, list(range(last)), [last])], [0], [last])
    what = f"{operator} of {dtype} {x.shape}, scale {x.scale:.3g}, {x.zero_point}; {what}"
    return Case(content, x.array, what, runtimes)


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
def weighted(draw, x, shape, axis, fan_in, bias=True):
    """Weights and a bias for an operator of ``x``, and the scale of its output.

    ``axis`` is that of the output channels. Where all channels have one scale, it may be stored
    once (per-tensor) or for each of them.
    """
    generator, magnitude = draw(generators), draw(st.sampled_from([1, 8, 127]))
    channels = shape[axis]
    wanted, scale = draw(multipliers(channels, fan_in, magnitude)), draw(scales)
    weight_scales = np.float32(wanted * scale / x.scale)
    if np.all(weight_scales == weight_scales[0]) and draw(st.booleans()):
        weight_scales = weight_scales[:1]
    weights = generator.integers(-magnitude, magnitude + 1, shape).astype(np.int8)
    constants = [tensor("w", "INT8", shape, weight_scales, 0, axis, weights)]
    if bias:
        most = int(50 / wanted.min()) + 1
        values = generator.integers(-most, most + 1, channels).astype(np.int32)
        bias_scales = np.float32(x.scale) * weight_scales
        constants.append(tensor("b", "INT32", (channels,), bias_scales, 0, 0, values))
    return constants, scale


@st.composite
def conv_2d(draw, bias=True):
    x, filters, name = draw(images), draw(CHANNELS), draw(st.sampled_from(ACTIVATIONS))
    window = draw(windows(x.shape, dilated=True))
    shape = (filters, *window.size, x.shape[3])
    constants, scale = draw(weighted(x, shape, 0, np.prod(shape[1:]), bias))
    options = schema.Conv2DOptionsT(
        padding=window.padding,
        strideH=window.strides[0],
        strideW=window.strides[1],
        dilationHFactor=window.dilations[0],
        dilationWFactor=window.dilations[1],
        fusedActivationFunction=fused(name),
    )
    y = output((len(x.array), *window.sides_after(x.shape), filters), scale, draw(zero_points))
    runtimes = RUNTIMES if bias else ("tflm",)  # LiteRT's kernels want one
    return case("CONV_2D", options, x, constants, y, f"{window} {name}", runtimes)


@st.composite
def depthwise_conv_2d(draw, bias=True):
    x, times, name = draw(images), draw(st.integers(1, 3)), draw(st.sampled_from(ACTIVATIONS))
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
    y = output((len(x.array), *window.sides_after(x.shape), channels), scale, draw(zero_points))
    runtimes = RUNTIMES if bias else ("reference", "tflm")  # the builtin kernel crashes
    what = f"{window} times {times} {name}"
    return case("DEPTHWISE_CONV_2D", options, x, constants, y, what, runtimes)


@st.composite
def fully_connected(draw):
    features, units = draw(st.integers(1, 80) | st.integers(700, 900)), draw(CHANNELS)
    x, name = draw(inputs((draw(st.integers(1, 5)), features))), draw(st.sampled_from(ACTIVATIONS))
    constants, scale = draw(weighted(x, (units, features), 0, features, draw(st.booleans())))
    options = schema.FullyConnectedOptionsT(fusedActivationFunction=fused(name))
    y = output((len(x.array), units), scale, draw(zero_points))
    what = f"{units} units, bias {len(constants) > 1}, {name}"
    return case("FULLY_CONNECTED", options, x, constants, y, what)


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
def pool_2d(draw, operator):
    x, name = draw(images), draw(st.sampled_from(ACTIVATIONS))
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
    return case(operator, options, x, [], output(shape, x.scale, x.zero_point), f"{window} {name}")


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
def mean(draw):
    x, keep = draw(images), draw(st.booleans())
    axes = draw(st.sampled_from([(1, 2), (1, 2), (2, 1), (1,), (2,), (3,), (1, 2, 3)]))
    scale = draw(st.just(x.scale) | near(x.scale))
    zero_point = draw(st.just(x.zero_point) | zero_points)
    y = output(np.mean(x.array, axis=axes, keepdims=keep).shape, scale, zero_point)
    what = f"axes {axes} keep {keep}, to scale {scale:.3g}, {zero_point}"
    return case("MEAN", schema.ReducerOptionsT(keep), x, [integers("axes", axes)], y, what)


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
def relu(draw):
    x, operator = draw(images | rows), draw(st.sampled_from(ACTIVATIONS[1:]))
    one_scale = draw(st.booleans())
    scale, zero_point = draw(near(x.scale)), draw(zero_points)
    y = output(x.shape, *(x[1:] if one_scale else (scale, zero_point)))
    # TFLite-Micro lacks RELU_N1_TO_1, and its RELU6 does not rescale.
    micro = operator == "RELU" or (operator == "RELU6" and one_scale)
    what = "the same" if one_scale else f"scale {scale:.3g}, {zero_point}"
    return case(operator, None, x, [], y, f"to {what}", RUNTIMES if micro else LITERT)


@st.composite
def softmax(draw):
    x, beta = draw(images | rows), draw(st.sampled_from([1.0, 1.0, 0.5, 2.0]))
    y = output(x.shape, 1 / 256, LOW)
    return case("SOFTMAX", schema.SoftmaxOptionsT(beta), x, [], y, f"beta {beta}")


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
def dequantize(draw):
    x = draw(images | rows)
    return case("DEQUANTIZE", schema.DequantizeOptionsT(), x, [], tensor("y", "FLOAT32", x.shape))


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
}
