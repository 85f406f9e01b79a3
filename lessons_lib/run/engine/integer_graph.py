"""A full-integer ``.tflite`` as ``integer_engine`` runs it: its tensors and operators.

What a runtime computes once, before the first image, is computed here: the ratio of scales behind
each operator, as a real number and as a multiplier with a shift, and the range of its output.
Floats are used for that, as all runtimes do.
"""

import contextlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from lessons_lib.errors import LessonError, ModelFileError
from lessons_lib.numbers import affine, fixed_point
from lessons_lib.run.engine import delegate, variables
from lessons_lib.system import files
from lessons_lib.tflite import reader, tables
from lessons_lib.tflite.signature import Signature, all_of_model, choose

# Of one array. The largest one in an ordinary network, 1024 x 1024 x 64, has as many; a false size
# in a file must not ask the machine for gigabytes.
MOST_ELEMENTS = 2**26
LITERT = "LiteRT tells whether the file is sound and runs it if it is: runtime.Model"

ACTIVATION_RANGES = {  # in real numbers
    "NONE": (None, None),
    "RELU": (0, None),
    "RELU6": (0, 6),
    "RELU_N1_TO_1": (-1, 1),
}
CODES = {"INT8": np.int8, "UINT8": np.uint8, "INT16": np.int16}
INDICES = {"INT32": np.int32, "INT64": np.int64, "BOOL": np.bool_}
OTHERS = {"INT4": np.int8, "FLOAT32": np.float32, "RESOURCE": np.int32} | INDICES


@dataclass(frozen=True, eq=False)
class Tensor:
    """A tensor of the file.

    ``shape`` has 1 where a dimension is open. ``scale``: float32, one number or one for each
    channel, None without quantization. ``value``: what the file stores, None for what is computed.
    """

    index: int
    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    scale: np.ndarray | None
    zero_point: int
    value: np.ndarray | None
    packed: bool  # 4 bits each in the file
    axis: int  # of the channels that have a scale each

    def same_codes(self, other: "Tensor") -> bool:
        """Return whether equal codes of both tensors stand for equal numbers."""
        if self.scale is None or other.scale is None:  # shapes have none
            return self.scale is other.scale
        return np.array_equal(self.scale, other.scale) and self.zero_point == other.zero_point

    def code(self, real: float) -> int:
        """Return the integer that stands for a real number, not clipped."""
        return self.zero_point + int(affine.round_half_away(np.float32(real) / self.scale[0]))


