"""Checks of lesson 04: shrink with dynamic range.

``to_dynamic_range`` and ``hybrid_dense`` are what the lesson's blanks ask for: a page whose blank
is open runs on with them.
"""

import functools
import tempfile
from collections.abc import Iterable, Iterator
from math import log
from pathlib import Path

import numpy as np
import pandas as pd

from lessons_lib.convert import by_tensorflow
from lessons_lib.course.checks._answers import (
    Remark,
    array_in,
    call,
    compare,
    content_in,
    describe,
    number_in,
    numbers_in,
    slip,
)
from lessons_lib.course.checks._verdict import exercise
from lessons_lib.models import training, unseen
from lessons_lib.numbers import affine
from lessons_lib.system.quiet import quiet
from lessons_lib.tflite import reader, tables

LAYERS = {"conv_a": 216, "conv_b": 1_152, "dense_a": 1_024_000, "dense_b": 1_000}  # elements
MIN_ELEMENTS = 1_024  # the converter leaves smaller weight tensors in float32


def to_dynamic_range(folder: str) -> bytes:
    """Return the dynamic-range ``.tflite`` of a SavedModel's folder. Defined in lesson 04.

    Raises what ``by_tensorflow.convert`` raises.
    """
    return by_tensorflow.convert(folder, "dynamic_range")


@exercise(
    "a converter of `folder`, one setting on it, and what its `convert()` gives.",
    "Large weights are int8, and nobody was asked for data.",
)
def check_to_dynamic_range(convert: object) -> bool | str:
    """Exercise 4.1: a function from a SavedModel's folder to the bytes of its file."""
    folder = str(training.reference("mnist_cnn", 1))
    with quiet():
        made = call(convert, folder)
    if callable(getattr(made, "convert", None)):
        return "Your function returns a converter; asked is what its `convert()` gives."
    if not isinstance(made, bytes | bytearray):
        return f"Your function returns {describe(made)}; asked are a file's bytes."
    return _is_dynamic_range(content_in(made), folder)


def _is_dynamic_range(content: bytes, folder: str) -> bool | str:
    """True, or what is the matter with a file that was made of the SavedModel in ``folder``."""
    found = tables.tensors(content)
    dtypes = set(found.query("role == 'weight'")["dtype"])
    if dtypes == {"FLOAT32"}:
        return "All weights of this file are float32: nothing asked for a smaller one."
    if "FLOAT16" in set(found["dtype"]):
        return "This file has weights of 16 bits: `supported_types` asked for another path."
    if "INT8" in set(found.query("role == 'activation'")["dtype"]):
        return "In this file the activations are int8 as well: a dataset was given. Leave it out."
    if _weights(content) != _weights(_converted(folder, "dynamic_range")):
        return "This is a file of another model than the one in the folder that was given."
    return True


def _weights(content: bytes) -> dict[str, bytes]:
    names = tables.tensors(content).query("role == 'weight'")["name"]
    return {name: reader.constant(content, name).tobytes() for name in names}


@functools.cache
def _converted(folder: str, path: str) -> bytes:
    return by_tensorflow.convert(folder, path)


