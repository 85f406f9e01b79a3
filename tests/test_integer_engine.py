"""The integer engine on whole models, against every runtime, and its refusals.

Single operators, with drawn shapes and scales, are in test_integer_engine_fuzz.
"""

import copy

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import tiny_models
from lessons_lib import integer_engine, reader, runtime, tables
from lessons_lib.errors import FloatError, InputError, ModelFileError
from lessons_lib.system.sandbox import trust
from raw_runtimes import raw_answer
from reference import converted, digits
from runtimes import answer, needs_micro, on_x86

ALL_KERNELS = [
    "reference",
    pytest.param("tflm", marks=needs_micro),
    pytest.param("builtin", marks=on_x86),
    pytest.param("xnnpack", marks=on_x86),
]


def codes(content: bytes, count: int = 1_000) -> np.ndarray:
    """The first test digits in the model's input dtype."""
    return runtime.Model(content).quantize_input(digits().test.images[:count])


@pytest.mark.parametrize("kernels", ALL_KERNELS)
@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("mnist_cnn", "int8"),
        ("mnist_cnn", "uint8"),
        ("ds_cnn", "int8"),
        ("ds_cnn", "uint8"),
    ],
)
def test_every_output_of_all_test_digits_is_exact(model, path, kernels):
    content = converted(model)[path]
    x = codes(content)
    result = integer_engine.run(content, x, kernels=kernels)
    assert (result.shape, result.dtype) == ((1_000, 10), x.dtype)
    assert np.array_equal(result, answer(content, x, kernels))


@pytest.mark.parametrize("kernels", ALL_KERNELS)
@pytest.mark.parametrize("model", ["mnist_cnn", "ds_cnn"])
def test_every_tensor_between_is_exact(model, kernels):
    content = converted(model)["int8"]
    x = codes(content, 100)
    expected = runtime.tensor_values(content, x, kernels=kernels)
    table = tables.tensors(content)
    computed = table["role"].isin(["input", "activation", "output"]) & (table["dtype"] == "INT8")
    traced = integer_engine.trace(content, x, kernels=kernels)
    assert set(traced) == set(table.index[computed])
    for index, values in traced.items():
        assert values.dtype == np.int8
        assert np.array_equal(values, expected[index]), table["name"][index]


@pytest.mark.parametrize("kernels", ALL_KERNELS)
def test_floats_may_go_in_and_come_out(kernels):
    content, images = converted()["int8_float_fallback"], digits().test.images[:300]
    result = integer_engine.run(content, images, kernels=kernels)
    assert (result.shape, result.dtype) == ((300, 10), np.float32)
    assert np.array_equal(result, answer(content, images, kernels))


def network():
    """Most operators in one model, built from Keras layers, with odd sides and strides."""
    keras = tiny_models.fresh_keras()
    layers = keras.layers
    image = keras.Input((13, 11, 3), name="image")
    x = layers.Conv2D(10, (3, 2), strides=(2, 1), padding="same", activation="relu6")(image)
    x = layers.ZeroPadding2D(((1, 0), (0, 2)))(x)
    left = layers.DepthwiseConv2D(3, depth_multiplier=2, dilation_rate=2, padding="same")(x)
    right = layers.Conv2D(20, 1)(x)
    x = layers.ReLU()(layers.Add()([left, right]))
    x = layers.Concatenate()([layers.AveragePooling2D(2, padding="same")(x),
                              layers.MaxPooling2D(2, padding="same")(x)])  # fmt: skip
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Dense(33, activation="relu")(layers.Flatten()(x))
    return keras.Model(image, layers.Dense(7, activation="softmax")(x))


def without_softmax():
    """Logits as outputs, valid pooling that leaves a border out, and a wide dense layer."""
    keras = tiny_models.fresh_keras()
    layers = [
        keras.layers.Input((17, 17, 2), name="image"),
        keras.layers.DepthwiseConv2D(5, strides=3, activation="relu"),
        keras.layers.AveragePooling2D((3, 2), strides=2),
        keras.layers.Flatten(),
        keras.layers.Dense(130),
        keras.layers.Dense(3, use_bias=False),
    ]
    return keras.Sequential(layers)


