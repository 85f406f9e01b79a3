"""The ``lessons`` command: quantize a model, run the lessons, open them, print the scoreboard.

Heavy imports stand inside the commands: ``lessons --help`` answers at once.
"""

import contextlib
import dataclasses
import importlib.util
import json
import math
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.status import Status
from rich.table import Table
from typer.core import TyperGroup

from lessons_lib.errors import ChildDied, InputError, LessonError, StorageError
from lessons_lib.system import files

if TYPE_CHECKING:
    from lessons_lib.advise.report import Finding, Report
    from lessons_lib.course.notebooks import Run

out = Console(width=None if sys.stdout.isatty() else 120)  # a file has room for the tables
err = Console(stderr=True, highlight=False)
# What the extra `lab` brings, as modules: running lessons needs it, quantizing a model does not.
LAB = ("IPython", "ipykernel", "jupyter_core", "jupyterlab", "matplotlib", "nbclient", "nbformat")
CLASS = ("nbgrader",)  # what `lessons class` needs of the extra `class`


class _Lessons(TyperGroup):
    """Shows the course's own errors as one message; others are bugs and keep their traceback."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except BaseException as error:
            if _is_interrupt(error):
                err.print("Interrupted.")
                raise typer.Exit(130) from error
            if isinstance(error, LessonError):
                err.print(f"[bold red]Error:[/] {escape(str(error))}", soft_wrap=True)
                raise typer.Exit(1) from error
            raise


def _is_interrupt(error: BaseException | None) -> bool:
    """Ctrl-C, also in the middle of a C++ module's import, which makes an ImportError of it."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__
    return error is not None


app = typer.Typer(
    cls=_Lessons,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="TensorFlow Lite quantization, lesson by lesson.",
)
Folder = Annotated[Path | None, typer.Option(metavar="DIR", help="Instead of notebooks/.")]


@app.command()
def run(
    numbers: Annotated[list[str] | None, typer.Argument(metavar="[NN]...")] = None,
    folder: Folder = None,
) -> None:
    """Execute all lessons, or those with the given numbers; the copies go to artifacts/runs."""
    _require_lab()
    from lessons_lib.course import notebooks

    runs = [_run(path) for path in notebooks.find(numbers or (), folder)]
    out.print(_runs_table(runs))
    failed = [run for run in runs if run.failure]
    for one in failed:
        message = f"{one.notebook.name}, {one.failure}\n  see {files.display_path(one.copy)}"
        err.print(f"[bold red]Failed:[/] {escape(message)}", soft_wrap=True)
    if failed:
        raise typer.Exit(1)


def _missing(modules: tuple[str, ...]) -> str:
    """Name those that are not installed."""
    return ", ".join(name for name in modules if importlib.util.find_spec(name) is None)


def _require_lab() -> None:
    if missing := _missing(LAB):
        raise InputError(
            f"the lessons need {missing}, which are not installed: they come with the "
            'extra `lab`. In the course\'s folder: `make lab`, `pip install -e ".[lab]"`, or '
            "`uv run --extra lab lessons lab`"
        )


def _run(path: Path) -> "Run":
    """Execute one notebook behind a progress bar; without a terminal, one line at its end."""
    from lessons_lib.course import notebooks

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    look = {"console": out, "transient": True, "disable": not out.is_terminal}
    with Progress(*columns, TextColumn("cells"), TimeElapsedColumn(), **look) as live:
        task = live.add_task(path.stem, total=None)
        result = notebooks.run(path, lambda n, total: live.update(task, completed=n, total=total))
    mark = "[red]failed[/]" if result.failure else "[green]passed[/]"
    out.print(f"{mark} {path.stem} in {result.seconds:.1f} s", highlight=False)
    return result


