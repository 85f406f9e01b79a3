"""Filters of nothing: the scale of their weights is raised until their bias fits.

A bias is stored in steps of ``input scale * weight scale``. A channel whose weights are all zero,
or nearly so, gets a tiny weight scale, and in its steps the bias is more than 32 bits hold:
LiteRT's quantizer stores the largest number instead, and the channel answers 0 (lesson 10). A
larger scale loses nothing there, for the weights hardly count. TFLiteConverter sees to it itself.
"""

from collections.abc import Iterator

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from lessons_lib.tflite import reader, tables

_LARGEST = 2**31 - 1  # what the quantizer stores where a bias does not fit
_FITS = 2**26  # steps that a bias takes at most then: 4-bit kernels make 16 of each


def mend(content: bytes, float_content: bytes) -> bytes:
    """Return a quantized ``.tflite`` whose biases are no longer cut off, as far as that can be.

    ``float_content`` is the file that it was quantized from. Weights with one scale for all
    channels stay as they are, for the others' sake.
    Defined in lesson 13.
    """
    model, original = reader.read(content), reader.read(float_content)
    changed = False
    for (op, *tensors), (_, _, _, bias) in zip(_layers(model), _layers(original), strict=False):
        real = reader.stored_value(original, bias)
        if reader.dtype_name(bias) == "FLOAT32" and real is not None:
            changed |= _raise_scales(model, reader.operator_name(model, op), tensors, real)
    return reader.pack(model) if changed else content


def _layers(model: schema.ModelT) -> Iterator[tuple]:
    """Each operator with weights and a bias of its own, then its input, weights and bias."""
    for graph in model.subgraphs:
        for op in graph.operators:
            slots = {role: n for n, role in _slots(model, op).items() if n < len(op.inputs)}
            if {"weight", "bias"} <= set(slots) and op.inputs[slots["bias"]] >= 0:
                places = (slots.get("input", 0), slots["weight"], slots["bias"])
                yield op, *(graph.tensors[op.inputs[place]] for place in places)


def _slots(model: schema.ModelT, op: schema.OperatorT) -> dict[int, str]:
    name = reader.operator_name(model, op)
    inputs = {2: "input"} if name == "TRANSPOSE_CONV" else {}
    return inputs | tables.PARAMETERS.get(name, {}) if name in tables.SUMMED_AXES else {}


def _raise_scales(model: schema.ModelT, name: str, tensors: list, real: np.ndarray) -> bool:
    """Give a cut-off channel a scale in which its bias fits; return whether there was one."""
    data, weight, bias = tensors
    stored, codes = (reader.stored_value(model, tensor) for tensor in (bias, weight))
    if stored is None or codes is None or weight.quantization is None:
        return False
    cut = np.abs(stored.astype(np.int64)) >= _LARGEST
    old = np.array(weight.quantization.scale, np.float64)
    if not cut.any() or len(old) != len(stored):
        return False
    input_scale = float(data.quantization.scale[0])
    new = np.where(cut, np.maximum(old, np.abs(real) / (input_scale * _FITS)), old)
    new = new.astype(np.float32)
    axis = weight.quantization.quantizedDimension
    ratio = (old / new).reshape([-1 if n == axis else 1 for n in range(codes.ndim)])
    rescaled = np.where(ratio == 1, codes, np.rint(codes * ratio)).astype(np.int8)
    steps = np.where(cut, np.rint(real / (input_scale * new.astype(np.float64))), stored)
    weight.quantization.scale, bias.quantization.scale = new, np.float32(input_scale) * new
    _store(model, weight, rescaled)
    _store(model, bias, steps.astype(stored.dtype))
    return True


def _store(model: schema.ModelT, tensor: schema.TensorT, values: np.ndarray) -> None:
    """A buffer of its own: equal constants share one in the file."""
    if reader.dtype_name(tensor) == "INT4":  # two in a byte, the lower half first
        halves = np.resize(values.ravel() & 15, -(-values.size // 2) * 2).astype(np.uint8)
        values = halves[::2] | halves[1::2] << 4
    model.buffers.append(schema.BufferT())
    model.buffers[-1].data = np.frombuffer(values.tobytes(), np.uint8)
    tensor.buffer = len(model.buffers) - 1
