"""What the steps of ``exercises/engine.md`` are tested with: arguments, and LiteRT's own answers.

A case is a tuple: what it is, the arguments of the step's function, the expected result. The
models of one operator are those that ``integer_models`` draws; the answers are those of LiteRT's
reference kernels. Only the sums of step 2 and the multipliers of step 3, which no runtime shows,
are made otherwise.
"""

import functools
from fractions import Fraction

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from hypothesis import HealthCheck, Phase, given, settings

import integer_models
from lessons_lib import runtime
from lessons_lib.run.engine import integer_graph
from lessons_lib.system.sandbox import trust
from raw_runtimes import raw_answer
from reference import converted, digits
from tiny_models import assemble, tensor

DRAWN = 60  # models of one operator


@functools.cache
def drawn(operator: str) -> list:
    """(operator, input, LiteRT's answer) of each model that hypothesis draws."""
    cases = []
    drawn_with(integer_models.OPERATORS[operator], cases.append)
    return [answered(case) for case in cases]


def drawn_with(strategy, collect, examples=DRAWN) -> None:
    """Give ``collect`` so many cases that hypothesis draws first, the same each time."""

    @given(case=strategy)
    @settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def draw(case):
        collect(case)

    draw()


def answered(case):
    op = integer_graph.load(case.content, "reference", False).operators[0]
    return op, case.x, raw_answer(case.content, case.x, "reference")


def step_1_quantize():
    for name in ("QUANTIZE floats", "QUANTIZE floats to uint8"):
        for op, x, expected in drawn(name):
            grid = op.output.scale[0], op.output.zero_point
            yield f"to {op.output.dtype}", (x, *grid, op.output.dtype), expected
    yield below_a_half()


def below_a_half():
    """The float32 next to 0.5, which with 0.5 added in float32 is 1."""
    x = np.float32([[0.49999997, -0.49999997, 0.5, -0.5]])
    tensors = [tensor("x", "FLOAT32", x.shape), tensor("y", "INT8", x.shape, 1.0, 3)]
    operator = ("QUANTIZE", schema.QuantizeOptionsT(), [0], [1])
    expected = raw_answer(assemble(tensors, [operator], [0], [1]), x, "reference")
    return "next to a half", (x, np.float32(1), 3, np.dtype("int8")), expected


def step_1_dequantize():
    for name in ("DEQUANTIZE", "DEQUANTIZE uint8"):
        for op, x, expected in drawn(name):
            yield f"from {x.dtype}", (x, op.input.scale[0], op.input.zero_point), expected


@functools.cache
def neurons() -> list:
    """Filters of 2 x 2 whose output has the scale of the sums: the code that comes out is the sum.

    The bias brings the sum to a code; on the way it is large.
    """
    generator, found = np.random.default_rng(1), []
    valid = {"padding": schema.Padding.VALID, "strideH": 1, "strideW": 1}
    for wanted in generator.integers(-128, 128, 40):
        x, weights = (integer_models.int8(generator, (1, 2, 2, 1)) for _ in range(2))
        zero_point = int(generator.integers(-128, 128))
        products = (x.astype(np.int64) - zero_point) * weights
        bias = np.array([wanted - products.sum()], np.int32)
        tensors = [
            tensor("x", "INT8", x.shape, 0.5, zero_point),
            tensor("w", "INT8", x.shape, 0.25, 0, data=weights),
            tensor("b", "INT32", (1,), 0.125, 0, data=bias),
            tensor("y", "INT8", (1, 1, 1, 1), 0.125, 0),
        ]
        operator = ("CONV_2D", schema.Conv2DOptionsT(**valid), [0, 1, 2], [3])
        answer = raw_answer(assemble(tensors, [operator], [0], [3]), x, "reference")
        arguments = x[0, :, :, 0], weights[0, :, :, 0], int(bias[0]), zero_point
        found.append((f"zero point {zero_point}", arguments, answer.astype(int).item()))
    return found


def step_2_accumulate():
    yield from neurons()
    x, weights = np.int8([[127, -128], [5, 3]]), np.int8([[1, 0], [-3, 2]])
    products = (x.astype(np.int64) - 7) * weights
    bias = 2**30 + 1  # float32 counts in steps of 128 there
    yield "a large bias", (x, weights, np.int32(bias), 7), products.sum() + bias


