"""What the site's pages take from the course, and what is served beside them."""

import re

import pytest

import book
import course
import icons
import readme
from lessons_lib import files, notebooks, paths
from lessons_lib.errors import InputError, LessonError


@pytest.fixture(scope="module")
def texts():
    return course.substitutions()


def test_the_tree_has_each_path_and_its_lesson(texts):
    tree = texts["decision_tree"]
    assert tree.count('class="leaf"') == len(paths.PATHS)
    for name in paths.PATHS:
        path = notebooks.find([course.LESSON_OF[name]])[0]
        assert f'href="notebooks/{path.stem}.html"><b>{name}</b>' in tree
        assert name in path.read_text("utf-8")


def test_the_tree_asks_the_articles_questions_and_marks_ours(texts):
    assert texts["decision_tree"].count('class="question"') == len(readme.questions())
    assert texts["decision_tree"].count("not in the article") == 2  # float ends, 16 bits


def test_every_lesson_is_listed_with_time_and_objectives(texts):
    for lesson in map(notebooks.describe, notebooks.find()):
        assert f"{lesson.number}. {lesson.title}" in texts["lesson_cards"]
        assert f"{lesson.minutes} minutes to learn" in texts["lesson_list"]
        for objective in lesson.objectives:
            assert objective in texts["lesson_list"]


def test_pages_name_only_texts_that_exist(texts):
    for path in book.pages():
        assert set(re.findall(r"\{\{ (\w+) \}\}", path.read_text("utf-8"))) <= set(texts), path.name


def test_without_an_address_there_are_no_links(monkeypatch):
    monkeypatch.delenv("LESSONS_REPOSITORY", raising=False)
    assert course.links() == {}
    assert course.substitutions()["elsewhere"] == ""


def test_with_an_address_there_are(monkeypatch):
    monkeypatch.setenv("LESSONS_REPOSITORY", "https://github.com/someone/lessons/")
    monkeypatch.setenv("LESSONS_BRANCH", "")
    options = course.links()
    assert options["repository_url"] == "https://github.com/someone/lessons"
    assert options["repository_branch"] == "main"
    assert set(options["launch_buttons"]) >= {"colab_url", "binderhub_url"}
    assert (
        "git clone --depth 1 https://github.com/someone/lessons lessons"
        in (course.substitutions()["elsewhere"])
    )


@pytest.mark.parametrize(
    "address", ["someone/lessons", "https://github.com/someone", "http://a/b/c"]
)
def test_a_wrong_address_is_refused_before_anything_is_built(monkeypatch, tmp_path, address):
    monkeypatch.setenv("LESSONS_REPOSITORY", address)
    with pytest.raises(InputError, match="expected an address such as"):
        book.build(tmp_path / "site")
    assert list(tmp_path.iterdir()) == []


# ---- staging


def test_what_is_gone_leaves_the_stage(tmp_path):
    (tmp_path / "notebooks").mkdir()
    old = tmp_path / "notebooks" / "00_old.ipynb"
    old.write_text("{}")
    book.stage(tmp_path)
    assert not old.exists()
    assert (tmp_path / "index.md").exists()
    assert (tmp_path / "notebooks" / "solutions" / "01_save_model.ipynb").exists()


def test_an_unchanged_file_is_not_copied_again(tmp_path):
    book.stage(tmp_path)
    page = tmp_path / "index.md"
    page.write_bytes(page.read_bytes())
    newer = page.stat().st_mtime_ns
    book.stage(tmp_path)
    original = files.ROOT / "book" / "index.md"
    assert newer != page.stat().st_mtime_ns == original.stat().st_mtime_ns
    before = page.stat().st_ctime_ns
    book.stage(tmp_path)
    assert page.stat().st_ctime_ns == before


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(book, "NODE_MODULES", tmp_path)
    with pytest.raises(LessonError, match="LICENSE is missing: run `make book`"):
        book.package_file("mathjax/LICENSE")


def test_sphinx_stops_at_a_broken_link(tmp_path, capfd):
    """One page with a link to nowhere, built as the site is."""
    source = tmp_path / "pages"
    source.mkdir()
    (source / "index.md").write_text("# Page\n\n[nowhere](gone.md)\n")
    arguments = ["-b", "html", "-c", str(book.BOOK), "-q", "-W", str(source), str(tmp_path / "out")]
    assert book.sphinx(arguments) != 0
    assert "gone.md" in capfd.readouterr().err


# ---- icons


STYLE = (
    r'.fa-bars,.fa-navicon{--fa:"\f0c9"}.fa-plus{--fa:"+"}.fa-0{--fa:"\30 "}'
    r".other{color:red}"
)


def test_unused_icons_leave_the_style(tmp_path):
    style = tmp_path / icons.STYLE
    style.parent.mkdir(parents=True)
    style.write_text(STYLE)
    (tmp_path / "index.html").write_text('<i class="fa-solid fa-bars"></i>')
    icons.keep_used(tmp_path)
    assert style.read_text() == r'.fa-bars,.fa-navicon{--fa:"\f0c9"}.other{color:red}'


@pytest.mark.parametrize("code, number", [("f0c9", 0xF0C9), ("+", ord("+")), ("30", 0x30)])
def test_the_character_of_an_icon(code, number):
    assert icons.character(code) == number
