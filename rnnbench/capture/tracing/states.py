"""States: those that are declared fit, and there are no others.

A state in a buffer or an attribute vanishes in an export (pytorch#60828).
"""

from __future__ import annotations

import torch
from torch import Tensor

from rnnbench.capture.tracing.sizes import traced_sizes
from rnnbench.core.errors import RnnbenchError
from rnnbench.core.model import Model, sample_inputs
from rnnbench.models.calls import device_of, invoke, undisturbed
from rnnbench.models.kept import Kept, changed, tensors_in


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
        kept = Kept(model.module)
        try:
            calls = (invoke(model.module, model.inputs, model.outputs, inputs) for _ in range(2))
            first, second = ([t.clone() for t in tensors_in(returned)] for returned in calls)
        except Exception:  # whoever traces it says why
            return
        _refuse_misfits(model, inputs, first)
        # Two calls with the same inputs: whatever differs was remembered, or drawn.
        if len(first) == len(second) and all(map(_same, first, second)):
            return
        after = kept.snapshot()
        kept.restore()
        third = invoke(model.module, model.inputs, model.outputs, inputs)
        drawn = not all(map(_same, first, tensors_in(third)))
    states = [key for key in changed(kept.start, after) if tensors_in(after[key])]
    if states and not drawn:
        raise hidden_state(model, str(states[0]))
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
        f"model {model.name!r} keeps its state in {attribute}, which no artifact could carry: "
        "--lift-state (Model(..., lift_state=True)) makes it an input and an output; or take it as "
        f"an argument, return it, and declare TensorSpec({name!r}, ..., role='state')"
    )


def _same(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return torch.allclose(a.double(), b.double(), rtol=1e-5, atol=1e-6, equal_nan=True)