@dataclass(frozen=True, eq=False)
class Operator:
    """An operator of the file. ``options`` are the schema's: Conv2DOptionsT and so on.

    ``between``: the tensors of its inner sums. ``kernels`` names a runtime, and with ``strict``
    everything stays in integers. The runtime takes ``call`` rows at once (None: all there are);
    where rows are ``apart``, the engine takes as many as suit it. ``memory`` keeps what the
    operator computes once for all batches. ``pool`` is a MAX_POOL_2D to be done on its sums, before
    they are rescaled.
    """

    name: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    between: tuple[Tensor, ...]
    options: object
    kernels: str
    strict: bool
    call: int | None = None
    apart: bool = False
    pool: "Operator | None" = None
    memory: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def input(self) -> Tensor:
        """The tensor that the operator is about: the first one, but for TRANSPOSE_CONV."""
        return self.inputs[2 if self.name == "TRANSPOSE_CONV" else 0]

    @property
    def output(self) -> Tensor:
        """The first output."""
        return self.outputs[0]

    @cached_property
    def by_xnnpack(self) -> bool:
        """Whether the XNNPACK delegate computes the operator."""
        return self.kernels == "xnnpack" and delegate.taken(self)

    @property
    def bias(self) -> Tensor | None:
        """The bias of a layer with weights, None where it has none."""
        slot = 3 if self.name == "TRANSPOSE_CONV" else 2
        return self.inputs[slot] if len(self.inputs) > slot else None

    @cached_property
    def weights(self) -> np.ndarray:
        """The weights in steps of their scale: int64, what the file stores minus its zero point."""
        return self.inputs[1].value.astype(np.int64) - self.inputs[1].zero_point

    @cached_property
    def weight_scale(self) -> np.ndarray:
        """The scales of the weights, float32; 1 for an operator without weights."""
        has_weights = self.name in tables.PARAMETERS
        return self.inputs[1].scale if has_weights else np.ones(1, np.float32)

    @cached_property
    def ratio(self) -> np.ndarray:
        """Input scale * weight scale / output scale: float64, for each channel or for all.

        LiteRT's dense layers multiply the first two in float32 where the weights are per-tensor,
        but not where they are rescaled in floats; so does every other layer of uint8. Its RELU
        divides in float32.
        """
        if self.name in ACTIVATION_RANGES and self.kernels != "tflm":
            return (self.input.scale[:1] / self.output.scale[0]).astype(np.float64)
        dense = self.name == "FULLY_CONNECTED"
        fast = self.kernels in ("builtin", "xnnpack")
        narrow = dense and fast and self.weight_scale.size == 1 and not self.long_sums
        wide = np.float32 if narrow or (self.asymmetric and not dense) else np.float64
        product = self.input.scale[0].astype(wide) * self.weight_scale
        return product.astype(np.float64) / self.output.scale[0].astype(np.float64)

    @cached_property
    def asymmetric(self) -> bool:
        """Whether the weights are uint8, as before TFLite's 8-bit specification."""
        return self.name in tables.PARAMETERS and self.inputs[1].dtype == np.uint8

    @cached_property
    def long_sums(self) -> bool:
        """Whether a layer of 16-bit codes sums up in 64 bits: where its bias has as many.

        Without a bias some layers go by the type that the options announce.
        """
        if self.name not in tables.PARAMETERS or self.input.dtype != np.int16:
            return False
        if self.bias is not None:
            return self.bias.dtype == np.int64
        announced = getattr(self.options, "quantizedBiasType", None)
        if self.kernels == "tflm" and self.name in ("CONV_2D", "FULLY_CONNECTED"):
            return announced != schema.TensorType.INT32
        return self.name != "FULLY_CONNECTED" or announced == schema.TensorType.INT64

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
        if self.output.scale is None:  # integers that are no codes
            return int(real)
        if self.by_xnnpack:
            steps = np.float32(real) / self.output.scale[0]
            return int(np.rint(steps + np.float32(self.output.zero_point)))
        return self.output.code(real)

    @cached_property
    def weight_matrix(self) -> np.ndarray:
        """The weights of CONV_2D or FULLY_CONNECTED, (inputs of one sum, outputs)."""
        return self.weights.reshape(len(self.weights), -1).T.astype(self.sum_dtype)

    @cached_property
    def sum_dtype(self) -> type:
        """The fastest dtype that holds every accumulator of a layer with weights exactly.

        NumPy multiplies matrices of integers slowly, and of floats with BLAS. Whole numbers up to
        2**24 are exact in float32, up to 2**53 in float64, in whatever order they are added.
        """
        if self.strict:
            return np.int64
        summed = tables.SUMMED_AXES.get(self.name, slice(1, 4))
        sizes = np.abs(self.weights).sum(axis=tuple(range(self.weights.ndim)[summed]))
        largest = (2 ** (8 * self.input.dtype.itemsize) - 1) * int(sizes.max())
        largest += int(np.abs(self.bias.value.astype(np.int64)).max()) if self.bias else 0
        return np.float32 if largest <= 2**24 else np.float64 if largest <= 2**53 else np.int64


@dataclass(frozen=True, eq=False)
class Graph:
    """A signature's operators in the order of execution, its inputs and outputs by name.

    ``call``: how many rows the runtime takes at once, None for all there are. ``data``: the indices
    of the tensors that are computed from the values of an input; the others are constants and
    shapes.
    """

    operators: tuple[Operator, ...]
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    signature: Signature
    data: frozenset[int]
    call: int | None

    @property
    def apart(self) -> bool:
        """Whether the rows of a batch are computed apart."""
        return any(op.apart for op in self.operators)


@contextlib.contextmanager
def damage_named(what: str) -> Iterator[None]:
    """Raise ModelFileError, naming ``what``, in place of what an unfit file ends in."""
    kinds = (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError)
    try:
        yield
    except LessonError:
        raise
    except kinds as error:
        raise ModelFileError(
            f"the engine cannot compute {what} as this file has it ({type(error).__name__}: "
            f"{error}). {LITERT} (lesson 09)"
        ) from error


def require_room(what: str, *sizes: int) -> None:
    """Raise ModelFileError when an array of these sizes has more than MOST_ELEMENTS."""
    elements = math.prod(int(size) for size in sizes)
    if elements > MOST_ELEMENTS:
        raise ModelFileError(
            f"{what} asks for an array of {elements:,} elements; the engine makes none above "
            f"{MOST_ELEMENTS:,}. {LITERT} (lesson 09)"
        )


def refuse(op: Operator, what: str):
    """Raise ModelFileError for what the engine does not do as the named kernels do it."""
    raise ModelFileError(
        f"{op.name} of {op.kernels} {what}, which the engine lacks. {LITERT} (lesson 09)"
    )


