"""A class's assignments: made from the lessons, and collected and graded through nbgrader.

A course stands in one folder. ``handed_in/`` holds what learners gave, as they gave it; nbgrader's
own folders stand beside it: ``source``, ``release``, ``submitted`` (put back into shape, see
``restoring``), ``autograded``, ``feedback`` and ``gradebook.db``. ``graded/`` has a record for each
submission, by which a grading that was killed goes on where it stopped. nbgrader's own command
works in that folder as well.

Learners' code is held to ``limits``, and sees what ``_confined`` says.
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
import tempfile
import threading
import unicodedata
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import nbformat
import psutil
from nbformat import NotebookNode

from lessons_lib.course import notebooks, restoring
from lessons_lib.course.classroom import _assignments, _collecting, _grader
from lessons_lib.course.classroom._collecting import Handed
from lessons_lib.errors import InputError, LessonError
from lessons_lib.system import files, limits, sandbox

_CONFIG, _GRADEBOOK = "nbgrader_config.py", "gradebook.db"
_CONFIG_TEXT = """# Both nbgrader and `lessons class` read this. Add your own at the end.
from lessons_lib.course.classroom import configure

c = get_config()
configure(c)
c.CourseDirectory.course_id = {name!r}
"""
# Characters of a temporary folder: below it stand two more and a kernel's socket, of which macOS
# takes 103 (sun_path in sys/un.h), Linux 107.
LONGEST_TEMPORARY = 103 - 2 * len("/lessons-4194304-abcdefgh") - len("/k-1")
_ERROR = re.compile(r"\s*[\w.]+(?:Error|Exception)\b")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet runs instead of showing it
_START = """import sys
sys.path.insert(0, sys.argv[1])
import lessons_lib
del sys.path[0]
from lessons_lib.course.classroom import _grader
_grader.main(*sys.argv[2:])"""
_MEMORY = 2 * 2**30  # bytes that a submission of a lesson with TensorFlow takes
_OWN_FOLDER = str(Path(__file__).resolve().parents[3])


class GradingFailed(LessonError, RuntimeError):
    """nbgrader could not do what it was asked to."""


@dataclass(frozen=True)
class Grade:
    """What came of one submission. ``stopped`` says why it was ended, "" where it ran to its end.

    ``sha256`` is of what was handed in and what was released, "" where that was not graded;
    ``seconds`` and ``memory`` (bytes) are what grading it took.
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
    def graded(self) -> bool:
        """Whether it was: else nbgrader failed, by no fault of the submission."""
        return self.worth > 0

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

    Raises InputError for a name that nbgrader cannot take, StorageError when the folder cannot be
    written.
    """
    if found := sorted(set("[]*?%#") & set(str(root.resolve()))):
        raise InputError(f"{root.resolve()} has {' '.join(found)} in its name, which nbgrader "
                         "cannot take: choose another")  # fmt: skip
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
    _require_only(source)
    notebooks.read(source)
    with _kept(root / "release" / _assignments.name(number)):
        _succeed(_api(root).generate_assignment(_assignments.name(number)))
    return _notebook(root, "release", ".", number)


def _require_only(source: Path) -> None:
    if others := sorted({path.name for path in source.parent.glob("*.ipynb")} - {source.name}):
        raise InputError(f"{files.display_path(source.parent)} has more than one notebook: take "
                         f"{', '.join(others)} out of it")  # fmt: skip


@contextlib.contextmanager
def _kept(folder: Path) -> Iterator[None]:
    """Put a folder back where the block fails: nbgrader removes it before it makes it anew."""
    with tempfile.TemporaryDirectory(dir=folder.parents[1], prefix=".release-") as beside:
        if folder.is_dir():
            shutil.copytree(folder, Path(beside, "as-it-was"))
        try:
            yield
        except BaseException:
            files.remove_tree(folder)
            if Path(beside, "as-it-was").is_dir():
                os.replace(Path(beside, "as-it-was"), folder)
            raise


def collect(root: Path, number: int | str, given: Path) -> list[Handed]:
    """Take the notebooks of one lesson from ``given``, which has a folder for each learner.

    A learner's folder is searched with its own folders; of several copies, such as a browser's
    ``00_run_article (1).ipynb``, the newest counts. What was handed in before is replaced.
    What is as it was released is not taken.
    Raises InputError when the assignment was not released, or ``given`` is no folder with folders.
    """
    released, file = _released(root, number), _file(number)
    handed: dict[str, Handed] = {}
    for folder in _collecting.folders(given, root):
        student = unicodedata.normalize("NFC", folder.name)  # some systems part ü from its dots
        if student in handed:
            why = "another folder's name looks the same: rename this one"
            handed[folder.name] = Handed(folder.name, None, why)
        else:
            target = _notebook(root, "handed_in", student, number)
            handed[student] = _collecting.take(folder, student, released, target)
    return [*handed.values(), *_collecting.loose(given, file)]


def grade(
    root: Path,
    number: int | str,
    bounds: limits.Limits | None = None,
    students: Iterable[str] = (),
    jobs: int = 0,
) -> Iterator[Grade]:
    """Grade what was handed in, ``jobs`` submissions at a time, and yield each as it ends.

    0 jobs stands for as many as this machine has cores and memory for.

    Before the first one the teacher's notebook is run in the same way, once: its answers have to
    get full points, and what it trains need not be trained again.
    A submission that was graded before and has not changed is not graded again. Each runs under
    ``bounds``; one that crosses them gets no points, and the others go on.
    Where nbgrader fails for another reason than the submission, it is tried again at the next call.
    Raises InputError when the assignment was not released, nothing was handed in, nothing by one of
    ``students``, ``$LESSONS_TIMEOUT`` is no number, or the temporary folder's name is too long, and
    GradingFailed when the teacher's own answers do not get full points.
    """
    _released(root, number)
    given = {path.parent.parent.name for path in _all_handed_in(root, number)}
    if not given:
        raise InputError(
            f"nothing was handed in for lesson {int(number)}: "
            f"`lessons class collect {int(number)} --from DIR` takes what learners gave"
        )
    if unknown := sorted(set(students) - given):
        raise InputError(f"nothing was handed in by {', '.join(unknown)}")
    _require_short_temporary()
    sandbox.patience(0)  # what learners' code waits for as well
    interrupted = threading.Event()
    work = _Work(root, number, bounds or limits.Limits(), interrupted)
    if any(work.known(student) is None for student in set(students) or given):
        work.rehearse()
    with ThreadPoolExecutor(jobs or _room()) as pool:
        under_way = [pool.submit(work.grade, one) for one in sorted(set(students) or given)]
        try:
            for done in as_completed(under_way):
                yield done.result()
        finally:  # also where who asked for the grades stops asking
            interrupted.set()
            pool.shutdown(cancel_futures=True)


def _require_short_temporary() -> None:
    length = len(os.fsencode(folder := tempfile.gettempdir()))
    if os.name == "posix" and length > LONGEST_TEMPORARY:
        raise InputError(
            f"the temporary folder {folder} has a name of {length} characters; at most "
            f"{LONGEST_TEMPORARY} leave room for sockets in it: set TMPDIR to another, such as /tmp"
        )


def _room() -> int:
    """How many submissions this machine has cores, and now memory, for."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cores or 1, psutil.virtual_memory().available // _MEMORY))


