"""The checks of lesson 18, Compile for an NPU: what a learner made is compiled by the real vela."""

import math
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from lessons_lib.course.checks._answers import Remark, call, content_in, describe, number_in
from lessons_lib.course.checks._verdict import exercise
from lessons_lib.errors import LessonError
from lessons_lib.models import data, unseen
from lessons_lib.run.runtime import Model
from lessons_lib.targets import npu
from lessons_lib.tflite import reader, tables

ACCELERATOR = "ethos-u55-128"
_NPU = "ethos-u"


def pencil_cycles(macs: int, weight_bytes: int, macs_per_cycle: int, bytes_per_cycle: float) -> int:
    """Return the cycles of a layer by pencil: it computes and reads its weights at the same time.

    The slower of the two counts, and a cycle that has begun is a whole one. Defined in lesson 18.
    """
    return max(math.ceil(macs / macs_per_cycle), math.ceil(weight_bytes / bytes_per_cycle))


# macs, weight_bytes, macs_per_cycle, bytes_per_cycle
_LAYERS = (
    (1000, 20, 128, 1),
    (1000, 900, 128, 1),
    (130, 3, 32, 2),
    (64, 501, 256, 2),
    (7, 4, 8, 8),
)
_ADDED = "It adds the two; the NPU does both at the same time"
_SLIPS = (
    (lambda m, w, p, b: m / p + w / b, _ADDED),
    (lambda m, w, p, b: math.ceil(m / p) + math.ceil(w / b), _ADDED),
    (lambda m, w, p, b: min(m / p, w / b), "It takes the faster of the two; the slower one counts"),
    (lambda m, w, p, b: m / p, "It forgets that the weights have to be read"),
    (lambda m, w, p, b: w / b, "It forgets the multiplications"),
    (lambda m, w, p, b: max(m, w) / p, "The weights do not pass through the multipliers"),
    (lambda m, w, p, b: max(m, w / b), "It does one MAC a cycle, and has more multipliers"),
    (lambda m, w, p, b: max(m / p, w), "It reads one byte a cycle, and may read more"),
)


@exercise(
    "two divisions, each rounded up, for a cycle that has begun is a whole one; the larger one.",
    "Computing and reading go on at the same time: the slower one sets the pace.",
)
def check_pencil_cycles(function: object) -> bool | str:
    """Exercise 18.1: a function (macs, weight_bytes, macs_per_cycle, bytes_per_cycle) -> cycles."""
    given = [call(function, *layer) for layer in _LAYERS]
    got = [number_in(cycles) for cycles in given]
    right = [pencil_cycles(*layer) for layer in _LAYERS]
    if got == right:
        whole = not any(np.asarray(cycles).dtype.kind == "f" for cycles in given)
        return whole or "The cycles are right. Asked is a whole number; yours is a float."
    for slip, words in _SLIPS:
        exact = np.array([slip(*layer) for layer in _LAYERS])
        if any(np.allclose(got, rule(exact)) for rule in (np.ceil, np.floor, np.array)):
            return f"{words}."
    exact = np.array([max(m / p, w / b) for m, w, p, b in _LAYERS])
    if np.allclose(got, exact):
        return "It gives parts of cycles: round up."
    if np.allclose(got, np.floor(exact)) or np.allclose(got, np.rint(exact)):
        return "It rounds down where a cycle has begun: round up."
    place = next(n for n, pair in enumerate(zip(got, right, strict=True)) if pair[0] != pair[1])
    m, w, p, b = _LAYERS[place]
    return (
        f"{m} MACs with {w} bytes of weights, {p} MACs and {b} bytes a cycle: yours gives "
        f"{got[place]:g}, asked is {right[place]}."
    )


def guard(compiled: bytes) -> list[str]:
    """Return the operators of a compiled file that stay on the CPU, by name, in order.

    Raises ValueError where nothing runs on the NPU. Defined in lesson 18.
    """
    names = list(tables.operators(compiled)["operator"])
    if _NPU not in names:
        raise ValueError(f"nothing runs on the NPU: {', '.join(names)} stay on the CPU")
    return [name for name in names if name != _NPU]


