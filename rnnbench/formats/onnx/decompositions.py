"""Operators for which torch's ONNX library has a wrong form or none, in others that it has."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from rnnbench.capture.operators.rolled import run_scan
from rnnbench.capture.tracing.trace import retrace

if TYPE_CHECKING:
    from rnnbench.capture.program import Captured

aten = torch.ops.aten


def spell_out(captured: Captured) -> ExportedProgram:
    """The captured program without those operators.

        logcumsumexp(x, 0)  ->  scan(step, [-inf], [x])

    A step takes the largest value out before it sums exponentials.
    """
    graph: Any = captured.program.module()
    found = [n for n in graph.graph.nodes if n.target in _SPELLINGS]
    if not found:
        return captured.program
    for node in found:
        node.target = _SPELLINGS[node.target]
    graph.recompile()
    return retrace(graph, captured.model, captured.dims, captured.frozen)


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


_SPELLINGS: dict[Any, Callable[..., Any]] = {aten.logcumsumexp.default: log_cumulative_sum}
