"""The lessons keep the rules of ``hygiene.py``, each rule finds what it is for, and nbval works."""

import base64
import copy
import os
import subprocess
import sys

import nbformat
import pytest

import folds
import hygiene
import refresh
from builders import code, execute, markdown, notebook
from lessons_lib import catalogue, files, notebooks, widgets

LESSONS = sorted(notebooks.FOLDER.glob("*.ipynb"))
SOLUTIONS = sorted(notebooks.FOLDER.glob("solutions/*.ipynb"))


def _named(paths):
    return [pytest.param(path, id=path.relative_to(notebooks.FOLDER).as_posix()) for path in paths]


def _complaints(path, rules):
    content = notebooks.read(path)
    return [f"{path.name}: {complaint}" for rule in rules for complaint in rule(content)]


# The lessons themselves.


def test_the_lessons_are_those_of_the_catalogue_and_each_has_solutions():
    assert [path.name for path in LESSONS] == list(catalogue.QUESTIONS)
    assert list(catalogue.NOTEBOOKS) == list(range(len(LESSONS)))
    assert [path.name for path in SOLUTIONS] == [path.name for path in LESSONS]


@pytest.mark.parametrize("path", _named([*LESSONS, *SOLUTIONS]))
def test_rules_of_every_notebook(path):
    assert _complaints(path, hygiene.RULES) == []


@pytest.mark.parametrize("path", _named(LESSONS))
def test_rules_of_a_lesson(path):
    assert _complaints(path, hygiene.LESSON_RULES) == []
    assert hygiene.title_and_time(notebooks.read(path), path.name[:2]) == []


def test_lesson_0_keeps_the_minutes_that_readme_and_site_promise():
    assert notebooks.describe(notebooks.find([0])[0]).times.core == 40


@pytest.mark.parametrize("path", _named(LESSONS))
def test_solutions_are_in_step(path):
    lesson, solution = (notebooks.read(p) for p in (path, path.parent / "solutions" / path.name))
    assert hygiene.solutions_match(lesson, solution) == []
    assert hygiene.folds_match(lesson, solution) == []


# Each rule has a notebook that breaks it.

TIMES = f"*Time: 30 min · runs in about 20 s on {notebooks.MACHINE} · needs lesson 1*"
DEEPER = f"{TIMES}\n{'word ' * 5400}\n## Deeper: in\n{'word ' * 1800}"

CHECKED, RAISES, VOLATILE = hygiene.CHECKED, hygiene.RAISES, hygiene.VOLATILE


def _executed(source, stream="", *, tags=(), name="stdout", count=1):
    cell = code(source, *tags)
    cell.execution_count = count
    if stream:
        cell.outputs = [nbformat.v4.new_output("stream", name=name, text=stream)]
    return cell


def _raising(*tags):
    cell = _executed("1 / 0", tags=tags)
    frames = ["Traceback", "ZeroDivisionError: division by zero"]
    cell.outputs = [
        nbformat.v4.new_output(
            "error", ename="ZeroDivisionError", evalue="division by zero", traceback=frames
        )
    ]
    return cell


def _picture(size, alt=""):
    cell = _with_alt(_executed("plt.show()"), alt)
    data = {"image/png": base64.b64encode(bytes(size)).decode()}
    cell.outputs = [nbformat.v4.new_output("display_data", data=data)]
    return cell


def _with_alt(cell, text):
    if text:
        cell.metadata["alt"] = text
    return cell


def _html(text):
    cell = _executed("show()")
    cell.outputs = [nbformat.v4.new_output("display_data", data={"text/html": text})]
    return cell


SAID = "Accuracy rises along the bits, and is flat behind six."
QUIZ = widgets.quiz([widgets.Question("How many?", ["1", "2"], 1, "Counted.")]).data
OLD_QUIZ = QUIZ.replace("wrong += 1", "wrong += 2")


def _tagged(cell, *tags):
    cell.metadata["tags"] = list(tags)
    return cell


def _collapsed(cell):
    cell.metadata[refresh.COLLAPSED] = True
    return cell


def _shut(cell):
    cell.metadata.update(refresh.SHUT)
    return cell


