"""What the lessons show and say of the article is what the article holds.

FACTS are the article's snippets: the calls and settings, in order, with their names. They are API
facts; nothing of the article's text stands here.
"""

import ast
import copy
import io
import re
import tokenize

import pytest

import hygiene
from lessons_lib import article, notebooks

TENSORFLOW = "import tensorflow as tf"
CONVERTER = "converter = tf.lite.TFLiteConverter.from_saved_model(saved_model_dir)"
FACTS = {
    "article:space": [
        TENSORFLOW,
        CONVERTER,
        "tf_lite_converter.optimizations = [tf.lite.Optimize.OPTIMIZE_FOR_SIZE]",
        "tflite_model = tf_lite_converter.convert()",
    ],
    "article:float16": [
        TENSORFLOW,
        CONVERTER,
        "tf_lite_converter.optimizations = [tf.lite.Optimize.DEFAULT]",
        "tf_lite_converter.target_spec.supported_types = [tf.float16]",
        "tflite_model = tf_lite_converter.convert()",
    ],
    "article:generator": [
        "def representative_data_gen():\n"
        "    for input_value in "
        "tf.data.Dataset.from_tensor_slices(train_images).batch(1).take(100):\n"
        "        yield [input_value]",
    ],
    "article:uint8": [
        TENSORFLOW,
        CONVERTER,
        "converter.optimizations = [tf.lite.Optimize.DEFAULT]",
        "converter.representative_dataset = representative_data_gen",
        "converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]",
        "converter.inference_input_type = tf.uint8",
        "converter.inference_output_type = tf.uint8",
        "tflite_quant_model = converter.convert()",
    ],
}
REMARK = {"article:uint8": ("inference_input_type", "inference_output_type")}  # "# or tf.int8"
FAIL_AS_THEY_STAND = ("article:space", "article:float16")
SHOWN_IN = {  # at least: every cell with such a tag is compared
    "article:space": (0, 4),
    "article:float16": (0, 5),
    "article:generator": (0, 6),
    "article:uint8": (0, 7),
}
CLAIMS = [statement for statement in article.STATEMENTS if statement.verdict]


def lesson(number):
    return notebooks.read(notebooks.find([number])[0])


def tagged(notebook, tag):
    return [cell for _, cell in hygiene.code(notebook) if tag in hygiene.tags(cell)]


def complaints(tag, source):
    """What a cell shows otherwise than the article does; line breaks and blanks do not count."""
    shown, facts = ast.parse(source).body, ast.parse("\n".join(FACTS[tag])).body
    wrong = [
        f"{ast.unparse(one)!r} stands where the article has {ast.unparse(other)!r}"
        for one, other in zip(shown, facts, strict=False)
        if ast.dump(one) != ast.dump(other)
    ]
    words = tokenize.generate_tokens(io.StringIO(source).readline)
    said = [token.string for token in words if token.type == tokenize.COMMENT]
    if said != ["# or tf.int8"] * len(REMARK.get(tag, ())):
        wrong.append(f"the remarks are {said}")
    if len(shown) != len(facts):
        wrong.append(f"{len(shown)} statements; the article has {len(facts)}")
    for name in REMARK.get(tag, ()):
        if not re.search(rf"{name} = tf\.uint8 +# or tf\.int8$", source, re.MULTILINE):
            wrong.append(f"{name} lacks the article's remark that it may be tf.int8")
    return wrong


@pytest.mark.parametrize("tag", FACTS)
def test_the_articles_code_is_shown_as_it_stands(tag):
    found = {path.name: tagged(notebooks.read(path), tag) for path in notebooks.find()}
    assert {int(name[:2]) for name, cells in found.items() if cells} >= set(SHOWN_IN[tag])
    for cell in (cell for cells in found.values() for cell in cells):
        assert complaints(tag, cell.source) == []
        assert (hygiene.RAISES in hygiene.tags(cell)) == (tag in FAIL_AS_THEY_STAND)


