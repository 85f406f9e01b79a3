"""A small course from its first command to its grades, with submissions of every kind."""

import codecs
import csv
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import psutil
import pytest
from small_course import ANSWERS, answered, blank

from lessons_lib import classroom, files, notebooks
from lessons_lib.course.classroom import _confined
from lessons_lib.errors import InputError
from lessons_lib.system.limits import Limits

BOUNDS = Limits(seconds=60, memory=2**30, processes=16, written=2**30, file=2**26)


def answered_nothing(course):
    """The blanks, and a note that there was no time."""
    made = blank(course)
    made.cells.append(nbformat.v4.new_markdown_cell("I had no time."))
    return made


def named_by_a_list(course):
    made = answered(course, "range", "quantize")
    made.nbformat_minor = 4
    made.cells[0]["id"] = []
    return made


def damaged(course):
    """Both answers right; one retyped and copied, a test deleted, and the order turned round."""
    made = answered(course, "range", "quantize")
    cells = [cell for cell in made.cells if cell.id != "00_small-002-points"]
    twin = nbformat.from_dict(cells[2])
    twin.id = "twin"
    (other,) = [cell for cell in cells if cell.id == "00_small-004"]
    other.cell_type = "markdown"
    made.cells = [*cells[::-1], twin]
    return made


CASES = {  # points of 2, and a part of what the teacher is told
    "right": (2, ""),
    "Jörg Ölund": (2, ""),
    "spy": (1 if _confined.why_not() else 2, ""),
    "half": (1, ""),
    "empty": (0, ""),
    "wrong": (0, ""),
    "damaged": (2, ""),
    "loud": (1, ""),
    "cheat": (1, ""),
    "above": (1, ""),
    "hangs": (0, "it took more than 60 seconds"),
    "forks": (0, "it started more than 16 processes"),
    "eats": (0, "GiB of memory"),
    "dies": (0, "Kernel died"),
    "fills": (1, ""),
    "shouts": (1, ""),
    "digs": (2, ""),
    "id": (2, ""),
    "half_a_character": (0, "the file is not a notebook ('utf-8' codec can't encode"),
    "no_notebook": (0, "the file is not a notebook"),
    "list": (0, "the file is not a notebook"),
}


DIG = "import os\nfor _ in range(1500): os.mkdir('d'); os.chdir('d')\n"  # a folder in a folder


def submissions(course, spy):
    stop = "checks.points = lambda *a: {}\nfrom lessons_lib.course import checks as c\n"
    return {
        "right": answered(course, "range", "quantize"),
        "Jörg Ölund": answered(course, "range", "quantize"),
        "spy": answered(course, "range", quantize=spy + ANSWERS["quantize"]),
        "half": answered(course, "range"),
        "empty": answered_nothing(course),
        "wrong": answered(course, range="def my_range(low, high): return 1.0, 0"),
        "damaged": damaged(course),
        "loud": answered(course, "range", quantize="while True: print('x' * 1000)"),
        "cheat": answered(course, "range", quantize=stop.format("'full points'")),
        "above": answered(course, "range", quantize=stop.format("-5")),
        "hangs": answered(course, "range", quantize="import time\ntime.sleep(600)"),
        "forks": answered(
            course,
            "range",
            quantize="import subprocess\n"
            "held = [subprocess.Popen(['sleep', '99']) for _ in range(30)]\n"
            "import time; time.sleep(60)",
        ),
        "eats": answered(
            course, "range", quantize="held = []\nwhile True: held.append(b'1' * 2**25)"
        ),
        "dies": answered(course, "range", quantize="import os\nos._exit(9)"),
        "digs": answered(course, "range", quantize=DIG + ANSWERS["quantize"]),
        "id": named_by_a_list(course),
        "half_a_character": answered(course, "range", quantize="'\ud83d'"),
        "fills": answered(course, "range", quantize="open('large', 'wb').write(bytes(2**27))"),
        # Not through Python: what the process itself prints goes by the kernel's limit.
        "shouts": answered(
            course, "range", quantize="import os\nfor _ in range(100): os.write(2, b'x' * 2**20)"
        ),
    }


