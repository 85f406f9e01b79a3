"""LiteRT, TensorFlow Lite's runtime: named arrays in, named arrays out, for any path.

The library itself hands out tensor indices, wants one call for each batch and lets the caller
quantize. What is given up here: delegates other than XNNPACK, and inputs of strings.
"""

import contextlib
import os
import threading
import warnings
from collections.abc import Callable, Container, Iterator
from typing import Any

import numpy as np

from lessons_lib.errors import InputError, ModelFileError
from lessons_lib.numbers import affine
from lessons_lib.run import micro
from lessons_lib.system import sandbox
from lessons_lib.system.quiet import quiet
from lessons_lib.tflite import edit, samples, tables
from lessons_lib.tflite.samples import Rows
from lessons_lib.tflite.signature import Signature, of_file, one_by_one, real, require_numbers

KERNELS = {
    "xnnpack": "AUTO",
    "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "reference": "BUILTIN_REF",
}
_ROUNDING = 0.01  # of the largest answer; seen: 2e-7, and a code that flips is more
_PIECE = 2**17  # bytes of float input that are quantized at once


class Model:
    """A ``.tflite`` model, from a file or bytes, ready to run.

    ``signature`` says what it takes and gives, by name; with ``signature=key`` another one than
    ``serving_default`` is run. ``kernels`` is ``xnnpack`` (the default of the runtime),
    ``builtin`` or ``reference``. A content that these kernels have not met before is first loaded
    and run in a child process. ``keep_tensors`` is for ``tensor_values``. A model with a state
    starts anew at every call. Raises ModelFileError when the file is damaged, or the runtime lacks
    what it needs, and InputError for unknown kernels, an unknown signature or fewer than one
    thread. Defined in lessons 01 and 07.
    """

    def __init__(
        self,
        source: str | os.PathLike | bytes,
        *,
        signature: str | None = None,
        num_threads: int = 1,
        kernels: str = "xnnpack",
        keep_tensors: bool = False,
    ):
        if kernels not in KERNELS:
            known = ", ".join(KERNELS)
            raise InputError(f"kernels={kernels!r}; expected one of {known} (lesson 04)")
        if num_threads < 1:
            raise InputError(f"num_threads={num_threads}; expected at least 1")
        content = edit.only_signature(source, signature)
        self.signature = of_file(content)
        require_numbers(self.signature)
        self._real = real(self.signature)
        self._source = source
        self._opened = content, num_threads, kernels, keep_tensors
        self._apart = False  # whether that was seen, see _require_apart
        self._one_at_a_time = threading.RLock()  # the interpreter has one set of tensors
        self._try_in_a_child()
        self._start()

    def _try_in_a_child(self) -> None:
        content, _, kernels, _ = self._opened
        sandbox.once(content, self._source, kernels, "lessons_lib.run.runtime:_probe", kernels)

    def _start(self) -> None:
        """Open the interpreter: a new one alone forgets what variables hold."""
        self._interpreter = _interpreter(*self._opened)
        self._shapes = {
            detail["index"]: tuple(detail["shape"])
            for detail in self._interpreter.get_input_details()
        }
        self._require_inputs(self._shapes)
        self._allocated = False
        self._last_set: Rows | None = None  # what the input tensors hold

    def _require_inputs(self, indices: Container[int]) -> None:
        """Raise ModelFileError where the runtime's inputs lack one of the signature's."""
        for name, spec in self.signature.inputs.items():
            if spec.index not in indices:
                raise ModelFileError(
                    f"the signature's input {name} is no input of the subgraph. TFLiteConverter "
                    "writes that where an output is the input itself, unchanged: leave that output "
                    "out of the model (lesson 01)"
                )

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """The shape of one sample of the only input, without the axis that counts samples."""
        return self.signature.sample_shape(self.signature.only_input.name)

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """The shape of the only output, without the axis that counts samples."""
        shape = self.signature.only_output.shape
        return shape[1:] if self.signature.in_batches else shape

    @property
    def input_dtype(self) -> np.dtype:
        return self.signature.only_input.dtype

    @property
    def output_dtype(self) -> np.dtype:
        return self.signature.only_output.dtype

    @property
    def input_scale(self) -> float:
        """The scale of the only input, 0.0 where it is not quantized."""
        return self.signature.only_input.scale or 0.0

    @property
    def input_zero_point(self) -> int:
        return self.signature.only_input.zero_point

    @property
    def output_scale(self) -> float:
        """The scale of the only output, 0.0 where it is not quantized."""
        return self.signature.only_output.scale or 0.0

    @property
    def output_zero_point(self) -> int:
        return self.signature.only_output.zero_point

    @property
    def fixed_batch(self) -> int | None:
        """How many samples every call takes; None where the file leaves it open."""
        return self.signature.batch

    def quantize_input(self, x: Any) -> np.ndarray | Rows:
        """Return ``x`` in the model's input dtypes: quantized inputs are rounded, clipped, cast.

        Rounds half away from zero, as QUANTIZE does in the reference kernels and in TFLite-Micro;
        LiteRT's default kernels round its ties to even (lesson 09). What the model takes as it is
        (floats, tokens) comes back as it is.
        Raises InputError when ``x`` does not fit, or holds NaN or inf.
        """
        return samples.bare(self._encode(samples.rows(x, self._real)))

    def _encode(self, found: Rows) -> Rows:
        return {name: _codes(array, self.signature.inputs[name]) for name, array in found.items()}

    def dequantize_output(self, q: np.ndarray | Rows) -> np.ndarray | Rows:
        """Return outputs as float32: (q - zero_point) * scale; what is not quantized as it is."""
        outputs = self.signature.outputs
        found = q if isinstance(q, dict) else {self.signature.only_output.name: q}
        return samples.bare(
            {
                name: array
                if outputs[name].scale is None
                else affine.dequantize(array, outputs[name].scale, outputs[name].zero_point)
                for name, array in found.items()
            }
        )

    def run(self, x: Any, batch_size: int = 50) -> np.ndarray | Rows:
        """Return the outputs (N, ...) in the output's dtype for ``x`` (N, ...) in the input's.

        ``x`` is an array for one input, or a dictionary by name; so is the result. A model with a
        fixed batch runs at that batch, whatever ``batch_size`` says. Raises InputError when names,
        dtypes or shapes do not fit, when ``batch_size`` is below 1, and where ``x`` takes several
        calls and an answer depends on the other samples of its call.
        """
        found = samples.rows(x, self.signature)
        return samples.bare(self._in_calls(found, batch_size, lambda part: part))

    def predict(self, x: Any, batch_size: int = 50) -> np.ndarray | Rows:
        """Return float32 (N, ...) for real numbers (N, ...): quantize, run, dequantize.

        ``x`` is an array for one input, or a dictionary by name; so is the result. Integers that
        the float model takes and gives, such as tokens, stay integers. Raises InputError as
        ``quantize_input`` and ``run`` do.
        """
        found = samples.rows(x, self._real)
        return self.dequantize_output(self._in_calls(found, batch_size, self._encode))

    def classes(self, x: Any, batch_size: int = 50) -> np.ndarray:
        """Return the most probable class of each sample, int64 (N,).

        Codes are in the order of what they stand for, so they need not be dequantized. Raises
        InputError as ``predict`` does, when the model does not give one number for each of two or
        more classes, and when one is NaN.
        """
        name, shape = self.signature.only_output.name, self.output_shape
        if len(shape) != 1 or shape[0] == 1 or not self.signature.in_batches:
            cure = samples.no_classes((0, *shape))
            raise InputError(f"no class in an output of shape (N, {_sizes(shape)}): {cure}")
        output = self._in_calls(samples.rows(x, self._real), batch_size, self._encode)[name]
        samples.require_finite(output, name)
        return output.argmax(axis=1)

    def _in_calls(self, found: Rows, batch_size: int, encode: Callable[[Rows], Rows]) -> Rows:
        if batch_size < 1:
            raise InputError(f"batch_size={batch_size}; expected at least 1 (lesson 01)")
        parts, count = [], samples.count(found)
        for part in samples.calls(found, self.signature, batch_size):
            parts.append(self._invoke(encode(part)))
            if self.signature.open_batch and not _same_count(part, parts[-1]):
                self.signature, self._real = map(one_by_one, (self.signature, self._real))
                return self._in_calls(found, 1, encode)
            if self.signature.open_batch and count > batch_size > 1 and not self._apart:
                self._require_apart(encode(part), parts[-1], count)
        return samples.joined(parts, self.signature, count)

    def _require_apart(self, part: Rows, together: Rows, count: int) -> None:
        """Raise InputError where a sample's answer depends on the others of its call.

        Asked once, of one sample alone and among others; a model with chance inside cannot be.
        """
        middle = samples.count(part) // 2
        alone = self._invoke({name: array[middle : middle + 1] for name, array in part.items()})
        for name, array in together.items():
            if _alike(array[middle : middle + 1], alone[name], array):
                continue
            # With a seed, chance begins anew where the batch changed: twice the same tells.
            again = [list(self._invoke(part).values()) for _ in range(2)]
            if all(map(_alike, *again, again[0])):
                raise InputError(
                    f"the answer {name} to a sample depends on the other samples of its call, so "
                    f"that calls of a part of the {count} mean little. Save the model with the "
                    "batch that it will get, sources.save(model, folder, batch_size=1); in Python "
                    f"batch_size={count} runs all of them in one call (lesson 01)"
                )
        self._apart = True

    def _invoke(self, part: Rows) -> Rows:
        """One call of the runtime."""
        content, _, kernels, _ = self._opened
        if (use := _use(kernels, self.signature, part)) != kernels:
            shapes = {name: array.shape for name, array in part.items()}
            sandbox.once(content, self._source, use, f"{__name__}:_probe", kernels, shapes)
        with self._one_at_a_time, refusal():
            if self.signature.state:
                self._start()
            self._set(part)
            self._call()
            return self._outputs()

    def _call(self) -> None:
        self._interpreter.invoke()

    def _outputs(self) -> Rows:
        return {
            name: self._interpreter.get_tensor(spec.index)
            for name, spec in self.signature.outputs.items()
        }

    def _set(self, part: Rows) -> None:
        for name, array in part.items():
            index = self.signature.inputs[name].index
            if self._shapes[index] != array.shape:
                self._interpreter.resize_tensor_input(index, array.shape)
                self._shapes[index], self._allocated = array.shape, False
        if not self._allocated:
            with quiet():  # XNNPACK presents itself
                self._interpreter.allocate_tensors()
            self._allocated = True
        for name, array in part.items():
            self._interpreter.set_tensor(self.signature.inputs[name].index, array)
        self._last_set = part

    def invoker(self, sample: Any) -> Callable[[], None]:
        """Return a function that runs the model once on one sample (1, ...), to be timed.

        The inputs are quantized and set beforehand, and again where the model ran on something
        else meanwhile (that call takes longer). A file with a fixed batch runs all of its
        ``fixed_batch`` samples, all this one. Raises InputError for more than one sample, and as
        ``quantize_input`` does.
        """
        found = samples.rows(sample, self._real)
        if (count := samples.count(found)) != 1:
            raise InputError(f"expected one sample, (1, ...), got {count}: x[:1]")
        (part,) = samples.calls(self._encode(found), self.signature, 1)

        def invoke() -> None:
            if self._last_set is not part:
                self._set(part)
            self._call()

        self._invoke(part)
        return invoke

    def _tensor(self, index: int) -> np.ndarray | None:
        """A tensor as the last run left it; None for one that the runtime had no use for."""
        with contextlib.suppress(ValueError):
            return self._interpreter.get_tensor(index)


