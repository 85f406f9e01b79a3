"""The house on one screen: every room of the library, floor by floor.

A room imports only from rooms above it on this list. Leaf names are the public names:
``from lessons_lib import affine`` finds ``lessons_lib.numbers.affine``, and imports it when it is
first used, so ``import lessons_lib`` costs nothing.
"""

import importlib

__version__ = "0.1.0"

# package: its rooms, in the order in which they may import one another
FLOORS: dict[str, tuple[str, ...]] = {
    "": ("errors",),  # errors that teach
    "system": ("files", "quiet", "sandbox"),  # atomic files; silence; a stranger's bytes
    "numbers": ("affine", "noise", "half_precision", "fixed_point", "folding"),  # the mathematics
    "tflite": ("inputs", "reader", "tables", "signature", "samples", "edit"),  # what is in a file
    "models": ("corruption", "data", "architectures", "sources", "training"),  # float models
    "run": ("micro", "runtime"),  # named arrays in, named arrays out
    "run.engine": ("integer_graph", "integer_engine"),  # the same in integers, from scratch
    "convert": (
        "paths",
        "calibration",
        "outcome",
        "by_litert",
        "by_tensorflow",
        "every_path",
        "qat",
    ),
    "judge": ("evaluate", "layer_errors", "benchmark", "scoreboard"),  # how good, how fast
    "targets": ("browser",),  # does it fit this machine
    "course": ("plots", "widgets", "checks", "notebooks", "article"),  # what only lessons need
    ".": ("cli",),  # the `lessons` command
}
_HOMES = {
    room: ".".join(filter(None, [__name__, package.strip("."), room]))
    for package, rooms in FLOORS.items()
    for room in rooms
}


def __getattr__(name: str):
    if name in _HOMES:
        return importlib.import_module(_HOMES[name])
    raise AttributeError(f"lessons_lib has no module {name!r}; it has: {', '.join(_HOMES)}")


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