@pytest.mark.parametrize("tag", FACTS)
def test_a_changed_snippet_is_noticed(tag):
    source = "\n".join(FACTS[tag]).replace("= tf.uint8", "= tf.uint8  # or tf.int8")
    assert complaints(tag, source) == []
    changes = {
        "tf_lite_converter": "converter",
        "= converter.convert": "= tf_lite_converter.convert",
        "DEFAULT": "OPTIMIZE_FOR_SIZE",
        "OPTIMIZE_FOR_SIZE": "DEFAULT",
        "train_images": "test_images",
        ".batch(1)": "",
        "take(100)": "take(10)",
        "# or tf.int8": "",
        "import tensorflow as tf\n": "",
        "yield [input_value]": "yield [input_value]  # one at a time",
        "OPTIMIZE_FOR_SIZE]": "OPTIMIZE_FOR_SIZE]  # deprecated",
    }
    changed = {old: source.replace(old, new) for old, new in changes.items() if old in source}
    assert len(changed) >= 3
    for old, other in changed.items():
        assert complaints(tag, other), f"{old!r} may be changed unnoticed"
    lines = source.splitlines()
    if len(lines) > 3:
        swapped = [*lines[:2], lines[3], lines[2], *lines[4:]]
        assert complaints(tag, "\n".join(swapped))


def test_no_cell_shows_the_articles_names_without_being_held_against_it():
    for path in notebooks.find():
        for where, cell in hygiene.code(notebooks.read(path)):
            if "tf_lite_converter" in cell.source:
                assert hygiene.tags(cell) & set(FACTS), f"{path.name}, {where}"


def test_the_statements_are_those_of_the_article_in_order():
    assert [statement.key for statement in article.STATEMENTS] == [f"A{n}" for n in range(1, 21)]
    assert {statement.verdict for statement in CLAIMS} == set(article.VERDICTS)
    described = {s.key for s in article.STATEMENTS} - {s.key for s in CLAIMS}
    assert described == {"A1", "A12", "A20"}  # what it will do, and a figure from the guide


@pytest.mark.parametrize("statement", article.STATEMENTS, ids=lambda s: s.key)
def test_each_statement_is_taken_up_in_the_section_that_the_table_names(statement):
    text = "\n".join(cell.source for _, cell in hygiene.text(lesson(statement.lesson)))
    assert re.search(rf"^##+ {re.escape(statement.section)}$", text, re.MULTILINE)


def shown(notebook, statement):
    """Return complaints about the cells that show a verdict: none, or cells that prove nothing."""
    cells = tagged(notebook, f"shows:{statement.key}")
    if not cells:
        return [f"lesson {statement.lesson} has no cell tagged shows:{statement.key}"]

    def proves(cell):
        asserts = any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(cell.source)))
        return asserts or hygiene.CHECKED in hygiene.tags(cell)

    return [] if any(map(proves, cells)) else ["no cell that shows it asserts or is checked"]


@pytest.mark.parametrize("statement", CLAIMS, ids=lambda s: s.key)
def test_each_verdict_is_shown_by_a_cell_that_proves_it(statement):
    assert shown(lesson(statement.lesson), statement) == []


def test_a_verdict_without_a_proof_is_noticed():
    statement = next(s for s in CLAIMS if s.key == "A10")
    notebook = copy.deepcopy(lesson(statement.lesson))
    for cell in tagged(notebook, "shows:A10"):
        cell.source, cell.metadata["tags"] = "print('believe it')", ["shows:A10"]
    assert shown(notebook, statement) == ["no cell that shows it asserts or is checked"]
    for cell in tagged(notebook, "shows:A10"):
        cell.metadata["tags"] = []
    assert shown(notebook, statement) == ["lesson 3 has no cell tagged shows:A10"]


def test_the_table_links_each_statement_to_its_lesson_and_section():
    table = article.markdown(folder="notebooks/").splitlines()
    assert len(table) == 2 + len(article.STATEMENTS)
    for line, statement in zip(table[2:], article.STATEMENTS, strict=True):
        assert f"| {statement.key} | {statement.says} | " in line
        (notebook,) = notebooks.find([statement.lesson])
        assert f"(notebooks/{notebook.name}#" in line
        assert statement.verdict in line
    assert "04_shrink_dynamic_range.ipynb#why-the-file-is-not-4x-smaller)" in table[3]
    plain = article.markdown(verdicts=False)
    assert "(04_shrink_dynamic_range.ipynb)" in plain
    assert "holds" not in plain
