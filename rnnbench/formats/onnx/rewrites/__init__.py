"""ONNX -> ONNX: what engines need that cannot read the general file.

A rewrite is a function with `@rewrite` in a module here; a profile names it.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from rnnbench.formats.onnx.rewrites._pass import Rewrite


@cache
def every() -> dict[str, Rewrite]:
    """Name -> rewrite, of all modules here."""
    found: dict[str, Rewrite] = {}
    for module in pkgutil.iter_modules(__path__):
        holder = importlib.import_module(f"{__name__}.{module.name}")
        own = [value for value in vars(holder).values() if isinstance(value, Rewrite)]
        found |= {known.name: known for known in own}
    return dict(sorted(found.items()))