def step_3_multiplier_shift():
    generator = np.random.default_rng(2)
    ratios = np.exp2(generator.uniform(-20, 4, 200))
    special = [0.125, 1.0, 1 / 3, 1 - 2.0**-40, (1 - 2.0**-40) / 64, 0.5 + 2.0**-32, 3.0]
    for ratio in [*special, *ratios]:
        yield f"{ratio!r}", (float(ratio),), np.array(multiplier_of(float(ratio)))
    every = [multiplier_of(float(ratio)) for ratio in ratios]
    yield "an array", (ratios,), np.array(every).T


def multiplier_of(ratio: float) -> tuple[int, int]:
    """In exact fractions, from the definition: 2**30 <= multiplier < 2**31, halves up."""
    shift = 0
    while Fraction(ratio) >= Fraction(2) ** shift:
        shift += 1
    while Fraction(ratio) < Fraction(2) ** (shift - 1):
        shift -= 1
    multiplier = int(Fraction(ratio) * Fraction(2) ** (31 - shift) + Fraction(1, 2))
    return (multiplier, shift) if multiplier < 2**31 else (2**30, shift + 1)


@functools.cache
def rescalings() -> list:
    """Convolutions of one weight a channel: what is summed is seen without a sum."""
    generator, found, channels = np.random.default_rng(3), [], 24
    for activation in ("NONE", "RELU", "RELU6", "NONE") * 4:
        x = integer_models.int8(generator, (2, 9, 9, 1))
        zero_point, y_zero_point = (int(n) for n in generator.integers(-128, 128, 2))
        weights = generator.integers(-127, 128, (channels, 1, 1, 1)).astype(np.int8)
        whole = generator.integers(-9, 2, channels)
        powers = np.where(generator.random(channels) < 0.5, whole, generator.uniform(-9, 2))
        bias = (generator.integers(-60, 61, channels) * np.exp2(-powers)).astype(np.int32)
        scale = np.exp2(powers).astype(np.float32)
        content = rescaling(activation, (x, zero_point), (weights, scale), bias, y_zero_point)
        op, _, expected = answered(integer_models.Case(content, x, activation))
        totals = (x.astype(np.int64) - zero_point) * weights.ravel().astype(np.int64) + bias
        rule = np.array([multiplier_of(float(ratio)) for ratio in scale], np.int64).T
        fused = "no activation" if activation == "NONE" else activation
        what = f"{channels} channels, {fused}"
        found.append((what, (totals, *rule, y_zero_point, *op.limits), expected))
    return found


def rescaling(activation, source, weighted, bias, zero_point) -> bytes:
    (x, x_zero_point), (weights, scale) = source, weighted
    tensors = [
        tensor("x", "INT8", x.shape, 1.0, x_zero_point),
        tensor("w", "INT8", weights.shape, scale, 0, data=weights),
        tensor("b", "INT32", bias.shape, scale, 0, data=bias),
        tensor("y", "INT8", (*x.shape[:3], len(weights)), 1.0, zero_point),
    ]
    fused = integer_models.fused(activation)
    options = schema.Conv2DOptionsT(strideH=1, strideW=1, fusedActivationFunction=fused)
    return assemble(tensors, [("CONV_2D", options, [0, 1, 2], [3])], [0], [3])


def step_4_requantize():
    yield from rescalings()
    what, arguments, expected = rescalings()[0]
    of_32_bits = (part.astype(np.int32) for part in arguments[:3])
    yield f"{what}, all int32", (*of_32_bits, *arguments[3:]), expected
    for op, x, expected in drawn("QUANTIZE"):
        ratio = op.input.scale[0].astype(float) / op.output.scale[0].astype(float)
        steps = x.astype(np.int64) - op.input.zero_point
        rule = multiplier_of(float(ratio))
        yield (
            "rescaling to another grid",
            (steps, *rule, op.output.zero_point, *op.limits),
            expected,
        )