def _chain(*kinds: str, tensor: str = "t") -> bytes:
    """A file of operators one behind the other, as a compiled one is; it is only to be read."""
    builtin = schema.BuiltinOperator
    codes = [
        schema.OperatorCodeT(builtinCode=getattr(builtin, kind))
        if hasattr(builtin, kind)
        else schema.OperatorCodeT(builtinCode=builtin.CUSTOM, customCode=kind)
        for kind in kinds
    ]
    int8 = schema.TensorType.INT8
    tensors = [schema.TensorT([1, 4], int8, 0, f"{tensor}{n}") for n in range(len(kinds) + 1)]
    steps = [schema.OperatorT(n, [n], [n + 1]) for n in range(len(kinds))]
    graph = schema.SubGraphT(tensors, [0], [len(kinds)], steps)
    return reader.pack(schema.ModelT(3, codes, [graph], "compiled", [schema.BufferT()]))


_COMPILED = (
    (_NPU,),
    ("QUANTIZE", _NPU, "DEQUANTIZE"),
    (_NPU, "DEQUANTIZE", "CONV_2D", "QUANTIZE", _NPU, "DEQUANTIZE"),
    (_NPU, "ARG_MAX"),
)
_UNTOUCHED = (("CONV_2D", "SOFTMAX"), ("QUANTIZE", "TFLite_Detection_PostProcess"), ("ADD",))


@exercise(
    f"`tables.operators(compiled)['operator']` has the names. Without a `{_NPU}` among them: "
    "`raise ValueError(...)`. Else give the other names.",
    "It looks into the file, not at a time that may be 0.",
)
def check_guard(function: object) -> bool | str:
    """Exercise 18.2: a function of a compiled file's content: what the CPU is left, or an error."""
    for kinds in _COMPILED:
        left = [kind for kind in kinds if kind != _NPU]
        shown = " -> ".join(kinds)
        try:
            found = function(_chain(*kinds)) if callable(function) else call(function)
        except ValueError as error:
            if isinstance(error, LessonError):
                raise Remark(f"Your function raised {type(error).__name__}: {error}.") from None
            return f"It refuses {shown}, where the NPU does have work{_index(kinds)}."
        except (Exception, SystemExit):
            call(function, _chain(*kinds))  # says what was raised
            raise
        if said := _wrong_names(found, left, shown):
            return said
    for kinds in _UNTOUCHED:
        named_like_it = _chain(*kinds, tensor=_NPU)  # a tensor of that name is no operator
        if (said := _lets_pass(function, named_like_it, " -> ".join(kinds))) is not None:
            return said
    return True


def _index(kinds: tuple[str, ...]) -> str:
    """A guess why even what runs wholly on the NPU is refused: pandas' own meaning of `in`."""
    asked = "(`in` asks a pandas column for its index: make a list first)"
    return f" {asked}" if kinds == (_NPU,) else ""


def _wrong_names(found: object, left: list[str], shown: str) -> str:
    """What is wrong with the names that a guard returned; "" for the right ones."""
    if isinstance(found, str) or not hasattr(found, "__iter__"):
        what = "nothing" if found is None else describe(found)
        return f"For {shown} it returns {what}; asked are the names of what stays on the CPU."
    if not isinstance(found, list | tuple):
        return f"For {shown} it returns {describe(found)}: make a list of it."
    names = [str(name) for name in found]
    if sorted(names) == sorted(left):
        return ""
    if sorted(names) == sorted([*left, *[_NPU] * shown.count(_NPU)]):
        return f"For {shown} it lists the NPU's own operators as well."
    if set(names) == {_NPU}:
        return f"For {shown} it lists what runs on the NPU; asked is what does not."
    if set(names) == set(left):
        return f"For {shown} each operator is asked as often as it stands there: {left}."
    return f"For {shown} it gives {names}, asked are {left}."


