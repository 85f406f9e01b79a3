"""Build the course's site from the executed notebooks: ``make book``.

    python tools/book.py [--output DIR]

The pages are staged, laid out like the repository, and Sphinx makes the site of them; a warning is
an error. Beside the pages it serves the slides (``slides.py``), MathJax, the scripts of the pages
``try-it/`` and ``look-inside/``, their models, converted meanwhile in another process, and the
browser's runtime. Nothing is fetched: ``npm ci`` has put the packages into ``node_modules``. The
new site takes the old one's place when all of it is there.
"""

import argparse
import shutil
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

from sphinx.cmd.build import main as sphinx

import icons
import repository_links
import slides
from lessons_lib import files, sandbox
from lessons_lib.errors import InputError, LessonError

BOOK = files.ROOT / "book"
BUILD = BOOK / "_build"
TEACHING = files.ROOT / "instructors"  # its pages stand beside the notebooks, as in the repository
NODE_MODULES = files.ROOT / "node_modules"
SCRIPTED = ("try-it", "look-inside")  # the folders of pages with scripts of their own
SCRIPTS = ("*.js", "*.css")
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
THEME = ("sphinx", "pydata-sphinx-theme", "sphinx-book-theme", "sphinx-copybutton")  # BSD, MIT
MATHJAX = ("mathjax/es5/tex-svg.js", "mathjax/LICENSE")


def stage(source: Path) -> None:
    """Copy the pages, the notebooks and the teacher's pages into ``source``."""
    notebooks = files.ROOT / "notebooks"
    for path in pages():
        copy(path, source / path.relative_to(BOOK))
    lessons = [*notebooks.glob("*.ipynb"), *notebooks.glob("solutions/*.ipynb")]
    for path in [*lessons, *TEACHING.rglob("*.md")]:
        copy(path, source / path.relative_to(files.ROOT))


def pages() -> list[Path]:
    return [*BOOK.glob("*.md"), *(path for name in SCRIPTED for path in BOOK.glob(f"{name}/*.md"))]


def copy(path: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, place)


def serve_beside(site: Path) -> None:
    """Copy what is no page into ``site``: licences, MathJax, the pages' scripts, the runtime."""
    for path in (BOOK / "licences").iterdir():
        copy(path, site / "licences" / path.name)
    for name in THEME:
        copy(licence_file(name), site / "licences" / f"{name}.txt")
    for name in MATHJAX:
        copy(package_file(name), site / "_static" / "mathjax" / Path(name).name)
    for path in (
        path for name in SCRIPTED for kind in SCRIPTS for path in (BOOK / name).rglob(kind)
    ):
        copy(path, site / path.relative_to(BOOK))
    for name, folder in RUNTIME.items():
        copy(package_file(name), site / "try-it" / "runtime" / folder / Path(name).name)


def package_file(name: str) -> Path:
    path = NODE_MODULES / name
    if not path.exists():
        raise LessonError(f"node_modules/{name} is missing: run `make book`, which installs it")
    return path


def licence_file(package: str) -> Path:
    """Return the licence that an installed Python package brings."""
    return next(
        Path(entry.locate())
        for entry in metadata.files(package)
        if entry.name.startswith("LICENSE") and entry.suffix in ("", ".txt", ".rst")
    )


def build(output: Path) -> None:
    """Build the site into ``output``, whole or not at all.

    Raises LessonError when Sphinx warns or fails, and InputError for a wrong LESSONS_REPOSITORY,
    LESSONS_BRANCH or LESSONS_SITE, or when ``output`` holds anything but a site, which this one
    would replace.
    """
    # What is wrong in the environment is said at once, and without a traceback.
    repository_links.repository()
    repository_links.branch()
    repository_links.site()
    require_replaceable(output)
    BUILD.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=BUILD, prefix="source-") as source,
        files.atomic_directory(output) as site,
        ThreadPoolExecutor() as pool,
    ):
        serve_beside(site)  # first: what is missing is said at once
        models = site / "try-it" / "models"
        exported = pool.submit(sandbox.call, "lessons_lib.targets.browser:export", models)
        stage(Path(source))
        run_sphinx(Path(source), site)
        slides.build(site / "slides")
        exported.result()
        icons.keep_used(site)


def require_replaceable(output: Path) -> None:
    """Only an older site may be overwritten: Sphinx leaves ``objects.inv`` in each."""
    if output.exists() and any(output.iterdir()) and not (output / "objects.inv").exists():
        raise InputError(f"{files.display_path(output)} exists and is no site; name a new folder")


def run_sphinx(source: Path, site: Path) -> None:
    """Make pages of ``source``; raise LessonError, after all of its words, at the first warning."""
    settings = ["-b", "html", "-c", str(BOOK), "-d", str(source / ".doctrees")]
    strict = ["-q", "-W", "--keep-going", "-E"]  # read anew: an old reading keeps its warnings
    if sphinx([*settings, *strict, str(source), str(site)]):
        raise LessonError("Sphinx warned or failed; what it said stands above")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=BUILD / "html", help="where the site goes")
    output = parser.parse_args().output.absolute()
    try:
        build(output)
    except LessonError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    shown = files.display_path(output)
    print(f"{shown} is built. To read it: python3 -m http.server -d {shown}")
    print("and open http://localhost:8000/ in a browser.")
    if not repository_links.site():
        print("It has no sitemap and no social cards: LESSONS_SITE gives no address for it.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
