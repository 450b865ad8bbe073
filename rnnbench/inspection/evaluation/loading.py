"""The model of a file or of an object: whole, with its weights, and without functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
from onnx import inliner

from rnnbench.core.errors import RnnbenchError
from rnnbench.inspection.external import external_bytes, external_tensors
from rnnbench.inspection.readers._onnx_files import load_graph


def load_model(model: Any) -> Any:
    """A ModelProto whose weights are in it and whose functions are written out.

    Args:
        model: a ModelProto, which stays as it is, or the path of a file.

    Raises:
        RnnbenchError: it is no ONNX, is damaged, or lacks a file of its weights.
    """
    if isinstance(model, str | Path):
        return _inlined(_load_file(Path(model)))
    if not isinstance(model, onnx.ModelProto):
        raise RnnbenchError(
            f"a {type(model).__name__} is no ONNX: give a ModelProto or the path of a file"
        )
    if not model.HasField("graph") or not model.opset_import:
        raise RnnbenchError("the ModelProto is no whole model: it needs a graph and an opset")
    if (away := next(external_tensors(model), None)) is not None:
        raise RnnbenchError(
            f"weight {away.name!r} of the ModelProto lies in a file: give the path of the model, "
            "or load it with its external data"
        )
    return _inlined(model)


def _load_file(path: Path) -> Any:
    if not path.is_file():
        raise RnnbenchError(f"there is no file {path}: give the path of an .onnx")
    proto = load_graph(path)
    if external_bytes(proto, path):
        onnx.load_external_data_for_model(proto, str(path.parent))
    return proto


def _inlined(proto: Any) -> Any:
    """Functions of the model's own, where it has them, as nodes."""
    return inliner.inline_local_functions(proto) if proto.functions else proto
