"""``lessons export``: the C files, and a test that fails where they compute something else."""

import shlex
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

import any_models
from lessons_lib import cli, files, firmware
from lessons_lib.errors import InputError, ModelFileError, StorageError
from reference import converted

CC = f"{shlex.quote(sys.executable)} -m ziglang cc"


def made(folder, *targets):
    return subprocess.run(
        ["make", "-C", folder, f"CC={CC}", "CFLAGS=-O1 -std=c99 -Wall -Wextra -Werror", *targets],
        capture_output=True,
        text=True,
    )


def test_the_command_writes_what_tests_itself(tmp_path):
    model = files.write_atomic(
        tmp_path / "two ends.tflite", any_models.converted("two_ends", "int8")
    )
    out = tmp_path / "c"
    result = CliRunner().invoke(cli.app, ["export", str(model), "--to", "c", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == [
        "Makefile", "main.c", "test_vectors.h", "two_ends.c", "two_ends.h",
    ]  # fmt: skip
    done = made(out)
    assert "10 of 10 test vectors are equal" in done.stdout, done.stderr


def test_a_file_that_was_changed_fails_its_test(tmp_path):
    firmware.export(converted("ds_cnn")["int8"], tmp_path, "ds_cnn")
    source = tmp_path / "ds_cnn.c"
    text = source.read_text("utf-8")
    source.write_text(text.replace("(1 << (-shift - 1))", "0"), "utf-8")  # cuts off
    done = made(tmp_path)
    assert done.returncode != 0
    assert "10 of 10" not in done.stdout
    firmware.export(converted("ds_cnn")["int8"], tmp_path, "ds_cnn")  # replaces its own
    assert made(tmp_path).returncode == 0


def test_ones_own_inputs_are_the_test_vectors(tmp_path):
    x = np.full((3, 28, 28, 1), 7, np.int8)
    firmware.export(converted("ds_cnn")["int8"], tmp_path, "ds_cnn", x)
    vectors = (tmp_path / "test_vectors.h").read_text("utf-8")
    assert "image_of_test[2352] = {\n    7, 7, 7" in vectors
    assert "3 of 3 test vectors" in made(tmp_path).stdout


def test_somebody_elses_files_are_not_replaced(tmp_path):
    (tmp_path / "Makefile").write_text("all:\n\techo mine\n")
    with pytest.raises(InputError, match="no export wrote: Makefile"):
        firmware.export(converted("ds_cnn")["int8"], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["Makefile"]


def test_a_folder_of_that_name_is_not_replaced(tmp_path):
    (tmp_path / "model.c").mkdir()
    with pytest.raises(InputError, match=r"no export wrote: model\.c"):
        firmware.export(converted("ds_cnn")["int8"], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.c"]


def test_a_folder_that_cannot_be_is_named(tmp_path):
    with pytest.raises(StorageError, match="cannot write"):
        firmware.export(converted("ds_cnn")["int8"], tmp_path / ("long" * 100))
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StorageError, match="A file stands where a folder is needed"):
        firmware.export(converted("ds_cnn")["int8"], tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.tflite"], "No such file"),
        (["float32.tflite"], "not full integer"),
        (["int8.tflite", "--to", "rust"], "expected c or npu"),
        (["int8.tflite", "--name", "for"], "cannot begin C's names"),
        (["int8.tflite", "--name", "Test_Vectors"], "file beside the model's has that name"),
        (["int8.tflite", "--name", "Makefile"], "file beside the model's has that name"),
        (["int8.tflite", "--accelerator", "ethos-u55-32"], "belongs to --to npu"),
        (["int8.tflite", "--to", "npu", "--name", "net"], "belongs to --to c"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("float32", "int8"):
        files.write_atomic(tmp_path / f"{path}.tflite", converted("ds_cnn")[path])
    result = CliRunner().invoke(cli.app, ["export", *arguments])
    assert result.exit_code == 2
    assert words in " ".join(result.output.split())
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("stem", "name"), [("1", "model_1"), ("naïve net", "na_ve_net"), ("n" * 40, "n" * 31)]
)
def test_a_files_name_becomes_one_for_c(stem, name, tmp_path):
    model = files.write_atomic(tmp_path / f"{stem}.tflite", converted("ds_cnn")["int8"])
    result = CliRunner().invoke(cli.app, ["export", str(model), "--out", str(tmp_path / "c")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "c" / f"{name}.h").exists()


def test_a_header_is_one_of_cpp_too(tmp_path):
    folder = firmware.export(converted("ds_cnn")["int8"], tmp_path)
    (folder / "user.cpp").write_text('#include "model.h"\nauto *run = &model_invoke;\n')
    command = [sys.executable, "-m", "ziglang", "c++", "-Werror", "-c", "user.cpp", "-o", "user.o"]
    subprocess.run(command, cwd=folder, check=True)
    assert b"model_invoke" in (folder / "user.o").read_bytes()
    assert b"_Z12model_invoke" not in (folder / "user.o").read_bytes()


def test_a_float_file_leaves_nothing_half_written(tmp_path):
    with pytest.raises(ModelFileError):
        firmware.export(converted("ds_cnn")["float16"], tmp_path / "c")
    assert not (tmp_path / "c").exists()