OPEN = "**3.1** *Open task.* Find it."
PREDICTED = _executed('size = widgets.predict("03.1", "How many?", ["1", "2"])\nsize')
TOLD = _executed("size.outcome(int(found > 1))")
COUNTED = _executed("widgets.tally(size)")


def _lesson(*cells, number="03"):
    return notebook(markdown(f"# {number}. Title\n\n{TIMES}"), *cells)


def _last(heading, question):
    return [markdown(f"## Exercises\n\n{heading}"), markdown(question), code("checks.check_c(1)")]


BROKEN = [
    (hygiene.executed_in_order, _executed("x = 1", count=None), "number [None], expected [1]"),
    (hygiene.executed_in_order, _executed("x = 1", count=3), "number [3], expected [1]"),
    (hygiene.errors_are_expected, _raising(), "not tagged raises-exception"),
    (hygiene.errors_are_expected, _executed("1", tags=[RAISES, CHECKED]), "stores no error"),
    (hygiene.errors_are_expected, _raising(RAISES), "tag it nbval-check-output as well"),
    (hygiene.no_stderr, _executed("f()", "W0000 careful\n", name="stderr"), "stderr"),
    (hygiene.no_absolute_path, _executed("f()", "saved in /home/ada/m.tflite"), "/home/ada"),
    (hygiene.no_absolute_path, _executed("f()", r"saved in C:\data\m.tflite"), "C:"),
    (hygiene.no_absolute_path, _executed("open('/tmp/m.tflite')"), "/tmp/m.tflite"),
    (hygiene.no_absolute_path, markdown("Look into /usr/share/doc."), "text cell 1"),
    (hygiene.no_memory_address, _executed("f", "<function f at 0x7f00deadbeef>"), "0x7f00"),
    (hygiene.tags_are_known, code("x", "nbval-check-ouput"), "nbval-check-ouput"),
    (hygiene.tags_are_known, code("x", CHECKED, VOLATILE), "cannot be both"),
    (hygiene.tags_are_known, code("# NBVAL_SKIP\nx"), "use a tag"),
    (hygiene.head_is_folded, code("import os\n" * 13), "begins the page with 13 lines"),
    (hygiene.head_is_folded, code("import os\n" * 12, hygiene.HIDDEN), "is for a first cell"),
    (hygiene.head_is_folded, notebook(code("x = 1"), code("y = 2\n" * 13, hygiene.HIDDEN)),
     "code cell 2 is tagged"),
    (hygiene.checked_cells_have_output, _executed("x = 1", tags=[CHECKED]), "no output to check"),
    (hygiene.plain_python, code(" "), "empty"),
    (hygiene.plain_python, code("x = 1\n%timeit x"), "magic"),
    (hygiene.plain_python, code("!ls"), "shell command"),
    (hygiene.plain_python, code("plt.plot(x);"), "semicolon"),
    (hygiene.small_enough, _picture(hygiene.MAX_PICTURE + 1), "100,001 bytes"),
    (hygiene.small_enough, _executed("f()", "x" * hygiene.MAX_NOTEBOOK), "the notebook has"),
    (hygiene.headings_present, markdown("## Quiz"), "## Key points"),
    (hygiene.headings_present, markdown("\n".join(reversed(hygiene.HEADINGS))), "another order"),
    (hygiene.headings_present, markdown("# 00. Run\n## By hand\n## Exercises"), "## Predict"),
    (hygiene.has_exercises, code("answer = ...\nchecks.check_scale(answer)"), "1 exercises"),
    (hygiene.has_exercises, markdown("# 00. Run"), "at least 5"),
    (hygiene.minutes_are_computed, markdown(f"{TIMES}\n{'word ' * 9000}"), "computed are 50"),
    (hygiene.minutes_are_computed, markdown(DEEPER), "30 min, all of it"),
    (hygiene.prose_numbers_are_backed, markdown("The file has 64,648 bytes."), "64648"),
    (hygiene.tags_are_known, _tagged(markdown("It is 2."), "explains:03.1"), "explains:03.1"),
    (hygiene.tags_are_known, _tagged(markdown("It is 2."), CHECKED), "text cell 1 has the tags"),
    (hygiene.widgets_are_current, _html(OLD_QUIZ), "stores an older widget"),
    (hygiene.quizzes_are_shut, code("widgets.quiz([])"), "should hide its code"),
    (hygiene.quizzes_are_shut, _shut(code("x = 1")), "or should not"),
    (hygiene.figures_have_a_text, _picture(10), "lacks `\"alt\"`"),
    (hygiene.figures_have_a_text, _picture(10, alt="A figure."), "lacks `\"alt\"`"),
    (hygiene.figures_have_a_text, _with_alt(_executed("x = 1"), SAID), "and shows no figure"),
    (hygiene.core_is_short, markdown("word " * 180 * 26), "26.0 to read"),
    (hygiene.core_is_short, notebook(*[code("checks.check_a(1)")] * 18), "the core takes 55.5 min"),
    (hygiene.deeper_is_folded, markdown("Text.\n\n### Deeper: more\n"), "### Deeper: more"),
    (hygiene.deeper_is_folded, markdown("## Deeper: more"), "should be collapsed"),
    (hygiene.deeper_is_folded, _collapsed(markdown("## More")), "or is: run `make refresh`"),
    (hygiene.asks_in_the_middle, _lesson(code("checks.check_a(1)")), "1 checks called above"),
    (hygiene.asks_in_the_middle,
     _lesson(markdown("## Deeper: in"), code("checks.check_a(1)\nchecks.check_b(1)")), "0 checks"),
    (hygiene.asks_in_the_middle,
     _lesson(markdown("## Exercises"), code("checks.check_a(1)\nchecks.check_b(1)")), "0 checks"),
    (hygiene.ends_with_an_open_task, _lesson(), "does not stand below"),
    (hygiene.ends_with_an_open_task, _lesson(*_last("### A task", OPEN)), "does not stand below"),
    (hygiene.ends_with_an_open_task,
     _lesson(*_last("### Open task: find it", "**3.1** Find it.")), "is not labelled"),
    (hygiene.ends_with_an_open_task,
     _lesson(*_last("### Open task: find it", OPEN), *_last("### More", "**3.2** Count.")),
     "does not stand below"),
    (hygiene.predictions_count, _lesson(), "no prediction"),
    (hygiene.predictions_count, _lesson(PREDICTED, COUNTED), "03.1 gets no outcome"),
    (hygiene.predictions_count, _lesson(PREDICTED, TOLD), "found are []"),
    (hygiene.predictions_count,
     _lesson(PREDICTED, TOLD, COUNTED, code(COUNTED.source)), "asked is one"),
    (hygiene.predictions_count, _lesson(PREDICTED, code("size.outcome(1)"), COUNTED), "is typed"),
    (hygiene.predictions_count,
     _lesson(PREDICTED, TOLD, COUNTED, number="04"), "another lesson's number"),
    (hygiene.predictions_count,
     _lesson(PREDICTED, TOLD, code(PREDICTED.source.replace("size", "speed")), COUNTED),
     "asked is one `widgets.tally(size, speed)`"),
    (hygiene.outcomes_wait, _lesson(PREDICTED, TOLD, COUNTED), "tag it `explains:03.1`"),
    (hygiene.outcomes_wait, _lesson(PREDICTED, code(TOLD.source, CHECKED)), "would be compared"),
    (hygiene.outcomes_wait,
     _lesson(_tagged(markdown("It is 2.\n\n## Next"), "explains:03.1")), "split it"),
    (hygiene.names_are_not_reused, _lesson(code("x = 1"), code("x = 2"), code("print(x)")),
     "code cell 3 reads 'x', which code cell 1 and code cell 2 bind"),
    (hygiene.names_are_not_reused, _lesson(code("x = 1"), code("x += 1")), "before it binds it"),
    (hygiene.core_needs_no_deeper_name,
     _lesson(markdown("## Deeper: in"), code("x = 1"), markdown("## Out"), code("print(x)")),
     "code cell 2 needs 'x'"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "cell", "words"),
    [pytest.param(*row, id=f"{row[0].__name__}-{row[2]}") for row in BROKEN],
)
def test_rule_finds_the_fault(rule, cell, words):
    complaints = rule(cell if "cells" in cell else notebook(cell))
    assert len(complaints) >= 1
    assert any(words in complaint for complaint in complaints)


