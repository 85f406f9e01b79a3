"""What the site's pages take from the course, and what is served beside them."""

import html
import io
import re
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import pytest
import yaml
from PIL import Image

import book
import cards
import icons
import readme
import repository_links
import site_texts
import sphinx_sharing
from builders import markdown, write
from lessons_lib import article, catalogue, notebooks, paths, training
from lessons_lib.errors import InputError, LessonError


@pytest.fixture(scope="module")
def texts():
    return site_texts.substitutions()


def test_the_tree_has_each_path_and_its_lesson(texts):
    tree = texts["decision_tree"]
    assert tree.count('class="leaf"') == len(paths.PATHS)
    for name in paths.PATHS:
        path = notebooks.find([paths.ALL[name].lesson])[0]
        assert f'href="notebooks/{path.stem}.html"><b>{name}</b>' in tree
        assert name in path.read_text("utf-8")


def test_the_tree_asks_the_articles_questions_and_marks_ours(texts):
    assert texts["decision_tree"].count('class="question"') == len(readme.questions())
    assert texts["decision_tree"].count("not in the article") == 2  # float ends, 16 bits


def test_every_lesson_is_listed_with_time_and_objectives(texts):
    for lesson in map(notebooks.describe, notebooks.find()):
        assert f"{lesson.number}. {lesson.title}" in texts["lesson_cards"]
        assert f"{lesson.times.core} minutes to learn" in texts["lesson_list"]
        for objective in lesson.objectives:
            assert objective in texts["lesson_list"]


def test_the_lessons_page_has_the_table_and_the_readmes_sums(texts):
    page = (book.BOOK / "lessons.md").read_text("utf-8")
    assert page.index("{{ lesson_table }}") < page.index("{{ lesson_sums }}")
    assert texts["lesson_sums"] == readme.sums()
    assert readme.sums() in readme.README.read_text("utf-8")


def test_each_part_stands_in_the_navigation_and_above_its_lessons(texts):
    for part in catalogue.PARTS:
        names = [name.removesuffix(".ipynb") for name in part.questions]
        listed = "\n".join(f"notebooks/{name}" for name in names)
        assert f":caption: {part.title}\n{listed}\n```" in texts["lesson_toctrees"]
        cards = texts["lesson_cards"].split(f"### {part.title}\n")[1].split("\n###")[0]
        assert re.findall(r"\(notebooks/(\w+)\.ipynb\)", cards) == names


def test_hours_are_those_of_the_lessons_by_number(monkeypatch):
    describe = notebooks.describe

    def an_hour_and_from_lesson_9_on_three(path):
        lesson = describe(path)
        everything = 180 if lesson.number >= 9 else None
        return replace(lesson, times=replace(lesson.times, core=60, everything=everything))

    monkeypatch.setattr(notebooks, "describe", an_hour_and_from_lesson_9_on_three)
    written = site_texts.substitutions()
    count = len(notebooks.find())
    later = count - 9
    hours = (written["lesson_hours"], written["lesson_hours_all"])
    assert hours == (str(count), str(count + 2 * later))
    assert (written["article_hours"], written["article_hours_all"]) == ("8", "8")
    assert (written["other_hours"], written["other_hours_all"]) == (str(later), str(3 * later))
    assert written["lesson_table"].count("| 60 | 180 |") == later
    assert written["lesson_table"].count("| 60 | 60 |") == 9
    assert "60 minutes to learn (180 with everything)" in written["lesson_list"]


def test_the_landing_page_sends_the_articles_reader_to_lesson_0_and_shows_no_result():
    page = (book.BOOK / "index.md").read_text("utf-8")
    title = "Quantisation of models"
    assert page[page.index(title) - 1 :].startswith(f"[{title}]({article.ADDRESS})")
    assert page.index("(notebooks/00_run_article.ipynb)") < page.index("{{ lesson_cards }}")
    assert not {"scoreboard", "decision_tree"} & set(re.findall(r"\{\{ (\w+) \}\}", page))
    assert page.index("(results.md)") > page.index("{{ lesson_cards }}")


def test_the_articles_statements_stand_on_a_page_of_the_site(texts):
    assert texts["article_table"] == article.markdown(folder="notebooks/")
    assert "{{ article_table }}" in (book.BOOK / "article.md").read_text("utf-8")