@pytest.fixture(scope="module", params=["network", "without_softmax"])
def made_by_keras(request):
    """(int8 bytes, uint8 bytes) of a model, and images for it."""
    model = globals()[request.param]()
    # Only for a fixed batch does the converter write a dilated convolution as one operator.
    batch = 1 if request.param == "network" else None
    files = [tiny_models.convert(model, path, batch) for path in ("int8", "uint8")]
    for content in files:
        trust(content)
    return files, tiny_models.images(model.inputs[0].shape[1:], 40)


@pytest.mark.parametrize("kernels", ALL_KERNELS)
def test_other_models_of_the_converter_are_exact(made_by_keras, kernels):
    contents, images = made_by_keras
    for content in contents:
        x = runtime.Model(content).quantize_input(images)
        result = integer_engine.run(content, x, kernels=kernels)
        assert np.array_equal(result, answer(content, x, kernels))


def dense_over_rows(keras):
    image = keras.Input((6, 8), name="image")
    return keras.Model(image, keras.layers.Dense(5, activation="softmax")(image))


def dilated(keras):
    image = keras.Input((9, 9, 3), name="image")
    return keras.Model(image, keras.layers.Conv2D(4, 3, dilation_rate=2, padding="same")(image))


@pytest.mark.parametrize("kernels", ["reference", "builtin", "xnnpack"])
@pytest.mark.parametrize(
    ("build", "operators"),
    [
        (dense_over_rows, {"GATHER", "REDUCE_PROD"}),
        (dilated, {"SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND"}),
    ],
)
def test_what_a_dynamic_batch_adds_is_exact(build, operators, kernels):
    model = build(tiny_models.fresh_keras())
    content = tiny_models.convert(model, "int8")
    assert operators <= set(tables.operators(content)["operator"])
    x = runtime.Model(content).quantize_input(tiny_models.images(model.inputs[0].shape[1:], 40))
    expected = runtime.Model(content, kernels=kernels).run(x, batch_size=len(x))
    assert np.array_equal(integer_engine.run(content, x, kernels=kernels), expected)


def test_the_networks_have_the_operators_that_they_are_for(made_by_keras):
    contents, images = made_by_keras
    pools = {"DEPTHWISE_CONV_2D", "AVERAGE_POOL_2D", "FULLY_CONNECTED"}
    more = {"CONV_2D", "PAD", "ADD", "MAX_POOL_2D", "CONCATENATION", "MEAN", "SOFTMAX"}
    wanted = pools | more if images.shape[3] == 3 else pools
    assert wanted <= set(tables.operators(contents[0])["operator"])
    assert "QUANTIZE" in set(tables.operators(contents[1])["operator"])
    options = [op.builtinOptions for op in reader.read(contents[0]).subgraphs[0].operators]
    dilated = any(getattr(option, "dilationHFactor", 1) == 2 for option in options)
    assert dilated == (images.shape[3] == 3)


@pytest.mark.parametrize("count", [1, 7, 333])
def test_any_batch_gives_the_same(count):
    content = converted()["int8"]
    x = codes(content, 333)
    whole = integer_engine.run(content, x)
    parts = [integer_engine.run(content, x[i : i + count]) for i in range(0, 333, count)][:60]
    assert np.array_equal(np.concatenate(parts), whole[: sum(map(len, parts))])


def test_a_path_is_as_good_as_bytes(tmp_path):
    file = tmp_path / "model.tflite"
    file.write_bytes(converted()["int8"])
    x = codes(converted()["int8"], 3)
    assert np.array_equal(integer_engine.run(file, x), integer_engine.run(file.read_bytes(), x))


# ---- no float


@pytest.mark.parametrize("model", ["mnist_cnn", "ds_cnn"])
def test_strict_gives_the_same_with_integers_alone(model):
    content = converted(model)["int8"]
    x = codes(content, 30)
    strict = integer_engine.run(content, x, kernels="tflm", strict=True)
    assert type(strict) is np.ndarray
    assert np.array_equal(strict, integer_engine.run(content, x, kernels="tflm"))


@pytest.mark.parametrize(
    ("kernels", "message"),
    [
        ("reference", r"FULLY_CONNECTED of reference uses floats.*: multiply gives float64,"),
        ("builtin", r"SOFTMAX of builtin uses floats"),
        ("xnnpack", r"CONV_2D of xnnpack uses floats.*: astype gives float32,"),
    ],
)
def test_strict_names_the_operator_where_a_runtime_uses_a_float(kernels, message):
    content = converted()["int8"]
    with pytest.raises(FloatError, match=message) as caught:
        integer_engine.run(content, codes(content, 1), kernels=kernels, strict=True)
    assert "strict=True allows integers only (kernels='tflm' uses no floats)" in str(caught.value)
    assert str(caught.value).endswith("(lesson 09)")


