"""The ways from a float model to a ``.tflite``, and the article's tree that chooses one."""

from dataclasses import dataclass

from lessons_lib.errors import InputError


@dataclass(frozen=True)
class Path:
    """One way from a float model to ``.tflite``: what each quantizer is told, and the promise.

    ``supported_ops`` and ``supported_types`` name members of ``tf.lite.OpsSet`` and ``tf``; empty
    means TFLiteConverter's default, and ``by_converter`` is False for a path that it lacks.
    ``recipes`` name what LiteRT's quantizer does to an operator (``by_litert.RECIPES``): the last
    of them that it has for that operator. ``input_dtype`` and ``output_dtype`` are those of every
    input and output that the float model has in float32. ``lesson`` teaches the path; ``look`` is
    its colour and its marker in every figure.
    """

    name: str
    title: str
    recipes: tuple[str, ...]
    lesson: int
    look: tuple[str, str]
    optimize: bool = True
    supported_ops: tuple[str, ...] = ()
    supported_types: tuple[str, ...] = ()
    by_converter: bool = True
    needs_calibration: bool = False
    integer_only: bool = False
    input_dtype: str = "float32"
    output_dtype: str = "float32"


def _integers(dtype: str, ops: str = "TFLITE_BUILTINS_INT8") -> dict:
    """The settings of a path without floats."""
    return {
        "supported_ops": (ops,),
        "needs_calibration": True,
        "integer_only": True,
        "input_dtype": dtype,
        "output_dtype": dtype,
    }


_INT16X8 = "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8"
_ONLY_LITERT = {"by_converter": False, "lesson": 13}
_GREY = "#767676"
# One row a path. Colours of Okabe and Ito: people with any colour vision tell them apart.
ALL: dict[str, Path] = {
    path.name: path
    for path in (
        Path("float32", "plain TF-Lite", ("float32",), 1, ("#000000", "o"), optimize=False),
        Path(
            "dynamic_range",
            "int8 weights, activations quantized while it runs",
            ("dynamic_range",),
            lesson=4,
            look=("#E69F00", "s"),
        ),
        Path(
            "float16",
            "half-precision weights",
            ("float16",),
            lesson=5,
            look=("#56B4E9", "D"),
            supported_types=("float16",),
        ),
        Path(
            "int8_float_fallback",
            "int8 inside, float input and output",
            ("int8",),
            lesson=7,
            look=("#009E73", "^"),
            needs_calibration=True,
        ),
        Path(
            "int8",
            "full integer, signed bytes",
            ("int8",),
            lesson=7,
            look=("#0072B2", "v"),
            **_integers("int8"),
        ),
        Path(
            "uint8",
            "full integer, unsigned bytes at input and output",
            ("int8",),
            lesson=7,
            look=("#D55E00", "P"),
            **_integers("uint8"),
        ),
        Path(
            "int16x8",
            "int16 activations, int8 weights",
            ("int16x8",),
            lesson=7,
            look=("#CC79A7", "X"),
            **_integers("int16", _INT16X8),
        ),
        # What only LiteRT's quantizer has; named as int16x8 is: activations x weights.
        Path(
            "weight_only_int8",
            "int8 weights, float arithmetic",
            ("weight_only_int8",),
            look=(_GREY, "<"),
            **_ONLY_LITERT,
        ),
        Path(
            "weight_only_int4",
            "int4 weights, float arithmetic",
            ("weight_only_int8", "weight_only_int4"),
            look=(_GREY, ">"),
            **_ONLY_LITERT,
        ),
        Path(
            "dynamic_int4",
            "int4 weights, activations quantized while it runs",
            ("dynamic_range", "dynamic_int4"),
            look=(_GREY, "d"),
            **_ONLY_LITERT,
        ),
        Path(
            "int8x4",
            "full integer, int4 weights",
            ("int8", "int8x4"),
            look=(_GREY, "h"),
            **_ONLY_LITERT,
            **_integers("int8"),
        ),
    )
}
# The seven that TFLiteConverter has, which the lessons compare.
PATHS: dict[str, Path] = {path.name: path for path in ALL.values() if path.by_converter}


def get(name: str) -> Path:
    """Return the path called ``name``; raise InputError, listing them all, for any other name."""
    if not isinstance(name, str) or name not in ALL:
        raise InputError(f"no path {name!r}; the paths are {', '.join(ALL)} (lesson 08)")
    return ALL[name]


@dataclass(frozen=True)
class Question:
    """A fork of the decision tree: where to go on ``yes`` and on ``no``.

    A branch is another Question or the name of a path. ``in_article`` is False for the forks
    that this course adds.
    """

    key: str
    text: str
    yes: "Question | str"
    no: "Question | str"
    in_article: bool = True


@dataclass(frozen=True)
class Step:
    """One question met on the way down the tree, and the answer it got."""

    question: Question
    answer: bool


_UNSIGNED = Question("unsigned", "Unsigned bytes at input and output?", "uint8", "int8")
_16_BIT = Question(
    "activations_16_bit", "16-bit activations?", "int16x8", _UNSIGNED, in_article=False
)
_FLOAT_IO = Question(
    "float_io", "Keep float input and output?", "int8_float_fallback", _16_BIT, in_article=False
)
_FLOAT16 = Question("float16", "float16 rather than space?", "float16", "dynamic_range")
_DATASET = Question(
    "representative_dataset", "A representative dataset at hand?", _FLOAT_IO, _FLOAT16
)
TREE = Question("optimize", "Optimize the model?", _DATASET, "float32")


def walk(
    *,
    optimize: bool,
    representative_dataset: bool = False,
    float16: bool = False,
    unsigned: bool = False,
    float_io: bool = False,
    activations_16_bit: bool = False,
) -> list[Step]:
    """Return the questions met from the tree's root to its leaf, each with its answer.

    A question that the tree does not reach is not asked: its answer has no effect.
    Raises InputError for an answer that is not True or False. Defined in lesson 08.
    """
    answers = dict(locals())
    wrong = [key for key, answer in answers.items() if not isinstance(answer, bool)]
    if wrong:
        raise InputError(f"answer {', '.join(wrong)} with True or False (lesson 08)")
    steps, node = [], TREE
    while isinstance(node, Question):
        steps.append(Step(node, answers[node.key]))
        node = node.yes if answers[node.key] else node.no
    return steps


def choose(*, optimize: bool, **answers: bool) -> Path:
    """Return the path at the end of the walk; the keywords are those of ``walk``.

    With ``float_io`` and ``activations_16_bit`` left False this is the article's tree, leaf by
    leaf: plain TF-Lite, optimise for space, float16, int8, uint8. Source: the article
    "Quantisation of models". Defined in lesson 08.
    """
    last = walk(optimize=optimize, **answers)[-1]
    return PATHS[last.question.yes if last.answer else last.question.no]
