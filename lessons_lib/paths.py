"""The seven ways from a SavedModel to a ``.tflite``, and the article's tree that chooses one."""

from dataclasses import dataclass

from lessons_lib.errors import InputError


@dataclass(frozen=True)
class Path:
    """One way from SavedModel to ``.tflite``, as the converter's settings.

    ``supported_ops`` and ``supported_types`` name members of ``tf.lite.OpsSet`` and ``tf``;
    empty means the converter's default. The dtypes are those of the model's input and output.
    """

    name: str
    title: str
    optimize: bool = True
    supported_ops: tuple[str, ...] = ()
    supported_types: tuple[str, ...] = ()
    needs_calibration: bool = False
    integer_only: bool = False
    input_dtype: str = "float32"
    output_dtype: str = "float32"


_INT8 = ("TFLITE_BUILTINS_INT8",)
_INT16X8 = ("EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8",)


def _integer(name: str, title: str, ops: tuple[str, ...], dtype: str) -> Path:
    return Path(
        name,
        title,
        supported_ops=ops,
        needs_calibration=True,
        integer_only=True,
        input_dtype=dtype,
        output_dtype=dtype,
    )


PATHS: dict[str, Path] = {
    path.name: path
    for path in (
        Path("float32", "plain TF-Lite", optimize=False),
        Path("dynamic_range", "int8 weights, activations quantized while it runs"),
        Path("float16", "half-precision weights", supported_types=("float16",)),
        Path(
            "int8_float_fallback",
            "int8 inside, float input and output",
            needs_calibration=True,
        ),
        _integer("int8", "full integer, signed bytes", _INT8, "int8"),
        _integer("uint8", "full integer, unsigned bytes at input and output", _INT8, "uint8"),
        _integer("int16x8", "int16 activations, int8 weights", _INT16X8, "int16"),
    )
}


def get(name: str) -> Path:
    """Return the path called ``name``; raise InputError, listing the seven, for any other name."""
    if name not in PATHS:
        raise InputError(f"no path {name!r}; the seven are {', '.join(PATHS)} (lesson 08)")
    return PATHS[name]


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
