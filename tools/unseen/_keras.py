"""Files that are made of a Keras model."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from lessons_lib import sources
from lessons_lib.system.quiet import quiet


def converted(model, convert: Callable[[Path], bytes], batch_size: int | None = None) -> bytes:
    """Return what ``convert`` makes of the model's SavedModel, which is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder, quiet():
        return convert(sources.save(model, Path(folder, model.name), batch_size=batch_size))
