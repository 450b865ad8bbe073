"""An AOTInductor package. It is machine code: time those that you trust."""

from __future__ import annotations

from rnnbench.core.errors import Unavailable
from rnnbench.core.model import Arrays
from rnnbench.formats.aoti import available
from rnnbench.runtimes.adapters.aoti import devices
from rnnbench.runtimes.timing import Source, Subject, in_torch, path_of

__all__ = ["FORMAT", "MODES", "PLANS", "RECOMPILES", "available", "devices", "prepare"]

FORMAT = "aoti"
MODES = {"": ("cpu",)}
RECOMPILES = False
PLANS: tuple[str, ...] = ()  # compiling takes 10 s and more


def prepare(source: Source, arrays: Arrays, device: str, threads: int, mode: str = "") -> Subject:
    """The loaded package.

    Raises:
        Unavailable: more than one thread is asked for; the number is part of the machine code.
    """
    if threads != 1:
        raise Unavailable("a package is compiled for one thread: give --threads 1")
    from rnnbench.formats.aoti.inductor import Package

    return in_torch(Package(path_of(source)), source, arrays, device)
