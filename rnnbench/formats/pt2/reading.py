"""What a .pt2 file holds, as `torch.export` loads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.signature import Port, Signature


def signature(path: Path) -> Signature:
    """The program's inputs with dtype and shape; its outputs have no names worth keeping."""
    return signature_of(load_program(path))


def load_program(path: Path | None) -> Any:
    """The file as `torch.export` holds it.

    Raises:
        RnnbenchError: it is damaged, or of a torch that this one does not read.
    """
    import torch

    from rnnbench.core.known_warnings import export_warnings

    try:
        with export_warnings():
            return torch.export.load(str(path))
    except Exception as error:
        raise RnnbenchError(
            f"{path} is not a .pt2 file that torch {torch.__version__} loads "
            f"({one_line(error)}): export it again"
        ) from None


def signature_of(program: Any) -> Signature:
    """What an exported program declares."""
    nodes = {node.name: node.meta.get("val") for node in program.graph.nodes}
    said = program.graph_signature
    inputs = tuple(_port(str(name), nodes.get(name)) for name in said.user_inputs)
    outputs = tuple(
        _port(f"output_{i}", nodes.get(name)) for i, name in enumerate(said.user_outputs)
    )
    return Signature(inputs, outputs)


def _port(name: str, value: Any) -> Port:
    import torch

    if not isinstance(value, torch.Tensor):
        return Port(name, type(value).__name__.removeprefix("Sym").lower(), ())
    shape = tuple(size if isinstance(size, int) else str(size) for size in value.shape)
    return Port(name, str(value.dtype).removeprefix("torch."), shape)
