"""ONNX as plain C by emx-onnx-cgen, written for it and compiled for the shape of these inputs."""

from __future__ import annotations

import numpy as np

from rnnbench.core.model import Arrays
from rnnbench.runtimes.adapters.emx import Compiled, addresses, available, devices
from rnnbench.runtimes.timing import Source, Subject, one_thread, path_of

__all__ = ["FORMAT", "MODES", "PLANS", "PROFILE", "RECOMPILES", "available", "devices", "prepare"]

FORMAT = "onnx"
PROFILE = "emx"
MODES = {"": ("cpu",)}
RECOMPILES = False
PLANS = ()


def prepare(source: Source, arrays: Arrays, device: str, threads: int, mode: str = "") -> Subject:
    """The C function with its inputs, and with room for its outputs.

    Raises:
        Unavailable: more than one thread is asked for.
    """
    one_thread("emx-onnx-cgen's C", threads)
    import onnx

    path = path_of(source)
    compiled = Compiled(path, onnx.load(str(path)))
    given = [np.ascontiguousarray(arrays[name]) for name in compiled.inputs]
    results = compiled.empty()
    places = addresses([*given, *results.values()])
    function = compiled.function

    def run() -> None:
        function(*places)

    def read(_: None, kept: object = given) -> Arrays:  # C keeps no memory alive
        return {name: array.copy() for name, array in results.items()}

    return Subject(run, read)
