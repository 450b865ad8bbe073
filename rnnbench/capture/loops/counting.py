"""What a step computes from its own number: `t < lengths`, `x * t`, `embed(torch.tensor(t))`.

In a trace such a number is a constant that grows by the same amount from step to step. In a scan
it is a tensor, so each operator that takes the number has a form here that takes a tensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, fx

from rnnbench.capture.graph_edit import shape_of

aten = torch.ops.aten

_COPIES = (aten.clone.default, aten.lift_fresh_copy.default)
_DENOMINATOR = 2000  # of a share of a length, in a trace
_EVEN = 1e-9  # numbers that are computed in float64 grow evenly up to their rounding


@dataclass(frozen=True)
class Count:
    """The number `first + k * stride` in step k."""

    first: int | float
    stride: int | float

    def starts_after(self, number: Any) -> bool:
        """Whether a number is that of the step before the first."""
        if type(number) not in (int, float):
            return False
        size = max(abs(self.first), abs(self.stride))
        return bool(abs(self.first - self.stride - number) <= _EVEN * size)


def as_count(values: Sequence[Any]) -> Count | None:
    """The numbers of all steps as a count, where they grow evenly; else None."""
    if all(type(v) is int for v in values):
        strides = {b - a for a, b in pairwise(values)}
        return Count(values[0], strides.pop()) if len(strides) == 1 else None
    if not all(type(v) in (int, float) for v in values):
        return None
    stride = (values[-1] - values[0]) / (len(values) - 1)
    size = max(map(abs, values))
    even = all(abs(values[0] + k * stride - v) <= _EVEN * size for k, v in enumerate(values))
    return Count(float(values[0]), stride) if even else None


def takes_a_count(node: fx.Node, place: int) -> bool:
    """Whether the argument at a place may be a tensor, as one of `tensor_form`."""
    if node.target is aten.full.default:
        return place == len(node.args[0])  # type: ignore[arg-type]
    return place in _PLACES.get(node.target, ())


def tensor_form(node: fx.Node, args: tuple[Any, ...]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """What to call where numbers of a node's arguments have become tensors.

    In a step (x [batch, 4], t []), of what the trace has at t = 1:

        mul(x, 2), mul(x, 3) ...          ->  mul(x, t)
        lt(lengths, 2) ...                ->  lt.Tensor(lengths, t)
        select(table, 0, 1) ...           ->  taken(table, 0, t)
        slice(x, 1, 1, 3) ...             ->  window(x, 1, t, 2)

    Args:
        node: the call, with its numbers.
        args: the arguments, with the tensors.
    """
    target: Any = node.target
    if target is aten.slice.Tensor:  # of which both ends grow, and how wide it is does not
        width = node.args[3] - node.args[2]  # type: ignore[operator]
        return window, (*args[:3], width)
    return _FORMS.get(target, target), args


def count_steps(first: float, stride: float, steps: int, device: torch.device) -> Tensor:
    """(time,) the number of each step."""
    numbers = torch.arange(steps, device=device)  # [time]: 0, 1, 2 ...
    whole = isinstance(first, int | torch.SymInt)  # a size, where the loop is traced anew
    dtype = torch.int64 if whole else torch.get_default_dtype()
    return numbers.to(dtype) * stride + first


def over_time(numbers: Tensor, rank: int) -> Tensor:
    """(time, 1, ...) the numbers of all steps, for values of `rank` dimensions beside time."""
    return numbers.reshape(-1, *[1] * rank)  # [time] -> [time, 1, 1], beside [time, batch, 4]


def filled(shape: Sequence[int], number: Tensor, **kind: Any) -> Tensor:
    """`torch.full` with a tensor; the numbers of all steps (time,) give (time, *shape)."""
    numbers = number if kind.get("dtype") is None else number.to(kind["dtype"])
    time = numbers.shape  # [] in a step, [time] of all steps
    return numbers.reshape([*time, *[1] * len(shape)]).expand([*time, *shape]).clone()


def number_of_eachlike(x: Tensor, number: Tensor, **kind: Any) -> Tensor:
    """`torch.full_like` with a tensor."""
    return torch.zeros_like(x, **kind) + number.to(kind.get("dtype") or x.dtype)


def taken(x: Tensor, dim: int, number: Tensor) -> Tensor:
    """`x.select(dim, number)` with a tensor."""
    # [time, batch, 4] -> [1, batch, 4] -> [batch, 4]
    return torch.index_select(x, dim, number.reshape(1)).squeeze(dim)


def put(x: Tensor, source: Tensor, dim: int, number: Tensor) -> Tensor:
    """`x.select_scatter(source, dim, number)` with a tensor."""
    steps = torch.arange(x.shape[dim], device=x.device)  # [time]
    here = (steps == number).reshape(-1, *[1] * (x.dim() - 1 - dim))  # [time, 1, 1]
    return torch.where(here, source.unsqueeze(dim), x)  # source [1, batch, 4], x [time, batch, 4]


def window(x: Tensor, dim: int, start: Tensor, width: int) -> Tensor:
    """`x.narrow(dim, start, width)` with a tensor."""
    steps = start + torch.arange(width, device=x.device)
    # A loop without steps runs one whose result is not used: it may not read past the end.
    # [time, batch, 4] -> [width, batch, 4]
    return torch.index_select(x, dim, steps.clamp(max=x.shape[dim] - 1))


def clamped(x: Tensor, low: Any = None, high: Any = None) -> Tensor:
    """`torch.clamp` with tensors."""
    x = x if low is None else torch.maximum(x, torch.as_tensor(low, device=x.device).to(x.dtype))
    return x if high is None else torch.minimum(x, torch.as_tensor(high).to(x.dtype))


# Operators that take a tensor for the number as they are, or by another name.
_COMPARED = ("lt", "le", "gt", "ge", "eq", "ne")
_FORMS: dict[Any, Callable[..., Any]] = {
    **{getattr(aten, name).Scalar: getattr(aten, name).Tensor for name in _COMPARED},
    aten.add.Scalar: aten.add.Tensor,
    aten.sub.Scalar: aten.sub.Tensor,
    aten.mul.Scalar: aten.mul.Tensor,
    aten.div.Scalar: aten.div.Tensor,
    aten.rsub.Scalar: aten.rsub.Tensor,
    aten.pow.Tensor_Scalar: aten.pow.Tensor_Tensor,
    aten.pow.Scalar: aten.pow.Tensor_Tensor,
    aten.remainder.Scalar: aten.remainder.Tensor,
    aten.fill.Scalar: aten.fill.Tensor,
    aten.masked_fill.Scalar: aten.masked_fill.Tensor,
    aten.where.ScalarOther: aten.where.self,
    aten.where.ScalarSelf: aten.where.self,
    aten.clamp.default: clamped,
    aten.full.default: filled,
    aten.full_like.default: number_of_eachlike,
    aten.select.int: taken,
    aten.select_scatter.default: put,
}
_SAME = (
    aten.add.Tensor,
    aten.sub.Tensor,
    aten.mul.Tensor,
    aten.div.Tensor,
    aten.floor_divide.default,
)
_PLACES: dict[Any, tuple[int, ...]] = {
    **dict.fromkeys((*_FORMS, *_SAME), (1,)),
    aten.pow.Scalar: (0,),
    aten.masked_fill.Scalar: (2,),
    aten.where.ScalarOther: (2,),
    aten.clamp.default: (1, 2),
    aten.select.int: (2,),
    aten.select_scatter.default: (3,),
    aten.slice.Tensor: (2, 3),
}


def for_all_steps(node: fx.Node) -> bool:
    """Whether the tensor form works on all steps at once, the numbers as (time, 1, ...)."""
    form = _FORMS.get(node.target, node.target)
    return isinstance(form, torch._ops.OpOverload) and torch.Tag.pointwise in form.tags


def rank_of(node: fx.Node) -> int:
    """How many dimensions a node's value has."""
    return len(shape_of(node) or ())


