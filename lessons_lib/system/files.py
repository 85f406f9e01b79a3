"""Where the course keeps its files, and how it writes them: whole or not at all."""

import contextlib
import errno
import glob
import hashlib
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from lessons_lib.errors import InputError, ModelFileError, StorageError

_PACKAGE = Path(__file__).resolve().parents[1]
_INSTALLED_DATA = _PACKAGE / "_data"  # only the wheel has it, see pyproject.toml
ROOT = _PACKAGE.parent  # the course's folder; of an installed copy, site-packages


def is_installed() -> bool:
    """Return whether this is a copy in site-packages, without notebooks and tools."""
    return _INSTALLED_DATA.is_dir()


def data_folder() -> Path:
    """Return the folder of the embedded data: ``data``, or the package's own in an installed copy.

    It is only read.
    """
    return _INSTALLED_DATA if is_installed() else ROOT / "data"


def artifacts_root() -> Path:
    """Return the folder of what lessons make: ``$LESSONS_ARTIFACTS``, else ``artifacts``.

    An installed copy has no folder of the course: there it is ``quantization-lessons`` in the
    user's cache folder (``$XDG_CACHE_HOME``, else ``~/.cache``), and a relative
    ``$LESSONS_ARTIFACTS`` starts from the working folder.
    """
    chosen = os.environ.get("LESSONS_ARTIFACTS")
    if is_installed():
        cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "quantization-lessons")
        return Path(chosen or cache).expanduser().absolute()
    return ROOT / Path(chosen or "artifacts").expanduser()


def artifacts(*parts: str) -> Path:
    """Return a folder below the artifacts folder, created if it is missing.

    Raises StorageError when the folder cannot be created or written.
    """
    folder = artifacts_root().joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _cannot_write(folder, error) from error
    return folder


def write_atomic(path: str | os.PathLike, data: bytes | str) -> Path:
    """Write ``data`` (text as UTF-8) to a temporary name, then rename: never half a file.

    The file behind a symlink is replaced, not the link, and a file keeps its mode. What is no
    regular file, such as ``/dev/stdout`` or a pipe, takes the bytes directly.
    Raises StorageError when the folder is not writable or the disk is full; the old file stays.
    """
    data = data.encode() if isinstance(data, str) else data
    target = Path(os.path.realpath(path))
    with _reported(path):
        stream = _stream(Path(path))
        if stream is None:
            _replace(target, data)
        else:
            with open(stream, "wb", closefd=not isinstance(stream, int)) as file:
                file.write(data)
    return Path(path)


def _stream(path: Path) -> int | Path | None:
    """What a rename would cut off from its reader: this process's own output, a pipe, a device."""
    if not path.exists():
        return None
    for descriptor, stream in ((1, sys.stdout), (2, sys.stderr)):
        with contextlib.suppress(OSError):  # a process may have closed them
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                if stream is not None:
                    stream.flush()  # what was printed before stands before
                return descriptor
    return None if path.is_file() else path


def _replace(target: Path, data: bytes) -> None:
    temporary = _temporary_name(target)
    try:
        with open(temporary, "wb") as file:
            if target.exists():
                shutil.copymode(target, temporary)  # before a secret is in it
            file.write(data)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_directory(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary folder that takes the place of ``path`` when the block succeeds.

    The folder behind a symlink is replaced, not the link. Raises StorageError when the folder
    cannot be written or has no room; on any error ``path`` stays as it was. Other errors of the
    block stay what they are. What a killed process left half-way, the next call puts right.
    """
    target = Path(os.path.realpath(path))
    with _reported(path):
        temporary = _temporary_name(target)
        temporary.mkdir()
    try:
        try:
            yield temporary
        except OSError as error:
            name = error.filename  # a write that finds the disk full gives none
            inside = not isinstance(name, str) or temporary in Path(name).absolute().parents
            if error.errno in _NO_ROOM and inside:
                raise _cannot_write(path, error) from error
            raise
        with _reported(path):
            _exchange(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _exchange(temporary: Path, target: Path) -> None:
    old = temporary.with_suffix(".old")
    if target.exists():
        shutil.copymode(target, temporary)
        os.replace(target, old)
    try:
        os.replace(temporary, target)
    except OSError:
        os.replace(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _temporary_name(target: Path) -> Path:
    """A name in the target's own folder, so that renaming is atomic.

    What processes that are no more left there is cleared: an old folder that was on its way out
    when the new one had not come takes its place again.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob(f".{glob.escape(target.name)}.*"):
        found = re.fullmatch(r"\.(\d+)-\d+\.(tmp|old)", left.name[len(target.name) + 1 :])
        if found is None or is_running(int(found[1])):
            continue
        if found[2] == "old" and not target.exists():
            os.replace(left, target)
        elif left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink(missing_ok=True)
    return target.with_name(f".{target.name}.{os.getpid()}-{threading.get_ident()}.tmp")


def remove_tree(folder: str | os.PathLike) -> None:
    """Remove a folder with all that is in it, however deep; what cannot be removed stays.

    So does another user's folder, and what a link leads to. Paths, open files and Python's calls
    go only so deep: each folder inside is moved up to the top before it is emptied.
    """
    if os.rename not in os.supports_dir_fd:  # Windows
        with contextlib.suppress(RecursionError):
            shutil.rmtree(folder, ignore_errors=True)
        return
    with contextlib.suppress(OSError):
        found = os.lstat(folder)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            return
        os.chmod(folder, 0o700)
        with _opened(folder) as top:
            waiting = _lifted(top, top)
            while waiting:
                name = waiting.pop()
                with contextlib.suppress(OSError), _opened(name, top) as inside:
                    waiting += _lifted(inside, top)
                with contextlib.suppress(OSError):
                    os.rmdir(name, dir_fd=top)
        os.rmdir(folder)


@contextlib.contextmanager
def _opened(folder: str | os.PathLike, inside: int | None = None) -> Iterator[int]:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=inside)
    try:
        yield opened
    finally:
        os.close(opened)


