import re
from dataclasses import replace

import pytest

import readme
from lessons_lib import article, files, notebooks, paths, scoreboard
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
        assert share(said["on hard digits"]) == pytest.approx(row.accuracy_hard, abs=0.005)


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


TEXT = readme.README.read_text(encoding="utf-8")


def test_the_table_of_lessons_is_that_of_the_notebooks():
    assert readme.lesson_rows(TEXT) == TEXT, "run make refresh"
    rows = re.findall(r"^\| (\d+) \| \[[^]]+\]\(notebooks/([^)]+)\) \|", TEXT, re.MULTILINE)
    assert rows == [(str(int(path.name[:2])), path.name) for path in notebooks.find()]
    assert f"seconds to run on {notebooks.MACHINE} |" in TEXT


def test_a_lessons_new_time_gets_into_the_table():
    row = r"(01_save_model\.ipynb\) \|[^|]+)\| [\d ()]+ \| \d+ \|"
    for times in ("1 | 999", "1 (2) | 999"):
        changed = re.sub(row, rf"\1| {times} |", TEXT)
        assert changed != TEXT
        assert readme.lesson_rows(changed) == readme.lesson_rows(TEXT)


def test_a_lesson_with_deeper_sections_has_its_other_minutes_in_brackets(monkeypatch):
    lesson = notebooks.describe(notebooks.find([1])[0])
    times = replace(lesson.times, core=35, everything=60, seconds=20)
    monkeypatch.setattr(notebooks, "describe", lambda path: replace(lesson, times=times))
    monkeypatch.setattr(notebooks, "find", lambda: [lesson.path])
    assert "| 35 (60) | 20 |" in readme.lesson_rows(TEXT)


def test_no_result_stands_above_the_lessons():
    """Nothing answers a prediction before it is asked: what was measured has its own heading."""
    before, results = TEXT.split("## Results", 1)
    assert readme.BEGIN in results
    assert "decision_tree.png" in results
    assert before.index("## The lessons\n") < before.index("## From the article to the lessons\n")
    assert not re.search(r"\d%|\d %|\dx\b|µs", before)


def test_the_article_is_linked_where_it_is_named_first():
    title = "Quantisation of models"
    assert TEXT[TEXT.index(title) - 1 :].startswith(f"[{title}]({article.ADDRESS})")


def test_the_article_reader_is_sent_to_lesson_0():
    door = re.search(r"30 minutes\?.*?\[lesson 0\]\(notebooks/(00_[^)]+)\)", TEXT)
    assert door[1] == notebooks.find([0])[0].name


def test_every_file_that_the_readme_links_exists():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT)
    assert links
    assert [link for link in links if not (files.ROOT / link).exists()] == []
