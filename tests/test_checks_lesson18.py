"""The checks of lesson 18 accept right answers, refuse wrong ones, and wait for the rest."""

import functools
import math

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from lessons_lib import checks, npu, reader, tables, unseen
from lessons_lib.course.checks import lesson18
from reference import converted
from verdicts import Answers, class_of_tests

pytestmark = pytest.mark.skipif(not npu.installed(), reason="the extra npu is not installed")


# ---- 18.1


def two_divisions(macs, weight_bytes, macs_per_cycle, bytes_per_cycle):
    return max(-(-macs // macs_per_cycle), -(-weight_bytes // bytes_per_cycle))


def one_ceil(m, w, p, b):
    return math.ceil(max(m / p, w / b))


def by_if(m, w, p, b):
    computing, reading = math.ceil(m / p), math.ceil(w / b)
    if computing > reading:
        return computing
    return reading


def by_numpy(m, w, p, b):
    return np.ceil(np.maximum(np.divide(m, p), np.divide(w, b))).astype(int)


# ---- 18.2


def names_of(content):
    return list(tables.operators(content)["operator"])


def in_a_loop(compiled):
    left, seen = [], False
    for name in names_of(compiled):
        if name == "ethos-u":
            seen = True
        else:
            left.append(name)
    if not seen:
        raise ValueError("nothing on the NPU")
    return tuple(left)


def by_pandas(compiled):
    operators = tables.operators(compiled)
    left = operators.query("operator != 'ethos-u'")
    if len(left) == len(operators):
        raise ValueError
    return left["operator"].tolist()


def by_schema(compiled):
    model = reader.read(compiled)
    names = [reader.operator_name(model, op) for op in model.subgraphs[0].operators]
    if not names.count("ethos-u"):
        raise ValueError("0.000 ms")
    return [name for name in names if name != "ethos-u"]


def own_error(compiled):
    class Nothing(ValueError):
        pass

    if "ethos-u" not in names_of(compiled):
        raise Nothing
    return [name for name in names_of(compiled) if name != "ethos-u"]


def by_index(compiled):
    names = tables.operators(compiled)["operator"]
    if "ethos-u" not in names:
        raise ValueError("nothing on the NPU")
    return list(names[names != "ethos-u"])


def a_column(compiled):
    lesson18.guard(compiled)
    names = tables.operators(compiled)["operator"]
    return names[names != "ethos-u"]


def generated(compiled):
    return (name for name in lesson18.guard(compiled))


def strict(compiled):
    if set(names_of(compiled)) != {"ethos-u"}:
        raise ValueError("something is left")
    return []


def never(compiled):
    return [name for name in names_of(compiled) if name != "ethos-u"]


def all_names(compiled):
    lesson18.guard(compiled)
    return names_of(compiled)


def of_the_npu(compiled):
    lesson18.guard(compiled)
    return [name for name in names_of(compiled) if name == "ethos-u"]


def counted(compiled):
    return len(lesson18.guard(compiled))


def nothing(compiled):
    lesson18.guard(compiled)


def once(compiled):
    return list(set(lesson18.guard(compiled)))


def first_only(compiled):
    if names_of(compiled)[0] != "ethos-u":
        raise ValueError("the first is not the NPU's")
    return lesson18.guard(compiled)


def other_error(compiled):
    assert "ethos-u" in names_of(compiled)
    return lesson18.guard(compiled)


def any_custom(compiled):
    builtin = set(reader.OPERATORS.values())
    if all(name in builtin for name in names_of(compiled)):
        raise ValueError("no custom operator")
    return [name for name in names_of(compiled) if name in builtin]


def by_bytes(compiled):
    if b"ethos-u" not in compiled:
        raise ValueError("no such word")
    return [name for name in names_of(compiled) if name != "ethos-u"]


# ---- 18.3


def camera(kind="AVERAGE_POOL_2D", size=56, path="int8"):
    """The digits' file behind an operator that makes its pictures smaller."""
    model = reader.read(converted("mnist_cnn")[path])
    graph = model.subgraphs[0]
    old, new = graph.inputs[0], len(graph.tensors)
    seen = graph.tensors[old]
    picture = schema.TensorT([1, size, size, 1], seen.type, 0, "picture", seen.quantization)
    picture.shapeSignature = [-1, size, size, 1]
    graph.tensors.append(picture)
    inputs, options = [new], schema.Pool2DOptionsT()
    if kind.startswith("RESIZE"):
        model.buffers.append(schema.BufferT(data=np.int32([28, 28]).view(np.uint8)))
        size_of = schema.TensorT([2], schema.TensorType.INT32, len(model.buffers) - 1, "size")
        graph.tensors.append(size_of)
        inputs.append(new + 1)
        options = schema.ResizeBilinearOptionsT(halfPixelCenters=True)
    else:
        options.strideW = options.strideH = options.filterWidth = options.filterHeight = 2
    kinds = schema.BuiltinOptions
    option_type = kinds.ResizeBilinearOptions if kind[0] == "R" else kinds.Pool2DOptions
    code = getattr(schema.BuiltinOperator, kind)
    model.operatorCodes.append(schema.OperatorCodeT(code, builtinCode=code, version=3))
    step = schema.OperatorT(len(model.operatorCodes) - 1, inputs, [old], option_type, options)
    graph.operators.insert(0, step)
    graph.inputs = [new]
    for signature in model.signatureDefs or ():
        signature.inputs[0].tensorIndex = new
    return reader.pack(model)


def blind():
    model = reader.read(camera())
    for buffer in model.buffers:
        if buffer.data is not None and len(buffer.data) > 50_000:
            buffer.data = np.zeros_like(buffer.data)  # the dense layer's weights
    return reader.pack(model)


# ---- 18.4


@functools.cache
def heatmap():
    return unseen.path("18_heatmap.tflite").read_bytes()


def changed(change):
    model = reader.read(heatmap())
    change(model)
    return reader.pack(model)


def resize(model):
    return next(
        op for op in model.subgraphs[0].operators if "Resize" in type(op.builtinOptions).__name__
    )


def without_the_attribute(model):
    resize(model).builtinOptions.alignCorners = False


def half_pixels(model):
    without_the_attribute(model)
    resize(model).builtinOptions.halfPixelCenters = True


def new_options(model):
    resize(model).builtinOptions = schema.ResizeNearestNeighborOptionsT()


def bilinear(model):
    op, code = resize(model), schema.BuiltinOperator.RESIZE_BILINEAR
    model.operatorCodes.append(schema.OperatorCodeT(code, builtinCode=code, version=3))
    op.opcodeIndex = len(model.operatorCodes) - 1
    op.builtinOptionsType = schema.BuiltinOptions.ResizeBilinearOptions
    op.builtinOptions = schema.ResizeBilinearOptionsT()


def without_the_last(model):
    graph = model.subgraphs[0]
    graph.operators.pop()
    graph.outputs = list(graph.operators[-1].outputs)
    for signature in model.signatureDefs or ():
        signature.outputs[0].tensorIndex = graph.outputs[0]


def without_resize(model):
    graph, op = model.subgraphs[0], resize(model)
    graph.operators.remove(op)
    graph.operators[3].inputs[0] = op.inputs[0]


def other_weights(model):
    without_the_attribute(model)
    buffer = max((b for b in model.buffers if b.data is not None), key=lambda b: len(b.data))
    buffer.data = np.roll(buffer.data, 1)


def compiled(content):
    return npu.compiled(content).content


ANSWERS = {
    checks.check_pencil_cycles: Answers(
        right={
            "whole divisions": two_divisions,
            "one ceil": one_ceil,
            "if": by_if,
            "NumPy": by_numpy,
            "the course's": lesson18.pencil_cycles,
        },
        wrong={
            "the sum": (lambda m, w, p, b: math.ceil(m / p) + math.ceil(w / b), "adds the two"),
            "the sum, cut": (lambda m, w, p, b: m / p + w / b, "adds the two"),
            "the faster": (lambda m, w, p, b: math.ceil(min(m / p, w / b)), "the slower one"),
            "no weights": (lambda m, w, p, b: math.ceil(m / p), "weights have to be read"),
            "no MACs": (lambda m, w, p, b: math.ceil(w / b), "forgets the multiplications"),
            "one MAC a cycle": (lambda m, w, p, b: max(m, w / b), "has more multipliers"),
            "one byte a cycle": (lambda m, w, p, b: math.ceil(max(m / p, w)), "may read more"),
            "through one": (lambda m, w, p, b: max(m, w) / p, "do not pass through"),
            "parts": (lambda m, w, p, b: max(m / p, w / b), "parts of cycles: round up"),
            "down": (lambda m, w, p, b: max(m // p, w // b), "rounds down"),
            "nearest": (lambda m, w, p, b: round(max(m / p, w / b)), "rounds down"),
            "a float": (lambda m, w, p, b: np.ceil(max(m / p, w / b)), "yours is a float"),
            "swapped": (lambda m, w, p, b: max(m / b, w / p), "1000 MACs with 20 bytes"),
            "printed": (lambda m, w, p, b: print(m / p), "`return` missing"),
        },
    ),
    checks.check_guard: Answers(
        right={
            "a loop": in_a_loop,
            "pandas": by_pandas,
            "the schema": by_schema,
            "an error of one's own": own_error,
            "the course's": lesson18.guard,
        },
        wrong={
            "strict": (strict, "It refuses QUANTIZE -> ethos-u"),
            "the first": (first_only, "It refuses QUANTIZE -> ethos-u"),
            "never": (never, "CONV_2D -> SOFTMAX passes, and nothing"),
            "all names": (all_names, "lists the NPU's own"),
            "the NPU's": (of_the_npu, "lists the NPU's own"),
            "a number": (counted, "For ethos-u it returns 0"),
            "no answer": (nothing, "For ethos-u it returns nothing"),
            "each once": (once, "as often as it stands there"),
            "an assertion": (other_error, "asked is a ValueError"),
            "any custom operator": (any_custom, "a custom operator of another name is not"),
            "a word in the bytes": (by_bytes, "passes: a tensor of it is called so"),
            "the index": (by_index, "make a list first"),
            "a column": (a_column, "it returns a Series: make a list"),
            "a generator": (generated, "it returns a generator: make a list"),
            "a list": (["QUANTIZE"], "asked is a function"),
        },
    ),
    checks.check_camera: Answers(
        right={
            "an average": camera(),
            "the largest": camera("MAX_POOL_2D"),
            "a bytearray": bytearray(camera()),
            "16 bits": camera(path="int16x8"),
        },
        wrong={
            "as it was": (camera("RESIZE_BILINEAR"), "On the CPU there stays RESIZE_BILINEAR"),
            "without a camera": (converted("mnist_cnn")["int8"], "does not take pictures of 56"),
            "another size": (camera(size=58), "does not take pictures of 56"),
            "float": (camera(path="float32"), "Nothing of it lands on the NPU"),
            "float ends": (camera(path="int8_float_fallback"), "On the CPU there stays"),
            "blind": (blind(), "does your layer keep the picture? And on which"),
            "compiled": (compiled(camera()), "is compiled already"),
            "a name": ("camera.tflite", "give the content of a file"),
            "no file": (b"TFL3", "no readable .tflite"),
        },
    ),
    checks.check_heatmap: Answers(
        right={
            "without the attribute": changed(without_the_attribute),
            "half pixels": changed(half_pixels),
            "new options": changed(new_options),
        },
        wrong={
            "as it was": (heatmap(), "On the CPU there stays RESIZE_NEAREST_NEIGHBOR (larger)"),
            "bilinear": (changed(bilinear), "codes differ"),
            "other weights": (changed(other_weights), "codes differ"),
            "without the last": (changed(without_the_last), "It computes something else"),
            "without the layer": (changed(without_resize), "the old one gave int8"),
            "another file": (converted("mnist_cnn")["int8"], "does not take the codes"),
            "compiled": (compiled(changed(half_pixels)), "is compiled already"),
            "the word": ("align_corners", "give the content of a file"),
            "float": (converted("mnist_cnn")["float32"], "does not take the codes"),
        },
    ),
}  # fmt: skip
TestAnswers = class_of_tests(ANSWERS)


def test_a_file_may_be_given_by_its_path(tmp_path):
    mended = tmp_path / "camera.tflite"
    mended.write_bytes(camera())
    assert checks.check_camera(mended)
    assert checks.check_camera(str(mended))


def test_the_pencil_and_vela_agree_on_what_the_slower_one_is():
    fit = npu.fits(converted("mnist_cnn")["int8"])
    layers = tables.multiply_accumulates(converted("mnist_cnn")["int8"])
    assert set(layers["layer"]) <= {op.layer for op in fit.operators}
    for op in fit.operators:
        row = layers[layers["layer"] == op.layer]
        if len(row) and row.iloc[0]["operator"] == op.operator:
            weights = int(np.prod(row.iloc[0]["weight_shape"]))
            pencil = lesson18.pencil_cycles(op.macs, weights, 128, 1)
            assert pencil <= 1.05 * op.cycles  # vela packs the weights a little smaller
