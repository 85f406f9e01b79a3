"""A full-integer ``.tflite`` as ``integer_engine`` runs it: its tensors and operators.

What a runtime computes once, before the first image, is computed here: the ratio of scales behind
each operator, as a real number and as a multiplier with a shift, and the range of its output.
Floats are used for that, as all runtimes do.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from lessons_lib.errors import LessonError, ModelFileError
from lessons_lib.numbers import affine, fixed_point
from lessons_lib.tflite import reader, tables

ACTIVATION_RANGES = {  # in real numbers
    "NONE": (None, None),
    "RELU": (0, None),
    "RELU6": (0, 6),
    "RELU_N1_TO_1": (-1, 1),
}
CODES = {"INT8": np.int8, "UINT8": np.uint8}
OTHERS = {"INT4": np.int8, "INT32": np.int32, "FLOAT32": np.float32, "BOOL": np.bool_}


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of the file.

    ``scale``: float32, one number or one for each channel, None without quantization. ``value``:
    what the file stores, None for what is computed.
    """

    index: int
    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    scale: np.ndarray | None
    zero_point: int
    value: np.ndarray | None
    packed: bool  # 4 bits each in the file

    def same_codes(self, other: "Tensor") -> bool:
        """Return whether equal codes of both tensors stand for equal numbers."""
        if self.scale is None or other.scale is None:  # shapes have none
            return self.scale is other.scale
        return np.array_equal(self.scale, other.scale) and self.zero_point == other.zero_point

    def code(self, real: float) -> int:
        """Return the integer that stands for a real number, not clipped."""
        return self.zero_point + int(affine.round_half_away(np.float32(real) / self.scale[0]))


