"""ONNX in ONNX Runtime, which rewrites the graph first; each level of that is a mode."""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from functools import cache
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError, Unavailable, one_line
from rnnbench.core.gaps import LAYERS, seen
from rnnbench.core.model import Arrays, Run
from rnnbench.core.signature import Port, Signature
from rnnbench.formats.onnx.releases import Release
from rnnbench.runtimes.opened import Opened, Values, opened_with_arrays
from rnnbench.runtimes.runtime import Runtime, Timing
from rnnbench.runtimes.timed import (
    Source,
    TimedCall,
    path_of,
)

if TYPE_CHECKING:
    from rnnbench.core.bundle import Bundle

# Read where it is first imported, which is below: builds from 1.29 on send some unless told not to.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_LEVELS = {
    "": "ORT_ENABLE_ALL",
    "disabled": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
}
_DTYPES = {"float": "float32", "double": "float64"}


def devices() -> tuple[str, ...]:
    """Where ONNX Runtime can run on this machine; it is imported only where it may be CUDA."""
    if "onnxruntime" not in sys.modules and not _brings_cuda():
        return ("cpu",)
    import onnxruntime

    present = onnxruntime.get_available_providers()
    return tuple(device for device, provider in _PROVIDERS.items() if provider in present)


def _brings_cuda() -> bool:
    """Whether the installed build has the library of that provider; True where that is unknown."""
    spec = find_spec("onnxruntime")
    folders = [Path(folder) / "capi" for folder in (spec and spec.submodule_search_locations) or ()]
    if not any(folder.is_dir() for folder in folders):
        return True
    return any(any(folder.glob("*onnxruntime_providers_cuda*")) for folder in folders)


def load(
    bundle: Bundle | None,
    path: Path | None,
    *,
    device: str = "cpu",
    threads: int | None = None,
    mode: str = "",
) -> Run:
    """A session over the graph; the outputs have the names that the graph gives them.

    Raises:
        Unavailable: this build of ONNX Runtime cannot use the device.
        RnnbenchError: the file is damaged, or needs what ONNX Runtime does not have.
    """
    session = _session(path, device, threads, mode)
    produced = [output.name for output in session.get_outputs()]
    used = [i.name for i in session.get_inputs()]  # an input that nothing uses may be gone
    if bundle is not None:
        _check_inputs(used, bundle, path)

    def run(arrays: Arrays) -> Arrays:
        results = session.run(produced, {name: arrays[name] for name in used if name in arrays})
        return dict(zip(produced, results, strict=True))

    return run


def weights(path: Path) -> Arrays:
    """Its initializers and constants, by name."""
    from rnnbench.inspection.weights import read_weights

    return read_weights(path)


def kept_small(path: Path) -> frozenset[str]:
    """Which of them it keeps in fewer bits, and computes back."""
    from rnnbench.inspection import weights

    return weights.kept_small(path)


def signature(path: Path) -> Signature:
    """The graph's inputs and outputs."""
    session = _session(path, "cpu", 1, "disabled")
    return Signature(
        tuple(map(_port, session.get_inputs())), tuple(map(_port, session.get_outputs()))
    )


def _check_inputs(used: list[str], bundle: Bundle, path: Path | None) -> None:
    wanted = [spec.name for spec in bundle.inputs]
    unknown = sorted(set(used) - set(wanted))
    if unknown:
        raise RnnbenchError(
            f"{path} asks for {', '.join(unknown)}, and the bundle declares "
            f"{', '.join(wanted)}: export it again"
        )


def _session(path: Path | None, device: str, threads: int | None, mode: str) -> Any:
    import onnxruntime

    kind, _, index = device.partition(":")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # its warnings are about its own optimiser
    options.inter_op_num_threads = 1
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, _LEVELS[mode])
    if threads is not None:
        options.intra_op_num_threads = threads
    settings = {"use_tf32": "0"} if kind == "cuda" else {}  # float32 that is float32
    try:
        session = start_session(path, options, kind, index, settings)
    # Its exceptions have no common class of their own; a damaged protobuf raises several.
    except Exception as error:
        raise RnnbenchError(
            f"{path} is not ONNX that onnxruntime {onnxruntime.__version__} loads "
            f"({one_line(error)}): export it again"
        ) from None
    if session is None:
        raise Unavailable(f"onnxruntime could not start on device {device!r}: use --device cpu")
    return session