def unconfined() -> str:
    """Return why what learners wrote runs as the caller does here; "" where it is confined."""
    from lessons_lib.course.classroom import _confined

    return _confined.why_not()


@dataclass(frozen=True)
class _Work:
    """What the submissions of one assignment are graded with."""

    root: Path
    number: int | str
    bounds: limits.Limits
    interrupted: threading.Event

    def known(self, student: str) -> Grade | None:
        """What came of a submission before; None where it is new, or was changed."""
        done = _record(self.root, self.number, student)
        return done if _is_of_now(done, self.root, self.number) else None

    def grade(self, student: str) -> Grade:
        """What is known of a submission; else grade it. Its failure is no other one's."""
        try:
            if done := self.known(student):
                return done
            done = self._grade(student, _sha256(self.root, self.number, student))
            files.write_atomic(_record_path(self.root, self.number, student), _as_json(done))
        except limits.Interrupted:
            raise
        except Exception as error:  # without a record: it is tried again
            done = Grade(student, "", 0.0, 0.0, _collecting.said(error), (), 0.0, 0)
        return done

    def rehearse(self) -> None:
        """Run the teacher's notebook as submissions are: once for itself and its environment."""
        from lessons_lib.course.classroom import _confined

        source = _notebook(self.root, "source", ".", self.number)
        _require_only(source)
        mark = _log(self.root, self.number, ".rehearsed", "sha256")
        seen = files.sha256(source.read_bytes() + repr(_confined.kept()).encode())
        if mark.is_file() and mark.read_text("utf-8") == seen:
            return
        ended, log = self._run("", ""), _log(self.root, self.number, ".rehearsed")
        if ended.why or ended.code:
            found = re.findall(rf"{_grader.REHEARSED}(.+)", log.read_text("utf-8", "replace"))
            raise GradingFailed(
                f"the answers in {files.display_path(source)} do not get full points on this "
                f"machine ({ended.why or ', '.join(found) or 'it could not be run'}): see "
                f"{files.display_path(log)}, and ask `lessons doctor`. No submission was graded"
            )
        files.write_atomic(mark, seen)

    def _grade(self, student: str, sha256: str) -> Grade:
        stopped, mends = self._submit(student)
        ended = self._run(student, stopped)
        if not stopped and (ended.why or ended.code) and ended.code != _grader.TRY_AGAIN:
            stopped = ended.why or _how(ended.code, _log(self.root, self.number, student))
            again = self._run(student, stopped)
            ended = dataclasses.replace(ended, code=again.code)
        if ended.code:
            kind = "stopped.log" if stopped else "log"
            log = files.display_path(_log(self.root, self.number, student, kind))
            raise GradingFailed(f"nbgrader failed on the submission of {student}: see {log}")
        points, worth = _points(self.root, self.number, student)
        seconds = round(ended.seconds, 1)
        return Grade(student, sha256, points, worth, stopped, mends, seconds, ended.memory)

    def _submit(self, student: str) -> tuple[str, tuple[restoring.Mend, ...]]:
        """Put what was handed in where nbgrader looks; say why not, and what was mended."""
        handed = _notebook(self.root, "handed_in", student, self.number)
        released, content = _released(self.root, self.number), handed.read_bytes()
        try:
            given = nbformat.reads(content.decode(json.detect_encoding(content)), as_version=4)
            notebook, mends = restoring.restored(given, released)
            known = _assignments.exercises(released)
            mends = [dataclasses.replace(m, cell=known.get(m.cell, m.cell)) for m in mends]
            text, stopped = nbformat.writes(notebook).encode(), ""
        except Exception as error:  # of any kind: nbformat trusts the file's structure
            text, mends = nbformat.writes(released), ()
            stopped = f"the file is not a notebook ({_collecting.said(error)[:200]})"
        target = _notebook(self.root, "submitted", student, self.number)
        files.write_atomic(target, text)
        when = datetime.datetime.fromtimestamp(handed.stat().st_mtime, datetime.UTC)
        files.write_atomic(target.with_name("timestamp.txt"), f"{when:%Y-%m-%d %H:%M:%S.%f} UTC")
        return stopped, tuple(mends)

    def _run(self, student: str, stopped: str) -> limits.Ended:
        """Grade one submission, or rehearse, in a process and with folders of its own."""
        arguments = [str(self.root.resolve()), _assignments.name(self.number), student, stopped]
        own = [str(os.getpid()), json.dumps(dataclasses.asdict(self.bounds))]
        kind = "stopped.log" if stopped else "log"
        log = _log(self.root, self.number, student or ".rehearsed", kind)
        log.parent.mkdir(parents=True, exist_ok=True)
        with sandbox.temporary_folder() as scratch:
            command = [sys.executable, "-P", "-c", _START, _OWN_FOLDER, *arguments, *own]
            return limits.run(command, self.bounds, log, {"TMPDIR": scratch}, self.interrupted)


