"""ONNX in OpenVINO, asked for float32: its default on many CPUs is bfloat16 (pitfall 30c)."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Arrays

if TYPE_CHECKING:
    from rnnbench.core.bundle import Bundle

FORMATS: tuple[str, ...] = ("onnx", "portable")
ENGINE = True
PACKAGES: tuple[str, ...] = ("openvino",)
MODES: tuple[str, ...] = ()
SLOW = True


def available() -> str | None:
    """Why OpenVINO is not here; None where it is."""
    if find_spec("openvino"):
        return None
    return "openvino is not installed: pip install openvino"


def devices() -> tuple[str, ...]:
    """Where it runs."""
    return ("cpu",)


def load(
    bundle: Bundle | None,
    path: Path | None,
    *,
    device: str = "cpu",
    threads: int | None = None,
    mode: str = "",
) -> Callable[[Arrays], Arrays]:
    """The compiled graph; the outputs have the names that the graph gives them.

    Raises:
        RnnbenchError: the file is damaged, OpenVINO cannot run it, or it does not keep float32.
    """
    import openvino

    if device != "cpu":
        raise RnnbenchError(f"device {device!r}: OpenVINO is run on cpu here")
    settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
    if threads is not None:
        settings["INFERENCE_NUM_THREADS"] = threads
    try:
        core = openvino.Core()
        compiled: Any = core.compile_model(core.read_model(str(path)), "CPU", settings)
    except Exception as error:  # RuntimeError for all that is wrong with a file
        raise RnnbenchError(
            f"{path} is not ONNX that openvino {openvino.__version__} compiles "
            f"({one_line(error)}): export it again"
        ) from None
    precision = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if precision != "f32":
        raise RnnbenchError(f"openvino computes in {precision} here, and f32 was asked for")
    names = output_names(compiled)
    used = [port.get_any_name() for port in compiled.inputs]

    def run(arrays: Arrays) -> Arrays:
        results = compiled({name: arrays[name] for name in used if name in arrays})
        return {name: results[i].copy() for i, name in enumerate(names)}

    return run


def output_names(compiled: Any) -> list[str]:
    """The names of the ONNX graph's outputs, in order.

    A port has the names of all tensors that are one: a state that was squeezed, say, and the output
    that it is. The output's own is that of the node at its end.
    """
    friendly = [port.get_node().get_friendly_name() for port in compiled.outputs]
    found = [name.split("/sink_port_")[0] for name in friendly]
    return [
        name if name in port.names else port.get_any_name()
        for name, port in zip(found, compiled.outputs, strict=True)
    ]
