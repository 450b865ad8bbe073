"""A plural folder is where a file is added; the name of a plugin is its file's stem."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from rnnbench.errors import choices


def names(folder: str) -> tuple[str, ...]:
    """The plugins in `rnnbench/<folder>/`, sorted; nothing is imported but the folder itself."""
    package = importlib.import_module(f"rnnbench.{folder}")
    return tuple(sorted(m.name for m in pkgutil.iter_modules(package.__path__)))


def load(folder: str, name: str) -> ModuleType:
    """Imports one plugin.

    Raises:
        RnnbenchError: there is no such plugin; the message lists those that there are.
    """
    possible = names(folder)
    if name not in possible:
        raise choices(folder.removesuffix("s"), name, possible)
    return importlib.import_module(f"rnnbench.{folder}.{name}")
