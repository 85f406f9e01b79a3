"""The ``lessons`` command, run as a learner runs it, on small notebooks; and its faults."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import reports
from builders import code, markdown, write
from lessons_lib import cli, files, notebooks, paths

LESSONS = [sys.executable, "-m", "lessons_lib.cli"]
HANGS = 1_200  # seconds: far beyond what a busy machine needs
posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals and limits")
needs_proc = pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")


def lessons(*arguments, **options):
    """Run the command; return (exit status, stdout, stderr)."""
    options = {"capture_output": True, "text": True, "timeout": HANGS, **options}
    done = subprocess.run([*LESSONS, *map(str, arguments)], **options)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def folder(tmp_path, artifacts):
    """A folder with one lesson that works; its kernel shows where it runs."""
    here = tmp_path / "notebooks"
    write(here / "01_good.ipynb", markdown("# 01. Good"), code("from pathlib import Path"),
          code("print(Path.cwd().name)"))  # fmt: skip
    return here


def _processes_with(mark):
    """Return the ids of the processes with ``mark`` in their command line or environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            text = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
        except OSError:
            continue
        if mark.encode() in text and int(process.name) != os.getpid():
            found.append(int(process.name))
    return found


def _wait_for(condition):
    end = time.monotonic() + HANGS
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def _interrupt(*arguments, when):
    """Start the command, press Ctrl-C when ``when(mark)`` holds; nothing of it may stay alive."""
    mark = f"LESSONS_TEST=of-{os.getpid()}-{arguments[0]}"
    command = subprocess.Popen(
        [*LESSONS, *map(str, arguments)],
        env={**os.environ, **dict([mark.split("=")])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job ignores SIGINT, and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    _wait_for(lambda: when(mark))
    command.send_signal(signal.SIGINT)
    _, err = command.communicate(timeout=HANGS)
    assert (command.returncode, err.strip()) == (130, "Interrupted.")
    _wait_for(lambda: not _processes_with(mark))


def test_ctrl_c_in_the_middle_of_an_import_is_ctrl_c(monkeypatch, capsys):
    """pybind11 says ``initialization failed`` then, and names what was raised as the cause."""

    def importing(*_):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise ImportError("initialization failed") from error

    monkeypatch.setattr(notebooks, "find", importing)
    with pytest.raises(SystemExit) as ended:
        cli.app(["run"])
    assert ended.value.code == 130
    assert capsys.readouterr().err == "Interrupted.\n"


# lessons run


def test_run_executes_and_keeps_a_copy(folder, artifacts):
    before = (folder / "01_good.ipynb").read_bytes()
    status, out, err = lessons("run", "--folder", folder)
    assert (status, err) == (0, "")
    assert "passed 01_good in" in out
    copy = notebooks.read(artifacts / "runs" / "notebooks" / "01_good.ipynb")
    assert [cell.execution_count for cell in notebooks.code_cells(copy)] == [1, 2]
    assert copy.cells[2].outputs[0].text == "notebooks\n"
    assert (folder / "01_good.ipynb").read_bytes() == before


def test_run_names_the_failing_cell_and_goes_on(folder, artifacts):
    write(folder / "02_bad.ipynb", code("x = 1"), code("# divide\n1 / 0"), code("x = 2"))
    write(folder / "03_next.ipynb", code("x = 1"))
    status, out, err = lessons("run", "--folder", folder)
    assert status == 1
    assert "02_bad.ipynb, code cell 2, `# divide`: ZeroDivisionError: division by zero" in err
    assert "passed 03_next" in out
    copy = notebooks.read(artifacts / "runs" / "notebooks" / "02_bad.ipynb")
    assert copy.cells[1].outputs[0].ename == "ZeroDivisionError"
    assert copy.cells[2].execution_count is None


def test_a_lesson_and_its_solution_keep_a_copy_each(folder, artifacts):
    twin = write(folder / "solutions" / "01_good.ipynb", code("x = 1"))
    copies = [notebooks.run(path).copy for path in (folder / "01_good.ipynb", twin)]
    runs = artifacts / "runs"
    assert copies == [runs / name / "01_good.ipynb" for name in ("notebooks", "solutions")]
    assert [len(notebooks.code_cells(notebooks.read(copy))) for copy in copies] == [2, 1]


def test_run_expects_tagged_errors(folder, artifacts):
    path = write(folder / "02_raises.ipynb", code("1 / 0", "raises-exception"), code("x = 1"))
    assert notebooks.run(path).failure is None


def test_run_only_the_lessons_asked_for(folder, artifacts):
    write(folder / "02_bad.ipynb", code("1 / 0"))
    assert lessons("run", "01", "--folder", folder)[0] == 0
    assert os.listdir(artifacts / "runs" / "notebooks") == ["01_good.ipynb"]


def test_run_lesson_0(folder, artifacts):
    write(folder / "00_door.ipynb", code("x = 0"))
    status, out, err = lessons("run", "0", "--folder", folder)
    assert (status, err) == (0, "")
    assert "passed 00_door in" in out
    assert "01_good" not in out


def test_run_without_such_a_lesson(folder, tmp_path):
    status, _, err = lessons("run", "7", "--folder", folder)
    assert (status, err) == (1, "Error: no lesson 07; there are: 01\n")
    status, _, err = lessons("run", "--folder", tmp_path / "empty")
    assert status == 1
    assert err.startswith("Error: no lesson (NN_name.ipynb) in ")


def test_run_a_file_that_is_no_notebook(folder):
    (folder / "02_torn.ipynb").write_text('{"cells": [')
    status, _, err = lessons("run", "2", "--folder", folder)
    assert status == 1
    assert "02_torn.ipynb is not a notebook" in err
    assert "Traceback" not in err


def test_progress_counts_code_cells(folder, artifacts):
    seen = []
    result = notebooks.run(folder / "01_good.ipynb", lambda *counts: seen.append(counts))
    assert seen == [(0, 2), (1, 2), (2, 2)]
    assert (result.cells, result.failure) == (2, None)
    assert result.seconds > 0


@posix
@pytest.mark.parametrize("signal_name", ["SIGKILL", "SIGSEGV"])
def test_killed_kernel_is_noticed_and_named(folder, artifacts, signal_name):
    kill = f"import os, signal, time\nos.kill(os.getpid(), signal.{signal_name})\ntime.sleep(90)"
    write(folder / "02_dies.ipynb", code("x = 1"), code(kill))
    result = notebooks.run(folder / "02_dies.ipynb")  # not noticed, it would run out of its time
    assert result.failure.cell == 2
    assert f"the kernel was ended by signal {signal_name}" in result.failure.error
    assert notebooks.run(folder / "01_good.ipynb").failure is None


@posix
@needs_proc
def test_killed_kernel_leaves_no_child(folder, artifacts):
    mark = f"sleep-of-{os.getpid()}"
    child = f"[sys.executable, '-c', 'import time; time.sleep(90) #{mark}']"
    source = f"import os, subprocess, sys\nsubprocess.Popen({child})\nos.kill(os.getpid(), 9)"
    write(folder / "02_dies.ipynb", code(source))
    assert notebooks.run(folder / "02_dies.ipynb").failure is not None
    _wait_for(lambda: not _processes_with(mark))


def test_exit_of_the_kernel_is_named(folder, artifacts):
    write(folder / "02_exits.ipynb", code("import os\nos._exit(3)"))
    failure = notebooks.run(folder / "02_exits.ipynb").failure
    assert failure.error == "the kernel ended with exit code 3"


def test_endless_cell_is_ended(folder, artifacts, monkeypatch):
    monkeypatch.setattr(notebooks, "CELL_TIMEOUT", 2)
    write(folder / "02_endless.ipynb", code("import time\ntime.sleep(90)"))
    failure = notebooks.run(folder / "02_endless.ipynb").failure
    assert failure.error == "not finished after 2 s"


@posix
@needs_proc
def test_ctrl_c_ends_everything_and_writes_nothing(folder, artifacts, tmp_path, usual_python):
    started = tmp_path / "started"
    sleep = f"import time\nfrom pathlib import Path\nPath({str(started)!r}).touch()\ntime.sleep(90)"
    write(folder / "02_sleeps.ipynb", code("x = 1"), code(sleep))
    _interrupt("run", "--folder", folder, when=lambda mark: started.exists())
    assert os.listdir(artifacts / "runs" / "notebooks") == ["01_good.ipynb"]


def test_artifacts_that_cannot_be_written(folder, artifacts):
    artifacts.write_text("a file in the folder's place")
    status, _, err = lessons("run", "--folder", folder)
    assert status == 1
    assert err.startswith("Error: cannot write ")
    assert "LESSONS_ARTIFACTS" in err
    artifacts.unlink()
    assert notebooks.run(folder / "01_good.ipynb").copy.exists()


@posix
def test_full_disk_leaves_no_half_written_copy(folder, artifacts):
    """A limit on the size of a file stands for the full disk: writing beyond it fails."""
    import resource

    path = write(folder / "02_large.ipynb", code("print('0123456789\\n' * 30_000)"))
    limit = (200_000, resource.RLIM_INFINITY)
    status, _, err = lessons(
        *("run", "2", "--folder", folder),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
    )
    assert status == 1
    assert "Error: cannot write" in err
    assert "02_large.ipynb" in err
    assert os.listdir(artifacts / "runs" / "notebooks") == []
    assert notebooks.read(notebooks.run(path).copy).cells[0].outputs


# Only the loopback is left, through which a kernel is spoken to.
WITHOUT_NETWORK = [
    *("unshare", "--map-root-user", "--net"),
    *("sh", "-c", 'ip link set lo up && exec "$@"', "sh"),
]


def _without_network(*command):
    return subprocess.run(
        [*WITHOUT_NETWORK, *command], capture_output=True, text=True, timeout=HANGS
    )


@posix
def test_a_lesson_runs_without_network(artifacts):
    """Lesson 04 reads the digits, converts a model and evaluates it, on an empty cache."""
    if shutil.which("unshare") is None or _without_network("true").returncode:
        pytest.skip("cutting the network needs Linux, unshare and ip")
    connect = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)"
    assert "unreachable" in _without_network(sys.executable, "-c", connect).stderr
    done = _without_network(*LESSONS, "run", "04")
    assert (done.returncode, done.stderr) == (0, "")


# lessons lab


def test_lab_passes_its_arguments_on(folder):
    status, out, _ = lessons("lab", "--folder", folder, "--version")
    assert status == 0
    assert out.startswith("4.")


@posix
def test_lab_opens_the_first_lesson(folder, monkeypatch):
    write(folder / "00_door.ipynb", code("x = 0"))
    started = []
    monkeypatch.setattr(os, "execv", lambda program, command: started.append(command))
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "mine")
    cli.app(["lab", "--folder", str(folder)], standalone_mode=False)
    (command,) = started
    assert str(folder / "00_door.ipynb") in command
    assert f"--ServerApp.root_dir={folder.parent}" in command
    own, others = os.environ["JUPYTER_CONFIG_PATH"].split(os.pathsep)
    config = json.loads(Path(own, "labconfig", "page_config.json").read_text("utf-8"))
    assert config["disabledExtensions"] == {"@jupyterlab/apputils-extension:announcements": True}
    assert others == "mine"


