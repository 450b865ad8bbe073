"""A model that is loaded once, for the calls of many streams: several threads may be in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rnnbench.core.model import Arrays
from rnnbench.runtimes.timed import Source

if TYPE_CHECKING:
    import torch

Values = dict[str, Any]
"""Inputs or outputs by name, in the form in which a runtime takes and gives them."""


@dataclass(frozen=True)
class Opened:
    """One session of a runtime; what a call gives can be handed to the next as it is.

    Attributes:
        call: outputs by name from inputs by name; any number of threads may call at once.
        give: arrays as the runtime takes them.
        take: what a call gave, as arrays.
    """

    call: Callable[[Values], Values]
    give: Callable[[Arrays], Values]
    take: Callable[[Values], Arrays]


def opened_in_torch(module: torch.nn.Module, source: Source) -> Opened:
    """A module on the CPU; its callers are expected to be in `torch.inference_mode()`."""
    import torch

    from rnnbench.models.binding import ordered
    from rnnbench.models.kept import tensors_in

    names = [spec.name for spec in source.inputs]
    outputs = tuple(source.outputs)

    def call(values: Values) -> Values:
        returned = ordered(module(*[values[name] for name in names]), outputs)
        return dict(zip(outputs, tensors_in(returned), strict=True))

    def give(arrays: Arrays) -> Values:
        return {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}

    def take(values: Values) -> Arrays:
        return {name: tensor.detach().numpy() for name, tensor in values.items()}

    return Opened(call, give, take)


def opened_with_arrays(call: Callable[[Values], Values]) -> Opened:
    """A session of a runtime that takes and gives arrays."""
    return Opened(call, dict, dict)
