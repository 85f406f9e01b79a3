"""``tools/refresh.py`` stores outputs, always the same ones, or nothing."""

import subprocess
import sys

import pytest

import refresh
from builders import code, markdown, write
from lessons_lib import files, notebooks
from lessons_lib.errors import InputError

CHECKS = "class checks:\n    check_a = print"
EXERCISE = "answer = ...\nchecks.check_a(answer)"
SOLUTION = "answer = 42\nassert checks.check_a(answer)"
CLOCK = "import time\nprint(time.time_ns())"


@pytest.fixture
def path(tmp_path):
    return write(
        tmp_path / "01_small.ipynb",
        markdown("# 01. Small"),
        code("x = 6 * 7\nx", "nbval-check-output"),
        code("1 / 0", "raises-exception"),
        code(CLOCK, "volatile"),
        code("import json\njson.loads('no')", "raises-exception"),
    )


def test_second_refresh_changes_nothing(path):
    assert refresh.refresh(path) is None
    first, stamp = path.read_bytes(), path.stat().st_mtime_ns
    assert refresh.refresh(path) is None
    assert path.read_bytes() == first
    assert path.stat().st_mtime_ns == stamp


def test_metadata_and_ids_are_fixed(path):
    content = notebooks.read(path)
    content.metadata = {"widgets": {}, "language_info": {"name": "python", "version": "3.9"}}
    content.cells[1].metadata["alt"] = "What the figure shows."
    content.cells[1].metadata["slideshow"] = {"slide_type": "skip"}
    content.cells[2].metadata["slideshow"] = {"slide_type": ""}
    content.cells[1].metadata["execution"] = {"iopub.status.busy": "2026-01-01T00:00:00Z"}
    write(path, *content.cells)
    refresh.refresh(path)
    content = notebooks.read(path)
    assert content.metadata["language_info"] == {"name": "python"}
    assert content.metadata["kernelspec"]["name"] == "python3"
    assert [cell.id for cell in content.cells] == [f"01_small-{n:03d}" for n in range(1, 6)]
    assert [cell.execution_count for cell in notebooks.code_cells(content)] == [1, 2, 3, 4]
    assert "execution" not in content.cells[1].metadata
    assert content.cells[1].metadata["alt"] == "What the figure shows."
    assert content.cells[1].metadata["slideshow"] == {"slide_type": "skip"}
    assert "slideshow" not in content.cells[2].metadata


def test_deeper_sections_alone_are_collapsed(path):
    deeper, other = markdown("## Deeper: in"), markdown("## Out of it")
    other.metadata[refresh.COLLAPSED] = True
    write(path, markdown("# 01. Small"), deeper, code("x = 1"), other, code("# Deeper: x"))
    refresh.refresh(path)
    cells = notebooks.read(path).cells
    collapsed = [cell.metadata.get(refresh.COLLAPSED) for cell in cells]
    assert collapsed == [None, True, None, None, None]
    first = path.read_bytes()
    refresh.refresh(path)
    assert path.read_bytes() == first


def test_a_quizs_code_alone_is_hidden(path):
    other = code("print(1)")
    other.metadata["jupyter"] = {"source_hidden": True}
    write(path, markdown("# 01. Small"), code("widgets.quiz([])"), other)
    content = refresh.canonical(notebooks.read(path), path)
    hidden = [cell.metadata.get("jupyter") for cell in content.cells]
    assert hidden == [None, {"source_hidden": True}, None]


def test_volatile_output_stays_until_its_source_changes(path):
    def output():
        return notebooks.read(path).cells[3].outputs[0].text

    refresh.refresh(path)
    first = output()
    refresh.refresh(path, volatile=True)
    second = output()
    assert second != first
    content = notebooks.read(path)
    content.cells[3].source += "  # changed"
    write(path, *content.cells)
    refresh.refresh(path)
    assert output() not in (first, second)


def test_traceback_keeps_the_lesson_and_loses_the_libraries(path):
    refresh.refresh(path)
    own, foreign = (notebooks.read(path).cells[n].outputs[0] for n in (2, 4))
    assert len(own.traceback) == 3
    assert foreign.ename == "JSONDecodeError"
    assert "JSONDecodeError" in foreign.traceback[-1]
    assert "decoder.py" not in "\n".join(foreign.traceback)