@pytest.fixture(scope="module")
def graded(course, spy):
    os.environ["A_SECRET"] = "of the teacher"
    given = course / "given"
    for name, made in submissions(course, spy).items():
        (given / name).mkdir(parents=True)
        # What a browser calls a second download; nbformat would refuse to write what is damaged.
        (given / name / "00_small (1).ipynb").write_text(json.dumps(made))
    for name, text in (("no_notebook", "%PDF"), ("list", "[1, 2]")):
        (given / name).mkdir()
        (given / name / "00_small.ipynb").write_text(text)
    for name in ("none", "[all]", "deep", "untouched"):
        (given / name).mkdir()
    subprocess.run([sys.executable, "-c", DIG], cwd=given / "deep", check=True)
    nbformat.write(blank(course), given / "untouched" / "00_small.ipynb")
    handed = {one.student: one for one in classroom.collect(course, 0, given)}
    missing = {name: one.why for name, one in handed.items() if one.path is None}
    files.remove_tree(given / "deep")
    assert sorted(missing) == ["[all]", "deep", "none", "untouched"]
    assert missing["none"] == missing["deep"] == "has no 00_small.ipynb"
    assert missing["untouched"] == "00_small.ipynb is untouched, as it was released"
    assert "rename it" in missing["[all]"]
    done = {one.student: one for one in classroom.grade(course, 0, BOUNDS)}
    del os.environ["A_SECRET"]
    return done


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda root: classroom.export(root / "given"), "holds no course: begin with"),
        (lambda root: classroom.release(root, "x"), "no lesson|not a lesson"),
        (lambda root: classroom.release(root, 99), "no lesson"),
        (lambda root: classroom.collect(root, 0, root / "nowhere"), "is no folder; expected"),
        (lambda root: classroom.collect(root, 0, root / "given" / "half"), "has no folders"),
        (lambda root: list(classroom.grade(root, 0, students=["../a"])), "handed in by ../a"),
    ],
)
def test_bad_input_is_a_clear_error(course, graded, ask, said):
    before = sorted(course.rglob("*"))
    with pytest.raises(InputError, match=said):
        ask(course)
    assert sorted(course.rglob("*")) == before


COME_AND_GO = """
from pathlib import Path
while True:
    Path("00_small.ipynb").write_text("{}")
    Path("00_small.ipynb").unlink()
"""


def test_a_notebook_that_goes_while_it_is_collected_stops_nothing(course, tmp_path):
    (tmp_path / "goes").mkdir()
    other = subprocess.Popen([sys.executable, "-c", COME_AND_GO], cwd=tmp_path / "goes")
    try:
        whys = {classroom.collect(course, 0, tmp_path)[0].why for _ in range(500)}
    finally:
        other.kill()
        other.wait()
        shutil.rmtree(course / "handed_in" / "goes", ignore_errors=True)
    cannot = "the notebook cannot be read (No such file or directory)"
    assert whys <= {"", "has no 00_small.ipynb", cannot}


def test_a_temporary_folder_without_room_for_sockets_is_refused(course, temporary, monkeypatch):
    (course / "handed_in" / "one" / "lesson00").mkdir(parents=True)
    (course / "handed_in" / "one" / "lesson00" / "00_small.ipynb").write_text("{}")
    monkeypatch.setattr(tempfile, "tempdir", temporary + "x")
    with pytest.raises(InputError, match=r"has a name of 50 characters; .* set TMPDIR to another"):
        list(classroom.grade(course, 0, BOUNDS))
    shutil.rmtree(course / "handed_in" / "one")


SPY = """import os, socket
from pathlib import Path
seen = [place for place in {places} if os.access(place, os.R_OK)]
others = [name for name in os.environ if "SECRET" in name]
running = [p for p in os.listdir("/proc") if p.isdigit()]
try:
    socket.create_connection(("127.0.0.1", {port}), 5)
    seen.append("network")
except OSError:
    pass
try:
    Path({library}, "planted.py").write_text("")
    seen.append("writes")
except OSError:
    pass
assert not seen + others and len(running) < 9, (seen, others, running)
"""


@pytest.fixture(scope="module")
def spy(course):
    """A right answer that fails where it sees what it should not."""
    library = Path(notebooks.__file__).parents[1]
    here = [course / "gradebook.db", course / "handed_in", course / "given"]
    here += [path for path in Path.home().iterdir() if path.is_file()]
    places = [str(place) for place in (*here, library.parent / "notebooks")]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        yield SPY.format(places=places, port=port, library=repr(str(library)))


@pytest.mark.parametrize("name", CASES)
def test_each_kind_of_submission_gets_its_points(graded, name):
    points, said = CASES[name]
    one = graded[name]
    assert (one.points, one.worth) == (points, 2)
    assert said in "; ".join(one.to_look_at)
    assert bool(said) == bool(one.to_look_at)


def test_none_is_lost(graded):
    assert set(graded) == set(CASES)


@pytest.mark.skipif(bool(_confined.why_not()), reason=_confined.why_not())
def test_learners_code_sees_nothing_of_the_class(graded):
    assert (graded["spy"].points, graded["spy"].to_look_at) == (2, [])


