"""The integer engine on whole graphs of strangers: their ends, their shapes, their false sizes."""

import copy
import time
import tracemalloc

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import any_models
import tiny_models
from integer_models import RUNTIMES, integers
from lessons_lib import by_tensorflow, integer_engine, reader
from lessons_lib.errors import InputError, ModelFileError
from lessons_lib.system.quiet import tensorflow
from raw_runtimes import raw_answer
from runtimes import needs_micro, on_x86
from tiny_models import assemble, tensor

KERNELS = [
    "reference",
    pytest.param("tflm", marks=needs_micro),
    pytest.param("builtin", marks=on_x86),
    pytest.param("xnnpack", marks=on_x86),
]
RANDOM = np.random.default_rng(7)


def codes(*shape):
    return RANDOM.integers(-128, 128, shape).astype(np.int8)


def end(name, shape, data=None, scale=0.1, zero_point=3):
    return tensor(name, "INT8", shape, scale, zero_point, data=data)


def require_same(content, x, kernels):
    expected = raw_answer(content, x, kernels)
    found = integer_engine.run(content, x, kernels)
    if not isinstance(expected, dict):
        expected, found = {"": expected}, {"": found}
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype)
        assert np.array_equal(found[name], array), name


def two_in_two_out(batch=1):
    """Two images go in; their sum and their product come out."""
    shape = (batch, 3, 2, 4)
    ends = [end("left", shape), end("right", shape), end("sum", shape), end("product", shape)]
    operators = [
        ("ADD", schema.AddOptionsT(), [0, 1], [2]),
        ("MUL", schema.MulOptionsT(), [0, 1], [3]),
    ]
    return assemble(ends, operators, [0, 1], [2, 3])


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("batch", [1, 3])
def test_several_inputs_and_outputs_go_by_name(batch, kernels):
    x = {"left": codes(7, 3, 2, 4), "right": codes(7, 3, 2, 4)}
    require_same(two_in_two_out(batch), x, kernels)


def test_names_that_are_missing_are_said():
    with pytest.raises(InputError, match=r"takes left, right; given: ndarray"):
        integer_engine.run(two_in_two_out(), codes(1, 3, 2, 4))


def test_the_default_signature_is_run_wherever_its_subgraph_stands():
    model = reader.read(two_in_two_out())
    other = reader.read(two_in_two_out()).subgraphs[0]
    other.operators = other.operators[:1]
    other.operators[0].opcodeIndex = 1  # a product where the default has a sum
    other.outputs = [2]
    model.subgraphs.insert(0, other)
    model.signatureDefs = [
        schema.SignatureDefT(
            inputs=[schema.TensorMapT("a", 0), schema.TensorMapT("b", 1)],
            outputs=[schema.TensorMapT("y", 2)],
            signatureKey=key,
            subgraphIndex=number,
        )
        for number, key in enumerate(["apart", "serving_default"])
    ]
    x = {"a": codes(2, 3, 2, 4), "b": codes(2, 3, 2, 4)}
    whole = integer_engine.run(two_in_two_out(), {"left": x["a"], "right": x["b"]})
    assert np.array_equal(integer_engine.run(tiny_models.pack(model), x), whole["sum"])


def conversions(build, shape, batch):
    keras = tiny_models.fresh_keras()
    image = keras.Input(shape, name="image")
    model = keras.Model(image, build(keras, image))
    return tiny_models.convert(model, "int8", batch)


def summed_to_channels(keras, image):
    """MEAN, then RESHAPE to (C,), which has no axis for samples, then ADD."""
    mean = keras.ops.mean(keras.layers.Conv2D(4, 3)(image), axis=(1, 2))
    flat = keras.ops.reshape(mean, (4,))
    return keras.ops.reshape(flat + np.float32([1, -1, 0.5, 0]), (1, 4))


def dilated_rows(keras, image):
    return keras.layers.Conv1D(4, 3, dilation_rate=2, padding="same")(image)


