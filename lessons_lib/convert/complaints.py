"""What TFLiteConverter complains of, in words: the operator, the Keras layer, the cure.

Its errors are pages of MLIR. The cause stands in a line with ``error:``, the layer in the
``loc(...)`` before it.
"""

import re

from lessons_lib.errors import first_line

_LAYER = re.compile(r'fused\["[\w]+:?", "[^"/@]+/([^"/@]+)/[^"]*@')
_LONG = 240  # characters
_CURES = (
    (
        r"TensorList|element_shape",
        "a recurrent layer needs a fixed batch: sources.save(model, folder, batch_size=1)",
    ),
    (
        r"Random|RngReadAndSkip|ImageProjectiveTransform",
        "layers that only change images in training belong outside the model that you export",
    ),
    (
        r"xf64>",
        "the layer computes in float64, which TensorFlow Lite does not: build the model in float32 "
        "and copy the weights, set_weights(model.get_weights()), or tf.cast what is float64",
    ),
    (
        r"'tf\.(Conv2D|MatMul|BiasAdd|DepthwiseConv2dNative|FusedBatchNormV3|MaxPool)' op is n",
        "the layer computes in half precision (mixed_float16 or mixed_bfloat16): build the model "
        "with the policy float32 and copy the weights, set_weights(model.get_weights())",
    ),
    (
        r"String|Regex|Lookup|HashTable|Vocab",
        "text and tables of words or numbers stay outside: look them up in your own code, and give "
        "the model what was found",
    ),
    (
        r"Max and min for dynamic tensors should be recorded",
        "TFLiteConverter has no 16-bit activations behind an integer input, such as tokens: take "
        "by_litert.quantize of the float32 file, or another path",
    ),
    (
        r"FFT|Fft",
        "compute the spectrum outside the model",
    ),
    (
        r"neither a custom op nor a flex op|NEEDS_FLEX|NEEDS_CUSTOM",
        "TensorFlow Lite has no such operator: replace the layer, or leave that part outside the "
        "model that you export",
    ),
)


def explain(error: Exception) -> str:
    """Return what a converter's error says: the operator at fault, its layer, and the cure."""
    text = str(error)
    lines = [line for line in text.splitlines() if "error:" in line]
    cure = next((f": {cure}" for pattern, cure in _CURES if re.search(pattern, text)), "")
    if not lines:
        return _short(first_line(error)) + cure
    named = [line for line in lines if re.search(r"'tfl?\.\w+'", line)]
    chosen = (named or lines)[0]
    message = _short(_without_places(chosen.partition("error:")[2]))
    layers = dict.fromkeys(
        _ADDED.sub("", found[1]) for line in named if (found := _LAYER.search(line))
    )
    where = f", in the layer {', '.join(list(layers)[:3])}" if layers else ""
    return f"{message}{where}{cure}"


def _short(text: str) -> str:
    """MLIR may print a whole operation on one line, with its types: the beginning says enough."""
    text = " ".join(text.split())
    return text if len(text) <= _LONG else f"{text[:_LONG].rpartition(' ')[0]} ..."


_ADDED = re.compile(r"_\d+$")  # what exporting adds to a layer's name


def _without_places(text: str) -> str:
    """Drop ``loc(...)``, whose parentheses are nested."""
    start = text.find("loc(")
    if start < 0:
        return text
    depth = 0
    for place in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[place], 0)
        if text[place] == ")" and depth == 0:
            return text[:start] + text[place + 1 :].lstrip(": ")
    return text[:start]
