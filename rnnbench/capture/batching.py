"""Computes what does not recur for all time steps at once.

A node of a step's body works on (batch, ...) and becomes one that works on (time, batch, ...).
Only operators of which that is known are here; the others stay in a scan.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from rnnbench.capture.canonical import shape_of

aten = torch.ops.aten

# operator -> where its `dim` is among the arguments; a dim of 0 or more moves up by one
_WITH_DIM: dict[Any, int] = {
    aten.chunk.default: 2,
    aten.split.Tensor: 2,
    aten.split_with_sizes.default: 2,
    aten.slice.Tensor: 1,
    aten.select.int: 1,
    aten.unsqueeze.default: 1,
    aten.squeeze.dim: 1,
    aten.cat.default: 1,
    aten.softmax.int: 1,
    aten.log_softmax.int: 1,
}
_AS_THEY_ARE: tuple[Any, ...] = (
    aten.linear.default,
    aten.embedding.default,
    aten.layer_norm.default,
    operator.getitem,
)
# operators whose first argument alone may vary with time; the others' shapes are the weights'
_FIRST_ONLY: tuple[Any, ...] = (aten.linear.default, aten.layer_norm.default)


def batched(node: fx.Node, over_time: Callable[[fx.Node], bool]) -> Callable[..., Any] | None:
    """The function that does for all steps what the node does for one, with the same arguments.

    Args:
        node: a call in the body of a step.
        over_time: whether an argument differs from step to step (and will have a time axis).

    Returns:
        The function, or None where it is not known.
    """
    target = node.target
    varying = [over_time(n) for n in node.all_input_nodes]
    if target in _FIRST_ONLY and any(
        isinstance(a, fx.Node) and over_time(a) for a in node.args[1:]
    ):
        return None
    if target is aten.embedding.default and over_time(node.args[0]):  # type: ignore[arg-type]
        return None
    if target in _AS_THEY_ARE:
        return target  # type: ignore[return-value]
    if target in (aten.cat.default,) and not all(varying):
        return None
    if target in _WITH_DIM:
        return _shifted(node, _WITH_DIM[target])
    if target in (aten.matmul.default, aten.mm.default):
        second = node.args[1]
        constant = isinstance(second, fx.Node) and not over_time(second)
        return aten.matmul.default if constant and len(shape_of(second) or ()) == 2 else None
    if isinstance(target, torch._ops.OpOverload) and torch.Tag.pointwise in target.tags:
        return target if _broadcasts(node, over_time) else None
    return None


def _shifted(node: fx.Node, position: int) -> Callable[..., Any] | None:
    dim = node.args[position] if len(node.args) > position else node.kwargs.get("dim", 0)
    if not isinstance(dim, int):
        return None
    moved = dim if dim < 0 else dim + 1
    target: Any = node.target

    def call(*args: Any, **kwargs: Any) -> Any:
        kwargs.pop("dim", None)
        filled = [*args[:position], *[1] * (position - len(args)), moved, *args[position + 1 :]]
        return target(*filled, **kwargs)

    return call


def _broadcasts(node: fx.Node, over_time: Callable[[fx.Node], bool]) -> bool:
    """Whether the time axis of every varying operand lines up with that of the result."""
    result = shape_of(node)
    for operand in node.all_input_nodes:
        shape = shape_of(operand)
        if shape is None or result is None:
            return False
        if over_time(operand) and len(shape) != len(result):
            return False
    return True