def test_what_was_damaged_is_said(graded):
    said = "\n".join(str(mend) for mend in graded["damaged"].mends)
    for text in (
        "Points of exercise 3.1: was put back",
        "Exercise 3.2: was a markdown cell, is code",
        "elsewhere",
    ):
        assert text in said


def test_the_learners_notebook_has_blanks_and_no_solutions(course):
    text = json.dumps(blank(course))
    assert "np.round(x" not in text
    assert "(high - low)" not in text
    assert text.count("checks.points(") == 2


def test_the_table_has_every_submission(course, graded):
    rows = {row["student"]: row for row in csv.DictReader(classroom.export(course).splitlines())}
    assert set(rows) == set(CASES)
    assert (rows["half"]["points"], rows["half"]["percent"]) == ("1", "50")
    assert "60 seconds" in rows["hangs"]["to_look_at"]


def test_what_is_graded_is_not_graded_again(course, graded):
    start = time.monotonic()
    assert {one.student: one for one in classroom.grade(course, 0, BOUNDS)} == graded
    assert time.monotonic() - start < 3


def test_a_submission_that_cannot_be_graded_stops_no_other(course, graded):
    handed, in_the_way = course / "handed_in" / "blocked", course / "submitted" / "blocked"
    shutil.copytree(course / "handed_in" / "right", handed)
    in_the_way.write_text("a file where a folder is needed")
    done = {one.student: one for one in classroom.grade(course, 0, BOUNDS)}
    shutil.rmtree(handed)
    in_the_way.unlink()
    blocked = done.pop("blocked")
    assert not blocked.graded
    assert "A file stands where a folder is needed" in blocked.stopped
    assert done == graded


GRADE = """
import sys
from pathlib import Path
from lessons_lib import classroom, notebooks
notebooks.FOLDER = Path(sys.argv[1]) / "lessons"
for one in classroom.grade(Path(sys.argv[1]), 0, students=sys.argv[2:], jobs=2):
    print(one.student, flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="kills as POSIX does")
def test_a_grading_that_is_killed_goes_on(course, graded):
    """While two of five are under way and one, or two, are done."""
    names = ("damaged", "empty", "half", "right", "wrong")
    records = {name: course / "graded" / "lesson00" / f"{name}.json" for name in names}
    for path in records.values():
        path.unlink()
    command = [sys.executable, "-c", GRADE, str(course), *names]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        first = process.stdout.readline().strip()
        for _ in range(300):
            family = psutil.Process(process.pid).children(recursive=True)
            if len(family) > 2:  # those that grade, and a kernel
                break
            time.sleep(0.1)
        os.kill(process.pid, signal.SIGKILL)
    assert len(family) > 2
    assert psutil.wait_procs(family, timeout=10)[1] == []
    kept = {name: path.stat().st_mtime_ns for name, path in records.items() if path.exists()}
    assert first in kept
    assert len(kept) < len(names)
    again = {one.student: one.points for one in classroom.grade(course, 0, BOUNDS)}
    assert again == {name: points for name, (points, _) in CASES.items()}
    assert kept == {name: records[name].stat().st_mtime_ns for name in kept}


def test_nbgraders_own_command_grades_in_the_same_folder(course, graded):
    made = course / "autograded" / "half" / "lesson00" / "00_small.ipynb"
    before = made.stat().st_mtime_ns
    own = [sys.executable, "-m", "nbgrader", "autograde", "lesson00", "--student=half", "--force"]
    done = subprocess.run(own, cwd=course, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert made.stat().st_mtime_ns > before
    assert classroom._points(course, 0, "half") == (1, 2)


def test_a_spreadsheet_shows_names_and_runs_nothing(course, graded, tmp_path):
    table = tmp_path / "grades.csv"
    command = [sys.executable, "-m", "lessons_lib.cli", "class", "export", str(table)]
    subprocess.run([*command, "--course", str(course)], check=True)
    text = table.read_bytes().decode("utf-8-sig")
    assert table.read_bytes()[:3] == codecs.BOM_UTF8
    rows = list(csv.reader(text.splitlines()))
    assert any("Jörg Ölund" in row for row in rows)
    assert not [cell for row in rows for cell in row if cell[:1] in tuple("=+-@\t\r")]
    for formula in ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1"):
        assert classroom._plain(formula) == f"'{formula}"


def test_feedback_is_a_page_for_each(course, graded):
    pages = classroom.feedback(course, 0)
    assert {page.parent.parent.name for page in pages} == set(CASES)
    right = (course / "feedback" / "right" / "lesson00" / "00_small.html").read_text("utf-8")
    assert "Exercise 3.1: correct" in right
    assert ">Points of exercise 3.2</a> (Score: 1.0 / 1.0)" in right
    for page in pages:  # and fetches nothing
        text = page.read_text("utf-8")
        assert not re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=.?https?:", text)
