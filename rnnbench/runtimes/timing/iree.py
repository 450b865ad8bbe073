"""ONNX in IREE, written for it and compiled for the shape of these inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnbench.core.model import Arrays
from rnnbench.runtimes.adapters.iree import Compiled, available, devices
from rnnbench.runtimes.timing import Source, Subject, one_thread, path_of

__all__ = ["FORMAT", "MODES", "PLANS", "PROFILE", "RECOMPILES", "available", "devices", "prepare"]

FORMAT = "onnx"
PROFILE = "iree"
MODES = {"": ("cpu",)}
RECOMPILES = False
PLANS = ()


def prepare(source: Source, arrays: Arrays, device: str, threads: int, mode: str = "") -> Subject:
    """The compiled module with its inputs on IREE's device, in the thread that calls.

    Raises:
        Unavailable: more than one thread is asked for.
    """
    one_thread("IREE", threads)
    import iree.runtime
    import onnx

    path = path_of(source)
    compiled = Compiled(path, onnx.load(str(path)), "local-sync")
    given = [
        iree.runtime.asdevicearray(compiled.device, np.ascontiguousarray(arrays[name]))
        for name in compiled.inputs
    ]
    function = compiled.function

    def run() -> Any:
        return function(*given)

    return Subject(run, compiled.read)
