"""Is this machine fit for the lessons, and what mends what is not: ``lessons doctor``.

Where ``lessons`` itself does not start, ``python -m lessons_lib.course.doctor`` does: this room
begins with Python's own modules, and each check fetches by itself what it needs. So it says which
Python is missing on a Python that reads no other room. Big tools of this kind (``brew doctor``,
``flutter doctor``) mend nothing either: they name the cure, and you decide.
"""

from __future__ import annotations  # an older Python has to come as far as to be told

import argparse
import contextlib
import importlib.util
import json
import os
import platform
import re
import shlex
import shutil
import socket
import sys
import tempfile
import textwrap
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

SCHEMA = 1
OK, NOTE, PROBLEM = "ok", "note", "problem"
_ROOT = Path(__file__).resolve().parents[2]  # files.ROOT, which an older Python cannot ask for
_MB, _GB = 10**6, 10**9


@dataclass(frozen=True)
class Finding:
    """What one check found: ``status`` is ok, note (the lessons run) or problem.

    ``cure`` says in words what mends it, ``command`` is a line for the shell; either may be empty.
    """

    check: str
    status: str
    text: str
    cure: str = ""
    command: str = ""


def examine(names=()) -> Iterator[Finding]:
    """Yield what each check finds, or those with these names (keys of ``CHECKS``), in their order.

    After a Python that does not fit nothing else is looked at: all else depends on it. A check
    that fails itself is a problem, and the others go on.
    """
    for name, check in CHECKS.items():
        found = []
        for finding in _looked_at(name, check) if not names or name in names else ():
            if finding.status != OK or not found:  # all is well: said where nothing else was
                found.append(finding)
                yield finding
        if name == "python" and found and found[0].status == PROBLEM:
            return


def _looked_at(name, check) -> Iterator[Finding]:
    try:
        for status, *words in check():
            yield Finding(name, status, *words)
    except Exception as error:  # whatever is broken here, the next check may still tell why
        text = f"could not be looked at: {type(error).__name__}: {error}"
        cure = "Mend what the other findings name, then look again:"
        yield Finding(name, PROBLEM, text, cure, f"{_own()} {name}")


# ---- the commands of the cures


def _bin(program: str) -> str:
    """How to call a program that lies beside this Python; shorter in the course's folder."""
    file = Path(sys.executable).parent / program
    inside = Path.cwd() == _ROOT and _ROOT in file.parents
    return shlex.quote(str(file.relative_to(_ROOT) if inside else file))


def _own() -> str:
    return f"{_bin(Path(sys.executable).name)} -m lessons_lib.course.doctor"


def _here(command: str) -> str:
    """A command for the course's folder."""
    return command if Path.cwd() == _ROOT else f"cd {shlex.quote(str(_ROOT))} && {command}"


def _is_made() -> bool:
    """Whether this Python is that of the environment which ``make`` makes from uv.lock."""
    return Path(sys.prefix) == _ROOT / ".venv" and (_ROOT / ".venv" / ".synced").exists()


def _install(extra: str = "lab") -> str:
    """The command that brings this Python's packages into order."""
    if _is_made():
        return _here("make class" if extra == "class" else "touch uv.lock && make setup")
    python = _bin(Path(sys.executable).name)
    pip = importlib.util.find_spec("pip")
    command = f"{python} -m pip install" if pip else f"uv pip install --python {python}"
    if not (_ROOT / "pyproject.toml").is_file():
        return f'{command} ".[{extra}]"  # in the course\'s folder'
    return _here(f'{command} -e ".[{extra}]"')


# ---- the checks: each yields (status, text, cure, command), the last what is said if all is well


def _python():
    file = _ROOT / "pyproject.toml"
    if file.is_file():
        wanted = re.search(r'requires-python = "(.+)"', file.read_text("utf-8"))[1]
    else:
        from importlib.metadata import metadata

        wanted = metadata("quantization-lessons")["Requires-Python"]
    low, high = sorted(tuple(map(int, end.split("."))) for end in re.findall(r"\d+\.\d+", wanted))
    here = f"Python {sys.version.split()[0]} ({sys.executable})"
    if not low <= sys.version_info[:2] < high:
        last = f"{high[0]}.{high[1] - 1}"
        cure = (
            f"Install Python {last} (Debian, Ubuntu: apt-get install python{last} "
            f"python{last}-venv; macOS: brew install python@{last}), then make .venv anew:"
        )
        command = _here("rm -rf .venv && make setup")
        yield PROBLEM, f"{here}; the course takes {wanted}", cure, command
    yield OK, here


