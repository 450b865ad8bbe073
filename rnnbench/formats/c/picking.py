"""Elements and rows that are picked, or put, by their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from rnnbench.formats.c.broadcasting import broadcast
from rnnbench.formats.c.elementwise import shape_of
from rnnbench.formats.c.layout import dim_of
from rnnbench.formats.c.literals import literal
from rnnbench.formats.c.slicing import from_start
from rnnbench.formats.c.values import Block, Index, Value, added, scaled
from rnnbench.formats.c.writer import Writer

aten = torch.ops.aten


def _index_select(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    value, dim, places = args
    return _picked(writer, node, value, dim_of(value, dim), places, 1)


def _embedding(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    weight, ids = args[0], args[1]
    return _picked(writer, node, weight, 0, ids, len(ids.sizes))


def _picked(
    writer: Writer, node: fx.Node, value: Value, dim: int, places: Value, rank: int
) -> Value:
    """Rows of a value, by their numbers."""
    size = writer.sizes.text(value.sizes[dim])
    places = writer.realize(places, f"{node.name}_rows") if places.cost else places
    value = writer.realize(value, f"{node.name}_of") if value.cost else value

    def at(index: Index, block: Block) -> str:
        asked = places.at(list(index[dim : dim + rank]) if rank else [], block)
        key = (node, "at", asked)
        if key not in block.known:
            block.known[key] = block.hold("int64_t", f"model_at({asked}, {size})", "at")
        return value.at([*index[:dim], block.known[key], *index[dim + rank :]], block)

    return Value(value.dtype, shape_of(node)[0], at, cost=1)


def _gather(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    value, dim, places = args[:3]
    dim = dim_of(value, dim)
    size = writer.sizes.text(value.sizes[dim]) if value.sizes else "1"
    value = writer.realize(value, f"{node.name}_of") if value.cost else value

    def at(index: Index, block: Block) -> str:
        asked = places.at(index, block)
        inner = list(index)
        if inner:
            inner[dim] = block.hold("int64_t", f"model_at({asked}, {size})", "at")
        return value.at(inner, block)

    return Value(value.dtype, shape_of(node)[0], at, cost=1 + places.cost)


def picked_by(writer: Writer, node: fx.Node, value: Value, places: Sequence[Any]) -> Value:
    """`x[i, :, j]` of numbers, broadcast against one another."""
    value = writer.realize(value, f"{node.name}_of") if value.cost else value
    given = [n for n, p in enumerate(places) if p is not None]
    together = given == list(range(given[0], given[-1] + 1))
    rank = max(len(places[n].sizes) for n in given)
    start = given[0] if together else 0
    sizes = shape_of(node)[0]

    def at(index: Index, block: Block) -> str:
        chosen = list(index[start : start + rank])
        rest = iter([*index[:start], *index[start + rank :]])
        inner = []
        for n, size in enumerate(value.sizes):
            if n in given:
                place: Value = places[n]
                text = place.at(broadcast(chosen, (), place), block)
                key = (node, n, text)
                if key not in block.known:
                    asked = f"model_at({text}, {writer.sizes.text(size)})"
                    block.known[key] = block.hold("int64_t", asked, "at")
                inner.append(block.known[key])
            else:
                inner.append(next(rest))
        return value.at(inner, block)

    return Value(value.dtype, sizes, at, cost=1 + sum(places[n].cost for n in given))


def _scattered(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    """`select_scatter` and `slice_scatter`: a copy with a part that is another's."""
    value, part = args[0], args[1]
    dim = dim_of(value, args[2] if len(args) > 2 else 0)
    sizes, dtype = shape_of(node)
    made = writer.copied(node, value)
    select = node.target is aten.select_scatter.default
    start = args[3] if len(args) > 3 and args[3] is not None else 0
    step = args[5] if len(args) > 5 else 1
    first = from_start(writer, start, sizes[dim])
    with writer.loops(part.sizes) as index:
        block = Block(writer.fresh)
        text = writer.cast(part.at(index, block), part.dtype, dtype)
        writer.block(block)
        if select:
            place = [*index[:dim], first, *index[dim:]]
        else:
            place = list(index)
            place[dim] = added(first, scaled(place[dim], writer.number(step)))
        writer.line(f"{made.at(place, block)} = {text};")
    return made


