"""What came of a conversion: the file that a path promises, or the reason why not."""

import os

from lessons_lib.convert import paths
from lessons_lib.errors import ConversionError
from lessons_lib.tflite import tables


def audit(model: str | os.PathLike | bytes, path: str) -> tables.Audit:
    """Return the audit of a converted model; raise ConversionError if it breaks its promise.

    A path that promises integers must have integer input and output of its own dtype and no
    operator with a float operand, in any subgraph. ``path`` is one of the seven, or one of those
    that only LiteRT's quantizer has. Defined in lesson 07.
    """
    promise, found = paths.get(path), tables.audit(model)
    if (found.input_dtype, found.output_dtype) != (promise.input_dtype, promise.output_dtype):
        raise ConversionError(
            f"the path {path} promises {promise.input_dtype} input and {promise.output_dtype} "
            f"output, but the model has {found.input_dtype} and {found.output_dtype} (lesson 07)"
        )
    if promise.integer_only and not found.integer_only:
        raise ConversionError(
            f"the path {path} promises integers only, but these operators stayed in float: "
            f"{', '.join(found.float_operators)} (lesson 07)"
        )
    return found