def _sha256(root: Path, number: int | str, student: str) -> str:
    """Of what was handed in and what was released."""
    parts = ("handed_in", student), ("release", ".")
    found = (_notebook(root, *part, number).read_bytes() for part in parts)
    return files.sha256(b"".join(found))


def _is_of_now(done: Grade | None, root: Path, number: int | str) -> bool:
    """Whether a grade is of what is handed in and released now."""
    try:
        return done is not None and done.sha256 == _sha256(root, number, done.student)
    except OSError:  # it was taken away since
        return False


def _how(code: int, log: Path) -> str:
    """Why a grading ended by itself, as far as its log says it."""
    if code < 0:
        return f"it was ended by signal {sandbox.signal_name(-code)}"
    with contextlib.suppress(OSError):
        if cause := _cause(log.read_text("utf-8", "replace")):
            return f"nbgrader gave up on it: {cause}"
    return "nbgrader gave up on it"


def _cause(log: str) -> str:
    """The last error that a log of nbgrader's names, and that says more than "see above"."""
    found = [line.strip() for line in log.splitlines() if _ERROR.match(line)]
    return next((line[:200] for line in reversed(found) if "NbGraderException" not in line), "")


def feedback(root: Path, number: int | str) -> list[Path]:
    """Write a page for each graded submission, and return the pages.

    Raises InputError when nothing is graded, GradingFailed when nbgrader cannot.
    """
    _released(root, number)
    name = _assignments.name(number)
    if not any((root / "autograded").glob(f"*/{name}")):
        lesson = int(number)
        raise InputError(f"lesson {lesson} is not graded: `lessons class grade {lesson}` does it")
    _succeed(_api(root).generate_feedback(name))
    return sorted((root / "feedback").glob(f"*/{name}/*.html"))


