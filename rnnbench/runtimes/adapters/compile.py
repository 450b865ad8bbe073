"""The module under `torch.compile`, with sizes that may change.

A Python loop over time is unrolled by it, and compiled again for each length: seconds or minutes.
So it gets a few short cases, and only where it is asked for, or in a full check.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError
from rnnbench.core.known_warnings import export_warnings, torchscript_deprecation
from rnnbench.core.model import Arrays, Run
from rnnbench.runtimes.adapters._torch import CUDNN_COARSENESS, torch_devices
from rnnbench.runtimes.runtime import Runtime, Timing
from rnnbench.runtimes.timed import (
    Source,
    TimedCall,
    in_torch,
    module_of,
)
from rnnbench.runtimes.training import TRAINING, in_training, trainable

if TYPE_CHECKING:
    from rnnbench.core.bundle import Bundle


def _lacks() -> str | None:
    """Why it cannot compile; None where it can."""
    usual = (os.environ.get("CXX"), "c++", "g++", "clang++")
    if not any(shutil.which(compiler) for compiler in usual if compiler):
        return "torch.compile needs a C++ compiler: install g++ or clang, or set CXX"
    return None


def load(
    bundle: Bundle | None,
    path: Path | None = None,
    *,
    device: str = "cpu",
    threads: int | None = None,
    mode: str = "",
) -> Run:
    """The compiled module; what it cannot compile runs as it is, as `torch.compile` does it.

    Raises:
        Unavailable: the Python code of the model is not on this machine.
        RnnbenchError: the code is there, and the weights are not its own.
    """
    import torch

    from rnnbench.core.threads import torch_threads
    from rnnbench.formats.aoti.inductor import compiling_here, import_compiler
    from rnnbench.models.calls import call, evaluated
    from rnnbench.models.rebuild import trained

    import_compiler()
    if bundle is None:
        raise RnnbenchError("compile runs the module of a bundle: give the bundle")
    module = evaluated(trained(bundle).module, device)
    with torchscript_deprecation():
        compiled = torch.compile(module, dynamic=True)
    inputs, outputs = bundle.inputs, bundle.outputs

    def run(arrays: Arrays) -> Arrays:
        with torch_threads(threads), compiling_here(), torchscript_deprecation():
            return call(compiled, inputs, outputs, arrays, device=device)

    return run


def prepare(source: Source, arrays: Arrays, device: str, threads: int, mode: str = "") -> TimedCall:
    """The module, compiled by a first call.

    The number of threads is fixed in the code that Inductor writes, so it is one of its options.
    """
    import torch

    # Inductor writes the number into its loops, and a cached kernel of another number would do
    options: dict[str, Any] = {"cpp.threads": threads} if device == "cpu" else {}
    training = mode == TRAINING
    module = trainable(source, device) if training else module_of(source, device)
    compiled = torch.compile(module, dynamic=False, options=options)
    if training:
        subject = in_training(compiled, module, source, arrays, device)
    else:
        subject = in_torch(compiled, source, arrays, device)
    with torchscript_deprecation(), export_warnings():
        subject.run()
    return subject


RUNTIME = Runtime(
    title="torch.compile",
    formats=("eager",),
    requires={"torch": "torch"},
    load=load,
    devices=torch_devices,
    lacks=_lacks,
    cost="slow",
    cuda_coarseness=CUDNN_COARSENESS,
    # in no plan: compiling takes 10 s and more
    timing=Timing("eager", prepare, modes={"": ("cpu", "cuda"), TRAINING: ("cpu", "cuda")}),
)
