"""Whether a weight of a module matters: changed, does it change an output?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from rnnbench.cases.cases import Case
from rnnbench.core.model import Arrays, Model
from rnnbench.core.threads import torch_threads

if TYPE_CHECKING:
    import torch

_FEW = 2  # cases, where all would take long
_SEED = 0


def effects(
    model: Model, names: Sequence[str], cases: Sequence[Case], *, every: bool = False
) -> dict[str, bool]:
    """Weight -> whether an output changes when all of the weight does.

    Args:
        model: its module is left as it was.
        names: of parameters and buffers; those that it does not have are left out.
        cases: of the bundle.
        every: at each of the cases; otherwise at two.
    """
    import torch

    from rnnbench.models.calls import call, device_of, undisturbed

    tried = [case for case in cases if not case.empty and not case.feed_mode.chunks]
    tried = tried if every else tried[:_FEW]
    state = model.module.state_dict(keep_vars=True)
    device = device_of(model.module)

    def outputs(case: Case) -> Arrays:
        return call(model.module, model.inputs, model.outputs, case.inputs, device=device)

    found: dict[str, bool] = {}
    with torch.no_grad(), torch_threads(1), undisturbed(model.module):
        try:
            before = [outputs(case) for case in tried]
        except Exception:  # a user's module may raise anything; nothing can be said of it then
            return {}
        for name in names:
            if name not in state:
                continue
            kept = state[name].detach().clone()
            try:
                state[name].copy_(changed(kept))
                found[name] = any(
                    _differ(outputs(case), was) for case, was in zip(tried, before, strict=True)
                )
            except Exception:  # a module that its own weight breaks is changed by it
                found[name] = True
            finally:
                state[name].copy_(kept)
    return found


def changed(weight: torch.Tensor) -> torch.Tensor:
    """Other numbers of the same kind: each by up to half of itself, and by noise of typical size.

    What is added to all numbers alike is invisible before a softmax or a norm, and so is 1 beside
    1e9; NaN stays NaN whatever is added to it.
    """
    import torch

    if weight.dtype == torch.bool:
        return ~weight
    if not weight.is_floating_point():  # ids and counts: their size has a meaning
        return weight + 1
    generator = torch.Generator().manual_seed(_SEED)
    finite = torch.nan_to_num(weight.double().cpu(), nan=0.0, posinf=1.0, neginf=-1.0)
    sizes = finite.abs()[finite != 0]
    typical = float(sizes.median()) if sizes.numel() else 1.0
    share, noise = (torch.rand(finite.shape, generator=generator) - 0.5 for _ in range(2))
    return (finite * (1 + share) + typical * noise).to(weight)


def _differ(given: Arrays, before: Arrays) -> bool:
    return any(
        given[name].shape != was.shape or not np.array_equal(given[name], was, equal_nan=True)
        for name, was in before.items()
    )
