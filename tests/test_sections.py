"""Which headings stand above a cell, and which sections are deeper ones."""

import sections
from builders import code, markdown, notebook


def test_headings_stand_above_what_follows_up_to_the_next_of_their_height():
    content = notebook(
        markdown("# One\nText.\n## Two"),
        code("# Not a heading\nx = 1"),
        markdown("### Three"),
        code("y = 1"),
        markdown("## Four\n```python\n# Not a heading\n```"),
        code("z = 1"),
    )
    assert sections.headings(content) == [
        ["One", "Two"],
        ["One", "Two"],
        ["One", "Two", "Three"],
        ["One", "Two", "Three"],
        ["One", "Four"],
        ["One", "Four"],
    ]


def test_a_text_cell_is_cut_at_its_headings():
    source = "Text.\n# One\n```\n# in code\n```\n## Two\n"
    pieces = list(sections.pieces(notebook(markdown(source))))
    assert "".join(piece for _, piece, _ in pieces) == source
    assert [above for _, _, above in pieces] == [[], ["One"], ["One", "Two"]]


def test_a_deeper_section_is_known_by_its_heading():
    assert sections.is_deeper(["One", "Deeper: two", "Three"])
    assert not sections.is_deeper(["One", "Go deeper: two"])
    assert sections.begins_deeper(markdown("### Deeper: two\n\nText."))
    assert not sections.begins_deeper(markdown("Text.\n\n### Deeper: two"))
    assert not sections.begins_deeper(code("# Deeper: two"))
