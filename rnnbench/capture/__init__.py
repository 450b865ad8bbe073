"""A module becomes one exported program whose recurrences are single nodes.

`capture(model)` is the whole of it; after it each format only translates. `docs/capture.md` walks
through the stages. Nothing is imported before it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnbench.capture.pipeline import capture
    from rnnbench.capture.program import Captured
    from rnnbench.core.recurrence import Recurrence

__all__ = ["Captured", "Recurrence", "capture"]

_HOMES = {
    "Captured": "rnnbench.capture.program",
    "Recurrence": "rnnbench.core.recurrence",
    "capture": "rnnbench.capture.pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
