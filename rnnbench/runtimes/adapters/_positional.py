"""A torch program that rnnbench did not write, called by what its own signature says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import Arrays
from rnnbench.core.signature import Port, Signature
from rnnbench.core.threads import torch_threads
from rnnbench.models.calls import to_array

_NUMBERS: dict[str, Callable[[Any], Any]] = {"int": int, "float": float, "bool": bool}


def by_signature(
    module: Callable[..., Any], signature: Signature, device: str, threads: int | None
) -> Callable[[Arrays], Arrays]:
    """A function from arrays by name to arrays by name; outputs are `output_0` ... in order.

    Args:
        module: called with the inputs in their order; those at the end may be left out where the
            program has defaults for them.
        signature: the inputs by name.
        device: where the module is.
        threads: inside one operation.
    """

    def run(arrays: Arrays) -> Arrays:
        given = [_value(port, arrays[port.name], device) for port in _given(signature, arrays)]
        with torch_threads(threads), torch.no_grad():
            returned = module(*given)
        leaves = [x for x in torch.utils._pytree.tree_leaves(returned) if x is not None]
        return {f"output_{i}": _output(i, leaf) for i, leaf in enumerate(leaves)}

    return run


def _given(signature: Signature, arrays: Arrays) -> tuple[Port, ...]:
    ports = signature.inputs[: len(arrays)]
    if {port.name for port in ports} != set(arrays):
        names = ", ".join(port.name for port in signature.inputs)
        raise RnnbenchError(f"inputs {', '.join(arrays)} given: the file asks for {names}")
    return ports


def _value(port: Port, array: np.ndarray[Any, Any], device: str) -> Any:
    if port.dtype in _NUMBERS and port.shape == ():
        return _NUMBERS[port.dtype](array.item())
    return torch.from_numpy(np.array(array)).to(device)


def _output(i: int, leaf: Any) -> np.ndarray[Any, Any]:
    return to_array(f"output_{i}", leaf) if isinstance(leaf, torch.Tensor) else np.asarray(leaf)
