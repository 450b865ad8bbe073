"""ONNX in OpenCV's dnn module, written for it, with the shape of these inputs fixed."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnbench.core.model import Arrays
from rnnbench.runtimes.adapters.opencv import Net, available, devices
from rnnbench.runtimes.timing import Source, Subject, path_of

__all__ = ["FORMAT", "MODES", "PLANS", "PROFILE", "RECOMPILES", "available", "devices", "prepare"]

FORMAT = "onnx"
PROFILE = "opencv"
MODES = {"": ("cpu",)}
RECOMPILES = False
PLANS = ()


def prepare(source: Source, arrays: Arrays, device: str, threads: int, mode: str = "") -> Subject:
    """A net; a call sets its inputs, or it would know that there is nothing to compute."""
    net = Net(path_of(source), threads)
    given = [(np.ascontiguousarray(arrays[name]), name) for name in net.inputs]
    set_input, forward, outputs = net.net.setInput, net.net.forward, net.outputs

    def run() -> Any:
        for array, name in given:
            set_input(array, name)
        return forward(outputs)

    def read(returned: Any) -> Arrays:
        return {n: np.array(r) for n, r in zip(outputs, returned, strict=True)}

    return Subject(run, read)