def test_strict_catches_a_float_in_an_operator(monkeypatch):
    """The proof is worth something only if a float that slips in is found."""
    honest = integer_engine.OPERATORS["RESHAPE"]

    def by_float(op, x, shape):
        return honest(op, (x * 1.0).astype(np.int8), shape)

    monkeypatch.setitem(integer_engine.OPERATORS, "RESHAPE", by_float)
    content = converted()["int8"]
    integer_engine.run(content, codes(content, 1), kernels="tflm")
    with pytest.raises(FloatError, match=r"RESHAPE of tflm uses floats.*only: multiply gives"):
        integer_engine.run(content, codes(content, 1), kernels="tflm", strict=True)


# ---- models by hand


def image_tensor(name, scale, zero_point, shape=(1, 2, 2, 1), data=None):
    return tiny_models.tensor(name, "INT8", shape, scale, zero_point, data=data)


def hand_made(operators, *tensors, output=None):
    """A model of 2 x 2 x 1 images with these operators; by default the last tensor comes out."""
    output = len(tensors) if output is None else output
    every = [image_tensor("x", 0.1, 3), *tensors]
    return tiny_models.assemble(every, operators, [0], [output])


IMAGES = np.random.default_rng(9).integers(-128, 128, (40, 2, 2, 1)).astype(np.int8)


def conv_and_pool(pool_scale, also_output=False):
    conv = schema.Conv2DOptionsT(padding=schema.Padding.VALID, strideW=1, strideH=1)
    pool = schema.Pool2DOptionsT(
        padding=schema.Padding.VALID, strideW=1, strideH=1, filterWidth=2, filterHeight=2
    )
    weights = tiny_models.tensor("w", "INT8", (1, 1, 1, 1), 0.5, 0, data=np.array([77], np.int8))
    bias = tiny_models.tensor("b", "INT32", (1,), 0.05, 0, data=np.array([9], np.int32))
    between = image_tensor("conv", 0.05, 3)
    pooled = image_tensor("pool", pool_scale, 3, (1, 1, 1, 1))
    operators = [("CONV_2D", conv, [0, 1, 2], [3]), ("MAX_POOL_2D", pool, [3], [4])]
    return hand_made(operators, weights, bias, between, pooled, output=3 if also_output else 4)


@pytest.mark.parametrize("kernels", ["reference", "builtin"])
@pytest.mark.parametrize("pool_scale", [0.05, 0.1])
def test_a_pool_with_a_scale_of_its_own_copies_codes(kernels, pool_scale):
    content = conv_and_pool(pool_scale)
    expected = runtime.Model(content, kernels=kernels).run(IMAGES)
    assert np.array_equal(integer_engine.run(content, IMAGES, kernels), expected)


def test_a_pooled_convolution_may_be_the_output():
    content = conv_and_pool(0.05, also_output=True)
    values = runtime.tensor_values(content, IMAGES)
    assert np.array_equal(integer_engine.run(content, IMAGES), values[3])


@pytest.mark.parametrize("order", [[0, 1, 2], [1, 0, 2]])
def test_a_constant_may_be_added_on_either_side_strictly(order):
    constant = image_tensor("c", 0.2, -7, data=np.arange(4, dtype=np.int8).reshape(1, 2, 2, 1))
    operator = ("ADD", schema.AddOptionsT(), order[:2], [2])
    content = hand_made([operator], constant, image_tensor("y", 0.3, 1))
    strict = integer_engine.run(content, IMAGES, "tflm", strict=True)
    assert np.array_equal(strict, runtime.Model(content, kernels="reference").run(IMAGES))


def test_a_concatenation_of_different_scales_is_refused():
    options = schema.ConcatenationOptionsT(axis=3)
    content = hand_made(
        [("CONCATENATION", options, [0, 0], [1])], image_tensor("y", 0.2, 3, (1, 2, 2, 2))
    )
    with pytest.raises(ModelFileError, match="CONCATENATION of tensors with different scales"):
        integer_engine.run(content, IMAGES)


def test_a_mean_over_the_batch_is_computed_call_by_call():
    axes = tiny_models.tensor("axes", "INT32", (1,), data=np.array([0], np.int32))
    options = schema.ReducerOptionsT(keepDims=True)
    content = hand_made([("MEAN", options, [0, 1], [2])], axes, image_tensor("y", 0.1, 3))
    assert np.array_equal(
        integer_engine.run(content, IMAGES), raw_answer(content, IMAGES, "reference")
    )


