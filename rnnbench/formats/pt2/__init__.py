"""`torch.export`'s own file: plain PyTorch loads it, rnnbench is not needed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.formats._format import Format, WriteOptions

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from rnnbench.capture.program import Captured


def write(captured: Captured, path: Path, options: WriteOptions) -> dict[str, Any]:
    """Saves the program, its recurrences in PyTorch's own operators.

    Returns:
        What the manifest says of the artifact.

    Raises:
        RnnbenchError: the program holds something that cannot be saved.
    """
    import torch

    from rnnbench.capture.operators.lowering import lower
    from rnnbench.core.known_warnings import export_warnings

    program = lower(captured.program)
    _forget_addresses(program)
    try:
        with export_warnings():
            torch.export.save(
                program, path, extra_files={"rnnbench": _text(captured, options.metadata)}
            )
    except Exception as error:
        raise RnnbenchError(
            f"model {captured.model.name!r} cannot be saved as .pt2: {one_line(error)}"
        ) from error
    return {"nodes": len(program.graph.nodes)}


def _forget_addresses(program: ExportedProgram) -> None:
    """Drops each node's history, in which graphs are told apart by where they lie in memory.

    Nothing reads it from a file, and with it the same model never gave the same bytes twice.
    """
    import torch

    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                node.meta.pop("from_node", None)


def _text(captured: Captured, metadata: Mapping[str, str]) -> str:
    """What the file says of itself; the names of dimensions, for torch.export has only symbols."""
    import json

    return json.dumps({**metadata, "shapes": [spec.shape for spec in captured.model.inputs]})


FORMAT = Format(
    suffix=".pt2",
    requires={"torch": "torch"},
    write=write,
)