def _runs_table(runs: "list[Run]") -> Table:
    table = Table("lesson", "result")
    for name in ("cells", "seconds"):
        table.add_column(name, justify="right")
    for one in runs:
        result = f"[red]failed in code cell {one.failure.cell}[/]" if one.failure else "passed"
        table.add_row(one.notebook.stem, result, str(one.cells), f"{one.seconds:.1f}")
    table.add_section()
    table.add_row("all", "", str(sum(r.cells for r in runs)), f"{sum(r.seconds for r in runs):.1f}")
    return table


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def lab(ctx: typer.Context, folder: Folder = None) -> None:
    """Open JupyterLab at the first lesson; further arguments go to JupyterLab."""
    _require_lab()
    from lessons_lib.course import notebooks

    first = notebooks.find(folder=folder)[0].resolve()
    root = f"--ServerApp.root_dir={first.parent.parent}"
    command = [sys.executable, "-m", "jupyterlab", str(first), root, *ctx.args]
    # Switches off a question that would cover outputs: whether it may fetch JupyterLab's news.
    ours, theirs = Path(notebooks.__file__).with_name("jupyter"), "JUPYTER_CONFIG_PATH"
    os.environ[theirs] = os.pathsep.join(filter(None, [str(ours), os.environ.get(theirs)]))
    if os.name == "nt":
        raise typer.Exit(subprocess.run(command).returncode)
    os.execv(command[0], command)  # so that Ctrl-C reaches JupyterLab, which asks before it stops


