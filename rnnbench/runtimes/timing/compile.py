"""The module through `torch.compile`, for exactly the sizes that are measured."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from typing import Any

from rnnbench.core.known_warnings import export_warnings, torchscript_deprecation
from rnnbench.core.model import Arrays
from rnnbench.runtimes.adapters.eager import devices
from rnnbench.runtimes.timing import Source, Subject, in_torch, module_of

__all__ = ["FORMAT", "MODES", "PLANS", "RECOMPILES", "available", "devices", "prepare"]

FORMAT = "eager"
MODES = {"": ("cpu", "cuda")}
RECOMPILES = False
PLANS: tuple[str, ...] = ()  # compiling takes 10 s and more


def available() -> str | None:
    """Why it cannot compile here; None where it can."""
    if not find_spec("torch"):
        return "torch is not installed: pip install torch"
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        return "torch.compile needs a C++ compiler: install g++ or clang++"
    return None


def prepare(source: Source, arrays: Arrays, device: str, threads: int, mode: str = "") -> Subject:
    """The module, compiled by a first call.

    The number of threads is fixed in the code that Inductor writes, so it is one of its options.
    """
    import torch

    # Inductor writes the number into its loops, and a cached kernel of another number would do
    options: dict[str, Any] = {"cpp.threads": threads} if device == "cpu" else {}
    module = module_of(source, device)
    compiled = torch.compile(module, dynamic=False, options=options)
    subject = in_torch(compiled, source, arrays, device)
    with torchscript_deprecation(), export_warnings():
        subject.run()
    return subject
