"""Elements that a mask chooses: how many they are, data say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy
import torch
from torch import fx

from rnnbench.formats.c.broadcasting import broadcast
from rnnbench.formats.c.elementwise import shape_of
from rnnbench.formats.c.layout import moved
from rnnbench.formats.c.picking import index_put, picked_by
from rnnbench.formats.c.sizes import numel, size_of
from rnnbench.formats.c.values import Block, Value
from rnnbench.formats.c.writer import Writer

aten = torch.ops.aten
_MASKS = (torch.bool, torch.uint8)
_SEVERAL = "more than one mask has no form in C yet"


def _numbers(writer: Writer, mask: Value, symbol: Any, stem: str) -> Value:
    """The indices of the elements that are not 0, in order: [symbol, rank].

    Args:
        writer: of the function.
        mask: what chooses.
        symbol: the size that it says: a name from here on.
        stem: of the names.
    """
    count = writer.fresh(f"{stem}_count")
    writer.line(f"int64_t {count} = 0;")
    writer.sizes.names[symbol] = count
    writer.sizes.bounds[symbol] = numel(mask.sizes)
    made = writer.room(torch.int64, [symbol, len(mask.sizes)], stem)
    with writer.loops(mask.sizes) as index:
        block = Block(writer.fresh)
        text = mask.at(index, block)
        writer.block(block)
        with writer.nested(f"if ({text})"):
            for n, i in enumerate(index):
                writer.line(f"{made.at([count, str(n)], block)} = {i};")
            writer.line(f"++{count};")
    return made


def _own_symbol(writer: Writer, node: fx.Node) -> sympy.Symbol:
    return sympy.Symbol(writer.fresh(f"{node.name}_chosen"), integer=True, nonnegative=True)


def _nonzero(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    writer.say(node)
    (symbol, _), _ = shape_of(node)
    if isinstance(symbol, int):
        symbol = _own_symbol(writer, node)
    return _numbers(writer, args[0], symbol, node.name)


def _without_masks(
    writer: Writer, node: fx.Node, places: Sequence[Any], symbol: Any
) -> list[Value | None]:
    """Places of which none is a mask: one of [b, t] is two of [symbol]."""
    found: list[Value | None] = []
    for place in places:
        if place is None or place.dtype not in _MASKS:
            found.append(place)
            continue
        numbers = _numbers(writer, place, symbol, f"{node.name}_at")
        found += [_column(numbers, n) for n in range(len(place.sizes))]
    return found


def _column(numbers: Value, n: int) -> Value:
    return moved(numbers, numbers.sizes[:1], lambda i: [*i, str(n)])


def _index(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    """`x[mask]`, and `x[i, :, j]` of numbers."""
    value, places = args
    masks = [p for p in places if p is not None and p.dtype in _MASKS]
    if masks:
        new = [s for s in shape_of(node)[0] if s not in value.sizes]
        if len(masks) > 1 or len(new) != 1 or isinstance(new[0], int):
            raise writer.refusal(
                node, "a choice of elements by more than one mask has no form in C yet"
            )
        writer.say(node)
        places = _without_masks(writer, node, places, new[0])
    return picked_by(writer, node, value, places)


def _masked_select(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    (symbol,), _ = shape_of(node)
    value, mask = args
    rank = max(len(value.sizes), len(mask.sizes))
    sizes = torch.broadcast_shapes(*(node.args[n].meta["val"].shape for n in (0, 1)))  # type: ignore[union-attr]
    spread = moved(mask, tuple(map(size_of, sizes)), lambda i: broadcast(i, (), mask))
    writer.say(node)
    numbers = _numbers(writer, spread, symbol, f"{node.name}_at")
    value = writer.realize(value, node.name) if value.cost else value

    def to(index: list[str]) -> list[str]:
        block = Block(writer.fresh)
        own = [numbers.at([index[0], str(n)], block) for n in range(rank)]
        return broadcast(own, (), value)

    return moved(value, [symbol], to)


def _index_put(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    """`x[mask] = part`: a copy with elements that are another's."""
    value, places, part = args[:3]
    masks = [p for p in places if p is not None and p.dtype in _MASKS]
    if len(masks) > 1:
        raise writer.refusal(
            node, "elements that are put by more than one mask have no form in C yet"
        )
    if masks:
        writer.say(node)
        places = _without_masks(writer, node, places, _own_symbol(writer, node))
    return index_put(writer, node, [value, places, part, *args[3:]])


def _masked_scatter(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    """The elements of a source in order, where the mask is not 0."""
    value, mask, source = args
    source = writer.realize(source, f"{node.name}_source")
    made = writer.copied(node, value)
    count = writer.fresh(f"{node.name}_count")
    writer.line(f"int64_t {count} = 0;")
    with writer.loops(made.sizes) as index:
        block = Block(writer.fresh)
        text = mask.at(broadcast(index, (), mask), block)
        writer.block(block)
        with writer.nested(f"if ({text})"):
            writer.line(f"{made.at(index, block)} = {source.array}[{count}];")
            writer.line(f"++{count};")
    return made


OPERATORS: dict[Any, Any] = {
    aten.nonzero.default: _nonzero,
    aten.masked_select.default: _masked_select,
    aten.masked_scatter.default: _masked_scatter,
    aten.index.Tensor: _index,
    aten.index_put.default: _index_put,
}
"""Operators that are given a mask, or may be."""
