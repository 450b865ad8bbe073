"""A plural folder is where a file is added; the name of a plugin is its file's stem.

In such a folder a module whose name begins with `_` is a helper and no plugin.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from rnnbench.core.errors import choices

FOLDERS = {
    "commands": "rnnbench.commands",
    "formats": "rnnbench.formats",
    "hazards": "rnnbench.inspection.hazards",
    "plots": "rnnbench.benchmarking.report.plots",
    "readers": "rnnbench.inspection.readers",
    "runtimes": "rnnbench.runtimes.adapters",
    "tasks": "rnnbench.models.tasks",
    "timing": "rnnbench.runtimes.timing",
    "variants": "rnnbench.models.variants",
}
"""Kind of plugin -> the package whose modules they are."""


def names(kind: str) -> tuple[str, ...]:
    """The plugins of a kind, sorted; nothing is imported but their folder itself."""
    package = importlib.import_module(FOLDERS[kind])
    found = (m.name for m in pkgutil.iter_modules(package.__path__))
    return tuple(sorted(name for name in found if not name.startswith("_")))


def load(kind: str, name: str) -> ModuleType:
    """Imports one plugin.

    Raises:
        RnnbenchError: there is no such plugin; the message lists those that there are.
    """
    possible = names(kind)
    if name not in possible:
        raise choices(kind.removesuffix("s"), name, possible)
    return importlib.import_module(f"{FOLDERS[kind]}.{name}")