# ---- refusals


@pytest.mark.parametrize("path", ["float32", "dynamic_range", "float16"])
def test_what_is_not_full_integer_is_refused(path):
    x = np.zeros((1, 28, 28, 1), np.float32)
    with pytest.raises(ModelFileError, match=r"takes .*full integer.*\(lesson \d\d\)"):
        integer_engine.run(converted()[path], x)


def test_what_fell_back_to_float_inside_is_refused():
    content = tiny_models.converted("depthwise_with_elu", "int8_float_fallback", 1)
    assert "ELU" in set(tables.operators(content)["operator"])
    with pytest.raises(
        ModelFileError, match=r"not full integer, some operators fell back to float"
    ):
        integer_engine.run(content, np.zeros((1, 8, 8, 4), np.float32))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 28, 28, 1), np.float32), r"expected int8 input, got float32: .*lesson 07"),
        (np.zeros((2, 28, 28, 1), np.uint8), "expected int8 input, got uint8"),
        (np.zeros((2, 28, 28), np.int8), r"shape \(N, 28, 28, 1\), got \(2, 28, 28\)"),
        (np.zeros((28, 28, 1), np.int8), "add the batch axis"),
        (np.zeros((0, 28, 28, 1), np.int8), "at least one: 0 of"),
    ],
)
@pytest.mark.parametrize("function", [integer_engine.run, integer_engine.trace])
def test_an_input_that_does_not_fit_is_refused(function, x, message):
    with pytest.raises(InputError, match=message):
        function(converted()["int8"], x)


@pytest.mark.parametrize("length", [0, 3, 100, 5_000, 40_000, 64_000])
def test_a_truncated_file_is_refused(length):
    content = converted()["int8"]
    with pytest.raises(ModelFileError, match=r"corrupted|not a \.tflite file"):
        integer_engine.run(content[:length], codes(content, 1))


def damaged(change):
    """The int8 file of mnist_cnn after ``change(graph)``."""
    model = reader.read(converted()["int8"])
    change(model.subgraphs[0])
    return tiny_models.pack(model)


def false_zero_point(graph):
    graph.tensors[graph.inputs[0]].quantization.zeroPoint = [1_000]


def false_scale(graph):
    graph.tensors[graph.inputs[0]].quantization.scale = [float("nan")]


def no_scale(graph):
    graph.tensors[graph.operators[-2].outputs[0]].quantization.scale = None


def false_pool(graph):
    graph.operators[1].builtinOptions.filterHeight = 10**7


def nobody_computes_the_output(graph):
    graph.tensors.append(copy.deepcopy(graph.tensors[graph.outputs[0]]))
    graph.operators[-1].outputs = [len(graph.tensors) - 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (false_zero_point, "INT8 has zero point 1000 and scale .*: the file is damaged"),
        (false_scale, "INT8 has zero point .* and scale nan: the file is damaged"),
        (no_scale, "cannot compute FULLY_CONNECTED as this file has it .* LiteRT tells whether"),
        (false_pool, "a filter of 10000000 x 2; the engine takes sides up to 65536"),
        (nobody_computes_the_output, "no operator computes the output"),
    ],
)
def test_a_damaged_file_is_refused(change, message):
    content = damaged(change)
    with pytest.raises(ModelFileError, match=message):
        integer_engine.run(content, codes(converted()["int8"], 2))


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ModelFileError, match="No such file"):
        integer_engine.run(tmp_path / "none.tflite", np.zeros((1, 2), np.int8))


def test_unknown_kernels_are_refused():
    with pytest.raises(InputError, match=r"reference, tflm, builtin, xnnpack \(lesson 09\)"):
        integer_engine.run(converted()["int8"], codes(converted()["int8"], 1), kernels="gpu")


def test_an_unknown_operator_is_named_with_the_known_ones():
    ends = [tiny_models.tensor(name, "INT8", (1, 4), 1 / 256, -128) for name in "xy"]
    content = tiny_models.assemble(ends, [("RSQRT", None, [0], [1])], [0], [1])
    with pytest.raises(ModelFileError, match=r"does not know RSQRT; it knows .*CONV_2D.*SOFT"):
        integer_engine.run(content, np.zeros((1, 4), np.int8))
