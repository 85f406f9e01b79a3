"""LiteRT's ``CompiledModel``, the interface that its documentation recommends, used as the other.

The same kernels stand behind both interfaces. ``CpuKernelMode.DELEGATE`` is XNNPACK, ``BUILTIN``
the optimized kernels. ``REFERENCE`` is documented as the reference kernels
(``BuiltinRefOpResolver``), and in ai-edge-litert 2.3.0 it is not: wherever the two differ (the
digits' two networks, the fruits of lesson 15) it gives the builtin kernels' integers, on x86-64.
``tests/test_compiled.py`` asserts that as it is.

What is given up here: GPUs, NPUs, buffers that others own, and calls of several samples where the
file leaves the batch open. Resized, some files fail ("Failed to allocate tensors"), and a float
model damaged the process's memory.
"""

import contextlib
import functools
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from lessons_lib.errors import ModelFileError
from lessons_lib.run import runtime
from lessons_lib.system import sandbox
from lessons_lib.system.quiet import Log, quiet
from lessons_lib.tflite.samples import Rows
from lessons_lib.tflite.signature import Signature

MODES = {"xnnpack": "DELEGATE", "builtin": "BUILTIN", "reference": "REFERENCE"}
DTYPES = ("float32", "float16", "int32", "int8", "uint8", "bool")  # of TensorBuffer in Python


class Model(runtime.Model):
    """A ``.tflite`` model, from a file or bytes, that LiteRT's ``CompiledModel`` runs on the CPU.

    Used as ``runtime.Model``: named arrays in, named arrays out, and the same errors. ``kernels``
    is a key of MODES; beware that ``reference`` gives the integers of ``builtin``, see above. Where
    the batch is open, a call takes one sample, whatever ``batch_size`` says. A content that these
    kernels have not met before is first loaded and run in a child process.
    Raises ModelFileError when the file is damaged, LiteRT lacks what it needs, sizes behind the
    batch are open, or an input or output has no buffer in Python (16-bit codes); InputError as
    ``runtime.Model`` does. Source: ``ai_edge_litert.compiled_model``. Defined in lesson 09.
    """

    def __init__(
        self,
        source: str | os.PathLike | bytes,
        *,
        signature: str | None = None,
        num_threads: int = 1,
        kernels: str = "xnnpack",
    ):
        super().__init__(source, signature=signature, num_threads=num_threads, kernels=kernels)

    def _try_in_a_child(self) -> None:
        _require_buffers(self.signature)
        content, _, kernels, _ = self._opened
        use = f"CompiledModel {kernels}"
        sandbox.once(content, self._source, use, "lessons_lib.run.compiled:_probe", kernels)

    def _start(self) -> None:
        """Compile the model and make its buffers: a new one alone forgets what variables hold."""
        self._compiled, (takes, gives) = _compiled(*self._opened[:3])
        self._require_inputs(takes)
        self._takes = {name: takes[spec.index] for name, spec in self.signature.inputs.items()}
        self._gives = {name: gives[spec.index] for name, spec in self.signature.outputs.items()}
        self._buffers = [[end.buffer for end in side.values()] for side in (takes, gives)]
        self._last_set: Rows | None = None

    def _in_calls(self, found: Rows, batch_size: int, encode: Callable[[Rows], Rows]) -> Rows:
        return super()._in_calls(found, min(batch_size, 1), encode)

    def _set(self, part: Rows) -> None:
        for name, array in part.items():
            self._takes[name].buffer.write(array)
        self._last_set = part

    def _call(self) -> None:
        self._compiled.run_by_index(0, *self._buffers)

    def _outputs(self) -> Rows:
        return {name: end.read() for name, end in self._gives.items()}


@dataclass(frozen=True)
class _End:
    """An input or output: LiteRT's own buffer, in its memory, and what lies there."""

    buffer: object  # TensorBuffer
    shape: tuple[int, ...]
    dtype: np.dtype

    def read(self) -> np.ndarray:
        return self.buffer.read(math.prod(self.shape), self.dtype).reshape(self.shape)


Ends = dict[int, _End]  # by the tensor's index


@contextlib.contextmanager
def _refusal() -> Iterator[None]:
    """LiteRT's errors say little here: its reasons stand on stderr, and are put in front."""
    log = Log()
    try:
        with quiet() as log:
            yield
    except (ValueError, RuntimeError) as error:
        said = [line.removeprefix("ERROR: ") for line in log.text.splitlines() if "ERROR" in line]
        raise runtime.refused("; ".join([*said, str(error)])) from error


def _compiled(content: bytes, num_threads: int, kernels: str) -> tuple[object, tuple[Ends, Ends]]:
    """The compiled model with its inputs and outputs."""
    with _refusal():
        from ai_edge_litert import compiled_model as api

        mode = api.CpuKernelMode[MODES[kernels]]
        options = api.Options(cpu_options=api.CpuOptions(num_threads=num_threads, kernel_mode=mode))
        environment = _environment()
        model = api.CompiledModel.from_buffer(content, environment=environment, options=options)
        (key,) = model.get_signature_list()
        details = model.get_input_tensor_details(key), model.get_output_tensor_details(key)
        takes, gives = model.create_input_buffers(0), model.create_output_buffers(0)
        return model, (_ends(details[0], takes), _ends(details[1], gives))


def _ends(details: dict[str, dict], buffers: list) -> Ends:
    return {
        detail["index"]: _End(buffer, tuple(detail["shape"]), np.dtype(detail["dtype"]))
        for detail, buffer in zip(details.values(), buffers, strict=True)
    }


@functools.cache
def _environment():
    """What all models of a process share, made in a block that keeps LiteRT's words off the page.

    The first buffer that is written makes another one, inside LiteRT. Its last words, two lines on
    stderr, come when the process ends.
    """
    from ai_edge_litert.environment import Environment
    from ai_edge_litert.tensor_buffer import TensorBuffer

    first = np.zeros(16, np.float32)
    TensorBuffer.create_from_host_memory(first).write(first)
    return Environment.create()


def _require_buffers(signature: Signature) -> None:
    """Raise ModelFileError for inputs and outputs that this interface does not take here."""
    for spec in [*signature.inputs.values(), *signature.outputs.values()]:
        if spec.dtype.name not in DTYPES:
            raise ModelFileError(
                f"{spec.name} is {spec.dtype}, and CompiledModel has no buffers of that in Python; "
                f"it has {', '.join(DTYPES)}. runtime.Model runs the file (lesson 09)"
            )
        if spec.open_sizes:
            raise ModelFileError(
                f"the sizes of {spec} are open behind the batch; here CompiledModel runs the sizes "
                "that the file stores. runtime.Model runs any size, or fix them when you save the "
                "model (lesson 09)"
            )


def _probe(content: bytes, kernels: str) -> None:
    """In a child: compile the model and run it on zeros; raise ModelFileError if that fails."""
    model, (takes, gives) = _compiled(content, 1, kernels)
    with _refusal():
        for end in takes.values():
            end.buffer.write(np.zeros(end.shape, end.dtype))
        ends = ([end.buffer for end in side.values()] for side in (takes, gives))
        model.run_by_index(0, *ends)
