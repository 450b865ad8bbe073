"""ONNX in MNN, written for it and converted with the shape of these inputs fixed."""

from __future__ import annotations

from typing import Any

from rnnbench.core.model import Arrays
from rnnbench.runtimes.adapters.mnn import Net, available, devices, heard
from rnnbench.runtimes.timing import Source, Subject, path_of

__all__ = ["FORMAT", "MODES", "PLANS", "PROFILE", "RECOMPILES", "available", "devices", "prepare"]

FORMAT = "onnx"
PROFILE = "mnn"
MODES = {"": ("cpu",)}
RECOMPILES = False
PLANS = ()


def prepare(source: Source, arrays: Arrays, device: str, threads: int, mode: str = "") -> Subject:
    """A module with its inputs as MNN's variables; a call also reads its outputs."""
    net = Net(path_of(source), threads)
    given = [net.variable(arrays[name]) for name in net.inputs]
    forward = net.module.forward

    def run() -> Any:
        results = forward(given)
        for result in results:
            result.read()
        return results

    with heard():  # whatever its first call has to say
        run()
    return Subject(run, net.read)
