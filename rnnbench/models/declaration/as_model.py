"""A guess as the model that the draft declares; what it keeps between calls is tried on it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from rnnbench.core.errors import RnnbenchError, one_line
from rnnbench.core.model import Model, sample_inputs
from rnnbench.models.calls import invoke, undisturbed
from rnnbench.models.declaration.guesses import Guess
from rnnbench.models.declaration.sampling import sample_function
from rnnbench.models.kept import Kept, changed, tensors_in
from rnnbench.models.lifting import lifted


def with_lifted_state(found: Guess, module: nn.Module) -> Guess:
    """With `lift_state` where the module keeps a state that can be lifted."""
    target = module if found.caller is None else found.caller
    with undisturbed(module):
        kept = Kept(target)
        model = model_of(found, module)
        try:
            with torch.no_grad():
                _call(model)
            after = kept.snapshot()
        except Exception:  # a user's module may raise anything
            return found
        finally:
            kept.restore()
    if not any(tensors_in(after[key]) for key in changed(kept.start, after)):
        return found
    try:
        result = lifted(replace(model, lift_state=True))
    except RnnbenchError as error:
        return replace(found, doubts=(*found.doubts, f"it keeps a state: {one_line(error)}"))
    except Exception:  # a user's module may raise anything
        return found
    if len(result.inputs) == len(found.inputs):
        return found  # what is only kept to be looked at
    return replace(found, lift_state=True)


def _call(model: Model) -> Any:
    """One call with what is declared, at small sizes."""
    sizes = {d: 3 if d == model.batch_dim else 23 for d in model.dims}
    arrays = sample_inputs(model, sizes, 0)
    tensors = [torch.from_numpy(arrays[s.name]) for s in model.inputs]
    return invoke(model.module, model.inputs, model.outputs, tensors)


def model_of(found: Guess, module: nn.Module) -> Model:
    """The declaration as the draft makes it."""
    return Model(
        module if found.caller is None else found.caller,
        found.inputs,
        found.outputs,
        found.states,
        name="draft",
        sample=sample_function(found),
    )