def softmax_of_half_the_samples(x):
    tf = tensorflow()
    return tf.reshape(tf.nn.softmax(tf.reshape(x, (2, -1))), (-1, 2, 4))


def softmax_of_half_the_samples_counted(x):
    tf = tensorflow()
    return tf.reshape(tf.nn.softmax(tf.reshape(x, (2, 4 * tf.shape(x)[0]))), (-1, 2, 4))


def softmax_of_half_a_sample(x):
    tf = tensorflow()
    return tf.reshape(tf.nn.softmax(tf.reshape(x, (-1, 4))), (-1, 2, 4))


@pytest.mark.parametrize("kernels", ["reference", "builtin", "xnnpack"])
@pytest.mark.parametrize(
    ("function", "apart"),
    [
        (softmax_of_half_the_samples, False),
        (softmax_of_half_the_samples_counted, False),
        (softmax_of_half_a_sample, True),
    ],
)
def test_a_first_size_that_is_said_takes_from_all_samples(function, apart, kernels, tmp_path):
    tf = tensorflow()
    module = tf.Module()
    spec = tf.TensorSpec((None, 2, 4), tf.float32, name="x")
    module.call = tf.function(lambda x: {"y": function(x)}, input_signature=[spec])
    folder = any_models.save((module, {"serving_default": module.call}), tmp_path)
    x = np.random.default_rng(0).random((40, 2, 4), dtype=np.float32)
    content, *_ = by_tensorflow.converted(folder, "int8", x, None, None)
    assert integer_engine._graph(content, kernels, False).apart == apart
    require_same(content, codes(34, 2, 4), kernels)


@pytest.mark.parametrize("kernels", ["reference", "builtin", "xnnpack"])
@pytest.mark.parametrize(
    ("build", "shape", "batch"),
    [(summed_to_channels, (9, 9, 3), 1), (dilated_rows, (12, 3), None), (dilated_rows, (12, 3), 1)],
)
def test_sound_files_are_computed(build, shape, batch, kernels):
    content = conversions(build, shape, batch)
    require_same(content, codes(5, *shape), kernels)


@pytest.mark.parametrize("kernels", RUNTIMES)
@pytest.mark.parametrize("order", [(1, 0, 2), (2, 1, 0)])
def test_what_mixes_samples_is_computed_call_by_call(order, kernels):
    x = codes(1, 4, 5)
    shape = x.transpose(order).shape
    content = assemble(
        [end("x", x.shape), integers("order", order), end("y", shape)],
        [("TRANSPOSE", schema.TransposeOptionsT(), [0, 1], [2])],
        [0],
        [2],
    )
    require_same(content, codes(3, 4, 5), kernels)


@pytest.mark.parametrize("kernels", ["reference", "builtin", "xnnpack"])
def test_where_a_vector_ends_in_a_call_is_kept_with_a_fixed_batch(kernels):
    """QUANTIZE sends ties up in whole vectors only: 10 elements a call are none, 100 are."""
    ends = [end("x", (1, 10), scale=0.25), tensor("y", "UINT8", (1, 10), 0.5, 128)]
    content = assemble(ends, [("QUANTIZE", schema.QuantizeOptionsT(), [0], [1])], [0], [1])
    require_same(content, codes(10, 10), kernels)


@pytest.mark.parametrize("kernels", KERNELS)
def test_a_slice_of_the_whole_batch_keeps_all_samples(kernels):
    """Without masks the file says 0 to 1 of the samples, which are all of a call."""
    cuts = [integers(name, cut) for name, cut in (("from", [0, 1]), ("to", [1, 4]), ("by", [1, 1]))]
    operators = [("STRIDED_SLICE", schema.StridedSliceOptionsT(), [0, 1, 2, 3], [4])]
    content = assemble([end("x", (1, 5)), *cuts, end("y", (1, 3))], operators, [0], [4])
    require_same(content, codes(7, 5), kernels)


