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
    _bound_from_below(program, captured)
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


def _bound_from_below(program: ExportedProgram, captured: Captured) -> None:
    """Writes the least sizes that are declared into the program's constraints.

    x [batch, 6*s26 - 24], mels [batch, s26], of `6*frames` and `frames+4`: s26 is 5 or more

    A file in which a size may be negative, as far as it says, does not load.
    """
    import torch
    from torch.utils._sympy.value_ranges import ValueRanges

    from rnnbench.core.dims import value_of

    model = captured.model
    least = {name: dim.fit(1) for name, dim in model.dims.items()}
    nodes = {node.name: node for node in program.graph.find_nodes(op="placeholder")}
    for name, spec in zip(program.graph_signature.user_inputs, model.inputs, strict=True):
        for size, declared in zip(nodes[str(name)].meta["val"].shape, spec.shape, strict=True):
            symbol = size.node.expr if isinstance(size, torch.SymInt) else None
            known = program.range_constraints.get(symbol)
            if known is not None:
                lower = max(known.lower, value_of(declared, least))
                program.range_constraints[symbol] = ValueRanges(lower, known.upper)


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
