"""Write the files of the open tasks to data/unseen: ``python tools/build_unseen.py [NN ...]``.

``tools/unseen/lessonNN.py`` makes those of lesson NN: its ``FILES`` is a table of names and of
functions that return the bytes. What a file hides stands in that function's docstring. A second run
gives the same bytes on the same versions; ``data/unseen/README.md`` keeps sizes and checksums.
"""

import argparse
import importlib
import pkgutil
from collections.abc import Callable

import unseen as makers
from lessons_lib import files, unseen

_CARD = """# Files that no lesson has shown

Each open task of a lesson is about one of these. All were made for the course by
`tools/build_unseen.py`; what a file hides stands there, so do not look before you have tried.
Licence: the course's own, MIT.

| file | bytes | SHA-256 |
| --- | ---: | --- |
"""


def all_files() -> dict[str, Callable[[], bytes]]:
    """Return the maker of each file, by the file's name ("04_ticket.tflite")."""
    lessons = sorted(m.name for m in pkgutil.iter_modules(makers.__path__) if m.name[0] != "_")
    tables = (importlib.import_module(f"unseen.{lesson}").FILES for lesson in lessons)
    return {name: make for table in tables for name, make in table.items()}


def write_card() -> None:
    rows = []
    for name in sorted(all_files()):
        content = (unseen.FOLDER / name).read_bytes()
        rows.append(f"| `{name}` | {len(content):,} | `{files.sha256(content)}` |\n")
    files.write_atomic(unseen.FOLDER / "README.md", _CARD + "".join(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("numbers", nargs="*", metavar="NN", help="only those of these lessons")
    numbers = tuple(parser.parse_args().numbers)
    for name, make in all_files().items():
        if not numbers or name.startswith(numbers):
            files.write_atomic(unseen.FOLDER / name, make())
            print(name)
    write_card()


if __name__ == "__main__":
    main()
