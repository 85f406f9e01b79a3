"""What learners handed in: found in their folders, of several copies the newest that has work."""

import errno
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

from lessons_lib.errors import InputError, first_line
from lessons_lib.system import files

_LARGEST = 64 * 2**20  # bytes of a notebook that is read; a lesson has less than one MiB
_DEEPEST = 8  # folders within a learner's that are searched
# A student's name is a folder's name; nbgrader takes [ ] * ? for patterns.
_STUDENT = re.compile(r"\w(?:[\w .,@'+-]*[\w.])?")
_NAMES = (
    "a folder's name may have letters, digits, spaces and _ . , @ ' + - and begins with a letter "
    "or a digit: rename it"
)


@dataclass(frozen=True)
class Handed:
    """What was found of one learner: the notebook's ``path``, or None and ``why`` not.

    ``note`` says what a teacher should look at, though it was taken.
    """

    student: str
    path: Path | None
    why: str = ""
    note: str = ""


class _Refused(Exception):
    """Why a learner's notebook is not taken."""


def folders(given: Path, course: Path) -> list[Path]:
    """The learners' folders in ``given``; raises InputError where it cannot be what has them."""
    expected = "expected a folder that has one for each learner, with the notebook in it"
    shown = files.display_path(given)
    if not given.is_dir():
        raise InputError(f"{shown} is no folder; {expected}")
    if course.resolve().is_relative_to(given.resolve()):
        raise InputError(f"{shown} is or holds the course's own folder; {expected}")
    found = sorted(path for path in given.iterdir() if path.is_dir() and path.name[0] != ".")
    if not found:
        raise InputError(f"{shown} has no folders; {expected}")
    return found


def loose(given: Path, file: str) -> list[Handed]:
    """The notebooks that lie beside the learners' folders, and so are nobody's."""
    why = "lies in no folder, whose name would be the learner's"
    names = sorted(path.name for path in given.iterdir() if path.is_file())
    return [Handed(printable(name), None, why) for name in names if _copy_of(file).fullmatch(name)]


def take(folder: Path, student: str, released: NotebookNode, target: Path) -> Handed:
    """Copy a learner's notebook, of the name of ``target``, to ``target``."""
    if not _STUDENT.fullmatch(student):
        return Handed(printable(student), None, _NAMES)
    try:  # what is the learner's may change meanwhile
        changed, content, note = _newest(folder, target.name, released)
    except _Refused as refused:
        return Handed(student, None, str(refused))
    except (OSError, RecursionError) as error:
        return Handed(student, None, f"the notebook cannot be read ({said(error)})")
    files.write_atomic(target, content)
    os.utime(target, (changed, changed))
    return Handed(student, target, note=note)


def _newest(folder: Path, file: str, released: NotebookNode) -> tuple[float, bytes, str]:
    """The newest copy in which something was done: its time, its content, and a note."""
    copies = sorted(_copies(folder, file), reverse=True)
    if not copies:
        raise _Refused(f"has no {file}")
    for changed, _, path in copies:
        if path.stat().st_size > _LARGEST:
            raise _Refused(f"{printable(path.name)} has more than {_LARGEST >> 20} MiB")
        content = _inside(path, folder)
        if not _is_untouched(content, released):
            return changed, content, _note(folder, path, [path for *_, path in copies])
    raise _Refused(f"{printable(copies[0][2].name)} is untouched, as it was released")


def _note(folder: Path, taken: Path, copies: list[Path]) -> str:
    """Of copies in several folders: are they several learners'?"""
    within = {path.relative_to(folder).parts[0] for path in copies if path.parent != folder}
    if len(within) < 2:
        return ""
    shown = printable(str(taken.relative_to(folder)))
    return f"lies in {len(within)} folders, taken: {shown}. Learners? Then name what has theirs"


def _copy_of(file: str) -> re.Pattern:
    """Names of a notebook's copies, as browsers, systems and people call them."""
    stem = re.escape(file.removesuffix(".ipynb"))
    return re.compile(rf"(?:.*[_ -])?{stem}(?:[ _(-].*)?\.ipynb")


def _copies(folder: Path, file: str) -> Iterator[tuple[float, list[int], Path]]:
    """A learner's copies, each behind its time and, of one time, the numbers in its name."""
    for here, below, names in os.walk(folder):
        if len(Path(here).relative_to(folder).parts) == _DEEPEST:
            below.clear()
        for path in (Path(here, name) for name in names if _copy_of(file).fullmatch(name)):
            if path.is_file() and not path.is_symlink() and ".ipynb_checkpoints" not in path.parts:
                counted = re.sub(r".*" + re.escape(file.removesuffix(".ipynb")), "", path.name)
                yield path.stat().st_mtime, [int(n) for n in re.findall(r"\d+", counted)], path


def _is_untouched(content: bytes, released: NotebookNode) -> bool:
    """Whether nothing was written in the released notebook, nor any cell of it run."""

    def seen(cells: list[dict]) -> list[tuple]:
        return [("".join(cell["source"]).strip(), cell.get("outputs") or []) for cell in cells]

    try:
        return seen(json.loads(content)["cells"]) == seen(released.cells)
    except Exception:  # of any kind, in a file that anyone may have written
        return False


def _inside(path: Path, folder: Path) -> bytes:
    """A file's content; raises OSError where a learner led it out of his folder meanwhile."""
    flags = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with open(path, "rb", opener=lambda name, mode: os.open(name, mode | flags)) as file:
        opened = Path(f"/proc/self/fd/{file.fileno()}")
        if opened.exists() and not opened.resolve().is_relative_to(folder.resolve()):
            raise PermissionError(errno.EPERM, "it stands elsewhere")
        return file.read(_LARGEST)


def said(error: Exception) -> str:
    """An error's first line; a learner's text may stand in it."""
    return printable(getattr(error, "strerror", None) or first_line(error))


def printable(text: str) -> str:
    """A text that any file, terminal and command takes."""
    return "".join(c if c.isprintable() else "?" for c in text)
