"""The ``lessons`` command: run the lessons, open them, print the scoreboard.

Heavy imports stand inside the commands: ``lessons --help`` answers at once.
"""

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from typer.core import TyperGroup

from lessons_lib.errors import InputError, LessonError
from lessons_lib.system import files

if TYPE_CHECKING:
    from lessons_lib.course.notebooks import Run

out = Console(width=None if sys.stdout.isatty() else 120)  # a file has room for the tables
err = Console(stderr=True, highlight=False)
# What the extra `lab` brings, as modules: running lessons needs it, quantizing a model does not.
LAB = ("IPython", "ipykernel", "jupyter_core", "jupyterlab", "matplotlib", "nbclient", "nbformat")


class _Lessons(TyperGroup):
    """Shows the course's own errors as one message; others are bugs and keep their traceback."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except LessonError as error:
            err.print(f"[bold red]Error:[/] {escape(str(error))}", soft_wrap=True)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as error:
            err.print("Interrupted.")
            raise typer.Exit(130) from error


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


def _require_lab() -> None:
    missing = [name for name in LAB if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"the lessons need {', '.join(missing)}, which are not installed: they come with the "
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
    if os.name == "nt":
        raise typer.Exit(subprocess.run(command).returncode)
    os.execv(command[0], command)  # so that Ctrl-C reaches JupyterLab, which asks before it stops


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
    from lessons_lib.judge import scoreboard as board
    from lessons_lib.models import training

    with err.status("Converting along each path and measuring, about a minute ..."):
        source = model if model is not None else training.reference("mnist_cnn")
        rows = board.build(source, files.artifacts("scoreboard"))
    for row in rows:
        if row.failure:
            err.print(f"[bold red]No {row.name}:[/] {escape(row.failure)}", soft_wrap=True)
    lines = board.text(rows)
    others = [name for name in lines[0] if name not in ("path", *_COST)]
    out.print(_scoreboard_table("What each path costs", lines, _COST))
    out.print(_scoreboard_table("How each path answers", lines, others))
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
