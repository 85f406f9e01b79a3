"""A class's assignments: made from the lessons, and collected and graded through nbgrader.

A course stands in one folder. ``handed_in/`` holds what learners gave, as they gave it; nbgrader's
own folders stand beside it: ``source``, ``release``, ``submitted`` (put back into shape, see
``restoring``), ``autograded``, ``feedback`` and ``gradebook.db``. ``graded/`` has a record for each
submission, by which a grading that was killed goes on where it stopped. nbgrader's own command
works in that folder as well.

Learners' code runs as who calls this, and can read what they can read: see ``limits``.
"""

import contextlib
import csv
import dataclasses
import datetime
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from lessons_lib.course import notebooks, restoring
from lessons_lib.course.classroom import _assignments
from lessons_lib.errors import InputError, LessonError, first_line
from lessons_lib.system import files, limits, sandbox

_CONFIG, _GRADEBOOK = "nbgrader_config.py", "gradebook.db"
_CONFIG_TEXT = """# nbgrader reads this; `lessons class` sets the same. Add your own at the end.
from lessons_lib.course.classroom import configure

c = get_config()
configure(c)
c.CourseDirectory.course_id = {name!r}
"""
_LARGEST = 64 * 2**20  # bytes of a notebook that is read; a lesson has less than one MiB
_ERROR = re.compile(r"\s*[\w.]+(?:Error|Exception)\b")
_STUDENT = re.compile(r"\w[\w.@-]*")
_START = """import sys
sys.path.insert(0, sys.argv[1])
import lessons_lib
del sys.path[0]
from lessons_lib.course.classroom import _grader
_grader.main(*sys.argv[2:])"""
_OWN_FOLDER = str(Path(__file__).resolve().parents[3])


class GradingFailed(LessonError, RuntimeError):
    """nbgrader could not do what it was asked to."""


@dataclass(frozen=True)
class Handed:
    """What was found of one learner: the notebook's ``path``, or None and ``why`` not."""

    student: str
    path: Path | None
    why: str = ""


@dataclass(frozen=True)
class Grade:
    """What came of one submission. ``stopped`` says why it was ended, "" where it ran to its end.

    ``sha256`` is of what was handed in and what was released; ``seconds`` and ``memory`` (bytes)
    are what grading it took.
    """

    student: str
    sha256: str
    points: float
    worth: float
    stopped: str
    mends: tuple[restoring.Mend, ...]
    seconds: float
    memory: int

    @property
    def to_look_at(self) -> list[str]:
        """What a teacher should look at."""
        unsettled = [str(mend) for mend in self.mends if not mend.settled]
        return [f"grading was stopped: {self.stopped}"] * bool(self.stopped) + unsettled


def configure(config: object) -> None:
    """Set in nbgrader's configuration what assignments of lessons need."""
    from lessons_lib.course.classroom import _nbgrader

    _nbgrader.configure(config)


def init(root: Path) -> Path:
    """Make the folder of a course; one that is there keeps what it has. Return its configuration.

    Raises StorageError when the folder cannot be written.
    """
    config = root / _CONFIG
    if not config.exists():
        files.write_atomic(config, _CONFIG_TEXT.format(name=root.resolve().name))
    if not (root / _GRADEBOOK).exists():
        _make_gradebook(root)
    return config


def release(root: Path, number: int | str) -> Path:
    """Make the assignment of a lesson, and return the learners' notebook.

    A source that is there is kept, with what a teacher changed in it.
    Raises InputError for a folder without a course or an unknown lesson, GradingFailed when
    nbgrader refuses, as it does to add or remove cells once there are submissions.
    """
    source = _notebook(root, "source", ".", number)
    if not source.exists():
        files.write_atomic(source, nbformat.writes(_assignments.teachers(number)))
    _succeed(_api(root).generate_assignment(_assignments.name(number)))
    return _notebook(root, "release", ".", number)


def collect(root: Path, number: int | str, given: Path) -> list[Handed]:
    """Take the notebooks of one lesson from ``given``, which has a folder for each learner.

    A learner's folder is searched with its own folders; of several copies, such as a browser's
    ``00_run_article (1).ipynb``, the newest counts. What was handed in before is replaced.
    Raises InputError when the assignment was not released, or ``given`` is no folder.
    """
    _released(root, number)
    if not given.is_dir():
        raise InputError(f"{files.display_path(given)} is no folder; expected one with a folder "
                         "for each learner")  # fmt: skip
    folders = sorted(path for path in given.iterdir() if path.is_dir() and path.name[0] != ".")
    return [_handed(root, number, folder) for folder in folders]