@app.command(name="doctor")
def doctor_command(
    checks: Annotated[
        list[str] | None, typer.Argument(metavar="[CHECK]...", help="Only these, such as data.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Look whether this machine is fit for the lessons; name what is not, and what mends it.

    Ends with 1 where there is something to mend. Where this command itself does not start:
    python -m lessons_lib.course.doctor
    """
    from lessons_lib.course import doctor

    raise typer.Exit(doctor.main([*(checks or ()), *(["--json"] if as_json else [])]))


class_app = typer.Typer(
    name="class",
    cls=_Lessons,
    no_args_is_help=True,
    help="Assignments for a class: made from lessons, collected, graded through nbgrader.",
)
app.add_typer(class_app)
Course = Annotated[Path, typer.Option("--course", metavar="DIR", help="The course's folder.")]
Number = Annotated[str, typer.Argument(metavar="NN", help="The lesson's number.")]
HERE = Path(".")


def _require_class() -> None:
    if missing := _missing(CLASS):
        raise InputError(
            f"assignments need {missing}, not installed: the extra `class` brings it. "
            'In the course\'s folder: `pip install -e ".[class]"`, or `uv run --extra class '
            "lessons class ...`"
        )


@class_app.command(name="init")
def class_init(folder: Annotated[Path, typer.Argument(metavar="DIR")]) -> None:
    """Set a course up in a folder; what is there is kept."""
    _require_class()
    from lessons_lib.course import classroom

    config = classroom.init(folder)
    text = f"The course stands in {config.parent}; in it: `lessons class release 0`"
    out.print(text, highlight=False, markup=False, soft_wrap=True)


@class_app.command(name="release")
def class_release(number: Number, course: Course = HERE) -> None:
    """Make a lesson's assignment: the teacher's notebook, and the learners' with blanks."""
    _require_class()
    from lessons_lib.course import classroom

    path = classroom.release(course, number)
    out.print(f"For the learners: {escape(str(path))}", soft_wrap=True)


@class_app.command(name="collect")
def class_collect(
    number: Number,
    given: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="DIR", help="Has a folder for each learner; else that of `make hub`."
        ),
    ] = None,
    course: Course = HERE,
) -> None:
    """Take what learners handed in from a folder; ends with 1 where a notebook is missing."""
    _require_class()
    from lessons_lib.course import classroom

    handed = classroom.collect(course, number, given or course / "hub" / "assignments")
    missing = [one for one in handed if one.path is None]
    out.print(f"{len(handed) - len(missing)} of {len(handed)} collected")
    for one in missing:
        err.print(f"[bold red]Not collected:[/] {escape(f'{one.student}: {one.why}')}",
                  soft_wrap=True)  # fmt: skip
    for one in handed:
        if one.note:
            err.print(f"[bold yellow]Look at:[/] {escape(f'{one.student}: {one.note}')}",
                      soft_wrap=True)  # fmt: skip
    raise typer.Exit(bool(missing))


@class_app.command(name="grade")
def class_grade(
    number: Number,
    students: Annotated[list[str] | None, typer.Argument(metavar="[STUDENT]...")] = None,
    course: Course = HERE,
    minutes: Annotated[float, typer.Option(min=0.1, max=1e4, help="For one submission.")] = 10,
    memory: Annotated[float, typer.Option(min=0.1, max=1e4, metavar="GIB", help="For one.")] = 4,
    jobs: Annotated[
        int, typer.Option(min=0, metavar="N", help="At a time; 0: as this machine allows.")
    ] = 0,
) -> None:
    """Grade what was collected; started again, it goes on where it was stopped.

    Ends with 1 where a submission could not be graded, and is to be tried again.
    """
    _require_class()
    from lessons_lib.course import classroom
    from lessons_lib.system.limits import Limits

    if why := classroom.unconfined():
        err.print(f"[bold yellow]Learners' code runs as you do, and sees what you see:[/] "
                  f"{escape(why)}", soft_wrap=True)  # fmt: skip
    bounds = Limits(seconds=60 * minutes, memory=int(memory * 2**30))
    failed = False
    for one in classroom.grade(course, number, bounds, students or (), jobs):
        failed |= not one.graded
        points = f"{one.points:g} of {one.worth:g}" if one.graded else "not graded"
        out.print(f"{one.student}: {points}", highlight=False, markup=False)
        if one.mends:
            text = f"  put back into shape, cells that differed: {len(one.mends)}"
            out.print(text, highlight=False)
        for text in one.to_look_at:
            err.print(f"  [bold yellow]Look at:[/] {escape(text)}", soft_wrap=True)
    if failed:
        raise typer.Exit(1)


@class_app.command(name="feedback")
def class_feedback(number: Number, course: Course = HERE) -> None:
    """Write a page for each graded submission."""
    _require_class()
    from lessons_lib.course import classroom

    for path in classroom.feedback(course, number):
        out.print(str(path), highlight=False, markup=False, soft_wrap=True)


@class_app.command(name="export")
def class_export(
    to: Annotated[Path, typer.Argument(metavar="FILE.csv")], course: Course = HERE
) -> None:
    """Write all grades as CSV, with what a teacher should look at."""
    _require_class()
    from lessons_lib.course import classroom

    files.write_atomic(to, "\ufeff" + classroom.export(course))  # so that Excel reads umlauts


_MORE = "What is tried"
_FOR = "What for"


@app.command(name="quantize")
def quantize_command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A SavedModel, .keras, .h5, .tflite, or FILE.py with model()."
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help=".npz, .npy, .csv, a folder of images, tfds:NAME, or a .py with calibration() and "
            "test(). Without it, only the paths that need no samples.",
        ),
    ] = None,
    calibration: Annotated[
        str | None, typer.Option(metavar="DATA", help="Samples that calibrate, kept apart.")
    ] = None,
    test: Annotated[str | None, typer.Option(metavar="DATA", help="Samples that test.")] = None,
    column: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The targets' column of a .csv.")
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(metavar="SCALE", help="Of images: 0..1, -1..1, 0..255, or mean,std."),
    ] = None,
    signature: Annotated[str | None, typer.Option(metavar="NAME", help="Of the model.")] = None,
    code: Annotated[
        Path | None, typer.Option(metavar="FILE.py", help="Has the model's own layers.")
    ] = None,
    task: Annotated[
        str, typer.Option(help="auto, classification, regression, ...", rich_help_panel=_FOR)
    ] = "auto",
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MACHINE",
            help="cpu, gpu, microcontroller, ethos-u, edgetpu, browser. (Any other word is taken "
            "for --column.)",
            rich_help_panel=_FOR,
        ),
    ] = None,
    prefer: Annotated[
        str, typer.Option(help="size, speed or fidelity.", rich_help_panel=_FOR)
    ] = "size",
    max_drop: Annotated[
        str | None,
        typer.Option(metavar="SHARE", help="Accepted drop: 0.01, or 1%.", rich_help_panel=_FOR),
    ] = None,
    max_bytes: Annotated[
        int | None, typer.Option(metavar="N", help="Of the file.", rich_help_panel=_FOR)
    ] = None,
    paths: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Only these, by commas.", rich_help_panel=_MORE),
    ] = None,
    tune: Annotated[bool, typer.Option(help="Mend what fails.", rich_help_panel=_MORE)] = True,
    budget: Annotated[
        str, typer.Option(metavar="SECONDS", help="For mending.", rich_help_panel=_MORE)
    ] = "120s",
    seed: Annotated[int, typer.Option(help="Of the split.", rich_help_panel=_MORE)] = 0,
    jobs: Annotated[
        int, typer.Option(metavar="N", help="Processes at work.", rich_help_panel=_MORE)
    ] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Of a Dask cluster.", rich_help_panel=_MORE),
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Else quantized/NAME.")
    ] = None,
    json_file: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="The report; - prints it.")
    ] = None,
    check: Annotated[
        Path | None, typer.Option(metavar="REPORT.json", help="Fail if it is worse than this.")
    ] = None,
) -> None:
    """Try every path on a model and your data; recommend one; write the file and what runs it.

    Exit status: 0 a quantized file passes, 3 none does, 2 a wrong argument, model or data, 1 a
    fault of ours or of the machine.
    """
    with _refusals(), err.status("Starting ...") as status:
        from lessons_lib.advise import outputs
        from lessons_lib.advise import report as reports
        from lessons_lib.quantize import quantize_model

        given = [part for part in (data, calibration, test) if part is not None]
        if "" in (model, *given):
            raise InputError("the name of the model or of the data is empty")
        machine, column = _machine_and_column(target or [], column, given)
        before = None if check is None else reports.read(check)
        folder = folder or outputs.default_folder(Path("quantized"), model)
        if json_file not in (None, "-"):
            _require_writable(Path(json_file))
        found = quantize_model(
            model,
            data,
            calibration=calibration,
            test=test,
            column=column,
            scale=scale,
            signature=signature,
            code=code,
            task=task,
            target=machine,
            prefer=prefer,
            max_drop=max_drop,
            max_bytes=max_bytes,
            paths=None if paths is None else [name.strip() for name in paths.split(",")],
            tune=tune,
            budget=_seconds(budget),
            seed=seed,
            jobs=jobs,
            scheduler=scheduler,
            out=folder,
            earlier=before,
            command=shlex.join(["lessons", *sys.argv[1:]]),
            on_progress=lambda words: _tell(status, words),
        )
        worse = [] if before is None else reports.compare(before, found)
    _print_report(found, folder, json_file)
    for line in worse:
        err.print(f"[bold red]Worse:[/] {escape(line)}", soft_wrap=True)
    raise typer.Exit(3 if worse or not found.passes else 0)


