"""The site's own part of Sphinx: what its pages take from the course, and links between lessons.

``substitutions`` gives the texts for ``{{ name }}`` in the pages; the transforms turn "lesson 7"
in the notebooks' text into a link, and name the figures for those who cannot see them.
"""

import html
import os
import re

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.transforms.post_transforms import SphinxPostTransform

import readme
import versions
from lessons_lib import article, notebooks, paths
from lessons_lib.errors import InputError

ARTICLE = range(1, 9)  # the lessons that take the article's steps one by one


# The lesson that takes each path, step by step.
def substitutions() -> dict[str, str]:
    """Return the Markdown behind each ``{{ name }}`` of the site's pages."""
    lessons = [notebooks.describe(path) for path in notebooks.find()]
    return {
        "decision_tree": _raw(f'<ul class="tree">{_branch(paths.TREE, "", lessons)}</ul>'),
        "scoreboard": readme.README.read_text("utf-8").split(readme.BEGIN)[1].split(readme.END)[0],
        "lesson_cards": _lesson_cards(lessons),
        "lesson_table": _lesson_table(lessons),
        "lesson_list": "\n\n".join(_lesson_entry(lesson) for lesson in lessons),
        "lesson_count": str(len(lessons)),
        "machine": notebooks.MACHINE,
        **_hours("lesson", lessons),
        **_hours("article", [lesson for lesson in lessons if lesson.number in ARTICLE]),
        **_hours("other", [lesson for lesson in lessons if lesson.number > max(ARTICLE)]),
        "source": f": `git clone {repository()}`" if repository() else "",
        "elsewhere": _elsewhere(),
        "article_table": article.markdown(folder="notebooks/"),
        "versions": versions.table(),
    }


def _hours(name: str, lessons: list[notebooks.Lesson]) -> dict[str, str]:
    """The hours of these lessons' cores, and those with everything."""
    core = sum(lesson.times.core for lesson in lessons)
    everything = sum(lesson.times.everything or lesson.times.core for lesson in lessons)
    return {f"{name}_hours": f"{core / 60:.0f}", f"{name}_hours_all": f"{everything / 60:.0f}"}


def _raw(content: str) -> str:
    return f"```{{raw}} html\n{content}\n```"


# ---- the decision tree, as a list of lists: it reads well on a phone and with a screen reader


def _branch(node: paths.Question | str, answer: str, lessons: list[notebooks.Lesson]) -> str:
    label = f'<span class="answer">{answer}</span> ' if answer else ""
    if isinstance(node, str):
        return f"<li>{label}{_leaf(node, lessons)}</li>"
    mark = "" if node.in_article else ' <span class="ours">not in the article</span>'
    inner = _branch(node.no, "no", lessons) + _branch(node.yes, "yes", lessons)
    question = f'<span class="question">{html.escape(node.text)}</span>'
    return f"<li>{label}{question}{mark}<ul>{inner}</ul></li>"


def _leaf(name: str, lessons: list[notebooks.Lesson]) -> str:
    lesson = next(lesson for lesson in lessons if lesson.number == paths.ALL[name].lesson)
    row = next(row for row in readme.stored() if row["path"] == name)
    return (
        f'<a class="leaf" href="{_page(lesson)}"><b>{name}</b> '
        f"<span>{row['bytes']} bytes, {row['accuracy']}</span> "
        f"<span>lesson {lesson.number}</span></a>"
    )


def _page(lesson: notebooks.Lesson) -> str:
    return f"notebooks/{lesson.path.stem}.html"


# ---- the lessons


def _lesson_cards(lessons: list[notebooks.Lesson]) -> str:
    """A list, one entry a lesson: its link, the question it answers, its minutes."""
    questions = readme.lesson_questions()
    entries = (
        f"- [**{lesson.number}. {lesson.title}**](notebooks/{lesson.path.name}) "
        f"{questions[lesson.path.name]} *{lesson.times.core} min*"
        for lesson in lessons
    )
    return "\n".join(["{.lessons}", *entries])


def _lesson_table(lessons: list[notebooks.Lesson]) -> str:
    rows = (
        f"| [{lesson.number}. {lesson.title}](notebooks/{lesson.path.name}) "
        f"| {lesson.times.core} | {lesson.times.everything or ''} | {lesson.times.needs} |"
        for lesson in lessons
    )
    return "\n".join(["| lesson | minutes | with everything | needs |", "|-|-:|-:|-|", *rows])


def _lesson_entry(lesson: notebooks.Lesson) -> str:
    """A lesson's section: its question, times, objectives, and links."""
    name, times = lesson.path.name, lesson.times
    everything = f" ({times.everything} with everything)" if times.everything else ""
    links = [
        f'<a href="_sources/notebooks/{name}" download>Download the notebook</a>',
        f'<a href="notebooks/solutions/{lesson.path.stem}.html">Solutions</a>',
    ]
    return "\n".join(
        [
            f"## [{lesson.number}. {lesson.title}](notebooks/{name})",
            "",
            f"*{readme.lesson_questions()[name]}*",
            "",
            f"{times.core} minutes to learn{everything}, about {times.seconds} s to run; "
            f"needs {times.needs}. You will be able to:",
            "",
            *(f"- {objective}" for objective in lesson.objectives),
            "",
            _raw(f'<p class="links">{" · ".join(links)}</p>'),
        ]
    )