def _index_copy(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    value, dim, places, part = args
    dim = dim_of(value, dim)
    sizes, dtype = shape_of(node)
    made = writer.copied(node, value)
    with writer.loops(part.sizes) as index:
        block = Block(writer.fresh)
        asked = places.at([index[dim]] if places.sizes else [], block)
        text = writer.cast(part.at(index, block), part.dtype, dtype)
        writer.block(block)
        place = list(index)
        place[dim] = f"model_at({asked}, {writer.sizes.text(sizes[dim])})"
        writer.line(f"{made.at(place, block)} = {text};")
    return made


def index_put(writer: Writer, node: fx.Node, args: list[Any]) -> Value:
    """`x[i, :, j] = part` of numbers: a copy with elements that are another's."""
    value, places, part = args[:3]
    accumulates = args[3] if len(args) > 3 else False
    given = [n for n, p in enumerate(places) if p is not None]
    if given != list(range(given[0], given[-1] + 1)):
        raise writer.refusal(node, "elements that are put apart have no form in C yet")
    sizes, dtype = shape_of(node)
    lead = _broadcast_sizes([places[n].sizes for n in given])
    start = given[0]
    made = writer.copied(node, value)
    rest = [s for n, s in enumerate(sizes) if n not in given]
    with writer.loops([*rest[:start], *lead, *rest[start:]]) as index:
        block = Block(writer.fresh)
        chosen = index[start : start + len(lead)]
        others = iter([*index[:start], *index[start + len(lead) :]])
        place = []
        for n, size in enumerate(sizes):
            if n in given:
                asked = places[n].at(broadcast(chosen, (), places[n]), block)
                place.append(f"model_at({asked}, {writer.sizes.text(size)})")
            else:
                place.append(next(others))
        text = writer.cast(part.at(broadcast(index, (), part), block), part.dtype, dtype)
        writer.block(block)
        writer.line(f"{made.at(place, block)} {'+=' if accumulates else '='} {text};")
    return made


def _broadcast_sizes(shapes: Sequence[Sequence[Any]]) -> list[Any]:
    """The sizes of what is broadcast together."""
    rank = max(map(len, shapes))
    found: list[Any] = [1] * rank
    for shape in shapes:
        for n, size in enumerate(shape, rank - len(shape)):
            found[n] = size if found[n] == 1 else found[n]
    return found


def _scatter(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    value, dim, places, part = args
    dim = dim_of(value, dim)
    sizes, dtype = shape_of(node)
    made = writer.copied(node, value)
    adds = node.target is aten.scatter_add.default
    with writer.loops(places.sizes) as index:
        block = Block(writer.fresh)
        asked = places.at(index, block)
        if isinstance(part, Value):
            text = writer.cast(part.at(index, block), part.dtype, dtype)
        else:
            text = literal(part, dtype)
        writer.block(block)
        place = list(index)
        place[dim] = f"model_at({asked}, {writer.sizes.text(sizes[dim])})"
        writer.line(f"{made.at(place, block)} {'+=' if adds else '='} {text};")
    return made


OPERATORS: dict[Any, Any] = {
    aten.index_select.default: _index_select,
    aten.embedding.default: _embedding,
    aten.gather.default: _gather,
    aten.select_scatter.default: _scattered,
    aten.slice_scatter.default: _scattered,
    aten.index_copy.default: _index_copy,
    aten.scatter.src: _scatter,
    aten.scatter.value: _scatter,
    aten.scatter_add.default: _scatter,
}