def numbers_of_constants(module: fx.GraphModule) -> None:
    """A constant tensor of one element, as `torch.tensor(t)` leaves it, is a number again.

        lifted_tensor_0 = get_attr lifted_tensor_0
        clone = clone(lifted_tensor_0)
        mul = mul(x, clone)       ->  full = full([], 2, dtype=torch.int64)
                                      mul = mul(x, full)

        scalar_tensor(0.25)       ->  full([], 0.25)
        lifted_tensor_1: [5, 5]   ->  full([2], 5)

    Others that each step makes anew are one.
    """
    known: dict[Any, fx.Node] = {}
    for node in list(module.graph.find_nodes(op="get_attr")):
        # Of a part of the model it is `net.lifted_tensor_0`.
        path, _, name = str(node.target).rpartition(".")
        if not name.startswith(("lifted_tensor", "_tensor_constant")):
            continue
        value = getattr(module.get_submodule(path), name, None)
        if not isinstance(value, Tensor):
            continue
        if value.dtype is not torch.bool and (value.numel() == 1 or _is_filled(value)):
            _as_number(module.graph, node, value)
            continue
        # No number that could grow.
        first = known.setdefault((value.dtype, value.device, str(value.tolist())), node)
        if first is not node:
            node.replace_all_uses_with(first)
            module.graph.erase_node(node)
    for node in module.graph.find_nodes(op="call_function", target=aten.scalar_tensor.default):
        node.target, node.args = aten.full.default, ([], *node.args)
        node.kwargs = {k: v for k, v in node.kwargs.items() if k != "layout"}


def _as_number(graph: fx.Graph, node: fx.Node, value: Tensor) -> None:
    kind: dict[str, Any] = {"dtype": value.dtype, "device": value.device}
    written = _as_written(value.reshape(-1)[0])
    for user in list(node.users):  # each its own, so that every step has one
        with graph.inserting_before(user):
            number = graph.call_function(aten.full.default, (list(value.shape), written), kind)
        number.meta = dict(node.meta)
        if "stack_trace" in user.meta:
            number.meta["stack_trace"] = user.meta["stack_trace"]
        user.replace_input_with(node, number)
        if user.target in _COPIES:  # nothing is written to
            user.replace_all_uses_with(number)
            graph.erase_node(user)
    graph.erase_node(node)


def _is_filled(value: Tensor) -> bool:
    """Whether it is one whole number again and again, as `[x.size(1)] * x.size(0)` gives."""
    whole = value.dim() == 1 and len(value) > 0 and not value.dtype.is_floating_point
    return whole and bool((value == value[0]).all())


def _as_written(value: Tensor) -> int | float:
    """The number of a tensor of one element; of 0.0833333358 in float32, 1/12 as Python has it."""
    given: int | float = value.item()
    if not isinstance(given, float) or not math.isfinite(given) or value.dtype == torch.float64:
        return given
    near = float(Fraction(given).limit_denominator(_DENOMINATOR))
    return near if value.new_tensor(near).item() == given else given