# ---- Colab and Binder


def repository() -> str:
    """Return the address in ``LESSONS_REPOSITORY``, or nothing.

    Raises InputError for one that is not on GitHub: Colab opens notebooks from there only.
    """
    address = os.environ.get("LESSONS_REPOSITORY", "").rstrip("/")
    if address and not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", address):
        raise InputError(
            f"LESSONS_REPOSITORY={address!r}; expected an address such as "
            "https://github.com/owner/name, or nothing"
        )
    return address


def branch() -> str:
    """Return the branch in ``LESSONS_BRANCH``, else ``main``.

    Raises InputError for a name with other signs than letters, digits and ``. _ - /``: a page
    shows it in a shell command.
    """
    name = os.environ.get("LESSONS_BRANCH") or "main"
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._/-]*", name):
        raise InputError(f"LESSONS_BRANCH={name!r}; expected a name such as main or release/1.0")
    return name


def links() -> dict:
    """Return the theme's options for links into the repository; none without an address."""
    if not repository():
        return {}
    return {
        "repository_url": repository(),
        "repository_branch": branch(),
        "use_repository_button": True,
        "launch_buttons": {
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com",
            "notebook_interface": "jupyterlab",
        },
    }


def _elsewhere() -> str:
    """How to run a lesson in Colab or Binder, where the site has links to them."""
    if not repository():
        return ""
    return f"""## In Colab or Binder

Each lesson's page has a button that opens it there. Binder sets itself up from the course's
`environment.yml`, which takes some minutes. Colab does not know the course's helpers: run this in a
first cell of your own; what you make then lies in `lessons/artifacts`. (Neither is part of the
course's tests.)

```
!git clone --depth 1 --branch {branch()} {repository()} lessons
%pip install --quiet --editable ./lessons
%cd lessons/notebooks
import sys; sys.path.insert(0, "..")  # the kernel that runs already does not see the install
```
"""


# ---- what the notebooks' pages gain


class LessonLinks(SphinxPostTransform):
    """Make "lesson 7" and the numbers of "lessons 4 to 7" in running text links to the lessons."""

    default_priority = 5  # before references are resolved
    _MENTION = re.compile(r"\b[Ll]essons? \d+(?:(?:, | and | to | or )\d+)*")

    def run(self, **kwargs) -> None:
        for text in list(self.document.findall(nodes.Text)):
            if self._is_prose(text) and self._MENTION.search(text):
                text.parent.replace(text, list(self._linked(text.astext())))

    @staticmethod
    def _is_prose(text: nodes.Text) -> bool:
        kinds = (nodes.literal, nodes.literal_block, nodes.reference, pending_xref, nodes.title)
        node = text.parent
        while node is not None:
            if isinstance(node, kinds):
                return False
            node = node.parent
        return True

    def _linked(self, words: str):
        end = 0
        for mention in self._MENTION.finditer(words):
            for number in re.finditer(r"(?:^[Ll]esson )?\d+", mention.group()):
                start = mention.start() + number.start()
                yield nodes.Text(words[end:start])
                yield self._link(number.group())
                end = start + len(number.group())
        yield nodes.Text(words[end:])

    def _link(self, words: str) -> nodes.Node:
        number = int(re.search(r"\d+", words).group())
        pages = [p for p in self.env.found_docs if p.startswith(f"notebooks/{number:02d}_")]
        if not pages or pages[0] == self.env.docname:
            return nodes.Text(words)
        address = self.app.builder.get_relative_uri(self.env.docname, pages[0])
        return nodes.reference("", words, refuri=address, internal=True)


class FigureTexts(SphinxPostTransform):
    """Give each figure of a cell a text: the section it stands in, in place of a file's name."""

    default_priority = 5

    def run(self, **kwargs) -> None:
        for image in self.document.findall(nodes.image):
            if "alt" not in image:
                image["alt"] = f"Figure in the section “{self._section(image)}”"

    def _section(self, node: nodes.Node) -> str:
        while node is not None and not isinstance(node, nodes.section):
            node = node.parent
        return node.next_node(nodes.title).astext() if node is not None else "of this page"


class QuizWithoutAnswers(SphinxPostTransform):
    """Show a quiz without the code that makes it, which holds the answers."""

    default_priority = 5

    def run(self, **kwargs) -> None:
        for block in list(self.document.findall(nodes.literal_block)):
            if block.astext().startswith("widgets.quiz("):
                cell_input = block.parent
                cell_input.parent.remove(cell_input)


class TablesWithoutEmptyHeads(SphinxPostTransform):
    """Make the empty head above a table's index a plain cell: a head must say something."""

    default_priority = 5
    _EMPTY = re.compile(r"<th([^>]*)>(?:&nbsp;)?</th>")

    def run(self, **kwargs) -> None:
        for raw in list(self.document.findall(nodes.raw)):
            if self._EMPTY.search(raw.astext()):
                tidy = self._EMPTY.sub(r"<td\1></td>", raw.astext())
                raw.parent.replace(raw, nodes.raw("", tidy, **raw.attributes))


def setup(app) -> dict:
    app.add_post_transform(TablesWithoutEmptyHeads)
    app.add_post_transform(QuizWithoutAnswers)
    app.add_post_transform(LessonLinks)
    app.add_post_transform(FigureTexts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