def layer_arguments(op, x) -> tuple:
    """What a dense layer and a convolution share."""
    bias = np.zeros(len(op.weights), np.int32) if op.bias is None else op.bias.value
    scales = op.input.scale[0], op.weight_scale, op.output.scale[0]
    zero_points = op.input.zero_point, op.output.zero_point
    return x, op.inputs[1].value, bias, scales, zero_points, op.limits


def step_5_fully_connected():
    ties = [integer_models.dense_at_ties(0.25, each) for each in (True, False)]
    by_hand = [*ties, sixths("FULLY_CONNECTED", 1), sixths("FULLY_CONNECTED", 5), beside_a_tie()]
    for op, x, expected in [*drawn("FULLY_CONNECTED"), *map(answered, by_hand)]:
        yield f"{x.shape} to {expected.shape}", layer_arguments(op, x), expected


def sixths(operator: str, input_scale: int):
    """One weight, 1, and a ratio of 1/6 or 5/6: each sum is a tie, in float64 only."""
    sides, options = (), schema.FullyConnectedOptionsT()
    if operator == "CONV_2D":
        sides, options = (1, 1), schema.Conv2DOptionsT(strideH=1, strideW=1)
    x = np.int8([-15, -9, -3, 3, 9, 15]).reshape(6, *sides, 1)
    weights = np.ones((1, *sides, 1), np.int8)
    constants = [
        tensor("w", "INT8", weights.shape, 1.0, 0, data=weights),
        tensor("b", "INT32", (1,), input_scale, 0, data=np.zeros(1, np.int32)),
    ]
    source, y = integer_models.Source(x, input_scale, 0), integer_models.output(x.shape, 6.0, 0)
    return integer_models.case(operator, options, source, constants, y)


def beside_a_tie():
    """Sums of 127 * 125 that are 100.499996 steps of the output, and 100.5 in float32."""
    x = integer_models.Source(np.int8([[-125], [125]]), 1.0, 0)
    constants = [
        tensor("w", "INT8", (1, 1), 1.0, 0, data=np.int8([[127]])),
        tensor("b", "INT32", (1,), 1.0, 0, data=np.zeros(1, np.int32)),
    ]
    y = integer_models.output((2, 1), 157.960205078125, 0)
    return integer_models.case("FULLY_CONNECTED", schema.FullyConnectedOptionsT(), x, constants, y)


def moves(options) -> tuple:
    padding = "SAME" if options.padding == schema.Padding.SAME else "VALID"
    return (options.strideH, options.strideW), padding


def step_6_conv_2d():
    by_hand = map(answered, [sixths("CONV_2D", 5), gaps("CONV_2D")])
    for op, x, expected in [*drawn("CONV_2D"), *by_hand]:
        if (op.options.dilationHFactor, op.options.dilationWFactor) == (1, 1):
            arguments = (*layer_arguments(op, x), *moves(op.options))
            size, (strides, padding) = op.weights.shape[1:3], arguments[-2:]
            yield f"{x.shape}, filter {size}, {strides}, {padding}", arguments, expected


def gaps(operator: str):
    """A window of one pixel that moves by two: no border is missing, one is left over."""
    generator = np.random.default_rng(4)
    x = integer_models.Source(integer_models.int8(generator, (1, 4, 4, 1)), 1.0, 3)
    sides = {"padding": schema.Padding.SAME, "strideH": 2, "strideW": 2}
    constants, options = [], schema.Pool2DOptionsT(**sides, filterHeight=1, filterWidth=1)
    if operator == "CONV_2D":
        one, none = np.ones((1, 1, 1, 1), np.int8), np.zeros(1, np.int32)
        constants = [tensor("w", "INT8", one.shape, 1.0, 0, data=one)]
        constants += [tensor("b", "INT32", (1,), 1.0, 0, data=none)]
        options = schema.Conv2DOptionsT(**sides)
    return integer_models.case(
        operator, options, x, constants, integer_models.output((1, 2, 2, 1), 1.0, 3)
    )


def step_7_max_pool_2d():
    for op, x, expected in [*drawn("MAX_POOL_2D"), answered(gaps("MAX_POOL_2D"))]:
        if op.limits == (-128, 127):
            size = op.options.filterHeight, op.options.filterWidth
            arguments = x, size, *moves(op.options)
            yield f"{x.shape}, {arguments[1:]}", arguments, expected


