"""States: those that are declared fit, and there are no others.

A state in a buffer or an attribute vanishes in an export (pytorch#60828).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree

from rnnbench.capture.tracing.sizes import traced_sizes
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import Model, sample_inputs
from rnnbench.models.calls import device_of, invoke, undisturbed


def check_states(model: Model) -> None:
    """Calls a module twice with the same inputs, which must give the same.

    Raises:
        RnnbenchError: it keeps a state from one call to the next, or draws random numbers; or a
            declared state comes out in another shape or dtype than it went in.
    """
    arrays = sample_inputs(model, traced_sizes(model), 0)
    device = device_of(model.module)
    inputs = [torch.from_numpy(arrays[spec.name]).to(device) for spec in model.inputs]
    with undisturbed(model.module), torch.no_grad():
        before = dict(_remembered(model.module))
        try:
            calls = (invoke(model.module, model.inputs, model.outputs, inputs) for _ in range(2))
            first, second = ([t.clone() for t in _tensors(returned)] for returned in calls)
        except Exception:  # whoever traces it says why
            return
        _refuse_misfits(model, inputs, first)
        # Two calls with the same inputs: whatever differs was remembered, or drawn.
        if len(first) == len(second) and all(map(_same, first, second)):
            return
        after = dict(_remembered(model.module))
    changed = [p for p in after if p not in before or not _alike(after[p], before[p])]
    if changed:
        raise hidden_state(model, f"self.{changed[0]}")
    raise RnnbenchError(
        f"model {model.name!r} gives another result at each call with the same inputs: it draws "
        "random numbers in evaluation mode (dropout with training=True?): take them as an input"
    )


def _refuse_misfits(model: Model, inputs: list[Tensor], outputs: list[Tensor]) -> None:
    given = dict(zip((spec.name for spec in model.inputs), inputs, strict=True))
    found = dict(zip(model.outputs, outputs, strict=False))
    for source, target in model.states.items():
        before, after = given[source], found.get(target)
        if after is None or (before.shape, before.dtype) == (after.shape, after.dtype):
            continue
        was, became = (f"{str(t.dtype)[6:]}{list(t.shape)}" for t in (before, after))
        raise RnnbenchError(
            f"model {model.name!r}: states={{{source!r}: {target!r}}}, but {target!r} is {became} "
            f"where {source!r} was {was}: what comes out must be what goes in next"
        )


def hidden_state(model: Model, attribute: str) -> RnnbenchError:
    """The error for a module that keeps a state, by the attribute that holds it."""
    name = attribute.rsplit(".", 1)[-1]
    return RnnbenchError(
        f"model {model.name!r} keeps its state in {attribute}, which no artifact could carry: take "
        f"it as an input and return it, and declare TensorSpec({name!r}, ..., role='state') and "
        f"states={{{name!r}: <the output>}}"
    )


def _remembered(root: nn.Module) -> Iterator[tuple[str, list[Tensor]]]:
    """The tensors that modules hold beside their parameters, by the path of the attribute."""
    for path, module in root.named_modules():
        if isinstance(module, torch.jit.ScriptModule):  # what it sets, the tracer refuses
            continue
        own = {k: v for k, v in vars(module).items() if not k.startswith("_")}
        for name, value in (own | module._buffers).items():
            tensors = [t for t in _tensors(value) if not isinstance(t, nn.Parameter)]
            if tensors:
                yield f"{path}.{name}".lstrip("."), [t.detach().clone() for t in tensors]


def _tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in _pytree.tree_leaves(value) if isinstance(leaf, Tensor)]


def _alike(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(map(_same, a, b))


def _same(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return torch.allclose(a.double(), b.double(), rtol=1e-5, atol=1e-6, equal_nan=True)
