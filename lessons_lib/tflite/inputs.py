"""What every way of running a model asks of its input."""

import numpy as np

from lessons_lib.errors import InputError, ModelFileError


def require_input(x: np.ndarray, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    """Raise InputError unless ``x`` is (N, *shape) of ``dtype``, with N at least 1."""
    x = np.asarray(x)
    if x.dtype != dtype:
        raise InputError(f"expected {dtype} input, got {x.dtype}{_dtype_cure(x, dtype)}")
    if x.ndim == 0 or x.shape[1:] != shape or len(x) == 0:
        cure = ": add the batch axis, x[np.newaxis]" if x.shape == shape else ""
        expected = ("N", *shape)
        raise InputError(f"expected input of shape {expected}, got {x.shape}{cure} (lesson 01)")


def _dtype_cure(x: np.ndarray, wanted: np.dtype) -> str:
    if wanted != np.float32:
        return ": Model.quantize_input makes it from floats (lesson 07)"
    if x.dtype.kind in "iu":
        return ": images are floats from 0 to 1, np.float32(pixels / 255) (lesson 01)"
    return ": np.float32(x) converts it (lesson 01)"


def padded(part: np.ndarray, size: int) -> np.ndarray:
    missing = size - len(part)
    return np.concatenate([part, np.repeat(part[-1:], missing, axis=0)]) if missing else part


def require_one_of_each(inputs: list, outputs: list) -> None:
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelFileError(
            f"the model has {len(inputs)} inputs and {len(outputs)} outputs; the course's helpers "
            "take models with one of each (lesson 01)"
        )