def test_pages_name_only_texts_that_exist(texts):
    for path in book.pages():
        assert set(re.findall(r"\{\{ (\w+) \}\}", path.read_text("utf-8"))) <= set(texts), path.name


def test_no_formula_escapes_inside_text():
    """MathJax shows the backslash of ``\\text{zero\\_point}``; ``\\mathrm`` does not."""
    notebook_paths = [
        *notebooks.FOLDER.glob("*.ipynb"),
        *notebooks.FOLDER.glob("solutions/*.ipynb"),
    ]
    for path in [*book.pages(), *notebook_paths]:
        assert not re.search(r"\\text\{[^}]*\\_", path.read_text("utf-8")), path.name


def test_the_page_about_your_own_model_shows_code_that_runs(tmp_path):
    page = (book.BOOK / "run.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    code = code.replace("path/to/model", str(training.reference()))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    made = [f"{name} {tmp_path / 'converted' / name}.tflite" for name in paths.PATHS]
    assert done.stdout.splitlines() == made


def test_without_an_address_there_are_no_links(monkeypatch):
    monkeypatch.delenv("LESSONS_REPOSITORY", raising=False)
    assert repository_links.links() == {}
    assert site_texts.substitutions()["elsewhere"] == ""


def test_with_an_address_there_are(monkeypatch):
    monkeypatch.setenv("LESSONS_REPOSITORY", "https://github.com/someone/lessons/")
    monkeypatch.setenv("LESSONS_BRANCH", "")
    options = repository_links.links()
    assert options["repository_url"] == "https://github.com/someone/lessons"
    assert options["repository_branch"] == "main"
    assert set(options["launch_buttons"]) >= {"colab_url", "binderhub_url"}
    clone = "git clone --depth 1 --branch main https://github.com/someone/lessons lessons"
    assert clone in site_texts.substitutions()["elsewhere"]


def test_in_colab_the_clone_is_installed_and_seen_by_the_kernel_that_runs(monkeypatch):
    """Editable: one copy, with its notebooks, tools and artifacts; what a child imports as well."""
    monkeypatch.setenv("LESSONS_REPOSITORY", "https://github.com/someone/lessons")
    recipe = site_texts.substitutions()["elsewhere"].split("```")[1].strip().splitlines()
    assert recipe[1:3] == [
        "%pip install --quiet --editable ./lessons[lab]",
        "%cd lessons/notebooks",
    ]
    assert recipe[3].startswith('import sys; sys.path.insert(0, "..")')


@pytest.mark.parametrize("name", ["a;b", "$(b)", "`b`", "-b", "a b", "a\nb", "<b>", "ä"])
def test_a_branch_that_a_shell_would_run_is_refused(monkeypatch, tmp_path, name):
    monkeypatch.setenv("LESSONS_BRANCH", name)
    with pytest.raises(InputError, match="expected a name such as main"):
        book.build(tmp_path / "site")
    assert list(tmp_path.iterdir()) == []


def test_a_branch_of_another_name_is_taken(monkeypatch):
    monkeypatch.setenv("LESSONS_BRANCH", "release/1.0-b_2")
    assert repository_links.branch() == "release/1.0-b_2"


@pytest.mark.parametrize(
    "address", ["someone/lessons", "https://github.com/someone", "https://gitlab.com/a/b"]
)
def test_a_wrong_address_is_refused_before_anything_is_built(monkeypatch, tmp_path, address):
    monkeypatch.setenv("LESSONS_REPOSITORY", address)
    with pytest.raises(InputError, match="expected an address such as"):
        book.build(tmp_path / "site")
    assert list(tmp_path.iterdir()) == []


# ---- staging


def test_pages_and_notebooks_are_staged_as_in_the_repository(tmp_path):
    book.stage(tmp_path)
    assert (tmp_path / "index.md").exists()
    assert (tmp_path / "try-it" / "index.md").exists()
    assert (tmp_path / "look-inside" / "index.md").exists()
    assert (tmp_path / "notebooks" / "solutions" / "01_save_model.ipynb").exists()
    assert (tmp_path / "instructors" / "lessons" / "00.md").exists()


def test_nothing_but_a_site_is_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="exists and is no site; name a new folder"):
        book.build(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_site_may_be_replaced(tmp_path):
    (tmp_path / "objects.inv").touch()
    (tmp_path / "old.html").touch()
    book.require_replaceable(tmp_path)


def test_a_missing_package_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(book, "NODE_MODULES", tmp_path)
    with pytest.raises(LessonError, match="LICENSE is missing: run `make book`"):
        book.package_file("mathjax/LICENSE")


def small_site(folder, text):
    """A page and a notebook, for a build of a second."""
    source = folder / "pages"
    write(source / "notebooks" / "01_small.ipynb", markdown("# Small"))
    links = "```{toctree}\nnotebooks/01_small\n```\n"
    (source / "index.md").write_text(f"# Page\n\n{text}\n\n{links}")
    return source


def test_a_broken_link_stops_the_build_each_time(tmp_path, capfd):
    source = small_site(tmp_path, "[nowhere](gone.md)")
    for _ in range(2):
        with pytest.raises(LessonError, match="Sphinx warned or failed"):
            book.run_sphinx(source, tmp_path / "site")
        assert "gone.md" in capfd.readouterr().err


def test_with_an_address_a_lesson_links_to_colab_and_binder(tmp_path, monkeypatch):
    monkeypatch.setenv("LESSONS_REPOSITORY", "https://github.com/someone/lessons")
    monkeypatch.setenv("LESSONS_BRANCH", "trunk")
    book.run_sphinx(small_site(tmp_path, ""), tmp_path / "site")
    page = (tmp_path / "site" / "notebooks" / "01_small.html").read_text("utf-8")
    place = "someone/lessons/blob/trunk/notebooks/01_small.ipynb"
    assert f"https://colab.research.google.com/github/{place}" in page
    assert "https://mybinder.org/v2/gh/someone/lessons/trunk?urlpath=lab/tree/notebooks/" in page


# ---- how a page is found


def tags(page):
    """The content of each of a page's meta tags, by its name or property."""
    found = re.findall(r'<meta (?:name|property)="([^"]+)" content="([^"]*)" />', page)
    return {name: html.unescape(content) for name, content in found}


def title(page):
    return html.unescape(re.search("<title>(.*?)</title>", page, re.DOTALL)[1]).strip()


@pytest.fixture
def found(tmp_path, monkeypatch):
    """A site with an address: its folder."""
    monkeypatch.setenv("LESSONS_SITE", "https://example.org/lessons")
    source = tmp_path / "pages"
    for folder in ("notebooks", "notebooks/solutions"):
        write(source / folder / "04_shrink_dynamic_range.ipynb", markdown("# 04. Shrink & more"))
    pages = "notebooks/04_shrink_dynamic_range\nnotebooks/solutions/04_shrink_dynamic_range"
    described = '---\ndescription: "A page <b> of & more."\n---\n# First'
    (source / "index.md").write_text(f"{described}\n\n```{{toctree}}\n{pages}\n```\n")
    book.run_sphinx(source, tmp_path / "site")
    return tmp_path / "site"


def test_a_lessons_page_has_the_title_and_description_that_people_search_for(found):
    page = (found / "notebooks" / "04_shrink_dynamic_range.html").read_text("utf-8")
    said = tags(page)
    wanted = "TensorFlow Lite dynamic range quantization (lesson 4)"
    assert title(page).startswith(wanted)
    assert (said["og:title"], said["og:type"]) == (wanted, "article")
    assert said["description"] == said["og:description"]
    assert "What is the cheapest way to a smaller file" in said["description"]
    assert "<h1>04. Shrink &amp; more" in page


def test_a_page_is_described_by_its_front_matter(found):
    said = tags((found / "index.html").read_text("utf-8"))
    assert said["description"] == "A page <b> of & more."
    assert said["og:type"] == "website"


def test_solutions_are_told_from_their_lesson(found):
    page = (found / "notebooks/solutions/04_shrink_dynamic_range.html").read_text("utf-8")
    assert title(page).startswith("Solutions to lesson 4: TensorFlow Lite dynamic range")


def test_each_page_has_its_card_and_its_place_in_the_sitemap(found):
    site = "https://example.org/lessons/"
    tree = ElementTree.parse(found / "sitemap.xml").getroot()
    places = [place.text for place in tree.findall("{*}url/{*}loc")]
    names = sorted(path.relative_to(found).as_posix() for path in found.rglob("0*.html"))
    assert sorted(places) == sorted(site + name for name in ("index.html", *names))
    for name in ("index.html", *names):
        said = tags((found / name).read_text("utf-8"))
        assert said["og:url"] == site + name
        assert said["twitter:card"] == "summary_large_image"
        with Image.open(found / said["og:image"].removeprefix(site)) as card:
            assert card.size == (1200, 630)


def test_without_an_address_there_is_no_sitemap_and_no_card(tmp_path, monkeypatch):
    for name in ("LESSONS_SITE", "LESSONS_REPOSITORY"):
        monkeypatch.delenv(name, raising=False)
    book.run_sphinx(small_site(tmp_path, ""), tmp_path / "site")
    assert not (tmp_path / "site" / "sitemap.xml").exists()
    assert not (tmp_path / "site" / sphinx_sharing.CARDS).exists()
    said = tags((tmp_path / "site" / "index.html").read_text("utf-8"))
    assert "og:title" in said
    assert not {"og:image", "og:url"} & said.keys()


PAGES = {path.relative_to(book.BOOK).with_suffix("").as_posix(): path for path in book.pages()}
LESSONS = [f"notebooks/{name.removesuffix('.ipynb')}" for name in catalogue.QUESTIONS]


@pytest.mark.parametrize("name", [*PAGES, *LESSONS])
def test_every_page_says_what_it_is_in_the_length_that_is_shown(name):
    text = PAGES[name].read_text("utf-8") if name in PAGES else ""
    front = yaml.safe_load(text.split("---")[1]) if text.startswith("---\n") else {}
    shown, says = sphinx_sharing.told(name, "A page", front)
    assert 50 <= len(says) <= 160, f"{len(says)}: {says}"
    assert len(shown) <= 70


def test_no_two_pages_are_described_alike():
    assert catalogue.SEARCHED.keys() == catalogue.QUESTIONS.keys()
    described = [sphinx_sharing.told(name, "", {}) for name in LESSONS]
    assert len({says for _, says in described}) == len(LESSONS)
    assert all(re.search("TensorFlow Lite|TFLite|LiteRT|int8|Keras", says) for _, says in described)


@pytest.mark.parametrize("words", ["", "A", "word " * 60, "ein_sehr_langes_Wort" * 9])
def test_a_card_is_small_whatever_it_says(words):
    content = cards.card(words, words, "Quantization lessons")
    assert len(content) < 100_000
    with Image.open(io.BytesIO(content)) as card:
        assert (card.format, card.size) == ("PNG", (1200, 630))


@pytest.mark.parametrize(
    ("repository", "site", "expected"),
    [
        ("", "", ""),
        ("https://github.com/Some/lessons", "", "https://some.github.io/lessons/"),
        ("https://github.com/Some/some.github.io", "", "https://some.github.io/"),
        ("https://github.com/Some/lessons", "https://a.org/b", "https://a.org/b/"),
        ("", "https://a.org:8443/", "https://a.org:8443/"),
    ],
)
def test_the_sites_address_is_given_or_github_pages_own(monkeypatch, repository, site, expected):
    monkeypatch.setenv("LESSONS_REPOSITORY", repository)
    monkeypatch.setenv("LESSONS_SITE", site)
    assert repository_links.site() == expected


@pytest.mark.parametrize("address", ["a.org", "http://a.org/", "https://a.org/?x", "https://<b>/"])
def test_a_wrong_address_of_the_site_is_refused_first(monkeypatch, tmp_path, address):
    monkeypatch.setenv("LESSONS_SITE", address)
    with pytest.raises(InputError, match=r"LESSONS_SITE=.*expected an address such as https"):
        book.build(tmp_path / "site")
    assert list(tmp_path.iterdir()) == []


def test_every_licence_is_found():
    for name in book.THEME:
        assert "opyright" in book.licence_file(name).read_text("utf-8")


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
