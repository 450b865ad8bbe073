"""A .pt2 program in TVM, compiled for the shape that is timed."""

from __future__ import annotations

from rnnbench.core.model import Arrays
from rnnbench.runtimes.adapters.tvm import available, compile, devices
from rnnbench.runtimes.timing import Source, Subject, path_of

__all__ = ["FORMAT", "MODES", "PLANS", "RECOMPILES", "available", "devices", "prepare"]

FORMAT = "pt2"
MODES = {"": ("cpu",)}
RECOMPILES = False
PLANS: tuple[str, ...] = ()


def prepare(source: Source, arrays: Arrays, device: str, threads: int, mode: str = "") -> Subject:
    """A function of inputs that are the engine's own tensors."""
    from rnnbench.formats.pt2.unroll import subject

    path = path_of(source)
    return subject(source, arrays, lambda program: compile(program, path, threads))
