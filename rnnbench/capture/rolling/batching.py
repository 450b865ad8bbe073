"""Computes what does not recur for all time steps at once.

A node of a step's body works on (batch, ...) and becomes one that works on (time, batch, ...).
Only operators of which that is known are here; the others stay in a scan.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from rnnbench.capture.graph_edit import shape_of

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
    aten.to.dtype,
    aten._to_copy.default,
    operator.getitem,
)
# operators whose first argument alone may vary with time; the others' shapes are the weights'
_FIRST_ONLY: tuple[Any, ...] = (aten.linear.default, aten.layer_norm.default)


@dataclass(frozen=True)
class Batched:
    """How to do for all steps what a node does for one.

    Attributes:
        target: what to call.
        dim: the place of an argument that becomes `moved`, or None.
        moved: a dimension, one up.
    """

    target: Callable[..., Any]
    dim: int | None = None
    moved: int = 0

    def arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
        """The node's arguments, for all steps."""
        if self.dim is None:
            return args, kwargs
        kwargs = {k: v for k, v in kwargs.items() if k != "dim"}
        ones = [1] * (self.dim - len(args))
        return (*args[: self.dim], *ones, self.moved, *args[self.dim + 1 :]), kwargs


def batched(node: fx.Node, over_time: Callable[[fx.Node], bool]) -> Batched | None:
    """Does for all steps what the node does for one.

    Args:
        node: a call in the body of a step.
        over_time: whether an argument differs from step to step (and will have a time axis).

    Returns:
        What to call, or None where it is not known.
    """
    target: Any = node.target
    varying = [over_time(n) for n in node.all_input_nodes]
    if target in _FIRST_ONLY and any(
        isinstance(a, fx.Node) and over_time(a) for a in node.args[1:]
    ):
        return None
    if target is aten.embedding.default and over_time(node.args[0]):  # type: ignore[arg-type]
        return None
    if target in _AS_THEY_ARE:
        return Batched(node.target)  # type: ignore[arg-type]
    if target is aten.cat.default and not all(varying):
        return None
    if target in _WITH_DIM:
        return _shifted(node, _WITH_DIM[target])
    if target in (aten.matmul.default, aten.mm.default):
        second = node.args[1]
        constant = isinstance(second, fx.Node) and not over_time(second)
        plain = constant and len(shape_of(second) or ()) == 2
        return Batched(aten.matmul.default) if plain else None
    if isinstance(target, torch._ops.OpOverload) and torch.Tag.pointwise in target.tags:
        return Batched(target) if _broadcasts(node, over_time) else None
    return None


def _shifted(node: fx.Node, position: int) -> Batched | None:
    dim = node.args[position] if len(node.args) > position else node.kwargs.get("dim", 0)
    if not isinstance(dim, int):
        return None
    return Batched(node.target, position, dim if dim < 0 else dim + 1)  # type: ignore[arg-type]


def _broadcasts(node: fx.Node, over_time: Callable[[fx.Node], bool]) -> bool:
    """Whether the time axis of every varying operand can line up with that of the result."""
    result = shape_of(node)
    for operand in node.all_input_nodes:
        shape = shape_of(operand)
        if shape is None or result is None:
            return False
        if over_time(operand) and len(shape) > len(result):
            return False
    return True