def load(source: str | os.PathLike | bytes, kernels: str, strict: bool) -> Graph:
    """Return the graph of a full-integer model: integers from its inputs to its last operators.

    An input may be float32, before a QUANTIZE, and an output behind a DEQUANTIZE. Raises
    ModelFileError when the file is damaged or computes with floats, and says in which lesson to
    read why.
    """
    model = reader.read(files.content(source))
    signature = choose(all_of_model(model))
    graph = model.subgraphs[signature.subgraph]
    variables.settle(model, graph, kernels)
    _require_integers(model, graph, signature)
    found = built(model, signature, kernels, strict)
    for op in found.operators:
        _require_weights(op)
        _require_symmetric(op)
    return found


def built(model: schema.ModelT, signature: Signature, kernels: str, strict: bool = False) -> Graph:
    """Return the graph of a signature, whatever it computes with.

    Raises ModelFileError for a tensor of a dtype that has no place here, and where the signature
    and the operators disagree.
    """
    graph = model.subgraphs[signature.subgraph]
    tensors = [_tensor(model, index, tensor) for index, tensor in enumerate(graph.tensors)]
    call = _rows_of_a_call(signature, kernels)
    operators = tuple(
        Operator(
            reader.operator_name(model, op),
            tuple(tensors[i] if i >= 0 else None for i in op.inputs),
            tuple(tensors[i] for i in op.outputs),
            tuple(tensors[i] for i in reader.integers(op.intermediates)),
            op.builtinOptions,
            kernels,
            strict,
            call,
        )
        for op in graph.operators
    )
    ends = [
        {name: tensors[spec.index] for name, spec in side.items()}
        for side in (signature.inputs, signature.outputs)
    ]
    return Graph(operators, *ends, signature, _computed_from(operators, ends), call)


def _rows_of_a_call(signature: Signature, kernels: str) -> int | None:
    """TFLite-Micro takes an open batch for the size 1 that the file stores for it."""
    return 1 if kernels == "tflm" and signature.batch is None else signature.batch


def _computed_from(operators: tuple[Operator, ...], ends: list[dict]) -> frozenset[int]:
    """The tensors that depend on the values of an input, and not only on its shape."""
    inputs, outputs = ends
    data = {tensor.index for tensor in inputs.values()}
    known = set(data)
    for op in operators:
        if op.inputs and op.input.index not in known and op.input.value is None:
            raise ModelFileError(
                f"{op.name} reads the tensor {op.input.name}, which is neither computed nor an "
                "input of the signature: the file's signature and its graph disagree (lesson 02)"
            )
        known.update(tensor.index for tensor in op.outputs)
        if op.name != "SHAPE" and any(t and t.index in data for t in op.inputs):
            data.update(tensor.index for tensor in op.outputs)
    missing = [name for name, tensor in outputs.items() if tensor.index not in known]
    if missing:
        raise ModelFileError(
            f"no operator computes the output {', '.join(missing)}: the file is damaged (lesson 02)"
        )
    return frozenset(data)


def kept_apart(graph: Graph) -> Graph:
    """Return the graph with operators that know that rows are apart, but for those on shapes."""
    operators = [replace(op, apart=op.output.index in graph.data) for op in graph.operators]
    return replace(graph, operators=tuple(operators))


def _tensor(model, index: int, tensor) -> Tensor:
    found = tensor.quantization
    quantized = found is not None and found.scale is not None and len(found.scale)
    dtype, name = reader.DTYPES[tensor.type], reader.text(tensor.name)
    if dtype not in CODES | OTHERS:
        raise ModelFileError(
            f"the tensor {name} has dtype {dtype}, which the engine lacks. {LITERT} (lesson 09)"
        )
    if found is not None and found.detailsType:
        raise ModelFileError(
            f"the tensor {name} is quantized in blocks, or in another way than by one scale for "
            f"all or for each channel: the engine lacks that. {LITERT} (lesson 09)"
        )
    zero_points = reader.integers(found.zeroPoint) if quantized else []
    zero_point = zero_points[0] if zero_points else 0
    if quantized and dtype in CODES and not _is_sound(found.scale, zero_point, CODES[dtype]):
        raise ModelFileError(
            f"the tensor {name} of {dtype} has zero point {zero_point} and scale "
            f"{found.scale[0]:g}: the file is damaged (lesson 03)"
        )
    if any(other != zero_point for other in zero_points):
        raise ModelFileError(
            f"the tensor {name} has a zero point for each channel, which the engine lacks. "
            f"{LITERT} (lesson 09)"
        )
    return Tensor(
        index,
        name,
        np.dtype((CODES | OTHERS)[dtype]),
        tuple(tensor.shape),
        np.asarray(found.scale, np.float32) if quantized else None,
        zero_point,
        reader.stored_value(model, tensor),
        dtype == "INT4",
        found.quantizedDimension if quantized else 0,
    )


