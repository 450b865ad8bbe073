"""A plural folder is where a file is added; the name of a plugin is its file's stem.

In such a folder a module whose name begins with `_` is a helper and no plugin. A package that is
installed adds one from outside, with an entry point in the group `rnnbench.<kind>`: its name is the
plugin's, and it names a module with what a file in the folder has. Nothing of it is imported before
the plugin is used; what is built in comes first where two have one name.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections.abc import Callable, Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from rnnbench.core.errors import RnnbenchError, choices, one_line

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

FOLDERS = {
    "commands": "rnnbench.commands",
    "formats": "rnnbench.formats",
    "hazards": "rnnbench.inspection.hazards",
    "plots": "rnnbench.benchmarking.report.plots",
    "readers": "rnnbench.inspection.readers",
    "runtimes": "rnnbench.runtimes.adapters",
    "targets": "rnnbench.embedding.targets",
    "tasks": "rnnbench.models.tasks",
    "variants": "rnnbench.models.variants",
}
"""Kind of plugin -> the package whose modules, or folders, they are."""

OPEN = ("formats", "hazards", "runtimes", "targets", "tasks", "variants")
"""The kinds that a package from outside can add to."""


ALIASES = {
    "formats": {"ts": "torchscript"},
    "runtimes": {"ort": "onnxruntime", "ts": "torchscript"},
    "variants": {
        "rnn": "elman",
        "rnn-loop": "elman-loop",
        "vanilla": "elman",
        "vanilla-loop": "elman-loop",
    },
}
"""Kind -> other names that people type -> the plugin's own, which is what is shown."""


def canonical(kind: str, name: str) -> str:
    """The plugin's own name, where it is known by another."""
    return ALIASES.get(kind, {}).get(name, name)


def aliases(kind: str, name: str) -> tuple[str, ...]:
    """The other names of a plugin."""
    return tuple(other for other, own in ALIASES.get(kind, {}).items() if own == name)


def names(kind: str) -> tuple[str, ...]:
    """The plugins of a kind, sorted; nothing is imported but their folder itself."""
    return tuple(sorted({*_inside(kind), *outside(kind)}))


def known(kind: str, name: str) -> bool:
    """Whether there is such a plugin; packages are looked through for one from outside alone."""
    return name in _inside(kind) or name in outside(kind)


def load(kind: str, name: str) -> ModuleType:
    """Imports one plugin.

    Raises:
        RnnbenchError: there is no such plugin (the message lists those that there are), or it is
            one from outside that cannot be imported.
    """
    name = canonical(kind, name)
    if name in _inside(kind):
        return importlib.import_module(f"{FOLDERS[kind]}.{name}")
    entry = outside(kind).get(name)
    if entry is None:
        raise choices(kind.removesuffix("s"), name, names(kind))
    try:
        return importlib.import_module(entry.module)
    except Exception as error:  # it is anybody's code
        raise RnnbenchError(
            f"{kind.removesuffix('s')} {name!r} of {owner(entry)} cannot be imported "
            f"({type(error).__name__}: {one_line(error)}): mend that package, or uninstall it"
        ) from error


def source(kind: str, name: str) -> Path | None:
    """The file of a plugin, which is not imported; None where it has none."""
    entry = outside(kind).get(name)
    module = f"{FOLDERS[kind]}.{name}" if name in _inside(kind) or not entry else entry.module
    try:
        spec = find_spec(module)
    except ImportError:
        return None
    return Path(spec.origin) if spec is not None and spec.origin is not None else None


def describe(kind: str, name: str) -> str:
    """The first line of a plugin's docstring, which is read without importing it."""
    file = source(kind, name)
    said = ast.get_docstring(ast.parse(file.read_text("utf-8"))) if file is not None else None
    return (said or name).splitlines()[0]


@cache
def outside(kind: str) -> dict[str, EntryPoint]:
    """Name -> entry point, of the plugins that other packages bring."""
    if kind not in OPEN:
        return {}
    return {entry.name: entry for entry in _of_group()(group=f"rnnbench.{kind}")}


@cache
def _of_group() -> Callable[..., Iterable[EntryPoint]]:
    """Chooses among those of every distribution, all of whose files are read once for it."""
    from importlib.metadata import entry_points

    return entry_points().select


def owner(entry: EntryPoint) -> str:
    """The distribution that brings an entry point."""
    return entry.dist.name if entry.dist is not None else entry.module.partition(".")[0]


@cache
def _inside(kind: str) -> frozenset[str]:
    package = importlib.import_module(FOLDERS[kind])
    found = (module.name for module in pkgutil.iter_modules(package.__path__))
    return frozenset(name for name in found if not name.startswith("_"))
