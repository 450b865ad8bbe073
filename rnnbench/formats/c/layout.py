"""Operators that move elements and compute nothing: views and turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

from rnnbench.formats.c.broadcasting import NotBySizeError, all_sizes, as_said, broadcast
from rnnbench.formats.c.elementwise import shape_of
from rnnbench.formats.c.literals import literal
from rnnbench.formats.c.sizes import size_of
from rnnbench.formats.c.values import C_TYPES, Block, Index, Value, added, atom, complete, scaled
from rnnbench.formats.c.writer import Writer

aten = torch.ops.aten


def moved(value: Value, sizes: Sequence[Any], to: Callable[[list[str]], list[str]]) -> Value:
    """A value whose element at some indices is that of another at others."""

    def at(index: Index, block: Block) -> str:
        return value.at(to(list(index)), block)

    return Value(value.dtype, tuple(sizes), at, cost=value.cost)


def dim_of(value: Value, dim: int) -> int:
    """A dimension that may be counted from the end, from the start."""
    return dim % len(value.sizes) if value.sizes else 0


def viewed(writer: Writer, value: Value, sizes: Sequence[Any], stem: str = "view") -> Value:
    """The same elements in order, in another shape."""
    if tuple(sizes) == value.sizes:
        return value
    ours = [n for n, size in enumerate(value.sizes) if size != 1]
    theirs = [n for n, size in enumerate(sizes) if size != 1]
    if [value.sizes[n] for n in ours] == [sizes[n] for n in theirs] and not value.array:
        places = dict(zip(ours, theirs, strict=True))

        def to(index: list[str]) -> list[str]:
            return [index[places[n]] if n in places else "0" for n in range(len(value.sizes))]

        return moved(value, sizes, to)
    made = writer.realize(value, stem)
    return writer.array(made.array, value.dtype, sizes)


def _view(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    value: Value = args[0]
    sizes, whole = list(shape_of(node)[0]), all_sizes(writer, value)
    if whole != value.sizes:
        theirs = [n for n, size in enumerate(sizes) if size != 1]
        ours = [n for n, size in enumerate(whole) if size != 1]
        if [sizes[n] for n in theirs] != [whole[n] for n in ours]:
            raise NotBySizeError
        for n, own in zip(theirs, ours, strict=True):
            sizes[n] = value.sizes[own]
    return viewed(writer, value, sizes, node.name)


def _permute(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    value: Value = args[0]
    order = [dim_of(value, d) for d in args[1]]
    return _reordered(value, order)


def _reordered(value: Value, order: Sequence[int]) -> Value:
    back = [order.index(n) for n in range(len(order))]
    return moved(value, [value.sizes[d] for d in order], lambda i: [i[b] for b in back])


def _transpose(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    value: Value = args[0]
    order = list(range(len(value.sizes)))
    if order:
        a, b = (dim_of(value, d) for d in (args[1:] or (0, len(order) - 1)))
        order[a], order[b] = order[b], order[a]
    return _reordered(value, order)


def _movedim(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    value: Value = args[0]
    order = list(range(len(value.sizes)))
    order.insert(dim_of(value, args[2]), order.pop(dim_of(value, args[1])))
    return _reordered(value, order)


def _expand(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    value: Value = args[0]
    asked, said = list(shape_of(node)[0]), node.args[1] if isinstance(args[1], list) else ()
    for back, own in enumerate(reversed(value.sizes), 1):
        if said and args[1][-back] == -1:
            asked[-back] = own
    sizes = as_said(writer, asked, said)
    return moved(value, sizes, lambda i: broadcast(i, sizes, value))


def _unsqueeze(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    value: Value = args[0]
    dim = args[1] % (len(value.sizes) + 1)
    sizes = (*value.sizes[:dim], 1, *value.sizes[dim:])
    if value.array:
        return writer.array(value.array, value.dtype, sizes)
    return moved(value, sizes, lambda i: i[:dim] + i[dim + 1 :])


def _flip(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    value: Value = args[0]
    dims = {dim_of(value, d) for d in args[1]}

    def to(index: list[str]) -> list[str]:
        return [
            f"{writer.sizes.text(value.sizes[n])} - 1 - {atom(i)}" if n in dims else i
            for n, i in enumerate(index)
        ]

    return moved(value, value.sizes, to)


def _split(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> list[Value]:
    value: Value = args[0]
    dim = dim_of(value, args[2] if len(args) > 2 else named.get("dim", 0))
    value = writer.realize(value, node.name) if value.cost else value
    found, start = [], "0"
    for part in node.meta["val"]:
        sizes = tuple(map(size_of, part.shape))

        def to(index: list[str], first: str = start) -> list[str]:
            index[dim] = added(first, index[dim])
            return index

        found.append(moved(value, sizes, to))
        start = added(start, writer.sizes.text(sizes[dim]))
    return found


def _unbind(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> list[Value]:
    value: Value = args[0]
    dim = dim_of(value, args[1] if len(args) > 1 else 0)
    value = writer.realize(value, node.name) if value.cost else value
    rest = value.sizes[:dim] + value.sizes[dim + 1 :]

    def row(number: int) -> Value:
        return moved(value, rest, lambda i: [*i[:dim], str(number), *i[dim:]])

    return [row(n) for n in range(len(node.meta["val"]))]


def _repeat(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    value: Value = args[0]
    sizes = shape_of(node)[0]
    value = writer.realize(value, node.name) if value.cost else value

    def to(index: list[str]) -> list[str]:
        own = index[len(index) - len(value.sizes) :]
        whole = sizes[len(sizes) - len(value.sizes) :]
        return [
            "0" if s == 1 else i if s == w else f"{atom(i)} % {atom(writer.sizes.text(s))}"
            for i, s, w in zip(own, value.sizes, whole, strict=True)
        ]

    return moved(value, sizes, to)


def _unfold(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    """`x.unfold(dim, size, step)`: windows, whose elements become the last dimension."""
    value, dim, _, step = args
    dim = dim_of(value, dim)
    value = writer.realize(value, node.name) if value.cost else value

    def to(index: list[str]) -> list[str]:
        *own, inside = index
        own[dim] = added(scaled(own[dim], writer.number(step)), inside)
        return own

    return moved(value, shape_of(node)[0], to)


def _roll(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    value, shifts = args[0], args[1]
    dims = args[2] if len(args) > 2 else []
    if not dims:
        raise writer.refusal(node, "a roll over all dimensions has no form in C yet")
    value = writer.realize(value, node.name) if value.cost else value

    def to(index: list[str]) -> list[str]:
        for shift, dim in zip(shifts, dims, strict=True):
            d = dim_of(value, dim)
            index[d] = (
                f"model_mod({index[d]} - {atom(writer.number(shift))}, "
                f"{writer.sizes.text(value.sizes[d])})"
            )
        return index

    return moved(value, value.sizes, to)


def _triangle(lower: bool) -> Any:
    def write(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
        value: Value = args[0]
        diagonal = args[1] if len(args) > 1 else 0
        zero = literal(0, value.dtype)

        def at(index: Index, block: Block) -> str:
            sign = "<=" if lower else ">="
            test = f"{atom(index[-1])} - {atom(index[-2])} {sign} {writer.number(diagonal)}"
            return block.hold(
                C_TYPES[value.dtype], f"{test} ? {value.at(index, block)} : {zero}", "tri"
            )

        return Value(value.dtype, value.sizes, at, cost=value.cost + 1)

    return write


def _diagonal(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    value: Value = args[0]
    _, offset, a, b = complete(args, 4, 0, 0, 1)
    a, b = dim_of(value, a), dim_of(value, b)
    down, right = max(-offset, 0), max(offset, 0)

    def to(index: list[str]) -> list[str]:
        *rest, last = index
        others = iter(rest)
        return [
            added(str(down), last)
            if n == a
            else added(str(right), last)
            if n == b
            else next(others)
            for n in range(len(value.sizes))
        ]

    return moved(value, shape_of(node)[0], to)


OPERATORS: dict[Any, Any] = {
    aten.view.default: _view,
    aten.reshape.default: _view,
    aten._unsafe_view.default: _view,
    aten._reshape_copy.default: _view,
    aten.view_copy.default: _view,
    aten.flatten.using_ints: _view,
    aten.unflatten.int: _view,
    aten.squeeze.default: _view,
    aten.squeeze.dim: _view,
    aten.squeeze.dims: _view,
    aten.unsqueeze.default: _unsqueeze,
    aten.permute.default: _permute,
    aten.permute_copy.default: _permute,
    aten.transpose.int: _transpose,
    aten.t.default: _transpose,
    aten.movedim.int: _movedim,
    aten.expand.default: _expand,
    aten.expand_as.default: _expand,
    aten.broadcast_to.default: _expand,
    aten.flip.default: _flip,
    aten.split.Tensor: _split,
    aten.split_with_sizes.default: _split,
    aten.chunk.default: _split,
    aten.unbind.int: _unbind,
    aten.repeat.default: _repeat,
    aten.unfold.default: _unfold,
    aten.roll.default: _roll,
    aten.tril.default: _triangle(True),
    aten.triu.default: _triangle(False),
    aten.diagonal.default: _diagonal,
}


BY_SIZE = (
    *(aten.view.default, aten.reshape.default, aten._unsafe_view.default),
    *(aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims, aten.permute_copy.default),
    *(aten.movedim.int, aten.flip.default, aten.expand_as.default, aten.broadcast_to.default),
    *(aten.unsqueeze.default, aten.permute.default, aten.transpose.int, aten.t.default),
    aten.expand.default,
)
"""Of these, what goes by the sizes of the values that it is given."""
