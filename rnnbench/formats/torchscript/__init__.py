"""TorchScript, written from the captured program, so that it is right at every shape."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.formats._format import Format, WriteOptions

if TYPE_CHECKING:
    from rnnbench.capture.program import Captured


def write(captured: Captured, path: Path, options: WriteOptions) -> dict[str, Any]:
    """Writes the program as TorchScript source, compiles, freezes and saves it.

    The module itself is neither traced, which would unroll its loops, nor scripted, which few
    modules bear.

    Returns:
        What the manifest says of the artifact.

    Raises:
        RnnbenchError: TorchScript has no form for something in the program.
    """
    import json

    import torch

    from rnnbench.capture.operators.lowering import lower
    from rnnbench.capture.tracing.regions import refuse_autocast
    from rnnbench.capture.tracing.trace import unlift
    from rnnbench.core.known_warnings import torchscript_deprecation
    from rnnbench.formats.torchscript.source import source_of, tensors_of

    graph = unlift(lower(captured.program))
    refuse_autocast(graph, captured.model.name, "TorchScript")
    names = [spec.name for spec in captured.model.inputs]
    source = source_of(graph, names)
    shell = type(captured.model.name.replace("-", "_").replace(".", "_"), (torch.nn.Module,), {})()
    for name, tensor in tensors_of(graph).items():
        shell.register_buffer(name, tensor.detach())
    try:
        with torchscript_deprecation():
            module = torch.jit.script(shell)
            module.define(source)
            frozen = torch.jit.freeze(module.eval())
            frozen.save(str(path), _extra_files={"rnnbench": json.dumps(dict(options.metadata))})
    except Exception as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise RnnbenchError(
            f"model {captured.model.name!r} has no TorchScript form: "
            f"{lines[0] if lines else one_line(error)}"
        ) from error
    return {"nodes": sum(1 for _ in frozen.graph.nodes())}


FORMAT = Format(
    suffix=".ts",
    requires={"torch": "torch"},
    write=write,
)