@app.command()
def export(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL.tflite", help="A full-integer file: int8, uint8; for npu int16x8 too."
        ),
    ],
    to: Annotated[
        str,
        typer.Option(
            metavar="FORM", help="c: C99 for a microcontroller; npu: compiled for an Ethos-U."
        ),
    ] = "c",
    folder: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Else c/NAME, or npu/NAME.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="How the C names begin; else as the file.")
    ] = None,
    accelerator: Annotated[
        str | None,
        typer.Option(metavar="NPU", help="Which Ethos-U, its kind and size; else ethos-u55-128."),
    ] = None,
) -> None:
    """Write a model as C, with a test that shows that it computes what TFLite-Micro does.

    Or compile it for an NPU, with the compiler's report of what lands there and what does not.
    """
    with _refusals():
        if to not in _FORMS:
            raise InputError(f"--to {to}: expected {' or '.join(_FORMS)}")
        if name and to == "npu":
            raise InputError("--name belongs to --to c: a compiled model is called as its file is")
        if accelerator and to == "c":
            raise InputError("--accelerator belongs to --to npu: C runs on any processor")
        _FORMS[to](model, folder or Path(to, model.stem), name, accelerator)


def _export_c(model: Path, folder: Path, name: str | None, _: str | None) -> None:
    from lessons_lib.targets import firmware

    called = name or _c_name(model.stem)
    written = firmware.export(model, folder, called)
    out.print(f"{called}.c, {called}.h and their test: {escape(str(written))}", soft_wrap=True)
    out.print(f"Try them: make -C {escape(shlex.quote(str(written)))}", soft_wrap=True)