def hybrid_dense(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the outputs of a dense layer, float (m,), as a hybrid kernel computes them.

    ``x`` (n,), ``w`` (m, n) and ``b`` (m,) are floats. Each row of ``w`` is symmetric int8 with its
    own scale, ``x`` asymmetric int8 by its own range; their sums are integers, and one
    multiplication leads back. Without activation. Defined in lesson 04.
    Source: tensorflow/lite/kernels/fully_connected.cc, hybrid evaluation.
    """
    s_w = affine.symmetric_scale(np.abs(w).max(axis=1))
    q_w = affine.quantize(w, s_w[:, None], 0, narrow_range=True).astype(int)
    s_x, z_x = affine.scale_zero_point(x.min(), x.max())
    q_x = affine.quantize(x, s_x, z_x).astype(int)
    return s_x * s_w * (q_w @ (q_x - z_x)) + b


# Inputs that go below and above 0, and that do not: then the range is widened.
_ROWS = ((3, 40, -1.0, 2.0), (5, 12, 0.5, 3.0), (4, 30, -6.0, -1.0))


def _layers() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield layers (x, w, b) that are not the lesson's; every rounding in them is a clear one."""
    random = np.random.default_rng(44)
    for rows, columns, low, high in _ROWS:
        w = random.normal(0, 1, (rows, columns)) * random.uniform(0.1, 3, (rows, 1))
        x = random.uniform(low, high, columns)
        b = random.normal(0, 1, rows)
        yield x.astype(np.float32), w.astype(np.float32), b.astype(np.float32)


@exercise(
    "five steps: the scales of the rows of `w`, `w` as integers, scale and zero point of `x`, `x` "
    "as integers, then the sum, both scales and `b`.",
    "8-bit numbers go in, one integer collects them, two scales lead back.",
)
def check_hybrid_dense(layer: object) -> bool | str:
    """Exercise 4.2: a function (x, w, b) to the outputs of a hybrid dense layer, (m,)."""
    for x, w, b in _layers():
        made = call(layer, x.copy(), w.copy(), b.copy())
        found = array_in(made, f"an array of {len(b)} outputs")
        if found.size != len(b):
            return f"For {len(b)} rows of weights it returns the shape {found.shape}."
        right = hybrid_dense(x.astype(float), w.astype(float), b.astype(float))
        near = 2e-4 * np.abs(right - b).max()
        if not np.allclose(found.ravel(), right, rtol=0, atol=near):
            return slip(found.ravel(), *_hybrid_slips(x, w, b), rtol=1e-5, atol=near) or (
                f"For an input of {x.size} numbers the outputs are {_short(found)}; a hybrid "
                f"kernel gives {_short(right)}."
            )
    return True


def _short(values: np.ndarray) -> str:
    return ", ".join(f"{value:.4g}" for value in np.ravel(values)[:3]) + ", ..."


def _hybrid_slips(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> Iterator[tuple]:
    """Yield the outputs of usual wrong roads and what to say of each; see ``slip``."""
    x, w, b = (array.astype(float) for array in (x, w, b))
    most = np.abs(w).max(axis=1)
    s_w = most / 127
    q_w = np.rint(w / s_w[:, None])
    low, high = min(x.min(), 0), max(x.max(), 0)
    s_x = (high - low) / 255
    z_x = np.rint(-128 - low / s_x)
    q_x = np.clip(np.rint(x / s_x) + z_x, -128, 127)
    total = q_w @ (q_x - z_x)

    def asymmetric(low, high, steps=255):
        scale = (high - low) / steps
        zero_point = np.rint(-128 - low / scale)
        codes = np.clip(np.rint(x / scale) + zero_point, -128, 127)
        return scale * s_w * (q_w @ (codes - zero_point)) + b

    def weights(scale):
        return s_x * scale * (np.rint(w / np.reshape(scale, (-1, 1))) @ (q_x - z_x)) + b

    s_sym = np.abs(x).max() / 127
    yield w @ x + b, "This is the float layer: nothing in it was rounded."
    yield (
        s_x * s_w * total,
        s_x * s_w * (total + b),
        "Where is the bias? It is a float, and added at the very end.",
    )
    yield (
        s_x * s_w * (q_w @ q_x) + b,
        s_x * s_w * (q_w @ (q_x + z_x)) + b,
        "The zero point is subtracted from the input's codes before the sum.",
    )
    yield (
        total + b,
        s_w * total + b,
        s_x * total + b,
        "The sum is an integer still: multiply it by both scales to come back to float.",
    )
    yield weights(most.max() / 127), "There is one scale for all weights; each row has its own."
    yield weights(most / 128), weights(most / 255), "The weights go from -127 to 127."
    yield s_sym * s_w * (q_w @ np.rint(x / s_sym)) + b, "The input is asymmetric; yours is not."
    if low != x.min() or high != x.max():
        yield (
            asymmetric(x.min(), x.max()),
            s_w * (q_w @ (np.rint(x / (np.ptp(x) / 255)) * np.ptp(x) / 255)) + b,
            "The input's range must hold 0: widen it first, where it does not.",
        )
    yield asymmetric(low, high, 256), "256 codes are 255 steps apart."
    yield s_w * (q_w @ x) + b, "The input was not rounded to integers."
    yield s_x * (w @ (q_x - z_x)) + b, "The weights were not rounded to integers."
    yield (
        s_x * s_w * (np.trunc(w / s_w[:, None]) @ (q_x - z_x)) + b,
        s_x * s_w * (q_w @ np.trunc(x / s_x)) + b,
        s_x * s_w * (np.trunc(w / s_w[:, None]) @ np.trunc(x / s_x)) + b,
        "A cast cuts off: round before it.",
    )
    wrapped = (q_w.astype(np.int8) @ (q_x - z_x).astype(np.int8)).astype(float)
    half_wrapped = q_w @ (q_x - z_x).astype(np.int64).astype(np.int8)
    yield (
        s_x * s_w * wrapped + b,
        s_x * s_w * half_wrapped + b,
        "An int8 is too small for these numbers, and wraps around: sum in a larger integer.",
    )


# ---- the open task


@exercise(
    "`tables.tensors(file)` has a row for each tensor: its role, shape and dtype. Which rows are "
    "weights, float32, and of 1,024 elements or more?",
    "Nobody had noticed: `features` alone has 49,152 bytes that could be 12,288. It finds the same "
    "in files that it never saw.",
)
def check_left_in_float(audit: object) -> bool | str:
    """Exercise 4.3: a function from a file to the names of its large weights in float32."""
    for content, what in _audited():
        found = _names_in(_called(audit, content))
        rows = tables.tensors(content)
        by_name = {str(row.layer): row.name for row in rows[rows.role == "weight"].itertuples()}
        by_name |= {name: name for name in rows["name"]}
        if unknown := sorted(found - set(by_name)):
            return f"In {what} there is no tensor or layer named {unknown[0]!r}."
        if remark := _audit_slip({by_name[name] for name in found}, rows, what):
            return remark
    return True


@functools.cache
def _audited() -> tuple[tuple[bytes, str], ...]:
    reference = str(training.reference("mnist_cnn"))
    return (
        (unseen.path("04_ticket.tflite").read_bytes(), "`04_ticket.tflite`"),
        (_converted(reference, "float32"), "a float32 file"),
        (_converted(reference, "dynamic_range"), "a dynamic-range file"),
    )


def _called(audit: object, content: bytes) -> object:
    """What a function makes of a file, given by its path, or by its bytes where it wants those."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file.tflite")
        path.write_bytes(content)
        try:
            return call(audit, path)
        except Remark as remark:
            try:
                return call(audit, content)
            except Remark:
                raise remark from None


def _names_in(result: object) -> set[str]:
    """The names that a function returned, as a list, array, Series, index or table of them."""
    if isinstance(result, pd.DataFrame):
        known = [name for name in ("name", "layer") if name in result]
        result = result[known[0]] if known else result.index
    if isinstance(result, pd.Series) and not all(isinstance(item, str) for item in result):
        result = result.index
    if isinstance(result, str) or not isinstance(result, Iterable):
        raise Remark(f"Your function returns {describe(result)}; asked is a list of names.")
    names = {item[0] if isinstance(item, tuple) and item else item for item in result}
    if other := [name for name in names if not isinstance(name, str)]:
        raise Remark(f"Your function returns {describe(other[0])} among the names.")
    return {str(name) for name in names}


def _audit_slip(found: set[str], rows: pd.DataFrame, what: str) -> str:
    """What is wrong with the names found in a file of these tensors; "" where nothing is."""
    elements = rows["shape"].map(lambda shape: int(np.prod(shape)))
    is_float = (rows.role == "weight") & (rows.dtype == "FLOAT32")
    right = set(rows.name[is_float & (elements >= MIN_ELEMENTS)])
    table = rows.assign(elements=elements).set_index("name")
    for name in sorted(found - right):
        role, dtype, size = table.loc[name, ["role", "dtype", "elements"]]
        said = f"In {what} your function names `{name}`: "
        if role != "weight":
            return f"{said}no weight, but {role}. Those are float on this path, however large."
        if dtype != "FLOAT32":
            return f"{said}its weights are {dtype}; asked are those that stayed float32."
        return f"{said}{size:,} elements, fewer than 1,024. It stays in float rightly."
    for name in sorted(right - found, key=lambda name: table.loc[name, "elements"]):
        size = table.loc[name, "elements"]
        exactly = " (1,024 are enough)" if size == MIN_ELEMENTS else ""
        return f"In {what} it misses `{name}`: float32, {size:,} elements{exactly}."
    return ""


# ---- more exercises


@exercise(
    "multiply each shape out. Which of the four tensors lie below the limit, and what does one "
    "of their elements cost?",
    "In float32 they take 3.99 times as much: one large layer outweighs the small ones that stay "
    "float.",
)
def check_dynamic_range_bytes(total: object) -> bool | str:
    """Exercise 4.4: the bytes of four layers' weights in a dynamic-range file, an int."""
    elements = sum(LAYERS.values())
    stored = sum(size * (1 if size >= MIN_ELEMENTS else 4) for size in LAYERS.values())
    return compare(
        total,
        stored,
        (elements, "With one byte for each weight; the converter leaves some in float32."),
        (4 * elements, "This is the float32 file, four bytes for each weight."),
        (stored + 3 * 1_152, "conv_b has 1,152 elements: enough."),
        (stored - 3 * 1_000, "dense_b has 1,000 elements: too few."),
        (stored / 1000, "Bytes are asked."),
        units=("bytes", "B"),
        near=1e-9,
    )


@exercise(
    "each row has a range of its own, and `affine` has the function that makes a scale and a "
    "zero point of a range.",
    "With one scale for both, 0.2, the first row would be rounded to multiples of 0.2: "
    "the outlier of one image would spoil another.",
)
def check_scales_of_rows(scales: object) -> bool | str:
    """Exercise 4.5: the scale of each of two rows of activations, two numbers."""
    scales = numbers_in(scales)
    if scales.size == 4:
        return "Two plain numbers are asked for, the scales only."
    return compare(
        scales,
        [0.002, 0.2],
        ([0.2, 0.2], "This is one scale for the whole batch; the kernel has one for each row."),
        ([0.2, 0.002], "The first scale is that of the first row."),
        ([0.51 / 127, 51 / 127], "These are symmetric scales; the kernel's are asymmetric."),
        ([0.51 / 256, 51 / 256], "256 codes are 255 steps apart."),
        ([0.002, 0.002], "The second row has a larger range, and a scale of its own."),
        ([0.51, 51], "These are the ranges: 255 steps make each."),
        ([500, 5], "That is how many steps make 1; a scale is what one step is worth."),
        ([-128, -128], "These are the zero points; the scales are asked."),
        rtol=1e-4,
        atol=1e-8,
    )


@exercise(
    "the rule of three says that the bound is 3 / n; solve it for n.",
    "The rule of three says 30,000; without its rounding, log(0.05) / log(1 - 1 / 10,000), it is "
    "29,956. Rare events take many inputs: ten thousand are not enough for one in ten thousand.",
)
def check_inputs_without_flip(count: object) -> bool | str:
    """Exercise 4.6: the fewest inputs that bound the flips by 1 in 10,000, an int.

    The exact answer and the rule of three are both right.
    """
    exact = log(0.05) / log(1 - 1e-4)
    count = number_in(count, "inputs")
    if count > 30_000:
        return f"{count:,.0f} inputs are enough, but fewer are, too."
    if count < exact:
        bound = f"{3e4 / count:,.3f} in ten thousand" if count >= 3 else "none at all"
        return f"{count:,.0f} inputs are too few: the bound would be {bound}."
    return count == np.rint(count) or "Inputs are whole: round up."
