"""TorchScript in PyTorch's own interpreter. A .ts file is a program: load those that you trust."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.errors import RnnbenchError, one_line
from rnnbench.model import Arrays

if TYPE_CHECKING:
    from rnnbench.bundle import Bundle

FORMATS: tuple[str, ...] = ("torchscript",)


def available() -> str | None:
    """Why PyTorch is not here; None where it is."""
    return None if find_spec("torch") else "torch is not installed: pip install torch"


def devices() -> tuple[str, ...]:
    """Where PyTorch can run on this machine."""
    from rnnbench.runtimes import eager

    return eager.devices()


def load(
    bundle: Bundle, path: Path | None, *, device: str = "cpu", threads: int | None = None
) -> Callable[[Arrays], Arrays]:
    """The scripted module on a device.

    Raises:
        RnnbenchError: the file is damaged, or is no TorchScript.
    """
    import torch

    from rnnbench._quiet import torchscript_deprecation
    from rnnbench.modules import call
    from rnnbench.threads import torch_threads

    try:
        with torchscript_deprecation():
            module: Any = torch.jit.load(str(path), map_location=device)
    except (RuntimeError, ValueError, OSError) as error:
        raise RnnbenchError(
            f"{path} is not TorchScript that torch {torch.__version__} loads "
            f"({one_line(error)}): export it again"
        ) from None
    module.eval()

    def run(arrays: Arrays) -> Arrays:
        with torch_threads(threads):
            return call(module, bundle.inputs, bundle.outputs, arrays, device=device)

    return run
