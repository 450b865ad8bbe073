"""A .pt2 file in plain PyTorch. It is a program: time those that you trust."""

from __future__ import annotations

from rnnbench.core.known_warnings import export_warnings
from rnnbench.core.model import Arrays
from rnnbench.runtimes.adapters.pt2 import available, devices
from rnnbench.runtimes.timing import Source, Subject, in_torch, path_of

__all__ = ["FORMAT", "MODES", "PLANS", "RECOMPILES", "available", "devices", "prepare"]

FORMAT = "pt2"
MODES = {"": ("cpu",)}
RECOMPILES = False
PLANS = ("full",)


def prepare(source: Source, arrays: Arrays, device: str, threads: int, mode: str = "") -> Subject:
    """The exported program as a module."""
    import torch

    with export_warnings():
        module = torch.export.load(str(path_of(source))).module()
    return in_torch(module, source, arrays, device)
