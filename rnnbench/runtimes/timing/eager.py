"""The module itself in PyTorch; on CUDA also as a graph, which is launched as one."""

from __future__ import annotations

from typing import Any

from rnnbench.core.model import Arrays
from rnnbench.runtimes.adapters.eager import available, devices
from rnnbench.runtimes.timing import Source, Subject, in_torch, module_of, to_arrays, to_tensors

__all__ = ["FORMAT", "MODES", "PLANS", "RECOMPILES", "available", "devices", "prepare"]

FORMAT = "eager"
MODES = {"": ("cpu", "cuda"), "cuda-graph": ("cuda",)}
RECOMPILES = False
PLANS = ("quick", "full")


def prepare(source: Source, arrays: Arrays, device: str, threads: int, mode: str = "") -> Subject:
    """The module, or the CUDA graph of one call of it."""
    module = module_of(source, device)
    if mode != "cuda-graph":
        return in_torch(module, source, arrays, device)
    from rnnbench.core.cuda import capture_graph, synchronised

    tensors = to_tensors(source, arrays, device)
    replay, returned = capture_graph(lambda: module(*tensors))

    def launch(kept: Any = (module, tensors)) -> None:  # the graph itself keeps no memory alive
        replay()

    return Subject(synchronised(launch), lambda _: to_arrays(source, returned), launch)
