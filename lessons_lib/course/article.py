"""What the article says, statement by statement, and what the lessons found.

The article is "Quantisation of models", the follow-up to "Introduction to TF-Lite". Its statements
stand here in our words, A1 to A20; each names the lesson and the section that take it up. The cells
that show a verdict are tagged ``shows:A2`` and so on in that lesson. A test holds that there are
such cells and that one of them asserts or is checked; whether that is enough, a reader judges.
"""

import re
from dataclasses import dataclass

from lessons_lib.course import catalogue

ADDRESS = "https://medium.com/analytics-vidhya/quantisation-of-models-8f609987a1f5"
HOLDS, HOLDS_WHEN, FAILS, UNTESTED = "holds", "holds when", "does not hold", "not testable here"
VERDICTS = (HOLDS, HOLDS_WHEN, FAILS, UNTESTED)


@dataclass(frozen=True)
class Statement:
    """One statement of the article: ``says`` in our words, ``lesson`` and ``section`` (a heading).

    ``verdict`` is one of VERDICTS, or "" for what is no claim; ``found`` says what the lesson
    found, or where the statement is carried out.
    """

    key: str
    says: str
    lesson: int
    section: str
    verdict: str
    found: str


STATEMENTS = tuple(
    Statement(*row)
    for row in (
        (
            "A1",
            "Models were saved as TF-Lite in the earlier article; now: why optimizing matters.",
            1,
            "Welcome",
            "",
            "The first lesson saves and converts a model, the second measures it.",
        ),
        (
            "A2",
            "A smaller model needs less storage on the device.",
            4,
            "Why the file is not 4x smaller",
            HOLDS,
            "Every quantized file is smaller; none is as small as its number type promises.",
        ),
        (
            "A3",
            "A smaller model takes less memory, which helps performance and stability.",
            2,
            "Memory",
            HOLDS_WHEN,
            "A small model's memory is mostly the runtime's: it hardly shrinks with the file. "
            "Where the weights are most of the memory, it does. Stability was not tested.",
        ),
        (
            "A4",
            "Latency, the time of one inference on the device, falls too.",
            8,
            "Where int8 is faster, and where it is slower",
            HOLDS_WHEN,
            "It fell for some files and rose for another. Likely reasons: the path, the size of "
            "the weights, the CPU's instructions.",
        ),
        (
            "A5",
            "Lower latency also lowers the power that the device draws.",
            2,
            "Energy: an estimate",
            UNTESTED,
            "No power meter here: only an estimate of the energy of operations and bytes.",
        ),
        (
            "A6",
            "Some accelerators, such as an edge GPU, are faster on an optimized model.",
            5,
            "Who gains, and who does not",
            UNTESTED,
            "No GPU here; only the CPU was measured.",
        ),
        (
            "A7",
            "Quantization answers these problems.",
            8,
            "The claims, one by one",
            HOLDS_WHEN,
            "Size always; memory and latency under conditions (A3, A4); power and accelerators "
            "were not tested (A5, A6).",
        ),
        (
            "A8",
            "Quantization lowers the precision of the parameters, from float32 to float16 or int8.",
            7,
            "What is inside",
            HOLDS_WHEN,
            "True of the large weights, and not the whole: small ones may stay float32, and int8 "
            "and uint8 quantize the activations too and keep biases in 32 bits.",
        ),
        (
            "A9",
            "Training adjusts the weights as float32; quantization comes after it.",
            3,
            "Why training stays in float32",
            HOLDS,
            "Late in training most updates are smaller than a step of int8: they would be lost. "
            "Lesson 12 trains *for* few bits, and keeps float32 weights to do so.",
        ),
        (
            "A10",
            "The model gains speed by being made exact.",
            3,
            "What it costs",
            FAILS,
            "It is the reverse: quantization makes a model less exact, never more.",
        ),
        (
            "A11",
            "A table of the kinds of quantization: dynamic range, full integer, float16 (from "
            "TensorFlow's guide).",
            8,
            "The claims, one by one",
            HOLDS_WHEN,
            "Its sizes are limits; its speed-ups depend on the model and the CPU.",
        ),
        (
            "A12",
            "A decision tree (from TensorFlow's guide).",
            8,
            "The tree is a function",
            "",
            "As a function, with every answer tried.",
        ),
        (
            "A13",
            "No wish to optimize: convert the saved model as it is.",
            1,
            "Is it still the same model?",
            HOLDS,
            "The plain file is the same model.",
        ),
        (
            "A14",
            "Without data there are two options: space and float16.",
            8,
            "The tree is a function",
            HOLDS,
            "Both convert without a single image.",
        ),
        (
            "A15",
            "The code for space.",
            4,
            "The article's code",
            HOLDS_WHEN,
            "With one name for the converter; as it stands it uses a name that was never made. Its "
            "setting is deprecated, and gives the bytes of DEFAULT.",
        ),
        (
            "A16",
            "The code for float16.",
            5,
            "The article's code",
            HOLDS_WHEN,
            "With one name for the converter; as it stands it uses a name that was never made.",
        ),
        (
            "A17",
            "With a representative dataset one can quantize to int8 or uint8.",
            7,
            "Five files side by side",
            HOLDS,
            "Both run on integers alone; uint8 is the int8 model with other ends.",
        ),
        (
            "A18",
            "A representative dataset evaluates the optimizations; calibrating with the "
            "model's inputs, it estimates the ranges.",
            6,
            "What calibration records",
            HOLDS_WHEN,
            "It calibrates, and evaluates nothing; and it gives the ranges of all activations, not "
            "of the inputs alone.",
        ),
        (
            "A19",
            "The generator, over training images, and the code for uint8.",
            6,
            "The article's generator",
            HOLDS,
            "Both run as they stand (the second in lesson 7). On four trainings, training images "
            "calibrated as well as a split of their own.",
        ),
        (
            "A20",
            "Later articles are to show quantization at work on a deep model.",
            1,
            "The road ahead",
            "",
            "This course does.",
        ),
    )
)


def markdown(*, verdicts: bool = True, folder: str = "") -> str:
    """Return the statements as a Markdown table, each with a link to its lesson.

    With ``verdicts`` it says what was found as well. The links start from ``notebooks/``, or from
    a page beside ``folder`` (the site's; they then lead to the section).
    """
    heads = ["no.", "the article says", *(["what we found"] if verdicts else []), "where"]
    rows = [_row(statement, verdicts, folder) for statement in STATEMENTS]
    return catalogue.markdown_table(heads, rows)


def _row(statement: Statement, verdicts: bool, folder: str) -> list[str]:
    notebook = catalogue.NOTEBOOKS[statement.lesson]
    # The site's anchors are GitHub's; JupyterLab has others.
    anchor = re.sub(r"[^\w -]", "", statement.section.lower()).replace(" ", "-")
    section = f"#{anchor}" if folder else ""
    where = f"[Lesson {statement.lesson}]({folder}{notebook}{section}), *{statement.section}*"
    found = f"**{statement.verdict}.** {statement.found}" if statement.verdict else statement.found
    return [statement.key, statement.says, *([found] if verdicts else []), where]
