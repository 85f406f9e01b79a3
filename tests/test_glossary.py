"""The site's glossary and its page of changes say what the lessons say, and point to them."""

import functools
import itertools
import json
import re
from dataclasses import dataclass

import pytest

from lessons_lib import files, paths

GLOSSARY = (files.ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
CHANGES = (files.ROOT / "book" / "changes.md").read_text(encoding="utf-8")
LINK = re.compile(r"\[(?:Lesson )?(\d+)\]\((notebooks/(\d\d)_\w+\.ipynb)\)")
NUMBER = re.compile(r"(?<![\w.])\d+(?:[.,]\d+)*")
# The course's words; each must be a heading of the glossary, or a form given in one.
WORDS = """
scale; zero point; zero_point; num_bits; qmin; qmax; symmetric; asymmetric; narrow range;
narrow_range; quantized dimension; quantized_dimension; per-tensor; per-channel; per-axis;
representative dataset; representative_dataset; calibration; requantization; multiplier; shift;
accumulator; agreement; SavedModel; dynamic range; float16; full integer; float fallback; path;
quantize; dequantize; operator; tensor; kernel; delegate; XNNPACK; LiteRT; TF-Lite; TFLite-Micro;
FlatBuffer; clipping; rounding error; saturation; fake quantization; quantization-aware training;
QAT; post-training quantization; PTQ; straight-through estimator; batch-norm folding;
cross-layer equalization; depthwise convolution; confidence interval; Wilson's interval;
McNemar's test; latency; arena; signature; fixed batch; dynamic batch; int4; nibble; recipe; SIMD;
activation; audit; flip; WebAssembly
"""
VOCABULARY = set(paths.PATHS) | {" ".join(word.split()) for word in WORDS.split(";")}


@dataclass(frozen=True)
class Entry:
    """A heading with the forms that it gives, and its definition with the link at the end."""

    heading: str
    definition: str

    @property
    def key(self) -> str:
        return self.heading.replace("`", "").casefold()

    @property
    def forms(self) -> list[str]:
        parts = (part.strip() for part in re.split(r"[(),`]", self.heading))
        return [part for part in parts if part]


def entries(text: str) -> list[Entry]:
    """Return the entries of the page's one glossary, in the order of the page."""
    inside = re.search(r"```\{glossary\}\n(.*?)\n```", text, re.DOTALL).group(1)
    return [Entry(*block.split("\n  ", 1)) for block in inside.strip().split("\n\n")]


def rows(text: str) -> list[list[str]]:
    """Return the cells of the table under "Since the article", row by row."""
    lines = text.split("## Since the article")[1].splitlines()
    table = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return table[1:]  # without the head


@functools.cache
def words_of(notebook: str) -> str:
    """The text and code of a lesson, without its outputs, on one line."""
    cells = json.loads((files.ROOT / notebook).read_text(encoding="utf-8"))["cells"]
    return " ".join(" ".join("".join(cell["source"]) for cell in cells).split())


def occurs(form: str, words: str) -> bool:
    """Does a word of the lesson begin with it? "saturate" is in "saturates", "4" is not in "40"."""
    end = r"(?!\d)" if form[-1].isdigit() else ""
    return re.search(rf"(?<!\w){re.escape(form)}{end}", words, re.IGNORECASE) is not None


def broken_links(text: str) -> list[str]:
    """Complain of links that lead nowhere, or to another lesson than the one they name."""
    complaints = [] if LINK.search(text) else ["links no lesson"]
    for number, notebook, in_name in LINK.findall(text):
        if not (files.ROOT / notebook).exists():
            complaints.append(f"{notebook} does not exist")
        if int(number) != int(in_name):
            complaints.append(f"{notebook} is not lesson {number}")
    return complaints


def invented(text: str) -> list[str]:
    """Complain of numbers that stand in none of the linked lessons."""
    lessons = [words_of(n) for _, n, _ in LINK.findall(text) if (files.ROOT / n).exists()]
    numbers = NUMBER.findall(LINK.sub("", text))
    missing = [n for n in numbers if lessons and not any(number_occurs(n, w) for w in lessons)]
    return [f"{number} is in none of its lessons" for number in missing]


def number_occurs(number: str, words: str) -> bool:
    return re.search(rf"(?<!\d){re.escape(number)}(?!\d)", words) is not None


def entry_complaints(entry: Entry) -> list[str]:
    """Complain of an entry that does not end in one lesson, or whose lesson does not know it."""
    complaints = broken_links(entry.definition) + invented(entry.definition)
    if not re.search(rf"\. {LINK.pattern}$", entry.definition):
        complaints.append("does not end with its lesson")
    for _, notebook, _ in LINK.findall(entry.definition):
        known = (files.ROOT / notebook).exists()
        if known and not any(occurs(form, words_of(notebook)) for form in entry.forms):
            complaints.append(f"is not in {notebook}")
    return [f"{entry.heading}: {complaint}" for complaint in complaints]


def glossary_complaints(text: str) -> list[str]:
    found = entries(text)
    keys = [entry.key for entry in found]
    complaints = [f"{b!r} after {a!r}" for a, b in itertools.pairwise(keys) if a >= b]
    given = {form.casefold() for entry in found for form in entry.forms}
    complaints += [f"no entry for {word}" for word in VOCABULARY if word.casefold() not in given]
    return complaints + [c for entry in found for c in entry_complaints(entry)]


def changes_complaints(text: str) -> list[str]:
    complaints = []
    for row in rows(text):
        if len(row) != 3:
            complaints.append(f"{row[0]}: {len(row)} cells")
            continue
        found = broken_links(row[2]) + invented(" ".join(row))
        complaints += [f"{row[0]}: {complaint}" for complaint in found]
    if "\n\n{{ versions }}\n\n" not in text:
        complaints.append("no line {{ versions }}")
    return complaints


def test_the_glossary_keeps_the_rules():
    assert glossary_complaints(GLOSSARY) == []
    assert len(entries(GLOSSARY)) >= 45


def test_the_page_of_changes_keeps_the_rules():
    assert changes_complaints(CHANGES) == []
    assert len(rows(CHANGES)) >= 10


SCALE = "How much real value one step of the codes is worth. "


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("\narena\n", "\nzebra\n", "'asymmetric' after 'zebra'"),
        ("\narena\n", "\nagreement\n", "'agreement' after 'agreement'"),
        ("\narena\n", "\nareola\n", "no entry for arena"),
        ("\narena\n", "\nareola\n", "areola: is not in notebooks/02_measure_model.ipynb"),
        (" [Lesson 9](", " [Lesson 8](", "09_run_int8.ipynb is not lesson 8"),
        ("/09_run_int8.", "/09_walk_int8.", "notebooks/09_walk_int8.ipynb does not exist"),
        (f"{SCALE}[Lesson 3](notebooks/03_quantize_tensor.ipynb)", SCALE, "scale: links no lesson"),
        (SCALE, f"{SCALE[:-2]}, ", "scale: does not end with its lesson"),
        (SCALE, f"{SCALE[:-2]}, 98765. ", "scale: 98765 is in none of its lessons"),
        (" (SIMD)", "", "no entry for SIMD"),
    ],
)
def test_a_broken_glossary_is_reported(old, new, complaint):
    assert old in GLOSSARY
    found = glossary_complaints(GLOSSARY.replace(old, new))
    assert any(complaint in line for line in found), found


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("[Lesson 3](notebooks/03_quantize_tensor.ipynb)", "lesson 3", "links no lesson"),
        ("/03_quantize_", "/03_quantise_", "notebooks/03_quantise_tensor.ipynb does not exist"),
        ("120 of 256", "121 of 256", "121 is in none of its lessons"),
        (" | [Lesson 3]", ", [Lesson 3]", "2 cells"),
        ("{{ versions }}", "{{ version }}", "no line {{ versions }}"),
    ],
)
def test_a_broken_page_of_changes_is_reported(old, new, complaint):
    assert old in CHANGES
    found = changes_complaints(CHANGES.replace(old, new))
    assert any(complaint in line for line in found), found


def test_a_word_is_found_where_a_word_begins():
    assert occurs("saturate", "it saturates") and occurs("SIMD", "SIMD,")
    assert not occurs("SIMD", "asimddp") and not occurs("int4", "int48")
    assert occurs("McNemar's test", "McNemar's test")
    assert not number_occurs("12", "120") and number_occurs("12", "int12")