def _handed(root: Path, number: int | str, folder: Path) -> Handed:
    if not _STUDENT.fullmatch(folder.name):
        return Handed(folder.name, None, "a name may have letters, digits and _ . @ - only")
    stem = re.escape(_file(number).removesuffix(".ipynb"))
    wanted = re.compile(rf"(.*[_ -])?{stem}( ?\(\d+\)|-Copy\d+)?\.ipynb")
    found = [
        path
        for path in folder.rglob("*.ipynb")
        if wanted.fullmatch(path.name) and path.is_file() and not path.is_symlink()
        and ".ipynb_checkpoints" not in path.parts
    ]  # fmt: skip
    if not found:
        return Handed(folder.name, None, f"has no {_file(number)}")
    newest = max(found, key=lambda path: (path.stat().st_mtime, path.name))
    if newest.stat().st_size > _LARGEST:
        return Handed(folder.name, None, f"{newest.name} has more than {_LARGEST >> 20} MiB")
    target = _notebook(root, "handed_in", folder.name, number)
    files.write_atomic(target, newest.read_bytes())
    shutil.copystat(newest, target)
    return Handed(folder.name, target)


def grade(
    root: Path,
    number: int | str,
    bounds: limits.Limits | None = None,
    students: Iterable[str] = (),
) -> Iterator[Grade]:
    """Grade what was handed in, one submission after the other, and yield what came of each.

    A submission that was graded before and has not changed is not graded again. Each runs under
    ``bounds``; one that crosses them gets no points, and the next one goes on.
    Where nbgrader fails for another reason than the submission, it is tried again at the next call.
    Raises InputError when the assignment was not released, or a student handed nothing in.
    """
    released = _released(root, number)
    given = {path.parent.parent.name: path for path in _all_handed_in(root, number)}
    if unknown := sorted(set(students) - set(given)):
        raise InputError(f"nothing was handed in by {', '.join(unknown)}")
    for student in sorted(set(students) or given):
        done, sha256 = _record(root, number, student), _sha256(root, number, student)
        if done is None or done.sha256 != sha256:
            try:
                done = _grade(root, number, student, released, bounds or limits.Limits())
                files.write_atomic(_record_path(root, number, student), _as_json(done))
            except GradingFailed as error:  # without a record: it is tried again
                done = Grade(student, sha256, 0.0, 0.0, str(error), (), 0.0, 0)
        yield done


def _sha256(root: Path, number: int | str, student: str) -> str:
    parts = ("handed_in", student), ("release", ".")
    return files.sha256(b"".join(_notebook(root, *part, number).read_bytes() for part in parts))


def _grade(
    root: Path, number: int | str, student: str, released: NotebookNode, bounds: limits.Limits
) -> Grade:
    handed = _notebook(root, "handed_in", student, number)
    sha256 = _sha256(root, number, student)
    try:
        notebook, mends = restoring.restored(_read(handed), released)
        stopped = ""
    except InputError as error:
        notebook, mends, stopped = released, [], str(error)
    target = _notebook(root, "submitted", student, number)
    files.write_atomic(target, nbformat.writes(notebook))
    when = datetime.datetime.fromtimestamp(handed.stat().st_mtime, datetime.UTC)
    files.write_atomic(target.with_name("timestamp.txt"), f"{when:%Y-%m-%d %H:%M:%S.%f} UTC")
    ended = _autograde(root, number, student, bounds, stopped)
    if not stopped and (ended.why or ended.code):
        stopped = ended.why or _how(ended.code, _log(root, number, student))
        again = _autograde(root, number, student, bounds, stopped)
        ended = dataclasses.replace(ended, code=again.code)
    if ended.code:
        log = files.display_path(_log(root, number, student, "stopped.log"))
        raise GradingFailed(f"nbgrader failed on the submission of {student}: see {log}")
    points, worth = _points(root, number, student)
    return Grade(
        student, sha256, points, worth, stopped, tuple(mends), round(ended.seconds, 1), ended.memory
    )


def _autograde(
    root: Path, number: int | str, student: str, bounds: limits.Limits, stopped: str
) -> limits.Ended:
    """Let nbgrader grade one submission, in a process and with folders of its own."""
    arguments = [str(root.resolve()), _assignments.name(number), student, stopped]
    own = [str(os.getpid()), json.dumps(dataclasses.asdict(bounds))]
    with sandbox.temporary_folder() as scratch:
        environment = {"TMPDIR": scratch, "LESSONS_ARTIFACTS": str(Path(scratch, "artifacts"))}
        environment |= {"IPYTHONDIR": scratch, "JUPYTER_RUNTIME_DIR": str(Path(scratch, "runtime"))}
        command = [sys.executable, "-P", "-c", _START, _OWN_FOLDER, *arguments, *own]
        log = _log(root, number, student, "stopped.log" if stopped else "log")
        log.parent.mkdir(parents=True, exist_ok=True)
        return limits.run(command, bounds, log, environment)


def _how(code: int, log: Path) -> str:
    """Why a grading ended by itself, as far as its log says it."""
    if code < 0:
        return f"it was ended by signal {sandbox.signal_name(-code)}"
    with contextlib.suppress(OSError), log.open(encoding="utf-8", errors="replace") as lines:
        found = [line.strip() for line in lines if _ERROR.match(line)]
        said = [line for line in found if "NbGraderException" not in line]
        if said:
            return f"nbgrader gave up on it: {said[-1][:200]}"
    return "nbgrader gave up on it"


