import errno
import os
import subprocess
import sys

import pytest

import tiny_models
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


def test_the_file_behind_a_link_is_written_and_the_link_stays(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "file")
    for text in ("new", "newer"):  # the first time the link leads nowhere yet
        files.write_atomic(tmp_path / "link", text)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "folder" / "file").read_text() == text
    assert len(list((tmp_path / "folder").iterdir())) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")
def test_modes_are_kept_and_new_files_follow_the_mask(tmp_path):
    secret, new = tmp_path / "secret", tmp_path / "new"
    secret.touch(0o600)
    before = os.umask(0o027)
    try:
        files.write_atomic(secret, "old mode")
        files.write_atomic(new, "new mode")
    finally:
        os.umask(before)
    assert secret.stat().st_mode & 0o777 == 0o600
    assert new.stat().st_mode & 0o777 == 0o640


PRINTING = """
import sys
from lessons_lib import files
print("before")
files.write_atomic(sys.argv[1], "written\\n")
print("after")
"""


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="no /dev/stdout here")
@pytest.mark.parametrize("redirected", [False, True], ids=["to a pipe", "to a file"])
def test_standard_output_is_written_and_not_replaced(redirected, tmp_path):
    (tmp_path / "stdout").symlink_to("/dev/stdout")
    command, said = [sys.executable, "-c", PRINTING, tmp_path / "stdout"], tmp_path / "said"
    with said.open("w") as file:
        where = file if redirected else subprocess.PIPE
        done = subprocess.run(command, stdout=where, text=True, check=True)
    assert (said.read_text() if redirected else done.stdout) == "before\nwritten\nafter\n"
    assert (tmp_path / "stdout").is_symlink()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name here")
def test_a_pipe_with_a_name_takes_the_bytes(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with subprocess.Popen(["cat", tmp_path / "pipe"], stdout=subprocess.PIPE) as reader:
        files.write_atomic(tmp_path / "pipe", b"through")
        assert reader.communicate()[0] == b"through"
    assert not (tmp_path / "pipe").is_file()


FULL_DISK = """
import resource, signal, sys
from lessons_lib import data, every_path, files, runtime, training
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
        "runtime.Model(sys.argv[2])",
        "data.load()",
        'every_path.convert(training.reference(), None, sys.argv[1], names=["float32"])',
    ],
    ids=["a model is probed", "the digits are decoded", "a model is converted"],
)
def test_a_full_disk_is_not_taken_for_a_damaged_file(action, tmp_path, artifacts):
    sound = files.write_atomic(tmp_path / "sound.tflite", tiny_models.converted("cnn", "float32"))
    assert "refused: " in on_a_full_disk(action, tmp_path / "out", sound)
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


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such depths")
def test_a_tree_is_removed_however_deep_and_nothing_beyond_it(tmp_path):
    top, kept = tmp_path / "top", tmp_path / "kept"
    (kept / "inside").mkdir(parents=True)
    (kept / "file").write_text("")
    code = "import os\nfor _ in range(1500): os.mkdir('d'); os.chdir('d'); open('f', 'w').close()"
    (top / "wide" / "d").mkdir(parents=True)
    subprocess.run([sys.executable, "-c", code], cwd=top, check=True)
    (top / "link").symlink_to(kept)
    (top / "wide").chmod(0)
    top.chmod(0)
    files.remove_tree(top)
    (tmp_path / "link").symlink_to(kept)
    for none in (top, tmp_path / "link", kept / "file"):
        files.remove_tree(none)
    assert sorted(tmp_path.rglob("*")) == [kept, kept / "file", kept / "inside", tmp_path / "link"]


def test_a_lock_where_no_file_can_be_is_reported(tmp_path):
    with pytest.raises(StorageError, match=tmp_path.name), files.locked(tmp_path):
        pytest.fail("a folder was locked")


def test_an_error_of_the_block_stays_what_it_is(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"), files.atomic_directory(tmp_path / "d"):
        (tmp_path / "missing").read_bytes()
    with pytest.raises(StorageError, match="No space"), files.atomic_directory(tmp_path / "d"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


KILLED = """
import os, sys
from lessons_lib import files
rename, renamed = os.replace, []
def replace(source, target):
    if len(renamed) == int(sys.argv[2]):
        os._exit(9)
    renamed.append(rename(source, target))
os.replace = replace
with files.atomic_directory(sys.argv[1]) as folder:
    (folder / "version").write_text("2")
"""


@pytest.mark.parametrize("renamed", [0, 1, 2])
def test_what_a_kill_leaves_half_way_is_put_right(renamed, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "version").write_text("1")
    command = [sys.executable, "-c", KILLED, folder, str(renamed)]
    # After both renames only the removal of the old folder is left: killed there, or not at all.
    assert subprocess.run(command).returncode == (9 if renamed < 2 else 0)
    assert folder.exists() == (renamed != 1)
    with pytest.raises(ZeroDivisionError), files.atomic_directory(folder):
        assert (folder / "version").read_text() == ("2" if renamed == 2 else "1")
        raise ZeroDivisionError
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
