"""Recurrent PyTorch models for other runtimes: exported, proved equal, and measured.

    bundle = rnnbench.export(model, formats=("torchscript", "onnx"), out="exports")
    report = rnnbench.check(bundle)
    outputs = rnnbench.load(bundle, "onnx", runtime="onnxruntime")({"x": array})

Nothing heavy is imported before it is used.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnbench.checking.check import check
    from rnnbench.core.bundle import Bundle
    from rnnbench.core.dims import Dim
    from rnnbench.core.errors import RnnbenchError
    from rnnbench.core.model import Model, TensorSpec
    from rnnbench.exporting import export
    from rnnbench.inspection.inspect import inspect
    from rnnbench.models.files.declare import model_of
    from rnnbench.runtimes.session import load
    from rnnbench.verbs import (
        bench,
        compare,
        conform,
        embed,
        optimize,
        report,
        run,
        train,
    )

__version__ = "0.1.0"
__all__ = [
    "Bundle",
    "Dim",
    "Model",
    "RnnbenchError",
    "TensorSpec",
    "__version__",
    "bench",
    "check",
    "compare",
    "conform",
    "embed",
    "export",
    "inspect",
    "load",
    "model_of",
    "optimize",
    "report",
    "run",
    "train",
]

_HOMES = {
    "Bundle": "core.bundle",
    "Dim": "core.dims",
    "Model": "core.model",
    "RnnbenchError": "core.errors",
    "TensorSpec": "core.model",
    "check": "checking.check",
    "export": "exporting",
    "inspect": "inspection.inspect",
    "load": "runtimes.session",
    "model_of": "models.files.declare",
    **dict.fromkeys(("bench", "compare", "conform", "embed"), "verbs"),
    **dict.fromkeys(("optimize", "report", "run", "train"), "verbs"),
}


_MODULES = ("onnx", "pt2")
"""Drop-in functions, each in a module of its own."""


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    setattr(sys.modules[__name__], name, value)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
