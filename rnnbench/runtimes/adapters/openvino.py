"""ONNX in OpenVINO, asked for float32: its default on many CPUs is bfloat16, off by 1e-3.

A file of its own (IR, .xml beside .bin) it runs as well, for `check --against`.
"""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.gaps import LAYERS, seen
from rnnbench.core.model import Arrays, Run
from rnnbench.core.signature import Port, Signature
from rnnbench.formats.onnx.profile import filling
from rnnbench.runtimes.opened import Opened, Values, opened_with_arrays
from rnnbench.runtimes.runtime import Runtime, Timing
from rnnbench.runtimes.timed import (
    Source,
    TimedCall,
    path_of,
)

if TYPE_CHECKING:
    from rnnbench.core.bundle import Bundle


@cache
def _core() -> Any:
    """The one of this process, which stays.

    A thread that compiles gets a stack for its signals, which goes with the core: where that ends
    in another thread, the next signal of the first one (Ctrl-C) kills the process (tried: OpenVINO
    2026.4.1, `SigAltStackSetup` in its CPU plugin).
    """
    import openvino

    return openvino.Core()


def load(
    bundle: Bundle | None,
    path: Path | None,
    *,
    device: str = "cpu",
    threads: int | None = None,
    mode: str = "",
) -> Run:
    """The compiled graph; the outputs have the names that the graph gives them.

    Raises:
        RnnbenchError: the file is damaged, OpenVINO cannot run it, or it does not keep float32.
    """
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = threads
    try:
        core = _core()
        compiled: Any = core.compile_model(core.read_model(str(path)), "CPU", settings)
    except Exception as error:  # RuntimeError for all that is wrong with a file
        raise _refused(path, error) from None
    precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if precision != "f32":
        raise RnnbenchError(f"openvino computes in {precision} here, and f32 was asked for")
    names = output_names(compiled)
    # A port has the names of all tensors that are one: a Cast that changes nothing behind it, too.
    used = {name: port for port in compiled.inputs for name in port.names or [port_name(port)]}

    def run(arrays: Arrays) -> Arrays:
        results = compiled({used[name]: array for name, array in arrays.items() if name in used})
        return {name: results[i].copy() for i, name in enumerate(names)}

    return run


def _refused(path: Path | None, error: Exception) -> RnnbenchError:
    """What is said of a file that it does not compile.

    Its messages begin with the places in its own code; what is wrong stands behind them.
    """
    import openvino

    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(_PLACES)]
    own = path is not None and path.suffix == ".xml"
    if path is not None and own and not path.with_suffix(".bin").is_file():
        return RnnbenchError(
            f"{path} has its weights in {path.with_suffix('.bin').name}, which is not beside it: "
            "put it there"
        )
    return RnnbenchError(
        f"{path} is not {'a model' if own else 'ONNX'} that openvino {openvino.__version__} "
        f"compiles ({' '.join(said[:3]) or one_line(error)}): run it in another engine"
    )


def signature(path: Path) -> Signature:
    """The inputs and outputs of a file of its own, or of ONNX.

    Raises:
        RnnbenchError: it is damaged, or its weights (.bin) are not beside it.
    """
    try:
        model: Any = _core().read_model(str(path))
    except Exception as error:
        raise _refused(path, error) from None
    return Signature(tuple(map(_port, model.inputs)), tuple(map(_port, model.outputs)))


def _port(port: Any) -> Port:
    kind = port.get_element_type().get_type_name()
    shape = port.get_partial_shape()
    sizes = None
    if shape.rank.is_static:
        sizes = tuple(dim.get_length() if dim.is_static else None for dim in shape)
    return Port(port_name(port), _TYPES.get(kind, kind), sizes)


def port_name(port: Any) -> str:
    """What a port is called; its node's name where a converter gave it none."""
    node = port.get_node().get_friendly_name()
    return str(port.get_any_name() if port.get_names() else node.split("/sink_port_")[0])


def output_names(compiled: Any) -> list[str]:
    """The names of the ONNX graph's outputs, in order.

    A port has the names of all tensors that are one: a state that was squeezed, say, and the output
    that it is. The output's own is that of the node at its end.
    """
    friendly = [port.get_node().get_friendly_name() for port in compiled.outputs]
    found = [name.split("/sink_port_")[0] for name in friendly]
    return [
        name if name in port.names or not port.names else port.get_any_name()
        for name, port in zip(found, compiled.outputs, strict=True)
    ]


def prepare(source: Source, arrays: Arrays, device: str, threads: int, mode: str = "") -> TimedCall:
    """A request with its inputs; `bound` leaves the outputs where OpenVINO wrote them."""
    import numpy as np
    import openvino

    config = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = _core().compile_model(str(path_of(source)), "CPU", config)
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

    return TimedCall(run_bound if mode == "bound" else run, read)


def open_for_streams(source: Source, threads: int, at_once: int) -> Opened:
    """A compiled graph with a request for each thread that calls, and room for those at once."""
    config = {
        "INFERENCE_NUM_THREADS": threads * at_once,
        "NUM_STREAMS": at_once,
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = _core().compile_model(str(path_of(source)), "CPU", config)
    used = {name for port in compiled.inputs for name in port.names}
    given = [spec.name for spec in source.inputs if spec.name in used]
    outputs = [*zip(output_names(compiled), compiled.outputs, strict=True)]
    own = threading.local()

    def call(values: Values) -> Values:
        if not hasattr(own, "request"):
            own.request = compiled.create_infer_request()
        returned = own.request.infer({name: values[name] for name in given})
        return {name: returned[port] for name, port in outputs}

    return opened_with_arrays(call)


_TYPES = {
    **{"f32": "float32", "f64": "float64", "f16": "float16", "bf16": "bfloat16"},
    **{"i64": "int64", "i32": "int32", "boolean": "bool"},
}
_PLACES = ("Exception from ", "Check '", "FrontEnd API failed with ", "Summary:")
_SEEN = "openvino 2026.4.1"
GAPS = (
    *seen(_SEEN, "activation_alpha", refused=LAYERS),
    *seen(_SEEN, "layout", wrong=LAYERS, source="openvinotoolkit/openvino#37820"),
    *seen(_SEEN, "sequence_lens", wrong=LAYERS, sizes="dynamic", rewrite="drop_lengths"),
    *seen(_SEEN, "input_forget", wrong=("LSTM",)),
    *seen(_SEEN, "P", wrong=("LSTM",), rewrite="write_out_peepholes"),
)

RUNTIME = Runtime(
    coarseness=1.5,  # its sigmoid is off by up to 8.6e-8
    title="OpenVINO",
    formats=("onnx", "portable"),
    requires={"openvino": "openvino"},
    load=load,
    signature=signature,
    cost="slow",
    engine=True,
    packages=("openvino",),
    reads="openvino-ir",
    gaps=GAPS,
    profile=filling(GAPS, always=("make_explicit_values",)),
    timing=Timing(
        "onnx",
        prepare,
        modes={"": ("cpu",), "bound": ("cpu",)},
        plans=("full",),
        rewritten="open",
        open=open_for_streams,
    ),
)
