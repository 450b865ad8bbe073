"""Operators for which torch's ONNX library has a wrong form or none, in others that it has."""

from __future__ import annotations

import math
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
        log_sigmoid(x)      ->  clamp(x, max=0) - log1p(exp(-abs(x)))
        where(c, a, b)      ->  (c & a) | (~c & b)    (of truths)

    A step takes the largest value out before it sums exponentials.
    """
    graph: Any = captured.program.module()
    parts = [part for part in graph.modules() if isinstance(part, fx.GraphModule)]
    found = [(part, n) for part in parts for n in part.graph.nodes if _is_to_be_spelled(n)]
    if not found:
        return captured.program
    before = [(part, node, node.target) for part, node in found]
    try:
        for part, node in found:
            node.target = _SPELLINGS[node.target]
            part.recompile()
        return retrace(graph, captured.model, captured.dims, captured.frozen)
    finally:  # the bodies of loops are those of the captured program, which other formats write
        for part, node, target in before:
            node.target = target
            part.recompile()


def _is_to_be_spelled(node: fx.Node) -> bool:
    if node.target is aten.where.self:
        value = node.meta.get("val")
        return isinstance(value, Tensor) and value.dtype is torch.bool
    if node.target in _OF_ALL:
        return not (len(node.args) > 1 and node.args[1])
    if node.target is aten.roll.default:  # with numbers alone the library has a form
        shifts: Any = node.args[1]
        return len(node.args) > 2 and any(isinstance(n, fx.Node) for n in shifts)
    if node.target is aten.remainder.Scalar:
        return isinstance(node.args[1], fx.Node)
    if node.target in _WITH_KEYWORDS:
        return True
    return node.target in _SPELLINGS and not node.kwargs  # cumprod(x, 1, dtype=...)


def chosen_truth(condition: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    """`torch.where` of truths: ONNX Runtime has no `Where` of them (seen with 1.32)."""
    return (condition & yes) | (~condition & no)


def log_of_sigmoid(x: Tensor) -> Tensor:
    """`logsigmoid(x)`: the library's `Log(Sigmoid(x))` is -inf below -88 (onnxscript 0.7.2)."""
    return x.clamp(max=0.0) - torch.log1p(torch.exp(-x.abs()))


def log_of_sum(a: Tensor, b: Tensor) -> Tensor:
    """`torch.logaddexp(a, b)`: the library sums plain exponentials, which overflow."""
    rest = torch.log1p(torch.exp(-(a - b).abs()))
    return torch.maximum(a, b) + torch.where(a == b, math.log(2), rest)  # also of two infinities


def log2_of_sum(a: Tensor, b: Tensor) -> Tensor:
    """`torch.logaddexp2(a, b)`."""
    rest = torch.log1p(torch.exp2(-(a - b).abs())) / math.log(2)
    return torch.maximum(a, b) + torch.where(a == b, 1.0, rest)


def length_of(a: Tensor, b: Tensor) -> Tensor:
    """`torch.hypot(a, b)`, for which the library has no form; large numbers are not squared."""
    most, least = torch.maximum(a.abs(), b.abs()), torch.minimum(a.abs(), b.abs())
    share = least / torch.where(most == 0, 1.0, most)
    return most * torch.sqrt(1 + share * share)


def angle_of(y: Tensor, x: Tensor) -> Tensor:
    """`torch.atan2(y, x)`: the library's is -pi for (0, -1), which is pi."""
    inner = torch.atan(y / torch.where(x == 0, 1.0, x))
    left = torch.where(y >= 0, inner + math.pi, inner - math.pi)
    return torch.where(x == 0, torch.sign(y) * (math.pi / 2), torch.where(x < 0, left, inner))