CLIPPED_BY_XNNPACK = ("ADD", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MAX_POOL_2D")


@dataclass(frozen=True, eq=False)
class Operator:
    """An operator of the file. ``options`` are the schema's: Conv2DOptionsT and so on.

    ``kernels`` names a runtime, and with ``strict`` everything stays in integers. ``memory`` keeps
    what the operator computes once for all batches. ``pool`` is a MAX_POOL_2D to be done on its
    sums, before they are rescaled.
    """

    name: str
    inputs: tuple[Tensor | None, ...]
    output: Tensor
    options: object
    kernels: str
    strict: bool
    pool: "Operator | None" = None
    memory: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def input(self) -> Tensor:
        """The first input."""
        return self.inputs[0]

    @cached_property
    def weight_scale(self) -> np.ndarray:
        """The scales of the weights, float32; 1 for an operator without weights."""
        has_weights = self.name in tables.PARAMETERS
        return self.inputs[1].scale if has_weights else np.ones(1, np.float32)

    @cached_property
    def ratio(self) -> np.ndarray:
        """Input scale * weight scale / output scale: float64, for each channel or for all.

        LiteRT's dense layers multiply the first two in float32 where the weights are per-tensor.
        """
        dense = self.kernels == "builtin" and self.name == "FULLY_CONNECTED"
        wide = np.float32 if dense and self.weight_scale.size == 1 else np.float64
        product = self.input.scale[0].astype(wide) * self.weight_scale
        return product.astype(np.float64) / self.output.scale[0].astype(np.float64)

    @cached_property
    def multiplier_shift(self) -> tuple[np.ndarray, np.ndarray]:
        """The ratio as two int64 arrays."""
        multiplier, shift = fixed_point.multiplier_shift(self.ratio)
        return multiplier.astype(np.int64), shift.astype(np.int64)

    @cached_property
    def limits(self) -> tuple[int, int]:
        """The range of the output's dtype, cut by the operator's own or fused activation."""
        fused = reader.ACTIVATIONS.get(getattr(self.options, "fusedActivationFunction", 0))
        activation = self.name if self.name in ACTIVATION_RANGES else fused
        if activation not in ACTIVATION_RANGES:
            raise ModelFileError(
                f"{self.name} has the fused activation {activation}; the engine knows "
                f"{', '.join(ACTIVATION_RANGES)} (lesson 09)"
            )
        low, high = np.iinfo(self.output.dtype).min, np.iinfo(self.output.dtype).max
        least, most = ACTIVATION_RANGES[activation]
        if least is not None:
            low = max(low, self._bound(least))
        if most is not None:
            high = min(high, self._bound(most))
        return low, high

    def _bound(self, real: float) -> int:
        """The code at which an activation clips; XNNPACK sends a tie to the even one."""
        if self.kernels == "xnnpack" and self.name in CLIPPED_BY_XNNPACK:
            steps = np.float32(real) / self.output.scale[0]
            return int(np.rint(steps + np.float32(self.output.zero_point)))
        return self.output.code(real)

    @cached_property
    def weight_matrix(self) -> np.ndarray:
        """The weights of CONV_2D or FULLY_CONNECTED, (inputs of one sum, outputs)."""
        weights = self.inputs[1].value
        return weights.reshape(len(weights), -1).T.astype(self.sum_dtype)

    @cached_property
    def sum_dtype(self) -> type:
        """The fastest dtype that holds every accumulator of a layer with weights exactly.

        NumPy multiplies matrices of integers slowly, and of floats with BLAS. Whole numbers up to
        2**24 are exact in float32, up to 2**53 in float64, in whatever order they are added.
        """
        if self.strict:
            return np.int64
        weights, *bias = (np.abs(t.value.astype(np.int64)) for t in self.inputs[1:3] if t)
        summed = tables.SUMMED_AXES[self.name]
        largest = 255 * weights.sum(axis=tuple(range(weights.ndim)[summed])).max()
        largest += bias[0].max() if bias else 0
        return np.float32 if largest <= 2**24 else np.float64


@dataclass(frozen=True, eq=False)
class Graph:
    """A file's operators in the order of execution, its input and its output."""

    operators: tuple[Operator, ...]
    input: Tensor
    output: Tensor


@contextlib.contextmanager
def damage_named(what: str) -> Iterator[None]:
    """Raise ModelFileError, naming ``what``, in place of what a damaged file ends in."""
    kinds = (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError)
    try:
        yield
    except LessonError:
        raise
    except kinds as error:
        raise ModelFileError(
            f"{what} cannot be computed ({type(error).__name__}: {error}): the file is damaged, "
            "uses it in a way that the engine lacks, or the engine is at fault (lesson 02)"
        ) from error


def load(source: str | os.PathLike | bytes, kernels: str, strict: bool) -> Graph:
    """Return the graph of a full-integer model: 8-bit codes from its input to its last operator.

    The output may be float32, behind a DEQUANTIZE. Raises ModelFileError when the file is damaged
    or computes with floats or 16-bit codes, and says in which lesson to read why.
    """
    model = reader.read(source)
    graph = model.subgraphs[0]
    _require_integers(model, graph)
    tensors = [_tensor(model, index, tensor) for index, tensor in enumerate(graph.tensors)]
    operators = tuple(
        Operator(
            reader.operator_name(model, op),
            tuple(tensors[i] if i >= 0 else None for i in op.inputs),
            tensors[op.outputs[0]],
            op.builtinOptions,
            kernels,
            strict,
        )
        for op in graph.operators
    )
    for op in operators:
        _require_weights(op)
    result = Graph(operators, tensors[graph.inputs[0]], tensors[graph.outputs[0]])
    if result.output not in [op.output for op in operators]:
        raise ModelFileError("no operator computes the output: the file is damaged (lesson 02)")
    return result


def _tensor(model, index: int, tensor) -> Tensor:
    found = tensor.quantization
    quantized = found is not None and found.scale is not None and len(found.scale)
    dtype = reader.DTYPES[tensor.type]
    if dtype not in CODES | OTHERS:
        raise ModelFileError(f"a tensor has dtype {dtype}, which the engine lacks (lesson 09)")
    zero_point = int(found.zeroPoint[0]) if quantized else 0
    if quantized and dtype in CODES and not _is_sound(found.scale, zero_point, CODES[dtype]):
        raise ModelFileError(
            f"a tensor of {dtype} has zero point {zero_point} and scale {found.scale[0]:g}: the "
            "file is damaged (lesson 03)"
        )
    return Tensor(
        index,
        (tensor.name or b"").decode(errors="replace"),
        np.dtype((CODES | OTHERS)[dtype]),
        tuple(tensor.shape),
        np.asarray(found.scale, np.float32) if quantized else None,
        zero_point,
        reader.stored_value(model, tensor),
        dtype == "INT4",
    )


def _is_sound(scale, zero_point: int, dtype: type) -> bool:
    """Whether a zero point is a code and all scales are positive numbers."""
    scale, limits = np.asarray(scale), np.iinfo(dtype)
    return limits.min <= zero_point <= limits.max and bool(np.all(np.isfinite(scale) & (scale > 0)))


def _require_integers(model, graph) -> None:
    """Refuse what computes with floats, and name its kind."""
    if len(model.subgraphs) != 1 or len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise ModelFileError(
            f"{len(model.subgraphs)} subgraphs, {len(graph.inputs)} inputs and "
            f"{len(graph.outputs)} outputs: the engine takes models with one of each (lesson 09)"
        )
    end = reader.DTYPES[graph.tensors[graph.inputs[0]].type]
    operators = [(reader.operator_name(model, op), _dtypes(graph, op)) for op in graph.operators]
    for shows, kind in FLOAT_KINDS:
        for name, dtypes in operators:
            if shows(name, set(dtypes)):
                raise ModelFileError(
                    f"{name} takes {', '.join(dtypes)}: the model is not full integer, {kind}. The "
                    "engine takes what the paths int8 and uint8 give (lesson 07)"
                )
    if end not in CODES:
        raise ModelFileError(
            f"the model takes {end}; the engine computes with INT8 and UINT8. 16-bit activations "
            "are another path (lesson 11)"
        )


def _dtypes(graph, op) -> list[str]:
    return [reader.DTYPES[graph.tensors[i].type] for i in op.inputs if i >= 0]


# What shows that a model computes with floats, and of which kind it is; the first that fits.
FLOAT_KINDS = (
    (lambda _, dtypes: "FLOAT16" in dtypes, "its weights are float16 (lesson 05)"),
    (
        lambda _, dtypes: "FLOAT32" in dtypes and dtypes & {"INT8", "INT4"},
        "it is hybrid: its weights are integers, its activations floats (lesson 04)",
    ),
    (
        lambda name, dtypes: name == "QUANTIZE" and "FLOAT32" in dtypes,
        "floats go in, or some operators fell back to float (lesson 07)",
    ),
    (lambda _, dtypes: "FLOAT32" in dtypes, "it is a float model (lesson 01)"),
)


def _require_weights(op: Operator) -> None:
    """Refuse weights that are computed, asymmetric, or in groups."""
    if op.name not in tables.SUMMED_AXES:
        return
    weights = op.inputs[1]
    what = None
    if weights.value is None or (
        len(op.inputs) > 2 and op.inputs[2] and op.inputs[2].value is None
    ):
        what = "weights that are computed"
    elif weights.zero_point != 0 or weights.dtype != np.int8:
        what = "asymmetric weights, as before TFLite's 8-bit specification"
    elif op.name == "CONV_2D" and weights.shape[3] != op.input.shape[3]:
        what = "groups of channels"
    if what:
        raise ModelFileError(f"{op.name} has {what}, which the engine lacks (lesson 09)")