def test_lab_without_lessons(tmp_path):
    status, _, err = lessons("lab", "--folder", tmp_path)
    assert status == 1
    assert err.startswith("Error: no lesson")


# lessons scoreboard

FIELDS = {
    "name", "file", "bytes", "ratio", "accuracy", "accuracy_low", "accuracy_high", "agreement",
    "latency_us", "integer_only", "input_dtype", "output_dtype",
}  # fmt: skip


def test_scoreboard_prints_and_writes_each_path(tmp_path, artifacts):
    target = tmp_path / "rows.json"
    status, out, err = lessons("scoreboard", "--json", target)
    assert (status, err) == (0, "")
    rows = json.loads(target.read_text())
    assert [row["name"] for row in rows] == list(paths.PATHS)
    for row in rows:
        assert set(row) >= FIELDS
        assert row["name"] in out
        assert f"{row['bytes']:,}" in out
        assert Path(row["file"]).stat().st_size == row["bytes"]
        assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]
        assert row["integer_only"] == paths.PATHS[row["name"]].integer_only


def test_scoreboard_of_something_that_is_no_model(tmp_path, artifacts):
    status, out, err = lessons("scoreboard", "--model", tmp_path, "--json", tmp_path / "rows.json")
    assert (status, out) == (1, "")
    assert err.startswith("Error: ")
    assert "Traceback" not in err
    assert not (tmp_path / "rows.json").exists()


