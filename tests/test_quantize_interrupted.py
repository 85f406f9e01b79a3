"""``lessons quantize`` is interrupted: whole files stay, no process does, and the next run goes on.

And what may be in a run's way: another run, somebody else's files, a disk that is full.
"""

import json
import os
import pickle
import re
import resource
import signal
import subprocess
from pathlib import Path

import numpy as np
import psutil
import pytest

import any_models
from lessons_lib import files, reader, runtime, sandbox
from lessons_lib.advise import outputs
from lessons_lib.errors import InputError, ModelFileError
from lessons_lib.quantize import quantize_model
from test_cli import LESSONS, _processes_with, _wait_for, lessons, needs_proc, posix

pytestmark = [posix, needs_proc]
PATHS = "dynamic_range,int8,weight_only_int8,float16"


@pytest.fixture(scope="module")
def brought(tmp_path_factory):
    """A small model, and samples whose targets are what it answers."""
    folder = tmp_path_factory.mktemp("brought")
    file = files.write_atomic(folder / "small.tflite", any_models.converted("binary"))
    x = np.random.default_rng(0).normal(size=(300, 40)).astype(np.float32)
    answer = runtime.Model(file).predict(x)
    np.savez(folder / "own.npz", x=x, y=(answer > 0.5).astype(np.int64).ravel())
    return file, "--data", folder / "own.npz", "--paths", PATHS, "--no-tune", "--max-drop", "10%"


def found(out):
    """The report without what differs from run to run."""
    report = json.loads((out / "report.json").read_text())
    for row in report["rows"]:
        del row["latency_us"], row["latency_ratio"]
    # Which file is recommended depends on the times.
    return {key: report[key] for key in ("model", "data", "tasks", "guards", "rows")}