def _c_name(stem: str) -> str:
    """A name for C like the file's."""
    letters = re.sub(r"\W", "_", stem, flags=re.ASCII)
    return (letters if letters[:1].isalpha() else f"model_{letters}")[:31]


def _export_npu(model: Path, folder: Path, _: str | None, accelerator: str | None) -> None:
    from lessons_lib.targets import npu

    accelerator = accelerator or npu.ACCELERATOR
    fit = npu.export(model, folder, accelerator)
    on_cpu = fit.on("cpu")
    out.print(f"{model.stem}_vela.tflite and its report: {escape(str(folder))}", soft_wrap=True)
    out.print(
        f"{len(fit.on('npu'))} operators on {accelerator}, {len(on_cpu)} on the CPU. Estimated, "
        f"for the NPU alone: {fit.milliseconds:.3f} ms, {fit.sram:,} bytes of SRAM",
        soft_wrap=True,
    )
    for op in on_cpu:
        text = f"{op.operator} ({op.layer}): {op.why or 'no reason is given'}"
        out.print(f"[yellow]On the CPU:[/] {escape(text)}", soft_wrap=True)


_FORMS = {"c": _export_c, "npu": _export_npu}


def _tell(status: Status, words: str) -> None:
    """What is being done, beside the spinner; without a terminal, on a line of its own."""
    words = f"{words[:1].upper()}{words[1:]} ..."
    status.update(words)
    if not err.is_terminal:
        err.print(words)


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """What is wrong with the user's own input ends with 2, what is wrong with us with 1."""
    try:
        yield
    except LessonError as error:
        err.print(f"[bold red]Error:[/] {escape(str(error))}", soft_wrap=True)
        ours = isinstance(error, ChildDied | StorageError)
        raise typer.Exit(1 if ours else 2) from error


def _require_writable(file: Path) -> None:
    """What is written at the end is asked for at the beginning."""
    if file.is_dir() or not os.access(file if file.exists() else file.parent, os.W_OK):
        raise InputError(f"--json {file}: expected a file that can be written, or - to print it")


def _machine_and_column(
    words: list[str], column: str | None, given: list[str]
) -> tuple[str, str | None]:
    """``--target`` names a machine, or, as in other tools, the column of a table."""
    from lessons_lib.advise.recommendation import TARGETS

    machines = [word for word in words if word in TARGETS]
    columns = [word for word in words if word not in TARGETS] + ([column] if column else [])
    if len(machines) > 1 or len(columns) > 1:
        raise InputError(
            f"--target {' '.join(words)}: one machine ({', '.join(TARGETS)}), and one column of a "
            ".csv, which is better said as --column"
        )
    if columns and not column and not any(part.lower().endswith(".csv") for part in given):
        raise InputError(f"--target {columns[0]}: expected {', '.join(TARGETS)}")
    return (machines or ["cpu"])[0], (columns or [None])[0]


def _seconds(text: str) -> float:
    try:
        seconds = float(text.removesuffix("s"))
    except ValueError:
        raise InputError(f"--budget {text}: expected seconds, such as 120 or 120s") from None
    if not seconds >= 0:
        raise InputError(f"--budget {text}: expected seconds from 0 on")
    return seconds


def _print_report(found: "Report", folder: Path, json_file: str | None) -> None:
    from lessons_lib.advise.report import PICKS

    if json_file == "-":
        sys.stdout.write((folder / "report.json").read_text("utf-8"))
        return
    if json_file is not None:
        files.write_atomic(json_file, (folder / "report.json").read_bytes())
    model = found.model
    ends = (", ".join(end.name for end in side) for side in (model.inputs, model.outputs))
    out.print(f"[bold]{escape(model.source)}[/]: {escape(' -> '.join(ends))}, "
              f"{model.parameters:,} parameters", soft_wrap=True)  # fmt: skip
    for guard in found.guards:
        out.print(f"[yellow]{guard.level.capitalize()}:[/] {escape(guard.text)}", soft_wrap=True)
    out.print(_report_table(found))
    for reason, names in _failures(found).items():
        out.print(f"[red]No file:[/] {escape(', '.join(names))}: {escape(reason)}", soft_wrap=True)
    for key, title in PICKS.items():
        pick = found.picks[key]
        out.print(f"[bold]{title}: {escape(pick.row or 'none')}[/], {escape(pick.why)}",
                  soft_wrap=True)  # fmt: skip
    if found.next_step:
        out.print(f"[bold]Next:[/] {escape(found.next_step)}", soft_wrap=True)
    out.print(f"All files, the report and what runs it: {escape(str(folder))}", soft_wrap=True)


