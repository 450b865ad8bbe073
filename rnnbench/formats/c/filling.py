"""Tensors of one number, of numbers in a row, and of another type."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from rnnbench.formats.c.broadcasting import OneOrAll, as_said, beside
from rnnbench.formats.c.elementwise import number_of, pointwise, shape_of
from rnnbench.formats.c.values import C_TYPES, Block, Index, Value, atom
from rnnbench.formats.c.writer import Writer

aten = torch.ops.aten


def _as_type(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    given: Value = args[0]
    dtype = shape_of(node)[1]
    if dtype is torch.bfloat16:
        return _rounded(writer, given)
    if given.dtype == dtype:
        return given

    def at(index: Index, block: Block) -> str:
        return writer.cast(given.at(index, block), given.dtype, dtype)

    return Value(dtype, given.sizes, at, cost=given.cost)


def _rounded(writer: Writer, given: Value) -> Value:
    """A bfloat16 is the float that it is: nothing is computed with it as such."""

    def at(index: Index, block: Block) -> str:
        text = writer.cast(given.at(index, block), given.dtype, torch.float32)
        return f"model_round_bfloat16({text})"

    return Value(torch.float32, given.sizes, at, cost=given.cost + 1)


def _full(place: int, of: int | None = None) -> Any:
    """A constant tensor: the argument of that place, or 0 or 1; `of` is that of its sizes."""

    def write(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
        sizes, dtype = shape_of(node)
        if of is not None:
            sizes = as_said(writer, sizes, node.args[of])
        elif isinstance(args[0], Value):
            sizes = beside(sizes, args[:1])
        number = place if place < 0 else args[place]
        text = number_of(writer, {-1: 0, -2: 1}.get(number, number) if place < 0 else number, dtype)
        return Value(dtype, sizes, lambda index, block: text)

    return write


def _arange(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    sizes, dtype = shape_of(node)
    if len(args) < 3 or args[2] == 1:
        first, last = (0, args[0]) if len(args) == 1 else args[:2]
        if hasattr(last, "free_symbols") and isinstance(last - first, OneOrAll):
            sizes = (last - first,)
    start, step = (args[0] if len(args) > 1 else 0), (args[2] if len(args) > 2 else 1)
    kind = C_TYPES[dtype]

    def at(index: Index, block: Block) -> str:
        i = index[0] if step == 1 else f"{atom(index[0])} * {writer.number(step)}"
        if dtype.is_floating_point:
            i = f"(double){index[0]} * {writer.number(step)}"
        text = i if start == 0 else f"{writer.number(start)} + {i}"
        return f"({kind})({text})"

    return Value(dtype, sizes, at)


def _copy(writer: Writer, node: fx.Node, args: list[Any], named: dict[str, Any]) -> Value:
    """`copy(x, y)`: y in the sizes and the type of x."""
    return pointwise(writer, node, [args[1]], lambda a, t: a, shape_of(node)[1])


OPERATORS: dict[Any, Any] = {
    aten._to_copy.default: _as_type,
    aten.to.dtype: _as_type,
    aten.clone.default: _as_type,
    aten.alias.default: _as_type,
    aten.detach.default: _as_type,
    aten.lift_fresh_copy.default: _as_type,
    aten.contiguous.default: _as_type,
    aten.full.default: _full(1, of=0),
    aten.full_like.default: _full(1),
    aten.new_full.default: _full(2, of=1),
    aten.scalar_tensor.default: _full(0),
    aten.zeros.default: _full(-1, of=0),
    aten.zeros_like.default: _full(-1),
    aten.new_zeros.default: _full(-1, of=1),
    aten.empty.memory_format: _full(-1, of=0),
    aten.empty_like.default: _full(-1),
    aten.new_empty.default: _full(-1, of=1),
    aten.empty_strided.default: _full(-1, of=0),
    aten.new_empty_strided.default: _full(-1, of=1),
    aten.ones.default: _full(-2, of=0),
    aten.ones_like.default: _full(-2),
    aten.new_ones.default: _full(-2, of=1),
    aten.fill.Scalar: _full(1),
    aten.arange.default: _arange,
    aten.arange.start: _arange,
    aten.arange.start_step: _arange,
    aten.copy.default: _copy,
}
