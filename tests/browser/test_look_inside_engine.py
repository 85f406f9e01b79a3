"""The engine of the page ``look-inside/`` in a real browser, code by code beside the Python one."""

import base64
import re
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import HealthCheck, Phase, given, settings
from playwright.sync_api import Browser, Page

import integer_models
import test_integer_engine
import tiny_models
from chromium import served
from lessons_lib import files, integer_engine, reader, runtime
from lessons_lib.errors import ModelFileError
from reference import converted, digits
from tiny_models import assemble, tensor

KERNELS = integer_engine.KERNELS
DIGITS = 100

TRACE = """async ([content, calls, kernels]) => {
  const { load, operatorsOf, run } = await import("/look-inside/engine/engine.js");
  const { explain } = await import("/look-inside/engine/explain.js");
  const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const kinds = { uint8: Uint8Array, int8: Int8Array, float32: Float32Array };
  const found = new Map();
  const unexplained = [];
  try {
    const model = load(bytes(content));
    const operators = operatorsOf(model, kernels);
    for (const call of calls) {
      const inputs = model.inputs.map(({ dtype }, i) => new kinds[dtype](bytes(call[i]).buffer));
      const values = run(operators, model, inputs);
      for (const op of call === calls[0] ? operators : []) {
        const { data } = values.get(op.output);
        const known = (tensor) => values.get(tensor) ?? { ...tensor, data: tensor.value };
        for (let place = 0; place < data.length; place += Math.ceil(data.length / 23)) {
          const { code } = explain(op, known, values.get(op.output), place);
          if (code !== data[place]) unexplained.push([op.name, place, code, data[place]]);
        }
      }
      for (const [{ index, dtype }, { data }] of values) {
        if (!found.has(index)) found.set(index, []);
        found.get(index).push(new Uint8Array(kinds[dtype].from(data).buffer));
      }
    }
  } catch (error) {
    return { refused: error.message, kind: error.constructor.name };
  }
  const text = (parts) => parts.map((part) => part.toBase64?.() ?? btoa(
    part.reduce((letters, byte) => letters + String.fromCharCode(byte), "")));
  return { unexplained, values: [...found].map(([index, parts]) => [index, text(parts)]) };
}"""


@pytest.fixture(scope="module")
def empty_page(chromium: Browser) -> Iterator[Page]:
    """A page of the folder ``book/``, from which scripts are imported as they stand there."""
    with served(files.ROOT / "book") as address:
        page = chromium.new_context().new_page()
        page.goto(f"{address}look-inside/engine/engine.js")
        yield page
        page.context.close()


@pytest.fixture(scope="module")
def in_page(empty_page: Page) -> Callable:
    """Run a file in the page: bytes, calls (a list of arrays each) and kernels."""

    def run(content: bytes, calls: list[list[np.ndarray]], kernels: str) -> dict:
        given = [[encoded(np.ascontiguousarray(array)) for array in call] for call in calls]
        return empty_page.evaluate(TRACE, [encoded(content), given, kernels])

    return run


def encoded(content: bytes | np.ndarray) -> str:
    return base64.b64encode(bytes(content)).decode()


def require_equal(found: dict, expected: dict[int, np.ndarray], what: str) -> None:
    """Every tensor that the Python engine computes, code by code; and explained down to it."""
    assert "refused" not in found, f"{what}: {found['refused']}"
    assert found["unexplained"] == [], what
    values = dict(found["values"])
    assert set(values) == set(expected), what
    for index, wanted in expected.items():
        parts = [np.frombuffer(base64.b64decode(part), wanted.dtype) for part in values[index]]
        assert np.array_equal(np.concatenate(parts), wanted.ravel()), f"{what}, tensor {index}"


# ---- the course's models


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("path", ["uint8", "int8"])
@pytest.mark.parametrize("model", ["mnist_cnn", "ds_cnn"])
def test_every_layer_of_a_hundred_digits_is_that_of_python(in_page, model, path, kernels):
    content = converted(model)[path]
    codes = runtime.Model(content).quantize_input(digits().test.images[:DIGITS])
    calls = [codes[i : i + 1] for i in range(DIGITS)]  # one at a time, as the page does
    traces = [integer_engine.trace(content, call, kernels) for call in calls]
    expected = {index: np.concatenate([part[index] for part in traces]) for index in traces[0]}
    assert len(expected) > 8
    require_equal(in_page(content, [[call] for call in calls], kernels), expected, path)


@pytest.mark.parametrize("kernels", KERNELS)
def test_floats_may_go_in_and_come_out(in_page, kernels):
    content, images = converted()["int8_float_fallback"], digits().test.images[:3]
    for image in np.split(images, 3):
        expected = integer_engine.trace(content, image, kernels)
        require_equal(in_page(content, [[image]], kernels), expected, kernels)


# ---- strangers' operators

