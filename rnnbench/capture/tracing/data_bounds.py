"""Places in a tensor that are numbers in tensors, which a trace does not know.

y[i, lengths[i] - 1]            ->  index_select(y[i], 0, lengths[i] - 1)
y[i, : lengths[i]] = 1          ->  y[i] = 1 where the place is below lengths[i]
y[order[i]] = x[i]              ->  index_copy(y, 0, order[i], x[i])
y[i].narrow(0, n, T - n).fill_(1)  ->  y[i, n : T] = 1, as above
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from rnnbench.capture.tracing.listed import AsksForNumbers, is_number_of_a_trace

aten = torch.ops.aten


def has_data_bounds(index: Any) -> bool:
    """Whether an index has a number in a tensor, or a slice that begins or ends at one."""
    parts = _parts(index)
    plain = all(p is Ellipsis or isinstance(p, int | slice) or _at_data(p) for p in parts)
    return plain and any(map(_at_data, parts))


def select_at(x: Tensor, dim: int, at: Tensor) -> Tensor:
    """Stands in for `torch.select(x, dim, at)`."""
    at = _from_the_front(at, x.shape[dim]).reshape(1)
    return x.index_select(dim, at).squeeze(dim)


def select_by_tensors(graph: fx.Graph) -> None:
    """Takes a place whose number is in a tensor by that tensor: it is then as any other value.

    item = item(n)
    select(x, 0, item)   ->   squeeze(index_select(x, 0, reshape(n, [1])), 0)
    """
    for node in list(graph.find_nodes(op="call_function", target=aten.select.int)):
        item: Any = node.args[2]
        x: Any = node.args[0]
        if not isinstance(item, fx.Node) or item.target is not aten.item.default:
            continue
        at: Any = item.args[0]
        with graph.inserting_before(node), node.meta["val"].fake_mode:
            new = _Traced(graph, node).select(x, node.args[1], at)
        node.replace_all_uses_with(new)
        graph.erase_node(node)
        for user in list(item.users):  # what torch asserts of it
            _erase_assertions(graph, user)
        if not item.users:
            graph.erase_node(item)


def _erase_assertions(graph: fx.Graph, node: fx.Node) -> None:
    only = all(u.target is aten._assert_scalar.default for u in node.users)
    if only and isinstance(node.meta.get("val"), torch.SymBool):
        for user in list(node.users):
            graph.erase_node(user)
        graph.erase_node(node)


class _Traced:
    """Calls that are written into a graph, with what they give."""

    def __init__(self, graph: fx.Graph, place: fx.Node) -> None:
        self._graph = graph
        self._place = place

    def select(self, x: fx.Node, dim: Any, at: fx.Node) -> fx.Node:
        """What `select_at` does."""
        size: Any = x.meta["val"].shape[dim]
        if not isinstance(size, int):
            size = self._call(aten.sym_size.int, size, x, dim)
        below = self._tensor(aten.lt.Scalar, at, 0)
        there = self._tensor(aten.where.self, below, self._tensor(aten.add.Tensor, at, size), at)
        taken = self._tensor(
            aten.index_select.default, x, dim, self._tensor(aten.reshape.default, there, [1])
        )
        return self._tensor(aten.squeeze.dim, taken, dim)

    def _tensor(self, target: Any, *args: Any) -> fx.Node:
        values = fx.node.map_arg(args, lambda n: n.meta["val"])
        return self._call(target, target(*values), *args)

    def _call(self, target: Any, value: Any, *args: Any) -> fx.Node:
        node = self._graph.call_function(target, args)
        node.meta = dict(self._place.meta) | {"val": value}
        return node


def write_at(x: Tensor, index: Any, value: Any) -> None:
    """Stands in for `x[index] = value`."""
    parts = _full(x, index)
    whole = tuple(slice(None) if _at_data(p) else p for p in parts)
    before = x[whole]
    kept = [p for p in parts if isinstance(p, slice | Tensor)]
    numbers = [dim for dim, part in enumerate(kept) if isinstance(part, Tensor)]
    value = torch.as_tensor(value, dtype=x.dtype, device=x.device)
    for dim in numbers:  # the value has no such dimension: one of size 1
        behind = len(kept) - 1 - dim
        if value.dim() > behind:
            value = value.unsqueeze(value.dim() - behind)
    if len(numbers) == 1 and not any(_at_data(p) for p in kept if isinstance(p, slice)):
        (dim,) = numbers
        shape = [1 if i == dim else size for i, size in enumerate(before.shape)]
        at = _from_the_front(kept[dim], before.shape[dim]).reshape(1)
        x[whole] = before.index_copy(dim, at, value.expand(shape))
        return
    inside = torch.ones((), dtype=torch.bool, device=x.device)
    for dim, part in enumerate(kept):
        if _at_data(part):
            places = torch.arange(before.shape[dim], device=x.device)
            between = _between(places, part, before.shape[dim])
            inside = inside & between.reshape(-1, *[1] * (before.dim() - dim - 1))
    x[whole] = torch.where(inside, value, before)


class Window:
    """`x.narrow(dim, start, length)` where either is such a number: it can be written to.

    Args:
        x: the tensor.
        dim: of it.
        start: the first place.
        length: how many there are.
    """

    def __init__(self, x: Tensor, dim: int, start: Any, length: Any) -> None:
        self._x = x
        before = [slice(None)] * (dim % x.dim())
        self._index = (*before, slice(start, start + length))

    def fill_(self, value: Any) -> Window:
        """Writes one value everywhere."""
        write_at(self._x, self._index, value)
        return self

    def zero_(self) -> Window:
        """Writes zeros everywhere."""
        return self.fill_(0)

    def __getattr__(self, name: str) -> Any:
        raise AsksForNumbers(
            f"how many places a .narrow() has is a number in a tensor, and .{name} needs it: mask "
            "what is outside of it instead"
        )


def narrows_to_data(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the arguments of `narrow` have a number that is not known."""
    return any(map(is_number_of_a_trace, (*args[1:], *kwargs.values())))


def _full(x: Tensor, index: Any) -> tuple[Any, ...]:
    """An index for each dimension."""
    parts = _parts(index)
    at = next((i for i, p in enumerate(parts) if p is Ellipsis), len(parts))
    rest = parts[at + 1 :]
    return (*parts[:at], *[slice(None)] * (x.dim() - at - len(rest)), *rest)


def _between(places: Tensor, part: Any, size: Any) -> Tensor:
    """Which places of a dimension are meant: (size,)."""
    if isinstance(part, Tensor):
        here: Tensor = places == _from_the_front(part, size)
        return here
    found = torch.ones_like(places, dtype=torch.bool)
    if part.start is not None:
        found = found & (places >= _from_the_front(part.start, size))
    if part.stop is not None:
        found = found & (places < _from_the_front(part.stop, size))
    return found


def _from_the_front(bound: Any, size: Any) -> Any:
    if isinstance(bound, Tensor):
        bound = bound.reshape(())
        return torch.where(bound < 0, bound + size, bound)
    return bound + size if bound < 0 else bound


def _parts(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


def _at_data(part: Any) -> bool:
    if not isinstance(part, slice):
        return is_number_of_a_trace(part) and part.dtype is not torch.uint8 and part.dim() == 0
    if part.step not in (None, 1):
        return False
    return is_number_of_a_trace(part.start) or is_number_of_a_trace(part.stop)
