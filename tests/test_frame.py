"""The frame around the lessons: make, conda, continuous integration, and a cheap import."""

import ast
import io
import itertools
import os
import re
import shutil
import subprocess
import sys
import tokenize
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import lessons_lib
from lessons_lib import cli, files

TARGETS = {"help", "setup", "lab", "lessons", "test", "book", "slides", "refresh", "lint", "bench"}
TARGETS |= {"test-class", "class", "hub"}
PYPROJECT = tomllib.loads((files.ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def read(name):
    return (files.ROOT / name).read_text(encoding="utf-8")


def targets_called(text):
    return set(re.findall(r"""(?:^|[`"\s])make ([a-z-]+)(?=[`"\s]|$)""", text, re.MULTILINE))


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("target", sorted(TARGETS))
def test_make_knows_the_target(target):
    done = subprocess.run(["make", "-n", target], cwd=files.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_does_not_hinder_bytecode(tmp_path):
    (tmp_path / "probe.mk").write_text("probe:\n\t@echo [$$PYTHONDONTWRITEBYTECODE]\n")
    make = shutil.which("make")
    command = [make, "-f", files.ROOT / "Makefile", "-f", tmp_path / "probe.mk", "probe"]
    environment = {"PATH": str(Path(shutil.which("sh")).parent), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.stdout == "[]\n"


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_without_a_fitting_python_says_so(tmp_path):
    old = tmp_path / "bin" / "python3"
    old.parent.mkdir()
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.1\nexit 1\n')
    old.chmod(0o755)
    shutil.copy(files.ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "uv.lock"):
        (tmp_path / name).touch()
    make = [shutil.which("make"), "setup"]
    done = subprocess.run(
        make, cwd=tmp_path, env={"PATH": str(old.parent)}, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "Python 3.11, 3.12 or 3.13 is needed; python3 here is: Python 3.9.1" in done.stderr
    assert not (tmp_path / ".venv").exists()


def test_make_help_lists_the_targets():
    assert targets_called(read("Makefile")) == TARGETS - {"help"}


def test_ci_calls_the_readmes_targets_after_installing_what_they_need():
    commands = [line for line in read(".ci/run").splitlines() if not line.startswith("#")]
    assert commands[:2] == ["set -eu", 'cd "$(dirname "$0")/.."']
    installs = [line for line in commands[2:-4] if "apt-get install" in line]
    for line, package in zip(installs, ("chromium", "firefox-esr", "bubblewrap"), strict=True):
        assert f"apt-get install -y -qq {package};" in line
    assert commands[-4:] == ["make book", "make test", "make test-class", "make lint"]


WORKFLOWS = {path.name: path for path in (files.ROOT / ".github" / "workflows").iterdir()}


def workflow(name):
    """A workflow's text as GitHub reads it; YAML 1.1 takes the key ``on`` for true."""
    content = yaml.safe_load(WORKFLOWS[name].read_text(encoding="utf-8"))
    content["on"] = content.pop(True)
    return content


def steps(job):
    return job.get("steps", [])


def shell_lines_with_expressions(jobs):
    """The shell lines into which GitHub puts a text, such as a branch's name, before they run."""
    return [
        step["run"] for job in jobs.values() for step in steps(job) if "${{" in step.get("run", "")
    ]


def test_a_pull_request_and_what_is_published_are_tested():
    tests, pages = workflow("tests.yml"), workflow("pages.yml")
    assert {"pull_request", "workflow_call"} <= set(tests["on"])
    assert ".ci/run" in [step.get("run") for step in steps(tests["jobs"]["tests"])]
    assert pages["jobs"]["tests"]["uses"] == f"./{WORKFLOWS['tests.yml'].relative_to(files.ROOT)}"
    for name, job in pages["jobs"].items():
        if any("deploy-pages" in step.get("uses", "") for step in steps(job)):
            assert job["needs"] == "tests", name


def test_the_workflow_publishes_what_make_builds():
    publish = steps(workflow("pages.yml")["jobs"]["publish"])
    (build,) = [step for step in publish if step.get("run") == "make book"]
    assert set(build["env"]) == {"LESSONS_REPOSITORY", "LESSONS_BRANCH"}
    (upload,) = [step for step in publish if "upload-pages-artifact" in step.get("uses", "")]
    assert upload["with"]["path"] == "book/_build/html"


@pytest.mark.parametrize("name", sorted(WORKFLOWS))
def test_no_branchs_name_reaches_a_shell_line(name):
    assert shell_lines_with_expressions(workflow(name)["jobs"]) == []


def test_a_branchs_name_in_a_shell_line_would_be_seen():
    line = "make book LESSONS_BRANCH=${{ github.ref_name }}"
    assert shell_lines_with_expressions({"publish": {"steps": [{"run": line}]}}) == [line]


@pytest.mark.parametrize("name", sorted(WORKFLOWS))
def test_only_the_job_that_publishes_may_write(name):
    content = workflow(name)
    assert content["permissions"] == {"contents": "read"}
    assert [n for n, job in content["jobs"].items() if "permissions" in job] in ([], ["publish"])
    assert "pull_request_target" not in content["on"]


MAKE = ("make", "--no-print-directory")  # below `make test` it would name its folder as well


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_make_hands_a_branchs_name_on_as_it_is(tmp_path):
    """A name may hold what make or a shell would run; only its words may arrive."""
    name = "a$(shell touch ran)`touch ran`;touch$IFS'ran"
    (tmp_path / "probe.mk").write_text('probe:\n\t@echo "$$LESSONS_BRANCH"\n')
    rules = ["-f", files.ROOT / "Makefile", "-f", tmp_path / "probe.mk"]
    done = subprocess.run(
        [*MAKE, *rules, "probe"],
        cwd=tmp_path,
        env={**os.environ, "LESSONS_BRANCH": name},
        capture_output=True,
        text=True,
    )
    assert (done.stdout, list(tmp_path.glob("ran"))) == (f"{name}\n", [])


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize(
    ("chosen", "commands"),
    [([], ["lessons run", "lessons scoreboard"]), (["NN=0 1"], ["lessons run 0 1"])],
)
def test_make_runs_the_chosen_lessons_and_nothing_else(chosen, commands):
    done = subprocess.run(
        [*MAKE, "-n", "lessons", *chosen], cwd=files.ROOT, capture_output=True, text=True
    )
    lines = [line.split("/")[-1].strip() for line in done.stdout.splitlines() if "/lessons" in line]
    assert lines == commands


def test_readme_calls_existing_targets():
    called = targets_called(read("README.md"))
    assert called <= TARGETS
    assert called >= {"lessons", "test"}


def test_environment_yml_is_in_step_with_pyproject():
    items = re.findall(r"^\s+- (.+)$", read("environment.yml"), re.MULTILINE)
    channel, python, pip, pip_again, editable = items
    assert (channel, pip, pip_again) == ("conda-forge", "pip", "pip:")
    assert python.startswith("python ")
    wanted = SpecifierSet(PYPROJECT["project"]["requires-python"])
    assert SpecifierSet(python.removeprefix("python ")) == wanted
    assert editable == "-e .[dev]"


def test_make_accepts_the_pythons_of_pyproject():
    test = r"not \((\d), (\d+)\) <= sys.version_info < \((\d), (\d+)\)"
    accepted = ">={}.{},<{}.{}".format(*re.search(test, read("Makefile")).groups())
    assert SpecifierSet(accepted) == SpecifierSet(PYPROJECT["project"]["requires-python"])


def test_no_file_names_an_index():
    for name in ("Makefile", "environment.yml", "pyproject.toml", ".ci/run", "package-lock.json"):
        assert "://" not in read(name), name


# ---- what may import what

# A module imports only from rooms before its own.
ROOMS = tuple(room for _, room, _ in lessons_lib.ROOMS)
FLOORS = tuple(dict.fromkeys(package for package, *_ in lessons_lib.ROOMS))
PACKAGES = {part for floor in FLOORS for part in floor.split(".") if floor[0] != "("}
SOURCES = sorted((files.ROOT / "lessons_lib").rglob("*.py"))
DEVELOPERS_SOURCES = sorted(
    path
    for name in ("tests", "tests/browser", "tools", "book")
    for path in (files.ROOT / name).glob("*.py")
)


def imported(text):
    """Each dotted name that a source imports, also inside a function."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms_used(text):
    """The rooms of the course that a source imports, or has a child process import."""
    called = re.findall(r"""(?<=["'])lessons_lib\.[\w.]+(?=:\w+["'])""", text)
    for name in [*imported(text), *called]:
        package, *rest = name.split(".")
        if package == "lessons_lib":
            yield from [part for part in rest if part in ROOMS][:1]


def room(path):
    """The room in which a source stands, None for what a package says of itself."""
    parts = path.relative_to(files.ROOT / "lessons_lib").with_suffix("").parts
    return next((part for part in parts if part in ROOMS), None)


def late_imports(path):
    """The rooms that a module uses and that do not stand before its own."""
    allowed = ROOMS[: ROOMS.index(room(path)) + 1]
    used = set(rooms_used(path.read_text(encoding="utf-8")))
    return sorted(used - set(allowed))


def test_every_module_has_its_room():
    assert {room(path) for path in SOURCES} - {None} == set(ROOMS)
    assert len(set(ROOMS)) == len(ROOMS)


def test_no_room_is_called_as_a_package_or_a_module_of_pythons():
    assert not set(ROOMS) & (PACKAGES | set(sys.stdlib_module_names))


@pytest.mark.parametrize(("package", "name", "subject"), lessons_lib.ROOMS)
def test_a_room_is_found_by_its_name(package, name, subject):
    home = () if package in ("(ground)", "(top)") else (package,)
    assert getattr(lessons_lib, name).__name__ == ".".join(["lessons_lib", *home, name])
    assert len(subject) > len(name)


def test_the_map_fits_on_a_screen_and_names_each_floor_once():
    """Rooms of one package stand together, so that packages import one another downwards only."""
    runs = [package for package, _ in itertools.groupby(lessons_lib.ROOMS, lambda row: row[0])]
    assert runs == list(FLOORS)
    page = (files.ROOT / "lessons_lib" / "__init__.py").read_text("utf-8").splitlines()
    assert len(page) <= 130


def test_packages_import_one_another_in_one_direction():
    """Seen by package: no two of them need each other, whatever their rooms do."""
    needs = {}
    for path in SOURCES:
        home = {name: package for package, name, _ in lessons_lib.ROOMS}
        if room(path):
            used = rooms_used(path.read_text("utf-8"))
            needs.setdefault(home[room(path)], set()).update(home[name] for name in used)
    for package, used in needs.items():
        assert all(FLOORS.index(other) <= FLOORS.index(package) for other in used), package


@pytest.mark.parametrize(
    "path", SOURCES, ids=lambda path: path.as_posix().partition("lessons_lib/")[2]
)
def test_a_module_imports_only_from_rooms_before_it(path):
    if room(path) is None:
        assert list(rooms_used(path.read_text(encoding="utf-8"))) == []
    else:
        assert late_imports(path) == []


@pytest.mark.parametrize(
    "path",
    [*SOURCES, *DEVELOPERS_SOURCES],
    ids=lambda path: path.relative_to(files.ROOT).as_posix(),
)
def test_what_is_called_in_a_child_exists(path):
    """``sandbox.call`` gets its function as a text, which no other check looks at."""
    called = re.findall(
        r"""(?<=["'])(lessons_lib\.[\w.]+):(\w+)(?=["'])""", path.read_text("utf-8")
    )
    for module, function in called:
        source = files.ROOT.joinpath(*module.split(".")).with_suffix(".py").read_text("utf-8")
        assert re.search(rf"^(?:def |class |from .*\b){function}\b", source, re.MULTILINE), function


def first_lines():
    """The first line of each source's docstring."""
    docstrings = {path: ast.get_docstring(ast.parse(path.read_text("utf-8"))) for path in SOURCES}
    return {path: (text or "").partition("\n") for path, text in docstrings.items()}


def test_each_rooms_first_line_says_its_subject():
    """In one sentence, which no other room says of itself, and on a line of its own."""
    found = first_lines()
    wrong = [
        path.name
        for path, (first, _, rest) in found.items()
        if not first.endswith(".") or (rest and not rest.startswith("\n"))
    ]
    assert wrong == []
    assert len({first for first, *_ in found.values()}) == len(SOURCES)


# The library is kept small; what answers exercises grows with the lessons, and is counted apart,
# as is what grades a class.
CODE_LINES, COURSE_LINES, CLASS_LINES = 16_750, 8_000, 960


def code_lines(text):
    """How many lines hold code: blank lines, comments and docstrings are free."""
    free = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    free |= {tokenize.ENCODING, tokenize.ENDMARKER}
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in free:
            lines |= set(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(text)):
        documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            lines -= set(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    return len(lines)


def test_what_a_line_of_code_is():
    text = '''"""Doc.\n\nMore."""\n\nimport re  # why\n\n# a remark\ndef f(\n    x,\n):\n'''
    text += '''    """Doc."""\n    return """\n    one text\n    """\n'''
    assert code_lines(text) == 1 + 3 + 3


def test_the_library_keeps_its_budget_of_lines():
    count = {path: code_lines(path.read_text("utf-8")) for path in SOURCES}
    floors = {floor: 0 for floor in ("", *PACKAGES)}
    for path, lines in count.items():
        floors[next((part for part in path.parts[::-1] if part in PACKAGES), "")] += lines
    course = sum(lines for path, lines in count.items() if path in COURSE_SOURCES)
    library = sum(count.values()) - course
    grading = sum(lines for path, lines in count.items() if path in CLASSROOM)
    course -= grading
    print(f"{library:,} of {CODE_LINES:,} lines, course {course:,} of {COURSE_LINES:,}: {floors}")
    assert library <= CODE_LINES
    assert course <= COURSE_LINES
    assert grading <= CLASS_LINES


@pytest.mark.parametrize(
    "line",
    [
        "from lessons_lib import affine, verdict",
        "from lessons_lib.judge.verdict import judge",
        "def f():\n    import lessons_lib.judge.verdict",
        "call('lessons_lib.judge.verdict:judge', 1)",
    ],
)
def test_every_kind_of_import_is_seen(line):
    assert "verdict" in set(rooms_used(line))


def foreign(paths):
    """The top-level modules that these sources import from other projects."""
    own = {"lessons_lib", *(path.stem for path in DEVELOPERS_SOURCES)}
    own |= {path.parent.name for path in (files.ROOT / "tools").glob("*/__init__.py")}
    names = (name for path in paths for name in imported(path.read_text(encoding="utf-8")))
    return {name.split(".")[0] for name in names} - own - set(sys.stdlib_module_names)


def providers(module):
    """The installed distributions that hold a module; one that is not installed has its name."""
    return {canonicalize_name(name) for name in PROVIDERS.get(module, [module])}


def undeclared(paths, declared):
    return [module for module in sorted(foreign(paths)) if providers(module).isdisjoint(declared)]


def required(lines):
    """The distributions that these lines name; an extra of our own stands for what it has."""
    for requirement in map(Requirement, lines):
        if requirement.name == PYPROJECT["project"]["name"]:
            yield from (name for extra in requirement.extras for name in required(EXTRAS[extra]))
        else:
            yield canonicalize_name(requirement.name)


def scripts_own_requirements():
    """What the scripts declare in their own headers (PEP 723)."""
    for path in DEVELOPERS_SOURCES:
        header = re.search(r"^# dependencies = (\[.+\])$", path.read_text("utf-8"), re.MULTILINE)
        yield from tomllib.loads(f"all = {header[1]}")["all"] if header else ()


PROVIDERS = packages_distributions()
# Declared for what they do: as commands, as plugins, or for a package that forgets to ask.
NOT_IMPORTED = {"jupyterlab", "ipykernel", "pytest-xdist", "importlib-resources", "ruff"}
NOT_IMPORTED |= {"ziglang", "ethos-u-vela"}  # compilers that are called
NOT_IMPORTED |= {"sphinx-book-theme", "sphinx-copybutton"}  # Sphinx loads them by name
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
DEPENDENCIES = set(required(PYPROJECT["project"]["dependencies"]))
LAB = set(required(EXTRAS["lab"]))
CLUSTER = set(required(EXTRAS["cluster"]))
MICRO = set(required(EXTRAS["micro"]))
CLASS = set(required(EXTRAS["class"])) - LAB
CLASSROOM = [path for path in SOURCES if {"classroom", "restoring.py"} & set(path.parts)]
DEVELOPERS = set(required(EXTRAS["dev"]))
COURSE_SOURCES = [path for path in SOURCES if "course" in path.relative_to(files.ROOT).parts]


def test_quantizing_needs_none_of_the_extras():
    """But a cluster's client and an emulator, which one room each asks for when it is told to."""
    others = [path for path in SOURCES if path not in COURSE_SOURCES]
    assert len(others) > len(COURSE_SOURCES) > 10
    asking = [path for path in others if undeclared([path], DEPENDENCIES)]
    assert [path.name for path in asking] == ["jobs.py", "board.py"]
    jobs, board = ([path] for path in asking)
    assert undeclared(jobs, DEPENDENCIES | CLUSTER) == []
    assert undeclared(board, DEPENDENCIES | MICRO) == []


def test_what_the_lessons_import_is_declared():
    others = [path for path in COURSE_SOURCES if "classroom" not in path.parts]
    assert undeclared(others, DEPENDENCIES | LAB) == []


def test_a_classs_assignments_need_the_extra_class():
    """And what nbgrader itself stands on, which is not ours to choose."""
    assert {"nbgrader", "jupyterhub"} <= CLASS
    assert set(undeclared(CLASSROOM, DEPENDENCIES | LAB | CLASS)) <= {"nbconvert", "traitlets"}


def test_what_tests_and_tools_import_is_declared():
    declared = DEPENDENCIES | DEVELOPERS | CLASS | set(required(scripts_own_requirements()))
    assert undeclared(DEVELOPERS_SOURCES, declared) == []


def test_what_is_declared_is_needed_and_stands_once():
    used = set().union(*map(providers, foreign([*SOURCES, *DEVELOPERS_SOURCES])))
    assert (DEPENDENCIES | DEVELOPERS) - used == NOT_IMPORTED
    assert DEPENDENCIES.isdisjoint(DEVELOPERS)


def test_make_and_conda_install_every_extra():
    """But `class`, whose environment is its own: see `make test-class`."""
    others = [lines for name, lines in EXTRAS.items() if name != "class"]
    assert set().union(*map(set, map(required, others))) == DEVELOPERS
    assert CLASS.isdisjoint(DEVELOPERS)
    assert "--compile-bytecode --extra dev --extra class" in read("Makefile")
    assert "uv sync --locked --compile-bytecode --extra dev" in read("Makefile")


IMPORT_ALL_BUT_COURSE = """
import sys
sys.modules.update(dict.fromkeys(sys.argv[1:]))  # as if none of these were installed
import lessons_lib
for package, room, _ in lessons_lib.ROOMS:
    if package != "course":
        getattr(lessons_lib, room)
"""


def test_without_the_extras_every_room_but_the_courses_opens():
    command = [sys.executable, "-c", IMPORT_ALL_BUT_COURSE, *cli.LAB, *CLUSTER]
    done = subprocess.run(command, cwd=files.ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert {name for module in cli.LAB for name in providers(module)} == LAB


WITHOUT_TENSORFLOW = """
import sys, tempfile
from lessons_lib import affine, benchmark, checks, evaluate, plots, reader, runtime, widgets
from lessons_lib import by_litert, folding, integer_engine, layer_errors, tables
from lessons_lib import data, every_path, training
digits = data.load().test
with tempfile.TemporaryDirectory() as folder:
    names = ["float32"]
    written = every_path.convert(training.reference(), None, folder, names=names)
    model = runtime.Model(written["float32"])
    evaluate.accuracy(model.classes(digits.images), digits.labels)
    benchmark.latency({"float32": model}, digits.images, rounds=2, warmup=1)
    tables.byte_budget(written["float32"])
print(sorted({"tensorflow", "tensorflow_datasets", "keras"} & set(sys.modules)))
"""


def test_evaluating_never_imports_tensorflow(artifacts):
    """On an empty cache: the digits are decoded, and the model converted, in other processes."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW], cwd=files.ROOT, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
    assert list((artifacts / "cache").iterdir())


def test_import_costs_nothing():
    """No clock: it imports itself and Python's own modules, a hundred at most, and nothing else."""
    script = (
        "import sys; before = set(sys.modules); import lessons_lib; "
        "print(*(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    added = {name.partition(".")[0] for name in done.stdout.split()}
    assert added - set(sys.stdlib_module_names) == {"lessons_lib"}
    assert len(done.stdout.split()) < 100


def test_unknown_module_is_named():
    import lessons_lib

    with pytest.raises(AttributeError, match=r"no module 'nothing'; it has: .*notebooks"):
        lessons_lib.nothing  # noqa: B018
