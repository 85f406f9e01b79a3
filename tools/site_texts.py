"""What the site's pages say of the course: the Markdown behind each ``{{ name }}`` in them."""

import html

import readme
import repository_links
import versions
from lessons_lib import article, catalogue, notebooks, paths


def substitutions() -> dict[str, str]:
    """Return the Markdown behind each ``{{ name }}`` of the site's pages."""
    lessons = [notebooks.describe(path) for path in notebooks.find()]
    address = repository_links.repository()
    return {
        "decision_tree": _raw(f'<ul class="tree">{_branch(paths.TREE, "")}</ul>'),
        "scoreboard": readme.scoreboard_text(),
        "lesson_cards": "\n\n".join(_cards(part, lessons) for part in catalogue.PARTS),
        "lesson_toctrees": "\n\n".join(map(_toctree, catalogue.PARTS)),
        "lesson_table": _lesson_table(lessons),
        "lesson_sums": readme.sums(),
        "lesson_list": "\n\n".join(_lesson_entry(lesson) for lesson in lessons),
        "lesson_count": str(len(lessons)),
        "machine": notebooks.MACHINE,
        "article_lessons": catalogue.ARTICLE.lessons,
        **_hours("lesson", lessons),
        **_hours("article", _of(lessons, catalogue.ARTICLE)),
        **_hours("other", _of(lessons, *(p for p in catalogue.PARTS if not p.of_article))),
        "source": f": `git clone {address}`" if address else "",
        "elsewhere": repository_links.recipe(),
        "article_table": article.markdown(folder="notebooks/"),
        "versions": versions.table(),
    }


def _of(lessons: list[notebooks.Lesson], *parts: catalogue.Part) -> list[notebooks.Lesson]:
    """Those of the lessons that belong to the parts."""
    numbers = {number for part in parts for number in part.numbers}
    return [lesson for lesson in lessons if lesson.number in numbers]


def _hours(name: str, lessons: list[notebooks.Lesson]) -> dict[str, str]:
    """The hours of these lessons' cores, and those with everything."""
    core = sum(lesson.times.core for lesson in lessons)
    everything = sum(lesson.times.everything or lesson.times.core for lesson in lessons)
    return {f"{name}_hours": f"{core / 60:.0f}", f"{name}_hours_all": f"{everything / 60:.0f}"}


def _raw(content: str) -> str:
    return f"```{{raw}} html\n{content}\n```"


# ---- the decision tree, as a list of lists: it reads well on a phone and with a screen reader


def _branch(node: paths.Question | str, answer: str) -> str:
    label = f'<span class="answer">{answer}</span> ' if answer else ""
    if isinstance(node, str):
        return f"<li>{label}{_leaf(node)}</li>"
    mark = "" if node.in_article else ' <span class="ours">not in the article</span>'
    inner = _branch(node.no, "no") + _branch(node.yes, "yes")
    question = f'<span class="question">{html.escape(node.text)}</span>'
    return f"<li>{label}{question}{mark}<ul>{inner}</ul></li>"


def _leaf(name: str) -> str:
    number = paths.ALL[name].lesson
    page = catalogue.NOTEBOOKS[number].replace(".ipynb", ".html")
    row = next(row for row in readme.stored()["rows"] if row["path"] == name)
    return (
        f'<a class="leaf" href="notebooks/{page}"><b>{name}</b> '
        f"<span>{readme.leaf_text(row)}</span> <span>lesson {number}</span></a>"
    )


# ---- the lessons


def _cards(part: catalogue.Part, lessons: list[notebooks.Lesson]) -> str:
    """A part of the course: a list, one entry a lesson: its link, its question, its minutes."""
    entries = (
        f"- [**{lesson.number}. {lesson.title}**](notebooks/{lesson.path.name}) "
        f"{catalogue.QUESTIONS[lesson.path.name]} *{lesson.times.core} min*"
        for lesson in _of(lessons, part)
    )
    says = part.says[0].upper() + part.says[1:]
    return "\n".join([f"### {part.title}", "", says, "", "{.lessons}", *entries])


def _toctree(part: catalogue.Part) -> str:
    """A part's place in the site's navigation."""
    return "\n".join(
        ["```{toctree}", ":hidden:", f":caption: {part.title}"]
        + [f"notebooks/{name.removesuffix('.ipynb')}" for name in part.questions]
        + ["```"]
    )


def _lesson_table(lessons: list[notebooks.Lesson]) -> str:
    rows = (
        [
            f"[{lesson.number}. {lesson.title}](notebooks/{lesson.path.name})",
            lesson.times.core,
            lesson.times.everything or lesson.times.core,
            lesson.times.needs,
        ]
        for lesson in lessons
    )
    return catalogue.markdown_table(["lesson", "core, minutes", "with everything", "needs"], rows)


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
            f"*{catalogue.QUESTIONS[name]}*",
            "",
            f"{times.core} minutes to learn{everything}, about {times.seconds} s to run; "
            f"needs {times.needs}. You will be able to:",
            "",
            *(f"- {objective}" for objective in lesson.objectives),
            "",
            _raw(f'<p class="links">{" · ".join(links)}</p>'),
        ]
    )
