"""The load test is one: its students do all that is said, and notice what goes wrong."""

import asyncio

import pytest
from class_server import needs_server

import class_load
import load
from builders import code, markdown, notebook


@needs_server
def test_a_small_class(tmp_path):
    took = load.measure(2, tmp_path / "class")
    assert took.failures == ()
    assert took.collected == 2
    released = class_load.core(load.notebooks.read(next(tmp_path.glob("class/release/*/*"))))
    assert len(took.cells) == 2 * len(released) > 40
    assert list(took.steps) == ["sign up", "log in", "server", "open", "run", "hand in"]
    assert {"imported once", "ipykernel_launcher", "jupyterhub.singleuser"} <= set(took.parts)
    # Two alone carry all that thirty share; a kernel that imported by itself has 400 MB.
    assert took.parts["ipykernel_launcher"] < 2 * 400e6
    assert "2 students, 0 failures, 2 collected" in load.told(took)


def test_who_finds_no_hub_has_trouble_and_the_others_go_on():
    student = class_load.Student("http://127.0.0.1:9", "ada", "password of ada")
    task = class_load.Task("assignments/lesson00/a.ipynb", {}, "code")
    diary = asyncio.run(student.take(task, 0.0))
    assert diary.trouble.startswith("sign up: ConnectError")
    assert diary.steps == {}


def test_the_core_ends_where_it_gets_deeper():
    made = notebook(code("a"), markdown("## Deeper: b"), code("c"))
    assert [cell.source for cell in class_load.core(made)] == ["a"]


def said(kind, **content):
    return class_load.v4.new_output(kind, **content)


ERROR = said("error", ename="NameError", evalue="no x", traceback=[])
RIGHT = said("stream", text="Exercise 0.1: correct. Yes.")
WRONG = said("stream", text="Exercise 0.1: not yet. Hint: no.")


@pytest.mark.parametrize(
    ("outputs", "tags", "answered", "trouble"),
    [
        ([], [], False, None),
        ([ERROR], ["raises-exception"], False, None),
        ([RIGHT], [], True, None),
        ([ERROR], [], False, "NameError: no x"),
        ([], ["raises-exception"], False, "was to fail and did not"),
        ([WRONG], [], True, "its check refuses the solution"),
    ],
)
def test_students_look_at_what_a_cell_said(outputs, tags, answered, trouble):
    cell = class_load.v4.new_code_cell("x", outputs=outputs, metadata={"tags": tags})
    if trouble is None:
        class_load.look_at(cell, answered)
    else:
        with pytest.raises(class_load.Trouble, match=trouble):
            class_load.look_at(cell, answered)


def test_every_exercise_of_the_core_has_its_answer():
    solved = class_load.answers(0)
    ids = {cell.id for cell in class_load.core(class_load._assignments.teachers(0))}
    assert len(ids & set(solved)) == 4
    assert not any("= ..." in source for source in solved.values())
