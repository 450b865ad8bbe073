"""ONNX in ncnn, converted for the shape that is timed; batch 1 only."""

from __future__ import annotations

import tempfile
from pathlib import Path

from rnnbench.core.model import Arrays
from rnnbench.runtimes.adapters.ncnn import available, convert, devices
from rnnbench.runtimes.timing import Source, Subject, path_of

__all__ = ["FORMAT", "MODES", "PLANS", "RECOMPILES", "available", "devices", "prepare"]

FORMAT = "onnx"
MODES = {"": ("cpu",)}
RECOMPILES = False
PLANS: tuple[str, ...] = ()


def prepare(source: Source, arrays: Arrays, device: str, threads: int, mode: str = "") -> Subject:
    """The network of the form that `export --for ncnn` writes."""
    from rnnbench.formats.onnx.profiles import rewrite

    with tempfile.TemporaryDirectory(prefix="rnnbench-") as folder:
        file = Path(folder) / "ncnn.onnx"
        rewrite(path_of(source), file, "ncnn")
        network = convert(file, {name: array.shape for name, array in arrays.items()}, threads)
    inputs = network.give(arrays)
    return Subject(lambda: network.run(inputs), network.take)
