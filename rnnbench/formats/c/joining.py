"""Arrays that are put together: joins, stacks, padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from rnnbench.formats.c.elementwise import shape_of
from rnnbench.formats.c.layout import moved
from rnnbench.formats.c.literals import literal
from rnnbench.formats.c.sizes import at_least_none
from rnnbench.formats.c.values import Block, Value, added, atom
from rnnbench.formats.c.writer import Writer

aten = torch.ops.aten


def _cat(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    sizes, dtype = shape_of(node)
    parts = [p for p in args[0] if not (len(p.sizes) == 1 and p.sizes[0] == 0)]
    if len(parts) == 1 and parts[0].dtype == dtype:
        alone: Value = parts[0]
        return alone
    dim = (args[1] if len(args) > 1 else named.get("dim", 0)) % len(sizes)
    return joined(writer, node, parts, dim)


def joined(writer: Writer, node: fx.Node, parts: Sequence[Value], dim: int) -> Value:
    """An array that holds parts one after the other.

    A part may have less than no elements: of one step, `x[:, 2:]` has -1 by its size `time - 2`, as
    torch.export takes there to be two or more. Then the others are more than the sum.
    """
    sizes, dtype = shape_of(node)
    writer.say(node)
    each = [at_least_none(p.sizes[dim]) for p in parts]
    made = writer.room(dtype, sizes, node.name, [*sizes[:dim], sum(each), *sizes[dim + 1 :]])
    start = "0"
    for part, size in zip(parts, each, strict=True):
        with writer.loops(part.sizes) as index:
            block = Block(writer.fresh)
            text = writer.cast(part.at(index, block), part.dtype, dtype)
            writer.block(block)
            place = [added(start, i) if n == dim else i for n, i in enumerate(index)]
            writer.line(f"{made.at(place, block)} = {text};")
        start = added(start, writer.sizes.text(size))
    return made


def _stack(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    sizes = shape_of(node)[0]
    dim = (args[1] if len(args) > 1 else 0) % len(sizes)
    parts = [
        moved(p, [*p.sizes[:dim], 1, *p.sizes[dim:]], lambda i: i[:dim] + i[dim + 1 :])
        for p in args[0]
    ]
    return joined(writer, node, parts, dim)


def _pad(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    value: Value = args[0]
    sizes, dtype = shape_of(node)
    ends = list(args[1])
    fill = args[2] if len(args) > 2 else 0
    before = [0] * len(sizes)
    after = [0] * len(sizes)
    for n, (low, high) in enumerate(_pairs(ends)):
        before[len(sizes) - 1 - n], after[len(sizes) - 1 - n] = low, high
    writer.say(node)
    made = writer.room(dtype, sizes, node.name)
    with writer.loops(sizes) as index:
        tests, inner = [], []
        block = Block(writer.fresh)
        for i, low, high, size in zip(index, before, after, value.sizes, strict=True):
            place = i if low == 0 else f"{atom(i)} - {writer.number(low)}"
            inner.append(place)
            if low != 0:
                tests.append(f"{place} >= 0")
            if high != 0 or low != 0:
                tests.append(f"{place} < {writer.sizes.text(size)}")
        number = literal(fill, dtype) if isinstance(fill, int | float) else writer.number(fill)
        place_text = made.at(index, block)
        writer.line(f"{place_text} = {number};")
        with writer.nested(f"if ({' && '.join(tests) or '1'})"):
            text = value.at(inner, block)
            writer.block(block)
            writer.line(f"{place_text} = {text};")
    return made


def _pairs(ends: Sequence[Any]) -> list[tuple[Any, Any]]:
    return list(zip(ends[::2], ends[1::2], strict=True))


OPERATORS: dict[Any, Any] = {
    aten.cat.default: _cat,
    aten.stack.default: _stack,
    aten.constant_pad_nd.default: _pad,
}