def _lets_pass(function: object, compiled: bytes, shown: str) -> str | None:
    try:
        function(compiled)
    except ValueError:
        return None
    except (Exception, SystemExit) as error:
        return f"For {shown} it raises {type(error).__name__}; asked is a ValueError."
    if "Detection" in shown:
        return f"{shown} passes: a custom operator of another name is not the NPU's."
    try:
        function(_chain(*shown.split(" -> ")))
    except Exception:  # with other tensors it does not pass
        return f"{shown} passes: a tensor of it is called so, no operator."
    return f"{shown} passes, and nothing of it runs on the NPU."


def shrink(keras: Any) -> Any:
    """Return a Keras layer that makes one pixel of four, as an NPU takes it. Defined in lesson 18.

    In the middle of four pixels a bilinear resize gives each a quarter: that is their mean.
    """
    return keras.layers.AveragePooling2D(2, name="shrink")


def _not_compiled(answer: object) -> bytes:
    """The content of a learner's file; Remark for one that vela has made."""
    content = content_in(answer)
    if _NPU in list(tables.operators(content)["operator"]):
        raise Remark("This file is compiled already: give the one that it was made from.")
    return content


def _compiled(content: bytes) -> npu.Fit:
    """What vela makes of a learner's file, all of which lands on the NPU; Remark if not."""
    try:
        fit = npu.fits(content, ACCELERATOR)
    except npu.NothingOnNpu:
        raise Remark("Nothing of it lands on the NPU: is it int8 at both ends?") from None
    except LessonError as error:
        raise Remark(f"It does not compile: {error}.") from None
    if left := fit.on("cpu"):
        names = ", ".join(f"{op.operator} ({op.layer})" for op in left)
        raise Remark(f"On the CPU there stays {names}.")
    return fit


@exercise(
    "`npu.fits(camera).table()` names the operator on the CPU. What else makes one pixel of four? "
    "A pool does, and a convolution of 2 x 2.",
    "All of it on the NPU, and it reads the digits.",
)
def check_camera(answer: object) -> bool | str:
    """Exercise 18.3: the content of an int8 file for pictures of 56 x 56, all on the NPU."""
    content = _not_compiled(answer)
    test = data.load("mnist").test[:200]
    pictures = test.images.repeat(2, axis=1).repeat(2, axis=2)
    try:
        share = (Model(content).classes(pictures) == test.labels).mean()
    except LessonError:
        return "This file does not take pictures of 56 x 56 and give ten classes."
    if share < 0.9:
        return (
            f"Of 200 digits it reads {share:.0%}: does your layer keep the picture? "
            "And on which pictures was it calibrated?"
        )
    _compiled(content)
    return True


@exercise(
    "the table says which operator, its reason speaks of a factor. `reader.read` shows the "
    "operator's options, and `reader.pack` writes them; which one does a doubling not need?",
    "All of it on the NPU, and every code is the old one.",
)
def check_heatmap(answer: object) -> bool | str:
    """Exercise 18.4: the content of the open task's file, mended: all on the NPU, codes equal."""
    content = _not_compiled(answer)
    theirs, yours = Model(unseen.path("18_heatmap.tflite").read_bytes()), Model(content)
    codes = np.random.default_rng(180).integers(-128, 128, (20, 24, 24, 3)).astype(np.int8)
    expected = theirs.run(codes)
    try:
        found = yours.run(codes)
    except LessonError:
        return "This file does not take the codes of 24 x 24 x 3 that the old one takes."
    if found.dtype != expected.dtype or found.shape != expected.shape:
        return f"It gives {found.dtype} {found.shape}; the old one gave int8 {expected.shape}."
    differ = int(np.count_nonzero(found != expected))
    if differ:
        return f"It computes something else: {differ:,} of {expected.size:,} codes differ."
    _compiled(content)
    return True