def test_every_rule_is_shown_to_find_a_fault():
    assert {row[0] for row in BROKEN} == {*hygiene.RULES, *hygiene.LESSON_RULES}


BOTH = TIMES.replace("30 min", "core 40 min, with everything 45 min")
GOOD = notebook(
    markdown(f"# 03. Quantize a tensor\n\n{BOTH}"),
    markdown("\n\n".join(hygiene.HEADINGS[:3])),
    _executed(PREDICTED.source, count=1),
    _executed("found = 3.437\nprint(found)", "3.437\n", tags=[CHECKED], count=2),
    _executed("size.outcome(int(found > 1))", tags=["explains:03.1"], count=3),
    _tagged(markdown("It is 3.4 times smaller than https://example.com/home/page says."),
            "explains:03.1"),
    _collapsed(markdown("## Deeper: in")),
    _executed("for found_too in range(3):\n    print(found_too + found)", count=4),
    markdown("## Out of it"),
    _executed("answer = ...\nchecks.check_a(answer)", count=5),
    _executed("answer = ...\nchecks.check_b(answer)", count=6),
    markdown("word " * 180 * 20),
    markdown("## Exercises\n\n### Open task: find it\n\n**3.1** *Open task.* Find it."),
    _executed("findings = ...\nchecks.check_c(findings)", count=7),
    _collapsed(markdown("### Deeper: more exercises")),
    markdown("**3.2** And this?"),
    _executed("more = ...\nchecks.check_d(more)", count=8),
    markdown("## Quiz"),
    _executed("widgets.tally(size)", count=9),
    markdown("\n".join(hygiene.HEADINGS[5:])),
)  # fmt: skip