_INTEGERS = {
    "avx512_vnni",
    "avx_vnni",
    "amx_int8",
    "asimddp",
    "i8mm",
}  # products of int8, in one go
_FAST = (
    "int8 is multiplied in fours, and is likely to be faster than float32 (lesson 8 measures it)"
)
_SLOW = (
    "no instructions for int8 products (VNNI): int8 still makes files smaller, but may be slower "
    "than float32 on a small model (lesson 8), and the lessons take about twice their seconds"
)


def _processor(cpuinfo=Path("/proc/cpuinfo")):
    told = cpuinfo.read_text("utf-8", "replace") if cpuinfo.is_file() else ""
    found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", told, re.M)
    flags = set(found[1].split()) if found else set()
    if "fpu" in flags and "avx" not in flags:  # x86
        cure = (
            "A virtual machine hides it when it plays an older processor: give it the host's own "
            "(QEMU: -cpu host). Else take another machine."
        )
        yield PROBLEM, "no AVX, which the packages of TensorFlow for x86-64 are built for", cure
    if fast := sorted(flags & _INTEGERS):
        yield OK, f"{', '.join(fast)}: {_FAST}"
    yield OK, _SLOW if flags else "this system does not say what it can do: lesson 8 measures it"


_GROUPS = {  # Linux's control groups, version 2 and 1: limit, use, what of it can be given back
    "": ("memory.max", "memory.current", "inactive_file"),
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
}


def _group_rooms(root, own):
    """What each control group above this process leaves it, in bytes."""
    for line in own.read_text("utf-8").splitlines() if own.is_file() else ():
        _, controller, path = line.split(":", 2)
        group = root / controller / path.lstrip("/")
        for folder in (group, *group.parents) if controller in _GROUPS else ():
            limit, used, freed = _GROUPS[controller]
            with contextlib.suppress(OSError, ValueError):  # there is no group; its limit is "max"
                stat = dict(map(str.split, (folder / "memory.stat").read_text().splitlines()))
                taken = int((folder / used).read_text()) - int(stat[freed])
                yield int((folder / limit).read_text()) - taken


def _rooms(groups, own):
    """The memory that is left in bytes, by what leaves it, with its cure."""
    import psutil

    cure = "Close other programs and the kernels of other notebooks, or take a larger machine."
    yield psutil.virtual_memory().available, "free on this machine", cure, ""
    cure = "Give the container more, such as docker run --memory 4g (systemd: MemoryMax=4G)."
    for room in _group_rooms(groups, own):
        yield room, "left by the limit of its container", cure, ""
    if os.name == "posix":
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        cure = "Lift this shell's limit, or ask who set it:"
        if limit != resource.RLIM_INFINITY:
            yield limit, "allowed by `ulimit -v`", cure, "ulimit -v unlimited"


def _memory(groups=Path("/sys/fs/cgroup"), own=Path("/proc/self/cgroup")):
    room, where, *cure = min(_rooms(groups, own))
    size = f"{room / _GB:.1f} GB {where}"
    if room < _GB:
        yield (PROBLEM, f"{size}; a lesson with TensorFlow takes most of 1 GB", *cure)
    elif room < 2 * _GB:
        yield (NOTE, f"{size}; plan 2 GB, or run one lesson at a time", *cure)
    yield OK, size


_TEMPORARY = "temporary files"
_CHOOSE = "Free some space there, mind its rights (ls -ld), or choose another folder:"
_MOVE = "Free some space there, mind its rights (ls -ld), or copy the course elsewhere:"


_MAKE = 'export LESSONS_ARTIFACTS="$HOME/lessons-artifacts"'


def _artifacts():
    """The folder of what lessons make; None where it is of a user whom nobody knows."""
    from lessons_lib.system import files

    try:
        return files.artifacts_root()
    except RuntimeError:
        if not os.environ.get("LESSONS_ARTIFACTS"):
            raise
        return None


def _places():
    """Each folder that lessons write to: what for, where, bytes it must have and should, cure."""
    from lessons_lib.system import files

    temporary = Path(os.environ.get("TMPDIR") or tempfile.gettempdir())
    if made := _artifacts():  # else `writing` says why not
        yield "what lessons make", made, 200 * _MB, 1_500 * _MB, _CHOOSE, _MAKE
    yield (
        _TEMPORARY, temporary, 100 * _MB, 500 * _MB,
        _CHOOSE, 'mkdir -p "$HOME/tmp" && export TMPDIR="$HOME/tmp"',
    )  # fmt: skip
    if not files.is_installed():
        copied = f'cp -r {shlex.quote(str(_ROOT))} "$HOME/lessons"'
        yield "notebooks", _ROOT / "notebooks", 20 * _MB, 100 * _MB, _MOVE, copied
    with contextlib.suppress(ImportError):  # which `kernel` says
        from jupyter_core.paths import jupyter_runtime_dir

        chosen = 'mkdir -p "$HOME/jupyter" && export JUPYTER_RUNTIME_DIR="$HOME/jupyter"'
        yield "running kernels", Path(jupyter_runtime_dir()), _MB, 10 * _MB, _CHOOSE, chosen