def tensor_values(
    source: str | os.PathLike | bytes, x: Any, *, kernels: str = "reference"
) -> dict[int, np.ndarray]:
    """Return every tensor of the default signature, by index, after running native ``x`` (N, ...).

    The indices are those of ``tables.tensors``, in the first subgraph of
    ``edit.only_signature(source)``; each array has its tensor's own dtype, and one row for each of
    the N samples where it was computed from them. A model with an open batch runs all N at once,
    another one as often as it takes. ``kernels``: one of KERNELS, or ``tflm`` for
    TFLite-Micro. Raises InputError and ModelFileError as ``Model`` and ``Model.run`` do, and for
    ``tflm`` what ``micro.run`` raises. Defined in lesson 09.
    """
    if kernels == "tflm":
        signature, invoke, read = micro.opened(source)
    else:
        model = Model(source, kernels=kernels, keep_tensors=True)
        signature, invoke, read = model.signature, model._invoke, model._tensor
    found = samples.rows(x, signature)
    count = samples.count(found)
    roles = _numbers(edit.only_signature(source))
    computed = list(roles.index[roles.isin(["input", "activation", "output"])])
    size = signature.batch or (1 if kernels == "tflm" else count)
    batches = []
    for part in samples.calls(found, signature, size):
        invoke(part)
        batches.append({index: read(index) for index in computed})
    values = {index: read(index) for index in roles.index}
    values |= _joined(batches, size, count)
    return {index: value for index, value in values.items() if value is not None}


