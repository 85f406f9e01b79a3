"""Files that no lesson has shown: each open task is about one, and each hides a property.

``tools/build_unseen.py`` writes them; what they hide stands there, and in no lesson's text.
"""

from pathlib import Path

from lessons_lib.errors import InputError
from lessons_lib.system import files

FOLDER = files.data_folder() / "unseen"


def path(name: str) -> Path:
    """Return the file ``name``, such as "04_ticket.tflite"; raises InputError for another name."""
    known = sorted(file.name for file in FOLDER.iterdir() if file.suffix not in ("", ".md"))
    if name not in known:
        raise InputError(f"no unseen file {name!r}; there are {', '.join(known)}")
    return FOLDER / name
