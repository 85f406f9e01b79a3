"""Build the course's site from the executed notebooks: ``make book``.

    python tools/book.py [--output DIR] [--fresh]

The pages are staged in ``book/_build/source``, laid out like the repository, and Sphinx makes the
site of them; a warning is an error. Beside the pages it serves MathJax, the page ``try-it/``, its
models, converted meanwhile in another process, and the browser's runtime. Nothing is fetched:
``npm ci`` has put the packages into ``node_modules``.
"""

import argparse
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sphinx.cmd.build import main as sphinx

import course
import icons
from lessons_lib import children, files
from lessons_lib.errors import LessonError

BOOK = files.ROOT / "book"
BUILD = BOOK / "_build"
NODE_MODULES = files.ROOT / "node_modules"
SCRIPTS = ("*.js", "*.css", "LICENSE*")  # of book/try-it
RUNTIME = {
    "@litertjs/core/dist/index.js": "core/dist",
    "@litertjs/core/wasm/litert_wasm_internal.js": "core/wasm",
    "@litertjs/core/wasm/litert_wasm_internal.wasm": "core/wasm",
    "@litertjs/core/wasm/litert_wasm_compat_internal.js": "core/wasm",
    "@litertjs/core/wasm/litert_wasm_compat_internal.wasm": "core/wasm",
    "@litertjs/core/package.json": "core",
    "@litertjs/wasm-utils/dist/index.js": "wasm-utils/dist",
    "@litertjs/wasm-utils/package.json": "wasm-utils",
}
MATHJAX = ("mathjax/es5/tex-svg.js", "mathjax/LICENSE")


def stage(source: Path) -> None:
    """Make ``source`` hold the pages and notebooks, and nothing else; what is unchanged stays."""
    wanted = {path.relative_to(BOOK): path for path in pages()}
    notebooks = files.ROOT / "notebooks"
    for path in [*notebooks.glob("*.ipynb"), *notebooks.glob("solutions/*.ipynb")]:
        wanted[path.relative_to(files.ROOT)] = path
    for path in source.rglob("*"):
        if path.is_file() and path.relative_to(source) not in wanted:
            path.unlink()
    for place, path in wanted.items():
        update(path, source / place)


def pages() -> list[Path]:
    return [*BOOK.glob("*.md"), *BOOK.glob("try-it/*.md")]


def update(path: Path, copy: Path) -> None:
    """Copy a file unless the copy has its size and time: Sphinx then builds only what changed."""
    old = copy.stat() if copy.exists() else None
    if old and (old.st_size, old.st_mtime_ns) == (path.stat().st_size, path.stat().st_mtime_ns):
        return
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(path, copy)


def serve_beside(output: Path) -> None:
    """Copy what is no page into ``output``: MathJax, the page's scripts, its runtime."""
    for name in MATHJAX:
        update(package_file(name), output / "_static" / "mathjax" / Path(name).name)
    page = output / "try-it"
    for path in (path for pattern in SCRIPTS for path in (BOOK / "try-it").glob(pattern)):
        update(path, page / path.name)
    for name, folder in RUNTIME.items():
        update(package_file(name), page / "runtime" / folder / Path(name).name)


def package_file(name: str) -> Path:
    path = NODE_MODULES / name
    if not path.exists():
        raise LessonError(f"node_modules/{name} is missing: run `make book`, which installs it")
    return path


def build(output: Path, fresh: bool = False) -> None:
    """Build the site into ``output``; ``fresh`` reads every page again.

    Raises LessonError when Sphinx warns or fails, InputError for a wrong LESSONS_REPOSITORY.
    """
    course.repository()  # a wrong address is said at once, and without a traceback
    source = BUILD / "source"
    stage(source)
    again = ["-E", "-a"] if fresh else []
    options = [*again, "-b", "html", "-c", str(BOOK), "-d", str(BUILD / "doctrees"), "-q"]
    with ThreadPoolExecutor() as pool:
        models = output / "try-it" / "models"
        exported = pool.submit(children.call, "lessons_lib.browser:export", models)
        if sphinx([*options, "-W", "--keep-going", str(source), str(output)]):
            raise LessonError("Sphinx warned or failed; what it said stands above")
        exported.result()
    serve_beside(output)
    icons.keep_used(output)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=BUILD / "html", help="where the site goes")
    parser.add_argument("--fresh", action="store_true", help="read every page again")
    arguments = parser.parse_args()
    output = arguments.output.absolute()
    try:
        build(output, arguments.fresh)
    except LessonError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    shown = files.display_path(output)
    print(f"{shown} is built; to read it: {Path(sys.executable).name} -m http.server -d {shown}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