def _numbers(source: str | os.PathLike | bytes):
    """The role of each tensor of the first subgraph that holds numbers, by its index.

    Asked for the handle of a variable, the runtime ends the process.
    """
    table = tables.tensors(source)
    table = table[(table["subgraph"] == 0) & ~table["dtype"].isin(["RESOURCE", "VARIANT"])]
    return table.set_index("index")["role"]


def _joined(batches: list[dict], size: int, count: int) -> dict[int, np.ndarray]:
    """Put the batches one after the other, where a tensor has the batch as its first dimension."""
    return {
        index: np.concatenate([batch[index] for batch in batches])[:count]
        for index, value in batches[0].items()
        if value is not None and value.shape[:1] == (size,)
    }


def _alike(one: np.ndarray, other: np.ndarray, among: np.ndarray) -> bool:
    """Whether two answers are the same, but for the order in which a runtime sums up floats."""
    if one.shape != other.shape:
        return False
    one, other, among = (array.astype(np.float64) for array in (one, other, among))
    room = _ROUNDING * np.abs(among[np.isfinite(among)]).max(initial=0)
    return np.allclose(one, other, rtol=0, atol=room, equal_nan=True)


def _same_count(inputs: Rows, outputs: Rows) -> bool:
    """Whether a call gave as many rows as it took, at every output."""
    rows = {array.shape[:1] for side in (inputs, outputs) for array in side.values()}
    return len(rows) == 1