def test_failing_notebook_stays_as_it_was(path):
    content = notebooks.read(path)
    write(path, *content.cells, code("undefined"))
    before = path.read_bytes()
    assert str(refresh.refresh(path)).startswith("code cell 5, `undefined`: NameError")
    assert path.read_bytes() == before


@pytest.fixture
def lesson(path):
    """A lesson with one exercise, and its solutions beside it."""
    solved = path.parent / "solutions" / path.name
    write(solved, markdown("**1.1** Six times seven?\n\nCount."), code(SOLUTION))
    write(path, code(CHECKS), markdown("**1.1** Six times seven?"), code(EXERCISE), code("6 * 7"))
    return path


def test_lesson_gets_its_solutions_once(lesson):
    assert refresh.refresh(lesson) is None
    first = lesson.read_bytes()
    cells = notebooks.read(lesson).cells
    assert [cell.metadata.get("fold") for cell in cells] == [None, None, None, "1.1", None]
    assert [cell.id[-3:] for cell in cells] == ["001", "002", "003", "004", "005"]
    assert "answer = 42" in cells[3].source
    assert refresh.refresh(lesson) is None
    assert lesson.read_bytes() == first


def test_folds_alone_execute_nothing(lesson):
    command = [sys.executable, files.ROOT / "tools" / "refresh.py", "--folder", lesson.parent]
    refresh.refresh(lesson)
    refreshed, solved = lesson.read_bytes(), lesson.parent / "solutions" / lesson.name
    solved.write_text(solved.read_text().replace("Count.", "Count with 1 / 0."))
    done = subprocess.run([*command, "--folds"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"{lesson}: written, not executed\n")
    assert lesson.read_bytes() == refreshed.replace(b"Count.", b"Count with 1 / 0.")


LINE = "*Time: 60 min · runs in about 5 s on an abacus · needs nothing*"


def test_refresh_computes_the_minutes(lesson):
    write(lesson, markdown(f"# 01. Small\n\n{LINE}"), code("x = 1"), markdown("word " * 1800))
    assert refresh.refresh(lesson) is None
    assert str(notebooks.times(notebooks.read(lesson))) == LINE.replace("60", "10").replace(
        "an abacus", notebooks.MACHINE
    )


def test_times_alone_execute_nothing(lesson):
    write(lesson, markdown(f"# 01. Small\n\n{LINE}"), code("1 / 0"), markdown("word " * 1800))
    write(lesson.parent / "solutions" / lesson.name, code("no solution of any form"))
    command = [sys.executable, files.ROOT / "tools" / "refresh.py", "--folder", lesson.parent]
    done = subprocess.run([*command, "--times"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"{lesson}: written, not executed\n")
    content = notebooks.read(lesson)
    assert notebooks.times(content).core == 10
    assert content.cells[1].outputs == []


def test_solution_of_a_wrong_form_says_which(lesson):
    solved = lesson.parent / "solutions" / lesson.name
    write(solved, markdown("**1.1** Six times seven?"), code("checks.check_a(42)"))
    before = lesson.read_bytes()
    with pytest.raises(InputError, match=r"solutions/01_small.ipynb: .*1\.1 has no explanation"):
        refresh.refresh(lesson)
    assert lesson.read_bytes() == before


def test_cpp_messages_are_not_stored(path):
    write(path, code("import os\nos.write(2, b'W0000 from C++');"))
    refresh.refresh(path)
    assert notebooks.read(path).cells[0].outputs == []


def test_pieces_of_a_stream_are_joined(path):
    """Where Jupyter cuts a stream depends on the machine's speed."""
    write(path, code("print('one', flush=True)\nprint('two')"))
    refresh.refresh(path)
    assert [output.text for output in notebooks.read(path).cells[0].outputs] == ["one\ntwo\n"]


def test_command_reports_each_notebook(path):
    write(path.with_name("02_bad.ipynb"), code("undefined"))
    command = [sys.executable, files.ROOT / "tools" / "refresh.py", "--folder", path.parent]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"{path}: refreshed\n" in done.stdout
    assert "02_bad.ipynb: code cell 1, `undefined`: NameError" in done.stdout
    done = subprocess.run([*command, "07"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "Error: no lesson 07; there are: 01, 02\n")
