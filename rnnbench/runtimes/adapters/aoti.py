"""An AOTInductor package in plain PyTorch: machine code, see docs/security.md."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rnnbench.core.errors import RnnbenchError, Unavailable, one_line
from rnnbench.core.model import Arrays, Run
from rnnbench.core.trust import refuse_machine_code
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
    """The package, which refuses inputs of shapes that it was not compiled for.

    Raises:
        RnnbenchError: the file is damaged, or of another torch, operating system or CPU.
        Unavailable: it was not compiled by this user on this machine.
    """
    import torch

    from rnnbench.core.threads import torch_threads
    from rnnbench.formats.aoti.inductor import Package
    from rnnbench.models.calls import call

    if bundle is None:
        raise RnnbenchError(f"{path}: a package is run from its bundle, which declares its inputs")
    if not bundle.trust_code:
        refuse_machine_code(Path(str(path)))
    inputs, outputs = bundle.inputs, bundle.outputs
    try:
        package = Package(Path(str(path)))
    except Exception as error:
        raise RnnbenchError(
            f"{path} is not a package that torch {torch.__version__} loads here "
            f"({one_line(error)}): export it again on this machine"
        ) from None

    def run(arrays: Arrays) -> Arrays:
        with torch_threads(threads):
            return call(package, inputs, outputs, arrays, device=device)

    return run


def prepare(source: Source, arrays: Arrays, device: str, threads: int, mode: str = "") -> TimedCall:
    """The loaded package.

    Raises:
        Unavailable: more than one thread is asked for; the number is part of the machine code. Or
            it was not compiled by this user on this machine.
    """
    if threads != 1:
        raise Unavailable("a package is compiled for one thread: give --threads 1")
    from rnnbench.formats.aoti.inductor import Package

    if not source.trust_code:
        refuse_machine_code(path_of(source))
    return in_torch(Package(path_of(source)), source, arrays, device)


RUNTIME = Runtime(
    title="AOTInductor",
    formats=("aoti",),
    requires={"torch": "torch"},  # a compiler is needed to write, not to run
    load=load,
    timing=Timing("aoti", prepare),  # in no plan: compiling takes 10 s and more
)
