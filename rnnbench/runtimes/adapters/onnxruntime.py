"""ONNX in ONNX Runtime, which rewrites the graph first; each level of that is a mode."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import cache
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError, Unavailable, one_line
from rnnbench.core.model import Arrays
from rnnbench.core.signature import Port, Signature

if TYPE_CHECKING:
    from rnnbench.core.bundle import Bundle

# Read where it is first imported, which is below: builds from 1.29 on send some unless told not to.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

FORMATS: tuple[str, ...] = ("onnx", "portable")
MODES: tuple[str, ...] = ("disabled", "basic", "extended")
"""Levels of graph optimisation; the default, as ONNX Runtime's own, is all of it."""

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_LEVELS = {
    "": "ORT_ENABLE_ALL",
    "disabled": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
}
_DTYPES = {"float": "float32", "double": "float64"}


def available() -> str | None:
    """Why ONNX Runtime is not here; None where it is."""
    if find_spec("onnxruntime"):
        return None
    return "onnxruntime is not installed: pip install onnxruntime"


def devices() -> tuple[str, ...]:
    """Where ONNX Runtime can run on this machine."""
    import onnxruntime

    present = onnxruntime.get_available_providers()
    return tuple(device for device, provider in _PROVIDERS.items() if provider in present)


def load(
    bundle: Bundle | None,
    path: Path | None,
    *,
    device: str = "cpu",
    threads: int | None = None,
    mode: str = "",
) -> Callable[[Arrays], Arrays]:
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
    provider = _PROVIDERS.get(kind)
    if provider not in onnxruntime.get_available_providers():
        remedy = ": pip install onnxruntime-gpu" if kind == "cuda" else ""
        raise Unavailable(
            f"onnxruntime cannot use device {device!r} here (possible: {', '.join(devices())})"
            f"{remedy}"
        )
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
