"""The module itself in PyTorch, rebuilt from the bundle's source and weights."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import Arrays, Run
from rnnbench.runtimes.adapters._torch import CUDNN_COARSENESS, torch_devices
from rnnbench.runtimes.opened import Opened, opened_in_torch
from rnnbench.runtimes.runtime import Runtime, Timing
from rnnbench.runtimes.timed import (
    Source,
    TimedCall,
    in_torch,
    module_of,
    to_arrays,
    to_tensors,
)
from rnnbench.runtimes.training import TRAINING, in_training, trainable

if TYPE_CHECKING:
    from rnnbench.core.bundle import Bundle


def load(
    bundle: Bundle | None,
    path: Path | None = None,
    *,
    device: str = "cpu",
    threads: int | None = None,
    mode: str = "",
) -> Run:
    """The module with the bundle's weights, or the variant's other form with the same.

    Raises:
        Unavailable: the Python code of the model is not on this machine.
        RnnbenchError: the code is there, and the weights are not its own.
    """
    from rnnbench.core.threads import torch_threads
    from rnnbench.models.calls import call, evaluated
    from rnnbench.models.rebuild import trained, twin

    if bundle is None:
        raise RnnbenchError("eager runs the module of a bundle: give the bundle")
    module = twin(bundle) if mode == "twin" else trained(bundle).module
    module = evaluated(module, device)
    inputs, outputs = bundle.inputs, bundle.outputs

    def run(arrays: Arrays) -> Arrays:
        with torch_threads(threads):
            return call(module, inputs, outputs, arrays, device=device)

    return run


def prepare(source: Source, arrays: Arrays, device: str, threads: int, mode: str = "") -> TimedCall:
    """The module, the CUDA graph of one call of it, or its forward and backward."""
    if mode == TRAINING:
        trained = trainable(source, device)
        return in_training(trained, trained, source, arrays, device)
    module = module_of(source, device)
    if mode != "cuda-graph":
        return in_torch(module, source, arrays, device)
    from rnnbench.core.cuda import capture_graph, synchronised

    tensors = to_tensors(source, arrays, device)
    replay, returned = capture_graph(lambda: module(*tensors))

    def launch(kept: Any = (module, tensors)) -> None:  # the graph itself keeps no memory alive
        replay()

    return TimedCall(synchronised(launch), lambda _: to_arrays(source, returned), launch)


def open_for_streams(source: Source, threads: int, at_once: int) -> Opened:
    """A copy of the module, with weights of its own."""
    return opened_in_torch(copy.deepcopy(module_of(source, "cpu")), source)


RUNTIME = Runtime(
    title="eager",
    formats=("eager",),
    requires={"torch": "torch"},
    load=load,
    modes=("twin",),  # a built-in variant's other form, loop or fused layer, with the same weights
    devices=torch_devices,
    cuda_coarseness=CUDNN_COARSENESS,
    timing=Timing(
        "eager",
        prepare,
        modes={"": ("cpu", "cuda"), "cuda-graph": ("cuda",), TRAINING: ("cpu", "cuda")},
        plans=("quick", "full"),
        open=open_for_streams,
    ),
)
