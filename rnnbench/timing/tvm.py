"""A .pt2 program in TVM, compiled for the shape that is timed."""

from __future__ import annotations

from rnnbench.model import Arrays
from rnnbench.runtimes.tvm import available, compile, devices
from rnnbench.timing import Source, Subject, path_of

__all__ = ["FORMAT", "MODES", "PLANS", "RECOMPILES", "available", "devices", "prepare"]

FORMAT = "pt2"
MODES = {"": ("cpu",)}
RECOMPILES = False
PLANS: tuple[str, ...] = ()


def prepare(source: Source, arrays: Arrays, device: str, threads: int, mode: str = "") -> Subject:
    """A function of inputs that are the engine's own tensors."""
    from rnnbench.pt2_unroll import subject

    path = path_of(source)
    return subject(source, arrays, lambda program: compile(program, path, threads))