def _report_table(found: "Report") -> Table:
    """A line for each file, the best decision and the smallest file first, float32 on top."""
    from lessons_lib.judge.verdict import FAILS, PASSES, UNDECIDED

    made = [row for row in found.rows if row.failure is None]
    order = (PASSES, UNDECIDED, FAILS, "")
    first, *others = made
    measures = {one.output: one.measure for row in made for one in row.findings}
    table = Table(caption="; ".join(f"{name}: {measures[name]}" for name in measures) or None)
    for name in ("row", "bytes", "smaller", "quality", "time", "verdict"):
        table.add_column(name, justify="left" if name in ("row", "verdict") else "right",
                         no_wrap=name != "verdict")  # fmt: skip
    for row in [first, *sorted(others, key=lambda row: (order.index(row.decision), row.bytes))]:
        time = "" if row.latency_ratio is None else f"{row.latency_ratio:.2f}x"
        words = [row.decision, row.worst.kind if row.worst and row is not first else ""]
        table.add_row(
            escape(row.name), f"{row.bytes:,}", f"{row.smaller:.2f}x",
            escape(_quality(row.worst, several=len(measures) > 1)),
            time, escape(": ".join(filter(None, words))),
        )  # fmt: skip
    return table


def _quality(worst: "Finding | None", several: bool) -> str:
    """What a row measures; of several outputs on the one that decides, which is named."""
    if worst is None or worst.value is None or not math.isfinite(worst.value):
        return ""
    return f"{worst.output} {worst.value:.4g}" if several else f"{worst.value:.4g}"


def _failures(found: "Report") -> dict[str, list[str]]:
    """The rows without a file, by the reason why not."""
    by_reason: dict[str, list[str]] = {}
    for row in found.rows:
        if row.failure is not None:
            by_reason.setdefault(row.failure, []).append(row.name)
    return by_reason


@app.command()
def scoreboard(
    model: Annotated[
        Path | None,
        typer.Option(metavar="MODEL", help="A SavedModel, .keras, .h5 or .tflite; else mnist_cnn."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the rows there as JSON.")
    ] = None,
) -> None:
    """Send a model down every path; print size, accuracy, agreement and latency of each."""
    from lessons_lib import scoreboard as board
    from lessons_lib.models import training

    folder = files.artifacts("scoreboard")
    with err.status("Converting along each path and measuring, about a minute ..."):
        known = board.RANGES[0] if model is None else None
        rows = board.build(model or training.reference(), folder, value_range=known)
    for row in rows:
        if row.failure:
            err.print(f"[bold red]No {row.name}:[/] {escape(row.failure)}", soft_wrap=True)
    lines = board.text(rows)
    others = [name for name in lines[0] if name not in ("path", *_COST)]
    out.print(_scoreboard_table("What each path costs", lines, _COST))
    out.print(_scoreboard_table("How each path answers", lines, others))
    out.print(f"All files, and the report: {escape(files.display_path(folder))}", soft_wrap=True)
    if json_file is not None:
        fields = [dataclasses.asdict(row) for row in rows]
        files.write_atomic(json_file, json.dumps(fields, indent=2) + "\n")


# Two tables: all columns in one are wider than a terminal.
_COST = ("bytes", "smaller", "µs an image", "integer only", "input / output")


def _scoreboard_table(title: str, lines: list[dict[str, str]], names: Sequence[str]) -> Table:
    table = Table(title=title)
    for name in ("path", *names):
        words = name in ("path", "integer only", "input / output")
        table.add_column(name, justify="left" if words else "right", no_wrap=name == "path")
    for line in lines:
        table.add_row(*(escape(line[name]) for name in ("path", *names)))
    return table


if __name__ == "__main__":
    app()