def _disk():
    sizes = []
    for what, folder, least, wished, *cure in _places():
        there = next(one for one in (folder, *folder.parents) if one.is_dir())
        free = shutil.disk_usage(there).free
        sizes.append(free)
        if free < wished:
            text = f"{free / _MB:,.0f} MB free for {what} in {folder}; wanted: {wished / _MB:,.0f}"
            yield (PROBLEM if free < least else NOTE, text, *cure)
    yield OK, f"{min(sizes) / _GB:,.1f} GB or more free where lessons write"


def _writing():
    if _artifacts() is None:
        given = os.environ["LESSONS_ARTIFACTS"]
        text = f"LESSONS_ARTIFACTS={given} names a folder of a user who does not exist"
        yield PROBLEM, text, "Unset it, or choose another folder:", _MAKE
    for what, folder, _, _, *cure in _places():
        try:
            if what != _TEMPORARY:  # which nobody makes, but the system
                folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                file.write(bytes(_MB))  # a quota or a limit lets a small file pass
        except OSError as error:
            yield (PROBLEM, f"{what} cannot be written in {folder}: {error.strerror}", *cure)
    yield OK, "every folder that lessons write to takes a file"


def _locked(packages):
    """The version that the lock holds ready for this Python, of each package that lessons need."""
    from packaging.markers import Marker

    (course,) = packages["quantization-lessons"]
    waiting = [*course["dependencies"], *course["optional-dependencies"]["lab"]]
    found, seen = {}, set()
    while waiting:
        wanted = waiting.pop()
        key = wanted["name"], *wanted.get("extra", ())
        if key in seen or not Marker(wanted.get("marker", "python_version > '0'")).evaluate():
            continue
        seen.add(key)
        rows = packages[wanted["name"]]
        row = next(row for row in rows if row["version"] == wanted.get("version", row["version"]))
        found[row["name"]] = row["version"]
        waiting += row.get("dependencies", ())
        for name in wanted.get("extra", ()):
            waiting += row.get("optional-dependencies", {}).get(name, ())
    return found


def _compared(lock):
    """(how it is apart, in words) for each package that lessons need; how is "" where it is not."""
    import tomllib
    from importlib.metadata import PackageNotFoundError, version

    from packaging.specifiers import SpecifierSet

    packages = defaultdict(list)
    for row in tomllib.loads(lock.read_text("utf-8"))["package"]:
        packages[row["name"]].append(row)
    asked = packages["quantization-lessons"][0]["metadata"]["requires-dist"]
    ranges = {one["name"]: SpecifierSet(one.get("specifier", "")) for one in asked}
    for name, wanted in sorted(_locked(packages).items()):
        try:
            here = version(name)
        except PackageNotFoundError:
            yield "missing", f"{name} {wanted}"
            continue
        how = "" if here == wanted else "other", f"{name} {here} (uv.lock: {wanted})"
        fits = ranges.get(name, SpecifierSet()).contains(here, prereleases=True)
        yield how if fits else ("unfit", f"{name} {here} (the course takes {ranges[name]})")


_LIKE_LOCK = "The lessons were run with the lock's versions, and may run with these. To have those:"
_APART = (
    ("missing", PROBLEM, "not installed", "Install what the lessons need:"),
    ("unfit", PROBLEM, "of a version that does not fit", "Install what fits:"),
    ("other", NOTE, "of another version than in uv.lock", _LIKE_LOCK),
)


def _packages():
    lock = _ROOT / "uv.lock"
    compared = list(_compared(lock)) if lock.is_file() else []
    for kind, status, words, cure in _APART:
        if names := [name for how, name in compared if how == kind]:
            locked = _here("make setup && .venv/bin/lessons lab")
            like = locked if kind == "other" and not _is_made() else _install()
            yield status, f"{words}: {_some(names)}", cure, like
    count = f"{len(compared)} packages, each of the version in uv.lock"
    yield OK, count if compared else "an installed copy has no lock: pip saw to its packages"


