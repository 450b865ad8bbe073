"""An AOTInductor package in plain PyTorch. It is machine code: load those that you trust."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Arrays

if TYPE_CHECKING:
    from rnnbench.core.bundle import Bundle

FORMATS: tuple[str, ...] = ("aoti",)
MODES: tuple[str, ...] = ()


def available() -> str | None:
    """Why PyTorch is not here; None where it is. A compiler is needed to write, not to run."""
    return None if find_spec("torch") else "torch is not installed: pip install torch"


def devices() -> tuple[str, ...]:
    """Where the package runs: it was compiled for the CPU."""
    return ("cpu",)


def load(
    bundle: Bundle | None,
    path: Path | None,
    *,
    device: str = "cpu",
    threads: int | None = None,
    mode: str = "",
) -> Callable[[Arrays], Arrays]:
    """The package, which refuses inputs of shapes that it was not compiled for.

    Raises:
        RnnbenchError: the file is damaged, or of another torch, operating system or CPU.
    """
    import torch

    from rnnbench.core.threads import torch_threads
    from rnnbench.formats.aoti.inductor import Package
    from rnnbench.models.calls import call

    if device != "cpu":
        raise RnnbenchError(f"device {device!r}: a package runs on cpu, for which it was compiled")
    if bundle is None:
        raise RnnbenchError(f"{path}: a package is run from its bundle, which declares its inputs")
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
