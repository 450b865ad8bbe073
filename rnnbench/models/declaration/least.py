"""The sizes that the dimensions of a draft may have: the least ones, found by running the module.

a convolution of 9 steps without padding          ->   Dim(min=9)
x.squeeze(), which takes an axis of a single row  ->   Dim(min=2)
frames of 160 samples                             ->   Dim(min=160, multiple_of=160)
lengths that two strides of 2 make fewer          ->   rows of 7 steps or more
four layers of stride 2, that leave 1 of 16 steps ->   Dim(min=17): what is 1 is taken for fixed
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from rnnbench.core.dims import Dim
from rnnbench.core.model import Model, sample_inputs
from rnnbench.core.threads import torch_threads
from rnnbench.models.calls import invoke, undisturbed
from rnnbench.models.declaration.as_model import model_of
from rnnbench.models.declaration.caller import parts_of
from rnnbench.models.declaration.guesses import Guess

_SECONDS = 10.0
_MULTIPLES = 512  # the largest that is looked for
_SHOWN = 3  # sizes one after the other that work: there is no multiple to be kept
_MOST = 4000  # steps that are tried
_TRACED, _TIMES = 5, 4  # the export traces at 5 steps, or at 4 times the least and 5

Inner = Mapping[tuple[str, int], int]


@dataclass(frozen=True)
class _Seen:
    """What a run gave.

    Attributes:
        ranks: of its outputs.
        inner: the sizes within: a module's name and the axis of its first output -> the size.
    """

    ranks: tuple[int, ...]
    inner: Inner


def with_dims(found: Guess, module: nn.Module) -> Guess:
    """The draft with the least size of each dimension that has one, and what it is a multiple of.

    Args:
        found: a draft that ran at its sizes.
        module: an object of the class.
    """
    model, until = model_of(found, module), time.monotonic() + _SECONDS
    probe = _Probe(model, module)
    dims: dict[str, Dim] = {}
    with torch_threads(1), undisturbed(module), torch.no_grad():
        usual = probe.at(found.sizes)
        if usual is None:
            return found
        least = _least_length(probe, found)
        for name in sorted(found.sizes, key=lambda name: name != model.batch_dim):  # of few runs
            if time.monotonic() < until:
                dim = _dim_of(probe, found.sizes, name, usual, rows=name == model.batch_dim)
                dims |= {} if dim == Dim() else {name: dim}
    steps = model.time_dim
    if least > 1 and steps in found.sizes and dims.get(steps, Dim()).fit(1) < least:
        dims[steps] = Dim(least, dims.get(steps, Dim()).multiple_of)
    return replace(found, dims=dims, sampling=replace(found.sampling, least=least))


def _least_length(probe: _Probe, found: Guess) -> int:
    """The fewest steps that rows may have beside one of all steps."""
    model = probe.model
    steps = found.sizes.get(model.time_dim, 1)
    if not any(spec.role == "lengths" for spec in found.inputs) or probe.at(found.sizes, 1):
        return 1
    return _first(lambda length: probe.at(found.sizes, length) is not None, 1, steps)


def _dim_of(probe: _Probe, sizes: Mapping[str, int], name: str, usual: _Seen, *, rows: bool) -> Dim:
    """What one dimension may be; the others stay as they are."""
    seen: dict[int, _Seen | None] = {}

    def at(size: int) -> _Seen | None:
        if size not in seen:
            seen[size] = probe.at({**sizes, name: size})
        return seen[size]

    def works(size: int) -> bool:
        now = at(size)
        return now is not None and now.ranks == usual.ranks

    large = sizes[name]
    unit = 1
    if not all(works(large + k) for k in range(1, _SHOWN + 1)):
        steps = (k for k in range(2, min(large, _MULTIPLES) + 1) if large % k == 0)
        unit = next((k for k in steps if works(large + k) and works(large + 2 * k)), 0)
        if not unit:
            return Dim()  # at these sizes alone
    least = 1 if unit == 1 and works(1) else unit * _first(works, unit, large // unit)
    many = () if rows else (16, 2)
    high = next((k * large for k in many if k * large < _MOST and at(k * large)), 0)
    larger = at(high) if high else None
    if larger is None:
        return Dim(least, unit)
    growing = [key for key, size in usual.inner.items() if larger.inner.get(key, size) > size]

    def parted(size: int) -> bool:
        now = at(size)
        return now is not None and all(now.inner.get(key, 2) > 1 for key in growing)

    traced = _TRACED if least <= _TRACED else _TIMES * least + _TRACED
    if parted(-(-traced // unit) * unit) or not parted(high):
        return Dim(least, unit)
    return Dim(unit * _first(parted, unit, high // unit), unit)


def _first(works: Any, unit: int, high: int) -> int:
    """The least number of units from which on it works; it does at `high`."""
    low = 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if works(middle * unit) else (middle, high)
    return high


@dataclass(frozen=True)
class _Probe:
    """Runs a declaration at sizes.

    Attributes:
        model: it.
        module: the one within, whose parts are looked at.
    """

    model: Model
    module: nn.Module

    def at(self, sizes: Mapping[str, int], length: int | None = None) -> _Seen | None:
        """What a run at these sizes gives; None where it raises.

        Args:
            sizes: of the dimensions.
            length: the steps of each row but the first; all of them where it is None.
        """
        model = self.model
        inner: dict[tuple[str, int], int] = {}
        try:
            arrays = sample_inputs(model, dict(sizes), 0)
            for spec in model.inputs:
                if spec.role == "lengths":
                    arrays[spec.name] = _all_but(arrays[spec.name], length)
            tensors = [torch.from_numpy(arrays[spec.name]) for spec in model.inputs]
            with _watched(self.module, inner):
                returned = invoke(model.module, model.inputs, model.outputs, tensors)
        except Exception:  # a user's module may raise anything
            return None
        return _Seen(tuple(p.tensor.ndim for p in parts_of(returned) if p is not None), inner)


def _all_but(lengths: np.ndarray[Any, Any], length: int | None) -> np.ndarray[Any, Any]:
    """The largest of some numbers of steps in each row, or in the first alone."""
    full = int(lengths.max(initial=1))
    found = np.full_like(lengths, full if length is None else min(length, full))
    found.reshape(-1)[:1] = full
    return found


@contextmanager
def _watched(module: nn.Module, inner: dict[tuple[str, int], int]) -> Iterator[None]:
    """Keeps the sizes of the first output of each part that gives a tensor."""

    def keep(name: str) -> Any:
        def hook(_part: nn.Module, _given: Any, returned: Any) -> None:
            if isinstance(returned, torch.Tensor):
                for axis, size in enumerate(returned.shape):
                    inner.setdefault((name, axis), size)

        return hook

    parts = [(n, p) for n, p in module.named_modules() if not isinstance(p, torch.jit.ScriptModule)]
    handles = [part.register_forward_hook(keep(name)) for name, part in parts]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
