"""The file of lesson 2's open task."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from lessons_lib import reader

PIXELS, FEATURES = 196, 64


def pair() -> bytes:
    """A comparer of two pictures whose one dense layer is stored twice, weights and biases.

    It looks at both pictures with the same layer. A converter that knows it stores that layer once;
    this file has a copy for each picture, under names of their own: it is nearly twice as large as
    its parameters. Random weights; two float32 inputs (1, 196), one output (1, 1) from 0 to 1.
    """
    random = np.random.default_rng(2)
    look = _random(random, FEATURES, PIXELS), _random(random, FEATURES)
    judge = _random(random, 1, FEATURES), _random(random, 1)
    tensors = {  # shape, and what is stored
        "left": ([1, PIXELS], None),
        "right": ([1, PIXELS], None),
        "left/kernel": ([FEATURES, PIXELS], look[0]),
        "left/bias": ([FEATURES], look[1]),
        "right/kernel": ([FEATURES, PIXELS], look[0].copy()),
        "right/bias": ([FEATURES], look[1].copy()),
        "left/seen": ([1, FEATURES], None),
        "right/seen": ([1, FEATURES], None),
        "difference": ([1, FEATURES], None),
        "judge/kernel": ([1, FEATURES], judge[0]),
        "judge/bias": ([1], judge[1]),
        "judge/sum": ([1, 1], None),
        "equal": ([1, 1], None),
    }
    operators = (
        ("FULLY_CONNECTED", ("left", "left/kernel", "left/bias"), "left/seen"),
        ("FULLY_CONNECTED", ("right", "right/kernel", "right/bias"), "right/seen"),
        ("SQUARED_DIFFERENCE", ("left/seen", "right/seen"), "difference"),
        ("FULLY_CONNECTED", ("difference", "judge/kernel", "judge/bias"), "judge/sum"),
        ("LOGISTIC", ("judge/sum",), "equal"),
    )
    return _file(tensors, operators, ("left", "right"), "equal")


def _random(random, *shape) -> np.ndarray:
    return random.normal(0, 0.1, shape).astype(np.float32)


def _file(tensors, operators, inputs, output) -> bytes:
    places = {name: place for place, name in enumerate(tensors)}
    buffers, made = [schema.BufferT()], []
    for name, (shape, values) in tensors.items():
        made.append(schema.TensorT(shape, buffer=0, name=name))
        if values is not None:
            made[-1].buffer = len(buffers)
            buffers.append(schema.BufferT(data=values.view(np.uint8).ravel()))
    codes = []
    graph = schema.SubGraphT(made, [places[name] for name in inputs], [places[output]], [])
    for number, (kind, reads, writes) in enumerate(operators):
        codes.append(schema.OperatorCodeT(getattr(schema.BuiltinOperator, kind)))
        codes[-1].builtinCode = codes[-1].deprecatedBuiltinCode
        op = schema.OperatorT(number, [places[name] for name in reads], [places[writes]])
        if kind == "FULLY_CONNECTED":
            op.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
            op.builtinOptions = schema.FullyConnectedOptionsT()
        graph.operators.append(op)
    model = schema.ModelT(3, codes, [graph], "two pictures", buffers)
    ends = [[schema.TensorMapT(name, places[name]) for name in side] for side in (inputs, [output])]
    model.signatureDefs = [schema.SignatureDefT(*ends, "serving_default", 0)]
    return reader.pack(model)


FILES = {"02_pair.tflite": pair}
