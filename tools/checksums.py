"""Write data/SHA256SUMS, by which ``lessons doctor`` tells whether the data are what was committed.

To be run after anything under data/ has been made anew; ``sha256sum -c`` reads the file as well.
"""

from lessons_lib import files

FOLDER = files.ROOT / "data"
NO_DATA = {"README.md", "LICENSE", ".gitattributes", "SHA256SUMS"}


def text() -> str:
    """Return a line for each file that lessons read: checksum, two spaces, path below data/."""
    paths = sorted(path for path in FOLDER.rglob("*") if path.is_file())
    return "".join(
        f"{files.sha256(path)}  {path.relative_to(FOLDER).as_posix()}\n"
        for path in paths
        if path.name not in NO_DATA
    )


if __name__ == "__main__":
    files.write_atomic(FOLDER / "SHA256SUMS", text())
