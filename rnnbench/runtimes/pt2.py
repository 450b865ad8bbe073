"""A .pt2 file in plain PyTorch. It is a program: load those that you trust."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rnnbench.errors import RnnbenchError, one_line
from rnnbench.model import Arrays

if TYPE_CHECKING:
    from rnnbench.bundle import Bundle

FORMATS: tuple[str, ...] = ("pt2",)


def available() -> str | None:
    """Why PyTorch is not here; None where it is."""
    return None if find_spec("torch") else "torch is not installed: pip install torch"


def devices() -> tuple[str, ...]:
    """Where the program runs: it is written for the CPU."""
    return ("cpu",)


def load(
    bundle: Bundle, path: Path | None, *, device: str = "cpu", threads: int | None = None
) -> Callable[[Arrays], Arrays]:
    """The exported program as a module.

    Raises:
        RnnbenchError: the file is damaged, or of a torch that this one does not read.
    """
    import torch

    from rnnbench._quiet import export_warnings
    from rnnbench.modules import call
    from rnnbench.threads import torch_threads

    if device != "cpu":
        raise RnnbenchError(f"device {device!r}: a .pt2 file runs on cpu, for which it was written")
    try:
        with export_warnings():
            module = torch.export.load(str(path)).module()
    except Exception as error:
        raise RnnbenchError(
            f"{path} is not a .pt2 file that torch {torch.__version__} loads "
            f"({one_line(error)}): export it again"
        ) from None

    def run(arrays: Arrays) -> Arrays:
        with torch_threads(threads):
            return call(module, bundle.inputs, bundle.outputs, arrays, device=device)

    return run
