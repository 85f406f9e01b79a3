import os
import subprocess
import sys

import pytest

from lessons_lib import files
from lessons_lib.errors import InputError, ModelFileError, StorageError


def test_artifacts_makes_a_folder_below_the_chosen_root(artifacts):
    assert files.artifacts("a", "b") == artifacts / "a" / "b"
    assert (artifacts / "a" / "b").is_dir()


def test_an_artifacts_folder_that_cannot_be_made_is_a_clear_error(artifacts):
    artifacts.write_text("a file in the folder's place")
    with pytest.raises(StorageError, match="LESSONS_ARTIFACTS"):
        files.artifacts("lesson01")


def test_write_atomic_replaces_the_whole_file(tmp_path):
    file = tmp_path / "new" / "file.txt"
    files.write_atomic(file, "old")
    files.write_atomic(file, b"new")
    assert file.read_bytes() == b"new"
    assert list(file.parent.iterdir()) == [file]


FULL_DISK = """
import resource, signal, sys
from lessons_lib import convert, data, files, runtime, training
from lessons_lib.errors import StorageError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    {action}
except StorageError as error:
    print("refused:", error)
"""


def on_a_full_disk(action: str, *arguments: object) -> str:
    """Run Python code where no file may grow beyond 1,000 bytes: a write stops half-way."""
    command = [sys.executable, "-c", FULL_DISK.format(action=action), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no file size limits")
def test_a_disk_that_gets_full_leaves_the_old_file(tmp_path):
    file = tmp_path / "model.tflite"
    file.write_text("the old model")
    said = on_a_full_disk('files.write_atomic(sys.argv[1], b"x" * 5000)', file)
    assert "refused: cannot write" in said
    assert file.read_text() == "the old model"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no file size limits")
@pytest.mark.parametrize(
    "action",
    [
        "runtime.Model(bytes(5000))",
        "data.load()",
        'every_path.convert(training.reference(), None, sys.argv[1], names=["float32"])',
    ],
    ids=["a model is probed", "the digits are decoded", "a model is converted"],
)
def test_a_full_disk_is_not_taken_for_a_damaged_file(action, tmp_path, artifacts):
    assert "refused: " in on_a_full_disk(action, tmp_path / "out")
    assert list(tmp_path.glob("out/*")) == []


def test_atomic_directory_takes_the_old_ones_place_only_when_all_is_well(tmp_path):
    folder = tmp_path / "model"
    for version in ("1", "2"):
        with files.atomic_directory(folder) as temporary:
            (temporary / "version").write_text(version)
    with pytest.raises(ZeroDivisionError), files.atomic_directory(folder) as temporary:
        (temporary / "version").write_text("3")
        raise ZeroDivisionError
    assert (folder / "version").read_text() == "2"
    assert list(tmp_path.iterdir()) == [folder]


def test_sha256_of_a_file_is_that_of_its_bytes(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert files.sha256(tmp_path / "file") == files.sha256(b"abc")
    assert files.sha256(b"abc").startswith("ba7816bf8f01cfea")


def test_paths_are_shown_without_the_machines_folders(tmp_path):
    assert files.display_path(files.ROOT / "data" / "mnist") == "data/mnist"
    assert files.display_path(tmp_path) == os.path.realpath(tmp_path)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("", "artifacts"), ("elsewhere", "elsewhere"), ("~/lessons", os.path.expanduser("~/lessons"))],
)
def test_the_artifacts_folder_does_not_depend_on_the_working_folder(value, expected, monkeypatch):
    monkeypatch.setenv("LESSONS_ARTIFACTS", value)
    assert files.artifacts_root() == files.ROOT / expected


def test_a_directory_that_cannot_take_its_place_leaves_the_old_one(tmp_path, monkeypatch):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "version").write_text("1")
    rename = os.replace

    def fails_for_the_new_one(source, target):
        if str(target) == str(folder) and not str(source).endswith(".old"):
            raise OSError("no")
        rename(source, target)

    monkeypatch.setattr(os, "replace", fails_for_the_new_one)
    with pytest.raises(StorageError), files.atomic_directory(folder) as temporary:
        (temporary / "version").write_text("2")
    assert (folder / "version").read_text() == "1"
    assert list(tmp_path.iterdir()) == [folder]


def test_content_takes_paths_and_bytes_and_nothing_else(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert files.content(tmp_path / "file") == files.content(bytearray(b"abc")) == b"abc"
    with pytest.raises(InputError, match="got NoneType"):
        files.content(None)
    with pytest.raises(ModelFileError, match=r"cannot read .*No such file"):
        files.content(tmp_path / "missing")
