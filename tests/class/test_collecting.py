"""Of what learners hand in the newest work is taken, and what went wrong on the way is said."""

import codecs
import os

import nbformat
import pytest
from small_course import answered, blank

from lessons_lib import classroom
from lessons_lib.course.classroom import GradingFailed
from lessons_lib.errors import InputError


def hand_in(folder, made, *, at=1_700_000_000, name="00_small.ipynb", encoding="utf-8"):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(nbformat.writes(made).encode(encoding))
    os.utime(path, (at, at))
    return path


def collected(course, given):
    return {one.student: one for one in classroom.collect(course, 0, given)}


def text_of(course, student):
    return (course / "handed_in" / student / "lesson00" / "00_small.ipynb").read_bytes()


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("00_small.ipynb", "00_small (1).ipynb"),
        ("00_small (9).ipynb", "00_small (10).ipynb"),
        ("00_small-Copy2.ipynb", "00_small-Copy11 (1).ipynb"),
    ],
)
def test_of_copies_of_one_time_the_last_counted_is_taken(course, tmp_path, older, newer):
    hand_in(tmp_path / "Ada", answered(course, "range"), name=older)
    newest = hand_in(tmp_path / "Ada", answered(course, "range", "quantize"), name=newer)
    assert collected(course, tmp_path)["Ada"].path
    assert text_of(course, "Ada") == newest.read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        "00_small - Copy.ipynb",
        "00_small - Kopie (2).ipynb",
        "00_small 2.ipynb",
        "00_small_1.ipynb",
        "Ada_00_small.ipynb",
        "00_small_final.ipynb",
    ],
)
def test_a_copy_is_known_whatever_made_it(course, tmp_path, name):
    hand_in(tmp_path / "Ada", answered(course, "range"))
    newest = hand_in(
        tmp_path / "Ada", answered(course, "range", "quantize"), at=1_800_000_000, name=name
    )
    assert collected(course, tmp_path)["Ada"].path
    assert text_of(course, "Ada") == newest.read_bytes()


def test_another_lesson_is_no_copy(course, tmp_path):
    hand_in(tmp_path / "Ada", answered(course, "range"), name="00_smaller.ipynb")
    assert collected(course, tmp_path)["Ada"].why == "has no 00_small.ipynb"


def test_a_newer_copy_without_work_hides_none_with_it(course, tmp_path):
    solved = hand_in(tmp_path / "Ada", answered(course, "range"))
    hand_in(tmp_path / "Ada", blank(course), at=1_800_000_000, name="00_small (1).ipynb")
    assert collected(course, tmp_path)["Ada"].path
    assert text_of(course, "Ada") == solved.read_bytes()


def test_a_folder_one_level_too_high_is_noticed(course, tmp_path):
    for name in ("Ada", "Bo"):
        hand_in(tmp_path / "all" / name, answered(course, "range"))
    note = collected(course, tmp_path)["all"].note
    assert note.startswith("lies in 2 folders, taken: ") and note.endswith("name what has theirs")
    assert {one.note for one in collected(course, tmp_path / "all").values()} == {""}


def test_what_lies_in_no_folder_is_listed(course, tmp_path):
    hand_in(tmp_path / "Ada", answered(course, "range"))
    hand_in(tmp_path, answered(course, "range"), name="00_small (2).ipynb")
    (tmp_path / "notes.txt").touch()
    found = collected(course, tmp_path)
    assert sorted(found) == ["00_small (2).ipynb", "Ada"]
    assert found["00_small (2).ipynb"].why.startswith("lies in no folder")


def test_the_courses_own_folder_has_no_learners(course):
    for wrong in (course, course.parent):
        with pytest.raises(InputError, match="is or holds the course's own folder"):
            classroom.collect(course, 0, wrong)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_notebook_of_another_encoding_gets_its_points(course, tmp_path, encoding):
    path = hand_in(tmp_path / "Zoe", answered(course, "range", "quantize"), encoding=encoding)
    assert path.read_bytes().startswith((codecs.BOM_UTF8, codecs.BOM_UTF16))
    assert collected(course, tmp_path)["Zoe"].path
    (done,) = classroom.grade(course, 0, students=["Zoe"])
    assert (done.points, done.worth, done.stopped) == (2, 2, "")


