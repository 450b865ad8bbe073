"""A part of a dimension: slices, and one element."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from rnnbench.formats.c.broadcasting import (
    NotBySizeError,
    all_sizes,
    as_said,
    is_dimension,
    said_by_data,
    says_data,
)
from rnnbench.formats.c.elementwise import shape_of
from rnnbench.formats.c.layout import dim_of, moved
from rnnbench.formats.c.sizes import size_of
from rnnbench.formats.c.values import Block, Value, added, complete, scaled
from rnnbench.formats.c.writer import Writer

aten = torch.ops.aten


def _slice(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    value, dim, start, _, step = complete(args, 5, 0, None, None, 1)
    dim = dim_of(value, dim)
    size = all_sizes(writer, value)[dim]
    first = from_start(writer, start or 0, size)
    return _part(writer, value, dim, first, step, _length(writer, node, first, step, size))


def _narrow(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    value, dim, start, _ = args
    dim = dim_of(value, dim)
    size = all_sizes(writer, value)[dim]
    found = shape_of(node)[0][dim]
    (said,) = as_said(writer, [found], node.args[3:])
    if said != found and writer.sizes.bounds[said] != found:
        said = found
    return _part(writer, value, dim, from_start(writer, start, size), 1, said)


def _part(writer: Writer, value: Value, dim: int, first: str, step: Any, size: Any) -> Value:
    """Of one dimension so many elements, from the first in steps."""
    whole = all_sizes(writer, value)[dim]
    if first == "0" and step == 1 and size == whole:
        return value
    if value.sizes[dim] != whole:
        raise NotBySizeError

    def to(index: list[str]) -> list[str]:
        index[dim] = added(first, scaled(index[dim], writer.number(step)))
        return index

    return moved(value, (*value.sizes[:dim], size, *value.sizes[dim + 1 :]), to)


def _length(writer: Writer, node: fx.Node, first: str, step: Any, size: Any) -> Any:
    """How long a slice is; where its ends are data, that has a name of its own."""
    dim, _, end = complete(node.args[1:4], 3, 0, None, None)
    found = size_of(node.meta["val"].shape[dim])
    (said,) = as_said(writer, [found], [end])
    if said != found and first == "0" and step == 1 and writer.sizes.bounds[said] == found:
        return said
    end = writer.given(end)
    last = writer.sizes.text(size) if end is None else from_start(writer, end, size)
    by = writer.number(step)
    text = f"model_max(({last} - {first} + {by} - 1) / {by}, 0)"
    if getattr(found, "is_Symbol", False) and found not in writer.sizes.names:
        name = writer.fresh(f"{node.name}_length")
        writer.line(f"const int64_t {name} = {text};")
        writer.line(f"(void){name};")
        writer.sizes.names[found] = name
    elif writer.goes_by_size and is_dimension(writer, found) and says_data(writer, node.args[2:4]):
        return said_by_data(writer, node, found, text)
    return found


def from_start(writer: Writer, start: Any, size: Any) -> str:
    """A place counted from the end, from the start."""
    if isinstance(start, int) and start < 0:
        if isinstance(size, int):
            return str(max(size + start, 0))
        return f"model_max({writer.sizes.text(size)} - {-start}, 0)"
    if isinstance(start, int):
        return str(start)
    text = writer.number(start)
    return f"model_min(model_from({text}, {writer.sizes.text(size)}), {writer.sizes.text(size)})"


def _select(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    value: Value = args[0]
    dim = dim_of(value, args[1])
    at = args[2]
    if isinstance(at, int) and at < 0:
        place = writer.sizes.text(value.sizes[dim] + at)
    elif isinstance(at, Value):
        block = Block(writer.fresh)
        text = at.at(["0"] * len(at.sizes), block)
        writer.block(block)
        place = f"model_at({text}, {writer.sizes.text(value.sizes[dim])})"
    elif isinstance(at, int):
        place = str(at)
    else:
        place = f"model_at({writer.number(at)}, {writer.sizes.text(value.sizes[dim])})"
    rest = value.sizes[:dim] + value.sizes[dim + 1 :]
    return moved(value, rest, lambda i: [*i[:dim], place, *i[dim:]])


OPERATORS: dict[Any, Any] = {
    aten.slice.Tensor: _slice,
    aten.narrow.default: _narrow,
    aten.select.int: _select,
}
