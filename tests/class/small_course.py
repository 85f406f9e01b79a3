"""A course of one small lesson with two exercises, and what learners may hand in."""

import nbformat

from builders import code, markdown, notebook

ANSWERS = {
    "range": "def my_range(low, high):\n    scale = (high - low) / 255\n"
    "    return scale, round(-128 - low / scale)",
    "quantize": "def my_quantize(x, scale, zero_point):\n"
    "    codes = np.round(x / scale) + zero_point\n"
    "    return np.clip(codes, -128, 127).astype(np.int8)",
}
CHECKS = {
    "range": "checks.check_scale_zero_point(my_range)",
    "quantize": "checks.check_quantize(my_quantize)",
}
BLANKS = {
    "range": "def my_range(low, high): ...",
    "quantize": "def my_quantize(x, scale, zero_point): ...",
}


def lesson():
    """Two exercises of lesson 3, with their folds."""
    cells = [markdown("# 00. Small"), code("import numpy as np\nfrom lessons_lib import checks")]
    for number, name in enumerate(CHECKS, 1):
        cells.append(code(f"{BLANKS[name]}\n\n\n{CHECKS[name]}"))
        solved = f"```python\n{ANSWERS[name]}\n\n\n{CHECKS[name]}\n```"
        cells.append(markdown(f"<details>\n\n{solved}\n\n</details>"))
        cells[-1].metadata["fold"] = f"3.{number}"
    made = notebook(*cells)
    made.nbformat_minor = 5
    for place, cell in enumerate(made.cells):
        cell.id = f"00_small-{place:03}"
    return made


def blank(course):
    return nbformat.read(course / "release" / "lesson00" / "00_small.ipynb", 4)


def answered(course, *names, **other):
    """The learner's notebook with the right answers to these exercises, or with other code."""
    made = blank(course)
    for cell in made.cells:
        for name in CHECKS:
            if BLANKS[name] in cell.source:
                text = other.get(name, ANSWERS[name] if name in names else BLANKS[name])
                cell.source = f"{text}\n\n\n{CHECKS[name]}"
    return made