def _lifted(folder: int, top: int) -> list[str]:
    """Remove a folder's files, move its folders to ``top``, and return their new names there."""
    lifted = []
    with os.scandir(folder) as entries:
        found = list(entries)
    for entry in found:
        with contextlib.suppress(OSError):
            if entry.is_dir(follow_symlinks=False):
                os.chmod(entry.name, 0o700, dir_fd=folder)  # else it may not be moved
                name = secrets.token_hex(16)
                os.rename(entry.name, name, src_dir_fd=folder, dst_dir_fd=top)
                lifted.append(name)
            else:
                os.unlink(entry.name, dir_fd=folder)
    return lifted


def is_running(process: int) -> bool:
    """Return whether there is a process of this number."""
    import psutil  # needed after an accident only

    return psutil.pid_exists(process)


@contextlib.contextmanager
def _reported(path: str | os.PathLike) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: str | os.PathLike, error: OSError) -> StorageError:
    cure = (
        "Free some space or change the rights, or set LESSONS_ARTIFACTS to a folder that you can "
        "write to; then run again"
    )
    if isinstance(error, FileExistsError | NotADirectoryError):
        cure = (
            "A file stands where a folder is needed: move it, or give another folder (what lessons "
            "make goes to LESSONS_ARTIFACTS)"
        )
    return StorageError(
        f"cannot write {path}: {error.strerror or error}. {cure}. Nothing half-written was left."
    )


@contextlib.contextmanager
def locked(path: str | os.PathLike) -> Iterator[bool]:
    """Hold a file while the block runs; yields False where another process, or thread, holds it.

    The system lets go of it when the process ends, however that comes about. On a file system
    without locks nobody is kept out. Raises StorageError when the file cannot be written.
    """
    with _reported(path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "ab")  # noqa: SIM115, the next line closes it
    with file:
        try:
            if os.name == "nt":
                import msvcrt

                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            yield error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
        else:
            yield True


def content(source: str | os.PathLike | bytes) -> bytes:
    """Return the bytes of a model that is given as a path or as bytes.

    Raises InputError when ``source`` is neither, ModelFileError when the file cannot be read.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    try:
        return Path(source).read_bytes()
    except TypeError as error:
        given = type(source).__name__
        raise InputError(
            f"expected a .tflite file's path or bytes, got {given} (lesson 01)"
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelFileError(f"cannot read {source}: {reason} (lesson 01)") from error


def sha256(source: str | os.PathLike | bytes) -> str:
    """Return the SHA-256 of bytes, or of a file's content, as 64 hexadecimal digits."""
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    with open(source, "rb") as file:  # read in pieces: a model may be large
        return hashlib.file_digest(file, "sha256").hexdigest()


def display_path(path: str | os.PathLike) -> str:
    """Return ``path`` relative to the course's folder where it lies inside, with ``/`` between."""
    path = Path(path).resolve()
    inside = path.is_relative_to(ROOT) and not is_installed()
    return path.relative_to(ROOT).as_posix() if inside else str(path)
