"""ONNX in ONNX Runtime: numpy arrays in and out, or bound to buffers that are there already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rnnbench.core.errors import Unavailable
from rnnbench.core.model import Arrays
from rnnbench.runtimes.adapters.onnxruntime import available, devices, start_session
from rnnbench.runtimes.timing import Source, Subject, path_of

__all__ = ["FORMAT", "MODES", "PLANS", "RECOMPILES", "available", "devices", "prepare"]

FORMAT = "onnx"
MODES = {"": ("cpu", "cuda"), "bound": ("cpu", "cuda")}
RECOMPILES = False
PLANS = ("quick", "full")


def prepare(source: Source, arrays: Arrays, device: str, threads: int, mode: str = "") -> Subject:
    """A session with its inputs.

    Raises:
        Unavailable: ONNX Runtime silently fell back to another device.
    """
    session = open_session(path_of(source), device, threads)
    used = {i.name for i in session.get_inputs()}  # an input that nothing uses may be gone
    feeds = {name: array for name, array in arrays.items() if name in used}
    names = [output.name for output in session.get_outputs()]
    if mode == "bound":
        return _bound(session, feeds, names, device)
    run_session = session.run

    def run() -> Any:  # it waits for the device itself
        return run_session(names, feeds)

    return Subject(run, lambda returned: dict(zip(names, returned, strict=True)))


def open_session(path: Path, device: str, threads: int) -> Any:
    """A session with the same threads as everybody else, and no others."""
    import onnxruntime

    kind, _, index = device.partition(":")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # its warnings are about its own optimiser
    session = start_session(path, options, kind, index, {})
    if session is None:
        raise Unavailable(f"onnxruntime could not start on device {device!r}: use --device cpu")
    return session


def _bound(session: Any, feeds: Arrays, names: list[str], device: str) -> Subject:
    """Nothing is allocated or copied in a call; the sizes of the outputs are those of one call."""
    import onnxruntime

    kind, _, index = device.partition(":")
    where = (kind, int(index or 0))
    value = onnxruntime.OrtValue
    binding = session.io_binding()
    inputs = {name: value.ortvalue_from_numpy(array, *where) for name, array in feeds.items()}
    first = session.run(names, feeds)
    outputs = {
        name: value.ortvalue_from_shape_and_type(array.shape, array.dtype, *where)
        for name, array in zip(names, first, strict=True)
    }
    for name, bound in inputs.items():
        binding.bind_ortvalue_input(name, bound)
    for name, bound in outputs.items():
        binding.bind_ortvalue_output(name, bound)
    run_bound = session.run_with_iobinding

    def run() -> Any:
        run_bound(binding)
        binding.synchronize_outputs()

    def run_on_cpu() -> Any:
        run_bound(binding)

    def read(_: Any, kept: Any = inputs) -> Arrays:  # the binding itself keeps no memory alive
        return {name: bound.numpy() for name, bound in outputs.items()}

    return Subject(run_on_cpu if kind == "cpu" else run, read)