def test_what_is_handed_in_anew_is_not_exported_as_graded(course, tmp_path):
    hand_in(tmp_path / "Una", answered(course, "range"))
    collected(course, tmp_path)
    list(classroom.grade(course, 0, students=["Una"]))
    row = [line for line in classroom.export(course).splitlines() if ",Una," in line]
    assert row[0].endswith(",1,2,50,")
    hand_in(tmp_path / "Una", answered(course, "range", "quantize"))
    collected(course, tmp_path)
    row = [line for line in classroom.export(course).splitlines() if ",Una," in line]
    assert row[0].endswith(",1,2,50,not graded as it is now")


def test_a_timeout_that_is_no_number_costs_nobody_points(course, tmp_path, monkeypatch):
    hand_in(tmp_path / "Tim", answered(course, "range"))
    collected(course, tmp_path)
    monkeypatch.setenv("LESSONS_TIMEOUT", "abc")
    with pytest.raises(InputError, match="LESSONS_TIMEOUT=abc; expected a number"):
        list(classroom.grade(course, 0, students=["Tim"]))


def test_a_release_that_fails_keeps_the_one_before(course, tmp_path):
    hand_in(tmp_path / "Ada", answered(course, "range"))
    collected(course, tmp_path)
    list(classroom.grade(course, 0, students=["Ada"]))
    source = course / "source" / "lesson00" / "00_small.ipynb"
    kept, released = source.read_bytes(), blank(course)
    without = nbformat.reads(kept.decode(), 4)
    without.cells = [cell for cell in without.cells if cell.id != "00_small-002-points"]
    second = source.with_name("second.ipynb")
    try:
        source.write_text("{bad")
        with pytest.raises(InputError, match=r"is not a notebook: .*JSON"):
            classroom.release(course, 0)
        source.write_text(nbformat.writes(without))
        with pytest.raises(GradingFailed, match=r"nbgrader: (?!.*traceback).*submissions"):
            classroom.release(course, 0)
        source.write_bytes(kept)
        second.write_bytes(kept)
        with pytest.raises(InputError, match=r"more than one notebook: take second\.ipynb out"):
            classroom.release(course, 0)
    finally:
        source.write_bytes(kept)
        second.unlink(missing_ok=True)
    assert blank(course) == released
    assert not list(course.glob(".release-*"))


def test_what_a_teacher_adds_to_the_configuration_is_read(course):
    config = course / "nbgrader_config.py"
    kept = config.read_text()
    try:
        config.write_text(kept + "\nthis is no Python\n")
        with pytest.raises(InputError, match=r"nbgrader_config\.py cannot be read"):
            classroom.release(course, 0)
        config.write_text(kept + "\nc.ClearOutput.enabled = False\n")
        assert classroom._api(course).config.ClearOutput.enabled is False
    finally:
        config.write_text(kept)


@pytest.mark.parametrize("name", ["Kurs [2026]", "100 %", "what?", "a*b", "x#y"])
def test_a_course_is_not_begun_where_nbgrader_would_fail(tmp_path, name):
    with pytest.raises(InputError, match="in its name, which nbgrader cannot take"):
        classroom.init(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_feedback_comes_after_the_grades(tmp_path, course):
    classroom.init(tmp_path / "new")
    classroom.release(tmp_path / "new", 0)
    with pytest.raises(InputError, match="lesson 0 is not graded: `lessons class grade 0` does it"):
        classroom.feedback(tmp_path / "new", 0)


def test_no_number_is_no_lesson(course):
    with pytest.raises(InputError, match="no lesson ''"):
        classroom.release(course, "")