def transposed(dtype, computed_shape=False, shape=(1, 6, 6, 8), **options):
    """A TRANSPOSE_CONV whose output shape is stored, or the shape of its input."""
    bias = RANDOM.integers(-99, 99, 8).astype(np.int32)
    weights = RANDOM.integers(-127, 128, (8, 3, 3, 8)).astype(np.int8)
    ends = [
        tensor("x", dtype, (1, 6, 6, 8), 0.1, 0),
        tensor("w", "INT8", weights.shape, 0.5 / 2**7, 0, data=weights),
        tensor("b", "INT32", (8,), 0.05 / 2**7, 0, data=bias),
        tensor("shape", "INT32", (4,)) if computed_shape else integers("shape", shape),
        tensor("y", dtype, shape, 0.3, 0),
    ]
    options = {"padding": schema.Padding.SAME, "strideH": 1, "strideW": 1} | options
    options = schema.TransposeConvOptionsT(quantizedBiasType=schema.TensorType.INT32, **options)
    shaped = [("SHAPE", schema.ShapeOptionsT(schema.TensorType.INT32), [0], [3])]
    operators = [
        *(shaped if computed_shape else []),
        ("TRANSPOSE_CONV", options, [3, 1, 0, 2], [4]),
    ]
    return assemble(ends, operators, [0], [4])


@pytest.mark.parametrize("kernels", ["reference", "builtin", "xnnpack"])
@pytest.mark.parametrize("computed_shape", [True, False])
def test_a_shape_that_is_computed_keeps_a_convolution_from_xnnpack(computed_shape, kernels):
    require_same(transposed("INT8", computed_shape), codes(5, 6, 6, 8), kernels)


@pytest.mark.parametrize("rows", [10, 13, 14, 16])
@pytest.mark.parametrize("kernels", KERNELS)
def test_a_shape_beyond_the_last_window_is_that_of_the_runtime(kernels, rows):
    """The windows end at row 13: XNNPACK adds less than a step, whatever it is told."""
    if kernels in ("reference", "builtin") and rows not in (13, 14):
        pytest.skip("LiteRT's own kernels refuse the file")
    options = {"padding": schema.Padding.VALID, "strideH": 2}
    require_same(transposed("INT8", shape=(1, rows, 8, 8), **options), codes(1, 6, 6, 8), kernels)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("announced", ["FLOAT32", "INT32", "INT64"])
def test_a_layer_without_a_bias_sums_up_in_the_bits_that_are_announced(announced, kernels):
    shape, outputs = (1, 64), 16
    weights = RANDOM.integers(-127, 128, (outputs, 64)).astype(np.int8)
    options = schema.FullyConnectedOptionsT(quantizedBiasType=getattr(schema.TensorType, announced))
    ends = [
        tensor("x", "INT16", shape, 0.01, 0),
        tensor("w", "INT8", weights.shape, 0.013, 0, data=weights),
        tensor("y", "INT16", (1, outputs), 0.17, 0),
    ]
    content = assemble(ends, [("FULLY_CONNECTED", options, [0, 1, -1], [2])], [0], [2])
    x = RANDOM.integers(-(2**15), 2**15, (50, 64)).astype(np.int16)
    require_same(content, x, kernels)


def test_a_short_bias_that_a_runtime_takes_for_a_long_one_is_refused():
    x = codes(2, 6, 6, 8).astype(np.int16) * 200
    require_same(transposed("INT16"), x, "reference")
    with pytest.raises(ModelFileError, match="32 bits that TFLite-Micro takes for one of 64"):
        integer_engine.run(transposed("INT16"), x, "tflm")


def sum_of_all_pairs(dtype, first, second, result):
    """The sum of every code with every other; the last ones fill no vector."""
    limits = np.iinfo(dtype.lower())
    sides = np.meshgrid(*[np.arange(limits.min, limits.max + 1)] * 2)
    a, b = (np.resize(side, (1, 2**16 + 5)).astype(limits.dtype) for side in sides)
    ends = [tensor("a", dtype, a.shape, *first), tensor("b", dtype, a.shape, *second)]
    options = schema.AddOptionsT(potScaleInt16=False)
    ends.append(tensor("sum", dtype, a.shape, *result))
    return assemble(ends, [("ADD", options, [0, 1], [2])], [0, 1], [2]), {"a": a, "b": b}