def _read(path: Path) -> NotebookNode:
    """A notebook that anyone may have written; raises InputError where it is none."""
    try:
        notebook = nbformat.read(path, as_version=4)
        if not all(isinstance(cell, dict) for cell in notebook["cells"]):
            raise ValueError("its cells are no cells")
    except Exception as error:  # of any kind: nbformat trusts the file's structure
        raise InputError(f"the file is not a notebook ({first_line(error)[:200]})") from error
    return notebook


def feedback(root: Path, number: int | str) -> list[Path]:
    """Write a page for each graded submission, and return the pages.

    Raises GradingFailed when nbgrader cannot.
    """
    name = _assignments.name(number)
    _released(root, number)
    _succeed(_api(root).generate_feedback(name))
    return sorted((root / "feedback").glob(f"*/{name}/*.html"))


def export(root: Path) -> str:
    """Return the gradebook as CSV: a row for each submission, a column for each kind of fact.

    ``stopped`` and ``to_look_at`` hold what a teacher should see before returning the grade.
    """
    text = io.StringIO()
    columns = ("assignment", "student", "timestamp", "points", "worth", "percent", "to_look_at")
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    with _gradebook(root) as book:
        for assignment in sorted(book.assignments, key=lambda one: one.name):
            for one in sorted(assignment.submissions, key=lambda one: one.student.id):
                done = _record(root, assignment.name.removeprefix("lesson"), one.student.id)
                share = one.score / one.max_score if one.max_score else 0.0
                table.writerow({
                    "assignment": assignment.name, "student": one.student.id,
                    "timestamp": one.timestamp or "", "points": f"{one.score:g}",
                    "worth": f"{one.max_score:g}", "percent": f"{100 * share:.0f}",
                    "to_look_at": "; ".join(done.to_look_at) if done else "not finished",
                })  # fmt: skip
    return text.getvalue()


# ---- where things are


def _file(number: int | str) -> str:
    return notebooks.find([number])[0].name


def _notebook(root: Path, step: str, student: str, number: int | str) -> Path:
    if not (root / _CONFIG).is_file():
        raise InputError(
            f"{files.display_path(root)} holds no course: begin with `lessons class init DIR`"
        )
    return root / step / student / _assignments.name(number) / _file(number)


def _released(root: Path, number: int | str) -> NotebookNode:
    path = _notebook(root, "release", ".", number)
    if not path.is_file():
        raise InputError(
            f"lesson {int(number)} was not released: `lessons class release {int(number)}` does it"
        )
    return notebooks.read(path)


def _all_handed_in(root: Path, number: int | str) -> list[Path]:
    return sorted((root / "handed_in").glob(f"*/{_assignments.name(number)}/{_file(number)}"))


def _log(root: Path, number: int | str, student: str, kind: str = "log") -> Path:
    return root / "graded" / _assignments.name(number) / f"{student}.{kind}"


def _record_path(root: Path, number: int | str, student: str) -> Path:
    return _log(root, number, student, "json")


def _record(root: Path, number: int | str, student: str) -> Grade | None:
    """What is known of a submission; None where it was not graded, or the record is damaged."""
    try:
        known = json.loads(_record_path(root, number, student).read_text("utf-8"))
        mends = tuple(restoring.Mend(**mend) for mend in known.pop("mends"))
        return Grade(mends=mends, **known)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _as_json(done: Grade) -> str:
    return json.dumps(dataclasses.asdict(done), indent=1, ensure_ascii=False) + "\n"


# ---- nbgrader


def _api(root: Path):
    from lessons_lib.course.classroom import _nbgrader

    return _nbgrader.api(root.resolve())


def _make_gradebook(root: Path) -> None:
    """Make it under another name first: nbgrader leaves half of one where it is interrupted.

    For the version of its tables nbgrader calls ``alembic``, a command of this environment.
    """
    half, path = root / f"{_GRADEBOOK}.new", os.environ.get("PATH", "")
    half.unlink(missing_ok=True)
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), path])
    try:
        with _gradebook(root, half.name):
            pass
    finally:
        os.environ["PATH"] = path
    os.replace(half, root / _GRADEBOOK)


@contextlib.contextmanager
def _gradebook(root: Path, name: str = _GRADEBOOK) -> Iterator:
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{root.resolve() / name}", root.resolve().name) as book:
        yield book


def _points(root: Path, number: int | str, student: str) -> tuple[float, float]:
    with _gradebook(root) as book:
        found = book.find_submission(_assignments.name(number), student)
        return found.score, found.max_score


def _succeed(result: dict) -> None:
    if not result["success"]:
        said = (result.get("error") or result.get("log") or "").strip().splitlines()
        raise GradingFailed(f"nbgrader: {said[-1] if said else 'failed and says nothing'}")
