"""What the site folds: sections with their minutes, and boxes round what explains a prediction."""

import pytest
from docutils import nodes

import minutes
import sphinx_ext
import sphinx_folds
from builders import code, markdown, notebook


def section(title, *children):
    made = nodes.section("", nodes.title("", title))
    made += list(children)
    return made


def at(cell, kind=nodes.paragraph):
    """A node that comes from the cell with this index."""
    node = kind("", f"cell {cell}")
    node.line = (cell + 1) * 10_000 + 1
    return node


def wrapped(of_cells, *children):
    made = section("Title", *children)
    sphinx_folds.Explanations._wrap(made, of_cells)
    return [child.astext() for child in made.children[1:]]


OPEN = '<div class="explains" data-prediction="04.1">'


def test_neighbours_that_explain_the_same_share_a_box():
    cells = ["", "04.1", "04.1", "", "04.2"]
    made = wrapped(cells, *map(at, range(5)))
    assert made == [
        "cell 0",
        *(OPEN, "cell 1", "cell 2", "</div>"),
        "cell 3",
        *(OPEN.replace("04.1", "04.2"), "cell 4", "</div>"),
    ]


def test_a_code_cell_is_known_by_its_index_and_a_heading_stays_outside():
    cell = nodes.container(cell_index=1)
    cell += nodes.Text("code 1")
    inner = section("Inner", at(2))
    assert wrapped(["", "04.1", "04.1"], cell, inner) == [OPEN, "code 1", "</div>", inner.astext()]


def test_a_node_without_a_line_goes_with_the_one_before():
    assert wrapped(["04.1"], at(0), nodes.paragraph("", "no line")) == [
        *(OPEN, "cell 0", "no line", "</div>")
    ]


def test_a_number_is_no_html():
    box, *_ = wrapped(['"><b>'], at(0))
    assert box == '<div class="explains" data-prediction="&quot;&gt;&lt;b&gt;">'


def test_minutes_of_deeper_sections_are_in_order_with_what_is_in_them():
    content = notebook(
        markdown("word " * 180),
        markdown("## Deeper: one\n" + "word " * 178),
        markdown("### Deeper: inside\n" + "word " * 178),
        markdown("## Out"),
        markdown("### Deeper: two\n" + "word " * 538),
    )
    assert minutes.deeper(content) == [pytest.approx(2), pytest.approx(3)]


@pytest.mark.parametrize(
    ("source", "alone"),
    [
        ("widgets.quiz([])", True),
        ('size = widgets.predict("04.1", "How?", ["a", "b"])\nsize', True),
        ("widgets.tally(size)", True),
        ("size.outcome(found)", False),
        ("x = 1\nwidgets.quiz([])", False),
        ("size", False),
        ("not python", False),
    ],
)
def test_code_that_only_asks_is_not_shown(source, alone):
    assert sphinx_ext.only_asks(source) == alone


def test_the_cell_of_an_explanation_is_known_by_its_tag():
    assert sphinx_folds._explained(code("x", "volatile", "explains:04.1")) == "04.1"
    assert sphinx_folds._explained(markdown("x")) == ""
