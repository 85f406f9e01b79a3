import re

import pytest

import readme
from lessons_lib import files, notebooks, paths, scoreboard
from reference import converted, digits


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scoreboard")
    written = {
        name: files.write_atomic(folder / f"{name}.tflite", content)
        for name, content in converted().items()
    }
    return scoreboard.measure(written, digits())


def share(text: str) -> float:
    return float(text.rstrip("%")) / 100


def test_the_readmes_scoreboard_is_up_to_date(rows):
    """Sizes to the byte; shares to 0.3 points: float sums depend on the processor."""
    for row, said in zip(rows, readme.stored(), strict=True):
        expected = dict(zip(said, scoreboard.text([row])[0].values(), strict=True))
        for column in ("path", "bytes", "smaller", "integer only", "input / output"):
            assert said[column] == expected[column], f"{row.name}: run make refresh"
        assert share(said["accuracy"]) == pytest.approx(row.accuracy, abs=0.003)
        assert share(said["agreement"]) == pytest.approx(row.agreement, abs=0.003)


def test_the_decision_trees_figure_is_up_to_date(rows):
    said = readme.figure_texts()
    assert said["questions"] == readme.questions(), "run make refresh"
    for name, text in readme.leaf_texts(rows).items():
        size, accuracy = text.split(" · ")
        said_size, said_accuracy = said["leaves"][name].split(" · ")
        assert said_size == size, "run make refresh"
        assert share(said_accuracy) == pytest.approx(share(accuracy), abs=0.003)


def test_a_change_of_a_size_would_be_noticed():
    rows = readme.stored()
    assert [row["path"] for row in rows] == list(paths.PATHS)
    assert readme.TIMED in rows[0]
    assert readme.TIMED not in readme.untimed(rows)[0]


def test_the_table_of_lessons_is_that_of_the_notebooks():
    text = readme.README.read_text(encoding="utf-8")
    assert readme.lesson_rows(text) == text, "run make refresh"
    for number, path in enumerate(notebooks.find(), 1):
        assert re.search(rf"^\| {number} \| \[[^]]+\]\(notebooks/{path.name}\) \|", text, re.M)


def test_a_lessons_new_time_gets_into_the_table():
    text = readme.README.read_text(encoding="utf-8")
    changed = re.sub(r"(01_save_model\.ipynb\) \|[^|]+)\| \d+ \| \d+ \|", r"\1| 1 | 999 |", text)
    assert changed != text
    assert readme.lesson_rows(changed) == readme.lesson_rows(text)


def test_every_file_that_the_readme_links_exists():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", readme.README.read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (files.ROOT / link).exists()] == []
