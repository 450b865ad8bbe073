"""A module that takes its declared inputs, and gives its declared outputs, one by one."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from rnnbench.capture.graph_edit import number
from rnnbench.capture.tracing.data_branches import Answers
from rnnbench.capture.tracing.steps_run import STEPS
from rnnbench.core.dims import names_of, value_of
from rnnbench.core.model import Model
from rnnbench.models.binding import bind, exchanged_forward, ordered, own_forward
from rnnbench.models.kept import listed_as_buffers, tensors_in


@contextmanager
def as_declared(
    model: Model, module: nn.Module, known: Mapping[str, int], told: Answers
) -> Iterator[None]:
    """While it lasts, the module takes its declared inputs, and gives its outputs, one by one.

    After them it gives what it asked of data.

    It tells the trace, too, which sizes are products and sums of others. An input of `envs*time`
    rows beside one of `envs`, where time is 5:

        rows is s0, rows // envs is s0 // s1   ->   rows is 5*s1, rows // envs is 5
    """
    before = module.forward
    own = vars(module).get("forward")
    specs = tuple(spec for spec in model.inputs if spec.name != STEPS)
    flat = bind(before, specs, specs) == (model.inputs, {})

    def forward(*inputs: Any) -> Any:
        inputs = tuple(x for x, s in zip(inputs, model.inputs, strict=True) if s.name != STEPS)
        _relate(model, inputs, known)
        args, named = bind(before, specs, inputs)
        with own_forward(module, own), _as_shaped(module):
            returned = tuple(tensors_in(ordered(before(*args, **named), model.outputs)))
        return (returned, told.predicates()) if told.predicates() else returned

    # Where the inputs are the arguments, they keep the names that these have.
    if flat:
        functools.update_wrapper(forward, before, updated=())
    with exchanged_forward(module, forward):
        yield


@contextmanager
def _as_shaped(module: nn.Module) -> Iterator[None]:
    """Empty buffers are plain attributes meanwhile: a trace cannot write another shape into one.

    `self.spike = torch.zeros(0)`, which is [batch, 16] after a call that was given it, holds no
    state: two calls were compared before. What has its shape in the end was assigned as a buffer.
    """
    parts = [m for m in module.modules() if not isinstance(m, torch.jit.ScriptModule)]
    empty = [(p, n, b) for p in parts for n, b in p._buffers.items() if b is not None]
    empty = [(part, name, held) for part, name, held in empty if number(held.numel()) == 0]
    for part, name, held in empty:
        del part._buffers[name]
        vars(part)[name] = held
    names = {part: [n for p, n, _ in empty if p is part] for part, _, _ in empty}
    try:
        with listed_as_buffers(names):
            yield
    finally:
        for part, name, held in empty:
            now = vars(part).pop(name, held)
            part._buffers[name] = held
            if now is not held and str(getattr(now, "shape", "")) == str(held.shape):
                setattr(part, name, now)


def _relate(model: Model, inputs: Sequence[Any], known: Mapping[str, int]) -> None:
    """Tells a trace of the sizes that are made of others."""
    pairs = [
        (declared, size)
        for spec, x in zip(model.inputs, inputs, strict=False)
        for declared, size in zip(spec.shape, x.shape, strict=True)
    ]
    sizes: dict[str, Any] = dict(known)
    sizes |= {str(declared): size for declared, size in pairs if declared in model.dims}
    for declared, size in pairs:
        names = names_of(declared)
        if names and declared not in model.dims and set(names) <= sizes.keys():
            torch._check(size == value_of(declared, sizes))