@on_x86
@pytest.mark.parametrize(
    ("dtype", "first", "second", "result"),
    [
        ("INT8", (0.685, -31), (0.72, 47), (0.808, 0)),
        ("INT8", (0.901, 66), (0.304, -28), (1.646, 0)),
        ("UINT8", (0.996, 242), (0.954, 158), (1.296, 128)),
        ("UINT8", (0.159, 230), (0.857, 237), (0.492, 128)),
    ],
)
def test_sums_that_the_vector_units_round_otherwise(dtype, first, second, result):
    content, x = sum_of_all_pairs(dtype, first, second, result)
    assert np.any(raw_answer(content, x, "builtin") != raw_answer(content, x, "reference"))
    for kernels in ("reference", "builtin", "xnnpack"):
        require_same(content, x, kernels)


@on_x86
def test_long_sums_that_the_vector_units_round_otherwise():
    g, shape = np.random.default_rng(0), (1, 2**20 + 5)
    x = {name: g.integers(-(2**15), 2**15, shape).astype(np.int16) for name in "ab"}
    scales = 0.021098, 0.0078314, 0.0250962
    ends = [tensor(n, "INT16", shape, s, 0) for n, s in zip("aby", scales, strict=True)]
    options = schema.AddOptionsT(potScaleInt16=False)
    content = assemble(ends, [("ADD", options, [0, 1], [2])], [0, 1], [2])
    assert np.any(raw_answer(content, x, "builtin") != raw_answer(content, x, "reference"))
    for kernels in ("reference", "builtin"):
        require_same(content, x, kernels)


# ---- variables


def streaming(first, computed=False, read_late=False):
    """The last three samples, of which a variable keeps two: first, then of the call before.

    With ``computed`` its first value is a sum; with ``read_late`` it is read when it is assigned.
    """
    ends = [
        end("x", (1, 1, 4)),
        tensor("handle", "RESOURCE", ()),
        end("before", (1, 2, 4)),
        end("y", (1, 3, 4)),
        *(integers(name, cut) for name, cut in (("from", [0, 1, 0]), ("to", [1, 3, 4]))),
        integers("by", [1, 1, 1]),
        end("kept", (1, 2, 4)),
        end("first", (1, 2, 4), first),
    ]
    operators = [
        ("CALL_ONCE", schema.CallOnceOptionsT(), [], []),
        ("VAR_HANDLE", schema.VarHandleOptionsT(sharedName="kept"), [], [1]),
        ("READ_VARIABLE", schema.ReadVariableOptionsT(), [1], [2]),
        ("CONCATENATION", schema.ConcatenationOptionsT(axis=1), [2, 0], [3]),
        ("STRIDED_SLICE", schema.StridedSliceOptionsT(), [3, 4, 5, 6], [7]),
        ("ASSIGN_VARIABLE", schema.AssignVariableOptionsT(), [1, 7], []),
        ("ADD", schema.AddOptionsT(), [8, 8], [2]),
    ]
    model = reader.read(assemble(ends, operators, [0], [3]))
    graph = model.subgraphs[0]
    start = copy.deepcopy(graph)
    start.inputs, start.outputs, (*parts, added) = [], [], start.operators
    graph.operators.pop()
    start.operators = [parts[1], *([added] if computed else []), parts[5]]
    start.operators[-1].inputs = [1, 2 if computed else 8]
    if read_late:
        graph.operators.append(graph.operators.pop(2))
        graph.operators[2].inputs = [8, 0]
    graph.operators[0].builtinOptions.initSubgraphIndex = 1
    model.subgraphs.append(start)
    return tiny_models.pack(model)


@pytest.mark.parametrize("kernels", KERNELS)
def test_a_variable_starts_anew_for_each_sample(kernels):
    content, x = streaming(np.full((1, 2, 4), 3, np.int8)), codes(5, 1, 4)
    require_same(content, x, kernels)
    assert np.array_equal(integer_engine.run(content, x, kernels)[:, :2], np.full((5, 2, 4), 3))


