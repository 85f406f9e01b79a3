"""The files of lesson 09's open task: one dense layer, written by hand, well and badly."""

from collections.abc import Callable

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from lessons_lib import reader

INPUTS, OUTPUTS, RARE = 8, 6, 2
INPUT_SCALE, OUTPUT_SCALE = 0.02, 0.05
SATURATED, TOO_SMALL = 1, 4  # outputs of the bad file


def _layer() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights (6, 8), biases and weight scales (6,); output 2 moves for the very largest inputs."""
    random = np.random.default_rng(9)
    weights = random.integers(-127, 128, (OUTPUTS, INPUTS)).astype(np.int8)
    weights[RARE] = random.integers(100, 128, INPUTS)
    bias = random.integers(5_000, 20_000, OUTPUTS).astype(np.int32)
    bias[RARE] = -int(0.97 * 255 * weights[RARE].sum(dtype=int))
    return weights, bias, random.uniform(0.003, 0.006, OUTPUTS).astype(np.float32)


def _file(weights: np.ndarray, bias: np.ndarray, scale: np.ndarray) -> bytes:
    def tensor(name, dtype, shape, scale, zero_point, buffer=0):
        scale = np.atleast_1d(np.float32(scale))
        grid = schema.QuantizationParametersT(scale=scale, zeroPoint=[zero_point] * scale.size)
        return schema.TensorT(shape, getattr(schema.TensorType, dtype), buffer, name, grid)

    tensors = [
        tensor("codes", "INT8", [1, INPUTS], INPUT_SCALE, -128),
        tensor("weights", "INT8", [OUTPUTS, INPUTS], scale, 0, 1),
        tensor("bias", "INT32", [OUTPUTS], INPUT_SCALE * scale, 0, 2),
        tensor("valves", "INT8", [1, OUTPUTS], OUTPUT_SCALE, -128),
    ]
    for end in (tensors[0], tensors[-1]):
        end.shapeSignature = [-1, *end.shape[1:]]
    options = schema.FullyConnectedOptionsT()
    options.fusedActivationFunction = schema.ActivationFunctionType.RELU
    kind = schema.BuiltinOptions.FullyConnectedOptions
    operator = schema.OperatorT(0, [0, 1, 2], [3], kind, options)
    graph = schema.SubGraphT(tensors, [0], [3], [operator])
    name = schema.BuiltinOperator.FULLY_CONNECTED
    code = schema.OperatorCodeT(name, builtinCode=name, version=5)
    stored = (None, *(np.frombuffer(part.tobytes(), np.uint8) for part in (weights, bias)))
    buffers = [schema.BufferT(data=data) for data in stored]
    return reader.pack(schema.ModelT(3, [code], [graph], "six valves", buffers))


def good() -> bytes:
    """All six outputs move; output 2 only when nearly every input is near its largest code."""
    return _file(*_layer())


def bad() -> bytes:
    """The same layer, two outputs of which are stuck whatever comes in.

    Output 1 gives 127: its bias saturated at 2**30, far above all sums. Output 4 gives its zero
    point: its weight scale is so small that no sum comes to half a step.
    """
    weights, bias, scale = _layer()
    bias[SATURATED] = 2**30
    scale[TOO_SMALL] = 1e-6
    return _file(weights, bias, scale)


FILES: dict[str, Callable[[], bytes]] = {"09_valve_a.tflite": good, "09_valve_b.tflite": bad}
