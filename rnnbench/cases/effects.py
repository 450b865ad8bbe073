"""Whether a weight of a module matters: changed, does it change an output?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rnnbench.cases.cases import Case
from rnnbench.core.model import Arrays, Model


def effects(model: Model, names: Sequence[str], cases: Sequence[Case]) -> dict[str, bool]:
    """Weight -> whether an output changes when it does, at two of the cases.

    Args:
        model: its module is left as it was.
        names: of parameters and buffers; those that it does not have are left out.
        cases: of the bundle.
    """
    import torch

    from rnnbench.models.calls import call, undisturbed

    tried = [case for case in cases if not case.empty and not case.feed_mode.chunks][:2]
    state = model.module.state_dict(keep_vars=True)
    found: dict[str, bool] = {}
    with torch.no_grad(), undisturbed(model.module):
        for name in names:
            if name not in state:
                continue
            before = state[name].detach().clone()
            try:
                state[name].copy_(before + 1 if before.dtype != torch.bool else ~before)
                given = [call(model.module, model.inputs, model.outputs, c.inputs) for c in tried]
                found[name] = any(_changed(g, c) for g, c in zip(given, tried, strict=True))
            except Exception:  # a module that its own weight breaks is changed by it
                found[name] = True
            finally:
                state[name].copy_(before)
    return found


def _changed(given: Arrays, case: Case) -> bool:
    return any(
        given[name].shape != before.shape
        or not np.allclose(given[name], before, rtol=1e-6, atol=1e-9, equal_nan=True)
        for name, before in case.eager.items()
    )
