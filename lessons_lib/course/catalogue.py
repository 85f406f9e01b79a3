"""The course's parts, in order, and the question that each lesson answers.

README and site are written from it. What a notebook says of itself (its title, minutes, objectives)
stands there alone: ``notebooks.describe`` reads it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """Lessons that belong together.

    ``says`` goes on after ``title`` and the lessons' numbers. ``questions``: for the name of each
    notebook, in order, the question that the lesson answers. ``of_article``: it takes the article.
    """

    title: str
    says: str
    questions: dict[str, str]
    of_article: bool = False

    @property
    def numbers(self) -> list[int]:
        return [int(notebook[:2]) for notebook in self.questions]

    @property
    def lessons(self) -> str:
        """Its lessons in words: "lesson 14", or "lessons 1 to 8"."""
        first, last = self.numbers[0], self.numbers[-1]
        return f"lesson {first}" if first == last else f"lessons {first} to {last}"


DOOR = Part(
    "The article in 40 minutes",
    "its code, typed and run from top to bottom.",
    {
        "00_run_article.ipynb": "What does the article's code do, typed and run from top to "
        "bottom?",
    },
    of_article=True,
)
ARTICLE = Part(
    "The article, step by step",
    "its steps one by one and further, on real handwritten digits; its four snippets are shown as "
    "they stand: two fail and are mended, two run.",
    {
        "01_save_model.ipynb": "How does a trained model become one file, and is it still the same "
        "model?",
        "02_measure_model.ipynb": "What do size, latency, memory and energy cost, and how does one "
        "measure them?",
        "03_quantize_tensor.ipynb": "How do a scale and a zero point turn floats into bytes, and "
        "what is lost?",
        "04_shrink_dynamic_range.ipynb": "What is the cheapest way to a smaller file, and why is "
        "it not four times smaller?",
        "05_halve_float16.ipynb": "What do half-precision weights give, and to whom?",
        "06_choose_calibration.ipynb": "What does calibration record, and which data spoil it?",
        "07_quantize_integers.ipynb": "How does a model run on integers alone, and how is that "
        "proven?",
        "08_choose_path.ipynb": "Which path fits, and is a small drop in accuracy real?",
    },
    of_article=True,
)
NUMBERS = Part(
    "Inside the numbers",
    "the model's integer arithmetic rebuilt in NumPy, equal to the real runtimes bit for bit; "
    "quantization that fails, and is mended.",
    {
        "09_run_int8.ipynb": "What does the runtime do with the integers, to the last bit?",
        "10_quantize_model.ipynb": "What does the converter compute, and can we do it ourselves?",
        "11_find_layer.ipynb": "Where does a bad quantized model go wrong, and what mends it?",
        "12_train_quantization.ipynb": "What can training still win back when bits are few?",
        "13_quantize_litert.ipynb": "What comes after the converter, and how small can the model "
        "get?",
    },
)
MACHINES = Part(
    "Where models run",
    "the same file in a browser.",
    {
        "14_run_browser.ipynb": "Does the same file give the same numbers in a browser, and is it "
        "faster there?",
    },
)
YOURS = Part(
    "Your own model",
    "three models that are not the digits, quantized with three lines each; twelve that break, and "
    "what mends them.",
    {
        "15_quantize_own_model.ipynb": "Which path does a model of your own take, and how do you "
        "defend the choice?",
        "16_mend_what_breaks.ipynb": "Your model breaks on the way: what does the symptom say, and "
        "what mends it?",
    },
)
SMALL = Part(
    "On small machines",
    "the model as C, compiled for a microcontroller and run in an emulator, code by code; an NPU's "
    "compiler and its report.",
    {
        "17_run_microcontroller.ipynb": "What does a file need of a chip, in flash, RAM and "
        "instructions, and is it the same model there?",
        "18_compile_npu.ipynb": "Which operators does an NPU take, and what does its compiler's "
        "report not say?",
    },
)
PARTS = (DOOR, ARTICLE, NUMBERS, MACHINES, YOURS, SMALL)
QUESTIONS = {name: question for part in PARTS for name, question in part.questions.items()}
# What people search for, for each notebook: the title of its page on the site.
SEARCHED = {
    "00_run_article.ipynb": "TensorFlow Lite quantization tutorial in half an hour",
    "01_save_model.ipynb": "Convert a Keras model to TensorFlow Lite",
    "02_measure_model.ipynb": "Measure a TFLite model's size, latency and memory",
    "03_quantize_tensor.ipynb": "int8 quantization by hand: scale and zero point",
    "04_shrink_dynamic_range.ipynb": "TensorFlow Lite dynamic range quantization",
    "05_halve_float16.ipynb": "TensorFlow Lite float16 quantization",
    "06_choose_calibration.ipynb": "Representative dataset and calibration in TFLite",
    "07_quantize_integers.ipynb": "TensorFlow Lite full integer int8 quantization",
    "08_choose_path.ipynb": "Which TensorFlow Lite quantization to choose",
    "09_run_int8.ipynb": "How TFLite int8 inference works, bit by bit",
    "10_quantize_model.ipynb": "Per-channel int8 weights and bias, quantized in NumPy",
    "11_find_layer.ipynb": "Debug the accuracy loss of a quantized TFLite model",
    "12_train_quantization.ipynb": "Quantization-aware training in Keras, from scratch",
    "13_quantize_litert.ipynb": "LiteRT quantizer: int8, int4 and mixed precision",
    "14_run_browser.ipynb": "Run a TFLite model in the browser with LiteRT.js",
    "15_quantize_own_model.ipynb": "Quantize your own Keras model to TFLite int8",
    "16_mend_what_breaks.ipynb": "TFLite int8 quantization errors and how to fix them",
    "17_run_microcontroller.ipynb": "TFLite int8 as C for Cortex-M",
    "18_compile_npu.ipynb": "Compile a TFLite int8 model for an Ethos-U NPU",
}
NOTEBOOKS = {int(name[:2]): name for name in QUESTIONS}


def markdown_table(heads: Sequence[str], rows: Iterable[Iterable]) -> str:
    """Return a Markdown table, as README, site and notebooks show it."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in lines)