def export(root: Path) -> str:
    """Return the gradebook as CSV: a row for each submission, a column for each kind of fact.

    ``to_look_at`` holds what a teacher should see before returning the grade. Where a spreadsheet
    would take a text for a formula, an apostrophe stands before it.
    Raises InputError for a folder without a course.
    """
    _require_course(root)
    text = io.StringIO()
    columns = ("assignment", "student", "timestamp", "points", "worth", "percent", "to_look_at")
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    with _gradebook(root) as book:
        for assignment in sorted(book.assignments, key=lambda one: one.name):
            for one in sorted(assignment.submissions, key=lambda one: one.student.id):
                number = assignment.name.removeprefix("lesson")
                done = _record(root, number, one.student.id)
                seen = [] if _is_of_now(done, root, number) else ["not graded as it is now"]
                seen += done.to_look_at if done else []
                share = one.score / one.max_score if one.max_score else 0.0
                row = {
                    "assignment": assignment.name, "student": one.student.id,
                    "timestamp": one.timestamp or "", "points": f"{one.score:g}",
                    "worth": f"{one.max_score:g}", "percent": f"{100 * share:.0f}",
                    "to_look_at": "; ".join(seen),
                }  # fmt: skip
                table.writerow({name: _plain(value) for name, value in row.items()})
    return text.getvalue()


def _plain(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


# ---- where things are


def _file(number: int | str) -> str:
    return notebooks.find([number])[0].name


def _require_course(root: Path) -> None:
    if not (root / _CONFIG).is_file() or not (root / _GRADEBOOK).is_file():
        raise InputError(
            f"{files.display_path(root)} holds no course: begin with `lessons class init DIR`, "
            "then run this in DIR, or with `--course DIR`"
        )


def _notebook(root: Path, step: str, student: str, number: int | str) -> Path:
    _require_course(root)
    file = _file(number)  # which knows a number that is none
    return root / step / student / _assignments.name(number) / file


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
        log, error = (result.get(kind) or "" for kind in ("log", "error"))
        last = (error or log or "it failed and says nothing").strip().splitlines()[-1]
        raise GradingFailed(f"nbgrader: {_cause(log) or _cause(error) or last}")
