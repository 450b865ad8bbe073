"""TorchScript in PyTorch's own interpreter. A .ts file is a program: time those that you trust."""

from __future__ import annotations

from typing import Any

from rnnbench.core.known_warnings import torchscript_deprecation
from rnnbench.core.model import Arrays
from rnnbench.runtimes.adapters.torchscript import available, devices
from rnnbench.runtimes.timing import Source, Subject, in_torch, path_of

__all__ = ["FORMAT", "MODES", "PLANS", "RECOMPILES", "available", "devices", "prepare"]

FORMAT = "torchscript"
MODES = {"": ("cpu", "cuda")}
RECOMPILES = True  # on its second and third call, and for new lengths (pytorch#33354)
PLANS = ("quick", "full")


def prepare(source: Source, arrays: Arrays, device: str, threads: int, mode: str = "") -> Subject:
    """The scripted module on a device."""
    import torch

    with torchscript_deprecation():
        module: Any = torch.jit.load(str(path_of(source)), map_location=device)
    return in_torch(module.eval(), source, arrays, device)