def test_the_first_values_of_a_variable_are_those_of_the_file():
    content, x = streaming(codes(1, 2, 4)), codes(3, 1, 4)
    for kernels in ("reference", "builtin", "xnnpack"):
        require_same(content, x, kernels)
    with pytest.raises(ModelFileError, match="TFLite-Micro forgets it when it is reset"):
        integer_engine.run(content, x, "tflm")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("read_late", "reads a variable after it is assigned"),
        ("computed", "computes the first values of its variables, with ADD"),
    ],
)
def test_variables_that_are_more_than_first_values_are_refused(change, message):
    with pytest.raises(ModelFileError, match=message):
        integer_engine.run(streaming(codes(1, 2, 4), **{change: True}), codes(1, 1, 4))


# ---- false sizes


def false_padding():
    pads = [[0, 0], [0, 10**6], [0, 0], [0, 0]]
    ends = [end("x", (1, 2, 40, 40)), integers("pads", pads), end("y", (1, 10**6 + 2, 40, 40))]
    return assemble(ends, [("PAD", schema.PadOptionsT(), [0, 1], [2])], [0], [2]), (1, 2, 40, 40)


def false_pool(operator):
    options = schema.Pool2DOptionsT(
        padding=schema.Padding.SAME, strideH=1, strideW=1, filterHeight=2**24, filterWidth=1
    )
    ends = [end("x", (1, 8, 8, 4)), end("y", (1, 8, 8, 4))]
    return assemble(ends, [(operator, options, [0], [1])], [0], [1]), (1, 8, 8, 4)


def false_sum():
    """Shapes added that are spread over each other: 2**36 numbers."""
    ends = [
        tensor("x", "INT32", (1, 2**18)),
        tensor("other", "INT32", (2**18, 1), data=np.zeros((2**18, 1), np.int32)),
        tensor("y", "INT32", (2**18, 2**12)),
    ]
    return assemble(ends, [("ADD", schema.AddOptionsT(), [0, 1], [2])], [0], [2]), (1, 2**18)


def false_size():
    options = schema.ResizeNearestNeighborOptionsT()
    ends = [end("x", (1, 2, 2, 4)), integers("size", [2**15, 2**15]), end("y", (1, 2, 2, 4))]
    operators = [("RESIZE_NEAREST_NEIGHBOR", options, [0, 1], [2])]
    return assemble(ends, operators, [0], [2]), (1, 2, 2, 4)


@pytest.mark.parametrize(
    "made",
    [false_padding(), false_pool("MAX_POOL_2D"), false_pool("AVERAGE_POOL_2D"), false_sum(),
     false_size()],
    ids=["PAD", "MAX_POOL_2D", "AVERAGE_POOL_2D", "ADD", "RESIZE"],
)  # fmt: skip
def test_false_sizes_are_refused_before_they_are_computed(made):
    content, shape = made
    x = np.zeros(shape, np.int32 if len(shape) == 2 else np.int8)
    tracemalloc.start()
    start = time.monotonic()
    with pytest.raises(ModelFileError, match=r"engine (makes none above|takes sides up to)"):
        integer_engine.run(content, x)
    assert time.monotonic() - start < 5
    assert tracemalloc.get_traced_memory()[1] < 100e6
    tracemalloc.stop()


# ---- refusals that name what the file has


def test_weights_in_blocks_are_refused():
    """LiteRT's builtin and reference kernels give zeros for them, without a word."""
    weights = tensor("w", "INT4", (4, 64), 0.1, 0, data=np.zeros(128, np.uint8))
    weights[0].quantization.detailsType = schema.QuantizationDetails.BlockwiseQuantization
    weights[0].quantization.details = schema.BlockwiseQuantizationT(scales=1, blockSize=32)
    operators = [("FULLY_CONNECTED", schema.FullyConnectedOptionsT(), [0, 1], [2])]
    content = assemble([end("x", (1, 64)), weights, end("y", (1, 4))], operators, [0], [2])
    with pytest.raises(ModelFileError, match=r"w is quantized in blocks.*runtime\.Model"):
        integer_engine.run(content, codes(1, 64))


