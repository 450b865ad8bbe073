"""What a .pt2 file holds, as `torch.export` loads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Arrays
from rnnbench.core.signature import Port, Signature
from rnnbench.models.calls import arrays_of


def signature(path: Path) -> Signature:
    """The program's inputs with dtype and shape; its outputs have no names worth keeping."""
    return signature_of(load_program(path))


def weights(path: Path) -> Arrays:
    """Its parameters, buffers and constants, also those of the bodies of its loops, by name."""
    import torch

    program = load_program(path)
    found: dict[str, Any] = {**program.state_dict, **program.constants}
    for place, part in program.graph_module.named_modules():
        own = {**dict(part.named_parameters("", False)), **dict(part.named_buffers("", False))}
        own |= {n: v for n, v in vars(part).items() if isinstance(v, torch.Tensor)}
        found |= {f"{place}.{name}": value for name, value in own.items()}
    return arrays_of(found)


def load_program(path: Path | None) -> Any:
    """The file as `torch.export` holds it.

    Raises:
        RnnbenchError: it is damaged, or of a torch that this one does not read.
    """
    import torch

    from rnnbench.core.known_warnings import export_warnings

    try:
        with export_warnings():
            program = torch.export.load(str(path))
    except Exception as error:
        raise RnnbenchError(
            f"{path} is not a .pt2 file that torch {torch.__version__} loads "
            f"({one_line(error)}): export it again"
        ) from None
    for part in program.graph_module.modules():
        for node in part.graph.nodes if isinstance(part, torch.fx.GraphModule) else ():
            refuse_own_operator(path, f"{getattr(node.target, 'namespace', '')}::{node.target}")
    return program


def refuse_own_operator(path: Path | None, name: str) -> None:
    """Refuses what this process could load, and no other.

    Args:
        path: the file.
        name: an operator in it, with its namespace: `aten::tanh`.

    Raises:
        RnnbenchError: it is one of ours.
    """
    if name.startswith("rnnbench::"):
        raise RnnbenchError(
            f"{path} holds {name}, an operator that only rnnbench has, so that nothing else loads "
            "it: export it again"
        )


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