@posix
@needs_proc
def test_ctrl_c_ends_the_scoreboard_and_its_children(tmp_path, artifacts, usual_python):
    target = tmp_path / "rows.json"
    _interrupt("scoreboard", "--json", target, when=lambda mark: len(_processes_with(mark)) > 1)
    assert not target.exists()
    assert [file for file in artifacts.rglob("*") if ".tmp" in file.name] == []


# The command itself

WITHOUT_LAB = """
import sys
sys.modules.update(dict.fromkeys(["jupyterlab", "nbformat"]))  # as if they were not installed
from lessons_lib import cli
cli.app(sys.argv[1:])
"""


@pytest.mark.parametrize("command", ["run", "lab"])
def test_without_the_extra_lab_a_lessons_command_names_it(command):
    script = [sys.executable, "-c", WITHOUT_LAB, command]
    done = subprocess.run(script, cwd=files.ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: the lessons need jupyterlab, nbformat, which are not ")
    assert 'pip install -e ".[lab]"' in done.stderr


@pytest.mark.parametrize("case", ["classifier", "two_outputs", "nothing_passes", "without_data"])
def test_the_table_of_a_report_is_one_line_a_file(case):
    found = getattr(reports, case)()
    table = cli._report_table(found)
    names, sizes, qualities = (list(table.columns[i].cells) for i in (0, 1, 3))
    made = {row.name: row for row in found.rows if row.failure is None}
    assert sorted(names) == sorted(made) and names[0] == "float32"
    assert sizes == [f"{made[name].bytes:,}" for name in names]
    decisions = [made[name].decision for name in names[1:]]
    order = ["passes", "undecided", "fails", ""]
    assert decisions == sorted(decisions, key=order.index)
    assert "nan" not in qualities
    several = len({one.output for row in made.values() for one in row.findings}) > 1
    assert all((" " in quality) == several for quality in qualities if quality)


def test_rows_without_a_file_stand_by_their_reason():
    found = reports.classifier()
    broken = [dataclasses.replace(row, failure="no") for row in found.rows[1:3]]
    found = dataclasses.replace(found, rows=(found.rows[0], *broken))
    assert cli._failures(found) == {"no": [row.name for row in broken]}


def test_help_needs_nothing_heavy():
    script = "import sys, lessons_lib.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    heavy = {"tensorflow", "numpy", "pandas", "matplotlib", "nbclient", "nbformat", "jupyter_core"}
    assert heavy.isdisjoint(done.stdout.split())
    status, out, _ = lessons("--help")
    assert status == 0
    assert all(command in out for command in ("run", "lab", "scoreboard"))


def test_command_is_installed():
    done = subprocess.run([Path(sys.executable).with_name("lessons"), "--help"], cwd=files.ROOT)
    assert done.returncode == 0
