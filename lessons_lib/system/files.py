"""Where the course keeps its files, and how it writes them: whole or not at all."""

import contextlib
import hashlib
import os
import shutil
import tempfile
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

    Raises StorageError when the folder is not writable or the disk is full; the old file stays.
    """
    path = Path(path)
    data = data.encode() if isinstance(data, str) else data
    with _temporary_beside(path, directory=False) as temporary:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    return path


@contextlib.contextmanager
def atomic_directory(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary folder that takes the place of ``path`` when the block succeeds.

    Raises StorageError when the folder cannot be written; on any error ``path`` stays as it was.
    """
    path = Path(path).absolute()
    with _temporary_beside(path, directory=True) as temporary:
        yield temporary
        old = temporary.with_name(temporary.name + ".old")
        if path.exists():
            os.replace(path, old)
        try:
            os.replace(temporary, path)
        except OSError:
            os.replace(old, path)
            raise
        shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def _temporary_beside(path: Path, directory: bool) -> Iterator[Path]:
    """A temporary name in the target's own folder, so that renaming it is atomic."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if directory:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir()
        yield temporary
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        with contextlib.suppress(OSError):
            temporary.unlink()


def _cannot_write(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"cannot write {path}: {error.strerror or error}. Free some space or change the rights, "
        "or set LESSONS_ARTIFACTS to a folder that you can write to; then run again. "
        "Nothing half-written was left."
    )


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