@pytest.fixture(scope="module")
def undisturbed(brought, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    assert lessons("quantize", *brought, "--out", out)[0] == 0
    return found(out)


def without_progress(said):
    """The lines on the standard error that are no news of what a run is at."""
    return [line for line in said.splitlines() if not line.endswith(" ...")]


def require_whole(out):
    """Each file can be read to its end; hidden ones are on their way, and nobody reads them."""
    read = {
        ".npy": lambda file: np.load(file).sum(),
        ".npz": lambda file: [array.sum() for array in np.load(file).values()],
        ".tflite": reader.read,
        ".json": lambda file: json.loads(file.read_text()),
        ".result": lambda file: pickle.loads(file.read_bytes()),
        ".py": lambda file: compile(file.read_text(), str(file), "exec"),
        ".html": lambda file: file.read_text("utf-8").index("</html>"),
        ".lock": lambda file: None,
        ".txt": lambda file: Path(file.read_text("utf-8")).resolve(strict=True),  # the model's path
    }
    seen = [file for file in out.rglob("*") if file.is_file() and not file.name.startswith(".")]
    for file in seen:
        read.get(file.suffix, lambda file: pickle.loads(file.read_bytes()))(file)
    made = [*out.glob("files/*"), *out.glob("work/jobs/*")]
    return {file: file.stat().st_mtime_ns for file in made if not file.name.startswith(".")}


MOMENTS = {  # what is there, and then the signal
    "work/samples/*/*/*.npy": "INT",
    "files/*_litert.tflite": "TERM",
    "work/jobs/*.result": "KILL",
    "recommended.tflite": "INT",  # the report is not yet there
}


def at_work(command, out):
    """Whether a run has its folder: before, Python is still starting."""
    assert command.poll() is None, "it ended before it was interrupted"
    held = [Path(file.path) for file in psutil.Process(command.pid).open_files()]
    return out / "work" / "lessons-quantize.lock" in held


def test_what_is_interrupted_goes_on(brought, undisturbed, tmp_path, usual_python):
    """One folder, interrupted at one moment after the other, and then left in peace."""
    out, temporary = tmp_path / "out", tmp_path / "tmp"
    temporary.mkdir()
    mark = f"LESSONS_TEST=of-{os.getpid()}"
    kept = {}
    for pattern, name in MOMENTS.items():
        how = signal.Signals[f"SIG{name}"]
        command = subprocess.Popen(
            [*LESSONS, "quantize", *map(str, brought), "--out", str(out)],
            env={**os.environ, "TMPDIR": str(temporary), **dict([mark.split("=")])},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # A shell's background job ignores SIGINT, and its children inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        _wait_for(lambda p=pattern, c=command: at_work(c, out) and any(out.glob(p)))
        before = set(temporary.iterdir())
        if how == signal.SIGINT:
            os.killpg(command.pid, how)  # as a terminal does
        else:
            command.send_signal(how)
        _, said = command.communicate(timeout=60)
        # Ctrl-C inside of an exec(), as dataclasses do, is remembered: Python then ends by SIGINT.
        assert command.returncode in ({130, -how} if how == signal.SIGINT else {-how}), said
        if how == signal.SIGINT:
            assert without_progress(said) == ["Interrupted."]
            assert not set(temporary.iterdir()) - before
        _wait_for(lambda: not _processes_with(mark))
        now = require_whole(out)
        assert {file: now[file] for file in kept} == kept  # what was there was not made anew
        kept = now
    assert all(re.match(r"lessons-\d+-", left.name) for left in temporary.iterdir())
    status, _, said = lessons("quantize", *brought, "--out", out)
    assert (status, without_progress(said)) == (0, [])
    now = require_whole(out)
    assert {file: now[file] for file in kept} == kept
    assert found(out) == undisturbed
    assert not [file for file in out.rglob(".*.tmp")]


def test_a_full_disk_leaves_whole_files(brought, undisturbed, tmp_path, usual_python):
    out = tmp_path / "out"
    # Python 3.11 itself leaves half a .pyc where a disk is full.
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    for most in (10_000, 40_000):  # bytes that a file may have

        def limit(most=most):
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

        status, _, said = lessons("quantize", *brought, "--out", out, preexec_fn=limit, env=env)
        (line,) = without_progress(said)
        assert status == 1 and re.match("Error: .*(cannot write|no room)", line)
        require_whole(out)
    assert lessons("quantize", *brought, "--out", out)[0] == 0
    assert found(out) == undisturbed


def test_files_of_somebody_else_are_not_replaced(brought, tmp_path):
    (tmp_path / "run.py").write_text("print('mine')")
    status, _, said = lessons("quantize", *brought, "--out", tmp_path)
    assert status == 2 and "has files that no run wrote: run.py. They would be" in said
    assert [file.name for file in tmp_path.iterdir()] == ["run.py"]
    (tmp_path / "run.py").rename(tmp_path / "mine.py")
    with outputs.reserved(tmp_path):
        pass
    (tmp_path / "run.py").write_text("print('a run has written this')")
    with outputs.reserved(tmp_path):
        pass
    assert (tmp_path / "mine.py").exists()


def test_two_runs_in_one_folder_do_not_mix(brought, tmp_path):
    with outputs.reserved(tmp_path / "out"):
        status, _, said = lessons("quantize", *brought, "--out", tmp_path / "out")
        assert status == 2 and "another run is at work in" in said and "--out DIR" in said
        with pytest.raises(InputError, match="another run"), outputs.reserved(tmp_path / "out"):
            pass
    with outputs.reserved(tmp_path / "out"):
        pass


def test_a_source_is_not_changed(brought, tmp_path):
    for source in (tmp_path, str(tmp_path), tmp_path / "out"):
        with pytest.raises(InputError, match=r"lies inside .*, which it would change"):
            outputs.reserved(tmp_path / "out", source).__enter__()
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_said_so(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(InputError, match="no folder to write to"):
        outputs.reserved(tmp_path / "out").__enter__()


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("import os\ndef model():\n    os.abort()\n", "ended with signal SIGABRT"),
        (
            "def model():\n    while True:\n        pass\n",
            "took more than 6 s and was ended",
        ),
    ],
)
def test_a_model_that_dies_or_hangs_ends_the_run_and_is_named(code, how, tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox, "patience", lambda seconds: 6.0)
    (tmp_path / "own.py").write_text(code)
    with pytest.raises(ModelFileError, match=f"^own.py: the process that loaded it {how}"):
        quantize_model(tmp_path / "own.py", out=tmp_path / "out")
