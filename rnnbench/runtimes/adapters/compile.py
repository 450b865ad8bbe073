"""The module under `torch.compile`, with sizes that may change.

A Python loop over time is unrolled by it, and compiled again for each length: seconds or minutes.
So it gets a few short cases, and only where it is asked for, or in a full check.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import Arrays
from rnnbench.runtimes.adapters import eager

if TYPE_CHECKING:
    from rnnbench.core.bundle import Bundle

FORMATS: tuple[str, ...] = ("eager",)
MODES: tuple[str, ...] = ()
SLOW = True

CUDA_ACCURACY = eager.CUDA_ACCURACY


def available() -> str | None:
    """Why it is not here; None where it is. It needs a C++ compiler."""
    if not find_spec("torch"):
        return "torch is not installed: pip install torch"
    usual = (os.environ.get("CXX"), "c++", "g++", "clang++")
    if not any(shutil.which(compiler) for compiler in usual if compiler):
        return "torch.compile needs a C++ compiler: install g++ or clang, or set CXX"
    return None


def devices() -> tuple[str, ...]:
    """Where PyTorch can run on this machine."""
    return eager.devices()


def load(
    bundle: Bundle | None,
    path: Path | None = None,
    *,
    device: str = "cpu",
    threads: int | None = None,
    mode: str = "",
) -> Callable[[Arrays], Arrays]:
    """The compiled module; what it cannot compile runs as it is, as `torch.compile` does it.

    Raises:
        Unavailable: the Python code of the model is not on this machine.
        RnnbenchError: the code is there, and the weights are not its own.
    """
    import torch

    from rnnbench.core.known_warnings import torchscript_deprecation
    from rnnbench.core.threads import torch_threads
    from rnnbench.formats.aoti.inductor import compiling_here, import_compiler
    from rnnbench.models.calls import call
    from rnnbench.runtimes.adapters.eager import trained

    import_compiler()
    if bundle is None:
        raise RnnbenchError("compile runs the module of a bundle: give the bundle")
    module = trained(bundle).module.to(device).eval()
    with torchscript_deprecation():
        compiled = torch.compile(module, dynamic=True)
    inputs, outputs = bundle.inputs, bundle.outputs

    def run(arrays: Arrays) -> Arrays:
        with torch_threads(threads), compiling_here(), torchscript_deprecation():
            return call(compiled, inputs, outputs, arrays, device=device)

    return run