def _is_sound(scale, zero_point: int, dtype: type) -> bool:
    """Whether a zero point is a code and all scales are positive numbers."""
    scale, limits = np.asarray(scale), np.iinfo(dtype)
    return limits.min <= zero_point <= limits.max and bool(np.all(np.isfinite(scale) & (scale > 0)))


def _require_integers(model, graph, signature: Signature) -> None:
    """Refuse what computes with floats, and name its kind; floats may become codes."""
    operators = [(reader.operator_name(model, op), _dtypes(graph, op)) for op in graph.operators]
    by_floats = any(
        name != "QUANTIZE" and {"FLOAT16", "FLOAT32"} & set(dtypes) for name, dtypes in operators
    )
    for shows, kind in FLOAT_KINDS if by_floats else ():
        for name, dtypes in operators:
            if shows(name, set(dtypes)):
                raise ModelFileError(
                    f"{name} takes {', '.join(dtypes)}: the model is not full integer, {kind}. The "
                    "engine takes what computes with integers from end to end, as the paths int8 "
                    "and uint8 give it (lesson 07)"
                )
    for name, spec in signature.inputs.items():
        dtype = reader.DTYPES[graph.tensors[spec.index].type]
        if dtype not in CODES | INDICES | {"FLOAT32": np.float32}:
            raise ModelFileError(
                f"the input {name} is {dtype}; the engine takes {', '.join(CODES | INDICES)}, and "
                "FLOAT32 that it quantizes (lesson 07)"
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
        "some operators fell back to float (lesson 07)",
    ),
    (lambda _, dtypes: "FLOAT32" in dtypes, "it is a float model (lesson 01)"),
)


def _require_weights(op: Operator) -> None:
    """Refuse weights that are computed, or in a form that the engine lacks."""
    if op.name not in tables.PARAMETERS:
        return
    weights, what = op.inputs[1], None
    stored = [tensor.value for tensor in (weights, op.bias) if tensor]
    if any(value is None for value in stored):
        what = "weights that are computed"
    elif weights.dtype not in (np.int8, np.uint8) or weights.scale is None:
        what = f"weights of {weights.dtype}"
    elif (weights.dtype == np.uint8) != (op.input.dtype == np.uint8) or (
        weights.zero_point and weights.dtype == np.int8
    ):
        what = f"{weights.dtype} weights with zero point {weights.zero_point} on {op.input.dtype}"
    elif op.kernels != "tflm" and op.input.dtype == np.int16 and not _says_its_bias(op):
        what = "a bias of 32 bits that LiteRT takes for one of 64"
    elif op.kernels == "tflm" and op.input.dtype == np.int16 and not _micro_reads_its_bias(op):
        what = "a bias of 32 bits that TFLite-Micro takes for one of 64"
    elif op.name == "CONV_2D" and weights.shape[3] != op.input.shape[3]:
        what = "groups of channels"
    if what:
        raise ModelFileError(f"{op.name} has {what}, which the engine lacks. {LITERT} (lesson 09)")


def _says_its_bias(op: Operator) -> bool:
    """Whether a 32-bit bias beside 16-bit codes is announced; LiteRT reads past its end else."""
    announced = getattr(op.options, "quantizedBiasType", None) == schema.TensorType.INT32
    return op.bias is None or op.bias.dtype == np.int64 or announced


def _micro_reads_its_bias(op: Operator) -> bool:
    """Whether TFLite-Micro looks how many bits a bias beside 16-bit codes has, or it has 64."""
    looks = op.name in ("CONV_2D", "FULLY_CONNECTED")
    return looks or op.bias is None or op.bias.dtype == np.int64


def _require_symmetric(op: Operator) -> None:
    """Refuse a zero point of 16-bit codes, but of those that SOFTMAX makes of 8 bits."""
    made = op.name == "SOFTMAX" and op.input.dtype == np.int8
    shifted = (() if op.name == "QUANTIZE" else op.inputs) + (() if made else op.outputs)
    for tensor in shifted:
        if tensor and tensor.dtype == np.int16 and tensor.zero_point:
            raise ModelFileError(
                f"the tensor {tensor.name} of INT16 has zero point {tensor.zero_point}: {op.name} "
                "takes and gives 16-bit codes only as the specification has them, symmetric. "
                f"{LITERT} (lesson 11)"
            )
