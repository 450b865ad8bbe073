"""TorchScript in PyTorch's own interpreter. A .ts file is a program: load those that you trust.

The interpreter profiles the first two calls and compiles at the third, and anew where a shape
differs (pytorch#33354): what is right at first need not be right later. The modes tell them apart.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.known_warnings import torchscript_deprecation
from rnnbench.core.model import Arrays, Run
from rnnbench.core.signature import Port, Signature
from rnnbench.runtimes.adapters._torch import CUDNN_COARSENESS, torch_devices
from rnnbench.runtimes.opened import Opened, opened_in_torch
from rnnbench.runtimes.runtime import Runtime, Timing
from rnnbench.runtimes.timed import (
    Source,
    TimedCall,
    in_torch,
    path_of,
)

if TYPE_CHECKING:
    from rnnbench.core.bundle import Bundle


def load(
    bundle: Bundle | None,
    path: Path | None,
    *,
    device: str = "cpu",
    threads: int | None = None,
    mode: str = "",
) -> Run:
    """The scripted module on a device.

    Raises:
        RnnbenchError: the file is damaged, or is no TorchScript.
    """
    once = _load(bundle, path, device, threads)
    if mode == "first":
        return lambda arrays: _load(bundle, path, device, threads)(arrays)
    if mode == "third":
        return lambda arrays: [once(arrays) for _ in range(3)][-1]
    return once


def signature(path: Path) -> Signature:
    """What `forward` declares: names and types, of tensors neither dtype nor shape."""
    return _signature(_module(path, "cpu"), path)


def _load(bundle: Bundle | None, path: Path | None, device: str, threads: int | None) -> Run:
    from rnnbench.core.threads import torch_threads
    from rnnbench.models.calls import call

    module = _module(path, device)
    if bundle is None:
        from rnnbench.runtimes.adapters._positional import by_signature

        return by_signature(module, _signature(module, path), device, threads)
    inputs, outputs = bundle.inputs, bundle.outputs

    def run(arrays: Arrays) -> Arrays:
        with torch_threads(threads):
            return call(module, inputs, outputs, arrays, device=device)

    return run


def _module(path: Path | None, device: str) -> Any:
    import torch

    try:
        with torchscript_deprecation():
            module: Any = torch.jit.load(str(path), map_location=device)
    except (RuntimeError, ValueError, OSError) as error:
        raise RnnbenchError(
            f"{path} is not TorchScript that torch {torch.__version__} loads "
            f"({one_line(error)}): export it again"
        ) from None
    module.eval()
    return module


def weights(path: Path) -> Arrays:
    """Its parameters and buffers, and the constants in its code, by name."""
    from rnnbench.models.calls import arrays_of

    module = _module(path, "cpu")
    found = dict(module.state_dict())
    code = module.inlined_graph  # its nodes live as long as it does
    for i, node in enumerate(code.findAllNodes("prim::Constant")):
        if node.output().type().kind() == "TensorType" and node.hasAttribute("value"):
            found[f"constant_{i}"] = node.t("value")
    return arrays_of(found)


def _signature(module: Any, path: Path | None) -> Signature:
    try:
        schema = module.forward.schema
    except (AttributeError, RuntimeError):
        raise RnnbenchError(f"{path} has no method `forward`: nothing can be called") from None
    inputs = tuple(_port(argument.name, argument.type) for argument in schema.arguments[1:])
    kinds = [leaf for returned in schema.returns for leaf in _leaves(returned.type)]
    return Signature(inputs, tuple(_port(f"output_{i}", kind) for i, kind in enumerate(kinds)))


def _leaves(kind: Any) -> list[Any]:
    if kind.kind() == "TupleType":
        return [leaf for element in kind.elements() for leaf in _leaves(element)]
    return [kind]


def _port(name: str, kind: Any) -> Port:
    number = {"IntType": "int", "FloatType": "float", "BoolType": "bool"}.get(kind.kind())
    if number is not None:
        return Port(name, number, ())
    tensor = kind.kind() == "TensorType" or ("Tensor" in str(kind) and "Optional" in kind.kind())
    return Port(name, "" if tensor else str(kind), None)


def prepare(source: Source, arrays: Arrays, device: str, threads: int, mode: str = "") -> TimedCall:
    """The scripted module on a device."""
    return in_torch(_module(path_of(source), device), source, arrays, device)


def open_for_streams(source: Source, threads: int, at_once: int) -> Opened:
    """The scripted module, loaded anew."""
    return opened_in_torch(_module(path_of(source), "cpu"), source)


RUNTIME = Runtime(
    title="TorchScript",
    formats=("torchscript",),
    requires={"torch": "torch"},
    load=load,
    # `first`: each call is the first of a module; `third`: each input is run three times
    modes=("first", "third"),
    devices=torch_devices,
    cuda_coarseness=CUDNN_COARSENESS,
    signature=signature,
    weights=weights,
    timing=Timing(
        "torchscript",
        prepare,
        modes={"": ("cpu", "cuda")},
        plans=("quick", "full"),
        recompiles=True,  # on its second and third call, and for new lengths (pytorch#33354)
        open=open_for_streams,
    ),
)
