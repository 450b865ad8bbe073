"""What `torch.export` is given: a module's arguments, and which of their sizes may change."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.export import Dim

from rnnbench.core.dims import names_of
from rnnbench.core.model import Model, sample_inputs
from rnnbench.models.calls import device_of


def example_of(
    model: Model, dims: Mapping[str, int], static: Sequence[str] = ()
) -> tuple[Any, Any]:
    """The arguments of `torch.export`: tensors, and which of their sizes may change."""
    arrays = sample_inputs(model, dims, 0)
    tensors = tuple(
        torch.from_numpy(arrays[spec.name]).to(device_of(model.module)) for spec in model.inputs
    )
    # `Dim.AUTO`, since named dimensions fail on a scan ("Constraints violated").
    shapes = tuple(
        {
            i: Dim.AUTO(min=1) if set(names_of(size)) - set(static) else Dim.STATIC
            for i, size in enumerate(spec.shape)
        }
        for spec in model.inputs
    )
    return tensors, shapes


def as_called(module: nn.Module, shapes: tuple[Any, ...]) -> tuple[Any, ...]:
    """The shapes in the structure of the arguments: those of a `*args` are a tuple of their own."""
    parameters = list(inspect.signature(module.forward).parameters.values())
    for i, parameter in enumerate(parameters):
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL and len(shapes) > i:
            return (*shapes[:i], shapes[i:])
    return shapes
