"""Small networks, converted for real, that tests share; nothing is trained or downloaded."""

import copy
import functools
import tempfile

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from kept import kept
from lessons_lib import architectures, reader
from lessons_lib.system.quiet import quiet, tensorflow


def cnn():
    """The course's ``mnist_cnn``, untrained, with seeded biases that are not zero."""
    model, random = architectures.build("mnist_cnn"), np.random.default_rng(0)
    for layer in model.layers:
        if layer.weights:
            layer.bias.assign(random.uniform(-0.05, 0.05, layer.bias.shape))
    return model


def depthwise_with_elu():
    """A depthwise convolution followed by ELU, which has no int8 kernel."""
    keras = fresh_keras()
    return keras.Sequential(
        [
            keras.layers.Input((8, 8, 4), name="image"),
            keras.layers.DepthwiseConv2D(3, padding="same", strides=2),
            keras.layers.ELU(),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )


def depthwise():
    """Only a depthwise convolution, its first channel all zeros."""
    keras = fresh_keras()
    layer = keras.layers.DepthwiseConv2D(3)
    model = keras.Sequential([keras.layers.Input((8, 8, 4), name="image"), layer])
    layer.kernel.assign(layer.kernel * np.float32([0, 1, 1, 1])[:, None])
    return model


def fresh_keras():
    """Keras with its names and seeds reset, so that a model's file never depends on history."""
    keras = tensorflow().keras
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    return keras


def images(shape, count):
    """Seeded random numbers in [0, 1): float32 of shape (count, *shape)."""
    return np.random.default_rng(0).random((count, *shape), dtype=np.float32)


def representative_dataset(shape, batch=1):
    """A function that yields five batches of random images."""
    return lambda: ([stack] for stack in images((batch, *shape), count=5))


def convert(model, path, batch=None):
    """Return ``model`` as the bytes of a ``.tflite``; ``batch`` fixes the batch size."""
    tf = tensorflow()
    shape = tuple(model.inputs[0].shape[1:])
    signature = [tf.TensorSpec((batch, *shape), tf.float32, name="image")]
    with tempfile.TemporaryDirectory() as folder, quiet():
        model.export(folder, verbose=False, input_signature=signature)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        configure(converter, path, representative_dataset(shape, batch or 1))
        return converter.convert()


def configure(converter, path, calibration):
    """Set a TFLiteConverter to one of the seven paths."""
    tf = tensorflow()
    if path != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if path == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if "int" in path:
        converter.representative_dataset = calibration
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if path in ("int8", "uint8"):
        converter.inference_input_type = converter.inference_output_type = getattr(tf, path)
    if path == "int16x8":
        only_16x8 = "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8"
        converter.target_spec.supported_ops = [tf.lite.OpsSet[only_16x8]]


@functools.cache
def converted(name, path, batch=None):
    """The bytes of a model of this module, by name, after one of the seven paths."""
    return kept(f"{name}_{path}_{batch}", lambda: convert(globals()[name](), path, batch))


@functools.cache
def loop(offset=False):
    """Integers in and out, with float arithmetic only in the body of a loop (a subgraph).

    ``offset`` stores the constants behind the FlatBuffer, as files of 2 GB and more do.
    """
    tf = tensorflow()

    @tf.function(input_signature=[tf.TensorSpec((4,), tf.int32)])
    def halve(x):
        kept = tf.constant([0.5, 0.25, 0.125, 0.0625])

        def body(x):
            return (tf.cast(tf.cast(x, tf.float32) * kept, tf.int32),)

        return tf.while_loop(lambda x: tf.reduce_sum(x) > 100, body, (x,))[0]

    with quiet():
        concrete = halve.get_concrete_function()
        converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], halve)
        converter._experimental_use_buffer_offset = offset
        return converter.convert()


def tensor(name, dtype, shape, scale=None, zero_point=None, axis=0, data=None):
    """A tensor for ``assemble``: its schema object and the bytes that the file stores for it."""
    quantization = None
    if scale is not None:
        scale = np.atleast_1d(np.asarray(scale, np.float32))
        zero_point = np.broadcast_to(np.asarray(zero_point, np.int64), scale.shape).copy()
        quantization = schema.QuantizationParametersT(
            scale=scale, zeroPoint=zero_point, quantizedDimension=axis
        )
    code = getattr(schema.TensorType, dtype)
    stored = None if data is None else np.frombuffer(np.ascontiguousarray(data), np.uint8)
    return schema.TensorT(list(shape), code, name=name, quantization=quantization), stored


def assemble(tensors, operators, inputs, outputs):
    """Return a ``.tflite`` made by hand of ``tensors`` and (name, options, inputs, outputs).

    ``options`` is None for an operator that has none.
    """
    buffers = [schema.BufferT(), *(schema.BufferT(data=data) for _, data in tensors)]
    for number, (item, _) in enumerate(tensors, start=1):
        item.buffer = number
    codes = [getattr(schema.BuiltinOperator, name) for name, *_ in operators]
    kinds = [
        getattr(schema.BuiltinOptions, type(options).__name__[:-1]) if options else 0
        for _, options, *_ in operators
    ]
    graph = schema.SubGraphT([item for item, _ in tensors], inputs, outputs)
    graph.operators = [
        schema.OperatorT(i, ins, outs, builtinOptionsType=kinds[i], builtinOptions=options)
        for i, (_, options, ins, outs) in enumerate(operators)
    ]
    versions = [schema.OperatorCodeT(min(code, 127), builtinCode=code) for code in codes]
    return pack(schema.ModelT(3, versions, [graph], "by hand", buffers))


def dense(dtype, stored):
    """A dense layer of 7 inputs and 5 outputs on quantized weights, float in and out."""
    tensors = [
        tensor("x", "FLOAT32", [1, 7]),
        tensor("w", dtype, [5, 7], 0.1, 0, data=stored),
        tensor("y", "FLOAT32", [1, 5]),
    ]
    operators = [("FULLY_CONNECTED", schema.FullyConnectedOptionsT(), [0, 1, -1], [2])]
    return assemble(tensors, operators, [0], [2])


def endless_loop(content):
    """A valid file, made of a model, whose first operator is a loop with itself as condition."""
    model = reader.read(content)
    graph = model.subgraphs[0]
    model.subgraphs.append(copy.deepcopy(graph))
    code = schema.OperatorCodeT(builtinCode=schema.BuiltinOperator.WHILE, version=1)
    code.deprecatedBuiltinCode = code.builtinCode
    model.operatorCodes.append(code)
    graph.tensors.append(copy.deepcopy(graph.tensors[graph.inputs[0]]))
    loop = schema.OperatorT(opcodeIndex=len(model.operatorCodes) - 1, inputs=list(graph.inputs))
    loop.outputs = [len(graph.tensors) - 1]
    loop.builtinOptionsType = schema.BuiltinOptions.WhileOptions
    loop.builtinOptions = schema.WhileOptionsT(condSubgraphIndex=0, bodySubgraphIndex=1)
    graph.operators.insert(0, loop)
    return pack(model)


def pack(model):
    """Return a schema ModelT as the bytes of a file."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def run(content, x, resolver="BUILTIN_REF"):
    """Run one batch through LiteRT's reference kernels; return the interpreter, tensors kept."""
    interpreter = Interpreter(
        model_content=content,
        experimental_op_resolver_type=getattr(OpResolverType, resolver),
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter
