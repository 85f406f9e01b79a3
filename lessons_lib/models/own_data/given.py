"""What is said of the data beside the data itself, and what came of one source."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lessons_lib.errors import InputError
from lessons_lib.models import sample_files
from lessons_lib.models.own_images import Scaling
from lessons_lib.models.sample_files import Gathered
from lessons_lib.tflite.signature import Signature

CALIBRATION_SAMPLES = 300  # at most, of data that is split here


@dataclass(frozen=True)
class Options:
    """What is said of the data; ``pixels`` is what ``scale`` means for each float input."""

    signature: Signature
    target: str | None
    scale: str | None
    pixels: Mapping[str, Scaling]
    seed: int

    def gather(self, pairs: Iterator, folder: Path, **how: bool) -> Gathered:
        """Write samples to a folder; InputError where pixels were promised and none came."""
        found = sample_files.gather(pairs, self.signature, folder, self.pixels, **how)
        if self.scale and not found.pixels:
            raise InputError(
                f"scale={self.scale!r} is for uint8 pixels that become floats, and none came: "
                "leave it out (lesson 15)"
            )
        return found


@dataclass
class Found:
    """What one source has: its parts by role, or one of no role, that is to be split."""

    name: str
    parts: dict[str, Gathered]
    metric: Callable | None = None
    lower_is_better: bool = False