def start_session(
    path: Path | None, options: Any, kind: str, index: str, settings: dict[str, str]
) -> Any:
    """A session on one device; None where it fell back to the CPU, which it does without a word."""
    import onnxruntime

    if kind == "cuda":
        _load_cuda()
    chosen = settings | ({"device_id": index} if index else {})
    session = onnxruntime.InferenceSession(str(path), options, [(_PROVIDERS[kind], chosen)])
    return session if _PROVIDERS[kind] in session.get_providers() else None


@cache
def _load_cuda() -> None:
    """ONNX Runtime finds CUDA's libraries where they are loaded: PyTorch's own, or pip's."""
    import onnxruntime
    import torch  # noqa: F401  (loads its own)

    if hasattr(onnxruntime, "preload_dlls"):
        with redirect_stdout(StringIO()):  # what is not there, and may not be needed
            onnxruntime.preload_dlls()


def _port(value: Any) -> Port:
    kind = value.type.removeprefix("tensor(").removesuffix(")")
    return Port(value.name, _DTYPES.get(kind, kind), tuple(value.shape))


def prepare(source: Source, arrays: Arrays, device: str, threads: int, mode: str = "") -> TimedCall:
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

    return TimedCall(run, lambda returned: dict(zip(names, returned, strict=True)))


def open_for_streams(source: Source, threads: int, at_once: int) -> Opened:
    """A session that any thread may call: what it computes, it computes in that thread."""
    session = open_session(path_of(source), "cpu", threads)
    used = [i.name for i in session.get_inputs()]  # an input that nothing uses may be gone
    names = [output.name for output in session.get_outputs()]
    run_session = session.run

    def call(values: Values) -> Values:
        feeds = {name: values[name] for name in used}
        return dict(zip(names, run_session(names, feeds), strict=True))

    return opened_with_arrays(call)


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


def _bound(session: Any, feeds: Arrays, names: list[str], device: str) -> TimedCall:
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

    return TimedCall(run_on_cpu if kind == "cpu" else run, read)


_SEEN = "onnxruntime 1.32.0"
GAPS = (*seen(_SEEN, "layout", refused=LAYERS),)

RELEASES = (
    Release("1.17", 20, 9, "1.17.3"),
    Release("1.18", 21, 10, "1.18.1"),
    Release("1.19", 21, 10, "1.19.2"),
    Release("1.20", 21, 10, "1.20.1"),
    Release("1.21", 22, 10, "1.21.1"),
    Release("1.22", 22, 10, "1.22.1"),
    Release("1.23", 23, 11, "1.23.2"),
    Release("1.24", 25, 13, "1.24.4"),
    Release("1.25", 26, 13, "1.25.1"),
    Release("1.26", 26, 13, "1.26.0"),
    Release("1.27", 26, 13, "1.27.0"),
    Release("1.28", 26, 13, "1.28.0"),
    Release("1.29", 26, 13, "1.29.0"),
    Release("1.30", 26, 13, "1.30.0"),
    Release("1.31", 26, 13, "1.31.1"),
    Release("1.32", 28, 14, "1.32.0"),
)
"""Each was given files of rising opset and IR version, and loaded up to these; 1.17 to 1.20 are the
same in the vendor's own table (onnxruntime.ai/docs/reference/compatibility.html).
"""

RUNTIME = Runtime(
    title="ONNX Runtime",
    formats=("onnx", "portable"),
    requires={"onnxruntime": "onnxruntime"},
    load=load,
    modes=tuple(filter(None, _LEVELS)),  # of graph optimisation; its own default is all of it
    devices=devices,
    cuda="onnxruntime-gpu",
    coarseness=4.0,  # its tanh is off by up to 3.3e-7
    signature=signature,
    weights=weights,
    kept_small=kept_small,
    gaps=GAPS,
    releases=RELEASES,
    timing=Timing(
        "onnx",
        prepare,
        modes={"": ("cpu", "cuda"), "bound": ("cpu", "cuda")},
        plans=("quick", "full"),
        open=open_for_streams,
    ),
)
