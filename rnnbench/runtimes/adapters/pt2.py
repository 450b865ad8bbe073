"""A .pt2 file in plain PyTorch. It is a program: load those that you trust."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Arrays
from rnnbench.core.signature import Port, Signature

if TYPE_CHECKING:
    from rnnbench.core.bundle import Bundle

FORMATS: tuple[str, ...] = ("pt2",)
MODES: tuple[str, ...] = ()


def available() -> str | None:
    """Why PyTorch is not here; None where it is."""
    return None if find_spec("torch") else "torch is not installed: pip install torch"


def devices() -> tuple[str, ...]:
    """Where the program runs: it is written for the CPU."""
    return ("cpu",)


def load(
    bundle: Bundle | None,
    path: Path | None,
    *,
    device: str = "cpu",
    threads: int | None = None,
    mode: str = "",
) -> Callable[[Arrays], Arrays]:
    """The exported program as a module.

    Raises:
        RnnbenchError: the file is damaged, or of a torch that this one does not read.
    """
    from rnnbench.core.threads import torch_threads
    from rnnbench.models.calls import call

    if device != "cpu":
        raise RnnbenchError(f"device {device!r}: a .pt2 file runs on cpu, for which it was written")
    program = load_program(path)
    module = program.module()
    if bundle is None:
        from rnnbench.runtimes.adapters._positional import by_signature

        return by_signature(module, signature_of(program), device, threads)
    inputs, outputs = bundle.inputs, bundle.outputs

    def run(arrays: Arrays) -> Arrays:
        with torch_threads(threads):
            return call(module, inputs, outputs, arrays, device=device)

    return run


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
