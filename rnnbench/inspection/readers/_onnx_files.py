"""An ONNX file as its own library reads it, and what is said of one that it does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rnnbench.core.errors import RnnbenchError
from rnnbench.core.files import recognise


def load_graph(path: Path) -> Any:
    """The model, without its external data.

    Raises:
        RnnbenchError: it is truncated, or none.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        proto = onnx.load(str(path), load_external_data=False)
    except (DecodeError, ValueError):
        raise _no_onnx(path) from None
    if not proto.ir_version or not proto.HasField("graph") or not proto.graph.output:
        raise _no_onnx(path)
    if not proto.opset_import:
        raise RnnbenchError(f"{path} is truncated (it names no opset): copy it again")
    return proto


def _no_onnx(path: Path) -> RnnbenchError:
    given = recognise(path)
    if given is not None and given.kind != "onnx":
        return RnnbenchError(str(given))
    what = "is damaged" if given is not None else "is neither ONNX, TorchScript nor .pt2"
    return RnnbenchError(f"{path} {what}: copy it again, or give one of these")
