"""Recurrent PyTorch models for other runtimes: exported, proved equal, and measured.

    bundle = rnnbench.export(model, formats=("torchscript", "onnx"), out="exports")
    report = rnnbench.check(bundle)
    outputs = rnnbench.load(bundle, "onnx", runtime="onnxruntime")({"x": array})

Nothing heavy is imported before it is used.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rnnbench.bundle import Bundle
    from rnnbench.check import check
    from rnnbench.errors import RnnbenchError
    from rnnbench.export import export
    from rnnbench.inspect import inspect
    from rnnbench.model import Model, TensorSpec
    from rnnbench.session import load

__version__ = "0.1.0"
__all__ = [
    "Bundle",
    "Model",
    "RnnbenchError",
    "TensorSpec",
    "__version__",
    "check",
    "export",
    "inspect",
    "load",
]

_HOMES = {
    "Bundle": "bundle",
    "Model": "model",
    "RnnbenchError": "errors",
    "TensorSpec": "model",
    "check": "check",
    "export": "export",
    "inspect": "inspect",
    "load": "session",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    setattr(sys.modules[__name__], name, value)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """Keeps `rnnbench.check`, `export` and `inspect` the functions, whatever is imported first.

    The import system binds a submodule to its package under the submodule's name, and these
    stages have the name of their one public function.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and _HOMES.get(name) == name:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
