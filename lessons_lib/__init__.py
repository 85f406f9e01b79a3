"""Helpers of the quantization lessons, one module for each step of the way.

``import lessons_lib`` costs nothing: a module is imported when it is first used.
"""

import importlib
import pkgutil

__version__ = "0.1.0"


def _modules() -> list[str]:
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_"))


def __getattr__(name: str):
    if not name.startswith("_") and name in _modules():
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"lessons_lib has no module {name!r}; it has: {', '.join(_modules())}")


def __dir__() -> list[str]:
    return [*globals(), *_modules()]
