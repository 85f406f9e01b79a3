import re
from dataclasses import replace

import pytest

import readme
from lessons_lib import article, catalogue, files, notebooks, paths, scoreboard
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


def test_the_stored_scoreboard_is_up_to_date(rows):
    """Sizes to the byte; shares to 0.3 points: float sums depend on the processor."""
    for row, said in zip(rows, readme.stored()["rows"], strict=True):
        (expected,) = scoreboard.text([row])
        assert list(said) == list(expected), "run make refresh"
        for column in ("path", "bytes", "smaller", "integer only", "input / output"):
            assert said[column] == expected[column], f"{row.name}: run make refresh"
        assert share(said["accuracy"]) == pytest.approx(row.accuracy, abs=0.003)
        assert share(said["agreement"]) == pytest.approx(row.agreement, abs=0.003)
        assert share(said["on hard digits"]) == pytest.approx(row.accuracy_hard, abs=0.005)


def test_the_scoreboard_has_every_path_and_one_column_of_times():
    rows = readme.stored()["rows"]
    assert [row["path"] for row in rows] == list(paths.PATHS)
    assert readme.TIMED in rows[0]
    assert readme.TIMED not in readme.untimed(rows)[0]


def test_the_decision_trees_figure_says_what_is_stored():
    assert readme.figure_texts() == readme.tree_texts(), "run make refresh"


TEXT = readme.README.read_text(encoding="utf-8")


def test_the_readmes_parts_are_up_to_date():
    assert readme.filled(TEXT) == TEXT, "run make refresh"


def rewritten(monkeypatch, place, **board):
    """The README as it would be with another scoreboard, and the files that are written then."""
    for name in ("README", "SCOREBOARD", "FIGURE"):
        path = getattr(readme, name)
        copy = files.write_atomic(place / path.name, path.read_bytes())
        monkeypatch.setattr(readme, name, copy)
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    monkeypatch.setattr(readme, "measured", lambda: readme.stored() | board)
    readme.main()
    changed = {path.name for path in place.iterdir() if path.read_bytes() != before[path.name]}
    return (place / "README.md").read_text("utf-8"), changed


def test_a_second_measurement_with_other_times_changes_nothing(monkeypatch, tmp_path):
    rows = [row | {readme.TIMED: "999"} for row in readme.stored()["rows"]]
    monkeypatch.setattr("sys.argv", ["readme.py"])
    assert rewritten(monkeypatch, tmp_path, rows=rows) == (TEXT, set())


def test_times_are_written_anew_on_request(monkeypatch, tmp_path):
    rows = [row | {readme.TIMED: "999"} for row in readme.stored()["rows"]]
    monkeypatch.setattr("sys.argv", ["readme.py", "--volatile"])
    text, changed = rewritten(monkeypatch, tmp_path, rows=rows)
    assert (text.count("| 999 |"), changed) == (len(rows), {"README.md", "scoreboard.json"})


def test_another_size_gets_into_readme_and_figure(monkeypatch, tmp_path):
    rows = [row | {"bytes": "77,777"} for row in readme.stored()["rows"]]
    monkeypatch.setattr("sys.argv", ["readme.py"])
    text, changed = rewritten(monkeypatch, tmp_path, rows=rows)
    assert text.count("| 77,777 |") == len(rows)
    assert changed == {"README.md", "scoreboard.json", "decision_tree.png"}
    assert set(readme.figure_texts()["leaves"].values()) == {"77,777 bytes, 98.1%"}


def test_both_times_of_each_lesson_and_their_sums_are_listed(monkeypatch):
    def described(path):
        times = replace(lesson.times, core=35, everything=60, seconds=20)
        return replace(lesson, path=path, times=times)

    lesson = notebooks.describe(notebooks.find([1])[0])
    monkeypatch.setattr(notebooks, "describe", described)
    count = len(notebooks.find())
    assert readme.filled(TEXT).count("| 35 | 60 | 20 |") == count
    assert readme.sums() == (
        "**The core path**: lessons 0 to 8 take 5 h 15 min, with everything 9 h 00 min; all "
        f"{count} take {35 * count // 60} h {35 * count % 60:02} min, with everything {count} h "
        "00 min."
    )


def test_the_first_command_says_how_long_all_lessons_run(monkeypatch):
    lesson = notebooks.describe(notebooks.find([1])[0])
    times = replace(lesson.times, seconds=3600 // len(notebooks.find()))
    monkeypatch.setattr(notebooks, "describe", lambda path: replace(lesson, times=times))
    (line,) = [line for line in readme.filled(TEXT).splitlines() if line.startswith("make lessons")]
    assert line.endswith(": about 60 minutes")


def test_a_lesson_without_deeper_sections_has_the_same_time_twice(monkeypatch):
    lesson = notebooks.describe(notebooks.find([1])[0])
    times = replace(lesson.times, core=35, everything=None, seconds=20)
    monkeypatch.setattr(notebooks, "describe", lambda path: replace(lesson, times=times))
    assert "| 35 | 35 | 20 |" in readme.filled(TEXT)


def test_the_core_path_takes_the_hours_that_the_course_promises():
    core = [notebooks.describe(path).times.core for path in notebooks.find()]
    assert sum(core[:9]) < 7 * 60
    assert sum(core) < 14.5 * 60


def test_each_part_of_the_course_is_listed_with_its_lessons():
    assert "(lessons 1 to 8): its steps one by one" in readme.course_parts()
    assert readme.course_parts().count("\n") == len(catalogue.PARTS) - 1


def test_no_result_stands_above_the_lessons():
    """Nothing answers a prediction before it is asked: what was measured has its own heading."""
    before, results = TEXT.split("## Results", 1)
    assert "<!-- scoreboard: written by make refresh -->" in results
    assert "decision_tree.png" in results
    assert before.index("## The lessons\n") < before.index("## From the article to the lessons\n")
    assert not re.search(r"\d%|\d %|\dx\b|µs", before)


def test_the_article_is_linked_where_it_is_named_first():
    title = "Quantisation of models"
    assert TEXT[TEXT.index(title) - 1 :].startswith(f"[{title}]({article.ADDRESS})")


def test_the_article_reader_is_sent_to_lesson_0():
    door = re.search(r"40 minutes\?.*?\[lesson 0\]\(notebooks/(00_[^)]+)\)", TEXT)
    assert door[1] == notebooks.find([0])[0].name


def test_every_file_that_the_readme_links_exists():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT)
    assert links
    assert [link for link in links if not (files.ROOT / link).exists()] == []
