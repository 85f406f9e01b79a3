"""``tools/folds.py`` writes each exercise's solution behind it, ready to be put in its place."""

import pytest

import folds
from builders import code, markdown, notebook
from lessons_lib.errors import InputError

QUESTION = "**3.1** Six times seven?"
EXERCISE = "answer = ...\nchecks.check_a(answer)"


def lesson(*cells):
    imports = "import numpy as np\nfrom lessons_lib import checks"
    return notebook(code(imports), markdown(QUESTION), code(EXERCISE), *cells)


def solved(source, explanation="Count.", imports="from lessons_lib import checks"):
    return notebook(code(imports), markdown(f"{QUESTION}\n\n{explanation}"), code(source))


def texts(notebook):
    return [cell.source for cell in notebook.cells if folds.is_fold(cell)]


def test_fold_stands_behind_its_exercise():
    written = folds.write(
        lesson(markdown("## Quiz")), solved("answer = 42\nassert checks.check_a(answer)")
    )
    assert written.cells[3].metadata == {"fold": "3.1"}
    assert written.cells[3].source == (
        "<details>\n"
        "<summary>Solution of exercise 3.1</summary>\n"
        "\n"
        "Count.\n"
        "\n"
        "```python\n"
        "answer = 42\n"
        "checks.check_a(answer)\n"
        "```\n"
        "\n"
        "</details>"
    )
    assert written.cells[4].source == "## Quiz"


def test_second_writing_changes_nothing():
    solution = solved("answer = 42\nchecks.check_a(answer)")
    once = folds.write(lesson(), solution)
    first = [cell.source for cell in once.cells]
    assert [cell.source for cell in folds.write(once, solution).cells] == first


def test_new_solution_replaces_the_old_one():
    written = folds.write(lesson(), solved("answer = 41\nchecks.check_a(answer)"))
    (text,) = texts(folds.write(written, solved("answer = 42\nchecks.check_a(answer)")))
    assert "42" in text
    assert "41" not in text


def test_fold_of_a_lost_exercise_goes():
    written = folds.write(lesson(), solved("checks.check_a(42)"))
    del written.cells[2]
    assert texts(folds.write(written, solved("checks.check_a(42)"))) == []


def test_lesson_keeps_its_cells_and_outputs():
    content = lesson(code("6 * 7"))
    content.cells[3].execution_count = 3
    cells = list(content.cells)
    written = folds.write(content, solved("checks.check_a(42)"))
    assert [cell for cell in written.cells if not folds.is_fold(cell)] == cells


def test_all_cells_up_to_the_next_exercise_are_the_solution():
    content = solved("checks.check_a(42)")
    content.cells += [
        markdown("Measured:"),
        code("print(42)"),
        markdown("**Exercise 3.2.** Half of it?\n\nHalve."),
        code("checks.check_b(21)"),
    ]
    first, second = texts(folds.write(lesson(code("checks.check_b(...)")), content))
    inside = "checks.check_a(42)\n```\n\nMeasured:\n\n```python\nprint(42)\n```\n\n</details>"
    assert first.endswith(inside)
    assert "exercise 3.2" in second
    assert "Half of it?" not in second
    assert "Halve." in second


def test_explanation_may_have_many_paragraphs():
    (text,) = texts(folds.write(lesson(), solved("checks.check_a(42)", "Count.\n\n- one\n\n$x$")))
    assert "</summary>\n\nCount.\n\n- one\n\n$x$\n\n```python\n" in text


@pytest.mark.parametrize(
    ("source", "imports", "needed"),
    [
        ("np.sqrt(2)", "import numpy as np", ""),
        ("math.sqrt(2)", "import math", "import math"),
        ("pd.Series()", "import pandas as pd", "import pandas as pd"),
        ("os.path.sep", "import os.path", "import os.path"),
        ("comb(4, 2)", "from math import comb, prod", "from math import comb"),
        ("f(m.pi)", "from math import floor as f\nimport math as m",
         "import math as m\nfrom math import floor as f"),
        ("tf.zeros(2)", "with quiet():\n    import tensorflow as tf", "import tensorflow as tf"),
        ("import math\nmath.pi", "import math", ""),
        ("[pi for pi in (3, 4)]", "from math import pi", ""),
        ("def f(pi):\n    return pi", "from math import pi", ""),
        ("def f():\n    return pi", "from math import pi", "from math import pi"),
        ("try:\n    pass\nexcept ValueError as e:\n    e.args", "from math import e", ""),
    ],
)  # fmt: skip
def test_fold_imports_what_the_lesson_does_not(source, imports, needed):
    source += "\nchecks.check_a(1)"
    (text,) = texts(folds.write(lesson(), solved(source, imports=imports)))
    code = text.partition("```python\n")[2].partition("\n```")[0]
    assert code == (f"{needed}\n\n{source}" if needed else source)


def test_name_inside_a_function_of_the_lesson_is_not_the_lessons():
    content = lesson()
    content.cells[0].source += "\ndef f(pi):\n    e = pi\n    return [tau for tau in (e, pi)]"
    solution = solved("checks.check_a([e, pi, tau, f(1)])", imports="from math import e, pi, tau")
    (text,) = texts(folds.write(content, solution))
    for name in ("e", "pi", "tau"):
        assert f"from math import {name}\n" in text


def test_name_that_the_lesson_defines_later_does_not_count():
    with pytest.raises(InputError, match=r"exercise 3.1 uses later, which neither it nor"):
        folds.write(lesson(code("later = 1")), solved("checks.check_a(later)"))


def test_name_that_only_the_exercise_itself_defines_does_not_count():
    """The solution stands in the place of the exercise, which is then not run."""
    exercise = code(f"given = 6\n{EXERCISE}")
    page = notebook(code("from lessons_lib import checks"), markdown(QUESTION), exercise)
    with pytest.raises(InputError, match=r"exercise 3.1 uses given, which neither it nor"):
        folds.write(page, solved("answer = given * 7\nassert checks.check_a(answer)"))


def test_wrong_syntax_is_left_to_the_kernel():
    (text,) = texts(folds.write(lesson(code("1 +")), solved("checks.check_a(1) +")))
    assert "checks.check_a(1) +" in text


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([markdown(QUESTION), code("checks.check_a(1)")], "exercise 3.1 has no explanation"),
        ([markdown(f"{QUESTION}\n\nCount."), code("42")], "exercise 3.1 calls no check, not one"),
        ([markdown(f"{QUESTION}\n\nCount."), code("checks.check_a(1)\nchecks.check_b(2)")],
         "exercise 3.1 calls check_a, check_b, not one"),
        ([code("checks.check_a(1)")], "call check_a before any Markdown cell"),
    ],
)  # fmt: skip
def test_solutions_of_another_form_say_what_is_missing(cells, message):
    with pytest.raises(InputError, match=message):
        folds.write(lesson(), notebook(*cells))