@pytest.mark.parametrize("rule", [*hygiene.RULES, *hygiene.LESSON_RULES], ids=lambda r: r.__name__)
def test_rule_accepts_a_good_lesson(rule):
    assert rule(GOOD) == []


def test_a_long_head_that_is_folded_is_accepted():
    assert hygiene.head_is_folded(notebook(code("import os\n" * 13, hygiene.HIDDEN))) == []
    assert hygiene.head_is_folded(notebook(code("import os\n" * 12), code("x\n" * 13))) == []


def test_title_and_time():
    assert hygiene.title_and_time(GOOD, "03") == []
    assert "# 04. Title" in hygiene.title_and_time(GOOD, "04")[0]
    for line in ("", TIMES.replace(" with VNNI", "")):
        title = notebook(markdown(f"# 03. Title\n\n{line}"))
        assert "*Time: N min" in hygiene.title_and_time(title, "03")[0]


def test_a_figure_with_its_text_and_a_widget_of_today_are_accepted():
    assert hygiene.figures_have_a_text(notebook(_picture(10, SAID))) == []
    assert hygiene.widgets_are_current(notebook(_html(QUIZ))) == []
    assert OLD_QUIZ != QUIZ


@pytest.mark.parametrize("tag", ["article:space", "article:float16", "article:generator",
                                 "article:uint8", "shows:A1", "shows:A20"])  # fmt: skip
def test_a_cell_of_the_article_or_of_a_verdict_may_be_tagged(tag):
    assert hygiene.tags_are_known(notebook(code("x", tag))) == []


def test_solutions_match():
    solved = notebook(*[code(f"assert checks.check_{name}(1)") for name in "abcd"])
    assert hygiene.solutions_match(GOOD, solved) == []
    found = hygiene.solutions_match(GOOD, notebook(code("checks.check_a(1)")))
    assert "the solutions have ['check_a']" in found[0]
    assert "does not assert its check" in found[1]
    assert "code cell 5" in hygiene.solutions_match(GOOD, GOOD)[0]


SOLVED = notebook(
    markdown("**3.1** Six times seven?\n\nCount."),
    code("answer = 42\nassert checks.check_a(answer)"),
    markdown("**3.2** And half of it?\n\nCount again."),
    code("answer = 21\nassert checks.check_b(answer)"),
)
FOLDED = folds.write(
    notebook(
        code("from lessons_lib import checks"),
        markdown("**3.1** Six times seven?"),
        code("answer = ...\nchecks.check_a(answer)"),
        markdown("**3.2** And half of it?"),
        code("answer = ...\nchecks.check_b(answer)"),
    ),
    SOLVED,
)


def test_folds_match():
    assert hygiene.folds_match(FOLDED, SOLVED) == []
    assert "3.1 has no explanation" in hygiene.folds_match(FOLDED, FOLDED)[0]


