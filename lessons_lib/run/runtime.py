"""The one place that touches an interpreter: float arrays in, float arrays out, for any path."""

import contextlib
import os
import warnings
from collections.abc import Callable, Iterator

import numpy as np

from lessons_lib.errors import InputError, ModelFileError
from lessons_lib.numbers import affine
from lessons_lib.run import micro
from lessons_lib.system import files, sandbox
from lessons_lib.system.quiet import quiet
from lessons_lib.tflite import tables
from lessons_lib.tflite.inputs import padded, require_input, require_one_of_each

KERNELS = {
    "xnnpack": "AUTO",
    "builtin": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "reference": "BUILTIN_REF",
}
_DTYPES = tuple(np.dtype(name) for name in ("float32", "int8", "uint8", "int16"))
_PIECE = 2**17  # bytes of float input that are quantized at once


class Model:
    """A ``.tflite`` model, from a file or bytes, ready to run.

    ``input_shape`` and ``output_shape`` leave out the batch; ``input_dtype`` and ``output_dtype``
    are NumPy dtypes; the scales and zero points are those of the input and the output tensor
    (scale 0.0 where the tensor is float). ``kernels`` is ``xnnpack`` (the default of the runtime),
    ``builtin`` or ``reference``. A content that was not seen before is first loaded in a child
    process. ``keep_tensors`` is for ``tensor_values``. Raises ModelFileError when it is damaged or
    not a model with one input and one output of numbers in batches, and InputError for unknown
    kernels or fewer than one thread. Defined in lessons 01 and 07.
    """

    def __init__(
        self,
        source: str | os.PathLike | bytes,
        *,
        num_threads: int = 1,
        kernels: str = "xnnpack",
        keep_tensors: bool = False,
    ):
        if kernels not in KERNELS:
            known = ", ".join(KERNELS)
            raise InputError(f"kernels={kernels!r}; expected one of {known} (lesson 04)")
        if num_threads < 1:
            raise InputError(f"num_threads={num_threads}; expected at least 1")
        content = files.content(source)
        sandbox.once(content, source, kernels, "lessons_lib.run.runtime:_probe", kernels)
        self._interpreter = _interpreter(content, num_threads, kernels, keep_tensors)
        self._input, self._output = _only_tensors(self._interpreter)
        self.input_shape = tuple(int(n) for n in self._input["shape"][1:])
        self.output_shape = tuple(int(n) for n in self._output["shape"][1:])
        self.input_dtype = np.dtype(self._input["dtype"])
        self.output_dtype = np.dtype(self._output["dtype"])
        self.input_scale, self.input_zero_point = self._input["quantization"]
        self.output_scale, self.output_zero_point = self._output["quantization"]
        self._dynamic_batch = self._input["shape_signature"][0] == -1
        self._allocated = int(self._input["shape"][0])  # the batch there is memory for
        self._last_set: np.ndarray | None = None  # the batch that the input tensor holds

    def quantize_input(self, x: np.ndarray) -> np.ndarray:
        """Return float32 ``x`` (N, ...) in the model's input dtype: round, clip, cast.

        Rounds half away from zero, as QUANTIZE does in the reference kernels and in TFLite-Micro;
        LiteRT's default kernels round its ties to even (lesson 09). A float model gets ``x`` as it
        is.
        Raises InputError when ``x`` is not finite float32 of the model's shape.
        """
        self._check(x, np.dtype("float32"))
        return self._encode(x)

    def _encode(self, x: np.ndarray) -> np.ndarray:
        """Quantize in pieces: for larger arrays NumPy asks the system for memory every time."""
        _require_finite(x)
        if self.input_dtype == np.float32:
            return x
        limits = np.iinfo(self.input_dtype)
        scale, zero_point = np.float32(self.input_scale), np.float32(self.input_zero_point)
        count = -(-x.nbytes // _PIECE)
        rows = -(-len(x) // count)
        pieces = [
            affine.codes(part, scale, zero_point, limits.min, limits.max, self.input_dtype)
            for part in (x[start : start + rows] for start in range(0, len(x), rows))
        ]
        return np.concatenate(pieces)

    def dequantize_output(self, q: np.ndarray) -> np.ndarray:
        """Return outputs (N, classes) of the model as float32: (q - zero_point) * scale."""
        if self.output_dtype == np.float32:
            return q
        return affine.dequantize(q, self.output_scale, self.output_zero_point)

    def run(self, x: np.ndarray, batch_size: int = 50) -> np.ndarray:
        """Return the outputs (N, classes) in the output dtype for ``x`` (N, ...) in the input's.

        A model with a fixed batch runs at that batch, whatever ``batch_size`` says. Raises
        InputError when dtype or shape do not fit, or when ``batch_size`` is below 1.
        """
        self._check(x, self.input_dtype)
        return self._batched(x, batch_size, lambda part: part)

    def predict(self, images: np.ndarray, batch_size: int = 50) -> np.ndarray:
        """Return float32 (N, classes) for float32 images (N, H, W, C): quantize, run, dequantize.

        Raises InputError as ``quantize_input`` and ``run`` do.
        """
        self._check(images, np.dtype("float32"))
        return self.dequantize_output(self._batched(images, batch_size, self._encode))

    def classes(self, images: np.ndarray, batch_size: int = 50) -> np.ndarray:
        """Return the most probable class of each image, int64 (N,).

        Codes are in the order of what they stand for, so they need not be dequantized. Raises
        InputError as ``predict`` does.
        """
        self._check(images, np.dtype("float32"))
        return self._batched(images, batch_size, self._encode).argmax(axis=1)

    def _batched(self, x: np.ndarray, batch_size: int, encode: Callable) -> np.ndarray:
        if batch_size < 1:
            raise InputError(f"batch_size={batch_size}; expected at least 1 (lesson 01)")
        size = min(batch_size, len(x)) if self._dynamic_batch else int(self._input["shape"][0])
        starts = range(0, len(x), size)
        return np.concatenate([self._invoke(encode(x[s : s + size]), size) for s in starts])

    def _invoke(self, part: np.ndarray, size: int) -> np.ndarray:
        """Run one batch; the last one may be short: it is padded, and the padding cut off."""
        with _loading():
            self._set(padded(part, size))
            self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output["index"])[: len(part)]

    def _set(self, batch: np.ndarray) -> None:
        index = self._input["index"]
        if self._allocated != len(batch):
            self._interpreter.resize_tensor_input(index, [len(batch), *self.input_shape])
            self._interpreter.allocate_tensors()
            self._allocated = len(batch)
        self._interpreter.set_tensor(index, batch)
        self._last_set = batch

    @property
    def fixed_batch(self) -> int | None:
        """How many inputs every call takes; None where the file leaves it open."""
        return None if self._dynamic_batch else self._allocated

    def invoker(self, image: np.ndarray) -> Callable[[], None]:
        """Return a function that runs the model once on a float32 image (1, H, W, C), to be timed.

        The input is quantized and set beforehand, and again where the model ran on something else
        meanwhile (that call takes longer). A file with a fixed batch runs all of its
        ``fixed_batch`` inputs, all this image. Raises InputError for more than one image, and as
        ``quantize_input`` does.
        """
        if len(image) != 1:
            raise InputError(f"expected one image, (1, H, W, C), got {np.shape(image)}: x[:1]")
        batch = padded(self.quantize_input(image), self.fixed_batch or 1)

        def invoke() -> None:
            if self._last_set is not batch:
                self._set(batch)
            self._interpreter.invoke()

        self._invoke(batch, len(batch))
        return invoke

    def _tensor(self, index: int) -> np.ndarray | None:
        """A tensor as the last run left it; None for one that the runtime had no use for."""
        with contextlib.suppress(ValueError):
            return self._interpreter.get_tensor(index)

    def _check(self, x: np.ndarray, dtype: np.dtype) -> None:
        require_input(x, dtype, self.input_shape)


def tensor_values(
    source: str | os.PathLike | bytes, x: np.ndarray, *, kernels: str = "reference"
) -> dict[int, np.ndarray]:
    """Return every tensor of the first subgraph, by its index, after running native ``x`` (N, ...).

    The indices are those of ``tables.tensors``; each array has its tensor's own dtype, and one
    row for each of the N inputs where it was computed from them. A model with a dynamic batch runs
    all N at once, one with a fixed batch as often as it takes. ``kernels``: one of KERNELS, or
    ``tflm`` for TFLite-Micro. Raises InputError and ModelFileError as ``Model`` and ``Model.run``
    do, and for ``tflm`` what ``run_micro`` raises. Defined in lesson 09.
    """
    opened = micro.opened(source, x) if kernels == "tflm" else _opened(source, x, kernels)
    run, read, size = opened
    table = tables.tensors(source)
    roles = table.loc[table["subgraph"] == 0, "role"]
    computed = list(roles.index[roles.isin(["input", "activation", "output"])])
    batches = []
    for start in range(0, len(x), size):
        run(x[start : start + size])
        batches.append({index: read(index) for index in computed})
    values = {index: read(index) for index in roles.index} | _joined(batches, size, len(x))
    return {index: value for index, value in values.items() if value is not None}


def _opened(source: str | os.PathLike | bytes, x: np.ndarray, kernels: str):
    """How to run one batch of ``x``, how to read a tensor then, and the size of a batch."""
    model = Model(source, kernels=kernels, keep_tensors=True)
    model._check(x, model.input_dtype)
    size = len(x) if model._dynamic_batch else model._allocated
    return lambda part: model._invoke(part, size), model._tensor, size


def _joined(batches: list[dict], size: int, count: int) -> dict[int, np.ndarray]:
    """Put the batches one after the other, where a tensor has the batch as its first dimension."""
    return {
        index: np.concatenate([batch[index] for batch in batches])[:count]
        for index, value in batches[0].items()
        if value is not None and value.shape[:1] == (size,)
    }


def _require_finite(x: np.ndarray) -> None:
    if not np.isfinite(x).all():
        raise InputError("x holds NaN or inf; every value must be a finite number (lesson 03)")


def _probe(content: bytes, kernels: str) -> None:
    """Load the model and run it on zeros; raise ModelFileError if the runtime refuses it."""
    interpreter = _interpreter(content, 1, kernels)
    with _loading():
        for detail in interpreter.get_input_details():
            interpreter.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
        interpreter.invoke()


def _interpreter(content: bytes, num_threads: int, kernels: str, keep_tensors: bool = False):
    with quiet():
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        with _loading(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that kept tensors need memory
            interpreter = Interpreter(
                model_content=content,
                num_threads=num_threads,
                experimental_op_resolver_type=OpResolverType[KERNELS[kernels]],
                experimental_preserve_all_tensors=keep_tensors,
            )
            interpreter.allocate_tensors()
    return interpreter


@contextlib.contextmanager
def _loading() -> Iterator[None]:
    """Turn the runtime's complaint about a model into a ModelFileError."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        raise ModelFileError(
            f"not a model that the runtime can run ({' '.join(str(error).split())}): it is "
            "corrupted, truncated, or no .tflite at all (lesson 01)"
        ) from error


def _only_tensors(interpreter) -> tuple[dict, dict]:
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    require_one_of_each(inputs, outputs)
    for tensor in (inputs[0], outputs[0]):
        if len(tensor["shape"]) == 0 or np.dtype(tensor["dtype"]) not in _DTYPES:
            raise ModelFileError(
                f"{tensor['name']} is {np.dtype(tensor['dtype'])} of shape {tensor['shape']}; "
                f"the course's helpers take batches of {', '.join(map(str, _DTYPES))}"
            )
    return inputs[0], outputs[0]
