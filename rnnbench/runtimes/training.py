"""Forward and backward of a module, timed: a step of training but for the optimiser's part."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import Arrays
from rnnbench.runtimes.timed import Source, TimedCall, to_arrays, to_tensors

if TYPE_CHECKING:
    import torch

TRAINING = "training"
"""The mode of a runtime in which a call is forward and backward."""


def trainable(source: Source, device: str) -> torch.nn.Module:
    """A copy of the module whose parameters want gradients, computing what it does in `eval`.

    Its recurrent layers are in training mode, without which cuDNN has no backward; they drop
    nothing.

    Raises:
        RnnbenchError: its code is not here, or it has no parameter.
    """
    import torch

    if source.module is None:
        raise RnnbenchError("the code of the model is not on this machine: give its FILE.py")
    module = copy.deepcopy(source.module).to(device).eval()
    for part in module.modules():
        if isinstance(part, torch.nn.RNNBase):
            part.train()
            part.dropout = 0.0
    if not [p.requires_grad_() for p in module.parameters() if p.is_floating_point()]:
        raise RnnbenchError("the model has no parameter to train: bench it without --training")
    return module


def in_training(
    call: Callable[..., Any], module: torch.nn.Module, source: Source, arrays: Arrays, device: str
) -> TimedCall:
    """The outputs, and the gradients of `loss_of` them by each parameter, from none on each time.

    Args:
        call: the module, or what was made of it.
        module: holds the parameters.
        source: names the inputs and outputs.
        arrays: the inputs.
        device: where.
    """
    from rnnbench.core.cuda import synchronised

    tensors = to_tensors(source, arrays, device)
    parameters = [p for p in module.parameters() if p.requires_grad]
    weights: list[torch.Tensor] = []

    def launch() -> Any:
        for parameter in parameters:
            parameter.grad = None
        returned = call(*tensors)
        found = _trained(returned)
        if not weights:
            weights.extend(loss_weights(found))
        loss_of(found, weights).backward()
        return returned

    def gradients() -> Arrays:
        return gradients_of(module)

    def read(returned: Any) -> Arrays:
        return to_arrays(source, returned)

    if device.startswith("cuda"):
        return TimedCall(synchronised(launch), read, launch, gradients)
    return TimedCall(launch, read, gradients=gradients)


def exact_gradients(source: Source, arrays: Arrays) -> Arrays:
    """The gradients of the module in float64, on the CPU."""
    import torch

    module = trainable(source, "cpu").double()
    tensors = [
        t.double() if t.is_floating_point() else t for t in to_tensors(source, arrays, "cpu")
    ]
    with torch.enable_grad():
        found = _trained(module(*tensors))
        weights = [w.double() for w in loss_weights([t.float() for t in found])]
        loss_of(found, weights).backward()
    return gradients_of(module)


def gradients_of(module: torch.nn.Module) -> Arrays:
    """By the parameter's name; of one that the outputs do not depend on there is none."""
    named = module.named_parameters()
    return {name: p.grad.cpu().numpy() for name, p in named if p.grad is not None}


def loss_weights(outputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """Random numbers in the shapes of the outputs, the same for each form of a model."""
    import torch

    drawn = torch.Generator().manual_seed(0)
    return [torch.randn(t.shape, generator=drawn).to(t.device, t.dtype) for t in outputs]


def loss_of(outputs: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]) -> torch.Tensor:
    """The sum of all elements, each times its own weight: every output has a part in it."""
    import torch

    products = [(t * w).sum() for t, w in zip(outputs, weights, strict=True)]
    return torch.stack(products).sum()


def _trained(returned: Any) -> list[torch.Tensor]:
    """The outputs that depend on parameters.

    Raises:
        RnnbenchError: none does.
    """
    from rnnbench.models.kept import tensors_in

    found = [t for t in tensors_in(returned) if t.requires_grad]
    if not found:
        raise RnnbenchError("no output depends on a parameter: bench it without --training")
    return found
