"""Computes what does not recur for all time steps at once.

A node of a step's body works on (batch, ...) and becomes one that works on (time, batch, ...).
Only operators of which that is known are here; the others stay in a scan.

    linear(x_t, w)          x_t [batch, 4]  ->  linear(x, w)      x [time, batch, 4]
    unsqueeze(x_t, 1)       [batch, 1, 4]   ->  unsqueeze(x, 2)   [time, batch, 1, 4]
    cat([x_t, y_t], -1)     [batch, 8]      ->  cat([x, y], -1)   [time, batch, 8]
    cat([x_t, weight], -1)                  ->  (stays in a scan: weight has no time)
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

OverTime = Callable[[fx.Node], bool]
"""Whether a value differs from step to step, and will have a time axis."""


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


Rule = Callable[[fx.Node, OverTime], Batched | None]


def batched(node: fx.Node, over_time: OverTime) -> Batched | None:
    """Does for all steps what the node does for one.

    Args:
        node: a call in the body of a step.
        over_time: which arguments differ from step to step.

    Returns:
        What to call, or None where it is not known.
    """
    target: Any = node.target
    if target in _RULES:
        return _RULES[target](node, over_time)
    if isinstance(target, torch._ops.OpOverload) and torch.Tag.pointwise in target.tags:
        return Batched(target) if _broadcasts(node, over_time) else None
    return None


def _as_it_is(node: fx.Node, over_time: OverTime) -> Batched | None:
    return Batched(node.target)  # type: ignore[arg-type]


def _first_over_time(node: fx.Node, over_time: OverTime) -> Batched | None:
    """As it is, where the first argument alone varies; the others' shapes are the weights'."""
    others = (a for a in node.args[1:] if isinstance(a, fx.Node))
    return None if any(map(over_time, others)) else _as_it_is(node, over_time)


def _looked_up(node: fx.Node, over_time: OverTime) -> Batched | None:
    """`embedding(table, indices)`, as it is, where the table is the same in all steps."""
    table: Any = node.args[0]
    return None if over_time(table) else _as_it_is(node, over_time)


def _multiplied(node: fx.Node, over_time: OverTime) -> Batched | None:
    """`matmul(x, weight)`, where the weight is one matrix for all steps."""
    second = node.args[1]
    # [time, batch, features] @ [features, out]; a second one with time would pair up the steps.
    constant = isinstance(second, fx.Node) and not over_time(second)
    plain = constant and len(shape_of(second) or ()) == 2
    return Batched(aten.matmul.default) if plain else None


def _along_dim(position: int) -> Rule:
    """The rule of an operator whose `dim` is the argument at a position."""

    def rule(node: fx.Node, over_time: OverTime) -> Batched | None:
        dim = node.args[position] if len(node.args) > position else node.kwargs.get("dim", 0)
        if not isinstance(dim, int):
            return None
        # From the end a dimension stays what it is; from the front it is one further.
        return Batched(node.target, position, dim if dim < 0 else dim + 1)  # type: ignore[arg-type]

    return rule


def _joined(node: fx.Node, over_time: OverTime) -> Batched | None:
    """`cat`, where all the parts vary: no other has a time axis."""
    varying = all(map(over_time, node.all_input_nodes))
    return _along_dim(1)(node, over_time) if varying else None


def _broadcasts(node: fx.Node, over_time: OverTime) -> bool:
    """Whether the time axis of every varying operand can line up with that of the result."""
    result = shape_of(node)
    for operand in node.all_input_nodes:
        shape = shape_of(operand)
        if shape is None or result is None:
            return False
        if over_time(operand) and len(shape) > len(result):
            return False
    return True


# Shapes of a step; where the number is that of the argument `dim`.
_RULES: dict[Any, Rule] = {
    aten.linear.default: _first_over_time,  # [batch, in] -> [batch, out]
    aten.layer_norm.default: _first_over_time,  # over the last dimensions
    aten.embedding.default: _looked_up,  # [batch] -> [batch, features]
    aten.to.dtype: _as_it_is,
    aten._to_copy.default: _as_it_is,
    operator.getitem: _as_it_is,  # of chunk and split
    aten.matmul.default: _multiplied,  # [batch, in] @ [in, out]
    aten.mm.default: _multiplied,
    aten.cat.default: _joined,  # [batch, a], [batch, b] -> [batch, a + b]
    aten.chunk.default: _along_dim(2),  # [batch, n * a] -> n times [batch, a]
    aten.split.Tensor: _along_dim(2),
    aten.split_with_sizes.default: _along_dim(2),
    aten.slice.Tensor: _along_dim(1),
    aten.select.int: _along_dim(1),  # [batch, n, a] -> [batch, a]
    aten.unsqueeze.default: _along_dim(1),  # [batch, a] -> [batch, 1, a]
    aten.squeeze.dim: _along_dim(1),  # [batch, 1, a] -> [batch, a]
    aten.softmax.int: _along_dim(1),  # of the same shape
    aten.log_softmax.int: _along_dim(1),
}