def _edit(cells):
    cells[3].source = cells[3].source.replace("42", "43")


def _remove(cells):
    del cells[3]


def _copy(cells):
    cells.insert(4, cells[3])


def _move(cells):
    cells.insert(2, cells.pop(3))


@pytest.mark.parametrize("change", [_edit, _remove, _copy, _move], ids=lambda f: f.__name__[1:])
def test_fold_that_is_not_the_solution_is_found(change):
    lesson = copy.deepcopy(FOLDED)
    change(lesson.cells)
    (complaint,) = hygiene.folds_match(lesson, SOLVED)
    assert complaint.startswith("the fold of exercise 3.1 is not what the solutions give")


def test_solution_changed_after_the_folds_is_found():
    solved = copy.deepcopy(SOLVED)
    solved.cells[2].source = solved.cells[2].source.replace("Count again", "Halve it")
    (complaint,) = hygiene.folds_match(FOLDED, solved)
    assert complaint.startswith("the fold of exercise 3.2 is not what the solutions give")


def test_solution_under_another_number_is_found():
    lesson = copy.deepcopy(FOLDED)
    lesson.cells[4].source = "**3.3** And half of it?"
    assert hygiene.folds_match(lesson, SOLVED) == [
        "the fold of exercise 3.2 stands below exercise 3.3: number them alike"
    ]


def test_numbers_in_a_fold_are_backed_by_the_solutions():
    """The fold repeats the solutions' text, and there the rule holds it against the evidence."""
    solved = copy.deepcopy(SOLVED)
    solved.cells[0].source += " It is 42, not 43."
    lesson = folds.write(copy.deepcopy(FOLDED), solved)
    assert hygiene.prose_numbers_are_backed(lesson) == []
    (complaint,) = hygiene.prose_numbers_are_backed(solved)
    assert "gives 43" in complaint


def _backed(prose, *cells):
    return not hygiene.prose_numbers_are_backed(notebook(*cells, markdown(prose)))


@pytest.mark.parametrize(
    "prose",
    [
        "It has 231,044 bytes, 231 kB, 0.231 MB.",
        "Accuracy is 96.9 %, or 0.97.",
        "About 3.44 times smaller.",
        "It differs by 2e-7.",
    ],
)
def test_number_from_a_checked_output_is_backed(prose):
    shown = "231044 bytes, accuracy 0.9692, ratio 3.437, error 0.0000002"
    assert _backed(prose, _executed("f()", shown, tags=[CHECKED]))
    assert not _backed(prose, _executed("f()", shown))


def test_number_from_an_asserted_cell_is_backed():
    assert _backed("At least 96.5 %.", code("assert accuracy > 0.965"))
    assert not _backed("At least 96.5 %.", code("accuracy > 0.965  # assert"))
    assert not _backed("At least 96.5 %.", code("assert accuracy > 0.975"))


def test_rounding_must_be_right():
    shown = _executed("f()", "3.46", tags=[CHECKED])
    assert _backed("3.5 times", shown)
    assert not _backed("3.4 times", shown)


@pytest.mark.parametrize(
    "prose",
    [
        "Two of 16 bits, 1,024 numbers, from -128 to 127 or 255, up to 65,504; 95 % of 100.",
        "`231044` and $231044 \\times 3.437$ and [part 231044](https://example.com/231044)",
        "```python\nx = 231044\n```\nint8, float32, int16x8, 3x3",
        "## The 77 ways\nText.",
        "With TensorFlow 2.21 and version 1.22.3.",
        "Text.\n\n## References\n\nA. Author, 2017, pages 2704-2713.",
        "17. a list\n18. goes on",
        "**4.1** Do it. **Exercise 4.2.** As in Exercise 4.1 and Section 2.3.",
    ],
)
def test_number_that_states_nothing_measured_is_free(prose):
    assert _backed(prose)


# Names: which cells read and bind what.


def _reused(*sources, tags=()):
    cells = [code(source, *tags) for source in sources]
    return hygiene.names_are_not_reused(_lesson(*cells))