def test_strings_are_not_called_sixteen_bits():
    ends = [tensor("x", "STRING", (1, 4)), tensor("y", "STRING", (1, 4))]
    operators = [("RESHAPE", schema.ReshapeOptionsT([1, 4]), [0], [1])]
    with pytest.raises(ModelFileError, match=r"input x is STRING; the engine takes INT8, UINT8"):
        integer_engine.run(assemble(ends, operators, [0], [1]), codes(1, 4))


def test_a_token_outside_the_table_is_named():
    table = end("table", (5, 2), codes(5, 2))
    operators = [("GATHER", schema.GatherOptionsT(axis=0), [1, 0], [2])]
    content = assemble(
        [tensor("x", "INT32", (1, 3)), table, end("y", (1, 3, 2))], operators, [0], [2]
    )
    with pytest.raises(ModelFileError, match="place 9 from an axis of 5"):
        integer_engine.run(content, np.array([[1, 9, 2]], np.int32))


def test_a_signature_that_names_another_tensor_is_said():
    """As in a public file whose input was put behind a QUANTIZE after its signature was written."""
    ends = [end("x", (1, 4)), end("inner", (1, 4)), end("y", (1, 4))]
    operators = [(name, None, [n], [n + 1]) for n, name in enumerate(("RELU", "RELU6"))]
    model = reader.read(assemble(ends, operators, [0], [2]))
    sides = [[schema.TensorMapT(name, number)] for name, number in (("x", 1), ("y", 2))]
    model.signatureDefs = [schema.SignatureDefT(*sides, "serving_default", 0)]
    with pytest.raises(ModelFileError, match=r"RELU reads the tensor x, .* its graph"):
        integer_engine.run(tiny_models.pack(model), codes(1, 4))


def test_long_codes_with_a_zero_point_are_refused():
    ends = [tensor(name, "INT16", (1, 4), 0.1, -(2**15)) for name in "xy"]
    content = assemble(ends, [("ADD", schema.AddOptionsT(), [0, 0], [1])], [0], [1])
    with pytest.raises(ModelFileError, match="x of INT16 has zero point -32768: ADD takes and"):
        integer_engine.run(content, codes(1, 4).astype(np.int16))


@pytest.mark.parametrize("kernels", ["reference", "xnnpack"])
def test_matrices_of_other_rules_are_refused(kernels):
    """Of weights with many scales LiteRT knows none; XNNPACK has rules of its own."""
    scale = 0.1 if kernels == "xnnpack" else np.full(4, 0.1)
    weights = tensor("w", "INT8", (4, 4), scale, 0, data=codes(4, 4))
    operators = [("BATCH_MATMUL", schema.BatchMatMulOptionsT(), [0, 1], [2])]
    content = assemble([end("x", (1, 4)), weights, end("y", (1, 4))], operators, [0], [2])
    with pytest.raises(ModelFileError, match=f"BATCH_MATMUL of {kernels} multiplies .*int8"):
        integer_engine.run(content, codes(1, 4), kernels)


def test_images_of_uint8_eight_times_as_large_are_refused():
    ends = [
        tensor("x", "UINT8", (1, 2, 2, 8), 0.1, 0),
        integers("size", [16, 16]),
        tensor("y", "UINT8", (1, 16, 16, 8), 0.1, 0),
    ]
    options = schema.ResizeBilinearOptionsT(halfPixelCenters=True)
    content = assemble(ends, [("RESIZE_BILINEAR", options, [0, 1], [2])], [0], [2])
    x = (codes(1, 2, 2, 8).astype(np.int16) + 128).astype(np.uint8)
    require_same(content, x, "reference")
    with pytest.raises(ModelFileError, match="RESIZE_BILINEAR of builtin has an arithmetic of its"):
        integer_engine.run(content, x, "builtin")