def _some(names, most=6):
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def _data():
    from lessons_lib.system import files

    folder = files.data_folder()
    sums = [line.split("  ", 1) for line in (folder / "SHA256SUMS").read_text("utf-8").splitlines()]
    broken = {}
    for checksum, name in sums:
        if not (folder / name).is_file():
            broken[name] = "is missing"
        elif files.sha256(folder / name) != checksum:
            broken[name] = "is not what was committed"
    if broken:
        text = _some([f"data/{name} {how}" for name, how in broken.items()])
        paths = " ".join(shlex.quote(f"data/{name}") for name in broken)
        if (_ROOT / ".git").exists():
            cure = "Take the committed files back:", _here(f"git checkout -- {paths}")
        else:
            cure = ("Unpack the course's folder once more, or install it anew.",)
        yield (PROBLEM, text, *cure)
    yield OK, f"{len(sums)} files of data and trained models, each with its checksum"


def _kernel():
    asked = ("jupyterlab", "ipykernel", "nbclient", "jupyter_core")
    if missing := [name for name in asked if importlib.util.find_spec(name) is None]:
        yield PROBLEM, f"lessons run in Jupyter: no {', '.join(missing)}", "Install:", _install()
        return
    from jupyter_core.paths import jupyter_path

    files = (Path(folder, "python3", "kernel.json") for folder in jupyter_path("kernels"))
    file = next((file for file in files if file.is_file()), None)  # without one: ipykernel's own
    program = json.loads(file.read_text("utf-8"))["argv"][0] if file else sys.executable
    own = {"python", "python3", f"python3.{sys.version_info[1]}"}  # for these Jupyter takes its own
    if program not in own and Path(program).parent != Path(sys.executable).parent:
        kind = "another" if shutil.which(program) else "no"
        text = f"the kernel python3 starts {program}, which is {kind} Python"
        folder = shlex.quote(str(file.parent))
        cure = "Give that kernel another name, so that lessons run in this Python:"
        yield PROBLEM, f"{text} ({file})", cure, f"mv {folder} {folder}-other"
    yield OK, "JupyterLab, and its kernel python3, which is this Python"


_NEXT = "Another JupyterLab may be open. Yours takes the next free port and prints it; or choose:"


def _port():
    first = int(os.environ.get("JUPYTER_PORT") or 8888)
    tries = min(5, 1 + int(os.environ.get("JUPYTER_PORT_RETRIES") or 50))  # then ports by chance
    refused = []
    for port in range(first, first + tries):
        try:
            with socket.create_server(("127.0.0.1", port)):
                break
        except OSError as error:
            refused.append(f"port {port}: {os.strerror(error.errno)}")
    if refused:
        with socket.create_server(("127.0.0.1", 0)) as server:
            command = f"{_bin('lessons')} lab --port {server.getsockname()[1]}"
        none = len(refused) == tries
        cure = "Choose a port that is free:" if none else _NEXT
        yield PROBLEM if none else NOTE, "; ".join(refused), cure, command
    yield OK, f"JupyterLab's port {first} is free"


def _tensorflow():
    import tensorflow

    return float(tensorflow.reduce_sum(tensorflow.ones([2, 3])))


def _interpreted():
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=_sample())
    interpreter.allocate_tensors()
    interpreter.invoke()


def _micro():
    from tflite_micro import runtime

    runtime.Interpreter.from_bytes(_sample()).invoke()


def _quantizer():
    import litert_quantizer

    return str(litert_quantizer)


def _sample():
    from lessons_lib.system import files

    return (files.data_folder() / "unseen" / "11_lamp_int8.tflite").read_bytes()


_PLATFORM = sys.platform, platform.machine()
_RUNTIMES = {  # what each is, and what is run in a child process, so that a crash is told
    "tensorflow": ("TensorFlow", "lessons_lib.course.doctor:_tensorflow"),
    "ai_edge_litert": ("LiteRT", "lessons_lib.course.doctor:_interpreted"),
    "litert_quantizer": ("LiteRT's quantizer", "lessons_lib.course.doctor:_quantizer"),
    "tflite_micro": ("TFLite-Micro", "lessons_lib.course.doctor:_micro"),
}


def _runtimes():
    from lessons_lib.errors import InputError, LessonError
    from lessons_lib.system import sandbox

    try:
        sandbox.patience(0)
    except InputError:
        given = os.environ["LESSONS_TIMEOUT"]
        text = f"LESSONS_TIMEOUT={given} is no number, so that nothing runs; no runtime was tried"
        cure = "Unset it, or set it to seconds, such as 900; then look again:"
        yield PROBLEM, text, cure, "unset LESSONS_TIMEOUT"
        return
    fine = []
    for module, (name, function) in _RUNTIMES.items():
        found = importlib.util.find_spec(module)
        if found is None and module == "tflite_micro" and _PLATFORM != ("linux", "x86_64"):
            continue  # it is built for no other, and the lessons say so
        try:
            sandbox.call(function, timeout=120.0)
            fine.append(name)
        except LessonError as error:
            place = getattr(found, "origin", None) or "nowhere"
            text = f"{str(error).replace(function, name)} (loaded from {place})"
            yield (PROBLEM, text, *_of_runtime(place))
    yield OK, f"{', '.join(fine)}: each loads and computes"