@pytest.mark.parametrize(
    "sources",
    [
        ("x = 1", "y = x", "print(x, y)"),
        ("x = 1\nx += 1\nprint(x)", "x = 2\nprint(x)"),
        ("for n in range(3):\n    print(n)", "print([n for n in range(3)])"),
        ("n = 3", "print(sum(n for n in range(3)))", "print(n)"),
        ("n = 3", "print((lambda n: n)(1), {n: m for n, m in ()})", "print(n)"),
        ("def f(x):\n    y = x\n    return y", "x, y = 1, 2", "print(f(x), y)"),
        ("import numpy as np", "import numpy as np", "np.zeros(1)"),
        ("def again(n):\n    return again(n - 1)",),
        ("def later():\n    return made\n\n\nmade = 1",),
        ("if True:\n    x = 1\nelse:\n    x = 2\nprint(x)", "x = 3"),
        ("with open(1) as file:\n    print(file)", "with open(2) as file:\n    print(file)"),
        ("while (step := 1) > 2:\n    print(step)", "step = 2\nprint(step)"),
        ("try:\n    f = 1\nexcept ValueError as error:\n    print(error)", "error = 1"),
        ("class Kind:\n    size = 1", "size = 2", "print(size, Kind)"),
    ],
)
def test_names_that_are_told_apart(sources):
    assert _reused(*sources) == []


@pytest.mark.parametrize(
    ("sources", "name"),
    [
        (("x = 1", "x = x + 1"), "x"),
        (("d = {}", "d |= {1: 2}"), "d"),
        (("x = 1", "print(x)\nx = 2"), "x"),
        (("x = 1", "x = 2", "print([x for _ in range(3)])"), "x"),
        (("x = 1", "x = 2", "print([n for n in x])"), "x"),
        (("x = 1", "x = 2", "def f():\n    return x"), "x"),
        (("x = 1", "x = 2", "def f(y=x): ..."), "x"),
        (("x = 1", "x = 2", "f = lambda: [x]"), "x"),
        (("x = 1", "x = 2", "print(f'{x:.2f}')"), "x"),
        (("n = 1", "for n in range(3):\n    print(n)", "print(n)"), "n"),
        (("x = 1", "with open(1) as x:\n    print(x)", "print(x)"), "x"),
        (("import numpy as np", "import numpy.ma as np", "np.zeros(1)"), "np"),
        (("def f(): ...", "def f(): ...", "f()"), "f"),
        (("a, (b, *c) = 1, (2, 3)", "c = 1", "print(c)"), "c"),
        (("x = 1", "x = 2", "class Kind:\n    size = x"), "x"),
    ],
)
def test_names_that_are_confused(sources, name):
    (complaint,) = _reused(*sources)
    assert f"reads {name!r}" in complaint


def test_what_the_articles_cells_bind_is_quoted():
    lesson = _lesson(
        code("converter = 1"), code("converter = 2", "article:uint8"), code("print(converter)")
    )
    assert hygiene.names_are_not_reused(lesson) == []


# nbval: the stored outputs of checked cells are compared.


def _nbval(path):
    (path.parent / "pytest.ini").write_text("[pytest]\n")  # else the course's own is used
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval-lax"]
    options = ["--nbval-current-env", f"--rootdir={path.parent}", "-c", path.parent / "pytest.ini"]
    done = subprocess.run([*command, *options, str(path)], capture_output=True, text=True)
    return done.returncode, done.stdout


def test_changed_output_of_a_checked_cell_fails(tmp_path):
    path = tmp_path / "lesson.ipynb"
    execute(path, code("x = 6 * 7\nprint(x)"), code("print(x)", CHECKED))
    assert _nbval(path)[0] == 0
    content = notebooks.read(path)
    unchecked, checked = (cell.outputs[0] for cell in content.cells)
    unchecked.text = "43\n"
    nbformat.write(content, path)
    assert _nbval(path)[0] == 0
    checked.text = "43\n"
    nbformat.write(content, path)
    status, report = _nbval(path)
    assert status == 1
    assert "Cell outputs differ" in report
    assert "1 failed, 1 passed" in report


def test_pytest_collects_the_notebooks():
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    own = os.environ | {"PYTEST_ADDOPTS": ""}  # -v would write them otherwise
    done = subprocess.run(
        [*command, "notebooks"], cwd=files.ROOT, capture_output=True, text=True, env=own
    )
    for path in LESSONS:
        assert f"notebooks/{path.name}::Cell 0" in done.stdout