KNOWN = [
    name
    for name in integer_models.OPERATORS
    if "int16" not in name
    and name.split(" ")[0] in (
        "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MAX_POOL_2D", "AVERAGE_POOL_2D", "ADD",
        "SUB", "MUL", "MEAN", "PAD", "RESHAPE", "CONCATENATION", "RELU", "SOFTMAX", "QUANTIZE",
        "DEQUANTIZE", "LOGISTIC", "TANH",
    )
]  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_an_operator_of_drawn_shapes_and_scales_is_that_of_python(in_page, name):
    @settings(max_examples=25, deadline=None, phases=[Phase.generate], derandomize=True,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(integer_models.OPERATORS[name])
    def compare(case):
        for kernels in case.runtimes:
            found = in_page(case.content, [[case.x]], kernels)
            try:
                expected = integer_engine.trace(case.content, case.x, kernels)
            except ModelFileError as error:
                assert found["refused"].split(" ")[0] == str(error).split(" ")[0]
                continue
            require_equal(found, expected, f"{case.what} of {kernels}")

    compare()


@pytest.mark.parametrize("kernels", ["reference", "builtin", "xnnpack"])
def test_a_network_of_most_operators_is_that_of_python(in_page, kernels):
    model = test_integer_engine.network()
    content = tiny_models.convert(model, "uint8", 1)
    x = runtime.Model(content).quantize_input(tiny_models.images(model.inputs[0].shape[1:], 5))
    traces = [integer_engine.trace(content, x[i : i + 1], kernels) for i in range(len(x))]
    expected = {index: np.concatenate([part[index] for part in traces]) for index in traces[0]}
    require_equal(in_page(content, [[row] for row in np.split(x, len(x))], kernels), expected, "")


@pytest.mark.parametrize("kernels", KERNELS)
def test_weights_of_4_bits_are_unpacked(in_page, kernels):
    random = np.random.default_rng(4)
    weights, x = random.integers(0, 256, 35, dtype=np.uint8), random.integers(-128, 128, (1, 10))
    ends = [
        tensor("x", "INT8", (1, 10), 0.1, 3),
        tensor("w", "INT4", (7, 10), 0.2, 0, data=weights),
        tensor("b", "INT32", (7,), 0.02, 0, data=random.integers(-99, 99, 7).astype(np.int32)),
        tensor("y", "INT8", (1, 7), 0.3, -5),
    ]
    operators = [("FULLY_CONNECTED", schema.FullyConnectedOptionsT(), [0, 1, 2], [3])]
    content, x = assemble(ends, operators, [0], [3]), x.astype(np.int8)
    require_equal(in_page(content, [[x]], kernels), integer_engine.trace(content, x, kernels), "")


# ---- refusals


def one_operator(name, options, dtype="INT8", shape=(1, 4)):
    ends = [tensor("x", dtype, shape, 0.1, 0), tensor("y", dtype, shape, 0.1, 0)]
    return assemble(ends, [(name, options, [0], [1])], [0], [1])


def changed(change: Callable, path="uint8") -> bytes:
    model = reader.read(converted()[path])
    change(model, model.subgraphs[0])
    return tiny_models.pack(model)


def custom(model, graph):
    code = model.operatorCodes[graph.operators[-2].opcodeIndex]
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = b"MySoftmax"


def no_weights(model, graph):
    weights = next(op.inputs[1] for op in graph.operators if len(op.inputs) == 3)
    graph.tensors[weights].buffer = 0


def no_scale(model, graph):
    graph.tensors[graph.operators[-2].outputs[0]].quantization.scale = None


def false_zero_point(model, graph):
    graph.tensors[graph.inputs[0]].quantization.zeroPoint = [1_000]


def other_activation(model, graph):
    dense = [op for op in graph.operators if hasattr(op.builtinOptions, "keepNumDims")]
    dense[0].builtinOptions.fusedActivationFunction = schema.ActivationFunctionType.TANH


REFUSED = {
    "unknown": (
        lambda: one_operator("HARD_SWISH", schema.HardSwishOptionsT()),
        r"does not know HARD_SWISH; it knows ADD, .*CONV_2D.*integer_engine\.run",
    ),
    "custom": (lambda: changed(custom), "does not know CUSTOM MySoftmax; it knows"),
    "16 bits": (
        lambda: one_operator("TANH", None, "INT16"),
        "^TANH takes or gives int16, which",
    ),
    "float": (lambda: converted()["float32"], "^CONV_2D takes float32.*a float model .lesson 1"),
    "hybrid": (
        lambda: converted()["dynamic_range"],
        "^CONV_2D takes float32, int8.*hybrid",
    ),
    "float16": (lambda: converted()["float16"], "^DEQUANTIZE takes float16.*are float16"),
    "16x8": (lambda: converted()["int16x8"], "^CONV_2D takes or gives int16"),
    "computed weights": (lambda: changed(no_weights), "^CONV_2D has weights that are computed"),
    "no scale": (lambda: changed(no_scale), "^SOFTMAX has codes without a scale"),
    "zero point": (lambda: changed(false_zero_point), "uint8 has the zero point 1000 .*lesson 3"),
    "activation": (
        lambda: changed(other_activation),
        "^FULLY_CONNECTED has the fused activation TANH",
    ),
    "cut short": (lambda: converted()["uint8"][:9_000], "damaged or cut short"),
    "no model": (lambda: b"no model at all" * 9, "no .tflite: such a file has the letters TFL3"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_engine_lacks_is_refused_by_name(in_page, name):
    make, message = REFUSED[name]
    found = in_page(make(), [[np.zeros(784, np.uint8)]], "reference")
    assert found.get("kind") == "ModelError", found
    assert re.search(message, found["refused"]), found["refused"]
