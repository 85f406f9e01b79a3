"""``lessons doctor`` on set-ups that are broken for real: it names each, and the cure works."""

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import checksums
from lessons_lib import doctor, files

DOCTOR = ("-m", "lessons_lib.course.doctor")
posix = pytest.mark.skipif(os.name != "posix", reason="limits and mounts of POSIX systems")


@pytest.fixture
def course(tmp_path):
    """The course as a clone of its own, which may be broken."""
    folder = tmp_path / "course"
    (folder / "notebooks").mkdir(parents=True)
    for name in ("lessons_lib", "data"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(files.ROOT / name, folder / name, ignore=ignored)
    for name in ("pyproject.toml", "uv.lock"):
        shutil.copy(files.ROOT / name, folder)
    return folder


def look(course, *checks, python=sys.executable, before="", **environment):
    """What the doctor of that clone finds: its exit status, and its findings.

    ``before`` is run by the same shell first: a limit, or a cure.
    """
    command = shlex.join([str(python), *DOCTOR, *checks, "--json"])
    clean = {name: value for name, value in os.environ.items() if name not in UNSET}
    done = subprocess.run(
        ["sh", "-c", f"{before}\n{command}"],
        cwd=course,
        env=clean | {"HOME": str(course.parent)} | environment,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    report = json.loads(done.stdout)
    found = [doctor.Finding(**row) for row in report["findings"]]
    assert report["schema"] == doctor.SCHEMA
    assert report["problems"] == sum(one.status == doctor.PROBLEM for one in found)
    assert report["notes"] == sum(one.status == doctor.NOTE for one in found)
    assert done.returncode == bool(report["problems"])
    return found


UNSET = {"PYTHONPATH", "TMPDIR", "JUPYTER_PATH", "JUPYTER_PORT", "LESSONS_ARTIFACTS", "NO_COLOR"}


def problem(found, *words):
    """The one problem among the findings, with these words in its text, and a cure."""
    (one,) = [one for one in found if one.status == doctor.PROBLEM]
    assert [word for word in map(str, words) if word not in one.text] == []
    assert one.cure
    done = subprocess.run(["sh", "-nc", one.command], capture_output=True, text=True)
    assert done.stderr == ""
    return one


def assert_cured(course, one, **environment):
    """The command of a finding, run as it stands, leaves nothing of its check to mend."""
    (now,) = look(course, one.check, before=one.command, **environment)
    assert now.status == doctor.OK, now


def environment_without(folder, *packages):
    """An environment that has all of this one's packages but some; return its Python."""
    site = Path(sysconfig.get_path("purelib"))
    below = folder / site.relative_to(sys.prefix)
    below.mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin" / "python").symlink_to(sys._base_executable)
    home = Path(sys._base_executable).parent
    settings = f"home = {home}\ninclude-system-site-packages = false\n"
    (folder / "pyvenv.cfg").write_text(settings)
    for entry in site.iterdir():
        if entry.name.partition("-")[0] not in packages:
            (below / entry.name).symlink_to(entry)
    return folder / "bin" / "python"


# ---- a set-up that is sound


def test_here_every_check_is_made_and_none_fails_by_itself():
    found = look(files.ROOT)
    assert {one.check for one in found} == set(doctor.CHECKS)
    assert [one for one in found if "could not be looked at" in one.text] == []
    sound = {"python", "packages", "data", "kernel", "runtimes"}
    assert [o for o in found if o.status == doctor.PROBLEM and o.check in sound] == []


def test_the_checksums_are_of_the_committed_data():
    text = (files.ROOT / "data" / "SHA256SUMS").read_text("utf-8")
    assert text == checksums.text(), "run tools/checksums.py"
    assert "mnist/1.0.0/mnist-test.tfrecord" in text and "models/ds_cnn/seed3.npz" in text


# ---- broken ones


def test_a_flipped_byte_and_a_lost_file_in_the_data(course):
    git = "git init -q . && git add data && git -c user.name=a -c user.email=a@b commit -qm data"
    subprocess.run(["sh", "-c", git], cwd=course, check=True)
    flipped = course / "data" / "models" / "mnist_cnn" / "seed2.npz"
    content = bytearray(flipped.read_bytes())
    content[len(content) // 2] ^= 1
    flipped.write_bytes(content)
    (course / "data" / "unseen" / "02_pair.tflite").unlink()
    one = problem(
        look(course, "data"),
        "data/models/mnist_cnn/seed2.npz is not what was committed",
        "data/unseen/02_pair.tflite is missing",
    )
    assert_cured(course, one)


def test_damaged_data_of_a_course_that_is_no_clone(course):
    (course / "data" / "unseen" / "02_pair.tflite").unlink()
    assert "Unpack" in problem(look(course, "data"), "02_pair.tflite is missing").cure


@pytest.mark.parametrize("variable", ["LESSONS_ARTIFACTS", "TMPDIR", "JUPYTER_RUNTIME_DIR"])
def test_a_file_where_a_folder_is_to_be_written(course, tmp_path, variable):
    (tmp_path / "file").touch()
    given = {variable: str(tmp_path / "file")}
    one = problem(look(course, "writing", **given), tmp_path / "file")
    assert_cured(course, one, **given)


def test_a_temporary_folder_that_is_not_there(course, tmp_path):
    given = {"TMPDIR": str(tmp_path / "gone")}
    one = problem(look(course, "writing", **given), tmp_path / "gone", "No such file")
    assert_cured(course, one, **given)


def test_a_folder_of_a_user_who_does_not_exist(course):
    """It is said once, and the other folders are looked at."""
    given = {"LESSONS_ARTIFACTS": "~nobody-of-this-name/x"}
    disk, writing = look(course, "disk", "writing", **given)
    assert disk.status == doctor.OK
    one = problem([writing], "LESSONS_ARTIFACTS=~nobody-of-this-name/x", "who does not exist")
    assert_cured(course, one, **given)


def in_own_mounts(folder, *options):
    """The start of a command line that runs in mounts of its own, memory mounted on a folder."""
    mount = shlex.join(["mount", "-t", "tmpfs", "-o", ",".join(options), "none", str(folder)])
    start = ["unshare", "-rm", "sh", "-c"]
    if shutil.which("unshare") is None or subprocess.run([*start, mount]).returncode:
        pytest.skip("this system lets nobody mount a file system of his own")
    return start, f"{mount} && exec "


@posix
@pytest.mark.parametrize(
    ("options", "check", "words"),
    [(("size=1m",), "disk", "MB free for temporary files"), (("ro",), "writing", "Read-only")],
)
def test_a_full_file_system_and_a_read_only_one(course, options, check, words):
    (course / "small").mkdir()
    start, mount = in_own_mounts(course / "small", *options)
    command = shlex.join([sys.executable, *DOCTOR, check, "--json"])
    environment = os.environ | {"TMPDIR": str(course / "small"), "HOME": str(course.parent)}
    done = subprocess.run(
        [*start, mount + command],
        cwd=course, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    found = [doctor.Finding(**row) for row in json.loads(done.stdout)["findings"]]
    one = problem(found, words, course / "small")
    assert done.returncode == 1
    assert_cured(course, one, TMPDIR=str(course / "small"))


@posix
def test_a_limit_on_what_is_written(course):
    """As a quota does, it lets the folder be made and an empty file, and no more."""
    found = look(course, "writing", before="ulimit -f 1")
    assert len(found) == 4
    assert all(one.status == doctor.PROBLEM and "too large" in one.text for one in found)


@posix
def test_too_little_memory(course):
    one = problem(look(course, "memory", before="ulimit -v 900000"), "0.9 GB", "ulimit -v")
    assert one.command == "ulimit -v unlimited"


@pytest.mark.parametrize(
    ("own", "group", "names"),
    [
        ("0::/class/lab\n", "class", ("memory.max", "memory.current", "inactive_file")),
        (
            "5:cpu:/\n4:memory:/class/lab\n",
            "memory/class",
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ),
    ],
)
def test_a_container_with_too_little_memory(tmp_path, own, group, names):
    """What its files occupy in memory is given back, and does not count."""
    folder = tmp_path / group
    (folder / "lab").mkdir(parents=True)
    limit, used, freed = names
    (folder / limit).write_text("1000000000\n")
    (folder / used).write_text("900000000\n")
    (folder / "memory.stat").write_text(f"anon 1\n{freed} 300000000\n")
    (folder / "lab" / limit).write_text("max\n")
    (tmp_path / "own").write_text(own)
    status, text, cure, _ = next(doctor._memory(tmp_path, tmp_path / "own"))
    assert (status, text.partition(";")[0]) == (
        "problem",
        "0.4 GB left by the limit of its container",
    )
    assert "docker run --memory" in cure


def test_a_python_that_does_not_fit(course):
    settings = course / "pyproject.toml"
    text = settings.read_text("utf-8").replace(">=3.11,<3.14", ">=3.97,<3.99")
    settings.write_text(text, "utf-8")
    one = problem(look(course), sys.executable, ">=3.97,<3.99")
    assert "python3.98" in one.cure and "make setup" in one.command


def other_pythons():
    """Pythons of this machine that the course does not take, and that start."""
    for name in ("python3.9", "python3.10", "python3.14", "python3.15"):
        file = shutil.which(name)
        if file and not subprocess.run([file, "--version"], capture_output=True).returncode:
            yield file


def test_on_a_python_that_is_too_old_or_new_it_runs(course):
    pythons = list(other_pythons())
    if not pythons:
        pytest.skip("no Python that does not fit is here")
    for python in pythons:
        problem(look(course, python=python), "the course takes >=3.11,<3.14")


def test_a_lock_with_another_version(course):
    lock = course / "uv.lock"
    before, name, after = lock.read_text("utf-8").partition('\nname = "rich"\nversion = "')
    lock.write_text(before + name + "0.1" + after[after.index('"') :], "utf-8")
    (one,) = look(course, "packages")
    assert one.status == doctor.NOTE
    assert "rich" in one.text and "(uv.lock: 0.1)" in one.text
    assert "make setup" in one.command


def test_a_package_of_a_version_that_the_course_does_not_take(course):
    lock = course / "uv.lock"
    text = lock.read_text("utf-8")
    asked = '{ name = "scipy", specifier = ">=1.14" }'
    assert asked in text
    lock.write_text(text.replace(asked, asked.replace("1.14", "99")), "utf-8")
    problem(look(course, "packages"), "scipy", "(the course takes >=99)")


def test_an_environment_without_a_package(course, tmp_path):
    """Without rich and typer ``lessons`` does not start; the doctor does."""
    python = environment_without(tmp_path / "env", "rich", "typer", "jupyterlab")
    found = look(course, "packages", python=python)
    one = problem(found, "not installed: ", "jupyterlab", "rich", "typer")
    assert '-e ".[lab]"' in one.command
    problem(look(course, "kernel", python=python), "no jupyterlab")


def test_an_environment_without_what_a_check_needs(course, tmp_path):
    python = environment_without(tmp_path / "env", "psutil", "packaging")
    memory, packages, data = look(course, "memory", "packages", "data", python=python)
    assert "could not be looked at: ModuleNotFoundError: No module named 'psutil'" in memory.text
    assert "No module named 'packaging'" in packages.text
    assert {memory.status, packages.status} == {doctor.PROBLEM}
    assert data.status == doctor.OK


def test_runtimes_that_crash_leave_or_are_missing(course, tmp_path):
    shadows = tmp_path / "shadows"
    shadows.mkdir()
    (shadows / "tensorflow.py").write_text("import os\nos.abort()\n")
    (shadows / "ai_edge_litert.py").write_text("import os\nos._exit(3)\n")
    (shadows / "litert_quantizer.py").write_text("raise ImportError('libgomp.so.1 is missing')\n")
    found = look(course, "runtimes", PYTHONPATH=str(shadows))
    tensorflow, litert, quantizer = found
    assert "TensorFlow ended with signal SIGABRT" in tensorflow.text
    assert "LiteRT failed with exit code 3" in litert.text
    assert "quantizer failed with exit code 1: ImportError: libgomp.so.1" in quantizer.text
    for one in found:
        assert (one.status, one.command) == (doctor.PROBLEM, "unset PYTHONPATH")
        assert str(shadows) in one.text


def test_seconds_that_are_no_number(course):
    """No package is to blame: it is said once, with its own cure."""
    (one,) = look(course, "runtimes", LESSONS_TIMEOUT="abc")
    problem([one], "LESSONS_TIMEOUT=abc is no number", "no runtime was tried")
    assert "seconds" in one.cure and one.command == "unset LESSONS_TIMEOUT"
    assert_cured(course, one, LESSONS_TIMEOUT="abc")


def test_an_environment_without_a_runtime(course, tmp_path):
    python = environment_without(tmp_path / "env", "tensorflow", "keras")
    one = problem(look(course, "runtimes", python=python), "No module named 'tensorflow'")
    assert "pip install" in one.command


def test_a_kernel_of_another_python(course, tmp_path):
    spec = tmp_path / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    given = {"JUPYTER_PATH": str(tmp_path / "jupyter")}
    (spec / "kernel.json").write_text(json.dumps({"argv": ["/nowhere/bin/python", "-m"]}))
    one = problem(look(course, "kernel", **given), "/nowhere/bin/python, which is no Python", spec)
    assert_cured(course, one, **given)


def test_a_kernel_that_is_any_python_is_this_one(course, tmp_path):
    """As ipykernel's wheel has it: Jupyter puts its own Python there, whatever ``PATH`` holds."""
    spec = tmp_path / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(json.dumps({"argv": ["python", "-m"]}))
    given = {"JUPYTER_PATH": str(tmp_path / "jupyter")}
    (one,) = look(course, "kernel", before="PATH=/nowhere", **given)
    assert one.status == doctor.OK


def test_a_taken_port(course):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        (one,) = look(course, "port", JUPYTER_PORT=port, JUPYTER_PORT_RETRIES="4")
        assert one.status == doctor.NOTE and f"port {port}: " in one.text
        one = problem(
            look(course, "port", JUPYTER_PORT=port, JUPYTER_PORT_RETRIES="0"), f"port {port}: "
        )
    assert one.command.split()[-3:-1] == ["lab", "--port"]
    assert one.command.split()[-1] != port


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("flags\t\t: fpu sse4_2", "problem", "no AVX"),
        ("flags\t\t: fpu avx avx2", "ok", "may be slower than float32"),
        ("flags\t\t: fpu avx avx2 avx512_vnni", "ok", "avx512_vnni: int8 is multiplied in fours"),
        ("Features\t: fp asimd asimddp", "ok", "asimddp: int8 is multiplied in fours"),
        ("nothing", "ok", "does not say"),
    ],
)
def test_what_int8_gains_on_a_processor(tmp_path, line, status, words):
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor\t: 0\n{line}\n\n")
    found = next(doctor._processor(file))
    assert found[0] == status and words in found[1]


def test_what_only_some_need_is_a_note(course, tmp_path):
    python = environment_without(tmp_path / "env", "unicorn", "ethosu", "nbgrader", "jupyterhub")
    found = look(course, "extras", python=python, before="PATH=/nowhere")
    texts = [one.text for one in found]
    assert {one.status for one in found} == {doctor.NOTE}
    assert [text.partition(":")[0] for text in texts] == [
        "no npm",
        "no chromium",
        "no unicorn",
        "no ethosu",
        "no nbgrader, jupyterhub",
    ]
    assert "`make book`" in texts[0] and "lesson 17" in texts[2] and "lesson 18" in texts[3]
    assert '-e ".[micro]"' in found[2].command


def test_an_installed_copy_is_looked_at_as_well(course, tmp_path):
    """It has neither notebooks nor a lock, and is not where its packages come from."""
    shutil.move(course / "data", course / "lessons_lib" / "_data")
    for name in ("pyproject.toml", "uv.lock"):
        (course / name).unlink()
    checks = "python", "disk", "writing", "packages", "data"
    found = look(course, *checks, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert [(one.check, one.status) for one in found] == [(name, doctor.OK) for name in checks]
    python = environment_without(tmp_path / "env", "jupyterlab")
    one = problem(look(course, "kernel", python=python), "no jupyterlab")
    assert '".[lab]"  # in the course\'s folder' in one.command


# ---- as a command


def lessons(*arguments, **environment):
    command = [sys.executable, "-m", "lessons_lib.cli", "doctor", *arguments]
    given = os.environ | environment
    done = subprocess.run(command, cwd=files.ROOT, env=given, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_a_check_that_there_is_not_is_bad_usage():
    status, out, err = lessons("prot")
    assert (status, out) == (2, "")
    assert "no check prot; there are: python, processor" in err


def test_on_a_terminal_words_fit_and_commands_stay_whole(tmp_path):
    (tmp_path / "file").touch()
    given = {"COLUMNS": "80", "LESSONS_ARTIFACTS": str(tmp_path / "file")}
    status, out, err = lessons("python", "writing", **given)
    assert (status, err) == (1, "")
    lines = out.splitlines()
    assert lines[0].startswith("ok       python    Python 3.")
    assert lines[-1] == "1 to mend, 0 to know."
    assert '    $ export LESSONS_ARTIFACTS="$HOME/lessons-artifacts"' in lines
    assert all(len(line) <= 80 or " " not in line.strip() for line in lines if "$ " not in line)


def test_json_has_one_schema():
    status, out, _ = lessons("data", "--json")
    report = json.loads(out)
    assert status == 0
    assert list(report) == ["schema", "problems", "notes", "findings"]
    (row,) = report["findings"]
    assert list(row) == ["check", "status", "text", "cure", "command"]
