"""ONNX in tract, written for it, with the shape of these inputs fixed."""

from __future__ import annotations

from typing import Any

from rnnbench.core.model import Arrays
from rnnbench.runtimes.adapters.tract import Loaded, available, devices
from rnnbench.runtimes.timing import Source, Subject, one_thread, path_of

__all__ = ["FORMAT", "MODES", "PLANS", "PROFILE", "RECOMPILES", "available", "devices", "prepare"]

FORMAT = "onnx"
PROFILE = "tract"
MODES = {"": ("cpu",)}
RECOMPILES = False
PLANS = ()


def prepare(source: Source, arrays: Arrays, device: str, threads: int, mode: str = "") -> Subject:
    """The optimised graph with its inputs as tract's tensors; the outputs stay tract's.

    Raises:
        Unavailable: more than one thread is asked for.
    """
    one_thread("tract", threads)
    from tract import Tensor

    loaded = Loaded(path_of(source))
    given = [Tensor.from_numpy(arrays[name]) for name in loaded.inputs]
    run_graph = loaded.run.run

    def run() -> Any:
        return run_graph(given)

    def read(returned: Any) -> Arrays:
        return {n: r.to_numpy() for n, r in zip(loaded.outputs, returned, strict=True)}

    return Subject(run, read)
