"""Operators for which torch's ONNX library has a wrong form or none, in others that it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram

from rnnbench.capture.operators.rolled import run_scan
from rnnbench.capture.tracing.trace import retrace

if TYPE_CHECKING:
    from rnnbench.capture.program import Captured

aten = torch.ops.aten


def spell_out(captured: Captured) -> ExportedProgram:
    """The captured program without those operators.

        logcumsumexp(x, 0)  ->  scan(step, [-inf], [x])
        amax(x)             ->  amax(x, [0, 1, 2])
        where(c, a, b)      ->  (c & a) | (~c & b)    (of truths)

    A step takes the largest value out before it sums exponentials.
    """
    graph: Any = captured.program.module()
    parts = [part for part in graph.modules() if isinstance(part, fx.GraphModule)]
    found = [(part, n) for part in parts for n in part.graph.nodes if _is_to_be_spelled(n)]
    if not found:
        return captured.program
    for part, node in found:
        node.target = _SPELLINGS[node.target]
        part.recompile()
    return retrace(graph, captured.model, captured.dims, captured.frozen)


def _is_to_be_spelled(node: fx.Node) -> bool:
    if node.target is aten.where.self:
        value = node.meta.get("val")
        return isinstance(value, Tensor) and value.dtype is torch.bool
    of_all = node.target in _OF_ALL and len(node.args) > 1 and node.args[1]
    return node.target in _SPELLINGS and not of_all


def chosen_truth(condition: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """`torch.where` of truths: ONNX Runtime has no `Where` of them (seen with 1.32)."""
    return (condition & yes) | (~condition & no)


def largest(x: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """`torch.amax` of all dimensions, by name: the library has no form without."""
    return torch.amax(x, list(dim) or list(range(x.dim())), keepdim)


def least(x: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """`torch.amin` of all dimensions."""
    return torch.amin(x, list(dim) or list(range(x.dim())), keepdim)


def log_cumulative_sum(x: Tensor, dim: int) -> Tensor:
    """`torch.logcumsumexp(x, dim)`, step by step.

    The library's form sums plain exponentials (seen with onnxscript 0.7.2), which overflow.
    """
    steps = x.movedim(dim, 0)

    def step(total: Tensor, x_t: Tensor) -> tuple[tuple[Tensor], tuple[Tensor]]:
        high = torch.maximum(total, x_t).clamp(min=torch.finfo(x.dtype).min)
        after = high + torch.log(torch.exp(total - high) + torch.exp(x_t - high))
        return (after,), (after,)

    nothing = torch.full_like(steps[0], -torch.inf)
    return run_scan(step, [nothing], [steps], [])[1].movedim(0, dim)


_OF_ALL: dict[Any, Callable[..., Any]] = {aten.amax.default: largest, aten.amin.default: least}
_SPELLINGS = {
    aten.logcumsumexp.default: log_cumulative_sum,
    aten.where.self: chosen_truth,
    **_OF_ALL,
}