def _codes(array: np.ndarray, spec) -> np.ndarray:
    """Quantize in pieces: for larger arrays NumPy asks the system for memory every time."""
    if spec.scale is None:
        return array
    if not array.ndim:
        return _codes(array[np.newaxis], spec)[0, ...]
    limits = np.iinfo(spec.dtype)
    scale, zero_point = np.float32(spec.scale), np.float32(spec.zero_point)
    rows = -(-len(array) // max(1, -(-array.nbytes // _PIECE)))
    pieces = [
        affine.codes(part, scale, zero_point, limits.min, limits.max, spec.dtype)
        for part in (array[start : start + rows] for start in range(0, len(array), rows))
    ]
    return np.concatenate(pieces)


def _sizes(shape: tuple[int | None, ...]) -> str:
    return ", ".join("?" if size is None else str(size) for size in shape)


def trust(content: bytes, inputs: Rows, kernels: str = "xnnpack") -> None:
    """Let kernels run a content on inputs of these shapes without trying it in a child first.

    For what was made here, and in a child.
    """
    sandbox.trust(content, kernels)
    sandbox.trust(content, _use(kernels, of_file(content), inputs))


def _use(kernels: str, signature: Signature, part: Rows) -> str:
    """What a content is to be trusted for: where sizes are open, each of them by itself."""
    if not any(spec.open_sizes for spec in signature.inputs.values()):
        return kernels
    return f"{kernels} {[array.shape[1:] for _, array in sorted(part.items())]}"


def _probe(content: bytes, kernels: str, shapes: dict[str, tuple[int, ...]] | None = None) -> None:
    """Load the model and run it on zeros; raise ModelFileError if the runtime refuses it."""
    interpreter = _interpreter(content, 1, kernels)
    signature = of_file(content)
    if shapes is None and any(spec.open_sizes for spec in signature.inputs.values()):
        return  # zeros of size 1 say nothing; the first call has a size that fits
    with refusal():
        for name, shape in (shapes or {}).items():
            interpreter.resize_tensor_input(signature.inputs[name].index, shape)
        interpreter.allocate_tensors()
        for detail in interpreter.get_input_details():
            interpreter.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
        interpreter.invoke()


def _interpreter(content: bytes, num_threads: int, kernels: str, keep_tensors: bool = False):
    with quiet():
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        with refusal(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that kept tensors need memory
            return Interpreter(
                model_content=content,
                num_threads=num_threads,
                experimental_op_resolver_type=OpResolverType[KERNELS[kernels]],
                experimental_preserve_all_tensors=keep_tensors,
            )


@contextlib.contextmanager
def refusal() -> Iterator[None]:
    """Turn the runtime's complaint about a model into a ModelFileError with its own words."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        raise refused(str(error)) from error


def refused(words: str) -> ModelFileError:
    """Return the error for a model that the runtime does not run, and says why."""
    reason = " ".join(words.split())
    return ModelFileError(f"LiteRT does not run this model: {reason}. {_meaning(reason)}")


def _meaning(reason: str) -> str:
    """What a reader, who does not know the runtime's insides, may take from its words."""
    if "custom op" in reason or "Select TensorFlow op" in reason:
        return (
            "The file was made for another runtime, an accelerator for one, or has operators that "
            "TensorFlow Lite lacks: convert the float model anew (lesson 07)"
        )
    return "The file may be made for another runtime, or damaged (lesson 01)"
