"""The rewrites, in the order in which they are tried: one file each, with the same two names.

* `ORDER`: when it is tried;
* `find(graph, skip, keep) -> Outcome`: changes the graph where it can, and says what it found.
  Places in `skip` were tried before, and are left; those in `keep` keep their number of steps.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any


@cache
def every() -> tuple[Any, ...]:
    """The modules, in order."""
    names = [m.name for m in pkgutil.iter_modules(__path__) if not m.name.startswith("_")]
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return tuple(sorted(modules, key=lambda m: int(m.ORDER)))
