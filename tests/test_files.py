import os
import subprocess
import sys

import pytest

from lessons_lib import files
from lessons_lib.errors import StorageError


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
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
from lessons_lib import files
from lessons_lib.errors import StorageError
try:
    files.write_atomic(sys.argv[1], b"x" * 5000)
except StorageError as error:
    print("refused:", error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no file size limits")
def test_a_disk_that_gets_full_leaves_the_old_file(tmp_path):
    """A real limit on the file's size stops the write half-way, as a full disk does."""
    file = tmp_path / "model.tflite"
    file.write_text("the old model")
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(file)], capture_output=True, text=True, check=True
    )
    assert "refused: cannot write" in done.stdout
    assert file.read_text() == "the old model"
    assert list(tmp_path.iterdir()) == [file]


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
