"""ONNX in OpenVINO, in float32 (it would compute in bfloat16 on some CPUs by itself)."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np

from rnnbench.core.model import Arrays
from rnnbench.runtimes.adapters.openvino import output_names
from rnnbench.runtimes.timing import Source, Subject, path_of

FORMAT = "onnx"
MODES = {"": ("cpu",), "bound": ("cpu",)}
RECOMPILES = False
PLANS = ("full",)


def available() -> str | None:
    """Why OpenVINO is not here; None where it is."""
    return None if find_spec("openvino") else "openvino is not installed: pip install openvino"


def devices() -> tuple[str, ...]:
    """Where it is timed: its GPUs are not those that the other runtimes use."""
    return ("cpu",)


def prepare(source: Source, arrays: Arrays, device: str, threads: int, mode: str = "") -> Subject:
    """A request with its inputs; `bound` leaves the outputs where OpenVINO wrote them."""
    import openvino

    config = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino.Core().compile_model(str(path_of(source)), "CPU", config)
    request = compiled.create_infer_request()
    used = {name for port in compiled.inputs for name in port.names}
    feeds = {name: array for name, array in arrays.items() if name in used}
    # the tensors share the arrays' memory, and nobody else keeps either
    bound = {n: openvino.Tensor(array, shared_memory=True) for n, array in feeds.items()}
    if mode == "bound":
        for name, tensor in bound.items():
            request.set_tensor(name, tensor)

    def run() -> Any:
        return request.infer(feeds)

    def run_bound(kept: Any = (feeds, bound)) -> Any:
        return request.infer(share_outputs=True)

    def read(returned: Any) -> Arrays:
        names = output_names(compiled)
        return {n: np.array(returned[p]) for n, p in zip(names, compiled.outputs, strict=True)}

    return Subject(run_bound if mode == "bound" else run, read)