def largest(x: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """`torch.amax` of all dimensions, by name: the library has no form without."""
    return torch.amax(x, list(dim) or list(range(x.dim())), keepdim)


def least(x: Tensor, dim: Any = (), keepdim: bool = False) -> Tensor:
    """`torch.amin` of all dimensions."""
    return torch.amin(x, list(dim) or list(range(x.dim())), keepdim)


def cumulative_product(x: Tensor, dim: int) -> Tensor:
    """`torch.cumprod(x, dim)`, step by step."""

    def step(before: Tensor, x_t: Tensor) -> tuple[tuple[Tensor], tuple[Tensor]]:
        return (before * x_t,), (before * x_t,)

    steps = x.movedim(dim, 0)
    return run_scan(step, [torch.ones_like(steps[0])], [steps], [])[1].movedim(0, dim)


def cumulative_largest(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """`torch.cummax(x, dim)`."""
    return _cumulative(torch.ge, x, dim)


def cumulative_least(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """`torch.cummin(x, dim)`."""
    return _cumulative(torch.le, x, dim)


def _cumulative(better: Any, x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The best so far, and where it was last, step by step."""
    steps = x.movedim(dim, 0)
    at = torch.arange(steps.shape[0], device=x.device).reshape(-1, *[1] * (x.dim() - 1))

    def step(
        best: Tensor, where: Tensor, x_t: Tensor, t: Tensor
    ) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        now = better(x_t, best)
        found = torch.where(now, x_t, best), torch.where(now, t, where)
        return found, (found[0].clone(), found[1].clone())

    first = [steps[0].clone(), torch.zeros_like(steps[0], dtype=torch.int64)]
    values, places = run_scan(step, first, [steps, at], [])[2:]
    return values.movedim(0, dim), places.movedim(0, dim)


def rolled(x: Tensor, shifts: Any, dims: Any = ()) -> Tensor:
    """`torch.roll(x, shifts, dims)`, by indices: a shift may be a size."""
    for shift, dim in zip(shifts, dims, strict=True):
        size = x.shape[dim]
        at = torch.arange(size, device=x.device) - shift % size
        x = x.index_select(dim, torch.where(at < 0, at + size, at))
    return x


def rest_by_a_size(x: Tensor, size: Any) -> Tensor:
    """`x % n` with a size n."""
    return torch.remainder(x, torch.scalar_tensor(size, dtype=x.dtype, device=x.device))


def sorted_stably(
    x: Tensor, *, stable: bool | None = None, dim: int = -1, descending: bool = False
) -> tuple[Tensor, Tensor]:
    """`torch.sort(x, stable=True)`: ONNX's TopK keeps equal values in order, by its definition."""
    return torch.sort(x, dim, descending)


def order_stably(
    x: Tensor, *, stable: bool | None = None, dim: int = -1, descending: bool = False
) -> Tensor:
    """`torch.argsort(x, stable=True)`."""
    return torch.sort(x, dim, descending)[1]


def selected(x: Tensor, mask: Tensor) -> Tensor:
    """`torch.masked_select(x, mask)`: the library has no form of it."""
    x, mask = torch.broadcast_tensors(x, mask)
    return x[mask]


def solved_by_rows(
    a: Tensor, b: Tensor, *, upper: bool, left: bool = True, unitriangular: bool = False
) -> Tensor:
    """`torch.linalg.solve_triangular(a, b)`, one row after the other: a (..., n, n), b (..., n, k).

    x_i = (b_i - a_i x) / a_ii, where the rows of x that are not known yet are 0.
    """
    if not left:  # x a = b  ->  a' x' = b'
        turned = solved_by_rows(a.mT, b.mT, upper=not upper, unitriangular=unitriangular)
        return turned.mT
    size = a.shape[-1]
    batch = torch.broadcast_tensors(a[..., :1, :1], b[..., :1, :1])[0].shape[:-2]
    rows = a.expand(*batch, size, size).movedim(-2, 0)  # [n, ..., n]
    wanted = b.expand(*batch, *b.shape[-2:]).movedim(-2, 0)  # [n, ..., k]
    places = torch.eye(size, dtype=b.dtype, device=b.device)  # [n, n]: which row it is
    steps = [s.flip(0) if upper else s for s in (rows, wanted, places)]

    def step(x: Tensor, a_i: Tensor, b_i: Tensor, here: Tensor) -> Any:
        row = b_i - (a_i.unsqueeze(-2) @ x).squeeze(-2)
        if not unitriangular:
            row = row / (a_i * here).sum(-1, keepdim=True)
        return (x + here.unsqueeze(-1) * row.unsqueeze(-2),), ()

    nothing = torch.zeros_like(b.expand(*batch, *b.shape[-2:]))
    return run_scan(step, [nothing], steps, [])[0]


def middle(x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """`torch.median(x, dim)`: the lower one of two in the middle."""
    values, places = torch.sort(x, dim)
    at = (x.shape[dim] - 1) // 2
    found = values.narrow(dim, at, 1), places.narrow(dim, at, 1)
    return found if keepdim else (found[0].squeeze(dim), found[1].squeeze(dim))


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
_WITH_KEYWORDS: dict[Any, Callable[..., Any]] = {
    aten.sort.stable: sorted_stably,
    aten.argsort.stable: order_stably,
    aten.linalg_solve_triangular.default: solved_by_rows,
}
_SPELLINGS = {
    aten.logcumsumexp.default: log_cumulative_sum,
    aten.where.self: chosen_truth,
    aten.log_sigmoid.default: log_of_sigmoid,
    aten.logaddexp.default: log_of_sum,
    aten.logaddexp2.default: log2_of_sum,
    aten.hypot.default: length_of,
    aten.atan2.default: angle_of,
    aten.cumprod.default: cumulative_product,
    aten.cummax.default: cumulative_largest,
    aten.cummin.default: cumulative_least,
    aten.masked_select.default: selected,
    aten.median.dim: middle,
    aten.roll.default: rolled,
    aten.remainder.Scalar: rest_by_a_size,
    **_OF_ALL,
    **_WITH_KEYWORDS,
}