def _of_runtime(place):
    """The cure for a runtime that does not load: is it the package at all?"""
    own = any(Path(base) in Path(place).parents for base in (sys.prefix, sys.base_prefix))
    if place == "nowhere" or own:
        return "Install the packages anew, and see the findings on memory and data:", _install()
    words = "A file of that name stands in the package's way. If PYTHONPATH leads there:"
    return words, "unset PYTHONPATH"


_EXTRAS = (  # programs or modules; what they are needed for; the extra, or how they come
    (("npm",), "`make book`, the course as a site", "Install Node.js 18 or newer."),
    (("chromium", "chromium-browser", "google-chrome", "chrome"), "the tests of the site",
     "Install Chromium or Chrome (Debian: apt-get install chromium)."),
    (("ziglang", "unicorn", "elftools"), "compiling and emulating in lesson 17", "micro"),
    (("ethosu",), "the NPU's compiler in lesson 18", "npu"),
    (("distributed",), "`lessons quantize --scheduler`", "cluster"),
    (("nbgrader", "jupyterhub"), "a class's assignments and server", "class"),
)  # fmt: skip


def _extras():
    for names, what, source in _EXTRAS:
        if " " in source:  # programs, of which one is enough
            lacking = [] if any(map(shutil.which, names)) else names[:1]
            cure = (source,)
        else:
            made = source == "class" and (_ROOT / ".venv-class" / ".synced").exists()
            lacking = [n for n in names if importlib.util.find_spec(n) is None and not made]
            cure = "If you want that:", _install(source)
        if lacking:
            yield (NOTE, f"no {', '.join(lacking)}: needed for {what}, for nothing else", *cure)
    yield OK, f"npm, a browser, {', '.join(_EXTRAS[i][0][0] for i in (2, 3, 4))} are there"


CHECKS = {
    "python": _python,
    "processor": _processor,
    "memory": _memory,
    "disk": _disk,
    "writing": _writing,
    "packages": _packages,
    "data": _data,
    "kernel": _kernel,
    "port": _port,
    "runtimes": _runtimes,
    "extras": _extras,
}


# ---- as a command


def main(arguments=None) -> int:
    """Print what the checks find; return 1 where there is a problem, else 0.

    Ends with 2 for arguments that it does not know, as ``argparse`` does.
    """
    given = _understood(arguments)
    findings = []
    for finding in examine(given.checks):
        findings.append(finding)
        if not given.json:
            print(_printed(finding), flush=True)
    problems, notes = (sum(one.status == kind for one in findings) for kind in (PROBLEM, NOTE))
    if given.json:
        report = {"schema": SCHEMA, "problems": problems, "notes": notes}
        print(json.dumps(report | {"findings": [asdict(one) for one in findings]}, indent=2))
    else:
        print(f"\n{problems} to mend, {notes} to know." if problems or notes else "\nAll is well.")
    return 1 if problems else 0


def _understood(arguments):
    known = ", ".join(CHECKS)
    parser = argparse.ArgumentParser("lessons doctor", description=__doc__.split("\n")[0])
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"only these, of: {known}")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    given = parser.parse_args(arguments)
    if unknown := sorted({*given.checks} - {*CHECKS}):
        parser.error(f"no check {', '.join(unknown)}; there are: {known}")
    return given


def _printed(finding: Finding) -> str:
    """A finding for a terminal: words are broken into lines, a command never is."""
    colours = {OK: "32", NOTE: "33", PROBLEM: "1;31"}
    head = f"{finding.status:8}"
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        head = f"\033[{colours[finding.status]}m{head}\033[0m"
    width = min(shutil.get_terminal_size().columns, 100)
    indent = {"initial_indent": " " * 19, "subsequent_indent": " " * 19}
    whole = {"break_long_words": False, "break_on_hyphens": False}
    lines = textwrap.wrap(finding.text, width, **indent, **whole)
    lines[0] = f"{head} {finding.check:10}{lines[0][19:]}"
    if finding.cure:
        lines += textwrap.wrap(finding.cure, width, **indent, **whole)
    if finding.command:
        lines.append(f"    $ {finding.command}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
