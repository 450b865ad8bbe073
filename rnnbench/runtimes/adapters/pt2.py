"""A .pt2 file in plain PyTorch. It is a program: load those that you trust."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rnnbench.core.known_warnings import export_warnings
from rnnbench.core.model import Arrays, Run
from rnnbench.formats.pt2.reading import load_program, signature, signature_of, weights
from rnnbench.runtimes.runtime import Runtime, Timing
from rnnbench.runtimes.timed import (
    Source,
    TimedCall,
    in_torch,
    path_of,
)

if TYPE_CHECKING:
    from rnnbench.core.bundle import Bundle


def load(
    bundle: Bundle | None,
    path: Path | None,
    *,
    device: str = "cpu",
    threads: int | None = None,
    mode: str = "",
) -> Run:
    """The exported program as a module.

    Raises:
        RnnbenchError: the file is damaged, or of a torch that this one does not read.
    """
    from rnnbench.core.threads import torch_threads
    from rnnbench.models.calls import call

    program = load_program(path)
    module = program.module()
    if bundle is None:
        from rnnbench.runtimes.adapters._positional import by_signature

        return by_signature(module, signature_of(program), device, threads)
    inputs, outputs = bundle.inputs, bundle.outputs

    def run(arrays: Arrays) -> Arrays:
        with torch_threads(threads):
            return call(module, inputs, outputs, arrays, device=device)

    return run


def prepare(source: Source, arrays: Arrays, device: str, threads: int, mode: str = "") -> TimedCall:
    """The exported program as a module."""
    import torch

    with export_warnings():
        module = torch.export.load(str(path_of(source))).module()
    return in_torch(module, source, arrays, device)


RUNTIME = Runtime(
    title=".pt2",
    formats=("pt2",),
    requires={"torch": "torch"},
    load=load,
    signature=signature,
    weights=weights,
    timing=Timing("pt2", prepare, plans=("full",)),
)