def near_a_half(row: list[int], scale: float):
    """A row of which one probability is so near to half a code that floats round it otherwise."""
    x = integer_models.Source(np.int8([row]), scale, 0)
    y = integer_models.output(x.shape, 1 / 256, -128)
    return integer_models.case("SOFTMAX", schema.SoftmaxOptionsT(1.0), x, [], y)


def step_7_softmax():
    rows = near_a_half([-66, 104, -39, 68], 0.05), near_a_half([-15, -70, -20, 30], 0.1)
    for op, x, expected in [*drawn("SOFTMAX"), *map(answered, rows)]:
        if op.options.beta == 1:
            yield f"{x.shape}, scale {op.input.scale[0]:.3g}", (x, op.input.scale[0]), expected


def step_8_run():
    contents = {path: converted()[path] for path in ("int8", "uint8")}
    images = digits().test.images[:20]
    networks = [(f"mnist_cnn along {path}", file, images) for path, file in contents.items()]
    networks += [(f"network {seed}", *network(seed)) for seed in range(4)]
    for what, content, x in networks:
        trust(content, "reference")
        codes = runtime.Model(content, kernels="reference").quantize_input(x)
        yield what, (content, x), raw_answer(content, codes, "reference")


def network(seed: int) -> tuple[bytes, np.ndarray]:
    """Another network of the same operators, drawn, and images for it."""
    generator, images = np.random.default_rng(seed), np.random.default_rng(9).random((6, 11, 9, 2))
    weights = [generator.integers(-127, 128, s).astype(np.int8) for s in ((5, 3, 2, 2), (4, 45))]
    scales = [np.float32(generator.uniform(0.02, 0.05, len(w))) for w in weights]
    fine = 0.03 if seed == 3 else 0.05  # the code of 6 is beyond 127
    grids = [(0.0041, -120), (fine, int(generator.integers(-128, 0))), (0.9, 7)]
    bias = [generator.integers(-2000, 2001, len(w)).astype(np.int32) for w in weights]
    same = {"padding": schema.Padding.SAME, "strideH": 2, "strideW": 1}
    pool = schema.Pool2DOptionsT(**same | {"strideW": 3}, filterHeight=3, filterWidth=2)
    relu = integer_models.fused(("RELU", "RELU6")[seed % 2])
    last = integer_models.fused(("NONE", "NONE", "RELU", "RELU")[seed])
    tensors = [
        tensor("x", "INT8", (6, 11, 9, 2), *grids[0]),
        tensor("w", "INT8", weights[0].shape, scales[0], 0, data=weights[0]),
        tensor("b", "INT32", (5,), scales[0] * 0.0041, 0, data=bias[0]),
        tensor("conv", "INT8", (6, 6, 9, 5), *grids[1]),
        tensor("pool", "INT8", (6, 3, 3, 5), *grids[1]),
        integer_models.integers("shape", (-1, 45)),
        tensor("flat", "INT8", (6, 45), *grids[1]),
        tensor("w2", "INT8", weights[1].shape, scales[1], 0, data=weights[1]),
        tensor("b2", "INT32", (4,), scales[1] * fine, 0, data=bias[1]),
        tensor("y", "INT8", (6, 4), *grids[2]),
    ]
    conv = schema.Conv2DOptionsT(**same, fusedActivationFunction=relu)
    operators = [
        ("CONV_2D", conv, [0, 1, 2], [3]),
        ("MAX_POOL_2D", pool, [3], [4]),
        ("RESHAPE", schema.ReshapeOptionsT(), [4, 5], [6]),
        ("FULLY_CONNECTED", schema.FullyConnectedOptionsT(last), [6, 7, 8], [9]),
    ]
    return assemble(tensors, operators, [0], [9]), images.astype(np.float32)


def cases(step: int, function: str) -> list:
    """All cases of a function, made once."""
    return _cases(f"step_{step}_{function}")


@functools.cache
def _cases(name: str) -> list:
    return list(globals()[name]())
